"""Flow: what a step keeps of the cell state, what it writes and what it exposes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradscope.trajectory import Trajectory

__all__ = ["Flow", "flow"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Flow:
    """Root mean square over units of each stream.

    Attributes
    ----------
    retained, written, exposed : ndarray, (T, B)
        LSTM: f c, i g, o phi(c'). GRU: z h, (1 - z) n, h'.
    """

    retained: Array
    written: Array
    exposed: Array


def flow(trajectory: Trajectory) -> Flow:
    """Return the cell-state flow of a trajectory.

    Where what is retained exceeds what is written, the memory is made of the past.

    Parameters
    ----------
    trajectory : Trajectory

    Returns
    -------
    Flow
        In the unit of the cell state.

    Raises
    ------
    ArgumentError
        For a cell without a keep gate.
    """
    parts: dict[str, list[Array]] = {"retained": [], "written": [], "exposed": []}
    with np.errstate(all="ignore"):
        for steps in trajectory.chunks():
            streams = trajectory.cell.flow(
                trajectory.gates_at(steps),
                trajectory.blocks_at(steps),
                trajectory.blocks_at(slice(steps.start + 1, steps.stop + 1)),
            )
            for name, stream in streams.items():
                parts[name].append(_rms(stream))
    return Flow(**{name: np.concatenate(part) for name, part in parts.items()})


def _rms(stream: Array) -> Array:
    """Return the root mean square over units of (n, H, B), scaled by the largest entry first."""
    largest = np.abs(stream).max(axis=1, keepdims=True)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return scale[:, 0] * np.sqrt(np.square(stream / scale).mean(axis=1))
