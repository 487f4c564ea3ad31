"""Trajectory: what happened when a cell read its inputs.

Time comes first everywhere outside. Inside, arrays are kept as (time, units, batch): each gate of a
step is then one contiguous block, a step's product is one plain matrix product with the
sequences as columns, and the arrays that users see are transposed views of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gradscope.cells import Cell, DenseCell, Gate, as_floats, check_kind, split
from gradscope.errors import ArgumentError, ShapeError, unknown
from gradscope.masks import NO_MASKS, Masks
from gradscope.program import Opened, per_cell, replayed

__all__ = ["Trajectory", "check_state", "stepper", "unroll"]

CHUNK = 2**18
"""Elements of one array of gates that are worked on at a time: 2 MB of float64 stay near the cache."""

KEPT = 2**24
"""Elements of an array of gates up to which drives and partials are kept; beyond, they are made again."""


class _GateValues(Mapping):
    """Gate values by name, (T, B, H)."""

    def __init__(self, trajectory: Trajectory) -> None:
        self._trajectory = trajectory

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._trajectory.cell.gate_names:
            raise KeyError(str(unknown("gates", name, self._trajectory.cell.gate_names)))
        return batch_last(self._trajectory.gate_arrays[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._trajectory.cell.gate_names)

    def __len__(self) -> int:
        return len(self._trajectory.cell.gate_names)


def batch_last(array: np.ndarray) -> np.ndarray:
    """Return a (time, units, batch) array as (time, batch, units) or the other way, without a copy."""
    return np.swapaxes(array, -1, -2)


FEW = 2**21
"""Elements of an array of gates up to which drives and values of all gates are kept: several measurements read them."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The states that a cell went through; made by :func:`unroll`.

    Attributes
    ----------
    cell : Cell
    params : dict
        As checked: contiguous arrays of one dtype.
    columns : ndarray, (T, I+1, B)
        The inputs, features before sequences, and a last row of ones: the bias is its weight.
    rows : ndarray, (T+1, S, B)
        The states, units before sequences; ``states`` is the same as (T+1, B, S).
    drives : ndarray (T, K*H, B) or None
        Recurrent drives, kept when they are small enough.
    masks : Masks
        Which steps count, where the state is reset, which units are dropped.
    """

    cell: Cell
    params: Mapping[str, np.ndarray]
    columns: np.ndarray
    rows: np.ndarray
    drives: np.ndarray | None = None
    masks: Masks = NO_MASKS
    _gates: dict[tuple[int, int], dict[str, Gate]] = field(default_factory=dict, init=False, repr=False)

    def __repr__(self) -> str:
        sizes = f"T={self.length}, B={self.batch}, S={self.cell.state_size}, {self.rows.dtype}"
        return f"<Trajectory of {type(self.cell).__name__}: {sizes}>"

    @property
    def length(self) -> int:
        """T, the number of steps."""
        return self.columns.shape[0]

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.columns.shape[2]

    @property
    def inputs(self) -> np.ndarray:
        """What the cell read, (T, B, I)."""
        return batch_last(self.columns[:, :-1])

    @property
    def states(self) -> np.ndarray:
        """All that is carried, (T+1, B, S): ``states[0]`` is the initial state."""
        return batch_last(self.rows)

    @property
    def valid(self) -> np.ndarray | None:
        """Which steps are no padding, (T, B) of bool; None when all of them count."""
        return None if self.masks.valid is None else self.masks.valid[:, 0]

    @property
    def reset(self) -> np.ndarray | None:
        """Before which steps the state was set to zero, (T, B) of bool; None when it never was."""
        return None if self.masks.reset is None else self.masks.reset[:, 0]

    @property
    def hidden(self) -> np.ndarray:
        """h after each step, (T, B, H)."""
        return self.states[1:, :, : self.cell.hidden_size]

    @property
    def cell_state(self) -> np.ndarray:
        """c after each step, (T, B, H).

        Raises
        ------
        ArgumentError
            For a cell without a cell state.
        """
        if "c" not in self.cell.blocks:
            raise ArgumentError(
                f"`cell_state` needs a cell with a cell state, got {type(self.cell).__name__}. Use `hidden`."
            )
        at = self.cell.blocks.index("c") * self.cell.hidden_size
        return self.states[1:, :, at : at + self.cell.hidden_size]

    @property
    def gates(self) -> Mapping[str, np.ndarray]:
        """Value of each gate at each step, (T, B, H), by name: ``gates["forget"]``."""
        return _GateValues(self)

    @cached_property
    def gate_arrays(self) -> dict[str, np.ndarray]:
        """Value of each gate, (T, H, B), by name."""
        parts = [self.gates_at(steps) for steps in self.chunks()]
        return {name: np.concatenate([part[name].value for part in parts]) for name in self.cell.gate_names}

    def chunks(self) -> list[slice]:
        """Return the steps in runs short enough for the cache."""
        width = max(1, len(self.cell.gate_names)) * self.cell.hidden_size * self.batch
        size = max(1, CHUNK // width)
        size = -(-self.length // -(-self.length // size))  # runs of about one length, none much shorter
        return [slice(start, min(start + size, self.length)) for start in range(0, self.length, size)]

    def drives_at(self, steps: slice) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Return input drives and recurrent drives of some steps, one (n, H, B) array for each gate."""
        count = len(self.cell.gate_names)
        kept = self.drives
        drive_h = recurrent_drive(self.params, self.heard_at(steps)) if kept is None else kept[steps]
        return split(input_drive(self.params, self.columns[steps]), count), split(drive_h, count)

    def blocks_at(self, times: slice) -> tuple[np.ndarray, ...]:
        """Return the blocks of the state at some times, one (n, H, B) array for each."""
        return split(self.rows[times], len(self.cell.blocks))

    def seen_at(self, steps: slice) -> tuple[np.ndarray, ...]:
        """Return the blocks of the old state as some steps see them: zero after a reset."""
        return split(self.masks.seen(self.rows[steps], steps), len(self.cell.blocks))

    def heard_at(self, steps: slice) -> np.ndarray:
        """Return h as it enters the recurrent product of some steps (n, H, B)."""
        return self.masks.heard(self.rows[steps, : self.cell.hidden_size], steps)

    def gates_at(self, steps: slice) -> dict[str, Gate]:
        """Return drive and value of each gate at some steps, (n, H, B)."""
        if self.length * self.batch * len(self.cell.gate_names) * self.cell.hidden_size > FEW:
            return self._make_gates(steps)
        place = steps.start, steps.stop
        if place not in self._gates:
            self._gates[place] = self._make_gates(steps)
        return self._gates[place]

    def _make_gates(self, steps: slice) -> dict[str, Gate]:
        """Return the gates at some steps, made anew."""
        if isinstance(self.cell, DenseCell):
            seen = self.masks.seen(self.rows[steps], steps)
            with np.errstate(all="ignore"):
                return self.cell.gates_along(self.params, self.columns[steps, :-1], seen)
        state = self.seen_at(steps)
        params = Opened(self.cell.unit_params, unit_arrays(self.cell, self.params, state[0].shape), self.params)
        with np.errstate(all="ignore"):
            return self.cell.gates(params, *self.drives_at(steps), state)


def input_drive(params: Mapping[str, np.ndarray], columns: np.ndarray) -> np.ndarray:
    """Return W_x x + b for all steps, (n, K*H, B)."""
    return np.matmul(np.concatenate([params["W_x"], params["b"][:, None]], axis=1), columns)


def unit_arrays(cell: Cell, params: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> list[np.ndarray]:
    """Return each unit parameter in ``shape`` (..., H, B)."""
    return [np.broadcast_to(params[name][:, None], shape) for name in cell.unit_params]


def recurrent_drive(params: Mapping[str, np.ndarray], hidden: np.ndarray) -> np.ndarray:
    """Return W_h h (+ b_h) for all steps, (n, K*H, B)."""
    drive = np.matmul(params["W_h"], hidden)
    if "b_h" in params:
        drive += params["b_h"][:, None]
    return drive


def unroll(
    cell: Cell,
    params: Mapping[str, Any],
    inputs: Any,
    state: Any = None,
    *,
    valid: Any = None,
    reset: Any = None,
    dropout: Any = None,
) -> Trajectory:
    """Run ``cell`` over ``inputs`` and return its trajectory.

    Parameters
    ----------
    cell : Cell
    params : dict
        W_x (K*H, I), W_h (K*H, H), b (K*H,) and, optionally, b_h (K*H,).
    inputs : array, (T, B, I)
        Time comes first.
    state : array (B, S), optional
        Initial state, h then c for an LSTM; zeros when left out.
    valid : array of bool (T, B), optional
        Which steps are no padding. Over a padded step the state goes unchanged, and its input is not read.
    reset : array of bool (T, B), optional
        Before which steps the state is set to zero: where a new document begins.
    dropout : array (T, B, H) or (B, H), optional
        Factors on h before W_h: 0, or 1 / (1 - rate). One mask for all steps is that of Gal & Ghahramani 2016.

    Returns
    -------
    Trajectory
        ``.states`` (T+1, B, S), ``.hidden`` (T, B, H), ``.gates["forget"]`` (T, B, H). A state
        that overflows becomes inf or NaN and stays in the arrays: divergence is a result.

    Raises
    ------
    ArgumentError
        When a parameter is missing, or a mask holds what is neither true nor false.
    ShapeError
        When an array has the wrong shape or is not made of numbers.
    """
    check_kind(cell)
    own = getattr(cell, "unroll", None)  # a network's
    if own is not None:
        return own(params, inputs, state, valid=valid, reset=reset, dropout=dropout)
    arrays = cell.check(params)
    dtype = next(iter(arrays.values())).dtype
    columns = _check_inputs(cell, inputs, dtype)
    length, _, batch = columns.shape
    if dropout is not None and isinstance(cell, DenseCell):
        raise ArgumentError(
            f"`dropout` needs a cell with a product W_h h, got {type(cell).__name__}. Put the mask into its own step."
        )
    masks = Masks.of(valid, reset, dropout, (length, batch, cell.hidden_size), dtype)
    if masks.valid is not None:
        columns[:, :-1] = np.where(masks.valid, columns[:, :-1], 0)
    size, blocks = cell.hidden_size, len(cell.blocks)
    rows = np.empty((length + 1, cell.state_size, batch), dtype)
    with np.errstate(over="ignore"):
        rows[0] = check_state(state, batch, cell.state_size, cell.blocks).T
    if isinstance(cell, DenseCell):
        trajectory = Trajectory(cell, arrays, columns, rows, None, masks)
        _walk_dense(trajectory, cell)
        return trajectory
    count = len(cell.gate_names)
    keep = length * count * size * batch <= KEPT
    drives = np.empty((length if keep else 1, count * size, batch), dtype)
    trajectory = Trajectory(cell, arrays, columns, rows, drives if keep else None, masks)
    hidden, states, recurrent = rows[:, :size], split(rows, blocks), split(drives, count)
    update = stepper(cell, arrays, dtype)
    units = unit_arrays(cell, arrays, (size, batch))
    masked, second = bool(masks), arrays["b_h"][:, None] if "b_h" in arrays else None
    with np.errstate(all="ignore"):
        for steps in trajectory.chunks():
            drive_x = split(input_drive(arrays, columns[steps]), count)
            for n, t in enumerate(range(steps.start, steps.stop)):
                at = t if keep else 0
                old = [block[t] for block in states]
                np.dot(arrays["W_h"], masks.heard(old[0], t) if masked else hidden[t], out=drives[at])
                if second is not None:
                    drives[at] += second
                seen = [masks.seen(block, t) for block in old] if masked else old
                new = update(*[x[n] for x in drive_x], *[h[at] for h in recurrent], *seen, *units)
                for block, value, before in zip(states, new, old, strict=True):
                    block[t + 1] = masks.carried(value, before, t) if masked else value
    return trajectory


def _walk_dense(trajectory: Trajectory, cell: DenseCell) -> None:
    """Fill in the states of a cell that does not factor, step by step."""
    rows, masks, x = trajectory.rows, trajectory.masks, trajectory.columns[:, :-1]
    with np.errstate(all="ignore"):
        for t in range(trajectory.length):
            new, _ = cell.step(trajectory.params, x[t].T, masks.seen(rows[t], t).T)
            rows[t + 1] = masks.carried(np.concatenate([block.T for block in new]), rows[t], t)


@per_cell
def stepper(cell: Cell, params: Mapping[str, np.ndarray], dtype: np.dtype) -> Callable[..., Sequence[np.ndarray]]:
    """Return the update of a cell on its drives and blocks in a row, recorded where that gives the same digits."""
    count, blocks = len(cell.gate_names), len(cell.blocks)

    def update(*arrays: Any) -> Sequence[Any]:
        drives, rest = arrays[: 2 * count], arrays[2 * count :]
        opened = Opened(cell.unit_params, rest[blocks:], params)
        return cell.update(opened, drives[:count], drives[count:], rest[:blocks])

    def samples(batch: int) -> list[np.ndarray]:
        shape = (2 * count + blocks + len(cell.unit_params), cell.hidden_size, batch)
        return list(np.random.default_rng(0).standard_normal(shape).astype(dtype))

    return replayed(update, samples(2), samples(3))


def _check_inputs(cell: Cell, inputs: Any, dtype: np.dtype) -> np.ndarray:
    """Return inputs as columns (T, I+1, B) of ``dtype`` above a row of ones, or say what is wrong."""
    array = as_floats("inputs", inputs)
    wanted = f"`inputs` must have shape (T, B, I={cell.input_size}), got {array.shape}. Time comes first"
    if array.ndim == 2 and np.asarray(inputs).dtype.kind in "iu" and array.shape[1] != cell.input_size:
        raise ShapeError(f"{wanted}; for tokens (T, B) use `np.eye({cell.input_size})[inputs]`, or their embeddings.")
    if array.ndim != 3:
        raise ShapeError(f"{wanted}; for one sequence use `inputs[:, None, :]`.")
    if array.shape[2] != cell.input_size:
        raise ShapeError(f"{wanted}, the I features last.")
    if 0 in array.shape:
        raise ShapeError(f"{wanted}; give at least one step and one sequence.")
    columns = np.ones((array.shape[0], array.shape[2] + 1, array.shape[1]), dtype)
    with np.errstate(over="ignore"):
        columns[:, :-1] = batch_last(array)
    return columns


def check_state(state: Any, batch: int, size: int, blocks: Iterable[str]) -> np.ndarray:
    """Return an initial state as (B, S), zeros when it is None.

    Parameters
    ----------
    state : array-like, (B, S), or None
    batch, size : int
        B and S.
    blocks : iterable of str
        What lies side by side in the state, for the message.

    Raises
    ------
    ShapeError
        When it has another shape or is not made of numbers.
    """
    if state is None:
        return np.zeros((batch, size))
    array = as_floats("state", state)
    if array.shape != (batch, size):
        raise ShapeError(
            f"`state` must have shape (B={batch}, S={size}), got {array.shape}. Put {', '.join(blocks)} side by side."
        )
    return array
