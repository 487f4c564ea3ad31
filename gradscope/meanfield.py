"""Mean-field theory of random networks: what a wide RNN does before any training, from two integrals.

A network ``h_t = phi(W h_{t-1} + V x_t)`` with ``W_ij ~ N(0, g^2/N)`` and white input of variance ``s2`` on each
pre-activation forgets its details when N is large: a pre-activation is Gaussian with a variance q that maps to itself,
and a gradient is multiplied by sqrt(chi) in each step. Everything here is the limit of infinite N, for networks in
discrete time whose units are independent from one step to the next; networks in continuous time have other numbers.

Sources: Sompolinsky, Crisanti & Sommers 1988; Molgedey, Schuchhardt & Schuster 1992 (input); Poole et al. 2016 and
Chen, Pennington & Schoenholz 2018 (q and chi); Newman 1986 and Isopi & Newman 1992 (exponents of products of random
matrices); Engelken, Wolf & Abbott 2023 (spectra, dimension and entropy of recurrent networks).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import optimize, special

from gradscope.activations import activation as find_activation
from gradscope.errors import ArgumentError

__all__ = [
    "critical_gain",
    "entropy",
    "kaplan_yorke_dimension",
    "largest_exponent",
    "mean_square_slope",
    "product_exponents",
    "spectrum",
    "variance",
]

Array = np.ndarray
Moment = Callable[[Array], Array]

POINTS = 1024  # nodes in each half of the Gaussian, in panels that grow with the distance from 0
REACH = 12.0  # standard deviations, beyond which a Gaussian weighs under 1e-31
QUANTILES = 1000  # of the spectrum, for its integrals


@cache
def _nodes() -> tuple[Array, Array]:
    """Return z > 0 and weights of Gauss-Legendre panels for the mean of an even function of a standard Gaussian."""
    x, w = np.polynomial.legendre.leggauss(16)
    edges = np.concatenate([[0.0], np.geomspace(1e-7, REACH, POINTS // 16)])
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half * (1 + x)).ravel()
    return z, 2 * (half * w).ravel() * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def _mean(values: Array) -> float:
    """Return the mean over the standard Gaussian of a function that was taken at the nodes."""
    return float(_nodes()[1] @ values)


def _square(activation: str, q: float) -> float:
    """Return E[phi(sqrt(q) z)^2]."""
    return _mean(find_activation(activation).function(np.sqrt(q) * _nodes()[0]) ** 2)


def _slopes(activation: str, q: float) -> Array:
    """Return phi'(sqrt(q) z)^2 at the nodes."""
    rule, x = find_activation(activation), np.sqrt(q) * _nodes()[0]
    return rule.slope(x, rule.function(x)) ** 2


def _check(gain: float, input_variance: float, activation: str) -> None:
    """Refuse what no network can have, and activations that are not odd."""
    for argument, value in (("gain", gain), ("input_variance", input_variance)):
        if not (isinstance(value, (int, float, np.number)) and np.isfinite(value) and value >= 0):
            raise ArgumentError(f"`{argument}` must be finite and at least 0, got {value!r}. 1.0 is a common choice.")
    rule = find_activation(activation)
    if rule.low != -rule.high or float(rule.function(np.zeros(1))[0]) != 0.0 or not np.isfinite(rule.high):
        raise ArgumentError(
            f"`activation` must be odd and bounded for a mean-field theory without a mean, got {activation!r}. "
            "Use 'tanh' or 'softsign'."
        )


def variance(gain: float, input_variance: float = 0.0, activation: str = "tanh") -> float:
    """Return the variance q of a pre-activation: the largest solution of q = g^2 E[phi(sqrt(q) z)^2] + s2.

    0 means that a network without input falls silent; above the gain of 1 it lives by itself.

    Parameters
    ----------
    gain : float
        g, of ``W_ij ~ N(0, g^2/N)``.
    input_variance : float
        s2, of the white input on each pre-activation.
    activation : str
        An odd, bounded one.

    Raises
    ------
    ArgumentError
        For a negative gain or variance, or an activation without this theory.

    Examples
    --------
    >>> round(variance(2.0), 5)
    2.12147
    """
    _check(gain, input_variance, activation)
    slope_at_0 = float(np.sqrt(_slopes(activation, 0.0)[0]))
    if input_variance == 0.0 and gain * slope_at_0 <= 1.0:
        return 0.0
    high = gain**2 * find_activation(activation).high ** 2 + input_variance

    def excess(log_q: float) -> float:
        q = np.exp(log_q)
        return float((gain**2 * _square(activation, q) + input_variance) / q - 1.0)

    low = -40.0 if input_variance == 0.0 else np.log(input_variance)
    if excess(low) <= 0.0:  # next to nothing but input
        return float(np.exp(low))
    return float(np.exp(optimize.brentq(excess, low, np.log(high) + 1e-9, xtol=1e-14, rtol=1e-14)))


def mean_square_slope(gain: float, input_variance: float = 0.0, activation: str = "tanh") -> float:
    """Return chi = g^2 E[phi'(sqrt(q) z)^2]: by what a squared gradient is multiplied in each step.

    It is the mean of ``(1/N) ||J_t||_F^2``, and ``chi^n`` that of the Jacobian over n steps. Above 1 gradients
    explode, below they vanish.

    Parameters and errors are those of :func:`variance`.

    Examples
    --------
    >>> round(mean_square_slope(1.0, 1.0), 6)
    0.398879
    """
    return gain**2 * _mean(_slopes(activation, variance(gain, input_variance, activation)))


def largest_exponent(gain: float, input_variance: float = 0.0, activation: str = "tanh") -> float:
    """Return the largest Lyapunov exponent, ln(chi)/2 in nat/step.

    Parameters and errors are those of :func:`variance`. -inf for a gain of 0.

    Examples
    --------
    >>> round(largest_exponent(3.0), 6)
    0.310249
    """
    chi = mean_square_slope(gain, input_variance, activation)
    return float(np.log(chi) / 2) if chi > 0 else float("-inf")


def critical_gain(input_variance: float = 0.0, activation: str = "tanh") -> float:
    """Return the gain at which chi is 1: below it gradients vanish, above it they explode.

    1 without input, more with it: input suppresses chaos.

    Raises
    ------
    ArgumentError
        As :func:`variance` does.

    Examples
    --------
    >>> round(critical_gain(1.0, "softsign"), 4)
    2.6674
    """
    _check(1.0, input_variance, activation)
    if input_variance == 0.0:
        return 1.0 / float(np.sqrt(_slopes(activation, 0.0)[0]))

    def excess(log_gain: float) -> float:
        return mean_square_slope(float(np.exp(log_gain)), input_variance, activation) - 1.0

    high = 1.0
    while excess(high) < 0:
        high += 1.0
    return float(np.exp(optimize.brentq(excess, 0.0, high, xtol=1e-12)))


def spectrum(quantiles: Array, gain: float, input_variance: float = 0.0, activation: str = "tanh") -> Array:
    """Return the Lyapunov exponents at some quantiles of the spectrum, largest first, nat/step.

    For the quantile x find z > 0 with ``E[z d / (1 + z d)] = x``, ``d = phi'(sqrt(q) u)^2``; then
    ``lambda(x) = ln g + ln(x / z) / 2``, the exponents of a free product of Gaussian and diagonal matrices. Towards
    x = 0 it is the largest exponent, towards x = 1 the smallest.

    Parameters
    ----------
    quantiles : array
        Between 0 and 1, both left out.
    gain, input_variance, activation
        As for :func:`variance`.

    Returns
    -------
    ndarray
        Of the shape of ``quantiles``.

    Raises
    ------
    ArgumentError
        For a quantile outside (0, 1), and as :func:`variance` does.

    Examples
    --------
    >>> spectrum(np.array([1e-9]), 3.0).round(4).tolist()
    [0.3102]
    """
    x = np.asarray(quantiles, float)
    if not ((x > 0) & (x < 1)).all():
        raise ArgumentError("`quantiles` must lie between 0 and 1, both left out. Use (rank + 0.5) / N.")
    slopes, weights = _slopes(activation, variance(gain, input_variance, activation)), _nodes()[1]
    weights = weights / weights.sum()

    def share(log_z: Array) -> tuple[Array, Array]:
        part = special.expit(log_z[..., None] + np.log(np.maximum(slopes, 1e-300)))
        return part @ weights, (part * (1 - part)) @ weights

    low, high = np.full(x.size, -700.0), np.full(x.size, 690.0)
    log_z, flat = np.zeros(x.size), x.ravel()
    for _ in range(200):  # Newton within a bracket, for all quantiles at once
        value, slope = share(log_z)
        low, high = np.where(value < flat, log_z, low), np.where(value >= flat, log_z, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = log_z - (value - flat) / slope
        new = np.where((step > low) & (step < high), step, (low + high) / 2)
        done = np.abs(new - log_z).max() < 1e-12
        log_z = new
        if done:
            break
    with np.errstate(divide="ignore"):
        return (np.log(gain) + (np.log(flat) - log_z) / 2).reshape(x.shape)


@cache
def _curve(gain: float, input_variance: float, activation: str) -> tuple[Array, Array]:
    """Return quantiles at the middles of equal shares, finer towards the largest exponents, and the spectrum there."""
    x = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return x, np.concatenate([spectrum(part, gain, input_variance, activation) for part in np.array_split(x, 4)])


def entropy(gain: float, input_variance: float = 0.0, activation: str = "tanh") -> float:
    """Return the entropy of the dynamics for each unit: the integral of the positive exponents, nat/step.

    Parameters and errors are those of :func:`variance`. Source: Pesin's identity.

    Examples
    --------
    >>> round(entropy(3.0), 4)
    0.0252
    """
    exponents = _curve(float(gain), float(input_variance), activation)[1]
    return float(np.maximum(exponents, 0.0).mean())


def kaplan_yorke_dimension(gain: float, input_variance: float = 0.0, activation: str = "tanh") -> float:
    """Return the Kaplan-Yorke dimension for each unit: the share x up to which the exponents sum to 0.

    0 where no exponent is positive.

    Parameters and errors are those of :func:`variance`.

    Examples
    --------
    >>> round(kaplan_yorke_dimension(3.0), 4)
    0.2877
    """
    x, exponents = _curve(float(gain), float(input_variance), activation)
    sums = np.concatenate([[0.0], np.cumsum(exponents)]) / len(x)
    if exponents[0] <= 0:
        return 0.0
    past = int(np.argmax(sums[1:] < 0)) + 1
    if sums[past] >= 0:  # even all exponents together grow
        return 1.0
    return float((past - 1 + sums[past - 1] / (sums[past - 1] - sums[past])) / len(x))


def product_exponents(size: int, deviation: float = 1.0) -> tuple[Array, Array]:
    """Return the exponents of a product of independent Gaussian matrices, and the variance of each in one step.

    ``W_t ~ N(0, s^2/N)`` is drawn anew in each step: ``lambda_i = [ln(2 s^2/N) + psi((N - i + 1)/2)] / 2`` and a
    variance of ``psi'((N - i + 1)/2) / 4``, exact for every N. A spectrum by QR must meet them within its errors.

    Parameters
    ----------
    size : int
        N, of the matrices.
    deviation : float
        s.

    Returns
    -------
    exponents, variances : ndarray, (N,)
        nat/step, largest first; (nat/step)^2.

    Raises
    ------
    ArgumentError
        For a size under 1 or a deviation that is not positive.

    Notes
    -----
    Newman 1986.
    """
    if size < 1 or not deviation > 0:
        raise ArgumentError(
            f"`size` and `deviation` must be positive, got {size!r} and {deviation!r}. Use e.g. 20 and 1.0."
        )
    halves = (size - np.arange(size)) / 2
    exponents = 0.5 * (np.log(2 * deviation**2 / size) + special.digamma(halves))
    return exponents, special.polygamma(1, halves) / 4
