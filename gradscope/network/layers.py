"""Layers: what a cell and a network have in common, so that networks are made of either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import autograd.numpy as anp
import numpy as np

from gradscope.cells import Cell, as_floats
from gradscope.errors import ShapeError
from gradscope.masks import Masks
from gradscope.trajectory import Trajectory, check_state

__all__ = [
    "blocks_of",
    "dotted",
    "during",
    "factors",
    "hidden_slices",
    "leaves",
    "one_for_each",
    "raise_hidden",
    "read_hidden",
    "spans",
    "state_of",
]

Array = np.ndarray


def dotted(*names: str) -> str:
    """Return the names that are not empty with dots between."""
    return ".".join(name for name in names if name)


def spans(layer: Any) -> list[tuple[str, Cell, slice]]:
    """Return name, cell and place in the state of every cell of a layer; a cell's own name is empty."""
    return [("", layer, slice(0, layer.state_size))] if isinstance(layer, Cell) else layer.spans


def blocks_of(layer: Any) -> list[tuple[str, slice]]:
    """Return name and place in the state of every block of a layer: ``("layer1.c", slice(64, 128))``."""
    found = []
    for name, cell, place in spans(layer):
        for j, block in enumerate(cell.blocks):
            start = place.start + j * cell.hidden_size
            found.append((dotted(name, block), slice(start, start + cell.hidden_size)))
    return found


def hidden_slices(layer: Any) -> list[slice]:
    """Return where in the state of a layer its hidden states stand."""
    return [slice(0, layer.hidden_size)] if isinstance(layer, Cell) else layer.hidden_slices


def read_hidden(layer: Any, states: Any) -> Any:
    """Return the hidden states (T, B, H) that stand in the states (T+1, B, S) of a layer."""
    parts = [states[1:, :, place] for place in hidden_slices(layer)]
    return parts[0] if len(parts) == 1 else anp.concatenate(parts, axis=2)


def raise_hidden(layer: Any, direct: Array, hidden: Array) -> None:
    """Add a gradient with respect to hidden states (T, B, H) to one with respect to states (T+1, B, S), in place."""
    start = 0
    for place in hidden_slices(layer):
        width = place.stop - place.start
        direct[1:, :, place] += hidden[:, :, start : start + width]
        start += width


def leaves(value: Any) -> Mapping[str, Any]:
    """Return the parts of a trajectory, linearization or adjoint that belong to single cells, by name."""
    return getattr(value, "layers", {"": value})


def during(trajectory: Any, steps: slice) -> Any:
    """Return the trajectory of some steps alone, as views."""
    if not isinstance(trajectory, Trajectory):
        return trajectory.during(steps)
    masks = trajectory.masks
    return replace(
        trajectory,
        columns=trajectory.columns[steps],
        rows=trajectory.rows[steps.start : steps.stop + 1],
        drives=None if trajectory.drives is None else trajectory.drives[steps],
        masks=Masks(*(None if mask is None else mask[steps] for mask in (masks.valid, masks.reset, masks.dropout))),
    )


def state_of(layer: Any, state: Any, batch: int) -> Array:
    """Return the initial state (B, S) of a network, zeros when it is None, or say what is wrong."""
    return check_state(state, batch, layer.state_size, (name for name, _ in blocks_of(layer)))


def factors(name: str, value: Any, shape: tuple[int, int, int]) -> Array | None:
    """Return factors on hidden states as (T, B, H), or say what is wrong."""
    if value is None:
        return None
    array = as_floats(name, value)
    if array.shape not in (shape, shape[1:]):
        raise ShapeError(
            f"`{name}` must have shape (T, B, H)={shape} or (B, H), got {array.shape}. "
            "Give one factor for each unit of each sequence: 0, or 1 / (1 - rate)."
        )
    return np.broadcast_to(array, shape)


def one_for_each(name: str, values: Any, count: int, of: str) -> Sequence[Any]:
    """Return ``values``, Nones where they are left out, or say how many there must be."""
    if values is None:
        return [None] * count
    if not isinstance(values, (list, tuple)) or len(values) != count:
        got = f"{len(values)}" if isinstance(values, (list, tuple)) else type(values).__name__
        raise ShapeError(
            f"`{name}` must be a list with one entry for each {of}, {count} in all, got {got}. "
            "Put None where there is nothing to drop."
        )
    return values
