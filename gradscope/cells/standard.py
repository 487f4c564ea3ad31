"""The three cells that everybody knows, in torch's layout and order of gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gradscope.activations import activation
from gradscope.cells.cell import Array, Cell, Gate, Params

__all__ = ["GRU", "LSTM", "RNN"]


@dataclass(frozen=True)
class RNN(Cell):
    """The simple recurrent network, ``h' = phi(W_x x + W_h h + b)``.

    Its gradient over n steps is a product of n Jacobians ``diag(phi') W_h``: nothing but the
    gain and the activation decides whether it survives. Source: Elman 1990.
    """

    gate_names: ClassVar[tuple[str, ...]] = ("hidden",)

    def gates(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> dict[str, Gate]:
        """Return the one activation there is, under the name ``hidden``."""
        return {"hidden": self.gate("hidden", drive_x[0] + drive_h[0])}

    def update(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Return (h',)."""
        return (self.gates(params, drive_x, drive_h, state)["hidden"].value,)


@dataclass(frozen=True)
class LSTM(Cell):
    """Long short-term memory with a forget gate.

    ``c' = f c + i g``, ``h' = o phi(c')``; the state is (h, c), 2H wide. Rows: input, forget,
    candidate, output (torch's i, f, g, o). Source: Hochreiter & Schmidhuber 1997; Gers,
    Schmidhuber & Cummins 2000.

    Parameters
    ----------
    input_size, hidden_size, activation
        See :class:`Cell`; ``activation`` is that of the candidate *and* of phi(c).
    forget_bias : float or str
        The *whole* initial bias of the forget gate (torch adds two); or ``"chrono:T"``, which spreads the timescales
        of the units up to T steps and sets the bias of the input gate to the negative
        (:func:`gradscope.initializers.chrono`).
    """

    forget_bias: float | str = 1.0

    gate_names: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    blocks: ClassVar[tuple[str, ...]] = ("h", "c")
    keep_gate: ClassVar[str | None] = "forget"
    write_gate: ClassVar[str | None] = "input"

    def gates(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> dict[str, Gate]:
        """Return the four gates."""
        return {name: self.gate(name, x + h) for name, x, h in zip(self.gate_names, drive_x, drive_h, strict=True)}

    def update(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Return (h', c')."""
        gate = self.gates(params, drive_x, drive_h, state)
        c = gate["forget"].value * state[1] + gate["input"].value * gate["candidate"].value
        return gate["output"].value * activation(self.activation).function(c), c

    def flow(self, gates: Mapping[str, Gate], state: Sequence[Array], new: Sequence[Array]) -> dict[str, Array]:
        """Return f c, i g and o phi(c')."""
        return {
            "retained": gates["forget"].value * state[1],
            "written": gates["input"].value * gates["candidate"].value,
            "exposed": new[0],
        }


@dataclass(frozen=True)
class GRU(Cell):
    """The gated recurrent unit with the reset after the product, as torch and cuDNN have it.

    ``n = phi(x_n + r (W_n h + b_hn))``, ``h' = (1 - z) n + z h``: an update gate of 1 *keeps* the
    old state. Rows: reset, update, candidate (torch's r, z, n). Source: Cho et al. 2014, whose
    z is our z; Chung et al. 2014 has it the other way round.

    Parameters
    ----------
    input_size, hidden_size, activation
        See :class:`Cell`.
    forget_bias : float or str
        The *whole* initial bias of the update gate; above 0 the cell keeps more than it writes. Under ``"chrono:T"``
        it is ln u as for a forget gate, since our update gate keeps; Tallec & Ollivier 2018 have -ln u for theirs.
    """

    forget_bias: float | str = 0.0

    gate_names: ClassVar[tuple[str, ...]] = ("reset", "update", "candidate")
    keep_gate: ClassVar[str | None] = "update"

    def gates(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> dict[str, Gate]:
        """Return the three gates; the reset gate acts on the candidate's recurrent drive."""
        reset = self.gate("reset", drive_x[0] + drive_h[0])
        update = self.gate("update", drive_x[1] + drive_h[1])
        candidate = self.gate("candidate", drive_x[2] + reset.value * drive_h[2])
        return {"reset": reset, "update": update, "candidate": candidate}

    def update(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Return (h',)."""
        gate = self.gates(params, drive_x, drive_h, state)
        keep = gate["update"].value
        return ((1.0 - keep) * gate["candidate"].value + keep * state[0],)

    def flow(self, gates: Mapping[str, Gate], state: Sequence[Array], new: Sequence[Array]) -> dict[str, Array]:
        """Return z h, (1 - z) n and h'."""
        keep = gates["update"].value
        return {"retained": keep * state[0], "written": (1.0 - keep) * gates["candidate"].value, "exposed": new[0]}
