"""Activations: each with its slope, accurate in both tails, its range and its largest slope.

The one place of gradscope where derivatives are written down. autograd's own rule for ``tanh``
spends a ``cosh`` per element and overflows beyond 355, and the textbook ``y (1 - y)`` of a
sigmoid is an exact 0 where the true slope is 1e-17. Each function here is an autograd
primitive whose rule is its :class:`Activation`'s ``slope``; a slope is a primitive itself, with
the ``curvature`` as its rule, so that derivatives of any order are right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp, defvjp, primitive

from gradscope.errors import unknown

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "activation",
    "hard_sigmoid",
    "hard_tanh",
    "identity",
    "log_sigmoid",
    "relu",
    "sigmoid",
    "softsign",
    "tanh",
]

Array = Any


@dataclass(frozen=True)
class Activation:
    """An elementwise function and what gradscope needs to know of it.

    Attributes
    ----------
    name : str
    function : callable
        ``function(x) -> y``, an autograd primitive; any shape, float32 or float64.
    slope : callable
        ``slope(x, y) -> dy/dx`` with ``y = function(x)`` given, so that nothing is computed twice.
    low, high : float
        Limits of the value; infinite when unbounded. Saturation is defined by them.
    largest_slope : float
        The largest value of the slope.
    inverse : callable
        ``inverse(y) -> x`` with ``function(x) = y``; where many x give y, the one nearest to 0.
    """

    name: str
    function: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]
    low: float
    high: float
    largest_slope: float
    inverse: Callable[[Array], Array]

    def __call__(self, x: Array) -> Array:
        """Return the activation of ``x``."""
        return self.function(x)

    @property
    def bounded(self) -> bool:
        """Whether the value has two finite limits, so that it can saturate."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))


ACTIVATIONS: dict[str, Activation] = {}


def activation(name: str) -> Activation:
    """Return the activation of that name.

    Raises
    ------
    ArgumentError
        For a name that is not in ``ACTIVATIONS``; the nearest one is suggested.

    Examples
    --------
    >>> activation("softsign").largest_slope
    1.0
    """
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def _scale(g: Array, slope: Array) -> Array:
    """Return g * slope, in the slope's memory where that is a plain array."""
    if type(slope) is np.ndarray and type(g) is np.ndarray and g.dtype == slope.dtype and slope.ndim:
        return np.multiply(g, slope, out=slope)
    return g * slope


def _register(
    value: Callable[[Array], Array],
    slope: Callable[[Array, Array], Array],
    curvature: Callable[[Array], Array],
    inverse: Callable[[Array], Array],
    low: float,
    high: float,
    largest_slope: float = 1.0,
) -> Callable[[Array], Array]:
    """Make ``value`` and ``slope`` primitives that know their derivatives, and list them."""
    name = value.__name__
    function, derivative = primitive(value), primitive(slope)
    defvjp(function, lambda y, x: lambda g: _scale(g, derivative(x, y)))
    defjvp(function, lambda g, y, x: g * derivative(x, y))
    # y is a function of x: the whole dependence of the slope is its curvature in x
    defvjp(derivative, lambda d, x, y: lambda g: g * curvature(x), None)
    defjvp(derivative, lambda g, d, x, y: g * curvature(x), None)
    ACTIVATIONS[name] = Activation(name, function, derivative, low, high, largest_slope, inverse)
    return function


_NEAR = {"d": 1e-3, "f": 2e-2}  # by dtype: where 1 - |y| is smaller, a slope comes from x: y has lost the digits


def _sigmoid_slope(x: Array, y: Array) -> Array:
    """Return y (1 - y), and exp(-x) y^2 in the right tail."""
    slope = np.asarray(1.0 - y)
    edge = _NEAR.get(slope.dtype.char, _NEAR["d"])
    tail = slope < edge if slope.size and not slope.min() >= edge else None
    slope *= y
    if tail is not None:
        near = np.asarray(y)[tail]
        slope[tail] = np.exp(-np.asarray(x)[tail]) * near * near
    return slope if slope.ndim else slope[()]


def _tanh_slope(x: Array, y: Array) -> Array:
    """Return 1 - y^2, and 4u / (1 + u)^2 with u = exp(-2|x|) in both tails."""
    slope = np.asarray(y * y)
    np.subtract(1.0, slope, out=slope)
    edge = _NEAR.get(slope.dtype.char, _NEAR["d"])
    if slope.size and not slope.min() >= edge:
        tail = slope < edge
        u = np.exp(-np.abs(np.asarray(x)[tail])) ** 2  # twice the largest float would overflow
        slope[tail] = 4.0 * u / (1.0 + u) ** 2
    return slope if slope.ndim else slope[()]


def _softsign_slope(x: Array, y: Array) -> Array:
    """Return 1 / (1 + |x|)^2."""
    root = np.reciprocal(1.0 + np.abs(x))
    return root * root


def _sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), right down to the smallest normal number."""
    with np.errstate(over="ignore"):
        return _bare_sigmoid(x)


def _bare_sigmoid(x: Array) -> Array:
    """Return the same where overflow is known to be nothing to warn of."""
    y = np.asarray(np.multiply(x, -1.0))
    np.exp(y, out=y)
    y += 1.0
    np.reciprocal(y, out=y)
    return y if y.ndim else y[()]


BARE: dict[Callable[..., Any], Callable[..., Any]] = {_sigmoid: _bare_sigmoid}
"""Functions without their guard against warnings, for whoever has one guard for many calls."""


def _named(name: str, value: Callable[[Array], Array], doc: str) -> Callable[[Array], Array]:
    """Return ``value`` under the public name and docstring."""
    value.__name__ = value.__qualname__ = name
    value.__doc__ = doc
    return value


def _softsign(x: Array) -> Array:
    """Return x / (1 + |x|), and the sign of what is infinite."""
    held = np.clip(x, *_FINITE.get(np.asarray(x).dtype.char, _FINITE["d"]))
    return held / (1.0 + np.abs(held))


_FINITE = {char: (np.finfo(char).min, np.finfo(char).max) for char in "df"}  # by dtype: the largest floats


def _where_nan(x: Array, slope: Array) -> Array:
    """Return the slope of a piecewise linear function, NaN where x is NaN."""
    return np.where(np.isnan(x), x, slope)


def _straight(x: Array) -> Array:
    """Return the curvature of a piecewise linear function: 0, and NaN where x is NaN."""
    return anp.where(anp.isnan(x), x, anp.zeros_like(x))


def _logit(y: Array) -> Array:
    """Return ln(y / (1 - y)), infinite at the ends."""
    with np.errstate(divide="ignore"):
        return np.log(y) - np.log1p(-np.asarray(y))


def _artanh(y: Array) -> Array:
    """Return artanh(y), infinite at the ends."""
    with np.errstate(divide="ignore"):
        return np.arctanh(y)


def _softsign_inverse(y: Array) -> Array:
    """Return y / (1 - |y|), infinite at the ends."""
    with np.errstate(divide="ignore"):
        return y / (1.0 - np.abs(y))


sigmoid: Callable[[Array], Array] = _register(
    _named("sigmoid", _sigmoid, "Return 1 / (1 + exp(-x)), elementwise; between 0 and 1."),
    _sigmoid_slope,
    lambda x: ACTIVATIONS["sigmoid"].slope(x, sigmoid(x)) * (1.0 - 2.0 * sigmoid(x)),
    _logit,
    0.0,
    1.0,
    0.25,
)
tanh: Callable[[Array], Array] = _register(
    _named("tanh", lambda x: np.tanh(x), "Return the hyperbolic tangent, elementwise; between -1 and 1."),
    _tanh_slope,
    lambda x: -2.0 * tanh(x) * ACTIVATIONS["tanh"].slope(x, tanh(x)),
    _artanh,
    -1.0,
    1.0,
)
softsign = _register(
    _named("softsign", _softsign, "Return x / (1 + abs(x)), elementwise; between -1 and 1."),
    _softsign_slope,
    lambda x: -2.0 * anp.sign(x) * (1.0 / (1.0 + anp.abs(x))) ** 3,
    _softsign_inverse,
    -1.0,
    1.0,
)
relu = _register(
    _named("relu", lambda x: np.maximum(x, 0.0), "Return max(x, 0), elementwise; its slope at 0 is 0."),
    lambda x, y: _where_nan(x, np.asarray(x > 0, np.asarray(x).dtype)),
    _straight,
    lambda y: y,
    0.0,
    np.inf,
)
identity = _register(
    _named("identity", lambda x: np.array(x)[()], "Return x: a linear cell."),
    lambda x, y: np.ones_like(x),
    _straight,
    lambda y: y,
    -np.inf,
    np.inf,
)
hard_sigmoid: Callable[[Array], Array] = _register(
    _named(
        "hard_sigmoid",
        lambda x: np.clip(x / 6.0 + 0.5, 0.0, 1.0),
        "Return clip(x / 6 + 1/2, 0, 1), elementwise, as torch defines it.",
    ),
    lambda x, y: _where_nan(x, np.asarray(np.abs(x) < 3.0, np.asarray(x).dtype) / 6.0),
    _straight,
    lambda y: 6.0 * (y - 0.5),
    0.0,
    1.0,
    1.0 / 6.0,
)
hard_tanh = _register(
    _named("hard_tanh", lambda x: np.clip(x, -1.0, 1.0), "Return clip(x, -1, 1), elementwise."),
    lambda x, y: _where_nan(x, np.asarray(np.abs(x) < 1.0, np.asarray(x).dtype)),
    _straight,
    lambda y: y,
    -1.0,
    1.0,
)


def log_sigmoid(x: Array) -> Array:
    """Return ln sigmoid(x) = -ln(1 + exp(-x)), without leaving the float range.

    Retention over long lags is a sum of these: ln of a gate at 1 - 1e-17 is -1e-17, not 0.
    """
    return -anp.logaddexp(0.0, -x)
