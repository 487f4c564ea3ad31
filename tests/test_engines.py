"""What the engines say of batches that did not come back as they went."""

from __future__ import annotations

import logging
from concurrent.futures import CancelledError

import pytest
from distributed import Client, LocalCluster
from distributed.comm import CommClosedError

from gradscope.experiments import engines


@pytest.fixture(scope="module")
def client():
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
        yield client


class Answer:
    """A future that ends with an error."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def result(self) -> None:
        raise self._error


def collected(client: Client, error: BaseException) -> engines.Batch:
    """Return what becomes of a batch whose future ends with an error."""
    engine = engines._OnDask(client, "tcp://host:1")
    engine._begun["key"] = (engines.Batch(()), Answer(error))
    return engine._collect("key")


@pytest.mark.parametrize(
    "error",
    [
        CancelledError(),
        CommClosedError("in <TCP (closed) ConnectionPool.gather>: ConnectionResetError"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError("Timed out trying to connect"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_however_the_connection_breaks_the_scheduler_is_said_to_be_gone(client, error):
    with pytest.raises(engines.SchedulerLostError, match="start the scheduler again, then give the same command"):
        collected(client, error)


def test_workers_that_cannot_even_read_a_run_are_told_apart_from_a_lost_scheduler(client):
    with pytest.raises(engines.UnfitWorkerError, match=r"Install the same version .* where they run"):
        collected(client, ModuleNotFoundError("No module named 'gradscope'"))
