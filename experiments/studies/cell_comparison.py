"""Every cell side by side: who carries a gradient, and who learns with it.

Question: of all cells of the same width, which carry a gradient over 100 steps, and which learn the order of two
symbols?

Prediction: what adds to a state carries it: the LSTM of 1997 and JANET with a high bias are stable where a tanh RNN
vanishes, an IRNN is while its units stay on their straight half, and the LSTM with a bias of 1 lies between. So it is
measured. The GRU was predicted there, too, and with a bias of 0 it is the first to vanish. Learning was predicted to
follow the gradient, and does not: after 600 updates over the same 100 steps the coupled LSTM and the GRU, which
carry a gradient worst, name the order, and the LSTM of 1997, the IRNN and the LSTM with peepholes do not yet. What is
carried must also be told from what is heard on the way. At the gentler learning rate of the study careful_rnn an IRNN
does learn it.

Command: gradscope sweep cell_comparison --store cell_comparison.db

Runtime: about two minutes of CPU.

Reads as: a decay rate for each cell, and the accuracy after training beside it. Were the gradient all that is missing,
the points would fall from left to right.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from gradscope.figures.reproductions import Curve, Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, done, group, mean_and_spread, paneled
from ..spec import Sweep

NAME = "cell_comparison"
CELLS = ["RNN", "IRNN", "GRU", "LSTM", "CoupledLSTM", "PeepholeLSTM", "JANET", "LSTM97"]
SWEEPS = (
    Sweep(
        name="reach",
        cell=CELLS,
        task="temporal_order",
        length=100,
        hidden_size=16,
        seed=[0, 1, 2],
        batch_size=16,
        keep="curves",
    ),
    Sweep(
        name="learning",
        cell=CELLS,
        task="temporal_order",
        length=100,
        hidden_size=16,
        seed=[0, 1, 2],
        iterations=600,
        learning_rate=0.01,
        probes=["transport", "retention"],
        keep="curves",
    ),
)


def read(store: Store) -> Reading:
    """Order the cells by decay rate and by accuracy."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    bare, trained = ([row for row in rows if bool(row["iterations"]) is found] for found in (False, True))
    rates = {cell: mean_and_spread(some, "decay_rate")[0] for (cell,), some in group(bare, "cell").items()}
    right = {cell: mean_and_spread(some, "accuracy_after")[0] for (cell,), some in group(trained, "cell").items()}
    lines = []
    if rates:
        told = ", ".join(f"{cell} {rates[cell]:+.3f}" for cell in sorted(rates, key=lambda cell: rates[cell]))
        lines.append(f"Decay rate over 100 steps, nat/step: {told}.")
    if right:
        told = ", ".join(f"{cell} {right[cell]:.2f}" for cell in sorted(right, key=lambda cell: -right[cell]))
        lines.append(f"Accuracy after 600 updates, chance 0.25: {told}.")
    both = [cell for cell in rates if np.isfinite([rates[cell], right.get(cell, np.nan)]).all()]
    if len(both) > 2:
        rank = stats.spearmanr([rates[cell] for cell in both], [right[cell] for cell in both]).statistic
        lines.append(f"Rank correlation of decay rate and accuracy over {len(both)} cells: {rank:+.2f}.")
    points = [Curve(cell, [rates[cell]], [right[cell]]) for cell in both]
    panels = [Panel(points, "decay rate before training, 100 steps [nat/step]", "accuracy after [fraction]")]
    caption = "One point for each cell, mean over seeds. To the left gradients live longer; chance is 0.25."
    return Reading(tuple(lines), paneled(panels, "Cells side by side", caption))
