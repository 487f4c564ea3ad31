"""The time scales that an LSTM learns on text.

Question: do the forget gates of a network that learns to spell spread out over the ranges that text has?

Prediction: yes, towards both sides. A forget bias of 1 gives every unit about three steps at the start; after training
some units keep for tens of characters, about the length of a word or a line, and others let go at once (Karpathy,
Johnson & Li 2015 found units for quotes and line ends). The gates alone tell it, the loop adds to it.

Command: gradscope sweep text_timescales --store text_timescales.db

Runtime: about half a minute of CPU.

Reads as: the time scales of all units, in order, before and after training: the curve after is steeper, its upper end
further up. Beside it the loss on text that was never seen, over the updates; the dashed line is what it costs to know
only how frequent each character is.
"""

from __future__ import annotations

import numpy as np

from gradscope.figures.reproductions import Curve, Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, done, group, mean_and_spread, paneled
from ..spec import Sweep

NAME = "text_timescales"
SWEEPS = (
    Sweep(
        name="text",
        cell="LSTM",
        task="text",
        hidden_size=48,
        forget_bias=[1.0, 3.0],
        length=60,
        batch_size=16,
        iterations=600,
        learning_rate=0.01,
        probes=["timescale", "retention", "transport"],
        evaluate_every=100,
        seed=0,
    ),
)


def read(store: Store) -> Reading:
    """Compare time scales before and after, and the loss with the frequencies of characters."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    lines, scales, losses = [], [], []
    for (bias,), some in group(rows, "forget_bias").items():
        for when, place in (("before", 0), ("after", -1)):
            found = [_timescales(store, row["run"], place) for row in some]
            mean = np.mean(found, axis=0)
            places, before = np.arange(len(mean)), when == "before"
            scales.append(Curve(f"bias {bias:g}, {when}", places, mean, theory=before, group=f"{bias}"))
            low, middle, high = np.quantile(mean, [0.05, 0.5, 0.95])
            name = f"Forget bias {bias:g}, {when}"
            lines.append(f"{name}: time scales of {low:.1f} to {high:.1f} steps, median {middle:.1f}.")
        loss, baseline = (mean_and_spread(some, name)[0] for name in ("loss_after", "loss_baseline"))
        less = baseline - loss
        lines.append(f"Forget bias {bias:g}: {loss:.2f} nat a character, {less:.2f} below the frequencies alone.")
        every = [store.curves(row["run"]) for row in some]
        courses = [curves["validation_loss"] for curves in every if "validation_loss" in curves]
        if courses:
            values = np.mean([values for _, values in courses], axis=0)
            losses.append(Curve(f"bias {bias:g}, held-out text", courses[0][0], values, group=f"{bias}"))
    if losses:
        ends, baseline = [0, max(losses[0].x)], mean_and_spread(rows, "loss_baseline")[0]
        losses.append(Curve("frequencies alone", ends, [baseline, baseline], theory=True))
    panels = [
        Panel(scales, "unit, in order [1]", "time scale [step]", log_y=True),
        Panel(losses, "iteration n [1]", "loss [nat]"),
    ]
    caption = "Time scale of the forget gate alone, -1 / mean of ln f. A line of this text has some 70 characters."
    return Reading(tuple(lines), paneled(panels, "Time scales on text", caption))


def _timescales(store: Store, run: str, place: int) -> np.ndarray:
    """Return the time scales of all units in rising order."""
    return np.sort(store.record(run, store.iterations(run)[place], ["timescale"])["timescale"])
