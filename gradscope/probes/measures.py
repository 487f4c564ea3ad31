"""Measures: from one trajectory to the fields of a record, one function for each probe.

Whatever several probes share (the transport, the backward pass, the gate statistics) is computed once,
when first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gradscope.cells import Cell
from gradscope.errors import ArgumentError
from gradscope.flow import Flow, flow, write_survival
from gradscope.gates import GateStatistics, Retention, gate_statistics, retention
from gradscope.gradients import WEIGHTS, GradientNorms, gradient_norms
from gradscope.logscale import log10_total
from gradscope.maps import Lags, lags_of
from gradscope.probes.catalogue import CATALOGUE, NEEDS, fits
from gradscope.record import Field, Status, log10_status, plain_status
from gradscope.routes import ROUTES, routes
from gradscope.spectra import (
    BURN_IN,
    TANGENT_BURN_IN,
    Eigenvalues,
    LyapunovSpectrum,
    TransportSpectrum,
    eigenvalues,
    jacobian_blocks,
    lyapunov_spectrum,
    transport_spectrum,
)
from gradscope.trajectory import Trajectory
from gradscope.transport import HEARD, Transport, transport, transport_map
from gradscope.verdict import Decay, decay, horizon, verdict

__all__ = ["MEASURES", "WHOLE", "Measurement", "applies", "measured"]

Array = np.ndarray
SIDES = ["left", "right"]
WHOLE = (
    "jacobian_norm",
    "jacobian_rms",
    "jacobian_eigenvalues",
    "nonnormality",
    "state_gradient",
    "direct_gradient",
    "transport",
    "transport_spectrum",
    "transport_map",
    "lyapunov_spectrum",
    "finite_time_exponents",
)
"""What is measured of the whole state of a network; the rest belongs to its layers."""
FLOWS = ("flow_retained", "flow_written", "flow_exposed")
UNBOUNDED = ("timescale", "nonnormality")
"""Where an infinity is no accident: a gate that never forgets, a map whose eigenvalues are all zero."""
INSTEAD = {
    "gates": "slope_rms",
    "cell_state": "state_gradient",
    "writes": "state_gradient",
    "blocks": "jacobian_rms",
}
"""What a cell has that lacks what a probe needs."""
PART_UNITS = {"histogram": "fraction", "sign": "1", "cosine": "1"}
"""Units of parts that are not in the unit of their probe."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """One trajectory with all that probes want to know of it.

    Attributes
    ----------
    trajectory : Trajectory, or that of a network
    linearization : Linearization, or that of a network
    direct : ndarray, (T+1, B, S)
        The direct part of the loss's gradient.
    """

    trajectory: Trajectory
    linearization: Any
    direct: Array

    @cached_property
    def transport(self) -> Transport:
        """ds_T/ds_t for every t."""
        return transport(self.linearization)

    @cached_property
    def gradients(self) -> GradientNorms:
        """The backward pass."""
        return gradient_norms(self.linearization, self.direct)

    @cached_property
    def gates(self) -> GateStatistics:
        """What the gates did."""
        return gate_statistics(self.trajectory)

    @cached_property
    def retention(self) -> Retention:
        """What the keep gate kept."""
        return retention(self.trajectory)

    @cached_property
    def flow(self) -> Flow:
        """What was retained, written and exposed."""
        return flow(self.trajectory)

    @cached_property
    def lyapunov(self) -> LyapunovSpectrum | None:
        """The Lyapunov spectrum, or None where the trajectory is too short for it."""
        if np.where(self.lags.valid, self.lags.age, -1).max() < BURN_IN + TANGENT_BURN_IN:
            return None
        return lyapunov_spectrum(self.linearization)

    @cached_property
    def spectrum(self) -> TransportSpectrum:
        """The singular values of long products."""
        return transport_spectrum(self.linearization)

    @cached_property
    def eigenvalues(self) -> Eigenvalues:
        """The eigenvalues of some Jacobians."""
        return eigenvalues(self.linearization)

    @cached_property
    def lags(self) -> Lags:
        """Which steps count, and how far back they lie."""
        return lags_of(self.linearization)

    @cached_property
    def decay(self) -> Decay:
        """How fast transport falls."""
        return decay(self.transport.rms, self.lags)


def applies(name: str, trajectory: Any) -> bool:
    """Return whether the cell has what a probe needs."""
    cell = trajectory.cell
    if not isinstance(cell, Cell):
        return name in WHOLE
    return fits(name, cell)


def _field(name: str, values: Array, part: str = "", coords: dict[str, list] | None = None) -> Field:
    """Return a field of plain numbers with axes and unit from the catalogue and a status from its values."""
    unit = PART_UNITS.get(part, CATALOGUE[name].unit)
    return _with_status(name, values, part, coords, unit, plain_status(values, unit))


def _logs(m: Measurement, name: str, values: Array, part: str = "", coords: dict[str, list] | None = None) -> Field:
    """Return a field of log10 magnitudes; what underflows is a question of the program's dtype."""
    status = log10_status(values, m.trajectory.rows.dtype)
    return _with_status(name, values, part, coords, CATALOGUE[name].unit, status)


def _with_status(
    name: str, values: Array, part: str, coords: dict[str, list] | None, unit: str, status: Array
) -> Field:
    axes = dict(CATALOGUE[name].parts)[part] if part else CATALOGUE[name].axes
    full = f"{name}.{part}" if part else name
    return Field(full, values, axes, unit, coords or {}, status if status.any() else None)


def _marked(field: Field, where: Array, status: Status, reason: str = "") -> Field:
    """Return a field with some elements marked and, where they are numbers with a fraction, made NaN."""
    if where.size and not where.any():
        return field
    values, statuses = field.values, field.statuses().copy()
    statuses[where] = status
    if values.dtype.kind in "fc":
        values = np.where(where, values.dtype.type(np.nan), values)
    return Field(field.name, values, field.axes, field.unit, field.coords, statuses, reason)


def measured(name: str, m: Measurement) -> Iterator[Field]:
    """Yield the fields of a probe; what belongs to padding is marked as masked.

    An element of one sequence is masked where that sequence has no step, one over all sequences where none has.
    """
    for field in MEASURES[name](m):
        axis = next((axis for axis in ("step", "time") if axis in field.axes), None)
        if axis is None or m.lags.valid.all():
            yield field
            continue
        here = (m.lags.valid if axis == "step" else m.lags.times)[field.coord(axis)]
        axes = {axis, "batch"} & set(field.axes)
        masked = ~here if "batch" in axes else ~here.any(axis=1)
        shape = [size if name in axes else 1 for name, size in zip(field.axes, field.values.shape, strict=True)]
        where = np.broadcast_to(masked.reshape(shape), field.values.shape)
        yield _marked(field, where & (field.statuses() < Status.NOT_APPLICABLE), Status.MASKED, field.reason)


def _unbounded(field: Field, bounded: list[bool]) -> Field:
    """Return a field with the gates whose activation has no limits marked as not applicable."""
    if all(bounded):
        return field
    where = np.zeros(field.values.shape, bool)
    where[~np.array(bounded)] = True
    return _marked(field, where, Status.NOT_APPLICABLE, "an activation without two limits has no ends to sit at")


def _jacobian_norm(m: Measurement) -> Iterator[Field]:
    yield _field("jacobian_norm", m.linearization.norm("spectral"))


def _jacobian_rms(m: Measurement) -> Iterator[Field]:
    yield _field("jacobian_rms", m.linearization.norm("frobenius") / np.sqrt(m.linearization.state_size))


def _jacobian_blocks(m: Measurement) -> Iterator[Field]:
    values = jacobian_blocks(m.linearization)
    yield _field("jacobian_blocks", values.reshape(-1, *values.shape[2:]), coords={"block": _pairs(m)})


def _jacobian_eigenvalues(m: Measurement) -> Iterator[Field]:
    yield _field("jacobian_eigenvalues", m.eigenvalues.values, coords={"step": m.eigenvalues.steps.tolist()})


def _nonnormality(m: Measurement) -> Iterator[Field]:
    found = m.eigenvalues
    kept = np.where(m.lags.valid[found.steps], found.nonnormality, np.nan)
    values = np.array([_over(np.median, row) for row in kept])
    bad = (np.isnan(found.values[:, 0]) & m.lags.valid[found.steps]).any(axis=1)
    field = _field("nonnormality", np.where(bad, np.nan, values), coords={"step": found.steps.tolist()})
    yield _marked(field, np.isnan(values) & ~bad, Status.NOT_APPLICABLE, "a Jacobian of zeros stretches nothing")


def _pairs(m: Measurement) -> list[str]:
    """Return the names of the blocks of a Jacobian, to-from."""
    names = m.trajectory.cell.blocks
    return [f"{to}-{of}" for to in names for of in names]


def _gate_activation(m: Measurement) -> Iterator[Field]:
    coords = {"gate": list(m.gates.names)}
    low, middle, high = m.gates.quantiles
    yield _field("gate_activation", middle, coords=coords)
    yield _field("gate_activation", low, "low", coords)
    yield _field("gate_activation", high, "high", coords)
    bins = m.gates.histogram.shape[1]
    centres = ((np.arange(bins) + 0.5) / bins).tolist()
    histogram = _field("gate_activation", m.gates.histogram, "histogram", {**coords, "bin": centres})
    yield _unbounded(histogram, _bounded(m, m.gates.names))


def _bounded(m: Measurement, names: tuple[str, ...]) -> list[bool]:
    """Return for each gate whether its activation has two limits."""
    return [m.trajectory.cell.gate_kind(name).bounded for name in names]


def _gate_saturation(m: Measurement) -> Iterator[Field]:
    coords = {"gate": list(m.gates.saturation_names), "side": SIDES}
    bounded = _bounded(m, m.gates.saturation_names)
    yield _unbounded(_field("gate_saturation", m.gates.saturated_steps, coords=coords), bounded)
    yield _unbounded(_field("gate_saturation", m.gates.saturated_units, "unit", coords), bounded)


def _slope_saturation(m: Measurement) -> Iterator[Field]:
    yield _field("slope_saturation", m.gates.flat, coords={"gate": list(m.gates.names)})


def _slope_rms(m: Measurement) -> Iterator[Field]:
    yield _field("slope_rms", m.gates.slope_rms, coords={"gate": list(m.gates.names)})


def _retention(m: Measurement) -> Iterator[Field]:
    yield _field("retention", m.retention.retention)


def _timescale(m: Measurement) -> Iterator[Field]:
    yield _field("timescale", m.retention.timescale)


def _flow(stream: str) -> Callable[[Measurement], Iterator[Field]]:
    def measure(m: Measurement) -> Iterator[Field]:
        yield _field(f"flow_{stream}", getattr(m.flow, stream))

    return measure


def _gradient(name: str, kind: str) -> Callable[[Measurement], Iterator[Field]]:
    def measure(m: Measurement) -> Iterator[Field]:
        yield _logs(m, name, getattr(m.gradients, kind))
        blocks = {"block": list(m.trajectory.cell.blocks)}
        yield _logs(m, name, getattr(m.gradients, f"{kind}_blocks"), "blocks", blocks)

    return measure


def _cell_gradient(m: Measurement) -> Iterator[Field]:
    field = _logs(m, "cell_gradient", m.gradients.heard[m.trajectory.cell.blocks.index("c")])
    reason = (
        "the step returns its blocks side by side in one array, where the way from the cell state to the hidden state "
        "cannot be followed"
    )
    unknown = not getattr(m.linearization, "chained", True)
    yield _marked(field, np.full(field.values.shape, unknown), Status.NOT_APPLICABLE, reason)


def _unit_gradient(m: Measurement) -> Iterator[Field]:
    blocks = {"block": list(m.trajectory.cell.blocks)}
    yield _logs(m, "unit_gradient", log10_total(m.gradients.units, 0))
    yield _logs(m, "unit_gradient", m.gradients.units, "blocks", blocks)


def _input_gradient(m: Measurement) -> Iterator[Field]:
    yield _logs(m, "input_gradient", m.gradients.inputs)


def _weight_gradient(m: Measurement) -> Iterator[Field]:
    coords = {"parameter": list(WEIGHTS), "gate": list(m.trajectory.cell.gate_names)}
    field = _logs(m, "weight_gradient", m.gradients.weights, coords=coords)
    elsewhere = not getattr(m.linearization, "laid_out", True)
    reason = f"the parameters are not {', '.join(WEIGHTS)} with a row for each gate and unit"
    yield _marked(field, np.full(field.values.shape, elsewhere), Status.NOT_APPLICABLE, reason)


def _write_survival(m: Measurement) -> Iterator[Field]:
    found = write_survival(m.trajectory)
    yield _logs(m, "write_survival", found.log10)
    yield _with_status("write_survival", found.sign, "sign", None, "1", np.zeros(found.sign.shape, np.uint8))


def _routes(m: Measurement) -> Iterator[Field]:
    found = routes(m.linearization)
    missing = m.lags.lag[0] < np.arange(m.trajectory.length + 1)[:, None]
    every = np.broadcast_to(missing, found.rms.shape)
    yield _marked(_logs(m, "routes", found.rms, coords={"route": list(ROUTES)}), every, Status.MASKED)
    alone = np.isnan(found.cosine) & ~np.isnan(found.rms[:2]).any(axis=0)
    reason = "where one of the routes is exactly zero there is no angle between them"
    cosine = _marked(_field("routes", found.cosine, "cosine"), alone, Status.NOT_APPLICABLE, reason)
    yield _marked(cosine, missing, Status.MASKED, cosine.reason)


def _transport_spectrum(m: Measurement) -> Iterator[Field]:
    found = m.spectrum
    field = _logs(m, "transport_spectrum", found.values, coords={"lag": found.lags.tolist()})
    yield _marked(field, np.broadcast_to(found.missing[:, None], found.values.shape), Status.MASKED)


def _transport_map(m: Measurement) -> Iterator[Field]:
    found = transport_map(m.linearization)
    field = _logs(m, "transport_map", found.rms, coords={"time": found.times.tolist(), "lag": found.lags.tolist()})
    field = _marked(field, found.masked, Status.MASKED)
    yield _marked(field, found.beyond, Status.NOT_APPLICABLE, "there is no state past the end")


def _finite_time_exponents(m: Measurement) -> Iterator[Field]:
    values = m.spectrum.exponents
    missing = np.broadcast_to(m.lags.longest == 0, values.shape)
    yield _marked(_field("finite_time_exponents", values), missing, Status.MASKED)


def _transport(m: Measurement) -> Iterator[Field]:
    yield _logs(m, "transport", m.transport.rms)


def _transport_blocks(m: Measurement) -> Iterator[Field]:
    values = m.transport.blocks.reshape(-1, *m.transport.blocks.shape[2:])
    yield _logs(m, "transport_blocks", values, coords={"block": _pairs(m)})


def _lyapunov_spectrum(m: Measurement) -> Iterator[Field]:
    if m.lyapunov is not None:
        yield _field("lyapunov_spectrum", m.lyapunov.exponents)
        yield _field("lyapunov_spectrum", m.lyapunov.error, "error")
        return
    unknown = np.full(m.linearization.state_size, np.nan)
    needed = BURN_IN + TANGENT_BURN_IN
    reason = f"it needs more than {needed} steps without a reset, and the longest sequence has {m.lags.longest.max()}"
    for part in ("", "error"):
        field = _field("lyapunov_spectrum", unknown, part)
        yield _marked(field, np.isnan(unknown), Status.NOT_COMPUTED, reason)


MEASURES: dict[str, Callable[[Measurement], Iterator[Field]]] = {
    "jacobian_norm": _jacobian_norm,
    "jacobian_rms": _jacobian_rms,
    "jacobian_blocks": _jacobian_blocks,
    "jacobian_eigenvalues": _jacobian_eigenvalues,
    "nonnormality": _nonnormality,
    "gate_activation": _gate_activation,
    "gate_saturation": _gate_saturation,
    "slope_saturation": _slope_saturation,
    "slope_rms": _slope_rms,
    "retention": _retention,
    "timescale": _timescale,
    "flow_retained": _flow("retained"),
    "flow_written": _flow("written"),
    "flow_exposed": _flow("exposed"),
    "state_gradient": _gradient("state_gradient", "total"),
    "direct_gradient": _gradient("direct_gradient", "direct"),
    "write_survival": _write_survival,
    "cell_gradient": _cell_gradient,
    "unit_gradient": _unit_gradient,
    "input_gradient": _input_gradient,
    "weight_gradient": _weight_gradient,
    "transport": _transport,
    "transport_blocks": _transport_blocks,
    "transport_spectrum": _transport_spectrum,
    "transport_map": _transport_map,
    "routes": _routes,
    "lyapunov_spectrum": _lyapunov_spectrum,
    "finite_time_exponents": _finite_time_exponents,
}


def require(name: str, trajectory: Any) -> None:
    """Refuse a probe that was asked for by name and that the cell cannot have.

    Raises
    ------
    ArgumentError
        With the probes that the cell does have.
    """
    if applies(name, trajectory):
        return
    cell = type(trajectory.cell).__name__
    if not isinstance(trajectory.cell, Cell):
        needs = NEEDS[CATALOGUE[name].needs] if CATALOGUE[name].needs else "a single cell"
        raise ArgumentError(
            f"`{name}` needs {needs}, and no layer of this {cell} has it. "
            f"Of the whole network there are {', '.join(WHOLE)}."
        )
    needs = CATALOGUE[name].needs
    raise ArgumentError(f"`{name}` needs {NEEDS[needs]}, got {cell}. Use `{INSTEAD[needs]}` for this cell.")


def summarize(m: Measurement, fields: dict[str, Field]) -> dict[str, Any]:
    """Return the numbers that stand for the whole record."""
    bad = first_bad_step(m, fields)
    summary: dict[str, Any] = {}
    if "transport" in fields or "transport_blocks" in fields:
        fall = m.decay
        judged = verdict(fall, bad)
        reach, censored = horizon(m.transport.rms, m.transport.rms >= np.log10(HEARD), m.lags)
        summary |= {
            "verdict": judged.name,
            "verdict_text": judged.text,
            "decay_rate": fall.rate,
            "decay_rate_interval": list(fall.interval) if fall.interval else None,
            "growth": fall.growth,
            "half_life": fall.half_life,
            "horizon": reach,
            "horizon_censored": censored,
            "horizon_best": horizon(m.transport.rms, m.transport.heard, m.lags)[0],
            "zero_share": fall.zero_share,
            "bad_share": fall.bad_share,
        }
    elif bad is not None and bad["pass"] == "forward":
        judged = verdict(Decay(float("nan"), None, float(np.median(m.lags.longest)), 0.0, 0.0), bad)
        summary |= {"verdict": judged.name, "verdict_text": judged.text}
    for name in ("jacobian_norm", "jacobian_rms", "nonnormality", "retention", "timescale", *FLOWS):
        if name in fields:
            summary[name] = _over(np.median, fields[name].values if name in UNBOUNDED else fields[name].usable())
    for name in ("slope_saturation", "slope_rms"):
        if name in fields:
            for gate, row in zip(fields[name].coord("gate"), fields[name].usable(), strict=True):
                summary[f"{gate}_{name}"] = _over(np.mean, row)
    if "gate_saturation" in fields:
        entry = fields["gate_saturation"]
        for gate, sides in zip(entry.coord("gate"), entry.usable(), strict=True):
            for side, row in zip(SIDES, sides, strict=True):
                summary[f"{gate}_saturation_{side}"] = _over(np.mean, row)
    if "lyapunov_spectrum" in fields and m.lyapunov is not None:
        summary["lyapunov_1"] = float(m.lyapunov.exponents[0])
        error = 1.96 * float(m.lyapunov.error[0])
        summary["lyapunov_1_interval"] = [summary["lyapunov_1"] - error, summary["lyapunov_1"] + error]
        summary["kaplan_yorke_dimension"] = m.lyapunov.kaplan_yorke_dimension
        summary["entropy"] = m.lyapunov.entropy
    if "finite_time_exponents" in fields:
        # -inf is no accident: in such a sequence nothing arrives.
        summary["finite_time_1"] = _over(np.median, fields["finite_time_exponents"].values[0])
    if not m.lags.valid.all():
        summary["masked_share"] = m.lags.masked_share
    summary["first_bad_step"] = bad
    return summary


def _over(reduce: Callable[[Array], Any], values: Array) -> float:
    """Return a median or mean of the values that are no NaN, NaN if there is none."""
    good = values[~np.isnan(values)]
    return float(reduce(good)) if good.size else float("nan")


def first_bad_step(m: Measurement, fields: dict[str, Field]) -> dict[str, Any] | None:
    """Return where NaN or inf first appeared, forward in the states or else backward in the gradient.

    Where the step that led to the state had read NaN or inf, its ``array`` is ``"inputs"``.
    """
    states = ~np.isfinite(m.trajectory.rows).all(axis=1) & m.lags.times & m.lags.valid.any(axis=0)
    if states.any():
        t = int(np.argmax(states.any(axis=1)))
        return _bad("forward", t, states[t], "inputs" if _read_bad(m, t, int(np.argmax(states[t]))) else "states")
    if "state_gradient" not in fields:
        return None
    gradient = np.isin(fields["state_gradient"].statuses(), (Status.NAN, Status.INF))
    if gradient.any():
        t = len(gradient) - 1 - int(np.argmax(gradient[::-1].any(axis=1)))
        return _bad("backward", t, gradient[t], "state_gradient")
    return None


def _read_bad(m: Measurement, t: int, sequence: int) -> bool:
    """Say whether the step that led to the state at a time had read NaN or inf."""
    inputs = m.trajectory.inputs
    return isinstance(inputs, np.ndarray) and 0 < t <= len(inputs) and not np.isfinite(inputs[t - 1, sequence]).all()


def _bad(direction: str, t: int, sequences: Array, array: str) -> dict[str, Any]:
    """Return a first bad step."""
    return {"pass": direction, "iteration": None, "t": t, "sequence": int(np.argmax(sequences)), "array": array}
