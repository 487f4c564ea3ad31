"""Text, character by character: after each one the network says what the next will be.

Real text with every range of dependency that a language has, from spelling to brackets that close a paragraph later.
The default is the English documentation of Python's own syntax, which every Python brings along
(``pydoc_data.topics``); its words, and so the ids of runs on it, follow the version of Python.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gradscope.errors import ArgumentError

from .task import EVALUATED, SPLITS, Baseline, Batch, Lengths, Task, one_hot

__all__ = ["Text", "load_text", "stretches"]

LENGTHS = Lengths(100, 1, "Count characters.")
MOST_SYMBOLS = 128
"""Characters that are told apart; the rarest beyond share one place."""


def stretches(count: int) -> dict[str, slice]:
    """Return which part of a series of ``count`` entries each split has: training first, the test last."""
    ends = np.round(np.cumsum([0.0, *SPLITS.values()]) * count).astype(int).tolist()
    return {name: slice(start, stop) for name, start, stop in zip(SPLITS, ends, ends[1:], strict=False)}


def windows(
    rng: np.random.Generator, part: slice, size: int, length: int, whole: bool, what: str, argument: str
) -> np.ndarray:
    """Return where sequences of ``length`` steps and the target after them begin: at random, or side by side.

    Raises
    ------
    ArgumentError
        When the part is too short.
    """
    room = part.stop - part.start - length
    if room < 1:
        raise ArgumentError(
            f"`{argument}` must hold at least {length + 1} {what} in each split, got {part.stop - part.start}. "
            "Give a longer file or a shorter `length`."
        )
    if not whole:
        return part.start + rng.integers(room, size=size)
    return part.start + np.arange(0, room, max(length, room // size))[:size]


@dataclass(frozen=True, kw_only=True)
class Text(Task):
    """Name the next character after each one.

    Attributes
    ----------
    symbols : ndarray of uint8, (N,)
        The text as places in ``alphabet``.
    alphabet : tuple of str
        By frequency; the last entry stands for all others where there are too many.
    """

    name: str = "text"
    lengths: Lengths = LENGTHS
    each_step: bool = True
    symbols: np.ndarray = field(repr=False)
    alphabet: tuple[str, ...] = field(repr=False)

    def _content(self) -> str:
        digest = hashlib.sha256(repr(self.alphabet).encode())
        digest.update(self.symbols.tobytes())
        return digest.hexdigest()

    def _drawn(self, rng: np.random.Generator, size: int, length: int, split: str) -> Batch:
        return self._read(windows(rng, self._part(split), size, length, False, "characters", "file"), length)

    def _whole(self, rng: np.random.Generator, length: int, split: str) -> Batch:
        """Return stretches of a split that do not overlap, as many as decide."""
        return self._read(windows(rng, self._part(split), EVALUATED, length, True, "characters", "file"), length)

    def _part(self, split: str) -> slice:
        return stretches(len(self.symbols))[split]

    def _read(self, starts: np.ndarray, length: int) -> Batch:
        """Return the stretches that begin at ``starts``, and the characters that follow each of theirs."""
        rows = self.symbols[starts + np.arange(length + 1)[:, None]].astype(np.int64)
        return Batch(one_hot(rows[:-1], self.input_size), rows[1:])

    def baseline(self, batch: Batch) -> Baseline:
        """Return what it costs to know how frequent each character is in the training text, and nothing else."""
        counts = np.bincount(self.symbols[self._part("train")], minlength=self.input_size) + 1.0
        chance = counts / counts.sum()
        surprise = (-np.log(chance)[batch.targets] * batch.weights).sum(axis=0)
        return Baseline(float(surprise.mean()), float(np.mean(batch.targets == counts.argmax())))


def load_text(file: str | None = None) -> Text:
    """Return the task on a file of text, or on Python's own documentation.

    Raises
    ------
    ArgumentError
        When the file cannot be read, is not UTF-8, or holds less than 100 characters.
    """
    text = python_documentation() if file is None else read_text(file)
    counts = Counter(text)
    alphabet = tuple(sorted(counts, key=lambda symbol: (-counts[symbol], symbol))[:MOST_SYMBOLS])
    place = {symbol: number for number, symbol in enumerate(alphabet)}
    symbols = np.array([place.get(symbol, len(alphabet) - 1) for symbol in text], np.uint8)
    return Text(input_size=len(alphabet), output_size=len(alphabet), symbols=symbols, alphabet=alphabet)


def python_documentation() -> str:
    """Return the English text of Python's help on its syntax, topic by topic."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def read_text(file: str) -> str:
    """Return the text of a file.

    Raises
    ------
    ArgumentError
        When it cannot be read, is not UTF-8, or is too short.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"`file` must be a text file, got {file!r}: {error.strerror}. Give its path.") from None
    except UnicodeDecodeError:
        raise ArgumentError(f"`file` must be UTF-8 text, got {file!r}. Convert it, e.g. with iconv.") from None
    if len(text) < 100:
        raise ArgumentError(f"`file` must hold at least 100 characters, got {len(text)} in {file!r}. Give more text.")
    return text
