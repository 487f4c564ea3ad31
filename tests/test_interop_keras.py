"""Keras layers taken over: forward values and gradients in float64, from memory and from files."""

from __future__ import annotations

import os

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import gradscope as gs
from gradscope.errors import ArgumentError

jax = pytest.importorskip("jax", reason="Keras runs on JAX here, and jax is not installed")
os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="keras is not installed: pip install 'gradscope[keras]'")
if keras.backend.backend() != "jax":
    pytest.skip("KERAS_BACKEND names another backend than jax, whose float64 is none", allow_module_level=True)

LENGTH, BATCH, INPUT, HIDDEN = 6, 3, 4, 5
LAYERS = {
    "SimpleRNN": lambda **o: keras.layers.SimpleRNN(HIDDEN, dtype="float64", return_sequences=True, **o),
    "LSTM": lambda **o: keras.layers.LSTM(HIDDEN, dtype="float64", return_sequences=True, **o),
    "GRU-after": lambda **o: keras.layers.GRU(HIDDEN, dtype="float64", return_sequences=True, **o),
    "GRU-before": lambda **o: keras.layers.GRU(HIDDEN, dtype="float64", return_sequences=True, reset_after=False, **o),
}


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Let Keras compute in float64: on every backend but TensorFlow it falls back to float32 behind one's back."""
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    before = keras.config.floatx(), jax.config.jax_enable_x64
    keras.config.set_floatx("float64")
    jax.config.update("jax_enable_x64", True)
    yield
    keras.config.set_floatx(before[0])
    jax.config.update("jax_enable_x64", before[1])


EVERY = pytest.mark.parametrize("kind", list(LAYERS))


def built(kind, **options):
    """Return a layer with random weights, biases too, and inputs."""
    keras.utils.set_random_seed(0)
    layer = LAYERS[kind](bias_initializer="random_normal", **options)
    inputs = np.random.default_rng(0).standard_normal((LENGTH, BATCH, INPUT))
    layer(inputs.transpose(1, 0, 2))
    return layer, inputs


def outputs(layer, inputs):
    return keras.ops.convert_to_numpy(layer(inputs.transpose(1, 0, 2))).transpose(1, 0, 2)


@EVERY
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_gives_keras_values(kind, bias):
    layer, inputs = built(kind, use_bias=bias)
    cell, params = gs.from_keras(layer)
    np.testing.assert_allclose(gs.unroll(cell, params, inputs).hidden, outputs(layer, inputs), atol=1e-10)


@EVERY
def test_gradients_are_those_of_keras(kind):
    layer, inputs = built(kind)
    weights = np.random.default_rng(1).standard_normal((LENGTH, BATCH, HIDDEN))
    rest = [variable.value for variable in layer.non_trainable_variables]

    def theirs(variables, x):
        return (layer.stateless_call(variables, rest, x)[0] * weights.transpose(1, 0, 2)).sum()

    variables = [variable.value for variable in layer.trainable_variables]
    by_kernel, by_x = jax.grad(theirs, (0, 1))(variables, inputs.transpose(1, 0, 2))
    cell, params = gs.from_keras(layer)

    def loss(params, inputs):
        return anp.sum(gs.scan(cell, params, inputs)[1:, :, :HIDDEN] * weights)

    found, by_inputs = autograd.grad(loss, (0, 1))(params, inputs)
    np.testing.assert_allclose(by_inputs, np.asarray(by_x).transpose(1, 0, 2), atol=1e-10)
    recurrent = np.asarray(by_kernel[1]).T
    if kind.startswith("GRU"):  # Keras: z, r, h
        recurrent = recurrent.reshape(3, HIDDEN, HIDDEN)[[1, 0, 2]].reshape(-1, HIDDEN)
    np.testing.assert_allclose(found["W_h"], recurrent, atol=1e-10)


@EVERY
def test_step_jacobians_are_those_of_the_keras_cell(kind):
    layer, inputs = built(kind)
    cell, params = gs.from_keras(layer)
    trajectory = gs.unroll(cell, params, inputs)
    matrices = gs.linearize(trajectory).jacobians()
    for t, b in ((0, 0), (LENGTH - 1, BATCH - 1)):

        def step(state, x=inputs[t, b]):
            parts = [part[None] for part in jax.numpy.split(state, len(cell.blocks))]
            return jax.numpy.concatenate([part[0] for part in layer.cell(jax.numpy.array(x)[None], parts)[1]])

        wanted = jax.jacobian(step)(jax.numpy.array(trajectory.states[t, b]))
        np.testing.assert_allclose(matrices[t, b], wanted, atol=1e-10)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU-after"])
def test_both_directions_and_layers_above_one_another(kind):
    keras.utils.set_random_seed(0)
    both = keras.layers.Bidirectional(LAYERS[kind](), dtype="float64")
    top = LAYERS[kind]()
    inputs = np.random.default_rng(0).standard_normal((LENGTH, BATCH, INPUT))
    middle = both(inputs.transpose(1, 0, 2))
    wanted = keras.ops.convert_to_numpy(top(middle)).transpose(1, 0, 2)
    cell, params = gs.from_keras([both, top])
    np.testing.assert_allclose(gs.unroll(cell, params, inputs).hidden, wanted, atol=1e-10)


@pytest.mark.parametrize("activation", ["softsign", "relu", "linear", "hard_sigmoid", "sigmoid"])
def test_the_activation_is_taken_over(activation):
    layer, inputs = built("LSTM", activation=activation)
    cell, params = gs.from_keras(layer)
    np.testing.assert_allclose(gs.unroll(cell, params, inputs).hidden, outputs(layer, inputs), atol=1e-10)


@pytest.mark.parametrize("suffix", ["weights.h5", "h5", "keras"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # Keras' own
def test_saved_models_give_the_same_cell(suffix, tmp_path):
    pytest.importorskip("h5py", reason="h5py is not installed: pip install 'gradscope[weights]'")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((LENGTH, INPUT), dtype="float64"),
            keras.layers.GRU(3, return_sequences=True, dtype="float64"),
            keras.layers.Bidirectional(keras.layers.LSTM(2, dtype="float64"), dtype="float64", name="both"),
            keras.layers.Dense(1, dtype="float64"),
        ]
    )
    path = tmp_path / f"model.{suffix}"
    if suffix == "weights.h5":
        model.save_weights(path)
    else:
        model.save(path)
    with pytest.raises(ArgumentError, match="holds 2 recurrent modules") as told:
        gs.load_weights(path)
    names = [word.strip("'") for word in str(told.value).split() if word.startswith("'")]
    for layer, found in (
        (model.layers[0], next(n for n in names if "gru" in n)),
        (model.layers[1], next(n for n in names if "both" in n or "bidirectional" in n)),
    ):
        cell, params = gs.load_weights(path, name=found)
        wanted_cell, wanted = gs.from_keras(layer)
        assert cell == wanted_cell
        pairs = zip(params.values(), wanted.values(), strict=True) if "forward" in params else [(params, wanted)]
        for mine, its in pairs:
            for name in its:
                np.testing.assert_array_equal(mine[name], its[name])


def test_what_cannot_be_taken_over_is_refused_with_the_way_out():
    with pytest.raises(ArgumentError, match="Call it on its input once"):
        gs.from_keras(keras.layers.LSTM(3))
    with pytest.raises(ArgumentError, match="Call it on its input once"):
        gs.from_keras(keras.layers.Dense(3))
    with pytest.raises(ArgumentError, match="Flip its input"):
        gs.from_keras(built("LSTM", go_backwards=True)[0])
    with pytest.raises(ArgumentError, match=r"sigmoids, got 'hard_sigmoid'.*gs.StepCell"):
        gs.from_keras(built("LSTM", recurrent_activation="hard_sigmoid")[0])
    with pytest.raises(ArgumentError, match="Wrap another one"):
        gs.from_keras(built("LSTM", activation="gelu")[0])
    with pytest.raises(ArgumentError, match=r"got none\. Give at least one"):
        gs.from_keras([])
    with pytest.raises(ArgumentError, match=r"`layer` must have one activation throughout, got tanh, relu.*one by one"):
        gs.from_keras([built("LSTM")[0], built("LSTM", activation="relu")[0]])
    both = keras.layers.Bidirectional(keras.layers.LSTM(2), merge_mode="sum")
    with pytest.raises(ArgumentError, match="'concat'"):
        gs.from_keras(both)


def test_a_whole_model_is_refused_with_the_way_to_its_layers():
    model = keras.Sequential([keras.Input((5, 2)), keras.layers.LSTM(3), keras.layers.Dense(1)])
    with pytest.raises(ArgumentError, match=r"Give the recurrent ones of its layers"):
        gs.from_keras(model)
    with pytest.raises(ArgumentError, match=r"gs\.StepCell"):
        gs.from_keras(model.layers[1])
