"""The overview: every run of the store as a phase map, counts of verdicts and a table, through one set of filters."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, callback_context, dcc, html, no_update
from dash.exceptions import PreventUpdate
from plotly.io.json import to_json_plotly

from gradscope import figures
from gradscope.errors import GradscopeError
from gradscope.figures import palette

from . import cards, grid, states, words
from .address import LAST, MOMENTS, View, parse, query
from .reader import Reader
from .table import CHIPS, Table

__all__ = ["PLACES", "answer", "aside", "asked", "content", "parts", "register", "sheet"]

#: What the phase map shows unasked, the first that the store has.
AXES = ("length", "forget_bias", "activation", "cell", "gain", "hidden_size")
VALUES = ("decay_rate",)

CONTROLS = ("sweep", "when", *CHIPS, "where", "x", "y", "value", "column")


# The page ------------------------------------------------------------------------------------------------------------


def aside(shown: dict[str, Any], sweeps: Sequence[dict[str, Any]]) -> list[Any]:
    """Return the side of the page: everything that chooses what is shown.

    Parameters
    ----------
    shown : dict
        From :func:`parts`.
    sweeps : sequence of dict
        The sweeps of the store.
    """
    sweep = dmc.Select(
        id="sweep",
        label="Sweep",
        data=[{"value": str(sweep["id"]), "label": sweep["name"]} for sweep in sweeps],
        value=shown["sweep"],
        placeholder="All sweeps",
        clearable=True,
        size="sm",
        wrapperProps={"hidden": len(sweeps) < 2},
        clearButtonProps={"aria-label": "Show all sweeps"},
    )
    chips = [
        html.Fieldset(
            [
                html.Legend(words.label(name), className="label"),
                html.Div(
                    dmc.ChipGroup(id=name, multiple=True, value=shown[name], children=shown[f"{name}:chips"]),
                    className="chip-row",
                ),
            ],
            className="chips",
        )
        for name in CHIPS
    ]
    where = dmc.TagsInput(
        id="where",
        label="Conditions",
        description="Like length>=100 or cell=LSTM,GRU; then Enter",
        value=shown["where"],
        error=shown["where:error"],
        placeholder="name, sign, value",
        size="sm",
        clearable=True,
        splitChars=[";"],
        clearButtonProps={"aria-label": "Remove every condition"},
    )
    clear = dmc.Button("Clear filters", id="clear", variant="default", size="xs", disabled=shown["clear:disabled"])
    copy = dmc.CopyButton(
        id="copy", children="Copy link", copiedChildren="Link copied", value="", variant="subtle", size="xs"
    )
    return [sweep, _moment(shown), *chips, where, html.Div([clear, copy], className="buttons")]


def _moment(shown: dict[str, Any]) -> html.Div:
    """Return the switch between the numbers before and after training."""
    switch = dmc.SegmentedControl(
        id="when",
        data=[{"value": value, "label": label} for value, label in MOMENTS.items()],
        value=shown["when"],
        fullWidth=True,
        size="sm",
        **words.aria(label="Numbers taken before or after training"),
    )
    return html.Div([switch, html.P(shown["when:note"], id="when-note", className="note")])


def content(shown: dict[str, Any]) -> list[Any]:
    """Return the page itself.

    Parameters
    ----------
    shown : dict
        From :func:`parts`.
    """
    pictures = html.Div(
        [
            cards.figure_card("phase_map", "Phase map", _axis_selectors(shown), size="map", data=shown["map"]),
            cards.figure_card("verdict_counts", "Verdicts", size="map", data=shown["counts"]),
        ],
        className="overview-figures",
    )
    clear = dmc.Button("Clear filters", id="clear-all", variant="light")
    text = html.P(shown["no-match:text"], id="no-match-text")
    return [
        html.H1("All runs", className="visually-hidden"),
        html.Div(shown["failed"], id="all-failed"),
        html.Div([pictures, _table_card(shown)], id="overview", className=shown["overview:class"]),
        html.Div(
            states.nothing("No run matches these filters", text, action=clear),
            id="no-match",
            className=shown["no-match:class"],
        ),
        dcc.Store(id="marks", data=marks(shown)),
        dcc.Store(id="overview-link"),
        dcc.Store(id="overview-link-set"),
    ]


def _axis_selectors(shown: dict[str, Any]) -> list[Any]:
    """Return the choice of what the phase map shows."""
    selectors = (
        ("x", "x", "Parameter along x", 24, 126),
        ("y", "y", "Parameter along y", 24, 126),
        ("value", "colour", "Metric shown as colour", 52, 176),
    )
    return [
        dmc.Select(
            id=name,
            data=shown[f"{name}:data"],
            value=shown[name],
            size="xs",
            allowDeselect=False,
            leftSection=html.Span(sign, className="select-sign"),
            leftSectionWidth=sign_width,
            w=width,
            comboboxProps={"width": "max-content", "position": "bottom-end"},
            **words.aria(label=label),
        )
        for name, sign, label, sign_width, width in selectors
    ]


def _table_card(shown: dict[str, Any]) -> html.Section:
    """Return the card of the table, with the choice of its columns."""
    boxes = dmc.CheckboxGroup(id="column", value=shown["column"], children=shown["column:boxes"])
    choice = dmc.Popover(
        [
            dmc.PopoverTarget(dmc.Button("Columns", variant="default", size="compact-xs")),
            dmc.PopoverDropdown(dmc.ScrollAreaAutosize(boxes, mah=360, type="auto", offsetScrollbars=True)),
        ],
        position="bottom-end",
        shadow="md",
        keepMounted=True,
        width=270,
    )
    match = html.Span(shown["match"], id="match", className="unit", role="status")
    table = grid.grid(shown["columns"], shown["rows"], shown["model"])
    same = html.P(shown["constant"], id="constant", className="caption")
    return cards.card(cards.heading("Runs", match, choice), table, same, className="table-card")


# What it shows -------------------------------------------------------------------------------------------------------


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
    rows : list of dict
        The rows that the filters let through, in order.
    trouble : str
        Why a condition was left out, or ``""``.
    """

    view: View
    link: View
    table: Table
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
    return Sheet(view, link, table, rows, trouble)


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
    x, y, value = _usual_axes(table)
    chosen = replace(view, x=view.x or (x if view.y != x else y), y=view.y or y, value=view.value or value)
    if chosen.x == chosen.y:
        other = next((name for name in table.axes() if name != chosen.x), chosen.x)
        chosen = replace(chosen, y=other)
    link = replace(chosen, x="", y="") if (chosen.x, chosen.y) == (x, y) else chosen
    return chosen, replace(link, value="") if chosen.value == value else link


def _usual_axes(table: Table) -> tuple[str, str, str]:
    """Return the axes and the value of the phase map that nobody chose: parameters that vary, as far as there are."""
    order = [*(name for name in AXES if name in table.varying()), *table.axes()]
    order = list(dict.fromkeys(order)) or [""]
    value = next((name for name in (*VALUES, *table.metrics) if name in table.metrics), "")
    return order[0], order[1] if len(order) > 1 else order[0], value


def parts(reader: Reader, view: View) -> dict[str, Any]:
    """Return what each part of the page shows, by the part's name."""
    now = sheet(reader, view)
    view, table, rows = now.view, now.table, now.rows
    names = grid.shown(table, view.column, _named(view.where))
    return {
        "search": query(now.link),
        **{name: _plain(getattr(view, name)) for name in CONTROLS},
        "model": grid.filter_model(view.where, table, names),
        **{f"{name}:chips": _chips(table, view, name) for name in CHIPS},
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


def _plain(value: Any) -> Any:
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


def _chips(table: Table, view: View, name: str) -> list[Any]:
    """Return the chips of a parameter or of the verdict, each with how many runs the other filters leave it."""
    left = Counter(str(row[name]) for row in table.chosen(view, skip=name) if row.get(name) is not None)
    values = [str(value) for value in table.values(name)]
    values += [value for value in getattr(view, name) if value not in values]
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
            boxes += [dmc.Checkbox(label=words.label(name), value=name, size="xs") for name in free]
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


# Answers -------------------------------------------------------------------------------------------------------------


def asked(trigger: str, search: str | None, controls: dict[str, Any], model: Any, state: Any, table: Table) -> View:
    """Return the view that is asked for: by the link when it changed, else by the controls.

    Parameters
    ----------
    trigger : str
        What changed: ``"search"``, ``"version"`` (of the store), ``"clear"``, ``"model"`` (the filters of the
        columns), ``"state"`` (their order), or the name of a control.
    search : str or None
        The link.
    controls : dict
        Value of each control.
    model, state : object
        ``filterModel`` and ``columnState`` of the table.
    table : Table
        The runs on show, which know what is text and what is a number.
    """
    linked = parse(search)
    if trigger in ("search", "version"):
        return linked
    if trigger == "clear":
        return linked.unfiltered()
    values = {name: _whole(name, value) for name, value in controls.items()}
    order = grid.sorting(state)
    view = replace(linked, **values, sort=linked.sort if order is None else order)
    if trigger == "model":
        held = grid.conditions(grid.filter_model(linked.where, table, [*table.parameters, *table.metrics]))
        view = replace(view, where=_with_columns(view.where, held, grid.conditions(model), table))
    return view


def _whole(name: str, value: Any) -> Any:
    """Return a control's value as a view holds it."""
    return tuple(value or ()) if isinstance(getattr(View(), name), tuple) else value or getattr(View(), name)


def _with_columns(where: Iterable[str], held: Iterable[str], now: Sequence[str], table: Table) -> tuple[str, ...]:
    """Return the conditions after the columns' filters went from ``held`` to ``now``; what they cannot hold stays."""
    kept = [text for text in where if grid.canonical(text, table) not in held or grid.canonical(text, table) in now]
    known = {grid.canonical(text, table) for text in kept}
    return (*kept, *(text for text in now if text not in known))


def marks(shown: dict[str, Any]) -> dict[str, str]:
    """Return a fingerprint of each part, by which the next answer leaves alone what has not changed."""
    return {
        name: hashlib.md5(to_json_plotly(value).encode(), usedforsecurity=False).hexdigest()
        for name, value in shown.items()
    }


def changes(shown: dict[str, Any], before: dict[str, str]) -> dict[str, Any]:
    """Return the parts with everything that the browser already has taken out."""
    after = marks(shown)
    return {name: no_update if after[name] == before.get(name) else value for name, value in shown.items()}


#: Which property of the page holds which part.
PLACES = {
    "search": Output("overview-link", "data"),
    **{name: Output(name, "value") for name in CONTROLS},
    "model": Output("runs", "filterModel"),
    **{f"{name}:chips": Output(name, "children") for name in CHIPS},
    **{f"{name}:data": Output(name, "data") for name in ("x", "y", "value")},
    "column:boxes": Output("column", "children"),
    "where:error": Output("where", "error"),
    "when:note": Output("when-note", "children"),
    "failed": Output("all-failed", "children"),
    "map": Output(cards.part("figure", "phase_map"), "data"),
    "counts": Output(cards.part("figure", "verdict_counts"), "data"),
    "columns": Output("runs", "columnDefs"),
    "rows": Output("runs", "rowData"),
    "match": Output("match", "children"),
    "constant": Output("constant", "children"),
    "overview:class": Output("overview", "className"),
    "no-match:class": Output("no-match", "className"),
    "no-match:text": Output("no-match-text", "children"),
    "clear:disabled": Output("clear", "disabled"),
}
TRIGGERS = {"url": "search", "clear-all": "clear"}


def register(app: Dash, reader: Reader) -> None:
    """Answer every change of the link, of a control and of the store with the parts that differ."""
    app.clientside_callback(ClientsideFunction("gradscope", "link"), Output("copy", "value"), Input("url", "href"))
    app.clientside_callback(
        ClientsideFunction("gradscope", "follow"),
        Output("overview-link-set", "data"),
        Input("overview-link", "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        output={"parts": PLACES, "marks": Output("marks", "data")},
        inputs={
            "search": Input("url", "search"),
            "version": Input("version", "data"),
            "controls": {name: Input(name, "value") for name in CONTROLS},
            "model": Input("runs", "filterModel"),
            "state": Input("runs", "columnState"),
            "clear": (Input("clear", "n_clicks"), Input("clear-all", "n_clicks")),
            "pathname": State("url", "pathname"),
            "before": State("marks", "data"),
        },
        prevent_initial_call=True,
    )
    def update(search, version, controls, model, state, clear, pathname, before):
        # A page that has just been put in is right already; it shows by buttons that nobody has pressed.
        begins = any(
            entry["prop_id"] == "clear.n_clicks" and not entry["value"] for entry in callback_context.triggered
        )
        if pathname != "/" or not version or begins:
            raise PreventUpdate
        identity, _, name = callback_context.triggered[0]["prop_id"].partition(".")
        trigger = {"filterModel": "model", "columnState": "state"}.get(name) or TRIGGERS.get(identity, identity)
        return answer(reader, trigger, search, controls, model, state, before)


def answer(
    reader: Reader, trigger: str, search: str | None, controls: dict[str, Any], model: Any, state: Any, before: dict
) -> dict[str, Any]:
    """Return what changes on the page, as the callback hands it out."""
    linked = parse(search)
    table = reader.table(linked.when, "")
    shown = parts(reader, asked(trigger, search, controls, model, state, table))
    changed = changes(shown, _seen(before, search, controls, model))
    return {"parts": changed, "marks": marks(shown)}


def _seen(before: dict[str, str], search: str | None, controls: dict[str, Any], model: Any) -> dict[str, str]:
    """Return the fingerprints of what the browser has, where the reader's hand has changed it since."""
    now = {"search": query(parse(search)), "model": model or {}}
    now |= {name: _plain(_whole(name, value)) for name, value in controls.items()}
    return before | marks(now)
