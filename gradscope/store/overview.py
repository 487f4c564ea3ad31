"""Overview: a row for each run with every parameter and metric, kept up to date as runs finish.

A hundred thousand runs are too many to be read whole each time that somebody looks. Here SQL filters, sorts and
counts them; :class:`Page` is what one look needs.
"""

from __future__ import annotations

import functools
import json
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradscope.errors import unknown
from gradscope.record import from_json, to_json
from gradscope.store.conditions import Condition, unknown_name
from gradscope.store.rows import WHOLE, flat, metrics_by_run

__all__ = [
    "FIXED",
    "MOST_COLUMNS",
    "WHICH",
    "Names",
    "Overview",
    "Page",
    "Selection",
    "Span",
    "known_columns",
    "members",
]

FIXED = ("run", "sweep", "status", "iteration", "seconds", "heartbeat", "attempts", "error")
"""Columns of :meth:`Store.table` that are neither a parameter nor a metric."""
WHICH = ("first", "last")
MOST_COLUMNS = 1500  # SQLite allows 2,000 in a table; what goes beyond is kept as JSON
TOGETHER = 200  # columns in one question
OWN = ("run", "iteration", "names", "exact")  # columns that every overview has
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,62}")

STATE = "CASE r.status WHEN 'running' THEN state(r.owner) ELSE r.status END"
HEARTBEAT = """CASE r.status WHEN 'running'
    THEN max(r.heartbeat, ifnull((SELECT heartbeat FROM owner WHERE token = r.owner), 0)) ELSE r.heartbeat END"""
_EXPRESSIONS = {
    "run": "r.id",
    "sweep": "r.sweep",
    "status": f"({STATE})",
    "iteration": "o.iteration",
    "seconds": "r.seconds",
    "heartbeat": f"({HEARTBEAT})",
    "attempts": "r.attempts",
    "error": "r.error",
}


@dataclass(frozen=True)
class Page:
    """Some rows of a table and what they are some of.

    Attributes
    ----------
    rows : list of dict
        As :meth:`Store.table` returns them.
    count : int
        Runs that fulfil the conditions, on this page or not.
    total : int
        Runs of the sweep, whatever the conditions.
    statuses : dict of str to int
        How many of the ``count`` runs are done, running, failed, interrupted.
    parameters : tuple of str
        Which columns of the rows are parameters.
    """

    rows: list[dict[str, Any]]
    count: int
    total: int
    statuses: dict[str, int]
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Names:
    """The parameters and metrics that the rows of a selection have, in order; whether any was measured."""

    parameters: tuple[str, ...]
    metrics: tuple[str, ...]
    measured: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the table."""
        return (*FIXED, *self.parameters, *self.metrics)


@dataclass(frozen=True)
class Span:
    """What the values of a column are.

    Attributes
    ----------
    count : int
        Rows that have a value.
    numbers : int
        Rows whose value is a number, NaN and infinities included.
    same : bool
        Whether all rows have the same value; a row without one differs from a row that has one.
    least, most : object
        Of the numbers, or of the words where there are some, in the order of the alphabet; None where there is none.
        NaN, lists and truth values among numbers are left out unless they are all that there is.
    """

    count: int
    numbers: int
    same: bool
    least: Any
    most: Any


class Selection:
    """Rows of an overview: the clauses that choose them, and how to read them.

    Parameters
    ----------
    which : {"first", "last"}
        Which record of each run.
    within : str
        A condition on ``o.run`` that keeps the runs of a sweep, or "".
    arguments : sequence
        Its arguments.
    known : dict of str to bool
        The names that have a column, and whether it holds truth values.
    """

    def __init__(self, which: str, within: str, arguments: Sequence[Any], known: Mapping[str, bool]) -> None:
        self.which, self.known = which, known
        self.conditions: list[Condition] = []
        self._within, self._arguments = within, list(arguments)

    def expression(self, name: str) -> str | None:
        """Return what stands for a column of the table in SQL, None for one that is kept as JSON."""
        return _EXPRESSIONS.get(name) or (f"o.{_quoted(name)}" if name in self.known else None)

    def source(self, columns: Sequence[str] = (), conditions: bool = True) -> tuple[str, list[Any]]:
        """Return ``FROM ... WHERE ...`` for some columns, and its arguments."""
        clauses, arguments = ([self._within] if self._within else []), list(self._arguments)
        for number, condition in enumerate(self.conditions if conditions else ()):
            column = self.expression(condition.key)
            if column is None:
                plain, some = ("1" if condition.holds(None) else "0"), list[Any]()
            else:
                plain, some = condition.in_sql(column, self.known.get(condition.key, False))
            if condition.key not in _EXPRESSIONS:
                # A row whose JSON has the name is judged by it, any other by its column.
                plain = f"CASE WHEN o.exact IS NULL THEN {plain} ELSE ifnull(judged(o.exact, {number}), {plain}) END"
                some = [*some, *some]
            clauses.append(plain)
            arguments += some
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        named = {*columns, *(condition.key for condition in self.conditions if conditions)}
        join = "" if named.isdisjoint(_EXPRESSIONS) else "JOIN run r ON r.number = o.run"
        return f"FROM overview_{self.which} o {join} {where}", arguments

    def judge(self, exact: str, number: int) -> bool | None:
        """Return whether a condition holds for a row by what its JSON says, None where that says nothing."""
        condition, values = self.conditions[number], from_json(exact)
        return condition.holds(values[condition.key]) if condition.key in values else None

    def names(self, connection: sqlite3.Connection) -> Names:
        """Return the names that the rows have, whatever the conditions."""
        source, arguments = self.source(conditions=False)
        found = connection.execute(
            f"""SELECT parameters, metrics, measured FROM
                    (SELECT o.names id, min(o.run) first, max(o.iteration IS NOT NULL) measured {source} GROUP BY 1)
                JOIN overview_names USING (id) ORDER BY first""",
            arguments,
        ).fetchall()
        parameters = dict.fromkeys(name for row in found for name in json.loads(row[0]))
        metrics = dict.fromkeys(name for row in found for name in json.loads(row[1]))
        return Names(tuple(parameters), tuple(metrics), any(row[2] for row in found))

    def check(self, conditions: list[Condition], names: Names) -> bool:
        """Take the conditions; return False when they can choose nothing, for want of measured runs.

        Raises
        ------
        ArgumentError
            For a name that no row has although there are measured ones.
        """
        self.conditions = conditions
        for condition in conditions:
            if condition.key not in names.columns:
                if not names.measured:
                    return False
                raise unknown_name("where", condition.key, names.columns, FIXED)
        return True

    def rows(
        self,
        connection: sqlite3.Connection,
        columns: Sequence[str],
        order: str = "ORDER BY o.run",
        by: str = "",
        some: tuple[int, int] | None = None,
    ) -> list[Sequence[Any]]:
        """Return the values of some columns, a list for each row, exactly as they were given to the store.

        With ``some``, (limit, offset), only those rows of the order, which is ``by`` a column or by none.
        """
        wanted = [self.expression(name) or "NULL" for name in columns]
        source, arguments = self.source(columns)
        if some is not None:  # chosen first: only the rows of a page are read whole, not all that are sorted
            chosen, arguments = self.source([by])
            source = f"FROM overview_{self.which} o JOIN run r ON r.number = o.run"
            source += f" WHERE o.run IN (SELECT o.run {chosen} {order} LIMIT ? OFFSET ?)"
        query = f"SELECT {', '.join(wanted)}, o.exact {source} {order}"
        found = connection.execute(query, [*arguments, *(some or ())]).fetchall()
        booleans = [place for place, name in enumerate(columns) if self.known.get(name)]
        rows: list[Sequence[Any]] = []
        for found_row in found:
            if found_row[-1] is None and not booleans:
                rows.append(found_row[:-1])
                continue
            *row, exact = found_row
            for place in booleans:
                if row[place] is not None:
                    row[place] = bool(row[place])
            if exact is not None:
                values = from_json(exact)
                row = [values.get(name, value) for name, value in zip(columns, row, strict=True)]
            rows.append(row)
        return rows

    def spans(self, connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, Span]:
        """Return what the values of some columns are, whatever the conditions."""
        source, arguments = self.source(conditions=False)
        (total,) = connection.execute(f"SELECT count(*) {source}", arguments).fetchone()
        and_where = "AND" if self._within else "WHERE"
        query = f"SELECT o.exact, count(*) {source} {and_where} o.exact IS NOT NULL GROUP BY 1"
        besides: dict[str, dict[str, Any]] = {name: {} for name in names}  # values by their JSON
        counts, numbers = Counter[str](), Counter[str]()
        for exact, runs in connection.execute(query, arguments).fetchall():
            for name, value in from_json(exact).items():
                if name in besides:
                    besides[name][to_json(value)] = value
                    counts[name] += runs
                    numbers[name] += runs * (type(value) in (int, float))
        found: dict[str, Sequence[Any]] = dict.fromkeys(names, (0, 0, None, None))
        known = [name for name in names if name in self.known]
        for start in range(0, len(known), TOGETHER):
            some = known[start : start + TOGETHER]
            wanted = ", ".join(
                f"count({c}), sum(typeof({c}) IN ('integer', 'real')), min({c}), max({c})"
                for c in (f"o.{_quoted(name)}" for name in some)
            )
            row = connection.execute(f"SELECT {wanted} {source}", arguments).fetchone()
            found |= {name: row[4 * place : 4 * place + 4] for place, name in enumerate(some)}
        spans = {}
        for name, (count, numeric, least, most) in found.items():
            if self.known.get(name) and count:
                numeric, least, most = 0, bool(least), bool(most)
            values = list(besides[name].values())
            same = least == most and len(values) + (count > 0) <= 1 and count + counts[name] in (0, total)
            if values and not count:
                least, most = values[0], values[-1]
            spans[name] = Span(count + counts[name], (numeric or 0) + numbers[name], same, least, most)
        return spans

    def order(self, order: str | None, names: Names) -> str:
        """Return the clause that sorts: by a column, from the least; by ``-column`` from the most; none last."""
        if order is None:
            return "ORDER BY o.run"
        name = order.removeprefix("-")
        if name not in names.columns:
            raise unknown_name("order", name, names.columns, FIXED)
        column = self.expression(name)
        if column is None:
            raise unknown("order", name, [*FIXED, *(key for key in names.columns if key in self.known)])
        if name not in _EXPRESSIONS:
            column = f"ifnull({column}, {_kept_as_json(name)})"
        return f"ORDER BY {column} IS NULL, {column} {'DESC' if order.startswith('-') else 'ASC'}, o.run"


class Overview:
    """Keeps the overviews of a file that is open for writing."""

    def __init__(self) -> None:
        self._known: dict[str, bool] | None = None

    def forget(self) -> None:
        """Read anew which columns there are: another process, or a transaction undone, may have changed them."""
        self._known = None

    def write(
        self,
        connection: sqlite3.Connection,
        number: int,
        parameters: Mapping[str, Any],
        records: Sequence[tuple[int, Mapping[str, Any]]],
        whole: Mapping[str, Any],
    ) -> None:
        """Write the rows of one run.

        Parameters
        ----------
        connection : sqlite3.Connection
            In a transaction.
        number : int
            Of the run.
        parameters : dict
            Its configuration.
        records : sequence of (int, dict)
            Iteration and summary, ascending; empty before the run has finished.
        whole : dict
            Its metrics as they will be read.
        """
        nothing: tuple[int | None, Mapping[str, Any]] = (None, {})
        for which, place in (("first", 0), ("last", -1)):
            iteration, summary = records[place] if records else nothing
            metrics = flat(dict(summary)) | dict(whole)
            names = self._names(connection, list(parameters), list(metrics))
            row: dict[str, Any] = {"run": number, "iteration": iteration, "names": names}
            exact = {}
            for name, value in (dict(parameters) | metrics).items():
                if value is None:
                    continue
                if self._fits(connection, name, value):
                    row[name] = value
                else:
                    exact[name] = value
            row["exact"] = to_json(exact) if exact else None
            marks = ", ".join("?" * len(row))
            query = f"INSERT OR REPLACE INTO overview_{which} ({', '.join(map(_quoted, row))}) VALUES ({marks})"
            connection.execute(query, list(row.values()))

    def refresh(self, connection: sqlite3.Connection, number: int) -> None:
        """Write the rows of a run from what the other tables hold of it."""
        run_id, config = connection.execute("SELECT id, config FROM run WHERE number = ?", (number,)).fetchone()
        query = "SELECT iteration, summary FROM record WHERE run = ? AND layer = ? ORDER BY iteration"
        records = connection.execute(query, (run_id, WHOLE)).fetchall()
        query = "SELECT run, name, value, text, status FROM metric WHERE run = ? AND iteration IS NULL ORDER BY rowid"
        whole = metrics_by_run(connection.execute(query, (run_id,)).fetchall()).get(run_id, {})
        summaries = [(iteration, from_json(text)) for iteration, text in records]
        self.write(connection, number, from_json(config), summaries, whole)

    def refresher(self, connection: sqlite3.Connection) -> Callable[[int], None]:
        """Return :meth:`refresh` for the runs of one file."""
        return functools.partial(self.refresh, connection)

    def _names(self, connection: sqlite3.Connection, parameters: list[str], metrics: list[str]) -> int:
        """Return the id of a pair of lists of names."""
        pair = (json.dumps(parameters), json.dumps(metrics))
        query = "SELECT id FROM overview_names WHERE parameters = ? AND metrics = ?"
        found = connection.execute(query, pair).fetchone()
        if found is None:
            query = "INSERT INTO overview_names (parameters, metrics) VALUES (?, ?) RETURNING id"
            found = connection.execute(query, pair).fetchone()
        return found[0]

    def _fits(self, connection: sqlite3.Connection, name: str, value: Any) -> bool:
        """Return whether a value comes back from the column of its name as it is; make the column if need be."""
        if self._known is None:
            self._known = known_columns(connection)
        if name not in self._known:
            if not self._is_free(name):
                return False
            boolean = isinstance(value, bool)
            for which in WHICH:
                connection.execute(f"ALTER TABLE overview_{which} ADD COLUMN {_quoted(name)}")
            connection.execute("INSERT INTO overview_column VALUES (?, ?)", (name, boolean))
            self._known[name] = boolean
        if self._known[name] or isinstance(value, bool):
            return self._known[name] and isinstance(value, bool)
        if isinstance(value, int):
            return abs(value) < 2**63
        if isinstance(value, float):
            return not math.isnan(value) and (value != 0 or math.copysign(1, value) > 0)
        return isinstance(value, str) and "\0" not in value and value.isprintable()

    def _is_free(self, name: str) -> bool:
        """Return whether a name can be that of a new column; SQLite does not tell cases apart."""
        known = self._known or {}
        taken = {*OWN, *(key.lower() for key in known)}
        return _PLAIN.fullmatch(name) is not None and name.lower() not in taken and len(known) < MOST_COLUMNS


def known_columns(connection: sqlite3.Connection) -> dict[str, bool]:
    """Return the names that have a column, and whether it holds truth values."""
    return {name: bool(truth) for name, truth in connection.execute("SELECT * FROM overview_column").fetchall()}


def members(connection: sqlite3.Connection, sweep: int | str | None, column: str) -> tuple[str, tuple]:
    """Return the condition that keeps the runs of a sweep, and its arguments."""
    if sweep is None:
        return "", ()
    rows = connection.execute("SELECT id, name FROM sweep").fetchall()
    ids = [number for number, name in rows if sweep in (number, name)]
    if not ids:
        names = dict.fromkeys(name for _, name in rows)
        remedy = "" if names else "The store holds no sweep yet."
        raise unknown("sweep", sweep, names, remedy)
    if len(ids) == len(rows):  # every run belongs to a sweep, so these are all
        return "", ()
    query = "SELECT run FROM member WHERE sweep IN (SELECT value FROM json_each(?))"
    return f"{column} IN ({query})", (json.dumps(ids),)


def _kept_as_json(name: str) -> str:
    """Return what sorts a value that its column cannot hold, such as -0.0; NaN is an object there and no value."""
    place = f"""'$."{name}"'"""
    return f"CASE WHEN json_type(o.exact, {place}) <> 'object' THEN json_extract(o.exact, {place}) END"


def _quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
