"""Torch modules taken over: forward values and every gradient, in float64, from memory and from files."""

from __future__ import annotations

import warnings

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import gradscope as gs
from gradscope.errors import ArgumentError, ShapeError

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'gradscope[torch]'")
pytestmark = pytest.mark.usefixtures("torch_alone")

from torch.nn.utils import parametrizations, prune  # noqa: E402

LENGTH, BATCH, INPUT, HIDDEN = 6, 3, 4, 5
MODULES = {
    "RNN": lambda **o: torch.nn.RNN(INPUT, HIDDEN, **o),
    "RNN-relu": lambda **o: torch.nn.RNN(INPUT, HIDDEN, nonlinearity="relu", **o),
    "LSTM": lambda **o: torch.nn.LSTM(INPUT, HIDDEN, **o),
    "GRU": lambda **o: torch.nn.GRU(INPUT, HIDDEN, **o),
}
EVERY = pytest.mark.parametrize("kind", list(MODULES))


def hidden_of(cell, states):
    """Return what torch calls the output, (T, B, H or 2H), from the states (T+1, B, S)."""
    places = [slice(0, cell.hidden_size)] if isinstance(cell, gs.Cell) else cell.hidden_slices
    return [states[1:, :, place] for place in places]


@EVERY
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_module_of_any_depth_gives_torchs_values_and_gradients(kind, layers, bias):
    module = MODULES[kind](num_layers=layers, bias=bias).double()
    inputs = torch.randn(LENGTH, BATCH, INPUT, dtype=torch.float64)
    weights = torch.randn(LENGTH, BATCH, HIDDEN, dtype=torch.float64)
    output = module(inputs)[0]
    (output * weights).sum().backward()
    cell, params = gs.from_torch(module)
    trajectory = gs.unroll(cell, params, inputs.numpy())
    np.testing.assert_allclose(trajectory.hidden, output.detach().numpy(), atol=1e-12)

    def loss(params):
        return anp.sum(hidden_of(cell, gs.scan(cell, params, inputs.numpy()))[0] * weights.numpy())

    found = autograd.grad(loss)(params)
    for level in range(layers):
        mine = found if layers == 1 else found[level]
        names = {"W_x": "weight_ih", "W_h": "weight_hh"} | ({"b": "bias_ih", "b_h": "bias_hh"} if bias else {})
        for ours, theirs in names.items():
            np.testing.assert_allclose(
                mine[ours], getattr(module, f"{theirs}_l{level}").grad.numpy(), atol=1e-10, err_msg=ours
            )


@EVERY
def test_both_directions_are_taken_over(kind):
    module = MODULES[kind](num_layers=2, bidirectional=True).double()
    inputs = torch.randn(LENGTH, BATCH, INPUT, dtype=torch.float64)
    cell, params = gs.from_torch(module)
    trajectory = gs.unroll(cell, params, inputs.numpy())
    np.testing.assert_allclose(trajectory.hidden, module(inputs)[0].detach().numpy(), atol=1e-12)
    one, its = gs.from_torch(MODULES[kind](bidirectional=True).double())
    assert isinstance(one, gs.Bidirectional)
    assert set(its) == {"forward", "backward"}


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_a_single_cell_is_taken_over(name):
    module = getattr(torch.nn, name)(INPUT, HIDDEN).double()
    cell, params = gs.from_torch(module)
    x = torch.randn(BATCH, INPUT, dtype=torch.float64)
    after = module(x)
    wanted = torch.cat(after, dim=1) if isinstance(after, tuple) else after
    np.testing.assert_allclose(gs.unroll(cell, params, x.numpy()[None]).states[1], wanted.detach().numpy(), atol=1e-12)


def test_the_parameters_are_copies_in_the_modules_dtype():
    module = torch.nn.LSTM(INPUT, HIDDEN)
    _, params = gs.from_torch(module)
    assert {array.dtype for array in params.values()} == {np.dtype(np.float32)}
    before = params["W_h"].copy()
    with torch.no_grad():
        module.weight_hh_l0.zero_()
    np.testing.assert_array_equal(params["W_h"], before)
    assert gs.from_torch(torch.nn.GRU(2, 3).bfloat16())[1]["W_x"].dtype == np.float32


def test_the_forget_bias_is_the_whole_one_that_torch_splits_in_two():
    module = torch.nn.LSTM(INPUT, HIDDEN)
    with torch.no_grad():
        module.bias_ih_l0[HIDDEN : 2 * HIDDEN] = 1.5
        module.bias_hh_l0[HIDDEN : 2 * HIDDEN] = 0.5
    assert gs.from_torch(module)[0].forget_bias == 2.0


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(10, INPUT)
        self.encoder = torch.nn.ModuleDict({"lstm": torch.nn.LSTM(INPUT, HIDDEN, num_layers=2)})
        self.decoder = torch.nn.GRU(INPUT, HIDDEN)
        self.head = torch.nn.Linear(HIDDEN, 10)


def test_a_module_inside_a_model_is_chosen_by_name():
    model = Model()
    with pytest.raises(ArgumentError, match=r"'encoder.lstm' \(LSTM, 5 units, 2 layers\).*name='encoder.lstm'"):
        gs.from_torch(model)
    cell, _ = gs.from_torch(model, name="encoder.lstm")
    assert [type(layer) for layer in cell.cells] == [gs.LSTM, gs.LSTM]
    assert type(gs.from_torch(model, "decoder")[0]) is gs.GRU
    with pytest.raises(ArgumentError, match="Did you mean 'decoder'"):
        gs.from_torch(model, name="decode")


def test_a_part_of_a_name_is_enough_where_it_means_one_module():
    model = Model()
    assert (
        gs.from_torch(model, "lstm")[0] == gs.from_torch(model, "encoder")[0] == gs.from_torch(model, "encoder.lstm")[0]
    )
    model.decoder = torch.nn.ModuleDict({"lstm": torch.nn.LSTM(INPUT, 3)})
    with pytest.raises(ArgumentError, match=r"'encoder.lstm' \(LSTM, 5 units.*'decoder.lstm'.*`name='encoder.lstm'`"):
        gs.from_torch(model, "lstm")
    assert gs.from_torch(model, "decoder")[0].hidden_size == 3
    with pytest.raises(ArgumentError, match="must be one of"):
        gs.from_torch(model, "stm")


def pruned(module, name):
    return prune.l1_unstructured(module, name, 0.4)


def newly(module, name):
    return parametrizations.weight_norm(module, name)


def newly_by_columns(module, name):
    return parametrizations.weight_norm(module, name, dim=1)


def spectral(module, name):
    return parametrizations.spectral_norm(module, name)


def in_the_old_way(module, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.nn.utils.weight_norm(module, name)


def as_a_whole(module, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.nn.utils.weight_norm(module, name, dim=None)


def spectral_in_the_old_way(module, name):
    return torch.nn.utils.spectral_norm(module, name)


EFFECTIVE = [newly, newly_by_columns, in_the_old_way, as_a_whole, pruned, spectral, spectral_in_the_old_way]


@pytest.mark.parametrize("wrap", EFFECTIVE)
@pytest.mark.parametrize("inside", [False, True])
def test_weights_that_are_made_anew_for_each_use_are_the_effective_ones(wrap, inside, tmp_path):
    module = torch.nn.LSTM(INPUT, HIDDEN).double()
    wrap(module, "weight_hh_l0")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(torch.rand_like(parameter) + 0.5)  # as training would leave it
    module.eval()
    inputs = torch.randn(LENGTH, BATCH, INPUT, dtype=torch.float64)
    output = module(inputs)[0].detach().numpy()
    model = torch.nn.ModuleDict({"core": module}) if inside else module
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cell, params = gs.from_torch(model)
    np.testing.assert_allclose(gs.unroll(cell, params, inputs.numpy()).hidden, output, atol=1e-12)
    module.train()
    gs.from_torch(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    np.savez(tmp_path / "model.npz", **{name: value.numpy() for name, value in before.items()})
    if wrap is spectral:
        with pytest.raises(ArgumentError, match=r"as the module computes with them.*remove_parametrizations"):
            gs.load_weights(tmp_path / "model.npz")
    elif wrap is not spectral_in_the_old_way:
        cell, params = gs.load_weights(tmp_path / "model.npz")
        np.testing.assert_allclose(gs.unroll(cell, params, inputs.numpy()).hidden, output, atol=1e-12)


def test_what_cannot_be_taken_over_is_refused_with_the_way_out():
    with pytest.raises(ArgumentError, match=r"no projection.*gs.torch.probe"):
        gs.from_torch(torch.nn.LSTM(INPUT, HIDDEN, proj_size=2))
    with pytest.raises(ArgumentError, match=r"none was recognised.*W_x"):
        gs.from_torch(torch.nn.Linear(2, 2))
    with pytest.raises(ArgumentError, match=r"`name` must be left out, got 'lstm': the only .* has no name"):
        gs.from_torch(torch.nn.LSTM(INPUT, HIDDEN), name="lstm")
    with pytest.raises(ArgumentError, match=r"got the class LSTM\. Build one first"):
        gs.from_torch(torch.nn.LSTM)
    with pytest.raises(ArgumentError, match=r"gs.load_weights\(path\)"):
        gs.from_torch("model.pt")


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_a_saved_state_dict_gives_the_same_cell(suffix, tmp_path):
    model, path = Model().double(), tmp_path / f"model.{suffix}"
    if suffix == "npz":
        np.savez(path, **{name: value.numpy() for name, value in model.state_dict().items()})
    else:
        save = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
        save.save_file(model.state_dict(), path)
    cell, params = gs.load_weights(path, name="encoder.lstm")
    wanted_cell, wanted = gs.from_torch(model, "encoder.lstm")
    assert cell == wanted_cell
    for mine, its in zip(params, wanted, strict=True):
        for name in its:
            np.testing.assert_array_equal(mine[name], its[name])


def test_a_tensor_will_do_for_inputs_and_one_that_cannot_is_told_what_to_do():
    cell = gs.LSTM(INPUT, HIDDEN)
    params, inputs = cell.init(np.random.default_rng(0)), torch.ones(LENGTH, BATCH, INPUT, dtype=torch.float64)
    np.testing.assert_array_equal(
        gs.unroll(cell, params, inputs).states, gs.unroll(cell, params, inputs.numpy()).states
    )
    for tensor in (inputs.clone().requires_grad_(), inputs.bfloat16()):
        with pytest.raises(ShapeError, match=r"got Tensor: .*Make a NumPy array of it"):
            gs.unroll(cell, params, tensor)
