"""Lines: what runs show of a probe, each reduced to plain numbers along one axis, and pooled over a group of runs.

A page over thousands of runs keeps lines, not records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError, unknown
from gradscope.figures.curves import FLOWS, coarse, float_edge
from gradscope.figures.parts import COMPARABLE, cut, parts, ranked, resolved, roles
from gradscope.figures.series import Series, absence, along, quantiles, turned
from gradscope.figures.settings import Look, numbered
from gradscope.figures.spreads import SPREADS
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Field, Record, Status

__all__ = [
    "Line",
    "Pool",
    "agreed",
    "check_alike",
    "line",
    "lines",
    "logarithmic",
    "places",
    "pool",
    "shows",
    "turned_back",
]

LOG = ("jacobian_norm", "jacobian_rms", "jacobian_blocks", "nonnormality", *FLOWS)  # shown as log10, stored as they are
ENDLESS = ("lag", "rank")  # axes that have no end to count from


@dataclass(frozen=True)
class Line:
    """What one run shows of a probe, reduced to plain numbers along one axis.

    Attributes
    ----------
    run : str
        Its name.
    series : Series or None
        The median over its sequences (units, inputs) with their 5 to 95 %; None where there is nothing to show.
    axis : str
        ``"time"``, ``"step"``, ``"lag"`` or ``"rank"``.
    unit : str
        Of the numbers; ``"log10"`` where logs are shown.
    last : float
        The last place of the axis, measured or not: where counting back begins.
    edge : float
        log10 of the smallest normal number of the run's dtype.
    coarse : tuple of int or None
        Places that were measured, and places there are, where only a coarse grid was.
    absent : str
        Why there is nothing to show.
    parts : tuple of str
        What can be shown of the probe in this run; empty where there is no choice.
    """

    run: str
    series: Series | None = None
    axis: str = ""
    unit: str = ""
    last: float = 0.0
    edge: float = 0.0
    coarse: tuple[int, int] | None = None
    absent: str = ""
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pool:
    """What a group of runs shows.

    Attributes
    ----------
    name : str
        What it is called in the legend.
    series : Series or None
        Median, low and high over the runs, each of which counts with its own median; None where no run has any.
    present : ndarray of int, (N,)
        Runs with a number at each place.
    lines : tuple of Line
        The runs that have something to show.
    absent : dict of str to int
        Why others have not, and how many.
    look : Look
    own : bool
        Whether the band is that of the sequences of the only run.
    """

    name: str
    series: Series | None
    present: np.ndarray
    lines: tuple[Line, ...]
    absent: dict[str, int] = field(default_factory=dict)
    look: Look = field(default_factory=lambda: numbered(0))
    own: bool = False


def line(record: Record, probe: str, part_name: str = "", run: str = "") -> Line:
    """Reduce what a record holds of a probe to one line.

    Parameters
    ----------
    record : Record
        With the probe, or without it: then the line says so.
    probe : str
        One of ``COMPARABLE``.
    part_name : str
        One of :func:`choices`, where there are any; by default the usual one.
    run : str
        The name of the run.

    Returns
    -------
    Line
        NaN, inf, zeros of a log axis and masked elements are counted at each place, as in the figures of one run.

    Raises
    ------
    ArgumentError
        For a probe that cannot be compared.
    """
    return lines({run: record}, probe, part_name)[0]


def lines(records: Mapping[str, Record], probe: str, part_name: str = "") -> list[Line]:
    """Reduce the records of many runs to a line each, all of one shape at once: that is many times as fast.

    Parameters and errors as in :func:`line`; the records are given by the names of their runs.
    """
    if probe not in COMPARABLE:
        raise unknown("probe", probe, COMPARABLE)
    found: dict[str, Line] = {}
    alike: dict[tuple[Any, ...], list[tuple[str, Field]]] = {}
    for run, record in records.items():
        entry = _part_of(record, probe, part_name)
        if isinstance(entry, str):
            found[run] = Line(run, absent=entry, parts=tuple(parts(record, probe)))
            continue
        role = roles(entry.axes)
        entry = turned(entry, role.along, *role.pooled)
        size = int(np.prod(entry.values.shape[1:]))
        alike.setdefault((role.along, entry.unit, size, entry.status is None), []).append((run, entry))
    for (axis, unit, size, _), held in alike.items():
        every = along(_stacked([entry for _, entry in held], axis, unit, size), "", log=probe in LOG)
        start = 0
        for run, entry in held:
            stop = start + len(entry.values)
            found[run] = _line(run, records[run], probe, entry, _slice(every, run, entry, slice(start, stop)))
            start = stop
    return [found[run] for run in records]


def _part_of(record: Record, probe: str, part_name: str) -> Field | str:
    """Return the array of a probe, or of a part of it, or why there is none."""
    try:
        sentence = absence(record, probe)
    except ArgumentError:
        return "not measured"
    if sentence:
        return sentence.rstrip(".")
    return cut(record.field(probe), part_name) or f"there is no {part_name}"


def _stacked(entries: Sequence[Field], axis: str, unit: str, size: int) -> Field:
    """Return arrays of as many sequences each, one behind the other."""
    values = np.concatenate([np.asarray(entry.values).reshape(-1, size) for entry in entries])
    marks = [entry.status.reshape(-1, size) for entry in entries if entry.status is not None]
    return Field(entries[0].name, values, (axis, "batch"), unit, {}, np.concatenate(marks) if marks else None)


def _slice(every: Series, run: str, entry: Field, here: slice) -> Series:
    """Return the series of one run."""
    counts = {status: held[here] for status, held in every.counts.items() if held[here].any()}
    x = np.asarray(entry.coord(entry.axes[0]), float)
    return Series(run, x, every.median[here], every.low[here], every.high[here], every.under[here], counts, every.size)


def _line(run: str, record: Record, probe: str, entry: Field, series: Series) -> Line:
    """Return the line of a series, with what else is to be known of the run."""
    axis = entry.axes[0]
    last = record.config.get("length", series.x[-1] + (axis == "step")) - (axis == "step")
    if axis in ENDLESS:
        last = series.x[-1]
    unit = "log10" if probe in LOG else entry.unit
    some = coarse(record, entry, axis) if axis in ("time", "step") else None
    return Line(run, series, axis, unit, float(last), float_edge(record), some, parts=tuple(parts(record, probe)))


def agreed(found: Sequence[Line], part_name: str = "") -> tuple[list[str], str]:
    """Return the parts that there are in any run, the usual first, and the one to show.

    Parameters
    ----------
    found : sequence of Line
    part_name : str
        The one that is wanted; where there is none of it, the usual one is shown.
    """
    every = ranked(name for one in found for name in one.parts)
    return every, part_name if part_name in every else next(iter(every), "")


def shows(one: Line, asked: str, chosen: str) -> Line | None:
    """Return what a run shows of a chosen part, from its line that was reduced for another; None if it must be again.

    Parameters
    ----------
    one : Line
    asked : str
        The part for which it was reduced; ``""`` for the usual one of that run.
    chosen : str
        The part to show.
    """
    if not one.parts or asked == chosen:
        return one
    wanted = resolved(chosen, one.parts)
    if wanted is None:
        return replace(one, series=None, absent=f"there is no {chosen}")
    return one if wanted == resolved(asked or ranked(one.parts)[0], one.parts) else None


def pool(
    name: str, lines: Sequence[Line], *, spread: str = "10-90", backwards: bool = False, look: Look | None = None
) -> Pool:
    """Aggregate the lines of a group: the median over its runs, and a band.

    Each run counts with the median over its sequences. Runs may differ in length and in where they were measured: at
    each place the runs count that have a number there.

    Parameters
    ----------
    name : str
        Of the group.
    lines : sequence of Line
    spread : str
        One of ``SPREADS``: what the band holds.
    backwards : bool
        Whether to count places back from each run's last one, which aligns the ends of runs of different lengths.
    look : Look, optional

    Returns
    -------
    Pool

    Raises
    ------
    ArgumentError
        For another spread, or when lines have different units or axes.
    """
    if spread not in SPREADS:
        raise unknown("spread", spread, SPREADS)
    shown = tuple(one for one in lines if one.series is not None)
    absent = dict(Counter(one.absent for one in lines if one.series is None))
    check_alike(shown)
    look = look or numbered(0)
    if not shown:
        return Pool(name, None, np.zeros(0, int), (), absent, look)
    placed = [turned_back(one) if backwards else one.series for one in shown]
    series, present = _aggregate(name, [one for one in placed if one is not None], SPREADS[spread])
    return Pool(name, series, present, shown, absent, look)


def check_alike(lines: Iterable[Line]) -> None:
    """Refuse lines that have no common axis."""
    lines = list(lines)
    for attribute, words in (("unit", "unit"), ("axis", "axis")):
        found = dict.fromkeys(getattr(one, attribute) for one in lines)
        if len(found) > 1:
            raise ArgumentError(
                f"`groups` must have one {words} in a figure, got {' and '.join(found)}. "
                "Compare records of the same kind, or draw a figure of each."
            )


def places(one: Line, backwards: bool) -> np.ndarray:
    """Return where a line lies, ascending, counted back from its last place where that is asked for."""
    assert one.series is not None
    x = one.series.x
    return one.last - x[::-1] if backwards and one.axis not in ENDLESS else x


def turned_back(one: Line) -> Series:
    """Return a line with its places counted back from the last one; lags and ranks have no end to count from."""
    series = one.series
    assert series is not None
    if one.axis in ENDLESS:
        return series
    back = {status: counts[::-1] for status, counts in series.counts.items()}
    arrays = {name: getattr(series, name)[::-1] for name in ("median", "low", "high", "under")}
    return replace(series, x=places(one, backwards=True), counts=back, **arrays)


def _aggregate(name: str, lines: Sequence[Series], shares: Sequence[float]) -> tuple[Series, np.ndarray]:
    """Return median and band over the medians of lines, and how many count at each place."""
    x = np.unique(np.concatenate([one.x for one in lines]))
    medians, under = np.full((len(x), len(lines)), np.nan), np.zeros((len(x), len(lines)), bool)
    counts: dict[Status, np.ndarray] = {}
    for number, one in enumerate(lines):
        here = np.searchsorted(x, one.x)
        medians[here, number], under[here, number] = one.median, one.under
        for status, found in one.counts.items():
            counts.setdefault(status, np.zeros(len(x), int))[here] += found
    used = ~np.isnan(medians)
    low, median, high = quantiles(medians, used, shares)
    below = 2 * (under & used).sum(1) > used.sum(1)
    size = sum(one.size for one in lines)
    return Series(name, x, median, low, high, below, counts, size), used.sum(1)


def logarithmic(probe: str) -> bool:
    """Return whether a probe is shown as log10."""
    return probe in LOG or CATALOGUE[probe].unit == "log10"
