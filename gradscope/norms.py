"""Norms of step Jacobians, from their partials and W_h.

No matrix is made. The Frobenius norm is a quadratic form in the Gram matrices of the rows of W_h,
unit by unit. The spectral norm comes from Golub-Kahan-Lanczos bidiagonalization, all steps and
sequences side by side, until the largest Ritz value stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradscope.partials import Partials
from gradscope.products import dense, pull, push, resolve

__all__ = ["frobenius", "largest_singular_value", "spectral"]

Array = np.ndarray

STAGNATION = {np.dtype(np.float64): 3e-12, np.dtype(np.float32): 1e-6}
"""Relative growth of the squared norm from one check to the next that counts as none."""
EXPECTED = {np.dtype(np.float64): 1e-14, np.dtype(np.float32): 1e-9}
"""Relative growth that is still to be expected, by the last two, under which a norm is left to stand."""
CHECKS = (6, 9, 12, 15, 19, 23, 28, 34, 42, 51, 63, 78, 94)
"""After how many products the largest Ritz value is looked at; then the matrix itself is taken."""
FEW = 0.02
"""Share of the Jacobians that may be left to it earlier, so that the last ones do not keep the others waiting."""
HALVINGS = 46
CANCELLED = {np.dtype(np.float64): 1e-4, np.dtype(np.float32): 1e-2}
"""Share of the sum of squares under which what is left of it has too few digits."""


_MATRICES = 2**22
"""Entries of matrices that are written out at a time."""


def frobenius(partials: Partials, W_h: Array) -> Array:
    """Return the Frobenius norm of each Jacobian, (n, B); NaN where one holds NaN or inf.

    A row of J is a sum over gates of d[k] times a row of W_k, and single entries of the diagonal
    blocks; its square needs only the inner products of those rows.
    """
    if partials.inlet is not None:
        if partials.inlet.shape[-2] > 1:
            return _by_matrix(partials, W_h)
        partials = partials.let_through()
    rows = [(resolve(partials, "drive_h")[i], resolve(partials, "state")[i]) for i in range(len(partials.value))]
    square, gross = _sum_of_squares(rows, W_h)
    safe = (square > _TINY[square.dtype]) & (square < 1.0 / _TINY[square.dtype])
    if safe.all():
        return _mended(np.sqrt(square), square, gross, partials, W_h)
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
    small, small_gross = _sum_of_squares(scaled, W_h / weight)
    norm = np.where(safe, np.sqrt(square), scale * np.sqrt(np.maximum(small, 0.0)))
    norm = _mended(norm, np.where(safe, square, small), np.where(safe, gross, small_gross), partials, W_h)
    return np.where(np.isfinite(largest), norm, np.nan)


def _by_matrix(partials: Partials, W_h: Array) -> Array:
    """Return the Frobenius norms (n, B) from the matrices: factors on the columns leave no Gram matrix in common."""
    steps, size, batch = partials.value[0].shape
    few = max(1, _MATRICES // (batch * (size * len(partials.value)) ** 2))
    norms = []
    for start in range(0, steps, few):
        matrices = dense(partials.pick(slice(start, start + few)), W_h)
        largest = np.abs(matrices).max(axis=(2, 3))
        scale = np.where((largest > 0) & np.isfinite(largest), largest, largest.dtype.type(1))
        norms.append(scale * np.linalg.norm(matrices / scale[..., None, None], axis=(2, 3)))
    norm = np.concatenate(norms)
    return np.where(np.isfinite(norm), norm, np.nan)


def _mended(norm: Array, square: Array, gross: Array, partials: Partials, W_h: Array) -> Array:
    """Return the norms with those taken from the matrix itself in which rows cancel: their squares lost digits."""
    t, b = np.nonzero(square < CANCELLED[norm.dtype] * gross)
    if len(t):
        matrices = dense(partials.pick((t, slice(None), b)).pick((..., None)), W_h)[:, 0]
        largest = np.abs(matrices).max(axis=(1, 2))
        scale = np.where((largest > 0) & np.isfinite(largest), largest, largest.dtype.type(1))
        norm[t, b] = scale * np.linalg.norm(matrices / scale[:, None, None], axis=(1, 2))
    return norm


_TINY: dict[np.dtype, np.floating] = {np.dtype(np.float64): np.float64(1e-200), np.dtype(np.float32): np.float32(1e-25)}


def _sum_of_squares(
    rows: Sequence[tuple[Sequence[Array | None], Sequence[Array | None]]], W_h: Array
) -> tuple[Array, Array]:
    """Return the sum of squares of all entries of J, (n, B), and what it would be if nothing cancelled or doubled."""
    size = W_h.shape[1]
    W = W_h.reshape(-1, size, size)
    gram = np.einsum("kuv,luv->klu", W, W)[..., None]
    own = np.einsum("kuu->ku", W)[..., None]
    gross: Array | float = 0.0
    crossed: Array | float = 0.0
    for drives, state in rows:
        for k, partial in enumerate(drives):
            if partial is None:
                continue
            gross = gross + np.einsum("nub,nub->nb", gram[k, k] * partial, partial)
            others = [2.0 * gram[k, n] * d for n, d in enumerate(drives[k + 1 :], k + 1) if d is not None]
            if state[0] is not None:
                others.append(2.0 * own[k] * state[0])
            if others:
                crossed = crossed + np.einsum("nub,nub->nb", sum(others[1:], others[0]), partial)
        for partial in state:
            if partial is not None:
                gross = gross + np.einsum("nub,nub->nb", partial, partial)
    return np.asarray(gross + crossed), np.asarray(gross)


def spectral(partials: Partials, W_h: Array) -> Array:
    """Return the largest singular value of each Jacobian, (n, B); NaN where one holds NaN or inf."""
    return largest_singular_value(
        frobenius(partials, W_h),
        lambda v: push(partials, W_h, v),
        lambda u: pull(partials, W_h, u),
        len(partials.value) * W_h.shape[1],
        lambda t, b: dense(partials.pick((t, slice(None), b)).pick((..., None)), W_h)[:, 0],
    )


def largest_singular_value(
    size: Array,
    push: Callable[[Array], Array],
    pull: Callable[[Array], Array],
    rows: int,
    matrices: Callable[[Array, Array], Array],
) -> Array:
    """Return the largest singular value of each of many maps, (n, B), from products with them.

    Golub & Kahan 1965. What still moves after the last of ``CHECKS``, and the last few before that, is taken
    from the matrix itself.

    Parameters
    ----------
    size : ndarray, (n, B)
        Their Frobenius norms, NaN where a map is not finite; the result has this dtype.
    push, pull : callable
        From columns (n, S, B) to the products with each map and with its transpose.
    rows : int
        S.
    matrices : callable
        From indices of steps and sequences to the matrices of those, (m, S, S).

    Returns
    -------
    ndarray, (n, B)
        NaN where ``size`` is not finite.
    """
    known = ~np.isfinite(size) | (size == 0)
    if known.all():
        return size
    dtype = size.dtype
    low = _TINY[dtype] ** 0.25  # fourth powers of lengths between it and its inverse are floats
    scale = np.where(known | ((size > low) & (size < 1.0 / low)), dtype.type(1), size)

    def forward(v: Array) -> Array:
        u = push(v)
        return u if plain else u / scale[:, None, :]

    def backward(u: Array) -> Array:
        v = pull(u)
        return v if plain else v / scale[:, None, :]

    plain = bool((scale == 1.0).all())
    steps, batch = size.shape
    start = np.random.default_rng(0).standard_normal((rows, 1))
    v, _ = _normalize(np.broadcast_to(start, (steps, rows, batch)).astype(dtype))
    u, alpha = _normalize(forward(v))
    diagonal: list[Array] = [alpha**2]
    off: list[Array] = []
    largest, growth, settled = np.zeros_like(alpha), np.full_like(alpha, np.nan), known.copy()
    for count in range(1, CHECKS[-1] + 1):
        v, beta = _normalize(backward(u) - alpha[:, None].astype(v.dtype) * v)
        if count in CHECKS:
            open_ = ~settled
            root = _largest_root(np.stack(diagonal)[:, open_], np.stack(off)[:, open_])
            grown = np.maximum(root - largest[open_], 0.0)
            settled[open_] = _stands(root, grown, growth[open_], dtype)
            largest[open_], growth[open_] = root, grown if count > CHECKS[0] else np.nan
            if np.count_nonzero(~settled) <= FEW * settled.size:
                break
        u, alpha_next = _normalize(forward(v) - beta[:, None].astype(v.dtype) * u)
        off.append((alpha * beta) ** 2)
        diagonal.append(alpha_next**2 + beta**2)
        alpha = alpha_next
    norm = np.where(known, size, scale * np.sqrt(largest)).astype(dtype)
    if not settled.all():
        t, b = np.nonzero(~settled)
        norm[t, b] = np.linalg.svd(matrices(t, b), compute_uv=False)[:, 0]
    return norm


def _stands(root: Array, grown: Array, before: Array, dtype: np.dtype) -> Array:
    """Return whether roots have stopped growing, or will have at the next check.

    The error of a Lanczos value falls at least geometrically once it falls fast; the next growth is then at
    most ``grown**2 / before``. NaN before the second growth.
    """
    falling = (grown < 0.1 * before) & (grown**2 <= EXPECTED[dtype] * root * before)
    return (grown <= STAGNATION[dtype] * root) | falling


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
