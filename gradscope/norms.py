"""Norms of step Jacobians, from their partials and W_h.

No matrix is made. The Frobenius norm is a quadratic form in the Gram matrices of the rows of W_h,
unit by unit. The spectral norm comes from Golub-Kahan-Lanczos bidiagonalization, all steps and
sequences side by side, until the largest Ritz value stands still.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradscope.partials import Partials
from gradscope.products import dense, pull, push, resolve

__all__ = ["frobenius", "spectral"]

Array = np.ndarray

STAGNATION = {np.dtype(np.float64): 3e-12, np.dtype(np.float32): 1e-6}
"""Relative growth of the squared norm from one check to the next that counts as none."""
CHECKS = (6, 9, 13, 19, 28, 42, 63, 94)
"""After how many products the largest Ritz value is looked at; then the matrix itself is taken."""
HALVINGS = 46


def frobenius(partials: Partials, W_h: Array) -> Array:
    """Return the Frobenius norm of each Jacobian, (n, B); NaN where one holds NaN or inf.

    A row of J is a sum over gates of d[k] times a row of W_k, and single entries of the diagonal
    blocks; its square needs only the inner products of those rows.
    """
    rows = [(resolve(partials, "drive_h")[i], resolve(partials, "state")[i]) for i in range(len(partials.value))]
    square = _sum_of_squares(rows, W_h)
    safe = (square > _TINY[square.dtype]) & (square < 1.0 / _TINY[square.dtype])
    if safe.all():
        return np.sqrt(square)
    weight = np.abs(W_h).max()
    weight = weight if np.isfinite(weight) and weight > 0 else weight.dtype.type(1)
    rows = [([None if d is None else d * weight for d in drives], state) for drives, state in rows]
    largest = np.zeros_like(square)
    for array in (array for row in rows for part in row for array in part if array is not None):
        np.maximum(largest, np.abs(array).max(axis=-2), out=largest)
    scale = np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)

    def shrink(part: Sequence[Array | None]) -> list[Array | None]:
        return [None if array is None else array / scale[:, None, :] for array in part]

    scaled = [(shrink(drives), shrink(state)) for drives, state in rows]
    norm = np.where(safe, np.sqrt(square), scale * np.sqrt(np.maximum(_sum_of_squares(scaled, W_h / weight), 0.0)))
    return np.where(np.isfinite(largest), norm, np.nan)


_TINY: dict[np.dtype, np.floating] = {np.dtype(np.float64): np.float64(1e-200), np.dtype(np.float32): np.float32(1e-25)}


def _sum_of_squares(rows: Sequence[tuple[Sequence[Array | None], Sequence[Array | None]]], W_h: Array) -> Array:
    """Return the sum of squares of all entries of J, (n, B)."""
    size = W_h.shape[1]
    W = W_h.reshape(-1, size, size)
    gram = np.einsum("kuv,luv->klu", W, W)[..., None]
    own = np.einsum("kuu->ku", W)[..., None]
    total: Array | float = 0.0
    for drives, state in rows:
        for k, partial in enumerate(drives):
            if partial is None:
                continue
            term = gram[k, k] * partial
            for other in range(k + 1, len(drives)):
                if drives[other] is not None:
                    term += (2.0 * gram[k, other]) * drives[other]
            if state[0] is not None:
                term += (2.0 * own[k]) * state[0]
            total = total + np.einsum("nub,nub->nb", term, partial)
        for partial in state:
            if partial is not None:
                total = total + np.einsum("nub,nub->nb", partial, partial)
    return np.asarray(total)


def spectral(partials: Partials, W_h: Array) -> Array:
    """Return the largest singular value of each Jacobian, (n, B); NaN where one holds NaN or inf.

    Golub & Kahan 1965. What still moves after the last of ``CHECKS`` is taken from the matrix itself.
    """
    size = frobenius(partials, W_h)
    known = ~np.isfinite(size) | (size == 0)
    if known.all():
        return size
    scale = np.where(known, 1.0, size)[:, None, :]

    def forward(v: Array) -> Array:
        return push(partials, W_h, v) / scale

    def backward(u: Array) -> Array:
        return pull(partials, W_h, u) / scale

    steps, batch = size.shape
    start = np.random.default_rng(0).standard_normal((len(partials.value) * W_h.shape[1], 1))
    v, _ = _normalize(np.broadcast_to(start, (steps, len(start), batch)).astype(W_h.dtype))
    u, alpha = _normalize(forward(v))
    diagonal: list[Array] = [alpha**2]
    off: list[Array] = []
    largest, settled = np.zeros_like(alpha), known.copy()
    for count in range(1, CHECKS[-1] + 1):
        v, beta = _normalize(backward(u) - alpha[:, None].astype(v.dtype) * v)
        if count in CHECKS:
            open_ = ~settled
            root = _largest_root(np.stack(diagonal)[:, open_], np.stack(off)[:, open_])
            settled[open_] = root - largest[open_] <= STAGNATION[W_h.dtype] * root
            largest[open_] = root
            if settled.all():
                break
        u, alpha_next = _normalize(forward(v) - beta[:, None].astype(v.dtype) * u)
        off.append((alpha * beta) ** 2)
        diagonal.append(alpha_next**2 + beta**2)
        alpha = alpha_next
    norm = np.where(known, size, size * np.sqrt(largest)).astype(W_h.dtype)
    if not settled.all():
        t, b = np.nonzero(~settled)
        alone = partials.pick((t, slice(None), b)).pick((..., None))
        norm[t, b] = np.linalg.svd(dense(alone, W_h)[:, 0], compute_uv=False)[:, 0]
    return norm


def _normalize(columns: Array) -> tuple[Array, Array]:
    """Return columns of unit length, and their lengths (n, B); a zero column stays zero."""
    length = np.sqrt(np.einsum("nsb,nsb->nb", columns, columns, dtype=np.float64))
    inverse = np.where(length > 0, 1.0 / np.where(length > 0, length, 1.0), 0.0)
    return columns * inverse[:, None].astype(columns.dtype), length


def _largest_root(diagonal: Array, off: Array) -> Array:
    """Return the largest eigenvalue of tridiagonal matrices, the squares of whose off-diagonals are ``off``.

    Bisection: x lies above it where every pivot of T - x is negative. Lanczos finds an eigenvalue again
    once it has converged, and Newton's method loses half the digits at such a double root; bisection
    loses none. Diagonals (k, m), off (k - 1, m).
    """
    roots = np.sqrt(off)
    bound = diagonal.copy()
    bound[1:] += roots
    bound[:-1] += roots
    low, high = diagonal.max(axis=0), bound.max(axis=0)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        pivot = diagonal[0] - middle
        above = pivot < 0
        for d, link in zip(diagonal[1:], off, strict=True):
            pivot = d - middle - link / pivot
            above &= pivot < 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return high
