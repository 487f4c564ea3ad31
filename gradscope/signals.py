"""Signals: simple inputs to look at a cell with, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradscope.errors import ArgumentError, ExtraError, unknown

__all__ = ["SIGNALS", "signal"]

Array = np.ndarray

LETTERS = "abcdefghijklmnopqrstuvwxyz "
TEXT = (
    "call me ishmael some years ago never mind how long precisely having little or no money in my purse and nothing "
    "particular to interest me on shore i thought i would sail about a little and see the watery part of the world "
    "it is a way i have of driving off the spleen and regulating the circulation whenever i find myself growing grim "
    "about the mouth whenever it is a damp drizzly november in my soul whenever i find myself involuntarily pausing "
    "before coffin warehouses and bringing up the rear of every funeral i meet then i account it high time to get to "
    "sea as soon as i can "
)


def noise(length: int, batch: int, rng: np.random.Generator) -> Array:
    """Return white noise of variance 1, (T, B, 1)."""
    return rng.standard_normal((length, batch, 1))


def impulse(length: int, batch: int, rng: np.random.Generator) -> Array:
    """Return one number from N(0, 1) at the first step and zeros after it, (T, B, 1)."""
    inputs = np.zeros((length, batch, 1))
    inputs[0] = rng.standard_normal((batch, 1))
    return inputs


def constant(length: int, batch: int, rng: np.random.Generator) -> Array:
    """Return one number from N(0, 1) for each sequence, held all along, (T, B, 1)."""
    return np.broadcast_to(rng.standard_normal((batch, 1)), (length, batch, 1)).copy()


def digits(length: int, batch: int, rng: np.random.Generator) -> Array:
    """Return handwritten digits pixel by pixel, from 0 to 1, one of 64 pixels after the other, (T, B, 1).

    Raises
    ------
    ExtraError
        When scikit-learn, which holds them, is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ExtraError(
            "`digits` needs scikit-learn. Install it with `pip install 'gradscope[sweep]'`, or choose another signal."
        ) from None
    images = load_digits().data / 16.0
    chosen = rng.integers(len(images), size=(batch, -(-length // images.shape[1])))
    return images[chosen].reshape(batch, -1)[:, :length].T[..., None].copy()


def text(length: int, batch: int, rng: np.random.Generator) -> Array:
    """Return the beginning of Moby-Dick from random places on, a letter a step as one of 27 ones, (T, B, 27)."""
    codes = np.array([LETTERS.index(letter) for letter in TEXT])
    places = rng.integers(len(codes), size=batch) + np.arange(length)[:, None]
    return np.eye(len(LETTERS))[codes[places % len(codes)]]


SIGNALS: dict[str, Callable[[int, int, np.random.Generator], Array]] = {
    "noise": noise,
    "impulse": impulse,
    "constant": constant,
    "digits": digits,
    "text": text,
}


def signal(name: str, length: int, batch: int, seed: int = 0) -> Array:
    """Return inputs by name.

    Parameters
    ----------
    name : str
        One of ``SIGNALS``: noise, impulse, constant, digits, text.
    length, batch : int
        T and B.
    seed : int
        The same seed gives the same inputs.

    Returns
    -------
    ndarray, (T, B, I)

    Raises
    ------
    ArgumentError
        For an unknown name, or sizes below 1.
    ExtraError
        For digits, when scikit-learn is not installed.

    Examples
    --------
    >>> signal("impulse", length=5, batch=2)[1:].any()
    np.False_
    """
    if name not in SIGNALS:
        raise unknown("signal", name, SIGNALS)
    for argument, size in (("length", length), ("batch", batch)):
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ArgumentError(f"`{argument}` must be a whole number of at least 1, got {size!r}. Count steps.")
    return SIGNALS[name](int(length), int(batch), np.random.default_rng(seed))
