"""Parts: what of an array is drawn when it has more axes than the figure, a gate or a block of it, by a name in words.

A figure lies along one axis of places; a map has rows beside; over sequences, and where nothing else shows them over
units and inputs, medians are taken. What is left is chosen from: the part.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from gradscope.figures.series import part as at
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Field, Record

__all__ = ["COMPARABLE", "MAPPED", "Roles", "choices", "cut", "divided", "parts", "ranked", "resolved", "roles"]

PLACES = ("time", "step", "lag", "rank")  # axes that a figure may lie along, the first of them that an array has
ROWS = ("unit", "input", "lag", "rank")  # axes that may be the rows of a map
POOLED = ("batch", "unit", "input")  # axes over which a run's median is taken
KINDS = 256  # of arrays whose parts are kept in order
KEEP = "keeping gate"
KEEPERS = ("forget", "update")
PREFERRED = (KEEP, *KEEPERS, "right", "c-c", "W_h", "highway")  # what is shown of an array with more axes, unasked


@dataclass(frozen=True)
class Roles:
    """What each axis of an array is in a figure.

    Attributes
    ----------
    along : str
        Where the figure lies: ``"time"``, ``"step"``, ``"lag"`` or ``"rank"``.
    rows : str
        What a map shows one above the other; ``""`` in other figures.
    chosen : tuple of str
        The axes to choose a part from.
    pooled : tuple of str
        The axes over which a median is taken.
    """

    along: str
    rows: str
    chosen: tuple[str, ...]
    pooled: tuple[str, ...]


@cache
def roles(axes: tuple[str, ...], mapped: bool = False) -> Roles:
    """Return what each axis is in a figure; ``mapped`` says that it is a map.

    Examples
    --------
    >>> roles(("gate", "step", "unit")).pooled, roles(("gate", "step", "unit"), mapped=True).rows
    (('unit',), 'unit')
    """
    along = next((axis for axis in PLACES if axis in axes), axes[0])
    rest = [axis for axis in axes if axis != along]
    rows = next((axis for axis in ROWS if mapped and axis in rest), "")
    rest = [axis for axis in rest if axis != rows]
    return Roles(
        along, rows, tuple(axis for axis in rest if axis not in POOLED), tuple(axis for axis in rest if axis in POOLED)
    )


COMPARABLE = tuple(
    name
    for name, probe in CATALOGUE.items()
    if not set(PLACES).isdisjoint(probe.axes) and name not in ("jacobian_eigenvalues", "gate_activation.histogram")
)
"""Probes that can be laid over one another; eigenvalues lie in the plane, and a timescale has no place but its unit."""

MAPPED = tuple(name for name in COMPARABLE if roles(CATALOGUE[name].axes, mapped=True).rows)
"""Those of them that make a map, too: of units, inputs, lags or ranks."""


def choices(records: Iterable[Record], probe: str, mapped: bool = False) -> list[str]:
    """Return what can be shown of a probe whose arrays have more axes than the figure, the usual first.

    Parameters
    ----------
    records : iterable of Record
    probe : str
        One of ``COMPARABLE``.
    mapped : bool
        Whether the figure is a map, and so has an axis more.

    Returns
    -------
    list of str
        Such as ``"forget, right"``; ``"keeping gate"`` is the forget gate of an LSTM and the update gate of a GRU.
        Empty where there is no choice.
    """
    return ranked(name for record in records for name in parts(record, probe, mapped))


def parts(record: Record, probe: str, mapped: bool = False) -> list[str]:
    """Return what can be shown of a probe in one record; empty where there is no choice."""
    return list(_named(record.field(probe), mapped)) if probe in record else []


def ranked(names: Iterable[str]) -> list[str]:
    """Return what can be shown of several records, the usual first; gates that keep have one name together."""
    return list(_ranked(tuple(dict.fromkeys(names))))


@lru_cache(maxsize=KINDS)
def _ranked(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return different names in that order; thousands of runs have the same ones."""
    words = {one: one.split(", ") for one in names}
    kept = [_renamed(one, gate) for gate in KEEPERS for one, named in words.items() if gate in named]
    both = all(any(gate in named for named in words.values()) for gate in KEEPERS)
    every = [*dict.fromkeys(kept), *names] if both else list(names)
    return tuple(sorted(every, key=lambda one: tuple(_preference(word) for word in one.split(", "))))


def _renamed(named: str, gate: str) -> str:
    """Return a part with the gate that keeps under the name that LSTM and GRU share."""
    return ", ".join(KEEP if word == gate else word for word in named.split(", "))


def _preference(word: str) -> int:
    """Return the rank of a label among those that are shown unasked."""
    return PREFERRED.index(word) if word in PREFERRED else len(PREFERRED)


def divided(probe: str, mapped: bool = False) -> bool:
    """Return whether a probe has parts to choose from."""
    return bool(roles(CATALOGUE[probe].axes, mapped).chosen)


def cut(entry: Field, named: str, mapped: bool = False) -> Field | None:
    """Return a part of an array, or None where the array has no such part.

    Parameters
    ----------
    entry : Field
    named : str
        One of :func:`choices`; ``""`` for the usual one.
    mapped : bool
        Whether the figure is a map.
    """
    chosen = roles(entry.axes, mapped).chosen
    if not chosen:
        return entry
    have = _named(entry, mapped)
    wanted = resolved(named or ranked(have)[0], have)
    if wanted is None:
        return None
    shape = [len(entry.coord(axis)) for axis in chosen]
    for axis, number in zip(chosen, np.unravel_index(have.index(wanted), shape), strict=True):
        entry = at(entry, axis, int(number))
    return entry


def resolved(named: str, have: Sequence[str]) -> str | None:
    """Return the part of an array that is meant, the gate that keeps by its own name, or None where there is none."""
    for gate in KEEPERS:
        spelt = ", ".join(gate if word == KEEP else word for word in named.split(", "))
        if spelt in have:
            return spelt
    return None


def _named(entry: Field, mapped: bool) -> tuple[str, ...]:
    """Return the parts of an array, each named by its labels along the axes to choose from."""
    chosen = roles(entry.axes, mapped).chosen
    return _combined(chosen, tuple(tuple(entry.coord(axis)) for axis in chosen))


@lru_cache(maxsize=KINDS)
def _combined(axes: tuple[str, ...], labels: tuple[tuple[Any, ...], ...]) -> tuple[str, ...]:
    """Return every combination of labels along some axes, in words; thousands of runs have the same ones."""
    spelt = [[_word(axis, one) for one in some] for axis, some in zip(axes, labels, strict=True)]
    return tuple(", ".join(words) for words in itertools.product(*spelt)) if spelt else ()


def _word(axis: str, entry: Any) -> str:
    """Return a label along an axis; a number with the axis's name."""
    return entry if isinstance(entry, str) else f"{axis} {entry:g}"
