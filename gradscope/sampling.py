"""Sampling: long-range transport from a few random directions, while the exact one would take too long.

For w drawn evenly from the sphere of radius sqrt(S), the mean of |P' w|² is the squared Frobenius norm of P
(Hutchinson 1990), so a few directions carried back through the Jacobians tell the transport to within an error that
they tell themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError
from gradscope.logscale import LOG10_2
from gradscope.maps import Maps, as_maps

__all__ = ["DIRECTIONS", "SampledTransport", "sampled_transport"]

Array = np.ndarray

DIRECTIONS = 16
"""Directions for each sequence: a one-sigma error of 18 % at most in the norm."""
NORMAL = 1.959964
"""The normal quantile of a band that holds the truth 95 times in 100."""
ROOM = 1e12
"""How far from 1 the length of a direction may be before it is scaled back; its square is a float32."""


@dataclass(frozen=True, eq=False)
class SampledTransport:
    """An estimate of how much of a change of the state at time t reaches the last state.

    Attributes
    ----------
    rms : ndarray, (T+1, B)
        log10 of the root of an unbiased estimate of the squared Frobenius norm of ds_T/ds_t, over sqrt(S); -inf where
        no direction comes back.
    low, high : ndarray, (T+1, B)
        Where the exact value lies in 95 of 100 draws, log10; the lower one is further away.
    directions : int
        How many were drawn for each sequence.
    """

    rms: Array
    low: Array
    high: Array
    directions: int


def sampled_transport(
    maps: Any, directions: int = DIRECTIONS, rng: np.random.Generator | None = None
) -> SampledTransport:
    """Return the transport to the last state as a few random directions show it, with its error.

    It costs ``directions / S`` of :func:`gradscope.transport`. The squares of the lengths scatter as a chi-square does,
    with as many degrees of freedom as directions in which the product acts; their number is taken from the scatter
    itself, pooled over the sequences at each time.

    Parameters
    ----------
    maps : Linearization, Jacobians, ndarray (T, B, S, S), or a function that yields (B, S, S)
        As for :func:`gradscope.maps.as_maps`.
    directions : int
        Random directions for each sequence, at least 2: one alone does not tell its error.
    rng : numpy.random.Generator, optional
        Draws the directions; the same ones at each call when left out, so that two settings differ by what they are.

    Returns
    -------
    SampledTransport
        In log space, so right past the float range; a block of the state whose share is below 1e-38 of the whole counts
        as nothing. NaN from the first bad Jacobian backwards.

    Raises
    ------
    ArgumentError
        When ``directions`` is not a whole number of at least 2.
    ShapeError
        As :func:`gradscope.maps.as_maps`.
    """
    if isinstance(directions, bool) or not isinstance(directions, (int, np.integer)) or directions < 2:
        raise ArgumentError(
            f"`directions` must be a whole number of at least 2, got {directions!r}. "
            f"{DIRECTIONS} tell a norm to a fifth."
        )
    maps = as_maps(maps)
    with np.errstate(all="ignore"):
        logs = _lengths(maps, directions, np.random.default_rng(0) if rng is None else rng)
        largest = logs.max(axis=2, keepdims=True)
        base = np.where(np.isfinite(largest), largest, 0.0)
        squares = np.square(10.0 ** (logs - base))
        mean = squares.mean(axis=2)
        rms = 0.5 * np.log10(mean) + base[..., 0]
        freedom = _freedom(squares, mean)[:, None]
    spread = np.sqrt(2.0 / (9.0 * freedom))
    low, high = (-0.5 * np.log10(_chi_square(spread, sign * NORMAL)) for sign in (1, -1))
    return SampledTransport(rms, rms + low, rms + high, int(directions))


def _lengths(maps: Maps, directions: int, rng: np.random.Generator) -> Array:
    """Return log10 of |P_t' w| / sqrt(S) for every direction, (T+1, B, M)."""
    drawn = rng.standard_normal((maps.state_size, maps.batch, directions))
    carried = (drawn / np.sqrt(np.square(drawn).sum(axis=0))).astype(maps.dtype)
    lengths = np.ones((maps.length + 1, maps.batch, directions))
    exponents = np.zeros(lengths.shape, np.int64)
    exponent = exponents[-1]
    for t in reversed(range(maps.length)):
        carried = maps.pull_at(t, carried)
        length = np.sqrt(np.einsum("sbm,sbm->bm", carried, carried))
        if not (length.min() > 1 / ROOM and length.max() < ROOM):  # so written, NaN is far as well
            largest = np.abs(carried).max(axis=0)
            shift = np.where(np.isfinite(largest) & (largest > 0), np.frexp(largest)[1], 0)
            carried, exponent = np.ldexp(carried, -shift.astype(np.intc)), exponent + shift
            length = np.sqrt(np.einsum("sbm,sbm->bm", carried, carried))
        lengths[t], exponents[t] = length, exponent
    return np.log10(lengths) + exponents * LOG10_2


def _freedom(squares: Array, mean: Array) -> Array:
    """Return the degrees of freedom of each time's mean squares, at least one for each direction, (T+1,)."""
    count = squares.shape[2]
    variance = squares.var(axis=2, ddof=1)
    ratio = variance / np.maximum(np.square(mean) - variance / count, np.finfo(float).tiny)
    known = np.isfinite(ratio)
    pooled = np.where(known, np.minimum(ratio, 2.0), 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return 2.0 * count / np.clip(pooled, 1e-12, 2.0)


def _chi_square(spread: Array, normal: float) -> Array:
    """Return a quantile of chi-square over its degrees of freedom (Wilson & Hilferty 1931)."""
    return (1.0 - np.square(spread) + normal * spread) ** 3
