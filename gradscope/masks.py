"""Masks: which steps count, where a sequence starts anew, and which units are not heard.

A step that is not valid is padding: the state goes over it unchanged, and its Jacobian is the identity. Before a step
with a reset the state is zero, whatever came before: the Jacobian is zero. Dropout scales h on its way into the
recurrent product, and so the columns of the Jacobian. Inside, arrays are (time, units, batch).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.cells import as_floats
from gradscope.errors import ArgumentError, ShapeError

__all__ = ["NO_MASKS", "Masks"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of one trajectory; each is None where there is none. Made by :meth:`of`.

    Attributes
    ----------
    valid : ndarray of bool, (T, 1, B), or None
        Where a sequence has a step at all.
    reset : ndarray of bool, (T, 1, B), or None
        Before which steps the state is set to zero.
    dropout : ndarray, (T, H, B), or None
        Factors on h before W_h.
    """

    valid: Array | None = None
    reset: Array | None = None
    dropout: Array | None = None

    @classmethod
    def of(
        cls, valid: Any, reset: Any, dropout: Any, shape: tuple[int, int, int], dtype: np.dtype | type = np.float64
    ) -> Masks:
        """Check the masks of a trajectory of ``shape`` (T, B, H).

        Parameters
        ----------
        valid, reset : array of bool (T, B), or None
        dropout : array (T, B, H) or (B, H), or None
        shape : tuple of int
        dtype : dtype

        Raises
        ------
        ShapeError
            When a mask has another shape.
        ArgumentError
            When valid or reset is neither true nor false somewhere, or a factor is not finite.
        """
        length, batch, size = shape
        flags = {name: _flags(name, mask, (length, batch)) for name, mask in (("valid", valid), ("reset", reset))}
        if dropout is None:
            return cls(**flags)
        factors = as_floats("dropout", dropout)
        if factors.shape not in ((batch, size), (length, batch, size)):
            raise ShapeError(
                f"`dropout` must have shape (T, B, H)={(length, batch, size)} or (B, H), got {factors.shape}. "
                "Give one factor for each unit of each sequence: 0, or 1 / (1 - rate)."
            )
        if not np.isfinite(factors).all():
            raise ArgumentError("`dropout` must hold finite factors, got NaN or inf. Give 0, or 1 / (1 - rate).")
        scaled = np.swapaxes(np.broadcast_to(factors, (length, batch, size)), 1, 2).astype(dtype)
        return cls(**flags, dropout=scaled)

    def __bool__(self) -> bool:
        return not (self.valid is None and self.reset is None and self.dropout is None)

    def seen(self, states: Array, steps: Any) -> Array:
        """Return what some steps see of the states before them (n, units, B): zero after a reset."""
        return states if self.reset is None else np.where(self.reset[steps], states.dtype.type(0), states)

    def inlet(self, steps: Any, dtype: np.dtype) -> Array | None:
        """Return the factors on h before W_h, (n, 1 or H, B), or None where all are 1."""
        if self.reset is None:
            return None if self.dropout is None else self.dropout[steps]
        keep = (~self.reset[steps]).astype(dtype)
        return keep if self.dropout is None else keep * self.dropout[steps]

    def heard(self, hidden: Array, steps: Any) -> Array:
        """Return h as it enters the recurrent product (n, H, B)."""
        seen = self.seen(hidden, steps)
        return seen if self.dropout is None else seen * self.dropout[steps]

    def carried(self, new: Array, old: Array, steps: Any) -> Array:
        """Return the state after some steps: the old one where a step is padding."""
        return new if self.valid is None else np.where(self.valid[steps], new, old)


NO_MASKS = Masks()
"""Every step counts, and nothing is reset or dropped."""


def _flags(name: str, mask: Any, shape: tuple[int, int]) -> Array | None:
    """Return a mask (T, B) as bools (T, 1, B), None where it changes nothing."""
    if mask is None:
        return None
    array = np.asarray(mask)
    if array.shape != shape:
        remedy = "Give a truth for each step and sequence"
        if name == "valid":
            remedy += "; of lengths (B,) it is `np.arange(T)[:, None] < lengths`"
        raise ShapeError(f"`{name}` must have shape (T, B)={shape}, got {array.shape}. {remedy}.")
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise ArgumentError(
            f"`{name}` must hold true and false, got {array.dtype} with other values. Use a bool array."
        )
    flags = array.astype(bool)
    nothing = flags.all() if name == "valid" else not flags.any()
    return None if nothing else np.ascontiguousarray(flags[:, None, :])
