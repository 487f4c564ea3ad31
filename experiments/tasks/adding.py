"""Adding: two marked numbers among many, and their sum to say after the last step.

A step holds a random number and a marker, which is 1 at two places and 0 elsewhere. Always to say the mean costs the
variance of the sum: 1/6 for numbers from 0 to 1, 2/3 for numbers from -1 to 1. The places are drawn from all steps, so
that there are always some short ways to learn from; temporal order has none. Source: Hochreiter & Schmidhuber 1997,
experiment 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .task import Baseline, Batch, Generated, Lengths

__all__ = ["Adding"]

LENGTHS = Lengths(100, 2, "Two different steps are marked.")


@dataclass(frozen=True, kw_only=True)
class Adding(Generated):
    """Numbers drawn uniformly from ``low`` to 1, two of them marked; the target is the sum of these two."""

    input_size: int = 2
    output_size: int = 1
    lengths: Lengths = LENGTHS
    loss: str = "squared_error"
    low: float = 0.0

    def generate(self, rng: np.random.Generator, size: int, length: int) -> Batch:
        """Return ``size`` sequences: inputs (T, B, 2) of number and marker, targets (B, 1)."""
        numbers = rng.uniform(self.low, 1.0, (length, size))
        first, second = rng.integers(length, size=size), rng.integers(length - 1, size=size)
        second += second >= first
        markers, every = np.zeros((length, size)), np.arange(size)
        markers[first, every] = markers[second, every] = 1.0
        total = numbers[first, every] + numbers[second, every]
        return Batch(np.stack([numbers, markers], axis=2), total[:, None])

    def baseline(self, batch: Batch) -> Baseline:
        """Return the variance of the sum of two numbers, which is what its mean costs."""
        return Baseline(2 * (1.0 - self.low) ** 2 / 12)
