"""Dense: the linearization of a cell that does not factor, through autograd.

All steps and sequences are rows of one batch. One pull-back gives one row of every Jacobian, so S of them give them
all; where there are few rows, several pull-backs run side by side. The matrices are then there, and every
measurement is plain linear algebra on them: it has the methods of :class:`gradscope.linearization.Linearization`, for
the price of T*B*S*S numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import make_vjp
from autograd.core import VJPNode, add_outgrads
from autograd.tracer import isbox, new_box, trace_stack
from autograd.util import toposort

from gradscope.cells import StepCell, as_floats
from gradscope.cells.stepcell import columns_of, rows_of
from gradscope.errors import ArgumentError, GradscopeError, ShapeError, unknown
from gradscope.logscale import log10_norms
from gradscope.trajectory import KEPT, Trajectory

__all__ = ["DenseBackward", "DenseLinearization", "check_rows"]

Array = np.ndarray

CHUNK = 2**20
"""Elements of Jacobians that are made at a time."""
ROWS = 2**11
"""Rows that one pull-back should have at least: with fewer, autograd's bookkeeping is what takes the time."""


@dataclass(frozen=True, eq=False)
class DenseLinearization:
    """The Jacobians of a trajectory, written out.

    Attributes
    ----------
    trajectory : Trajectory
        Of a :class:`gradscope.cells.DenseCell`.
    """

    trajectory: Trajectory
    _made: dict[tuple[str, int], Array] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"<DenseLinearization of {self.trajectory!r}>"

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

    @cached_property
    def step(self) -> Callable[..., Any]:
        """The cell's step on rows, ``step(params, x (N, I), state (N, S)) -> (N, S)``, found to keep rows apart."""
        check_rows(self.trajectory)
        cell: Any = self.trajectory.cell

        def step(params: Any, x: Any, state: Any) -> Any:
            blocks = cell.step(params, x, state)[0]
            return anp.concatenate(blocks, axis=1) if len(blocks) > 1 else blocks[0]

        return step

    @cached_property
    def chained(self) -> bool:
        """Whether the step returns its blocks one by one, so that the way from one to another can be followed."""
        cell: Any = self.trajectory.cell
        if not isinstance(cell, StepCell):
            return True
        with np.errstate(all="ignore"):
            return cell.separate(self.trajectory.params, *self.read_at(slice(0, 1)))

    @property
    def laid_out(self) -> bool:
        """Whether W_x, W_h and b are there and have a row for each gate and unit."""
        params, shapes = self.trajectory.params, self.trajectory.cell.shapes()
        return all(name in params and params[name].shape == shapes[name] for name in ("W_x", "W_h", "b"))

    def chunks(self) -> list[slice]:
        """Return the steps in runs whose Jacobians are made at once."""
        size = max(1, CHUNK // (self.batch * self.state_size * max(self.state_size, self.trajectory.cell.input_size)))
        return [slice(start, min(start + size, self.length)) for start in range(0, self.length, size)]

    def read_at(self, steps: slice) -> tuple[Array, Array]:
        """Return what some steps read, as rows: x (n*B, I) and the old state (n*B, S)."""
        trajectory = self.trajectory
        seen = trajectory.masks.seen(trajectory.rows[steps], steps)
        return rows_of(trajectory.columns[steps, :-1]), rows_of(seen)

    def matrices(self, steps: slice) -> Array:
        """Return the Jacobians of one of :meth:`chunks`, (n, B, S, S)."""
        return self._kept("state", steps)

    def _kept(self, of: str, steps: slice) -> Array:
        """Return Jacobians with respect to the state or the inputs, made once and kept if there is room."""
        if (of, steps.start) not in self._made:
            if self.length * self.batch * self.state_size**2 > KEPT:
                self._made.clear()  # keep the last one alone
            with np.errstate(all="ignore"):
                self._made[of, steps.start] = self._make(of, steps)
        return self._made[of, steps.start]

    def _make(self, of: str, steps: slice) -> Array:
        """Return Jacobians of some steps (n, B, S, S or I), row by row of all of them."""
        x, state = self.read_at(steps)
        rows, size = len(state), self.state_size
        side = int(np.clip(ROWS // rows, 1, size))
        x, state = (np.tile(array, (side, 1)) for array in (x, state))
        pull = self._puller(of, x, state)
        width = (x if of == "x" else state).shape[1]
        result = np.empty((rows, -(-size // side) * side, width), self.dtype)
        for first in range(0, size, side):
            chosen = np.zeros((side, rows, size), self.dtype)
            for k in range(min(side, size - first)):
                chosen[k, :, first + k] = 1.0
            found = pull(chosen.reshape(-1, size)).reshape(side, rows, width)
            result[:, first : first + side] = np.swapaxes(found, 0, 1)
        matrices = result[:, :size].reshape(steps.stop - steps.start, self.batch, size, width)
        return self._masked(of, steps, matrices)

    def _puller(self, of: str, x: Array, state: Array) -> Callable[[Array], Array]:
        """Return the pull-back of the step from new states (N, S) to old ones or to inputs."""
        params, step = self.trajectory.params, self.step
        if of == "x":
            return _vjp(lambda x: step(params, x, state), x)
        return _vjp(lambda state: step(params, x, state), state)

    def _masked(self, of: str, steps: slice, matrices: Array) -> Array:
        """Return Jacobians with those of padded steps and resets as they are."""
        masks = self.trajectory.masks
        if masks.reset is not None and of == "state":
            matrices = np.where(masks.reset[steps, 0, :, None, None], self.dtype.type(0), matrices)
        if masks.valid is not None:
            idle = np.eye(self.state_size, dtype=self.dtype) if of == "state" else self.dtype.type(0)
            matrices = np.where(masks.valid[steps, 0, :, None, None], matrices, idle)
        return matrices

    def _at(self, of: str, t: int) -> Array:
        """Return the Jacobians of one step, (B, S, S or I)."""
        chunks = self.chunks()
        steps = chunks[t // (chunks[0].stop - chunks[0].start)]
        return self._kept(of, steps)[t - steps.start]

    def own_at(self, steps: slice, block: int) -> Array:
        """Return how each unit of a block answers to itself over some steps: diagonals of the Jacobians, (n, H, B)."""
        place = slice(block * self.block_size, (block + 1) * self.block_size)
        found = [self._at("state", t)[:, place, place] for t in range(steps.start, steps.stop)]
        return np.swapaxes(np.diagonal(np.stack(found), axis1=2, axis2=3), 1, 2)

    def push_at(self, t: int, bundle: Array) -> Array:
        """Return J_t V for a bundle of columns V (S, B, M)."""
        return _times(self._at("state", t), bundle)

    def pull_at(self, t: int, bundle: Array) -> Array:
        """Return J_t' W for a bundle of columns W (S, B, M)."""
        return _times(np.swapaxes(self._at("state", t), 1, 2), bundle)

    def push_input_at(self, t: int, bundle: Array) -> Array:
        """Return the change of the state after step t (S, B, M), from changes of its input (I, B, M)."""
        return _times(self._at("x", t), bundle)

    def pull_input_at(self, t: int, bundle: Array) -> Array:
        """Return gradients with respect to the input of step t (I, B, M), from those of the state after it."""
        return _times(np.swapaxes(self._at("x", t), 1, 2), bundle)

    def jvp(self, tangents: Array) -> Array:
        """Return J_t v_t (T, B, S) for every step, from a change of the state before it (T, B, S).

        Raises
        ------
        ShapeError
            When the shape is another.
        """
        return self._push("state", tangents, ("S", self.state_size))

    def input_jvp(self, tangents: Array) -> Array:
        """Return the change of the state after every step (T, B, S), from that of its input (T, B, I).

        Raises
        ------
        ShapeError
            When the shape is another.
        """
        return self._push("x", tangents, ("I", self.trajectory.cell.input_size))

    def vjp(self, cotangents: Array) -> Array:
        """Return J_t' w_t (T, B, S) for every step, from a gradient of the state after it (T, B, S).

        One pull-back for all steps, past the matrices.

        Raises
        ------
        ShapeError
            When the shape is another.
        """
        return self._pull("state", cotangents)

    def input_vjp(self, cotangents: Array) -> Array:
        """Return the gradient of every input (T, B, I), from that of the state after its step (T, B, S).

        Raises
        ------
        ShapeError
            When the shape is another.
        """
        return self._pull("x", cotangents)

    def _push(self, of: str, tangents: Array, width: tuple[str, int]) -> Array:
        """Return Jacobians times one vector for each step."""
        vectors = self._checked("tangents", tangents, *width)
        result = np.empty((self.length, self.batch, self.state_size), np.result_type(vectors, self.dtype))
        with np.errstate(all="ignore"):
            for steps in self.chunks():
                result[steps] = np.matmul(self._kept(of, steps), vectors[steps, ..., None])[..., 0]
        return result

    def _pull(self, of: str, cotangents: Array) -> Array:
        """Return transposed Jacobians times one vector for each step."""
        vectors = self._checked("cotangents", cotangents, "S", self.state_size)
        parts = []
        with np.errstate(all="ignore"):
            for steps in self.trajectory.chunks():
                heard = np.swapaxes(vectors[steps], 1, 2)
                parts.append(np.swapaxes(self.pull_steps(of, steps, heard), 1, 2))
        return np.concatenate(parts)

    def _checked(self, name: str, vectors: Array, letter: str, count: int) -> Array:
        """Return one vector for each step, or say what is wrong."""
        shape, vectors = (self.length, self.batch, count), as_floats(name, vectors)
        if vectors.shape != shape:
            raise ShapeError(
                f"`{name}` must have shape (T, B, {letter})={shape}, got {vectors.shape}. "
                "Give one vector for each step."
            )
        return vectors

    def pull_steps(self, of: str, steps: slice, heard: Array) -> Array:
        """Return gradients of what some steps read (n, S or I, B), from those of the states after them (n, S, B)."""
        masks = self.trajectory.masks
        working = self.working(steps, heard)
        pulled = columns_of(self._puller(of, *self.read_at(steps))(rows_of(working)), len(heard), self.batch)
        if of == "x":
            return pulled
        if masks.reset is not None:
            pulled = np.where(masks.reset[steps], 0.0, pulled)
        return pulled if masks.valid is None else np.where(masks.valid[steps], pulled, heard)

    def working(self, steps: slice, heard: Array) -> Array:
        """Return gradients of the states after some steps, 0 where the step is padding and its cell does nothing."""
        valid = self.trajectory.masks.valid
        return heard if valid is None else np.where(valid[steps], heard, 0.0)

    def jacobians(self) -> Array:
        """Return every state-to-state Jacobian, (T, B, S, S): ``jacobians()[t]`` is d states[t+1] / d states[t]."""
        return np.concatenate([self._kept("state", steps) for steps in self.chunks()])

    def input_jacobians(self) -> Array:
        """Return d states[t+1] / d inputs[t], (T, B, S, I)."""
        return np.concatenate([self._kept("x", steps) for steps in self.chunks()])

    def norm(self, kind: str = "spectral") -> Array:
        """Return a norm of each state-to-state Jacobian, (T, B); NaN exactly where one holds NaN or inf.

        Parameters
        ----------
        kind : {"spectral", "frobenius"}

        Raises
        ------
        ArgumentError
            For another kind.
        """
        kinds = {"spectral": 2, "frobenius": "fro"}
        if kind not in kinds:
            raise unknown("kind", kind, kinds)
        return np.concatenate([_norms(self._kept("state", steps), kinds[kind]) for steps in self.chunks()])

    def back(self, steps: slice, total: Array, keep: bool = True) -> DenseBackward:
        """Carry a gradient back over some steps, adding to ``total`` (n+1, S, B) in place.

        Parameters
        ----------
        steps : slice
        total : ndarray, (n+1, S, B)
            The direct part at each time; at the last one the whole gradient.
        keep : bool
            Taken for the sake of the factored linearization; nothing is kept here.
        """
        for n, t in reversed(list(enumerate(range(steps.start, steps.stop)))):
            total[n] += self.pull_steps("state", slice(t, t + 1), total[n + 1][None])[0]
        return DenseBackward(self, steps, total[1:])


@dataclass(frozen=True, eq=False)
class DenseBackward:
    """What came back over some steps; made by :meth:`DenseLinearization.back`.

    Attributes
    ----------
    linearization : DenseLinearization
    steps : slice
    total : ndarray, (n, S, B)
        The gradient of the state after each step.
    """

    linearization: DenseLinearization
    steps: slice
    total: Array

    @property
    def heard(self) -> Array:
        """The same, every block with what it hears through the blocks made from it, (n, S, B).

        Known where the cell's step returns its blocks one by one.
        """
        trajectory = self.linearization.trajectory
        working = self.linearization.working(self.steps, self.total)
        passed = _pass_on(trajectory.cell, trajectory.params, *self.linearization.read_at(self.steps), rows_of(working))
        return self.total + columns_of(passed, len(self.total), trajectory.batch)

    def inputs(self) -> Array:
        """Return the gradients of the inputs, (n, I, B)."""
        return self.linearization.pull_steps("x", self.steps, self.total)

    def gradients(self) -> dict[str, Array]:
        """Return the gradient of each parameter, summed over these steps and the sequences."""
        return self._of_parameters(self.steps, self.total)

    def shares(self) -> dict[str, Array]:
        """Return each step's share of the gradient of each parameter, (n, ...)."""
        steps = range(self.steps.start, self.steps.stop)
        parts = [self._of_parameters(slice(t, t + 1), self.total[n : n + 1]) for n, t in enumerate(steps)]
        return {name: np.stack([part[name] for part in parts]) for name in parts[0]}

    def share_norms(self, names: tuple[str, ...], scale: Array) -> Array:
        """Return log10 of the norm of each step's share, gate by gate (len(names), K, n); NaN for what has no gates.

        Parameters
        ----------
        names : tuple of str
            Of W_x, W_h and b.
        scale : ndarray, (B,)
            A factor for each sequence.
        """
        count, length = len(self.linearization.trajectory.cell.gate_names), len(self.total)
        result = np.full((len(names), count, length), np.nan)
        if not self.linearization.laid_out:
            return result
        shares = DenseBackward(self.linearization, self.steps, self.total * scale).shares()
        for found, name in zip(result, names, strict=True):
            found[...] = log10_norms(shares[name].reshape(length, count, -1), axis=2).T
        return result

    def _of_parameters(self, steps: slice, total: Array) -> dict[str, Array]:
        """Return the gradient of each parameter over some steps."""
        linearization = self.linearization
        x, state = linearization.read_at(steps)
        pull = _vjp(lambda params: linearization.step(params, x, state), linearization.trajectory.params)
        return dict(pull(rows_of(linearization.working(steps, total))))


def _vjp(step: Callable[[Any], Any], at: Any) -> Callable[[Array], Any]:
    """Return the pull-back of a step, or say what it must be written in."""
    try:
        return make_vjp(step)(at)[0]
    except GradscopeError:
        raise
    except (TypeError, AttributeError, ValueError) as error:
        raise ArgumentError(
            f"`step` must be written in `autograd.numpy`, got {type(error).__name__}: {error}. "
            "Use `import autograd.numpy as np` in it, and no function that wants plain arrays."
        ) from error


def check_rows(trajectory: Trajectory) -> None:
    """Refuse a step that takes no other number of rows, or in which one sequence moves another.

    Raises
    ------
    ArgumentError
        With what the step must be.
    """
    cell: Any = trajectory.cell
    name, rng = type(cell).__name__, np.random.default_rng(0)
    rows = trajectory.batch + 2  # another number than the sequences, and more than one
    first = trajectory.columns[0, :-1, :1].T, trajectory.rows[0, :, :1].T
    x, state = ((row + rng.standard_normal((rows, row.shape[1]))).astype(row.dtype) for row in first)
    nudged = x.copy(), state.copy()
    for array in nudged:
        array[0] += 0.5
    with np.errstate(all="ignore"):
        try:
            before, after = (
                np.concatenate(cell.step(trajectory.params, *some)[0], axis=1) for some in ((x, state), nudged)
            )
        except GradscopeError:
            raise
        except Exception as error:
            raise ArgumentError(
                f"`step` of {name} must take any number of rows, got {type(error).__name__}: {error}. "
                "Read the number from `len(x)`; all steps and sequences come as one batch."
            ) from error
    if not np.allclose(before[1:], after[1:], 1e-6, 1e-12, equal_nan=True):
        raise ArgumentError(
            f"`step` of {name} must keep sequences apart, got one in which a row of the batch moves another. "
            "Take means and norms over the last axis only."
        )


def _times(matrices: Array, bundle: Array) -> Array:
    """Return (B, S, W) times a bundle of columns (W, B, M), (S, B, M)."""
    return np.moveaxis(np.matmul(matrices, np.moveaxis(bundle, 1, 0)), 0, 1)


def _norms(matrices: Array, order: Any) -> Array:
    """Return the norm of each matrix, scaled by its largest entry first."""
    largest = np.abs(matrices).max(axis=(2, 3))
    fine = np.isfinite(largest)
    scale = np.where(fine & (largest > 0), largest, 1.0)
    result = np.full(largest.shape, np.nan, matrices.dtype)
    result[fine] = np.linalg.norm(matrices[fine] / scale[fine][:, None, None], order, axis=(1, 2)) * scale[fine]
    return result


def _pass_on(cell: Any, params: Any, x: Array, state: Array, heard: Array) -> Array:
    """Return what each block of the new state hears through blocks that are made from it, rows (N, S)."""
    count = len(cell.blocks)
    if count == 1:
        return np.zeros_like(heard)
    with trace_stack.new_trace() as trace:
        blocks = cell.step(params, x, new_box(state, trace, VJPNode.new_root()))[0]
    mine = [isbox(block) and block._trace == trace for block in blocks]
    ends = [block._node if own and block._node.parents else None for block, own in zip(blocks, mine, strict=True)]
    below = [set() if end is None else {id(node) for node in toposort(end)} - {id(end)} for end in ends]
    made_from = [[j for j, end in enumerate(ends) if end is not None and id(end) in nodes] for nodes in below]
    own = [part.copy() for part in np.split(heard, count, axis=1)]
    passed = [np.zeros_like(part) for part in own]
    for i in sorted(range(count), key=lambda i: -len(made_from[i])):  # each before those that it is made from
        if made_from[i]:
            reached = _pull_to([ends[j] for j in made_from[i]], ends[i], own[i] + passed[i])
            for j, share in zip(made_from[i], reached, strict=True):
                passed[j] = passed[j] + share
    return np.concatenate(passed, axis=1)


def _pull_to(targets: Sequence[Any], end: Any, cotangent: Array) -> list[Any]:
    """Return what arrives at nodes of a trace from a cotangent of ``end``, on roads that meet no other of them."""
    pending: dict[Any, Any] = {end: (cotangent, False)}
    reached: dict[int, Any] = {}
    for node in toposort(end):
        if node not in pending:
            continue
        arrived = pending.pop(node)[0]
        if any(node is target for target in targets):
            reached[id(node)] = arrived
            continue
        for parent, share in zip(node.parents, node.vjp(arrived) if node.parents else (), strict=True):
            pending[parent] = add_outgrads(pending.get(parent), share)
    return [reached.get(id(target), 0.0) for target in targets]
