"""The Scope: knobs at the side, and what the cell does with the gradient, at once."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl, urlencode

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html
from flask import Response, request

from gradscope.errors import GradscopeError
from gradscope.figures import palette
from gradscope.figures.scope import SCOPE, live
from gradscope.record import Record
from gradscope.scope import CHOICES, LIMITS, Setting, code, measure

from . import cards, states, words

__all__ = ["PATH", "Shown", "page", "parse", "query", "register"]

PATH = "/scope"
MEASURE = "/scope/measure"
PIN = "pin"
TITLES = {"signal": "Input", "length": "Length", "initializer": "Initializer of W_h", "batch": "Sequences"}
STEPS = {"gain": 0.01, "forget_bias": 0.1}
ORDER = ("cell", "hidden_size", "length", "gain", "forget_bias", "activation", "initializer", "signal", "seed")


@dataclass(frozen=True)
class Shown:
    """The page of the scope: its key (see ``shell.Page``), its main part and its side."""

    key: str
    content: list[Any]
    aside: list[Any]


# Links ---------------------------------------------------------------------------------------------------------------


def parse(search: str | None) -> tuple[Setting, Setting | None]:
    """Read a setting, and the pinned one if there is one, from the part of a link after the ``?``.

    Raises
    ------
    ArgumentError
        For a knob that there is none, or one beyond its range.
    """
    values = dict(parse_qsl((search or "").lstrip("?"), keep_blank_values=True))
    pinned = values.pop(PIN, None)
    behind = None if pinned is None else Setting.read(dict(parse_qsl(pinned, keep_blank_values=True)))
    return Setting.read(values), behind


def query(setting: Setting, pinned: Setting | None = None) -> str:
    """Write a setting and a pinned one as the part of a link from the ``?`` on, defaults left out, or ``""``."""
    values = setting.changes()
    if pinned is not None:
        values[PIN] = urlencode(pinned.changes())
    return "?" + urlencode(values) if values else ""


# The page ------------------------------------------------------------------------------------------------------------


def page(search: str | None) -> Shown:
    """Return the page of a link, or the one that says what is wrong with it."""
    try:
        setting, pinned = parse(search)
    except GradscopeError as error:
        return Shown(f"scope {error}", [_refused(str(error))], [])
    return Shown("scope", _content(setting, pinned), _aside(setting))


def _refused(reason: str) -> html.Section:
    """Return what stands for a link that the scope cannot follow."""
    return states.nothing(
        "The Scope cannot show this",
        html.P(reason),
        action=html.A("Open the Scope", href=PATH, className="button"),
    )


def _content(setting: Setting, pinned: Setting | None) -> list[Any]:
    """Return the main part: a head with the verdict, and four figures."""
    pin = {"size": "xs", "variant": "default"}
    head = html.Div(
        [
            html.H1("Scope"),
            html.Span(id="scope-verdict", className="verdict large", role="status"),
            html.Span("measuring", id="scope-state", className="badge scope-state", role="status"),
            html.Div(
                [
                    dmc.Button("Pin", id="scope-pin", **pin, **words.aria(label="Pin this setting to compare with")),
                    dmc.Button("Unpin", id="scope-unpin", **pin, **words.aria(label="Remove the pinned setting")),
                    dmc.Button("Python", id="scope-python", **pin, **words.aria(label="Show the Python code")),
                ],
                className="scope-buttons",
            ),
        ],
        className="scope-head",
    )
    modal = dmc.Modal(
        [
            html.P("It gives the same arrays and the same pictures at rest.", className="note"),
            html.Pre(code(setting), id="scope-code", className="scope-code", tabIndex="0"),
            dmc.CopyButton(id="scope-copy", value=code(setting), children="Copy", copiedChildren="Copied", size="xs"),
        ],
        id="scope-modal",
        title="The Python code of this picture",
        size="lg",
        closeButtonProps={"aria-label": "Close the code"},
    )
    figures = [cards.figure_card(f"scope-{name}", title) for name, title in SCOPE.items()]
    return [
        head,
        html.P(id="scope-pinned", className="note", role="status"),
        html.Div(figures, className="scope-cards"),
        modal,
        dcc.Store(id="scope-link", data=query(setting, pinned)),
        dcc.Store(id="scope-sink"),
    ]


def _aside(setting: Setting) -> list[Any]:
    """Return the knobs."""
    defaults: dict[str, Any] = {entry.name: entry.default for entry in fields(Setting)}
    made = [
        _choice(name, getattr(setting, name))
        if name in CHOICES
        else _slider(name, getattr(setting, name), defaults[name])
        for name in ORDER
    ]
    note = html.P(
        "While you drag, the transport comes from random directions and the norms are rms; when you let go, "
        "everything is measured exactly.",
        className="note",
    )
    return [*made, note]


def _title(name: str) -> str:
    """Return what a knob is called."""
    return TITLES.get(name) or words.label(name)


def _choice(name: str, value: str) -> dmc.Select:
    """Return a knob with names to choose from."""
    return dmc.Select(
        id=cards.part("scope", name),
        label=_title(name),
        data=list(CHOICES[name]),
        value=value,
        allowDeselect=False,
        size="sm",
    )


def _slider(name: str, value: float, default: float) -> html.Div:
    """Return a knob to drag, with its number beside it."""
    low, high = LIMITS[name]
    number = html.Output(words.number(value), id=f"scope-value-{name}", className="scope-number")
    slider = dmc.Slider(
        id=cards.part("scope", name),
        value=value,
        min=low,
        max=high,
        step=STEPS.get(name, 1),
        precision=2,
        label=None,
        size="sm",
        updatemode="drag",
        thumbLabel=_title(name),
        marks=[{"value": default}],
    )
    return html.Div([html.Div([html.Span(_title(name), className="label"), number], className="scope-knob"), slider])


# Answers -------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=16)
def _exact(setting: Setting) -> Record:
    """Return the exact record of a setting, kept for when it is pinned."""
    return measure(setting)


def answer(values: Mapping[str, str]) -> str:
    """Return what the browser draws for a request, as JSON: figures, verdict, state and code, or an ``error``."""
    values = dict(values)
    exact = values.pop("exact", "") == "1"
    try:
        setting, pinned = parse("?" + urlencode(values))
        record = _exact(setting) if exact else measure(setting, exact=False)
        behind = None if pinned is None else _exact(pinned)
        drawn = {name: live(name, record, behind) for name in SCOPE}
    except GradscopeError as error:
        return json.dumps({"error": str(error)})
    told = {
        "state": "exact" if exact else "sampled",
        "verdict": words.verdict(record.summary.get("verdict_text", "")),
        "hue": palette.colour(record.summary.get("verdict", "")),
        "code": code(setting),
        "link": query(setting, pinned),
        "pinned": "" if pinned is None else f"Pinned: {_told(pinned)}",
    }
    figures = ",".join(f"{json.dumps(name)}:{text}" for name, text in drawn.items())
    return f'{json.dumps(told)[:-1]},"figures":{{{figures}}}}}'


def _told(setting: Setting) -> str:
    """Return a setting in words."""
    return (
        words.title(
            {
                "cell": setting.cell,
                "hidden_size": setting.hidden_size,
                "activation": setting.activation,
                "forget_bias": setting.options().get("forget_bias"),
                "length": setting.length,
            }
        )
        + f", gain {words.number(setting.gain)}, {setting.initializer}, {setting.signal}"
    )


def register(app: Dash) -> None:
    """Answer the page's requests, and connect its knobs and buttons in the browser."""

    @app.server.get(MEASURE)
    def measure_scope() -> Response:
        return Response(answer(request.args.to_dict()), mimetype="application/json")

    knobs = cards.part("scope", ALL)
    app.clientside_callback(
        ClientsideFunction("gradscope", "turn"),
        Output("scope-sink", "data"),
        Input(knobs, "value"),
        State(knobs, "id"),
        State("scope-link", "data"),
    )
    for button in ("pin", "unpin"):
        app.clientside_callback(
            ClientsideFunction("gradscope", button),
            Output("scope-sink", "data", allow_duplicate=True),
            Input(f"scope-{button}", "n_clicks"),
            prevent_initial_call=True,
        )
    app.clientside_callback(
        ClientsideFunction("gradscope", "python"),
        Output("scope-modal", "opened"),
        Input("scope-python", "n_clicks"),
        prevent_initial_call=True,
    )
