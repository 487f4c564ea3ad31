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
wrong with a sweep is reported at once, one line each, with its line in the file.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import math
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, get_type_hints

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
)

from gradscope.activations import ACTIVATIONS
from gradscope.cells import cell_class
from gradscope.errors import ArgumentError, unknown
from gradscope.initializers import INITIALIZERS, chrono_range
from gradscope.probes import CATALOGUE, PRESETS, REVISION
from gradscope.probes.catalogue import fits
from gradscope.record import to_json

from .lines import Place, places
from .tasks import TASKS, Task, load_task, others
from .training import OPTIMIZERS, RATES, Momentum, optimizer, schedule

__all__ = ["KEPT", "MOST_NUMBERS", "MOST_RUNS", "Run", "SpecError", "Study", "Sweep", "read_study"]

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

MOST_NUMBERS = 2**31
"""Numbers in the states of a run, T B S: 17 GB of float64 and several times that in all."""

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
    "layers": "Count layers; 1 is a single cell.",
    "input_gain": "1.0 leaves the input weights as drawn.",
    "input_bias": "-1.0 is a common choice; leave it out for 0.",
    "file": "Give its path.",
    "column": "Name one of the file's columns.",
    "input_size": "Count inputs, e.g. 8.",
    "input_std": "1.0 is the usual one.",
    "normalize": "Write true or false.",
    "momentum": "0.9 is a common choice.",
    "learning_rate_end": "0.1 ends at a tenth of the learning rate.",
    "l1": "0 has no penalty.",
    "l2": "0 has no penalty.",
    "dropout": "0.2 is a common choice; 0 drops nothing.",
    "input_dropout": "0.2 is a common choice; 0 drops nothing.",
    "truncate": "Count the steps of a segment, e.g. 20; leave it out for the whole sequence.",
    "examples": "Count training sequences, e.g. 500; leave it out for new ones in each update.",
    "evaluate_every": "Count updates, e.g. 100.",
    "patience": "Count evaluations, e.g. 5; leave it out to train to the end.",
    "keep_weights": "Write true or false.",
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


def _bias(value: Any, info: ValidationInfo) -> Any:
    """Take a number, or "chrono:T"."""
    if isinstance(value, str) and value.startswith("chrono"):
        chrono_range(value)
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ArgumentError(
            f"`{info.field_name}` must be a number or 'chrono:T', got {value!r}. {REMEDIES[str(info.field_name)]}"
        )
    if not math.isfinite(value):
        raise ArgumentError(
            f"`{info.field_name}` must be a finite number, got {value!r}. {REMEDIES[str(info.field_name)]}"
        )
    return float(value) + 0.0


def _probe_schedule(value: Any) -> str:
    """Take a schedule of probes."""
    schedule(value)
    return value


Cell = Annotated[str, BeforeValidator(_cell_name)]
Activation = Annotated[str, _one_of(ACTIVATIONS)]
Recurrent = Annotated[str, _one_of(INITIALIZERS)]
TaskName = Annotated[str, _one_of(TASKS)]
Dtype = Annotated[str, _one_of({"float64": None, "float32": None})]
Bias = Annotated[float | str, BeforeValidator(_bias)]
Share = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1)]
FromZero = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0), AfterValidator(_no_sign_of_zero)]
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True, min_length=1)]
Optimizer = Annotated[str, _one_of(OPTIMIZERS)]
Decay = Annotated[str, _one_of(RATES)]
UpdatePer = Annotated[str, _one_of({"sequence": None, "segment": None})]
ClipBy = Annotated[str, _one_of({"norm": None, "value": None})]
ProbeSchedule = Annotated[str, BeforeValidator(_probe_schedule)]
Ablated = Annotated[str, _one_of(dict.fromkeys(("input", "forget", "output", "reset", "update")))]
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
            times = "twice" if values.count(value) == 2 else f"{values.count(value)} times"
            raise ArgumentError(f"`{name}` must hold each value once, got {value!r} {times}. Remove the others.")
    return values


T = TypeVar("T")
Axis = Annotated[tuple[T, ...], BeforeValidator(_as_tuple), AfterValidator(_each_once)]


def _fitting(probes: str, cell: str) -> str:
    """Return the choice of probes without those that a cell cannot have; a preset sees to that itself."""
    kind = cell_class(cell)(1, 1)
    return probes if probes in PRESETS else ",".join(name for name in probes.split(",") if fits(name, kind))


@dataclass(frozen=True)
class _Condition:
    """When a key has a meaning, what it is when it is left out, and what to say when it has none."""

    holds: Callable[[Mapping[str, Any]], bool]
    depends_on: tuple[str, ...]
    remedy: str
    default: Callable[[Mapping[str, Any]], Any] = lambda run: None


def _trained(default: Any = None) -> _Condition:
    """Return the condition of a key that only a training has."""
    return _Condition(
        lambda run: run["iterations"] > 0,
        ("iterations",),
        "with {} iterations. Set `iterations` to train.",
        lambda run: default,
    )


def _of_task(option: str, default: Any = None) -> _Condition:
    """Return the condition of an option of some tasks."""
    return _Condition(
        lambda run: option in TASKS[run["task"]].options,
        ("task",),
        "for the task {}. " + others(option),
        lambda run: default,
    )


def _has_bias(run: Mapping[str, Any]) -> bool:
    """Return whether the cell has a forget bias."""
    return "forget_bias" in cell_class(run["cell"]).__dataclass_fields__


CONDITIONS: dict[str, _Condition] = {
    "forget_bias": _Condition(
        _has_bias,
        ("cell",),
        "for {}, which has no gate that forgets. Use an LSTM or a GRU.",
        lambda run: cell_class(run["cell"]).__dataclass_fields__["forget_bias"].default,
    ),
    "input_bias": _Condition(
        lambda run: "input" in cell_class(run["cell"]).gate_names,
        ("cell",),
        "for {}, which has no input gate. Use an LSTM.",
        lambda run: 0.0,
    ),
    "ablate": _Condition(
        lambda run: run["ablate"] is None or run["ablate"] in cell_class(run["cell"]).gate_names,
        ("ablate", "cell"),
        "as {}, which has no such gate. Name one that it has.",
    ),
    "file": _of_task("file"),
    "column": _of_task("column"),
    "input_size": _of_task("input_size", 8),
    "input_std": _of_task("input_std", 1.0),
    "optimizer": _trained("adam"),
    "momentum": _Condition(
        lambda run: run["iterations"] > 0 and issubclass(OPTIMIZERS[run["optimizer"] or "adam"], Momentum),
        ("iterations", "optimizer"),
        "with {}, which has none. Use the optimizer 'momentum' or 'nesterov'.",
        lambda run: 0.9,
    ),
    "learning_rate": _Condition(
        lambda run: run["iterations"] > 0,
        ("iterations",),
        "with {} iterations. Set `iterations` to train.",
        lambda run: optimizer(run["optimizer"] or "adam").usual_rate,
    ),
    "learning_rate_decay": _trained("constant"),
    "learning_rate_end": _Condition(
        lambda run: run["iterations"] > 0 and run["learning_rate_decay"] not in (None, "constant"),
        ("iterations", "learning_rate_decay"),
        "with {}: the learning rate stays. Set `learning_rate_decay`, too.",
        lambda run: 0.1,
    ),
    "clip": _trained(1.0),
    "clip_by": _trained("norm"),
    "l1": _trained(0.0),
    "l2": _trained(0.0),
    "dropout": _trained(0.0),
    "input_dropout": _trained(0.0),
    "truncate": _trained(),
    "update_per": _Condition(
        lambda run: run["iterations"] > 0 and run["truncate"] is not None and TASKS[run["task"]].each_step,
        ("iterations", "truncate", "task"),
        "without `iterations`, without `truncate`, or for a task with a single target after the last step (there only "
        "the last segment has a loss, and `truncate` alone does the same). Tasks with a target after each step are "
        f"{', '.join(name for name, kind in TASKS.items() if kind.each_step)}.",
        lambda run: "sequence",
    ),
    "examples": _trained(),
    "evaluate_every": _trained(),
    "patience": _trained(),
    "probe_schedule": _trained("ends"),
    "keep_weights": _trained(False),
}
"""Keys that only some runs have. In a grid they collapse for the others; alone they are an error."""

LATER: dict[str, Any] = {
    "keep": "everything",
    "layers": 1,
    "inputs": "glorot",
    "input_gain": 1.0,
    "input_bias": 0.0,
    "input_size": 8,
    "input_std": 1.0,
    "normalize": False,
    "optimizer": "adam",
    "learning_rate_decay": "constant",
    "clip_by": "norm",
    "l1": 0.0,
    "l2": 0.0,
    "dropout": 0.0,
    "input_dropout": 0.0,
    "update_per": "sequence",
    "probe_schedule": "ends",
    "keep_weights": False,
}
"""Keys that came later, with the value that leaves a run as it was before: that one does not enter a run's id."""


class SpecError(ArgumentError):
    """Everything that is wrong with a run, a sweep or a file, a line each.

    Attributes
    ----------
    faults : list of (tuple of str, str)
        The keys that are to blame, and what is wrong with them.
    """

    def __init__(self, faults: Iterable[tuple[tuple[str, ...], str]]) -> None:
        self.faults = list(dict.fromkeys(faults))
        super().__init__("\n".join(dict.fromkeys(text for _, text in self.faults)))


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
        "greater_than_equal": f"at least {limits.get('ge', 0):g}",
        "greater_than": f"above {limits.get('gt', 0):g}",
        "less_than": f"below {limits.get('lt', 0):g}",
        "bool_type": "true or false",
        "string_too_short": "text",
    }.get(kind, f"valid ({error['msg']})")
    return f"`{key}` must be {must}, got {got!r}. {REMEDIES.get(str(key), '')}".rstrip()


class _Specification(BaseModel):
    """A model that reports everything that is wrong with it in one ArgumentError, a line each."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    noun: ClassVar[str]

    def __init__(self, **data: Any) -> None:
        faults: list[tuple[tuple[str, ...], str]] = []
        unsound: set[str] = set()
        try:
            super().__init__(**data)
        except ValidationError as error:
            for entry in error.errors():
                key = str(entry["loc"][0])
                faults.append(((key,), _describe(entry, type(self).model_fields, self.noun)))
                unsound.add(key)
            # The sound keys are read alone, so that what they do not agree on is reported in the same breath.
            super().__init__(**{key: value for key, value in data.items() if key not in unsound})
        faults += [(keys, fault) for keys, fault in self._disagreements() if not unsound & set(keys)]
        if faults:
            raise SpecError(faults)

    def _values(self, key: str) -> tuple:
        """Return the values of a key as a tuple."""
        raise NotImplementedError

    def _points(self, *keys: str) -> Iterator[dict[str, Any]]:
        """Yield every combination of the values of some keys."""
        for point in itertools.product(*(self._values(key) for key in keys)):
            yield dict(zip(keys, point, strict=True))

    def _disagreements(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield the keys that do not fit together, and why."""
        for point in self._points("task", "length"):
            length = point["length"]
            fault = None if length is None else TASKS[point["task"]].lengths.fault(point["task"], length)
            if fault:
                yield ("length", "task"), f"`length` {fault}"
        for key, condition in CONDITIONS.items():
            if not self._is_one(key):
                continue
            if not any(condition.holds(point) for point in self._points(*condition.depends_on)):
                others = [value for name in condition.depends_on for value in self._values(name)]
                named = ", ".join(str(other) for other in others if other is not None)
                yield (key, *condition.depends_on), f"`{key}` must be left out {condition.remedy.format(named)}"
        for point in self._points("cell", "probes"):
            if not _fitting(point["probes"], point["cell"]):
                fault = f"`probes` must hold one that {point['cell']} can have, got {point['probes']!r}."
                yield ("probes", "cell"), f"{fault} Add 'transport'."
        for point in self._points("task", "iterations"):
            if point["iterations"] and not TASKS[point["task"]].learns:
                fault = f"`iterations` must be 0 for the task {point['task']}, got {point['iterations']}."
                yield ("iterations", "task"), f"{fault} There is nothing to learn in it."
        yield from self._too_large()
        yield from self._unreadable()

    def _too_large(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield what no memory would hold."""
        sizes = {key: max(self._values(key)) for key in ("hidden_size", "layers", "batch_size")}
        length = max(value or 0 for value in self._values("length")) or 1
        numbers = max(math.prod(sizes.values()) * length, 4 * sizes["hidden_size"] ** 2)
        if numbers > MOST_NUMBERS:
            largest = max(sizes | {"length": length}, key=(sizes | {"length": length}).get)  # type: ignore[arg-type]
            got = (sizes | {"length": length})[largest]
            yield (
                (largest,),
                f"`{largest}` must leave the states of a run below {MOST_NUMBERS:,} numbers, got {got:,}, which makes "
                f"{numbers:,}. Make it smaller.",
            )

    def _unreadable(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield the files that a task cannot use."""
        for point in self._points("task", "file", "column"):
            name = point.pop("task")
            given = {key: value for key, value in point.items() if key in TASKS[name].options and value is not None}
            if "file" in TASKS[name].options:
                try:
                    load_task(name, **given)
                except ArgumentError as error:
                    yield ("column" if "`column`" in str(error) else "file", "task"), str(error)

    def _is_one(self, key: str) -> bool:
        """Return whether a key was given with a single value: with several it is the axis of a grid and collapses."""
        values = self._values(key)
        return key in self.model_fields_set and len(values) == 1 and values[0] is not None


class Run(_Specification):
    """One network, measured once or, with ``iterations``, before and after a short training.

    Parameters
    ----------
    cell : str
        A name in ``gradscope.cells.CELLS``.
    hidden_size : int
        H, the number of units of each layer.
    layers : int
        Depth: each layer reads the hidden states of the one below.
    activation : str or None
        Of the candidate and of the exposed cell state; None takes the cell's own.
    forget_bias : float, "chrono:T" or None
        The whole initial bias of the gate that keeps; None takes the cell's own. An RNN has none.
    recurrent : str or None
        Initializer of W_h; None takes the cell's own.
    gain : float
        Factor on W_h.
    inputs : str
        Initializer of W_x.
    input_gain : float
        Factor on W_x.
    input_bias : float or None
        Initial bias of the input gate, where there is one; 0 when left out.
    ablate : str or None
        A gate to take out: it stands open, whatever it reads.
    task : str
        One of ``tasks.TASKS``.
    file, column : str or None
        What a task over data of one's own reads.
    input_size, input_std : int, float or None
        Inputs of a step and their standard deviation, where a task leaves that open.
    normalize : bool
        Whether inputs are scaled to mean 0 and standard deviation 1 on training sequences.
    length : int or None
        T, in steps; None takes the task's own.
    batch_size : int
        B: sequences that are probed, and sequences in each iteration of training.
    seed : int
        Everything random follows from it.
    iterations : int
        Updates of the weights; 0 leaves the network untrained, and none of the keys from ``optimizer`` to
        ``keep_weights`` has a meaning then.
    optimizer, momentum, learning_rate, learning_rate_decay, learning_rate_end, clip, clip_by, l1, l2, dropout, \
input_dropout, truncate, update_per, examples, evaluate_every, patience
        See :class:`gradscope.experiments.training.Recipe`.
    probe_schedule : str or None
        When to probe beside before and after: "ends", "every:100", "log", "log:8".
    keep_weights : bool or None
        Whether records hold the weights, as arrays ``weight.W_x`` and so on.
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
    layers: Count = 1
    activation: Activation | None = None
    forget_bias: Bias | None = None
    recurrent: Recurrent | None = None
    gain: Finite = 1.0
    inputs: Recurrent = "glorot"
    input_gain: Finite = 1.0
    input_bias: Finite | None = None
    ablate: Ablated | None = None
    task: TaskName = "digits_delayed"
    file: Text | None = None
    column: Text | None = None
    input_size: Count | None = None
    input_std: Positive | None = None
    normalize: Flag = False
    length: Count | None = None
    batch_size: Count = 32
    seed: CountFromZero = 0
    iterations: CountFromZero = 0
    optimizer: Optimizer | None = None
    momentum: Share | None = None
    learning_rate: Positive | None = None
    learning_rate_decay: Decay | None = None
    learning_rate_end: Positive | None = None
    clip: PositiveOrInf | None = None
    clip_by: ClipBy | None = None
    l1: FromZero | None = None
    l2: FromZero | None = None
    dropout: Share | None = None
    input_dropout: Share | None = None
    truncate: Count | None = None
    update_per: UpdatePer | None = None
    examples: Count | None = None
    evaluate_every: Count | None = None
    patience: Count | None = None
    probe_schedule: ProbeSchedule | None = None
    keep_weights: Flag | None = None
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
        kind = cell_class(self.cell)
        own = {"activation": kind.__dataclass_fields__["activation"].default, "recurrent": kind.recurrent}
        config |= {key: default for key, default in own.items() if config[key] is None}
        for key, condition in CONDITIONS.items():
            if not condition.holds(config):
                config[key] = None
            elif config[key] is None:
                config[key] = condition.default(config)
        return config

    def load_task(self) -> Task:
        """Return the task of the run, with its data."""
        config = self.config
        given = {key: config[key] for key in TASKS[self.task].options if config[key] is not None}
        return load_task(self.task, **given)

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that stand for the configuration, the task's data and what the probes mean."""
        config = {key: value for key, value in self.config.items() if key != "file"}  # its content is in the digest
        told = {key: value for key, value in sorted(config.items()) if value is not None and value != LATER.get(key)}
        text = f"{to_json(told)} {self.load_task().digest} {REVISION}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def probe_choice(self) -> str | list[str]:
        """The probes as :func:`gradscope.probe` takes them."""
        chosen = _fitting(self.probes, self.cell)
        return chosen if chosen in PRESETS else chosen.split(",")


_AXES: dict[str, Any] = {
    key: (annotation, Run.model_fields[key].default)
    if key in CHOICES
    else (Axis[annotation], (Run.model_fields[key].default,))  # type: ignore[valid-type]
    for key, annotation in get_type_hints(Run, include_extras=True).items()
    if key in Run.model_fields
}

_Grid: Any = create_model("_Grid", __base__=_Specification, name=(Text, "sweep"), **_AXES)


class Sweep(_Grid):
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

    if TYPE_CHECKING:  # the axes are made from the keys of a run, one value or a sequence of values for each

        def __init__(self, **keys: Any) -> None: ...

        def __getattr__(self, key: str) -> Any: ...

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
    return Study(*_sweeps(data, path, places(path.read_text(encoding="utf-8"))))


def _sweeps(data: dict[str, Any], path: Path, where: list[Place]) -> tuple[str, tuple[Sweep, ...]]:
    """Return the name and the sweeps of a file, or say everything that is wrong with them."""
    faults: list[tuple[float, str]] = []

    def note(key: str, table: int, text: str) -> None:
        """Write down a fault with the line of its key: in the sweep itself, or above all of them."""
        found = next((place.line for n in (table, 0) for place in where if (place.table, place.key) == (n, key)), None)
        faults.append((found or math.inf, f"{path}, {f'line {found}' if found else f'sweep {table}'}: {text}"))

    tables = _tables(data, path, note)
    name = data.get("name", path.stem)
    sweeps = []
    for number, table in enumerate(tables, start=1):
        try:
            sweeps.append(Sweep(**{"name": name, **data, **table}))
        except SpecError as error:
            for keys, text in error.faults:
                own = next((key for key in keys if key in table), next((key for key in keys if key in data), ""))
                note(own, number, text)
    if faults:
        raise ArgumentError("\n".join(dict.fromkeys(text for _, text in sorted(faults, key=lambda fault: fault[0]))))
    return str(name), tuple(sweeps)


def _tables(data: dict[str, Any], path: Path, note: Callable[[str, int, str], None]) -> Sequence[dict[str, Any]]:
    """Take the tables of the sweeps out of the data of a file; a misspelt one counts, so that all faults are found."""
    misspelt = [key for key, value in data.items() if key != "sweep" and _is_table(value)]
    tables: list[dict[str, Any]] = []
    for key in misspelt:
        note(key, 0, f"`{key}` must be called `sweep`. Write `[[sweep]]` above the keys of each sweep.")
        value = data.pop(key)
        tables += value if isinstance(value, list) else [value]
    given = data.pop("sweep", tables or [{}])
    if not isinstance(given, list) or not given or not all(isinstance(table, dict) for table in given):
        wanted = f"`sweep` must be an array of tables in {path}, got {given!r}."
        note("sweep", 0, f"{wanted} Write `[[sweep]]` above the keys of each.")
        return tables
    return given if given is tables else [*given, *tables]


def _is_table(value: Any) -> bool:
    """Return whether a value of a TOML file is a table, or an array of tables."""
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))
