"""Records: arrays that say what they are, through a file and back, and nothing but numbers in them."""

from __future__ import annotations

import builtins
import json
import math
import re
import zipfile

import numpy as np
import pytest
from drawn_records import JSON, assert_same, records, same
from hypothesis import given
from sample_records import CASES

from gradscope.errors import ArgumentError, ExtraError, ShapeError, StoreError
from gradscope.record import Field, Record, Status, from_json, log10_status, plain_status, to_json


@given(record=records())
def test_a_record_comes_back_from_a_file(tmp_path_factory, record):
    path = tmp_path_factory.mktemp("record") / "r.npz"
    assert record.save(path) == path
    assert_same(record, Record.load(path))
    assert [entry.name for entry in path.parent.iterdir()] == ["r.npz"]


@pytest.mark.parametrize("case", CASES)
def test_every_case_keeps_its_statuses(case, tmp_path):
    record = CASES[case]()
    assert_same(record, Record.load(record.save(tmp_path / "record")))


def test_a_saved_record_holds_no_pickle(tmp_path):
    path = CASES["diverged"]().save(tmp_path / "r.npz")
    with np.load(path, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "biufc" for name in arrays)


def test_a_record_reads_as_the_design_says():
    record = CASES["lstm"]()
    assert record["jacobian_norm"].shape == (120, 16)
    assert record.axes["jacobian_norm"] == ("step", "batch")
    assert record.units["transport"] == "log10"
    assert record.coords["transport_blocks"]["block"] == ["h-h", "h-c", "c-h", "c-c"]
    assert record.status["direct_gradient"][0, 0] == Status.ZERO
    assert record.status["jacobian_norm"].shape == (120, 16)
    assert "transport" in record
    assert "nothing" not in record.units
    assert len(record.axes) == len(list(record)) == len(record.status)
    assert repr(record) == f"<Record of LSTM, {len(list(record))} arrays: stable: e^-4 over 120 steps>"
    assert repr(Record()) == "<Record of ?, 0 arrays>"
    assert record.field("transport").coord("time") == list(range(121))


def test_a_record_is_read_like_a_dict():
    record = CASES["lstm"]()
    assert len(record) == len(list(record)) == len(record.keys())
    assert list(record.keys()) == list(record)
    assert all(array is record[name] for name, array in record.items())
    assert all(array is record[name] for name, array in zip(record, record.values(), strict=True))
    assert dict(record).keys() == record.keys()
    assert Record()  # empty, and still a record
    assert len(Record()) == 0


def layered() -> Record:
    """Return a record of two layers, one of them in two directions."""
    record = CASES["lstm"]()
    record.layers = {"layer1": CASES["rnn"](), "layer2": CASES["diverged"]()}
    record.layers["layer1"].layers = {"backward": CASES["underflow"]()}
    return record


def test_layers_come_back_from_a_file(tmp_path):
    record = layered()
    again = Record.load(record.save(tmp_path / "r.npz"))
    assert_same(again, record)
    assert list(again.layers) == ["layer1", "layer2"]
    for name, layer in record.layers.items():
        assert_same(again.layers[name], layer)
    assert_same(again.layers["layer1"].layers["backward"], record.layers["layer1"].layers["backward"])
    assert "and 2 layers" in repr(again)


def test_a_reason_comes_back_from_a_file(tmp_path):
    values = np.full(3, np.nan)
    entry = Field("x", values, ("rank",), "1", {}, np.full(3, Status.NOT_COMPUTED), "the sequence is too short")
    again = Record.load(Record({"x": entry}).save(tmp_path / "r.npz"))
    assert again.field("x").reason == "the sequence is too short"
    assert Record.load(CASES["rnn"]().save(tmp_path / "other.npz")).field("transport").reason == ""


def test_records_of_the_first_format_are_read_too(tmp_path):
    fields = [{"name": name, "axes": ["step"], "unit": "1", "coords": {}} for name in "ab"]
    header = {"format": "gradscope record 1", "summary": {}, "config": {}, "fields": fields}
    arrays = {"values_0": np.zeros(2), "status_0": np.ones(2, np.uint8), "values_1": np.ones(3)}
    with (tmp_path / "old.npz").open("wb") as file:
        np.savez(file, header=np.frombuffer(to_json(header).encode(), np.uint8), **arrays)
    record = Record.load(tmp_path / "old.npz")
    assert record["b"].tolist() == [1, 1, 1]
    assert record.status["a"].tolist() == [1, 1]


def test_xarray_holds_the_layers_by_their_names():
    pytest.importorskip("xarray")
    record = layered()
    data = record.to_xarray()
    for prefix, layer in (("layer1.", record.layers["layer1"]), ("layer2.", record.layers["layer2"])):
        for name in layer:
            np.testing.assert_array_equal(data[f"{prefix}{name}"].values, layer[name])
            for dimension, axis in zip(data[f"{prefix}{name}"].dims, layer.axes[name], strict=True):
                assert data.coords[dimension].values.tolist() == layer.field(name).coord(axis)
    assert "layer1.backward.transport" in data
    layers = from_json(data.attrs["layers"])
    assert layers["layer1"]["config"] == record.layers["layer1"].config


def test_an_array_that_was_not_measured_is_named():
    with pytest.raises(ArgumentError, match=r"Did you mean 'transport'\? Ask for it with `probes="):
        CASES["lstm"]()["transpor"]
    with pytest.raises(KeyError):
        CASES["lstm"]().units["transpor"]
    with pytest.raises(ArgumentError, match="`axis` must be one of step, batch"):
        CASES["lstm"]().field("jacobian_norm").coord("time")


def test_a_field_takes_lists_and_numpy_labels():
    entry = Field("x", [[1.0, 2.0]], ["step", "batch"], "1", {"batch": np.array([3, 4])}, [[0, 4]])
    assert entry.values.shape == (1, 2)
    assert entry.axes == ("step", "batch")
    assert entry.coords == {"batch": [3, 4]}
    assert type(entry.coords["batch"][0]) is int
    assert entry.status.dtype == np.uint8
    assert entry == entry
    assert entry != Field("x", [[1.0, 2.0]], ["step", "batch"], "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (np.zeros(3), ("step", "batch"), "1"),
            r"one axis for each of step, batch, got shape \(3,\)\. Name every axis",
        ),
        ((np.zeros(3), ("step",), "1", {"step": [0, 1]}), r"must have 3 entries, got 2\. Give one label for each"),
        ((np.zeros(3), ("step",), "1", {}, np.zeros(2, np.uint8)), r"shape \(3,\), got \(2,\)\. Give one status"),
        ((np.array(["a"]), ("step",), "1"), r"got dtype <U1\. Convert them, e\.g\. with `\.astype\(float\)`"),
        ((np.array([object()]), ("step",), "1"), "got dtype object. Convert them"),
        ((np.zeros(1, np.longdouble), ("step",), "1"), "at most 64 bits .* Convert them"),
    ],
)
def test_a_field_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ShapeError, match=message):
        Field("x", *arguments)


class Trap:
    """What runs when a pickle is read."""

    def __reduce__(self):
        return (builtins.print, ("a pickle was read",))


@pytest.mark.parametrize(
    "content", ["text", "empty", "pickle", "npy", "object", "zip", "truncated", "flipped", "newer"]
)
def test_a_file_that_is_no_record_is_refused(content, tmp_path, capsys):
    path = tmp_path / "r.npz"
    good = CASES["rnn"]().save(tmp_path / "good").read_bytes()
    if content == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif content == "object":
        with path.open("wb") as file:
            np.savez(file, header=np.array([Trap()], object))
    elif content == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", "b")
    elif content == "newer":
        header = np.frombuffer(json.dumps({"format": "gradscope record 9"}).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, header=header)
    else:
        flipped = bytearray(good)
        flipped[len(good) // 2 : len(good) // 2 + 64] = bytes(64)
        plain = {"text": b"step,norm\n1,2", "empty": b"", "pickle": b"cbuiltins\nprint\n(S'a pickle was read'\ntR."}
        path.write_bytes({**plain, "truncated": good[: len(good) // 2], "flipped": bytes(flipped)}[content])
    with pytest.raises(StoreError, match=r"Give a file that `Record\.save` wrote\.") as caught:
        Record.load(path)
    assert str(path) in str(caught.value)
    assert "a pickle was read" not in capsys.readouterr().out


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(StoreError, match=r"must exist\. Give a file that `Record\.save` wrote"):
        Record.load(tmp_path / "none.npz")
    with pytest.raises(StoreError, match="Give a file that"):
        Record.load(tmp_path)


def test_a_record_is_not_written_where_it_cannot_be(tmp_path):
    with pytest.raises(StoreError, match="Give a file in a folder that exists and is yours"):
        Record().save(tmp_path / "none" / "r.npz")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="Give a file in a folder"):
        Record().save(tmp_path / "folder")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = CASES["rnn"]().save(tmp_path / "r.npz")

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(StoreError, match=r"No space left on device\)\. Give a file"):
        CASES["lstm"]().save(path)
    monkeypatch.undo()
    assert_same(Record.load(path), CASES["rnn"]())
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.npz"]


@pytest.mark.parametrize("case", ["lstm", "diverged", "relu"])
def test_xarray_holds_every_array_without_padding(case):
    pytest.importorskip("xarray")
    record = CASES[case]()
    data = record.to_xarray()
    for name in record:
        entry = record.field(name)
        assert data[name].shape == entry.values.shape
        assert data[name].dtype == entry.values.dtype
        np.testing.assert_array_equal(data[name].values, entry.values)
        for dimension, axis in zip(data[name].dims, entry.axes, strict=True):
            assert dimension.split(".")[-1] == axis
            assert data[name].coords[dimension].values.tolist() == entry.coord(axis)
        if entry.status is not None:
            np.testing.assert_array_equal(data[f"{name}.status"].values, entry.status)
    assert data["jacobian_norm"].dims == ("step", "batch")
    assert data["transport"].attrs["units"] == "log10"
    assert same(from_json(data.attrs["summary"]), from_json(to_json(record.summary)))


def test_without_xarray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(ExtraError, match=r"pip install 'gradscope\[xarray\]'"):
        CASES["lstm"]().to_xarray()


@given(value=JSON)
def test_json_comes_back_as_it_was(value):
    text = to_json(value)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    assert same(from_json(text), value)


@pytest.mark.parametrize(
    "value", [{"float": "nan"}, {"float": "word"}, {"float": ["inf"]}, {"float": [[1]]}, {"float": 1}]
)
def test_a_dict_that_looks_like_a_tagged_float_stays_a_dict(value):
    assert from_json(to_json(value)) == value


def test_json_takes_numpy():
    value = {"a": np.float32(0.5), "b": np.arange(2), "c": (np.int64(1), np.bool_(True)), 3: np.float64("-inf")}
    assert from_json(to_json(value)) == {"a": 0.5, "b": [0, 1], "c": [1, True], "3": -math.inf}


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j, np.array([1j])])
def test_json_refuses_what_it_has_no_form_for(value):
    with pytest.raises(ArgumentError, match="Convert it before it is stored"):
        to_json({"x": value})


def test_log10_statuses():
    values = np.array([0.0, -np.inf, -37.0, -38.0, -308.0, np.inf, np.nan])
    expected = [Status.OK, Status.ZERO, Status.OK, Status.UNDERFLOW, Status.UNDERFLOW, Status.INF, Status.NAN]
    assert log10_status(values, np.float32).tolist() == expected
    assert log10_status(values, np.float64).tolist() == [0, 1, 0, 0, 2, 5, 4]


def test_plain_statuses():
    values = np.array([1.0, 0.0, 1e-310, np.inf, -np.inf, np.nan])
    assert plain_status(values, "1").tolist() == [0, 1, 2, 5, 5, 4]
    assert plain_status(values, "step").tolist() == [0, 0, 0, 5, 5, 4]


def test_a_reduction_uses_statuses_0_to_2_only():
    entry = Field("speed", np.arange(8.0), ("step",), "1", status=np.arange(8))
    np.testing.assert_array_equal(entry.usable(), [0, 1, 2, *[np.nan] * 5])


@pytest.mark.parametrize("case", CASES)
def test_a_notebook_shows_every_array_with_a_sketch_and_what_cannot_be_used(case):
    record = CASES[case]()
    shown = record._repr_html_()
    for name in record:
        assert f"<td>{name}</td>" in shown
    assert shown.count("<td>") == 5 * len(record)
    if any((status >= Status.NAN).any() for status in record.status.values()):
        assert re.search(r"<td>\d+ (nan|inf|not applicable|not computed|masked)", shown)


def test_names_from_elsewhere_are_text_in_a_notebook():
    bad = "<script>alert(1)</script>"
    record = Record({bad: Field(bad, np.ones(3), ("step",), bad)}, {"verdict_text": bad}, {"cell": {"cell": bad}})
    record.layers[bad] = Record()
    assert "<script" not in record._repr_html_()


def test_a_long_frame_holds_every_element_with_its_place_and_status():
    pytest.importorskip("pandas", reason="pandas is not installed: pip install 'gradscope[xarray]'")
    record = CASES["lstm"]() if "lstm" in CASES else next(iter(CASES.values()))()
    name = next(iter(record))
    frame = record.to_dataframe(name)
    assert list(frame.columns) == ["array", *record.axes[name], "value", "status"]
    np.testing.assert_array_equal(frame["value"].to_numpy(), record[name].ravel())
    wanted = [Status(kind).name.lower().replace("_", " ") for kind in record.status[name].ravel()]
    assert frame["status"].tolist() == wanted
    whole = record.to_dataframe()
    assert len(whole) == sum(array.size for array in record.values())
    assert set(whole["array"]) == set(record)
    assert Record().to_dataframe().empty
    with pytest.raises(ArgumentError, match="Ask for it with"):
        record.to_dataframe("jacobian")


def test_a_frame_without_pandas_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ExtraError, match=r"gradscope\[xarray\]"):
        Record().to_dataframe()
