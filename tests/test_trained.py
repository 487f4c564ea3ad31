"""``gradscope probe``: weights in, a verdict out, and the record as a file, a page or a run."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

import gradscope as gs
from gradscope.cli import cli
from gradscope.errors import ArgumentError, ShapeError
from gradscope.store import Store
from gradscope.trained import measure, read_inputs


@pytest.fixture
def weights(tmp_path):
    """Return a file with the weights of an LSTM that forgets at once."""
    cell = gs.LSTM(2, 6, forget_bias=-2.0)
    params = cell.init(np.random.default_rng(0))
    path = tmp_path / "model.npz"
    names = {"weight_ih": params["W_x"], "weight_hh": params["W_h"], "bias_ih": params["b"]}
    np.savez(path, **{f"encoder.{name}_l0": array for name, array in names.items()})
    return path


def run(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)


def test_the_verdict_is_that_of_the_same_cell_probed_in_python(weights):
    result = run("probe", weights, "--length", 60, "--batch", 4)
    assert result.exit_code == 0, result.output
    cell, params = gs.load_weights(weights)
    inputs = np.random.default_rng(0).standard_normal((60, 4, 2))
    wanted = gs.probe(cell, params, inputs)
    assert wanted.summary["verdict_text"] in result.output
    assert "LSTM (I = 2, H = 6) from model.npz" in result.output
    assert "white noise, seed 0" in result.output
    record = measure(weights, length=60, batch=4)
    np.testing.assert_array_equal(record["transport"], wanted["transport"])


def test_the_record_becomes_a_file_a_run_and_a_page(weights, tmp_path):
    inputs, store, page, out = (tmp_path / name for name in ("x.npy", "runs.db", "page.html", "record.npz"))
    np.save(inputs, np.ones((40, 3, 2)))
    arguments = ["probe", weights, "--inputs", inputs, "-o", out, "--store", store, "--report", page]
    for _ in range(2):  # the same file again is the same run
        result = run(*arguments)
        assert result.exit_code == 0, result.output
    record = gs.Record.load(out)
    assert record.config["inputs"] == "x.npy"
    with Store(store) as opened:
        (row,) = opened.table()
        np.testing.assert_array_equal(opened.record(row["run"])["transport"], record["transport"])
        assert (row["cell"], row["weights"], row["length"]) == ("LSTM", "model.npz", 40)
    text = page.read_text()
    assert record.summary["verdict_text"] in text
    assert "model.npz" in text
    shown = run("show", store, row["run"])
    assert record.summary["verdict_text"].split(":")[0] in shown.output


def test_probes_can_be_named(weights):
    result = run("probe", weights, "--probes", "retention, jacobian_rms", "--length", 5)
    assert "retention" in result.output.lower()
    assert run("probe", weights, "--probes", "retentoin").exit_code == 2


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 3)])
def test_inputs_of_another_shape_are_refused(shape, tmp_path):
    np.save(tmp_path / "x.npy", np.ones(shape))
    with pytest.raises(ShapeError, match="Time comes first"):
        read_inputs(tmp_path / "x.npy", 2)


def test_one_sequence_needs_no_batch_axis(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((5, 2)))
    assert read_inputs(tmp_path / "x.npy", 2).shape == (5, 1, 2)


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [("missing.npy", None, "typing error"), ("x.npy", b"hello", "Save it again"), ("x.txt", b"1", r"numpy\.save")],
)
def test_a_file_that_holds_no_inputs_is_refused(name, content, remedy, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ArgumentError, match=remedy):
        read_inputs(tmp_path / name, 2)


def test_a_table_will_do_as_well(weights, tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,\n")
    np.testing.assert_array_equal(read_inputs(tmp_path / "x.csv", 2), [[[1, 2]], [[3, np.nan]]])
    result = run("probe", weights, "--inputs", tmp_path / "x.csv", "--probes", "retention")
    assert "1 sequence of 2 steps: x.csv" in result.output


def test_a_mistake_is_one_line_with_its_remedy(tmp_path):
    result = run("probe", tmp_path / "model.pt")
    assert result.exit_code == 2
    assert "safetensors" in result.output
    assert "Traceback" not in result.output


def test_of_both_directions_each_is_told_and_other_weights_are_another_run(tmp_path):
    path, store, rng = tmp_path / "model.npz", tmp_path / "runs.db", np.random.default_rng(0)
    shapes = {"weight_ih_l0": (16, 2), "weight_hh_l0": (16, 4)}
    for _ in range(2):  # the same file name, trained on
        both = {
            f"{name}{way}": rng.standard_normal(shape) for way in ("", "_reverse") for name, shape in shapes.items()
        }
        np.savez(path, **both)
        page = tmp_path / "page.html"
        result = run("probe", path, "--length", 30, "--store", store, "--report", page, "--probes", "transport")
        assert result.exit_code == 0, result.output
        record, text = measure(path, length=30, probes=["transport"]), page.read_text()
        for name in ("forward", "backward"):
            told = f"{name}: {record.layers[name].summary['verdict_text']}"
            assert told in result.output
            assert f"<h4>{told}</h4>" in text
        assert text.count("<h3>Transport to the last state</h3>") == 2
        assert "model.npz: where gradients go" in text
        assert "before training" not in text
    with Store(store) as opened:
        assert len(opened.table()) == 2


def test_noise_that_no_memory_would_hold_is_refused_before_it_is_drawn(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, weight_ih_l0=np.zeros((16, 2)), weight_hh_l0=np.zeros((16, 4)))
    result = run("probe", path, "--length", 10**11)
    assert result.exit_code == 2
    line = (
        "`length` must leave the states below 2,147,483,648 numbers, got 100,000,000,000 steps of 16 sequences, which"
    )
    assert f"{line} makes 12,800,000,000,000. Make it shorter, or `batch` smaller." in result.output
