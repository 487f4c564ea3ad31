"""Draws the pictures of the pages of probes: the figures of real runs, as an installed Chromium shows them.

`make docs-pictures` runs it, or `python docs/draw_pictures.py [PROBE ...]` for a few. It needs the extra `test`, for
playwright and scikit-learn's digits, and a Chromium or Chrome; nothing is loaded from a network.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import example_runs
from playwright.sync_api import sync_playwright
from plotly.offline import get_plotlyjs

from gradscope import figures
from gradscope.probes.catalogue import CATALOGUE

FOLDER = Path(__file__).parent / "pictures" / "probes"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 640, 340
PAGE = """<html><meta charset="utf-8"><body style="margin:0;background:#ffffff"><div id="figure"
style="width:{width}px;height:{height}px"></div><script>{library}</script></body></html>"""
PLOT = """(text) => {
    const figure = JSON.parse(text);
    Plotly.purge("figure");
    return Plotly.newPlot("figure", figure.data, figure.layout, {displayModeBar: false}).then(() => null);
}"""


def figure(name: str) -> str:
    """Return the figure of a probe on its run, as JSON."""
    return figures.figure(name, example_runs.record(example_runs.SHOWN.get(name, "digits"))).to_json()


def draw(names: list[str]) -> None:
    """Draw the pictures of these probes.

    Raises
    ------
    SystemExit
        Without a browser.
    """
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise SystemExit("The pictures need Chromium or Chrome. Install the package chromium.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        sheet = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        sheet.set_content(PAGE.format(library=get_plotlyjs(), width=WIDTH, height=HEIGHT))
        for name in names:
            sheet.evaluate(PLOT, figure(name))
            sheet.screenshot(path=FOLDER / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    draw(sys.argv[1:] or list(CATALOGUE))
