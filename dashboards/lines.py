"""Lines: what runs show of a probe, read for many runs at once, reduced, and kept while the runs stay as they are."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from gradscope.figures.lines import Line, line
from gradscope.figures.parts import parts, ranked
from gradscope.record import Record

from .reader import Reader

__all__ = ["Lines"]

KEPT = 40_000  # lines of some kilobytes each: five cards of some thousand runs
TOGETHER = 200  # runs whose arrays are in memory at once


class Lines:
    """Reads lines through a reader; a run that has not changed is read once, however often the store is written.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def of(self, rows: Sequence[dict[str, Any]], probe: str, part: str = "") -> list[Line]:
        """Return a line for each row of a population, in order.

        Parameters
        ----------
        rows : sequence of dict
            From :meth:`Reader.population`.
        probe, part : str
            As :func:`gradscope.figures.lines.line` takes them.
        """
        return self._all(rows, probe, part, lambda record, run: line(record, probe, part, run))

    def parts(self, rows: Sequence[dict[str, Any]], probe: str) -> list[str]:
        """Return what can be shown of a probe, the usual first."""
        found = self._all(rows, probe, None, lambda record, run: parts(record, probe))
        return ranked(name for names in found for name in names)

    def _all(
        self, rows: Sequence[dict[str, Any]], probe: str, what: Any, reduce: Callable[[Record, str], Any]
    ) -> list[Any]:
        """Return what each row's record is reduced to; what is not kept is read."""
        keys = [(row["run"], row["iteration"], row["attempts"], row["heartbeat"], probe, what) for row in rows]
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
        missing = [(key, row) for key, row in zip(keys, rows, strict=True) if key not in known]
        for some in _batches(missing):
            known |= self._read(some, probe, reduce)
        with self._lock:
            for key in keys:
                self._kept[key] = known[key]
                self._kept.move_to_end(key)
            while len(self._kept) > max(KEPT, len(keys)):
                self._kept.popitem(last=False)
        return [known[key] for key in keys]

    def _read(self, some: Sequence[tuple[Any, dict]], probe: str, reduce: Callable[[Record, str], Any]) -> dict:
        """Return what some rows of one moment are reduced to."""
        records = self._reader.across([probe], [row["run"] for _, row in some], some[0][1]["when"])
        return {key: reduce(records.get(row["run"], Record()), row["run"]) for key, row in some}


def _batches(rows: Iterable[tuple[Any, dict[str, Any]]]) -> Iterable[list[tuple[Any, dict[str, Any]]]]:
    """Yield rows in batches of one moment each."""
    moments: dict[Any, list[tuple[Any, dict[str, Any]]]] = {}
    for entry in rows:
        moments.setdefault(entry[1]["when"], []).append(entry)
    for found in moments.values():
        yield from (found[start : start + TOGETHER] for start in range(0, len(found), TOGETHER))
