"""Cells that a user might write, each with the same equations once more as a plain function of the whole state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import autograd.numpy as anp
import numpy as np

from gradscope.activations import sigmoid, tanh
from gradscope.cells import Cell, Gate

Array = Any


def plain_drives(params: dict, x: Array, h: Array) -> tuple[list[Array], list[Array]]:
    """Return the two drives of one sequence, gate by gate."""
    size = params["W_h"].shape[1]
    a, u = anp.dot(params["W_x"], x) + params["b"], anp.dot(params["W_h"], h) + params["b_h"]
    count = len(params["b"]) // size
    return tuple([part[k * size : (k + 1) * size] for k in range(count)] for part in (a, u))


@dataclass(frozen=True)
class Coupled(Cell):
    """A minimal gated unit of the elementwise kind: the share written is what is not kept."""

    gate_names: ClassVar[tuple[str, ...]] = ("forget", "candidate")
    keep_gate: ClassVar[str | None] = "forget"

    def gates(self, params, drive_x, drive_h, state):
        f = drive_x[0] + drive_h[0]
        keep = sigmoid(f)
        n = drive_x[1] + keep * drive_h[1]
        return {"forget": Gate(f, keep), "candidate": Gate(n, tanh(n))}

    def update(self, params, drive_x, drive_h, state):
        gate = self.gates(params, drive_x, drive_h, state)
        f = gate["forget"].value
        return (f * state[0] + (1.0 - f) * gate["candidate"].value,)

    @staticmethod
    def plain(params, x, state):
        a, u = plain_drives(params, x, state)
        f = 1 / (1 + anp.exp(-a[0] - u[0]))
        return f * state + (1 - f) * anp.tanh(a[1] + f * u[1])


@dataclass(frozen=True)
class Memory(Cell):
    """A block that is never written, and one that the hidden state reads."""

    gate_names: ClassVar[tuple[str, ...]] = ("hidden",)
    blocks: ClassVar[tuple[str, ...]] = ("h", "rom")

    def gates(self, params, drive_x, drive_h, state):
        n = drive_x[0] + drive_h[0] * state[1]
        return {"hidden": Gate(n, tanh(n))}

    def update(self, params, drive_x, drive_h, state):
        return self.gates(params, drive_x, drive_h, state)["hidden"].value, state[1]

    @staticmethod
    def plain(params, x, state):
        size = params["W_h"].shape[1]
        a, u = plain_drives(params, x, state[:size])
        return anp.concatenate([anp.tanh(a[0] + u[0] * state[size:]), state[size:]])


@dataclass(frozen=True)
class Trace(Cell):
    """The chain the other way: a trace made from the new hidden state."""

    gate_names: ClassVar[tuple[str, ...]] = ("hidden",)
    blocks: ClassVar[tuple[str, ...]] = ("h", "trace")

    def gates(self, params, drive_x, drive_h, state):
        n = drive_x[0] + drive_h[0] + 0.3 * state[1]
        return {"hidden": Gate(n, tanh(n))}

    def update(self, params, drive_x, drive_h, state):
        h = self.gates(params, drive_x, drive_h, state)["hidden"].value
        return h, 0.8 * state[1] + h * h

    @staticmethod
    def plain(params, x, state):
        size = params["W_h"].shape[1]
        a, u = plain_drives(params, x, state[:size])
        h = anp.tanh(a[0] + u[0] + 0.3 * state[size:])
        return anp.concatenate([h, 0.8 * state[size:] + h * h])


@dataclass(frozen=True)
class Tower(Cell):
    """Three blocks in a chain with a short cut, products of drives, and both drives apart."""

    gate_names: ClassVar[tuple[str, ...]] = ("one", "two")
    blocks: ClassVar[tuple[str, ...]] = ("h", "m", "c")

    def gates(self, params, drive_x, drive_h, state):
        return {name: Gate(x + h, sigmoid(x + h)) for name, x, h in zip(self.gate_names, drive_x, drive_h, strict=True)}

    def update(self, params, drive_x, drive_h, state):
        c = 0.9 * state[2] + tanh(drive_x[0]) * drive_h[0]
        m = sigmoid(drive_x[1] * drive_h[1]) * state[1] + tanh(c)
        return anp.sin(m + c) * state[0], m, c

    @staticmethod
    def plain(params, x, state):
        size = params["W_h"].shape[1]
        a, u = plain_drives(params, x, state[:size])
        c = 0.9 * state[2 * size :] + anp.tanh(a[0]) * u[0]
        m = 1 / (1 + anp.exp(-a[1] * u[1])) * state[size : 2 * size] + anp.tanh(c)
        return anp.concatenate([anp.sin(m + c) * state[:size], m, c])


@dataclass(frozen=True)
class SelfLoop(Cell):
    """An update that reads a parameter, which so reaches the new state past the drives."""

    gate_names: ClassVar[tuple[str, ...]] = ("hidden",)

    def gates(self, params, drive_x, drive_h, state):
        n = drive_x[0] + drive_h[0] + params["b"][:, None] * state[0]
        return {"hidden": Gate(n, tanh(n))}

    def update(self, params, drive_x, drive_h, state):
        return (self.gates(params, drive_x, drive_h, state)["hidden"].value,)

    @staticmethod
    def plain(params, x, state):
        a, u = plain_drives(params, x, state)
        return anp.tanh(a[0] + u[0] + params["b"] * state)


@dataclass(frozen=True)
class Centred(Cell):
    """Not elementwise: each unit hears the mean over all of them."""

    gate_names: ClassVar[tuple[str, ...]] = ("hidden",)

    def update(self, params, drive_x, drive_h, state):
        return (tanh(drive_x[0] + drive_h[0] - anp.mean(drive_h[0], axis=-2, keepdims=True)),)


@dataclass(frozen=True)
class Hinge(Cell):
    """A branch that looks at values, and a constant for each of two units."""

    gate_names: ClassVar[tuple[str, ...]] = ("hidden",)

    def update(self, params, drive_x, drive_h, state):
        n = drive_x[0] + drive_h[0]
        if np.all(n > 2.0):
            return (0.5 * n,)
        return (anp.tanh(n) * np.array([[1.0], [2.0]]),)


WRITTEN = (Coupled, Memory, Trace, Tower, SelfLoop)
