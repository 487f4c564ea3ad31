"""A sigmoid applied again and again: the flattening that every plain recurrent unit inherits.

Question: what is left of the input of a function after it has been applied to its own output many times?

Prediction: next to nothing. The largest slope of a sigmoid is 1/4, so that n applications have a slope of at most
4^-n, and all inputs end in the one fixed point 0.6590; tanh keeps its slope of 1 at 0 alone, where the output falls as
sqrt(3/(2n)); softsign has the closed form x/(1 + n|x|), with the slope (1 + n|x|)^-2.

Command: gradscope sweep repeated_sigmoid --store repeated_sigmoid.db

Runtime: under a second.

Reads as: the function after 1, 2, 4, ... applications, which turns into a flat line; then its largest slope over their
number, falling as a straight line on a log axis for the sigmoid and as a power for the others.
"""

from __future__ import annotations

import numpy as np

from gradscope.activations import activation as find_activation
from gradscope.figures.reproductions import Curve, Panel
from gradscope.record import Field, Record
from gradscope.store import Store

from ..readings import NOTHING, Reading, done, paneled, records
from ..trials import Grid

NAME = "repeated_sigmoid"
TIMES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
SHOWN = (1, 2, 4)


def measure(rng: np.random.Generator, activation: str, start: float, points: int) -> Record:
    """Measure the function and its slope after each number of applications; nothing is left to chance."""
    rule, x = find_activation(activation), np.linspace(-6.0, 6.0, points)
    x[np.argmin(np.abs(x - start))] = start
    value, log_slope, values, slopes = x, np.zeros(points), [], []
    for count in range(1, max(TIMES) + 1):
        before, value = value, rule.function(value)
        log_slope = log_slope + np.log10(rule.slope(before, value))
        if count in TIMES:
            values.append(value)
            slopes.append(log_slope)
    axes, coords = ("times", "x"), {"times": list(TIMES), "x": x.tolist()}
    place = int(np.argmin(np.abs(x - start)))
    summary = {f"slope_{count}": float(row[place]) for count, row in zip(TIMES, slopes, strict=True)}
    summary |= {f"spread_{count}": float(np.ptp(row)) for count, row in zip(TIMES, values, strict=True)}
    fields = {
        "value": Field("value", np.array(values), axes, "1", coords),
        "slope": Field("slope", np.array(slopes), axes, "log10", coords),
    }
    return Record(fields, summary)


SWEEPS = (Grid(NAME, measure, activation=["sigmoid", "tanh", "softsign"], start=0.7, points=241),)


def read(store: Store) -> Reading:
    """Compare softsign's slope with its closed form, and the sigmoid's with 4^-n."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    lines, functions, slopes = [], [], []
    for row, record in records(store, rows, ["value", "slope"]):
        name, times = row["activation"], np.array(TIMES)
        field = record.field("value")
        for count in SHOWN:
            if name == "sigmoid":
                label = f"{name}, {count} times"
                functions.append(Curve(label, field.coord("x"), field.values[TIMES.index(count)]))
        at_start = np.array([row[f"slope_{count}"] for count in TIMES])
        slopes.append(Curve(name, times, 10.0**at_start))
        if name == "softsign":
            exact = -2 * np.log10(1 + times * row["start"])
            slopes.append(Curve("(1 + n x)^-2", times, 10.0**exact, theory=True, group=name))
            off = np.abs(10 ** (at_start - exact) - 1).max()
            lines.append(f"softsign from x = {row['start']:g}: at most {off:.1e} off the closed form of its slope.")
        if name == "sigmoid":
            slopes.append(Curve("4^-n, the most there is", times, 4.0**-times, theory=True, group=name))
            most = np.max(record["slope"] + times[:, None] * np.log10(4.0))
            lines.append(f"sigmoid: largest slope over its bound 4^-n: {10**most:.3f} at most, never above 1.")
            last = TIMES[-1]
            lines.append(
                f"sigmoid, {last} times: all inputs lie within {row[f'spread_{last}']:.0e} of each other, slope "
                f"10^{at_start[-1]:.0f}."
            )
        if name == "tanh":
            fall = (at_start[-1] - at_start[-3]) / np.log10(TIMES[-1] / TIMES[-3])
            lines.append(f"tanh: the slope falls as n^{fall:.2f} at the end, n^-1.5 in the limit.")
    panels = [
        Panel(functions, "input x [1]", "sigmoid applied n times [1]"),
        Panel(slopes, "applications n [1]", "slope at x = 0.7 [1]", log_x=True, log_y=True),
    ]
    caption = "Left: what was a step becomes a flat line. Right: the slope of the n-fold function."
    return Reading(tuple(lines), paneled(panels, "Flattening under iteration", caption))
