"""Sweeps: which runs are wanted, as a grid over everything that a run can vary.

A :class:`Run` is one point; a :class:`Sweep` holds one value or a list of values for each key and stands for the
runs of its grid; a :class:`Study` is a named group of sweeps. All three are plain data, in Python or in TOML::

    name = "how long can it listen"
    task = "digits_delayed"
    length = [10, 50, 200]

    [[sweep]]
    cell = "RNN"
    activation = ["tanh", "relu"]

    [[sweep]]
    cell = ["LSTM", "GRU"]
    forget_bias = [0, 1, 2]

Keys above the first ``[[sweep]]`` hold for all of them; without one, the file is a single sweep. Everything that is
wrong with a sweep is reported at once, one line each.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import math
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from gradscope.activations import ACTIVATIONS
from gradscope.cells import cell_class
from gradscope.errors import ArgumentError, unknown
from gradscope.gates import BINS
from gradscope.initializers import INITIALIZERS
from gradscope.probes import CATALOGUE, PRESETS, REVISION, choose
from gradscope.record import to_json

from .tasks import TASKS, load_task

__all__ = ["KEPT", "MOST_RUNS", "Run", "Study", "Sweep", "read_study"]

KEPT = {
    "summary": "numbers alone: the summary of each record and the metrics",
    "curves": "beside the numbers, arrays over one axis, such as the decay with the lag or the loss over iterations",
    "everything": "every array",
}
"""What a store may keep of a run."""

CHOICES = ("probes", "keep")
"""Keys that are no axes: one choice holds for all runs of a sweep."""

MOST_RUNS = 1_000_000
"""Points that a grid may have before duplicates are left out; more is a slip of the hand."""

REMEDIES = {
    "name": "Name the sweep in a few words.",
    "hidden_size": "Count units, e.g. 32.",
    "forget_bias": "1.0 is a common choice; leave it out for the cell's own.",
    "gain": "1.0 leaves the recurrent weights as drawn.",
    "length": "Count steps, e.g. 100; leave it out for the task's own.",
    "batch_size": "Count sequences, e.g. 32.",
    "seed": "Count seeds from 0.",
    "iterations": "Count updates of the weights; 0 leaves the network untrained.",
    "learning_rate": "0.003 is a common choice.",
    "clip": "1.0 is a common choice; inf never clips.",
}


def _one_of(allowed: Mapping[str, Any]) -> BeforeValidator:
    """Return a validator that takes the keys of ``allowed``."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str) or value not in allowed:
            raise unknown(str(info.field_name), value, allowed)
        return value

    return BeforeValidator(check)


def _cell_name(value: Any) -> str:
    """Return the name of a cell as its class has it."""
    return cell_class(value).__name__


def _probe_names(value: Any) -> str:
    """Return a preset, or names of probes in the order of the catalogue with commas between them."""
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",")]
    if not isinstance(value, (list, tuple)) or not value:
        raise ArgumentError(
            f"`probes` must be a preset or a list of probes, got {value!r}. 'standard' is the usual one."
        )
    for name in value:
        if name not in PRESETS and name not in CATALOGUE:
            raise unknown("probes", name, [*PRESETS, *CATALOGUE])
    chosen = {probe for name in value for probe in PRESETS.get(name, (name,))}
    whole = next((preset for preset, members in PRESETS.items() if set(members) == chosen), None)
    return whole or ",".join(name for name in CATALOGUE if name in chosen)


def _no_sign_of_zero(value: float) -> float:
    """Return 0.0 for -0.0, which would make another id of the same run."""
    return value + 0.0


def _above_zero(value: float, info: ValidationInfo) -> float:
    """Refuse what is not above 0; inf is allowed."""
    if not value > 0:
        raise ArgumentError(f"`{info.field_name}` must be above 0, got {value!r}. {REMEDIES[str(info.field_name)]}")
    return value


Cell = Annotated[str, BeforeValidator(_cell_name)]
Activation = Annotated[str, _one_of(ACTIVATIONS)]
Recurrent = Annotated[str, _one_of(INITIALIZERS)]
TaskName = Annotated[str, _one_of(TASKS)]
Dtype = Annotated[str, _one_of({"float64": None, "float32": None})]
Count = Annotated[int, Field(strict=True, ge=1)]
CountFromZero = Annotated[int, Field(strict=True, ge=0)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False), AfterValidator(_no_sign_of_zero)]
Positive = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]
PositiveOrInf = Annotated[float, Field(strict=True), AfterValidator(_above_zero)]
Probes = Annotated[str, BeforeValidator(_probe_names)]
Keep = Annotated[str, _one_of(KEPT)]


def _as_tuple(value: Any) -> Any:
    """Return one value or any sequence of values as a tuple of plain Python values."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple, range)):
        return tuple(item.item() if isinstance(item, np.generic) else item for item in value)
    return (value,)


def _each_once(values: tuple, info: ValidationInfo) -> tuple:
    """Refuse an empty list and repeated values."""
    name = info.field_name
    if not values:
        raise ArgumentError(f"`{name}` must hold at least one value, got an empty list. Leave it out for its default.")
    for value in values:
        if values.count(value) > 1:
            times = values.count(value)
            raise ArgumentError(f"`{name}` must hold each value once, got {value!r} {times} times. Remove the others.")
    return values


T = TypeVar("T")
Axis = Annotated[tuple[T, ...], BeforeValidator(_as_tuple), AfterValidator(_each_once)]


def _fitting(probes: str, cell: str) -> str:
    """Return the choice of probes without those that a cell cannot have; a preset sees to that itself."""
    kind = cell_class(cell)
    met = {"": True, "gates": kind.keep_gate is not None, "cell_state": "c" in kind.blocks}
    met["blocks"] = len(kind.blocks) > 1
    return probes if probes in PRESETS else ",".join(name for name in probes.split(",") if met[CATALOGUE[name].needs])


@dataclass(frozen=True)
class _Condition:
    """When a key has a meaning, and what to say when it has none."""

    holds: Callable[[Mapping[str, Any]], bool]
    depends_on: str
    remedy: str


CONDITIONS: dict[str, _Condition] = {
    "forget_bias": _Condition(
        lambda run: cell_class(run["cell"]).keep_gate is not None,
        "cell",
        "for {}, which has no gate that forgets. Use an LSTM or a GRU.",
    ),
    "learning_rate": _Condition(
        lambda run: run["iterations"] > 0,
        "iterations",
        "with {} iterations. Set `iterations` to train.",
    ),
    "clip": _Condition(
        lambda run: run["iterations"] > 0,
        "iterations",
        "with {} iterations. Set `iterations` to train.",
    ),
}
"""Keys that only some runs have. In a grid they collapse for the others; alone they are an error."""


def _describe(error: Any, keys: Iterable[str], noun: str) -> str:
    """Return one line for one error of pydantic: the key, what must hold, what was received, the remedy."""
    key, kind, got, limits = error["loc"][0], error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(key).lower(), list(keys), n=1, cutoff=0.5)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        return f"`{key}` is not a key of a {noun}.{hint} The keys are {', '.join(keys)}."
    if kind == "value_error":
        return str(limits["error"])
    must = {
        "int_type": "a whole number",
        "float_type": "a number",
        "string_type": "text",
        "finite_number": "a finite number",
        "greater_than_equal": f"at least {limits.get('ge')}",
        "greater_than": f"above {limits.get('gt', 0):g}",
        "string_too_short": "text",
    }.get(kind, f"valid ({error['msg']})")
    return f"`{key}` must be {must}, got {got!r}. {REMEDIES.get(str(key), '')}".rstrip()


class _Specification(BaseModel):
    """A model that reports everything that is wrong with it in one ArgumentError, a line each."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    noun: ClassVar[str]

    def __init__(self, **data: Any) -> None:
        faults: list[str] = []
        unsound: set[str] = set()
        try:
            super().__init__(**data)
        except ValidationError as error:
            faults = [_describe(entry, type(self).model_fields, self.noun) for entry in error.errors()]
            unsound = {str(entry["loc"][0]) for entry in error.errors()}
            # The sound keys are read alone, so that what they do not agree on is reported in the same breath.
            super().__init__(**{key: value for key, value in data.items() if key not in unsound})
        faults += [fault for keys, fault in self._disagreements() if not unsound & set(keys)]
        if faults:
            raise ArgumentError("\n".join(dict.fromkeys(faults)))

    def _values(self, key: str) -> tuple:
        """Return the values of a key as a tuple."""
        raise NotImplementedError

    def _disagreements(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield the keys that do not fit together, and why."""
        for task, length in itertools.product(self._values("task"), self._values("length")):
            fault = None if length is None else TASKS[task].lengths.fault(task, length)
            if fault:
                yield ("task", "length"), f"`length` {fault}"
        for key, condition in CONDITIONS.items():
            others = self._values(condition.depends_on)
            if self._is_one(key) and not any(condition.holds({condition.depends_on: other}) for other in others):
                named = ", ".join(str(other) for other in others)
                yield (key, condition.depends_on), f"`{key}` must be left out {condition.remedy.format(named)}"
        for cell, probes in itertools.product(self._values("cell"), self._values("probes")):
            if not _fitting(probes, cell):
                fault = f"`probes` must hold one that {cell} can have, got {probes!r}. Add 'transport'."
                yield ("probes", "cell"), fault

    def _is_one(self, key: str) -> bool:
        """Return whether a key was given with a single value: with several it is the axis of a grid and collapses."""
        values = self._values(key)
        return key in self.model_fields_set and len(values) == 1 and values[0] is not None


class Run(_Specification):
    """One network, measured once or, with ``iterations``, before and after a short training.

    Parameters
    ----------
    cell : {"RNN", "LSTM", "GRU"}
    hidden_size : int
        H, the number of units.
    activation : str
        Of the candidate and of the exposed cell state.
    forget_bias : float or None
        The whole initial bias of the gate that keeps; None takes the cell's own. An RNN has none.
    recurrent : str
        Initializer of W_h.
    gain : float
        Factor on W_h.
    task : str
        One of ``tasks.TASKS``.
    length : int or None
        T, in steps; None takes the task's own.
    batch_size : int
        B: sequences that are probed, and sequences in each iteration of training.
    seed : int
        Everything random follows from it.
    iterations : int
        Updates of the weights; 0 leaves the network untrained.
    learning_rate : float or None
        Of Adam; only with iterations.
    clip : float or None
        Largest global norm of the gradient, inf to leave it alone; only with iterations.
    probes : str or list of str
        Presets and names of the catalogue; kept as a preset, or as names with commas between them. Those that the
        cell cannot have are left out.
    dtype : {"float64", "float32"}
    keep : {"everything", "curves", "summary"}
        What a store keeps of the run: see ``KEPT``.

    Raises
    ------
    ArgumentError
        With one line for everything that is wrong.
    """

    noun: ClassVar[str] = "run"

    cell: Cell = "LSTM"
    hidden_size: Count = 32
    activation: Activation = "tanh"
    forget_bias: Finite | None = None
    recurrent: Recurrent = "orthogonal"
    gain: Finite = 1.0
    task: TaskName = "digits_delayed"
    length: Count | None = None
    batch_size: Count = 32
    seed: CountFromZero = 0
    iterations: CountFromZero = 0
    learning_rate: Positive | None = None
    clip: PositiveOrInf | None = None
    probes: Probes = "standard"
    dtype: Dtype = "float64"
    keep: Keep = "everything"

    def _values(self, key: str) -> tuple:
        return (getattr(self, key),)

    @property
    def config(self) -> dict[str, Any]:
        """The run as a flat dict in which every default is written out; None where the run has no such thing."""
        config = self.model_dump()
        if config["length"] is None:
            config["length"] = TASKS[self.task].lengths.default
        config["probes"] = _fitting(self.probes, self.cell)
        defaults = {"learning_rate": 3e-3, "clip": 1.0}
        if CONDITIONS["forget_bias"].holds(config):
            defaults["forget_bias"] = cell_class(self.cell)(1, 1).forget_bias  # type: ignore[attr-defined]
        for key, condition in CONDITIONS.items():
            config[key] = None if not condition.holds(config) else defaults[key] if config[key] is None else config[key]
        return config

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that stand for the configuration, the task's data and what the probes mean."""
        config = to_json(dict(sorted(self.config.items())))
        text = f"{config} {load_task(self.task).digest} {REVISION}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def probe_choice(self) -> str | list[str]:
        """The probes as :func:`gradscope.probe` takes them."""
        chosen = _fitting(self.probes, self.cell)
        return chosen if chosen in PRESETS else chosen.split(",")

    @property
    def size(self) -> int:
        """Bytes of the arrays that the run leaves in a store, about."""
        config, cell = self.config, cell_class(self.cell)
        gates, units = len(cell.gate_names), self.hidden_size
        width = units * len(cell.blocks)
        length, batch = config["length"], self.batch_size
        sizes = {"step": length, "time": length + 1, "batch": batch, "unit": units, "rank": width}
        sizes |= {"gate": gates, "side": 2, "block": len(cell.blocks) ** 2, "bin": BINS}
        sizes |= {"lag": length + 1, "input": load_task(self.task).input_size, "parameter": 3, "route": 3}
        probes = [CATALOGUE[name] for name in choose(self.probe_choice) if _fitting(name, self.cell)]
        shapes = [
            [min(sizes[axis], dict(probe.grids).get(axis, sizes[axis])) for axis in axes]
            for probe in probes
            for axes in (probe.axes, *(part for _, part in probe.parts))
        ]
        numbers = sum(math.prod(shape) for shape in shapes)
        item = 9  # a float64 and, for many arrays, its status
        return item * numbers * (2 if self.iterations else 1)


class Sweep(_Specification):
    """A grid of runs: each key holds one value or a list of values, and every combination is a run.

    A key that a cell lacks (``forget_bias`` for an RNN) collapses to one run; so do ``learning_rate`` and ``clip``
    without iterations. Keys and defaults are those of :class:`Run`; ``name`` says what it is. ``probes`` and ``keep``
    are no axes: a list of probes is one choice.

    Raises
    ------
    ArgumentError
        With one line for everything that is wrong.

    Examples
    --------
    >>> sweep = Sweep(cell=["RNN", "LSTM"], forget_bias=[0, 1, 2], length=[10, 100])
    >>> len(sweep.runs())
    8
    """

    noun: ClassVar[str] = "sweep"

    if TYPE_CHECKING:  # one value or a sequence of values for each key, which no annotation of a field can say

        def __init__(self, **keys: Any) -> None: ...

    name: Annotated[str, Field(strict=True, min_length=1)] = "sweep"
    cell: Axis[Cell] = ("LSTM",)
    hidden_size: Axis[Count] = (32,)
    activation: Axis[Activation] = ("tanh",)
    forget_bias: Axis[Finite | None] = (None,)
    recurrent: Axis[Recurrent] = ("orthogonal",)
    gain: Axis[Finite] = (1.0,)
    task: Axis[TaskName] = ("digits_delayed",)
    length: Axis[Count | None] = (None,)
    batch_size: Axis[Count] = (32,)
    seed: Axis[CountFromZero] = (0,)
    iterations: Axis[CountFromZero] = (0,)
    learning_rate: Axis[Positive | None] = (None,)
    clip: Axis[PositiveOrInf | None] = (None,)
    probes: Probes = "standard"
    dtype: Axis[Dtype] = ("float64",)
    keep: Keep = "everything"

    def _values(self, key: str) -> tuple:
        values = getattr(self, key)
        return values if isinstance(values, tuple) else (values,)

    def _disagreements(self) -> Iterator[tuple[tuple[str, ...], str]]:
        yield from super()._disagreements()
        points = math.prod(len(values) for values in self.axes.values())
        if points > MOST_RUNS:
            yield (), f"`{self.name}` must have at most {MOST_RUNS:,} runs, got {points:,}. Shorten some of its lists."

    @property
    def axes(self) -> dict[str, tuple]:
        """The values of every key that can hold several."""
        return {key: getattr(self, key) for key in Run.model_fields if key not in CHOICES}

    def runs(self) -> list[Run]:
        """Return the runs of the grid, the last key varying fastest, none of them twice."""
        runs: dict[str, Run] = {}
        for point in itertools.product(*self.axes.values()):
            values = dict(zip(self.axes, point, strict=True))
            values |= {key: None for key, condition in CONDITIONS.items() if not condition.holds(values)}
            run = Run(**values, **{key: getattr(self, key) for key in CHOICES})
            runs.setdefault(to_json(run.config), run)
        return list(runs.values())

    def describe(self) -> dict[str, Any]:
        """Return what was asked for as plain data: one value as such, several as a list."""
        asked = {key: getattr(self, key) for key in type(self).model_fields if key in self.model_fields_set}
        return {
            key: value if not isinstance(value, tuple) else value[0] if len(value) == 1 else list(value)
            for key, value in asked.items()
        }


@dataclass(frozen=True)
class Study:
    """A named group of sweeps that answer one question together.

    Attributes
    ----------
    name : str
    sweeps : tuple of Sweep
    """

    name: str
    sweeps: tuple[Sweep, ...]

    def runs(self) -> dict[str, Run]:
        """Return the runs of all sweeps by id; a run that two sweeps ask for is there once."""
        return {run.id: run for sweep in self.sweeps for run in sweep.runs()}

    def describe(self) -> dict[str, Any]:
        """Return the study as plain data."""
        return {"name": self.name, "sweeps": [sweep.describe() for sweep in self.sweeps]}


def read_study(path: str | Path) -> Study:
    """Read a study from a TOML file.

    Raises
    ------
    ArgumentError
        When the file cannot be read, is not TOML, or holds a sweep that is not sound; with one line for everything
        that is wrong.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ArgumentError(f"{path} must be a TOML file, and cannot be read: {reason}. Give its path.") from None
    except tomllib.TOMLDecodeError as error:
        raise ArgumentError(
            f'{path} must be TOML, got: {error}. Write keys as `length = [10, 100]`, text in "".'
        ) from None
    tables = data.pop("sweep", [{}])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise ArgumentError(
            f"`sweep` must be an array of tables in {path}, got {tables!r}. Write `[[sweep]]` above the keys of each."
        )
    name = data.get("name", path.stem)
    sweeps, faults = [], []
    for number, table in enumerate(tables, start=1):
        try:
            sweeps.append(Sweep(**{"name": name, **data, **table}))
        except ArgumentError as error:
            place = f"{path}: " if len(tables) == 1 else f"{path}, sweep {number}: "
            faults += [place + line for line in str(error).splitlines()]
    if faults:
        raise ArgumentError("\n".join(faults))
    return Study(str(name), tuple(sweeps))
