"""Numbers as (mantissa, exponent of two): products and norms past the float range.

A product over a thousand steps leaves the range of a float long before it stops to mean
something: a plain product reads 0, inf, or sticks at a subnormal that looks like a surviving
gradient. Here one exponent is carried beside each sequence, and powers of two change no digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Scaled", "ldexp", "log10_norm", "log10_norms"]

Array = np.ndarray
LOG10_2 = float(np.log10(2.0))
_SMALLEST = 1e-280  # a sum of squares below this may have lost entries


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
