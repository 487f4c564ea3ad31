"""Transport: against products of the plain Jacobians, closed forms, and whole numbers of any size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from plain_routes import cases, chunks_of, make_case

import gradscope as gs
from gradscope.errors import ArgumentError
from gradscope.transport import HEARD, transport, transport_map

EVERY = pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])


ALIKE = 1e-12  # by two routes, of the largest entry of a Jacobian: entries are sums of terms that may cancel
LEAST = 1e-300  # what is lost to numbers below the normal ones


def plain_jacobians(case):
    """Return the Jacobians by autograd alone, of cases that do not leave the floats there."""
    try:
        return case.plain_jacobians()
    except RuntimeWarning:  # autograd squares what an RWA divides by
        return reject()


def products(matrices):
    """Return ds_T/ds_t for every t (T+1, B, S, S) by plain multiplication."""
    rows = [np.broadcast_to(np.eye(matrices.shape[2]), matrices.shape[1:])]
    for matrix in matrices[::-1]:
        rows.append(rows[-1] @ matrix)
    return np.stack(rows[::-1])


def errors(matrices):
    """Return how far :func:`products` may be off entry by entry: where terms cancel, far more than the result.

    Of factors A known to within D the product of absolute values P and its error E go on as P A and E (A + D) + P D.
    """
    size = matrices.shape[2]
    sure = np.broadcast_to(np.eye(size), matrices.shape[1:])
    rows = [ALIKE * sure]
    for matrix in np.abs(matrices[::-1]):
        off = ALIKE * matrix.max(axis=(1, 2), keepdims=True) + LEAST
        rows.append(rows[-1] @ (matrix + off) + sure @ np.broadcast_to(off, matrix.shape))
        sure = sure @ matrix
    return np.stack(rows[::-1])


def rms(matrices):
    """Return the Frobenius norm over the square root of the number of columns."""
    return np.linalg.norm(matrices, axis=(-2, -1)) / np.sqrt(matrices.shape[-1])


def log10_rms(matrices):
    """Return log10 of the same."""
    with np.errstate(divide="ignore"):
        return np.log10(rms(matrices))


def assert_near(found, whole, off):
    """Assert that log10 norms are those of some matrices to within the norms of their errors."""
    assert found.shape == whole.shape[:-2]
    with np.errstate(over="ignore"):
        assert (np.abs(10.0**found - rms(whole)) <= rms(off)).all()


@settings(max_examples=60)
@given(cases(activations=("tanh", "softsign", "sigmoid", "identity")))
def test_transport_is_the_product_of_the_plain_jacobians(case):
    with chunks_of(case.chunk):
        lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
        found = transport(lin)
        own = transport(gs.Jacobians(lin.jacobians(), blocks=len(case.cell.blocks)))
    plain = plain_jacobians(case)
    whole, off = products(plain), errors(plain)
    size, count = case.cell.hidden_size, len(case.cell.blocks)
    assert found.blocks.shape == (count, count, len(case.inputs) + 1, len(case.state))
    for result in (found, own):
        assert_near(result.rms, whole, off)
        for i in range(count):
            for j in range(count):
                block = (..., slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size))
                assert_near(result.blocks[i, j], whole[block], off[block])
    largest = np.linalg.svd(whole, compute_uv=False)[..., 0]
    clear = np.abs(largest - HEARD) > np.linalg.norm(off, axis=(-2, -1))
    np.testing.assert_array_equal(found.heard[clear], (largest >= HEARD)[clear])


@EVERY
def test_float32_agrees_with_float64(name):
    case = make_case(name, length=50, hidden_size=6)
    wide = transport(gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state)))
    params = {key: array.astype(np.float32) for key, array in case.params.items()}
    narrow = transport(gs.linearize(gs.unroll(case.cell, params, case.inputs, case.state)))
    np.testing.assert_allclose(narrow.rms, wide.rms, atol=2e-3)


def test_blocks_are_named_to_from():
    """An LSTM whose h is never read: a change of h goes nowhere, one of c reaches c and h."""
    cell = gs.LSTM(1, 3)
    params = {name: np.zeros_like(array) for name, array in cell.init(np.random.default_rng(0)).items()}
    blocks = transport(gs.linearize(gs.unroll(cell, params, np.zeros((5, 1, 1))))).blocks[:, :, 0, 0]
    assert np.isneginf(blocks[:, 0]).all()  # from h
    assert blocks[1, 1] == pytest.approx(5 * np.log10(0.5))  # to c from c
    assert blocks[0, 1] == pytest.approx(5 * np.log10(0.5) + np.log10(0.5))  # to h from c: o = 1/2


def test_at_the_last_state_a_change_is_itself():
    case = make_case("LSTM")
    found = transport(gs.linearize(gs.unroll(case.cell, case.params, case.inputs)))
    np.testing.assert_allclose(found.rms[-1], 0.0, atol=1e-15)
    np.testing.assert_allclose(found.blocks[[0, 1], [0, 1], -1], 0.0, atol=1e-15)
    assert np.isneginf(found.blocks[[0, 1], [1, 0], -1]).all()
    assert found.heard[-1].all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("factor", [0.5, 0.3, 2.0, 7.0])
def test_a_scalar_product_is_right_past_the_float_range(dtype, factor):
    """factor^3000: a plain product is 0 or inf."""
    maps = gs.Jacobians(np.full((3000, 1, 1, 1), factor, dtype))
    found = transport(maps)
    exact = np.log10(np.float64(dtype(factor)))
    np.testing.assert_allclose(
        found.rms[:, 0], exact * np.arange(3000, -1, -1), rtol=1e-13 if dtype == np.float64 else 1e-7
    )
    assert abs(found.rms[0, 0]) > 900


def test_directions_may_lie_further_apart_than_any_float():
    """One unit keeps, one loses 10^-1 a step: rms and largest singular value see the first alone."""
    maps = gs.Jacobians(np.tile(np.diag([1.0, 0.1]), (2000, 1, 1, 1)))
    found = transport(maps)
    np.testing.assert_allclose(found.rms[0], -0.5 * np.log10(2), rtol=1e-14)
    assert found.heard.all()


def test_a_block_may_lie_far_below_another():
    """Its squares leave the float range and its numbers do not: 10^-200 beside 1."""
    found = transport(gs.Jacobians(np.tile(np.diag([1.0, 1.0, 1e-10, 1e-10]), (20, 1, 1, 1)), blocks=2))
    np.testing.assert_allclose(found.blocks[1, 1, :, 0], np.arange(-200, 1, 10), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.blocks[0, 0], 0.0, atol=1e-15)


def test_exact_zero_is_minus_infinity_and_stays_so():
    matrices = np.tile(np.eye(2), (6, 2, 1, 1))
    matrices[3, 1] = 0.0
    found = transport(gs.Jacobians(matrices))
    assert np.isneginf(found.rms[:, 1]).tolist() == [True] * 4 + [False] * 3
    np.testing.assert_allclose(found.rms[:, 0], 0.0, atol=1e-15)
    assert found.heard[:, 1].tolist() == [False] * 4 + [True] * 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_jacobian_spoils_what_lies_before_it_in_its_own_sequence(bad):
    matrices = np.tile(0.9 * np.eye(3), (6, 2, 1, 1))
    matrices[2, 0, 1, 1] = bad
    found = transport(gs.Jacobians(matrices))
    assert np.isfinite(found.rms[3:, 0]).all()
    assert not np.isfinite(found.rms[:3, 0]).any()
    assert np.isnan(found.rms[:2, 0]).all() or np.isinf(bad)
    np.testing.assert_allclose(found.rms[:, 1], np.log10(0.9) * np.arange(6, -1, -1), atol=1e-14)
    assert not found.heard[:2, 0].any() or np.isinf(bad)


def test_heard_is_decided_by_the_largest_singular_value():
    """A change in one direction of 100 is heard long after the rms has fallen below 1 %."""
    kept = np.zeros(100)
    kept[0] = 1.0
    maps = gs.Jacobians(np.tile(np.diag(np.where(kept, 0.5, 1e-9)), (8, 1, 1, 1)))
    found = transport(maps)
    lags = np.arange(8, -1, -1)
    assert found.heard[:, 0].tolist() == (0.5**lags >= HEARD).tolist()
    assert (10 ** found.rms[:, 0] >= HEARD).tolist() == [False] * 5 + [True] * 4


def test_whole_numbers_do_not_overflow_or_round():
    """Powers of [[1, 1], [1, 0]] are Fibonacci numbers."""
    found = transport(gs.Jacobians(np.tile([[1, 1], [1, 0]], (300, 1, 1, 1))))
    a, b = 0, 1
    for _ in range(300):
        a, b = b, a + b
    before = b - a  # F(299), F(300), F(301)
    square = before**2 + 2 * a**2 + b**2
    exact = 0.5 * (math.log10(square) - math.log10(2))
    assert found.rms[0, 0] == pytest.approx(exact, rel=1e-13)


def test_a_block_that_no_other_meets_never_reads_zero():
    """h halves, c is kept: past 308 decades one exponent for both would lose h."""
    found = transport(gs.Jacobians(np.tile(np.diag([0.5, 0.5, 1.0, 1.0]), (3000, 1, 1, 1)), blocks=2))
    np.testing.assert_allclose(found.blocks[0, 0, :, 0], np.log10(0.5) * np.arange(3000, -1, -1), rtol=1e-13)
    np.testing.assert_allclose(found.blocks[1, 1], 0.0, atol=1e-15)
    assert np.isneginf(found.blocks[0, 1]).all()


def test_plain_arrays_and_functions_are_measured_too():
    matrices = np.random.default_rng(0).standard_normal((6, 2, 3, 3))
    wanted = log10_rms(products(matrices))
    for maps in (matrices, lambda: iter(matrices), iter(matrices)):
        np.testing.assert_allclose(transport(maps).rms, wanted, atol=1e-12)


# ---- the map --------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(2, 6))
def test_the_map_holds_the_products_between_any_two_times(case, points):
    found = transport_map(gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state)), points)
    matrices = plain_jacobians(case)
    length, batch = matrices.shape[:2]
    assert len(found.times) <= max(points, 2)
    np.testing.assert_array_equal(found.times, found.lags)
    assert length - found.times[-1] < max(found.times[1], 1)
    for n, start in enumerate(found.times):
        for m, lag in enumerate(found.lags):
            assert found.beyond[n, m] == (start + lag > found.times[-1])
            if found.beyond[n, m]:
                assert np.isnan(found.rms[n, m])
                continue
            between = matrices[start : start + lag]
            whole, off = (np.vstack(route(between)[0]) for route in (products, errors))
            assert abs(10.0 ** found.rms[n, m] - rms(whole) / np.sqrt(batch)) <= rms(off) / np.sqrt(batch)


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_map_is_right_past_the_float_range(blocks):
    """Two directions that swap: first one shrinks to 10^-400, then the other."""
    matrices = np.concatenate(
        [np.tile(np.diag([1.0, 0.1]), (400, 1, 1, 1)), np.tile(np.diag([0.01, 1.0]), (400, 1, 1, 1))]
    )
    found = transport_map(gs.Jacobians(matrices, blocks), 3)
    assert found.times.tolist() == [0, 400, 800]
    assert found.rms[0, 1] == pytest.approx(-0.5 * np.log10(2))
    if blocks == 2:  # in one block the smaller direction is lost, as in any matrix of floats
        assert found.rms[0, 2] == pytest.approx(-400 - 0.5 * np.log10(2))


@pytest.mark.parametrize(
    ("length", "points", "stride"), [(200, 25, 10), (24, 25, 1), (7, 25, 1), (97, 25, 5), (1, 2, 1)]
)
def test_the_stride_of_the_grid_divides_the_length_where_it_can(length, points, stride):
    found = transport_map(np.ones((length, 1, 1, 1)), points)
    assert found.times.tolist() == list(range(0, length + 1, stride))


def test_a_grid_of_one_point_is_refused():
    with pytest.raises(ArgumentError, match="25 is the default"):
        transport_map(np.ones((3, 1, 1, 1)), 1)


def test_padding_has_no_part_in_the_map():
    case = make_case("LSTM", length=6, batch=3)
    valid = np.ones((6, 3), bool)
    valid[4:, 1:] = False
    whole = transport_map(gs.linearize(gs.unroll(case.cell, case.params, case.inputs)))
    found = transport_map(gs.linearize(gs.unroll(case.cell, case.params, case.inputs, valid=valid)))
    alone = transport_map(gs.linearize(gs.unroll(case.cell, case.params, case.inputs[:, :1])))
    np.testing.assert_allclose(found.rms[0, :5], whole.rms[0, :5])
    np.testing.assert_allclose(found.rms[0, 5:], alone.rms[0, 5:])  # what is left is the first sequence
    valid[5] = False
    gone = transport_map(gs.linearize(gs.unroll(case.cell, case.params, case.inputs, valid=valid)))
    assert gone.masked[0, 6]
    assert np.isnan(gone.rms[0, 6])


def test_the_map_counts_the_steps_of_each_sequence_wherever_its_padding_stands():
    """Before, between and after: each sequence as it would be without a gap, with the same lags as transport's own."""
    case = make_case("LSTM", length=12, batch=3)
    valid = np.ones((12, 3), bool)
    valid[:4, 0] = valid[[2, 3, 7, 8], 1] = valid[8:, 2] = False
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state, valid=valid))
    found = transport_map(lin, 5)
    squares = np.zeros((5, 5))
    for b in range(3):
        steps = case.inputs[valid[:, b], b : b + 1]
        alone = gs.linearize(gs.unroll(case.cell, case.params, steps, case.state[b : b + 1])).jacobians()
        for n, m in np.argwhere(np.add.outer(range(5), range(5)) < 3):
            product = np.eye(case.cell.state_size)
            for matrix in alone[3 * n : 3 * (n + m), 0]:
                product = matrix @ product
            squares[n, m] += np.square(product).sum() / case.cell.state_size / 3
    known = squares > 0
    assert found.times.tolist() == [0, 3, 6, 9, 12]
    np.testing.assert_allclose(found.rms[known], 0.5 * np.log10(squares[known]), rtol=1e-9)
    np.testing.assert_array_equal(np.isfinite(found.rms), known)
    np.testing.assert_array_equal(found.masked, ~known & ~found.beyond)


def test_a_product_in_float32_keeps_a_unit_far_below_its_neighbour():
    """The first step loses the unit that holds; what is left has fallen by 150 decades, which no float32 holds."""
    matrices = np.array([np.diag([1.0, 0.0])] + [np.diag([0.1, 1.0])] * 150, np.float32)[:, None]
    assert transport(matrices).rms[0, 0] == pytest.approx(-150 - 0.5 * np.log10(2.0), abs=1e-4)
    lost = np.concatenate([matrices[1:], matrices[:1]])
    assert transport_map(lost, 2).rms[0, 1] == pytest.approx(-150 - 0.5 * np.log10(2.0), abs=1e-4)
