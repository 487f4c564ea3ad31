"""Figures: what they show, by their data; what they set apart; and that a real browser draws them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from plotly.offline import get_plotlyjs
from sample_records import CASES, sample

import gradscope as gs
from gradscope import figures
from gradscope.errors import ArgumentError
from gradscope.figures import gates, palette, scales, series, sweeps, templates, units
from gradscope.figures.frame import FOOTNOTE
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Field, Record, Status

LANE_STATUSES = {Status.ZERO, Status.NAN, Status.INF, Status.MASKED}


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    """Every made-up record."""
    return {name: case() for name, case in CASES.items()}


def names(figure: go.Figure) -> list[str]:
    """Return what the legend says."""
    shown = [t for t in figure.data if t.showlegend is not False and t.type in ("scatter", "bar")]
    return [trace.name for trace in shown]


def notes(figure: go.Figure) -> list[str]:
    lines = [entry.text for entry in figure.layout.annotations if entry.name == "note"]
    said = list(figure.layout.meta["notes"])
    assert " ".join(lines) == " ".join(said)  # nothing is lost where a note is broken into lines
    assert all(len(line) <= FOOTNOTE for line in lines)
    return said


def texts(figure: go.Figure) -> str:
    return " ".join(entry.text for entry in figure.layout.annotations).replace("<br>", " ")


def trace(figure: go.Figure, name: str, kind: str = "scatter"):
    """Return the one trace of that name that holds data."""
    found = [t for t in figure.data if t.name == name and t.type == kind and not (kind == "scatter" and t.x[0] is None)]
    assert len(found) == 1, [t.name for t in figure.data]
    return found[0]


# Every probe, every case ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("template", ["light", "dark"])
def test_every_figure_of_every_case_holds_what_all_figures_promise(records, case, template):
    record = records[case]
    for name, probe in CATALOGUE.items():
        figure = figures.figure(name, record, template=template)
        json.loads(figure.to_json())
        assert figure.layout.meta["title"]
        assert figure.layout.meta["unit"] == probe.unit
        assert figure.layout.meta["source"] == probe.source
        assert probe.caption in figure.layout.meta["caption"]
        assert figure.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.title.text is None
        assert {t.type for t in figure.data} <= {"scatter", "heatmap"}  # never scattergl
        assert all(len(t.x) <= 1000 for t in figure.data if t.x is not None)
        assert all(np.shape(t.z)[1] <= 1000 for t in figure.data if t.type == "heatmap")
        if figure.data and name != "gate_activation":
            assert f"[{probe.unit}]" in figure.layout.yaxis.title.text
            assert figure.layout.xaxis.title.text
        if record.summary["first_bad_step"] and figure.data:
            assert any("First bad step: t = " in note for note in notes(figure))


@pytest.mark.parametrize("case", CASES)
def test_lanes_hold_every_element_that_the_curves_cannot_show(records, case):
    record = records[case]
    for name in ("transport", "state_gradient", "jacobian_norm", "jacobian_rms"):
        entry = record.field(name)
        rows = series.lanes([series.along(entry, name, log=True)])
        found = series.statuses(entry)
        present = {Status(s) for s in np.unique(found)} & LANE_STATUSES
        assert {row.status for row in rows} == present
        for row in rows:
            wanted = (found == row.status).sum(1)
            assert row.counts.max() == wanted.max()
            if not row.decimated:
                np.testing.assert_array_equal(row.counts, wanted)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_probe_that_was_not_taken_is_an_error_with_the_way_out(name):
    record = Record(config={"cell": {"cell": "LSTM"}})
    with pytest.raises(ArgumentError, match="Ask for it with `probes="):
        figures.figure(name, record)


@pytest.mark.parametrize(
    ("cell", "name", "sentence"),
    [
        ("RNN", "retention", "Retention needs a cell with gates; a plain RNN has none."),
        ("RNN", "timescale", "needs a cell with gates"),
        ("RNN", "flow_written", "needs a cell with gates"),
        ("RNN", "cell_gradient", "needs a cell with gates|cell state"),
        ("GRU", "cell_gradient", "needs a cell with a cell state; a GRU has none."),
        ("relu", "gate_saturation", "not applicable to this cell: its activation is unbounded."),
    ],
)
def test_a_probe_that_does_not_apply_says_why_in_place_of_data(records, cell, name, sentence):
    figure = figures.figure(name, records[cell.lower()])
    assert not figure.data
    assert any(part in texts(figure) for part in sentence.split("|"))
    assert figure.layout.xaxis.visible is False


def test_what_was_not_computed_says_why(records):
    record = records["lstm"]
    entry = record.field("lyapunov_spectrum")
    gone = replace(entry, values=np.full(entry.values.shape, np.nan), status=np.full(entry.values.shape, 7, np.uint8))
    figure = figures.lyapunov_spectrum(Record({"lyapunov_spectrum": gone}))
    assert not figure.data
    assert "was not computed: the sequence is no longer than the burn-in." in texts(figure)


def test_the_package_lists_a_function_for_every_probe():
    assert set(CATALOGUE) <= set(figures.__all__)
    assert {"figure", "caption", "theme", "flow", "phase_map", "verdict_counts"} <= set(figures.__all__)
    assert all(getattr(figures, name).__doc__ for name in figures.__all__ if name != "Figure")  # plotly's own


def test_figure_dispatches_by_name_and_passes_options(records):
    record = records["lstm"]
    assert figures.figure("transport", record, title=True) == figures.transport(record, title=True)
    with pytest.raises(ArgumentError, match="Did you mean 'transport'"):
        figures.figure("transprot", record)
    assert figures.caption("timescale") == CATALOGUE["timescale"].caption
    with pytest.raises(ArgumentError, match="Did you mean 'timescale'"):
        figures.caption("time_scale")


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda r: figures.transport(r, template="drak"), "Did you mean 'dark'"),
        (lambda r: figures.theme("ligth"), "Did you mean 'light'"),
        (lambda r: figures.gate_saturation(r, over="units"), "Did you mean 'unit'"),
        (lambda r: figures.gate_activation(r, gate="forgt"), "Did you mean 'forget'"),
        (lambda r: figures.gate_activation(r, order="means"), "Did you mean 'mean'"),
        (lambda r: figures.gate_activation(r, show="hist"), "Did you mean 'histogram'"),
    ],
)
def test_a_wrong_option_is_named_with_the_nearest_right_one(records, call, hint):
    with pytest.raises(ArgumentError, match=hint):
        call(records["lstm"])


def test_a_title_is_written_only_on_request(records):
    figure = figures.flow(records["lstm"], title=True)
    assert figure.layout.title.text == "Cell-state flow"
    assert figure.layout.margin.t > figures.flow(records["lstm"]).layout.margin.t


# Reductions -----------------------------------------------------------------------------------------------------------


def field(values: np.ndarray, found: np.ndarray | None = None, unit: str = "log10") -> Field:
    return Field("transport", values, ("time", "batch"), unit, {}, found)


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
    assert len(places) <= 1000
    assert places[0] == 0
    assert places[-1] == size - 1
    assert (np.diff(places) > 0).all()
    if np.isfinite(y).any():
        assert np.nanmin(y[places]) == np.nanmin(y)
        assert np.nanmax(y[places]) == np.nanmax(y)
    if size <= 1000:
        np.testing.assert_array_equal(places, np.arange(size))


def test_one_peak_among_ten_thousand_points_is_drawn():
    values = np.zeros((10_000, 1))
    values[4321] = 7.0
    record = Record({"transport": field(values)}, {}, {"dtype": "float64"})
    figure = figures.transport(record)
    line = trace(figure, "median")
    assert len(line.x) <= 1000
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


# Curves ---------------------------------------------------------------------------------------------------------------


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
    assert "below the float range, kept in log scale" in names(figure)
    assert "10<sup>−308</sup>: the float range ends" in texts(figure)
    assert "10<sup>−" in below.text[0]
    assert not any("float range" in name for name in names(figures.transport(records["lstm"])))


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
    assert figure.layout.yaxis.title.text == "State gradient [log10]"
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
    assert [line.line.dash for line in lines] == ["solid", "dash", "dash", "solid"]
    assert names(figures.transport_blocks(records["rnn"]))[0] == "h-h"


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


# Gates ----------------------------------------------------------------------------------------------------------------


def test_saturation_strips_go_up_for_right_and_down_for_left(records):
    record = records["gru"]
    data = gates.strips(record)
    entry = record.field("gate_saturation")
    k = entry.coord("gate").index("update")
    np.testing.assert_array_equal(data.right[k].median, entry.values[k, 1])
    np.testing.assert_array_equal(data.left[k].median, entry.values[k, 0])
    figure = figures.gate_saturation(record)
    row = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))["update"]
    up, down = np.array(trace(figure, "update, right").y), np.array(trace(figure, "update, left").y)
    np.testing.assert_allclose(up.max() - row, 0.44 * entry.values[k, 1].max() / data.scale)
    np.testing.assert_allclose(row - down.min(), 0.44 * entry.values[k, 0].max() / data.scale)
    assert (
        f"right {scales.value(entry.values[k, 1, 7])} · left {scales.value(entry.values[k, 0, 7])}"
        in trace(figure, "update").text[7]
    )
    assert figure.layout.yaxis.title.text == "Gate saturation [fraction]"


def test_the_scale_of_the_strips_fits_and_is_written(records):
    data = gates.strips(records["lstm"])
    largest = max(one.finite().max() for one in (*data.left, *data.right))
    assert largest <= data.scale <= 1
    written = [
        entry.text for entry in figures.gate_saturation(records["lstm"]).layout.annotations if entry.name == "scale"
    ]
    assert written == [f"{data.scale:g}", "0", f"{data.scale:g}"]


def test_strips_say_when_nothing_is_saturated_and_when_a_gate_does_not_apply(records):
    entry = records["lstm"].field("gate_saturation")
    nothing = Record({"gate_saturation": replace(entry, values=np.zeros(entry.values.shape))})
    assert notes(figures.gate_saturation(nothing)) == ["Nothing is saturated at any step."]
    found = np.zeros(entry.values.shape, np.uint8)
    found[2] = Status.NOT_APPLICABLE
    part = Record({"gate_saturation": replace(entry, values=np.where(found > 0, np.nan, entry.values), status=found)})
    figure = figures.gate_saturation(part)
    assert "not applicable: the activation is unbounded" in texts(figure)
    assert "candidate, right" not in [t.name for t in figure.data]


def test_saturation_over_units_shows_a_dot_for_each_unit(records):
    record = records["lstm"]
    figure = figures.gate_saturation(record, over="unit")
    values = record["gate_saturation.unit"]
    np.testing.assert_array_equal(trace(figure, "forget").x, values[1, 0])
    np.testing.assert_array_equal(trace(figure, "forget").y, values[1, 1])
    assert "[fraction]" in figure.layout.xaxis.title.text
    spoiled = figures.gate_saturation(records["all_diverged"], over="unit")
    assert "160 units without a finite share are not drawn." in notes(spoiled)


def test_gate_activation_shows_the_keep_gate_sorted_by_mean(records):
    record = records["lstm"]
    figure = figures.gate_activation(record)
    heat = trace(figure, "forget", "heatmap")
    rows = [int(label) for label in heat.y]
    values = record["gate_activation"][1].T
    np.testing.assert_allclose(heat.z, values[rows], rtol=1e-6)
    assert (np.diff(values[rows].mean(1)) >= 0).all()
    assert heat.z.dtype == np.float32
    assert (heat.zmin, heat.zmax) == (0, 1)
    assert heat.colorbar.title.text == "forget [1]"
    assert trace(figures.gate_activation(records["gru"]), "update", "heatmap")
    assert trace(figures.gate_activation(records["rnn"]), "hidden", "heatmap")
    plain = trace(figures.gate_activation(record, gate="input", order="unit"), "input", "heatmap")
    assert [int(label) for label in plain.y] == list(range(32))


def test_gate_activation_balances_a_signed_gate_and_stretches_on_request(records):
    heat = trace(figures.gate_activation(records["lstm"], gate="candidate"), "candidate", "heatmap")
    assert heat.zmin == -heat.zmax == -1
    assert heat.autocolorscale  # so that a change of theme changes the middle
    stretched = trace(figures.gate_activation(records["lstm"], stretch=True), "forget", "heatmap")
    values = records["lstm"]["gate_activation"][1]
    assert (stretched.zmin, stretched.zmax) == (values.min(), values.max())


def test_cells_without_a_value_have_a_colour_of_their_own(records):
    record = records["diverged"]
    figure = figures.gate_activation(record, order="unit")
    cells = np.isfinite(np.array(trace(figure, "NaN", "heatmap").z, float))
    np.testing.assert_array_equal(cells, np.isnan(record["gate_activation"][0].T))
    assert "NaN" in names(figure)
    assert figure.layout.showlegend
    assert "NaN" not in names(figures.gate_activation(records["rnn"]))


def test_long_heat_maps_are_means_of_blocks_and_say_so(records):
    record = records["long"]
    figure = figures.gate_activation(record, order="unit")
    heat = trace(figure, "forget", "heatmap")
    assert heat.z.shape == (64, 1000)
    np.testing.assert_allclose(heat.z, record["gate_activation"][1].T.reshape(64, 1000, 4).mean(2), rtol=1e-6)
    assert notes(figure) == ["Each column is the mean of 4 steps."]
    assert figure.layout.meta["decimated"]["forget"] == {"from": 4000, "to": 1000, "method": "mean of 4 steps"}


def test_one_nan_in_a_block_of_steps_marks_its_column(records):
    entry = records["long"].field("gate_activation")
    values = entry.values.copy()
    values[1, 1234, 5] = np.nan
    figure = figures.gate_activation(
        Record({"gate_activation": replace(entry, values=values, status=None)}), order="unit"
    )
    cells = np.isfinite(np.array(trace(figure, "NaN", "heatmap").z, float))
    assert np.argwhere(cells).tolist() == [[5, 1234 // 4]]


def test_an_activation_that_ran_away_is_shown_in_log_scale(records):
    values = np.zeros((1, 20, 3))
    values[0, :, 1] = 10.0 ** np.arange(0, 300, 15)
    values[0, :, 2] = -1.0
    entry = Field("gate_activation", values, ("gate", "step", "unit"), "1", {"gate": ["hidden"]})
    figure = figures.gate_activation(Record({"gate_activation": entry}), order="unit")
    heat = trace(figure, "hidden", "heatmap")
    np.testing.assert_allclose(heat.z[1], np.arange(0, 300, 15))
    assert np.isfinite(np.array(trace(figure, "exactly zero", "heatmap").z[0], float)).all()
    assert heat.colorbar.tickprefix == "10<sup>"


def test_the_histogram_shows_the_share_in_each_bin(records):
    record = records["lstm"]
    figure = figures.gate_activation(record, show="histogram")
    np.testing.assert_array_equal(trace(figure, "output").y, record["gate_activation.histogram"][3])
    assert "[fraction]" in figure.layout.yaxis.title.text


# Units and exponents --------------------------------------------------------------------------------------------------


def test_timescales_are_sorted_on_a_log_axis_against_the_length(records):
    record = records["lstm"]
    data = units.timescales(record)
    np.testing.assert_array_equal(data.values, np.sort(record["timescale"])[::-1])
    np.testing.assert_array_equal(record["timescale"][data.labels], data.values)
    figure = figures.timescale(record)
    np.testing.assert_allclose(trace(figure, "timescale").y, np.log10(data.values))
    assert any(shape.y0 == np.log10(120) for shape in figure.layout.shapes)
    assert "length of the sequence: 120 steps" in texts(figure)
    assert f"unit {data.labels[0]}: " in trace(figure, "timescale").text[0]


def test_timescales_of_zero_and_inf_stand_in_lanes():
    entry = Field("timescale", np.array([3.0, 0.0, np.inf, np.nan]), ("unit",), "step")
    figure = figures.timescale(Record({"timescale": entry}, {}, {"length": 10}))
    places = {
        word: np.flatnonzero(np.isfinite(trace(figure, word, "heatmap").z[0])).tolist()
        for word in ("inf", "exactly zero", "NaN")
    }
    assert units.timescales(Record({"timescale": entry})).labels.tolist() == [2, 0, 1, 3]
    dots = trace(figure, "timescale")
    assert np.isfinite(dots.y).sum() == 1
    assert all(len(at) == 1 for at in places.values())
    assert "inf" in dots.text[places["inf"][0]]


def test_lyapunov_exponents_have_error_bars_and_a_line_at_zero(records):
    record = records["lstm"]
    figure = figures.lyapunov_spectrum(record)
    dots = trace(figure, "exponent")
    np.testing.assert_array_equal(dots.y, record["lyapunov_spectrum"])
    np.testing.assert_array_equal(dots.error_y.array, record["lyapunov_spectrum.error"])
    np.testing.assert_array_equal(dots.x, np.arange(1, 65))
    assert any(shape.y0 == shape.y1 == 0 for shape in figure.layout.shapes)
    assert figure.layout.yaxis.title.text == "Lyapunov spectrum [nat/step]"
    assert "±" in dots.text[0]


def test_an_exponent_of_minus_infinity_stands_in_a_lane():
    entry = Field("lyapunov_spectrum", np.array([-1.0, -np.inf]), ("rank",), "nat/step")
    figure = figures.lyapunov_spectrum(Record({"lyapunov_spectrum": entry}))
    assert np.isfinite(trace(figure, "−inf", "heatmap").z[0]).tolist() == [False, True]
    assert trace(figure, "exponent").error_y.array is None


# Sweeps ---------------------------------------------------------------------------------------------------------------


def rows() -> list[dict]:
    """Return a small sweep: two cells, three lengths, two seeds; one hole, one NaN, one inf, one failed run."""
    table = []
    for cell, bias in (("LSTM", 1.0), ("LSTM", 3), ("RNN", None)):
        for length in (10, 100, 20):
            for seed in range(2):
                rate = 0.1 * length + 0.01 * seed - (3.0 if bias == 3 else 0.0)
                table.append(
                    {"run": f"{cell}{bias}{length}{seed}", "status": "done", "cell": cell, "forget_bias": bias}
                )
                table[-1] |= {"length": length, "seed": seed, "decay_rate": rate, "verdict": "vanishing"}
    table = [row for row in table if not (row["cell"] == "RNN" and row["length"] == 20)]
    table[0]["decay_rate"] = float("nan")
    table[0]["verdict"] = "diverged"
    for row in table:
        if row["forget_bias"] == 3 and row["length"] == 100:
            row["decay_rate"] = float("inf")
    failed = dict.fromkeys(table[0]) | {
        "run": "failed",
        "status": "failed",
        "cell": "GRU",
        "length": 10,
        "forget_bias": 1.0,
    }
    return [*table, failed]


def test_phase_map_takes_the_median_of_each_cell_and_sorts_its_axes():
    data = sweeps.map_runs(rows(), "length", "forget_bias")
    assert data.columns == [10, 20, 100]
    assert data.rows == [None, 1.0, 3]
    np.testing.assert_allclose(data.median[1], [1.01, 2.005, 10.005])
    np.testing.assert_allclose(data.low[1], [1.01, 2.0, 10.0])
    np.testing.assert_allclose(data.high[1], [1.01, 2.01, 10.01])
    assert data.runs.tolist() == [[2, 0, 2], [1, 2, 2], [2, 2, 2]]
    assert data.bad.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert np.isnan(data.median[0, 1])
    assert np.isposinf(data.median[2, 2])


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=9))
def test_the_median_of_a_cell_agrees_with_numpy_where_it_is_finite(values):
    data = sweeps.map_runs([{"x": 1, "y": 1, "v": value} for value in values], "x", "y", "v")
    ordered = sorted(values)
    assert ordered[0] <= data.median[0, 0] <= ordered[-1] or np.isnan(data.median[0, 0])
    if np.isfinite(values).all() and np.abs(values).max() < 1e300:
        np.testing.assert_allclose(data.median[0, 0], np.median(values), rtol=1e-12)


def test_phase_map_marks_missing_and_infinite_cells_and_centres_its_colours():
    figure = figures.phase_map(rows(), "length", "forget_bias")
    heat = trace(figure, "decay rate", "heatmap")
    assert heat.zmid == 0
    assert heat.zmin == -heat.zmax
    assert heat.zmax == pytest.approx(10.005)
    assert heat.autocolorscale
    assert heat.z.dtype == np.float32
    assert np.argwhere(np.isfinite(np.array(trace(figure, "no run", "heatmap").z, float))).tolist() == [[0, 1]]
    assert np.argwhere(np.isfinite(np.array(trace(figure, "inf", "heatmap").z, float))).tolist() == [[2, 2]]
    assert names(figure) == ["inf", "no run"]
    assert figure.layout.xaxis.title.text == "length [step]"
    assert figure.layout.yaxis.ticktext == ("none", "1", "3")
    assert heat.colorbar.title.text == "decay rate [nat/step]"
    assert "no run" in heat.customdata[0][1]
    told = heat.customdata[1][0]
    assert told.startswith("forget bias 1, length 10<br>median 1.01 nat/step<br>1 run")
    assert "1 run with NaN" in told
    assert "2 runs, from 2 to 2.01" in heat.customdata[1][1]


def test_phase_map_shows_a_cell_of_only_nan_as_nan():
    table = [{"x": i, "y": 0, "decay_rate": value} for i, value in enumerate([1.0, float("nan")])]
    figure = figures.phase_map(table, "x", "y")
    assert names(figure) == ["NaN"]
    assert np.isfinite(np.array(trace(figure, "NaN", "heatmap").z, float)).tolist() == [[False, True]]


def test_phase_map_takes_words_numbers_and_none_as_axes():
    data = sweeps.map_runs(rows(), "cell", "length")
    assert data.columns == ["RNN", "LSTM", "GRU"]
    mixed = [{"x": v, "y": 0, "v": 1.0} for v in ("b", 2, None, 1.0, "a", 1)]
    assert sweeps.map_runs(mixed, "x", "y", "v").columns == [None, 1, 2, "a", "b"]
    assert sweeps.map_runs(mixed, "x", "y", "v").runs.tolist() == [[1, 2, 1, 1, 1]]


def test_phase_map_of_a_growth_turns_its_colours_round_and_wide_values_are_log():
    growth = [{"x": i, "y": 0, "growth": v} for i, v in enumerate([-5.0, 2.0])]
    assert trace(figures.phase_map(growth, "x", "y", "growth"), "growth", "heatmap").reversescale
    wide = [{"x": i, "y": 0, "half_life": 10.0**i} for i in range(6)]
    heat = trace(figures.phase_map(wide, "x", "y", "half_life"), "half life", "heatmap")
    np.testing.assert_allclose(heat.z[0], np.arange(6))
    assert heat.colorbar.tickprefix == "10<sup>"
    assert heat.text[0][3] == "1000"
    same = [{"x": 0, "y": 0, "horizon": 5.0}]
    heat = trace(figures.phase_map(same, "x", "y", "horizon"), "horizon", "heatmap")
    assert heat.zmin < 5 < heat.zmax


@pytest.mark.parametrize(
    ("x", "y", "value", "hint"),
    [
        ("lenght", "cell", "decay_rate", "'length'"),
        ("length", "cel", "decay_rate", "'cell'"),
        ("length", "cell", "decay", "'decay_rate'"),
    ],
)
def test_phase_map_names_what_the_rows_do_not_have(x, y, value, hint):
    with pytest.raises(ArgumentError, match=f"Did you mean {hint}"):
        figures.phase_map(rows(), x, y, value)


def test_figures_over_no_rows_say_so():
    assert "No run to show." in texts(figures.phase_map([], "x", "y"))
    assert "No run to show." in texts(figures.verdict_counts([]))


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("decay_rate", "nat/step"),
        ("jacobian_norm", "1"),
        ("forget_saturation_right", "fraction"),
        ("accuracy_after", "fraction"),
        ("loss_before", "nat"),
        ("whatever", ""),
        ("timescale", "step"),
    ],
)
def test_metrics_carry_their_units(name, unit):
    assert sweeps.unit(name) == unit


def test_verdict_counts_add_up():
    table = rows()
    data = sweeps.count_verdicts(table)
    assert data.groups == ["RNN", "LSTM", "GRU"]
    assert data.verdicts == ["vanishing", "diverged", "failed"]
    assert data.counts.tolist() == [[4, 0, 0], [11, 1, 0], [0, 0, 1]]
    figure = figures.verdict_counts(table)
    assert names(figure) == ["vanishing 15", "diverged 1", "failed 1"]
    assert sum(int(np.sum(bar.x)) for bar in figure.data) == len(table)
    assert figure.layout.barmode == "stack"
    alone = figures.verdict_counts(table, by=None)
    assert [bar.x.tolist() for bar in alone.data] == [[15], [1], [1]]
    assert sweeps.count_verdicts(table, by="nonsense").counts.sum() == len(table)


# Look -----------------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("meaning", palette.COLOURS)
@pytest.mark.parametrize("page", ["#ffffff", "#242424", "#2e2e2e"])
def test_every_colour_stands_out_on_both_pages(meaning, page):
    light, dark = sorted([luminance(palette.colour(meaning)), luminance(page)], reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 2.6


def test_colours_are_tied_to_their_meaning():
    assert palette.colour("forget") == palette.colour("update") == palette.colour("retained")
    assert palette.colour("nonsense") == palette.NEUTRAL
    for group in (
        ("input", "forget", "candidate", "output", "hidden"),
        ("reset", "update", "candidate", "hidden"),
        ("RNN", "LSTM", "GRU"),
        ("h-h", "h-c", "c-h", "c-c"),
        ("vanishing", "stable", "exploding", "diverged", "undetermined"),
        ("total", "direct", "cell state"),
    ):
        assert len({palette.colour(name) for name in group}) == len(group)
    assert palette.faded("#ff0010", 0.5) == "rgba(255,0,16,0.5)"


def shape(entry):
    """Return a nest of keys without its values."""
    if isinstance(entry, dict):
        return {key: shape(value) for key, value in entry.items()}
    return [shape(value) for value in entry] if isinstance(entry, list) else None


def test_both_templates_share_one_layout():
    light, dark = (figures.theme(name).to_plotly_json() for name in ("light", "dark"))
    assert shape(json.loads(json.dumps(light, default=list))) == shape(json.loads(json.dumps(dark, default=list)))
    assert light["layout"]["font"]["color"] != dark["layout"]["font"]["color"]
    assert figures.theme("light") is not figures.theme("light")
    assert templates.plain("light") is templates.plain("light")


def test_a_theme_changes_nothing_but_the_template(records):
    for name in CATALOGUE:
        light, dark = (
            json.loads(figures.figure(name, records["zero"], template=t).to_json()) for t in ("light", "dark")
        )
        light["layout"].pop("template")
        dark["layout"].pop("template")
        assert light == dark, name


# The whole way --------------------------------------------------------------------------------------------------------


def measured(cell, length: int = 30, **options) -> Record:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((length, 4, cell.input_size))
    with np.errstate(over="ignore", invalid="ignore"):
        return gs.probe(cell, cell.init(rng, **options), inputs, probes="full")


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_records_of_real_probes_are_drawn(cell):
    record = measured(getattr(gs, cell)(input_size=2, hidden_size=5))
    for name in CATALOGUE:
        figure = figures.figure(name, record)
        assert figure.data or texts(figure)
    line = trace(figures.jacobian_norm(record), "median")
    np.testing.assert_allclose(line.y, np.median(np.log10(record["jacobian_norm"]), axis=1))


def test_zeros_underflow_and_nan_of_real_probes_reach_the_picture():
    dead = measured(gs.RNN(input_size=1, hidden_size=4, activation="relu"), 60, recurrent="gaussian", gain=0.01)
    if (dead.status["transport"] == Status.ZERO).any():
        assert "exactly zero" in names(figures.transport(dead))
    small = measured(gs.RNN(input_size=1, hidden_size=4), 300, recurrent="orthogonal", gain=0.01)
    assert (small.status["transport"] == Status.UNDERFLOW).any()
    figure = figures.transport(small)
    assert "below the float range, kept in log scale" in names(figure)
    boom = measured(gs.RNN(input_size=1, hidden_size=4, activation="relu"), 800, recurrent="orthogonal", gain=8.0)
    assert boom.summary["verdict"] == "diverged"
    figure = figures.jacobian_norm(boom)
    assert f"t = {boom.summary['first_bad_step']['t']} " in notes(figure)[0]
    assert "NaN" in names(figure)


PAGE = """<html><body><script>{library}</script>{places}<script>
const figures = {figures};
window.ready = Promise.all(figures.map((f, i) => Plotly.newPlot("f" + i, f.data, f.layout)));
</script></body></html>"""


@pytest.mark.browser
def test_a_browser_draws_every_figure_and_changes_its_theme(page, records, tmp_path):
    drawn = [
        figures.figure(name, records[case])
        for case in ("lstm", "diverged", "all_diverged", "underflow", "single_step")
        for name in CATALOGUE
    ]
    drawn += [figures.gate_saturation(records["lstm"], over="unit"), figures.verdict_counts(rows())]
    drawn += [figures.phase_map(rows(), "length", "forget_bias")]
    places = "".join(f'<div id="f{i}" style="width:560px;height:320px"></div>' for i in range(len(drawn)))
    bodies = ",".join(figure.to_json() for figure in drawn).replace("</", "<\\/")
    file = tmp_path / "figures.html"
    file.write_text(PAGE.format(library=get_plotlyjs(), places=places, figures=f"[{bodies}]"), encoding="utf-8")
    wrong = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(file.as_uri())
    page.evaluate("window.ready")
    assert not wrong
    number = len(drawn) - 1
    ticks = page.evaluate("document.querySelector('#f0 .ytick text').textContent")
    assert ticks
    before = page.evaluate(f"document.getElementById('f{number}')._fullData[0].colorscale[3][1]")
    page.evaluate(f"Plotly.relayout('f{number}', {{template: {json.dumps(figures.theme('dark').to_plotly_json())}}})")
    after = page.evaluate(f"document.getElementById('f{number}')._fullData[0].colorscale[3][1]")
    assert (before, after) == (palette.DIVERGING["light"][3], palette.DIVERGING["dark"][3])
    powers = page.evaluate(
        "Array.from(document.querySelectorAll('.ytick text')).filter(t => t.querySelector('tspan')).length"
    )
    assert powers > 0
    assert not wrong
