"""Clipping by norm and by value: which keeps the direction.

Question: what does clipping do to the direction of a gradient, and to learning?

Prediction: clipping by norm only shortens: the cosine between before and after is 1. By value it turns, the more the
lower the limit, since the largest entries are cut alone (Pascanu, Mikolov & Bengio 2013 propose the norm). Both keep
an RNN of gain 1.5 from leaping off.

Command: gradscope sweep clipping --store clipping.db

Runtime: about half a minute of CPU.

Reads as: the mean cosine between the gradient before and after over the limit, a line for norm and value: 1 to
rounding for the norm. Then the loss after training.
"""

from __future__ import annotations

import numpy as np

from gradscope.figures.reproductions import Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, curves, done, group, mean_and_spread, paneled, records
from ..spec import Sweep

NAME = "clipping"
SWEEPS = (
    Sweep(
        name="clipping",
        cell="RNN",
        task="temporal_order",
        length=30,
        hidden_size=16,
        gain=1.5,
        clip=[0.001, 0.01, 0.1, 1.0],
        clip_by=["norm", "value"],
        optimizer="sgd",
        learning_rate=0.05,
        iterations=300,
        seed=[0, 1, 2],
        probes=["transport"],
        keep="curves",
    ),
)


def read(store: Store) -> Reading:
    """Tell how far from 1 the cosine is."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    for row, record in records(store, rows, ["training_gradient_norm.cosine"]):
        cosine = record["training_gradient_norm.cosine"]
        row["cosine"] = float(np.nanmean(cosine))
        row["furthest"] = float(np.nanmax(np.abs(1 - cosine)))
    lines = []
    for (by,), some in group(rows, "clip_by").items():
        furthest = max(row["furthest"] for row in some)
        mean = ", ".join(
            f"{limit:g}: {mean_and_spread(found, 'cosine')[0]:.3f}" for (limit,), found in group(some, "clip").items()
        )
        lines.append(f"By {by}: mean cosine for each limit {mean}; at most {furthest:.1e} off 1 in any update.")
    panels = [
        Panel(curves(rows, "clip", "cosine", "clip_by"), "limit [1]", "cosine before and after [1]", log_x=True),
        Panel(curves(rows, "clip", "loss_after", "clip_by"), "limit [1]", "loss after training [nat]", log_x=True),
    ]
    caption = "By norm a gradient keeps its direction exactly; by value it turns. Loss of a guess: ln 4 = 1.39 nat."
    return Reading(tuple(lines), paneled(panels, "Clipping", caption))
