"""Numbers, names and verdicts as a page says them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from gradscope.probes import catalogue

__all__ = ["ago", "aria", "count", "interval", "label", "number", "setting", "task", "title", "unit", "verdict"]

MISSING = "–"
RAISED = str.maketrans("+-.0123456789", "⁺⁻·⁰¹²³⁴⁵⁶⁷⁸⁹")
TASKS = {
    "digits_pixel": "Handwritten digits, read pixel by pixel",
    "digits_row": "Handwritten digits, read row by row",
    "digits_delayed": "Handwritten digits, the one to name first and others after it",
}


def number(value: Any, digits: int = 3) -> str:
    """Write a number for reading: NaN and infinities by name, a missing one as a dash, text as it is.

    Examples
    --------
    >>> number(0.034567), number(-1234.5), number(2.5e-7), number(float("inf")), number(None), number(64)
    ('0.0346', '−1234', '2.5e−7', '∞', '–', '64')
    """
    if value is None:
        return MISSING
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e5):
        return str(int(value)).replace("-", "−")
    size = abs(value)
    if 1e-3 <= size < 1e5:
        text = f"{value:.{max(0, digits - 1 - math.floor(math.log10(size)))}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text.replace("-", "−")


def label(name: str) -> str:
    """Return a parameter's or metric's name as a heading: a probe's title where it has one."""
    words = catalogue.words(name)
    return words[:1].upper() + words[1:]


def unit(name: str) -> str:
    """Return the unit of a metric, empty where it has none."""
    return catalogue.unit(name).replace("1", "")


def title(config: Mapping[str, Any]) -> str:
    """Return what a run is, in a few words.

    Examples
    --------
    >>> title({"cell": "LSTM", "hidden_size": 64, "activation": "softsign", "forget_bias": 1.0, "length": 200})
    'LSTM, 64 units, softsign, forget bias 1, 200 steps'
    """
    parts = [str(config.get("cell", "Run"))]
    if config.get("hidden_size") is not None:
        parts.append(f"{number(config['hidden_size'])} units")
    if config.get("activation") is not None:
        parts.append(str(config["activation"]))
    if config.get("forget_bias") is not None:
        parts.append(f"forget bias {number(config['forget_bias'])}")
    if config.get("length") is not None:
        parts.append(f"{number(config['length'])} steps")
    return ", ".join(parts)


def verdict(text: str) -> str:
    """Write a verdict's power of e with a raised exponent.

    Examples
    --------
    >>> verdict("vanishing: e^-39 over 200 steps")
    'vanishing: e⁻³⁹ over 200 steps'
    """
    return re.sub(r"\^([+-]?\d+(?:\.\d+)?)", lambda power: power[1].translate(RAISED), text)


def interval(low: Any, high: Any) -> str:
    """Write an interval, or nothing where there is none."""
    if low is None or high is None or any(isinstance(v, float) and math.isnan(v) for v in (low, high)):
        return ""
    return f"[{number(low)}, {number(high)}]"


def ago(seconds: float) -> str:
    """Write how long ago something was, in the largest unit that fits."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"


def count(size: int, noun: str) -> str:
    """Write a number of things: ``1 run``, ``2 runs``."""
    return f"{size:,} {noun}" + ("" if size == 1 else "s")


def setting(value: Any) -> str:
    """Write the value of a parameter."""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else number(value)


def task(config: Mapping[str, Any]) -> str:
    """Return what the network was given to do, in words."""
    return TASKS.get(str(config["task"]), str(config["task"]))


def aria(**attributes: str) -> dict[str, Any]:
    """Return what a screen reader is told of a component, e.g. ``**aria(label="Columns")``."""
    return {f"aria-{name}": value for name, value in attributes.items()}
