"""What the tests of figures share: readers of a drawn figure, and what is drawn."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from gradscope.figures.frame import FOOTNOTE
from gradscope.record import Field


def names(figure: go.Figure) -> list[str]:
    """Return what the legend says."""
    shown = [t for t in figure.data if t.showlegend is not False and t.type in ("scatter", "bar")]
    return [trace.name for trace in shown]


def notes(figure: go.Figure) -> list[str]:
    lines = [entry.text for entry in figure.layout.annotations if entry.name == "note"]
    said = list(figure.layout.meta["notes"])
    assert " ".join(lines) == " ".join(said)  # nothing is lost where a note is broken into lines
    assert all(len(line) <= FOOTNOTE for line in lines)
    return said


def texts(figure: go.Figure) -> str:
    return " ".join(entry.text for entry in figure.layout.annotations).replace("<br>", " ")


def trace(figure: go.Figure, name: str, kind: str = "scatter"):
    """Return the one trace of that name that holds data."""
    found = [t for t in figure.data if t.name == name and t.type == kind and not (kind == "scatter" and t.x[0] is None)]
    assert len(found) == 1, [t.name for t in figure.data]
    return found[0]


def field(values: np.ndarray, found: np.ndarray | None = None, unit: str = "log10") -> Field:
    return Field("transport", values, ("time", "batch"), unit, {}, found)


def rows() -> list[dict]:
    """Return a small sweep: two cells, three lengths, two seeds; one hole, one NaN, one inf, one failed run."""
    table = []
    for cell, bias in (("LSTM", 1.0), ("LSTM", 3), ("RNN", None)):
        for length in (10, 100, 20):
            for seed in range(2):
                rate = 0.1 * length + 0.01 * seed - (3.0 if bias == 3 else 0.0)
                table.append(
                    {"run": f"{cell}{bias}{length}{seed}", "status": "done", "cell": cell, "forget_bias": bias}
                )
                table[-1] |= {"length": length, "seed": seed, "decay_rate": rate, "verdict": "vanishing"}
    table = [row for row in table if not (row["cell"] == "RNN" and row["length"] == 20)]
    table[0]["decay_rate"] = float("nan")
    table[0]["verdict"] = "diverged"
    for row in table:
        if row["forget_bias"] == 3 and row["length"] == 100:
            row["decay_rate"] = float("inf")
    failed = dict.fromkeys(table[0]) | {
        "run": "failed",
        "status": "failed",
        "cell": "GRU",
        "length": 10,
        "forget_bias": 1.0,
    }
    return [*table, failed]
