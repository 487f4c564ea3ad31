"""Print the tables: ``python -m benchmarks [repeats] [--only words]``.

Every row times ours and theirs in turn, A B A B, in one process on one thread, takes the least of the repeats, and
first checks that both give the same numbers. A ratio means something; a time on a shared machine does not.
"""

from __future__ import annotations

import benchmarks  # isort: skip  (first: one BLAS thread)

import argparse
import importlib.metadata

from rich.console import Console
from rich.table import Table

from benchmarks.clock import Missing, Row
from benchmarks.limits import Limit, limits
from benchmarks.rows import ROWS

KINDS = (*ROWS, "limits", "growth", "scope", "dashboard")


def rows_table(rows: list[Row]) -> Table:
    """Return the table of what was promised."""
    table = Table("work", "size", "against", "ours", "theirs", "ratio", "reach", title="Ours and theirs")
    for column in table.columns[3:]:
        column.justify = "right"
    for row in rows:
        scale = 1e3 if row.unit == "ms" else 1.0
        numbers = (f"{scale * value:.4g} {row.unit}" for value in (row.ours, row.theirs))
        reach = "" if row.reach is None else f"{'<=' if row.at_most else '>='} {row.reach:g}x"
        colour = {True: "green", False: "red", None: "default"}[row.reached]
        table.add_row(row.work, row.size, row.against, *numbers, f"[{colour}]{row.ratio:.2f}x[/]", reach)
    return table


def limits_table(found: list[Limit]) -> Table:
    """Return the table of the machine's own limits."""
    table = Table("kernel", "ours, ms", "MB written", "a copy, ms", "MFlop", "a product, ms", "limit / ours")
    table.title = "The machine's own limit: LSTM, T=100, B=32, H=64"
    for column in table.columns[1:]:
        column.justify = "right"
    for limit in found:
        values = (1e3 * limit.seconds, limit.bytes / 1e6, 1e3 * limit.copy, limit.flops / 1e6, 1e3 * limit.product)
        table.add_row(limit.kernel, *(f"{value:.4g}" for value in values), f"{100 * limit.share:.0f} %")
    return table


def version(package: str) -> str:
    """Return a package's version, or that it is missing."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {package}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("repeats", nargs="?", type=int, default=10, help="turns of each row; the least counts")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="parts of it")
    asked = parser.parse_args()
    console = Console(width=130)
    rows: list[Row] = []
    missing: list[Missing] = []
    for name, make in ROWS.items():
        if name in asked.only:
            with console.status(f"measuring {name}"):
                for row in make(asked.repeats):
                    (rows if isinstance(row, Row) else missing).append(row)  # type: ignore[arg-type]
    if rows:
        console.print(rows_table(rows))
    for entry in missing:
        console.print(f"not measured: {entry.work} against {entry.against} ({entry.reason})")
    if "limits" in asked.only:
        with console.status("measuring the machine"):
            found = list(limits(asked.repeats))
        console.print(limits_table(found))
    if "growth" in asked.only:
        from benchmarks.growth import exponents, growth

        with console.status("measuring growth"):
            console.print(exponents(growth(max(2, asked.repeats // 3))))
    if "scope" in asked.only:
        from benchmarks.scope import reactions, scope_table

        try:
            with console.status("measuring the Scope"):
                console.print(scope_table(list(reactions(6 * asked.repeats))))
        except ImportError as error:
            console.print(f"not measured: the Scope in a browser ({error.name} is not installed)")
    if "dashboard" in asked.only:
        try:
            from benchmarks.dashboard import dashboard_table, visits

            with console.status("measuring the dashboard"):
                console.print(dashboard_table(list(visits(max(2, asked.repeats // 2)))))
        except ImportError as error:
            console.print(f"not measured: the dashboard in a browser ({error.name} is not installed)")
    packages = ", ".join(version(name) for name in ("numpy", "scipy", "autograd", "torch", "jax"))
    console.print(f"{packages}; one thread, float64, processor time, least of {asked.repeats} repeats")


if __name__ == "__main__":
    main()
