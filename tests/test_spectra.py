"""Spectra: exponents against eigenvalues, determinants and closed forms; the order of multiplication."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_routes import make_case

import gradscope as gs
from gradscope.errors import ArgumentError
from gradscope.spectra import BURN_IN, TANGENT_BURN_IN, lyapunov_spectrum


def repeated(matrix, steps, batch=1):
    return gs.Jacobians(np.tile(np.asarray(matrix, float), (steps, batch, 1, 1)))


def no_burn_in(maps, **options):
    return lyapunov_spectrum(maps, burn_in=0, tangent_burn_in=0, **options)


def test_a_symmetric_matrix_gives_the_logarithms_of_its_eigenvalues():
    A = np.random.default_rng(1).standard_normal((8, 8))
    A = (A + A.T) / 2
    found = lyapunov_spectrum(repeated(A, 1200), burn_in=500, tangent_burn_in=500)
    values = np.abs(np.linalg.eigvalsh(A))
    np.testing.assert_allclose(found.exponents, np.sort(np.log(values))[::-1], atol=1e-9)
    assert found.error.max() < 1e-9


@settings(max_examples=25)
@given(st.sampled_from(["RNN", "LSTM", "GRU"]), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_the_sum_is_the_mean_log_determinant_on_any_trajectory(name, size, batch, seed):
    case = make_case(name, hidden_size=size, batch=batch, length=12, seed=seed, gain=2.0)
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
    found = no_burn_in(lin)
    wanted = np.linalg.slogdet(case.plain_jacobians())[1].mean()
    assert found.exponents.sum() == pytest.approx(wanted, rel=1e-8, abs=1e-8)
    assert (np.diff(found.exponents) <= 0).all()


def test_tangents_are_carried_forward():
    """Matrices of rank one, u v': forward in time each v meets the u before it, whatever the start."""
    u, v = np.random.default_rng(0).standard_normal((2, 7, 5))
    found = lyapunov_spectrum(gs.Jacobians(np.einsum("ti,tj->tij", u, v)[:, None]), 1, burn_in=0, tangent_burn_in=1)
    met = np.einsum("ti,ti->t", v[1:], u[:-1]) * np.linalg.norm(u[1:], axis=1) / np.linalg.norm(u[:-1], axis=1)
    assert found.exponents[0] == pytest.approx(np.log(np.abs(met)).mean(), rel=1e-10)


def test_factored_and_plain_matrices_agree():
    case = make_case("LSTM", hidden_size=4, length=80, batch=2)
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
    found = lyapunov_spectrum(lin, burn_in=10, tangent_burn_in=20)
    plain = lyapunov_spectrum(gs.Jacobians(lin.jacobians()), burn_in=10, tangent_burn_in=20)
    np.testing.assert_allclose(found.exponents, plain.exponents, atol=1e-9)
    np.testing.assert_allclose(found.error, plain.error, atol=1e-9)
    assert found.kaplan_yorke_dimension == pytest.approx(plain.kaplan_yorke_dimension)


def test_the_first_exponents_alone_are_those_of_the_whole_spectrum():
    case = make_case("GRU", hidden_size=6, length=400)
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
    whole, first = (lyapunov_spectrum(lin, count, 50, 150) for count in (None, 2))
    assert first.exponents.shape == first.error.shape == (2,)
    np.testing.assert_allclose(first.exponents, whole.exponents[:2], atol=0.02)


def test_both_burn_ins_are_left_out():
    """The first steps are those of another matrix: after both burn-ins nothing is left of them."""
    late = np.diag([2.0, 0.25])
    matrices = np.concatenate([np.tile(np.diag([100.0, 50.0]), (30, 1, 1, 1)), np.tile(late, (400, 1, 1, 1))])
    found = lyapunov_spectrum(gs.Jacobians(matrices), burn_in=30, tangent_burn_in=100)
    np.testing.assert_allclose(found.exponents, np.log([2.0, 0.25]), atol=1e-12)
    tangent = lyapunov_spectrum(gs.Jacobians(matrices), burn_in=0, tangent_burn_in=130)
    np.testing.assert_allclose(tangent.exponents, np.log([2.0, 0.25]), atol=1e-12)
    assert no_burn_in(gs.Jacobians(matrices)).exponents[0] > np.log(2.0) + 0.1


def test_sequences_and_steps_are_averaged_and_their_spread_is_the_error():
    """iid growth: the mean over T*B numbers, and a standard error that shrinks with their number."""
    rng = np.random.default_rng(0)
    logs = rng.normal(0.3, 0.5, (800, 4))
    found = no_burn_in(gs.Jacobians(np.exp(logs)[..., None, None]))
    assert found.exponents[0] == pytest.approx(logs.mean(), rel=1e-12)
    assert found.error[0] == pytest.approx(0.5 / np.sqrt(3200), rel=0.4)
    blocks = logs.reshape(8, 100, 4).mean(axis=1).ravel()
    assert found.error[0] == pytest.approx(blocks.std(ddof=1) / np.sqrt(32), rel=1e-12)


def test_one_step_of_one_sequence_has_no_error():
    found = no_burn_in(repeated(np.diag([2.0, 3.0]), 1))
    assert found.exponents.sum() == pytest.approx(np.log(6))
    assert np.isnan(found.error).all()


@pytest.mark.parametrize(
    ("exponents", "dimension", "entropy"),
    [
        ([-0.1, -0.2, -0.3], 0.0, 0.0),
        ([0.5, -0.2, -0.8], 2 + 0.3 / 0.8, 0.5),
        ([0.5, 0.25, -1.5], 2 + 0.75 / 1.5, 0.75),
        ([0.5, -0.5, -1.0], 2.0, 0.5),
        ([0.4, 0.2, 0.1], 3.0, 0.7),
        ([0.0, -1.0, -2.0], 1.0, 0.0),
    ],
)
def test_dimension_and_entropy_follow_from_the_exponents(exponents, dimension, entropy):
    start = lyapunov_spectrum(repeated(np.diag(np.exp(exponents)), 500), burn_in=0, tangent_burn_in=400)
    np.testing.assert_allclose(start.exponents, exponents, atol=1e-9)
    if exponents[0] != 0.0 and not np.isclose(np.cumsum(exponents), 0.0).any():  # rounding decides there
        assert start.kaplan_yorke_dimension == pytest.approx(dimension, abs=1e-6)
    assert start.entropy == pytest.approx(entropy, abs=1e-9)


def test_a_part_of_the_spectrum_may_not_tell_the_dimension():
    maps = repeated(np.diag(np.exp([0.5, 0.3, -2.0])), 50)
    assert np.isnan(no_burn_in(maps, count=2).kaplan_yorke_dimension)
    assert no_burn_in(maps).kaplan_yorke_dimension == pytest.approx(2.4, abs=0.05)


def test_a_direction_that_is_annihilated_has_minus_infinity():
    found = no_burn_in(repeated(np.diag([2.0, 0.0]), 20))
    assert found.exponents[0] == pytest.approx(np.log(2.0), abs=0.1)
    assert found.exponents[1] == -np.inf
    assert found.kaplan_yorke_dimension == 1.0
    assert found.entropy == found.exponents[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_jacobian_gives_nan_and_no_error(bad):
    matrices = np.tile(np.eye(3), (20, 2, 1, 1))
    matrices[7, 1, 0, 2] = bad
    found = no_burn_in(gs.Jacobians(matrices))
    assert np.isnan(found.exponents).all()
    assert np.isnan(found.kaplan_yorke_dimension)


def test_growth_past_the_float_range_is_no_trouble():
    found = no_burn_in(repeated(np.diag([1e200, 1e-200]), 300))
    np.testing.assert_allclose(found.exponents, np.log(10) * np.array([200, -200]), rtol=1e-2)


def test_float32_agrees_with_float64():
    case = make_case("RNN", hidden_size=5, length=600, gain=2.0, dtype="float64")
    found = []
    for dtype in (np.float64, np.float32):
        params = {key: array.astype(dtype) for key, array in case.params.items()}
        lin = gs.linearize(gs.unroll(case.cell, params, case.inputs))
        found.append(lyapunov_spectrum(lin).exponents)
    np.testing.assert_allclose(found[1], found[0], atol=2e-3)


WRONG = [
    ({}, r"`inputs` must be longer than both burn-ins, 200 \+ 100 steps, got 300\. Use a longer sequence, or lower"),
    ({"count": 0, "burn_in": 0}, r"`count` must be between 1 and S=2, got 0\. Leave it out for all"),
    ({"count": 3, "burn_in": 0}, r"`count` must be between 1 and S=2, got 3\. Leave it out for all"),
    ({"count": 1.5, "burn_in": 0}, r"`count` must be .* got 1\.5\. Leave it out for all"),
    ({"burn_in": -1}, r"`burn_in` must be a whole number of at least 0, got -1\. "),
    ({"burn_in": 0, "tangent_burn_in": 2.5}, r"`tangent_burn_in` must be a whole number of at least 0, got 2\.5\. "),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_arguments_are_told_what_to_do(options, message):
    assert (BURN_IN, TANGENT_BURN_IN) == (200, 100)
    with pytest.raises(ArgumentError, match=message):
        lyapunov_spectrum(repeated(np.eye(2), 300), **options)
