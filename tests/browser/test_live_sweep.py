"""The overview while a sweep writes the store, when the sweep is killed, and over ten thousand runs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from benchmarks.dashboard import fill
from gradscope.errors import StoreError
from gradscope.store import Store

PATIENCE = 120_000  # milliseconds
MANY = 10_000
SEEDS = 40
QUICK = f"""
hidden_size = 6
batch_size = 4
length = 16
seed = {list(range(SEEDS))}
cell = ["RNN", "GRU"]
"""
FIRST_RNN = """async () => {
    const found = [], api = await dash_ag_grid.getApiAsync("runs");
    api.forEachNode((node) => node.data && node.data.cell === "RNN" && found.push(node.data.run));
    return found[0];
}"""
SLOW = """
hidden_size = 48
batch_size = 16
length = 3000
probes = "full"
seed = [0, 1, 2, 3]
"""


LONG = f"""
hidden_size = 8
batch_size = 4
length = 30
probes = ["state_gradient", "transport"]
keep = "everything"
iterations = 100000
probe_schedule = "every:20"
seed = {list(range(30))}
"""


@contextmanager
def sweep(folder: Path, text: str, workers: int = 0) -> Iterator[subprocess.Popen]:
    """Carry out a sweep in a process of its own."""
    (folder / "grid.toml").write_text(text)
    call = ["sweep", "grid.toml", "--store", "results.db", "--workers", str(workers)]
    command = [sys.executable, "-m", "gradscope", *call]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def hold(store: Path, process: subprocess.Popen) -> None:
    """Stop a sweep for a while once both cells have runs, so that a page of any speed finds it at work."""
    while process.poll() is None:
        if store.exists():
            with contextlib.suppress(StoreError), Store(store) as read:
                if {run["config"]["cell"] for run in read.runs() if run["status"] == "done"} == {"RNN", "GRU"}:
                    break
        time.sleep(0.02)
    psutil.Process(process.pid).suspend()


def until(page: Page, script: str) -> Any:
    """Return what a script of promises gives, once it is something."""
    started = time.monotonic()
    while not (found := page.evaluate(script)) and time.monotonic() - started < PATIENCE / 1000:
        page.wait_for_timeout(100)
    return found


def loaded(page: Page) -> list[str]:
    """Return the ids of the rows that the table holds."""
    return page.evaluate(
        """async () => {
            const found = [], api = await dash_ag_grid.getApiAsync("runs");
            api.forEachNode((node) => node.data && found.push(node.data.run));
            return found;
        }"""
    )


def test_a_sweep_fills_the_page_that_watches_it_and_leaves_filter_and_selection_alone(visit, serve, tmp_path):
    visit.address = serve(tmp_path / "results.db").address
    page = visit.open("/?sort=seed")
    expect(page.get_by_role("heading", name="There is no store here")).to_be_visible()
    with sweep(tmp_path, QUICK) as process:
        hold(tmp_path / "results.db", process)
        expect(page.locator("#match")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#live")).to_contain_text("live")
        expect(page.locator("#runs .ag-row:has(.run-link)").first).to_be_visible(timeout=PATIENCE)
        chosen = until(page, FIRST_RNN)
        page.locator(f"#runs .ag-row[row-id='{chosen}'] .ag-selection-checkbox input").click(timeout=PATIENCE)
        page.locator("#aside .chip", has_text="RNN").locator("label").click(timeout=PATIENCE)
        expect(page.locator("#match")).to_have_text(re.compile(r" of "), timeout=PATIENCE)
        assert process.poll() is None
        psutil.Process(process.pid).resume()
        assert process.wait(timeout=PATIENCE / 1000) == 0
    expect(page.locator("#progress")).to_have_text(re.compile(rf"^{2 * SEEDS} done$"), timeout=PATIENCE)
    expect(page.locator("#match")).to_have_text(f"{SEEDS} of {2 * SEEDS} runs", timeout=PATIENCE)
    expect(page.locator("#live")).to_be_empty()
    assert until(page, "async () => (await dash_ag_grid.getApiAsync('runs')).getDisplayedRowCount() === 40")
    assert page.url.endswith("?cell=RNN&sort=seed")
    assert page.evaluate("async () => (await dash_ag_grid.getApiAsync('runs')).getSelectedRows().length") == 1
    selected = "async () => (await dash_ag_grid.getApiAsync('runs')).getSelectedRows()[0].run"
    assert page.evaluate(selected) == chosen
    visit.ready()
    with Store(tmp_path / "results.db") as store:
        assert loaded(page) == [row["run"] for row in store.page(where=["cell=RNN"], order="seed").rows]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_sweep_that_is_killed_is_told_and_the_page_goes_on(visit, serve, tmp_path):
    visit.address = serve(tmp_path / "results.db").address
    page = visit.open("/")
    with sweep(tmp_path, SLOW) as process:
        expect(page.locator("#live")).to_contain_text("live", timeout=PATIENCE)
        expect(page.locator("#runs .ag-row .verdict").first).to_be_visible(timeout=PATIENCE)
        process.send_signal(signal.SIGKILL)
        process.wait()
    expect(page.locator("#live")).to_have_text("interrupted", timeout=PATIENCE)
    expect(page.locator("#progress")).to_contain_text("interrupted")
    expect(page.locator("#progress")).not_to_contain_text("running")
    expect(page.locator("#runs .ag-row .verdict", has_text="interrupted").first).to_be_visible(timeout=PATIENCE)
    done, total, *others = (int(number) for number in re.findall(r"\d+", page.locator("#progress").inner_text()))
    with Store(tmp_path / "results.db") as store:
        assert done + sum(others) == len(store.runs())
        assert total == len(store.runs()) + store.waiting() == 4


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_training_of_a_real_sweep_is_watched_and_an_interrupt_leaves_what_it_has_shown(visit, serve, tmp_path):
    store = tmp_path / "results.db"
    visit.address = serve(store).address
    with sweep(tmp_path, LONG, workers=1) as process:
        while process.poll() is None and not (store.exists() and begun(store)):
            time.sleep(0.1)
        page = visit.open("/training")
        expect(page.locator("#progress")).to_contain_text("0 of 30 done")
        told, slider = page.locator("#training-told"), page.locator(".training-slider [role=slider]")
        expect(told).to_contain_text("in work", timeout=PATIENCE)
        page.locator("[data-figure=training-map].is-drawn").wait_for(timeout=PATIENCE)
        page.keyboard.press("Home")
        expect(page.locator("#training-now")).to_have_text("before training")
        seen = int(slider.get_attribute("aria-valuemax"))
        until(page, f"() => document.querySelector('.training-slider [role=slider]').ariaValueMax > {seen}")
        assert int(slider.get_attribute("aria-valuemax")) > seen
        expect(page.locator("#training-now")).to_have_text("before training")
        process.send_signal(signal.SIGINT)
        process.wait()
        expect(told).to_contain_text("interrupted", timeout=PATIENCE)
        expect(page.locator("#progress")).to_contain_text("0 of 30 done")
        expect(page.locator("[data-figure=training-map].is-drawn")).to_have_count(1)


def begun(store: Path) -> bool:
    """Return whether a training has been probed on its way."""
    with contextlib.suppress(StoreError), Store(store) as read:
        return bool(read.probed(2))
    return False


# Ten thousand runs ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of ten thousand runs."""
    path = tmp_path_factory.mktemp("many") / "results.db"
    fill(path, MANY)
    return path


def row(page: Page, index: int) -> str:
    """Scroll to a row, and return the run that stands there when it has come."""
    return page.evaluate(
        """async (index) => {
            const api = await dash_ag_grid.getApiAsync("runs");
            for (let tries = 0; tries < 1200; tries++) {
                const node = index < api.getDisplayedRowCount() && api.getDisplayedRowAtIndex(index);
                if (node && node.data) return node.data.run;
                if (node) api.ensureIndexVisible(index);
                await new Promise((again) => setTimeout(again, 50));
            }
            throw new Error("row " + index + " does not come");
        }""",
        index,
    )


def test_every_one_of_ten_thousand_rows_can_be_reached_in_the_right_order(visit, serve, many):
    visit.address = serve(many).address
    page = visit.open("/?sort=-decay_rate")
    expect(page.locator("#match")).to_have_text("10,000 runs")
    with Store(many) as store:
        order = [entry["run"] for entry in store.page(None, (), "first", "-decay_rate", MANY, names=["run"]).rows]
        assert len(order) == MANY
        assert [row(page, index) for index in (0, 99, 4_321, MANY - 1)] == [order[i] for i in (0, 99, 4_321, MANY - 1)]
        every = page.evaluate(
            """async (count) => {
                const found = [];
                for (let first = 0; first < count; first += 1000) {
                    const answer = await fetch(`/overview/rows?sort=-decay_rate&first=${first}&last=${first + 1000}`);
                    found.push(...(await answer.json()).rows.map((row) => row.run));
                }
                return found;
            }""",
            MANY,
        )
        assert every == order
        page.locator("#aside .chip", has_text="GRU").locator("label").click()
        kept = store.page(None, ["cell=GRU"], "first", "-decay_rate", MANY, names=["run"])
        expect(page.locator("#match")).to_have_text(f"{kept.count:,} of 10,000 runs")
        last = kept.count - 1
        shown = "(await dash_ag_grid.getApiAsync('runs')).getDisplayedRowCount()"
        assert until(page, f"async () => {shown} === {kept.count}")
        assert [row(page, index) for index in (0, last)] == [kept.rows[i]["run"] for i in (0, last)]
    counts = page.locator("#content .card[aria-label='Verdicts']")
    expect(counts).to_contain_text("GRU")
    expect(counts).not_to_contain_text("LSTM")
