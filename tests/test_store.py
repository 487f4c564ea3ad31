"""The store: one real SQLite file, written by one process and read by others, through crashes and odd file systems."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from drawn_records import NAMES, SCALARS, assert_same, records, same
from hypothesis import given
from hypothesis import strategies as st
from sample_records import CASES

from gradscope.errors import ArgumentError, StoreError
from gradscope.figures.sweeps import condition
from gradscope.record import Field, Record, Status, to_json
from gradscope.store import SILENT, Condition, Results, Store, file, overview, schema, writer
from gradscope.store.owners import Owner, exists, this_process

TESTS = Path(__file__).parent
NOBODY = 65534
MARKUP = "<script>alert(1)</script>[bold]&'\"; DROP TABLE run; --"


def small(**summary: object) -> Record:
    """Return a record of one short array."""
    return Record({"x": Field("x", np.arange(3.0), ("step",), "1")}, summary, {"cell": {"cell": "LSTM"}})


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "results.db"


@pytest.fixture
def filled(path) -> Path:
    """Return a store of four runs: trained LSTM, untrained GRU, failed RNN, running RNN."""
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {"grid": {"cell": ["LSTM", "GRU", "RNN"]}})
        for number, (cell, bias) in enumerate((("LSTM", 1.0), ("GRU", -1.0), ("RNN", None), ("RNN", None))):
            store.start_run(f"run{number}", sweep, {"cell": cell, "forget_bias": bias, "length": 100 * (number + 1)})
        after = small(decay_rate=0.5, decay_rate_interval=[0.4, 0.6], half_life=math.inf, first_bad_step={"t": 3})
        before = small(decay_rate=0.1, decay_rate_interval=None, half_life=2.0, first_bad_step=None)
        store.finish_run("run0", {0: before, 120: after}, {"accuracy_after": 0.9, "note": MARKUP}, 1.5)
        store.finish_run("run1", {0: small(decay_rate=math.nan, verdict="diverged")}, {"accuracy_after": None}, 0.5)
        store.fail_run("run2", "boom", 0.1)
    return path


def script(code: str, *arguments: object, **options) -> subprocess.Popen:
    """Start a process that runs code with the names of this module's imports."""
    head = "import os, sys, time, math\nimport numpy as np\nfrom gradscope.record import Field, Record\n"
    head += "from gradscope.store import Store\n"
    command = [sys.executable, "-W", "error", "-c", head + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finish(process: subprocess.Popen) -> str:
    """Return what a process printed, once it has ended well."""
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return out


# Round trips -------------------------------------------------------------------------------------------------------


@given(
    record=records(),
    run=NAMES,
    name=NAMES,
    metrics=st.dictionaries(NAMES, st.none() | st.floats() | st.integers() | st.text(max_size=5), max_size=3),
)
def test_a_record_comes_back_from_the_store(tmp_path_factory, record, run, name, metrics):
    path = tmp_path_factory.mktemp("store") / "r.db"
    taken = {*record.summary, *overview.FIXED}
    metrics = {key: value for key, value in metrics.items() if key not in taken}
    record.summary = {key: value for key, value in record.summary.items() if key not in overview.FIXED}
    with Store(path, "w") as store:
        sweep = store.add_sweep(name, {name: name})
        store.start_run(run, sweep, {})
        store.finish_run(run, {0: record, 7: record}, metrics)
    with Store(path) as store:
        assert_same(record, store.record(run))
        assert_same(record, store.record(run, 7))
        assert store.iterations(run) == [0, 7]
        assert store.finished([run, "another"]) == {run}
        assert store.sweeps()[0]["name"] == name
        (row,) = store.table(iteration="last")
    for key, value in metrics.items():
        expected = float(value) if isinstance(value, int) and abs(value) >= 2**63 else value
        assert same(row[key], expected)
    for key, value in record.summary.items():
        if not key.endswith("_interval"):
            assert same(row[key], value)


@pytest.mark.parametrize("case", CASES)
def test_every_case_keeps_its_statuses(case, path):
    record = CASES[case]()
    with Store(path, "w") as store:
        store.start_run(case, store.add_sweep("study", {}), {})
        store.finish_run(case, {0: record})
    with Store(path) as store:
        assert_same(record, store.record(case))


def test_numbers_that_are_no_numbers_come_back_exactly(path):
    values = np.array([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, -412.3])
    values[2] = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\x7f")[0]  # a NaN with a payload
    status = np.array([1, 1, 4, 5, 5, 2, 2], np.uint8)
    record = Record({"x": Field("x", values, ("time",), "log10", {"time": [math.nan, *range(6)]}, status)})
    record.summary = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": None, "e": -0.0, "f": [math.nan, 1.0]}
    with Store(path, "w") as store:
        store.start_run("r", store.add_sweep("study", {"gain": math.inf}), {"gain": math.nan})
        store.finish_run("r", {0: record}, {"loss_after": math.nan, "loss_before": -math.inf})
    with Store(path) as store:
        assert_same(record, store.record("r"))
        (row,) = store.table()
        assert list(store.metrics("r")) == ["loss_after", "loss_before"]
        assert math.isnan(store.metrics("r")["loss_after"])
        assert store.metrics("nothing") == {}
        assert math.isnan(row["a"])
        assert math.isnan(row["gain"])
        assert math.isnan(row["loss_after"])
        assert (row["b"], row["c"], row["d"], row["loss_before"]) == (math.inf, -math.inf, None, -math.inf)
        assert math.copysign(1, row["e"]) == -1
        assert store.sweeps()[0]["spec"] == {"gain": math.inf}


def test_arrays_keep_their_bytes_whatever_their_layout(path):
    big = np.arange(6, dtype=">f4").reshape(2, 3)
    turned = np.asfortranarray(np.arange(6.0).reshape(2, 3))[:, ::-1]
    fields = {name: Field(name, values, ("step", "batch"), "1") for name, values in (("big", big), ("turned", turned))}
    with Store(path, "w") as store:
        store.start_run("r", store.add_sweep("study", {}), {})
        store.finish_run("r", {0: Record(fields)})
        record = store.record("r")
    np.testing.assert_array_equal(record["big"], big)
    np.testing.assert_array_equal(record["turned"], turned)
    assert record["big"].dtype == np.dtype("<f4")
    record["turned"][0, 0] = 9  # a reader may work on its copy


def test_records_of_many_runs_are_those_that_were_stored_and_share_nothing(path):
    """What describes an array is read once for all runs that have the same."""
    made = {name: CASES[name]() for name in ("lstm", "gru", "diverged", "underflow", "masked", "relu")}
    runs = {f"{case}{number}": record for number in range(2) for case, record in made.items()}
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        for name, record in runs.items():
            store.start_run(name, sweep, {})
            store.finish_run(name, {0: record})
    names = list(dict.fromkeys(array for record in made.values() for array in record))
    with Store(path) as store:
        found = store.across(names)
        for name, record in runs.items():
            in_order = {array: record.fields[array] for array in names if array in record}
            assert_same(found[name], Record(in_order, record.summary, record.config))
        changed = found["lstm0"]
        changed.field("gate_saturation").coords["gate"][0] = "mine"
        changed["gate_saturation"][...] = 7
        changed.config["cell"]["cell"] = "mine"
        changed.summary.clear()
        for other in (found["lstm1"], store.across(names)["lstm0"], store.record("lstm1")):
            np.testing.assert_array_equal(other["gate_saturation"], made["lstm"]["gate_saturation"])
            assert other.field("gate_saturation").coords == made["lstm"].field("gate_saturation").coords
            assert (other.config["cell"]["cell"], "verdict" in other.summary) == ("LSTM", True)


def test_only_the_arrays_that_are_asked_for_are_read(path):
    record = CASES["lstm"]()
    with Store(path, "w") as store:
        store.start_run("r", store.add_sweep("study", {}), {})
        store.finish_run("r", {0: record})
        part = store.record("r", names=["transport", "jacobian_norm", "nothing"])
    assert list(part) == [name for name in record if name in ("transport", "jacobian_norm")]
    assert to_json(part.summary) == to_json(record.summary)


def test_markup_and_sql_are_text(path):
    record = Record({MARKUP: Field(MARKUP, np.zeros(1), (MARKUP,), MARKUP, {MARKUP: [MARKUP]})}, {MARKUP: 1.0}, {})
    with Store(path, "w") as store:
        sweep = store.add_sweep(MARKUP, {MARKUP: MARKUP})
        store.start_run(MARKUP, sweep, {"task": MARKUP})
        store.finish_run(MARKUP, {0: record}, {"note": MARKUP})
        store.start_run("failed", sweep, {"task": "digits"})
        store.fail_run("failed", MARKUP)
    with Store(path) as store:
        assert_same(record, store.record(MARKUP))
        assert [row["task"] for row in store.table(MARKUP, where=[f"task={MARKUP}"])] == [MARKUP]
        assert store.runs(where=[f"note={MARKUP}"])[0]["id"] == MARKUP
        assert store.run("failed")["error"] == MARKUP
        assert store.finished([MARKUP, "failed"]) == {MARKUP}


def test_an_error_text_of_broken_bytes_is_kept(path):
    with Store(path, "w") as store:
        store.start_run("r", store.add_sweep("study", {}), {})
        store.fail_run("r", b"no file \xff".decode(errors="surrogateescape"))
        assert store.run("r")["error"] == "no file ?"


# Table, runs, sweeps -----------------------------------------------------------------------------------------------


def test_the_table_has_one_row_for_each_run_and_iteration(filled):
    with Store(filled) as store:
        rows = store.table()
    assert [(row["run"], row["iteration"], row["status"]) for row in rows] == [
        ("run0", 0, "done"),
        ("run0", 120, "done"),
        ("run1", 0, "done"),
        ("run2", None, "failed"),
        ("run3", None, "running"),
    ]
    assert len({tuple(row) for row in rows}) == 1
    assert list(rows[0])[:12] == [*overview.FIXED, "cell", "forget_bias", "length", "decay_rate"]
    last = rows[1]
    assert (last["decay_rate_low"], last["decay_rate_high"], last["half_life"]) == (0.4, 0.6, math.inf)
    assert (last["first_bad_step"], rows[0]["first_bad_step"]) == ('{"t": 3}', None)
    assert (rows[0]["decay_rate_low"], rows[0]["note"], rows[0]["accuracy_after"]) == (None, MARKUP, 0.9)
    assert math.isnan(rows[2]["decay_rate"])
    assert (rows[3]["decay_rate"], rows[3]["error"], rows[3]["seconds"]) == (None, "boom", 0.1)


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        ("first", [("run0", 0), ("run1", 0), ("run2", None), ("run3", None)]),
        ("last", [("run0", 120), ("run1", 0), ("run2", None), ("run3", None)]),
        (0, [("run0", 0), ("run1", 0)]),
        (120, [("run0", 120)]),
        (5, []),
    ],
)
def test_the_table_takes_the_iteration_that_is_asked_for(filled, iteration, expected):
    with Store(filled) as store:
        assert [(row["run"], row["iteration"]) for row in store.table(iteration=iteration)] == expected


def test_an_iteration_that_no_run_has_leaves_conditions_nothing_to_choose_from(filled):
    with Store(filled) as store:
        assert store.table(where=["cell=LSTM"], iteration=5) == []


def test_the_table_equals_the_records(path):
    """Two routes to every number: the table, the record, and the metrics as plain SQL sees them."""
    made = {name: case() for name, case in CASES.items() if name != "long"}
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        for name, record in made.items():
            store.start_run(name, sweep, {"task": name})
            store.finish_run(name, {0: record})
    with Store(path) as store, sqlite3.connect(path) as plain:
        for row in store.table():
            summary = store.record(row["run"]).summary
            for name, value in summary.items():
                query = "SELECT value, low, high, text, status FROM metric WHERE run = ? AND name = ?"
                stored = plain.execute(query, (row["run"], name)).fetchone()
                if name.endswith("_interval"):
                    base = name.removesuffix("_interval")
                    ends = tuple(value) if value else (None, None)
                    assert (row[f"{base}_low"], row[f"{base}_high"]) == ends
                    assert plain.execute(query, (row["run"], base)).fetchone()[1:3] == ends
                elif isinstance(value, dict):
                    assert json.loads(row[name]) == json.loads(stored[3]) == value
                else:
                    assert same(row[name], value)
                    assert stored == columns(value, stored)
    plain.close()


def columns(value: object, stored: tuple) -> tuple:
    """Return the row of a metric that a scalar should have."""
    if isinstance(value, str):
        return (None, None, None, value, Status.OK)
    if value is None:
        return (None, None, None, None, Status.NOT_APPLICABLE)
    if math.isnan(value):
        return (None, None, None, None, Status.NAN)
    return (value, stored[1], stored[2], None, Status.INF if math.isinf(value) else Status.OK)


def test_a_caller_may_change_the_rows_it_got(filled):
    with Store(filled) as store:
        for row in store.table():
            row.clear()
        assert store.table()[1]["decay_rate"] == 0.5


def test_sweeps_tell_how_far_they_are(filled):
    with Store(filled) as store:
        (sweep,) = store.sweeps()
    assert (sweep["name"], sweep["spec"]) == ("study", {"grid": {"cell": ["LSTM", "GRU", "RNN"]}})
    assert (sweep["running"], sweep["done"], sweep["failed"]) == (1, 2, 1)
    assert {"gradscope", "numpy", "python"} <= set(sweep["versions"])
    assert abs(time.time() - sweep["created"]) < 3600


def test_the_same_sweep_again_is_the_same_sweep(path):
    with Store(path, "w") as store:
        first = store.add_sweep("study", {"a": 1})
        assert store.add_sweep("study", {"a": 1}) == first
        assert store.add_sweep("study", {"a": 2}) != first
        assert store.add_sweep("other", {"a": 1}) != first


def test_two_sweeps_may_share_a_run(filled):
    with Store(filled, "w") as store:
        other = store.add_sweep("other", {})
        assert store.runs("other") == store.table(other) == []
        store.include(other, ["run1", "run0", "nothing"])
        store.include(other, ["run1"])
        assert [run["id"] for run in store.runs(other)] == ["run0", "run1"]
        assert [run["id"] for run in store.runs("study")] == ["run0", "run1", "run2", "run3"]
        assert [row["run"] for row in store.table("other")] == ["run0", "run0", "run1"]
        assert [sweep["done"] for sweep in store.sweeps()] == [2, 2]


def test_starting_again_counts_the_attempts(filled):
    with Store(filled, "w") as store:
        before = store.run("run2")
        assert (before["attempts"], before["status"], before["error"]) == (1, "failed", "boom")
        store.start_run("run2", before["sweep"], before["config"])
        again = store.run("run2")
        assert (again["attempts"], again["status"], again["error"], again["seconds"]) == (2, "running", None, None)
        assert [run["id"] for run in store.runs()] == ["run0", "run1", "run2", "run3"]


def test_finishing_again_replaces_everything(filled):
    with Store(filled, "w") as store:
        store.start_run("run0", 1, store.run("run0")["config"])
        assert store.record("run0", 120).summary["decay_rate"] == 0.5  # readable until it is replaced
        store.finish_run("run0", {3: small(growth=1.0)}, {"loss_after": 2.0}, 9.0)
        assert store.iterations("run0") == [3]
        assert store.run("run0")["seconds"] == 9.0
        (row,) = [row for row in store.table() if row["run"] == "run0"]
        assert (row["growth"], row["loss_after"], row["status"]) == (1.0, 2.0, "done")
        assert "note" not in row
        with sqlite3.connect(filled) as plain:
            assert plain.execute("SELECT DISTINCT iteration FROM metric WHERE run = 'run0'").fetchall() == [
                (3,),
                (None,),
            ]
            assert plain.execute("SELECT count(*) FROM field WHERE run = 'run0'").fetchone() == (1,)
        plain.close()


# Runs under way ----------------------------------------------------------------------------------------------------


def growing(updates: int) -> Record:
    """Return a record with an array over the iterations so far, and a layer."""
    record = small(decay_rate=float(updates))
    record.fields["loss"] = Field("loss", np.arange(float(updates)), ("iteration",), "nat")
    record.layers = {"layer1": small(decay_rate=-1.0)}
    return record


def so_far(store: Store, run: str) -> tuple:
    """Return what a store holds of a run under way: its iterations, where the loss is and how long, the curve."""
    loss = {n: len(record["loss"]) for n, record in store.records(run, ["loss"]).items() if "loss" in record}
    return store.iterations(run), loss, list(store.curves(run).get("validation_loss", [[]])[0])


def test_a_run_under_way_grows_and_is_replaced_when_it_is_done(path):
    whole = {0: small(decay_rate=0.0), 3: growing(3), 5: growing(5)}
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        one, _ = owned(store, sweep, "run")
        before = store.run("run")["heartbeat"]
        assert store.add_records({"run": Results({0: small(decay_rate=0.0)})}, one) == {"run"}
        assert store.run("run")["heartbeat"] > before
        assert so_far(store, "run") == ([0], {}, [])
        store.add_records({"run": Results({3: growing(3)}, curves={"validation_loss": {2: 1.0}})}, one)
        assert so_far(store, "run") == ([0, 3], {3: 3}, [2])
        late = Results({5: growing(5)}, curves={"validation_loss": {2: 1.0, 4: 0.5}})
        for _ in range(2):  # the same once more changes nothing
            store.add_records({"run": late}, one)
            assert so_far(store, "run") == ([0, 3, 5], {5: 5}, [2, 4])
        assert store.layers("run") == ["layer1"]
        assert store.arrays("run", "layer1") == ["x"]
        assert store.arrays("run") == ["x", "loss"]
        assert store.run("run")["status"] == "running"
        assert store.probed() == {"run": 3}
        (row,) = store.table(iteration="last")
        assert (row["status"], row["iteration"], "decay_rate" in row) == ("running", None, False)
        assert [(row["iteration"], row["decay_rate"]) for row in store.table()] == [(0, 0.0), (3, 3.0), (5, 5.0)]
        assert store.page().statuses == {"running": 1}
        assert store.across(["x"], iteration="last") == store.across(["x"], iteration="first") == {}
        assert store.across(["x"], iteration=3).keys() == {"run"}
        assert store.finished(["run"]) == set()
        store.finish_runs({"run": Results(whole, {"loss_after": 1.0}, {"validation_loss": {2: 1.0}})}, one)
        assert so_far(store, "run") == ([0, 3, 5], {3: 3, 5: 5}, [2])
        assert store.table(iteration="last")[0]["decay_rate"] == 5.0
        assert store.across(["x"], iteration="last").keys() == {"run"}
        assert store.add_records({"run": late}, one) == set()  # too late
        assert so_far(store, "run") == ([0, 3, 5], {3: 3, 5: 5}, [2])
        assert_both_ways(store)


def test_what_an_unfinished_attempt_has_left_is_readable_until_the_run_begins_anew(path):
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        one, _ = owned(store, sweep, "failed", "interrupted", "taken")
        store.add_records({run: Results({0: growing(0), 2: growing(2)}) for run in ("failed", "interrupted", "taken")})
        store.fail_run("failed", "boom")
        store._connection.execute("UPDATE owner SET heartbeat = heartbeat - 61")
        store._connection.execute("UPDATE run SET heartbeat = heartbeat - 61")
        other, answers = owned(store, sweep, "taken")
        assert answers == {"taken": "ours"}
        assert store.iterations("taken") == []
        assert store.add_records({"taken": Results({9: small()})}, one) == set()  # it is another's now
        assert store.interrupt(one) == 1
        for run in ("failed", "interrupted"):
            assert store.iterations(run) == [0, 2]
            assert store.add_records({run: Results({9: small()})}) == set()
            assert store.claim(sweep, {run: {"cell": "LSTM"}}, other) == {run: "ours"}
            assert (store.iterations(run), store.curves(run), store.arrays(run)) == ([], {}, [])


def test_the_first_record_of_a_new_attempt_replaces_what_was_finished(filled):
    with Store(filled, "w") as store:
        store.start_run("run0", 1, store.run("run0")["config"])
        assert store.iterations("run0") == [0, 120]
        assert store.table(iteration="last")[0]["decay_rate"] == 0.5
        store.add_records({"run0": Results({0: small(decay_rate=9.0)})})
        assert store.iterations("run0") == [0]
        assert store.metrics("run0") == {}
        assert store.table(iteration="last")[0]["decay_rate"] is None
        with pytest.raises(ArgumentError, match=r"got loss_after\. Give them to `finish_runs`"):
            store.add_records({"run0": Results({}, {"loss_after": 1.0})})
        with pytest.raises(ArgumentError, match="Call `start_run` first"):
            store.add_records({"nobody": Results({0: small()})})


def test_planned_runs_wait_until_somebody_begins_them(path):
    with Store(path, "w") as store:
        one, other = store.add_sweep("one", {}), store.add_sweep("other", {})
        store.start_run("a", one, {})
        store.plan(one, ["a", "b", "c"])
        store.plan(other, ["c", "d"])
        assert store.waiting() == 3
        assert [sweep["waiting"] for sweep in store.sweeps()] == [2, 2]
        owned(store, other, "c")
        assert store.waiting() == 2
        assert [sweep["waiting"] for sweep in store.sweeps()] == [1, 1]
        store.plan(one, ["a", "b", "e", "f"])
        assert store.waiting() == 4
        with pytest.raises(ArgumentError, match="Take what `add_sweep` returned"):
            store.plan(99, ["a"])
    with Store(path) as store:
        assert store.waiting() == 4


def test_a_beat_reaches_only_what_is_running(filled):
    with Store(filled, "w") as store:
        owner = store.add_owner()
        store.start_run("run3", 1, store.run("run3")["config"], owner)
        before = {run["id"]: run["heartbeat"] for run in store.runs()}
        store.beat(owner)
        changed = [run["id"] for run in store.runs() if run["heartbeat"] > before[run["id"]]]
    assert changed == ["run3"]


def test_a_run_is_found_by_the_beginning_of_its_id(filled):
    with Store(filled, "w") as store:
        store.start_run("abc", 1, {})
        store.start_run("abcdef", 1, {})
        store.start_run("a%", 1, {})
        assert store.run("abcd")["id"] == "abcdef"
        assert store.run("abc")["id"] == "abc"
        assert store.run("a%")["id"] == "a%"
        with pytest.raises(ArgumentError, match=r"which begins 3 \(abc, abcdef, a%\)\. Give more of the id"):
            store.run("a")
        with pytest.raises(ArgumentError, match=r"begins 4 \(run0, run1, run2, \.\.\.\)"):
            store.run("run")
        for missing in ("xyz", "", "%", "A"):
            with pytest.raises(ArgumentError, match=r"List them with `gradscope runs .*results.db`"):
                store.run(missing)


# Owners ------------------------------------------------------------------------------------------------------------


def owned(store: Store, sweep: int, *runs: str) -> tuple[str, dict[str, str]]:
    """Claim runs as a new owner."""
    owner = store.add_owner()
    return owner, store.claim(sweep, {run: {"cell": "LSTM"} for run in runs}, owner)


def test_a_run_belongs_to_one_living_owner(path):
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        one, answers = owned(store, sweep, "a", "b")
        assert answers == {"a": "ours", "b": "ours"}
        other, answers = owned(store, sweep, "a", "c")
        assert answers == {"a": "held", "c": "ours"}
        assert store.claim(sweep, {"a": {}}, one) == {"a": "ours"}  # once more, its worker died
        assert store.finish_runs({"a": Results({0: small()}), "c": Results({0: small()})}, other) == {"c"}
        store.fail_run("b", "boom", owner=other)
        assert [(run["status"], run["attempts"]) for run in store.runs()] == [
            ("running", 2),
            ("running", 1),
            ("done", 1),
        ]
        assert store.interrupt(other) == 0
        assert store.interrupt(one) == 2
        assert [run["status"] for run in store.runs()] == ["interrupted", "interrupted", "done"]
        assert owned(store, sweep, "a", "b", "c")[1] == {"a": "ours", "b": "ours", "c": "done"}


def test_a_silent_owner_loses_its_runs_and_cannot_write_them_any_more(path):
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        asleep, _ = owned(store, sweep, "a")
        store._connection.execute("UPDATE run SET heartbeat = heartbeat - 61")
        store._connection.execute("UPDATE owner SET heartbeat = heartbeat - 61")
        assert [run["status"] for run in store.runs()] == ["running"]  # on this machine it is there
        store.beat(asleep)
        assert owned(store, sweep, "a")[1] == {"a": "held"}
        store._connection.execute("UPDATE owner SET heartbeat = heartbeat - 61")
        awake, answers = owned(store, sweep, "a")
        assert answers == {"a": "ours"}
        assert store.finish_runs({"a": Results({0: small(late=1.0)})}, asleep) == set()
        assert store.finish_runs({"a": Results({0: small(early=1.0)})}, awake) == {"a"}
        assert store.record("a").summary == {"early": 1.0}


def test_an_owner_that_has_ended_on_this_machine_is_gone_at_once(path):
    claim = "store = Store(sys.argv[1], 'w'); owner = store.add_owner()\n"
    claim += "store.claim(store.add_sweep('study', {}), {'a': {}}, owner); print('begun', flush=True); time.sleep(60)"
    process = script(claim, path)
    assert process.stdout.readline() == "begun\n"
    with Store(path, "w") as store:
        assert owned(store, 1, "a")[1] == {"a": "held"}
        process.kill()
        process.wait()
        assert [run["status"] for run in store.runs()] == ["interrupted"]
        assert [row["status"] for row in store.table(iteration="last")] == ["interrupted"]
        assert store.page().statuses == {"interrupted": 1}
        assert (store.sweeps()[0]["running"], store.sweeps()[0]["interrupted"]) == (0, 1)
        assert [run["id"] for run in store.runs(where=["status=interrupted"])] == ["a"]
        assert owned(store, 1, "a")[1] == {"a": "ours"}
    process.stdout.close()
    process.stderr.close()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells of processes that wait for a parent")
def test_an_owner_that_has_ended_is_gone_before_its_parent_has_noticed(path):
    claim = "store = Store(sys.argv[1], 'w'); owner = store.add_owner()\n"
    claim += "store.claim(store.add_sweep('study', {}), {'a': {}}, owner); os._exit(0)"
    process = script(claim, path)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has collected it
    with Store(path, "w") as store:
        assert [run["status"] for run in store.runs()] == ["interrupted"]
        assert owned(store, 1, "a")[1] == {"a": "ours"}
    finish(process)


def test_a_process_elsewhere_is_judged_by_its_heartbeat_alone():
    here = this_process()
    assert not here.is_gone()
    elsewhere = Owner("t", "another machine", here.space, 2**22 + 1)
    assert not elsewhere.is_gone()
    assert not elsewhere.is_silent(100.0, 100.0 + SILENT)
    assert elsewhere.is_silent(100.0, 101.0 + SILENT)
    assert Owner("t", here.host, here.space, 2**22 + 1).is_gone()
    assert not Owner("t", here.host, "another container", 2**22 + 1).is_gone()


def test_a_process_that_only_waits_for_its_parent_has_ended():
    process = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 60
    while exists(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not exists(process.pid)
    process.wait()


# Overviews ---------------------------------------------------------------------------------------------------------

AWKWARD = {
    "case": 1.0,
    "Case": 2.0,
    "with space": "x",
    "": 0.0,
    "nul\0": 1,
    "run number": 3,
    "names": "taken",
    "big": 10**30,
    "minus": -0.0,
    "not a number": math.nan,
    "lines": "a\nb",
    "list": [1, 2],
}


def settled(value: object) -> str:
    return to_json(value)


def assert_both_ways(store: Store, **choice) -> None:
    """The overview and the records themselves must tell the same, to the type and the order of the columns."""
    for which in ("first", "last"):
        slow = {}
        for row in store.table(iteration=None, **choice):
            if which == "last" or row["run"] not in slow:
                slow[row["run"]] = row
        quick = {row["run"]: row for row in store.table(iteration=which, **choice)}
        assert {run: settled(row) for run, row in quick.items()} == {
            run: settled({name: row[name] for name in quick[run]}) for run, row in slow.items()
        }


@given(
    records=st.lists(records(), min_size=1, max_size=3),
    parameters=st.dictionaries(NAMES, SCALARS, max_size=4),
    metrics=st.dictionaries(NAMES, SCALARS, max_size=3),
)
def test_the_overview_tells_what_the_records_tell(tmp_path_factory, records, parameters, metrics):
    folder = tmp_path_factory.mktemp("overview")
    with Store(folder / "r.db", "w") as store:
        sweep = store.add_sweep("study", {})
        for number, record in enumerate(records):
            store.start_run(f"run{number}", sweep, {f"p {name}": value for name, value in parameters.items()})
            later = {0: record, 5: records[0]} if number % 2 else {0: record}
            store.finish_run(f"run{number}", later, {f"m {name}": value for name, value in metrics.items()})
        assert_both_ways(store)
    shutil.rmtree(folder)


def test_names_and_values_that_sqlite_has_no_form_for_come_back(path):
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        store.start_run("a", sweep, {"flag": True, "mixed": 1.5, "cell": "LSTM"})
        store.start_run("b", sweep, {"flag": 3, "mixed": False, "cell": "GRU"})
        store.finish_run("a", {0: small(**AWKWARD)})
        assert_both_ways(store)
        rows = store.table(iteration="last")
        assert [(row["flag"], row["mixed"]) for row in rows] == [(True, 1.5), (3, False)]
        assert [type(row["flag"]) for row in rows] == [bool, int]
        for where, found in (
            ("flag=true", "a"),
            ("flag>2", "b"),
            ("mixed=false", "b"),
            ("not a number=nan", "a"),
            ("Case=2", "a"),
            ("case=1", "a"),
            ("with space=X", "a"),
            ("lines!=a", "ab"),
            ("big>1e29", "a"),
        ):
            assert [row["run"] for row in store.table(where=[where], iteration="last")] == list(found), where
            assert [row["run"] for row in store.table(where=[where])] == list(found), where
            assert store.page(where=[where]).count == len(found)
        assert store.columns(["flag", "Case"]) == {"flag": [True, 3], "Case": [2.0, None]}


def test_values_that_no_column_holds_are_sorted_among_the_others(path):
    values = [-0.0, 1.0, None, -2.0, math.nan, 0.5, 10**30, [1, 2]]
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        for number, value in enumerate(values):
            store.start_run(f"r{number}", sweep, {"gain": value})
            store.finish_run(f"r{number}", {}, {"rate": value})
        for name in ("gain", "rate"):
            for order, wanted in ((name, "r3 r0 r5 r1 r6 r7 r2 r4"), (f"-{name}", "r7 r6 r1 r5 r0 r3 r2 r4")):
                assert [row["run"] for row in store.page(order=order).rows] == wanted.split()


def test_more_names_than_a_table_may_have_columns_are_kept(path, monkeypatch):
    monkeypatch.setattr(overview, "MOST_COLUMNS", 5)
    with Store(path, "w") as store:
        store.start_run("a", store.add_sweep("study", {}), {f"p{n}": n for n in range(4)})
        store.finish_run("a", {0: small(**{f"m{n}": float(n) for n in range(9)})})
        assert_both_ways(store)
        assert store.page(where=["m8>7"]).count == 1
        assert store.page(where=["m8>8"]).count == 0
        with pytest.raises(ArgumentError, match="`order` must be one of run, sweep"):
            store.page(order="m8")


def test_two_writers_may_bring_new_columns_in_turn(path):
    with Store(path, "w") as one, Store(path, "w") as other:
        sweep = one.add_sweep("study", {})
        for number, store in enumerate((one, other, one, other)):
            store.start_run(f"r{number}", sweep, {"length": number})
            store.finish_run(f"r{number}", {0: small(**{f"m{number // 2}": 1.0, f"n{number}": 2.0})})
        assert_both_ways(one)
        assert_both_ways(other)


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Return a store of runs over a grid, some of them failed, NaN or inf."""
    path = tmp_path_factory.mktemp("many") / "results.db"
    with Store(path, "w") as store:
        sweep, other = store.add_sweep("study", {}), store.add_sweep("other", {})
        results = {}
        for number in range(60):
            config = {"cell": ("LSTM", "GRU", "RNN")[number % 3], "length": 10 * (number % 5), "dale": number % 2 == 0}
            store.start_run(f"r{number:02}", other if number > 50 else sweep, config)
            rate = math.nan if number % 11 == 0 else math.inf if number % 13 == 0 else (number * 37) % 60 / 60
            results[f"r{number:02}"] = Results({0: small(decay_rate=rate)}, seconds=number / 8)
        store.finish_runs(results)
        for number in range(5, 60, 10):
            store.fail_run(f"r{number:02}", "boom")
    return path


@pytest.mark.parametrize("order", [None, "decay_rate", "-decay_rate", "cell", "-seconds", "dale", "status"])
@pytest.mark.parametrize("where", [[], ["cell=LSTM,GRU", "decay_rate<0.7"], ["dale=true"], ["status=failed"]])
@pytest.mark.parametrize("sweep", [None, "study"])
def test_a_page_is_a_part_of_the_table(many, order, where, sweep):
    """Against sorting in Python: numbers ascend or descend, what is missing or NaN is last, ties stay as begun."""
    with Store(many) as store:
        rows = store.table(sweep, where)
        name = (order or "").removeprefix("-")
        if order:
            known = [row for row in rows if row[name] is not None and row[name] == row[name]]
            known.sort(key=lambda row: row["run"])
            known.sort(key=lambda row: row[name], reverse=order.startswith("-"))
            missing = [row for row in rows if row not in known]
            rows = known + missing
        page = store.page(sweep, where, order=order, limit=7, offset=3)
        assert [settled(row) for row in page.rows] == [settled(row) for row in rows[3:10]]
        assert (page.count, page.total) == (len(rows), len(store.table(sweep)))
        statuses = [row["status"] for row in rows]
        assert page.statuses == {status: statuses.count(status) for status in sorted(set(statuses))}
        columns = store.columns(["run", "decay_rate", "dale"], sweep, where)
        assert settled(columns["decay_rate"]) == settled([row["decay_rate"] for row in store.table(sweep, where)])


def test_groups_are_the_cells_of_a_phase_map(many):
    with Store(many) as store:
        rows = store.table()
        for group in store.groups(["cell", "dale"], "decay_rate"):
            inside = [row["decay_rate"] for row in rows if (row["cell"], row["dale"]) == (group["cell"], group["dale"])]
            numbers = [value for value in inside if not math.isnan(value)]
            assert (group["runs"], group["count"]) == (len(inside), len(numbers))
            assert group["mean"] == pytest.approx(np.mean(numbers))
            assert (group["least"], group["most"]) == (min(numbers), max(numbers))
            assert type(group["dale"]) is bool
        assert len(store.groups(["cell", "length"], "decay_rate", where=["status=failed"])) == 3


def test_questions_to_the_overview_that_cannot_be_answered_are_refused(many):
    with Store(many) as store:
        for question, message in (
            (lambda: store.page(order="decay_rat"), "`order` must begin .* Did you mean 'decay_rate'"),
            (lambda: store.page(where=["lenght=3"]), "Did you mean 'length'"),
            (lambda: store.page(iteration=3), "`iteration` must be one of first, last, got 3"),
            (lambda: store.columns(["lenght"]), "Did you mean 'length'"),
            (lambda: store.columns(["length"], iteration="x"), "must be one of first, last"),
            (lambda: store.groups(["lenght"], "decay_rate"), "Did you mean 'length'"),
            (lambda: store.groups(["length"], "decay_rate", iteration=0), "must be one of first, last"),
        ):
            with pytest.raises(ArgumentError, match=message):
                question()


def test_a_look_at_many_runs_reads_no_record_and_no_row_twice(many):
    """The work, not the time: a few statements, none of them over records, metrics or arrays, each run looked up."""
    with Store(many) as store:
        seen: list[str] = []
        store._connection.set_trace_callback(seen.append)
        store.page("study", ["cell=LSTM"], order="decay_rate")
        store.columns(["length", "decay_rate"], "study")
        store.groups(["cell", "length"], "decay_rate", "study")
        store._connection.set_trace_callback(None)
        selects = [statement for statement in seen if statement.startswith("SELECT")]
        assert len(selects) <= 24
        for statement in selects:
            assert not re.search(r"FROM (record|metric|field)", statement)
            plan = [row[3] for row in store._connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            scans = [step for step in plan if re.match(r"SCAN (o|r|run|member)\b", step)]
            assert len(scans) <= 1, (statement, plan)


# Layers and curves -------------------------------------------------------------------------------------------------


def test_the_reason_why_elements_are_missing_comes_back(path):
    def missing(reason: str) -> Record:
        return Record({"x": Field("x", np.zeros(2), ("step",), "1", status=np.full(2, 7), reason=reason)})

    record = missing("it needs more than 5 steps")
    record.layers = {"layer1": missing("1 step")}
    with Store(path, "w") as store:
        store.start_run("r", store.add_sweep("study", {}), {})
        store.finish_run("r", {0: record})
        back = store.record("r")
    assert back.field("x").reason == "it needs more than 5 steps"
    assert back.layers["layer1"].field("x").reason == "1 step"


def test_one_array_of_every_iteration_comes_in_one_look(path):
    record = CASES["lstm"]()
    record.layers = {"layer1": small(decay_rate=0.1)}
    with Store(path, "w") as store:
        store.start_run("r", store.add_sweep("s", {}), {"cell": "LSTM"})
        store.finish_run("r", {30: small(decay_rate=0.5), 0: record, 7: CASES["underflow"]()})
        found = store.records("r", ["transport", "retention", "nonsense"])
        assert list(found) == [0, 7, 30]
        assert [list(one) for one in found.values()] == [["retention", "transport"], ["retention", "transport"], []]
        for iteration, one in found.items():
            whole = store.record("r", iteration, ["transport", "retention"])
            whole.layers = {}
            assert_same(whole, one)
        assert [list(one) for one in store.records("r").values()] == [[], [], []]
        assert store.records("r", ["x"], "layer1").keys() == {0}
        assert store.records("r", ["x"], iterations=[30, 8, 0]).keys() == {0, 30}
        assert store.records("r", ["x"], iterations=[]) == {}
        np.testing.assert_array_equal(store.records("r", ["x"], "layer1")[0]["x"], np.arange(3.0))
        assert store.records("nobody") == {}
        assert store.arrays("r")[-1] == "x"
        assert set(store.arrays("r")) == {*store.record("r", 0), *store.record("r", 7), *store.record("r", 30)}
        assert store.arrays("nobody") == []
        assert store.probed() == {"r": 3}
        assert store.probed(4) == {}


def test_layers_and_curves_come_back(path):
    record = small(decay_rate=0.5)
    record.layers = {"layer1": small(decay_rate=0.1), "layer2.backward": small(decay_rate=math.nan)}
    with Store(path, "w") as store:
        store.start_run("r", store.add_sweep("study", {}), {})
        losses = {10: 2.0, 20: math.nan, 30: math.inf}
        store.finish_run("r", {0: small(decay_rate=0.7), 30: record}, curves={"validation_loss": losses})
        back = store.record("r", 30)
        assert list(back.layers) == ["layer1", "layer2.backward"]
        for name, layer in record.layers.items():
            assert_same(layer, back.layers[name])
        assert store.record("r", 0).layers == {}
        assert store.table(iteration="last")[0]["decay_rate"] == 0.5
        curves = store.curves("r")
        np.testing.assert_array_equal(curves["decay_rate"], [[0, 30], [0.7, 0.5]])
        np.testing.assert_array_equal(curves["validation_loss"], [[10, 20, 30], [2.0, np.nan, np.inf]])
        np.testing.assert_array_equal(store.curves("r", "layer1")["decay_rate"], [[30], [0.1]])
        assert store.iterations("r") == [0, 30]
        record.layers = {"7": small()}
        with pytest.raises(ArgumentError, match=r"`layers` must be named.*Name it e\.g\. 'layer1'"):
            store.finish_run("r", {0: record})


# An older schema ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_store_is_read_as_it_is_and_brought_up_to_date_by_a_writer(tmp_path, version):
    """The files were written by earlier versions of the store."""
    old = tmp_path / "old.db"
    shutil.copy(TESTS / "stores" / f"schema_{version}.db", old)
    before = old.read_bytes()
    with Store(old) as store:
        seen = settled([store.sweeps(), store.runs(), store.table(), store.table(iteration="last")])
        assert_both_ways(store)
        assert store.record("run0", 120).summary["decay_rate"] == 0.5
        assert [run["status"] for run in store.runs()] == ["done", "done", "failed", "interrupted"]
        arrays = {run: store.record(run) for run in ("run0", "run1")}
        assert any(map(len, arrays.values()))
        reasons = {entry.reason for record in arrays.values() for entry in record.fields.values()}
        assert reasons == ({""} if version == 1 else {"short"})
        assert store.waiting() == 0
        assert store.page(where=["cell=LSTM"]).count == 1
    assert old.read_bytes() == before
    with Store(old, "w") as store:
        assert settled([store.sweeps(), store.runs(), store.table(), store.table(iteration="last")]) == seen
        assert_both_ways(store)
        for run, record in arrays.items():
            assert_same(record, store.record(run))
        assert owned(store, 1, "run2", "run0")[1] == {"run2": "ours", "run0": "done"}
        store.plan(1, ["run0", "run9"])
        assert store.waiting() == 1
    with sqlite3.connect(old) as plain:
        assert plain.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA,)
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        names = plain.execute(tables).fetchall()
        columns = "SELECT name FROM pragma_table_info(?)"
        found = {name: plain.execute(columns, (name,)).fetchall() for (name,) in names}
    plain.close()
    with Store(tmp_path / "new.db", "w"):
        pass
    with sqlite3.connect(tmp_path / "new.db") as plain:
        assert plain.execute(tables).fetchall() == names
        for name in found.keys() - {"overview_first", "overview_last"}:  # these grow with the names of a study
            assert plain.execute(columns, (name,)).fetchall() == found[name]
    plain.close()


def test_an_update_that_fails_leaves_the_older_file(tmp_path, monkeypatch):
    old = tmp_path / "old.db"
    shutil.copy(TESTS / "stores" / "schema_1.db", old)
    monkeypatch.setattr(overview.Overview, "refresh", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Store(old, "w")
    monkeypatch.undo()
    with sqlite3.connect(old) as plain:
        assert plain.execute("PRAGMA user_version").fetchone() == (1,)
    plain.close()
    with Store(old, "w") as store:
        assert len(store.runs()) == 4


# Conditions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["cell=LSTM"], ["run0", "run0"]),
        (["cell = lstm"], ["run0", "run0"]),
        (["cell==LSTM"], ["run0", "run0"]),
        (["cell!=RNN"], ["run0", "run0", "run1"]),
        (["cell=LSTM,GRU"], ["run0", "run0", "run1"]),
        (["cell!=LSTM, GRU"], ["run2", "run3"]),
        (["length>=200", "length<400"], ["run1", "run2"]),
        (["length=100.0"], ["run0", "run0"]),
        (["length=1e2,4e2"], ["run0", "run0", "run3"]),
        (["forget_bias<0"], ["run1"]),
        (["forget_bias=none"], ["run2", "run3"]),
        (["forget_bias=-1"], ["run1"]),
        (["decay_rate>0.1"], ["run0"]),
        (["decay_rate<=0.1"], ["run0"]),
        (["decay_rate=nan"], ["run1"]),
        (["half_life=inf"], ["run0"]),
        (["half_life>1e300"], ["run0"]),
        (["iteration=120"], ["run0"]),
        (["status=failed"], ["run2"]),
        (["error=boom"], ["run2"]),
        (["decay_rate_low>0.3"], ["run0"]),
        (["verdict=diverged"], ["run1"]),
        (["cell=LSTM' OR 1=1 --"], []),
        ("cell=GRU", ["run1"]),
        ([], ["run0", "run0", "run1", "run2", "run3"]),
    ],
)
def test_conditions_choose_rows(filled, where, expected):
    with Store(filled) as store:
        assert [row["run"] for row in store.table(where=where)] == expected
        assert [run["id"] for run in store.runs(where=where)] == list(dict.fromkeys(expected))


WORDS_LIKE_VALUES = ("none", "True", "1", "nan", "a,b", '"a"', "'a'", " a", "it's")


@given(
    values=st.lists(st.none() | st.booleans() | st.integers(-5, 5) | st.floats(), min_size=1),
    operator=st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    bound=st.floats() | st.integers(-5, 5),
)
def test_conditions_compare_like_python(values, operator, bound):
    condition = Condition.parse(f"x{operator}{bound!r}")
    for value in values:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number:
            assert condition.holds(value) == (operator == "!=")
            continue
        both_nan = math.isnan(value) and math.isnan(bound)
        expected = {
            "=": value == bound or both_nan,
            "!=": not (value == bound or both_nan),
            "<": value < bound,
            "<=": value <= bound,
            ">": value > bound,
            ">=": value >= bound,
        }
        assert condition.holds(value) == expected[operator]


@pytest.mark.parametrize("text", ["true", "True", "false"])
def test_conditions_know_truth(text):
    assert Condition.parse(f"peephole={text}").holds(text.lower() == "true")


@pytest.mark.parametrize("value", [None, True, 1, 0.5, math.nan, [1, 2], MARKUP, *WORDS_LIKE_VALUES])
def test_the_condition_of_a_value_finds_it_and_no_text_that_looks_like_another(path, value):
    """Of a value its own runs, of a text no run but its own; by the column and by what is kept beside it as JSON."""
    others = [other for other in (None, True, 1, *WORDS_LIKE_VALUES) if other != value or isinstance(other, bool)]
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        for number, (own, second) in enumerate([(value, "x"), *((other, True) for other in others), (value, True)]):
            store.start_run(f"r{number}", sweep, {"clip": own, "flag": second, "list": [own]})
        wanted = {"r0", f"r{len(others) + 1}"}
        where = [condition("clip", value)]
        found = {row["run"] for row in store.page(where=where, limit=99).rows}
        assert found == {row["run"] for row in store.table(where=where)}
        assert found >= wanted
        if isinstance(value, str):
            assert found == wanted
        assert store.page(where=[where[0].replace("=", "!=", 1)]).count == len(others) + 2 - len(found)


def test_quotes_keep_a_comma_and_mean_a_text(path):
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        for number, value in enumerate(["a,b", "c", None, "none", 1, "it's", ""]):
            store.start_run(f"r{number}", sweep, {"note": value})
        for where, found in (
            ('note="a,b",c', "r0 r1"),
            ("note='a,b' , 'C'", "r0 r1"),
            ("note=a,b", "r0"),
            ("note=none", "r2 r3"),
            ('note="none"', "r3"),
            ("note='1'", ""),
            ("note=it's, c", "r1 r5"),
            ('note="it\'s"', "r5"),
            ('note=""', "r6"),
            ("note=", "r6"),
        ):
            assert [row["run"] for row in store.table(where=[where])] == found.split(), where
            assert [row["run"] for row in store.page(where=[where]).rows] == found.split(), where


@pytest.mark.parametrize("where", ["cell", "", "=LSTM", "length=<3", "length=>3", ">3"])
def test_a_condition_of_another_form_is_refused(filled, where):
    with Store(filled) as store, pytest.raises(ArgumentError, match=r"Write e.g\. 'cell=LSTM' or 'length>=100'"):
        store.table(where=[where])


def test_an_order_needs_a_number(filled):
    with Store(filled) as store, pytest.raises(ArgumentError, match=r"got 'length>many'\. Write e\.g\. 'length>100'"):
        store.table(where=["length>many"])


def test_a_condition_over_an_unknown_name_is_refused(filled, path):
    with Store(filled) as store:
        with pytest.raises(ArgumentError, match=r"Did you mean 'length'\? There are cell, forget") as caught:
            store.table(where=["lenght>3"])
        assert str(caught.value).endswith("attempts, error.")
        with pytest.raises(ArgumentError, match="Did you mean 'decay_rate'"):
            store.runs(where=["decay_rat>3"])
        with pytest.raises(ArgumentError, match=r"got '\$\$'\. There are cell, forget_bias"):
            store.runs(where=["$$>3"])


def test_a_long_list_of_names_is_cut_and_says_so(path):
    with Store(path, "w") as store:
        store.start_run("r", store.add_sweep("study", {}), {f"parameter_{number}": 0 for number in range(40)})
        store.finish_run("r", {0: small()})
        with pytest.raises(ArgumentError, match=r"parameter_23 and 24 more\.$"):
            store.table(where=["$$=3"])


def test_a_condition_over_a_metric_waits_for_the_first_record(path):
    with Store(path, "w") as store:
        assert store.table(where=["decay_rate>3"]) == []
        store.start_run("r", store.add_sweep("study", {}), {"cell": "LSTM"})
        assert store.table(where=["decay_rate>3"]) == store.runs(where=["decay_rate>3"]) == []


# Misuse ------------------------------------------------------------------------------------------------------------


def test_misuse_is_explained(filled):
    with Store(filled, "w") as store:
        cases = [
            (lambda: store.runs("studi"), r"Did you mean 'study'\?"),
            (lambda: store.table(99), "`sweep` must be one of study, got 99"),
            (lambda: store.table(iteration="lst"), r"Did you mean 'last'\? Or give a number, or None"),
            (lambda: store.table(iteration=True), "Or give a number"),
            (lambda: store.record("run0", 5), r"`iteration` must be one of 0, 120, got 5\."),
            (lambda: store.record("run2"), r"'run2' is failed: boom\. Run its sweep again"),
            (lambda: store.record("run3"), "'run3' is running. Run its sweep again to finish it"),
            (lambda: store.record("nothing"), "List them with `gradscope runs"),
            (lambda: store.start_run("r", 99, {}), "got 99. Take what `add_sweep` returned"),
            (lambda: store.include(99, []), "Take what `add_sweep` returned"),
            (lambda: store.start_run("r", 1, {"status": 1, "cell": 2}), "called status: .* Give it another name"),
            (lambda: store.finish_run("nothing", {}), "got 'nothing'. Call `start_run` first"),
            (lambda: store.fail_run("nothing", ""), "Call `start_run` first"),
            (lambda: store.finish_run("run3", {}, {"length": 1.0}), "called length: .* Give it another name"),
            (lambda: store.finish_run("run3", {0: small(cell=1.0)}), "called cell: .* Give it another name"),
            (lambda: store.start_run("r", 1, {"x": object()}), "Convert it before it is stored"),
        ]
        for call, message in cases:
            with pytest.raises(ArgumentError, match=message):
                call()
        assert [run["id"] for run in store.runs()] == ["run0", "run1", "run2", "run3"]
        assert store.run("run3")["status"] == "running"


def test_a_whole_id_is_asked_for(path):
    with Store(path, "w") as store:
        store.start_run("abcdef", store.add_sweep("study", {}), {})
        with pytest.raises(ArgumentError, match=r"must be a whole id, got 'abc'\. Give 'abcdef'"):
            store.record("abc")


def test_an_empty_store_has_no_sweep_to_choose(path):
    with Store(path, "w") as store, pytest.raises(ArgumentError, match="The store holds no sweep yet"):
        store.runs("study")


def test_a_failing_write_leaves_nothing(filled):
    """Half of a run must never be seen, whatever interrupts the writing of it."""
    with Store(filled, "w") as store:
        good, bad = small(a=1.0), small(a=2.0)
        bad.fields["y"] = Field("y", np.zeros(1), ("step",), "\ud800")  # no encoding has a form for it
        with pytest.raises(UnicodeEncodeError):
            store.finish_run("run0", {0: good, 1: bad})
        assert store.iterations("run0") == [0, 120]
        assert store.record("run0", 120).summary["decay_rate"] == 0.5
        assert store.run("run0")["status"] == "done"
        store.finish_run("run0", {0: good})
        assert store.iterations("run0") == [0]


def test_mode_and_state_are_checked(filled):
    with pytest.raises(ArgumentError, match="`mode` must be one of r, w, got 'a'"):
        Store(filled, "a")
    store = Store(filled)
    assert repr(store) == f"<Store {str(filled)!r}, mode 'r'>"
    with pytest.raises(StoreError, match=r"Open it with `Store\(path, mode='w'\)` to write"):
        store.add_sweep("x", {})
    store.close()
    store.close()
    assert repr(store).endswith("closed>")
    with pytest.raises(StoreError, match=r"Open it again with `Store\(path\)`"):
        store.runs()


# The file ----------------------------------------------------------------------------------------------------------


def test_the_file_says_whose_it_is(filled):
    with sqlite3.connect(filled) as plain:
        assert plain.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION,)
        assert plain.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA,)
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
        texts = [
            text
            for table, column in (("run", "config"), ("record", "summary"), ("record", "config"), ("sweep", "spec"))
            for (text,) in plain.execute(f"SELECT {column} FROM {table}")
        ]
        assert all(plain.execute("SELECT json_valid(?)", (text,)).fetchone() == (1,) for text in texts)
    plain.close()


def test_a_closed_store_is_one_file_that_can_be_mailed(filled, tmp_path):
    with Store(filled, "w") as store, Store(filled) as reader:
        reader.table()
        store.start_run("late", 1, {})
        store.finish_run("late", {0: small(a=1.0)})
        store.close()
        mailed = shutil.copy(filled, tmp_path / "mailed.db")
        with Store(mailed) as copy:
            assert copy.record("late").summary == {"a": 1.0}
    with Store(filled, "w"):
        pass
    assert {entry.name for entry in tmp_path.iterdir()} >= {"results.db", "mailed.db"}
    assert not filled.with_name("results.db-wal").exists()


def test_queries_use_their_indexes(filled):
    """The plans, not the time: no scan of the metrics or of the blobs."""
    queries = [
        "SELECT blob FROM field WHERE run = ? AND iteration = ? AND layer = 0",
        "SELECT blob FROM field WHERE name = ? AND run = ?",
        "SELECT value FROM metric WHERE name = ? AND run = ?",
        "SELECT value FROM metric WHERE iteration IS NULL AND run = ?",
        "SELECT owner FROM run WHERE status = 'running'",
        "SELECT summary FROM record WHERE run = ? AND iteration = ?",
        "SELECT run FROM member WHERE sweep = ?",
    ]
    with sqlite3.connect(filled) as plain:
        for query in queries:
            plan = plain.execute(f"EXPLAIN QUERY PLAN {query}", ("x",) * query.count("?")).fetchall()
            assert all("SEARCH" in row[3] for row in plan), (query, plan)
    plain.close()


@pytest.mark.parametrize("mode", ["r", "w"])
def test_files_that_are_not_ours_are_refused(tmp_path, mode):
    with pytest.raises(StoreError, match=r"is a folder\. Name the file in it, e\.g\. .*results\.db"):
        Store(tmp_path, mode)
    text = tmp_path / "runs.csv"
    text.write_text("cell,length\n" * 100)
    with pytest.raises(StoreError, match=r"no SQLite file\. Give the file that a sweep wrote"):
        Store(text, mode)
    assert text.read_text() == "cell,length\n" * 100
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as plain:
        plain.execute("CREATE TABLE users (name)")
    plain.close()
    before = other.read_bytes()
    with pytest.raises(StoreError, match=r"another program \(with users\)\. Give another file"):
        Store(other, mode)
    assert other.read_bytes() == before


@pytest.mark.parametrize("mode", ["r", "w"])
def test_a_newer_schema_is_refused(filled, mode):
    with sqlite3.connect(filled) as plain:
        plain.execute("PRAGMA user_version = 9")
    plain.close()
    with pytest.raises(StoreError, match=r"schema 9, this gradscope reads 3\. Upgrade with `pip install -U gradscope`"):
        Store(filled, mode)


def test_a_missing_file_or_folder_is_named(tmp_path):
    with pytest.raises(
        StoreError, match=r"must exist\. Check the name, or make it with `gradscope sweep STUDY --store"
    ):
        Store(tmp_path / "none.db")
    with pytest.raises(StoreError, match=r"Make it with `mkdir -p .*none`"):
        Store(tmp_path / "none" / "x.db", "w")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refuse)
    for mode in ("r", "w"):
        with pytest.raises(StoreError, match=r"r\.db must lie in a folder that you may read.* Give the path of a file"):
            Store(tmp_path / "r.db", mode)


def test_an_empty_file_is_filled_but_not_read(path):
    path.touch()
    with pytest.raises(StoreError, match=r"is empty\. Fill it with `gradscope sweep STUDY --store"):
        Store(path)
    with Store(path, "w") as store:
        assert store.sweeps() == []
    with Store(path) as store:
        assert store.runs() == store.table() == []


def test_odd_file_names_work(tmp_path):
    for name in ("a b.db", "100%.db", "what?mode=rw&x#1.db", "naïve ⟨η⟩.db"):
        with Store(tmp_path / name, "w") as store:
            store.add_sweep("study", {})
        with Store(tmp_path / name) as store:
            assert len(store.sweeps()) == 1
        assert (tmp_path / name).exists()


def test_reading_never_changes_the_file(filled):
    before = filled.read_bytes()
    with Store(filled) as store:
        store.table()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store._connection.execute("DELETE FROM run")
    assert filled.read_bytes() == before


def test_a_damaged_file_is_named(filled):
    content = bytearray(filled.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    filled.write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged .* \.recover \| sqlite3 saved\.db"), Store(filled) as store:
        store.table()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE field SET blob = substr(blob, 1, 5)",
        "UPDATE field SET shape = '[7]'",
        "UPDATE field SET dtype = 'O'",
        "UPDATE field SET dtype = 'nonsense'",
        "UPDATE field SET axes = '[]'",
        "UPDATE field SET coords = '{'",
        'UPDATE record SET summary = \'{"a": {"float": 3}}\'',
        "UPDATE record SET config = NULL WHERE 0; UPDATE record SET config = 'x'",
    ],
)
def test_a_damaged_record_is_named(filled, change):
    with sqlite3.connect(filled) as plain:
        plain.executescript(change)
    plain.close()
    with Store(filled) as store, pytest.raises(StoreError, match=r"is damaged .*Save what is left"):
        store.record("run0")


def test_a_locked_file_is_named(filled):
    holder = sqlite3.connect(filled, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with Store(filled, "w", timeout=0.05) as store:
        with pytest.raises(StoreError, match=r"locked by another program for over 0\.05 s\. Close it or wait"):
            store.add_sweep("x", {})
        holder.execute("COMMIT")
        holder.close()
        store.add_sweep("x", {})


def test_a_full_disk_is_named(filled):
    with Store(filled, "w") as store:
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        record = Record({"x": Field("x", np.zeros(100_000), ("step",), "1")})
        with pytest.raises(StoreError, match=r"the disk is full\. Free some space, then give the same command again"):
            store.finish_run("run3", {0: record})
        assert store.run("run3")["status"] == "running"


@pytest.fixture
def elsewhere():
    """Return a folder that every user can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


# Imported with the tests' rights, which a folder of packages may need; then they are given up.
DROP = f"""
if os.geteuid() == 0:
    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
"""


def without_rights(code: str, *arguments: object) -> str:
    """Run code as a user who may read, and not write, what the tests make."""
    return finish(script(DROP + code, *arguments))


READ = "with Store(sys.argv[1]) as store: print(*[run['id'] for run in store.runs()], store.version())"
WRITE = """
try:
    with Store(sys.argv[1], "w") as store: store.add_sweep("x", {})
except OSError as error:
    print(type(error).__name__, error)
"""


another_user = pytest.mark.skipif(os.name == "nt", reason="no users to change to")


@another_user
@pytest.mark.parametrize("writing", [False, True])
def test_a_folder_without_rights_can_be_read(elsewhere, writing):
    path = elsewhere / "results.db"
    with Store(path, "w") as store:
        store.start_run("r", store.add_sweep("study", {}), {})
        if not writing:
            store.close()
        elsewhere.chmod(0o555)
        path.chmod(0o444)
        try:
            assert without_rights(READ, path).startswith("r ")
            message = without_rights(WRITE, path)
            assert message.startswith("StoreError")
            assert "read-only. Allow it with `chmod u+w`, or copy the file to a folder of your own." in message
            message = without_rights(WRITE, elsewhere / "new.db")
            assert "Check the permissions, or copy the file to a folder of your own." in message
        finally:
            elsewhere.chmod(0o755)
            path.chmod(0o644)


@another_user
def test_a_file_without_rights_is_named(elsewhere):
    path = elsewhere / "results.db"
    with Store(path, "w"):
        pass
    path.chmod(0)
    try:
        assert "Check the permissions" in without_rights(WRITE.replace(', "w"', ""), path)
    finally:
        path.chmod(0o644)


@another_user
def test_a_frozen_reader_notices_a_writer(elsewhere):
    """Opened on a read-only folder while nobody wrote; then somebody does."""
    path = elsewhere / "results.db"
    with Store(path, "w") as store:
        store.start_run("a", store.add_sweep("study", {}), {})
    elsewhere.chmod(0o555)
    code = """
with Store(sys.argv[1]) as store:
    frozen, runs, version = store._frozen, store.runs(), store.version()
    print(frozen, *[run["id"] for run in runs], flush=True)
    sys.stdin.readline()
    print(store.version() != version, *[run["id"] for run in store.runs()])
"""
    reader = script(DROP + code, path, stdin=subprocess.PIPE)
    assert reader.stdout.readline() == "True a\n"
    elsewhere.chmod(0o755)
    with Store(path, "w") as store:
        store.start_run("b", 1, {})
        out, error = reader.communicate("go\n", timeout=60)
    assert out == "True a b\n", error


def test_a_store_that_was_replaced_is_read_anew(filled):
    with Store(filled) as store:
        version = store.version()
        assert len(store.runs()) == 4
        filled.unlink()
        with pytest.raises(StoreError, match=r"has been deleted\. Give the command of its sweep again"):
            store.version()
        with Store(filled, "w") as writer:
            writer.start_run("new", writer.add_sweep("study", {}), {})
            writer.finish_run("new", {0: small(a=1.0)})
        assert store.version() != version
        assert [run["id"] for run in store.runs()] == ["new"]
        assert [row["a"] for row in store.table()] == [1.0]


def test_a_writer_does_not_write_into_a_file_that_is_gone(filled):
    with Store(filled, "w") as store:
        for name in ("results.db", "results.db-wal", "results.db-shm"):
            filled.with_name(name).unlink(missing_ok=True)
        with pytest.raises(StoreError, match=r"has been deleted\. Give the command of its sweep again"):
            store.add_sweep("x", {})
        with (
            Store(filled, "w"),
            pytest.raises(StoreError, match=r"was replaced while it was written\. Give the command"),
        ):
            store.add_sweep("x", {})


MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:40 / {folder} rw,relatime shared:2 - {kind} server:/export rw
41 22 0:41 / {folder}\\040other rw,relatime - tmpfs tmpfs rw
"""


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "lustre"])
def test_a_network_file_system_gets_a_rollback_journal(path, tmp_path_factory, monkeypatch, kind):
    mounts = tmp_path_factory.mktemp("proc") / "mountinfo"
    mounts.write_text(MOUNTINFO.format(folder=path.parent.resolve(), kind=kind))
    monkeypatch.setattr(file, "MOUNTS", mounts)
    with pytest.warns(UserWarning, match=rf"network file system \({kind}\).* Keep the store on a local disk") as caught:
        store = Store(path, "w")
    assert caught[0].filename == __file__
    with store:
        store.start_run("r", store.add_sweep("study", {}), {})
        store.finish_run("r", {0: small(a=1.0)})
        with Store(path) as reader:
            version = reader.version()
            assert reader.record("r").summary == {"a": 1.0}
            store.start_run("s", 1, {})
            assert reader.version() != version
            assert [run["id"] for run in reader.runs()] == ["r", "s"]
    assert [entry.name for entry in path.parent.iterdir()] == ["results.db"]
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    plain.close()


def test_a_local_file_system_beside_a_network_one_gets_wal(path, tmp_path_factory, monkeypatch):
    mounts = tmp_path_factory.mktemp("proc") / "mountinfo"
    mounts.write_text(MOUNTINFO.format(folder="/net", kind="nfs"))
    monkeypatch.setattr(file, "MOUNTS", mounts)
    with Store(path, "w") as store:
        assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert file._network(Path("/net/results.db")) == "nfs"
    assert file._network(Path("/net other/results.db")) is None
    assert file._network(Path("/network/results.db")) is None
    monkeypatch.setattr(file, "MOUNTS", mounts.with_name("none"))
    assert file._network(Path("/net/results.db")) is None


# Several at once ---------------------------------------------------------------------------------------------------

WRITER = """
with Store(sys.argv[1], "w") as store:
    sweep = store.add_sweep("study", {})
    end = time.monotonic() + float(sys.argv[2])
    n = 0
    while time.monotonic() < end:
        values = np.full((50, 8), float(n))
        record = Record({name: Field(name, values, ("step", "batch"), "1") for name in ("x", "y")}, {"n": n}, {"n": n})
        store.start_run(f"{n:06d}", sweep, {"number": n})
        store.finish_run(f"{n:06d}", {0: record, 1: record}, {"whole": n}, 0.1)
        print(n, flush=True)
        n += 1
"""


RUN_BYTES = 2 * 2 * 50 * 8 * 8  # what WRITER writes of each run: two records of two arrays


def check_runs(store: Store) -> list[int]:
    """Assert that what a reader sees hangs together, and return the numbers of the finished runs."""
    rows = store.table()
    done = [row for row in rows if row["status"] == "done"]
    numbers = [row["number"] for row in done[::2]]
    assert numbers == list(range(len(numbers)))
    assert all(row["n"] == row["whole"] == row["number"] for row in done)
    assert len(rows) - len(done) <= 1
    for row in done[-4:]:
        record = store.record(row["run"], row["iteration"])
        assert (record["x"] == row["n"]).all()
        assert (record["y"] == row["n"]).all()
    return numbers


def test_a_reader_sees_whole_runs_while_a_writer_writes(path):
    with Store(path, "w"):
        pass
    writer = script(WRITER, path, 3)
    counts, versions = [], set()
    with Store(path) as store:
        while writer.poll() is None:
            versions.add(store.version())
            counts.append(len(check_runs(store)))
        acknowledged = finish(writer).split()
        assert len(check_runs(store)) == len(acknowledged)
    assert counts == sorted(counts)
    assert len(set(counts)) > 3
    assert len(versions) > 3
    assert path.stat().st_size < 2 * RUN_BYTES * len(acknowledged)


def test_many_threads_may_share_a_reader_and_a_writer(path):
    with Store(path, "w") as store:
        sweep = store.add_sweep("study", {})
        with Store(path) as reader:

            def work(number: int) -> None:
                for turn in range(10):
                    run = f"{number}-{turn}"
                    store.start_run(run, sweep, {"number": number})
                    store.finish_run(run, {0: small(a=number)}, {}, 0.1)
                    assert reader.record(run).summary == {"a": number}
                    assert all(row["a"] in (None, row["number"]) for row in reader.table())

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(work, range(4)))
            assert len(reader.runs()) == 40


def test_several_processes_may_make_and_write_one_store(path):
    code = """
with Store(sys.argv[1], "w") as store:
    sweep = store.add_sweep("study", {})
    for n in range(20):
        store.start_run(f"{sys.argv[2]}-{n}", sweep, {})
        store.finish_run(f"{sys.argv[2]}-{n}", {0: Record(summary={"n": n})})
"""
    writers = [script(code, path, name) for name in ("a", "b", "c")]
    for process in writers:
        finish(process)
    with Store(path) as store:
        assert len(store.finished([f"{name}-{n}" for name in "abc" for n in range(20)])) == 60
        assert len(store.sweeps()) == 1


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.05])
def test_kill_loses_nothing_that_was_acknowledged(path, delay):
    writer = script(WRITER, path, 60)
    acknowledged = [int(writer.stdout.readline()) for _ in range(40)]
    time.sleep(delay)
    writer.send_signal(signal.SIGKILL)
    out = writer.stdout.read()
    assert writer.wait(timeout=60) == -signal.SIGKILL
    writer.stderr.close()
    writer.stdout.close()
    acknowledged += [int(line) for line in out.split("\n")[:-1]]  # a last line may be cut off
    with Store(path) as store:
        numbers = check_runs(store)
        assert set(acknowledged) <= set(numbers)
        assert len(numbers) - len(acknowledged) <= 1  # finished, and killed before it could say so
    with Store(path, "w") as store:  # and the next writer goes on
        left = [run for run in store.runs() if run["status"] == "running"]
        for run in left:
            store.start_run(run["id"], run["sweep"], run["config"])
            assert store.run(run["id"])["attempts"] == 2
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    plain.close()


def test_an_interrupt_inside_a_write_undoes_it(filled, monkeypatch):
    with Store(filled, "w") as store:
        insert = writer._insert

        def interrupted(connection, table, *arguments):
            insert(connection, table, *arguments)
            if table == "field":
                raise KeyboardInterrupt

        monkeypatch.setattr(writer, "_insert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.finish_run("run3", {0: small(a=1.0)})
        monkeypatch.undo()
        assert store.iterations("run3") == []
        assert store.run("run3")["status"] == "running"


def test_opening_warns_of_nothing(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Store(path, "w"), Store(path):
            pass
