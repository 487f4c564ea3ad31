"""Transport from random directions, against the exact one: unbiased, with a band that holds the truth."""

from __future__ import annotations

import numpy as np
import pytest

from gradscope.cells import GRU, LSTM
from gradscope.errors import ArgumentError
from gradscope.linearization import Jacobians, linearize
from gradscope.sampling import sampled_transport
from gradscope.trajectory import unroll
from gradscope.transport import transport

DRAWS = 300


def lstm(length: int = 30, batch: int = 4, dtype: type = np.float64):
    cell = LSTM(input_size=1, hidden_size=12, forget_bias=1.0)
    params = cell.init(np.random.default_rng(3), dtype=dtype)
    return linearize(unroll(cell, params, np.random.default_rng(4).standard_normal((length, batch, 1)).astype(dtype)))


@pytest.fixture(scope="module")
def draws():
    """Return the exact transport, and many independent estimates of it."""
    maps = lstm()
    rng = np.random.default_rng(5)
    return transport(maps).rms, [sampled_transport(maps, 16, rng) for _ in range(DRAWS)]


def test_the_square_is_unbiased(draws):
    exact, found = draws
    ratios = np.array([10 ** (2 * (one.rms - exact)) for one in found])
    error = ratios.std(axis=0, ddof=1) / np.sqrt(DRAWS)
    score = (ratios.mean(axis=0) - 1)[:-1] / error[:-1]
    assert np.abs(score).max() < 4.5
    assert abs(ratios.mean() - 1) < 0.01


def test_the_band_holds_the_exact_value_as_often_as_it_says(draws):
    exact, found = draws
    held = np.array([(one.low - 1e-9 <= exact) & (exact <= one.high + 1e-9) for one in found])
    assert 0.93 < held.mean() < 0.99
    assert held.mean(axis=(0, 2)).min() > 0.9


def test_the_band_holds_where_one_direction_is_left():
    rng = np.random.default_rng(0)
    column = rng.standard_normal((1, 200, 8, 1))
    maps = Jacobians(column @ np.swapaxes(column, 2, 3))
    exact = transport(maps).rms
    found = [sampled_transport(maps, 16, rng) for _ in range(20)]
    held = np.mean([(one.low[0] <= exact[0]) & (exact[0] <= one.high[0]) for one in found])
    assert 0.93 < held < 0.985


def test_more_directions_tell_more():
    maps = lstm()
    few, many = (sampled_transport(maps, number) for number in (4, 64))
    assert ((many.high - many.low)[:20] < 0.5 * (few.high - few.low)[:20]).all()
    assert many.directions == 64


def test_the_last_time_is_known():
    found = sampled_transport(lstm())
    assert np.abs([found.rms[-1], found.low[-1], found.high[-1]]).max() < 1e-5


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_it_goes_past_the_float_range(dtype, factor):
    matrices = np.broadcast_to(factor * np.eye(6), (2000, 2, 6, 6)).astype(dtype)
    found = sampled_transport(Jacobians(matrices))
    assert found.rms[0] == pytest.approx(np.full(2, 2000 * np.log10(factor)), rel=1e-6)
    assert (found.high - found.low).max() < 1e-4


def test_zeros_nan_and_an_unbroken_sequence_stay_apart():
    matrices = np.broadcast_to(np.eye(4), (5, 3, 4, 4)).copy()
    matrices[2, 0] = 0
    matrices[2, 1] = np.nan
    found = sampled_transport(Jacobians(matrices))
    for values in (found.rms, found.low, found.high):
        assert np.isneginf(values[:3, 0]).all()
        assert np.isnan(values[:3, 1]).all()
        assert np.isfinite(values[3:]).all()
        assert np.isfinite(values[:, 2]).all()


def test_the_same_directions_each_time_and_others_when_asked():
    maps = lstm()
    one, again, other = (
        sampled_transport(maps),
        sampled_transport(maps),
        sampled_transport(maps, rng=np.random.default_rng(9)),
    )
    assert (one.rms == again.rms).all()
    assert (one.rms[0] != other.rms[0]).all()


def test_a_cell_of_one_block():
    cell = GRU(input_size=1, hidden_size=9)
    maps = linearize(unroll(cell, cell.init(np.random.default_rng(0)), np.ones((12, 2, 1))))
    found, exact = sampled_transport(maps, 4000), transport(maps).rms
    assert found.rms == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("directions", [1, 0, 2.5, True, "16"])
def test_one_direction_is_too_few(directions):
    with pytest.raises(ArgumentError, match=r"at least 2.* 16 tell a norm to a fifth"):
        sampled_transport(np.ones((3, 1, 2, 2)), directions)
