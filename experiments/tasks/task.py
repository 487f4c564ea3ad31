"""What every task has in common: batches of sequences, lengths, splits and the guess that a network has to beat."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError, ShapeError, unknown

__all__ = ["EVALUATED", "SPLITS", "Baseline", "Batch", "Generated", "Lengths", "Task", "one_hot", "split_of"]

REVISION = 2  # raise it when a change in this package alters what a task gives out: it enters the digest
SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Share of all sequences that each split of a generated task has."""

EVALUATED = 512
"""Sequences of a generated task on which a network is evaluated."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Sequences, and what a network should say of them.

    Attributes
    ----------
    inputs : ndarray, (T, B, I)
    targets : ndarray or None
        Classes as integers: (B,) after the last step, (T, B) after each. Numbers as floats: (B, O) or (T, B, O).
        None where there is nothing to learn.
    valid : ndarray of bool, (T, B), or None
        Which steps are no padding; None when all are. The state goes over padding unchanged, so that the last state
        is that after the last valid step.
    scored : ndarray of bool, (T, B), or None
        The steps whose output counts in the loss; None for every valid one. Only where there is a target after each.
    asked : ndarray of bool, (T, B), or None
        The steps whose output counts in the accuracy; None for every scored one.
    blind : ndarray, (T, B), or None
        What each step costs a guess that knows the rules and remembers nothing, in nat.

    Raises
    ------
    ShapeError
        When the arrays do not belong to the same sequences.
    """

    inputs: np.ndarray
    targets: np.ndarray | None
    valid: np.ndarray | None = None
    scored: np.ndarray | None = None
    asked: np.ndarray | None = None
    blind: np.ndarray | None = None

    def __post_init__(self) -> None:
        steps = self.inputs.shape[:2]
        for name in ("valid", "scored", "asked", "blind"):
            array = getattr(self, name)
            if array is not None and array.shape != steps:
                raise ShapeError(f"`{name}` must have shape (T, B)={steps}, got {array.shape}. Give one for each step.")
        if self.targets is not None and self.targets.shape[:1] not in (steps[:1], steps[1:]):
            raise ShapeError(
                f"`targets` must have shape (B={steps[1]}, ...) or (T={steps[0]}, B, ...), got {self.targets.shape}. "
                "Give one for each sequence, or for each step."
            )

    @property
    def length(self) -> int:
        """T, in steps, padding included."""
        return self.inputs.shape[0]

    @property
    def size(self) -> int:
        """B, the number of sequences."""
        return self.inputs.shape[1]

    @property
    def each_step(self) -> bool:
        """Whether there is a target after each step."""
        return self.targets is not None and self.targets.shape[:2] == self.inputs.shape[:2]

    @property
    def weights(self) -> np.ndarray:
        """What the loss of each step weighs in that of its sequence, (T, B): the same for all scored ones, 1 in sum."""
        counted = self._counted()
        return counted / np.maximum(counted.sum(axis=0), 1)

    @property
    def questions(self) -> np.ndarray:
        """The steps whose output counts in the accuracy, (T, B) of bool."""
        return self._counted() if self.asked is None else self.asked

    def _counted(self) -> np.ndarray:
        """Return which steps count in the loss."""
        for mask in (self.scored, self.valid):
            if mask is not None:
                return mask
        return np.ones(self.inputs.shape[:2], bool)

    def select(self, chosen: Any) -> Batch:
        """Return some of the sequences: a slice, indices or a mask (B,)."""
        each_step = self.each_step
        arrays: dict[str, np.ndarray | None] = {}
        for name in ("inputs", "targets", "valid", "scored", "asked", "blind"):
            array = getattr(self, name)
            at_front = name == "targets" and not each_step
            arrays[name] = array if array is None else array[chosen] if at_front else array[:, chosen]
        return Batch(**arrays)  # type: ignore[arg-type]

    def between(self, start: int, stop: int) -> Batch:
        """Return some of the steps, ``start`` up to but not with ``stop``.

        Raises
        ------
        ShapeError
            Unless there is a target after each step.
        """
        if self.targets is not None and not self.each_step:
            raise ShapeError(
                f"`targets` must have shape (T, B, ...) to be cut into segments, got {self.targets.shape}. "
                "Give a target after each step, or update per sequence."
            )
        names = ("inputs", "targets", "valid", "scored", "asked", "blind")
        arrays = {name: getattr(self, name) for name in names}
        chosen = {name: None if array is None else array[start:stop] for name, array in arrays.items()}
        return Batch(**chosen)  # type: ignore[arg-type]

    def astype(self, dtype: Any) -> Batch:
        """Return the batch with inputs, and targets that are no classes, of that dtype."""
        targets = self.targets
        if targets is not None and targets.dtype.kind == "f":
            targets = targets.astype(dtype)
        return replace(self, inputs=self.inputs.astype(dtype), targets=targets)

    @staticmethod
    def join(batches: list[Batch]) -> Batch:
        """Return the sequences of several batches of one task and length as one batch."""
        if len(batches) == 1:
            return batches[0]
        first = batches[0]
        arrays: dict[str, np.ndarray | None] = {}
        for name in ("inputs", "targets", "valid", "scored", "asked", "blind"):
            parts = [getattr(batch, name) for batch in batches]
            axis = 0 if name == "targets" and not first.each_step else 1
            arrays[name] = None if parts[0] is None else np.concatenate(parts, axis)
        return Batch(**arrays)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Baseline:
    """What a guess gets that learns nothing but the simplest number of the training set.

    Attributes
    ----------
    loss : float
        In the unit of the task's loss: nat, or the square of the target's unit.
    accuracy : float or None
        Share of right answers; None for numbers.
    """

    loss: float
    accuracy: float | None = None


@dataclass(frozen=True)
class Lengths:
    """The lengths that a task can have.

    Attributes
    ----------
    default : int
        T, in steps, when none is asked for.
    shortest : int
    why : str
        A sentence that says why it cannot be shorter, or cannot be other than it is.
    any_longer : bool
        Whether it can be longer than ``default``; if not, that is its only length.
    """

    default: int
    shortest: int
    why: str
    any_longer: bool = True

    def fault(self, name: str, length: int) -> str | None:
        """Return why task ``name`` cannot have that length, and what to do about it; None when it can."""
        if not self.any_longer and length != self.default:
            return f"must be {self.default} for {name}, got {length}. {self.why}"
        if length < self.shortest:
            return f"must be at least {self.shortest} for {name}, got {length}. {self.why}"
        return None


@dataclass(frozen=True, kw_only=True)
class Task:
    """A source of sequences; ``load_task`` makes one.

    A task carries its data, so that a worker computes with exactly what the digest in a run's id was taken of.

    Attributes
    ----------
    name : str
    input_size : int
        I, the inputs of one step.
    output_size : int
        O: classes, or numbers to predict. 0 where there is nothing to learn.
    lengths : Lengths
    loss : {"cross_entropy", "squared_error"}
    each_step : bool
        Whether there is a target after each step, or one after the last.
    """

    name: str
    input_size: int
    output_size: int
    lengths: Lengths
    loss: str = "cross_entropy"
    each_step: bool = False

    @cached_property
    def digest(self) -> str:
        """The sha256 of the data and of the way in which they are read, in hexadecimal digits."""
        return hashlib.sha256(f"{self.name} {REVISION} {self._content()}".encode()).hexdigest()

    def _content(self) -> str:
        """Return what makes up the data, beside the name."""
        return ""

    @property
    def unit(self) -> str:
        """The unit of the loss: nat, or 1 where the error of a number is squared."""
        return "nat" if self.loss == "cross_entropy" else "1"

    def draw(self, rng: np.random.Generator, size: int, length: int | None = None, split: str = "train") -> Batch:
        """Draw sequences at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of chance.
        size : int
            B, the number of sequences.
        length : int, optional
            T, in steps.
        split : {"train", "validation", "test"}
            No sequence belongs to two.

        Returns
        -------
        Batch

        Raises
        ------
        ArgumentError
            For a size, a length or a split that the task cannot have.
        """
        if size < 1:
            raise ArgumentError(f"`size` must be at least 1, got {size}. Ask for one sequence or more.")
        return self._drawn(rng, size, self._check(length, split), split)

    def whole(self, rng: np.random.Generator, length: int | None = None, split: str = "test") -> Batch:
        """Return the sequences of a split on which a network is evaluated: all, or as many as decide.

        Arguments and errors are those of :meth:`draw`.
        """
        return self._whole(rng, self._check(length, split), split)

    def baseline(self, batch: Batch) -> Baseline:
        """Return what a guess gets on a batch that remembers nothing: what a network has to beat."""
        raise NotImplementedError

    def _drawn(self, rng: np.random.Generator, size: int, length: int, split: str) -> Batch:
        """Return ``size`` random sequences of a split."""
        raise NotImplementedError

    def _whole(self, rng: np.random.Generator, length: int, split: str) -> Batch:
        """Return the sequences of a split on which a network is evaluated."""
        return self._drawn(rng, EVALUATED, length, split)

    def _check(self, length: int | None, split: str) -> int:
        """Return the length, or say why the task has no such length or split."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        length = self.lengths.default if length is None else length
        fault = self.lengths.fault(self.name, length)
        if fault:
            raise ArgumentError(f"`length` {fault}")
        return length


@dataclass(frozen=True, kw_only=True)
class Generated(Task):
    """A task whose sequences are made up; subclass it and give :meth:`generate`.

    A sequence belongs to one split by what it holds (:func:`split_of`), however it was drawn: what is tested was never
    trained on, in any run with any seed.
    """

    def _content(self) -> str:
        return repr(self)

    def generate(self, rng: np.random.Generator, size: int, length: int) -> Batch:
        """Return ``size`` random sequences, of any split."""
        raise NotImplementedError

    def _drawn(self, rng: np.random.Generator, size: int, length: int, split: str) -> Batch:
        found: list[Batch] = []
        missing = size
        while missing > 0:
            batch = self.generate(rng, int(missing / SPLITS[split] * 1.2) + 8, length)
            batch = batch.select(np.flatnonzero(split_of(batch.inputs) == list(SPLITS).index(split))[:missing])
            missing -= batch.size
            found.append(batch)
        return Batch.join(found)


def split_of(inputs: np.ndarray) -> np.ndarray:
    """Return the split to which each sequence (T, B, I) belongs, as an index into ``SPLITS``.

    A hash of its inputs decides, in the shares of ``SPLITS``; padding with zeros at the end changes nothing.
    """
    words = np.ascontiguousarray(np.swapaxes(inputs, 0, 1), np.float64).reshape(inputs.shape[1], -1).view(np.uint64)
    places = _mixed(np.arange(1, words.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    total = _mixed((_mixed(words) * (places | np.uint64(1))).sum(axis=1, dtype=np.uint64))
    share = total / 2.0**64
    return np.searchsorted(np.cumsum(list(SPLITS.values()))[:-1], share, side="right")


def _mixed(words: np.ndarray) -> np.ndarray:
    """Return each word well mixed, 0 staying 0 (the finalizer of splitmix64; Steele, Lea & Flood 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def one_hot(symbols: np.ndarray, count: int) -> np.ndarray:
    """Return symbols (...) as rows (..., count) of zeros with a one."""
    return np.eye(count)[symbols]
