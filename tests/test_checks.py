"""check_cell: nothing to say of a cell that is right, and the right words for each that is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import autograd.numpy as anp
import numpy as np
import pytest
from autograd.extend import defvjp, primitive
from written_cells import WRITTEN, Centred, Hinge, SelfLoop

import gradscope as gs
from gradscope.activations import sigmoid, tanh
from gradscope.cells import CELLS, GRU, LSTM, MGU, Cell, DenseCell, Gate, StepCell
from gradscope.checks import check_cell


@pytest.mark.parametrize("kind", CELLS.values())
def test_every_cell_of_ours_is_well(kind):
    found = check_cell(kind(2, 3))
    assert found, found
    assert str(found).startswith(f"{kind.__name__}: all well (states ")
    assert len(str(found).splitlines()) <= 2
    assert found.errors["Jacobians"] < 1e-14
    assert found.errors["gradients"] < 1e-7


@pytest.mark.parametrize("kind", WRITTEN)
def test_cells_of_ones_own_that_are_right_are_well(kind):
    found = check_cell(kind(2, 3))
    assert found, found
    assert any("`unit_params`" in note for note in found.notes) == (kind is SelfLoop)


def test_parameters_and_sizes_of_ones_own_are_taken():
    cell = LSTM(2, 6)
    assert check_cell(cell, cell.init(np.random.default_rng(3)))
    assert check_cell(StepCell.of(GRU(2, 3)))
    assert gs.check_cell is check_cell


def test_a_step_without_parameters_asks_for_them():
    found = check_cell(StepCell(2, 2, function=lambda params, x, h: anp.tanh(x + params["w"] * h)))
    assert not found
    assert "Give StepCell(..., draw=...) or your own params" in found.faults[0]


@primitive
def bent(x):
    return np.tanh(x)


defvjp(bent, lambda y, x: lambda g: g * (1.0 - y))  # wrong on purpose: 1 - y^2


@dataclass(frozen=True)
class Base(Cell):
    """A right cell; the wrong ones below differ in one thing each."""

    gate_names: ClassVar[tuple[str, ...]] = ("forget", "candidate")
    blocks: ClassVar[tuple[str, ...]] = ("h", "c")
    keep_gate: ClassVar[str | None] = "forget"

    def gates(self, params, drive_x, drive_h, state):
        return {name: self.gate(name, x + h) for name, x, h in zip(self.gate_names, drive_x, drive_h, strict=True)}

    def update(self, params, drive_x, drive_h, state):
        gate = self.gates(params, drive_x, drive_h, state)
        c = gate["forget"].value * state[1] + gate["candidate"].value
        return tanh(c), c


class WrongRule(Base):
    def update(self, params, drive_x, drive_h, state):
        gate = self.gates(params, drive_x, drive_h, state)
        c = gate["forget"].value * state[1] + gate["candidate"].value
        return bent(c), c


class WrongGate(Base):
    def gates(self, params, drive_x, drive_h, state):
        drive = drive_x[0] + drive_h[0]
        return {**Base.gates(self, params, drive_x, drive_h, state), "forget": Gate(drive, sigmoid(2.0 * drive))}


class MissingGate(Base):
    def gates(self, params, drive_x, drive_h, state):
        found = Base.gates(self, params, drive_x, drive_h, state)
        return {"forgot": found["forget"], "candidate": found["candidate"]}

    def update(self, params, drive_x, drive_h, state):
        gate = self.gates(params, drive_x, drive_h, state)
        c = gate["forgot"].value * state[1] + gate["candidate"].value
        return tanh(c), c


class WrongFlow(Base):
    def flow(self, gates, state, new):
        return {"retained": state[1], "written": gates["candidate"].value, "exposed": new[0]}


class WrongKeep(Base):
    def log_keep(self, gates):
        return 2.0 * Base.log_keep(self, gates)

    def flow(self, gates, state, new):
        kept = gates["forget"].value * state[1]
        return {"retained": kept, "written": new[1] - kept, "exposed": new[0]}


class KeepsNothing(Base):
    def update(self, params, drive_x, drive_h, state):
        gate = self.gates(params, drive_x, drive_h, state)
        c = gate["forget"].value * gate["candidate"].value
        return tanh(c), c


class Undefined(Base):
    def update(self, params, drive_x, drive_h, state):
        return anp.log(-(drive_x[0] ** 2) - 1.0), state[1]


class NoNumPy(Base):
    def update(self, params, drive_x, drive_h, state):
        return float(drive_x[0]), state[1]


class WrongName(Base):
    keep_gate: ClassVar[str | None] = "keep"


class Twice(Base):
    gate_names: ClassVar[tuple[str, ...]] = ("forget", "forget")


class NoHidden(Base):
    blocks: ClassVar[tuple[str, ...]] = ("c", "h")


@dataclass(frozen=True)
class Mixing(DenseCell):
    gate_names: ClassVar[tuple[str, ...]] = ("hidden",)

    def step(self, params, x, state):
        hidden = self.gate("hidden", self.drives(params, x, state - anp.mean(state, axis=0), slice(None)))
        return (hidden.value,), {"hidden": hidden}


@dataclass(frozen=True)
class Fixed(DenseCell):
    gate_names: ClassVar[tuple[str, ...]] = ("hidden",)

    def step(self, params, x, state):
        hidden = self.gate("hidden", self.drives(params, x, state, slice(None)) + np.ones((3, 1)))
        return (hidden.value,), {"hidden": hidden}


@dataclass(frozen=True)
class Deaf(DenseCell):
    """Takes W_h out of the trace, so that its gradient is lost."""

    gate_names: ClassVar[tuple[str, ...]] = ("hidden",)

    def step(self, params, x, state):
        weights = getattr(params["W_h"], "_value", params["W_h"])
        hidden = self.gate("hidden", anp.dot(x, params["W_x"].T) + params["b"] + anp.dot(state, weights.T))
        return (hidden.value,), {"hidden": hidden}


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (WrongRule(2, 3), r"dh'/dh: autograd's derivative and finite differences differ by .* rule written by hand"),
        (WrongRule(2, 3), r"dh'/dc: autograd's derivative"),
        (WrongGate(2, 3), r"The gate 'forget' is not sigmoid of its drive .*`self\.gate\('forget', drive\)`"),
        (MissingGate(2, 3), r"`gates` must return forget, candidate; 'forgot' is on one side only"),
        (WrongFlow(2, 3), r"`flow`: retained \+ written is not the new c"),
        (WrongKeep(2, 3), r"`log_keep` says that c is kept by another share than `flow` does"),
        (Undefined(2, 3), r"The state is not finite after 5 ordinary steps\. Look for a log"),
        (NoNumPy(2, 3), r"It stops with TypeError: .* Write it in `autograd\.numpy`"),
        (WrongName(2, 3), r"`keep_gate` must be one of forget, candidate, got 'keep'"),
        (Twice(2, 3), r"`gate_names` must name each gate once, got forget, forget"),
        (NoHidden(2, 3), r"`blocks` must begin with the hidden state 'h', got c, h"),
        (Centred(2, 3), r"Centred must define `gates`"),
        (Hinge(2, 3), r"It stops with ValueError"),
        (Mixing(2, 3), r"`step` of Mixing must keep sequences apart.* Take means and norms over the last axis only"),
        (
            Fixed(2, 3),
            r"`step` of Fixed must take any number of rows, got ValueError.* Read the number from `len\(x\)`",
        ),
        (Deaf(2, 3), r"dL/dW_h \(rows of 'hidden'\): back-propagation gives 0 along a direction.*`step` reads it"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Cell) else "",
)
def test_a_wrong_cell_is_told_what_is_wrong(cell, fault):
    found = check_cell(cell)
    assert not found
    assert any(re.search(fault, line) for line in found.faults), found
    assert str(found).startswith(f"{type(cell).__name__}: ")


def test_a_right_part_is_not_blamed():
    """The rule is wrong at the exposed state alone: nothing is said of c'."""
    assert not any(line.startswith("dc'") for line in check_cell(WrongRule(2, 3)).faults)


def test_a_keep_gate_that_keeps_nothing_is_found():
    faults = check_cell(KeepsNothing(2, 3)).faults
    assert len(faults) == 1
    assert "The keep gate 'forget' keeps nothing: the new c does not hear the old one" in faults[0]


def test_a_share_kept_the_other_way_round_is_found():
    class Turned(MGU):
        def log_keep(self, gates):
            return Cell.log_keep(self, gates)

    faults = check_cell(Turned(2, 3)).faults
    assert len(faults) == 1
    assert "`log_keep` says that h is kept by another share" in faults[0]


class Plainly(Base):
    """Without a word of its own on the flow, in which a swap would show."""

    gate_names: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    write_gate: ClassVar[str | None] = "input"

    def roles(self, gate):
        return {name: gate[name].value for name in self.gate_names}

    def update(self, params, drive_x, drive_h, state):
        part = self.roles(Base.gates(self, params, drive_x, drive_h, state))
        c = part["forget"] * state[1] + part["input"] * part["candidate"]
        return part["output"] * tanh(c), c


def swapped(one, other):
    """Return the cell with an update that takes one gate for the other."""

    class Swapped(Plainly):
        def roles(self, gate):
            found = Plainly.roles(self, gate)
            return {**found, one: found[other], other: found[one]}

    return Swapped(2, 3)


def test_a_cell_that_says_nothing_of_its_flow_is_well():
    assert check_cell(Plainly(2, 3))
    assert check_cell(StepCell.of(Plainly(2, 3)))


@pytest.mark.parametrize(
    ("one", "other", "fault"),
    [
        (
            "input",
            "forget",
            r"another share of the old one than the keep gate 'forget' says: it is input\. Look whether",
        ),
        ("output", "forget", r"the keep gate 'forget' says: it is output"),
        ("input", "output", r"what is written is multiplied by the gate 'output' instead of 'input'"),
        ("input", "output", r"h is multiplied by the gate 'input' instead of 'output'\. Look whether `gates`"),
    ],
)
def test_gates_that_the_update_swaps_are_found(one, other, fault):
    found = check_cell(swapped(one, other))
    assert any(re.search(fault, line) for line in found.faults), found
    if "keep gate" in fault:
        assert any(re.search(fault, line) for line in check_cell(StepCell.of(swapped(one, other))).faults)


def test_gates_that_take_one_anothers_rows_are_found():
    class Crossed(Plainly):
        def gates(self, params, drive_x, drive_h, state):
            found = Base.gates(self, params, drive_x, drive_h, state)
            return {**found, "input": found["output"], "output": found["input"]}

    faults = check_cell(Crossed(2, 3)).faults
    assert "The gate 'input' hears the rows of 'output', not its own. Let `gates` take the drives" in faults[0]
    assert "The gate 'output' hears the rows of 'input', not its own" in faults[1]


def test_a_keep_gate_that_the_update_makes_otherwise_is_found():
    class Sharper(Plainly):
        def update(self, params, drive_x, drive_h, state):
            part = self.roles(self.gates(params, drive_x, drive_h, state))
            c = sigmoid(2.0 * (drive_x[1] + drive_h[1])) * state[1] + part["input"] * part["candidate"]
            return part["output"] * tanh(c), c

    faults = check_cell(Sharper(2, 3)).faults
    assert len(faults) == 1
    assert "than the keep gate 'forget' says. Look whether `gates` and `update` call the same rows" in faults[0]


@pytest.mark.parametrize("cell", [LSTM, "LSTM", None])
def test_what_is_no_cell_is_refused_and_not_called_wrong(cell):
    with pytest.raises(gs.ArgumentError, match=r"`cell` must be a cell or a network, .* Build one first"):
        check_cell(cell)
