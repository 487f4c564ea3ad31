"""Maps of a network: what its linearization offers beside the products, and the gradients along it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gradscope.adjoint import Adjoint
from gradscope.cells import as_floats
from gradscope.errors import ShapeError, unknown
from gradscope.network.gradients import NetworkGradients, network_gradients
from gradscope.network.layers import blocks_of
from gradscope.norms import largest_singular_value
from gradscope.trajectory import batch_last

__all__ = ["NetworkAdjoint", "NetworkMaps"]

Array = np.ndarray

VECTORS = 2**20
"""Entries of the vectors that a spectral norm works on at a time."""
MATRICES = 2**22
"""Entries of the matrices that are written out at a time."""


@dataclass(frozen=True, eq=False)
class NetworkAdjoint:
    """Gradients of one loss along a network; made by :func:`gradscope.backpropagate`.

    Attributes
    ----------
    params : list or dict
        dL/d of each parameter, as the network's ``init`` arranges them.
    inputs : ndarray, (T, B, I), or None
        dL/dx_t, where it was asked for.
    layers : dict of Adjoint
        For each cell its own gradients. ``layers["layer1"].total`` is what a tap on that cell's states hears: it
        includes what comes from the layers above at the same step.
    """

    params: Any
    inputs: Array | None
    layers: Mapping[str, Adjoint]
    make_total: Callable[[], Array]

    @cached_property
    def total(self) -> Array:
        """dL/ds_t along every path, (T+1, B, S), in the coordinates of the whole state.

        What goes from one layer to the next at the same step belongs to the layer above, whose state is held fixed:
        so ``total[t] = direct[t] + J_t' total[t+1]``. With a layer that runs backward there is no such order, and each
        layer's part is its own total.
        """
        return self.make_total()


class NetworkMaps:
    """What every linearization of a network has: sizes, norms, and matrices for whoever wants them."""

    trajectory: Any

    @property
    def forward(self) -> bool:
        """Whether every layer runs forward, so that the whole state has Jacobians."""
        return True

    def parts(self) -> list[tuple[str, slice, int]]:
        """Return name, place in the state and first time of every cell."""
        return [(name, place, 0) for name, _, place in self.trajectory.cell.spans]

    def gradient_norms(self, direct: Array) -> NetworkGradients:
        """Return norms of the gradient in log space; see :func:`gradscope.gradients.gradient_norms`."""
        return network_gradients(self, self._fits_times(direct))

    def __repr__(self) -> str:
        return f"<Linearization of {repr(self.trajectory)[1:-1]}>"

    @property
    def length(self) -> int:
        """T, the number of Jacobians."""
        return self.trajectory.length

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.trajectory.batch

    @property
    def state_size(self) -> int:
        """S, the size of a Jacobian."""
        return self.trajectory.cell.state_size

    @property
    def input_size(self) -> int:
        """I, the width of the input."""
        return self.trajectory.cell.input_size

    @property
    def block_size(self) -> int:
        """S: layers may differ in size, so the whole state is one block; :attr:`blocks` names its parts."""
        return self.state_size

    @property
    def blocks(self) -> list[tuple[str, slice]]:
        """Name and place in the state of every block, ``("layer1.h", slice(0, H))`` first."""
        return blocks_of(self.trajectory.cell)

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32, that of the parameters."""
        return self.trajectory.dtype

    def during(self, steps: slice) -> Any:
        """Return the linearization of some steps alone."""
        return self.trajectory.during(steps).linearize()

    def jacobians(self) -> Array:
        """Return every state-to-state Jacobian, (T, B, S, S)."""
        raise NotImplementedError

    def jvp(self, tangents: Array) -> Array:
        """Return J_t v_t for every step, (T, B, S)."""
        raise NotImplementedError

    def vjp(self, cotangents: Array) -> Array:
        """Return J_t' w_t for every step, (T, B, S)."""
        raise NotImplementedError

    def norm(self, kind: str = "spectral") -> Array:
        """Return a norm of the Jacobian of the whole state at each step, (T, B).

        Matrices are written out for a few steps at a time, and let go again.

        Parameters
        ----------
        kind : {"spectral", "frobenius"}

        Returns
        -------
        ndarray, (T, B)
            At least 0; NaN exactly where a Jacobian holds NaN or inf.

        Raises
        ------
        ArgumentError
            For another kind.
        """
        norms = {"spectral": _spectral, "frobenius": _frobenius}
        if kind not in norms:
            raise unknown("kind", kind, norms)
        self._whole()
        width = self.batch * self.state_size
        few = max(1, min(VECTORS // width, MATRICES // (width * self.state_size)))
        parts = [slice(start, min(start + few, self.length)) for start in range(0, self.length, few)]
        with np.errstate(all="ignore"):
            return np.concatenate([norms[kind](self.during(part)) for part in parts])

    def _whole(self) -> None:
        """Refuse what only a network whose steps have one order has."""

    def _fits(self, name: str, vectors: Any, letter: str, size: int) -> Array:
        """Return one vector for each step, or say what shape it must have."""
        array = as_floats(name, vectors)
        shape = (self.length, self.batch, size)
        if array.shape != shape:
            raise ShapeError(
                f"`{name}` must have shape (T, B, {letter})={shape}, got {array.shape}. Give one vector for each step."
            )
        return array

    def _fits_times(self, direct: Any) -> Array:
        """Return a direct gradient, or say what shape it must have."""
        shape = (self.length + 1, self.batch, self.state_size)
        if np.shape(direct) != shape:
            raise ShapeError(
                f"`direct` must have shape (T+1, B, S)={shape}, got {np.shape(direct)}. "
                "Give dL/ds for the initial state too."
            )
        return np.asarray(direct)


def _frobenius(maps: NetworkMaps) -> Array:
    """Return the Frobenius norm of each Jacobian, its entries scaled by the largest before they are squared."""
    return _size(maps.jacobians())


def _size(matrices: Array) -> Array:
    """Return the Frobenius norms of matrices, (T, B); NaN where one holds NaN or inf."""
    largest = np.abs(matrices).max(axis=(2, 3))
    scale = np.where((largest > 0) & np.isfinite(largest), largest, largest.dtype.type(1))
    norm = scale * np.linalg.norm(matrices / scale[..., None, None], axis=(2, 3))
    return np.where(np.isfinite(norm), norm, np.nan)


def _spectral(maps: NetworkMaps) -> Array:
    """Return the largest singular value of each Jacobian."""
    matrices = maps.jacobians()
    return largest_singular_value(
        _size(matrices),
        lambda v: batch_last(maps.jvp(batch_last(v))),
        lambda u: batch_last(maps.vjp(batch_last(u))),
        maps.state_size,
        lambda t, b: matrices[t, b],
    )
