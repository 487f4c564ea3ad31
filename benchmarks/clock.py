"""The clock: processor time of this process, A B A B, the least of several turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Missing", "Row", "agree", "race"]


@dataclass(frozen=True)
class Row:
    """One comparison.

    ``ratio`` is ``theirs / ours``, and at least ``reach`` is wanted; with ``at_most`` it is ``ours / theirs``, and at
    most ``reach``. A row without a ``reach`` is there to be read.
    """

    work: str
    size: str
    against: str
    ours: float
    theirs: float
    reach: float | None = None
    at_most: bool = False
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        """How many times better, or with ``at_most`` how many times as much."""
        return self.ours / self.theirs if self.at_most else self.theirs / self.ours

    @property
    def reached(self) -> bool | None:
        """Whether the number holds; None where none was set."""
        if self.reach is None:
            return None
        return self.ratio <= self.reach if self.at_most else self.ratio >= self.reach


@dataclass(frozen=True)
class Missing:
    """A row whose peer is not installed."""

    work: str
    against: str
    reason: str


def race(calls: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Return the least processor time of each call, taken in turn after one turn to warm up."""
    best = [float("inf")] * len(calls)
    for turn in range(repeats + 1):
        for n, call in enumerate(calls):
            start = time.process_time()
            call()
            if turn:
                best[n] = min(best[n], time.process_time() - start)
    return best


def agree(work: str, ours: Any, theirs: Any, tolerance: float = 1e-8) -> None:
    """Stop when two routes differ: a fast wrong number is worth nothing."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    error = np.max(np.abs(ours - theirs)) / max(1e-300, np.max(np.abs(theirs)))
    if not error < tolerance:
        sys.exit(f"{work}: the two routes differ by {error:.1e}; nothing was measured.")
