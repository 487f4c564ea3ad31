"""Measurement: one run carried out, from the drawn weights to what a store keeps of it.

Everything here happens where the run happens, on a worker or in the process itself, and knows neither of the others.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import cast

from threadpoolctl import threadpool_limits

from gradscope.errors import GradscopeError
from gradscope.record import Record
from gradscope.store import Results

from .course import follow
from .retention import kept
from .spec import Run
from .tasks import Task
from .trials import Trial

__all__ = ["Ended", "Outcome", "carry_out", "measure", "reason"]


@dataclass(frozen=True)
class Outcome:
    """What a run has measured.

    Attributes
    ----------
    records : dict of int to Record
        By iteration: 0 before training, and the number of updates after it.
    metrics : dict
        Numbers of the run as a whole.
    seconds : float
        How long it took.
    curves : dict of str to dict of int to float
        Numbers of single iterations, such as a validation loss.
    """

    records: dict[int, Record]
    metrics: dict[str, float | str | None]
    seconds: float
    curves: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def diverged(self) -> bool:
        """Whether a number that is not finite arose, in a probe or in training."""
        return any(record.summary.get("first_bad_step") is not None for record in self.records.values())


def measure(run: Run | Trial, task: Task | None) -> Outcome:
    """Carry out one run: draw the network, probe it, and, with iterations, train it and probe it again.

    See :mod:`gradscope.experiments.course` for what happens, and in which order.

    Parameters
    ----------
    run : Run or Trial
    task : Task or None
        The task of that name, with its data; None for a trial.

    Returns
    -------
    Outcome
        A network that diverges is an outcome too.
    """
    started = time.perf_counter()
    with threadpool_limits(1):
        if isinstance(run, Trial):
            return Outcome({0: run.measure()}, {}, time.perf_counter() - started)
        seen = follow(run, cast(Task, task))
    return Outcome(seen.records, seen.metrics, time.perf_counter() - started, seen.curves)


@dataclass(frozen=True)
class Ended:
    """A run that has come to its end.

    Attributes
    ----------
    id : str
        Of the run.
    results : Results or None
        What it has measured; None when it failed.
    error : str
        Why it failed.
    diverged : bool
        Whether a number that is not finite arose.
    """

    id: str
    results: Results | None = None
    error: str = ""
    diverged: bool = False


def carry_out(run: Run | Trial, task: Task | None) -> Ended:
    """Carry out one run and return what a store keeps of it; whatever it raises is the reason why it failed."""
    try:
        outcome = measure(run, task)
        records = kept(outcome.records, run)
        results = Results(records, outcome.metrics, outcome.curves, outcome.seconds)
    except Exception as error:  # noqa: BLE001 (whatever a run raises is the reason why it failed, and is recorded)
        return Ended(run.id, error=reason(error))
    return Ended(run.id, results, diverged=outcome.diverged)


def reason(error: Exception) -> str:
    """Return in one line why a run failed."""
    text = " ".join(str(error).split())
    return text if isinstance(error, GradscopeError) else f"{type(error).__name__}: {text}"
