"""What the server answers to the Scope: any setting gives a picture or a clear word; files, pins and stale requests."""

from __future__ import annotations

import ctypes
import io
import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from gradscope.activations import ACTIVATIONS
from gradscope.cells import CELLS
from gradscope.dashboards import command
from gradscope.dashboards.app import create_app
from gradscope.dashboards.scope import BINARY, MEASURE, PROGRESS, SENT, Desk, answer
from gradscope.errors import ArgumentError, ShapeError
from gradscope.figures.scope import SCOPE
from gradscope.initializers import INITIALIZERS
from gradscope.scope import LIMITS, Setting, StoppedError, is_dense, limits, measure
from gradscope.signals import SIGNALS
from gradscope.store import Store

SMALL = {"hidden_size": "6", "length": "20", "batch": "3"}


def strictly(text: str) -> dict:
    """Read JSON, in which NaN and inf are no numbers."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def npy(array, **options) -> bytes:
    """Return the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@st.composite
def turned(draw) -> dict[str, str]:
    """Return any place where the knobs may stand, often at their ends, in sizes that are soon measured."""
    ends = {"gain": LIMITS["gain"], "forget_bias": LIMITS["forget_bias"]}
    found = {name: draw(st.sampled_from(low_high) | st.floats(*low_high)) for name, low_high in ends.items()}
    found |= {
        "cell": draw(st.sampled_from(sorted(CELLS))),
        "activation": draw(st.sampled_from(sorted(ACTIVATIONS))),
        "initializer": draw(st.sampled_from(sorted(INITIALIZERS))),
        "signal": draw(st.sampled_from(sorted(SIGNALS))),
        "hidden_size": draw(st.integers(2, 12)),
        "length": draw(st.sampled_from([10, 11, 25, 40])),
        "batch": draw(st.sampled_from([1, 2, 5])),
        "seed": draw(st.integers(0, 9999)),
    }
    return {name: str(value) for name, value in found.items()}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(turned(), st.booleans(), st.none() | turned())
def test_every_combination_of_knobs_gives_four_pictures(values, exact, pinned):
    sent = values | ({"exact": "1"} if exact else {})
    if pinned is not None:
        sent["pin"] = "&".join(f"{name}={value}" for name, value in pinned.items())
    told = strictly(answer(Desk(), sent))
    assert "error" not in told, told.get("error")
    assert set(told["figures"]) == set(SCOPE)
    assert told["state"] == ("exact" if exact else "sampled")
    for name, figure in told["figures"].items():
        words = " ".join(note["text"] for note in figure["layout"]["annotations"])
        assert words, name  # which says what is exact, or why there is nothing
        finite = [trace for trace in figure["data"] if trace["type"] in ("scatter", "heatmap")]
        assert finite or "no gate that keeps" in words.replace("<br>", " "), name
    compile(told["code"], "scope", "exec")


@pytest.mark.parametrize("cell", [name for name in CELLS if is_dense(name)])
def test_a_dense_cell_says_that_it_is_and_has_lower_limits(cell):
    told = strictly(answer(Desk(), {"cell": cell, **SMALL}))
    assert "up to 64 units and 200 steps" in told["cell"]
    assert limits(cell)["hidden_size"] == (2, 64)
    refused = strictly(answer(Desk(), {"cell": cell, "hidden_size": "128"}))["error"]
    assert f"from 2 to 64 for {cell}, which is dense, got 128" in refused
    assert strictly(answer(Desk(), {"cell": "LSTM", **SMALL}))["cell"] == ""


def test_the_answer_names_the_knobs_that_a_cell_lacks():
    lacks = {cell: strictly(answer(Desk(), {"cell": cell, **SMALL}))["lacks"] for cell in ("LSTM", "RNN")}
    assert lacks == {"LSTM": [], "RNN": ["forget_bias"]}


# Files ---------------------------------------------------------------------------------------------------------------


def test_a_file_is_shown_as_far_as_it_goes():
    desk = Desk()
    file = desk.add("C:\\mine\\waves.npy", npy(np.random.default_rng(0).standard_normal((500, 20, 3))))
    assert file.endswith("-waves.npy")
    told = strictly(answer(desk, {"signal": "file", "file": file, "length": "30", "batch": "2", "hidden_size": "4"}))
    assert told["file"] == "waves.npy: 30 steps, 2 sequences, 3 features."
    assert "load_inputs('waves.npy')[:30, :2]" in told["code"]
    assert f"file={file}" in told["link"]
    short = desk.add("short.csv", b"1,2\n3,4\n5,6\n")
    told = strictly(answer(desk, {"signal": "file", "file": short, "hidden_size": "4", "exact": "1"}))
    assert told["file"] == "short.csv: 3 steps, 1 sequence, 2 features."


def test_a_file_with_nan_and_inf_is_data():
    values = np.random.default_rng(0).standard_normal((30, 4, 1))
    values[12, 1], values[20, 2] = np.nan, np.inf
    desk = Desk()
    file = desk.add("holes.npy", npy(values))
    for exact in ("0", "1"):
        told = strictly(answer(desk, {"signal": "file", "file": file, "hidden_size": "4", "exact": exact}))
        assert set(told["figures"]) == set(SCOPE)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"signal": "file"}, ""),
        ({"signal": "file", "file": "0123-gone.npy"}, "does not hold gone.npy, perhaps since it was started anew"),
        ({"signal": "file", "file": "/etc/passwd"}, "does not hold"),
    ],
)
def test_a_link_to_a_file_that_is_not_there_awaits_one(values, match):
    told = strictly(answer(Desk(), values))
    assert match in told["awaits"]
    assert "error" not in told
    assert told["link"].startswith("?signal=file")


def test_a_pinned_file_that_is_not_there_is_refused():
    told = strictly(answer(Desk(), {**SMALL, "pin": "signal=file&file=0123-gone.npy"}))
    assert "must be one that this server holds, got 'gone.npy'. Choose it again." in told["error"]


def test_a_file_with_too_many_features_says_so():
    desk = Desk()
    file = desk.add("wide.npy", npy(np.zeros((10, 300))))
    assert "at most 256 features, got 300" in strictly(answer(desk, {"signal": "file", "file": file}))["error"]


def test_the_name_of_a_file_is_text_in_the_code():
    desk = Desk()
    file = desk.add("x'); import os; print('.npy", npy(np.zeros((10, 1))))
    told = strictly(answer(desk, {"signal": "file", "file": file, "hidden_size": "4"}))
    found = compile(told["code"], "scope", "exec")
    assert "os" not in found.co_names


def test_the_oldest_files_are_forgotten():
    desk = Desk()
    files = [desk.add(f"{number}.npy", npy(np.full((10, 1), number))) for number in range(9)]
    with pytest.raises(ArgumentError, match="Choose it again"):
        desk.file(Setting(signal="file", file=files[0]))
    assert desk.file(Setting(signal="file", file=files[1])) is not None
    assert desk.file(Setting()) is None


def test_the_file_that_the_server_was_started_with_is_the_first(tmp_path):
    path = tmp_path / "given.npy"
    np.save(path, np.random.default_rng(0).standard_normal((40, 1)))
    told = strictly(answer(Desk(path), {"signal": "file", "hidden_size": "4"}))
    assert told["file"].startswith("given.npy: 40 steps")
    with pytest.raises(ArgumentError, match="`--inputs` must be a file that can be read"):
        Desk(tmp_path / "missing.npy")
    np.save(path, np.zeros(5))
    with pytest.raises(ShapeError, match=r"got \(5,\). Time comes first"):
        create_app(tmp_path / "no-store.db", inputs=path)


def test_files_are_received_from_the_page_alone(monkeypatch):
    client = create_app("no-store.db").server.test_client()
    good = {"data": npy(np.zeros((20, 2))), "content_type": BINARY, "headers": {"Host": "localhost"}}
    told = strictly(client.post(f"{SENT}?name=a.npy", **good).text)
    assert told["file"].endswith("-a.npy")
    shown = client.get(f"{MEASURE}?signal=file&file={told['file']}&hidden_size=4", headers={"Host": "localhost"})
    assert "a.npy: 20 steps" in shown.text
    simple = client.post(f"{SENT}?name=a.npy", **good | {"content_type": "text/plain"})
    assert simple.status_code == 413
    assert "1 to 32 MB" in simple.text
    monkeypatch.setattr("gradscope.dashboards.scope.LARGEST", 100)
    large = client.post(f"{SENT}?name=a.npy", **good)
    assert large.status_code == 413
    monkeypatch.undo()
    bad = client.post(f"{SENT}?name=a.npy", **good | {"data": b"no array"})
    assert "numpy.save" in strictly(bad.text)["error"]


# Turns ---------------------------------------------------------------------------------------------------------------


def test_a_measurement_is_given_up_when_it_is_told_to():
    asked = []

    def soon() -> bool:
        asked.append(True)
        return len(asked) > 200

    with pytest.raises(StoppedError):
        measure(Setting(), stop=soon)
    assert len(asked) == 201


def test_whoever_may_stop_it_or_hears_of_it_changes_no_number():
    setting = Setting(hidden_size=6, length=20, batch=3)
    alone, watched = measure(setting), measure(setting, stop=lambda: False, tell=lambda step: None)
    assert all(np.array_equal(alone[name], watched[name]) for name in alone)


@pytest.mark.parametrize("cell", ["LSTM", "MGU"])
def test_it_tells_what_is_measured_and_how_far_it_is(cell):
    told = []
    measure(Setting(cell=cell, hidden_size=4, length=20, batch=2), tell=told.append)
    shares = [step for step in told if step.startswith("transport")]
    assert shares[0] == "transport, 0 %"
    assert shares[-1] == "transport, 95 %"
    assert len(shares) == 20
    assert list(dict.fromkeys(step.partition(",")[0] for step in told)) == [
        "forward pass",
        "transport",
        "norms",
        "gates",
        "flow",
    ]


def test_the_page_can_ask_what_is_measured_for_it():
    client = create_app("no-store.db").server.test_client()
    local = {"headers": {"Host": "localhost"}}
    assert strictly(client.get(f"{PROGRESS}?client=a", **local).text) == {"step": ""}
    asked = "&".join(f"{name}={value}" for name, value in SMALL.items())
    client.get(f"{MEASURE}?{asked}&exact=1&client=a&turn=1", **local)
    assert strictly(client.get(f"{PROGRESS}?client=a", **local).text) == {"step": "flow"}
    client.get(f"{MEASURE}?{asked}&client=a&turn=2", **local)
    assert strictly(client.get(f"{PROGRESS}?client=a", **local).text) == {"step": ""}


def test_the_newest_turn_of_a_scope_ends_its_older_measurements():
    desk, said = Desk(), {}
    begun = threading.Event()

    def ask() -> None:
        begun.set()
        said.update(
            strictly(answer(desk, {"hidden_size": "128", "length": "400", "exact": "1", "client": "a", "turn": "1"}))
        )

    waiting = threading.Thread(target=ask)
    waiting.start()
    begun.wait()
    while not desk._turns:
        time.sleep(0.01)
    quick = strictly(answer(desk, {**SMALL, "client": "a", "turn": "2"}))
    assert "figures" in quick
    waiting.join(timeout=60)  # alone it takes over ten seconds
    assert not waiting.is_alive()
    assert said == {"error": "A newer setting was asked for."}
    assert not desk._records


def test_scopes_do_not_end_each_other():
    desk = Desk()
    desk.turn("a", 7)
    stale = desk.turn("b", 1)
    assert not stale()
    desk.turn("b", 2)
    assert stale()
    assert not desk.turn("", 1)()


def test_a_pinned_setting_is_measured_once_and_not_exactly_while_a_hand_moves(monkeypatch):
    seen = []

    def watched(setting, exact, *rest):
        seen.append((setting.gain, exact))
        return measure(setting, exact, *rest)

    monkeypatch.setattr("gradscope.dashboards.scope.measure", watched)
    desk, pin = Desk(), "&".join(f"{name}={value}" for name, value in SMALL.items())
    for turn in range(2):
        answer(desk, {**SMALL, "gain": "1.5", "pin": pin, "client": "a", "turn": str(turn)})
    assert seen == [(1.5, False), (1.0, False), (1.5, False)]
    seen.clear()
    answer(desk, {**SMALL, "gain": "1.5", "pin": pin, "exact": "1"})
    answer(desk, {**SMALL, "gain": "1.5", "pin": pin, "exact": "1"})
    answer(desk, {**SMALL, "gain": "1.6", "pin": pin})
    assert seen == [(1.5, True), (1.0, True), (1.6, False)]


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="of glibc alone")
def test_memory_that_an_answer_has_freed_is_there_for_the_next():
    program = """
import resource
from gradscope.dashboards.command import prepared
from gradscope.dashboards.scope import Desk, answer
desk, faults = Desk(), []
with prepared():
    for number in range(6):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        assert "figures" in answer(desk, {"gain": str(1 + number / 10)})
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(faults))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 500  # pages; else thousands


def test_the_command_serves_with_products_on_one_thread(monkeypatch, tmp_path):
    """On two threads a small product waits for the other core, on a busy machine for long."""
    store, threads = tmp_path / "results.db", []

    def serve(server) -> None:
        np.ones((9, 9)) @ np.ones((9, 9))
        threads.extend(pool["num_threads"] for pool in threadpool_info())
        server.server_close()

    Store(store, "w").close()
    monkeypatch.setattr(command, "_serve", serve)
    with threadpool_limits(2):
        found = CliRunner().invoke(command.dashboard, [str(store), "--port", "0"])
    assert found.exit_code == 0, found.output
    assert set(threads) == {1}
