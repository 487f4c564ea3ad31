"""Mean-field theory against published and independently computed numbers, and against real networks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from gradscope import meanfield
from gradscope.activations import activation
from gradscope.errors import ArgumentError
from gradscope.linearization import Jacobians
from gradscope.spectra import lyapunov_spectrum

DRIVEN = {  # white input of variance 1: gain -> q tanh, chi tanh, exponent tanh, chi softsign, exponent softsign
    0.5: (1.10304, 0.111766, -1.095676, 0.055879, -1.442282),
    1.0: (1.46385, 0.398879, -0.459549, 0.211469, -0.776839),
    1.5: (2.20930, 0.753030, -0.141825, 0.434173, -0.417156),
    2.0: (3.44807, 1.096310, 0.045975, 0.682641, -0.190893),
    3.0: (7.50877, 1.710920, 0.268516, 1.143231, 0.066929),
}
ALONE = {  # no input: gain -> q, chi, exponent, mean exponent of tanh, then of softsign
    0.9: (0, 0.81, -0.105361, -0.60536, 0, 0.81, -0.105361, -0.60536),
    1.2: (0.24951, 1.03350, 0.016476, -0.54310, 0.01721, 1.01219, 0.006060, -0.51186),
    1.5: (0.79335, 1.13932, 0.065217, -0.71435, 0.11871, 1.05737, 0.027892, -0.55556),
    2.0: (2.12147, 1.36267, 0.154724, -1.14902, 0.53010, 1.16300, 0.075503, -0.65206),
    3.0: (6.30539, 1.85986, 0.310249, -2.27281, 2.41380, 1.41310, 0.172894, -0.85022),
    5.0: (20.6994, 2.90042, 0.532428, -4.90677, 10.9914, 1.95113, 0.334205, -1.17803),
    10.0: (91.7051, 5.54485, 0.856435, -12.1610, 63.3242, 3.32167, 0.600234, -1.71760),
}
SPECTRA = {  # activation, gain -> share positive, entropy, dimension
    ("tanh", 1.5): (0.0845, 0.00280, 0.1658),
    ("tanh", 2.0): (0.1335, 0.01068, 0.2576),
    ("tanh", 3.0): (0.1530, 0.02520, 0.2877),
    ("tanh", 5.0): (0.1340, 0.03908, 0.2465),
    ("tanh", 10.0): (0.0910, 0.04417, 0.1653),
    ("softsign", 1.5): (0.0430, 0.00060, 0.0852),
    ("softsign", 2.0): (0.0830, 0.00317, 0.1641),
    ("softsign", 3.0): (0.1135, 0.00994, 0.2251),
    ("softsign", 5.0): (0.1170, 0.01961, 0.2350),
    ("softsign", 10.0): (0.0960, 0.02823, 0.1989),
}
CRITICAL = {
    "tanh": {0.01: 1.1934, 0.05: 1.3270, 0.1: 1.4093, 0.25: 1.5497, 1.0: 1.8556},
    "softsign": {0.01: 1.5129, 0.05: 1.7724, 0.1: 1.9220, 0.25: 2.1662, 1.0: 2.6674},
}


@pytest.mark.parametrize("gain", DRIVEN)
def test_driven_networks(gain):
    q, chi, exponent, chi_softsign, exponent_softsign = DRIVEN[gain]
    assert meanfield.variance(gain, 1.0) == pytest.approx(q, rel=1e-5)
    assert meanfield.mean_square_slope(gain, 1.0) == pytest.approx(chi, rel=1e-5)
    assert meanfield.largest_exponent(gain, 1.0) == pytest.approx(exponent, abs=2e-6)
    assert meanfield.mean_square_slope(gain, 1.0, "softsign") == pytest.approx(chi_softsign, rel=2e-5)
    assert meanfield.largest_exponent(gain, 1.0, "softsign") == pytest.approx(exponent_softsign, abs=2e-6)


@pytest.mark.parametrize("gain", ALONE)
@pytest.mark.parametrize(("name", "place"), [("tanh", 0), ("softsign", 4)])
def test_networks_left_alone(gain, name, place):
    q, chi, exponent, mean = ALONE[gain][place : place + 4]
    assert meanfield.variance(gain, 0.0, name) == pytest.approx(q, rel=3e-4, abs=1e-9)
    assert meanfield.mean_square_slope(gain, 0.0, name) == pytest.approx(chi, rel=1e-5)
    assert meanfield.largest_exponent(gain, 0.0, name) == pytest.approx(exponent, abs=2e-6)
    assert meanfield._curve(gain, 0.0, name)[1].mean() == pytest.approx(mean, rel=2e-3)


@pytest.mark.parametrize(("name", "gain"), SPECTRA)
def test_the_whole_spectrum(name, gain):
    share, entropy, dimension = SPECTRA[name, gain]
    exponents = meanfield._curve(gain, 0.0, name)[1]
    assert (np.diff(exponents) < 0).all()
    assert np.mean(exponents > 0) == pytest.approx(share, abs=6e-4)
    assert meanfield.entropy(gain, 0.0, name) == pytest.approx(entropy, rel=6e-3, abs=6e-6)
    assert meanfield.kaplan_yorke_dimension(gain, 0.0, name) == pytest.approx(dimension, abs=2e-4)


def test_the_published_network_of_4096_units():
    exponents = meanfield._curve(3.0, 0.0, "tanh")[1]
    assert np.mean(exponents > 0) == pytest.approx(0.15259, abs=1e-3)
    assert meanfield.entropy(3.0) == pytest.approx(0.025106, rel=6e-3)
    assert meanfield.kaplan_yorke_dimension(3.0) == pytest.approx(0.28717, abs=1e-3)
    assert meanfield.largest_exponent(3.0) == pytest.approx(0.30958, abs=1e-3)


@pytest.mark.parametrize(("name", "variance"), [(name, s2) for name, row in CRITICAL.items() for s2 in row])
def test_input_raises_the_critical_gain(name, variance):
    found = meanfield.critical_gain(variance, name)
    assert found == pytest.approx(CRITICAL[name][variance], abs=1e-4)
    assert meanfield.mean_square_slope(found, variance, name) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", ["tanh", "softsign"])
def test_without_input_the_critical_gain_is_1(name):
    assert meanfield.critical_gain(0.0, name) == 1.0
    assert meanfield.largest_exponent(1.0, 0.0, name) == 0.0
    assert meanfield.variance(1.0, 0.0, name) == 0.0
    assert meanfield.kaplan_yorke_dimension(0.9, 0.0, name) == 0.0 == meanfield.entropy(0.9, 0.0, name)


@pytest.mark.parametrize(("name", "coefficient"), [("tanh", 2 / 3), ("softsign", np.pi / 16)])
def test_the_onset_of_chaos_is_quadratic(name, coefficient):
    for gain in (1.001, 1.003):
        found = meanfield.largest_exponent(gain, 0.0, name) / (gain - 1) ** 2
        assert found == pytest.approx(coefficient, rel=0.012)


@settings(max_examples=8, deadline=None)
@given(st.floats(0.3, 8.0), st.floats(1e-3, 4.0), st.sampled_from(["tanh", "softsign"]))
def test_adaptive_quadrature_agrees(gain, variance, name):
    rule = activation(name)
    q = meanfield.variance(gain, variance, name)

    def square(z):
        return 2 * rule.function(np.array([np.sqrt(q) * z]))[0] ** 2 * stats.norm.pdf(z)

    def slope(z):
        x = np.array([np.sqrt(q) * z])
        return 2 * rule.slope(x, rule.function(x))[0] ** 2 * stats.norm.pdf(z)

    options = {"limit": 200, "epsabs": 1e-12, "points": [1e-3, 1e-2, 0.1, 1.0, 3.0]}
    assert gain**2 * integrate.quad(square, 0, 12, **options)[0] + variance == pytest.approx(q, rel=1e-9)
    chi = gain**2 * integrate.quad(slope, 0, 12, **options)[0]
    assert meanfield.mean_square_slope(gain, variance, name) == pytest.approx(chi, rel=1e-9)


@settings(max_examples=8, deadline=None)
@given(st.floats(0.2, 10.0), st.floats(0.0, 2.0), st.sampled_from(["tanh", "softsign"]))
def test_the_spectrum_begins_at_the_largest_exponent_and_has_the_mean_of_log_determinants(gain, variance, name):
    top = meanfield.spectrum(np.array([1e-9]), gain, variance, name)[0]
    assert top == pytest.approx(meanfield.largest_exponent(gain, variance, name), abs=1e-6)
    rule, q = activation(name), meanfield.variance(gain, variance, name)
    z, weights = meanfield._nodes()
    x = np.sqrt(q) * z
    log_slope = np.log(np.maximum(rule.slope(x, rule.function(x)), 1e-300))
    assert meanfield._curve(gain, variance, name)[1].mean() == pytest.approx(
        np.log(gain) - 0.5 + weights @ log_slope, rel=4e-3, abs=2e-3
    )


def test_a_driven_network_of_200_units_meets_the_theory():
    rng, size, steps, gain = np.random.default_rng(0), 200, 150, 1.5
    W, h = rng.standard_normal((size, size)) * gain / np.sqrt(size), np.zeros(size)
    squares = []
    for t in range(steps):
        h = np.tanh(W @ h + rng.standard_normal(size))
        if t >= 50:
            squares.append(np.linalg.norm((1 - h**2)[:, None] * W) ** 2 / size)
    assert np.mean(squares) == pytest.approx(meanfield.mean_square_slope(gain, 1.0), rel=0.03)


@pytest.mark.parametrize("size", [5, 20])
def test_a_product_of_random_matrices_has_newmans_exponents(size):
    steps, rng = 4000, np.random.default_rng(1)
    maps = Jacobians(rng.standard_normal((steps, 1, size, size)) / np.sqrt(size))
    found = lyapunov_spectrum(maps, burn_in=0, tangent_burn_in=100).exponents
    exponents, variances = meanfield.product_exponents(size)
    assert np.abs((found - exponents) / np.sqrt(variances / (steps - 100))).max() < 4.5
    if size == 20:
        assert exponents[[0, -1]] == pytest.approx([-0.025416, -2.13305], abs=1e-5)


def test_the_mean_log_determinant_of_gaussian_matrices():
    for size, expected in ((50, -0.52093), (100, -0.51219), (200, -0.50696)):
        assert meanfield.product_exponents(size)[0].mean() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        (lambda: meanfield.variance(-1.0), "`gain` must be finite and at least 0, got -1.0. 1.0 is a common choice"),
        (lambda: meanfield.critical_gain("tanh"), "`input_variance` must be finite and at least 0, got 'tanh'. 1.0"),
        (lambda: meanfield.variance(1.0, np.nan), "`input_variance` must be finite"),
        (lambda: meanfield.variance(1.0, 1.0, "relu"), "Use 'tanh' or 'softsign'"),
        (lambda: meanfield.critical_gain(1.0, "sigmoid"), "Use 'tanh' or 'softsign'"),
        (lambda: meanfield.spectrum(np.array([0.0]), 1.0), r"Use \(rank \+ 0.5\) / N"),
        (lambda: meanfield.product_exponents(0), "Use e.g. 20 and 1.0"),
    ],
)
def test_errors_name_the_remedy(call, remedy):
    with pytest.raises(ArgumentError, match=remedy):
        call()


def test_no_gain_is_no_gradient():
    assert meanfield.largest_exponent(0.0, 1.0) == -np.inf
    assert meanfield.variance(0.0, 1.0) == 1.0
