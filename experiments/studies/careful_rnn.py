"""A plain RNN with careful weights against an LSTM.

Question: can good initial weights do for a plain RNN what gates do for an LSTM?

Prediction: partly. Identity weights and rectified units carry a gradient at first (Le, Jaitly & Hinton 2015),
orthogonal ones under tanh as long as the state is small (Saxe, McClelland & Ganguli 2014); training moves both off
their edge. Torch's uniform weights have no chance over 50 steps. Measured: identity weights do more than was predicted,
they learn 20, 50 and 100 steps with every seed, at 100 no worse than the LSTM. Orthogonal weights under tanh do
not learn 50 steps with every seed, and uniform ones are no worse: driven by inputs, the state is not small.
At 100 steps both stay at chance.

Command: gradscope sweep careful_rnn --store careful_rnn.db

Runtime: about three minutes of CPU.

Reads as: decay rate before training and accuracy after it over the length, a line for each network.
"""

from __future__ import annotations

from gradscope.figures.reproductions import Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, curves, done, listed, paneled
from ..spec import Sweep

NAME = "careful_rnn"
COMMON = {
    "task": "temporal_order",
    "length": [20, 50, 100],
    "seed": [0, 1, 2],
    "iterations": 1000,
    "learning_rate": 0.003,
    "hidden_size": 16,
    "probes": ["transport"],
    "keep": "curves",
}
SWEEPS = (
    Sweep(name="RNN", cell="RNN", recurrent=["uniform", "orthogonal"], **COMMON),
    Sweep(name="IRNN", cell="IRNN", recurrent="identity", **COMMON),
    Sweep(name="LSTM", cell="LSTM", recurrent="orthogonal", forget_bias=3.0, **COMMON),
)


def read(store: Store) -> Reading:
    """Tell decay rate and accuracy of each network."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    for row in rows:
        row["before"] = store.record(row["run"], 0, []).summary.get("decay_rate")
    drawn = curves(rows, "length", "accuracy_after", "cell", "recurrent")
    lines = [f"{curve.name}: accuracy {listed(curve, 'at {} steps')}." for curve in drawn]
    panels = [
        Panel(curves(rows, "length", "before", "cell", "recurrent"), "length [step]", "decay rate before [nat/step]"),
        Panel(drawn, "length [step]", "accuracy after [fraction]"),
    ]
    return Reading(
        tuple(lines), paneled(panels, "Weights against gates", "Mean and spread over seeds; chance is 0.25.")
    )
