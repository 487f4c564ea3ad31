"""Trials and their grids."""

from __future__ import annotations

import pickle  # noqa: TID251 (what Dask does with a trial)

import numpy as np
import pytest

from gradscope.errors import ArgumentError
from gradscope.experiments.trials import Grid, Trial
from gradscope.record import Record


def measure(rng: np.random.Generator, gain: float = 1.0, name: str = "a") -> Record:
    return Record({}, {"drawn": gain * rng.standard_normal(), "name": name})


def test_a_grid_is_every_combination():
    grid = Grid("example", measure, gain=[1.0, 2.0], name_="x", seed=range(3))
    assert [(run.config["gain"], run.config["seed"]) for run in grid.runs()] == [
        (g, s) for g in (1.0, 2.0) for s in range(3)
    ]
    assert grid.describe() == {"name": "example", "gain": [1.0, 2.0], "name_": "x", "seed": [0, 1, 2]}


def test_the_same_seed_is_the_same_chance():
    small, large, other = (
        Grid("example", measure, gain=[1.0, 2.0], seed=[0]).runs() + Grid("example", measure, seed=1).runs()
    )
    assert large.measure().summary["drawn"] == 2 * small.measure().summary["drawn"]
    assert other.measure().summary["drawn"] != small.measure().summary["drawn"]
    assert small.measure().summary == small.measure().summary


def test_an_id_stands_for_study_parameters_and_version():
    def one(study="a", version=1, **parameters):
        return Trial(study, measure, parameters, version).id

    assert one(gain=1.0, seed=0) == one(seed=0, gain=1.0)
    assert len({one(gain=1.0), one(gain=2.0), one("b", gain=1.0), one(gain=1.0, version=2), one(gain=1.0, seed=0)}) == 5


def test_a_trial_travels():
    trial = Grid("example", measure, gain=2.0).runs()[0]
    assert pickle.loads(pickle.dumps(trial)) == trial


@pytest.mark.parametrize("values", [[], [1.0, 1.0]])
def test_errors_name_the_remedy(values):
    with pytest.raises(ArgumentError, match=r"`gain` must hold at least one value, each once, got .* Mend the list"):
        Grid("example", measure, gain=values)
