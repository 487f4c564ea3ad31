"""The page that compares: runs or groups of runs in the same axes, side by side, or one minus another."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
import orjson
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate
from flask import Response, request

from gradscope.figures.parts import COMPARABLE
from gradscope.probes.catalogue import CATALOGUE

from . import cards, states, words
from .comparison import Desk, figure_cards, is_single, reading
from .group_table import group_table
from .groups import (
    ALIGNS,
    BOTH,
    DRAWN,
    FIRST,
    LAST,
    MOMENT,
    PANELS,
    PATH,
    SHOWS,
    WHENS,
    Choice,
    Compared,
    compared,
    link,
    read,
    trimmed,
)
from .reader import Reader

__all__ = ["PATH", "Shown", "page", "register"]

#: Where the cards ask for their figures.
FIGURE = "/compare/figure"

#: The figures that stand on the page unasked, those that the runs have.
USUAL = ("state_gradient", "transport", "jacobian_norm", "gate_saturation", "retention", "flow_retained")
CARDS = 4  # so many of them,
MAPPED, FEW, SMALL = "unit_gradient", 8, 400  # and this map, of so many groups and runs at most
SHEETS = 4  # links of which is kept what they are about
FOUND = 40  # runs that the search of a run lists
ALONE = "Each line is one run, with the band of its own sequences."
BANDS = {"10-90": "10\N{EN DASH}90 %", "all": "All runs"}

#: The controls whose value is that part of the choice; the others need a word in between.
PLAIN = ("sweep", "by", "facet", "where", "when", "show", "band", "align", "probe")


@dataclass(frozen=True)
class Shown:
    """The page: its key (see ``shell.Page``), its title, its main part and its side."""

    key: str
    title: str
    content: list[Any]
    aside: list[Any]


# The page ------------------------------------------------------------------------------------------------------------


def page(reader: Reader, search: str | None) -> Shown:
    """Return the page of a link; what of the link this store does not have is said, and left out."""
    shown = parts(reader, read(search))
    return Shown("compare", "Compare", _content(shown), _aside(shown))


def _content(shown: dict[str, Any]) -> list[Any]:
    """Return the main part."""
    head = [
        html.Div(
            [html.H1("Compare"), html.P(shown["said"], id="compare-said", role="status")], className="compare-head"
        ),
        html.Div(shown["troubles"], id="compare-troubles", className="compare-troubles", role="alert"),
        html.Div(shown["proposals"], id="compare-proposals", className="compare-proposals"),
    ]
    named: Any = {"data-source": shown["source"]}
    return [
        *head,
        html.Div(
            shown["cards"], id="compare-cards", className="cards compare-cards", style=shown["cards:style"], **named
        ),
        html.Div(shown["table"], id="compare-table"),
        dcc.Store(id="compare-marks", data=_marks(shown)),
        dcc.Store(id="compare-link"),
        dcc.Store(id="compare-link-set"),
    ]


def _aside(shown: dict[str, Any]) -> list[Any]:
    """Return the side: everything that chooses what is compared."""
    small: dict[str, Any] = {"size": "sm", "clearable": True}
    return [
        dmc.Select(
            id="compare-sweep",
            label="Sweep",
            data=shown["sweep:data"],
            value=shown["sweep"],
            placeholder="All sweeps",
            clearButtonProps=words.aria(label="Choose from all sweeps"),
            wrapperProps={"hidden": len(shown["sweep:data"]) < 2},
            **small,
        ),
        dmc.MultiSelect(
            id="compare-run",
            label="Runs",
            description="None compares all that fulfil the conditions",
            data=shown["run:data"],
            value=shown["run"],
            searchable=True,
            placeholder="Search a run",
            filter={"function": "asSent"},
            hidePickedOptions=True,
            nothingFoundMessage="No run has these words",
            maxDropdownHeight=320,
            comboboxProps={"width": 420, "position": "bottom-start"},
            clearButtonProps=words.aria(label="Take out every run"),
            className="compare-runs",
            **small,
        ),
        dmc.MultiSelect(
            id="compare-by",
            label="Group by",
            data=shown["by:data"],
            value=shown["by"],
            searchable=True,
            placeholder=shown["by:placeholder"],
            clearButtonProps=words.aria(label="Group by nothing"),
            **small,
        ),
        dmc.Select(
            id="compare-facet",
            label="A panel for each",
            data=shown["facet:data"],
            value=shown["facet"],
            searchable=True,
            placeholder="one panel",
            clearButtonProps=words.aria(label="One panel"),
            **small,
        ),
        dmc.TagsInput(
            id="compare-where",
            label="Conditions",
            description="Like length>=100 or cell=LSTM,GRU",
            value=shown["where"],
            placeholder="name, sign, value",
            splitChars=[";"],
            clearButtonProps=words.aria(label="Remove every condition"),
            **small,
        ),
        _switch("when", "Before or after training", WHENS, shown),
        _switch("show", "Show", SHOWS, shown),
        html.P(shown["note"], id="compare-note", className="note"),
        _switch(
            "band",
            "Bands hold",
            BANDS,
            shown,
            html.P(shown["band:note"], id="compare-band-note", className="note"),
            disabled=shown["band:off"],
        ),
        dmc.Switch(
            id="compare-members",
            label="Each run as a thin line",
            checked=shown["members"],
            disabled=shown["members:off"],
            size="sm",
        ),
        _switch("align", "Places counted", ALIGNS, shown),
        dmc.MultiSelect(
            id="compare-probe",
            label="Figures",
            data=[{"value": name, "label": CATALOGUE[name].title} for name in COMPARABLE],
            value=shown["probe"],
            searchable=True,
            placeholder="the usual ones",
            clearButtonProps=words.aria(label="Show the usual figures"),
            **small,
        ),
        dmc.CopyButton(
            id="compare-copy", children="Copy link", copiedChildren="Link copied", value="", variant="subtle", size="xs"
        ),
    ]


def _switch(
    name: str, title: str, data: dict[str, str], shown: dict[str, Any], *note: Any, disabled: bool = False
) -> html.Div:
    """Return a switch between a few words, with its name above."""
    values = dict(data) | ({shown[name]: f"At {shown[name]}"} if shown[name] not in data else {})
    switch = dmc.SegmentedControl(
        id=f"compare-{name}",
        data=[{"value": value, "label": word} for value, word in values.items()],
        value=shown[name],
        disabled=disabled,
        fullWidth=True,
        size="sm",
        **words.aria(label=title),
    )
    return html.Div([html.Span(title, className="label"), switch, *note])


# Its parts -----------------------------------------------------------------------------------------------------------


def parts(reader: Reader, choice: Choice) -> dict[str, Any]:
    """Return what each part of the page shows, by the part's name."""
    now = compared(reader, choice)
    choice = now.choice
    probes = _probes(reader, now)
    options = [{"value": name, "label": words.label(name)} for name in now.parameters]
    both = [{"value": MOMENT, "label": "Before and after"}] if choice.when == BOTH else []
    return {
        "search": link(choice),
        "sweep": choice.sweep or None,
        "run": [run for run in choice.run if run],
        "by": list(choice.by),
        "facet": choice.facet or None,
        "where": list(choice.where),
        "when": choice.when,
        "show": choice.show,
        "band": choice.band,
        "align": "end" if now.backwards else "start",
        "members": choice.members == "1",
        "probe": list(choice.probe),
        "sweep:data": [{"value": str(sweep["id"]), "label": sweep["name"]} for sweep in reader.sweeps()],
        "run:data": _run_options(reader, choice, _called(now)),
        "by:data": options + both,
        "by:placeholder": _placeholder(now),
        "facet:data": options + both,
        "note": _note(now),
        "band:off": is_single(now),
        "members:off": is_single(now),
        "band:note": ALONE if is_single(now) else "",
        "said": _said(now),
        "troubles": _troubles(now),
        "proposals": _proposals(now),
        "cards": figure_cards(now, probes) if now.rows else [_nothing(reader, now)],
        "cards:style": reading(now),
        "table": group_table(now) if now.rows else None,
        "source": f"{FIGURE}?" + urlencode({"search": link(choice), "stamp": _stamp(now)}),
    }


def _placeholder(now: Compared) -> str:
    """Say by what the runs are grouped while nothing was chosen."""
    if now.choice.by:
        return ""
    return ", ".join(words.label(name) for name in now.by) if now.proposed else "each run by itself"


def _probes(reader: Reader, now: Compared) -> tuple[str, ...]:
    """Return the figures on the page: those that were chosen, else the usual ones that the first runs have."""
    if now.choice.probe or not now.rows:
        return now.choice.probe
    some = [group.rows[0] for group in now.drawn()[:12]]
    moments = dict.fromkeys(row["when"] for row in some)
    held: set[str] = set()
    for moment in moments:
        asked = [row["run"] for row in some if row["when"] == moment]
        for record in reader.across((*USUAL, MAPPED), asked, moment).values():
            held.update(record.keys())
    few = sum(map(len, now.panels.values())) <= FEW and len(now.rows) <= SMALL
    mapped = (MAPPED,) if MAPPED in held and few else ()
    return (*tuple(name for name in USUAL if name in held)[:CARDS], *mapped) or USUAL[:1]


def _stamp(now: Compared) -> str:
    """Return a fingerprint of the runs on show: it changes when one comes in or is measured anew."""
    told = [(row["run"], row["iteration"], row["attempts"], row["heartbeat"]) for row in now.rows]
    return _fingerprint(told)


def _said(now: Compared) -> str:
    """Say what is compared."""
    if not now.rows:
        return ""
    groups = now.drawn()
    runs, drawn = len({row["run"] for group in groups for row in group.rows}), len(groups)
    single = any(now.choice.run) and not now.choice.by
    by = " and ".join(words.label(name).lower() for name in now.by if name != MOMENT)
    moment = ", before and after training" if MOMENT in now.by else ""
    if single:
        told = f"{words.count(runs, 'run')}{moment}"
    else:
        of = (
            f"{drawn:,} of {words.count(now.groups, 'group')}"
            if drawn < now.groups
            else words.count(now.groups, "group")
        )
        told = f"{words.count(runs, 'run')} in {of}" + (f" by {by}" if by else "") + moment
    if now.facets:
        told += f", a panel for each {words.label(now.choice.facet).lower()}"
    waiting = f" {words.count(now.waiting, 'run')} without a record come in when they have one." if now.waiting else ""
    return f"{told}.{waiting}"


def _troubles(now: Compared) -> list[Any]:
    """Say what could not be followed, and what is not drawn, with the way to have it."""
    found: list[Any] = [dmc.Alert(text, color="red", variant="light", className="alert") for text in now.troubles]
    shown, choice = len(now.drawn()), now.choice
    if now.groups > choice.limit(DRAWN):
        found.append(_too_many(now, f"{choice.limit(DRAWN):,} of {now.groups:,} groups are drawn.", now.groups))
    if now.facets > len(now.panels) and now.facets > choice.limit(PANELS):
        found.append(_too_many(now, f"{len(now.panels):,} of {now.facets:,} panels are drawn.", now.facets))
    if choice.show == "difference" and shown != 2 and now.rows:
        found.append(
            dmc.Alert(
                f"A difference needs exactly two runs or groups; these are {shown:,}. Choose two runs, or a condition "
                "that leaves two groups.",
                color="yellow",
                variant="light",
                className="alert",
            )
        )
    return found


def _too_many(now: Compared, text: str, number: int) -> dmc.Alert:
    """Say that not everything is drawn, and offer what to do."""
    every = dcc.Link(
        f"Draw all {number:,}", href=PATH + link(replace(now.choice, most=str(number))), className="button"
    )
    return dmc.Alert(
        [html.Span(f"{text} Add a condition or group by fewer parameters to see the others. "), every],
        color="yellow",
        variant="light",
        className="alert",
    )


def _proposals(now: Compared) -> list[Any]:
    """Return links to other groups, the most telling parameter first."""
    if any(now.choice.run) or len(now.parameters) < 2:
        return []
    chips = [
        dcc.Link(
            words.label(name),
            href=PATH
            + link(replace(now.choice, by=(name,), facet="" if now.choice.facet == name else now.choice.facet)),
            className="proposal is-on" if now.by == (name,) else "proposal",
        )
        for name in now.parameters[:7]
    ]
    return [html.Span("Group by", className="label"), *chips]


def _note(now: Compared) -> str:
    """Say what a switch at the side would not do."""
    if now.choice.when == BOTH and not any(row.get(MOMENT) and row["iteration"] for row in now.rows):
        return "No run on show was trained."
    return ""


def _nothing(reader: Reader, now: Compared) -> Any:
    """Return what stands for a comparison of no run."""
    if now.waiting:
        text = f"{words.count(now.waiting, 'run')} fulfil what was asked for, and none has a record yet."
        return states.nothing(
            "Nothing was measured yet", html.P(text), html.P("The page looks by itself.", className="note")
        )
    if not reader.population("last")[1]:
        return states.nothing("No run has begun yet", html.P("Groups appear here as runs end.", className="note"))
    action = dcc.Link("Compare all runs", href=PATH, className="button")
    if now.troubles and now.choice.run == () and not now.choice.where:
        return states.nothing("There is nothing to compare", action=action)
    return states.nothing(
        "No run matches", html.P("No run of the store fulfils all that was asked for."), action=action
    )


def _called(now: Compared) -> dict[str, str]:
    """Return what the figures call the runs that are chosen, by their ids."""
    if now.by or not any(now.choice.run):
        return {}
    return {row["run"]: group.name for group in now.drawn() for row in group.rows}


def _run_options(reader: Reader, choice: Choice, called: dict[str, str], search: str = "") -> list[dict[str, str]]:
    """Return the runs that a search finds, those that are chosen first, by the names that figures call them."""
    _, rows = reader.population(LAST if choice.when == LAST else FIRST, choice.sweep)
    chosen = set(filter(None, choice.run))
    wanted = search.casefold().split()
    found = [row for row in rows if row["run"] in chosen]
    for row in rows:
        if len(found) >= FOUND + len(chosen):
            break
        if row["run"] not in chosen and row["iteration"] is not None and _fits(row, wanted):
            found.append(row)
    return [{"value": row["run"], "label": called.get(row["run"]) or _run_label(row)} for row in found]


def _fits(row: dict[str, Any], wanted: Sequence[str]) -> bool:
    """Return whether the words of a run hold all of a search."""
    text = _run_label(row).casefold() if wanted else ""
    return all(word in text for word in wanted)


def _run_label(row: dict[str, Any]) -> str:
    """Return a run in words: the beginning of its id, what it is, and its seed."""
    seed = f", seed {words.number(row['seed'])}" if row.get("seed") is not None else ""
    return f"{row['run'][:10]} \N{MIDDLE DOT} {words.title(row)}{seed}"


# Answers -------------------------------------------------------------------------------------------------------------


def _marks(shown: dict[str, Any]) -> dict[str, str]:
    """Return a fingerprint of each part, by which the next answer leaves alone what has not changed."""
    return {name: _fingerprint(value) for name, value in shown.items()}


def _fingerprint(value: Any) -> str:
    """Return a digest of a part as the browser would get it."""
    text = orjson.dumps(value, default=lambda part: part.to_plotly_json(), option=orjson.OPT_SERIALIZE_NUMPY)
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


#: Which property of the page holds which part.
PLACES = {
    "search": Output("compare-link", "data"),
    **{name: Output(f"compare-{name}", "value") for name in (*PLAIN, "run")},
    "members": Output("compare-members", "checked"),
    **{f"{name}:data": Output(f"compare-{name}", "data") for name in ("sweep", "by", "facet")},
    "by:placeholder": Output("compare-by", "placeholder"),
    "note": Output("compare-note", "children"),
    "band:off": Output("compare-band", "disabled"),
    "members:off": Output("compare-members", "disabled"),
    "band:note": Output("compare-band-note", "children"),
    "said": Output("compare-said", "children"),
    "troubles": Output("compare-troubles", "children"),
    "proposals": Output("compare-proposals", "children"),
    "cards": Output("compare-cards", "children"),
    "cards:style": Output("compare-cards", "style"),
    "table": Output("compare-table", "children"),
    "source": Output("compare-cards", "data-source"),
}


def asked(
    trigger: str,
    search: str | None,
    controls: dict[str, Any],
    chosen: dict[str, str | None],
    seen: dict[str, str | None],
) -> Choice:
    """Return the choice that is asked for: by the link when it or the store changed, else by the controls.

    Parameters
    ----------
    trigger : str
        The control that changed, or ``"search"``, ``"version"``, ``"part"``, ``"view"``.
    search : str or None
        The link.
    controls : dict
        Value of each control.
    chosen : dict
        The part that each card on the page shows, None where the page chose it.
    seen : dict
        How each card on the page is drawn.
    """
    choice = read(search)
    if trigger in ("search", "version"):
        return choice
    if trigger == "part":
        kept = {name: part for name, part in (choice.parts() | chosen).items() if part}
        return replace(choice, part=tuple(f"{name}:{part}" for name, part in kept.items()))
    if trigger == "view":
        every = {name: choice.seen_as(name) for name in COMPARABLE} | seen
        usual = replace(choice, view=())
        kept = {name: view for name, view in every.items() if view and view != usual.seen_as(name)}
        return replace(choice, view=tuple(f"{name}:{view}" for name, view in kept.items()))
    value = controls[trigger]
    if trigger == "run":
        return replace(choice, run=slots(choice.run, value or []))
    if trigger == "members":
        return replace(choice, members="1" if value else "")
    many = isinstance(getattr(Choice(), trigger), tuple)
    changed: dict[str, Any] = {trigger: tuple(value or ()) if many else value or getattr(Choice(), trigger)}
    return replace(choice, most="", **changed)


def slots(before: Sequence[str], now: Sequence[str]) -> tuple[str, ...]:
    """Return the runs of a link: each keeps its place, and so its colour; a new one takes the first free place.

    Examples
    --------
    >>> slots(("a", "b", "c"), ["a", "c"]), slots(("a", "", "c"), ["a", "c", "d"])
    (('a', '', 'c'), ('a', 'd', 'c'))
    """
    places = [run if run in now else "" for run in before]
    for run in now:
        if run not in places:
            free = places.index("") if "" in places else len(places)
            places[free : free + 1] = [run]
    return trimmed(places)


def register(app: Dash, reader: Reader) -> None:
    """Keep the page in step with its link, its controls and the store; draw its figures as the reader comes near."""
    desk = Desk(reader)
    sheets: OrderedDict[Any, Compared] = OrderedDict()
    lock = threading.Lock()

    def sheet(search: str | None) -> Compared:
        """Return what a link is about; the cards of a page ask for the same."""
        key = (reader.version(), search)
        with lock:  # the cards ask at once, and one of them finds out for all
            if key not in sheets:
                sheets[key] = compared(reader, read(search))
                while len(sheets) > SHEETS:
                    sheets.popitem(last=False)
            return sheets[key]

    app.clientside_callback(
        ClientsideFunction("gradscope", "link"), Output("compare-copy", "value"), Input("url", "href")
    )
    app.clientside_callback(
        ClientsideFunction("gradscope", "follow"),
        Output("compare-link-set", "data"),
        Input("compare-link", "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        output={"parts": PLACES, "marks": Output("compare-marks", "data")},
        inputs={
            "search": Input("url", "search"),
            "version": Input("version", "data"),
            "controls": {name: Input(f"compare-{name}", "value") for name in (*PLAIN, "run")}
            | {"members": Input("compare-members", "checked")},
            "chosen": Input(cards.part("compare-part", ALL), "value"),
            "seen": Input(cards.part("compare-view", ALL), "value"),
            "names": State(cards.part("compare-part", ALL), "id"),
            "pathname": State("url", "pathname"),
            "before": State("compare-marks", "data"),
        },
        prevent_initial_call=True,
    )
    def update(search, version, controls, chosen, seen, names, pathname, before):
        trigger = _trigger()
        if pathname != PATH or not version or not trigger:
            raise PreventUpdate
        probes = [entry["name"].removeprefix("compare-") for entry in names]
        held, views = dict(zip(probes, chosen, strict=True)), dict(zip(probes, seen, strict=True))
        return answer(reader, asked(trigger, search, controls, held, views), controls, before)

    @app.callback(
        Output("compare-run", "data"),
        Input("compare-run", "searchValue"),
        Input("compare-run", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def find(typed, value, search):
        choice = read(search)
        return _run_options(reader, replace(choice, run=tuple(value or ())), _called(sheet(search)), typed or "")

    @app.server.get(FIGURE)
    def figure_of_comparison() -> Response:
        probe = request.args.get("name", "").removeprefix("compare-")
        if probe not in COMPARABLE:
            gone = cards.noticed("There is no such figure. Open the page anew.", failed=True)
            return Response(json.dumps(gone), mimetype="application/json")
        return Response(desk.answer(sheet(request.args.get("search")), probe), mimetype="application/json")


def _trigger() -> str:
    """Return what the page has to answer, or ``""`` for what was only put in."""
    found = [entry["prop_id"] for entry in ctx.triggered]
    if "url.search" in found:
        return "search"
    for name in (*PLAIN, "run", "members"):
        if any(one.startswith(f"compare-{name}.") for one in found):
            return name
    for name in ("part", "view"):
        if any(f"compare-{name}" in one for one in found):
            return name
    return "version" if "version.data" in found else ""


def answer(reader: Reader, choice: Choice, controls: dict[str, Any], before: dict[str, str]) -> dict[str, Any]:
    """Return what changes on the page, as the callback hands it out."""
    shown = parts(reader, choice)
    seen = before | _marks(
        {
            name: value if value not in ("", None) or name not in ("sweep", "facet") else None
            for name, value in controls.items()
        }
    )
    after = _marks(shown)
    changed: dict[str, Any] = {name: no_update if after[name] == seen.get(name) else shown[name] for name in PLACES}
    if changed["search"] is not no_update:
        changed["search"] = PATH + changed["search"]  # whoever has gone on to another page keeps that one's address
    return {"parts": changed, "marks": after}
