"""Heat maps side by side by their data: medians against NumPy on the raw arrays, marks, colours, differences, CSV."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import plotly.graph_objects as go
import pytest
from drawn_figures import notes, texts
from hypothesis import given
from hypothesis import strategies as st
from sample_records import SMALL, one_array, sample

from gradscope import figures
from gradscope.errors import ArgumentError
from gradscope.figures.map_differences import subtract_maps
from gradscope.figures.parts import COMPARABLE, MAPPED, choices, divided
from gradscope.figures.plates import Plate, plate, tile
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Field, Record, Status

MARKUP = "<b onclick=alert(1)>cell</b>"


@pytest.fixture(scope="module")
def cases(records: dict[str, Record]) -> dict[str, Record]:
    """Return each peculiar record but the long one."""
    return {name: one for name, one in records.items() if name != "long"}


def record(values, found=None, axes=("time", "unit"), unit="log10") -> Record:
    """Return a record of the gradients of units."""
    return one_array("unit_gradient", values, found, axes=axes, unit=unit)


def maps(figure: go.Figure) -> list[go.Heatmap]:
    """Return the heat maps of values, without those of marks and counts."""
    return [one for one in figure.data if one.type == "heatmap" and (one.meta or {}).get("role") is None]


def stamped(figure: go.Figure) -> dict[str, list]:
    """Return where each mark lies, by its word."""
    marked = [one for one in figure.data if one.type == "heatmap" and (one.meta or {}).get("role") == "status"]
    return {one.meta["status"]: np.argwhere(np.asarray(one.z, float) == 1).tolist() for one in marked}


def sorted_by_mean(values: np.ndarray) -> np.ndarray:
    """Return an array (place, unit) with its units from the largest mean to the least."""
    return values[:, np.argsort(-values.mean(0))]


# Medians --------------------------------------------------------------------------------------------------------------


def test_which_probes_make_maps():
    assert MAPPED == (
        "transport_map",
        "transport_spectrum",
        "unit_gradient",
        "input_gradient",
        "gate_activation",
        "write_survival",
    )
    assert set(MAPPED) < set(COMPARABLE)
    assert divided("gate_activation", mapped=True)
    assert not divided("transport_map", mapped=True)
    assert divided("transport_map")


def test_a_tile_is_the_median_over_runs_whose_units_were_sorted_first(seeds, grus):
    figure = figures.compare_maps({"LSTM": seeds, "GRU": grus}, "unit_gradient")
    for drawn, runs in zip(maps(figure), (seeds, grus), strict=True):
        wanted = np.median([sorted_by_mean(one["unit_gradient"]) for one in runs], axis=0)
        np.testing.assert_allclose(drawn.z, wanted.T, rtol=0, atol=1e-12)
        assert list(drawn.y) == [1, 2, 3, 4, 5, 6]
    numbered = maps(figures.compare_maps({"LSTM": seeds}, "unit_gradient", order="unit"))[0]
    np.testing.assert_allclose(numbered.z, np.median([one["unit_gradient"] for one in seeds], axis=0).T, atol=1e-12)
    assert list(numbered.y) == [0, 1, 2, 3, 4, 5]


def test_sequences_are_pooled_before_runs(seeds):
    drawn = maps(figures.compare_maps({"a": seeds}, "write_survival", order="unit"))[0]
    wanted = np.median([np.median(one["write_survival"], axis=2) for one in seeds], axis=0)
    np.testing.assert_allclose(drawn.z, wanted.T, atol=1e-12)


def test_gates_that_keep_have_one_name_together(seeds, grus):
    groups = {"LSTM": seeds, "GRU": grus}
    assert choices([*seeds, *grus], "gate_activation", mapped=True)[0] == "keeping gate"
    figure = figures.compare_maps(groups, "gate_activation", order="unit")
    for drawn, runs, gate in zip(maps(figure), (seeds, grus), ("forget", "update"), strict=True):
        place = runs[0].coords["gate_activation"]["gate"].index(gate)
        np.testing.assert_allclose(drawn.z, np.median([one["gate_activation"][place] for one in runs], axis=0).T)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
    assert figure.layout.meta["title"] == "Gate activation, keeping gate"
    only = figures.compare_maps(groups, "gate_activation", part="forget")
    assert "Left out: 3 of 8 runs (there is no forget)." in notes(only)
    assert "No run has it." in texts(only)


@given(st.lists(st.lists(st.floats(-400, 5) | st.just(-np.inf) | st.just(np.nan), min_size=4, max_size=4), min_size=1))
def test_a_cell_of_any_runs_is_that_of_those_with_a_number(runs):
    plates = [plate(record(np.array(run).reshape(2, 2)), "unit_gradient", order="unit") for run in runs]
    made = tile("any", plates)
    for place, column in enumerate(np.array(runs).T):
        good, cell = np.sort(column[~np.isnan(column)]), np.unravel_index(place, (2, 2))
        if not len(good):
            assert np.isnan(made.values[cell])
            assert made.marks[cell] == Status.NAN
        elif np.isfinite(good).all():
            assert made.values[cell] == pytest.approx(np.median(good))
        elif np.isneginf(made.values[cell]):
            assert made.marks[cell] == Status.ZERO
            assert np.isneginf(good[(len(good) - 1) // 2])


# Marks ----------------------------------------------------------------------------------------------------------------


def test_zero_nan_masked_and_underflow_have_marks_of_their_own():
    values = [[-np.inf, -2.0], [np.nan, -400.0], [np.nan, -1.0]]
    found = [[Status.ZERO, 0], [Status.NAN, Status.UNDERFLOW], [Status.MASKED, 0]]
    figure = figures.compare_maps({"a": record(values, found)}, "unit_gradient", order="unit")
    assert stamped(figure) == {
        "exactly zero": [[0, 0]],
        "below the float range": [[1, 1]],
        "masked": [[0, 2]],
        "NaN": [[0, 1]],
    }
    assert np.isnan(np.asarray(maps(figure)[0].z, float)).sum() == 3


def test_runs_without_a_number_where_others_have_one_are_counted_beneath():
    sound = record([[-1.0, -2.0], [-3.0, -4.0]])
    broken = record([[-1.0, -2.0], [np.nan, np.nan]])
    figure = figures.compare_maps({"g": [sound, sound, broken], "h": sound}, "unit_gradient")
    lanes = [one for one in figure.data if (one.meta or {}).get("role") == "count"]
    (lane,) = lanes
    assert (lane.meta["status"], lane.zmax, lane.yaxis) == ("NaN", 3, "y2")
    assert np.asarray(lane.z, float)[0, 1] == 1
    assert np.isnan(np.asarray(lane.z, float)[0, 0])
    np.testing.assert_allclose(maps(figure)[0].z, [[-1, -3], [-2, -4]])
    assert figure.layout.yaxis.domain[0] == figure.layout.yaxis3.domain[0] > 0  # tiles of one row stand level
    assert figures.table(figure)["part"].count("count") == 1


def test_a_cell_that_one_run_has_and_another_lacks_says_what_the_one_has():
    short, long = record([[-1.0, -2.0]]), record([[-1.0, -2.0], [np.nan, -3.0]], [[0, 0], [Status.NAN, 0]])
    made = tile("two", [plate(one, "unit_gradient", order="unit") for one in (short, long)])
    assert made.marks.tolist() == [[Status.OK, Status.OK], [Status.NAN, Status.OK]]
    wide = tile("wide", [plate(one, "unit_gradient", order="unit") for one in (record([[-1.0]]), short)])
    assert wide.values.tolist() == [[-1, -2]]


@pytest.mark.parametrize("probe", MAPPED)
def test_every_map_of_every_case_can_be_drawn(cases, probe):
    lstm = cases["lstm"]
    for name, case in cases.items():
        figure = figures.compare_maps({"sound": lstm, name: case}, probe, template="dark")
        json.loads(figure.to_json())
        assert CATALOGUE[probe].caption in figure.layout.meta["caption"]
        json.loads(figures.difference_map(case, lstm, probe).to_json())


def test_a_run_without_the_probe_and_a_cell_without_it_are_said(seeds):
    rnn = sample("RNN", **SMALL)
    figure = figures.compare_maps({"LSTM": seeds, "RNN": rnn, "bare": Record({}, {}, {})}, "write_survival")
    assert any("Left out: 1 of 7 runs (What survives of each write needs" in note for note in notes(figure))
    assert "Left out: 1 of 7 runs (not measured)." in notes(figure)
    assert plate(Record(), "unit_gradient", run="r") == Plate("r", absent="not measured")
    nothing = figures.compare_maps({"bare": Record({}, {}, {})}, "unit_gradient")
    assert "None of these runs has it." in texts(nothing)
    assert notes(nothing) == ["Left out: 1 of 1 run (not measured)."]


def test_the_first_bad_step_of_a_single_run_is_drawn_with_its_name(cases):
    diverged = cases["diverged"]
    figure = figures.compare_maps({"a": cases["lstm"], "bad": diverged}, "unit_gradient")
    at = diverged.summary["first_bad_step"]["t"]
    assert any(note.startswith(f"bad: First bad step: t = {at}") for note in notes(figure))
    assert {(shape.x0, shape.xref) for shape in figure.layout.shapes} == {(at, "x2")}


# Axes, colours, tiles -------------------------------------------------------------------------------------------------


def test_tiles_share_their_colours_and_axes_and_say_their_runs(seeds, grus):
    figure = figures.compare_maps({"LSTM": seeds, "GRU": grus}, "unit_gradient")
    drawn = maps(figure)
    assert {one.coloraxis for one in drawn} == {"coloraxis"}
    every = np.concatenate([np.ravel(one.z) for one in drawn])
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (every.min(), every.max())
    assert figure.layout.xaxis2.matches == "x"
    assert figure.layout.yaxis3.matches == "y"
    headings = [one.text for one in figure.layout.annotations if one.name == "panel"]
    assert headings == ["<b>LSTM</b> \N{MIDDLE DOT} 5 runs", "<b>GRU</b> \N{MIDDLE DOT} 3 runs"]
    caption = figure.layout.meta["caption"]
    assert caption.startswith("Each map is the median over its 3 to 5 runs, cell by cell, its units sorted by their")
    single = figures.compare_maps({"one": seeds[0]}, "unit_gradient")
    assert [one.text for one in single.layout.annotations if one.name == "panel"] == ["<b>one</b>"]
    assert single.layout.meta["caption"].startswith("One run in each map")


def test_panels_make_rows_of_tiles_and_a_group_that_a_panel_lacks_leaves_its_place_open(seeds, grus):
    groups = {"bias 0": {"LSTM": seeds[:2], "GRU": grus}, "bias 1": {"GRU": grus[:1]}}
    figure = figures.compare_maps(groups, "unit_gradient")
    headings = {one.text: (one.x, round(one.y, 6)) for one in figure.layout.annotations if one.name == "panel"}
    dot = "\N{MIDDLE DOT}"
    assert list(headings) == [
        f"<b>bias 0 {dot} LSTM</b> {dot} 2 runs",
        f"<b>bias 0 {dot} GRU</b> {dot} 3 runs",
        f"<b>bias 1 {dot} LSTM</b>",
        f"<b>bias 1 {dot} GRU</b> {dot} 1 run",
    ]
    places = list(headings.values())
    assert places[0][0] == places[2][0] < places[1][0] == places[3][0]
    assert places[0][1] == places[1][1] > places[2][1] == places[3][1]
    assert "No run." in texts(figure)
    many = {f"bias {n}": {f"group {m}": seeds[:1] for m in range(n + 4)} for n in range(2)}
    drawn = figures.compare_maps(many, "unit_gradient")
    assert len(maps(drawn)) == 9  # of more groups than stand side by side those that there are
    alone = figures.compare_maps({"a": {"all": seeds}, "b": {"all": grus}}, "unit_gradient")
    assert [one.name for one in maps(alone)] == ["all", "all"]
    assert "<b>a</b>" in texts(alone)


def test_a_long_name_stands_in_two_lines_and_whole_under_the_pointer(seeds):
    name = ", ".join(["LSTM", *(f"setting number {number} with a long name" for number in range(4))])
    figure = figures.compare_maps({name: seeds[:2], "b": seeds[2:4], "c": seeds[:1], "d": seeds[1:]}, "unit_gradient")
    drawn = [one for one in figure.layout.annotations if one.name == "panel"]
    assert drawn[0].text.count("<br>") == 1
    assert drawn[0].text.endswith("\N{HORIZONTAL ELLIPSIS}</b> \N{MIDDLE DOT} 2 runs")
    assert drawn[0].hovertext == name
    assert drawn[1].text == "<b>b</b> \N{MIDDLE DOT} 2 runs"


def test_runs_of_different_lengths_are_aligned_where_they_begin_or_where_they_end(cases):
    short, long = record(np.arange(4.0).reshape(2, 2)), record(-np.arange(8.0).reshape(4, 2))
    start = tile("two", [plate(one, "unit_gradient", order="unit") for one in (short, long)])
    np.testing.assert_allclose(start.x, [0, 1, 2, 3])
    np.testing.assert_allclose(start.values, [[0, 0], [0, 0], [-4, -5], [-6, -7]])
    end = tile("two", [plate(one, "unit_gradient", order="unit") for one in (short, long)], backwards=True)
    np.testing.assert_allclose(end.values, [[-2, -2], [-2, -2], [-2, -3], [0, -1]])
    figure = figures.compare_maps({"short": short, "long": long}, "unit_gradient", backwards=True)
    assert figure.layout.xaxis.title.text == "lag l [step]"
    assert "Counted back from the end: the runs end at 1 to 3." in figure.layout.meta["caption"]
    assert "Counted from the start" in figures.compare_maps({"a": [short, long]}).layout.meta["caption"]
    plain = figures.compare_maps({"a": cases["lstm"]}, "transport_map")
    turned = figures.compare_maps({"a": cases["lstm"]}, "transport_map", backwards=True)
    assert plain.layout.xaxis.title.text == turned.layout.xaxis.title.text == "time t [step]"


def test_a_run_that_diverged_does_not_stretch_the_axes_of_the_others():
    sound = [record(np.zeros((21, 2))) for _ in range(3)]
    values = np.zeros((1001, 2))
    values[900:] = np.nan
    diverged = record(values)
    figure = figures.compare_maps({"sound": sound, "bad": diverged}, "unit_gradient")
    assert tuple(figure.layout.xaxis.range) == (-0.5, 20.5)
    told = "1 run with NaN or inf reaches further, from time 0 to 1000: a double click shows the whole axis."
    assert told in notes(figure)
    back = figures.compare_maps({"sound": sound, "bad": diverged}, "unit_gradient", backwards=True)
    assert tuple(back.layout.xaxis.range) == (-0.5, 20.5)
    alone = figures.compare_maps({"bad": diverged}, "unit_gradient")
    assert tuple(alone.layout.xaxis.range) == (-0.5, 1000.5)
    long = figures.compare_maps({"sound": sound, "long": record(np.zeros((101, 2)))}, "unit_gradient")
    assert tuple(long.layout.xaxis.range) == (-0.5, 100.5)
    lines = figures.compare({"sound": sound, "bad": diverged}, "unit_gradient")
    assert lines.layout.xaxis.range[1] < 21
    assert told in notes(lines)


def test_a_network_with_fewer_units_has_fewer_ranks():
    small, large = record([[-1.0, -2.0]]), record([[-3.0, -1.0, -2.0]])
    made = tile("both", [plate(one, "unit_gradient") for one in (small, large)])
    assert made.rows.tolist() == [1, 2, 3]
    np.testing.assert_allclose(made.values, [[-1, -2, -3]])


def test_long_sequences_show_the_largest_of_each_block_and_of_gates_the_mean():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1300, 3))
    figure = figures.compare_maps(dict.fromkeys("abc", record(values)), "unit_gradient", order="unit")
    drawn = np.asarray(maps(figure)[0].z)
    whole = maps(figures.compare_maps({"a": record(values[:1024])}, "unit_gradient", order="unit"))[0]
    np.testing.assert_array_equal(whole.z, values[:1024].T)
    whole = np.concatenate([values, np.full((2, 3), -np.inf)]).reshape(434, 3, 3)
    np.testing.assert_array_equal(drawn, whole.max(1).T)
    assert notes(figure) == ["Of 1,300 times each column shows the largest of 3."]
    assert set(figures.table(figure)["decimated"]) == {"largest of 3 times: 434 of 1,300"}
    gates = Record(
        {"gate_activation": Field("gate_activation", values[None, :1200], ("gate", "step", "unit"), "1", {})},
        {},
        {"length": 1200},
    )
    means = maps(figures.compare_maps(dict.fromkeys("abc", gates), "gate_activation", order="unit"))[0]
    np.testing.assert_allclose(means.z, values[:1200].reshape(400, 3, 3).mean(1).T)


def test_an_activation_without_bounds_is_shown_by_its_size():
    values = np.array([[[1e6, -1e3], [0.0, 10.0]]])
    gates = Record({"gate_activation": Field("gate_activation", values, ("gate", "step", "unit"), "1", {})}, {}, {})
    figure = figures.compare_maps({"a": gates}, "gate_activation", order="unit")
    np.testing.assert_allclose(maps(figure)[0].z, [[6, np.nan], [3, 1]])
    assert stamped(figure) == {"exactly zero": [[0, 1]]}
    assert figure.layout.coloraxis.colorbar.title.text.startswith("size of ")
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (1, 6)


# The difference -------------------------------------------------------------------------------------------------------


def test_a_difference_is_that_of_the_logs_about_zero(seeds, grus):
    figure = figures.difference_map(seeds, grus, "unit_gradient", names=("LSTM", "GRU"))
    one, two = (np.median([sorted_by_mean(run["unit_gradient"]) for run in runs], axis=0) for runs in (seeds, grus))
    (drawn,) = maps(figure)
    np.testing.assert_allclose(drawn.z, (one - two).T, atol=1e-12)
    axis = figure.layout.coloraxis
    assert -axis.cmin == axis.cmax == pytest.approx(np.abs(one - two).max())
    assert (axis.cmid, axis.autocolorscale) == (0, True)
    assert "LSTM divided by GRU, cell by cell, medians over 5 and 3 runs" in figure.layout.meta["caption"]
    gates = figures.difference_map(seeds[0], grus[0], "gate_activation", names=("a", "b"))
    forget, update = (
        sorted_by_mean(run["gate_activation"][run.coords["gate_activation"]["gate"].index(gate)])
        for run, gate in ((seeds[0], "forget"), (grus[0], "update"))
    )
    np.testing.assert_allclose(maps(gates)[0].z, (forget - update).T, atol=1e-12)
    assert "minus" in gates.layout.meta["caption"]


def test_cells_without_a_difference_say_why():
    nan, inf = np.nan, np.inf
    one = record([[-inf, -inf, -1.0, nan, -3.0, nan]], [[1, 1, 0, 4, 0, 4]])
    two = record([[-inf, -1.0, -inf, -1.0, nan, nan]], [[1, 0, 1, 0, 3, 4]])
    figure = figures.difference_map(one, two, "unit_gradient", order="unit")
    assert stamped(figure) == {
        "both exactly zero": [[0, 0]],
        "a exactly zero": [[1, 0]],
        "b exactly zero": [[2, 0]],
        "no number in a": [[3, 0]],
        "no number in both": [[5, 0]],
        "masked": [[4, 0]],
    }
    assert "There is no cell in which both have a number." in texts(figure)


def test_rows_and_places_that_do_not_match_are_said():
    one, two = record(np.zeros((5, 2))), record(np.ones((3, 4)))
    figure = figures.difference_map(one, two)
    assert np.shape(maps(figure)[0].z) == (2, 3)
    assert "a has 5 times, b 3; the difference stands at the 3 that both have." in notes(figure)
    assert "a has 2 units, b 4; the difference stands at the 2 that both have." in notes(figure)
    assert tuple(figure.layout.xaxis.range) == (-0.5, 2.5)
    gone = figures.difference_map(one, Record({}, {}, {}))
    assert "There is no difference to draw: b has none of it." in texts(gone)
    entry = Field("unit_gradient", np.zeros((1, 2)), ("time", "unit"), "log10", {"time": [9]})
    assert "The two share no cell." in texts(figures.difference_map(one, Record({"unit_gradient": entry}, {}, {})))


@given(st.lists(st.floats(-300, 300), min_size=4, max_size=4), st.lists(st.floats(-300, 300), min_size=4, max_size=4))
def test_a_difference_turns_its_sign_with_its_order(values, others):
    one, two = (
        tile(name, [plate(record(np.reshape(v, (2, 2))), "unit_gradient", order="unit")])
        for name, v in (("a", values), ("b", others))
    )
    np.testing.assert_array_equal(subtract_maps(one, two).values, -subtract_maps(two, one).values)


def test_a_long_difference_keeps_the_largest_of_either_sign():
    values = np.zeros((2048, 1))
    values[3], values[701] = -5.0, 4.0
    figure = figures.difference_map(record(values), record(np.zeros((2048, 1))))
    drawn = np.asarray(maps(figure)[0].z)
    assert drawn.shape == (1, 1024)
    assert (drawn.min(), drawn.max()) == (-5, 4)
    assert "Of 2,048 times each column shows the largest difference of 2." in notes(figure)


# Numbers and refusals -------------------------------------------------------------------------------------------------


def test_the_csv_of_an_atlas_is_what_is_shown(seeds, grus):
    groups = {f"bias {n}": {"LSTM": seeds[n : n + 2], "GRU": grus} for n in range(2)}
    figure = figures.compare_maps(groups, "unit_gradient")
    rows = list(csv.DictReader(io.StringIO(figures.to_csv(figure))))
    assert set(rows[0]) == {"series", "part", "time", "unit rank", "value", "quantity", "measured_in", "status"}
    assert {(row["quantity"], row["measured_in"], row["status"]) for row in rows} == {("|dL/ds|", "log10", "ok")}
    dot = "\N{MIDDLE DOT}"
    wanted = np.median([sorted_by_mean(one["unit_gradient"]) for one in seeds[1:3]], axis=0)
    found = [row for row in rows if row["series"] == f"bias 1 {dot} LSTM"]
    assert len(found) == wanted.size
    for row in found:
        assert float(row["value"]) == pytest.approx(wanted[int(row["time"]), int(row["unit rank"]) - 1], abs=1e-12)


def test_the_csv_of_panels_names_the_places_of_each_row_of_them(seeds):
    figure = figures.compare({f"bias {n}": {"a": seeds} for n in range(5)}, "transport")
    assert set(figures.table(figure)) == {"series", "part", "time", "value", "quantity", "measured_in", "status"}


def test_what_comes_from_a_store_is_text(seeds):
    figure = figures.compare_maps({MARKUP: seeds[:2], "b": seeds[2:]}, "unit_gradient")
    shown = str([(one.name, one.hovertemplate) for one in figure.data]) + texts(figure)
    assert MARKUP not in shown
    assert "&lt;b onclick" in shown
    assert MARKUP in figures.table(figure)["series"]
    apart = figures.difference_map(seeds[0], seeds[1], names=(MARKUP, "b"))
    assert MARKUP not in str([(one.name, one.hovertemplate) for one in apart.data]) + texts(apart)
    assert MARKUP not in str(apart.layout.coloraxis)
    assert f"{MARKUP} / b" in figures.table(apart)["series"]


@pytest.mark.parametrize(
    ("draw", "remedy"),
    [
        (lambda one: figures.compare_maps({}), "Give e.g"),
        (lambda one: figures.compare_maps({"a": one}, "unit_gradiant"), "Did you mean 'unit_gradient'"),
        (lambda one: figures.compare_maps({"a": one}, "transport"), "`probe` must be one of"),
        (lambda one: figures.compare_maps({"a": one}, order="max"), "`order` must be one of"),
        (lambda one: figures.compare_maps({"a": one}, template="drak"), "Did you mean 'dark'"),
        (lambda one: figures.compare_maps({"a": one, "b": {"c": one}}), "Put every group into a panel"),
        (lambda one: plate(one, "transport"), "`probe` must be one of"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_remedy(seeds, draw, remedy):
    with pytest.raises(ArgumentError, match=remedy):
        draw(seeds[0])


def test_records_of_different_units_or_axes_are_refused():
    logs, plain = record([[0.0]]), record([[1.0]], unit="1")
    told = r"must have one unit in a figure, got log10 and 1\. Compare records of the same kind"
    for groups in ({"a": logs, "b": plain}, {"a": [logs, plain]}):
        with pytest.raises(ArgumentError, match=told):
            figures.compare_maps(groups)
    with pytest.raises(ArgumentError, match=told):
        figures.difference_map(logs, plain)
    steps = record([[0.0]], axes=("step", "unit"))
    with pytest.raises(ArgumentError, match=r"got time by unit and step by unit\. Compare records of the same kind"):
        figures.compare_maps({"a": [logs, steps]})
