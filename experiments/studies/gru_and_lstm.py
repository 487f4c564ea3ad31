"""GRU against LSTM, with few examples and with many.

Question: does the simpler cell win where there is little to learn from?

Prediction: a GRU of the same width has three quarters of the parameters and is as good or better with few examples;
with many the two are alike (Chung et al. 2014; Jozefowicz, Zaremba & Sutskever 2015 find no winner). Measured: the GRU
is ahead with 50 examples and still with 1,100, there by 0.025 of accuracy and more than the seeds scatter; 300 updates
are few, and the simpler cell learns faster.

Command: gradscope sweep gru_and_lstm --store gru_and_lstm.db

Runtime: about half a minute of CPU.

Reads as: accuracy on held-out digits over the number of examples, a line for each cell with the spread over seeds.
"""

from __future__ import annotations

import numpy as np

from gradscope.figures.reproductions import Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, curves, done, group, mean_and_spread, paneled
from ..spec import Sweep

NAME = "gru_and_lstm"
SWEEPS = (
    Sweep(
        name="data",
        cell=["LSTM", "GRU"],
        task="digits_row",
        hidden_size=24,
        examples=[50, 150, 400, 1100],
        seed=[0, 1, 2],
        iterations=300,
        learning_rate=0.01,
        probes=["transport", "retention"],
        keep="summary",
    ),
)


def read(store: Store) -> Reading:
    """Tell by how much the cells differ, in spreads over seeds."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    lines, found = [], {}
    for (examples,), some in group(rows, "examples").items():
        found = {cell: mean_and_spread(members, "accuracy_after") for (cell,), members in group(some, "cell").items()}
        told = ", ".join(f"{cell} {mean:.3f} ± {spread:.3f}" for cell, (mean, spread) in found.items())
        lines.append(f"{examples} examples: accuracy {told}.")
    if len(found) == 2:
        (gru, one), (lstm, other) = found["GRU"], found["LSTM"]
        lines.append(
            f"Predicted alike with the most examples: the GRU is off the LSTM by {gru - lstm:+.3f}, "
            f"where seeds scatter by {np.hypot(one, other):.3f}."
        )
    drawn = curves(rows, "examples", "accuracy_after", "cell")
    panels = [Panel(drawn, "examples [1]", "accuracy, held-out digits [fraction]", log_x=True)]
    return Reading(tuple(lines), paneled(panels, "GRU against LSTM", "Mean and spread over seeds."))
