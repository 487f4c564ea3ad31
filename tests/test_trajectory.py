"""Trajectory: states and gates against the published equations, across the edges of chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from plain_routes import ACTIVATIONS, STANDARD, Case, cases, chunks_of, make_case, scaled_error
from written_cells import Hinge

import gradscope as gs
from gradscope.errors import ArgumentError, ShapeError
from gradscope.trajectory import unroll

EVERY = pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])


def run(case: Case):
    return unroll(case.cell, case.params, case.inputs, case.state)


@given(cases(dtypes=("float64", "float32")))
def test_states_are_those_of_the_published_equations(case):
    with chunks_of(case.chunk):
        trajectory = run(case)
    tolerance = case.tolerance if case.cell.activation in ("tanh", "softsign", "sigmoid") else 30 * case.tolerance
    assert scaled_error(trajectory.states, case.plain_states()) < tolerance
    assert trajectory.states.dtype == case.params["W_h"].dtype
    assert (trajectory.length, trajectory.batch) == case.inputs.shape[:2]
    np.testing.assert_array_equal(trajectory.states[0], case.state)
    np.testing.assert_array_equal(trajectory.inputs, case.inputs)


@given(cases(names=STANDARD))
def test_gates_are_those_of_the_published_equations(case):
    with chunks_of(case.chunk):
        trajectory = run(case)
        gates = trajectory.gates
        found = {name: gates[name] for name in gates}
    assert list(found) == list(case.cell.gate_names)
    assert len(gates) == len(found)
    before = case.plain_states()[:-1]
    h, width = before[..., : case.cell.hidden_size], case.cell.hidden_size
    params = case.params
    a, u = case.inputs @ params["W_x"].T + params["b"], h @ params["W_h"].T + params.get("b_h", 0.0)
    for k, name in enumerate(case.cell.gate_names):
        rows = slice(k * width, (k + 1) * width)
        inside = a[..., rows] + u[..., rows]
        if case.name == "GRU" and name == "candidate":
            inside = a[..., rows] + found["reset"] * u[..., rows]
        phi = case.phi if name in ("candidate", "hidden") else ACTIVATIONS["sigmoid"]
        assert found[name].shape == (*case.inputs.shape[:2], width)
        assert scaled_error(found[name], phi(inside)) < 3e-9


@EVERY
def test_neither_chunks_nor_kept_drives_change_a_digit(name):
    case = make_case(name, length=11, batch=2, hidden_size=4)
    whole = run(case)
    for chunk, kept in ((1, 2**24), (1, 0), (2**6, 0), (2**17, 0)):
        with chunks_of(chunk, kept):
            again = run(case)
            assert (again.drives is None) == (kept == 0)
            np.testing.assert_allclose(again.states, whole.states, rtol=0, atol=1e-15)
            for gate, values in whole.gates.items():
                np.testing.assert_allclose(again.gates[gate], values, rtol=0, atol=1e-15)


@pytest.mark.parametrize("length", [1, 2, 7, 12, 13])
@pytest.mark.parametrize("chunk", [1, 24, 48, 60, 10**6])
def test_chunks_cover_every_step_once_and_in_order(length, chunk):
    trajectory = run(make_case("LSTM", length=length, batch=2, hidden_size=3))
    with chunks_of(chunk):
        steps = [t for part in trajectory.chunks() for t in range(length)[part]]
        assert steps == list(range(length))
        assert max(part.stop - part.start for part in trajectory.chunks()) <= max(1, chunk // 24)


def test_hidden_and_cell_state_are_the_blocks_after_each_step():
    trajectory = run(make_case("LSTM", hidden_size=3, length=5))
    np.testing.assert_array_equal(trajectory.hidden, trajectory.states[1:, :, :3])
    np.testing.assert_array_equal(trajectory.cell_state, trajectory.states[1:, :, 3:])


def test_a_state_left_out_is_zero():
    case = make_case("LSTM")
    free = unroll(case.cell, case.params, case.inputs)
    np.testing.assert_array_equal(free.states[0], 0.0)
    np.testing.assert_array_equal(
        free.states, unroll(case.cell, case.params, case.inputs, np.zeros_like(case.state)).states
    )


def test_sequences_do_not_touch_one_another():
    """One sequence of NaN and one that overflows leave the third as it was."""
    case = make_case("RNN", "relu", batch=3, length=40, gain=5.0)
    inputs = case.inputs.copy()
    inputs[3, 0] = np.nan
    inputs[5, 1] = 1e300
    alone = unroll(case.cell, case.params, inputs[:, 2:], case.state[2:])
    together = unroll(case.cell, case.params, inputs, case.state)
    np.testing.assert_allclose(together.states[:, 2], alone.states[:, 0], rtol=1e-12)
    assert np.isnan(together.states[4:, 0]).all()
    assert np.isfinite(together.states[:4, 0]).all()


def test_divergence_is_a_result_and_not_an_error():
    """A ReLU network of gain 5 overflows; inf minus inf is NaN; nothing is raised and nothing warned of."""
    cell = gs.RNN(1, 16, "relu")
    params = cell.init(np.random.default_rng(0), recurrent="gaussian", gain=5.0)
    states = unroll(cell, params, np.ones((2000, 2, 1))).states
    first = int(np.argmax(~np.isfinite(states).all(axis=(1, 2))))
    assert 0 < first < 1000
    assert np.isinf(states[first]).any()
    assert np.isnan(states[-1]).all()


def test_what_went_in_is_left_alone():
    case = make_case("GRU")
    before = case.inputs.copy(), case.state.copy(), {k: v.copy() for k, v in case.params.items()}
    run(case)
    np.testing.assert_array_equal(case.inputs, before[0])
    np.testing.assert_array_equal(case.state, before[1])
    for name, array in before[2].items():
        np.testing.assert_array_equal(case.params[name], array)


def test_a_trajectory_is_what_happened_whatever_is_done_to_the_weights_later():
    """Partials are made when first asked for; a training step in place must not reach them."""
    case = make_case("LSTM", length=5)
    inputs = case.inputs.copy()
    wanted = gs.linearize(run(case)).jacobians()
    trajectory = unroll(case.cell, case.params, inputs, case.state)
    for array in (*case.params.values(), inputs):
        array *= -3.0
    np.testing.assert_array_equal(gs.linearize(trajectory).jacobians(), wanted)


def test_inputs_beyond_float32_are_infinite_there_without_a_warning():
    cell = gs.RNN(1, 1)
    params = cell.init(np.random.default_rng(0), dtype=np.float32)
    trajectory = unroll(cell, params, np.full((2, 1, 1), 1e300), np.full((1, 1), -1e300))
    assert np.isposinf(trajectory.inputs).all()
    assert np.isneginf(trajectory.states[0]).all()


def test_values_are_compared_by_identity_and_may_be_kept_in_a_set():
    trajectory, other = run(make_case("RNN")), run(make_case("RNN"))
    assert trajectory == trajectory
    assert trajectory != other
    assert len({trajectory, other, gs.linearize(trajectory)}) == 3


def test_an_update_that_looks_at_values_takes_the_right_branch_at_every_step():
    cell = Hinge(1, 2)
    params = {"W_x": np.ones((2, 1)), "W_h": np.zeros((2, 2)), "b": np.zeros(2)}
    states = unroll(cell, params, np.array([0.5, 6.0, 1.0])[:, None, None]).states[1:, 0]
    np.testing.assert_allclose(states, [[np.tanh(0.5), 2 * np.tanh(0.5)], [3.0, 3.0], [np.tanh(1), 2 * np.tanh(1)]])


def test_whole_numbers_and_lists_will_do():
    cell = gs.RNN(1, 1)
    params = {"W_x": [[1]], "W_h": [[0]], "b": [0]}
    states = unroll(cell, params, [[[1]], [[2]]], [[0]]).states
    np.testing.assert_allclose(states.ravel(), np.tanh([0.0, 1.0, 2.0]), rtol=1e-15)


def test_float32_parameters_keep_everything_in_float32():
    case = make_case("LSTM", dtype="float32")
    trajectory = unroll(case.cell, case.params, case.inputs.astype(float), case.state.astype(float))
    assert trajectory.states.dtype == trajectory.gates["forget"].dtype == trajectory.inputs.dtype == np.float32


def test_a_layer_of_a_framework_is_told_how_it_is_taken_over():
    """Keras's layers have an attribute ``unroll`` of their own."""
    layer = type("LSTM", (), {"__module__": "keras.src.layers", "unroll": False})()
    with pytest.raises(ArgumentError, match=r"got LSTM of keras\. Take it over: `cell, params = gs\.from_keras"):
        gs.probe(layer, {}, np.ones((5, 1, 2)))


CELL = gs.LSTM(2, 3)
PARAMS = CELL.init(np.random.default_rng(0))
INPUTS = np.zeros((100, 32, 2))
WRONG = [
    (
        np.zeros((32, 100, 3)),
        None,
        r"`inputs` must have shape \(T, B, I=2\), got \(32, 100, 3\)\. Time comes first, the I",
    ),
    (np.zeros((100, 2)), None, r"got \(100, 2\)\. Time comes first; for one sequence use `inputs\[:, None, :\]`"),
    (np.zeros((100, 32), int), None, r"got \(100, 32\)\. Time comes first; for tokens \(T, B\) use `np\.eye\(2\)\["),
    (np.zeros((0, 4, 2)), None, r"got \(0, 4, 2\)\. Time comes first; give at least one step and one sequence"),
    (np.zeros((4, 0, 2)), None, r"got \(4, 0, 2\)\. Time comes first; give at least one step and one sequence"),
    ("a sequence", None, r"`inputs` must be an array of real numbers, got text\. Convert it to float64 or float32"),
    (INPUTS * 1j, None, r"`inputs` must be an array of real numbers, got dtype complex128\. Convert it"),
    ([[[1.0, 2.0]], [[1.0]]], None, r"`inputs` .* ragged lists\. Pad them"),
    (None, None, r"`inputs` must be an array of real numbers, got dtype object\. Convert it"),
    (np.ma.masked_equal(INPUTS, INPUTS[0, 0, 0]), None, r"`inputs` must be a plain array, .* mark padding by `valid`"),
    (INPUTS, np.zeros((32, 3)), r"`state` must have shape \(B=32, S=6\), got \(32, 3\)\. Put h, c side by side"),
    (INPUTS, np.zeros(6), r"`state` must have shape \(B=32, S=6\), got \(6,\)\. Put h, c side by side"),
    (INPUTS, "zero", r"`state` must be an array of real numbers, got text\. Convert it"),
]


@pytest.mark.parametrize(("inputs", "state", "message"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_array_is_told_what_to_do(inputs, state, message):
    with pytest.raises(ShapeError, match=message):
        unroll(CELL, PARAMS, inputs, state)


def test_a_cell_without_a_cell_state_says_what_to_use():
    trajectory = run(make_case("GRU"))
    with pytest.raises(ArgumentError, match=r"`cell_state` needs a cell with a cell state, got GRU\. Use `hidden`"):
        trajectory.cell_state  # noqa: B018


def test_a_misspelt_gate_is_a_key_error_that_lists_the_gates():
    trajectory = run(make_case("LSTM"))
    with pytest.raises(KeyError, match=r"one of input, forget, candidate, output, got 'forgt'\. Did you mean 'forget'"):
        trajectory.gates["forgt"]
    assert trajectory.gates.get("forgt") is None
    assert "forgt" not in trajectory.gates


@pytest.mark.parametrize("call", [unroll, gs.scan, gs.probe])
@pytest.mark.parametrize(
    ("cell", "got"),
    [("LSTM", "'LSTM'"), (gs.LSTM, "the class LSTM"), (gs.Stack, "the class Stack"), ({"W_x": np.eye(2)}, "dict")],
)
def test_what_is_no_cell_is_told_what_a_cell_is(call, cell, got):
    with pytest.raises(ArgumentError, match=rf"`cell` must be a cell or a network, got {got}\. Build one first: `gs\."):
        call(cell, {}, np.ones((5, 1, 2)))
