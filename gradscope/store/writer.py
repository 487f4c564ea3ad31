"""Writer: the store itself, which can be asked and, opened for it, written."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import platform
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradscope.errors import ArgumentError, StoreError, unknown
from gradscope.record import Record, from_json, to_json
from gradscope.store import schema
from gradscope.store.file import AGAIN, check_ours, check_place, choose_journal
from gradscope.store.overview import FIXED, Overview
from gradscope.store.owners import Owner, this_process
from gradscope.store.reader import TIMEOUT, Reader
from gradscope.store.rows import WHOLE, Results

__all__ = ["Store"]

HELD = """SELECT r.status, r.owner, host, space, pid, max(r.heartbeat, ifnull(o.heartbeat, 0)), r.number
          FROM run r LEFT JOIN owner o ON o.token = r.owner WHERE r.id = ?"""


class Store(Reader):
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
        super().__init__(path, timeout)
        self.mode = mode
        self._overview, self._version = Overview(), -1
        check_place(self.path, mode)
        with self._explained():
            if mode == "w":
                self._connection = self._open_for_writing()
                self._stamp = self._seen()
            else:
                self._open_for_reading()

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

    def plan(self, sweep: int, run_ids: Iterable[str]) -> None:
        """Note which runs a sweep asks for, before they begin: so a reader knows how many there will be.

        Each of them waits until :meth:`start_run` or :meth:`claim` begins it, whichever sweep that is for. What was
        planned for the sweep before is forgotten.

        Parameters
        ----------
        sweep : int
            From :meth:`add_sweep`.
        run_ids : iterable of str
            Those that have begun already are left out.
        """
        with self._writing() as connection:
            _known_sweep(connection, sweep)
            connection.execute("DELETE FROM waiting WHERE sweep = ?", (sweep,))
            query = """INSERT OR IGNORE INTO waiting
                       SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM run WHERE id = ?1)"""
            connection.executemany(query, [(run_id, sweep) for run_id in run_ids])

    def add_owner(self) -> str:
        """Note that this process will carry out runs, and return the token that says so; see :meth:`beat`."""
        owner, now = this_process(), time.time()
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO owner VALUES (?, ?, ?, ?, ?, ?)",
                (owner.token, owner.host, owner.space, owner.pid, now, now),
            )
        return owner.token

    def beat(self, owner: str) -> None:
        """Note that an owner is alive: whoever stays silent for a minute loses its runs to the next who asks."""
        with self._writing() as connection:
            connection.execute("UPDATE owner SET heartbeat = ? WHERE token = ?", (time.time(), owner))

    def start_run(self, run_id: str, sweep: int, config: Mapping[str, Any], owner: str | None = None) -> None:
        """Note that a run has begun; one that exists is begun once more, and its attempts are counted.

        What an earlier attempt has finished stays readable until there is something newer; what an unfinished one
        left is removed.

        Parameters
        ----------
        run_id : str
            The same for the same configuration, data and probes.
        sweep : int
            From :meth:`add_sweep`.
        config : dict
            The parameters, flat. None of them may be called like a column of :meth:`table` (``status``, ...).
        owner : str, optional
            From :meth:`add_owner`: who carries it out.
        """
        with self._writing() as connection:
            _known_sweep(connection, sweep)
            self._start(connection, run_id, sweep, config, owner)

    def claim(self, sweep: int, runs: Mapping[str, Mapping[str, Any]], owner: str) -> dict[str, str]:
        """Begin those runs that nobody else has finished or is carrying out.

        Parameters
        ----------
        sweep : int
            From :meth:`add_sweep`; all of the runs become its members.
        runs : dict
            Configurations by the id of the run.
        owner : str
            From :meth:`add_owner`.

        Returns
        -------
        dict of str to str
            For each run ``"ours"`` (it has begun), ``"done"`` (it was finished before) or ``"held"``: another living
            owner carries it out, or did until less than a minute ago.
        """
        answers = {}
        with self._writing() as connection:
            _known_sweep(connection, sweep)
            for run_id, config in runs.items():
                found = connection.execute(HELD, (run_id,)).fetchone()
                answers[run_id] = "ours" if found is None else _standing(found, owner)
                if answers[run_id] == "ours":
                    self._start(connection, run_id, sweep, config, owner)
                else:
                    connection.execute("INSERT OR IGNORE INTO member VALUES (?, ?)", (sweep, found[-1]))
        return answers

    def _start(
        self, connection: sqlite3.Connection, run_id: str, sweep: int, config: Mapping[str, Any], owner: str | None
    ) -> None:
        """Write that a run has begun."""
        clash = sorted(set(config) & set(FIXED))
        if clash:
            raise ArgumentError(
                f"`config` must not have a parameter called {', '.join(clash)}: the table has a column of that name. "
                "Give it another name."
            )
        now, text = time.time(), to_json(config)
        query = """SELECT config, status = 'done' OR o.iteration IS NOT NULL FROM run r
                   LEFT JOIN overview_last o ON o.run = r.number WHERE r.id = ?"""
        before = connection.execute(query, (run_id,)).fetchone()
        if before is None:
            connection.execute("DELETE FROM waiting WHERE run = ?", (run_id,))
        elif not before[1]:  # an unfinished attempt
            _clear(connection, run_id)
        number = connection.execute(
            """INSERT INTO run (id, sweep, config, status, owner, started, heartbeat, attempts, versions)
               VALUES (?, ?, ?, 'running', ?, ?, ?, 1, ?)
               ON CONFLICT (id) DO UPDATE SET
                   sweep = excluded.sweep, config = excluded.config, status = 'running', owner = excluded.owner,
                   started = excluded.started, heartbeat = excluded.heartbeat, attempts = attempts + 1,
                   error = NULL, seconds = NULL, versions = excluded.versions
               RETURNING number""",
            (run_id, sweep, text, owner, now, now, _versions()),
        ).fetchone()[0]
        connection.execute("INSERT OR IGNORE INTO member VALUES (?, ?)", (sweep, number))
        if before is None:
            self._overview.write(connection, number, from_json(text), [], {})
        elif before[0] != text:
            self._overview.refresh(connection, number)

    def include(self, sweep: int, run_ids: Iterable[str]) -> None:
        """Note that a sweep also asked for runs that exist already, e.g. finished by another sweep."""
        with self._writing() as connection:
            _known_sweep(connection, sweep)
            query = "INSERT OR IGNORE INTO member SELECT ?, number FROM run WHERE id = ?"
            connection.executemany(query, [(sweep, run_id) for run_id in run_ids])

    def finish_run(
        self,
        run_id: str,
        records: Mapping[int, Record],
        metrics: Mapping[str, float | str | None] | None = None,
        seconds: float | None = None,
        curves: Mapping[str, Mapping[int, float]] | None = None,
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
        curves : dict
            Numbers of single iterations, e.g. ``{"validation_loss": {100: 0.7, 200: 0.5}}``.

        Raises
        ------
        ArgumentError
            For a run that was not begun, or a metric called like a parameter of the run.
        """
        self.finish_runs({run_id: Results(records, metrics, curves, seconds)})

    def finish_runs(self, results: Mapping[str, Results], owner: str | None = None) -> set[str]:
        """Write what several runs have measured and mark them done, all in one transaction.

        Parameters
        ----------
        results : dict of str to Results
            By the id of the run.
        owner : str, optional
            Whose runs they are; those that another has taken over since are left to it.

        Returns
        -------
        set of str
            The runs that were written.

        Raises
        ------
        ArgumentError
            As :meth:`finish_run` does; nothing is written then.
        """
        written = set()
        with self._writing() as connection:
            for run_id, found in results.items():
                number, config, holder = _known_run(connection, run_id)
                if owner is None or holder == owner:
                    self._finish(connection, run_id, number, config, found)
                    written.add(run_id)
        return written

    def add_records(self, results: Mapping[str, Results], owner: str | None = None) -> set[str]:
        """Write what runs under way have measured so far, all in one transaction; they stay running.

        A record takes the place of one of the same iteration, a curve that of one of the same name, and an array over
        the iterations of the training, which grows, that of the same name in an earlier record. The first of them
        replaces what an earlier attempt has finished. :meth:`finish_runs` replaces them all; of a run that fails or is
        interrupted they stay, until it begins anew. The overview, and so :meth:`page` and :meth:`table` for the first
        or last iteration, tells of finished runs alone.

        Parameters
        ----------
        results : dict of str to Results
            By the id of the run; without metrics of the run as a whole, which belong to its end.
        owner : str, optional
            Whose runs they are; those that another has taken over since, or that are not running, are left alone.

        Returns
        -------
        set of str
            The runs that were written.

        Raises
        ------
        ArgumentError
            For a run that was not begun, or a metric of a run as a whole; nothing is written then.
        """
        written = set()
        with self._writing() as connection:
            for run_id, found in results.items():
                number, config, holder = _known_run(connection, run_id)
                if found.whole:
                    raise ArgumentError(
                        f"`results` must hold no metrics of a run that is under way, got {', '.join(found.whole)}. "
                        "Give them to `finish_runs`."
                    )
                status = connection.execute("SELECT status FROM run WHERE number = ?", (number,)).fetchone()[0]
                if status == "running" and (owner is None or holder == owner):
                    self._extend(connection, run_id, number, config, found)
                    written.add(run_id)
        return written

    def _extend(
        self, connection: sqlite3.Connection, run_id: str, number: int, config: dict[str, Any], results: Results
    ) -> None:
        """Add to what the file holds of a run that is under way."""
        query = "SELECT 1 FROM overview_last WHERE run = ? AND iteration IS NOT NULL"
        if connection.execute(query, (number,)).fetchone():
            _clear(connection, run_id)
            self._overview.write(connection, number, config, [], {})
        for iteration in {row[0] for row in results.rows["record"]}:
            for table in results.rows:
                connection.execute(f"DELETE FROM {table} WHERE run = ? AND iteration = ?", (run_id, iteration))
        for name in results.curves:
            query = "DELETE FROM metric WHERE run = ? AND name = ? AND layer = ? AND iteration IS NOT NULL"
            connection.execute(query, (run_id, name, WHOLE))
        for layer, name in results.over_iterations():
            query = "DELETE FROM field WHERE run = ? AND name = ? AND layer = ?"
            connection.execute(query, (run_id, name, layer))
        for table, rows in results.rows.items():
            _insert(connection, table, run_id, rows)
        connection.execute("UPDATE run SET heartbeat = ? WHERE number = ?", (time.time(), number))

    def _finish(
        self, connection: sqlite3.Connection, run_id: str, number: int, config: dict[str, Any], results: Results
    ) -> None:
        """Replace what the file holds of a run."""
        for _, summary in results.summaries:
            _check_names(config, summary)
        _check_names(config, results.whole)
        _clear(connection, run_id)
        for table, rows in results.rows.items():
            _insert(connection, table, run_id, rows)
        self._overview.write(connection, number, config, results.summaries, results.whole_as_read())
        connection.execute(
            "UPDATE run SET status = 'done', heartbeat = ?, error = NULL, seconds = ? WHERE number = ?",
            (time.time(), results.seconds, number),
        )

    def fail_run(self, run_id: str, error: str, seconds: float | None = None, owner: str | None = None) -> None:
        """Mark a run as failed, with the error that ended it; nothing where another owner has taken it over.

        What it has measured until then stays.
        """
        with self._writing() as connection:
            number, _, holder = _known_run(connection, run_id)
            if owner is None or holder == owner:
                connection.execute(
                    "UPDATE run SET status = 'failed', heartbeat = ?, error = ?, seconds = ? WHERE number = ?",
                    (time.time(), error.encode(errors="replace").decode(), seconds, number),
                )

    def interrupt(self, owner: str) -> int:
        """Mark the runs that an owner has under way as interrupted, and return how many there were.

        The next sweep that asks for one of them carries it out.
        """
        with self._writing() as connection:
            query = "UPDATE run SET status = 'interrupted', heartbeat = ? WHERE status = 'running' AND owner = ?"
            return connection.execute(query, (time.time(), owner)).rowcount

    # Inside ------------------------------------------------------------------------------------------------------

    def _open_for_writing(self) -> sqlite3.Connection:
        """Open or create a file, choose its journal, make its tables or bring them up to date."""
        connection = self._connect("mode=rwc")
        try:
            check_ours(self.path, connection, empty=True)
            choose_journal(self.path, connection)
            if not schema.tables(connection):
                schema.make(connection)
            elif schema.version(connection) < schema.SCHEMA:
                schema.migrate(connection, Overview().refresher(connection))
        except BaseException:
            connection.close()
            raise
        return connection

    def _replaced(self) -> None:
        if self.mode == "w":
            raise StoreError(f"{self.path} must stay, and was replaced while it was written. {AGAIN}")
        super()._replaced()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Do everything inside in one transaction, or nothing of it."""
        with self._lock, self._explained():
            if self.mode != "w":
                raise StoreError(f"{self.path} is open for reading. Open it with `Store(path, mode='w')` to write.")
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                version = connection.execute("PRAGMA data_version").fetchone()[0]
                if version != self._version:
                    self._overview.forget()  # another process may have added columns
                    self._version = version
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                self._overview.forget()
                raise


def _standing(found: tuple, owner: str) -> str:
    """Return whether a run that exists is done, held by another, or may be begun."""
    status, holder, host, space, pid, heartbeat, _ = found
    if status != "running" or holder == owner:
        return "done" if status == "done" else "ours"
    silent = Owner(holder or "", host or "", space or "", pid or 0).is_silent(heartbeat, time.time())
    return "ours" if silent else "held"


def _clear(connection: sqlite3.Connection, run_id: str) -> None:
    """Remove what the file holds of what a run has measured, its overview aside."""
    for table in ("record", "metric", "field"):
        connection.execute(f"DELETE FROM {table} WHERE run = ?", (run_id,))


def _insert(connection: sqlite3.Connection, table: str, run_id: str, rows: list[tuple]) -> None:
    """Insert rows of a run."""
    if rows:
        columns = "(run, iteration, layer, summary, config)" if table == "record" else ""
        marks = ", ".join("?" * (1 + len(rows[0])))
        connection.executemany(f"INSERT INTO {table} {columns} VALUES ({marks})", [(run_id, *row) for row in rows])


def _known_sweep(connection: sqlite3.Connection, sweep: int) -> None:
    """Refuse a sweep that was never added."""
    if not connection.execute("SELECT 1 FROM sweep WHERE id = ?", (sweep,)).fetchone():
        raise ArgumentError(f"`sweep` must be the id of a sweep, got {sweep!r}. Take what `add_sweep` returned.")


def _known_run(connection: sqlite3.Connection, run_id: str) -> tuple[int, dict[str, Any], str | None]:
    """Return number, configuration and owner of a run, which must have been begun."""
    row = connection.execute("SELECT number, config, owner FROM run WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise ArgumentError(f"`run_id` must be a run that has begun, got {run_id!r}. Call `start_run` first.")
    return row[0], from_json(row[1]), row[2]


def _check_names(config: Mapping[str, Any], metrics: Iterable[str]) -> None:
    """Refuse a metric that could not be told from a parameter in the table."""
    clash = sorted(set(metrics) & {*config, *FIXED})
    if clash:
        raise ArgumentError(
            f"A metric must not be called {', '.join(clash)}: the table has a column of that name. "
            "Give it another name."
        )


@functools.cache
def _versions() -> str:
    """Return the versions that numbers depend on, as JSON."""
    packages = ("gradscope", "numpy", "scipy", "autograd")
    found = {name: importlib.metadata.version(name) for name in packages}
    return json.dumps({"python": platform.python_version(), **found})
