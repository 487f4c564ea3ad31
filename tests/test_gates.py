"""Gates: every statistic once more from the values themselves, and the ends of the range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from plain_routes import ACTIVATIONS, STANDARD, cases, chunks_of, make_case

import gradscope as gs
from gradscope.activations import activation
from gradscope.errors import ArgumentError
from gradscope.gates import BINS, gate_statistics, retention

UNBOUNDED = ("relu", "identity")
LIMITS = {"tanh": (-1, 1), "softsign": (-1, 1), "sigmoid": (0, 1), "hard_sigmoid": (0, 1), "hard_tanh": (-1, 1)}


def run(case):
    return gs.unroll(case.cell, case.params, case.inputs, case.state)


def kind_of(case, gate):
    return case.cell.activation if gate in ("candidate", "hidden") else "sigmoid"


def plain_drives(case, trajectory):
    """Return the pre-activation of each gate (T, B, H) by the published equations."""
    size, params = case.cell.hidden_size, case.params
    a = trajectory.inputs @ params["W_x"].T + params["b"]
    u = trajectory.states[:-1, :, :size] @ params["W_h"].T + params.get("b_h", 0.0)
    rows = {name: slice(k * size, (k + 1) * size) for k, name in enumerate(case.cell.gate_names)}
    drives = {name: a[..., part] + u[..., part] for name, part in rows.items()}
    if case.name == "GRU":
        part = rows["candidate"]
        drives["candidate"] = a[..., part] + trajectory.gates["reset"] * u[..., part]
    return drives


@settings(max_examples=60)
@given(cases(names=STANDARD))
def test_every_statistic_is_what_it_says(case):
    with chunks_of(case.chunk):
        trajectory = run(case)
        found = gate_statistics(trajectory)
    values = dict(trajectory.gates) | {"hidden": trajectory.hidden}
    drives = plain_drives(case, trajectory)
    assert found.names == case.cell.gate_names
    assert found.saturation_names == tuple(dict.fromkeys([*case.cell.gate_names, "hidden"]))
    for n, name in enumerate(found.names):
        value = ACTIVATIONS[kind_of(case, name)](drives[name])
        np.testing.assert_allclose(
            found.quantiles[:, n], np.quantile(value, [0.05, 0.5, 0.95], axis=1), rtol=1e-9, atol=1e-9
        )
        kind = activation(kind_of(case, name))
        x = np.asarray(drives[name])
        slope = np.vectorize(lambda v, f=kind.function: (f(v + 1e-6) - f(v - 1e-6)) / 2e-6)(x)
        np.testing.assert_allclose(found.slope_rms[n], np.sqrt((slope**2).mean(axis=(1, 2))), atol=1e-6)
        share = (np.abs(slope) < 0.01 * kind.largest_slope).mean(axis=(1, 2))
        clear = np.abs(np.abs(slope) - 0.01 * kind.largest_slope).min(axis=(1, 2)) > 1e-7
        np.testing.assert_allclose(found.flat[n][clear], share[clear], atol=1e-12)
        if kind_of(case, name) in UNBOUNDED:
            assert np.isnan(found.histogram[n]).all()
        else:
            low, high = LIMITS[kind_of(case, name)]
            counts = np.histogram(trajectory.gates[name], BINS, (low, high))[0]
            assert found.histogram[n].sum() == pytest.approx(1.0)
            assert np.abs(found.histogram[n] * value.size - counts).max() <= 2  # an edge may round either way
    for n, name in enumerate(found.saturation_names):
        if kind_of(case, name) in UNBOUNDED:
            assert np.isnan(found.saturated_steps[n]).all()
            assert np.isnan(found.saturated_units[n]).all()
            continue
        low, high = LIMITS[kind_of(case, name)]
        share = (values[name] - low) / (high - low)
        for side, inside in enumerate((share < 0.1, share > 0.9)):
            np.testing.assert_allclose(found.saturated_steps[n, side], inside.mean(axis=(1, 2)), atol=1e-12)
            np.testing.assert_allclose(found.saturated_units[n, side], inside.mean(axis=(0, 1)), atol=1e-12)


def forced(cell, gate, bias, dtype=np.float64, length=4):
    """Return a trajectory whose gate has that pre-activation everywhere."""
    params = {name: np.zeros_like(array) for name, array in cell.init(np.random.default_rng(0)).items()}
    params["b"].reshape(-1, cell.hidden_size)[cell.gate_names.index(gate)] = bias
    return gs.unroll(cell, {k: v.astype(dtype) for k, v in params.items()}, np.zeros((length, 2, cell.input_size)))


@pytest.mark.parametrize(("bias", "sides"), [(40.0, [0.0, 1.0]), (-40.0, [1.0, 0.0]), (0.0, [0.0, 0.0])])
def test_a_forced_gate_is_saturated_on_its_side(bias, sides):
    found = gate_statistics(forced(gs.LSTM(1, 3), "forget", bias))
    n = found.names.index("forget")
    np.testing.assert_array_equal(found.saturated_steps[n], np.tile(np.array(sides)[:, None], 4))
    np.testing.assert_array_equal(found.saturated_units[n], np.tile(np.array(sides)[:, None], 3))
    np.testing.assert_array_equal(found.flat[n], 1.0 if bias else 0.0)
    assert found.histogram[n, {40.0: -1, -40.0: 0, 0.0: BINS // 2}[bias]] == 1.0


def test_softsign_is_hardly_ever_saturated_and_yet_flat():
    """At x = 8.9 softsign stands at 0.899 of 1, and its slope is 1 % of the largest (TRUTHS 22)."""
    found = {name: gate_statistics(forced(gs.RNN(1, 2, name), "hidden", 9.5)) for name in ("tanh", "softsign")}
    assert found["softsign"].saturated_steps[0, 1, 0] == 1.0  # (0.905 + 1) / 2 > 0.9 of the range
    assert found["softsign"].flat[0, 0] == 1.0
    assert found["softsign"].slope_rms[0, 0] == pytest.approx(1 / 10.5**2)
    assert found["tanh"].slope_rms[0, 0] == pytest.approx(4 * np.exp(-19.0), rel=1e-6)


def test_nan_makes_nan_of_what_is_taken_over_it_and_of_nothing_else():
    case = make_case("LSTM", length=6, batch=3, hidden_size=2)
    inputs = case.inputs.copy()
    inputs[3:, 1] = np.nan
    state = case.state.copy()
    found = gate_statistics(gs.unroll(case.cell, case.params, inputs, state))
    for array in (found.quantiles, found.flat[None], found.slope_rms[None], found.saturated_steps.swapaxes(0, 1)):
        per_step = array.reshape(*array.shape[:2], 6, -1)
        assert not np.isnan(per_step[:, :, :3]).any()
        assert np.isnan(per_step[:, :, 3:]).all()
    assert np.isnan(found.saturated_units).all()
    assert np.isnan(found.histogram).all()


def test_infinite_values_have_infinite_quantiles():
    cell = gs.RNN(1, 2, "relu")
    params = {"W_x": np.ones((2, 1)), "W_h": np.zeros((2, 2)), "b": np.zeros(2)}
    found = gate_statistics(gs.unroll(cell, params, np.full((1, 3, 1), np.inf)))
    np.testing.assert_array_equal(found.quantiles, np.inf)


@settings(max_examples=40)
@given(cases(names=STANDARD))
def test_retention_and_timescale_are_those_of_the_keep_gate(case):
    if not case.cell.keeps:
        with pytest.raises(ArgumentError, match=r"`retention` needs a cell with a keep gate, got RNN\. Use an LSTM"):
            retention(run(case))
        return
    with chunks_of(case.chunk):
        trajectory = run(case)
        found = retention(trajectory)
    keep = trajectory.gates[case.cell.keep_gate]
    np.testing.assert_allclose(found.retention, keep.mean(axis=2), rtol=1e-12)
    np.testing.assert_allclose(found.timescale, -1 / np.log(keep).mean(axis=(0, 1)), rtol=1e-6)


@pytest.mark.parametrize("cell", [gs.LSTM(1, 2), gs.GRU(1, 2)], ids=["LSTM", "GRU"])
@pytest.mark.parametrize(
    ("dtype", "bias", "truth"),
    [
        (np.float64, 0.0, 1 / np.log(2)),
        (np.float64, 40.0, np.exp(40.0)),
        (np.float64, 700.0, np.exp(700.0)),
        (np.float64, 800.0, np.inf),
        (np.float64, -40.0, 1 / 40.0),
        (np.float64, -1e5, 1e-5),
        (np.float64, -np.inf, 0.0),
        (np.float32, 40.0, np.exp(40.0)),
        (np.float32, 80.0, np.exp(80.0)),
        (np.float32, 120.0, np.inf),
        (np.float32, -200.0, 1 / 200.0),
    ],
)
def test_timescales_are_right_at_the_ends_of_the_range(cell, dtype, bias, truth):
    """A gate at 1 - 1e-18 keeps for 1e17 steps; ln of its value would be an exact 0."""
    found = retention(forced(cell, cell.keep_gate, bias, dtype))
    np.testing.assert_allclose(found.timescale, truth, rtol=1e-5)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(found.retention, 1 / (1 + np.exp(-np.float64(bias))), rtol=1e-5, atol=1e-38)


def test_nan_in_the_keep_gate_makes_nan():
    case = make_case("GRU", length=5, batch=2)
    inputs = case.inputs.copy()
    inputs[3:, 1] = np.nan
    found = retention(gs.unroll(case.cell, case.params, inputs))
    assert np.isnan(found.retention).tolist() == [[False, False]] * 3 + [[False, True]] * 2
    assert np.isnan(found.timescale).all()


@pytest.mark.parametrize("name", STANDARD)
def test_padding_is_left_out_of_every_statistic(name):
    """Two routes: with the mask, and with what it marks taken away step by step."""
    case = make_case(name, length=7, batch=5, hidden_size=3)
    valid = np.random.default_rng(0).random((7, 5)) < 0.6
    valid[3], valid[4], valid[0, 0] = False, True, True
    trajectory = gs.unroll(case.cell, case.params, 20.0 * case.inputs, valid=valid)
    found = gate_statistics(trajectory)
    for n, gate in enumerate(found.names):
        values, kind = trajectory.gates[gate], case.cell.gate_kind(gate)
        for t in range(7):
            if not valid[t].any():
                assert np.isnan(found.quantiles[:, n, t]).all()
                assert np.isnan([found.flat[n, t], found.slope_rms[n, t]]).all()
                continue
            wanted = np.quantile(values[t, valid[t]], [0.05, 0.5, 0.95], axis=0)
            np.testing.assert_allclose(found.quantiles[:, n, t], wanted, rtol=1e-12, atol=1e-15)
        counted = (values[valid] - kind.low) / (kind.high - kind.low)
        np.testing.assert_allclose(found.histogram[n], np.histogram(counted, BINS, (0, 1))[0] / counted.size)
    for n, gate in enumerate(found.saturation_names):
        kind = case.cell.gate_kind(gate)
        values = trajectory.gates[gate] if gate in found.names else trajectory.hidden
        share = (values - kind.low) / (kind.high - kind.low)
        for side, inside in enumerate((share < 0.1, share > 0.9)):
            np.testing.assert_allclose(found.saturated_units[n, side], inside[valid].mean(axis=0))
            steps = [inside[t, valid[t]].mean() if valid[t].any() else np.nan for t in range(7)]
            np.testing.assert_allclose(found.saturated_steps[n, side], steps)
    if name != "RNN":
        keep = trajectory.gates[case.cell.keep_gate][valid]
        np.testing.assert_allclose(retention(trajectory).timescale, -1 / np.log(keep).mean(axis=0))


def test_slopes_of_padding_do_not_count():
    case = make_case("RNN", length=4, batch=3, hidden_size=5)
    valid = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0]], bool)
    found = gate_statistics(gs.unroll(case.cell, case.params, case.inputs, valid=valid))
    for count, steps in ((3, [0]), (2, [1]), (1, [2, 3])):
        alone = gate_statistics(gs.unroll(case.cell, case.params, case.inputs[:, :count]))
        np.testing.assert_allclose(found.slope_rms[0, steps], alone.slope_rms[0, steps])
        np.testing.assert_allclose(found.flat[0, steps], alone.flat[0, steps])


def test_a_nan_under_padding_spoils_nothing():
    case = make_case("LSTM", length=5, batch=3)
    state = np.zeros((3, case.cell.state_size))
    state[1] = np.nan
    valid = np.ones((5, 3), bool)
    valid[:, 1] = False
    found = gate_statistics(gs.unroll(case.cell, case.params, case.inputs, state, valid=valid))
    for array in (found.quantiles, found.histogram, found.flat, found.slope_rms, found.saturated_steps):
        assert not np.isnan(array).any()
