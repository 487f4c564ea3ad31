"""Gradients along a network in log space: of the whole state, and what each cell hears from outside of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.logscale import Scaled, log10_norm
from gradscope.network.layers import blocks_of
from gradscope.network.walk import rows_of, scaled_steps, walk

__all__ = ["NetworkGradients", "network_gradients"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class NetworkGradients:
    """log10 of gradient norms along a network, right past the float range.

    Attributes
    ----------
    total, direct : ndarray, (T+1, B)
        Norm of dL/ds_t of the whole state along every path, and of the loss's immediate part. What goes from a layer to
        the one above at the same step belongs to the one above.
    total_blocks, direct_blocks : ndarray, (blocks, T+1, B)
        The same for each block of the state.
    layers : dict of (ndarray (T+1, B, S), ndarray of int (T+1, B))
        For each cell the gradient that reaches it from outside of itself, from the loss and from the layers above, in
        its own time: mantissas, and their exponents of two. Give them to
        :func:`gradscope.gradients.gradient_norms` with the cell's linearization.
    """

    total: Array
    direct: Array
    total_blocks: Array
    direct_blocks: Array
    layers: dict[str, tuple[Array, Array]]


def network_gradients(linearization: Any, direct: Array) -> NetworkGradients:
    """Return the norms of the gradient of a loss along a network.

    Parameters
    ----------
    linearization : that of a network
    direct : ndarray, (T+1, B, S)

    Returns
    -------
    NetworkGradients
        -inf where exactly zero. The norms of a network with a layer that runs backward are NaN: its states have no
        common order in time. Its ``layers`` are there.
    """
    steps = scaled_steps(direct)
    ways = walk(linearization, steps)
    blocks = blocks_of(linearization.trajectory.cell)
    shape = (len(blocks), len(steps), direct.shape[1])
    total, own = np.full(shape, np.nan), np.full(shape, np.nan)
    layers = {name: _stacked(entries) for name, entries in ways.directs.items()}
    if not linearization.forward:
        return NetworkGradients(_whole(total), _whole(own), total, own, layers)
    with np.errstate(all="ignore"):
        for name, place, first in linearization.parts():
            ours = [(k, at) for k, (_, at) in enumerate(blocks) if place.start <= at.start < place.stop]
            immediate = rows_of(steps[first : first + len(ways.carried[name])], place)
            for t, (seen, carried) in enumerate(zip(immediate, ways.carried[name], strict=True), first):
                both = seen + carried
                for k, at in ours:
                    rows = slice(at.start - place.start, at.stop - place.start)
                    own[k, t], total[k, t] = log10_norm(seen, rows), log10_norm(both, rows)
    return NetworkGradients(_whole(total), _whole(own), total, own, layers)


def _stacked(entries: list[Scaled]) -> tuple[Array, Array]:
    """Return gradients time by time as mantissas (T+1, B, S) and exponents (T+1, B)."""
    mantissas = np.stack([entry.mantissa.T for entry in entries])
    return mantissas, np.stack([np.broadcast_to(entry.exponent, mantissas.shape[1:2]) for entry in entries])


def _whole(blocks: Array) -> Array:
    """Return log10 of the norm over all blocks, from those of each (blocks, T+1, B)."""
    top = blocks.max(axis=0)
    reach = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(all="ignore"):
        return 0.5 * np.log10(np.power(10.0, 2.0 * (blocks - reach)).sum(axis=0)) + reach
