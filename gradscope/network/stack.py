"""Stack: layers above one another, each reading the hidden states of the one below.

The new hidden state of layer l - 1 is the input of layer l at the same step. The Jacobian of the whole state is
therefore block lower triangular, and its products are those of the layers, each with its input partials: no matrix is
made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import autograd.numpy as anp
import numpy as np

from gradscope.adjoint import backpropagate, scan
from gradscope.cells import Cell, as_floats
from gradscope.errors import ArgumentError, ShapeError
from gradscope.linearization import linearize
from gradscope.logscale import Scaled
from gradscope.network.layers import (
    blocks_of,
    dotted,
    during,
    factors,
    hidden_slices,
    leaves,
    one_for_each,
    raise_hidden,
    read_hidden,
    spans,
    state_of,
)
from gradscope.network.maps import NetworkAdjoint, NetworkMaps
from gradscope.network.walk import Walk, raised, rows_of, walk
from gradscope.trajectory import Trajectory, batch_last, unroll

__all__ = ["Stack", "StackLinearization", "StackTrajectory"]

Array = np.ndarray


@dataclass(frozen=True)
class Stack:
    """Put cells above one another.

    A stack goes wherever a cell goes: :func:`gradscope.unroll`, ``linearize``, ``probe``, ``scan``. Its parameters are
    a list with one entry for each layer, its state is that of the layers side by side, and its layers are called
    ``"layer1"``, ``"layer2"`` ... from the input up (``"layer1.forward"`` and ``"layer1.backward"`` of a
    :class:`gradscope.Bidirectional` one).

    Parameters
    ----------
    cells : sequence of Cell or Bidirectional
        From the input up; of any kinds and sizes that fit.

    Raises
    ------
    ArgumentError
        When there is no cell, or something that is none.
    ShapeError
        When a layer does not read what the one below gives.

    Examples
    --------
    >>> from gradscope.cells import GRU, LSTM
    >>> network = Stack([LSTM(input_size=2, hidden_size=8), GRU(input_size=8, hidden_size=4)])
    >>> params = network.init(np.random.default_rng(0))
    >>> trajectory = unroll(network, params, np.ones((5, 3, 2)))
    >>> trajectory.hidden.shape, trajectory.layers["layer1"].cell_state.shape
    ((5, 3, 4), (5, 3, 8))
    """

    cells: tuple[Any, ...]

    def __post_init__(self) -> None:
        cells = tuple(self.cells) if isinstance(self.cells, Sequence) else (self.cells,)
        object.__setattr__(self, "cells", cells)
        if not cells:
            raise ArgumentError("`cells` must hold at least one cell, got none. Give them from the input up.")
        for n, cell in enumerate(cells):
            if not isinstance(cell, Cell) and not hasattr(cell, "hidden_slices"):
                raise ArgumentError(
                    f"`cells` must hold cells, got {cell!r} at {n}. Make it one: `gs.LSTM(input_size, hidden_size)`."
                )
        for n, (below, above) in enumerate(pairwise(cells)):
            if above.input_size != below.hidden_size:
                raise ShapeError(
                    f"`cells[{n + 1}]` must have input_size={below.hidden_size}, the hidden_size of the layer below, "
                    f"got {above.input_size}. Build it with input_size={below.hidden_size}."
                )

    @property
    def input_size(self) -> int:
        """I, what the lowest layer reads."""
        return self.cells[0].input_size

    @property
    def hidden_size(self) -> int:
        """H of the top layer."""
        return self.cells[-1].hidden_size

    @property
    def state_size(self) -> int:
        """S, the sum over the layers."""
        return sum(cell.state_size for cell in self.cells)

    @property
    def places(self) -> list[slice]:
        """Where in the state each layer stands."""
        ends = np.cumsum([0, *(cell.state_size for cell in self.cells)]).tolist()
        return [slice(start, stop) for start, stop in pairwise(ends)]

    @property
    def spans(self) -> list[tuple[str, Cell, slice]]:
        """Name, cell and place in the state of every cell."""
        return [
            (dotted(f"layer{n}", name), cell, slice(at.start + place.start, at.start + place.stop))
            for n, (layer, at) in enumerate(zip(self.cells, self.places, strict=True), 1)
            for name, cell, place in spans(layer)
        ]

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks that make up the state, in order, as a cell has them."""
        return tuple(name for name, _ in blocks_of(self))

    @property
    def hidden_slices(self) -> list[slice]:
        """Where in the state the hidden states of the top layer stand."""
        start = self.places[-1].start
        return [slice(start + at.start, start + at.stop) for at in hidden_slices(self.cells[-1])]

    def init(self, rng: np.random.Generator, **options: Any) -> list[Any]:
        """Draw parameters, those of the lowest layer first.

        Parameters
        ----------
        rng : numpy.random.Generator
        **options
            As for the ``init`` of a cell, the same for every layer.

        Returns
        -------
        list
            What ``init`` of each layer returns.
        """
        return [cell.init(rng, **options) for cell in self.cells]

    def check(self, params: Any) -> list[Any]:
        """Return the parameters as checked by each layer.

        Raises
        ------
        ArgumentError
            When there is not one entry for each layer, or a layer cannot take its own.
        """
        if isinstance(params, Mapping) or not hasattr(params, "__len__") or len(params) != len(self.cells):
            got = f"a dict of {', '.join(map(str, params))}" if isinstance(params, Mapping) else _count(params)
            raise ArgumentError(
                f"`params` of a stack must be a list with one entry for each of its {len(self.cells)} layers, got "
                f"{got}. Use `network.init(rng)` to draw them all."
            )
        return [cell.check(entry) for cell, entry in zip(self.cells, params, strict=True)]

    def unroll(
        self,
        params: Any,
        inputs: Any,
        state: Any = None,
        *,
        valid: Any = None,
        reset: Any = None,
        dropout: Any = None,
        between: Any = None,
    ) -> StackTrajectory:
        """Run the layers over ``inputs``, from the lowest up.

        Parameters
        ----------
        params : list
            One entry for each layer.
        inputs : array, (T, B, I)
        state : array (B, S), optional
            Initial states of the layers side by side; zeros when left out.
        valid, reset : array of bool (T, B), optional
            As for a cell; every layer has the same.
        dropout : list, optional
            For each layer None, or factors on its h before its own W_h, (T, B, H) or (B, H).
        between : list, optional
            For each layer but the top one None, or factors on its h on the way up, (T, B, H) or (B, H).

        Returns
        -------
        StackTrajectory
        """
        arrays = self.check(params)
        within = one_for_each("dropout", dropout, len(self.cells), "layer")
        gaps = one_for_each("between", between, len(self.cells) - 1, "gap between layers")
        levels: list[Any] = []
        heard, masks = inputs, {"valid": valid, "reset": reset}
        upward: list[Array | None] = []
        first = as_floats("inputs", inputs)
        given = state is not None and first.ndim == 3  # other inputs are refused by the lowest layer
        start = state_of(self, state, first.shape[1]) if given else None
        for n, (cell, place) in enumerate(zip(self.cells, self.places, strict=True)):
            own = None if start is None else start[:, place]
            level = unroll(cell, arrays[n], heard, own, dropout=within[n], **masks)
            levels.append(level)
            if n < len(gaps):
                heard = level.hidden
                upward.append(factors(f"between[{n}]", gaps[n], heard.shape))
                heard = heard if upward[-1] is None else heard * upward[-1]
        return StackTrajectory(self, tuple(levels), tuple(upward))

    def scan(
        self,
        params: Any,
        inputs: Any,
        state: Any = None,
        *,
        valid: Any = None,
        reset: Any = None,
        dropout: Any = None,
        between: Any = None,
        truncate: int | None = None,
    ) -> Any:
        """Return the states (T+1, B, S), differentiable by autograd with respect to params, inputs and state.

        Each layer is one primitive of autograd (:func:`gradscope.scan`). Arguments as for :meth:`unroll`.
        """
        if not hasattr(params, "__len__") or hasattr(params, "keys") or len(params) != len(self.cells):
            self.check(params)
        within = one_for_each("dropout", dropout, len(self.cells), "layer")
        gaps = one_for_each("between", between, len(self.cells) - 1, "gap between layers")
        if state is not None and np.ndim(inputs) == 3 and np.shape(state) != (np.shape(inputs)[1], self.state_size):
            state_of(self, state, np.shape(inputs)[1])
        states, heard = [], inputs
        for n, (cell, place) in enumerate(zip(self.cells, self.places, strict=True)):
            own = None if state is None else state[:, place]
            masks = {"valid": valid, "reset": reset, "dropout": within[n], "truncate": truncate}
            states.append(scan(cell, params[n], heard, own, **masks))
            if n < len(gaps):
                heard = read_hidden(cell, states[-1])
                upward = factors(f"between[{n}]", gaps[n], heard.shape)
                heard = heard if upward is None else heard * upward
        return anp.concatenate(states, axis=2)

    def describe(self) -> dict[str, Any]:
        """Return the network as plain data."""
        return {"cell": "Stack", "layers": [cell.describe() for cell in self.cells]}


def _count(params: Any) -> str:
    """Return how many entries there are, in words."""
    return f"{len(params)}" if hasattr(params, "__len__") else type(params).__name__


@dataclass(frozen=True, eq=False)
class StackTrajectory:
    """The states that a stack went through; made by :func:`gradscope.unroll`.

    Attributes
    ----------
    cell : Stack
    levels : tuple
        The trajectory of each layer.
    between : tuple of ndarray (T, B, H) or None
        Factors on the hidden states on their way up.
    """

    cell: Stack
    levels: tuple[Any, ...]
    between: tuple[Array | None, ...]

    def __repr__(self) -> str:
        sizes = f"T={self.length}, B={self.batch}, S={self.cell.state_size}, {self.dtype}"
        return f"<Trajectory of Stack of {len(self.levels)} layers: {sizes}>"

    @property
    def layers(self) -> dict[str, Trajectory]:
        """The plain trajectory of each cell, by name; a backward one runs in its own time."""
        return _named(self.levels)

    @property
    def params(self) -> list[Any]:
        """As checked, one entry for each layer."""
        return [level.params for level in self.levels]

    @property
    def length(self) -> int:
        """T, the number of steps."""
        return self.levels[0].length

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.levels[0].batch

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32."""
        return np.result_type(*(level.states.dtype for level in self.levels))

    @property
    def inputs(self) -> Array:
        """What the lowest layer read, (T, B, I)."""
        return self.levels[0].inputs

    @property
    def hidden(self) -> Array:
        """h of the top layer after each step, (T, B, H)."""
        return self.levels[-1].hidden

    @cached_property
    def states(self) -> Array:
        """All that is carried, (T+1, B, S): the states of the layers side by side."""
        return np.concatenate([level.states for level in self.levels], axis=2)

    @property
    def rows(self) -> Array:
        """The states with units before sequences, (T+1, S, B)."""
        return batch_last(self.states)

    @property
    def valid(self) -> Array | None:
        """Which steps are no padding, (T, B) of bool; None when all of them count."""
        return self.levels[0].valid

    @property
    def reset(self) -> Array | None:
        """Before which steps the state was set to zero, (T, B) of bool; None when it never was."""
        return self.levels[0].reset

    def during(self, steps: slice) -> StackTrajectory:
        """Return the trajectory of some steps alone."""
        between = tuple(None if factor is None else factor[steps] for factor in self.between)
        return StackTrajectory(self.cell, tuple(during(level, steps) for level in self.levels), between)

    def linearize(self) -> StackLinearization:
        """Return the linearization."""
        return StackLinearization(self, tuple(linearize(level) for level in self.levels))


@dataclass(frozen=True, eq=False, repr=False)
class StackLinearization(NetworkMaps):
    """The Jacobians of a stack, layer by layer and as a whole; made by :func:`gradscope.linearize`.

    Attributes
    ----------
    trajectory : StackTrajectory
    levels : tuple
        The linearization of each layer, its inputs held fixed.
    """

    trajectory: StackTrajectory
    levels: tuple[Any, ...]

    @property
    def layers(self) -> dict[str, Any]:
        """The linearization of each cell, by name."""
        return _named(self.levels)

    @property
    def forward(self) -> bool:
        """Whether every layer runs forward, so that the whole state has Jacobians."""
        return all(getattr(level, "forward", True) for level in self.levels)

    def _whole(self) -> None:
        """Refuse what only a network whose steps have one order has."""
        if not self.forward:
            raise ArgumentError(
                "A Jacobian of the whole state needs layers that all run forward, got one that runs backward, too. "
                f"Take the parts in `.layers`: {', '.join(self.layers)}."
            )

    def push_at(self, t: int, bundle: Array) -> Array:
        """Return J_t V for a bundle of columns V (S, B, M)."""
        return self._up(t, bundle, None)

    def push_input_at(self, t: int, bundle: Array) -> Array:
        """Return the change of the state after step t (S, B, M), from changes of its input (I, B, M)."""
        return self._up(t, None, bundle)

    def _up(self, t: int, state: Array | None, heard: Array | None) -> Array:
        """Return the change of the state after step t, from those of the state before it and of its input."""
        self._whole()
        new = []
        for level, place, factor in self._floors():
            changes = [] if state is None else [level.push_at(t, state[place])]
            changes += [] if heard is None else [level.push_input_at(t, heard)]
            new.append(sum(changes[1:], changes[0]))
            heard = _scaled(new[-1][hidden_slices(level.trajectory.cell)[0]], factor, t)
        return np.concatenate(new)

    def pull_at(self, t: int, bundle: Array) -> Array:
        """Return J_t' W for a bundle of columns W (S, B, M)."""
        return np.concatenate([level.pull_at(t, heard) for level, heard in self._down(t, bundle)][::-1])

    def pull_input_at(self, t: int, bundle: Array) -> Array:
        """Return gradients with respect to the input of step t (I, B, M), from those of the state after (S, B, M)."""
        *_, (level, heard) = self._down(t, bundle)
        return level.pull_input_at(t, heard)

    def _down(self, t: int, bundle: Array) -> Iterator[tuple[Any, Array]]:
        """Yield each layer, from the top, with what it hears after step t from the loss and the layer above."""
        self._whole()
        above: Array | None = None
        for level, place, factor in reversed(list(self._floors())):
            heard = bundle[place]
            if above is not None:
                heard = heard.copy()
                heard[hidden_slices(level.trajectory.cell)[0]] += _scaled(above, factor, t)
            yield level, heard
            if place.start:
                above = level.pull_input_at(t, heard)

    def _floors(self) -> Iterator[tuple[Any, slice, Array | None]]:
        """Yield each layer with its place in the state and the factors on its way up."""
        return zip(self.levels, self.trajectory.cell.places, (*self.trajectory.between, None), strict=True)

    def jvp(self, tangents: Array) -> Array:
        """Return J_t v_t for every step, (T, B, S) from (T, B, S)."""
        self._fits("tangents", tangents, "S", self.state_size)
        return self._up_all(tangents, None)

    def input_jvp(self, tangents: Array) -> Array:
        """Return the change of the state after every step (T, B, S), from that of its input (T, B, I)."""
        self._fits("tangents", tangents, "I", self.input_size)
        return self._up_all(None, tangents)

    def _up_all(self, state: Array | None, heard: Array | None) -> Array:
        """Return :meth:`_up` for every step at once, (T, B, S)."""
        self._whole()
        new = []
        for level, place, factor in self._floors():
            changes = [] if state is None else [level.jvp(state[:, :, place])]
            changes += [] if heard is None else [level.input_jvp(heard)]
            new.append(sum(changes[1:], changes[0]))
            heard = new[-1][:, :, hidden_slices(level.trajectory.cell)[0]]
            heard = heard if factor is None else heard * factor
        return np.concatenate(new, axis=2)

    def vjp(self, cotangents: Array) -> Array:
        """Return J_t' w_t for every step, (T, B, S) from (T, B, S)."""
        return np.concatenate([level.vjp(heard) for level, heard in self._down_all(cotangents)][::-1], axis=2)

    def input_vjp(self, cotangents: Array) -> Array:
        """Return the gradient with respect to the input of every step (T, B, I), from (T, B, S)."""
        *_, (level, heard) = self._down_all(cotangents)
        return level.input_vjp(heard)

    def _down_all(self, cotangents: Array) -> Iterator[tuple[Any, Array]]:
        """Yield :meth:`_down` for every step at once."""
        self._whole()
        self._fits("cotangents", cotangents, "S", self.state_size)
        above: Array | None = None
        for level, place, factor in reversed(list(self._floors())):
            heard = cotangents[:, :, place]
            if above is not None:
                heard = np.array(heard, np.result_type(heard, above))
                heard[:, :, hidden_slices(level.trajectory.cell)[0]] += above if factor is None else above * factor
            yield level, heard
            if place.start:
                above = level.input_vjp(heard)

    def jacobians(self) -> Array:
        """Return every state-to-state Jacobian, (T, B, S, S): block lower triangular, T*B*S*S numbers of memory."""
        return self._columns(False)

    def input_jacobians(self) -> Array:
        """Return d states[t+1] / d inputs[t], (T, B, S, I)."""
        return self._columns(True)

    def _columns(self, inputs: bool) -> Array:
        """Return the Jacobians with respect to the inputs, or else to the state before."""
        self._whole()
        shape = (self.length, self.batch, self.state_size, self.input_size if inputs else self.state_size)
        result = np.zeros(shape, self.dtype)
        below: Array | None = None
        with np.errstate(all="ignore"):
            for level, place, factor in self._floors():
                rows = result[:, :, place]
                if below is not None:
                    rows[..., : below.shape[3]] = np.matmul(level.input_jacobians(), below)
                elif inputs:
                    rows[...] = level.input_jacobians()
                if not inputs:
                    rows[..., place] = level.jacobians()
                below = rows[:, :, hidden_slices(level.trajectory.cell)[0], : None if inputs else place.stop]
                below = below if factor is None else below * factor[..., None]
        return result

    def backpropagate(self, direct: Array, inputs: bool = True, truncate: int | None = None) -> NetworkAdjoint:
        """Return the gradients of a loss from its direct part, layer by layer; see :func:`gradscope.backpropagate`."""
        direct = self._fits_times(direct)
        adjoints: list[Any] = []
        above: Array | None = None
        for level, place, factor in reversed(list(self._floors())):
            own = np.array(direct[:, :, place], self.dtype)
            if above is not None:
                raise_hidden(level.trajectory.cell, own, above if factor is None else above * factor)
            adjoints.append(backpropagate(level, own, inputs or place.start > 0, truncate))
            above = adjoints[-1].inputs
        adjoints.reverse()
        parts = _named(adjoints)
        return NetworkAdjoint(
            [adjoint.params for adjoint in adjoints],
            above if inputs else None,
            parts,
            lambda: self._total(direct, adjoints),
        )

    def _total(self, direct: Array, adjoints: Sequence[Any]) -> Array:
        """Return the total gradient in the coordinates of the whole state, from the layers' own."""
        total = np.concatenate([adjoint.total for adjoint in adjoints], axis=2)
        if self.forward:
            for level, place, adjoint in list(zip(self.levels, self.trajectory.cell.places, adjoints, strict=True))[
                :-1
            ]:
                total[:, :, place] = direct[:, :, place]
                total[:-1, :, place] += level.vjp(adjoint.total[1:])
        return total

    def walk(self, direct: Sequence[Scaled]) -> Walk:
        """Return what every cell hears on the way back; see :mod:`gradscope.network.walk`."""
        walks: list[Walk] = []
        above: list[Scaled] = []
        for level, place, factor in reversed(list(self._floors())):
            own, cell = rows_of(direct, place), level.trajectory.cell
            for t, heard in enumerate(above):
                if factor is not None:
                    heard = Scaled(heard.mantissa * factor[t].T, heard.exponent)
                own[t + 1] = own[t + 1] + raised(heard, hidden_slices(cell), cell.state_size)
            walks.append(walk(level, own))
            above = walks[-1].inputs
        walks.reverse()
        return Walk(_merged(walks, "directs"), _merged(walks, "carried"), above)


def _named(parts: Sequence[Any]) -> dict[str, Any]:
    """Return what belongs to each cell, from what belongs to each layer."""
    return {dotted(f"layer{n}", name): leaf for n, part in enumerate(parts, 1) for name, leaf in leaves(part).items()}


def _merged(walks: Sequence[Walk], what: str) -> dict[str, list[Scaled]]:
    """Return one table of every cell of the layers."""
    return {
        dotted(f"layer{n}", name): steps
        for n, part in enumerate(walks, 1)
        for name, steps in getattr(part, what).items()
    }


def _scaled(bundle: Array, factor: Array | None, t: int) -> Array:
    """Return a bundle (H, B, M) times the factors of step t."""
    return bundle if factor is None else bundle * factor[t].T[:, :, None]
