"""Graded products: a long product of matrices as Q D R, right in every direction past the float range.

A product of a hundred Jacobians, multiplied out, knows its largest singular values only: whatever is 16 decades smaller
is rounding. Here it is kept as an orthogonal Q, a diagonal D on a log scale and a well-conditioned R, as quantum Monte
Carlo does (Loh & Gubernatis 1992; Bai, Lee, Li & Xu 2011): the next factor meets Q alone, and the scales never meet one
another. The singular values of D R then come from a Jacobi method that is accurate for each of them (Drmac & Veselic
2008), in pieces where D is wider than the floats.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import lapack

__all__ = ["Graded", "graded_qr"]

Array = np.ndarray
Apply = Callable[[Array], Array]

LONGEST = 16
"""The most factors that Q meets before it is made orthogonal anew."""
EASY, HARD, LOST = 30.0, 1e3, 1e4
"""Condition of such a run of factors under which the next is made twice as long, over which half as long, and over
which it is taken again one factor at a time."""
RENEWED = 8
"""How often R may grow by a triangular factor before it is made well-conditioned anew."""
DECADES = 250.0
"""Decades of D that one call of the Jacobi method is given."""
COUPLED = 1e-17
"""Entries of R that couple two pieces no longer."""
SWEEPS = 400


def graded_qr(columns: Array) -> tuple[Array, Array, Array]:
    """Return QR factors of matrices (B, S, M) whose rows may be of very different size.

    Rows are sorted by their length first, which keeps Householder's method accurate row by row (Cox & Higham 1998).

    Parameters
    ----------
    columns : ndarray, (B, S, M)

    Returns
    -------
    Q : ndarray, (B, S, M)
    R : ndarray, (B, M, M)
    rounding : ndarray, (B, M)
        The size under which an entry in that row of R is nothing but rounding.
    """
    sizes = np.abs(columns)
    lengths = sizes.max(axis=2)
    order = np.argsort(-lengths, axis=1, kind="stable")
    graded = bool((lengths.min(axis=1) < 1e-2 * lengths.max(axis=1)).any())
    sorted_columns = np.take_along_axis(columns, order[:, :, None], axis=1) if graded else columns
    Q, R = np.linalg.qr(sorted_columns)
    if graded:
        Q = np.take_along_axis(Q, np.argsort(order, axis=1)[:, :, None], axis=1)
    rows, count = np.take_along_axis(lengths, order, axis=1), R.shape[2]
    floor = np.minimum(rows[:, :count], sizes.max(axis=1))
    return Q, R, columns.shape[1] * np.finfo(columns.dtype).eps * floor


class Graded:
    """A product of matrices (S, S) for each of B sequences, the newest factor to the left.

    Attributes
    ----------
    bad : ndarray of bool, (B,)
        Sequences in which a factor held NaN or inf.
    """

    def __init__(self, size: int, batch: int) -> None:
        """Begin with the identity."""
        eye = np.broadcast_to(np.eye(size), (batch, size, size))
        self._Q, self._log, self._R = eye, np.zeros((batch, size)), eye
        self._columns = self._Q
        self._queue: list[Apply] = []
        self._period, self._age = 1, 0
        self.bad = np.zeros(batch, bool)

    def advance(self, apply: Apply) -> None:
        """Multiply by one more factor from the left, given as its product with columns (S, B, M)."""
        self._columns = _applied(apply, self._columns)
        self._queue.append(apply)
        if len(self._queue) >= self._period:
            self._settle()

    def logs(self, chosen: Array) -> Array:
        """Return ln of the singular values, largest first, of the sequences chosen by a mask (B,): (chosen, S).

        -inf beyond the rank, NaN where bad.
        """
        self._settle()
        found = np.full((int(chosen.sum()), self._log.shape[1]), np.nan)
        for n, b in enumerate(np.nonzero(chosen)[0]):
            if not self.bad[b]:
                found[n] = _singular_logs(self._log[b], self._R[b])
        return found

    def _settle(self) -> None:
        """Make orthogonal what the factors since the last time have made of Q; one by one, where it was too much."""
        queue, self._queue = self._queue, []
        if queue and not self._fold(self._columns, alone=len(queue) == 1):
            self._period = 1
            for apply in queue:
                self._fold(_applied(apply, self._Q), alone=True)
        self._columns = self._Q

    def _fold(self, columns: Array, alone: bool) -> bool:
        """Take Q with factors on it as the new left side; refuse, unless it is one factor alone, if digits are lost."""
        sizes = np.abs(columns).max(axis=1)
        good = np.isfinite(sizes).all(axis=1)
        wild = ~good | (sizes > 1e100).any(axis=1) | (sizes < 1e-100).any(axis=1)
        if not alone and (wild & ~self.bad).any():
            return False
        self.bad |= ~good
        columns = np.where(self.bad[:, None, None], np.eye(columns.shape[1]), columns)
        unit, size = _units(columns)
        key = self._log + size
        order = np.argsort(-key, axis=1, kind="stable")
        key = np.take_along_axis(key, order, axis=1)
        Q, T, rounding = graded_qr(np.take_along_axis(unit, order[:, None, :], axis=2))
        diagonal = np.abs(np.diagonal(T, axis1=1, axis2=2))
        lost = diagonal <= rounding
        condition = _condition(T) if not lost.any() and diagonal.min() > 1.0 / HARD else np.inf
        if not alone and condition > LOST:
            return False
        T[lost[:, :, None] & (np.abs(T) <= rounding[:, :, None])] = 0.0
        self._log, U = _by_rows(T, key)
        self._Q, self._R = Q, np.matmul(U, np.take_along_axis(self._R, order[:, :, None], axis=1))
        self._age += 1
        if self._age >= RENEWED or (np.abs(np.diagonal(U, axis1=1, axis2=2)) < 1.0 / EASY).any():
            order, turned, self._log, self._R = _sweep(self._log, self._R)
            self._Q, self._age = np.matmul(np.take_along_axis(self._Q, order[:, None, :], axis=2), turned), 0
        if condition < EASY:
            self._period = min(2 * self._period, LONGEST)
        elif condition > HARD:
            self._period = max(1, self._period // 2)
        return True


def _applied(apply: Apply, matrices: Array) -> Array:
    """Return the product of a factor with matrices (B, S, S)."""
    return np.moveaxis(apply(np.ascontiguousarray(np.moveaxis(matrices, 1, 0))), 0, 1)


def _units(columns: Array) -> tuple[Array, Array]:
    """Return columns (B, S, M) of length 1 and ln of their lengths (B, M); -inf for one that is zero, and stays so."""
    largest = np.abs(columns).max(axis=1)
    scaled = columns / np.where(largest > 0, largest, 1.0)[:, None, :]
    lengths = np.sqrt(np.einsum("bij,bij->bj", scaled, scaled))
    return scaled / np.where(lengths > 0, lengths, 1.0)[:, None, :], np.log(largest) + np.log(lengths)


def _condition(T: Array) -> float:
    """Return the largest row of an inverse: how much of the digits of unit columns their factor T may have lost."""
    inverse = np.linalg.inv(T)
    return float(np.sqrt(np.einsum("bij,bij->bi", inverse, inverse)).max())


def _by_rows(T: Array, key: Array) -> tuple[Array, Array]:
    """Return T diag(e^key) as ln of row scales (B, M) and a matrix whose largest entry in each row is 1."""
    logs = np.log(np.abs(T)) + key[:, None, :]
    scale = logs.max(axis=2)
    base = np.where(np.isneginf(scale), 0.0, scale)
    return scale, np.sign(T) * np.exp(logs - base[:, :, None])


def _sweep(log: Array, R: Array) -> tuple[Array, Array, Array, Array]:
    """Return D R as P Q2 D2 R2 V' with the orthogonal V left out: R2 is triangular and nearer to the identity.

    Returns
    -------
    tuple
        The order P of the rows (B, S), Q2 (B, S, S), ln D2 (B, S), R2 (B, S, S).
    """
    rows, size = _units(np.swapaxes(R, 1, 2))
    key = log + size
    order = np.argsort(-key, axis=1, kind="stable")
    key = np.take_along_axis(key, order, axis=1)
    triangle = np.asarray(np.linalg.qr(np.take_along_axis(rows, order[:, None, :], axis=2), mode="r"))
    scale, lower = _by_rows(triangle, key)  # D R V = (T D)' is graded by its columns
    turn = np.argsort(-scale, axis=1, kind="stable")
    scale = np.take_along_axis(scale, turn, axis=1)
    turned, T, rounding = graded_qr(np.take_along_axis(np.swapaxes(lower, 1, 2), turn[:, None, :], axis=2))
    lost = np.abs(np.diagonal(T, axis1=1, axis2=2)) <= rounding
    T[lost[:, :, None] & (np.abs(T) <= rounding[:, :, None])] = 0.0
    return order, turned, *_by_rows(T, scale)


def _singular_logs(log: Array, R: Array) -> Array:
    """Return ln of the singular values of diag(e^log) R, largest first; -inf beyond the rank."""
    pieces = _pieces(log + _units(R.T[None])[1][0], _units(R.T[None])[0][0].T)
    logs = [_piece_logs(*piece) for piece in pieces]
    found = np.full(len(log), -np.inf)
    found[: sum(map(len, logs))] = np.sort(np.concatenate([*logs, []]))[::-1]
    return found


def _pieces(log: Array, R: Array) -> list[tuple[Array, Array]]:
    """Return row-graded matrices that together have the singular values and fit the floats one by one."""
    widest = DECADES * np.log(10.0)
    for sweep in range(SWEEPS + 1):
        kept = ~np.isneginf(log)
        if not kept.all():
            log, R = log[kept], R[kept]
        if not len(log):
            return []
        if np.ptp(log) <= widest:
            return [(log, R)]
        where = _parting(log, R, widest, forced=sweep == SWEEPS) if R.shape[0] == R.shape[1] and sweep else 0
        if where:
            return [(log[:where], R[:where, :where]), *_pieces(log[where:], R[where:, where:])]
        (log,), (R,) = _sweep(log[None], R[None])[2:]
    return [(log, R)]


def _parting(log: Array, R: Array, widest: float, forced: bool) -> int:
    """Return how many of the first rows fit the floats and meet the others no more; 0 if there is no such place."""
    fitting = int(np.argmax(np.abs(log - log[0]) > widest))
    met = (where for where in range(fitting, 0, -1) if (np.abs(R[:where, where:]) <= COUPLED).all())
    return next(met, fitting if forced else 0)


def _piece_logs(log: Array, R: Array) -> Array:
    """Return ln of the singular values of diag(e^log) R."""
    base = log.max()
    columns = R.T * np.exp(log - base)
    values = np.linalg.svd(columns, compute_uv=False)
    if values[-1] < 1e-3 * values[0]:
        values, _, _, scales, _, failed = lapack.dgejsv(columns, joba=0, jobu=3, jobv=3, jobr=0, jobt=0, jobp=0)
        values = values * (scales[0] / scales[1])
        if failed:
            raise np.linalg.LinAlgError(f"dgejsv stopped with {failed}")
    return np.log(values) + base
