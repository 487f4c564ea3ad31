"""Feedback: a network that reads its own outputs, and the Jacobian that this closes.

Where the output is fed back as the next input, a change of the hidden state reaches the next state by two ways: the
network's own recurrence, and the readout. The Jacobian is the network's own plus its input partials times those of
the readout, which is a correction of low rank: its products need no matrix either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import make_jvp, make_vjp
from autograd.builtins import tuple as autograd_tuple
from autograd.extend import defjvp_argnums, defvjp_argnums, primitive
from autograd.misc.flatten import flatten
from autograd.tracer import isbox

from gradscope.adjoint import backpropagate, scan
from gradscope.cells import Cell, DenseCell, as_floats, split
from gradscope.errors import ArgumentError, ShapeError
from gradscope.linearization import linearize
from gradscope.logscale import Scaled
from gradscope.network.layers import blocks_of, during, hidden_slices, leaves, spans
from gradscope.network.maps import NetworkAdjoint, NetworkMaps
from gradscope.network.readout import Readout
from gradscope.network.stack import Stack
from gradscope.network.walk import Walk, raised, walk
from gradscope.program import reads_parameters
from gradscope.trajectory import Trajectory, batch_last, stepper, unit_arrays, unroll

__all__ = ["FreeRunning", "FreeRunningLinearization", "FreeRunningTrajectory"]

Array = np.ndarray


@dataclass(frozen=True)
class FreeRunning:
    """Let a network read its own outputs: ``x_{t+1} = readout(h_t)``.

    It goes wherever a cell goes; the path through the readout belongs to its Jacobians. Its parameters are
    ``{"network": ..., "readout": ...}``. Which steps read ``inputs`` instead is said by ``forced``: the first one alone
    (one-to-many, free-running generation), the first few (a prompt), all of them (teacher forcing), or some by chance
    (scheduled sampling).

    Parameters
    ----------
    network : Cell or Stack
    readout : Readout

    Raises
    ------
    ArgumentError
        When ``network`` has a layer that runs backward: it would hear a future that is not there yet.
    ShapeError
        When the readout does not give what the network reads.

    Examples
    --------
    >>> from gradscope.cells import LSTM
    >>> network = FreeRunning(LSTM(input_size=2, hidden_size=8), Readout(2))
    >>> params = network.init(np.random.default_rng(0))
    >>> network.unroll(params, np.ones((20, 3, 2))).outputs.shape
    (20, 3, 2)
    """

    network: Any
    readout: Readout

    def __post_init__(self) -> None:
        backward = isinstance(self.network, Stack) and any(name.endswith("backward") for name, *_ in self.network.spans)
        if backward or not isinstance(self.network, (Cell, Stack)):
            raise ArgumentError(
                f"`network` must be a cell or a stack whose layers all run forward, got {self.network!r}. "
                "What is fed back has no future to read."
            )
        if self.readout.output_size != self.network.input_size:
            raise ShapeError(
                f"`readout` must have output_size={self.network.input_size}, the input_size of the network, got "
                f"{self.readout.output_size}. Build it with output_size={self.network.input_size}."
            )

    @property
    def input_size(self) -> int:
        """I, the width of inputs and outputs."""
        return self.network.input_size

    @property
    def hidden_size(self) -> int:
        """H of the network."""
        return self.network.hidden_size

    @property
    def state_size(self) -> int:
        """S of the network."""
        return self.network.state_size

    @property
    def spans(self) -> list[tuple[str, Cell, slice]]:
        """Name, cell and place in the state of every cell; a single one is ``"layer1"``."""
        return [(name or "layer1", cell, place) for name, cell, place in spans(self.network)]

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks that make up the state, in order, as a cell has them."""
        return tuple(name for name, _ in blocks_of(self))

    @property
    def hidden_slices(self) -> list[slice]:
        """Where in the state the hidden states that are read out stand."""
        return hidden_slices(self.network)

    def init(self, rng: np.random.Generator, **options: Any) -> dict[str, Any]:
        """Draw parameters.

        Parameters
        ----------
        rng : numpy.random.Generator
        **options
            As for the ``init`` of a cell.

        Returns
        -------
        dict
            ``{"network": ..., "readout": ...}``.
        """
        dtype = options.get("dtype", np.float64)
        network = self.network.init(rng, **options)
        return {"network": network, "readout": self.readout.init(rng, self.hidden_size, dtype=dtype)}

    def check(self, params: Any) -> dict[str, Any]:
        """Return the parameters as checked.

        Raises
        ------
        ArgumentError
            When they are not ``{"network": ..., "readout": ...}``, or either cannot take its own.
        """
        check_names(params)
        return {
            "network": self.network.check(params["network"]),
            "readout": self.readout.check(params["readout"], self.hidden_size),
        }

    def unroll(
        self,
        params: Any,
        inputs: Any,
        state: Any = None,
        *,
        valid: Any = None,
        reset: Any = None,
        dropout: Any = None,
        forced: Any = None,
        **options: Any,
    ) -> FreeRunningTrajectory:
        """Run the network over its own outputs.

        Parameters
        ----------
        params : dict
        inputs : array, (T, B, I)
            Read where ``forced``; elsewhere whatever stands there is not read.
        state : array (B, S), optional
        valid, reset, dropout
            As for the network. After a reset the output of a zero state is read.
        forced : array of bool (T,) or (T, B), or bool, optional
            Which steps read ``inputs``; left out: the first one alone.
        **options
            As for the network's ``unroll``.

        Returns
        -------
        FreeRunningTrajectory
        """
        arrays = self.check(params)
        read, flags = self._given(inputs, forced)
        inner = _unroll(
            self.network, arrays["network"], read, state, valid=valid, reset=reset, dropout=dropout, **options
        )
        trajectory = FreeRunningTrajectory(self, inner, arrays["readout"], flags)
        trajectory.fill()
        return trajectory

    def _given(self, inputs: Any, forced: Any) -> tuple[Array, Array]:
        """Return inputs with zeros where they are not read, and which steps read them (T, B)."""
        array = as_floats("inputs", inputs)
        if array.ndim != 3:
            raise ShapeError(
                f"`inputs` must have shape (T, B, I={self.input_size}), got {array.shape}. Time comes first; T says "
                "how long the network runs, whatever stands in the steps that are not forced."
            )
        flags = forced_steps(forced, array.shape[:2])
        return np.where(flags[:, :, None], array, array.dtype.type(0)), flags

    def scan(
        self,
        params: Any,
        inputs: Any,
        state: Any = None,
        *,
        valid: Any = None,
        reset: Any = None,
        dropout: Any = None,
        forced: Any = None,
        truncate: int | None = None,
    ) -> Any:
        """Return the states (T+1, B, S), differentiable by autograd; arguments as for :meth:`unroll`.

        One primitive of autograd: its gradient is :func:`gradscope.backpropagate`, those of higher order go over the
        tape, step by step.
        """
        _no_truncation(truncate)
        check_names(params)
        options = {"valid": valid, "reset": reset, "dropout": dropout, "forced": forced}
        if state is None:
            state = np.zeros((np.shape(inputs)[1] if np.ndim(inputs) == 3 else 1, self.state_size))
        flat, unflatten = flatten(params)
        kept: dict[str, Any] = {}
        return _scan(inputs, state, flat, network=self, unflatten=unflatten, options=options, kept=kept)

    def describe(self) -> dict[str, Any]:
        """Return the network as plain data."""
        return {"cell": "FreeRunning", "layers": [self.network.describe()], "readout": self.readout.describe()}


def _unroll(network: Any, params: Any, inputs: Any, state: Any, **options: Any) -> Any:
    """Return the trajectory of a cell or a network, with what only the network knows."""
    return (
        network.unroll(params, inputs, state, **options)
        if isinstance(network, Stack)
        else unroll(network, params, inputs, state, **options)
    )


def check_names(params: Any) -> None:
    """Refuse parameters that are not those of a network and a readout."""
    names = sorted(params.keys()) if hasattr(params, "keys") else None
    if names != ["network", "readout"]:
        got = type(params).__name__ if names is None else f"a dict of {', '.join(map(str, names))}"
        raise ArgumentError(f"`params` must be a dict of network and readout, got {got}. Use `init(rng)` to draw both.")


def forced_steps(forced: Any, shape: tuple[int, int]) -> Array:
    """Return which steps read the inputs, (T, B) of bool."""
    if forced is None:
        forced = np.arange(shape[0]) == 0
    array = np.asarray(forced)
    array = array[:, None] if array.ndim == 1 else array
    if array.dtype != bool or array.shape not in ((), (shape[0], 1), shape):
        raise ShapeError(
            f"`forced` must be true or false for each step, of shape (T,) or (T, B)={shape}, got {np.shape(forced)} of "
            f"{array.dtype}. Leave it out to read the first input alone."
        )
    return np.broadcast_to(array, shape)


def _no_truncation(truncate: int | None) -> None:
    """Refuse to cut a way back that also goes through the outputs."""
    if truncate is not None:
        raise ArgumentError(
            f"`truncate` needs a network that does not read its own outputs, got {truncate!r}. Leave it out."
        )


def advancer(trajectory: Trajectory) -> Callable[[int], None]:
    """Return what fills in the state after a step from that before it and the input, in place."""
    cell, params, masks, rows = trajectory.cell, trajectory.params, trajectory.masks, trajectory.rows
    columns = trajectory.columns
    if isinstance(cell, DenseCell):

        def dense(t: int) -> None:
            new, _ = cell.step(params, columns[t, :-1].T, masks.seen(rows[t], t).T)
            rows[t + 1] = masks.carried(np.concatenate([block.T for block in new]), rows[t], t)

        return dense
    count, size, blocks = len(cell.gate_names), cell.hidden_size, len(cell.blocks)
    W_xb = np.concatenate([params["W_x"], params["b"][:, None]], axis=1)
    update, units = stepper(cell, params, rows.dtype), unit_arrays(cell, params, (size, rows.shape[2]))

    def factored(t: int) -> None:
        drive_x, drive_h = W_xb @ columns[t], params["W_h"] @ masks.heard(rows[t, :size], t)
        if "b_h" in params:
            drive_h += params["b_h"][:, None]
        seen = split(masks.seen(rows[t], t), blocks)
        new = np.concatenate(update(*split(drive_x, count), *split(drive_h, count), *seen, *units))
        rows[t + 1] = masks.carried(new, rows[t], t)

    return factored


@dataclass(frozen=True, eq=False)
class FreeRunningTrajectory:
    """The states that a network went through while it read its own outputs; made by :func:`gradscope.unroll`.

    Attributes
    ----------
    cell : FreeRunning
    inner : Trajectory or StackTrajectory
        That of the network, whose ``inputs`` are what was read.
    readout : dict
        Parameters of the readout, as checked.
    forced : ndarray of bool, (T, B)
        Which steps read what was given.
    """

    cell: FreeRunning
    inner: Any
    readout: dict[str, Array]
    forced: Array

    def __repr__(self) -> str:
        sizes = f"T={self.length}, B={self.batch}, S={self.cell.state_size}, {self.dtype}"
        return f"<Trajectory of FreeRunning {type(self.cell.network).__name__}: {sizes}>"

    @property
    def layers(self) -> dict[str, Trajectory]:
        """The plain trajectory of each cell, by name."""
        return {name or "layer1": part for name, part in leaves(self.inner).items()}

    @property
    def params(self) -> dict[str, Any]:
        """As checked, of network and readout."""
        return {"network": self.inner.params, "readout": self.readout}

    @property
    def length(self) -> int:
        """T, the number of steps."""
        return self.inner.length

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.inner.batch

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32."""
        return self.inner.states.dtype

    @property
    def inputs(self) -> Array:
        """What was read, given or fed back, (T, B, I)."""
        return self.inner.inputs

    @property
    def hidden(self) -> Array:
        """h that is read out, after each step, (T, B, H)."""
        return self.inner.hidden

    @property
    def outputs(self) -> Array:
        """What is read out after each step, (T, B, O)."""
        return self.cell.readout(self.readout, self.hidden)

    @property
    def states(self) -> Array:
        """All that is carried, (T+1, B, S)."""
        return self.inner.states

    @property
    def rows(self) -> Array:
        """The states with units before sequences, (T+1, S, B)."""
        return batch_last(self.states)

    @property
    def valid(self) -> Array | None:
        """Which steps are no padding, (T, B) of bool; None when all of them count."""
        return self.inner.valid

    @property
    def reset(self) -> Array | None:
        """Before which steps the state was set to zero, (T, B) of bool; None when it never was."""
        return self.inner.reset

    @cached_property
    def heard(self) -> Array:
        """h as the readout hears it before each step, (T, B, H): zero after a reset."""
        hidden, reset = self.states[:-1, :, self.cell.hidden_slices[0]], self.reset
        return hidden if reset is None else np.where(reset[:, :, None], hidden.dtype.type(0), hidden)

    @cached_property
    def slope(self) -> Array:
        """The readout's slope where its output is fed back, 0 where the input is given, (T, B, O)."""
        slope = self.cell.readout.slope(self.cell.readout.drive(self.readout, self.heard))
        return np.where(self.forced[:, :, None], 0.0, slope).astype(self.dtype)

    def fill(self) -> None:
        """Run: write states and inputs over those that were made without feedback."""
        cells = list(self.layers.values())
        advance = [advancer(part) for part in cells]
        between = _between(self.inner)
        readout, place = self.cell.readout, cells[-1].cell.hidden_size
        given = self.valid
        valid = np.ones_like(self.forced) if given is None else given
        with np.errstate(all="ignore"):
            for t in range(self.length):
                fed = ~self.forced[t] & valid[t]
                heard = cells[-1].masks.seen(cells[-1].rows[t, :place], t)
                x = readout(self.readout, heard.T).T
                lowest = cells[0].columns[t, :-1]
                lowest[:, fed] = x[:, fed]
                for n, (part, go) in enumerate(zip(cells, advance, strict=True)):
                    go(t)
                    if n + 1 < len(cells):
                        up, factor = part.rows[t + 1, : part.cell.hidden_size], between[n]
                        up = up if factor is None else up * factor[t].T
                        cells[n + 1].columns[t, :-1] = up if part.masks.valid is None else np.where(valid[t], up, 0.0)
        for part in cells:
            part.__dict__.pop("gate_arrays", None)
            object.__setattr__(part, "drives", None)  # those of the run without feedback

    def during(self, steps: slice) -> FreeRunningTrajectory:
        """Return the trajectory of some steps alone."""
        return FreeRunningTrajectory(self.cell, during(self.inner, steps), self.readout, self.forced[steps])

    def linearize(self) -> FreeRunningLinearization:
        """Return the linearization."""
        return FreeRunningLinearization(self, linearize(self.inner))


def _between(trajectory: Any) -> list[Array | None]:
    """Return the factors on the way up between any two cells that follow each other."""
    if isinstance(trajectory, Trajectory):
        return []
    found: list[Array | None] = []
    for n, level in enumerate(trajectory.levels):
        found += _between(level)
        found += [trajectory.between[n]] if n < len(trajectory.between) else []
    return found


@dataclass(frozen=True, eq=False, repr=False)
class FreeRunningLinearization(NetworkMaps):
    """The Jacobians of a network that reads its own outputs; made by :func:`gradscope.linearize`.

    Attributes
    ----------
    trajectory : FreeRunningTrajectory
    inner : Linearization or StackLinearization
        That of the network with what it read held fixed.
    """

    trajectory: FreeRunningTrajectory
    inner: Any

    @property
    def layers(self) -> dict[str, Any]:
        """The linearization of each cell, by name, its inputs held fixed."""
        return {name or "layer1": part for name, part in leaves(self.inner).items()}

    @property
    def _place(self) -> slice:
        return self.trajectory.cell.hidden_slices[0]

    @cached_property
    def _gain(self) -> Array:
        """d x_t / d (W_y h) with respect to the state before step t, (T, B, O): 0 after a reset."""
        slope, reset = self.trajectory.slope, self.trajectory.reset
        return slope if reset is None else np.where(reset[:, :, None], slope.dtype.type(0), slope)

    @property
    def _weights(self) -> Array:
        return self.trajectory.readout["W_y"].astype(self.dtype, copy=False)

    def _fed(self, t: int, hidden: Array) -> Array:
        """Return the change of the input of step t (I, B, M), from that of h before it."""
        return self._gain[t].T[:, :, None] * np.tensordot(self._weights, hidden, 1)

    def _back(self, t: int, heard: Array) -> Array:
        """Return what h before step t hears through its input (H, B, M)."""
        return np.tensordot(self._weights.T, self._gain[t].T[:, :, None] * heard, 1)

    def push_at(self, t: int, bundle: Array) -> Array:
        """Return J_t V for a bundle of columns V (S, B, M)."""
        return self.inner.push_at(t, bundle) + self.inner.push_input_at(t, self._fed(t, bundle[self._place]))

    def pull_at(self, t: int, bundle: Array) -> Array:
        """Return J_t' W for a bundle of columns W (S, B, M)."""
        old = self.inner.pull_at(t, bundle)
        old[self._place] += self._back(t, self.inner.pull_input_at(t, bundle))
        return old

    def push_input_at(self, t: int, bundle: Array) -> Array:
        """Return the change of the state after step t (S, B, M), from changes of what was given (I, B, M)."""
        return self.inner.push_input_at(t, self.trajectory.forced[t][None, :, None] * bundle)

    def pull_input_at(self, t: int, bundle: Array) -> Array:
        """Return gradients with respect to what was given (I, B, M), from those of the state after (S, B, M)."""
        return self.trajectory.forced[t][None, :, None] * self.inner.pull_input_at(t, bundle)

    def jvp(self, tangents: Array) -> Array:
        """Return J_t v_t for every step, (T, B, S) from (T, B, S)."""
        tangents = self._fits("tangents", tangents, "S", self.state_size)
        fed = self._gain * np.matmul(tangents[:, :, self._place], self._weights.T)
        return self.inner.jvp(tangents) + self.inner.input_jvp(fed)

    def vjp(self, cotangents: Array) -> Array:
        """Return J_t' w_t for every step, (T, B, S) from (T, B, S)."""
        cotangents = self._fits("cotangents", cotangents, "S", self.state_size)
        old = np.ascontiguousarray(self.inner.vjp(cotangents))
        old[:, :, self._place] += np.matmul(self._gain * self.inner.input_vjp(cotangents), self._weights)
        return old

    def input_jvp(self, tangents: Array) -> Array:
        """Return the change of the state after every step (T, B, S), from that of what was given (T, B, I)."""
        tangents = self._fits("tangents", tangents, "I", self.input_size)
        return self.inner.input_jvp(self.trajectory.forced[:, :, None] * tangents)

    def input_vjp(self, cotangents: Array) -> Array:
        """Return the gradient with respect to what was given (T, B, I), from that of every state after (T, B, S)."""
        return self.trajectory.forced[:, :, None] * self.inner.input_vjp(cotangents)

    def jacobians(self) -> Array:
        """Return every state-to-state Jacobian, (T, B, S, S), T*B*S*S numbers of memory."""
        matrices = self.inner.jacobians()
        fed = self._gain[..., None] * self._weights
        matrices[..., self._place] += np.matmul(self.inner.input_jacobians(), fed)
        return matrices

    def input_jacobians(self) -> Array:
        """Return d states[t+1] / d inputs[t], (T, B, S, I): 0 where the input is not read."""
        return self.inner.input_jacobians() * self.trajectory.forced[:, :, None, None]

    def backpropagate(self, direct: Array, inputs: bool = True, truncate: int | None = None) -> NetworkAdjoint:
        """Return the gradients of a loss from its direct part; see :func:`gradscope.backpropagate`.

        The gradient of the readout is that of its part in the feedback; what the loss reads out itself comes on top.
        """
        _no_truncation(truncate)
        outside = np.array(self._fits_times(direct), self.dtype)
        bundle = outside[-1].T[..., None]
        with np.errstate(all="ignore"):
            for t in reversed(range(self.length)):
                fed = self._back(t, self.inner.pull_input_at(t, bundle))
                outside[t, :, self._place] += fed[..., 0].T
                bundle = outside[t].T[..., None] + self.inner.pull_at(t, bundle)
        inner = backpropagate(self.inner, outside)
        by_inputs = np.asarray(inner.inputs)
        heard = self.trajectory.slope * by_inputs
        readout = {
            "W_y": np.tensordot(heard, self.trajectory.heard.astype(self.dtype, copy=False), ((0, 1), (0, 1))),
            "b_y": heard.sum(axis=(0, 1)),
        }
        return NetworkAdjoint(
            {"network": inner.params, "readout": readout},
            self.trajectory.forced[:, :, None] * by_inputs if inputs else None,
            {name or "layer1": part for name, part in leaves(inner).items()},
            lambda: inner.total,
        )

    def walk(self, direct: Sequence[Scaled]) -> Walk:
        """Return what every cell hears on the way back; see :mod:`gradscope.network.walk`."""
        cell = self.trajectory.cell
        outside, bundle = list(direct), direct[-1]
        fed: list[Scaled] = []
        with np.errstate(all="ignore"):
            for t in reversed(range(self.length)):
                column = bundle.mantissa[..., None]
                back = self._back(t, self.inner.pull_input_at(t, column))[..., 0]
                fed.append(Scaled(back, bundle.exponent).normalized())
                outside[t] = outside[t] + raised(fed[-1], cell.hidden_slices, cell.state_size)
                carried = Scaled(self.inner.pull_at(t, column)[..., 0], bundle.exponent).normalized()
                bundle = outside[t] + carried
        inner = walk(self.inner, outside)
        directs, ways = (
            {name or "layer1": way for name, way in part.items()} for part in (inner.directs, inner.carried)
        )
        top, top_cell, _ = cell.spans[-1]
        for t, heard in enumerate(reversed(fed)):
            ways[top][t] = ways[top][t] + raised(heard, [slice(0, cell.hidden_size)], top_cell.state_size)
        given = [
            Scaled(heard.mantissa * forced, heard.exponent)
            for heard, forced in zip(inner.inputs, self.trajectory.forced, strict=True)
        ]
        return Walk(directs, ways, given)


@primitive
def _scan(
    inputs: Any, state: Any, flat: Any, *, network: FreeRunning, unflatten: Any, options: dict, kept: dict
) -> Array:
    """Unroll, and keep the linearization for the way back."""
    trajectory = network.unroll(unflatten(flat), inputs, state, **options)
    kept["linearization"] = trajectory.linearize()
    return np.ascontiguousarray(trajectory.states)


def _on_tape(inputs: Any, state: Any, flat: Any, kwargs: dict) -> Any:
    """Return the states (T+1, B, S) as one scan for each step: slow, and differentiable any number of times."""
    network, options, params = kwargs["network"], kwargs["options"], kwargs["unflatten"](flat)
    trajectory = kwargs["kept"]["linearization"].trajectory
    place, rows = network.hidden_slices[0], [state]
    for t in range(len(inputs)):
        heard = rows[-1][:, place]
        if trajectory.reset is not None:
            heard = anp.where(trajectory.reset[t][:, None], 0.0, heard)
        x = anp.where(trajectory.forced[t][:, None], inputs[t], network.readout(params["readout"], heard))
        masks: dict[str, Any] = {name: _one_step(options[name], t, 1) for name in ("valid", "reset")}
        masks["dropout"] = _one_step(options["dropout"], t, 2)
        rows.append(scan(network.network, params["network"], x[None], rows[-1], **masks)[1])
    return anp.stack(rows)


def _one_step(mask: Any, t: int, alike: int) -> Any:
    """Return the mask of one step; one with ``alike`` axes is that of every step already, but for a time axis."""
    if isinstance(mask, list | tuple) and alike == 2:
        return [_one_step(factors, t, alike) for factors in mask]
    return mask if mask is None or np.ndim(mask) == alike == 2 else np.asarray(mask)[t : t + 1]


def _of_chosen(argnums: Sequence[int], args: tuple, kwargs: dict) -> tuple[Callable[[Any], Any], Any]:
    """Return the states, one scan for each step, as a function of a tuple of the chosen arguments, and those."""

    def of_chosen(packed: Any) -> Any:
        full = list(args)
        for k, n in enumerate(argnums):
            full[n] = packed[k]
        return _on_tape(full[0], full[1], full[2], kwargs)

    return of_chosen, autograd_tuple([args[n] for n in argnums])


def _pull_scan(argnums: tuple[int, ...], states: Array, args: tuple, kwargs: dict) -> Any:
    """Return the vector-Jacobian product of :func:`_scan` with respect to all of ``argnums`` at once."""
    network = kwargs["network"]

    def fast(direct: Array) -> tuple[Array, ...]:
        adjoint = backpropagate(kwargs["kept"]["linearization"], direct)
        slots = [adjoint.inputs, adjoint.total[0], flatten(adjoint.params)[0] if 2 in argnums else None]
        return tuple(np.asarray(slots[n], np.result_type(args[n])) for n in argnums)

    def slow(direct: Any) -> tuple[Any, ...]:
        states_of, chosen = _of_chosen(argnums, args, kwargs)
        gradients = make_vjp(states_of)(chosen)[0](direct)
        return tuple(gradients[k] for k in range(len(argnums)))

    def pull(direct: Any) -> tuple[Any, ...]:
        boxed = isbox(direct) or any(isbox(value) for value in args)
        reads = any(reads_parameters(cell) for _, cell, _ in network.spans)
        return slow(direct) if boxed or reads else fast(direct)

    return pull


defvjp_argnums(_scan, _pull_scan)


def _push_scan(argnums: Sequence[int], tangents: Sequence[Any], states: Array, args: tuple, kwargs: dict) -> Any:
    """Return the Jacobian-vector product of :func:`_scan` with respect to all of ``argnums`` at once."""
    states_of, chosen = _of_chosen(argnums, args, kwargs)
    return make_jvp(states_of)(chosen)(autograd_tuple(tangents))[1]


defjvp_argnums(_scan, _push_scan)
