"""The page of a training: a probe over all iterations, the cut at one of them, and how loss and numbers went."""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.exceptions import PreventUpdate
from flask import Response, request

from gradscope import figures
from gradscope.errors import ArgumentError
from gradscope.figures import learning, palette
from gradscope.figures import training as film
from gradscope.figures.iterations import SCALES, chosen_scale
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Record
from gradscope.store import WHOLE as OF_ALL

from . import cards, states, words
from .address import View, iteration_of, parse, run_link
from .reader import Reader

__all__ = ["CUT", "PATH", "Shown", "page", "register", "run_in", "standing", "training_link"]

WHOLE = "whole"
PATH = "/training"
CUT = "/training/cut"
MOST = 60  # runs that are offered
FILMS = 8  # movies that are kept between requests
FIRST_PROBES = ("state_gradient", "transport", "jacobian_rms")
NUMBERS = ("decay_rate", "growth", "half_life", "horizon", "horizon_best", "zero_share", "bad_share")
PAIR = "decay rate and horizon"
AGAIN = "Start its sweep again: the training begins anew."
SPEEDS = {"2": "2 a second", "5": "5 a second", "10": "10 a second"}
SCALE_WORDS = {"linear": "Linear", "log": "Log"}
WORDS = {"hidden_size": "{} units", "activation": "{}", "length": "{} steps", "layers": "layers {}", "task": "{}"}
#: The cards beside map and cut: what each is called, and which function draws it.
CARDS = {"training-loss": "Loss", "training-gradient": "Gradient before and after clipping"}


@dataclass(frozen=True)
class Shown:
    """The page of a training: its key (see ``shell.Page``), its title, its main part and its side."""

    key: str
    title: str
    content: list[Any]
    aside: list[Any]


@dataclass(frozen=True)
class Asked:
    """What a link asks for; what does not fit the run falls back to what suits it.

    Attributes
    ----------
    layer : str
        ``"whole"``, or the name of a layer.
    probe, part : str
        The probe, and which gate, block or axis of it.
    scale : str
        ``"linear"`` or ``"log"``, for the iterations.
    number : str
        What the figure of numbers shows, ``""`` for decay rate and horizon.
    ghost : bool
        Whether the first iteration stands behind the cut.
    """

    layer: str = ""
    probe: str = ""
    part: str = ""
    scale: str = ""
    number: str = ""
    ghost: bool = True

    @classmethod
    def read(cls, search: str | None) -> Asked:
        """Read it from the part of a link after the ``?``."""
        values = dict(parse_qsl((search or "").lstrip("?")))
        told = {key: values.get(key, "") for key in ("layer", "probe", "part", "scale", "number")}
        return cls(**told, ghost=values.get("ghost") != "off")


# Links ---------------------------------------------------------------------------------------------------------------


def run_in(pathname: str | None) -> str | None:
    """Return the run that a path under ``/training`` names, ``""`` for none, or None for another path."""
    head, _, name = (pathname or "").strip("/").partition("/")
    return unquote(name) if head == PATH.strip("/") and "/" not in name else None


def training_link(run: str) -> str:
    """Return the address of a run's training."""
    return f"{PATH}/{quote(str(run), safe='')}"


# What the store holds ------------------------------------------------------------------------------------------------


def offered(reader: Reader) -> list[str]:
    """Return the runs that were probed at several iterations, those with the most first, the latest of each first."""
    counts = reader.probed(2)
    return sorted(counts, key=lambda run: counts[run])[::-1]


class Films:
    """Keeps what a probe showed at each iteration, for the map and for every cut through it."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.kept: OrderedDict[tuple[str, ...], film.Movie] = OrderedDict()

    def get(self, run: str, layer: str, probe: str, part: str | None) -> film.Movie:
        """Return the movie of a probe, of the whole network or a layer, as far as the run has been probed.

        Raises
        ------
        ArgumentError
            When no record of the run holds the probe, or for another part.
        """
        entry = self.reader.run(run) or {}  # while the run is the same, others that are written change nothing
        about = tuple(str(entry.get(name)) for name in ("started", "attempts", "seconds"))
        key = (run, layer, *about, str(len(self.reader.iterations(run))), probe, part or "")
        found = self.kept.get(key) or film.movie(self.reader.moments(run, [probe], stored(layer)), probe, part)
        self.kept[key] = found
        self.kept.move_to_end(key)
        while len(self.kept) > FILMS:
            self.kept.popitem(last=False)
        return found


def stored(layer: str) -> str | int:
    """Return a layer as the store is asked for it."""
    return OF_ALL if layer == WHOLE else layer


def layers_of(reader: Reader, run: str) -> list[str]:
    """Return the parts of a network that can be looked at: the whole, where anything is known of it, and each layer."""
    layers = reader.layers(run)
    return [*([WHOLE] if probes_of(reader, run, WHOLE) or not layers else []), *layers]


def probes_of(reader: Reader, run: str, layer: str) -> list[str]:
    """Return the probes of the catalogue that the records of a run, or of one of its layers, hold."""
    held = reader.arrays(run, stored(layer))
    return [name for name in CATALOGUE if name in held]


def parts_of(reader: Reader, run: str, layer: str, probe: str) -> list[str]:
    """Return the ways to look at a probe of a run, or none where nothing of it can be drawn."""
    for _, record in reader.moments(run, [probe], stored(layer)):
        if probe in record:
            return list(film.views(record, probe))
    return []


# The page ------------------------------------------------------------------------------------------------------------


def page(reader: Reader, run: str, search: str | None) -> Shown:
    """Return the page of a run's training, its figures still to come; without a run, that of the most telling one.

    Parameters
    ----------
    reader : Reader
    run : str
        The run's id, or ``""``.
    search : str or None
        The link's part after the ``?``.
    """
    view = parse(search)
    runs = offered(reader)
    if not run and not runs:
        return Shown("training of none", "Training", [_none_trained(reader)], [])
    run = run or runs[0]
    entry = reader.run(run)
    if entry is None:
        return Shown(f"training of no run {run}", "no such run", [states.no_run(run, view)], [])
    title = f"Training · {words.title(entry['config'])}"
    asked, layers = Asked.read(search), layers_of(reader, run)
    layer = asked.layer if asked.layer in layers else layers[0]
    about = known(reader, entry, layer)
    found = [one["n"] for one in about["moments"]]  # read once: a training in work may have more in a moment
    now = iteration_of(search, found, latest=True)
    key = f"training {run} {entry['attempts']}"  # what a training still measures comes to the page as it is
    if now is None or not entry["config"].get("iterations"):
        return Shown(
            f"{key} {entry['status']} without records",
            title,
            [*_head(entry, view, None), _missing(entry, view)],
            _runs(reader, runs, run, entry),
        )
    stores = _stores(about | {"page": secrets.token_hex(8), "now": found.index(now)})
    told = html.Div(_told(reader, entry, found), id="training-told", className="training-told")
    cards_below = _figures(choices(reader, run, layer), asked.number)
    content = [*_head(entry, view, now), told, _player(found, now), cards_below, *stores]
    return Shown(key, title, content, _aside(reader, runs, entry, asked, layers, layer))


def _head(entry: dict[str, Any], view: View, now: int | None) -> list[Any]:
    """Return what the run is, and the way to its other figures."""
    config = entry["config"]
    task = [words.task(config)] if config.get("task") else []
    every = dcc.Link("Every figure of this run", id="training-run", href=run_link(entry["id"], view, now))
    line = html.P([*task, html.Code(entry["id"], title="The id of the run"), every], className="run-line")
    verdict = [html.Span(id="training-verdict", className="verdict large", role="status")] if now is not None else []
    return [
        html.Div(
            [html.Div([html.H1(words.title(config)), *verdict], className="training-title"), line],
            className="run-head",
        )
    ]


def _told(reader: Reader, entry: dict[str, Any], found: list[int]) -> list[Any]:
    """Say what is out of the ordinary: a training in work, or that failed, diverged or was probed too seldom."""
    told: list[Any] = [standing(entry, found)] if entry["status"] != "done" else []
    last = reader.summaries(entry["id"])[found[-1]]
    bad = last.summary.get("first_bad_step")
    if bad and bad.get("iteration") is not None:
        where = f"{bad.get('pass', 'forward')} pass, t = {words.number(bad.get('t'))}"
        text = f"A number stopped being finite in iteration {bad['iteration']:,} ({where}): the training ended there."
        told.append(dmc.Alert(text, title="The training diverged", color="red", variant="light", className="alert"))
    if len(found) < 3 and entry["status"] == "done":
        times = "once" if len(found) == 1 else "before and after the training alone"
        note = f'This run was probed {times}. With probe_schedule = "log:8" or "every:20" a sweep probes on the way.'
        told.append(html.P(note, className="note", id="training-hint"))
    return told


def standing(entry: dict[str, Any], found: list[int], then: str = "What is still to come appears by itself.") -> Any:
    """Say how far a training is that has not come to its end, and how it goes on.

    Parameters
    ----------
    entry : dict
        The run, as the store lists it; not done.
    found : list of int
        The iterations that it was probed at so far, at least one.
    then : str
        How the page goes on while the run is in work.
    """
    asked, last = entry["config"].get("iterations"), found[-1]
    when = f"after {last:,} of {asked:,} iterations" if last and asked else film.moment(last)
    far = f"probed {often(len(found))}, the last time {when}"
    if entry["status"] == "failed":
        reason = html.Pre(entry["error"] or "The run left no message.", className="error")
        after = [reason, html.P(f"It was {far}. {AGAIN}")]
        return dmc.Alert(after, title="This training failed", color="red", variant="light", className="alert")
    running = entry["status"] == "running"
    sign = html.I(className="dot", **words.aria(hidden="true"))
    badge = html.Span(
        [sign, "in work" if running else "interrupted"], className=f"badge {'beating' if running else 'silent'}"
    )
    return html.P([badge, f"It was {far}. {then if running else AGAIN}"], className="training-work")


def often(count: int) -> str:
    """Return how many times, in words."""
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def _missing(entry: dict[str, Any], view: View) -> html.Section:
    """Return what stands for a run that has no training to show."""
    if entry["status"] == "failed":
        reason = html.Pre(entry["error"] or "The run left no message.", className="error")
        return states.nothing("This run failed", html.P("It ended with:"), reason)
    trained = entry["config"].get("iterations")
    if trained:
        count = html.P(f"{trained:,} iterations are asked for, and the network has not been probed yet:")
        text = "it appears here by itself." if entry["status"] == "running" else "start its sweep again to train it."
        return states.nothing("This training has nothing to show yet", count, html.P(text))
    return states.nothing(
        "This run was not trained",
        html.P("It was measured as it was drawn: there is no iteration after the first to show."),
        action=dcc.Link("Show its figures", href=run_link(entry["id"], view), className="button"),
    )


def _none_trained(reader: Reader) -> html.Section:
    """Return what stands for a store without any training."""
    return states.nothing(
        "No training to show",
        html.P("No run of this store was probed at more than one iteration. This sweep probes on the way:"),
        states.command(f"gradscope sweep study.toml --store {reader.path}"),
        html.P('with iterations = 300 and probe_schedule = "log:8" in study.toml.', className="note"),
    )


def _player(found: list[int], now: int) -> html.Div:
    """Return the bar that chooses the iteration and plays through all of them."""
    last = len(found) - 1
    button = dmc.ActionIcon(
        html.Span(className="icon icon-play", **words.aria(hidden="true")),
        id="training-play",
        variant="filled",
        size="lg",
        disabled=not last,
        **words.aria(label="Play", pressed="false"),
    )
    slider = dmc.Slider(
        id="training-slider",
        value=found.index(now),
        min=0,
        max=max(last, 1),
        step=1,
        label=None,
        disabled=not last,
        updatemode="drag",
        thumbLabel="Iteration",
        marks=[{"value": place} for place in range(len(found))] if len(found) <= 60 else [],
        className="training-slider",
    )
    speed = dmc.Select(
        id="training-speed",
        data=[{"value": value, "label": text} for value, text in SPEEDS.items()],
        value="5",
        size="xs",
        w=112,
        allowDeselect=False,
        **words.aria(label="Speed of the film"),
    )
    told = html.Output(film.moment(now), id="training-now", className="training-now", **words.aria(live="off"))
    return html.Div([button, slider, told, speed], className="training-player card", role="group")


def _figures(numbers: list[dict[str, str]], wanted: str) -> html.Div:
    """Return the cards, empty yet."""
    number = dmc.Select(
        id="training-number",
        data=numbers,
        value=wanted if wanted in [one["value"] for one in numbers] else PAIR,
        size="xs",
        w=190,
        allowDeselect=False,
        searchable=True,
        **words.aria(label="Which number over the iterations"),
    )
    made = [
        cards.figure_card("training-map", "Over the iterations", size="tall"),
        cards.figure_card("training-cut", "At one iteration", size="tall"),
        *(cards.figure_card(name, title, size="tall") for name, title in CARDS.items()),
        cards.figure_card("training-numbers", "Numbers", [number], size="tall"),
    ]
    return html.Div(made, className="training-cards")


def known(reader: Reader, entry: dict[str, Any], layer: str) -> dict[str, Any]:
    """Return what the browser must know of a run: every iteration in words, and what tells whether there are more."""
    moments = [_moment(n, record) for n, record in reader.summaries(entry["id"], stored(layer)).items()]
    return {"run": entry["id"], "layer": layer, "moments": moments} | {
        name: entry[name] for name in ("status", "attempts")
    }


def _stores(about: dict[str, Any]) -> list[Any]:
    """Return what the browser must know, and what is looked at."""
    return [
        dcc.Store(id="training-moments", data=about),
        dcc.Store(id="training-asked"),
        dcc.Store(id="training-sink"),
    ]


def _moment(iteration: int, record: Record) -> dict[str, Any]:
    """Return one iteration in words: its verdict, with the colour, and its numbers."""
    told = record.summary
    verdict = str(told.get("verdict", "undetermined"))
    return {
        "n": iteration,
        "told": film.moment(iteration),
        "verdict": words.verdict(str(told.get("verdict_text", verdict))),
        "hue": palette.colour(verdict),
        "numbers": {name: words.number(told.get(name)) for name in NUMBERS if name in told},
    }


# The side ------------------------------------------------------------------------------------------------------------


def usual(probes: list[str], asked: str | None) -> str | None:
    """Return the probe that is asked for where there is one, else the most telling; None where there is none."""
    return next((one for one in (asked, *FIRST_PROBES, *probes) if one in probes), None)


def _suited(reader: Reader, entry: dict[str, Any]) -> str:
    """Return the scale that suits the iterations, of a training in work those that it will be probed at."""
    if entry["status"] == "running":
        return "log" if str(entry["config"].get("probe_schedule")).startswith("log") else "linear"
    return chosen_scale(reader.iterations(entry["id"]))


def _aside(
    reader: Reader, runs: list[str], entry: dict[str, Any], asked: Asked, layers: list[str], layer: str
) -> list[Any]:
    """Return what chooses the picture, and the numbers of the iteration."""
    probes = probes_of(reader, entry["id"], layer)
    probe = usual(probes, asked.probe)
    parts = parts_of(reader, entry["id"], layer, probe) if probe else []
    part = asked.part if asked.part in parts else (parts[0] if parts else None)
    scale = asked.scale if asked.scale in SCALES else _suited(reader, entry)
    named = [{"value": name, "label": "Whole network" if name == WHOLE else name} for name in layers]
    hint = "Space plays and stops, arrow keys step, a click in a figure goes there."
    return [
        *_runs(reader, runs, entry["id"], entry),
        html.Div(
            dmc.Select(id="training-layer", label="Layer", data=named, value=layer, allowDeselect=False, size="sm"),
            className="" if len(layers) > 1 else "hidden",
        ),
        dmc.Select(
            id="training-probe",
            label="Probe",
            data=_grouped(probes),
            value=probe,
            allowDeselect=False,
            searchable=True,
            size="sm",
            placeholder="No array is kept",
        ),
        html.Div(
            dmc.Select(id="training-part", label="Part", data=parts, value=part, allowDeselect=False, size="sm"),
            id="training-parts",
            className="" if len(parts) > 1 else "hidden",
        ),
        html.Div(
            [
                html.Span("Axis of the iterations", className="label"),
                dmc.SegmentedControl(
                    id="training-scale",
                    data=[{"value": value, "label": SCALE_WORDS[value]} for value in SCALES],
                    value=scale,
                    fullWidth=True,
                    size="xs",
                    **words.aria(label="Axis of the iterations"),
                ),
            ]
        ),
        dmc.Switch(id="training-ghost", label="First iteration behind", checked=asked.ghost, size="sm"),
        html.Div(_numbers(reader, entry["id"], layer), id="training-table"),
        html.P(hint, className="note"),
    ]


def _runs(reader: Reader, runs: list[str], run: str, entry: dict[str, Any]) -> list[Any]:
    """Return the choice between the runs that have a training."""
    shown = runs[:MOST] if run in runs[:MOST] else [run, *runs[: MOST - 1]]
    entries = {one: reader.run(one) for one in shown}
    configs = {one: found["config"] for one, found in entries.items() if found}
    data = [{"value": one, "label": text} for one, text in _labels(configs).items()]
    select = dmc.Select(
        id="training-runs",
        label="Run",
        data=data,
        value=run,
        allowDeselect=False,
        searchable=True,
        size="sm",
        comboboxProps={"width": 440, "position": "bottom-start"},
    )
    left = len(runs) - len(shown)
    more = [html.P(f"{left:,} further runs have a training: open them from their page.", className="note")]
    return [html.Div([select, *(more if left > 0 else []), dcc.Store(id="training-gone")])]


def _labels(configs: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return what each run is called among the others: its cell, and the settings in which they differ."""
    names = dict.fromkeys(name for config in configs.values() for name in config if name != "cell")
    differ = [name for name in names if len({str(config.get(name)) for config in configs.values()}) > 1]
    return {
        run: ", ".join([str(config.get("cell", "Run")), *(_setting(config, name) for name in differ if name in config)])
        if differ
        else words.title(config)
        for run, config in configs.items()
    }


def _setting(config: dict[str, Any], name: str) -> str:
    """Return one setting of a run in a word or two."""
    value = words.setting(config[name])
    if name in WORDS:
        return WORDS[name].format(value)
    return f"{words.label(name).lower()} {value}"


def _grouped(probes: list[str]) -> list[dict[str, Any]]:
    """Return the probes by the question that they answer, as a choice."""
    groups: dict[str, list[dict[str, str]]] = {}
    for name in probes:
        groups.setdefault(CATALOGUE[name].question, []).append({"value": name, "label": CATALOGUE[name].title})
    return [{"group": question, "items": items} for question, items in groups.items()]


def _numbers(reader: Reader, run: str, layer: str) -> html.Section:
    """Return the table of numbers: at the first iteration, and, for the browser to fill, at the one that is shown."""
    first = next((record.summary for record in reader.summaries(run, stored(layer)).values()), {})
    rows = []
    for name in (one for one in NUMBERS if one in first):
        unit = words.unit(name)
        told = [
            html.Span(words.label(name), className="nowrap"),
            *([html.Span(f" {unit}", className="unit")] if unit else []),
        ]
        here: Any = {"data-number": name}
        rows.append(html.Tr([html.Th(told, scope="row"), html.Td(words.number(first[name])), html.Td(**here)]))
    head = [html.Th("Numbers"), html.Th("first"), html.Th("here")]
    return html.Section(html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="numbers paired"))


# Answers -------------------------------------------------------------------------------------------------------------


def look(films: Films, run: str, layer: str, probe: str | None, part: str | None, scale: str) -> dict[str, Any]:
    """Return the map as the browser takes it, or the reason why there is none."""
    if probe is None:
        return cards.noticed('This store keeps no arrays of this run. Sweep with keep = "everything" for maps.')
    return cards.drawn(lambda: film.draw_training_map(films.get(run, layer, probe, part), scale))


def cut(films: Films, values: dict[str, str]) -> dict[str, Any]:
    """Return the cut at an iteration as the browser takes it, or the reason why there is none."""

    def make() -> figures.Figure:
        iteration = values.get("iteration", "")
        if not (iteration.isascii() and iteration.isdecimal()):
            raise ArgumentError(f"`iteration` must be a number, got {iteration!r}. Give one that was probed.")
        layer = values.get("layer") or WHOLE
        data = films.get(values.get("run", ""), layer, values.get("probe", ""), values.get("part") or None)
        return film.draw_training_cut(data, int(iteration), values.get("ghost") != "off")

    return cards.drawn(make)


def course(reader: Reader, run: str, scale: str) -> list[dict[str, Any]]:
    """Return loss and gradient over the iterations as the browser takes them."""
    entry = reader.run(run)
    config = entry["config"] if entry else {}
    records, curves = dict(reader.moments(run, learning.LEARNING)), reader.curves(run)
    limit = config.get("clip") if config.get("clip_by") == "norm" else None
    return [
        cards.drawn(lambda: figures.training_loss(records, curves, reader.metrics(run), scale=scale)),
        cards.drawn(lambda: figures.training_gradient(records, curves, limit=limit, scale=scale)),
    ]


def choices(reader: Reader, run: str, layer: str) -> list[dict[str, str]]:
    """Return the numbers that can be drawn over the iterations."""
    pair = {"value": PAIR, "label": "Decay rate and horizon"}
    names = learning.numbers_of(reader.summaries(run, stored(layer)))
    return [pair, *({"value": name, "label": words.label(name)} for name in names)]


def growth(reader: Reader, layer: str, told: dict[str, Any], probe: str | None, number: str | None) -> tuple[Any, ...]:
    """Return the parts of the page that change when a training goes on, or when another layer is chosen.

    They are what the browser knows, what is told, the choice of probes, the probe, the choice of numbers, the number,
    and the table.

    Raises
    ------
    PreventUpdate
        When the page is as it should be, or about to be replaced.
    """
    run, entry = told["run"], reader.run(told["run"])
    if entry is None or entry["attempts"] != told["attempts"] or layer not in layers_of(reader, run):
        raise PreventUpdate
    now = told | known(reader, entry, layer)
    if now == told:
        raise PreventUpdate
    said = _told(reader, entry, reader.iterations(run))
    if layer == told["layer"]:
        return now, said, *(no_update,) * 5
    probes, numbers = probes_of(reader, run, layer), choices(reader, run, layer)
    there = number in [one["value"] for one in numbers]
    table = _numbers(reader, run, layer)
    return now, said, _grouped(probes), usual(probes, probe), numbers, number if there else PAIR, table


def register(app: Dash, reader: Reader) -> None:
    """Draw the page's figures, answer with cuts, and let the browser play them."""
    films = Films(reader)

    @app.server.get(CUT)
    def cut_at() -> Response:
        return Response(json.dumps(cut(films, request.args.to_dict())), mimetype="application/json")

    @app.callback(
        Output(cards.part("figure", "training-map"), "data"),
        Output(cards.part("figure", "training-cut"), "data"),
        Output("training-part", "data"),
        Output("training-part", "value"),
        Output("training-parts", "className"),
        Output("training-asked", "data"),
        Input("training-probe", "value"),
        Input("training-part", "value"),
        Input("training-scale", "value"),
        Input("training-moments", "data"),
    )
    def draw_map(probe: str | None, part: str | None, scale: str, told: dict[str, Any]) -> tuple[Any, ...]:
        run, layer = told["run"], told["layer"]
        probe = usual(probes_of(reader, run, layer), probe)  # the choice follows a moment after the layer
        parts = parts_of(reader, run, layer, probe) if probe else []
        part = part if part in parts else (parts[0] if parts else None)
        values = {"probe": probe or "", "part": part or ""}
        asked = {"run": run, "layer": layer, **values, "scale": scale}
        shown = look(films, run, layer, probe, part, scale)
        return shown, no_update if probe else shown, parts, part, "" if len(parts) > 1 else "hidden", asked

    @app.callback(
        Output(cards.part("figure", "training-loss"), "data"),
        Output(cards.part("figure", "training-gradient"), "data"),
        Input("training-scale", "value"),
        Input("training-moments", "data"),
    )
    def draw_course(scale: str, told: dict[str, Any]) -> list[dict[str, Any]]:
        return course(reader, told["run"], scale)

    @app.callback(
        Output(cards.part("figure", "training-numbers"), "data"),
        Input("training-scale", "value"),
        Input("training-number", "value"),
        Input("training-moments", "data"),
    )
    def draw_numbers(scale: str, number: str, told: dict[str, Any]) -> dict[str, Any]:
        names = ("decay_rate", "horizon") if number == PAIR else (number,)
        records = reader.summaries(told["run"], stored(told["layer"]))
        return cards.drawn(lambda: figures.training_numbers(records, names, scale=scale))

    @app.callback(
        Output("training-moments", "data"),
        Output("training-told", "children"),
        Output("training-probe", "data"),
        Output("training-probe", "value"),
        Output("training-number", "data"),
        Output("training-number", "value"),
        Output("training-table", "children"),
        Input("version", "data"),
        Input("training-layer", "value"),
        State("training-moments", "data"),
        State("training-probe", "value"),
        State("training-number", "value"),
        prevent_initial_call=True,
    )
    def grow(version: str, layer: str, told: dict[str, Any], probe: str | None, number: str | None) -> tuple[Any, ...]:
        return growth(reader, layer, told, probe, number)

    _follow(app)


def _follow(app: Dash) -> None:
    """Connect slider, button and switches in the browser."""
    sink = Output("training-sink", "data", allow_duplicate=True)
    app.clientside_callback(
        ClientsideFunction("training", "open"), Output("training-sink", "data"), Input("training-moments", "data")
    )
    app.clientside_callback(
        ClientsideFunction("training", "turn"), sink, Input("training-slider", "value"), prevent_initial_call=True
    )
    app.clientside_callback(
        ClientsideFunction("training", "look"),
        sink,
        Input("training-asked", "data"),
        Input("training-ghost", "checked"),
        Input("training-number", "value"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("training", "play"), sink, Input("training-play", "n_clicks"), prevent_initial_call=True
    )
    app.clientside_callback(
        ClientsideFunction("training", "speed"),
        sink,
        Input("training-speed", "value"),
        prevent_initial_call="initial_duplicate",
    )
    app.clientside_callback(
        ClientsideFunction("training", "run"),
        Output("training-gone", "data"),
        Input("training-runs", "value"),
        prevent_initial_call=True,
    )
