"""Figures in a page: plotly.js itself, and figures and themes as JSON that may stand inside a script element."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import numpy as np
import plotly
import plotly.graph_objects as go

from gradscope.figures.templates import plain

__all__ = ["figure_json", "plotly_script", "themes_json"]


#: The part of plotly.js that draws lines, bars and heat maps, a third of the whole: all that the figures here need.
CARTESIAN = Path(__file__).with_name("plotly-cartesian.min.js")


@functools.cache
def plotly_script() -> str:
    """Return plotly.js: with it a page needs no network.

    It is the part that the figures need (1.5 MB, half a second faster in a browser), as long as it is of the version
    that the installed plotly writes its figures for; else all of it, as that plotly brings it (5 MB).
    """
    part = CARTESIAN.read_text(encoding="utf-8")
    return part if _version(part) == plotly.offline.get_plotlyjs_version() else plotly.offline.get_plotlyjs()


def _version(script: str) -> str:
    """Return the version that plotly.js says at its beginning, or ``""``."""
    found = re.search(r"plotly\.js .*?v([\d.]+)", script[:500])
    return found[1] if found else ""


def figure_json(figure: go.Figure) -> str:
    """Return the data and layout of a figure as JSON, without its theme, which :func:`themes_json` holds."""
    bare = json.loads(_lighter(figure).to_json())
    bare["layout"].pop("template", None)
    return _in_script(json.dumps(bare))


def _lighter(figure: go.Figure) -> go.Figure:
    """Return the figure with its heat maps in float32, half the size, to a hundred times what an eye tells apart."""
    light = go.Figure(figure)
    for trace in light.select_traces({"type": "heatmap"}):
        z = np.asarray(trace.z)
        if z.dtype == float and np.abs(z[np.isfinite(z)]).max(initial=0.0) < np.finfo(np.float32).max:
            trace.z = z.astype(np.float32)
    return light


def themes_json() -> str:
    """Return the light and the dark theme as JSON."""
    return _in_script(json.dumps({name: plain(name) for name in ("light", "dark")}))


def _in_script(text: str) -> str:
    """Return JSON in which nothing ends or opens an element."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
