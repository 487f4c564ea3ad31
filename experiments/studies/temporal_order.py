"""Temporal order, the task that needs memory: the LSTM of 1997 against a plain RNN.

Question: does a cell state that keeps what it is given solve a task in which no short lag helps?

Prediction: yes. Hochreiter & Schmidhuber 1997, experiment 6a, here on 50 steps with the symbols in steps 3 to 12 and 25
to 40: an LSTM of 4 cells without forget gates names every order after some hundred updates, a tanh RNN stays at the
chance of 0.25 (0.23 to 0.29 in an independent program). In the paper's own setting the LSTM takes 31,390 sequences,
and back-propagation through time never learns.

Command: gradscope sweep temporal_order --store temporal_order.db

Runtime: some minutes of CPU.

Reads as: accuracy on held-out sequences over the updates: the LSTM jumps from 0.25 to 1, the RNN's line stays. Then
transport to the last state before and after training: the RNN's gradient never reached the symbols.
"""

from __future__ import annotations

import numpy as np

from gradscope.figures.reproductions import Curve, Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, done, group, mean_and_spread, paneled
from ..spec import Sweep

NAME = "temporal_order"
ELSEWHERE = {"LSTM97": (1.0, 1.0), "RNN": (0.23, 0.29)}
"""Accuracies of five seeds of an independent program, from and to."""

COMMON = {
    "task": "temporal_order",
    "length": 50,
    "seed": [0, 1, 2, 3, 4],
    "iterations": 1500,
    "learning_rate": 0.02,
    "batch_size": 32,
    "recurrent": "gaussian",
    "inputs": "gaussian",
    "input_gain": 0.1 * np.sqrt(8.0).item(),
    "evaluate_every": 50,
}  # every weight from N(0, 0.1^2), as in the independent program
SWEEPS = (
    Sweep(name="LSTM of 1997", cell="LSTM97", hidden_size=4, gain=0.1 * 2.0, input_bias=-1.0, **COMMON),
    Sweep(name="RNN", cell="RNN", hidden_size=8, gain=0.1 * np.sqrt(8.0).item(), **COMMON),
)


def read(store: Store) -> Reading:
    """Compare accuracies with the independent program, and draw the courses."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    lines, courses, transports = [], [], []
    for (cell,), some in group(rows, "cell").items():
        reached = [row["accuracy_after"] for row in some if isinstance(row.get("accuracy_after"), float)]
        low, high = ELSEWHERE.get(cell, (np.nan, np.nan))
        if reached:
            off = max(low - min(reached), max(reached) - high, 0.0)
            lines.append(
                f"{cell}: accuracy {min(reached):.3f} to {max(reached):.3f} over {len(reached)} seeds, "
                f"{low:g} to {high:g} in an independent program: at most {off:.3f} outside."
            )
        every = [store.curves(row["run"]) for row in some]
        found = [curves["validation_accuracy"] for curves in every if "validation_accuracy" in curves]
        if found:
            shortest = min(len(curve[0]) for curve in found)
            values = np.array([curve[1][:shortest] for curve in found])
            courses.append(Curve(cell, found[0][0][:shortest], np.median(values, axis=0), group=cell))
            first = [curve[0][np.argmax(curve[1] > 0.99)] for curve in found if (curve[1] > 0.99).any()]
            if first:
                lines.append(f"{cell}: over 99 % for the first time after {int(np.median(first))} updates (median).")
        transports += _transport(store, cell, some)
    rate = {cell: mean_and_spread(some, "decay_rate")[0] for (cell,), some in group(rows, "cell").items()}
    lines.append(
        "Decay rate after training: " + ", ".join(f"{cell} {value:.3f} nat/step" for cell, value in rate.items()) + "."
    )
    if courses:
        ends = [0, max(curve.x[-1] for curve in courses)]
        courses.append(Curve("chance", ends, [0.25, 0.25], theory=True))
    panels = [
        Panel(courses, "iteration n [1]", "accuracy, held-out [fraction]"),
        Panel(transports, "time t [step]", "transport to the last state [log10]"),
    ]
    caption = (
        "Median over seeds; transport dashed before training. The symbols stand in steps 3 to 12 and 25 to 40 of 50. "
        "What does not reach them cannot be learned."
    )
    return Reading(tuple(lines), paneled(panels, "Temporal order", caption))


def _transport(store: Store, cell: str, rows: list[dict]) -> list[Curve]:
    """Return transport before and after training, median over sequences and seeds."""
    curves = []
    for when, place in (("before", 0), ("after", -1)):
        values = []
        for row in rows:
            record = store.record(row["run"], store.iterations(row["run"])[place], ["transport"])
            if "transport" in record:
                values.append(np.median(record["transport"], axis=1))
        if values and np.isfinite(values).any():
            middle = np.median(values, axis=0)
            finite = np.where(np.isfinite(middle), middle, np.nan)
            curves.append(Curve(f"{cell}, {when}", np.arange(len(middle)), finite, theory=when == "before", group=cell))
    return curves
