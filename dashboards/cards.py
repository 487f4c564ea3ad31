"""Cards: a heading, a figure, what to conclude from it, and the figure to take along as PNG, SVG or CSV."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html
from flask import Response, request

from gradscope.errors import GradscopeError
from gradscope.figures import Figure, to_csv

from . import words

__all__ = [
    "answer",
    "card",
    "drawn",
    "export_menu",
    "figure_card",
    "heading",
    "noticed",
    "part",
    "register",
    "table",
]

#: Where the browser sends a figure that is to come back as CSV; `assets/export.js` knows it, too.
TABLE = "/figure.csv"
LARGEST = 64 * 2**20  # bytes of a figure that is sent
EXPORTS = {"png": "Picture (PNG)", "svg": "Drawing (SVG)", "csv": "Numbers (CSV)"}


def part(kind: str, name: Any) -> dict[str, Any]:
    """Return the id of what belongs to a card: its ``figure`` ..."""
    return {"type": kind, "name": name}


def card(*children: Any, className: str = "", **attributes: Any) -> html.Section:
    """Return a card around anything."""
    return html.Section(list(children), className=f"card {className}".strip(), **attributes)


def heading(title: str, unit: Any, *controls: Any) -> html.Div:
    """Return the first line of a card: its name and unit on the left, what changes it on the right."""
    name = html.H3(title, className="card-title")
    return html.Div([name, unit, html.Div(list(controls), className="card-aside")], className="card-head")


def export_menu() -> html.Div:
    """Return the menu that saves a figure as PNG, SVG or CSV, one for all cards: the browser makes the file."""
    told: list[Any] = [{"data-export": kind} for kind in EXPORTS]
    items = [
        html.Button(text, type="button", role="menuitem", tabIndex=-1, **kind)
        for text, kind in zip(EXPORTS.values(), told, strict=True)
    ]
    return html.Div(items, id="export-menu", className="export-menu", role="menu")


def figure_card(
    name: str,
    title: str,
    controls: Sequence[Any] = (),
    size: str = "",
    choices: Sequence[str] = (),
    data: dict[str, Any] | None = None,
    store: bool = True,
) -> html.Section:
    """Return the card of a figure, which is still to come; `assets/cards.js` gives it its parts.

    A figure comes in one of three ways: from Dash, which writes it, from :func:`drawn`, to the Store
    ``part("figure", name)``; from an address, which an element around the card has as its ``data-source``, asked when
    the reader comes near, with the name of the card and what is chosen in it; or from the page's own script (``give``
    in `assets/figures.js`).

    Parameters
    ----------
    name : str
        Name of the figure, unique on the page.
    title : str
        Heading of the card.
    controls : sequence of components
        What changes the figure by callbacks, at the right of the heading.
    size : str
        A class that sets the height, e.g. ``"tall"``.
    choices : sequence of str
        What the card can show, where that is several things: the first is shown unasked, the browser's link holds
        another.
    data : dict, optional
        The figure, from :func:`drawn`, when it is there already.
    store : bool
        Whether Dash writes the figure.
    """
    told: Any = {"data-card": name, "data-title": title}
    told |= {"data-choices": json.dumps(list(choices))} if len(choices) > 1 else {}
    return card(
        *([heading(title, html.Span(className="unit"), *controls)] if controls else []),
        *([dcc.Store(id=part("figure", name), data=data)] if store else []),
        className=f"figure-card {size}".strip(),
        **words.aria(label=title),
        **told,
    )


def drawn(make: Callable[[], Figure]) -> dict[str, Any]:
    """Return a figure as a Store takes it, or the reason why there is none: see :func:`answer`."""
    return json.loads(answer(make))


def answer(make: Callable[[], Figure]) -> str:
    """Return a figure as the browser takes it, JSON, or the reason why there is none.

    One figure that fails leaves the others alone: the reason stands in its place, and the whole trace in the log.
    """
    try:
        return f'{{"figure":{make().to_json()}}}'
    except GradscopeError as error:
        return json.dumps(noticed(str(error)))
    except Exception as error:
        logging.getLogger(__name__).exception("a figure failed")
        return json.dumps(noticed(f"This figure could not be drawn: {type(error).__name__}: {error}", failed=True))


def noticed(text: str, failed: bool = False) -> dict[str, Any]:
    """Return words that stand in place of a figure."""
    return {"notice": text, "failed": failed}


def table(sent: bytes) -> Response:
    """Return the numbers of a figure that a browser sent as JSON, or the reason why there are none."""
    try:
        return Response(to_csv(json.loads(sent)), mimetype="text/csv")
    except (GradscopeError, ValueError, LookupError, TypeError, AttributeError) as error:
        logging.getLogger(__name__).info("a figure without numbers", exc_info=error)
        return Response(f"This is not a figure of gradscope: {error}", status=400, mimetype="text/plain")


def register(app: Dash) -> None:
    """Let the browser draw the figures that come from Dash, and answer with the numbers of any figure."""

    @app.server.post(TABLE)
    def numbers() -> Response:
        return table(request.get_data(cache=False) if (request.content_length or 0) <= LARGEST else b"")

    app.clientside_callback(
        ClientsideFunction("gradscope", "given"),
        Output("figures", "data"),
        Input(part("figure", ALL), "data"),
        State(part("figure", ALL), "id"),
    )
    app.clientside_callback(
        ClientsideFunction("gradscope", "templates"),
        Output("figures", "data", allow_duplicate=True),
        Input("templates", "data"),
        prevent_initial_call="initial_duplicate",
    )
