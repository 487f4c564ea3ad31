"""The benchmark of the Scope: its part of the command, and its table."""

from __future__ import annotations

import numpy as np

from benchmarks.__main__ import KINDS
from benchmarks.scope import REACH, Reaction, scope_table


def test_make_bench_measures_the_scope():
    assert "scope" in KINDS


def test_the_table_tells_what_was_reached():
    fast = Reaction("pointer", np.full(40, 90.0), np.full(40, 30.0), np.full(40, 50.0), rate=12.0)
    slow = Reaction("arrow key", np.linspace(100, 200, 40), np.full(40, 30.0), np.full(40, 50.0))
    table = scope_table([fast, slow])
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["pointer", "arrow key"]
    assert cells[2] == ["90", "150"]
    assert cells[3] == ["[green]90[/]", "[red]195[/]"]
    assert cells[4] == [f"<= {REACH:.0f}"] * 2
    assert cells[-1] == ["12", ""]
