"""The two plotly templates, light and dark: one layout, two sets of inks.

Backgrounds are transparent, so that a figure sits on any page. Everything that depends on the theme is in the template;
whoever shows a figure may exchange it alone (``Plotly.relayout(graph, {template: ...})``).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import plotly.graph_objects as go

from gradscope.errors import unknown
from gradscope.figures import palette

__all__ = ["plain", "theme"]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', Arial, sans-serif"
CLEAR = "rgba(0,0,0,0)"

INKS = {
    "light": {"ink": "#212529", "quiet": "#5c636a", "grid": "#eceef0", "line": "#ced4da", "card": "#ffffff"},
    "dark": {"ink": "#e4e6e8", "quiet": "#a6adb4", "grid": "#3b3d3f", "line": "#55595d", "card": "#242424"},
}


def theme(name: str = "light") -> go.layout.Template:
    """Return the plotly template of a theme, to exchange it in a figure that is already drawn.

    Parameters
    ----------
    name : str
        ``"light"`` or ``"dark"``.

    Returns
    -------
    plotly.graph_objects.layout.Template
        A new one each time; ``theme("dark").to_plotly_json()`` is what a browser needs.

    Raises
    ------
    ArgumentError
        For any other name.
    """
    return go.layout.Template(plain(name))


@cache
def plain(name: str) -> dict[str, Any]:
    """Return a template as plain data, not yet checked by plotly, which takes its time."""
    if name not in INKS:
        raise unknown("template", name, INKS, "Or give none for the light one.")
    inks = INKS[name]
    axis = _axis(inks)
    layout = {
        "font": {"family": FONT, "size": 12, "color": inks["ink"]},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "colorway": [palette.BLUE, palette.ORANGE, palette.GREEN, palette.MAGENTA, palette.LAVENDER, palette.OLIVE],
        "colorscale": {
            "sequential": palette.scale(palette.SEQUENTIAL),
            "diverging": palette.scale(palette.DIVERGING[name]),
        },
        "xaxis": axis | {"showgrid": False, "spikethickness": 1, "spikecolor": inks["line"], "spikedash": "solid"},
        "yaxis": axis,
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": inks["card"],
            "bordercolor": inks["line"],
            "font": {"family": FONT, "size": 12, "color": inks["ink"]},
            "align": "left",
            "namelength": -1,
        },
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.01,
            "yanchor": "bottom",
            "bgcolor": CLEAR,
            "font": {"size": 12, "color": inks["ink"]},
            "itemsizing": "constant",
            "itemwidth": 30,
            "tracegroupgap": 0,
        },
        "title": {"x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 15, "weight": 600}},
        "annotationdefaults": {"showarrow": False, "font": {"size": 11, "color": inks["quiet"]}},
        "modebar": {"bgcolor": CLEAR, "color": inks["quiet"], "activecolor": inks["ink"]},
    }
    return {"layout": layout}


def _axis(inks: dict[str, str]) -> dict[str, Any]:
    """Return what both axes share: a quiet grid, no zero line, short ticks."""
    return {
        "gridcolor": inks["grid"],
        "linecolor": inks["line"],
        "tickcolor": inks["line"],
        "tickfont": {"size": 11, "color": inks["quiet"]},
        "title": {"font": {"size": 12, "color": inks["ink"]}, "standoff": 8},
        "ticks": "outside",
        "ticklen": 4,
        "zeroline": False,
        "showline": False,
        "automargin": True,
        "ticklabeloverflow": "allow",  # Plotly measures each label otherwise; the margins have room for them
        "exponentformat": "power",
        "minexponent": 4,
    }
