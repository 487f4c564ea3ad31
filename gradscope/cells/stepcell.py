"""Cells that do not factor: one step as a whole, differentiated by autograd as a whole.

Where h is mixed inside the update, as by a gate that multiplies it *before* the product, the Jacobian is no longer
W_h between diagonals. Such a cell is a function from the old state to the new one; its Jacobians are written out
(:mod:`gradscope.dense`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import autograd.numpy as anp
import numpy as np

from gradscope.activations import ACTIVATIONS, Activation, activation, log_sigmoid
from gradscope.cells.cell import Array, Cell, Gate, Params, as_floats
from gradscope.errors import ArgumentError, ShapeError, unknown
from gradscope.initializers import is_finite

__all__ = ["MGU", "DenseCell", "ResetBeforeGRU", "StepCell"]

Step = tuple[tuple[Array, ...], Mapping[str, Any]]


@dataclass(frozen=True)
class DenseCell(Cell):
    """A cell that is given by one step; subclass it and give ``gate_names``, ``blocks`` and ``step``.

    Parameters are laid out and drawn as for :class:`gradscope.cells.Cell`. For a function of any parameters there is
    :class:`StepCell`.
    """

    factored: ClassVar[bool] = False

    def step(self, params: Params, x: Array, state: Array) -> Step:
        """Return the blocks of the new state (N, H), and each gate by name, from x (N, I) and the old state (N, S).

        N rows that must not hear each other, written in ``autograd.numpy``. A gate is a
        :class:`~gradscope.cells.Gate`, or its value alone. Where a later block goes into an earlier one, use the
        very array that is returned.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `step`. See `gradscope.ResetBeforeGRU.step`.")

    def gates_along(self, params: Params, columns: Array, states: Array) -> dict[str, Gate]:
        """Return every gate at some steps (n, H, B), from columns of inputs (n, I, B) and states (n, S, B)."""
        length, _, batch = columns.shape
        found = self.step(params, rows_of(columns), rows_of(states))[1]

        def whole(gate: Any, name: str) -> Gate:
            drive, value = gate if isinstance(gate, tuple) else (self.gate_kind(name).inverse(gate), gate)
            return Gate(columns_of(drive, length, batch), columns_of(value, length, batch))

        return {name: whole(found[name], name) for name in self.gate_names}

    def drives(self, params: Params, x: Array, h: Array, rows: slice) -> Array:
        """Return the pre-activation of some rows (N, rows), from x (N, I) and what stands for h (N, H)."""
        drive = anp.dot(x, params["W_x"][rows].T) + params["b"][rows] + anp.dot(h, params["W_h"][rows].T)
        return drive + params["b_h"][rows] if "b_h" in params else drive

    def rows(self, gate: str) -> slice:
        """Return the rows of W_x, W_h and b that belong to a gate."""
        at = self.gate_names.index(gate) * self.hidden_size
        return slice(at, at + self.hidden_size)


def rows_of(columns: Array) -> Array:
    """Return (n, units, B) as rows (n*B, units)."""
    return np.ascontiguousarray(np.swapaxes(columns, 1, 2)).reshape(-1, columns.shape[1])


def columns_of(rows: Array, length: int, batch: int) -> Array:
    """Return rows (n*B, units) as (n, units, B)."""
    return np.swapaxes(np.reshape(rows, (length, batch, -1)), 1, 2)


@dataclass(frozen=True)
class ResetBeforeGRU(DenseCell):
    """The gated recurrent unit as it was first: the reset gate acts on h before the product.

    ``n = phi(x_n + W_n (r h))``, ``h' = (1 - z) n + z h``: an update gate of 1 *keeps* the old state. One unit's
    reset gate is so heard by all others. Rows: reset, update, candidate. Source: Cho et al. 2014, eq. 8; the form
    that cuDNN and torch have is :class:`gradscope.cells.GRU`.

    Parameters
    ----------
    input_size, hidden_size, activation, forget_bias
        As for :class:`gradscope.cells.GRU`.
    """

    forget_bias: float | str = 0.0

    gate_names: ClassVar[tuple[str, ...]] = ("reset", "update", "candidate")
    keep_gate: ClassVar[str | None] = "update"

    def step(self, params: Params, x: Array, state: Array) -> Step:
        """Return (h',) and the three gates."""
        reset, update = (self.gate(n, self.drives(params, x, state, self.rows(n))) for n in ("reset", "update"))
        new = self.gate("candidate", self.drives(params, x, reset.value * state, self.rows("candidate")))
        h = (1.0 - update.value) * new.value + update.value * state
        return (h,), {"reset": reset, "update": update, "candidate": new}

    def flow(self, gates: Mapping[str, Gate], state: Sequence[Array], new: Sequence[Array]) -> dict[str, Array]:
        """Return z h, (1 - z) n and h'."""
        keep = gates["update"].value
        return {"retained": keep * state[0], "written": (1.0 - keep) * gates["candidate"].value, "exposed": new[0]}


@dataclass(frozen=True)
class MGU(DenseCell):
    """The minimal gated unit: one gate that resets and updates.

    ``n = phi(x_n + W_n (f h))``, ``h' = (1 - f) h + f n``: a forget gate of 1 *forgets*, so the share that is kept is
    1 - f. Rows: forget, candidate. Source: Zhou, Wu, Zhang & Zhou 2016.

    Parameters
    ----------
    input_size, hidden_size, activation
        See :class:`gradscope.cells.Cell`.
    forget_bias : float or str
        As for :class:`gradscope.cells.GRU`: above 0 the cell keeps more than it writes. The forget gate's bias is the
        negative of it.
    """

    forget_bias: float | str = 0.0

    gate_names: ClassVar[tuple[str, ...]] = ("forget", "candidate")
    keep_gate: ClassVar[str | None] = "forget"

    def step(self, params: Params, x: Array, state: Array) -> Step:
        """Return (h',) and the two gates."""
        forget = self.gate("forget", self.drives(params, x, state, self.rows("forget")))
        new = self.gate("candidate", self.drives(params, x, forget.value * state, self.rows("candidate")))
        h = (1.0 - forget.value) * state + forget.value * new.value
        return (h,), {"forget": forget, "candidate": new}

    def flow(self, gates: Mapping[str, Gate], state: Sequence[Array], new: Sequence[Array]) -> dict[str, Array]:
        """Return (1 - f) h, f n and h'."""
        forget = gates["forget"].value
        return {"retained": (1.0 - forget) * state[0], "written": forget * gates["candidate"].value, "exposed": new[0]}

    def log_keep(self, gates: Mapping[str, Gate]) -> Array:
        """Return ln(1 - f)."""
        return log_sigmoid(-gates["forget"].drive)

    def _bias(self, rng: np.random.Generator) -> np.ndarray:
        """Return the negative of what a gate that keeps would have."""
        return -Cell._bias(self, rng)


@dataclass(frozen=True)
class StepCell(DenseCell):
    """Any step of your own as a cell.

    ``function(params, x, state)`` takes a dict of arrays, x (N, I) and the old state (N, S), and returns the new state
    (N, S); it is written in ``autograd.numpy``, for any number N of rows that do not hear each other. It may return
    the blocks of the new state as a tuple of (N, H) instead, and beside the state a dict of gates,
    ``(state, {"forget": f})``: values (N, H), or ``Gate(drive, value)``.

    Parameters
    ----------
    input_size, hidden_size : int
        I, and H, the number of units in each block of the state.
    activation : str
        That of the hidden state, whose range decides what counts as saturated.
    blocks : tuple of str
        Blocks of H units that make up the state, the hidden state "h" first; a cell state is called "c".
    keep_gate : str, optional
        The gate whose value is the share that is kept of the block "c", or of "h" where there is no "c".
    function : callable
    gate_kinds : dict of str
        For each gate that the function returns, in the order in which it is shown, the name of its activation.
    draw : callable, optional
        ``draw(rng)`` returns parameters: what :meth:`init` is to do.

    Raises
    ------
    ArgumentError
        When a name or a size is wrong.

    Examples
    --------
    >>> import autograd.numpy as anp, numpy as np
    >>> def leaky(params, x, h):
    ...     return 0.9 * h + 0.1 * anp.tanh(anp.dot(h, params["W"]) + x)
    >>> cell = StepCell(2, 2, function=leaky)
    >>> new, gates = cell.step({"W": np.eye(2)}, np.ones((5, 2)), np.zeros((5, 2)))
    >>> new[0].shape
    (5, 2)
    """

    blocks: tuple[str, ...] = field(default=("h",), kw_only=True)  # type: ignore[misc]
    keep_gate: str | None = field(default=None, kw_only=True)  # type: ignore[misc]
    function: Callable[..., Any] = field(kw_only=True)
    gate_kinds: Mapping[str, str] = field(default_factory=dict, kw_only=True, hash=False)
    draw: Callable[[np.random.Generator], Mapping[str, Any]] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        DenseCell.__post_init__(self)
        if not callable(self.function):
            raise ArgumentError(
                f"`function` must be callable, got {type(self.function).__name__}. Give step(params, x, state)."
            )
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if not self.blocks or self.blocks[0] != "h" or len(set(self.blocks)) < len(self.blocks):
            raise ArgumentError(
                f"`blocks` must begin with 'h' and name each block once, got {self.blocks!r}. ('h', 'c') is an LSTM's."
            )
        if not isinstance(self.gate_kinds, Mapping):
            raise ArgumentError(
                f"`gate_kinds` must be a dict from gates to activations, got {type(self.gate_kinds).__name__}. "
                "{'forget': 'sigmoid'}, for example."
            )
        for kind in self.gate_kinds.values():
            if kind not in ACTIVATIONS:
                raise unknown("gate_kinds", kind, ACTIVATIONS)
        object.__setattr__(self, "gate_names", tuple(self.gate_kinds))
        if self.keep_gate is not None and self.keep_gate not in self.gate_kinds:
            raise unknown("keep_gate", self.keep_gate, self.gate_kinds, "Name it in `gate_kinds`, too.")

    @classmethod
    def of(cls, cell: Cell) -> StepCell:
        """Return another cell as a step: the same numbers by the dense route."""
        kinds = {name: cell.gate_kind(name).name for name in cell.gate_names}
        return cls(
            cell.input_size,
            cell.hidden_size,
            cell.gate_kind("hidden").name,
            function=_whole_step(cell),
            blocks=cell.blocks,
            gate_kinds=kinds,
            keep_gate=cell.keep_gate if type(cell).log_keep is Cell.log_keep else None,
            draw=cell.init,
        )

    def gate_kind(self, gate: str) -> Activation:
        """Return the activation of ``gate``."""
        return activation(self.gate_kinds.get(gate, self.activation))

    def step(self, params: Params, x: Array, state: Array) -> Step:
        """Return the blocks of the new state and the gates, as the function has them.

        Raises
        ------
        ShapeError
            When the new state has another shape.
        ArgumentError
            When the gates are not those of ``gate_kinds``.
        """
        new, gates = self._called(params, x, state)
        count, size, rows = len(self.blocks), self.hidden_size, len(x)
        if not isinstance(new, (tuple, list)):
            if np.shape(new) != (rows, self.state_size):
                raise ShapeError(
                    f"`function` must return a state (N, S)={(rows, self.state_size)}, got {np.shape(new)}. "
                    f"Put {', '.join(self.blocks)} side by side, H={size} units each."
                )
            new = [new[:, k * size : (k + 1) * size] for k in range(count)] if count > 1 else [new]
        if [np.shape(block) for block in new] != [(rows, size)] * count:
            raise ShapeError(
                f"`function` must return {count} blocks (N, H)={(rows, size)}, got "
                f"{', '.join(str(np.shape(block)) for block in new)}. One for each of {', '.join(self.blocks)}."
            )
        if set(gates) != set(self.gate_kinds):
            raise ArgumentError(
                f"`function` must return the gates {', '.join(self.gate_kinds) or '(none)'}, got "
                f"{', '.join(gates) or '(none)'}. Name them all in `gate_kinds`."
            )
        return tuple(new), gates

    def separate(self, params: Params, x: Array, state: Array) -> bool:
        """Return whether the function returns the blocks of the new state one by one, not side by side in one array."""
        return isinstance(self._called(params, x, state)[0], (tuple, list))

    def _called(self, params: Params, x: Array, state: Array) -> tuple[Any, Mapping[str, Any]]:
        """Return what the function returns as the new state, and the gates."""
        new = self.function(params, x, state)
        return new if isinstance(new, tuple) and len(new) == 2 and hasattr(new[1], "keys") else (new, {})

    def log_keep(self, gates: Mapping[str, Gate]) -> Array:
        """Return ln of the keep gate; from its drive where it is a sigmoid.

        Raises
        ------
        ArgumentError
            When the cell has no keep gate.
        """
        if self.keep_gate is None or self.gate_kinds[self.keep_gate] == "sigmoid":
            return DenseCell.log_keep(self, gates)
        return np.log(gates[self.keep_gate].value)

    def init(
        self,
        rng: np.random.Generator,
        recurrent: str | None = None,
        gain: float = 1.0,
        inputs: str = "glorot",
        dtype: Any = np.float64,
    ) -> dict[str, np.ndarray]:
        """Draw parameters by ``draw``, which knows no other arguments.

        Raises
        ------
        ArgumentError
            When there is no ``draw``, or another argument than ``rng`` and ``dtype`` is given.
        """
        if self.draw is None:
            raise ArgumentError("`init` needs a StepCell with `draw`. Give StepCell(..., draw=...) or your own params.")
        if recurrent is not None or not is_finite(gain) or gain != 1.0 or inputs != "glorot":
            raise ArgumentError("`init` of a StepCell takes a generator and a dtype only. Put the rest into `draw`.")
        return {name: array.astype(dtype) for name, array in self.check(self.draw(rng)).items()}

    def check(self, params: Params) -> dict[str, np.ndarray]:
        """Return the parameters as float arrays of one dtype, copied, or say what is wrong with them.

        Raises
        ------
        ArgumentError
            When they are no dict.
        ShapeError
            When one is not made of numbers.
        """
        if not isinstance(params, Mapping) or not params:
            got = type(params).__name__ if not isinstance(params, Mapping) else "an empty one"
            raise ArgumentError(f"`params` must be a dict of arrays, got {got}. Give what `function` reads.")
        arrays = {name: as_floats(name, value) for name, value in params.items()}
        dtype = np.result_type(*arrays.values())
        return {name: np.array(array, dtype, order="C") for name, array in arrays.items()}

    def describe(self) -> dict[str, Any]:
        """Return the cell as plain data; the functions by their names."""
        return {
            "cell": type(self).__name__,
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "activation": self.activation,
            "function": getattr(self.function, "__qualname__", type(self.function).__name__),
            "blocks": list(self.blocks),
            "gate_kinds": dict(self.gate_kinds),
            "keep_gate": self.keep_gate,
        }


def _whole_step(cell: Cell) -> Callable[..., Step]:
    """Return a cell's step as one function of x and the whole state."""
    if isinstance(cell, DenseCell):
        return cell.step
    size = cell.hidden_size
    gates, blocks = ([slice(k * size, (k + 1) * size) for k in range(len(of))] for of in (cell.gate_names, cell.blocks))

    def parts(params: Params, x: Array, state: Array, turn: Callable[[Array], Array]) -> tuple[Any, ...]:
        drive_x = anp.dot(x, params["W_x"].T) + params["b"]
        drive_h = anp.dot(state[:, blocks[0]], params["W_h"].T)
        if "b_h" in params:
            drive_h = drive_h + params["b_h"]
        units = {name: turn(params[name][None, :]) for name in cell.unit_params}
        drives = ([turn(drive[:, rows]) for rows in gates] for drive in (drive_x, drive_h))
        return {**{name: params[name] for name in params}, **units}, *drives, [turn(state[:, rows]) for rows in blocks]

    def by_rows(params: Params, x: Array, state: Array) -> Step:
        given = parts(params, x, state, lambda rows: rows)
        return cell.update(*given), cell.gates(*given)

    def by_columns(params: Params, x: Array, state: Array) -> Step:
        given = parts(params, x, state, anp.transpose)
        found = {name: Gate(*map(anp.transpose, gate)) for name, gate in cell.gates(*given).items()}
        return tuple(map(anp.transpose, cell.update(*given))), found

    step = by_rows if _same(cell, by_rows, by_columns) else by_columns
    step.__qualname__ = f"{type(cell).__name__}.step"
    return step


def _same(cell: Cell, by_rows: Callable[..., Step], by_columns: Callable[..., Step]) -> bool:
    """Return whether an update does the same with its arrays the other way round: only then it keeps its chain."""
    rng = np.random.default_rng(0)
    params = {name: rng.standard_normal(shape) for name, shape in cell.shapes().items()}
    given = params, rng.standard_normal((3, cell.input_size)), rng.standard_normal((3, cell.state_size))
    try:
        with np.errstate(all="ignore"):
            pairs = zip(by_rows(*given)[0], by_columns(*given)[0], strict=True)
            return all(np.allclose(one, other, equal_nan=True) for one, other in pairs)
    except Exception:  # noqa: BLE001 (whatever stops it, the update is made for columns)
        return False
