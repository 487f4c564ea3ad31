"""Drivers: outputs against hidden states, gradients against finite differences, and the way to a probe."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.misc import flatten
from autograd.test_util import check_grads

import gradscope as gs
from gradscope.errors import ArgumentError, ShapeError

LENGTH, BATCH = 6, 3
STACK = gs.Stack([gs.LSTM(2, 4), gs.GRU(4, 3)])
BOTH = gs.Stack([gs.Bidirectional(gs.LSTM(2, 4)), gs.Bidirectional(gs.GRU(8, 3))])


def made(model, width=2, seed=0):
    rng = np.random.default_rng(seed)
    params = model.init(rng)
    params["readout"]["b_y"] = rng.standard_normal(len(params["readout"]["b_y"]))
    return params, rng.standard_normal((LENGTH, BATCH, width))


@pytest.mark.parametrize("network", [gs.RNN(2, 4), STACK, BOTH], ids=["cell", "stack", "both"])
def test_many_to_many_and_many_to_one_read_the_hidden_states(network):
    many, one = gs.ManyToMany(network, gs.Readout(2, "sigmoid")), gs.ManyToOne(network, gs.Readout(2, "sigmoid"))
    params, inputs = made(many)
    valid = np.arange(LENGTH)[:, None] < np.array([LENGTH, 4, 1])
    trajectory = gs.unroll(network, params["network"], inputs, valid=valid)

    def out(hidden):
        return 1 / (1 + np.exp(-hidden @ params["readout"]["W_y"].T - params["readout"]["b_y"]))

    np.testing.assert_allclose(many(params, inputs, valid=valid), out(trajectory.hidden), rtol=1e-12)
    ends = trajectory.hidden[-1]
    if network is BOTH:
        ends = trajectory.levels[-1].last
    np.testing.assert_allclose(one(params, inputs, valid=valid), out(ends), rtol=1e-12)
    flat, back = flatten(params)
    check_grads(lambda flat: anp.sum(anp.sin(many(back(flat), inputs, valid=valid))), modes=["rev"])(flat)


def test_one_to_one_is_a_single_step():
    model = gs.OneToOne(gs.LSTM(2, 4), gs.Readout(3))
    params, inputs = made(model)
    hidden = gs.unroll(model.network, params["network"], inputs[:1]).hidden[0]
    np.testing.assert_allclose(
        model(params, inputs[0]), hidden @ params["readout"]["W_y"].T + params["readout"]["b_y"], rtol=1e-12
    )


@pytest.mark.parametrize("network", [gs.LSTM(2, 4), STACK], ids=["cell", "stack"])
def test_one_to_many_goes_on_from_its_own_outputs(network):
    model = gs.OneToMany(network, gs.Readout(2, "tanh"))
    params, inputs = made(model)
    outputs = model(params, inputs[0], LENGTH)
    forced = gs.ManyToMany(network, gs.Readout(2, "tanh"))
    again = forced(params, np.concatenate([inputs[:1], outputs[:-1]]))
    np.testing.assert_allclose(outputs, again, rtol=1e-10)
    flat, back = flatten(params)
    check_grads(lambda flat: anp.sum(anp.sin(model(back(flat), inputs[0], LENGTH))), modes=["rev"])(flat)
    check_grads(lambda first: anp.sum(anp.sin(model(params, first, LENGTH))), modes=["rev"])(inputs[0])


def test_a_loss_of_the_outputs_becomes_one_of_the_hidden_states():
    model = gs.ManyToOne(STACK, gs.Readout(2))
    params, inputs = made(model)

    def squares(outputs):
        """Return the sum of squares."""
        return anp.sum(outputs**2, axis=1)

    record = gs.probe(STACK, params["network"], inputs, ["state_gradient"], loss=model.on_hidden(params, squares))
    assert record.config["loss"] == "Return the sum of squares."

    def whole(state):
        return anp.sum(squares(model(params, inputs, state)))

    gradient = autograd.grad(whole)(np.zeros((BATCH, STACK.state_size)))
    np.testing.assert_allclose(record["state_gradient"][0], np.log10(np.linalg.norm(gradient, axis=1)), rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gs.ManyToOne("LSTM", gs.Readout(1)), ArgumentError, r"E\.g\. `gs\.ManyToOne\(gs\.LSTM"),
        (lambda: gs.ManyToMany(STACK, 3), ArgumentError, r"E\.g\. `gs\.ManyToMany\(gs\.LSTM"),
        (lambda: gs.OneToMany(STACK, gs.Readout(1)), ShapeError, "Build it with output_size=2"),
        (lambda: gs.OneToMany(BOTH, gs.Readout(2)), ArgumentError, "has no future to read"),
    ],
)
def test_what_makes_no_driver_is_told_what_to_do(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_wrong_arguments_are_told_what_to_do():
    model = gs.OneToMany(STACK, gs.Readout(2))
    params, inputs = made(model)
    with pytest.raises(ArgumentError, match="Count outputs"):
        model(params, inputs[0], 0)
    with pytest.raises(ShapeError, match="Give one input for each sequence"):
        model(params, inputs, 3)
    with pytest.raises(ShapeError, match="For a sequence use `ManyToOne` or `ManyToMany`"):
        gs.OneToOne(STACK, gs.Readout(2))(params, inputs)
    with pytest.raises(ArgumentError, match=r"Use `init\(rng\)` to draw both"):
        gs.ManyToOne(STACK, gs.Readout(2))(params["network"], inputs)
