"""The command ``gradscope sweep``, as a user types it."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from rich.console import Console

from gradscope.cli import cli
from gradscope.errors import StoreError
from gradscope.experiments import command, measurement
from gradscope.experiments.runner import Tally
from gradscope.experiments.spec import Run, Study
from gradscope.experiments.studies import load_study, study_names
from gradscope.store import Store

pytestmark = pytest.mark.usefixtures("bounded")
GRADSCOPE = Path(sys.executable).with_name("gradscope")
PATIENCE = 200  # seconds after which a process hangs
GRID = 'hidden_size = 6\nbatch_size = 4\nlength = 16\ncell = ["RNN", "LSTM"]\nforget_bias = [0, 1]\n'


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with a small grid in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.toml").write_text(GRID)
    return tmp_path


def typed(*arguments: str):
    return CliRunner().invoke(cli, ["sweep", *arguments])


def test_a_file_is_run_and_the_last_lines_say_what_became_of_it(folder):
    result = typed("grid.toml", "--store", "r.db", "--workers", "0")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"3 runs: 3 done, in \d+ s\.", lines[-2])
    assert lines[-1] == "Look at it: gradscope dashboard r.db"
    with Store("r.db") as store:
        assert [sweep["name"] for sweep in store.sweeps()] == ["grid"]
        assert {run["status"] for run in store.runs()} == {"done"}
    again = typed("grid.toml", "--store", "r.db", "--workers", "0")
    assert "3 runs: 0 done, 3 there before, in" in again.stdout


def test_a_dry_run_says_what_would_be_run_and_runs_nothing(folder):
    result = typed("grid.toml", "--dry-run")
    assert result.exit_code == 0
    assert "grid: 3 runs" in result.stdout
    assert re.search(r"forget_bias +0\.0, 1\.0", result.stdout)
    assert "3 runs in all." in result.stdout
    for keep in ("summary", "curves", "everything"):
        assert re.search(rf'keep = "{keep}" +[\d.]+ kB, [\d.]+ kB a run', result.stdout)
    assert "a run, as asked for: every array" in result.stdout
    assert sorted(os.listdir()) == ["grid.toml"]
    typed("grid.toml", "--store", "r.db", "--workers", "0")
    assert "3 of them are in r.db already." in typed("grid.toml", "--dry-run", "--store", "r.db").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quikstart", "--store", "r.db"], "got 'quikstart'. Did you mean 'quickstart'? Or give a TOML file."),
        (["missing.toml", "--store", "r.db"], "missing.toml must be a TOML file, and cannot be read"),
        (["grid.toml"], "Missing option '--store'. Give the file to write, e.g. --store results.db."),
        (
            ["wrong.toml", "--store", "r.db"],
            "wrong.toml, line 1: `lenght` is not a key of a sweep. Did you mean",
        ),
        (["grid.toml", "--store", "grid.toml"], "grid.toml"),
        (["grid.toml", "--store", "no/such/r.db"], "mkdir -p no/such"),
        (["grid.toml", "--store", "r.db", "--workers", "-2"], "`workers` must be at least 0, got -2."),
        (["grid.toml", "--store", "r.db", "--scheduler", "x"], "`scheduler` must be an address like tcp://host:port"),
        (["grid.toml", "--store", "r.db", "--memory", "much"], "got 'much'. Write e.g. 2GB."),
        (["grid.toml", "--store", "r.db", "--memory", "1MB"], "must be a size of at least 200 MB, got '1MB'."),
        (["grid.toml", "--store", "r.db", "--memory", "2GB", "--workers", "0"], "`memory` must be left out without"),
        (["grid.toml", "--store", "r.db", "--memory", "2GB", "--scheduler", "tcp://127.0.0.1:1"], "--memory-limit 4GB"),
        (["grid.toml", "--store", "r.db", "--wokers", "2"], "--workers"),
    ],
)
def test_a_mistake_is_answered_with_its_remedy_and_exit_code_2(folder, arguments, message):
    (folder / "wrong.toml").write_text("lenght = 3\n")
    result = typed(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert sorted(os.listdir()) == ["grid.toml", "wrong.toml"]


def test_failed_runs_are_counted_with_their_reason_and_exit_code_1(folder, monkeypatch):
    def refuse(run, task, watch):
        if run.cell == "RNN":
            raise MemoryError("no room for W_h")
        return measure(run, task, watch)

    measure = measurement.measure
    monkeypatch.setattr(measurement, "measure", refuse)
    result = typed("grid.toml", "--store", "r.db", "--workers", "0")
    assert result.exit_code == 1
    assert "3 runs: 2 done, 1 failed, in" in result.stdout
    assert "  1 run failed: MemoryError: no room for W_h\n" in result.stdout
    assert "Failed runs are tried again by the same command." in result.stdout
    assert result.stdout.splitlines()[-1] == "Look at it: gradscope dashboard r.db"


LONG = f'hidden_size = 8\nbatch_size = 4\nprobes = "cheap"\nseed = {list(range(500))}\n'
ENDLESS = """hidden_size = 8
batch_size = 4
probes = "cheap"
[[sweep]]
seed = [0, 1, 2]
[[sweep]]
seed = [3, 4, 5, 6]
length = 1000
iterations = 1000000
"""


def begun(folder: Path, workers: int, text: str = LONG) -> subprocess.Popen:
    """Start a long sweep as a shell in a terminal would."""
    (folder / "long.toml").write_text(text)
    call = [GRADSCOPE, "sweep", "long.toml", "--store", "r.db", "--workers", str(workers)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(call, cwd=folder, env={**os.environ, "COLUMNS": "200"}, start_new_session=True, **pipes)


def started(folder: Path, workers: int, count: int, text: str = LONG) -> subprocess.Popen:
    """Start a long sweep, and wait until some of its runs are done."""
    process = begun(folder, workers, text)
    while process.poll() is None:
        time.sleep(0.1)
        if (folder / "r.db").exists() and finished(folder) >= count:
            return process
    raise AssertionError(process.communicate())


def rows(path: str) -> list[dict]:
    with Store(path) as store:
        return store.runs()


def finished(folder: Path) -> int:
    try:
        with Store(folder / "r.db") as store:
            return sum(run["status"] == "done" for run in store.runs())
    except StoreError:  # not laid out yet
        return 0


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize(
    ("number", "send"),
    [
        pytest.param(signal.SIGINT, os.killpg, id="ctrl-c in a terminal"),
        pytest.param(signal.SIGTERM, os.kill, id="kill"),
        pytest.param(signal.SIGTERM, os.killpg, id="kill of the group, as a job scheduler does"),
    ],
)
def test_a_signal_ends_a_sweep_with_no_wait_for_its_runs_and_says_how_to_go_on(folder, number, send):
    """The runs that are under way would take hours."""
    process = started(folder, workers=2, count=3, text=ENDLESS)
    workers = psutil.Process(process.pid).children(recursive=True)
    send(process.pid, number)
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors == ""
    lines = output.splitlines()
    assert re.search(r"Interrupted\. 7 runs: 3 done, 4 to go, in \d+ s\. What is finished is kept; go on", output)
    assert lines[-1].strip() == "gradscope sweep long.toml --store r.db --workers 2"
    assert not psutil.wait_procs(workers, timeout=PATIENCE)[1]
    assert not Path("r.db-wal").exists()  # closed in good order
    with Store("r.db") as store:
        assert [run["status"] for run in store.runs(where=["seed<3"])] == ["done"] * 3
        assert {run["status"] for run in store.runs(where=["seed>2"])} == {"interrupted"}
    (folder / "long.toml").write_text(ENDLESS.replace("1000000", "1").replace("1000", "20"))
    assert "7 runs: 4 done, 3 there before" in typed("long.toml", "--store", "r.db", "--workers", "0").stdout


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize(("number", "send"), [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill)])
def test_a_signal_while_the_workers_start_ends_a_sweep_as_well(folder, number, send):
    process = begun(folder, workers=2)
    while not (workers := psutil.Process(process.pid).children(recursive=True)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    send(process.pid, number)
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (130, "")
    assert "Interrupted. 500 runs: 0 done, 500 to go" in output
    assert not psutil.wait_procs(workers, timeout=PATIENCE)[1]


def test_kill_9_loses_the_runs_in_flight_and_the_same_command_goes_on(folder):
    process = started(folder, workers=1, count=2)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    done = finished(folder)
    assert done >= 2
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE)
    assert not alive
    with Store("r.db") as store:
        assert "interrupted" in {run["status"] for run in store.runs()}
    # The rest would take long: a shorter study shares the finished runs and the lost ones.
    seeds = sorted(run["config"]["seed"] for run in rows("r.db"))[: done + 2]
    (folder / "long.toml").write_text(LONG.replace(str(list(range(500))), str(seeds)))
    result = typed("long.toml", "--store", "r.db", "--workers", "0")
    assert f"{len(seeds)} runs: {len(seeds) - done} done, {done} there before" in result.stdout


def test_the_bar_shows_rate_time_left_and_failures(monkeypatch):
    screen = io.StringIO()
    tally = Tally(total=40, skipped=10, done=14, failed=1, started=time.monotonic() - 10)
    with command.progress_display(Console(file=screen, force_terminal=True, width=100), "grid") as show:
        show(tally)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "25/40" in text
    assert "1.5 runs/s, 10 s left, 1 failed" in text


def test_lines_replace_the_bar_where_there_is_no_terminal(monkeypatch):
    paper = io.StringIO()
    monkeypatch.setattr(command, "EVERY", -1.0)
    with command.progress_display(Console(file=paper, width=100), "grid") as show:
        show(Tally(total=40))
        show(Tally(total=40, done=15, started=time.monotonic() - 10))
    assert paper.getvalue() == "0/40 runs, starting\n15/40 runs, 1.5 runs/s, 17 s left, 0 failed\n"


def test_numbers_are_written_for_reading():
    assert command._duration(4.4) == "4 s"
    assert command._duration(600) == "10 min"
    assert command._duration(7200) == "2.0 h"
    assert [command._bytes(size) for size in (900, 45_700_000, 3.2e9, 5e12)] == [
        "0.9 kB",
        "45.7 MB",
        "3.2 GB",
        "5e+03 GB",
    ]
    tally = Tally(total=4, skipped=1, done=1, diverged=1, failed=1, started=time.monotonic())
    assert command.summary(tally) == "4 runs: 1 done (1 diverged), 1 there before, 1 failed, 1 to go, in 0 s."


SECTIONS = ("Question: ", "Prediction: ", "Command: ", "Runtime: ", "Reads as: ")


@pytest.mark.parametrize("name", study_names())
def test_each_study_states_its_question_and_its_grid_is_sound(name):
    study = load_study(name)
    text = sys.modules[f"gradscope.experiments.studies.{name}"].__doc__
    places = [text.index(section) for section in SECTIONS]
    assert places == sorted(places)
    assert f"Command: gradscope sweep {name} --store {name}.db" in text
    assert study.runs()
    assert Study(study.name, study.sweeps).describe()["sweeps"] == [sweep.describe() for sweep in study.sweeps]


def test_the_help_names_studies_and_where_all_are_listed():
    help_text = " ".join(typed("--help").stdout.split())
    named = re.search(r"comes with gradscope \((.*?) and those listed in docs/studies.md\)", help_text)[1].split(", ")
    assert set(named) <= set(study_names())
    assert named[0] == "quickstart"


def test_the_quickstart_holds_a_network_that_leaves_the_range_of_floats():
    runs = load_study("quickstart").runs().values()
    assert Run(cell="RNN", activation="relu", gain=3, length=1000, batch_size=16) in runs
    assert {run.cell for run in runs if run.iterations} == {"RNN", "LSTM", "GRU"}
