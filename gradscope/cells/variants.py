"""Variants: cells that leave out, tie together or add to what an LSTM has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import autograd.numpy as anp

from gradscope.activations import activation
from gradscope.cells.cell import Array, Cell, Gate, Params

__all__ = ["LSTM97"]


@dataclass(frozen=True)
class LSTM97(Cell):
    """Long short-term memory as it was first: no forget gate, what is written stays.

    ``c' = c + i g``, ``h' = o phi(c')``. Along the cell state alone a gradient neither shrinks nor grows, the
    constant error carousel; on a stream without an end the cell state itself grows without bound. Rows: input,
    candidate, output. Source: Hochreiter & Schmidhuber 1997, whose g and h are our phi and range over (-2, 2) and
    (-1, 1) there.
    """

    gate_names: ClassVar[tuple[str, ...]] = ("input", "candidate", "output")
    blocks: ClassVar[tuple[str, ...]] = ("h", "c")

    @property
    def keeps(self) -> bool:
        """True: the whole cell state is kept, always."""
        return True

    def gates(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> dict[str, Gate]:
        """Return the three gates."""
        return {name: self.gate(name, x + h) for name, x, h in zip(self.gate_names, drive_x, drive_h, strict=True)}

    def update(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Return (h', c')."""
        gate = self.gates(params, drive_x, drive_h, state)
        c = state[1] + gate["input"].value * gate["candidate"].value
        return gate["output"].value * activation(self.activation).function(c), c

    def flow(self, gates: Mapping[str, Gate], state: Sequence[Array], new: Sequence[Array]) -> dict[str, Array]:
        """Return c, i g and o phi(c')."""
        written = gates["input"].value * gates["candidate"].value
        return {"retained": state[1], "written": written, "exposed": new[0]}

    def log_keep(self, gates: Mapping[str, Gate]) -> Array:
        """Return ln 1."""
        return anp.zeros_like(gates["input"].value)
