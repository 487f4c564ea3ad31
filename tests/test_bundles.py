"""Bundles: against whole numbers of any size, exactly, where no common exponent could hold the blocks."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradscope.bundles import Bundle
from gradscope.logscale import log10_total


def log10_of(value: Fraction) -> float:
    """Return log10 of the square root of a fraction of any size."""
    return -math.inf if value == 0 else 0.5 * (math.log10(value.numerator) - math.log10(value.denominator))


def exact(matrices: list[np.ndarray]) -> list[list[Fraction]]:
    """Return the product of matrices of floats, the first to the right, as fractions."""
    size = len(matrices[0])
    product = [[Fraction(int(i == j)) for j in range(size)] for i in range(size)]
    for matrix in matrices:
        rows = [[Fraction(float(entry)) for entry in row] for row in matrix]
        product = [[sum(row[k] * product[k][j] for k in range(size)) for j in range(size)] for row in rows]
    return product


SCALES = st.sampled_from([-120, -60, -3, 0, 0, 1, 40, 130])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(SCALES, min_size=4, max_size=4), min_size=1, max_size=8), st.integers(0, 10**6), st.booleans())
def test_every_block_is_right_however_far_apart_the_blocks_drift(scales, seed, zeros):
    """Positive numbers, so that nothing cancels: each block of a product against fractions."""
    rng = np.random.default_rng(seed)
    matrices = []
    for step in scales:
        blocks = 10.0 ** np.array(step).reshape(2, 2)
        if zeros:
            blocks = np.where(rng.random((2, 2)) < 0.4, 0.0, blocks)
        matrices.append(np.kron(blocks, np.ones((2, 2))) * rng.uniform(0.5, 1.5, (4, 4)))
    bundle = Bundle.eye(4, 1, 2, np.dtype(float))
    for matrix in matrices:
        bundle.advance(lambda columns, m=matrix: np.einsum("ij,jbm->ibm", m, columns))
    product = exact(matrices)
    for i in range(2):
        for j in range(2):
            block = [product[a][c] for a in (2 * i, 2 * i + 1) for c in (2 * j, 2 * j + 1)]
            wanted = log10_of(sum(entry * entry for entry in block))
            assert bundle.logs[i, 0, j] == pytest.approx(wanted, abs=1e-11 + 1e-14 * abs(wanted)), (i, j)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_blocks_that_meet_late_are_right(dtype):
    """h halves with each step and c is kept; only in the last step c hears h."""
    maps = np.tile(np.diag([0.5, 1.0]), (3000, 1, 1)).astype(dtype)
    maps[-1, 1, 0] = 1.0
    bundle = Bundle.eye(2, 1, 1, np.dtype(dtype))
    for matrix in maps:
        bundle.advance(lambda columns, m=matrix: np.einsum("ij,jbm->ibm", m, columns))
    wanted = [[3000 * np.log10(0.5), -np.inf], [2999 * np.log10(0.5), 0.0]]
    np.testing.assert_allclose(bundle.logs[:, 0], wanted, rtol=1e-13)
    assert bundle.mantissa.dtype == dtype


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_numbers_stay_in_their_sequence(bad):
    bundle = Bundle.eye(2, 2, 1, np.dtype(float))
    with np.errstate(invalid="ignore"):
        bundle.advance(lambda columns: columns * np.array([bad, 2.0])[:, None])
    assert not np.isfinite(bundle.logs[0, 0, 0])
    assert bundle.logs[0, 1, 0] == pytest.approx(np.log10(2))


@given(st.lists(st.tuples(st.integers(-900, 900), st.integers(-900, 900)), min_size=1, max_size=5))
def test_sums_keep_the_scale_of_the_larger(pairs):
    """One number, added to again and again."""
    bundle = Bundle(np.zeros((1, 1, 1)), 1, 1)
    total = Fraction(0)
    for mantissa, exponent in pairs:
        bundle.add(np.full((1, 1, 1), float(abs(mantissa))), np.full((1, 1), exponent))
        total += abs(mantissa) * Fraction(2) ** exponent
    assert bundle.logs[0, 0, 0] == pytest.approx(log10_of(total**2), abs=1e-12)


def test_plain_numbers_on_an_asked_for_scale():
    bundle = Bundle.eye(2, 1, 1, np.dtype(float))
    for _ in range(500):
        bundle.advance(lambda columns: columns * np.array([8.0, 4.0])[:, None, None])
    np.testing.assert_allclose(bundle.plain(np.array([1500]))[:, 0], [[1.0, 0.0], [0.0, 2.0**-500]])


def test_lengths_add_by_squares():
    logs = np.log10([[3e-200, 0.0], [4e-200, 0.0]], where=[[True, False], [True, False]], out=np.full((2, 2), -np.inf))
    np.testing.assert_allclose(log10_total(logs, 0), [np.log10(5e-200), -np.inf])
    assert np.isnan(log10_total(np.array([np.nan, 0.0]), 0))
