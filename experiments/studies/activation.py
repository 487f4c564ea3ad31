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

import numpy as np

from gradscope.figures.reproductions import Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, Row, curves, done, group, mean_and_spread, paneled
from ..spec import Sweep

NAME = "activation"
SWEEPS = (
    Sweep(
        name="gain",
        cell=["RNN", "LSTM", "GRU"],
        activation=["tanh", "softsign", "sigmoid", "relu", "hard_tanh", "identity"],
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


def read(store: Store) -> Reading:
    """Set the slope, the saturation and the time of each activation side by side, for a Gaussian RNN."""
    rows = [row for row in done(store, NAME) if not row["iterations"]]
    if not rows:
        return NOTHING
    plain = [row for row in rows if row["cell"] == "RNN" and row["recurrent"] == "gaussian"]
    for row in plain:
        sides = [row.get(f"hidden_saturation_{side}") for side in ("left", "right")]
        row["saturated"] = None if None in sides else sum(sides)
    lines = []
    for (name,), some in group(plain, "activation").items():
        low = [row for row in some if row["gain"] == 1.0]
        slope, rate = mean_and_spread(low, "hidden_slope_rms")[0], mean_and_spread(low, "decay_rate")[0]
        share, time = mean_and_spread(low, "saturated")[0], mean_and_spread(low, "seconds")[0]
        saturated = "unbounded" if np.isnan(share) else f"{100 * share:.0f} % saturated"
        lines.append(
            f"{name}, gain 1: slope rms {slope:.2f}, {saturated}, decay rate {rate:+.2f} nat/step, "
            f"{1e3 * time / low[0]['length']:.2f} ms a step with all probes."
            if low
            else f"{name}: {len(some)} runs."
        )
    lines += filter(None, (_off(rows, ("identity",), np.inf), _off(rows, ("tanh", "softsign"), 2.0)))
    panels = [
        Panel(curves(plain, "gain", "decay_rate", "activation"), "gain [1]", "decay rate [nat/step]"),
        Panel(curves(plain, "gain", "hidden_slope_rms", "activation"), "gain [1]", "slope rms [1]"),
        Panel(curves(plain, "gain", "saturated", "activation"), "gain [1]", "saturated [fraction]"),
    ]
    caption = "RNN of Gaussian weights. The slope orders the activations as the decay rate does, saturation does not."
    return Reading(tuple(lines), paneled(panels, "Slope against saturation", caption))


def _off(rows: list[Row], names: tuple[str, ...], most: float) -> str:
    """Tell how far rates of an orthogonal RNN are off -ln(gain * slope rms) up to a gain; "" without such a run."""
    off = [
        abs(row["decay_rate"] + np.log(row["gain"] * row["hidden_slope_rms"]))
        for row in rows
        if (row["cell"], row["recurrent"]) == ("RNN", "orthogonal") and row["activation"] in names
        if row["gain"] <= most and row.get("hidden_slope_rms") and np.isfinite(mean_and_spread([row], "decay_rate")[0])
    ]
    if not off:
        return ""
    up_to = "" if most == np.inf else f", up to a gain of {most:g}"
    return f"Orthogonal {' and '.join(names)}{up_to}: at most {max(off):.2g} nat/step off -ln(gain * slope rms)."
