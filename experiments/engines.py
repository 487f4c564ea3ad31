"""Engines: who carries out the runs of a study - this process, workers of this machine, or those of a cluster.

Runs travel in batches, because a message costs a few milliseconds and a small run hardly more. A worker gives back
what it has not begun after :data:`BUDGET` seconds, so a batch is never long by mistake. A batch that is lost with its
worker comes back with the reason; which of its runs was to blame nobody can tell.
"""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from gradscope.errors import ArgumentError, GradscopeError

from .clusters import local, remote
from .measurement import Ended, carry_out, reason
from .spec import Run
from .tasks import Task

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["BUDGET", "Batch", "Engine", "SchedulerLostError", "UnfitWorkerError", "check", "engine", "work"]

BUDGET = 1.0  # seconds after which a worker begins no other run of a batch
STRANDED = 3.0  # seconds after which a batch whose worker is not there is given to another
LOOK = 1.0  # seconds between two looks at which workers there are
FETCHED = 60.0  # seconds that it may take to fetch a batch before another look whether it is still there
LEAST = 200e6  # bytes: a worker that has only begun uses most of that
KEPT = 4  # tasks that a worker remembers
PREFIX = "gradscope-run"
DIED = (
    "Its worker died, twice: perhaps it was killed, perhaps for lack of memory. "
    "Use fewer workers, smaller batches or shorter sequences."
)
OUTGREW = (
    "It outgrew the memory of its worker, twice: {used} of {limit} allowed. "
    "Give each worker more with `--memory`, or use smaller batches or shorter sequences."
)

_tasks: dict[bytes, Task] = {}
T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """Runs that go to a worker together.

    Attributes
    ----------
    runs : tuple of Run
    ended : tuple of Ended
        Those that have come to their end, once the batch is back.
    lost : str
        Why the worker did not give it back, "" when it did.
    """

    runs: tuple[Run, ...]
    ended: tuple[Ended, ...] = ()
    lost: str = ""


class SchedulerLostError(GradscopeError):
    """The scheduler does not answer any more: no run can be carried out."""


class UnfitWorkerError(GradscopeError):
    """Workers lack what a run needs."""


class Engine(Protocol):
    """Who carries out the runs."""

    def workers(self) -> int:
        """Return how many runs can be carried out at the same time, now."""

    def idle(self) -> int:
        """Return how many workers could now be given a run that they have to themselves."""

    def start(self, batch: Batch, alone: bool = False) -> None:
        """Begin a batch; with ``alone`` on a worker that has nothing else."""

    def wait(self, seconds: float) -> list[Batch]:
        """Return batches that are back, after at most some seconds."""


class _Here:
    """Carries out one run after another in this process."""

    def __init__(self) -> None:
        self._begun: list[Batch] = []

    def workers(self) -> int:
        return 1

    def idle(self) -> int:
        return 1 - len(self._begun)

    def start(self, batch: Batch, alone: bool = False) -> None:
        self._begun.append(batch)

    def wait(self, seconds: float) -> list[Batch]:
        batch, *self._begun = self._begun
        run = batch.runs[0]
        return [Batch(batch.runs, (carry_out(run, task_of(run)),))]


def task_of(run: Run) -> Task:
    """Return the task of a run with its data."""
    return run.load_task()


def work(runs: Sequence[tuple[Run, bytes]], budget: float) -> list[Ended]:
    """Carry out runs one after another until the budget is spent; at least one.

    Parameters
    ----------
    runs : sequence of (Run, bytes)
        Each with its task as bytes, so that a worker needs no file of its own.
    budget : float
        Seconds after which no other run is begun.
    """
    started, ended = time.monotonic(), []
    for run, task in runs:
        ended.append(carry_out(run, _unpacked(task)))
        if time.monotonic() - started > budget:
            break
    return ended


def _unpacked(data: bytes) -> Task:
    """Return a task from its bytes, unpacked once."""
    import cloudpickle

    if data not in _tasks:
        while len(_tasks) >= KEPT:
            _tasks.pop(next(iter(_tasks)))
        _tasks[data] = cloudpickle.loads(data)
    return _tasks[data]


class _OnDask:
    """Carries out runs on the workers of a Dask scheduler."""

    def __init__(self, client: Client, address: str) -> None:
        from distributed.diagnostics.plugin import SchedulerPlugin

        self._client, self._address = client, address
        self._begun: dict[str, tuple[Batch, Future]] = {}
        self._back: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._tasks: dict[int, tuple[Task, bytes]] = {}  # by identity, which lasts while they are held
        self._looked, self._threads, self._count = -np.inf, 0, 0
        self._places: dict[str, str] = {}  # the worker of each batch that has one to itself
        self._missed: dict[str, float] = {}  # since when that worker is not there
        self._sought = -np.inf  # when that was last asked
        self._lost: set[str] = set()  # batches that were done and went with their worker before they were fetched
        self._ask(client.register_plugin, _one_death(SchedulerPlugin))

    def workers(self) -> int:
        if time.monotonic() - self._looked > LOOK:
            self._looked, self._threads = time.monotonic(), sum(self._crew().values())
        return self._threads

    def idle(self) -> int:
        return len(self._crew().keys() - self._places.values())

    def _crew(self) -> dict[str, int]:
        """Return the threads of each worker that is there now."""
        return self._ask(self._client.nthreads)

    def _ask(self, question: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Ask the scheduler for something; one that does not answer ends the sweep."""
        try:
            return question(*arguments, **options)
        except Exception as error:
            if self._broken(error):
                raise self._gone() from None
            raise

    def _broken(self, error: Exception) -> bool:
        """Return whether an error says that the connection to the scheduler is lost: nobody here cancels a batch."""
        return isinstance(error, (CancelledError, OSError)) or self._client.status != "running"

    def start(self, batch: Batch, alone: bool = False) -> None:
        self._count += 1
        key = f"{PREFIX}-{os.getpid()}-{id(self):x}-{self._count}"
        runs = [(run, self._packed(task_of(run))) for run in batch.runs]
        place = {}
        if alone:
            self._places[key] = next(iter(self._crew().keys() - self._places.values()), "")
            place = {"workers": [self._places[key]], "allow_other_workers": False}
        future = self._ask(self._client.submit, work, runs, BUDGET, key=key, pure=False, **place)
        self._begun[key] = (batch, future)
        future.add_done_callback(lambda _, key=key: self._back.put(key))

    def _packed(self, task: Task) -> bytes:
        """Return a task as bytes, the same ones each time."""
        import cloudpickle

        if id(task) not in self._tasks:
            self._tasks[id(task)] = (task, cloudpickle.dumps(task))
        return self._tasks[id(task)][1]

    def wait(self, seconds: float) -> list[Batch]:
        collected = [self._collect(key) for key in self._arrived(seconds)]
        return [*filter(None, collected), *self._stranded()]

    def _arrived(self, seconds: float) -> list[str]:
        """Return which batches can be fetched, after at most some seconds."""
        back = []
        with contextlib.suppress(queue.Empty):
            back.append(self._back.get(timeout=seconds))
            while True:
                back.append(self._back.get_nowait())
        again = {key for key in self._lost & self._begun.keys() if self._begun[key][1].done()}
        self._lost -= again
        return [key for key in [*back, *again] if key in self._begun]

    def _collect(self, key: str) -> Batch | None:
        """Return a batch that is back, None where its worker has gone with it."""
        from distributed import KilledWorker

        batch, future = self._begun[key]
        started = time.monotonic()
        try:
            ended = tuple(future.result(timeout=FETCHED)) if future.done() else None
        except KilledWorker as error:
            self._forget(key)
            return Batch(batch.runs, lost=self._why(error.last_worker.address, error.last_worker.memory_limit))
        except Exception as error:  # what a run raises, it brings back itself
            if not isinstance(error, TimeoutError) or time.monotonic() - started < FETCHED:
                raise self._failed(error, str(future.status)) from error
            ended = None
        if ended is None:
            self._lost.add(key)
            return None
        self._forget(key)
        return Batch(batch.runs, ended)

    def _failed(self, error: Exception, status: str) -> GradscopeError:
        """Return the error that ends the sweep when a batch cannot be fetched."""
        if status != "error" and self._broken(error):
            return self._gone()
        return UnfitWorkerError(
            f"The workers cannot carry out runs: {reason(error)}. "
            "Install the same version of gradscope, with `gradscope[sweep]`, where they run."
        )

    def _forget(self, key: str) -> None:
        """Forget a batch that is back."""
        del self._begun[key]
        self._places.pop(key, None)
        self._missed.pop(key, None)

    def _stranded(self) -> list[Batch]:
        """Return batches, as not begun, that have a worker to themselves which has gone before they were back."""
        now = time.monotonic()
        if not self._places or now - self._sought < LOOK:
            return []
        crew, self._sought = self._crew(), now
        gone = [key for key, place in self._places.items() if place not in crew]
        self._missed = {key: self._missed.get(key, now) for key in gone}
        back = []
        for key in [key for key, since in self._missed.items() if now - since > STRANDED]:
            batch, future = self._begun[key]
            self._forget(key)
            self._ask(future.cancel)
            back.append(batch)
        return back

    def _why(self, worker: str, limit: float) -> str:
        """Return why a worker died, as far as anybody knows."""
        for _, event in self._ask(self._client.get_events, "worker-restart-memory"):
            if event["worker"] == worker:
                return OUTGREW.format(used=_memory(event["rss"]), limit=_memory(limit))
        return DIED

    def _gone(self) -> SchedulerLostError:
        """Return the error that ends the sweep when the scheduler does not answer any more."""
        return SchedulerLostError(
            f"The scheduler at {self._address} is gone. "
            "What is finished is kept: start the scheduler again, then give the same command."
        )


def _memory(size: float) -> str:
    """Return bytes for reading."""
    return f"{size / 1e9:.2g} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _one_death(base: type) -> Any:
    """Return a plugin that lets a batch fail with its worker, instead of taking three more workers with it.

    It changes nothing for others who use the same scheduler. The class travels as code: a scheduler needs no gradscope.
    """
    prefix = PREFIX

    class OneDeath(base):
        name = "gradscope"
        idempotent = True

        async def start(self, scheduler: Any) -> None:
            self.scheduler = scheduler

        def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:
            if finish == "processing" and str(key).startswith(prefix):
                task = self.scheduler.tasks[key]
                task.suspicious = max(task.suspicious, self.scheduler.allowed_failures)

    return OneDeath()


@contextlib.contextmanager
def engine(workers: int | None, scheduler: str | None, runs: int, memory: str | None = None) -> Iterator[Engine]:
    """Start the engine that was asked for, and stop it in the end.

    Parameters
    ----------
    workers : int, optional
        Processes on this machine; 0 for none; one for each core when left out.
    scheduler : str, optional
        Address of a Dask scheduler to use instead.
    runs : int
        No more processes than that are started.
    memory : str, optional
        What each process on this machine may use, e.g. ``"2GB"``; its share of the machine's when left out.

    Raises
    ------
    ArgumentError
        For workers and a scheduler together, a negative number of workers, a size that cannot be read, or an address
        without a scheduler.
    """
    check(workers, scheduler, memory)
    if scheduler is not None:
        with remote(scheduler) as client:
            yield _OnDask(client, scheduler)
    elif workers == 0:
        yield _Here()
    else:
        from dask.system import CPU_COUNT

        with local(min(CPU_COUNT if workers is None else workers, runs), memory) as client:
            yield _OnDask(client, str(getattr(client.scheduler, "address", "this machine")))


def check(workers: int | None, scheduler: str | None, memory: str | None) -> None:
    """Refuse a choice of engine that cannot be had."""
    if workers is not None and scheduler is not None:
        raise ArgumentError("`workers` must be left out with a scheduler: it has its own. Give one of the two.")
    if workers is not None and workers < 0:
        raise ArgumentError(f"`workers` must be at least 0, got {workers}. 0 works in this process.")
    if memory is not None:
        if scheduler is not None or workers == 0:
            raise ArgumentError(
                "`memory` must be left out without workers on this machine. "
                "Give it to the workers where they are started, e.g. `dask worker --memory-limit 4GB`."
            )
        from dask.utils import parse_bytes

        try:
            sound = parse_bytes(memory) >= LEAST
        except ValueError:
            sound = False
        if not sound:
            raise ArgumentError(
                f"`memory` must be a size of at least {_memory(LEAST)}, got {memory!r}. Write e.g. 2GB."
            )
