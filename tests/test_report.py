"""The report: one page that needs nothing else, in which what comes out of the store is text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
import sample_records
from click.testing import CliRunner

from gradscope.cli import cli
from gradscope.errors import ArgumentError, StoreError
from gradscope.figures.page import plotly_script
from gradscope.report import report
from gradscope.store import Results, Store

MARKUP = "<img src=x onerror=window.hurt=1></script><b>&amp;"


class Tags(HTMLParser):
    """Collects the elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.said = ""
        self._silent = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._silent = self._silent and tag not in ("script", "style")

    def handle_data(self, data):
        self.said += "" if self._silent else data


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "r.db", "w") as opened:
        sweep = opened.add_sweep(MARKUP, {})
        for number, (cell, length) in enumerate([("LSTM", 20), ("LSTM", 40), ("RNN", 20), ("RNN", 40)]):
            config = {"cell": cell, "length": length, "note": MARKUP, "forget_bias": None if cell == "RNN" else 1.0}
            opened.start_run(f"run{number}", sweep, config)
            record = sample_records.sample(cell, length=length, batch=4, hidden=5, rate=0.1 * number)
            opened.finish_run(f"run{number}", {0: record}, {"accuracy_after": 0.5}, 1.0)
        opened.start_run("bad", sweep, {"cell": "LSTM", "length": 40, "note": MARKUP, "forget_bias": 2.0})
        opened.fail_run("bad", f"ValueError: {MARKUP}")
        yield opened


def page(store, tmp_path, **options) -> str:
    return report(store, tmp_path / "r.html", **options).read_text(encoding="utf-8")


def test_a_page_needs_nothing_else(store, tmp_path):
    text = page(store, tmp_path)
    tags = Tags(text)
    assert not [attrs for tag, attrs in tags.found if {"src", "srcset"} & attrs.keys()]
    assert not [attrs for tag, attrs in tags.found if not attrs.get("href", "#").startswith("#")]
    assert "link" not in [tag for tag, _ in tags.found]
    policy = next(attrs["content"] for tag, attrs in tags.found if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert len(re.findall(r"\* plotly\.js (?:\(cartesian - minified\) )?v\d", text)) == 1


def test_what_comes_out_of_the_store_is_text(store, tmp_path):
    tags = Tags(page(store, tmp_path, runs=["run0", "bad"]))
    assert "img" not in [tag for tag, _ in tags.found]
    assert tags.said.count(MARKUP) >= 4, "name of the sweep, common parameter, reason of the failure"


def test_every_figure_is_there_as_data_and_has_a_place(store, tmp_path):
    text = page(store, tmp_path)
    blocks = dict(re.findall(r'<script id="(figure\d+)" type="application/json">(.*?)</script>', text, re.S))
    places = re.findall(r'data-figure="(figure\d+)"', text)
    assert sorted(blocks) == sorted(places)
    assert len(places) > 20
    for block in blocks.values():
        figure = json.loads(block)
        assert figure["data"]
        assert "template" not in figure["layout"]
    themes = json.loads(re.search(r'<script id="themes" type="application/json">(.*?)</script>', text, re.S)[1])
    assert themes.keys() == {"light", "dark"}


def test_a_sweep_has_its_verdicts_map_table_and_captions(store, tmp_path):
    said = Tags(page(store, tmp_path)).said
    assert "5 runs. The same in all: note" in said
    for words in ("Verdicts", "Decay rate by", "4 done, 1 failed", "decay rate [nat/step]", "Measured with python"):
        assert words in said, words
    assert "A straight fall is exponential vanishing" in said, "the caption of transport"


def test_chosen_runs_are_shown(store, tmp_path):
    said = Tags(page(store, tmp_path, runs=["run2"])).said
    assert "Run run2" in said
    assert "Run run0" not in said
    three = Tags(page(store, tmp_path)).said
    assert [name for name in ("run0", "run1", "run2", "run3") if f"Run {name}" in three] == ["run0", "run2", "run3"]


def test_a_long_table_says_what_it_leaves_out(store, tmp_path, monkeypatch):
    monkeypatch.setattr("gradscope.report.MOST_ROWS", 2)
    text = page(store, tmp_path)
    assert "3 runs more in the store; `gradscope export` writes all." in Tags(text).said
    assert text.count("<tr>") == 3


def test_an_empty_store_says_so(tmp_path):
    with Store(tmp_path / "r.db", "w") as store:
        assert "The store holds no sweep yet." in page(store, tmp_path)
        store.add_sweep("nothing", {})
        assert "It holds no run yet." in page(store, tmp_path)


def test_a_study_is_read_in_the_report(tmp_path):
    from gradscope.experiments.studies import study_module
    from gradscope.experiments.trials import Grid

    with Store(tmp_path / "r.db", "w") as store:
        sweep = store.add_sweep("repeated_sigmoid", {})
        grid = study_module("repeated_sigmoid").SWEEPS[0]
        for trial in Grid(grid.study, grid.measurement, **{**grid.axes, "points": 31}).runs():
            store.start_run(trial.id, sweep, trial.config)
            store.finish_run(trial.id, {0: trial.measure()}, {}, 0.1)
        said = Tags(page(store, tmp_path)).said
    assert "off the closed form of its slope" in said
    assert "Flattening under iteration" in said


@pytest.mark.parametrize(
    ("path", "options", "error", "remedy"),
    [
        ("r.db", {}, ArgumentError, "Name the page e.g. report.html"),
        ("no/r.html", {}, StoreError, "Give a file in a folder of your own"),
        ("r.html", {"runs": ["nonsense"]}, ArgumentError, "List them with `gradscope runs"),
    ],
)
def test_errors_name_the_remedy(store, tmp_path, path, options, error, remedy):
    with pytest.raises(error, match=remedy):
        report(store, tmp_path / path, **options)


def test_a_run_in_work_says_so(store, tmp_path):
    store.start_run("late", store.sweeps()[0]["id"], {"cell": "RNN", "iterations": 40})
    store.add_records({"late": Results({10: sample_records.sample("RNN", length=20, batch=4, hidden=5, rate=0.1)})})
    assert "running, seen last after 10 iterations" in Tags(page(store, tmp_path, runs=["late"])).said


def test_another_plotly_brings_a_plotly_js_of_its_own(monkeypatch):
    whole = "/* plotly.js v9.9.9 */"
    monkeypatch.setattr("plotly.offline.get_plotlyjs_version", lambda: "9.9.9")
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: whole)
    assert plotly_script.__wrapped__() == whole


def test_the_command(store, tmp_path):
    path = tmp_path / "page.html"
    result = CliRunner().invoke(cli, ["report", str(store.path), "-o", str(path), "--run", "run1"])
    assert result.exit_code == 0, result.output
    assert re.fullmatch(
        rf"{re.escape(str(path))}, \d\.\d MB\. Open it in a browser; it needs no network\.\n", result.output
    )
    assert 1.5e6 < path.stat().st_size < 4e6  # plotly.js for the most part
