"""From a move of a slider of the Scope to redrawn figures, in a real browser.

LSTM, 64 units, 200 steps, 16 sequences. Each move is timed from the event that the browser gets, of the pointer or of a
key, until the frame with the last of the four figures is painted. Beside the wall time stand the processor times of the
browser's page and of the server, which tell more on a machine that does other things, too.
"""

from __future__ import annotations

import benchmarks  # noqa: F401  isort: skip  (first: one BLAS thread)

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

__all__ = ["REACH", "Reaction", "reactions", "scope_table"]

REACH = 150.0
"""Milliseconds that 95 of 100 moves may take."""
WARM = 5
THUMB = 16
"""Pixels of a slider's thumb."""
MOVES = 60
WATCH = """() => {
    window.seen = { moved: 0, painted: 0, frames: 0 };
    const moved = () => { window.seen.moved = performance.now(); };
    ["pointermove", "mousemove", "keydown"].forEach((name) => document.addEventListener(name, moved, true));
    document.addEventListener("scope-drawn", () => requestAnimationFrame(() => {
        const channel = new MessageChannel(); // its message comes when the frame is painted
        channel.port1.onmessage = () => { window.seen.painted = performance.now(); window.seen.frames += 1; };
        channel.port2.postMessage(0);
    }));
}"""
DONE = "() => window.seen.painted > window.seen.moved && performance.now() - window.seen.painted > 60"


@dataclass(frozen=True)
class Reaction:
    """What one kind of moves took, in milliseconds.

    Attributes
    ----------
    hand : str
        What moves the slider.
    wall : ndarray, (moves,)
        From the event to the painted frame.
    browser, server : ndarray, (moves,)
        Processor time of the page's main thread, and of the server's answers.
    rate : float
        Frames a second while moves come sixty times a second; NaN for keys.
    """

    hand: str
    wall: np.ndarray
    browser: np.ndarray
    server: np.ndarray
    rate: float = float("nan")


class Spent:
    """Counts the processor time of a WSGI application's answers."""

    def __init__(self, inner: Callable[..., Any]) -> None:
        self.inner, self.seconds = inner, 0.0

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        """Answer, and count."""
        begun = time.thread_time()
        try:
            return self.inner(environ, start)
        finally:
            self.seconds += time.thread_time() - begun


@contextmanager
def opened() -> Iterator[tuple[Any, Spent]]:
    """Serve the scope, and open it at rest in a browser."""
    from playwright.sync_api import sync_playwright
    from werkzeug.serving import make_server

    from gradscope.dashboards.app import create_app
    from gradscope.dashboards.command import prepared

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    spent = Spent(create_app("no-store.db").server)
    server = make_server("127.0.0.1", 0, spent, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with prepared(), sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"))
            page = browser.new_page(viewport={"width": 1280, "height": 1100})
            page.goto(f"http://127.0.0.1:{server.port}/scope")
            page.wait_for_selector(".scope-state.is-exact", timeout=120_000)
            page.wait_for_timeout(500)
            page.evaluate(WATCH)
            yield page, spent
            browser.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def timed(page: Any, spent: Spent, hand: str, move: Callable[[int], None], count: int) -> Reaction:
    """Return what moves took, one after the other, each when the one before is drawn."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def task() -> float:
        return next(
            m["value"] for m in session.send("Performance.getMetrics")["metrics"] if m["name"] == "TaskDuration"
        )

    rows = []
    for number in range(WARM + count):
        browser, server = task(), spent.seconds
        move(number)
        page.wait_for_function(DONE, polling=20)
        wall = page.evaluate("() => window.seen.painted - window.seen.moved")
        rows.append((wall, 1e3 * (task() - browser), 1e3 * (spent.seconds - server)))
    wall, browser_times, server_times = np.array(rows[WARM:]).T
    return Reaction(hand, wall, browser_times, server_times)


def reactions(count: int = MOVES) -> Iterator[Reaction]:
    """Yield what dragging the gain takes, and what its arrow keys take."""
    with opened() as (page, spent):
        slider = page.get_by_role("slider", name="Gain")
        box, share = slider.bounding_box(), slider.evaluate("one => (one.value - one.min) / (one.max - one.min)")
        x, y = box["x"] + THUMB / 2 + (box["width"] - THUMB) * share, box["y"] + box["height"] / 2

        def drag(number: int) -> None:
            page.mouse.move(x + 10 + 2 * abs(number % 40 - 20), y)

        page.mouse.move(x, y)
        page.mouse.down()
        dragged = timed(page, spent, "pointer", drag, count)
        frames, begun = page.evaluate("() => window.seen.frames"), time.perf_counter()
        for number in range(180):
            drag(number)
            page.wait_for_timeout(16)
        rate = (page.evaluate("() => window.seen.frames") - frames) / (time.perf_counter() - begun)
        page.mouse.up()
        yield Reaction(dragged.hand, dragged.wall, dragged.browser, dragged.server, rate)
        page.wait_for_selector(".scope-state.is-exact", timeout=120_000)
        slider.focus()
        yield timed(page, spent, "arrow key", lambda number: slider.press("ArrowRight"), count // 2)


def scope_table(found: list[Reaction]) -> Table:
    """Return the table of the slider."""
    table = Table(
        "hand", "moves", "wall, ms", "95 %", "reach", "page, ms CPU", "95 %", "server, ms CPU", "95 %", "frames/s"
    )
    table.title = f"The Scope, slider to redrawn figures: LSTM, T=200, B=16, H=64; load {os.getloadavg()[0]:.1f}"
    for column in table.columns[1:]:
        column.justify = "right"
    for one in found:
        numbers = [np.quantile(times, [0.5, 0.95]) for times in (one.wall, one.browser, one.server)]
        colour = "green" if numbers[0][1] <= REACH else "red"
        wall, browser, server = ([f"{value:.0f}" for value in pair] for pair in numbers)
        rate = "" if np.isnan(one.rate) else f"{one.rate:.0f}"
        last = f"[{colour}]{wall[1]}[/]"
        table.add_row(one.hand, str(len(one.wall)), wall[0], last, f"<= {REACH:.0f}", *browser, *server, rate)
    return table


def main() -> None:
    """Print the table."""
    from rich.console import Console

    Console(width=130).print(scope_table(list(reactions())))


if __name__ == "__main__":
    main()
