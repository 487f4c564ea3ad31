"""Adjoint: back-propagation through time by the linearization.

The loop over time holds one matrix product and a few multiplications; everything that does not
depend on the next step, the partials and the weight gradients, is done for many steps at once.
:func:`scan` puts it behind autograd: a loss that goes through ``scan`` is differentiated at this
speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import make_vjp
from autograd.builtins import tuple as autograd_tuple
from autograd.extend import defvjp_argnums, primitive
from autograd.tracer import isbox
from scipy.linalg import get_blas_funcs

from gradscope.cells import Cell, as_floats, split
from gradscope.errors import ArgumentError, ShapeError
from gradscope.linearization import Linearization, linearize
from gradscope.logscale import Scaled, log10_norm
from gradscope.masks import NO_MASKS, Masks
from gradscope.partials import Partials
from gradscope.products import let_in, pull_chain, pull_row
from gradscope.program import Opened, reads_parameters
from gradscope.trajectory import Trajectory, batch_last, unroll

__all__ = ["Adjoint", "GradientNorms", "backpropagate", "gradient_norms", "scan", "unroll_on_tape"]

Array = np.ndarray

NARROW = 8
"""Sequences below which a step's outer product is too thin for a product of its own."""


@dataclass(frozen=True, eq=False)
class Adjoint:
    """Gradients of one loss along a trajectory; made by :func:`backpropagate`.

    Attributes
    ----------
    total : ndarray, (T+1, B, S)
        dL/ds_t along every path, in the coordinates of s_t (h_t held fixed for the c block).
    params : dict
        dL/d of each parameter, in its shape.
    inputs : ndarray, (T, B, I), or None
        dL/dx_t, where it was asked for.
    """

    total: Array
    params: dict[str, Array]
    inputs: Array | None


def backpropagate(linearization: Linearization, direct: Array, inputs: bool = True) -> Adjoint:
    """Return the gradients of a loss from its direct part.

    Parameters
    ----------
    linearization : Linearization
    direct : ndarray, (T+1, B, S)
        The derivative of the loss with respect to each state, every other state held fixed.
    inputs : bool
        Whether to work out dL/dx_t, too; a training step does not need it.

    Returns
    -------
    Adjoint
        Plain floats: what a training step needs. Norms over long ranges, where these underflow, come
        from :func:`gradient_norms`.

    Raises
    ------
    ShapeError
        When ``direct`` has another shape.
    ArgumentError
        When the cell's update reads parameters: their way to the loss past the drives would be missed.
    """
    own = getattr(linearization, "backpropagate", None)  # a network's
    if own is not None:
        return own(direct, inputs)
    trajectory = linearization.trajectory
    _check_direct(trajectory, direct)
    if reads_parameters(trajectory.cell):
        raise ArgumentError(
            "`backpropagate` needs a cell whose update reads no parameter but its `unit_params`, got "
            f"{type(trajectory.cell).__name__}. Use `scan`, which takes autograd's tape for it."
        )
    params, cell = trajectory.params, trajectory.cell
    W_back = np.ascontiguousarray(params["W_h"].T)
    total = np.array(np.swapaxes(direct, 1, 2), trajectory.rows.dtype, order="C")
    gradients = {name: np.zeros_like(array) for name, array in params.items()}
    heard_by_inputs = np.empty((trajectory.length if inputs else 0, cell.input_size, trajectory.batch), total.dtype)
    with np.errstate(all="ignore"):
        for steps in reversed(trajectory.chunks()):
            partials = linearization.partials(steps, keep=False)
            delta_h, heard = _walk(partials, W_back, total[steps.start : steps.stop + 1])
            delta_x = _input_deltas(partials, delta_h, heard)
            hidden, columns = trajectory.heard_at(steps), trajectory.columns[steps]
            if delta_x is delta_h:
                shares = _outer(delta_h, np.concatenate([hidden, columns], axis=1))
                W_h, W_xb = shares[:, : cell.hidden_size], shares[:, cell.hidden_size :]
            else:
                W_h, W_xb = _outer(delta_h, hidden), _outer(delta_x, columns)
            gradients["W_h"] += W_h
            gradients["W_x"] += W_xb[:, :-1]
            gradients["b"] += W_xb[:, -1]
            if "b_h" in params:
                gradients["b_h"] += W_xb[:, -1] if delta_x is delta_h else delta_h.sum(axis=(0, 2))
            for name, share in zip(cell.unit_params, pull_row(partials.units, heard), strict=True):
                gradients[name] += share.sum(axis=(0, 2))
            if inputs:
                np.matmul(params["W_x"].T, delta_x, out=heard_by_inputs[steps])
    return Adjoint(batch_last(total), gradients, batch_last(heard_by_inputs) if inputs else None)


def _check_direct(trajectory: Trajectory, direct: Array) -> None:
    """Refuse a direct gradient that does not have the shape of the states."""
    if np.shape(direct) != trajectory.states.shape:
        raise ShapeError(
            f"`direct` must have shape (T+1, B, S)={trajectory.states.shape}, got {np.shape(direct)}. "
            "Give dL/ds for the initial state too."
        )


def _walk(partials: Partials, W_back: Array, total: Array) -> tuple[Array, tuple[Array, ...]]:
    """Walk back over a chunk, adding to ``total`` (n+1, S, B) in place.

    Returns
    -------
    tuple
        Cotangents of the recurrent drives (n, K*H, B), and of each block of the new state with what it
        heard through the blocks made from it (n, H, B).
    """
    blocks, count = len(partials.value), len(partials.drive_h[0])
    steps, size, batch = partials.value[0].shape
    delta = np.empty((steps, count * size, batch), total.dtype)
    heard = np.empty((steps, blocks * size, batch), total.dtype)
    deltas, hearers, totals = split(delta, count), split(heard, blocks), split(total, blocks)
    chain = [(j, i, link) for i in partials.order for j, link in enumerate(partials.new[i]) if link is not None]
    sources = [[(i, d) for i, row in enumerate(partials.drive_h) if (d := row[k]) is not None] for k in range(count)]
    for silent in (deltas[k] for k, terms in enumerate(sources) if not terms):
        silent[...] = 0.0
    first = [(deltas[k], *terms[0]) for k, terms in enumerate(sources) if terms]
    further = [(deltas[k], *term) for k, terms in enumerate(sources) for term in terms[1:]]
    carried = [(totals[j], i, d) for i, row in enumerate(partials.state) for j, d in enumerate(row) if d is not None]
    scratch = np.empty((size, batch), total.dtype)
    for t in reversed(range(steps)):
        heard[t] = total[t + 1]
        for j, i, link in chain:
            hearers[j][t] += np.multiply(link[t], hearers[i][t], out=scratch)
        for gate, i, partial in first:
            np.multiply(partial[t], hearers[i][t], out=gate[t])
        for gate, i, partial in further:
            gate[t] += np.multiply(partial[t], hearers[i][t], out=scratch)
        np.dot(W_back, delta[t], out=scratch)
        if partials.inlet is not None:
            scratch *= partials.inlet[t]
        totals[0][t] += scratch
        for block, i, partial in carried:
            block[t] += np.multiply(partial[t], hearers[i][t], out=scratch)
    return delta, hearers


def _input_deltas(partials: Partials, delta_h: Array, heard: tuple[Array, ...]) -> Array:
    """Return the cotangents of the input drives; those of the recurrent ones where both enter by their sum."""
    same = all(
        x is h
        for row_x, row_h in zip(partials.drive_x, partials.drive_h, strict=True)
        for x, h in zip(row_x, row_h, strict=True)
    )
    return delta_h if same else np.concatenate(pull_row(partials.drive_x, heard), axis=-2)


def _outer(delta: Array, vectors: Array) -> Array:
    """Return the sum over steps and sequences of delta times vector', (K*H, width)."""
    if delta.shape[2] < NARROW:  # one long product of the steps side by side
        left = np.swapaxes(delta, 0, 1).reshape(delta.shape[1], -1)
        right = np.swapaxes(vectors, 0, 1).reshape(vectors.shape[1], -1)
        return left @ right.T
    (gemm,) = get_blas_funcs(("gemm",), (delta,))  # adds in place, and needs no copy of delta
    total = np.zeros((delta.shape[1], vectors.shape[1]), delta.dtype, order="F")
    for left, right in zip(delta, vectors, strict=True):
        total = gemm(1.0, left.T, right.T, beta=1.0, c=total, trans_a=True, overwrite_c=True)
    return total


@dataclass(frozen=True, eq=False)
class GradientNorms:
    """log10 of gradient norms along a trajectory, right past the float range.

    Attributes
    ----------
    total, direct : ndarray, (T+1, B)
        Norm of dL/ds_t along every path, and of the loss's immediate part.
    total_blocks, direct_blocks : ndarray, (blocks, T+1, B)
        The same for each block of the state.
    heard : ndarray, (blocks, T+1, B)
        The same with each block hearing through the blocks that are made from it: for c the
        gradient that includes the path through h_t = o phi(c_t).
    """

    total: Array
    direct: Array
    total_blocks: Array
    direct_blocks: Array
    heard: Array


def gradient_norms(linearization: Linearization, direct: Array) -> GradientNorms:
    """Return log10 norms of the state gradient, total and direct, with an exponent carried along.

    Parameters
    ----------
    linearization : Linearization
    direct : ndarray, (T+1, B, S)
        As in :func:`backpropagate`.

    Returns
    -------
    GradientNorms
        -inf where exactly zero. A gradient of 1e-5000 is kept as -5000.

    Raises
    ------
    ShapeError
        When ``direct`` has another shape.
    """
    trajectory = linearization.trajectory
    _check_direct(trajectory, direct)
    W_h, size, blocks = trajectory.params["W_h"], trajectory.cell.hidden_size, len(trajectory.cell.blocks)
    parts = [slice(j * size, (j + 1) * size) for j in range(blocks)]
    shape = (trajectory.length + 1, trajectory.batch)
    immediate = np.swapaxes(direct, 1, 2).astype(trajectory.rows.dtype)
    result = GradientNorms(np.empty(shape), np.empty(shape), *(np.empty((blocks, *shape)) for _ in range(3)))

    def note(t: int, own: Scaled, bundle: Scaled, heard: Scaled) -> None:
        result.direct[t], result.total[t] = log10_norm(own), log10_norm(bundle)
        for j, rows in enumerate(parts):
            result.direct_blocks[j, t] = log10_norm(own, rows)
            result.total_blocks[j, t] = log10_norm(bundle, rows)
            result.heard[j, t] = log10_norm(heard, rows)

    with np.errstate(all="ignore"):
        bundle = own = Scaled.of(immediate[-1])
        for steps in reversed(trajectory.chunks()):
            partials = linearization.partials(steps)
            for t in reversed(range(steps.start, steps.stop)):
                at = partials.pick(t - steps.start)
                heard = Scaled(bundle.mantissa.copy(), bundle.exponent)
                pull_chain(at, split(heard.mantissa, blocks))
                note(t + 1, own, bundle, heard)
                own = Scaled.of(immediate[t])
                carried = pull_row(at.state, split(heard.mantissa, blocks))
                delta = np.concatenate(pull_row(at.drive_h, split(heard.mantissa, blocks)), axis=-2)
                carried[0] = carried[0] + let_in(at, np.dot(W_h.T, delta))
                bundle = own + Scaled(np.concatenate(carried, axis=-2), heard.exponent).normalized()
        note(0, own, bundle, bundle)
    return result


def scan(
    cell: Cell,
    params: Mapping[str, Any],
    inputs: Any,
    state: Any = None,
    *,
    valid: Any = None,
    reset: Any = None,
    dropout: Any = None,
) -> Any:
    """Unroll ``cell`` as one primitive of autograd.

    Use it inside your own loss: ``autograd.grad`` flows through it to ``params``, ``inputs`` and
    ``state`` by :func:`backpropagate` instead of an unrolled tape. Derivatives of higher order, and those of a
    cell whose update reads parameters, go over the tape, right and slowly.

    Parameters
    ----------
    cell, params, inputs, state, valid, reset, dropout
        As for :func:`gradscope.unroll`; the masks are constants of the loss.

    Returns
    -------
    ndarray, (T+1, B, S)
        The states; ``states[1:, :, :H]`` is the hidden state after each step.

    Raises
    ------
    ArgumentError, ShapeError
        As :func:`gradscope.unroll`.

    Examples
    --------
    >>> import autograd, numpy as np
    >>> from gradscope.cells import RNN
    >>> cell = RNN(input_size=1, hidden_size=2)
    >>> params = cell.init(np.random.default_rng(0))
    >>> loss = lambda params: scan(cell, params, np.ones((5, 1, 1)))[-1].sum()
    >>> autograd.grad(loss)(params)["W_h"].shape
    (2, 2)
    """
    own = getattr(cell, "scan", None)  # a network's
    if own is not None:
        return own(params, inputs, state, valid=valid, reset=reset, dropout=dropout)
    if not hasattr(params, "keys"):
        cell.check(params)
    names = tuple(params.keys())
    inputs = inputs if isbox(inputs) else as_floats("inputs", inputs)
    kept: dict[str, Linearization] = {}
    start = np.zeros((np.shape(inputs)[1], cell.state_size)) if state is None and np.ndim(inputs) == 3 else state
    masks = {"valid": valid, "reset": reset, "dropout": dropout}
    return _scan(inputs, start, *(params[name] for name in names), cell=cell, names=names, kept=kept, masks=masks)


def unroll_on_tape(cell: Cell, params: Mapping[str, Any], inputs: Any, state: Any, masks: Masks = NO_MASKS) -> Any:
    """Unroll ``cell`` the obvious way: one node of autograd's tape for each operation of each step.

    The independent check of :func:`scan`, its route to derivatives of higher order, and what it is
    measured against. Arguments and result as for :func:`scan`, unchecked.
    """
    count, size, blocks = len(cell.gate_names), cell.hidden_size, len(cell.blocks)
    row = anp.transpose(state)
    units = [anp.reshape(params[name], (-1, 1)) for name in cell.unit_params]
    opened = Opened(cell.unit_params, units, params)
    rows = [row]
    for t in range(len(inputs)):
        seen = row if masks.reset is None else anp.where(masks.reset[t], 0.0, row)
        heard = seen[:size] if masks.dropout is None else seen[:size] * masks.dropout[t]
        column = anp.transpose(inputs[t])
        if masks.valid is not None:
            column = anp.where(masks.valid[t], column, 0.0)
        drive_x = anp.dot(params["W_x"], column) + params["b"][:, None]
        drive_h = anp.dot(params["W_h"], heard)
        if "b_h" in params:
            drive_h = drive_h + params["b_h"][:, None]
        new = anp.concatenate(cell.update(opened, split(drive_x, count), split(drive_h, count), split(seen, blocks)))
        row = new if masks.valid is None else anp.where(masks.valid[t], new, row)
        rows.append(row)
    return anp.transpose(anp.stack(rows), (0, 2, 1))


@primitive
def _scan(inputs: Any, state: Any, *values: Any, cell: Cell, names: tuple[str, ...], kept: dict, masks: dict) -> Array:
    """Unroll, and keep the linearization for the way back."""
    trajectory = unroll(cell, dict(zip(names, values, strict=True)), inputs, state, **masks)
    kept["linearization"] = linearize(trajectory)
    return np.ascontiguousarray(trajectory.states)


def _pull_scan(argnums: tuple[int, ...], states: Array, args: tuple, kwargs: dict) -> Any:
    """Return the vector-Jacobian product of :func:`_scan` with respect to all of ``argnums`` at once."""
    kept = kwargs["kept"]["linearization"]

    def fast(direct: Array) -> tuple[Array, ...]:
        adjoint = backpropagate(kept, direct, inputs=0 in argnums)
        slots = [adjoint.inputs, adjoint.total[0], *(adjoint.params[name] for name in kwargs["names"])]
        return tuple(np.asarray(slots[n], np.result_type(args[n])) for n in argnums)

    def slow(direct: Any) -> tuple[Any, ...]:
        def of_chosen(*chosen: Any) -> Any:
            full = list(args)
            for n, value in zip(argnums, chosen, strict=True):
                full[n] = value
            named = dict(zip(kwargs["names"], full[2:], strict=True))
            return unroll_on_tape(kwargs["cell"], named, full[0], full[1], kept.trajectory.masks)

        chosen = autograd_tuple([args[n] for n in argnums])
        gradients = make_vjp(lambda packed: of_chosen(*(packed[n] for n in range(len(argnums)))))(chosen)[0](direct)
        return tuple(gradients[n] for n in range(len(argnums)))

    def pull(direct: Any) -> tuple[Any, ...]:
        boxed = isbox(direct) or any(isbox(value) for value in args)
        return slow(direct) if boxed or reads_parameters(kwargs["cell"]) else fast(direct)

    return pull


defvjp_argnums(_scan, _pull_scan)
