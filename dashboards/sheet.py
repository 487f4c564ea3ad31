"""The sheet: everything that the overview shows for one view of one state of the store, part by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dash_mantine_components as dmc
from dash import html

from gradscope import figures
from gradscope.errors import GradscopeError
from gradscope.figures import palette

from . import cards, grid, words
from .address import LAST, View, query
from .reader import Reader
from .table import CHIPS, Table

__all__ = ["CONTROLS", "Sheet", "parts", "plain", "sheet"]

#: What the phase map shows unasked, the first that the store has.
AXES = ("length", "forget_bias", "activation", "cell", "gain", "hidden_size")
VALUES = ("decay_rate",)

#: The attributes of a view that have a control of their own, of the same name.
CONTROLS = ("sweep", "when", *CHIPS, "where", "x", "y", "value", "column")


@dataclass(frozen=True)
class Sheet:
    """Everything that the overview shows for one view of one state of the store.

    Attributes
    ----------
    view : View
        The view, with every choice made that the link left open.
    link : View
        The same without what the page would choose anyway: what the link says.
    table : Table
        Every run of the sweep: the columns and the choices come from it.
    fulfilling : Table
        The runs that fulfil the conditions.
    rows : list of dict
        Those of them that the chips let through too, in order.
    trouble : str
        Why a condition was left out, or ``""``.
    """

    view: View
    link: View
    table: Table
    fulfilling: Table
    rows: list[dict[str, Any]]
    trouble: str = ""


def sheet(reader: Reader, view: View) -> Sheet:
    """Read what a view shows; what does not fit this store is dropped, conditions that cannot be read are said."""
    view = view.settle({"sweep": [str(sweep["id"]) for sweep in reader.sweeps()]})
    table = reader.table(view.when, view.sweep)
    view = view.settle(
        {
            "x": table.axes(),
            "y": table.axes(),
            "value": table.metrics,
            "column": [*table.parameters, *table.metrics],
            "sort": [
                sign + name for sign in ("", "-") for name in ("run", "verdict", *table.parameters, *table.metrics)
            ],
        }
    )
    view, link = _with_axes(view, table)
    trouble, filtered = _filtered(reader, view)
    rows = filtered.ordered(filtered.chosen(view), view.sort)
    return Sheet(view, link, table, filtered, rows, trouble)


def _filtered(reader: Reader, view: View) -> tuple[str, Table]:
    """Return the rows that fulfil the conditions, those left aside that the store does not understand, and why."""
    try:
        return "", reader.table(view.when, view.sweep, view.where)
    except GradscopeError as error:
        readable = tuple(text for text in view.where if _understood(reader, view, text))
        return str(error), reader.table(view.when, view.sweep, readable)


def _understood(reader: Reader, view: View, condition: str) -> bool:
    """Say whether the store understands a condition."""
    try:
        reader.table(view.when, view.sweep, (condition,))
    except GradscopeError:
        return False
    return True


def _with_axes(view: View, table: Table) -> tuple[View, View]:
    """Return the view with the axes of the phase map chosen, and the link without those that need no saying."""
    usual = _pair("", "", table)
    x, y = _pair(view.x, view.y, table)
    value = next((name for name in (*VALUES, *table.metrics) if name in table.metrics), "")
    chosen = replace(view, x=x, y=y, value=view.value or value)
    link = replace(chosen, x="", y="") if (x, y) == usual else chosen
    return chosen, replace(link, value="") if chosen.value == value else link


def _pair(x: str, y: str, table: Table) -> tuple[str, str]:
    """Return two different axes as far as there are two: those asked for, else parameters that vary."""
    varying = table.varying()
    order = list(dict.fromkeys([*(name for name in AXES if name in varying), *table.axes()])) or [""]
    x = x or next((name for name in order if name != y), order[0])
    return x, y if y and y != x else next((name for name in order if name != x), x)


def parts(reader: Reader, view: View) -> dict[str, Any]:
    """Return what each part of the page shows, by the part's name."""
    now = sheet(reader, view)
    view, table, rows = now.view, now.table, now.rows
    names = grid.shown(table, view.column, _named(view.where))
    return {
        "search": query(now.link),
        **{name: plain(getattr(view, name)) for name in CONTROLS},
        "model": grid.filter_model(view.where, table, names),
        **{f"{name}:chips": _chips(now, name) for name in CHIPS},
        **{f"{name}:data": _options(table.axes()) for name in ("x", "y")},
        "value:data": _options(table.metrics),
        "column:boxes": _boxes(table, grid.shown(table)),
        "where:error": now.trouble,
        "when:note": _when_note(table, view),
        "failed": _all_failed(table),
        "map": _phase_map(now),
        "counts": cards.drawn(lambda: figures.verdict_counts(rows)) if rows else cards.noticed("No run matches."),
        "columns": grid.columns(table, names, view.sort),
        "rows": grid.rows(rows, names),
        "match": _match(rows, table),
        "constant": _constant(table),
        "overview:class": "overview" if rows or not table.rows else "hidden",
        "no-match:class": "hidden" if rows or not table.rows else "",
        "no-match:text": _no_match_text(table, view),
        "clear:disabled": not view.filtered(),
    }


def plain(value: Any) -> Any:
    """Return a value of a view as a control takes it."""
    return list(value) if isinstance(value, tuple) else value or None


def _named(where: Iterable[str]) -> list[str]:
    """Return the names that conditions are about."""
    return [name for text in where if (name := grid.named(text))]


def _options(names: Iterable[str]) -> list[dict[str, str]]:
    """Return names as the options of a selector."""
    return [{"value": name, "label": words.label(name)} for name in names]


def _phase_map(now: Sheet) -> dict[str, Any]:
    """Return the phase map of the rows on show."""
    if not now.rows:
        return cards.noticed("No run matches.")
    if not now.view.value:
        return cards.noticed("No run has left a number yet. The map begins with the first one.")
    return cards.drawn(lambda: figures.phase_map(now.rows, now.view.x, now.view.y, now.view.value))


def _chips(now: Sheet, name: str) -> list[Any]:
    """Return the chips of a parameter or of the verdict, each with how many runs the other filters leave it."""
    rows = now.fulfilling.chosen(now.view, skip=name)
    left = Counter(str(row[name]) for row in rows if row.get(name) is not None)
    values = [str(value) for value in now.table.values(name)]
    values += [value for value in getattr(now.view, name) if value not in values]
    return [
        dmc.Chip(
            [value, html.Span(f"{left[value]:,}", className="chip-count")],
            value=value,
            size="xs",
            variant="outline",
            className="chip hued" if name == "verdict" else "chip",
            wrapperProps={"style": {"--hue": palette.colour(value)}},
        )
        for value in values
    ]


def _boxes(table: Table, usual: Sequence[str]) -> list[Any]:
    """Return a box for every column that is not on show anyway."""
    groups = (("Settings", table.parameters), ("Measured", table.metrics))
    boxes: list[Any] = []
    for heading, names in groups:
        free = [name for name in names if name not in usual]
        if free:
            boxes.append(html.Div(heading, className="label"))
            boxes += [dmc.Checkbox(label=words.label(name), value=name, size="xs", radius="sm") for name in free]
    return boxes


def _when_note(table: Table, view: View) -> str:
    """Say which runs cannot show what was asked for."""
    untrained = sum(row["iteration"] == 0 for row in table.rows)
    if view.when == LAST and untrained:
        return f"{words.count(untrained, 'run')} of {len(table.rows):,} had no training and show their only record."
    return ""


def _all_failed(table: Table) -> Any:
    """Say that every run failed, and why the first one did."""
    if not table.rows or any(row["status"] != "failed" for row in table.rows):
        return None
    first = table.rows[0]
    return dmc.Alert(
        [html.P(["The first one ended with: ", html.Code(str(first.get("error") or "no message"))])],
        title=f"All {words.count(len(table.rows), 'run')} failed" if len(table.rows) > 1 else "The only run failed",
        color="red",
        variant="light",
        className="alert",
    )


def _match(rows: Sequence[dict[str, Any]], table: Table) -> str:
    """Say how many runs the table shows, and how many there are."""
    if len(rows) == len(table.rows):
        return words.count(len(rows), "run")
    return f"{len(rows):,} of {words.count(len(table.rows), 'run')}"


def _constant(table: Table) -> list[Any]:
    """Say what is the same in every run and therefore has no column."""
    same = table.constant()
    if not same or len(table.rows) < 2:
        return []
    listed = [f"{words.label(name).lower()} {words.number(value)}" for name, value in same.items()]
    return [html.Strong("The same in every run: "), " · ".join(listed)]


def _no_match_text(table: Table, view: View) -> str:
    """Say which filters let nothing through."""
    filters = [f"{name} = {' or '.join(getattr(view, name))}" for name in CHIPS if getattr(view, name)]
    return f"{words.count(len(table.rows), 'run')} in the store, 0 match {' and '.join([*filters, *view.where])}."
