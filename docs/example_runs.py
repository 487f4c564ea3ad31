"""The runs that the pages of probes show: small, real and the same each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

import gradscope as gs

__all__ = ["RUNS", "SHOWN", "Run", "record", "stack"]


@dataclass(frozen=True)
class Run:
    """One run that pages show.

    Attributes
    ----------
    words : str
        What it is, for a reader.
    make : callable
        Measures it with the full preset and returns the record.
    """

    words: str
    make: Callable[[], gs.Record]


def digits(batch: int, length: int) -> np.ndarray:
    """Return handwritten digits one below the other, read row by row, (T, B, 8), brightness from 0 to 16."""
    from sklearn.datasets import load_digits

    images = load_digits().images
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(images))[: batch * length // 8]
    return images[chosen].reshape(batch, length, 8).transpose(1, 0, 2)


def _digits(length: int = 120, valid: np.ndarray | None = None) -> gs.Record:
    """Return an LSTM that reads digits."""
    cell = gs.LSTM(input_size=8, hidden_size=32, forget_bias=2.0)
    params = cell.init(np.random.default_rng(1), recurrent="orthogonal", gain=1.0)
    return gs.probe(cell, params, digits(16, length), probes="full", valid=valid)


def _padded() -> gs.Record:
    """Return the same with sequences of unequal length."""
    ends = np.linspace(48, 120, 16).round().astype(int)
    return _digits(valid=np.arange(120)[:, None] < ends)


def _chaos() -> gs.Record:
    """Return a plain RNN beyond the edge of chaos, driven by weak noise."""
    cell = gs.RNN(input_size=1, hidden_size=64)
    rng = np.random.default_rng(2)
    params = cell.init(rng, recurrent="gaussian", gain=2.0)
    return gs.probe(cell, params, 0.1 * rng.standard_normal((400, 8, 1)), probes="full")


RUNS = {
    "digits": Run(
        "an untrained LSTM of 32 units, forget bias 2, orthogonal weights, that reads 15 handwritten digits one below "
        "the other, row by row: 120 steps of 8 pixels of brightness 0 to 16, 16 sequences",
        _digits,
    ),
    "short": Run(
        "the untrained LSTM of 32 units that reads handwritten digits row by row, here 8 of them: 64 steps, 16 "
        "sequences",
        lambda: _digits(64),
    ),
    "padded": Run(
        "the LSTM of 32 units that reads handwritten digits row by row, here in 16 sequences of 48 to 120 steps: what "
        "is padded is masked",
        _padded,
    ),
    "chaos": Run(
        "a plain RNN of 64 units, Gaussian weights of gain 2, driven by weak noise: 400 steps, 8 sequences",
        _chaos,
    ),
}

#: Probes that are shown on another run than that of the digits.
SHOWN = {
    "jacobian_blocks": "short",
    "weight_gradient": "short",
    "retention": "padded",
    "lyapunov_spectrum": "chaos",
    "finite_time_exponents": "chaos",
    "jacobian_eigenvalues": "chaos",
    "nonnormality": "chaos",
}


@cache
def record(name: str) -> gs.Record:
    """Return the record of a run by its name."""
    return RUNS[name].make()


def stack() -> gs.Record:
    """Return a GRU above an LSTM, untrained, that read digits row by row."""
    network = gs.Stack([gs.LSTM(8, 32, forget_bias=1.0), gs.GRU(32, 16)])
    return gs.probe(network, network.init(np.random.default_rng(1)), digits(16, 120), probes=["transport"])
