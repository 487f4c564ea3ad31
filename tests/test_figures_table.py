"""The numbers of figures as tables and as CSV: they are the ones that are drawn, and say what they are."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import plotly.graph_objects as go
import pytest
import sample_records

from gradscope import figures
from gradscope.errors import ArgumentError
from gradscope.probes.catalogue import CATALOGUE

HEAD = ["series", "part"]
TAIL = ["value", "quantity", "measured_in", "status"]


def rows(figure, **wanted):
    """Return the rows of a figure's table that hold what is wanted."""
    columns = figures.table(figure)
    found = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [row for row in found if all(row[key] == value for key, value in wanted.items())]


def values(figure, **wanted):
    return np.array([row["value"] for row in rows(figure, **wanted)])


def read(figure):
    return list(csv.DictReader(io.StringIO(figures.to_csv(figure))))


def test_a_curve_gives_its_median_and_both_ends_of_its_band(records):
    record = records["lstm"]
    figure = figures.transport(record)
    assert list(figures.table(figure)) == [*HEAD, "time", *TAIL]
    for part, share in (("5 %", 0.05), ("median", 0.5), ("95 %", 0.95)):
        np.testing.assert_array_equal(values(figure, part=part), np.quantile(record["transport"], share, axis=1))
        assert [row["time"] for row in rows(figure, part=part)] == list(range(121))
    assert {row["measured_in"] for row in rows(figure)} == {"log10"}
    assert {row["status"] for row in rows(figure)} == {"ok"}


def test_csv_reads_back_to_the_last_digit(records):
    figure = figures.transport(records["underflow"])
    columns, back = figures.table(figure), read(figure)
    assert [float(row["value"]) for row in back] == columns["value"]
    assert [float(row["time"]) for row in back] == columns["time"]


def test_a_heat_map_gives_every_cell_exactly(records):
    record = records["lstm"]
    figure = figures.unit_gradient(record, order="unit")
    assert list(figures.table(figure)) == [*HEAD, "time", "unit", *TAIL]
    np.testing.assert_array_equal(values(figure).reshape(32, 121), record["unit_gradient"].T)


def test_zeros_are_minus_infinity_in_logarithms_and_counted(records):
    figure = figures.transport(records["zero"])
    gone = rows(figure, part="median", status="exactly zero")
    assert [row["time"] for row in gone] == list(range(41))
    assert all(row["value"] == -math.inf for row in gone)
    assert {row["value"] for row in rows(figure, part="5 %", time=3)} == {-math.inf}
    assert values(figure, part="count", status="exactly zero").tolist() == [10] * 41
    assert next(row["value"] for row in read(figure) if row["part"] == "median") == "-inf"


def test_what_lies_below_the_float_range_is_a_value_and_says_so(records):
    record = records["underflow"]
    figure = figures.transport(record)
    low = rows(figure, part="median", status="below the float range")
    assert low
    assert all(row["value"] < -307 for row in low)
    every = rows(figure, part="median")
    assert sorted(row["time"] for row in every) == list(range(401))  # the two strokes of the curve meet, and count once
    middle = dict(zip(range(401), np.median(record["transport"], axis=1), strict=True))
    assert all(row["value"] == middle[row["time"]] for row in every)


def test_nan_inf_and_masked_have_words_of_their_own(records):
    nan, inf, masked = (figures.unit_gradient(records[name]) for name in ("diverged", "infinite", "masked"))
    assert {row["value"] for row in read(nan) if row["status"] == "NaN"} == {"NaN"}
    assert {row["value"] for row in read(inf) if row["status"] == "inf"} == {"inf"}
    assert {row["value"] for row in read(masked) if row["status"] == "masked"} == {""}
    assert all(math.isnan(row["value"]) for row in rows(masked, status="masked"))
    curve = figures.transport(records["all_diverged"])
    assert {row["status"] for row in rows(curve)} == {"NaN"}


def test_what_is_decimated_says_so_and_nothing_else_does(records):
    figure = figures.transport(records["long"])
    said = {row["part"]: row["decimated"] for row in rows(figure)}
    assert said["median"].startswith("least and largest of each bucket: ")
    assert said["median"].endswith(" of 4,001")
    assert said["5 %"].endswith("480 of 4,001")
    heat = figures.unit_gradient(records["long"])
    assert {row["decimated"] for row in rows(heat)} == {"largest of 2 times: 2,001 of 4,001"}
    assert "decimated" not in figures.table(figures.transport(records["lstm"]))


def test_strips_give_both_sides_and_dots_their_unit(records):
    record = records["lstm"]
    strips = figures.gate_saturation(record)
    shares = record["gate_saturation"]
    np.testing.assert_array_equal(values(strips, series="forget", part="left"), shares[1, 0])
    dots = figures.gate_saturation(record, over="unit")
    by_unit = record["gate_saturation.unit"]
    found = rows(dots, series="forget", unit=5.0)[0]
    assert (found["saturated left"], found["value"]) == (by_unit[1, 0, 5], by_unit[1, 1, 5])


def test_ranks_carry_their_unit_and_exponents_their_error(records):
    record = records["lstm"]
    figure = figures.timescale(record)
    first = rows(figure)[0]
    assert first["rank"] == 1
    assert first["measured_in"] == "log10 step"
    assert first["value"] == np.log10(record["timescale"][int(first["unit"])])
    errors = values(figures.lyapunov_spectrum(record), part="error bar")
    np.testing.assert_array_equal(errors, record["lyapunov_spectrum.error"])


def test_signs_part_a_heat_map_in_two(records):
    record = records["lstm"]
    figure = figures.write_survival(record, sequence=0)
    signs = record["write_survival.sign"][..., 0].T
    for series, sign in (("positive", 1), ("negative", -1)):
        for row in rows(figure, series=series)[:50]:
            place = int(row["unit"]), int(row["time"])
            assert signs[place] == sign
            assert row["value"] == record["write_survival"][place[1], place[0], 0]
            assert (row["quantity"], row["measured_in"]) == ("|w|", "log10")


def test_a_panel_names_its_own_quantity(records):
    found = rows(figures.routes(records["lstm"]), series="cosine", part="median")
    assert {(row["quantity"], row["measured_in"]) for row in found} == {("cosine of highway and rest", "1")}


@pytest.mark.parametrize("case", sample_records.CASES)
def test_every_figure_of_every_record_gives_its_numbers(records, case):
    record = records[case]
    for name in CATALOGUE:
        if name not in record:
            continue
        figure = figures.figure(name, record)
        columns = figures.table(figure)
        assert len({len(entries) for entries in columns.values()}) == 1
        for value, status, part in zip(*(columns[one] for one in ("value", "status", "part")), strict=True):
            assert isinstance(value, float), (name, value)
            there = status in ("ok", "below the float range", "exactly zero") or part == "count"
            assert math.isfinite(value) == there or status == "exactly zero", (name, part, status)


def test_the_same_numbers_come_from_what_a_browser_shows(records):
    for name in ("transport", "unit_gradient", "gate_saturation", "routes", "timescale", "jacobian_eigenvalues"):
        figure = figures.figure(name, records["zero" if name == "transport" else "lstm"])
        assert figures.to_csv(json.loads(figure.to_json())) == figures.to_csv(figure)


def test_bars_and_words_on_an_axis_are_read():
    bars = go.Figure(go.Bar(name="done", orientation="h", x=[3, 4], y=[0, 1]))
    bars.update_layout(yaxis={"tickvals": [0, 1], "ticktext": ["LSTM", "GRU"], "title": {"text": "cell"}})
    bars.update_layout(xaxis_title="number of runs [1]")
    found = [(row["cell"], row["value"], row["quantity"], row["measured_in"]) for row in rows(bars)]
    assert found == [("LSTM", 3.0, "number of runs", "1"), ("GRU", 4.0, "number of runs", "1")]


def test_a_name_with_commas_quotes_and_lines_stays_one_field():
    figure = go.Figure(go.Scatter(name='a, "b"\nc', x=[1], y=[2.5]))
    assert read(figure)[0]["series"] == 'a, "b"\nc'


def test_what_is_no_figure_is_refused():
    with pytest.raises(ArgumentError, match="Draw one with"):
        figures.table([1, 2])
    with pytest.raises(ArgumentError, match="Draw one with"):
        figures.to_csv({"layout": {}})
