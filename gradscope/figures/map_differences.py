"""Differences of heat maps: one run or group minus another, cell by cell, where both are defined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.figures import palette, scales
from gradscope.figures.atlas import Atlas, Colours, check_tiles, columns_within, middles, plates_of
from gradscope.figures.compare import Runs, usual
from gradscope.figures.frame import Canvas, axis_title, colorbar
from gradscope.figures.maps import squeeze
from gradscope.figures.plates import NOWHERE, Tile, is_logarithmic, tile
from gradscope.figures.settings import plain
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Status

__all__ = ["Apart", "difference_map", "draw_apart", "subtract_maps"]

FITS = 40  # letters that fit along the colour bar


@dataclass(frozen=True)
class Apart:
    """What the difference of two tiles shows, at the cells that both have.

    Attributes
    ----------
    first, second : Tile
    x, rows : ndarray, (N,), (R,)
        The places and rows of both.
    values : ndarray, (N, R)
        The first's median minus the second's; NaN where there is none.
    why : dict of str to ndarray of bool, (N, R)
        Where there is none, by the reason in words.
    notes : tuple of str
        What of the axes does not match.
    """

    first: Tile
    second: Tile
    x: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    why: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()


def subtract_maps(first: Tile, second: Tile) -> Apart:
    """Return the difference of two tiles, cell by cell, where both are defined.

    On a log axis it is the log of the ratio. Where one of the two is exactly zero there, or has no number, there is no
    difference, and ``why`` says which.

    Raises
    ------
    ArgumentError
        When their units differ.
    """
    check_tiles([first, second])
    x, here, there = np.intersect1d(first.x, second.x, return_indices=True)
    rows, up, over = np.intersect1d(first.rows, second.rows, return_indices=True)
    one, two = np.ix_(here, up), np.ix_(there, over)
    a, b = first.values[one], second.values[two]
    zero_a, zero_b = np.isneginf(a), np.isneginf(b)
    with np.errstate(invalid="ignore"):
        values = np.where(zero_a | zero_b, np.nan, a - b)
    masked = (first.marks[one] == Status.MASKED) | (second.marks[two] == Status.MASKED)
    open_ = (first.marks[one] == NOWHERE) | (second.marks[two] == NOWHERE)
    bad_a, bad_b = (np.isnan(one) & ~masked & ~open_ for one in (a, b))
    why = {
        "both exactly zero": zero_a & zero_b,
        f"{first.name} exactly zero": zero_a & ~zero_b & ~np.isnan(b),
        f"{second.name} exactly zero": zero_b & ~zero_a & ~np.isnan(a),
        f"no number in {first.name}": bad_a & ~bad_b,
        f"no number in {second.name}": bad_b & ~bad_a,
        "no number in both": bad_a & bad_b,
        palette.STATUSES[Status.MASKED][0]: masked,
    }
    why = {word: mask for word, mask in why.items() if mask.any()}
    return Apart(first, second, x, rows, values, why, _mismatch(first, second, x, rows))


def _mismatch(first: Tile, second: Tile, x: np.ndarray, rows: np.ndarray) -> tuple[str, ...]:
    """Say which places and rows the two do not share."""
    told = []
    pairs = ((first.axis, first.x, second.x, x), (first.row, first.rows, second.rows, rows))
    for word, one, two, both in pairs:
        if len(both) < max(len(one), len(two)):
            told.append(
                f"{first.name} has {len(one):,} {word}s, {second.name} {len(two):,}; "
                f"the difference stands at the {len(both):,} that both have."
            )
    return tuple(told)


def difference_map(
    first: Runs,
    second: Runs,
    probe: str = "unit_gradient",
    *,
    names: tuple[str, str] = ("a", "b"),
    part: str = "",
    order: str = "mean",
    backwards: bool = False,
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw the heat map of one run or group minus that of another, where both are defined.

    On a log axis the difference of the logs is the ratio: 10 means that the first is ten times the second. The middle
    of the colours is no difference: blue where the first is larger, orange where the second is. A cell in which one of
    the two is exactly zero, masked or no number has a colour of its own, and the legend says which of the two.

    Parameters
    ----------
    first, second : Record or sequence of Record
        Of a group of several runs the median over them counts.
    probe : str
        One whose array makes a map.
    names : tuple of str
        What the two are called.
    part, order, backwards, template, title
        As in :func:`compare_maps`.

    Returns
    -------
    plotly.graph_objects.Figure
        What of the axes does not match is said in the footnotes.

    Raises
    ------
    ArgumentError
        As :func:`compare_maps` does.
    """
    common = part or usual({"": {names[0]: first, names[1]: second}}, probe, mapped=True)
    pair = [
        tile(name, plates_of(runs, probe, common, order), backwards=backwards)
        for name, runs in zip(names, (first, second), strict=True)
    ]
    return draw_apart(
        {"": (pair[0], pair[1])},
        probe,
        part=common,
        order=order,
        backwards=backwards,
        template=template,
        title=title,
    )


def draw_apart(
    panels: Mapping[str, tuple[Tile, Tile]],
    probe: str,
    *,
    part: str = "",
    order: str = "mean",
    backwards: bool = False,
    about: str = "",
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Return the figure of differences, a tile for each name.

    Further parameters and errors as in :func:`difference_map`.
    """
    found = {name: subtract_maps(*pair) if pair[0].runs and pair[1].runs else None for name, pair in panels.items()}
    finite = [np.abs(one.values[np.isfinite(one.values)]).max(initial=0.0) for one in found.values() if one]
    largest = float(max(finite, default=0.0)) or 1.0
    page = Atlas(
        probe, part, order, backwards, template, title, Colours(-largest, largest), columns_within(len(panels))
    )
    canvases = {name: _canvas(page, one, panels[name]) for name, one in found.items()}
    first, second = next(iter(panels.values()))
    log = is_logarithmic(CATALOGUE[probe].unit)
    what = "divided by" if log else "minus"
    numbers = {name: _runs(pair) for name, pair in panels.items()}
    medians = f"over {numbers['']}" if "" in numbers else "over the runs of each"
    several = any(one.runs > 1 for pair in panels.values() for one in pair)
    runs = f", medians {medians}" if several else ""
    ranks = "; units are paired by their rank" if first.row == "unit" and order == "mean" else ""
    words = (
        f"{first.name} {what} {second.name}, cell by cell{runs}{ranks}: "
        f"blue where {first.name} is larger, orange where {second.name} is."
    )
    told = {} if "" in numbers else numbers
    tiles = [one for pair in panels.values() for one in pair]
    both = [(one.x, False) for one in found.values() if one is not None and len(one.x)]
    axis = _diverging(page, log, first, second)
    return page.finish(canvases, tiles, told, None, f"{about} {words}".strip(), axis, both)


def _runs(pair: tuple[Tile, Tile]) -> str:
    """Return how many runs each of two groups has, in words."""
    return f"{pair[0].runs:,} and {scales.count(pair[1].runs, 'run')}"


def _diverging(page: Atlas, log: bool, first: Tile, second: Tile) -> dict[str, Any]:
    """Return the colours of differences: the theme's, about no difference."""
    largest = page.scale.high
    ticks = {key: one for key, one in scales.log_axis(-largest, largest).items() if key != "range"} if log else {}
    sign = "/" if log else scales.MINUS
    name = f"{page.quantity()}, {plain(first.name)} {sign} {plain(second.name)}"
    text = axis_title(
        page.probe, log, name if len(name) < FITS else f"{page.quantity()}, {'ratio' if log else 'difference'}"
    )
    return {"cmin": -largest, "cmax": largest, "cmid": 0, "autocolorscale": True, "colorbar": colorbar(text, **ticks)}


def _canvas(page: Atlas, data: Apart | None, pair: tuple[Tile, Tile]) -> Canvas:
    """Return the canvas of one difference."""
    canvas = Canvas(page.probe, page.template, page.title)
    canvas.meta["title"] = f"{page.name()}, difference"
    log = is_logarithmic(CATALOGUE[page.probe].unit)
    gone = [plain(one.name) for one in pair if not one.runs]
    if data is None or not data.values.size:
        canvas.add(type="scatter", x=[None], y=[None], showlegend=False, hoverinfo="skip")
        lack = f"There is no difference to draw: {' and '.join(gone)} has none of it."
        canvas.say(lack if gone else "The two share no cell.")
        return canvas
    canvas.notes += data.notes
    values, why, x, block = _thinned(data, page.limit)
    sign = "/" if log else scales.MINUS
    name = f"{data.first.name} {sign} {data.second.name}"
    text = "10<sup>%{z:.5f}</sup>" if log else "%{z:.6g}"
    hover = f"{data.first.axis} %{{x}}, {page.row(data.first)} %{{y}}"
    page.add(canvas, name, x, data.rows, values, f"{hover}<br>{text}", "log10" if log else data.first.unit, name)
    if block > 1:
        canvas.leave_out(plain(name), len(data.x), len(x), f"largest difference of {block} {data.first.axis}s")
        canvas.notes.append(
            f"Of {len(data.x):,} {data.first.axis}s each column shows the largest difference of {block}."
        )
    for word, mask in why.items():
        canvas.stamp(x, data.rows, mask.T, plain(word), _tone(word, data), hover)
    if not np.isfinite(values).any():
        canvas.say("There is no cell in which both have a number.")
    return canvas


def _thinned(data: Apart, limit: int) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, int]:
    """Return differences and reasons (place, row) in at most ``limit`` columns: the largest of each block."""
    marks = np.where(np.isnan(data.values), np.uint8(Status.MASKED), np.uint8(Status.OK)).T
    keep, _, block = squeeze(np.abs(data.values).T, marks, limit)
    if block == 1:
        return data.values, data.why, data.x, 1
    cut_out = {word: np.take_along_axis(mask.T, keep, 1).T for word, mask in data.why.items()}
    return np.take_along_axis(data.values.T, keep, 1).T, cut_out, middles(data.x, block), block


def _tone(word: str, data: Apart) -> str:
    """Return the colour of a reason: of the same kind one hue, stronger where it is the first's."""
    zero, nan = palette.STATUSES[Status.ZERO][1], palette.STATUSES[Status.NAN][1]
    if word.endswith("exactly zero"):
        return {f"{data.first.name} exactly zero": zero, "both exactly zero": palette.faded(zero, 0.3)}.get(
            word, palette.faded(zero, 0.6)
        )
    if word.startswith("no number"):
        return {f"no number in {data.first.name}": nan, "no number in both": palette.faded(nan, 0.3)}.get(
            word, palette.faded(nan, 0.6)
        )
    return palette.NEUTRAL
