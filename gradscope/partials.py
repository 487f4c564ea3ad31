"""Partials: autograd differentiates an elementwise update, for all steps, sequences and units at once.

Every derivative of a cell comes from here. The update is traced once on stacked arrays and pulled
back once for each block of the new state, with ones as the cotangent: because it is elementwise,
what arrives at a drive is the diagonal of the Jacobian with respect to it.

Where one block of the new state is made from another (an LSTM's h' from its c'), the pull-back of
the first stops at the second. The partials then form a short chain, ``d h'/d c'`` and what leads to
``c'``, instead of one array for every path: fewer arrays, and the very order in which
back-propagation through time needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from autograd.core import VJPNode, add_outgrads
from autograd.tracer import isbox, new_box, trace_stack
from autograd.util import toposort

from gradscope.program import replayed

__all__ = ["Partials", "differentiate", "differentiator"]

Array = np.ndarray
Row = tuple[Array | None, ...]


@dataclass(frozen=True, eq=False)
class Partials:
    """Diagonals of the derivative of an update; None where nothing depends.

    Attributes
    ----------
    value : tuple of ndarray
        The new state, one array for each block.
    drive_x, drive_h : tuple (block) of tuple (gate) of ndarray or None
        d new[i] / d drive[k] with every later block of the chain held fixed. Where both drives
        enter only by their sum, the two hold the same arrays.
    state : tuple (block) of tuple (block) of ndarray or None
        d new[i] / d state[j] with the drives held fixed.
    new : tuple (block) of tuple (block) of ndarray or None
        d new[i] / d new[j]: the chain among the blocks.
    order : tuple of int
        The blocks, each before those that it is made from: back-propagation visits them so.
    units : tuple (block) of tuple (parameter) of ndarray or None
        d new[i] / d unit parameter[k], likewise.
    inlet : ndarray or None
        Factors on h before it enters the recurrent drive, over all units or for each; None where all are 1.
    """

    value: tuple[Array, ...]
    drive_x: tuple[Row, ...]
    drive_h: tuple[Row, ...]
    state: tuple[Row, ...]
    new: tuple[Row, ...]
    order: tuple[int, ...]
    units: tuple[Row, ...] = ()
    inlet: Array | None = None

    def pick(self, chosen: Any) -> Partials:
        """Return the partials with every array indexed by ``chosen``."""
        return self.map(lambda array: array[chosen])

    def map(self, function: Callable[[Any], Any]) -> Partials:
        """Return the partials with every array replaced; one that stands in two places is asked for once."""
        seen: dict[int, Any] = {}

        def once(array: Any) -> Any:
            if id(array) not in seen:
                seen[id(array)] = function(array)
            return seen[id(array)]

        def rows(table: tuple[Row, ...]) -> tuple[Row, ...]:
            return tuple(tuple(None if array is None else once(array) for array in row) for row in table)

        value = tuple(once(array) for array in self.value)
        inlet = None if self.inlet is None else once(self.inlet)
        tables = self.drive_x, self.drive_h, self.state, self.new, self.units
        drive_x, drive_h, state, new, units = (rows(table) for table in tables)
        return Partials(value, drive_x, drive_h, state, new, self.order, units, inlet)

    def let_through(self) -> Partials:
        """Return the partials with factors that are the same for all units moved from h to the recurrent drives."""
        drive_h = _each(self.drive_h, lambda array: self.inlet * array)
        return replace(self, drive_h=drive_h, inlet=None)

    def masked(self, valid: Array | None, reset: Array | None, inlet: Array | None) -> Partials:
        """Return the partials of steps that may be padding or come after a reset.

        Parameters
        ----------
        valid, reset : ndarray of bool, (n, 1, B), or None
            Over a padded step the state is carried on; after a reset nothing of the old one is left.
        inlet : ndarray, (n, 1 or H, B), or None
        """
        made = self if valid is None else self.map(lambda array: np.where(valid, array, array.dtype.type(0)))
        state = made.state
        if reset is not None:
            state = _each(state, lambda array: np.where(reset, array.dtype.type(0), array))
        if valid is not None:
            state = tuple(
                tuple(_carried(array, valid, self.value[i]) if i == j else array for j, array in enumerate(row))
                for i, row in enumerate(state)
            )
        return replace(made, value=self.value, state=state, inlet=inlet)


def _each(table: tuple[Row, ...], function: Callable[[Array], Array]) -> tuple[Row, ...]:
    """Return a table with every array replaced."""
    return tuple(tuple(None if array is None else function(array) for array in row) for row in table)


def _carried(array: Array | None, valid: Array, like: Array) -> Array:
    """Return the partial of a block by itself: 1 where a step is padding."""
    own = np.zeros_like(like) if array is None else array
    return np.where(valid, own, like.dtype.type(1))


Update = Callable[..., Sequence[Any]]


def differentiate(
    update: Update,
    drive_x: Sequence[Array],
    drive_h: Sequence[Array],
    state: Sequence[Array],
    units: Sequence[Array] = (),
) -> Partials:
    """Return the partials of ``update(drive_x, drive_h, state[, units])``, elementwise.

    Parameters
    ----------
    update : callable
        From the K input drives, the K recurrent drives, the blocks of the old state and, where there are any, the
        unit parameters to the blocks of the new state; written in ``autograd.numpy``, elementwise.
    drive_x, drive_h, state, units : sequence of ndarray
        Arrays of one shape.

    Returns
    -------
    Partials
        Arrays of that shape. NaN and inf of the update go through.
    """
    ones = np.broadcast_to(state[0].dtype.type(1), state[0].shape)
    return _derive(update, ones, drive_x, drive_h, state, *([units] if units else [])).map(
        lambda array: _full(array, ones.shape)
    )


def _derive(update: Update, ones: Any, *groups: Sequence[Any]) -> Partials:
    """Return the partials, of arrays or of another trace's boxes."""
    with trace_stack.new_trace() as trace:
        roots: list[list[VJPNode]] = []
        boxed = []
        for group in groups:
            nodes = [VJPNode.new_root() for _ in group]
            roots.append(nodes)
            boxed.append([new_box(value, trace, node) for value, node in zip(group, nodes, strict=True)])
        new: tuple[Any, ...] = tuple(update(*boxed))
    mine = [isbox(box) and box._trace == trace for box in new]
    ends = [box._node if own else None for box, own in zip(new, mine, strict=True)]
    value = tuple(box._value if own else box for box, own in zip(new, mine, strict=True))
    cuts = [end if end is not None and end.parents else None for end in ends]  # a block passed through is no link
    pulls = [_pull(end, cuts, ones) for end in ends]

    def gather(targets: Sequence[VJPNode | None]) -> tuple[Row, ...]:
        return tuple(tuple(None if node is None else pull.get(node) for node in targets) for pull in pulls)

    chain = gather(cuts)  # no block reaches itself
    drive_x, drive_h, state, *units = (gather(nodes) for nodes in roots)
    return Partials(value, drive_x, drive_h, state, chain, _order(chain), units[0] if units else ((),) * len(new))


def _pull(end: VJPNode | None, ends: Sequence[VJPNode | None], ones: Any) -> dict[VJPNode, Any]:
    """Pull ones back from ``end`` to the roots, stopping at the other ``ends``."""
    reached: dict[VJPNode, Any] = {}
    if end is None:
        return reached
    pending: dict[VJPNode, Any] = {end: (ones, False)}
    for node in toposort(end):
        if node not in pending:
            continue  # reached only through a block of the chain
        cotangent = pending.pop(node)[0]
        if not node.parents or (node is not end and any(node is other for other in ends)):
            reached[node] = cotangent
            continue
        for parent, share in zip(node.parents, node.vjp(cotangent), strict=True):
            pending[parent] = add_outgrads(pending.get(parent), share)
    return reached


def _order(chain: tuple[Row, ...]) -> tuple[int, ...]:
    """Return the blocks, each before those that it is made from."""
    made_from = {i: {j for j, array in enumerate(row) if array is not None} for i, row in enumerate(chain)}
    order: list[int] = []
    while made_from:
        needed = set().union(*made_from.values())
        free = sorted(set(made_from) - needed)
        order += free
        for i in free:
            del made_from[i]
    return tuple(order)


def differentiator(
    update: Update, gates: int, blocks: int, units: int, size: int, dtype: np.dtype
) -> Callable[..., Partials]:
    """Return :func:`differentiate` for one update, recorded once and replayed from then on.

    An update that cannot be recorded (:func:`gradscope.program.replayed`) is traced anew each time.

    Parameters
    ----------
    update : callable
    gates, blocks, units, size : int
        K, the number of blocks of the state, that of the unit parameters, and H.
    dtype : dtype

    Returns
    -------
    callable
        From drive_x, drive_h, state and units, arrays (n, H, B), to :class:`Partials`.
    """
    layout: list[Partials] = []

    def flat(ones: Any, *arrays: Any) -> list[Any]:
        """Derive, in a row: each array once, its places kept in ``layout``."""
        found: list[Any] = []

        def place(array: Any) -> int:
            found.append(array)
            return len(found) - 1

        drives, rest = arrays[: 2 * gates], arrays[2 * gates :]
        groups = drives[:gates], drives[gates:], rest[:blocks], rest[blocks:]
        layout[:] = [_derive(update, ones, *groups).map(place)]
        return found

    def samples(steps: int, batch: int) -> list[Array]:
        shape = (2 * gates + blocks + units, steps, size, batch)
        return [np.ones(shape[1:], dtype), *np.random.default_rng(0).standard_normal(shape).astype(dtype)]

    derive = replayed(flat, samples(2, 2), samples(3, 5), ones=0)

    def differentiated(
        drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array], units: Sequence[Array] = ()
    ) -> Partials:
        ones = np.broadcast_to(dtype.type(1), state[0].shape)
        found = derive(ones, *drive_x, *drive_h, *state, *units)
        return layout[0].map(lambda place: _full(found[place], ones.shape))

    return differentiated


def _full(array: Any, shape: tuple[int, ...]) -> Array:
    """Return the array in its full shape."""
    return array if np.shape(array) == shape else np.broadcast_to(array, shape)
