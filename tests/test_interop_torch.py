"""Torch modules taken over: forward values and every gradient, in float64, from memory and from files."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import gradscope as gs
from gradscope.errors import ArgumentError

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'gradscope[torch]'")

LENGTH, BATCH, INPUT, HIDDEN = 6, 3, 4, 5
MODULES = {
    "RNN": lambda **o: torch.nn.RNN(INPUT, HIDDEN, **o),
    "RNN-relu": lambda **o: torch.nn.RNN(INPUT, HIDDEN, nonlinearity="relu", **o),
    "LSTM": lambda **o: torch.nn.LSTM(INPUT, HIDDEN, **o),
    "GRU": lambda **o: torch.nn.GRU(INPUT, HIDDEN, **o),
}
EVERY = pytest.mark.parametrize("kind", list(MODULES))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


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


def test_what_cannot_be_taken_over_is_refused_with_the_way_out():
    with pytest.raises(ArgumentError, match=r"no projection.*gs.torch.probe"):
        gs.from_torch(torch.nn.LSTM(INPUT, HIDDEN, proj_size=2))
    with pytest.raises(ArgumentError, match=r"none was recognised.*W_x"):
        gs.from_torch(torch.nn.Linear(2, 2))
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
