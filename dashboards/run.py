"""The page of one run: what it is, its verdict and numbers, and every figure, grouped by the question it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate
from flask import Response, request

from gradscope import figures
from gradscope.errors import ArgumentError, GradscopeError
from gradscope.figures import palette
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Record

from . import cards, states, words
from .address import LAST, View, asked_iteration, iteration_of, parse, query, run_link, run_of
from .reader import Reader
from .sheet import order
from .training import standing, training_link
from .views import WHOLE, choices, layer_of, layers, length, questions, title, views

__all__ = ["Shown", "draw", "moment", "page", "register", "source", "summary", "turned", "ways"]

#: Where the cards of a run ask for their figures.
FIGURE = "/run/figure"

#: How a run in work goes on.
FOLLOWED = "What is still to come is followed on the page of its training."

BACKWARD = (
    "This direction reads from the end: its step t is the input that stands t steps before the last of each sequence."
)

#: The numbers of a record that stand at the side, in this order, those that it has.
NUMBERS = (
    "decay_rate",
    "growth",
    "half_life",
    "horizon",
    "horizon_best",
    "zero_share",
    "bad_share",
    "lyapunov_1",
    "kaplan_yorke_dimension",
)


@dataclass(frozen=True)
class Shown:
    """The page of a run: its key (see ``shell.Page``), its main part and its side."""

    key: str
    content: list[Any]
    aside: list[Any]


# The page ------------------------------------------------------------------------------------------------------------


def page(reader: Reader, entry: dict[str, Any], search: str | None) -> Shown:
    """Return the page of a run, its figures still to come.

    Parameters
    ----------
    reader : Reader
    entry : dict
        The run, as the store lists it.
    search : str or None
        The link's part after the ``?``: the iteration, and the overview's view to go back to.
    """
    iterations = reader.iterations(entry["id"])
    now = _asked(search, iterations)
    shown = reader.record(entry["id"], now) if now is not None else Record()
    layer = layer_of(search, layers(shown))
    # A run in work stays as it was when it was opened; its training is what follows it.
    seen = iterations if entry["status"] == "done" else bool(iterations)
    key = f"run {entry['id']} {entry['status']} {entry['attempts']} {seen}"
    head = [html.Div(heading(entry), className="run-head")]
    head += [standing(entry, iterations, FOLLOWED)] if iterations and entry["status"] != "done" else []
    head.append(html.Div(summary(reader, entry, now, layer), id="summary"))
    last = length(layers(shown)[layer])
    named: Any = {"data-source": source(entry["id"], now, layer)}
    groups = html.Div(_groups(reader, entry, layer), id="run-groups", className="run-groups", **named)
    probed = dcc.Store(id="probed", data={"run": entry["id"], "iteration": now, "layer": layer})
    side = [
        html.Div(ways(reader, entry["id"], search), id="ways", className="ways"),
        *_moment(entry, iterations, now),
        _layers(shown, layer),
        html.Div(_numbers(reader, entry, layer), id="run-numbers"),
        _settings(entry),
    ]
    links = [dcc.Store(id="run-link"), dcc.Store(id="run-link-set")]
    return Shown(key, [*head, *([_cursor(entry["id"], last)] if last else []), groups, probed, *links], side)


def _ends(reader: Reader, entry: dict[str, Any], layer: str) -> dict[int, Record]:
    """Return the first and the last record of a layer, by iteration."""
    iterations = reader.iterations(entry["id"])
    found = {n: layers(reader.record(entry["id"], n)) for n in sorted({*iterations[:1], *iterations[-1:]})}
    return {n: parts[layer] for n, parts in found.items() if layer in parts}


def _groups(reader: Reader, entry: dict[str, Any], layer: str) -> list[html.Section]:
    """Return the cards of a layer by the questions that they answer, their figures still to come."""
    records = list(_ends(reader, entry, layer).values())
    return [_group(question, found, records[0]) for question, found in questions(records).items()]


def _cursor(run: str, last: int) -> html.Section:
    """Return the line that says at which step the figures are marked; `assets/cursor.js` moves it by a slider."""
    clear = html.Button(
        html.Span("Clear the mark", className="visually-hidden"),
        id="cursor-clear",
        className="cursor-clear",
        title="Clear the mark (key: Escape)",
        type="button",
    )
    hint = "Point to mark a step on all figures; a click keeps it, arrows move it."
    told: Any = {"data-run": run, "data-last": last} | words.aria(label="Time cursor")
    return html.Section(
        [
            html.Span("Step t", className="cursor-name"),
            html.Output("–", id="cursor-value", className="cursor-value", title=hint, **words.aria(live="off")),
            html.Div(className="slider cursor-slider"),
            clear,
            html.P(hint, className="note cursor-hint"),
        ],
        id="cursor-bar",
        className="cursor-bar",
        **told,
    )


def _asked(search: str | None, iterations: list[int]) -> int | None:
    """Return the iteration that a link asks for: by its number, else the one that the overview showed."""
    return iteration_of(search, iterations, latest=parse(search).when == LAST)


def heading(entry: dict[str, Any]) -> list[Any]:
    """Return what a run is, in words."""
    config = entry["config"]
    task = [words.task(config)] if config.get("task") else []
    way = dcc.Link("Training over its iterations", href=training_link(entry["id"]), id="run-training")
    trained = [way] if config.get("iterations") else []
    return [
        html.H1(words.title(config)),
        html.P([*task, html.Code(entry["id"], title="The id of the run"), *trained], className="run-line"),
    ]


def summary(reader: Reader, entry: dict[str, Any], iteration: int | None, layer: str = WHOLE) -> list[Any]:
    """Return the verdict of a run, or of one of its layers, at an iteration, and the first bad step if there is one."""
    if iteration is None:
        return [_unfinished(entry)]
    told = layers(reader.record(entry["id"], iteration))[layer].summary
    verdict = str(told.get("verdict", "undetermined"))
    text = words.verdict(str(told.get("verdict_text", verdict)))
    badge = verdict_badge(verdict, text if layer == WHOLE else f"{layer} {text}")
    about = [part for part in ("" if layer == WHOLE else layer, moment(entry["config"], iteration)) if part]
    named: Any = {"data-moment": ", ".join(about)}  # for the file of a figure, which says what it shows
    shown: list[Any] = [html.Div(badge, className="run-verdict", **named)]
    bad = told.get("first_bad_step")
    shown += [_first_bad_step(bad)] if bad else []
    return [*shown, html.P(BACKWARD, className="note")] if layer.endswith("backward") else shown


def verdict_badge(verdict: str, text: str) -> html.Span:
    """Return a verdict in its words, with its colour beside it."""
    sign = html.I(className="dot", **words.aria(hidden="true"))
    return html.Span([sign, text], className="verdict large", style={"--hue": palette.colour(verdict)})


def _first_bad_step(bad: dict[str, Any]) -> dmc.Alert:
    """Say where a record stopped being finite."""
    where = [f"t = {words.number(bad.get('t'))}", f"sequence {words.number(bad.get('sequence'))}"]
    where += [f"{bad['pass']} pass"] if bad.get("pass") else []
    where += [f"iteration {words.number(bad['iteration'])}"] if bad.get("iteration") is not None else []
    text = [html.Code(str(bad.get("array", "states"))), f" stops being finite at {', '.join(where)}. "]
    text.append("Whatever hangs on it is marked in the figures and left out of the numbers.")
    return dmc.Alert(text, title="First bad step", color="red", variant="light", className="alert")


def _unfinished(entry: dict[str, Any]) -> html.Section:
    """Return what stands for a run without a record."""
    if entry["status"] == "failed":
        reason = html.Pre(entry["error"] or "The run left no message.", className="error")
        return states.nothing("This run failed", html.P("It ended with:"), reason)
    return states.nothing(
        "This run is in work", html.P("Its figures appear here when it has finished; the page looks by itself.")
    )


def _group(question: str, names: list[str], record: Record) -> html.Section:
    """Return the cards that answer one question."""
    found = [_card(name, record) for name in names]
    return html.Section([html.H2(question, className="question"), html.Div(found, className="cards")])


def _card(name: str, record: Record) -> html.Section:
    """Return the card of a probe, with the choice of what it shows where there is one."""
    return cards.figure_card(name, title(name), choices=choices(name, record), store=False)


# The side ------------------------------------------------------------------------------------------------------------


def ways(reader: Reader, run: str, search: str | None) -> list[Any]:
    """Return the ways on: back to the overview as it was, and to the runs before and after this one in its order."""
    view, iteration = parse(search), asked_iteration(search)
    try:
        runs = order(reader, view)
    except GradscopeError:
        runs = []
    place = runs.index(run) if run in runs else None
    before = runs[place - 1] if place else None
    after = runs[place + 1] if place is not None and place + 1 < len(runs) else None
    return [
        states.to_overview(view, "All runs"),
        html.Span(f"{place + 1:,} of {len(runs):,}" if place is not None else "", className="place"),
        _way(before, view, iteration, "previous", "Previous run (key: left arrow)"),
        _way(after, view, iteration, "next", "Next run (key: right arrow)"),
    ]


def _way(run: str | None, view: View, iteration: int | None, direction: str, text: str) -> Any:
    """Return an arrow to another run, a grey one where there is none."""
    sign = html.Span(className=f"icon icon-{direction}", **words.aria(hidden="true"))
    if run is None:
        return html.Span(sign, className="arrow off", **words.aria(hidden="true"))
    hidden = html.Span(text, className="visually-hidden")
    return dcc.Link(
        [sign, hidden], href=run_link(run, view, iteration), id=f"{direction}-run", className="arrow", title=text
    )


def moment(config: Mapping[str, Any], iteration: int, several: bool = False) -> str:
    """Return when a record was taken, in words; nothing where the store does not say whether there was training.

    Parameters
    ----------
    config : Mapping
        That of the run.
    iteration : int
    several : bool
        Whether the run was probed at further iterations, so that 0 is before them.
    """
    if iteration:
        return f"after {words.count(iteration, 'iteration')}"
    if "weights" in config:
        return "as the file holds it"
    if several or config.get("iterations"):
        return "before training"
    return "untrained" if "iterations" in config else ""


def _layers(record: Record, layer: str) -> html.Section:
    """Return the choice of the whole network or one of its layers, each with its verdict; of one, nothing to see."""
    if len(layers(record)) < 2:
        return html.Section(html.Data(id="layer", value=layer), className="layers hidden")
    options = []
    for name, part in layers(record).items():
        verdict = str(part.summary.get("verdict", "undetermined"))
        sign = html.I(className="dot", **words.aria(hidden="true"), style={"--hue": palette.colour(verdict)})
        told = words.verdict(str(part.summary.get("verdict_text", verdict)).split(" over ")[0])
        told = verdict if name == WHOLE and not len(part) else told
        options.append(
            dmc.Radio(
                html.Span([name, html.Span([sign, told], className="layer-verdict")], className="layer-name"),
                value=name,
                size="xs",
            )
        )
    group = dmc.RadioGroup(dmc.Stack(options, gap=7), id="layer", value=layer, label="Layer", size="sm")
    return html.Section(group, className="layers")


def _moment(entry: dict[str, Any], iterations: list[int], now: int | None) -> list[Any]:
    """Return the switch between the iterations at which the run was probed."""
    if now is None:
        return [html.Data(id="iteration")]
    if len(iterations) < 2:
        word = moment(entry["config"], iterations[0])
        told = html.P(f"Probed once, {word}." if word else "Probed once.", className="note")
        return [told, html.Data(id="iteration", value=str(now))]
    data = [
        {"value": str(n), "label": "Before training" if n == 0 else f"After {n:,}" if len(iterations) < 4 else f"{n:,}"}
        for n in iterations
    ]
    shared: dict[str, Any] = {"id": "iteration", "data": data, "value": str(now), "size": "sm"}
    shared |= words.aria(label="Iteration of training")
    few = len(data) < 4
    return [dmc.SegmentedControl(fullWidth=True, **shared) if few else dmc.Select(allowDeselect=False, **shared)]


def _numbers(reader: Reader, entry: dict[str, Any], layer: str) -> list[html.Section]:
    """Return the numbers that stand for a layer of the run, before and after training side by side."""
    records, metrics = _ends(reader, entry, layer), reader.metrics(entry["id"])
    if not records:
        return []
    names = [name for name in NUMBERS if any(name in record.summary for record in records.values())]
    moments = ["before" if n == 0 else f"after {n:,}" for n in records] if len(records) > 1 else [""]
    rows = [html.Tr([_name_cell(name), *(_cell(record, name) for record in records.values())]) for name in names]
    for name, values in paired(metrics, list(records)).items():
        rows.append(html.Tr([_name_cell(name), *(html.Td(words.number(value)) for value in values)]))
    head = html.Thead(html.Tr([html.Th(title) for title in ("Numbers", *moments)]))
    look = "numbers paired" if len(records) > 1 else "numbers"
    return [html.Section(html.Table([head, html.Tbody(rows)], className=look))]


def paired(metrics: dict[str, Any], iterations: list[int]) -> dict[str, list[Any]]:
    """Return the numbers that were taken before and after training by the name they share, one for each iteration."""
    names = dict.fromkeys(name.rsplit("_", 1)[0] for name in metrics if name.endswith(("_before", "_after")))
    return {name: [metrics.get(f"{name}_{'after' if n else 'before'}") for n in iterations] for name in names}


def _name_cell(name: str) -> html.Th:
    """Return the head of a row: the number's name and unit."""
    unit = words.unit(name)
    title: list[Any] = [html.Span(words.label(name), className="nowrap")]
    return html.Th(title + ([" ", html.Span(unit, className="unit")] if unit else []), scope="row")


def _cell(record: Record, name: str) -> html.Td:
    """Return one number, its interval beneath it."""
    low, high = record.summary.get(f"{name}_interval") or (None, None)
    interval = words.interval(low, high)
    value = words.number(record.summary.get(name))
    return html.Td([value, *([html.Span(interval, className="interval")] if interval else [])])


def _settings(entry: dict[str, Any]) -> html.Section:
    """Return every parameter of the run, and how it went."""
    told = entry["config"] | {"attempts": entry["attempts"], "seconds": entry["seconds"]}
    given = {name: value for name, value in told.items() if value is not None}
    rows = [html.Tr([html.Th(words.label(name), scope="row"), html.Td(words.setting(v))]) for name, v in given.items()]
    head = html.Thead(html.Tr([html.Th("Settings"), html.Th("")]))
    none = ", ".join(words.label(name).lower() for name in told if name not in given)
    left = [html.P(f"Not set: {none}.", className="note")] if none else []
    return html.Section([html.Table([head, html.Tbody(rows)], className="numbers"), *left])


# Answers -------------------------------------------------------------------------------------------------------------


def source(run: str, iteration: int | None, layer: str) -> str:
    """Return where the cards of a run ask for their figures."""
    return f"{FIGURE}?" + urlencode({"run": run, "iteration": "" if iteration is None else iteration, "layer": layer})


def draw(reader: Reader, run: str, iteration: int, name: str, choice: str | None, layer: str = WHOLE) -> str:
    """Return the figure of a card as JSON, or the reason why there is none."""

    def make() -> figures.Figure:
        record = layers(reader.record(run, iteration)).get(layer)
        if record is None:
            raise ArgumentError(f"`layer` must be one of the run's, got {layer!r}. Open the run anew.")
        found = views(name, record) if name in record else {}
        if not found:
            return figures.figure(name, record)  # its error says what is missing
        return found.get(choice or "", next(iter(found.values())))(record)

    return cards.answer(make)


def _asked_figure(reader: Reader, asked: Mapping[str, str]) -> str:
    """Return the figure that a card asks for."""
    run, iteration, name = asked.get("run", ""), asked.get("iteration", ""), asked.get("name", "")
    if not iteration.isdecimal() or name not in CATALOGUE or int(iteration) not in reader.iterations(run):
        return json.dumps(cards.noticed("There is no such figure. Open the run anew.", failed=True))
    return draw(reader, run, int(iteration), name, asked.get("choice"), asked.get("layer", WHOLE))


def turned(reader: Reader, search: str | None, probed: dict[str, Any]) -> tuple[Any, ...]:
    """Return the page's parts at the iteration and layer of a link.

    They are the link, both switches, what the figures ask for, summary, ways on, cards and numbers; of the last two
    nothing while the layer stays.
    """
    entry = reader.run(probed["run"])
    now = _asked(search, reader.iterations(probed["run"])) if entry else None
    if entry is None or now is None:
        raise PreventUpdate
    parts = layers(reader.record(entry["id"], now))
    layer = layer_of(search, parts)
    if (now, layer) == (probed["iteration"], probed["layer"]):
        raise PreventUpdate
    fresh = layer != probed["layer"]
    asked = probed | {"iteration": now, "layer": layer}, source(entry["id"], now, layer)
    cards_and_numbers = (_groups(reader, entry, layer), _numbers(reader, entry, layer)) if fresh else (no_update,) * 2
    told = summary(reader, entry, now, layer), ways(reader, entry["id"], search)
    link = run_link(entry["id"], View()) + (search or "")
    return link, str(now), layer, *asked, *told, *cards_and_numbers


def register(app: Dash, reader: Reader) -> None:
    """Keep the page of a run in step with its link, and draw its figures one by one as the reader comes near."""
    app.clientside_callback(
        ClientsideFunction("gradscope", "follow"),
        Output("run-link-set", "data"),
        Input("run-link", "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("run-link", "data"),
        Output("iteration", "value"),
        Output("layer", "value"),
        Output("probed", "data"),
        Output("run-groups", "data-source"),
        Output("summary", "children"),
        Output("ways", "children"),
        Output("run-groups", "children"),
        Output("run-numbers", "children"),
        Input("iteration", "value"),
        Input("layer", "value"),
        Input("url", "search"),
        State("url", "pathname"),
        State("probed", "data"),
        prevent_initial_call=True,
    )
    def turn(
        chosen: str | None, layer: str | None, search: str | None, pathname: str | None, probed: dict[str, Any]
    ) -> tuple[Any, ...]:
        if run_of(pathname) != probed["run"]:
            raise PreventUpdate
        if ctx.triggered_id in ("iteration", "layer"):
            search = query(parse(search), iteration=chosen, layer=None if layer == WHOLE else layer)
        return turned(reader, search, probed)

    @app.server.get(FIGURE)
    def figure_of_run() -> Response:
        return Response(_asked_figure(reader, request.args), mimetype="application/json")
