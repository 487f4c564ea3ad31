"""Reader: what a store can be asked, each answer in one short transaction."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from gradscope.errors import ArgumentError, StoreError, unknown
from gradscope.record import Field, Record, Status, from_json
from gradscope.store import schema
from gradscope.store.conditions import Condition, parse_all, unknown_name
from gradscope.store.file import AGAIN, check_ours, check_place, code, damaged, explain, size
from gradscope.store.overview import (
    FIXED,
    HEARTBEAT,
    STATE,
    WHICH,
    Names,
    Overview,
    Page,
    Selection,
    Span,
    known_columns,
    members,
)
from gradscope.store.owners import Owner
from gradscope.store.rows import WHOLE, build_field, flat, metrics_by_run, stored

__all__ = ["TIMEOUT", "Reader"]

TIMEOUT = 30.0
PAGE = 100  # rows
TOGETHER = 500  # ids in one question
RUN = ("id", "sweep", "config", "status", "started", "heartbeat", "attempts", "error", "seconds")


class Reader:
    """Everything that can be asked of a store; :class:`Store` adds what can be written."""

    mode = "r"

    def __init__(self, path: str | Path, timeout: float = TIMEOUT) -> None:
        self.path, self._timeout = Path(path), timeout
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._frozen, self._older, self._openings = False, False, 0
        self._stamp: tuple[int, ...] = ()
        self._selection: Selection | None = None
        self._owners: dict[str, Owner] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {str(self.path)!r}, mode {self.mode!r}{'' if self._connection else ', closed'}>"

    # Questions ---------------------------------------------------------------------------------------------------

    def sweeps(self) -> list[dict[str, Any]]:
        """Return every sweep, oldest first.

        Returns
        -------
        list of dict
            ``id``, ``name``, ``spec``, ``created`` (seconds since 1970), ``versions``, and how many of its runs are
            ``running``, ``done``, ``failed`` and ``interrupted``, and ``waiting``: planned, and not begun yet.
        """
        states = ("running", "done", "failed", "interrupted")
        counts = ", ".join(f"ifnull(sum(state = '{state}'), 0)" for state in states)
        with self._reading() as connection:
            rows = connection.execute(
                f"""SELECT id, name, spec, created, versions, {counts} FROM
                        (SELECT s.*, {STATE} state FROM sweep s LEFT JOIN member m ON m.sweep = s.id
                         LEFT JOIN run r ON r.number = m.run)
                    GROUP BY id ORDER BY id"""
            ).fetchall()
            waiting = dict(connection.execute("SELECT sweep, count(*) FROM waiting GROUP BY sweep").fetchall())
        names = ("id", "name", "spec", "created", "versions", *states)
        sweeps = [dict(zip(names, row, strict=True)) for row in rows]
        for sweep in sweeps:
            sweep |= {key: self._json(sweep[key]) for key in ("spec", "versions")}
            sweep["waiting"] = waiting.get(sweep["id"], 0)
        return sweeps

    def waiting(self) -> int:
        """Return how many runs sweeps have asked for that nobody has begun yet; one that two ask for counts once.

        With the runs that have begun, it says how many there will be. A store that was written before this was noted
        knows of none.
        """
        with self._reading() as connection:
            return connection.execute("SELECT count(DISTINCT run) FROM waiting").fetchone()[0]

    def runs(self, sweep: int | str | None = None, where: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return the runs, in the order in which they first began.

        Parameters
        ----------
        sweep : int or str
            Only runs of this sweep: its id or its name.
        where : sequence of str
            As in :meth:`table`; a run counts when one of its iterations fulfils all conditions.

        Returns
        -------
        list of dict
            ``id``, ``sweep`` (the id of the last sweep that began it), ``config``, ``status`` (running, done,
            failed, interrupted), ``started`` and ``heartbeat`` (seconds since 1970), ``attempts``, ``error``,
            ``seconds``. A run whose process has ended on this machine without a word is interrupted too.
        """
        with self._reading() as connection:
            runs = self._runs(connection, sweep)
        if where:
            chosen = {row["run"] for row in self.table(sweep, where)}
            runs = [run for run in runs if run["id"] in chosen]
        return runs

    def run(self, run_id: str) -> dict[str, Any]:
        """Return one run, as :meth:`runs` does; the beginning of its id is enough where no other begins so.

        Raises
        ------
        ArgumentError
            When no run, or more than one, has an id that begins so.
        """
        with self._reading() as connection:
            found = connection.execute("SELECT id FROM run WHERE id = ?", (run_id,)).fetchall()
            if not found and run_id:
                query = "SELECT id FROM run WHERE substr(id, 1, ?) = ? ORDER BY number"
                found = connection.execute(query, (len(run_id), run_id)).fetchall()
            found = [row[0] for row in found]
            if len(found) == 1:
                return self._runs(connection, None, "WHERE r.id = ?", (found[0],))[0]
        if not found:
            raise ArgumentError(
                f"`run` must be the id of a run in {self.path}, got {run_id!r}. "
                f"List them with `gradscope runs {self.path}`."
            )
        some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise ArgumentError(
            f"`run` must begin the id of one run, got {run_id!r}, which begins {len(found)} ({some}). "
            "Give more of the id."
        )

    def table(
        self, sweep: int | str | None = None, where: Sequence[str] = (), iteration: str | int | None = None
    ) -> list[dict[str, Any]]:
        """Return one flat dict for each run and iteration.

        Parameters
        ----------
        sweep : int or str
            Only runs of this sweep: its id or its name.
        where : sequence of str
            Conditions that must all hold: a parameter or metric, one of ``= != < <= > >=`` and a value, e.g.
            ``"cell=LSTM"``, ``"length>=100"``. ``=`` and ``!=`` take several values with commas between
            (``"cell=LSTM,GRU"``), and ``none``, ``true``, ``false``, ``nan``, ``inf``. A value that is missing or NaN
            fulfils no ``< <= > >=``.
        iteration : {None, "first", "last"} or int
            Every iteration, the first or last one of each run, or this one.

        Returns
        -------
        list of dict
            The same keys in each: ``run``, ``sweep``, ``status``, ``iteration``, ``seconds``, ``heartbeat``,
            ``attempts``, ``error``, every parameter, every metric. An interval is ``<name>_low`` and
            ``<name>_high``; what has no scalar form is JSON text. What a row lacks is None. A run that has not
            finished has one row with iteration None, the first or last of all not being known. Where every iteration
            is asked for, or one by its number, it has the rows of those that it was probed at so far.

        Raises
        ------
        ArgumentError
            For a condition of another form, or over a name that no row has.
        """
        if not (iteration is None or iteration in WHICH or type(iteration) is int):
            raise unknown("iteration", iteration, WHICH, "Or give a number, or None for every iteration.")
        conditions = parse_all(where)
        with self._reading() as connection:
            if iteration in WHICH:
                selection = self._select(connection, sweep, str(iteration))
                names = selection.names(connection)
                if not selection.check(conditions, names):
                    return []
                found = selection.rows(connection, names.columns)
                return [dict(zip(names.columns, row, strict=True)) for row in found]
            runs = self._runs(connection, sweep)
            within, arguments = members(connection, sweep, "r.number")
            also = f"AND {within}" if within else ""
            query = f"""SELECT e.run, iteration, summary FROM record e JOIN run r ON r.id = e.run
                        WHERE layer = {WHOLE} {also} ORDER BY e.run, iteration"""
            summaries = connection.execute(query, arguments).fetchall()
            query = f"""SELECT e.run, name, value, text, e.status FROM metric e JOIN run r ON r.id = e.run
                        WHERE iteration IS NULL {also}"""
            whole = metrics_by_run(connection.execute(query, arguments).fetchall())
        records: dict[str, list[tuple[int, dict]]] = {}
        for run, number, text in summaries:
            if iteration is None or iteration == number:
                records.setdefault(run, []).append((number, flat(self._json(text))))
        rows = _join(runs, records, whole, keep_empty=iteration is None)
        return _filter(rows, conditions, known=bool(summaries))

    def page(
        self,
        sweep: int | str | None = None,
        where: Sequence[str] = (),
        iteration: str = "last",
        order: str | None = None,
        limit: int = PAGE,
        offset: int = 0,
        names: Sequence[str] | None = None,
    ) -> Page:
        """Return some rows of the table and how many there are, quickly however many there are.

        Parameters
        ----------
        sweep, where
            As in :meth:`table`.
        iteration : {"last", "first"}
            Which record of each run.
        order : str, optional
            A column to sort by, from the least; with ``-`` before it from the most. What is missing or NaN comes
            last. As begun when left out.
        limit, offset : int
            So many rows, after so many others.
        names : sequence of str, optional
            Only these columns of each row, None where a row or all of them lack it.

        Returns
        -------
        Page

        Raises
        ------
        ArgumentError
            As :meth:`table` does, and for an order by what is no column.
        """
        conditions = parse_all(where)
        with self._selected(sweep, iteration) as (connection, selection, known):
            within, arguments = members(connection, sweep, "r.number")
            query = f"SELECT {STATE}, count(*) FROM run r {f'WHERE {within}' if within else ''} GROUP BY 1"
            statuses = dict(connection.execute(query, arguments).fetchall())
            total = sum(statuses.values())
            if not selection.check(conditions, known):
                return Page([], 0, total, {}, known.parameters)
            by, clause = (order or "").removeprefix("-"), selection.order(order, known)
            columns = known.columns if names is None else names
            rows = selection.rows(connection, columns, clause, by, (limit, offset)) if limit else []
            if conditions:
                source, some = selection.source(["status"])
                statuses = dict(connection.execute(f"SELECT {STATE}, count(*) {source} GROUP BY 1", some).fetchall())
        page = [dict(zip(columns, row, strict=True)) for row in rows]
        return Page(page, sum(statuses.values()), total, statuses, known.parameters)

    def spans(self, sweep: int | str | None = None, iteration: str = "last") -> dict[str, Span]:
        """Return what the values of each parameter and metric are, parameters first: what to show of a large sweep.

        Parameters
        ----------
        sweep, iteration
            As in :meth:`page`.

        Returns
        -------
        dict of str to Span
            How many runs have a value, and from where to where it goes.
        """
        with self._selected(sweep, iteration) as (connection, selection, known):
            return selection.spans(connection, (*known.parameters, *known.metrics))

    def columns(
        self,
        names: Sequence[str],
        sweep: int | str | None = None,
        where: Sequence[str] = (),
        iteration: str = "last",
    ) -> dict[str, list[Any]]:
        """Return some columns of the table, each as a list with a value for each run.

        It is what a plot of a large sweep needs: the whole table of a hundred thousand runs takes a second or two to
        be made, three of its columns a tenth of that.

        Parameters
        ----------
        names : sequence of str
            Columns of :meth:`table`.
        sweep, where, iteration
            As in :meth:`page`.

        Raises
        ------
        ArgumentError
            As :meth:`table` does, and for a name that no row has.
        """
        conditions = parse_all(where)
        with self._selected(sweep, iteration) as (connection, selection, known):
            if not selection.check(conditions, known):
                return {name: [] for name in names}
            for name in names:
                if name not in known.columns:
                    raise unknown_name("names", name, known.columns, FIXED)
            rows = selection.rows(connection, names)
        return {name: [row[place] for row in rows] for place, name in enumerate(names)}

    def groups(
        self,
        by: Sequence[str],
        value: str,
        sweep: int | str | None = None,
        where: Sequence[str] = (),
        iteration: str = "last",
    ) -> list[dict[str, Any]]:
        """Return a metric's mean and range for each combination of some parameters: the cells of a phase map.

        Parameters
        ----------
        by : sequence of str
            Columns of :meth:`table` whose values make the groups.
        value : str
            The metric.
        sweep, where, iteration
            As in :meth:`page`.

        Returns
        -------
        list of dict
            For each combination that occurs, in order: its values, ``runs``, and of those in which the metric is a
            number (inf is one, NaN is none) ``count``, ``mean``, ``least`` and ``most``; None where there is none.

        Raises
        ------
        ArgumentError
            As :meth:`columns` does.
        """
        conditions = parse_all(where)
        with self._selected(sweep, iteration) as (connection, selection, known):
            if not selection.check(conditions, known):
                return []
            for name in (*by, value):
                if selection.expression(name) is None or name not in known.columns:
                    raise unknown_name("by", name, [key for key in known.columns if selection.expression(key)], FIXED)
            keys = ", ".join(str(selection.expression(name)) for name in by)
            number = selection.expression(value)
            number = f"CASE WHEN typeof({number}) IN ('integer', 'real') THEN {number} END"
            source, arguments = selection.source([*by, value])
            query = f"""SELECT {keys}, count(*), count({number}), avg({number}), min({number}), max({number})
                        {source} GROUP BY {keys} ORDER BY {keys}"""
            rows = connection.execute(query, arguments).fetchall()
            truths = [selection.known.get(name, False) for name in by]
        heads = (*by, "runs", "count", "mean", "least", "most")
        return [
            dict(zip(heads, row, strict=True))
            | {name: bool(row[i]) for i, name in enumerate(by) if truths[i] and row[i] is not None}
            for row in rows
        ]

    def ids(self) -> list[str]:
        """Return the ids of all runs, in the order in which they first began."""
        with self._reading() as connection:
            return [row[0] for row in connection.execute("SELECT id FROM run ORDER BY number").fetchall()]

    def record(self, run_id: str, iteration: int = 0, names: Iterable[str] | None = None) -> Record:
        """Return the record of a run, bit by bit what was given to :meth:`Store.finish_run`.

        Of a run that has not finished, those are there that it was probed at so far.

        Parameters
        ----------
        run_id : str
            The whole id.
        iteration : int
            0 is before training.
        names : iterable of str
            Only these arrays, of each layer, in the order of the file; None for all. Names that it lacks are left
            out.

        Raises
        ------
        ArgumentError
            When the file has no such run or iteration.
        StoreError
            When an array is damaged.
        """
        wanted = [] if names is None else list(names)
        only = "" if names is None else f"AND name IN ({', '.join('?' * len(wanted))})"
        with self._reading() as connection:
            heads = connection.execute(
                "SELECT layer, summary, config FROM record WHERE run = ? AND iteration = ? ORDER BY id",
                (run_id, iteration),
            ).fetchall()
            rows = connection.execute(
                f"""SELECT rowid, layer, name, axes, coords, unit, dtype, shape, blob, status, reason FROM field
                    WHERE run = ? AND iteration = ? {only}""",
                (run_id, iteration, *wanted),
            ).fetchall()
        rows.sort(key=lambda row: row[0])  # SQLite would copy every array into its sorter, which takes twice as long
        parts = {layer: Record({}, self._json(summary), self._json(config)) for layer, summary, config in heads}
        if WHOLE not in parts:
            raise self._no_record(run_id, iteration)
        for _, layer, *row in rows:
            parts[layer].fields[row[0]] = self._field(tuple(row))
        record = parts.pop(WHOLE)
        if parts:
            record.layers = {str(layer): part for layer, part in parts.items()}
        return record

    def across(
        self, names: Iterable[str], runs: Iterable[str] | None = None, iteration: str | int = "last"
    ) -> dict[str, Record]:
        """Return a few arrays of many runs, quickly: what a comparison of runs needs.

        Parameters
        ----------
        names : iterable of str
            The arrays. A record holds those that it has, and no layers.
        runs : iterable of str, optional
            Ids of the runs; all when left out.
        iteration : {"last", "first"} or int
            The last or first record of each run that has finished, or the one of this iteration.

        Returns
        -------
        dict of str to Record
            By run, in the order in which they first began; runs without such a record are left out.

        Raises
        ------
        ArgumentError
            For another iteration.
        StoreError
            When an array is damaged.
        """
        if not (iteration in WHICH or type(iteration) is int):
            raise unknown("iteration", iteration, WHICH, "Or give a number.")
        chosen = ""
        arguments: list[Any] = [WHOLE]
        if runs is not None:
            chosen = "AND e.run IN (SELECT value FROM json_each(?))"
            arguments.append(json.dumps(list(runs)))
        if iteration in WHICH:
            moment = f"""(SELECT o.iteration FROM overview_{iteration} o JOIN run n ON n.number = o.run
                          WHERE n.id = e.run)"""
        else:
            moment = "?"
            arguments.append(iteration)
        heads_query = f"""SELECT e.run, e.summary, e.config FROM record e JOIN run r ON r.id = e.run
                          WHERE e.layer = ? {chosen} AND e.iteration = {moment} ORDER BY r.number"""
        fields_query = f"""SELECT run, name, axes, coords, unit, dtype, shape, blob, status, reason
                           FROM field e WHERE layer = ? {chosen} AND iteration = {moment} AND name = ?"""
        with self._reading() as connection:
            heads = connection.execute(heads_query, arguments).fetchall()
            rows = [row for name in names for row in connection.execute(fields_query, [*arguments, name]).fetchall()]
        found = {run: Record({}, self._json(summary), self._json(config)) for run, summary, config in heads}
        for run, *row in rows:
            found[run].fields[row[0]] = self._field(tuple(row))
        return found

    def records(
        self,
        run_id: str,
        names: Iterable[str] = (),
        layer: int | str = WHOLE,
        iterations: Iterable[int] | None = None,
    ) -> dict[int, Record]:
        """Return the records of a run at every iteration, with some of their arrays, in one look at the file.

        It is what a picture over the iterations needs: one array of two hundred records is read in a few
        milliseconds, two hundred whole records in seconds.

        Parameters
        ----------
        run_id : str
            The whole id.
        names : iterable of str
            Only these arrays; those that a record lacks are left out.
        layer : int or str
            0 is the network as a whole.
        iterations : iterable of int, optional
            Only these, where there is a record; every one when left out.

        Returns
        -------
        dict of int to Record
            By iteration, ascending; without further layers. Of a run that has not finished, those so far.

        Raises
        ------
        StoreError
            When an array is damaged.
        """
        wanted = list(names)
        only = "" if iterations is None else "AND iteration IN (SELECT value FROM json_each(?))"
        at = (run_id, stored(layer), *([] if iterations is None else [json.dumps(list(iterations))]))
        with self._reading() as connection:
            heads = connection.execute(
                f"SELECT iteration, summary, config FROM record WHERE run = ? AND layer = ? {only} ORDER BY iteration",
                at,
            ).fetchall()
            rows = connection.execute(
                f"""SELECT iteration, name, axes, coords, unit, dtype, shape, blob, status, reason FROM field
                    WHERE run = ? AND layer = ? {only} AND name IN ({", ".join("?" * len(wanted))}) ORDER BY rowid""",
                (*at, *wanted),
            ).fetchall()
        found = {n: Record({}, self._json(summary), self._json(config)) for n, summary, config in heads}
        for iteration, *row in rows:
            found[iteration].fields[row[0]] = self._field(tuple(row))
        return found

    def layers(self, run_id: str) -> list[str]:
        """Return the names of the layers that the records of a run have beside the whole, in the order of the file."""
        query = "SELECT layer FROM record WHERE run = ? AND layer != ? GROUP BY layer ORDER BY min(id)"
        with self._reading() as connection:
            return [str(row[0]) for row in connection.execute(query, (run_id, WHOLE)).fetchall()]

    def arrays(self, run_id: str, layer: int | str = WHOLE) -> list[str]:
        """Return the names of the arrays that the records of a run hold, each once, in the order of the file.

        Parameters
        ----------
        run_id : str
            The whole id.
        layer : int or str
            0 is the network as a whole.
        """
        query = "SELECT name FROM field WHERE run = ? AND layer = ? GROUP BY name ORDER BY min(rowid)"
        with self._reading() as connection:
            return [row[0] for row in connection.execute(query, (run_id, stored(layer))).fetchall()]

    def metrics(self, run_id: str) -> dict[str, Any]:
        """Return the metrics of a run as a whole, as the store got them; empty while it has not finished."""
        query = "SELECT run, name, value, text, status FROM metric WHERE run = ? AND iteration IS NULL ORDER BY rowid"
        with self._reading() as connection:
            return metrics_by_run(connection.execute(query, (run_id,)).fetchall()).get(run_id, {})

    def curves(self, run_id: str, layer: int | str = WHOLE) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return every number of a run over the iterations: what its probes found, its losses.

        Parameters
        ----------
        run_id : str
            The whole id.
        layer : int or str
            0 is the network as a whole.

        Returns
        -------
        dict
            By name, iterations (int) ascending and values (float) beside them; NaN where it was NaN.
        """
        query = """SELECT name, iteration, value, status FROM metric
                   WHERE run = ? AND iteration IS NOT NULL AND layer = ? AND text IS NULL AND status != ?
                   ORDER BY name, iteration"""
        with self._reading() as connection:
            rows = connection.execute(query, (run_id, stored(layer), Status.NOT_APPLICABLE)).fetchall()
        found: dict[str, list[tuple[int, float]]] = {}
        for name, iteration, value, _ in rows:
            found.setdefault(name, []).append((iteration, np.nan if value is None else value))
        return {
            name: (np.array([n for n, _ in points], np.int64), np.array([v for _, v in points], np.float64))
            for name, points in found.items()
        }

    def iterations(self, run_id: str) -> list[int]:
        """Return the iterations at which a run was probed, ascending; until it has finished, those so far."""
        query = "SELECT iteration FROM record WHERE run = ? AND layer = ? ORDER BY iteration"
        with self._reading() as connection:
            return [row[0] for row in connection.execute(query, (run_id, WHOLE)).fetchall()]

    def probed(self, least: int = 1) -> dict[str, int]:
        """Return how often each run was probed: the number of its iterations that have a record.

        Parameters
        ----------
        least : int
            Only runs with so many; 2 for those that were probed during or after a training, too.

        Returns
        -------
        dict of str to int
            By run, in the order in which they first began.
        """
        query = """SELECT r.id, e.records FROM run r JOIN
                   (SELECT run, count(*) records FROM record WHERE layer = ? GROUP BY run HAVING records >= ?) e
                   ON r.id = e.run ORDER BY r.number"""
        with self._reading() as connection:
            return dict(connection.execute(query, (WHOLE, least)).fetchall())

    def finished(self, run_ids: Iterable[str]) -> set[str]:
        """Return which of these runs are done."""
        wanted, found = list(run_ids), set()
        with self._reading() as connection:
            for start in range(0, len(wanted), TOGETHER):
                some = wanted[start : start + TOGETHER]
                query = f"SELECT id FROM run WHERE id IN ({', '.join('?' * len(some))}) AND status = 'done'"
                found |= {row[0] for row in connection.execute(query, some).fetchall()}
        return found

    def version(self) -> int:
        """Return a number that changes whenever another program has written, in a few microseconds.

        Compare only numbers of one and the same open store.

        Raises
        ------
        StoreError
            When the file has been deleted.
        """
        with self._lock, self._explained():
            count = self._open().execute("PRAGMA data_version").fetchone()[0]
            return (self._openings << 32) | count

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._explained():
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    # Inside ------------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """Return the connection, to the file that bears the name now."""
        if self._connection is None:
            raise StoreError(f"{self.path} must be open, and has been closed. Open it again with `Store(path)`.")
        if self._seen() != self._stamp:
            self._replaced()
        return self._connection

    def _replaced(self) -> None:
        """Open the file that bears the name now."""
        if self._connection is not None:
            self._connection.close()
        self._open_for_reading()

    def _connect(self, options: str) -> sqlite3.Connection:
        """Connect to the file by its address, so that every option can be given."""
        address = f"{self.path.absolute().as_uri()}?{options}"
        connection = sqlite3.connect(
            address, uri=True, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        connection.create_function("casefold", 1, str.casefold, deterministic=True)
        connection.create_function("state", 1, self._state)
        connection.create_function("judged", 2, self._judge)
        return connection

    def _open_for_reading(self) -> None:
        """Open an existing file so that it cannot be changed through this connection."""
        check_place(self.path, "r")
        self._openings += 1
        self._frozen = False
        self._connection = self._connect("mode=ro")
        try:
            try:
                check_ours(self.path, self._connection, empty=False)
            except sqlite3.OperationalError as error:
                # WAL needs a file beside this one; in a read-only folder without it nobody is writing.
                if code(error) not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or self._pending():
                    raise
                self._connection.close()
                self._frozen = True
                self._connection = self._connect("mode=ro&immutable=1")
                check_ours(self.path, self._connection, empty=False)
            self._older = schema.version(self._connection) < schema.SCHEMA
            if self._older:
                schema.shadow(self._connection, Overview().refresher(self._connection))
            self._stamp = self._seen()
        except BaseException:
            self._connection.close()
            self._connection = None
            raise

    def _pending(self) -> int:
        """Return the size of what SQLite has noted beside the file and not yet in it."""
        return sum(size(self.path.with_name(self.path.name + end)) for end in ("-wal", "-journal"))

    def _seen(self) -> tuple[int, ...]:
        """Return what tells that a file was replaced, or changed although it was taken to be frozen."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            raise StoreError(f"{self.path} must exist, and has been deleted. {AGAIN}") from None
        copied = self._frozen or self._older
        frozen = (stat.st_size, stat.st_mtime_ns, self._pending()) if copied else ()
        return (stat.st_dev, stat.st_ino, *frozen)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise explain(self.path, error, self._timeout) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """See one state of the file for a few queries, each of which fetches all of its rows."""
        with self._lock, self._explained():
            connection = self._open()
            connection.execute("BEGIN")
            try:
                self._owners = self._running_owners(connection)
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def _selected(
        self, sweep: int | str | None, iteration: str
    ) -> Iterator[tuple[sqlite3.Connection, Selection, Names]]:
        """See the rows of an overview that belong to a sweep, and what columns they have."""
        if iteration not in WHICH:
            raise unknown("iteration", iteration, WHICH)
        with self._reading() as connection:
            selection = self._select(connection, sweep, iteration)
            yield connection, selection, selection.names(connection)

    def _runs(
        self, connection: sqlite3.Connection, sweep: int | str | None, where: str = "", arguments: tuple = ()
    ) -> list[dict[str, Any]]:
        """Return runs with their configurations."""
        if sweep is not None:
            within, arguments = members(connection, sweep, "r.number")
            where = f"WHERE {within}" if within else ""
        query = f"""SELECT r.id, r.sweep, r.config, {STATE}, r.started, {HEARTBEAT}, r.attempts, r.error, r.seconds
                    FROM run r {where} ORDER BY r.number"""
        runs = [dict(zip(RUN, row, strict=True)) for row in connection.execute(query, arguments).fetchall()]
        for run in runs:
            run["config"] = self._json(run["config"])
        return runs

    def _select(self, connection: sqlite3.Connection, sweep: int | str | None, which: str) -> Selection:
        """Return the rows of an overview that belong to a sweep."""
        within, arguments = members(connection, sweep, "o.run")
        self._selection = Selection(which, within, arguments, known_columns(connection))
        return self._selection

    def _judge(self, exact: str, number: int) -> bool | None:
        """Return whether a row fulfils a condition of the selection by its JSON, None where that says nothing."""
        return None if self._selection is None else self._selection.judge(exact, number)

    def _state(self, token: str | None) -> str:
        """Return what a running run is by its owner: one whose process has ended was interrupted."""
        owner = self._owners.get(token) if token is not None else None
        return "interrupted" if owner is not None and owner.is_gone() else "running"

    def _running_owners(self, connection: sqlite3.Connection) -> dict[str, Owner]:
        """Return the owners of runs that are under way."""
        rows = connection.execute(
            """SELECT token, host, space, pid FROM owner
               WHERE token IN (SELECT owner FROM run WHERE status = 'running')"""
        ).fetchall()
        return {row[0]: Owner(*row) for row in rows}

    def _json(self, text: str) -> Any:
        """Read JSON that the file holds."""
        try:
            return from_json(text)
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(self.path, f"JSON that cannot be read: {error}") from error

    def _field(self, row: tuple) -> Field:
        """Build a field from its row."""
        try:
            return build_field(row)
        except (ValueError, TypeError) as error:
            raise damaged(self.path, f"the array {row[0]!r} cannot be read: {error}") from error

    def _no_record(self, run_id: str, iteration: int) -> ArgumentError:
        """Return the error for a run or iteration that the file lacks."""
        found = self.iterations(run_id)
        if found:
            return ArgumentError(f"`iteration` must be one of {', '.join(map(str, found))}, got {iteration!r}.")
        run = self.run(run_id)
        if run["id"] != run_id:
            return ArgumentError(f"`run` must be a whole id, got {run_id!r}. Give {run['id']!r}.")
        why = f": {run['error']}" if run["error"] else ""
        return ArgumentError(
            f"`run` must have been probed, and {run_id!r} is {run['status']}{why}. Run its sweep again to finish it."
        )


def _join(
    runs: list[dict], records: dict[str, list[tuple[int, dict]]], whole: dict[str, dict[str, Any]], keep_empty: bool
) -> list[dict]:
    """Return the rows of the table, each with every column; runs without a record have one if they are kept."""
    rows = []
    columns: dict[str, None] = dict.fromkeys(FIXED)
    for run in runs:
        columns.update(dict.fromkeys(run["config"]))
    measured: dict[str, None] = {}
    nothing: list[tuple[int | None, dict]] = [(None, {})] if keep_empty else []
    for run in runs:
        name = run["id"]
        head = {key: run.get(key) for key in FIXED} | {"run": name} | run["config"]
        for number, metrics in records.get(name, nothing):
            row = head | {"iteration": number} | metrics | whole.get(name, {})
            measured.update(dict.fromkeys(row))
            rows.append(row)
    blank = columns | measured
    return [blank | row for row in rows]


def _filter(rows: list[dict], conditions: list[Condition], known: bool) -> list[dict]:
    """Return the rows that fulfil every condition; ``known`` is whether metrics can be known to be missing."""
    if not rows:
        return []
    for condition in conditions:
        if condition.key not in rows[0]:
            if not known:
                return []
            raise unknown_name("where", condition.key, list(rows[0]), FIXED)
    return [row for row in rows if all(condition.holds(row[condition.key]) for condition in conditions)]
