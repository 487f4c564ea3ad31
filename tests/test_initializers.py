"""Initializers: the distributions that their docstrings promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gradscope.errors import ArgumentError
from gradscope.initializers import (
    INITIALIZERS,
    chrono,
    chrono_range,
    gaussian,
    glorot,
    identity,
    initializer,
    orthogonal,
    uniform,
)


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 1), (1, 4)])
def test_orthogonal_has_only_singular_values_of_1(shape):
    matrix = orthogonal(generator(), shape)
    assert matrix.shape == shape
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1.0, rtol=1e-12)


def test_orthogonal_is_uniform_over_all_of_them():
    """Without the sign of R the first column would lean to one side (Mezzadri 2007)."""
    rng = generator()
    matrices = np.array([orthogonal(rng, (2, 2)) for _ in range(600)])
    angles = np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0])
    assert stats.kstest(angles, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    assert 250 < (np.linalg.det(matrices) > 0).sum() < 350


def test_gaussian_has_variance_1_over_columns_and_fills_the_unit_disc():
    matrix = gaussian(generator(), (300, 300))
    assert matrix.var() * 300 == pytest.approx(1.0, rel=0.02)
    assert stats.kstest(matrix.ravel() * np.sqrt(300), "norm").pvalue > 1e-3
    radii = np.abs(np.linalg.eigvals(matrix))
    assert radii.max() == pytest.approx(1.0, abs=0.1)
    assert (radii < 0.5).mean() == pytest.approx(0.25, abs=0.03)  # uniform on the disc: the area
    assert gaussian(generator(), (50, 4000)).var() * 4000 == pytest.approx(1.0, rel=0.02)


def test_glorot_keeps_its_limit_and_fills_it():
    matrix, limit = glorot(generator(), (40, 200)), np.sqrt(6 / 240)
    assert stats.kstest(matrix.ravel(), stats.uniform(-limit, 2 * limit).cdf).pvalue > 1e-3
    assert np.abs(matrix).max() <= limit


def test_uniform_is_torchs_default_with_radius_1_over_root_3():
    matrix = uniform(generator(), (300, 300))
    assert stats.kstest(matrix.ravel() * np.sqrt(300), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert np.abs(np.linalg.eigvals(matrix)).max() == pytest.approx(1 / np.sqrt(3), abs=0.05)


def test_identity_keeps_every_unit():
    np.testing.assert_array_equal(identity(generator(), (3, 3)), np.eye(3))
    np.testing.assert_array_equal(identity(generator(), (3, 2)), np.eye(3, 2))


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
@pytest.mark.parametrize("shape", [(4, 4), (1, 1), (4, 2), (2, 4)])
def test_every_initializer_has_the_shape_and_follows_its_seed(name, shape):
    draw = initializer("recurrent", name)
    first, again = draw(generator(3), shape), draw(generator(3), shape)
    assert first.shape == shape
    assert first.dtype == np.float64
    np.testing.assert_array_equal(first, again)
    assert name == "identity" or not np.array_equal(first, draw(generator(4), shape))


def test_a_misspelt_name_is_refused_with_the_nearest_one():
    with pytest.raises(ArgumentError, match=r"`recurrent` must be one of .* Did you mean 'orthogonal'\?"):
        initializer("recurrent", "ortogonal")


def test_chrono_spreads_the_timescales_evenly():
    bias = chrono(generator(), 784.0, 20000)
    assert stats.kstest(np.exp(bias), stats.uniform(1.0, 782.0).cdf).pvalue > 1e-3
    assert bias.shape == (20000,)
    np.testing.assert_array_equal(chrono(generator(3), 50.0, 5), chrono(generator(3), 50.0, 5))
    np.testing.assert_array_equal(chrono(generator(), 2.0, 3), 0.0)  # a range of one step


def test_a_forget_bias_is_a_number_or_chrono():
    assert [chrono_range(value) for value in (1.0, -3, np.float32(2.0), np.int64(1))] == [None] * 4
    assert [chrono_range(value) for value in ("chrono:784", "chrono:2", "chrono:1e3")] == [784.0, 2.0, 1000.0]


@pytest.mark.parametrize(
    "value", ["chrono", "chrono:", "chrono:1.5", "chrono:-3", "chrono:inf", "chrono:nan", "chrno:5", "5", None, True]
)
def test_what_is_neither_is_refused(value):
    with pytest.raises(ArgumentError, match=r"`forget_bias` must be a finite number or 'chrono:T'.*'chrono:784' spre"):
        chrono_range(value)
