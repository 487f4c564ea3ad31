"""Routes: against the recursion written out on plain matrices; both always sum to the total."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from plain_routes import cases, chunks_of, make_case

import gradscope as gs
from gradscope.errors import ArgumentError
from gradscope.routes import ROUTES, routes
from gradscope.transport import transport


def log10_rms(matrices):
    """Return log10 of the Frobenius norm of (B, H, H) over sqrt(H)."""
    with np.errstate(divide="ignore"):
        return np.log10(np.linalg.norm(matrices, axis=(1, 2)) / np.sqrt(matrices.shape[2]))


def plain(matrices, kept):
    """Yield P and R by lag, block c by c: P <- P D, R <- R J + P (J - D)."""
    length, batch, width, _ = matrices.shape
    size = width // 2
    cell = np.arange(size, width)
    P, R = np.zeros((2, batch, width, width))
    P[:, cell, cell], R[:, cell - size, cell - size] = 1.0, 1.0
    for t in reversed(range(length + 1)):
        if t < length:
            D = np.zeros_like(P)
            D[:, cell, cell] = kept[t]
            R = R @ matrices[t] + P @ (matrices[t] - D)
            P = P @ D
        yield P[:, size:, size:], R[:, size:, size:]


@settings(max_examples=40, deadline=None)
@given(cases(names=("LSTM", "PeepholeLSTM"), activations=("tanh", "softsign", "identity")))
def test_routes_are_those_of_the_recursion(case):
    trajectory = gs.unroll(case.cell, case.params, case.inputs, case.state)
    with chunks_of(case.chunk):
        lin = gs.linearize(trajectory)
        found = routes(lin)
        total = transport(lin).blocks[1, 1][::-1]
    matrices = case.plain_jacobians()
    size = case.cell.hidden_size
    kept = np.einsum("tbuu->tbu", matrices[:, :, size:, size:])  # the diagonal of the block c by c
    assert ROUTES == ("highway", "rest", "total")
    for lag, (P, R) in enumerate(plain(matrices, kept)):
        for name, matrix in zip(ROUTES, (P, R, P + R), strict=True):
            wanted, row = log10_rms(matrix), found.rms[ROUTES.index(name), lag]
            sure = wanted > log10_rms(P + 0 * R) - 8 if name == "rest" else np.isfinite(wanted)
            np.testing.assert_allclose(row[sure], wanted[sure], atol=1e-6)
        np.testing.assert_allclose(found.rms[2, lag], total[lag], atol=1e-9)
        lengths = np.linalg.norm(P, axis=(1, 2)) * np.linalg.norm(R, axis=(1, 2))
        clear = lengths > 1e-12 * np.linalg.norm(P + R, axis=(1, 2)) ** 2
        angle = np.einsum("bij,bij->b", P, R)[clear] / lengths[clear]
        np.testing.assert_allclose(found.cosine[lag][clear], angle, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_without_recurrent_weights_all_goes_along_the_highway(dtype):
    cell = gs.LSTM(1, 3, forget_bias=-2.0)
    params = cell.init(np.random.default_rng(0), dtype=dtype)
    params["W_h"][:] = 0.0
    inputs = np.random.default_rng(1).standard_normal((2000, 2, 1))
    trajectory = gs.unroll(cell, params, inputs)
    found = routes(gs.linearize(trajectory))
    logs = np.cumsum(np.log10(trajectory.gates["forget"].astype(float))[::-1], axis=0)
    largest = logs.max(axis=2)
    wanted = largest + 0.5 * np.log10(np.square(10 ** (logs - largest[..., None])).mean(axis=2))
    np.testing.assert_allclose(found.rms[0, 1:], wanted, rtol=1e-12 if dtype == np.float64 else 1e-6)
    assert found.rms[0, -1].max() < -700  # past the float range
    assert np.isneginf(found.rms[1]).all()
    np.testing.assert_allclose(found.rms[2], found.rms[0], rtol=1e-12)
    assert np.isnan(found.cosine).all()


def test_at_lag_0_all_is_highway():
    case = make_case("LSTM", length=3)
    found = routes(gs.linearize(gs.unroll(case.cell, case.params, case.inputs)))
    np.testing.assert_array_equal(found.rms[0, 0], 0.0)
    assert np.isneginf(found.rms[1, 0]).all()
    np.testing.assert_allclose(found.rms[2, 0], 0.0, atol=1e-15)


def test_padding_shortens_and_a_reset_cuts():
    case = make_case("LSTM", length=12, batch=3)
    valid, reset = np.ones((12, 3), bool), np.zeros((12, 3), bool)
    valid[8:, 1], valid[2:4, 2], reset[6, 0] = False, False, True
    found = routes(gs.linearize(gs.unroll(case.cell, case.params, case.inputs, valid=valid, reset=reset)))
    for b in (1, 2):
        inputs = case.inputs[valid[:, b], b][:, None]
        alone = routes(gs.linearize(gs.unroll(case.cell, case.params, inputs)))
        length = len(inputs)
        np.testing.assert_allclose(found.rms[:, : length + 1, b], alone.rms[:, :, 0], atol=1e-10)
        assert np.isnan(found.rms[:, length + 1 :, b]).all()
    assert np.isneginf(found.rms[:, 6:, 0]).all()
    assert np.isfinite(found.rms[0, :6, 0]).all()


def test_a_cell_without_a_cell_state_has_no_routes():
    case = make_case("GRU")
    with pytest.raises(ArgumentError, match=r"got GRU\. Use `transport`"):
        routes(gs.linearize(gs.unroll(case.cell, case.params, case.inputs)))


@pytest.mark.parametrize("seed", [2, 7])
def test_the_total_is_right_where_highway_and_rest_cancel_to_the_last_digit(seed):
    """The highway outlives the total by more than sixteen digits: their sum holds nothing of it."""
    rng = np.random.default_rng(seed)
    cell = gs.LSTM(1, 2)
    params = {name: array + 0.3 * rng.standard_normal(array.shape) for name, array in cell.init(rng).items()}
    lin = gs.linearize(gs.unroll(cell, params, rng.standard_normal((400, 1, 1))))
    found = routes(lin)
    assert (found.rms[0] - found.rms[2]).max() > 13.0
    np.testing.assert_allclose(found.rms[2], transport(lin).blocks[1, 1, ::-1], atol=1e-12)
