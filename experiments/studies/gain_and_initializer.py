"""Gain and initializer of the recurrent weights: a phase diagram for each activation.

Question: is there one gain that neither shrinks nor stretches, whatever the weights and the activation?

Prediction: no. An orthogonal identity RNN has the rate -ln(gain) exactly. Gaussian and orthogonal weights of gain 1
vanish under tanh once there is input; the uniform weights of torch have a spectral radius of 1/sqrt(3) and vanish at a
rate of 0.55 and more. Softsign needs more gain than tanh, relu less than both.

Command: gradscope sweep gain_and_initializer --store gain_and_initializer.db

Runtime: some twenty seconds of CPU.

Reads as: the decay rate over the gain, a line for each initializer; where it crosses 0 is the edge. The identity
activation must lie on -ln(gain) to the last digit.
"""

from __future__ import annotations

import numpy as np

from gradscope.figures.reproductions import Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, curves, done, paneled
from ..spec import Sweep

NAME = "gain_and_initializer"
SWEEPS = (
    Sweep(
        name="gain",
        cell="RNN",
        task="random",
        hidden_size=64,
        length=100,
        recurrent=["orthogonal", "gaussian", "glorot", "uniform", "identity"],
        activation=["tanh", "softsign", "relu", "sigmoid", "identity"],
        gain=[0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0],
        seed=[0, 1],
        batch_size=8,
        probes=["transport", "slope_rms"],
        keep="curves",
    ),
)


def read(store: Store) -> Reading:
    """Compare the orthogonal identity network with -ln(gain), and find where each activation turns."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    exact = [row for row in rows if row["activation"] == "identity" and row["recurrent"] in ("orthogonal", "identity")]
    lines = []
    if exact:
        off = max(abs(row["decay_rate"] + np.log(row["gain"])) for row in exact)
        lines.append(f"Identity activation, orthogonal or identity weights: at most {off:.1e} nat/step off -ln(gain).")
    panels = []
    for name in ("tanh", "softsign", "relu"):
        some = [row for row in rows if row["activation"] == name]
        drawn = curves(some, "gain", "decay_rate", "recurrent")
        panels.append(Panel(drawn, "gain [1]", f"decay rate, {name} [nat/step]"))
        turns = []
        for curve in drawn:
            rate = np.array(curve.y)
            past = np.flatnonzero((rate[:-1] > 0) & (rate[1:] <= 0))
            if len(past):
                i = past[0]
                gains = curve.x[i : i + 2]
                turns.append(f"{curve.name} {gains[0] + (gains[1] - gains[0]) * rate[i] / (rate[i] - rate[i + 1]):.2f}")
        lines.append(f"{name}, gain at which the decay rate turns: {', '.join(turns) or 'none of 0.5 to 3'}.")
    caption = "Above 0 gradients vanish, below they explode. White input of variance 1 through glorot weights."
    return Reading(tuple(lines), paneled(panels, "Gain and initializer", caption))
