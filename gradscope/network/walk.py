"""Walk: the way back through a network with an exponent carried along, layer by layer.

Layers may lose the gradient at very different speeds: the one below can still hear the loss where the one above is at
1e-5000. So every layer has an exponent of its own, and what it hears from the layer above comes with its own, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.logscale import Scaled

__all__ = ["Walk", "raised", "rows_of", "scaled_steps", "walk"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Walk:
    """What was heard on the way back; made by :func:`walk`.

    Attributes
    ----------
    directs : dict of list of Scaled
        For every cell and time 0..T, in the cell's own time: what it hears from outside of itself, the loss and the
        layers above.
    carried : dict of list of Scaled
        The same for what it hears from the next step of its own (and, fed back, from that of the whole).
    inputs : list of Scaled
        The gradient with respect to the input of each step (I, B).
    """

    directs: dict[str, list[Scaled]]
    carried: dict[str, list[Scaled]]
    inputs: list[Scaled]


def walk(linearization: Any, direct: Sequence[Scaled]) -> Walk:
    """Walk back through a cell or a network.

    Parameters
    ----------
    linearization : Linearization or that of a network
    direct : sequence of Scaled (S, B)
        For times 0..T the direct part of the gradient.

    Returns
    -------
    Walk
    """
    own = getattr(linearization, "walk", None)  # a network's
    if own is not None:
        return own(direct)
    bundle = direct[-1]
    nothing = Scaled(np.zeros_like(bundle.mantissa), np.zeros_like(bundle.exponent))
    carried, inputs = [nothing], []
    with np.errstate(all="ignore"):
        for t in reversed(range(linearization.length)):
            column = bundle.mantissa[..., None]
            inputs.append(Scaled(linearization.pull_input_at(t, column)[..., 0], bundle.exponent).normalized())
            carried.append(Scaled(linearization.pull_at(t, column)[..., 0], bundle.exponent).normalized())
            bundle = direct[t] + carried[-1]
    return Walk({"": list(direct)}, {"": carried[::-1]}, inputs[::-1])


def scaled_steps(direct: Array) -> list[Scaled]:
    """Return a gradient (T+1, B, S) time by time, units before sequences."""
    return [Scaled.of(np.ascontiguousarray(rows.T)) for rows in direct]


def rows_of(direct: Sequence[Any], rows: slice) -> list[Scaled]:
    """Return some rows of a gradient at every time; where it is a list of parts, their sum."""
    return [_rows(entry, rows) for entry in direct]


def _rows(entry: Any, rows: slice) -> Scaled:
    """Return some rows of a gradient, or of the parts of one."""
    parts = entry if isinstance(entry, list) else [entry]
    found = [Scaled(part.mantissa[rows], part.exponent).normalized() for part in parts]
    return sum(found[1:], found[0])


def raised(gradient: Scaled, slices: Sequence[slice], size: int) -> Scaled:
    """Return a gradient with respect to outputs as one with respect to the state of ``size`` rows that they are of."""
    mantissa = np.zeros((size, gradient.mantissa.shape[1]), gradient.mantissa.dtype)
    start = 0
    for place in slices:
        width = place.stop - place.start
        mantissa[place] = gradient.mantissa[start : start + width]
        start += width
    return Scaled(mantissa, gradient.exponent)
