"""Figures over units and exponents, by their data."""

from __future__ import annotations

import numpy as np
from drawn_figures import texts, trace

from gradscope import figures
from gradscope.figures import units
from gradscope.record import Field, Record


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
