"""The activation and the gain: what shrinks, what saturates, what explodes.

Question: does softsign, which is hardly ever saturated, carry gradients further than tanh?

Prediction: not at moderate gain. Softsign's slope 1/(1+|x|)^2 is below tanh's up to |x| = 1.6, so that an RNN needs
some 40 % more gain for the same rate; only far out, where tanh is flat, does softsign pass more. Relu and identity
have no such brake. An orthogonal identity RNN has the rate -ln(gain) exactly.

Command: gradscope sweep activation --store activation.db

Runtime: about two minutes on two cores.

Reads as: decay rate over gain, one line for each activation: tanh crosses 0 near a gain of 1.5, softsign near 2.
Slope rms orders the activations as the rate does. The share of saturated values does not: at gain 2 about two thirds
of tanh's values are saturated and none of softsign's, whose gradient falls faster. Gaussian weights at this width
scatter, for many seeds end in fixed points.
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
