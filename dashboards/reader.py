"""Reader: the one door between the pages and the store, read-only, kept open between requests."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from gradscope.errors import ArgumentError, StoreError
from gradscope.record import Record
from gradscope.store import WHOLE, Page, Store

from .address import MOMENTS
from .kept import Kept
from .table import Table

__all__ = ["Reader"]

KEPT = 2**28  # bytes of answers held between requests: records of some runs, and views of the table
SAMPLED = 50  # entries of a long answer by which the size of all of them is judged

LOOK = 1.0  # seconds between two looks whether the processes that carry out runs still live

AT_ONCE = 2**27  # bytes of arrays that are read in one go

#: What a comparison knows of a run beside its settings: whether it has changed, and its numbers.
HEAD = ("run", "status", "iteration", "attempts", "heartbeat")
NUMBERS = ("decay_rate", "horizon", "verdict")


class Reader:
    """Reads one store for every page, and keeps its answers until somebody writes.

    All threads share one open store, because only the same connection can tell whether somebody else wrote.

    Parameters
    ----------
    path : str or Path
        The store; it may appear later, be replaced, or go away and come back.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._opened = 0
        self._kept: Kept[tuple, Any] = Kept(KEPT, _size)
        self._counted: tuple[int, float, dict[str, int]] = (-1, 0.0, {})
        self._answered = (0, 0, 0)

    def close(self) -> None:
        """Close the store; the next question opens it again."""
        with self._lock:
            store, self._store = self._store, None
            self._kept.clear()
            self._counted = (-1, 0.0, {})
            if store is not None:
                store.close()

    def version(self) -> str:
        """Return a token that changes whenever the store was written or replaced, or a sweep died that wrote it.

        Raises
        ------
        StoreError
            While the store cannot be read.
        """
        with self._open() as store:
            return ".".join(map(str, self._now(store)))

    def statuses(self) -> dict[str, int]:
        """Return how many runs are done, running, failed and interrupted."""
        with self._open() as store:
            self._now(store)
            return self._counted[2]

    def waiting(self) -> int:
        """Return how many runs were planned that nobody has begun yet."""
        return self._ask(lambda store: store.waiting(), "waiting")

    def _now(self, store: Store) -> tuple[int, int, int]:
        """Return what tells one state of the store from another; a sweep that was killed wrote nothing of it."""
        version, (known, asked, statuses) = store.version(), self._counted
        if version != known or (statuses.get("running") and time.monotonic() - asked > LOOK):
            statuses = store.page(limit=0).statuses
            self._counted = (version, time.monotonic(), statuses)
        return (self._opened, version, statuses.get("interrupted", 0))

    @contextmanager
    def _open(self) -> Iterator[Store]:
        """Hold the store for a question; one that fails is opened anew by the next."""
        with self._lock:
            try:
                if self._store is None:
                    self._store = Store(self.path)
                    self._opened += 1
                yield self._store
            except StoreError:
                self.close()
                raise

    def _ask(self, question: Callable[[Store], Any], *about: Any) -> Any:
        """Return the answer to a question, from memory while nobody has written."""
        with self._open() as store:
            now = self._now(store)
            if now != self._answered:
                self._kept.clear()
                self._answered = now
            return self._kept.get(about, lambda: question(store))

    def sweeps(self) -> list[dict[str, Any]]:
        """Return the sweeps of the store."""
        return self._ask(lambda store: store.sweeps(), "sweeps")

    def run(self, run: str) -> dict[str, Any] | None:
        """Return one run, or None when the store has none of that id."""
        return self._ask(lambda store: _run(store, run), "run", run)

    def table(self, when: str, sweep: str = "") -> Table:
        """Return the columns that the runs have, with the numbers of their first or last record."""
        return self._ask(lambda store: _table(store, when, sweep), "table", when, sweep)

    def page(self, when: str, sweep: str = "", where: tuple[str, ...] = (), order: str = "", **some: Any) -> Page:
        """Return some rows of the table and how many there are; see :meth:`Store.page` for ``limit``, ``names`` ...

        Raises
        ------
        ArgumentError
            For a condition that cannot be read.
        """
        return self._ask(
            lambda store: store.page(_id(sweep), where, when, order or None, **some),
            *("page", when, sweep, where, order, *sorted(some.items())),
        )

    def columns(self, names: tuple[str, ...], when: str, sweep: str = "", where: tuple[str, ...] = ()) -> list[dict]:
        """Return a few columns of every run that fulfils the conditions, a small dict for each run."""

        def small(store: Store) -> list[dict[str, Any]]:
            columns = store.columns(names, _id(sweep), where, when)
            return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]

        return self._ask(small, "columns", names, when, sweep, where)

    def iterations(self, run: str) -> list[int]:
        """Return the iterations at which a run was probed, in order."""
        return self._ask(lambda store: store.iterations(run), "iterations", run)

    def metrics(self, run: str) -> dict[str, Any]:
        """Return the numbers of a run as a whole, e.g. its accuracy before and after training."""
        return self._ask(lambda store: store.metrics(run), "metrics", run)

    def record(self, run: str, iteration: int) -> Record:
        """Return what was measured of a run at an iteration."""
        return self._ask(lambda store: store.record(run, iteration), "record", run, iteration)

    def probed(self, least: int) -> dict[str, int]:
        """Return how often each run was probed, of those with at least so many records."""
        return self._ask(lambda store: store.probed(least), "probed", least)

    def layers(self, run: str) -> list[str]:
        """Return the names of the layers that the records of a run have."""
        return self._ask(lambda store: store.layers(run), "layers", run)

    def arrays(self, run: str, layer: int | str = WHOLE) -> list[str]:
        """Return the names of the arrays that the records of a run, or of one of its layers, hold."""
        return self._ask(lambda store: store.arrays(run, layer), "arrays", run, layer)

    def curves(self, run: str) -> dict[str, Any]:
        """Return the numbers of a run over the iterations."""
        return self._ask(lambda store: store.curves(run), "curves", run)

    def summaries(self, run: str, layer: int | str = WHOLE) -> dict[int, Record]:
        """Return the records of a run, or of one of its layers, without their arrays, by iteration."""
        return self._ask(lambda store: store.records(run, layer=layer), "summaries", run, layer)

    def moments(self, run: str, names: Sequence[str], layer: int | str = WHOLE) -> Iterator[tuple[int, Record]]:
        """Yield a few arrays of every iteration, ascending; many or large ones in several goes, and none is kept."""
        left, count = self.iterations(run), 1
        while left:
            some, left = left[:count], left[count:]
            with self._open() as store:
                records = store.records(run, names, layer, some)
            yield from records.items()
            size = max((sum(values.nbytes for values in record.values()) for record in records.values()), default=0)
            count = max(1, AT_ONCE // max(size, 1))

    def population(
        self, when: str, sweep: str = "", where: tuple[str, ...] = ()
    ) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
        """Return the parameters of the runs, and a small dict for each run that fulfils the conditions.

        Parameters
        ----------
        when : str
            ``"first"``, ``"last"``, or an iteration: which record the numbers come from.
        sweep : str
            Id of a sweep, or ``""`` for all.
        where : tuple of str
            Conditions.

        Raises
        ------
        ArgumentError
            For a condition that cannot be read.
        """
        return self._ask(lambda store: _population(store, when, sweep, where), "population", when, sweep, where)

    def across(self, names: Iterable[str], runs: Iterable[str], when: str | int) -> dict[str, Record]:
        """Return a few arrays of many runs, by run; they are not kept."""
        with self._open() as store:
            return store.across(names, runs, when)

    def heartbeat(self) -> float | None:
        """Return how many seconds ago a running run last gave a sign of life, or None when none is running."""
        beats = self.columns(("heartbeat",), "last", "", ("status=running",)) if self.statuses().get("running") else []
        return time.time() - max(row["heartbeat"] for row in beats) if beats else None


def _size(answer: Any) -> int:
    """Return about how many bytes an answer takes; of a long one some entries stand for all."""
    if hasattr(answer, "nbytes"):
        return answer.nbytes
    if isinstance(answer, dict):
        parts = list(answer.values())
    elif is_dataclass(answer):
        parts = [getattr(answer, entry.name) for entry in fields(answer)]
    else:
        parts = list(answer) if isinstance(answer, (list, tuple)) else []
    some = parts[:: max(1, len(parts) // SAMPLED)]
    return sys.getsizeof(answer) + (sum(map(_size, some)) * len(parts) // len(some) if some else 0)


def _id(sweep: str) -> int | None:
    """Return the id of a sweep as the store takes it."""
    return int(sweep) if sweep else None


def _run(store: Store, run: str) -> dict[str, Any] | None:
    """Read one run by its whole id."""
    try:
        entry = store.run(run)
    except ArgumentError:
        return None
    return entry if entry["id"] == run else None


def _table(store: Store, when: str, sweep: str) -> Table:
    """Read which columns there are."""
    page = store.page(_id(sweep), iteration=when, limit=0)
    return Table(store.spans(_id(sweep), when), page.parameters, page.total)


def _population(
    store: Store, when: str, sweep: str, where: tuple[str, ...]
) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Read the rows of a comparison: settings, a few numbers, and what tells whether a run has changed."""
    chosen, at = int(sweep) if sweep else None, when if when in MOMENTS else "last"
    names = store.page(chosen, iteration=at, limit=0).parameters
    if when in MOMENTS:
        known = {name for row in store.page(chosen, iteration=at, limit=1).rows for name in row}
        wanted = list(dict.fromkeys([*HEAD, *names, *(name for name in NUMBERS if name in known)]))
        columns = store.columns(wanted, chosen, where, at)
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    else:
        wanted = [*HEAD, *names, *NUMBERS]
        rows = [{name: row.get(name) for name in wanted} for row in store.table(chosen, where, int(when))]
    moment: str | int = when if when in MOMENTS else int(when)
    plain = [{name: str(v) if isinstance(v, (list, dict)) else v for name, v in row.items()} for row in rows]
    return tuple(names), [row | {"when": moment} for row in plain]
