"""The contract of a cell, and what every one has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from autograd.tracer import isbox

from gradscope.activations import ACTIVATIONS, Activation, activation, log_sigmoid
from gradscope.errors import ArgumentError, ShapeError, unknown
from gradscope.initializers import chrono, chrono_range, initializer, is_finite

__all__ = ["Array", "Cell", "Gate", "Params", "as_floats", "check_kind", "split"]

Array = Any
Params = Mapping[str, np.ndarray]
TAPED = (
    "`{name}` must hold plain numbers, got those that autograd follows. Use `gs.scan` inside of what it differentiates."
)


class Gate(NamedTuple):
    """One gate at some steps: what went into its activation and what came out."""

    drive: Array
    value: Array


@dataclass(frozen=True)
class Cell:
    """What every cell has; subclass it and give ``gate_names``, ``blocks``, ``gates`` and ``update``.

    Arrays inside :meth:`gates` and :meth:`update` are elementwise over units and sequences: any
    shape, the same for all. There is one drive for each gate, in the order of ``gate_names``.

    Parameters
    ----------
    input_size : int
        I, the width of x_t.
    hidden_size : int
        H, the number of units.
    activation : str
        Of the candidate and, in an LSTM, of the exposed cell state: a name in
        ``gradscope.activations.ACTIVATIONS``.
    """

    input_size: int
    hidden_size: int
    activation: str = "tanh"

    gate_names: ClassVar[tuple[str, ...]]
    """One name for each H rows of W_x and W_h, in order."""
    blocks: ClassVar[tuple[str, ...]] = ("h",)
    """Blocks of H units that make up the state; the hidden state "h" comes first."""
    keep_gate: ClassVar[str | None] = None
    """The gate that says what share of the old state is kept; its value, unless :meth:`log_keep` says otherwise."""
    write_gate: ClassVar[str | None] = None
    """The gate whose value is the share of the candidate that is written, where that is not what is not kept."""
    recurrent: ClassVar[str] = "orthogonal"
    """The initializer of W_h that :meth:`init` takes when none is named."""
    factored: ClassVar[bool] = True
    """Whether the cell is two products and an elementwise update; else it is a ``step``."""
    unit_params: ClassVar[tuple[str, ...]] = ()
    """Parameters (H,) that the update reads, one number for each unit: peepholes, say."""

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size"):
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
                raise ArgumentError(f"`{name}` must be a whole number of at least 1, got {size!r}. Count units.")
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)
        chrono_range(getattr(self, "forget_bias", 0.0))

    @property
    def state_size(self) -> int:
        """S: H for each block of the state."""
        return self.hidden_size * len(self.blocks)

    @property
    def keeps(self) -> bool:
        """Whether a gate decides what share of the old state is kept."""
        return self.keep_gate is not None

    def gate_kind(self, gate: str) -> Activation:
        """Return the activation of ``gate``."""
        return activation(self.activation if gate in ("candidate", "hidden") else "sigmoid")

    def gate(self, name: str, drive: Array) -> Gate:
        """Return the gate of that name whose activation takes in ``drive``."""
        return Gate(drive, self.gate_kind(name).function(drive))

    def gates(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> dict[str, Gate]:
        """Return every gate by name, from the drives and the old state."""
        raise NotImplementedError(f"{type(self).__name__} must define `gates`. See `gradscope.LSTM.gates`.")

    def update(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Return the new state, one array for each block.

        Where a later block goes into an earlier one (the cell state into the hidden state), use
        the very array that is returned: the linearization then follows the same road.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `update`. See `gradscope.LSTM.update`.")

    def flow(self, gates: Mapping[str, Gate], state: Sequence[Array], new: Sequence[Array]) -> dict[str, Array]:
        """Return what is retained of the old state, written to it, and exposed; retained + written = new.

        Of the block "c", or of "h" where there is no "c". A cell that knows what it writes says so in a ``flow`` of
        its own: here it is what is new less what is retained.

        Raises
        ------
        ArgumentError
            When the cell has no keep gate.
        """
        if not self.keeps:
            raise ArgumentError(
                f"`flow` needs a cell with a keep gate, got {type(self).__name__}. Use an LSTM or a GRU, or "
                "`gate_activation` and `slope_rms` for this cell."
            )
        memory = self.blocks.index("c") if "c" in self.blocks else 0
        retained = np.exp(self.log_keep(gates)) * state[memory]
        return {"retained": retained, "written": new[memory] - retained, "exposed": new[0]}

    def log_keep(self, gates: Mapping[str, Gate]) -> Array:
        """Return ln of the share of the old state that each unit keeps.

        Raises
        ------
        ArgumentError
            When the cell has no keep gate.
        """
        if self.keep_gate is None:
            raise ArgumentError(
                f"`retention` needs a cell with a keep gate, got {type(self).__name__}. Use an LSTM or a GRU."
            )
        return log_sigmoid(gates[self.keep_gate].drive)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter; ``b_h`` may be left out."""
        rows = len(self.gate_names) * self.hidden_size
        units = dict.fromkeys(self.unit_params, (self.hidden_size,))
        return {"W_x": (rows, self.input_size), "W_h": (rows, self.hidden_size), "b": (rows,), "b_h": (rows,), **units}

    def init(
        self,
        rng: np.random.Generator,
        recurrent: str | None = None,
        gain: float = 1.0,
        inputs: str = "glorot",
        dtype: Any = np.float64,
    ) -> dict[str, np.ndarray]:
        """Draw parameters.

        Parameters
        ----------
        rng : numpy.random.Generator
            E.g. ``np.random.default_rng(0)``; the same seed gives the same parameters.
        recurrent : str, optional
            Initializer of W_h, gate by gate: orthogonal, gaussian, glorot, uniform or identity. The cell's own when
            left out: orthogonal for most.
        gain : float
            Factor on W_h. With ``gaussian`` it is the g of mean-field theory.
        inputs : str
            Initializer of W_x, gate by gate.
        dtype : dtype
            float64 or float32; everything that follows keeps it.

        Returns
        -------
        dict
            W_x (K*H, I), W_h (K*H, H), b (K*H,): zeros, apart from the forget bias. Unit parameters (H,) are
            drawn from N(0, 0.1²).

        Raises
        ------
        ArgumentError
            For no generator, an unknown initializer, a gain that is not a finite number or another dtype.
        """
        if not isinstance(rng, np.random.Generator):
            raise ArgumentError(
                f"`rng` must be a numpy.random.Generator, got {type(rng).__name__}. Use `np.random.default_rng(0)`."
            )
        if not is_finite(gain):
            raise ArgumentError(f"`gain` must be a finite number, got {gain!r}. 1.0 leaves the weights as drawn.")
        if np.dtype(dtype) not in (np.float64, np.float32):
            raise ArgumentError(f"`dtype` must be float64 or float32, got {dtype!r}. Leave it out for float64.")
        draw_h = initializer("recurrent", self.recurrent if recurrent is None else recurrent)
        draw_x = initializer("inputs", inputs)
        size, count = self.hidden_size, len(self.gate_names)
        drawn = {
            "W_h": gain * np.concatenate([draw_h(rng, (size, size)) for _ in range(count)]),
            "W_x": np.concatenate([draw_x(rng, (size, self.input_size)) for _ in range(count)]),
            "b": self._bias(rng),
            **{name: 0.1 * rng.standard_normal(size) for name in self.unit_params},
        }
        return {name: drawn[name].astype(dtype) for name in self.shapes() if name in drawn}

    def _bias(self, rng: np.random.Generator) -> np.ndarray:
        """Return the initial bias: zeros, and the forget bias on the keep gate."""
        bias = np.zeros((len(self.gate_names), self.hidden_size))
        if self.keep_gate is not None:
            keep, forget_bias = self.gate_names.index(self.keep_gate), getattr(self, "forget_bias", 0.0)
            longest = chrono_range(forget_bias)
            bias[keep] = forget_bias if longest is None else chrono(rng, longest, self.hidden_size)
            if longest is not None and self.write_gate is not None:
                bias[self.gate_names.index(self.write_gate)] = -bias[keep]
        return bias.ravel()

    def check(self, params: Params) -> dict[str, np.ndarray]:
        """Return the parameters as float arrays of one dtype, copied, or say what is wrong with them.

        Raises
        ------
        ArgumentError
            When a parameter is missing or unknown.
        ShapeError
            When one has the wrong shape or is not made of numbers.
        """
        shapes = self.shapes()
        layout = "W_x (K*H, I), W_h (K*H, H), b (K*H,) and, if you like, b_h (K*H,)"
        if isbox(params):
            raise ArgumentError(TAPED.format(name="params"))
        if not isinstance(params, Mapping):
            raise ArgumentError(
                f"`params` must be a dict of {layout}, got {type(params).__name__}. Use `cell.init(rng)` to draw one."
            )
        for name in shapes:
            if name not in params and name != "b_h":
                raise ArgumentError(
                    f"`params` must hold {layout}, and {name} is missing; got {', '.join(params) or 'nothing'}. "
                    "Use `cell.init(rng)` to draw them all."
                )
        for name in params:
            if name not in shapes:
                raise unknown("params", name, shapes)
        arrays = {name: as_floats(name, params[name]) for name in shapes if name in params}
        rows = f"{len(self.gate_names)}*H={shapes['b'][0]}"
        letters = {
            "W_x": f"({rows}, I={self.input_size})",
            "W_h": f"({rows}, H={self.hidden_size})",
            "b": f"({rows},)",
            "b_h": f"({rows},)",
        }
        for name, array in arrays.items():
            if array.shape != shapes[name]:
                raise ShapeError(
                    f"`{name}` must have shape {letters.get(name, shapes[name])}, got {array.shape}. "
                    f"Rows come gate by gate: {', '.join(self.gate_names)}."
                )
        dtype = np.result_type(*arrays.values())
        return {name: np.array(array, dtype, order="C") for name, array in arrays.items()}

    def describe(self) -> dict[str, Any]:
        """Return the cell as plain data: its name and its fields."""
        return {"cell": type(self).__name__, **asdict(self)}


FRAMEWORKS = ("torch", "keras", "flax")
"""Packages whose layers become cells by a function of their name."""


def check_kind(cell: Any) -> None:
    """Refuse what is neither a cell nor a network.

    Raises
    ------
    ArgumentError
        With what was given instead: a name, a class, parameters.
    """
    if not isinstance(cell, type) and (isinstance(cell, Cell) or callable(getattr(cell, "unroll", None))):
        return
    of_class = f"the class {cell.__name__}" if isinstance(cell, type) else type(cell).__name__
    framework = next((name for name in FRAMEWORKS if type(cell).__module__.split(".")[0] == name), None)
    if framework:
        raise ArgumentError(
            f"`cell` must be a cell or a network of gradscope, got {of_class} of {framework}. "
            f"Take it over: `cell, params = gs.from_{framework}(...)`."
        )
    raise ArgumentError(
        f"`cell` must be a cell or a network, got {repr(cell) if isinstance(cell, str) else of_class}. "
        "Build one first: `gs.LSTM(input_size, hidden_size)`, for example."
    )


def as_floats(name: str, value: Any) -> np.ndarray:
    """Return ``value`` as a float32 or float64 array.

    Raises
    ------
    ShapeError
        When it is not made of real numbers, or some of them are masked.
    ArgumentError
        When autograd follows it.
    """
    if isbox(value):
        raise ArgumentError(TAPED.format(name=name))
    if np.ma.is_masked(value):
        raise ShapeError(
            f"`{name}` must be a plain array, got a masked one with masked places. Fill them, e.g. with "
            "`.filled(np.nan)`, and mark padding by `valid`."
        )
    try:
        array = np.asarray(value)
    except ValueError:
        raise ShapeError(f"`{name}` must be a rectangular array of numbers, got ragged lists. Pad them.") from None
    except (RuntimeError, TypeError) as error:  # torch's, of a tensor that it does not hand over
        raise ShapeError(
            f"`{name}` must be an array of real numbers, got {type(value).__name__}: {str(error).rstrip('.')}. "
            "Make a NumPy array of it, of float64 or float32."
        ) from None
    if array.dtype.kind not in "fiub":
        kind = "text" if array.dtype.kind in "US" else f"dtype {array.dtype}"
        raise ShapeError(f"`{name}` must be an array of real numbers, got {kind}. Convert it to float64 or float32.")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def split(stacked: Array, count: int) -> tuple[Array, ...]:
    """Return ``count`` equal pieces of an array's axis of rows (the last but one)."""
    rows = stacked.shape[-2] // count
    return tuple(stacked[..., k * rows : (k + 1) * rows, :] for k in range(count))
