"""Maps: whatever has Jacobians, in one form that measurements read.

A linearized trajectory, plain matrices or a function that yields them one after another: each measurement takes any
of them. Here, too, is what padding and resets mean for a lag.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from gradscope.cells import as_floats
from gradscope.errors import ArgumentError, ShapeError
from gradscope.linearization import Jacobians

__all__ = ["Lags", "Maps", "Pushes", "as_maps", "as_pushes", "lags_of", "matrix_at"]

Array = np.ndarray


class Maps(Protocol):
    """What a measurement reads: the Jacobians of T steps as products with them."""

    @property
    def length(self) -> int:
        """T, the number of Jacobians."""

    @property
    def batch(self) -> int:
        """B, the number of sequences."""

    @property
    def state_size(self) -> int:
        """S, the size of a Jacobian."""

    @property
    def block_size(self) -> int:
        """The size of one block of the state."""

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32."""

    def push_at(self, t: int, bundle: Array) -> Array:
        """Return J_t V for a bundle of columns V (S, B, M)."""

    def pull_at(self, t: int, bundle: Array) -> Array:
        """Return J_t' W for a bundle of columns W (S, B, M)."""


def as_maps(maps: Any, blocks: int = 1) -> Maps:
    """Return anything that has Jacobians as maps.

    Parameters
    ----------
    maps : Linearization, Jacobians, ndarray (T, B, S, S), or a function or iterator that yields (B, S, S)
        What is linearized already is returned as it is. What a function or an iterator yields is all kept, T*B*S*S
        numbers, since a backward measurement begins with the last one.
    blocks : int
        The number of equal blocks that the state of plain matrices is made of.

    Returns
    -------
    Maps

    Raises
    ------
    ShapeError
        When the matrices have another shape or are not made of numbers.
    ArgumentError
        When ``maps`` is none of these.

    Examples
    --------
    >>> as_maps(np.ones((5, 1, 2, 2))).length
    5
    """
    if _has_products(maps):
        return maps
    if isinstance(maps, np.ndarray | list | tuple):
        return Jacobians(as_floats("maps", maps), blocks)
    return Jacobians(np.stack(list(_matrices(maps))), blocks)


@dataclass(frozen=True, eq=False)
class Pushes:
    """The maps of a trajectory one after another, for a measurement that goes forward and needs each once.

    Attributes
    ----------
    batch, state_size : int
    lags : Lags or None
        Which steps count; None when T is known only at the end.
    each : iterator
        For each step the function V -> J_t V for a bundle of columns (S, B, M).
    """

    batch: int
    state_size: int
    lags: Lags | None
    each: Iterator[Callable[[Array], Array]]


def as_pushes(maps: Any) -> Pushes:
    """Return anything that has Jacobians as a stream of maps; what a function yields is not kept.

    Parameters
    ----------
    maps : as for :func:`as_maps`

    Returns
    -------
    Pushes

    Raises
    ------
    ShapeError, ArgumentError
        As :func:`as_maps`.
    """
    if not _has_products(maps) and not isinstance(maps, np.ndarray | list | tuple):
        matrices = _matrices(maps)
        first = next(matrices)
        each = (partial(_push, matrix) for matrix in itertools.chain([first], matrices))
        return Pushes(len(first), first.shape[1], None, each)
    known = as_maps(maps)
    steps = (partial(known.push_at, t) for t in range(known.length))
    return Pushes(known.batch, known.state_size, lags_of(known), steps)


def _push(matrices: Array, bundle: Array) -> Array:
    """Return J V for matrices (B, S, S) and a bundle (S, B, M)."""
    return np.moveaxis(np.matmul(matrices, np.moveaxis(bundle, 1, 0)), 0, 1)


def _has_products(maps: Any) -> bool:
    """Return whether ``maps`` can be multiplied with already."""
    return hasattr(maps, "push_at") and hasattr(maps, "pull_at")


def _matrices(maps: Any) -> Iterator[Array]:
    """Yield the matrices (B, S, S) of a function or an iterator, each checked."""
    found = maps() if callable(maps) else maps
    remedy = "Yield one array (B, S, S) for each step; for one sequence, `matrix[None]`."
    if not isinstance(found, Iterable):
        raise ArgumentError(
            f"`maps` must be a linearization, an array (T, B, S, S), or a function that yields Jacobians, got "
            f"{type(maps).__name__}. {remedy}"
        )
    shape: tuple[int, ...] | None = None
    for entry in found:
        matrix = as_floats("maps", entry)
        shape = matrix.shape if shape is None else shape
        if matrix.ndim != 3 or matrix.shape[1] != matrix.shape[2] or 0 in matrix.shape or matrix.shape != shape:
            raise ShapeError(f"`maps` must yield arrays of one shape (B, S, S), got {matrix.shape}. {remedy}")
        yield matrix
    if shape is None:
        raise ShapeError(f"`maps` must yield at least one Jacobian, got none. {remedy}")


def matrix_at(maps: Maps, t: int) -> Array:
    """Return J_t written out, (B, S, S)."""
    eye = np.eye(maps.state_size, dtype=maps.dtype)[:, None, :]
    columns = np.ascontiguousarray(np.broadcast_to(eye, (maps.state_size, maps.batch, maps.state_size)))
    return np.moveaxis(maps.push_at(t, columns), 1, 0)


@dataclass(frozen=True, eq=False)
class Lags:
    """How far back each state lies, in steps that count.

    A padded step carries the state on and does not count; the state after it is a copy, and is left out. Nothing goes
    through a reset.

    Attributes
    ----------
    valid : ndarray of bool, (T, B)
        Which steps count.
    times : ndarray of bool, (T+1, B)
        Which states are no copies: the first, and those after a step that counts.
    lag : ndarray of int, (T+1, B)
        Steps that count from each state to the last.
    longest : ndarray of int, (B,)
        L: the lag of the first state after the last reset, of the first state where there is none.
    age : ndarray of int, (T, B)
        Steps that count from the start, or the last reset, to each step.
    """

    valid: Array
    times: Array
    lag: Array
    longest: Array
    age: Array

    @classmethod
    def of(cls, length: int, batch: int, valid: Array | None = None, reset: Array | None = None) -> Lags:
        """Return the lags of a trajectory with such masks (T, B)."""
        valid = np.ones((length, batch), bool) if valid is None else np.asarray(valid, bool)
        reset = np.zeros((length, batch), bool) if reset is None else np.asarray(reset, bool) & valid
        start = np.zeros((1, batch), int)
        lag = np.concatenate([np.cumsum(valid[::-1], axis=0)[::-1], start])
        times = np.concatenate([start == 0, valid])
        after = length - np.argmax(reset[::-1], axis=0)  # the time after the last reset
        first = np.where(reset.any(axis=0), after, 0)
        before = lag[0] - lag[:-1]
        age = before - np.maximum.accumulate(np.where(reset, before, 0), axis=0)
        return cls(valid, times, lag, lag[first, np.arange(batch)], age)

    @property
    def masked_share(self) -> float:
        """Share of the steps that are padding."""
        return float(1.0 - self.valid.mean())

    def lagged(self, values: Array) -> Array:
        """Return values over time (T+1, B) as values over the lag (T+1, B); NaN beyond a sequence's first state."""
        result = np.full(values.shape, np.nan)
        time, sequence = np.nonzero(self.times)
        result[self.lag[time, sequence], sequence] = values[time, sequence]
        return result


def lags_of(maps: Any) -> Lags:
    """Return the lags of maps, by their attributes ``valid`` and ``reset`` or those of their trajectory."""
    source = getattr(maps, "trajectory", maps)
    return Lags.of(maps.length, maps.batch, getattr(source, "valid", None), getattr(source, "reset", None))
