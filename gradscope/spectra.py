"""Spectra: growth rates and stretches in every direction, of one step, of a stretch of time and in the long run.

Tangent vectors are carried forward for Lyapunov exponents, ``Q <- J_t Q``: with the transpose in a forward loop the sum
of the exponents still comes out right and every single one is wrong. Singular values of long products are never those
of a product that was multiplied out (:mod:`gradscope.graded`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError
from gradscope.graded import Graded, graded_qr
from gradscope.linearization import Linearization
from gradscope.maps import as_maps, as_pushes, lags_of, matrix_at
from gradscope.norms import frobenius
from gradscope.partials import Partials
from gradscope.products import resolve

__all__ = [
    "BURN_IN",
    "TANGENT_BURN_IN",
    "Eigenvalues",
    "LyapunovSpectrum",
    "TransportSpectrum",
    "eigenvalues",
    "jacobian_blocks",
    "lyapunov_spectrum",
    "transport_spectrum",
]

Array = np.ndarray

BURN_IN = 200
TANGENT_BURN_IN = 100
BLOCKS = 8
"""Equal blocks of steps for the standard error."""
FINEST = 256
"""Sums of steps that are kept at most, to make those blocks of."""
LAGS = 17
"""Points of the coarse grid of lags."""
STEPS = 16
"""Points of the coarse grid of steps."""


# In the long run ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LyapunovSpectrum:
    """Growth rates of small changes, largest first.

    Attributes
    ----------
    exponents : ndarray, (rank,)
        nat/step, mean over the steps after both burn-ins and over the sequences.
    error : ndarray, (rank,)
        Standard error of each, from means over equal blocks of steps of each sequence; NaN where fewer
        than two blocks exist.
    kaplan_yorke_dimension : float
        The dimension at which volumes neither grow nor shrink; 0 if every exponent is negative, NaN
        if the sum never falls below zero because only a part of the spectrum was asked for.
    entropy : float
        Sum of the positive exponents, nat/step (Pesin).
    """

    exponents: Array
    error: Array
    kaplan_yorke_dimension: float
    entropy: float


def lyapunov_spectrum(
    maps: Any,
    count: int | None = None,
    burn_in: int = BURN_IN,
    tangent_burn_in: int = TANGENT_BURN_IN,
) -> LyapunovSpectrum:
    """Return the Lyapunov spectrum of a trajectory by repeated QR.

    A first exponent above 0 is chaos: gradients explode along it. Far below 0 the network forgets its past at
    that rate, whatever the loss.

    Parameters
    ----------
    maps : Linearization, Jacobians, ndarray (T, B, S, S), or a function that yields (B, S, S)
        As for :func:`gradscope.maps.as_maps`. What a function or an iterator yields is read once, forward, and not
        kept: a map may be followed over millions of steps.
    count : int, optional
        How many exponents, from the largest; all S when left out.
    burn_in : int
        Steps left out at the start, and after a reset, while the state finds its attractor. Padding does not count.
    tangent_burn_in : int
        Steps after that over which the tangent vectors turn without being counted.

    Returns
    -------
    LyapunovSpectrum
        NaN from a bad Jacobian; -inf for a direction that a Jacobian annihilates, to the digits there are.

    Raises
    ------
    ArgumentError
        When no sequence is longer than both burn-ins, a burn-in is no count of steps, or ``count`` is not
        in 1..S.
    ShapeError
        As :func:`gradscope.maps.as_maps`.

    Notes
    -----
    Benettin, Galgani, Giorgilli & Strelcyn 1980; Engelken, Wolf & Abbott 2023 for recurrent
    networks. Over a finite time a complex pair converges like 1/T.
    """
    for name, steps in (("burn_in", burn_in), ("tangent_burn_in", tangent_burn_in)):
        if not isinstance(steps, (int, np.integer)) or steps < 0:
            raise ArgumentError(
                f"`{name}` must be a whole number of at least 0, got {steps!r}. Count the steps to leave out."
            )
    pushes = as_pushes(maps)
    size, batch = pushes.state_size, pushes.batch
    count = size if count is None else count
    if not isinstance(count, (int, np.integer)) or not 1 <= count <= size:
        raise ArgumentError(f"`count` must be between 1 and S={size}, got {count!r}. Leave it out for all.")
    age = None if pushes.lags is None else np.where(pushes.lags.valid, pushes.lags.age, -1)
    skipped = burn_in + tangent_burn_in
    longest = skipped + 1 if age is None else int(age.max()) + 1
    if longest <= skipped:
        raise _too_short(burn_in, tangent_burn_in, longest)
    start = np.linalg.qr(np.random.default_rng(0).standard_normal((size, count)))[0]
    bundle = np.ascontiguousarray(np.broadcast_to(start[:, None, :], (size, batch, count)))
    sums, t = _Sums(batch, count), -1
    with np.errstate(all="ignore"):
        for t, push in enumerate(pushes.each):
            if t < burn_in:
                continue
            logs, bundle = _turned(push(bundle))
            counted = np.full(batch, t >= skipped) if age is None else age[t] >= skipped
            if counted.any():
                sums.add(logs, counted)
        if t < skipped:
            raise _too_short(burn_in, tangent_burn_in, t + 1)
        exponents, error = sums.mean(), sums.error()
    order = np.argsort(-exponents, kind="stable")
    exponents = exponents[order]
    return LyapunovSpectrum(
        exponents, error[order], _kaplan_yorke(exponents, size), float(exponents[exponents > 0].sum())
    )


def _too_short(burn_in: int, tangent_burn_in: int, length: int) -> ArgumentError:
    """Return the refusal of a sequence that ends within the burn-ins."""
    return ArgumentError(
        f"`maps` must be longer than both burn-ins, {burn_in} + {tangent_burn_in} steps, got {length}. "
        "Use a longer sequence, or lower `burn_in` and `tangent_burn_in`."
    )


def _turned(bundle: Array) -> tuple[Array, Array]:
    """Return ln of the growth of each tangent vector (B, M), -inf where it is rounding, and the vectors after it."""
    bad = ~np.isfinite(bundle).all(axis=(0, 2))
    matrices = np.ascontiguousarray(np.moveaxis(bundle, 1, 0))
    if bad.any():
        matrices[bad] = np.nan
    Q, R, rounding = graded_qr(matrices)
    growth = np.abs(np.diagonal(R, axis1=1, axis2=2))
    logs = np.where(growth <= rounding, -np.inf, np.log(growth))
    return logs, np.ascontiguousarray(np.moveaxis(Q, 0, 1))


class _Sums:
    """Sums over steps in blocks of equal length, of which there are never more than ``FINEST``."""

    def __init__(self, batch: int, count: int) -> None:
        self._sums = np.zeros((FINEST, batch, count))
        self._counts = np.zeros((FINEST, batch), int)
        self._length, self._steps = 1, 0

    def add(self, logs: Array, counted: Array) -> None:
        """Add one step, of those sequences in which it counts."""
        if self._steps == FINEST * self._length:
            for kept in (self._sums, self._counts):
                kept[: FINEST // 2] = kept[::2] + kept[1::2]
                kept[FINEST // 2 :] = 0
            self._length *= 2
        block = self._steps // self._length
        self._sums[block] += np.where(counted[:, None], logs, 0.0)
        self._counts[block] += counted
        self._steps += 1

    def mean(self) -> Array:
        """Return the mean over steps and sequences that count."""
        return self._sums.sum(axis=(0, 1)) / self._counts.sum()

    def error(self) -> Array:
        """Return the standard error of the mean, from equal blocks in which every step counts."""
        whole = self._steps // self._length
        blocks = min(BLOCKS, whole)
        size = whole // blocks if blocks else 0
        sums, counts = (
            kept[: blocks * size].reshape(blocks, size, *kept.shape[1:]) for kept in (self._sums, self._counts)
        )
        full = counts.sum(axis=1) == size * self._length
        means = (sums.sum(axis=1) / (size * self._length))[full]
        if len(means) < 2:
            return np.full(means.shape[-1], np.nan)
        return np.asarray(means.std(axis=0, ddof=1) / np.sqrt(len(means)))


def _kaplan_yorke(exponents: Array, size: int) -> float:
    """Return the Kaplan-Yorke dimension of exponents in falling order."""
    sums = np.cumsum(exponents)
    if np.isnan(sums).any():
        return float("nan")
    whole = int(np.sum(sums >= 0))
    if whole == 0:
        return 0.0
    if whole == len(exponents):
        return float(size) if whole == size else float("nan")
    return float(whole + sums[whole - 1] / -exponents[whole])


# Over a stretch of time ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TransportSpectrum:
    """How well the last state hears each direction of earlier states.

    Attributes
    ----------
    lags : ndarray of int, (lags,)
        A coarse grid from 0 to the longest lag, in steps that count.
    values : ndarray, (lags, S, B)
        log10 of the singular values of ds_T/ds_{T-lag}, largest first; -inf beyond the rank, NaN where bad or where a
        sequence has no such lag.
    missing : ndarray of bool, (lags, B)
        Where a sequence has fewer steps that count.
    exponents : ndarray, (S, B)
        Finite-time exponents, nat/step: ln of the singular values over the longest stretch without a reset, over its
        length. NaN for a sequence without steps.
    """

    lags: Array
    values: Array
    missing: Array
    exponents: Array


def transport_spectrum(maps: Any, points: int = LAGS) -> TransportSpectrum:
    """Return the singular values of ds_T/ds_t for a grid of times, and the finite-time exponents.

    The number of values that stay up is the number of directions in which the past is still heard.

    Parameters
    ----------
    maps : Linearization, Jacobians, ndarray (T, B, S, S), or a function that yields (B, S, S)
        As for :func:`gradscope.maps.as_maps`.
    points : int
        Points of the grid of lags, at most.

    Returns
    -------
    TransportSpectrum
        Each value right to its own digits over any length, as long as one Jacobian alone keeps its smallest direction
        in the digits of a float64.
        Directions that a single step loses altogether read -inf, or what rounding leaves of them: 16 decades or more
        under the largest value of that step, and not the same on every processor. Each step of an RWA loses a third
        of them, because its new hidden state is made from its new mean alone.

    Raises
    ------
    ArgumentError
        When ``points`` is below 2.
    ShapeError
        As :func:`gradscope.maps.as_maps`.
    """
    if not isinstance(points, (int, np.integer)) or points < 2:
        raise ArgumentError(f"`points` must be a whole number of at least 2, got {points!r}. {LAGS} is the default.")
    maps = as_maps(maps)
    lags = lags_of(maps)
    grid = np.unique(np.linspace(0, lags.lag[0].max(), points).round().astype(int))
    shape = (maps.state_size, maps.batch)
    values, exponents = np.full((len(grid), *shape), np.nan), np.full(shape, np.nan)
    product = Graded(*shape)
    with np.errstate(all="ignore"):
        for t in reversed(range(maps.length + 1)):
            if t < maps.length:
                product.advance(partial(maps.pull_at, t))
            place = np.searchsorted(grid, lags.lag[t])
            listed = lags.times[t] & (grid[place] == lags.lag[t])
            whole = lags.times[t] & (lags.lag[t] == lags.longest)
            asked = listed | whole
            if asked.any():
                logs = np.full(shape, np.nan)
                logs[:, asked] = product.logs(asked).T
                values[place[listed], :, listed] = logs[:, listed].T / np.log(10.0)
                exponents[:, whole] = logs[:, whole] / lags.longest[whole]
    exponents[:, lags.longest == 0] = np.nan
    return TransportSpectrum(grid, values, grid[:, None] > lags.lag[0], exponents)


# Of one step ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Eigenvalues:
    """Eigenvalues of some Jacobians.

    Attributes
    ----------
    steps : ndarray of int, (steps,)
        A coarse grid.
    values : ndarray of complex, (steps, S, B)
        By falling modulus; NaN where a Jacobian holds NaN or inf.
    nonnormality : ndarray, (steps, B)
        Spectral norm over spectral radius; inf where every eigenvalue is 0, NaN where the Jacobian is.
    """

    steps: Array
    values: Array
    nonnormality: Array


def eigenvalues(maps: Any, points: int = STEPS) -> Eigenvalues:
    """Return the eigenvalues of the Jacobians at a grid of steps, and how far these are from telling the norm.

    At a fixed point the largest modulus says whether it attracts. Along a trajectory long products follow no
    eigenvalue.

    Parameters
    ----------
    maps : Linearization, Jacobians, ndarray (T, B, S, S), or a function that yields (B, S, S)
        As for :func:`gradscope.maps.as_maps`.
    points : int
        Points of the grid of steps, at most.

    Returns
    -------
    Eigenvalues

    Raises
    ------
    ArgumentError
        When ``points`` is below 1.
    ShapeError
        As :func:`gradscope.maps.as_maps`.
    """
    if not isinstance(points, (int, np.integer)) or points < 1:
        raise ArgumentError(f"`points` must be a whole number of at least 1, got {points!r}. {STEPS} is the default.")
    maps = as_maps(maps)
    steps = np.unique(np.linspace(0, maps.length - 1, points).round().astype(int))
    values = np.full((len(steps), maps.state_size, maps.batch), complex(np.nan, np.nan))
    nonnormality = np.full((len(steps), maps.batch), np.nan)
    with np.errstate(all="ignore"):
        for n, t in enumerate(steps):
            matrices = matrix_at(maps, t).astype(np.float64)
            good = np.isfinite(matrices).all(axis=(1, 2))
            found = np.linalg.eigvals(matrices[good])
            order = np.argsort(-np.abs(found), axis=1, kind="stable")
            values[n][:, good] = np.take_along_axis(found, order, axis=1).T
            norms = np.linalg.svd(matrices[good], compute_uv=False)[:, 0]
            nonnormality[n, good] = norms / np.abs(values[n, 0, good])
    return Eigenvalues(steps, values, nonnormality)


def jacobian_blocks(maps: Any) -> Array:
    """Return the Frobenius norm over sqrt(H) of each block of each Jacobian.

    Of an LSTM, the block c by c near 1 is the forget gate holding; the others are the loop through h at work.

    Parameters
    ----------
    maps : Linearization, Jacobians, ndarray (T, B, S, S), or a function that yields (B, S, S)
        As for :func:`gradscope.maps.as_maps`. Of a linearization no matrix is made.

    Returns
    -------
    ndarray, (blocks, blocks, T, B)
        ``[i, j]`` is block i of the new state by block j of the old one. NaN where a block holds NaN or inf.

    Raises
    ------
    ShapeError, ArgumentError
        As :func:`gradscope.maps.as_maps`.
    """
    maps = as_maps(maps)
    with np.errstate(all="ignore"):
        if isinstance(maps, Linearization):
            chunks = maps.trajectory.chunks()
            parts = [_blocks_of(maps.partials(steps, keep=False), maps.trajectory.params["W_h"]) for steps in chunks]
            return np.concatenate(parts, axis=2) / np.sqrt(maps.block_size)
        return np.stack([_blocks_of_matrix(matrix_at(maps, t), maps.block_size) for t in range(maps.length)], axis=2)


def _blocks_of(partials: Partials, W_h: Array) -> Array:
    """Return the Frobenius norms of the blocks of some steps (blocks, blocks, n, B)."""
    rows = zip(resolve(partials, "drive_h"), resolve(partials, "state"), strict=True)
    return np.stack([_row_of(partials, W_h, drives, state) for drives, state in rows])


def _row_of(partials: Partials, W_h: Array, drives: list[Array | None], state: list[Array | None]) -> Array:
    """Return the norms of one row of blocks (blocks, n, B): h is reached through W_h, the others unit by unit."""
    lengths = [_length(diagonal, partials.value[0]) for diagonal in state]
    if any(drive is not None for drive in drives):
        rows = replace(partials, drive_x=((),), drive_h=(tuple(drives),), state=((state[0],),), new=((None,),))
        alone = replace(rows, value=partials.value[:1], order=(0,))
        lengths[0] = frobenius(alone, W_h)
    return np.stack(lengths)


def _length(diagonal: Array | None, like: Array) -> Array:
    """Return the lengths of diagonals (n, H, B), scaled by the largest entry first; NaN where one is not finite."""
    if diagonal is None:
        return np.zeros((len(like), like.shape[2]), like.dtype)
    largest = np.abs(diagonal).max(axis=1)
    scale = np.where(largest > 0, largest, largest.dtype.type(1))
    length = scale * np.sqrt(np.square(diagonal / scale[:, None]).sum(axis=1))
    return np.where(np.isfinite(largest), length, np.nan)


def _blocks_of_matrix(matrices: Array, width: int) -> Array:
    """Return the norms over sqrt(H) of the blocks of matrices (B, S, S), (blocks, blocks, B)."""
    count = matrices.shape[1] // width
    blocks = matrices.reshape(-1, count, width, count, width)
    largest = np.abs(blocks).max(axis=(2, 4), keepdims=True)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    norms = scale[:, :, 0, :, 0] * np.sqrt(np.square(blocks / scale).sum(axis=(2, 4)) / width)
    return np.moveaxis(np.where(np.isfinite(norms), norms, np.nan), 0, 2)
