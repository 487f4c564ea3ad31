"""Norms of step Jacobians, from their partials and W_h.

No matrix is made. The Frobenius norm is a quadratic form in the Gram matrices of the rows of W_h,
unit by unit. The spectral norm comes from Golub-Kahan-Lanczos bidiagonalization, all steps and
sequences side by side, until its residual is small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial as bind

import numpy as np
from scipy.linalg.lapack import dstev

from gradscope.partials import Partials
from gradscope.products import dense, pull, push, resolve

__all__ = ["frobenius", "largest_singular_value", "spectral"]

Array = np.ndarray

RESIDUAL = {np.dtype(np.float64): 1e-8, np.dtype(np.float32): 1e-5}
"""Relative residual of a squared norm that will do: the norm is right to half of it."""
FIRST = 8
"""Products before the first look at residuals."""
FEW = 8
"""How many of the maps are looked at to see whether it is time to look at all."""
MOST = 0.75
"""Share of them that must be done."""
LAST = 120
"""Products after which a norm is taken from the matrix itself."""
NARROWED = 0.9
"""Share of the maps below which the others are left out of further products."""
PASSES = 60
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
    rows = list(zip(resolve(partials, "drive_h"), resolve(partials, "state"), strict=True))
    square, gross = _sum_of_squares(rows, W_h)
    safe = _in_range(square)
    if safe.all():
        return _mended(np.sqrt(square), square < CANCELLED[square.dtype] * gross, partials, W_h)
    plain = _largest(rows, square)
    weight = np.abs(W_h).max()
    finite = np.isfinite(plain) & np.isfinite(weight)
    weight = weight if np.isfinite(weight) else weight.dtype.type(1)
    rows = [([None if d is None else d * weight for d in drives], state) for drives, state in rows]
    largest = _largest(rows, square)
    scale = np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)

    def shrink(part: Sequence[Array | None]) -> list[Array | None]:
        return [None if array is None else array / scale[:, None, :] for array in part]

    scaled = [(shrink(drives), shrink(state)) for drives, state in rows]
    small, small_gross = _sum_of_squares(scaled, W_h / weight if weight else W_h)
    norm = np.where(safe, np.sqrt(square), scale * np.sqrt(np.maximum(small, 0.0)))
    square, gross = np.where(safe, square, small), np.where(safe, gross, small_gross)
    wide = (
        (largest != 0) & finite & ~_in_range(square)
    )  # what these maps are made of is far smaller than the largest weight
    norm = _mended(norm, wide | (square < CANCELLED[square.dtype] * gross), partials, W_h)
    return np.where(np.isfinite(norm) & np.isfinite(plain), norm, np.nan)


def _in_range(square: Array) -> Array:
    """Return which sums of squares have lost nothing that counts beyond the float range."""
    return (square > _TINY[square.dtype]) & (square < 1.0 / _TINY[square.dtype])


def _largest(rows: Sequence[tuple[Sequence[Array | None], Sequence[Array | None]]], like: Array) -> Array:
    """Return the largest absolute partial of each map (n, B)."""
    largest = np.zeros_like(like)
    for array in (array for row in rows for part in row for array in part if array is not None):
        np.maximum(largest, np.abs(array).max(axis=-2), out=largest)
    return largest


def _by_matrix(partials: Partials, W_h: Array) -> Array:
    """Return the Frobenius norms (n, B) from the matrices: factors on the columns leave no Gram matrix in common."""
    steps, size, batch = partials.value[0].shape
    few = max(1, _MATRICES // (batch * (size * len(partials.value)) ** 2))
    norms = [_of_matrices(dense(partials.pick(slice(start, start + few)), W_h)) for start in range(0, steps, few)]
    norm = np.concatenate(norms)
    return np.where(np.isfinite(norm), norm, np.nan)


def _mended(norm: Array, lost: Array, partials: Partials, W_h: Array) -> Array:
    """Return the norms with those taken from the matrix itself whose squares have lost digits, as where rows cancel."""
    t, b = np.nonzero(lost)
    few = max(1, _MATRICES // (len(W_h[0]) * len(partials.value)) ** 2)
    for some in (slice(start, start + few) for start in range(0, len(t), few)):
        picked = partials.pick((t[some], slice(None), b[some])).pick((..., None))
        norm[t[some], b[some]] = _of_matrices(dense(picked, W_h)[:, 0])
    return norm


def _of_matrices(matrices: Array) -> Array:
    """Return the Frobenius norms of matrices (..., S, S), scaled by the largest entry first."""
    largest = np.abs(matrices).max(axis=(-2, -1))
    scale = np.where((largest > 0) & np.isfinite(largest), largest, largest.dtype.type(1))
    return scale * np.linalg.norm(matrices / scale[..., None, None], axis=(-2, -1))


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
    size = frobenius(partials, W_h)
    if partials.inlet is not None and partials.inlet.shape[-2] == 1:
        partials = partials.let_through()  # one array less to multiply with at each product
    beside = partials.map(lambda array: np.swapaxes(array, 0, 1).reshape(1, array.shape[1], -1))

    def chosen(columns: Array) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
        some = beside.map(lambda array: array.take(columns, axis=-1))
        return bind(push, some, W_h), bind(pull, some, W_h)

    norm = largest_singular_value(
        size.reshape(1, -1),
        bind(push, beside, W_h),
        bind(pull, beside, W_h),
        len(partials.value) * W_h.shape[1],
        lambda _, columns: dense(beside.map(lambda array: array[0, :, columns, None]), W_h)[:, 0],
        chosen,
    )
    return norm.reshape(size.shape)


def largest_singular_value(
    size: Array,
    push: Callable[[Array], Array],
    pull: Callable[[Array], Array],
    rows: int,
    matrices: Callable[[Array, Array], Array],
    choose: Callable[[Array], tuple[Callable[[Array], Array], Callable[[Array], Array]]] | None = None,
) -> Array:
    """Return the largest singular value of each of many maps, (n, B), from products with them.

    Golub & Kahan 1965. The root of the largest eigenvalue of what has been built of J'J lies within its residual
    of a singular value: a map whose residual is below ``RESIDUAL`` is done. What is not after ``LAST`` products is
    taken from the matrix itself. The start is one random vector. It passes for converged on the second singular value,
    lower by a share of d, only if it hears the largest by less than some ``RESIDUAL`` / d of what it hears the second:
    a chance of about that size, and none where products have told the two apart.

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
    choose : callable, optional
        Where n is 1: from indices (m,) of sequences to the two products of those alone, with columns (1, S, m).
        Maps that are done are then left out of further products.

    Returns
    -------
    ndarray, (n, B)
        NaN where ``size`` is not finite.
    """
    open_ = np.flatnonzero(np.isfinite(size) & (size != 0))  # the maps whose norm is not known yet
    run = _Lanczos(push, pull, _scales(size), rows)
    with np.errstate(all="ignore"):
        while len(open_) and run.products < LAST:
            if choose is not None and len(open_) < NARROWED * len(run.maps):
                run.narrow(open_, *choose(open_))
            run.advance(run.products + 3 if run.products else FIRST)
            sample = open_[:: -(-len(open_) // FEW)]
            run.look(sample)
            while run.products < LAST and np.mean(run.certain[sample]) < MOST:
                run.advance(run.products + 2)
                run.look(sample)
            if len(sample) < len(open_):
                run.look(open_)
            open_ = open_[~run.certain[open_]]
    norm = np.where(run.certain.reshape(size.shape), run.whole * np.sqrt(run.root.reshape(size.shape)), size)
    norm = norm.astype(size.dtype)
    if len(open_):
        norm.flat[open_] = np.linalg.svd(matrices(*np.unravel_index(open_, size.shape)), compute_uv=False)[:, 0]
    return norm


def _scales(size: Array) -> Array:
    """Return what to divide maps by, so that fourth powers of lengths stay within the float range; 1 for most."""
    low = _TINY[size.dtype] ** 0.25
    return np.where(np.isfinite(size) & ((size <= low) | (size >= 1.0 / low)) & (size > 0), size, size.dtype.type(1))


class _Lanczos:
    """Golub-Kahan bidiagonalization of many maps side by side, vectors (n, S, B).

    ``root`` is the largest eigenvalue of what J'J has become and ``left`` its residual relative to it, for all maps,
    as of the last look at each; ``maps`` are those still worked on, as flat indices.
    """

    def __init__(self, push: Callable[[Array], Array], pull: Callable[[Array], Array], scale: Array, rows: int) -> None:
        steps, batch = scale.shape
        self.push, self.pull, self.whole, self.scale = push, pull, scale, scale[:, None]
        self.plain = bool((scale == 1.0).all())
        self.maps, self.products = np.arange(scale.size), 0
        start = np.random.default_rng(0).standard_normal((rows, 1)).astype(scale.dtype)
        self.v = np.tile(start, (steps, 1, batch))
        self.u = np.zeros_like(self.v)
        self.alpha, self.beta = np.zeros(scale.size), np.zeros(scale.size)
        _normalize(self.v)
        self.diagonal: list[Array] = []
        self.off: list[Array] = []
        self.root, self.left = np.zeros(scale.size), np.full(scale.size, np.inf)

    @property
    def certain(self) -> Array:
        """Whether the residual of each map is small enough."""
        return self.left <= RESIDUAL[self.v.dtype]

    def advance(self, products: int) -> None:
        """Go on until there have been so many products with the maps and with their transposes."""
        while self.products < products:
            if self.products:
                self.off.append((self.alpha * self.beta) ** 2)
            self.u, self.alpha = self._next(self.push(self.v), self.u, self.beta)
            self.diagonal.append(self.alpha**2 + self.beta**2)
            self.v, self.beta = self._next(self.pull(self.u), self.v, self.alpha)
            self.products += 1

    def _next(self, product: Array, old: Array, length: Array) -> tuple[Array, Array]:
        """Return the next vector, of unit length, and its length; overwrite the vector before the last."""
        if not self.plain:
            product /= self.scale
        old *= length.reshape(self.scale.shape).astype(old.dtype)
        product -= old
        return product, _normalize(product)

    def narrow(self, maps: Array, push: Callable[[Array], Array], pull: Callable[[Array], Array]) -> None:
        """Go on with some of the maps."""
        columns = np.searchsorted(self.maps, maps)
        self.maps, self.push, self.pull = maps, push, pull
        self.scale, self.v, self.u = (array[..., columns] for array in (self.scale, self.v, self.u))
        self.alpha, self.beta = self.alpha[columns], self.beta[columns]
        self.diagonal, self.off = ([row[columns] for row in rows] for rows in (self.diagonal, self.off))

    def look(self, maps: Array) -> None:
        """Take the largest root and its residual for some maps."""
        columns = np.searchsorted(self.maps, maps)
        if len(maps) <= FEW:
            root, share = np.array([self._one_root(column) for column in columns]).T
        else:
            diagonal = np.stack([row[columns] for row in self.diagonal])
            off = np.array([row[columns] for row in self.off]).reshape(-1, len(columns))
            root, share = _largest_root(diagonal, off, self.root[maps] * (1.0 + self.left[maps]))
        self.root[maps] = root
        self.left[maps] = self.alpha[columns] * self.beta[columns] * np.sqrt(share) / root

    def _one_root(self, column: int) -> tuple[float, float]:
        """Return the largest eigenvalue for one column, and the square of the last entry of its vector."""
        diagonal, off = ([row[column] for row in rows] for rows in (self.diagonal, self.off))
        values, vectors, failed = dstev(diagonal, np.sqrt(off) if off else np.zeros(1))
        return (np.nan, np.nan) if failed else (values[-1], vectors[-1, -1] ** 2)


def _normalize(columns: Array) -> Array:
    """Bring columns to unit length in place, and return their lengths, flat; a zero column stays zero."""
    length = np.sqrt(np.einsum("nsb,nsb->nb", columns, columns, dtype=np.float64))
    inverse = np.where(length > 0, 1.0 / np.where(length > 0, length, 1.0), 0.0)
    columns *= inverse[:, None].astype(columns.dtype)
    return length.ravel()


def _largest_root(diagonal: Array, off: Array, guess: Array) -> tuple[Array, Array]:
    """Return the largest eigenvalue of tridiagonal matrices, and the square of the last entry of its vector.

    Laguerre's method on the characteristic polynomial, from above: where all roots are real it never passes the
    largest. Pivots run from the last row to the first, in which direction the vector's entries grow.

    Parameters
    ----------
    diagonal, off : ndarray, (k, m), (k - 1, m)
        Entries of the diagonals, and squared entries of the off-diagonals.
    guess : ndarray, (m,)
        Values perhaps just above the eigenvalues.
    """
    count, eps = len(diagonal), np.finfo(np.float64).eps
    roots = np.sqrt(off)
    bound = diagonal.copy()
    bound[1:] += roots
    bound[:-1] += roots
    bound = bound.max(axis=0) * (1.0 + eps)
    x = np.fmin(guess, bound)
    pivots, firsts, seconds = (np.empty_like(diagonal) for _ in range(3))  # derivatives are over the pivot
    for attempt in range(PASSES):
        below = diagonal - x
        pivots[-1], seconds[-1] = below[-1], 0.0
        np.divide(-1.0, below[-1], out=firsts[-1])
        for i in range(count - 2, -1, -1):
            ratio = off[i] / pivots[i + 1]
            pivot = np.subtract(below[i], ratio, out=pivots[i])
            first = firsts[i + 1]
            second = seconds[i + 1] - 2.0 * first * first
            np.divide(ratio * first - 1.0, pivot, out=firsts[i])
            np.divide(ratio * second, pivot, out=seconds[i])
        above = (pivots < 0).all(axis=0)
        slope, curvature = firsts.sum(axis=0), (firsts * firsts - seconds).sum(axis=0)  # of -ln of the polynomial
        step = count / (slope + np.sqrt((count - 1) * np.maximum(count * curvature - slope * slope, 0.0)))
        if attempt == 0:
            x = np.where(above, x - step, bound)
            continue
        step = np.where(above & (step > eps * x), step, 0.0)
        if not step.any():
            break
        x = x - step
    derivative = off[0] / pivots[1] * firsts[1] - 1.0 if count > 1 else np.full_like(x, -1.0)  # of the last pivot
    return x, -(off / pivots[1:] ** 2).prod(axis=0) / derivative
