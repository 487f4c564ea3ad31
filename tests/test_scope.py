"""The scope's settings, what they measure, and the code that measures the same."""

from __future__ import annotations

import warnings
from dataclasses import asdict

import numpy as np
import plotly.graph_objects as go
import pytest

import gradscope as gs
from gradscope.cells import CELLS
from gradscope.errors import ArgumentError, ShapeError
from gradscope.figures.scope import SCOPE, scope
from gradscope.scope import LIMITS, Setting, code, measure
from gradscope.signals import load_inputs

SMALL = {"hidden_size": 6, "length": 20, "batch": 3}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("signal", ["noise", "text"])
def test_the_code_gives_the_same_arrays(cell, signal, monkeypatch):
    shown = []
    monkeypatch.setattr(go.Figure, "show", lambda figure: shown.append(figure))
    setting = Setting(cell=cell, signal=signal, gain=1.3, forget_bias=-0.5, seed=7, **SMALL)
    record, found = measure(setting), {}
    exec(code(setting), found)
    again = found["record"]
    assert list(again) == list(record)
    for name, values in record.items():
        np.testing.assert_array_equal(values, again[name])
    assert again.summary == record.summary
    assert [figure.to_json() for figure in shown] == [scope(name, record).to_json() for name in SCOPE]


@pytest.mark.parametrize("initializer", ["gaussian", "identity"])
def test_the_code_follows_every_knob(initializer, monkeypatch):
    monkeypatch.setattr(go.Figure, "show", lambda figure: None)
    setting = Setting(activation="softsign", initializer=initializer, signal="digits", gain=0.5, **SMALL)
    found = {}
    exec(code(setting), found)
    np.testing.assert_array_equal(measure(setting)["transport"], found["record"]["transport"])


def test_the_code_draws_a_pinned_setting_behind(monkeypatch):
    shown, found = [], {}
    monkeypatch.setattr(go.Figure, "show", lambda figure: shown.append(figure))
    setting, pinned = Setting(gain=1.2, **SMALL), Setting(cell="GRU", signal="text", **SMALL)
    exec(code(setting, pinned), found)
    records = measure(setting), measure(pinned)
    for one, name in zip(records, ("record", "pinned"), strict=True):
        np.testing.assert_array_equal(one["transport"], found[name]["transport"])
    assert [figure.to_json() for figure in shown] == [scope(name, *records).to_json() for name in SCOPE]


def test_the_code_reads_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(go.Figure, "show", lambda figure: None)
    np.save("own's.npy", np.random.default_rng(0).standard_normal((50, 9, 2)))
    setting, found = Setting(signal="file", file="0123abcd-own's.npy", **SMALL), {}
    exec(code(setting), found)
    record = measure(setting, file=load_inputs("own's.npy"))
    np.testing.assert_array_equal(record["transport"], found["record"]["transport"])


def test_a_pin_of_the_same_setting_is_measured_once():
    setting = Setting(**SMALL)
    told, other = code(setting, setting), code(setting, Setting(gain=2.0, **SMALL))
    assert (told.count("gs.probe("), other.count("gs.probe(")) == (1, 2)
    assert "pinned = record\n" in told
    assert "scope(name, record, pinned)" in told
    compile(told, "scope", "exec")


def test_while_a_knob_moves_the_record_is_a_sample_of_the_exact_one():
    setting = Setting(hidden_size=16, length=60, batch=8)
    quick, exact = measure(setting, exact=False), measure(setting)
    assert quick.config["directions"] == 16
    assert exact.config["directions"] is None
    assert exact.config["setting"] == quick.config["setting"] == asdict(setting)
    held = (quick["transport.low"] <= exact["transport"]) & (exact["transport"] <= quick["transport.high"])
    assert held[:-1].mean() > 0.8
    assert "jacobian_norm" in exact
    assert "jacobian_norm" not in quick
    for name in ("jacobian_rms", "gate_activation", "flow_retained", "flow_written", "flow_exposed"):
        np.testing.assert_allclose(quick[name], exact[name], rtol=1e-3, atol=1e-5)


def test_each_cell_shows_what_it_has():
    for name in CELLS:
        quick = measure(Setting(cell=name, **SMALL), exact=False)
        assert {"transport", "jacobian_rms", "gate_activation"} <= set(quick)
        assert ("flow_retained" in quick) == CELLS[name](1, 2).keeps or name == "RWA"


def test_a_knob_that_a_cell_lacks_does_nothing():
    one, other = (measure(Setting(cell="RNN", forget_bias=bias, **SMALL), exact=False) for bias in (0.0, 4.0))
    assert (one["transport"] == other["transport"]).all()
    assert "forget_bias" not in code(Setting(cell="RNN"))


def test_extremes_are_shown_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cell in ("RNN", "LSTM"):
            for exact in (True, False):
                measure(Setting(cell=cell, gain=3.0, activation="identity", length=400, hidden_size=4), exact)
                measure(Setting(cell=cell, gain=0.0, length=10, hidden_size=2, batch=1), exact)


def test_a_setting_is_read_from_text_and_says_what_it_changes():
    setting = Setting.read({"cell": "GRU", "gain": "1.25", "length": "50", "forget_bias": "-2"})
    assert setting == Setting(cell="GRU", gain=1.25, length=50, forget_bias=-2.0)
    assert setting.changes() == {"cell": "GRU", "gain": 1.25, "length": 50, "forget_bias": -2.0}
    assert Setting.read({key: str(value) for key, value in setting.changes().items()}) == setting
    assert Setting.read({}) == Setting()


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"cell": "<img>"}, "LSTM"),
        ({"length": "1e9"}, "`length` must be a whole number from 10 to 400.*200 is the default"),
        ({"length": "12.5"}, "whole number"),
        ({"hidden_size": "100000"}, "from 2 to 128"),
        ({"gain": "nan"}, "`gain` must be a number from 0 to 3"),
        ({"gain": "inf"}, "`gain`"),
        ({"gain": "two"}, "`gain`"),
        ({"forget_bias": "chrono:20"}, "`forget_bias`"),
        ({"signal": "/etc/passwd"}, "noise"),
        ({"activation": "exp"}, "tanh"),
        ({"initializer": "ones"}, "orthogonal"),
        ({"seed": "-1"}, "from 0 to 9999"),
        ({"colour": "red"}, "forget_bias"),
    ],
)
def test_bad_settings_are_refused_with_what_is_possible(values, match):
    with pytest.raises(ArgumentError, match=match):
        Setting.read(values)


@pytest.mark.parametrize("name", LIMITS)
def test_both_ends_of_each_range_are_in_it(name):
    low, high = LIMITS[name]
    for end in (low, high):
        value = int(end) if isinstance(getattr(Setting, name), int) else end
        assert getattr(Setting(**{name: value}), name) == value
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        Setting(**{name: int(high) + 1})


def test_the_root_has_every_cell_that_the_code_names():
    assert all(hasattr(gs, name) for name in CELLS)


def test_a_file_must_be_given_and_narrow_enough():
    setting = Setting(signal="file", **SMALL)
    with pytest.raises(ArgumentError, match=r"Choose a \.npy or \.csv"):
        measure(setting)
    with pytest.raises(ShapeError, match=r"at most 256 features, got 257.*Time comes first"):
        measure(setting, file=np.zeros((9, 1, 257)))
