"""From a move of a slider of the Scope to redrawn figures, in a real browser: ``python -m benchmarks.scope``.

LSTM, 64 units, 200 steps, 16 sequences. Each move is timed from the pointer's event to the frame after the last of the
four figures is drawn.
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import logging
import shutil
import threading
import time

import numpy as np
from playwright.sync_api import Page, sync_playwright
from werkzeug.serving import make_server

from gradscope.dashboards.app import create_app
from gradscope.dashboards.scope import answer

MOVES = 60
REACH = 150.0
WATCH = """() => {
    window.moved = 0;
    window.drawn = 0;
    document.addEventListener("pointermove", () => { window.moved = performance.now(); }, true);
    document.addEventListener("mousemove", () => { window.moved = performance.now(); }, true);
    document.querySelectorAll(".scope-cards .js-plotly-plot").forEach((gd) => gd.on("plotly_afterplot", () =>
        requestAnimationFrame(() => { window.drawn = performance.now(); })));
}"""


def moves(page: Page, count: int) -> np.ndarray:
    """Drag the gain to and fro, and return the milliseconds of each move."""
    page.evaluate(WATCH)
    box = page.locator(".mantine-Slider-thumb[aria-label='Gain']").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    taken = []
    for number in range(count + 5):
        page.mouse.move(x + 10 + 3 * (number % 20), y)
        page.wait_for_timeout(150)
        page.wait_for_function("() => performance.now() - Math.max(window.drawn, window.moved) > 120")
        taken.append(page.evaluate("() => window.drawn - window.moved"))
    page.mouse.up()
    return np.array(taken[5:])


def main() -> None:
    """Print the quantiles, and what the server alone takes."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, create_app("no-store.db").server, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": 1280, "height": 1100})
        page.goto(f"http://127.0.0.1:{server.port}/scope")
        page.wait_for_selector(".scope-state.is-exact", timeout=60_000)
        taken = moves(page, MOVES)
        browser.close()
    server.shutdown()
    spent = []
    for number in range(10):
        start = time.process_time()
        answer({"gain": str(1 + number / 100)})
        spent.append(1e3 * (time.process_time() - start))
    load = os.getloadavg()[0]
    p50, p95 = np.quantile(taken, [0.5, 0.95])
    print(f"Scope, slider to redrawn figures, LSTM H = 64, T = 200, B = 16, {len(taken)} moves, load {load:.1f}")
    print(f"  median {p50:.0f} ms, 95 % {p95:.0f} ms (to reach: {REACH:.0f} ms); server {min(spent):.0f} ms of CPU")


if __name__ == "__main__":
    main()
