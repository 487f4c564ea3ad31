"""Draws the pictures of the dashboard's pages, as an installed Chromium shows them over stores of real sweeps.

    gradscope demo --no-serve --store FOLDER/demo.db
    gradscope sweep docs/watched_training.toml --store FOLDER/training.db
    python docs/draw_dashboard.py FOLDER

It needs the extra `test`, for playwright, and a Chromium or Chrome.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from draw_pictures import BROWSERS, PICTURES
from playwright.sync_api import sync_playwright
from threadpoolctl import threadpool_limits
from werkzeug.serving import make_server

from gradscope.dashboards.app import create_app
from gradscope.store import Store

SIZE = {"width": 1440, "height": 900}
SHOWN = {"cell": "LSTM", "activation": "tanh", "length": 200, "forget_bias": 1.0}
BIASES = "by=forget_bias&where=cell=LSTM&where=activation=tanh&where=length=200"
PAGES = {
    "overview-light": ("demo.db", "/"),
    "run-dark": ("demo.db", "/run/{run}?t=150"),
    "compare-light": ("demo.db", f"/compare?{BIASES}"),
    "training-light": ("training.db", "/training/{run}"),
    "scope-dark": ("demo.db", "/scope?cell=LSTM&forget_bias=1"),
}
"""Each page's store and address; the end of its name is the colour scheme."""

STANDS = """() => {
    const seen = [...document.querySelectorAll(".plot")].filter((one) => one.getBoundingClientRect().top < innerHeight);
    const grid = document.querySelector("#runs"), state = document.querySelector(".scope-state");
    return seen.length && seen.every((one) => one.querySelector(".main-svg"))
        && (!grid || grid.querySelector(".ag-row .verdict")) && (!state || state.matches(".is-exact"));
}"""


@contextmanager
def served(store: Path) -> Iterator[str]:
    """Serve the dashboard over a store; give its address."""
    server = make_server("127.0.0.1", 0, create_app(store).server, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run_shown(path: Path) -> str:
    """Return the run that the pictures show: the one with the shown configuration, else the first."""
    with Store(path) as store:
        runs = store.runs()
    like = (run["id"] for run in runs if SHOWN.items() <= run["config"].items())
    return next(like, runs[0]["id"])


def draw(folder: Path) -> None:
    """Draw every page over the stores in a folder.

    Raises
    ------
    SystemExit
        Without a browser, or without the stores.
    """
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise SystemExit("The pictures need Chromium or Chrome. Install the package chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        for name, (store, address) in PAGES.items():
            if not (folder / store).exists():
                raise SystemExit(f"{folder / store} is missing. Make it as the head of this file says.")
            with served(folder / store) as site:
                sheet = browser.new_page(viewport=SIZE, color_scheme=name.rpartition("-")[2])
                sheet.goto(site + address.format(run=run_shown(folder / store)))
                sheet.wait_for_function(STANDS, timeout=120_000)
                sheet.wait_for_timeout(1500)  # fonts, and the last animation
                sheet.screenshot(path=PICTURES / f"{name}.png")
                sheet.close()
        browser.close()


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with threadpool_limits(1):
        draw(Path(sys.argv[1]))
