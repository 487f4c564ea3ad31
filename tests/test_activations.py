"""Activations: value, slope and curvature against formulas in long double, far into both tails."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import plain_routes
import pytest
from autograd.test_util import check_grads

from gradscope.activations import ACTIVATIONS, activation, log_sigmoid
from gradscope.errors import ArgumentError

L = np.longdouble
FAR = np.concatenate([np.linspace(-740, 740, 1481), np.linspace(-40, 40, 1601), [-800.0, 800.0, 0.0, -0.0]])
PIECEWISE = ("relu", "hard_sigmoid", "hard_tanh", "identity")
EVERY = pytest.mark.parametrize("name", sorted(ACTIVATIONS))
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def exact_value(name, x):
    x = np.asarray(x, L)
    u = np.exp(-np.abs(x))
    return {
        "sigmoid": lambda: np.where(x > 0, 1 / (1 + u), u / (1 + u)),
        "tanh": lambda: np.sign(x) * (-np.expm1(-2 * np.abs(x))) / (1 + u * u),
        "softsign": lambda: x / (1 + np.abs(x)),
        "relu": lambda: np.maximum(x, 0),
        "identity": lambda: x,
        "hard_sigmoid": lambda: np.minimum(np.maximum(x / 6 + L(0.5), 0), 1),
        "hard_tanh": lambda: np.minimum(np.maximum(x, -1), 1),
    }[name]()


def exact_slope(name, x):
    x = np.asarray(x, L)
    u = np.exp(-np.abs(x))
    return {
        "sigmoid": lambda: u / (1 + u) ** 2,
        "tanh": lambda: 4 * u * u / (1 + u * u) ** 2,
        "softsign": lambda: 1 / (1 + np.abs(x)) ** 2,
        "relu": lambda: L(1) * (x > 0),
        "identity": lambda: np.ones_like(x),
        "hard_sigmoid": lambda: (np.abs(x) < 3) / L(6),
        "hard_tanh": lambda: L(1) * (np.abs(x) < 1),
    }[name]()


def assert_close(found, wanted, rtol):
    """Compare relatively down to the smallest normal number, and absolutely below it."""
    info = np.finfo(np.asarray(found).dtype)
    np.testing.assert_allclose(np.asarray(found, L), wanted, rtol=rtol, atol=float(info.tiny))


def slope(name, x):
    kind = activation(name)
    return kind.slope(x, kind(x))


@EVERY
@DTYPES
def test_value_is_right_in_both_tails(name, dtype):
    x = FAR.astype(dtype)
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        y = activation(name)(x)
    assert y.dtype == dtype
    # sigmoid far left is exp(x), whose relative error is |x| times that of x
    assert_close(y, exact_value(name, x), 200 * np.finfo(dtype).eps)


@EVERY
@DTYPES
def test_slope_is_right_in_both_tails(name, dtype):
    x = FAR.astype(dtype)
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        found = slope(name, x)
    assert found.dtype == dtype
    assert_close(found, exact_slope(name, x), {np.float64: 1e-11, np.float32: 1e-4}[dtype])


@pytest.mark.parametrize(("name", "x", "truth"), [("sigmoid", 38.0, 3.139132792048029e-17), ("tanh", 19.5, 4.6263e-17)])
def test_slope_is_not_lost_where_the_value_is_1(name, x, truth):
    y = activation(name)(x)
    assert y == 1.0
    assert y * (1 - y) == 0.0  # what the textbook formula gives
    assert slope(name, x) == pytest.approx(truth, rel=1e-4)


@EVERY
def test_slope_is_the_derivative_of_the_value_by_finite_differences(name):
    x = np.array([-4.0, -2.2, -0.7, -0.2, 0.3, 0.6, 1.7, 5.0])
    numeric = (activation(name)(x + 1e-6) - activation(name)(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(slope(name, x), numeric, atol=1e-9)
    np.testing.assert_allclose(
        slope(name, x), autograd.elementwise_grad(plain_routes.ACTIVATIONS[name])(x), rtol=1e-12, atol=1e-16
    )


@EVERY
def test_autograd_uses_the_slope(name):
    x = FAR[np.abs(FAR) < 700]
    np.testing.assert_array_equal(autograd.elementwise_grad(activation(name).function)(x), slope(name, x))
    tangent = autograd.make_jvp(activation(name).function)(x)(np.ones_like(x))[1]
    np.testing.assert_array_equal(tangent, slope(name, x))


@EVERY
def test_derivatives_of_every_order_are_right_in_both_modes(name):
    x = np.array([-3.7, -1.4, -0.3, 0.4, 0.8, 2.5])
    check_grads(activation(name).function, modes=["fwd", "rev"], order=3)(x)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - set(PIECEWISE)))
def test_curvature_is_the_numerical_derivative_of_the_slope(name):
    x = np.array([-30.0, -9.0, -2.0, -0.4, 0.5, 3.0, 11.0, 30.0])
    curvature = autograd.elementwise_grad(autograd.elementwise_grad(activation(name).function))(x)
    width = L(1e-6)
    numeric = (exact_slope(name, x + width) - exact_slope(name, x - width)) / (2 * width)
    np.testing.assert_allclose(curvature, numeric.astype(float), rtol=1e-8)


@EVERY
@DTYPES
def test_nan_in_gives_nan_out(name, dtype):
    x = np.array([np.nan, 0.5], dtype)
    assert np.isnan(activation(name)(x)).tolist() == [True, False]
    if name != "identity":  # its slope is 1 whatever x is
        assert np.isnan(slope(name, x)).tolist() == [True, False]


@EVERY
@DTYPES
def test_infinite_x_reaches_the_limit_with_no_slope(name, dtype):
    kind = activation(name)
    for largest in (np.inf, np.finfo(dtype).max):
        x = np.array([-largest, largest], dtype)
        if kind.bounded or np.isinf(largest):
            np.testing.assert_array_equal(kind(x), [kind.low, kind.high])
        np.testing.assert_array_equal(slope(name, x), {"relu": [0, 1], "identity": [1, 1]}.get(name, [0, 0]))
        curved = autograd.elementwise_grad(autograd.elementwise_grad(kind.function))(x)
        np.testing.assert_array_equal(curved, 0.0)


@EVERY
def test_the_inverse_leads_back_to_the_value(name):
    kind = activation(name)
    x = np.linspace(-2.5, 2.5, 31)
    y = kind(x)
    np.testing.assert_allclose(kind(kind.inverse(y)), y, atol=1e-13)
    inside = slope(name, x) > 0
    np.testing.assert_allclose(kind.inverse(y)[inside], x[inside], atol=1e-12)
    if kind.bounded:
        ends = np.array([kind.low, kind.high])
        np.testing.assert_array_equal(kind(kind.inverse(ends)), ends)
        np.testing.assert_array_equal(slope(name, kind.inverse(ends)), 0.0)


@EVERY
def test_range_and_largest_slope_are_what_is_stated(name):
    kind, x = activation(name), np.linspace(-800, 800, 160001)
    y, found = kind(x), slope(name, x)
    assert found.max() == pytest.approx(kind.largest_slope, abs=1e-12)
    assert kind.bounded == (np.isfinite(kind.low) and np.isfinite(kind.high))
    assert y.min() >= kind.low
    assert y.max() <= kind.high
    if kind.bounded:
        assert (y.min() - kind.low, kind.high - y.max()) == pytest.approx((0, 0), abs=2e-3)


@EVERY
@DTYPES
def test_shape_is_kept_down_to_a_single_number(name, dtype):
    for shape in ((), (1,), (2, 3, 4)):
        x = np.full(shape, 0.3, dtype)
        assert np.shape(activation(name)(x)) == np.shape(slope(name, x)) == shape
    assert activation(name)(dtype(0.3)).dtype == slope(name, dtype(25.0)).dtype == dtype


def test_a_value_does_not_share_memory_with_x():
    x = np.array([0.5, -0.5])
    for name in ACTIVATIONS:
        assert not np.shares_memory(activation(name)(x), x)


@DTYPES
def test_log_sigmoid_never_leaves_the_float_range(dtype):
    x = FAR.astype(dtype)
    wide = np.asarray(x, L)
    wanted = np.minimum(wide, 0) - np.log1p(np.exp(-np.abs(wide)))
    found = log_sigmoid(x)
    assert found.dtype == dtype
    assert_close(found, wanted, 20 * np.finfo(dtype).eps)
    assert (found[x < 700 if dtype is np.float64 else x < 80] < 0).all()


def test_log_sigmoid_has_sigmoid_of_minus_x_as_slope():
    x = FAR[np.abs(FAR) < 700]
    np.testing.assert_allclose(autograd.elementwise_grad(log_sigmoid)(x), activation("sigmoid")(-x), rtol=1e-12)
    check_grads(lambda x: anp.sum(log_sigmoid(x)), order=2)(np.array([-30.0, -1.0, 2.0, 20.0]))


def test_every_activation_is_listed_under_its_own_name():
    for name, kind in ACTIVATIONS.items():
        assert kind.name == kind.function.__name__ == name
        assert kind.function.__doc__.startswith("Return")


def test_a_misspelt_name_is_refused_with_the_nearest_one():
    with pytest.raises(ArgumentError, match=r"`activation` must be one of .*, got 'softsgn'\. Did you mean 'softsign'"):
        activation("softsgn")
