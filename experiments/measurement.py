"""Measurement: one run carried out, from the drawn weights to what a store keeps of it.

Everything here happens where the run happens, on a worker or in the process itself, and knows neither of the others.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from threadpoolctl import threadpool_limits

from gradscope.errors import GradscopeError
from gradscope.record import Record
from gradscope.store import Results

from .course import Course, Glimpse, follow
from .retention import kept
from .spec import Run
from .tasks import Task
from .trials import Trial

__all__ = ["Ended", "Outcome", "Post", "Watch", "carry_out", "measure", "reason"]

Watch = Callable[[Run, Glimpse], None]
"""Is given what is seen of a training while it goes on."""


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


class Post:
    """Holds what was seen of runs under way until somebody fetches it.

    One thread carries out runs and puts, another may take: what a store needs is made then, and only if somebody asks.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[Run, Glimpse]] = deque()

    def put(self, run: Run, glimpse: Glimpse) -> None:
        """Hold a glimpse of a run; what the run will not keep is let go at once."""
        record = kept({glimpse.iteration: glimpse.record}, run)[glimpse.iteration]
        self._seen.append((run, replace(glimpse, record=replace(record, summary=dict(record.summary)))))

    def take(self) -> dict[str, Results]:
        """Return, by run, what a store can hold of those that were seen since this was last asked."""
        seen: dict[str, tuple[Run, list[Glimpse]]] = {}
        for _ in range(len(self._seen)):
            run, glimpse = self._seen.popleft()
            seen.setdefault(run.id, (run, []))[1].append(glimpse)
        return {run.id: _so_far(run, glimpses) for run, glimpses in seen.values()}


def _so_far(run: Run, glimpses: list[Glimpse]) -> Results:
    """Return the records of some glimpses of a run, and the course of its training until the last of them."""
    records = {glimpse.iteration: glimpse.record for glimpse in glimpses}
    course: Course = glimpses[-1].course()
    return Results(records | kept(course.records, run), {}, course.curves)


def _ignore(run: Run, glimpse: Glimpse) -> None:
    """Look away."""


def measure(run: Run | Trial, task: Task | None, watch: Watch = _ignore) -> Outcome:
    """Carry out one run: draw the network, probe it, and, with iterations, train it and probe it again.

    See :mod:`gradscope.experiments.course` for what happens, and in which order.

    Parameters
    ----------
    run : Run or Trial
    task : Task or None
        The task of that name, with its data; None for a trial.
    watch : callable
        Is given the run and what is seen of it, each time that a training is probed on its way.

    Returns
    -------
    Outcome
        A network that diverges is an outcome too.
    """
    started = time.perf_counter()
    with threadpool_limits(1):
        if isinstance(run, Trial):
            return Outcome({0: run.measure()}, {}, time.perf_counter() - started)
        seen = follow(run, cast(Task, task), functools.partial(watch, run))
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


def carry_out(run: Run | Trial, task: Task | None, watch: Watch = _ignore) -> Ended:
    """Carry out one run and return what a store keeps of it; whatever it raises is the reason why it failed."""
    try:
        outcome = measure(run, task, watch)
        records = kept(outcome.records, run)
        results = Results(records, outcome.metrics, outcome.curves, outcome.seconds)
    except Exception as error:  # noqa: BLE001 (whatever a run raises is the reason why it failed, and is recorded)
        return Ended(run.id, error=reason(error))
    return Ended(run.id, results, diverged=outcome.diverged)


def reason(error: Exception) -> str:
    """Return in one line why a run failed."""
    text = " ".join(str(error).split())
    return text if isinstance(error, GradscopeError) else f"{type(error).__name__}: {text}"
