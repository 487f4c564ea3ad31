"""Export: what a store holds comes out of each format as it went in."""

from __future__ import annotations

import csv
import math
import sys

import numpy as np
import pytest
import xarray
from click.testing import CliRunner

from gradscope.cli import cli
from gradscope.errors import ArgumentError, ExtraError, StoreError
from gradscope.export import export, to_dataset
from gradscope.record import Field, Record, Status
from gradscope.store import Store

RATES = {("RNN", None, 10): 0.5, ("LSTM", 0.0, 10): 0.25, ("LSTM", 1.0, 10): math.inf, ("LSTM", 0.0, 20): math.nan}


def record(rate: float, length: int) -> Record:
    norm = Field("norm", np.arange(float(length)), ("step",), "1")
    gate = Field("gate", np.full((2, 3), rate), ("gate", "unit"), "1", {"gate": ["forget", "output"]})
    eigen = Field("eigen", np.array([1 + 2j, 3 - 1j]), ("rank",), "1")
    summary = {"decay_rate": rate, "verdict": "stable", "decay_rate_interval": [0.0, 1.0]}
    return Record({"norm": norm, "gate": gate, "eigen": eigen}, summary)


@pytest.fixture
def store(tmp_path):
    """A ragged grid of four runs, a fifth that failed, one of them measured twice."""
    with Store(tmp_path / "r.db", "w") as opened:
        sweep = opened.add_sweep("grid", {})
        for number, ((cell, bias, length), rate) in enumerate(RATES.items()):
            config = {"cell": cell, "forget_bias": bias, "length": length, "task": "none <&>"}
            opened.start_run(f"run{number}", sweep, config)
            records = {0: record(rate, length)} | ({5: record(rate / 2, length)} if number == 1 else {})
            opened.finish_run(f"run{number}", records, {"accuracy": 0.5 if number else None}, 1.0)
        opened.start_run("bad", sweep, {"cell": "LSTM", "forget_bias": 1.0, "length": 20, "task": "none <&>"})
        opened.fail_run("bad", 'no, it\'s "bad"\nreally')
        yield opened


def test_csv_holds_what_the_table_does(store, tmp_path):
    assert export(store, tmp_path / "r.csv") == 6
    with open(tmp_path / "r.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = store.table()
    for row, wanted in zip(rows, expected, strict=True):
        for name, value in wanted.items():
            if isinstance(value, float):
                assert float(row[name]) == value or (math.isnan(float(row[name])) and math.isnan(value))
            else:
                assert row[name] == ("" if value is None else str(value))


def test_parquet_keeps_types_nan_inf_and_what_is_missing(store, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow comes with the extra parquet alone")
    export(store, tmp_path / "r.parquet")
    found = parquet.read_table(tmp_path / "r.parquet").to_pylist()
    for row, wanted in zip(found, store.table(), strict=True):
        assert list(row) == list(wanted)
        for name, value in wanted.items():
            same = row[name] == value or (value != value and row[name] != row[name])
            assert same, (name, row[name], value)
            assert type(row[name]) is type(value) or (isinstance(row[name], float) and isinstance(value, int))


def test_a_dataset_has_the_swept_parameters_as_dimensions_and_a_status_for_every_hole(store):
    data = to_dataset(store)
    assert dict(data.sizes) == {"cell": 2, "forget_bias": 3, "length": 2}
    assert data.attrs["task"] == "none <&>"
    assert data["cell"].values.tolist() == ["RNN", "LSTM"]
    assert np.isnan(data["forget_bias"].values[0])
    rate, status = data["decay_rate"], data["decay_rate_status"]
    at = {"cell": "LSTM", "length": 10}
    assert rate.sel(**at, forget_bias=1.0) == np.inf
    assert status.sel(**at, forget_bias=1.0) == Status.INF
    assert float(rate.sel(**at, forget_bias=0.0)) == 0.125, "the last iteration"
    assert np.isnan(rate.sel(cell="LSTM", length=20, forget_bias=0.0))
    assert status.sel(cell="LSTM", length=20, forget_bias=0.0) == Status.NAN
    assert status.sel(cell="LSTM", length=20, forget_bias=1.0) == Status.NOT_COMPUTED, "it failed"
    assert data["run_status"].sel(cell="LSTM", length=20, forget_bias=1.0) == "failed"
    assert status.sel(cell="RNN", length=10, forget_bias=1.0) == Status.NOT_COMPUTED, "an RNN has no bias"
    assert data["run"].sel(cell="RNN", length=10, forget_bias=1.0) == ""
    assert float(data["decay_rate_low"].sel(**at, forget_bias=0.0)) == 0.0
    assert int((np.isfinite(rate)).sum()) == 2
    assert data["accuracy_status"].values[0, 0, 0] == Status.NOT_APPLICABLE


def test_a_parameter_that_follows_from_others_is_no_dimension(tmp_path):
    runs = {"a": ("RNN", None, None), "b": ("LSTM", -1.0, None), "c": ("LSTM", -1.0, 10)}
    with Store(tmp_path / "r.db", "w") as opened:
        sweep = opened.add_sweep("grid", {})
        for run, (cell, bias, truncate) in runs.items():
            opened.start_run(run, sweep, {"cell": cell, "input_bias": bias, "truncate": truncate})
            opened.finish_run(run, {0: record(0.5, 3)})
        every, two = to_dataset(opened), to_dataset(opened, where=["truncate=none"])
    assert dict(two.sizes) == {"cell": 2}
    assert two.attrs["input_bias"] == -1.0
    assert two["run"].sel(cell="RNN") == "a"
    assert dict(every.sizes) == {"cell": 2, "truncate": 2}


def test_every_iteration_is_a_dimension(store):
    data = to_dataset(store, where=["cell=LSTM", "length=10"], iteration=None)
    assert dict(data.sizes) == {"forget_bias": 2, "iteration": 2}
    assert data["decay_rate"].sel(forget_bias=0.0).values.tolist() == [0.25, 0.125]
    assert data["decay_rate_status"].sel(forget_bias=1.0, iteration=5) == Status.NOT_COMPUTED


def test_arrays_of_different_lengths_share_a_grid(store):
    data = to_dataset(store, where=["status=done"], arrays=["norm", "gate", "eigen"])
    assert data["norm"].dims == ("cell", "forget_bias", "length", "step")
    long = data["norm"].sel(cell="LSTM", length=20, forget_bias=0.0)
    assert long.values.tolist() == list(range(20))
    short = data["norm"].sel(cell="LSTM", length=10, forget_bias=0.0)
    assert short.values[:10].tolist() == list(range(10))
    assert np.isnan(short.values[10:]).all()
    told = data["norm_status"].sel(cell="LSTM", length=10, forget_bias=0.0).values
    assert told.tolist() == [0] * 10 + [Status.NOT_COMPUTED] * 10
    assert data["gate"].sel(cell="LSTM", length=10, forget_bias=0.0, gate_="output").values.tolist() == [0.125] * 3
    assert data["eigen_imag"].sel(cell="LSTM", length=10, forget_bias=0.0).values.tolist() == [2.0, -1.0]


def test_netcdf_comes_back_as_it_went(store, tmp_path):
    assert export(store, tmp_path / "r.nc", iteration="last", arrays=["norm"]) == 5
    with xarray.open_dataset(tmp_path / "r.nc", engine="scipy") as data:
        expected = to_dataset(store, arrays=["norm"])
        assert dict(data.sizes) == dict(expected.sizes) | {
            k: v for k, v in data.sizes.items() if k not in expected.sizes
        }
        for name in ("decay_rate", "decay_rate_status", "norm", "norm_status"):
            np.testing.assert_array_equal(data[name].values, expected[name].values)
        assert data["run_status"].values.astype(str).tolist() == expected["run_status"].values.tolist()
        assert "7=not_computed" in data.attrs["status_meanings"]


def test_one_run_is_a_dataset_without_dimensions(store):
    data = to_dataset(store, where=["cell=RNN"])
    assert dict(data.sizes) == {}
    assert float(data["decay_rate"]) == 0.5


def test_runs_that_differ_in_no_parameter_make_no_grid(store):
    sweep = store.add_sweep("again", {})
    store.start_run("twin", sweep, {"cell": "RNN", "forget_bias": None, "length": 10, "task": "none <&>"})
    store.finish_run("twin", {0: record(0.5, 10)}, {}, 1.0)
    with pytest.raises(ArgumentError, match=r"run0 and twin.*Choose one with --sweep or --where"):
        to_dataset(store)
    assert to_dataset(store, sweep="again")["run"] == "twin"


def test_a_grid_too_large_is_refused(store, monkeypatch):
    monkeypatch.setattr("gradscope.export.MOST_POINTS", 11)
    with pytest.raises(ArgumentError, match=r"got 2 x 3 x 2. Choose one with --sweep or --where, or write a .csv"):
        to_dataset(store)
    monkeypatch.setattr("gradscope.export.MOST_POINTS", 12)
    with pytest.raises(ArgumentError, match="Choose fewer runs with --where"):
        to_dataset(store, arrays=["norm"])


@pytest.mark.parametrize(
    ("name", "options", "error", "remedy"),
    [
        ("r.xlsx", {}, ArgumentError, "Name the file e.g. runs.csv"),
        ("r.csv", {"arrays": ["norm"]}, ArgumentError, "Name a file that ends in .nc"),
        ("r.nc", {"arrays": ["nonsense"]}, ArgumentError, "List them with `gradscope show STORE RUN`"),
        ("no/r.csv", {}, StoreError, "Give a file in a folder of your own"),
    ],
)
def test_errors_name_the_remedy_and_leave_no_file(store, tmp_path, name, options, error, remedy):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=remedy):
        export(store, tmp_path / name, **options)
    assert sorted(tmp_path.iterdir()) == before


def test_the_store_is_not_written_over(store, tmp_path):
    (tmp_path / "link.csv").symlink_to(store.path)
    with pytest.raises(ArgumentError, match=r"must not be the store itself.*Give another file"):
        export(store, tmp_path / "link.csv")


@pytest.mark.parametrize(
    ("package", "name", "extra"), [("xarray", "r.nc", "xarray"), ("pyarrow", "r.parquet", "parquet")]
)
def test_a_missing_package_names_its_extra(store, tmp_path, monkeypatch, package, name, extra):
    for module in [module for module in sys.modules if module.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExtraError, match=rf"pip install 'gradscope\[{extra}\]'"):
        export(store, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_the_command(store, tmp_path):
    path = str(tmp_path / "r.csv")
    result = CliRunner().invoke(
        cli, ["export", str(store.path), "-o", path, "--where", "cell=LSTM", "--where", "length=10"]
    )
    assert result.exit_code == 0, result.output
    assert result.output == f"2 rows in {path}.\n"
    result = CliRunner().invoke(cli, ["export", str(store.path), "-o", path, "--all", "--sweep", "grid"])
    assert result.output.startswith("6 rows")
    result = CliRunner().invoke(cli, ["export", str(store.path), "-o", path, "--where", "cel=LSTM"])
    assert result.exit_code == 2
    assert "Did you mean 'cell'?" in result.output
