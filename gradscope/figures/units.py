"""Figures over units and exponents: timescales and the Lyapunov spectrum, largest first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.figures import palette, scales
from gradscope.figures.frame import Canvas, axis_title, blank
from gradscope.figures.series import LIMIT, Lane, Series, absence, along, lanes, statuses
from gradscope.record import Record, Status

__all__ = [
    "Ranked",
    "draw_exponents",
    "draw_spectrum",
    "draw_timescale",
    "exponents",
    "finite_time_exponents",
    "lyapunov_spectrum",
    "spectrum",
    "timescale",
    "timescales",
]


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
    _dots(canvas, y, data, texts, "timescale", "retained")
    if data.length and finite.size:
        edge = float(np.log10(data.length))
        finite = np.append(finite, edge)
        canvas.rule(edge)
        text = f"length of the sequence: {scales.count(data.length, 'step')}"
        canvas.layout["annotations"].append(_clear_side(y, edge) | {"y": edge, "text": text})
    axis = scales.log_axis(*scales.bounds(finite, 0.75))
    canvas.layout["yaxis"] = axis | {"title": {"text": axis_title("timescale", log=True)}}
    if not usable.any():
        canvas.say_nothing()
    canvas.lanes(lanes([data.lane_series(True)]), "unit")
    canvas.mark(data.first_bad_step, on_axis=False)
    return canvas.figure(xaxis=_ranks(len(y), "unit, longest first [rank]"), hovermode="closest")


def _clear_side(y: np.ndarray, edge: float) -> dict[str, Any]:
    """Return where a line's label meets the fewest dots: left or right, above or below it; ``y`` falls."""
    half = (len(y) + 1) // 2
    finite = y[np.isfinite(y)]
    near = 0.12 * max(float(np.ptp(np.append(finite, edge))), 0.75)  # about the height of a label
    best = (len(y) + 1, "right", "bottom")
    for side, dots in (("right", y[len(y) - half :]), ("left", y[:half])):
        for stand, distance in (("bottom", dots - edge), ("top", edge - dots)):
            met = int(((distance > -near / 6) & (distance < near)).sum())
            best = min(best, (met, side, stand), key=lambda place: place[0])
    return {"xref": "x domain", "x": float(best[1] == "right"), "xanchor": best[1], "yanchor": best[2]}


def spectrum(record: Record) -> Ranked:
    """Return the Lyapunov exponents with their standard errors, in the order of the record."""
    entry = record.field("lyapunov_spectrum")
    name = "lyapunov_spectrum.error"
    errors = np.asarray(record[name], float) if name in record else None
    bad = record.summary.get("first_bad_step")
    values = np.asarray(entry.values, float)
    return Ranked(values, np.arange(1, len(values) + 1), statuses(entry), errors, None, bad)


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
    _dots(canvas, y, data, texts, "exponent", "total", errors if measured else None)
    if measured:
        canvas.notes.append("Bars: one standard error.")
    shown = np.isfinite(y)
    with np.errstate(over="ignore"):
        finite = np.nan_to_num(np.concatenate([(y - errors)[shown], (y + errors)[shown]]))
    canvas.layout["yaxis"] = _around_zero(finite) | {"title": {"text": axis_title("lyapunov_spectrum")}}
    if shown.any():
        _zero_line(canvas, "0: chaos above")
    else:
        canvas.say_nothing()
    _lost_lanes(canvas, lanes([data.lane_series(True)]), "exponent")
    canvas.mark(data.first_bad_step, on_axis=False)
    return canvas.figure(xaxis=_ranks(len(y), "exponent, largest first [rank]"), hovermode="closest")


def finite_time_exponents(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the finite-time exponents, largest first: the median over the batch with a band from 5 to 95 %.

    Growth rates of this very stretch, without burn-in; the spread shows how much they depend on the input. Where the
    record holds the Lyapunov spectrum, it stands behind. An exponent of -inf (a direction that is lost at once) stands
    in a lane beneath. Parameters and errors as in :func:`lyapunov_spectrum`.
    """
    sentence = absence(record, "finite_time_exponents")
    if sentence:
        return blank("finite_time_exponents", sentence, template, title)
    return draw_exponents(exponents(record), _behind(record), template, title, record.summary.get("first_bad_step"))


def exponents(record: Record) -> Series:
    """Return the finite-time exponents over the ranks from 1."""
    entry = replace(record.field("finite_time_exponents"), coords={})
    one = along(entry, "finite-time")
    return replace(one, x=one.x + 1)


def _behind(record: Record) -> np.ndarray:
    """Return the Lyapunov exponents of the record, where they were computed."""
    if "lyapunov_spectrum" not in record or absence(record, "lyapunov_spectrum"):
        return np.zeros(0)
    values = np.asarray(record["lyapunov_spectrum"], float)
    return np.where(np.isfinite(values), values, np.nan)


def draw_exponents(
    data: Series,
    behind: np.ndarray,
    template: str = "light",
    title: bool = False,
    bad: dict[str, Any] | None = None,
) -> go.Figure:
    """Return the figure of the finite-time exponents, the Lyapunov spectrum behind them."""
    canvas = Canvas("finite_time_exponents", template, title)
    finite = np.concatenate([data.finite(), behind[np.isfinite(behind)]])
    canvas.layout["yaxis"] = _around_zero(finite) | {"title": {"text": axis_title("finite_time_exponents")}}
    colour = palette.colour("total")
    if data.size > 1:
        canvas.band(data, canvas.layout["yaxis"]["range"][0], colour, 0.2)
        canvas.key(f"5\N{EN DASH}95 %, n = {data.size}", palette.faded(colour, 0.35))
    if np.isfinite(behind).any():
        _behind_line(canvas, behind)
    told = [f"{scales.value(float(number))} nat/step" for number in data.median]
    canvas.line(data, data.name, told.__getitem__, colour, dots=len(data.x) <= 64)
    if len(finite):
        _zero_line(canvas, "0: grows above")
    else:
        canvas.say_nothing()
    _lost_lanes(canvas, lanes([data]), "sequence" if data.size > 1 else "exponent")
    canvas.mark(bad, on_axis=False)
    return canvas.figure(xaxis=_ranks(len(data.x), "exponent, largest first [rank]"))


def _behind_line(canvas: Canvas, values: np.ndarray) -> None:
    """Draw the Lyapunov exponents as a quiet line."""
    ranks = np.arange(1.0, len(values) + 1)
    places = canvas.thinned("Lyapunov", values, LIMIT)
    canvas.add(
        type="scatter",
        x=ranks[places],
        y=values[places],
        mode="lines",
        line={"color": palette.NEUTRAL, "width": 1.5, "dash": palette.DASHED},
        hovertemplate="%{y:.9g} nat/step<extra>Lyapunov</extra>",
        name="Lyapunov",
        legendrank=1050,
    )


def _around_zero(finite: np.ndarray) -> dict[str, Any]:
    """Return an axis of exponents that shows zero."""
    low, high = scales.bounds(np.append(finite, 0.0), 1e-3)
    return {"range": [low, max(high, 0.09 * (high - low))], "nticks": 6}


def _zero_line(canvas: Canvas, text: str) -> None:
    """Draw and name the line above which there is growth."""
    canvas.rule(0.0)
    zero = {"xref": "x domain", "x": 1, "xanchor": "right", "y": 0, "yanchor": "bottom"}
    canvas.layout["annotations"].append(zero | {"text": text})


def _lost_lanes(canvas: Canvas, rows: list[Lane], unit: str) -> None:
    """Draw the lanes of exponents: what counts as zero elsewhere is -inf here."""
    lost = f"{scales.MINUS}inf"
    canvas.lanes([replace(row, word=lost) if row.status == Status.ZERO else row for row in rows], unit)


def _dots(
    canvas: Canvas,
    y: np.ndarray,
    data: Ranked,
    texts: list[str],
    name: str,
    meaning: str,
    errors: np.ndarray | None = None,
) -> None:
    """Draw values in order as dots on a thin line."""
    places = canvas.thinned(name, y, LIMIT)
    colour = palette.colour(meaning)
    size = (7 if len(y) <= 64 else 5 if len(y) <= 160 else 3.5) - 1.5 * (errors is not None)
    bars = {"type": "data", "thickness": 1.5, "width": 0, "color": colour}
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
        customdata=data.labels[places],
        meta={"label": "unit" if name == "timescale" else "exponent"},
    )


def _ranks(number: int, title: str) -> dict:
    """Return the axis of ranks, from 1."""
    pad = max(0.5, 0.012 * number)
    ticks = {"tickmode": "linear", "tick0": 1, "dtick": 1} if number <= 12 else {}
    return ticks | {"range": [1 - pad, number + pad], "title": {"text": title}}
