"""Trials: runs that measure something of their own, for studies that a grid of networks cannot ask.

A :class:`Grid` is to a :class:`Trial` what a :class:`~gradscope.experiments.spec.Sweep` is to a run: named lists of
values, every combination a trial. A trial calls the measurement of its study with its parameters and a generator, and
keeps the record that comes back. Runner, engines and store treat it as any run.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError
from gradscope.record import Record, to_json

__all__ = ["Grid", "Measurement", "Trial"]

Measurement = Callable[..., Record]
"""``measure(rng, **parameters)``: the record of one trial, its numbers in the summary, its arrays as fields."""

SIZE = 4000  # bytes of a trial in a store, about, without arrays


@dataclass(frozen=True)
class Trial:
    """One point of a grid, measured by a function of its study.

    Attributes
    ----------
    study : str
        Name of the study, which is part of the configuration.
    measurement : callable
        A function of a module, so that a worker finds it by its name.
    parameters : dict
        What it is called with; ``seed`` makes the generator and is not passed on.
    version : int
        Of the measurement: a higher one is measured anew.
    """

    study: str
    measurement: Measurement = field(repr=False)
    parameters: Mapping[str, Any]
    version: int = 1

    keep = "everything"

    @property
    def config(self) -> dict[str, Any]:
        """The study and the parameters as one flat dict."""
        return {"study": self.study, **self.parameters}

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that stand for the configuration and the version of the measurement."""
        text = f"{to_json(dict(sorted(self.config.items())))} {self.version}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def size(self) -> int:
        """Bytes that the trial leaves in a store, about."""
        return SIZE

    def load_task(self) -> None:
        """Return None: a trial makes its own data."""

    def measure(self) -> Record:
        """Carry out the trial. Parameters of one seed share their chance, so that they can be compared."""
        parameters = dict(self.parameters)
        return self.measurement(np.random.default_rng(parameters.pop("seed", 0)), **parameters)


class Grid:
    """A grid of trials: each parameter holds one value or a list of values.

    Parameters
    ----------
    study : str
        Name of the study.
    measurement : callable
        See :data:`Measurement`.
    name : str
        Of the grid; that of the study when left out.
    version : int
        Raise it when the measurement's numbers change.
    **axes
        The parameters.

    Raises
    ------
    ArgumentError
        For an empty list, or a value that is there twice.

    Examples
    --------
    >>> def measure(rng, gain): return Record({}, {"double": 2 * gain})
    >>> grid = Grid("example", measure, gain=[1.0, 2.0], seed=[0, 1])
    >>> [trial.measure().summary["double"] for trial in grid.runs()]
    [2.0, 2.0, 4.0, 4.0]
    """

    def __init__(
        self, study: str, measurement: Measurement, *, name: str | None = None, version: int = 1, **axes: Any
    ) -> None:
        self.study, self.measurement = study, measurement
        self.name, self.version = name or study, version
        self.axes = {
            key: tuple(value) if isinstance(value, (list, tuple, range)) else (value,) for key, value in axes.items()
        }
        for key, values in self.axes.items():
            if len({to_json(value) for value in values}) < max(len(values), 1):
                raise ArgumentError(
                    f"`{key}` must hold at least one value, each once, got {list(values)}. Mend the list."
                )

    def runs(self) -> list[Trial]:
        """Return the trials, the last parameter varying fastest."""
        points = itertools.product(*self.axes.values())
        return [
            Trial(self.study, self.measurement, dict(zip(self.axes, point, strict=True)), self.version)
            for point in points
        ]

    def describe(self) -> dict[str, Any]:
        """Return what was asked for as plain data: one value as such, several as a list."""
        values = {key: list(found) if len(found) > 1 else found[0] for key, found in self.axes.items()}
        return {"name": self.name, **values}
