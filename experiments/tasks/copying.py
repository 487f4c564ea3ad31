"""Copy memory: ten symbols to repeat after a long silence.

Ten steps hold one of eight symbols each; then come blanks, the last of them with a signal to start; during the last
ten steps the network must say the ten symbols in their order, and "blank" at every step before. A network that has
forgotten knows when to be silent and guesses the rest, which costs 10 ln 8 / T over all T steps. Source: Hochreiter &
Schmidhuber 1997; in this form Arjovsky, Shah & Bengio 2016, whose T is the silence: T - 20 here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .task import Baseline, Batch, Generated, Lengths, one_hot

__all__ = ["CopyMemory"]

SYMBOLS = 8
COPIED = 10
BLANK, SIGNAL = SYMBOLS, SYMBOLS + 1

LENGTHS = Lengths(120, 2 * COPIED + 1, "Ten symbols, the signal and their recall take 21.")


@dataclass(frozen=True, kw_only=True)
class CopyMemory(Generated):
    """Ten of eight symbols, a silence of T - 20 steps, the signal in its last step, then the recall.

    The loss counts every step; the accuracy counts the ten symbols that must be recalled.
    """

    input_size: int = SYMBOLS + 2
    output_size: int = SYMBOLS + 1
    lengths: Lengths = LENGTHS
    each_step: bool = True

    def generate(self, rng: np.random.Generator, size: int, length: int) -> Batch:
        """Return ``size`` sequences: inputs (T, B, 10) one-hot, targets (T, B)."""
        symbols = np.full((length, size), BLANK)
        symbols[:COPIED] = rng.integers(SYMBOLS, size=(COPIED, size))
        symbols[-COPIED - 1] = SIGNAL
        targets = np.full((length, size), BLANK)
        targets[-COPIED:] = symbols[:COPIED]
        asked = np.zeros((length, size), bool)
        asked[-COPIED:] = True
        return Batch(one_hot(symbols, self.input_size), targets, asked=asked)

    def baseline(self, batch: Batch) -> Baseline:
        """Return what silence until the signal and a guess at each symbol cost."""
        return Baseline(COPIED * math.log(SYMBOLS) / batch.length, 1 / SYMBOLS)
