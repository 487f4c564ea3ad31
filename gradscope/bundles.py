"""Bundles: columns that go through a long product, with an exponent for each group of them.

The blocks of a state need not live on one scale: beside a cell state that is kept for ever, a hidden state that halves
with each step leaves the range of a common exponent after a thousand steps, and then reads zero. So each group of
columns has an exponent of its own, and where blocks of rows drift apart within a group, they are carried apart as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradscope.logscale import LOG10_2

__all__ = ["Bundle"]

Array = np.ndarray

ROOM = 2.0**40
"""How far from 1 the length of a group of columns may be before it is scaled back."""
APART = {np.dtype(np.float64): 1e-200, np.dtype(np.float32): 1e-24}
"""Share of a sum of squares under which a block of rows is carried apart: well before it leaves the float range."""
_SAFE = 1e-140  # squares of lengths between it and its inverse are floats
_NEVER = np.iinfo(np.int64).min // 4  # the exponent of what is exactly zero


class Bundle:
    """Columns (S, B, M): the value is ``mantissa * 2**exponent`` for each block of rows, sequence and group of columns.

    Attributes
    ----------
    mantissa : ndarray, (S, B, M)
    exponent : ndarray of int, (row blocks, B, groups)
        The same for all blocks of rows until these are carried apart.
    squares : ndarray, (row blocks, B, groups)
        Sums of squares of the mantissas.
    """

    def __init__(self, mantissa: Array, height: int, width: int) -> None:
        """Begin with columns whose exponent is 0: row blocks of ``height``, groups of ``width`` columns."""
        size, batch, count = mantissa.shape
        self._shape = (size // height, height, batch, count // width, width)
        self.mantissa, self._apart = mantissa, False
        self.exponent = np.zeros((size // height, batch, count // width), np.int64)
        self._settle()

    @classmethod
    def eye(cls, size: int, batch: int, width: int, dtype: np.dtype) -> Bundle:
        """Return the identity for each sequence, a group for each block of ``width`` columns."""
        eye = np.broadcast_to(np.eye(size, dtype=dtype)[:, None, :], (size, batch, size))
        return cls(np.ascontiguousarray(eye), width, width)

    @property
    def logs(self) -> Array:
        """log10 of the Frobenius norm of each block of rows and group of columns, (row blocks, B, groups)."""
        with np.errstate(divide="ignore"):
            return 0.5 * np.log10(self.squares) + self.exponent * LOG10_2

    def advance(self, apply: Callable[[Array], Array]) -> None:
        """Replace the columns V by ``apply(V)``, a linear map."""
        if not self._apart:
            self.mantissa = apply(self.mantissa)
        else:
            self._gather([self._blocks(apply(self._alone(block))) for block in range(self._shape[0])])
        self._settle()

    def restart(self, sequences: Array) -> None:
        """Replace the columns of some sequences (B,) by the identity."""
        self.mantissa = self.mantissa.copy()
        self.mantissa[:, sequences] = np.eye(len(self.mantissa), dtype=self.mantissa.dtype)[:, None]
        self.exponent = np.where(sequences[:, None], 0, self.exponent)
        self._settle()

    def plain(self, exponent: Array) -> Array:
        """Return the mantissas on the scale of 2**exponent (B,), (S, B, M)."""
        return self._shifted(self.exponent - exponent[:, None]).reshape(self.mantissa.shape)

    def add(self, shares: Array, exponent: Array) -> None:
        """Add columns (S, B, M) with an exponent for each sequence and group (B, groups)."""
        shares = self._blocks(shares)
        held = np.where(self._lengths(self._blocks(self.mantissa)) > 0, self.exponent, _NEVER)
        came = np.where(self._lengths(shares) > 0, exponent, _NEVER)
        if not self._apart:
            held, came = (np.broadcast_to(e.max(axis=0), e.shape) for e in (held, came))
        common = np.maximum(held, came)
        common = np.where(common == _NEVER, 0, common)
        total = self._shifted(self.exponent - common) + _ldexp(shares, exponent - common)
        self.mantissa, self.exponent = total.reshape(self.mantissa.shape), common
        self._settle()

    def _alone(self, block: int) -> Array:
        """Return the mantissas with all but one block of rows made zero."""
        part = np.zeros(self._shape, self.mantissa.dtype)
        part[block] = self._blocks(self.mantissa)[block]
        return part.reshape(self.mantissa.shape)

    def _gather(self, sent: list[Array]) -> None:
        """Add up what each block of rows has sent to each, on the scale of the largest."""
        scales = [np.where(self._lengths(part) > 0, e, _NEVER) for part, e in zip(sent, self.exponent, strict=True)]
        common = np.max(scales, axis=0)
        common = np.where(common == _NEVER, 0, common)
        total = sum(_ldexp(part, e - common) for part, e in zip(sent, self.exponent, strict=True))
        self.mantissa, self.exponent = np.reshape(total, self.mantissa.shape), common

    def _settle(self) -> None:
        """Take the sums of squares, scale back what has drifted from 1, part what has drifted apart."""
        blocks = self._blocks(self.mantissa)
        self.squares = np.einsum("rubgw,rubgw->rbg", blocks, blocks, dtype=np.float64)
        lengths = np.sqrt(self.squares if self._apart else self.squares.sum(axis=0, keepdims=True))
        if not ((lengths > 1.0 / ROOM) & (lengths < ROOM)).all():
            self._scale(lengths)
        if self._apart or len(self.squares) == 1:
            return
        small = self.squares < APART[self.mantissa.dtype] * self.squares.sum(axis=0)
        if small.any() and (small & (self._lengths(self._blocks(self.mantissa)) > 0)).any():
            self._apart = True
            self._settle()

    def _scale(self, lengths: Array) -> None:
        """Scale groups whose length is far from 1 to a length near 1."""
        if not ((lengths > _SAFE) & (lengths < 1.0 / _SAFE)).all():
            largest = self._lengths(self._blocks(self.mantissa))
            lengths = largest if self._apart else largest.max(axis=0, keepdims=True)
        far = np.isfinite(lengths) & (lengths > 0) & ((lengths <= 1.0 / ROOM) | (lengths >= ROOM))
        shift = np.broadcast_to(np.where(far, np.frexp(lengths)[1], 0), self.exponent.shape)
        if shift.any():
            self.mantissa = self._shifted(-shift).reshape(self.mantissa.shape)
            self.exponent = self.exponent + shift
            blocks = self._blocks(self.mantissa)
            self.squares = np.einsum("rubgw,rubgw->rbg", blocks, blocks, dtype=np.float64)

    def _blocks(self, columns: Array) -> Array:
        """Return columns with blocks and groups on axes of their own, (row blocks, units, B, groups, width)."""
        return columns.reshape(self._shape)

    def _lengths(self, blocks: Array) -> Array:
        """Return the largest absolute entry of each block of rows and group of columns, (row blocks, B, groups)."""
        return np.abs(blocks).max(axis=(1, 4))

    def _shifted(self, shift: Array) -> Array:
        """Return the mantissas times 2**shift (row blocks, B, groups), with axes as of :meth:`_blocks`."""
        return _ldexp(self._blocks(self.mantissa), shift)


def _ldexp(blocks: Array, shift: Array) -> Array:
    """Return blocks (row blocks, units, B, groups, width) times 2**shift (row blocks, B, groups)."""
    if not shift.any():
        return blocks
    return np.ldexp(blocks, np.clip(shift, -4000, 4000).astype(np.intc)[:, None, :, :, None])
