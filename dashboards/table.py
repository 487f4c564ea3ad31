"""The runs as one table: which columns there are, which are constant, and which rows a view lets through."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gradscope.figures.sweeps import VERDICTS
from gradscope.probes.catalogue import EVERY
from gradscope.store import FIXED

from .address import View

__all__ = ["CHIPS", "Table"]

#: What is told by chips rather than by a condition.
CHIPS = ("cell", "activation", "verdict")

#: Words that have an order of their own.
ORDER = {word: place for place, word in enumerate((*EVERY, *VERDICTS))}


@dataclass(frozen=True)
class Table:
    """One row for each run.

    Attributes
    ----------
    rows : list of dict
        Parameters and metrics of a run side by side, and its ``run``, ``sweep``, ``status``, ``iteration``.
    parameters : tuple of str
        Names that come from a run's configuration.
    """

    rows: list[dict[str, Any]]
    parameters: tuple[str, ...] = field(default=())

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Names of the measured numbers, in order of appearance; the ends of an interval belong to its number."""
        known = {*self.parameters, *FIXED}
        names = dict.fromkeys(name for row in self.rows for name in row if name not in known)
        ends = {name + end for name in names for end in ("_low", "_high")}
        return tuple(name for name in names if name not in ends and any(_is_number(row.get(name)) for row in self.rows))

    def values(self, name: str) -> list[Any]:
        """Return the different values of a column: numbers in order, then text, without missing ones."""
        found = {_hashable(row[name]) for row in self.rows if row.get(name) is not None}
        return sorted(found, key=lambda value: (isinstance(value, str), ORDER.get(value, len(ORDER)), value))

    def varying(self) -> tuple[str, ...]:
        """Return the parameters that differ between runs; a run that lacks one differs from a run that has it."""
        return tuple(name for name in self.parameters if len({_hashable(row.get(name)) for row in self.rows}) > 1)

    def constant(self) -> dict[str, Any]:
        """Return the parameters that are the same in every run, with their value; absent ones are left out."""
        varying = set(self.varying())
        first = self.rows[0] if self.rows else {}
        return {name: first[name] for name in self.parameters if name not in varying and first.get(name) is not None}

    def axes(self) -> list[str]:
        """Return what may stand along an axis of a phase map: the parameters that vary, then those that do not."""
        return [*self.varying(), *self.constant()]

    def textual(self, name: str) -> bool:
        """Say whether a column holds text."""
        return any(row.get(name) is not None and not _is_number(row[name]) for row in self.rows)

    def chosen(self, view: View, skip: str = "") -> list[dict[str, Any]]:
        """Return the rows that the chips of a view let through, those of ``skip`` left aside."""
        wanted = {name: set(getattr(view, name)) for name in CHIPS if name != skip and getattr(view, name)}
        return [row for row in self.rows if all(str(row.get(name)) in kept for name, kept in wanted.items())]

    def ordered(self, rows: Iterable[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
        """Return rows in the order of the table on the page; missing values come first, or last when falling."""
        name, falling = sort.removeprefix("-"), sort.startswith("-")
        rows = list(rows)
        return sorted(rows, key=lambda row: _sort_key(row.get(name)), reverse=falling) if name else rows


def _is_number(value: Any) -> bool:
    """Tell a number from text and from nothing."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _hashable(value: Any) -> Any:
    """Return what stands for a value among others: a list by its words."""
    return str(value) if isinstance(value, (list, dict, bool)) else value


def _sort_key(value: Any) -> tuple[int, Any]:
    """Return a key by which numbers, text and missing values can be compared."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return (0, 0)
    return (2, str(value)) if not _is_number(value) else (1, value)
