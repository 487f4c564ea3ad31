"""Retention: the sizes that a dry run names against those of real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradscope.experiments.measurement import carry_out
from gradscope.experiments.retention import sizes
from gradscope.experiments.spec import Run
from gradscope.store import Results, Store

FIRST, RUNS = 10, 50
RUN = {"hidden_size": 12, "batch_size": 4, "length": 48}
TRAINED = {**RUN, "iterations": 12, "probe_schedule": "every:4"}
RUNS_OF_EACH_KIND = {
    "summary": {**RUN, "keep": "summary"},
    "curves": {**RUN, "keep": "curves"},
    "everything": RUN,
    "plain": {**RUN, "cell": "RNN"},
    "every probe": {**RUN, "probes": "full"},
    "every probe, without a cell state": {**RUN, "cell": "GRU", "probes": "full", "keep": "curves"},
    "few probes": {**RUN, "probes": ["transport", "jacobian_norm"], "length": 400},
    "trained, summary": {**TRAINED, "keep": "summary"},
    "trained, curves": {**TRAINED, "keep": "curves"},
    "stack": {**RUN, "layers": 3},
    "stack, every probe": {**RUN, "layers": 2, "cell": "GRU", "probes": "full"},
    "stack, trained, curves": {**TRAINED, "layers": 2, "keep": "curves"},
    "stack, trained, summary": {**TRAINED, "layers": 2, "keep": "summary"},
    "trained, everything, stack": {**TRAINED, "layers": 2, "keep_weights": True},
    "trained, everything": {**TRAINED, "cell": "GRU", "keep_weights": True},
}


def size(path: Path, run: Run, results: Results, count: int) -> int:
    """Return the size of a file with so many runs."""
    with Store(path, "w") as store:
        sweep, owner = store.add_sweep("study", {}), store.add_owner()
        for number in range(count):
            store.claim(sweep, {f"{number:02}{run.id[2:]}": {**run.config, "seed": number}}, owner)
            store.finish_runs({f"{number:02}{run.id[2:]}": results}, owner)
    return path.stat().st_size


@pytest.mark.parametrize("kind", RUNS_OF_EACH_KIND)
def test_a_dry_run_names_the_size_of_a_run_within_a_fifth(tmp_path, kind):
    run = Run(**RUNS_OF_EACH_KIND[kind])
    ended = carry_out(run, run.load_task())
    assert ended.results is not None, ended.error
    few, many = (size(tmp_path / f"{count}.db", run, ended.results, count) for count in (FIRST, RUNS))
    assert sizes(run)[run.keep] == pytest.approx((many - few) / (RUNS - FIRST), rel=0.2)


def test_more_is_never_smaller():
    found = sizes(Run(**TRAINED))
    assert list(found) == ["summary", "curves", "everything"]
    assert found["summary"] < found["curves"] < found["everything"]
