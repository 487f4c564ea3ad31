"""Both directions: one cell reads the sequence as it comes, another of the same kind from its end.

Each direction has a trajectory and a linearization in its own time: step t of the backward one reads the input that
stands t steps before the last. A padded step carries the state on, so the backward direction starts, with its initial
state, at each sequence's own last step that is no padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import autograd.numpy as anp
import numpy as np

from gradscope.adjoint import backpropagate, check_direct, scan
from gradscope.cells import Cell
from gradscope.errors import ArgumentError, ShapeError
from gradscope.linearization import linearize
from gradscope.logscale import Scaled
from gradscope.network.gradients import NetworkGradients, network_gradients
from gradscope.network.layers import blocks_of, state_of
from gradscope.network.maps import NetworkAdjoint
from gradscope.network.walk import Walk, rows_of, walk
from gradscope.trajectory import Trajectory, batch_last, unroll

__all__ = ["Bidirectional", "BidirectionalLinearization", "BidirectionalTrajectory"]

Array = np.ndarray
DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True)
class Bidirectional:
    """Let two cells of one kind read the inputs, one from each end.

    It goes wherever a cell goes, and into a :class:`gradscope.Stack`. Its parameters are
    ``{"forward": ..., "backward": ...}``, its hidden states those of the two directions side by side, (T, B, 2H), and
    so is its state: ``states[t+1]`` holds what each direction knows right after it read ``inputs[t]``, ``states[0]``
    where each began.

    Parameters
    ----------
    cell : Cell
        Of both directions, which have parameters of their own.

    Raises
    ------
    ArgumentError
        When ``cell`` is no cell.

    Examples
    --------
    >>> from gradscope.cells import LSTM
    >>> network = Bidirectional(LSTM(input_size=2, hidden_size=8))
    >>> params = network.init(np.random.default_rng(0))
    >>> unroll(network, params, np.ones((5, 3, 2))).hidden.shape
    (5, 3, 16)
    """

    cell: Cell

    def __post_init__(self) -> None:
        if not isinstance(self.cell, Cell):
            raise ArgumentError(
                f"`cell` must be a cell, got {self.cell!r}. "
                "For several layers, put one Bidirectional for each into a Stack."
            )

    @property
    def input_size(self) -> int:
        """I, what each direction reads."""
        return self.cell.input_size

    @property
    def hidden_size(self) -> int:
        """Twice that of the cell: both directions side by side."""
        return 2 * self.cell.hidden_size

    @property
    def state_size(self) -> int:
        """Twice that of the cell."""
        return 2 * self.cell.state_size

    @property
    def spans(self) -> list[tuple[str, Cell, slice]]:
        """Name, cell and place in the state of each direction."""
        size = self.cell.state_size
        return [(name, self.cell, slice(n * size, (n + 1) * size)) for n, name in enumerate(DIRECTIONS)]

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks that make up the state, in order, as a cell has them."""
        return tuple(name for name, _ in blocks_of(self))

    @property
    def hidden_slices(self) -> list[slice]:
        """Where in the state the hidden states of each direction stand."""
        return [slice(place.start, place.start + self.cell.hidden_size) for _, _, place in self.spans]

    def init(self, rng: np.random.Generator, **options: Any) -> dict[str, Any]:
        """Draw parameters of both directions.

        Parameters
        ----------
        rng : numpy.random.Generator
        **options
            As for the cell's ``init``.

        Returns
        -------
        dict
            ``{"forward": ..., "backward": ...}``.
        """
        return {name: self.cell.init(rng, **options) for name in DIRECTIONS}

    def check(self, params: Any) -> dict[str, Any]:
        """Return the parameters as checked by the cell.

        Raises
        ------
        ArgumentError
            When they are not ``{"forward": ..., "backward": ...}``, or the cell cannot take them.
        """
        _check_names(params)
        return {name: self.cell.check(params[name]) for name in DIRECTIONS}

    def unroll(
        self,
        params: Any,
        inputs: Any,
        state: Any = None,
        *,
        valid: Any = None,
        reset: Any = None,
        dropout: Any = None,
    ) -> BidirectionalTrajectory:
        """Run both directions over ``inputs``.

        Parameters
        ----------
        params : dict
        inputs : array, (T, B, I)
        state : array (B, 2S), optional
            Where each direction begins, the forward one first; zeros when left out.
        valid, reset : array of bool (T, B), optional
            As for a cell. A reset marks a boundary between two steps, where each direction starts anew from its side.
        dropout : array (T, B, 2H) or (B, 2H), optional
            Factors on each direction's h before its own W_h, by the input that it then reads.

        Returns
        -------
        BidirectionalTrajectory
        """
        _check_names(params)
        start: Any = [None, None]
        if state is not None and np.ndim(inputs) == 3:  # other inputs are refused by the cell
            start = np.split(state_of(self, state, np.shape(inputs)[1]), 2, axis=1)
        factors = self._dropout(dropout)
        forward = unroll(self.cell, params["forward"], inputs, start[0], valid=valid, reset=reset, dropout=factors[0])
        masks = {"valid": _flipped(valid), "reset": _boundaries(valid, reset), "dropout": factors[1]}
        backward = unroll(self.cell, params["backward"], np.asarray(inputs)[::-1], start[1], **masks)
        return BidirectionalTrajectory(self, forward, backward)

    def scan(
        self,
        params: Any,
        inputs: Any,
        state: Any = None,
        *,
        valid: Any = None,
        reset: Any = None,
        dropout: Any = None,
        truncate: int | None = None,
    ) -> Any:
        """Return the states (T+1, B, 2S), differentiable by autograd; arguments as for :meth:`unroll`."""
        _check_names(params)
        start: Any = [None, None]
        if state is not None and np.ndim(inputs) == 3:
            if np.shape(state) != (np.shape(inputs)[1], self.state_size):
                state_of(self, state, np.shape(inputs)[1])
            start = [state[:, place] for _, _, place in self.spans]
        factors = self._dropout(dropout)
        masks: dict[str, Any] = {"valid": valid, "reset": reset, "dropout": factors[0], "truncate": truncate}
        forward = scan(self.cell, params["forward"], inputs, start[0], **masks)
        masks |= {"valid": _flipped(valid), "reset": _boundaries(valid, reset), "dropout": factors[1]}
        own = scan(self.cell, params["backward"], inputs[::-1], start[1], **masks)
        return anp.concatenate([forward, anp.concatenate([own[:1], own[1:][::-1]])], axis=2)

    def _dropout(self, dropout: Any) -> Sequence[Any]:
        """Return the factors of each direction, those of the backward one in its own time."""
        if dropout is None:
            return [None, None]
        array = np.asarray(dropout)
        if array.ndim not in (2, 3) or array.shape[-1] != self.hidden_size:
            raise ShapeError(
                f"`dropout` must have shape (T, B, 2H={self.hidden_size}) or (B, 2H), got {array.shape}. "
                "Put those of the forward direction first, those of the backward one beside them."
            )
        forward, backward = np.split(array, 2, axis=-1)
        return [forward, backward[::-1] if array.ndim == 3 else backward]

    def describe(self) -> dict[str, Any]:
        """Return the network as plain data."""
        return {"cell": "Bidirectional", "layers": [self.cell.describe()]}


def _check_names(params: Any) -> None:
    """Refuse parameters that are not those of two directions."""
    names = sorted(params.keys()) if hasattr(params, "keys") else None
    if names != sorted(DIRECTIONS):
        got = type(params).__name__ if names is None else f"a dict of {', '.join(map(str, names))}"
        raise ArgumentError(
            "`params` of a bidirectional layer must be a dict of forward and backward, got "
            f"{got}. Use `network.init(rng)` to draw both."
        )


def _flipped(mask: Any) -> Any:
    """Return a mask (T, ...) in the time of the backward direction."""
    return None if mask is None else np.asarray(mask)[::-1]


def _boundaries(valid: Any, reset: Any) -> Array | None:
    """Return before which steps the backward direction starts anew, in its own time.

    A reset before step t is a boundary between it and the step before that is no padding, where the backward
    direction comes from the other side.
    """
    if reset is None:
        return None
    flags = np.asarray(reset, bool)
    counts = np.ones_like(flags) if valid is None else np.asarray(valid, bool)
    found = np.zeros_like(flags)
    pending = np.zeros(flags.shape[1:], bool)
    for n in range(len(flags)):
        t = len(flags) - 1 - n
        found[n] = counts[t] & pending
        pending = np.where(counts[t], flags[t], pending)
    return found


@dataclass(frozen=True, eq=False)
class BidirectionalTrajectory:
    """The states that two directions went through; made by :func:`gradscope.unroll`.

    Attributes
    ----------
    cell : Bidirectional
    forward, backward : Trajectory
        The backward one in its own time: its step t reads ``inputs[T-1-t]``.
    """

    cell: Bidirectional
    forward: Trajectory
    backward: Trajectory

    def __repr__(self) -> str:
        sizes = f"T={self.length}, B={self.batch}, S={self.cell.state_size}, {self.dtype}"
        return f"<Trajectory of Bidirectional {type(self.cell.cell).__name__}: {sizes}>"

    @property
    def layers(self) -> dict[str, Trajectory]:
        """The plain trajectory of each direction, in its own time."""
        return {"forward": self.forward, "backward": self.backward}

    @property
    def params(self) -> dict[str, Any]:
        """As checked, of each direction."""
        return {name: trajectory.params for name, trajectory in self.layers.items()}

    @property
    def length(self) -> int:
        """T, the number of steps."""
        return self.forward.length

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.forward.batch

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32."""
        return np.result_type(self.forward.rows, self.backward.rows)

    @property
    def inputs(self) -> Array:
        """What the forward direction read, (T, B, I)."""
        return self.forward.inputs

    @cached_property
    def states(self) -> Array:
        """Both states right after each input was read, (T+1, B, 2S); ``states[0]`` is where each began."""
        return np.concatenate([self.forward.states, aligned(self.backward.states)], axis=2)

    @property
    def hidden(self) -> Array:
        """Both hidden states right after each input was read, (T, B, 2H)."""
        return np.concatenate([self.forward.hidden, self.backward.hidden[::-1]], axis=2)

    @property
    def last(self) -> Array:
        """The state at the end of each direction, (B, 2S): the backward one's after the first input."""
        return np.concatenate([self.forward.states[-1], self.backward.states[-1]], axis=1)

    @property
    def rows(self) -> Array:
        """The states with units before sequences, (T+1, S, B)."""
        return batch_last(self.states)

    @property
    def valid(self) -> Array | None:
        """Which steps are no padding, (T, B) of bool; None when all of them count."""
        return self.forward.valid

    @property
    def reset(self) -> Array | None:
        """Before which steps the forward direction started anew, (T, B) of bool; None when it never did."""
        return self.forward.reset

    def linearize(self) -> BidirectionalLinearization:
        """Return the linearization."""
        return BidirectionalLinearization(self, {name: linearize(part) for name, part in self.layers.items()})


def aligned(states: Array) -> Array:
    """Return states (T+1, ...) of the backward direction by the input that was read last, or the other way."""
    return np.concatenate([states[:1], states[1:][::-1]])


@dataclass(frozen=True, eq=False, repr=False)
class BidirectionalLinearization:
    """The Jacobians of both directions, each in its own time; made by :func:`gradscope.linearize`.

    There is no Jacobian of both: the forward state at t comes from what was before, the backward one from what comes
    after. Measure ``layers["forward"]`` and ``layers["backward"]``.

    Attributes
    ----------
    trajectory : BidirectionalTrajectory
    layers : dict of Linearization
    """

    trajectory: BidirectionalTrajectory
    layers: dict[str, Any]

    forward = False

    def __repr__(self) -> str:
        return f"<Linearization of {repr(self.trajectory)[1:-1]}>"

    @property
    def length(self) -> int:
        """T, the number of steps of each direction."""
        return self.trajectory.length

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.trajectory.batch

    @property
    def state_size(self) -> int:
        """S of both directions."""
        return self.trajectory.cell.state_size

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32, that of the parameters."""
        return self.trajectory.dtype

    def backpropagate(self, direct: Array, inputs: bool = True, truncate: int | None = None) -> NetworkAdjoint:
        """Return the gradients of a loss from its direct part; see :func:`gradscope.backpropagate`.

        ``direct`` and ``total`` stand as ``states`` does: by the input that was read last.
        """
        trajectory: Any = self.trajectory
        check_direct(trajectory, direct)
        first, second = np.split(np.asarray(direct), 2, axis=2)
        forward = backpropagate(self.layers["forward"], first, inputs, truncate)
        backward = backpropagate(self.layers["backward"], aligned(second), inputs, truncate)
        shares = (forward.inputs, backward.inputs)
        heard = None if shares[0] is None or shares[1] is None else shares[0] + shares[1][::-1]
        return NetworkAdjoint(
            {"forward": forward.params, "backward": backward.params},
            heard,
            {"forward": forward, "backward": backward},
            lambda: np.concatenate([forward.total, aligned(backward.total)], axis=2),
        )

    def parts(self) -> list[tuple[str, slice, int]]:
        """Return name, place in the state and first time of both directions."""
        return [(name, place, 0) for name, _, place in self.trajectory.cell.spans]

    def gradient_norms(self, direct: Array) -> NetworkGradients:
        """Return norms of the gradient in log space, of each direction alone; see :class:`NetworkGradients`."""
        trajectory: Any = self.trajectory
        check_direct(trajectory, direct)
        return network_gradients(self, direct)

    def walk(self, direct: Sequence[Scaled]) -> Walk:
        """Return what each direction hears on the way back, in its own time; see :mod:`gradscope.network.walk`."""
        size = self.trajectory.cell.cell.state_size
        second = rows_of(direct, slice(size, None))
        forward = walk(self.layers["forward"], rows_of(direct, slice(0, size)))
        backward = walk(self.layers["backward"], [second[0], *second[:0:-1]])
        return Walk(
            {"forward": forward.directs[""], "backward": backward.directs[""]},
            {"forward": forward.carried[""], "backward": backward.carried[""]},
            [one + other for one, other in zip(forward.inputs, backward.inputs[::-1], strict=True)],
        )
