"""Depth: what a stack of cells does to gradients in time.

Question: does a deeper network forget sooner or later?

Prediction: the rate is that of its slowest layer: transport of the whole state has one block for each layer, and the
layer with the rate closest to 0 is left over long lags. So depth changes the rate little; training is what it makes
harder or easier.

Command: gradscope sweep depth --store depth.db

Runtime: about two minutes of CPU.

Reads as: decay rate of the whole state over the number of layers, a line for each cell, and accuracy after training.
"""

from __future__ import annotations

from gradscope.figures.reproductions import Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, curves, done, listed, paneled
from ..spec import Sweep

NAME = "depth"
SWEEPS = (
    Sweep(
        name="reach",
        cell=["RNN", "LSTM", "GRU"],
        layers=[1, 2, 3, 4],
        task="random",
        hidden_size=16,
        length=100,
        seed=[0, 1, 2],
        batch_size=8,
        probes=["transport"],
        keep="curves",
    ),
    Sweep(
        name="learning",
        cell=["RNN", "LSTM", "GRU"],
        layers=[1, 2, 3],
        task="digits_row",
        hidden_size=16,
        seed=[0, 1],
        iterations=200,
        learning_rate=0.01,
        probes=["transport"],
        keep="summary",
    ),
)


def read(store: Store) -> Reading:
    """Tell how decay rate and accuracy change with depth."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    bare, trained = ([row for row in rows if bool(row["iterations"]) is found] for found in (False, True))
    rates, right = curves(bare, "layers", "decay_rate", "cell"), curves(trained, "layers", "accuracy_after", "cell")
    lines = [f"{curve.name}: decay rate, nat/step, {listed(curve, 'at depth {}', '.3f')}." for curve in rates]
    lines += [f"{curve.name}: accuracy {listed(curve, 'at depth {}')}." for curve in right]
    panels = [
        Panel(rates, "layers [1]", "decay rate [nat/step]"),
        Panel(right, "layers [1]", "accuracy after training [fraction]"),
    ]
    return Reading(tuple(lines), paneled(panels, "Depth", "Mean and spread over seeds."))
