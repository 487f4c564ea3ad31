"""Flow: what a step keeps of the cell state, what it writes and what it exposes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradscope.errors import ArgumentError
from gradscope.trajectory import Trajectory

__all__ = ["Flow", "WriteSurvival", "flow", "write_survival"]

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
                trajectory.seen_at(steps),
                trajectory.blocks_at(slice(steps.start + 1, steps.stop + 1)),
            )
            for name, stream in streams.items():
                parts[name].append(_rms(stream))
    return Flow(**{name: np.concatenate(part) for name, part in parts.items()})


@dataclass(frozen=True, eq=False)
class WriteSurvival:
    """What the last cell state still holds of each write.

    Attributes
    ----------
    log10 : ndarray, (T+1, H, B)
        log10 of the size of w_t: of the initial state (t = 0), and of what step t - 1 wrote.
    sign : ndarray of int8, (T+1, H, B)
        -1, 0 or 1.
    """

    log10: Array
    sign: Array


def write_survival(trajectory: Trajectory) -> WriteSurvival:
    """Return what the last cell state still holds of the initial one and of each write.

    A write that survives at 1e-3 of its size has been forgotten; where the oldest are as large as the newest, the cell
    has kept the whole sequence.

    Parameters
    ----------
    trajectory : Trajectory
        Of a cell with a cell state that is a share of the old one plus what is written.

    Returns
    -------
    WriteSurvival
        w_t is the write times the shares kept by all later steps, by sums of their logarithms: right over any length.
        As plain numbers the sum over time is the last cell state. Padding writes nothing and keeps all; a reset keeps
        nothing.

    Raises
    ------
    ArgumentError
        For a cell without a keep gate, a flow or a cell state.

    Notes
    -----
    Gers, Schmidhuber & Cummins 2000: c_T is a sum of writes, each times a product of forget gates.
    """
    cell = trajectory.cell
    if "c" not in cell.blocks:
        raise ArgumentError(
            f"`write_survival` needs a cell with a cell state, got {type(cell).__name__}. Use `retention`."
        )
    at = cell.blocks.index("c")
    size, length, batch = cell.hidden_size, trajectory.length, trajectory.batch
    logs, sign = np.empty((length + 1, size, batch)), np.empty((length + 1, size, batch), np.int8)
    kept = np.zeros((size, batch))  # ln of the share that all later steps keep
    with np.errstate(all="ignore"):
        for steps in reversed(trajectory.chunks()):
            gates, old = trajectory.gates_at(steps), trajectory.seen_at(steps)
            new = trajectory.blocks_at(slice(steps.start + 1, steps.stop + 1))
            written = np.array(cell.flow(gates, old, new)["written"], np.float64)
            wide = {name: gate._replace(drive=np.asarray(gate.drive, np.float64)) for name, gate in gates.items()}
            keep = np.array(np.broadcast_to(cell.log_keep(wide), written.shape), np.float64)
            _mask(trajectory, steps, written, keep)
            later = np.concatenate([kept[None], np.cumsum(keep[:0:-1], axis=0) + kept])[::-1]
            places = slice(steps.start + 1, steps.stop + 1)
            logs[places] = np.log10(np.abs(written)) + later / np.log(10.0)
            sign[places] = np.sign(np.nan_to_num(written, nan=0.0))
            kept = later[0] + keep[0]
        start = trajectory.rows[0, at * size : (at + 1) * size].astype(np.float64)
        logs[0], sign[0] = np.log10(np.abs(start)) + kept / np.log(10.0), np.sign(np.nan_to_num(start, nan=0.0))
    sign[np.isneginf(logs)] = 0
    return WriteSurvival(logs, sign)


def _mask(trajectory: Trajectory, steps: slice, written: Array, keep: Array) -> None:
    """Let padding write nothing and keep all, and resets keep nothing, in place; (n, H, B) each."""
    valid, reset = (None if mask is None else mask[steps][:, None] for mask in (trajectory.valid, trajectory.reset))
    if reset is not None:
        np.copyto(keep, -np.inf, where=reset)
    if valid is not None:
        np.copyto(keep, 0.0, where=~valid)
        np.copyto(written, 0.0, where=~valid)


def _rms(stream: Array) -> Array:
    """Return the root mean square over units of (n, H, B), scaled by the largest entry first."""
    largest = np.abs(stream).max(axis=1, keepdims=True)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return scale[:, 0] * np.sqrt(np.square(stream / scale).mean(axis=1))
