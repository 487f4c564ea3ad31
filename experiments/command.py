"""The command ``gradscope sweep``: runs a study and says how it goes."""

from __future__ import annotations

import collections
import math
import multiprocessing
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gradscope.store import Store

from .clusters import reach
from .engines import check
from .retention import sizes
from .runner import Tally, run_study
from .spec import KEPT, Study, read_study
from .studies import load_study, reading, study_names

__all__ = ["sweep"]

EVERY = 5.0  # seconds between two lines of progress where there is no terminal
FAILED, INTERRUPTED = 1, 130


@click.command()
@click.argument("study", metavar="STUDY|FILE.toml")
@click.option("--store", type=click.Path(path_type=Path), help="File that the results are written to.")
@click.option("--workers", type=int, help="Processes on this machine, 0 for none.  [default: one a core]")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler to use instead, e.g. tcp://10.0.0.1:8786.")
@click.option("--memory", metavar="SIZE", help="What each process may use, e.g. 2GB.  [default: its share]")
@click.option("--dry-run", is_flag=True, help="Say what would be run, and run nothing.")
def sweep(
    study: str, store: Path | None, workers: int | None, scheduler: str | None, memory: str | None, dry_run: bool
) -> None:
    """Run a study, and write it to a store.

    STUDY is one that comes with gradscope (quickstart, sequence_length, forget_bias, activation and those listed in
    docs/studies.md), FILE.toml one of your own (docs/sweeps.md has its keys). Runs that the store holds already are
    skipped, so the same command goes on where it was interrupted.
    """
    wanted = find_study(study)
    if dry_run:
        describe(wanted, store)
        return
    if store is None:
        raise click.UsageError("Missing option '--store'. Give the file to write, e.g. --store results.db.")
    options = {"--store": store, "--workers": workers, "--scheduler": scheduler, "--memory": memory}
    given = [str(part) for name, value in options.items() if value is not None for part in (name, value)]
    check(workers, scheduler, memory)
    if scheduler is not None:
        reach(scheduler)  # before a file is made
    crew = {"workers": workers, "scheduler": scheduler, "memory": memory}
    run(wanted, store, crew, again=shlex.join(["gradscope", "sweep", study, *given]))


def find_study(name: str) -> Study:
    """Return the study of a file, where the name looks like one, or the one that comes with gradscope."""
    if name not in study_names() and (name.endswith(".toml") or os.sep in name or Path(name).is_file()):
        return read_study(name)
    return load_study(name)


def describe(study: Study, path: Path | None) -> None:
    """Print the grids of a study, how many runs they have and how large they will be."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for grid in study.sweeps:
        console.print(f"{grid.name}: {_count(len(grid.runs()), 'run')}", style="bold")
        for key, values in grid.describe().items():
            if key != "name":
                shown = ", ".join(map(str, values)) if isinstance(values, list) else str(values)
                console.print(f"  {key:14} {shown}")
    wanted = study.runs()
    line = f"{_count(len(wanted), 'run')} in all."
    if path is not None and path.exists():
        with Store(path) as store:
            line += f" {len(store.finished(wanted))} of them are in {path} already."
    console.print(line)
    chosen = collections.Counter(entry.keep for entry in wanted.values())
    size: collections.Counter[str] = collections.Counter()
    for entry in wanted.values():
        size.update(sizes(entry))
    console.print("They take about, by what is kept:")
    for keep, words in KEPT.items():
        each = f"{_bytes(size[keep])}, {_bytes(size[keep] / len(wanted))} a run"
        mark = ", as asked for" if chosen[keep] == len(wanted) else ""
        console.print(f'  keep = "{keep}"'.ljust(22) + f" {each}{mark}: {words}")


def run(study: Study, path: Path, crew: dict[str, Any], again: str) -> None:
    """Run a study with a display of its progress; leave with exit code 1 or 130 where it did not all go well."""
    last = Tally()

    def show(tally: Tally) -> None:
        nonlocal last
        last = tally
        display(tally)

    console = Console(highlight=False, markup=False, soft_wrap=True)

    def tell() -> None:
        console.show_cursor(True)
        console.print(f"Interrupted. {summary(last)} What is finished is kept; go on with")
        console.print(f"  {again}")

    with interruptible(tell), Store(path, "w") as store:
        with progress_display(console, study.name) as display:
            run_study(study, store, **crew, progress=show)
        found = reading(study.name, store)
    console.print(summary(last))
    for line in () if found is None else found.lines:
        console.print(f"  {line}")
    for error, count in collections.Counter(last.errors.values()).most_common(3):
        console.print(f"  {_count(count, 'run')} failed: {error}")
    if last.failed:
        console.print("Failed runs are tried again by the same command.")
    console.print(f"Look at it: gradscope dashboard {shlex.quote(str(path))}")
    if last.failed:
        raise click.exceptions.Exit(FAILED)


@contextmanager
def interruptible(tell: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C and ``kill`` end a sweep promptly and in good order, and a second one at once.

    At once loses no more than ``kill -9`` would: the runs that are under way.
    """
    asked = False

    def interrupt(*_: Any) -> None:
        nonlocal asked
        if asked:
            leave(tell)
        asked = True
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(number, interrupt) for number in signals]
    except ValueError:  # not in the main thread, where no signal arrives
        yield
        return
    try:
        yield
    except KeyboardInterrupt:
        leave(tell)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def leave(tell: Callable[[], None]) -> NoReturn:
    """End this process and its workers, whatever threads are still at."""
    for process in multiprocessing.active_children():
        process.kill()
    with suppress(OSError):  # nobody reads any more
        tell()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(INTERRUPTED)


@contextmanager
def progress_display(console: Console, name: str) -> Iterator[Any]:
    """Yield a function that shows a tally: a bar in a terminal, a line now and then elsewhere."""
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(name, total=None, pace="")

        def show(tally: Tally) -> None:
            progress.update(bar, total=tally.total, completed=tally.total - tally.left, pace=pace(tally))

        yield show


class Lines:
    """Prints a line of progress every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console, self._printed = console, time.monotonic()

    def __call__(self, tally: Tally) -> None:
        """Print where the study is, unless that was done a moment ago."""
        if time.monotonic() - self._printed > EVERY:
            self._printed = time.monotonic()
            self._console.print(f"{tally.total - tally.left}/{tally.total} runs, {pace(tally)}")


def pace(tally: Tally) -> str:
    """Return rate, time left and the number of failed runs, in words."""
    if tally.ready is not None and not tally.workers:
        return "waiting for workers"
    if math.isnan(tally.rate):
        return f"{tally.elsewhere} carried out by another sweep" if tally.elsewhere else "starting"
    elsewhere = f", {tally.elsewhere} by another sweep" if tally.elsewhere else ""
    return f"{tally.rate:.1f} runs/s, {_duration(tally.seconds_left)} left, {tally.failed} failed{elsewhere}"


def summary(tally: Tally) -> str:
    """Return what became of the runs, in one line."""
    parts = [f"{tally.done} done" + (f" ({tally.diverged} diverged)" if tally.diverged else "")]
    parts += [f"{tally.skipped} there before"] if tally.skipped else []
    parts += [f"{tally.failed} failed"] if tally.failed else []
    parts += [f"{tally.left} to go"] if tally.left else []
    return f"{_count(tally.total, 'run')}: {', '.join(parts)}, in {_duration(tally.seconds)}."


def _count(number: int, noun: str) -> str:
    """Return a number and its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    """Return seconds in the unit that suits them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _bytes(size: float) -> str:
    """Return a size in the unit that suits it."""
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000 or unit == "GB":
            break
    return f"{size:.3g} {unit}"
