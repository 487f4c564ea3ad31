"""Gates: activation, saturation, slope, retention and timescale, over a trajectory.

Everything is taken chunk by chunk of time; the pre-activations of a long trajectory are never
kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradscope.activations import Activation
from gradscope.cells import Gate, split
from gradscope.trajectory import Trajectory

__all__ = ["LEFT", "RIGHT", "GateStatistics", "Retention", "gate_statistics", "retention"]

Array = np.ndarray

LEFT, RIGHT = 0.1, 0.9
"""Limits of saturation, as shares of the activation's range (Karpathy, Johnson & Li 2015)."""
FLAT = 0.01
"""Share of the largest slope under which an activation passes no gradient."""
BINS = 40
QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, eq=False)
class GateStatistics:
    """What the gates did.

    Attributes
    ----------
    names : tuple of str
        Gates of ``quantiles``, ``histogram``, ``flat`` and ``slope_rms``.
    saturation_names : tuple of str
        Gates of the saturations: the same, and ``hidden``.
    quantiles : ndarray, (3, gate, T, H)
        5, 50 and 95 % over the sequences, of each gate's value.
    histogram : ndarray, (gate, bin)
        Share of all values in equal parts of the activation's range, NaN when that is unbounded.
    saturated_steps : ndarray, (gate, 2, T)
        Share left and right over units and sequences; NaN when unbounded.
    saturated_units : ndarray, (gate, 2, H)
        Share left and right over steps and sequences.
    flat : ndarray, (gate, T)
        Share whose slope is under 1 % of the largest.
    slope_rms : ndarray, (gate, T)
        Root mean square slope over units and sequences.
    """

    names: tuple[str, ...]
    saturation_names: tuple[str, ...]
    quantiles: Array
    histogram: Array
    saturated_steps: Array
    saturated_units: Array
    flat: Array
    slope_rms: Array


def gate_statistics(trajectory: Trajectory) -> GateStatistics:
    """Return activation, saturation and slope of every gate of a trajectory.

    Saturation says where values sit, slope what a gradient loses there; only the second
    compares activations fairly.

    Parameters
    ----------
    trajectory : Trajectory

    Returns
    -------
    GateStatistics
        A NaN among the values makes NaN what is taken over it. Padding is left out; NaN at a step that no sequence
        has.
    """
    cell, names = trajectory.cell, trajectory.cell.gate_names
    every = names if "hidden" in names else (*names, "hidden")
    length, size, dtype = trajectory.length, cell.hidden_size, trajectory.rows.dtype
    result = GateStatistics(
        names=names,
        saturation_names=every,
        quantiles=np.empty((len(QUANTILES), len(names), length, size), dtype),
        histogram=np.zeros((len(names), BINS)),
        saturated_steps=np.empty((len(every), 2, length)),
        saturated_units=np.zeros((len(every), 2, size)),
        flat=np.empty((len(names), length)),
        slope_rms=np.empty((len(names), length)),
    )
    with np.errstate(all="ignore"):
        for steps in trajectory.chunks():
            gates = trajectory.gates_at(steps)
            hidden = split(trajectory.rows[steps.start + 1 : steps.stop + 1], len(cell.blocks))[0]
            valid = None if trajectory.valid is None else trajectory.valid[steps, None]
            for n, name in enumerate(every):
                kind = cell.gate_kind(name)
                value = gates[name].value if name in gates else hidden
                share = (value - kind.low) / (kind.high - kind.low) if kind.bounded else None
                _note_saturation(result, n, steps, share, valid)
                if name in gates:
                    _note_gate(result, n, steps, gates[name], kind, share, valid)
        result.histogram[...] /= _count(trajectory) * size
        result.saturated_units[...] /= _count(trajectory)
    return result


def _count(trajectory: Trajectory) -> int:
    """Return how many steps of all sequences are no padding."""
    return trajectory.length * trajectory.batch if trajectory.valid is None else int(trajectory.valid.sum())


def _sizes(values: Array, valid: Array | None) -> Array | int:
    """Return how many values of each step count, of (n, H, B) with a mask (n, 1, B)."""
    return values[0].size if valid is None else valid.sum(axis=(1, 2)) * values.shape[1]


def _note_gate(
    result: GateStatistics,
    n: int,
    steps: slice,
    gate: Gate,
    kind: Activation,
    share: Array | None,
    valid: Array | None,
) -> None:
    """Note quantiles, histogram and slopes of one gate over a chunk (n, H, B)."""
    result.quantiles[:, n, steps] = _quantiles(gate.value) if valid is None else _masked_quantiles(gate.value, valid)
    if share is not None and valid is not None:
        share = share[np.broadcast_to(valid, share.shape)]
    result.histogram[n] += np.nan if share is None or np.isnan(share.max(initial=0)) else _counts(share)
    slope = kind.slope(gate.drive, gate.value)
    flat = slope < FLAT * kind.largest_slope
    if valid is not None:
        slope, flat = np.where(valid, slope, 0), flat & valid
    square = np.einsum("nub,nub->n", slope, slope, dtype=np.float64)
    count = _sizes(slope, valid)
    result.flat[n, steps] = np.where(np.isnan(square), np.nan, _each(flat).sum(axis=1, dtype=np.float64) / count)
    result.slope_rms[n, steps] = np.sqrt(square / count)


def _counts(share: Array) -> Array:
    """Return how many values lie in each of ``BINS`` equal parts of 0 to 1, the limits included."""
    parts = (share * BINS).astype(np.intp)
    counts = np.bincount(parts.ravel(), minlength=BINS + 1)
    counts[BINS - 1] += counts[BINS]
    return counts[:BINS]


def _note_saturation(result: GateStatistics, n: int, steps: slice, share: Array | None, valid: Array | None) -> None:
    """Note how much of one gate sits at the ends of its range, over a chunk (n, H, B)."""
    if share is None:
        result.saturated_steps[n, :, steps] = result.saturated_units[n] = np.nan
        return
    if valid is not None:
        share = np.where(valid, share, 0.5)  # at neither end
    bad = np.isnan(share).any(axis=2) if np.isnan(share.max()) else None
    for side, inside in enumerate((share < LEFT, share > RIGHT)):
        count = _each(inside) if bad is None else np.where(bad, np.nan, _each(inside))
        result.saturated_steps[n, side, steps] = count.sum(axis=1, dtype=np.float64) / _sizes(share, valid)
        result.saturated_units[n, side] += count.sum(axis=0, dtype=np.float64)


def _each(inside: Array) -> Array:
    """Return how many sequences are inside, for each step and unit: as a product, faster than a sum of booleans."""
    return inside.astype(np.float32) @ np.ones(inside.shape[2], np.float32)


def _quantiles(values: Array) -> Array:
    """Return the quantiles over the last axis, first; NaN where any value is NaN."""
    ordered = np.sort(values, axis=-1)  # NaN goes last
    last = ordered.shape[-1] - 1
    result = []
    for share in QUANTILES:
        at = int(share * last)
        low, high = ordered[..., at], ordered[..., min(at + 1, last)]
        result.append(np.where(low == high, low, low + (share * last - at) * (high - low)))  # inf - inf is NaN
    return np.where(np.isnan(ordered[..., -1]), np.nan, np.stack(result))


def _masked_quantiles(values: Array, valid: Array) -> Array:
    """Return the quantiles over the valid entries of the last axis; NaN where one is NaN, or there is none."""
    ordered = np.sort(np.where(valid, values, np.nan), axis=-1)
    last = np.broadcast_to(valid.sum(axis=-1, keepdims=True) - 1, (*values.shape[:-1], 1))
    final = np.maximum(last, 0)
    result = []
    for share in QUANTILES:
        at = (share * final).astype(int)
        low, high = (np.take_along_axis(ordered, np.minimum(place, final), axis=-1) for place in (at, at + 1))
        result.append(np.where(low == high, low, low + (share * final - at) * (high - low))[..., 0])
    bad = np.isnan(np.take_along_axis(ordered, final, axis=-1))[..., 0]
    return np.where(bad, np.nan, np.stack(result))


@dataclass(frozen=True, eq=False)
class Retention:
    """What the keep gate keeps.

    Attributes
    ----------
    retention : ndarray, (T, B)
        Mean over units of the share of the old state that is kept.
    timescale : ndarray, (H,)
        Steps until each unit's gate alone has let the state fall to 1/e; 0 if it is ever shut
        completely.
    """

    retention: Array
    timescale: Array


def retention(trajectory: Trajectory) -> Retention:
    """Return retention and timescales of a trajectory, from ln of the keep gate.

    Parameters
    ----------
    trajectory : Trajectory

    Returns
    -------
    Retention
        A gate at 1 - 1e-17 has a timescale of 1e17 steps, not of infinity. Padding has no part in timescales.

    Raises
    ------
    ArgumentError
        For a cell without a keep gate.
    """
    parts, total = [], np.zeros(trajectory.cell.hidden_size)
    with np.errstate(all="ignore"):
        for steps in trajectory.chunks():
            log_keep = trajectory.cell.log_keep(trajectory.gates_at(steps))
            parts.append(np.exp(log_keep).mean(axis=1))
            if trajectory.valid is not None:
                log_keep = np.where(trajectory.valid[steps, None], log_keep, 0)
            total += log_keep.sum(axis=(0, 2), dtype=np.float64)
        return Retention(np.concatenate(parts), _count(trajectory) / np.abs(total))  # -0 has a sign
