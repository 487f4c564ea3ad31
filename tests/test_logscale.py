"""Log scale: the same numbers as Python's whole numbers and fractions give, past the range of any float."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.logscale import LOG10_2, Scaled, ldexp, log10_norm

FLOATS = st.floats(-1e30, 1e30, allow_nan=False).map(lambda x: x if abs(x) > 1e-30 else 0.0)
EXPONENTS = st.integers(-6000, 6000)
COLUMNS = st.lists(FLOATS, min_size=3, max_size=3)


def scaled(columns, exponents):
    """Return columns (one list for each sequence) as a Scaled."""
    return Scaled(np.array(columns, float).T, np.array(exponents, np.int64))


def fractions(bundle, b):
    """Return the numbers of sequence b exactly."""
    return [Fraction(float(m)) * Fraction(2) ** int(bundle.exponent[b]) for m in bundle.mantissa[:, b]]


def log10_of(value: Fraction) -> float:
    """Return log10 of a positive fraction of any size."""
    if value == 0:
        return -math.inf
    shift = value.numerator.bit_length() - value.denominator.bit_length()
    return math.log10(float(value / Fraction(2) ** shift)) + shift * math.log10(2.0)


@given(st.lists(st.tuples(COLUMNS, EXPONENTS), min_size=1, max_size=3))
def test_normalizing_changes_no_digit(sequences):
    bundle = scaled(*zip(*sequences, strict=True))
    normal = bundle.normalized()
    for b in range(len(sequences)):
        assert fractions(normal, b) == fractions(bundle, b)
        largest = np.abs(normal.mantissa[:, b]).max()
        assert largest == 0.0 or 0.5 <= largest < 1.0


@given(st.lists(st.tuples(COLUMNS, EXPONENTS, COLUMNS, EXPONENTS), min_size=1, max_size=3))
def test_sums_are_right_whatever_the_exponents(sequences):
    first, i, second, j = zip(*sequences, strict=True)
    left, right = scaled(first, i), scaled(second, j)
    total = left + right
    for b in range(len(sequences)):
        wanted = [x + y for x, y in zip(fractions(left, b), fractions(right, b), strict=True)]
        # a share beyond the last digit of the largest entry may be lost
        room = max(abs(x) for x in [*fractions(left, b), *fractions(right, b)]) * Fraction(2) ** -52
        for found, exact in zip(fractions(total, b), wanted, strict=True):
            assert abs(found - exact) <= room


@given(COLUMNS, EXPONENTS, EXPONENTS)
def test_adding_zero_changes_nothing_whatever_its_exponent(columns, exponent, other):
    bundle, zero = scaled([columns], [exponent]), scaled([[0.0] * 3], [other])
    for total in (bundle + zero, zero + bundle):
        assert fractions(total, 0) == fractions(bundle, 0)


def test_zero_plus_zero_is_zero():
    total = scaled([[0.0, 0.0]], [-5000]) + scaled([[0.0, 0.0]], [5000])
    assert log10_norm(total).tolist() == [-np.inf]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so_and_stays_in_its_sequence(bad):
    bundle = scaled([[bad, 1.0], [3.0, 4.0]], [100, -9000])
    for total in (
        bundle.normalized(),
        bundle + scaled([[0.0, 0.0], [0.0, 0.0]], [0, 0]),
        scaled([[1.0, 1.0], [0.0, 0.0]], [5, 5]) + bundle,
    ):
        with np.errstate(invalid="ignore"):
            logs = log10_norm(total)
        assert not np.isfinite(logs[0])
        assert logs[1] == pytest.approx(np.log10(5.0) - 9000 * np.log10(2.0), rel=1e-14)


def test_bundles_of_columns_add_like_vectors():
    rng = np.random.default_rng(0)
    left, right = (Scaled(rng.standard_normal((4, 2, 3)), np.array([e, -e])) for e in (40, 3000))
    total = left + right
    for m in range(3):
        columns = Scaled(left.mantissa[:, :, m], left.exponent) + Scaled(right.mantissa[:, :, m], right.exponent)
        shift = (columns.exponent - total.exponent).astype(int)
        np.testing.assert_allclose(total.mantissa[:, :, m], np.ldexp(columns.mantissa, shift), rtol=1e-15)


@given(st.lists(st.tuples(COLUMNS, EXPONENTS), min_size=1, max_size=3))
def test_log10_of_a_norm_is_right_past_the_float_range(sequences):
    bundle = scaled(*zip(*sequences, strict=True))
    found = log10_norm(bundle)
    for b in range(len(sequences)):
        wanted = 0.5 * log10_of(sum((x * x for x in fractions(bundle, b)), Fraction(0)))
        assert found[b] == wanted or found[b] == pytest.approx(wanted, rel=1e-13, abs=1e-12)


def test_rows_and_columns_choose_a_part():
    bundle = Scaled(np.arange(24.0).reshape(4, 2, 3), np.array([10, -10]))
    part = bundle.mantissa[1:3, :, :2]
    wanted = np.log10(np.sqrt((part**2).sum(axis=(0, 2)))) + np.array([10, -10]) * LOG10_2
    np.testing.assert_allclose(log10_norm(bundle, slice(1, 3), slice(0, 2)), wanted, rtol=1e-14)
    flat = Scaled(bundle.mantissa[:, :, 0], bundle.exponent)
    part = flat.mantissa[2:]
    wanted = np.log10(np.sqrt((part**2).sum(axis=0))) + np.array([10, -10]) * LOG10_2
    np.testing.assert_allclose(log10_norm(flat, slice(2, None)), wanted, rtol=1e-14)


def test_entries_are_scaled_before_they_are_squared():
    bundle = Scaled(np.full((2, 1), 1e-170), np.zeros(1, np.int64))
    assert log10_norm(bundle)[0] == pytest.approx(-170 + 0.5 * np.log10(2), rel=1e-14)
    single = Scaled(np.full((2, 1), 1e-30, np.float32), np.zeros(1, np.int64))
    assert log10_norm(single)[0] == pytest.approx(-30 + 0.5 * np.log10(2), rel=1e-7)


def test_of_takes_plain_numbers_in():
    bundle = Scaled.of(np.array([[3.0, 0.0], [-12.0, 0.0]]))
    assert bundle.exponent.tolist() == [4, 0]
    np.testing.assert_array_equal(bundle.mantissa, [[3 / 16, 0], [-0.75, 0]])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ldexp_takes_shifts_that_no_c_int_would(dtype):
    values = np.array([[1.0, 1.0, 1.0, 0.0, 1.0]], dtype)
    with np.errstate(over="ignore", under="ignore"):
        found = ldexp(values, np.array([3, -(10**12), 10**12, 10**12, 0]))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, [[8.0, 0.0, np.inf, 0.0, 1.0]])


def test_a_long_product_keeps_every_digit():
    """0.3^20000 = 10^-10457.6, with one exponent carried; a plain product is 0 after 618 factors."""
    bundle, plain = Scaled.of(np.ones((1, 1))), 1.0
    for _ in range(20000):
        bundle = Scaled(bundle.mantissa * 0.3, bundle.exponent).normalized()
        plain *= 0.3
    assert plain < 1e-320
    assert log10_norm(bundle)[0] == pytest.approx(log10_of(Fraction(0.3) ** 20000), rel=1e-14)
