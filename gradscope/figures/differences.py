"""Differences: one run or group minus another, as a ratio where the axis is logarithmic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.figures import palette, scales
from gradscope.figures.compare import SPREAD_WORDS, Panels, Runs, lines_of, usual
from gradscope.figures.frame import Canvas, axis_title, heading, outline
from gradscope.figures.lines import Pool, check_alike, logarithmic, pool, turned_back
from gradscope.figures.series import Lane, Series, lanes, quantiles, thin
from gradscope.figures.settings import plain
from gradscope.figures.spreads import SPREADS
from gradscope.record import Status

__all__ = ["Difference", "difference", "draw_difference", "subtract"]

PAIRS = 10_000  # of runs, whose differences make a band
FITS = 48  # letters of a name that the legend has room for
LARGE = 1e30  # stands for inf while quantiles are interpolated


@dataclass(frozen=True)
class Difference:
    """What the difference of two pools shows, at the places where both were measured.

    Attributes
    ----------
    names : tuple of str
        Of the first and of the second.
    series : Series
        The first's median minus the second's; NaN where either has none or both are exactly zero on a log axis, an
        infinity where one of them is.
    banded : bool
        Whether low and high hold the spread of the differences of all pairs of runs.
    zeros : dict of str to ndarray of bool
        Where the first, the second, or both are exactly zero on a log axis, by what is said of it.
    bad : dict of str to ndarray of bool
        Where either has no number, by its name.
    equal : ndarray of bool, (N,)
        Where both are the same to the last digit.
    notes : tuple of str
        What of the axes does not match.
    """

    names: tuple[str, str]
    series: Series
    banded: bool
    zeros: dict[str, np.ndarray]
    bad: dict[str, np.ndarray]
    equal: np.ndarray
    notes: tuple[str, ...]


def difference(
    first: Runs,
    second: Runs,
    probe: str = "transport",
    *,
    names: tuple[str, str] = ("a", "b"),
    part: str = "",
    spread: str = "10-90",
    backwards: bool = False,
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw a probe of one run or group minus that of another, where both were measured.

    On a log axis the difference of the logs is the ratio: 10 means that the first is ten times the second. The line is
    the difference of the medians that :func:`compare` draws; the band holds the differences of all pairs of runs. A
    band that lies on one side of the line of no difference is a difference that the seeds do not explain.

    Parameters
    ----------
    first, second : Record or sequence of Record
    probe : str
        One of ``COMPARABLE``.
    names : tuple of str
        What the two are called.
    part, spread, backwards, template, title
        As in :func:`compare`.

    Returns
    -------
    plotly.graph_objects.Figure
        Where one of the two is exactly zero on a log axis, or has no number, lanes beneath say which. Where both are
        equal to the last digit, diamonds stand on the line of no difference. What of the axes does not match is said
        in the footnotes.

    Raises
    ------
    ArgumentError
        As :func:`compare` does.
    """
    common = part or usual({"": {names[0]: first, names[1]: second}}, probe)
    pair = [
        pool(name, lines_of(runs, probe, common), spread=spread, backwards=backwards)
        for name, runs in zip(names, (first, second), strict=True)
    ]
    return draw_difference(
        {"": (pair[0], pair[1])}, probe, part=common, spread=spread, backwards=backwards, template=template, title=title
    )


def subtract(first: Pool, second: Pool, probe: str, spread: str = "10-90", backwards: bool = False) -> Difference:
    """Return the data of a difference; both pools must have a series.

    Raises
    ------
    ArgumentError
        When their units or axes differ.
    """
    check_alike([*first.lines, *second.lines])
    one, two = first.series, second.series
    assert one is not None
    assert two is not None
    names, log = (first.name, second.name), logarithmic(probe)
    x, here, there = np.intersect1d(one.x, two.x, return_indices=True)
    a, b = one.median[here], two.median[there]
    with np.errstate(invalid="ignore"):
        middle = np.where(a == b, 0.0, a - b)
    nothing = np.isneginf(a) & np.isneginf(b)
    middle = np.where(nothing, np.nan, middle)
    zeros = {f"{names[0]} exactly zero": np.isneginf(a) & ~np.isneginf(b) & ~np.isnan(b)}
    zeros |= {f"{names[1]} exactly zero": np.isneginf(b) & ~np.isneginf(a) & ~np.isnan(a)}
    zeros["both exactly zero"] = nothing
    bad = {f"no number in {names[0]}": np.isnan(a), f"no number in {names[1]}": np.isnan(b)}
    banded = 1 < len(first.lines) * len(second.lines) <= PAIRS
    low, high = _pairs(first, second, x, SPREADS[spread], backwards) if banded else (middle, middle)
    under = one.under[here] | two.under[there]
    series = Series(f"{names[0]} {'/' if log else scales.MINUS} {names[1]}", x, middle, low, high, under)
    equal = (a == b) & np.isfinite(a)
    return Difference(names, series, banded, zeros, bad, equal, _mismatch(names, one.x, two.x, x))


def _pairs(
    first: Pool, second: Pool, x: np.ndarray, shares: Sequence[float], backwards: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high of the differences of every run of the first from every run of the second."""
    ours, theirs = (_matrix(one, x, backwards) for one in (first, second))
    with np.errstate(invalid="ignore"):
        every = (ours[:, :, None] - theirs[:, None, :]).reshape(len(x), -1)
    low, _, high = quantiles(np.minimum(every, LARGE), ~np.isnan(every), shares)
    return np.where(low > LARGE / 1e6, np.inf, low), np.where(high > LARGE / 1e6, np.inf, high)


def _matrix(one: Pool, x: np.ndarray, backwards: bool) -> np.ndarray:
    """Return the medians of the runs of a pool at some places: (N, runs), NaN where one has none."""
    found = np.full((len(x), len(one.lines)), np.nan)
    for number, member in enumerate(one.lines):
        series = turned_back(member) if backwards else member.series
        assert series is not None
        _, here, there = np.intersect1d(x, series.x, return_indices=True)
        found[here, number] = series.median[there]
    return found


def _mismatch(names: tuple[str, str], one: np.ndarray, two: np.ndarray, both: np.ndarray) -> tuple[str, ...]:
    """Say which places the two do not share."""
    if len(both) == len(one) == len(two):
        return ()
    told = [
        f"{name} was measured at {len(x):,} places from {x[0]:g} to {x[-1]:g}"
        for name, x in zip(names, (one, two), strict=True)
    ]
    return (f"The axes do not match: {told[0]}, {told[1]}; the difference stands at the {len(both):,} that both have.",)


def draw_difference(
    panels: Mapping[str, tuple[Pool, Pool]],
    probe: str,
    *,
    part: str = "",
    spread: str = "10-90",
    backwards: bool = False,
    about: str = "",
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Return the figure of differences, a panel for each name.

    Further parameters and errors as in :func:`difference`.
    """
    found = {
        name: subtract(one, two, probe, spread, backwards)
        if one.series is not None and two.series is not None
        else None
        for name, (one, two) in panels.items()
    }
    every = [one for one in found.values() if one is not None]
    values = np.concatenate([np.zeros(1), *(one.series.finite() for one in every)])
    page = Panels(probe, part, SPREAD_WORDS[spread], False, backwards, values, template, title)
    canvases = {}
    for name, pair in panels.items():
        canvases[name] = _draw_one(page, found[name], pair)
    log = logarithmic(probe)
    first, second = next(iter(panels.values()))
    what = "divided by" if log else "minus"
    band = "; the band holds the differences of all pairs of runs" if any(one.banded for one in every) else ""
    words = f"{first.name} {what} {second.name}: the difference of their medians{' as a ratio' if log else ''}{band}."
    pools = [one for pair in panels.values() for one in pair]
    both = [(one.series.x, False) for one in every if len(one.series.x)]
    return page.finish(canvases, pools, f"{about} {words}".strip(), both)


def _draw_one(page: Panels, data: Difference | None, pair: tuple[Pool, Pool]) -> Canvas:
    """Return the canvas of one difference: what is larger in the colour of the one that is."""
    canvas = Canvas(page.probe, page.template, page.title)
    canvas.meta["title"] = f"{page.quantity()}, difference"
    log = logarithmic(page.probe)
    low, high = scales.bounds(page.finite, 0.3 if log else 0.0)
    pad = 0.0 if high > low else 0.5
    axis: dict[str, Any] = scales.log_axis(low, high) if log else {"range": [low - pad, high + pad], "nticks": 6}
    word = "ratio" if log else "difference"
    canvas.layout["yaxis"] = axis | {"title": {"text": axis_title(page.probe, log, f"{heading(page.probe)}, {word}")}}
    if data is None:
        gone = [plain(one.name) for one in pair if one.series is None]
        canvas.say(f"There is no difference to draw: {' and '.join(gone)} has none of it.")
        return canvas
    canvas.notes += data.notes
    if not len(data.series.x):
        canvas.say("The two share no place along this axis.")
        return canvas
    series = replace(data.series, name=plain(data.series.name))
    if data.banded:
        series = replace(series, high=np.where(np.isposinf(series.high), axis["range"][1], series.high))
        canvas.band(series, axis["range"][0], palette.NEUTRAL, 0.2, page.spread)
        canvas.key(f"{page.spread}, all pairs", palette.faded(palette.NEUTRAL, 0.35))
    for one, sign in zip(pair, (1, -1), strict=True):
        _fill(canvas, series, sign, one)
    canvas.rule(0.0, "solid")
    text = scales.power if log else scales.value
    label = series.name if len(series.name) < FITS else word
    canvas.line(series, label, lambda n: text(float(series.median[n]), 4), palette.NEUTRAL, dash="solid")
    _mark_equal(canvas, data)
    canvas.lanes(_marks(data), "place")
    if not np.isfinite(data.series.median).any():
        canvas.say_nothing()
    return canvas


def _fill(canvas: Canvas, series: Series, sign: int, one: Pool) -> None:
    """Fill what lies on one side of no difference with the colour of the group that is larger there."""
    height = np.clip(sign * series.median, 0, None) * sign
    x, y = outline(series.x, np.where(np.isfinite(height), 0.0, np.nan), height, 0.3)
    if np.any(height[np.isfinite(height)] != 0):
        tone = palette.faded(one.look.colour, 0.45)
        canvas.area(x, y, f"{plain(one.name)} is larger", tone, {"width": 0}, meta={"role": "aid"})
        canvas.key(f"{plain(one.name)} is larger", tone)


def _mark_equal(canvas: Canvas, data: Difference) -> None:
    """Put a diamond where both are the same to the last digit."""
    if data.equal.any():
        at = thin(np.where(data.equal, 0.0, np.nan))
        at = at[data.equal[at]]
        canvas.add(
            type="scatter",
            x=data.series.x[at],
            y=np.zeros(len(at)),
            mode="markers",
            marker={"symbol": "diamond", "size": 7, "color": palette.OLIVE},
            name="equal to the last digit",
            hoverinfo="skip",
            meta={"role": "aid"},
        )


def _marks(data: Difference) -> list[Lane]:
    """Return the rows that say where there is no difference to draw, and why."""
    x, rows = data.series.x, []
    every = [(Status.ZERO, data.zeros), (Status.NAN, data.bad)]
    for status, found in every:
        for word, mask in found.items():
            if mask.any():
                (row,) = lanes(
                    [Series("", x, *(np.zeros(len(x)),) * 3, np.zeros(len(x), bool), {status: mask.astype(int)})]
                )
                rows.append(replace(row, word=plain(word)))
    return rows
