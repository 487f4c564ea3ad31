"""The command line: what it prints, where its mistakes go, and how it ends, in process and as a real process."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from sample_records import CASES

from gradscope import cli as door
from gradscope.errors import ArgumentError, ExtraError
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Field, Record, Status, from_json
from gradscope.store import Store

COMMANDS = ["demo", "sweep", "probe", "runs", "show", "export", "report", "dashboard"]
MARKUP = "[red]<b>digits</b>[/red] :warning: \x1b[31m"
SAME = {"hidden_size": 32, "task": "digits_pixel"}


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch):
    """Forget the terminal that the tests themselves run in."""
    for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Return a store of one trained run, cases of every kind, a failed and a silent run."""
    path = tmp_path_factory.mktemp("cli") / "results.db"
    with Store(path, "w") as opened:
        sweep = opened.add_sweep("study", {})
        for case in ("lstm", "gru", "diverged", "relu", "underflow"):
            record = CASES[case]()
            config = {"cell": record.config["cell"]["cell"], "length": record.config["length"], **SAME}
            opened.start_run(f"{case}0123456789", sweep, config)
            records = {0: record, 120: CASES["gru"]()} if case == "lstm" else {0: record}
            metrics = {"accuracy_before": 0.1, "accuracy_after": 0.75, "accuracy_chance": 0.1, "loss_before": math.nan}
            opened.finish_run(f"{case}0123456789", records, metrics if case == "lstm" else {}, 1.25)
        opened.start_run("failed", sweep, {"cell": "RNN", "length": 8, **SAME})
        opened.fail_run("failed", f"{MARKUP}\nsecond line", 0.5)
        opened.start_run("silent", opened.add_sweep("other", {}), {"cell": "RNN", "length": 9, **SAME})
        opened._connection.execute("UPDATE run SET heartbeat = 0 WHERE id = 'silent'")
    return path


def call(*arguments: object, code: int = 0) -> Result:
    """Run a command in this process and check its exit code."""
    result = CliRunner().invoke(door.cli, list(map(str, arguments)), prog_name="gradscope")
    assert result.exit_code == code, (result.output, result.exception)
    return result


def process(*arguments: object, environment: dict | None = None, **options) -> subprocess.CompletedProcess:
    """Run a command as a process of its own."""
    command = [sys.executable, "-m", "gradscope", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=os.environ | (environment or {}), **options
    )


# The group ---------------------------------------------------------------------------------------------------------


def test_help_lists_every_command_in_the_order_of_use():
    output = call("--help").output
    listed = re.findall(r"^  (\w+)  ", output[output.index("Commands:") :], re.MULTILINE)
    assert listed == COMMANDS
    assert call("-h").output == output
    assert call("runs", "-h").output.startswith("Usage: gradscope runs [OPTIONS] STORE")


def test_help_loads_nothing_heavy():
    heavy = ["dash", "dask", "distributed", "plotly", "pydantic", "sklearn", "torch", "flask", "pandas"]
    code = f"""
        import sys
        from gradscope.cli import cli
        cli(["--help"], standalone_mode=False)
        print("loaded", *[name for name in {heavy} if name in sys.modules])
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "loaded"


def test_the_version_is_that_of_the_package():
    assert call("--version").output == f"gradscope {importlib.metadata.version('gradscope')}\n"
    assert process("--version").stdout == call("--version").output


@pytest.mark.parametrize(("typed", "meant"), [("swep", "sweep"), ("runns", "runs"), ("dash", "dashboard")])
def test_a_misspelt_command_is_suggested(typed, meant):
    result = call(typed, "x.db", code=2)
    assert f"got '{typed}'. Did you mean '{meant}'?" in result.stderr
    assert result.stdout == ""


def test_an_unknown_command_leads_to_the_help():
    wanted = f"must be one of {', '.join(COMMANDS)}, got 'xyzzy'. See `gradscope --help`"
    assert wanted in call("xyzzy", code=2).stderr


def test_a_misspelt_option_is_suggested(store):
    stderr = call("runs", store, "--wher", "cell=RNN", code=2).stderr
    assert "--where" in stderr
    assert "Try 'gradscope runs --help'" in stderr
    assert "Missing argument 'STORE'" in call("runs", code=2).stderr


def test_mistakes_are_one_line_without_a_traceback(tmp_path):
    missing = tmp_path / "none.db"
    for run in (process("runs", missing), process("show", missing, "x")):
        assert run.returncode == 2
        assert run.stdout == ""
        assert run.stderr == (
            f"Error: {missing} must exist. Check the name, or make it with `gradscope sweep STUDY --store {missing}`.\n"
        )


def test_control_characters_in_a_mistake_do_not_reach_the_terminal(store):
    stderr = call("show", store, "\x1b[2Jx", code=2).stderr
    assert "\x1b" not in stderr
    assert "List them with `gradscope runs" in stderr


def commands(monkeypatch, **brought: object) -> None:
    """Let installed packages bring these commands."""

    class Entry:
        module = "some_package.command"

        def __init__(self, command):
            self.load = command if not isinstance(command, click.Command) else lambda: command

    monkeypatch.setattr(door, "_brought", lambda: {name: Entry(command) for name, command in brought.items()})


def test_a_missing_extra_is_named(monkeypatch):
    def load():
        raise ModuleNotFoundError("No module named 'dash.development'", name="dash.development")

    commands(monkeypatch, dashboard=load)
    result = call("dashboard", "x.db", code=2)
    assert result.stderr == (
        "Error: `gradscope dashboard` needs dash, which is not installed. "
        "Install it with `pip install 'gradscope[dashboard]'`.\n"
    )


@pytest.mark.parametrize(
    ("missing", "extra", "arguments"),
    [
        ("pydantic", "sweep", ["sweep", "quickstart", "--store", "x.db"]),
        ("distributed", "sweep", ["sweep", "quickstart", "--store", "x.db"]),
        ("dash", "dashboard", ["dashboard", "x.db"]),
        ("dash", "all", ["demo"]),
        ("distributed", "all", ["demo", "--no-serve"]),
    ],
)
def test_a_real_process_names_the_extra_it_lacks(tmp_path, missing, extra, arguments):
    """As on a machine without the extra: the module cannot be found."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{missing!r}] = None\n")
    environment = {"PYTHONPATH": str(tmp_path)}
    run = process(*arguments, environment=environment, cwd=tmp_path)
    line = run.stderr.splitlines()[-1]
    assert line.startswith(f"Error: `gradscope {arguments[0]}` needs ")
    assert line.endswith(f"Install it with `pip install 'gradscope[{extra}]'`.")
    assert run.returncode == 2
    assert process("--help", environment=environment).returncode == 0


def test_a_fault_in_a_room_is_not_taken_for_a_missing_extra(monkeypatch):
    def load():
        raise ModuleNotFoundError("No module named 'gradscope.cels'", name="gradscope.cels")

    commands(monkeypatch, sweep=load, other=load)
    for name in ("sweep", "other"):
        with pytest.raises(ModuleNotFoundError, match="cels"):
            CliRunner().invoke(door.cli, [name], catch_exceptions=False)


def test_commands_need_an_installed_package(monkeypatch):
    commands(monkeypatch)
    assert "Install it with `pip install -e .`" in call("sweep", code=2).stderr
    with pytest.raises(ExtraError, match="needs gradscope to be installed"):
        door._load("dashboard")


def test_other_packages_may_bring_commands(monkeypatch):
    @click.command()
    def extra():
        click.echo("hello")

    commands(monkeypatch, extra=extra)
    assert call("extra").output == "hello\n"
    assert "From the package some_package." in call("--help").output
    assert "Did you mean 'extra'?" in call("exra", code=2).stderr


def test_warnings_are_one_line(monkeypatch):
    @click.command()
    def warn():
        warnings.simplefilter("always")
        warnings.warn("keep the store on a local disk", stacklevel=1)
        warnings.warn("of no use to a user", ResourceWarning, stacklevel=1)

    commands(monkeypatch, warn=warn)
    assert call("warn").stderr == "Warning: keep the store on a local disk\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, click.Abort])
def test_an_interrupt_ends_with_130(monkeypatch, error):
    @click.command()
    def wait():
        raise error

    commands(monkeypatch, wait=wait)
    assert call("wait", code=130).stderr == "Interrupted.\n"


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_the_exit_code_of_a_command_is_kept(monkeypatch, code):
    @click.command()
    @click.pass_context
    def ends(ctx):
        ctx.exit(code)

    commands(monkeypatch, ends=ends)
    call("ends", code=code)


def test_an_error_of_ours_in_another_room_ends_with_2(monkeypatch):
    @click.command()
    def wrong():
        raise ArgumentError("`cell` must be one of rnn, lstm, got 'x'.")

    commands(monkeypatch, wrong=wrong)
    assert call("wrong", code=2).stderr == "Error: `cell` must be one of rnn, lstm, got 'x'.\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            PermissionError(13, "Permission denied", "w.npz"),
            "w.npz must be a path that you may use, and is not: Permission denied. Give one in a folder of your own.",
        ),
        (
            MemoryError("Unable to allocate 11.6 TiB"),
            "What was asked for must fit into memory, and does not: Unable to allocate 11.6 TiB. "
            "Ask for less, e.g. shorter sequences or smaller batches.",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_system_refuses_is_one_line_with_its_remedy(monkeypatch, error, line):
    @click.command()
    def wrong():
        raise error

    commands(monkeypatch, wrong=wrong)
    assert call("wrong", code=2).stderr == f"Error: {line}\n"


@pytest.mark.skipif(os.name == "nt", reason="a folder in use stays")
@pytest.mark.parametrize("arguments", [["runs", "r.db"], ["sweep", "quickstart", "--store", "r.db"]])
def test_a_folder_that_was_removed_is_said_to_be_gone(tmp_path, monkeypatch, arguments):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    line = "Error: The folder in which you are must exist, and has been removed. Change to another one with `cd`.\n"
    assert call(*arguments, code=2).stderr == line


@pytest.mark.skipif(os.name == "nt", reason="no pipes of this kind")
@pytest.mark.parametrize("form", ["--csv", "--json", None])
def test_a_closed_pipe_is_quiet(tmp_path, form):
    path = tmp_path / "r.db"
    with Store(path, "w") as opened:
        sweep = opened.add_sweep("study", {})
        for number in range(1500):
            opened.start_run(f"{number:05d}", sweep, {"cell": "LSTM", "length": number, "text": "x" * 100})
    command = [sys.executable, "-m", "gradscope", "runs", str(path), *([form] if form else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout.read(10)
        run.stdout.close()
        assert run.stderr.read() == b""
        assert run.wait(timeout=60) == 128 + signal.SIGPIPE


def test_an_encoding_that_lacks_a_letter_is_no_failure(store):
    run = process("show", store, "lstm", environment={"PYTHONIOENCODING": "ascii"})
    assert (run.returncode, run.stderr) == (0, "")


# Runs --------------------------------------------------------------------------------------------------------------


def table(output: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of a printed table."""
    lines = output.splitlines()
    rule = next(number for number, line in enumerate(lines) if set(line.strip()) <= {"─", "-"} and line.strip())
    return re.split(r"\s{3,}", lines[rule - 1].strip()), [
        re.split(r"\s{3,}", line.strip()) for line in lines[rule + 1 :]
    ]


def test_runs_shows_a_table_without_what_is_constant(store):
    output = call("runs", store).output
    head, same, *_ = output.splitlines()
    assert head == "results.db: 7 runs, 5 done, 1 failed, 1 running, no sign of life for over a minute."
    assert same == "The same in all: hidden size 32, task digits_pixel."
    header, rows = table(output)
    assert header[:6] == ["run", "status", "cell", "length", "verdict", "decay rate [nat/step]"]
    assert header[-1] == "accuracy after [%]"
    assert [row[0] for row in rows] == ["lstm0123", "gru01234", "diverged", "relu0123", "underflo", "failed", "silent"]
    by_run = {row[0]: row for row in rows}
    assert by_run["lstm0123"][1:4] == ["done", "LSTM", "120"]
    assert by_run["lstm0123"][-1] == "75"
    assert by_run["diverged"][4] == "diverged"
    assert by_run["failed"][1:] == ["failed", "RNN", "8", "-", "-", "-", "-", "-"]


def test_runs_takes_conditions_and_a_sweep(store):
    header, rows = table(call("runs", store, "--where", "cell=LSTM", "--where", "length>=400").output)
    assert (header[1], rows[0][0], len(rows)) == ("cell", "underflo", 1)
    assert len(table(call("runs", store, "--sweep", "study").output)[1]) == 6
    assert len(table(call("runs", store, "--sweep", "2").output)[1]) == 1
    assert "`sweep` must be one of study, other, got 'studdy'. Did you mean 'study'?" in (
        call("runs", store, "--sweep", "studdy", code=2).stderr
    )
    assert "Did you mean 'length'?" in call("runs", store, "--where", "lenght>3", code=2).stderr
    assert "Write e.g. 'cell=LSTM'" in call("runs", store, "--where", "length", code=2).stderr


def test_runs_shows_so_many_rows_and_says_how_to_see_the_others(store):
    output = call("runs", store, "--limit", "2").output
    assert output.startswith("results.db: 7 runs, 5 done, ")
    assert "These are the first 2. Give --limit 7 for all, or --where." in output
    assert [row[0] for row in table(output)[1]] == ["lstm0123", "gru01234"]
    assert "These are the first" not in call("runs", store, "--limit", "7").output
    assert "0 is not in the range x>=1" in call("runs", store, "--limit", "0", code=2).stderr


def test_runs_says_why_nothing_is_listed(store, tmp_path):
    output = call("runs", store, "--where", "cell=LTSM", "--where", "length>100").output
    assert output == (
        "None of 7 runs fulfils cell=LTSM and length>100.\n"
        "`cell` takes GRU, LSTM, RNN.\n`length` takes 120, 400, 8, 9.\n"
    )
    with Store(tmp_path / "new.db", "w") as opened:
        opened.add_sweep("empty", {})
    assert call("runs", tmp_path / "new.db").output == "new.db holds no run yet.\n"


def test_runs_as_json_equals_the_table(store):
    output = call("runs", store, "--json", "--where", "length>=100").output
    json.loads(output, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    with Store(store) as opened:
        expected = opened.table(where=["length>=100"])
    assert len(expected) == 6
    assert repr(from_json(output)) == repr(expected)


def test_runs_as_csv_equals_the_table(store):
    rows = list(csv.DictReader(io.StringIO(call("runs", store, "--csv").output)))
    with Store(store) as opened:
        expected = opened.table()
    assert [[*row] for row in rows] == [[*row] for row in expected]
    for row, wanted in zip(rows, expected, strict=True):
        for name, value in wanted.items():
            if isinstance(value, float):
                assert row[name] == repr(value)
            else:
                assert row[name] == ("" if value is None else str(value))
    assert call("runs", store, "--csv", "--where", "length>1e9").output.strip() == ""


def test_nothing_is_cut_in_a_pipe_and_nothing_lost_in_a_narrow_terminal(store):
    wide = call("runs", store).output
    assert all(line == line.rstrip() or len(line) < 400 for line in wide.splitlines())
    narrow = process("runs", store, environment={"COLUMNS": "40"}).stdout
    assert max(map(len, narrow.splitlines())) <= 40
    assert "…" not in narrow


def test_long_text_stands_last_and_pads_nothing_in_a_pipe(tmp_path):
    """After the numbers, what some runs lack and the others share; names of probes may take hundreds of columns."""
    names, path = ", ".join(f"probe_{number}" for number in range(40)), tmp_path / "r.db"
    configs = [{"probes": names, "clip": 1.0, "length": 10, "truncate": None}, {"probes": "cheap", "length": 20}]
    with Store(path, "w") as opened:
        sweep = opened.add_sweep("study", {})
        for number, config in enumerate(configs):
            opened.start_run(f"r{number}", sweep, config)
            opened.finish_run(f"r{number}", {0: Record({}, {"decay_rate": 0.1, "verdict": "stable"})})
    _, same, heading, _, first, second, *_ = process("runs", path).stdout.splitlines()
    assert same == ""  # what no run has is not worth a word
    assert heading.split() == ["run", "length", "verdict", "decay", "rate", "[nat/step]", "clip", "probes"]
    assert first.split(maxsplit=5) == ["r0", "10", "stable", "0.1", "1", names]
    assert second.split() == ["r1", "20", "stable", "0.1", "-", "cheap"]
    assert first.index("probe_0") == second.index("cheap") < 80


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_a_narrow_terminal_breaks_no_number_and_names_what_it_leaves_out(store, width):
    narrow = process("runs", store, environment={"COLUMNS": str(width)}).stdout
    assert max(map(len, narrow.splitlines())) <= width
    with Store(store) as opened:
        rows = opened.table(iteration="last")
    body = narrow.partition("─\n")[2].partition("Too wide")[0].splitlines()
    numbers = [row for row in rows if row["decay_rate"] is not None]
    for row in numbers:
        line = next(line for line in body if line.startswith(row["run"][:8])).split()
        assert row["verdict"] in line
        if width >= 80:
            assert f"{row['decay_rate']:.3g}" in line
    assert ("Widen it, or use --csv." in " ".join(narrow.split())) == (width < 100)


def test_ids_are_shown_as_long_as_it_takes(tmp_path):
    with Store(tmp_path / "r.db", "w") as opened:
        for run in ("abcdefghijA", "abcdefghijB", "zz"):
            opened.start_run(run, opened.add_sweep("study", {}), {"cell": "LSTM"})
    assert [row[0] for row in table(call("runs", tmp_path / "r.db").output)[1]] == ["abcdefghijA", "abcdefghijB", "zz"]


def test_markup_is_text(tmp_path):
    with Store(tmp_path / "r.db", "w") as opened:
        sweep = opened.add_sweep(MARKUP, {})
        for number in range(2):
            opened.start_run(f"{MARKUP}{number}", sweep, {"cell": MARKUP, MARKUP: number})
            opened.finish_run(f"{MARKUP}{number}", {0: CASES["gru"]()}, {MARKUP + "x": MARKUP})
    shown = MARKUP.replace("\x1b", "\\x1b")
    for output in (call("runs", tmp_path / "r.db").output, call("show", tmp_path / "r.db", f"{MARKUP}0").output):
        assert shown in output
        assert "\x1b" not in output


def test_a_terminal_gets_colours_for_verdicts(store, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    output = call("runs", store).output
    assert re.search(r"\x1b\[35mdiverged", output)
    assert re.search(r"\x1b\[32mstable", output)
    assert re.search(r"\x1b\[31mfailed", output)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[35m" not in call("runs", store).output


# Show --------------------------------------------------------------------------------------------------------------


def columns(output: str, row: str) -> list[str]:
    """Return what stands beside the name of a row."""
    line = next(line for line in output.splitlines() if line.startswith(row))
    return re.split(r"\s{3,}", line.removeprefix(row).strip())


def test_show_tells_a_run_before_and_after_training(store):
    output = call("show", store, "lstm").output
    lines = output.splitlines()
    assert lines[0] == "Run lstm0123456789: done in 1.25 s."
    assert lines[1] == "cell LSTM, length 120, hidden size 32, task digits_pixel"
    assert lines[2] == "accuracy chance 10 %"
    assert lines[3].split() == ["before", "training", "after", "120", "iterations"]
    assert columns(output, "verdict") == ["stable: e^-4 over 120 steps", "stable: e^-1 over 120 steps"]
    assert columns(output, "decay rate") == ["0.03 nat/step (0.0285 to 0.0315)", "0.012 nat/step (0.0114 to 0.0126)"]
    assert columns(output, "half-life") == ["23.1 steps", "57.8 steps"]
    assert columns(output.split("\n", 3)[3], "accuracy") == ["10 %", "75 %"]
    assert columns(output, "loss") == ["NaN nat", "-"]


def test_show_has_a_conclusion_for_every_probe(store):
    output = call("show", store, "lstm").output
    record = CASES["lstm"]()
    for name, probe in CATALOGUE.items():
        assert (name in record) == (f"\n{probe.title} " in output)
        assert (name in record) == (f"\n  {probe.caption}" in output)
        assert probe.question in output


def test_show_equals_the_arrays(store):
    """Two routes: what is printed, and the median of the array itself."""
    output, record = call("show", store, "underflow").output, CASES["underflow"]()
    assert columns(output, "Transport to the last state") == [f"10^{np.median(record['transport'][0]):.3g} at t=0"]
    assert columns(output, "Jacobian norm per step") == [f"{np.median(record['jacobian_norm']):.3g}"]
    assert columns(output, "Timescale of each unit") == [f"{np.median(record['timescale']):.3g} steps"]
    assert columns(output, "Lyapunov spectrum") == [f"{record['lyapunov_spectrum'][0]:.3g} nat/step, the largest"]
    left, right = 100 * np.median(record["gate_saturation"][1], axis=1)
    assert f"forget {left:.3g} % left, {right:.3g} % right" in output
    below = int((record.status["transport"] == Status.UNDERFLOW).sum())
    assert below > 0
    assert f"{below:,} of {record['transport'].size:,} below the float range" in output


def test_show_tells_what_is_no_number(store):
    diverged = call("show", store, "diverged").output
    assert columns(diverged, "verdict") == ["diverged: `states` not finite at t=41 in sequence 7"]
    assert columns(diverged, "first bad step") == ["`states`, forward, t=41, sequence 7"]
    assert "242 of 1,936 NaN" in diverged
    relu = call("show", store, "relu").output
    assert columns(relu, "Gate saturation") == ["240 of 240 not applicable"]
    assert columns(relu, "State gradient, direct") == ["exactly 0 at t=0"]


def test_show_tells_a_run_without_numbers(store):
    failed = call("show", store, "failed").output
    assert "Run failed: failed in 0.5 s." in failed
    assert MARKUP.replace("\x1b", "\\x1b") + "\nsecond line\n" in failed
    assert failed.endswith("It has no numbers. Give the command of its sweep again to repeat it.\n")
    silent = call("show", store, "silent").output
    assert silent.startswith("Run silent: running, no sign of life for over a minute.")
    assert silent.endswith("\nIt has no numbers. Give the command of its sweep again to repeat it.\n")


def test_show_counts_attempts_and_takes_records_without_probes(tmp_path):
    with Store(tmp_path / "r.db", "w") as opened:
        sweep = opened.add_sweep("study", {})
        for _ in range(2):
            opened.start_run("r", sweep, {"cell": "LSTM"})
        field = Field("mine", np.zeros(3), ("step",), "1")
        opened.finish_run("r", {0: Record({"mine": field}, {"half_life": math.inf})})
    output = call("show", tmp_path / "r.db", "r").output
    assert output.startswith("Run r: done, attempt 2.")
    assert columns(output, "verdict") == ["-"]
    assert columns(output, "half-life") == ["inf steps"]


def test_show_keeps_to_the_ends_of_a_training_that_was_probed_often(tmp_path):
    path = tmp_path / "r.db"
    with Store(path, "w") as store:
        store.start_run("long", store.add_sweep("s", {}), {"cell": "RNN", "iterations": 40})
        store.finish_run("long", {n: Record({}, {"decay_rate": 0.5 + n}) for n in (0, 10, 20, 30, 40)})
    output = call("show", path, "long").output
    assert "before training" in output
    assert "after 40 iterations" in output
    assert "20.5" not in output
    assert "It was probed at 5 iterations, 0 to 40." in output


def test_show_names_a_run_that_is_not_there(store):
    assert "List them with `gradscope runs" in call("show", store, "nothing", code=2).stderr
    assert "got ''. List them" in call("show", store, "", code=2).stderr


# Demo --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def rooms(monkeypatch) -> dict:
    """Replace the sweep and the dashboard, and return what they were asked and how they should end."""
    heard: dict = {"sweep": 0, "dashboard": 0, "calls": []}

    @click.command()
    @click.argument("study")
    @click.option("--store")
    @click.option("--workers", type=int, default=2)
    @click.pass_context
    def sweep(ctx, **options):
        heard["calls"].append(("sweep", options))
        ctx.exit(heard["sweep"])

    @click.command()
    @click.argument("store")
    @click.option("--port", type=int, default=8050)
    def dashboard(**options):
        heard["calls"].append(("dashboard", options))
        if heard["dashboard"]:
            raise KeyboardInterrupt

    commands(monkeypatch, sweep=sweep, dashboard=dashboard)
    return heard


def test_demo_sweeps_then_serves(rooms):
    call("demo")
    assert rooms["calls"] == [
        ("sweep", {"study": "quickstart", "store": "gradscope-demo.db", "workers": 2}),
        ("dashboard", {"store": "gradscope-demo.db", "port": 8050}),
    ]


def test_demo_passes_its_options_on(rooms):
    call("demo", "--store", "a b.db", "--workers", 0, "--no-serve")
    assert rooms["calls"] == [("sweep", {"study": "quickstart", "store": "a b.db", "workers": 0})]
    call("demo", "--port", 9000)
    assert rooms["calls"][-1] == ("dashboard", {"store": "gradscope-demo.db", "port": 9000})


@pytest.mark.parametrize(("code", "served"), [(0, True), (1, True), (2, False), (130, False)])
def test_demo_ends_as_its_sweep_did(rooms, code, served):
    rooms["sweep"] = code
    call("demo", code=code)
    assert (len(rooms["calls"]) == 2) == served


def test_demo_ends_with_130_when_the_dashboard_is_interrupted(rooms):
    rooms["dashboard"] = 1
    assert call("demo", code=130).stderr == "Interrupted.\n"


def test_demo_asks_for_the_dashboard_before_it_works(rooms, monkeypatch):
    def load():
        raise ModuleNotFoundError("No module named 'dash'", name="dash")

    sweep = door._load("sweep")
    commands(monkeypatch, sweep=sweep, dashboard=load)
    assert "pip install 'gradscope[all]'" in call("demo", code=2).stderr
    assert rooms["calls"] == []
    call("demo", "--no-serve")
    assert len(rooms["calls"]) == 1


def test_demo_refuses_a_port_that_is_none(rooms):
    assert "--port" in call("demo", "--port", 99999, code=2).stderr
    assert rooms["calls"] == []
