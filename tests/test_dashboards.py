"""The dashboard without a browser: links, table, words, parts of the pages, security, the command."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import dash
import pytest
import sample_records
from click.testing import CliRunner
from dash.exceptions import PreventUpdate
from hypothesis import given
from hypothesis import strategies as st

from gradscope import figures
from gradscope.cli import cli
from gradscope.dashboards import address, app, cards, command, grid, overview, run, sheet, shell, theme, words
from gradscope.dashboards.address import View
from gradscope.dashboards.reader import Reader
from gradscope.dashboards.table import Table
from gradscope.errors import ArgumentError, StoreError
from gradscope.store import Store

NOTHING = {"sweep": None, "when": "first", "cell": [], "activation": [], "verdict": [], "where": []}
CONTROLS = NOTHING | {"x": "length", "y": "forget_bias", "value": "decay_rate", "column": []}


def add_run(store: Store, name: str, config: dict, records: dict, **metrics: float) -> None:
    """Write a finished run."""
    store.start_run(name, 1, config)
    store.finish_run(name, records, metrics, 1.0)


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """Return a store of six small runs, a failed one and a running one."""
    path = tmp_path_factory.mktemp("store") / "results.db"
    small = {"batch": 4, "hidden": 6}
    with Store(path, "w") as store:
        store.add_sweep("quickstart", {})
        for number, (cell, length, bias) in enumerate(
            [("LSTM", 20, 0.0), ("LSTM", 40, 2.0), ("GRU", 20, 0.0), ("GRU", 40, 2.0), ("RNN", 20, None)]
        ):
            config = {"cell": cell, "hidden_size": 6, "activation": "tanh", "forget_bias": bias, "length": length}
            before = sample_records.sample(cell, length=length, keep_bias=bias or 0, rate=0.3, seed=number, **small)
            after = sample_records.sample(cell, length=length, keep_bias=bias or 0, rate=0.02, seed=number, **small)
            add_run(store, f"run-{number}", config, {0: before, 60: after}, accuracy_before=0.1, accuracy_after=0.9)
        peculiar = {"cell": "RNN", "hidden_size": 32, "activation": "relu", "forget_bias": None, "length": 120}
        add_run(store, "all-zero", peculiar, {0: sample_records.all_zero()})
        store.start_run("failed", 1, {"cell": "RNN", "hidden_size": 6, "length": 20})
        store.fail_run("failed", "MemoryError: no memory")
        store.start_run("running", 1, {"cell": "RNN", "hidden_size": 6, "length": 40})
    return path


@pytest.fixture
def reader(filled) -> Reader:
    reader = Reader(filled)
    yield reader
    reader.close()


def texts(component: object) -> str:
    """Return all text of a component and what is in it."""
    if isinstance(component, (list, tuple)):
        return " ".join(texts(one) for one in component)
    if hasattr(component, "children"):
        title = f"{component.title} " if getattr(component, "title", None) else ""
        return title + texts(component.children)
    return "" if component is None else str(component)


def find(component: object, identity: object) -> object:
    """Return the component of an id."""
    children = component if isinstance(component, (list, tuple)) else [getattr(component, "children", None)]
    for child in children:
        if getattr(child, "id", None) == identity:
            return child
        if isinstance(child, (list, tuple)) or hasattr(child, "children"):
            found = find(child, identity)
            if found is not None:
                return found
    return None


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


# Words ---------------------------------------------------------------------------------------------------------------


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_a_number_in_words_is_the_number_to_three_digits(value):
    for signed in (value, -value):
        read = float(words.number(signed).replace("−", "-"))
        assert math.isclose(read, signed, rel_tol=0.006)


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.nan, "NaN"), (math.inf, "∞"), (-math.inf, "−∞"), (None, "–"), (0.0, "0"), (200, "200"), ("tanh", "tanh")],
)
def test_what_is_no_ordinary_number_has_a_word(value, text):
    assert words.number(value) == text


def test_a_verdict_has_a_raised_exponent():
    assert words.verdict("vanishing: e^-3.7 over 20 steps") == "vanishing: e⁻³·⁷ over 20 steps"


@pytest.mark.parametrize(("seconds", "text"), [(2.7, "2 s ago"), (-3, "0 s ago"), (61, "1 min ago"), (9e4, "1 d ago")])
def test_how_long_ago(seconds, text):
    assert words.ago(seconds) == text


# Table ---------------------------------------------------------------------------------------------------------------


def test_what_is_constant_is_told_and_what_varies_has_a_column(reader):
    table = reader.table("first")
    assert "length" in table.varying()
    assert {"cell", "hidden_size", "activation", "forget_bias"} <= set(table.varying())
    two = Table([{"a": 1, "b": 2, "c": None}, {"a": 1, "b": 3, "c": None}], ("a", "b", "c"))
    assert two.constant() == {"a": 1}
    assert two.varying() == ("b",)
    assert two.axes() == ["b", "a"]


@given(st.lists(st.none() | st.floats(), max_size=12))
def test_the_order_of_the_table_puts_missing_values_at_one_end(values):
    table = Table([{"run": str(number), "v": value} for number, value in enumerate(values)])
    rising = [row["v"] for row in table.ordered(table.rows, "v")]
    known = [value for value in values if value is not None and not math.isnan(value)]
    missing = len(values) - len(known)
    assert rising[missing:] == sorted(known)
    assert [row["v"] for row in table.ordered(table.rows, "-v")][: len(known)] == sorted(known, reverse=True)


def test_parameters_that_are_lists_are_shown_by_their_words():
    table = Table([{"run": "a", "status": "done", "probes": ["b", "c"]}, {"run": "d", "status": "done"}], ("probes",))
    assert table.varying() == ("probes",)
    assert grid.rows(table.rows, ["probes"])[0]["probes"] == "b, c"
    assert grid.columns(table, ["probes"])


SIGNS = st.sampled_from([">=", "<=", "!=", ">", "<", "="])
LIMITS = st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(SIGNS, LIMITS), min_size=1, max_size=2))
def test_conditions_and_the_filters_of_a_column_say_the_same(limits):
    table = Table([{"run": "a", "status": "done", "length": 10}], ("length",))
    where = [f"length{sign}{limit}" for sign, limit in limits]
    model = grid.filter_model(where, table, ["length"])
    json.dumps(model, allow_nan=False)
    again = grid.conditions(json.loads(json.dumps(model)))
    assert again == [grid.canonical(text, table) for text in where]
    assert grid.filter_model(again, table, ["length"]) == model


@pytest.mark.parametrize(
    "text", ["length=10,20", "length=nan", "length", "length>x", "other>1", "cell>3", "length=none"]
)
def test_what_a_columns_filter_cannot_hold_stays_a_condition(text):
    table = Table([{"run": "a", "status": "done", "length": 10, "cell": "LSTM"}], ("length", "cell"))
    assert grid.filter_model([text], table, ["length", "cell"]) == {}
    assert grid.canonical(text, table) == text


def test_infinities_keep_their_place_and_their_word():
    cells = grid.rows([{"run": "a", "status": "done", "r": math.inf, "s": -math.inf, "t": math.nan}], ["r", "s", "t"])[
        0
    ]
    assert (cells["r"], cells["s"], cells["t"]) == (sys.float_info.max, -sys.float_info.max, None)
    assert (cells["r:words"], cells["s:words"], cells["t:words"]) == ("∞", "−∞", "NaN")
    json.dumps(cells, allow_nan=False)


def test_measured_numbers_carry_their_interval():
    row = {"run": "a", "status": "done", "decay_rate": 0.2, "decay_rate_low": 0.19, "decay_rate_high": 0.21}
    assert grid.rows([row], ["decay_rate"])[0]["decay_rate:interval"] == "[0.19, 0.21]"


@pytest.mark.parametrize(
    ("state", "sort"),
    [(None, None), ([], None), ([{"colId": "a", "sort": None}], ""), ([{"colId": "a", "sort": "desc"}], "-a")],
)
def test_the_order_is_read_from_the_columns(state, sort):
    assert grid.sorting(state) == sort


# Reader --------------------------------------------------------------------------------------------------------------


def test_the_reader_notices_what_others_write_and_forgets_what_it_knew(tmp_path):
    path = tmp_path / "results.db"
    reader = Reader(path)
    with pytest.raises(StoreError, match="must exist"):
        reader.version()
    with Store(path, "w") as store:
        store.add_sweep("one", {})
        first = reader.version()
        assert [entry["name"] for entry in reader.sweeps()] == ["one"]
        assert reader.version() == first
        store.add_sweep("two", {})
        assert reader.version() != first
        assert [entry["name"] for entry in reader.sweeps()] == ["one", "two"]
    for file in path.parent.iterdir():
        file.unlink()
    with pytest.raises(StoreError, match="sweep"):
        reader.sweeps()
    with Store(path, "w") as store:
        store.add_sweep("three", {})
        assert [entry["name"] for entry in reader.sweeps()] == ["three"]
        assert reader.version() != first
    reader.close()


def test_the_reader_answers_from_memory_while_nobody_writes(reader):
    assert reader.record("run-0", 0) is reader.record("run-0", 0)
    for number in range(40):
        reader.table("first", "", (f"length>{number}",))
    assert len(reader._kept) <= 32


def test_a_heartbeat_is_an_age_and_none_when_nothing_runs(reader, tmp_path):
    assert 0 <= reader.heartbeat() < 3600
    with Store(tmp_path / "empty.db", "w"):
        pass
    empty = Reader(tmp_path / "empty.db")
    assert empty.heartbeat() is None
    empty.close()


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
        return {row["run"] for row in sheet.sheet(reader, View(**choices)).rows}

    assert runs(cell=("LSTM",)) == {"run-0", "run-1"}
    assert runs(cell=("LSTM", "GRU"), where=("length>=40",)) == {"run-1", "run-3"}
    assert runs(verdict=("vanishing",), when="first") >= {"run-0", "all-zero"}
    assert "run-0" not in runs(verdict=("vanishing",), when="last")
    assert len(runs()) == 8
    assert sheet.sheet(reader, View(sort="-length")).rows[0]["run"] == "all-zero"


def test_a_condition_that_cannot_be_read_is_explained_and_the_others_hold(reader):
    now = sheet.sheet(reader, View(where=("lenght>1", "cell=GRU")))
    assert "Did you mean 'length'?" in now.trouble
    assert {row["run"] for row in now.rows} == {"run-2", "run-3"}


def test_chips_count_what_the_other_filters_leave(reader):
    chips = sheet.parts(reader, View(cell=("LSTM",), where=("length>=40",)))["cell:chips"]
    counts = {chip.value: texts(chip.children[1]) for chip in chips}
    assert counts == {"RNN": "2", "LSTM": "1", "GRU": "1"}


def test_everything_on_the_page_is_strict_json(reader):
    for view in (View(), View(when="last", column=("half_life", "lyapunov_1"), cell=("RNN",))):
        shown = sheet.parts(reader, view)
        for name in ("rows", "columns", "model", "map", "counts"):
            json.dumps(shown[name], allow_nan=False)
        assert shown["map"]["figure"]["data"]


def test_only_what_changed_is_sent(reader):
    shown = sheet.parts(reader, View())
    before = overview.marks(shown)
    same = overview.answer(reader, "version", "", CONTROLS, {}, None, before)
    assert all(value is dash.no_update for value in same["parts"].values())
    filtered = overview.answer(reader, "control", "", CONTROLS | {"cell": ["GRU"]}, {}, None, before)
    sent = {name for name, value in filtered["parts"].items() if value is not dash.no_update}
    assert {"search", "rows", "map", "counts", "match"} <= sent
    assert not {"columns", "x", "where", "cell:chips"} & sent
    assert filtered["parts"]["search"] == "?cell=GRU"
    assert filtered["parts"]["match"] == "2 of 8 runs"


@pytest.mark.parametrize(
    ("trigger", "search", "controls", "model", "state", "view"),
    [
        ("search", "?cell=GRU", {}, {}, None, View(cell=("GRU",))),
        ("clear", "?cell=GRU&x=length&sort=-length", {}, {}, None, View(x="length", sort="-length")),
        ("control", "", {"cell": ["RNN"]}, {}, None, View(cell=("RNN",))),
        ("state", "?sort=cell", {}, {}, [{"colId": "length", "sort": "desc"}], View(sort="-length")),
        ("state", "", {}, {"length": {"type": "lessThan", "filter": 30}}, [], View(where=("length<30",))),
        ("control", "?sort=cell", {"cell": ["RNN"]}, {}, None, View(cell=("RNN",), sort="cell")),
        ("model", "", {}, {"length": {"type": "lessThan", "filter": 30}}, None, View(where=("length<30",))),
        ("model", "?where=length<30", {"where": ["length<30"]}, {}, None, View()),
        (
            "model",
            "?where=cell=GRU,LSTM&where=length<30.0",
            {"where": ["cell=GRU,LSTM", "length<30.0"]},
            {"length": {"type": "lessThan", "filter": 30}, "growth": {"type": "equals", "filter": 1}},
            None,
            View(where=("cell=GRU,LSTM", "length<30.0", "growth=1")),
        ),
    ],
)
def test_the_view_that_is_asked_for(reader, trigger, search, controls, model, state, view):
    asked = overview.asked(
        trigger, search, NOTHING | {"x": "", "y": ""} | controls, model, state, reader.table("first")
    )
    if trigger == "clear":
        view = View(x="length", sort="-length")
    assert asked == view


@pytest.mark.parametrize(
    ("changed", "trigger"),
    [
        ([("sweep.value", None), ("cell.value", []), ("clear.n_clicks", None), ("runs.filterModel", {})], ""),
        ([("cell.value", ["GRU"])], "control"),
        ([("clear-all.n_clicks", 1)], "clear"),
        ([("runs.columnState", []), ("runs.filterModel", {})], "model"),
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
        assert [row["run"] for row in sheet.sheet(reader, View()).rows] == ["first", "second"]
        assert [row["run"] for row in sheet.sheet(reader, View(sweep="2")).rows] == ["second"]
        assert len(sheet.sheet(reader, View(sweep="nonsense")).rows) == 2
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


# A run ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(sample_records.CASES))
def test_every_way_to_draw_every_card_works_on_every_kind_of_record(name):
    record = sample_records.CASES[name]()
    drawn = 0
    for probe in record:
        if "." in probe:
            continue
        for choice, draw in run.views(probe, record).items():
            assert draw(record).layout.meta["caption"], (probe, choice)
            drawn += 1
    assert drawn > 8


def test_a_page_has_a_card_for_each_probe_under_its_question(reader):
    page = run.page(reader, reader.run("run-0"), "?iteration=60")
    said = texts(page.content)
    for words_ in ("Does the gradient survive?", "Jacobian norm per step", "Gate activation", "Cell-state flow"):
        assert words_ in said
    assert find(page.content, "probed").data == {"run": "run-0", "iteration": 60}
    assert "before" in texts(page.aside)
    assert "Accuracy" in texts(page.aside)


def test_a_figure_that_cannot_be_drawn_gives_its_reason(reader, monkeypatch, caplog):
    assert "figure" in run.draw(reader, "run-0", 0, "jacobian_norm", None)
    assert "`name` must be one of" in run.draw(reader, "run-0", 0, "retension", None)["notice"]
    drawn = json.dumps(run.draw(reader, "run-4", 0, "retention", None)).replace("<br>", " ")
    assert "needs a cell with a gate that keeps" in drawn
    monkeypatch.setattr(figures, "figure", lambda name, record: 1 / 0)
    answer = run.draw(reader, "run-0", 0, "jacobian_norm", None)
    assert answer == {"notice": "This figure could not be drawn: ZeroDivisionError: division by zero", "failed": True}
    assert "Traceback" in caplog.text


def test_an_unknown_choice_draws_the_first(reader):
    first = run.draw(reader, "run-0", 0, "gate_activation", "forget")
    assert run.draw(reader, "run-0", 0, "gate_activation", "nonsense") == first
    assert run.draw(reader, "run-0", 0, "gate_activation", "output") != first


def test_ways_follow_the_order_and_the_filters_of_the_overview(reader):
    links = {getattr(one, "id", None): one for one in run.ways(reader, "run-1", "?cell=LSTM&cell=GRU&sort=-length")}
    assert texts(run.ways(reader, "run-1", "?cell=LSTM&cell=GRU&sort=-length")[1]) == "1 of 4"
    assert "previous-run" not in links
    assert links["next-run"].href == "/run/run-3?cell=LSTM&cell=GRU&sort=-length"
    assert texts(run.ways(reader, "run-4", "?cell=LSTM")[1]) == ""


def test_turning_to_another_iteration_changes_link_request_and_summary(reader):
    probed = {"run": "run-0", "iteration": 0}
    search, value, now, summary, _ = run.turned(reader, "?iteration=60", probed)
    assert (search, value, now) == ("?iteration=60", "60", {"run": "run-0", "iteration": 60})
    assert "stable" in texts(summary)
    with pytest.raises(PreventUpdate):
        run.turned(reader, "", probed)
    with pytest.raises(PreventUpdate):
        run.turned(reader, "", {"run": "gone", "iteration": 0})


def test_the_first_bad_step_is_told(tmp_path):
    path = tmp_path / "results.db"
    with Store(path, "w") as store:
        store.add_sweep("study", {})
        add_run(store, "bad", {"cell": "RNN", "length": 120}, {0: sample_records.diverged()})
    reader = Reader(path)
    said = texts(run.summary(reader, reader.run("bad"), 0))
    assert "First bad step" in said
    assert "t = 41, sequence 7, forward pass, iteration 0" in said
    reader.close()


# Shell ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/", "Phase map"),
        ("/run/run-0", "LSTM, 6 units"),
        ("/run/nobody", "There is no such run"),
        ("/run/failed", "MemoryError: no memory"),
        ("/run/running", "This run is in work"),
        ("/nowhere", "There is no such page"),
    ],
)
def test_each_address_has_its_page(reader, path, says):
    assert says in texts(shell.page(reader, path, "").content)


def test_each_state_of_a_store_has_words_of_its_own(tmp_path):
    path = tmp_path / "results.db"
    reader = Reader(path)
    seen = [texts(shell.page(reader, "/", "").content)]
    path.write_text("no store at all")
    seen.append(texts(shell.page(reader, "/", "").content))
    path.unlink()
    with Store(path, "w") as store:
        seen.append(texts(shell.page(reader, "/", "").content))
        store.add_sweep("study", {})
        seen.append(texts(shell.page(reader, "/", "").content))
    reader.close()
    for said, expected in zip(
        seen,
        ("There is no store here", "This store cannot be read", "The store is empty", "No run has begun yet"),
        strict=True,
    ):
        assert expected in said


def test_the_key_of_a_page_changes_when_it_must_be_built_anew(tmp_path):
    path = tmp_path / "results.db"
    with Store(path, "w") as store:
        store.add_sweep("study", {})
        store.start_run("a", 1, {"cell": "GRU", "length": 20})
        reader = Reader(path)
        running = shell.page(reader, "/run/a", "").key
        store.beat(store.add_owner())
        assert shell.page(reader, "/run/a", "").key == running
        store.finish_run("a", {0: sample_records.sample("GRU", length=20, batch=2, hidden=3)})
        assert shell.page(reader, "/run/a", "").key != running
        assert shell.page(reader, "/run/a", "?iteration=0").key == shell.page(reader, "/run/a", "").key
        reader.close()


def test_the_badge_says_whether_the_sweep_lives():
    assert shell.live(None) == []
    assert texts(shell.live(2.4)).strip().endswith("live · 2 s ago")
    assert "no sign of life · 10 min ago" in texts(shell.live(600))


def test_progress_counts_the_runs_by_status():
    said = texts(shell.progress([{"status": "done"}, {"status": "done"}, {"status": "failed"}]))
    assert said.split() == ["2", "done", "1", "failed"]
    assert shell.progress([]) == []


# Security ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(filled):
    return app.create_app(filled).server.test_client()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8050", "localhost:1", "[::1]:8050"])
def test_this_machine_is_answered(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8050", "127.0.0.1.evil.example", "", "[::1"])
def test_a_foreign_name_is_refused(client, host):
    for path in ("/", "/_dash-layout", "/assets/gradscope.js"):
        assert client.get(path, headers={"Host": host}).status_code in (400, 403)


def test_a_server_for_others_answers_under_any_name(filled):
    client = app.create_app(filled, hosts=None).server.test_client()
    assert client.get("/", headers={"Host": "cluster.example"}).status_code == 200


def test_the_browser_may_load_nothing_from_elsewhere(client):
    answer = client.get("/", headers={"Host": "localhost"})
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    sources = re.findall(r'(?:src|href)="([^"]*)"', answer.get_data(as_text=True))
    assert len(sources) > 10
    assert all(source.startswith("/") and not source.startswith("//") for source in sources)


def test_no_component_offers_to_send_data_away():
    assert cards.CONFIG["showSendToCloud"] is False
    assert cards.CONFIG["displaylogo"] is False


def test_both_templates_go_to_the_browser_as_plain_data():
    templates = theme.templates()
    assert set(templates) == {"light", "dark"}
    assert templates["light"]["layout"]["font"] != templates["dark"]["layout"]["font"]
    json.dumps(templates, allow_nan=False)


# The command ---------------------------------------------------------------------------------------------------------


def test_a_missing_and_a_foreign_store_are_told_in_a_line(tmp_path):
    missing = CliRunner().invoke(cli, ["dashboard", str(tmp_path / "none.db")])
    assert missing.exit_code == 2
    assert "must exist" in missing.output
    (tmp_path / "letter.db").write_text("Dear Sir or Madam")
    foreign = CliRunner().invoke(cli, ["dashboard", str(tmp_path / "letter.db")])
    assert foreign.exit_code == 2
    assert "must be a store of gradscope" in foreign.output
    assert len(foreign.output.strip().splitlines()) == 1


def test_a_port_in_use_is_told_with_a_remedy(filled):
    with command.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ArgumentError, match="or 0 for any free one"):
            command.listen("127.0.0.1", port)
        answer = CliRunner().invoke(cli, ["dashboard", str(filled), "--port", str(port)])
    assert answer.exit_code == 2
    assert f"got {port}, which is in use" in answer.output


@pytest.mark.parametrize("host", ["192.0.2.1", "not an address"])
def test_an_address_of_another_machine_is_told_with_a_remedy(host):
    with pytest.raises(ArgumentError, match=r"Leave it out for 127\.0\.0\.1"):
        command.listen(host, 0)


def test_a_port_that_is_not_allowed_is_told_with_a_remedy(monkeypatch):
    def refuse(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ArgumentError, match="Give one above 1023"):
        command.listen("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("x", False)]
)
def test_which_addresses_are_this_machine_alone(host, loopback):
    assert command._is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8050/"),
        ("0.0.0.0", "http://127.0.0.1:8050/"),
        ("::1", "http://[::1]:8050/"),
    ],
)
def test_the_address_that_is_told_can_be_opened(host, address):
    assert command._address(host, 8050) == address


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_end(filled, ending):
    start = "from gradscope.cli import main; main()"
    program = [sys.executable, "-c", start, "dashboard", str(filled), "--port", "0"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert "http://127.0.0.1:" in told, told
        address = told.split(" is at ")[1].split()[0]
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert b"gradscope" in answer.read()
        request = urllib.request.Request(address, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == 403
        refused.value.close()
        process.send_signal(ending)
        rest = process.stdout.read()
        assert process.wait(timeout=30) == 0, rest
    assert rest.splitlines()[-1] == "The dashboard has ended."
