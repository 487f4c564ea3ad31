"""Gain and input together: the phase diagram of a driven network, with the critical line of theory.

Question: how much input does it take to silence chaos, and is a gain of 1 still the edge when there is any?

Prediction: no. The edge is where chi = g^2 E[phi'^2] = 1; input pushes units towards their flat parts and moves it to
larger gains (Molgedey, Schuchhardt & Schuster 1992; Chen, Pennington & Schoenholz 2018): for white input of variance 1
to 1.86 (tanh) and 2.67 (softsign). At the usual gain of 1 a tanh gradient then falls by 0.46 nat a step.

Command: gradscope sweep input_and_chaos --store input_and_chaos.db

Runtime: some ten seconds of CPU.

Reads as: orange explodes, blue vanishes; the colour turns on the dashed line chi = 1, which needs no fit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradscope import meanfield
from gradscope.figures import Figure
from gradscope.figures.reproductions import Curve, Plane, draw_plane
from gradscope.store import Store

from ..random_networks import exponents
from ..readings import Reading, done, group, mean_and_spread
from ..trials import Grid

NAME = "input_and_chaos"
SWEEPS = (
    Grid(
        NAME,
        exponents,
        activation=["tanh", "softsign"],
        units=200,
        input_variance=[0.01, 0.03, 0.1, 0.25, 0.5, 1.0],
        gain=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5],
        steps=300,
        burn_in=100,
        seed=0,
    ),
)


def read(store: Store) -> Reading:
    """Compare every cell with (1/2) ln chi, and the line where the sign turns with chi = 1."""
    lines: list[str] = []
    figures = []
    for (activation,), rows in group(done(store, NAME), "activation").items():
        gains = sorted({row["gain"] for row in rows})
        variances = sorted({row["input_variance"] for row in rows})
        cells = group(rows, "input_variance", "gain")
        values = np.full((len(gains), len(variances)), np.nan)
        for (variance, gain), found in cells.items():
            values[gains.index(gain), variances.index(variance)] = mean_and_spread(found, "lyapunov_1")[0]
        theory = [[meanfield.largest_exponent(gain, variance, activation) for variance in variances] for gain in gains]
        off = values - theory
        lines.append(
            f"{activation}: at most {np.nanmax(np.abs(off)):.3f} nat/step off theory over {np.isfinite(off).sum()} "
            f"networks, {np.nanmean(off):+.4f} on average."
        )
        fine = np.geomspace(min(variances), max(variances), 40)
        line = Curve("chi = 1", fine, [meanfield.critical_gain(variance, activation) for variance in fine], theory=True)
        turns = [_turn(np.array(gains), column) for column in values.T]
        measured = Curve("sign turns", variances, turns, dots=True)
        errors = [
            abs(turn - meanfield.critical_gain(s2, activation)) for s2, turn in zip(variances, turns, strict=True)
        ]
        if np.isfinite(errors).any():
            lines.append(f"{activation}: the measured edge lies at most {np.nanmax(errors):.3f} in gain off chi = 1.")
        titles = ("input variance [1]", "gain g [1]", "largest exponent [nat/step]")
        plane = Plane(variances, gains, values, titles, (line, measured), sided=True, log_x=True)
        figures.append(_drawn(plane, activation))
    return Reading(tuple(lines) or ("No run is finished.",), tuple(figures))


def _turn(gains: np.ndarray, exponents: np.ndarray) -> float:
    """Return the gain at which exponents cross 0, by interpolation; NaN where they do not."""
    above = np.flatnonzero((exponents[:-1] <= 0) & (exponents[1:] > 0))
    if not len(above):
        return float("nan")
    i = above[-1]
    part = exponents[i] / (exponents[i] - exponents[i + 1])
    return float(gains[i] + part * (gains[i + 1] - gains[i]))


def _drawn(plane: Plane, activation: str) -> Callable[[str], Figure]:
    """Return the drawing of a phase diagram."""
    caption = (
        "Orange: gradients explode; blue: they vanish. Dashed: where mean-field theory has chi = 1, without a fit."
    )
    return lambda template: draw_plane(plane, f"Input against chaos, {activation}", caption, template)
