"""Given: what a figure was given to draw, or an error that says what it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gradscope.errors import ArgumentError
from gradscope.figures.settings import is_number
from gradscope.record import Record

__all__ = ["group", "moments", "record", "rows"]

ONE = "Take one with `gs.probe(cell, params, inputs)`, or read it with `store.record(run)`."
FEW = "Several in one figure are for `gs.figures.compare({'a': record, ...}, probe)`."
MANY = "Read them with `store.records(run, names)`."
TABLE = "Read them with `store.table()`."


def record(entry: Record) -> Record:
    """Return a record as it is.

    Raises
    ------
    ArgumentError
        When it is something else.
    """
    if isinstance(entry, Record):
        return entry
    raise _refused("`record` must be a Record", entry, FEW if isinstance(entry, (Mapping, list, tuple)) else ONE)


def group(entries: Record | Iterable[Record]) -> Sequence[Record]:
    """Return the records of a group: one, or several.

    Raises
    ------
    ArgumentError
        When it is, or holds, something else.
    """
    if isinstance(entries, Record):
        return [entries]
    if not _is_list(entries):
        raise _refused("A group must be a Record or a list of them", entries, ONE)
    return [record(entry) for entry in entries]


def moments(entries: Mapping[int, Record] | Iterable[tuple[int, Record]]) -> Iterator[tuple[int, Record]]:
    """Yield iterations and their records, a mapping in ascending order and pairs as they come.

    Raises
    ------
    ArgumentError
        When it is, or holds, something else.
    """
    if isinstance(entries, Mapping):
        return iter(sorted(map(_moment, entries.items())))
    if not _is_list(entries):
        raise _refused("`records` must be records by iteration", entries, MANY)
    return map(_moment, entries)


def rows(entries: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the rows of a table.

    Raises
    ------
    ArgumentError
        When it is, or holds, something else.
    """
    if not _is_list(entries):
        raise _refused("`rows` must be a list of dicts, one for each run", entries, TABLE)
    found = list(entries)
    for entry in found:
        if not isinstance(entry, Mapping):
            raise _refused("`rows` must hold a dict for each run", entry, TABLE)
    return found


def _moment(entry: Any) -> tuple[int, Record]:
    """Return an iteration and its record."""
    if isinstance(entry, (tuple, list)) and len(entry) == 2 and is_number(entry[0]) and isinstance(entry[1], Record):
        return entry[0], entry[1]
    raise _refused("`records` must hold an iteration with its Record, and again", entry, MANY)


def _is_list(entry: Any) -> bool:
    """Return whether something holds others one after the other; text and what has names does not count."""
    return isinstance(entry, Iterable) and not isinstance(entry, (str, bytes, Mapping, Record))


def _refused(must: str, entry: Any, remedy: str) -> ArgumentError:
    """Return the error for something of another kind."""
    return ArgumentError(f"{must}, got {type(entry).__name__}. {remedy}")
