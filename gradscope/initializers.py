"""Initializers of weight matrices and of the forget bias: what a gradient meets before any training.

Each takes a random generator and a shape (rows, columns) and returns float64. A recurrent
matrix is drawn gate by gate, so that each H x H block has the stated distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real

import numpy as np

from gradscope.errors import ArgumentError, unknown

__all__ = [
    "INITIALIZERS",
    "chrono",
    "chrono_range",
    "gaussian",
    "glorot",
    "identity",
    "initializer",
    "is_finite",
    "orthogonal",
    "uniform",
]

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


def chrono(rng: np.random.Generator, longest: float, size: int) -> np.ndarray:
    """Draw the biases of ``size`` keep gates, so that their timescales fill the range up to ``longest``.

    ln u with u uniform in [1, longest - 1]: a gate sigmoid(ln u) keeps u/(1 + u), and so remembers for 1 + u
    steps. Source: Tallec & Ollivier 2018.

    Parameters
    ----------
    rng : numpy.random.Generator
    longest : float
        The range of the dependencies to be learned, in steps; at least 2.
    size : int

    Returns
    -------
    ndarray, (size,)
    """
    return np.log(rng.uniform(1.0, longest - 1.0, size))


def chrono_range(forget_bias: float | str) -> float | None:
    """Return T of a forget bias ``"chrono:T"``, and None for one that is a number.

    Raises
    ------
    ArgumentError
        For what is neither a finite number nor "chrono:T" with T of at least 2.
    """
    if is_finite(forget_bias):
        return None
    name, _, text = str(forget_bias).partition(":")
    if isinstance(forget_bias, str) and name == "chrono":
        try:
            longest = float(text)
        except ValueError:
            longest = np.nan
        if 2.0 <= longest < np.inf:
            return longest
    raise ArgumentError(
        f"`forget_bias` must be a finite number or 'chrono:T' with T >= 2, got {forget_bias!r}. 1.0 is a common "
        "choice; 'chrono:784' spreads the timescales of the gates up to 784 steps."
    )


def is_finite(value: object) -> bool:
    """Return whether ``value`` is one finite real number."""
    return not isinstance(value, bool) and isinstance(value, Real) and bool(np.isfinite(float(value)))
