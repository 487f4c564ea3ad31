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
        A NaN among the values makes NaN what is taken over it.
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
            for n, name in enumerate(names):
                _note_gate(result, n, steps, gates[name], cell.gate_kind(name))
            for n, name in enumerate(every):
                value = gates[name].value if name in gates else hidden
                _note_saturation(result, n, steps, value, cell.gate_kind(name))
    result.histogram[...] /= length * trajectory.batch * size
    result.saturated_units[...] /= length * trajectory.batch
    return result


def _note_gate(result: GateStatistics, n: int, steps: slice, gate: Gate, kind: Activation) -> None:
    """Note quantiles, histogram and slopes of one gate over a chunk (n, H, B)."""
    result.quantiles[:, n, steps] = _quantiles(gate.value)
    if kind.bounded:
        share = (gate.value - kind.low) / (kind.high - kind.low)
        result.histogram[n] += np.nan if np.isnan(share).any() else np.histogram(share, BINS, (0.0, 1.0))[0]
    else:
        result.histogram[n] = np.nan
    slope = kind.slope(gate.drive, gate.value)
    bad = np.isnan(slope).any(axis=(1, 2))
    result.flat[n, steps] = np.where(bad, np.nan, (slope < FLAT * kind.largest_slope).mean(axis=(1, 2)))
    result.slope_rms[n, steps] = np.sqrt(np.square(slope, dtype=np.float64).mean(axis=(1, 2)))


def _note_saturation(result: GateStatistics, n: int, steps: slice, value: Array, kind: Activation) -> None:
    """Note how much of one gate sits at the ends of its range, over a chunk (n, H, B)."""
    if not kind.bounded:
        result.saturated_steps[n, :, steps] = result.saturated_units[n] = np.nan
        return
    share = (value - kind.low) / (kind.high - kind.low)
    bad = np.isnan(share)
    for side, inside in enumerate((share < LEFT, share > RIGHT)):
        counted = np.where(bad, np.nan, inside) if bad.any() else inside
        result.saturated_steps[n, side, steps] = counted.mean(axis=(1, 2))
        result.saturated_units[n, side] += counted.sum(axis=(0, 2))


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
        A gate at 1 - 1e-17 has a timescale of 1e17 steps, not of infinity.

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
            total += log_keep.sum(axis=(0, 2), dtype=np.float64)
        return Retention(np.concatenate(parts), trajectory.length * trajectory.batch / np.abs(total))  # -0 has a sign
