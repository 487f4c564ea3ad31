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
from gradscope.figures.sweeps import VERDICTS
from gradscope.probes.catalogue import EVERY
from gradscope.store import Page

from . import cards, grid, words
from .address import CHIPS, LAST, View, query
from .reader import Reader
from .table import Table

__all__ = ["CONTROLS", "Sheet", "order", "parts", "plain", "sheet"]

#: What the phase map shows unasked, the first that the store has.
AXES = ("length", "forget_bias", "activation", "cell", "gain", "hidden_size")
VALUES = ("decay_rate",)

GROUPED = "Of a group the table shows the median of each number, with the least and the largest beside it."

#: Words that have an order of their own.
ORDER = {word: number for number, word in enumerate((*EVERY, *VERDICTS))}

#: The attributes of a view that have a control of their own, of the same name.
CONTROLS = ("sweep", "when", *CHIPS, "where", "x", "y", "value", "column", "group")


@dataclass(frozen=True)
class Sheet:
    """What a view shows of one state of the store.

    Attributes
    ----------
    view : View
        The view, with every choice made that the link left open.
    link : View
        The same without what the page would choose anyway: what the link says.
    table : Table
        The columns of every run of the sweep: the choices come from them.
    where : tuple of str
        The conditions that the store understands, those of the chips among them.
    page : Page
        How many runs fulfil them; no rows.
    trouble : str
        Why a condition was left out, or ``""``.
    """

    view: View
    link: View
    table: Table
    where: tuple[str, ...]
    page: Page
    trouble: str = ""


def sheet(reader: Reader, view: View) -> Sheet:
    """Read what a view shows; what does not fit this store is dropped, conditions that cannot be read are said."""
    view = view.settle({"sweep": [str(sweep["id"]) for sweep in reader.sweeps()]})
    table = reader.table(view.when, view.sweep)
    columns = [*table.parameters, *table.metrics]
    view = view.settle(
        {
            "x": table.axes,
            "y": table.axes,
            "value": table.metrics,
            "column": columns,
            "sort": [sign + name for sign in ("", "-") for name in ("run", "verdict", *columns)],
            "group": table.varying,
        }
    )
    view, link = _with_axes(view, table)
    where, trouble = _readable(reader, view)
    return Sheet(view, link, table, where, reader.page(view.when, view.sweep, where, limit=0), trouble)


def _readable(reader: Reader, view: View) -> tuple[tuple[str, ...], str]:
    """Return the conditions that the store understands, and why it does not understand the others."""
    known, trouble = [], ""
    for text in view.conditions():
        try:
            reader.page(view.when, view.sweep, (text,), limit=0)
            known.append(text)
        except GradscopeError as error:
            trouble = trouble or str(error)
    return tuple(known), trouble


def order(reader: Reader, view: View) -> list[str]:
    """Return the ids of the runs that a view shows, in its order."""
    now = sheet(reader, view)
    some = {"names": ("run",), "limit": now.page.total}
    return [row["run"] for row in reader.page(now.view.when, now.view.sweep, now.where, now.view.sort, **some).rows]


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
    varying = table.varying
    order = list(dict.fromkeys([*(name for name in AXES if name in varying), *table.axes])) or [""]
    x = x or next((name for name in order if name != y), order[0])
    return x, y if y and y != x else next((name for name in order if name != x), x)


def parts(reader: Reader, view: View) -> dict[str, Any]:
    """Return what each part of the page shows, by the part's name."""
    now = sheet(reader, view)
    view, table = now.view, now.table
    names = grid.shown(table, view)
    runs = _runs(reader, now)
    some = now.page.count > 0 or not table.total
    return {
        "search": query(now.link),
        **{name: plain(getattr(view, name)) for name in CONTROLS},
        "model": grid.filter_model(view.where, table, names),
        **_chips(reader, now),
        **{f"{name}:data": _options(table.axes) for name in ("x", "y")},
        "value:data": _options(table.metrics),
        "group:data": _options(table.varying),
        "column:boxes": _boxes(table, grid.shown(table, View())),
        "where:error": now.trouble,
        "when:note": _when_note(reader, now),
        "failed": _all_failed(reader, now),
        "map": _phase_map(now, runs),
        "counts": cards.drawn(lambda: figures.verdict_counts(runs)) if runs else cards.noticed("No run matches."),
        "columns": grid.columns(table, names, view),
        "rows": {
            "query": query(replace(now.link, x="", y="", value="", sort="", open=())),
            "open": list(view.open),
            "version": reader.version(),
        },
        "match": _match(now),
        "constant": _constant(table),
        "grouped": GROUPED if view.group else "",
        "overview:class": "overview" if some else "hidden",
        "no-match:class": "hidden" if some else "",
        "no-match:text": _no_match_text(now),
        "clear:disabled": not view.filtered(),
    }


def _runs(reader: Reader, now: Sheet) -> list[dict[str, Any]]:
    """Return what the figures show of every run: axes, colour and theory of the map, cell and verdict."""
    theory = ("activation", "recurrent") if "gain" in (now.view.x, now.view.y) else ()
    wanted = dict.fromkeys((now.view.x, now.view.y, now.view.value, "cell", "verdict", *theory))
    names = tuple(name for name in wanted if name in now.table.spans)
    return reader.columns(("status", "iteration", *names), now.view.when, now.view.sweep, now.where)


def plain(value: Any) -> Any:
    """Return a value of a view as a control takes it."""
    return list(value) if isinstance(value, tuple) else value or None


def _options(names: Iterable[str]) -> list[dict[str, str]]:
    """Return names as the options of a selector."""
    return [{"value": name, "label": words.label(name)} for name in names]


def _phase_map(now: Sheet, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the phase map of the runs on show."""
    if not runs:
        return cards.noticed("No run matches.")
    if not now.view.value:
        return cards.noticed("No run has left a number yet. The map begins with the first one.")
    return cards.drawn(lambda: figures.phase_map(runs, now.view.x, now.view.y, now.view.value))


def _chips(reader: Reader, now: Sheet) -> dict[str, list[Any]]:
    """Return the chips of each parameter and of the verdict, each with how many runs the other filters leave it."""
    known = tuple(name for name in CHIPS if name in now.table.spans)
    rest, _ = _readable(reader, replace(now.view, cell=(), activation=(), verdict=()))
    every, left = (
        Counter(tuple(row.values()) for row in reader.columns(known, now.view.when, now.view.sweep, where))
        for where in ((), rest)
    )
    return {
        f"{name}:chips": _row_of_chips(
            name, _counted(known, name, every, View()), _counted(known, name, left, now.view)
        )
        for name in CHIPS
    }


def _counted(known: Sequence[str], name: str, runs: Counter[tuple], view: View) -> Counter[str]:
    """Return how many runs have each value of ``name``, those among them that the other chips of a view let through."""
    counted: Counter[str] = Counter()
    for values, count in runs.items():
        row = dict(zip(known, values, strict=True))
        asked = {other: getattr(view, other) for other in known if other != name}
        through = all(str(row[other]) in kept for other, kept in asked.items() if kept)
        if row.get(name) is not None:
            counted[str(row[name])] += count * through
    counted.update(dict.fromkeys(getattr(view, name), 0))
    return counted


def _row_of_chips(name: str, every: Counter[str], left: Counter[str]) -> list[Any]:
    """Return the chips for the values of one column, those that a link asks for in vain among them."""
    values = sorted({*every, *left}, key=lambda value: (ORDER.get(value, len(ORDER)), value))
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


def _when_note(reader: Reader, now: Sheet) -> str:
    """Say which runs cannot show what was asked for."""
    if now.view.when != LAST:
        return ""
    untrained = reader.page(LAST, now.view.sweep, ("iteration=0",), limit=0).count
    if not untrained:
        return ""
    return f"{words.count(untrained, 'run')} of {now.table.total:,} had no training and show their only record."


def _all_failed(reader: Reader, now: Sheet) -> Any:
    """Say that every run failed, and why the first one did."""
    total = now.table.total
    failed = reader.page(now.view.when, now.view.sweep, ("status=failed",), limit=1, names=("error",))
    if not total or failed.count < total:
        return None
    return dmc.Alert(
        [html.P(["The first one ended with: ", html.Code(str(failed.rows[0]["error"] or "no message"))])],
        title=f"All {words.count(total, 'run')} failed" if total > 1 else "The only run failed",
        color="red",
        variant="light",
        className="alert",
    )


def _match(now: Sheet) -> str:
    """Say how many runs the table shows, and how many there are."""
    if now.page.count == now.table.total:
        return words.count(now.table.total, "run")
    return f"{now.page.count:,} of {words.count(now.table.total, 'run')}"


def _constant(table: Table) -> list[Any]:
    """Say what is the same in every run and therefore has no column."""
    if not table.constant or table.total < 2:
        return []
    listed = [f"{words.label(name).lower()} {words.setting(value)}" for name, value in table.constant.items()]
    return [html.Strong("The same in every run: "), " · ".join(listed)]


def _no_match_text(now: Sheet) -> str:
    """Say which filters let nothing through."""
    view = now.view
    filters = [f"{name} = {' or '.join(getattr(view, name))}" for name in CHIPS if getattr(view, name)]
    return f"{words.count(now.table.total, 'run')} in the store, 0 match {' and '.join([*filters, *view.where])}."
