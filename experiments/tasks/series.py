"""A real time series: one column of a CSV file, whose next value is to be predicted after each.

The values are scaled by the mean and the spread of the training part, the first four fifths; then come validation and
test, so that nothing is predicted from its own future. What a network has to beat is the better of two guesses: the
mean, and the last value.
"""

from __future__ import annotations

import csv
import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gradscope.errors import ArgumentError, unknown

from .task import EVALUATED, Baseline, Batch, Lengths, Task
from .text import stretches, windows

__all__ = ["Series", "load_series"]

LENGTHS = Lengths(100, 1, "Count values.")


@dataclass(frozen=True, kw_only=True)
class Series(Task):
    """Predict the next value after each one.

    Attributes
    ----------
    values : ndarray, (N,)
        Scaled to mean 0 and spread 1 on the training part.
    mean, spread : float
        In the unit of the file; the loss is in squares of ``spread``.
    """

    name: str = "series"
    input_size: int = 1
    output_size: int = 1
    lengths: Lengths = LENGTHS
    loss: str = "squared_error"
    each_step: bool = True
    values: np.ndarray = field(repr=False)
    mean: float = 0.0
    spread: float = 1.0

    def _content(self) -> str:
        return hashlib.sha256(self.values.tobytes()).hexdigest()

    def _drawn(self, rng: np.random.Generator, size: int, length: int, split: str) -> Batch:
        return self._read(windows(rng, self._part(split), size, length, False, "values", "file"), length)

    def _whole(self, rng: np.random.Generator, length: int, split: str) -> Batch:
        """Return stretches of a split that do not overlap, as many as decide."""
        return self._read(windows(rng, self._part(split), EVALUATED, length, True, "values", "file"), length)

    def _part(self, split: str) -> slice:
        return stretches(len(self.values))[split]

    def _read(self, starts: np.ndarray, length: int) -> Batch:
        """Return the stretches that begin at ``starts``, and the values that follow each of theirs."""
        rows = self.values[starts + np.arange(length + 1)[:, None]]
        return Batch(rows[:-1, :, None], rows[1:, :, None])

    def baseline(self, batch: Batch) -> Baseline:
        """Return the mean squared error of the training mean or of the last value, whichever is smaller."""
        assert batch.targets is not None
        return Baseline(float(min(np.mean(batch.targets**2), np.mean((batch.targets - batch.inputs) ** 2))))


def load_series(file: str | None = None, column: str | None = None) -> Series:
    """Return the task on one column of a CSV file with a header.

    Parameters
    ----------
    file : str
        Its path.
    column : str, optional
        The name of the column; may be left out where only one holds numbers.

    Raises
    ------
    ArgumentError
        When the file cannot be read, has no such column, holds something else than a number in it, or too few of
        them, or always the same.
    """
    if file is None:
        raise ArgumentError("`file` must be given for the task series. Give the path of a CSV file with a header.")
    names, rows = read_rows(file)
    place = names.index(chosen_column(file, names, rows, column))
    values = np.array([number(file, line, names[place], row[place]) for line, row in enumerate(rows, start=2)])
    if len(values) < 30:
        raise ArgumentError(f"`file` must hold at least 30 values, got {len(values)} in {file!r}. Give a longer file.")
    train = values[stretches(len(values))["train"]]
    mean, spread = float(train.mean()), float(train.std())
    if not spread > 0:
        raise ArgumentError(f"`column` must vary, got {names[place]!r}, which is always {mean:g}. Name another.")
    return Series(values=(values - mean) / spread, mean=mean, spread=spread)


def read_rows(file: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a CSV file, all of one width.

    Raises
    ------
    ArgumentError
        When it cannot be read, is empty, or has rows of another width.
    """
    try:
        with Path(file).open(encoding="utf-8-sig", newline="") as lines:
            rows = [row for row in csv.reader(lines) if row]
    except OSError as error:
        raise ArgumentError(f"`file` must be a CSV file, got {file!r}: {error.strerror}. Give its path.") from None
    except (UnicodeDecodeError, csv.Error):
        raise ArgumentError(f"`file` must be a CSV file in UTF-8, got {file!r}. Save it as such.") from None
    if len(rows) < 2:
        raise ArgumentError(
            f"`file` must have a header and rows, got {len(rows)} {'line' if len(rows) == 1 else 'lines'} in "
            f"{file!r}. Fill it."
        )
    header = [name.strip() for name in rows[0]]
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise ArgumentError(
                f"`file` must have {len(header)} columns throughout, got {len(row)} in row {line} of {file!r}. "
                "Mend that row."
            )
    return header, rows[1:]


def chosen_column(file: str, names: list[str], rows: list[list[str]], column: str | None) -> str:
    """Return the column to read.

    Raises
    ------
    ArgumentError
        For a name that the file does not have, or none where there is a choice.
    """
    if column is not None:
        if column not in names:
            raise unknown("column", column, names, f"{file} has these.")
        return column
    numeric = [name for name, text in zip(names, rows[0], strict=True) if is_number(text)]
    if not numeric:
        raise ArgumentError(
            f"`file` must have a column of numbers, got {', '.join(names)} in {file!r}. Write 1.5 or -2e3."
        )
    if len(numeric) > 1:
        raise ArgumentError(
            f"`column` must be named, got none, and {file!r} has several. Name one of {', '.join(numeric)}."
        )
    return numeric[0]


def is_number(text: str) -> bool:
    """Return whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def number(file: str, line: int, column: str, text: str) -> float:
    """Return the number in a row.

    Raises
    ------
    ArgumentError
        When there is none.
    """
    if not is_number(text):
        raise ArgumentError(
            f"`column` must hold numbers, got {text!r} for {column} in row {line} of {file!r}. "
            "Fill the gap or name another column."
        )
    return float(text)
