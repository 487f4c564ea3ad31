"""Figures of studies: what was measured in the same axes as theory or published numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import ArgumentError
from gradscope.figures import palette
from gradscope.figures.frame import Canvas, colorbar

__all__ = ["Curve", "Panel", "Plane", "draw_panels", "draw_plane"]

COLOURS = (palette.BLUE, palette.ORANGE, palette.GREEN, palette.MAGENTA, palette.LAVENDER, palette.OLIVE)
SYMBOLS = ("circle", "square", "triangle-up")  # of the first six groups, of the next six and so on
GAP = 0.11  # between two panels, of the plot's width


@dataclass(frozen=True)
class Curve:
    """Numbers over numbers: measured ones with their spread, or theory.

    Attributes
    ----------
    name : str
        What it is in the legend; curves of one name in several panels share an entry.
    x, y : array
        NaN leaves a gap.
    spread : array, optional
        Half the length of the error bars: a standard deviation over seeds.
    theory : bool
        Whether it is a prediction or published, drawn as a dashed line, instead of measured.
    group : str, optional
        Curves of one group share a colour; their name when left out.
    dots : bool
        Whether to mark the points; a published table is theory with dots.
    """

    name: str
    x: Any
    y: Any
    spread: Any = None
    theory: bool = False
    group: str | None = None
    dots: bool = False


@dataclass(frozen=True)
class Panel:
    """Curves in one pair of axes.

    Attributes
    ----------
    curves : sequence of Curve
    x, y : str
        Titles of the axes, with the unit in brackets.
    log_x, log_y : bool
    """

    curves: Sequence[Curve]
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Plane:
    """A number over a plane, with curves in the same axes.

    Attributes
    ----------
    x, y : array
        Places of columns and rows: numbers, or words at equal distances.
    values : array, (rows, columns)
    titles : tuple of str
        Of x, y and the values, with units in brackets.
    curves : sequence of Curve
        E.g. critical lines; their spread is not drawn.
    sided : bool
        Whether the colours turn at 0, positive being growth.
    log_x, log_y : bool
    text : array of str, optional
        What stands in each cell.
    """

    x: Any
    y: Any
    values: Any
    titles: tuple[str, str, str]
    curves: Sequence[Curve] = ()
    sided: bool = False
    log_x: bool = False
    log_y: bool = False
    text: Any = None


def draw_panels(
    panels: Sequence[Panel], heading: str, caption: str, template: str = "light", title: bool = False
) -> go.Figure:
    """Draw panels side by side: measured points with error bars, theory as dashed lines of the same colour.

    Where a point lies off its line by more than its bar, theory and measurement disagree.

    Parameters
    ----------
    panels : sequence of Panel
    heading, caption : str
        What the figure says of itself.
    template : str
        ``"light"`` or ``"dark"``.
    title : bool
        Whether to write the heading into the figure.

    Raises
    ------
    ArgumentError
        Without a panel.
    """
    if not panels:
        raise ArgumentError("`panels` must hold at least one panel, got none. Give a Panel.")
    canvas = Canvas(None, template, title)
    canvas.describe(heading, caption, "", "")
    groups = list(dict.fromkeys(_group(curve) for panel in panels for curve in panel.curves))
    named: set[str] = set()
    width = (1 - GAP * (len(panels) - 1)) / len(panels)
    axes: dict[str, Any] = {}
    for number, panel in enumerate(panels):
        suffix = str(number + 1) if number else ""
        left = number * (width + GAP)
        axes[f"xaxis{suffix}"] = {"title": {"text": panel.x}, "domain": [left, left + width], "anchor": f"y{suffix}"}
        axes[f"yaxis{suffix}"] = {"title": {"text": panel.y}, "anchor": f"x{suffix}", "domain": [0, 1]}
        for name, log in (("xaxis", panel.log_x), ("yaxis", panel.log_y)):
            if log:
                axes[f"{name}{suffix}"] |= {"type": "log", "dtick": 1 if name == "yaxis" else None}
        for curve in panel.curves:
            turn, place = divmod(groups.index(_group(curve)), len(COLOURS))
            shown = curve.name not in named
            named.add(curve.name)
            trace = _trace(curve, COLOURS[place], SYMBOLS[turn % len(SYMBOLS)])
            canvas.add(**trace, xaxis=f"x{suffix}", yaxis=f"y{suffix}", showlegend=shown)
    return canvas.figure(**axes, showlegend=True, hovermode="closest")


def _group(curve: Curve) -> str:
    """Return what a curve shares its colour with."""
    return curve.name if curve.group is None else curve.group


def _trace(curve: Curve, colour: str, symbol: str = SYMBOLS[0]) -> dict[str, Any]:
    """Return the trace of a curve."""
    x, y = np.asarray(curve.x), np.asarray(curve.y, float)
    trace: dict[str, Any] = {"type": "scatter", "x": x, "y": y, "name": curve.name, "legendgroup": curve.name}
    if curve.theory:
        mode = "lines+markers" if curve.dots else "lines"
        look = {"line": {"color": colour, "width": 2, "dash": palette.DASHED}}
        look["marker"] = {"color": colour, "size": 8, "symbol": "diamond-open", "line": {"width": 2}}
    else:
        mode = "lines+markers" if curve.dots or len(x) <= 60 else "lines"
        stroke = colour if mode == "lines" else palette.faded(colour, 0.45)
        look = {"line": {"color": stroke, "width": 1.5}, "marker": {"color": colour, "size": 7, "symbol": symbol}}
    if curve.spread is not None:
        trace["error_y"] = {"array": np.asarray(curve.spread, float), "color": colour, "thickness": 1.4, "width": 3}
    return trace | {"mode": mode, "hovertemplate": f"%{{x}}: %{{y:.4g}}<extra>{curve.name}</extra>"} | look


def _reach(values: np.ndarray) -> float:
    """Return where the colours of both signs end: three times the lesser extreme, so that it is seen."""
    sides = [side for side in (float(values.max()), float(-values.min())) if side > 0]
    return min(max(sides), 3 * min(sides)) if sides else 1.0


def draw_plane(plane: Plane, heading: str, caption: str, template: str = "light", title: bool = False) -> go.Figure:
    """Draw a number over a plane as colours, with curves over it.

    Parameters
    ----------
    plane : Plane
    heading, caption : str
        What the figure says of itself.
    template : str
        ``"light"`` or ``"dark"``.
    title : bool
        Whether to write the heading into the figure.

    Returns
    -------
    plotly.graph_objects.Figure
        NaN is an open cell.
    """
    canvas = Canvas(None, template, title)
    canvas.describe(heading, caption, "", "")
    values = np.asarray(plane.values, float)
    finite = values[np.isfinite(values)]
    colours: dict[str, Any] = {"colorscale": palette.scale(palette.SEQUENTIAL)}
    if plane.sided and finite.size:
        most = _reach(finite)
        if most < np.abs(finite).max():
            canvas.notes.append(f"Colours end at \N{PLUS-MINUS SIGN}{most:.2g}; what lies beyond has the last one.")
        colours = {"zmin": -most, "zmid": 0, "zmax": most, "autocolorscale": True, "reversescale": True}
    written: dict[str, Any] = (
        {} if plane.text is None else {"text": plane.text, "texttemplate": "%{text}", "textfont": {"size": 12}}
    )
    canvas.add(
        type="heatmap",
        x=plane.x,
        y=plane.y,
        z=np.where(np.isfinite(values), values, np.nan),
        colorbar=colorbar(plane.titles[2]),
        hovertemplate="%{x}, %{y}: %{z:.4g}<extra></extra>",
        hoverongaps=False,
        name=plane.titles[2],
        **colours,
        **written,
    )
    for number, curve in enumerate(plane.curves):
        trace = _trace(curve, COLOURS[(3, 2, 5)[number % 3]])
        trace |= {"mode": "lines+markers" if curve.dots else "lines"}
        trace["line"] |= {"width": 2.5}
        canvas.add(**trace)
    x, y = ({"title": {"text": text}, "showgrid": False} for text in plane.titles[:2])
    for axis, log, places in ((x, plane.log_x, plane.x), (y, plane.log_y, plane.y)):
        if log:
            axis["type"] = "log"
        numbers = np.asarray(places)
        if numbers.dtype.kind == "U":
            axis["type"] = "category"  # words that read as numbers are words all the same
        if numbers.dtype.kind in "if" and len(numbers) > 1:
            numbers = np.log10(numbers) if log else numbers
            half = np.diff(numbers)[[0, -1]] / 2
            axis["range"] = [float(numbers[0] - half[0]), float(numbers[-1] + half[1])]
    return canvas.figure(xaxis=x, yaxis=y, showlegend=bool(plane.curves), hovermode="closest")
