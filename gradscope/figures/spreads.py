"""Numbers over many runs: how far they spread, and which parameter explains it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.errors import unknown
from gradscope.figures.settings import is_number, same

__all__ = ["SPREADS", "Spread", "spread", "telling"]

SPREADS = {"10-90": (0.1, 0.5, 0.9), "all": (0.0, 0.5, 1.0)}
"""What a band may hold: the shares of its low end, its line and its high end."""


@dataclass(frozen=True)
class Spread:
    """What several runs have of one metric.

    Attributes
    ----------
    median, low, high : float
        Median and both ends of the spread of the numbers, NaN where there is none. inf counts as a number.
    runs, bad : int
        Runs with a number, and runs with NaN.
    """

    median: float
    low: float
    high: float
    runs: int
    bad: int


def spread(values: Iterable[Any], holds: str = "all") -> Spread:
    """Return median and spread of a metric over several runs; what is no number is left out.

    Infinities count as numbers: a decay rate is inf where every gradient is exactly zero. NaN is counted apart.

    Parameters
    ----------
    values : iterable
        What each run has of the metric.
    holds : str
        One of ``SPREADS``: from the least to the largest, or the middle 80 %.

    Raises
    ------
    ArgumentError
        For another spread.
    """
    if holds not in SPREADS:
        raise unknown("holds", holds, SPREADS)
    found = np.array([float(value) for value in values if is_number(value)])
    good = np.sort(found[~np.isnan(found)])
    low, median, high = (_at_share(good, share) for share in SPREADS[holds])
    return Spread(median, low, high, len(good), len(found) - len(good))


def _at_share(ascending: np.ndarray, share: float) -> float:
    """Return a quantile of ascending numbers, infinities among them; NaN of none."""
    if not len(ascending):
        return float("nan")
    below, part = divmod(round(share * (len(ascending) - 1), 9), 1)
    lower, upper = float(ascending[int(below)]), float(ascending[int(below) + (part > 0)])
    return lower if lower == upper else (1 - part) * lower + part * upper


def telling(rows: Sequence[Mapping[str, Any]], names: Iterable[str], metric: str, most: int = 12) -> list[str]:
    """Return the parameters by how much of a metric's variation they explain, the most telling first.

    The share of the variance of the metric's ranks that lies between the groups of a parameter, with the share taken
    off that as many groups would explain by chance (Kelley 1935). Ranks, because a metric may be infinite.

    Parameters
    ----------
    rows : sequence of dict
        One for each run.
    names : iterable of str
        The parameters to choose from.
    metric : str
        Rows in which it is no number are left out.
    most : int
        Values beyond which a parameter makes no readable groups.
    """
    kept = [row for row in rows if is_number(row.get(metric)) and row[metric] == row[metric]]
    if not kept:
        return list(names)
    _, places, counts = np.unique([float(row[metric]) for row in kept], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    total = ((ranks - ranks.mean()) ** 2).sum()

    def explained(name: str) -> float:
        keys = {key: number for number, key in enumerate(dict.fromkeys(same(row.get(name)) for row in kept))}
        groups = np.array([keys[same(row.get(name))] for row in kept])
        sizes = np.bincount(groups)
        if not 1 < len(sizes) <= most or len(sizes) == len(kept) or not total:
            return -1.0
        between = (sizes * (np.bincount(groups, ranks) / sizes - ranks.mean()) ** 2).sum()
        free = len(kept) - len(sizes)
        return float((between - (len(sizes) - 1) * (total - between) / free) / total)

    names = list(names)
    return sorted(names, key=lambda name: (-explained(name), names.index(name)))
