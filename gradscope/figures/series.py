"""From fields of a record to plain arrays along one axis: medians, bands, counts of what cannot be drawn, decimation.

Nothing here knows of plotly. Reductions over the batch use the elements with status ok, zero and underflow and count
the others, by status, at every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from gradscope.probes.catalogue import CATALOGUE, GATED
from gradscope.record import Field, Record, Status

__all__ = ["Lane", "Series", "absence", "along", "lanes", "runs", "statuses", "thin"]

LIMIT = 1000  # points a trace: what a browser redraws at once
BUCKETS = 400  # cells along a lane: each is still wider than a pixel in a small card
QUANTILES = (0.05, 0.5, 0.95)
WHY = {
    ("gate_saturation", Status.NOT_APPLICABLE): ": its activation is unbounded",
    ("lyapunov_spectrum", Status.NOT_COMPUTED): ": the sequence is no longer than the burn-in",
}

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
    decimated: tuple[int, int] | None = None
    word: str | None = None


def absence(record: Record, name: str) -> str | None:
    """Return the sentence that stands in place of a figure when a probe does not apply to the record, else None.

    Raises
    ------
    ArgumentError
        When the probe would apply and was not taken.
    """
    probe = CATALOGUE[name]
    if name not in record:
        cell = record.config.get("cell", {}).get("cell")
        if probe.needs and cell in ("RNN", "LSTM", "GRU"):
            if cell not in GATED:
                return f"{probe.title} needs a cell with gates; a plain {cell} has none."
            if probe.needs == "cell_state" and cell != "LSTM":
                return f"{probe.title} needs a cell with a cell state; a {cell} has none."
    found = statuses(record.field(name))
    if found.size and (found == Status.NOT_APPLICABLE).all():
        return f"{probe.title} is not applicable to this cell{WHY.get((name, Status.NOT_APPLICABLE), '')}."
    if found.size and (found == Status.NOT_COMPUTED).all():
        return f"{probe.title} was not computed{WHY.get((name, Status.NOT_COMPUTED), '')}."
    return None


def statuses(entry: Field) -> np.ndarray:
    """Return the status of every element; NaN and inf that nobody marked are marked here."""
    values, found = np.asarray(entry.values), entry.statuses()
    unmarked = found <= Status.UNDERFLOW
    found = np.where(unmarked & np.isnan(values), np.uint8(Status.NAN), found)
    found = np.where(unmarked & np.isposinf(values), np.uint8(Status.INF), found)
    nothing = np.isneginf(values) if entry.unit == "log10" else values == 0
    return np.where((found == Status.OK) & nothing, np.uint8(Status.ZERO), found)


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
    logarithmic = log or entry.unit == "log10"
    if log and entry.unit != "log10":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log10(values)
    used = found <= Status.UNDERFLOW
    low, median, high = _quantiles(values, used)
    marked = [s for s in Status if s > Status.UNDERFLOW or (s == Status.ZERO and logarithmic)]
    counts = {status: (found == status).sum(1) for status in marked}
    under = 2 * (found == Status.UNDERFLOW).sum(1) > used.sum(1)
    size = values.shape[1]
    return Series(name, x, median, low, high, under, {s: c for s, c in counts.items() if c.any()}, size)


def _quantiles(values: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return the quantiles of each row over what is used: (3, N), NaN for a row without any."""
    values = np.where(np.isneginf(values), _FLOOR, values)
    rows = np.arange(len(values))
    if used.all():
        found = np.quantile(values, QUANTILES, axis=1) if values.shape[1] else np.full((3, len(values)), np.nan)
    else:
        ordered = np.sort(np.where(used, values, np.nan), axis=1)  # NaN sorts last
        count = used.sum(1)
        found = np.empty((3, len(values)))
        for number, share in enumerate(QUANTILES):
            place = share * np.maximum(count - 1, 0)
            below = np.floor(place).astype(int)
            above = np.minimum(below + 1, np.maximum(count - 1, 0))
            lower, upper = ordered[rows, below], ordered[rows, above]
            found[number] = lower + (place - below) * (upper - lower)
        found[:, count == 0] = np.nan
    return np.where(found < _FLOOR / 1e6, -np.inf, found)


def lanes(series: Sequence[Series]) -> list[Lane]:
    """Return the rows that show what the curves cannot: zeros of a log axis, NaN, inf, masked and missing elements.

    One row for each series and status that occur; with more than four, the series are taken together and the
    largest count stands.
    """
    present = [(status, one) for status in Status for one in series if status in one.counts]
    if len(present) > 4:
        kinds = dict.fromkeys(status for status, _ in present)
        return [_lane(status, "", [one for kind, one in present if kind == status]) for status in kinds]
    label = len(series) > 1
    return [_lane(status, one.name if label else "", [one]) for status, one in present]


def _lane(status: Status, label: str, series: Sequence[Series]) -> Lane:
    """Return one row, in at most ``BUCKETS`` cells that hold the largest count each."""
    x = series[0].x
    counts = np.max([one.counts[status] for one in series], axis=0)
    edges = _edges(x)
    if len(x) <= BUCKETS:
        return Lane(status, label, edges, counts, series[0].size)
    cuts = np.linspace(0, len(x), BUCKETS + 1).astype(int)
    largest = np.maximum.reduceat(counts, cuts[:-1])
    return Lane(status, label, edges[cuts], largest, series[0].size, (len(x), BUCKETS))


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
