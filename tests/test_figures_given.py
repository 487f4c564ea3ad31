"""What is no record, no group of them and no table: every figure says so, and how to come by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sample_records

import gradscope as gs
from gradscope.errors import ArgumentError
from gradscope.figures import given
from gradscope.probes.catalogue import CATALOGUE

TAKE = r"Take one with `gs\.probe"
SEVERAL = r"Several in one figure are for `gs\.figures\.compare"
READ = r"Read them with `store\.records"
TABLE = r"Read them with `store\.table"
GROUPS = r"Give e\.g\. \{'a': record\}"
DRAW = r"Draw one with `gs\.figures\.figure"

OF_RECORDS = ["flow", *CATALOGUE]
OF_GROUPS = {"compare": "transport", "compare_maps": "unit_gradient"}
OF_PAIRS = {"difference": "transport", "difference_map": "unit_gradient"}
OF_TRAININGS = {
    "training_loss": (),
    "training_gradient": (),
    "training_numbers": (),
    "training_map": ("transport",),
    "training_cut": ("transport", 0),
}
OF_TABLES = {"phase_map": ("length", "cell"), "verdict_counts": ()}
OF_FIGURES = ["table", "to_csv"]
OF_NAMES = ["caption", "theme", "LEARNING"]

THINGS: list[Any] = [3, None, "text", np.ones(3), object()]


def kind(thing: Any) -> str:
    """Return how an error calls a thing."""
    return rf", got {type(thing).__name__}\. "


def test_every_public_function_is_here():
    named = [*OF_RECORDS, *OF_GROUPS, *OF_PAIRS, *OF_TRAININGS, *OF_TABLES, *OF_FIGURES, *OF_NAMES, "figure"]
    assert sorted(named) == sorted(gs.figures.__all__)


@pytest.mark.parametrize("name", OF_RECORDS)
def test_a_figure_of_a_record_takes_nothing_else(name):
    draw = getattr(gs.figures, name)
    for thing in THINGS:
        with pytest.raises(ArgumentError, match="`record` must be a Record" + kind(thing) + TAKE):
            draw(thing)
    for several in ({}, [], {"a": gs.Record()}, (gs.Record(),)):
        with pytest.raises(ArgumentError, match="`record` must be a Record" + kind(several) + SEVERAL):
            draw(several)


def test_a_figure_by_its_name_takes_a_record_alone():
    for name in CATALOGUE:
        with pytest.raises(ArgumentError, match="`record` must be a Record" + kind(3) + TAKE):
            gs.figures.figure(name, 3)


@pytest.mark.parametrize("name", OF_GROUPS)
def test_groups_are_a_dict_of_records(name):
    draw, probe = getattr(gs.figures, name), OF_GROUPS[name]
    for thing in (*THINGS, [gs.Record()], gs.Record()):
        with pytest.raises(ArgumentError, match="`groups` must be a dict from names to records" + kind(thing) + GROUPS):
            draw(thing, probe)
    for thing in (3, None, "text"):
        with pytest.raises(ArgumentError, match="A group must be a Record or a list of them" + kind(thing) + TAKE):
            draw({"a": thing}, probe)
        with pytest.raises(ArgumentError, match="`record` must be a Record" + kind(thing) + TAKE):
            draw({"panel": {"a": [gs.Record(), thing]}}, probe)


@pytest.mark.parametrize("name", OF_PAIRS)
def test_a_difference_takes_records(name):
    draw, probe, record = getattr(gs.figures, name), OF_PAIRS[name], sample_records.sample("LSTM", 6, 2, 3)
    for thing in (3, None, "text", {}, {"a": record}, object()):
        for pair in ((thing, record), ([record], thing)):
            with pytest.raises(ArgumentError, match="A group must be a Record or a list of them" + kind(thing) + TAKE):
                draw(*pair, probe)
    with pytest.raises(ArgumentError, match="`record` must be a Record" + kind(np.float64(1)) + TAKE):
        draw(np.ones(3), record, probe)


@pytest.mark.parametrize("name", OF_TRAININGS)
def test_a_figure_of_a_training_takes_records_by_iteration(name):
    draw, rest = getattr(gs.figures, name), OF_TRAININGS[name]
    for thing in (3, None, "text", object(), gs.Record()):
        with pytest.raises(ArgumentError, match="`records` must be records by iteration" + kind(thing) + READ):
            draw(thing, *rest)
    for thing in ({0: 3}, {"first": gs.Record()}, [gs.Record()], [(0, None)], [3], np.ones(3)):
        with pytest.raises(ArgumentError, match="`records` must hold an iteration with its Record.*" + READ):
            draw(thing, *rest)


@pytest.mark.parametrize("name", OF_TABLES)
def test_a_figure_of_a_sweep_takes_rows(name):
    draw, rest = getattr(gs.figures, name), OF_TABLES[name]
    for thing in (3, None, "text", {}, {"cell": "LSTM"}, gs.Record()):
        with pytest.raises(
            ArgumentError, match="`rows` must be a list of dicts, one for each run" + kind(thing) + TABLE
        ):
            draw(thing, *rest)
    for thing in ([3], np.ones(3), [{"cell": "LSTM"}, "text"]):
        with pytest.raises(ArgumentError, match="`rows` must hold a dict for each run, got .*" + TABLE):
            draw(thing, *rest)
    assert draw([], *rest).layout.meta["title"] == "No runs"


@pytest.mark.parametrize("name", OF_FIGURES)
def test_a_table_takes_a_figure(name):
    for thing in (*THINGS, {}, gs.Record()):
        with pytest.raises(ArgumentError, match=kind(thing) + DRAW):
            getattr(gs.figures, name)(thing)


def test_what_is_right_is_handed_on():
    one, two = gs.Record(), gs.Record()
    assert given.record(one) is one
    assert given.group(one) == given.group([one]) == given.group(iter([one])) == [one]
    assert list(given.moments({5: two, 0: one})) == list(given.moments([(0, one), (5, two)])) == [(0, one), (5, two)]
    assert given.rows({"cell": cell} for cell in ("LSTM", "GRU")) == [{"cell": "LSTM"}, {"cell": "GRU"}]
