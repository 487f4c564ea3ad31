"""Figures of the gates: saturation as strips, activation as a picture of units over steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import unknown
from gradscope.figures import palette, scales
from gradscope.figures.curves import timeline
from gradscope.figures.frame import Canvas, axis_title, blank
from gradscope.figures.series import Series, absence, along, lanes, runs, statuses
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Record, Status

__all__ = [
    "Picture",
    "Strips",
    "draw_picture",
    "draw_strips",
    "gate_activation",
    "gate_saturation",
    "picture",
    "strips",
]

KEEP = ("forget", "update")
COLUMNS = 1000  # columns of a heat map: what a browser redraws at once
SIDES = {"right": "right: over 0.9 of the range", "left": "left: under 0.1 of the range"}


@dataclass(frozen=True)
class Strips:
    """What the strips of saturation show: for each gate a series to the left and one to the right."""

    gates: tuple[str, ...]
    left: tuple[Series, ...]
    right: tuple[Series, ...]
    inapplicable: tuple[str, ...]
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
    values : ndarray of float32, (H, N)
        Median over the batch; NaN where there is none.
    marks : ndarray of uint8, (H, N)
        The status of each cell that has no value, else 0.
    bounds : tuple of float
        The ends of the colour scale.
    sorted : bool
        Whether the rows are in the order of their mean.
    block : int
        Steps in each column.
    """

    gate: str
    x: np.ndarray
    units: np.ndarray
    values: np.ndarray
    marks: np.ndarray
    bounds: tuple[float, float]
    sorted: bool
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
        part = _at(entry, 1, sides.index(side))
        half += [along(part, gate, gates.index(gate)) for gate in kept]
    bad = record.summary.get("first_bad_step")
    return Strips(tuple(gates), tuple(halves["left"]), tuple(halves["right"]), gone, bad)


def _at(entry: Any, axis: int, index: int) -> Any:
    """Return the field at one place of an axis."""
    values, found = np.take(entry.values, index, axis), np.take(entry.statuses(), index, axis)
    axes = tuple(name for number, name in enumerate(entry.axes) if number != axis)
    return type(entry)(
        entry.name, values, axes, entry.unit, {k: v for k, v in entry.coords.items() if k in axes}, found
    )


def draw_strips(data: Strips, template: str = "light", title: bool = False) -> go.Figure:
    """Return the strips: one row for each gate, its baseline in the middle."""
    canvas = Canvas("gate_saturation", template, title)
    rows = {gate: len(data.gates) - 1 - number for number, gate in enumerate(data.gates)}
    for side, half, sign in (("right", data.right, 1), ("left", data.left, -1)):
        canvas.key(SIDES[side], palette.colour(side))
        for one in half:
            _area(canvas, one, rows[one.name], sign, palette.colour(side))
    for left, right in zip(data.left, data.right, strict=True):
        _reading(canvas, left, right, rows[right.name])
    for row in rows.values():
        canvas.rule(row, "solid")
    for gate in data.inapplicable:
        text = "not applicable: the activation is unbounded"
        canvas.layout["annotations"].append(
            {"xref": "x domain", "x": 0.5, "y": rows[gate], "text": text, "yanchor": "middle"}
        )
    canvas.lanes(lanes(data.right), "value")
    canvas.mark(data.first_bad_step, on_axis=True)
    canvas.layout["yaxis"] = {
        "range": [-0.55, len(rows) - 0.45],
        "tickvals": list(rows.values()),
        "ticktext": list(rows),
        "tickfont": {"size": 12},
        "ticklen": 0,
        "showgrid": False,
        "title": {"text": axis_title("gate_saturation")},
        "fixedrange": True,
    }
    x = data.right[0].x if data.right else np.zeros(1)
    return canvas.figure(xaxis=timeline(x, "step"), hoversubplots="axis")


def _area(canvas: Canvas, series: Series, row: int, sign: int, colour: str) -> None:
    """Draw one side of a strip: an area from the baseline, of half a row when all units are saturated."""
    outline_x, outline_y = [], []
    places = canvas.thinned(f"{series.name}, {'right' if sign > 0 else 'left'}", series.median, 400)
    x, y = series.x[places], row + sign * 0.46 * series.median[places]
    for start, stop in runs(np.isfinite(y)):
        xs, ys = x[start:stop], y[start:stop]
        if stop - start == 1:
            xs, ys = xs + np.array([-0.4, 0.4]), ys.repeat(2)
        outline_x += [xs[:1], xs, xs[-1:], xs[:1], [np.nan]]
        outline_y += [[row], ys, [row], [row], [np.nan]]
    if outline_x:
        canvas.add(
            type="scatter",
            x=np.concatenate(outline_x[:-1]),
            y=np.concatenate(outline_y[:-1]),
            mode="lines",
            fill="toself",
            line={"width": 1, "color": colour},
            fillcolor=palette.faded(colour, 0.75),
            hoverinfo="skip",
            showlegend=False,
            name=f"{series.name}, {'right' if sign > 0 else 'left'}",
        )


def _reading(canvas: Canvas, left: Series, right: Series, row: int) -> None:
    """Add the invisible line that says both shares of a gate at a step."""
    places = canvas.thinned(f"{right.name}, both", left.median + right.median, 400)
    texts = [
        f"right {scales.value(float(right.median[place]))} \N{MIDDLE DOT} left {scales.value(float(left.median[place]))}"
        for place in places
    ]
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
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw one gate unit by unit over the steps, or the distribution of every gate.

    Rows that stay bright are units that hold their gate open; rows that change with the input are units that decide.
    NaN and missing cells have a colour of their own, named in the legend. Beyond 1,000 steps each column is the mean
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
    return draw_picture(picture(record, gate, order), template, title)


def picture(record: Record, gate: str | None = None, order: str = "mean") -> Picture:
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
    values, found = np.asarray(entry.values[k], float).T, statuses(entry)[k].T  # (H, T)
    marks = np.where(found > Status.UNDERFLOW, found, np.uint8(0))
    values = np.where(marks > 0, np.nan, values)
    x, steps = np.asarray(entry.coord("step"), float), values.shape[1]
    block = -(-steps // COLUMNS)
    if block > 1:
        cuts = np.arange(0, steps, block)
        marks = np.maximum.reduceat(marks, cuts, axis=1)
        number = np.add.reduceat(np.isfinite(values), cuts, axis=1)
        total = np.add.reduceat(np.where(np.isfinite(values), values, 0), cuts, axis=1)
        values = np.where(number > 0, total / np.maximum(number, 1), np.nan)
        x = np.add.reduceat(x, cuts) / np.diff(np.append(cuts, steps))
    means = _means(values)
    rows = np.argsort(means, kind="stable") if order == "mean" else np.arange(len(values))
    limits = _limits(values, entry.coord("gate")[k])
    bad = record.summary.get("first_bad_step")
    drawn = values[rows].astype(np.float32)
    return Picture(gate, x, rows, drawn, marks[rows], limits, order == "mean", block, steps, bad)


def _means(values: np.ndarray) -> np.ndarray:
    """Return the mean of each row over what is finite; -inf for a row without any."""
    usable = np.isfinite(values)
    total = np.where(usable, values, 0).sum(1)
    return np.where(usable.any(1), total / np.maximum(usable.sum(1), 1), -np.inf)


def _limits(values: np.ndarray, gate: str) -> tuple[float, float]:
    """Return the ends of the colour scale: 0 to 1 for a gate, balanced around 0 for what has a sign."""
    finite = values[np.isfinite(values)]
    largest = float(abs(finite).max()) if finite.size else 1.0
    if gate in ("candidate", "hidden") or (finite.size and finite.min() < 0):
        return (-max(1.0, largest), max(1.0, largest))
    return (0.0, max(1.0, largest))


def draw_picture(data: Picture, template: str = "light", title: bool = False) -> go.Figure:
    """Return the heat map of one gate."""
    canvas = Canvas("gate_activation", template, title)
    rows = np.arange(len(data.units))
    scale = "diverging" if data.bounds[0] < 0 else "sequential"
    canvas.add(
        type="heatmap",
        x=data.x,
        y=rows,
        z=data.values,
        customdata=np.broadcast_to(data.units[:, None], data.values.shape).astype(np.int32),
        zmin=data.bounds[0],
        zmax=data.bounds[1],
        colorscale=canvas.template.layout.colorscale[scale],
        colorbar={"title": {"text": f"{data.gate} [{CATALOGUE['gate_activation'].unit}]"}, "nticks": 5},
        hovertemplate=f"step %{{x}}, unit %{{customdata}}<br>{data.gate} %{{z:.9g}}<extra></extra>",
        name=data.gate,
    )
    canvas.cells(data.x, rows, data.marks)
    canvas.mark(data.first_bad_step, on_axis=True)
    if data.block > 1:
        entry = {"from": data.steps, "to": len(data.x), "method": f"mean of {data.block} steps"}
        canvas.decimated[data.gate] = entry
    axis = timeline(data.x, "step")
    edge = 0.5 * data.block
    axis["range"] = [data.x[0] - edge, data.x[-1] + edge]
    rank = "unit, by mean" if data.sorted else "unit"
    few = {"tickmode": "linear", "dtick": 1} if len(rows) <= 8 else {"nticks": 6}
    return canvas.figure(
        xaxis=axis,
        yaxis={"title": {"text": rank}, "showgrid": False, "range": [-0.5, len(rows) - 0.5], **few},
        hovermode="closest",
    )


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
    if not finite.size:
        canvas.say("No finite value: every share is NaN or not applicable.")
    return canvas.figure(
        xaxis={"title": {"text": "place in the activation's range, 0 to 1 [1]"}, "range": [0, 1]},
        yaxis=scales.linear_axis(finite) | {"title": {"text": "Share of activations in a bin [fraction]"}},
    )
