"""An atlas: the heat maps of several runs or groups as tiles of one figure, with one colour scale and common axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import ArgumentError
from gradscope.figures import given, palette, scales
from gradscope.figures.compare import Runs, panels_of, usual
from gradscope.figures.frame import Canvas, axis_title, colorbar, heading, place
from gradscope.figures.gates import LARGE, by_block
from gradscope.figures.maps import QUANTITIES, squeeze
from gradscope.figures.plates import Plate, Tile, is_logarithmic, plate, tile
from gradscope.figures.settings import plain
from gradscope.figures.tiles import MOST_ACROSS, Reach, columns_of, common_places, rows_of, tiled
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Status

__all__ = ["Atlas", "Colours", "check_tiles", "columns_within", "compare_maps", "draw_atlas", "middles", "plates_of"]

WHOLE, COLUMNS, FEW = 1024, 512, 2  # columns of so few tiles, and of each of more: each is finer than a pixel
UNITS = {"mean": "unit rank, by mean", "unit": "unit"}  # what the rows of units are called
ROWS = {"lag": place("lag"), "rank": "rank [1]"}
DOT = "\N{MIDDLE DOT}"


def compare_maps(
    groups: Mapping[str, Runs] | Mapping[str, Mapping[str, Runs]],
    probe: str = "unit_gradient",
    *,
    part: str = "",
    order: str = "mean",
    backwards: bool = False,
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw the heat maps of several runs or groups of runs side by side, in the same colours.

    A group of several runs, such as seeds, is drawn as the median over them, cell by cell; the title of a tile says how
    many there are. Exact zeros, masked cells, NaN and inf have a colour of their own, a veil lies on what is below the
    float range, and where some runs of a group have no number a strip beneath counts them. Runs that have not what is
    shown are said.

    Parameters
    ----------
    groups : dict
        By name, a record or the records of a group. A dict of such dicts draws a tile for each group of each panel: of
        up to four groups, a row of tiles for each panel.
    probe : str
        One whose array makes a map: of units, inputs, lags or ranks.
    part : str
        What to show where an array has more axes, e.g. the gate ``"forget"``; one of
        :func:`gradscope.figures.parts.choices` with ``mapped=True``.
    order : str
        ``"mean"`` sorts the units of each run by their mean, largest at the top, before medians are taken, since the
        number of a unit means nothing from one seed to another; ``"unit"`` leaves them as they are numbered.
    backwards : bool
        Whether to count places back from the end, which aligns the ends of runs of different lengths.
    template : str
        ``"light"`` or ``"dark"``.
    title : bool
        Whether to write the title into the figure.

    Returns
    -------
    plotly.graph_objects.Figure
        Beyond 512 places, of one or two tiles 1,024, each column shows the largest of a block, of gate activations the
        mean, and the figure says so.

    Raises
    ------
    ArgumentError
        For an unknown probe, order or template, when there is no group, and when records of one figure have different
        units.

    Examples
    --------
    >>> import gradscope as gs
    >>> figure = gs.figures.compare_maps({"bias 0": low_bias, "bias 3": high_bias}, "gate_activation")  # doctest: +SKIP
    """
    panels = panels_of(groups)
    common = part or usual(panels, probe, mapped=True)
    found = {
        facet: [tile(name, plates_of(runs, probe, common, order), backwards=backwards) for name, runs in panel.items()]
        for facet, panel in panels.items()
    }
    return draw_atlas(found, probe, part=common, order=order, backwards=backwards, template=template, title=title)


def plates_of(runs: Runs, probe: str, part: str, order: str) -> list[Plate]:
    """Return the plates of a group."""
    return [plate(one, probe, part, str(number), order=order) for number, one in enumerate(given.group(runs))]


def draw_atlas(
    panels: Mapping[str, Sequence[Tile]],
    probe: str,
    *,
    part: str = "",
    order: str = "mean",
    backwards: bool = False,
    about: str = "",
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Return the figure of tiles, those of a panel side by side; ``about`` is said first in the caption.

    Further parameters and errors as in :func:`compare_maps`.
    """
    shown = [one for panel in panels.values() for one in panel if one.runs]
    check_tiles(shown)
    page = Atlas(probe, part, order, backwards, template, title, _scale(shown), columns_within(len(shown)))
    if not shown:
        return page.nothing([one for panel in panels.values() for one in panel])
    placed, columns = _placed(panels)
    canvases = {name: page.canvas(one) for name, one in placed.items()}
    alone = all(one.runs == 1 for one in shown)
    told = {name: scales.count(one.runs, "run") if one.runs and not alone else "" for name, one in placed.items()}
    every = [one for panel in panels.values() for one in panel]
    return page.finish(canvases, every, told, columns, f"{about} {_about(shown, order)}".strip())


def check_tiles(tiles: Sequence[Tile]) -> None:
    """Refuse tiles that have no common unit."""
    units = dict.fromkeys(one.unit for one in tiles)
    if len(units) > 1:
        raise ArgumentError(
            f"`groups` must have one unit in a figure, got {' and '.join(units)}. "
            "Compare records of the same kind, or draw a figure of each."
        )


def _placed(panels: Mapping[str, Sequence[Tile]]) -> tuple[dict[str, Tile], int | None]:
    """Return the tiles in order by what stands above them, and how many stand side by side where that is given."""
    groups = list(dict.fromkeys(one.name for panel in panels.values() for one in panel))
    if len(panels) == 1 or len(groups) == 1:
        single = len(groups) == 1 and len(panels) > 1
        return {facet if single else one.name: one for facet, panel in panels.items() for one in panel}, None
    aligned = len(groups) <= MOST_ACROSS
    nothing = np.zeros((0, 0))
    found = {}
    for facet, panel in panels.items():
        held = {one.name: one for one in panel}
        for name in groups:
            if name in held or aligned:  # a panel without the group keeps its place in the column open
                gap = Tile(name, np.zeros(0), np.zeros(0), nothing, nothing.astype(np.uint8))
                found[f"{facet} {DOT} {name}"] = held.get(name, gap)
    return found, len(groups) if aligned else None


def _about(tiles: Sequence[Tile], order: str) -> str:
    """Say what a tile is, with the number of runs."""
    if not tiles:
        return ""
    sizes = sorted({one.runs for one in tiles})
    number = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    units = tiles[0].row == "unit" and order == "mean"
    if sizes[-1] == 1:
        return "One run in each map; its units are sorted by their mean, largest at the top." if units else ""
    ranked = ", its units sorted by their mean first, since unit numbers mean nothing across seeds" if units else ""
    same = (
        " Units of one number are pooled, which suits runs of the same weights alone." if tiles[0].row == "unit" else ""
    )
    return f"Each map is the median over its {number} runs, cell by cell{ranked}.{'' if units else same}"


@dataclass(frozen=True)
class Colours:
    """The common colours: their ends, and whether they are log10 of the size of what is stored as it is."""

    low: float
    high: float
    sized: bool = False


def _scale(tiles: Sequence[Tile]) -> Colours:
    """Return the colours of tiles."""
    found = [one.values[np.isfinite(one.values)] for one in tiles]
    finite = np.concatenate([np.zeros(0), *found])
    if tiles and not is_logarithmic(tiles[0].unit):
        if np.abs(finite).max(initial=0.0) > LARGE:  # an unbounded activation that grew: only its size has a scale
            sizes = np.log10(np.abs(finite[finite != 0]))
            return Colours(float(sizes.min()), float(sizes.max()), True)
        largest = float(np.abs(finite).max(initial=1.0))
        return Colours(-largest if (finite < 0).any() else 0.0, largest)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (-1.0, 0.0)
    return Colours(low if high > low else low - 1.0, high)


@dataclass(frozen=True)
class Atlas:
    """What the tiles of one figure share."""

    probe: str
    part: str
    order: str
    backwards: bool
    template: str
    title: bool
    scale: Colours
    limit: int

    def name(self) -> str:
        """Return what the figure shows: the title of the probe, and the part of it."""
        title = CATALOGUE[self.probe].title
        return f"{title}, {self.part}" if self.part else title

    def quantity(self) -> str:
        """Return what stands beside the colours."""
        return self.part or QUANTITIES.get(self.probe, heading(self.probe))

    def canvas(self, one: Tile) -> Canvas:
        """Return the canvas of one tile."""
        canvas = Canvas(self.probe, self.template, self.title)
        canvas.meta["title"] = self.name()
        if not one.runs:
            canvas.add(type="scatter", x=[None], y=[None], showlegend=False, hoverinfo="skip")  # so that there are axes
            canvas.say("No run has it." if one.absent else "No run.")
            return canvas
        values, marks, x, block = self._columns(one)
        log = self.scale.sized or is_logarithmic(one.unit)
        text = "10<sup>%{z:.5f}</sup>" if log else "%{z:.6g}"
        hover = f"{one.axis} %{{x}}, {self.row(one)} %{{y}}"
        finite = np.where(np.isfinite(values), values, np.nan)
        self.add(canvas, one.name, x, one.rows, finite, f"{hover}<br>{text}", "log10" if log else one.unit)
        canvas.cells(x, one.rows, marks.T, hover)
        canvas.lanes(one.missing, "run")
        if one.first_bad_step:
            canvas.mark(one.first_bad_step, on_axis=True, halo=True)
            canvas.notes = [f"{one.name}: {note}" if note.startswith("First bad") else note for note in canvas.notes]
        if block > 1:
            self._say_block(canvas, one, len(x), block)
        if not np.isfinite(values).any() and not canvas.named:  # else the colour of the cells says why
            canvas.say("No finite value.")
        return canvas

    def add(
        self,
        canvas: Canvas,
        name: str,
        x: np.ndarray,
        rows: np.ndarray,
        values: np.ndarray,
        hover: str,
        unit: str,
        series: str = "",
    ) -> None:
        """Add the cells of a tile, (place, row)."""
        canvas.add(
            type="heatmap",
            x=x,
            y=rows,
            z=values.T,
            coloraxis="coloraxis",
            hoverongaps=False,
            hovertemplate=f"{hover}<extra>{plain(name)}</extra>",
            name=plain(name),
            meta={"series": series, "quantity": self.quantity(), "unit": unit},
        )

    def _columns(self, one: Tile) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Return values and marks (place, row) in at most ``limit`` columns, their places, and places in each."""
        values, marks, x = one.values, one.marks, one.x
        block = -(-len(x) // self.limit)
        if block > 1 and is_logarithmic(one.unit):
            keep, marks, block = squeeze(values.T, marks.T, self.limit)
            values, marks = np.take_along_axis(values.T, keep, 1).T, marks.T
            values = np.where((marks > Status.UNDERFLOW), np.nan, values)
            x = middles(x, block)
        elif block > 1:
            x, values, marks = by_block(block, x, values.T, marks.T)
            values, marks = values.T, marks.T
        if self.scale.sized:
            marks = np.where(values == 0, np.uint8(Status.ZERO), marks)
            with np.errstate(divide="ignore"):
                values = np.log10(np.abs(values))
        return values, marks, x, block

    def _say_block(self, canvas: Canvas, one: Tile, columns: int, block: int) -> None:
        """Say that a column stands for several places."""
        method = "largest" if is_logarithmic(one.unit) else "mean"
        canvas.leave_out(plain(one.name), len(one.x), columns, f"{method} of {block} {one.axis}s")
        canvas.notes.append(f"Of {len(one.x):,} {one.axis}s each column shows the {method} of {block}.")

    def row(self, one: Tile) -> str:
        """Return what a row is called under the pointer."""
        return "unit of rank" if one.row == "unit" and self.order == "mean" else one.row

    def rows(self, tiles: Sequence[Tile]) -> dict[str, Any]:
        """Return the common axis of the rows: the first unit or rank at the top, the first lag below."""
        first = next((one for one in tiles if one.runs), None)
        if first is None:
            return {"range": [0, 1], "showticklabels": False}
        rows = np.concatenate([one.rows for one in tiles if one.runs])
        low, high = float(rows.min()), float(rows.max())
        axis: dict[str, Any] = {"showgrid": False, "nticks": 6, "ticks": ""}
        if first.row == "lag":
            pad = 0.5 if low == high else 0.0
            return axis | {"range": [low - pad, high + pad], "title": {"text": place("lag")}, "nticks": 5}
        title = UNITS[self.order] if first.row == "unit" else ROWS.get(first.row, first.row)
        top = first.row == "rank" or (first.row == "unit" and self.order == "mean")
        bounds = [high + 0.5, low - 0.5] if top else [low - 0.5, high + 0.5]
        ticks = sorted({round(low + share * (high - low)) for share in (0, 0.25, 0.5, 0.75, 1)})
        return axis | {"range": bounds, "title": {"text": title}, "ticklabelstandoff": 4, "tickvals": ticks}

    def columns_axis(self, tiles: Sequence[Tile], reaches: Sequence[Reach] | None) -> tuple[dict[str, Any], str]:
        """Return the common axis of the places, and a sentence where some runs reach further."""
        axis = next((one.axis for one in tiles if one.runs), "time")
        low, high, beyond = common_places(reaches or [reach for one in tiles for reach in one.reaches], axis)
        title = {"text": ROWS.get(axis) or place(axis)}
        return {"range": [low - 0.5, high + 0.5], "title": title, "nticks": 5, "showgrid": False}, beyond

    def colours(self) -> dict[str, Any]:
        """Return the common colour axis."""
        scale, unit = self.scale, CATALOGUE[self.probe].unit
        signed = scale.low < 0 and not scale.sized and not is_logarithmic(unit)
        found: dict[str, Any] = {"cmin": scale.low, "cmax": scale.high}
        found |= {"autocolorscale": True} if signed else {"colorscale": palette.scale(palette.SEQUENTIAL)}
        log = scale.sized or is_logarithmic(unit)
        ticks = scales.log_axis(scale.low, scale.high) if log else {"nticks": 5}
        size = "size of " if scale.sized else ""
        text = axis_title(self.probe, scale.sized, f"{size}{self.quantity()}")
        return found | {"colorbar": colorbar(text, **{key: one for key, one in ticks.items() if key != "range"})}

    def finish(
        self,
        canvases: Mapping[str, Canvas],
        tiles: Sequence[Tile],
        told: Mapping[str, str],
        columns: int | None,
        about: str,
        colours: dict[str, Any] | None = None,
        reaches: Sequence[Reach] | None = None,
    ) -> go.Figure:
        """Return the figure of tiles, with what they have in common."""
        first = next(iter(canvases.values()))
        across, beyond = self.columns_axis(tiles, reaches)
        first.notes = [*self._notes(tiles), *filter(None, (beyond,)), *first.notes]
        axis, level = self.rows(tiles), columns or columns_of(len(canvases))
        for number, canvas in enumerate(canvases.values()):
            start = number - number % level
            canvas.layout["yaxis"] = dict(axis)
            canvas.floor = max(one.floor for one in list(canvases.values())[start : start + level])
            said = (about, self._aligned(tiles), CATALOGUE[self.probe].caption)
            canvas.meta["caption"] = " ".join(filter(None, said))
        height = rows_of(len(canvases), columns)
        more: dict[str, Any] = {"coloraxis": colours or self.colours(), "hovermode": "closest"}
        more["showlegend"] = any(canvas.named for canvas in canvases.values())
        if told or len(canvases) > 1:  # the names of the tiles stand beneath it
            more["legend"] = {"y": 1 + 0.14 / height}
        return tiled(canvases, across, more, columns=columns, told=told)

    def nothing(self, tiles: Sequence[Tile]) -> go.Figure:
        """Return the figure that says that no run has what is to be shown."""
        canvas = Canvas(self.probe, self.template, self.title)
        canvas.notes = self._notes(tiles)
        canvas.say("None of these runs has it.")
        return canvas.figure(xaxis={"visible": False}, yaxis={"visible": False})

    def _notes(self, tiles: Sequence[Tile]) -> list[str]:
        """Say what is not drawn, and where places were left out."""
        missing: Counter[str] = Counter()
        for one in tiles:
            missing.update(one.absent)
        total = sum(one.runs for one in tiles) + missing.total()
        notes = [
            f"Left out: {number:,} of {scales.count(total, 'run')} ({reason})." for reason, number in missing.items()
        ]
        return [*notes, *dict.fromkeys(text for one in tiles for text in one.grids)]

    def _aligned(self, tiles: Sequence[Tile]) -> str:
        """Say where runs that do not end at the same place are aligned."""
        ends = sorted({last for one in tiles for last in one.lasts})
        if len(ends) < 2:
            return ""
        turned_round = any(one.axis == "lag" and one.lasts for one in tiles)
        where = "back from the end" if turned_round else "from the start"
        return f"Counted {where}: the runs end at {ends[0]:,.0f} to {ends[-1]:,.0f}."


def columns_within(number: int) -> int:
    """Return how many columns each of so many tiles may have."""
    return WHOLE if number <= FEW else COLUMNS


def middles(x: np.ndarray, block: int) -> np.ndarray:
    """Return the middle of each block of places."""
    return np.array([x[start : start + block].mean() for start in range(0, len(x), block)])
