"""Figures along the sequence, by their data."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from drawn_figures import names, notes, texts, trace
from hypothesis import given
from hypothesis import strategies as st
from sample_records import sample

import gradscope as gs
from gradscope import figures
from gradscope.errors import ArgumentError
from gradscope.figures import frame, palette, scales, series
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Record, Status


def test_transport_shows_the_median_of_the_record(records):
    record = records["lstm"]
    line = trace(figures.transport(record), "median")
    np.testing.assert_allclose(line.y, np.median(record["transport"], axis=1), rtol=1e-12)
    np.testing.assert_array_equal(line.x, np.arange(121))
    assert "time" in figures.transport(record).layout.xaxis.title.text


def test_jacobian_norm_is_drawn_on_a_log_axis_against_one(records):
    record = records["lstm"]
    figure = figures.jacobian_norm(record)
    np.testing.assert_allclose(trace(figure, "median").y, np.median(np.log10(record["jacobian_norm"]), axis=1))
    assert any(shape.y0 == shape.y1 == 0 for shape in figure.layout.shapes)
    assert "1" in figure.layout.yaxis.ticktext


def test_a_long_log_axis_reads_as_powers_of_ten_at_every_zoom(records):
    axis = figures.transport(records["underflow"]).layout.yaxis
    assert (axis.tickprefix, axis.ticksuffix) == ("10<sup>", "</sup>")
    assert axis.tickmode is None


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (-0.4, 0.4, ["0.5", "0.7", "1", "1.5", "2"]),
        (-1.5, 0.2, ["0.05", "0.1", "0.2", "0.5", "1"]),
        (
            -7.1,
            -4.6,
            ["10<sup>−7</sup>", "3×10<sup>−7</sup>", "10<sup>−6</sup>", "3×10<sup>−6</sup>", "10<sup>−5</sup>"],
        ),
    ],
)
def test_a_short_log_axis_reads_in_numbers(low, high, wanted):
    axis = scales.log_axis(low, high)
    assert axis["ticktext"] == wanted
    assert all(low <= place <= high for place in axis["tickvals"])


@given(st.floats(-5000, 5000))
def test_a_power_of_any_size_is_written_and_read_back(exponent):
    text = scales.power(exponent, 15)
    if "×" in text:
        mantissa, power = text.replace("−", "-").removesuffix("</sup>").split("×10<sup>")
        assert 1 <= float(mantissa) < 10
        assert math.log10(float(mantissa)) + int(power) == pytest.approx(exponent, abs=1e-9)
    else:
        assert math.log10(float(text)) == pytest.approx(exponent, abs=1e-9)


def test_numbers_are_written_with_what_is_not_finite():
    assert [scales.power(v) for v in (np.nan, np.inf, -np.inf)] == ["NaN", "inf", "exactly 0"]
    assert [scales.value(v) for v in (np.nan, np.inf, -np.inf, 0.0)] == ["NaN", "inf", "−inf", "0"]
    assert scales.value(-1e-9) == "−1×10<sup>−9</sup>"
    assert scales.value(0.1234567890123) == "0.123456789"
    assert scales.power(5.9999999999999) == "1000000"
    assert scales.power(-8 - 1e-14) == "1×10<sup>−8</sup>"


def test_underflow_is_drawn_dotted_with_its_value_and_named(records):
    figure = figures.transport(records["underflow"])
    below = trace(figure, "median, below the float range")
    assert below.line.dash == "1px,3px"
    assert np.nanmin(below.y) < -400
    assert "below the float range" in names(figure)
    assert "10<sup>−308</sup>: the float range ends" in texts(figure)
    assert "10<sup>−" in below.text[0]
    assert not any("float range" in name for name in names(figures.transport(records["lstm"])))


@pytest.mark.parametrize(
    ("curve", "side", "edge"),
    [
        (np.zeros(100), "right", "bottom"),  # on the line itself, in nobody's favour
        (np.linspace(0.0, -6.0, 100), "right", "bottom"),
        (np.linspace(-6.0, 0.1, 100), "left", "bottom"),
        (np.r_[np.full(50, 0.3), np.full(50, -0.3)], "right", "bottom"),
        (np.full(100, 0.3), "right", "top"),
    ],
)
def test_the_word_of_a_line_stands_where_the_fewest_curves_run(curve, side, edge):
    canvas = frame.Canvas(None, "light", False)
    canvas.layout["yaxis"] = {"range": [-8.0, 3.0]}
    canvas.add(type="scatter", x=np.arange(100.0), y=curve)
    canvas.name_rule(0.0, "a word")
    word = canvas.layout["annotations"][0]
    assert (word["xanchor"], word["yanchor"], word["y"]) == (side, edge, 0.0)


def test_the_float_range_ends_where_the_dtype_says():
    record = sample(length=60, rate=2.4)
    record.config["dtype"] = "float32"
    entry = record.field("transport")
    found = np.where(entry.values < -37.93, np.uint8(Status.UNDERFLOW), np.uint8(0))
    record.fields["transport"] = replace(entry, status=found)
    assert "10<sup>−38</sup>: the float range ends" in texts(figures.transport(record))


@pytest.mark.parametrize(
    ("case", "name", "word"),
    [
        ("zero", "transport", "exactly zero"),
        ("diverged", "transport", "NaN"),
        ("infinite", "jacobian_norm", "inf"),
        ("masked", "retention", "masked"),
    ],
)
def test_each_kind_of_missing_number_has_a_lane_and_a_key_only_when_it_occurs(records, case, name, word):
    figure = figures.figure(name, records[case])
    entry = records[case].field(name)
    lane = trace(figure, word, "heatmap")
    status = next(s for s, (text, _) in palette.STATUSES.items() if text == word)
    counts = (series.statuses(entry) == status).sum(1)
    np.testing.assert_array_equal(np.nan_to_num(np.array(lane.z[0])), counts)
    assert word in names(figure)
    assert "of 16 sequences" in trace(figure, word).text[0]  # under the pointer
    assert figure.layout.yaxis.domain[0] > figure.layout.yaxis2.domain[1]
    clean = figures.figure(name, records["lstm"])
    assert word not in names(clean)
    assert clean.layout.yaxis.domain[0] == 0


def test_a_title_stands_left_of_long_words_beside_the_lanes(records):
    plain, laned = figures.transport(records["lstm"]), figures.state_gradient(records["lstm"])
    assert "direct zero" in laned.layout.yaxis2.ticktext
    assert laned.layout.yaxis.title.standoff > 20 > plain.layout.template.layout.yaxis.title.standoff
    assert plain.layout.yaxis.title.standoff is None
    assert laned.layout.margin.l > plain.layout.margin.l


def test_a_lane_is_read_at_whole_places_however_long_it_is():
    x, counts = np.arange(1001.0), {Status.ZERO: np.ones(1001, int)}
    long = series.Series("total", x, x, x, x, np.zeros(1001, bool), counts, 4)
    canvas = frame.Canvas(None, "light", False)
    canvas.lanes(series.lanes([long]), "sequence")
    lane, reading = canvas.traces[0], canvas.traces[1]
    assert len(lane["x"]) - 1 == len(reading["x"]) < 1001
    assert np.isin(reading["x"], x).all()
    assert all(lane["x"][:-1] <= reading["x"])
    assert all(reading["x"] <= lane["x"][1:])


def test_the_first_bad_step_is_named_and_drawn(records):
    figure = figures.jacobian_norm(records["diverged"])
    assert notes(figure)[0] == "First bad step: t = 41 in sequence 7 (states, forward pass)."
    assert [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1] == [41]
    assert not notes(figures.jacobian_norm(records["lstm"]))
    assert "First bad step" in notes(figures.timescale(records["all_diverged"]))[0]


def test_nothing_finite_says_so_and_keeps_the_lane(records):
    for name in ("transport", "timescale", "lyapunov_spectrum"):
        figure = figures.figure(name, records["all_diverged"])
        assert "No finite value" in texts(figure)
        assert trace(figure, "NaN", "heatmap")


def test_state_gradient_shows_total_direct_and_cell_state(records):
    record = records["lstm"]
    figure = figures.state_gradient(record)
    assert names(figure)[:3] == ["total", "direct", "cell state"]
    direct = trace(figure, "direct")
    assert np.flatnonzero(np.isfinite(direct.y)).tolist() == [120]
    assert direct.mode == "lines+markers"  # a point without neighbours is a dot
    assert direct.marker.size[120] > 0
    assert trace(figure, "direct exactly zero", "heatmap")
    assert figure.layout.yaxis.title.text == "State gradient [1, log scale]"
    assert names(figures.state_gradient(records["gru"]))[:2] == ["total", "direct"]
    assert names(figures.state_gradient(record, blocks=True))[:2] == ["h", "c"]


def test_a_part_alone_is_stressed_and_the_others_step_back(records):
    for name, label in [("direct_gradient", "direct"), ("cell_gradient", "cell state"), ("flow_written", "written")]:
        figure = figures.figure(name, records["lstm"])
        strength = {t.name: t.opacity for t in figure.data if t.type == "scatter" and t.opacity is not None}
        assert strength.pop(label) == 1
        assert set(strength.values()) == {0.4}


def test_flow_shows_the_three_and_turns_to_a_log_axis_when_they_are_far_apart(records):
    record = records["lstm"]
    figure = figures.flow(record)
    assert names(figure)[:3] == ["retained", "written", "exposed"]
    np.testing.assert_allclose(trace(figure, "written").y, np.median(record["flow_written"], axis=1))
    assert figure.layout.meta["title"] == "Cell-state flow"
    entry = record.field("flow_retained")
    wide = Record(
        record.fields
        | {"flow_retained": replace(entry, values=10.0 ** np.linspace(-9, 9, 120)[:, None] * np.ones(16))},
        {},
        record.config,
    )
    line = trace(figures.flow(wide), "retained")
    np.testing.assert_allclose(line.y, np.linspace(-9, 9, 120))


def test_transport_blocks_are_told_apart_by_colour_and_dash(records):
    figure = figures.transport_blocks(records["lstm"])
    lines = [trace(figure, name) for name in ("h-h", "h-c", "c-h", "c-c")]
    assert len({line.line.color for line in lines}) == 4
    assert [line.line.dash for line in lines] == ["solid", "7px,4px", "7px,4px", "solid"]
    assert names(figures.transport_blocks(records["rnn"]))[0] == "h-h"


def lanes(figure) -> list[str]:
    return [one.name for one in figure.data if (one.meta or {}).get("role") == "count"]


def test_blocks_that_are_zero_at_the_last_time_alone_say_so_in_a_note_and_take_no_lane():
    cell = gs.LSTM(2, 5)
    rng = np.random.default_rng(0)
    record = gs.probe(cell, cell.init(rng), rng.standard_normal((7, 3, 2)), ["transport_blocks"])
    block = list(record.coords["transport_blocks"]["block"]).index("h-c")
    assert (record.status["transport_blocks"][block, -1] == Status.ZERO).all()
    figure = figures.transport_blocks(record)
    assert lanes(figure) == []
    assert notes(figure) == ["Exactly zero at the last time: h-c, c-h."]  # the pointer reads the time before
    line = trace(figure, "h-c")
    assert line.text[-1] == "exactly 0 \N{MIDDLE DOT} 5\N{EN DASH}95 %: exactly 0 \N{EN DASH} exactly 0"
    assert line.customdata[-1] == Status.ZERO
    gone = replace(record.field("transport_blocks"), values=record["transport_blocks"].copy())
    gone.values[block, 2] = -np.inf
    gone.status[block, 2] = Status.ZERO
    shut = Record({"transport_blocks": gone}, record.summary, record.config)
    assert lanes(figures.transport_blocks(shut)) == ["h-c exactly zero"]
    assert notes(figures.transport_blocks(shut)) == ["Exactly zero at the last time: c-h."]


def test_a_legend_fills_row_after_row():
    assert len(frame._filled([100, 100, 100], 300)) == 1
    assert len(frame._filled([100, 100, 101], 300)) == 2
    assert frame._filled([400, 20, 20], 300) == [400, 40]


@given(st.floats(-400, 400), st.integers(1, 12))
def test_a_power_of_ten_is_written_as_it_is_read(log10, digits):
    text = scales.power(log10, digits)
    mantissa, _, exponent = text.replace("\N{MINUS SIGN}", "-").replace("</sup>", "").partition("×10<sup>")
    assert math.isclose(math.log10(float(mantissa)) + float(exponent or 0), log10, abs_tol=0.6 * 10.0 ** (1 - digits))
    assert not exponent or 1 <= float(mantissa) < 10


def test_a_gate_that_does_not_apply_is_left_out_of_the_slopes(records):
    entry = records["lstm"].field("slope_saturation")
    found = np.zeros(entry.values.shape, np.uint8)
    found[2] = Status.NOT_APPLICABLE
    values = np.where(found > 0, np.nan, entry.values)
    figure = figures.slope_saturation(Record({"slope_saturation": replace(entry, values=values, status=found)}))
    assert names(figure) == ["input", "forget", "output"]


@pytest.mark.parametrize("case", ["single_step", "single_sequence"])
def test_one_step_one_sequence_one_unit_are_drawn(records, case):
    record = records[case]
    for name in CATALOGUE:
        figure = figures.figure(name, record)
        drawn = [t for t in figure.data if t.type == "heatmap" or (t.x is not None and t.x[0] is not None)]
        assert drawn or texts(figure)
    low, high = figures.jacobian_norm(records["single_step"]).layout.xaxis.range
    assert low < 0 < high


def test_jacobian_blocks_are_drawn_on_a_log_axis_against_one(records):
    record = records["lstm"]
    figure = figures.jacobian_blocks(record)
    for number, name in enumerate(("h-h", "h-c", "c-h", "c-c")):
        wanted = np.median(np.log10(record["jacobian_blocks"][number]), axis=1)
        np.testing.assert_allclose(trace(figure, name).y, wanted, rtol=1e-12)
    assert any(shape.y0 == shape.y1 == 0 for shape in figure.layout.shapes)
    assert figure.layout.yaxis.title.text == "Jacobian by block [1, log scale]"


def test_weight_gradient_shows_one_parameter_gate_by_gate(records):
    record = records["lstm"]
    entry = record.field("weight_gradient")
    for parameter, shown in ((None, "W_h"), ("W_x", "W_x"), ("b", "b")):
        figure = figures.weight_gradient(record, parameter=parameter)
        row = entry.coord("parameter").index(shown)
        for k, gate in enumerate(entry.coord("gate")):
            np.testing.assert_array_equal(trace(figure, gate).y, entry.values[row, k])
            assert trace(figure, gate).line.color == palette.colour(gate)
        assert figure.layout.yaxis.title.text == f"Step's share of dL/d{shown} [1, log scale]"
    with pytest.raises(ArgumentError, match="Did you mean 'W_h'"):
        figures.weight_gradient(record, parameter="Wh")


def test_what_is_alike_in_every_series_has_one_lane(records):
    figure = figures.weight_gradient(records["masked"])
    lane = trace(figure, "masked", "heatmap")
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(lane.z[0])), np.arange(110, 120))
    assert figure.layout.yaxis2.ticktext == ("masked",)


def test_a_coarse_grid_is_stated_and_dotted(records):
    record = records["lstm"]
    figure = figures.nonnormality(record)
    assert notes(figure) == ["Measured where the dots are: at 16 of 120 steps."]
    line = trace(figure, "median")
    assert line.mode == "lines+markers"
    assert min(line.marker.size) > 0
    np.testing.assert_allclose(line.y, np.log10(record["nonnormality"]))
    np.testing.assert_array_equal(line.x, record.coords["nonnormality"]["step"])
    assert "inf" in names(figures.nonnormality(records["infinite"]))
    assert notes(figures.routes(record))[0] == "Measured at 65 of 121 lags."
    assert not notes(figures.transport(record))
