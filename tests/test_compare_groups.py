"""What the page that compares is about: its links, its groups, its looks, and what it reads of the store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import sample

from gradscope.dashboards import compare, comparison, tiles
from gradscope.dashboards.comparison import Desk
from gradscope.dashboards.groups import MOMENT, Choice, compared, link, read
from gradscope.dashboards.lines import Lines, mark
from gradscope.dashboards.reader import Reader
from gradscope.dashboards.tiles import Tiles
from gradscope.errors import ArgumentError
from gradscope.figures.lines import line
from gradscope.record import Field, Record
from gradscope.store import Store

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=8)
MANY = st.lists(WORDS, max_size=3, unique=True).map(tuple)


def record(rate: float, length: int = 6) -> Record:
    """Return a record of one array."""
    values = -rate * np.arange(length, -1, -1.0)[:, None] * np.ones(3)
    summary = {"decay_rate": rate, "horizon": 1.0, "verdict": "vanishing"}
    return Record({"transport": Field("transport", values, ("time", "batch"), "log10")}, summary, {"length": length})


def add(store: Store, sweep: int, run: str, records: dict[int, Record], **config: Any) -> None:
    """Write a run."""
    store.start_run(run, sweep, {"cell": "LSTM", "length": 6, **config})
    store.finish_run(run, records)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a store of two cells, three biases and two seeds, the LSTMs trained; one run in work."""
    path = tmp_path / "results.db"
    with Store(path, "w") as store:
        sweep = store.add_sweep("s", {})
        for bias in (0.0, 1.0, 4.0):
            for seed in range(2):
                both = {0: record(0.5 - 0.1 * bias), 9: record(0.05)}
                add(store, sweep, f"l{bias:g}{seed}", both, forget_bias=bias, seed=seed)
                add(
                    store,
                    sweep,
                    f"g{bias:g}{seed}",
                    {0: record(0.6 - 0.1 * bias)},
                    cell="GRU",
                    forget_bias=bias,
                    seed=seed,
                )
        store.start_run("work", sweep, {"cell": "GRU", "length": 6, "forget_bias": 1.0, "seed": 7})
    return path


@pytest.fixture
def reader(path: Path) -> Reader:
    return Reader(path)


def names(reader: Reader, search: str) -> dict[str, list[str]]:
    """Return the names of the groups of a link, by panel."""
    return {panel: [one.name for one in groups] for panel, groups in compared(reader, read(search)).panels.items()}


def asked_of(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return a list of what runs are read from now on, which grows."""
    asked: list[list[str]] = []
    across = reader.across

    def counted(names: Iterable[str], runs: Iterable[str], when: str | int) -> dict[str, Record]:
        asked.append(list(runs))
        return across(names, runs, when)

    monkeypatch.setattr(reader, "across", counted)
    return asked


@given(
    st.builds(
        Choice,
        run=st.lists(WORDS | st.just(""), max_size=4, unique=True).map(tuple).filter(lambda runs: not runs or runs[-1]),
        by=MANY,
        facet=WORDS | st.just(""),
        where=MANY,
        when=st.sampled_from(["first", "last", "both", "120"]),
        show=st.sampled_from(["overlay", "difference"]),
        members=st.sampled_from(["", "1"]),
        band=st.sampled_from(["10-90", "all"]),
        align=st.sampled_from(["", "start", "end"]),
        probe=MANY,
        part=MANY,
        view=MANY,
    )
)
def test_a_link_reads_back_as_the_choice_that_it_was_written_from(choice):
    assert read(link(choice)) == choice


@given(st.text(max_size=40))
def test_any_link_opens(text):
    assert read("?" + text).band in ("10-90", "all")
    assert read(None) == Choice()
    assert read("?band=x&when=-1&show=&members=yes&most=x").limit(40) == 40


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.lists(st.sampled_from("abcdef"), unique=True))
def test_a_run_keeps_its_place_while_others_come_and_go(before, now):
    places = compare.slots(before, now)
    assert set(filter(None, places)) == set(now)
    assert all(places.index(run) == before.index(run) for run in now if run in before)
    assert not places or places[-1]


def test_the_page_proposes_the_parameter_that_tells_most(reader):
    now = compared(reader, Choice())
    assert (now.by, now.proposed) == (("forget_bias",), True)
    assert now.parameters == ("forget_bias", "cell", "seed")
    assert [one.name for one in now.drawn()] == ["forget bias 0", "forget bias 1", "forget bias 4"]
    assert (len(now.rows), now.waiting) == (12, 1)
    drawn = json.loads(Desk(reader).answer(now, "transport"))
    assert "Pooled over cell, seed." in drawn["figure"]["layout"]["meta"]["caption"]
    assert (drawn["parts"], drawn["part"]) == ([], "")


def test_groups_panels_and_moments(reader):
    assert names(reader, "?by=cell&facet=forget_bias") == {
        f"forget bias {bias}": ["LSTM", "GRU"] for bias in ("0", "1", "4")
    }
    both = compared(reader, read("?by=cell&when=both"))
    assert both.by == ("cell", MOMENT)
    assert [one.name for one in both.drawn()] == [
        "LSTM, before training",
        "LSTM, after training",
        "GRU, before training",
    ]
    before, after, _ = (one.look for one in both.drawn())
    assert before.colour == after.colour
    assert before.dash != after.dash == "solid"
    assert names(reader, "?by=cell&where=forget_bias>0&where=seed=1") == {"": ["LSTM", "GRU"]}
    assert compared(reader, read("?by=cell&when=9")).drawn()[0].name == "LSTM"
    assert len(compared(reader, read("?by=cell&when=9")).drawn()) == 1


def test_colours_hold_to_the_values_whatever_is_on_show(reader):
    every = {one.name: one.look for one in compared(reader, read("?by=forget_bias")).drawn()}
    some = {one.name: one.look for one in compared(reader, read("?by=forget_bias&where=forget_bias>0")).drawn()}
    assert some == {name: every[name] for name in some}
    assert len(some) == 2
    alone = compared(reader, read("?run=&run=l00")).drawn()[0].look
    assert alone == compared(reader, read("?run=g00&run=l00")).drawn()[1].look


def test_runs_are_named_by_what_tells_them_apart(reader):
    assert names(reader, "?run=l00&run=g41") == {"": ["LSTM, forget bias 0, seed 0", "GRU, forget bias 4, seed 1"]}
    assert names(reader, "?run=l00&run=l01") == {"": ["seed 0", "seed 1"]}


def test_the_cell_is_said_whatever_else_tells_runs_apart(tmp_path):
    path = tmp_path / "many.db"
    with Store(path, "w") as store:
        sweep = store.add_sweep("s", {})
        for number in range(6):
            settings = dict.fromkeys(("gain", "forget_bias", "hidden_size", "noise", "width"), number // 2 + 1.0)
            config = {"cell": ("LSTM", "GRU")[number % 2], **settings}
            add(store, sweep, f"r{number}", {0: record(0.1 + number // 2)}, **config)
    called = names(Reader(path), "?run=r0&run=r3&run=r4")[""]
    assert [name.split(",")[0] for name in called] == ["LSTM", "GRU", "LSTM"]


def test_what_a_link_asks_for_in_vain_is_said(reader):
    now = compared(reader, read("?run=l00&run=nobody&by=colour&where=size&sweep=9&probe=noise"))
    assert len(now.troubles) == 5
    assert any("no run nobody" in text for text in now.troubles)
    assert any("no sweep 9" in text for text in now.troubles)
    assert len(now.rows) == 1
    assert now.choice.run == ("l00",)


def test_a_run_is_read_once_and_again_only_when_it_has_changed(path, reader, monkeypatch):
    lines, rows = Lines(reader), compared(reader, read("?by=cell")).rows
    first, _, _ = lines.of(rows, "transport")
    assert [one.run for one in first.values()] == [row["run"] for row in rows]
    np.testing.assert_allclose(next(iter(first.values())).series.median, -0.5 * np.arange(6, -1, -1.0))
    asked = asked_of(reader, monkeypatch)
    again, _, _ = lines.of(rows, "transport")
    assert all(one is again[key] for key, one in first.items())
    assert asked == []
    with Store(path, "w") as store:
        store.finish_run("work", {0: record(0.9)})
    rows = compared(reader, read("?by=cell")).rows
    assert len(lines.of(rows, "transport")[0]) == 13
    anew = [mark(rows[0] | change) for change in ({"iteration": 9}, {"attempts": 2}, {"heartbeat": 1.0})]
    assert len({mark(rows[0]), *anew}) == 4
    assert asked == [["work"]]


def test_gates_of_many_runs_are_read_once_whatever_part_is_shown(tmp_path, monkeypatch):
    path = tmp_path / "gates.db"
    held = {f"{cell}{seed}": sample(cell, 12, 3, 4, seed=seed) for cell in ("LSTM", "GRU", "RNN") for seed in range(3)}
    with Store(path, "w") as store:
        sweep = store.add_sweep("s", {})
        for run, one in held.items():
            add(store, sweep, run, {0: one}, cell=run[:-1], seed=int(run[-1]))
    reader = Reader(path)
    asked = asked_of(reader, monkeypatch)
    rows, lines = compared(reader, read("?by=cell")).rows, Lines(reader)
    found, parts, part = lines.of(rows, "gate_saturation")
    assert sorted(run for runs in asked for run in runs) == sorted(held)
    assert (part, parts[:2]) == ("keeping gate, right", ["keeping gate, right", "keeping gate, left"])
    for one in found.values():
        wanted = line(held[one.run], "gate_saturation", part, one.run)
        assert (one.absent, one.run) == (wanted.absent, wanted.run)
        if wanted.series is not None:
            np.testing.assert_array_equal(one.series.median, wanted.series.median)
            np.testing.assert_array_equal(one.series.high, wanted.series.high)
    assert {one.absent for one in found.values() if one.run.startswith("RNN")} == {"there is no keeping gate, right"}
    assert lines.of(rows, "gate_saturation", "no such part")[2] == part
    hidden, _, part = lines.of(rows, "gate_saturation", "hidden, right")
    assert part == "hidden, right"
    assert all(one.series is not None for one in hidden.values())


def test_the_numbers_of_a_group_stand_in_the_table_with_their_spread(reader):
    table = str(compare.parts(reader, read("?by=cell&band=all"))["table"].to_plotly_json())
    assert "[0.1, 0.5]" in table
    assert "vanishing 6" in table
    assert "forget_bias" not in table  # it is the same in both groups


def test_tiles_are_read_run_by_run_kept_and_refused_when_they_are_too_large(tmp_path, monkeypatch):
    path = tmp_path / "maps.db"
    held = {f"{cell}{seed}": sample(cell, 12, 3, 4, seed=seed) for cell in ("LSTM", "GRU") for seed in range(3)}
    with Store(path, "w") as store:
        sweep = store.add_sweep("s", {})
        for run, one in held.items():
            add(store, sweep, run, {0: one}, cell=run[:-1], seed=int(run[-1]))
    reader = Reader(path)
    now, made = compared(reader, read("?by=cell")), Tiles(reader)
    lstm = now.drawn()[0]
    found = made.of(lstm, "gate_activation", "forget", order="unit")
    place = held["LSTM0"].coords["gate_activation"]["gate"].index("forget")
    wanted = np.median([held[f"LSTM{seed}"]["gate_activation"][place] for seed in range(3)], axis=0)
    np.testing.assert_allclose(found.values, wanted)
    assert made.of(lstm, "gate_activation", "forget", order="unit") is found
    assert made.of(lstm, "gate_activation", "forget") is not found
    assert made.parts(now.rows, "gate_activation")[0] == "keeping gate"
    monkeypatch.setattr(tiles, "CELLS", 100)
    with pytest.raises(ArgumentError, match=r"3 runs with 52 cells each is too large\. Add a condition"):
        made.of(lstm, "unit_gradient")


def test_the_limit_of_maps_is_said_and_lifted_by_the_link(reader):
    now = compared(reader, read("?by=forget_bias&facet=cell&probe=unit_gradient"))
    some, left = comparison._some(now.panels, 4)
    assert ([len(groups) for groups in some.values()], left) == ([3, 1], 2)
    assert (len(now.panels), Choice(most="30").limit(24)) == (2, 30)


def test_a_probe_is_drawn_as_the_link_says(reader):
    assert Choice().seen_as("unit_gradient") == "map"
    assert Choice().seen_as("transport") == Choice().seen_as("input_gradient") == "curves"
    chosen = read("?view=unit_gradient:curves&view=input_gradient:map&view=transport:map&view=write_survival:x")
    assert [chosen.seen_as(name) for name in ("unit_gradient", "input_gradient", "transport", "write_survival")] == [
        *("curves", "map", "curves", "map")
    ]
    seen = {"unit_gradient": "map", "input_gradient": "map"}
    asked = compare.asked("view", "?view=unit_gradient:curves", {}, {}, seen)
    assert asked.view == ("input_gradient:map",)  # the usual view is not in the link


def test_a_difference_needs_two(reader):
    notice = json.loads(Desk(reader).answer(compared(reader, read("?by=forget_bias&show=difference")), "transport"))
    assert "Choose two" in notice["notice"]
    drawn = json.loads(Desk(reader).answer(compared(reader, read("?by=cell&show=difference")), "transport"))
    assert "LSTM divided by GRU" in drawn["figure"]["layout"]["meta"]["caption"]
