"""Engines: who carries out the runs of a study - this process, workers of this machine, or those of a cluster.

What a training measures on its way is shown while it goes on: a worker holds it until this process asks, about once a
second, and the answer travels as results do. So the same holds on this machine and on a cluster, where a worker may see
neither the store nor this process, and nothing gathers at the scheduler. What is lost on the way, or was not asked for
in time, comes with the results.

Runs travel in batches, because a message costs a few milliseconds and a small run hardly more. A worker gives back
what it has not begun after :data:`BUDGET` seconds, so a batch is never long by mistake. A batch that is lost with its
worker comes back with the reason; which of its runs was to blame nobody can tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from gradscope.errors import ArgumentError, GradscopeError
from gradscope.store import Results

from .clusters import local, remote
from .course import Glimpse
from .measurement import Ended, Post, carry_out, reason
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
WATCH = 1.0  # seconds between two looks at what runs under way have measured so far
SHARE = 0.1  # of the time that such looks may take
DIED = (
    "Its worker died, twice: perhaps it was killed, perhaps for lack of memory. "
    "Use fewer workers, smaller batches or shorter sequences."
)
OUTGREW = (
    "It outgrew the memory of its worker, twice: {used} of {limit} allowed. "
    "Give each worker more with `--memory`, or use smaller batches or shorter sequences."
)

Watch = Callable[[dict[str, Results]], None]
"""Is given what runs under way have measured so far, by the id of the run."""

_tasks: dict[bytes, Task] = {}
_posts: dict[str, Post] = {}  # by the key of a batch that this process, a worker, carries out
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

    def wait(self, seconds: float, watch: Watch) -> list[Batch]:
        """Return batches that are back, after at most some seconds; meanwhile give what runs measure to ``watch``."""


class _Here:
    """Carries out one run after another in this process."""

    def __init__(self) -> None:
        self._begun: list[Batch] = []
        self._told = -np.inf  # when something was last shown

    def workers(self) -> int:
        return 1

    def idle(self) -> int:
        return 1 - len(self._begun)

    def start(self, batch: Batch, alone: bool = False) -> None:
        self._begun.append(batch)

    def wait(self, seconds: float, watch: Watch) -> list[Batch]:
        batch, *self._begun = self._begun
        run, post = batch.runs[0], Post()

        def show(run: Run, glimpse: Glimpse) -> None:
            post.put(run, glimpse)
            if time.monotonic() - self._told > WATCH:
                watch(post.take())
                self._told = time.monotonic()

        return [Batch(batch.runs, (carry_out(run, task_of(run), show),))]


def task_of(run: Run) -> Task:
    """Return the task of a run with its data."""
    return run.load_task()


def work(runs: Sequence[tuple[Run, bytes]], budget: float, key: str) -> list[Ended]:
    """Carry out runs one after another until the budget is spent; at least one.

    Parameters
    ----------
    runs : sequence of (Run, bytes)
        Each with its task as bytes, so that a worker needs no file of its own.
    budget : float
        Seconds after which no other run is begun.
    key : str
        Of the batch; see :func:`seen`.
    """
    started, ended = time.monotonic(), []
    _posts[key] = post = Post()
    try:
        for run, task in runs:
            ended.append(carry_out(run, _unpacked(task), post.put))
            if time.monotonic() - started > budget:
                break
    finally:
        del _posts[key]
    return ended


def seen(prefix: str) -> dict[str, dict[str, Results]]:
    """Return what was seen, on this worker, of batches whose keys begin so, since this was last asked."""
    found = {key: post.take() for key, post in list(_posts.items()) if key.startswith(prefix)}
    return {key: results for key, results in found.items() if results}


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
        self._prefix = f"{PREFIX}-{os.getpid()}-{id(self):x}-"
        self._seen: queue.SimpleQueue[dict[str, dict[str, Results]]] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None

    def close(self) -> None:
        """Look at the workers no more."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join(LOOK)  # a worker that does not answer keeps nobody

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
        key = f"{self._prefix}{self._count}"
        runs = [(run, self._packed(task_of(run))) for run in batch.runs]
        place = {}
        if alone:
            self._places[key] = next(iter(self._crew().keys() - self._places.values()), "")
            place = {"workers": [self._places[key]], "allow_other_workers": False}
        future = self._ask(self._client.submit, work, runs, BUDGET, key, key=key, pure=False, **place)
        self._begun[key] = (batch, future)
        future.add_done_callback(lambda _, key=key: self._back.put(key))
        if self._watcher is None and any(run.config.get("iterations") for run in batch.runs):
            self._watcher = threading.Thread(target=self._look_at_runs, name="gradscope-watch", daemon=True)
            self._watcher.start()

    def _look_at_runs(self) -> None:
        """Ask the workers now and then what they have seen of the runs that they carry out, however long it takes."""
        last = took = 0.0
        while not self._ended.wait(max(min(last, took) / SHARE, WATCH)):  # one look that is slow says nothing yet
            started = time.monotonic()
            # A scheduler that is gone, or a worker that goes: the results, or their lack, tell.
            with contextlib.suppress(Exception, asyncio.CancelledError):
                answers = self._client.run(seen, self._prefix, on_error="ignore")
                for answer in filter(None, answers.values()):
                    self._seen.put(answer)
                    self._back.put("")  # a word, which is no batch's key
            last, took = took, time.monotonic() - started

    def _packed(self, task: Task) -> bytes:
        """Return a task as bytes, the same ones each time."""
        import cloudpickle

        if id(task) not in self._tasks:
            self._tasks[id(task)] = (task, cloudpickle.dumps(task))
        return self._tasks[id(task)][1]

    def wait(self, seconds: float, watch: Watch) -> list[Batch]:
        arrived = self._arrived(seconds)
        while not self._seen.empty():
            for key, results in self._seen.get().items():
                if key in self._begun and key not in arrived:
                    watch(results)
        collected = [self._collect(key) for key in arrived]
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
        with remote(scheduler) as client, contextlib.closing(_OnDask(client, scheduler)) as crew:
            yield crew
    elif workers == 0:
        yield _Here()
    else:
        from dask.system import CPU_COUNT

        with local(min(CPU_COUNT if workers is None else workers, runs), memory) as client:
            address = str(getattr(client.scheduler, "address", "this machine"))
            with contextlib.closing(_OnDask(client, address)) as crew:
                yield crew


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
