"""The activation and the gain: what shrinks, what saturates, what explodes.

Question: does softsign, which is hardly ever saturated, carry gradients further than tanh?

Prediction: not at moderate gain. Softsign's slope 1/(1+|x|)^2 is below tanh's up to |x| = 1.6, so that an RNN needs
about 40 % more gain for the same rate (mean-field theory: chi of 0.21 against 0.40 at gain 1 with unit input); only
far out, where tanh is flat, does softsign pass more. Relu keeps or explodes, with little between.

Command: gradscope sweep activation --store activation.db

Runtime: RUNTIME on two cores.

Reads as: decay rate over gain, one line an activation. Slope rms orders the activations as the rate does; the share of
saturated values does not, which is why it must not be compared between activations.
"""

from __future__ import annotations

from ..spec import Sweep

SWEEPS = (
    Sweep(
        name="gain",
        cell=["RNN", "LSTM", "GRU"],
        activation=["tanh", "softsign", "relu", "hard_tanh", "identity"],
        gain=[0.5, 1, 1.5, 2, 3, 5],
        recurrent=["gaussian", "orthogonal"],
        length=100,
        seed=[0, 1],
        batch_size=16,
    ),
    Sweep(
        name="learning",
        cell=["RNN", "LSTM", "GRU"],
        activation=["tanh", "softsign", "relu"],
        gain=[0.5, 1, 1.5],
        task=["digits_row", "digits_pixel"],
        iterations=300,
        learning_rate=0.01,
    ),
)
