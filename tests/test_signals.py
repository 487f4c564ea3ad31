"""Signals: the inputs of the scope."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gradscope import signals
from gradscope.errors import ArgumentError, ExtraError, ShapeError
from gradscope.signals import LETTERS, SIGNALS, TEXT, load_inputs, parse_inputs, signal


@pytest.mark.parametrize("name", SIGNALS)
def test_each_has_its_shape_and_follows_its_seed(name):
    inputs = signal(name, 150, 3, seed=1)
    assert inputs.shape[:2] == (150, 3)
    assert np.isfinite(inputs).all()
    assert (inputs == signal(name, 150, 3, seed=1)).all()
    assert (inputs != signal(name, 150, 3, seed=2)).any()


def test_noise_is_white_and_the_others_are_what_they_are_called():
    inputs = signal("noise", 400, 100)
    assert abs(inputs.std() - 1) < 0.02
    assert abs((inputs[1:] * inputs[:-1]).mean()) < 0.02
    assert (np.count_nonzero(signal("impulse", 50, 4), axis=0) == 1).all()
    held = signal("constant", 50, 4)
    assert (held == held[0]).all()
    assert len(np.unique(held[0])) == 4


def test_digits_are_those_of_scikit_learn_one_after_the_other():
    images = {image.tobytes() for image in load_digits().data / 16}
    inputs = signal("digits", 150, 5)[..., 0].T
    assert all(np.ascontiguousarray(row[start : start + 64]).tobytes() in images for row in inputs for start in (0, 64))


def test_the_digits_come_without_an_import_that_other_threads_would_meet_halfway():
    np.testing.assert_array_equal(signals._images(), load_digits().data / 16)
    script = "import sys; from gradscope.signals import signal; signal('digits', 9, 2); print('sklearn' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "False"


def test_text_can_be_read():
    inputs = signal("text", 60, 2)
    assert (inputs.sum(axis=2) == 1).all()
    written = ["".join(LETTERS[code] for code in row) for row in inputs.argmax(axis=2).T]
    assert all(line in TEXT * 2 for line in written)


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    signals._images.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ExtraError, match="pip install"):
        signal("digits", 10, 1)


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="noise"):
        signal("nois", 10, 1)
    with pytest.raises(ArgumentError, match=r"`length`.*Count steps"):
        signal("noise", 0, 1)
    with pytest.raises(ArgumentError, match=r"`batch`.*Count steps"):
        signal("noise", 10, 1.5)


# A file of one's own -------------------------------------------------------------------------------------------------


def npy(array, **options) -> bytes:
    """Return the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int16", "bool", ">f8"])
def test_a_npy_is_read_as_it_is(tmp_path, dtype):
    values = np.random.default_rng(0).integers(0, 2, (7, 3, 2)).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    found = load_inputs(tmp_path / "x.npy")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, values)
    np.save(tmp_path / "x.npy", np.asfortranarray(values[:, 0]))
    np.testing.assert_array_equal(load_inputs(str(tmp_path / "x.npy")), values[:, :1])


def test_nan_and_inf_are_data():
    values = np.array([[np.nan, 1.0], [np.inf, -np.inf]])
    np.testing.assert_array_equal(parse_inputs("x.npy", npy(values))[:, 0], values)
    np.testing.assert_array_equal(parse_inputs("X.CSV", b"nan,1\ninf,-inf")[:, 0], values)


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4.5\n",
        "time;level\n1;2\n3;4.5",
        "\ufeff1,2\r\n\r\n3,4.5\r\n",
        '"a","b"\n"1","2"\n3,4.5',
        "1\t2\n3\t4.5",
    ],
)
def test_a_csv_has_a_row_for_each_step(text):
    np.testing.assert_array_equal(parse_inputs("x.csv", text.encode()), [[[1, 2]], [[3, 4.5]]])


def test_an_empty_place_of_a_csv_is_nan():
    np.testing.assert_array_equal(parse_inputs("x.csv", b"1,\n,2")[:, 0], [[1, np.nan], [np.nan, 2]])
    np.testing.assert_array_equal(parse_inputs("x.csv", b",\n1,2")[:, 0], [[np.nan, np.nan], [1, 2]])


class Mine:
    """Leaves a trace when it is loaded."""

    def __reduce__(self):
        return os.putenv, ("GRADSCOPE_HURT", "1")


@pytest.mark.parametrize(
    ("name", "content", "error", "match"),
    [
        ("x.npz", b"", ArgumentError, "numpy.save"),
        ("x", b"", ArgumentError, "got 'x'. Write one"),
        ("x.npy", b"", ArgumentError, "Save it again"),
        ("x.npy", b"\x93NUMPY", ArgumentError, "Save it again"),
        ("x.npy", b"PK\x03\x04 a zip", ArgumentError, "Save it again"),
        ("x.npy", npy(np.zeros((100, 3)))[:-8], ArgumentError, r"less than its shape \(100, 3\)"),
        ("x.npy", npy(np.array([[Mine()]], object), allow_pickle=True), ArgumentError, "Python objects. Convert"),
        ("x.npy", npy(np.array([["a"]])), ArgumentError, "got dtype <U1. Convert them"),
        ("x.npy", npy(np.zeros((4, 2), complex)), ArgumentError, "got dtype complex128"),
        ("x.npy", npy(np.zeros(9)), ShapeError, r"got \(9,\). Time comes first"),
        ("x.npy", npy(np.zeros((2, 2, 2, 2))), ShapeError, r"got \(2, 2, 2, 2\)"),
        ("x.npy", npy(np.zeros((0, 2))), ShapeError, "Give every axis a length"),
        ("x.csv", b"", ShapeError, "Give every axis a length"),
        ("x.csv", b"a,b\n", ShapeError, "Give every axis a length"),
        ("x.csv", b"1,2\n3,four\n", ArgumentError, "got 'four' in line 2. Leave it empty"),
        ("x.csv", b"1,2\n\n3\n", ShapeError, "got 1 in line 3. Leave a place empty"),
        ("x.csv", b"\xff\xfe1", ArgumentError, "UTF-8"),
    ],
)
def test_a_file_that_is_none_says_what_is_wrong(name, content, error, match):
    with pytest.raises(error, match=match):
        parse_inputs(name, content)


def test_a_header_that_promises_too_much_takes_no_memory():
    content = npy(np.zeros((1, 10)))
    content = content.replace(b"(1, 10), }          ", b"(10000000000, 10), }", 1)
    with pytest.raises(ArgumentError, match="less than its shape"):
        parse_inputs("x.npy", content)


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(ArgumentError, match="typing error"):
        load_inputs(tmp_path / "x.npy")
