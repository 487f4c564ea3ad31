"""Training: each number by a second route, and that it learns real digits."""

from __future__ import annotations

import dataclasses
import itertools
import math

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradscope.adjoint import scan
from gradscope.cells import CELLS, GRU, LSTM, RNN
from gradscope.errors import ArgumentError, ShapeError
from gradscope.experiments.course import follow
from gradscope.experiments.spec import Run
from gradscope.experiments.tasks import Batch, Task, load_task
from gradscope.experiments.training import (
    OPTIMIZERS,
    RATES,
    Recipe,
    Scaling,
    ablate,
    batch_loss,
    batches,
    build_network,
    cells_of,
    cross_entropy,
    evaluate,
    first_bad_step,
    init_weights,
    log_softmax,
    logarithmic,
    network_params,
    optimizer,
    penalty,
    rate_schedule,
    schedule,
    sequence_loss,
    squared_error,
    train,
)
from gradscope.network import Stack
from gradscope.trajectory import unroll

LOGITS = hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-1e6, 1e6))


def drawn(network, seed=0, outputs=10, **options):
    return init_weights(network, np.random.default_rng(seed), outputs, **options)


def recipe(**options):
    return Recipe(**{"length": 8, "batch_size": 32, "iterations": 120, "learning_rate": 0.01, **options})


def short_training(network, task="digits_row", seed=0, validation=False, **options):
    task = load_task(task)
    plan = recipe(**{"length": task.lengths.default, **options})
    weights = drawn(network, seed, task.output_size)
    held_out = task.whole(np.random.default_rng(9), plan.length, "validation") if validation else None
    return train(network, weights, task, np.random.default_rng(seed), plan, validation=held_out)


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


def test_equal_logits_cost_the_blind_guess_at_every_step():
    np.testing.assert_allclose(cross_entropy(np.zeros((4, 3, 10)), np.full((4, 3), 9)), math.log(10))


def test_squared_error_is_a_mean_over_the_outputs():
    outputs, targets = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([[0.0, 0.0], [3.0, 3.0]])
    np.testing.assert_array_equal(squared_error(outputs, targets), [2.5, 8.0])


def plain_loss(weights, cell, batch):
    """The same loss, unrolled step by step on autograd's tape with units before sequences, one sequence at a time."""
    count, size = len(cell.gate_names), cell.hidden_size
    rows = [slice(k * size, (k + 1) * size) for k in range(count)]
    losses = []
    for b in range(batch.size):
        state, total, scored = [np.zeros((size, 1)) for _ in cell.blocks], 0.0, 0
        steps = batch.length if batch.valid is None else int(batch.valid[:, b].sum())
        for t in range(steps):
            drive_x = [anp.dot(weights["W_x"][k], batch.inputs[t, b])[:, None] + weights["b"][k][:, None] for k in rows]
            drive_h = [anp.dot(weights["W_h"][k], state[0]) for k in rows]
            state = cell.update(weights, drive_x, drive_h, state)
            outputs = anp.dot(weights["W_out"], state[0])[:, 0] + weights["b_out"]
            if batch.each_step or t == steps - 1:
                target = batch.targets[t, b] if batch.each_step else batch.targets[b]
                numbers = batch.targets.dtype.kind == "f"
                # Written out without a shift: right for moderate logits.
                cost = (
                    anp.mean((outputs - target) ** 2)
                    if numbers
                    else anp.log(anp.sum(anp.exp(outputs))) - outputs[target]
                )
                total, scored = total + cost, scored + 1
        losses.append(total / scored)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "LSTM97"])
@pytest.mark.parametrize(
    ("task", "length"), [("digits_delayed", 13), ("adding", 9), ("copy", 21), ("temporal_order_6a", 22)]
)
def test_loss_and_gradients_equal_the_unrolled_tape(name, task, length):
    task = load_task(task)
    cell = CELLS[name](task.input_size, 5, "softsign")
    weights = drawn(cell, outputs=task.output_size)
    batch = task.draw(np.random.default_rng(1), 4, length)
    loss, gradients = autograd.value_and_grad(batch_loss)(weights, cell, batch)
    expected, on_tape = autograd.value_and_grad(plain_loss)(weights, cell, batch)
    assert loss == pytest.approx(expected, rel=1e-12)
    for key, gradient in gradients.items():
        np.testing.assert_allclose(gradient, on_tape[key], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_gradients_of_every_cell_equal_finite_differences(name, layers):
    network = build_network(name, 9, 4, layers, "tanh")  # a smooth one, which has no kink between two nudges
    weights = drawn(network)
    batch = load_task("digits_delayed").draw(np.random.default_rng(1), 3, 11)
    gradients = autograd.grad(batch_loss)(weights, network, batch)
    assert set(gradients) == set(weights)
    for key, gradient in gradients.items():
        at = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        ends = []
        for nudge in (1e-5, -1e-5):
            nudged = {**weights, key: weights[key].copy()}
            nudged[key][at] += nudge
            ends.append(batch_loss(nudged, network, batch))
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(gradient[at], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("task", ["digits_row", "copy", "adding"])
def test_probe_loss_gives_each_sequence_its_share_of_the_batch_loss(task):
    task = load_task(task)
    cell = GRU(task.input_size, 6)
    weights = drawn(cell, outputs=task.output_size)
    batch = task.draw(np.random.default_rng(1), 5)
    losses = sequence_loss(weights, batch)(unroll(cell, network_params(cell, weights), batch.inputs).hidden)
    assert losses.shape == (5,)
    assert losses.mean() == pytest.approx(batch_loss(weights, cell, batch), rel=1e-12)


def test_a_batch_without_targets_costs_nothing_that_could_be_said():
    with pytest.raises(
        ArgumentError, match=r"must have targets to cost anything, got none\. Take a task that has some"
    ):
        sequence_loss({}, load_task("random").draw(np.random.default_rng(0), 2))


def test_penalty_counts_matrices_and_not_biases():
    weights = {"W_h": np.array([[1.0, -2.0]]), "b": np.array([5.0]), "W_out": np.array([[3.0]])}
    assert penalty(weights, 0.1, 0.01) == pytest.approx(0.1 * 6 + 0.005 * 14)
    gradient = autograd.grad(penalty)(weights, 0.1, 0.01)
    np.testing.assert_allclose(gradient["W_h"], [[0.11, -0.12]])
    np.testing.assert_array_equal(gradient["b"], [0.0])


TORCH = {
    "adam": ("Adam", {}),
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.8}),
    "nesterov": ("SGD", {"momentum": 0.8, "nesterov": True}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_equals_torch_step_by_step(name):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    weights = {"W_x": rng.normal(size=(3, 2)), "b": rng.normal(size=3)}
    tensors = {key: torch.tensor(value, requires_grad=True) for key, value in weights.items()}
    kind, options = TORCH[name]
    theirs, ours = getattr(torch.optim, kind)(tensors.values(), lr=0.03, **options), optimizer(name, 0.8)
    for update in range(30):
        gradients = {key: rng.normal(size=value.shape) * 10.0 ** (update % 5 - 2) for key, value in weights.items()}
        weights = ours.update(weights, gradients, 0.03)
        for key, tensor in tensors.items():
            tensor.grad = torch.tensor(gradients[key])
        theirs.step()
        for key, tensor in tensors.items():
            np.testing.assert_allclose(weights[key], tensor.detach().numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_down_a_bowl_and_keeps_the_dtype(name):
    weights, rule = {"w": np.array([1.0, -2.0], np.float32)}, optimizer(name)
    for _ in range(1500):
        weights = rule.update(weights, {"w": weights["w"] * np.float32(2)}, rule.usual_rate)
    assert weights["w"].dtype == np.float32
    assert np.abs(weights["w"]).max() < (1.9 if name == "adagrad" else 0.7)


def test_an_unknown_optimizer_is_answered_with_the_nearest():
    with pytest.raises(ArgumentError, match="Did you mean 'adam'"):
        optimizer("adan")


@pytest.mark.parametrize("name", RATES)
def test_the_learning_rate_begins_whole_and_ends_at_the_stated_factor(name):
    factor = rate_schedule(name, 0.1, 50)
    values = [factor(iteration) for iteration in range(50)]
    assert values[0] == pytest.approx(1.0)
    assert values[-1] == pytest.approx(1.0 if name == "constant" else 0.1)
    assert all(late <= early + 1e-15 for early, late in itertools.pairwise(values))
    assert rate_schedule(name, 0.1, 1)(0) == pytest.approx(1.0)
    halfway = {"constant": 1.0, "linear": 0.55, "exponential": math.sqrt(0.1), "cosine": 0.55}[name]
    assert rate_schedule(name, 0.1, 101)(50) == pytest.approx(halfway)


def test_schedules_say_when_to_probe():
    assert [n for n in range(301) if schedule("every:100")(n)] == [100, 200, 300]
    assert [n for n in range(101) if schedule("log")(n)] == [1, 2, 3, 6, 10, 18, 32, 56, 100]
    assert not any(schedule("ends")(n) for n in range(1000))


@settings(deadline=None)
@given(st.integers(1, 20))
def test_a_logarithmic_schedule_is_due_as_often_in_each_factor_of_ten(count):
    due = [n for n in range(1, 10_001) if logarithmic(count)(n)]
    assert sum(1000 < n <= 10_000 for n in due) == count
    assert {1, 10, 100, 1000, 10_000} <= set(due)


@pytest.mark.parametrize("text", ["each:5", "every:0", "every:-1", "every", "log:x", "log:", "", 5, "ends:3"])
def test_another_schedule_is_refused(text):
    with pytest.raises(
        ArgumentError, match=r"must be ends, every:N, log or log:N, got .*'every:100' for each hundredth"
    ):
        schedule(text)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "JANET", "IRNN"])
def test_it_learns_to_name_held_out_digits(name):
    cell = CELLS[name](8, 24)
    batch = load_task("digits_row").whole(np.random.default_rng(0))
    before = evaluate(cell, drawn(cell), batch)
    training = short_training(cell)
    after = evaluate(cell, training.weights, batch)
    assert before.accuracy < 0.25
    assert after.accuracy > 0.7
    assert after.loss < 1.2
    assert training.loss[-10:].mean() < training.loss[:10].mean() / 2
    assert training.updates == training.kept == len(training.loss) == 120
    assert training.first_bad_step is None
    assert training.clipped_norm.max() <= 1 + 1e-9
    unclipped = training.gradient_norm < 1
    np.testing.assert_array_equal(training.clipped_norm[unclipped], training.gradient_norm[unclipped])
    np.testing.assert_allclose(training.cosine, 1.0, rtol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns(name):
    rate = 0.2 if name in ("sgd", "momentum", "nesterov") else 0.05 if name == "adagrad" else 0.01
    training = short_training(GRU(8, 16), optimizer=name, learning_rate=rate)
    assert training.loss[-10:].mean() < training.loss[:10].mean() * 0.75


def test_two_layers_learn():
    network = build_network("LSTM", 8, 16, layers=2)
    assert isinstance(network, Stack)
    training = short_training(network)
    assert set(training.weights) >= {"layer1.W_x", "layer2.W_h", "W_out"}
    assert training.loss[-10:].mean() < training.loss[:10].mean() / 1.5


def test_same_seed_same_training_other_seed_other_training():
    cell = LSTM(8, 8)
    first, again, other = (short_training(cell, seed=seed, iterations=5, dropout=0.3) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.loss, again.loss)
    for key, value in first.weights.items():
        np.testing.assert_array_equal(value, again.weights[key])
        assert not np.array_equal(value, other.weights[key]) or not value.any()


def test_one_update_is_minus_the_rate_times_the_clipped_gradient():
    cell, task = GRU(8, 5), load_task("digits_row")
    weights = drawn(cell)
    for clip_by, limit in (("norm", 0.01), ("value", 0.002), ("norm", math.inf)):
        plan = recipe(iterations=1, optimizer="sgd", clip=limit, clip_by=clip_by, l2=0.01, learning_rate=0.5)
        training = train(cell, weights, task, np.random.default_rng(3), plan)
        batch = task.draw(np.random.default_rng(3), 32, 8)
        gradients = autograd.grad(lambda w, batch=batch: batch_loss(w, cell, batch) + penalty(w, 0.0, 0.01))(weights)
        flat = np.concatenate([gradients[key].ravel() for key in weights])
        norm = np.linalg.norm(flat)
        cut = flat * min(1, limit / norm) if clip_by == "norm" else np.clip(flat, -limit, limit)
        moved = np.concatenate([(weights[key] - training.weights[key]).ravel() for key in weights])
        np.testing.assert_allclose(moved, 0.5 * cut, rtol=1e-9, atol=1e-15)
        assert training.gradient_norm[0] == pytest.approx(norm, rel=1e-12)
        assert training.clipped_norm[0] == pytest.approx(np.linalg.norm(cut), rel=1e-12)
        assert training.cosine[0] == pytest.approx(flat @ cut / norm / np.linalg.norm(cut), rel=1e-9)
        assert training.loss[0] == pytest.approx(batch_loss(weights, cell, batch), rel=1e-10)
        assert training.clipped_share == (limit < norm)


def test_the_learning_rate_of_each_update_is_kept():
    training = short_training(RNN(8, 4), iterations=5, learning_rate=0.2, learning_rate_decay="linear")
    np.testing.assert_allclose(training.learning_rate, np.linspace(0.2, 0.02, 5), rtol=1e-12)


def test_a_gradient_that_is_not_a_number_was_not_clipped():
    training = short_training(RNN(8, 4), iterations=4, clip=math.inf)
    norms = np.array([1.0, 2.0, 3.0, np.nan])
    assert dataclasses.replace(training, gradient_norm=norms, clipped_norm=norms).clipped_share == 0
    assert dataclasses.replace(training, gradient_norm=norms, clipped_norm=np.minimum(norms, 1.5)).clipped_share == 0.5


def test_truncation_cuts_what_segments_before_the_last_would_hear():
    task, cell = load_task("digits_delayed"), RNN(9, 6)
    weights, batch = drawn(cell), task.draw(np.random.default_rng(0), 4, 20)
    cut, whole = (autograd.grad(batch_loss)(weights, cell, batch, truncate)["W_h"] for truncate in (5, None))
    assert not np.allclose(cut, whole)
    # By hand: the state goes on, the gradient begins at step 15.
    params = network_params(cell, weights)
    start = unroll(cell, params, batch.inputs[:15]).states[-1]

    def last_segment(inner):
        states = scan(cell, network_params(cell, inner), batch.inputs[15:], start)
        return anp.mean(sequence_loss(inner, batch)(states[1:, :, :6]))

    np.testing.assert_allclose(cut, autograd.grad(last_segment)(weights)["W_h"], rtol=1e-10, atol=1e-14)


class Stream:
    """Sequences with a class to name after each step; of the second seven steps none is scored."""

    output_size = 5

    def draw(self, rng, size, length=None, split="train"):
        scored = rng.random((length, size)) < 0.7
        scored[7:14] = False
        return Batch(rng.standard_normal((length, size, 3)), rng.integers(0, 5, (length, size)), None, scored=scored)


def detached_loop(torch, cell, weights, batches, segment, updates):
    """Train as torch users do: an update per segment, the state detached between two."""
    kind = type(cell).__name__
    network, readout = getattr(torch.nn, kind)(3, cell.hidden_size).double(), torch.nn.Linear(cell.hidden_size, 5)
    readout.double()
    names = {"weight_ih_l0": "W_x", "weight_hh_l0": "W_h", "bias_ih_l0": "b"}
    names |= {"bias_hh_l0": "b_h"} if "b_h" in weights else {}
    with torch.no_grad():
        network.bias_hh_l0.zero_()
        for theirs, ours in names.items():
            getattr(network, theirs).copy_(torch.tensor(weights[ours]))
        readout.weight.copy_(torch.tensor(weights["W_out"]))
        readout.bias.copy_(torch.tensor(weights["b_out"]))
    parameters = [getattr(network, name) for name in names] + list(readout.parameters())
    rule, losses = torch.optim.Adam(parameters, lr=0.02), []
    for batch in batches:
        state = None
        for start in range(0, batch.length, segment):
            steps = slice(start, start + segment)
            hidden, state = network(torch.tensor(batch.inputs[steps]), state)
            state = tuple(part.detach() for part in state) if kind == "LSTM" else state.detach()
            scored = torch.tensor(batch.scored[steps])
            if scored.any() and len(losses) < updates:
                targets = torch.tensor(batch.targets[steps])
                each = torch.nn.functional.cross_entropy(readout(hidden).movedim(2, 1), targets, reduction="none")
                loss = ((each * scored).sum(0) / scored.sum(0).clamp(min=1)).mean()
                rule.zero_grad()
                loss.backward()
                rule.step()
                losses.append(float(loss.detach()))
    trained = {ours: getattr(network, theirs) for theirs, ours in names.items()}
    trained |= {"W_out": readout.weight, "b_out": readout.bias}
    return {name: tensor.detach().numpy() for name, tensor in trained.items()}, losses


@pytest.mark.parametrize("cell", [RNN(3, 6), LSTM(3, 6), GRU(3, 6)], ids=lambda cell: type(cell).__name__)
def test_an_update_per_segment_equals_a_torch_loop_that_detaches_the_state(cell):
    torch = pytest.importorskip("torch")
    weights, task = drawn(cell, outputs=5), Stream()
    plan = recipe(
        length=23, batch_size=4, iterations=8, learning_rate=0.02, clip=math.inf, truncate=7, update_per="segment"
    )
    ours = train(cell, weights, task, np.random.default_rng(2), plan)
    rng = np.random.default_rng(2)
    drawn_again = [task.draw(rng, 4, 23) for _ in range(3)]  # three updates each, and the training ends within one
    theirs, losses = detached_loop(torch, cell, weights, drawn_again, 7, 8)
    np.testing.assert_allclose(ours.loss, losses, rtol=1e-10)
    for name in weights:
        np.testing.assert_allclose(ours.weights[name], theirs[name], rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("network", [LSTM(3, 4), Stack([GRU(3, 4), LSTM(4, 3)])], ids=["cell", "stack"])
def test_one_segment_that_holds_the_whole_sequence_is_plain_training(network):
    weights, task = drawn(network, outputs=5), Stream()
    plain, whole, cut = (
        train(network, weights, task, np.random.default_rng(2), recipe(length=23, iterations=6, dropout=0.2, **options))
        for options in ({}, *({"truncate": steps, "update_per": "segment"} for steps in (23, 7)))
    )
    for name in weights:
        np.testing.assert_array_equal(whole.weights[name], plain.weights[name])
        assert not np.allclose(cut.weights[name], plain.weights[name])
    assert (plain.updates, whole.updates, cut.updates) == (6, 6, 6)


def test_a_segment_that_leaves_the_range_is_named_by_its_step_in_the_sequence():
    class Shaken(Stream):
        def draw(self, *arguments):
            batch = super().draw(*arguments)
            batch.inputs[17, 1] = np.nan
            return batch

    network = Stack([RNN(3, 4), RNN(4, 4)])
    plan = recipe(length=23, iterations=9, truncate=7, update_per="segment")
    training = train(network, drawn(network, outputs=5), Shaken(), np.random.default_rng(0), plan)
    assert training.updates == 1
    assert training.first_bad_step == {"pass": "forward", "t": 18, "sequence": 1, "array": "states", "iteration": 1}


@pytest.mark.parametrize("options", [{}, {"truncate": 7, "update_per": "segment"}])
def test_a_batch_in_which_nothing_is_scored_has_a_loss_of_zero(options):
    class Mute(Stream):
        def draw(self, *arguments):
            batch = super().draw(*arguments)
            return dataclasses.replace(batch, scored=np.zeros(batch.inputs.shape[:2], bool))

    plan = recipe(length=23, iterations=5, **options)
    training = train(RNN(3, 4), drawn(RNN(3, 4), outputs=5), Mute(), np.random.default_rng(0), plan)
    assert training.loss.tolist() == [0.0] * 5


def test_a_batch_with_one_target_for_each_sequence_is_not_cut():
    batch = load_task("digits_row").draw(np.random.default_rng(0), 8, 8)
    with pytest.raises(ShapeError, match="Give a target after each step, or update per sequence"):
        batch.between(0, 4)


def test_an_epoch_of_segments_has_an_update_for_each():
    plan = recipe(length=23, examples=40, batch_size=16, truncate=7)
    assert (plan.period, dataclasses.replace(plan, update_per="segment").period) == (3, 12)


def test_dropout_scales_what_is_left_and_follows_the_generator():
    from gradscope.experiments.training.loop import draw_factors

    network = build_network("LSTM", 9, 200, layers=2)
    batch = load_task("digits_delayed").draw(np.random.default_rng(0), 50, 9)
    dropped = draw_factors(network, batch, recipe(dropout=0.25, input_dropout=0.5), np.random.default_rng(1))
    assert [factors.shape for factors in dropped.hidden] == [(50, 200)] * 2
    for factors, rate in [(dropped.hidden[0], 0.25), (dropped.hidden[1], 0.25), (dropped.inputs, 0.5)]:
        np.testing.assert_allclose(np.unique(factors), [0, 1 / (1 - rate)])
        assert factors.mean() == pytest.approx(1.0, abs=0.15)
    assert not np.array_equal(*dropped.hidden)
    weights = drawn(network)
    assert batch_loss(weights, network, batch, None, dropped) != batch_loss(weights, network, batch)
    none = draw_factors(network, batch, recipe(), np.random.default_rng(1))
    assert none.hidden is None
    assert none.inputs is None


def test_epochs_show_each_example_once():
    task = load_task("adding")
    source = batches(task, np.random.default_rng(0), recipe(length=10, examples=50, batch_size=16))
    epochs = [[next(source) for _ in range(4)] for _ in range(2)]
    seen = [sorted(np.concatenate([batch.targets[:, 0] for batch in epoch])) for epoch in epochs]
    assert [batch.size for batch in epochs[0]] == [16, 16, 16, 2]
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(epochs[0][0].targets, epochs[1][0].targets)


class Watched:
    """A task that notes which splits it is asked for."""

    def __init__(self, task):
        self.task, self.asked = task, []

    def __getattr__(self, name):
        return getattr(self.task, name)

    def draw(self, rng, size, length=None, split="train"):
        self.asked.append(("draw", split))
        return self.task.draw(rng, size, length, split)


@pytest.mark.parametrize("examples", [None, 40])
def test_training_draws_from_the_training_split_alone(examples):
    task = Watched(load_task("digits_row"))
    train(GRU(8, 4), drawn(GRU(8, 4)), task, np.random.default_rng(0), recipe(iterations=6, examples=examples))
    assert set(task.asked) == {("draw", "train")}


@pytest.mark.parametrize("name", ["digits_delayed", "temporal_order", "adding", "copy"])
def test_no_test_sequence_ever_trains_in_a_whole_run(name, monkeypatch):
    """Every batch that enters a gradient is compared with every sequence that is tested or validated on."""
    from gradscope.experiments.training import loop

    def texts(batch):
        return {row.tobytes() for row in np.ascontiguousarray(batch.inputs.swapaxes(0, 1))}

    trained, held_out = set(), set()
    plain_loss_of, plain_whole = loop._loss_and_state, Task.whole

    def noted_loss(weights, network, batch, *others):
        trained.update(texts(batch))
        return plain_loss_of(weights, network, batch, *others)

    def noted_whole(self, rng, length=None, split="test"):
        batch = plain_whole(self, rng, length, split)
        if split != "train":
            held_out.update(texts(batch))
        return batch

    monkeypatch.setattr(loop, "_loss_and_state", noted_loss)
    monkeypatch.setattr(Task, "whole", noted_whole)
    run = Run(task=name, length=24, iterations=12, hidden_size=3, probes="cheap", evaluate_every=4)
    follow(run, run.load_task())
    assert len(trained) > 200
    assert len(held_out) > 400
    assert not trained & held_out


def test_normalized_inputs_have_mean_zero_and_spread_one_on_the_training_set():
    batch = load_task("digits_pixel").draw(np.random.default_rng(0), 200)
    scaled = Scaling.of(batch)(batch.inputs)
    np.testing.assert_allclose(scaled.mean(axis=(0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=(0, 1)), 1, rtol=1e-12)
    padded = load_task("temporal_order_6a").draw(np.random.default_rng(0), 50)
    steps = padded.inputs[padded.valid]
    np.testing.assert_allclose(Scaling.of(padded).mean, steps.mean(axis=0))
    never = Batch(np.zeros((4, 3, 2)), None)
    np.testing.assert_array_equal(Scaling.of(never)(never.inputs), 0)


def test_early_stopping_keeps_the_best_weights():
    cell = GRU(8, 16)
    options = {"examples": 20, "batch_size": 20, "learning_rate": 0.03, "iterations": 400, "evaluate_every": 5}
    training = short_training(cell, validation=True, patience=4, **options)
    losses = {iteration: score.loss for iteration, score in training.evaluations.items()}
    best = min(losses, key=losses.get)
    assert training.kept == best < training.updates < 400
    assert list(losses) == list(range(0, training.updates + 1, 5))
    assert training.updates == best + 4 * 5
    held_out = load_task("digits_row").whole(np.random.default_rng(9), 8, "validation")
    assert evaluate(cell, training.weights, held_out).loss == pytest.approx(losses[best], rel=1e-12)
    patient = short_training(cell, validation=True, **options)
    assert patient.updates == patient.kept == 400
    np.testing.assert_array_equal(patient.loss[: training.updates], training.loss)


def test_an_epoch_is_evaluated_and_the_end_always():
    training = short_training(RNN(8, 4), validation=True, iterations=25, examples=64, batch_size=32)
    assert list(training.evaluations) == [*range(0, 25, 2), 25]
    assert list(short_training(RNN(8, 4), validation=True, iterations=130).evaluations) == [0, 100, 130]


def test_an_ablated_gate_stands_open_and_stays_so():
    cell, task = LSTM(8, 5), load_task("digits_row")
    weights, frozen = ablate(cell, drawn(cell), "output")
    training = train(cell, weights, task, np.random.default_rng(0), recipe(iterations=5), frozen=frozen)
    trajectory = unroll(cell, network_params(cell, training.weights), task.draw(np.random.default_rng(1), 3).inputs)
    np.testing.assert_allclose(trajectory.gates["output"], 1.0, rtol=1e-15)
    assert trajectory.gates["input"].std() > 0
    np.testing.assert_array_equal(training.weights["W_x"][15:], 0)
    assert not np.array_equal(training.weights["W_x"][:15], weights["W_x"][:15])
    with pytest.raises(ArgumentError, match=r"must name a gate from 0 to 1, got 'candidate'\. The input gate"):
        ablate(cell, drawn(cell), "candidate")
    with pytest.raises(ArgumentError, match=r"one of reset, update, candidate, got 'output'.*GRU has these"):
        ablate(GRU(8, 5), drawn(GRU(8, 5)), "output")


def test_the_input_bias_goes_to_the_input_gate_of_every_layer():
    network = build_network("LSTM", 3, 4, layers=2, forget_bias=2.0)
    weights = drawn(network, input_bias=-1.0, input_gain=0.0)
    for prefix in cells_of(network):
        np.testing.assert_array_equal(weights[prefix + "b"], [-1.0] * 4 + [2.0] * 4 + [0.0] * 8)
        assert not weights[prefix + "W_x"].any()
    assert "W_out" not in drawn(RNN(3, 4), outputs=0)


def test_float32_stays_float32():
    cell, task = LSTM(8, 8), load_task("digits_row")
    for name in OPTIMIZERS:
        plan = recipe(iterations=3, optimizer=name, dropout=0.2, clip=1e-3, l1=1e-3)
        training = train(cell, drawn(cell, dtype="float32"), task, np.random.default_rng(0), plan)
        assert {value.dtype.name for value in training.weights.values()} == {"float32"}


def test_divergence_ends_the_training_and_says_where():
    cell, task = RNN(1, 4, "identity"), load_task("digits_pixel")
    weights = drawn(cell, gain=1e20)
    plan = recipe(length=64, batch_size=3, iterations=50)
    training = train(cell, weights, task, np.random.default_rng(5), plan)
    inputs = task.draw(np.random.default_rng(5), 3, 64).inputs
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


def where(cell, weights, inputs):
    batch = Batch(inputs, np.array([1, 2]))
    with np.errstate(all="ignore"):
        gradients = autograd.grad(batch_loss)(weights, cell, batch)
    return first_bad_step(cell, weights, batch, gradients)


def test_backward_overflow_names_the_latest_step():
    cell, weights = quiet_cell(W_h=1e200, W_out=1e200)
    found = where(cell, weights, np.zeros((6, 2, 2)))
    assert found == {"pass": "backward", "t": 5, "sequence": 0, "array": "state_gradient"}


def test_overflow_of_the_loss_alone_is_told_from_overflow_of_the_states():
    cell, weights = quiet_cell(W_out=1e308)
    inputs = np.zeros((6, 2, 2))
    inputs[:, 1] = 1e3
    assert where(cell, weights, inputs) == {"pass": "forward", "t": 6, "sequence": 1, "array": "loss"}


def test_overflow_in_the_sum_for_one_parameter_is_named():
    cell, weights = quiet_cell(W_x=0.0, W_out=1e150)
    found = where(cell, weights, np.full((6, 2, 2), 1e200))
    assert found == {"pass": "backward", "t": None, "sequence": None, "array": "W_x"}


@pytest.mark.parametrize("name", ["digits_row", "copy", "temporal_order_6a", "adding"])
def test_evaluation_in_pieces_equals_evaluation_at_once(name):
    task = load_task(name)
    cell = GRU(task.input_size, 6)
    weights = drawn(cell, outputs=task.output_size)
    batch = task.draw(np.random.default_rng(0), 150)
    score = evaluate(cell, weights, batch)
    assert score.loss == pytest.approx(batch_loss(weights, cell, batch), rel=1e-12)
    hidden = unroll(cell, network_params(cell, weights), batch.inputs, valid=batch.valid).hidden
    outputs = hidden @ weights["W_out"].T + weights["b_out"]
    if task.loss == "squared_error":
        assert score.accuracy is None
    elif batch.each_step:
        hits = (outputs.argmax(axis=2) == batch.targets)[batch.questions]
        assert score.accuracy == pytest.approx(hits.mean(), abs=1e-12)
        assert len(hits) == 10 * 150
    else:
        assert score.accuracy == pytest.approx((outputs[-1].argmax(axis=1) == batch.targets).mean(), abs=1e-12)


def test_a_network_that_overflows_names_nothing_right():
    cell = RNN(1, 4, "identity")
    score = evaluate(cell, drawn(cell, gain=1e20), load_task("digits_pixel").whole(np.random.default_rng(0)))
    assert score.accuracy < 0.05
    assert math.isnan(score.loss)


def test_a_recipe_takes_what_a_run_has_and_leaves_the_rest():
    plan = Recipe.of(Run(iterations=7, optimizer="nesterov", examples=100, batch_size=30).config)
    assert (plan.iterations, plan.optimizer, plan.momentum, plan.learning_rate) == (7, "nesterov", 0.9, 0.01)
    assert plan.period == 4
    assert dataclasses.replace(plan, evaluate_every=9).period == 9
    assert plan.patience is None


def test_the_course_of_a_run_is_probed_by_its_schedule_and_keeps_its_weights():
    run = Run(task="adding", length=12, hidden_size=4, iterations=10, probe_schedule="every:3", keep_weights=True)
    course = follow(run, run.load_task())
    assert list(course.records) == [0, 3, 6, 9, 10]
    stored = [record["weight.W_h"] for record in course.records.values()]
    assert stored[0].shape == (16, 4)
    assert all(not np.array_equal(one, two) for one, two in itertools.pairwise(stored))
    last = course.records[10]
    assert last["training_loss"].shape == (10,)
    assert last.fields["training_loss"].unit == "1"
    assert "training_loss" not in course.records[9].fields
    assert course.metrics["loss_baseline"] == pytest.approx(1 / 6)
    assert course.metrics["parameters"] == 16 * 2 + 16 * 4 + 16 + 4 + 1
    assert list(course.curves["validation_loss"]) == [0, 10]
    assert course.curves["training_loss"][10] == pytest.approx(last["training_loss"].mean())
    assert "accuracy_after" not in course.metrics


def test_the_record_of_early_stopped_weights_is_dated_by_their_update():
    options = {"examples": 20, "learning_rate": 0.05, "evaluate_every": 5, "patience": 2}
    run = Run(task="digits_row", hidden_size=8, iterations=200, **options)
    course = follow(run, run.load_task())
    assert set(course.records) == {0, int(course.metrics["updates_kept"])}
    assert course.metrics["updates_kept"] < course.metrics["updates"]
    gap = course.metrics["loss_after"] - course.metrics["loss_before"]
    assert gap < 0


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_a_run_of_two_layers_is_probed_and_trained(cell):
    run = Run(cell=cell, layers=2, task="digits_row", hidden_size=6, iterations=3, dropout=0.2, keep_weights=True)
    course = follow(run, run.load_task())
    assert list(course.records) == [0, 3]
    assert {"weight.layer1.W_x", "weight.layer2.W_h", "weight.W_out"} <= set(course.records[3].fields)
    assert course.records[0].summary["verdict"]
    count = len(CELLS[cell].gate_names) * 6
    assert course.metrics["parameters"] == count * (8 + 6 + 1) + count * (6 + 6 + 1) + 10 * 7
