"""Dense: any step as a cell gives what the factored route and the plain equations give, everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_routes import ACTIVATIONS, cases, make_case, scaled_error

import gradscope as gs
from gradscope.activations import sigmoid
from gradscope.adjoint import unroll_on_tape
from gradscope.cells import CELLS, LSTM, DenseCell, Gate, StepCell
from gradscope.dense import DenseLinearization
from gradscope.errors import ArgumentError, ShapeError
from gradscope.gates import gate_statistics, retention
from gradscope.gradients import gradient_norms, step_gradients
from gradscope.spectra import lyapunov_spectrum
from gradscope.transport import transport

DENSE = tuple(name for name, kind in CELLS.items() if not kind.factored)
NORMS = ("total", "direct", "total_blocks", "direct_blocks", "heard", "units", "inputs", "weights")


def lstm_step(params, x, state):
    """An LSTM as a user writes it: the blocks one by one, and the gates with their drives."""
    size = params["W_h"].shape[1]
    h, c = state[:, :size], state[:, size:]
    drive = anp.dot(x, params["W_x"].T) + params["b"] + anp.dot(h, params["W_h"].T)
    drive = drive + params["b_h"] if "b_h" in params else drive
    i, f, g, o = (drive[:, k * size : (k + 1) * size] for k in range(4))
    gates = {"input": Gate(i, sigmoid(i)), "forget": Gate(f, sigmoid(f)), "output": Gate(o, sigmoid(o))}
    gates["candidate"] = Gate(g, anp.tanh(g))
    c = gates["forget"].value * c + gates["input"].value * gates["candidate"].value
    return (gates["output"].value * anp.tanh(c), c), gates


KINDS = {"input": "sigmoid", "forget": "sigmoid", "candidate": "tanh", "output": "sigmoid"}


def own_lstm(input_size, hidden_size, **changed):
    options = {"function": lstm_step, "blocks": ("h", "c"), "gate_kinds": KINDS, "keep_gate": "forget", **changed}
    return StepCell(input_size, hidden_size, **options)


def masks_for(case, seed, chosen):
    rng = np.random.default_rng(seed)
    shape = case.inputs.shape[:2]
    return {name: rng.random(shape) < share for name, share in (("valid", 0.8), ("reset", 0.2)) if name in chosen}


masked = st.sets(st.sampled_from(["valid", "reset"])).map(sorted)


@settings(max_examples=40)
@given(cases(), st.integers(0, 99), masked, st.sampled_from((1, 7, 2**20)), st.sampled_from((1, 6, 2**11)))
def test_a_factored_cell_as_a_step_gives_the_same_numbers(case, seed, chosen, chunk, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gradscope.dense.CHUNK", chunk * case.cell.state_size**2)
        patch.setattr("gradscope.dense.ROWS", rows)
        masks, cell = masks_for(case, seed, chosen), StepCell.of(case.cell)
        ours, theirs = (gs.unroll(kind, case.params, case.inputs, case.state, **masks) for kind in (case.cell, cell))
        fast, dense = gs.linearize(ours), gs.linearize(theirs)
        assert isinstance(dense, DenseLinearization)
        rng = np.random.default_rng(seed)
        v, x = rng.standard_normal((*ours.inputs.shape[:2], fast.state_size)), rng.standard_normal(ours.inputs.shape)
        pairs = [
            (theirs.states, ours.states),
            (dense.jacobians(), fast.jacobians()),
            (dense.input_jacobians(), fast.input_jacobians()),
            (dense.jvp(v), fast.jvp(v)),
            (dense.vjp(v), fast.vjp(v)),
            (dense.input_jvp(x), fast.input_jvp(x)),
            (dense.input_vjp(v), fast.input_vjp(v)),
            (dense.norm("spectral"), np.linalg.norm(fast.jacobians(), 2, axis=(2, 3))),
            (dense.norm("frobenius"), np.linalg.norm(fast.jacobians(), axis=(2, 3))),
        ]
        pairs += [(theirs.gates[name], ours.gates[name]) for name in ours.gates]
        bundle, moved = (rng.standard_normal((size, len(case.state), 3)) for size in (fast.state_size, x.shape[2]))
        t = int(rng.integers(len(x)))
        pairs += [
            (dense.push_at(t, bundle), fast.push_at(t, bundle)),
            (dense.pull_at(t, bundle), fast.pull_at(t, bundle)),
            (dense.push_input_at(t, moved), fast.push_input_at(t, moved)),
            (dense.pull_input_at(t, bundle), fast.pull_input_at(t, bundle)),
        ]
        direct = rng.standard_normal(ours.states.shape)
        one, other = gs.backpropagate(dense, direct), gs.backpropagate(fast, direct)
        pairs += [(one.total, other.total), (one.inputs, other.inputs)]
        pairs += [(one.params[name], other.params[name]) for name in case.params]
        for found, wanted in pairs:
            assert scaled_error(found, wanted) < 1e-12


@settings(max_examples=30)
@given(cases(activations=("tanh", "softsign", "sigmoid"), names=DENSE), st.integers(0, 99), masked)
def test_dense_cells_are_the_published_equations(case, seed, chosen):
    masks = masks_for(case, seed, chosen)
    trajectory = gs.unroll(case.cell, case.params, case.inputs, case.state, **masks)
    linearization = gs.linearize(trajectory)
    valid, reset = (masks.get(name, np.full(case.inputs.shape[:2], name == "valid")) for name in ("valid", "reset"))
    eye, states = np.eye(case.cell.state_size), trajectory.states
    for t, b in np.ndindex(*case.inputs.shape[:2]):
        step, seen = case.plain_step(t, b), states[t, b] * (not reset[t, b])
        wanted = step(seen) if valid[t, b] else states[t, b]
        assert scaled_error(states[t + 1, b], wanted) < 1e-12
        jacobian = autograd.jacobian(step)(seen) * (not reset[t, b]) if valid[t, b] else eye
        assert scaled_error(linearization.jacobians()[t, b], jacobian) < 1e-12
    weights = np.random.default_rng(seed).standard_normal(states.shape)

    def loss(everything):
        return (weights * gs.scan(case.cell, *everything, **masks)).sum()

    def on_tape(everything):
        params, inputs, state = everything
        return (weights * unroll_on_tape(case.cell, params, inputs, state, trajectory.masks)).sum()

    everything = case.params, case.inputs, case.state
    found, wanted = autograd.grad(loss)(everything), autograd.grad(on_tape)(everything)
    for name in case.params:
        assert scaled_error(found[0][name], wanted[0][name]) < 1e-11
    assert scaled_error(found[1], wanted[1]) < 1e-11
    assert scaled_error(found[2], wanted[2]) < 1e-11


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_of_dense_cells_are_those_of_the_plain_route(name, dtype):
    case = make_case(name, dtype=dtype, length=6, batch=3)
    weights = np.random.default_rng(0).standard_normal((7, 3, case.cell.state_size))
    trajectory = gs.unroll(case.cell, case.params, case.inputs, case.state)
    assert trajectory.states.dtype == np.dtype(dtype)
    found = gs.backpropagate(gs.linearize(trajectory), weights.astype(dtype))
    params, inputs, state = case.plain_gradients(lambda states: (weights * states).sum())
    assert scaled_error(found.inputs, inputs) < case.tolerance
    assert scaled_error(found.total[0], state) < case.tolerance
    for key, wanted in params.items():
        assert scaled_error(found.params[key], wanted) < case.tolerance
    assert gs.linearize(trajectory).jacobians().dtype == np.dtype(dtype)


def both():
    """Return linearizations of one trajectory by both routes: a user's own step, and our LSTM."""
    case = make_case("LSTM", hidden_size=4, batch=3, length=40)
    found = [gs.unroll(kind, case.params, case.inputs, case.state) for kind in (own_lstm(2, 4), case.cell)]
    return gs.linearize(found[0]), gs.linearize(found[1])


def test_a_users_own_lstm_gives_the_lstms_numbers_everywhere():
    dense, fast = both()
    assert scaled_error(dense.jacobians(), fast.jacobians()) < 1e-12
    for name in ("rms", "blocks"):
        np.testing.assert_allclose(getattr(transport(dense), name), getattr(transport(fast), name), atol=1e-11)
    ours, theirs = (lyapunov_spectrum(maps, burn_in=5, tangent_burn_in=5) for maps in (dense, fast))
    np.testing.assert_allclose(ours.exponents, theirs.exponents, atol=1e-10)
    direct = np.random.default_rng(0).standard_normal(dense.trajectory.states.shape)
    ours, theirs = gradient_norms(dense, direct), gradient_norms(fast, direct)
    for name in NORMS:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-11)
    shares, wanted = step_gradients(dense, direct), step_gradients(fast, direct)
    assert all(scaled_error(shares[name], wanted[name]) < 1e-11 for name in wanted)
    ours, theirs = gate_statistics(dense.trajectory), gate_statistics(fast.trajectory)
    assert ours.names == theirs.names or set(ours.names) == set(theirs.names)
    for name in ("quantiles", "slope_rms", "flat"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-12)
    np.testing.assert_allclose(retention(dense.trajectory).timescale, retention(fast.trajectory).timescale, rtol=1e-10)


def test_the_whole_record_is_the_same():
    case = make_case("LSTM", hidden_size=4, batch=3, length=320)
    ours, theirs = (gs.probe(kind, case.params, case.inputs, probes="full") for kind in (own_lstm(2, 4), case.cell))
    assert set(ours.fields) == set(theirs.fields)
    for name, wanted in theirs.fields.items():
        found = ours.fields[name]
        assert (found.axes, found.unit) == (wanted.axes, wanted.unit)
        np.testing.assert_array_equal(found.status, wanted.status)
        np.testing.assert_allclose(found.values, wanted.values, rtol=1e-6, atol=1e-8, err_msg=name)
    assert ours.summary["verdict"] == theirs.summary["verdict"]


def test_gates_may_be_given_by_their_values_alone():
    """What a slope or a timescale needs is then taken from the value."""

    def bare(params, x, state):
        blocks, gates = lstm_step(params, x, state)
        return anp.concatenate(blocks, axis=1), {name: gate.value for name, gate in gates.items()}

    case = make_case("LSTM", length=5, batch=3)
    ours, theirs = (
        gs.unroll(kind, case.params, case.inputs, case.state) for kind in (own_lstm(2, 3, function=bare), case.cell)
    )
    for name in ours.gates:
        np.testing.assert_allclose(ours.gates[name], theirs.gates[name], rtol=1e-14)
    for statistic in ("slope_rms", "flat", "saturated_steps"):
        np.testing.assert_allclose(
            getattr(gate_statistics(ours), statistic), getattr(gate_statistics(theirs), statistic), rtol=1e-9
        )
    np.testing.assert_allclose(retention(ours).timescale, retention(theirs).timescale, rtol=1e-9)
    assert scaled_error(gs.linearize(ours).jacobians(), gs.linearize(theirs).jacobians()) < 1e-13
    direct = np.ones(ours.states.shape)
    heard = [gradient_norms(gs.linearize(some), direct) for some in (ours, theirs)]
    np.testing.assert_allclose(heard[0].total, heard[1].total, rtol=1e-12)
    np.testing.assert_array_equal(heard[0].heard, heard[0].total_blocks)  # one array does not say what c goes into


def test_an_inverse_of_the_keep_gates_activation_is_not_needed():
    def leaky(params, x, h):
        keep = anp.ones_like(h) * anp.clip(params["keep"], 0.0, 1.0)
        return keep * h + anp.tanh(x), {"keep": keep}

    cell = StepCell(2, 2, function=leaky, gate_kinds={"keep": "identity"}, keep_gate="keep")
    trajectory = gs.unroll(cell, {"keep": np.array([0.5, 0.9])}, np.zeros((4, 1, 2)))
    np.testing.assert_allclose(retention(trajectory).timescale, -1 / np.log([0.5, 0.9]), rtol=1e-12)


def test_parameters_may_have_any_names_and_their_gradients_are_exact():
    def step(params, x, h):
        return anp.tanh(x * params["scale"] + anp.dot(h * params["mix"][0], params["deep"] ** 2))

    rng = np.random.default_rng(0)
    params = {"scale": rng.standard_normal(3), "mix": rng.standard_normal((2, 3)), "deep": rng.standard_normal((3, 3))}
    cell, inputs = StepCell(3, 3, function=step), rng.standard_normal((6, 2, 3))
    weights = rng.standard_normal((7, 2, 3))

    def plain(params):
        h, total = np.zeros((2, 3)), 0.0
        for t, x in enumerate(inputs):
            h = step(params, x, h)
            total = total + (weights[t + 1] * h).sum()
        return total

    found = autograd.grad(lambda params: (weights * gs.scan(cell, params, inputs)).sum())(params)
    wanted = autograd.grad(plain)(params)
    for name in params:
        assert scaled_error(found[name], wanted[name]) < 1e-12
    assert (found["mix"][1] == 0).all()
    norms = gradient_norms(gs.linearize(gs.unroll(cell, params, inputs)), weights)
    assert norms.weights.shape == (3, 0, 6)
    second = autograd.grad(lambda p: (autograd.grad(lambda q: gs.scan(cell, q, inputs).sum())(p)["scale"] ** 2).sum())
    third = autograd.grad(lambda p: (autograd.grad(lambda q: sums(step, q, inputs))(p)["scale"] ** 2).sum())
    assert scaled_error(second(params)["deep"], third(params)["deep"]) < 1e-11


def sums(step, params, inputs):
    h, total = np.zeros((2, 3)), 0.0
    for x in inputs:
        h = step(params, x, h)
        total = total + h.sum()
    return total


def test_nan_and_inf_stay_where_they_are():
    case = make_case("MGU", length=5, batch=3)
    inputs = case.inputs.copy()
    inputs[2, 1] = np.nan
    linearization = gs.linearize(gs.unroll(case.cell, case.params, inputs, case.state))
    bad = np.zeros((5, 3), bool)
    bad[2:, 1] = True
    for kind in ("spectral", "frobenius"):
        np.testing.assert_array_equal(np.isnan(linearization.norm(kind)), bad)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_frobenius_norms_reach_past_the_square_root_of_the_float_range(scale):
    cell = StepCell(1, 2, function=lambda params, x, h: params["w"] * h + x)
    found = gs.linearize(gs.unroll(cell, {"w": np.array([scale, scale])}, np.zeros((1, 1, 1)))).norm("frobenius")
    np.testing.assert_allclose(found, scale * np.sqrt(2), rtol=1e-14)


def test_long_trajectories_keep_only_the_last_matrices(monkeypatch):
    monkeypatch.setattr("gradscope.dense.KEPT", 10)
    monkeypatch.setattr("gradscope.dense.CHUNK", 40)
    case = make_case("ResetBeforeGRU", length=9, batch=2)
    linearization = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
    assert scaled_error(linearization.jacobians(), case.plain_jacobians()) < 1e-12
    assert len(linearization._made) == 1


@dataclass(frozen=True)
class Empty(DenseCell):
    gate_names: ClassVar[tuple[str, ...]] = ("hidden",)


def run(cell, params=None, **masks):
    return gs.unroll(cell, params or {"w": np.ones(1)}, np.zeros((2, 3, cell.input_size)), **masks)


def simple(function, **options):
    return StepCell(2, 2, function=function, **options)


WRONG = [
    (lambda: simple("tanh"), ArgumentError, r"`function` must be callable, got str\. Give step\(params, x, state\)"),
    (lambda: simple(anp.tanh, blocks=("c", "h")), ArgumentError, r"`blocks` must begin with 'h' .*\('h', 'c'\) is an"),
    (lambda: simple(anp.tanh, blocks=("h", "h")), ArgumentError, r"`blocks` must .* name each block once"),
    (lambda: simple(anp.tanh, gate_kinds={"f": "sigmod"}), ArgumentError, r"`gate_kinds` .* you mean 'sigmoid'\?"),
    (
        lambda: simple(anp.tanh, gate_kinds=["f"]),
        ArgumentError,
        r"`gate_kinds` must be a dict .*\{'forget': 'sigmoid'\}",
    ),
    (
        lambda: simple(anp.tanh, gate_kinds={"forget": "sigmoid"}, keep_gate="forgt"),
        ArgumentError,
        r"`keep_gate` .*Did you mean 'forget'\? Name it in `gate_kinds`",
    ),
    (lambda: simple(anp.tanh).init(np.random.default_rng(0)), ArgumentError, r"`init` needs .*StepCell\(\.\.\., draw="),
    (lambda: own_lstm(2, 3, draw=dict).init(None, "identity"), ArgumentError, r"`init` of a StepCell .* into `draw`"),
    (lambda: run(simple(anp.tanh), [1.0]), ArgumentError, r"`params` must be a dict of arrays, got list\. Give what"),
    (lambda: simple(anp.tanh).check({}), ArgumentError, r"`params` must .* an empty one\. Give what `function` reads"),
    (
        lambda: run(simple(lambda p, x, h: h[:, :1])),
        ShapeError,
        r"`function` must return a state \(N, S\)=\(3, 2\), got \(3, 1\)\. Put h side by side, H=2",
    ),
    (
        lambda: run(simple(lambda p, x, h: (h, h))),
        ShapeError,
        r"`function` must return 1 blocks \(N, H\)=\(3, 2\), got \(3, 2\), \(3, 2\)\. One for each of h",
    ),
    (
        lambda: run(simple(lambda p, x, h: (h, {"z": h}), gate_kinds={"forget": "sigmoid"})),
        ArgumentError,
        r"`function` must return the gates forget, got z\. Name them all in `gate_kinds`",
    ),
    (
        lambda: run(simple(lambda p, x, h: h), dropout=np.ones((3, 2))),
        ArgumentError,
        r"`dropout` needs a cell with a product W_h h, got StepCell\. Put the mask into its own step",
    ),
    (
        lambda: Empty(1, 2).step({}, None, None),
        NotImplementedError,
        r"Empty must define `step`\. See `gradscope\.Reset",
    ),
    (
        lambda: gs.linearize(run(simple(lambda p, x, h: h - h.mean(axis=0)))).jacobians(),
        ArgumentError,
        r"`step` of StepCell must keep sequences apart.*Take means and norms over the last axis only",
    ),
    (
        lambda: gs.linearize(run(simple(lambda p, x, h: h + np.ones((3, 1))))).jacobians(),
        ArgumentError,
        r"`step` of StepCell must take any number of rows.*Read the number from `len\(x\)`",
    ),
    (
        lambda: gs.linearize(run(simple(lambda p, x, h: np.asarray(np.tanh(np.array(h.tolist())))))).jacobians(),
        ArgumentError,
        r"`step` must be written in `autograd\.numpy`",
    ),
    (lambda: gs.linearize(run(simple(lambda p, x, h: h))).norm("l1"), ArgumentError, r"`kind` must be one of spectral"),
    (
        lambda: gs.linearize(run(simple(lambda p, x, h: h))).jvp(np.ones((2, 3, 3))),
        ShapeError,
        r"`tangents` must have shape \(T, B, S\)=\(2, 3, 2\), got \(2, 3, 3\)\. Give one vector for each step",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[message[:40] for _, _, message in WRONG])
def test_a_wrong_step_is_told_what_to_do(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_step_cell_describes_itself_as_plain_data():
    assert own_lstm(2, 3).describe() == {
        "cell": "StepCell",
        "input_size": 2,
        "hidden_size": 3,
        "activation": "tanh",
        "function": "lstm_step",
        "blocks": ["h", "c"],
        "gate_kinds": KINDS,
        "keep_gate": "forget",
    }
    cell = StepCell.of(LSTM(2, 3))
    assert cell.describe()["function"] == "LSTM.step"
    assert {name: cell.gate_kind(name).name for name in KINDS} == KINDS
    drawn = cell.init(np.random.default_rng(0), dtype=np.float32)
    assert {array.dtype for array in drawn.values()} == {np.dtype(np.float32)}
    assert set(ACTIVATIONS) >= set(KINDS.values())
    assert hash(cell) == hash(StepCell.of(LSTM(2, 3))) or cell != StepCell.of(LSTM(2, 3))
