"""Schedules: when to probe during a training, and how the learning rate falls; plain functions of the iteration."""

from __future__ import annotations

import math
from collections.abc import Callable

from gradscope.errors import ArgumentError

__all__ = ["RATES", "Due", "ends", "every", "logarithmic", "rate_schedule", "schedule"]

Due = Callable[[int], bool]
"""From the number of updates made to whether to probe now."""

REMEDY = (
    "Use 'ends' for before and after, 'every:100' for each hundredth update, 'log' or 'log:8' for four or eight in "
    "each factor of ten."
)


def ends(iteration: int) -> bool:
    """Return False: the network is probed before and after the training alone."""
    return False


def every(count: int) -> Due:
    """Return the schedule that is due after each ``count`` updates."""
    return lambda iteration: iteration > 0 and iteration % count == 0


def logarithmic(count: int) -> Due:
    """Return the schedule that is due ``count`` times in each factor of ten: early updates change the most."""

    def due(iteration: int) -> bool:
        """Whether a power of 10**(1/count) rounds to the iteration."""
        if iteration < 1:
            return False
        near = round(count * math.log10(iteration))
        return any(round(10 ** (step / count)) == iteration for step in (near - 1, near, near + 1))

    return due


def schedule(text: str) -> Due:
    """Return the schedule of probes that ``text`` stands for.

    Raises
    ------
    ArgumentError
        For any other text than "ends", "every:N", "log" or "log:N".

    Examples
    --------
    >>> due = schedule("log")
    >>> [iteration for iteration in range(101) if due(iteration)]
    [1, 2, 3, 6, 10, 18, 32, 56, 100]
    """
    name, colon, number = text.partition(":") if isinstance(text, str) else ("", "", "")
    count = int(number) if number.isascii() and number.isdecimal() else 0
    if text == "ends":
        return ends
    if text == "log":
        return logarithmic(4)
    if colon and count and name in ("every", "log"):
        return every(count) if name == "every" else logarithmic(count)
    raise ArgumentError(f"`probe_schedule` must be ends, every:N, log or log:N, got {text!r}. {REMEDY}")


RATES: dict[str, Callable[[float, float], float]] = {
    "constant": lambda share, end: 1.0,
    "linear": lambda share, end: 1.0 + (end - 1.0) * share,
    "exponential": lambda share, end: end**share,
    "cosine": lambda share, end: end + (1.0 - end) * (1.0 + math.cos(math.pi * share)) / 2,
}
"""How the learning rate falls: from the share of the training that is over and the factor at its end, to a factor."""


def rate_schedule(name: str, end: float, iterations: int) -> Callable[[int], float]:
    """Return the function from the number of updates made to the factor on the learning rate of the next one.

    The first update has the factor 1, the last of ``iterations`` has ``end``.
    """
    last = max(iterations - 1, 1)
    return lambda iteration: RATES[name](iteration / last, end)
