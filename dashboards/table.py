"""The table of runs: which columns it has, and what their values are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gradscope.store import Span

__all__ = ["MADE", "Table"]

MADE = (
    *("seed", "batch_size", "iterations", "learning_rate", "clip", "optimizer", "dtype"),
    *("probes", "probe_schedule", "evaluate_every", "keep", "keep_weights"),
)
"""Parameters that say how a run was made rather than what it is: they come last, and nobody groups by them unasked."""


@dataclass(frozen=True)
class Table:
    """The columns of a table with a row for each run; the rows stay in the store until somebody looks at them.

    Attributes
    ----------
    spans : dict of str to Span
        What the values of each parameter and metric are.
    parameters : tuple of str
        Names that come from a run's configuration.
    total : int
        Number of runs.
    """

    spans: dict[str, Span]
    parameters: tuple[str, ...] = ()
    total: int = 0

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Names of the measured numbers, in order of appearance; the ends of an interval belong to its number."""
        ends = {name + end for name in self.spans for end in ("_low", "_high")}
        hidden = {*self.parameters, *ends}
        return tuple(name for name, span in self.spans.items() if name not in hidden and span.numbers)

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The parameters that differ between runs; a run that lacks one differs from a run that has it."""
        return tuple(name for name in self.parameters if not self.spans[name].same)

    def partial(self, name: str) -> bool:
        """Say whether a parameter has one and the same value in all runs that have it, and others lack it."""
        span = self.spans[name]
        alike = span.least is not None and span.least == span.most and span.numbers in (0, span.count)
        return alike and not span.same

    @cached_property
    def constant(self) -> dict[str, Any]:
        """The parameters that are the same in every run, with their value; absent ones are left out."""
        spans = {name: self.spans[name] for name in self.parameters}
        return {name: span.least for name, span in spans.items() if span.same and span.count}

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """What may stand along an axis of a phase map: the parameters that vary, then those that do not."""
        return (*self.varying, *self.constant)

    def textual(self, name: str) -> bool:
        """Say whether a column holds text."""
        span = self.spans.get(name)
        return span is not None and span.count > span.numbers
