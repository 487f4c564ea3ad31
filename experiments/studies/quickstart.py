"""Sequence length, forget bias and activation over RNN, LSTM and GRU, in under a minute.

Question: where do gradients go, and what decides it?

Prediction: an RNN's gradient falls exponentially, at a rate that its activation and gain set. An LSTM's rate is about
-ln(sigmoid(b) + 1/4) for a forget bias b of up to 0, since its orthogonal loop adds at most 1/4 at the zero state,
and about 0 from 2 on: the bias moves it from vanishing to stable. A relu RNN of gain 3 explodes, and within 1,000
steps it leaves the range of floats. A network that is trained for 300 iterations learns to name a digit only while
the gradient reaches it.

Command: gradscope sweep quickstart --store quickstart.db

Runtime: about half a minute on two cores.

Reads as: the decay rate over forget bias and length is striped, because a rate belongs to the cell and not to the
length; the verdict asks what survives *this* length and so runs diagonally. Trained runs carry their accuracy on
held-out digits before and after, 0.1 being chance. Those that learned have moved their gradient to where the digit
is; the GRU with bias 0 shows that vanishing at the start can be unlearned over 20 steps, and is not over 32.
"""

from __future__ import annotations

from ..spec import Sweep

SWEEPS = (
    Sweep(
        name="forget bias and length",
        cell=["RNN", "LSTM", "GRU"],
        forget_bias=[-1, 0, 1, 2, 3, 5],
        length=[20, 50, 100, 200],
        batch_size=16,
    ),
    Sweep(
        name="activation and gain",
        cell=["RNN", "LSTM", "GRU"],
        activation=["tanh", "softsign", "relu"],
        gain=[0.5, 1, 1.5, 3],
        length=100,
        batch_size=16,
    ),
    Sweep(
        name="out of range",
        cell="RNN",
        activation="relu",
        gain=3,
        length=1000,
        batch_size=16,
    ),
    Sweep(
        name="training",
        cell=["RNN", "LSTM", "GRU"],
        forget_bias=[0, 2, 5],
        length=[20, 32],
        iterations=300,
        learning_rate=0.01,
    ),
    Sweep(
        name="training without delay",
        cell=["RNN", "LSTM", "GRU"],
        task="digits_row",
        iterations=200,
        learning_rate=0.01,
    ),
)
