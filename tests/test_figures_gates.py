"""Figures of the gates, by their data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from drawn_figures import names, notes, texts, trace

from gradscope import figures
from gradscope.figures import gates, scales
from gradscope.record import Field, Record, Status


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
    assert heat.z.dtype == float
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
    assert heat.z.shape == (64, 2000)
    np.testing.assert_allclose(heat.z, record["gate_activation"][1].T.reshape(64, 2000, 2).mean(2), rtol=1e-6)
    assert notes(figure) == ["Each column is the mean of 2 steps."]
    assert figure.layout.meta["decimated"]["forget"] == {"from": 4000, "to": 2000, "method": "mean of 2 steps"}


def test_one_nan_in_a_block_of_steps_marks_its_column(records):
    entry = records["long"].field("gate_activation")
    values = entry.values.copy()
    values[1, 1234, 5] = np.nan
    figure = figures.gate_activation(
        Record({"gate_activation": replace(entry, values=values, status=None)}), order="unit"
    )
    cells = np.isfinite(np.array(trace(figure, "NaN", "heatmap").z, float))
    assert np.argwhere(cells).tolist() == [[5, 1234 // 2]]


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
