"""Values of parameters in figures: their order, their words, and the look that each keeps."""

from __future__ import annotations

import html
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.figures import palette, scales
from gradscope.probes.catalogue import EVERY, words

__all__ = [
    "DASHES",
    "HUES",
    "MOMENTS",
    "Look",
    "is_number",
    "label",
    "looks",
    "numbered",
    "ordered",
    "plain",
    "same",
    "standing",
    "titled",
]

HUES = (palette.BLUE, palette.ORANGE, palette.GREEN, palette.MAGENTA, palette.LAVENDER, palette.OLIVE)
DASHES = ("solid", "7px,3px", "8px,2px,1px,2px", "4px,2px", "12px,3px", "12px,2px,1px,2px,1px,2px")
NONE = "none"
MOMENTS = ("before training", "after training")
KNOWN = (*EVERY, *MOMENTS)  # words that have an order of their own
FACT = {True: "yes", False: "no"}

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Look:
    """How a group is drawn: its colour and the dash of its line."""

    colour: str
    dash: str = DASHES[0]


def is_number(entry: Any) -> bool:
    """Return whether a value counts as a number; truth values do not."""
    return isinstance(entry, (int, float, np.number)) and not isinstance(entry, bool)


def same(entry: Any) -> Hashable:
    """Return what tells the values of a parameter apart: 1 and 1.0 are one, 1 and True are two, NaN is one."""
    if is_number(entry):
        return (False, "nan" if entry != entry else float(entry))
    return (isinstance(entry, bool), str(entry))


def ordered(values: Iterable[Any]) -> list[Any]:
    """Return the different values in order: none first, then numbers, then words, cells from the simplest."""
    return sorted({same(entry): entry for entry in values}.values(), key=standing)


def standing(entry: Any) -> tuple[int, float, str]:
    """Return where a value of a parameter stands among others: none first, then numbers, then words."""
    if entry is None:
        return (0, 0.0, "")
    if is_number(entry):
        return (1, float("inf") if entry != entry else float(entry), "")
    return (2, float(KNOWN.index(entry)) if entry in KNOWN else float(len(KNOWN)), str(entry))


def label(entry: Any) -> str:
    """Return a value as plain text."""
    if entry is None:
        return NONE
    if isinstance(entry, bool):
        return FACT[entry]
    return scales.value(float(entry), 6) if is_number(entry) else str(entry)


def titled(name: str, entry: Any) -> str:
    """Return a parameter with its value, a word without the parameter: ``forget bias 1``, ``LSTM``."""
    return entry if isinstance(entry, str) else f"{words(name)} {label(entry)}"


def plain(text: str) -> str:
    """Return text that plotly writes as it is: what comes from a store is never markup."""
    return html.escape(text, quote=False)


def looks(keys: Sequence[Key], among: Sequence[Key] | None = None, *, dashed: bool = True) -> dict[Key, Look]:
    """Return the look of each group by the values of the parameters that make it.

    The first parameter gives the colour: numbers lie on an ordered scale, cells and verdicts have colours of their own,
    other words one hue each. The others give the dash. Where there are more combinations than dashes, each combination
    has its own hue or place on the scale instead.

    Parameters
    ----------
    keys : sequence of tuple
        The values of the parameters, for each group.
    among : sequence of tuple, optional
        Every combination that there is, on show or not, so that a group keeps its look when others come and go.
    dashed : bool
        Whether dashes may tell groups apart; else every line is solid.

    Returns
    -------
    dict of tuple to Look
    """
    every = [*keys, *(among or ())]
    firsts, rests = ordered(key[0] for key in every), _distinct(key[1:] for key in every)
    if len(rests) > (len(DASHES) if dashed else 1):
        places = _distinct(every)
        scale = HUES if len(places) <= len(HUES) else palette.ramp(len(places))
        return {key: Look(scale[_index(places, key)]) for key in keys}
    hues = _hues(firsts)
    alone = len(rests) < 2 and dashed  # then the dash is free for words that share a hue
    return {
        key: Look(hues[same(key[0])].colour, hues[same(key[0])].dash if alone else DASHES[_index(rests, key[1:])])
        for key in keys
    }


def _distinct(keys: Iterable[Key]) -> list[Key]:
    """Return the different combinations in order."""
    found = {tuple(map(same, key)): key for key in keys}
    return sorted(found.values(), key=lambda key: tuple(map(standing, key)))


def _index(places: Sequence[Key], key: Key) -> int:
    """Return where a combination stands among others."""
    return [tuple(map(same, one)) for one in places].index(tuple(map(same, key)))


def _hues(values: Sequence[Any]) -> dict[Hashable, Look]:
    """Return the look of each value of one parameter; none is grey."""
    real = [entry for entry in values if entry is not None]
    found = {same(None): Look(palette.NEUTRAL)}
    if real and all(isinstance(entry, str) and entry in palette.COLOURS for entry in real):
        return found | {same(entry): Look(palette.colour(entry)) for entry in real}
    if real and all(map(is_number, real)):
        return found | {same(entry): Look(hue) for entry, hue in zip(real, palette.ramp(len(real)), strict=True)}
    return found | {same(entry): numbered(number) for number, entry in enumerate(real)}


def numbered(number: int) -> Look:
    """Return the look of the n-th of things without an order: a hue, and a dash once the hues are used up."""
    return Look(HUES[number % len(HUES)], DASHES[number // len(HUES) % len(DASHES)])
