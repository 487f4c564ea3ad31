"""Signals: the inputs of the scope."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gradscope.errors import ArgumentError, ExtraError
from gradscope.signals import LETTERS, SIGNALS, TEXT, signal


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


def test_text_can_be_read():
    inputs = signal("text", 60, 2)
    assert (inputs.sum(axis=2) == 1).all()
    written = ["".join(LETTERS[code] for code in row) for row in inputs.argmax(axis=2).T]
    assert all(line in TEXT * 2 for line in written)


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ExtraError, match="pip install"):
        signal("digits", 10, 1)


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="noise"):
        signal("nois", 10, 1)
    with pytest.raises(ArgumentError, match=r"`length`.*Count steps"):
        signal("noise", 0, 1)
    with pytest.raises(ArgumentError, match=r"`batch`.*Count steps"):
        signal("noise", 10, 1.5)
