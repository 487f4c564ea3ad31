"""The pages of a training in work, without a browser: what they say of it, and what changes when it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sample_records
from dash import no_update
from dash.exceptions import PreventUpdate
from shown_pages import texts

from gradscope.dashboards import run, training
from gradscope.dashboards.reader import Reader
from gradscope.store import Results, Store

CONFIG = {"cell": "LSTM", "length": 20, "iterations": 90, "probe_schedule": "log:8", "layers": 2}


def seen(*iterations: int) -> Results:
    """Return what is seen of a stack under way."""
    records = {}
    for n in iterations:
        whole = sample_records.sample("LSTM", 20, 4, 6, rate=0.4 / (1 + n), seed=n)
        records[n] = replace(whole, fields={"transport": whole.fields["transport"]}, layers={"layer1": whole})
    return Results(records)


@pytest.fixture
def work(tmp_path) -> Iterator[tuple[Store, Reader]]:
    """A store that is written, with a training in work, and a reader of it."""
    with Store(tmp_path / "work.db", "w") as store:
        store.start_run("a", store.add_sweep("study", {}), CONFIG)
        store.add_records({"a": seen(0, 3)})
        reader = Reader(store.path)
        yield store, reader
        reader.close()


def told(reader: Reader, layer: str = "whole") -> dict[str, Any]:
    """Return what a page of the run knows."""
    entry = reader.run("a")
    assert entry is not None
    return training.known(reader, entry, layer) | {"page": "p", "now": 0}


def test_growth_changes_what_must_change_and_nothing_else(work):
    store, reader = work
    before = told(reader)
    with pytest.raises(PreventUpdate):
        training.growth(reader, "whole", before, "transport", None)
    store.add_records({"a": seen(8)})
    after, said, *others = training.growth(reader, "whole", before, "transport", None)
    assert [one["n"] for one in after["moments"]] == [0, 3, 8]
    assert after["page"] == "p"
    assert "in work It was probed 3 times, the last time after 8 of 90 iterations." in " ".join(texts(said).split())
    assert others == [no_update] * 5
    layered, _, probes, probe, _, number, _ = training.growth(reader, "layer1", after, "transport", "nonsense")
    assert layered["layer"] == "layer1"
    assert len(probes) > 1
    assert (probe, number) == ("transport", training.PAIR)
    for layer in ("layer9", ""):
        with pytest.raises(PreventUpdate):
            training.growth(reader, layer, after, None, None)
    store.start_run("a", 1, CONFIG)
    with pytest.raises(PreventUpdate):  # the page is built anew
        training.growth(reader, "whole", after, None, None)


def test_a_page_is_built_anew_only_when_its_run_begins_anew(work):
    store, reader = work
    pages = [training.page(reader, "a", "")]
    store.add_records({"a": seen(8)})
    pages.append(training.page(reader, "a", ""))
    store.fail_run("a", "MemoryError: no room")
    pages.append(training.page(reader, "a", ""))
    assert len({page.key for page in pages}) == 1
    said = texts(pages[-1].content)
    assert "MemoryError: no room" in said
    assert "It was probed 3 times, the last time after 8 of 90 iterations. Start its sweep again" in said
    store.start_run("a", 1, CONFIG)
    assert training.page(reader, "a", "").key != pages[0].key
    assert "nothing to show yet" in texts(training.page(reader, "a", "").content)


def test_the_page_of_a_run_in_work_says_so_and_stays(work):
    store, reader = work
    first = run.page(reader, reader.run("a"), "")
    assert "probed twice, the last time after 3 of 90 iterations. What is still to come is followed" in texts(
        first.content
    )
    store.add_records({"a": seen(8)})
    assert run.page(reader, reader.run("a"), "").key == first.key
    store.finish_run("a", {0: sample_records.sample("LSTM", 20, 4, 6)})
    last = run.page(reader, reader.run("a"), "")
    assert last.key != first.key
    assert "in work" not in texts(last.content)


def test_the_film_goes_on_with_its_training(work):
    store, reader = work
    films = training.Films(reader)
    assert films.get("a", "whole", "transport", None).iterations == (0, 3)
    assert films.get("a", "layer1", "state_gradient", None).iterations == (0, 3)
    store.add_records({"a": seen(8)})
    assert films.get("a", "whole", "transport", None).iterations == (0, 3, 8)
