"""Readings: what a study concludes from its runs, as lines with a number each, and as figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradscope.figures import Figure
from gradscope.figures.reproductions import Curve, Panel, draw_panels
from gradscope.probes.catalogue import words
from gradscope.record import Record
from gradscope.store import Store

__all__ = [
    "NOTHING",
    "Reading",
    "Row",
    "beside",
    "curves",
    "done",
    "farthest",
    "group",
    "listed",
    "mean_and_spread",
    "paneled",
    "records",
    "zero_state_rate",
]

Row = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """What a study reads from its runs.

    Attributes
    ----------
    lines : tuple of str
        Sentences, each with the number that it stands on; one says how far off theory or the published table it is.
    figures : tuple of callable
        Each draws a figure for a theme, ``draw("light")``.
    """

    lines: tuple[str, ...]
    figures: tuple[Callable[[str], Figure], ...] = ()


NOTHING = Reading(("No run is finished.",))
"""What a study reads from an empty store."""


def done(store: Store, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the finished runs of a study, last iteration each; with parameters only those that have these values."""
    rows = store.table(sweep=name, iteration="last")
    return [
        row
        for row in rows
        if row["status"] == "done" and all(row.get(key) == value for key, value in parameters.items())
    ]


def group(rows: Iterable[Row], *keys: str) -> dict[tuple, list[Row]]:
    """Return rows by the values of some parameters, in the order of the values."""
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    return dict(
        sorted(found.items(), key=lambda item: tuple((value is not None, str(type(value)), value) for value in item[0]))
    )


def mean_and_spread(rows: Sequence[Row], metric: str) -> tuple[float, float]:
    """Return the mean and the standard deviation over rows of a metric, what is not finite left out; NaN for none."""
    values = np.array([row[metric] for row in rows if isinstance(row.get(metric), (int, float))], float)
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def records(store: Store, rows: Iterable[Row], names: Sequence[str]) -> list[tuple[Row, Record]]:
    """Return rows with some arrays of their last record."""
    return [(row, store.record(row["run"], row["iteration"], names)) for row in rows if row["iteration"] is not None]


def curves(rows: Iterable[Row], x: str, metric: str, *by: str) -> list[Curve]:
    """Return a metric over a parameter, mean and spread over the others, a curve for each value of ``by``."""
    found = []
    for values, some in group(rows, *by).items():
        points = [(at, *mean_and_spread(members, metric)) for (at,), members in group(some, x).items()]
        points = [point for point in points if np.isfinite(point[1])]
        if points:
            name = ", ".join(_said(key, value) for key, value in zip(by, values, strict=True) if value is not None)
            places, mean, spread = zip(*points, strict=True)
            found.append(Curve(name or metric, list(places), mean, spread))
    return found


def listed(curve: Curve, noun: str, form: str = ".2f") -> str:
    """Return the numbers of a curve in words: ``0.25 at 20 steps, 0.31 at 50 steps``."""
    return ", ".join(f"{y:{form}} {noun.format(x)}" for x, y in zip(curve.x, curve.y, strict=True))


def beside(curve: Curve, expected: Callable[[Any], float], name: str) -> Curve:
    """Return theory at the places of a measured curve, in its colour: a function of the parameter."""
    values = [expected(at) for at in curve.x]
    return replace(curve, name=name, y=values, spread=None, theory=True, group=curve.group or curve.name)


def farthest(curve: Curve, theory: Curve) -> float:
    """Return how far a curve is off theory at most; NaN without a point."""
    off = np.abs(np.subtract(curve.y, theory.y))
    return float(off.max()) if len(off) else float("nan")


def zero_state_rate(cell: str, bias: float) -> float:
    """Return the decay rate of an LSTM or GRU with orthogonal weights around the zero state, in nat/step.

    The gate that keeps stands at k = sigmoid(bias), all others at 1/2, and every eigenvalue of the candidate's weights
    has the modulus 1: the largest eigenvalue of the Jacobian is k + 1/4 for an LSTM and k + (1 - k)/2 for a GRU.
    Where that is above 1 the zero state is not stable; a state that grows saturates its activation, which cuts the
    loop, and what is left is about 0.
    """
    keep = 1 / (1 + np.exp(-bias))
    loop = {"LSTM": 0.25, "GRU": (1 - keep) / 2}[cell]
    return max(0.0, float(-np.log(keep + loop)))


def _said(key: str, value: Any) -> str:
    """Return a value with the name of its parameter, where it does not speak for itself."""
    return value if isinstance(value, str) else f"{words(key)} {value:g}"


def paneled(panels: Sequence[Panel], heading: str, caption: str) -> tuple[Callable[[str], Figure], ...]:
    """Return the drawing of those panels that hold a curve, as the figures of a reading."""
    held = [panel for panel in panels if panel.curves]
    return (lambda template: draw_panels(held, heading, caption, template),) if held else ()
