"""Spectra: Lyapunov exponents by QR, and what follows from them.

Tangent vectors are carried forward, ``Q <- J_t Q``: with the transpose in a forward loop the sum of
the exponents still comes out right and every single one is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradscope.errors import ArgumentError
from gradscope.linearization import Jacobians, Linearization

__all__ = ["BURN_IN", "TANGENT_BURN_IN", "LyapunovSpectrum", "lyapunov_spectrum"]

Array = np.ndarray

BURN_IN = 200
TANGENT_BURN_IN = 100
BLOCKS = 8


@dataclass(frozen=True, eq=False)
class LyapunovSpectrum:
    """Growth rates of small changes, largest first.

    Attributes
    ----------
    exponents : ndarray, (rank,)
        nat/step, mean over the steps after both burn-ins and over the sequences.
    error : ndarray, (rank,)
        Standard error of each, from means over blocks of steps of each sequence; NaN where fewer
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
    maps: Linearization | Jacobians,
    count: int | None = None,
    burn_in: int = BURN_IN,
    tangent_burn_in: int = TANGENT_BURN_IN,
) -> LyapunovSpectrum:
    """Return the Lyapunov spectrum of a trajectory by repeated QR.

    A first exponent above 0 is chaos: gradients explode along it. Far below 0 the network forgets its past at
    that rate, whatever the loss.

    Parameters
    ----------
    maps : Linearization or Jacobians
    count : int, optional
        How many exponents, from the largest; all S when left out.
    burn_in : int
        Steps left out at the start, while the state finds its attractor.
    tangent_burn_in : int
        Steps after that over which the tangent vectors turn without being counted.

    Returns
    -------
    LyapunovSpectrum
        NaN from a bad Jacobian; -inf for a direction that a Jacobian annihilates.

    Raises
    ------
    ArgumentError
        When the trajectory is no longer than both burn-ins, a burn-in is no count of steps, or ``count`` is not
        in 1..S.

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
    skipped = burn_in + tangent_burn_in
    if maps.length <= skipped:
        raise ArgumentError(
            f"`inputs` must be longer than both burn-ins, {burn_in} + {tangent_burn_in} steps, got {maps.length}. "
            "Use a longer sequence, or lower `burn_in` and `tangent_burn_in`."
        )
    size, batch = maps.state_size, maps.batch
    count = size if count is None else count
    if not isinstance(count, (int, np.integer)) or not 1 <= count <= size:
        raise ArgumentError(f"`count` must be between 1 and S={size}, got {count!r}. Leave it out for all.")
    start = np.linalg.qr(np.random.default_rng(0).standard_normal((size, count)))[0]
    bundle = np.ascontiguousarray(np.broadcast_to(start[:, None, :], (size, batch, count)), maps.dtype)
    logs = np.empty((maps.length - skipped, batch, count))
    with np.errstate(all="ignore"):
        for t in range(burn_in, maps.length):
            q, r = np.linalg.qr(np.moveaxis(_finite(maps.push_at(t, bundle)), 1, 0))
            bundle = np.ascontiguousarray(np.moveaxis(q, 0, 1))
            if t >= skipped:
                logs[t - skipped] = np.log(np.abs(np.diagonal(r, axis1=1, axis2=2)))
    means = np.stack([block.mean(axis=0) for block in np.array_split(logs, min(BLOCKS, len(logs)))]).reshape(-1, count)
    exponents = logs.mean(axis=(0, 1))
    with np.errstate(invalid="ignore"):
        error = means.std(axis=0, ddof=1) / np.sqrt(len(means)) if len(means) > 1 else np.full(count, np.nan)
    order = np.argsort(-exponents, kind="stable")
    exponents = exponents[order]
    return LyapunovSpectrum(
        exponents, error[order], _kaplan_yorke(exponents, size), float(exponents[exponents > 0].sum())
    )


def _finite(bundle: Array) -> Array:
    """Return the bundle with every sequence that holds a NaN or inf made NaN throughout."""
    bad = ~np.isfinite(bundle).all(axis=(0, 2))
    if bad.any():
        bundle[:, bad] = np.nan
    return bundle


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
