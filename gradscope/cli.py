"""The command line: the front door to sweeps, stores and the dashboard.

What runs a sweep or serves pages comes in by the entry points ``gradscope.commands`` and is loaded only when it is
asked for, so that the help is quick and a missing extra costs nothing else.

Exit codes: 0 done, 1 some runs failed, 2 the user's mistake (one line with its remedy), 130 interrupted.
"""

from __future__ import annotations

import collections
import csv
import difflib
import importlib.metadata
import io
import itertools
import math
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

import click
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradscope.errors import ArgumentError, ExtraError, GradscopeError
from gradscope.probes.catalogue import CATALOGUE, unit, words
from gradscope.record import Field, Record, Status, to_json
from gradscope.store import Condition, Page, Store

__all__ = ["cli", "main"]

GROUP = "gradscope.commands"
EXTRAS = {"demo": "all", "sweep": "sweep", "dashboard": "dashboard"}  # what a command needs beyond the package
LINES = {
    "sweep": "Run a study: a grid of networks, probed and stored.",
    "probe": "Measure a trained model from a file of its weights.",
    "export": "Write the runs of a store as CSV, Parquet or netCDF.",
    "report": "Write a store as one page that works offline.",
    "dashboard": "Look at a store in the browser.",
}  # in the list of commands, which loads none
ORDER = ("demo", "sweep", "probe", "runs", "show", "export", "report", "dashboard")
OWN = {
    "probe": "gradscope.trained:command",
    "export": "gradscope.export:command",
    "report": "gradscope.report:command",
}  # loaded when asked for
INTERRUPTED = 130
PIPE_CLOSED = 141  # as the shell says it of every program
SILENT = 60  # seconds without a heartbeat after which a running run is no longer believed
LIMIT = 1000  # rows of a table
SIDE_BY_SIDE = 3  # iterations of one run
SHORT = 8  # letters of a run's id in a table, more where it takes more to tell them apart
COLOURS = {"vanishing": "blue", "stable": "green", "exploding": "red", "undetermined": "yellow", "diverged": "magenta"}
STATES = {"failed": "red", "running": "cyan", "interrupted": "yellow"}
HEADLINES = ("verdict", "decay_rate", "half_life", "horizon", "accuracy_after")
SUMMARY = {
    "decay_rate": "decay rate",
    "half_life": "half-life",
    "horizon": "horizon",
    "horizon_best": "horizon, best direction",
    "zero_share": "sequences exactly zero",
    "bad_share": "sequences with NaN or inf",
    "lyapunov_1": "largest Lyapunov exponent",
    "kaplan_yorke_dimension": "Kaplan-Yorke dimension",
    "entropy": "entropy of the dynamics",
}
UNUSUAL = {
    Status.ZERO: "exactly zero",
    Status.UNDERFLOW: "below the float range",
    Status.MASKED: "masked",
    Status.NAN: "NaN",
    Status.INF: "inf",
    Status.NOT_APPLICABLE: "not applicable",
    Status.NOT_COMPUTED: "not computed",
}
PLURALS = {"1": "", "step": "steps"}
PIPE = 1000  # columns of what is not a terminal: nothing is folded or cut there
GAP, STATUS, TEXT = 3, 8, 24  # columns between two columns, of a status, of text before it may fold


# The group ---------------------------------------------------------------------------------------------------------


class Refusal(click.ClickException):
    """A mistake of the user's: one line with its remedy, exit code 2."""

    exit_code = 2


class Commands(click.Group):
    """The commands of this file and those that other packages bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every name in the order in which they are used."""
        names = {*self.commands, *LINES, *_brought()}
        return [name for name in ORDER if name in names] + sorted(names.difference(ORDER))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command, loaded now if another package brings it."""
        return super().get_command(ctx, name) or (_load(name) if name in {*LINES, *_brought()} else None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant, or suggest the one that may have been."""
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else "See `gradscope --help`."
            raise click.UsageError(f"`command` must be one of {', '.join(known)}, got {name!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading any."""
        lines = [(name, self._line(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(lines)

    def _line(self, name: str) -> str:
        """Return the line of a command in the list."""
        if name in self.commands:
            return self.commands[name].get_short_help_str(100)
        return LINES[name] if name in LINES else f"From the package {_brought()[name].module.split('.')[0]}."

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; mistakes, interrupts and closed pipes end it without a traceback."""
        with _ended_well():
            _check_folder()
            try:
                return super().invoke(ctx)
            except ModuleNotFoundError as error:
                raise _missing(ctx.invoked_subcommand or "", error) or error from error.__cause__


@contextmanager
def _ended_well() -> Iterator[None]:
    """Turn what ends a command early into a line and an exit code, and warnings into a line."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            yield
            sys.stdout.flush()
        except GradscopeError as error:
            raise Refusal(_lines(str(error))) from error
        except MemoryError as error:
            raise Refusal(
                f"What was asked for must fit into memory, and does not: {error}. "
                "Ask for less, e.g. shorter sequences or smaller batches."
            ) from error
        except PermissionError as error:
            where = "" if error.filename is None else f"{error.filename} "
            raise Refusal(
                f"{where}must be a path that you may use, and is not: {error.strerror}. "
                "Give one in a folder of your own."
            ) from error
        except (KeyboardInterrupt, click.Abort):
            click.echo("Interrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(PIPE_CLOSED) from None


def _check_folder() -> None:
    """Refuse to work in a folder that was removed under the shell, where no path leads anywhere."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ArgumentError(
            "The folder in which you are must exist, and has been removed. Change to another one with `cd`."
        ) from None


def _show_warning(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Print what a user can act on as one line, and nothing else."""
    if issubclass(category, UserWarning):
        click.echo(f"Warning: {message}", err=True)


def _brought() -> dict[str, importlib.metadata.EntryPoint]:
    """Return the commands of rooms that are loaded when asked for, and those that installed packages bring."""
    own = [importlib.metadata.EntryPoint(name, place, GROUP) for name, place in OWN.items()]
    return {entry.name: entry for entry in (*importlib.metadata.entry_points(group=GROUP), *own)}


def _load(name: str) -> click.Command:
    """Load a command that needs an extra.

    Raises
    ------
    ExtraError
        When gradscope was not installed, or not with what the command needs.
    """
    entry = _brought().get(name)
    if entry is None:
        raise ExtraError(f"`gradscope {name}` needs gradscope to be installed. Install it with `pip install -e .`.")
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        raise _missing(name, error) or error from error.__cause__


def _missing(name: str, error: ModuleNotFoundError) -> ExtraError | None:
    """Return the error for a command that lacks its extra, None for a fault in our own rooms."""
    package = str(error.name).split(".")[0]
    if name not in EXTRAS or package == "gradscope":
        return None
    return ExtraError(
        f"`gradscope {name}` needs {package}, which is not installed. "
        f"Install it with `pip install 'gradscope[{EXTRAS[name]}]'`."
    )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="gradscope", message="gradscope %(version)s")
def cli() -> None:
    """Show where gradients go in recurrent networks.

    Begin with `gradscope demo`: a real sweep in about a minute, then the dashboard.
    """


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    cli(prog_name="gradscope")


# Demo --------------------------------------------------------------------------------------------------------------


@cli.command()
@click.option("--store", type=click.Path(path_type=Path), default=Path("gradscope-demo.db"), show_default=True)
@click.option("--serve/--no-serve", default=True, help="Open the dashboard afterwards.")
@click.option("--port", type=click.IntRange(0, 65535), help="Where the dashboard listens.")
@click.option("--workers", type=click.IntRange(0), help="How many networks are measured at once.")
@click.pass_context
def demo(ctx: click.Context, store: Path, serve: bool, port: int | None, workers: int | None) -> None:
    """Run a real sweep in about a minute, then show it in the dashboard.

    Networks read handwritten digits at several lengths, forget biases and activations, before and after a short
    training. What an earlier call has finished is not run again.
    """
    dashboard = _command("dashboard") if serve else None  # before a minute of work, not after it
    options = [] if workers is None else ["--workers", str(workers)]
    code = _call(ctx, "sweep", _command("sweep"), ["quickstart", "--store", str(store), *options])
    if code not in (0, 1):
        ctx.exit(code)
    if dashboard is not None:
        options = [] if port is None else ["--port", str(port)]
        code = _call(ctx, "dashboard", dashboard, [str(store), *options]) or code
    ctx.exit(code)


def _command(name: str) -> click.Command:
    """Return a command that another room brings."""
    try:
        return _load(name)
    except ExtraError as error:
        raise ExtraError(
            "`gradscope demo` needs all that sweeps and the dashboard need. "
            "Install it with `pip install 'gradscope[all]'`."
        ) from error


def _call(ctx: click.Context, name: str, command: click.Command, arguments: list[str]) -> int:
    """Run a command as if it had been typed, and return its exit code."""
    try:
        with command.make_context(name, arguments, parent=ctx.parent) as inner:
            result = command.invoke(inner)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return result if isinstance(result, int) else 0


# Runs --------------------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--where", multiple=True, metavar="CONDITION", help="E.g. cell=LSTM, 'length>=100'. May be repeated.")
@click.option("--sweep", metavar="NAME", help="Only runs of this sweep.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True, help="Rows of the table.")
@click.option("--json", "form", flag_value="json", help="Every number of every iteration, as strict JSON.")
@click.option("--csv", "form", flag_value="csv", help="The same as CSV.")
def runs(store: Path, where: tuple[str, ...], sweep: str | None, limit: int, form: str | None) -> None:
    """List the runs of a STORE.

    Conditions compare a parameter or a metric with a value by = != < <= > >=, and must all hold. After = and != several
    values may stand between commas. none, true, nan and numbers are values, and text that spells the same; in quotes
    they are text alone: 'clip="none"'. The table shows the last iteration of each run; --json and --csv give all.
    """
    with Store(store) as opened:
        if form is None:
            _print_runs(opened, opened.page(_sweep(sweep), where, limit=limit), where)
        elif form == "json":
            _write_json(opened.table(_sweep(sweep), where), sys.stdout)
        else:
            _write_csv(opened.table(_sweep(sweep), where), sys.stdout)


def _sweep(sweep: str | None) -> str | int | None:
    """Return the name of a sweep, or its id where a number was given."""
    return int(sweep) if sweep is not None and sweep.isdecimal() else sweep


def _write_json(rows: list[dict], file: TextIO) -> None:
    """Write rows as one strict JSON list, a row a line: NaN as {"float": "nan"}, infinities likewise."""
    for number, row in enumerate(rows):
        file.write(f"{',' if number else '['}\n{to_json(row)}")
    file.write("\n]\n" if rows else "[]\n")


def _write_csv(rows: list[dict], file: TextIO) -> None:
    """Write rows as CSV: NaN as nan, infinities as inf, what is missing as nothing."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows[0] if rows else ())
    writer.writerows(row.values() for row in rows)


def _print_runs(store: Store, page: Page, where: Sequence[str]) -> None:
    """Print the table of runs, what they have in common above it."""
    console, rows = _console(), page.rows
    if not rows:
        console.print(_nothing(store, where))
        return
    parameters = _values([{name: row[name] for name in page.parameters} for row in rows])
    varying = [key for key, values in parameters.items() if len(values) > 1]
    states = collections.Counter(map(_state, rows)) if page.count == len(rows) else page.statuses
    counts = ", ".join(f"{number:,} {state}" for state, number in states.items())
    console.print(Text(f"{_safe(store.path.name)}: {_count(page.count, 'run')}, {counts}.", "bold"))
    if page.count > len(rows):
        console.print(
            Text(f"These are the first {len(rows):,}. Give --limit {page.count} for all, or --where.", "yellow")
        )
    if len(rows) > 1:
        common = {key: values[0] for key, values in parameters.items() if len(values) == 1 and values[0] is not None}
        told = ", ".join(f"{_words(key)} {_number(value)}" for key, value in common.items())
        console.print(Text(f"The same in all: {told}." if told else "", "dim"))
    shown = _shown(rows, {key: parameters[key] for key in (varying if len(rows) > 1 else parameters)})
    length = _short(store.ids())
    fitting = _fitting(rows, length, shown, console.width)
    with console.capture() as table:
        console.print(_runs_table(rows, length, fitting, console.width))
    click.echo("\n".join(line.rstrip() for line in table.get().splitlines()), color=True)
    if missing := [_words(name) for name in shown if name not in fitting]:
        console.print(Text(f"Too wide for this window: {', '.join(missing)}. Widen it, or use --csv.", "dim"))


def _values(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the values that each parameter takes."""
    values: dict[str, dict[str, Any]] = {}
    for config in configs:
        for key, value in config.items():
            values.setdefault(key, {})[to_json(value)] = value
    return {key: list(taken.values()) for key, taken in values.items()}


def _shown(rows: Sequence[Mapping[str, Any]], parameters: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the columns in order: what tells runs apart, numbers, what is the same wherever given, what is long."""
    long = {key for key in parameters if max(len(_cell(key, row[key])) for row in rows) > TEXT}
    later = {key for key, values in parameters.items() if len(values) == 2 and None in values}
    return [
        *(key for key in parameters if key not in long | later),
        *(name for name in HEADLINES if name in rows[0]),
        *(key for key in parameters if key in later - long),
        *(key for key in parameters if key in long),
    ]


def _nothing(store: Store, where: Sequence[str]) -> Text:
    """Return why there is no run to list."""
    rows = store.table(iteration="last")
    if not rows:
        return Text(f"{_safe(store.path.name)} holds no run yet.")
    lines = [f"None of {_count(len(rows), 'run')} fulfils {_safe(' and '.join(where)) or 'this'}."]
    for key in dict.fromkeys(Condition.parse(text).key for text in where):
        values = sorted({_number(row[key]) for row in rows})
        some = ", ".join(values[:12]) + (", ..." if len(values) > 12 else "")
        lines.append(f"`{_safe(key)}` takes {some}.")
    return Text("\n".join(lines))


def _heading(name: str) -> str:
    """Return what stands above a column: its name and the unit of its numbers."""
    sign = {"fraction": "%", "1": ""}.get(unit(name), unit(name))
    return _words(name) + (f" [{sign}]" if sign else "")


def _numeric(rows: Iterable[Mapping[str, Any]], name: str) -> bool:
    """Return whether a column holds numbers alone."""
    return all(row[name] is None or isinstance(row[name], (int, float)) for row in rows)


def _narrowest(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    """Return how narrow a column may be before a word of its heading or a number breaks; long text may."""
    cells = max(len(_cell(name, row[name])) for row in rows)
    return max(cells if _numeric(rows, name) else min(cells, TEXT), *map(len, _heading(name).split()))


def _finished(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether every run is done, so that its status need not be told."""
    return all(row["status"] == "done" for row in rows)


def _fitting(rows: Sequence[Mapping[str, Any]], length: int, shown: Sequence[str], width: int) -> list[str]:
    """Return the columns that a window has room for, in order; verdict and decay rate are the last to go."""
    left = width - length - (0 if _finished(rows) else GAP + STATUS)
    chosen = set()
    for name in sorted(shown, key=lambda name: name not in HEADLINES[:2]):
        needed = GAP + _narrowest(rows, name)
        if needed <= left:
            chosen.add(name)
            left -= needed
    return [name for name in shown if name in chosen]


def _runs_table(rows: list[dict], length: int, shown: Sequence[str], width: int) -> Table:
    """Return the table of runs: the columns that tell them apart, then the numbers that stand for them."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    finished = _finished(rows)
    states = [] if finished else [_state(row) for row in rows]
    sizes = {name: max(len(_heading(name)), *(len(_cell(name, row[name])) for row in rows)) for name in shown}
    asked = length + sum(GAP + size for size in [*([max(map(len, states))] if states else []), *sizes.values()])
    tight = asked > width
    table.add_column("run", style="cyan", no_wrap=True)
    if not finished:
        table.add_column("status", overflow="fold", width=STATUS if tight else None)
    for name in shown:
        justify: Literal["left", "right"] = "right" if _numeric(rows, name) else "left"
        least = _narrowest(rows, name) if tight else None
        table.add_column(_heading(name), justify=justify, overflow="fold", width=least)
    for row in rows:
        state = [] if finished else [Text(_state(row), STATES.get(row["status"], ""))]
        cells = [
            Text(_cell(name, row[name]), COLOURS.get(row[name], "") if name == "verdict" else "") for name in shown
        ]
        table.add_row(_safe(row["run"][:length]), *state, *cells)
    return table


def _cell(name: str, value: Any) -> str:
    """Return a number in the unit of its column."""
    share = unit(name) == "fraction" and isinstance(value, (int, float))
    return _number(100 * value if share else value)


def _short(ids: Iterable[str]) -> int:
    """Return how many letters tell the runs of a store apart."""
    ids = list(ids)
    return next(length for length in itertools.count(SHORT) if len({one[:length] for one in ids}) == len(ids))


def _state(row: Mapping[str, Any]) -> str:
    """Return the status of a run; one that runs and has gone silent says so."""
    silence = time.time() - (row["heartbeat"] or 0)
    if row["status"] != "running" or silence < SILENT:
        return row["status"]
    return "running, no sign of life for over a minute"


# Show --------------------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("run")
def show(store: Path, run: str) -> None:
    """Tell what was found out about one RUN of a STORE.

    The beginning of the run's id is enough. Numbers before and after training stand side by side, each probe with
    the sentence that says what to conclude from it. Of a training that was probed more often, the first and the last
    iteration are shown.
    """
    with Store(store) as opened:
        entry = opened.run(run)
        probed = opened.iterations(entry["id"])
        shown = probed if len(probed) <= SIDE_BY_SIDE else [probed[0], probed[-1]]
        records = {number: opened.record(entry["id"], number) for number in shown}
        metrics = opened.metrics(entry["id"])
    console = _console()
    _print_head(console, entry, metrics)
    if not records:
        again = "It has no numbers. Give the command of its sweep again to repeat it."
        console.print("It has no numbers yet." if _state(entry) == "running" else again)
        return
    titles = [_moment(entry["config"], number, several=len(records) > 1) for number in records]
    console.print(_summary_table(list(records.values()), titles, _paired(metrics, list(records))))
    _print_probes(console, list(records.values()), titles)
    if len(shown) < len(probed):
        every = f"It was probed at {len(probed)} iterations, {probed[0]} to {probed[-1]}."
        console.print(f"{every} The Training page of gradscope dashboard shows them all.", style="dim")


def _moment(config: Mapping[str, Any], iteration: int, several: bool) -> str:
    """Return when a record was taken; a run of one record may be of a network that was trained elsewhere, or never."""
    if iteration:
        return f"after {_count(iteration, 'iteration')}"
    if "weights" in config:
        return "as the file holds it"
    if several or config.get("iterations"):
        return "before training"
    return "untrained" if "iterations" in config else "as probed"


def _print_head(console: Console, run: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Print what the run is and how it went."""
    took = f" in {_number(run['seconds'])} s" if run["seconds"] is not None else ""
    tries = f", attempt {run['attempts']}" if run["attempts"] > 1 else ""
    console.print(Text.assemble("Run ", (_safe(run["id"]), "cyan"), f": {_state(run)}{took}{tries}."))
    console.print(Text(", ".join(f"{_words(key)} {_number(value)}" for key, value in run["config"].items()), "dim"))
    if run["error"]:
        console.print(Text(_lines(run["error"]), "red"))
    single = [name for name in metrics if not name.endswith(("_before", "_after"))]
    if single:
        console.print(Text(", ".join(f"{_words(name)} {_with_unit(name, metrics[name])}" for name in single), "dim"))


def _paired(metrics: Mapping[str, Any], iterations: Sequence[int]) -> dict[str, list[Any]]:
    """Return the metrics of whole runs that were taken before and after training, one value for each iteration."""
    names = dict.fromkeys(name.rsplit("_", 1)[0] for name in metrics if name.endswith(("_before", "_after")))
    return {name: [metrics.get(f"{name}_{'after' if number else 'before'}") for number in iterations] for name in names}


def _summary_table(records: Sequence[Record], titles: Sequence[str], paired: Mapping[str, Sequence[Any]]) -> Table:
    """Return the numbers that stand for the run, before and after training side by side."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in ("", *titles):
        table.add_column(title, overflow="fold")
    summaries = [record.summary for record in records]
    verdicts = [
        Text(_safe(str(summary.get("verdict_text", "-"))), COLOURS.get(str(summary.get("verdict")), ""))
        for summary in summaries
    ]
    table.add_row("verdict", *verdicts)
    for name, heading in SUMMARY.items():
        if any(name in summary for summary in summaries):
            table.add_row(heading, *(_with_interval(summary, name) for summary in summaries))
    if any(summary.get("first_bad_step") for summary in summaries):
        table.add_row("first bad step", *(_bad_step(summary.get("first_bad_step")) for summary in summaries))
    for name, values in paired.items():
        table.add_row(_words(name), *(_with_unit(name, value) for value in values))
    return table


def _with_interval(summary: Mapping[str, Any], name: str) -> str:
    """Return a number with its unit and its 95 % interval."""
    text = _with_unit(name, summary.get(name))
    ends = summary.get(f"{name}_interval")
    if name == "horizon" and summary.get("horizon_censored"):
        text += f" (a lower bound in {_with_unit('horizon_censored', summary['horizon_censored'])} of the sequences)"
    return f"{text} ({_number(ends[0])} to {_number(ends[1])})" if ends else text


def _bad_step(bad: Mapping[str, Any] | None) -> str:
    """Return where the first number went bad."""
    if not bad:
        return "none"
    return f"`{_safe(str(bad.get('array')))}`, {bad.get('pass')}, t={bad.get('t')}, sequence {bad.get('sequence')}"


def _print_probes(console: Console, records: Sequence[Record], titles: Sequence[str]) -> None:
    """Print what each probe found and the sentences that say what to conclude, by the reader's question."""
    probes = [probe for name, probe in CATALOGUE.items() if any(name in record for record in records)]
    found = {
        probe.name: [_reading(record.field(probe.name)) if probe.name in record else "-" for record in records]
        for probe in probes
    }
    lines = [line for texts in found.values() for text in texts for line in text.splitlines()]
    widths = (
        [max(len(probe.title) for probe in probes), *[max(map(len, [*titles, *lines]))] * len(titles)] if probes else []
    )
    for question, asked in itertools.groupby(probes, lambda probe: probe.question):
        console.print()
        console.print(_columns(widths, [question, *titles], "bold cyan"))
        for probe in asked:
            console.print(_columns(widths, [probe.title, *found[probe.name]], "bold"))
            console.print(Padding(Text(probe.caption, "dim"), (0, 0, 0, 2), expand=False))


def _columns(widths: Sequence[int], texts: Sequence[str], style: str) -> Table:
    """Return texts side by side, at the same places for every probe."""
    grid = Table.grid(padding=(0, 2))
    for width in widths:
        grid.add_column(width=width, overflow="fold")
    grid.add_row(Text(texts[0], style), *texts[1:])
    return grid


def _reading(field: Field) -> str:
    """Return an array as medians, a line for each label of its first labelled axis, and what is out of the ordinary.

    Where there is a time or a rank, its first entry is read; of the lags the largest; of complex numbers the modulus.
    """
    axes, statuses = list(field.axes), field.statuses()
    values = field.usable()
    values = np.abs(values) if np.iscomplexobj(values) else values
    end = ""
    places = {"time": (0, " at t=0"), "lag": (-1, " at the largest lag"), "rank": (0, ", the largest")}
    for axis, (place, said) in places.items():
        if axis in axes:
            values = values.take(place, axes.index(axis))
            axes.remove(axis)
            end += said
    labelled = [axis for axis in axes if any(isinstance(label, str) for label in field.coords.get(axis, ()))]
    values = np.moveaxis(values, [axes.index(axis) for axis in labelled], range(len(labelled)))
    lines: dict[str, list[str]] = {}
    for spot in np.ndindex(values.shape[: len(labelled)]):
        labels = [str(field.coords[axis][number]) for axis, number in zip(labelled, spot, strict=True)] or [""]
        usable = values[spot][~np.isnan(values[spot])]
        if usable.size:
            text = " ".join([_median(usable, field.unit), *labels[1:]])
            lines.setdefault(labels[0], []).append(text)
    counts = [(int((statuses == status).sum()), words) for status, words in UNUSUAL.items()]
    notes = [f"{number:,} of {statuses.size:,} {words}" for number, words in counts if number]
    found = [_safe(f"{label} {', '.join(texts)}{end}".strip()) for label, texts in lines.items()]
    return "\n".join([*found, *notes])


def _median(values: np.ndarray, unit: str) -> str:
    """Return the median of some values with its unit."""
    value = float(np.median(values))
    if unit == "log10":
        return "exactly 0" if value == -math.inf else f"10^{value:.3g}"
    return _in_unit(value, unit)


# Words -------------------------------------------------------------------------------------------------------------


def _console() -> Console:
    """Return the console: nothing is markup, and a pipe is as wide as its tables."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE
    return _Console(width=width, markup=False, highlight=False, emoji=False)


class _Console(Console):
    """A console that leaves a closed pipe to the group of commands."""

    def on_broken_pipe(self) -> None:
        """Say nothing and pass the error on."""
        raise


def _lines(text: str) -> str:
    """Return text of several lines, each of them safe."""
    return "\n".join(map(_safe, text.splitlines()))


def _safe(text: str) -> str:
    """Return text with what could steer a terminal written out."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _number(value: Any) -> str:
    """Return a value for reading: numbers to three digits, NaN and infinities by name, a dash for none."""
    if value is None:
        return "-"
    if isinstance(value, float) and not math.isnan(value):
        return f"{value:.3g}"
    return "NaN" if isinstance(value, float) else _safe(str(value))


def _in_unit(value: Any, unit: str) -> str:
    """Return a value with its unit: fractions in per cent, steps in the plural."""
    if not isinstance(value, (int, float)):
        return _number(value)
    if unit == "fraction":
        return f"{_number(100 * value)} %"
    return f"{_number(value)} {PLURALS.get(unit, unit)}".strip()


def _with_unit(name: str, value: Any) -> str:
    """Return a parameter or metric with its unit."""
    return _in_unit(value, unit(name))


def _words(name: str) -> str:
    """Return what a parameter or metric is called."""
    return _safe(words(name))


def _count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
