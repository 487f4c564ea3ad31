"""Numbers as (mantissa, exponent of two): products and norms past the float range.

A product over a thousand steps leaves the range of a float long before it stops to mean
something: a plain product reads 0, inf, or sticks at a subnormal that looks like a surviving
gradient. Here one exponent is carried beside each sequence, and powers of two change no digit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Apart", "Scaled", "ldexp", "log10_norm", "log10_norms", "log10_total"]

Array = np.ndarray
LOG10_2 = float(np.log10(2.0))
_SMALLEST = 1e-280  # a sum of squares below this may have lost entries
_BAND = 256  # powers of two that entries which go through a product together may lie apart


@dataclass(eq=False)
class Scaled:
    """Columns that share an exponent for each sequence: the value is ``mantissa * 2**exponent``.

    Attributes
    ----------
    mantissa : ndarray, (units, B) or (units, B, M)
    exponent : ndarray of int64, (B,)
    """

    mantissa: Array
    exponent: Array

    @classmethod
    def of(cls, values: Array) -> Scaled:
        """Return plain values, sequences on axis 1, as scaled ones."""
        return cls(values, np.zeros(values.shape[1], np.int64)).normalized()

    def normalized(self) -> Scaled:
        """Return the same numbers with the largest mantissa of each sequence in [1/2, 1)."""
        largest = self._largest()
        shift = np.where(np.isfinite(largest) & (largest > 0), np.frexp(largest)[1], 0)
        if not shift.any():
            return self
        return Scaled(ldexp(self.mantissa, -shift), self.exponent + shift)

    def __add__(self, other: Scaled) -> Scaled:
        """Add two scaled bundles of one shape."""
        mine = np.where(self._largest() > 0, self.exponent, other.exponent)  # the exponent of a zero says nothing
        theirs = np.where(other._largest() > 0, other.exponent, mine)
        exponent = np.maximum(mine, theirs)
        total = ldexp(self.mantissa, self.exponent - exponent) + ldexp(other.mantissa, other.exponent - exponent)
        return Scaled(total, exponent).normalized()

    def _largest(self) -> Array:
        """Return the largest absolute mantissa of each sequence (B,)."""
        return np.abs(self.mantissa).max(axis=(0, *range(2, self.mantissa.ndim)))


@dataclass(eq=False)
class Apart:
    """Numbers with an exponent each: the value is ``mantissa * 2**exponent``, whatever lies between one and the next.

    Attributes
    ----------
    mantissa, exponent : ndarray, (units, B)
        Mantissas in [1/2, 1), 0, NaN or inf; exponents of int64.
    """

    mantissa: Array
    exponent: Array

    @classmethod
    def of(cls, values: Array, exponent: Array) -> Apart:
        """Return values times 2 to the power of exponents that broadcast against them."""
        mantissa, own = np.frexp(values.astype(np.float64, copy=False))
        return cls(mantissa, np.where(mantissa == 0, 0, own + exponent))

    def __add__(self, other: Apart) -> Apart:
        """Add two of one shape."""
        return _gathered(np.stack([self.mantissa, other.mantissa], -1), np.stack([self.exponent, other.exponent], -1))

    def through(self, product: Callable[[Array], Array]) -> Apart:
        """Return a linear map of these numbers, which takes columns (units, B, M) of plain floats.

        Entries within some 80 orders of magnitude go through together; right as long as no factor of the map itself
        is below 1e-230.
        """
        alive = self.mantissa != 0
        top = np.where(alive, self.exponent, np.iinfo(np.int64).min).max(axis=0)
        band = np.where(alive, (top - self.exponent) // _BAND, -1)
        bands = np.unique(band[alive]) if alive.any() else np.zeros(1, np.int64)
        start = np.where(alive.any(axis=0), top, 0)[:, None] - _BAND * bands
        shift = np.clip(self.exponent[..., None] - start, -_BAND, 0)
        columns = np.ldexp(np.where(band[..., None] == bands, self.mantissa[..., None], 0.0), shift.astype(np.intc))
        found = product(columns)
        pieces = Apart.of(found, start)
        return _gathered(pieces.mantissa, pieces.exponent)

    def log10(self) -> Array:
        """Return log10 of the absolute values; -inf where exactly 0."""
        with np.errstate(divide="ignore"):
            return np.log10(np.abs(self.mantissa)) + self.exponent * LOG10_2


def _gathered(mantissa: Array, exponent: Array) -> Apart:
    """Return the sums over the last axis of numbers with an exponent each."""
    alive = mantissa != 0
    top = np.where(alive.any(axis=-1), np.where(alive, exponent, np.iinfo(np.int64).min).max(axis=-1), 0)
    shift = np.where(alive, exponent - top[..., None], 0)
    total = np.ldexp(mantissa, np.clip(shift, -4000, 0).astype(np.intc)).sum(axis=-1)
    return Apart.of(total, top)


def ldexp(values: Array, shift: Array) -> Array:
    """Return values * 2**shift with one shift for each sequence (axis 1)."""
    shape = (1, -1) + (1,) * (values.ndim - 2)
    low, high = (-4000, 4000)  # beyond, any float is 0 or inf; ldexp takes C ints
    return np.ldexp(values, np.clip(shift, low, high).astype(np.intc).reshape(shape))


def log10_norms(values: Array, axis: int | tuple[int, ...]) -> Array:
    """Return log10 of the Euclidean norm of plain numbers along axes; -inf where all are exactly 0.

    Squares that leave the float range are taken again, scaled by the largest entry.
    """
    with np.errstate(all="ignore"):
        sums = np.square(values, dtype=np.float64).sum(axis=axis)
        if ((sums > _SMALLEST) & (sums < 1.0 / _SMALLEST)).all():
            return 0.5 * np.log10(sums)
        largest = np.abs(values).max(axis=axis, keepdims=True)
        scale = np.where((largest > 0) & np.isfinite(largest), largest, largest.dtype.type(1))
        sums = np.square(values / scale, dtype=np.float64).sum(axis=axis)
        return 0.5 * np.log10(sums) + np.log10(scale.reshape(sums.shape), dtype=np.float64)


def log10_norm(bundle: Scaled, rows: slice = slice(None), columns: slice = slice(None)) -> Array:
    """Return log10 of the Frobenius norm over units and columns, one for each sequence (B,).

    -inf where every entry is exactly 0; NaN and inf as they come. Entries are scaled by the
    largest before they are squared.
    """
    part = bundle.mantissa[rows] if bundle.mantissa.ndim == 2 else bundle.mantissa[rows, :, columns]
    scaled = Scaled(part.astype(np.float64), bundle.exponent).normalized()
    axes = (0, *range(2, part.ndim))
    square = np.square(scaled.mantissa).sum(axis=axes)
    with np.errstate(divide="ignore"):
        return 0.5 * np.log10(square) + scaled.exponent * LOG10_2


def log10_total(logs: Array, axis: int | tuple[int, ...]) -> Array:
    """Return log10 of the length of a vector whose parts have lengths 10**logs, along some axes.

    Examples
    --------
    >>> float(log10_total(np.log10([3.0, 4.0]), axis=0).round(6)) == float(np.log10(5.0).round(6))
    True
    """
    largest = logs.max(axis=axis, keepdims=True)
    base = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        total = 0.5 * np.log10(np.square(10.0 ** (logs - base)).sum(axis=axis, keepdims=True)) + base
    return np.squeeze(total, axis)
