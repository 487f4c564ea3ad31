"""Figures: medians, bands and counts over the batch, and what is left out of a curve."""

from __future__ import annotations

import numpy as np
from drawn_figures import field, notes, trace
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradscope import figures
from gradscope.figures import series
from gradscope.record import Record, Status


@given(
    hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.floats(-400, 400)),
    st.data(),
)
def test_medians_and_bands_agree_with_numpy_over_what_is_usable(values, data):
    found = data.draw(hnp.arrays(np.uint8, values.shape, elements=st.sampled_from([0, 2, 3, 4, 5, 6, 7])))
    held = np.where(found > 2, np.nan, values)
    one = series.along(field(held, found), "it")
    for row, state in enumerate(found):
        usable = values[row][state <= 2]
        got = [one.low[row], one.median[row], one.high[row]]
        wanted = np.quantile(usable, [0.05, 0.5, 0.95]) if usable.size else [np.nan] * 3
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
        for status, counts in one.counts.items():
            assert counts[row] == (state == status).sum()


def test_zeros_take_part_in_the_median_and_stay_minus_infinity():
    few = np.array([[-np.inf, -1.0, -2.0, -3.0]])
    many = np.array([[-np.inf, -np.inf, -np.inf, -3.0]])
    assert series.along(field(few), "it").median == [-2.5]
    assert series.along(field(many), "it").median == [-np.inf]
    assert series.along(field(few), "it").low == [-np.inf]
    assert series.along(field(few), "it").counts[Status.ZERO] == [1]


def test_a_linear_array_on_a_log_axis_keeps_its_zeros_apart():
    one = series.along(field(np.array([[0.0], [10.0]]), unit="1"), "it", log=True)
    assert one.median.tolist() == [-np.inf, 1.0]
    assert one.counts[Status.ZERO].tolist() == [1, 0]
    assert not series.along(field(np.array([[0.0], [10.0]]), unit="1"), "it").counts


def test_nan_and_inf_that_nobody_marked_are_marked():
    one = series.along(field(np.array([[np.nan, 1.0], [np.inf, 1.0]])), "it")
    assert one.counts[Status.NAN].tolist() == [1, 0]
    assert one.counts[Status.INF].tolist() == [0, 1]
    assert one.median.tolist() == [1.0, 1.0]


@given(st.integers(1, 5000), st.integers(0, 2**32 - 1), st.floats(0, 0.9))
def test_thinning_keeps_ends_peaks_and_gaps(size, seed, share):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(size)
    y[rng.random(size) < share] = np.nan
    places = series.thin(y)
    assert len(places) <= series.LIMIT
    assert places[0] == 0
    assert places[-1] == size - 1
    assert (np.diff(places) > 0).all()
    if np.isfinite(y).any():
        assert np.nanmin(y[places]) == np.nanmin(y)
        assert np.nanmax(y[places]) == np.nanmax(y)
    if size <= series.LIMIT:
        np.testing.assert_array_equal(places, np.arange(size))


def test_one_peak_among_ten_thousand_points_is_drawn():
    values = np.zeros((10_000, 1))
    values[4321] = 7.0
    record = Record({"transport": field(values)}, {}, {"dtype": "float64"})
    figure = figures.transport(record)
    line = trace(figure, "median")
    assert len(line.x) <= series.LIMIT
    assert line.x[np.argmax(line.y)] == 4321
    entry = figure.layout.meta["decimated"]["median"]
    assert (entry["from"], entry["to"]) == (10_000, len(line.x))
    assert "10,000 points" in notes(figure)[0]


def test_one_nan_among_ten_thousand_steps_is_drawn():
    values = np.zeros((10_000, 3))
    values[4321, 1] = np.nan
    figure = figures.transport(Record({"transport": field(values)}))
    lane = trace(figure, "NaN", "heatmap")
    held = np.flatnonzero(np.isfinite(lane.z[0]))
    assert len(held) == 1
    assert lane.x[held[0]] <= 4321 <= lane.x[held[0] + 1]
    assert lane.z[0][held[0]] == 1


def test_the_band_encloses_the_quantiles_and_leaves_gaps_open():
    values = np.random.default_rng(0).standard_normal((50, 9))
    values[20:25] = np.nan
    figure = figures.transport(Record({"transport": field(values)}))
    band = trace(figure, "median, 5–95 %")
    x, y = np.array(band.x), np.array(band.y)
    for t in (0, 7, 49):
        np.testing.assert_allclose([y[x == t].min(), y[x == t].max()], np.quantile(values[t], [0.05, 0.95]), rtol=1e-12)
    assert not ((x >= 20) & (x < 25)).any()
    assert np.isnan(x).sum() == 1


def test_one_sequence_has_no_band(records):
    figure = figures.transport(records["single_sequence"])
    assert [t.name for t in figure.data] == ["median"]
