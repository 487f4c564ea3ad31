"""Figures of the scope: the same curves as those of the probes, and what says that they are sampled or pinned."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest

from gradscope import figures
from gradscope.cells import CELLS
from gradscope.errors import ArgumentError
from gradscope.figures.scope import SCOPE, live, scope
from gradscope.scope import Setting, measure

SETTING = Setting(hidden_size=6, length=25, batch=5)  # odd: the log of a median is the median of logs


@pytest.fixture(scope="module")
def exact():
    return measure(SETTING)


@pytest.fixture(scope="module")
def sampled():
    return measure(SETTING, exact=False)


def curves(figure) -> dict:
    """Return the lines by name."""
    return {trace.name: trace for trace in figure.data if _is_curve(trace)}


def _is_curve(trace) -> bool:
    return trace.type == "scatter" and trace.mode == "lines" and trace.fill is None and len(trace.y) > 1


def texts(figure) -> str:
    return " ".join(str(note.text) for note in figure.layout.annotations)


@pytest.mark.parametrize(("name", "probe"), [("transport", "transport"), ("flow", "flow")])
def test_at_rest_the_curves_are_those_of_the_probes(exact, name, probe):
    theirs, ours = curves(getattr(figures, probe)(exact)), curves(scope(name, exact))
    assert list(ours) == list(theirs)
    for key, trace in theirs.items():
        with np.errstate(divide="ignore"):
            y = np.asarray(trace.y) if name == "transport" or np.nanmin(trace.y) < 0 else np.log10(trace.y)
        np.testing.assert_allclose(ours[key].y[1:], y[1:])  # nothing is retained at step 0: it stands in a lane
    assert "Exact." in texts(scope(name, exact))


def test_norms_hold_both_at_rest_and_rms_alone_before(exact, sampled):
    assert list(curves(scope("norms", exact))) == ["largest stretch", "rms stretch"]
    assert list(curves(scope("norms", sampled))) == ["rms stretch"]
    rest = curves(scope("norms", exact))["largest stretch"]
    np.testing.assert_allclose(rest.y, np.median(np.log10(exact["jacobian_norm"]), axis=1))


def test_a_sample_says_so_with_its_error(sampled):
    figure = scope("transport", sampled)
    assert "16 random directions" in texts(figure)
    band = next(trace for trace in figure.data if trace.name == "sampling error")
    low, high = (np.median(sampled[f"transport.{end}"], axis=1) for end in ("low", "high"))
    np.testing.assert_allclose(band.y, np.concatenate([low, high[::-1], low[:1]]))
    for name in ("norms", "gates", "flow"):
        assert "While you drag" in texts(scope(name, sampled))


@pytest.mark.parametrize("name", SCOPE)
def test_a_pinned_setting_stands_dotted_behind(exact, name):
    other = measure(replace(SETTING, forget_bias=-2.0, length=40))
    figure = scope(name, exact, other)
    pins = [trace for trace in figure.data if str(trace.legendgroup).endswith(", pinned")]
    assert pins
    assert all(trace.line.dash == "dot" and not trace.showlegend for trace in pins)
    assert figure.data[: len(pins)] == tuple(pins)
    assert figure.layout.xaxis.range[1] >= 39
    assert "pinned" in [trace.name for trace in figure.data]


@pytest.mark.parametrize("name", SCOPE)
def test_the_browser_gets_the_same(exact, sampled, name):
    for record, kind, room in ((exact, "f8", 0.0), (sampled, "f4", 1e-6)):
        data = json.loads(live(name, record, exact))["data"]
        figure = scope(name, record, exact)
        assert [trace["name"] for trace in data] == [trace.name for trace in figure.data]
        for sent, trace in zip(data, figure.data, strict=True):
            if isinstance(sent["y"], dict):
                assert sent["y"]["dtype"] == kind
                y = np.frombuffer(base64.b64decode(sent["y"]["bdata"]), f"<{kind}")
                np.testing.assert_allclose(y, np.asarray(trace.y, float), rtol=room, atol=room)


def test_states_beyond_float32_are_drawn_to_the_end_also_behind_a_moving_curve(sampled):
    far = measure(Setting(cell="RNN", activation="identity", gain=3.0, hidden_size=4, length=200, batch=2))
    for record, pinned in ((far, None), (sampled, far)):
        sent = [
            trace["y"] for trace in json.loads(live("gates", record, pinned))["data"] if isinstance(trace["y"], dict)
        ]
        values = [np.frombuffer(base64.b64decode(y["bdata"]), f"<{y['dtype']}") for y in sent]
        assert max(np.nanmax(np.abs(y)) for y in values) > 1e40
        assert all(not np.isinf(y).any() for y in values)


def test_a_cell_without_a_flow_gets_a_sentence():
    record = measure(replace(SETTING, cell="RNN"))
    assert "no gate that keeps" in texts(scope("flow", record)).replace("<br>", " ")
    assert "no gate that keeps" in live("flow", record).replace("<br>", " ")
    assert curves(scope("gates", record))


@pytest.mark.parametrize("cell", CELLS)
def test_the_gates_of_a_cell_are_told_apart(cell):
    lines = curves(scope("gates", measure(Setting(cell=cell, hidden_size=4, length=12, batch=3), exact=False)))
    assert set(lines) == set(CELLS[cell](1, 2).gate_names)
    assert len({(trace.line.color, trace.line.dash) for trace in lines.values()}) == len(lines)


def test_each_figure_says_what_to_conclude(exact):
    captions = {name: scope(name, exact).layout.meta["caption"] for name in SCOPE}
    assert captions["transport"] == figures.caption("transport")
    assert "spectral norm" in captions["norms"]
    assert "near 1 keeps" in captions["gates"]


def test_an_unknown_figure_is_refused(exact):
    with pytest.raises(ArgumentError, match="transport, norms"):
        scope("spectrum", exact)
