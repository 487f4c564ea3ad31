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
from gradscope.flow import Flow, flow
from gradscope.gates import GateStatistics, Retention, gate_statistics, retention
from gradscope.gradients import GradientNorms, gradient_norms
from gradscope.probes.catalogue import CATALOGUE, NEEDS
from gradscope.record import Field, Status, log10_status, plain_status
from gradscope.spectra import BURN_IN, TANGENT_BURN_IN, LyapunovSpectrum, lyapunov_spectrum
from gradscope.trajectory import Trajectory
from gradscope.transport import HEARD, Transport, transport
from gradscope.verdict import Decay, decay, horizon, verdict

__all__ = ["MEASURES", "WHOLE", "Measurement", "applies"]

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
        if self.trajectory.length <= BURN_IN + TANGENT_BURN_IN:
            return None
        return lyapunov_spectrum(self.linearization)

    @cached_property
    def decay(self) -> Decay:
        """How fast transport falls."""
        return decay(self.transport.rms)


def applies(name: str, trajectory: Any) -> bool:
    """Return whether the cell has what a probe needs."""
    cell = trajectory.cell
    if not isinstance(cell, Cell):
        return name in WHOLE and name in MEASURES
    met = {"": True, "gates": cell.keeps, "cell_state": "c" in cell.blocks, "blocks": len(cell.blocks) > 1}
    if not met[CATALOGUE[name].needs] or name not in MEASURES:
        return False
    return name not in (*FLOWS, "write_survival") or cell.keeps


def _field(name: str, values: Array, part: str = "", coords: dict[str, list] | None = None) -> Field:
    """Return a field of plain numbers with axes and unit from the catalogue and a status from its values."""
    unit = "fraction" if part == "histogram" else CATALOGUE[name].unit
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


def _unbounded(field: Field, bounded: list[bool]) -> Field:
    """Return a field with the gates whose activation has no limits marked as not applicable."""
    if all(bounded):
        return field
    status = field.statuses().copy()
    status[~np.array(bounded)] = Status.NOT_APPLICABLE
    return Field(field.name, field.values, field.axes, field.unit, field.coords, status)


def _jacobian_norm(m: Measurement) -> Iterator[Field]:
    yield _field("jacobian_norm", m.linearization.norm("spectral"))


def _jacobian_rms(m: Measurement) -> Iterator[Field]:
    yield _field("jacobian_rms", m.linearization.norm("frobenius") / np.sqrt(m.linearization.state_size))


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
    yield _logs(m, "cell_gradient", m.gradients.heard[m.trajectory.cell.blocks.index("c")])


def _transport(m: Measurement) -> Iterator[Field]:
    yield _logs(m, "transport", m.transport.rms)


def _transport_blocks(m: Measurement) -> Iterator[Field]:
    names = m.trajectory.cell.blocks
    values = m.transport.blocks.reshape(-1, *m.transport.blocks.shape[2:])
    yield _logs(m, "transport_blocks", values, coords={"block": [f"{to}-{of}" for to in names for of in names]})


def _lyapunov_spectrum(m: Measurement) -> Iterator[Field]:
    if m.lyapunov is not None:
        yield _field("lyapunov_spectrum", m.lyapunov.exponents)
        yield _field("lyapunov_spectrum", m.lyapunov.error, "error")
        return
    unknown = np.full(m.linearization.state_size, np.nan)
    status = np.full(unknown.shape, Status.NOT_COMPUTED, np.uint8)
    for name in ("lyapunov_spectrum", "lyapunov_spectrum.error"):
        yield Field(name, unknown, ("rank",), CATALOGUE["lyapunov_spectrum"].unit, {}, status)


MEASURES: dict[str, Callable[[Measurement], Iterator[Field]]] = {
    "jacobian_norm": _jacobian_norm,
    "jacobian_rms": _jacobian_rms,
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
    "cell_gradient": _cell_gradient,
    "transport": _transport,
    "transport_blocks": _transport_blocks,
    "lyapunov_spectrum": _lyapunov_spectrum,
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
            f"Of the whole network there are {', '.join(probe for probe in WHOLE if probe in MEASURES)}."
        )
    instead = {"cell_state": "state_gradient", "gates": "slope_rms", "blocks": "jacobian_rms"}[CATALOGUE[name].needs]
    raise ArgumentError(f"`{name}` needs {NEEDS[CATALOGUE[name].needs]}, got {cell}. Use `{instead}` for this cell.")


def summarize(m: Measurement, fields: dict[str, Field]) -> dict[str, Any]:
    """Return the numbers that stand for the whole record."""
    bad = first_bad_step(m, fields)
    summary: dict[str, Any] = {}
    if "transport" in fields or "transport_blocks" in fields:
        fall = m.decay
        judged = verdict(fall, bad)
        reach, censored = horizon(m.transport.rms, m.transport.rms >= np.log10(HEARD))
        summary |= {
            "verdict": judged.name,
            "verdict_text": judged.text,
            "decay_rate": fall.rate,
            "decay_rate_interval": list(fall.interval) if fall.interval else None,
            "growth": fall.growth,
            "half_life": fall.half_life,
            "horizon": reach,
            "horizon_censored": censored,
            "horizon_best": horizon(m.transport.rms, m.transport.heard)[0],
            "zero_share": fall.zero_share,
            "bad_share": fall.bad_share,
        }
    elif bad is not None and bad["pass"] == "forward":
        judged = verdict(Decay(float("nan"), None, float(m.trajectory.length), 0.0, 0.0), bad)
        summary |= {"verdict": judged.name, "verdict_text": judged.text}
    for name in ("jacobian_norm", "jacobian_rms", "retention", "timescale", *FLOWS):
        if name in fields:
            # A timescale of inf is no accident: the gate never forgets.
            summary[name] = _over(np.median, fields[name].values if name == "timescale" else fields[name].usable())
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
    summary["first_bad_step"] = bad
    return summary


def _over(reduce: Callable[[Array], Any], values: Array) -> float:
    """Return a median or mean of the values that are no NaN, NaN if there is none."""
    good = values[~np.isnan(values)]
    return float(reduce(good)) if good.size else float("nan")


def first_bad_step(m: Measurement, fields: dict[str, Field]) -> dict[str, Any] | None:
    """Return where NaN or inf first appeared, forward in the states or else backward in the gradient."""
    states = ~np.isfinite(m.trajectory.rows).all(axis=1)
    if states.any():
        t = int(np.argmax(states.any(axis=1)))
        return _bad("forward", t, states[t], "states")
    if "state_gradient" not in fields:
        return None
    total = fields["state_gradient"].values
    gradient = np.isnan(total) | np.isposinf(total)
    if gradient.any():
        t = len(gradient) - 1 - int(np.argmax(gradient[::-1].any(axis=1)))
        return _bad("backward", t, gradient[t], "state_gradient")
    return None


def _bad(direction: str, t: int, sequences: Array, array: str) -> dict[str, Any]:
    """Return a first bad step."""
    return {"pass": direction, "iteration": None, "t": t, "sequence": int(np.argmax(sequences)), "array": array}
