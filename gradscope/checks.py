"""Checks: whether a cell of your own is what it says, by every route there is.

The factored route, autograd over the whole step and finite differences must agree on states, Jacobians and gradients;
gates, flow and retention must agree with the update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import autograd
import numpy as np

from gradscope.adjoint import backpropagate, scan
from gradscope.cells import Cell, Gate, StepCell, check_kind
from gradscope.dense import check_rows
from gradscope.errors import GradscopeError
from gradscope.linearization import linearize
from gradscope.partials import differentiate
from gradscope.products import resolve
from gradscope.program import Opened, reads_parameters
from gradscope.trajectory import Trajectory, unit_arrays, unroll

__all__ = ["CellCheck", "check_cell"]

Array = np.ndarray

SMALL = 4
LENGTH, BATCH = 5, 3
NUDGE = 1e-6
ROUTES, DIFFERENCES = 1e-9, 1e-5
"""Relative errors that are no fault: between two exact routes, and against finite differences."""
LOOK = "Look whether `gates` and {} call the same rows by the same name."


@dataclass(frozen=True)
class CellCheck:
    """What :func:`check_cell` found; true where nothing is wrong, and readable as text.

    Attributes
    ----------
    cell : str
    faults : tuple of str
        What is wrong and how to mend it, one sentence or two each.
    notes : tuple of str
        What is right and may still be worth knowing.
    errors : dict of float
        The largest relative difference between the routes, for each thing compared.
    """

    cell: str
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    errors: dict[str, float]

    def __bool__(self) -> bool:
        return not self.faults

    def __str__(self) -> str:
        agree = ", ".join(f"{name} {error:.0e}" for name, error in self.errors.items())
        head = f"{self.cell}: all well ({agree})." if self else f"{self.cell}: {len(self.faults)} wrong."
        return "\n".join([head, *(f"- {line}" for line in (*self.faults, *self.notes))])

    __repr__ = __str__


def check_cell(cell: Cell, params: Any = None, seed: int = 0) -> CellCheck:
    """Compare the routes to a cell's states, Jacobians and gradients, and say what is wrong in words.

    For a cell of the factored kind: the fast route, autograd over the whole step and finite differences. For one that
    does not factor: the last two. What the gates, the keep gate and the flow say is held against the update, and so are
    the names: a gate must hear its own rows, the keep gate must be the share of the old state that the update takes
    over, the write gate and one called "output" must be what the written part and h are multiplied by.

    It cannot see a swap that changes none of this: of two gates without such a role, such as a reset gate and a
    candidate, or of two that enter in the same way. Where the new state is no straight line in the old one, as with
    peepholes, or in a cell of one block that does not factor, the keep gate is held against ``flow`` alone.

    Parameters
    ----------
    cell : Cell
    params : dict, optional
        Where to check it. When they are left out, ``cell.init`` draws them, for a copy of the cell of at most 4 units.
    seed : int
        Of the inputs, the state and the parameters.

    Returns
    -------
    CellCheck
        Print it; in a test, ``assert check_cell(cell)``.

    Raises
    ------
    ArgumentError
        When ``cell`` is a class or no cell at all.

    Examples
    --------
    >>> from gradscope.cells import GRU
    >>> bool(check_cell(GRU(input_size=1, hidden_size=2)))
    True
    """
    check_kind(cell)
    rng = np.random.default_rng(seed)
    name, errors, faults = type(cell).__name__, dict[str, float](), list[str]()
    try:
        faults += _names(cell)
        if params is None:
            cell = cell if isinstance(cell, StepCell) else _small(cell)
            params = {key: array.astype(float) for key, array in cell.init(rng).items()}
            params = {key: array + 0.2 * rng.standard_normal(array.shape) for key, array in params.items()}
        inputs = rng.standard_normal((LENGTH, BATCH, cell.input_size))
        trajectory = unroll(cell, params, inputs, np.abs(0.5 * rng.standard_normal((BATCH, cell.state_size))))
        for part in (_sound, _gates, _states, _jacobians, _gradients, _flow, _roles):
            if not faults:  # what comes later rests on it
                faults += part(trajectory, errors, rng)
    except (GradscopeError, NotImplementedError) as error:
        faults.append(str(error))
    except Exception as error:  # noqa: BLE001 (a cell of someone else's: whatever it raises is what is wrong)
        said = f"{type(error).__name__}: {error}".rstrip(".")
        faults.append(f"It stops with {said}. Write it in `autograd.numpy`, for any shape.")
    notes = [] if faults else list(_notes(cell))
    return CellCheck(name, tuple(faults), tuple(notes), errors)


def _small(cell: Cell) -> Cell:
    """Return the cell with so few units that every derivative can be tried."""
    return replace(cell, input_size=min(SMALL, cell.input_size), hidden_size=min(SMALL, cell.hidden_size))


def _names(cell: Cell) -> Iterator[str]:
    """Find names that do not fit together."""
    if len(set(cell.gate_names)) < len(cell.gate_names):
        yield f"`gate_names` must name each gate once, got {', '.join(cell.gate_names)}."
    if cell.blocks[0] != "h":
        yield f"`blocks` must begin with the hidden state 'h', got {', '.join(cell.blocks)}."
    for role in ("keep_gate", "write_gate"):
        gate = getattr(cell, role)
        if gate is not None and gate not in cell.gate_names:
            yield f"`{role}` must be one of {', '.join(cell.gate_names)}, got {gate!r}."


def _notes(cell: Cell) -> Iterator[str]:
    """Say what is right, but slow or poor."""
    if cell.factored and reads_parameters(cell):
        yield (
            "`update` reads parameters past the drives: gradients go over autograd's tape, right and slowly. "
            "Those of one number for each unit can be declared in `unit_params`."
        )
    if not cell.keeps:
        yield "It has no keep gate: retention, timescales and flow do not apply."


def _sound(trajectory: Trajectory, errors: dict[str, float], rng: np.random.Generator) -> Iterator[str]:
    """Find states that are not finite; a step that mixes its rows is refused."""
    if not trajectory.cell.factored:
        check_rows(trajectory)
    if not np.isfinite(trajectory.states).all():
        yield f"The state is not finite after {LENGTH} ordinary steps. Look for a log, a root or a division."


def _states(trajectory: Trajectory, errors: dict[str, float], rng: np.random.Generator) -> Iterator[str]:
    """Hold the states against those of one step after another, each as a whole."""
    cell, states = trajectory.cell, trajectory.states
    errors["states"] = error = max(
        _error(_step(trajectory, t)(states[t], trajectory.inputs[t]), states[t + 1]) for t in range(LENGTH)
    )
    if error > ROUTES:
        yield f"The states of `unroll` and of single steps differ by {error:.0e}. Let {_method(cell)} keep no state."


def _gates(trajectory: Trajectory, errors: dict[str, float], rng: np.random.Generator) -> Iterator[str]:
    """Hold every gate's value against its activation of its drive."""
    cell, gates = trajectory.cell, trajectory.gates_at(slice(0, LENGTH))
    shape = (LENGTH, cell.hidden_size, BATCH)
    for name in set(cell.gate_names) ^ set(gates):
        yield f"`gates` must return {', '.join(cell.gate_names)}; {name!r} is on one side only."
    for name in [name for name in cell.gate_names if name in gates]:
        kind, gate = cell.gate_kind(name), gates[name]
        if np.shape(gate.value) != shape or np.shape(gate.drive) != shape:
            yield f"The gate {name!r} must have the shape of the drives, got {np.shape(gate.value)} for {shape}."
        elif (error := _error(kind(np.asarray(gate.drive)), gate.value)) > ROUTES:
            yield (
                f"The gate {name!r} is not {kind.name} of its drive (they differ by {error:.0e}). Make it by "
                f"`self.gate({name!r}, drive)`, or let `gate_kind` say what it is."
            )


def _jacobians(trajectory: Trajectory, errors: dict[str, float], rng: np.random.Generator) -> Iterator[str]:
    """Hold the Jacobians against the dense route and finite differences, block by block."""
    cell, linearization, blocks = trajectory.cell, linearize(trajectory), trajectory.cell.blocks
    dense = linearize(unroll(StepCell.of(cell), trajectory.params, trajectory.inputs, trajectory.states[0]))
    found = {"d{}'/d{}": linearization.jacobians(), "d{}'/dx": linearization.input_jacobians()}
    whole = {"d{}'/d{}": dense.jacobians(), "d{}'/dx": dense.input_jacobians()}
    moved = {"d{}'/d{}": _differences(trajectory, 0), "d{}'/dx": _differences(trajectory, 1)}
    for form, of in product(found, blocks):
        for by in blocks if form.count("{}") == 2 else ("",):
            part, name = _place(blocks, cell.hidden_size, of, by), form.format(of, by)
            ours, autograds, numeric = (some[form][part] for some in (found, whole, moved))
            scale = max(1.0, float(np.abs(numeric).max(initial=0.0)))
            apart, off = (np.abs(ours - other).max(initial=0.0) / scale for other in (autograds, numeric))
            errors["Jacobians"] = max(errors.get("Jacobians", 0.0), float(apart))
            errors["finite differences"] = max(errors.get("finite differences", 0.0), float(off))
            if apart > ROUTES:
                yield (
                    f"{name}: the factored route and autograd over the whole step differ by {apart:.0e}. Let "
                    "`update` be elementwise, and the same for every shape."
                )
            elif off > DIFFERENCES:
                yield (
                    f"{name}: autograd's derivative and finite differences differ by {off:.0e}. Look for a rule "
                    "written by hand, a value taken out of the trace, or a kink."
                )


def _gradients(trajectory: Trajectory, errors: dict[str, float], rng: np.random.Generator) -> Iterator[str]:
    """Hold the gradient of every parameter against finite differences, gate by gate, along random directions."""
    cell, params, inputs = trajectory.cell, trajectory.params, trajectory.inputs
    weights = rng.standard_normal(trajectory.states.shape)
    if cell.factored and reads_parameters(cell):
        found = _tape_gradients(cell, params, inputs, trajectory.states[0], weights)
    else:
        found = backpropagate(linearize(trajectory), weights).params

    def loss(changed: dict[str, Array]) -> float:
        return float((weights * unroll(cell, changed, inputs, trajectory.states[0]).states).sum())

    for name, array in params.items():
        for gate, rows in _rows(cell, array):
            way = np.zeros_like(array)
            way[rows] = rng.standard_normal(way[rows].shape)
            up, down = (loss({**params, name: array + sign * NUDGE * way}) for sign in (1.0, -1.0))
            numeric, ours = (up - down) / (2.0 * NUDGE), float((found[name] * way).sum())
            error = abs(numeric - ours) / max(1.0, abs(numeric))
            errors["gradients"] = max(errors.get("gradients", 0.0), error)
            if error > DIFFERENCES:
                yield (
                    f"dL/d{name}{gate}: back-propagation gives {ours:.6g} along a direction, finite differences "
                    f"{numeric:.6g}. Look at how {_method(cell)} reads it."
                )


def _flow(trajectory: Trajectory, errors: dict[str, float], rng: np.random.Generator) -> Iterator[str]:
    """Hold what is kept and written against the new state."""
    cell = trajectory.cell
    if not cell.keeps:
        return
    place = _memory(cell)
    gates, old = trajectory.gates_at(slice(0, LENGTH)), trajectory.blocks_at(slice(0, LENGTH))
    new = trajectory.blocks_at(slice(1, LENGTH + 1))
    flow = cell.flow(gates, old, new)
    if (error := _error(flow["retained"] + flow["written"], new[place])) > ROUTES:
        yield f"`flow`: retained + written is not the new {cell.blocks[place]} (they differ by {error:.0e})."
    kept = np.exp(cell.log_keep(gates)) * old[place]
    if (error := _error(kept, flow["retained"])) > ROUTES:
        yield (
            f"`log_keep` says that {cell.blocks[place]} is kept by another share than `flow` does (they differ by "
            f"{error:.0e}). Let both follow the update."
        )
    moved = _differences(trajectory, 0)[_place(cell.blocks, cell.hidden_size, cell.blocks[place], cell.blocks[place])]
    if not np.abs(moved).max() > 0:
        yield f"The keep gate {cell.keep_gate!r} keeps nothing: the new {cell.blocks[place]} does not hear the old one."


def _roles(trajectory: Trajectory, errors: dict[str, float], rng: np.random.Generator) -> Iterator[str]:
    """Hold the names of the gates against what the update does with their rows."""
    cell, place = trajectory.cell, _memory(trajectory.cell)
    gates = trajectory.gates_at(slice(0, LENGTH))
    if cell.factored:
        yield from _deaf(trajectory, gates)
    if cell.keeps:
        nudge = rng.standard_normal(trajectory.blocks_at(slice(0, LENGTH))[place].shape)
        taken, elsewhere = (_taken_over(trajectory, place, size * nudge) for size in (0.0, 0.5))
        straight, kept = _error(elsewhere, taken) < ROUTES, np.exp(cell.log_keep(gates))
        if straight and _error(kept, taken) > ROUTES:
            values = {name: gate.value for name, gate in gates.items()}
            near = [name for name, value in values.items() if _error(value, taken) < ROUTES]
            near += [f"1 - {name}" for name, value in values.items() if _error(1.0 - value, taken) < ROUTES]
            yield (
                f"The new {cell.blocks[place]} takes over another share of the old one than the keep gate "
                f"{cell.keep_gate!r} says{f': it is {near[0]}' if near else ''}. {LOOK.format(_method(cell))}"
            )
            return
    if not cell.factored:
        return
    roles = [(cell.write_gate, place, "what is written")] if cell.write_gate is not None and cell.keeps else []
    if "output" in gates and len(cell.blocks) > 1:
        roles.append(("output", 0, "h"))
    for role, block, of in roles:
        factors = _factors(trajectory, gates, block, of != "h")
        if factors and role not in factors:
            yield (f"{of} is multiplied by the gate {factors[0]!r} instead of {role!r}. {LOOK.format('`update`')}")


def _memory(cell: Cell) -> int:
    """Return the block that is kept: "c", or "h" where there is no "c"."""
    return cell.blocks.index("c") if "c" in cell.blocks else 0


def _parts(trajectory: Trajectory) -> tuple[Callable[..., Any], list[Any]]:
    """Return the update of a factored cell as a function of its elementwise arguments, and those along the steps."""
    cell, params, steps = trajectory.cell, trajectory.params, slice(0, LENGTH)
    state = trajectory.seen_at(steps)

    def update(drive_x: Any, drive_h: Any, state: Any, units: Any = ()) -> Any:
        return cell.update(Opened(cell.unit_params, units, params), drive_x, drive_h, state)

    units = unit_arrays(cell, params, state[0].shape)
    return update, [*trajectory.drives_at(steps), state, units]


def _deaf(trajectory: Trajectory, gates: Mapping[str, Gate]) -> Iterator[str]:
    """Find gates that do not hear their own rows, but another's."""
    cell = trajectory.cell
    _, (drive_x, drive_h, state, units) = _parts(trajectory)
    opened = Opened(cell.unit_params, units, trajectory.params)
    heard: dict[str, list[str]] = {name: [] for name in cell.gate_names}
    for k, rows in enumerate(cell.gate_names):
        moved = [x + (0.5 if n == k else 0.0) for n, x in enumerate(drive_x)]
        for name, gate in cell.gates(opened, moved, drive_h, state).items():
            if _error(gate.drive, gates[name].drive) > ROUTES:
                heard[name].append(rows)
    for name, heeded in heard.items():
        if heeded and name not in heeded:
            yield (
                f"The gate {name!r} hears the rows of {', '.join(map(repr, heeded))}, not its own. Let `gates` take "
                "the drives in the order of `gate_names`."
            )


def _taken_over(trajectory: Trajectory, place: int, nudge: Array) -> Array:
    """Return how each unit of the memory answers to itself, drives held fixed, with the old one moved: (n, H, B)."""
    if trajectory.cell.factored:
        update, (drive_x, drive_h, state, units) = _parts(trajectory)
        moved = [block + nudge if n == place else block for n, block in enumerate(state)]
        found = resolve(differentiate(update, drive_x, drive_h, moved, units), "state")[place][place]
        return np.zeros_like(nudge) if found is None else found
    size, diagonals = trajectory.cell.hidden_size, []
    rows = slice(place * size, (place + 1) * size)
    for t in range(LENGTH):
        start = trajectory.states[t].copy()
        start[:, rows] += nudge[t].T
        step = unroll(trajectory.cell, trajectory.params, trajectory.inputs[t : t + 1], start)
        diagonals.append(linearize(step).own_at(slice(0, 1), place)[0])
    return np.stack(diagonals)


def _factors(trajectory: Trajectory, gates: Mapping[str, Gate], block: int, written: bool) -> list[str]:
    """Return the sigmoid gates that a block of the new state, or what is written to it, is multiplied by."""
    cell = trajectory.cell
    update, arguments = _parts(trajectory)
    slopes = resolve(differentiate(update, *arguments), "drive_x")[block]
    whole = trajectory.blocks_at(slice(1, LENGTH + 1))[block]
    if written:
        whole = whole - np.exp(cell.log_keep(gates)) * trajectory.blocks_at(slice(0, LENGTH))[block]
    sigmoids = [
        (name, slope)
        for name, slope in zip(cell.gate_names, slopes, strict=True)
        if slope is not None and cell.gate_kind(name).name == "sigmoid"
    ]
    return [name for name, slope in sigmoids if _error(slope, whole * (1.0 - gates[name].value)) < ROUTES]


def _tape_gradients(cell: Cell, params: Any, inputs: Array, state: Array, weights: Array) -> dict[str, Array]:
    """Return the gradients of a cell whose update reads parameters."""
    return autograd.grad(lambda params: (weights * scan(cell, params, inputs, state)).sum())(dict(params))


def _step(trajectory: Trajectory, t: int) -> Callable[[Array, Array], Array]:
    """Return one step of the trajectory's cell as a function of the state (B, S) and x (B, I)."""
    cell = StepCell.of(trajectory.cell)

    def step(state: Array, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.concatenate(cell.step(trajectory.params, x, state)[0], axis=1)

    return step


def _differences(trajectory: Trajectory, of: int) -> Array:
    """Return the Jacobians of every step with respect to the state (0) or x (1) by central differences."""
    matrices = []
    for t in range(LENGTH):
        step, given = _step(trajectory, t), [trajectory.states[t].copy(), trajectory.inputs[t].copy()]
        columns = []
        for k in range(given[of].shape[1]):
            sides = []
            for sign in (1.0, -1.0):
                moved = [array.copy() for array in given]
                moved[of][:, k] += sign * NUDGE
                sides.append(step(*moved))
            columns.append((sides[0] - sides[1]) / (2.0 * NUDGE))
        matrices.append(np.stack(columns, axis=-1))
    return np.stack(matrices)


def _place(blocks: tuple[str, ...], size: int, of: str, by: str) -> tuple[Any, ...]:
    """Return where a block of the new state by one of the old, or by x, stands in a Jacobian."""
    rows, columns = (
        slice(blocks.index(name) * size, (blocks.index(name) + 1) * size) if name else slice(None) for name in (of, by)
    )
    return ..., rows, columns


def _rows(cell: Cell, array: Array) -> Iterator[tuple[str, slice]]:
    """Yield the parts of a parameter with what to call them: the rows of each gate, or the whole."""
    if cell.gate_names and len(array) == len(cell.gate_names) * cell.hidden_size:
        for k, name in enumerate(cell.gate_names):
            yield f" (rows of {name!r})", slice(k * cell.hidden_size, (k + 1) * cell.hidden_size)
    else:
        yield "", slice(None)


def _method(cell: Cell) -> str:
    """Return what the user wrote, by name."""
    return "`update`" if cell.factored else "`step`"


def _error(found: Array, wanted: Array) -> float:
    """Return the largest difference over the largest number wanted, at least 1; NaN counts as infinite."""
    error = np.abs(np.asarray(found) - wanted).max(initial=0.0) / max(1.0, float(np.abs(wanted).max(initial=0.0)))
    return float(error) if np.isfinite(error) else float("inf")
