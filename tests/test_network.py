"""Stacks: against the composed equations of single sequences, against autograd, and against hand-made parts."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_networks import along, check_jacobians, random_params, stack_step, stacks
from plain_routes import chunks_of, scaled_error

import gradscope as gs
from gradscope.errors import ArgumentError, ShapeError
from gradscope.network.walk import scaled_steps, walk

LENGTH, BATCH = 5, 2


class Case:
    """A stack with everything random, and factors on the way up."""

    def __init__(self, cells, seed=0, factors=True, length=LENGTH):
        rng = np.random.default_rng(seed)
        self.network = gs.Stack(cells)
        self.cells = self.network.cells
        self.params = [random_params(cell, rng) for cell in self.cells]
        self.inputs = rng.standard_normal((length, BATCH, self.network.input_size))
        self.state = 0.5 * rng.standard_normal((BATCH, self.network.state_size))
        self.between = None
        if factors:
            self.between = [rng.uniform(0, 2, (length, BATCH, cell.hidden_size)) for cell in self.cells[:-1]]
        self.rng = rng

    def unrolled(self, **options):
        return self.network.unroll(self.params, self.inputs, self.state, between=self.between, **options)

    def scanned(self, params, inputs, state, **options):
        return self.network.scan(params, inputs, state, between=self.between, **options)

    def factors(self, t, b):
        return None if self.between is None else [factor[t, b] for factor in self.between]

    def plain_step(self, t, b):
        return lambda x, s: stack_step(self.cells, self.params, x, s, self.factors(t, b))

    def plain_states(self, params=None, inputs=None, state=None):
        params = self.params if params is None else params
        inputs = self.inputs if inputs is None else inputs
        state = self.state if state is None else state

        def one(b):
            return along(
                lambda t, x, s: stack_step(self.cells, params, x, s, self.factors(t, b)), inputs[:, b], state[b]
            )

        return anp.stack([one(b) for b in range(BATCH)], axis=1)

    def plain_jacobians(self, trail, which=1):
        """Jacobians of every composed step with respect to its input (0) or the state before (1)."""
        return np.array(
            [
                [autograd.jacobian(self.plain_step(t, b), which)(self.inputs[t, b], trail[t, b]) for b in range(BATCH)]
                for t in range(len(self.inputs))
            ]
        )


MIXED = (gs.LSTM(2, 3), gs.GRU(3, 4), gs.RNN(4, 2, "softsign"))


@settings(max_examples=25)
@given(stacks(), st.integers(0, 2**16), st.booleans(), st.sampled_from((1, 30, 2**17)))
def test_a_stack_is_its_cells_composed(cells, seed, factors, chunk):
    case = Case(cells, seed, factors)
    with chunks_of(chunk):
        trajectory = case.unrolled()
        lin = gs.linearize(trajectory)
        trail = case.plain_states()
        assert scaled_error(trajectory.states, trail) < 1e-12
        check_jacobians(lin, case.plain_jacobians(trail), case.plain_jacobians(trail, 0), case.rng)


@settings(max_examples=15)
@given(stacks(), st.integers(0, 2**16))
def test_all_gradients_of_a_stack_are_autograds(cells, seed):
    case = Case(cells, seed)
    direct = case.rng.standard_normal((LENGTH + 1, BATCH, case.network.state_size))
    place = (case.params, case.inputs, case.state)
    wanted = autograd.grad(lambda all_: anp.sum(direct * case.plain_states(*all_)))(place)
    found = autograd.grad(lambda all_: anp.sum(direct * case.scanned(*all_)))(place)
    lin = gs.linearize(case.unrolled())
    adjoint = gs.backpropagate(lin, direct)
    for n, params in enumerate(wanted[0]):
        for name, gradient in params.items():
            assert scaled_error(found[0][n][name], gradient) < 1e-9
            assert scaled_error(adjoint.params[n][name], gradient) < 1e-9
    for gradients in ((found[1], adjoint.inputs), (wanted[1], adjoint.inputs)):
        assert scaled_error(*gradients) < 1e-9
    assert scaled_error(found[2], wanted[2]) < 1e-9
    assert scaled_error(adjoint.total[0], wanted[2]) < 1e-9
    matrices = lin.jacobians()
    for t in range(LENGTH):
        back = direct[t] + np.einsum("bij,bi->bj", matrices[t], adjoint.total[t + 1])
        assert scaled_error(adjoint.total[t], back) < 1e-9


def test_the_total_gradient_of_a_layer_includes_what_the_layers_above_pass_down():
    """Of layer 1 alone: the loss as a function of its state at t, everything above recomputed."""
    case = Case(MIXED)
    trajectory = case.unrolled()
    lin = gs.linearize(trajectory)
    direct = np.zeros((LENGTH + 1, BATCH, case.network.state_size))
    direct[-1, :, -2:] = 1.0
    adjoint = gs.backpropagate(lin, direct)
    t, first = 2, MIXED[0].state_size

    def rest(mine):
        """The loss from layer 1's state after step t - 1: the layers above read it at that very step."""
        whole = anp.concatenate([mine, np.zeros((BATCH, case.network.state_size - first))], axis=1)
        rows = []
        for b in range(BATCH):
            upper = stack_step(
                case.cells[1:],
                case.params[1:],
                whole[b, :3] * case.between[0][t - 1, b],
                trajectory.states[t - 1, b, first:],
                [case.between[1][t - 1, b]],
            )
            state = anp.concatenate([whole[b, :first], upper])
            for k in range(t, LENGTH):
                state = case.plain_step(k, b)(case.inputs[k, b], state)
            rows.append(anp.sum(state[-2:]))
        return anp.sum(anp.array(rows))

    mine = trajectory.layers["layer1"].states[t]
    heard = adjoint.layers["layer1"].total[t]
    assert scaled_error(heard, autograd.grad(rest)(mine)) < 1e-9
    whole = adjoint.total[t, :, :first]
    assert np.abs(whole - heard).max() > 1e-4  # the whole's coordinates hold the layers above fixed
    np.testing.assert_allclose(whole[:, 3:], heard[:, 3:], rtol=1e-12)  # its c is heard by nobody above


def test_layers_are_plain_trajectories_with_their_own_linearizations():
    case = Case(MIXED, factors=False)
    trajectory = gs.unroll(case.network, case.params, case.inputs, case.state)
    lin = gs.linearize(trajectory)
    assert list(trajectory.layers) == list(lin.layers) == ["layer1", "layer2", "layer3"]
    alone = gs.unroll(MIXED[1], case.params[1], trajectory.layers["layer1"].hidden, case.state[:, 6:10])
    np.testing.assert_array_equal(trajectory.layers["layer2"].states, alone.states)
    np.testing.assert_array_equal(lin.layers["layer2"].jacobians(), gs.linearize(alone).jacobians())
    np.testing.assert_array_equal(trajectory.hidden, trajectory.layers["layer3"].hidden)
    assert case.network.blocks == ("layer1.h", "layer1.c", "layer2.h", "layer3.h")
    assert lin.blocks == [
        ("layer1.h", slice(0, 3)),
        ("layer1.c", slice(3, 6)),
        ("layer2.h", slice(6, 10)),
        ("layer3.h", slice(10, 12)),
    ]
    assert (lin.length, lin.batch, lin.state_size, lin.block_size) == (LENGTH, BATCH, 12, 12)
    assert repr(trajectory) == "<Trajectory of Stack of 3 layers: T=5, B=2, S=12, float64>"
    assert repr(lin) == "<Linearization of Trajectory of Stack of 3 layers: T=5, B=2, S=12, float64>"
    assert case.network.describe()["layers"][1] == MIXED[1].describe()


def test_a_stack_of_one_is_the_cell():
    cell = gs.LSTM(2, 3)
    case = Case((cell,))
    alone = gs.unroll(cell, case.params[0], case.inputs, case.state)
    np.testing.assert_array_equal(case.unrolled().states, alone.states)
    lin, own = gs.linearize(case.unrolled()), gs.linearize(alone)
    np.testing.assert_array_equal(lin.jacobians(), own.jacobians())
    np.testing.assert_allclose(lin.norm(), own.norm(), rtol=1e-10)
    np.testing.assert_allclose(gs.transport(lin).rms, gs.transport(own).rms, rtol=1e-12)


def test_transport_of_the_whole_is_the_product_of_its_jacobians():
    case = Case(MIXED)
    lin = gs.linearize(case.unrolled())
    np.testing.assert_allclose(gs.transport(lin).rms, gs.transport(gs.Jacobians(lin.jacobians())).rms, rtol=1e-10)


def test_stacks_may_be_nested():
    case = Case(MIXED)
    flat = gs.linearize(case.unrolled())
    nested = gs.Stack([gs.Stack(MIXED[:2]), MIXED[2]])
    trajectory = nested.unroll(
        [case.params[:2], case.params[2]], case.inputs * 1.0, case.state, between=[case.between[1]]
    )
    without = case.network.unroll(case.params, case.inputs, case.state, between=[None, case.between[1]])
    np.testing.assert_array_equal(trajectory.states, without.states)
    assert list(trajectory.layers) == ["layer1.layer1", "layer1.layer2", "layer2"]
    lin = gs.linearize(trajectory)
    np.testing.assert_allclose(lin.jacobians(), gs.linearize(without).jacobians(), rtol=1e-12)
    direct = case.rng.standard_normal(trajectory.states.shape)
    adjoint, other = gs.backpropagate(lin, direct), gs.backpropagate(gs.linearize(without), direct)
    np.testing.assert_allclose(adjoint.total, other.total, rtol=1e-10, atol=1e-14)
    assert flat.forward
    assert lin.forward


@pytest.mark.parametrize("mask", ["valid", "reset"])
def test_masks_are_those_of_every_layer(mask):
    """Each sequence by itself: cut where it ends, and anew where it is reset."""
    case = Case(MIXED, length=7)
    marks = np.ones((7, BATCH), bool) if mask == "valid" else np.zeros((7, BATCH), bool)
    marks[4:, 1] = mask == "reset"
    trajectory = case.unrolled(**{mask: marks})
    lin = gs.linearize(trajectory)
    plain = case.plain_states()
    np.testing.assert_allclose(trajectory.states[:, 0], plain[:, 0], rtol=1e-12)
    np.testing.assert_allclose(trajectory.states[:5, 1], plain[:5, 1], rtol=1e-12)
    matrices, eye = lin.jacobians(), np.eye(case.network.state_size)
    for layer in trajectory.layers.values():
        np.testing.assert_array_equal(getattr(layer, mask), marks)
    np.testing.assert_array_equal(getattr(trajectory, mask), marks)
    if mask == "valid":
        np.testing.assert_array_equal(trajectory.states[5:, 1], np.broadcast_to(trajectory.states[4, 1], (3, 12)))
        np.testing.assert_array_equal(matrices[4:, 1], np.broadcast_to(eye, (3, 12, 12)))
    else:
        np.testing.assert_allclose(
            trajectory.states[5, 1], case.plain_step(4, 1)(case.inputs[4, 1], np.zeros(12)), rtol=1e-12
        )
        np.testing.assert_array_equal(matrices[4:, 1], 0.0)
    states = case.scanned(case.params, case.inputs, case.state, **{mask: marks})
    np.testing.assert_array_equal(states, trajectory.states)


def test_a_layers_own_dropout_acts_before_its_recurrent_product():
    case = Case((gs.RNN(2, 3, "identity"), gs.RNN(3, 2, "identity")), factors=False)
    drop = case.rng.uniform(0, 2, (LENGTH, BATCH, 2))
    lin = gs.linearize(case.unrolled(dropout=[None, drop]))
    wanted = case.params[1]["W_h"] * drop[:, :, None, :]
    np.testing.assert_allclose(lin.jacobians()[:, :, 3:, 3:], wanted, rtol=1e-12)
    states = case.scanned(case.params, case.inputs, case.state, dropout=[None, drop])
    np.testing.assert_array_equal(states, lin.trajectory.states)


@pytest.mark.parametrize("truncate", [1, 2, 4])
def test_truncated_back_propagation_cuts_every_layer(truncate):
    case = Case(MIXED)
    direct = case.rng.standard_normal((LENGTH + 1, BATCH, 12))
    adjoint = gs.backpropagate(gs.linearize(case.unrolled()), direct, truncate=truncate)
    found = autograd.grad(
        lambda params: anp.sum(direct * case.scanned(params, case.inputs, case.state, truncate=truncate))
    )(case.params)

    @autograd.primitive
    def cut(state):
        return state

    autograd.extend.defvjp(cut, None)

    def plain(params):
        def one(b):
            def go(t, x, s):
                return stack_step(case.cells, params, x, cut(s) if t and t % truncate == 0 else s, case.factors(t, b))

            return along(go, case.inputs[:, b], case.state[b])

        return anp.sum(direct * anp.stack([one(b) for b in range(BATCH)], axis=1))

    for n, gradients in enumerate(autograd.grad(plain)(case.params)):
        for name, wanted in gradients.items():
            assert scaled_error(adjoint.params[n][name], wanted) < 1e-9
            assert scaled_error(found[n][name], wanted) < 1e-9


def test_second_derivatives_go_through_a_stack():
    case = Case(MIXED[:2])
    direction = case.rng.standard_normal(case.state.shape)

    def slope(states_of):
        def loss(state):
            return anp.sum(anp.sin(states_of(state)))

        return lambda state: anp.sum(autograd.grad(loss)(state) * direction)

    wanted = autograd.grad(slope(lambda state: case.plain_states(state=state)))(case.state)
    found = autograd.grad(slope(lambda state: case.scanned(case.params, case.inputs, state)))(case.state)
    assert scaled_error(found, wanted) < 1e-9


def test_float32_stays_float32():
    case = Case(MIXED)
    params = [{name: array.astype(np.float32) for name, array in own.items()} for own in case.params]
    trajectory = case.network.unroll(params, case.inputs, case.state, between=case.between)
    lin = gs.linearize(trajectory)
    assert trajectory.states.dtype == lin.dtype == lin.norm().dtype == lin.jacobians().dtype == np.float32
    assert scaled_error(trajectory.states, case.plain_states()) < 1e-5
    adjoint = gs.backpropagate(lin, np.ones(trajectory.states.shape))
    assert adjoint.total.dtype == adjoint.inputs.dtype == np.float32


def test_a_diverging_stack_keeps_its_nan_and_inf():
    cells = (gs.RNN(1, 2, "identity"), gs.RNN(2, 2, "identity"))
    params = [{"W_x": np.ones((2, n)), "W_h": 1e200 * np.eye(2), "b": np.zeros(2)} for n in (1, 2)]
    lin = gs.linearize(gs.unroll(gs.Stack(cells), params, np.ones((6, 1, 1))))
    assert not np.isfinite(lin.trajectory.states[-1]).all()
    np.testing.assert_allclose(lin.norm("frobenius")[0], np.linalg.norm(lin.jacobians()[0] / 1e200) * 1e200)


def test_walking_back_in_log_space_is_back_propagation():
    case = Case(MIXED)
    lin = gs.linearize(case.unrolled())
    direct = case.rng.standard_normal((LENGTH + 1, BATCH, 12))
    adjoint = gs.backpropagate(lin, direct)
    back = walk(lin, scaled_steps(direct))

    def plain(entry):
        return np.ldexp(entry.mantissa, entry.exponent).T

    for name, part in adjoint.layers.items():
        total = [plain(d + c) for d, c in zip(back.directs[name], back.carried[name], strict=True)]
        assert scaled_error(total, part.total) < 1e-12
    assert scaled_error([plain(entry) for entry in back.inputs], adjoint.inputs) < 1e-12


def test_a_layer_below_hears_what_the_one_above_passed_past_the_float_range():
    """The upper layer forgets by 0.1 a step, the lower one not at all: the loss of one step reaches it in full."""
    cells = (gs.RNN(1, 1, "identity"), gs.RNN(1, 1, "identity"))
    params = [{"W_x": np.ones((1, 1)), "W_h": np.array([[w]]), "b": np.zeros(1)} for w in (0.01, 0.1)]
    lin = gs.linearize(gs.unroll(gs.Stack(cells), params, np.zeros((1000, 1, 1))))
    direct = np.zeros((1001, 1, 2))
    direct[-1, 0, 1] = 1.0
    back = walk(lin, scaled_steps(direct))
    heard = back.directs["layer1"][1]
    assert heard.exponent[0] * np.log10(2) + np.log10(heard.mantissa[0, 0]) == pytest.approx(-999.0, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gs.Stack([]), ArgumentError, "Give them from the input up"),
        (lambda: gs.Stack([gs.LSTM(1, 2), "GRU"]), ArgumentError, r"at 1\. Make it one: `gs\.LSTM"),
        (lambda: gs.Stack([gs.LSTM(1, 2), gs.GRU(3, 2)]), ShapeError, r"`cells\[1\]` .* Build it with input_size=2"),
    ],
)
def test_cells_that_do_not_fit_are_told_what_to_do(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("call", ["unroll", "scan"])
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"params": [{}]}, ArgumentError, r"each of its 3 layers, got 1\. Use `network.init\(rng\)`"),
        ({"params": {"W_x": 1}}, ArgumentError, r"got a dict of W_x\. Use `network.init\(rng\)`"),
        ({"state": np.zeros((2, 3))}, ShapeError, r"\(B=2, S=12\), got \(2, 3\)\. Put layer1\.h, layer1\.c, layer2\.h"),
        ({"between": [None]}, ShapeError, "2 in all, got 1. Put None where there is nothing to drop"),
        ({"dropout": np.ones((2, 3))}, ShapeError, "3 in all, got ndarray. Put None"),
        ({"between": [None, np.ones((2, 3))]}, ShapeError, r"`between\[1\]` must .*H\)=\(5, 2, 4\) .* Give one factor"),
        ({"inputs": np.zeros((5, 2))}, ShapeError, "Time comes first"),
    ],
)
def test_wrong_arguments_are_told_what_to_do(call, changes, error, message):
    case = Case(MIXED)
    arguments = {"params": case.params, "inputs": case.inputs, "state": case.state} | changes
    with pytest.raises(error, match=message):
        getattr(case.network, call)(**arguments)


def test_wrong_vectors_are_told_what_to_do():
    lin = gs.linearize(Case(MIXED).unrolled())
    with pytest.raises(ShapeError, match="Give one vector for each step"):
        lin.jvp(np.zeros((5, 2, 3)))
    with pytest.raises(ShapeError, match="Give one vector for each step"):
        lin.vjp(np.zeros((4, 2, 12)))
    with pytest.raises(ShapeError, match="Give dL/ds for the initial state too"):
        gs.backpropagate(lin, np.zeros((5, 2, 12)))
    with pytest.raises(ArgumentError, match="spectral, frobenius"):
        lin.norm("nuclear")
