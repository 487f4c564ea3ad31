"""Draws the pictures of the pages of probes, networks and studies: figures of real runs as an installed Chromium shows.

`make docs-pictures` draws those of the probes and of networks, `python docs/draw_pictures.py [NAME ...]` a few of them,
and `python docs/draw_pictures.py --studies FOLDER` those of the studies, from their stores FOLDER/NAME.db.
It needs the extra `test`, for playwright and scikit-learn's digits, and a Chromium or Chrome; nothing is loaded from a
network.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import example_runs
from playwright.sync_api import sync_playwright

from gradscope import figures
from gradscope.experiments.studies import reading
from gradscope.figures import palette
from gradscope.figures.page import plotly_script
from gradscope.figures.settings import Look
from gradscope.probes.catalogue import CATALOGUE
from gradscope.store import Store

PICTURES = Path(__file__).parent / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 640, 340
STUDIES = {
    "quickstart": (0, 900),
    "sequence_length": (0, 1200),
    "forget_bias_and_length": (3, WIDTH),
    "largest_exponent": (0, 900),
    "forget_bias_learning": (1, 900),
    "cell_comparison": (0, WIDTH),
    "long_memory": (0, WIDTH),
}
"""Studies whose reading is shown: which of its figures, and how wide."""

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


def of_networks() -> str:
    """Return the transport of a stack and of its layers, as JSON."""
    record = example_runs.stack()
    groups = {"layer1, LSTM": record.layers["layer1"], "layer2, GRU": record.layers["layer2"], "the whole": record}
    hues = (palette.colour("LSTM"), palette.colour("GRU"), palette.NEUTRAL)
    looks = {
        name: Look(hue, "dash" if name == "the whole" else "solid") for name, hue in zip(groups, hues, strict=True)
    }
    return figures.compare(groups, "transport", looks=looks).to_json()


def of_study(name: str, folder: Path) -> str:
    """Return the figure of a study from the store of its sweep, as JSON."""
    with Store(folder / f"{name}.db") as store:
        found = reading(name, store)
    if found is None or not found.figures:
        raise SystemExit(f"{folder / name}.db holds no finished run. Run gradscope sweep {name} first.")
    return found.figures[STUDIES[name][0]]("light").to_json()


def draw(pictures: Mapping[Path, tuple[str, int]]) -> None:
    """Draw pictures: for each path a figure as JSON and its width.

    Raises
    ------
    SystemExit
        Without a browser.
    """
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise SystemExit("The pictures need Chromium or Chrome. Install the package chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        for path, (shown, width) in pictures.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            sheet = browser.new_page(viewport={"width": width, "height": HEIGHT})
            sheet.set_content(PAGE.format(library=plotly_script(), width=width, height=HEIGHT))
            sheet.evaluate(PLOT, shown)
            sheet.screenshot(path=path)
            sheet.close()
        browser.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--studies"]:
        stores = Path(sys.argv[2])
        draw({PICTURES / "studies" / f"{name}.png": (of_study(name, stores), STUDIES[name][1]) for name in STUDIES})
    else:
        names = sys.argv[1:] or list(CATALOGUE)
        draw({PICTURES / "probes" / f"{name}.png": (figure(name), WIDTH) for name in names if name != "networks"})
        if "networks" in (sys.argv[1:] or ["networks"]):
            draw({PICTURES / "networks.png": (of_networks(), WIDTH)})
