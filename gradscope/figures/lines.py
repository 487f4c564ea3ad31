"""Lines: what runs show of a probe, each reduced to plain numbers along one axis, and pooled over a group of runs.

A page over thousands of runs keeps lines, not records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradscope.errors import ArgumentError, unknown
from gradscope.figures.curves import FLOWS, coarse, float_edge
from gradscope.figures.parts import COMPARABLE, cut, roles
from gradscope.figures.series import Series, absence, along, quantiles, turned
from gradscope.figures.settings import Look, numbered
from gradscope.figures.spreads import SPREADS
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Record, Status

__all__ = ["Line", "Pool", "check_alike", "line", "logarithmic", "pool", "turned_back"]

LOG = ("jacobian_norm", "jacobian_rms", "jacobian_blocks", "nonnormality", *FLOWS)  # shown as log10, stored as they are


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
    """

    run: str
    series: Series | None = None
    axis: str = ""
    unit: str = ""
    last: float = 0.0
    edge: float = 0.0
    coarse: tuple[int, int] | None = None
    absent: str = ""


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
    if probe not in COMPARABLE:
        raise unknown("probe", probe, COMPARABLE)
    try:
        sentence = absence(record, probe)
    except ArgumentError:
        return Line(run, absent="not measured")
    if sentence:
        return Line(run, absent=sentence.rstrip("."))
    entry = cut(record.field(probe), part_name)
    if entry is None:
        return Line(run, absent=f"there is no {part_name}")
    axis, pooled = roles(entry.axes).along, roles(entry.axes).pooled
    log = probe in LOG
    series = along(turned(entry, axis, *pooled), run, log=log)
    last = record.config.get("length", series.x[-1] + (axis == "step")) - (axis == "step")
    if axis in ("lag", "rank"):
        last = series.x[-1]
    unit = "log10" if log else entry.unit
    some = coarse(record, entry, axis) if axis in ("time", "step") else None
    return Line(run, series, axis, unit, float(last), float_edge(record), some)


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


def turned_back(one: Line) -> Series:
    """Return a line with its places counted back from the last one; lags and ranks have no end to count from."""
    series = one.series
    assert series is not None
    if one.axis in ("lag", "rank"):
        return series
    back = {status: counts[::-1] for status, counts in series.counts.items()}
    arrays = {name: getattr(series, name)[::-1] for name in ("median", "low", "high", "under")}
    return replace(series, x=one.last - series.x[::-1], counts=back, **arrays)


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
