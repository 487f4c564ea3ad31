"""How the cost of each kernel grows with T, B and H, with fitted exponents: a table, and the picture of docs/speed.md.

``python -m benchmarks.growth PICTURE`` writes ``PICTURE-light.png`` and ``PICTURE-dark.png`` with Chromium.
"""

from __future__ import annotations

import benchmarks  # isort: skip  # noqa: F401 (first: one BLAS thread)

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import gradscope as gs
from benchmarks.clock import race
from benchmarks.rows import lstm

__all__ = ["Growth", "exponents", "growth", "picture"]

BASE = {"T": 100, "B": 8, "H": 32}
SIZES = {"T": (50, 100, 200, 400), "B": (2, 4, 8, 16, 32), "H": (16, 32, 64, 128)}
"""What one of them takes while the others stand at ``BASE``."""


@dataclass(frozen=True)
class Growth:
    """Seconds of one kernel over the sizes of one axis."""

    kernel: str
    axis: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def exponent(self) -> float:
        """The slope of log time over log size."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0])


def kernels(length: int, batch: int, size: int) -> dict[str, Callable[[], Any]]:
    """Return the calls to measure at one size."""
    cell, params, inputs = lstm(size, length, batch)
    trajectory = gs.unroll(cell, params, inputs)
    linearization = gs.linearize(trajectory)
    linearization.norm("frobenius")  # makes the partials, which the norms and products then share
    direct = np.zeros((length + 1, batch, cell.state_size))
    direct[-1, :, :size] = 1.0
    return {
        "unroll": lambda: gs.unroll(cell, params, inputs),
        "partials": lambda: [gs.linearize(trajectory).partials(steps) for steps in trajectory.chunks()],
        "Frobenius norms": lambda: linearization.norm("frobenius"),
        "spectral norms": lambda: linearization.norm("spectral"),
        "BPTT": lambda: gs.backpropagate(linearization, direct, inputs=False),
        "transport": lambda: gs.transport(linearization),
    }


def growth(repeats: int, sizes: dict[str, tuple[int, ...]] = SIZES, base: dict[str, int] = BASE) -> list[Growth]:
    """Measure every kernel over every axis."""
    found = []
    for axis, values in sizes.items():
        seconds: dict[str, list[float]] = {}
        for value in values:
            calls = kernels(*(base | {axis: value}).values())
            for kernel, taken in zip(calls, race(list(calls.values()), repeats), strict=True):
                seconds.setdefault(kernel, []).append(taken)
        found += [Growth(kernel, axis, tuple(values), tuple(taken)) for kernel, taken in seconds.items()]
    return found


def exponents(found: list[Growth]) -> Table:
    """Return a table of the fitted exponents."""
    table = Table("kernel", *(f"{axis}: {row.sizes[0]} to {row.sizes[-1]}" for axis, row in _first(found).items()))
    table.title = f"Cost grows with the power (else {', '.join(f'{k}={v}' for k, v in BASE.items())})"
    for kernel in dict.fromkeys(row.kernel for row in found):
        table.add_row(kernel, *(f"{row.exponent:.2f}" for row in found if row.kernel == kernel))
    return table


def _first(found: list[Growth]) -> dict[str, Growth]:
    """Return one growth of each axis, in the order in which they were measured."""
    axes: dict[str, Growth] = {}
    for row in found:
        axes.setdefault(row.axis, row)
    return axes


def picture(found: list[Growth], template: str = "light") -> Any:
    """Return the figure: one panel for each axis, exponents in the legend."""
    from plotly.colors import qualitative
    from plotly.subplots import make_subplots

    axes = list(dict.fromkeys(row.axis for row in found))
    figure = make_subplots(1, len(axes), shared_yaxes=True, horizontal_spacing=0.03)
    for n, kernel in enumerate(dict.fromkeys(row.kernel for row in found)):
        rows = [row for row in found if row.kernel == kernel]
        fitted = ", ".join(f"{row.axis}<sup>{row.exponent:.1f}</sup>" for row in rows)
        for row in rows:
            figure.add_scatter(
                x=row.sizes,
                y=[1e3 * value for value in row.seconds],
                mode="lines+markers",
                name=f"{kernel}: {fitted}",
                legendgroup=kernel,
                showlegend=row.axis == axes[0],
                line_color=[*qualitative.Safe[:4], *qualitative.Safe[5:7]][n],  # one of its colours is lost on dark
                row=1,
                col=axes.index(row.axis) + 1,
            )
    for n, axis in enumerate(axes, 1):
        sizes = _first(found)[axis].sizes
        figure.update_xaxes(type="log", title_text=axis, tickvals=sizes, ticktext=[str(s) for s in sizes], col=n)
    figure.update_yaxes(type="log", dtick=1)
    figure.update_yaxes(title_text="processor time (ms)", col=1)
    figure.update_layout(
        template=gs.figures.theme(template),
        title_text="Cost over length, batch and units",
        width=1000,
        height=460,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.28, "yanchor": "top"},
        margin={"t": 60, "b": 140, "l": 70, "r": 20},
    )
    return figure


def write(found: list[Growth], stem: Path) -> Iterator[Path]:
    """Write the figure, light and dark, as PNG; yield the files."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium())
        page = browser.new_page(viewport={"width": 1000, "height": 460}, device_scale_factor=1.5)
        for template in ("light", "dark"):
            html = picture(found, template).to_html(include_plotlyjs=True, config={"staticPlot": True})
            ground = {"light": "#ffffff", "dark": "#1b1c1f"}[template]
            page.set_content(html.replace("<body>", f'<body style="margin:0;background:{ground}">'))
            page.wait_for_selector(".main-svg .legend")
            file = stem.with_name(f"{stem.name}-{template}.png")
            page.screenshot(path=str(file))
            yield file
        browser.close()


def _chromium() -> str | None:
    """Return the system's Chromium, or None for playwright's own."""
    import shutil

    return shutil.which("chromium") or shutil.which("chromium-browser")


if __name__ == "__main__":
    from rich.console import Console

    measured = growth(2)
    Console(width=130).print(exponents(measured))
    for written in write(measured, Path(sys.argv[1])):
        print(written)
