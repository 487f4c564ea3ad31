"""Memory over more than a thousand steps.

Question: can a gated network learn what lies a thousand steps back, where a plain one cannot?

Prediction: yes, if its gates begin with time scales of that length. Forget biases of ln u with u up to T, and input
biases of -ln u, spread them over the whole range (chrono, Tallec & Ollivier 2018), so that the gradient of the answer
arrives; an LSTM with a forget bias of 1 and a tanh RNN of orthogonal weights have lost it after some hundred steps.
So it is measured: 1.00 against chance.

Command: gradscope sweep long_memory --store long_memory.db

Runtime: about five minutes of CPU.

Reads as: transport to the last state before training over 1,024 steps, and the accuracy that follows: chance is 0.25.
"""

from __future__ import annotations

import numpy as np

from gradscope.figures.reproductions import Curve, Panel
from gradscope.record import Record
from gradscope.store import Store

from ..readings import NOTHING, Reading, done, group, mean_and_spread, paneled
from ..spec import Sweep

NAME = "long_memory"
LENGTH = 1024
COMMON = {
    "task": "temporal_order",
    "length": LENGTH,
    "hidden_size": 16,
    "seed": [0, 1],
    "iterations": 600,
    "learning_rate": 0.01,
    "probes": ["transport", "retention"],
}
SWEEPS = (
    Sweep(name="RNN", cell="RNN", recurrent="orthogonal", **COMMON),
    Sweep(name="LSTM", cell="LSTM", forget_bias=[1.0, f"chrono:{LENGTH}"], **COMMON),
)


def read(store: Store) -> Reading:
    """Tell what arrives and who learns."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    lines, drawn = [], []
    told = [row | {"forget_bias": str(row["forget_bias"])} for row in rows]
    for (cell, bias), some in group(told, "cell", "forget_bias").items():
        name = cell if bias == "None" else f"{cell}, forget bias {bias}"
        accuracy, spread = mean_and_spread(some, "accuracy_after")
        found = [record["transport"] for _, record in _before(store, some)]
        middle = np.median(np.concatenate(found, axis=1), axis=1)
        drawn.append(Curve(name, np.arange(len(middle)), np.where(np.isfinite(middle), middle, np.nan)))
        lines.append(
            f"{name}: 10^{middle[0]:.1f} of a change arrives before training, accuracy after it "
            f"{accuracy:.2f} ± {spread:.2f}."
        )
    panels = [Panel(drawn, "time t [step]", "transport to the last state [log10]")]
    caption = "Before training, median over sequences and seeds. The symbols lie 205 to 963 steps before the end."
    return Reading(tuple(lines), paneled(panels, "A thousand steps", caption))


def _before(store: Store, rows: list[dict]) -> list[tuple[dict, Record]]:
    """Return rows with their transport before training."""
    return [(row, store.record(row["run"], 0, ["transport"])) for row in rows]
