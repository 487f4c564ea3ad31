"""How the forget bias moves while a network learns.

Question: does training find the forget bias that the task needs, wherever it begins?

Prediction: hardly. A bias moves by some tenths while the weights learn (Adam moves each by at most its learning rate
in an update), so the bias that one begins with is about the one that one ends with, and what the task needs must be
there from the start (Gers, Schmidhuber & Cummins 2000).

Command: gradscope sweep forget_bias_learning --store forget_bias_learning.db

Runtime: about two minutes of CPU.

Reads as: the mean forget bias over the updates, a line for each beginning; a task that needs memory pushes it up, and
the decay rate beside it falls.
"""

from __future__ import annotations

import numpy as np

from gradscope.figures.reproductions import Curve, Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, done, group, paneled
from ..spec import Sweep

NAME = "forget_bias_learning"
SWEEPS = (
    Sweep(
        name="drift",
        cell="LSTM",
        task=["temporal_order", "adding_signed"],
        length=40,
        hidden_size=16,
        forget_bias=[-1.0, 0.0, 1.0, 3.0],
        seed=[0, 1],
        iterations=400,
        learning_rate=0.01,
        probes=["transport", "retention"],
        probe_schedule="every:50",
        keep_weights=True,
    ),
)


def read(store: Store) -> Reading:
    """Follow the forget bias over the updates."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    lines, panels = [], []
    for (task,), some in group(rows, "task").items():
        drawn = []
        for (bias,), found in group(some, "forget_bias").items():
            courses = [_course(store, row["run"], row["hidden_size"]) for row in found]
            least = min(len(course) for course in courses)
            mean = np.mean([course[:least] for course in courses], axis=0)
            drawn.append(Curve(f"begun at {bias:g}", mean[:, 0], mean[:, 1]))
            lines.append(f"{task}, begun at {bias:g}: the mean forget bias moves by {mean[-1, 1] - mean[0, 1]:+.2f}.")
        panels.append(Panel(drawn, "iteration n [1]", f"mean forget bias, {task} [1]"))
    caption = "Mean over units and seeds. The bias that a network ends with is about the one that it began with."
    return Reading(tuple(lines), paneled(panels, "The forget bias in training", caption))


def _course(store: Store, run: str, units: int) -> np.ndarray:
    """Return iterations and the mean forget bias there, (N, 2); rows of the forget gate are the second block."""
    course = []
    for iteration in store.iterations(run):
        bias = store.record(run, iteration, ["weight.b"])["weight.b"]
        course.append((iteration, float(bias[units : 2 * units].mean())))
    return np.array(course)
