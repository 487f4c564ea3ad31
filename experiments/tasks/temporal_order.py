"""Temporal order: to name which of X and Y came first, and which then.

Two or three steps far apart hold X or Y; all others hold one of four distractors, the first E, the last B. After the
last step the network names the order: XX, XY, YX or YY, or one of eight. Nothing can be guessed from the end of a
sequence, and no sequence has a short way to learn from. Source: Hochreiter & Schmidhuber 1997,
experiments 6a (two symbols, four classes) and 6b (three, eight).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .task import Baseline, Batch, Generated, Lengths, one_hot

__all__ = ["ALPHABET", "TemporalOrder"]

ALPHABET = "EBabcdXY"

LENGTHS = Lengths(50, 10, "Each symbol needs a window of its own.")


@dataclass(frozen=True, kw_only=True)
class TemporalOrder(Generated):
    """Symbols X and Y at random places within stated windows; the target is their order as a binary number.

    Attributes
    ----------
    windows : tuple of pairs of int
        First and last step of each relevant symbol in a sequence of ``scale`` steps; they stretch with the length.
    scale : int
    slack : int
        By how many steps of ``scale`` a sequence may be shorter; all lengths between are equally frequent, and the
        rest is padding.
    """

    input_size: int = len(ALPHABET)
    output_size: int = 4
    lengths: Lengths = LENGTHS
    windows: tuple[tuple[int, int], ...] = ((3, 12), (25, 40))
    scale: int = 50
    slack: int = 0

    def generate(self, rng: np.random.Generator, size: int, length: int) -> Batch:
        """Return ``size`` sequences: inputs (T, B, 8) one-hot, targets (B,)."""
        symbols = rng.integers(2, 6, (length, size))
        every, targets = np.arange(size), np.zeros(size, np.int64)
        for low, high in self.windows:
            low, high = (round(edge * length / self.scale) for edge in (low, high))
            answer = rng.integers(2, size=size)
            symbols[rng.integers(low, high + 1, size), every] = ALPHABET.index("X") + answer
            targets = 2 * targets + answer
        steps = length - rng.integers(self.slack * length // self.scale + 1, size=size)
        symbols[0], symbols[steps - 1, every] = ALPHABET.index("E"), ALPHABET.index("B")
        inputs = one_hot(symbols, len(ALPHABET))
        valid = np.arange(length)[:, None] < steps
        inputs[~valid] = 0.0
        return Batch(inputs, targets, valid=valid if self.slack else None)

    def baseline(self, batch: Batch) -> Baseline:
        """Return what equal chances for all orders cost."""
        return Baseline(math.log(self.output_size), 1 / self.output_size)
