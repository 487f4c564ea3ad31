"""The obvious ways to the same numbers: what users would write today."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np

import gradscope as gs
from gradscope.adjoint import unroll_on_tape

torch: Any
jax: Any
try:
    import torch
except ImportError:
    torch = None
else:
    torch.set_num_threads(1)
try:
    import jax
except ImportError:
    jax = None
else:
    jax.config.update("jax_enable_x64", True)

Array = np.ndarray
NO_TORCH = "torch is not installed: pip install torch (2.13.0 was used)"
NO_JAX = "JAX is not installed: pip install jax (0.7.2 was used)"


def torch_jacobians(trajectory: gs.Trajectory, mode: str) -> Callable[[], Any]:
    """Return a call that makes all step Jacobians of an LSTM by torch.func (mode "jacfwd" or "jacrev")."""
    params = {name: torch.tensor(value) for name, value in trajectory.params.items()}
    size = trajectory.cell.hidden_size

    def step(state: Any, x: Any) -> Any:
        h, c = state[:size], state[size:]
        i, f, g, o = (params["W_x"] @ x + params["W_h"] @ h + params["b"]).chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.cat([torch.sigmoid(o) * torch.tanh(c), c])

    states = torch.tensor(np.ascontiguousarray(trajectory.states[:-1]).reshape(-1, 2 * size))
    inputs = torch.tensor(trajectory.inputs.reshape(len(states), -1))
    jacobian = torch.func.vmap(getattr(torch.func, mode)(step))
    return lambda: jacobian(states, inputs)


def autograd_jacobians(trajectory: gs.Trajectory, steps: int) -> Callable[[], Array]:
    """Return a call that makes the first ``steps`` Jacobians of sequence 0 by ``autograd.jacobian``."""
    cell, params = trajectory.cell, trajectory.params
    inputs, states = trajectory.inputs[:, :1], trajectory.states[:, 0]

    def jacobian(t: int) -> Array:
        return autograd.jacobian(lambda s: unroll_on_tape(cell, params, inputs[t : t + 1], s[None])[1, 0])(states[t])

    return lambda: np.stack([jacobian(t) for t in range(steps)])


def torch_training_step(cell: gs.LSTM, params: Mapping[str, Array], inputs: Array) -> Callable[[], Any]:
    """Return a call of torch's nn.LSTM in float64: forward, and backward from the last hidden state."""
    module = torch.nn.LSTM(cell.input_size, cell.hidden_size).double()
    names = {"weight_ih_l0": "W_x", "weight_hh_l0": "W_h", "bias_ih_l0": "b"}
    with torch.no_grad():
        for theirs, ours in names.items():
            getattr(module, theirs).copy_(torch.tensor(params[ours]))
        module.bias_hh_l0.zero_()
    x = torch.tensor(inputs)

    def step() -> Any:
        module.zero_grad()
        module(x)[0][-1].sum().backward()
        return module.weight_hh_l0.grad

    return step


def tape_training_step(cell: gs.LSTM, params: Mapping[str, Array], inputs: Array) -> Callable[[], Array]:
    """Return a call of autograd through the unrolled tape, from the last hidden state."""
    start = np.zeros((inputs.shape[1], cell.state_size))

    def loss(params: Mapping[str, Array]) -> Array:
        return anp.sum(unroll_on_tape(cell, params, inputs, start)[-1, :, : cell.hidden_size])

    return lambda: autograd.grad(loss)(params)["W_h"]


def _jax_step(params: Any, state: Any, x: Any) -> Any:
    """Return the next state of an LSTM, one sequence."""
    h, c = jax.numpy.split(state, 2)
    i, f, g, o = jax.numpy.split(params["W_x"] @ x + params["W_h"] @ h + params["b"], 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jax.numpy.tanh(g)
    return jax.numpy.concatenate([jax.nn.sigmoid(o) * jax.numpy.tanh(c), c])


def jax_jacobians(trajectory: gs.Trajectory) -> Callable[[], Any]:
    """Return a call that makes all step Jacobians of an LSTM by JAX, compiled."""
    params = {name: jax.numpy.asarray(value) for name, value in trajectory.params.items()}
    size = 2 * trajectory.cell.hidden_size
    states = jax.numpy.asarray(np.ascontiguousarray(trajectory.states[:-1]).reshape(-1, size))
    inputs = jax.numpy.asarray(trajectory.inputs.reshape(len(states), -1))
    jacobian = jax.jit(jax.vmap(jax.jacrev(lambda state, x: _jax_step(params, state, x))))
    return lambda: jacobian(states, inputs).block_until_ready()


def jax_training_step(cell: gs.LSTM, params: Mapping[str, Array], inputs: Array) -> Callable[[], Any]:
    """Return a compiled call of JAX: forward by scan, and backward from the last hidden state."""
    weights = {name: jax.numpy.asarray(value) for name, value in params.items()}
    start, x = jax.numpy.zeros((inputs.shape[1], cell.state_size)), jax.numpy.asarray(inputs)
    step = jax.vmap(_jax_step, in_axes=(None, 0, 0))

    def loss(weights: Any) -> Any:
        last, _ = jax.lax.scan(lambda state, x_t: (step(weights, state, x_t), None), start, x)
        return last[:, : cell.hidden_size].sum()

    gradient = jax.jit(jax.grad(loss))
    return lambda: jax.block_until_ready(gradient(weights))["W_h"]
