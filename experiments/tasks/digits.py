"""Real handwritten digits, read as sequences.

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

from gradscope.errors import ExtraError

from .task import SPLITS, Baseline, Batch, Lengths, Task

__all__ = ["DigitsTask", "Images", "by_pixel", "by_row", "delayed", "load_images"]

SIZE = 8  # rows and columns of an image
CLASSES = 10
BRIGHTEST = 16.0
HELD_OUT = {"test": 0.2, "validation": 0.1}

DELAYED = Lengths(100, SIZE, f"The digit to name takes {SIZE} steps.")
PIXEL, ROW = (
    Lengths(steps, steps, "Leave it out, or take the task 'digits_delayed' to sweep the length.", any_longer=False)
    for steps in (SIZE * SIZE, SIZE)
)


@dataclass(frozen=True)
class Images:
    """The images, their labels and which of them are held out.

    Attributes
    ----------
    images : ndarray of uint8, (N, 8, 8)
        Brightness from 0 (paper) to 16 (ink).
    targets : ndarray of uint8, (N,)
        The digit that the writer meant.
    split : dict of str to ndarray
        ``"train"``, ``"validation"`` and ``"test"``: the indices of the images of each. Every image is in exactly
        one, a fifth of each digit is held out for the test and a tenth for the validation, and the division is the
        same in every run.
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
    """Return the indices of the images of each split, the stated share of each digit being held out."""
    rng = np.random.default_rng(0)
    held_out: dict[str, list[np.ndarray]] = {name: [] for name in HELD_OUT}
    for digit in range(CLASSES):
        members = rng.permutation(np.flatnonzero(targets == digit))
        count = len(members)
        for name, share in HELD_OUT.items():
            some = round(share * count)
            held_out[name].append(members[:some])
            members = members[some:]
    split = {name: np.sort(np.concatenate(parts)).astype("<i8") for name, parts in held_out.items()}
    others = np.setdiff1d(np.arange(len(targets)), np.concatenate(list(split.values())))
    return {"train": others.astype("<i8"), **split}


@functools.cache
def load_images() -> Images:
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
    return Images(bunch.images.astype(np.uint8), targets, divide(targets))


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


@dataclass(frozen=True, kw_only=True)
class DigitsTask(Task):
    """Name a digit after the last step.

    Attributes
    ----------
    images : Images
    arrange : callable
        From images (B, N, 8, 8) and a length to inputs (T, B, I).
    """

    output_size: int = CLASSES
    images: Images = field(repr=False)
    arrange: Callable[[np.ndarray, int], np.ndarray] = field(repr=False)

    def _content(self) -> str:
        return self.images.digest

    def _drawn(self, rng: np.random.Generator, size: int, length: int, split: str) -> Batch:
        members = self.images.split[split]
        return self._read(rng, members, rng.choice(members, size, replace=size > len(members)), length)

    def _whole(self, rng: np.random.Generator, length: int, split: str) -> Batch:
        """Return one sequence for each image of a split, in their fixed order; only distractors are drawn."""
        members = self.images.split[split]
        return self._read(rng, members, members, length)

    def baseline(self, batch: Batch) -> Baseline:
        """Return what a guess costs that does not look; the digits are equally frequent to 3 %."""
        return Baseline(math.log(CLASSES), 1 / CLASSES)

    def _read(self, rng: np.random.Generator, members: np.ndarray, chosen: np.ndarray, length: int) -> Batch:
        """Return the sequences of the chosen images, distractors drawn from the other members."""
        count = math.ceil(length / SIZE) if self.lengths.any_longer else 1
        # A draw among all members but one: shift by one from the chosen image's place on.
        place = np.searchsorted(members, chosen)
        drawn = rng.integers(len(members) - 1, size=(len(chosen), count - 1))
        shown = np.column_stack([chosen, members[drawn + (drawn >= place[:, None])]])
        inputs = self.arrange(self.images.images[shown] / BRIGHTEST, length)
        return Batch(np.ascontiguousarray(inputs), self.images.targets[chosen].astype(np.int64))
