"""Adjoint: back-propagation through time by the linearization.

The loop over time holds one matrix product and a few multiplications; everything that does not
depend on the next step, the partials and the weight gradients, is done for many steps at once.
:func:`scan` puts it behind autograd: a loss that goes through ``scan`` is differentiated at this
speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import make_vjp
from autograd.builtins import tuple as autograd_tuple
from autograd.extend import defvjp, defvjp_argnums, primitive
from autograd.tracer import isbox

from gradscope.cells import Cell, DenseCell, as_floats, check_kind, split
from gradscope.errors import ArgumentError, ShapeError
from gradscope.linearization import Linearization, linearize
from gradscope.masks import NO_MASKS, Masks
from gradscope.program import Opened, reads_parameters
from gradscope.trajectory import Trajectory, batch_last, unroll

__all__ = ["Adjoint", "backpropagate", "check_direct", "scan", "unroll_on_tape"]

Array = np.ndarray


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


def backpropagate(
    linearization: Linearization, direct: Array, inputs: bool = True, truncate: int | None = None
) -> Adjoint:
    """Return the gradients of a loss from its direct part.

    Parameters
    ----------
    linearization : Linearization
    direct : ndarray, (T+1, B, S)
        The derivative of the loss with respect to each state, every other state held fixed.
    inputs : bool
        Whether to work out dL/dx_t, too; a training step does not need it.
    truncate : int, optional
        Truncated back-propagation: the sequence is cut into segments of so many steps, and no gradient goes from
        one to the segment before it. :func:`gradscope.gradients.truncation` says what that costs.

    Returns
    -------
    Adjoint
        Plain floats: what a training step needs. Norms over long ranges, where these underflow, come
        from :func:`gradscope.gradients.gradient_norms`.

    Raises
    ------
    ShapeError
        When ``direct`` has another shape.
    ArgumentError
        When the cell's update reads parameters other than its unit parameters: their way to the loss past the
        drives would be missed. Or when ``truncate`` is no number of steps.
    """
    own = getattr(linearization, "backpropagate", None)  # a network's
    if own is not None:
        return own(direct, inputs, truncate)
    trajectory = linearization.trajectory
    check_direct(trajectory, direct)
    if reads_parameters(trajectory.cell):
        raise ArgumentError(
            "`backpropagate` needs a cell whose update reads no parameter but its `unit_params`, got "
            f"{type(trajectory.cell).__name__}. Use `scan`, which takes autograd's tape for it."
        )
    _check_truncate(truncate)
    immediate = batch_last(np.asarray(direct))
    total = np.array(immediate, trajectory.rows.dtype, order="C")
    gradients = {name: np.zeros_like(array) for name, array in trajectory.params.items()}
    width = (trajectory.length if inputs else 0, trajectory.cell.input_size, trajectory.batch)
    heard_by_inputs = np.empty(width, total.dtype)
    with np.errstate(all="ignore"):
        for steps in _segments(trajectory, truncate):
            back = linearization.back(steps, total[steps.start : steps.stop + 1], keep=truncate is not None)
            if truncate and steps.start and steps.start % truncate == 0:
                total[steps.start] = immediate[steps.start]
            for name, share in back.gradients().items():
                gradients[name] += share
            if inputs:
                heard_by_inputs[steps] = back.inputs()
    return Adjoint(batch_last(total), gradients, batch_last(heard_by_inputs) if inputs else None)


def _check_truncate(truncate: int | None) -> None:
    """Refuse a length of segments that is no count of steps."""
    if truncate is None:
        return
    if isinstance(truncate, bool) or not isinstance(truncate, (int, np.integer)) or truncate < 1:
        raise ArgumentError(
            f"`truncate` must be a whole number of at least 1, got {truncate!r}. Count steps, or leave it out for all."
        )


def _segments(trajectory: Trajectory, truncate: int | None) -> Iterator[slice]:
    """Yield runs of steps backwards that lie in one chunk and in one segment."""
    for chunk in reversed(trajectory.chunks()):
        if truncate is None:
            yield chunk
            continue
        first = -(-(chunk.start + 1) // truncate) * truncate
        edges = [chunk.start, *range(first, chunk.stop, truncate), chunk.stop]
        for start, stop in reversed(list(pairwise(edges))):
            yield slice(start, stop)


def check_direct(trajectory: Trajectory, direct: Array) -> None:
    """Refuse a direct gradient that does not have the shape of the states.

    Raises
    ------
    ShapeError
        With the shape that it must have.
    """
    if np.shape(direct) != trajectory.states.shape:
        raise ShapeError(
            f"`direct` must have shape (T+1, B, S)={trajectory.states.shape}, got {np.shape(direct)}. "
            "Give dL/ds for the initial state too."
        )


def scan(
    cell: Cell,
    params: Mapping[str, Any],
    inputs: Any,
    state: Any = None,
    *,
    valid: Any = None,
    reset: Any = None,
    dropout: Any = None,
    truncate: int | None = None,
) -> Any:
    """Unroll ``cell`` as one primitive of autograd.

    Use it inside your own loss: ``autograd.grad`` flows through it to ``params``, ``inputs`` and
    ``state`` by :func:`backpropagate` instead of an unrolled tape. Derivatives of higher order, and those of a
    cell whose update reads parameters, go over the tape, right and slowly.

    Parameters
    ----------
    cell, params, inputs, state, valid, reset, dropout
        As for :func:`gradscope.unroll`; the masks are constants of the loss.
    truncate : int, optional
        Cut the way back into segments of so many steps, as :func:`backpropagate` does.

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
    check_kind(cell)
    own = getattr(cell, "scan", None)  # a network's
    if own is not None:
        return own(params, inputs, state, valid=valid, reset=reset, dropout=dropout, truncate=truncate)
    if not hasattr(params, "keys"):
        cell.check(params)
    names = tuple(params.keys())
    inputs = inputs if isbox(inputs) else as_floats("inputs", inputs)
    kept: dict[str, Linearization] = {}
    start = np.zeros((np.shape(inputs)[1], cell.state_size)) if state is None and np.ndim(inputs) == 3 else state
    _check_truncate(truncate)
    masks = {"valid": valid, "reset": reset, "dropout": dropout}
    values = (params[name] for name in names)
    return _scan(inputs, start, *values, cell=cell, names=names, kept=kept, masks=masks, truncate=truncate)


def unroll_on_tape(
    cell: Cell,
    params: Mapping[str, Any],
    inputs: Any,
    state: Any,
    masks: Masks = NO_MASKS,
    truncate: int | None = None,
) -> Any:
    """Unroll ``cell`` the obvious way: one node of autograd's tape for each operation of each step.

    The independent check of :func:`scan`, its route to derivatives of higher order, and what it is
    measured against. Arguments and result as for :func:`scan`, unchecked.
    """
    size, row = cell.hidden_size, anp.transpose(state)
    units = [anp.reshape(params[name], (-1, 1)) for name in cell.unit_params]
    opened = Opened(cell.unit_params, units, params)
    rows = [row]
    for t in range(len(inputs)):
        if truncate and t % truncate == 0 and t > 0:
            row = _cut(row)
        seen = row if masks.reset is None else anp.where(masks.reset[t], 0.0, row)
        heard = seen[:size] if masks.dropout is None else seen[:size] * masks.dropout[t]
        column = anp.transpose(inputs[t])
        if masks.valid is not None:
            column = anp.where(masks.valid[t], column, 0.0)
        new = _new_state(cell, opened, column, heard, seen)
        row = new if masks.valid is None else anp.where(masks.valid[t], new, row)
        rows.append(row)
    return anp.transpose(anp.stack(rows), (0, 2, 1))


def _new_state(cell: Cell, params: Mapping[str, Any], column: Any, heard: Any, seen: Any) -> Any:
    """Return the new state (S, B), from x (I, B), h as the product hears it and the old state as it is seen."""
    if isinstance(cell, DenseCell):
        return anp.transpose(anp.concatenate(cell.step(params, anp.transpose(column), anp.transpose(seen))[0], axis=1))
    count = len(cell.gate_names)
    drive_x = anp.dot(params["W_x"], column) + params["b"][:, None]
    drive_h = anp.dot(params["W_h"], heard)
    if "b_h" in params:
        drive_h = drive_h + params["b_h"][:, None]
    return anp.concatenate(
        cell.update(params, split(drive_x, count), split(drive_h, count), split(seen, len(cell.blocks)))
    )


@primitive
def _cut(state: Array) -> Array:
    """Return the state, through which no gradient goes back."""
    return state


defvjp(_cut, None)


@primitive
def _scan(
    inputs: Any,
    state: Any,
    *values: Any,
    cell: Cell,
    names: tuple[str, ...],
    kept: dict,
    masks: dict,
    truncate: int | None,
) -> Array:
    """Unroll, and keep the linearization for the way back, which alone asks for ``truncate``."""
    trajectory = unroll(cell, dict(zip(names, values, strict=True)), inputs, state, **masks)
    kept["linearization"] = linearize(trajectory)
    return np.ascontiguousarray(trajectory.states)


def _pull_scan(argnums: tuple[int, ...], states: Array, args: tuple, kwargs: dict) -> Any:
    """Return the vector-Jacobian product of :func:`_scan` with respect to all of ``argnums`` at once."""
    kept = kwargs["kept"]["linearization"]

    def fast(direct: Array) -> tuple[Array, ...]:
        adjoint = backpropagate(kept, direct, 0 in argnums, kwargs["truncate"])
        slots = [adjoint.inputs, adjoint.total[0], *(adjoint.params[name] for name in kwargs["names"])]
        return tuple(np.asarray(slots[n], np.result_type(args[n])) for n in argnums)

    def slow(direct: Any) -> tuple[Any, ...]:
        def of_chosen(*chosen: Any) -> Any:
            full = list(args)
            for n, value in zip(argnums, chosen, strict=True):
                full[n] = value
            named = dict(zip(kwargs["names"], full[2:], strict=True))
            return unroll_on_tape(kwargs["cell"], named, full[0], full[1], kept.trajectory.masks, kwargs["truncate"])

        chosen = autograd_tuple([args[n] for n in argnums])
        gradients = make_vjp(lambda packed: of_chosen(*(packed[n] for n in range(len(argnums)))))(chosen)[0](direct)
        return tuple(gradients[n] for n in range(len(argnums)))

    def pull(direct: Any) -> tuple[Any, ...]:
        boxed = isbox(direct) or any(isbox(value) for value in args)
        return slow(direct) if boxed or reads_parameters(kwargs["cell"]) else fast(direct)

    return pull


defvjp_argnums(_scan, _pull_scan)
