"""The runner: real Dask workers, a real store, workers that really die."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from types import FunctionType

import numpy as np
import psutil
import pytest
from distributed import LocalCluster

from gradscope.errors import ArgumentError, GradscopeError
from gradscope.experiments import clusters, course, engines, measurement, runner
from gradscope.experiments.runner import Tally, measure, run_study
from gradscope.experiments.spec import Run, Study, Sweep
from gradscope.experiments.tasks import Task, load_task
from gradscope.record import Record, Status, to_json
from gradscope.store import Results, Store

pytestmark = pytest.mark.usefixtures("bounded")
SMALL = {"hidden_size": 6, "batch_size": 4, "length": 16}


def study(**keys) -> Study:
    return Study("test", (Sweep(**SMALL, **keys),))


def opened(tmp_path, name="results.db") -> Store:
    return Store(tmp_path / name, "w")


def everything(store: Store) -> dict:
    """All that a store holds of its runs but times."""
    return {
        run["id"]: (
            run["config"],
            run["status"],
            store.metrics(run["id"]),
            {n: arrays(store.record(run["id"], n)) for n in store.iterations(run["id"])},
        )
        for run in store.runs()
    }


def arrays(record) -> tuple:
    fields = [(f.name, f.axes, f.unit, f.values.tobytes(), f.statuses().tobytes()) for f in record.fields.values()]
    return to_json(record.summary), fields


# A worker loads a task's functions by value, so that a task can carry mischief into a real worker.


def slow(images, length):
    import time

    from gradscope.experiments.tasks.digits import delayed

    time.sleep(0.4)
    return delayed(images, length)


def held(images, length):
    import os
    import time

    from gradscope.experiments.tasks.digits import delayed

    drawn, started = globals().setdefault("drawn", []), time.monotonic()
    drawn.append(length)
    # Four times before the training, once for each update: after the second it waits to be seen.
    while len(drawn) > 6 and not os.path.exists(os.environ["SEEN"]) and time.monotonic() - started < 90:
        time.sleep(0.01)
    return delayed(images, length)


def torn(images, length):
    from gradscope.experiments.tasks.digits import delayed

    drawn = globals().setdefault("drawn", [])
    drawn.append(length)
    if len(drawn) > 8:  # four times before the training, once for each update
        raise ValueError("the film tore")
    return delayed(images, length)


def deadly(images, length):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def broken(images, length):
    raise ValueError("the film\ntore")


def surroundings(images, length):
    import os

    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((9, 9)) @ np.ones((9, 9))
    threads = {pool["num_threads"] for pool in threadpool_info()}
    raise ValueError(f"threads {threads}, trim {os.environ.get('MALLOC_TRIM_THRESHOLD_')}")


def by_value(function: FunctionType) -> FunctionType:
    """Return a copy of a function that travels to a worker as code: the worker need not find this file."""
    copy = FunctionType(function.__code__, {"__builtins__": __builtins__}, function.__name__)
    copy.__module__ = "__main__"
    return copy


def replaced(arrange: FunctionType, victim: str) -> Callable[[Run], Task]:
    """Return a way to load tasks in which the runs of task ``victim`` read their images by another function."""

    def load(run: Run) -> Task:
        task = run.load_task()
        if run.task == victim:
            task = dataclasses.replace(task, arrange=by_value(arrange))
        return task

    return load


def test_measure_gives_a_record_before_training_and_one_after():
    outcome = measure(Run(cell="GRU", iterations=3, clip=1e-3, **SMALL), load_task("digits_delayed"))
    assert list(outcome.records) == [0, 3]
    before, after = outcome.records.values()
    assert before.summary["verdict"] in {"vanishing", "stable", "exploding", "undetermined"}
    assert before.config["length"] == 16
    assert before.config["loss"] == "Cost of what is read out, for each sequence."
    for name in ("training_loss", "training_gradient_norm", "training_gradient_norm.clipped", "training_learning_rate"):
        assert name not in before
        assert after.axes[name] == ("iteration",)
        assert after[name].shape == (3,)
    np.testing.assert_allclose(after["training_gradient_norm.clipped"], 1e-3, rtol=1e-9)
    assert outcome.metrics["clipped_share"] == 1
    assert outcome.metrics["updates"] == 3
    assert outcome.metrics["accuracy_baseline"] == 0.1
    assert set(outcome.metrics) >= {"accuracy_before", "accuracy_after", "loss_before", "loss_after"}
    assert not outcome.diverged


def probed_inputs(monkeypatch) -> list[np.ndarray]:
    """Return a list to which the inputs of every probe from now on are added."""
    seen, probe = [], course.probe

    def look(cell, params, inputs, *options, **more):
        seen.append(inputs)
        return probe(cell, params, inputs, *options, **more)

    monkeypatch.setattr(course, "probe", look)
    return seen


def test_runs_that_differ_in_the_bias_see_the_same_sequences(monkeypatch):
    seen = probed_inputs(monkeypatch)
    for options in ({"forget_bias": 0.0}, {"forget_bias": 3.0}, {"cell": "RNN"}, {"seed": 1}):
        measure(Run(**SMALL, **options), load_task("digits_delayed"))
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])
    assert not np.array_equal(seen[0], seen[3])


def test_probed_sequences_are_held_out(monkeypatch):
    seen = probed_inputs(monkeypatch)
    task = load_task("digits_row")
    measure(Run(task="digits_row", batch_size=50, hidden_size=4), task)
    test = {image.tobytes() for image in task.images.images[task.images.split["test"]] / 16.0}
    assert {np.ascontiguousarray(sequence).tobytes() for sequence in seen[0].swapaxes(0, 1)} <= test


def test_a_training_that_diverges_is_an_outcome_with_its_first_bad_step():
    run = Run(cell="RNN", activation="identity", gain=1e20, iterations=5, hidden_size=4, batch_size=3, length=40)
    outcome = measure(run, load_task("digits_delayed"))
    assert outcome.diverged
    assert list(outcome.records) == [0]
    bad = outcome.records[0].summary["first_bad_step"]
    assert bad["pass"] == "forward"
    assert bad["iteration"] == 0
    assert bad["array"] == "states"
    assert outcome.metrics["updates"] == 0
    assert outcome.metrics["accuracy_after"] == outcome.metrics["accuracy_before"]
    assert np.isnan(outcome.metrics["loss_after"])
    for name in ("training_loss", "training_gradient_norm"):
        assert np.isnan(outcome.records[0][name]).all()
        assert (outcome.records[0].status[name] == Status.NAN).all()


def test_workers_and_no_workers_measure_the_same_to_the_last_bit(tmp_path):
    wanted = study(cell=["RNN", "LSTM", "GRU"], activation=["tanh", "relu"], iterations=[0, 2], gain=[1, 1e30])
    stores = []
    for workers in (0, 2):
        with opened(tmp_path, f"{workers}.db") as store:
            tally = run_study(wanted, store, workers=workers)
            assert (tally.done, tally.failed, tally.skipped) == (24, 0, 0)
            assert tally.diverged > 0
            assert tally.busy > 0
            stores.append(everything(store))
    assert stores[0] == stores[1]
    assert len(stores[0]) == 24


def test_asking_again_does_nothing_and_asking_for_more_does_the_rest(tmp_path):
    with opened(tmp_path) as store:
        run_study(study(seed=[0, 1]), store, workers=0)
        before = store.runs()
        again = run_study(study(seed=[0, 1]), store, workers=2)
        assert (again.skipped, again.done, again.left) == (2, 0, 0)
        assert store.runs() == before
        assert len(store.sweeps()) == 1
        more = run_study(study(seed=[0, 1, 2]), store, workers=0)
        assert (more.skipped, more.done) == (2, 1)
        assert [sweep["done"] for sweep in store.sweeps()] == [2, 3]
        assert [run["attempts"] for run in store.runs()] == [1, 1, 1]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_raises_fails_alone_and_is_tried_again_next_time(tmp_path, monkeypatch, workers):
    wanted = Study("test", (Sweep(hidden_size=4, batch_size=2, task=["digits_row", "digits_pixel"]),))
    with opened(tmp_path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(engines, "task_of", replaced(broken, "digits_pixel"))
            tally = run_study(wanted, store, workers=workers)
        assert (tally.done, tally.failed) == (1, 1)
        failed = store.runs(where=["task=digits_pixel"])[0]
        assert (failed["status"], failed["error"]) == ("failed", "ValueError: the film tore")
        assert tally.errors == {failed["id"]: "ValueError: the film tore"}
        tally = run_study(wanted, store, workers=0)
        assert (tally.skipped, tally.done, tally.failed) == (1, 1, 0)
        mended = store.runs(where=["task=digits_pixel"])[0]
        assert (mended["status"], mended["error"], mended["attempts"]) == ("done", None, 2)


def test_a_run_that_kills_its_worker_is_tried_twice_and_costs_nothing_but_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "task_of", replaced(deadly, "digits_pixel"))
    sweeps = (
        Sweep(hidden_size=4, batch_size=2, task="digits_row", seed=range(6)),
        Sweep(hidden_size=4, batch_size=2, task="digits_pixel"),
        Sweep(hidden_size=4, batch_size=2, task="digits_row", seed=range(6, 12)),
    )
    with opened(tmp_path) as store:
        tally = run_study(Study("test", sweeps), store, workers=2)
        assert (tally.done, tally.failed) == (12, 1)
        failed = store.runs(where=["task=digits_pixel"])[0]
        assert failed["status"] == "failed"
        assert failed["attempts"] == 2
        assert failed["error"].startswith("Its worker died, twice")
        assert "Use fewer workers" in failed["error"]
        assert len(store.runs(where=["task=digits_row", "decay_rate>-99"])) == 12


def test_a_late_result_leaves_a_run_to_the_sweep_that_has_taken_it_over(tmp_path, monkeypatch):
    """A machine that was asleep for over a minute wakes up in the middle of a run."""
    carry_out, thefts = measurement.measure, []

    def sleep(run: Run, task: Task, watch):
        if not thefts:
            for table in ("owner", "run"):
                store._connection.execute(f"UPDATE {table} SET heartbeat = heartbeat - 61")
            thefts.append((run.id, store.add_owner()))
            assert store.claim(1, {run.id: run.config}, thefts[0][1]) == {run.id: "ours"}
        return carry_out(run, task, watch)

    def finish(tally: Tally) -> None:
        if tally.elsewhere:
            store.finish_runs({thefts[0][0]: Results({0: Record(summary={"theirs": 1.0})})}, thefts[0][1])

    monkeypatch.setattr(measurement, "measure", sleep)
    with opened(tmp_path) as store:
        tally = run_study(study(seed=[0, 1]), store, workers=0, progress=finish)
        assert (tally.done, tally.skipped, tally.failed, tally.left) == (1, 1, 0, 0)
        assert store.record(thefts[0][0]).summary == {"theirs": 1.0}
        assert {run["status"] for run in store.runs()} == {"done"}


def test_killing_a_worker_from_outside_costs_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "task_of", replaced(slow, "digits_delayed"))
    killed = []

    def kill_one(tally: Tally) -> None:
        if tally.done >= 2 and not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    with opened(tmp_path) as store:
        tally = run_study(study(seed=range(8)), store, workers=2, progress=kill_one)
        assert killed
        assert (tally.done, tally.failed) == (8, 0)
        attempts = [run["attempts"] for run in store.runs()]
        assert max(attempts) == 2
        assert sum(attempts) <= 8 + 3  # at most what one worker held and a run that it had just given back


def test_workers_have_one_thread_and_listen_on_this_machine_only(tmp_path, monkeypatch):
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.setattr(engines, "task_of", replaced(surroundings, "digits_delayed"))
    taken = socket.socket()  # Dask's usual port: another sweep may hold it, and nobody wants to hear of it
    with contextlib.suppress(OSError):
        taken.bind(("127.0.0.1", 8787))
        taken.listen()
    places = set()

    def look(tally: Tally) -> None:
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        for process in processes:
            places.update(c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN)

    with opened(tmp_path) as store:
        tally = run_study(study(), store, workers=1, progress=look)
    taken.close()
    assert places == {"127.0.0.1"}
    assert list(tally.errors.values()) == ["ValueError: threads {1}, trim None"]


def test_a_running_cluster_is_used_by_its_address(tmp_path):
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0")
    with cluster, opened(tmp_path) as store:
        tally = run_study(study(seed=[0, 1, 2]), store, scheduler=cluster.scheduler_address)
        assert (tally.done, tally.failed) == (3, 0)
        assert cluster.workers  # still there


def test_the_rate_does_not_count_the_start_of_the_workers():
    now = time.monotonic()
    assert Tally(total=9, done=3, failed=1, started=now - 100, ready=now - 8).rate == pytest.approx(0.5, rel=0.1)


def test_progress_is_told_and_adds_up(tmp_path):
    seen = []
    with opened(tmp_path) as store:
        run_study(
            study(seed=range(3)), store, workers=0, progress=lambda tally: seen.append(dataclasses.replace(tally))
        )
    assert [tally.done for tally in seen] == [0, 1, 2, 3]
    assert [tally.left for tally in seen] == [3, 2, 1, 0]
    assert np.isnan(seen[0].rate)
    assert seen[1].seconds_left > 0
    assert seen[3].seconds_left == 0


# Trainings under way ------------------------------------------------------------------------------------------------


TRAINED = {**SMALL, "iterations": 9, "probe_schedule": "every:2", "evaluate_every": 3, "keep": "everything"}


def rows(store: Store) -> dict:
    """Every byte that a store holds of what its runs have measured."""
    found = {}
    for table in ("record", "metric", "field"):
        names = [row[1] for row in store._connection.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
        query = f"SELECT {', '.join(names)} FROM {table} ORDER BY run, iteration, layer, name"
        found[table] = store._connection.execute(query.replace(", name", ", id") if table == "record" else query)
    return {table: cursor.fetchall() for table, cursor in found.items()}


@pytest.mark.parametrize("workers", [0, 1])
def test_watched_or_not_a_training_leaves_the_same_bytes(tmp_path, monkeypatch, workers):
    wanted = study(iterations=9, probe_schedule="every:2", evaluate_every=3, keep="everything", layers=[1, 2])
    monkeypatch.setattr(engines, "WATCH", 0.0)
    written = []
    add, kept = Store.add_records, []

    def count(store: Store, results: dict, owner: str) -> set:
        written.append(add(store, results, owner))
        return written[-1]

    for watched in (True, False):
        monkeypatch.setattr(Store, "add_records", count if watched else lambda *_: set())
        with opened(tmp_path, f"{watched}.db") as store:
            assert run_study(wanted, store, workers=workers).done == 2
            kept.append(rows(store))
    assert kept[0] == kept[1]
    assert len({row[1] for row in kept[0]["record"]}) == 6
    assert any(written) or workers  # workers may be done before they are asked


def seen_of(store: Store, run: str) -> tuple[list[int], dict[int, int], list[int]]:
    """What a reader finds of a training: where it was probed, where its losses stand and how many, its evaluations."""
    losses = {n: len(one["training_loss"]) for n, one in store.records(run, ["training_loss"]).items() if len(one)}
    return store.iterations(run), losses, list(store.curves(run).get("validation_loss", [[]])[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_is_seen_while_it_goes_on(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(engines, "task_of", replaced(held, "digits_delayed"))
    monkeypatch.setattr(engines, "WATCH", 0.0)
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    wanted = Study("test", (Sweep(**TRAINED),))
    (run,) = wanted.runs()
    found: list[tuple] = []
    with opened(tmp_path) as store, Store(store.path) as reader:
        add = store.add_records

        def look(results: dict, owner: str) -> set:
            written = add(results, owner)
            assert reader.run(run)["status"] == "running"
            assert reader.page(names=["iteration"]).rows == [{"iteration": None}]
            found.append(seen_of(reader, run))
            if found[-1][0][-1] >= 2:
                (tmp_path / "seen").touch()
            return written

        monkeypatch.setattr(store, "add_records", look)
        run_study(wanted, store, workers=workers)
        iterations, losses, evaluations = seen_of(reader, run)
        assert (iterations, losses, evaluations) == ([0, 2, 4, 6, 8, 9], {9: 9}, [0, 3, 6, 9])
        assert reader.page(names=["iteration"]).rows == [{"iteration": 9}]
    assert len(found) >= (5 if workers == 0 else 1)
    for probed, losses, scored in found:
        last = probed[-1]
        assert probed == [n for n in iterations if n <= last]
        assert last < 9
        assert losses == ({last: last} if last else {})
        assert scored == [n for n in evaluations if n <= last and last]


def test_a_training_that_fails_or_loses_its_worker_begins_anew_and_ends_as_any_other(tmp_path, monkeypatch):
    wanted, calm = Study("test", (Sweep(**TRAINED),)), tmp_path / "calm.db"
    (run,) = wanted.runs()
    monkeypatch.setattr(engines, "WATCH", 0.0)
    with Store(calm, "w") as store:
        run_study(wanted, store, workers=0)
        whole = rows(store)
    with opened(tmp_path, "failed.db") as store, monkeypatch.context() as patch:
        patch.setattr(engines, "task_of", replaced(torn, "digits_delayed"))
        assert run_study(wanted, store, workers=0).failed == 1
        assert store.run(run)["status"] == "failed"
        assert seen_of(store, run) == ([0, 2, 4], {4: 4}, [0, 3])
        patch.undo()
        assert run_study(wanted, store, workers=0).done == 1
        assert rows(store) == whole
    begun: list[list[int]] = []
    killed: list[int] = []

    def kill(store: Store, results: dict, owner: str) -> set:
        written = add(store, results, owner)
        begun.append(store.iterations(run))
        if begun[-1][-1] >= 2 and not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)
        if begun[-1][-1] >= 2 and store.run(run)["attempts"] == 2:
            (tmp_path / "seen").touch()
        return written

    add = Store.add_records
    monkeypatch.setattr(Store, "add_records", kill)
    monkeypatch.setattr(engines, "task_of", replaced(held, "digits_delayed"))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    with opened(tmp_path, "killed.db") as store:
        assert run_study(wanted, store, workers=1).done == 1
        assert store.run(run)["attempts"] == 2
        assert all(probed[0] == 0 for probed in begun)
        assert rows(store) == whole


def test_planned_runs_are_counted_before_they_begin(tmp_path):
    seen = []
    with opened(tmp_path) as store:
        with pytest.raises(KeyboardInterrupt):
            run_study(study(seed=range(40)), store, workers=0, progress=lambda tally: interrupt(tally, store, seen))
        assert seen == [(0, 0), (1, 40)]
        assert store.waiting() + len(store.runs()) == 40
        run_study(study(seed=range(40)), store, workers=0)
        assert store.waiting() == 0


def interrupt(tally: Tally, store: Store, seen: list) -> None:
    """Note how many runs there are, and end the sweep after the first."""
    seen.append((tally.done, store.waiting() + len(store.runs())))
    if tally.done:
        raise KeyboardInterrupt


def test_heartbeats_come_while_runs_are_under_way(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "task_of", replaced(slow, "digits_delayed"))
    monkeypatch.setattr(runner, "BEAT", 0.05)
    monkeypatch.setattr(runner, "TICK", 0.05)
    beats = []

    def look(tally: Tally) -> None:
        beats.extend(run["heartbeat"] - run["started"] for run in store.runs() if run["status"] == "running")

    with opened(tmp_path) as store:
        run_study(study(seed=[0, 1]), store, workers=1, progress=look)
    assert max(beats) > 0.1


@pytest.mark.parametrize("workers", [0, 1])
def test_an_interrupt_keeps_what_is_finished_and_marks_the_rest(tmp_path, workers):
    def interrupt(tally: Tally) -> None:
        if tally.done == 2:  # every run is told of
            raise KeyboardInterrupt

    with opened(tmp_path) as store:
        with pytest.raises(KeyboardInterrupt):
            run_study(study(seed=range(12)), store, workers=workers, progress=interrupt)
        states = [(run["status"], run["error"]) for run in store.runs()]
        assert ("running", None) not in states
        assert states.count(("done", None)) >= 2
        assert set(states) <= {("done", None), ("interrupted", None)}
        tally = run_study(study(seed=range(12)), store, workers=0)
        assert tally.done + tally.skipped == 12
        assert tally.skipped == states.count(("done", None))


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"workers": -1}, r"`workers` must be at least 0, got -1\. 0 works in this process"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, r"`workers` must be left out.*Give one of the two"),
        ({"scheduler": "127.0.0.1"}, r"must be an address like tcp://host:port, got '127\.0\.0\.1'\. Start one with"),
        ({"scheduler": "http://127.0.0.1:1"}, "Start one with `dask scheduler`"),
        ({"scheduler": "inproc://1"}, "must be an address like tcp://host:port, got 'inproc://1'"),
        ({"scheduler": "tls://127.0.0.1:1"}, r"or have some, got 'tls://.*Name them under `distributed\.comm\.tls`"),
        ({"scheduler": "tcp://127.0.0.1:1"}, r"must be the address of one that runs.*Start one with `dask scheduler`"),
    ],
)
def test_bad_workers_and_schedulers_are_refused(tmp_path, monkeypatch, options, remedy):
    monkeypatch.setattr(clusters, "CONNECT", 0.3)
    with opened(tmp_path) as store:
        with pytest.raises(ArgumentError, match=remedy):
            run_study(study(), store, **options)
        assert store.sweeps() == store.runs() == []


def test_a_folder_that_may_not_be_read_takes_no_workers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clusters.os, "access", lambda path, mode: path != str(tmp_path))
    with opened(tmp_path) as store:
        with pytest.raises(ArgumentError, match=r"`workers` must be 0 in a folder .* got 1 in .*`--workers 0`"):
            run_study(study(), store, workers=1)
        assert store.sweeps() == []
        assert run_study(study(), store, workers=0).done == 1


def test_workers_that_do_not_start_say_why(tmp_path, monkeypatch):
    def refuse(**options):
        try:
            raise OSError(24, "Too many open files")
        except OSError as error:
            raise RuntimeError("Nanny failed to start.") from error

    monkeypatch.setattr("distributed.LocalCluster", refuse)
    with opened(tmp_path) as store:
        with pytest.raises(
            clusters.WorkersError, match=r"do not start .* Too many open files\. Give fewer with `--work"
        ):
            run_study(study(), store, workers=1)
        assert store.sweeps() == []


def test_a_scheduler_that_goes_away_ends_the_sweep_and_keeps_what_is_finished(tmp_path):
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0")

    def close(tally: Tally) -> None:
        if tally.done == 1:
            cluster.close()

    with cluster, opened(tmp_path) as store:
        with pytest.raises(GradscopeError, match=r"scheduler at tcp://127.* is gone.*then give the same command"):
            run_study(study(seed=range(30)), store, scheduler=cluster.scheduler_address, progress=close)
        states = [(run["status"], run["error"]) for run in store.runs()]
        assert states.count(("done", None)) >= 1
        assert set(states) == {("done", None), ("interrupted", None)}
