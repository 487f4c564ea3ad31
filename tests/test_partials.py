"""Partials: autograd's diagonals against finite differences, and how blocks hang together."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_routes import FACTORED, cases, central_differences

from gradscope.cells import GRU, LSTM
from gradscope.partials import differentiate
from gradscope.products import resolve

SHAPE = (4, 3, 2)


def arrays(count, seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(SHAPE) for _ in range(count)]


def total(partials, name):
    """Return d new[i] / d of every array of a group, by every path."""
    return resolve(partials, name)


def numeric(update, groups, group, k, i):
    """Return d new[i] / d groups[group][k] by central differences: all elements are nudged at once."""

    def moved(width):
        changed = [list(g) for g in groups]
        changed[group][k] = changed[group][k] + width
        return update(*changed)[i]

    return (moved(1e-6) - moved(-1e-6)) / 2e-6


NAMES = tuple(name for name in FACTORED if name != "RWA")  # whose sum of weights cannot be any number
SMOOTH = cases(activations=("tanh", "softsign", "sigmoid", "identity"), names=NAMES)


@given(SMOOTH, st.integers(0, 1000))
def test_every_partial_of_every_cell_equals_finite_differences(case, seed):
    cell = case.cell
    count, blocks, names = len(cell.gate_names), len(cell.blocks), cell.unit_params

    def update(x, h, state, units=()):
        return cell.update(dict(zip(names, units, strict=True)), x, h, state)

    groups = arrays(count, seed), arrays(count, seed + 1), arrays(blocks, seed + 2), arrays(len(names), seed + 3)
    partials = differentiate(update, *groups)
    for value, wanted in zip(partials.value, update(*groups), strict=True):
        np.testing.assert_array_equal(value, wanted)
    for group, name in enumerate(("drive_x", "drive_h", "state", "units")):
        for i, row in enumerate(total(partials, name)):
            for k, partial in enumerate(row):
                wanted = numeric(update, groups, group, k, i)
                np.testing.assert_allclose(0.0 if partial is None else partial, wanted, atol=2e-8, rtol=1e-7)


def test_the_chain_of_an_lstm_is_short():
    """h' hears the gates but output only through c', so only one partial leads from h' to c'."""
    cell = LSTM(1, 3)
    partials = differentiate(lambda x, h, s: cell.update({}, x, h, s), arrays(4, 0), arrays(4, 1), arrays(2, 2))
    assert partials.order == (0, 1)
    assert [partial is not None for partial in partials.drive_h[0]] == [False, False, False, True]
    assert [partial is not None for partial in partials.drive_h[1]] == [True, True, True, False]
    assert partials.new[0][1] is not None
    assert partials.new[1] == (None, None)
    assert partials.state[0] == (None, None)
    assert [partial is not None for partial in partials.state[1]] == [False, True]
    for row_x, row_h in zip(partials.drive_x, partials.drive_h, strict=True):
        assert all(x is h for x, h in zip(row_x, row_h, strict=True))


def test_blocks_may_hang_together_in_any_order():
    def update(x, h, state):
        c = anp.tanh(x[0] + h[0]) * state[2]
        m = c * c + state[1]
        return anp.sin(m) * c, m, c

    groups = arrays(1, 0), arrays(1, 1), arrays(3, 2)
    partials = differentiate(update, *groups)
    assert partials.order == (0, 1, 2)
    assert [[link is not None for link in row] for row in partials.new] == [
        [False, True, True],
        [False, False, True],
        [False, False, False],
    ]
    for group, name in enumerate(("drive_x", "drive_h", "state", "units")):
        for i, row in enumerate(total(partials, name)):
            for k, partial in enumerate(row):
                wanted = numeric(update, groups, group, k, i)
                np.testing.assert_allclose(0.0 if partial is None else partial, wanted, atol=1e-8)


def test_a_block_made_from_the_first_comes_first_in_reverse():
    def update(x, h, state):
        new_h = anp.tanh(x[0] + h[0] + state[0])
        return new_h, 0.9 * state[1] + new_h * new_h

    groups = arrays(1, 0), arrays(1, 1), arrays(2, 2)
    partials = differentiate(update, *groups)
    assert partials.order == (1, 0)
    np.testing.assert_allclose(partials.new[1][0], 2 * partials.value[0], rtol=1e-14)
    np.testing.assert_allclose(total(partials, "state")[1][0], numeric(update, groups, 2, 0, 1), atol=1e-8)


def test_a_block_passed_through_untouched_has_a_partial_of_1_and_no_chain():
    def update(x, h, state):
        return anp.tanh(x[0] + h[0]) * state[1], state[1]

    partials = differentiate(update, arrays(1, 0), arrays(1, 1), arrays(2, 2))
    assert partials.drive_h[1] == (None,)
    assert partials.state[1][0] is None
    np.testing.assert_array_equal(partials.state[1][1], np.ones(SHAPE))
    assert partials.new == ((None, None), (None, None))


def test_two_blocks_may_be_one_and_the_same_array():
    def update(x, h, state):
        new = anp.tanh(x[0] + h[0] * state[1])
        return new, new

    groups = arrays(1, 0), arrays(1, 1), arrays(2, 2)
    partials = differentiate(update, *groups)
    for i in range(2):
        np.testing.assert_allclose(total(partials, "state")[i][1], numeric(update, groups, 2, 1, i), atol=1e-8)


def test_a_constant_block_depends_on_nothing():
    partials = differentiate(
        lambda x, h, state: (anp.tanh(x[0] + h[0]), np.ones(SHAPE)), arrays(1, 0), arrays(1, 1), arrays(2, 2)
    )
    assert partials.drive_h[1] == partials.drive_x[1] == (None,)
    assert partials.state[1] == partials.new[1] == (None, None)
    np.testing.assert_array_equal(partials.value[1], 1.0)


def test_an_array_used_many_times_gets_the_sum_of_its_paths():
    def update(x, h, state):
        return (state[0] * state[0] * h[0] + anp.exp(state[0]) + state[0],)

    groups = arrays(1, 0), arrays(1, 1), arrays(1, 2)
    s, h = groups[2][0], groups[1][0]
    partials = differentiate(update, *groups)
    np.testing.assert_allclose(partials.state[0][0], 2 * s * h + np.exp(s) + 1, rtol=1e-14)
    assert partials.drive_x == ((None,),)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_dtype_and_shape_are_those_of_the_update(dtype):
    cell = GRU(1, 3)
    groups = [[a.astype(dtype) for a in arrays(n, n)] for n in (3, 3, 1)]
    partials = differentiate(lambda x, h, s: cell.update({}, x, h, s), *groups)
    for row in (*partials.drive_x, *partials.drive_h, *partials.state):
        for partial in filter(lambda array: array is not None, row):
            assert partial.shape == SHAPE
            assert partial.dtype == dtype


def test_nan_and_inf_go_through_and_stay_where_they_are():
    x = np.zeros(SHAPE)
    x[1, 2, 0], x[2, 1, 1] = np.nan, np.inf
    with np.errstate(all="ignore"):
        partials = differentiate(lambda x, h, s: (x[0] * x[0] * s[0] + h[0],), [x], arrays(1, 1), arrays(1, 2))
    bad = ~np.isfinite(partials.drive_x[0][0])
    assert np.argwhere(bad).tolist() == [[1, 2, 0], [2, 1, 1]]
    assert np.isfinite(partials.drive_h[0][0]).all()


def test_an_update_that_raises_leaves_autograd_as_it_was():
    def broken(x, h, state):
        raise RuntimeError("a bug of the user's")

    with pytest.raises(RuntimeError, match="a bug of the user's"):
        differentiate(broken, arrays(1, 0), arrays(1, 1), arrays(1, 2))
    assert autograd.grad(lambda x: autograd.grad(lambda y: x * y**2)(3.0))(2.0) == 6.0
    partials = differentiate(lambda x, h, s: (x[0] * h[0],), arrays(1, 0), arrays(1, 1), arrays(1, 2))
    np.testing.assert_array_equal(partials.drive_x[0][0], arrays(1, 1)[0])


def test_differentiate_works_inside_another_trace():
    """A constant of an outer derivative stays a constant."""
    seen = []

    def outer(a):
        partials = differentiate(lambda x, h, s: (x[0] * h[0] + s[0],), arrays(1, 0), arrays(1, 1), arrays(1, 2))
        seen.append(partials)
        return a**3

    assert autograd.grad(outer)(2.0) == 12.0
    np.testing.assert_array_equal(seen[0].drive_h[0][0], arrays(1, 0)[0])


def test_pick_indexes_every_array():
    cell = LSTM(1, 3)
    partials = differentiate(lambda x, h, s: cell.update({}, x, h, s), arrays(4, 0), arrays(4, 1), arrays(2, 2))
    one = partials.pick(2)
    assert one.order == partials.order
    np.testing.assert_array_equal(one.value[1], partials.value[1][2])
    np.testing.assert_array_equal(one.new[0][1], partials.new[0][1][2])
    assert one.drive_h[0][0] is None
    np.testing.assert_array_equal(one.state[1][1], partials.state[1][1][2])


def test_the_tester_finds_a_wrong_partial():
    groups = arrays(1, 0), arrays(1, 1), arrays(1, 2)
    wrong = numeric(lambda x, h, s: (anp.tanh(x[0]) * h[0],), groups, 0, 0, 0)
    right = differentiate(lambda x, h, s: (anp.tanh(x[0]) * h[0] * 1.001,), *groups).drive_x[0][0]
    assert np.abs(wrong - right).max() > 1e-5
    single = central_differences(lambda v: np.tanh(v) * 2.0, groups[0][0].ravel())
    np.testing.assert_allclose(np.diag(single), 2 * (1 - np.tanh(groups[0][0].ravel()) ** 2), atol=1e-9)
