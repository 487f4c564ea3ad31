"""Figures over the iterations of a training: one probe at all of them as a map, and the cut at one of them.

Both are drawn from a :class:`Movie`: the probe's median over sequences (and units, where a figure of it has no place
for each), at every place and every iteration. :func:`movie` makes it from the records, one at a time, so that they need
not be in memory together.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import ArgumentError, unknown
from gradscope.figures import palette, scales
from gradscope.figures.curves import DOTS, coarse
from gradscope.figures.frame import Canvas, axis_title, bad_step, blank, colorbar, heading
from gradscope.figures.iterations import (
    Moments,
    ascending,
    axis_of_iterations,
    chosen_scale,
    iteration_places,
    mark_iteration,
)
from gradscope.figures.maps import squeeze
from gradscope.figures.series import Lane, Series, absence, along, lanes, statuses
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Field, Record, Status

__all__ = [
    "Movie",
    "View",
    "draw_training_cut",
    "draw_training_map",
    "moment",
    "movie",
    "training_cut",
    "training_map",
    "views",
]

TIMES = ("time", "step", "lag")
ROWS = 400  # rows of a map: each is still about a pixel high
COLUMNS = 8  # up to which each has its iteration beneath it
FEW = 4  # inputs that are looked at one by one
CHOSEN = ("parameter", "route", "block", "gate", "side")  # axes of which one place is looked at
ALONG = ("time", "step", "lag", "rank", "unit", "input")  # axes that a map may show
TITLES = {
    "time": "time t [step]",
    "step": "step t",
    "lag": "lag l [step]",
    "rank": "largest first [rank]",
    "unit": "unit",
    "input": "input",
}
OVER = {
    "batch": "sequences",
    "unit": "units",
    "input": "inputs",
    "time": "times",
    "step": "steps",
    "rank": "ranks",
    "lag": "lags",
}

#: What maps of these probes show, where the axes alone do not say it: the axis, and the place of another one.
OWN: dict[str, tuple[tuple[str, dict[str, int]], ...]] = {
    "transport_spectrum": (("rank", {"lag": -1}), ("lag", {"rank": 0})),
    "transport_map": (("lag", {}),),
    "write_survival": (("time", {}),),
    "jacobian_eigenvalues": (("step", {}),),
}
LOGARITHMIC = (
    "jacobian_norm",
    "jacobian_rms",
    "jacobian_blocks",
    "jacobian_eigenvalues",
    "nonnormality",
    "timescale",
    "flow_retained",
    "flow_written",
    "flow_exposed",
)
AT_ONE = ("jacobian_norm", "jacobian_rms", "jacobian_blocks", "jacobian_eigenvalues", "nonnormality")
FIRST = {"gate": ("forget", "update"), "parameter": ("W_h",), "route": ("total",)}
MAP = "Each column is one iteration of the training."
CUT = "One column of the map{spread}; dotted, the first iteration. The axes are the same for every iteration."
QUANTITIES = {"timescale": "Timescale", "jacobian_eigenvalues": "Spectral radius"}


@dataclass(frozen=True)
class View:
    """One way to look at a probe over the iterations.

    Attributes
    ----------
    axis : str
        What a map shows beside the iteration: ``"time"``, ``"step"``, ``"lag"``, ``"rank"``, ``"unit"``, ``"input"``.
    picked : dict of str to int
        The place of other axes that is looked at; the median is taken over what is left.
    meaning : str
        The gate or block that gives a curve its colour.
    """

    axis: str
    picked: dict[str, int] = field(default_factory=dict)
    meaning: str = "total"


@dataclass(frozen=True)
class Movie:
    """What one probe showed at each iteration, as plain data.

    Attributes
    ----------
    name : str
        The probe.
    view : str
        The words for what is looked at, one of :func:`views`.
    axis, meaning : str
        See :class:`View`.
    over : tuple of str
        The axes over which the median was taken.
    log : bool
        Whether the values are log10.
    iterations : tuple of int
        N of them, ascending.
    frames : tuple of Series
        For each iteration medians and quantiles over ``places``.
    places : ndarray, (M,)
        Where along the axis.
    coarse : tuple of int or None
        Places that were measured, and places there are, where only a coarse grid was.
    first_bad_step : dict or None
        The one of the earliest iteration that has one.
    sentence : str or None
        Why there is nothing to draw.
    """

    name: str
    view: str
    axis: str
    meaning: str
    over: tuple[str, ...]
    log: bool
    iterations: tuple[int, ...]
    frames: tuple[Series, ...]
    places: np.ndarray
    coarse: tuple[int, int] | None = None
    first_bad_step: dict[str, Any] | None = None
    sentence: str | None = None

    def medians(self) -> np.ndarray:
        """Return the medians, (N, M): log10 if ``log``, -inf for an exact zero then, NaN where there is none."""
        return np.array([frame.median for frame in self.frames])

    def codes(self) -> np.ndarray:
        """Return the status of each median, (N, M)."""
        return np.array([frame.codes() for frame in self.frames])

    def finite(self) -> np.ndarray:
        """Return every finite number that a cut at any iteration draws."""
        return np.concatenate([np.zeros(0), *(frame.finite() for frame in self.frames)])


# From records to a movie ---------------------------------------------------------------------------------------------


def views(record: Record, name: str) -> dict[str, View]:
    """Return the ways to look at a probe over the iterations, by the words for them; the first is the usual one.

    Of gates, blocks, parameters and routes one is looked at; over sequences, and over units where time runs along the
    axis, the median is taken.

    Parameters
    ----------
    record : Record
        Any one of the training.
    name : str
        A probe of the catalogue.

    Raises
    ------
    ArgumentError
        When the record does not hold the probe, or for a name that is not in the catalogue.

    Examples
    --------
    >>> import numpy as np
    >>> from gradscope.record import Field
    >>> gates = Field("slope_rms", np.ones((2, 9)), ("gate", "step"), "1", {"gate": ["input", "forget"]})
    >>> list(views(Record({"slope_rms": gates}), "slope_rms"))
    ['forget', 'input']
    """
    if name not in CATALOGUE:
        raise unknown("name", name, CATALOGUE)
    entry = record.field(name)
    chosen = [axis for axis in entry.axes if axis in CHOSEN or (axis == "input" and len(entry.coord(axis)) <= FEW)]
    shown = OWN.get(name) or tuple((axis, {}) for axis in entry.axes if axis in ALONG and axis not in chosen)
    found: dict[str, View] = {}
    for axis, fixed in shown:
        for places in itertools.product(*(_ordered(entry, one) for one in chosen)):
            picked = dict(zip(chosen, places, strict=True))
            labels = [_label(one, entry.coord(one)[place]) for one, place in picked.items()]
            meaning = str(entry.coord(chosen[-1])[places[-1]]) if chosen else "total"
            words = ", ".join([*labels, *([f"by {axis}"] if len(shown) > 1 else [])])
            found[words or CATALOGUE[name].title] = View(axis, picked | fixed, _meaning(labels, meaning))
    return found


def _ordered(entry: Field, axis: str) -> list[int]:
    """Return the places of an axis, the most telling ones first."""
    labels = [str(label) for label in entry.coord(axis)]
    return sorted(range(len(labels)), key=lambda place: labels[place] not in FIRST.get(axis, ()))


def _label(axis: str, label: Any) -> str:
    """Return a place in words."""
    return f"input {label}" if axis == "input" else str(label)


def _meaning(labels: list[str], last: str) -> str:
    """Return which of the labels has a colour of its own."""
    return next((label for label in reversed(labels) if label in palette.COLOURS), last if not labels else "total")


def movie(records: Moments, name: str, view: str | None = None) -> Movie:
    """Return what a probe showed at each iteration of a training.

    Parameters
    ----------
    records : dict of int to Record, or iterable of pairs
        By iteration, e.g. from ``store.records(run, [name])``. Pairs are taken one by one, in ascending order.
    name : str
        A probe of the catalogue.
    view : str, optional
        One of :func:`views`.

    Returns
    -------
    Movie

    Raises
    ------
    ArgumentError
        When there is no record, when none of them holds the probe, or for another view.
    """
    if name not in CATALOGUE:
        raise unknown("name", name, CATALOGUE)
    frames: dict[int, Series | None] = {}
    pattern: _Pattern | None = None
    latest, bad = Record(), None
    for iteration, record in ascending(records):
        latest, here = record, record.summary.get("first_bad_step")
        if bad is None and here is not None:
            bad = {"iteration": iteration} | here
        frames[iteration] = None
        if name in record and not absence(record, name):
            pattern = pattern or _pattern(record, name, view)
            frames[iteration] = _frame(record.field(name), pattern)
    if pattern is None:
        sentence = absence(latest, name)  # it raises when the probe was not taken
        return Movie(name, "", "step", "total", (), False, tuple(frames), (), np.zeros(0), None, bad, sentence)
    series = tuple(_missing(pattern) if frame is None else frame for frame in frames.values())
    return Movie(
        name=name,
        view=pattern.words,
        axis=pattern.view.axis,
        meaning=pattern.view.meaning,
        over=pattern.over,
        log=pattern.log,
        iterations=tuple(frames),
        frames=series,
        places=pattern.places,
        coarse=coarse(pattern.record, pattern.entry, pattern.view.axis) if pattern.view.axis in TIMES else None,
        first_bad_step=bad,
    )


@dataclass(frozen=True)
class _Pattern:
    """The first record that holds a probe, which says what the frames of all look like."""

    record: Record
    entry: Field
    words: str
    view: View

    @property
    def log(self) -> bool:
        """Whether the frames are log10."""
        return self.entry.unit == "log10" or self.entry.name in LOGARITHMIC

    @property
    def over(self) -> tuple[str, ...]:
        """The axes over which the median is taken."""
        used = {self.view.axis, *self.view.picked, *(("rank",) if self.entry.name == "jacobian_eigenvalues" else ())}
        return tuple(axis for axis in self.entry.axes if axis not in used)

    @property
    def places(self) -> np.ndarray:
        """Where along its axis a frame has numbers: ranks and sorted units count from 1."""
        if self.view.axis == "rank" or self.entry.name == "timescale":
            return np.arange(1.0, len(self.entry.coord(self.view.axis)) + 1)
        return np.asarray(self.entry.coord(self.view.axis), float)


def _pattern(record: Record, name: str, view: str | None) -> _Pattern:
    """Return what the frames look like, in the view that is asked for."""
    found = views(record, name)
    words = next(iter(found)) if view is None else view
    if words not in found:
        raise unknown("view", words, found)
    return _Pattern(record, record.field(name), words, found[words])


def _frame(entry: Field, pattern: _Pattern) -> Series | None:
    """Return one iteration: quantiles over all but the axis of the view; None for a field on another grid."""
    axis = pattern.view.axis
    if entry.axes != pattern.entry.axes or entry.coord(axis) != pattern.entry.coord(axis):
        return None
    values, found, axes = np.asarray(entry.values), statuses(entry), list(entry.axes)
    if np.iscomplexobj(values):
        values = np.abs(values)
    for one, place in pattern.view.picked.items():
        values, found = (np.take(array, place, axes.index(one)) for array in (values, found))
        axes.remove(one)
    if entry.name == "jacobian_eigenvalues":  # of all of them the largest modulus: the spectral radius
        values, found = (array.max(axes.index("rank")) for array in (values, found))
        axes.remove("rank")
    flat, marks = (
        np.moveaxis(array, axes.index(axis), 0).reshape(len(pattern.places), -1) for array in (values, found)
    )
    if entry.name == "timescale":  # the longest first, as in its own figure
        order = np.argsort(np.where(np.isnan(flat[:, 0]), np.inf, -flat[:, 0]), kind="stable")
        flat, marks = flat[order], marks[order]
    coords = {"place": pattern.places.tolist()}
    return along(Field(entry.name, flat, ("place", "batch"), entry.unit, coords, marks), "median", log=pattern.log)


def _missing(pattern: _Pattern) -> Series:
    """Return the frame of an iteration at which the probe was not taken."""
    x, gone = pattern.places, np.full(len(pattern.places), np.nan)
    return Series("median", x, gone, gone, gone, np.zeros(len(x), bool), {Status.NOT_COMPUTED: np.ones(len(x), int)})


# The map -------------------------------------------------------------------------------------------------------------


def training_map(
    records: Moments,
    name: str,
    *,
    view: str | None = None,
    scale: str | None = None,
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw a probe over a whole training: the iteration to the right, time, lag, rank or unit upwards.

    A column is one iteration, the median over what the view has no axis for. Read from left to right it shows what
    learning does to the gradient: a dark region that fills up is a past that begins to be heard. Cells stand at their
    true place, on an axis that is linear in n, or in log10(n + 1) where the distances differ much; a cell ends half-way
    to its neighbours. Exact zeros, masked cells, NaN and inf have a colour of their own, a veil lies on what is below
    the float range; strips beneath count the sequences that have no value. Beyond 400 places each row shows the
    largest of a block, and the figure says so.

    Parameters
    ----------
    records : dict of int to Record, or iterable of pairs
        By iteration, e.g. from ``store.records(run, [name])``.
    name : str
        A probe of the catalogue.
    view : str, optional
        What to look at: one of :func:`gradscope.figures.training.views`, such as a gate; the usual one by default.
    scale : str, optional
        ``"linear"`` or ``"log"``; what suits the iterations by default.
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
        When there is no record, when none of them holds the probe, or for another view, scale or template.
    """
    return draw_training_map(movie(records, name, view), scale, template, title)


def draw_training_map(data: Movie, scale: str | None = None, template: str = "light", title: bool = False) -> go.Figure:
    """Return the figure of a map over iterations."""
    if data.sentence:
        return blank(data.name, data.sentence, template, title)
    scale = chosen_scale(data.iterations, scale)
    canvas = _canvas(data, template, title)
    canvas.meta |= {"iterations": scale, "caption": f"{MAP} {canvas.meta['caption']}"}
    x = iteration_places(data.iterations, scale)
    medians, codes = data.medians(), data.codes()
    keep, marks, block = squeeze(medians, codes, ROWS)
    shown = np.where(np.isfinite(medians), medians, np.nan)
    shown = np.take_along_axis(shown, keep, 1)
    shown = np.where(marks > Status.UNDERFLOW, np.nan, shown)
    y = _blocks(data.places, block)
    numbers = np.broadcast_to(np.array(data.iterations, np.int32), (len(y), len(x)))
    hover = f"iteration %{{customdata}}, {data.axis} %{{y}}"
    canvas.add(
        type="heatmap",
        x=x,
        y=y,
        z=shown.T,
        customdata=numbers,
        hoverongaps=False,
        hovertemplate=f"{hover}<br>{_told('z', data.log)}<extra></extra>",
        name=data.view,
        **_colours(data, shown),
    )
    first = len(canvas.traces)
    canvas.cells(x, y.tolist(), marks.T, hover)
    for trace in canvas.traces[first:]:
        if trace["type"] == "heatmap":
            trace["customdata"] = numbers
    canvas.lanes(_lanes(data, x), _noun(data))
    if block > 1:
        canvas.leave_out("heat map", len(data.places), len(y), f"largest of {block} {data.axis}s")
        canvas.notes.append(f"Each row shows the largest of {block} {data.axis}s.")
    _bad_iteration(canvas, data, scale)
    if not np.isfinite(shown).any():
        canvas.say("No finite value.")
    canvas.layout["yaxis"] = _upwards(data, y)
    axis = axis_of_iterations(*_ends(x), scale) | (_columns_named(x) if scale == "linear" else {})
    return canvas.figure(xaxis=axis, hovermode="closest")


def _columns_named(x: np.ndarray) -> dict[str, Any]:
    """Return ticks that name each of a few wide columns, whose edges lie before the first iteration; else none."""
    steps = np.diff(x)
    if not 1 < len(x) <= COLUMNS or steps.max() > 2 * steps.min():
        return {}
    return {"tickmode": "array", "tickvals": x.tolist(), "ticktext": [f"{number:,.0f}" for number in x]}


def _canvas(data: Movie, template: str, title: bool) -> Canvas:
    """Return a canvas that says what is drawn and over what the median was taken."""
    canvas = Canvas(data.name, template, title)
    whole = CATALOGUE[data.name].title
    canvas.meta["title"] = whole if data.view == whole else f"{heading(data.name)}: {data.view}"
    if data.name == "transport_spectrum":
        what = "Ranks at the longest lag." if data.axis == "rank" else "The first rank at each lag."
        canvas.notes.append(what)
    if data.over:
        over = " and ".join(f"{OVER[one]}" for one in data.over)
        sizes = {frame.size for frame in data.frames}
        canvas.notes.append(f"Medians over the {over}{f', n = {max(sizes):,}' if max(sizes) > 1 else ''}.")
    if data.coarse:
        canvas.notes.append(f"Measured at {data.coarse[0]:,} of {data.coarse[1]:,} {data.axis}s.")
    return canvas


def _blocks(places: np.ndarray, block: int) -> np.ndarray:
    """Return the middle of each block of places."""
    return places if block == 1 else np.array([places[i : i + block].mean() for i in range(0, len(places), block)])


def _told(letter: str, log: bool) -> str:
    """Return what a value reads under the pointer."""
    return f"10<sup>%{{{letter}:.5f}}</sup>" if log else f"%{{{letter}:.6g}}"


def _colours(data: Movie, shown: np.ndarray) -> dict[str, Any]:
    """Return the colours of a map and their bar: the theme's diverging ones around 0 for exponents."""
    finite = shown[np.isfinite(shown)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (-1.0, 0.0)
    bar_title = axis_title(data.name, data.log, _quantity(data))
    if CATALOGUE[data.name].unit == "nat/step":
        most = max(abs(low), abs(high)) or 1.0
        sided = {"zmin": -most, "zmid": 0, "zmax": most, "autocolorscale": True, "reversescale": True}
        return sided | {"colorbar": colorbar(bar_title, nticks=6)}
    if CATALOGUE[data.name].unit == "fraction":
        low = 0.0
    if high == low:
        low, high = (0.0, 1.0) if CATALOGUE[data.name].unit == "fraction" else (high - 1.0, high)
    ticks = (
        {key: value for key, value in scales.log_axis(low, high).items() if key != "range"}
        if data.log
        else {"nticks": 6}
    )
    return {
        "zmin": low,
        "zmax": high,
        "colorscale": palette.scale(palette.SEQUENTIAL),
        "colorbar": colorbar(bar_title, **ticks),
    }


def _quantity(data: Movie) -> str:
    """Return what is shown, where it is not what the probe is called."""
    return QUANTITIES.get(data.name, "")


def _noun(data: Movie) -> str:
    """Return what a strip counts."""
    return OVER[data.over[0]].removesuffix("s") if len(data.over) == 1 else "value"


def _lanes(data: Movie, x: np.ndarray) -> list[Lane]:
    """Return the strips of a map: how many sequences have no value, at most at any place, at each iteration."""
    kinds = {status for frame in data.frames for status in frame.counts}
    size = max(frame.size for frame in data.frames)
    hidden = (Status.ZERO, Status.NOT_APPLICABLE, *(() if size > 1 else tuple(Status)))
    nothing = np.zeros(len(data.places), int)
    counts = {
        status: np.array([frame.counts.get(status, nothing).max() for frame in data.frames])
        for status in Status
        if status in kinds and status not in hidden
    }
    gone = np.full(len(x), np.nan)
    return lanes([Series("", x, gone, gone, gone, np.zeros(len(x), bool), counts, size)])


def _ends(x: np.ndarray) -> tuple[float, float]:
    """Return where the first cell begins and the last one ends."""
    if len(x) == 1:
        return float(x[0]) - 0.5, float(x[0]) + 0.5
    return float(x[0] - (x[1] - x[0]) / 2), float(x[-1] + (x[-1] - x[-2]) / 2)


def _upwards(data: Movie, y: np.ndarray) -> dict[str, Any]:
    """Return the axis of time, lag, rank or unit; ranks begin at the top."""
    half = (y[1] - y[0]) / 2 if len(y) > 1 else 0.5
    bounds = [float(y[0] - half), float(y[-1] + half)]
    if _from_top(data):
        bounds.reverse()
    return {"range": bounds, "title": {"text": _along(data)}, "showgrid": False, "nticks": 7}


def _from_top(data: Movie) -> bool:
    """Return whether places count from the top: those in order of size do."""
    return data.axis == "rank" or data.name == "timescale"


def _along(data: Movie) -> str:
    """Return the title of the axis of places."""
    return "unit, longest first [rank]" if data.name == "timescale" else TITLES[data.axis]


def _bad_iteration(canvas: Canvas, data: Movie, scale: str) -> None:
    """Name the first bad step and draw its iteration."""
    first = data.first_bad_step
    if not first:
        return
    sentence = f"{bad_step(first)[:-1]}, iteration {first['iteration']:,}."
    canvas.notes.insert(0, sentence)
    mark_iteration(canvas, first["iteration"], scale, halo=True)


# The cut -------------------------------------------------------------------------------------------------------------


def training_cut(
    records: Moments,
    name: str,
    iteration: int,
    *,
    view: str | None = None,
    ghost: bool = True,
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw one column of :func:`training_map`: a probe at one iteration, the first one behind it.

    The median with a band from 5 to 95 %. The axes are the same at every iteration, so that cuts may follow one another
    as a film. Exact zeros of a log axis, NaN, inf and masked places stand in strips beneath.

    Parameters
    ----------
    records, name
        As in :func:`training_map`.
    iteration : int
        One of the iterations of ``records``.
    view : str, optional
        As in :func:`training_map`.
    ghost : bool
        Whether the first iteration stands behind, grey.
    template, title
        As in :func:`training_map`.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ArgumentError
        As in :func:`training_map`, and for an iteration at which nothing was probed.
    """
    return draw_training_cut(movie(records, name, view), iteration, ghost, template, title)


def draw_training_cut(
    data: Movie, iteration: int, ghost: bool = True, template: str = "light", title: bool = False
) -> go.Figure:
    """Return the figure of a cut at one iteration."""
    if iteration not in data.iterations:
        raise ArgumentError(
            f"`iteration` must be one of {', '.join(map(str, data.iterations))}, got {iteration!r}. "
            "Other iterations were not probed: sweep with a denser `probe_schedule`."
        )
    if data.sentence:
        return blank(data.name, data.sentence, template, title)
    canvas = _canvas(data, template, title)
    finite = data.finite()
    span = np.append(finite, 0.0) if data.name in AT_ONE and len(finite) else finite
    upright = _scale(data, span)
    canvas.layout["yaxis"] = upright | {"title": {"text": axis_title(data.name, data.log, _quantity(data))}}
    frame, first = data.frames[data.iterations.index(iteration)], data.frames[0]
    if ghost and iteration != data.iterations[0]:
        _line(canvas, data, first, data.iterations[0], palette.NEUTRAL)
        for trace in canvas.traces:
            trace["line"] = trace["line"] | {"width": 1.5, "dash": "dot"}
    colour = palette.colour(data.meaning)
    if frame.size > 1:
        canvas.band(replace(frame, name=moment(iteration)), upright["range"][0], colour, 0.2)
        canvas.key(f"5\N{EN DASH}95 %, n = {frame.size:,}", palette.faded(colour, 0.35))
    _line(canvas, data, frame, iteration, colour)
    if data.name in AT_ONE or CATALOGUE[data.name].unit == "nat/step":
        canvas.rule(0.0)
    if not np.isfinite(frame.median).any():
        canvas.say("No finite value at this iteration.")
    canvas.lanes(lanes([replace(frame, name="")]), _noun(data) if frame.size > 1 else "value")
    for trace in canvas.traces:  # without a group of its own a key would stand below its neighbour
        trace.setdefault("legendgroup", str(trace.get("name")))
    if data.first_bad_step and data.first_bad_step["iteration"] <= iteration:
        canvas.notes.insert(0, f"{bad_step(data.first_bad_step)[:-1]}, iteration {data.first_bad_step['iteration']:,}.")
    canvas.meta |= {"iteration": iteration, "caption": CUT.format(spread=_spread(data))}
    across = {
        "range": _wide(data.places),
        "title": {"text": _along(data)},
        "unifiedhovertitle": {"text": f"{data.axis} %{{x}}"},
    }
    return canvas.figure(xaxis=across, hoversubplots="axis", showlegend=True)


def _spread(data: Movie) -> str:
    """Return over what the band is."""
    return f", with a band over the {' and '.join(OVER[one] for one in data.over)}" if data.over else ""


def _scale(data: Movie, span: np.ndarray) -> dict[str, Any]:
    """Return the axis of values, the same for every iteration."""
    if data.log:
        return scales.log_axis(*scales.bounds(span, 0.75))
    if CATALOGUE[data.name].unit == "nat/step":
        low, high = scales.bounds(np.append(span, 0.0), 1e-3)
        return {"range": [low, max(high, 0.09 * (high - low))], "nticks": 6}
    return scales.linear_axis(span, 1.0 if CATALOGUE[data.name].unit == "fraction" else None)


def moment(iteration: int) -> str:
    """Return an iteration in words."""
    return "before training" if iteration == 0 else f"iteration {iteration:,}"


def _line(canvas: Canvas, data: Movie, frame: Series, iteration: int, colour: str) -> None:
    """Draw the median of one iteration."""
    text = scales.power if data.log else scales.value
    told = [text(float(number)) for number in frame.median]
    one = replace(frame, name=moment(iteration))
    canvas.line(one, one.name, told.__getitem__, colour, dots=len(frame.x) <= DOTS)


def _wide(places: np.ndarray) -> list[float]:
    """Return the ends of the axis of places."""
    low, high = float(places.min()), float(places.max())
    pad = 0.5 if low == high else 0.012 * (high - low)
    return [low - pad, high + pad]
