"""The shell: header, side and main part, and which page stands in them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update, set_props

from gradscope.errors import GradscopeError

from . import cards, compare, overview, run, scope, states, theme, training, words
from .address import parse, run_of
from .reader import Reader
from .sheet import parts

__all__ = ["Page", "layout", "page", "register", "report"]

POLL = 2000  # milliseconds between two looks at the store
FRESH = 60.0  # seconds for which a heartbeat counts as a sign of life


@dataclass(frozen=True)
class Page:
    """What stands in the shell.

    Attributes
    ----------
    key : str
        Changes when the page must be built anew; while it stays, the page's own callbacks keep it up to date.
    title : str
        For the browser's tab.
    content : list
        The main part.
    aside : list
        The side; without one it is folded away.
    """

    key: str
    title: str
    content: Any
    aside: list[Any] = field(default_factory=list)


def page(reader: Reader, pathname: str | None, search: str | None) -> Page:
    """Return the page of an address, or the one that says why there is none."""
    try:
        return _page(reader, pathname or "/", search)
    except GradscopeError as error:
        return Page(f"unreadable {error}", "store not readable", states.unreadable(reader.path, str(error)))


def _page(reader: Reader, pathname: str, search: str | None) -> Page:
    """Return the page of an address in a store that can be read."""
    if pathname == scope.PATH:
        live = scope.page(search)
        return Page(live.key, "Scope", live.content, live.aside)
    view, name = parse(search), run_of(pathname)
    sweeps = reader.sweeps()
    trained = training.run_in(pathname)
    if pathname not in ("/", compare.PATH) and name is None and trained is None:
        return Page(f"nowhere {pathname}", "no such page", states.no_page(pathname, view))
    if not sweeps:
        return Page("empty store", "empty store", states.empty_store(reader.path))
    if trained is not None:
        film = training.page(reader, trained, search)
        return Page(film.key, film.title, film.content, film.aside)
    if pathname == compare.PATH:
        several = compare.page(reader, search)
        return Page(several.key, several.title, several.content, several.aside)
    if name is not None:
        entry = reader.run(name)
        if entry is None:
            return Page(f"no run {name}", "no such run", states.no_run(name, view))
        one = run.page(reader, entry, search)
        return Page(one.key, words.title(entry["config"]), one.content, one.aside)
    names = [sweep["name"] for sweep in sweeps]
    if not reader.statuses():
        return Page("empty sweep", names[0], states.empty_sweep(names))
    shown = parts(reader, view)
    return Page("overview", ", ".join(names), overview.content(shown), overview.aside(shown, sweeps))


def layout(reader: Reader, visited: str | None = None) -> dmc.MantineProvider:
    """Return the frame around every page, as one visit begins it.

    Parameters
    ----------
    reader : Reader
    visited : str, optional
        The address in the browser, as it says it with its request: its page then stands in the frame from the start.
        Where a browser keeps it to itself, or says half of it, the page comes when Dash asks for it (``here`` in
        `assets/gradscope.js` compares the two).
    """
    version = _version(reader)  # before the page is built: what is written meanwhile is newer, and brings it anew
    first, place = _first(reader, visited)
    return dmc.MantineProvider(
        [
            dcc.Location(id="url", refresh="callback-nav", **place),
            dcc.Interval(id="tick", interval=POLL),
            dcc.Store(id="version", data=version),
            dcc.Store(id="page", data=first.key),
            dcc.Store(id="title", data=_tab(first)),
            dcc.Store(id="named"),
            dcc.Store(id="figures"),
            dcc.Store(id="templates", data=theme.templates()),
            html.Div(id="trouble", role="alert"),
            cards.export_menu(),
            _banner(),
            dmc.AppShell(
                [
                    dmc.AppShellHeader(_header(reader), className="header"),
                    dmc.AppShellNavbar(
                        id="aside", children=first.aside, className="aside", **words.aria(label="Scope")
                    ),
                    dmc.AppShellMain(html.Div(first.content, id="content", className="content"), className="main"),
                ],
                id="shell",
                header={"height": 56},
                navbar=_navbar(first),
                padding=0,
                transitionDuration=0,
            ),
        ],
        theme=theme.MANTINE,
        defaultColorScheme="auto",
    )


def _first(reader: Reader, visited: str | None) -> tuple[Page, dict[str, str]]:
    """Return the page that a visit begins with, and the parts of its address."""
    waiting = Page("", "", _waiting())
    if not visited:
        return waiting, {}
    try:
        at = urlsplit(visited)
        place = {"pathname": at.path, "search": f"?{at.query}" if at.query else ""}
        return page(reader, **place), place
    except Exception:
        logging.getLogger(__name__).exception("a page failed")
        return waiting, {}  # Dash asks for it again, and shows the error


def _version(reader: Reader) -> str:
    """Return the version of the store, or ``""`` while it cannot be read."""
    try:
        return reader.version()
    except GradscopeError:
        return ""


def _tab(shown: Page) -> str:
    """Return what the browser's tab says."""
    return f"{shown.title} · gradscope" if shown.title else "gradscope"


def _navbar(page: Page) -> dict[str, Any]:
    """Return the side of a page, open or folded away; open while the page is still to come."""
    shown = bool(page.aside or not page.key)
    return {"width": 300, "breakpoint": "sm", "collapsed": {"desktop": not shown, "mobile": not shown}}


def _header(reader: Reader) -> list[Any]:
    """Return what stands above every page."""
    toggle = dmc.ColorSchemeToggle(
        id="scheme",
        lightIcon=html.Span(className="icon icon-sun"),
        darkIcon=html.Span(className="icon icon-moon"),
        variant="default",
        size="lg",
        **words.aria(label="Change between dark and light"),
    )
    home = dcc.Link(
        [html.Img(src="/assets/logo.svg", alt="", className="logo"), html.Span("gradscope")], href="/", className="home"
    )
    names, done, sign = told(reader)
    return [
        home,
        html.Nav(
            [
                dcc.Link("Runs", href="/", className="nav-link"),
                dcc.Link("Training", href=training.PATH, className="nav-link"),
                dcc.Link("Compare", href=compare.PATH, className="nav-link"),
                dcc.Link("Scope", href=scope.PATH, className="nav-link"),
            ],
            **words.aria(label="Pages"),
        ),
        html.Div(names, id="sweeps", className="sweeps"),
        html.Div(done, id="progress", className="progress", role="status"),
        html.Div(sign, id="live", className="live"),
        toggle,
    ]


def _banner() -> html.Div:
    """Return the line that appears when the server does not answer any more."""
    return html.Div(
        [
            html.Strong("The server does not answer. "),
            "What you see is its last word; the page goes on when it is back.",
        ],
        id="banner",
        className="banner hidden",
        role="alert",
    )


def _waiting() -> list[Any]:
    """Return the outline of a page that is still to come."""
    cards = [html.Div(className="card plot-wait standing") for _ in range(3)]
    return [html.Div(cards, className="waiting", **words.aria(label="Loading", busy="true"))]


# Answers -------------------------------------------------------------------------------------------------------------


def sweep_badges(sweeps: list[dict[str, Any]]) -> list[Any]:
    """Return the names of the sweeps, the first three of them."""
    badges = [html.Span(sweep["name"], className="badge", title=f"Sweep {sweep['name']}") for sweep in sweeps[:3]]
    return badges + ([html.Span(f"+{len(sweeps) - 3}", className="badge quiet")] if len(sweeps) > 3 else [])


def progress(statuses: dict[str, int], waiting: int = 0) -> list[Any]:
    """Return how far the runs are: a bar over all that are planned, and the numbers of those that have begun.

    While some are still to come to an end of their own, it says of how many.
    """
    counts = {status: statuses.get(status, 0) for status in ("done", "running", "failed", "interrupted")}
    total, ended = sum(counts.values()) + waiting, counts["done"] + counts["failed"]
    if not total:
        return []
    of = f" of {total:,}" if ended < total else ""
    said = [
        html.Span([html.B(f"{number:,}"), f"{of if status == 'done' else ''} {status}"], className=f"count {status}")
        for status, number in counts.items()
        if number or status == "done"
    ]
    shares = counts | {"waiting": waiting}
    bar = [html.Span(className=status, style={"flexGrow": number}) for status, number in shares.items() if number]
    return [html.Div(bar, className="bar", **words.aria(hidden="true")), *said]


def live(heartbeat: float | None, statuses: dict[str, int]) -> list[Any]:
    """Return the badge that says whether the sweep lives; nothing when all runs have come to an end of their own."""
    if heartbeat is None:
        hint = "Their sweep was stopped or has died. Start it again: what is finished is not done twice."
        return [_sign("interrupted", hint, "silent")] if statuses.get("interrupted") else []
    if heartbeat < FRESH:
        return [_sign(f"live · {words.ago(heartbeat)}", "A run is in work.", "beating")]
    hint = "Runs are marked as running, and silent: their sweep may have died."
    return [_sign(f"no sign of life · {words.ago(heartbeat)}", hint, "silent")]


def _sign(text: str, hint: str, look: str) -> html.Span:
    """Return a badge with a dot."""
    return html.Span([html.I(className="dot"), text], className=f"badge {look}", title=hint)


def told(reader: Reader) -> tuple[list[Any], list[Any], list[Any]]:
    """Return what the header tells of the store: sweeps, progress, sign of life; nothing while it cannot be read."""
    try:
        statuses = reader.statuses()
        return sweep_badges(reader.sweeps()), progress(statuses, reader.waiting()), live(reader.heartbeat(), statuses)
    except GradscopeError:
        return [], [], []


def report(error: Exception) -> None:
    """Show an error of a callback at the top of the page, and its trace in the log."""
    logging.getLogger(__name__).error("a callback failed", exc_info=error)
    text = str(error) if isinstance(error, GradscopeError) else f"{type(error).__name__}: {error}"
    alert = dmc.Alert(
        text, title="Something went wrong", color="red", variant="filled", withCloseButton=True, className="trouble"
    )
    set_props("trouble", {"children": alert})


def register(app: Dash, reader: Reader) -> None:
    """Look at the store from time to time, and put the page of the address into the shell."""

    @app.callback(
        Output("version", "data"),
        Output("sweeps", "children"),
        Output("progress", "children"),
        Output("live", "children"),
        Input("tick", "n_intervals"),
        State("version", "data"),
        prevent_initial_call=True,
    )
    def look(ticks: int, known: str) -> tuple[Any, ...]:
        version, (names, done, sign) = _version(reader), told(reader)
        return (no_update, no_update, no_update, sign) if version == known else (version, names, done, sign)

    @app.callback(
        Output("content", "children"),
        Output("aside", "children"),
        Output("shell", "navbar"),
        Output("title", "data"),
        Output("page", "data"),
        Input("url", "pathname"),
        Input("version", "data"),
        State("url", "search"),
        State("page", "data"),
        prevent_initial_call=True,
    )
    def route(pathname: str | None, version: str, search: str | None, known: str) -> tuple[Any, ...]:
        now = page(reader, pathname, search)
        if now.key == known:
            return (no_update,) * 5
        return now.content, now.aside, _navbar(now), _tab(now), now.key

    app.clientside_callback(ClientsideFunction("gradscope", "here"), Input("url", "pathname"), State("url", "search"))
    app.clientside_callback(ClientsideFunction("gradscope", "name"), Output("named", "data"), Input("title", "data"))
    app.clientside_callback(
        ClientsideFunction("gradscope", "banner"),
        Output("banner", "className"),
        Input("tick", "n_intervals"),
        prevent_initial_call=True,
    )
