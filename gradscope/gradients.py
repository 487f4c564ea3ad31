"""Gradients: what a loss hears of every state, unit, input and step's weights, in log space.

Back-propagation runs in plain floats over a few dozen steps at a time, with one exponent of two for each sequence. A
stretch in which the gradient grows or falls too far for that is taken again in shorter pieces, down to single steps,
so that nothing is lost past the float range and most of the work is done for many steps at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gradscope.adjoint import backpropagate, check_direct, trajectory_of
from gradscope.backward import Backward
from gradscope.errors import ArgumentError, ShapeError
from gradscope.linearization import Linearization
from gradscope.logscale import LOG10_2, Apart, Scaled, log10_norms, log10_total
from gradscope.trajectory import Trajectory

__all__ = ["WEIGHTS", "GradientNorms", "Truncation", "gradient_norms", "step_gradients", "truncation"]

Array = np.ndarray

WEIGHTS = ("W_x", "W_h", "b")
"""Parameters whose share of the gradient is measured step by step."""
PIECE = 32
"""Steps that are carried back in plain floats, as long as nothing leaves ``SAFE``."""
SAFE = 1e-120
"""The largest entry of a gradient may fall to this, or grow to its inverse, before a new exponent is taken."""


REACH = 180
"""Decades below the loudest within which every number of a piece has all its digits."""


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
    units : ndarray, (blocks, T+1, H)
        Root mean square over the sequences that have this step, unit by unit.
    inputs : ndarray, (T, I)
        The same of dL/dx_t, input by input.
    weights : ndarray, (3, K, T)
        Norm of each step's share of dL/dW, for each of ``WEIGHTS`` and each gate.
    passed : Scaled
        dL/dx_t itself, mantissas (I, T*B): what the layer below takes as its direct part.
    """

    total: Array
    direct: Array
    total_blocks: Array
    direct_blocks: Array
    heard: Array
    units: Array
    inputs: Array
    weights: Array
    passed: Scaled

    @classmethod
    def empty(cls, linearization: Linearization) -> GradientNorms:
        """Return arrays to write to."""
        trajectory = linearization.trajectory
        cell, length, batch = trajectory.cell, trajectory.length, trajectory.batch
        shape, blocks = (length + 1, batch), len(cell.blocks)
        return cls(
            total=np.empty(shape),
            direct=np.empty(shape),
            total_blocks=np.empty((blocks, *shape)),
            direct_blocks=np.empty((blocks, *shape)),
            heard=np.empty((blocks, *shape)),
            units=np.empty((blocks, length + 1, cell.hidden_size)),
            inputs=np.empty((length, cell.input_size)),
            weights=np.empty((len(WEIGHTS), len(cell.gate_names), length)),
            passed=Scaled(np.empty((cell.input_size, length * batch)), np.empty(length * batch, np.int64)),
        )


@dataclass(frozen=True, eq=False)
class _Piece:
    """Some steps, carried back with one exponent for each sequence."""

    steps: slice
    total: Array
    exponent: Array
    back: Backward | None


def gradient_norms(linearization: Linearization, direct: Array, exponent: Array | None = None) -> GradientNorms:
    """Return log10 norms of the gradient of a loss with respect to states, units, inputs and each step's weights.

    Parameters
    ----------
    linearization : Linearization
    direct : ndarray, (T+1, B, S)
        As in :func:`gradscope.backpropagate`.
    exponent : ndarray of int, (T+1, B), optional
        ``direct`` is to be multiplied by 2 to this power.

    Returns
    -------
    GradientNorms
        -inf where exactly zero. A gradient of 1e-5000 is kept as -5000, and so is that of a unit, block or input 5000
        decades below its neighbours, as long as no weight itself is below 1e-230. One exponent stands for a whole
        sequence in ``weights``, ``heard`` and ``passed`` alone: what lies some 300 decades below the loudest reads
        -inf there, too.

    Raises
    ------
    ShapeError
        When ``direct`` or ``exponent`` has another shape.
    """
    own = getattr(linearization, "gradient_norms", None)  # a network's
    if own is not None:
        return own(direct)
    trajectory = trajectory_of(linearization)
    check_direct(trajectory, direct)
    length, batch = trajectory.length, trajectory.batch
    if exponent is not None and np.shape(exponent) != (length + 1, batch):
        raise ShapeError(
            f"`exponent` must have shape (T+1, B)={(length + 1, batch)}, got {np.shape(exponent)}. "
            "Give one for each state, or leave it out."
        )
    result, blocks = GradientNorms.empty(linearization), len(trajectory.cell.blocks)
    with np.errstate(all="ignore"):
        own = _normalized(np.asarray(direct), exponent)
        parts, whole = _block_norms(own.mantissa, blocks)
        shift = own.exponent.reshape(length + 1, batch) * LOG10_2
        result.direct_blocks[...], result.direct[...] = parts + shift, whole + shift
        for piece in _pieces(linearization, own):
            _note(result, piece, blocks, trajectory.valid)
        _mend(result, linearization, own)
    return result


def _normalized(direct: Array, exponent: Array | None) -> Scaled:
    """Return the direct part as (T+1, S, B) with the largest entry of each time and sequence in [1/2, 1)."""
    times, batch, size = direct.shape
    flat = direct.reshape(times * batch, size).T.astype(np.float64)
    start = np.zeros(times * batch, np.int64) if exponent is None else np.asarray(exponent, np.int64).ravel()
    scaled = Scaled(flat, start).normalized()
    rows = np.ascontiguousarray(scaled.mantissa.reshape(size, times, batch).transpose(1, 0, 2))
    return Scaled(rows, np.asarray(scaled.exponent).reshape(times, batch))


def _pieces(linearization: Linearization, own: Scaled) -> Iterator[_Piece]:
    """Carry the gradient back, piece by piece; the last one stands for time 0 alone."""
    bundle, longest = Scaled(own.mantissa[-1], own.exponent[-1]), PIECE
    for chunk in reversed(linearization.trajectory.chunks()):
        stop = chunk.stop
        while stop > chunk.start:
            piece, left = _carry(linearization, slice(max(chunk.start, stop - longest), stop), bundle, own)
            if piece is None:
                longest = max(1, min(longest, stop - chunk.start) // 2)
                continue
            yield piece
            bundle, stop, longest = left, piece.steps.start, min(PIECE, 2 * longest)
    yield _Piece(slice(0, 0), bundle.mantissa[None], bundle.exponent, None)


def _carry(linearization: Linearization, steps: slice, bundle: Scaled, own: Scaled) -> tuple[_Piece | None, Scaled]:
    """Carry a gradient back over some steps; None where plain floats do not reach and there is more than one step."""
    times = slice(steps.start, steps.stop)
    silent = ~own.mantissa[times].any(axis=1)
    nothing = ~bundle.mantissa.any(axis=0)
    latest = np.where(silent, np.iinfo(np.int32).min, own.exponent[times]).max(axis=0)
    exponent = np.where(nothing, np.where(silent.all(axis=0), 0, latest), bundle.exponent)
    total = np.empty((steps.stop - steps.start + 1, *bundle.mantissa.shape))
    total[-1] = bundle.mantissa
    alone = len(total) == 2
    total[:-1] = 0.0 if alone else _shifted(own.mantissa[times], np.where(silent, 0, own.exponent[times] - exponent))
    back = linearization.back(steps, total)
    if alone:
        left = Scaled(total[0], exponent).normalized() + Scaled(own.mantissa[steps.start], own.exponent[steps.start])
        return _Piece(steps, total, exponent, back), left
    largest = np.abs(total).max(axis=1)
    fell = (largest[:-1] == 0) & (largest[1:] != 0)
    fine = ((largest[:-1] > SAFE) & (largest[:-1] < 1.0 / SAFE)) | ((largest[:-1] == 0) & ~fell)
    fine |= np.isnan(largest[:-1]) & np.isnan(largest[1:])
    if not fine.all():
        return None, bundle
    return _Piece(steps, total, exponent, back), Scaled(total[0], exponent).normalized()


def _shifted(values: Array, shift: Array) -> Array:
    """Return values (n, S, B) times 2 to the power of shift (n, B)."""
    return np.ldexp(values, np.clip(shift, -4000, 4000).astype(np.intc)[:, None, :])


def _note(result: GradientNorms, piece: _Piece, blocks: int, valid: Array | None) -> None:
    """Write the norms of a piece: gradients of the states after its steps, and of what the steps read."""
    back, steps = piece.back, piece.steps
    times = slice(0, 1) if back is None else slice(steps.start + 1, steps.stop + 1)
    total = piece.total if back is None else piece.total[1:]
    shift = piece.exponent * LOG10_2
    parts, whole = _block_norms(total, blocks)
    result.total_blocks[:, times], result.total[times] = parts + shift, whole + shift
    counted = None if valid is None else np.vstack([np.ones_like(valid[:1]), valid])[times]
    units = _rms(total, piece.exponent, counted)
    result.units[:, times] = np.swapaxes(units.reshape(len(units), blocks, -1), 0, 1)
    result.heard[:, times] = (parts if back is None else _block_norms(back.heard, blocks)[0]) + shift
    if back is None:
        return
    inputs, batch = back.inputs(), total.shape[2]
    result.inputs[steps] = _rms(inputs, piece.exponent, None if valid is None else valid[steps])
    top = _top(total, piece.exponent)
    scale = np.ldexp(1.0, np.clip(piece.exponent - top, -4000, 0).astype(np.intc))
    result.weights[:, :, steps] = back.share_norms(WEIGHTS, scale) + top * LOG10_2
    columns = slice(steps.start * batch, steps.stop * batch)
    result.passed.mantissa[:, columns] = inputs.transpose(1, 0, 2).reshape(inputs.shape[1], -1)
    result.passed.exponent[columns] = np.tile(piece.exponent, len(inputs))


def _mend(result: GradientNorms, linearization: Linearization, own: Scaled) -> None:
    """Write anew what lies too far below its neighbours, step by step, with an exponent for each number."""
    trajectory = linearization.trajectory
    alive = np.isfinite(result.total)
    heard = alive[:-1] & alive[1:]
    if trajectory.masks.reset is not None:
        heard &= ~trajectory.masks.reset[:, 0]
    loudest = np.where(heard, result.total[:-1], -np.inf).max(axis=1, keepdims=True)
    units = result.units[:, :-1] < loudest - REACH
    parts = (result.total_blocks[:, :-1] < result.total[:-1] - REACH) & heard
    inputs = result.inputs < np.where(alive[1:], result.total[1:], -np.inf).max(axis=1, keepdims=True) - REACH
    inputs &= np.isfinite(result.inputs) | _read(trajectory)
    lost = (units.any(axis=(0, 2)) | parts.any(axis=(0, 2)) | inputs.any(axis=1)).nonzero()[0]
    if not lost.size:
        return
    counted = None if trajectory.valid is None else np.vstack([np.ones_like(trajectory.valid[:1]), trajectory.valid])
    bundle = Apart.of(own.mantissa[-1], own.exponent[-1])
    for t in range(linearization.length - 1, lost[0] - 1, -1):
        if inputs[t].any():
            by_input = bundle.through(partial(linearization.pull_input_at, t)).log10()
            result.inputs[t] = np.where(inputs[t], _log10_rms(by_input, counted, t + 1), result.inputs[t])
        bundle = bundle.through(partial(linearization.pull_at, t)) + Apart.of(own.mantissa[t], own.exponent[t])
        logs = bundle.log10().reshape(len(units), -1, linearization.batch)
        for block, rows in enumerate(logs):
            if units[block, t].any():
                found = _log10_rms(rows, counted, t)
                result.units[block, t] = np.where(units[block, t], found, result.units[block, t])
            if parts[block, t].any():
                found = log10_total(rows, 0)
                result.total_blocks[block, t] = np.where(parts[block, t], found, result.total_blocks[block, t])


def _read(trajectory: Trajectory) -> Array:
    """Return which inputs (I,) have a weight: the gradient of another is exactly zero, and not lost."""
    weights = trajectory.params.get("W_x")
    return np.zeros(trajectory.cell.input_size, bool) if weights is None else np.abs(weights).max(axis=0) > 0


def _log10_rms(logs: Array, counted: Array | None, t: int) -> Array:
    """Return log10 of the root mean square over sequences (units,) from logs (units, B)."""
    logs = logs if counted is None else logs[:, counted[t]]
    return log10_total(logs, 1) - 0.5 * np.log10(logs.shape[1]) if logs.shape[1] else np.full(len(logs), np.nan)


def _block_norms(rows: Array, blocks: int) -> tuple[Array, Array]:
    """Return log10 of the norm of each block (blocks, n, B) of mantissas (n, S, B), and of all of them (n, B)."""
    parts = log10_norms(rows.reshape(len(rows), blocks, -1, rows.shape[-1]), axis=2)
    return np.moveaxis(parts, 1, 0), log10_norms(rows, axis=1) if blocks > 1 else parts[:, 0]


def _top(values: Array, exponent: Array) -> int:
    """Return the largest exponent of a sequence that holds anything but zeros."""
    alive = values.any(axis=(0, 1))
    return int(exponent[alive].max()) if alive.any() else 0


def _rms(values: Array, exponent: Array, counted: Array | None) -> Array:
    """Return log10 of the root mean square over sequences of mantissas (n, units, B); NaN where none counts."""
    top = _top(values, exponent)
    scaled = values * np.ldexp(1.0, np.clip(exponent - top, -4000, 0).astype(np.intc))
    if counted is None:
        size: Array | int = values.shape[2]
    else:
        scaled, size = np.where(counted[:, None], scaled, 0.0), counted.sum(axis=1)[:, None]
    logs = log10_norms(scaled, axis=2) + top * LOG10_2
    return np.where(np.asarray(size) > 0, logs - 0.5 * np.log10(size), np.nan)


def step_gradients(linearization: Linearization, direct: Array) -> dict[str, Array]:
    """Return each step's share of the gradient of every parameter; over the steps they sum to the ordinary gradient.

    Parameters
    ----------
    linearization : Linearization
    direct : ndarray, (T+1, B, S)
        As in :func:`gradscope.backpropagate`.

    Returns
    -------
    dict
        ``W_h`` (T, K*H, H) and so on: T times the memory of the parameters. Their norms alone, past the float range
        too, come from :func:`gradient_norms`.

    Raises
    ------
    ShapeError
        When ``direct`` has another shape.
    ArgumentError
        For a network of several layers.
    """
    trajectory = trajectory_of(linearization)
    if hasattr(linearization, "gradient_norms"):
        raise ArgumentError(
            f"`step_gradients` needs a single cell, got {type(trajectory.cell).__name__}. The norms of each layer come "
            "from `gs.probe(network, params, inputs, probes=['weight_gradient']).layers`."
        )
    check_direct(trajectory, direct)
    total = np.array(np.swapaxes(direct, 1, 2), trajectory.rows.dtype, order="C")
    found = {name: np.empty((trajectory.length, *array.shape)) for name, array in trajectory.params.items()}
    with np.errstate(all="ignore"):
        for steps in reversed(trajectory.chunks()):
            back = linearization.back(steps, total[steps.start : steps.stop + 1], keep=False)
            for name, shares in back.shares().items():
                found[name][steps] = shares
    return found


@dataclass(frozen=True, eq=False)
class Truncation:
    """What truncated back-propagation makes of a gradient.

    Attributes
    ----------
    steps : int
        Length of the segments.
    error : float
        Norm of truncated minus full gradient over the norm of the full one: the bias.
    cosine : float
        Between the two: 1 keeps the direction.
    ratio : float
        Norm of the truncated gradient over that of the full one.
    """

    steps: int
    error: float
    cosine: float
    ratio: float


def truncation(linearization: Linearization, direct: Array, steps: list[int] | tuple[int, ...]) -> list[Truncation]:
    """Measure the bias of truncated back-propagation against the full gradient of all parameters.

    Parameters
    ----------
    linearization : Linearization
        Of a cell or a network.
    direct : ndarray, (T+1, B, S)
        As in :func:`gradscope.backpropagate`.
    steps : sequence of int
        Lengths of the segments.

    Returns
    -------
    list of Truncation
        One for each length. NaN where the full gradient is zero or not finite.

    Raises
    ------
    ShapeError, ArgumentError
        As :func:`gradscope.backpropagate`.
    """
    if not isinstance(steps, Iterable):
        raise ArgumentError(f"`steps` must be a list of lengths, got {steps!r}. Put it into one: `[{steps!r}]`.")
    full = _flat(backpropagate(linearization, direct, inputs=False).params)
    found = []
    with np.errstate(all="ignore"):
        for length in steps:
            cut = _flat(backpropagate(linearization, direct, inputs=False, truncate=length).params)
            both = np.stack([full, cut])
            full_one, cut_one = both / np.abs(both).max(initial=0.0)  # whose squares neither overflow nor vanish
            norm, other = np.linalg.norm(full_one), np.linalg.norm(cut_one)
            error, ratio = float(np.linalg.norm(cut_one - full_one) / norm), float(other / norm)
            found.append(Truncation(length, error, float(full_one @ cut_one / (norm * other)), ratio))
    return found


def _flat(params: Any) -> Array:
    """Return all gradients in a row, those of a network's layers one after another."""
    if isinstance(params, np.ndarray):
        return params.ravel()
    parts = params.values() if isinstance(params, Mapping) else params
    return np.concatenate([np.zeros(0), *map(_flat, parts)])
