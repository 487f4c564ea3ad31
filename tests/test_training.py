"""Training: each number by a second route, and that it learns real digits."""

from __future__ import annotations

import math

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradscope.cells import CELLS, GRU, LSTM, RNN
from gradscope.experiments.tasks import load_task
from gradscope.experiments.training import (
    Adam,
    batch_loss,
    cell_params,
    clip_norm,
    cross_entropy,
    evaluate,
    first_bad_step,
    global_norm,
    init_weights,
    log_softmax,
    sequence_loss,
    train,
)
from gradscope.trajectory import unroll

LOGITS = hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-1e6, 1e6))


def drawn(cell, seed=0, **options):
    options = {"recurrent": "orthogonal", "gain": 1.0, **options}
    return init_weights(cell, np.random.default_rng(seed), 10, **options)


def short_training(cell, task="digits_row", seed=0, **options):
    task = load_task(task)
    options = {
        "length": task.default_length,
        "batch_size": 32,
        "iterations": 120,
        "learning_rate": 0.01,
        "clip": 1.0,
        **options,
    }
    return train(cell, drawn(cell, seed), task, np.random.default_rng(seed), **options)


@settings(deadline=None)
@given(LOGITS)
def test_log_softmax_equals_scipy(logits):
    np.testing.assert_allclose(log_softmax(logits), scipy.special.log_softmax(logits, axis=-1), rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(LOGITS, st.integers(0, 2**31))
def test_gradient_of_cross_entropy_is_softmax_minus_one_hot(logits, seed):
    targets = np.random.default_rng(seed).integers(logits.shape[1], size=len(logits))
    gradient = autograd.grad(lambda x: anp.sum(cross_entropy(x, targets)))(logits)
    expected = scipy.special.softmax(logits, axis=-1) - np.eye(logits.shape[1])[targets]
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-12)


def test_equal_logits_cost_the_blind_guess():
    np.testing.assert_allclose(cross_entropy(np.zeros((3, 10)), np.array([0, 5, 9])), math.log(10))


def plain_loss(weights, cell, inputs, targets):
    """The same loss, unrolled step by step on autograd's tape with units before sequences."""
    count, size = len(cell.gate_names), cell.hidden_size
    state = [np.zeros((size, inputs.shape[1])) for _ in cell.blocks]
    rows = [slice(k * size, (k + 1) * size) for k in range(count)]
    for x in inputs:
        drive_x = [anp.dot(weights["W_x"][k], x.T) + weights["b"][k][:, None] for k in rows]
        drive_h = [anp.dot(weights["W_h"][k], state[0]) for k in rows]
        state = cell.update(cell_params(weights), drive_x, drive_h, state)
    logits = anp.dot(weights["W_out"], state[0]).T + weights["b_out"]
    # Written out without a shift: right for moderate logits.
    surprise = anp.log(anp.sum(anp.exp(logits), axis=1)) - logits[np.arange(len(targets)), targets]
    return anp.mean(surprise)


@pytest.mark.parametrize("name", CELLS)
def test_loss_and_gradients_equal_the_unrolled_tape_and_finite_differences(name):
    cell = CELLS[name](9, 7, "softsign")
    weights = drawn(cell)
    inputs, targets = load_task("digits_delayed").sample(np.random.default_rng(1), 5, 13)
    loss, gradients = autograd.value_and_grad(batch_loss)(weights, cell, inputs, targets)
    expected, on_tape = autograd.value_and_grad(plain_loss)(weights, cell, inputs, targets)
    assert loss == pytest.approx(expected, rel=1e-12)
    for key, gradient in gradients.items():
        np.testing.assert_allclose(gradient, on_tape[key], rtol=1e-10, atol=1e-13)
        at = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        ends = []
        for nudge in (1e-5, -1e-5):
            nudged = {**weights, key: weights[key].copy()}
            nudged[key][at] += nudge
            ends.append(batch_loss(nudged, cell, inputs, targets))
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(gradient[at], rel=1e-6)


def test_probe_loss_gives_each_sequence_its_share_of_the_batch_loss():
    cell = GRU(8, 6)
    weights = drawn(cell)
    inputs, targets = load_task("digits_row").sample(np.random.default_rng(1), 5)
    losses = sequence_loss(weights, targets)(unroll(cell, cell_params(weights), inputs).hidden)
    assert losses.shape == (5,)
    assert losses.mean() == pytest.approx(batch_loss(weights, cell, inputs, targets), rel=1e-12)


GRADIENTS = st.dictionaries(
    st.sampled_from(["W_x", "W_h", "b"]),
    hnp.arrays(float, hnp.array_shapes(max_dims=2, max_side=4), elements=st.floats(-1e3, 1e3)),
    min_size=1,
)


@settings(deadline=None)
@given(GRADIENTS, st.floats(1e-3, 1e3))
def test_clipping_keeps_the_direction_and_limits_the_norm(gradients, limit):
    clipped, norm = clip_norm(gradients, limit)
    flat, flat_clipped = (np.concatenate([g.ravel() for g in some.values()]) for some in (gradients, clipped))
    assert norm == pytest.approx(np.linalg.norm(flat), rel=1e-12, abs=1e-150)
    assert global_norm(clipped) <= limit * (1 + 1e-12)
    if norm <= limit:
        np.testing.assert_array_equal(flat_clipped, flat)
    else:
        np.testing.assert_allclose(flat_clipped * norm, flat * limit, rtol=1e-10, atol=1e-300)  # subnormals lose digits


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1.0, 1e200, 1e300])
def test_global_norm_does_not_square_out_of_range(scale):
    assert global_norm({"W_x": np.array([3.0 * scale]), "b": np.array([-4.0 * scale])}) == pytest.approx(5.0 * scale)


def test_global_norm_shows_what_is_not_finite_and_zero():
    assert global_norm({"b": np.zeros(3)}) == 0
    assert global_norm({"b": np.array([1.0, -np.inf])}) == np.inf
    assert math.isnan(global_norm({"W_x": np.ones(2), "b": np.array([np.nan, 1.0])}))


def test_infinite_limit_never_clips():
    gradients = {"b": np.array([1e200])}
    assert clip_norm(gradients, np.inf)[0]["b"] == gradients["b"]


def test_adam_moves_by_the_learning_rate_under_a_constant_gradient():
    weights, gradient = {"b": np.array([1.0, 1.0, 1.0])}, {"b": np.array([5.0, -0.01, 0.0])}
    optimizer = Adam(weights, 0.1)
    for _ in range(7):
        weights = optimizer.update(weights, gradient)
    np.testing.assert_allclose(weights["b"], [1 - 0.7, 1 + 0.7, 1.0], rtol=1e-5)


def test_adam_equals_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    weights = {"W_x": rng.normal(size=(3, 2)), "b": rng.normal(size=3)}
    tensors = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    theirs, ours = torch.optim.Adam(tensors.values(), lr=0.03), Adam(weights, 0.03)
    for _ in range(20):
        gradients = {name: rng.normal(size=value.shape) for name, value in weights.items()}
        weights = ours.update(weights, gradients)
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradients[name])
        theirs.step()
    for name, tensor in tensors.items():
        np.testing.assert_allclose(weights[name], tensor.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_it_learns_to_name_held_out_digits(name):
    cell = CELLS[name](8, 24)
    inputs, targets = load_task("digits_row").complete(np.random.default_rng(0))
    before = evaluate(cell, drawn(cell), inputs, targets)
    training = short_training(cell)
    after = evaluate(cell, training.weights, inputs, targets)
    assert before[0] < 0.25
    assert before[1] == pytest.approx(math.log(10), abs=0.4)
    assert after[0] > 0.7
    assert after[1] < 1.2
    assert training.loss[-10:].mean() < training.loss[:10].mean() / 2
    assert training.updates == len(training.loss) == 120
    assert training.first_bad_step is None
    assert training.gradient_norm.max() > 1
    assert training.clipped_norm.max() <= 1 + 1e-9
    unclipped = training.gradient_norm < 1
    np.testing.assert_array_equal(training.clipped_norm[unclipped], training.gradient_norm[unclipped])


def test_same_seed_same_training_other_seed_other_training():
    cell = LSTM(8, 8)
    first, again, other = (short_training(cell, seed=seed, iterations=5) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.loss, again.loss)
    for key, value in first.weights.items():
        np.testing.assert_array_equal(value, again.weights[key])
    assert not np.array_equal(first.loss, other.loss)


def test_float32_stays_float32():
    cell = LSTM(8, 8)
    weights = drawn(cell, dtype="float32")
    options = {"length": 8, "batch_size": 4, "iterations": 3, "learning_rate": 0.01, "clip": 1e-3}
    training = train(cell, weights, load_task("digits_row"), np.random.default_rng(0), **options)
    assert {value.dtype.name for value in training.weights.values()} == {"float32"}


def test_divergence_ends_the_training_and_says_where():
    cell, task = RNN(1, 4, "identity"), load_task("digits_pixel")
    weights = drawn(cell, gain=1e20)
    options = {"length": 64, "batch_size": 3, "iterations": 50, "learning_rate": 0.01, "clip": 1.0}
    training = train(cell, weights, task, np.random.default_rng(5), **options)
    inputs, _ = task.sample(np.random.default_rng(5), 3, 64)
    hidden, bad = np.zeros((3, 4)), None
    with np.errstate(all="ignore"):
        for t, x in enumerate(inputs, start=1):
            hidden = x @ weights["W_x"].T + hidden @ weights["W_h"].T
            if bad is None and not np.isfinite(hidden).all():
                bad = (t, int(np.flatnonzero(~np.isfinite(hidden).all(axis=1))[0]))
    assert bad is not None
    assert training.first_bad_step == {
        "pass": "forward",
        "iteration": 0,
        "t": bad[0],
        "sequence": bad[1],
        "array": "states",
    }
    assert training.updates == 0
    assert len(training.loss) == 1
    np.testing.assert_array_equal(training.weights["W_h"], weights["W_h"])


def quiet_cell(**scales):
    """A linear network whose states stay 0 because its inputs or W_x are 0; gradients need not."""
    cell = RNN(2, 3, "identity")
    weights = drawn(cell)
    return cell, {name: value * scales.get(name, 1.0) for name, value in weights.items()}


def test_backward_overflow_names_the_latest_step():
    cell, weights = quiet_cell(W_h=1e200, W_out=1e200)
    where = first_bad_step(cell, weights, np.zeros((6, 2, 2)), np.array([1, 2]))
    assert where == {"pass": "backward", "t": 5, "sequence": 0, "array": "state_gradient"}


def test_overflow_of_the_loss_alone_is_told_from_overflow_of_the_states():
    cell, weights = quiet_cell(W_out=1e308)
    inputs = np.zeros((6, 2, 2))
    inputs[:, 1] = 1e3
    where = first_bad_step(cell, weights, inputs, np.array([1, 2]))
    assert where == {"pass": "forward", "t": 6, "sequence": 1, "array": "loss"}


def test_overflow_in_the_sum_for_one_parameter_is_named():
    cell, weights = quiet_cell(W_x=0.0, W_out=1e150)
    where = first_bad_step(cell, weights, np.full((6, 2, 2), 1e200), np.array([1, 2]))
    assert where == {"pass": "backward", "t": None, "sequence": None, "array": "W_x"}


def test_evaluation_in_pieces_equals_evaluation_at_once():
    cell = GRU(8, 12)
    weights = drawn(cell)
    inputs, targets = load_task("digits_row").complete(np.random.default_rng(0))
    hidden = np.zeros((len(targets), 12))
    for x in inputs:
        W_x, W_h, b = (np.split(weights[name], 3) for name in ("W_x", "W_h", "b"))
        drive = [x @ W_x[k].T + b[k] for k in range(3)]
        back = [hidden @ W_h[k].T for k in range(3)]
        reset, update = (scipy.special.expit(drive[k] + back[k]) for k in (0, 1))
        hidden = (1 - update) * np.tanh(drive[2] + reset * back[2]) + update * hidden
    logits = hidden @ weights["W_out"].T
    chances = scipy.special.softmax(logits, axis=1)[np.arange(len(targets)), targets]
    accuracy, loss = evaluate(cell, weights, inputs, targets)
    assert accuracy == np.mean(logits.argmax(axis=1) == targets)
    assert loss == pytest.approx(-np.log(chances).mean(), rel=1e-12)


def test_a_network_that_overflows_names_nothing_right():
    cell = RNN(1, 4, "identity")
    inputs, targets = load_task("digits_pixel").complete(np.random.default_rng(0))
    accuracy, loss = evaluate(cell, drawn(cell, gain=1e20), inputs, targets)
    assert accuracy < 0.05
    assert math.isnan(loss)
