"""Cells: what a recurrent network does in one step.

A cell of the factored kind is two matrix products and one elementwise update::

    drive_x = W_x x_t + b                 input drive, K gates of H units
    drive_h = W_h h_{t-1} (+ b_h)         recurrent drive
    state   = update(params, drive_x, drive_h, state)     elementwise, per unit

It says how its state is updated, in some ten lines of ``autograd.numpy``; its derivative is
autograd's business (:mod:`gradscope.partials`) and the matrix products are linear algebra
(:mod:`gradscope.linearization`). Parameters are a plain dict in torch's layout: ``W_x`` (K*H, I),
``W_h`` (K*H, H), ``b`` (K*H,) and, optionally, ``b_h`` (K*H,).
"""

from __future__ import annotations

from gradscope.cells.cell import Cell, Gate, as_floats, check_kind, split
from gradscope.cells.standard import GRU, LSTM, RNN
from gradscope.cells.stepcell import MGU, DenseCell, ResetBeforeGRU, StepCell
from gradscope.cells.variants import IRNN, JANET, LSTM97, RWA, CoupledLSTM, PeepholeLSTM
from gradscope.errors import unknown

__all__ = [
    "CELLS",
    "GRU",
    "IRNN",
    "JANET",
    "LSTM",
    "LSTM97",
    "MGU",
    "RNN",
    "RWA",
    "Cell",
    "CoupledLSTM",
    "DenseCell",
    "Gate",
    "PeepholeLSTM",
    "ResetBeforeGRU",
    "StepCell",
    "as_floats",
    "cell_class",
    "check_kind",
    "split",
]

CELLS: dict[str, type[Cell]] = {
    kind.__name__: kind
    for kind in (RNN, LSTM, GRU, LSTM97, PeepholeLSTM, CoupledLSTM, ResetBeforeGRU, MGU, JANET, IRNN, RWA)
}
"""Every cell that goes by a name, so that sweeps can ask for it."""


def cell_class(name: str) -> type[Cell]:
    """Return the class of a cell by its name, in capitals or not.

    Raises
    ------
    ArgumentError
        For a name that is not in ``CELLS``.
    """
    by_lower = {known.lower(): kind for known, kind in CELLS.items()}
    if str(name).lower() not in by_lower:
        raise unknown("cell", name, CELLS)
    return by_lower[str(name).lower()]
