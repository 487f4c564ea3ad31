"""Colours by meaning: each gate, block, cell, verdict and status has its own, in every figure.

The hues were chosen together for the least confusion under protanopia, deuteranopia and tritanopia (Machado, Oliveira
& Fernandes 2009, distances in OKLab) among those that stand out on a white page and on a dark card alike, so that a
figure changes its theme without changing a trace. Where lines meet, a dash tells them apart once more.
"""

from __future__ import annotations

import numpy as np

from gradscope.record import Status

__all__ = [
    "COLOURS",
    "DASHED",
    "DASHES",
    "DIVERGING",
    "NEUTRAL",
    "RAMP",
    "SEQUENTIAL",
    "STATUSES",
    "colour",
    "dash",
    "faded",
    "ramp",
    "scale",
]

BLUE, GREEN, ORANGE = "#2f7fe0", "#2fa57c", "#f2790f"
MAGENTA, LAVENDER, OLIVE = "#c5358b", "#9d8be4", "#8f7200"
RED = "#d6403a"
NEUTRAL = "#868e96"

#: What is kept is blue, what is written green, what is shown magenta: gates and flows agree.
COLOURS = {
    "forget": BLUE,
    "update": BLUE,
    "input": GREEN,
    "candidate": ORANGE,
    "output": MAGENTA,
    "reset": LAVENDER,
    "hidden": NEUTRAL,
    "value": GREEN,
    "attention": LAVENDER,
    "retained": BLUE,
    "written": GREEN,
    "exposed": MAGENTA,
    "total": BLUE,
    "direct": ORANGE,
    "highway": GREEN,
    "rest": ORANGE,
    "cell state": GREEN,
    "h": ORANGE,
    "c": BLUE,
    "h-h": ORANGE,
    "h-c": LAVENDER,
    "c-h": GREEN,
    "c-c": BLUE,
    "RNN": ORANGE,
    "LSTM": BLUE,
    "GRU": GREEN,
    "left": LAVENDER,
    "right": ORANGE,
    "vanishing": BLUE,
    "stable": GREEN,
    "exploding": ORANGE,
    "diverged": MAGENTA,
    "undetermined": NEUTRAL,
    "running": LAVENDER,
    "failed": RED,
    "interrupted": OLIVE,
}

DASHED = "7px,4px"  #: In pixels, or Plotly stretches it in the legend, where one dash alone is seen.
DASHES = {"h-c": DASHED, "c-h": DASHED, "direct": DASHED, "cell state": "3px,3px", "reset": DASHED, "rest": DASHED}

#: Words and colour of every status that a figure sets apart.
STATUSES = {
    Status.ZERO: ("exactly zero", OLIVE),
    Status.NAN: ("NaN", MAGENTA),
    Status.INF: ("inf", ORANGE),
    Status.MASKED: ("masked", NEUTRAL),
    Status.NOT_APPLICABLE: ("not applicable", NEUTRAL),
    Status.NOT_COMPUTED: ("not computed", NEUTRAL),
}

SEQUENTIAL = ("#2e1e3b", "#413d7b", "#37659e", "#348fa7", "#40b7ad", "#8bdab2", "#def5e5")

#: For what has an order and no meaning of its own: ranks, steps, inputs.
RAMP = (BLUE, GREEN, OLIVE)

#: Grows (below zero) in orange, shrinks (above zero) in blue; the middle belongs to the theme.
DIVERGING = {
    "light": ("#a34700", "#e2761b", "#f7bd8b", "#f5f5f3", "#a3c8f4", "#3a86e4", "#174f9c"),
    "dark": ("#ffb981", "#e87d24", "#8f5220", "#404142", "#2f598e", "#4a93ea", "#b3d3fb"),
}


def colour(meaning: str) -> str:
    """Return the colour of a gate, block, cell, flow or verdict; grey for what has none."""
    return COLOURS.get(meaning, NEUTRAL)


def dash(meaning: str) -> str:
    """Return the dash of a line by its meaning."""
    return DASHES.get(meaning, "solid")


def faded(hexadecimal: str, alpha: float) -> str:
    """Return a colour with an opacity, as plotly reads it."""
    red, green, blue = (int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def scale(colours: tuple[str, ...]) -> list[list]:
    """Return colours at equal distances, as a plotly colour scale."""
    return [[number / (len(colours) - 1), name] for number, name in enumerate(colours)]


def ramp(number: int) -> list[str]:
    """Return so many colours in order, each of which stands out on both pages."""
    ends = np.array([[int(name[i : i + 2], 16) for i in (1, 3, 5)] for name in RAMP])
    places = np.linspace(0, len(RAMP) - 1, number) if number > 1 else np.zeros(1)
    channels = [np.interp(places, np.arange(len(RAMP)), ends[:, channel]) for channel in range(3)]
    return ["#" + "".join(f"{round(part):02x}" for part in parts) for parts in np.transpose(channels)]
