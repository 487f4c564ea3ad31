"""How far back each cell hears, and how far back it learns.

Question: does a gradient die with the length of the sequence, and does learning die with it?

Prediction: the decay rate in nat/step does not depend on the length, so that what survives falls exponentially with
it. Trained networks follow: chance from the length on at which the first gradient is lost, later for cells that keep
more.

Command: gradscope sweep sequence_length --store sequence_length.db

Runtime: about three minutes on two cores.

Reads as: decay rate over length is flat from 50 steps on, and every cell has its own height. Accuracy after training
over length has a cliff for each cell, which the bias moves: LSTM between 12 and 24 steps at bias 0, and between 24
and 48 at bias 3; GRU between 16 and 32 at bias 0, and beyond 64 at bias 3. Where 10^-3 or less of a first gradient
arrives no network learns. The LSTM of bias 3 falls off although its gradient arrives: a first gradient that vanishes
predicts failure, one that does not promises nothing.
"""

from __future__ import annotations

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
    group,
    listed,
    mean_and_spread,
    paneled,
    zero_state_rate,
)
from ..spec import Sweep

NAME = "sequence_length"
LEARNED = 0.5
"""Accuracy above which a network is said to have learned; chance is 0.1."""

APART = (float("nan"), float("nan"))
"""Between two points that no line shall join."""

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


def read(store: Store) -> Reading:
    """Say how flat the rates are, how far off the zero state, and up to which length each network learns."""
    rows = done(store, NAME)
    bare, trained = ([row for row in rows if bool(row["iterations"]) is found] for found in (False, True))
    if not rows:
        return NOTHING
    rates, told = _rates(bare)
    for row in trained:
        first = store.record(row["run"], 0, []).summary.get("decay_rate")
        row["arrives"] = None if first is None else -first * row["length"] / np.log(10.0)
    learned = curves(trained, "length", "accuracy_after", "cell", "forget_bias")
    panels = [
        Panel(rates, "length [step]", "decay rate [nat/step]", log_x=True),
        Panel(learned, "length [step]", "accuracy after [fraction]"),
        Panel(_against(trained), "what arrives before training [log10]", "accuracy after [fraction]"),
    ]
    caption = "Mean and spread over seeds; dashed: the zero state, no lower than 0. To the right one point for each "
    caption += "network and length. Chance is 0.1."
    return Reading((*told, *_cliffs(learned), *_outcome(trained)), paneled(panels, "Length", caption))


def _rates(rows: list[Row]) -> tuple[list[Curve], list[str]]:
    """Return the rate over the length of each network, and how flat it is."""
    drawn, lines = [], []
    for (cell, bias), some in group(rows, "cell", "forget_bias").items():
        found = curves(some, "length", "decay_rate", "cell", "forget_bias")
        if not found:
            continue
        curve = found[0]
        drawn.append(curve)
        long = [rate for length, rate in zip(curve.x, curve.y, strict=True) if length >= 50] or curve.y
        line = f"{curve.name}: decay rate {long[-1]:.3f} nat/step at {curve.x[-1]} steps, {np.ptp(long):.3f} between "
        line += "the largest and the least from 50 steps on"
        if bias is not None:
            theory = zero_state_rate(cell, bias)
            drawn.append(beside(curve, dict.fromkeys(curve.x, theory).__getitem__, f"{curve.name}, zero state"))
            line += f"; {long[-1] - theory:+.3f} off the zero state"
        lines.append(f"{line}.")
    return drawn, lines


def _against(rows: list[Row]) -> list[Curve]:
    """Return accuracy against what arrives before training, a point for each network and length."""
    found = []
    for (cell,), some in group(rows, "cell").items():
        cells = [
            tuple(mean_and_spread(members, key)[0] for key in ("arrives", "accuracy_after"))
            for members in group(some, "forget_bias", "length").values()
        ]
        x, y = zip(*((at, value) for point in cells for at, value in (point, APART)), strict=True)
        found.append(Curve(f"{cell}, each network and length", x, y, dots=True))
    return found


def _cliffs(learned: list[Curve]) -> list[str]:
    """Return up to which length each network learns."""
    lines = []
    for curve in learned:
        good = [length for length, right in zip(curve.x, curve.y, strict=True) if right > LEARNED]
        most = f"up to {max(good)} steps" if good else "at no length"
        lines.append(f"{curve.name}: accuracy {listed(curve, 'at {} steps')}; over {LEARNED} {most}.")
    return lines


def _outcome(rows: list[Row]) -> list[str]:
    """Return how many networks learn of those whose first gradient is lost, and of the others."""
    rows = [row for row in rows if row["arrives"] is not None and row["accuracy_after"] is not None]
    lines = []
    for name, some in (
        ("10^-3 or less of a gradient arrives", [row for row in rows if row["arrives"] <= -3]),
        ("more arrives", [row for row in rows if row["arrives"] > -3]),
    ):
        many = sum(row["accuracy_after"] > LEARNED for row in some)
        lines.append(f"Before training {name}: {many} of {len(some)} networks learn.")
    return lines if rows else []
