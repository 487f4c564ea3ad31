"""Cells: parameters, one step against the published equations, and what a wrong argument is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given
from plain_routes import cases, scaled_error

from gradscope.activations import sigmoid, tanh
from gradscope.cells import CELLS, GRU, LSTM, RNN, Cell, Gate, cell_class, split
from gradscope.errors import ArgumentError, GradscopeError, ShapeError
from gradscope.record import from_json, to_json

EVERY = pytest.mark.parametrize("cell", [RNN(2, 3), LSTM(2, 3, forget_bias=1.5), GRU(2, 3, forget_bias=-1.0)], ids=repr)


def drives(case, t=0):
    """Return the two drives and the state blocks of step t, (K of (H, B)), from the case's arrays."""
    params, count = case.params, len(case.cell.gate_names)
    x = params["W_x"] @ case.inputs[t].T + params["b"][:, None]
    h = (
        params["W_h"] @ case.state[:, : case.cell.hidden_size].T
        + params.get("b_h", np.zeros_like(params["b"]))[:, None]
    )
    return split(x, count), split(h, count), split(case.state.T, len(case.cell.blocks))


def opened(case):
    """Return the parameters as an update reads them: unit parameters as columns."""
    return {**case.params, **{name: case.params[name][:, None] for name in case.cell.unit_params}}


@given(cases())
def test_update_is_the_published_equation(case):
    new = np.concatenate(case.cell.update(opened(case), *drives(case))).T
    wanted = np.stack([case.plain_step(0, b)(case.state[b]) for b in range(len(case.state))])
    assert scaled_error(new, wanted) < 1e-13


@given(cases())
def test_gates_and_flow_agree_with_the_update(case):
    x, h, state = drives(case)
    gates = case.cell.gates(opened(case), x, h, state)
    assert tuple(gates) == case.cell.gate_names
    for name, gate in gates.items():
        np.testing.assert_array_equal(case.cell.gate_kind(name)(gate.drive), gate.value)
    new = case.cell.update(opened(case), x, h, state)
    if not case.cell.keeps:
        return
    flow = case.cell.flow(gates, state, new)
    kept = case.cell.blocks.index("c") if "c" in case.cell.blocks else 0
    np.testing.assert_allclose(flow["retained"] + flow["written"], new[kept], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(flow["exposed"], new[0])
    np.testing.assert_allclose(np.exp(case.cell.log_keep(gates)) * state[kept], flow["retained"], rtol=1e-12)


@EVERY
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_init_draws_every_parameter_in_shape_and_dtype(cell, dtype):
    params = cell.init(np.random.default_rng(0), dtype=dtype)
    shapes = cell.shapes()
    assert {name: array.shape for name, array in params.items()} == {k: v for k, v in shapes.items() if k != "b_h"}
    assert {array.dtype for array in params.values()} == {np.dtype(dtype)}


@pytest.mark.parametrize("rng", [0, None])
def test_init_asks_for_a_generator(rng):
    with pytest.raises(ArgumentError, match=r"`rng` must be .* Use `np.random.default_rng\(0\)`\."):
        LSTM(1, 4).init(rng)


@EVERY
def test_init_draws_gate_by_gate(cell):
    params = cell.init(np.random.default_rng(0), recurrent="orthogonal", gain=1.7)
    for block in params["W_h"].reshape(-1, 3, 3):
        np.testing.assert_allclose(block @ block.T, 1.7**2 * np.eye(3), atol=1e-12)
    blocks = params["W_h"].reshape(-1, 9)
    assert len(np.unique(blocks.round(12), axis=0)) == len(blocks)
    limit = np.sqrt(6 / 5)  # glorot for each gate's (3, 2), not for all gates at once
    assert np.sqrt(6 / 14) < np.abs(cell.init(np.random.default_rng(0))["W_x"]).max() <= limit


@EVERY
def test_the_same_seed_gives_the_same_parameters(cell):
    first, again = (cell.init(np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_forget_bias_is_the_whole_bias_of_the_keep_gate_and_of_no_other():
    def bias(cell):
        return cell.init(np.random.default_rng(0))["b"].reshape(len(cell.gate_names), -1)

    np.testing.assert_array_equal(bias(LSTM(1, 2, forget_bias=2.5)), [[0, 0], [2.5, 2.5], [0, 0], [0, 0]])
    np.testing.assert_array_equal(bias(GRU(1, 2, forget_bias=2.5)), [[0, 0], [2.5, 2.5], [0, 0]])
    np.testing.assert_array_equal(bias(RNN(1, 2)), [[0, 0]])
    assert LSTM(1, 2).forget_bias == 1.0
    assert not hasattr(RNN(1, 2), "forget_bias")


def test_state_size_counts_every_block():
    assert [cell.state_size for cell in (RNN(1, 5), LSTM(1, 5), GRU(1, 5))] == [5, 10, 5]
    assert [cell.keeps for cell in (RNN(1, 5), LSTM(1, 5), GRU(1, 5))] == [False, True, True]


def test_describe_survives_json():
    cell = LSTM(3, np.int64(4), "softsign", 2.0)
    wanted = {"cell": "LSTM", "input_size": 3, "hidden_size": 4, "activation": "softsign", "forget_bias": 2.0}
    assert from_json(to_json(cell.describe())) == wanted
    again = dict(wanted)
    assert cell_class(again.pop("cell"))(**again) == cell


def test_cells_are_found_by_name_in_capitals_or_not():
    assert [cell_class(name) for name in ("rnn", "LSTM", "Gru")] == [RNN, LSTM, GRU]
    assert all(cell_class(name) is kind and kind.__name__ == name for name, kind in CELLS.items())


def test_check_brings_parameters_to_one_dtype_without_touching_them():
    cell = RNN(1, 2)
    params = {"W_x": np.ones((2, 1), np.float32), "W_h": [[1, 0], [0, 1]], "b": np.zeros(2, np.float32)}
    checked = cell.check(params)
    assert {array.dtype for array in checked.values()} == {np.dtype(np.float64)}
    assert params["b"].dtype == np.float32
    single = cell.check({name: np.asarray(array, np.float32) for name, array in params.items()})
    assert single["W_h"].dtype == np.float32


@dataclass(frozen=True)
class Minimal(Cell):
    """A keep gate without a flow of its own: written by a user in a hurry."""

    gate_names: ClassVar[tuple[str, ...]] = ("keep", "candidate")
    keep_gate: ClassVar[str | None] = "keep"

    def gates(self, params, drive_x, drive_h, state):
        keep, new = drive_x[0] + drive_h[0], drive_x[1] + drive_h[1]
        return {"keep": Gate(keep, sigmoid(keep)), "candidate": Gate(new, tanh(new))}

    def update(self, params, drive_x, drive_h, state):
        gate = self.gates(params, drive_x, drive_h, state)
        return (gate["keep"].value * state[0] + (1.0 - gate["keep"].value) * gate["candidate"].value,)


def test_a_cell_of_ones_own_has_everything_from_its_class():
    cell = Minimal(2, 3)
    assert (cell.state_size, cell.keeps, cell.gate_kind("keep").name) == (3, True, "sigmoid")
    assert cell.shapes() == {"W_x": (6, 2), "W_h": (6, 3), "b": (6,), "b_h": (6,)}
    assert cell.init(np.random.default_rng(0))["W_h"].shape == (6, 3)
    assert cell.describe() == {"cell": "Minimal", "input_size": 2, "hidden_size": 3, "activation": "tanh"}


WRONG = [
    (lambda: LSTM(0, 3), r"`input_size` must be a whole number of at least 1, got 0\. Count"),
    (lambda: LSTM(2, -3), r"`hidden_size` must be a whole number of at least 1, got -3\. Count"),
    (lambda: LSTM(2, 3.0), r"`hidden_size` must be a whole number .* got 3\.0\. Count"),
    (lambda: RNN(True, 3), r"`input_size` must be a whole number .* got True\. Count"),
    (lambda: RNN("2", 3), r"`input_size` must be a whole number .* got '2'\. Count"),
    (lambda: GRU(2, 3, "tahn"), r"`activation` must be one of .*, got 'tahn'\. Did you mean 'tanh'\?"),
    (
        lambda: LSTM(2, 3, forget_bias="high"),
        r"`forget_bias` must be a finite number or .chrono:T. with T >= 2, got 'high'\. 1\.0 is a common",
    ),
    (
        lambda: LSTM(2, 3, forget_bias=float("nan")),
        r"`forget_bias` must be a finite number or .chrono:T. with T >= 2, got nan\. 1\.0 is a common",
    ),
    (
        lambda: GRU(2, 3, forget_bias=None),
        r"`forget_bias` must be a finite number or .chrono:T. with T >= 2, got None\. 1\.0 is a common",
    ),
    (
        lambda: GRU(2, 3, forget_bias=1j),
        r"`forget_bias` must be a finite number or .chrono:T. with T >= 2, got 1j\. 1\.0 is a common",
    ),
    (
        lambda: GRU(2, 3, forget_bias=[1.0, 2.0]),
        r"`forget_bias` must be a finite number or .chrono:T. with T >= 2, got \[1\.0, 2\.0\]\. 1\.0",
    ),
    (lambda: cell_class("LTSM"), r"`cell` must be one of RNN, LSTM, GRU, .*, got 'LTSM'\. Did you mean 'LSTM'\?"),
    (lambda: draw(recurrent="orthogonl"), r"`recurrent` must be one of .*Did you mean 'orthogonal'\?"),
    (lambda: draw(inputs="gloriot"), r"`inputs` must be one of .*Did you mean 'glorot'\?"),
    (lambda: draw(gain=float("inf")), r"`gain` must be a finite number, got inf\. 1\.0 leaves the weights as drawn"),
    (lambda: draw(gain="big"), r"`gain` must be a finite number, got 'big'\. 1\.0 leaves the weights as drawn"),
    (lambda: draw(gain=None), r"`gain` must be a finite number, got None\. 1\.0 leaves the weights as drawn"),
    (lambda: draw(dtype=np.int64), r"`dtype` must be float64 or float32, got .*int64.*\. Leave it out for float64"),
    (lambda: RNN(1, 2).flow({}, (), ()), r"`flow` needs a cell with a keep gate, got RNN\. Use an LSTM or a GRU"),
    (lambda: RNN(1, 2).log_keep({}), r"`retention` needs a cell with a keep gate, got RNN\. Use an LSTM or a GRU"),
]


def draw(**options):
    return LSTM(2, 3).init(np.random.default_rng(0), **options)


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message[:44] for _, message in WRONG])
def test_a_wrong_argument_is_told_what_to_do(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


PARAMS = LSTM(2, 3).init(np.random.default_rng(0))
WRONG_PARAMS = [
    ([1, 2], ArgumentError, r"`params` must be a dict of W_x .*, got list\. Use `cell\.init\(rng\)` to draw one"),
    ({}, ArgumentError, r"`params` must hold .*W_x is missing; got nothing\. Use `cell\.init\(rng\)`"),
    ({**PARAMS, "W_h": None}, ShapeError, r"`W_h` must be an array of real numbers, got dtype object\. Convert it"),
    (
        {k: v for k, v in PARAMS.items() if k != "b"},
        ArgumentError,
        r"b is missing; got W_x, W_h\. Use `cell\.init\(rng\)`",
    ),
    ({**PARAMS, "bh": PARAMS["b"]}, ArgumentError, r"`params` must be one of .*, got 'bh'\. Did you mean 'b_h'\?"),
    (
        {**PARAMS, "W_x": PARAMS["W_x"].T},
        ShapeError,
        r"`W_x` must have shape \(4\*H=12, I=2\), got \(2, 12\)\. Rows come gate",
    ),
    (
        {**PARAMS, "W_h": PARAMS["W_h"][:3]},
        ShapeError,
        r"`W_h` must have shape \(4\*H=12, H=3\), got \(3, 3\)\. Rows come gate",
    ),
    (
        {**PARAMS, "b": PARAMS["b"][:, None]},
        ShapeError,
        r"`b` must have shape \(4\*H=12,\), got \(12, 1\)\. Rows come gate",
    ),
    ({**PARAMS, "b_h": np.zeros(3)}, ShapeError, r"`b_h` must have shape .* by gate: input, forget, candidate, output"),
    (
        {**PARAMS, "b": ["x"] * 12},
        ShapeError,
        r"`b` must be an array of real numbers, got text\. Convert it to float64",
    ),
    (
        {**PARAMS, "b": PARAMS["b"] * 1j},
        ShapeError,
        r"`b` must be an array of real numbers, got dtype complex128\. Convert",
    ),
    ({**PARAMS, "b": [[1.0], [2.0, 3.0]]}, ShapeError, r"`b` .*ragged.*Pad"),
]


@pytest.mark.parametrize(("params", "error", "message"), WRONG_PARAMS, ids=[entry[2][:40] for entry in WRONG_PARAMS])
def test_wrong_parameters_are_told_what_to_do(params, error, message):
    with pytest.raises(error, match=message) as caught:
        LSTM(2, 3).check(params)
    assert isinstance(caught.value, (GradscopeError, ValueError))


def test_a_parameter_of_ones_own_is_checked_like_any():
    class Peephole(LSTM):
        def shapes(self):
            return {**super().shapes(), "p": (3 * self.hidden_size,)}

    with pytest.raises(ShapeError, match=r"`p` must have shape \(9,\), got \(3,\)\. Rows come gate by gate"):
        Peephole(2, 3).check({**PARAMS, "p": np.zeros(3)})


def test_a_cell_without_equations_says_which_are_missing():
    @dataclass(frozen=True)
    class Empty(Cell):
        gate_names: ClassVar[tuple[str, ...]] = ("hidden",)

    with pytest.raises(NotImplementedError, match=r"Empty must define `update`"):
        Empty(1, 2).update({}, (), (), ())
    with pytest.raises(NotImplementedError, match=r"Empty must define `gates`"):
        Empty(1, 2).gates({}, (), (), ())


def test_update_stays_elementwise_for_any_shape():
    cell, rng = LSTM(1, 4), np.random.default_rng(0)
    x, h = ([rng.standard_normal((5, 4, 3)) for _ in range(4)] for _ in range(2))
    state = [rng.standard_normal((5, 4, 3)) for _ in range(2)]
    whole = cell.update({}, x, h, state)
    single = cell.update({}, [a[2, 1, 0] for a in x], [a[2, 1, 0] for a in h], [a[2, 1, 0] for a in state])
    assert [block[2, 1, 0] for block in whole] == pytest.approx(list(single), rel=1e-15)
    assert anp.shape(whole[0]) == (5, 4, 3)
