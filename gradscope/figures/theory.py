"""What theory says about a sweep of random networks: the gain at which gradients neither vanish nor explode."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError
from gradscope.figures.settings import is_number, same

__all__ = ["AXIS", "critical_gain", "critical_gains", "places"]

AXIS = "gain"  #: The parameter along which there is a critical value.
CELL = "RNN"  # with gates, what is critical depends on all of their weights
SPREADS = {"orthogonal": 1.0, "gaussian": 1.0, "glorot": 1.0, "uniform": math.sqrt(1 / 3)}  # of an entry, by 1/sqrt(N)


def critical_gain(row: Mapping[str, Any]) -> float | None:
    """Return the critical gain of a wide network without input, or None where theory gives none.

    Parameters
    ----------
    row : dict
        A row of :meth:`gradscope.store.Store.table`: its cell, activation, initializer and iteration are read.

    Returns
    -------
    float or None
        Below it gradients vanish whatever the input, which can only move the critical gain up. None for cells with
        gates, for activations that are not odd and bounded, for an initializer without independent or orthogonal
        columns, and after training.

    Examples
    --------
    >>> critical_gain({"cell": "RNN", "activation": "tanh", "recurrent": "gaussian", "iteration": 0})
    1.0
    """
    spread = SPREADS.get(str(row.get("recurrent")))
    if row.get("cell") != CELL or row.get("iteration") or spread is None:
        return None
    from gradscope import meanfield  # slow to load

    try:
        return meanfield.critical_gain(activation=str(row.get("activation"))) / spread
    except ArgumentError:
        return None


def critical_gains(rows: Iterable[Mapping[str, Any]], name: str, entries: Sequence[Any]) -> np.ndarray:
    """Return the critical gain for each value of a parameter, NaN where its runs have none or several."""
    found: dict[Any, set[float | None]] = {same(entry): set() for entry in entries}
    known: dict[tuple[Any, ...], float | None] = {}
    for row in rows:
        key = (row.get("cell"), row.get("activation"), row.get("recurrent"), bool(row.get("iteration")))
        if key not in known:
            known[key] = critical_gain(row)
        found[same(row.get(name))].add(known[key])
    gains = [next(iter(one)) if len(one) == 1 else None for one in found.values()]
    return np.array([math.nan if gain is None else gain for gain in gains])


def places(gains: np.ndarray, entries: Sequence[Any]) -> np.ndarray:
    """Return where gains stand on an axis that has its values at equal distances, NaN beyond its ends."""
    numbered = [(place, float(entry)) for place, entry in enumerate(entries) if is_number(entry)]
    if len(numbered) < 2:
        return np.full(len(gains), math.nan)
    at, values = np.array(numbered).T
    return np.interp(gains, values, at, left=math.nan, right=math.nan)
