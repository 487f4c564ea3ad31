"""Weights: those of the network and of its readout in one flat dict of arrays.

``W_x``, ``W_h``, ``b`` of a single cell; ``layer1.W_x`` and so on of several; ``W_out`` (O, H) and ``b_out`` (O,) of
the readout. Flat, so that an optimizer, a store and a reader see the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.cells import Cell, cell_class
from gradscope.errors import ArgumentError, unknown
from gradscope.initializers import glorot
from gradscope.network import Stack

from ..tasks import Batch

__all__ = ["READOUT", "Scaling", "Weights", "ablate", "build_network", "cells_of", "init_weights", "network_params"]

Weights = Mapping[str, np.ndarray]
READOUT = ("W_out", "b_out")
OPEN = 40.0  # sigmoid(40) is 1 to 4e-18: the gate of an ablation stands open


def build_network(
    cell: str, input_size: int, hidden_size: int, layers: int = 1, activation: str | None = None, **options: Any
) -> Any:
    """Return a cell by its name, or a stack of several.

    Parameters
    ----------
    cell : str
        A name in ``gradscope.cells.CELLS``.
    input_size, hidden_size : int
    layers : int
        Depth; each layer above the first reads the hidden state of the one below.
    activation : str, optional
        The cell's own when left out.
    **options
        Further fields of the cell, such as ``forget_bias``; those that are None are left out.

    Returns
    -------
    Cell or Stack
    """
    kind = cell_class(cell)
    given = {key: value for key, value in {"activation": activation, **options}.items() if value is not None}
    built = [kind(size, hidden_size, **given) for size in (input_size, *[hidden_size] * (layers - 1))]
    return built[0] if layers == 1 else Stack(tuple(built))


def cells_of(network: Any) -> dict[str, Cell]:
    """Return the cells of a network by the prefix of their weights."""
    if isinstance(network, Cell):
        return {"": network}
    return {f"layer{n}.": cell for n, cell in enumerate(network.cells, 1)}


def init_weights(
    network: Any,
    rng: np.random.Generator,
    output_size: int,
    recurrent: str | None = None,
    gain: float = 1.0,
    inputs: str = "glorot",
    input_gain: float = 1.0,
    input_bias: float | None = None,
    dtype: str = "float64",
) -> dict[str, np.ndarray]:
    """Draw the weights of a network, and of a readout beside them where there is something to read.

    Parameters
    ----------
    network : Cell or Stack
    rng : numpy.random.Generator
    output_size : int
        O; with 0 there is no readout.
    recurrent, gain, inputs
        As for ``cell.init``.
    input_gain : float
        Factor on W_x.
    input_bias : float, optional
        Of the gate called "input".
    dtype : str
        As for ``cell.init``.

    Raises
    ------
    ArgumentError
        For an ``input_bias`` where no cell has an input gate.
    """
    weights: dict[str, np.ndarray] = {}
    for prefix, cell in cells_of(network).items():
        drawn = cell.init(rng, recurrent=recurrent, gain=gain, inputs=inputs, dtype=dtype)
        drawn["W_x"] = (input_gain * drawn["W_x"]).astype(dtype)
        if input_bias is not None:
            drawn["b"][rows_of(cell, "input")] = input_bias
        weights |= {prefix + name: array for name, array in drawn.items()}
    if output_size:
        weights["W_out"] = glorot(rng, (output_size, network.hidden_size)).astype(dtype)
        weights["b_out"] = np.zeros(output_size, dtype)
    return weights


def rows_of(cell: Cell, gate: str) -> slice:
    """Return the rows of a gate in W_x, W_h and b.

    Raises
    ------
    ArgumentError
        When the cell has no such gate.
    """
    if gate not in cell.gate_names:
        raise unknown("gate", gate, cell.gate_names, f"{type(cell).__name__} has these.")
    start = cell.gate_names.index(gate) * cell.hidden_size
    return slice(start, start + cell.hidden_size)


def ablate(network: Any, weights: Weights, gate: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Take a gate out of the network: it stands open, whatever it reads.

    Returns
    -------
    weights : dict
        Weights of the gate 0, its bias 40.
    frozen : dict
        For each array with such rows, which of its entries training must leave alone; bool.

    Raises
    ------
    ArgumentError
        For a gate that is no sigmoid, or that a cell lacks.
    """
    made, frozen = {name: array.copy() for name, array in weights.items()}, {}
    for prefix, cell in cells_of(network).items():
        rows = rows_of(cell, gate)
        if cell.gate_kind(gate).name != "sigmoid":
            raise ArgumentError(f"`ablate` must name a gate from 0 to 1, got {gate!r}. The input gate, for instance.")
        for name in ("W_x", "W_h", "b"):
            made[prefix + name][rows] = OPEN if name == "b" else 0.0
            frozen[prefix + name] = np.zeros(made[prefix + name].shape, bool)
            frozen[prefix + name][rows] = True
    return made, frozen


def network_params(network: Any, weights: Mapping[str, Any]) -> Any:
    """Return the parameters as the network takes them: a dict for a cell, a list of dicts for a stack."""
    names = [name for name in weights.keys() if name not in READOUT]  # noqa: SIM118 (autograd's dict box)
    parts = [
        {name.removeprefix(prefix): weights[name] for name in names if name.startswith(prefix)}
        for prefix in cells_of(network)
    ]
    return parts[0] if isinstance(network, Cell) else parts


@dataclass(frozen=True, eq=False)
class Scaling:
    """Normalization of the inputs by the mean and the spread of training sequences.

    Attributes
    ----------
    mean, spread : ndarray, (I,)
        Over all valid steps; an input that never changes has the spread 1.
    """

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, batch: Batch) -> Scaling:
        """Measure the inputs of some sequences, which must be from the training split."""
        rows = batch.inputs.reshape(-1, batch.inputs.shape[2])
        rows = rows if batch.valid is None else rows[batch.valid.ravel()]
        spread = rows.std(axis=0)
        return cls(rows.mean(axis=0), np.where(spread > 0, spread, 1.0))

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return inputs (T, B, I) with mean 0 and spread 1 on the training set."""
        return (inputs - self.mean) / self.spread
