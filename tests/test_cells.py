"""Cells: parameters, one step against the published equations, and what a wrong argument is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_routes import cases, make_case, scaled_error

from gradscope.activations import sigmoid, tanh
from gradscope.adjoint import backpropagate
from gradscope.cells import CELLS, GRU, LSTM, LSTM97, RNN, Cell, Gate, StepCell, cell_class, split
from gradscope.errors import ArgumentError, GradscopeError, ShapeError
from gradscope.linearization import linearize
from gradscope.probes import probe
from gradscope.record import from_json, to_json
from gradscope.trajectory import unroll
from gradscope.transport import transport

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


# ---- every cell that goes by a name ---------------------------------------------------------------------------------

KINDS = {
    "RNN": ["hidden"],
    "IRNN": ["hidden"],
    "LSTM": ["input", "forget", "candidate", "output"],
    "LSTM97": ["input", "candidate", "output"],
    "PeepholeLSTM": ["input", "forget", "candidate", "output"],
    "CoupledLSTM": ["forget", "candidate", "output"],
    "GRU": ["reset", "update", "candidate"],
    "ResetBeforeGRU": ["reset", "update", "candidate"],
    "MGU": ["forget", "candidate"],
    "JANET": ["forget", "candidate"],
    "RWA": ["value", "candidate", "attention"],
}
ALL = pytest.mark.parametrize("kind", CELLS.values(), ids=list(CELLS))


def test_every_cell_is_listed_with_its_gates_in_the_order_of_its_rows():
    assert {name: list(kind.gate_names) for name, kind in CELLS.items()} == KINDS
    assert CELLS["IRNN"](1, 2).activation == "relu"


@ALL
@pytest.mark.parametrize("activation", ["tanh", "softsign", "relu"])
def test_every_gate_has_the_activation_that_the_equations_give_it(kind, activation):
    cell = kind(2, 3, activation)
    wanted = dict.fromkeys(cell.gate_names, "sigmoid") | {"candidate": activation, "hidden": activation}
    if kind is CELLS["RWA"]:
        wanted |= {"value": "identity", "attention": "identity"}
    assert {name: cell.gate_kind(name).name for name in wanted} == wanted


@settings(max_examples=60)
@given(
    cases(activations=("tanh", "softsign", "sigmoid", "identity"), names=tuple(CELLS)),
    st.sets(st.sampled_from(["valid", "reset"])),
)
def test_every_cell_is_the_same_by_every_route(case, chosen):
    """Its linearization, autograd over the step as a whole, and the published equations one by one."""
    rng = np.random.default_rng(0)
    masks = {name: rng.random(case.inputs.shape[:2]) < 0.7 for name in chosen}
    ours, whole = (
        linearize(unroll(cell, case.params, case.inputs, case.state, **masks))
        for cell in (case.cell, StepCell.of(case.cell))
    )
    assert scaled_error(whole.jacobians(), ours.jacobians()) < 1e-12
    assert scaled_error(whole.input_jacobians(), ours.input_jacobians()) < 1e-12
    direct = rng.standard_normal(ours.trajectory.states.shape)
    found, wanted = backpropagate(ours, direct), backpropagate(whole, direct)
    assert scaled_error(found.total, wanted.total) < 1e-12
    for name in case.params:
        assert scaled_error(found.params[name], wanted.params[name]) < 1e-12
    if not chosen:
        assert scaled_error(ours.jacobians(), case.plain_jacobians()) < 1e-11


@ALL
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_cell_runs_from_its_own_parameters_at_its_own_precision(kind, dtype):
    cell = kind(2, 5)
    params = cell.init(np.random.default_rng(0), dtype=dtype)
    assert {array.dtype for array in params.values()} == {np.dtype(dtype)}
    trajectory = unroll(cell, params, np.random.default_rng(1).standard_normal((30, 2, 2)).astype(dtype))
    linearization = linearize(trajectory)
    assert {trajectory.states.dtype, linearization.norm().dtype} == {np.dtype(dtype)}
    assert np.isfinite(trajectory.states).all()
    record = probe(cell, params, trajectory.inputs)
    assert set(record.coords["gate_activation"]["gate"]) == set(cell.gate_names)
    assert ("retention" in record) == ("flow_retained" in record) == cell.keeps
    assert ("cell_gradient" in record) == ("c" in cell.blocks)


def test_forget_biases_keep_whatever_the_gate_is_called():
    """At rest the share kept is sigmoid(forget_bias), in every cell that has one."""
    for name, kind in CELLS.items():
        if kind.keep_gate is None:
            assert not hasattr(kind(1, 2), "forget_bias")
            continue
        cell = kind(1, 2, forget_bias=1.7)
        params = cell.init(np.random.default_rng(0))
        params = {key: array * 0.0 if key != "b" else array for key, array in params.items()}
        gates = unroll(cell, params, np.zeros((1, 1, 1))).gates_at(slice(0, 1))
        np.testing.assert_allclose(np.exp(cell.log_keep(gates)), 1 / (1 + np.exp(-1.7)), rtol=1e-14, err_msg=name)


def test_chrono_sets_the_input_gate_where_there_is_one():
    def bias(kind):
        cell = kind(1, 400, forget_bias="chrono:100")
        drawn = cell.init(np.random.default_rng(0))["b"].reshape(len(cell.gate_names), -1)
        return dict(zip(cell.gate_names, drawn, strict=True))

    for kind in (LSTM, CELLS["PeepholeLSTM"]):
        found = bias(kind)
        np.testing.assert_array_equal(found["input"], -found["forget"])
        assert 0 <= found["forget"].min() < 0.7 < 4.5 < found["forget"].max() <= np.log(99)
    for name, gate, sign in (
        ("GRU", "update", 1),
        ("ResetBeforeGRU", "update", 1),
        ("MGU", "forget", -1),
        ("JANET", "forget", 1),
        ("CoupledLSTM", "forget", 1),
    ):
        found = bias(CELLS[name])
        keep = sign * found.pop(gate)
        assert 0 <= keep.min() < 0.7 < 4.5 < keep.max() <= np.log(99)
        assert not any(rest.any() for rest in found.values())


def test_chrono_leaves_the_weights_as_they_are_drawn():
    one, other = (LSTM(2, 3, forget_bias=bias).init(np.random.default_rng(7)) for bias in (1.0, "chrono:50"))
    np.testing.assert_array_equal(one["W_h"], other["W_h"])
    np.testing.assert_array_equal(one["W_x"], other["W_x"])


def test_an_irnn_begins_as_the_identity_and_another_initializer_may_be_named():
    cell = CELLS["IRNN"](1, 4)
    np.testing.assert_array_equal(cell.init(np.random.default_rng(0))["W_h"], np.eye(4))
    np.testing.assert_array_equal(cell.init(np.random.default_rng(0), gain=0.5)["W_h"], 0.5 * np.eye(4))
    drawn = cell.init(np.random.default_rng(0), recurrent="orthogonal")["W_h"]
    assert np.abs(drawn - np.eye(4)).max() > 0.1
    params = cell.init(np.random.default_rng(0))
    inputs = np.abs(np.random.default_rng(1).standard_normal((50, 2, 1)))
    params["W_x"] = np.abs(params["W_x"])
    lin = linearize(unroll(cell, params, inputs))
    np.testing.assert_array_equal(lin.jacobians()[1:], np.broadcast_to(np.eye(4), (49, 2, 4, 4)))


def test_the_cell_state_of_1997_is_a_carousel():
    """dc_T/dc_0 at a shut output gate is 1 at any length, and c is the sum of what was written."""
    cell = LSTM97(1, 3)
    params = {name: 0.0 * array for name, array in cell.init(np.random.default_rng(0)).items()}
    params["W_x"][3:6] = 1.0
    params["b"][6:] = -1000.0
    lin = linearize(unroll(cell, params, np.full((500, 1, 1), 0.1)))
    np.testing.assert_allclose(transport(lin).blocks[1, 1], 0.0, atol=1e-12)
    np.testing.assert_allclose(lin.trajectory.cell_state[-1], 500 * 0.5 * np.tanh(0.1), rtol=1e-12)
    record = probe(cell, params, np.full((500, 1, 1), 0.1))
    np.testing.assert_array_equal(record["retention"], 1.0)
    assert np.isinf(record["timescale"]).all()


def test_peepholes_stand_in_the_block_of_the_cell_state():
    """dc'/dc = f + c f' p_f + g i' p_i, and nothing of it in W_h."""
    case = make_case("PeepholeLSTM", hidden_size=4)
    lin = linearize(unroll(case.cell, case.params, case.inputs, case.state))
    gates, c = lin.trajectory.gates, lin.trajectory.states[:-1, :, 4:]
    i, f, g = (gates[name] for name in ("input", "forget", "candidate"))
    wanted = f + c * f * (1 - f) * case.params["p_forget"] + g * i * (1 - i) * case.params["p_input"]
    block = lin.jacobians()[..., 4:, 4:]
    np.testing.assert_allclose(np.diagonal(block, axis1=2, axis2=3), wanted, rtol=1e-12)
    assert (block[..., ~np.eye(4, dtype=bool)] == 0).all()
    drawn = case.cell.init(np.random.default_rng(0))
    assert {name: drawn[name].shape for name in case.cell.unit_params} == dict.fromkeys(case.cell.unit_params, (4,))
    wide = CELLS["PeepholeLSTM"](1, 4000).init(np.random.default_rng(0), recurrent="identity")
    assert wide["p_output"].std() == pytest.approx(0.1, rel=0.05)


def test_a_coupled_cell_state_stays_in_the_range_of_its_candidates():
    case = make_case("CoupledLSTM", length=60, gain=4.0)
    found = unroll(case.cell, case.params, 9.0 * case.inputs, 0.0 * case.state).cell_state
    assert np.abs(found).max() <= 1.0


def test_janet_writes_more_than_it_forgets_by_beta():
    tied, loose = (CELLS["JANET"](1, 1, beta=beta) for beta in (0.0, 1.0))
    params = {name: np.zeros_like(array) for name, array in tied.init(np.random.default_rng(0)).items()}
    params["b"][1] = 2.0
    for cell, share in ((tied, 0.5), (loose, 1 / (1 + np.exp(-1.0)))):
        assert unroll(cell, params, np.zeros((1, 1, 1))).hidden[0, 0, 0] == pytest.approx(share * np.tanh(2.0))


def averaged(attention, dtype=np.float64):
    """Return an RWA of one unit: its value is x_t, its candidate is 1, its attention is given at each step."""
    cell = CELLS["RWA"](2, 1, "identity")
    params = {name: np.zeros_like(array) for name, array in cell.init(np.random.default_rng(0), dtype=dtype).items()}
    params["W_x"][0, 0] = params["W_x"][2, 1] = params["b"][1] = 1.0
    values = np.random.default_rng(0).standard_normal(len(attention))
    return values, unroll(cell, params, np.stack([values, attention], axis=1)[:, None].astype(dtype))


def test_an_rwa_is_the_weighted_mean_of_all_it_has_seen():
    attention = 2.0 * np.random.default_rng(1).standard_normal(200)
    values, trajectory = averaged(attention)
    weights = np.exp(attention)
    np.testing.assert_allclose(trajectory.hidden[:, 0, 0], np.cumsum(weights * values) / np.cumsum(weights), rtol=1e-11)
    np.testing.assert_allclose(trajectory.states[1:, 0, 2], np.log1p(np.cumsum(weights)), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("level", [-2000.0, -39.0, 0.0, 79.0, 800.0, 1e6])
def test_the_state_of_an_rwa_is_safe_at_any_attention_and_length(level, dtype):
    values, trajectory = averaged(np.full(20000, level), dtype)
    assert np.isfinite(trajectory.states).all()
    mean, wanted = trajectory.hidden[:, 0, 0], np.cumsum(values) / np.arange(1, 20001)
    if dtype == np.float64:
        np.testing.assert_allclose(mean, wanted, atol=1e-12 * max(1.0, abs(level)))
    elif abs(level) < 80:
        np.testing.assert_allclose(mean[:1000], wanted[:1000], atol=2e-3)
    assert np.abs(mean).max() <= np.abs(values).max()  # a mean, whatever the digits
    assert np.isfinite(linearize(trajectory).norm("frobenius")).all()


def test_the_gradient_of_an_rwa_falls_like_the_share_of_a_step():
    """A shortcut: dc_T/dc_t = d_t / d_T, which is t/T for equal weights, a slow fall instead of an exponential one."""
    _, trajectory = averaged(np.zeros(1000))
    found = 10 ** transport(linearize(trajectory)).blocks[1, 1, :, 0]
    np.testing.assert_allclose(found[1:], np.arange(1, 1001) / 1000, rtol=1e-9)
