"""The tasks: where sequences come from, what a network should say of them, and the guess that it has to beat.

Real data come from scikit-learn's digits and from files that the user names; classical tasks are made up. Every task
gives out a :class:`Batch` from a seeded generator, never mixes its training, validation and test split, and knows its
baseline.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from gradscope.errors import ArgumentError, unknown

from .adding import Adding
from .copying import CopyMemory
from .digits import DELAYED, PIXEL, ROW, SIZE, DigitsTask, by_pixel, by_row, delayed, load_images
from .noise import Noise
from .reber import CONTINUAL, Reber
from .series import LENGTHS as OF_SERIES
from .series import Series, load_series
from .task import EVALUATED, SPLITS, Baseline, Batch, Lengths, Task, one_hot, split_of
from .temporal_order import TemporalOrder
from .text import LENGTHS as OF_TEXT
from .text import Text, load_text

__all__ = [
    "EVALUATED",
    "SPLITS",
    "TASKS",
    "Adding",
    "Baseline",
    "Batch",
    "CopyMemory",
    "DigitsTask",
    "Kind",
    "Lengths",
    "Noise",
    "Reber",
    "Series",
    "Task",
    "TemporalOrder",
    "Text",
    "load_images",
    "load_task",
    "one_hot",
    "split_of",
]


@dataclass(frozen=True)
class Kind:
    """What is known of a task before its data are read.

    Attributes
    ----------
    make : callable
        From options to the task.
    lengths : Lengths
    options : tuple of str
        What ``make`` takes: keys of a sweep that have a meaning for this task only.
    learns : bool
        Whether there is anything to train on.
    each_step : bool
        Whether there is a target after each step, or one after the last.
    summary : str
        What the network has to do, in one line.
    """

    make: Callable[..., Task]
    lengths: Lengths
    summary: str
    options: tuple[str, ...] = ()
    learns: bool = True
    each_step: bool = False


def _of_digits(name: str, input_size: int, lengths: Lengths, arrange: Callable, summary: str) -> Kind:
    """Return a kind of task over the digits."""

    def make() -> Task:
        return DigitsTask(name=name, input_size=input_size, lengths=lengths, images=load_images(), arrange=arrange)

    return Kind(make, lengths, summary)


def _generated(task: Task, summary: str) -> Kind:
    """Return a kind of task without options."""
    return Kind(lambda: task, task.lengths, summary, each_step=task.each_step)


OF_1997 = Lengths(110, 11, "Each symbol needs a window of its own.")

TASKS: dict[str, Kind] = {
    "digits_pixel": _of_digits("digits_pixel", 1, PIXEL, by_pixel, "name a digit read pixel by pixel"),
    "digits_row": _of_digits("digits_row", SIZE, ROW, by_row, "name a digit read row by row"),
    "digits_delayed": _of_digits(
        "digits_delayed", SIZE + 1, DELAYED, delayed, "name the first of many digits read row by row"
    ),
    "adding": _generated(Adding(name="adding"), "add two marked numbers from 0 to 1"),
    "adding_signed": _generated(Adding(name="adding_signed", low=-1.0), "add two marked numbers from -1 to 1"),
    "temporal_order": _generated(TemporalOrder(name="temporal_order"), "name the order of two symbols far apart"),
    "temporal_order_6a": _generated(
        TemporalOrder(
            name="temporal_order_6a", lengths=OF_1997, windows=((10, 20), (50, 60)), scale=110, slack=10
        ),
        "the same with the lengths and places of 1997",
    ),
    "temporal_order_6b": _generated(
        TemporalOrder(
            name="temporal_order_6b",
            output_size=8,
            lengths=OF_1997,
            windows=((10, 20), (33, 43), (66, 76)),
            scale=110,
            slack=10,
        ),
        "name the order of three symbols far apart",
    ),
    "copy": _generated(CopyMemory(name="copy"), "repeat ten symbols after a silence"),
    "reber": _generated(Reber(name="reber"), "name the next symbol of embedded Reber strings"),
    "reber_continual": _generated(
        Reber(name="reber_continual", lengths=CONTINUAL, continual=True), "the same on a stream without an end"
    ),
    "text": Kind(load_text, OF_TEXT, "name the next character of a text", options=("file",), each_step=True),
    "series": Kind(
        load_series,
        OF_SERIES,
        "predict the next value of a column of a CSV file",
        options=("file", "column"),
        each_step=True,
    ),
    "random": Kind(
        lambda **options: Noise(name="random", **options),
        Noise(name="random").lengths,
        "white noise to measure a network on; nothing to learn",
        options=("input_size", "input_std"),
        learns=False,
    ),
}  # fmt: skip
"""Every task by its name."""


@functools.lru_cache(maxsize=16)
def load_task(name: str, **options: object) -> Task:
    """Return the task of that name with its data.

    Parameters
    ----------
    name : str
        One of ``TASKS``.
    **options
        Those of the task, such as the ``file`` that it reads; left out, each has a default.

    Raises
    ------
    ArgumentError
        For a name that is not a task, an option that it does not have, or a file that it cannot use.
    ExtraError
        When scikit-learn is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> task = load_task("digits_delayed")
    >>> batch = task.draw(np.random.default_rng(0), size=4, length=20)
    >>> batch.inputs.shape, batch.targets.shape
    ((20, 4, 9), (4,))
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    kind = TASKS[name]
    for option in options:
        if option not in kind.options:
            raise ArgumentError(f"`{option}` must be left out for the task {name}. {others(option)}")
    return kind.make(**options)


def others(option: str) -> str:
    """Return the sentence that says which tasks have an option."""
    names = [name for name, kind in TASKS.items() if option in kind.options]
    return f"Only {' and '.join(names)} {'has' if len(names) == 1 else 'have'} it." if names else "No task has it."
