"""Figures of a training's own course: loss, gradient before and after clipping, and what the numbers of a probe did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.figures import palette, scales
from gradscope.figures.frame import Canvas, bad_step, blank
from gradscope.figures.iterations import (
    Moments,
    ascending,
    axis_of_iterations,
    chosen_scale,
    iteration_at,
    iteration_places,
    mark_iteration,
)
from gradscope.figures.series import Series, lanes
from gradscope.probes import catalogue
from gradscope.record import Status

__all__ = ["LEARNING", "numbers_of", "training_gradient", "training_loss", "training_numbers"]

Curve = tuple[Sequence[int] | np.ndarray, Sequence[float] | np.ndarray]
Curves = Mapping[str, Curve]
"""Numbers over the iterations by name: iterations and values, as ``store.curves(run)`` gives them."""

BUCKETS = 120  # cells of the strip of clipped updates
LOSS = (
    "The mean loss of each batch, before its update, and the loss on held-out sequences. Against the baseline, what is "
    "lost by guessing, it says whether anything was learnt; a validation loss that rises while the other falls is "
    "overfitting."
)
GRADIENT = (
    "The norm of the gradient over all weights, before and after clipping. What lies above the limit is cut: by norm "
    "it keeps its direction, by value it turns, and the cosine says how far. A norm that grows by decades announces "
    "that the training diverges."
)
NUMBERS = (
    "The numbers that stand for a record, at each iteration that was probed: learning that reaches further back makes "
    "the decay rate fall and the horizon grow. The dots have the colour of the verdict."
)
SOURCE = "Pascanu, Mikolov & Bengio 2013"
SPREAD = 20.0  # largest over smallest from which on an axis is logarithmic
SPACE = 0.13  # between two panels
HEAD = 0.94  # where the first panel ends: its name stands above
ALIKE = 1e-9


# Panels under one another --------------------------------------------------------------------------------------------


class _Panels:
    """Panels over one axis of iterations, opened from the top, on one canvas."""

    def __init__(self, title: str, caption: str, source: str, unit: str, scale: str, looks: tuple[str, bool]) -> None:
        self.canvas = Canvas(None, *looks)
        self.canvas.describe(title, caption, unit, source)
        self.canvas.meta["iterations"] = scale
        self.scale, self.open, self.last = scale, "y", 1
        self.shares: dict[str, float] = {}
        self.about: dict[str, Any] = {}
        self.held: list[Series] = []
        self.references: list[tuple[float, str, str]] = []

    def panel(self, share: float, quantity: str, unit: str, log: bool, **axis: Any) -> None:
        """Open the next panel, with a share of the height; its curves and lines go there."""
        self.open = f"y{len(self.shares) + 2}" if self.shares else "y"
        self.shares[self.open] = share
        self.about = {"quantity": quantity, "unit": f"log10 {unit}".removesuffix(" 1") if log else unit}
        self.canvas.layout[f"yaxis{self.open[1:]}"] = {"anchor": "x"} | axis
        if quantity:
            text = f"{quantity} [{unit}{', log scale' if log else ''}]"
            corner = {"xref": "x domain", "yref": f"{self.open} domain", "x": 0, "y": 1, "xanchor": "left"}
            self.canvas.layout["annotations"].append(corner | {"yanchor": "bottom", "text": text, "name": "panel"})

    def curve(
        self,
        name: str,
        n: np.ndarray,
        y: np.ndarray,
        colour: str,
        log: bool,
        *,
        dots: bool = False,
        faint: bool = False,
    ) -> None:
        """Draw a curve; what has no place on its axis goes to the strips."""
        series = _series(name, n, y, self.scale, log)
        told = [scales.power(float(v)) if log else scales.value(float(v)) for v in series.median]
        first = len(self.canvas.traces)
        self.canvas.line(series, name, told.__getitem__, colour, 0.5 if faint else 1.0, dots=dots)
        for trace in self.canvas.traces[first:]:
            trace["yaxis"] = self.open
            trace["meta"] = trace.get("meta", {}) | self.about
            trace |= {"hovertext": trace["text"], "text": _names(trace["x"], self.scale)}
            trace["hovertemplate"] = self.reading(name)
            if faint:
                trace["line"] = trace["line"] | {"width": 1.25}
        self.held.append(series)
        self.last = max(self.last, int(np.max(n)) if len(n) else 0)

    def points(self, name: str, n: Sequence[float], y: Sequence[float], colour: str, log: bool, symbol: str) -> None:
        """Draw single points."""
        height = [float(np.log10(v)) if log and v > 0 else np.nan if log else float(v) for v in y]
        self.canvas.add(
            type="scatter",
            x=iteration_places(n, self.scale),
            y=height,
            mode="markers",
            marker={"color": colour, "size": 9, "symbol": symbol, "line": {"width": 0}},
            text=_names(iteration_places(n, self.scale), self.scale),
            hovertext=[scales.value(float(v)) for v in y],
            hovertemplate=self.reading(name),
            name=name,
            yaxis=self.open,
            cliponaxis=False,
            meta=self.about,
        )

    def reading(self, name: str) -> str:
        """Return what stands under the pointer; on a log axis, whose head cannot say n, each line says it."""
        return ("%{text}: " if self.scale == "log" else "") + f"%{{hovertext}}<extra>{name}</extra>"

    def reference(self, value: float, text: str, log: bool = False) -> None:
        """Draw and name a quiet line across the open panel."""
        if not np.isfinite(value) or (log and value <= 0):
            return
        at = float(np.log10(value)) if log else float(value)
        self.canvas.rule(at)
        self.canvas.layout["shapes"][-1]["yref"] = self.open
        self.references.append((at, text, self.open))

    def figure(self, bad: Mapping[str, Any] | None = None) -> go.Figure:
        """Return the figure of all panels, with the strips beneath and the iteration at which all ended."""
        canvas = self.canvas
        canvas.lanes(lanes(self.held), "value")
        for trace in canvas.traces:  # without a group of its own a key would stand below its neighbour
            trace.setdefault("legendgroup", str(trace.get("name")))
        room, top = HEAD - canvas.floor - SPACE * (len(self.shares) - 1), HEAD
        for letter, share in self.shares.items():
            bottom = top - room * share / sum(self.shares.values())
            canvas.layout[f"yaxis{letter[1:]}"]["domain"] = [max(bottom, 0.0), top]
            top = bottom - SPACE
        for reference in self.references:
            canvas.name_rule(*reference)
        if bad:
            canvas.notes.insert(0, f"{bad_step(dict(bad))[:-1]}, iteration {bad['iteration']:,}: the training ended.")
            mark_iteration(canvas, bad["iteration"], self.scale)
        low, high = iteration_places([0, self.last], self.scale).tolist()
        pad = 0.012 * (high - low)
        across = axis_of_iterations(low - pad, high + pad, self.scale)
        across |= {"anchor": "free", "position": 0} if len(self.shares) > 1 else {}
        return canvas.figure(xaxis=across, hoversubplots="axis", showlegend=True)


def _names(places: np.ndarray, scale: str) -> list[str]:
    """Return the iterations that stand at places, in words: what the pointer reads above all curves."""
    return [f"{number:,}" for number in np.rint(iteration_at(places, scale)).astype(int).tolist()]


def _series(name: str, n: np.ndarray, y: np.ndarray, scale: str, log: bool) -> Series:
    """Return a curve over the iterations, with what has no place on its axis counted."""
    values = np.asarray(y, float)
    if log:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log10(values)
    kinds = {
        Status.ZERO: np.isneginf(values),
        Status.NAN: np.isnan(values),
        Status.INF: np.isposinf(values),
    }
    counts = {status: mask.astype(int) for status, mask in kinds.items() if mask.any()}
    shown = np.where(np.isposinf(values), np.nan, values)
    return Series(name, iteration_places(n, scale), shown, shown, shown, np.zeros(len(values), bool), counts)


def _decades(*curves: np.ndarray) -> bool:
    """Return whether values are positive and so far apart that a log axis shows them better."""
    whole = np.concatenate([np.asarray(curve, float) for curve in curves] or [np.zeros(0)])
    finite = whole[np.isfinite(whole)]
    return bool(finite.size and finite.min() > 0 and finite.max() > SPREAD * finite.min())


def _upright(log: bool, *curves: Any, zero: bool = False) -> dict[str, Any]:
    """Return the axis that spans some values."""
    whole = np.concatenate([np.atleast_1d(np.asarray(curve, float)) for curve in curves] or [np.zeros(0)])
    finite = whole[np.isfinite(whole) & ((whole > 0) | (not log))]
    if log:
        return scales.log_axis(*scales.bounds(np.log10(finite), 0.4))
    if zero:
        return scales.linear_axis(finite)
    low, high = scales.bounds(finite, 1e-9) if len(finite) else (0.0, 1.0)
    return {"range": [low, high], "nticks": 5}


# What a training left ------------------------------------------------------------------------------------------------


class _Course:
    """The records of a training and its curves, and where its numbers stand in them."""

    def __init__(self, records: Moments, curves: Curves | None, scale: str | None) -> None:
        self.records = dict(ascending(records))
        self.curves = dict(curves or {})
        self.scale = chosen_scale(self.records, scale)
        self.updated = next((one for one in self.records.values() if "training_loss" in one), None)

    @property
    def bad(self) -> dict[str, Any] | None:
        """Where the training ended because a number was not finite."""
        found = self.updated.summary.get("first_bad_step") if self.updated is not None else None
        return found if found and found.get("iteration") is not None else None

    def of_updates(self, name: str, mean: str) -> tuple[np.ndarray, np.ndarray, bool] | None:
        """Return a number of each update, else its means between evaluations, and whether it is a mean; else None."""
        if self.updated is not None and name in self.updated:
            values = np.asarray(self.updated[name], float)
            return np.arange(len(values)), values, False
        found = self.curve(mean)
        return None if found is None else (*found, True)

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return a number of some iterations, or None."""
        if name not in self.curves:
            return None
        n, y = self.curves[name]
        return np.asarray(n, int), np.asarray(y, float)


def _untrained(title: str, template: str, titled: bool) -> go.Figure:
    """Return what stands for a network that was not trained."""
    sentence = "This network was not trained: there is no update to show."
    figure = blank(None, sentence, template, titled)
    return figure.update_layout(meta=(figure.layout.meta or {}) | {"title": title, "caption": "", "unit": ""})


# Loss and accuracy ---------------------------------------------------------------------------------------------------


def training_loss(
    records: Moments,
    curves: Curves | None = None,
    metrics: Mapping[str, Any] | None = None,
    *,
    scale: str | None = None,
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw the loss over the iterations of a training, and the accuracy where the task has one.

    The loss of each batch before its update, that on held-out sequences, that on test sequences before and after, and
    the baseline: what guessing loses. The axis of the loss is logarithmic where it spans more than a factor of 20. A
    loss of NaN or inf stands in a strip beneath, and ends the training.

    Parameters
    ----------
    records : dict of int to Record, or iterable of pairs
        Of the training: ``store.records(run, ["training_loss"])``.
    curves : dict of str to (iterations, values), optional
        ``store.curves(run)``: the validation loss and accuracy, and where a store keeps no arrays, the mean loss
        between evaluations.
    metrics : dict, optional
        ``store.metrics(run)``: baselines, and the scores on test sequences.
    scale : str, optional
        ``"linear"`` or ``"log"`` for the iterations; what suits those of the records by default.
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
        When there is no record, or for another scale or template.
    """
    course, told = _Course(records, curves, scale), dict(metrics or {})
    batch, held = course.of_updates("training_loss", "training_loss"), course.curve("validation_loss")
    if batch is None and held is None:
        return _untrained("Loss", template, title)
    entry = course.updated.field("training_loss") if course.updated is not None else None
    unit = entry.unit if entry is not None else "1"
    panels = _Panels("Loss", LOSS, "", "", course.scale, (template, title))
    values = [part[1] for part in (batch, held) if part is not None]
    tested, baseline = _tested(course, told, "loss"), _number(told.get("loss_baseline"))
    log = _decades(*values)
    spanned = [*values, [y for _, y in tested], [baseline]]
    panels.panel(0.62, "Loss", unit, log, **_upright(log, *spanned))
    panels.reference(baseline, "baseline", log)
    if batch is not None:
        n, y, mean = batch
        panels.curve(
            "batch, mean since the last evaluation" if mean else "batch", n, y, palette.NEUTRAL, log, faint=not mean
        )
    _held_out(panels, held, tested, log)
    right = course.curve("validation_accuracy")
    if right is not None or "accuracy_after" in told:
        tested, baseline = _tested(course, told, "accuracy"), _number(told.get("accuracy_baseline"))
        panels.panel(0.38, "Accuracy", "fraction", False, **scales.linear_axis(_finite(right, tested, baseline), 1.0))
        panels.reference(baseline, "baseline")
        _held_out(panels, right, tested, False)
    return panels.figure(course.bad)


def _held_out(
    panels: _Panels, held: tuple[np.ndarray, np.ndarray] | None, tested: list[tuple[int, float]], log: bool
) -> None:
    """Draw a score on held-out sequences, and on those of the test before and after."""
    first = len(panels.canvas.traces)
    if held is not None:
        panels.curve("validation", *held, palette.BLUE, log, dots=len(held[0]) <= 60)
    if tested:
        n, y = zip(*tested, strict=True)
        panels.points("test", n, y, palette.ORANGE, log, "diamond")
    for trace in panels.canvas.traces[first:]:
        trace["showlegend"] = panels.open == "y"
        trace["legendgroup"] = str(trace["name"])


def _tested(course: _Course, metrics: Mapping[str, Any], name: str) -> list[tuple[int, float]]:
    """Return a score on test sequences before training and after it, with their iterations."""
    last = int(_number(metrics.get("updates_kept"), max(course.records)))
    found = [(n, _number(metrics.get(f"{name}_{when}"))) for n, when in ((0, "before"), (last, "after"))]
    return [(n, y) for n, y in found if np.isfinite(y)]


def _number(value: Any, otherwise: float = np.nan) -> float:
    """Return a metric as a number."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise


def _finite(held: tuple[np.ndarray, np.ndarray] | None, tested: list[tuple[int, float]], baseline: float) -> np.ndarray:
    """Return every finite number of a panel of scores."""
    whole = np.array([*(held[1] if held is not None else ()), *(y for _, y in tested), baseline])
    return whole[np.isfinite(whole)]


# The gradient before and after clipping ------------------------------------------------------------------------------


def training_gradient(
    records: Moments,
    curves: Curves | None = None,
    *,
    limit: float | None = None,
    scale: str | None = None,
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw the norm of the gradient of each update before and after clipping, on one log axis.

    Beneath it a strip with the share of updates that were clipped, the cosine between the gradient before and after
    where clipping turned it, and the learning rate where it changes. A norm of exactly zero, NaN or inf stands in a
    strip.

    Parameters
    ----------
    records : dict of int to Record, or iterable of pairs
        Of the training: ``store.records(run, LEARNING)`` with the arrays of ``gradscope.figures.learning.LEARNING``.
    curves : dict of str to (iterations, values), optional
        ``store.curves(run)``, for a store that keeps no arrays: the means between evaluations.
    limit : float, optional
        The norm at which gradients are clipped, for a line there.
    scale, template, title
        As in :func:`training_loss`.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ArgumentError
        As in :func:`training_loss`.
    """
    course = _Course(records, curves, scale)
    before = course.of_updates("training_gradient_norm", "training_gradient_norm")
    after = course.of_updates("training_gradient_norm.clipped", "training_gradient_norm_clipped")
    if before is None or after is None:
        return _untrained("Gradient before and after clipping", template, title)
    panels = _Panels("Gradient before and after clipping", GRADIENT, SOURCE, "", course.scale, (template, title))
    n, norm, mean = before
    extra = [limit] if limit is not None and np.isfinite(limit) else []
    panels.panel(0.58, "Norm of the gradient", "1", True, **_upright(True, norm, after[1], extra))
    word = ", mean since the last evaluation" if mean else ""
    panels.curve(f"before clipping{word}", n, norm, palette.ORANGE, True)
    panels.curve(f"after clipping{word}", n, after[1], palette.BLUE, True)
    for trace, width in zip(panels.canvas.traces[-2:], (2.5, 1.0), strict=True):  # an edge shows where both are one
        trace["line"] = trace["line"] | {"width": width}
    if extra:
        panels.reference(extra[0], f"limit {scales.value(extra[0], 3)}", True)
    clipped = (after[1] != norm) & ~(np.isnan(after[1]) & np.isnan(norm))
    if mean:
        panels.canvas.notes.append("Single updates were not kept: means since the last evaluation.")
    else:
        share = scales.value(100 * float(clipped.mean()), 3)
        panels.canvas.notes.append(f"Clipped: {share} % of {scales.count(len(norm), 'gradient')}.")
        if clipped.any():
            _clipped(panels, clipped)
    _turned(panels, course)
    _rate(panels, course)
    return panels.figure(course.bad)


def _clipped(panels: _Panels, clipped: np.ndarray) -> None:
    """Draw the strip of the share of updates that were clipped."""
    ticks = {"tickvals": [0], "ticktext": ["clipped"], "ticklen": 0, "tickfont": {"size": 10}, "showgrid": False}
    panels.panel(0.07, "", "", False, range=[-0.5, 0.5], fixedrange=True, **ticks)
    low, high = iteration_places([0, len(clipped)], panels.scale).tolist()
    edges = np.linspace(low, high, min(BUCKETS, len(clipped)) + 1)
    inside = iteration_at(edges, panels.scale)
    starts = np.clip(np.floor(inside[:-1] + ALIKE).astype(int), 0, len(clipped) - 1)
    stops = np.clip(np.maximum(np.ceil(inside[1:] - ALIKE).astype(int), starts + 1), 1, len(clipped))
    shares = np.array([clipped[start:stop].mean() for start, stop in zip(starts, stops, strict=True)])
    names = [f"{a:,}" if b == a + 1 else f"{a:,} to {b - 1:,}" for a, b in zip(starts, stops, strict=True)]
    panels.canvas.add(
        type="heatmap",
        x=edges,
        y=[0],
        z=shares[None],
        zmin=0,
        zmax=1,
        colorscale=[[0, palette.faded(palette.ORANGE, 0.08)], [1, palette.ORANGE]],
        showscale=False,
        customdata=[names],
        hovertemplate="clipped: %{z:.0%} of iteration %{customdata}<extra></extra>",
        name="share of clipped updates",
        yaxis=panels.open,
        meta={"quantity": "share of clipped updates", "unit": "fraction"},
    )


def _turned(panels: _Panels, course: _Course) -> None:
    """Draw the cosine between the gradient before and after clipping, where it says anything."""
    found = course.of_updates("training_gradient_norm.cosine", "")
    if found is None:
        return
    n, cosine, _ = found
    finite = cosine[np.isfinite(cosine)]
    if not finite.size or np.abs(finite - 1).max() < ALIKE:
        return
    panels.panel(0.24, "Cosine", "1", False, **_upright(False, finite, [1.0]))
    panels.curve("cosine", n, np.where(np.isfinite(cosine), cosine, np.nan), palette.GREEN, False)
    panels.canvas.traces[-1]["showlegend"] = False


def _rate(panels: _Panels, course: _Course) -> None:
    """Draw the learning rate where it changes, else say it."""
    found = course.of_updates("training_learning_rate", "")
    if found is None or not len(found[1]):
        return
    n, rate, _ = found
    if np.ptp(rate) == 0:
        panels.canvas.notes.append(f"Learning rate {scales.value(float(rate[0]), 3)} throughout.")
        return
    log = _decades(rate)
    panels.panel(0.24, "Learning rate", "1", log, **_upright(log, rate, zero=True))
    panels.curve("learning rate", n, rate, palette.MAGENTA, log)
    panels.canvas.traces[-1]["showlegend"] = False


LEARNING = (
    "training_loss",
    "training_gradient_norm",
    "training_gradient_norm.clipped",
    "training_gradient_norm.cosine",
    "training_learning_rate",
)
"""The arrays that a training leaves in its last record."""


# The numbers of the records ------------------------------------------------------------------------------------------


def numbers_of(records: Moments) -> list[str]:
    """Return the numbers that the summaries of a training hold, decay rate and horizon first."""
    found: dict[str, None] = {}
    for _, record in ascending(records):
        found |= {name: None for name, value in record.summary.items() if np.isfinite(_number(value))}
    return sorted(found, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


FIRST = ("decay_rate", "horizon", "growth", "half_life", "horizon_best")


def training_numbers(
    records: Moments,
    names: Sequence[str] = ("decay_rate", "horizon"),
    *,
    scale: str | None = None,
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw how the numbers that stand for a record change with the iteration, a panel for each.

    Bars are 95 % intervals where the record has them; the dots have the colour of its verdict. A dot that is hollow
    is a horizon that ends at the length of the sequence, and so may be longer. NaN and inf stand in strips beneath.

    Parameters
    ----------
    records : dict of int to Record, or iterable of pairs
        Of the training: ``store.records(run)``.
    names : sequence of str
        Keys of the summaries; one that no record has a finite number of is left out.
    scale, template, title
        As in :func:`training_loss`.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ArgumentError
        As in :func:`training_loss`.
    """
    course = _Course(records, None, scale)
    there = [name for name in names if any(name in one.summary for one in course.records.values())]
    caption = " ".join(dict.fromkeys([NUMBERS, *(_caption(name) for name in there if name not in FIRST)]))
    panels = _Panels("Numbers over the iterations", caption.strip(), SOURCE, "", course.scale, (template, title))
    if not there:
        return blank(None, f"No record has {' or '.join(names)}.", template, title)
    verdicts = [str(one.summary.get("verdict", "undetermined")) for one in course.records.values()]
    for name in there:
        _number_panel(panels, course, name, verdicts)
    for verdict in dict.fromkeys(verdicts):
        panels.canvas.key(verdict, palette.colour(verdict))
    return panels.figure(course.bad)


def _caption(name: str) -> str:
    """Return what to conclude from a number that is named after its probe."""
    return catalogue.CATALOGUE[name].caption if name in catalogue.CATALOGUE else ""


def _number_panel(panels: _Panels, course: _Course, name: str, verdicts: list[str]) -> None:
    """Draw one number of every record."""
    n = np.array(list(course.records))
    summaries = [record.summary for record in course.records.values()]
    y = np.array([_number(one.get(name)) for one in summaries])
    pairs = [one.get(f"{name}_interval") or (np.nan, np.nan) for one in summaries]
    low, high = np.array([[_number(end) for end in pair] for pair in pairs]).T
    words = catalogue.words(name)
    length = next((one.config.get("length") for one in course.records.values() if one.config.get("length")), None)
    whole = name in ("horizon", "horizon_best") and length is not None
    zeroed = name == "decay_rate" or whole
    spanned = [y, low, high, [0.0] if zeroed else [], [float(length)] if whole and length else []]
    panels.panel(1.0, words[:1].upper() + words[1:], catalogue.unit(name) or "1", False, **_upright(False, *spanned))
    if name == "decay_rate":
        panels.reference(0.0, "0: grows below")
    if whole and length:
        panels.reference(float(length), f"length: {scales.count(int(length), 'step')}")
    panels.curve(words, n, y, palette.NEUTRAL, False, dots=True)
    trace = panels.canvas.traces[-1]
    censored = np.array([name == "horizon" and _number(one.get("horizon_censored"), 0.0) > 0.5 for one in summaries])
    trace["line"] = trace["line"] | {"width": 1.5, "color": palette.faded(palette.NEUTRAL, 0.6)}
    trace["showlegend"] = False
    trace["marker"] = {
        "color": [palette.colour(verdict) for verdict in verdicts],
        "size": 8,
        "symbol": ["circle-open" if hollow else "circle" for hollow in censored.tolist()],
        "line": {"width": 2 * censored.astype(int)},
    }
    if np.isfinite(low).any():
        bars = {"type": "data", "symmetric": False, "thickness": 1.25, "width": 0}
        trace["error_y"] = bars | {
            "color": palette.faded(palette.NEUTRAL, 0.9),
            "array": np.nan_to_num(high - y),
            "arrayminus": np.nan_to_num(y - low),
        }
