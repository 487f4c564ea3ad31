"""Graded products: singular values against known ones, against exact fractions, and against determinants."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradscope import graded
from gradscope.graded import Graded, graded_qr


def multiplied(matrices: np.ndarray) -> Graded:
    """Return the product of matrices (T, B, S, S), the first to the right."""
    product = Graded(matrices.shape[2], matrices.shape[1])
    with np.errstate(all="ignore"):
        for matrix in matrices:
            product.advance(lambda columns, m=matrix: np.einsum("bij,jbm->ibm", m, columns))
    return product


def logs_of(matrices: np.ndarray) -> np.ndarray:
    """Return ln of the singular values of the product, (B, S)."""
    with np.errstate(all="ignore"):
        return multiplied(matrices).logs(np.ones(matrices.shape[1], bool))


def exact_logs(matrices: np.ndarray) -> list[float]:
    """Return ln of the singular values of a product (T, S, S): fractions, then Jacobi's method on 600 digits."""
    size = matrices.shape[1]
    product = [[Fraction(int(i == j)) for j in range(size)] for i in range(size)]
    for matrix in matrices:
        rows = [[Fraction(float(x)) for x in row] for row in matrix]
        product = [[sum(row[k] * product[k][j] for k in range(size)) for j in range(size)] for row in rows]
    with localcontext(prec=600) as context:
        context.Emin, context.Emax = -999999, 999999
        columns = [[Decimal(row[j].numerator) / row[j].denominator for row in product] for j in range(size)]
        for _ in range(12):
            for i in range(size):
                for j in range(i + 1, size):
                    _rotate(columns, i, j)
        lengths = [sum(x * x for x in column).sqrt() for column in columns]
        return sorted((float(length.ln()) if length else -math.inf for length in lengths), reverse=True)


def _rotate(columns: list[list[Decimal]], i: int, j: int) -> None:
    """Make two columns orthogonal by a rotation."""
    a, b = columns[i], columns[j]
    aa, bb, ab = (sum(x * y for x, y in zip(p, q, strict=True)) for p, q in ((a, a), (b, b), (a, b)))
    if ab == 0:
        return
    zeta = (bb - aa) / (2 * ab)
    t = (1 if zeta >= 0 else -1) / (abs(zeta) + (1 + zeta * zeta).sqrt())
    c = 1 / (1 + t * t).sqrt()
    columns[i] = [c * (x - t * y) for x, y in zip(a, b, strict=True)]
    columns[j] = [c * (t * x + y) for x, y in zip(a, b, strict=True)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 40), st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 3.0]))
def test_every_singular_value_is_that_of_the_exact_product(size, length, seed, decades):
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-decades, 0.0, (length, size))
    matrices = rng.standard_normal((length, size, size)) * (scales[:, :, None] if seed % 2 else scales[:, None, :])
    found = logs_of(matrices[:, None])[0]
    condition = np.linalg.cond(matrices).max()
    np.testing.assert_allclose(found, exact_logs(matrices), atol=1e-14 * condition * length + 1e-12)


@pytest.mark.parametrize(
    ("size", "length", "slope", "spread"),
    [
        (6, 200, 3.0, 0.9),
        (6, 200, 0.0, 0.01),
        (30, 300, 1.0, 0.3),
        (30, 50, 5.0, 1.0),
        (40, 2000, 0.5, 0.1),
        (12, 900, 4.0, 0.0),
    ],
)
def test_known_singular_values_are_found(size, length, slope, spread):
    """Each factor turns onto the axes of the next: the singular values multiply. The widest spans 4,000 decades."""
    rng = np.random.default_rng(0)
    turns = np.linalg.qr(rng.standard_normal((length + 1, 2, size, size)))[0]
    logs = np.linspace(0.0, -slope, size) + spread * rng.standard_normal((length, size))
    matrices = turns[1:] @ (np.exp(logs)[:, None, :, None] * np.swapaxes(turns[:-1], -1, -2))
    wanted = np.sort(logs.sum(axis=0))[::-1]
    np.testing.assert_allclose(logs_of(matrices), np.tile(wanted, (2, 1)), atol=1e-10 + 1e-13 * np.ptp(wanted))


def test_the_sum_is_the_log_determinant_of_a_long_product():
    """Two thousand Gaussian matrices: 5,000 e-folds between first and last."""
    matrices = np.random.default_rng(0).standard_normal((2000, 2, 24, 24)) / np.sqrt(24)
    found = logs_of(matrices)
    wanted = np.linalg.slogdet(matrices)[1].sum(axis=0)
    np.testing.assert_allclose(found.sum(axis=1), wanted, rtol=1e-12)
    assert (np.diff(found, axis=1) < 0).all()
    top = np.eye(24)
    total = 0.0
    for matrix in matrices[:, 0]:  # the first by a plain product, scaled
        top = matrix @ top
        size = np.linalg.norm(top)
        top, total = top / size, total + np.log(size)
    assert found[0, 0] == pytest.approx(total + np.log(np.linalg.norm(top, 2)), rel=1e-12)


def test_a_defective_matrix_spreads_by_powers_and_not_exponentially():
    """A Jordan block: no QR of one factor alone sees its spread."""
    size, length = 4, 60
    jordan = np.eye(size) + np.diag(np.ones(size - 1), 1)
    matrices = np.tile(jordan, (length, 1, 1, 1))
    np.testing.assert_allclose(logs_of(matrices)[0], exact_logs(matrices[:, 0]), atol=1e-11)


def test_directions_that_part_slowly_are_kept_apart():
    """A large Jordan block over 3,000 steps: unless R is renewed, the digits of the smallest values are lost."""
    jordan = np.eye(16) + np.diag(np.ones(15), 1)
    found = logs_of(np.tile(jordan, (3000, 1, 1, 1)))[0]
    assert found.sum() == pytest.approx(0.0, abs=1e-8)  # of determinant 1
    np.testing.assert_allclose(found[[0, 1, 7]], [92.16121084, 78.87059445, 5.94794307], atol=1e-7)  # 400 digits


def test_pieces_have_the_values_of_the_whole(monkeypatch):
    """30 decades in one call of the Jacobi method, and the same in pieces of 10."""
    R = np.eye(100) + 0.05 * np.random.default_rng(0).standard_normal((100, 100))
    log = np.linspace(0.0, -30.0 * np.log(10.0), 100)
    with np.errstate(all="ignore"):
        whole = graded._singular_logs(log, R)
        monkeypatch.setattr(graded, "DECADES", 10.0)
        np.testing.assert_allclose(graded._singular_logs(log, R), whole, atol=1e-12)


def test_a_lower_rank_is_told_from_a_small_value():
    diagonal = np.tile(np.diag([1.0, 0.5, 1e-12, 0.0]), (50, 1, 1, 1))
    wanted = [0.0, 50 * np.log(0.5), 50 * np.log(1e-12), -np.inf]
    np.testing.assert_allclose(logs_of(diagonal)[0], wanted, rtol=1e-12)
    rng = np.random.default_rng(0)
    matrices = rng.standard_normal((30, 1, 6, 3)) @ rng.standard_normal((30, 1, 3, 6))
    found = logs_of(matrices)[0]
    assert np.isfinite(found[:3]).all()
    assert np.isneginf(found[3:]).all()
    assert np.isneginf(logs_of(np.zeros((3, 1, 2, 2)))).all()


def test_rows_of_a_saturated_network_keep_their_digits():
    """phi' of 10^-20 in some units: what they let through is small, and not rounding."""
    rng = np.random.default_rng(1)
    matrices = 10.0 ** np.array([0.0, -5.0, -10.0, -20.0])[:, None] * rng.standard_normal((1, 4, 4))
    np.testing.assert_allclose(logs_of(matrices[:, None])[0], exact_logs(matrices), atol=1e-10)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_numbers_spoil_their_own_sequence(bad):
    matrices = np.random.default_rng(0).standard_normal((40, 2, 3, 3))
    clean = logs_of(matrices)
    matrices[17, 0, 1, 2] = bad
    product = multiplied(matrices)
    with np.errstate(all="ignore"):
        found = product.logs(np.ones(2, bool))
    assert product.bad.tolist() == [True, False]
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], clean[1], rtol=1e-12)
    with np.errstate(all="ignore"):
        assert product.logs(np.array([False, True])).shape == (1, 3)


@pytest.mark.parametrize("factor", [1e-150, 1e150])
def test_one_factor_may_be_near_the_end_of_the_floats(factor):
    matrices = np.tile(factor * np.diag([1.0, 0.1]), (40, 1, 1, 1))
    wanted = 40 * (np.log(factor) + np.array([0.0, np.log(0.1)]))
    np.testing.assert_allclose(logs_of(matrices)[0], wanted, rtol=1e-13)


def test_a_hard_factor_among_easy_ones_is_taken_alone():
    """Runs of factors have grown long when one of condition 10^9 comes."""
    rng = np.random.default_rng(0)
    turns = np.linalg.qr(rng.standard_normal((81, 1, 5, 5)))[0]
    logs = np.zeros((80, 5))
    logs[40] = np.log([1.0, 1e-2, 1e-4, 1e-7, 1e-9])
    logs[60:] = 0.1 * rng.standard_normal((20, 5))
    matrices = turns[1:] @ (np.exp(logs)[:, None, :, None] * np.swapaxes(turns[:-1], -1, -2))
    np.testing.assert_allclose(logs_of(matrices)[0], np.sort(logs.sum(axis=0))[::-1], atol=1e-6)


def test_a_spread_wider_than_the_floats_is_taken_in_pieces(monkeypatch):
    calls = []
    plain = graded._piece_logs
    monkeypatch.setattr(graded, "_piece_logs", lambda log, R: calls.append(len(log)) or plain(log, R))
    slopes = np.linspace(0.0, -3.0, 10)
    logs_of(np.exp(slopes)[None, None, :, None] * np.random.default_rng(0).standard_normal((600, 1, 10, 10)))
    assert len(calls) > 1
    assert sum(calls) == 10


def test_rows_of_any_size_have_their_own_rounding():
    columns = np.random.default_rng(0).standard_normal((1, 5, 3)) * 10.0 ** np.array([-30, 0, -10, -60, -2])[:, None]
    Q, R, rounding = graded_qr(columns)
    np.testing.assert_allclose(np.swapaxes(Q, 1, 2) @ Q, np.eye(3)[None], atol=1e-14)
    rows = np.abs(columns).max(axis=2)[0]
    np.testing.assert_allclose((Q @ R)[0], columns[0], atol=1e-13 * rows.max())
    assert (np.abs((Q @ R)[0] - columns[0]) < 1e-13 * np.maximum(rows, 1e-14)[:, None]).all()
    assert rounding[0, 0] > rounding[0, 1] > rounding[0, 2]
