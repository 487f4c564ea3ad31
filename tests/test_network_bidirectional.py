"""Both directions: against two runs by hand, sequence by sequence."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_networks import KINDS, along, cell_step, random_params
from plain_routes import scaled_error

import gradscope as gs
from gradscope.errors import ArgumentError, ShapeError
from gradscope.network.walk import scaled_steps, walk

LENGTH, BATCH = 6, 3
VALID = np.array([[1, 1, 0], [1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 0, 0]], bool)
RESET = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]], bool)


class Case:
    def __init__(self, cell, seed=0):
        rng = self.rng = np.random.default_rng(seed)
        self.cell, self.network = cell, gs.Bidirectional(cell)
        self.params = {name: random_params(cell, rng) for name in ("forward", "backward")}
        self.inputs = rng.standard_normal((LENGTH, BATCH, cell.input_size))
        self.state = 0.5 * rng.standard_normal((BATCH, self.network.state_size))

    def plain_hidden(self, params, inputs, state, valid=None, reset=None):
        """(T, B, 2H) by two runs of each document of each sequence by itself; 0 at padded steps."""
        size, width = self.cell.state_size, self.cell.hidden_size
        sequences = []
        for b in range(BATCH):
            steps = [t for t in range(LENGTH) if valid is None or valid[t, b]]
            cuts = [n for n, t in enumerate(steps) if reset is not None and reset[t, b]]
            rows = {}
            for name, order in (("forward", 1), ("backward", -1)):
                documents = np.split(np.array(steps, int), cuts)
                start = state[b, :size] if order == 1 else state[b, size:]
                first = 0 if order == 1 else len(documents) - 1
                for n, document in enumerate(documents):
                    begin = start if n == first else 0.0 * start
                    if order == 1 and n == 0 and not len(document):
                        continue
                    read = [inputs[t, b] for t in document[::order]]
                    trail = along(lambda t, x, s, name=name: cell_step(self.cell, params[name], x, s), read, begin)
                    rows |= {(name, t): trail[k + 1][:width] for k, t in enumerate(document[::order])}
            nothing = anp.zeros(width)
            sequences.append(
                [
                    anp.concatenate([rows.get((name, t), nothing) for name in ("forward", "backward")])
                    for t in range(LENGTH)
                ]
            )
        return anp.stack([anp.stack([sequences[b][t] for b in range(BATCH)]) for t in range(LENGTH)])


@settings(max_examples=15)
@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 2**16),
    st.booleans(),
    st.booleans(),
)
def test_both_directions_are_two_runs_by_hand(kind, width, size, seed, padded, cut):
    case = Case(KINDS[kind](width, size), seed)
    masks = {"valid": VALID if padded else None, "reset": RESET & VALID if cut else None}
    counts = VALID if padded else np.ones_like(VALID)
    trajectory = gs.unroll(case.network, case.params, case.inputs, case.state, **masks)
    place = (case.params, case.inputs, case.state)
    weights = case.rng.standard_normal((LENGTH, BATCH, 2 * size)) * counts[:, :, None]
    plain = case.plain_hidden(*place, **masks)
    assert scaled_error(trajectory.hidden * counts[:, :, None], plain) < 1e-12
    states = gs.scan(case.network, *place, **masks)
    np.testing.assert_array_equal(states, trajectory.states)

    def loss(hidden):
        return anp.sum(weights * anp.sin(hidden))

    def scanned(args):
        states = gs.scan(case.network, *args, **masks)
        parts = [states[1:, :, at] for at in case.network.hidden_slices]
        return loss(anp.concatenate(parts, axis=2))

    wanted = autograd.grad(lambda args: loss(case.plain_hidden(*args, **masks)))(place)
    found = autograd.grad(scanned)(place)
    direct = np.zeros(trajectory.states.shape)
    inner = weights * np.cos(trajectory.hidden)
    for n, at in enumerate(case.network.hidden_slices):
        direct[1:, :, at] = inner[:, :, n * size : (n + 1) * size]
    adjoint = gs.backpropagate(gs.linearize(trajectory), direct)
    for name, gradients in wanted[0].items():
        for parameter, gradient in gradients.items():
            assert scaled_error(found[0][name][parameter], gradient) < 1e-9
            assert scaled_error(adjoint.params[name][parameter], gradient) < 1e-9
    assert scaled_error(found[1], wanted[1]) < 1e-9
    assert scaled_error(adjoint.inputs, wanted[1]) < 1e-9
    assert scaled_error(found[2], wanted[2]) < 1e-9
    assert scaled_error(adjoint.total[0], wanted[2]) < 1e-9


def test_each_direction_has_its_own_linearization_in_its_own_time():
    case = Case(gs.LSTM(2, 3))
    trajectory = gs.unroll(case.network, case.params, case.inputs, case.state, valid=VALID)
    lin = gs.linearize(trajectory)
    alone = gs.unroll(case.cell, case.params["backward"], case.inputs[::-1], case.state[:, 6:], valid=VALID[::-1])
    np.testing.assert_array_equal(lin.layers["backward"].jacobians(), gs.linearize(alone).jacobians())
    np.testing.assert_array_equal(trajectory.layers["backward"].states, alone.states)
    np.testing.assert_array_equal(trajectory.last[:, 6:], trajectory.states[1, :, 6:])
    np.testing.assert_array_equal(trajectory.last[:, :6], trajectory.states[-1, :, :6])
    np.testing.assert_array_equal(trajectory.valid, VALID)
    assert trajectory.reset is None
    np.testing.assert_array_equal(trajectory.inputs[:, 0], case.inputs[:, 0])
    assert repr(lin) == "<Linearization of Trajectory of Bidirectional LSTM: T=6, B=3, S=12, float64>"
    assert (lin.length, lin.batch, lin.state_size, lin.dtype) == (LENGTH, BATCH, 12, np.float64)
    assert case.network.blocks[2] == "backward.h"
    assert case.network.describe() == {"cell": "Bidirectional", "layers": [case.cell.describe()]}


def test_the_backward_direction_starts_at_each_sequences_own_last_step():
    """Whatever stands in the padding, nothing of it is heard; the third sequence ends at step 4 with a hole at 3."""
    case = Case(gs.GRU(2, 3))
    first = gs.unroll(case.network, case.params, case.inputs, case.state, valid=VALID)
    noise = np.where(VALID[:, :, None], case.inputs, np.nan)
    second = gs.unroll(case.network, case.params, noise, case.state, valid=VALID)
    np.testing.assert_array_equal(first.states, second.states)
    np.testing.assert_allclose(
        first.states[5, 2, 3:],
        cell_step(case.cell, case.params["backward"], case.inputs[4, 2], case.state[2, 3:]),
        rtol=1e-12,
    )


@pytest.mark.parametrize("shape", [(LENGTH, BATCH, 6), (BATCH, 6)])
def test_each_directions_own_dropout_goes_by_the_input_it_reads(shape):
    case = Case(gs.RNN(2, 3, "identity"))
    factors = case.rng.uniform(0, 2, shape)
    trajectory = gs.unroll(case.network, case.params, case.inputs, case.state, dropout=factors)
    full = np.broadcast_to(factors, (LENGTH, BATCH, 6))
    matrices = gs.linearize(trajectory).layers["backward"].jacobians()
    np.testing.assert_allclose(matrices, case.params["backward"]["W_h"] * full[::-1, :, None, 3:], rtol=1e-12)
    states = gs.scan(case.network, case.params, case.inputs, case.state, dropout=factors)
    np.testing.assert_array_equal(states, trajectory.states)


def stacked():
    case = Case(gs.LSTM(2, 3))
    network = gs.Stack([gs.Bidirectional(gs.LSTM(2, 3)), gs.Bidirectional(gs.GRU(6, 2)), gs.RNN(4, 3)])
    params = network.init(case.rng)
    for layer in params[:2]:
        layer["forward"]["b_h"] = case.rng.standard_normal(len(layer["forward"]["b"]))
    return case, network, params, 0.5 * case.rng.standard_normal((BATCH, network.state_size))


def test_a_stack_of_both_directions_is_its_layers_composed():
    case, network, params, state = stacked()
    between = [case.rng.uniform(0, 2, (BATCH, 6)), case.rng.uniform(0, 2, (LENGTH, BATCH, 4))]
    masks = {"valid": VALID, "reset": RESET}
    trajectory = network.unroll(params, case.inputs, state, between=between, **masks)
    assert list(trajectory.layers) == [
        "layer1.forward", "layer1.backward", "layer2.forward", "layer2.backward", "layer3",
    ]  # fmt: skip

    def composed(params, inputs, state):
        x, states = inputs, []
        for n, (layer, place) in enumerate(zip(network.cells, network.places, strict=True)):
            states.append(gs.scan(layer, params[n], x, state[:, place], **masks))
            slices = getattr(layer, "hidden_slices", [slice(0, layer.hidden_size)])
            x = anp.concatenate([states[-1][1:, :, at] for at in slices], axis=2)
            if n < 2:
                x = x * between[n]
        return anp.concatenate(states, axis=2)

    place = (params, case.inputs, state)
    np.testing.assert_array_equal(trajectory.states, composed(*place))
    direct = case.rng.standard_normal(trajectory.states.shape)
    wanted = autograd.grad(lambda args: anp.sum(direct * composed(*args)))(place)
    lin = gs.linearize(trajectory)
    adjoint = gs.backpropagate(lin, direct)
    assert scaled_error(adjoint.inputs, wanted[1]) < 1e-10
    assert scaled_error(adjoint.total[0], wanted[2]) < 1e-10
    for name in ("forward", "backward"):
        for parameter, gradient in wanted[0][0][name].items():
            assert scaled_error(adjoint.params[0][name][parameter], gradient) < 1e-10
    assert scaled_error(adjoint.params[2]["W_h"], wanted[0][2]["W_h"]) < 1e-10
    back = walk(lin, scaled_steps(direct))
    for name, part in adjoint.layers.items():
        total = [d + c for d, c in zip(back.directs[name], back.carried[name], strict=True)]
        assert scaled_error([np.ldexp(e.mantissa, e.exponent).T for e in total], part.total) < 1e-12


def test_what_needs_one_order_of_steps_is_refused_with_the_way_out():
    case, network, params, state = stacked()
    lin = gs.linearize(gs.unroll(network, params, case.inputs, state))
    assert not lin.forward
    for ask in (
        lin.jacobians, lin.norm, lin.input_jacobians, lambda: lin.push_at(0, np.zeros((network.state_size, BATCH, 1))),
        lambda: lin.pull_at(0, np.zeros((network.state_size, BATCH, 1))),
        lambda: lin.jvp(np.zeros((LENGTH, BATCH, network.state_size))),
        lambda: lin.vjp(np.zeros((LENGTH, BATCH, network.state_size))),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=r"Take the parts in `.layers`: layer1\.forward, layer1\.backward"):
            ask()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"params": {"forward": {}}}, ArgumentError, r"got a dict of forward\. Use `network.init\(rng\)` to draw both"),
        ({"params": [1]}, ArgumentError, r"got list\. Use `network.init\(rng\)` to draw both"),
        ({"state": np.zeros((3, 3))}, ShapeError, r"got \(3, 3\)\. Put forward\.h, backward\.h side by side"),
        ({"dropout": np.ones((3, 3))}, ShapeError, "Put those of the forward direction first"),
        ({"inputs": np.zeros((5, 2))}, ShapeError, "Time comes first"),
    ],
)
@pytest.mark.parametrize("call", ["unroll", "scan"])
def test_wrong_arguments_are_told_what_to_do(call, changes, error, message):
    case = Case(gs.GRU(2, 3))
    arguments = {"params": case.params, "inputs": case.inputs, "state": case.state} | changes
    with pytest.raises(error, match=message):
        getattr(case.network, call)(**arguments)


def test_what_is_no_cell_and_a_wrong_direct_gradient_are_told_what_to_do():
    with pytest.raises(ArgumentError, match="put one Bidirectional for each into a Stack"):
        gs.Bidirectional(gs.Stack([gs.GRU(1, 2)]))
    case = Case(gs.GRU(2, 3))
    lin = gs.linearize(gs.unroll(case.network, case.params, case.inputs))
    with pytest.raises(ShapeError, match="Give dL/ds for the initial state too"):
        gs.backpropagate(lin, np.zeros((LENGTH, BATCH, 6)))


@pytest.mark.parametrize("truncate", [2, 4])
def test_truncation_cuts_each_direction_in_its_own_time(truncate):
    case = Case(gs.LSTM(2, 3))
    trajectory = gs.unroll(case.network, case.params, case.inputs, case.state)
    direct = case.rng.standard_normal(trajectory.states.shape)
    lin = gs.linearize(trajectory)
    found = gs.backpropagate(lin, direct, truncate=truncate)
    own = np.concatenate([direct[:1, :, 6:], direct[:0:-1, :, 6:]])
    backward = gs.backpropagate(lin.layers["backward"], own, truncate=truncate)
    np.testing.assert_allclose(found.params["backward"]["W_h"], backward.params["W_h"], rtol=1e-12)
    scanned = autograd.grad(
        lambda params: anp.sum(direct * gs.scan(case.network, params, case.inputs, case.state, truncate=truncate))
    )(case.params)
    np.testing.assert_allclose(scanned["forward"]["W_h"], found.params["forward"]["W_h"], rtol=1e-10)
    full = gs.backpropagate(lin, direct)
    assert np.abs(full.params["backward"]["W_h"] - found.params["backward"]["W_h"]).max() > 1e-3
