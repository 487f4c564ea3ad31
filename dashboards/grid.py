"""The table of runs: columns, rows and filters as AG Grid takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import dash_ag_grid as dag

from gradscope.figures import palette
from gradscope.figures.sweeps import VERDICTS

from . import words
from .address import View
from .table import MADE, Table
from .theme import GRID_THEME

__all__ = ["BLOCK", "MAIN", "canonical", "columns", "conditions", "filter_model", "grid", "named", "shown"]

BLOCK = 100  #: Rows that the browser asks for at a time.

#: The measured columns that stand in the table unasked, where the store has them.
MAIN = ("decay_rate", "horizon", "accuracy_before", "accuracy_after")

#: Parameters that stand behind the measured numbers; the words of a task are long.
BEHIND = ("task", *MADE)

NUMBER_FILTERS = {
    ">=": "greaterThanOrEqual",
    "<=": "lessThanOrEqual",
    "!=": "notEqual",
    ">": "greaterThan",
    "<": "lessThan",
    "=": "equals",
}
TEXT_FILTERS = {"=": "equals", "!=": "notEqual"}
_SIGNS = {name: sign for sign, name in NUMBER_FILTERS.items()}
_CONDITION = re.compile(r"\s*([^<>=!]+?)\s*(>=|<=|!=|==|=|>|<)\s*(.*?)\s*", re.DOTALL)
_WORDS = {"none", "true", "false", "nan", "inf", "-inf"}  # values that a store understands and a column's filter not


def grid(definitions: list[dict[str, Any]], model: dict[str, Any]) -> dag.AgGrid:
    """Return the table; the browser asks for rows as the reader comes near, and rows keep place and selection."""
    return dag.AgGrid(
        id="runs",
        rowModelType="infinite",
        columnDefs=definitions,
        filterModel=model,
        getRowId="params.data.run",
        eventListeners={
            "rowClicked": ["openRow(params)"],
            "cellKeyDown": ["openRowByKey(params)"],
            "sortChanged": ["sorted(params)"],
        },
        defaultColDef={"resizable": True, "flex": 1, "wrapHeaderText": True, "cellDataType": False},
        dashGridOptions={
            "theme": GRID_THEME,
            "animateRows": False,
            "suppressFieldDotNotation": True,
            "maintainColumnOrder": True,
            "suppressDragLeaveHidesColumns": True,
            "tooltipShowDelay": 300,
            "rowClass": "run-row",
            "rowClassRules": {f"{kind}-row": f"params.data && params.data.{kind}" for kind in ("group", "member")},
            "overlayNoRowsTemplate": "",
            "cacheBlockSize": BLOCK,
            "maxBlocksInCache": 20,
            "maxConcurrentDatasourceRequests": -1,  # those that Dash's own source has not answered count
            "blockLoadDebounceMillis": 40,
            "infiniteInitialRowCount": 1,
            "rowSelection": {
                "mode": "multiRow",
                "headerCheckbox": False,
                "isRowSelectable": {"function": "params.data && !params.data.group"},
                "hideDisabledCheckboxes": True,
            },
            "selectionColumnDef": {"pinned": "left", "width": 38, "sortable": False},
        },
        className="runs-grid",
        style={"width": "100%"},
    )


def shown(table: Table, view: View) -> list[str]:
    """Return the columns beside run and verdict: what varies, the usual numbers, what was asked for or filtered by.

    The numbers of a group come first: it has several values of most parameters.
    """
    metrics = set(table.metrics)
    later = [name for name in table.varying if name in BEHIND or table.partial(name)]
    first = [name for name in table.varying if name not in later]
    numbers = [name for name in MAIN if name in metrics]
    usual = [*numbers, *first, *later] if view.group else [*first, *numbers, *later]
    known = {*table.parameters, *metrics}
    filtered = [name for text in view.where if (name := named(text))]
    return list(dict.fromkeys([*view.group, *usual, *(name for name in (*filtered, *view.column) if name in known)]))


def columns(table: Table, names: Sequence[str], view: View) -> list[dict[str, Any]]:
    """Return the definition of each column; those that make the groups come first."""
    run = {"cellRenderer": "RunCell", "pinned": "left", "width": 120 if view.group else 104, "flex": None}
    hues = {name: palette.colour(name) for name in VERDICTS}
    verdict: dict[str, Any] = {"cellRenderer": "Verdict", "cellRendererParams": {"hues": hues}}
    counted = 10 * len(str(table.total)) if view.group else 0  # a group says "vanishing 12 of 34"
    verdict |= {"tooltipField": "verdict_text", "flex": 2, "minWidth": 176 + max(counted - 15, 0)}
    first = _column("run", "Runs" if view.group else "Run", view.sort)
    return [
        first | run | {"filter": False},
        *(_data_column(table, name, view.sort) for name in view.group),
        _column("verdict", "Verdict", view.sort) | verdict | _text_filter(),
        *(_data_column(table, name, view.sort) | _room(table, name, view) for name in names if name not in view.group),
    ]


def _room(table: Table, name: str, view: View) -> dict[str, Any]:
    """Return the width that it takes to say of a group how many values a parameter has, or the range of a number."""
    if not view.group or name in table.constant:
        return {}
    return {"minWidth": 100 if name in table.parameters else 215 if name == "decay_rate" else 195}


def _column(name: str, heading: str, sort: str) -> dict[str, Any]:
    """Return what every column has; ``sort`` is named in each, so that a link's order replaces the last one."""
    order = {name: "asc", f"-{name}": "desc"}.get(sort)
    column = {"field": name, "colId": name, "headerName": heading, "headerTooltip": name, "sort": order}
    return column | {"minWidth": 30 + 8 * max(map(len, heading.split()))}


def _data_column(table: Table, name: str, sort: str) -> dict[str, Any]:
    """Return the column of a parameter or metric."""
    column = _column(name, words.label(name), sort)
    if table.textual(name):
        span = table.spans[name]
        longest = max(len(words.setting(value)) for value in (span.least, span.most))
        return column | {"minWidth": max(column["minWidth"], min(24 + 8 * longest, 150))} | _text_filter()
    wide = {"flex": 1.8, "minWidth": 214} if name == "decay_rate" else {"minWidth": column["minWidth"] + 6}
    return column | wide | {"type": "rightAligned", "cellRenderer": "Measured"} | _number_filter()


def _number_filter() -> dict[str, Any]:
    """Return how a column of numbers is filtered."""
    options = {"filterOptions": list(NUMBER_FILTERS.values()), "maxNumConditions": 2, "defaultJoinOperator": "AND"}
    return {"filter": "agNumberColumnFilter", "filterParams": options | {"buttons": ["reset"], "debounceMs": 400}}


def _text_filter() -> dict[str, Any]:
    """Return how a column of text is filtered: by whole words, as the conditions of the command line are."""
    options = {"filterOptions": list(TEXT_FILTERS.values()), "maxNumConditions": 1}
    return {"filter": "agTextColumnFilter", "filterParams": options | {"buttons": ["reset"], "debounceMs": 400}}


# Conditions and column filters ---------------------------------------------------------------------------------------


def named(condition: str) -> str | None:
    """Return the parameter or metric that a condition is about, or None when it is not a condition."""
    match = _CONDITION.fullmatch(condition)
    return match[1] if match else None


def filter_model(where: Iterable[str], table: Table, names: Iterable[str]) -> dict[str, Any]:
    """Return conditions as the filters of the columns on show; what a column's filter cannot hold is left out.

    Examples
    --------
    >>> from gradscope.store.overview import Span
    >>> table = Table({"length": Span(count=1, numbers=1, same=True, least=10, most=10)}, ("length",))
    >>> filter_model(["length>=5"], table, ["length"])
    {'length': {'filterType': 'number', 'type': 'greaterThanOrEqual', 'filter': 5}}
    """
    found: dict[str, list[dict[str, Any] | None]] = {}
    for text in where:
        name = named(text)
        if name in {"verdict", *names}:
            found.setdefault(str(name), []).append(_entry(text, table.textual(str(name))))
    return {name: _joined(entries) for name, entries in found.items() if None not in entries and len(entries) <= 2}


def _entry(condition: str, textual: bool) -> dict[str, Any] | None:
    """Return one condition as AG Grid writes it, or None where it has no words for it."""
    match = _CONDITION.fullmatch(condition)
    sign, value = (match[2].replace("==", "="), match[3]) if match else ("", "")
    if not value or "," in value or value[0] in "\"'" or value.lower() in _WORDS:
        return None
    if textual:
        return {"filterType": "text", "type": TEXT_FILTERS[sign], "filter": value} if sign in TEXT_FILTERS else None
    try:
        number = float(value)
    except ValueError:
        return None
    limit = int(number) if number.is_integer() else number  # as the browser writes it
    return {"filterType": "number", "type": NUMBER_FILTERS[sign], "filter": limit}


def _joined(entries: list[Any]) -> dict[str, Any]:
    """Return the one filter of a column, which holds one condition or two."""
    if len(entries) == 1:
        return entries[0]
    return {"filterType": entries[0]["filterType"], "operator": "AND", "conditions": entries}


def conditions(model: dict[str, Any] | None) -> list[str]:
    """Return the filters of the columns as conditions, the reverse of :func:`filter_model`.

    Examples
    --------
    >>> conditions({"length": {"filterType": "number", "type": "greaterThanOrEqual", "filter": 5}})
    ['length>=5']
    """
    found = []
    for name, entry in (model or {}).items():
        for one in entry.get("conditions", [entry]):
            sign, value = _SIGNS.get(one.get("type")), one.get("filter")
            if sign is not None and value is not None:
                found.append(f"{name}{sign}{str(value).removesuffix('.0')}")
    return found


def canonical(condition: str, table: Table) -> str:
    """Return a condition as :func:`conditions` would write it."""
    name = named(condition)
    entry = None if name is None else _entry(condition, table.textual(name))
    return condition if entry is None else conditions({str(name): entry})[0]
