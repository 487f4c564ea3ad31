"""The forget bias of LSTM and GRU: what it does to the gradient, and to learning.

Question: how large must the bias be for a loss to be heard 20, 50, 100, 200 steps back, and does that decide whether
a network learns?

Prediction: an LSTM's decay rate is near -ln(sigmoid(b) + 1/8 ... 1/4) below b = 2 and about 0 from 3 on, where the
growing cell state saturates its activation and cuts the loop (Jozefowicz, Zaremba & Sutskever 2015; Tallec &
Ollivier 2018). A GRU never gets to 0, because what its gate keeps it does not write. Learning within 300 iterations
needs the reach at 32 steps and more; at 20 the networks can do without.

Command: gradscope sweep forget_bias --store forget_bias.db

Runtime: RUNTIME on two cores.

Reads as: decay rate over forget bias, one line a cell, the seeds a band. Accuracy after training over bias and length
has its border near the line on which the first verdict turns from vanishing to stable.
"""

from __future__ import annotations

from ..spec import Sweep

SWEEPS = (
    Sweep(
        name="reach",
        cell=["LSTM", "GRU"],
        forget_bias=[-2, -1, 0, 1, 2, 3, 4, 5],
        activation=["tanh", "softsign"],
        length=[50, 200],
        seed=[0, 1, 2],
        batch_size=16,
    ),
    Sweep(
        name="learning",
        cell=["LSTM", "GRU"],
        forget_bias=[-2, 0, 1, 2, 3, 5],
        length=[20, 32, 50],
        seed=[0, 1],
        iterations=300,
        learning_rate=0.01,
    ),
)
