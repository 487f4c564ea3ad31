"""Norms: against the singular values of the matrices written out, at every scale a float has."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_routes import cases, chunks_of, make_case
from scipy.linalg import eigh_tridiagonal

import gradscope as gs
from gradscope import norms
from gradscope.errors import ArgumentError
from gradscope.norms import largest_singular_value
from gradscope.partials import Partials

KINDS = pytest.mark.parametrize("kind", ["spectral", "frobenius"])
EVERY = pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
RTOL = {"float64": 1e-8, "float32": 1e-4}


def exact(matrices, kind):
    """Return the norm of matrices (..., S, S) in long double range: scaled by the largest entry first."""
    matrices = np.asarray(matrices, np.float64)
    largest = np.abs(matrices).max(axis=(-2, -1), keepdims=True)
    scale = np.where(largest > 0, largest, 1.0)
    values = np.linalg.svd(matrices / scale, compute_uv=False)
    norm = values[..., 0] if kind == "spectral" else np.sqrt((values**2).sum(axis=-1))
    return norm * scale[..., 0, 0]


def linear(W, steps=1):
    """Return the linearization of a linear RNN, whose every Jacobian is W."""
    size = len(W)
    cell = gs.RNN(1, size, "identity")
    params = {"W_x": np.zeros((size, 1), W.dtype), "W_h": W, "b": np.zeros(size, W.dtype)}
    return gs.linearize(gs.unroll(cell, params, np.zeros((steps, 1, 1))))


@given(cases(dtypes=("float64", "float32")))
def test_norms_are_those_of_the_plain_route(case):
    with chunks_of(case.chunk):
        lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
        found = {kind: lin.norm(kind) for kind in ("spectral", "frobenius")}
        own = lin.jacobians()
    for kind, norm in found.items():
        assert norm.shape == case.inputs.shape[:2]
        assert norm.dtype == case.params["W_h"].dtype
        rtol = RTOL[str(norm.dtype)]
        rounding = 8 * np.finfo(norm.dtype).eps * norm[np.isfinite(norm)].max(initial=0.0)  # where terms cancel
        np.testing.assert_allclose(norm, exact(own, kind), rtol=rtol, atol=max(rounding, 1e-300))
        if case.cell.activation in ("tanh", "softsign", "sigmoid"):
            plain = exact(case.plain_jacobians(), kind)
            np.testing.assert_allclose(norm, plain, rtol=10 * rtol, atol=rtol * plain.max())


@EVERY
@pytest.mark.parametrize("size", [1, 2, 7, 33, 64])
def test_spectral_norm_is_right_for_small_and_large(name, size):
    case = make_case(name, hidden_size=size, length=6, batch=3, gain=2.0)
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
    np.testing.assert_allclose(lin.norm(), exact(lin.jacobians(), "spectral"), rtol=1e-9)


@pytest.mark.parametrize("gap", [0.0, 1e-14, 1e-10, 1e-6, 1e-3, 0.1])
@pytest.mark.parametrize("tail", ["flat", "falling", "one"])
def test_spectral_norm_is_right_whatever_the_gap_to_the_second(gap, tail):
    size, rng = 60, np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(2))
    values = {"flat": np.ones(size), "falling": np.linspace(1, 0, size), "one": np.eye(1, size)[0]}[tail]
    values = np.where(np.arange(size) == 0, 1.0 + gap, values)
    found = linear(left * values @ right).norm()[0, 0]
    assert found == pytest.approx(1.0 + gap, rel=1e-10)


def test_spectral_norm_of_an_orthogonal_matrix_is_1_and_of_rank_one_its_size():
    rng = np.random.default_rng(0)
    assert linear(np.linalg.qr(rng.standard_normal((50, 50)))[0]).norm()[0, 0] == pytest.approx(1.0, rel=1e-12)
    u, v = rng.standard_normal((2, 50))
    wanted = np.linalg.norm(u) * np.linalg.norm(v)
    assert linear(np.outer(u, v)).norm()[0, 0] == pytest.approx(wanted, rel=1e-12)


def test_a_start_without_the_leading_direction_still_finds_it():
    """The first vector is always the same: take a matrix whose leading direction has next to nothing of it."""
    size = 40
    start = np.random.default_rng(0).standard_normal(size)
    rng = np.random.default_rng(5)
    lead = rng.standard_normal(size)
    lead -= start * (start @ lead) / (start @ start) * (1 - 1e-6)
    lead /= np.linalg.norm(lead)
    W = 3.0 * np.outer(rng.standard_normal(size), lead) / np.sqrt(size) + 0.3 * rng.standard_normal((size, size)) / 6
    assert linear(W).norm()[0, 0] == pytest.approx(np.linalg.norm(W, 2), rel=1e-8)


def test_what_has_not_settled_is_taken_from_the_matrix_itself(monkeypatch):
    monkeypatch.setattr(norms, "FIRST", 2)
    monkeypatch.setattr(norms, "LAST", 3)
    case = make_case("LSTM", hidden_size=20, length=5, batch=3)
    inputs = case.inputs.copy()
    inputs[2, 1] = np.nan
    lin = gs.linearize(gs.unroll(case.cell, case.params, inputs, case.state))
    found, matrices = lin.norm(), lin.jacobians()
    bad = ~np.isfinite(matrices).all(axis=(2, 3))
    np.testing.assert_array_equal(np.isnan(found), bad)
    np.testing.assert_allclose(found[~bad], exact(matrices[~bad], "spectral"), rtol=1e-13)


@given(st.integers(1, 12), st.integers(0, 999), st.sampled_from([1.0, 1e-3, 1e-9]), st.sampled_from([0, 1, 2, 3]))
def test_the_largest_root_is_the_largest_eigenvalue_whatever_the_guess(size, seed, spread, guess):
    rng = np.random.default_rng(seed)
    diagonal = 1.0 + spread * rng.random((size, 4))
    off = (spread * rng.random((size - 1, 4))) ** 2
    pairs = [eigh_tridiagonal(diagonal[:, m], np.sqrt(off[:, m])) for m in range(4)]
    wanted = np.array([values[-1] for values, _ in pairs])
    guesses = [np.full(4, np.nan), wanted * (1 + 1e-9), wanted * (1 - 1e-9), wanted]
    with np.errstate(all="ignore"):
        root, share = norms._largest_root(diagonal, off, guesses[guess])
    np.testing.assert_allclose(root, wanted, rtol=1e-14)
    for m, (values, vectors) in enumerate(pairs):
        if size == 1 or values[-1] - values[-2] > 1e-6:
            assert share[m] == pytest.approx(vectors[-1, -1] ** 2, rel=1e-6)


def test_two_singular_values_that_hardly_differ_are_told_apart_or_close():
    """Where the first two lie 1e-6 apart, their mean looks settled long before it is right to 1e-8."""
    size, rng = 120, np.random.default_rng(3)
    for gap in (1e-6, 1e-5, 1e-4, 1e-3):
        left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(2))
        values = np.linspace(0.9, 0.0, size)
        values[:2] = 1.0 + gap, 1.0
        assert linear(left * values @ right).norm()[0, 0] == pytest.approx(1.0 + gap, rel=1e-8)


@KINDS
@EVERY
@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e-100, 1e-30, 1e30, 1e100, 1e170, 1e290])
def test_no_scale_of_the_weights_is_too_small_or_too_large(kind, name, scale):
    """``np.linalg.norm([1e-170] * 2)`` is 0: it squares first."""
    case = make_case(name, activation="identity" if name == "RNN" else "tanh", b_h=False)
    params = {**case.params, "W_h": case.params["W_h"] * scale}
    lin = gs.linearize(gs.unroll(case.cell, params, np.zeros_like(case.inputs)[:1]))
    matrices = lin.jacobians()
    assert np.isfinite(matrices).all()
    assert np.abs(matrices).max() > 0
    np.testing.assert_allclose(lin.norm(kind), exact(matrices, kind), rtol=1e-8)


@KINDS
@pytest.mark.parametrize("scale", [1e-36, 1e-25, 1e-18, 1e18, 1e25, 1e36])
def test_no_scale_of_float32_weights_is_too_small_or_too_large(kind, scale):
    W = (np.random.default_rng(0).standard_normal((5, 5)) * scale).astype(np.float32)
    assert linear(W).norm(kind)[0, 0] == pytest.approx(exact(W, kind), rel=1e-4)


@KINDS
@pytest.mark.parametrize("partial", [1e-300, 1e-170, 1e170, 1e300])
def test_no_scale_of_the_partials_is_too_small_or_too_large(kind, partial):
    d = np.full((1, 3, 1), partial)
    W = np.random.default_rng(0).standard_normal((3, 3))
    partials = Partials((d,), ((None,),), ((d,),), ((None,),), ((None,),), (0,))
    found = {"spectral": norms.spectral, "frobenius": norms.frobenius}[kind](partials, W)
    assert found[0, 0] == pytest.approx(exact(partial * W, kind), rel=1e-8)


@KINDS
def test_a_zero_jacobian_has_norm_exactly_0(kind):
    assert linear(np.zeros((4, 4))).norm(kind)[0, 0] == 0.0
    cell = gs.RNN(1, 4, "relu")
    params = cell.init(np.random.default_rng(0)) | {"b": np.full(4, -100.0)}
    np.testing.assert_array_equal(gs.linearize(gs.unroll(cell, params, np.zeros((3, 2, 1)))).norm(kind), 0.0)


@KINDS
def test_nan_exactly_where_a_jacobian_holds_nan_or_inf(kind):
    case = make_case("LSTM", length=5, batch=4, hidden_size=3)
    inputs = case.inputs.copy()
    inputs[1, 0], inputs[3, 2] = np.nan, np.nan
    state = case.state.copy()
    state[3, 4] = np.inf
    lin = gs.linearize(gs.unroll(case.cell, case.params, inputs, state))
    matrices = lin.jacobians()
    bad = ~np.isfinite(matrices).all(axis=(2, 3))
    assert 0 < bad.sum() < bad.size
    found = lin.norm(kind)
    np.testing.assert_array_equal(np.isnan(found), bad)
    np.testing.assert_allclose(found[~bad], exact(matrices[~bad], kind), rtol=1e-9)


@KINDS
def test_rows_that_cancel_keep_their_digits(kind):
    """At the zero state a GRU has J = 0.5 + 0.25 W_n: with W_n close to -2 hardly anything is left of the two."""
    cell = gs.GRU(1, 4)
    for left in (1e-3, 1e-6, 0.0):
        W_n = -2.0 * np.eye(4) + left * np.eye(4)
        params = {"W_x": np.zeros((12, 1)), "W_h": np.concatenate([np.zeros((8, 4)), W_n]), "b": np.zeros(12)}
        lin = gs.linearize(gs.unroll(cell, params, np.zeros((1, 1, 1))))
        np.testing.assert_allclose(lin.norm(kind)[0, 0], exact(lin.jacobians(), kind)[0, 0], rtol=1e-9)


def test_a_misspelt_kind_is_refused_with_the_nearest_one():
    with pytest.raises(
        ArgumentError, match=r"`kind` must be one of spectral, frobenius, got 'spektral'\. Did you mean"
    ):
        linear(np.eye(2)).norm("spektral")


def test_the_norms_of_a_long_run_never_hold_all_jacobians():
    case = make_case("LSTM", hidden_size=32, batch=2, length=1000)
    trajectory = gs.unroll(case.cell, case.params, case.inputs, case.state)
    with chunks_of(2**16, kept=0):
        tracemalloc.start()
        gs.linearize(trajectory).norm("spectral")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1000 * 2 * 64 * 64 * 8 / 4


@pytest.mark.parametrize("kind", [gs.RNN, gs.LSTM, gs.GRU, gs.JANET, gs.MGU, gs.RWA])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_spectral_norm_of_the_smallest_cells_is_that_of_svd(kind, size):
    """Many draws: of few directions two are often nearly as long, and one may be missing."""
    cell = kind(1, size)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        params = cell.init(rng, recurrent="gaussian", gain=float(np.exp(2.0 * rng.standard_normal())))
        if seed % 3 == 0:  # of rank 1
            params["W_h"] = np.outer(params["W_h"][:, 0], rng.standard_normal(size))
        inputs = np.exp(1.5 * rng.standard_normal()) * rng.standard_normal((30, 4, 1))
        lin = gs.linearize(gs.unroll(cell, params, inputs))
        largest = np.linalg.svd(lin.jacobians(), compute_uv=False)[..., 0]
        np.testing.assert_allclose(lin.norm("spectral"), largest, rtol=1e-8, atol=1e-300)


@pytest.mark.parametrize("gap", [1e-9, 1e-8, 1e-7, 1e-5])
def test_the_second_singular_value_is_taken_for_the_largest_as_seldom_as_is_said(gap):
    """Among maps that are done early, so that the close ones are looked at when two values are not yet told apart."""
    rng, size, close, easy = np.random.default_rng(1), 16, 1000, 3000
    values = np.broadcast_to(np.linspace(0.3, 0.0, size), (close + easy, size)).copy()
    values[:, 0], values[:close, 1] = 1.0, 1.0 - gap
    left, right = (np.linalg.qr(rng.standard_normal((close + easy, size, size)))[0] for _ in range(2))
    matrices = (left * values[:, None])[rng.permutation(close + easy)] @ right
    norm = largest_singular_value(
        np.linalg.norm(matrices, axis=(1, 2))[None],
        lambda columns: np.einsum("bij,njb->nib", matrices, columns),
        lambda columns: np.einsum("bji,njb->nib", matrices, columns),
        size,
        lambda _, chosen: matrices[chosen],
    )[0]
    lower = 1.0 - norm
    assert lower.min() > -1e-14  # never above the largest
    assert lower.max() < gap * (1 + 1e-6) + 1e-14  # and never below the second
    assert np.count_nonzero(lower > 1e-8) <= close * 1e-8 / gap


@KINDS
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_weight_far_larger_than_all_that_a_map_is_made_of_changes_nothing(kind, dtype):
    """The unit of the large weight is shut at every step: what is left of the maps are the rows of the others."""
    large = {"float64": 1e180, "float32": 1e25}[dtype]
    W = np.array([[large, 0.0, 0.0], [0.5, -0.25, 1.0], [2.0, 1.0, 0.125]], dtype)
    cell = gs.RNN(1, 3, "relu")
    params = {"W_x": np.zeros((3, 1), dtype), "W_h": W, "b": np.array([-1.0, 1.0, 1.0], dtype)}
    lin = gs.linearize(gs.unroll(cell, params, np.zeros((4, 2, 1))))
    np.testing.assert_allclose(lin.norm(kind), exact(np.vstack([0 * W[:1], W[1:]]), kind), rtol=RTOL[dtype])


@pytest.mark.parametrize("large", [1e180, 1e300])
def test_norms_of_large_weights_with_small_partials_are_finite(large):
    """A partial of 1e10 beside a weight of zero: only its product with the largest weight would overflow."""
    cell = gs.LSTM(1, 1, "identity")
    W = np.array([[0.0], [0.0], [large], [1.0]])
    params = {"W_x": np.zeros((4, 1)), "W_h": W, "b": np.array([-800.0, 0.0, 1e10, 0.0])}
    lin = gs.linearize(gs.unroll(cell, params, np.zeros((1, 1, 1)), np.array([[0.0, 1e10]])))
    assert np.isfinite(lin.norm("frobenius")).all()
    np.testing.assert_allclose(lin.norm("frobenius"), exact(lin.jacobians(), "frobenius"), rtol=1e-8)
