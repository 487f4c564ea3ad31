"""How fast a store of 100,000 runs opens and answers: ``python -m benchmarks.store [runs]``.

The runs are made up, with the parameters and the numbers of a real sweep; each question is the one that the command
line or a page asks. The least of three repeats is shown, on the clock and of the processor, which other programs on
the machine disturb less; the reach is for the latter. The opening is of a file that was just written.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from gradscope.record import Record
from gradscope.store import Results, Store

RUNS = 100_000
TOGETHER = 500
NUMBERS = 36  # of a summary with the standard probes


def fill(path: Path, count: int) -> None:
    """Write so many runs, untrained and trained in turn."""
    rng = np.random.default_rng(0)
    with Store(path, "w") as store:
        sweep, owner = store.add_sweep("made up", {}), store.add_owner()
        for start in range(0, count, TOGETHER):
            configs = {f"{number:012x}": config(number) for number in range(start, min(start + TOGETHER, count))}
            store.claim(sweep, configs, owner)
            results = {run: measured(rng, trained=number % 2) for number, run in enumerate(configs)}
            store.finish_runs(results, owner)


def config(number: int) -> dict:
    """Return the parameters of a run of a grid."""
    grid = {"cell": ("LSTM", "GRU", "RNN")[number % 3], "length": (10, 20, 50, 100, 200, 500)[number // 3 % 6]}
    fixed = {f"parameter_{n}": (1.0, "tanh", 32, None)[n % 4] for n in range(16)}
    return (
        grid | {"forget_bias": float(number // 18 % 7 - 3), "gain": 0.5 + number // 126 % 8 / 8, "seed": number} | fixed
    )


def measured(rng: np.random.Generator, trained: bool) -> Results:
    """Return made-up results."""
    numbers = rng.standard_normal((2, NUMBERS))
    records = {}
    for iteration, row in enumerate(numbers[: 1 + trained]):
        summary = {f"number_{n}": float(value) for n, value in enumerate(row)}
        verdict = ("vanishing", "stable", "exploding")[int(abs(row[0]) * 3) % 3]
        summary |= {
            "verdict": verdict,
            "decay_rate": float(row[0]),
            "decay_rate_interval": [row[0] - 0.1, row[0] + 0.1],
        }
        records[200 * iteration] = Record({}, summary, {})
    return Results(records, {"accuracy_after": float(abs(numbers[0, 0]))} if trained else {}, seconds=0.1)


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        started = time.perf_counter()
        with console.status("writing"):
            fill(path, count)
        rate = count / (time.perf_counter() - started)
        console.print(f"{count:,} runs, {path.stat().st_size / 1e6:,.0f} MB, written at {rate:,.0f} runs/s")
        table = Table("question", "ms", "CPU ms", "reach")
        with Store(path) as store:
            questions: list[tuple[str, Callable, str]] = [
                ("open", lambda: Store(path).close(), "< 1000"),
                ("a page of 100, as begun", lambda: store.page(), "< 200"),
                ("a page of 100 by decay rate", lambda: store.page("made up", order="-decay_rate"), "< 200"),
                (
                    "a page of 100 with two conditions",
                    lambda: store.page(where=["cell=LSTM", "decay_rate>0.5"]),
                    "< 200",
                ),
                (
                    "phase map: mean of each cell",
                    lambda: store.groups(["length", "forget_bias"], "decay_rate"),
                    "< 200",
                ),
                ("three columns of all runs", lambda: store.columns(["length", "verdict", "decay_rate"]), "< 200"),
                ("sweeps with their progress", store.sweeps, "< 200"),
                ("one run", lambda: store.run("0000000001f0"), "< 200"),
                ("every column of every run", lambda: store.table(iteration="last"), "-"),
            ]
            for name, ask, reach in questions:
                times = []
                for _ in range(3):
                    wall, work = time.perf_counter(), time.process_time()
                    ask()
                    times.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - work)))
                table.add_row(name, *(f"{min(kind):.1f}" for kind in zip(*times, strict=True)), reach)
    console.print(table)


if __name__ == "__main__":
    main()
