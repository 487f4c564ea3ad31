"""Schema: the tables of a store, and how a file of an older schema becomes one of this.

::

    sweep  (id, name, spec, created, versions)
    owner  (token, host, space, pid, started, heartbeat)     a process that carries out runs, and its last sign of life
    run    (number, id, sweep, status, owner, started, heartbeat, attempts, seconds, error, config, versions)
    member (sweep, run)              which runs (by number) a sweep asked for; two sweeps may share a run
    waiting (run, sweep)             runs (by id) that a sweep asked for and that nobody has begun yet
    record (id, run, iteration, layer, summary, config)    one probe; iteration 0 is before training, layer 0 the whole
    metric (run, iteration, layer, name, value, low, high, text, status)   scalars; iteration NULL: of the whole run
    field  (run, iteration, layer, name, axes, coords, unit, dtype, shape, blob, status, reason)   arrays

    overview_last  (run, iteration, names, exact, one column for each parameter and metric)    the last record of a run
    overview_first (run, iteration, names, exact, ...)                                         its first record
    overview_column (name, boolean)               the names that have a column, and whether it holds truth values (0, 1)
    overview_names (id, parameters, metrics)      which names a row of an overview has

``metric`` holds the numbers of ``record.summary`` once more, one a row, for queries in SQL, and beside them scalars
of single iterations such as a validation loss. There NaN is NULL with its :class:`~gradscope.record.Status`;
infinities are SQLite's own. While a run is under way, these tables hold what it has measured so far. The overviews hold
the numbers of finished runs a third time, a row for each run, so that a hundred thousand runs are filtered, sorted and
counted in a moment; the row of any other run says its parameters and has no iteration. What SQLite has no value for
(NaN, a truth value among numbers) and names that make no column are in ``exact``, as JSON.

A newer schema is refused. An older one is brought up to date by the first writer, in one transaction; a reader sees it
as if it were, and leaves the file as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

__all__ = ["APPLICATION", "SCHEMA", "make", "migrate", "shadow", "tables", "version"]

APPLICATION = 0x67726473  # "grds" in the header of the file
SCHEMA = 3  #: The schema that this version reads and writes.

SWEEP = """
CREATE TABLE sweep (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, spec TEXT NOT NULL, created REAL NOT NULL, versions TEXT NOT NULL)
"""
OWNER = """
CREATE TABLE owner (
    token TEXT PRIMARY KEY NOT NULL, host TEXT NOT NULL, space TEXT NOT NULL, pid INTEGER NOT NULL,
    started REAL NOT NULL, heartbeat REAL NOT NULL)
"""
RUN = """
CREATE TABLE run (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, sweep INTEGER NOT NULL REFERENCES sweep (id),
    status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
    owner TEXT REFERENCES owner (token), started REAL NOT NULL, heartbeat REAL NOT NULL, attempts INTEGER NOT NULL,
    seconds REAL, error TEXT, config TEXT NOT NULL, versions TEXT NOT NULL)
"""
MEMBER = """
CREATE TABLE member (
    sweep INTEGER NOT NULL REFERENCES sweep (id), run INTEGER NOT NULL REFERENCES run (number),
    PRIMARY KEY (sweep, run)) WITHOUT ROWID
"""
WAITING = """
CREATE TABLE waiting (run TEXT NOT NULL, sweep INTEGER NOT NULL, PRIMARY KEY (run, sweep)) WITHOUT ROWID
"""
OVERVIEWS = """
CREATE TABLE overview_last (
    run INTEGER PRIMARY KEY REFERENCES run (number), iteration INTEGER, names INTEGER NOT NULL, exact TEXT);
CREATE TABLE overview_first (
    run INTEGER PRIMARY KEY REFERENCES run (number), iteration INTEGER, names INTEGER NOT NULL, exact TEXT);
CREATE TABLE overview_column (name TEXT PRIMARY KEY NOT NULL, boolean INTEGER NOT NULL);
CREATE TABLE overview_names (
    id INTEGER PRIMARY KEY, parameters TEXT NOT NULL, metrics TEXT NOT NULL, UNIQUE (parameters, metrics))
"""
RESULTS = """
CREATE TABLE record (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL REFERENCES run (id), iteration INTEGER NOT NULL,
    layer NOT NULL, summary TEXT NOT NULL, config TEXT NOT NULL);
CREATE TABLE metric (
    run TEXT NOT NULL REFERENCES run (id), iteration INTEGER, layer NOT NULL, name TEXT NOT NULL,
    value, low REAL, high REAL, text TEXT, status INTEGER NOT NULL);
CREATE TABLE field (
    run TEXT NOT NULL REFERENCES run (id), iteration INTEGER NOT NULL, layer NOT NULL, name TEXT NOT NULL,
    axes TEXT NOT NULL, coords TEXT NOT NULL, unit TEXT NOT NULL, dtype TEXT NOT NULL, shape TEXT NOT NULL,
    blob BLOB NOT NULL, status BLOB, reason TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX record_run ON record (run, iteration, layer);
CREATE INDEX metric_run ON metric (run, name);
CREATE INDEX metric_whole ON metric (run) WHERE iteration IS NULL;
CREATE INDEX field_run ON field (run, name);
CREATE INDEX field_name ON field (name, run)
"""
REASON = "ALTER TABLE field ADD COLUMN reason TEXT NOT NULL DEFAULT ''"
RUNNING = "CREATE INDEX run_running ON run (owner) WHERE status = 'running'"
STATUS = "CREATE INDEX run_status ON run (status, owner)"
NAMES = """
CREATE INDEX overview_last_names ON overview_last (names, run, iteration);
CREATE INDEX overview_first_names ON overview_first (names, run, iteration)
"""  # so that counting runs and finding their columns reads no whole row


def tables(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the tables of a file."""
    return [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]


def version(connection: sqlite3.Connection) -> int:
    """Return the schema of a file."""
    return connection.execute("PRAGMA user_version").fetchone()[0]


def make(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file, unless another program has just done it."""
    connection.execute("BEGIN IMMEDIATE")
    if not tables(connection):
        _run_all(connection, SWEEP, OWNER, RUN, MEMBER, WAITING, RESULTS, OVERVIEWS, RUNNING, STATUS, NAMES)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint").fetchall()  # a copy without its WAL still has the tables


def migrate(connection: sqlite3.Connection, refresh: Callable[[int], None]) -> None:
    """Bring an older file up to date, all in one transaction; ``refresh`` makes the overview of a run.

    Records, metrics and arrays stay where they are. Schema 1 did not keep why elements are missing, and schema 2 not
    which runs were still to begin.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = version(connection)  # somebody else may have done it meanwhile
        if found == 1:
            # The new tables take the old ones' names in the end: then whatever refers to `run` still does.
            _copy_from_1(connection, "main", "_2")
            for name in ("member", "run"):
                _run_all(connection, f"DROP TABLE {name}", f"ALTER TABLE {name}_2 RENAME TO {name}")
            _run_all(connection, "DROP INDEX IF EXISTS metric_name", REASON, OVERVIEWS, RUNNING, STATUS, NAMES)
            _refresh_all(connection, refresh)
        if found < SCHEMA:
            _run_all(connection, WAITING)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def shadow(connection: sqlite3.Connection, refresh: Callable[[int], None]) -> None:
    """Show an older file as one of this schema, without changing it: SQLite finds temporary tables before others."""
    connection.execute("BEGIN")
    try:
        _run_all(connection, WAITING.replace("CREATE TABLE", "CREATE TEMP TABLE"))
        if version(connection) == 1:
            _copy_from_1(connection, "temp", "")
            _run_all(connection, OVERVIEWS.replace("CREATE TABLE", "CREATE TEMP TABLE"))
            connection.execute("CREATE TEMP VIEW field AS SELECT rowid, *, '' reason FROM main.field")
            _refresh_all(connection, refresh)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _copy_from_1(connection: sqlite3.Connection, place: str, end: str) -> None:
    """Give runs numbers, owners and the status interrupted, in tables whose names have an end."""
    for text, name in ((OWNER, "owner"), (RUN, f"run{end}"), (MEMBER, f"member{end}")):
        connection.execute(text.replace(f"TABLE {name.removesuffix(end)}", f"TABLE {place}.{name}"))
    run = f"{place}.run{end}"
    connection.execute(
        f"""INSERT INTO {run}
                (number, id, sweep, status, started, heartbeat, attempts, seconds, error, config, versions)
            SELECT rowid, id, sweep, CASE WHEN error LIKE 'Interrupted.%' THEN 'interrupted' ELSE status END,
                   started, heartbeat, attempts, seconds, error, config, versions FROM main.run ORDER BY rowid"""
    )
    connection.execute(f"UPDATE {run} SET error = NULL WHERE status = 'interrupted'")
    connection.execute(
        f"INSERT INTO {place}.member{end} SELECT m.sweep, r.number FROM main.member m JOIN {run} r ON r.id = m.run"
    )


def _refresh_all(connection: sqlite3.Connection, refresh: Callable[[int], None]) -> None:
    """Make the overview of every run."""
    for (number,) in connection.execute("SELECT number FROM run ORDER BY number").fetchall():
        refresh(number)


def _run_all(connection: sqlite3.Connection, *statements: str) -> None:
    """Execute statements inside the transaction that is open, which `executescript` would end."""
    for text in statements:
        for statement in text.split(";"):
            connection.execute(statement)
