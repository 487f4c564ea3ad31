"""Cards: a heading, a figure, what to conclude from it, and the figure to take along as PNG, SVG or CSV."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import MATCH, ClientsideFunction, Dash, Input, Output, State, dcc, html
from flask import Response, request

from gradscope.errors import GradscopeError
from gradscope.figures import Figure, to_csv

from . import words

__all__ = ["card", "drawn", "export_menu", "figure_card", "heading", "noticed", "part", "register", "table"]

#: A Graph without the button that would send its data elsewhere.
CONFIG: Any = {
    "displaylogo": False,
    "showSendToCloud": False,
    "displayModeBar": "hover",
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "toImage"],
}

#: Where the browser sends a figure that is to come back as CSV; `assets/gradscope.js` knows it, too.
TABLE = "/figure.csv"
LARGEST = 64 * 2**20  # bytes of a figure that is sent
EXPORTS = {"png": "Picture (PNG)", "svg": "Drawing (SVG)", "csv": "Numbers (CSV)"}


def part(kind: str, name: Any) -> dict[str, Any]:
    """Return the id of one part of a figure's card: its ``figure``, ``graph``, ``body``, ``caption`` ..."""
    return {"type": kind, "name": name}


def card(*children: Any, className: str = "", **attributes: Any) -> html.Section:
    """Return a card around anything."""
    return html.Section(list(children), className=f"card {className}".strip(), **attributes)


def heading(title: str, unit: Any, *controls: Any) -> html.Div:
    """Return the first line of a card: its name and unit on the left, what changes it on the right."""
    name = html.H3(title, className="card-title")
    return html.Div([name, unit, html.Div(list(controls), className="card-aside")], className="card-head")


def export_menu(name: str, title: str) -> dmc.Menu:
    """Return the menu that saves a figure as PNG, SVG or CSV; the browser makes the file from what it shows."""
    label = f"Save the figure {title}"
    sign = dmc.ActionIcon(
        html.Span(className="icon icon-save"),
        variant="subtle",
        color="gray",
        size="md",
        className="export",
        **words.aria(label=label),
        **{"data-export-of": name},
    )
    items = [dmc.MenuItem(text, **{"data-export": kind, "data-of": name}) for kind, text in EXPORTS.items()]
    return dmc.Menu(
        [dmc.MenuTarget(sign), dmc.MenuDropdown(items)], position="bottom-end", withinPortal=True, shadow="md"
    )


def figure_card(
    name: str, title: str, controls: Sequence[Any] = (), size: str = "", data: dict[str, Any] | None = None
) -> html.Section:
    """Return the card of a figure, which may be still to come.

    Whoever has the figure writes it, with :func:`drawn`, to the Store ``part("figure", name)``; the browser then puts
    it in with the template of the colours in use, and its caption and unit with it.

    Parameters
    ----------
    name : str
        Name of the figure, unique on the page.
    title : str
        Heading of the card.
    controls : sequence of components
        What changes the figure, at the right of the heading.
    size : str
        A class that sets the height, e.g. ``"tall"``.
    data : dict, optional
        The figure, from :func:`drawn`, when it is there already.
    """
    named: Any = {"data-figure": name}  # for the browser, which watches when it comes near
    body = html.Div(
        [
            html.Div(className="plot-wait"),
            dcc.Graph(id=part("graph", name), config=CONFIG, className="plot-graph"),
            html.Div(id=part("notice", name), className="plot-notice", role="status"),
        ],
        id=part("body", name),
        className="plot is-waiting",
        role="group",
        **words.aria(label=title),
        **named,
    )
    return card(
        heading(title, html.Span(id=part("unit", name), className="unit"), *controls, export_menu(name, title)),
        body,
        html.P(id=part("caption", name), className="caption"),
        dcc.Store(id=part("figure", name), data=data),
        className=f"figure-card {size}".strip(),
        **words.aria(label=title),
    )


def drawn(make: Callable[[], Figure]) -> dict[str, Any]:
    """Return a figure as the browser takes it, or the reason why there is none.

    One figure that fails leaves the others alone: the reason stands in its place, and the whole trace in the log.
    """
    try:
        return {"figure": json.loads(make().to_json())}
    except GradscopeError as error:
        return noticed(str(error))
    except Exception as error:
        logging.getLogger(__name__).exception("a figure failed")
        return noticed(f"This figure could not be drawn: {type(error).__name__}: {error}", failed=True)


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
    """Let the browser draw each figure when it arrives, and again when the colours change; answer with its numbers."""

    @app.server.post(TABLE)
    def numbers() -> Response:
        return table(request.get_data(cache=False) if (request.content_length or 0) <= LARGEST else b"")

    app.clientside_callback(
        ClientsideFunction("gradscope", "draw"),
        Output(part("graph", MATCH), "figure"),
        Output(part("body", MATCH), "className"),
        Output(part("notice", MATCH), "children"),
        Output(part("caption", MATCH), "children"),
        Output(part("unit", MATCH), "children"),
        Input(part("figure", MATCH), "data"),
        Input("colours", "data"),
        State("templates", "data"),
        State(part("graph", MATCH), "figure"),
        State(part("graph", MATCH), "id"),
    )
