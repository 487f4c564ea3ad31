"""The overview: every run of the store as a phase map, counts of verdicts and a table, through one set of filters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import dash_mantine_components as dmc
import orjson
from dash import ClientsideFunction, Dash, Input, Output, State, callback_context, dcc, html, no_update
from dash.exceptions import PreventUpdate

from . import cards, grid, rows, states, words
from .address import CHIPS, MOMENTS, View, parse, query
from .reader import Reader
from .sheet import CONTROLS, parts, plain
from .table import Table

__all__ = ["PLACES", "answer", "aside", "asked", "content", "marks", "register"]

# The page ------------------------------------------------------------------------------------------------------------


def aside(shown: dict[str, Any], sweeps: Sequence[dict[str, Any]]) -> list[Any]:
    """Return the side of the page: everything that chooses what is shown.

    Parameters
    ----------
    shown : dict
        From :func:`~gradscope.dashboards.sheet.parts`.
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
        description="Like length>=100 or cell=LSTM,GRU",
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
        From :func:`~gradscope.dashboards.sheet.parts`.
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
        dcc.Store(id="overview-sink"),
        dcc.Store(id="rows", data=shown["rows"]),
        dcc.Store(id="rows-sink"),
        dcc.Store(id="picked"),
    ]


def _axis_selectors(shown: dict[str, Any]) -> list[Any]:
    """Return the choice of what the phase map shows."""
    selectors = (
        ("x", "x", "Parameter along x", 22, 122),
        ("y", "y", "Parameter along y", 22, 122),
        ("value", "colour", "Metric shown as colour", 50, 150),
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
    """Return the card of the table, with what groups it, the choice of its columns and the way to compare runs."""
    group = dmc.MultiSelect(
        id="group",
        data=shown["group:data"],
        value=shown["group"],
        placeholder="Group by",
        size="xs",
        clearable=True,
        className="group",
        clearButtonProps={"aria-label": "Remove every group"},
        comboboxProps={"width": "max-content", "position": "bottom-end"},
        **words.aria(label="Parameters that make the groups of the table"),
    )
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
    compare = dmc.Button("Compare", id="compare", size="compact-xs", disabled=True)
    match = html.Span(shown["match"], id="match", className="unit", role="status")
    table = grid.grid(shown["columns"], shown["model"])
    notes = [html.P(shown[name], id=name, className="caption") for name in ("grouped", "constant")]
    return cards.card(cards.heading("Runs", match, group, choice, compare), table, *notes, className="table-card")


# Answers -------------------------------------------------------------------------------------------------------------


def asked(
    trigger: str, search: str | None, controls: dict[str, Any], model: Any, picked: Sequence[str], table: Table
) -> View:
    """Return the view that is asked for: by the link when it changed, else by the controls.

    Parameters
    ----------
    trigger : str
        What changed: ``"search"`` (the link), ``"version"`` (of the store), ``"clear"``, ``"model"`` (the filters of
        the columns), ``"picked"`` (a part of a figure), or ``"control"``.
    search : str or None
        The link.
    controls : dict
        Value of each control.
    model : object
        ``filterModel`` of the table.
    picked : sequence of str
        The conditions of the part of a figure that was clicked.
    table : Table
        The columns, which know what is text and what is a number.
    """
    linked = parse(search)
    if trigger in ("search", "version"):
        return linked
    if trigger == "clear":
        return linked.unfiltered()
    if trigger == "picked":
        return linked.narrowed(picked)
    view = replace(linked, **{name: _whole(name, value) for name, value in controls.items()})
    if view.group != linked.group:
        view = replace(view, open=())
    if trigger == "model":  # it comes from the table, whose filters the box of conditions may not know yet
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
    return {name: _fingerprint(value) for name, value in shown.items()}


def _fingerprint(value: Any) -> str:
    """Return a digest of a component or a figure as the browser would get it."""
    text = orjson.dumps(value, default=lambda part: part.to_plotly_json(), option=orjson.OPT_SERIALIZE_NUMPY)
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


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
    **{f"{name}:data": Output(name, "data") for name in ("x", "y", "value", "group")},
    "column:boxes": Output("column", "children"),
    "where:error": Output("where", "error"),
    "when:note": Output("when-note", "children"),
    "failed": Output("all-failed", "children"),
    "map": Output(cards.part("figure", "phase_map"), "data"),
    "counts": Output(cards.part("figure", "verdict_counts"), "data"),
    "columns": Output("runs", "columnDefs"),
    "rows": Output("rows", "data"),
    "match": Output("match", "children"),
    "constant": Output("constant", "children"),
    "grouped": Output("grouped", "children"),
    "overview:class": Output("overview", "className"),
    "no-match:class": Output("no-match", "className"),
    "no-match:text": Output("no-match-text", "children"),
    "clear:disabled": Output("clear", "disabled"),
}
#: What may have changed: the first of these that did decides which of link and controls is asked.
TRIGGERS = {
    "clear.n_clicks": "clear",
    "clear-all.n_clicks": "clear",
    "url.search": "search",
    "picked.data": "picked",
    "runs.filterModel": "model",
    **{f"{name}.value": "control" for name in CONTROLS},
    "version.data": "version",
}


def triggered(changed: Sequence[tuple[str, Any]]) -> str:
    """Return what the page has to answer, or ``""`` when it has just been put in and is right already.

    That shows by buttons that count as changed though nobody has pressed them.
    """
    if ("clear.n_clicks", None) in changed:
        return ""
    names = {name for name, _ in changed}
    return next((trigger for name, trigger in TRIGGERS.items() if name in names), "")


def register(app: Dash, reader: Reader) -> None:
    """Answer every change of the link, of a control and of the store with the parts that differ."""
    rows.register(app, reader)
    _register_browser(app)

    @app.callback(
        output={"parts": PLACES, "marks": Output("marks", "data")},
        inputs={
            "search": Input("url", "search"),
            "version": Input("version", "data"),
            "controls": {name: Input(name, "value") for name in CONTROLS},
            "model": Input("runs", "filterModel"),
            "picked": Input("picked", "data"),
            "clear": (Input("clear", "n_clicks"), Input("clear-all", "n_clicks")),
            "pathname": State("url", "pathname"),
            "before": State("marks", "data"),
        },
        prevent_initial_call=True,
    )
    def update(search, version, controls, model, picked, clear, pathname, before):
        trigger = triggered([(entry["prop_id"], entry["value"]) for entry in callback_context.triggered])
        if pathname != "/" or not version or not trigger:
            raise PreventUpdate
        return answer(reader, trigger, search, controls, model, (picked or {}).get("conditions", ()), before)


def _register_browser(app: Dash) -> None:
    """Leave to the browser what needs no store."""

    def own(name: str, output: Output, *inputs: Input, first: bool = True) -> None:
        app.clientside_callback(ClientsideFunction("gradscope", name), output, *inputs, prevent_initial_call=first)

    sink = Output("overview-sink", "data", allow_duplicate=True)
    own("link", Output("copy", "value"), Input("url", "href"), first=False)
    own("follow", sink, Input("overview-link", "data"))
    own("rows", Output("rows-sink", "data"), Input("rows", "data"), first=False)
    own("chosen", Output("compare", "disabled"), Input("runs", "selectedRows"))
    own("compare", sink, Input("compare", "n_clicks"))


def answer(
    reader: Reader,
    trigger: str,
    search: str | None,
    controls: dict[str, Any],
    model: Any,
    picked: Sequence[str],
    before: dict[str, str],
) -> dict[str, Any]:
    """Return what changes on the page, as the callback hands it out."""
    table = reader.table(parse(search).when)
    shown = parts(reader, asked(trigger, search, controls, model, picked, table))
    changed = changes(shown, _seen(before, search, controls, model))
    if changed["search"] is not no_update:
        changed["search"] = "/" + changed["search"]
    return {"parts": changed, "marks": marks(shown)}


def _seen(before: dict[str, str], search: str | None, controls: dict[str, Any], model: Any) -> dict[str, str]:
    """Return the fingerprints of what the browser has, where the reader's hand has changed it since."""
    now = {"search": query(parse(search)), "model": model or {}}
    now |= {name: plain(_whole(name, value)) for name, value in controls.items()}
    return before | marks(now)
