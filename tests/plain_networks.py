"""Networks by the plain route: the published equations composed by hand, one step and one sequence at a time."""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
import numpy as np
from hypothesis import strategies as st
from plain_routes import ACTIVATIONS, scaled_error, step

import gradscope as gs

Array = Any
KINDS = {"RNN": gs.RNN, "LSTM": gs.LSTM, "GRU": gs.GRU}


def random_params(cell: Any, rng: np.random.Generator) -> Any:
    """Return random parameters of a cell, with a b_h."""
    scale = {"W_h": 1.0 / np.sqrt(cell.hidden_size)}
    return {name: scale.get(name, 0.7) * rng.standard_normal(shape) for name, shape in cell.shapes().items()}


def cell_step(cell: Any, params: dict, x: Array, state: Array) -> Array:
    """Return the new state (S,) of one cell."""
    return step(type(cell).__name__, ACTIVATIONS[cell.activation], params, x, state)


def stack_step(cells: Any, params: list, x: Array, state: Array, factors: Any = None) -> Array:
    """Return the new state (S,) of cells above one another; factors act on h on its way up."""
    new, start = [], 0
    for n, (cell, own) in enumerate(zip(cells, params, strict=True)):
        new.append(cell_step(cell, own, x, state[start : start + cell.state_size]))
        start += cell.state_size
        x = new[-1][: cell.hidden_size]
        if factors is not None and n < len(cells) - 1 and factors[n] is not None:
            x = x * factors[n]
    return anp.concatenate(new)


def along(step: Any, inputs: Array, state: Array) -> Array:
    """Return the states (T+1, S) of one sequence, of ``step(t, x, state)``."""
    rows = [state]
    for t in range(len(inputs)):
        rows.append(step(t, inputs[t], rows[-1]))
    return anp.stack(rows)


def check_jacobians(lin: Any, by_state: np.ndarray, by_input: np.ndarray, rng: np.random.Generator) -> None:
    """Assert that Jacobians (T, B, S, S) and (T, B, S, I), their products and their norms are those of a network."""
    length, batch, size, inputs = by_input.shape
    assert scaled_error(lin.jacobians(), by_state) < 1e-9
    assert scaled_error(lin.input_jacobians(), by_input) < 1e-9
    v, w = rng.standard_normal((2, length, batch, size))
    x = rng.standard_normal((length, batch, inputs))
    assert scaled_error(lin.jvp(v), np.einsum("tbij,tbj->tbi", by_state, v)) < 1e-9
    assert scaled_error(lin.vjp(w), np.einsum("tbij,tbi->tbj", by_state, w)) < 1e-9
    assert scaled_error(lin.input_jvp(x), np.einsum("tbij,tbj->tbi", by_input, x)) < 1e-9
    assert scaled_error(lin.input_vjp(w), np.einsum("tbij,tbi->tbj", by_input, w)) < 1e-9
    bundle, change = rng.standard_normal((size, batch, 3)), rng.standard_normal((inputs, batch, 3))
    for t in (0, length - 1):
        assert scaled_error(lin.push_at(t, bundle), np.einsum("bij,jbm->ibm", by_state[t], bundle)) < 1e-9
        assert scaled_error(lin.pull_at(t, bundle), np.einsum("bij,ibm->jbm", by_state[t], bundle)) < 1e-9
        assert scaled_error(lin.push_input_at(t, change), np.einsum("bij,jbm->ibm", by_input[t], change)) < 1e-9
        assert scaled_error(lin.pull_input_at(t, bundle), np.einsum("bij,ibm->jbm", by_input[t], bundle)) < 1e-9
    np.testing.assert_allclose(lin.norm(), np.linalg.norm(by_state, 2, axis=(2, 3)), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(lin.norm("frobenius"), np.linalg.norm(by_state, axis=(2, 3)), rtol=1e-8, atol=1e-12)


@st.composite
def stacks(draw: Any, most: int = 3) -> tuple[Any, ...]:
    """Draw cells that fit above one another."""
    depth = draw(st.integers(1, most))
    sizes = [draw(st.integers(1, 4)) for _ in range(depth + 1)]
    return tuple(
        KINDS[draw(st.sampled_from(sorted(KINDS)))](
            sizes[n], sizes[n + 1], draw(st.sampled_from(("tanh", "softsign", "sigmoid")))
        )
        for n in range(depth)
    )
