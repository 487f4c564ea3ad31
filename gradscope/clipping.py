"""Clipping: a gradient made smaller before a step, with what it was and what became of it.

By norm the direction stays; by value it turns, towards the corners of the cube. Pascanu, Mikolov & Bengio 2013 clip by
norm, Mikolov 2012 by value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.cells import as_floats
from gradscope.errors import ArgumentError

__all__ = ["Clipped", "clip"]


@dataclass(frozen=True, eq=False)
class Clipped:
    """A gradient after clipping, and how it compares with what came in.

    Attributes
    ----------
    gradients : nested dict, list, tuple or ndarray
        As it came in, clipped.
    before, after : float
        Norm over all entries; NaN and inf as they are.
    cosine : float
        Between the gradient before and after: 1 where the direction is kept, NaN where one is zero or not finite.
    clipped : bool
        Whether any entry was changed.
    """

    gradients: Any
    before: float
    after: float
    cosine: float
    clipped: bool


def clip(gradients: Any, *, norm: float | None = None, value: float | None = None) -> Clipped:
    """Clip a gradient by its norm over all parameters, or each entry by its value.

    Parameters
    ----------
    gradients : nested dict, list, tuple or ndarray
        As ``autograd.grad`` returns it. Whole numbers become floats.
    norm : float, optional
        The largest norm; a longer gradient is scaled down to it and keeps its direction.
    value : float, optional
        The largest absolute value of an entry; the direction may turn.

    Returns
    -------
    Clipped
        A gradient that holds NaN or inf cannot be scaled and comes back as it is, by norm; by value, inf becomes the
        largest value and NaN stays.

    Raises
    ------
    ArgumentError
        When not exactly one of the two is given, or it is not above 0.
    ShapeError
        When an array does not hold real numbers.

    Examples
    --------
    >>> found = clip({"W": np.array([3.0, 4.0])}, norm=1.0)
    >>> found.before, round(found.after, 12), found.gradients["W"].tolist()
    (5.0, 1.0, [0.6, 0.8])
    """
    if (norm is None) == (value is None):
        raise ArgumentError("`clip` must be given one of `norm` and `value`. Use `norm=1.0` to keep the direction.")
    name, limit = ("norm", norm) if value is None else ("value", value)
    if not isinstance(limit, (int, float, np.number)) or not limit > 0:  # NaN, too
        raise ArgumentError(f"`{name}` must be above 0, got {limit!r}. 1.0 is a common choice; inf never clips.")
    leaves = [as_floats("gradients", leaf) for leaf in _leaves(gradients)]
    flat = np.concatenate([np.zeros(0), *(leaf.ravel() for leaf in leaves)])
    before, unit = _length(flat)
    if value is not None:
        made = np.clip(flat, -value, value)
    elif np.isfinite(before) and before > norm:  # type: ignore[operator]
        made = norm * unit
    elif np.isinf(before) and np.isfinite(flat).all():
        made = norm * unit  # too long for a float, and yet it has a direction
    else:
        known = np.isfinite(before) and before > 0
        return Clipped(_like(gradients, iter(leaves)), before, before, 1.0 if known else float("nan"), False)
    after, turned = _length(made)
    with np.errstate(invalid="ignore"):
        cosine = float(np.clip(unit @ turned, -1.0, 1.0))
    pieces = np.split(made, np.cumsum([leaf.size for leaf in leaves])[:-1]) if leaves else []
    shaped = (piece.reshape(leaf.shape).astype(leaf.dtype) for piece, leaf in zip(pieces, leaves, strict=True))
    return Clipped(_like(gradients, shaped), before, after, cosine, not np.array_equal(made, flat, equal_nan=True))


def _leaves(tree: Any) -> Iterator[Any]:
    """Yield the arrays of nested dicts, lists and tuples."""
    if isinstance(tree, (dict, list, tuple)):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from _leaves(branch)
    else:
        yield tree


def _like(tree: Any, leaves: Iterator[np.ndarray]) -> Any:
    """Return other arrays in the same nest."""
    if isinstance(tree, dict):
        return {name: _like(branch, leaves) for name, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        branches = [_like(branch, leaves) for branch in tree]
        return branches if isinstance(tree, list) else tuple(branches)
    return next(leaves)


def _length(flat: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the norm, and the vector of length 1; NaN throughout where it has no direction."""
    largest = np.abs(flat).max(initial=0.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scaled = flat / largest
        length = np.linalg.norm(scaled)
        return float(largest * length if 0 < largest < np.inf else largest), scaled / length
