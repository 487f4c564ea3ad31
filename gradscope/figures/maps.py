"""Heat maps: gradients and writes of every unit over time, and the transport from every time over every lag."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import ArgumentError, unknown
from gradscope.figures import palette, scales
from gradscope.figures.curves import coarse, draw, gather, timeline
from gradscope.figures.frame import Canvas, axis_title, blank, colorbar, place
from gradscope.figures.series import Lane, Series, absence, lanes, part, statuses, turned
from gradscope.record import Field, Record, Status

__all__ = ["Map", "draw_map", "input_gradient", "transport_map", "unit_gradient", "write_survival"]

COLUMNS = 2048  # columns of a heat map: with 256 units, what a browser redraws in about half a second
FEW = 4  # inputs that are drawn as curves
QUANTITIES = {
    "unit_gradient": "|dL/ds|",
    "input_gradient": "|dL/dx|",
    "write_survival": "|w|",
    "transport_map": "transport",
}  # what stands beside the colours
SIGNS = ((1, "positive", palette.BLUE), (-1, "negative", palette.ORANGE))


@dataclass(frozen=True)
class Map:
    """What a heat map over time shows, as plain data.

    Attributes
    ----------
    name : str
        The probe that it belongs to.
    axis : str
        ``"time"`` or ``"step"``: what runs to the right.
    row : str
        What a row is: ``"unit"``, ``"input"`` or ``"lag"``.
    x : ndarray, (N,)
        Where along the axis.
    rows : ndarray, (R,)
        The unit, input or lag of each row, from the bottom up.
    values : ndarray, (R, N)
        log10; NaN where there is none.
    marks : ndarray of uint8, (R, N)
        The status of each cell: that of a value, or why there is none.
    sign : ndarray or None
        The sign of what the values are the size of, where it is to be shown.
    block : int
        Places in each column: it shows the largest of them.
    places : int
        Places in all.
    order : str
        How the rows are sorted, in words.
    missing : tuple of Lane
        How many sequences have no value at each place, where the cells show a median over the others.
    """

    name: str
    axis: str
    row: str
    x: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    marks: np.ndarray
    sign: np.ndarray | None = None
    block: int = 1
    places: int = 0
    order: str = ""
    missing: tuple[Lane, ...] = ()
    notes: tuple[str, ...] = ()
    first_bad_step: dict[str, Any] | None = field(default=None)


# From a field to a map ------------------------------------------------------------------------------------------------


def over_batch(entry: Field) -> Field:
    """Return the median over the batch of a field (time, unit, batch), with the status of each median."""
    values, found = np.asarray(entry.values, float), statuses(entry)
    used = found <= Status.UNDERFLOW
    count = used.sum(2)
    ordered = np.sort(np.where(used, values, np.nan), axis=2)  # NaN sorts last
    lower, upper = (
        np.take_along_axis(ordered, np.maximum(at, 0)[..., None], 2)[..., 0] for at in ((count - 1) // 2, count // 2)
    )
    upper = np.where(count == 1, lower, upper)
    middle = np.where(count > 0, np.where(lower == upper, lower, lower / 2 + upper / 2), np.nan)
    marks = np.where(2 * (found == Status.UNDERFLOW).sum(2) > count, np.uint8(Status.UNDERFLOW), np.uint8(0))
    marks = np.where(np.isneginf(middle), np.uint8(Status.ZERO), marks)
    marks = np.where(count == 0, found.max(2), marks)
    return Field(entry.name, middle, entry.axes[:2], entry.unit, entry.coords, marks)


def squeeze(values: np.ndarray, marks: np.ndarray, limit: int = COLUMNS) -> tuple[np.ndarray, np.ndarray, int]:
    """Return which place of each block of columns to keep, the status there, and the size of a block.

    The largest value of a block is kept, so that every peak survives. NaN or inf anywhere in a block marks it; other
    gaps do where they fill it.

    Parameters
    ----------
    values, marks : ndarray, (R, N)
    limit : int
        The most columns.

    Returns
    -------
    keep : ndarray of int, (R, M)
    status : ndarray of uint8, (R, M)
    block : int
    """
    rows, size = values.shape
    block = -(-size // limit)
    if block == 1:
        return np.broadcast_to(np.arange(size), values.shape), marks, 1
    columns = -(-size // block)
    fill = ((0, 0), (0, columns * block - size))
    cut = np.pad(np.where(np.isnan(values), -np.inf, values), fill, constant_values=-np.inf)
    held = np.pad(marks, fill, mode="edge").reshape(rows, columns, block)
    # A gap loses against an exact zero, both of them -inf.
    rank = np.where(held > Status.UNDERFLOW, -np.inf, np.maximum(cut.reshape(held.shape), -np.finfo(float).max))
    keep = rank.argmax(2)
    status = np.take_along_axis(held, keep[..., None], 2)[..., 0]
    bad = np.where((held == Status.NAN) | (held == Status.INF), held, 0).max(2)
    places = np.minimum(keep + block * np.arange(columns), size - 1)
    return places, np.where(bad > 0, bad, status).astype(np.uint8), block


def units_over_time(record: Record, name: str, entry: Field, sort: bool, sign: np.ndarray | None = None) -> Map:
    """Return the map of a field (time or step, unit or input).

    Parameters
    ----------
    record : Record
    name : str
        The probe.
    entry : Field
        With two axes.
    sort : bool
        Whether the rows are sorted by their mean, largest at the top.
    sign : ndarray, optional
        Of the field's shape.
    """
    values, marks = np.asarray(entry.values, float).T, statuses(entry).T
    x = np.asarray(entry.coord(entry.axes[0]), float)
    keep, status, block = squeeze(values, marks)
    shown = np.take_along_axis(values, keep, 1)
    shown = np.where((status > Status.UNDERFLOW) | (status == Status.ZERO), np.nan, shown)
    order = np.argsort(_means(shown), kind="stable") if sort else np.arange(len(shown))
    middle = x if block == 1 else np.array([x[i : i + block].mean() for i in range(0, len(x), block)])
    return Map(
        name=name,
        axis=entry.axes[0],
        row=entry.axes[1],
        x=middle,
        rows=np.asarray(entry.coord(entry.axes[1]))[order],
        values=shown[order],
        marks=status[order],
        sign=None if sign is None else np.take_along_axis(sign.T, keep, 1)[order],
        block=block,
        places=len(x),
        order=", sorted by mean" if sort else "",
        first_bad_step=record.summary.get("first_bad_step"),
    )


def _means(values: np.ndarray) -> np.ndarray:
    """Return the mean of each row over what is finite; -inf for a row without any."""
    finite = np.isfinite(values)
    shares = np.where(finite, values, 0) / np.maximum(finite.sum(1, keepdims=True), 1)
    return np.where(finite.any(1), shares.sum(1), -np.inf)


def _missing(entry: Field) -> list[Lane]:
    """Return the lanes of what is masked, NaN or inf: the most sequences of any unit at each time."""
    found = statuses(entry)
    counts: dict[Status, np.ndarray] = {
        s: (found == s).sum(2).max(1) for s in Status if s > Status.UNDERFLOW and s != Status.NOT_APPLICABLE
    }
    x = np.asarray(entry.coord(entry.axes[0]), float)
    gone = np.full(len(x), np.nan)
    held = {status: count for status, count in counts.items() if count.any()}
    return lanes([Series("", x, gone, gone, gone, np.zeros(len(x), bool), held, found.shape[2])])


# From a map to a figure -----------------------------------------------------------------------------------------------


def draw_map(data: Map, template: str = "light", title: bool = False) -> go.Figure:
    """Return the figure of a heat map."""
    canvas = Canvas(data.name, template, title)
    finite = data.values[np.isfinite(data.values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (-1.0, 0.0)
    low = low if high > low else low - 1.0
    rows: Any = data.rows if data.row == "lag" else [str(label) for label in data.rows]
    hover = f"{data.axis} %{{x}}, {data.row} %{{y}}"
    for number, (sign, word, colour) in enumerate(SIGNS if data.sign is not None else ((0, "", ""),)):
        shown = data.values if data.sign is None else np.where(data.sign == sign, data.values, np.nan)
        canvas.add(
            type="heatmap",
            x=data.x,
            y=rows,
            z=shown,
            zmin=low,
            zmax=high,
            colorscale=[[0, palette.faded(colour, 0.1)], [1, colour]] if colour else palette.scale(palette.SEQUENTIAL),
            colorbar=_bar(data, low, high, word, number),
            hoverongaps=False,
            hovertemplate=f"{hover}<br>{_signed(sign)}10<sup>%{{z:.5f}}</sup><extra></extra>",
            name=word or "value",
            meta={"quantity": QUANTITIES[data.name], "unit": "log10"},
        )
    canvas.cells(data.x, rows, data.marks, hover)
    canvas.lanes(data.missing, "sequence")
    canvas.mark(data.first_bad_step, on_axis=True, halo=True)
    canvas.notes += data.notes
    if data.block > 1:
        canvas.leave_out("heat map", data.places, len(data.x), f"largest of {data.block} {data.axis}s")
        canvas.notes.append(f"Each column shows the largest of {data.block} {data.axis}s.")
    if not finite.size:
        canvas.say("No finite value.")
    axis = timeline(data.x, data.axis)
    edge = 0.5 * data.block
    axis["range"] = [float(data.x.min()) - edge, float(data.x.max()) + edge]
    canvas.layout["yaxis"] = _rows(data)
    return canvas.figure(xaxis=axis, hovermode="closest")


def _signed(sign: int) -> str:
    """Return the sign that stands before a value."""
    return scales.MINUS if sign < 0 else ""


def _bar(data: Map, low: float, high: float, word: str, number: int) -> dict[str, Any]:
    """Return the colour bar; of two signs each has half the height."""
    ticks = {key: value for key, value in scales.log_axis(low, high).items() if key != "range"}
    if not word:
        return colorbar(axis_title(data.name, quantity=QUANTITIES[data.name]), **ticks)
    half = {"len": 0.46, "y": 1.0 - 0.54 * number, "yanchor": "top", "nticks": 4}
    ticks |= {"tickprefix": f"{_signed(1 - 2 * number)}{ticks['tickprefix']}"} if "tickprefix" in ticks else {}
    if "ticktext" in ticks:
        ticks["ticktext"] = [f"{_signed(1 - 2 * number)}{text}" for text in ticks["ticktext"]]
    return colorbar(f"w {'><'[number]} 0 [1]", **(ticks | half))


def _rows(data: Map) -> dict[str, Any]:
    """Return the axis of the rows."""
    if data.row == "lag":
        pad = 0.5 if len(data.rows) == 1 else 0.0
        bounds = [float(data.rows.min()) - pad, float(data.rows.max()) + pad]
        return {"range": bounds, "title": {"text": place("lag")}, "showgrid": False}
    axis = {"type": "category", "range": [-0.5, len(data.rows) - 0.5], "nticks": 8, "showgrid": False, "ticks": ""}
    return axis | {"ticklabelstandoff": 4, "title": {"text": f"{data.row}{data.order}"}}


# The probes -----------------------------------------------------------------------------------------------------------


def unit_gradient(
    record: Record, *, block: str | None = None, order: str = "mean", template: str = "light", title: bool = False
) -> go.Figure:
    """Draw the total gradient of each unit over time, root mean square over the batch.

    Rows that stay bright are the units through which the loss is heard far back; when all fade alike, no unit serves
    as memory. Exact zeros, masked cells, NaN and inf have a colour of their own, a veil lies on what is below the float
    range. Beyond 1,024 times each column shows the largest of a block, and the figure says so.

    Parameters
    ----------
    record : Record
        With the probe ``unit_gradient``.
    block : str, optional
        One block of the state, such as ``"h"`` or ``"c"``; all together by default.
    order : str
        ``"mean"`` sorts the rows by their mean, ``"unit"`` leaves them as they are numbered.
    template : str
        ``"light"`` or ``"dark"``.
    title : bool
        Whether to write the title into the figure.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ArgumentError
        When the record does not hold the probe, or for another block, order or template.
    """
    if order not in ("mean", "unit"):
        raise unknown("order", order, ("mean", "unit"))
    sentence = absence(record, "unit_gradient")
    if sentence:
        return blank("unit_gradient", sentence, template, title)
    entry = record.field("unit_gradient")
    if block is not None:
        whole = record.field("unit_gradient.blocks")
        blocks = [str(label) for label in whole.coord("block")]
        if block not in blocks:
            raise unknown("block", block, blocks)
        entry = part(whole, "block", blocks.index(block))
    return draw_map(units_over_time(record, "unit_gradient", entry, order == "mean"), template, title)


def input_gradient(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the norm of dL/dx_t for each input over the steps: curves for up to four inputs, else a heat map.

    How much the loss would change with what was read at a step. Parameters and errors as in :func:`unit_gradient`,
    without block and order.
    """
    sentence = absence(record, "input_gradient")
    if sentence:
        return blank("input_gradient", sentence, template, title)
    entry = record.field("input_gradient")
    if entry.values.shape[1] > FEW:
        return draw_map(units_over_time(record, "input_gradient", entry, sort=False), template, title)
    labels = [f"input {label}" for label in entry.coord("input")]
    rows = turned(entry, "input", "step")
    rows.coords["input"] = labels
    colours = dict(zip(labels, palette.ramp(len(labels)), strict=True))
    return draw(gather(record, "input_gradient", split="input", entry=rows, colours=colours), template, title)


def write_survival(
    record: Record, *, sequence: int | None = None, template: str = "light", title: bool = False
) -> go.Figure:
    """Draw how much of each write is still in the last cell state, unit by unit.

    Time 0 is the initial cell state, time t the write of step t - 1. The median of the size over the batch, or one
    sequence with its signs: blue adds to the last cell state, orange takes away. Cells without a value and long
    sequences as in :func:`unit_gradient`.

    Parameters
    ----------
    record : Record
        With the probe ``write_survival``; a cell without a cell state gets a sentence instead.
    sequence : int, optional
        Which sequence of the batch to show with its signs; the median over all by default.
    template : str
        ``"light"`` or ``"dark"``.
    title : bool
        Whether to write the title into the figure.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ArgumentError
        When the record does not hold the probe, or for a sequence that there is not, or another template.
    """
    sentence = absence(record, "write_survival")
    if sentence:
        return blank("write_survival", sentence, template, title)
    entry = record.field("write_survival")
    if sequence is None:
        data = units_over_time(record, "write_survival", over_batch(entry), sort=True)
        return draw_map(replace(data, missing=tuple(_missing(entry))), template, title)
    batch = entry.values.shape[2]
    if not 0 <= sequence < batch:
        raise ArgumentError(f"`sequence` must be from 0 to {batch - 1}, got {sequence}. Leave it out for the median.")
    signs = part(record.field("write_survival.sign"), "batch", sequence).values
    one = part(entry, "batch", sequence)
    return draw_map(units_over_time(record, "write_survival", one, True, np.asarray(signs)), template, title)


def transport_map(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw how much of a small change at each time is left at each lag, root mean square over the batch.

    The picture of the whole sequence: upright stripes are places that everything after them forgets, rows that darken
    alike mean that the lag alone decides. The corner beyond the last step stays blank. Both axes hold a coarse grid,
    and the figure says which. Parameters and errors as in :func:`unit_gradient`, without block and order.
    """
    sentence = absence(record, "transport_map")
    if sentence:
        return blank("transport_map", sentence, template, title)
    entry = record.field("transport_map")
    marks = statuses(entry).T
    values = np.where(marks > Status.UNDERFLOW, np.nan, np.asarray(entry.values, float).T)
    values = np.where(np.isfinite(values), values, np.nan)
    notes = []
    for axis in entry.axes:
        grid = coarse(record, entry, axis)
        notes += [f"{grid[0]:,} of {grid[1]:,} {axis}s"] if grid else []
    sentences = (f"A coarse grid: {' and '.join(notes)}.",) if notes else ()
    data = Map(
        name="transport_map",
        axis="time",
        row="lag",
        x=np.asarray(entry.coord("time"), float),
        rows=np.asarray(entry.coord("lag"), float),
        values=values,
        marks=marks,
        places=values.shape[1],
        notes=sentences,
        first_bad_step=record.summary.get("first_bad_step"),
    )
    figure = draw_map(data, template, title)
    if marks[-1, -1] == Status.NOT_APPLICABLE:
        corner = {"xref": "x domain", "yref": "y domain", "x": 1, "y": 1, "xanchor": "right", "yanchor": "top"}
        figure.add_annotation(corner | {"text": "beyond the last state", "xshift": -6, "yshift": -4})
    return figure
