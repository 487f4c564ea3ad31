"""The forget bias of LSTM and GRU: what it does to the gradient, and to learning.

Question: how large must the bias be for a loss to be heard 20, 50, 200 steps back, and does that decide whether a
network learns?

Prediction: an LSTM's decay rate is about -ln(sigmoid(b) + 1/4) up to b = 0, a little above it at 1, and about 0 from
2 on, where the growing cell state saturates its activation and cuts the loop (Jozefowicz, Zaremba & Sutskever 2015;
Tallec & Ollivier 2018). A GRU's rate falls towards 0 and stays above it, because what its gate keeps it does not
write. Softsign shrinks more than tanh at every bias.

Command: gradscope sweep forget_bias --store forget_bias.db

Runtime: about three minutes on two cores.

Reads as: decay rate over forget bias, one line for each cell and activation, the seeds a band. The border of accuracy
after training runs diagonally over bias and length: at 20 steps an LSTM learns from bias 1 on, at 32 from 3, at 50
hardly at all; a GRU from 0, 1 and 2. More bias than that costs accuracy: what is never forgotten is hardly written.
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
