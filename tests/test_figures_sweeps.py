"""Figures over many runs, by their data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drawn_figures import names, rows, texts, trace
from hypothesis import given
from hypothesis import strategies as st

from gradscope import figures
from gradscope.errors import ArgumentError
from gradscope.figures import sweeps
from gradscope.figures.settings import standing
from gradscope.record import Record
from gradscope.store import Store


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


def test_the_table_of_a_phase_map_has_every_digit_and_every_value_of_an_axis():
    """More values than there are ticks; a third has no short form; and each cell that has no number says why."""
    table = [{"x": x / 30, "y": y, "rate": x + 100 / 3} for x in range(40) for y in (None, True, "a") if x or y]
    table += [{"x": -1.0, "y": y, "rate": rate} for y, rate in ((None, math.inf), (True, math.nan), ("a", -math.inf))]
    found = figures.table(figures.phase_map(table, "x", "y", "rate"))
    places, told = zip(found["x"], found["y"], strict=True), zip(found["value"], found["status"], strict=True)
    cells = dict(zip(places, told, strict=True))
    assert len(cells) == len(found["value"]) == 41 * 3
    assert {x for x, _ in cells} == {-1.0, *(x / 30 for x in range(40))}
    assert cells[7 / 30, "a"] == (7 + 100 / 3, "ok")
    assert cells[-1.0, "none"] == (math.inf, "inf")
    assert cells[-1.0, "a"] == (-math.inf, "\N{MINUS SIGN}inf")
    assert cells[-1.0, "yes"][1] == "NaN"
    assert cells[0.0, "none"][1] == "no run"
    assert np.isnan([cells[-1.0, "yes"][0], cells[0.0, "none"][0]]).all()
    written = figures.to_csv(figures.phase_map(table, "x", "y", "rate"))
    assert f"rate,value,{7 / 30!r},a,{7 + 100 / 3!r},rate,,ok" in written.splitlines()


def test_wide_values_are_log10_in_the_table_and_say_so():
    wide = [{"x": i, "y": 0, "half_life": 3 * 10.0**i} for i in range(6)]
    found = figures.table(figures.phase_map(wide, "x", "y", "half_life"))
    assert set(found["measured_in"]) == {"log10 step"}
    np.testing.assert_allclose(found["value"], np.log10(3) + np.arange(6), rtol=1e-15)


@pytest.mark.parametrize(("columns", "size"), [(3, 12.0), (6, 12.0), (8, 11.5), (15, None)])
def test_numbers_in_narrow_cells_are_small_and_none_touches_the_next(columns, size):
    table = [{"x": x, "y": y, "rate": -0.012 * (x + 1)} for x in range(columns) for y in range(4)]
    heat = trace(figures.phase_map(table, "x", "y", "rate"), "rate", "heatmap")
    assert (heat.textfont.size if heat.text is not None else None) == size


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


def test_the_axis_of_few_runs_has_whole_numbers_alone():
    few = figures.verdict_counts(rows()[:6])
    assert few.layout.xaxis.dtick == 1
    assert figures.verdict_counts(rows() * 9).layout.xaxis.dtick is None


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


# Groups and conditions -----------------------------------------------------------------------------------------------

VALUES = st.none() | st.integers(-2, 2) | st.sampled_from(["a", "LSTM", "b,c", True, 0.5])


@given(st.lists(st.tuples(VALUES, VALUES), max_size=9))
def test_groups_hold_every_run_once_beside_those_of_the_same_values(pairs):
    table = [{"run": number, "p": p, "q": q} for number, (p, q) in enumerate(pairs)]
    groups = sweeps.group_runs(table, ("p", "q"))
    assert sorted(row["run"] for _, members in groups for row in members) == list(range(len(table)))
    assert len(groups) == len({(str(p), str(q)) for p, q in pairs})
    assert all((row["p"], row["q"]) == values for values, members in groups for row in members)
    firsts = [standing(values[0]) for values, _ in groups]
    assert firsts == sorted(firsts)


def test_conditions_of_cells_and_bars_choose_their_runs(tmp_path):
    peculiar = [
        {"cell": "LSTM", "p": 0.1},
        {"cell": "GRU", "p": None},
        {"cell": "<b>", "p": 3},
        {"cell": "GRU", "p": [1]},
    ]
    with Store(tmp_path / "results.db", "w") as store:
        sweep = store.add_sweep("one", {})
        for number, config in enumerate(peculiar):
            store.start_run(str(number), sweep, config)
        store.finish_run("0", {0: Record({}, {"verdict": "stable", "decay_rate": 0.1})})
        store.finish_run("1", {0: Record({}, {"verdict": "diverged", "decay_rate": 0.2})})
        store.fail_run("2", "no memory")
        table = store.table(iteration="last")
        conditions = figures.phase_map(table, "p", "cell").layout.meta["conditions"]
        data = sweeps.map_runs(table, "p", "cell")
        for i, column in enumerate(conditions["x"]):
            for j, line in enumerate(conditions["y"]):
                runs = store.table(where=[*column, *line])
                assert [(row["p"], row["cell"]) for row in runs] in ([], [(data.columns[i], data.rows[j])])
        conditions, data = figures.verdict_counts(table).layout.meta["conditions"], sweeps.count_verdicts(table)
        for j, line in enumerate(conditions["y"]):
            for i, verdict in enumerate(conditions["trace"]):
                assert len(store.table(where=[*line, *verdict])) == data.counts[j, i]
        assert {"failed", "running"} <= set(data.verdicts)


def test_runs_whose_parameter_is_no_number_stand_in_one_column():
    rows = [{"run": str(n), "p": np.float64("nan"), "q": 1, "decay_rate": float(n)} for n in range(3)]
    data = sweeps.map_runs(rows, "p", "q")
    assert (len(data.columns), data.median.tolist(), data.runs.tolist()) == (1, [[1.0]], [[3]])


def networks(**more: object) -> list[dict]:
    """Return the rows of a sweep of random networks over gain and length."""
    usual = {"cell": "RNN", "activation": "tanh", "recurrent": "gaussian", "iteration": 0, "decay_rate": 0.1}
    return [usual | {"gain": gain, "length": length} | more for gain in (0.5, 0.75, 1.5) for length in (10, 20)]


def test_the_critical_gain_is_drawn_over_networks_that_have_a_theory():
    data = sweeps.map_runs(networks() + networks(activation="relu", length=30), "length", "gain")
    np.testing.assert_array_equal(data.critical, [1.0, 1.0, np.nan])
    figure = sweeps.draw_map(data)
    line = next(one for one in figure.data if one.name == sweeps.CRITICAL and one.meta["role"] == "level")
    assert {round(at, 12) for at in line.y if at is not None} == {round(4 / 3, 12)}  # a third of the way to 1.5
    assert (line.x[0], line.x[-2]) == (-0.5, 1.5)
    assert names(figure).count(sweeps.CRITICAL) == 1
    assert "critical gain of a wide random network without input" in figure.layout.meta["caption"]
    found = figures.table(figure)
    told = [i for i, name in enumerate(found["series"]) if name == sweeps.CRITICAL]
    assert [(found["length"][i], found["value"][i]) for i in told] == [(10, 1.0), (20, 1.0)]
    turned = [one for one in figures.phase_map(networks(), "gain", "length").data if one.name == sweeps.CRITICAL]
    np.testing.assert_allclose([at for at in turned[0].x if at is not None], 4 / 3)


def test_another_initializer_moves_the_critical_gain():
    np.testing.assert_allclose(
        sweeps.map_runs(networks(recurrent="uniform"), "length", "gain").critical, np.sqrt(3), rtol=1e-15
    )


@pytest.mark.parametrize(
    "more",
    [{"cell": "LSTM"}, {"activation": "relu"}, {"recurrent": "identity"}, {"recurrent": None}, {"iteration": 60}],
)
def test_without_a_theory_there_is_no_critical_line(more):
    figure = figures.phase_map(networks(**more), "length", "gain")
    assert sweeps.CRITICAL not in names(figure)
    assert "critical" not in figure.layout.meta["caption"]


def test_a_critical_gain_beyond_the_axis_and_runs_of_several_are_not_drawn():
    beyond = figures.phase_map([row for row in networks() if row["gain"] < 1], "length", "gain")
    mixed = figures.phase_map(networks() + networks(recurrent="uniform"), "length", "gain")
    assert sweeps.CRITICAL not in names(beyond) + names(mixed)
