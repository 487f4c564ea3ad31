"""The Scope: knobs at the side, and what the cell does with the gradient, at once."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import dash_mantine_components as dmc
import numpy as np
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html
from flask import Response, request

from gradscope.errors import ArgumentError, GradscopeError
from gradscope.figures import palette
from gradscope.figures.scope import SCOPE, live
from gradscope.record import Record
from gradscope.scope import (
    CHOICES,
    FEATURES,
    FILE,
    LIMITS,
    Setting,
    StoppedError,
    code,
    is_dense,
    limits,
    measure,
)
from gradscope.signals import parse_inputs

from . import cards, states, words

__all__ = ["PATH", "Desk", "Shown", "page", "parse", "query", "register"]

PATH = "/scope"
MEASURE = "/scope/measure"
PROGRESS = "/scope/progress"
SENT = "/scope/file"
LARGEST = 32 * 2**20  # bytes of a file; `assets/scope.js` knows it, too
BINARY = "application/octet-stream"  # a page of a stranger may not send it without being asked about
FILES, RECORDS, CLIENTS = 8, 16, 64  # how many are kept
PIN = "pin"
TITLES = {"signal": "Input", "length": "Length", "initializer": "Initializer of W_h", "batch": "Sequences"}
STEPS = {"gain": 0.01, "forget_bias": 0.1}
ORDER = (
    "cell",
    "hidden_size",
    "length",
    "batch",
    "gain",
    "forget_bias",
    "activation",
    "initializer",
    "signal",
    "seed",
)


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
            html.Span(id="scope-step", className="note"),
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
            html.Pre(code(setting, pinned), id="scope-code", className="scope-code", tabIndex="0"),
            dmc.CopyButton(
                id="scope-copy", value=code(setting, pinned), children="Copy", copiedChildren="Copied", size="xs"
            ),
        ],
        id="scope-modal",
        title="The Python code of this picture",
        size="lg",
        closeButtonProps={"aria-label": "Close the code"},
    )
    figures = [cards.figure_card(f"scope-{name}", title, store=False) for name, title in SCOPE.items()]
    return [
        head,
        html.P(id="scope-pinned", className="note", role="status"),
        html.Div(figures, className="scope-cards"),
        _invitation(),
        modal,
        dcc.Store(id="scope-link", data=query(setting, pinned)),
        dcc.Store(id="scope-sink"),
    ]


def _invitation() -> html.Div:
    """Return what stands in place of the figures while the input is a file that nobody has chosen."""
    steps, sequences = (f"{LIMITS[name][1]:.0f}" for name in ("length", "batch"))
    invited = states.nothing(
        "Show a sequence of your own",
        html.P(id="scope-awaits"),
        html.P("A .npy of shape (T, I) or (T, B, I), or a .csv with one row a step: time comes first."),
        html.P(
            f"The Scope shows the first {steps} steps of {sequences} sequences, with up to {FEATURES} features. "
            "The file goes to the server of this page alone, which keeps it in memory.",
            className="note",
        ),
        action=html.Div(
            [
                dmc.Button("Choose a file …", id="scope-choose-first", size="sm"),
                html.Span("or drop it on this page", className="note"),
            ],
            className="scope-invited",
        ),
    )
    return html.Div([invited], id="scope-invitation", className="hidden")


def _aside(setting: Setting) -> list[Any]:
    """Return the knobs."""
    defaults: dict[str, Any] = {entry.name: entry.default for entry in fields(Setting)}
    made = [
        _choice(name, getattr(setting, name))
        if name in CHOICES
        else _number("seed", setting.seed)
        if name == "seed"
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


def _choice(name: str, value: str) -> html.Div:
    """Return a knob with names to choose from."""
    select = dmc.Select(
        id=cards.part("scope", name),
        label=_title(name),
        data=[{"value": one, "label": _label(name, one)} for one in CHOICES[name]],
        value=value,
        allowDeselect=False,
        size="sm",
    )
    return html.Div([select, *(_beside_cell() if name == "cell" else _beside_signal() if name == "signal" else [])])


def _label(name: str, value: str) -> str:
    """Return what a choice is called."""
    if name == "cell" and is_dense(value):
        return f"{value} · dense"
    return "own file" if (name, value) == ("signal", FILE) else value


def _beside_cell() -> list[Any]:
    """Return what a cell may have to say of itself, with how far sliders go for those that go less far than others."""
    ends = {
        cell: {name: high for name, (_, high) in limits(cell).items()} for cell in CHOICES["cell"] if is_dense(cell)
    }
    kept: Any = {"data-ends": json.dumps(ends)}
    return [html.P(id="scope-cell-note", className="note", role="status", **kept)]


def _beside_signal() -> list[Any]:
    """Return the button that chooses a file, and what is known of it."""
    button = dmc.Button("Choose a file …", id="scope-choose", size="xs", variant="default", fullWidth=True)
    return [
        html.Div([button, html.P(id="scope-file-note", className="note", role="status")], className="scope-file hidden")
    ]


def _slider(name: str, value: float, default: float) -> html.Div:
    """Return a knob to drag, with its number beside it; the browser makes the slider, which Dash need not hear of."""
    low, high = LIMITS[name]
    label = html.Label(_title(name), htmlFor=f"scope-{name}", className="label")
    number = html.Output(words.number(value), id=f"scope-value-{name}", className="scope-number")
    told = {"name": name, "min": low, "max": high, "step": STEPS.get(name, 1), "value": value, "usual": default}
    kept: Any = {f"data-{key}": entry for key, entry in told.items()}
    slider = html.Div(className="slider scope-slider", **kept)
    return html.Div([html.Div([label, number], className="scope-knob"), slider])


def _number(name: str, value: int) -> dmc.NumberInput:
    """Return a knob to type a number into: it has too many places for a slider."""
    low, high = LIMITS[name]
    return dmc.NumberInput(
        id=cards.part("scope", name),
        label=_title(name),
        value=value,
        min=low,
        max=high,
        allowDecimal=False,
        clampBehavior="strict",
        size="sm",
    )


# Answers -------------------------------------------------------------------------------------------------------------


class Desk:
    """What the server keeps for the scopes that are open: files, exact records, and each scope's newest turn.

    Parameters
    ----------
    given : Path, optional
        A file of inputs that was named when the server was started.

    Raises
    ------
    ArgumentError, ShapeError
        As :func:`gradscope.signals.load_inputs`, for that file.
    """

    def __init__(self, given: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[str, np.ndarray] = OrderedDict()
        self._records: OrderedDict[tuple[Setting, bool], Record] = OrderedDict()
        self._turns: OrderedDict[str, int] = OrderedDict()
        self._steps: OrderedDict[str, str] = OrderedDict()
        self.given = "" if given is None else self._add_given(given)

    def _add_given(self, path: Path) -> str:
        try:
            return self.add(path.name, path.read_bytes())
        except OSError as error:
            raise ArgumentError(
                f"`--inputs` must be a file that can be read, got {str(path)!r} ({error.strerror}). "
                "Give a .npy or .csv of shape (T, I) or (T, B, I)."
            ) from None

    def add(self, name: str, content: bytes) -> str:
        """Keep a file as far as the instrument can show it, and return what tells it from others.

        Raises
        ------
        ArgumentError, ShapeError
            As :func:`gradscope.signals.parse_inputs`.
        """
        name = Path(name.replace("\\", "/")).name[-80:]
        inputs = parse_inputs(name, content)
        if inputs.shape[2] <= FEATURES:  # else the setting says so
            inputs = inputs[: int(LIMITS["length"][1]), : int(LIMITS["batch"][1])].copy()
        file = f"{hashlib.sha256(content).hexdigest()[:8]}-{name}"
        with self._lock:
            _keep(self._files, file, inputs, FILES)
        return file

    def file(self, setting: Setting) -> np.ndarray | None:
        """Return the file of a setting, or None where it needs none or names none.

        Raises
        ------
        ArgumentError
            When this server does not hold it.
        """
        if setting.signal != FILE or not setting.file:
            return None
        with self._lock:
            if setting.file in self._files:
                return self._files[setting.file]
        raise ArgumentError(f"`file` must be one that this server holds, got {_name(setting.file)!r}. Choose it again.")

    def turn(self, client: str, number: int) -> Callable[[], bool]:
        """Note that a scope has turned a knob, and return what says whether it has turned one since."""
        with self._lock:
            _keep(self._turns, client, max(number, self._turns.get(client, 0)), CLIENTS)
        return lambda: bool(client) and self._turns.get(client, number) > number

    def awaits(self, setting: Setting) -> str | None:
        """Return what to say where the file of a setting is still to be chosen, and None where it is there."""
        try:
            missing = setting.signal == FILE and self.file(setting) is None
        except ArgumentError:
            return (
                f"This server does not hold {_name(setting.file)}, perhaps since it was started anew: choose it again."
            )
        return "" if missing else None

    def tell(self, client: str, step: str) -> None:
        """Note what is being measured for a scope."""
        with self._lock:
            _keep(self._steps, client, step, CLIENTS)

    def step(self, client: str) -> str:
        """Return what is being measured for a scope, or was last."""
        return self._steps.get(client, "")

    def record(
        self,
        setting: Setting,
        exact: bool,
        stop: Callable[[], bool],
        tell: Callable[[str], None] | None = None,
        keep: bool = True,
    ) -> Record:
        """Return the record of a setting, perhaps from an earlier turn."""
        known = self._records.get((setting, exact))
        if known is None:
            watch = (stop, tell) if exact else ()
            known = measure(setting, exact, self.file(setting), *watch)
            if keep:
                with self._lock:
                    _keep(self._records, (setting, exact), known, RECORDS)
        return known

    def pinned(self, setting: Setting, exact: bool, stop: Callable[[], bool], tell: Callable[[str], None]) -> Record:
        """Return the record of a pinned setting: the exact one, unless a hand moves and it is not there yet."""
        return self.record(setting, exact or (setting, True) in self._records, stop, tell)


def _name(file: str) -> str:
    """Return the name of a file without what tells it from others of that name."""
    return file.partition("-")[2] or file


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    """Keep a value as the newest, and let the oldest go."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


def answer(desk: Desk, values: Mapping[str, str]) -> str:
    """Return what the browser draws for a request, as JSON: figures, verdict, state and code, or an ``error``.

    Where the input is a file that nobody has chosen yet, it ``awaits`` one. A request that is no longer the newest of
    its client is given up on the way, and answered with an ``error``, too.
    """
    values = dict(values)
    exact, client, number = values.pop("exact", "") == "1", values.pop("client", ""), values.pop("turn", "0")
    stop, tell = desk.turn(client, int(number) if number.isdecimal() else 0), partial(desk.tell, client)
    tell("")
    try:
        setting, pinned = parse("?" + urlencode(values))
        if setting.signal == FILE and not setting.file:
            setting = replace(setting, file=desk.given)
        awaits = desk.awaits(setting)
        if awaits is not None:
            return json.dumps({"awaits": awaits, "link": query(setting, pinned)})
        record = desk.record(setting, exact, stop, tell, keep=exact)
        behind = None if pinned is None else desk.pinned(pinned, exact, stop, tell)
        drawn = {name: live(name, record, behind) for name in SCOPE}
    except GradscopeError as error:
        return json.dumps({"error": str(error)})
    except StoppedError:
        return json.dumps({"error": "A newer setting was asked for."})
    told = {
        "state": "exact" if exact else "sampled",
        "verdict": words.verdict(record.summary.get("verdict_text", "")),
        "hue": palette.colour(record.summary.get("verdict", "")),
        "code": code(setting, pinned),
        "link": query(setting, pinned),
        "pinned": "" if pinned is None else f"Pinned: {_told(pinned)}",
        "cell": _of_cell(setting.cell),
        "file": _of_file(setting, desk.file(setting)),
        "lacks": [name for name in ("forget_bias", "activation") if name not in setting.options()],
    }
    figures = ",".join(f"{json.dumps(name)}:{text}" for name, text in drawn.items())
    return f'{json.dumps(told)[:-1]},"figures":{{{figures}}}}}'


def _of_cell(cell: str) -> str:
    """Say what a dense cell costs; nothing of another."""
    if not is_dense(cell):
        return ""
    most = limits(cell)
    size, length = (f"{most[name][1]:.0f}" for name in ("hidden_size", "length"))
    return f"Dense: each Jacobian is written out, which is slower; up to {size} units and {length} steps."


def _of_file(setting: Setting, file: np.ndarray | None) -> str:
    """Say what of a file is shown."""
    if file is None:
        return ""
    steps, sequences, features = setting.inputs(file).shape
    shape = f"{steps} steps, {words.count(sequences, 'sequence')}, {words.count(features, 'feature')}"
    return f"{_name(setting.file)}: {shape}."


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
        + f", {words.count(setting.batch, 'sequence')}, gain {words.number(setting.gain)}, {setting.initializer}, "
        + (_name(setting.file) if setting.signal == FILE else setting.signal)
    )


def received(desk: Desk, name: str, content: bytes) -> str:
    """Return what tells a file that the browser sent, as JSON, or the ``error`` that says why it cannot be shown."""
    try:
        return json.dumps({"file": desk.add(name, content)})
    except GradscopeError as error:
        return json.dumps({"error": str(error)})


def register(app: Dash, inputs: Path | None = None) -> None:
    """Answer the page's requests, and connect its knobs and buttons in the browser.

    Raises
    ------
    ArgumentError, ShapeError
        When ``inputs`` names a file that cannot be shown.
    """
    desk = Desk(inputs)

    @app.server.get(MEASURE)
    def measure_scope() -> Response:
        return Response(answer(desk, request.args.to_dict()), mimetype="application/json")

    @app.server.get(PROGRESS)
    def measured_now() -> Response:
        step = desk.step(request.args.get("client", ""))
        return Response(json.dumps({"step": step}), mimetype="application/json")

    @app.server.post(SENT)
    def receive_file() -> Response:
        if request.mimetype != BINARY or not 0 < (request.content_length or 0) <= LARGEST:
            error = f"`file` must be {BINARY} of 1 to {LARGEST // 2**20} MB, got something else. Send a smaller part."
            return Response(json.dumps({"error": error}), status=413, mimetype="application/json")
        told = received(desk, request.args.get("name", ""), request.get_data(cache=False))
        return Response(told, mimetype="application/json")

    knobs = cards.part("scope", ALL)
    app.clientside_callback(
        ClientsideFunction("gradscope", "turn"),
        Output("scope-sink", "data"),
        Input(knobs, "value"),
        State(knobs, "id"),
        State("scope-link", "data"),
    )
    for button in ("pin", "unpin", "choose", "choose-first"):
        app.clientside_callback(
            ClientsideFunction("gradscope", button.removesuffix("-first")),
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
