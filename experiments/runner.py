"""The runner: measures the runs of a study, on Dask workers or in this process, and writes them to a store.

One engine everywhere: a ``LocalCluster`` of single-thread processes by default, the scheduler of a cluster by its
address, or no worker at all for debugging. Only this process writes the store; workers send records back. A run that
raises, or whose worker dies twice, is recorded as failed and costs nothing but itself.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from gradscope.cells import Cell, cell_class
from gradscope.errors import ArgumentError, GradscopeError
from gradscope.probes import probe
from gradscope.record import Field, Record, plain_status
from gradscope.store import Store

from .spec import Run, Study
from .tasks import Task, load_task
from .training import Training, cell_params, evaluate, init_weights, sequence_loss, train

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Outcome", "Tally", "measure", "run_study"]

TICK = 0.5  # seconds between two looks at the clock while nothing finishes
BEAT = 5.0  # seconds between two heartbeats
CONNECT = 10.0  # seconds to wait for a scheduler
INTERRUPTED = "Interrupted. The same sweep goes on with it."
DIED = "Its worker died, twice: perhaps for lack of memory. Use fewer workers, smaller batches or shorter sequences."
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


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
    """

    records: dict[int, Record]
    metrics: dict[str, float | str | None]
    seconds: float

    @property
    def diverged(self) -> bool:
        """Whether a number that is not finite arose, in a probe or in training."""
        return any(record.summary.get("first_bad_step") is not None for record in self.records.values())


def measure(run: Run, task: Task) -> Outcome:
    """Carry out one run: draw the network, probe it, and, with iterations, train it and probe it again.

    The probed sequences are held-out ones, the same before and after; they, the weights, the training batches and
    the distractors of the evaluation come from four streams of the run's seed. So runs that differ in, say, the
    forget bias see the same sequences.

    Parameters
    ----------
    run : Run
    task : Task
        The task of that name, with its data.

    Returns
    -------
    Outcome
        A network that diverges is an outcome too.
    """
    started = time.perf_counter()
    with threadpool_limits(1):
        records, metrics = _measure(run, run.config, task)
    return Outcome(records, metrics, time.perf_counter() - started)


def _measure(run: Run, config: dict[str, Any], task: Task) -> tuple[dict[int, Record], dict[str, float | str | None]]:
    """Return the records and metrics of a run."""
    drawing, batches, probed, held_out = np.random.default_rng(run.seed).spawn(4)
    cell, length = build_cell(config, task), config["length"]
    weights = init_weights(cell, drawing, task.classes, run.recurrent, run.gain, run.dtype)
    inputs, targets = task.sample(probed, run.batch_size, length, "test")
    inputs = inputs.astype(run.dtype)

    def look(weights: dict[str, np.ndarray]) -> Record:
        loss = sequence_loss(weights, targets)
        return probe(cell, cell_params(weights), inputs, probes=run.probe_choice, loss=loss)

    records = {0: _dated(look(weights), 0)}
    if not run.iterations:
        return records, {}
    test = task.complete(held_out, length)
    options = {key: config[key] for key in ("length", "batch_size", "iterations", "learning_rate", "clip")}
    training = train(cell, weights, task, batches, **options)
    after = _dated(look(training.weights), training.updates)
    _note_training(after, training)
    # A training that ended before its first update has measured the same weights twice: the later record tells why.
    records[training.updates] = after
    before, since = (evaluate(cell, some, *test) for some in (weights, training.weights))
    return records, {
        "accuracy_before": before[0],
        "accuracy_after": since[0],
        "accuracy_chance": task.chance_accuracy,
        "loss_before": before[1],
        "loss_after": since[1],
        "loss_chance": task.chance_loss,
        "updates": float(training.updates),
        "clipped_share": float(np.mean(training.gradient_norm > config["clip"])),
    }


def build_cell(config: dict[str, Any], task: Task) -> Cell:
    """Return the cell of a run's configuration."""
    kind = cell_class(config["cell"])
    options = {"forget_bias": config["forget_bias"]} if kind.keep_gate is not None else {}
    return kind(task.input_size, config["hidden_size"], config["activation"], **options)


def _dated(record: Record, iteration: int) -> Record:
    """Write the iteration into a record's first bad step."""
    bad = record.summary.get("first_bad_step")
    if bad is not None:
        record.summary["first_bad_step"] = {**bad, "iteration": iteration}
    return record


def _note_training(record: Record, training: Training) -> None:
    """Add the course of the training to the record after it."""
    for name, values, unit in (
        ("training_loss", training.loss, "nat"),
        ("training_gradient_norm", training.gradient_norm, "1"),
        ("training_gradient_norm.clipped", training.clipped_norm, "1"),
    ):
        record.fields[name] = Field(name, values, ("iteration",), unit, {}, plain_status(values, unit))
    if training.first_bad_step is not None:
        record.summary["first_bad_step"] = training.first_bad_step


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


class _WorkerLostError(Exception):
    """A worker process died; a run that it had been given may be why."""


class _SchedulerLostError(GradscopeError):
    """The scheduler does not answer any more: no run can be carried out."""


class _Engine(Protocol):
    """Who carries out the runs."""

    def slots(self) -> int:
        """Return how many runs to have under way."""

    def start(self, run: Run) -> None:
        """Begin a run."""

    def wait(self, seconds: float) -> list[str]:
        """Return the ids of runs that have ended, after at most some seconds."""

    def collect(self, run_id: str) -> Outcome:
        """Return what a run has measured, or raise what it raised; _WorkerLostError when its worker was lost."""


class _Here:
    """Carries out one run after another in this process."""

    def __init__(self) -> None:
        self._begun: dict[str, Run] = {}

    def slots(self) -> int:
        return 1

    def start(self, run: Run) -> None:
        self._begun[run.id] = run

    def wait(self, seconds: float) -> list[str]:
        return list(self._begun)

    def collect(self, run_id: str) -> Outcome:
        run = self._begun.pop(run_id)
        return measure(run, load_task(run.task))


class _OnDask:
    """Carries out runs on the workers of a Dask scheduler."""

    def __init__(self, client: Client, address: str) -> None:
        self._client, self._address = client, address
        self._futures: dict[str, Future] = {}
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._looked, self._threads = -np.inf, 0

    def slots(self) -> int:
        # One run under way and one waiting for each thread, so that no worker waits for this process. A few more
        # tell a cluster that grows with its work that there is some.
        if time.monotonic() - self._looked > BEAT:
            try:
                self._looked, self._threads = time.monotonic(), sum(self._client.nthreads().values())
            except OSError:
                raise self._gone() from None
        return max(2 * self._threads, 4)

    def start(self, run: Run) -> None:
        future = self._client.submit(measure, run, load_task(run.task), pure=False)
        self._futures[run.id] = future
        future.add_done_callback(lambda _, run_id=run.id: self._ended.put(run_id))

    def wait(self, seconds: float) -> list[str]:
        try:
            ended = [self._ended.get(timeout=seconds)]
        except queue.Empty:
            return []
        while not self._ended.empty():
            ended.append(self._ended.get())
        return ended

    def collect(self, run_id: str) -> Outcome:
        from distributed import KilledWorker

        try:
            return self._futures.pop(run_id).result()
        except KilledWorker:
            raise _WorkerLostError from None
        except CancelledError:  # nobody here cancels
            raise self._gone() from None

    def _gone(self) -> _SchedulerLostError:
        """Return the error that ends the sweep when the scheduler does not answer any more."""
        return _SchedulerLostError(
            f"The scheduler at {self._address} is gone. "
            "What is finished is kept: start the scheduler again, then give the same command."
        )


@contextlib.contextmanager
def _local(workers: int) -> Iterator[_OnDask]:
    """Start single-thread worker processes on this machine, and stop them in the end."""
    import dask
    from distributed import Client, LocalCluster

    # Without Dask's own MALLOC_TRIM_THRESHOLD_, which makes glibc map and unmap every large array anew.
    settings: dict[str, Any] = {"distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, 1)}
    settings["distributed.scheduler.allowed-failures"] = 0  # the runner tries again itself, one run at a time
    with dask.config.set(settings):
        with _deaf_to_ctrl_c():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                # Dask serves HTTP in any case; with no address it would take port 8787 and warn when that is taken.
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
            )
        with cluster, Client(cluster, set_as_default=False) as client:
            yield _OnDask(client, cluster.scheduler_address)


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Start threads and processes that do not hear Ctrl-C, which a terminal sends to all of them: only we shall."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it would start with the first process, and unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _remote(address: str) -> Iterator[_OnDask]:
    """Connect to a scheduler that runs elsewhere.

    Raises
    ------
    ArgumentError
        When nobody answers there.
    """
    from distributed import Client
    from distributed.comm.registry import backends

    remedy = "Start one with `dask scheduler` and give the address that it prints, e.g. tcp://127.0.0.1:8786."
    scheme, _, place = address.partition("://")
    if scheme not in backends or not place.rpartition(":")[2].isdecimal():
        raise ArgumentError(f"`scheduler` must be an address like tcp://host:port, got {address!r}. {remedy}")
    try:
        client = Client(address, timeout=CONNECT, set_as_default=False)
    except OSError as error:
        raise ArgumentError(
            f"`scheduler` must be the address of one that runs, got {address!r}: {error}. {remedy}"
        ) from None
    with _quiet(), client:
        yield _OnDask(client, address)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's log from the user: what matters of it comes as an error."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def run_study(
    study: Study,
    store: Store,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Carry out the runs of a study that the store does not hold yet.

    Parameters
    ----------
    study : Study
    store : Store
        Open for writing. What it holds of the study is left as it is; failed runs are tried again.
    workers : int, optional
        Processes on this machine; 0 works in this process. One for each core when left out.
    scheduler : str, optional
        Address of a Dask scheduler to use instead.
    progress : callable
        Called with the tally after each run and now and then between.

    Returns
    -------
    Tally

    Raises
    ------
    ArgumentError
        For workers and a scheduler together, a negative number of workers, or an address without a scheduler.
    StoreError
        When the store cannot be written.
    KeyboardInterrupt
        As received; runs under way are then marked as failed in the store, and everything finished is kept.
    """
    if workers is not None and scheduler is not None:
        raise ArgumentError("`workers` must be left out with a scheduler: it has its own. Give one of the two.")
    if workers is not None and workers < 0:
        raise ArgumentError(f"`workers` must be at least 0, got {workers}. 0 works in this process.")
    runs = study.runs()
    sweep = store.add_sweep(study.name, study.describe())
    finished = store.finished(runs)
    store.include(sweep, finished)
    wanted = [run for run_id, run in runs.items() if run_id not in finished]
    tally = Tally(total=len(runs), skipped=len(finished))
    progress(tally)
    if wanted:
        with _engine(workers, scheduler, len(wanted)) as engine:
            tally.ready = time.monotonic()
            _carry_out(engine, _Progress(wanted, store, sweep, tally), progress)
    return tally


def _engine(workers: int | None, scheduler: str | None, runs: int) -> contextlib.AbstractContextManager[_Engine]:
    """Return the engine that was asked for."""
    if scheduler is not None:
        return _remote(scheduler)
    if workers == 0:
        return contextlib.nullcontext(_Here())
    from dask.system import CPU_COUNT

    return _local(min(CPU_COUNT if workers is None else workers, runs))


class _Progress:
    """The books of a study that is under way: what waits, what is begun, what is written."""

    def __init__(self, runs: list[Run], store: Store, sweep: int, tally: Tally) -> None:
        self.waiting, self.store, self.sweep, self.tally = deque(runs), store, sweep, tally
        self.ids = {run.id for run in runs}
        self.begun: dict[str, Run] = {}
        self.suspects: list[Run] = []
        self._beat = time.monotonic()

    def fill(self, engine: _Engine, slots: int) -> None:
        """Begin runs until every slot has one."""
        while self.waiting and len(self.begun) < slots:
            run = self.waiting.popleft()
            if self.store.finished([run.id]):  # meanwhile, by another sweep on the same store
                self.store.include(self.sweep, [run.id])
                self.tally.skipped += 1
                continue
            self.store.start_run(run.id, self.sweep, run.config)
            self.begun[run.id] = run
            engine.start(run)

    def conclude(self, engine: _Engine, run: Run, last_try: bool) -> None:
        """Write what a run has measured, or why it failed."""
        try:
            outcome = engine.collect(run.id)
        except _WorkerLostError:
            if last_try:
                self.fail(run, DIED)
            else:
                self.suspects.append(run)
        except _SchedulerLostError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever a run raises is the reason why it failed, and is recorded)
            self.fail(run, reason(error))
        else:
            self.store.finish_run(run.id, outcome.records, outcome.metrics, outcome.seconds)
            self.tally.done += 1
            self.tally.diverged += outcome.diverged
            self.tally.busy += outcome.seconds

    def fail(self, run: Run, error: str) -> None:
        """Write that a run failed."""
        self.store.fail_run(run.id, error)
        self.tally.failed += 1
        self.tally.errors[run.id] = error

    def beat(self) -> None:
        """Tell the store now and then that the runs under way are alive."""
        if time.monotonic() - self._beat > BEAT:
            self._beat = time.monotonic()
            self.store.beat([*self.begun, *(run.id for run in self.suspects)])

    def interrupt(self) -> None:
        """Write that what is under way was interrupted; the store knows best, wherever the interrupt struck."""
        for run in self.store.runs(self.sweep):
            if run["status"] == "running" and run["id"] in self.ids:
                self.store.fail_run(run["id"], INTERRUPTED)


def _carry_out(engine: _Engine, books: _Progress, progress: Callable[[Tally], None]) -> None:
    """Carry out all runs, and those whose worker died once more, one at a time.

    Dask cannot tell which of the runs given to a worker killed it. Alone, a run proves its innocence.
    """
    try:
        _work_off(engine, books, progress, alone=False)
        books.waiting.extend(books.suspects)
        books.suspects.clear()
        _work_off(engine, books, progress, alone=True)
    except BaseException:
        books.interrupt()
        raise


def _work_off(engine: _Engine, books: _Progress, progress: Callable[[Tally], None], alone: bool) -> None:
    """Keep the slots of the engine busy until nothing waits and nothing is under way."""
    while books.waiting or books.begun:
        slots = 1 if alone else engine.slots()
        books.fill(engine, slots)
        for run_id in engine.wait(TICK):
            run = books.begun.pop(run_id)
            books.fill(engine, slots)  # before the writing, so that no worker waits for it
            books.conclude(engine, run, last_try=alone)
        books.beat()
        progress(books.tally)


def reason(error: Exception) -> str:
    """Return in one line why a run failed."""
    text = " ".join(str(error).split())
    return text if isinstance(error, GradscopeError) else f"{type(error).__name__}: {text}"
