"""Transport: ds_T/ds_t over long ranges, in log space.

The product of the Jacobians from t to the end, taken backwards so that one pass gives it for every t.
Each sequence carries exponents of two, one for each pair of blocks that needs one, so that a product of ten thousand
factors is as exact as one of ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gradscope.bundles import Bundle
from gradscope.errors import ArgumentError
from gradscope.logscale import LOG10_2, log10_total
from gradscope.maps import Maps, as_maps, lags_of

__all__ = ["HEARD", "Transport", "TransportMap", "transport", "transport_map"]

Array = np.ndarray

HEARD = 0.01
"""The transport below which a change of the state is no longer heard at the end."""
POINTS = 25
"""The most points of the map's grids."""

WIDE = np.dtype(np.float64)
"""Of products, whatever the program has: units of one block drift further apart than a float32 reaches."""


@dataclass(frozen=True, eq=False)
class Transport:
    """How much of a change of the state at time t reaches the last state.

    Attributes
    ----------
    rms : ndarray, (T+1, B)
        log10 of the Frobenius norm of ds_T/ds_t over sqrt(S); 0 at t = T; -inf where exactly zero.
    blocks : ndarray, (blocks, blocks, T+1, B)
        ``blocks[i, j]`` is the same for block i of s_T by block j of s_t, over sqrt(H).
    heard : ndarray of bool, (T+1, B)
        Whether the largest singular value is at least ``HEARD``.
    """

    rms: Array
    blocks: Array
    heard: Array


def transport(maps: Any) -> Transport:
    """Return how much of a change of the state at each time reaches the last state.

    A straight fall over the lag is exponential vanishing; its slope is the decay rate.

    Parameters
    ----------
    maps : Linearization, Jacobians, ndarray (T, B, S, S), or a function that yields (B, S, S)
        As for :func:`gradscope.maps.as_maps`.

    Returns
    -------
    Transport
        Right over any length: a transport of 1e-5000 reads -5000, also in a block that is so much smaller than its
        neighbour. NaN from the first bad Jacobian backwards. Within a block the units share an exponent: what lies
        some 300 decades below the largest of them is lost, and reads -inf where a step loses that largest exactly.

    Raises
    ------
    ShapeError, ArgumentError
        As :func:`gradscope.maps.as_maps`.
    """
    maps = as_maps(maps)
    width = maps.block_size
    count = maps.state_size // width
    shape = (maps.length + 1, maps.batch)
    result = Transport(np.empty(shape), np.empty((count, count, *shape)), np.empty(shape, bool))
    with np.errstate(all="ignore"):
        bundle = Bundle.eye(maps.state_size, maps.batch, width, WIDE)
        _note(result, maps.length, bundle, width)
        for t in reversed(range(maps.length)):
            bundle.advance(partial(maps.pull_at, t))
            _note(result, t, bundle, width)
    return result


def _note(result: Transport, t: int, bundle: Bundle, width: int) -> None:
    """Write the norms of a bundle (S of s_t, B, S of s_T) at time t."""
    size = len(bundle.mantissa)
    logs = np.moveaxis(bundle.logs, (0, 1, 2), (1, 2, 0))  # (block of s_T, block of s_t, B)
    result.blocks[:, :, t] = logs - 0.5 * np.log10(width)
    frobenius = log10_total(logs, (0, 1))  # it bounds the largest singular value
    result.rms[t] = frobenius - 0.5 * np.log10(size)
    result.heard[t] = result.rms[t] >= np.log10(HEARD)
    near = (frobenius >= np.log10(HEARD)) & ~result.heard[t]
    if near.any():
        exponent = np.where(near, np.floor(frobenius / LOG10_2), 0).astype(np.int64)
        matrices = np.moveaxis(bundle.plain(exponent)[:, near], 1, 0)
        values = np.linalg.svd(matrices, compute_uv=False)[:, 0]
        result.heard[t, near] = np.log10(values) + exponent[near] * LOG10_2 >= np.log10(HEARD)


@dataclass(frozen=True, eq=False)
class TransportMap:
    """How much of a change at each time is left some steps later.

    Attributes
    ----------
    times, lags : ndarray of int
        Coarse grids with one stride: times from 0, lags from 0, in steps that are no padding.
    rms : ndarray, (times, lags)
        log10 of the Frobenius norm of ds_{t+lag}/ds_t over sqrt(S), root mean square over the sequences that
        are so long. NaN where ``beyond`` or ``masked``.
    beyond : ndarray of bool, (times, lags)
        Where t + lag lies past the end.
    masked : ndarray of bool, (times, lags)
        Where no sequence is so long.
    """

    times: Array
    lags: Array
    rms: Array
    beyond: Array
    masked: Array


def transport_map(maps: Any, points: int = POINTS) -> TransportMap:
    """Return how much of a change at any time is left any number of steps later.

    Rows that fall alike say that the lag alone decides; a row that falls at once, that the next steps forget.

    Parameters
    ----------
    maps : Linearization, Jacobians, ndarray (T, B, S, S), or a function that yields (B, S, S)
        As for :func:`gradscope.maps.as_maps`.
    points : int
        The most points of each grid. Their stride divides T where a stride up to twice as long does; else the last
        steps, fewer than a stride, are left out.

    Returns
    -------
    TransportMap
        Right over any length, from the products of the segments between the points of the grid. Both axes count the
        steps of each sequence that are no padding, as lags do everywhere: where padding stands at the end, that is the
        clock; where it stands before or between, a sequence is measured as it would be without it. A sequence that
        has ended is left out of the mean. Within a block, as for :func:`transport`.

    Raises
    ------
    ArgumentError
        When ``points`` is below 2.
    ShapeError
        As :func:`gradscope.maps.as_maps`.
    """
    if not isinstance(points, (int, np.integer)) or points < 2:
        raise ArgumentError(f"`points` must be a whole number of at least 2, got {points!r}. 25 is the default.")
    maps = as_maps(maps)
    stride = _stride(maps.length, points)
    count = maps.length // stride
    times = stride * np.arange(count + 1)
    here = times[:, None] <= lags_of(maps).valid.sum(axis=0)
    rms = np.full((count + 1, count + 1), np.nan)
    masked = np.zeros(rms.shape, bool)
    with np.errstate(all="ignore"):
        segments = _segments(maps, stride, count)
        reached: list[_Product] = []  # from each earlier point of the grid to this one
        for n in range(count + 1):
            if n:
                segment = segments[n - 1]
                reached = [segment, *(product.then(segment) for product in reached)]
            for lag, product in enumerate([None, *reached]):
                both = here[n] & here[n - lag]
                masked[n - lag, lag] = not both.any()
                if both.any():
                    logs = np.zeros(maps.batch) if product is None else product.logs() - 0.5 * np.log10(maps.state_size)
                    rms[n - lag, lag] = log10_total(logs[both], 0) - 0.5 * np.log10(both.sum())
    beyond = np.add.outer(np.arange(count + 1), np.arange(count + 1)) > count
    return TransportMap(times, times.copy(), rms, beyond, masked)


def _stride(length: int, points: int) -> int:
    """Return the stride of a grid of at most ``points`` over 0..T, one that divides T where there is one."""
    least = -(-length // (points - 1))
    return next((stride for stride in range(least, min(2 * least, length) + 1) if length % stride == 0), least)


@dataclass(frozen=True, eq=False)
class _Product:
    """Matrices (row blocks, column blocks, B, H, H), with an exponent for each block (row blocks, column blocks, B)."""

    mantissa: Array
    exponent: Array

    def then(self, later: _Product) -> _Product:
        """Return the product ``later @ self``, each block on a scale of its own."""
        blocks = range(len(self.mantissa))
        mantissa, exponent = np.empty_like(self.mantissa), np.empty_like(self.exponent)
        for i in blocks:
            for k in blocks:
                terms = [np.matmul(later.mantissa[i, j], self.mantissa[j, k]) for j in blocks]
                scales = np.stack([later.exponent[i, j] + self.exponent[j, k] for j in blocks])
                sizes = np.stack([np.abs(term).max(axis=(1, 2)) for term in terms])
                common = np.where(sizes > 0, scales, scales.min()).max(axis=0)
                total = np.sum(
                    [_ldexp(term, scale - common) for term, scale in zip(terms, scales, strict=True)], axis=0
                )
                largest = np.abs(total).max(axis=(1, 2))
                shift = np.where(np.isfinite(largest) & (largest > 0), np.frexp(largest)[1], 0)
                mantissa[i, k], exponent[i, k] = _ldexp(total, -shift), common + shift
        return _Product(mantissa, exponent)

    def logs(self) -> Array:
        """Return log10 of the Frobenius norms (B,)."""
        squares = np.square(self.mantissa, dtype=np.float64).sum(axis=(3, 4))
        return log10_total(0.5 * np.log10(squares) + self.exponent * LOG10_2, (0, 1))


def _segments(maps: Maps, stride: int, count: int) -> list[_Product]:
    """Return the products of ``count`` runs of ``stride`` steps that are no padding, each sequence by its own clock."""
    width, valid = maps.block_size, lags_of(maps).valid
    blocks = maps.state_size // width
    shape = (blocks, blocks, maps.batch, width, width)
    made = [_Product(np.zeros(shape, WIDE), np.zeros(shape[:3], np.int64)) for _ in range(count)]
    clock = np.cumsum(valid, axis=0)
    bundle = Bundle.eye(maps.state_size, maps.batch, width, WIDE)
    for t in range(maps.length):
        bundle.advance(partial(maps.push_at, t))
        run = clock[t] // stride - 1
        ended = valid[t] & (clock[t] % stride == 0) & (run < count)
        if not ended.any():
            continue
        mantissa = bundle.mantissa.reshape(blocks, width, maps.batch, blocks, width).transpose(0, 3, 2, 1, 4)
        for b in np.flatnonzero(ended):
            made[run[b]].mantissa[:, :, b] = mantissa[:, :, b]
            made[run[b]].exponent[:, :, b] = np.swapaxes(bundle.exponent, 1, 2)[:, :, b]
        if ended.all():
            bundle = Bundle.eye(maps.state_size, maps.batch, width, WIDE)
        else:
            bundle.restart(ended)
    return made


def _ldexp(matrices: Array, shift: Array) -> Array:
    """Return matrices (B, H, H) times 2**shift (B,)."""
    return np.ldexp(matrices, np.clip(shift, -4000, 4000).astype(np.intc)[:, None, None])
