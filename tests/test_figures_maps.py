"""Heat maps over time: what each cell shows, what has no value, and what is left out of a long one."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from drawn_figures import names, notes, texts, trace
from hypothesis import given
from hypothesis import strategies as st
from sample_records import sample

from gradscope import figures
from gradscope.errors import ArgumentError
from gradscope.figures import maps, palette
from gradscope.record import Field, Record, Status


def cells(figure, word: str) -> np.ndarray:
    """Return which cells of a heat map have a mark."""
    return np.isfinite(np.array(trace(figure, word, "heatmap").z, float))


def test_unit_gradient_shows_every_unit_at_every_time(records):
    record = records["lstm"]
    heat = trace(figures.unit_gradient(record, order="unit"), "value", "heatmap")
    np.testing.assert_allclose(heat.z, record["unit_gradient"].T, rtol=1e-6)
    assert heat.z.dtype == float
    assert [int(label) for label in heat.y] == list(range(32))
    figure = figures.unit_gradient(record)
    rows = [int(label) for label in trace(figure, "value", "heatmap").y]
    assert (np.diff(record["unit_gradient"].T[rows].mean(1)) >= 0).all()
    assert figure.layout.yaxis.title.text == "unit, sorted by mean"
    assert trace(figure, "value", "heatmap").colorbar.title.text == "|dL/ds| [1, log scale]"


def test_unit_gradient_shows_one_block_on_request(records):
    record = records["lstm"]
    heat = trace(figures.unit_gradient(record, block="c", order="unit"), "value", "heatmap")
    np.testing.assert_allclose(heat.z, record["unit_gradient.blocks"][1].T, rtol=1e-6)
    with pytest.raises(ArgumentError, match="`block` must be one of h, c"):
        figures.unit_gradient(record, block="x")
    with pytest.raises(ArgumentError, match="Did you mean 'mean'"):
        figures.unit_gradient(record, order="means")


@pytest.mark.parametrize(
    ("case", "word", "status"),
    [
        ("masked", "masked", Status.MASKED),
        ("diverged", "NaN", Status.NAN),
        ("infinite", "inf", Status.INF),
        ("zero", "exactly zero", Status.ZERO),
        ("underflow", "below the float range", Status.UNDERFLOW),
    ],
)
@pytest.mark.parametrize("name", ["unit_gradient", "transport_map"])
def test_every_status_has_cells_of_its_own_and_a_key(records, case, word, status, name):
    record = records[case]
    figure = figures.unit_gradient(record, order="unit") if name == "unit_gradient" else figures.transport_map(record)
    np.testing.assert_array_equal(cells(figure, word), status == record.status[name].T)
    assert word in names(figure)
    shown = np.isfinite(trace(figure, "value", "heatmap").z)
    np.testing.assert_array_equal(shown[cells(figure, word)], status == Status.UNDERFLOW)
    assert word not in names(figures.figure(name, records["lstm"]))


def test_few_inputs_are_curves_and_many_a_heat_map(records):
    record = records["lstm"]
    figure = figures.input_gradient(record)
    for number in range(2):
        np.testing.assert_array_equal(trace(figure, f"input {number}").y, record["input_gradient"][:, number])
    assert len({trace(figure, f"input {number}").line.color for number in range(2)}) == 2
    many = Field("input_gradient", np.random.default_rng(0).standard_normal((30, 8)), ("step", "input"), "log10")
    heat = trace(figures.input_gradient(Record({"input_gradient": many})), "value", "heatmap")
    np.testing.assert_allclose(heat.z, many.values.T, rtol=1e-6)
    assert "masked" in names(figures.input_gradient(records["masked"]))


def test_write_survival_shows_the_median_over_the_sequences(records):
    record = records["lstm"]
    heat = trace(figures.write_survival(record), "value", "heatmap")
    rows = [int(label) for label in heat.y]
    np.testing.assert_allclose(heat.z, np.median(record["write_survival"], axis=2).T[rows], rtol=1e-5)
    np.testing.assert_array_equal(heat.x, np.arange(121))


def test_write_survival_of_one_sequence_shows_its_signs(records):
    record = records["lstm"]
    figure = figures.write_survival(record, sequence=3)
    up, down = trace(figure, "positive", "heatmap"), trace(figure, "negative", "heatmap")
    rows = [int(label) for label in up.y]
    signs, sizes = (record[name][..., 3].T[rows] for name in ("write_survival.sign", "write_survival"))
    np.testing.assert_array_equal(np.isfinite(up.z), signs == 1)
    np.testing.assert_array_equal(np.isfinite(down.z), signs == -1)
    both = np.where(np.isfinite(up.z), up.z, down.z)
    np.testing.assert_allclose(both, sizes, rtol=1e-5)
    assert (up.zmin, up.zmax) == (down.zmin, down.zmax)
    assert up.colorscale[1][1] == palette.BLUE
    assert all(text.startswith("−") for text in down.colorbar.ticktext or [down.colorbar.tickprefix])
    with pytest.raises(ArgumentError, match="Leave it out for the median"):
        figures.write_survival(record, sequence=16)


def test_sequences_that_are_masked_among_others_stand_in_a_lane(records):
    record = records["masked"]
    figure = figures.write_survival(record)
    lane = next(t for t in figure.data if t.name == "masked" and t.yaxis == "y2" and t.type == "heatmap")
    wanted = (record.status["write_survival"] == Status.MASKED).sum(2).max(1)
    np.testing.assert_array_equal(np.nan_to_num(np.array(lane.z[0])), wanted)
    assert "masked" in names(figure)


def test_the_median_over_the_batch_leaves_out_what_is_bad():
    values = np.array([[[1.0, 2.0, 9.0, np.nan], [-np.inf, -np.inf, -np.inf, 3.0], [np.nan, np.nan, np.nan, np.nan]]])
    found = np.zeros(values.shape, np.uint8)
    found[0, 0, 3], found[0, 2] = Status.MASKED, [Status.MASKED, Status.MASKED, Status.MASKED, Status.NAN]
    one = maps.over_batch(Field("w", values, ("time", "unit", "batch"), "log10", {}, found))
    np.testing.assert_array_equal(one.values, [[2.0, -np.inf, np.nan]])
    np.testing.assert_array_equal(one.status, [[Status.OK, Status.ZERO, Status.NAN]])


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_median_over_the_batch_agrees_with_numpy(batch, units, seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((3, units, batch))
    found = np.where(rng.random(values.shape) < 0.3, np.uint8(Status.MASKED), np.uint8(0))
    one = maps.over_batch(Field("w", np.where(found, np.nan, values), ("time", "unit", "batch"), "log10", {}, found))
    for row, state, got in zip(values.reshape(-1, batch), found.reshape(-1, batch), one.values.ravel(), strict=True):
        usable = row[state == 0]
        np.testing.assert_allclose(got, np.median(usable) if usable.size else np.nan, rtol=1e-12)


def test_the_picture_of_every_time_leaves_the_corner_beyond_the_end_blank(records):
    record = records["lstm"]
    figure = figures.transport_map(record)
    heat = trace(figure, "value", "heatmap")
    lags, times = (np.asarray(record.coords["transport_map"][axis]) for axis in ("lag", "time"))
    np.testing.assert_array_equal(np.isnan(heat.z), lags[:, None] + times > 120)
    np.testing.assert_array_equal(heat.x, times)
    np.testing.assert_array_equal(heat.y, lags)
    assert notes(figure) == ["A coarse grid: 33 of 121 times and 33 of 121 lags."]
    assert "beyond the last state" in texts(figure)
    assert "not applicable" not in names(figure)
    assert figure.layout.yaxis.title.text == "lag l [step]"


@given(st.integers(1, 4000), st.integers(0, 2**32 - 1))
def test_a_long_map_keeps_the_largest_of_each_block(size, seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((2, size))
    marks = rng.choice([0, 0, 0, Status.MASKED, Status.NAN], size=values.shape).astype(np.uint8)
    values[marks > 2] = np.nan
    keep, status, block = maps.squeeze(values, marks)
    assert keep.shape[1] <= maps.COLUMNS
    for row in range(2):
        for column in range(keep.shape[1]):
            here = slice(column * block, min((column + 1) * block, size))
            if (marks[row, here] == Status.NAN).any():
                assert status[row, column] == Status.NAN
            elif (marks[row, here] == 0).any():
                assert values[row, keep[row, column]] == np.nanmax(values[row, here])
                assert status[row, column] == 0
            else:
                assert status[row, column] == Status.MASKED


def test_a_map_of_256_units_over_2000_steps_is_drawn_whole():
    values = np.random.default_rng(0).standard_normal((2001, 256))
    record = Record({"unit_gradient": Field("unit_gradient", values, ("time", "unit"), "log10")})
    figure = figures.unit_gradient(record, order="unit")
    np.testing.assert_array_equal(trace(figure, "value", "heatmap").z, values.T)
    assert notes(figure) == []


def test_a_long_map_says_what_it_shows_and_stays_quick():
    values = np.random.default_rng(0).standard_normal((4001, 256))
    values[1234, 7] = 9.0
    record = Record({"unit_gradient": Field("unit_gradient", values, ("time", "unit"), "log10")})
    start = time.process_time()
    np.sort(np.random.default_rng(0).standard_normal((2001, 256, 8)), axis=2)
    unit = time.process_time() - start
    start = time.process_time()
    figure = figures.unit_gradient(record, order="unit")
    assert time.process_time() - start < 20 * unit
    heat = trace(figure, "value", "heatmap")
    assert heat.z.shape[1] <= maps.COLUMNS
    assert heat.z[7].max() == 9.0
    assert notes(figure) == ["Each column shows the largest of 2 times."]
    assert figure.layout.meta["decimated"]["heat map"] == {
        "from": 4001,
        "to": heat.z.shape[1],
        "method": "largest of 2 times",
    }


def test_the_sign_of_a_long_map_is_that_of_the_write_that_is_shown():
    record = sample("LSTM", length=2500, batch=2, hidden=4)
    entry = record.field("write_survival")
    sizes, signs = entry.values[..., 0].T, record["write_survival.sign"][..., 0].T
    figure = figures.write_survival(record, sequence=0)
    up, down = (np.array(trace(figure, word, "heatmap").z) for word in ("positive", "negative"))
    rows = [int(label) for label in trace(figure, "positive", "heatmap").y]
    for row, unit in enumerate(rows):
        for column in range(0, up.shape[1], 97):
            here = slice(2 * column, 2 * column + 2)
            peak = sizes[unit, here].argmax()
            shown = (up if signs[unit, here][peak] > 0 else down)[row, column]
            np.testing.assert_allclose(shown, sizes[unit, here][peak], rtol=1e-5)


def test_nothing_finite_says_so(records):
    for name in ("unit_gradient", "write_survival", "transport_map"):
        figure = figures.figure(name, records["all_diverged"])
        assert "No finite value." in texts(figure)
        assert "NaN" in names(figure)


def test_a_record_without_signs_asks_for_them(records):
    entry = replace(records["lstm"].field("write_survival"))
    with pytest.raises(ArgumentError, match="Ask for it with `probes="):
        figures.write_survival(Record({"write_survival": entry}), sequence=0)
