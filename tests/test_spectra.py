"""Spectra: exponents against eigenvalues, determinants and closed forms; the order of multiplication."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_routes import cases, chunks_of, make_case

import gradscope as gs
from gradscope.errors import ArgumentError
from gradscope.spectra import (
    BURN_IN,
    TANGENT_BURN_IN,
    eigenvalues,
    jacobian_blocks,
    lyapunov_spectrum,
    transport_spectrum,
)


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
    ({}, r"`maps` must be longer than both burn-ins, 200 \+ 100 steps, got 300\. Use a longer sequence, or lower"),
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


def test_a_rank_below_the_size_is_no_exponent_of_rounding():
    """Full matrices of rank 2: QR leaves 1e-17 where 0 is true, whose logarithm is about -39."""
    rng = np.random.default_rng(0)
    matrices = rng.standard_normal((40, 2, 5, 2)) @ rng.standard_normal((40, 2, 2, 5))
    found = no_burn_in(matrices)
    assert np.isfinite(found.exponents[:2]).all()
    assert np.isneginf(found.exponents[2:]).all()
    assert np.isnan(found.error[2:]).all()
    dead = gs.RNN(1, 6, "relu")
    params = dead.init(np.random.default_rng(0))
    params["b"][:3] = -100.0  # three units that never fire
    found = no_burn_in(gs.linearize(gs.unroll(dead, params, np.ones((30, 2, 1)))))
    assert np.isneginf(found.exponents[-3:]).all()
    assert np.isfinite(no_burn_in(repeated(np.diag([1.0, 1e-13, 1e-14]), 20)).exponents).all()


def test_the_standard_error_is_that_of_equal_blocks():
    """809 steps: eight blocks of 100, and nine steps that are in the mean only."""
    logs = np.random.default_rng(0).normal(0.0, 1.0, (809, 1))
    found = no_burn_in(gs.Jacobians(np.exp(logs)[..., None, None]))
    assert found.exponents[0] == pytest.approx(logs.mean(), rel=1e-10)
    assert found.error[0] == pytest.approx(0.0354, rel=0.5)
    few = np.random.default_rng(0).normal(0.0, 1.0, (19, 1))
    blocks = few[:16].reshape(8, 2).mean(axis=1)
    found = no_burn_in(gs.Jacobians(np.exp(few)[..., None, None]))
    assert found.error[0] == pytest.approx(blocks.std(ddof=1) / np.sqrt(8), rel=1e-10)


def test_a_map_that_is_followed_step_by_step():
    """The logistic map at r = 4: ln 2; Henon's map: the sum is ln 0.3 at any length."""

    def logistic():
        x = 0.3
        for _ in range(20000):
            yield np.array([[[4.0 - 8.0 * x]]])
            x = 4.0 * x * (1.0 - x)

    found = lyapunov_spectrum(logistic)
    assert found.exponents[0] == pytest.approx(np.log(2.0), abs=5e-3)
    assert found.error[0] < 5e-3

    def henon():
        x, y = 0.1, 0.1
        for _ in range(5000):
            yield np.array([[[-2.8 * x, 1.0], [0.3, 0.0]]])
            x, y = 1.0 - 1.4 * x * x + y, 0.3 * x

    found = lyapunov_spectrum(henon())
    assert found.exponents.sum() == pytest.approx(np.log(0.3), rel=1e-12)
    assert found.exponents[0] == pytest.approx(0.419, abs=0.03)
    with pytest.raises(ArgumentError, match=r"200 \+ 100 steps, got 7\. Use a longer sequence"):
        lyapunov_spectrum(lambda: iter(np.ones((7, 1, 2, 2))))


def masked_case(name="LSTM", length=40, batch=3):
    """Return a linearization with padding before, in the middle and after, and the ones of its sequences alone."""
    case = make_case(name, length=length, batch=batch, hidden_size=3)
    valid = np.ones((length, batch), bool)
    valid[25:, 0], valid[:9, 1], valid[10:14, 2] = False, False, False
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, valid=valid))
    alone = [
        gs.linearize(gs.unroll(case.cell, case.params, case.inputs[valid[:, b], b][:, None])) for b in range(batch)
    ]
    return lin, alone


def test_padding_does_not_count_in_lyapunov_exponents():
    lin, alone = masked_case()
    found = lyapunov_spectrum(lin, burn_in=0, tangent_burn_in=15)
    each = [lyapunov_spectrum(one, burn_in=0, tangent_burn_in=15) for one in alone]
    steps = np.array([one.length - 15 for one in alone])
    pooled = np.einsum("b,br->r", steps, [one.exponents for one in each]) / steps.sum()
    assert found.exponents.sum() == pytest.approx(pooled.sum(), rel=0.2)
    np.testing.assert_allclose(found.exponents[0], pooled[0], atol=0.05)


def test_after_a_reset_both_burn_ins_begin_anew():
    matrices = np.tile(np.diag([2.0, 0.5]), (60, 2, 1, 1))
    matrices[20:29] = np.diag([100.0, 70.0])  # right after the reset

    class Reset(gs.Jacobians):
        valid = None
        reset = np.zeros((60, 2), bool)

    Reset.reset[20] = True
    matrices[20] = 0.0
    found = lyapunov_spectrum(Reset(matrices), burn_in=4, tangent_burn_in=10)
    np.testing.assert_allclose(found.exponents, np.log([2.0, 0.5]), atol=1e-3)


# ---- singular values of long products -------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(cases(activations=("tanh", "softsign", "identity")), st.integers(2, 6))
def test_the_transport_spectrum_is_that_of_the_plain_product(case, points):
    with chunks_of(case.chunk):
        found = transport_spectrum(gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state)), points)
    matrices = case.plain_jacobians()
    length = len(matrices)
    assert found.lags[0] == 0
    assert found.lags[-1] == length
    product = np.broadcast_to(np.eye(matrices.shape[2]), matrices.shape[1:])
    for lag in range(length + 1):
        if lag:
            product = product @ matrices[length - lag]
        values = np.linalg.svd(product, compute_uv=False)
        for place in np.nonzero(found.lags == lag)[0]:
            np.testing.assert_allclose(10 ** found.values[place].T, values, rtol=1e-7, atol=1e-9 * values.max())
    assert not found.missing.any()
    with np.errstate(divide="ignore"):
        finite = np.log(values) / length
    sure = values > 1e-8 * values.max()
    np.testing.assert_allclose(found.exponents.T[sure], finite[sure], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_singular_values_sum_to_the_log_determinant_past_the_float_range(dtype):
    cell = gs.LSTM(1, 5, forget_bias=-2.0)
    params = cell.init(np.random.default_rng(0), dtype=dtype)
    inputs = np.random.default_rng(1).standard_normal((700, 2, 1))
    lin = gs.linearize(gs.unroll(cell, params, inputs))
    found = transport_spectrum(lin)
    dets = np.concatenate(
        [np.zeros((1, 2)), np.cumsum(np.linalg.slogdet(lin.jacobians().astype(float))[1][::-1], axis=0)]
    )
    np.testing.assert_allclose(found.values.sum(axis=1) * np.log(10), dets[found.lags], rtol=1e-6)
    np.testing.assert_allclose(found.exponents.sum(axis=0) * 700, dets[-1], rtol=1e-6)
    assert found.values[-1, -1].max() < -600
    assert (np.diff(found.values, axis=1) <= 0).all()


def test_a_sequence_that_ends_early_has_the_spectrum_of_itself_alone():
    lin, alone = masked_case()
    found = transport_spectrum(lin)
    assert found.lags[-1] == 36
    for b, one in enumerate(alone):
        whole = transport_spectrum(one, points=200)
        there = found.lags <= one.length
        np.testing.assert_array_equal(found.missing[:, b], ~there)
        assert np.isnan(found.values[~there, :, b]).all()
        np.testing.assert_allclose(found.values[there, :, b], whole.values[found.lags[there], :, 0], atol=1e-8)
        np.testing.assert_allclose(found.exponents[:, b], whole.exponents[:, 0], atol=1e-9)


def test_nothing_goes_through_a_reset():
    case = make_case("RNN", length=10, batch=2)
    reset = np.zeros((10, 2), bool)
    reset[5, 0] = True
    found = transport_spectrum(gs.linearize(gs.unroll(case.cell, case.params, case.inputs, reset=reset)))
    assert np.isneginf(found.values[found.lags >= 5, :, 0]).all()
    assert np.isfinite(found.values[found.lags < 5, :, 0]).all()
    after = gs.linearize(gs.unroll(case.cell, case.params, case.inputs[5:, :1]))
    last = transport_spectrum(gs.Jacobians(after.jacobians()[1:]))
    np.testing.assert_allclose(found.exponents[:, 0], last.exponents[:, 0], atol=1e-9)


def test_a_grid_of_lags_needs_both_its_ends():
    with pytest.raises(ArgumentError, match="17 is the default"):
        transport_spectrum(np.ones((3, 1, 1, 1)), points=1)
    with pytest.raises(ArgumentError, match="16 is the default"):
        eigenvalues(np.ones((3, 1, 1, 1)), points=0)
    for grid, default in ((transport_spectrum, 17), (eigenvalues, 16), (gs.transport_map, 25)):
        with pytest.raises(ArgumentError, match=rf"`points` must be a whole number .*, got 2\.5\. {default} is"):
            grid(np.ones((3, 1, 1, 1)), points=2.5)


# ---- one step -------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(cases(activations=("tanh", "softsign", "relu")))
def test_eigenvalues_and_blocks_are_those_of_the_plain_jacobians(case):
    matrices = case.plain_jacobians()
    length, batch, *_ = matrices.shape
    with chunks_of(case.chunk):
        lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
        blocks, found = jacobian_blocks(lin), eigenvalues(lin, 3)
    width, count = case.cell.hidden_size, len(case.cell.blocks)
    plain = matrices.reshape(length, batch, count, width, count, width)
    wanted = np.linalg.norm(plain, axis=(3, 5)).transpose(2, 3, 0, 1) / np.sqrt(width)
    np.testing.assert_allclose(blocks, wanted, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(jacobian_blocks(gs.Jacobians(matrices, count)), wanted, rtol=1e-10, atol=1e-300)
    assert found.steps[-1] == length - 1 or len(found.steps) == 1
    for n, t in enumerate(found.steps):
        for b in range(batch):
            moduli = np.abs(found.values[n, :, b])
            assert (np.diff(moduli) <= 0).all()
            np.testing.assert_allclose(np.poly(found.values[n, :, b]), np.poly(matrices[t, b]), atol=1e-8)
            if moduli[0] > 1e-6:
                ratio = np.linalg.norm(matrices[t, b], 2) / np.abs(np.linalg.eigvals(matrices[t, b])).max()
                assert found.nonnormality[n, b] == pytest.approx(ratio, rel=1e-6)
                assert found.nonnormality[n, b] > 1 - 1e-9


def test_blocks_keep_their_digits_at_any_size():
    matrices = np.ones((2, 1, 4, 4))
    matrices[:, :, 2:, :2] = 1e-200
    matrices[1, 0, 0, 3] = np.nan
    found = jacobian_blocks(gs.Jacobians(matrices, 2))[:, :, :, 0]
    assert found[1, 0] == pytest.approx(1e-200 * np.sqrt(2))
    assert np.isnan(found[0, 1, 1])
    assert found[0, 1, 0] == pytest.approx(np.sqrt(2))


def test_normal_nilpotent_and_bad_matrices():
    matrices = np.stack([np.eye(2), [[0.0, 1.0], [0.0, 0.0]], np.zeros((2, 2)), [[np.nan, 0.0], [0.0, 1.0]]])[:, None]
    found = eigenvalues(matrices)
    assert found.nonnormality[0, 0] == pytest.approx(1.0)
    assert found.nonnormality[1, 0] == np.inf
    assert np.isnan(found.nonnormality[2:, 0]).all()
    assert np.isnan(found.values[3]).all()
    rotation = eigenvalues(np.array([[[[0.0, -1.0], [1.0, 0.0]]]]))
    np.testing.assert_allclose(np.sort_complex(rotation.values[0, :, 0]), [-1j, 1j], atol=1e-15)
