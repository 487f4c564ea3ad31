"""Clusters: workers of this machine, started and stopped with a sweep, or those of a scheduler that runs elsewhere.

A sweep that is broken off, by Ctrl-C say, does not wait until its workers have ended in good order: what they were at
is lost in any case.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, TypeVar

from gradscope.errors import ArgumentError, GradscopeError

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

__all__ = ["WorkersError", "local", "reach", "remote"]

SCHEMES = ("tcp", "tls")
CONNECT = 10.0  # seconds to wait for a scheduler
PATIENCE = 0.1  # seconds that a worker has to end by itself when a sweep is broken off
FAREWELL = 0.5  # seconds that a sweep that is broken off waits for all of them
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

T = TypeVar("T")


class WorkersError(GradscopeError):
    """The workers of this machine do not start."""


@contextlib.contextmanager
def local(workers: int, memory: str | None) -> Iterator[Client]:
    """Start single-thread worker processes on this machine, and stop them in the end.

    Parameters
    ----------
    workers : int
        How many.
    memory : str or None
        What each may use, e.g. ``"2GB"``; its share of the machine's when left out.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ArgumentError
        In a folder that may not be read.
    WorkersError
        When they do not start.
    """
    import dask
    from distributed import Client, LocalCluster

    folder = os.getcwd()
    if not os.access(folder, os.R_OK | os.X_OK):
        raise ArgumentError(
            f"`workers` must be 0 in a folder that you may not read, got {workers} in {folder}: a worker begins in it. "
            "Change to a folder of your own, or give `--workers 0`."
        )
    settings: dict[str, Any] = {
        # Without Dask's own MALLOC_TRIM_THRESHOLD_, which makes glibc map and unmap every large array anew.
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, 1),
        # A run that outgrows its worker ends with it. To write Dask's own data to disk or to pause would not help it.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": 0.95,
    }

    def start() -> LocalCluster:
        with _deaf_to_ctrl_c():
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit="auto" if memory is None else memory,
                processes=True,
                host="127.0.0.1",
                # Dask serves HTTP in any case; with no address it would take port 8787 and warn when that is taken.
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
            )

    with dask.config.set(settings):
        starting = _beside(start)
        with _promptly_ended(starting) as ending:
            ending.callback(lambda: starting.result().close())
            yield ending.enter_context(Client(_started(starting), set_as_default=False))


def _started(starting: Future[LocalCluster]) -> LocalCluster:
    """Return the cluster when it is up."""
    try:
        return starting.result()
    except Exception as error:
        deepest: BaseException = error
        while deepest.__cause__ is not None:
            deepest = deepest.__cause__
        raise WorkersError(
            f"The workers do not start on this machine: {deepest}. "
            "Give fewer with `--workers`, or `--workers 0` to carry out the runs in this process."
        ) from error


@contextlib.contextmanager
def remote(address: str) -> Iterator[Client]:
    """Connect to a scheduler that runs elsewhere.

    Parameters
    ----------
    address : str
        E.g. ``tcp://10.0.0.1:8786``.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ArgumentError
        As :func:`reach`.
    """
    with _quiet(), _promptly_ended() as ending:
        yield ending.enter_context(_client(address))


def reach(address: str) -> None:
    """Refuse the address of a scheduler that does not answer.

    Raises
    ------
    ArgumentError
        When it is no address, or nobody answers there.
    """
    with _quiet():
        _client(address).close()


def _client(address: str) -> Client:
    """Return a client of a scheduler."""
    from distributed import Client
    from distributed.security import Security

    remedy = "Start one with `dask scheduler` and give the address that it prints, e.g. tcp://127.0.0.1:8786."
    scheme, _, place = address.partition("://")
    if scheme not in SCHEMES or not place.rpartition(":")[2].isdecimal():
        raise ArgumentError(f"`scheduler` must be an address like tcp://host:port, got {address!r}. {remedy}")
    if scheme == "tls" and Security().get_connection_args("client").get("ssl_context") is None:
        raise ArgumentError(
            f"`scheduler` must be an address that needs no certificates, or have some, got {address!r} and none. "
            "Name them under `distributed.comm.tls` in Dask's configuration."
        )
    try:
        return Client(address, timeout=CONNECT, set_as_default=False)
    except OSError as error:
        raise ArgumentError(
            f"`scheduler` must be the address of one that runs, got {address!r}: {error}. {remedy}"
        ) from None


def _beside(task: Callable[[], T]) -> Future[T]:
    """Begin a task in a thread of its own, so that this one hears signals while it waits."""
    future: Future[T] = Future()

    def carry_out() -> None:
        try:
            future.set_result(task())
        except BaseException as error:  # noqa: BLE001 (it is for whoever asks for the result)
            future.set_exception(error)

    threading.Thread(target=carry_out, name="gradscope-beside").start()
    return future


@contextlib.contextmanager
def _promptly_ended(cluster: Future[LocalCluster] | None = None) -> Iterator[contextlib.ExitStack]:
    """Yield a stack for what must be closed: in good order, or promptly when a sweep is broken off."""
    stack = contextlib.ExitStack()
    try:
        yield stack
    except BaseException:
        _break_off(stack, cluster)
        raise
    stack.close()


def _break_off(stack: contextlib.ExitStack, cluster: Future[LocalCluster] | None) -> None:
    """Kill the workers that do not end in a moment; what takes longer than a farewell is closed beside this thread."""
    up = cluster is not None and cluster.done() and cluster.exception() is None
    nannies = list(cluster.result().workers.values()) if cluster is not None and up else []

    def close() -> None:
        with contextlib.suppress(Exception):
            stack.close()

    ending, began = _beside(close), time.monotonic()
    while not ending.done() and time.monotonic() - began < FAREWELL:
        with contextlib.suppress(TimeoutError):
            ending.result(PATIENCE)
        pids = {nanny.pid for nanny in nannies}
        for process in multiprocessing.active_children():
            if process.pid in pids:
                process.kill()


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Start threads and processes that do not hear Ctrl-C, which a terminal sends to all of them: only we shall."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    _track_resources()  # that would start with the first process, and unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _track_resources() -> None:
    """Start the process that frees what a killed sweep leaves behind, and let it do so without a word."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, "ignore:resource_tracker")))
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


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
