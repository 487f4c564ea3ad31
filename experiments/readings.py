"""Readings: what a study concludes from its runs, as lines with a number each, and as figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.figures import Figure
from gradscope.record import Record
from gradscope.store import Store

__all__ = ["Reading", "done", "group", "mean_and_spread", "records", "worst"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """What a study reads from its runs.

    Attributes
    ----------
    lines : tuple of str
        Sentences, each with the number that it stands on; one says how far off theory or the published table it is.
    figures : tuple of callable
        Each draws a figure for a theme, ``draw("light")``.
    """

    lines: tuple[str, ...]
    figures: tuple[Callable[[str], Figure], ...] = ()


def done(store: Store, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the finished runs of a study, last iteration each; with parameters only those that have these values."""
    rows = store.table(sweep=name, iteration="last")
    return [
        row
        for row in rows
        if row["status"] == "done" and all(row.get(key) == value for key, value in parameters.items())
    ]


def group(rows: Iterable[Row], *keys: str) -> dict[tuple, list[Row]]:
    """Return rows by the values of some parameters, in the order of the values."""
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    return dict(
        sorted(found.items(), key=lambda item: tuple((value is not None, str(type(value)), value) for value in item[0]))
    )


def mean_and_spread(rows: Sequence[Row], metric: str) -> tuple[float, float]:
    """Return the mean and the standard deviation over rows of a metric, what is not finite left out; NaN for none."""
    values = np.array([row[metric] for row in rows if isinstance(row.get(metric), (int, float))], float)
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def records(store: Store, rows: Iterable[Row], names: Sequence[str]) -> list[tuple[Row, Record]]:
    """Return rows with some arrays of their last record."""
    return [(row, store.record(row["run"], row["iteration"], names)) for row in rows if row["iteration"] is not None]


def worst(pairs: Iterable[tuple[float, float]]) -> float:
    """Return the largest distance of pairs of measured and expected numbers, NaN for none."""
    distances = [abs(found - expected) for found, expected in pairs if np.isfinite(found - expected)]
    return max(distances, default=float("nan"))
