"""Routes: what of the transport of the cell state goes along the cell state alone, and what goes another way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from gradscope.bundles import Bundle
from gradscope.dense import DenseLinearization
from gradscope.errors import ArgumentError
from gradscope.linearization import Linearization
from gradscope.logscale import LOG10_2, log10_total
from gradscope.maps import lags_of
from gradscope.products import resolve

__all__ = ["ROUTES", "Routes", "routes"]

Array = np.ndarray

ROUTES = ("highway", "rest", "total")


@dataclass(frozen=True, eq=False)
class Routes:
    """The transport of the cell state by its routes.

    Attributes
    ----------
    rms : ndarray, (3, T+1, B)
        log10 of the Frobenius norm over sqrt(H) of the block c by c of the highway P, the rest R and their sum, by the
        lag: steps that count, back from the last. NaN beyond a sequence's first state.
    cosine : ndarray, (T+1, B)
        Between P and R as vectors; NaN where one of them is zero.
    """

    rms: Array
    cosine: Array


def routes(linearization: Linearization | DenseLinearization) -> Routes:
    """Return the transport of the cell state along the cell state alone, along everything else, and in total.

    Where the total follows the highway, the constant error carousel carries the gradient; where it follows the rest,
    the recurrent loop does. A cosine near -1 says that the two cancel.

    Parameters
    ----------
    linearization : Linearization
        Of a cell with a cell state.

    Returns
    -------
    Routes
        Right over any length.

    Raises
    ------
    ArgumentError
        For a cell without a cell state.

    Notes
    -----
    D_t = dc_{t+1}/dc_t with the drives held fixed, in the block c by c. P <- P D and R <- R J + P (J - D), from
    P = diag(0, I) and R = diag(I, 0): P + R is the product of the Jacobians, always. The total is carried by itself:
    where the two cancel, their sum would be rounding.
    """
    trajectory = linearization.trajectory
    cell = trajectory.cell
    if "c" not in cell.blocks:
        raise ArgumentError(f"`routes` needs a cell with a cell state, got {type(cell).__name__}. Use `transport`.")
    size, batch, length = cell.hidden_size, linearization.batch, linearization.length
    at = cell.blocks.index("c")
    rms, cosine = np.full((3, length + 1, batch), np.nan), np.full((length + 1, batch), np.nan)
    highway = np.ones((size, batch)), np.zeros((size, batch), np.int64)  # the diagonal of P, mantissa and exponent
    start = np.zeros((linearization.state_size, batch, size))
    rest, whole = Bundle(start, size, 1), Bundle(_diagonal(highway[0], start, at), size, 1)
    with np.errstate(all="ignore"):
        _note(rms, cosine, length, highway, rest, whole, at)
        for steps in reversed(trajectory.chunks()):
            kept = _kept(linearization, steps, at)
            for t in reversed(range(steps.start, steps.stop)):
                pull = partial(linearization.pull_at, t)
                shares = pull(_diagonal(highway[0], start, at))
                own = kept[t - steps.start]
                shares[at * size + np.arange(size), :, np.arange(size)] -= own * highway[0]
                rest.advance(pull)
                whole.advance(pull)
                rest.add(shares, highway[1].T)
                mantissa, shift = np.frexp(own * highway[0])
                highway = mantissa, highway[1] + shift
                _note(rms, cosine, t, highway, rest, whole, at)
    lags = lags_of(linearization)
    return Routes(np.stack([lags.lagged(route) for route in rms]), lags.lagged(cosine))


def _kept(linearization: Linearization | DenseLinearization, steps: slice, at: int) -> Array:
    """Return dc_{t+1}/dc_t with the drives held fixed, for some steps (n, H, B), in float64."""
    if isinstance(linearization, DenseLinearization):  # the diagonal of the block c by c
        return linearization.own_at(steps, at).astype(np.float64)
    partials = linearization.partials(steps)  # products in float64: J - D is to be exactly 0 where it is
    diagonal = resolve(partials, "state")[at][at]
    return np.zeros(partials.value[at].shape) if diagonal is None else np.asarray(diagonal, np.float64)


def _diagonal(mantissa: Array, like: Array, at: int) -> Array:
    """Return a diagonal (H, B) as columns (S, B, H) with entries in the block c alone."""
    size = len(mantissa)
    columns = np.zeros_like(like)
    columns[at * size + np.arange(size), :, np.arange(size)] = mantissa
    return columns


def _note(
    rms: Array, cosine: Array, t: int, highway: tuple[Array, Array], rest: Bundle, whole: Bundle, at: int
) -> None:
    """Write the norms and the cosine at time t."""
    mantissa, exponent = highway
    size = len(mantissa)
    rows = slice(at * size, (at + 1) * size)
    block, scale = rest.mantissa[rows], rest.exponent[at].T  # (H, B, H), (H, B)
    own, other = np.log10(np.abs(mantissa)) + exponent * LOG10_2, rest.logs[at].T
    largest = np.maximum(own, other).max(axis=0)
    base = np.where(np.isfinite(largest), np.floor(largest / LOG10_2), 0).astype(np.int64)
    block = np.ldexp(block, np.clip(scale - base, -4000, 4000).astype(np.intc).T[None])
    diagonal = np.ldexp(mantissa, np.clip(exponent - base, -4000, 4000).astype(np.intc))
    crossed = np.einsum("ub,ubu->b", diagonal, block)
    P, R, total = (log10_total(logs, 0) for logs in (own, other, whole.logs[at].T))
    rms[:, t] = np.stack([P, R, total]) - 0.5 * np.log10(size)
    lengths = 10.0 ** (P + R - 2.0 * base * LOG10_2)
    cosine[t] = np.clip(crossed / lengths, -1.0, 1.0)
