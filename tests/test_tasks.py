"""The tasks: what they give out, what they never mix, and the guess that a network has to beat."""

from __future__ import annotations

import collections
import dataclasses
import math
import re
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

GENERATED = [name for name in TASKS if name.split("_")[0] in ("adding", "temporal", "copy", "reber", "random")]
DIGITS = ["digits_pixel", "digits_row", "digits_delayed"]
ALL = [name for name in TASKS if name != "series"]


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


@pytest.mark.parametrize("name", [name for name in ALL if name != "text"])
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


# Short Reber strings are few, and each is wholly in one split: their shares are lumpy.
@pytest.mark.parametrize("name", [name for name in GENERATED if not name.startswith("reber")])
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


NODE = "(?:XT*VP)*(?:S|XT*VV)"
INNER = f"B(?:TS*X{NODE}|PT*V(?:V|P{NODE}))E"
STRING = f"B(?:T{INNER}T|P{INNER}P)E"


@pytest.mark.parametrize(
    "text", ["BTSSXXTVVE", "BPVVE", "BTXXVPSE", "BPVPXVPXVPXVVE", "BTSXXVPSE", "BTSXSE", "BPTVPXTTVVE"]
)
def test_the_expression_of_these_tests_accepts_strings_of_the_grammar(text):
    assert re.fullmatch(INNER, text)


@pytest.mark.parametrize("text", ["BTSSPXSE", "BPTVVB", "BTXXVVSE", "BPVSPSE", "BTSSSE"])
def test_the_expression_of_these_tests_refuses_others(text):
    assert not re.fullmatch(INNER, text)


def full_strings(batch, alphabet):
    """Each sequence as text, with its last target."""
    for b in range(batch.size):
        steps = batch.length if batch.valid is None else int(batch.valid[:, b].sum())
        symbols = [*batch.inputs[:steps, b].argmax(axis=1), batch.targets[steps - 1, b]]
        np.testing.assert_array_equal(symbols[1:], batch.targets[:steps, b])
        yield "".join(alphabet[symbol] for symbol in symbols)


def test_every_embedded_string_is_of_the_grammar_and_asks_once():
    batch = load_task("reber").draw(rng(), 3000, 30)
    texts = list(full_strings(batch, "BTPSXVE"))
    assert all(re.fullmatch(STRING, text) for text in texts)
    assert min(map(len, texts)) == 9
    assert 28 <= max(map(len, texts)) <= 31
    np.testing.assert_array_equal(batch.asked.sum(axis=0), 1)
    np.testing.assert_array_equal(batch.asked.argmax(axis=0), [len(text) - 3 for text in texts])
    inner = collections.Counter(text[2:-2] for text in texts)
    assert len(inner) > 100
    # Of all inner strings one in eight goes straight through PVVE.
    drawn = load_task("reber").generate(rng(), 20_000, 60)
    share = np.mean([text[2:-2] == "BPVVE" for text in full_strings(drawn, "BTPSXVE")])
    assert share == pytest.approx(1 / 8, abs=0.01)


def test_a_continual_stream_is_one_string_after_another():
    batch = load_task("reber_continual").draw(rng(), 40, 200)
    for text, asked in zip(full_strings(batch, "BTPSXVE"), batch.asked.T, strict=True):
        whole = re.match(f"(?:{STRING})*", text)
        assert whole is not None
        assert len(whole[0]) > 120
        ends = [match.end() for match in re.finditer(STRING, whole[0])]
        assert set(np.array(ends) - 3) <= set(np.flatnonzero(asked))
        assert asked.sum() <= len(ends) + 1


@pytest.mark.parametrize("name", ["reber", "reber_continual"])
def test_baseline_of_reber_is_a_walk_that_remembers_one_node(name):
    task = load_task(name)
    batch = task.draw(rng(), 400, 50)
    losses = []
    for b, text in enumerate(full_strings(batch, "BTPSXVE")):
        steps = len(text) - 1
        surprise = np.zeros(steps)
        node = 0
        for t, symbol in enumerate(text):
            # Written out: what may follow, and what each choice leads to, from one node to the next.
            after = {
                0: {"B": 1}, 1: {"T": 2, "P": 2}, 2: {"B": 3}, 3: {"T": 4, "P": 5}, 4: {"S": 4, "X": 6},
                5: {"T": 5, "V": 7}, 6: {"X": 5, "S": 8}, 7: {"P": 6, "V": 8}, 8: {"E": 9}, 9: {"T": 10, "P": 10},
                10: {"E": 0},
            }[node]  # fmt: skip
            if t:
                surprise[t - 1] = math.log(len(after))
            node = after[symbol]
        np.testing.assert_allclose(batch.blind[:steps, b], surprise)
        losses.append(surprise.mean())
    assert task.baseline(batch).loss == pytest.approx(np.mean(losses), rel=1e-12)
    assert task.baseline(batch).accuracy == 0.5


def test_text_is_the_documentation_of_python_and_targets_are_the_next_characters():
    from pydoc_data.topics import topics

    task = load_task("text")
    whole = "\n\n".join(topics[name] for name in sorted(topics))
    texts = list(full_strings(task.draw(rng(), 20, 60, "train"), task.alphabet))
    assert all(text in whole for text in texts)
    cut = [round(share * len(whole)) for share in (0.8, 0.9)]
    for split, part in zip(SPLITS, (whole[: cut[0]], whole[cut[0] : cut[1]], whole[cut[1] :]), strict=True):
        for batch in (task.draw(rng(), 50, 60, split), task.whole(rng(), 60, split)):
            assert all(text in part for text in full_strings(batch, task.alphabet))


def test_an_evaluation_of_text_does_not_overlap():
    task = load_task("text")
    texts = list(full_strings(task.whole(rng(), 60, "test"), task.alphabet))
    assert EVALUATED * 0.8 < len(texts) <= EVALUATED
    assert len(set(texts)) > 0.98 * len(texts)


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def test_text_from_a_file_of_ones_own(tmp_path):
    task = load_task("text", file=written(tmp_path, "a.txt", "abca" * 300))
    assert task.alphabet == ("a", "b", "c")
    batch = task.draw(rng(), 4, 10)
    assert all(text in "abca" * 5 for text in full_strings(batch, task.alphabet))
    # Known frequencies 1/2, 1/4, 1/4: the entropy is 1.5 ln 2.
    assert task.baseline(task.whole(rng(), 4)).loss == pytest.approx(1.5 * math.log(2), rel=0.01)
    other = load_task("text", file=written(tmp_path, "b.txt", "abcb" * 300))
    assert other.digest != task.digest


def test_rare_characters_share_one_place(tmp_path):
    symbols = [chr(0x4E00 + number) for number in range(200)]
    text = "".join(symbol * (201 - number) for number, symbol in enumerate(symbols))
    task = load_task("text", file=written(tmp_path, "many.txt", text))
    assert len(task.alphabet) == task.input_size == 128
    assert task.alphabet[:127] == tuple(symbols[:127])
    assert (task.symbols == 127).sum() == sum(201 - number for number in range(127, 200))


BAD_TEXTS = [
    ("missing.txt", None, "must be a text file, got .*: No such file or directory. Give its path"),
    ("latin.txt", b"\xe9" * 200, "must be UTF-8 text, .*Convert it"),
    ("short.txt", "abc", "must hold at least 100 characters, got 3"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_TEXTS)
def test_a_text_that_cannot_be_used_is_refused(tmp_path, name, content, message):
    path = str(tmp_path / name) if content is None else written(tmp_path, name, content)
    with pytest.raises(ArgumentError, match=message):
        load_task("text", file=path)


def test_a_split_too_short_for_the_length_is_refused(tmp_path):
    task = load_task("text", file=written(tmp_path, "a.txt", "abcd" * 50))
    with pytest.raises(ArgumentError, match=r"at least 31 characters in each split, got 20\. Give a longer file or a"):
        task.draw(rng(), 2, 30, "test")


def table(count=200, header="day,level,note"):
    rows = [f"{day},{math.sin(day / 9) + 5:.6f},x" for day in range(count)]
    return "\n".join([header, *rows]) + "\n"


def test_a_series_is_scaled_by_its_training_part_and_asks_for_the_next_value(tmp_path):
    task = load_task("series", file=written(tmp_path, "level.csv", table()), column="level")
    values = np.array([round(math.sin(day / 9) + 5, 6) for day in range(200)])
    np.testing.assert_allclose(task.values * task.spread + task.mean, values, rtol=1e-12)
    assert task.mean == pytest.approx(values[:160].mean())
    assert task.values[:160].std() == pytest.approx(1.0)
    places = {value: day for day, value in enumerate(task.values)}
    for split, days in {"train": (0, 160), "validation": (160, 180), "test": (180, 200)}.items():
        batch = task.draw(rng(), 30, 12, split)
        np.testing.assert_array_equal(batch.targets[:-1], batch.inputs[1:])
        seen = [places[value] for value in [*batch.inputs.ravel(), *batch.targets.ravel()]]
        assert days[0] <= min(seen) <= max(seen) < days[1]
    batch = task.draw(rng(), 30, 12)
    last = np.mean((batch.targets - batch.inputs) ** 2)
    assert task.baseline(batch).loss == pytest.approx(last)
    assert last < np.mean(batch.targets**2)


def test_the_only_column_of_numbers_needs_no_name(tmp_path):
    path = written(tmp_path, "one.csv", "\ufeff" + table().replace("day,", "who,").replace("\n", "\na", 199)[:-1])
    assert load_task("series", file=path).digest == load_task("series", file=path, column="level").digest


BAD_SERIES = [
    ({}, table(), r"`column` must be named, got none, and .*bad\.csv' has several\. Name one of day, level\."),
    ({}, "who,what\n" + "a,b\n" * 50, r"must have a column of numbers, got who, what in .*\. Write 1\.5 or -2e3\."),
    ({"column": "levl"}, table(), "one of day, level, note, got 'levl'. Did you mean 'level'"),
    ({"column": "note"}, table(), "must hold numbers, got 'x' for note in row 2 of .*Fill the gap or name another"),
    ({"column": "level"}, table() + "5,nan,x\n", "got 'nan' for level in row 202"),
    ({"column": "level"}, table() + "5,1\n", "must have 3 columns throughout, got 2 in row 202 .*Mend that row"),
    ({"column": "level"}, table(9), "must hold at least 30 values, got 9"),
    ({"column": "level"}, "level\n" + "4\n" * 99, r"must vary, got 'level', which is always 4\. Name another"),
    ({"column": "level"}, "level\n", "must have a header and rows, got 1 line in .*Fill it"),
    ({"column": "level"}, b"\xff\xfe" * 99, "must be a CSV file in UTF-8, .*Save it as such"),
]


@pytest.mark.parametrize(("options", "content", "message"), BAD_SERIES)
def test_a_series_that_cannot_be_used_is_refused(tmp_path, options, content, message):
    with pytest.raises(ArgumentError, match=message):
        load_task("series", file=written(tmp_path, "bad.csv", content), **options)


def test_a_series_needs_a_file_that_is_there(tmp_path):
    with pytest.raises(ArgumentError, match=r"`file` must be given for the task series\. Give the path of a CSV file"):
        load_task("series")
    with pytest.raises(ArgumentError, match=r"got .*gone.csv.*No such file or directory\. Give its path"):
        load_task("series", file=str(tmp_path / "gone.csv"))
    task = load_task("series", file=written(tmp_path, "short.csv", table(40)), column="level")
    with pytest.raises(ArgumentError, match="at least 11 values in each split, got 4"):
        task.draw(rng(), 2, 10, "test")
