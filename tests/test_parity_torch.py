"""Parity with torch: forward values, step Jacobians by torch.func, and every gradient, in float64."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import gradscope as gs
from gradscope.activations import activation

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'gradscope[torch]'")
pytestmark = pytest.mark.usefixtures("torch_alone")

LENGTH, BATCH, INPUT, HIDDEN = 7, 3, 4, 5
KINDS = ("RNN-tanh", "RNN-relu", "LSTM", "GRU")
EVERY = pytest.mark.parametrize("kind", KINDS)
NAMES = {"W_x": "weight_ih_l0", "W_h": "weight_hh_l0", "b": "bias_ih_l0", "b_h": "bias_hh_l0"}


class Both:
    """One module of torch and one cell of gradscope with the same weights, inputs and initial state."""

    def __init__(self, kind, seed=0):
        torch.manual_seed(seed)
        name, _, phi = kind.partition("-")
        options = {"nonlinearity": phi} if phi else {}
        self.lstm = name == "LSTM"
        self.module = getattr(torch.nn, name)(INPUT, HIDDEN, **options).double()
        self.cell = gs.cell_class(name)(INPUT, HIDDEN, phi or "tanh")
        self.params = {mine: getattr(self.module, its).detach().numpy().copy() for mine, its in NAMES.items()}
        self.inputs = torch.randn(LENGTH, BATCH, INPUT, dtype=torch.float64)
        self.state = torch.randn(BATCH, self.cell.state_size, dtype=torch.float64)

    def start(self, state):
        """Return torch's initial state from (B, S)."""
        h = state[None, :, :HIDDEN].contiguous()
        return (h, state[None, :, HIDDEN:].contiguous()) if self.lstm else h

    def step(self, x, state):
        """Return the new state (S,) of one sequence by torch's own cell, for torch.func."""
        weights = [getattr(self.module, name) for name in NAMES.values()]
        if self.lstm:
            return torch.cat(torch.lstm_cell(x[None], (state[None, :HIDDEN], state[None, HIDDEN:]), *weights), dim=1)[0]
        function = {torch.nn.GRU: torch.gru_cell, torch.nn.RNN: getattr(torch, f"rnn_{self.cell.activation}_cell")}
        return function[type(self.module)](x[None], state[None], *weights)[0]

    def unrolled(self):
        return gs.unroll(self.cell, self.params, self.inputs.numpy(), self.state.numpy())


def check_step_jacobians(both, trajectory):
    """Assert that the Jacobians of every step, and their norms, are those that torch.func finds of its own step."""
    states = torch.from_numpy(np.ascontiguousarray(trajectory.states[:-1]))
    over = torch.func.vmap(torch.func.vmap(torch.func.jacrev(both.step, argnums=(1, 0))))
    by_state, by_input = (found.detach() for found in over(both.inputs, states))
    lin = gs.linearize(trajectory)
    np.testing.assert_allclose(lin.jacobians(), by_state.numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(lin.input_jacobians(), by_input.numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(lin.norm(), torch.linalg.matrix_norm(by_state, 2).numpy(), rtol=1e-9)


@EVERY
def test_forward_values_are_torchs(kind):
    both = Both(kind)
    output, last = both.module(both.inputs, both.start(both.state))
    trajectory = both.unrolled()
    np.testing.assert_allclose(trajectory.hidden, output.detach().numpy(), rtol=0, atol=1e-12)
    final = torch.cat([part[0] for part in last], dim=1) if both.lstm else last[0]
    np.testing.assert_allclose(trajectory.states[-1], final.detach().numpy(), rtol=0, atol=1e-12)


@EVERY
def test_step_jacobians_are_torchs(kind):
    both = Both(kind)
    trajectory = both.unrolled()
    check_step_jacobians(both, trajectory)


@EVERY
def test_all_gradients_are_torchs(kind):
    """dL/d of every weight, input, and of the initial state, of a loss that hears every step."""
    both = Both(kind)
    inputs, state = both.inputs.clone().requires_grad_(), both.state.clone().requires_grad_()
    output, _ = both.module(inputs, both.start(state))
    weights = np.random.default_rng(0).standard_normal(output.shape)
    (torch.from_numpy(weights) * torch.sin(output)).sum().backward()

    def loss(params, inputs, state):
        hidden = gs.scan(both.cell, params, inputs, state)[1:, :, :HIDDEN]
        return anp.sum(weights * anp.sin(hidden))

    found = autograd.grad(loss, (0, 1, 2))(both.params, both.inputs.numpy(), both.state.numpy())
    for mine, its in NAMES.items():
        np.testing.assert_allclose(found[0][mine], getattr(both.module, its).grad.numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(found[1], inputs.grad.numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(found[2], state.grad.numpy(), rtol=0, atol=1e-10)


@EVERY
def test_the_gradient_at_every_state_is_torchs(kind):
    """The total dL/ds_t: torch's gradient of the rest of the sequence, started from s_t."""
    both = Both(kind)
    trajectory = both.unrolled()
    record = gs.probe(both.cell, both.params, both.inputs.numpy(), ["state_gradient"], state=both.state.numpy())
    for t in range(LENGTH):
        state = torch.from_numpy(trajectory.states[t].copy()).requires_grad_()
        output, _ = both.module(both.inputs[t:], both.start(state))
        (output[-1].sum() / HIDDEN**0.5).backward()
        wanted = torch.linalg.vector_norm(state.grad, dim=1).numpy()
        np.testing.assert_allclose(10 ** record["state_gradient"][t], wanted, rtol=1e-9)


@EVERY
def test_second_derivatives_are_torchs(kind):
    both = Both(kind)
    state = both.state.clone().requires_grad_()
    output, _ = both.module(both.inputs, both.start(state))
    direction = torch.randn_like(state)
    (gradient,) = torch.autograd.grad(torch.sin(output).sum(), state, create_graph=True)
    ((gradient * direction).sum()).backward()

    def along(state):
        def loss(state):
            return anp.sum(anp.sin(gs.scan(both.cell, both.params, both.inputs.numpy(), state)[1:, :, :HIDDEN]))

        return anp.sum(autograd.grad(loss)(state) * direction.numpy())

    np.testing.assert_allclose(autograd.grad(along)(both.state.numpy()), state.grad.numpy(), rtol=0, atol=1e-10)


def test_float32_agrees_as_far_as_float32_does():
    both = Both("LSTM")
    output, _ = both.module.float()(both.inputs.float(), both.start(both.state.float()))
    params = {name: array.astype(np.float32) for name, array in both.params.items()}
    trajectory = gs.unroll(both.cell, params, both.inputs.numpy(), both.state.numpy())
    assert trajectory.states.dtype == np.float32
    np.testing.assert_allclose(trajectory.hidden, output.detach().numpy(), rtol=0, atol=2e-6)


def test_torch_adds_two_biases_and_forget_bias_is_their_sum():
    module = torch.nn.LSTM(1, 2)
    cell = gs.LSTM(1, 2, forget_bias=1.5)
    params = cell.init(np.random.default_rng(0), dtype=np.float32)
    with torch.no_grad():
        for mine, its in NAMES.items():
            getattr(module, its).copy_(torch.from_numpy(params.get(mine, np.zeros(8, np.float32))))
    forget = (module.bias_ih_l0 + module.bias_hh_l0)[2:4].detach().numpy()
    np.testing.assert_array_equal(forget, 1.5)
    inputs = np.random.default_rng(1).standard_normal((5, 2, 1)).astype(np.float32)
    output, _ = module(torch.from_numpy(inputs))
    np.testing.assert_allclose(gs.unroll(cell, params, inputs).hidden, output.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("name", ["tanh", "softsign", "sigmoid", "relu", "hard_tanh", "hard_sigmoid"])
def test_activations_and_slopes_are_torchs(name):
    functions = {
        "tanh": torch.tanh,
        "softsign": torch.nn.functional.softsign,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "hard_tanh": torch.nn.functional.hardtanh,
        "hard_sigmoid": torch.nn.functional.hardsigmoid,
    }
    x = np.concatenate([np.linspace(-9, 9, 181), [0.0]])
    tensor = torch.from_numpy(x).requires_grad_()
    value = functions[name](tensor)
    value.sum().backward()
    kind = activation(name)
    np.testing.assert_allclose(kind(x), value.detach().numpy(), rtol=1e-14, atol=1e-16)
    kinked = np.isclose(np.abs(x), {"hard_tanh": 1.0, "hard_sigmoid": 3.0}.get(name, -1.0))
    wanted = tensor.grad.numpy()[~kinked]
    np.testing.assert_allclose(
        kind.slope(x, kind(x))[~kinked], wanted, rtol=1e-7, atol=1e-12
    )  # torch has 1/6 in float32


class BothNetworks:
    """A module of torch with several layers or both directions, and a network of gradscope with the same weights."""

    def __init__(self, kind, depth, bidirectional=False, seed=0):
        torch.manual_seed(seed)
        name, _, phi = kind.partition("-")
        options = {"nonlinearity": phi} if phi else {}
        self.lstm, self.depth, self.ways = name == "LSTM", depth, 2 if bidirectional else 1
        module = getattr(torch.nn, name)
        self.module = module(INPUT, HIDDEN, num_layers=depth, bidirectional=bidirectional, **options).double()
        cells = [
            gs.cell_class(name)(INPUT if n == 0 else self.ways * HIDDEN, HIDDEN, phi or "tanh") for n in range(depth)
        ]
        self.network = gs.Stack([gs.Bidirectional(cell) for cell in cells] if bidirectional else cells)
        self.params = [self.weights(n) for n in range(depth)]
        self.inputs = torch.randn(LENGTH, BATCH, INPUT, dtype=torch.float64)
        self.state = torch.randn(BATCH, self.network.state_size, dtype=torch.float64)

    def names(self, n, suffix=""):
        return {mine: its[:-1] + str(n) + suffix for mine, its in NAMES.items()}

    def weights(self, n, what=lambda parameter: parameter.detach()):
        def of(suffix):
            return {mine: what(getattr(self.module, its)).numpy().copy() for mine, its in self.names(n, suffix).items()}

        return of("") if self.ways == 1 else {"forward": of(""), "backward": of("_reverse")}

    def start(self, state):
        """Return torch's initial state (layers * directions, B, H) from (B, S)."""
        parts = [state[:, place] for _, _, place in self.network.spans]
        h = torch.stack([part[:, :HIDDEN] for part in parts])
        return (h, torch.stack([part[:, HIDDEN:] for part in parts])) if self.lstm else h

    def step(self, x, state):
        """Return the new state (S,) of one sequence, layers in one direction composed of torch's own cells."""
        new = []
        for n, place in enumerate(self.network.places):
            weights = [getattr(self.module, name) for name in self.names(n).values()]
            own = state[place]
            if self.lstm:
                new.append(
                    torch.cat(torch.lstm_cell(x[None], (own[None, :HIDDEN], own[None, HIDDEN:]), *weights), dim=1)[0]
                )
            else:
                phi = self.network.cells[n].activation
                function = {torch.nn.GRU: torch.gru_cell, torch.nn.RNN: getattr(torch, f"rnn_{phi}_cell")}
                new.append(function[type(self.module)](x[None], own[None], *weights)[0])
            x = new[-1][:HIDDEN]
        return torch.cat(new)


DEEP = pytest.mark.parametrize(("kind", "depth"), [(kind, depth) for kind in KINDS for depth in (1, 2, 3)])


@DEEP
def test_step_jacobians_of_a_stack_are_torchs(kind, depth):
    both = BothNetworks(kind, depth)
    trajectory = gs.unroll(both.network, both.params, both.inputs.numpy(), both.state.numpy())
    check_step_jacobians(both, trajectory)


@DEEP
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("packed", [False, True], ids=["full", "packed"])
def test_values_and_all_gradients_of_a_network_are_torchs(kind, depth, bidirectional, packed):
    both = BothNetworks(kind, depth, bidirectional)
    lengths = [LENGTH, 4, 1] if packed else [LENGTH] * BATCH
    valid = np.arange(LENGTH)[:, None] < np.array(lengths)
    inputs, state = both.inputs.clone().requires_grad_(), both.state.clone().requires_grad_()
    read = torch.nn.utils.rnn.pack_padded_sequence(inputs, lengths) if packed else inputs
    output, last = both.module(read, both.start(state))
    if packed:
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output)
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(output.shape) * valid[:, :, None]
    finals = [rng.standard_normal(part.shape) for part in (last if both.lstm else [last])]
    loss = (torch.from_numpy(weights) * torch.sin(output)).sum()
    for weight, part in zip(finals, last if both.lstm else [last], strict=True):
        loss = loss + (torch.from_numpy(weight) * part).sum()
    loss.backward()
    trajectory = gs.unroll(both.network, both.params, both.inputs.numpy(), both.state.numpy(), valid=valid)
    found = np.where(valid[:, :, None], trajectory.hidden, 0.0)
    np.testing.assert_allclose(found, output.detach().numpy(), rtol=0, atol=1e-12)
    for n, layer in enumerate(trajectory.layers.values()):
        final = torch.cat([part[n] for part in last], dim=1) if both.lstm else last[n]
        np.testing.assert_allclose(layer.states[-1], final.detach().numpy(), rtol=0, atol=1e-12)

    def ours(params, inputs, state):
        states = gs.scan(both.network, params, inputs, state, valid=valid)
        hidden = anp.concatenate([states[1:, :, at] for at in both.network.hidden_slices], axis=2)
        total = anp.sum(weights * anp.sin(hidden))
        for n, (name, _, place) in enumerate(both.network.spans):
            final = states[1 if name.endswith("backward") else -1, :, place]  # the backward direction ends at the start
            for k, weight in enumerate(finals):
                total = total + anp.sum(weight[n] * final[:, k * HIDDEN : (k + 1) * HIDDEN])
        return total

    by_params, by_inputs, by_state = autograd.grad(ours, (0, 1, 2))(
        both.params, both.inputs.numpy(), both.state.numpy()
    )
    for n in range(depth):
        wanted = both.weights(n, lambda parameter: parameter.grad)
        for way, gradients in {"": wanted}.items() if both.ways == 1 else wanted.items():
            mine = by_params[n] if both.ways == 1 else by_params[n][way]
            for name, gradient in gradients.items():
                np.testing.assert_allclose(mine[name], gradient, rtol=0, atol=1e-10)
    np.testing.assert_allclose(by_inputs, inputs.grad.numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(by_state, state.grad.numpy(), rtol=0, atol=1e-10)
