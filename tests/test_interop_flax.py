"""Flax cells taken over: forward values, step Jacobians and gradients in float64, linen and nnx."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import gradscope as gs
from gradscope.errors import ArgumentError

jax = pytest.importorskip("jax", reason="jax is not installed: pip install 'gradscope[flax]'")
linen = pytest.importorskip("flax.linen", reason="flax is not installed: pip install 'gradscope[flax]'")
from flax import nnx  # noqa: E402

LENGTH, BATCH, INPUT, HIDDEN = 6, 3, 4, 5
LINEN = ("SimpleCell", "LSTMCell", "OptimizedLSTMCell", "GRUCell")


@pytest.fixture(autouse=True)
def wide():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def randomized(tree):
    """Return parameters of the same shapes with random numbers, biases too."""
    leaves, structure = jax.tree.flatten(tree)
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(structure, [0.5 * rng.standard_normal(leaf.shape) for leaf in leaves])


def inputs():
    return np.random.default_rng(1).standard_normal((LENGTH, BATCH, INPUT))


def as_state(carry):
    """Return Flax' carry, (c, h) for an LSTM, as our state (B, S)."""
    return jax.numpy.concatenate(carry[::-1], axis=-1) if isinstance(carry, tuple) else carry


def as_carry(name, state):
    return (state[..., HIDDEN:], state[..., :HIDDEN]) if "LSTM" in name else state


def linen_cell(name, **options):
    cell = getattr(linen, name)(HIDDEN, param_dtype=np.float64, dtype=np.float64, **options)
    x = inputs()
    carry = cell.initialize_carry(jax.random.PRNGKey(0), x[0].shape)
    return cell, randomized(cell.init(jax.random.PRNGKey(0), carry, x[0]))


@pytest.mark.parametrize("name", LINEN)
def test_a_linen_cell_gives_its_values_jacobians_and_gradients(name):
    module, variables = linen_cell(name)
    cell, params = gs.from_flax(module, variables)
    trajectory = gs.unroll(cell, params, inputs())

    def states(variables):
        rows = [jax.numpy.zeros((BATCH, cell.state_size))]
        for x in inputs():
            rows.append(as_state(module.apply(variables, as_carry(name, rows[-1]), x)[0]))
        return jax.numpy.stack(rows)

    np.testing.assert_allclose(trajectory.states, states(variables), atol=1e-10)
    weights = np.random.default_rng(2).standard_normal(trajectory.states.shape)
    wanted = jax.grad(lambda variables: (weights * states(variables)).sum())(variables)
    found = autograd.grad(lambda params: anp.sum(weights * gs.scan(cell, params, inputs())))(params)
    theirs = gs.from_flax(module, jax.tree.map(np.asarray, wanted))[1]
    for key in ("W_x", "W_h", "b"):
        if key == "b" and "LSTM" in name:  # Flax keeps the bias beside the recurrent kernel
            np.testing.assert_allclose(found["b_h"], theirs["b_h"], atol=1e-10)
        else:
            np.testing.assert_allclose(found[key], theirs[key], atol=1e-10)

    def step(state):
        return as_state(module.apply(variables, as_carry(name, state), inputs()[2, 1])[0])

    jacobian = jax.jacobian(step)(np.array(trajectory.states[2, 1]))
    np.testing.assert_allclose(gs.linearize(trajectory).jacobians()[2, 1], jacobian, atol=1e-10)


@pytest.mark.parametrize("name", LINEN)
def test_an_nnx_cell_gives_its_values(name):
    module = getattr(nnx, name)(INPUT, HIDDEN, rngs=nnx.Rngs(0), param_dtype=np.float64, dtype=np.float64)
    nnx.update(module, randomized(nnx.state(module, nnx.Param)))
    cell, params = gs.from_flax(module)
    carry = as_carry(name, jax.numpy.zeros((BATCH, cell.state_size)))
    trajectory = gs.unroll(cell, params, inputs())
    for t, x in enumerate(inputs()):
        carry, _ = module(carry, x)
        np.testing.assert_allclose(trajectory.states[t + 1], as_state(carry), atol=1e-10)


def test_an_rnn_around_a_cell_and_saved_parameters_give_the_same(tmp_path):
    module = linen.RNN(linen.LSTMCell(HIDDEN, param_dtype=np.float64))
    variables = randomized(module.init(jax.random.PRNGKey(0), inputs().transpose(1, 0, 2)))
    cell, params = gs.from_flax(module, variables)
    wanted = module.apply(variables, inputs().transpose(1, 0, 2)).transpose(1, 0, 2)
    np.testing.assert_allclose(gs.unroll(cell, params, inputs()).hidden, wanted, atol=1e-10)
    path = tmp_path / "params.npz"
    np.savez(path, **{"/".join(k.key for k in keys): leaf for keys, leaf in jax.tree.leaves_with_path(variables)})
    again, same = gs.load_weights(path)
    assert again == cell
    for key in params:
        np.testing.assert_array_equal(same[key], params[key])


@pytest.mark.parametrize("name", LINEN)
def test_both_directions_and_layers_above_one_another(name):
    def rnn():
        return linen.RNN(getattr(linen, name)(HIDDEN, param_dtype=np.float64, dtype=np.float64))

    both, top = linen.Bidirectional(rnn(), rnn()), rnn()
    x = inputs().transpose(1, 0, 2)
    lower = randomized(both.init(jax.random.PRNGKey(0), x))
    middle = both.apply(lower, x)
    upper = randomized(top.init(jax.random.PRNGKey(1), middle))
    cell, params = gs.from_flax([both, top], [lower, upper])
    found = gs.unroll(cell, params, inputs()).hidden
    np.testing.assert_allclose(found, top.apply(upper, middle).transpose(1, 0, 2), atol=1e-10)
    with pytest.raises(ArgumentError, match="side by side"):
        gs.from_flax(linen.Bidirectional(rnn(), rnn(), merge_fn=lambda a, b: a + b), lower)


def test_both_directions_of_nnx():
    def rnn(seed):
        return nnx.RNN(nnx.GRUCell(INPUT, HIDDEN, rngs=nnx.Rngs(seed), param_dtype=np.float64, dtype=np.float64))

    module = nnx.Bidirectional(rnn(0), rnn(1), rngs=nnx.Rngs(2))
    cell, params = gs.from_flax(module)
    assert isinstance(cell, gs.Bidirectional)
    one, its = gs.from_flax(module.backward_rnn)
    assert one == cell.cell
    np.testing.assert_array_equal(params["backward"]["W_h"], its["W_h"])


def test_the_activation_is_known_by_what_it_does():
    module, variables = linen_cell("LSTMCell", activation_fn=linen.soft_sign)
    assert gs.from_flax(module, variables)[0].activation == "softsign"


def test_what_cannot_be_taken_over_is_refused_with_the_way_out():
    module, variables = linen_cell("LSTMCell")
    with pytest.raises(ArgumentError, match=r"gs.from_flax\(cell, variables\)"):
        gs.from_flax(module)
    for stranger in (3, {}, linen.Dense(2)):
        with pytest.raises(ArgumentError, match=r"SimpleCell, LSTMCell.*gs.load_weights\(path\)"):
            gs.from_flax(stranger)
    with pytest.raises(ArgumentError, match=r"got none\. Give at least one"):
        gs.from_flax([], variables)
    soft = linen.LSTMCell(HIDDEN, activation_fn=linen.soft_sign)
    with pytest.raises(ArgumentError, match=r"`cell` must have one activation throughout, got tanh, soft.*one by one"):
        gs.from_flax([module, soft], variables)
    with pytest.raises(ArgumentError, match="Wrap another one"):
        gs.from_flax(linen.LSTMCell(HIDDEN, activation_fn=linen.gelu), variables)
    with pytest.raises(ArgumentError, match=r"sigmoids.*gs.StepCell"):
        gs.from_flax(linen.LSTMCell(HIDDEN, gate_fn=linen.hard_sigmoid), variables)
    simple, its = linen_cell("SimpleCell")
    with pytest.raises(ArgumentError, match="no residual"):
        gs.from_flax(linen.SimpleCell(HIDDEN, residual=True), its)
    del simple
    mgu, of_mgu = linen_cell("MGUCell")
    with pytest.raises(ArgumentError, match="MGU"):
        gs.from_flax(mgu, of_mgu)
