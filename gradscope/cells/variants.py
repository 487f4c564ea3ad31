"""Variants: cells that leave out, tie together or add to what an LSTM or an RNN has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import autograd.numpy as anp
import numpy as np

from gradscope.activations import Activation, activation, sigmoid
from gradscope.cells.cell import Array, Cell, Gate, Params

__all__ = ["IRNN", "JANET", "LSTM97", "RWA", "CoupledLSTM", "PeepholeLSTM"]


@dataclass(frozen=True)
class IRNN(Cell):
    """A plain RNN of rectified units that begins as the identity: ``h' = relu(W_x x + W_h h + b)``.

    With W_h the identity, its initializer unless another is named, every unit that is above 0 passes the gradient on
    as it is, and one that is below passes none. Source: Le, Jaitly & Hinton 2015.
    """

    activation: str = "relu"

    gate_names: ClassVar[tuple[str, ...]] = ("hidden",)
    recurrent: ClassVar[str] = "identity"

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
class LSTM97(Cell):
    """Long short-term memory as it was first: no forget gate, what is written stays.

    ``c' = c + i g``, ``h' = o phi(c')``. Along the cell state alone a gradient neither shrinks nor grows, the
    constant error carousel; on a stream without an end the cell state itself grows without bound. Rows: input,
    candidate, output. Source: Hochreiter & Schmidhuber 1997, where the candidate ranges over (-2, 2); ours is phi's.
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


@dataclass(frozen=True)
class PeepholeLSTM(Cell):
    """An LSTM whose gates see the cell state.

    ``i = sigma(... + p_input c)``, ``f = sigma(... + p_forget c)``, ``c' = f c + i g``,
    ``o = sigma(... + p_output c')``, ``h' = o phi(c')``. The cell state so reaches the next one through its own
    gates, too: the c-c block of a Jacobian is no longer the forget gate alone. Rows as in an LSTM; the peepholes
    ``p_input``, ``p_forget``, ``p_output`` (H,) are parameters of one number for each unit. Source: Gers &
    Schmidhuber 2000.

    Parameters
    ----------
    input_size, hidden_size, activation, forget_bias
        As for :class:`gradscope.cells.LSTM`.
    """

    forget_bias: float | str = 1.0

    gate_names: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    blocks: ClassVar[tuple[str, ...]] = ("h", "c")
    keep_gate: ClassVar[str | None] = "forget"
    write_gate: ClassVar[str | None] = "input"
    unit_params: ClassVar[tuple[str, ...]] = ("p_input", "p_forget", "p_output")

    def gates(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> dict[str, Gate]:
        """Return the four gates."""
        return self._gates_and_memory(params, drive_x, drive_h, state[1])[0]

    def update(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Return (h', c')."""
        gate, c = self._gates_and_memory(params, drive_x, drive_h, state[1])
        return gate["output"].value * activation(self.activation).function(c), c

    def _gates_and_memory(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], old: Array
    ) -> tuple[dict[str, Gate], Array]:
        """Return the gates and c', which the output gate sees."""
        drives = [x + h for x, h in zip(drive_x, drive_h, strict=True)]
        write = self.gate("input", drives[0] + params["p_input"] * old)
        keep = self.gate("forget", drives[1] + params["p_forget"] * old)
        new = self.gate("candidate", drives[2])
        c = keep.value * old + write.value * new.value
        show = self.gate("output", drives[3] + params["p_output"] * c)
        return {"input": write, "forget": keep, "candidate": new, "output": show}, c

    def flow(self, gates: Mapping[str, Gate], state: Sequence[Array], new: Sequence[Array]) -> dict[str, Array]:
        """Return f c, i g and o phi(c')."""
        written = gates["input"].value * gates["candidate"].value
        return {"retained": gates["forget"].value * state[1], "written": written, "exposed": new[0]}


@dataclass(frozen=True)
class CoupledLSTM(Cell):
    """An LSTM that writes what it forgets: its input gate is ``1 - f``.

    ``c' = f c + (1 - f) g``, ``h' = o phi(c')``: c is a running mean of candidates, so that it stays in their range,
    and a unit keeps long only by writing little. Rows: forget, candidate, output. Source: Greff et al. 2017, whose
    CIFG names the gate i = 1 - f.

    Parameters
    ----------
    input_size, hidden_size, activation, forget_bias
        As for :class:`gradscope.cells.LSTM`.
    """

    forget_bias: float | str = 1.0

    gate_names: ClassVar[tuple[str, ...]] = ("forget", "candidate", "output")
    blocks: ClassVar[tuple[str, ...]] = ("h", "c")
    keep_gate: ClassVar[str | None] = "forget"

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
        keep = gate["forget"].value
        c = keep * state[1] + (1.0 - keep) * gate["candidate"].value
        return gate["output"].value * activation(self.activation).function(c), c

    def flow(self, gates: Mapping[str, Gate], state: Sequence[Array], new: Sequence[Array]) -> dict[str, Array]:
        """Return f c, (1 - f) g and o phi(c')."""
        keep = gates["forget"].value
        return {"retained": keep * state[1], "written": (1.0 - keep) * gates["candidate"].value, "exposed": new[0]}


@dataclass(frozen=True)
class JANET(Cell):
    """Just another network: an LSTM reduced to its forget gate.

    ``h' = f h + (1 - sigma(s - beta)) g`` with ``f = sigma(s)``. Its state is h alone: what is kept is shown. Rows:
    forget, candidate. Source: van der Westhuizen & Lasenby 2018, who set beta to 1 and draw the forget bias by chrono.

    Parameters
    ----------
    input_size, hidden_size, activation
        See :class:`gradscope.cells.Cell`.
    forget_bias : float or str
        As for :class:`gradscope.cells.LSTM`.
    beta : float
        How much more is written than is forgotten; 0 ties the two together.
    """

    forget_bias: float | str = 1.0
    beta: float = 1.0

    gate_names: ClassVar[tuple[str, ...]] = ("forget", "candidate")
    keep_gate: ClassVar[str | None] = "forget"

    def gates(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> dict[str, Gate]:
        """Return the two gates."""
        return {name: self.gate(name, x + h) for name, x, h in zip(self.gate_names, drive_x, drive_h, strict=True)}

    def update(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Return (h',)."""
        gate = self.gates(params, drive_x, drive_h, state)
        return (gate["forget"].value * state[0] + self._written(gate),)

    def _written(self, gates: Mapping[str, Gate]) -> Array:
        """Return (1 - sigma(s - beta)) g."""
        return sigmoid(self.beta - gates["forget"].drive) * gates["candidate"].value

    def flow(self, gates: Mapping[str, Gate], state: Sequence[Array], new: Sequence[Array]) -> dict[str, Array]:
        """Return f h, what is written and h'."""
        return {"retained": gates["forget"].value * state[0], "written": self._written(gates), "exposed": new[0]}


LEAST = -40.0
"""The least attention of a step: the square of its weight is still a float32."""


@dataclass(frozen=True)
class RWA(Cell):
    """The recurrent weighted average: a hidden state made from the mean of everything so far.

    ``h' = phi(c')`` with c the mean of ``u_k phi(g_k)`` over all steps k, weighted by ``exp(a_k)``. Each past step
    reaches the mean at once, which is a shortcut for gradients, but its share falls as the weights sum up, at best
    like 1/t: a slow vanishing, and no gate that could forget. Rows: value u (of x alone: its rows of W_h are not
    read), candidate g, attention a. Source: Ostmeyer & Cowell 2017, whose numerator and denominator overflow.

    The state (h, c, w) is safe over any length: c is the mean itself, and ``w = ln(1 + sum of weights)``, so that a
    state of zeros is an empty mean. An attention below -40 counts as -40. Weights are told apart as far as the floats
    near w can be: in float32 a level of attention of 80 over 10,000 steps is at the end of that.
    """

    gate_names: ClassVar[tuple[str, ...]] = ("value", "candidate", "attention")
    blocks: ClassVar[tuple[str, ...]] = ("h", "c", "w")

    def gate_kind(self, gate: str) -> Activation:
        """Return phi for the candidate and the hidden state, the identity for value and attention."""
        return activation(self.activation if gate in ("candidate", "hidden") else "identity")

    def gates(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> dict[str, Gate]:
        """Return value and candidate of what is averaged, and the log of its weight."""
        drives = drive_x[0], drive_x[1] + drive_h[1], drive_x[2] + drive_h[2]
        return {name: self.gate(name, drive) for name, drive in zip(self.gate_names, drives, strict=True)}

    def update(
        self, params: Params, drive_x: Sequence[Array], drive_h: Sequence[Array], state: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Return (h', c', w')."""
        gate = self.gates(params, drive_x, drive_h, state)
        weight = anp.clip(gate["attention"].value, LEAST, np.inf)
        over = anp.clip(weight - state[2], 0.0, np.inf)  # what both shares are scaled by, so that none overflows
        old, new = -anp.expm1(-state[2]) * anp.exp(-over), anp.exp(weight - state[2] - over)
        c = (old * state[1] + new * gate["value"].value * gate["candidate"].value) / (old + new)
        w = anp.logaddexp(state[2], weight)
        return activation(self.activation).function(c), c, w
