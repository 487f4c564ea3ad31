"""Gradients in log space: every norm against plain arrays, shares that sum to the whole, and truncation."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.misc.flatten import flatten
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_routes import cases, chunks_of, make_case, scaled_error, states
from test_masks import draw_masks

import gradscope as gs
from gradscope import gradients
from gradscope.errors import ArgumentError, ShapeError
from gradscope.gradients import WEIGHTS, _mend, _normalized, gradient_norms, step_gradients, truncation

EVERY = pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
SMOOTH = ("tanh", "softsign")


def weighted(case, seed=0, masks=None):
    """Return the linearization of a case and the direct part of a random loss on every state."""
    trajectory = gs.unroll(case.cell, case.params, case.inputs, case.state, **(masks or {}))
    return gs.linearize(trajectory), np.random.default_rng(seed).standard_normal(trajectory.states.shape)


def log10_rms(values, axis, counted=None):
    """Return log10 of the root mean square, over what is counted."""
    counted = np.ones(values.shape, bool) if counted is None else np.broadcast_to(counted, values.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 0.5 * np.log10(np.where(counted, values**2, 0).sum(axis) / counted.sum(axis))


@settings(max_examples=40)
@given(cases(activations=SMOOTH), st.integers(0, 99), st.booleans())
def test_units_inputs_and_weights_have_the_norms_of_the_plain_arrays(case, seed, masked):
    masks = draw_masks(case, seed) if masked else {}
    with chunks_of(case.chunk):
        lin, direct = weighted(case, seed, masks)
        adjoint = gs.backpropagate(lin, direct)
        norms = gradient_norms(lin, direct)
        shares = step_gradients(lin, direct)
    size, blocks = case.cell.hidden_size, len(case.cell.blocks)
    valid = masks.get("valid", np.ones(case.inputs.shape[:2], bool))
    counted = np.vstack([np.ones_like(valid[:1]), valid])[..., None]
    for j in range(blocks):
        block = adjoint.total[..., j * size : (j + 1) * size]
        np.testing.assert_allclose(norms.units[j], log10_rms(block, 1, counted), atol=1e-9)
    np.testing.assert_allclose(norms.inputs, log10_rms(adjoint.inputs, 1, valid[..., None]), atol=1e-8)
    np.testing.assert_allclose(plain(norms.passed, case), adjoint.inputs, rtol=1e-9, atol=1e-12)
    for name, array in adjoint.params.items():
        assert scaled_error(shares[name].sum(axis=0), array) < 1e-12, name
    for n, name in enumerate(WEIGHTS):
        by_gate = shares[name].reshape(len(case.inputs), len(case.cell.gate_names), -1)
        wanted, gross = np.linalg.norm(by_gate, axis=2).T, np.abs(by_gate).max()
        np.testing.assert_allclose(10.0 ** norms.weights[n], wanted, rtol=1e-7, atol=1e-11 * gross)


def plain(passed, case):
    """Return the gradients of the inputs as plain numbers (T, B, I)."""
    values = np.ldexp(passed.mantissa, passed.exponent.astype(np.intc))
    return values.reshape(-1, *case.inputs.shape[:2]).transpose(1, 2, 0)


@EVERY
def test_a_steps_share_is_the_gradient_of_weights_that_act_in_this_step_alone(name):
    case = make_case(name, length=4)
    lin, direct = weighted(case)
    shares = step_gradients(lin, direct)
    weights = np.random.default_rng(0).standard_normal(direct.shape)

    def loss(steps):
        rows = [case.state]
        for x, params in zip(case.inputs, steps, strict=True):
            rows.append(states(case.name, case.phi, params, x[None], rows[-1])[1])
        return anp.sum(weights * anp.stack(rows))

    alone = autograd.grad(loss)([case.params] * 4)
    for t in range(4):
        for key in case.params:
            assert scaled_error(shares[key][t], alone[t][key]) < 1e-11


@EVERY
def test_norms_do_not_depend_on_the_length_of_the_pieces(name, monkeypatch):
    case = make_case(name, length=50, hidden_size=4, batch=3)
    lin, direct = weighted(case)
    direct[20:45] = 0.0
    direct[10] *= 1e-250  # far below what comes from later steps
    direct[48] *= 1e250
    monkeypatch.setattr(gradients, "PIECE", 1)
    wanted = gradient_norms(lin, direct)
    for piece in (2, 7, 32):
        monkeypatch.setattr(gradients, "PIECE", piece)
        found = gradient_norms(lin, direct)
        for key in ("total", "direct", "total_blocks", "direct_blocks", "heard", "units", "inputs", "weights"):
            np.testing.assert_allclose(getattr(found, key), getattr(wanted, key), atol=1e-9, err_msg=key)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_units_inputs_and_weights_go_on_past_the_float_range(dtype):
    """A linear network of one half: everything falls by log10 2 each step, 3000 steps long."""
    cell = gs.RNN(1, 2, "identity")
    params = {"W_x": np.ones((2, 1)), "W_h": 0.5 * np.eye(2), "b": np.zeros(2)}
    params = {name: array.astype(dtype) for name, array in params.items()}
    trajectory = gs.unroll(cell, params, np.ones((3000, 3, 1)))
    direct = np.zeros((3001, 3, 2))
    direct[-1] = 1.0
    norms = gradient_norms(gs.linearize(trajectory), direct)
    fall = -np.log10(2.0) * np.arange(3000, -1, -1)
    np.testing.assert_allclose(norms.units[0], np.repeat(fall[:, None], 2, axis=1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(norms.inputs[:, 0], np.log10(2.0) + fall[1:], rtol=1e-12)
    np.testing.assert_allclose(norms.weights[0, 0], np.log10(3.0 * np.sqrt(2.0)) + fall[1:], rtol=1e-12)


def test_an_exponent_of_its_own_moves_every_norm():
    case = make_case("LSTM", length=40)
    lin, direct = weighted(case)
    near, far = gradient_norms(lin, direct), gradient_norms(lin, direct, np.full(direct.shape[:2], -5000))
    for key in ("total", "direct", "heard", "units", "inputs", "weights"):
        np.testing.assert_allclose(
            getattr(far, key), getattr(near, key) - 5000 * np.log10(2.0), rtol=1e-12, err_msg=key
        )
    with pytest.raises(ShapeError, match="one for each state"):
        gradient_norms(lin, direct, np.zeros(3))


def test_sequences_that_cancel_leave_the_digits_of_what_is_left():
    """Two sequences with opposite inputs: the share of W_x is the tiny difference of two large ones."""
    cell = gs.RNN(1, 3, "identity")
    params = {"W_x": np.ones((3, 1)), "W_h": np.zeros((3, 3)), "b": np.zeros(3)}
    inputs = np.array([[[1.0], [-1.0 + 1e-9]]])
    lin = gs.linearize(gs.unroll(cell, params, inputs))
    direct = np.zeros((2, 2, 3))
    direct[1] = 1.0
    found = gradient_norms(lin, direct).weights[0, 0, 0]
    assert found == pytest.approx(np.log10(np.sqrt(3.0) * (inputs[0, 0, 0] + inputs[0, 1, 0])), abs=1e-7)


@EVERY
@pytest.mark.parametrize("steps", [1, 3, 7, 100])
def test_truncated_gradients_are_those_of_segments_that_stand_alone(name, steps):
    case = make_case(name, length=7, batch=2)
    with chunks_of(4 * len(case.cell.gate_names) * 6):
        lin, direct = weighted(case)
        found = gs.backpropagate(lin, direct, truncate=steps)
    trail = np.array(lin.trajectory.states)
    wanted = dict.fromkeys(case.params, 0.0)
    for start in range(0, 7, steps):
        part = slice(start, min(start + steps, 7))

        def loss(params, part=part, start=start):
            rows = states(case.name, case.phi, params, case.inputs[part], trail[start])
            return anp.sum(direct[part.start + 1 : part.stop + 1] * rows[1:])

        for key, share in autograd.grad(loss)(case.params).items():
            wanted[key] = wanted[key] + share
    for key in case.params:
        assert scaled_error(found.params[key], wanted[key]) < 1e-11, key


@EVERY
def test_scan_truncates_as_backpropagate_does_and_so_does_the_tape(name):
    case = make_case(name, length=6)
    lin, direct = weighted(case)
    wanted = gs.backpropagate(lin, direct, truncate=2).params

    def loss(params):
        found = gs.scan(case.cell, params, case.inputs, case.state, truncate=2)
        return anp.sum(direct * found)

    found = autograd.grad(loss)(case.params)
    by_tape = autograd.grad(
        lambda params: anp.sum(
            direct * gs.adjoint.unroll_on_tape(case.cell, params, case.inputs, case.state, truncate=2)
        )
    )(case.params)
    for key in case.params:
        assert scaled_error(found[key], wanted[key]) < 1e-13
        assert scaled_error(by_tape[key], wanted[key]) < 1e-12


@pytest.mark.parametrize("scale", [1e-250, 1e-160, 1e160, 1e250])
def test_the_bias_of_truncation_knows_no_scale(scale):
    """The squares of such gradients are 0 or inf."""
    case = make_case("GRU", length=12)
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
    direct = np.ones(lin.trajectory.states.shape)
    for wanted, found in zip(
        truncation(lin, direct, [1, 5, 12]), truncation(lin, scale * direct, [1, 5, 12]), strict=True
    ):
        for part in ("error", "cosine", "ratio"):
            assert getattr(found, part) == pytest.approx(getattr(wanted, part), rel=1e-12)


def test_the_bias_of_truncation_falls_to_nothing_with_the_length_of_the_segments():
    case = make_case("LSTM", length=24, hidden_size=4)
    trajectory = gs.unroll(case.cell, case.params, case.inputs, case.state)
    direct = np.zeros(trajectory.states.shape)
    direct[-1, :, :4] = 1.0
    found = truncation(gs.linearize(trajectory), direct, [1, 4, 12, 24])
    errors = [entry.error for entry in found]
    assert [entry.steps for entry in found] == [1, 4, 12, 24]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.01
    assert errors[-1] == 0.0
    assert found[-1].cosine == pytest.approx(1.0)
    assert found[-1].ratio == 1.0
    full = gs.backpropagate(gs.linearize(trajectory), direct).params["W_h"]
    cut = gs.backpropagate(gs.linearize(trajectory), direct, truncate=4).params["W_h"]
    assert np.linalg.norm(full - cut) > 0


@pytest.mark.parametrize("truncate", [0, -1, 2.5, True])
def test_segments_must_be_counted_in_steps(truncate):
    case = make_case("RNN")
    lin, direct = weighted(case)
    with pytest.raises(ArgumentError, match="Count steps"):
        gs.backpropagate(lin, direct, truncate=truncate)
    with pytest.raises(ArgumentError, match="Count steps"):
        gs.scan(case.cell, case.params, case.inputs, truncate=truncate)


def test_a_bare_length_is_no_list_of_lengths():
    cell = gs.RNN(1, 2)
    lin = gs.linearize(gs.unroll(cell, cell.init(np.random.default_rng(0)), np.ones((5, 1, 1))))
    with pytest.raises(gs.ArgumentError, match=r"`steps` must be a list of lengths, got 5\. Put it into one: `\[5\]`"):
        gs.truncation(lin, np.ones((6, 1, 2)), 5)


def diagonal(length, factors, dense=False):
    """Return the linearization of a cell of units that hear themselves alone, by those factors a step."""
    size = len(factors)
    cell = gs.RNN(1, size, activation="identity")
    params = {"W_x": np.zeros((size, 1)), "W_h": np.diag(factors), "b": np.zeros(size)}
    cell = gs.StepCell.of(cell) if dense else cell
    return gs.linearize(gs.unroll(cell, params, np.zeros((length, 2, 1))))


@pytest.mark.parametrize("dense", [False, True])
def test_a_unit_far_below_its_neighbours_keeps_its_own_exponent(dense):
    factors, length = [1.0, 1e-10, 0.0, 1e6], 90
    lin = diagonal(length, factors, dense)
    direct = np.zeros((length + 1, 2, 4))
    direct[-1] = 1.0
    direct[-1, 1] = 1e-200  # a sequence that hears less
    norms = gradient_norms(lin, direct)
    lags = np.arange(length, -1, -1)[:, None]
    wanted = np.zeros((length + 1, 4))
    wanted[:, [1, 3]] = lags * [-10.0, 6.0]
    wanted[:-1, 2] = -np.inf
    found = norms.units[0]
    np.testing.assert_array_equal(np.isneginf(found), np.isneginf(wanted))
    live = ~np.isneginf(wanted)
    np.testing.assert_allclose(found[live], (wanted - 0.5 * np.log10(2))[live], rtol=1e-12, atol=1e-12)


def test_a_block_far_below_the_other_keeps_its_own_exponent():
    """c of an LSTM with f = 0.1 beside an h that is carried on by nothing: total in the coordinates of c."""
    cell = gs.LSTM(1, 2)
    params = {name: np.zeros_like(array) for name, array in cell.init(np.random.default_rng(0)).items()}
    params["b"][2:4] = np.log(1e-8)  # f = 1e-8, next to nothing
    length = 60
    direct = np.zeros((length + 1, 1, 4))
    direct[-1, 0, 2:] = 1.0
    direct[:, 0, 0] = 1.0
    lin = gs.linearize(gs.unroll(cell, params, np.zeros((length, 1, 1))))
    record = gradient_norms(lin, direct)
    assert np.isfinite(record.total_blocks[1]).all()
    keep = 1e-8 / (1 + 1e-8)
    slope = 0.5  # o phi'(0): what h hears of c, one of the two units at each step
    wanted = [np.log10(np.sqrt(2.0))]
    values = np.array([1.0, 1.0])
    for _ in range(length):
        values = keep * (values + np.array([slope, 0.0]))
        wanted.append(np.log10(np.linalg.norm(values)))
    np.testing.assert_allclose(record.total_blocks[1, ::-1, 0], wanted, rtol=1e-9)
    np.testing.assert_allclose(record.units[1, 0, 1], np.log10(keep) * length, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-100, 1e-185, 1e-200, 1e-229, 0.0])
@pytest.mark.parametrize("padded", [False, True])
def test_an_input_that_is_hardly_read_keeps_its_own_exponent(scale, padded):
    """One column of W_x is far below the other, and the gradient falls to where their product leaves the floats."""
    cell, rng = gs.LSTM(2, 3, forget_bias=-8.0), np.random.default_rng(0)
    params = {name: 1e-3 * array if name == "W_h" else array for name, array in cell.init(rng).items()}
    params["W_x"][:, 1] = params["W_x"][:, 0]
    inputs, direct = rng.normal(size=(60, 2, 2)), np.zeros((61, 2, 6))
    inputs[..., 1], direct[-1] = 0.0, 1.0
    valid = np.ones((60, 2), bool)
    valid[:20, 0] = not padded
    alike = gradient_norms(gs.linearize(gs.unroll(cell, params, inputs, valid=valid)), direct)
    params["W_x"][:, 1] *= scale
    norms = gradient_norms(gs.linearize(gs.unroll(cell, params, inputs, valid=valid)), direct)
    with np.errstate(divide="ignore"):
        wanted = alike.inputs + np.log10([1.0, scale])
    np.testing.assert_allclose(norms.inputs, wanted, rtol=1e-12, atol=1e-12)
    assert (alike.inputs[0] < -180).all()


def test_numbers_with_an_exponent_each_give_the_same_where_floats_reach():
    case = make_case("LSTM", length=30, batch=3, hidden_size=4)
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
    direct = np.random.default_rng(0).standard_normal(lin.trajectory.states.shape)
    norms = gradient_norms(lin, direct)
    wanted = norms.units.copy(), norms.total_blocks.copy(), norms.inputs.copy()
    norms.units[:, 3:20] = norms.total_blocks[:, 3:20] = norms.inputs[...] = -np.inf
    _mend(norms, lin, _normalized(direct, None))
    np.testing.assert_allclose(norms.units, wanted[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(norms.total_blocks, wanted[1], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(norms.inputs[3:], wanted[2][3:], rtol=1e-12, atol=1e-12)


def test_a_record_tells_what_underflows_from_what_is_zero():
    cell = gs.RNN(1, 3, activation="identity")
    params = {"W_x": np.zeros((3, 1)), "W_h": np.diag([1.0, 1e-10, 0.0]), "b": np.zeros(3)}
    record = gs.probe(cell, params, np.zeros((60, 2, 1)))
    assert record.status["unit_gradient"][0].tolist() == [gs.Status.OK, gs.Status.UNDERFLOW, gs.Status.ZERO]
    assert record["unit_gradient"][0, 1] == pytest.approx(-600 - 0.5 * np.log10(3))


def test_the_bias_of_truncation_counts_every_layer_of_a_network():
    rng = np.random.default_rng(0)
    for network in (gs.Stack([gs.LSTM(2, 3), gs.GRU(3, 4)]), gs.Bidirectional(gs.GRU(2, 3))):
        params, inputs = network.init(rng), rng.standard_normal((6, 2, 2))
        lin = gs.linearize(gs.unroll(network, params, inputs))
        direct = np.ones(lin.trajectory.states.shape)
        full, cut = (flatten(gs.backpropagate(lin, direct, truncate=steps).params)[0] for steps in (None, 2))
        short, whole = gs.truncation(lin, direct, [2, 6])
        assert short.error == pytest.approx(np.linalg.norm(cut - full) / np.linalg.norm(full), rel=1e-12)
        assert short.ratio == pytest.approx(np.linalg.norm(cut) / np.linalg.norm(full), rel=1e-12)
        assert (whole.error, whole.ratio) == (0.0, pytest.approx(1.0))
        with pytest.raises(ArgumentError, match=r"`step_gradients` needs a single cell, .*weight_gradient.*\.layers"):
            gs.step_gradients(lin, direct)
        assert "weight_gradient" in next(
            iter(gs.probe(network, params, inputs, probes=["weight_gradient"]).layers.values())
        )


@pytest.mark.parametrize("measure", [gs.backpropagate, gs.step_gradients, gradient_norms])
def test_what_is_no_linearization_and_no_real_gradient_are_told_what_to_do(measure):
    case = make_case("RNN")
    trajectory = gs.unroll(case.cell, case.params, case.inputs)
    direct = np.ones(trajectory.states.shape)
    with pytest.raises(ArgumentError, match=r"got Trajectory\. Call `gs\.linearize\(trajectory\)` first"):
        measure(trajectory, direct)
    with pytest.raises(ShapeError, match="Convert it to float64"):
        measure(gs.linearize(trajectory), 1j * direct)


def test_an_unroll_inside_of_what_autograd_differentiates_is_told_of_scan():
    case = make_case("LSTM")
    told = r"Use `gs\.scan` inside of what it differentiates"
    with pytest.raises(ArgumentError, match=told):
        autograd.grad(lambda params: gs.unroll(case.cell, params, case.inputs).states.sum())(case.params)
    with pytest.raises(ArgumentError, match=f"`inputs` .* {told}"):
        autograd.grad(lambda inputs: gs.unroll(case.cell, case.params, inputs).states.sum())(case.inputs)
