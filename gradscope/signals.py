"""Signals: simple inputs to look at a cell with, by name; and one's own, from a file."""

from __future__ import annotations

import functools
import gzip
import importlib.util
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gradscope.errors import ArgumentError, ExtraError, ShapeError, unknown

__all__ = ["SIGNALS", "load_inputs", "parse_inputs", "signal"]

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
    images = _images()
    chosen = rng.integers(len(images), size=(batch, -(-length // images.shape[1])))
    return images[chosen].reshape(batch, -1)[:, :length].T[..., None].copy()


@functools.cache
def _images() -> Array:
    """Return the digits (1797, 64) from scikit-learn's file.

    It is not imported for them: that would import pandas, in whose midst another thread cannot write JSON with plotly.
    """
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise ExtraError(
            "`digits` needs scikit-learn. Install it with `pip install 'gradscope[sweep]'`, or choose another signal."
        )
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    with gzip.open(path, "rt") as file:
        return np.loadtxt(file, delimiter=",")[:, :-1] / 16.0


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


def load_inputs(path: str | Path) -> Array:
    """Read inputs from a file of one's own.

    Parameters
    ----------
    path : str or Path
        A ``.npy`` of shape (T, B, I), or (T, I) for one sequence; or a ``.csv`` with a row for each step and a column
        for each feature, with or without a line of names. No Python object is ever loaded from it.

    Returns
    -------
    ndarray, (T, B, I)
        float64. NaN and inf are data: they are kept, and an empty place of a ``.csv`` is NaN.

    Raises
    ------
    ArgumentError
        For a file that cannot be read, or that holds something else than real numbers.
    ShapeError
        For another shape, or one without a number.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ArgumentError(
            f"`path` must be a file that can be read, got {str(path)!r} ({error.strerror}). Look for a typing error."
        ) from None
    return parse_inputs(Path(path).name, content)


def parse_inputs(name: str, content: bytes) -> Array:
    """Return the inputs (T, B, I) that the bytes of a file hold; the name says of which kind it is.

    Raises
    ------
    ArgumentError, ShapeError
        As :func:`load_inputs`.
    """
    kinds: dict[str, Callable[[bytes], Array]] = {".npy": _from_npy, ".csv": _from_csv}
    kind = Path(name).suffix.lower()
    if kind not in kinds:
        raise ArgumentError(f"`file` must be a .npy or a .csv, got {name!r}. Write one with numpy.save.")
    array = kinds[kind](content)
    if array.dtype.kind not in "fiub":
        raise ArgumentError(f"`file` must hold real numbers, got dtype {array.dtype}. Convert them to float64.")
    if array.ndim not in (2, 3):
        raise ShapeError(f"`file` must have shape (T, B, I) or (T, I), got {array.shape}. Time comes first.")
    if 0 in array.shape:
        raise ShapeError(f"`file` must hold a number at least, got shape {array.shape}. Give every axis a length.")
    whole = array[:, None] if array.ndim == 2 else array
    return whole.astype(np.float64, copy=False)


def _from_npy(content: bytes) -> Array:
    """Return the array of a .npy, whose header may promise more than there is."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise ArgumentError("`file` must hold real numbers, got Python objects. Convert them to float64.")
        if math.prod(shape) * dtype.itemsize > len(content) - file.tell():
            raise ArgumentError(f"`file` must be whole, got less than its shape {shape} needs. Save it again.")
        file.seek(0)
        return np.asarray(np.load(file, allow_pickle=False))
    except (ValueError, EOFError, SyntaxError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError("`file` must be what numpy.save writes, got something else. Save it again.") from None


def _from_csv(content: bytes) -> Array:
    """Return the table of a .csv, (T, I)."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ArgumentError("`file` must be text in UTF-8, got other bytes. Save it again as CSV.") from None
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    mark = next((mark for mark in (";", "\t", ",") if rows and mark in rows[0][1]), ",")
    table = [(number, [part.strip().strip('"') for part in line.split(mark)]) for number, line in rows]
    if table and any(table[0][1]) and not any(_is_number(part) for part in table[0][1]):
        table = table[1:]  # the names of the columns
    for number, parts in table:
        wrong = next((part for part in parts if part and not _is_number(part)), None)
        if wrong is not None:
            raise ArgumentError(
                f"`file` must hold numbers, got {wrong[:40]!r} in line {number}. Leave it empty for NaN."
            )
        if len(parts) != len(table[0][1]):
            raise ShapeError(
                f"`file` must have {len(table[0][1])} columns in every line, got {len(parts)} in line {number}. "
                "Leave a place empty for NaN."
            )
    values = [[float(part) if part else math.nan for part in parts] for _, parts in table]
    return np.array(values, float) if values else np.zeros((0, 0))


def _is_number(text: str) -> bool:
    """Return whether a text reads as a number, nan and inf among them."""
    try:
        float(text)
    except ValueError:
        return False
    return True
