"""The tasks: real handwritten digits, read as sequences.

scikit-learn ships 1,797 images of 8 x 8 pixels, written by hand by many people (Alpaydin & Kaynak 1998). A network
reads one as a sequence and names the digit after the last step:

``digits_pixel``
    64 steps of one pixel. The pieces of the answer lie up to 64 steps back.
``digits_row``
    8 steps of one row. Hardly any memory is needed: it shows that a network learns at all.
``digits_delayed``
    The digit to name comes first, row by row, and other real digits follow as distractors for as long as
    ``length`` says. What names the digit lies ``length - 8`` steps and more before the loss, so this is the task in
    which the length can be swept.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gradscope.errors import ArgumentError, ExtraError, unknown

__all__ = ["LAYOUTS", "SPLITS", "Digits", "Layout", "Task", "load_digits", "load_task"]

REVISION = 1  # raise it when a change below alters what a task gives out: it enters the digest
SIZE = 8  # rows and columns of an image
CLASSES = 10
BRIGHTEST = 16.0
HELD_OUT = 0.2
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Digits:
    """The images, their labels and which of them are held out.

    Attributes
    ----------
    images : ndarray of uint8, (N, 8, 8)
        Brightness from 0 (paper) to 16 (ink).
    targets : ndarray of uint8, (N,)
        The digit that the writer meant.
    split : dict of str to ndarray
        ``"train"`` and ``"test"``: the indices of the images of each. Every image is in exactly one, a fifth of each
        digit is held out, and the division is the same in every run.
    """

    images: np.ndarray
    targets: np.ndarray
    split: dict[str, np.ndarray]

    @property
    def digest(self) -> str:
        """The sha256 of everything that a task could be made of, in hexadecimal digits."""
        digest = hashlib.sha256()
        for array in (self.images, self.targets, *(self.split[name] for name in SPLITS)):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def divide(targets: np.ndarray) -> dict[str, np.ndarray]:
    """Return the indices of the training and the held-out images, a fifth of each digit being held out."""
    rng = np.random.default_rng(0)
    test = []
    for digit in range(CLASSES):
        members = rng.permutation(np.flatnonzero(targets == digit))
        test.append(members[: round(HELD_OUT * len(members))])
    held_out = np.sort(np.concatenate(test)).astype("<i8")
    return {"train": np.setdiff1d(np.arange(len(targets)), held_out).astype("<i8"), "test": held_out}


@functools.cache
def load_digits() -> Digits:
    """Read the images that scikit-learn ships; nothing is downloaded.

    Raises
    ------
    ExtraError
        When scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError:
        raise ExtraError("The tasks need scikit-learn's digits. Install `pip install 'gradscope[sweep]'`.") from None
    bunch = datasets.load_digits()
    targets = bunch.target.astype(np.uint8)
    return Digits(bunch.images.astype(np.uint8), targets, divide(targets))


def by_pixel(images: np.ndarray, length: int) -> np.ndarray:
    """Read images (B, 1, 8, 8) pixel by pixel, as inputs (64, B, 1)."""
    return images.reshape(len(images), length, 1).swapaxes(0, 1)


def by_row(images: np.ndarray, length: int) -> np.ndarray:
    """Read images (B, N, 8, 8) row by row and one after another, as inputs (length, B, 8)."""
    return images.reshape(len(images), -1, SIZE)[:, :length].swapaxes(0, 1)


def delayed(images: np.ndarray, length: int) -> np.ndarray:
    """Read images (B, N, 8, 8) row by row with a ninth input that is 1 while the digit to name is shown."""
    cue = np.zeros((length, len(images), 1))
    cue[:SIZE] = 1
    return np.concatenate([by_row(images, length), cue], axis=2)


@dataclass(frozen=True)
class Layout:
    """How a task reads images: its sizes, and the lengths that it can have.

    Attributes
    ----------
    input_size : int
        I, the inputs of one step.
    default_length : int
        T, in steps, when none is asked for.
    any_length : bool
        Whether it can be longer than one image; if not, ``default_length`` is its only length.
    arrange : callable
        From images (B, N, 8, 8) and a length to inputs (T, B, I).
    """

    input_size: int
    default_length: int
    any_length: bool
    arrange: Callable[[np.ndarray, int], np.ndarray]

    def fault(self, name: str, length: int) -> str | None:
        """Return why task ``name`` cannot have that length, and what to do about it; None when it can."""
        if not self.any_length and length != self.default_length:
            return (
                f"must be {self.default_length} for {name}, got {length}. "
                "Leave it out, or take the task 'digits_delayed' to sweep the length."
            )
        if length < SIZE:
            return f"must be at least {SIZE} for {name}, got {length}. The digit to name takes {SIZE} steps."
        return None


LAYOUTS: dict[str, Layout] = {
    "digits_pixel": Layout(1, SIZE * SIZE, False, by_pixel),
    "digits_row": Layout(SIZE, SIZE, False, by_row),
    "digits_delayed": Layout(SIZE + 1, 100, True, delayed),
}


@dataclass(frozen=True)
class Task:
    """A many-to-one classification task over real digits; :func:`load_task` makes one.

    A task carries its data, so that a worker computes with exactly what the digest in a run's id was taken of.

    Attributes
    ----------
    name : str
        One of ``LAYOUTS``.
    layout : Layout
        Sizes and lengths.
    digits : Digits
        The images.
    """

    name: str
    layout: Layout
    digits: Digits = field(repr=False)

    classes = CLASSES
    chance_accuracy = 1 / CLASSES  #: of a guess that does not look; the digits are equally frequent to 3 %
    chance_loss = math.log(CLASSES)  #: nat, of the same guess

    @property
    def input_size(self) -> int:
        """I, the number of inputs of one step."""
        return self.layout.input_size

    @property
    def default_length(self) -> int:
        """T, in steps, when none is asked for."""
        return self.layout.default_length

    @functools.cached_property
    def digest(self) -> str:
        """The sha256 of the data and of the way in which they are read, in hexadecimal digits."""
        return hashlib.sha256(f"{self.name} {REVISION} {self.digits.digest}".encode()).hexdigest()

    def sample(
        self, rng: np.random.Generator, size: int, length: int | None = None, split: str = "train"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw sequences at random, each of another image as long as there are enough.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of chance.
        size : int
            B, the number of sequences.
        length : int, optional
            T, in steps.
        split : {"train", "test"}
            Where both the digit to name and its distractors come from.

        Returns
        -------
        inputs : ndarray, (T, B, I)
            Brightness from 0 to 1.
        targets : ndarray of int, (B,)
            The digit to name.

        Raises
        ------
        ArgumentError
            For a size, a length or a split that the task cannot have.
        """
        if size < 1:
            raise ArgumentError(f"`size` must be at least 1, got {size}. Ask for one sequence or more.")
        members = self._members(split)
        return self._read(rng, members, rng.choice(members, size, replace=size > len(members)), length)

    def complete(
        self, rng: np.random.Generator, length: int | None = None, split: str = "test"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return one sequence for each image of a split, in their fixed order; only distractors are drawn.

        Returns and errors are those of :meth:`sample`, with B the size of the split.
        """
        members = self._members(split)
        return self._read(rng, members, members, length)

    def _members(self, split: str) -> np.ndarray:
        """Return the indices of the images of a split."""
        if split not in self.digits.split:
            raise unknown("split", split, self.digits.split)
        return self.digits.split[split]

    def _read(
        self, rng: np.random.Generator, members: np.ndarray, chosen: np.ndarray, length: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets of the chosen images, distractors drawn from the other members."""
        length = self.default_length if length is None else length
        fault = self.layout.fault(self.name, length)
        if fault:
            raise ArgumentError(f"`length` {fault}")
        count = math.ceil(length / SIZE) if self.layout.any_length else 1
        # A draw among all members but one: shift by one from the chosen image's place on.
        place = np.searchsorted(members, chosen)
        drawn = rng.integers(len(members) - 1, size=(len(chosen), count - 1))
        shown = np.column_stack([chosen, members[drawn + (drawn >= place[:, None])]])
        inputs = self.layout.arrange(self.digits.images[shown] / BRIGHTEST, length)
        return np.ascontiguousarray(inputs), self.digits.targets[chosen].astype(np.int64)


@functools.cache
def load_task(name: str) -> Task:
    """Return the task of that name with its data.

    Raises
    ------
    ArgumentError
        For a name that is not a task.
    ExtraError
        When scikit-learn is not installed.

    Examples
    --------
    >>> task = load_task("digits_delayed")
    >>> inputs, targets = task.sample(np.random.default_rng(0), size=4, length=20)
    >>> inputs.shape, targets.shape
    ((20, 4, 9), (4,))
    """
    if name not in LAYOUTS:
        raise unknown("task", name, LAYOUTS)
    return Task(name, LAYOUTS[name], load_digits())
