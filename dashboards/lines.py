"""Lines: what runs show of a probe, read for many runs at once, reduced, and kept while the runs stay as they are."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

from gradscope.figures.lines import Line, agreed, lines, shows
from gradscope.record import Record

from .kept import Kept
from .reader import Reader

__all__ = ["Lines", "mark", "read"]

KEPT = 40_000  # lines of some kilobytes each: five cards of some thousand runs
TOGETHER = 200  # runs whose arrays are in memory at once,
AT_ONCE = 2**27  # and bytes of them


class Lines:
    """Reads lines through a reader; a run that has not changed is read once, however often the store is written.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._kept: Kept[Hashable, Line] = Kept(KEPT)

    def of(
        self, rows: Sequence[dict[str, Any]], probe: str, part: str = ""
    ) -> tuple[dict[Hashable, Line], list[str], str]:
        """Return a line for each row of a population, what can be shown of the probe, and what of it is shown.

        Parameters
        ----------
        rows : sequence of dict
            From :meth:`Reader.population`.
        probe, part : str
            As :func:`gradscope.figures.lines.line` takes them; where no run has that part, the usual one is shown.

        Returns
        -------
        lines : dict of Line
            By what tells rows apart, see :func:`mark`.
        parts : list of str
        part : str
        """
        found = self._all(rows, probe, part)
        every, chosen = agreed(list(found.values()), part)
        told = {key: shows(one, part, chosen) for key, one in found.items()}
        again = [row for row in rows if told[mark(row)] is None]
        lines = {key: one for key, one in told.items() if one is not None}
        return lines | (self._all(again, probe, chosen) if again else {}), every, chosen

    def _all(self, rows: Sequence[dict[str, Any]], probe: str, part: str) -> dict[Hashable, Line]:
        """Return what each row's record is reduced to; what is not kept is read."""
        keys = [(mark(row), probe, part) for row in rows]
        known = self._kept.among(keys)
        missing = [row for key, row in zip(keys, rows, strict=True) if key not in known]
        for some, records in read(self._reader, missing, probe):
            found = lines({row["run"]: records.get(row["run"], Record()) for row in some}, probe, part)
            known |= {(mark(row), probe, part): one for row, one in zip(some, found, strict=True)}
        self._kept.add(known)
        return {key[0]: known[key] for key in keys}


def mark(row: dict[str, Any]) -> Hashable:
    """Return what tells the record of a row from others, and from itself when it is measured anew."""
    return row["run"], row["iteration"], row["attempts"], row["heartbeat"]


def read(
    reader: Reader, rows: Iterable[dict[str, Any]], probe: str
) -> Iterator[tuple[list[dict[str, Any]], dict[str, Record]]]:
    """Yield rows with their records of one probe, so many at a time as memory holds.

    How large an array is shows with the first; a run without a record is not in the records.
    """
    moments: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        moments.setdefault(row["when"], []).append(row)
    for moment, found in moments.items():
        start, together, largest = 0, 1, 1
        while start < len(found):
            some = found[start : start + together]
            records = reader.across([probe], [row["run"] for row in some], moment)
            yield some, records
            held = (values.nbytes for record in records.values() for values in record.values())
            largest = max(largest, *held, 1)
            start += len(some)
            together = min(TOGETHER, max(1, AT_ONCE // largest))
