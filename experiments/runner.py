"""The runner: has the runs of a study carried out, and writes them to a store.

One engine everywhere: a ``LocalCluster`` of single-thread processes by default, the scheduler of a cluster by its
address, or no worker at all for debugging. Only this process writes the store; workers send results back, and about
once a second what trainings under way have measured so far: all of it goes into the store in one transaction. A run
that raises, or whose worker dies twice, is recorded as failed and costs nothing but itself.

Several sweeps may share a store: each claims its runs as an owner with a heartbeat, waits for what another living
owner carries out, and takes over what a dead one has left.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from gradscope.errors import ArgumentError, GradscopeError, StoreError
from gradscope.store import Results, Store

from .engines import Batch, Engine, check, engine
from .measurement import Ended, Outcome, measure, reason
from .retention import sizes
from .spec import Run, Study

__all__ = ["Outcome", "Tally", "measure", "run_study"]

TICK = 0.5  # seconds between two looks at the clock while nothing finishes
BEAT = 5.0  # seconds between two heartbeats
ASK = 1.0  # seconds between two looks at what another sweep carries out
TARGET = 0.5  # seconds that a batch should take
MOST = 64  # runs in a batch
LARGEST = 32e6  # bytes of arrays in a batch, about
MEMORY = 0.3  # weight of the last run in the mean of their durations


@dataclass
class Tally:
    """How far a study is.

    Attributes
    ----------
    total : int
        Runs of the study.
    skipped : int
        Of these, finished before, or meanwhile by another sweep.
    done, failed : int
        Carried out now.
    elsewhere : int
        Runs that another sweep on the same store carries out now.
    workers : int
        How many runs can be carried out at the same time.
    diverged : int
        Of the done ones, those in which a number that is not finite arose.
    busy : float
        Seconds of work: the sum over the runs.
    errors : dict
        Reasons by the id of the run that failed.
    started, ready : float
        When the study was begun and when its workers were up, on the monotonic clock.
    """

    total: int = 0
    skipped: int = 0
    done: int = 0
    failed: int = 0
    elsewhere: int = 0
    workers: int = 0
    diverged: int = 0
    busy: float = 0.0
    errors: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    ready: float | None = None

    @property
    def seconds(self) -> float:
        """Since the study was begun."""
        return time.monotonic() - self.started

    @property
    def left(self) -> int:
        """Runs that are not finished yet."""
        return self.total - self.skipped - self.done - self.failed

    @property
    def rate(self) -> float:
        """Runs a second since the workers were up, NaN before the first."""
        count = self.done + self.failed
        since = self.started if self.ready is None else self.ready
        return count / (time.monotonic() - since) if count else float("nan")

    @property
    def seconds_left(self) -> float:
        """Seconds to go at this rate, NaN before the first run."""
        return self.left / self.rate if self.left else 0.0


def run_study(
    study: Study,
    store: Store,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    memory: str | None = None,
    progress: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Carry out the runs of a study that the store does not hold yet.

    Parameters
    ----------
    study : Study
    store : Store
        Open for writing. What it holds of the study is left as it is; failed and interrupted runs are tried again.
    workers : int, optional
        Processes on this machine; 0 works in this process. One for each core when left out.
    scheduler : str, optional
        Address of a Dask scheduler to use instead.
    memory : str, optional
        What each process on this machine may use, e.g. ``"2GB"``; its share of the machine's when left out.
    progress : callable
        Called with the tally after each run that has ended and now and then between.

    Returns
    -------
    Tally

    Raises
    ------
    ArgumentError
        For workers and a scheduler together, a negative number of workers, or an address without a scheduler,
        which leaves the store as it was.
    StoreError
        When the store cannot be written.
    KeyboardInterrupt
        As received; runs under way are then marked as interrupted in the store, and everything finished is kept.
    """
    check(workers, scheduler, memory)
    runs = study.runs()
    finished = store.finished(runs)
    wanted = [run for run_id, run in runs.items() if run_id not in finished]
    tally = Tally(total=len(runs), skipped=len(finished))
    progress(tally)
    with contextlib.ExitStack() as stack:
        # Before the first word in the store: an engine that cannot be had leaves nothing behind.
        crew = stack.enter_context(engine(workers, scheduler, len(wanted), memory)) if wanted else None
        sweep = store.add_sweep(study.name, study.describe())
        store.include(sweep, finished)
        store.plan(sweep, runs)
        if crew is not None:
            tally.ready = time.monotonic()
            _Books(wanted, store, sweep, tally, progress).carry_out(crew)
    return tally


class _Books:
    """The books of a study that is under way: what waits, what is begun, what is written."""

    def __init__(
        self, runs: list[Run], store: Store, sweep: int, tally: Tally, progress: Callable[[Tally], None]
    ) -> None:
        self._store, self._sweep, self._tally, self._progress = store, sweep, tally, progress
        self._runs = {run.id: run for run in runs}
        self._waiting = deque(runs)
        self._owner = store.add_owner()
        self._held: deque[Run] = deque()  # another sweep carries them out
        self._suspects: list[Run] = []  # their worker died
        self._under_way = 0
        self._pace: float | None = None  # seconds a run, lately
        self._asked = time.monotonic()

    def carry_out(self, crew: Engine) -> None:
        """Carry out all runs, and those whose worker died once more, each alone on a worker.

        Nobody can tell which of the runs given to a worker killed it. Alone, a run proves its innocence.
        """
        try:
            with self._beating():
                self._work_off(crew, alone=False)
                while self._suspects:
                    self._waiting.extend(self._suspects)
                    self._suspects.clear()
                    self._work_off(crew, alone=True)
        except BaseException:
            with contextlib.suppress(StoreError):  # whatever ends the sweep, a full disk perhaps, is worth more
                self._store.interrupt(self._owner)
            raise

    def _work_off(self, crew: Engine, alone: bool) -> None:
        """Keep the workers busy until nothing waits and nothing is under way."""
        while self._waiting or self._held or self._under_way:
            self._tally.workers = crew.workers()
            self._ask_again()
            # One batch under way and one waiting for each worker, so that none waits for this process. A few more
            # tell a cluster that grows with its work that there is some.
            self._fill(crew, self._under_way + crew.idle() if alone else max(2 * self._tally.workers, 4), alone)
            if not self._under_way:
                self._progress(self._tally)
                time.sleep(TICK if self._held or self._waiting else 0)
                continue
            back = crew.wait(TICK, self._show)
            for batch in back:
                self._under_way -= 1
                self._settle(batch, last_try=alone)
            if not back:
                self._progress(self._tally)

    def _ask_again(self) -> None:
        """Have another look now and then at the runs of other sweeps."""
        if self._held and not self._waiting and time.monotonic() - self._asked > ASK:
            self._asked = time.monotonic()
            self._waiting, self._held = self._held, self._waiting
            self._tally.elsewhere = 0

    def _fill(self, crew: Engine, slots: int, alone: bool) -> None:
        """Begin batches until every slot has one."""
        while self._waiting and self._under_way < slots:
            runs = self._next(slots, alone)
            answers = self._store.claim(self._sweep, {run.id: run.config for run in runs}, self._owner)
            ours = tuple(run for run in runs if answers[run.id] == "ours")
            held = [run for run in runs if answers[run.id] == "held"]
            self._held.extend(held)
            self._tally.elsewhere += len(held)
            self._tally.skipped += len(runs) - len(ours) - len(held)  # another sweep has finished them
            if ours:
                self._under_way += 1
                crew.start(Batch(ours), alone)

    def _next(self, slots: int, alone: bool) -> list[Run]:
        """Take the runs of the next batch from those that wait: enough for a while, fewer towards the end."""
        count = 1 if alone or self._pace is None else max(1, int(TARGET / self._pace))
        count = min(count, MOST, max(1, len(self._waiting) // (2 * slots)))
        runs, size = [self._waiting.popleft()], 0.0
        while self._waiting and len(runs) < count:
            size += sizes(self._waiting[0])[self._waiting[0].keep]
            if size > LARGEST:
                break
            runs.append(self._waiting.popleft())
        return runs

    def _settle(self, batch: Batch, last_try: bool) -> None:
        """Write what a batch has brought."""
        if batch.lost:
            if last_try:
                self._write([Ended(run.id, error=batch.lost) for run in batch.runs])
            else:
                self._suspects.extend(batch.runs)
            return
        back = {ended.id for ended in batch.ended}
        self._waiting.extendleft(run for run in reversed(batch.runs) if run.id not in back)
        self._write(batch.ended)

    def _show(self, results: dict[str, Results]) -> None:
        """Write what runs under way have measured so far, for whoever watches them; nobody waits for it."""
        with contextlib.suppress(GradscopeError):  # what is amiss, a full disk perhaps, the next write will tell
            self._store.add_records(results, self._owner)

    def _write(self, ended: Sequence[Ended]) -> None:
        """Write runs that have come to their end, in one transaction where that goes, and tell of each."""
        written, errors = self._finish({entry.id: entry.results for entry in ended if entry.results is not None})
        errors |= {entry.id: entry.error for entry in ended if entry.results is None}
        for entry in ended:
            if entry.id in errors:
                self._store.fail_run(entry.id, errors[entry.id], owner=self._owner)
                self._tally.failed += 1
                self._tally.errors[entry.id] = errors[entry.id]
            elif entry.id in written and entry.results is not None:
                seconds = entry.results.seconds or 0.0
                self._pace = seconds if self._pace is None else MEMORY * seconds + (1 - MEMORY) * self._pace
                self._tally.done += 1
                self._tally.diverged += entry.diverged
                self._tally.busy += seconds
            else:  # this process was silent for so long, asleep perhaps, that another sweep has taken the run over
                self._held.append(self._runs[entry.id])
                self._tally.elsewhere += 1
            self._progress(self._tally)

    def _finish(self, results: dict[str, Results]) -> tuple[set[str], dict[str, str]]:
        """Write the results of some runs; return those that were written, and why others cannot be."""
        try:
            return self._store.finish_runs(results, self._owner), {}
        except ArgumentError as error:
            if len(results) == 1:
                return set(), dict.fromkeys(results, reason(error))
        # One of them is not sound: the others shall not suffer.
        parts = [self._finish({run_id: found}) for run_id, found in results.items()]
        return set().union(*(written for written, _ in parts)), {k: v for _, errors in parts for k, v in errors.items()}

    @contextlib.contextmanager
    def _beating(self) -> Iterator[None]:
        """Give a sign of life every few seconds, however long a run keeps this process busy."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT):
                with contextlib.suppress(StoreError):  # the next write will tell
                    self._store.beat(self._owner)

        heart = threading.Thread(target=beat, name="gradscope-heart", daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
