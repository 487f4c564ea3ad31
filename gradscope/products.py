"""Products with a Jacobian that is never written out: partials and W_h are enough.

Vectors are columns (n, S, B): n steps, the units of the state, B sequences. One matrix product
serves all steps and sequences.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradscope.cells import split
from gradscope.partials import Partials, Row

__all__ = [
    "dense",
    "let_in",
    "pull",
    "pull_chain",
    "pull_inputs",
    "pull_row",
    "push",
    "push_blocks",
    "push_drives",
    "push_inputs",
    "push_params",
    "resolve",
]

Array = np.ndarray


def push(partials: Partials, W_h: Array, tangents: Array) -> Array:
    """Return J v for columns of tangents (n, S, B)."""
    old = split(tangents, len(partials.value))
    drives = split(np.matmul(W_h, let_in(partials, old[0])), len(partials.drive_h[0]))
    return np.concatenate(push_blocks(partials, drives, old), axis=-2)


def push_blocks(partials: Partials, drives: Sequence[Array], old: Sequence[Array]) -> list[Array]:
    """Return the change of each block of the new state, from those of the recurrent drives and the old state."""
    return _made_from(partials, (partials.drive_h, drives), (partials.state, old))


def push_drives(partials: Partials, drives: Sequence[Array]) -> list[Array]:
    """Return the change of each block of the new state, from those of the input drives."""
    return _made_from(partials, (partials.drive_x, drives))


def push_params(
    partials: Partials, drive_x: Sequence[Array], drive_h: Sequence[Array], units: Sequence[Array]
) -> list[Array]:
    """Return the change of each block of the new state, from those of both drives and of the unit parameters."""
    return _made_from(partials, (partials.drive_x, drive_x), (partials.drive_h, drive_h), (partials.units, units))


def push_inputs(partials: Partials, W_x: Array, tangents: Array) -> Array:
    """Return the change of the new state (n, S, B), from columns of changes of the inputs (n, I, B)."""
    drives = split(np.matmul(W_x, tangents), len(partials.drive_x[0]))
    return np.concatenate(push_drives(partials, drives), axis=-2)


def _made_from(partials: Partials, *sources: tuple[Sequence[Row], Sequence[Array]]) -> list[Array]:
    """Return the change of each block of the new state: from each source, and from the blocks it is made from."""
    like = sources[0][1][0]
    new = [np.zeros(like.shape, like.dtype) for _ in partials.value]
    for i in reversed(partials.order):
        for table, vectors in (*sources, (partials.new, new)):
            for diagonal, vector in zip(table[i], vectors, strict=True):
                if diagonal is not None:
                    new[i] += diagonal * vector
    return new


def pull(partials: Partials, W_h: Array, cotangents: Array) -> Array:
    """Return J' w for columns of cotangents (n, S, B)."""
    heard = [block.copy() for block in split(cotangents, len(partials.value))]
    pull_chain(partials, heard)
    delta = np.concatenate(pull_row(partials.drive_h, heard), axis=-2)
    old = pull_row(partials.state, heard)
    old[0] = old[0] + let_in(partials, np.matmul(W_h.T, delta))
    return np.concatenate(old, axis=-2)


def pull_inputs(partials: Partials, W_x: Array, cotangents: Array) -> Array:
    """Return the gradient with respect to the inputs (n, I, B), from one with respect to the new state (n, S, B)."""
    heard = [block.copy() for block in split(cotangents, len(partials.value))]
    pull_chain(partials, heard)
    return np.matmul(W_x.T, np.concatenate(pull_row(partials.drive_x, heard), axis=-2))


def let_in(partials: Partials, hidden: Array) -> Array:
    """Return what the recurrent product hears of columns of h, or h of what comes back through it."""
    return hidden if partials.inlet is None else partials.inlet * hidden


def pull_chain(partials: Partials, heard: Sequence[Array]) -> None:
    """Pass the cotangent of each block of the new state on to the blocks it is made from, in place."""
    for i in partials.order:
        for j, diagonal in enumerate(partials.new[i]):
            if diagonal is not None:
                heard[j][...] += diagonal * heard[i]


def pull_row(diagonals: Sequence[Sequence[Array | None]], heard: Sequence[Array]) -> list[Array]:
    """Return the cotangent of each drive, or of each block of the old state."""
    result = []
    for column in range(len(diagonals[0])):
        shares = [row[column] * w for row, w in zip(diagonals, heard, strict=True) if row[column] is not None]
        result.append(sum(shares[1:], shares[0]) if shares else np.zeros_like(heard[0]))
    return result


def resolve(partials: Partials, name: str) -> list[list[Array | None]]:
    """Return the partials of each block with the chain followed to its end.

    ``resolve(partials, "drive_h")[i][k]`` is d new[i] / d drive_h[k] by every path, with the old
    state held fixed: what stands in the rows of a Jacobian.
    """
    rows: list[list[Array | None]] = [list(row) for row in getattr(partials, name)]
    for i in reversed(partials.order):
        for j, link in enumerate(partials.new[i]):
            if link is None:
                continue
            for k, further in enumerate(rows[j]):
                if further is not None:
                    own = rows[i][k]
                    rows[i][k] = link * further if own is None else own + link * further
    return rows


def dense(partials: Partials, W_h: Array, out: Array | None = None) -> Array:
    """Return the Jacobians written out, (n, B, S, S), in ``out`` if it is given: contiguous, and zero.

    Row u of a block is the same combination of the rows u of the gates' matrices at every step: for
    each unit, one product (n*B, K) by (K, H), written straight to its place.
    """
    size, blocks = W_h.shape[1], len(partials.value)
    steps, _, batch = partials.value[0].shape
    if out is None:
        out = np.zeros((steps, batch, blocks * size, blocks * size), W_h.dtype)
    matrices = out.reshape(steps * batch, blocks * size, blocks * size)
    W = W_h.reshape(-1, size, size)
    units = np.arange(size)
    for rows, drives, state in zip(
        split(matrices, blocks), resolve(partials, "drive_h"), resolve(partials, "state"), strict=True
    ):
        used = {k: np.swapaxes(partial, 0, 1) for k, partial in enumerate(drives) if partial is not None}
        if used:
            factors = np.stack(list(used.values()), axis=1).reshape(size, len(used), -1)
            weights = np.swapaxes(W[list(used)], 0, 1)
            np.matmul(np.swapaxes(factors, 1, 2), weights, out=np.swapaxes(rows, 0, 1)[..., :size])
        if partials.inlet is not None:
            rows[..., :size] *= np.swapaxes(partials.inlet, 1, 2).reshape(steps * batch, 1, -1)
        for j, partial in enumerate(state):
            if partial is not None:
                rows[:, units, j * size + units] += np.swapaxes(partial, 1, 2).reshape(-1, size)
    return out
