"""Sweeps that end as no sweep should: killed at any moment, out of disk, beside each other; nothing finished is lost.

Every process here is a real one. The number of moments at which a sweep is killed is ``GRADSCOPE_KILLS``.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from gradscope.errors import StoreError
from gradscope.record import to_json
from gradscope.store import Store

KILLS = int(os.environ.get("GRADSCOPE_KILLS", "5"))
GRADSCOPE = Path(sys.executable).with_name("gradscope")
RUNS = 24
SMALL = 'hidden_size = 4\nbatch_size = 2\nlength = 12\nprobes = ["transport", "jacobian_norm"]\n'
GRID = f"{SMALL}seed = {list(range(RUNS))}\n"
TRAINING = 'iterations = 800\nprobe_schedule = "every:20"\nkeep = "everything"\n'
PATIENCE = 300  # seconds after which a process hangs; no test expects one to take that long

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="signals of Unix"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with a small grid in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.toml").write_text(GRID)
    return tmp_path


def begin(*arguments: str, store: str = "r.db", file: str = "grid.toml", **options) -> subprocess.Popen:
    """Start a sweep as a shell in a terminal would."""
    call = [GRADSCOPE, "sweep", file, "--store", store, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(call, start_new_session=True, env={**os.environ, "COLUMNS": "200"}, **pipes, **options)


def ended(process: subprocess.Popen, code: int = 0) -> str:
    """Wait for a sweep and return what it said; it must have ended with that code and without a traceback."""
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, (output, errors)
    assert "Traceback" not in output + errors
    return output + errors


def kill(process: subprocess.Popen) -> None:
    """Kill a sweep as nothing can be killed harder, and wait for its workers to notice."""
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=PATIENCE)
    for worker in psutil.wait_procs(workers, timeout=PATIENCE)[1]:
        worker.kill()


def done(store: str = "r.db") -> dict[str, str]:
    """Return what a store holds of its finished runs, as text; nothing while it is being made."""
    try:
        with Store(store) as opened:
            runs = [run["id"] for run in opened.runs() if run["status"] == "done"]
            return {run: contents(opened, run) for run in runs}
    except StoreError:
        return {}


def contents(store: Store, run: str) -> str:
    """Return every summary of a run, its metrics and its row of the overview, as text."""
    times = ("seconds", "heartbeat", "attempts", "sweep")
    rows = store.table(where=[f"run={run}"], iteration="last")
    measured = [{key: value for key, value in row.items() if key not in times} for row in rows]
    records = [store.record(run, iteration) for iteration in store.iterations(run)]
    arrays = [{name: record[name].tobytes().hex() for name in record} for record in records]
    return to_json([measured, [record.summary for record in records], arrays, store.metrics(run)])


def until(process: subprocess.Popen, count: int, store: str = "r.db") -> None:
    """Wait until a sweep has finished so many runs."""
    started = time.monotonic()
    while len(done(store)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - started < PATIENCE, f"the sweep hangs before it has finished {count} runs"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, str]:
    """What the store of a sweep holds that was never disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "grid.toml").write_text(GRID)
    ended(begin("--workers", "0", cwd=folder))
    found = done(str(folder / "r.db"))
    assert len(found) == RUNS
    return found


def test_any_number_of_workers_measures_the_same(folder, undisturbed):
    for workers in ("1", "2"):
        ended(begin("--workers", workers, store=f"{workers}.db"))
        assert done(f"{workers}.db") == undisturbed


def test_kill_9_at_any_moment_loses_no_finished_run(folder, undisturbed):
    """The moments are drawn, and spread over the whole of a sweep: its start, its runs, its end."""
    draw = random.Random(os.environ.get("GRADSCOPE_SEED", "moments"))
    started = time.monotonic()
    ended(begin("--workers", "2", store="timed.db"))
    whole = time.monotonic() - started
    before: dict[str, str] = {}
    for moment in range(KILLS):
        if len(before) == RUNS:  # begin anew: there is nothing left to kill
            for end in ("", "-wal", "-shm"):
                Path(f"r.db{end}").unlink(missing_ok=True)
            before = {}
        workers = draw.choice(["0", "1", "2"])
        process = begin("--workers", workers)
        try:
            process.wait(whole * draw.uniform(0.1, 1.0))
        except subprocess.TimeoutExpired:
            kill(process)
        else:
            ended(process)
        after = done()
        assert before.items() <= after.items(), f"kill {moment} with {workers} workers lost a finished run"
        assert after.items() <= undisturbed.items()
        before = after
    assert "0 failed" not in ended(begin("--workers", "1"))
    assert done() == undisturbed
    with sqlite3.connect("r.db") as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert plain.execute("SELECT DISTINCT status FROM run").fetchall() == [("done",)]
    plain.close()


def test_a_killed_sweep_says_that_it_was_interrupted_and_its_runs_are_taken_over_at_once(folder, undisturbed):
    process = begin("--workers", "1")
    until(process, 2)
    kill(process)
    with Store("r.db") as store:
        states = {run["status"] for run in store.runs()}
        assert states <= {"done", "interrupted"}
        (sweep,) = store.sweeps()
        assert sweep["running"] == 0
    ended(begin("--workers", "1"))
    assert done() == undisturbed


def test_two_sweeps_on_one_store_share_the_work_and_never_touch_each_others_runs(folder, undisturbed):
    both = [begin("--workers", "1"), begin("--workers", "1")]
    for process in both:
        assert re.search(rf"{RUNS} runs: .*\bdone", ended(process))
    assert done() == undisturbed
    with Store("r.db") as store:
        assert {run["attempts"] for run in store.runs()} == {1}


def test_a_sweep_takes_over_what_a_killed_one_leaves(folder, undisturbed):
    one = begin("--workers", "1")
    until(one, 1)
    other = begin("--workers", "1")
    until(one, 3)
    kill(one)
    ended(other)
    assert done() == undisturbed


def test_a_sweep_that_is_killed_in_the_middle_of_a_training_leaves_what_was_seen_and_trains_it_anew(folder):
    (folder / "train.toml").write_text(f"{SMALL}{TRAINING}")
    ended(begin("--workers", "0", file="train.toml", store="calm.db"))
    process, started, seen = begin("--workers", "1", file="train.toml"), time.monotonic(), 0
    while seen < 2 and process.poll() is None:
        assert time.monotonic() - started < PATIENCE, "nothing of a training is seen"
        time.sleep(0.02)
        with suppress(StoreError), Store("r.db") as store:
            seen = max(store.probed().values(), default=0)
    kill(process)
    with Store("r.db") as store:
        (run,) = store.runs()
        assert run["status"] in {"interrupted", "done"}
        assert store.probed()[run["id"]] >= seen
    ended(begin("--workers", "0", file="train.toml"))
    assert done() == done("calm.db")


def test_killed_workers_cost_no_run(folder, undisturbed):
    process = begin("--workers", "2")
    until(process, 2)
    workers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    workers[0].kill()
    output = ended(process)
    assert f"{RUNS} runs: {RUNS} done" in output
    assert done() == undisturbed


def test_a_second_ctrl_c_ends_a_sweep_at_once(folder, undisturbed):
    process = begin("--workers", "2")
    until(process, 1)
    workers = psutil.Process(process.pid).children(recursive=True)
    started = time.monotonic()
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)
    output = ended(process, 130)
    assert "What is finished is kept; go on with" in output
    took = time.monotonic() - started
    assert not psutil.wait_procs(workers, timeout=PATIENCE)[1]
    kept = done()
    assert kept.items() <= undisturbed.items()
    ended(begin("--workers", "0"))
    assert done() == undisturbed
    assert took < PATIENCE


# A cluster ---------------------------------------------------------------------------------------------------------


@contextmanager
def cluster(workers: int, *options: str) -> Iterator[tuple[str, subprocess.Popen, list[subprocess.Popen]]]:
    """Run a scheduler and workers as processes of their own, that speak TCP."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    file = Path("scheduler.json").absolute()
    file.unlink(missing_ok=True)
    dask = [sys.executable, "-m", "dask"]
    call = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    scheduler = subprocess.Popen(call, **quiet)
    call = [*dask, "worker", "--scheduler-file", str(file), "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard"]
    crew = [subprocess.Popen([*call, "--name", f"w{n}", *options], **quiet) for n in range(workers)]
    try:
        started = time.monotonic()
        while not file.exists() or '"address"' not in file.read_text():
            assert scheduler.poll() is None
            assert time.monotonic() - started < PATIENCE, "the scheduler hangs before it has an address"
            time.sleep(0.05)
        yield re.search(r'"address": "(tcp:[^"]*)"', file.read_text())[1], scheduler, crew
    finally:
        family = [child for process in (scheduler, *crew) if process.poll() is None for child in descend(process.pid)]
        for process in (scheduler, *crew):
            process.kill()
            process.wait()
        for child in family:
            child.kill()


def descend(pid: int) -> list[psutil.Process]:
    """Return the children of a process and theirs."""
    return psutil.Process(pid).children(recursive=True)


def test_a_cluster_over_tcp_measures_the_same_and_survives_a_killed_worker(folder, undisturbed):
    with cluster(2) as (address, _, crew):
        process = begin("--scheduler", address)
        until(process, 2)
        for child in descend(crew[0].pid):
            child.kill()  # its nanny starts another
        assert f"{RUNS} runs: {RUNS} done" in ended(process)
        assert done() == undisturbed
        ended(begin("--scheduler", address, store="again.db"))
        assert done("again.db") == undisturbed


def test_a_worker_without_a_nanny_that_dies_leaves_its_runs_to_the_others(folder, undisturbed):
    with cluster(2, "--no-nanny") as (address, _, crew):
        process = begin("--scheduler", address)
        until(process, 2)
        crew[0].kill()
        assert f"{RUNS} runs: {RUNS} done" in ended(process)
    assert done() == undisturbed


def test_a_killed_scheduler_ends_the_sweep_and_the_same_command_goes_on(folder, undisturbed):
    with cluster(1) as (address, scheduler, _):
        process = begin("--scheduler", address)
        until(process, 2)
        scheduler.kill()
        output = ended(process, 2)
    assert f"The scheduler at {address} is gone. What is finished is kept" in output
    with Store("r.db") as store:
        assert {run["status"] for run in store.runs()} <= {"done", "interrupted"}
    kept = done()
    assert len(kept) >= 2
    output = ended(begin("--scheduler", address, store="new.db"), 2)
    assert "must be the address of one that runs" in output
    assert not Path("new.db").exists()
    ended(begin("--workers", "1"))
    assert kept.items() <= undisturbed.items()
    assert done() == undisturbed


# Memory and disk ---------------------------------------------------------------------------------------------------


def test_a_run_that_outgrows_its_worker_fails_alone_and_says_so(folder):
    (folder / "large.toml").write_text(
        'probes = ["transport"]\nbatch_size = 2\n'
        "[[sweep]]\nhidden_size = 4\nlength = 12\nseed = [0, 1, 2, 3]\n"
        "[[sweep]]\nhidden_size = 256\nbatch_size = 64\nlength = 4000\n"
    )
    output = ended(begin("--workers", "1", "--memory", "450MB", file="large.toml"), 1)
    assert "5 runs: 4 done, 1 failed" in output
    assert re.search(r"1 run failed: It outgrew the memory of its worker, twice: .* of 450 MB allowed", output)
    assert "Give each worker more with `--memory`" in output


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path | None]:
    """Mount a file system of that size where that is allowed; None elsewhere."""
    place = folder / "disk"
    place.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(call, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    try:
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_ends_the_sweep_with_its_remedy_and_keeps_what_is_finished(folder, undisturbed):
    """On a small tmpfs; where none may be mounted, the process may write no file of more than that size."""
    size, free = 6_000_000, 320_000
    with small_disk(folder, size) as disk:
        if disk is None:
            pytest.importorskip("resource", reason="no tmpfs may be mounted, and the system has no limits of files")
            limit = f"import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, ({free}, {free})); "
            limit += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
            code = limit + "from gradscope.cli import main; main()"
            call = [sys.executable, "-c", code, "sweep", "grid.toml", "--store", "r.db", "--workers", "0"]
            process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            place = Path("r.db")
        else:
            place = disk / "r.db"
            (disk / "ballast").write_bytes(bytes(size - free))
            process = begin("--workers", "0", store=str(place))
        output = ended(process, 2)
        assert re.search(r"cannot grow: the disk is full\. Free some space|the disk reports an error", output), output
        kept = done(str(place))
        assert kept.items() <= undisturbed.items()
        assert len(kept) < RUNS
        if disk is not None:
            (disk / "ballast").unlink()
        ended(begin("--workers", "0", store=str(place)))
        assert kept.items() <= done(str(place)).items()
        assert done(str(place)) == undisturbed


def test_a_file_that_cannot_be_used_is_named_and_left_as_it_is(folder):
    ended(begin("--workers", "0"))
    whole = Path("r.db").read_bytes()
    with sqlite3.connect("newer.db") as plain:
        plain.executescript("CREATE TABLE sweep (id); PRAGMA application_id = 1735550067; PRAGMA user_version = 99;")
    plain.close()
    Path("damaged.db").write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    Path("text.db").write_text("no store\n" * 1000)
    for name, remedy in (
        ("newer.db", "has schema 99, this gradscope reads .* Upgrade with `pip install -U gradscope`"),
        ("damaged.db", "is damaged .* Save what is left with"),
        ("text.db", "is no SQLite file. Give the file that a sweep wrote"),
    ):
        before = Path(name).read_bytes()
        assert re.search(remedy, ended(begin("--workers", "0", store=name), 2))
        assert Path(name).read_bytes() == before
    assert Path("r.db").read_bytes() == whole


def test_a_read_only_file_is_named(folder):
    ended(begin("--workers", "0"))
    (folder / "grid.toml").write_text(GRID.replace(str(list(range(RUNS))), "[99]"))
    before = done()
    folder.chmod(0o755)
    Path("r.db").chmod(0o444)
    drop = "import os\nif os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    code = "from gradscope.cli import main; import gradscope.experiments.command\n" + drop + "main()"
    for parent in folder.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    call = [sys.executable, "-c", code, "sweep", "grid.toml", "--store", "r.db", "--workers", "0"]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert re.search("read-only.* Allow it with `chmod u\\+w`", ended(process, 2))
    assert done() == before
