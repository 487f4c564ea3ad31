"""The tasks: real digits as sequences, without leakage from the held-out images."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets

from gradscope.errors import ArgumentError, ExtraError
from gradscope.experiments.tasks import LAYOUTS, Digits, load_digits, load_task


@pytest.fixture(scope="module")
def images() -> dict[bytes, int]:
    """Each image as bytes, with its label, read straight from scikit-learn."""
    bunch = datasets.load_digits()
    assert len(bunch.images) == 1797
    return {(image / 16).tobytes(): label for image, label in zip(bunch.images, bunch.target, strict=True)}


def seen(digits: Digits, split: str) -> set[bytes]:
    return {(image / 16.0).tobytes() for image in digits.images[digits.split[split]]}


def test_split_holds_every_image_once_and_a_fifth_of_each_digit_out():
    digits = load_digits()
    train, test = digits.split["train"], digits.split["test"]
    assert sorted([*train, *test]) == list(range(1797))
    held = np.bincount(digits.targets[test])
    np.testing.assert_allclose(held / np.bincount(digits.targets), 0.2, atol=0.003)


def test_held_out_images_are_not_training_images_pixel_for_pixel():
    digits = load_digits()
    assert not seen(digits, "train") & seen(digits, "test")


def test_digits_pixel_reads_the_image_in_reading_order(images):
    inputs, targets = load_task("digits_pixel").sample(np.random.default_rng(0), 5)
    assert inputs.shape == (64, 5, 1)
    for sequence, target in zip(inputs.swapaxes(0, 1), targets, strict=True):
        assert images[sequence.tobytes()] == target


def test_digits_row_reads_the_image_from_the_top(images):
    inputs, targets = load_task("digits_row").sample(np.random.default_rng(0), 5)
    assert inputs.shape == (8, 5, 8)
    for sequence, target in zip(inputs.swapaxes(0, 1), targets, strict=True):
        assert images[sequence.tobytes()] == target


@settings(deadline=None, max_examples=30)
@given(
    length=st.integers(8, 70), size=st.integers(1, 9), seed=st.integers(0, 99), split=st.sampled_from(["train", "test"])
)
def test_digits_delayed_shows_the_digit_first_then_others_of_the_same_split(images, length, size, seed, split):
    task = load_task("digits_delayed")
    inputs, targets = task.sample(np.random.default_rng(seed), size, length, split)
    allowed = seen(task.digits, split)
    heads = {image[: 8 * 8 * (length % 8)] for image in allowed}
    assert inputs.shape == (length, size, 9)
    for sequence, target in zip(inputs.swapaxes(0, 1), targets, strict=True):
        rows, cue = np.ascontiguousarray(sequence[:, :8]), sequence[:, 8]
        assert cue.tolist() == [1.0] * 8 + [0.0] * (length - 8)
        shown = [rows[start : start + 8].tobytes() for start in range(0, length - length % 8, 8)]
        assert images[shown[0]] == target
        assert set(shown) <= allowed
        assert shown[0] not in shown[1:]
        assert rows[length - length % 8 :].tobytes() in heads


def test_distractors_are_drawn_from_all_other_images():
    task = load_task("digits_delayed")
    inputs, _ = task.complete(np.random.default_rng(0), 8 * 40)
    rows = np.ascontiguousarray(inputs[8:, :, :8].swapaxes(0, 1)).reshape(-1, 8, 8)
    assert {image.tobytes() for image in rows} == seen(task.digits, "test")


@pytest.mark.parametrize("name", LAYOUTS)
def test_same_seed_same_sequences(name):
    task = load_task(name)
    first = task.sample(np.random.default_rng(3), 6)
    again = task.sample(np.random.default_rng(3), 6)
    other = task.sample(np.random.default_rng(4), 6)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("name", LAYOUTS)
def test_complete_shows_each_held_out_image_once(name):
    task = load_task(name)
    inputs, targets = task.complete(np.random.default_rng(0))
    np.testing.assert_array_equal(targets, task.digits.targets[task.digits.split["test"]])
    assert inputs.shape == (task.default_length, len(targets), task.input_size)
    assert inputs.min() == 0
    assert inputs.max() == 1


def test_a_batch_repeats_no_image_while_there_are_enough():
    inputs, _ = load_task("digits_row").sample(np.random.default_rng(0), 1300)
    assert len({sequence.tobytes() for sequence in np.ascontiguousarray(inputs.swapaxes(0, 1))}) == 1300
    assert load_task("digits_row").sample(np.random.default_rng(0), 2000)[0].shape == (8, 2000, 8)


def test_baseline_is_the_blind_guess():
    task = load_task("digits_row")
    assert task.chance_accuracy == 0.1
    assert task.chance_loss == pytest.approx(math.log(10))
    share = np.bincount(task.digits.targets[task.digits.split["test"]]) / 359
    assert share.max() < 0.11


def test_digest_follows_the_data_and_the_task():
    tasks = [load_task(name) for name in LAYOUTS]
    assert len({task.digest for task in tasks}) == 3
    digits = load_digits()
    changed = digits.images.copy()
    changed[0, 0, 0] ^= 1
    assert Digits(changed, digits.targets, digits.split).digest != digits.digest
    assert Digits(digits.images.copy(), digits.targets, digits.split).digest == digits.digest


@pytest.mark.parametrize(
    ("name", "length", "remedy"),
    [
        ("digits_pixel", 100, "must be 64 for digits_pixel, got 100. Leave it out, or take the task 'digits_delayed'"),
        ("digits_row", 16, "must be 8 for digits_row, got 16. Leave it out, or take"),
        ("digits_delayed", 7, "must be at least 8 for digits_delayed, got 7. The digit to name takes 8 steps"),
    ],
)
def test_a_length_that_the_task_cannot_have_is_refused(name, length, remedy):
    with pytest.raises(ArgumentError, match=remedy):
        load_task(name).sample(np.random.default_rng(0), 2, length)


def test_misspelt_names_are_answered_with_the_nearest():
    with pytest.raises(ArgumentError, match="Did you mean 'digits_delayed'"):
        load_task("digit_delayed")
    with pytest.raises(ArgumentError, match=r"one of train, test, got 'tset'\. Did you mean 'test'"):
        load_task("digits_row").sample(np.random.default_rng(0), 2, split="tset")


def test_an_empty_batch_is_refused():
    with pytest.raises(ArgumentError, match=r"at least 1, got 0\. Ask for one sequence or more"):
        load_task("digits_row").sample(np.random.default_rng(0), 0)


def test_without_scikit_learn_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ExtraError, match=r"pip install 'gradscope\[sweep\]'"):
        load_digits.__wrapped__()
