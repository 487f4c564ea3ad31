"""Scope: one setting of the live instrument, what it measures, and the code that measures the same.

While a hand is on a slider, the transport comes from a few random directions and the numbers are float32; the record
says so in its configuration. At rest everything is exact. Who wants to know something else meanwhile can stop it.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from types import CodeType, FrameType
from typing import Any

import numpy as np

from gradscope.activations import ACTIVATIONS
from gradscope.cells import CELLS, Cell
from gradscope.dense import DenseLinearization
from gradscope.errors import ArgumentError, ShapeError, unknown
from gradscope.flow import flow
from gradscope.gates import gate_statistics
from gradscope.initializers import INITIALIZERS
from gradscope.linearization import Linearization, linearize
from gradscope.probes import probe
from gradscope.probes.measures import Measurement, applies, measured
from gradscope.record import Field, Record, log10_status, plain_status
from gradscope.sampling import sampled_transport
from gradscope.signals import SIGNALS, signal
from gradscope.trajectory import Trajectory, unroll

__all__ = ["DENSE", "FEATURES", "FILE", "LIMITS", "Setting", "StoppedError", "code", "is_dense", "limits", "measure"]

PROBES = (
    "transport",
    "jacobian_norm",
    "jacobian_rms",
    "gate_activation",
    "flow_retained",
    "flow_written",
    "flow_exposed",
)
LIMITS: dict[str, tuple[float, float]] = {
    "hidden_size": (2, 128),
    "length": (10, 400),
    "batch": (1, 16),
    "gain": (0.0, 3.0),
    "forget_bias": (-6.0, 6.0),
    "seed": (0, 9999),
}
"""What the instrument can show without a wait: the least and the largest of each number."""
DENSE: dict[str, tuple[float, float]] = {"hidden_size": (2, 64), "length": (10, 200)}
"""The same for a cell that does not factor: its Jacobians are written out."""
FEATURES = 256
"""The most features of a step that a file of one's own may have."""
FILE = "file"
"""The name of the input that is a file of one's own."""
CHOICES: dict[str, Mapping[str, Any]] = {
    "cell": CELLS,
    "activation": ACTIVATIONS,
    "initializer": INITIALIZERS,
    "signal": {**SIGNALS, FILE: None},
}


class StoppedError(Exception):
    """A measurement was given up, since nobody waits for it any more."""


def is_dense(cell: str) -> bool:
    """Return whether the Jacobians of a cell must be written out, which takes longer."""
    return not CELLS[cell].factored


def limits(cell: str) -> dict[str, tuple[float, float]]:
    """Return the least and the largest of each number that the instrument can show of a cell."""
    return LIMITS | DENSE if is_dense(cell) else LIMITS


@dataclass(frozen=True)
class Setting:
    """Where the knobs of the instrument stand.

    Attributes
    ----------
    cell : str
        A name in ``gradscope.cells.CELLS``.
    hidden_size, length, batch : int
        H, T and B.
    gain : float
        Factor on W_h.
    forget_bias : float
        Of a cell that has one; the others ignore it.
    activation, initializer, signal : str
        Names in ``ACTIVATIONS``, ``INITIALIZERS`` and ``SIGNALS``; the signal may also be ``"file"``.
    seed : int
        Draws the weights and, apart from them, the inputs.
    file : str
        What tells the file of one's own: a few letters of its content's hash, a dash, and its name.

    Raises
    ------
    ArgumentError
        For a name that is not known, or a number out of :func:`limits`.
    """

    cell: str = "LSTM"
    hidden_size: int = 64
    length: int = 200
    batch: int = 16
    gain: float = 1.0
    forget_bias: float = 1.0
    activation: str = "tanh"
    initializer: str = "orthogonal"
    signal: str = "noise"
    seed: int = 0
    file: str = ""

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name, (low, high) in limits(self.cell).items():
            number = getattr(self, name)
            whole = isinstance(getattr(type(self), name), int)
            kind = "a whole number" if whole else "a number"
            fits = isinstance(number, int if whole else (int, float)) and not isinstance(number, bool)
            if not fits or not low <= number <= high:
                dense = f" for {self.cell}, which is dense" if (low, high) != LIMITS[name] else ""
                raise ArgumentError(
                    f"`{name}` must be {kind} from {low:g} to {high:g}{dense}, got {number!r}. "
                    f"{getattr(type(self), name)} is the default."
                )

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Setting:
        """Return a setting from text, as it stands in a link; what is missing has its default.

        Raises
        ------
        ArgumentError
            For text that is no number where one is due, a name that is not known, or a number out of ``LIMITS``.
        """
        known = {entry.name: entry.default for entry in fields(cls)}
        found: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise unknown("setting", name, known)
            found[name] = value if isinstance(known[name], str) else _number(value)
            if isinstance(known[name], float) and isinstance(found[name], int):
                found[name] = float(found[name])
        return cls(**found)

    def changes(self) -> dict[str, Any]:
        """Return what differs from the defaults."""
        return {
            entry.name: getattr(self, entry.name)
            for entry in fields(self)
            if getattr(self, entry.name) != entry.default
        }

    def options(self) -> dict[str, Any]:
        """Return what the cell is made with, apart from its input size; a knob that it lacks is left out."""
        taken = inspect.signature(CELLS[self.cell]).parameters
        every = {"hidden_size": self.hidden_size, "activation": self.activation, "forget_bias": self.forget_bias}
        return {name: value for name, value in every.items() if name in taken}

    def inputs(self, file: np.ndarray | None = None) -> np.ndarray:
        """Return the inputs (T, B, I): of a file (T', B', I), the first steps and sequences that there are.

        Raises
        ------
        ArgumentError
            When the input is a file, and there is none.
        ShapeError
            When the file has too many features.
        """
        if self.signal != FILE:
            return signal(self.signal, self.length, self.batch, self.seed)
        if file is None:
            raise ArgumentError("`file` must be given, got none. Choose a .npy or .csv of shape (T, I) or (T, B, I).")
        if file.shape[2] > FEATURES:
            raise ShapeError(
                f"`file` must have at most {FEATURES} features, got {file.shape[2]} in {file.shape}. "
                "Time comes first, then sequences, then features."
            )
        return file[: self.length, : self.batch]

    def build(self, input_size: int, dtype: Any = np.float64) -> tuple[Cell, dict[str, np.ndarray]]:
        """Return the cell and its parameters."""
        cell = CELLS[self.cell](input_size, **self.options())
        rng = np.random.default_rng(self.seed)
        return cell, cell.init(rng, recurrent=self.initializer, gain=self.gain, dtype=dtype)


def _number(text: str) -> int | float | str:
    """Return a finite number from text, whole where it is written so; the text itself when it is none."""
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text) if math.isfinite(float(text)) else text
    except ValueError:
        return text


def measure(
    setting: Setting,
    exact: bool = True,
    file: np.ndarray | None = None,
    stop: Callable[[], bool] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Record:
    """Return what the instrument shows.

    Parameters
    ----------
    setting : Setting
    exact : bool
        False while a knob moves: the transport comes from random directions, with parts ``transport.low`` and
        ``transport.high`` around it, the spectral norm is left out, and everything is float32.
    file : ndarray (T', B', I), optional
        The inputs of the setting whose signal is ``"file"``, from :func:`gradscope.signals.load_inputs`.
    stop : callable, optional
        Asked now and then whether to give up.
    tell : callable, optional
        Told now and then what is being measured and, of what takes longest, how much of it is done:
        ``"transport, 40 %"``.

    Returns
    -------
    Record
        ``config["setting"]`` is the setting; ``config["directions"]`` counts random directions and is None where the
        transport is exact.

    Raises
    ------
    StoppedError
        When ``stop`` said so.
    ArgumentError, ShapeError
        When the file is missing, or has too many features.
    ExtraError
        When the inputs need a package that is not installed.
    """
    with _watched(stop, tell):
        inputs = setting.inputs(file)
        if exact:
            cell, params = setting.build(inputs.shape[2])
            names = [name for name in PROBES if _has(cell, name)]
            record = probe(cell, params, inputs, probes=names)
            directions = None
        else:
            record, directions = _sampled(setting, inputs)
    record.config |= {"setting": asdict(setting), "directions": directions}
    return record


@contextmanager
def _watched(stop: Callable[[], bool] | None, tell: Callable[[str], None] | None) -> Iterator[None]:
    """Ask and tell whenever this thread calls a Python function; a measurement calls one every few milliseconds."""
    if (stop is None and tell is None) or sys.getprofile() is not None:
        yield
        return

    def heed(frame: FrameType, event: str, what: Any) -> None:
        if event != "call":
            return
        if stop is not None and stop():
            raise StoppedError
        if tell is not None and frame.f_code in STAGES:
            tell(STAGES[frame.f_code] + _share(frame))

    sys.setprofile(heed)
    try:
        yield
    finally:
        sys.setprofile(None)


def _share(frame: FrameType) -> str:
    """Return how much is done of what goes back step by step, in words; nothing for the rest."""
    t = frame.f_locals.get("t")
    return "" if t is None else f", {1 - (t + 1) / frame.f_locals['self'].length:.0%}".replace("%", " %")


STAGES: dict[CodeType, str] = {
    unroll.__code__: "forward pass",
    Linearization.pull_at.__code__: "transport",
    DenseLinearization.pull_at.__code__: "transport",
    Linearization.norm.__code__: "norms",
    DenseLinearization.norm.__code__: "norms",
    gate_statistics.__code__: "gates",
    flow.__code__: "flow",
}
"""What is being measured when a function is called."""


class _Run:
    """As much of a trajectory as the question whether a probe applies needs."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell


def _has(cell: Cell, name: str) -> bool:
    """Return whether a probe applies to a cell."""
    return applies(name, _Run(cell))


def _sampled(setting: Setting, inputs: np.ndarray) -> tuple[Record, int]:
    """Return the quick record and its number of random directions."""
    cell, params = setting.build(inputs.shape[2], np.float32)
    trajectory = unroll(cell, params, inputs.astype(np.float32))
    linearization = linearize(trajectory)
    found = sampled_transport(linearization)
    parts = {"transport": found.rms, "transport.low": found.low, "transport.high": found.high}
    made = [
        Field(name, values, ("time", "batch"), "log10", {}, log10_status(values, trajectory.rows.dtype))
        for name, values in parts.items()
    ]
    m = Measurement(trajectory, linearization, np.zeros(0))
    slow = ("transport", "jacobian_norm", "gate_activation")
    quick = [name for name in PROBES if name not in slow and _has(cell, name)]
    made.append(_gates(trajectory))
    made += [field for name in quick for field in measured(name, m)]
    config = {"cell": cell.describe(), "length": len(inputs), "batch": inputs.shape[1], "dtype": "float32"}
    return Record({field.name: field for field in made}, {}, config), found.directions


def _gates(trajectory: Trajectory) -> Field:
    """Return the medians of the gates over the sequences, without the quantiles that are not drawn."""
    names = list(trajectory.cell.gate_names)
    parts = [trajectory.gates_at(steps) for steps in trajectory.chunks()]
    with np.errstate(all="ignore"):
        values = np.stack([np.concatenate([_median(part[name].value) for part in parts]) for name in names])
    status = plain_status(values, "1")
    axes, coords = ("gate", "step", "unit"), {"gate": names}
    return Field("gate_activation", values, axes, "1", coords, status if status.any() else None)


def _median(array: np.ndarray) -> np.ndarray:
    """Return the median along a short last axis, NaN where there is one: sorted, which is six times faster."""
    ordered, count = np.sort(array, axis=-1), array.shape[-1]
    middle = 0.5 * (ordered[..., (count - 1) // 2] + ordered[..., count // 2])
    return np.where(np.isnan(ordered[..., -1]), np.nan, middle)


def _written(value: str | float) -> str:
    """Return a value as Python writes it, text in double quotes."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def code(setting: Setting, pinned: Setting | None = None) -> str:
    """Return the Python code that measures and draws what the instrument shows at rest, perhaps with a pinned setting.

    It leaves the record in ``record``, and that of the pinned setting in ``pinned``, with the same numbers to the last
    digit.
    """
    both = [setting] if pinned is None else [pinned, setting]
    imported = sorted({"load_inputs" if one.signal == FILE else "signal" for one in both})
    before = "" if pinned in (None, setting) else _block(pinned, "pinned")
    after = "pinned = record\n" if pinned == setting else ""
    return (
        "import numpy as np\n\n"
        "import gradscope as gs\n"
        "from gradscope.figures.scope import SCOPE, scope\n"
        f"from gradscope.signals import {', '.join(imported)}\n\n"
        f"{before}"
        f"{_block(setting, 'record')}"
        f"{after}"
        'print(record.summary["verdict_text"])\n\n'
        "for name in SCOPE:\n"
        f"    scope(name, record{'' if pinned is None else ', pinned'}).show()\n"
    )


def _block(setting: Setting, name: str) -> str:
    """Return the lines that measure a setting into a record of that name."""
    if setting.signal == FILE:
        inputs = f"load_inputs({setting.file.partition('-')[2]!r})[:{setting.length}, :{setting.batch}]"
    else:
        sizes = f"length={setting.length}, batch={setting.batch}, seed={setting.seed}"
        inputs = f"signal({_written(setting.signal)}, {sizes})"
    options = "".join(f"    {option}={_written(value)},\n" for option, value in setting.options().items())
    cell = CELLS[setting.cell](1, **setting.options())
    probes = "".join(f'    "{probe}",\n' for probe in PROBES if _has(cell, probe))
    return (
        f"inputs = {inputs}\n"
        f"cell = gs.{setting.cell}(\n    inputs.shape[2],\n{options})\n"
        f"rng = np.random.default_rng({setting.seed})\n"
        f"params = cell.init(rng, recurrent={_written(setting.initializer)}, gain={setting.gain!r})\n"
        f"probes = [\n{probes}]\n"
        f"{name} = gs.probe(cell, params, inputs, probes=probes)\n\n"
    )
