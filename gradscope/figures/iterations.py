"""The axis of the iterations of a training: evenly, or so that early updates, which change the most, have room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError, unknown
from gradscope.figures import given, palette
from gradscope.figures.frame import Canvas
from gradscope.record import Record, Status

__all__ = [
    "SCALES",
    "TITLES",
    "Moments",
    "ascending",
    "axis_of_iterations",
    "chosen_scale",
    "iteration_at",
    "iteration_places",
    "mark_iteration",
]

Moments = Mapping[int, Record] | Iterable[tuple[int, Record]]
"""What was probed on the way: records by iteration, or pairs of both."""

SCALES = ("linear", "log")
TITLES = {"linear": "iteration n", "log": "iteration n, log scale"}
UNEVEN = 4.0  # largest distance of two probes over the usual one, from which on the axis is logarithmic
LADDERS = ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
MOST = 9  # ticks


def ascending(records: Moments) -> Iterator[tuple[int, Record]]:
    """Yield iterations and their records, a mapping in ascending order and pairs as they come.

    Raises
    ------
    ArgumentError
        When there is none, pairs that do not ascend, and for what is no record.
    """
    latest: int | None = None
    for iteration, record in given.moments(records):
        if latest is not None and iteration <= latest:
            raise ArgumentError(
                f"`records` must ascend, got {iteration} after {latest}. Give a dict, or sort the pairs."
            )
        latest = iteration
        yield iteration, record
    if latest is None:
        raise ArgumentError(
            "`records` must hold at least one iteration, got none. Read them with `store.records(run, names)`."
        )


def chosen_scale(iterations: Iterable[int], scale: str | None = None) -> str:
    """Return the scale that is asked for, else the one that suits: ``"log"`` where the distances differ much.

    Raises
    ------
    ArgumentError
        For another scale than those of ``SCALES``.

    Examples
    --------
    >>> chosen_scale([0, 100, 200, 300]), chosen_scale([0, 1, 3, 10, 32, 100])
    ('linear', 'log')
    """
    if scale is not None:
        if scale not in SCALES:
            raise unknown("scale", scale, SCALES, "Or give none for the one that suits.")
        return scale
    steps = np.diff(np.array(list(iterations), float))
    return "log" if len(steps) and steps.max() > UNEVEN * np.median(steps) else "linear"


def iteration_places(iterations: Any, scale: str) -> np.ndarray:
    """Return where iterations stand: where they are, or at log10(n + 1), which has a place for 0."""
    numbers = np.asarray(iterations, float)
    return np.log10(numbers + 1) if scale == "log" else numbers


def iteration_at(places: Any, scale: str) -> np.ndarray:
    """Return what stands at places of the axis."""
    return 10.0 ** np.asarray(places, float) - 1 if scale == "log" else np.asarray(places, float)


def axis_of_iterations(low: float, high: float, scale: str) -> dict[str, Any]:
    """Return the axis between two places.

    A logarithmic one is linear in log10(n + 1), and its ticks say n.
    """
    shared: dict[str, Any] = {"range": [low, high], "showgrid": False}
    if scale == "linear":
        ticks = {"tickformat": ",d", "nticks": 8} if high - low > 8 else {"tickmode": "linear", "tick0": 0, "dtick": 1}
        return shared | ticks | {"title": {"text": TITLES[scale]}, "unifiedhovertitle": {"text": "iteration %{x:,d}"}}
    numbers = _ticks(float(iteration_at(high, scale)))
    return shared | {
        "tickmode": "array",
        "tickvals": iteration_places(numbers, scale).tolist(),
        "ticktext": [f"{number:,}" for number in numbers],
        "title": {"text": TITLES[scale]},
        "unifiedhovertitle": {"text": "iteration: value"},
    }


def _ticks(last: float) -> list[int]:
    """Return the iterations that are named on a logarithmic axis."""
    decades = range(int(np.log10(max(last, 1))) + 1)
    for ladder in LADDERS:
        numbers = [0, *(step * 10**decade for decade in decades for step in ladder if step * 10**decade <= last)]
        if len(numbers) <= MOST:
            break
    return numbers


def mark_iteration(canvas: Canvas, iteration: int, scale: str, halo: bool = False) -> None:
    """Draw the iteration at which a training stopped being finite; a halo parts the line from a heat map."""
    at = float(iteration_places(iteration, scale))
    line = {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1}
    if halo:
        canvas.layout["shapes"].append(line | {"line": {"color": "rgba(255,255,255,0.85)", "width": 4}})
    colour = palette.STATUSES[Status.NAN][1]
    canvas.layout["shapes"].append(line | {"line": {"color": colour, "width": 1.5, "dash": "dot"}})
