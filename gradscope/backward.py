"""Backward: gradients carried back over some steps, from the partials.

The loop over time holds one matrix product and a few multiplications; what does not depend on the next step, the
gradients of weights and inputs, is left for all steps at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import get_blas_funcs

from gradscope.cells import split
from gradscope.logscale import log10_norms
from gradscope.partials import Partials
from gradscope.products import pull_row
from gradscope.trajectory import Trajectory

__all__ = ["Backward", "backward"]

Array = np.ndarray

NARROW = 8
"""Sequences below which a step's outer product is too thin for a product of its own."""
CANCELLED = 1e-4
"""Share of a sum of squares under which what sequences leave of each other has too few digits."""


@dataclass(frozen=True, eq=False)
class Backward:
    """What came back over some steps; made by :func:`backward`.

    Attributes
    ----------
    trajectory : Trajectory
    steps : slice
    partials : Partials
    delta_h : ndarray, (n, K*H, B)
        Gradients of the recurrent drives.
    heard : ndarray, (n, S, B)
        The gradient of the state after each step, every block with what it hears through the blocks made from it.
    """

    trajectory: Trajectory
    steps: slice
    partials: Partials
    delta_h: Array
    heard: Array

    @cached_property
    def delta_x(self) -> Array:
        """Gradients of the input drives, (n, K*H, B); those of the recurrent ones where both enter by their sum."""
        pairs = zip(self.partials.drive_x, self.partials.drive_h, strict=True)
        same = all(x is h for rows in pairs for x, h in zip(*rows, strict=True))
        return self.delta_h if same else np.concatenate(pull_row(self.partials.drive_x, self._blocks), axis=-2)

    @property
    def _blocks(self) -> tuple[Array, ...]:
        return split(self.heard, len(self.partials.value))

    def inputs(self) -> Array:
        """Return the gradients of the inputs, (n, I, B)."""
        return np.matmul(self.trajectory.params["W_x"].T, self.delta_x)

    def gradients(self) -> dict[str, Array]:
        """Return the gradient of each parameter, summed over these steps and the sequences."""
        trajectory, delta_h, delta_x = self.trajectory, self.delta_h, self.delta_x
        hidden, columns, size = trajectory.heard_at(self.steps), trajectory.columns[self.steps], self._size
        if delta_x is delta_h:
            shares = _outer(delta_h, np.concatenate([hidden, columns], axis=1))
            W_h, W_xb = shares[:, :size], shares[:, size:]
        else:
            W_h, W_xb = _outer(delta_h, hidden), _outer(delta_x, columns)
        found = {"W_h": W_h, "W_x": W_xb[:, :-1], "b": W_xb[:, -1]}
        if "b_h" in trajectory.params:
            found["b_h"] = found["b"] if delta_x is delta_h else delta_h.sum(axis=(0, 2))
        for name, share in self._unit_shares():
            found[name] = share.sum(axis=(0, 2))
        return found

    def shares(self) -> dict[str, Array]:
        """Return each step's share of the gradient of each parameter, (n, ...)."""
        found = {name: np.matmul(delta, np.swapaxes(vectors, 1, 2)) for name, delta, vectors in self._factors()}
        found = {name: share[..., 0] if name in ("b", "b_h") else share for name, share in found.items()}
        return found | {name: share.sum(axis=2) for name, share in self._unit_shares()}

    def share_norms(self, names: tuple[str, ...], scale: Array) -> Array:
        """Return log10 of the norm of each step's share, gate by gate: (len(names), K, n).

        Parameters
        ----------
        names : tuple of str
            Of W_x, W_h and b.
        scale : ndarray, (B,)
            A factor for each sequence.
        """
        found = {name: self._share_norms(delta * scale, vectors) for name, delta, vectors in self._factors(names)}
        return np.stack([found[name] for name in names])

    def _share_norms(self, delta: Array, vectors: Array) -> Array:
        """Return log10 of the norms of sums over sequences of delta times vector', (K, n)."""
        batch = delta.shape[2]
        gates = delta.reshape(len(delta), -1, self._size, batch)
        largest = np.abs(gates).max(axis=(2, 3), keepdims=True)
        safe = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        gates = gates / safe
        logs = np.log10(safe)[..., 0, 0].T
        if batch >= self._size:
            return logs + _sum_norms(gates, vectors).T
        left = np.matmul(np.swapaxes(gates, 2, 3), gates)
        right = np.matmul(np.swapaxes(vectors, 1, 2), vectors)
        square = np.einsum("nkab,nab->nk", left, right)
        gross = np.sqrt(np.einsum("nkaa,naa->nk", left, right))
        norms = 0.5 * np.log10(np.maximum(square, 0.0))
        lost = (square < CANCELLED * batch * gross**2).any(axis=1) & (gross > 0).any(axis=1)
        if lost.any():
            norms[lost] = _sum_norms(gates[lost], vectors[lost])
        return logs + norms.T

    def _factors(self, names: tuple[str, ...] | None = None) -> Iterator[tuple[str, Array, Array]]:
        """Yield each parameter with the two arrays whose outer products make up its gradient."""
        columns = self.trajectory.columns[self.steps]
        for name in self.trajectory.params if names is None else names:
            if name == "W_h":
                yield name, self.delta_h, self.trajectory.heard_at(self.steps)
            elif name == "W_x":
                yield name, self.delta_x, columns[:, :-1]
            elif name in ("b", "b_h"):
                yield name, self.delta_x if name == "b" else self.delta_h, columns[:, -1:]

    def _unit_shares(self) -> Iterator[tuple[str, Array]]:
        """Yield the gradient of each unit parameter before it is summed, (n, H, B)."""
        shares = pull_row(self.partials.units, self._blocks)
        yield from zip(self.trajectory.cell.unit_params, shares, strict=True)

    @property
    def _size(self) -> int:
        return self.trajectory.cell.hidden_size


def backward(trajectory: Trajectory, steps: slice, partials: Partials, W_back: Array, total: Array) -> Backward:
    """Carry a gradient back over some steps, adding to ``total`` (n+1, S, B) in place.

    Parameters
    ----------
    trajectory : Trajectory
    steps : slice
    partials : Partials
        Of these steps, arrays (n, H, B).
    W_back : ndarray, (H, K*H)
        W_h transposed, contiguous, in the dtype of ``total``.
    total : ndarray, (n+1, S, B)
        The direct part at each time; at the last one the whole gradient.
    """
    blocks, count = len(partials.value), len(partials.drive_h[0])
    length, size, batch = partials.value[0].shape
    delta = np.empty((length, count * size, batch), total.dtype)
    heard = np.empty((length, blocks * size, batch), total.dtype)
    deltas, hearers, totals = split(delta, count), split(heard, blocks), split(total, blocks)
    chain = [(j, i, link) for i in partials.order for j, link in enumerate(partials.new[i]) if link is not None]
    sources = [[(i, d) for i, row in enumerate(partials.drive_h) if (d := row[k]) is not None] for k in range(count)]
    for silent in (deltas[k] for k, terms in enumerate(sources) if not terms):
        silent[...] = 0.0
    first = [(deltas[k], *terms[0]) for k, terms in enumerate(sources) if terms]
    further = [(deltas[k], *term) for k, terms in enumerate(sources) for term in terms[1:]]
    carried = [(totals[j], i, d) for i, row in enumerate(partials.state) for j, d in enumerate(row) if d is not None]
    scratch, inlet = np.empty((size, batch), total.dtype), partials.inlet
    for t in reversed(range(length)):
        heard[t] = total[t + 1]
        for j, i, link in chain:
            hearers[j][t] += np.multiply(link[t], hearers[i][t], out=scratch)
        for gate, i, partial in first:
            np.multiply(partial[t], hearers[i][t], out=gate[t])
        for gate, i, partial in further:
            gate[t] += np.multiply(partial[t], hearers[i][t], out=scratch)
        np.dot(W_back, delta[t], out=scratch)
        if inlet is not None:
            np.multiply(scratch, inlet[t], out=scratch)
        totals[0][t] += scratch
        for block, i, partial in carried:
            block[t] += np.multiply(partial[t], hearers[i][t], out=scratch)
    return Backward(trajectory, steps, partials, delta, heard)


def _outer(delta: Array, vectors: Array) -> Array:
    """Return the sum over steps and sequences of delta times vector', (K*H, width)."""
    if delta.shape[2] < NARROW:  # one long product of the steps side by side
        left = np.swapaxes(delta, 0, 1).reshape(delta.shape[1], -1)
        right = np.swapaxes(vectors, 0, 1).reshape(vectors.shape[1], -1)
        return left @ right.T
    (gemm,) = get_blas_funcs(("gemm",), (delta,))  # adds in place, and needs no copy of delta
    total = np.zeros((delta.shape[1], vectors.shape[1]), delta.dtype, order="F")
    for left, right in zip(delta, vectors, strict=True):
        total = gemm(1.0, left.T, right.T, beta=1.0, c=total, trans_a=True, overwrite_c=True)
    return total


def _sum_norms(gates: Array, vectors: Array) -> Array:
    """Return log10 of the norm of gate times vector', summed over sequences: (n, K) from (n, K, H, B), (n, I, B)."""
    shares = np.matmul(gates, np.swapaxes(vectors, 1, 2)[:, None])
    return log10_norms(shares.reshape(*shares.shape[:2], -1), axis=2)
