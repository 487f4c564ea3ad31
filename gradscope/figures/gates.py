"""Figures of the gates: saturation as strips, activation as a picture of units over steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import unknown
from gradscope.figures import palette, scales
from gradscope.figures.curves import timeline
from gradscope.figures.frame import Canvas, axis_title, blank, colorbar, outline
from gradscope.figures.series import Series, absence, along, lanes, part, statuses
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Record, Status

__all__ = [
    "Picture",
    "Strips",
    "by_block",
    "draw_picture",
    "draw_strips",
    "gate_activation",
    "gate_saturation",
    "picture",
    "strips",
]

KEEP = ("forget", "update")
HALF = 0.44  # of a row: the height of a full strip, on either side
FULL = (0.05, 0.1, 0.2, 0.5, 1.0)
POINTS = 400  # of a strip's side; its outline passes each twice
LARGE = 1e3  # a size of values beyond which only a log scale shows them
COLUMNS = 2048  # columns of a heat map: with 256 units, what a browser redraws in about half a second
SIDES = {"right": "right: over 0.9 of the range", "left": "left: under 0.1 of the range"}


@dataclass(frozen=True)
class Strips:
    """What the strips of saturation show: for each gate a series to the left and one to the right.

    ``inapplicable`` names the gates that have neither; ``scale`` is the share at which a strip is full.
    """

    gates: tuple[str, ...]
    left: tuple[Series, ...]
    right: tuple[Series, ...]
    inapplicable: tuple[str, ...]
    scale: float
    first_bad_step: dict[str, Any] | None = None


@dataclass(frozen=True)
class Picture:
    """What the heat map of one gate shows.

    Attributes
    ----------
    gate : str
    x : ndarray, (N,)
        Steps, or the middle of each block of steps.
    units : ndarray of int, (H,)
        The unit in each row, from the bottom up.
    values : ndarray, (H, N)
        Median over the batch; NaN where there is none.
    marks : ndarray of uint8, (H, N)
        The status of each cell that has no value, else 0.
    bounds : tuple of float
        The ends of the colour scale.
    order : str
        ``"mean"`` or ``"unit"``.
    log : bool
        Whether the values are log10 of their size: an unbounded activation that grew past 1,000.
    block : int
        Steps in each column.
    steps : int
        Steps in all.
    """

    gate: str
    x: np.ndarray
    units: np.ndarray
    values: np.ndarray
    marks: np.ndarray
    bounds: tuple[float, float]
    order: str
    log: bool
    block: int
    steps: int
    first_bad_step: dict[str, Any] | None = None


def gate_saturation(record: Record, *, over: str = "step", template: str = "light", title: bool = False) -> go.Figure:
    """Draw for each gate the share of saturated units: upwards on the right, downwards on the left.

    A forget gate far right remembers, far left is a feed-forward net; an empty strip still decides.

    Parameters
    ----------
    record : Record
        With the probe ``gate_saturation``.
    over : str
        ``"step"`` shows the share of units and sequences at each step; ``"unit"`` shows each unit as a dot, by how
        often it is saturated on either side (Karpathy, Johnson & Li 2015, fig. 3).
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
        When the record does not hold the probe, or for another ``over`` or template.
    """
    if over not in ("step", "unit"):
        raise unknown("over", over, ("step", "unit"))
    sentence = absence(record, "gate_saturation")
    if sentence:
        return blank("gate_saturation", sentence, template, title)
    if over == "unit":
        return draw_units(units(record), template, title)
    return draw_strips(strips(record), template, title)


def strips(record: Record) -> Strips:
    """Return the data of the strips."""
    entry = record.field("gate_saturation")
    gates, sides = entry.coord("gate"), entry.coord("side")
    found = statuses(entry)
    gone = tuple(gate for k, gate in enumerate(gates) if (found[k] == Status.NOT_APPLICABLE).all())
    halves: dict[str, list[Series]] = {"left": [], "right": []}
    kept = [gate for gate in gates if gate not in gone]
    for side, half in halves.items():
        one_side = part(entry, "side", sides.index(side))
        half += [along(one_side, gate, gates.index(gate)) for gate in kept]
    largest = max((one.finite().max(initial=0.0) for half in halves.values() for one in half), default=0.0)
    scale = next((step for step in FULL if step >= largest), largest)
    bad = record.summary.get("first_bad_step")
    return Strips(tuple(gates), tuple(halves["left"]), tuple(halves["right"]), gone, scale, bad)


def draw_strips(data: Strips, template: str = "light", title: bool = False) -> go.Figure:
    """Return the strips: one row for each gate, its baseline in the middle."""
    canvas = Canvas("gate_saturation", template, title)
    rows = {gate: len(data.gates) - 1 - number for number, gate in enumerate(data.gates)}
    for row in rows.values():
        _bed(canvas, row)
    for side, half, sign in (("right", data.right, 1), ("left", data.left, -1)):
        canvas.key(SIDES[side], palette.colour(side))
        for one in half:
            _area(canvas, one, side, rows[one.name], sign * HALF / data.scale)
    for left, right in zip(data.left, data.right, strict=True):
        _reading(canvas, left, right, rows[right.name])
    for gate in data.inapplicable:
        text = "not applicable: the activation is unbounded"
        canvas.layout["annotations"].append({"xref": "x domain", "x": 0.5, "y": rows[gate], "text": text})
    _ruler(canvas, len(rows) - 1, data.scale)
    found = np.concatenate([one.finite() for one in (*data.left, *data.right)] or [np.zeros(0)])
    if found.size and not found.any():
        canvas.notes.append("Nothing is saturated at any step.")
    canvas.lanes(lanes(data.right), "value")
    canvas.mark(data.first_bad_step, on_axis=True)
    canvas.layout["yaxis"] = {
        "range": [-0.5, len(rows) - 0.5],
        "tickvals": list(rows.values()),
        "ticktext": list(rows),
        "tickfont": {"size": 12},
        "ticklen": 0,
        "showgrid": False,
        "title": {"text": axis_title("gate_saturation")},
        "fixedrange": True,
    }
    x = data.right[0].x if data.right else np.zeros(1)
    figure = canvas.figure(xaxis=timeline(x, "step"), hoversubplots="axis")
    return figure.update_layout(margin_r=44)


def _bed(canvas: Canvas, row: int) -> None:
    """Draw the strip that the areas of a gate lie on, and its baseline."""
    shape = {"type": "rect", "xref": "x domain", "x0": 0, "x1": 1, "layer": "below"}
    fill = {"fillcolor": palette.faded(palette.NEUTRAL, 0.09), "line": {"width": 0}}
    canvas.layout["shapes"].append(shape | fill | {"y0": row - HALF, "y1": row + HALF})
    canvas.rule(row, "solid")


def _ruler(canvas: Canvas, row: int, scale: float) -> None:
    """Write the scale of every strip beside the topmost."""
    for shift, number in ((HALF, scale), (0.0, 0.0), (-HALF, scale)):
        text = {"text": f"{number:g}", "font": {"size": 10}, "name": "scale"}
        canvas.layout["annotations"].append(
            {"xref": "x domain", "x": 1, "xanchor": "left", "xshift": 4, "y": row + shift} | text
        )


def _area(canvas: Canvas, series: Series, side: str, row: int, stretch: float) -> None:
    """Draw one side of a strip: an area from the baseline."""
    name, colour = f"{series.name}, {side}", palette.colour(side)
    places = canvas.thinned(name, series.median, POINTS)
    height = row + stretch * series.median[places]
    x, y = outline(series.x[places], np.where(np.isfinite(height), float(row), np.nan), height, 0.4)
    canvas.area(x, y, name, palette.faded(colour, 0.75), {"width": 1, "color": colour}, meta={"role": "aid"})


def _reading(canvas: Canvas, left: Series, right: Series, row: int) -> None:
    """Add the invisible line that says both shares of a gate at a step."""
    places = canvas.thinned(f"{right.name}, both", left.median / 2 + right.median / 2, POINTS)
    shares = [(scales.value(float(right.median[place])), scales.value(float(left.median[place]))) for place in places]
    texts = [f"right {above} \N{MIDDLE DOT} left {below}" for above, below in shares]
    usable = np.isfinite(right.median[places])
    canvas.add(
        type="scatter",
        x=right.x[places],
        y=np.where(usable, float(row), np.nan),
        mode="lines",
        line={"width": 0, "color": palette.colour(right.name)},
        text=texts,
        hovertemplate="%{text}" + f"<extra>{right.name}</extra>",
        name=right.name,
        showlegend=False,
        customdata=np.stack([left.median[places], right.median[places]], axis=1),
        meta={"role": "shares", "parts": ["left", "right"]},
    )


@dataclass(frozen=True)
class Units:
    """What the dots of saturation show: each unit's share of steps and sequences on either side, by gate."""

    left: dict[str, np.ndarray]
    right: dict[str, np.ndarray]
    bad: int


def units(record: Record) -> Units:
    """Return the data of the dots; units without a value are counted in ``bad``."""
    entry = record.field("gate_saturation.unit")
    sides, found = entry.coord("side"), statuses(entry)
    left, right, bad = {}, {}, 0
    for k, gate in enumerate(entry.coord("gate")):
        usable = (found[k] <= Status.UNDERFLOW).all(0)
        if (found[k] != Status.NOT_APPLICABLE).any():
            left[gate], right[gate] = (
                np.where(usable, np.asarray(entry.values, float)[k, sides.index(side)], np.nan)
                for side in ("left", "right")
            )
            bad += int((~usable).sum())
    return Units(left, right, bad)


def draw_units(data: Units, template: str = "light", title: bool = False) -> go.Figure:
    """Return the dots: one for each unit, a colour for each gate."""
    canvas = Canvas("gate_saturation", template, title)
    for gate in data.left:
        name = palette.colour(gate)
        numbers = np.arange(len(data.left[gate]))
        canvas.add(
            type="scatter",
            x=data.left[gate],
            y=data.right[gate],
            customdata=numbers,
            mode="markers",
            name=gate,
            marker={"color": palette.faded(name, 0.55), "size": 9, "line": {"color": name, "width": 1}},
            hovertemplate="unit %{customdata}: right %{y:.9g}, left %{x:.9g}" + f"<extra>{gate}</extra>",
            meta={"label": "unit"},
            cliponaxis=False,
        )
    line = {"color": palette.faded(palette.NEUTRAL, 0.8), "width": 1, "dash": "dash"}
    canvas.layout["shapes"].append({"type": "line", "x0": 0, "y0": 1, "x1": 1, "y1": 0, "line": line, "layer": "below"})
    if data.bad:
        canvas.notes.append(
            f"{scales.count(data.bad, 'unit')} without a finite share {'is' if data.bad == 1 else 'are'} not drawn."
        )
    unit = CATALOGUE["gate_saturation"].unit
    axis = {"range": [-0.015, 1.02], "showgrid": True, "nticks": 6}
    return canvas.figure(
        xaxis=axis | {"title": {"text": f"saturated left [{unit}]"}},
        yaxis=axis | {"title": {"text": f"saturated right [{unit}]"}},
        hovermode="closest",
    )


def gate_activation(
    record: Record,
    *,
    gate: str | None = None,
    show: str = "units",
    order: str = "mean",
    stretch: bool = False,
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw one gate unit by unit over the steps, or the distribution of every gate.

    Rows that stay bright are units that hold their gate open; rows that change with the input are units that decide.
    NaN and missing cells have a colour of their own, named in the legend. Beyond 1,024 steps each column is the mean
    of a block, and the axis says so.

    Parameters
    ----------
    record : Record
        With the probe ``gate_activation``.
    gate : str, optional
        Which gate; the one that keeps the state (forget, update) by default, else the first.
    show : str
        ``"units"`` for the heat map, ``"histogram"`` for the distribution over units, steps and sequences of all gates.
    order : str
        ``"mean"`` sorts the rows by their mean, ``"unit"`` leaves them as they are numbered.
    stretch : bool
        Whether the colours span the values that occur; else the whole range, so that figures compare.
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
        When the record does not hold the probe, or for an unknown gate, ``show``, ``order`` or template.
    """
    if show not in ("units", "histogram"):
        raise unknown("show", show, ("units", "histogram"))
    sentence = absence(record, "gate_activation")
    if sentence:
        return blank("gate_activation", sentence, template, title)
    if show == "histogram":
        return draw_histogram(histogram(record), template, title)
    return draw_picture(picture(record, gate, order, stretch), template, title)


def picture(record: Record, gate: str | None = None, order: str = "mean", stretch: bool = False) -> Picture:
    """Return the data of the heat map of one gate."""
    entry = record.field("gate_activation")
    gates = [str(name) for name in entry.coord("gate")]
    if gate is None:
        gate = next((name for name in KEEP if name in gates), gates[0])
    if gate not in gates:
        raise unknown("gate", gate, gates)
    if order not in ("mean", "unit"):
        raise unknown("order", order, ("mean", "unit"))
    k = gates.index(gate)
    found = statuses(entry)[k].T
    marks = np.where(found > Status.UNDERFLOW, found, np.uint8(0))
    values = np.where(marks > 0, np.nan, np.asarray(entry.values[k], float).T)  # (H, T)
    x, steps = np.asarray(entry.coord("step"), float), values.shape[1]
    block = -(-steps // COLUMNS)
    if block > 1:
        x, values, marks = by_block(block, x, values, marks)
    rows = np.argsort(_means(values), kind="stable") if order == "mean" else np.arange(len(values))
    log = bool(np.abs(values[np.isfinite(values)]).max(initial=0.0) > LARGE)
    if log:
        marks = np.where(values == 0, np.uint8(Status.ZERO), marks)
        values = np.log10(np.abs(values), out=np.full(values.shape, np.nan), where=np.isfinite(values) & (values != 0))
    return Picture(
        gate=gate,
        x=x,
        units=rows,
        values=values[rows],
        marks=marks[rows],
        bounds=(float(np.nanmin(values)), float(np.nanmax(values))) if log else _limits(values, stretch),
        order=order,
        log=log,
        block=block,
        steps=steps,
        first_bad_step=record.summary.get("first_bad_step"),
    )


def by_block(block: int, x: np.ndarray, *arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return middles of blocks of steps, means of what is finite, and the largest status in each."""
    values, marks = arrays
    cuts = np.arange(0, len(x), block)
    sizes = np.diff(np.append(cuts, len(x)))
    usable = np.isfinite(values)
    number = np.add.reduceat(usable, cuts, axis=1, dtype=int)
    shares = np.where(usable, values, 0) / np.repeat(np.maximum(number, 1), sizes, axis=1)
    means = np.where(number > 0, np.add.reduceat(shares, cuts, axis=1), np.nan)
    return np.add.reduceat(x, cuts) / sizes, means, np.maximum.reduceat(marks, cuts, axis=1)


def _means(values: np.ndarray) -> np.ndarray:
    """Return the mean of each row over what is finite; -inf for a row without any."""
    usable = np.isfinite(values)
    number = usable.sum(1, keepdims=True)
    return np.where(usable.any(1), (np.where(usable, values, 0) / np.maximum(number, 1)).sum(1), -np.inf)


def _limits(values: np.ndarray, stretch: bool) -> tuple[float, float]:
    """Return the ends of the colour scale: 0 to 1, or balanced around 0 for what has a sign."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if stretch and high > low >= 0:
        return low, high
    if low < 0:
        largest = max(-low, high) if stretch else max(1.0, -low, high)
        return -largest, largest
    return 0.0, max(1.0, high)


def draw_picture(data: Picture, template: str = "light", title: bool = False) -> go.Figure:
    """Return the heat map of one gate."""
    canvas = Canvas("gate_activation", template, title)
    labels = [str(unit) for unit in data.units]
    name = f"size of {data.gate}" if data.log else data.gate
    bar = colorbar(f"{name} [{CATALOGUE['gate_activation'].unit}]", nticks=5)
    scale: dict[str, Any] = {"autocolorscale": True}
    shown = "%{z:.9g}"
    if data.log:
        bar |= {"tickprefix": "10<sup>", "ticksuffix": "</sup>", "tickformat": "~g"}
        scale = {"colorscale": palette.scale(palette.SEQUENTIAL)}
        shown = "10<sup>%{z:.6f}</sup>"
    canvas.add(
        type="heatmap",
        x=data.x,
        y=labels,
        z=data.values,
        zmin=data.bounds[0],
        zmax=data.bounds[1],
        colorbar=bar,
        hovertemplate=f"step %{{x}}, unit %{{y}}<br>{name} {shown}<extra></extra>",
        name=data.gate,
        meta={"unit": "log10"} if data.log else None,
        **scale,
    )
    canvas.cells(data.x, labels, data.marks, "step %{x}, unit %{y}")
    canvas.mark(data.first_bad_step, on_axis=True, halo=True)
    if data.block > 1:
        canvas.leave_out(data.gate, data.steps, len(data.x), f"mean of {data.block} steps")
        canvas.notes.append(f"Each column is the mean of {data.block} steps.")
    axis = timeline(data.x, "step")
    edge = 0.5 * data.block
    axis["range"] = [data.x[0] - edge, data.x[-1] + edge]
    rank = "unit, sorted by mean" if data.order == "mean" else "unit"
    rows = {"type": "category", "range": [-0.5, len(labels) - 0.5], "nticks": 8, "showgrid": False, "ticks": ""}
    rows["ticklabelstandoff"] = 4
    return canvas.figure(xaxis=axis, yaxis=rows | {"title": {"text": rank}}, hovermode="closest")


@dataclass(frozen=True)
class Histogram:
    """What the distribution shows: the share of all activations in each bin of the range, by gate."""

    centres: np.ndarray
    shares: dict[str, np.ndarray]


def histogram(record: Record) -> Histogram:
    """Return the data of the distribution; a gate to which it does not apply is left out."""
    entry = record.field("gate_activation.histogram")
    found = statuses(entry)
    shares = {
        str(gate): np.where(found[k] <= Status.UNDERFLOW, entry.values[k], np.nan)
        for k, gate in enumerate(entry.coord("gate"))
        if (found[k] != Status.NOT_APPLICABLE).any()
    }
    return Histogram(np.asarray(entry.coord("bin"), float), shares)


def draw_histogram(data: Histogram, template: str = "light", title: bool = False) -> go.Figure:
    """Return the distributions as lines over the range of the activation."""
    canvas = Canvas("gate_activation", template, title)
    for gate, shares in data.shares.items():
        canvas.add(
            type="scatter",
            x=data.centres,
            y=shares,
            mode="lines",
            name=gate,
            line={"color": palette.colour(gate), "width": 2, "shape": "hvh", "dash": palette.dash(gate)},
            hovertemplate="%{y:.9g}" + f"<extra>{gate}</extra>",
        )
    finite = np.concatenate([shares[np.isfinite(shares)] for shares in data.shares.values()] or [np.zeros(0)])
    gone = sum(int((~np.isfinite(shares)).sum()) for shares in data.shares.values())
    if not finite.size:
        canvas.say("No finite value: every share is NaN or not applicable.")
    elif gone:
        canvas.notes.append(
            f"{scales.count(gone, 'bin')} without a finite share {'is' if gone == 1 else 'are'} not drawn."
        )
    return canvas.figure(
        xaxis={"title": {"text": "place in the activation's range, 0 to 1 [1]"}, "range": [0, 1]},
        yaxis=scales.linear_axis(finite) | {"title": {"text": "Share of activations in a bin [fraction]"}},
    )
