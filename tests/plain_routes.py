"""Plain routes: the published equations once more, one sequence and one step at a time.

Nothing here goes through gradscope's cells, activations or partials: the equations are written out
by hand and autograd differentiates them with its own rules. Slow, and easy to see right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import strategies as st

from gradscope.cells import CELLS, Cell

Array = Any

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda x: anp.tanh(x),
    "softsign": lambda x: x / (1.0 + anp.abs(x)),
    "sigmoid": lambda x: anp.where(  # autograd squares the denominator
        x > -350.0, 1.0 / (1.0 + anp.exp(-anp.maximum(x, -350.0))), anp.exp(anp.minimum(x, -350.0))
    ),
    "relu": lambda x: anp.where(x > 0.0, x, 0.0 * x),
    "identity": lambda x: 1.0 * x,
    "hard_sigmoid": lambda x: anp.where(anp.abs(x) < 3.0, x / 6.0 + 0.5, 1.0 * (x > 0.0)),
    "hard_tanh": lambda x: anp.where(anp.abs(x) < 1.0, x, anp.sign(x)),
}
SMOOTH = ("tanh", "softsign", "sigmoid", "identity")
STANDARD = ("RNN", "LSTM", "GRU")
FACTORED = tuple(name for name, kind in CELLS.items() if kind.factored)
TOLERANCE = {"float64": 1e-10, "float32": 2e-4}


def step(name: str, phi: Callable[[Array], Array], params: dict, x: Array, state: Array) -> Array:
    """Return the new state (S,) of one sequence from x (I,) and the old state (S,)."""
    size = params["W_h"].shape[1]
    h = state[:size]
    a = anp.dot(params["W_x"], x) + params["b"]
    u = anp.dot(params["W_h"], h)
    if "b_h" in params:
        u = u + params["b_h"]
    gate = ACTIVATIONS["sigmoid"]

    def rows(k: int) -> slice:
        return slice(k * size, (k + 1) * size)

    if name == "RNN":  # Elman 1990
        return phi(a + u)
    if name == "LSTM":  # Gers, Schmidhuber & Cummins 2000
        i, f, o = (gate(a[rows(k)] + u[rows(k)]) for k in (0, 1, 3))
        g = phi(a[rows(2)] + u[rows(2)])
        c = f * state[size:] + i * g
        return anp.concatenate([o * phi(c), c])
    if name == "LSTM97":  # Hochreiter & Schmidhuber 1997
        i, o = (gate(a[rows(k)] + u[rows(k)]) for k in (0, 2))
        c = state[size:] + i * phi(a[rows(1)] + u[rows(1)])
        return anp.concatenate([o * phi(c), c])
    if name == "PeepholeLSTM":  # Gers & Schmidhuber 2000
        old = state[size:]
        i = gate(a[rows(0)] + u[rows(0)] + params["p_input"] * old)
        f = gate(a[rows(1)] + u[rows(1)] + params["p_forget"] * old)
        c = f * old + i * phi(a[rows(2)] + u[rows(2)])
        return anp.concatenate([gate(a[rows(3)] + u[rows(3)] + params["p_output"] * c) * phi(c), c])
    if name == "CoupledLSTM":  # Greff et al. 2017
        f = gate(a[rows(0)] + u[rows(0)])  # whose input gate is 1 - f, and rounds away an f of 1e-17
        c = f * state[size:] + (1.0 - f) * phi(a[rows(1)] + u[rows(1)])
        return anp.concatenate([gate(a[rows(2)] + u[rows(2)]) * phi(c), c])
    if name == "JANET":  # van der Westhuizen & Lasenby 2018
        s = a[rows(0)] + u[rows(0)]
        return gate(s) * h + (1.0 - gate(s - 1.0)) * phi(a[rows(1)] + u[rows(1)])
    if name == "IRNN":
        return phi(a + u)
    if name == "RWA":  # Ostmeyer & Cowell 2017, on numerator and denominator
        denominator = anp.exp(state[2 * size :]) - 1.0
        numerator = denominator * state[size : 2 * size]
        weight = anp.exp(a[rows(2)] + u[rows(2)])
        numerator = numerator + weight * a[rows(0)] * phi(a[rows(1)] + u[rows(1)])
        denominator = denominator + weight
        mean = numerator / denominator
        return anp.concatenate([phi(mean), mean, anp.log(1.0 + denominator)])
    if name in ("ResetBeforeGRU", "MGU"):  # Cho et al. 2014, reset before the product; Zhou et al. 2016
        r, z = (gate(a[rows(k)] + u[rows(k)]) for k in ((0, 1) if name == "ResetBeforeGRU" else (0, 0)))
        last = slice(len(a) - size, len(a))
        n = phi(a[last] + anp.dot(params["W_h"][last], r * h) + (params["b_h"][last] if "b_h" in params else 0.0))
        return (1.0 - z) * n + z * h if name == "ResetBeforeGRU" else (1.0 - z) * h + z * n
    r, z = (gate(a[rows(k)] + u[rows(k)]) for k in (0, 1))  # GRU: Cho et al. 2014, reset after the product
    n = phi(a[rows(2)] + r * u[rows(2)])
    return (1.0 - z) * n + z * h


def states(name: str, phi: Callable[[Array], Array], params: dict, inputs: Array, state: Array) -> Array:
    """Return all states (T+1, B, S), differentiable with respect to everything."""
    rows = [state]
    for x in inputs:
        rows.append(anp.stack([step(name, phi, params, x[b], rows[-1][b]) for b in range(len(state))]))
    return anp.stack(rows)


def central_differences(
    function: Callable[[np.ndarray], np.ndarray], at: np.ndarray, width: float = 1e-6
) -> np.ndarray:
    """Return the derivative of ``function`` (any shape) with respect to each element of ``at``, last."""
    columns = []
    for n in range(at.size):
        nudge = np.zeros(at.size)
        nudge[n] = width
        nudge = nudge.reshape(at.shape)
        columns.append((function(at + nudge) - function(at - nudge)) / (2.0 * width))
    return np.stack(columns, axis=-1)


@dataclass(frozen=True)
class Case:
    """A cell with parameters, inputs and an initial state, and the plain route beside it."""

    cell: Cell
    params: dict[str, np.ndarray]
    inputs: np.ndarray
    state: np.ndarray
    chunk: int = field(default=2**17)
    """Elements for gradscope.trajectory.CHUNK."""

    @property
    def name(self) -> str:
        return type(self.cell).__name__

    @property
    def phi(self) -> Callable[[Array], Array]:
        return ACTIVATIONS[self.cell.activation]

    @property
    def tolerance(self) -> float:
        return TOLERANCE[str(self.params["W_h"].dtype)]

    def plain_states(self) -> np.ndarray:
        """Return the states by the plain route, in float64."""
        return states(self.name, self.phi, self.wide(), self.inputs.astype(float), self.state.astype(float))

    def wide(self) -> dict[str, np.ndarray]:
        """Return the parameters in float64."""
        return {name: array.astype(np.float64) for name, array in self.params.items()}

    def plain_step(self, t: int, b: int) -> Callable[[Array], Array]:
        """Return step t of sequence b as a function of the state before it."""
        params, x = self.wide(), self.inputs[t, b].astype(float)
        return lambda state: step(self.name, self.phi, params, x, state)

    def plain_jacobians(self) -> np.ndarray:
        """Return every state-to-state Jacobian (T, B, S, S) by ``autograd.jacobian`` of the plain step."""
        trail = self.plain_states()
        return np.array(
            [
                [autograd.jacobian(self.plain_step(t, b))(trail[t, b]) for b in range(len(self.state))]
                for t in range(len(self.inputs))
            ]
        )

    def plain_gradients(self, loss: Callable[[Array], Array]) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Return dL/dparams, dL/dinputs and dL/dstate of ``loss(states)`` over autograd's own tape."""

        def of_all(everything: tuple) -> Array:
            params, inputs, state = everything
            return loss(states(self.name, self.phi, params, inputs, state))

        return autograd.grad(of_all)((self.wide(), self.inputs.astype(float), self.state.astype(float)))


def make_case(
    name: str = "LSTM",
    activation: str = "tanh",
    input_size: int = 2,
    hidden_size: int = 3,
    batch: int = 2,
    length: int = 4,
    dtype: str = "float64",
    b_h: bool = True,
    seed: int = 0,
    gain: float = 1.2,
    chunk: int = 2**17,
) -> Case:
    """Return a case with random parameters, inputs and initial state."""
    rng = np.random.default_rng(seed)
    cell = CELLS[name](input_size, hidden_size, activation)
    params = {
        key: (rng.standard_normal(shape) * (gain / np.sqrt(hidden_size) if key == "W_h" else 0.7)).astype(dtype)
        for key, shape in cell.shapes().items()
        if key != "b_h" or b_h
    }
    inputs = rng.standard_normal((length, batch, input_size)).astype(dtype)
    state = (0.5 * rng.standard_normal((batch, cell.state_size))).astype(dtype)
    if name == "RWA":  # the sum of weights is not below 0
        state[:, 2 * hidden_size :] = np.abs(state[:, 2 * hidden_size :])
    return Case(cell, params, inputs, state, chunk)


@st.composite
def cases(
    draw: Any,
    activations: tuple[str, ...] = tuple(ACTIVATIONS),
    dtypes: tuple[str, ...] = ("float64",),
    names: tuple[str, ...] = FACTORED,
) -> Case:
    """Draw a case; the steps often do not fit into one chunk."""
    name = draw(st.sampled_from(names))
    hidden, batch = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    return make_case(
        name=name,
        activation=draw(st.sampled_from(activations)),
        input_size=draw(st.integers(1, 3)),
        hidden_size=hidden,
        batch=batch,
        length=draw(st.integers(1, 7)),
        dtype=draw(st.sampled_from(dtypes)),
        b_h=draw(st.booleans()),
        seed=draw(st.integers(0, 2**16)),
        gain=draw(st.sampled_from((0.3, 1.2, 3.0))),
        chunk=draw(st.sampled_from((1, 2, 3, 5, 100))) * len(CELLS[name].gate_names) * hidden * batch,
    )


def scaled_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference over the largest number wanted (1 where that is 0)."""
    found, wanted = np.asarray(found, float), np.asarray(wanted, float)
    assert found.shape == wanted.shape
    return float(np.max(np.abs(found - wanted), initial=0.0) / (np.max(np.abs(wanted), initial=0.0) or 1.0))


@contextmanager
def chunks_of(elements: int, kept: int = 2**24) -> Iterator[None]:
    """Let gradscope work on so many elements at a time, and keep arrays of up to ``kept``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gradscope.trajectory.CHUNK", elements)
        patch.setattr("gradscope.trajectory.KEPT", kept)
        patch.setattr("gradscope.linearization.KEPT", kept)
        yield
