"""From an address to the page that stands, in a real browser: the overview of ten thousand runs, and one long run.

A visit is timed from the start of the navigation, or from the click on a link, until everything in sight is drawn. The
browser is one with a profile of its own, as a reader's is: it keeps the programs of pages that it has seen. Told apart
is the first visit, of a browser that has never seen the dashboard. Beside the wall time stand the processor times of
the browser's page and of the server, which tell more on a machine that does other things, too.
"""

from __future__ import annotations

import benchmarks  # noqa: F401  isort: skip  (first: one BLAS thread)

import itertools
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.scope import Spent
from gradscope.cells import LSTM
from gradscope.probes import probe
from gradscope.record import Record
from gradscope.store import Results, Store

__all__ = ["PAGES", "RUNS", "Asked", "Visits", "dashboard_table", "fill", "visits"]

RUNS = 10_000
AT_ONCE = 1000
VISITS = 5
WARM = 4  # visits after which a browser has kept what it keeps
GRID = {
    "cell": ("RNN", "LSTM", "GRU"),
    "activation": ("tanh", "softsign"),
    "length": (50, 100, 200, 500),
    "forget_bias": (0.0, 1.0, 2.0),
    "gain": (0.5, 0.8, 1.0, 1.2, 1.5),
}
LONG = {"hidden_size": 128, "length": 1000, "batch_size": 16}
DRAWN = """() => {
    if (location.pathname.startsWith("/run/") !== Boolean(document.querySelector("#run-groups"))) {
        return false; // the page before is still there
    }
    const seen = [...document.querySelectorAll(".plot")].filter((one) => one.getBoundingClientRect().top < innerHeight);
    const grid = document.querySelector("#runs");
    return seen.length > 1 && seen.every((one) => one.querySelector(".main-svg .nsewdrag"))
        && (location.pathname !== "/" || grid && grid.querySelector(".ag-row .verdict")) && performance.now();
}"""

FOLLOW = """(path) => {
    const begun = performance.now();
    document.querySelector(`#content a[href^="${path}"]`).click();
    return begun;
}"""


@dataclass(frozen=True)
class Asked:
    """A page to time.

    Attributes
    ----------
    name, size : str
        What it is, and over how much.
    fill : callable
        Writes the store at a path.
    path : str
        The address of the page in the dashboard.
    reach : float
        Milliseconds that a visit may take.
    way : str
        The page whose link is followed; ``""`` where the address is typed.
    """

    name: str
    size: str
    fill: Callable[[Path], None]
    path: str
    reach: float
    way: str = ""


@dataclass(frozen=True)
class Visits:
    """What visits of a page took, in milliseconds: wall time, processor time of the page and of the server.

    The first of ``wall`` is that of a browser that knows nothing yet.
    """

    page: Asked
    wall: np.ndarray
    browser: np.ndarray
    server: np.ndarray


def fill(path: Path, runs: int = RUNS) -> None:
    """Write a store of many runs: a grid with its seeds, some of them failed, interrupted or diverged."""
    rng = np.random.default_rng(0)
    settings = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    results = [_results(setting, rng, trained) for setting in settings for trained in (False, True)]
    with Store(path, "w") as store:
        sweep, owner = store.add_sweep("grid", {}), store.add_owner()
        configs = {
            f"{number:08x}": settings[number % len(settings)] | _rest(number // len(settings)) for number in range(runs)
        }
        names = list(configs)
        for start in range(0, runs, AT_ONCE):
            some = names[start : start + AT_ONCE]
            store.claim(sweep, {name: configs[name] for name in some}, owner)
            done = {name: results[rng.integers(len(results))] for name in some if int(name, 16) % 50}
            store.finish_runs(done, owner)
        for name in names[:runs:100]:
            store.fail_run(name, "FloatingPointError: overflow")
        store.interrupt(owner)


def _rest(seed: int) -> dict[str, Any]:
    """Return the parameters of a run that do not make the grid."""
    return {"hidden_size": 64, "task": "digits_delayed", "seed": seed, "iterations": 500, "dtype": "float64"}


def _results(setting: dict[str, Any], rng: np.random.Generator, trained: bool) -> Results:
    """Return what a run might have measured."""

    def record(scale: float) -> Record:
        rate = float(scale * (0.05 * (1.2 - setting["gain"]) + 0.01 * rng.standard_normal()))
        verdict = "vanishing" if rate > 0.01 else "exploding" if rate < -0.01 else "stable"
        text = f"{verdict}: e^{-rate * setting['length']:.1f} over {setting['length']} steps"
        summary = {"verdict": verdict, "verdict_text": text, "decay_rate": rate}
        summary |= {"decay_rate_interval": (rate - 0.003, rate + 0.003), "horizon": int(rng.integers(1, 50))}
        return Record({}, summary | {"half_life": float("inf") if rate <= 0 else 0.693 / rate})

    records = {0: record(1.0), 500: record(0.3)} if trained else {0: record(1.0)}
    return Results(records, {"accuracy_before": 0.1, "accuracy_after": float(rng.random())}, seconds=1.0)


def fill_long(path: Path) -> None:
    """Write a store of one run: an LSTM of 128 units over 1,000 steps, every probe that a sweep takes unasked."""
    cell = LSTM(1, LONG["hidden_size"])
    rng = np.random.default_rng(0)
    record = probe(cell, cell.init(rng), rng.standard_normal((LONG["length"], LONG["batch_size"], 1)))
    with Store(path, "w") as store:
        store.start_run("long", store.add_sweep("long", {}), {"cell": "LSTM", "iterations": 0} | LONG)
        store.finish_run("long", {0: record})


PAGES: list[Asked] = [
    Asked("overview", f"{RUNS:,} runs", fill, "/", 2000.0),
    Asked("run", "T=1000, H=128", fill_long, "/run/long", 1000.0),
    Asked("run, from the overview", "T=1000, H=128", fill_long, "/run/long", 1000.0, way="/"),
]


@contextmanager
def served(store: Path) -> Iterator[tuple[str, Spent]]:
    """Serve the dashboard over a store; give its address, and what its answers take."""
    from werkzeug.serving import make_server

    from gradscope.dashboards.app import create_app

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    spent = Spent(create_app(store).server)
    server = make_server("127.0.0.1", 0, spent, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}", spent
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def visits(count: int = VISITS, pages: list[Asked] | None = None) -> Iterator[Visits]:
    """Visit each page so many times, after the first ones, of which the very first is told."""
    from playwright.sync_api import sync_playwright

    for asked in PAGES if pages is None else pages:
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
            store = Path(folder) / "runs.db"
            asked.fill(store)
            with served(store) as (address, spent):
                browser = play.chromium.launch_persistent_context(
                    Path(folder) / "profile",
                    executable_path=shutil.which("chromium"),
                    viewport={"width": 1280, "height": 900},
                )
                page = browser.pages[0]
                session = browser.new_cdp_session(page)
                session.send("Performance.enable", {"timeDomain": "threadTicks"})
                rows = [_visit(page, session, spent, address, asked) for _ in range(count + WARM)]
                browser.close()
        del rows[1:WARM]
        yield Visits(asked, *np.array(rows).T)


def _visit(page: Any, session: Any, spent: Spent, address: str, asked: Asked) -> tuple[float, float, float]:
    """Return the milliseconds of one visit."""
    page.goto("about:blank")
    before, server, begun = 0.0, spent.seconds, 0.0
    page.goto(address + (asked.way or asked.path), wait_until="commit")
    if asked.way:
        _drawn(page)
        before, server = _processor(session), spent.seconds
        begun = page.evaluate(FOLLOW, asked.path)
    return _drawn(page) - begun, _processor(session) - before, 1e3 * (spent.seconds - server)


def _drawn(page: Any) -> float:
    """Wait until everything in sight is drawn, and return when that was, in milliseconds since the page began."""
    return page.wait_for_function(DRAWN, timeout=300_000, polling=20).json_value()


def _processor(session: Any) -> float:
    """Return the milliseconds of processor time that a page has taken."""
    return 1e3 * next(
        one["value"] for one in session.send("Performance.getMetrics")["metrics"] if one["name"] == "TaskDuration"
    )


def dashboard_table(found: list[Visits]) -> Table:
    """Return the table of the pages."""
    heads = ("page", "size", "visits", "wall, ms", "longest", "reach", "first visit", "page, ms CPU", "server, ms CPU")
    table = Table(*heads, title=f"The dashboard, from the address to all figures; load {os.getloadavg()[0]:.1f}")
    for column in table.columns[2:]:
        column.justify = "right"
    for one in found:
        again = one.wall[1:]
        colour = "green" if np.median(again) <= one.page.reach else "red"
        browser, server = np.median(one.browser[1:]), np.median(one.server[1:])
        table.add_row(
            one.page.name,
            one.page.size,
            str(len(again)),
            f"[{colour}]{np.median(again):.0f}[/]",
            f"{again.max():.0f}",
            f"<= {one.page.reach:.0f}",
            *(f"{value:.0f}" for value in (one.wall[0], browser, server)),
        )
    return table
