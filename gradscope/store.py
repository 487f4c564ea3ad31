"""Store: the runs of sweeps in one SQLite file that can be read while it is written.

The file is in WAL mode where the file system allows it. Arrays are raw little-endian blobs beside their dtype and
shape, everything else is numbers, text or strict JSON: no pickle, so a file from a stranger is safe to open.

::

    sweep  (id, name, spec, created, versions)
    run    (id, sweep, config, status, started, heartbeat, attempts, error, seconds, versions)
    member (sweep, run)                                which runs a sweep asked for; two sweeps may share a run
    record (id, run, iteration, layer, summary, config)    one probe; iteration 0 is before training
    metric (run, iteration, layer, name, value, low, high, text, status)   scalars; iteration NULL: of the whole run
    field  (run, iteration, layer, name, axes, coords, unit, dtype, shape, blob, status)           arrays

``metric`` holds the numbers of ``record.summary`` once more, one a row, for queries in SQL. There NaN is NULL with its
:class:`~gradscope.record.Status`; infinities are SQLite's own.
"""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import json
import math
import os
import platform
import re
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError, StoreError, unknown
from gradscope.record import Field, Record, Status, from_json, to_json

__all__ = ["FIXED", "SCHEMA", "Condition", "Store"]

APPLICATION = 0x67726473  # "grds" in the header of the file
SCHEMA = 1  #: The schema that this version reads and writes.
TIMEOUT = 30.0
MOUNTS = Path("/proc/self/mountinfo")
NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "beegfs", "ceph", "davfs", "fuse.sshfs", "gpfs", "lustre", "panfs", "ncp")

TABLES = """
CREATE TABLE sweep (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, spec TEXT NOT NULL, created REAL NOT NULL, versions TEXT NOT NULL);
CREATE TABLE run (
    id TEXT PRIMARY KEY NOT NULL, sweep INTEGER NOT NULL REFERENCES sweep (id), config TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed')), started REAL NOT NULL,
    heartbeat REAL NOT NULL, attempts INTEGER NOT NULL, error TEXT, seconds REAL, versions TEXT NOT NULL);
CREATE TABLE member (sweep INTEGER NOT NULL REFERENCES sweep (id), run TEXT NOT NULL REFERENCES run (id));
CREATE TABLE record (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL REFERENCES run (id), iteration INTEGER NOT NULL,
    layer INTEGER NOT NULL, summary TEXT NOT NULL, config TEXT NOT NULL);
CREATE TABLE metric (
    run TEXT NOT NULL REFERENCES run (id), iteration INTEGER, layer INTEGER NOT NULL, name TEXT NOT NULL,
    value, low REAL, high REAL, text TEXT, status INTEGER NOT NULL);
CREATE TABLE field (
    run TEXT NOT NULL REFERENCES run (id), iteration INTEGER NOT NULL, layer INTEGER NOT NULL, name TEXT NOT NULL,
    axes TEXT NOT NULL, coords TEXT NOT NULL, unit TEXT NOT NULL, dtype TEXT NOT NULL, shape TEXT NOT NULL,
    blob BLOB NOT NULL, status BLOB);
CREATE UNIQUE INDEX member_sweep ON member (sweep, run);
CREATE UNIQUE INDEX record_run ON record (run, iteration, layer);
CREATE INDEX metric_run ON metric (run, name);
CREATE INDEX metric_name ON metric (name, run);
CREATE INDEX metric_whole ON metric (run) WHERE iteration IS NULL;
CREATE INDEX field_run ON field (run, name);
CREATE INDEX field_name ON field (name, run);
"""

FIXED = ("run", "sweep", "status", "iteration", "seconds", "heartbeat", "attempts", "error")
"""Columns of :meth:`Store.table` that are neither a parameter nor a metric."""
WHICH = ("first", "last")
LISTED = 24  # names in a message


class Store:
    """A file of sweeps, runs and their records.

    Open one for as long as you need it; it may be used from several threads. Every call is one short transaction,
    so a reader never holds up the writer.

    Parameters
    ----------
    path : str or Path
        The SQLite file.
    mode : {"r", "w"}
        ``"r"`` reads an existing file and cannot change it. ``"w"`` writes, and creates a missing file.
    timeout : float
        Seconds to wait while another program writes.

    Raises
    ------
    StoreError
        When the file is missing, not a store of gradscope, of a newer schema, read-only (for ``"w"``), locked or
        damaged.

    Warns
    -----
    UserWarning
        When the file lies where WAL does not work; it is then written with a rollback journal, and a reader may
        have to wait for the writer.

    Examples
    --------
    >>> with Store("results.db") as store:  # doctest: +SKIP
    ...     store.table(where=["cell=LSTM", "decay_rate>0.1"], iteration="last")
    """

    def __init__(self, path: str | Path, mode: str = "r", timeout: float = TIMEOUT) -> None:
        if mode not in ("r", "w"):
            raise unknown("mode", mode, ("r", "w"))
        self.path, self.mode, self._timeout = Path(path), mode, timeout
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._frozen, self._openings = False, 0
        self._stamp: tuple[int, ...] = ()
        self._parsed: dict[tuple[int, int], dict[str, Any]] = {}  # summaries by opening and id, which never comes back
        _check_place(self.path, mode)
        with self._explained():
            if mode == "w":
                self._connection = self._open_for_writing()
                self._stamp = self._seen()
            else:
                self._open_for_reading()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {str(self.path)!r}, mode {self.mode!r}{'' if self._connection else ', closed'}>"

    def close(self) -> None:
        """Close the file; a writer first moves the WAL into it, so that the one file holds everything."""
        with self._lock, self._explained():
            connection, self._connection = self._connection, None
            if connection is None:
                return
            try:
                if self.mode == "w":
                    connection.execute("PRAGMA busy_timeout = 1000")
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.close()

    # Writing -----------------------------------------------------------------------------------------------------

    def add_sweep(self, name: str, spec: Mapping[str, Any]) -> int:
        """Note a sweep and return its id; the same name and spec again return the id they had.

        Parameters
        ----------
        name : str
            What the study is called.
        spec : dict
            Everything that it takes to run it again.
        """
        text = to_json(spec)
        with self._writing() as connection:
            found = connection.execute("SELECT id FROM sweep WHERE name = ? AND spec = ?", (name, text)).fetchone()
            if found:
                return found[0]
            values = (name, text, time.time(), _versions())
            insert = "INSERT INTO sweep (name, spec, created, versions) VALUES (?, ?, ?, ?) RETURNING id"
            return connection.execute(insert, values).fetchone()[0]

    def start_run(self, run_id: str, sweep: int, config: Mapping[str, Any]) -> None:
        """Note that a run has begun; one that exists is begun once more, and its attempts are counted.

        What an earlier attempt has finished stays readable until :meth:`finish_run` replaces it.

        Parameters
        ----------
        run_id : str
            The same for the same configuration, data and probes.
        sweep : int
            From :meth:`add_sweep`.
        config : dict
            The parameters, flat. None of them may be called like a column of :meth:`table` (``status``, ...).
        """
        clash = sorted(set(config) & set(FIXED))
        if clash:
            raise ArgumentError(
                f"`config` must not have a parameter called {', '.join(clash)}: the table has a column of that name. "
                "Give it another name."
            )
        now = time.time()
        values = (run_id, sweep, to_json(config), now, now, _versions())
        with self._writing() as connection:
            _known_sweep(connection, sweep)
            connection.execute(
                """INSERT INTO run (id, sweep, config, status, started, heartbeat, attempts, versions)
                   VALUES (?, ?, ?, 'running', ?, ?, 1, ?)
                   ON CONFLICT (id) DO UPDATE SET
                       sweep = excluded.sweep, config = excluded.config, status = 'running',
                       started = excluded.started, heartbeat = excluded.heartbeat, attempts = attempts + 1,
                       error = NULL, seconds = NULL, versions = excluded.versions""",
                values,
            )
            connection.execute("INSERT OR IGNORE INTO member VALUES (?, ?)", (sweep, run_id))

    def include(self, sweep: int, run_ids: Iterable[str]) -> None:
        """Note that a sweep also asked for runs that exist already, e.g. finished by another sweep."""
        with self._writing() as connection:
            _known_sweep(connection, sweep)
            query = "INSERT OR IGNORE INTO member SELECT ?, id FROM run WHERE id = ?"
            connection.executemany(query, [(sweep, run_id) for run_id in run_ids])

    def finish_run(
        self,
        run_id: str,
        records: Mapping[int, Record],
        metrics: Mapping[str, float | str | None] | None = None,
        seconds: float | None = None,
    ) -> None:
        """Write what a run has measured and mark it done, all in one transaction.

        A run that diverged is done too: its record says where. After a crash either everything given here is in the
        file or nothing.

        Parameters
        ----------
        run_id : str
            A run that :meth:`start_run` began.
        records : dict of int to Record
            By iteration; 0 is before training.
        metrics : dict
            Numbers and text of the run as a whole, e.g. ``accuracy_after``. NaN and infinities are kept.
        seconds : float
            How long it took.

        Raises
        ------
        ArgumentError
            For a run that was not begun, or a metric called like a parameter of the run.
        """
        contents = [_Contents(int(iteration), record) for iteration, record in records.items()]
        whole = [_whole_metric(name, value) for name, value in (metrics or {}).items()]
        with self._writing() as connection:
            config = _known_run(connection, run_id)
            for part in contents:
                _check_names(config, part.summary)
            _check_names(config, metrics or {})
            for table in ("record", "metric", "field"):
                connection.execute(f"DELETE FROM {table} WHERE run = ?", (run_id,))
            for part in contents:
                _insert(connection, "record (run, iteration, layer, summary, config)", run_id, part.record)
                _insert(connection, "metric", run_id, part.metrics)
                _insert(connection, "field", run_id, part.fields)
            _insert(connection, "metric", run_id, whole)
            connection.execute(
                "UPDATE run SET status = 'done', heartbeat = ?, error = NULL, seconds = ? WHERE id = ?",
                (time.time(), seconds, run_id),
            )

    def fail_run(self, run_id: str, error: str, seconds: float | None = None) -> None:
        """Mark a run as failed, with the error that ended it."""
        with self._writing() as connection:
            _known_run(connection, run_id)
            connection.execute(
                "UPDATE run SET status = 'failed', heartbeat = ?, error = ?, seconds = ? WHERE id = ?",
                (time.time(), error.encode(errors="replace").decode(), seconds, run_id),
            )

    def beat(self, run_ids: Iterable[str]) -> None:
        """Note that these runs are alive; a run that stays silent has lost its sweep."""
        with self._writing() as connection:
            query = "UPDATE run SET heartbeat = ? WHERE status = 'running' AND id = ?"
            connection.executemany(query, [(time.time(), run_id) for run_id in run_ids])

    # Reading -----------------------------------------------------------------------------------------------------

    def sweeps(self) -> list[dict[str, Any]]:
        """Return every sweep, oldest first.

        Returns
        -------
        list of dict
            ``id``, ``name``, ``spec``, ``created`` (seconds since 1970), ``versions``, and how many of its runs are
            ``running``, ``done`` and ``failed``.
        """
        with self._reading() as connection:
            rows = connection.execute(
                """SELECT sweep.id, name, spec, created, sweep.versions,
                          count(*) FILTER (WHERE status = 'running'), count(*) FILTER (WHERE status = 'done'),
                          count(*) FILTER (WHERE status = 'failed')
                   FROM sweep LEFT JOIN member ON member.sweep = sweep.id LEFT JOIN run ON run.id = member.run
                   GROUP BY sweep.id ORDER BY sweep.id"""
            ).fetchall()
        names = ("id", "name", "spec", "created", "versions", "running", "done", "failed")
        sweeps = [dict(zip(names, row, strict=True)) for row in rows]
        return [sweep | {key: self._json(sweep[key]) for key in ("spec", "versions")} for sweep in sweeps]

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
            failed), ``started`` and ``heartbeat`` (seconds since 1970), ``attempts``, ``error``, ``seconds``.
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
            ids = [row[0] for row in connection.execute("SELECT id FROM run ORDER BY rowid").fetchall()]
            found = [run_id] if run_id in ids else [one for one in ids if run_id and one.startswith(run_id)]
            if len(found) == 1:
                return self._runs(connection, None, "WHERE id = ?", (found[0],))[0]
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
            ``<name>_high``; what has no scalar form is JSON text. What a row lacks is None. A run that is running or
            failed and has no record yet has one row with iteration None (not when ``iteration`` is a number).

        Raises
        ------
        ArgumentError
            For a condition of another form, or over a name that no row has.
        """
        if not (iteration is None or iteration in WHICH or type(iteration) is int):
            raise unknown("iteration", iteration, WHICH, "Or give a number, or None for every iteration.")
        conditions = [Condition.parse(text) for text in ([where] if isinstance(where, str) else where)]
        with self._reading() as connection:
            chosen, arguments = _members(connection, sweep, "run")
            runs = self._runs(connection, sweep)
            query = f"SELECT run, iteration, id, summary FROM record {chosen} ORDER BY run, iteration"
            summaries = connection.execute(query, arguments).fetchall()
            also = f"{chosen} AND" if chosen else "WHERE"
            query = f"SELECT run, name, value, text, status FROM metric {also} iteration IS NULL"
            whole = connection.execute(query, arguments).fetchall()
        rows = _join(runs, self._by_run(summaries, iteration), _whole(whole), iteration)
        return _select(rows, conditions, known=bool(summaries))

    def record(self, run_id: str, iteration: int = 0, names: Iterable[str] | None = None) -> Record:
        """Return the record of a run, bit by bit what was given to :meth:`finish_run`.

        Parameters
        ----------
        run_id : str
            The whole id.
        iteration : int
            0 is before training.
        names : iterable of str
            Only these arrays, in the order of the file; None for all. Names that it lacks are left out.

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
            head = connection.execute(
                "SELECT summary, config FROM record WHERE run = ? AND iteration = ? AND layer = 0", (run_id, iteration)
            ).fetchone()
            rows = connection.execute(
                f"""SELECT name, axes, coords, unit, dtype, shape, blob, status FROM field
                    WHERE run = ? AND iteration = ? AND layer = 0 {only} ORDER BY rowid""",
                (run_id, iteration, *wanted),
            ).fetchall()
        if head is None:
            raise self._no_record(run_id, iteration)
        fields = {row[0]: self._field(row) for row in rows}
        return Record(fields, self._json(head[0]), self._json(head[1]))

    def metrics(self, run_id: str) -> dict[str, Any]:
        """Return the metrics of a run as a whole, as :meth:`finish_run` got them; empty while it has not finished."""
        query = "SELECT run, name, value, text, status FROM metric WHERE run = ? AND iteration IS NULL ORDER BY rowid"
        with self._reading() as connection:
            return _whole(connection.execute(query, (run_id,)).fetchall()).get(run_id, {})

    def iterations(self, run_id: str) -> list[int]:
        """Return the iterations at which a run was probed, ascending; empty while it has not finished."""
        query = "SELECT iteration FROM record WHERE run = ? AND layer = 0 ORDER BY iteration"
        with self._reading() as connection:
            return [row[0] for row in connection.execute(query, (run_id,)).fetchall()]

    def finished(self, run_ids: Iterable[str]) -> set[str]:
        """Return which of these runs are done."""
        with self._reading() as connection:
            query = "SELECT id FROM run WHERE status = 'done' AND id IN (SELECT value FROM json_each(?))"
            return {row[0] for row in connection.execute(query, (json.dumps(list(run_ids)),)).fetchall()}

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

    # Inside ------------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """Return the connection, to the file that bears the name now."""
        if self._connection is None:
            raise StoreError(f"{self.path} must be open, and has been closed. Open it again with `Store(path)`.")
        if self._seen() != self._stamp:
            if self.mode == "w":
                raise StoreError(f"{self.path} must stay, and was replaced while it was written. {_AGAIN}")
            self._connection.close()
            self._open_for_reading()
        return self._connection

    def _connect(self, options: str) -> sqlite3.Connection:
        """Connect to the file by its address, so that every option can be given."""
        address = f"{self.path.absolute().as_uri()}?{options}"
        return sqlite3.connect(address, uri=True, timeout=self._timeout, isolation_level=None, check_same_thread=False)

    def _open_for_reading(self) -> None:
        """Open an existing file so that it cannot be changed through this connection."""
        _check_place(self.path, "r")
        self._openings += 1
        self._frozen = False
        self._connection = self._connect("mode=ro")
        try:
            try:
                _check_ours(self.path, self._connection, empty=False)
            except sqlite3.OperationalError as error:
                # WAL needs a file beside this one; in a read-only folder without it nobody is writing.
                if _code(error) not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or self._pending():
                    raise
                self._connection.close()
                self._frozen = True
                self._connection = self._connect("mode=ro&immutable=1")
                _check_ours(self.path, self._connection, empty=False)
            self._stamp = self._seen()
        except BaseException:
            self._connection.close()
            self._connection = None
            raise

    def _pending(self) -> int:
        """Return the size of what SQLite has noted beside the file and not yet in it."""
        return sum(_size(self.path.with_name(self.path.name + end)) for end in ("-wal", "-journal"))

    def _seen(self) -> tuple[int, ...]:
        """Return what tells that a file was replaced, or changed although it was taken to be frozen."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            raise StoreError(f"{self.path} must exist, and has been deleted. {_AGAIN}") from None
        frozen = (stat.st_size, stat.st_mtime_ns, self._pending()) if self._frozen else ()
        return (stat.st_dev, stat.st_ino, *frozen)

    def _open_for_writing(self) -> sqlite3.Connection:
        """Open or create a file, choose its journal and make its tables."""
        connection = self._connect("mode=rwc")
        try:
            _check_ours(self.path, connection, empty=True)
            _choose_journal(self.path, connection)
            if not _tables(connection):
                _make_tables(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise _explain(self.path, error, self._timeout) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """See one state of the file for a few queries, each of which fetches all of its rows."""
        with self._lock, self._explained():
            connection = self._open()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Do everything inside in one transaction, or nothing of it."""
        with self._lock, self._explained():
            if self.mode != "w":
                raise StoreError(f"{self.path} is open for reading. Open it with `Store(path, mode='w')` to write.")
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise

    def _runs(
        self, connection: sqlite3.Connection, sweep: int | str | None, where: str = "", arguments: tuple = ()
    ) -> list[dict[str, Any]]:
        """Return runs with their configurations."""
        names = ("id", "sweep", "config", "status", "started", "heartbeat", "attempts", "error", "seconds")
        if sweep is not None:
            where, arguments = _members(connection, sweep, "id")
        query = f"SELECT {', '.join(names)} FROM run {where} ORDER BY rowid"
        runs = [dict(zip(names, row, strict=True)) for row in connection.execute(query, arguments).fetchall()]
        for run in runs:
            run["config"] = self._json(run["config"])
        return runs

    def _by_run(self, rows: list[tuple], iteration: str | int | None) -> dict[str, list[tuple[int, dict]]]:
        """Return (iteration, metrics) of each run, only where they are wanted."""
        chosen: dict[str, list[list]] = {}
        for run, *entry in rows:
            entries = chosen.setdefault(run, [])
            if iteration == "last":
                entries[:] = [entry]
            elif not (iteration == "first" and entries) and (type(iteration) is not int or entry[0] == iteration):
                entries.append(entry)
        return {run: [(number, self._metrics(*row)) for number, *row in entries] for run, entries in chosen.items()}

    def _metrics(self, number: int, text: str) -> dict[str, Any]:
        """Return a summary as scalars and text, parsed once: a sweep's heartbeat makes a dashboard ask often."""
        key = (self._openings, number)
        if key not in self._parsed:
            self._parsed[key] = _flat(self._json(text))
        return self._parsed[key]

    def _json(self, text: str) -> Any:
        """Read JSON that the file holds."""
        try:
            return from_json(text)
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(self.path, f"JSON that cannot be read: {error}") from error

    def _field(self, row: tuple) -> Field:
        """Build a field from its row."""
        name, axes, coords, unit, dtype, shape, blob, status = row
        try:
            shape = tuple(json.loads(shape))
            values = np.frombuffer(bytearray(blob), np.dtype(dtype)).reshape(shape)
            marks = None if status is None else np.frombuffer(bytearray(status), np.uint8).reshape(shape)
            return Field(name, values, tuple(json.loads(axes)), unit, from_json(coords), marks)
        except (ValueError, TypeError) as error:
            raise _damaged(self.path, f"the array {name!r} cannot be read: {error}") from error

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
            f"`run` must have finished, and {run_id!r} is {run['status']}{why}. Run its sweep again to finish it."
        )


# Conditions --------------------------------------------------------------------------------------------------------

_CONDITION = re.compile(r"\s*(?P<key>[^<>=!]+?)\s*(?P<operator><=|>=|!=|==|=|<|>)\s*(?P<value>.*?)\s*", re.DOTALL)
_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True)
class Condition:
    """One condition on the rows of :meth:`Store.table`, such as ``length>=100``."""

    key: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Raises
        ------
        ArgumentError
            When it is not of the form NAME OPERATOR VALUE, or orders by something that is not a number.
        """
        match = _CONDITION.fullmatch(text)
        if match is None or (match["value"][:1] in tuple("<>=") and _number(match["value"][1:]) is not None):
            raise ArgumentError(
                f"`where` must be a name, one of = != < <= > >= and a value, got {text!r}. "
                "Write e.g. 'cell=LSTM' or 'length>=100'."
            )
        key, operator, value = match["key"], match["operator"].replace("==", "="), match["value"]
        if operator in _ORDER and _number(value) is None:
            raise ArgumentError(
                f"`where` must compare with a number after {operator}, got {text!r}. Write e.g. '{key}{operator}100'."
            )
        return cls(key, operator, value)

    def holds(self, value: Any) -> bool:
        """Return whether a value of the table fulfils the condition."""
        if self.operator in _ORDER:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return number and _ORDER[self.operator](value, float(self.value))
        equal = _same(value, self.value) or any(_same(value, one.strip()) for one in self.value.split(","))
        return equal == (self.operator == "=")


def _number(text: str) -> float | None:
    """Return the number that a text spells."""
    try:
        return float(text)
    except ValueError:
        return None


def _same(value: Any, text: str) -> bool:
    """Return whether a text spells a value."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return str(value).casefold() == text.casefold()
    number = _number(text)
    if number is None or not isinstance(value, (int, float)):
        return to_json(value) == text
    return value == number or (math.isnan(value) and math.isnan(number))


def _select(rows: list[dict], conditions: list[Condition], known: bool) -> list[dict]:
    """Return the rows that fulfil every condition; ``known`` is whether metrics can be known to be missing."""
    if not rows:
        return []
    for condition in conditions:
        if condition.key not in rows[0]:
            if not known:
                return []
            raise _unknown_name(condition.key, list(rows[0]))
    return [row for row in rows if all(condition.holds(row[condition.key]) for condition in conditions)]


def _unknown_name(name: str, columns: list[str]) -> ArgumentError:
    """Return the error for a condition over a name that the table lacks, with some that it has."""
    near = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    names = [column for column in columns if column not in FIXED] + list(FIXED)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ArgumentError(
        f"`where` must begin with a parameter or metric of the runs, got {name!r}. {hint}"
        f"There are {', '.join(names[:LISTED])}{more}."
    )


# Rows of the table -------------------------------------------------------------------------------------------------


def _flat(summary: dict[str, Any]) -> dict[str, Any]:
    """Return a summary as scalars and text."""
    flat = {name: to_json(value) if type(value) in (dict, list) else value for name, value in summary.items()}
    for name in [name for name in flat if name.endswith("_interval")]:
        if _is_of_another(summary, name):
            base = name.removesuffix("_interval")
            del flat[name]
            flat[f"{base}_low"], flat[f"{base}_high"] = summary[name] or (None, None)
    return flat


def _is_of_another(summary: Mapping[str, Any], name: str) -> bool:
    """Return whether an entry is the interval of another one, which it joins."""
    base = name.removesuffix("_interval")
    return base != name and base in summary and (summary[name] is None or _is_interval(summary[name]))


def _is_interval(value: Any) -> bool:
    """Return whether a value is a pair of numbers."""
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(v, (int, float)) for v in value)


def _whole(rows: list[tuple]) -> dict[str, dict[str, Any]]:
    """Return the metrics of whole runs."""
    metrics: dict[str, dict[str, Any]] = {}
    for run, name, value, text, status in rows:
        number = math.nan if status == Status.NAN else value
        metrics.setdefault(run, {})[name] = number if text is None else text
    return metrics


def _join(
    runs: list[dict],
    records: dict[str, list[tuple[int, dict]]],
    whole: dict[str, dict[str, Any]],
    iteration: str | int | None,
) -> list[dict]:
    """Return the rows of the table, each with every column."""
    rows = []
    columns: dict[str, None] = dict.fromkeys(FIXED)
    for run in runs:
        columns.update(dict.fromkeys(run["config"]))
    measured: dict[str, None] = {}
    for run in runs:
        name = run["id"]
        head = {key: run.get(key) for key in FIXED} | {"run": name} | run["config"]
        nothing: list[tuple[int | None, dict]] = [] if type(iteration) is int else [(None, {})]
        for number, metrics in records.get(name, nothing):
            row = head | {"iteration": number} | metrics | whole.get(name, {})
            measured.update(row)
            rows.append(row)
    blank = columns | dict.fromkeys(measured)
    return [blank | row for row in rows]


# Rows of the file --------------------------------------------------------------------------------------------------


def _metric(value: Any) -> tuple[float | int | None, str | None, int]:
    """Return the columns value, text and status of a scalar."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return None, None, Status.NOT_APPLICABLE
    if isinstance(value, (bool, int, float)):
        if math.isnan(value):
            return None, None, Status.NAN
        if isinstance(value, int) and abs(value) >= 2**63:  # past SQLite's integers
            value = float(value)
        return value, None, Status.INF if math.isinf(value) else Status.OK
    return None, value if isinstance(value, str) else to_json(value), Status.OK


def _whole_metric(name: str, entry: Any) -> tuple:
    """Return the row of a metric of a whole run."""
    value, text, status = _metric(entry)
    return None, 0, name, value, None, None, text, status


class _Contents:
    """A record as the rows that hold it, made before the transaction begins."""

    def __init__(self, iteration: int, record: Record) -> None:
        text = to_json(record.summary)
        self.summary = from_json(text)
        self.record = [(iteration, 0, text, to_json(record.config))]
        self.metrics = [
            (iteration, 0, name, value, *self._interval(name), text, status)
            for name, entry in self.summary.items()
            if not _is_of_another(self.summary, name)
            for value, text, status in [_metric(entry)]
        ]
        self.fields = [(iteration, 0, *_array(entry)) for entry in record.fields.values()]

    def _interval(self, name: str) -> tuple[float | None, float | None]:
        """Return the ends of an entry's interval."""
        interval = self.summary.get(f"{name}_interval")
        return (interval[0], interval[1]) if _is_interval(interval) else (None, None)


def _array(entry: Field) -> tuple:
    """Return the columns of an array: its bytes in little-endian C order, and all that it takes to read them."""
    values = np.asarray(entry.values)
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(values.shape)
    status = None if entry.status is None else np.ascontiguousarray(entry.status, np.uint8).tobytes()
    axes, coords, shape = json.dumps(entry.axes), to_json(entry.coords), json.dumps(values.shape)
    return entry.name, axes, coords, entry.unit, values.dtype.str, shape, values.tobytes(), status


def _insert(connection: sqlite3.Connection, table: str, run_id: str, rows: list[tuple]) -> None:
    """Insert rows, each with the run before it."""
    if rows:
        marks = ", ".join("?" * (1 + len(rows[0])))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", [(run_id, *row) for row in rows])


def _known_sweep(connection: sqlite3.Connection, sweep: int) -> None:
    """Refuse a sweep that was never added."""
    if not connection.execute("SELECT 1 FROM sweep WHERE id = ?", (sweep,)).fetchone():
        raise ArgumentError(f"`sweep` must be the id of a sweep, got {sweep!r}. Take what `add_sweep` returned.")


def _known_run(connection: sqlite3.Connection, run_id: str) -> dict[str, Any]:
    """Return the configuration of a run, which must have been begun."""
    row = connection.execute("SELECT config FROM run WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise ArgumentError(f"`run_id` must be a run that has begun, got {run_id!r}. Call `start_run` first.")
    return from_json(row[0])


def _check_names(config: Mapping[str, Any], metrics: Iterable[str]) -> None:
    """Refuse a metric that could not be told from a parameter in the table."""
    clash = sorted(set(metrics) & {*config, *FIXED})
    if clash:
        raise ArgumentError(
            f"A metric must not be called {', '.join(clash)}: the table has a column of that name. "
            "Give it another name."
        )


def _members(connection: sqlite3.Connection, sweep: int | str | None, column: str) -> tuple[str, tuple]:
    """Return the clause that keeps the runs of a sweep."""
    if sweep is None:
        return "", ()
    rows = connection.execute("SELECT id, name FROM sweep").fetchall()
    ids = [number for number, name in rows if sweep in (number, name)]
    if not ids:
        names = dict.fromkeys(name for _, name in rows)
        remedy = "" if names else "The store holds no sweep yet."
        raise unknown("sweep", sweep, names, remedy)
    query = "SELECT run FROM member WHERE sweep IN (SELECT value FROM json_each(?))"
    return f"WHERE {column} IN ({query})", (json.dumps(ids),)


# The file ----------------------------------------------------------------------------------------------------------


def _check_place(path: Path, mode: str) -> None:
    """Refuse what cannot be a store before SQLite sees it."""
    if path.is_dir():
        raise StoreError(f"{path} must be a file, and is a folder. Name the file in it, e.g. {path / 'results.db'}.")
    if mode == "r" and not path.exists():
        raise StoreError(f"{path} must exist. Check the name, or make it with `gradscope sweep STUDY --store {path}`.")
    if mode == "w" and not path.absolute().parent.is_dir():
        raise StoreError(f"{path} must lie in a folder that exists. Make it with `mkdir -p {path.parent}`.")


def _size(path: Path) -> int:
    """Return the size of a file in bytes, 0 when there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _tables(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the tables of a file."""
    return [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]


def _check_ours(path: Path, connection: sqlite3.Connection, empty: bool) -> None:
    """Refuse a file that another program wrote or that a newer version did; ``empty`` is whether it may be empty."""
    tables = _tables(connection)
    if not tables:
        if empty:
            return
        raise StoreError(
            f"{path} must hold a sweep, and is empty. Fill it with `gradscope sweep STUDY --store {path}`."
        )
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        some = ", ".join(tables[:3]) + (", ..." if len(tables) > 3 else "")
        raise StoreError(
            f"{path} must be a store of gradscope, and is a database of another program (with {some}). "
            "Give another file."
        )
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    if schema > SCHEMA:
        raise StoreError(
            f"{path} has schema {schema}, this gradscope reads {SCHEMA}. Upgrade with `pip install -U gradscope`."
        )


def _make_tables(connection: sqlite3.Connection) -> None:
    """Make a new file ours, unless another program has just done it."""
    connection.execute("BEGIN IMMEDIATE")
    if not _tables(connection):
        for statement in TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint").fetchall()  # a copy without its WAL still has the tables


def _choose_journal(path: Path, connection: sqlite3.Connection) -> None:
    """Choose WAL where it works, else a rollback journal, and say so."""
    network = _network(path)
    wanted = "delete" if network else "wal"
    got = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()[0]
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if got == 'wal' else 'FULL'}")
    if got != "wal":
        where = (
            f"lies on a network file system ({network})" if network else "lies on a file system without shared memory"
        )
        warnings.warn(
            f"{path} {where}, where WAL does not work. It is written with journal_mode=DELETE: slower, and readers may "
            "wait for the writer. Keep the store on a local disk and copy it when the sweep has ended.",
            stacklevel=4,
        )


def _network(path: Path) -> str | None:
    """Return the type of the network file system that a path lies on, None for a local one."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:  # not Linux
        return None
    folder = str(path.resolve().parent)
    longest, kind = "", ""
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4])
        if os.path.commonpath([folder, mount]) == mount and len(mount) >= len(longest):
            longest, kind = mount, after.split(" ")[0]
    return kind if kind.startswith(NETWORK) else None


_AGAIN = "Give the command of its sweep again."
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "is locked by another program for over {timeout:g} s. Close it or wait, then try again.",
    sqlite3.SQLITE_LOCKED: "is locked by another program for over {timeout:g} s. Close it or wait, then try again.",
    sqlite3.SQLITE_READONLY: "cannot be written: the file or its folder is read-only. "
    "Allow it with `chmod u+w`, or copy the file to a folder of your own.",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: the file or its folder cannot be read or written. "
    "Check the permissions, or copy the file to a folder of your own.",
    sqlite3.SQLITE_PERM: "cannot be opened: no permission. Copy the file to a folder of your own.",
    sqlite3.SQLITE_NOTADB: "must be a store of gradscope, and is no SQLite file. Give the file that a sweep wrote.",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full. Free some space, then give the same command again.",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error. Check the disk, or copy the file.",
}


def _explain(path: Path, error: sqlite3.DatabaseError, timeout: float) -> StoreError:
    """Return our error for one of SQLite's."""
    code = _code(error)
    if code in _REMEDIES:
        return StoreError(f"{path} {_REMEDIES[code].format(timeout=timeout)} (SQLite: {error})")
    return _damaged(path, str(error))


def _code(error: sqlite3.DatabaseError) -> int:
    """Return SQLite's primary code of an error."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _damaged(path: Path, what: str) -> StoreError:
    """Return the error for a file whose contents are not as they were written."""
    return StoreError(
        f"{path} is damaged ({what}). Save what is left with `sqlite3 {path} .recover | sqlite3 saved.db`."
    )


@functools.cache
def _versions() -> str:
    """Return the versions that numbers depend on, as JSON."""
    packages = ("gradscope", "numpy", "scipy", "autograd")
    found = {name: importlib.metadata.version(name) for name in packages}
    return json.dumps({"python": platform.python_version(), **found})
