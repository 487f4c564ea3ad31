"""Transport: ds_T/ds_t over long ranges, in log space.

The product of the Jacobians from t to the end, taken backwards so that one pass gives it for every t.
Each sequence carries its own exponent of two, so that a product of ten thousand factors is as exact
as one of ten.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradscope.linearization import Jacobians, Linearization
from gradscope.logscale import LOG10_2, Scaled, log10_norm

__all__ = ["HEARD", "Transport", "transport"]

Array = np.ndarray

HEARD = 0.01
"""The transport below which a change of the state is no longer heard at the end."""

_TINY = 1e-280  # a sum of squares below this may have lost entries: taken again, scaled


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


def transport(maps: Linearization | Jacobians) -> Transport:
    """Return how much of a change of the state at each time reaches the last state.

    A straight fall over the lag is exponential vanishing; its slope is the decay rate.

    Parameters
    ----------
    maps : Linearization or Jacobians
        A linearized trajectory, or plain matrices wrapped in :class:`gradscope.linearization.Jacobians`.

    Returns
    -------
    Transport
        Right over any length: a transport of 1e-5000 reads -5000. NaN from the first bad
        Jacobian backwards.
    """
    size, batch, width = maps.state_size, maps.batch, maps.block_size
    count = size // width
    shape = (maps.length + 1, batch)
    result = Transport(np.empty(shape), np.empty((count, count, *shape)), np.empty(shape, bool))
    eye = np.broadcast_to(np.eye(size, dtype=maps.dtype)[:, None, :], (size, batch, size))
    bundle = Scaled(np.ascontiguousarray(eye), np.zeros(batch, np.int64))
    with np.errstate(all="ignore"):
        _note(result, maps.length, bundle, width)
        for t in reversed(range(maps.length)):
            bundle = Scaled(maps.pull_at(t, bundle.mantissa), bundle.exponent).normalized()
            _note(result, t, bundle, width)
    return result


def _note(result: Transport, t: int, bundle: Scaled, width: int) -> None:
    """Write the norms of a bundle (S of s_t, B, S of s_T) at time t."""
    size, batch, _ = bundle.mantissa.shape
    count = size // width
    squares = np.square(bundle.mantissa, dtype=np.float64).reshape(count, width, batch, count, width)
    sums = np.einsum("jubiv->ijb", squares)
    logs = 0.5 * (np.log10(sums) - np.log10(width)) + bundle.exponent * LOG10_2
    for i, j in zip(*np.nonzero((sums < _TINY).any(axis=2)), strict=True):
        rows, columns = (slice(n * width, (n + 1) * width) for n in (j, i))
        logs[i, j] = log10_norm(bundle, rows, columns) - 0.5 * np.log10(width)
    result.blocks[:, :, t] = logs
    result.rms[t] = 0.5 * (np.log10(sums.sum(axis=(0, 1))) - np.log10(size)) + bundle.exponent * LOG10_2
    largest = result.rms[t] + 0.5 * np.log10(size)  # the Frobenius norm bounds the largest singular value
    result.heard[t] = result.rms[t] >= np.log10(HEARD)
    near = (largest >= np.log10(HEARD)) & ~result.heard[t]
    if near.any():
        values = np.linalg.svd(np.moveaxis(bundle.mantissa[:, near], 1, 0), compute_uv=False)[:, 0]
        result.heard[t, near] = np.log10(values) + bundle.exponent[near] * LOG10_2 >= np.log10(HEARD)
