"""Random inputs: white Gaussian noise, for networks that are measured and not trained.

Mean-field theory and Lyapunov exponents are stated for inputs that are white in time. Under a constant input of the
same variance the numbers are right on average and scatter ten times as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .task import Baseline, Batch, Generated, Lengths

__all__ = ["Noise"]

LENGTHS = Lengths(100, 1, "Count steps.")


@dataclass(frozen=True, kw_only=True)
class Noise(Generated):
    """Inputs from N(0, ``input_std``²), every one independent; nothing to learn."""

    input_size: int = 8
    output_size: int = 0
    lengths: Lengths = LENGTHS
    input_std: float = 1.0

    def generate(self, rng: np.random.Generator, size: int, length: int) -> Batch:
        """Return ``size`` sequences: inputs (T, B, I), no targets."""
        return Batch(self.input_std * rng.standard_normal((length, size, self.input_size)), None)

    def baseline(self, batch: Batch) -> Baseline:
        """Return that there is nothing to guess."""
        return Baseline(float("nan"))
