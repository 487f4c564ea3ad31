"""Verdict: the definitions of decay rate, interval, horizon and verdict, each once more by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradscope.maps import Lags
from gradscope.verdict import FACTOR, Decay, decay, horizon, verdict

LN10 = np.log(10.0)


def falling(rates, length=100, noise=0.0, seed=0):
    """Return log10 transport (T+1, B) that falls by ``rates`` nat per lag."""
    lags = np.arange(length, -1, -1)[:, None]
    logs = -np.atleast_1d(rates) * lags / LN10
    return logs + noise * np.random.default_rng(seed).standard_normal(logs.shape) * (lags > 0)


def student(samples):
    low, high = stats.t.interval(0.95, len(samples) - 1, np.mean(samples), stats.sem(samples))
    return float(low), float(high)


@given(
    st.lists(st.floats(-2, 2), min_size=1, max_size=6),
    st.integers(1, 150),
)
def test_the_rate_is_the_mean_slope_after_the_first_lags(rates, length):
    rms = falling(rates, length, noise=0.3)
    by_lag, first = rms[::-1] * LN10, min(20, length // 5)
    wanted = [(by_lag[first, b] - by_lag[length, b]) / (length - first) for b in range(len(rates))]
    found = decay(rms)
    assert found.rate == pytest.approx(np.mean(wanted), abs=1e-12)
    assert (found.lag, found.zero_share, found.bad_share) == (length, 0.0, 0.0)
    assert found.growth == pytest.approx(-np.mean(wanted) * length, abs=1e-9)


def test_what_neither_falls_nor_grows_has_a_growth_of_zero_without_a_sign():
    assert math.copysign(1.0, decay(np.zeros((41, 2))).growth) == 1.0


def test_the_first_lags_do_not_count():
    rms = falling(0.1, 100)
    rms[-20:] = 77.0  # lags 0 to 19
    assert decay(rms).rate == pytest.approx(0.1)
    rms[-21] += 1.0
    assert decay(rms).rate != pytest.approx(0.1, abs=1e-3)


def test_five_distinct_rates_give_students_interval_over_sequences():
    rates = np.array([0.1, 0.12, 0.15, 0.09, 0.11])
    found = decay(falling(rates))
    assert found.interval == pytest.approx(student(rates))
    assert found.interval[0] < found.rate < found.interval[1]


def test_fewer_distinct_rates_give_it_over_eight_blocks_of_lags():
    rms = falling([0.1, 0.1, 0.1, 0.1, 0.1, 0.3, 0.2], 100, noise=0.0)
    rms[:, :] += np.cumsum(np.random.default_rng(0).normal(0, 0.05, (101, 1)), axis=0)[::-1]
    found = decay(rms)
    by_lag = rms[::-1].mean(axis=1) * LN10
    edges = [20, 30, 40, 50, 60, 70, 80, 90, 100]
    blocks = [(by_lag[a] - by_lag[b]) / (b - a) for a, b in pairwise(edges)]
    assert found.interval == pytest.approx(student(blocks), abs=1e-12)


@pytest.mark.parametrize(("length", "known"), [(1, False), (38, False), (39, True), (52, True)])
def test_with_few_sequences_and_lags_there_is_no_interval(length, known):
    """L - l0 >= 32 is needed: l0 = 7 at L = 39."""
    assert (decay(falling([0.1, 0.2], length, noise=0.1)).interval is not None) == known


def test_equal_up_to_rounding_is_not_distinct():
    rates = 0.1 * (1 + 1e-15 * np.arange(8))
    assert decay(falling(rates, 20)).interval is None


def test_sequences_that_are_exactly_zero_are_left_out_and_counted():
    rms = falling([0.1, 0.2, 0.3, 0.4], 50)
    rms[:10, 3] = -np.inf
    found = decay(rms)
    assert found.rate == pytest.approx(0.2)
    assert (found.zero_share, found.bad_share) == (0.25, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sequences_with_nan_or_inf_are_left_out_and_counted_apart(bad):
    rms = falling([0.1, 0.2, 0.3, 0.4], 50)
    rms[:10, 0] = bad
    rms[:3, 1] = -np.inf
    found = decay(rms)
    assert found.rate == pytest.approx(0.35)
    assert (found.zero_share, found.bad_share) == (0.25, 0.25)


def test_nothing_but_zero_falls_infinitely_fast():
    found = decay(np.full((11, 3), -np.inf))
    assert (found.rate, found.interval, found.zero_share) == (np.inf, None, 1.0)
    assert found.half_life == 0.0
    assert verdict(found).name == "vanishing"
    assert verdict(found).text == "vanishing: exactly zero over 10 steps in 100% of the sequences"


def test_nothing_but_nan_has_no_rate():
    found = decay(np.full((11, 3), np.nan))
    assert math.isnan(found.rate)
    assert math.isnan(found.half_life)
    assert (found.interval, found.bad_share) == (None, 1.0)
    assert (verdict(found).name, verdict(found).text) == (
        "undetermined",
        "undetermined: no sequence has a finite transport",
    )


@pytest.mark.parametrize(("rate", "half_life"), [(0.1, np.log(2) / 0.1), (0.0, np.inf), (-0.3, np.inf), (np.inf, 0.0)])
def test_half_life_is_ln_2_over_the_rate(rate, half_life):
    assert Decay(rate, None, 100.0, 0.0, 0.0).half_life == pytest.approx(half_life)


EDGE = np.log(FACTOR) / 100  # rate at which e^100r is 100


@pytest.mark.parametrize(
    ("low", "high", "name"),
    [
        (EDGE * 1.01, EDGE * 3, "vanishing"),
        (EDGE * 0.99, EDGE * 3, "undetermined"),
        (-EDGE * 0.99, EDGE * 0.99, "stable"),
        (-EDGE * 1.01, EDGE * 0.99, "undetermined"),
        (-EDGE * 0.99, EDGE * 1.01, "undetermined"),
        (-EDGE * 2, EDGE * 2, "undetermined"),
        (-EDGE * 3, -EDGE * 1.01, "exploding"),
        (-EDGE * 3, -EDGE * 0.99, "undetermined"),
    ],
)
def test_the_interval_decides(low, high, name):
    found = verdict(Decay((low + high) / 2, (low, high), 100.0, 0.0, 0.0))
    assert found.name == name
    assert "point estimate" not in found.text


@pytest.mark.parametrize(
    ("rate", "lag", "text"),
    [
        (0.195, 200.0, "vanishing: e^-39 over 200 steps (point estimate)"),
        (-0.2, 50.0, "exploding: e^+10 over 50 steps (point estimate)"),
        (-0.1, 50.0, "exploding: e^+5.0 over 50 steps (point estimate)"),
        (0.001, 100.0, "stable: e^-0.1 over 100 steps (point estimate)"),
        (-0.003, 1.0, "stable: e^+0.0 over 1 step (point estimate)"),
        (0.0, 7.0, "stable: e^+0.0 over 7 steps (point estimate)"),
        (1e-9, 7.0, "stable: e^+0.0 over 7 steps (point estimate)"),
    ],
)
def test_the_point_estimate_decides_without_one_and_says_so(rate, lag, text):
    found = verdict(Decay(rate, None, lag, 0.0, 0.0))
    assert found.text == text
    assert text.startswith(found.name)


def test_more_than_half_exactly_zero_is_vanishing():
    fall = Decay(0.0, (0.0, 0.0), 30.0, 0.6, 0.0)
    assert (verdict(fall).name, verdict(fall).text) == (
        "vanishing",
        "vanishing: exactly zero over 30 steps in 60% of the sequences",
    )
    assert verdict(Decay(0.0, (0.0, 0.0), 30.0, 0.5, 0.0)).name == "stable"


def test_bad_states_are_a_divergence_and_a_bad_gradient_is_not():
    fall = Decay(np.nan, None, 30.0, 0.0, 1.0)
    forward = {"pass": "forward", "iteration": None, "t": 41, "sequence": 7, "array": "states"}
    assert verdict(fall, forward).name == "diverged"
    assert verdict(fall, forward).text == "diverged: states became NaN or inf at t=41 in sequence 7"
    assert verdict(fall, {**forward, "pass": "backward"}).name == "undetermined"


def test_horizon_is_the_median_of_the_largest_lag_that_is_heard():
    """One sequence is heard again further back: the largest lag counts, not the first silence."""
    rms = np.zeros((11, 3))
    heard = np.zeros((11, 3), bool)
    heard[8:, 0], heard[6:, 1], heard[[3, 10], 2] = True, True, True
    assert horizon(rms, heard) == (4.0, 0.0)


def test_a_sequence_heard_back_to_its_start_is_censored():
    rms, heard = np.zeros((11, 4)), np.zeros((11, 4), bool)
    heard[-1], heard[0, :3] = True, True
    assert horizon(rms, heard) == (10.0, 0.75)


def test_bad_sequences_have_no_horizon_and_zero_ones_do():
    rms, heard = np.zeros((6, 3)), np.ones((6, 3), bool)
    rms[0, 0], rms[2, 1], rms[:4, 2] = np.nan, np.inf, -np.inf
    heard[:4, 2] = False
    assert horizon(rms, heard) == (1.0, 0.0)
    nothing = horizon(np.full((6, 2), np.nan), heard[:, :2])
    assert np.isnan(nothing).all()


# ---- padding and resets ---------------------------------------------------------------------------------------------


def test_a_padded_sequence_falls_over_the_steps_that_count():
    """Six sequences of 100 steps, three padded to it: their rates and their horizons are those of themselves alone."""
    rates = [0.1, 0.11, 0.12, 0.13, 0.14, 0.15]
    valid = np.ones((100, 6), bool)
    valid[60:, 0], valid[:30, 1], valid[20:50, 2] = False, False, False
    lags = Lags.of(100, 6, valid)
    rms = -lags.lag * np.array(rates) / np.log(10.0)
    found, whole = decay(rms, lags), decay(falling(rates))
    assert found.rate == pytest.approx(np.mean(rates), rel=1e-12)
    np.testing.assert_allclose(found.interval, whole.interval, rtol=1e-9)
    assert found.lag == np.median([60, 70, 70, 100, 100, 100])
    assert (found.zero_share, found.bad_share) == (0.0, 0.0)
    heard = rms >= -2
    reach = [
        min(int(np.log(100) / rate), length) for rate, length in zip(rates, [60, 70, 70, 100, 100, 100], strict=True)
    ]
    assert horizon(rms, heard, lags) == (np.median(reach), 0.0)


def test_what_lies_before_a_reset_is_not_counted():
    reset = np.zeros((50, 2), bool)
    reset[29, 0] = True
    lags = Lags.of(50, 2, None, reset)
    rms = falling([0.2, 0.2], 50)
    rms[:30, 0] = -np.inf
    found = decay(rms, lags)
    assert found.rate == pytest.approx(0.2)
    assert (found.zero_share, found.lag) == (0.0, 35.0)
    assert horizon(rms, rms >= -2, lags) == (np.median([20, 23]), 0.5)


def test_a_sequence_of_padding_alone_is_left_out_and_counted():
    valid = np.ones((40, 2), bool)
    valid[:, 0] = False
    rms = falling([0.0, 0.05], 40)
    found = decay(rms, Lags.of(40, 2, valid))
    assert found.rate == pytest.approx(0.05)
    assert found.bad_share == 0.5
    assert found.lag == 40.0
    assert verdict(found).text == verdict(decay(rms[:, 1:])).text
    assert horizon(rms, rms >= -2, Lags.of(40, 2, valid)) == (40.0, 1.0)
    nothing = decay(rms, Lags.of(40, 2, np.zeros((40, 2), bool)))
    assert np.isnan(nothing.rate)
    assert nothing.bad_share == 1.0
    assert nothing.lag == 0.0


def test_without_enough_rates_the_lags_of_each_sequence_are_cut_into_eight():
    rng = np.random.default_rng(0)
    valid = np.ones((90, 2), bool)
    valid[50:, 1] = False
    lags = Lags.of(90, 2, valid)
    steps = np.concatenate([np.zeros((1, 2)), np.cumsum(rng.normal(0.1, 0.05, (90, 2)), axis=0)])
    rms = -np.take_along_axis(steps, lags.lag, axis=0) / np.log(10.0)
    found = decay(rms, lags)
    falls = []
    for b, last in enumerate((90, 50)):
        first = min(20, last // 5)
        edges = first + np.linspace(0, last - first, 9).round().astype(int)
        falls.append(np.diff(steps[edges, b]) / np.diff(edges))
    mean = np.mean(falls, axis=0)
    half = stats.t.ppf(0.975, 7) * mean.std(ddof=1) / np.sqrt(8)
    np.testing.assert_allclose(found.interval, (mean.mean() - half, mean.mean() + half), rtol=1e-9)
