"""The page of a run without a browser: layers, and words for when a record was taken."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sample_records
from click.testing import CliRunner
from dash.development.base_component import Component

import gradscope as gs
from gradscope.cli import cli
from gradscope.dashboards import run, views
from gradscope.dashboards.reader import Reader
from gradscope.store import Store

PROBES = ["transport", "jacobian_norm", "gate_activation", "state_gradient"]
STACK = {"cell": "Stack", "hidden_size": 6, "length": 12, "iterations": 0}
CONFIGS = {
    "untrained": ({"cell": "LSTM", "iterations": 0}, "untrained"),
    "trained": ({"cell": "LSTM", "iterations": 60}, "before training"),
    "of a file": ({"cell": "LSTM", "weights": "model.npz"}, "as the file holds it"),
    "unknown": ({"cell": "LSTM"}, ""),
}


def texts(part):
    """Return every word of a component, with what stands in its labels."""
    if part is None or isinstance(part, (str, int, float)):
        return "" if part is None else str(part)
    if isinstance(part, (list, tuple)):
        return " ".join(texts(one) for one in part)
    assert isinstance(part, Component)
    own = [getattr(part, name, None) for name in ("label", "data-title", "children")]
    return " ".join(texts(one) for one in own if one is not None)


def found(part, name):
    """Return the component of that id."""
    for one in part:
        for inner in [one, *one._traverse()] if isinstance(one, Component) else []:
            if getattr(inner, "id", None) == name:
                return inner
    raise AssertionError(name)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("layers") / "results.db", np.random.default_rng(0)
    networks = {
        "stack": gs.Stack([gs.LSTM(3, 6), gs.GRU(6, 4)]),
        "both": gs.Stack([gs.Bidirectional(gs.LSTM(3, 5)), gs.Bidirectional(gs.GRU(10, 4))]),
    }
    with Store(path, "w") as store:
        sweep = store.add_sweep("networks", {})
        for name, network in networks.items():
            record = gs.probe(network, network.init(rng), rng.standard_normal((12, 4, 3)), probes=PROBES)
            store.start_run(name, sweep, STACK)
            store.finish_run(name, {0: record}, {}, 0.1)
        for name, (config, _) in CONFIGS.items():
            store.start_run(name, sweep, config)
            store.finish_run(name, {0: sample_records.sample("LSTM", length=20, hidden=4, batch=4)}, {}, 0.1)
    opened = Reader(path)
    yield opened
    opened.close()


def test_a_network_has_its_own_figures_and_those_of_each_layer(reader):
    record = reader.record("stack", 0)
    assert list(views.layers(record)) == ["whole", "layer1", "layer2"]
    assert list(views.layers(reader.record("both", 0))) == [
        "layer1.forward",
        "layer1.backward",
        "layer2.forward",
        "layer2.backward",
    ]
    assert list(views.layers(reader.record("trained", 0))) == ["whole"]
    page = run.page(reader, reader.run("stack"), "?layer=layer1")
    assert "Gate activation" in texts(page.content)
    assert "Gate activation" not in texts(run.page(reader, reader.run("stack"), "").content)
    assert record.layers["layer1"].summary["verdict"] in texts(page.content)
    assert found(page.aside, "layer").value == "layer1"


def test_a_layer_that_is_not_there_opens_the_first(reader):
    assert views.layer_of("?layer=layer9", ["whole", "layer1"]) == "whole"
    assert views.layer_of("?layer=layer1", ["whole", "layer1"]) == "layer1"
    page = run.page(reader, reader.run("both"), "?layer=<img>")
    assert found(page.content, "probed").data["layer"] == "layer1.forward"


def test_turning_to_a_layer_changes_cards_numbers_and_verdict(reader):
    probed = {"run": "stack", "iteration": 0, "layer": "whole"}
    link, _, layer, now, asks, summary, _, cards, numbers = run.turned(reader, "?layer=layer2", probed)
    assert (link, layer, now["layer"]) == ("/run/stack?layer=layer2", "layer2", "layer2")
    assert asks == run.source("stack", 0, "layer2")
    assert "layer2" in texts(summary)
    assert "Gate activation" in texts(cards)
    assert "Decay rate" in texts(numbers)
    drawn = json.loads(run.draw(reader, "stack", 0, "gate_activation", "update", "layer2"))
    assert drawn["figure"]["data"][0]["name"] == "update"
    assert "notice" in json.loads(run.draw(reader, "stack", 0, "gate_activation", None))


def test_the_time_of_a_backward_direction_is_said(reader):
    told = texts(run.summary(reader, reader.run("both"), 0, "layer1.backward"))
    assert "reads from the end" in told
    assert "reads from the end" not in texts(run.summary(reader, reader.run("both"), 0, "layer1.forward"))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_page_says_before_training_only_where_there_is_training(reader, name):
    config, word = CONFIGS[name]
    assert run.moment(config, 0) == word
    aside = texts(run.page(reader, reader.run(name), "").aside)
    assert (f"Probed once, {word}." if word else "Probed once.") in aside
    assert ("before training" in aside) == (word == "before training")


def test_the_command_says_the_same(reader):
    for name, (_, word) in CONFIGS.items():
        result = CliRunner().invoke(cli, ["show", str(reader.path), name])
        assert result.exit_code == 0, result.output
        assert (word or "as probed") in result.output
        assert ("before training" in result.output) == (word == "before training")


def test_a_later_record_is_after_its_iterations():
    assert run.moment({"iterations": 60}, 60) == "after 60 iterations"
    assert run.moment({}, 1) == "after 1 iteration"
    assert run.moment({}, 0, several=True) == "before training"
