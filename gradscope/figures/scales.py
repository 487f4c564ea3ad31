"""Numbers as text, and axes that hold log10 values and read as powers of ten."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

__all__ = ["bounds", "count", "linear_axis", "log_axis", "power", "value"]

MINUS = "\N{MINUS SIGN}"
LADDERS = ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))


def power(log10: float, digits: int = 9) -> str:
    """Return 10**log10 as text, however far outside the float range: ``6.31×10<sup>−412</sup>``."""
    if not math.isfinite(log10):
        return "NaN" if math.isnan(log10) else "inf" if log10 > 0 else "exactly 0"
    if -3 <= log10 < 6:
        return _plain(10**log10, digits)
    exponent = math.floor(log10)
    mantissa = f"{10 ** (log10 - exponent):.{digits}g}"
    if mantissa.startswith("10"):  # rounded up
        mantissa, exponent = "1", exponent + 1
    return f"{mantissa}×{_ten(exponent)}"


def value(number: float, digits: int = 9) -> str:
    """Return a number as text, with a power of ten where it is far from 1."""
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "inf" if number > 0 else f"{MINUS}inf"
    if number == 0 or 1e-4 <= abs(number) < 1e6:
        return _plain(number, digits).replace("-", MINUS)
    return ("" if number > 0 else MINUS) + power(math.log10(abs(number)), digits)


def _plain(number: float, digits: int) -> str:
    """Return a number in so many digits, all of those before the point at least."""
    return f"{number:.0f}" if abs(number) >= 10**digits else f"{number:.{digits}g}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it must be."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@functools.cache
def _ten(exponent: int) -> str:
    """Return a power of ten with a real superscript."""
    return f"10<sup>{str(exponent).replace('-', MINUS)}</sup>"


def bounds(finite: np.ndarray, least: float) -> tuple[float, float]:
    """Return an interval around finite values, a little wider than they are and at least ``least`` wide."""
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 0.0)
    pad = max(0.04 * (high - low), (least - (high - low)) / 2)
    return low - pad, high + pad


def log_axis(low: float, high: float) -> dict[str, Any]:
    """Return an axis for log10 values between two bounds; its ticks read 0.02, 1, 10^-8.

    Beyond three decades plotly chooses the ticks, so that they follow a zoom; within, they stand at 1, 2, 5.
    """
    if high - low > 3:
        prefix = {"tickprefix": "10<sup>", "ticksuffix": "</sup>"}
        return prefix | {"range": [low, high], "nticks": 6, "tickformat": "~g"}
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    for ladder in LADDERS:
        ticks = [(step, decade) for decade in decades for step in ladder if low <= np.log10(step) + decade <= high]
        if len(ticks) <= 7:
            break
    return {
        "range": [low, high],
        "tickmode": "array",
        "tickvals": [float(np.log10(step) + decade) for step, decade in ticks],
        "ticktext": [_tick(step, decade) for step, decade in ticks],
    }


def _tick(step: float, decade: int) -> str:
    """Return the label of step * 10**decade."""
    if -3 <= decade <= 4:
        return f"{step * 10.0**decade:g}"
    return _ten(decade) if step == 1 else f"{step}×{_ten(decade)}"


def linear_axis(finite: np.ndarray, limit: float | None = None) -> dict[str, Any]:
    """Return an axis from zero, or from below if need be, that ends just above the values, at most at ``limit``."""
    low = min(0.0, float(finite.min())) if len(finite) else 0.0
    high = float(finite.max()) if len(finite) else 1.0
    top = high + 0.06 * (high - low) if high > low else low + 1.0
    if limit is not None:
        top = min(max(top, 0.05 * limit), limit * 1.02)
    bottom = low if low == 0 else low - 0.04 * (top - low)
    return {"range": [bottom - 0.012 * (top - bottom), top], "nticks": 6}
