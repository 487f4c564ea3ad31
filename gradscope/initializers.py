"""Initializers of weight matrices: what a gradient meets before any training.

Each takes a random generator and a shape (rows, columns) and returns float64. A recurrent
matrix is drawn gate by gate, so that each H x H block has the stated distribution.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradscope.errors import unknown

__all__ = ["INITIALIZERS", "gaussian", "glorot", "identity", "initializer", "orthogonal", "uniform"]

Initializer = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def orthogonal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw a matrix with orthonormal rows or columns, uniformly over all of them.

    Every singular value is 1: a linear network of it neither shrinks nor stretches a
    gradient. Source: Saxe, McClelland & Ganguli 2014; Mezzadri 2007 for the sign of R.
    """
    rows, columns = shape
    tall = rng.standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(tall)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return q if rows >= columns else q.T


def gaussian(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw entries from N(0, 1/columns): a gain g then makes the g of mean-field theory.

    For a square matrix the eigenvalues fill the unit disc. Source: Sompolinsky, Crisanti &
    Sommers 1988.
    """
    return rng.standard_normal(shape) / np.sqrt(shape[1])


def glorot(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw entries from U(-a, a) with a = sqrt(6 / (rows + columns)).

    Source: Glorot & Bengio 2010, eq. 16.
    """
    limit = np.sqrt(6.0 / (shape[0] + shape[1]))
    return rng.uniform(-limit, limit, shape)


def uniform(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw entries from U(-a, a) with a = 1 / sqrt(columns), torch's default for W_h.

    The spectral radius of a square matrix tends to 1/sqrt(3), so gradients vanish at once
    without a gate that keeps.
    """
    limit = 1.0 / np.sqrt(shape[1])
    return rng.uniform(-limit, limit, shape)


def identity(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return ones on the diagonal: every unit keeps itself. Source: Le, Jaitly & Hinton 2015."""
    return np.eye(*shape)


INITIALIZERS: dict[str, Initializer] = {
    "orthogonal": orthogonal,
    "gaussian": gaussian,
    "glorot": glorot,
    "uniform": uniform,
    "identity": identity,
}


def initializer(argument: str, name: str) -> Initializer:
    """Return the initializer of that name; ``argument`` is what an error calls it.

    Raises
    ------
    ArgumentError
        For a name that is not in ``INITIALIZERS``.
    """
    if name not in INITIALIZERS:
        raise unknown(argument, name, INITIALIZERS)
    return INITIALIZERS[name]
