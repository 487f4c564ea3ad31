"""A store with one run for each case that must be told apart, a server over it, and a page that forgives nothing."""

from __future__ import annotations

import itertools
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from werkzeug.serving import BaseWSGIServer, make_server

from gradscope.dashboards.app import create_app
from gradscope.store import Store

sys.path.insert(0, str(Path(__file__).parents[1]))
import sample_records

ARGUMENTS = ["--disable-quic", "--no-first-run", "--disable-sync"]
MARKUP = "<img src=x onerror=window.hurt=1>"
CASES = ("diverged", "underflow", "zero", "infinite")
SMALL = {"batch": 6, "hidden": 8}

PATIENCE = 90_000  # milliseconds that a page may take on a machine that is busy with other tests
expect.set_options(timeout=PATIENCE)
logging.getLogger("werkzeug").setLevel(logging.ERROR)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")
            # The server leaves a file open where the browser ends a request in the middle; Python tells of it later.
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Keep the browser from calling home."""
    return {**browser_type_launch_args, "args": [*browser_type_launch_args["args"], *ARGUMENTS]}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """Look at the pages on a small laptop."""
    return {**browser_context_args, "viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}


def configuration(cell: str, length: int, bias: float | None, **more: Any) -> dict[str, Any]:
    """Return the flat configuration of a run."""
    config = {
        "cell": cell,
        "hidden_size": 8,
        "activation": "tanh",
        "forget_bias": bias,
        "gain": 1.0,
        "task": "digits_delayed",
        "length": length,
        "seed": 0,
        "iterations": 60,
        "dtype": "float64",
    }
    return config | more


def add_run(store: Store, sweep: int, run: str, cell: str, length: int, bias: float | None, seed: int) -> None:
    """Write one run, probed before training and after 60 iterations."""
    store.start_run(run, sweep, configuration(cell, length, bias))
    rate = 0.2 - 0.08 * (bias or 0)
    options: dict[str, Any] = {"cell": cell, "length": length, "keep_bias": bias or 0.0, **SMALL}
    records = {
        0: sample_records.sample(rate=rate, seed=seed, **options),
        60: sample_records.sample(rate=rate / 8, seed=seed + 50, **options),
    }
    store.finish_run(run, records, {"accuracy_before": 0.1, "accuracy_after": 0.9}, 1.5)


def fill(path: Path) -> None:
    """Write a store: a small grid, one run for each peculiar record, one failed and one running."""
    with Store(path, "w") as store:
        sweep = store.add_sweep("quickstart", {"lengths": [20, 40]})
        grid = [*itertools.product(("LSTM", "GRU"), (20, 40), (0.0, 2.0)), ("RNN", 20, None), ("RNN", 40, None)]
        for number, (cell, length, bias) in enumerate(grid):
            add_run(store, sweep, f"{cell.lower()}-{length}-{bias}", cell, length, bias, number)
        for name in CASES:
            record = sample_records.CASES[name]()
            told = record.config["cell"]
            config = configuration(told["cell"], record.config["length"], told["forget_bias"], iterations=0)
            store.start_run(name, sweep, config | {"activation": told["activation"], "hidden_size": 32})
            store.finish_run(name, {0: record}, {}, 0.5)
        store.start_run("failed", sweep, configuration("RNN", 20, None, iterations=0, activation=MARKUP))
        store.fail_run("failed", f"MemoryError: {MARKUP}", 0.1)
        store.start_run("running", sweep, configuration("RNN", 40, None, iterations=0, seed=1))


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a store that no test changes."""
    path = tmp_path_factory.mktemp("store") / "results.db"
    fill(path)
    return path


@dataclass
class Site:
    """A dashboard that is served on a free port of this machine."""

    server: BaseWSGIServer
    address: str
    store: Path


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., Site]]:
    """Return a function that serves a store; everything is shut down at the end."""
    running: list[tuple[BaseWSGIServer, threading.Thread]] = []

    def start(store: Path, port: int = 0) -> Site:
        server = make_server("127.0.0.1", port, create_app(store).server, threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        running.append((server, thread))
        return Site(server, f"http://127.0.0.1:{server.port}", store)

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def site(serve: Callable[..., Site], filled: Path) -> Site:
    """Return the dashboard over the store that no test changes."""
    return serve(filled)


@dataclass
class Visit:
    """A page of the dashboard, and everything that went wrong on it."""

    page: Page
    address: str
    runs: int = 10 + len(CASES) + 2
    markup: str = MARKUP
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Open a path and wait until every figure is drawn."""
        self.page.goto(self.address + path)
        return self.ready()

    def ready(self) -> Page:
        """Wait until the page stands and no figure is waited for."""
        expect(self.page.locator("#content .card:not(.standing)").first).to_be_attached()
        quiet, latest = 0, time.monotonic() + 90
        while quiet < 2 and time.monotonic() < latest:  # the page before may stand for a moment yet
            self.see()
            quiet = 0 if self.page.locator(".plot.is-waiting").count() else quiet + 1
            self.page.wait_for_timeout(150)
        expect(self.page.locator(".plot.is-waiting")).to_have_count(0)
        expect(self.page.locator(".plot.is-drawn:not(:has(.main-svg))")).to_have_count(0)
        expect(self.page.locator(".runs-grid:not(:has(.ag-root))")).to_have_count(0)
        expect(self.page.locator("[data-dash-is-loading=true]")).to_have_count(0)
        return self.page

    def see(self) -> None:
        """Scroll past every card, as figures are drawn when the reader comes near, and back to the top."""
        self.page.evaluate(
            """async () => {
                for (let tries = 0; tries < 1800; tries++) {
                    const waiting = [...document.querySelectorAll(".plot.is-waiting")];
                    if (!waiting.length) break;
                    waiting[tries % waiting.length].scrollIntoView({ block: "center" });
                    await new Promise((done) => setTimeout(done, 50));
                }
                window.scrollTo(0, 0);
            }"""
        )

    def zoom(self, card: str) -> list[float]:
        """Drag a box over the middle of a card's figure, and return the range of its x axis."""
        area = self.page.locator(f"#content .card[aria-label='{card}'] .nsewdrag").first
        area.scroll_into_view_if_needed()
        box = area.bounding_box()
        assert box is not None
        self.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
        self.page.mouse.up()
        self.page.wait_for_timeout(500)
        return self.figures()[card]["range"]

    def figures(self) -> dict[str, dict[str, Any]]:
        """Return of each drawn figure, by its card's heading, the traces with their number of points, and the ink."""
        return self.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll(".plot.is-drawn .js-plotly-plot")].map((gd) => [
                gd.closest(".card").querySelector("h3").textContent,
                {
                    traces: gd._fullData.map((trace) => trace.type),
                    y: Array.from(gd._fullData.reduce(
                        (best, trace) => (trace.y || []).length > best.length ? trace.y : best, [])),
                    numbers: gd._fullData.flatMap((trace) => [trace.z, trace.y, trace.x].flatMap(
                        (values) => values ? [...values].flatMap((one) => one && one.length ? [...one] : [one]) : []
                    )).filter((value) => typeof value === "number" && isFinite(value)).length,
                    ink: gd._fullLayout.font.color,
                    legend: [...gd.querySelectorAll(".legendtext")].map((entry) => entry.textContent),
                    range: gd._fullLayout.xaxis ? [...gd._fullLayout.xaxis.range] : null,
                },
            ]))"""
        )


@pytest.fixture
def visit(page: Page, site: Site) -> Iterator[Visit]:
    """Return a visit that fails when the console has an error or a request leaves this machine."""
    visit = Visit(page, site.address)
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda message: message.type in ("error", "warning") and visit.errors.append(message.text))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))

    def watch(route: Any) -> None:
        url = route.request.url
        if url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            route.continue_()
        else:
            visit.foreign.append(url)
            route.abort()

    page.route("**/*", watch)
    yield visit
    assert visit.errors == [], json.dumps(visit.errors, indent=1)
    assert visit.foreign == []
