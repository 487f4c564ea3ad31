"""The rows of the table, some at a time: runs as the store has them, or groups of runs and the members of open ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from dash import Dash
from flask import Response, request

from gradscope.errors import GradscopeError
from gradscope.figures.settings import is_number, standing
from gradscope.figures.spreads import spread
from gradscope.figures.sweeps import condition, group_runs

from . import grid, words
from .address import parse
from .reader import Reader
from .sheet import Sheet, sheet
from .table import Table

__all__ = ["PATH", "Group", "answer", "cells", "groups", "register"]

PATH = "/overview/rows"


def register(app: Dash, reader: Reader) -> None:
    """Answer the table's requests for rows; what the browser has and is still right is not sent again."""

    @app.server.get(PATH)
    def rows() -> Response:
        search = request.query_string.decode()
        first, last = (request.args.get(name, 0, int) for name in ("first", "last"))
        try:
            body, status = answer(reader, search, first, last), 200
        except GradscopeError as error:
            body, status = {"error": str(error)}, 503
        response = Response(orjson.dumps(body), status, mimetype="application/json")
        response.headers["Cache-Control"] = "no-cache"
        response.add_etag()
        response.make_conditional(request)
        return response


def answer(reader: Reader, search: str, first: int, last: int) -> dict[str, Any]:
    """Return some rows of the table of a view, and how many there are.

    Parameters
    ----------
    reader : Reader
        The store.
    search : str
        The view, as in the link of the overview.
    first, last : int
        The rows from ``first`` up to ``last``, which is not among them.
    """
    now = sheet(reader, parse(search))
    first = max(first, 0)
    limit = min(max(last - first, 0), 10 * grid.BLOCK)
    if now.view.group:
        return _grouped(reader, now, first, limit)
    names = grid.shown(now.table, now.view)
    page = reader.page(now.view.when, now.view.sweep, now.where, now.view.sort, limit=limit, offset=first)
    return {"rows": [cells(row, names) for row in page.rows], "count": page.count}


def cells(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return one run as the table shows it: text, and numbers as they are read."""
    shown: dict[str, Any] = {"run": str(row["run"]), "status": row["status"], "verdict": row.get("verdict")}
    shown["verdict_text"] = words.verdict(str(row.get("verdict_text") or row.get("error") or row["status"]))
    seen = row.get("iteration") is not None or row["status"] == "running"
    shown["trained"] = bool(row.get("iterations")) and seen
    for name in names:
        value = row.get(name)
        shown[name] = None if value is None else words.setting(value)
        if is_number(value) and (interval := words.interval(row.get(f"{name}_low"), row.get(f"{name}_high"))):
            shown[f"{name}:interval"] = interval
    return shown


# Groups --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Runs that share the values of some parameters.

    Attributes
    ----------
    conditions : tuple of str
        By which the runs are found.
    runs : list of dict
        A few columns of each.
    """

    conditions: tuple[str, ...]
    runs: Sequence[Mapping[str, Any]]

    @property
    def key(self) -> str:
        """What names the group in a link."""
        return ";".join(self.conditions)


def groups(reader: Reader, now: Sheet) -> list[Group]:
    """Return the groups of a view in the order of its table."""
    view = now.view
    names = tuple(dict.fromkeys((*grid.shown(now.table, view), "status", "verdict")))
    known = tuple(name for name in names if name == "status" or name in now.table.spans)
    found = group_runs(reader.columns(known, view.when, view.sweep, now.where), view.group)
    made = [Group(tuple(map(condition, view.group, values)), runs) for values, runs in found]
    name, falling = view.sort.removeprefix("-"), view.sort.startswith("-")
    if not name:
        return made
    if name == "run":
        return sorted(made, key=lambda group: len(group.runs), reverse=falling)
    there = [group for group in made if _rank(group, name) is not None]
    ordered = sorted(there, key=lambda group: _rank(group, name), reverse=falling)
    return [*ordered, *(group for group in made if _rank(group, name) is None)]


def _rank(group: Group, name: str) -> Any:
    """Return by what a group is sorted: its median, or its commonest value; None where it has neither."""
    there = [run[name] for run in group.runs if run.get(name) is not None]
    found = spread(there)
    if found.runs:
        return standing(found.median)
    values = Counter(str(value) for value in there if not is_number(value))  # what is left of numbers is NaN
    return standing(values.most_common(1)[0][0]) if values else None


def _grouped(reader: Reader, now: Sheet, first: int, limit: int) -> dict[str, Any]:
    """Return some rows of a table of groups, where the runs of an open group follow it."""
    names, rows, at = grid.shown(now.table, now.view), [], 0
    for group in groups(reader, now):
        is_open = group.key in now.view.open
        if first <= at < first + limit:
            rows.append(_group_cells(group, names, now.table) | {"open": is_open})
        at += 1
        if is_open:
            begin, end = max(first - at, 0), min(first + limit - at, len(group.runs))
            rows += _members(reader, now, group, names, begin, end - begin) if begin < end else []
            at += len(group.runs)
    return {"rows": rows, "count": at}


def _members(
    reader: Reader, now: Sheet, group: Group, names: Sequence[str], offset: int, limit: int
) -> Iterator[dict[str, Any]]:
    """Return some runs of a group in the order of the table."""
    view, where = now.view, (*now.where, *group.conditions)
    page = reader.page(view.when, view.sweep, where, view.sort, limit=limit, offset=offset)
    return (cells(row, names) | {"member": True} for row in page.rows)


def _group_cells(group: Group, names: Iterable[str], table: Table) -> dict[str, Any]:
    """Return a group as the table shows it: how many runs, the commonest verdict, median and range of each number."""
    told = Counter(str(run.get("verdict") or run["status"]) for run in group.runs)
    ((verdict, share),) = told.most_common(1)
    of = "" if share == len(group.runs) else f" {share:,} of {len(group.runs):,}"
    shown: dict[str, Any] = {"run": f"group {group.key}", "group": group.key, "runs": len(group.runs)}
    shown |= {"verdict": verdict, "verdict_text": verdict + of}
    for name in names:
        values = [run.get(name) for run in group.runs]
        there = {json.dumps(value): value for value in values if value is not None}
        found = spread(values)
        if len(there) < 2:
            shown[name] = words.setting(next(iter(there.values()))) if there else None
        elif name in table.parameters or not found.runs:
            shown[name] = words.count(len(there), "value")
        else:
            bad = f" {found.bad:,} NaN" if found.bad else ""
            shown[name] = words.number(found.median)
            shown[f"{name}:interval"] = words.interval(found.low, found.high) + bad
    return shown
