"""From fields of a record to plain arrays along one axis: medians, bands, counts of what cannot be drawn, decimation.

Nothing here knows of plotly. Reductions over the batch use the elements with status ok, zero and underflow and count
the others, by status, at every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

from gradscope.cells import CELLS
from gradscope.figures import given
from gradscope.probes.catalogue import CATALOGUE, fits
from gradscope.record import Field, Record, Status

__all__ = ["Lane", "Series", "absence", "along", "lanes", "part", "quantiles", "runs", "statuses", "thin", "turned"]

LIMIT = 1024  # points a trace: what a browser redraws at once; a thousand steps are drawn whole
BUCKETS = 400  # cells along a lane: each is still wider than a pixel in a small card
QUANTILES = (0.05, 0.5, 0.95)
LACKING = {
    "gates": "a cell with a gate that keeps",
    "cell_state": "a cell with a cell state",
    "writes": "a cell with a cell state and a gate that keeps",
    "blocks": "a cell whose state has more than one block",
}
"""What a probe needs, in words."""

LOGARITHMS = ("log10", "nat/step")  # units in which zero is -inf
_LARGE = np.finfo(float).max / 2
_FLOOR = -1e30  # stands for -inf while quantiles are interpolated


@dataclass(frozen=True)
class Series:
    """One quantity along an axis: its median over the batch, a band, and what was left out.

    Attributes
    ----------
    name : str
        What it is called in the legend; the key of its colour.
    x : ndarray, (N,)
        Where along the axis.
    median, low, high : ndarray, (N,)
        The 50, 5 and 95 % quantiles over the batch of what is usable, in the unit of the axis; NaN where nothing is,
        -inf in log10 where it is exactly zero.
    under : ndarray of bool, (N,)
        Where most of the batch is below the float range, its value kept by the log scale.
    counts : dict of Status to ndarray, (N,)
        How many of the batch have that status, for each that occurs and needs a mark of its own.
    size : int
        Sequences in the batch; 1 for an array without a batch axis.
    """

    name: str
    x: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    under: np.ndarray
    counts: dict[Status, np.ndarray] = field(default_factory=dict)
    size: int = 1

    def codes(self) -> np.ndarray:
        """Return the status of each median: zero where it is -inf, and why there is none where it is NaN."""
        codes = np.where(self.under, np.uint8(Status.UNDERFLOW), np.uint8(Status.OK))
        codes = np.where(np.isneginf(self.median), np.uint8(Status.ZERO), codes)
        gone = np.isnan(self.median)
        if not gone.any():
            return codes
        kinds = [status for status in self.counts if status > Status.UNDERFLOW]
        held = np.array([np.full(len(self.x), 0.5), *(self.counts[kind] for kind in kinds)])
        most = np.array([Status.NAN, *kinds], np.uint8)[held.argmax(0)]
        return np.where(gone, most, codes)

    def finite(self) -> np.ndarray:
        """Return every finite number that is drawn."""
        drawn = np.concatenate([self.median, self.low, self.high])
        return drawn[np.isfinite(drawn)]


@dataclass(frozen=True)
class Lane:
    """One row beneath a plot: how many elements of one status stand at each place of the axis.

    ``word`` says what they are where the status's own word does not fit.
    """

    status: Status
    label: str
    edges: np.ndarray  # (N + 1,)
    counts: np.ndarray  # (N,)
    size: int
    x: np.ndarray  # (N,) where the counts stand, the first place of each cell
    decimated: tuple[int, int] | None = None
    word: str | None = None


def absence(record: Record, name: str) -> str | None:
    """Return the sentence that stands in place of a figure when a probe does not apply to the record, else None.

    Raises
    ------
    ArgumentError
        When the probe would apply and was not taken, and for what is no record.
    """
    probe = CATALOGUE[name]
    if name not in given.record(record):
        kind = _kind(record.config.get("cell", {}))
        if kind is not None and not fits(name, kind):
            cell = record.config["cell"]["cell"]
            called = {"RNN": "a plain RNN", "GRU": "a GRU"}.get(cell, cell)
            return f"{probe.title} needs {LACKING[probe.needs]}; {called} has none."
    entry = record.field(name)
    found = entry.statuses()
    if entry.status is None and found.size:
        return None  # nothing is marked, and most arrays are so
    reason = f": {entry.reason.rstrip('.')}" if entry.reason else ""
    if (found == Status.NOT_APPLICABLE).all():  # or there is nothing, as of the gates of a cell that has none
        return f"{probe.title} is not applicable to this cell{reason}."
    if found.size and (found == Status.NOT_COMPUTED).all():
        return f"{probe.title} was not computed{reason}."
    return None


def _kind(cell: Mapping[str, Any]) -> Any:
    """Return what can be asked for blocks and a keep gate, from a record's words for its cell; None if it is not known.

    It is a cell of the library, or a step of one's own.
    """
    if cell.get("cell") in CELLS:
        return CELLS[cell["cell"]](1, 1)
    if "blocks" in cell:
        return SimpleNamespace(blocks=tuple(cell["blocks"]), keeps=cell.get("keep_gate") is not None)
    return None


def statuses(entry: Field) -> np.ndarray:
    """Return the status of every element; NaN, inf and zeros that nobody marked are marked here.

    Of logarithms, exponents in nat/step among them, the one that stands for zero is -inf, whatever it was marked as.
    """
    values, found = np.asarray(entry.values), entry.statuses()
    if np.iscomplexobj(values):
        values = np.abs(values)
    if entry.status is None and np.isfinite(values).all() and (entry.unit in LOGARITHMS or values.all()):
        return found  # nothing to mark, and most arrays are so
    unmarked = found <= Status.UNDERFLOW
    found = np.where(unmarked & np.isnan(values), np.uint8(Status.NAN), found)
    found = np.where(unmarked & np.isposinf(values), np.uint8(Status.INF), found)
    nothing = np.isneginf(values) if entry.unit in LOGARITHMS else values == 0
    return np.where(((found == Status.OK) | (found == Status.INF)) & nothing, np.uint8(Status.ZERO), found)


def part(entry: Field, axis: str, index: int) -> Field:
    """Return a field at one place of an axis."""
    number = entry.axes.index(axis)
    values = np.take(entry.values, index, number)
    found = None if entry.status is None else np.take(entry.status, index, number)
    axes = tuple(name for name in entry.axes if name != axis)
    coords = {name: labels for name, labels in entry.coords.items() if name in axes}
    return Field(entry.name, values, axes, entry.unit, coords, found, entry.reason)


def turned(entry: Field, *axes: str) -> Field:
    """Return a field with its axes in another order."""
    order = [entry.axes.index(axis) for axis in axes]
    found = None if entry.status is None else entry.status.transpose(order)
    return replace(entry, values=entry.values.transpose(order), axes=axes, status=found)


def along(entry: Field, name: str, index: int | None = None, log: bool = False) -> Series:
    """Return one series of a field: ``index`` chooses along a leading axis, the last axis is the batch if it has one.

    Parameters
    ----------
    entry : Field
        With axes ([gate or block,] step or time [, batch]).
    name : str
        The name of the series.
    index : int, optional
        Which gate or block.
    log : bool
        Whether to return log10 of a field that is stored as it is; zeros become -inf.
    """
    values, found = np.asarray(entry.values, float), statuses(entry)
    axes = entry.axes
    if index is not None:
        values, found, axes = values[index], found[index], axes[1:]
    x = np.asarray(entry.coord(axes[0]), float)
    values, found = values.reshape(len(x), -1), found.reshape(len(x), -1)
    logarithmic = log or entry.unit in LOGARITHMS
    if log and entry.unit != "log10":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log10(values)
    used = found <= Status.UNDERFLOW
    low, median, high = quantiles(values, used)
    there = np.bincount(found.ravel(), minlength=len(Status))
    marked = [s for s in Status if there[s] and (s > Status.UNDERFLOW or (s == Status.ZERO and logarithmic))]
    counts = {status: (found == status).sum(1) for status in marked}
    under = 2 * (found == Status.UNDERFLOW).sum(1) > used.sum(1)
    size = values.shape[1]
    return Series(name, x, median, low, high, under, counts, size)


def quantiles(values: np.ndarray, used: np.ndarray, shares: Sequence[float] = QUANTILES) -> np.ndarray:
    """Return the quantiles of each row over what is used: (shares, N), NaN for a row without any, -inf as a value."""
    if np.abs(values[np.isfinite(values)]).max(initial=0.0) > _LARGE:
        return 2 * quantiles(values / 2, used, shares)  # a difference of two would overflow
    values = np.where(np.isneginf(values), _FLOOR, values)
    rows = np.arange(len(values))
    if used.all():
        ordered = np.sort(values, axis=1)
        found = np.array([_quantile(ordered, share) for share in shares])
    else:
        ordered = np.sort(np.where(used, values, np.nan), axis=1)  # NaN sorts last
        count = used.sum(1)
        found = np.empty((len(shares), len(values)))
        for number, share in enumerate(shares):
            place = share * np.maximum(count - 1, 0)
            below = np.floor(place).astype(int)
            above = np.minimum(below + 1, np.maximum(count - 1, 0))
            lower, upper = ordered[rows, below], ordered[rows, above]
            found[number] = lower + (place - below) * (upper - lower)
        found[:, count == 0] = np.nan
    return np.where(found < _FLOOR / 1e6, -np.inf, found)


def _quantile(ordered: np.ndarray, share: float) -> np.ndarray:
    """Return a quantile of rows in order, to the last digit that of numpy, which takes ten times as long."""
    last = ordered.shape[1] - 1
    if last < 0:
        return np.full(len(ordered), np.nan)
    below = int(share * last)
    low, high = ordered[:, below], ordered[:, min(below + 1, last)]
    part = share * last - below
    return low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)


def lanes(series: Sequence[Series]) -> list[Lane]:
    """Return the rows that show what the curves cannot: zeros of a log axis, NaN, inf, masked and missing elements.

    One row for each series and status that occur, or one for all where they agree; with more than four, the series are
    taken together and the largest count stands.
    """
    rows: list[tuple[Status, list[Series]]] = []
    for status in Status:
        held = [one for one in series if status in one.counts]
        alike = len(held) == len(series) and all((one.counts[status] == held[0].counts[status]).all() for one in held)
        rows += [(status, held)] if held and alike else [(status, [one]) for one in held]
    if len(rows) > 4:
        kinds = dict.fromkeys(status for status, _ in rows)
        rows = [(kind, [one for one in series if kind in one.counts]) for kind in kinds]
        return [_lane(status, "", held) for status, held in rows]
    return [_lane(status, held[0].name if len(held) < len(series) else "", held) for status, held in rows]


def _lane(status: Status, label: str, series: Sequence[Series]) -> Lane:
    """Return one row, in at most ``BUCKETS`` cells that hold the largest count each."""
    x = series[0].x
    counts = np.max([one.counts[status] for one in series], axis=0)
    edges = _edges(x)
    if len(x) <= BUCKETS:
        return Lane(status, label, edges, counts, series[0].size, x)
    cuts = np.linspace(0, len(x), BUCKETS + 1).astype(int)
    largest = np.maximum.reduceat(counts, cuts[:-1])
    return Lane(status, label, edges[cuts], largest, series[0].size, x[cuts[:-1]], (len(x), BUCKETS))


def _edges(x: np.ndarray) -> np.ndarray:
    """Return the borders of the cells around increasing places."""
    if len(x) == 1:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    middle = (x[1:] + x[:-1]) / 2
    return np.concatenate([[x[0] - (middle[0] - x[0])], middle, [x[-1] + (x[-1] - middle[-1])]])


def thin(y: np.ndarray, limit: int = LIMIT) -> np.ndarray:
    """Return the places to draw: all, or the least and the largest finite value of each bucket and both ends.

    Every peak survives. A bucket without a finite value keeps one place, so that its gap stays a gap.
    """
    if len(y) <= limit:
        return np.arange(len(y))
    cuts = np.linspace(0, len(y), (limit - 2) // 2 + 1).astype(int)
    finite = np.isfinite(y)
    keep = {0, len(y) - 1}
    for start, stop in pairwise(cuts.tolist()):
        places = start + np.flatnonzero(finite[start:stop])
        if len(places):
            keep |= {int(places[y[places].argmin()]), int(places[y[places].argmax()])}
        else:
            keep.add(start)
    return np.array(sorted(keep))


def runs(mask: np.ndarray) -> Iterable[tuple[int, int]]:
    """Yield start and stop of each stretch of True."""
    padded = np.concatenate([[False], mask, [False]])
    turns = np.flatnonzero(padded[1:] != padded[:-1])
    return zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True)
