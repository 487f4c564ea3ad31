"""Adjoint: back-propagation through time by the linearization.

The loop over time holds one matrix product and a few multiplications; everything that does not
depend on the next step, the partials and the weight gradients, is done for many steps at once.
:func:`scan` puts it behind autograd: a loss that goes through ``scan`` is differentiated at this
speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import make_jvp, make_vjp
from autograd.builtins import tuple as autograd_tuple
from autograd.extend import defjvp, defjvp_argnums, defvjp, defvjp_argnums, primitive
from autograd.tracer import getval, isbox

from gradscope.cells import Cell, DenseCell, as_floats, check_kind, split
from gradscope.errors import ArgumentError, ShapeError
from gradscope.linearization import Linearization, linearize
from gradscope.masks import NO_MASKS, Masks
from gradscope.products import push_params
from gradscope.program import Opened, reads_parameters
from gradscope.trajectory import Trajectory, batch_last, unroll

__all__ = [
    "SCANS",
    "Adjoint",
    "Scanned",
    "backpropagate",
    "check_direct",
    "scan",
    "trajectory_of",
    "unboxed",
    "unroll_on_tape",
]

Array = np.ndarray


@dataclass(eq=False)
class Scanned:
    """One call of :func:`scan`, as whoever listens keeps it.

    Attributes
    ----------
    linearization : Linearization
        With the partials that its way back has made.
    direct : ndarray, (T+1, B, S), or None
        What the last way back brought: the gradient of the loss with respect to each state, all others held fixed.
        None before a way back.
    """

    linearization: Linearization
    direct: Array | None = None


HEARD = 16
"""How many scans a listener keeps, the last ones: each holds its trajectory."""
SCANS: ContextVar[tuple[list[Scanned], ...]] = ContextVar("gradscope_scans", default=())
"""Lists to which :func:`scan` adds what it has done; :func:`gradscope.taps.listen` puts one here."""


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
    return _back(linearization, direct, inputs, truncate, False) if own is None else own(direct, inputs, truncate)


def _back(linearization: Linearization, direct: Array, inputs: bool, truncate: int | None, keep: bool) -> Adjoint:
    """Go back along one cell; ``keep`` the partials for whoever asks for them later."""
    trajectory = trajectory_of(linearization)
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
            back = linearization.back(steps, total[steps.start : steps.stop + 1], keep or truncate is not None)
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


def trajectory_of(linearization: Linearization) -> Trajectory:
    """Return what was linearized.

    Raises
    ------
    ArgumentError
        When it is no linearization.
    """
    if not hasattr(linearization, "trajectory"):
        raise ArgumentError(
            f"`linearization` must be what `gs.linearize` returns, got {type(linearization).__name__}. "
            "Call `gs.linearize(trajectory)` first."
        )
    return linearization.trajectory


def check_direct(trajectory: Trajectory, direct: Array) -> None:
    """Refuse a direct gradient that does not have the shape of the states, or holds no real numbers.

    Raises
    ------
    ShapeError
        With the shape that it must have.
    """
    as_floats("direct", direct)
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
    ``state`` by :func:`backpropagate` instead of an unrolled tape. Forward mode (``autograd.make_jvp``) goes through
    the same linearization, step by step. Derivatives of higher order, those of a cell whose update reads parameters,
    and the forward mode of a cell that does not factor go over the tape, right and slowly.

    Parameters
    ----------
    cell, params, inputs, state, valid, reset, dropout
        As for :func:`gradscope.unroll`; the masks are constants of the loss.
    truncate : int, optional
        Cut the way back into segments of so many steps, as :func:`backpropagate` does; what goes forward is cut at
        the same places.

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
    kept: dict[str, Any] = {}
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


def unboxed(value: Any) -> Any:
    """Return the plain value inside all of autograd's boxes."""
    while isbox(value):
        value = getval(value)
    return value


@primitive
def _cut(state: Array) -> Array:
    """Return the state, through which no gradient goes back."""
    return state


defvjp(_cut, None)
defjvp(_cut, None)


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
    if listeners := SCANS.get():
        kept["heard"] = Scanned(kept["linearization"])
        for heard in listeners:
            heard.append(kept["heard"])
            del heard[:-HEARD]
    return np.ascontiguousarray(trajectory.states)


def _on_tape(argnums: Sequence[int], args: tuple, kwargs: dict) -> tuple[Callable[[Any], Any], Any]:
    """Return the states over autograd's tape as a function of a tuple of the chosen arguments, and those."""

    def of_chosen(packed: Any) -> Any:
        full = list(args)
        for k, n in enumerate(argnums):
            full[n] = packed[k]
        named = dict(zip(kwargs["names"], full[2:], strict=True))
        masks = kwargs["kept"]["linearization"].trajectory.masks
        return unroll_on_tape(kwargs["cell"], named, full[0], full[1], masks, kwargs["truncate"])

    return of_chosen, autograd_tuple([args[n] for n in argnums])


def _pull_scan(argnums: tuple[int, ...], states: Array, args: tuple, kwargs: dict) -> Any:
    """Return the vector-Jacobian product of :func:`_scan` with respect to all of ``argnums`` at once."""
    kept, heard = kwargs["kept"]["linearization"], kwargs["kept"].get("heard")

    def fast(direct: Array) -> tuple[Array, ...]:
        adjoint = _back(kept, direct, 0 in argnums, kwargs["truncate"], heard is not None)
        slots = [adjoint.inputs, adjoint.total[0], *(adjoint.params[name] for name in kwargs["names"])]
        return tuple(np.asarray(slots[n], np.result_type(args[n])) for n in argnums)

    def slow(direct: Any) -> tuple[Any, ...]:
        states_of, chosen = _on_tape(argnums, args, kwargs)
        gradients = make_vjp(states_of)(chosen)[0](direct)
        return tuple(gradients[n] for n in range(len(argnums)))

    def pull(direct: Any) -> tuple[Any, ...]:
        if heard is not None:
            heard.direct = unboxed(direct)
        boxed = isbox(direct) or any(isbox(value) for value in args)
        return slow(direct) if boxed or reads_parameters(kwargs["cell"]) else fast(direct)

    return pull


defvjp_argnums(_scan, _pull_scan)


def _push_scan(argnums: Sequence[int], tangents: Sequence[Any], states: Array, args: tuple, kwargs: dict) -> Any:
    """Return the Jacobian-vector product of :func:`_scan` with respect to all of ``argnums`` at once."""
    cell = kwargs["cell"]
    boxed = any(isbox(value) for value in (*tangents, *args))
    if boxed or not cell.factored or reads_parameters(cell):
        states_of, chosen = _on_tape(argnums, args, kwargs)
        return make_jvp(states_of)(chosen)(autograd_tuple(tangents))[1]
    changes: list[Any] = [None] * len(args)
    for n, tangent in zip(argnums, tangents, strict=True):
        changes[n] = np.asarray(tangent)
    named = {name: change for name, change in zip(kwargs["names"], changes[2:], strict=True) if change is not None}
    return _push_along(kwargs["kept"]["linearization"], changes[0], changes[1], named, kwargs["truncate"])


defjvp_argnums(_scan, _push_scan)


def _push_along(
    linearization: Linearization,
    inputs: Array | None,
    state: Array | None,
    params: Mapping[str, Array],
    truncate: int | None,
) -> Array:
    """Return the change of the states (T+1, B, S) from those of inputs, initial state and parameters; None is none."""
    trajectory = linearization.trajectory
    rows = np.zeros_like(trajectory.rows)
    if state is not None:
        rows[0] = state.T
    columns = None if inputs is None else batch_last(inputs)
    with np.errstate(all="ignore"):
        for steps in trajectory.chunks():
            fresh = _fresh(linearization, steps, None if columns is None else columns[steps], params)
            for n, t in enumerate(range(steps.start, steps.stop)):
                rows[t + 1] = fresh[n]
                if not (truncate and t and t % truncate == 0):
                    rows[t + 1] += linearization.push_at(t, rows[t, :, :, None])[..., 0]
    return np.ascontiguousarray(batch_last(rows))


def _fresh(linearization: Linearization, steps: slice, columns: Array | None, params: Mapping[str, Array]) -> Array:
    """Return the change of the states after some steps (n, S, B) from those of inputs and parameters alone."""
    trajectory, partials = linearization.trajectory, linearization.partials(steps)
    count, size = len(trajectory.cell.gate_names), trajectory.cell.hidden_size
    drive_x = np.zeros((steps.stop - steps.start, count * size, trajectory.batch), linearization.dtype)
    drive_h = np.zeros_like(drive_x)
    if columns is not None:
        drive_x += np.matmul(trajectory.params["W_x"], columns)
    if "W_x" in params:
        drive_x += np.matmul(params["W_x"], trajectory.columns[steps, :-1])
    if "W_h" in params:
        drive_h += np.matmul(params["W_h"], trajectory.heard_at(steps))
    for name, drive in (("b", drive_x), ("b_h", drive_h)):
        if name in params:
            drive += params[name][:, None]
    units = [
        np.broadcast_to(params[name][:, None], (size, trajectory.batch)) if name in params else np.zeros((size, 1))
        for name in trajectory.cell.unit_params
    ]
    return np.concatenate(push_params(partials, split(drive_x, count), split(drive_h, count), units), axis=-2)
