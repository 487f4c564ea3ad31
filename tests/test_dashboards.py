"""The dashboard without a browser: words, the pages of runs, shell, security, the command."""

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

import pytest
import sample_records
from click.testing import CliRunner
from dash.exceptions import PreventUpdate
from hypothesis import given
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs_version
from shown_pages import add_run, fill, find, texts

from gradscope import figures
from gradscope.cli import cli
from gradscope.dashboards import app, command, programs, run, shell, theme, views, words
from gradscope.dashboards.reader import Reader, _size
from gradscope.errors import ArgumentError, StoreError
from gradscope.store import Store


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    return fill(tmp_path_factory.mktemp("store") / "results.db")


@pytest.fixture
def reader(filled) -> Reader:
    reader = Reader(filled)
    yield reader
    reader.close()


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
    record = reader.record("run-0", 0)
    assert reader.record("run-0", 0) is record
    room = 2 * _size(record)
    reader._kept.room = room
    first = reader.page("first", "", ("length>0",))
    for number in range(1000):
        last = reader.page("first", "", (f"length>{number}",))
        assert reader.page("first", "", (f"length>{number}",)) is last
        assert reader.record("run-0", 0) is record  # what is asked for again and again stays
        assert reader._kept.used <= room
    assert reader.page("first", "", ("length>0",)) is not first
    reader._kept.room = 0
    assert reader.record("run-1", 0) is reader.record("run-1", 0)  # one that is larger than all room alone, too


def test_the_size_of_an_answer_is_that_of_its_arrays_and_of_all_its_rows(reader):
    record = reader.record("run-0", 0)
    arrays = sum(array.nbytes for array in record.values())
    assert arrays < _size(record) < 3 * arrays
    rows = [{"number": float(number)} for number in range(10_000)]
    assert _size(rows) == pytest.approx(sys.getsizeof(rows) + 10_000 * (sys.getsizeof(rows[0]) + sys.getsizeof(1.0)))


def test_a_heartbeat_is_an_age_and_none_when_nothing_runs(reader, tmp_path):
    assert 0 <= reader.heartbeat() < 3600
    with Store(tmp_path / "empty.db", "w"):
        pass
    empty = Reader(tmp_path / "empty.db")
    assert empty.heartbeat() is None
    empty.close()


# A run ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(sample_records.CASES))
def test_every_way_to_draw_every_card_works_on_every_kind_of_record(name):
    record = sample_records.CASES[name]()
    drawn = 0
    for probe in record:
        if "." in probe:
            continue
        for choice, draw in views.views(probe, record).items():
            assert draw(record).layout.meta["caption"], (probe, choice)
            drawn += 1
    assert drawn > 8


def test_a_page_has_a_card_for_each_probe_under_its_question(reader):
    page = run.page(reader, reader.run("run-0"), "?iteration=60")
    said = texts(page.content)
    for words_ in ("Does the gradient survive?", "Jacobian norm per step", "Gate activation", "Cell-state flow"):
        assert words_ in said
    assert find(page.content, "probed").data == {"run": "run-0", "iteration": 60, "layer": "whole"}
    assert "before" in texts(page.aside)
    assert "Accuracy" in texts(page.aside)


def test_a_figure_that_cannot_be_drawn_gives_its_reason(reader, monkeypatch, caplog):
    assert "figure" in json.loads(run.draw(reader, "run-0", 0, "jacobian_norm", None))
    assert "`name` must be one of" in json.loads(run.draw(reader, "run-0", 0, "retension", None))["notice"]
    drawn = str(json.loads(run.draw(reader, "run-4", 0, "retention", None))).replace("<br>", " ")
    assert "needs a cell with a gate that keeps" in drawn
    monkeypatch.setattr(figures, "figure", lambda name, record: 1 / 0)
    answer = json.loads(run.draw(reader, "run-0", 0, "jacobian_norm", None))
    assert answer == {"notice": "This figure could not be drawn: ZeroDivisionError: division by zero", "failed": True}
    assert "Traceback" in caplog.text


def test_an_unknown_choice_draws_the_first(reader):
    first = json.loads(run.draw(reader, "run-0", 0, "gate_activation", "forget"))
    assert json.loads(run.draw(reader, "run-0", 0, "gate_activation", "nonsense")) == first
    assert json.loads(run.draw(reader, "run-0", 0, "gate_activation", "output")) != first


def test_ways_follow_the_order_and_the_filters_of_the_overview(reader):
    links = {getattr(one, "id", None): one for one in run.ways(reader, "run-1", "?cell=LSTM&cell=GRU&sort=-length")}
    assert texts(run.ways(reader, "run-1", "?cell=LSTM&cell=GRU&sort=-length")[1]) == "1 of 4"
    assert "previous-run" not in links
    assert links["next-run"].href == "/run/run-3?cell=LSTM&cell=GRU&sort=-length"
    assert texts(run.ways(reader, "run-4", "?cell=LSTM")[1]) == ""


def test_turning_to_another_iteration_changes_link_request_and_summary(reader):
    probed = {"run": "run-0", "iteration": 0, "layer": "whole"}
    link, value, layer, now, asks, summary, *_ = run.turned(reader, "?iteration=60", probed)
    assert (link, value, layer, now) == ("/run/run-0?iteration=60", "60", "whole", probed | {"iteration": 60})
    assert asks == run.source("run-0", 60, "whole")
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
    assert shell.live(None, {"done": 3}) == []
    assert texts(shell.live(2.4, {})).strip().endswith("live · 2 s ago")
    assert "no sign of life · 10 min ago" in texts(shell.live(600, {}))
    assert "Start it again" in texts(shell.live(None, {"done": 3, "interrupted": 1}))


def test_progress_counts_the_runs_by_status_and_the_numbers_add_up():
    said = texts(shell.progress({"done": 2, "failed": 1, "interrupted": 3, "running": 4}))
    assert said.split() == ["2", "of", "10", "done", "4", "running", "1", "failed", "3", "interrupted"]
    assert texts(shell.progress({"running": 1})).split() == ["0", "of", "1", "done", "1", "running"]
    assert texts(shell.progress({"done": 9, "failed": 1})).split() == ["9", "done", "1", "failed"]
    assert shell.progress({}) == []


def test_progress_is_that_of_all_planned_runs():
    bar, *said = shell.progress({"done": 37, "running": 2}, waiting=1061)
    assert texts(said).split() == ["37", "of", "1,100", "done", "2", "running"]
    assert [(part.className, part.style["flexGrow"]) for part in bar.children] == [
        ("done", 37),
        ("running", 2),
        ("waiting", 1061),
    ]
    assert texts(shell.progress({}, waiting=3)).split() == ["0", "of", "3", "done"]


def test_a_sweep_that_was_killed_is_told_without_a_write(tmp_path, monkeypatch):
    path = tmp_path / "results.db"
    begin = (
        "import sys, os; from gradscope.store import Store; store = Store(sys.argv[1], 'w'); "
        "store.claim(store.add_sweep('one', {}), {'a': {'cell': 'GRU'}}, store.add_owner()); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", begin, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as sweep:
        sweep.stdout.readline()
        reader = Reader(path)
        before = reader.version()
        assert reader.statuses() == {"running": 1}
        assert reader.heartbeat() is not None
        sweep.kill()
        sweep.wait()
    monkeypatch.setattr("gradscope.dashboards.reader.LOOK", 0)
    assert reader.version() != before
    assert reader.statuses() == {"interrupted": 1}
    assert reader.heartbeat() is None
    assert reader.run("a")["status"] == "interrupted"
    reader.close()


@pytest.fixture
def client(filled):
    return app.create_app(filled).server.test_client()


def test_the_frame_brings_the_page_of_the_address_that_the_browser_says(client):
    def place(**said):
        answer = client.get("/_dash-layout", headers={"Host": "localhost"} | said).get_json()
        return next(one for one in answer["props"]["children"] if one["props"].get("id") == "url")["props"], str(answer)

    props, frame = place(Referer="http://localhost/run/nobody?iteration=3")
    assert (props["pathname"], props["search"]) == ("/run/nobody", "?iteration=3")
    assert "There is no such run" in frame
    for silent in ({}, {"Referer": ""}, {"Referer": "http://["}):
        props, frame = place(**silent)
        assert "pathname" not in props
        assert "Loading" in frame


def test_a_run_that_is_written_while_the_first_page_is_built_is_newer_than_the_page(tmp_path, monkeypatch):
    store = fill(tmp_path / "results.db")
    reader = Reader(store)
    before, build = reader.version(), shell.page

    def slow(*given, **parts):
        built = build(*given, **parts)
        with Store(store, "w") as writing:
            writing.add_sweep("meanwhile", {})
        return built

    monkeypatch.setattr(shell, "page", slow)
    frame = shell.layout(reader, "http://localhost/")
    assert find(frame, "version").data == before != reader.version()
    reader.close()


def test_a_page_that_fails_leaves_the_frame_standing(client, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("broken")

    monkeypatch.setattr(shell, "page", fail)
    answer = client.get("/_dash-layout", headers={"Host": "localhost", "Referer": "http://localhost/"})
    assert answer.status_code == 200
    assert "Loading" in answer.get_data(as_text=True)
    assert "broken" in caplog.text


# Security ------------------------------------------------------------------------------------------------------------


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


def test_every_script_and_style_of_the_pages_reaches_the_browser_once_and_may_be_kept(client):
    index = client.get("/", headers={"Host": "localhost"}).get_data(as_text=True)
    assert not re.findall(r'(?:src|href)="/assets/[^"]*\.(?:js|css)', index)  # or each would run twice
    assets = Path(app.__file__).parent / "assets"
    for kind, program in (("js", programs.SCRIPT), ("css", programs.STYLE)):
        assert index.count(program.path) == 1
        answer = client.get(program.address, headers={"Host": "localhost"})
        assert f'"{program.address}"' in index
        assert "immutable" in answer.headers["Cache-Control"]
        assert "Cache-Control" not in client.get(program.path, headers={"Host": "localhost"}).headers
        found = list(assets.glob(f"*.{kind}"))
        assert len(found) > 3
        assert all(one.read_text("utf-8") in answer.get_data(as_text=True) for one in found)


def test_scripts_that_no_page_needs_are_left_out_and_all_others_stay(client):
    index = client.get("/", headers={"Host": "localhost"}).get_data(as_text=True)
    found = re.findall(r'<script src="/_dash-component-suites/([^"]*)"', index)
    needed = (
        "react@",
        "react-dom@",
        "dash_mantine_components",
        "dash_ag_grid",
        "dash_renderer",
        "dash/dcc",
        "dash/html",
    )
    assert all(any(name in path for path in found) for name in needed)
    assert not [path for path in found if "polyfill" in path or "dash_table" in path]


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


@pytest.mark.parametrize(
    "asked",
    [
        {"iteration": "0", "name": "transport"},
        {"run": "gone", "iteration": "0", "name": "transport"},
        {"run": "run-0", "iteration": "", "name": "transport"},
        {"run": "run-0", "iteration": "7", "name": "transport"},
        {"run": "run-0", "iteration": "0", "name": "<img>"},
        {"run": "run-0", "iteration": "0", "name": "transport", "layer": "layer9"},
    ],
)
def test_a_card_that_asks_for_what_is_not_there_is_told(reader, asked):
    answer = app.create_app(reader.path).server.test_client().get("/run/figure", query_string=asked)
    assert answer.status_code == 200
    assert "Open the run anew." in answer.json["notice"]


def test_plotly_is_served_for_good_and_in_the_version_that_draws(reader):
    client = app.create_app(reader.path).server.test_client()
    address = re.search(r'<script id="plotly" src="(/plotly\.js\?v=\w+)" async>', client.get("/").text)[1]
    answer = client.get(address)
    assert get_plotlyjs_version() in answer.text[:500]
    assert "immutable" in answer.headers["Cache-Control"]
    assert "immutable" not in client.get("/?v=1").headers.get("Cache-Control", "")


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
