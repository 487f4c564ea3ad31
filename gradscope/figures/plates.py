"""Plates: what runs show of a probe as a map, each reduced to plain cells; a group's plates make a tile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError, unknown
from gradscope.figures.curves import coarse
from gradscope.figures.maps import over_batch
from gradscope.figures.parts import MAPPED, cut, roles
from gradscope.figures.series import Lane, Series, absence, lanes, statuses, turned
from gradscope.record import Field, Record, Status

__all__ = ["NOWHERE", "ORDERS", "Plate", "Tile", "is_logarithmic", "plate", "tile"]

ORDERS = {"mean": "sorted by mean", "unit": "as numbered"}
"""How the units of a run may stand one above the other."""

AT_ONCE = 2**20  # cells of all runs of which medians are taken at once
BROKEN = (Status.NAN, Status.INF)  # what a run that diverged has somewhere
NOWHERE = Status.NOT_APPLICABLE  # where no run was measured the map stays open


@dataclass(frozen=True)
class Plate:
    """What one run shows of a probe as a map.

    Attributes
    ----------
    run : str
        Its name.
    entry : Field or None
        With axes (place, row): the median over its sequences where the array has any, with the status of each cell;
        None where there is nothing to show.
    last : float
        The last place of the axis, measured or not: where counting back begins.
    grids : tuple of str
        Where only a coarse grid was measured, how coarse.
    absent : str
        Why there is nothing to show.
    first_bad_step : dict, optional
        From the record's summary.
    """

    run: str
    entry: Field | None = None
    last: float = 0.0
    grids: tuple[str, ...] = ()
    absent: str = ""
    first_bad_step: dict[str, Any] | None = None


@dataclass(frozen=True)
class Tile:
    """What a group of runs shows as a map.

    Attributes
    ----------
    name : str
        What it is called above the tile.
    x : ndarray, (N,)
        Places, those of all runs.
    rows : ndarray, (R,)
        Ranks or numbers of units, numbers of inputs, lags or ranks: those of all runs.
    values : ndarray, (N, R)
        At each cell the median over the runs that have a number there; NaN where none has, -inf where it is exactly
        zero on a log axis.
    marks : ndarray of uint8, (N, R)
        The status of each cell: that of the median, or why there is none.
    runs : int
        Runs that count.
    axis, row, unit : str
        What runs to the right, what a row is, and the unit of the values.
    reaches : tuple of (ndarray, bool)
        The places of each run, and whether it has NaN or inf somewhere.
    missing : tuple of Lane
        How many of several runs have no number at each place, where others have one.
    lasts : tuple of float
        Where the runs end.
    grids : tuple of str
        How coarse the grids are.
    absent : dict of str to int
        Why other runs show nothing, and how many.
    first_bad_step : dict, optional
        Of a single run.
    """

    name: str
    x: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    marks: np.ndarray
    runs: int = 0
    axis: str = ""
    row: str = ""
    unit: str = ""
    reaches: tuple[tuple[np.ndarray, bool], ...] = ()
    missing: tuple[Lane, ...] = ()
    lasts: tuple[float, ...] = ()
    grids: tuple[str, ...] = ()
    absent: dict[str, int] = field(default_factory=dict)
    first_bad_step: dict[str, Any] | None = None


def plate(record: Record, probe: str, part: str = "", run: str = "", *, order: str = "mean") -> Plate:
    """Reduce what a record holds of a probe to one map.

    Parameters
    ----------
    record : Record
        With the probe, or without it: then the plate says so.
    probe : str
        One of ``MAPPED``.
    part : str
        One of :func:`gradscope.figures.parts.choices`, where there are any; by default the usual one.
    run : str
        The name of the run.
    order : str
        ``"mean"`` sorts the units by their mean over the places, largest first, and numbers them by that rank: the
        number of a unit means nothing from one seed to another. ``"unit"`` leaves them as they are numbered, which
        compares one network with itself.

    Raises
    ------
    ArgumentError
        For a probe that is no map, or another order.
    """
    if probe not in MAPPED:
        raise unknown("probe", probe, MAPPED)
    if order not in ORDERS:
        raise unknown("order", order, ORDERS)
    try:
        sentence = absence(record, probe)
    except ArgumentError:
        return Plate(run, absent="not measured")
    if sentence:
        return Plate(run, absent=sentence.rstrip("."))
    entry = cut(record.field(probe), part, mapped=True)
    if entry is None:
        return Plate(run, absent=f"there is no {part}")
    role = roles(entry.axes, mapped=True)
    entry = turned(entry, role.along, role.rows, *role.pooled)
    entry = over_batch(entry) if role.pooled else entry
    values, found = np.asarray(entry.values, float), statuses(entry)
    if not is_logarithmic(entry.unit):  # a zero that is no logarithm, or a small number, is a number
        found = np.where(found <= Status.UNDERFLOW, np.uint8(Status.OK), found)
    coords = {axis: entry.coord(axis) for axis in entry.axes}
    if role.rows == "unit" and order == "mean":
        best = np.argsort(-_means(values, found), kind="stable")
        values, found, coords["unit"] = values[:, best], found[:, best], list(range(1, len(best) + 1))
    grids = [f"{one:,} of {all_of_them:,} {axis}s" for axis, one, all_of_them in _grids(record, entry)]
    last = record.config.get("length", float(entry.coord(role.along)[-1]) + (role.along == "step"))
    return Plate(
        run,
        replace(entry, values=values, coords=coords, status=found),
        float(last) - (role.along == "step"),
        (f"A coarse grid: {' and '.join(grids)}.",) if grids else (),
        first_bad_step=record.summary.get("first_bad_step"),
    )


def is_logarithmic(unit: str) -> bool:
    """Return whether values are log10."""
    return unit == "log10"


def _means(values: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the mean of each column over what is finite; -inf for a column without any."""
    usable = (found <= Status.UNDERFLOW) & np.isfinite(values)
    shares = np.where(usable, values, 0) / np.maximum(usable.sum(0), 1)
    return np.where(usable.any(0), shares.sum(0), -np.inf)


def _grids(record: Record, entry: Field) -> Iterable[tuple[str, int, int]]:
    """Yield the axes of a map along which only a coarse grid was measured: its name, places here, places there are."""
    for axis in entry.axes:
        grid = coarse(record, entry, axis) if axis in ("time", "step", "lag") else None
        if grid:
            yield axis, *grid


def tile(name: str, plates: Sequence[Plate], *, backwards: bool = False) -> Tile:
    """Aggregate the plates of a group: at each cell the median over the runs that have a number there.

    Parameters
    ----------
    name : str
        Of the group.
    plates : sequence of Plate
    backwards : bool
        Whether to count times and steps back from each run's last one; a map over lags stays as it is.

    Returns
    -------
    Tile

    Raises
    ------
    ArgumentError
        When the plates have different units or axes.
    """
    shown = [one for one in plates if one.entry is not None]
    absent = dict(Counter(one.absent for one in plates if one.entry is None))
    nothing = np.zeros((0, 0))
    if not shown:
        return Tile(name, np.zeros(0), np.zeros(0), nothing, nothing.astype(np.uint8), absent=absent)
    _check_alike(shown)
    entries = [one.entry for one in shown if one.entry is not None]
    axis, row = entries[0].axes
    turn = backwards and axis in ("time", "step") and row != "lag"
    xs = [np.asarray(entry.coord(axis), float) for entry in entries]
    xs = [one.last - x if turn else x for one, x in zip(shown, xs, strict=True)]
    x, rows, every = _stacked(entries, xs)
    values, marks = _medians(every)
    return Tile(
        name=name,
        x=x,
        rows=rows,
        values=values,
        marks=marks,
        runs=len(shown),
        axis="lag" if turn else axis,
        row=row,
        unit=entries[0].unit,
        reaches=tuple(
            (one, bool(np.isin(entry.statuses(), BROKEN).any())) for one, entry in zip(xs, entries, strict=True)
        ),
        missing=tuple(_missing(x, np.asarray(every.status))) if len(shown) > 1 else (),
        lasts=tuple(sorted({one.last for one in shown})) if axis in ("time", "step") else (),
        grids=tuple(dict.fromkeys(text for one in shown for text in one.grids)),
        absent=absent,
        first_bad_step=shown[0].first_bad_step if len(shown) == 1 and not turn else None,
    )


def _check_alike(plates: Iterable[Plate]) -> None:
    """Refuse plates that have no common axes."""
    entries = [one.entry for one in plates if one.entry is not None]
    for words, told in (("unit", lambda one: one.unit), ("pair of axes", lambda one: " by ".join(one.axes))):
        found = dict.fromkeys(map(told, entries))
        if len(found) > 1:
            raise ArgumentError(
                f"`groups` must have one {words} in a figure, got {' and '.join(found)}. "
                "Compare records of the same kind, or draw a figure of each."
            )


def _stacked(entries: Sequence[Field], xs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, Field]:
    """Return the places and rows of all runs, and their cells side by side as a field (place, row, run)."""
    axis, row = entries[0].axes
    ys = [np.asarray(entry.coord(row), float) for entry in entries]
    x, rows = np.unique(np.concatenate(xs)), np.unique(np.concatenate(ys))
    values = np.full((len(x), len(rows), len(entries)), np.nan)
    marks = np.full(values.shape, NOWHERE, np.uint8)
    for number, (entry, here, there) in enumerate(zip(entries, xs, ys, strict=True)):
        across, up = np.ix_(np.searchsorted(x, here), np.searchsorted(rows, there))
        values[across, up, number], marks[across, up, number] = entry.values, np.asarray(entry.status)
    return x, rows, Field(entries[0].name, values, (axis, row, "batch"), entries[0].unit, {}, marks)


def _medians(every: Field) -> tuple[np.ndarray, np.ndarray]:
    """Return median and status of each cell over the last axis, some places at a time: a median sorts copies."""
    values, found = np.asarray(every.values), np.asarray(every.status)
    size = max(1, AT_ONCE // max(1, values[:1].size))
    medians, marks = np.empty(values.shape[:2]), np.empty(values.shape[:2], np.uint8)
    for start in range(0, len(values), size):
        here = slice(start, start + size)
        whole = over_batch(Field(every.name, values[here], every.axes, every.unit, {}, found[here]))
        why = np.where(found[here] == NOWHERE, 0, found[here]).max(2)  # what is no number says more than what is open
        medians[here] = whole.values
        marks[here] = np.where(np.isnan(whole.values) & (why > Status.UNDERFLOW), why, np.asarray(whole.status))
    return medians, marks


def _missing(x: np.ndarray, found: np.ndarray) -> list[Lane]:
    """Return the lanes of the runs that have no number at a place where others have: the most of any row."""
    partial = (found <= Status.UNDERFLOW).any(2)
    counts = {
        status: np.where(partial, (found == status).sum(2), 0).max(1) for status in Status if status > Status.UNDERFLOW
    }
    gone = np.full(len(x), np.nan)
    held = {status: count for status, count in counts.items() if status != NOWHERE and count.any()}
    return lanes([Series("", x, gone, gone, gone, np.zeros(len(x), bool), held, found.shape[2])])
