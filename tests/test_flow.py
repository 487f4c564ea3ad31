"""Flow: what is retained and written adds up to the new state, and its size is right at every scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from plain_routes import STANDARD, cases, chunks_of, make_case

import gradscope as gs
from gradscope.errors import ArgumentError
from gradscope.flow import flow


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
