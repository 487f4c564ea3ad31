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

from functools import partial

import numpy as np

from gradscope.figures.reproductions import Curve, Panel
from gradscope.store import Store

from ..readings import (
    NOTHING,
    Reading,
    Row,
    beside,
    curves,
    done,
    farthest,
    group,
    listed,
    mean_and_spread,
    paneled,
    zero_state_rate,
)
from ..spec import Sweep

NAME = "quickstart"
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


def read(store: Store) -> Reading:
    """Set decay rates beside the zero state and the slope, and say who learned."""
    rows = done(store, NAME)
    bare = [row for row in rows if not row["iterations"]]
    if not bare:
        return NOTHING
    usual = [row for row in bare if row["activation"] == "tanh" and row["gain"] == 1]
    gated, told = _by_bias([row for row in usual if row["cell"] != "RNN"])
    plain, more = _by_gain([row for row in bare if row["cell"] == "RNN" and row["length"] == 100])
    panels = [
        Panel(gated, "forget bias [1]", "decay rate [nat/step]"),
        Panel(plain, "gain, RNN [1]", "decay rate [nat/step]"),
    ]
    caption = "Dashed: the zero state, -ln(f + 1/4) for an LSTM and -ln(z + (1 - z)/2) for a GRU, no lower than 0; and "
    caption += "-ln(gain * slope rms) for an RNN."
    lines = [*told, *_over_length(usual), *more, *_learned([row for row in rows if row["iterations"]])]
    return Reading(tuple(lines), paneled(panels, "Where gradients go", caption))


def _by_bias(rows: list[Row]) -> tuple[list[Curve], list[str]]:
    """Return the rate over the forget bias at the greatest length beside the zero state, and how far off it is."""
    longest = max((row["length"] for row in rows), default=0)
    drawn, lines = [], []
    for curve in curves([row for row in rows if row["length"] == longest], "forget_bias", "decay_rate", "cell"):
        theory = beside(curve, partial(zero_state_rate, curve.name), f"{curve.name}, zero state")
        drawn += [curve, theory]
        lines.append(
            f"{curve.name}, {longest} steps: decay rate, nat/step, {listed(curve, 'at bias {:g}', '.3f')}; at most "
            f"{farthest(curve, theory):.3f} off the zero state."
        )
    return drawn, lines


def _over_length(rows: list[Row]) -> list[str]:
    """Return by how much a rate varies with the length."""
    ranges = {
        key: np.ptp([row["decay_rate"] for row in some if row["length"] >= 50])
        for key, some in group(rows, "cell", "forget_bias").items()
        if sum(row["length"] >= 50 for row in some) > 1
    }
    if not ranges:
        return []
    cell, bias = max(ranges, key=lambda key: ranges[key])
    most = f"From 50 steps on a rate varies with the length by at most {max(ranges.values()):.3f} nat/step"
    return [f"{most} ({cell}{'' if bias is None else f', bias {bias:g}'})."]


def _by_gain(rows: list[Row]) -> tuple[list[Curve], list[str]]:
    """Return the rate of an RNN over the gain beside what its slope says, and how far off that is."""
    for row in rows:
        row["expected"] = -np.log(row["gain"] * row["hidden_slope_rms"]) if row.get("hidden_slope_rms") else None
    drawn, lines = [], []
    for curve in curves(rows, "gain", "decay_rate", "activation"):
        members = [row for row in rows if row["activation"] == curve.name]
        slopes = {gain: mean_and_spread(some, "expected")[0] for (gain,), some in group(members, "gain").items()}
        theory = beside(curve, slopes.__getitem__, f"{curve.name}, by its slope")
        drawn += [curve, theory]
        lines.append(
            f"RNN, {curve.name}: decay rate, nat/step, {listed(curve, 'at gain {:g}', '+.2f')}; at most "
            f"{farthest(curve, theory):.2f} off -ln(gain * slope rms)."
        )
    return drawn, lines


def _learned(rows: list[Row]) -> list[str]:
    """Return the accuracy of the networks that were trained, a line for each length."""
    lines = []
    for (length,), some in group(rows, "length").items():
        told = ", ".join(
            f"{cell}{'' if bias is None else f' of bias {bias:g}'} {mean_and_spread(found, 'accuracy_after')[0]:.2f}"
            for (cell, bias), found in group(some, "cell", "forget_bias").items()
        )
        lines.append(f"Accuracy after {some[0]['iterations']} updates, {length} steps, chance 0.10: {told}.")
    return lines
