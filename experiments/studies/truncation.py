"""Truncated back-propagation: how long a segment must be.

Question: is a gradient that is cut after k steps enough to learn what lies further back?

Prediction: no. Over 40 steps of temporal order the symbols lie 8 to 38 steps before the loss, and a segment that does
not reach them gets no word of what the state should have kept. Only what the state happens to carry on by itself, with
weights that nobody trained for it, can be read out at the end.

Command: gradscope sweep truncation --store truncation.db

Runtime: under a minute of CPU.

Reads as: accuracy after training over the steps of a segment. The prediction holds for 5 steps alone: with 10 both
cells name most orders, since an adding state carries a trace of both symbols that a short segment learns to read. A
cut gradient asks more of the untrained state than of the learning rule. The loss stands at the last step alone, so an
update per segment (`update_per`) would be the same training.
"""

from __future__ import annotations

from gradscope.figures.reproductions import Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, curves, done, listed, paneled
from ..spec import Sweep

NAME = "truncation"
SWEEPS = (
    Sweep(
        name="truncation",
        cell=["LSTM97", "GRU"],
        task="temporal_order",
        length=40,
        hidden_size=8,
        truncate=[5, 10, 20, 30, 40],
        iterations=500,
        learning_rate=0.02,
        seed=[0, 1, 2],
        probes=["transport"],
        keep="curves",
    ),
)


def read(store: Store) -> Reading:
    """Tell the accuracy for each segment."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    drawn = curves(rows, "truncate", "accuracy_after", "cell")
    lines = [f"{curve.name}: accuracy {listed(curve, 'with {} steps')}." for curve in drawn]
    caption = "The symbols lie 8 to 38 steps before the loss. Chance is 0.25."
    panels = [Panel(drawn, "steps of a segment [step]", "accuracy after training [fraction]")]
    return Reading(tuple(lines), paneled(panels, "Truncation", caption))
