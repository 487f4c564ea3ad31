"""Linearization: the derivative of what happened, as a map rather than as matrices.

``J_t = d states[t+1] / d states[t]`` is never stored. Its partials (:mod:`gradscope.partials`) and
W_h are enough: a product with J or with its transpose is one matrix product for all steps and
sequences, a Frobenius norm is a quadratic form in the Gram matrices of the rows of W_h, a spectral norm a
few products. ``jacobians()`` writes the matrices out for whoever wants them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gradscope.backward import Backward, backward
from gradscope.cells import Cell, as_floats, split
from gradscope.dense import DenseLinearization
from gradscope.errors import ArgumentError, ShapeError, unknown
from gradscope.norms import frobenius, spectral
from gradscope.partials import Partials, Row, differentiator
from gradscope.products import (
    dense,
    let_in,
    pull,
    pull_chain,
    pull_inputs,
    pull_row,
    push,
    push_blocks,
    push_drives,
    push_inputs,
    resolve,
)
from gradscope.program import Opened, per_cell
from gradscope.trajectory import KEPT, Trajectory, batch_last, unit_arrays

__all__ = ["Jacobians", "Linearization", "linearize"]

Array = np.ndarray
NORMS = {"spectral": spectral, "frobenius": frobenius}


@dataclass(frozen=True, eq=False)
class Linearization:
    """The Jacobians of a trajectory; made by :func:`linearize`.

    Attributes
    ----------
    trajectory : Trajectory
    """

    trajectory: Trajectory
    _made: dict[int, Partials] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"<Linearization of {self.trajectory!r}>"

    def partials(self, steps: slice, keep: bool = True) -> Partials:
        """Return the partials of one of the trajectory's ``chunks()``, arrays (n, H, B).

        Whoever needs them once says ``keep=False``: the next chunk then finds the memory still in the cache.
        """
        if steps.start not in self._made:
            if not keep:
                return partials_at(self.trajectory, steps)
            if self.trajectory.rows.size > KEPT:
                self._made.clear()  # keep the last one alone
            self._made[steps.start] = partials_at(self.trajectory, steps)
        return self._made[steps.start]

    @property
    def length(self) -> int:
        """T, the number of Jacobians."""
        return self.trajectory.length

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.trajectory.batch

    @property
    def state_size(self) -> int:
        """S, the size of a Jacobian."""
        return self.trajectory.cell.state_size

    @property
    def block_size(self) -> int:
        """H, the size of one block of the state."""
        return self.trajectory.cell.hidden_size

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32, that of the parameters."""
        return self.trajectory.rows.dtype

    def push_at(self, t: int, bundle: Array) -> Array:
        """Return J_t V for a bundle of columns V (S, B, M)."""
        partials, W_h = self._at(t), self.trajectory.params["W_h"]
        old = _pieces(bundle, len(partials.value))
        heard = let_in(partials, old[0])
        drives = np.dot(W_h, heard.reshape(len(heard), -1)).reshape(-1, *bundle.shape[1:])
        return np.concatenate(push_blocks(partials, _pieces(drives, len(partials.drive_h[0])), old))

    def pull_at(self, t: int, bundle: Array) -> Array:
        """Return J_t' W for a bundle of columns W (S, B, M)."""
        chunk, W_h = self._chunks[t // self._chunk_size], self.trajectory.params["W_h"]
        partials, place = self.partials(chunk), (t - chunk.start, ..., None)
        heard = list(bundle.reshape(len(partials.value), -1, *bundle.shape[1:]))
        for i in partials.order:
            for j, link in enumerate(partials.new[i]):
                if link is not None:
                    heard[j] = heard[j] + link[place] * heard[i]
        delta = np.empty((len(partials.drive_h[0]), *heard[0].shape), np.result_type(bundle, W_h))
        _pull_into(delta, partials.drive_h, place, heard)
        back = np.dot(W_h.T, delta.reshape(len(W_h), -1)).reshape(heard[0].shape)
        if partials.inlet is not None:
            back *= partials.inlet[place]
        old = np.empty((len(heard), *heard[0].shape), delta.dtype)
        _pull_into(old, partials.state, place, heard)
        old[0] += back
        return old.reshape(bundle.shape)

    def push_input_at(self, t: int, bundle: Array) -> Array:
        """Return the change of the state after step t (S, B, M), from changes of its input (I, B, M)."""
        partials, W_x = self._at(t), self.trajectory.params["W_x"]
        drives = np.dot(W_x, bundle.reshape(len(bundle), -1)).reshape(-1, *bundle.shape[1:])
        return np.concatenate(push_drives(partials, _pieces(drives, len(partials.drive_x[0]))))

    def pull_input_at(self, t: int, bundle: Array) -> Array:
        """Return gradients with respect to the input of step t (I, B, M), from those of the state after (S, B, M)."""
        partials, W_x = self._at(t), self.trajectory.params["W_x"]
        heard = [piece.copy() for piece in _pieces(bundle, len(partials.value))]
        pull_chain(partials, heard)
        delta = np.concatenate(pull_row(partials.drive_x, heard))
        return np.dot(W_x.T, delta.reshape(len(delta), -1)).reshape(-1, *bundle.shape[1:])

    def back(self, steps: slice, total: Array, keep: bool = True) -> Backward:
        """Carry a gradient back over steps that lie in one of the chunks, adding to ``total`` (n+1, S, B) in place.

        ``total`` holds the direct part of the gradient at each time, and at the last one all of it.
        """
        chunk = self._chunks[steps.start // self._chunk_size]
        partials = self.partials(chunk, keep)
        if (steps.start, steps.stop) != (chunk.start, chunk.stop):
            partials = partials.pick(slice(steps.start - chunk.start, steps.stop - chunk.start))
        return backward(self.trajectory, steps, partials, self._back_weights.astype(total.dtype, copy=False), total)

    @cached_property
    def _back_weights(self) -> Array:
        return np.ascontiguousarray(self.trajectory.params["W_h"].T)

    def _at(self, t: int) -> Partials:
        """Return the partials of one step, (H, B, 1)."""
        chunk = self._chunks[t // self._chunk_size]
        return self.partials(chunk).pick((t - chunk.start, ..., None))

    @cached_property
    def _chunks(self) -> list[slice]:
        return self.trajectory.chunks()

    @property
    def _chunk_size(self) -> int:
        return self._chunks[0].stop

    def jvp(self, tangents: Array) -> Array:
        """Return J_t v_t for every step.

        Parameters
        ----------
        tangents : ndarray, (T, B, S)
            A change of the state before each step.

        Returns
        -------
        ndarray, (T, B, S)
            The change of the state after that step, to first order.

        Raises
        ------
        ShapeError
            When the shape is another.
        """
        return self._map(push, "W_h", "tangents", tangents, ("S", self.state_size), self.state_size)

    def vjp(self, cotangents: Array) -> Array:
        """Return J_t' w_t for every step.

        Parameters
        ----------
        cotangents : ndarray, (T, B, S)
            A gradient with respect to the state after each step.

        Returns
        -------
        ndarray, (T, B, S)
            The gradient with respect to the state before that step.

        Raises
        ------
        ShapeError
            When the shape is another.
        """
        return self._map(pull, "W_h", "cotangents", cotangents, ("S", self.state_size), self.state_size)

    def input_jvp(self, tangents: Array) -> Array:
        """Return the change of the state after every step, from that of its input.

        Parameters
        ----------
        tangents : ndarray, (T, B, I)
            A change of the input of each step, the state before it held fixed.

        Returns
        -------
        ndarray, (T, B, S)

        Raises
        ------
        ShapeError
            When the shape is another.
        """
        return self._map(
            push_inputs, "W_x", "tangents", tangents, ("I", self.trajectory.cell.input_size), self.state_size
        )

    def input_vjp(self, cotangents: Array) -> Array:
        """Return the gradient with respect to the input of every step, from that of the state after it.

        Parameters
        ----------
        cotangents : ndarray, (T, B, S)
            A gradient with respect to the state after each step.

        Returns
        -------
        ndarray, (T, B, I)

        Raises
        ------
        ShapeError
            When the shape is another.
        """
        return self._map(
            pull_inputs, "W_x", "cotangents", cotangents, ("S", self.state_size), self.trajectory.cell.input_size
        )

    def _map(
        self,
        product: Callable[[Partials, Array, Array], Array],
        weights: str,
        name: str,
        vectors: Array,
        width: tuple[str, int],
        size: int,
    ) -> Array:
        """Return a product (T, B, size) of some weights with one vector for each step."""
        trajectory = self.trajectory
        letter, count = width
        shape = (trajectory.length, trajectory.batch, count)
        vectors = as_floats(name, vectors)
        if vectors.shape != shape:
            raise ShapeError(
                f"`{name}` must have shape (T, B, {letter})={shape}, got {vectors.shape}. "
                "Give one vector for each step."
            )
        W = trajectory.params[weights]
        columns = batch_last(vectors.astype(np.result_type(vectors, W), copy=False))
        result = np.empty((trajectory.length, size, trajectory.batch), columns.dtype)
        with np.errstate(all="ignore"):
            for steps in trajectory.chunks():
                result[steps] = product(self.partials(steps), W, columns[steps])
        return batch_last(result)

    def jacobians(self) -> Array:
        """Return every state-to-state Jacobian, (T, B, S, S).

        ``jacobians()[t]`` is d states[t+1] / d states[t]; rows are outputs. Takes T*B*S*S numbers of
        memory: for norms and products there is :meth:`norm`, :meth:`jvp` and :meth:`vjp`.
        """
        trajectory = self.trajectory
        length, batch, size = trajectory.length, trajectory.batch, trajectory.cell.state_size
        result = np.zeros((length, batch, size, size), trajectory.rows.dtype)
        with np.errstate(all="ignore"):
            for steps in trajectory.chunks():
                dense(self.partials(steps), trajectory.params["W_h"], result[steps])
        return result

    def input_jacobians(self) -> Array:
        """Return d states[t+1] / d inputs[t], (T, B, S, I)."""
        trajectory = self.trajectory
        count = len(trajectory.cell.gate_names)
        W = trajectory.params["W_x"].reshape(count, trajectory.cell.hidden_size, -1)
        shape = (trajectory.length, trajectory.batch, trajectory.cell.state_size, W.shape[2])
        result = np.zeros(shape, trajectory.rows.dtype)
        with np.errstate(all="ignore"):
            for steps in trajectory.chunks():
                for block, row in enumerate(resolve(self.partials(steps), "drive_x")):
                    rows = split(result[steps], len(trajectory.cell.blocks))[block]
                    for k, partial in enumerate(row):
                        if partial is not None:
                            rows += batch_last(partial)[..., None] * W[k]
        return result

    def norm(self, kind: str = "spectral") -> Array:
        """Return a norm of each state-to-state Jacobian, without making the matrices.

        The spectral norm is the most that a step can stretch a change of the state; the Frobenius norm over
        sqrt(S) is how much it stretches a random one.

        Parameters
        ----------
        kind : {"spectral", "frobenius"}

        Returns
        -------
        ndarray, (T, B)
            At least 0; NaN exactly where a Jacobian holds NaN or inf. The spectral norm lies within a relative
            error of 1e-8 (1e-4 in float32) of a singular value, most often within a few units in the last place, and
            never above the largest. That it is not the largest but one lower by a share of d has a chance of
            1e-8 / d at most, and only where two lie so close.

        Raises
        ------
        ArgumentError
            For another kind.
        """
        if kind not in NORMS:
            raise unknown("kind", kind, NORMS)
        trajectory = self.trajectory
        W_h = trajectory.params["W_h"]
        with np.errstate(all="ignore"):
            return np.concatenate([NORMS[kind](self.partials(steps), W_h) for steps in trajectory.chunks()])


def linearize(trajectory: Trajectory) -> Any:
    """Return the linearization of a trajectory; partials are made when first asked for.

    Whatever needs them first raises ArgumentError when the cell's update is not elementwise, or when the step of a cell
    that does not factor mixes its sequences.

    Returns
    -------
    Linearization, or DenseLinearization
        The second, with the same methods, for a :class:`gradscope.cells.DenseCell`.

    Raises
    ------
    ArgumentError
        When it is no trajectory.
    """
    own = getattr(trajectory, "linearize", None)  # a network's
    if own is not None:
        return own()
    if not isinstance(trajectory, Trajectory):
        raise ArgumentError(
            f"`trajectory` must be what `gs.unroll` returns, got {type(trajectory).__name__}. "
            "Call `gs.unroll(cell, params, inputs)` first."
        )
    return Linearization(trajectory) if trajectory.cell.factored else DenseLinearization(trajectory)


def partials_at(trajectory: Trajectory, steps: slice) -> Partials:
    """Return the partials of some steps by autograd, arrays (n, H, B)."""
    derive = _differentiator(trajectory.cell, trajectory.params, trajectory.rows.dtype)
    masks = trajectory.masks
    with np.errstate(all="ignore"):
        state = trajectory.seen_at(steps)
        units = unit_arrays(trajectory.cell, trajectory.params, state[0].shape)
        partials = derive(*trajectory.drives_at(steps), state, units)
        if not masks:
            return partials
        valid, reset = (None if mask is None else mask[steps] for mask in (masks.valid, masks.reset))
        return partials.masked(valid, reset, masks.inlet(steps, trajectory.rows.dtype))


@per_cell
def _differentiator(cell: Cell, params: Mapping[str, Array], dtype: np.dtype) -> Callable[..., Partials]:
    """Return what differentiates the update of a cell."""
    names = cell.unit_params

    def update(
        drive_x: Sequence[Any], drive_h: Sequence[Any], state: Sequence[Any], units: Sequence[Any]
    ) -> Sequence[Any]:
        return cell.update(Opened(names, units, params), drive_x, drive_h, state)

    with np.errstate(all="ignore"):
        _check_elementwise(cell, update, dtype)
        return differentiator(update, len(cell.gate_names), len(cell.blocks), len(names), cell.hidden_size, dtype)


def _check_elementwise(cell: Cell, update: Callable[..., Sequence[Any]], dtype: np.dtype) -> None:
    """Refuse an update in which one unit or sequence hears another: its partials would be no diagonals."""
    count, blocks, shape = len(cell.gate_names), len(cell.blocks), (cell.hidden_size, 2)
    rows = 2 * count + blocks + len(cell.unit_params)
    arrays = np.random.default_rng(0).standard_normal((rows, *shape)).astype(dtype)
    nudged = arrays.copy()
    nudged[:, 0, 0] += 0.5
    cuts = [count, 2 * count, 2 * count + blocks]
    before, after = (update(*(tuple(group) for group in np.split(a, cuts))) for a in (arrays, nudged))
    for old, new in zip(before, after, strict=True):
        moved = ~np.isclose(np.broadcast_to(old, shape), np.broadcast_to(new, shape), 0.0, 0.0, equal_nan=True)
        moved[0, 0] = False
        if moved.any():
            raise ArgumentError(
                f"`update` of {type(cell).__name__} must be elementwise, got one in which a unit or a sequence moves "
                "another. Let units meet in W_h alone."
            )


def _pull_into(out: Array, diagonals: Sequence[Row], place: Any, heard: Sequence[Array]) -> None:
    """Write the cotangent of each drive, or of each block of the old state: as ``pull_row``, with no copy."""
    for column, share in enumerate(out):
        terms = [(d[place], w) for row, w in zip(diagonals, heard, strict=True) if (d := row[column]) is not None]
        if not terms:
            share[...] = 0.0
            continue
        np.multiply(*terms[0], out=share)
        for diagonal, w in terms[1:]:
            share += diagonal * w


def _pieces(bundle: Array, count: int) -> list[Array]:
    """Return ``count`` equal pieces of a bundle's first axis."""
    return np.split(bundle, count)


@dataclass(frozen=True, eq=False)
class Jacobians:
    """Plain matrices with the interface of a linearization, so that any map can be measured.

    Attributes
    ----------
    matrices : ndarray, (T, B, S, S)
        ``matrices[t]`` is d states[t+1] / d states[t].
    blocks : int
        The number of equal blocks that the state is made of.

    Raises
    ------
    ShapeError
        When the matrices have another shape or are not made of numbers.
    ArgumentError
        When ``blocks`` is below 1.
    """

    matrices: Array
    blocks: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrices", as_floats("matrices", self.matrices))
        if self.blocks < 1:
            raise ArgumentError(
                f"`blocks` must be a whole number of at least 1, got {self.blocks}. Leave it out for one."
            )
        shape = self.matrices.shape
        if len(shape) != 4 or shape[2] != shape[3] or 0 in shape or shape[3] % self.blocks:
            divisible = f" with S divisible by {self.blocks}" if self.blocks > 1 else ""
            raise ShapeError(
                f"`matrices` must have shape (T, B, S, S){divisible}, got {shape}. "
                "For one sequence use `matrices[:, None]`."
            )

    @property
    def length(self) -> int:
        """T, the number of Jacobians."""
        return self.matrices.shape[0]

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.matrices.shape[1]

    @property
    def state_size(self) -> int:
        """S, the size of a Jacobian."""
        return self.matrices.shape[3]

    @property
    def block_size(self) -> int:
        """The size of one block of the state."""
        return self.state_size // self.blocks

    @property
    def dtype(self) -> np.dtype:
        """That of the matrices."""
        return self.matrices.dtype

    def push_at(self, t: int, bundle: Array) -> Array:
        """Return J_t V for a bundle of columns V (S, B, M)."""
        return np.moveaxis(np.matmul(self.matrices[t], np.moveaxis(bundle, 1, 0)), 0, 1)

    def pull_at(self, t: int, bundle: Array) -> Array:
        """Return J_t' W for a bundle of columns W (S, B, M)."""
        return np.moveaxis(np.matmul(np.swapaxes(self.matrices[t], 1, 2), np.moveaxis(bundle, 1, 0)), 0, 1)
