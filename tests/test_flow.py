"""Flow: what is retained and written adds up to the new state, and its size is right at every scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from plain_routes import STANDARD, cases, chunks_of, make_case

import gradscope as gs
from gradscope.errors import ArgumentError
from gradscope.flow import flow, write_survival


def rms(array):
    return np.sqrt((array**2).mean(axis=-1))


@settings(max_examples=60)
@given(cases(names=STANDARD))
def test_flow_is_that_of_the_published_equations(case):
    trajectory = gs.unroll(case.cell, case.params, case.inputs, case.state)
    if case.name == "RNN":
        with pytest.raises(
            ArgumentError, match=r"`flow` needs a cell with a keep gate, got RNN\. Use an LSTM or a GRU"
        ):
            flow(trajectory)
        return
    with chunks_of(case.chunk):
        found = flow(trajectory)
    gates, size = trajectory.gates, case.cell.hidden_size
    old, new = case.plain_states()[:-1], case.plain_states()[1:]
    if case.name == "LSTM":
        retained, written = gates["forget"] * old[..., size:], gates["input"] * gates["candidate"]
        memory, exposed = new[..., size:], gates["output"] * case.phi(new[..., size:])
    else:
        retained, written = gates["update"] * old, (1 - gates["update"]) * gates["candidate"]
        memory, exposed = new, new
    np.testing.assert_allclose(retained + written, memory, atol=1e-8 * np.abs(memory).max())
    for array, wanted in ((found.retained, retained), (found.written, written), (found.exposed, exposed)):
        assert array.shape == case.inputs.shape[:2]
        np.testing.assert_allclose(array, rms(wanted), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e170, 1e300])
def test_flow_of_any_size_is_no_trouble(scale):
    cell = gs.LSTM(1, 3)
    params = {name: np.zeros_like(array) for name, array in cell.init(np.random.default_rng(0)).items()}
    state = np.concatenate([np.zeros(3), scale * np.array([3.0, 0.0, 4.0])])[None]
    found = flow(gs.unroll(cell, params, np.zeros((1, 1, 1)), state))
    assert found.retained[0, 0] == pytest.approx(0.5 * scale * 5 / np.sqrt(3), rel=1e-14)


def test_nothing_kept_or_written_is_exactly_0_and_nan_stays_in_its_sequence():
    case = make_case("LSTM", length=5, batch=3)
    inputs = case.inputs.copy()
    inputs[2, 1] = np.nan
    found = flow(gs.unroll(case.cell, case.params, inputs))
    np.testing.assert_array_equal(found.retained[0], 0.0)
    for array in (found.retained, found.written, found.exposed):
        assert np.isnan(array).any(axis=0).tolist() == [False, True, False]
    zero = {name: np.zeros_like(array) for name, array in case.params.items()}
    np.testing.assert_array_equal(flow(gs.unroll(case.cell, zero, case.inputs)).written, 0.0)


def test_dtype_is_that_of_the_parameters():
    case = make_case("GRU", dtype="float32")
    assert flow(gs.unroll(case.cell, case.params, case.inputs)).retained.dtype == np.float32


# ---- what survives of each write ------------------------------------------------------------------------------------


def writes_of(found):
    """Return the writes as plain numbers (T+1, H, B)."""
    return found.sign * 10.0**found.log10


@settings(max_examples=40, deadline=None)
@given(cases(names=("LSTM",)))
def test_what_survives_of_the_writes_sums_to_the_last_cell_state(case):
    trajectory = gs.unroll(case.cell, case.params, case.inputs, case.state)
    with chunks_of(case.chunk):
        found = write_survival(trajectory)
    writes, last = writes_of(found), case.plain_states()[-1][:, case.cell.hidden_size :].T
    np.testing.assert_allclose(writes.sum(axis=0), last, atol=1e-10 * max(1.0, np.abs(writes).sum(axis=0).max()))
    own = trajectory.states[-1][:, case.cell.hidden_size :].T
    assert (np.abs(writes.sum(axis=0) - own) <= 1e-12 * np.abs(writes).sum(axis=0) + 1e-300).all()
    gates, size = trajectory.gates, case.cell.hidden_size
    for t in range(len(case.inputs) + 1):
        kept = gates["forget"][t:].prod(axis=0)
        wrote = gates["input"][t - 1] * gates["candidate"][t - 1] if t else trajectory.states[0, :, size:]
        np.testing.assert_allclose(writes[t].T, wrote * kept, rtol=1e-9, atol=1e-300)


def test_old_writes_are_right_past_the_float_range():
    cell = gs.LSTM(1, 2, forget_bias=0.0)
    params = {name: np.zeros_like(array) for name, array in cell.init(np.random.default_rng(0)).items()}
    found = write_survival(gs.unroll(cell, params, np.zeros((5000, 1, 1)), [[0.0, 0.0, 1.0, -2.0]]))
    np.testing.assert_allclose(found.log10[0, :, 0], 5000 * np.log10(0.5) + np.log10([1.0, 2.0]), rtol=1e-13)
    assert found.log10[0, 0, 0] == pytest.approx(-1505.149978, rel=1e-9)
    assert found.sign[0, :, 0].tolist() == [1, -1]
    assert np.isneginf(found.log10[1:]).all()
    assert not found.sign[1:].any()


def test_float32_survives_as_float64():
    case = make_case("LSTM", length=300, hidden_size=4)
    wide = write_survival(gs.unroll(case.cell, case.params, case.inputs))
    params = {name: array.astype(np.float32) for name, array in case.params.items()}
    trajectory = gs.unroll(case.cell, params, case.inputs)
    narrow = write_survival(trajectory)
    kept = wide.log10 > -6
    np.testing.assert_allclose(narrow.log10[kept], wide.log10[kept], atol=1e-3)
    np.testing.assert_allclose(writes_of(narrow).sum(axis=0), trajectory.cell_state[-1].T, atol=1e-5)


def test_padding_writes_nothing_and_a_reset_keeps_nothing():
    case = make_case("LSTM", length=9, batch=2)
    valid, reset = np.ones((9, 2), bool), np.zeros((9, 2), bool)
    valid[6:, 0], reset[4, 1] = False, True
    trajectory = gs.unroll(case.cell, case.params, case.inputs, case.state, valid=valid, reset=reset)
    writes = writes_of(write_survival(trajectory))
    np.testing.assert_allclose(writes.sum(axis=0), trajectory.states[-1, :, case.cell.hidden_size :].T, rtol=1e-12)
    assert not writes[7:, :, 0].any()
    assert not writes[:5, :, 1].any()
    flowed = flow(trajectory)
    assert flowed.retained[4, 1] == 0.0


@pytest.mark.parametrize(
    ("name", "remedy"), [("GRU", r"with a cell state, got GRU\. Use `retention`"), ("RNN", "Use `retention`")]
)
def test_only_a_cell_state_has_writes(name, remedy):
    case = make_case(name)
    with pytest.raises(ArgumentError, match=remedy):
        write_survival(gs.unroll(case.cell, case.params, case.inputs))
