"""How far back each cell hears, and how far back it learns.

Question: does a gradient die with the length of the sequence, and does learning die with it?

Prediction: the decay rate in nat/step does not depend on the length, so that what survives falls exponentially with
it. Trained networks follow: chance from the length on at which the first gradient is lost, later for cells that keep
more.

Command: gradscope sweep sequence_length --store sequence_length.db

Runtime: about three minutes on two cores.

Reads as: decay rate over length is flat from 50 steps on, and every cell has its own height. Accuracy after training
over length has a cliff for each cell, which the bias moves: LSTM between 16 and 24 steps at bias 0, and between 32
and 48 at bias 3; GRU between 24 and 32 at bias 0, and beyond 64 at bias 3. The LSTM of bias 3 falls off although its
gradient arrives: a first gradient that vanishes predicts failure, one that does not promises nothing.
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
        probes=["transport", "transport_blocks", "state_gradient", "jacobian_rms", "gate_saturation", "retention"],
    ),
    Sweep(
        name="learning",
        cell=["RNN", "LSTM", "GRU"],
        forget_bias=[0, 3],
        length=[8, 12, 16, 24, 32, 48, 64],
        seed=[0, 1, 2],
        iterations=300,
        learning_rate=0.01,
    ),
)
