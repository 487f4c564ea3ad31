"""The largest Lyapunov exponent of random networks over the gain: where chaos begins, and how width blurs it.

Question: at which gain do gradients of an untrained network without input turn from vanishing to exploding, and does
softsign turn more gently than tanh?

Prediction: at a gain of 1 for both when the network is infinitely wide (Sompolinsky, Crisanti & Sommers 1988). Above
it tanh has 2/3 (g - 1)^2 and softsign pi/16 (g - 1)^2. Narrow networks fall below theory by some 3/N to 5/N, and
near 1 many end in fixed points or limit cycles, whose exponent is 0 or less.

Command: gradscope sweep largest_exponent --store largest_exponent.db

Runtime: about a minute of CPU.

Reads as: measured exponents over the gain against the line of theory, one colour for each width; then those of a gain
of 3 over 1/N, whose straight line must meet the theory at 1/N = 0.
"""

from __future__ import annotations

import numpy as np

from gradscope import meanfield
from gradscope.figures.reproductions import Curve, Panel, draw_panels
from gradscope.store import Store

from ..random_networks import exponents
from ..readings import Reading, done, group, mean_and_spread
from ..trials import Grid

NAME = "largest_exponent"
GAIN = 3.0  # of the extrapolation
SWEEPS = (
    Grid(
        NAME,
        exponents,
        activation=["tanh", "softsign"],
        units=[50, 100, 200, 400],
        gain=[0.8, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0],
        steps=1500,
        seed=[0, 1, 2],
    ),
)


def read(store: Store) -> Reading:
    """Compare with theory at the largest width, and extrapolate to infinite width."""
    rows = done(store, NAME)
    lines: list[str] = []
    over_gain, over_width = [], []
    for (activation,), some in group(rows, "activation").items():
        widths = group(some, "units")
        gains = np.array(sorted({row["gain"] for row in some}))
        theory = np.array([meanfield.largest_exponent(gain, 0.0, activation) for gain in gains])
        (widest,) = list(widths)[-1]
        for (units,), members in widths.items():
            measured = [mean_and_spread(found, "lyapunov_1") for found in group(members, "gain").values()]
            if units in (min(widths)[0], widest):
                mean, spread = np.array(measured).T
                own = [gain for (gain,) in group(members, "gain")]
                over_gain.append(Curve(f"{activation}, N = {units}", own, mean, spread, group=f"{activation} {units}"))
        fine = np.linspace(min(gains), max(gains), 80)
        line = [meanfield.largest_exponent(gain, 0.0, activation) for gain in fine]
        over_gain.append(Curve(f"{activation}, theory", fine, line, theory=True, group=f"{activation} {widest}"))
        wide = {
            gain: mean_and_spread(found, "lyapunov_1")[0] for (gain,), found in group(widths[widest,], "gain").items()
        }
        off = [
            wide[gain] - expected for gain, expected in zip(gains, theory, strict=True) if gain in wide and gain >= 2
        ]
        if off:
            lines.append(
                f"{activation}, N = {widest}, gains from 2 on: at most {np.abs(off).max():.4f} nat/step off theory, "
                f"{np.mean(off):+.4f} on average."
            )
        fit = _extrapolate(some)
        if fit is not None:
            inverse, mean, spread, intercept, slope, error = fit
            expected = meanfield.largest_exponent(GAIN, 0.0, activation)
            over_width.append(Curve(activation, inverse, mean, spread, group=f"{activation} {widest}"))
            ends = np.array([0.0, inverse.max()])
            over_width.append(
                Curve(f"{activation}, fit", ends, intercept + slope * ends, theory=True, group=f"{activation} fit")
            )
            over_width.append(
                Curve(
                    f"{activation}, N infinite",
                    [0.0],
                    [expected],
                    theory=True,
                    dots=True,
                    group=f"{activation} {widest}",
                )
            )
            lines.append(
                f"{activation}, gain {GAIN:g}, extrapolated to infinite N: {intercept:.4f} ± {error:.4f} nat/step, "
                f"theory {expected:.4f}: {intercept - expected:+.4f} off; the width costs {slope:+.2g}/N."
            )
    if not over_gain:
        return Reading(("No run is finished.",))
    panels = [Panel(over_gain, "gain g [1]", "largest Lyapunov exponent [nat/step]")]
    if over_width:
        panels.append(Panel(over_width, "1/N [1]", f"the same at gain {GAIN:g} [nat/step]"))
    caption = (
        "Above 0 gradients explode. Dashed: mean-field theory of infinite width, (1/2) ln chi. Bars: standard "
        "deviation over networks. Narrow networks are less chaotic than theory."
    )
    return Reading(tuple(lines), (lambda template: draw_panels(panels, "Where chaos begins", caption, template),))


def _extrapolate(rows: list[dict]) -> tuple | None:
    """Return 1/N, means and spreads at the chosen gain, and intercept, slope and error of a line through all runs."""
    widths = group([row for row in rows if row["gain"] == GAIN], "units")
    if len(widths) < 2:
        return None
    inverse = np.array([1 / units for (units,) in widths])
    mean, spread = np.array([mean_and_spread(found, "lyapunov_1") for found in widths.values()]).T
    points = np.array([(1 / row["units"], row["lyapunov_1"]) for found in widths.values() for row in found])
    # Networks scatter like 1/sqrt(N): each weighs as its width does.
    weights = 1 / np.sqrt(points[:, 0])
    design = np.column_stack([np.ones(len(points)), points[:, 0]])
    scaled = design * weights[:, None]
    (intercept, slope), *_ = np.linalg.lstsq(scaled, points[:, 1] * weights, rcond=None)
    rest = points[:, 1] * weights - scaled @ [intercept, slope]
    error = np.sqrt(rest @ rest / max(len(points) - 2, 1) * np.linalg.inv(scaled.T @ scaled)[0, 0])
    return inverse, mean, spread, float(intercept), float(slope), float(error)
