"""How the forget bias moves while a network learns.

Question: does training find the forget bias that the task needs, wherever it begins?

Prediction: hardly. A bias moves by some tenths while the weights learn, though Adam could move it by its learning rate
in each update, so the bias that one begins with is about the one that one ends with (Gers, Schmidhuber & Cummins
2000). Measured: by -0.1 to 0.2. Predicted, too, that what the task needs must therefore be there from the start.
Measured, that over 40 steps it need not: from a bias of -1 the decay rate falls from 0.7 nat/step to about 0.1 or
less, and most networks learn. It is the weights of the gates that come to keep, not the bias.

Command: gradscope sweep forget_bias_learning --store forget_bias_learning.db

Runtime: under a minute of CPU.

Reads as: the mean forget bias over the updates, a line for each beginning, and the decay rate beside it: the bias
stays, the rate falls to about 0.
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
    lines, panels, rates = [], [], []
    for (task,), some in group(rows, "task").items():
        drawn, falls = [], []
        for (bias,), found in group(some, "forget_bias").items():
            courses = [_course(store, row["run"], row["hidden_size"]) for row in found]
            least = min(len(course) for course in courses)
            mean = np.mean([course[:least] for course in courses], axis=0)
            drawn.append(Curve(f"begun at {bias:g}", mean[:, 0], mean[:, 1]))
            falls.append(Curve(f"begun at {bias:g}", mean[:, 0], mean[:, 2]))
            lost = [row["loss_after"] / row["loss_baseline"] for row in found]
            lines.append(
                f"{task}, begun at {bias:g}: the mean forget bias moves by {mean[-1, 1] - mean[0, 1]:+.2f}, the decay "
                f"rate from {mean[0, 2]:+.2f} to {mean[-1, 2]:+.2f} nat/step; {100 * np.mean(lost):.0f} % of the "
                "baseline's loss is left."
            )
        panels.append(Panel(drawn, "iteration n [1]", f"mean forget bias, {task} [1]"))
        rates.append(Panel(falls, "iteration n [1]", f"decay rate, {task} [nat/step]"))
    caption = "Mean over units and seeds. The bias that a network ends with is about the one that it began with."
    figures = paneled(panels, "The forget bias in training", caption)
    caption = "Mean over seeds. The rate falls although the bias stays: the weights of the gates come to keep."
    return Reading(tuple(lines), figures + paneled(rates, "The decay rate in training", caption))


def _course(store: Store, run: str, units: int) -> np.ndarray:
    """Return iterations, the mean forget bias and the decay rate there, (N, 3).

    Rows of the forget gate are the second block.
    """
    course = []
    for iteration, record in store.records(run, ["weight.b"]).items():
        bias, rate = record["weight.b"], record.summary.get("decay_rate")
        course.append((iteration, float(bias[units : 2 * units].mean()), np.nan if rate is None else float(rate)))
    return np.array(course)
