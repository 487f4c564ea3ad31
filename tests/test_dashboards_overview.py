"""The overview without a browser: links, table, rows and groups, filters, what is sent."""

from __future__ import annotations

import json
import math
from pathlib import Path

import dash
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shown_pages import fill, find, texts

from gradscope.dashboards import address, app, grid, groups, overview, rows, sheet, shell, words
from gradscope.dashboards.address import View
from gradscope.dashboards.reader import Reader
from gradscope.dashboards.table import Table
from gradscope.record import Record
from gradscope.store import Span, Store

NOTHING = {"sweep": None, "when": "first", "cell": [], "activation": [], "verdict": [], "where": [], "group": []}
CONTROLS = NOTHING | {"x": "length", "y": "forget_bias", "value": "decay_rate", "column": []}


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    return fill(tmp_path_factory.mktemp("store") / "results.db")


@pytest.fixture
def reader(filled) -> Reader:
    reader = Reader(filled)
    yield reader
    reader.close()


# Links ---------------------------------------------------------------------------------------------------------------

NAMES = st.text(min_size=1, max_size=12).filter(lambda text: text.strip())
MANY = st.lists(NAMES, max_size=3, unique=True).map(tuple)
VIEWS = st.builds(
    View,
    sweep=st.just("") | NAMES,
    when=st.sampled_from(["first", "last"]),
    cell=MANY,
    activation=MANY,
    verdict=MANY,
    where=MANY,
    x=st.just("") | NAMES,
    y=st.just("") | NAMES,
    value=st.just("") | NAMES,
    column=MANY,
    sort=st.just("") | NAMES,
    group=MANY,
    open=MANY,
)


@given(VIEWS)
def test_a_link_opens_the_view_that_wrote_it(view):
    assert address.parse(address.query(view)) == view


@given(st.text(max_size=40))
def test_any_text_after_the_question_mark_is_a_view(search):
    view = address.parse(search)
    assert view.when in ("first", "last")
    assert address.parse(address.query(view)) == view


def test_a_view_without_choices_has_a_bare_link():
    assert address.query(View()) == ""
    assert address.overview_link(View()) == "/"


def test_a_link_can_be_read_by_people():
    view = View(cell=("LSTM", "GRU"), where=("length>=100",), when="last")
    assert address.query(view) == "?when=last&cell=LSTM&cell=GRU&where=length>=100"


def test_values_that_do_not_fit_fall_back():
    view = View(x="lenght", value="decay_rate", column=("a", "b"))
    settled = view.settle({"x": ["length"], "value": ["decay_rate"], "column": ["b"]})
    assert (settled.x, settled.value, settled.column) == ("", "decay_rate", ("b",))


@given(NAMES.filter(lambda name: "/" not in name))
def test_the_address_of_a_run_names_it(name):
    path = address.run_link(name, View()).partition("?")[0]
    assert address.run_of(path) == name


@pytest.mark.parametrize("path", ["/", "", None, "/run", "/run/", "/run/a/b", "/else/a"])
def test_other_addresses_name_no_run(path):
    assert address.run_of(path) is None


@pytest.mark.parametrize(
    ("search", "latest", "iteration"),
    [("?iteration=60", False, 60), ("?iteration=7", False, 0), ("?iteration=x", True, 60), ("", False, 0)],
)
def test_an_iteration_that_was_not_probed_falls_back(search, latest, iteration):
    assert address.iteration_of(search, [0, 60], latest=latest) == iteration
    assert address.iteration_of(search, []) is None


# Table ---------------------------------------------------------------------------------------------------------------

LENGTH = Span(count=1, numbers=1, same=True, least=10, most=10)
CELL = Span(count=1, numbers=0, same=True, least="LSTM", most="LSTM")


def store_of(path: Path, *configs: dict, **metrics: list) -> Reader:
    """Write a store of runs that are done, each with its share of the metrics, and return a reader of it."""
    with Store(path / "results.db", "w") as store:
        sweep = store.add_sweep("one", {})
        for number, config in enumerate(configs):
            store.start_run(f"r{number}", sweep, config)
            summary = {name: values[number] for name, values in metrics.items()}
            store.finish_run(f"r{number}", {0: Record({}, summary)})
    return Reader(path / "results.db")


def test_the_columns_that_tell_runs_apart_come_first_and_of_groups_their_numbers(tmp_path):
    """A parameter that some runs lack and the others share tells little, as does the seed."""
    configs = [{"seed": 1, "dropout": 0.5, "length": 10, "cell": "RNN"}, {"seed": 2, "length": 20, "cell": "LSTM"}]
    table = store_of(tmp_path, *configs, decay_rate=[1.0, 2.0]).table("last")
    assert [name for name in table.parameters if table.partial(name)] == ["dropout"]
    assert grid.shown(table, View()) == ["length", "cell", "decay_rate", "seed", "dropout"]
    assert grid.shown(table, View(group=("cell",))) == ["cell", "decay_rate", "length", "seed", "dropout"]


def test_how_a_run_was_made_stands_last_and_makes_no_groups_unasked(tmp_path):
    """Even where it explains more of the decay than what the run is; a task has long words, and makes groups."""
    configs = [
        {"learning_rate": n, "probe_schedule": f"every {n}", "task": f"task{n // 3}", "gain": n % 2} for n in range(6)
    ]
    reader = store_of(tmp_path, *configs, decay_rate=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    assert grid.shown(reader.table("last"), View()) == [
        *("gain", "decay_rate", "learning_rate", "probe_schedule", "task"),
    ]
    found = groups.compared(reader, groups.Choice())
    assert (found.by, found.parameters) == (("task",), ("task", "gain", "learning_rate", "probe_schedule"))


def test_what_is_constant_is_told_and_what_varies_has_a_column(reader, tmp_path):
    table = reader.table("first")
    assert {"cell", "hidden_size", "activation", "forget_bias", "length"} <= set(table.varying)
    two = store_of(tmp_path, {"a": 1, "b": 2, "c": None}, {"a": 1, "b": 3, "c": None}).table("last")
    assert two.constant == {"a": 1}
    assert two.varying == ("b",)
    assert two.axes == ("b", "a")


def test_parameters_that_are_lists_are_shown_by_their_words(tmp_path):
    reader = store_of(tmp_path, {"probes": ["b", "c"]}, {"probes": None})
    assert reader.table("last").varying == ("probes",)
    assert grid.columns(reader.table("last"), ["probes"], View())
    assert [row["probes"] for row in rows.answer(reader, "", 0, 9)["rows"]] == ["b, c", None]


SIGNS = st.sampled_from([">=", "<=", "!=", ">", "<", "="])
LIMITS = st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(SIGNS, LIMITS), min_size=1, max_size=2))
def test_conditions_and_the_filters_of_a_column_say_the_same(limits):
    table = Table({"length": LENGTH}, ("length",))
    where = [f"length{sign}{limit}" for sign, limit in limits]
    model = grid.filter_model(where, table, ["length"])
    json.dumps(model, allow_nan=False)
    again = grid.conditions(json.loads(json.dumps(model)))
    assert again == [grid.canonical(text, table) for text in where]
    assert grid.filter_model(again, table, ["length"]) == model


@pytest.mark.parametrize(
    "text", ["length=10,20", "length=nan", "length", "length>x", "other>1", "cell>3", "length=none", 'cell="none"']
)
def test_what_a_columns_filter_cannot_hold_stays_a_condition(text):
    table = Table({"length": LENGTH, "cell": CELL}, ("length", "cell"))
    assert grid.filter_model([text], table, ["length", "cell"]) == {}
    assert grid.canonical(text, table) == text


# Rows ----------------------------------------------------------------------------------------------------------------


def test_what_is_no_ordinary_number_has_a_word_in_its_cell():
    row = {"run": "a", "status": "done", "r": math.inf, "s": -math.inf, "t": math.nan, "u": None}
    cells = rows.cells(row, ["r", "s", "t", "u"])
    assert [cells[name] for name in "rstu"] == ["∞", "−∞", "NaN", None]
    json.dumps(cells, allow_nan=False)


def test_measured_numbers_carry_their_interval():
    row = {"run": "a", "status": "done", "decay_rate": 0.2, "decay_rate_low": 0.19, "decay_rate_high": 0.21}
    assert rows.cells(row, ["decay_rate"])["decay_rate:interval"] == "[0.19, 0.21]"


@pytest.mark.parametrize(
    ("row", "linked"),
    [
        ({"status": "running", "iterations": 60}, True),
        ({"status": "running", "iterations": 0}, False),
        ({"status": "done", "iterations": 60, "iteration": 0}, True),
        ({"status": "failed", "iterations": 60}, False),
    ],
)
def test_a_training_that_can_be_looked_at_has_a_link(row, linked):
    assert rows.cells({"run": "a"} | row, [])["trained"] is linked


@settings(max_examples=10, deadline=None)
@given(st.lists(st.none() | st.floats().map(lambda value: value + 0.0), min_size=1, max_size=7))
def test_the_order_of_the_table_puts_missing_values_last(tmp_path_factory, values):
    reader = store_of(tmp_path_factory.mktemp("order"), *({"n": n} for n in range(len(values))), v=values)
    known = sorted(value for value in values if value is not None and not math.isnan(value))
    for sort, wanted in (("v", known), ("-v", known[::-1])):
        found = rows.answer(reader, f"?sort={sort}&column=v", 0, 99)["rows"]
        assert [row.get("v") for row in found][: len(known)] == list(map(words.number, wanted))
        assert len(found) == len(values)
    reader.close()


def test_pages_of_rows_make_up_the_whole_table(reader):
    parts = [rows.answer(reader, "?sort=-length", first, first + 3) for first in (0, 3, 6, 9)]
    assert [part["count"] for part in parts] == [8] * 4
    found = [row["run"] for part in parts for row in part["rows"]]
    assert found == sheet.order(reader, View(sort="-length"))
    assert sorted(found) == sorted(row["run"] for row in reader.page("first").rows)
    assert len(rows.answer(reader, "", -5, 10**9)["rows"]) == 8


SEEDS = [
    {"cell": cell, "length": length, "seed": seed} for cell in ("LSTM", "GRU") for length in (5, 9) for seed in (0, 1)
]


@pytest.mark.parametrize("order", ["decay_rate", "-decay_rate"])
def test_groups_without_a_number_stand_last_in_either_order(tmp_path, order):
    rates = [math.nan, math.nan, 0.1, 0.3, 2.0, 1.0, None, None]
    reader = store_of(tmp_path, *SEEDS, decay_rate=rates, verdict=["stable"] * 8)
    told = rows.answer(reader, f"?group=cell&group=length&sort={order}", 0, 100)["rows"]
    first = [("LSTM", "9"), ("GRU", "5")]
    found = [(row["cell"], row["length"]) for row in told]
    assert found == [*(first if order == "decay_rate" else first[::-1]), ("LSTM", "5"), ("GRU", "9")]


def test_groups_show_how_many_runs_their_median_and_range_and_open_into_their_runs(tmp_path):
    rates = [0.1, 0.3, math.nan, 0.2, 1.0, 2.0, None, None]
    verdicts = ["stable", "vanishing", "diverged", "vanishing", "vanishing", "vanishing", None, None]
    reader = store_of(tmp_path, *SEEDS, decay_rate=rates, verdict=verdicts)
    closed = rows.answer(reader, "?group=cell&group=length", 0, 100)
    assert closed["count"] == 4
    told = [(row["cell"], row["length"], row["runs"], row["decay_rate"], row["verdict_text"]) for row in closed["rows"]]
    assert told == [
        ("LSTM", "5", 2, "0.2", "stable 1 of 2"),
        ("LSTM", "9", 2, "0.2", "diverged 1 of 2"),
        ("GRU", "5", 2, "1.5", "vanishing"),
        ("GRU", "9", 2, None, "done"),
    ]
    assert closed["rows"][0]["decay_rate:interval"] == "[0.1, 0.3]"
    assert closed["rows"][1]["decay_rate:interval"] == "[0.2, 0.2] 1 NaN"
    assert closed["rows"][0]["seed"] == "2 values"
    opened = rows.answer(reader, "?group=cell&group=length&open=cell=LSTM;length=9&sort=-decay_rate", 0, 100)
    assert opened["count"] == 6
    assert [row["run"] for row in opened["rows"]] == [
        "group cell=GRU;length=5",
        "group cell=LSTM;length=5",
        "group cell=LSTM;length=9",
        "r3",
        "r2",
        "group cell=GRU;length=9",
    ]
    for first in range(6):
        for last in range(first, 7):
            part = rows.answer(reader, "?group=cell&group=length&open=cell=LSTM;length=9&sort=-decay_rate", first, last)
            assert part["rows"] == opened["rows"][first:last]
    by_size = rows.answer(reader, "?group=cell&where=seed=0&sort=-run", 0, 9)["rows"]
    assert [row["runs"] for row in by_size] == [2, 2]
    reader.close()


def test_a_browser_that_has_the_rows_is_not_sent_them_again(filled):
    client = app.create_app(filled).server.test_client()
    first = client.get("/overview/rows?first=0&last=5&sort=length", headers={"Host": "localhost"})
    assert first.json["count"] == 8
    assert first.headers["Cache-Control"] == "no-cache"
    seen = {"Host": "localhost", "If-None-Match": first.headers["ETag"]}
    again = client.get("/overview/rows?first=0&last=5&sort=length", headers=seen)
    assert (again.status_code, again.data) == (304, b"")
    assert client.get("/overview/rows?first=0&last=5&sort=-length", headers=seen).status_code == 200
    assert client.get("/overview/rows?first=x", headers={"Host": "localhost"}).json["rows"] == []
    gone = app.create_app(filled.parent / "none.db").server.test_client()
    answer = gone.get("/overview/rows", headers={"Host": "localhost"})
    assert answer.status_code == 503
    assert "none.db must" in answer.json["error"]


# Overview ------------------------------------------------------------------------------------------------------------


def test_the_page_chooses_axes_that_vary_and_its_link_does_not_say_them(reader):
    now = sheet.sheet(reader, View())
    assert (now.view.x, now.view.y, now.view.value) == ("length", "forget_bias", "decay_rate")
    assert now.link == View()
    turned = sheet.sheet(reader, View(x="forget_bias"))
    assert (turned.view.x, turned.view.y) == ("forget_bias", "length")
    assert (turned.link.x, turned.link.y) == ("forget_bias", "length")
    same = sheet.sheet(reader, View(x="cell", y="cell"))
    assert same.view.x == "cell" != same.view.y


def test_filters_let_through_what_they_say(reader):
    def runs(**choices):
        return set(sheet.order(reader, View(**choices)))

    assert runs(cell=("LSTM",)) == {"run-0", "run-1"}
    assert runs(cell=("LSTM", "GRU"), where=("length>=40",)) == {"run-1", "run-3"}
    assert runs(verdict=("vanishing",), when="first") >= {"run-0", "all-zero"}
    assert "run-0" not in runs(verdict=("vanishing",), when="last")
    assert len(runs()) == 8
    assert sheet.order(reader, View(sort="-length"))[0] == "all-zero"


def test_a_condition_that_cannot_be_read_is_explained_and_the_others_hold(reader):
    now = sheet.sheet(reader, View(where=("lenght>1", "cell=GRU")))
    assert "Did you mean 'length'?" in now.trouble
    assert (now.where, now.page.count) == (("cell=GRU",), 2)


def test_chips_count_what_the_other_filters_leave(reader):
    chips = sheet.parts(reader, View(cell=("LSTM",), where=("length>=40",)))["cell:chips"]
    counts = {chip.value: texts(chip.children[1]) for chip in chips}
    assert counts == {"RNN": "2", "LSTM": "1", "GRU": "1"}
    chips = sheet.parts(reader, View(cell=("GRU", "JANET"), where=("length>900",)))["cell:chips"]
    assert {chip.value: texts(chip.children[1]) for chip in chips} == dict.fromkeys(
        ("RNN", "LSTM", "GRU", "JANET"), "0"
    )


def test_everything_on_the_page_is_strict_json(reader):
    for view in (View(), View(when="last", column=("half_life", "lyapunov_1"), cell=("RNN",))):
        shown = sheet.parts(reader, view)
        for name in ("rows", "columns", "model", "map", "counts"):
            json.dumps(shown[name], allow_nan=False)
        assert shown["map"]["figure"]["data"]


def test_only_what_changed_is_sent(reader):
    def sent(trigger: str, search: str, controls: dict, model: dict) -> dict:
        parts = overview.answer(reader, trigger, search, controls, model, (), before)["parts"]
        return {name: value for name, value in parts.items() if value is not dash.no_update}

    before = overview.marks(sheet.parts(reader, View()))
    assert sent("version", "", CONTROLS, {}) == {}
    filtered = sent("control", "", CONTROLS | {"cell": ["GRU"]}, {})
    assert {"search", "rows", "map", "counts", "match"} <= set(filtered)
    assert not {"columns", "x", "where", "cell:chips"} & set(filtered)
    assert filtered["search"] == "/?cell=GRU"
    assert filtered["match"] == "2 of 8 runs"


def test_a_new_run_is_told_by_a_version_and_no_row_is_sent_with_it(tmp_path):
    reader = store_of(tmp_path, *SEEDS, decay_rate=[0.1] * 8)
    before = overview.marks(sheet.parts(reader, View()))
    controls = CONTROLS | {"x": "length", "y": "cell"}
    with Store(tmp_path / "results.db", "w") as store:
        store.start_run("new", 1, SEEDS[0] | {"seed": 7})
        parts = overview.answer(reader, "version", "", controls, {}, (), before)["parts"]
    sent = {name for name, value in parts.items() if value is not dash.no_update}
    assert {"rows", "match", "counts"} <= sent <= {"rows", "match", "counts", "cell:chips", "no-match:text"}
    assert len(json.dumps(parts["rows"])) < 100
    reader.close()


@pytest.mark.parametrize(
    ("trigger", "search", "controls", "model", "view"),
    [
        ("search", "?cell=GRU", {}, {}, View(cell=("GRU",))),
        ("clear", "?cell=GRU&x=length&sort=-length", {}, {}, View(x="length", sort="-length")),
        ("control", "", {"cell": ["RNN"]}, {}, View(cell=("RNN",))),
        ("control", "?sort=cell", {"cell": ["RNN"]}, {}, View(cell=("RNN",), sort="cell")),
        ("control", "?group=cell&open=cell=GRU", {"group": ["cell", "length"]}, {}, View(group=("cell", "length"))),
        ("control", "?group=cell&open=cell=GRU", {"group": ["cell"]}, {}, View(group=("cell",), open=("cell=GRU",))),
        ("model", "", {}, {"length": {"type": "lessThan", "filter": 30}}, View(where=("length<30",))),
        ("model", "?where=length<30", {"where": ["length<30"]}, {}, View()),
        (
            "model",
            "?where=cell=GRU,LSTM&where=length<30.0",
            {"where": ["cell=GRU,LSTM", "length<30.0"]},
            {"length": {"type": "lessThan", "filter": 30}, "growth": {"type": "equals", "filter": 1}},
            View(where=("cell=GRU,LSTM", "length<30.0", "growth=1")),
        ),
    ],
)
def test_the_view_that_is_asked_for(reader, trigger, search, controls, model, view):
    controls = NOTHING | {"x": "", "y": ""} | controls
    assert overview.asked(trigger, search, controls, model, (), reader.table("first")) == view


@pytest.mark.parametrize(
    ("search", "picked", "view"),
    [
        ("", ["length=20", "forget_bias=none"], View(where=("length=20", "forget_bias=none"))),
        ("?where=length=40&where=gain>1", ["length=20"], View(where=("gain>1", "length=20"))),
        ("?where=length>=10", ["length=20"], View(where=("length>=10", "length=20"))),
        ("?cell=LSTM&cell=GRU", ["cell=LSTM", "verdict=stable"], View(cell=("LSTM",), verdict=("stable",))),
        (
            "",
            ["cell=none", "verdict=none", "status=failed"],
            View(where=("cell=none", "verdict=none", "status=failed")),
        ),
    ],
)
def test_a_part_of_a_figure_keeps_the_runs_that_it_stands_for(reader, search, picked, view):
    assert overview.asked("picked", search, {}, {}, picked, reader.table("first")) == view


@pytest.mark.parametrize(
    ("changed", "trigger"),
    [
        ([("sweep.value", None), ("cell.value", []), ("clear.n_clicks", None), ("runs.filterModel", {})], ""),
        ([("cell.value", ["GRU"])], "control"),
        ([("clear-all.n_clicks", 1)], "clear"),
        ([("picked.data", {"conditions": []}), ("version.data", "1.2.0")], "picked"),
        ([("cell.value", []), ("runs.filterModel", {})], "model"),
        ([("version.data", "1.2"), ("url.search", "")], "search"),
        ([], ""),
    ],
)
def test_of_several_changes_the_one_that_says_most_is_answered(changed, trigger):
    assert overview.triggered(changed) == trigger


def test_a_store_without_numbers_says_so_in_place_of_the_map(tmp_path):
    path = tmp_path / "results.db"
    with Store(path, "w") as store:
        store.add_sweep("study", {})
        for name in ("a", "b"):
            store.start_run(name, 1, {"cell": "LSTM", "length": 10})
            store.fail_run(name, "FloatingPointError: overflow")
        reader = Reader(path)
        shown = sheet.parts(reader, View())
        assert "No run has left a number yet" in shown["map"]["notice"]
        assert "All 2 runs failed" in texts(shown["failed"])
        assert "overflow" in texts(shown["failed"])
        reader.close()


def test_one_of_several_sweeps_is_shown_alone(tmp_path):
    path = tmp_path / "results.db"
    with Store(path, "w") as store:
        for name in ("first", "second"):
            sweep = store.add_sweep(name, {})
            store.start_run(name, sweep, {"cell": "LSTM", "length": 10 * sweep})
        reader = Reader(path)
        assert sheet.order(reader, View()) == ["first", "second"]
        assert sheet.order(reader, View(sweep="2")) == ["second"]
        assert len(sheet.order(reader, View(sweep="nonsense"))) == 2
        choice = find(overview.aside(sheet.parts(reader, View(sweep="2")), reader.sweeps()), "sweep")
        assert [option["label"] for option in choice.data] == ["first", "second"]
        assert choice.value == "2"
        assert texts(shell.sweep_badges(reader.sweeps())) == "Sweep first first Sweep second second"
        reader.close()


def test_every_part_has_a_place_on_the_page(reader):
    shown = sheet.parts(reader, View())
    assert set(shown) == set(overview.PLACES)
    page = [*overview.aside(shown, reader.sweeps()), *overview.content(shown)]
    for place in overview.PLACES.values():
        assert find(page, place.component_id) is not None, place.component_id


def test_the_map_over_the_gain_has_the_critical_line_of_theory(tmp_path):
    network = {"cell": "RNN", "activation": "tanh", "recurrent": "orthogonal"}
    configs = [network | {"gain": gain, "length": length} for gain in (0.5, 1.5) for length in (10, 20)]
    reader = store_of(tmp_path, *configs, decay_rate=[1.0, 1.0, -1.0, -1.0])
    for x, y in (("length", "gain"), ("gain", "length")):
        assert "critical gain in theory" in json.dumps(sheet.parts(reader, View(x=x, y=y))["map"])
