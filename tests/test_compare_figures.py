"""Comparisons of runs and groups by their data: bands against NumPy on the raw arrays, differences against the logs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawn_figures import names, notes, texts, trace
from hypothesis import given
from hypothesis import strategies as st
from sample_records import SMALL, one_array, sample

from gradscope import figures
from gradscope.errors import ArgumentError
from gradscope.figures import frame, palette
from gradscope.figures.differences import subtract
from gradscope.figures.lines import Line, agreed, line, lines, pool, shows
from gradscope.figures.parts import COMPARABLE, choices, divided
from gradscope.figures.settings import HUES, Look, looks, numbered, ordered
from gradscope.figures.spreads import Spread, spread, telling
from gradscope.figures.tiles import columns_of, rows_of
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Field, Record, Status
from gradscope.store import Store

MARKUP = "<b onclick=alert(1)>cell</b>"
PECULIAR = ("zero", "all_zero", "diverged", "infinite", "underflow", "masked", "relu", "single_step")


@pytest.fixture(scope="module")
def cases(records: dict[str, Record]) -> dict[str, Record]:
    return {name: records[name] for name in ("lstm", *PECULIAR)}


def record(values, found=None, axes=("time", "batch"), unit="log10") -> Record:
    """Return a record of the transport of sequences."""
    return one_array("transport", values, found, axes=axes, unit=unit)


# Bands ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spread", "low", "high"), [("10-90", 0.1, 0.9), ("all", 0.0, 1.0)])
@pytest.mark.parametrize("probe", ["transport", "state_gradient", "jacobian_norm", "retention"])
def test_a_band_is_that_of_numpy_on_the_raw_arrays(seeds, probe, spread, low, high):
    made = pool("five", [line(one, probe) for one in seeds], spread=spread)
    raw = np.stack([np.asarray(one[probe]) for one in seeds], axis=1)
    logged = np.log10(raw) if probe == "jacobian_norm" else raw
    medians = np.median(logged, axis=2)
    np.testing.assert_allclose(made.series.median, np.quantile(medians, 0.5, axis=1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(made.series.low, np.quantile(medians, low, axis=1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(made.series.high, np.quantile(medians, high, axis=1), rtol=0, atol=1e-12)
    assert (made.present == 5).all()
    assert made.series.size == 25


@given(st.lists(st.lists(st.floats(-400, 5) | st.just(-np.inf) | st.just(np.nan), min_size=3, max_size=3), min_size=1))
def test_the_median_of_any_runs_is_that_of_those_with_a_number(runs):
    lines = [line(record(np.array(run)[:, None]), "transport") for run in runs]
    made = pool("any", lines, spread="all")
    for place, column in enumerate(np.array(runs).T):
        good = np.sort(column[~np.isnan(column)])
        assert made.present[place] == len(good)
        assert made.series.counts.get(Status.NAN, np.zeros(3))[place] == np.isnan(column).sum()
        assert made.series.counts.get(Status.ZERO, np.zeros(3))[place] == np.isneginf(column).sum()
        if not len(good):
            assert np.isnan(made.series.median[place])
            continue
        assert made.series.low[place] == pytest.approx(good[0])
        assert made.series.high[place] == pytest.approx(good[-1])
        if np.isfinite(good).all():
            assert made.series.median[place] == pytest.approx(np.median(good))


def test_runs_of_different_lengths_are_aligned_where_they_begin_or_where_they_end():
    short, long = record([[0.0], [1.0]]), record([[5.0], [6.0], [7.0], [8.0]])
    start = pool("two", [line(one, "transport") for one in (short, long)], spread="all")
    assert start.series.x.tolist() == [0, 1, 2, 3]
    assert start.present.tolist() == [2, 2, 1, 1]
    assert start.series.median.tolist() == [2.5, 3.5, 7, 8]
    end = pool("two", [line(one, "transport") for one in (short, long)], spread="all", backwards=True)
    assert end.series.x.tolist() == [0, 1, 2, 3]
    assert end.series.median.tolist() == [4.5, 3.5, 6, 5]
    figure = figures.compare({"short": short, "long": long}, backwards=True)
    assert figure.layout.xaxis.title.text == "lag l [step]"
    assert "Counted back from the end: the runs end at 1 to 3." in figure.layout.meta["caption"]
    assert "Counted from the start" in figures.compare({"short": short, "long": long}).layout.meta["caption"]
    assert "Counted" not in figures.compare({"a": long, "b": long}).layout.meta["caption"]


@pytest.mark.parametrize("probe", ["transport", "jacobian_rms"])
def test_the_band_of_a_single_run_lies_around_its_line_from_either_end(seeds, probe):
    for backwards in (False, True):
        figure = figures.compare({"one": seeds[0]}, probe, backwards=backwards)
        found = pool("one", [line(seeds[0], probe)], backwards=backwards).series
        outline = next(entry for entry in figure.data if (entry.meta or {}).get("role") == "band")
        x, y = np.asarray(outline.x, float), np.asarray(outline.y, float)
        for place, median in zip(found.x, found.median, strict=True):
            here = y[x == place]
            assert here.min() <= median <= here.max()


def test_lags_and_ranks_have_no_end_to_count_from(seeds):
    drawn = [
        pool("one", [line(seeds[0], "transport_spectrum")], backwards=backwards).series for backwards in (False, True)
    ]
    np.testing.assert_array_equal(drawn[0].x, drawn[1].x)
    np.testing.assert_array_equal(drawn[0].median, drawn[1].median)


def test_a_line_stands_for_a_chosen_part_only_if_it_shows_that_part(seeds):
    one = line(seeds[0], "gate_saturation", run="r")
    every, chosen = agreed([one], "no such part")
    assert (every[0], chosen) == ("forget, right", "forget, right")
    assert shows(one, "", "forget, right") is one
    assert shows(one, "", "keeping gate, right") is one
    assert shows(one, "", "hidden, right") is None
    assert shows(one, "", "update, right").absent == "there is no update, right"
    assert shows(line(Record(), "gate_saturation"), "", "forget, right").absent == "not measured"


@pytest.mark.parametrize("probe", COMPARABLE)
def test_many_runs_at_once_have_the_lines_that_each_has_alone(cases, seeds, grus, probe):
    records = {**cases, **{f"run{n}": one for n, one in enumerate([*seeds, *grus])}, "bare": Record({}, {}, {})}
    for name, one in zip(records, lines(records, probe), strict=True):
        alone = line(records[name], probe, run=name)
        assert (one.absent, one.axis, one.unit, one.last, one.coarse, one.parts) == (
            *(alone.absent, alone.axis, alone.unit),
            *(alone.last, alone.coarse, alone.parts),
        )
        if alone.series is None:
            continue
        for attribute in ("x", "median", "low", "high", "under"):
            np.testing.assert_allclose(getattr(one.series, attribute), getattr(alone.series, attribute), rtol=1e-14)
        assert {s: c.tolist() for s, c in one.series.counts.items()} == {
            s: c.tolist() for s, c in alone.series.counts.items()
        }


def test_members_of_a_coarse_grid_count_where_they_were_measured():
    fine = record([[0.0], [1.0], [2.0]])
    entry = Field("transport", np.array([[4.0], [6.0]]), ("time", "batch"), "log10", {"time": [0, 2]})
    coarse = Record({"transport": entry}, {}, {"length": 2})
    made = pool("two", [line(one, "transport") for one in (fine, coarse)], spread="all")
    assert made.present.tolist() == [2, 1, 2]
    assert made.series.median.tolist() == [2, 1, 4]
    assert "Measured at 2 of 3 places." in notes(figures.compare({"a": fine, "b": coarse}))


# The figure ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", COMPARABLE)
def test_every_probe_can_be_compared(cases, probe):
    figure = figures.compare({"LSTM": cases["lstm"], "zero": cases["zero"]}, probe, template="dark")
    assert figure.layout.meta["unit"] == CATALOGUE[probe].unit
    assert CATALOGUE[probe].caption in figure.layout.meta["caption"]
    assert {entry.type for entry in figure.data} <= {"scatter", "heatmap"}
    assert figure.data or texts(figure)
    assert figures.difference(cases["lstm"], cases["zero"], probe).layout.meta["title"].endswith("difference")


@pytest.mark.parametrize("case", PECULIAR)
def test_every_case_can_be_compared_with_a_sound_run(cases, case):
    for probe in ("transport", "jacobian_norm", "gate_saturation"):
        figure = figures.compare({case: cases[case], "sound": cases["lstm"]}, probe)
        json.loads(figure.to_json())
        json.loads(figures.difference(cases[case], cases["lstm"], probe).to_json())


def test_a_figure_says_what_its_lines_and_bands_are(seeds, grus):
    figure = figures.compare({"LSTM": seeds, "GRU": grus}, "transport", members=True)
    assert "3 to 5 runs in each group: their median and a band from 10 to 90 %" in figure.layout.meta["caption"]
    assert names(figure) == ["LSTM", "GRU", "10\N{EN DASH}90 % of runs"]
    thin = trace(figure, "LSTM, each run")
    assert np.isnan(np.asarray(thin.x, float)).sum() == 5
    np.testing.assert_allclose(thin.y[:31], np.median(seeds[0]["transport"], axis=1))
    assert "5 runs" in trace(figure, "LSTM").text[0]
    low = figures.compare({"LSTM": seeds}, "transport", spread="all").layout.meta["caption"]
    assert "a band from the least to the largest" in low


def test_single_runs_have_the_band_of_their_own_sequences(seeds):
    figure = figures.compare({"a": seeds[0], "b": seeds[1]}, "transport")
    assert names(figure) == ["a", "b", "5\N{EN DASH}95 % of sequences"]
    assert figure.layout.meta["caption"].startswith("One run each: the median over its sequences and a band from 5 to")
    area = trace(figure, "a, 5\N{EN DASH}95 % of sequences")
    low, high = np.quantile(seeds[0]["transport"], [0.05, 0.95], axis=1)
    np.testing.assert_allclose([min(area.y), max(area.y)], [low.min(), high.max()])


def test_parts_are_chosen_by_name_and_gates_that_keep_have_one_together(seeds, grus):
    assert choices(seeds, "gate_saturation")[0] == "forget, right"
    assert choices([*seeds, *grus], "gate_saturation")[:2] == ["keeping gate, right", "keeping gate, left"]
    assert choices(seeds, "transport") == []
    assert divided("gate_saturation")
    assert not divided("transport")
    figure = figures.compare({"LSTM": seeds, "GRU": grus}, "gate_saturation", part="keeping gate, right")
    for name, runs, gate in (("LSTM", seeds, "forget"), ("GRU", grus, "update")):
        place = runs[0].coords["gate_saturation"]["gate"].index(gate)
        raw = np.stack([one["gate_saturation"][place, 1] for one in runs], axis=1)
        np.testing.assert_allclose(trace(figure, name).y, np.median(raw, axis=1))
    assert figure.layout.meta["title"] == "Gate saturation, keeping gate, right"
    only = figures.compare({"LSTM": seeds, "GRU": grus}, "gate_saturation", part="forget, right")
    assert notes(only) == ["Left out: 3 of 8 runs (there is no forget, right)."]


def test_runs_without_the_probe_are_said_and_left_out(seeds):
    rnn = sample("RNN", **SMALL)
    figure = figures.compare({"LSTM": seeds, "RNN": rnn}, "retention")
    assert notes(figure) == [
        "Left out: 1 of 6 runs (Retention is not applicable to this cell)."
        if "retention" in rnn
        else "Left out: 1 of 6 runs (Retention needs a cell with a gate that keeps; a plain RNN has none)."
    ]
    bare = Record({}, {}, {"length": 3})
    nothing = figures.compare({"a": bare}, "transport")
    assert "None of these runs has it." in texts(nothing)
    assert notes(nothing) == ["Left out: 1 of 1 run (not measured)."]


def test_zeros_and_nan_of_all_sequences_stand_in_lanes():
    zero = record([[-np.inf, -3.0], [-1.0, -1.0]], [[Status.ZERO, 0], [0, 0]])
    nan = record([[np.nan, -2.0], [np.nan, np.nan]], [[Status.NAN, 0], [Status.NAN, Status.NAN]])
    figure = figures.compare({"g": [zero, nan]}, "transport")
    assert {"exactly zero", "NaN"} <= set(names(figure))
    held = {entry.name: entry for entry in figure.data if entry.type == "heatmap"}
    assert np.asarray(held["NaN"].z, float).tolist() == [[1, 2]]
    assert held["NaN"].zmax == 4
    assert trace(figure, "g").y[1] == -1


def test_what_comes_from_a_store_is_text_in_every_name(seeds):
    figure = figures.compare({MARKUP: seeds[:2], "b": seeds[2:4]}, "transport", members=True)
    shown = str([(entry.name, entry.hovertemplate, entry.text) for entry in figure.data])
    assert MARKUP not in shown
    assert "&lt;b onclick" in shown
    assert MARKUP in figures.table(figure)["series"]
    panels = figures.compare({MARKUP: {"a": seeds[0]}, "x": {"a": seeds[1]}}, "transport")
    assert MARKUP not in "".join(entry.text for entry in panels.layout.annotations)
    assert MARKUP not in figures.difference(seeds[0], seeds[1], names=(MARKUP, "b")).to_json().split('"panels"')[
        0
    ].replace(figures.difference(seeds[0], seeds[1], names=(MARKUP, "b")).layout.meta["caption"], "")


def test_the_title_of_an_axis_stands_left_of_words_in_capitals_beside_the_lanes(cases):
    layout = figures.compare({"LSTM": cases["lstm"], "RNN": cases["diverged"]}, "transport").layout
    assert "RNN NaN" in layout.yaxis2.ticktext
    assert layout.yaxis.title.standoff > 10
    assert frame._word_width("RNN NaN") > frame._word_width("rnn nan")


def test_a_legend_beside_the_plot_takes_no_room_above_it(seeds):
    few, many = (
        {f"group {number}": [one] for number, one in zip(range(size), seeds * 9, strict=False)} for size in (1, 9)
    )
    above, beside = (figures.compare(groups, "transport").layout for groups in (few, many))
    assert (above.legend.orientation, beside.legend.orientation) == (None, "v")
    assert beside.margin.t < above.margin.t


def test_plots_of_a_row_of_panels_begin_at_one_height_whatever_lanes_they_have(cases):
    panels = {"sound": {"a": cases["lstm"]}, "broken": {"a": cases["diverged"]}}
    layout = figures.compare(panels, "transport").layout
    assert layout.yaxis4.domain is not None
    assert layout.yaxis.domain == layout.yaxis3.domain


def test_panels_have_common_axes_and_one_legend(seeds, grus):
    groups = {"a": seeds[:2], "b": seeds[2:]}
    figure = figures.compare({"LSTM": groups, "GRU": {"a": grus}, "none": {"b": Record({}, {}, {})}}, "transport")
    headings = [entry.text for entry in figure.layout.annotations if entry.name == "panel"]
    assert headings == ["<b>LSTM</b>", "<b>GRU</b>", "<b>none</b>"]
    assert names(figure).count("a") == 1
    assert figure.layout.yaxis3.matches == "y"
    assert figure.layout.xaxis2.matches == figure.layout.xaxis3.matches == "x"
    assert figure.layout.yaxis.range == figure.layout.yaxis3.range == figure.layout.yaxis5.range
    drawn = [entry for entry in figure.data if entry.name == "a" and entry.mode == "lines" and entry.x is not None]
    assert [entry.xaxis for entry in drawn] == ["x", "x2"]
    np.testing.assert_allclose(drawn[1].y, np.median([np.median(one["transport"], axis=1) for one in grus], axis=0))
    right = figure.layout.xaxis3.domain[1]
    assert right == pytest.approx(1)
    assert "None of these runs has it." in texts(figure)


@given(st.integers(1, 40))
def test_every_panel_has_a_place(number):
    assert rows_of(number) * columns_of(number) >= number > (rows_of(number) - 1) * columns_of(number)
    assert columns_of(number) <= 4


@pytest.mark.parametrize(
    ("draw", "remedy"),
    [
        (lambda one: figures.compare({}, "transport"), "Give e.g"),
        (lambda one: figures.compare({"a": one}, "transprot"), "Did you mean 'transport'"),
        (lambda one: figures.compare({"a": one}, "timescale"), "`probe` must be one of"),
        (lambda one: figures.compare({"a": one}, spread="10-91"), "Did you mean '10-90'"),
        (lambda one: figures.compare({"a": one}, template="drak"), "Did you mean 'dark'"),
        (lambda one: figures.compare({"a": one, "b": {"c": one}}), "Put every group into a panel"),
        (lambda one: spread([1.0], "some"), "must be one of"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_remedy(seeds, draw, remedy):
    with pytest.raises(ArgumentError, match=remedy):
        draw(seeds[0])


def test_records_of_different_units_or_axes_are_refused():
    logs, plain = record([[0.0]]), record([[1.0]], unit="1")
    with pytest.raises(
        ArgumentError, match=r"must have one unit in a figure, got log10 and 1\. Compare records of the same"
    ):
        figures.compare({"a": logs, "b": plain}, "transport")
    with pytest.raises(ArgumentError, match="must have one unit in a figure"):
        figures.difference(logs, plain, "transport")
    steps = record([[0.0]], axes=("step", "batch"))
    with pytest.raises(
        ArgumentError, match=r"must have one axis in a figure, got time and step\. Compare records of the same"
    ):
        figures.compare({"a": logs, "b": steps}, "transport")


# The difference ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", ["transport", "jacobian_norm", "retention"])
def test_a_difference_is_that_of_the_logs(seeds, probe):
    figure = figures.difference(seeds[0], seeds[1], probe, names=("a", "b"))
    one, two = (np.asarray(seeds[place][probe]) for place in (0, 1))
    if probe == "jacobian_norm":
        one, two = np.log10(one), np.log10(two)
    sign = "/" if probe != "retention" else "\N{MINUS SIGN}"
    drawn = trace(figure, f"a {sign} b")
    np.testing.assert_allclose(drawn.y, np.median(one, axis=1) - np.median(two, axis=1), atol=1e-12)
    assert ("ratio" in figure.layout.yaxis.title.text) == (probe != "retention")
    larger = figure.data[[entry.name for entry in figure.data].index("a is larger")]
    assert max(larger.y) == pytest.approx(max(0, *drawn.y))


def test_the_band_of_a_difference_holds_all_pairs_of_runs(seeds, grus):
    pair = [pool(name, [line(one, "transport") for one in runs]) for name, runs in (("a", seeds), ("b", grus))]
    data = subtract(*pair, "transport")
    medians = [np.stack([np.median(one["transport"], axis=1) for one in runs], 1) for runs in (seeds, grus)]
    every = (medians[0][:, :, None] - medians[1][:, None, :]).reshape(31, -1)
    np.testing.assert_allclose(data.series.low, np.quantile(every, 0.1, axis=1), atol=1e-12)
    np.testing.assert_allclose(data.series.high, np.quantile(every, 0.9, axis=1), atol=1e-12)
    np.testing.assert_allclose(data.series.median, np.median(medians[0], 1) - np.median(medians[1], 1), atol=1e-12)


def test_zeros_of_a_difference_are_told_apart():
    one = record([[-np.inf], [-np.inf], [-2.0], [-2.0], [np.nan]])
    two = record([[-np.inf], [-1.0], [-np.inf], [-2.0], [-1.0]])
    data = subtract(pool("a", [line(one, "transport")]), pool("b", [line(two, "transport")]), "transport")
    assert data.zeros["both exactly zero"].tolist() == [True, False, False, False, False]
    assert data.zeros["a exactly zero"].tolist() == [False, True, False, False, False]
    assert data.zeros["b exactly zero"].tolist() == [False, False, True, False, False]
    assert data.equal.tolist() == [False, False, False, True, False]
    assert data.bad["no number in a"].tolist() == [False, False, False, False, True]
    figure = figures.difference(one, two)
    assert {"a exactly zero", "b exactly zero", "both exactly zero", "no number in a"} <= set(names(figure))
    assert list(trace(figure, "equal to the last digit").x) == [3]


def test_axes_that_do_not_match_are_said_and_cut_nowhere_else():
    one, two = record(np.zeros((5, 1))), record(np.ones((3, 1)))
    figure = figures.difference(one, two)
    assert any(
        "a was measured at 5 places from 0 to 4, b was measured at 3 places from 0 to 2" in n for n in notes(figure)
    )
    assert list(trace(figure, "a / b").x) == [0, 1, 2]
    apart = Record(
        {"transport": Field("transport", np.zeros((1, 1)), ("time", "batch"), "log10", {"time": [9]})}, {}, {}
    )
    assert "share no place" in texts(figures.difference(one, apart))
    gone = figures.difference(one, Record({}, {}, {}))
    assert "There is no difference to draw: b has none of it." in texts(gone)


@given(st.lists(st.floats(-300, 300), min_size=2, max_size=5), st.data())
def test_a_difference_turns_its_sign_with_its_order(values, data):
    others = data.draw(st.lists(st.floats(-300, 300), min_size=len(values), max_size=len(values)))
    one, two = (
        pool(name, [line(record(np.array(v)[:, None]), "transport")]) for name, v in (("a", values), ("b", others))
    )
    there, back = subtract(one, two, "transport"), subtract(two, one, "transport")
    np.testing.assert_array_equal(there.series.median, -back.series.median)
    np.testing.assert_array_equal(there.equal, np.array(values) == np.array(others))


# Looks and numbers ---------------------------------------------------------------------------------------------------


def test_numbers_lie_on_an_ordered_scale_that_others_do_not_move():
    values = [(0.0,), (1,), (2.0,), (5.0,)]
    every = looks(values)
    assert [every[key].colour for key in values] == palette.ramp(4)
    assert looks([(2.0,)], values) == {(2.0,): every[(2.0,)]}
    assert looks([(None,)], values)[(None,)].colour == palette.NEUTRAL
    assert looks([(1,)], values)[(1,)] == looks([(1.0,)], values)[(1.0,)]


def test_words_have_colours_of_their_own_and_a_second_parameter_its_dash():
    assert looks([("LSTM",), ("GRU",)])[("GRU",)] == Look(palette.GREEN)
    many = looks([(f"word{n:02}",) for n in range(20)])
    assert len(set(many.values())) == 20
    both = looks([("LSTM", 1), ("LSTM", 2), ("GRU", 1)])
    assert both[("LSTM", 1)].colour == both[("LSTM", 2)].colour == palette.BLUE
    assert both[("LSTM", 1)].dash == both[("GRU", 1)].dash != both[("LSTM", 2)].dash
    crowd = looks([(cell, n) for cell in ("LSTM", "GRU") for n in range(9)])
    assert len({look.colour for look in crowd.values()}) == 18
    assert len({numbered(number) for number in range(36)}) == 36
    assert {numbered(number).colour for number in range(6)} == set(HUES)


def test_values_stand_in_order():
    assert ordered(["LSTM", "GRU", 3, None, 10, 2.0, "RNN", 2]) == [None, 2, 3, 10, "RNN", "LSTM", "GRU"]
    assert ordered(["after training", "before training"]) == ["before training", "after training"]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_a_summary_is_that_of_numpy(values):
    found = spread(values, "10-90")
    np.testing.assert_allclose([found.low, found.median, found.high], np.quantile(values, [0.1, 0.5, 0.9]), atol=1e-6)
    assert found.runs == len(values)


def test_a_summary_keeps_infinities_and_counts_nan():
    found = spread([np.inf, np.inf, 1.0, np.nan, None, "text", True])
    assert (found.low, found.median, found.high, found.runs, found.bad) == (1.0, np.inf, np.inf, 3, 1)
    assert spread([None]).runs == spread([]).bad == 0
    assert np.isnan(spread([]).median)
    assert spread([-np.inf]).median == -np.inf
    assert spread([1e25, 2e25, 3e25]) == Spread(2e25, 1e25, 3e25, 3, 0)  # large, and no infinity


def test_the_most_telling_parameter_comes_first():
    rng = np.random.default_rng(0)
    table = [
        {"bias": bias, "noise": int(rng.integers(3)), "id": n, "same": 1, "decay_rate": 10.0**bias + 0.1 * rng.random()}
        for n, bias in enumerate(range(4))
        for _ in range(6)
    ]
    for number, row in enumerate(table):
        row["id"] = number
    table[0]["decay_rate"] = np.inf
    assert telling(table, ["noise", "same", "id", "bias"], "decay_rate")[:2] == ["bias", "noise"]
    assert telling([], ["b", "a"], "decay_rate") == ["b", "a"]


# The store -----------------------------------------------------------------------------------------------------------


def test_a_store_gives_one_array_of_many_runs_at_a_moment(tmp_path):
    path = tmp_path / "results.db"
    first, last = sample(seed=1, **SMALL), sample(seed=2, **SMALL)
    with Store(path, "w") as store:
        sweep = store.add_sweep("s", {})
        for run, records in (("b", {0: first, 60: last}), ("a", {0: last})):
            store.start_run(run, sweep, {"cell": "LSTM"})
            store.finish_run(run, records)
        store.start_run("running", sweep, {})
    with Store(path) as store:
        found = store.across(["transport", "no such array"])
        assert list(found) == ["b", "a"]
        assert list(found["b"]) == ["transport"]
        np.testing.assert_array_equal(found["b"]["transport"], last["transport"])
        assert found["b"].summary["decay_rate"] == last.summary["decay_rate"]
        assert found["b"].config["length"] == 30
        np.testing.assert_array_equal(store.across(["transport"], ["b"], "first")["b"]["transport"], first["transport"])
        assert list(store.across(["transport"], ["a", "b", "c"], 60)) == ["b"]
        assert store.across([], [], "last") == {}
        with pytest.raises(ArgumentError, match="Or give a number"):
            store.across(["transport"], iteration="lsat")


def test_a_line_says_why_there_is_none():
    assert line(Record(), "transport", run="r") == Line("r", absent="not measured")
    with pytest.raises(ArgumentError, match="Did you mean 'transport'"):
        line(Record(), "transportt")


# The numbers of a figure ---------------------------------------------------------------------------------------------


def told(figure, **wanted) -> list[float]:
    """Return the values of the rows of a figure's table that hold what is wanted."""
    columns = figures.table(figure)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [row["value"] for row in rows if all(row[name] == entry for name, entry in wanted.items())]


def test_the_table_of_a_comparison_names_group_part_panel_and_run(seeds, grus):
    groups = {"LSTM": seeds, "GRU": grus}
    figure = figures.compare(groups, "transport", members=True)
    medians = np.stack([np.median(one["transport"], axis=1) for one in seeds], axis=1)
    np.testing.assert_allclose(told(figure, series="LSTM", part="median"), np.median(medians, axis=1))
    np.testing.assert_allclose(told(figure, series="LSTM", part="each run", run="3"), medians[:, 3])
    low = told(figure, series="LSTM", part="10\N{EN DASH}90 % of runs: low")
    np.testing.assert_allclose(low, np.quantile(medians, 0.1, axis=1))
    panels = figures.compare({"a": {"x": seeds}, "b": {"x": grus}}, "transport")
    columns = figures.table(panels)
    assert set(columns["series"]) == {"a, x", "b, x"}
    assert set(columns["quantity"]) == {"Transport to the last state"}
    assert set(columns["measured_in"]) == {"log10"}
    np.testing.assert_allclose(told(panels, series="a, x", part="median"), np.median(medians, axis=1))


def test_the_table_of_a_difference_holds_each_number_once(seeds):
    figure = figures.difference(seeds[0], seeds[1], "transport")
    assert len(figures.table(figure)["value"]) == 31
    one, two = (np.median(seeds[place]["transport"], axis=1) for place in (0, 1))
    np.testing.assert_allclose(told(figure, series="a / b"), one - two, atol=1e-12)
