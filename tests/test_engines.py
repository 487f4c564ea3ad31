"""What the engines say when a batch does not come back as it went, or the scheduler does not answer."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

import dask
import pytest
from distributed import Client, LocalCluster
from distributed.comm import CommClosedError

from gradscope.experiments import engines
from gradscope.experiments.clusters import local
from gradscope.experiments.spec import Run

pytestmark = pytest.mark.usefixtures("bounded")
PATIENCE = 200  # seconds after which a batch will never be back
GONE = r"scheduler at tcp://host:1 is gone.*start the scheduler again, then give the same command"


@contextmanager
def scheduled() -> Iterator[tuple[Client, LocalCluster]]:
    """A scheduler without workers, and a client of it."""
    with (
        LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client, cluster


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with scheduled() as (client, _):
        yield client


class Answer:
    """A future that ends with an error, which the worker raised or which arose on the way."""

    def __init__(self, error: BaseException, status: str) -> None:
        self._error, self.status = error, status

    def done(self) -> bool:
        return True

    def result(self, timeout: float) -> None:
        raise self._error


class Result(Answer):
    """A future that has its result."""

    def __init__(self) -> None:
        super().__init__(RuntimeError("was cancelled"), "finished")

    def result(self, timeout: float) -> list:
        return []

    def cancel(self) -> None:
        pass


def collected(client: Client, error: BaseException, status: str) -> engines.Batch:
    """Return what becomes of a batch whose future ends with an error."""
    engine = engines._OnDask(client, "tcp://host:1")
    engine._begun["key"] = (engines.Batch(()), Answer(error, status))
    return engine._collect("key")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CancelledError(), "cancelled"),
        (CommClosedError("in <TCP (closed) ConnectionPool.gather>: ConnectionResetError"), "finished"),
        (ConnectionResetError(104, "Connection reset by peer"), "finished"),
        (TimeoutError("Timed out trying to connect"), "finished"),
        (OSError("Timed out trying to connect to tcp://127.0.0.1:1 after 30 s"), "finished"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_however_the_connection_breaks_the_scheduler_is_said_to_be_gone(client, error, status):
    with pytest.raises(engines.SchedulerLostError, match=GONE):
        collected(client, error, status)


@pytest.mark.parametrize(
    "error",
    [ModuleNotFoundError("No module named 'gradscope'"), FileNotFoundError(2, "No such file", "digits.csv")],
    ids=lambda error: type(error).__name__,
)
def test_workers_that_cannot_even_read_a_run_are_told_apart_from_a_lost_scheduler(client, error):
    with pytest.raises(engines.UnfitWorkerError, match=r"Install the same version .* where they run"):
        collected(client, error, "error")


def test_a_result_that_cannot_be_read_here_comes_from_another_version(client):
    with pytest.raises(engines.UnfitWorkerError, match=r"AttributeError: .*Install the same version"):
        collected(client, AttributeError("Can't get attribute 'Ended'"), "finished")


@pytest.mark.parametrize("connection", ["open", "closed"])
def test_whatever_is_asked_of_a_scheduler_that_is_gone_ends_the_sweep(connection):
    """With the connection open the client still tries to find the scheduler again."""
    batch = engines.Batch((Run(hidden_size=2, batch_size=2, length=8),))
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), scheduled() as (client, cluster):
        engine = engines._OnDask(client, "tcp://host:1")
        engine.start(batch)
        cluster.close()
        if connection == "closed":
            client.close()
        for question in (engine.workers, engine.idle, lambda: engine.start(batch, alone=True)):
            with pytest.raises(engines.SchedulerLostError, match=GONE):
                question()
        with pytest.raises(engines.SchedulerLostError, match=GONE):
            engines._OnDask(client, "tcp://host:1")
        with pytest.raises(engines.SchedulerLostError, match=GONE):
            engine.wait(PATIENCE, lambda results: None)


def test_a_batch_whose_worker_has_gone_comes_back_while_others_come_without_a_pause(client, monkeypatch):
    """Its own worker was all it might go to; the queue is never empty for long enough to wait it out."""
    monkeypatch.setattr(engines, "STRANDED", 0.2)
    monkeypatch.setattr(engines, "LOOK", 0.05)
    engine = engines._OnDask(client, "tcp://host:1")
    stranded = engines.Batch((Run(seed=1),))
    engine._begun["stranded"], engine._places["stranded"] = (stranded, Result()), "tcp://127.0.0.1:1"
    begun = time.monotonic()
    for number in itertools.count():
        engine._begun[f"{number}"] = (engines.Batch((Run(seed=2),)), Result())
        engine._back.put(f"{number}")
        back = engine.wait(PATIENCE, lambda results: None)
        if stranded in back:
            break
        assert len(back) == 1
        assert time.monotonic() - begun < PATIENCE
    assert not engine._places
    assert not engine._begun


def test_a_batch_that_is_done_and_goes_with_its_worker_is_not_waited_for_in_vain():
    """The worker dies when the batch is done and before it is fetched; without it there is nobody to repeat it."""
    batch = engines.Batch((Run(hidden_size=2, batch_size=2, length=8),))
    with local(1, None) as client:
        engine = engines._OnDask(client, "this machine")
        for alone, carried_out in ((False, 1), (True, 0)):  # alone it has yet to be begun again
            engine.start(batch, alone)
            ((_, future),) = engine._begun.values()
            while not future.done():
                time.sleep(0.01)
            ((address, worker),) = client.run(os.getpid).items()
            os.kill(worker, signal.SIGKILL)
            while address in engine._crew():
                time.sleep(0.01)
            back = []
            while not back:
                back = engine.wait(1.0, lambda results: None)
            assert [(one.runs, len(one.ended), one.lost) for one in back] == [(batch.runs, carried_out, "")]
