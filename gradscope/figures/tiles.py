"""Tiles: several canvases as the panels of one figure, with common axes and one legend."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.figures.frame import FOOT, FOOTNOTE, NOTE, Canvas
from gradscope.figures.scales import count
from gradscope.figures.settings import plain

__all__ = ["Reach", "columns_of", "common_places", "rows_of", "tiled"]

ACROSS, DOWN = 0.045, 0.26  # gaps between panels, of the plot's width; of a panel's height, for its name
MOST_ACROSS = 4
LETTERS = 112  # of the names of panels side by side that fit a card of the whole width
HEADING = 16  # pixels of a line of such a name
LOGARITHMIC = ", log scale"  # what the title of a log axis ends with

Reach = tuple[np.ndarray, bool]
"""The places of a run, and whether it has NaN or inf at some of them."""


def columns_of(number: int) -> int:
    """Return how many panels stand side by side: as square as can be, at most four."""
    return number if number <= 3 else min(MOST_ACROSS, -(-number // 2)) if number <= 8 else MOST_ACROSS


def rows_of(number: int, columns: int | None = None) -> int:
    """Return how many rows of panels there are, with so many side by side where that is given."""
    return -(-number // (columns or columns_of(number)))


def common_places(found: Sequence[Reach], axis: str) -> tuple[float, float, str]:
    """Return from where to where panels reach together, and a sentence where some reach further.

    A run that diverged, of another length than the others, would leave them a sliver of the axis: where there are
    others, they alone say how far it reaches.

    Parameters
    ----------
    found : sequence of Reach
        One for each run.
    axis : str
        What the places are.
    """
    ends = [(float(x.min()), float(x.max()), broken) for x, broken in found if len(x)]
    if not ends:
        return 0.0, 0.0, ""
    sound = [(low, high) for low, high, broken in ends if not broken] or [(low, high) for low, high, _ in ends]
    low, high = min(one for one, _ in sound), max(one for _, one in sound)
    beyond = [one for one in ends if one[0] < low or one[1] > high]
    if not beyond:
        return low, high, ""
    first, last = min(one[0] for one in beyond), max(one[1] for one in beyond)
    told = f"{count(len(beyond), 'run')} with NaN or inf {'reaches' if len(beyond) == 1 else 'reach'} further"
    return low, high, f"{told}, from {axis} {first:g} to {last:g}: a double click shows the whole axis."


def tiled(
    canvases: Mapping[str, Canvas],
    xaxis: dict[str, Any],
    layout: dict[str, Any],
    *,
    columns: int | None = None,
    told: Mapping[str, str] | None = None,
) -> go.Figure:
    """Return the figure of one canvas, or of several as named panels.

    Parameters
    ----------
    canvases : dict of str to Canvas
        By the panel's name; a single one has none.
    xaxis : dict
        The x axis of each panel.
    layout : dict
        What the figure has beside.
    columns : int, optional
        How many panels stand side by side; by default as square as can be.
    told : dict of str to str, optional
        What stands behind the name of a panel. With it a single one has its name above it, too.
    """
    told = told or {}
    if len(canvases) == 1 and not told:
        return next(iter(canvases.values())).figure(xaxis=xaxis, **layout)
    columns = columns or columns_of(len(canvases))
    _level(list(canvases.values()), columns)
    made = [canvas.parts(xaxis=dict(xaxis)) for canvas in canvases.values()]
    rows = rows_of(len(made), columns)
    headings = {name: _heading(name, told.get(name, ""), columns) for name in canvases}
    lines = max(len(text) for text in headings.values())
    first = made[0]["layout"]
    notes = list(dict.fromkeys(note for one in made for note in one["layout"]["meta"]["notes"]))
    decimated = {key: entry for one in made for key, entry in one["layout"]["meta"]["decimated"].items()}
    whole: dict[str, Any] = {
        "template": first["template"],
        "uirevision": first["uirevision"],
        "meta": first["meta"] | {"notes": notes, "decimated": decimated, "panels": list(canvases)},
        "shapes": [],
        "annotations": _footnotes(notes, rows),
    }
    data, named = [], set[str]()
    for number, (name, one) in enumerate(zip(canvases, made, strict=True)):
        cell = _Cell(number, columns, rows, len(made), lines)
        data += [cell.trace(trace, named, name, one["layout"]) for trace in one["data"]]
        cell.add_axes(whole, one["layout"])
        whole["shapes"] += [cell.placed(shape) for shape in one["layout"]["shapes"]]
        kept = [entry for entry in one["layout"]["annotations"] if entry.get("name") != "note"]
        whole["annotations"] += [cell.placed(entry) for entry in kept] + [cell.heading(name, headings[name])]
    footnotes = len([line for note in notes for line in textwrap.wrap(note, FOOTNOTE)])
    top = (first["margin"]["t"] if "title" in first else 10) + 12 + HEADING * (lines - 1)
    whole["margin"] = {"l": 10, "r": 16, "t": top, "b": FOOT + NOTE * footnotes + 4 * bool(footnotes)}
    if "title" in first:
        whole["title"] = first["title"]
    return go.Figure(data=data, layout=whole | layout)


def _level(canvases: Sequence[Canvas], columns: int) -> None:
    """Let the plots of a row begin at one height, whatever lanes they have: the first alone has labels."""
    for number in range(0, len(canvases), columns):
        row = canvases[number : number + columns]
        floor = max(canvas.floor for canvas in row)
        for canvas in row:
            canvas.floor = floor


def _heading(name: str, told: str, columns: int) -> list[str]:
    """Return what stands above a panel in as many lines as its width needs, two at most, as plotly writes them."""
    width = LETTERS // columns
    lines = textwrap.wrap(name, width, max_lines=2, placeholder="\N{HORIZONTAL ELLIPSIS}") or [""]
    bold = [f"<b>{plain(line)}</b>" if line else "" for line in lines]
    if told and len(lines[-1]) + len(told) + 3 > width and len(lines) < 2:
        return [*bold, told]
    return [*bold[:-1], " \N{MIDDLE DOT} ".join(filter(None, (bold[-1], told)))]


def _footnotes(notes: list[str], rows: int) -> list[dict[str, Any]]:
    """Return the footnotes of all panels beneath the last row."""
    lines = [line for note in notes for line in textwrap.wrap(note, FOOTNOTE)]
    at = {"xref": "paper", "yref": "paper", "x": 0, "y": 0, "xanchor": "left", "yanchor": "top", "align": "left"}
    return [at | {"yshift": -(FOOT + NOTE * n), "text": text, "name": "note"} for n, text in enumerate(lines)]


class _Cell:
    """One panel: where it stands, and what its axes are called."""

    def __init__(self, number: int, columns: int, rows: int, count: int, lines: int) -> None:
        row, column = divmod(number, columns)
        width = (1 - ACROSS * (columns - 1)) / columns
        gap = DOWN * (1 + 0.4 * (lines - 1))
        height = 1 / (rows + gap * (rows - 1))
        left, top = column * (width + ACROSS), 1 - row * height * (1 + gap)
        self.x, self.y = (left, left + width), (max(0.0, top - height), top)
        self.number, self.leftmost, self.lowest = number, column == 0, number + columns >= count
        self.names = {"x": _axis("x", number + 1), "y": _axis("y", 2 * number + 1), "y2": _axis("y", 2 * number + 2)}

    def trace(self, trace: dict[str, Any], named: set[str], panel: str, layout: dict[str, Any]) -> dict[str, Any]:
        """Return a trace on the axes of the panel; what the legend names already stays out of it.

        A table of the figure finds in its ``meta`` the panel, and what the axes show where they have no title.
        """
        name = str(trace.get("name", ""))
        meta = dict(trace.get("meta") or {})
        titles = {letter: layout[f"{letter}axis"].get("title", {}).get("text", "") for letter in "xy"}
        meta["axes"] = titles
        if "series" in meta:
            series = ", ".join(filter(None, (panel, str(meta["series"]))))
            meta = (_told(titles["y"]) if meta.get("role") != "count" else {}) | meta | {"series": series}
        shown = trace.get("showlegend", True) and trace["type"] == "scatter"
        again = {"showlegend": False} if shown and name in named else {}
        if shown:
            named.add(name)
        y = "y2" if trace.get("yaxis") == "y2" else "y"
        return trace | {"xaxis": self.names["x"], "yaxis": self.names[y]} | again | {"meta": meta}

    def add_axes(self, whole: dict[str, Any], layout: dict[str, Any]) -> None:
        """Add the axes of the panel: common ranges, labels at the edges of the figure alone."""
        x, y = self.names["x"], self.names["y"]
        upright = self.y[1] - self.y[0]
        for name in ("y", "y2"):
            axis = layout.get("yaxis2" if name == "y2" else "yaxis")
            if axis is None:
                continue
            low, high = axis["domain"]
            own: dict[str, Any] = {"domain": [self.y[0] + upright * low, self.y[0] + upright * high], "anchor": x}
            if not self.leftmost:
                own |= {"showticklabels": False, "title": {"text": ""}}
            if name == "y" and self.number:
                own["matches"] = "y"
            whole[_long(self.names[name])] = axis | own
        across = layout["xaxis"] | {"domain": list(self.x), "anchor": y}
        if layout["yaxis"]["domain"][0]:
            across |= {"anchor": "free", "position": self.y[0]}
        if not self.lowest:
            across["title"] = {"text": ""}
        if self.number:
            across["matches"] = "x"
        whole[_long(x)] = across

    def placed(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return a shape or an annotation in the panel."""
        moved = dict(entry)
        for key, name in (("xref", "x"), ("yref", "y")):
            ref = moved.get(key, name)
            moved[key] = f"{self.names[name]} domain" if ref.endswith("domain") or ref == "paper" else self.names[name]
        return moved

    def heading(self, name: str, lines: list[str]) -> dict[str, Any]:
        """Return the name of the panel above it; the pointer finds all of it."""
        at = {"xref": "paper", "yref": "paper", "x": self.x[0], "y": self.y[1], "xanchor": "left", "yanchor": "bottom"}
        at |= {"align": "left", "font": {"size": 12}, "name": "panel", "yshift": 1}
        return at | {"text": "<br>".join(lines), "hovertext": plain(name)}


def _told(title: str) -> dict[str, str]:
    """Return what a title says that an axis shows, and its unit."""
    name, _, rest = title.rpartition(" [")
    unit = rest.removesuffix("]")
    log = unit.endswith(LOGARITHMIC)
    unit = f"log10 {unit.removesuffix(LOGARITHMIC)}".removesuffix(" 1") if log else unit
    return {"quantity": name, "unit": unit} if name else {}


def _axis(letter: str, number: int) -> str:
    """Return what a trace calls the n-th axis."""
    return letter if number == 1 else f"{letter}{number}"


def _long(name: str) -> str:
    """Return what the layout calls an axis."""
    return f"{name[0]}axis{name[1:]}"
