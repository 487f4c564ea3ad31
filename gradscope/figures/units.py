"""Figures over units and exponents: timescales and the Lyapunov spectrum, largest first."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go

from gradscope.figures import palette, scales
from gradscope.figures.frame import Canvas, axis_title, blank
from gradscope.figures.series import LIMIT, Series, absence, lanes, statuses
from gradscope.record import Record, Status

__all__ = ["Ranked", "draw_spectrum", "draw_timescale", "lyapunov_spectrum", "spectrum", "timescale", "timescales"]


@dataclass(frozen=True)
class Ranked:
    """Values in order, largest first.

    Attributes
    ----------
    values : ndarray, (N,)
        In the unit of the probe; -inf, NaN and inf keep their places.
    labels : ndarray of int, (N,)
        Which unit or rank each is.
    marks : ndarray of uint8, (N,)
        The status of each.
    errors : ndarray or None
        Standard errors, where they were measured.
    length : int or None
        Steps of the sequence.
    """

    values: np.ndarray
    labels: np.ndarray
    marks: np.ndarray
    errors: np.ndarray | None = None
    length: int | None = None
    first_bad_step: dict | None = None

    def lane_series(self, logarithmic: bool) -> Series:
        """Return what has no place on the axis, as counts along the ranks."""
        shown = [s for s in Status if s > Status.UNDERFLOW or (s == Status.ZERO and logarithmic)]
        counts = {status: (self.marks == status).astype(int) for status in shown}
        x = np.arange(1.0, len(self.values) + 1)
        gone = np.full(len(x), np.nan)
        found = {status: count for status, count in counts.items() if count.any()}
        return Series("", x, gone, gone, gone, np.zeros(len(x), bool), found)


def timescales(record: Record) -> Ranked:
    """Return the timescale of each unit, longest first; inf leads, zeros and NaN end the order."""
    entry = record.field("timescale")
    values, marks = np.asarray(entry.values, float), statuses(entry)
    order = np.argsort(np.where(np.isnan(values), np.inf, -values), kind="stable")
    labels = np.asarray(entry.coord("unit"))[order]
    bad = record.summary.get("first_bad_step")
    return Ranked(values[order], labels, marks[order], None, record.config.get("length"), bad)


def timescale(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw for how many steps each unit's gate keeps its state, longest first, against the length of the sequence.

    Units far below the line cannot carry the task's memory by the gate alone. Log axis; a timescale of exactly 0 (the
    gate closed once) or of inf (it never forgets) stands in a lane beneath.

    Parameters
    ----------
    record : Record
        With the probe ``timescale``; a cell without gates gets a sentence instead.
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
        When the record does not hold the probe, or for another template.
    """
    sentence = absence(record, "timescale")
    if sentence:
        return blank("timescale", sentence, template, title)
    return draw_timescale(timescales(record), template, title)


def draw_timescale(data: Ranked, template: str = "light", title: bool = False) -> go.Figure:
    """Return the figure of timescales."""
    canvas = Canvas("timescale", template, title)
    usable = (data.marks <= Status.UNDERFLOW) & (data.values > 0)
    y = np.full(len(data.values), np.nan)
    y[usable] = np.log10(data.values[usable])
    finite = y[usable]
    texts = [
        f"unit {label}: {scales.value(float(number))} step"
        for label, number in zip(data.labels, data.values, strict=True)
    ]
    _dots(canvas, y, texts, "timescale", "retained")
    if data.length and finite.size:
        edge = float(np.log10(data.length))
        finite = np.append(finite, edge)
        canvas.rule(edge)
        text = f"length of the sequence: {scales.count(data.length, 'step')}"
        canvas.layout["annotations"].append(
            {"xref": "x domain", "x": 1, "xanchor": "right", "y": edge, "yanchor": "bottom", "text": text}
        )
    axis = scales.log_axis(*scales.bounds(finite, 0.75))
    canvas.layout["yaxis"] = axis | {"title": {"text": axis_title("timescale")}}
    if not usable.any():
        canvas.say_nothing()
    canvas.lanes(lanes([data.lane_series(True)]), "unit")
    canvas.mark(data.first_bad_step, on_axis=False)
    return canvas.figure(xaxis=_ranks(len(y), "unit, longest first [rank]"), hovermode="closest")


def spectrum(record: Record) -> Ranked:
    """Return the Lyapunov exponents with their standard errors, in the order of the record."""
    entry = record.field("lyapunov_spectrum")
    name = "lyapunov_spectrum.error"
    errors = np.asarray(record[name], float) if name in record else None
    bad = record.summary.get("first_bad_step")
    values = np.asarray(entry.values, float)
    marks = statuses(entry)
    marks = np.where(np.isneginf(values), np.uint8(Status.ZERO), np.where(marks == Status.ZERO, np.uint8(0), marks))
    return Ranked(values, np.arange(1, len(values) + 1), marks, errors, None, bad)


def lyapunov_spectrum(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the Lyapunov exponents, largest first, with error bars of one standard error.

    A first exponent above 0 is chaos, and gradients explode along it; far below 0 the network forgets its past at
    that rate. An exponent of -inf (a direction that is lost at once) stands in a lane beneath.

    Parameters
    ----------
    record : Record
        With the probe ``lyapunov_spectrum``.
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
        When the record does not hold the probe, or for another template.
    """
    sentence = absence(record, "lyapunov_spectrum")
    if sentence:
        return blank("lyapunov_spectrum", sentence, template, title)
    return draw_spectrum(spectrum(record), template, title)


def draw_spectrum(data: Ranked, template: str = "light", title: bool = False) -> go.Figure:
    """Return the figure of the Lyapunov spectrum."""
    canvas = Canvas("lyapunov_spectrum", template, title)
    y = np.where(np.isfinite(data.values), data.values, np.nan)
    given = np.full(len(y), np.nan) if data.errors is None else data.errors
    measured = bool(np.isfinite(given).any())
    errors = np.where(np.isfinite(given), given, 0.0)
    texts = [
        f"exponent {label}: {scales.value(float(number))}"
        + (f" ± {scales.value(float(error), 3)}" if measured else "")
        + " nat/step"
        for label, number, error in zip(data.labels, data.values, errors, strict=True)
    ]
    _dots(canvas, y, texts, "exponent", "total", errors if measured else None)
    shown = np.isfinite(y)
    finite = np.concatenate([(y - errors)[shown], (y + errors)[shown], [0.0]])
    low, high = scales.bounds(finite, 1e-3)
    canvas.layout["yaxis"] = {
        "range": [low, max(high, 0.09 * (high - low))],
        "nticks": 6,
        "title": {"text": axis_title("lyapunov_spectrum")},
    }
    if shown.any():
        canvas.rule(0.0)
        zero = {"xref": "x domain", "x": 1, "xanchor": "right", "y": 0, "yanchor": "bottom", "text": "0: chaos above"}
        canvas.layout["annotations"].append(zero)
    else:
        canvas.say_nothing()
    rows = lanes([data.lane_series(True)])
    lost = f"{scales.MINUS}inf"
    canvas.lanes([replace(row, word=lost) if row.status == Status.ZERO else row for row in rows], "exponent")
    canvas.mark(data.first_bad_step, on_axis=False)
    return canvas.figure(xaxis=_ranks(len(y), "exponent, largest first [rank]"), hovermode="closest")


def _dots(
    canvas: Canvas, y: np.ndarray, texts: list[str], name: str, meaning: str, errors: np.ndarray | None = None
) -> None:
    """Draw values in order as dots on a thin line."""
    places = canvas.thinned(name, y, LIMIT)
    colour = palette.colour(meaning)
    size = 7 if len(y) <= 64 else 5 if len(y) <= 160 else 3.5
    bars = {"type": "data", "thickness": 1, "width": 0, "color": palette.faded(colour, 0.6)}
    canvas.add(
        type="scatter",
        x=places + 1.0,
        y=y[places],
        mode="lines+markers",
        line={"color": palette.faded(colour, 0.35), "width": 1.5},
        marker={"color": colour, "size": size},
        error_y=bars | {"array": errors[places]} if errors is not None else None,
        text=[texts[place] for place in places],
        hovertemplate="%{text}<extra></extra>",
        name=name,
        showlegend=False,
    )


def _ranks(number: int, title: str) -> dict:
    """Return the axis of ranks, from 1."""
    pad = max(0.5, 0.012 * number)
    ticks = {"tickmode": "linear", "tick0": 1, "dtick": 1} if number <= 12 else {}
    return ticks | {"range": [1 - pad, number + pad], "title": {"text": title}}
