"""Maps: every form of Jacobians gives the same products; lags beside padding and resets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_routes import make_case

import gradscope as gs
from gradscope.errors import ArgumentError, ShapeError
from gradscope.maps import Lags, as_maps, as_pushes, lags_of, matrix_at

MATRICES = np.random.default_rng(0).standard_normal((5, 2, 3, 3))

FORMS = {
    "array": lambda: MATRICES,
    "lists": lambda: MATRICES.tolist(),
    "wrapped": lambda: gs.Jacobians(MATRICES),
    "iterator": lambda: iter(MATRICES),
    "function": lambda: lambda: (matrix for matrix in MATRICES),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_same_products(form):
    rng = np.random.default_rng(1)
    maps, columns = as_maps(FORMS[form]()), rng.standard_normal((3, 2, 4))
    assert (maps.length, maps.batch, maps.state_size, maps.block_size) == (5, 2, 3, 3)
    pushes = as_pushes(FORMS[form]())
    assert (pushes.batch, pushes.state_size) == (2, 3)
    assert pushes.lags is None or pushes.lags.longest.tolist() == [5, 5]
    for t, push in enumerate(pushes.each):
        np.testing.assert_allclose(maps.push_at(t, columns), np.einsum("bij,jbm->ibm", MATRICES[t], columns))
        np.testing.assert_allclose(maps.pull_at(t, columns), np.einsum("bji,jbm->ibm", MATRICES[t], columns))
        np.testing.assert_allclose(push(columns), maps.push_at(t, columns))
        np.testing.assert_allclose(matrix_at(maps, t), MATRICES[t])
    assert t == 4


def test_what_is_linearized_stays_as_it_is():
    case = make_case("LSTM")
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
    assert as_maps(lin) is lin
    np.testing.assert_allclose(matrix_at(lin, 2), lin.jacobians()[2], atol=1e-15)
    assert as_maps(MATRICES, blocks=3).block_size == 1


def test_a_stream_is_read_as_it_goes():
    read = []

    def endless():
        for t in range(10**9):
            read.append(t)
            yield np.eye(2)[None]

    pushes = as_pushes(endless)
    next(pushes.each)
    assert len(read) <= 2
    assert pushes.lags is None


@pytest.mark.parametrize(
    ("maps", "error", "remedy"),
    [
        (np.ones((4, 3, 3)), ShapeError, r"use `matrices\[:, None\]`"),
        ([[1.0, 2.0], [3.0]], ShapeError, "ragged lists. Pad them"),
        (3, ArgumentError, r"Yield one array \(B, S, S\) for each step"),
        (lambda: None, ArgumentError, r"Yield one array \(B, S, S\) for each step"),
        (lambda: iter([np.eye(3)]), ShapeError, r"for one sequence, `matrix\[None\]`"),
        (lambda: iter([np.ones((1, 2, 2)), np.ones((1, 3, 3))]), ShapeError, "arrays of one shape"),
        (lambda: iter([]), ShapeError, "at least one Jacobian, got none. Yield"),
        (lambda: iter(["text"]), ShapeError, "Convert it to float64"),
    ],
)
def test_what_are_no_maps_is_refused_with_the_remedy(maps, error, remedy):
    with pytest.raises(error, match=remedy):
        as_maps(maps)
    with pytest.raises(error, match=remedy):
        list(as_pushes(maps).each)


masks = st.integers(0, 2**32 - 1).map(
    lambda seed: [np.random.default_rng(seed).random((7, 3)) < share for share in (0.7, 0.2)]
)


@given(masks)
def test_lags_count_the_steps_that_count(drawn):
    """One sequence and one state at a time."""
    valid, reset = drawn
    lags = Lags.of(7, 3, valid, reset)
    values = np.random.default_rng(0).standard_normal((8, 3))
    by_lag = lags.lagged(values)
    for b in range(3):
        steps = [t for t in range(7) if valid[t, b]]
        assert lags.times[:, b].tolist() == [True, *valid[:, b]]
        starts = [t + 1 for t in steps if reset[t, b]]
        first = starts[-1] if starts else 0
        assert lags.longest[b] == sum(t >= first for t in steps)
        for t in steps:
            begin = max([s for s in steps if reset[s, b] and s <= t], default=0)
            assert lags.age[t, b] == sum(begin <= s < t for s in steps)
        states = [0, *(t + 1 for t in steps)][::-1]
        np.testing.assert_array_equal(by_lag[: len(states), b], values[states, b])
        assert np.isnan(by_lag[len(states) :, b]).all()
    assert lags.masked_share == pytest.approx(1 - valid.mean())


def test_maps_without_masks_count_every_step():
    lags = lags_of(as_maps(MATRICES))
    assert lags.lag[:, 0].tolist() == [5, 4, 3, 2, 1, 0]
    assert lags.longest.tolist() == [5, 5]
    assert lags.times.all()
    assert lags.age[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_the_masks_of_a_trajectory_are_seen():
    case = make_case("LSTM", length=6, batch=2)
    valid, reset = np.ones((6, 2), bool), np.zeros((6, 2), bool)
    valid[4:, 1], reset[2, 0] = False, True
    lags = lags_of(gs.linearize(gs.unroll(case.cell, case.params, case.inputs, valid=valid, reset=reset)))
    assert lags.longest.tolist() == [3, 4]
    assert lags.lag[0].tolist() == [6, 4]
