"""How far back each cell hears, and how far back it learns.

Question: does a gradient die with the length of the sequence, and does learning die with it?

Prediction: the decay rate in nat/step does not depend on the length, so that what survives falls exponentially with
it; RNN and GRU without a bias are past the float range of a plain product within 2,000 steps and the log scale is
not. Trained networks follow: chance from the length on at which the first gradient is lost, later for cells that
keep more.

Command: gradscope sweep sequence_length --store sequence_length.db

Runtime: RUNTIME on two cores.

Reads as: transport curves of one cell lie on one line whatever the length. Accuracy after training over length has a
cliff for each cell; the bias moves it.
"""

from __future__ import annotations

from ..spec import Sweep

SWEEPS = (
    Sweep(
        name="reach",
        cell=["RNN", "LSTM", "GRU"],
        forget_bias=[0, 1, 3],
        length=[10, 20, 50, 100, 200, 500, 1000],
        seed=[0, 1, 2],
        batch_size=16,
        probes=["cheap", "transport", "state_gradient"],
    ),
    Sweep(
        name="learning",
        cell=["RNN", "LSTM", "GRU"],
        forget_bias=[0, 3],
        length=[8, 12, 16, 24, 32, 48, 64],
        seed=[0, 1, 2],
        iterations=300,
        learning_rate=0.01,
        probes=["cheap", "transport", "state_gradient"],
    ),
)
