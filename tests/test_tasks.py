"""The tasks: what they give out, what they never mix, and the guess that a network has to beat."""

from __future__ import annotations

import collections
import dataclasses
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets

from gradscope.errors import ArgumentError, ExtraError, ShapeError
from gradscope.experiments.tasks import (
    EVALUATED,
    SPLITS,
    TASKS,
    Adding,
    Batch,
    Noise,
    load_images,
    load_task,
    one_hot,
    split_of,
)

GENERATED = ["adding", "adding_signed", "temporal_order", "temporal_order_6a", "temporal_order_6b", "copy", "random"]
DIGITS = ["digits_pixel", "digits_row", "digits_delayed"]
ALL = [name for name in TASKS if not {"file", "column"} & set(TASKS[name].options)]


def rng(seed=0):
    return np.random.default_rng(seed)


def sequences(batch):
    """Each sequence as bytes, without its padding."""
    inputs = np.ascontiguousarray(batch.inputs.swapaxes(0, 1))
    steps = np.full(batch.size, batch.length) if batch.valid is None else batch.valid.sum(axis=0)
    return [sequence[:count].tobytes() for sequence, count in zip(inputs, steps, strict=True)]


@pytest.fixture(scope="module")
def images() -> dict[bytes, int]:
    """Each image as bytes, with its label, read straight from scikit-learn."""
    bunch = datasets.load_digits()
    assert len(bunch.images) == 1797
    return {(image / 16).tobytes(): label for image, label in zip(bunch.images, bunch.target, strict=True)}


def seen(split: str) -> set[bytes]:
    images = load_images()
    return {(image / 16.0).tobytes() for image in images.images[images.split[split]]}


def test_every_image_is_in_one_split_and_a_fifth_of_each_digit_is_tested():
    found = load_images()
    assert sorted(np.concatenate(list(found.split.values()))) == list(range(1797))
    for split, share in {"test": 0.2, "validation": 0.1, "train": 0.7}.items():
        held = np.bincount(found.targets[found.split[split]])
        np.testing.assert_allclose(held / np.bincount(found.targets), share, atol=0.005)


def test_held_out_images_are_not_training_images_pixel_for_pixel():
    train, validation, test = (seen(split) for split in SPLITS)
    assert not train & test
    assert not train & validation
    assert not validation & test


def test_digits_pixel_reads_the_image_in_reading_order(images):
    batch = load_task("digits_pixel").draw(rng(), 5)
    assert batch.inputs.shape == (64, 5, 1)
    for sequence, target in zip(sequences(batch), batch.targets, strict=True):
        assert images[sequence] == target


def test_digits_row_reads_the_image_from_the_top(images):
    batch = load_task("digits_row").draw(rng(), 5)
    assert batch.inputs.shape == (8, 5, 8)
    for sequence, target in zip(sequences(batch), batch.targets, strict=True):
        assert images[sequence] == target


@settings(deadline=None, max_examples=30)
@given(length=st.integers(8, 70), size=st.integers(1, 9), seed=st.integers(0, 99), split=st.sampled_from(list(SPLITS)))
def test_digits_delayed_shows_the_digit_first_then_others_of_the_same_split(images, length, size, seed, split):
    batch = load_task("digits_delayed").draw(rng(seed), size, length, split)
    allowed = seen(split)
    heads = {image[: 8 * 8 * (length % 8)] for image in allowed}
    assert batch.inputs.shape == (length, size, 9)
    for sequence, target in zip(batch.inputs.swapaxes(0, 1), batch.targets, strict=True):
        rows, cue = np.ascontiguousarray(sequence[:, :8]), sequence[:, 8]
        assert cue.tolist() == [1.0] * 8 + [0.0] * (length - 8)
        shown = [rows[start : start + 8].tobytes() for start in range(0, length - length % 8, 8)]
        assert images[shown[0]] == target
        assert set(shown) <= allowed
        assert shown[0] not in shown[1:]
        assert rows[length - length % 8 :].tobytes() in heads


def test_distractors_are_drawn_from_all_other_images():
    batch = load_task("digits_delayed").whole(rng(), 8 * 40)
    rows = np.ascontiguousarray(batch.inputs[8:, :, :8].swapaxes(0, 1)).reshape(-1, 8, 8)
    assert {image.tobytes() for image in rows} == seen("test")


@pytest.mark.parametrize("name", DIGITS)
@pytest.mark.parametrize("split", ["test", "validation"])
def test_an_evaluation_shows_each_held_out_image_once(name, split):
    batch = load_task(name).whole(rng(), split=split)
    images = load_images()
    np.testing.assert_array_equal(batch.targets, images.targets[images.split[split]])
    assert batch.inputs.min() == 0
    assert batch.inputs.max() == 1


def test_a_batch_repeats_no_image_while_there_are_enough():
    assert len(set(sequences(load_task("digits_row").draw(rng(), 1200)))) == 1200
    assert load_task("digits_row").draw(rng(), 2000).inputs.shape == (8, 2000, 8)


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_sequences(name):
    task = load_task(name)
    first, again, other = (task.draw(rng(seed), 6) for seed in (3, 3, 4))
    assert sequences(first) == sequences(again)
    assert sequences(first) != sequences(other)
    np.testing.assert_array_equal(first.targets, again.targets)


@pytest.mark.parametrize("name", ALL)
def test_a_batch_has_the_stated_sizes(name):
    task = load_task(name)
    for split in SPLITS:
        batch = task.draw(rng(), 7, split=split)
        assert batch.inputs.shape == (task.lengths.default, 7, task.input_size)
        assert batch.each_step == task.each_step
        if task.output_size and task.loss == "cross_entropy":
            assert 0 <= batch.targets.min() <= batch.targets.max() < task.output_size
        elif task.output_size:
            assert batch.targets.shape[-1] == task.output_size
    assert batch.astype("float32").inputs.dtype == np.float32


@pytest.mark.parametrize("name", ALL)
def test_no_sequence_is_in_two_splits(name):
    task = load_task(name)
    found = {split: set(sequences(task.draw(rng(5), 300, split=split))) for split in SPLITS}
    whole = {split: set(sequences(task.whole(rng(5), split=split))) for split in ("validation", "test")}
    train = found["train"] | set(sequences(task.draw(rng(6), 300)))
    assert not train & (found["test"] | whole["test"])
    assert not train & (found["validation"] | whole["validation"])
    assert not (found["test"] | whole["test"]) & (found["validation"] | whole["validation"])


def test_even_where_few_sequences_are_possible_no_test_sequence_is_trained_on():
    # Ten steps hold at most 2 * 4 * 2 * 2 * 4**6 sequences of temporal order; ten thousand draws meet many twice.
    task = load_task("temporal_order")
    train, test = (sequences(task.draw(rng(), size, 10, split)) for size, split in ((20_000, "train"), (2000, "test")))
    assert len(set(train)) < 20_000
    assert not set(train) & set(test)


@pytest.mark.parametrize("name", GENERATED)
def test_splits_have_their_shares_whatever_the_target(name):
    batch = load_task(name).generate(rng(), 20_000, load_task(name).lengths.shortest + 10)
    groups = [np.ones(batch.size, bool)]
    if batch.targets is not None and not batch.each_step and batch.targets.ndim == 1:
        groups += [batch.targets == target for target in np.unique(batch.targets)]
    for group in groups:
        share = np.bincount(split_of(batch.inputs)[group]) / group.sum()
        np.testing.assert_allclose(share, list(SPLITS.values()), atol=4 * math.sqrt(0.25 / group.sum()))


def test_padding_does_not_move_a_sequence_to_another_split():
    inputs = rng().standard_normal((9, 50, 3))
    padded = np.concatenate([inputs, np.zeros((4, 50, 3))])
    np.testing.assert_array_equal(split_of(inputs), split_of(padded))
    assert len(np.unique(split_of(inputs))) == 3


@settings(deadline=None, max_examples=30)
@given(length=st.integers(2, 60), seed=st.integers(0, 99), name=st.sampled_from(["adding", "adding_signed"]))
def test_adding_asks_for_the_sum_of_the_two_marked_numbers(length, seed, name):
    batch = load_task(name).draw(rng(seed), 5, length)
    numbers, markers = batch.inputs[..., 0], batch.inputs[..., 1]
    np.testing.assert_array_equal(markers.sum(axis=0), 2)
    assert set(np.unique(markers)) <= {0, 1}
    np.testing.assert_allclose((numbers * markers).sum(axis=0), batch.targets[:, 0], rtol=1e-12)
    assert numbers.min() >= load_task(name).low


def test_all_places_are_marked_alike():
    markers = load_task("adding").generate(rng(), 40_000, 10).inputs[..., 1].mean(axis=1)
    np.testing.assert_allclose(markers, 0.2, atol=0.01)


@pytest.mark.parametrize(("name", "expected"), [("adding", 1 / 6), ("adding_signed", 2 / 3)])
def test_baseline_of_adding_is_the_variance_of_the_sum(name, expected):
    batch = load_task(name).draw(rng(), 100_000, 20)
    assert load_task(name).baseline(batch).loss == pytest.approx(expected, rel=1e-12)
    assert batch.targets.var() == pytest.approx(expected, rel=0.01)
    assert batch.targets.mean() == pytest.approx(1 + load_task(name).low, abs=0.01)


def spelled(batch, alphabet="EBabcdXY"):
    """Each sequence of symbols as text, without its padding."""
    for b in range(batch.size):
        rows = batch.inputs[:, b]
        yield "".join(alphabet[row.argmax()] for row in rows if row.any())


@pytest.mark.parametrize(
    ("name", "length", "windows", "shortest"),
    [
        ("temporal_order", 50, [(3, 12), (25, 40)], 50),
        ("temporal_order", 100, [(6, 24), (50, 80)], 100),
        ("temporal_order_6a", 110, [(10, 20), (50, 60)], 100),
        ("temporal_order_6b", 110, [(10, 20), (33, 43), (66, 76)], 100),
        ("temporal_order_6b", 55, [(5, 10), (16, 22), (33, 38)], 50),
    ],
)
def test_temporal_order_names_the_order_of_symbols_within_their_windows(name, length, windows, shortest):
    batch = load_task(name).draw(rng(), 3000, length)
    places, steps = [], []
    for text, target in zip(spelled(batch), batch.targets, strict=True):
        found = [t for t, symbol in enumerate(text) if symbol in "XY"]
        assert int("".join(str("XY".index(text[t])) for t in found), 2) == target
        assert text[0] == "E"
        assert text[-1] == "B"
        assert set(text[1:-1]) <= set("abcdXY")
        places.append(found)
        steps.append(len(text))
    assert list(zip(np.min(places, axis=0), np.max(places, axis=0), strict=True)) == windows
    assert (min(steps), max(steps)) == (shortest, length)
    if batch.valid is not None:
        np.testing.assert_array_equal(batch.valid.sum(axis=0), steps)


@pytest.mark.parametrize(
    ("name", "classes"), [("temporal_order", 4), ("temporal_order_6a", 4), ("temporal_order_6b", 8)]
)
def test_baseline_of_temporal_order_is_the_log_of_its_classes(name, classes):
    task = load_task(name)
    batch = task.draw(rng(), 8000, 22)
    np.testing.assert_allclose(np.bincount(batch.targets) / 8000, 1 / classes, atol=0.02)
    assert task.baseline(batch).loss == pytest.approx({4: 1.3863, 8: 2.0794}[classes], abs=5e-5)
    assert task.baseline(batch).accuracy == 1 / classes


def test_copy_memory_asks_for_the_symbols_at_the_end():
    batch = load_task("copy").draw(rng(), 50, 37)
    symbols = batch.inputs.argmax(axis=2)
    np.testing.assert_array_equal(batch.inputs.sum(axis=2), 1)
    assert symbols[:10].max() == 7
    np.testing.assert_array_equal(symbols[10:26], 8)
    np.testing.assert_array_equal(symbols[26], 9)
    np.testing.assert_array_equal(symbols[27:], 8)
    np.testing.assert_array_equal(batch.targets[:27], 8)
    np.testing.assert_array_equal(batch.targets[27:], symbols[:10])
    np.testing.assert_array_equal(batch.questions.sum(axis=1), [0] * 27 + [50] * 10)
    np.testing.assert_allclose(batch.weights, 1 / 37)


@pytest.mark.parametrize(
    ("silence", "loss"), [(100, 0.17329), (200, 0.09452), (300, 0.06498), (500, 0.03999), (1000, 0.02039)]
)
def test_baseline_of_copy_memory_is_the_published_one(silence, loss):
    task = load_task("copy")
    batch = task.draw(rng(), 2, silence + 20)
    assert task.baseline(batch).loss == pytest.approx(loss, abs=5e-6)
    # Written out: probability 1 for "blank" before the recall, 1/8 for each symbol in it.
    certain = np.where(batch.questions, math.log(8), 0.0)
    assert task.baseline(batch).loss == pytest.approx(float((certain * batch.weights).sum(axis=0)[0]), rel=1e-12)


def test_noise_is_white_and_there_is_nothing_to_learn():
    batch = load_task("random", input_size=3, input_std=2.0).draw(rng(), 20, 2000)
    assert batch.targets is None
    assert not batch.each_step
    flat = batch.inputs.reshape(2000, -1)
    assert flat.std() == pytest.approx(2.0, rel=0.02)
    assert abs(np.mean(flat[1:] * flat[:-1])) < 0.1
    assert math.isnan(load_task("random").baseline(batch).loss)
    assert load_task("random", input_size=3).digest != load_task("random").digest


def test_baseline_of_the_digits_is_the_blind_guess():
    task = load_task("digits_row")
    batch = task.whole(rng())
    assert task.baseline(batch).accuracy == 0.1
    assert task.baseline(batch).loss == pytest.approx(math.log(10))
    assert np.bincount(batch.targets).max() / batch.size < 0.11


def test_an_evaluation_has_enough_sequences():
    assert load_task("adding").whole(rng(), 10).size == EVALUATED


def test_digest_follows_the_data_and_the_task():
    assert len({load_task(name).digest for name in ALL}) == len(ALL)
    task = load_task("digits_row")
    changed = task.images.images.copy()
    changed[0, 0, 0] ^= 1
    other = dataclasses.replace(task, images=dataclasses.replace(task.images, images=changed))
    assert other.digest != task.digest
    same = dataclasses.replace(task, images=dataclasses.replace(task.images, images=task.images.images.copy()))
    assert same.digest == task.digest
    assert Adding(name="adding", low=0.5).digest != Adding(name="adding").digest


@pytest.mark.parametrize("name", ALL)
def test_a_task_survives_the_way_to_a_worker(name):
    from distributed.protocol import deserialize, serialize

    task = load_task(name)
    there = deserialize(*serialize(task))
    assert there.digest == task.digest
    assert sequences(there.draw(rng(), 3)) == sequences(task.draw(rng(), 3))


@pytest.mark.parametrize(
    ("name", "length", "remedy"),
    [
        ("digits_pixel", 100, "must be 64 for digits_pixel, got 100. Leave it out, or take the task 'digits_delayed'"),
        ("digits_row", 16, "must be 8 for digits_row, got 16. Leave it out, or take"),
        ("digits_delayed", 7, "must be at least 8 for digits_delayed, got 7. The digit to name takes 8 steps"),
        ("copy", 20, "must be at least 21 for copy, got 20. Ten symbols, the signal and their recall take 21."),
        ("adding", 1, "must be at least 2 for adding, got 1. Two different steps are marked."),
        ("temporal_order_6b", 10, "must be at least 11 for temporal_order_6b, got 10. Each symbol needs a window"),
    ],
)
def test_a_length_that_the_task_cannot_have_is_refused(name, length, remedy):
    with pytest.raises(ArgumentError, match=remedy):
        load_task(name).draw(rng(), 2, length)


@pytest.mark.parametrize("name", GENERATED)
def test_the_shortest_length_works(name):
    task = load_task(name)
    assert task.draw(rng(), 200, task.lengths.shortest).length == task.lengths.shortest


def test_misspelt_names_are_answered_with_the_nearest():
    with pytest.raises(ArgumentError, match="Did you mean 'digits_delayed'"):
        load_task("digit_delayed")
    with pytest.raises(ArgumentError, match=r"one of train, validation, test, got 'tset'\. Did you mean 'test'"):
        load_task("digits_row").draw(rng(), 2, split="tset")


def test_an_option_of_another_task_is_refused():
    with pytest.raises(ArgumentError, match=r"`input_std` must be left out for the task adding\. Only random has it"):
        load_task("adding", input_std=1.0)
    with pytest.raises(ArgumentError, match="No task has it"):
        load_task("adding", colour="red")


def test_an_empty_batch_is_refused():
    with pytest.raises(ArgumentError, match=r"at least 1, got 0\. Ask for one sequence or more"):
        load_task("digits_row").draw(rng(), 0)


def test_arrays_of_other_sequences_are_refused():
    inputs = np.zeros((5, 3, 2))
    with pytest.raises(ShapeError, match=r"`valid` must have shape \(T, B\)=\(5, 3\), got \(3, 5\)\. Give one for"):
        Batch(inputs, np.zeros(3), valid=np.ones((3, 5), bool))
    with pytest.raises(ShapeError, match=r"got \(4,\)\. Give one for each sequence, or for each step"):
        Batch(inputs, np.zeros(4))


def test_batches_are_cut_and_joined_without_loss():
    for name in ("copy", "temporal_order_6a", "random"):
        batch = load_task(name).draw(rng(), 7, 30)
        joined = Batch.join([batch.select(slice(0, 3)), batch.select([3, 4, 5, 6])])
        for entry in dataclasses.fields(Batch):
            np.testing.assert_array_equal(getattr(joined, entry.name), getattr(batch, entry.name))


def test_one_hot_puts_a_one_at_each_symbol():
    symbols = rng().integers(5, size=(4, 3))
    rows = one_hot(symbols, 5)
    np.testing.assert_array_equal(rows.argmax(axis=-1), symbols)
    assert collections.Counter(rows.ravel().tolist()) == {0.0: 48, 1.0: 12}


def test_every_task_says_what_it_asks():
    assert all(kind.summary for kind in TASKS.values())
    assert not TASKS["random"].learns
    assert isinstance(load_task("random"), Noise)


def test_without_scikit_learn_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ExtraError, match=r"pip install 'gradscope\[sweep\]'"):
        load_images.__wrapped__()
