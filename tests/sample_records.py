"""Made-up records for the tests of figures, store and dashboard: one for each case that must be told apart.

Every function of :data:`CASES` returns a new :class:`~gradscope.record.Record`, the same one each time. The gates
follow a slow random process, the cell state obeys its recurrence exactly, and the norms and gradients have the
shapes of real ones; nothing here is measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradscope.record import Field, Record, Status

GATES = {
    "RNN": ("hidden",),
    "LSTM": ("input", "forget", "candidate", "output", "hidden"),
    "GRU": ("reset", "update", "candidate", "hidden"),
}
KEEP = {"LSTM": "forget", "GRU": "update"}
SMALL = {"length": 30, "batch": 5, "hidden": 6}
TINY = {"float64": -307.7, "float32": -37.9}  # log10 of the smallest normal number


def sample(
    cell: str = "LSTM",
    length: int = 120,
    batch: int = 16,
    hidden: int = 32,
    rate: float = 0.03,
    keep_bias: float = 1.0,
    activation: str = "tanh",
    seed: int = 0,
) -> Record:
    """Return a record of a well-behaved network whose transport falls by ``rate`` nat a step."""
    rng = np.random.default_rng(seed)
    gates = _gates(rng, cell, length, batch, hidden, keep_bias, activation)
    record = Record(config=_config(cell, length, batch, hidden, keep_bias, activation))
    _add_gates(record, gates, activation)
    if cell in KEEP:
        _add_memory(record, gates, cell)
    _add_norms(record, rng, length, batch, rate)
    _add_gradients(record, rng, cell, length, batch, rate)
    _add_spectrum(record, rng, hidden * (2 if cell == "LSTM" else 1), rate)
    _add_depth(record, np.random.default_rng(seed + 1000), gates, cell, rate)
    _summarize(record, rate, length)
    return record


def one_array(name: str, values: object, found: object = None, *, axes: tuple[str, ...], unit: str = "log10") -> Record:
    """Return a record of one array over the times of a run, with the status of each element where some are given."""
    values = np.asarray(values, float)
    entry = Field(name, values, axes, unit, {}, None if found is None else np.asarray(found, np.uint8))
    return Record({name: entry}, {}, {"length": len(values) - 1, "dtype": "float64"})


def _process(rng: np.random.Generator, *shape: int, memory: float = 0.9) -> np.ndarray:
    """Return a stationary AR(1) process along the first axis, of variance 1."""
    noise = rng.standard_normal(shape)
    out = np.empty(shape)
    out[0] = noise[0]
    for t in range(1, shape[0]):
        out[t] = memory * out[t - 1] + np.sqrt(1 - memory**2) * noise[t]
    return out


def _gates(rng, cell, length, batch, hidden, keep_bias, activation) -> dict[str, np.ndarray]:
    """Return each gate's activations, (T, B, H)."""
    squash = {"tanh": np.tanh, "softsign": lambda x: x / (1 + abs(x)), "relu": lambda x: np.maximum(x, 0)}[activation]
    gates = {}
    for name in GATES[cell]:
        unit = 1.5 * rng.standard_normal(hidden)
        drive = unit + 0.8 * _process(rng, length, batch, hidden) + 0.8 * _process(rng, length, 1, hidden, memory=0.97)
        bounded = name in ("candidate", "hidden")
        gates[name] = squash(drive) if bounded else 1 / (1 + np.exp(-drive - keep_bias * (name == KEEP.get(cell))))
    return gates


def _add(record: Record, name: str, values: np.ndarray, axes: tuple[str, ...], unit: str, **coords: list) -> None:
    """Add one array, with the statuses that its values imply."""
    values = np.asarray(values, float)
    status = np.zeros(values.shape, np.uint8)
    status[np.isnan(values)] = Status.NAN
    status[np.isposinf(values)] = Status.INF
    if unit == "log10":
        status[values < TINY["float64"]] = Status.UNDERFLOW
        status[np.isneginf(values)] = Status.ZERO
    record.fields[name] = Field(name, values, axes, unit, coords, status if status.any() else None)


def _add_gates(record: Record, gates: dict[str, np.ndarray], activation: str) -> None:
    """Add what is measured on each gate alone; the hidden state of a gated cell counts in its saturation only."""
    names = list(gates)
    values = np.stack(list(gates.values()))  # (K, T, B, H)
    signed = np.array([name in ("candidate", "hidden") for name in names])[:, None, None, None]
    share = np.where(signed, (values + 1) / 2, values)
    sides = np.stack([share < 0.1, share > 0.9], axis=1)  # (K, side, T, B, H)
    labels = {"gate": names, "side": ["left", "right"]}
    _add(record, "gate_saturation", sides.mean((3, 4)), ("gate", "side", "step"), "fraction", **labels)
    _add(record, "gate_saturation.unit", sides.mean((2, 3)), ("gate", "side", "unit"), "fraction", **labels)
    if activation == "relu":
        _not_applicable(record, [k for k, name in enumerate(names) if name in ("candidate", "hidden")])
    count = max(1, len(names) - 1)
    names, values, share, signed = names[:count], values[:count], share[:count], signed[:count]
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95], axis=2)
    for part, array in (("", median), (".low", low), (".high", high)):
        _add(record, f"gate_activation{part}", array, ("gate", "step", "unit"), "1", gate=names)
    edges = np.linspace(0, 1, 51)
    shares = np.stack([np.histogram(np.clip(s, 0, 1), edges)[0] / s.size for s in share])
    centres = ((edges[1:] + edges[:-1]) / 2).tolist()
    _add(record, "gate_activation.histogram", shares, ("gate", "bin"), "fraction", bin=centres, gate=names)
    inner = {"tanh": 1 - values**2, "softsign": (1 - abs(values)) ** 2, "relu": (values > 0).astype(float)}[activation]
    slope = np.where(signed, inner, values * (1 - values))
    flat = slope < 0.01 * np.where(signed, 1, 0.25)
    _add(record, "slope_saturation", flat.mean((2, 3)), ("gate", "step"), "fraction", gate=names)
    _add(record, "slope_rms", np.sqrt((slope**2).mean((2, 3))), ("gate", "step"), "1", gate=names)


def _not_applicable(record: Record, gates: list[int]) -> None:
    """Mark the saturation of unbounded activations."""
    for name in ("gate_saturation", "gate_saturation.unit"):
        entry = record.fields[name]
        values, status = entry.values.copy(), entry.statuses().copy()
        values[gates], status[gates] = np.nan, Status.NOT_APPLICABLE
        reason = "its activation is unbounded"
        record.fields[name] = Field(name, values, entry.axes, entry.unit, entry.coords, status, reason)


def _add_memory(record: Record, gates: dict[str, np.ndarray], cell: str) -> None:
    """Add what the keep gate does: retention, timescale and the three flows."""
    keep = gates[KEEP[cell]]
    write = (gates["input"] if cell == "LSTM" else 1 - keep) * gates["candidate"]
    state, retained = np.zeros_like(keep[0]), np.empty_like(keep)
    carried = np.empty_like(keep)
    for t in range(len(keep)):
        retained[t] = keep[t] * state
        carried[t] = state = retained[t] + write[t]
    exposed = gates["output"] * np.tanh(carried) if cell == "LSTM" else carried
    _add(record, "retention", keep.mean(2), ("step", "batch"), "1")
    _add(record, "timescale", -1 / np.log(keep).mean((0, 1)), ("unit",), "step")
    for name, flow in (("retained", retained), ("written", write), ("exposed", exposed)):
        _add(record, f"flow_{name}", np.sqrt((flow**2).mean(2)), ("step", "batch"), "1")


def _add_norms(record: Record, rng: np.random.Generator, length: int, batch: int, rate: float) -> None:
    """Add the norms of the step Jacobians."""
    wobble = 0.08 * _process(rng, length, batch) + 0.05 * _process(rng, length, 1)
    rms = np.exp(-rate + wobble)
    _add(record, "jacobian_rms", rms, ("step", "batch"), "1")
    _add(record, "jacobian_norm", rms * np.exp(0.45 + 0.1 * _process(rng, length, batch)), ("step", "batch"), "1")


def _add_gradients(record, rng, cell, length, batch, rate) -> None:
    """Add transport and the gradients of a loss on the last step."""
    lag = np.arange(length, -1, -1)[:, None]
    slopes = rate * (1 + 0.08 * rng.standard_normal(batch)) / np.log(10)
    ripple = 0.15 * _process(rng, length + 1, batch) * np.minimum(1, lag / 10)
    transport = -slopes * lag + ripple
    axes = ("time", "batch")
    _add(record, "transport", transport, axes, "log10")
    scale = rng.normal(-1.3, 0.15, batch)
    total = transport + scale + 0.05 * rng.standard_normal(transport.shape)
    direct = np.full(transport.shape, -np.inf)
    direct[-1] = total[-1]
    _add(record, "state_gradient", total, axes, "log10")
    _add(record, "direct_gradient", direct, axes, "log10")
    parts = {"h": -0.4, "c": -0.05} if cell == "LSTM" else {"h": 0.0}
    for name, values in (("state_gradient", total), ("direct_gradient", direct)):
        blocks = np.stack([values + shift for shift in parts.values()])
        if name == "direct_gradient":
            blocks[1:] = -np.inf
        _add(record, f"{name}.blocks", blocks, ("block", *axes), "log10", block=list(parts))
    pairs = {"h-h": -0.9, "h-c": -0.35, "c-h": -0.6, "c-c": 0.1} if cell == "LSTM" else {"h-h": 0.0}
    blocks = np.stack([transport * (1 + 0.3 * (shift < -0.5)) + shift for shift in pairs.values()])
    for number, name in enumerate(pairs):
        blocks[number, -1] = 0.0 if name[0] == name[2] else -np.inf
    _add(record, "transport_blocks", blocks, ("block", *axes), "log10", block=list(pairs))
    if cell == "LSTM":
        _add(record, "cell_gradient", total + 0.12, axes, "log10")


def _add_spectrum(record: Record, rng: np.random.Generator, size: int, rate: float) -> None:
    """Add the Lyapunov exponents and their standard errors."""
    exponents = -rate - np.sort(rng.gamma(1.2, 0.4, size)) + 0.01
    _add(record, "lyapunov_spectrum", exponents, ("rank",), "nat/step", rank=list(range(1, size + 1)))
    errors = 0.004 + 0.01 * abs(rng.standard_normal(size))
    _add(record, "lyapunov_spectrum.error", errors, ("rank",), "nat/step", rank=list(range(1, size + 1)))


def _grid(last: int, most: int) -> np.ndarray:
    """Return at most so many whole numbers from 0 to the last."""
    return np.unique(np.linspace(0, last, min(most, last + 1)).round().astype(int))


def _add_depth(record: Record, rng: np.random.Generator, gates: dict[str, np.ndarray], cell: str, rate: float) -> None:
    """Add the probes of the full preset, and the gradients of units, inputs and weights."""
    length, batch, hidden = next(iter(gates.values())).shape
    blocks = ["h", "c"] if cell == "LSTM" else ["h"]
    fall = rate / np.log(10)
    _add_unit_gradients(record, rng, [gate for gate in gates if gate != "hidden"] or ["hidden"], blocks, hidden)
    _add_directions(record, rng, length, batch, hidden * len(blocks), fall)
    lags, times = _grid(length, 33), _grid(length, 33)
    field = -fall * lags[None] * (1 + 0.4 * np.sin(times / 9.0))[:, None]
    _add(record, "transport_map", field, ("time", "lag"), "log10", time=times.tolist(), lag=lags.tolist())
    _mark(record, "transport_map", times[:, None] + lags > length, Status.NOT_APPLICABLE)
    if cell != "LSTM":
        return
    pairs = {"h-h": 0.5, "h-c": 0.6, "c-h": 0.2, "c-c": 0.9}
    norms = np.stack([share * record["jacobian_rms"] for share in pairs.values()])
    _add(record, "jacobian_blocks", norms, ("block", "step", "batch"), "1", block=list(pairs))
    _add_writes(record, gates)
    _add_routes(record, rng, length, batch, fall)


def _add_unit_gradients(record: Record, rng: np.random.Generator, gates: list, blocks: list, hidden: int) -> None:
    """Add the gradient of every unit, of two inputs, and each step's share of the weights' gradient."""
    total = record["state_gradient"]
    middle = np.median(total, axis=1)
    units = 0.3 * rng.standard_normal(hidden)
    parts = np.stack([middle[:, None] * (1 + 0.2 * units) - 0.7 + 0.1 * units for _ in blocks])
    both = np.log10((10.0**parts).sum(0)) if middle.min() > -100 else parts.max(0)
    _add(record, "unit_gradient", both, ("time", "unit"), "log10")
    _add(record, "unit_gradient.blocks", parts, ("block", "time", "unit"), "log10", block=blocks)
    inputs = middle[1:, None] + np.array([-0.2, -0.9])
    _add(record, "input_gradient", inputs, ("step", "input"), "log10")
    shares = middle[1:] + np.array([0.3, 0.9, 0.1])[:, None, None] - 0.15 * np.arange(len(gates))[:, None]
    labels = {"parameter": ["W_x", "W_h", "b"], "gate": gates}
    _add(record, "weight_gradient", shares, ("parameter", "gate", "step"), "log10", **labels)


def _add_directions(record, rng, length: int, batch: int, size: int, fall: float) -> None:
    """Add singular values, finite-time exponents, eigenvalues and non-normality."""
    rates = np.sort(rng.gamma(1.2, 0.17, size)) + fall
    spread = 1 + 0.1 * rng.standard_normal(batch)
    lags = _grid(length, 17)
    values = -lags[:, None, None] * rates[:, None] * spread
    _add(record, "transport_spectrum", values, ("lag", "rank", "batch"), "log10", lag=lags.tolist())
    _add(record, "finite_time_exponents", -np.log(10) * rates[:, None] * spread, ("rank", "batch"), "nat/step")
    steps = _grid(length - 1, 16)
    radii = np.sort(np.sqrt(rng.random((len(steps), size, batch))), axis=1)[:, ::-1] * 10.0**-fall
    turns = np.exp(2j * np.pi * rng.random(radii.shape))
    axes = ("step", "rank", "batch")
    record.fields["jacobian_eigenvalues"] = Field(
        "jacobian_eigenvalues", radii * turns, axes, "1", {"step": steps.tolist()}
    )
    ratio = np.median(record["jacobian_norm"][steps] / radii[:, 0], axis=1)
    _add(record, "nonnormality", ratio, ("step",), "1", step=steps.tolist())


def _add_writes(record: Record, gates: dict[str, np.ndarray]) -> None:
    """Add what survives of each write, as the gates have it."""
    forget, write = (gate.transpose(0, 2, 1) for gate in (gates["forget"], gates["input"] * gates["candidate"]))
    start = 0.1 * np.ones_like(write[:1])
    kept = np.cumsum(np.log10(forget)[::-1], axis=0)[::-1]
    later = np.concatenate([kept, np.zeros_like(kept[:1])])
    writes = np.concatenate([start, write])
    _add(record, "write_survival", later + np.log10(np.abs(writes)), ("time", "unit", "batch"), "log10")
    _add(record, "write_survival.sign", np.sign(writes), ("time", "unit", "batch"), "1")


def _add_routes(record: Record, rng: np.random.Generator, length: int, batch: int, fall: float) -> None:
    """Add the routes: the highway falls faster than the rest."""
    lags = _grid(length, 65)
    highway = -1.8 * fall * lags[:, None] * (1 + 0.05 * rng.standard_normal(batch))
    rest = -fall * lags[:, None] - 0.5 + 0.05 * rng.standard_normal((len(lags), batch))
    rest[0] = -np.inf
    cosine = 0.4 * np.exp(-lags / 20)[:, None] * np.ones(batch) + 0.05 * rng.standard_normal((len(lags), batch))
    total = np.maximum(highway, rest) + 0.1 * (lags > 0)[:, None]
    labels = {"lag": lags.tolist()}
    routes = {"highway": highway, "rest": rest, "total": total}
    shape = ("route", "lag", "batch")
    _add(record, "routes", np.stack(list(routes.values())), shape, "log10", route=list(routes), **labels)
    cosine[0] = np.nan
    _add(record, "routes.cosine", cosine, ("lag", "batch"), "1", **labels)
    _mark(record, "routes.cosine", (lags == 0)[:, None] & np.ones(batch, bool), Status.NOT_APPLICABLE)


def _mark(record: Record, name: str, where: np.ndarray, status: Status, value: float = np.nan) -> None:
    """Give elements of one array a value and a status."""
    entry = record.fields[name]
    values, found = entry.values.copy(), entry.statuses().copy()
    values[where], found[where] = value, status
    record.fields[name] = Field(name, values, entry.axes, entry.unit, entry.coords, found, entry.reason)


def _config(cell, length, batch, hidden, keep_bias, activation) -> dict:
    """Return the part of a record that says what was measured."""
    shape = {"cell": cell, "input_size": 1, "hidden_size": hidden, "activation": activation}
    shape["forget_bias"] = keep_bias if cell in KEEP else None
    return {
        "cell": shape,
        "length": length,
        "batch": batch,
        "dtype": "float64",
        "loss": "sum of the last hidden state",
        "probes": [],
    }


def _summarize(record: Record, rate: float, length: int) -> None:
    """Fill in the numbers that stand for the whole record."""
    growth = -rate * length
    verdict = "vanishing" if growth < -np.log(100) else "exploding" if growth > np.log(100) else "stable"
    record.config["probes"] = [name for name in record if "." not in name]
    record.summary.update(
        decay_rate=rate,
        decay_rate_interval=[0.95 * rate, 1.05 * rate] if rate > 0 else [1.05 * rate, 0.95 * rate],
        growth=growth,
        half_life=np.log(2) / rate if rate > 0 else np.inf,
        horizon=min(length, np.log(100) / rate) if rate > 0 else length,
        horizon_censored=0.0 if verdict == "vanishing" else 1.0,
        horizon_best=length,
        zero_share=0.0,
        bad_share=0.0,
        verdict=verdict,
        verdict_text=f"{verdict}: e^{growth:.0f} over {length} steps",
        first_bad_step=None,
    )
    for name in ("jacobian_norm", "jacobian_rms", "retention", "timescale", "flow_retained", "flow_written"):
        if name in record:
            record.summary[name] = float(np.median(record[name]))
    entry = record.field("gate_saturation")
    for k, gate in enumerate(entry.coord("gate")):
        for s, side in enumerate(entry.coord("side")):
            record.summary[f"{gate}_saturation_{side}"] = float(np.median(entry.values[k, s]))
    record.summary["lyapunov_1"] = float(record["lyapunov_spectrum"][0])


def _spoil(record: Record, names: tuple[str, ...], where: tuple, value: float, status: Status) -> None:
    """Overwrite the last axes (..., time, sequence) of the named arrays."""
    for name in names:
        if name in record:
            entry = record.fields[name]
            values, statuses = entry.values.copy(), entry.statuses().copy()
            values[(..., *where)], statuses[(..., *where)] = value, status
            record.fields[name] = Field(name, values, entry.axes, entry.unit, entry.coords, statuses)


BY_STEP = ("jacobian_norm", "jacobian_rms", "retention", "flow_retained", "flow_written", "flow_exposed")
BY_TIME = ("transport", "transport_blocks", "state_gradient", "direct_gradient", "cell_gradient")
BLOCKS = ("state_gradient.blocks", "direct_gradient.blocks")


def _spoil_depth(record: Record, value: float, status: Status, steps: slice, some: slice) -> None:
    """Overwrite what the cases must tell apart in the probes of every unit, lag and direction.

    ``steps`` are the times that are gone, ``some`` the sequences; arrays without a batch axis lose them altogether.
    """
    for name in ("unit_gradient", "unit_gradient.blocks"):
        _spoil(record, (name,), (steps, slice(None)), value, status)
    _spoil(record, ("input_gradient",), (slice(steps.start, steps.stop), slice(None)), value, status)
    _spoil(record, ("weight_gradient",), (slice(None), steps), value, status)
    _spoil(record, ("write_survival",), (steps, slice(None), some), value, status)
    _spoil(record, ("transport_spectrum",), (slice(1, None), slice(None), some), value, status)
    _spoil(record, ("routes",), (slice(None), slice(1, None), some), value, status)
    _spoil(record, ("transport_map",), (slice(0, 3), slice(20, 22)), value, status)
    _spoil(record, ("jacobian_blocks",), (slice(None), steps, some), value, status)
    plain = 0.0 if status == Status.ZERO else value
    _spoil(record, ("jacobian_eigenvalues",), (slice(1, 3), slice(None), some), plain, status)


def lstm() -> Record:
    """Return a healthy LSTM: it loses a factor of about 40 over 120 steps."""
    return sample("LSTM")


def gru() -> Record:
    """Return a healthy GRU, close to stable."""
    return sample("GRU", rate=0.012, seed=1)


def rnn() -> Record:
    """Return a plain RNN, vanishing; it has no gate and no cell state."""
    return sample("RNN", rate=0.15, seed=2)


def exploding() -> Record:
    """Return an RNN whose gradient grows."""
    return sample("RNN", rate=-0.11, seed=3)


def relu() -> Record:
    """Return an RNN with an unbounded activation: saturation is not applicable."""
    return sample("RNN", rate=0.05, activation="relu", seed=4)


def underflow() -> Record:
    """Return an LSTM whose gradient falls below the float range and is kept by the log scale."""
    return sample("LSTM", length=400, rate=2.4, keep_bias=-2.0, seed=5)


def zero() -> Record:
    """Return a relu RNN whose units all die at step 40 in most sequences: the gradient is exactly zero before."""
    record = sample("RNN", activation="relu", rate=0.05, seed=6)
    _spoil(record, (*BY_TIME, *BLOCKS), (slice(0, 41), slice(0, 10)), -np.inf, Status.ZERO)
    _spoil(record, BY_STEP, (slice(40, 41), slice(0, 10)), 0.0, Status.ZERO)
    _spoil_depth(record, -np.inf, Status.ZERO, slice(0, 41), slice(0, 10))
    _spoil(record, ("finite_time_exponents",), (slice(-3, None), slice(None)), -np.inf, Status.ZERO)
    record.summary.update(
        zero_share=10 / 16, verdict="vanishing", verdict_text="vanishing: exactly zero in 62 % of the sequences"
    )
    return record


def all_zero() -> Record:
    """Return a relu RNN whose gradient is exactly zero in every sequence before the last step."""
    record = sample("RNN", activation="relu", rate=0.05, seed=6)
    _spoil(record, (*BY_TIME, *BLOCKS), (slice(0, -1), slice(None)), -np.inf, Status.ZERO)
    _spoil(record, BY_STEP, (slice(None), slice(None)), 0.0, Status.ZERO)
    record.summary.update(decay_rate=np.inf, decay_rate_interval=None, growth=-np.inf, half_life=0.0, horizon=0.0)
    record.summary.update(zero_share=1.0, verdict="vanishing", verdict_text="vanishing: exactly zero in every sequence")
    return record


def diverged() -> Record:
    """Return an RNN whose states become NaN at step 41 of sequence 7 and at step 80 of sequence 2."""
    record = sample("RNN", rate=-0.05, seed=7)
    for sequence, t in ((7, 41), (2, 80)):
        _spoil(record, BY_STEP, (slice(t, None), sequence), np.nan, Status.NAN)
        _spoil(record, (*BY_TIME, *BLOCKS), (slice(None), sequence), np.nan, Status.NAN)
    for name in ("gate_activation", "gate_activation.low", "gate_activation.high"):
        _spoil(record, (name,), (slice(100, None), slice(0, 5)), np.nan, Status.NAN)
    _spoil(record, ("gate_saturation", "slope_rms", "slope_saturation"), (slice(110, None),), np.nan, Status.NAN)
    _spoil_depth(record, np.nan, Status.NAN, slice(41, 60), slice(7, 8))
    _spoil(record, ("nonnormality",), (slice(10, None),), np.nan, Status.NAN)
    _mark_bad(record, "states", 41, 7, 2 / 16)
    return record


def all_diverged() -> Record:
    """Return an LSTM in which every sequence is NaN from step 12 on."""
    record = sample("LSTM", rate=-0.05, seed=8)
    _spoil(record, BY_STEP, (slice(12, None), slice(None)), np.nan, Status.NAN)
    _spoil(record, (*BY_TIME, *BLOCKS), (slice(None), slice(None)), np.nan, Status.NAN)
    gates = ("gate_activation", "gate_activation.low", "gate_activation.high")
    _spoil(record, gates, (slice(12, None), slice(None)), np.nan, Status.NAN)
    _spoil(record, ("gate_saturation", "slope_rms", "slope_saturation"), (slice(12, None),), np.nan, Status.NAN)
    spoiled = ("gate_saturation.unit", "gate_activation.histogram", "timescale", "lyapunov_spectrum")
    _spoil(record, (*spoiled, "lyapunov_spectrum.error"), (slice(None),), np.nan, Status.NAN)
    record.summary.update(decay_rate=np.nan, decay_rate_interval=None, growth=np.nan, half_life=np.nan, horizon=np.nan)
    deep = ("transport_spectrum", "routes", "routes.cosine", "transport_map", "finite_time_exponents", "nonnormality")
    more = ("unit_gradient", "unit_gradient.blocks", "input_gradient", "weight_gradient", "write_survival")
    for name in (*deep, *more, "jacobian_eigenvalues", "jacobian_blocks"):
        _spoil(record, (name,), (slice(None),), np.nan, Status.NAN)
    _mark_bad(record, "states", 12, 0, 1.0)
    return record


def infinite() -> Record:
    """Return a relu RNN whose Jacobian norm overflows at step 95 of sequence 0, and its gradient with it."""
    record = sample("RNN", activation="relu", rate=-0.3, seed=9)
    _spoil(record, BY_STEP, (slice(95, None), 0), np.inf, Status.INF)
    _spoil(record, ("state_gradient", "state_gradient.blocks"), (slice(0, 95), 0), np.inf, Status.INF)
    _spoil_depth(record, np.inf, Status.INF, slice(0, 20), slice(0, 1))
    _spoil(record, ("nonnormality",), (slice(4, 6),), np.inf, Status.INF)
    _mark_bad(record, "states", 95, 0, 1 / 16)
    return record


def _mark_bad(record: Record, array: str, t: int, sequence: int, share: float) -> None:
    """Write the first bad step and the verdict that follows from it."""
    bad = {"pass": "forward", "iteration": 0, "t": t, "sequence": sequence, "array": array}
    text = f"diverged: `{array}` not finite at t={t} in sequence {sequence}"
    record.summary.update(first_bad_step=bad, bad_share=share, verdict="diverged", verdict_text=text)


def single_step() -> Record:
    """Return an LSTM over one step."""
    record = sample("LSTM", length=1, seed=10)
    record.summary.update(decay_rate=np.nan, decay_rate_interval=None, verdict="undetermined")
    record.summary.update(verdict_text="undetermined: one step", half_life=np.nan, growth=np.nan)
    return record


def single_sequence() -> Record:
    """Return a GRU of one unit over one sequence: nothing to take a quantile of."""
    return sample("GRU", length=60, batch=1, hidden=1, seed=11)


def masked() -> Record:
    """Return an LSTM with sequences of unequal length: the padded steps are masked."""
    record = sample("LSTM", seed=12)
    for sequence in range(8, 16):
        steps = slice(40 + 8 * (sequence - 8), None)
        _spoil(record, BY_STEP, (steps, sequence), np.nan, Status.MASKED)
        later = slice(steps.start + 1, None)
        _spoil(record, (*BY_TIME, *BLOCKS), (later, sequence), np.nan, Status.MASKED)
        _spoil(record, ("write_survival", "write_survival.sign"), (later, slice(None), sequence), np.nan, Status.MASKED)
        past = slice(8 + 2 * (sequence - 8), None)
        _spoil(record, ("transport_spectrum",), (past, slice(None), sequence), np.nan, Status.MASKED)
    last = slice(110, None)
    for name in ("unit_gradient", "unit_gradient.blocks", "input_gradient"):
        _spoil(record, (name,), (last, slice(None)), np.nan, Status.MASKED)
    _spoil(record, ("weight_gradient",), (last,), np.nan, Status.MASKED)
    _spoil(record, ("transport_map",), (slice(-3, None), slice(None)), np.nan, Status.MASKED)
    return record


def long() -> Record:
    """Return a long LSTM, 4,000 steps: its curves must be decimated."""
    return sample("LSTM", length=4000, batch=8, hidden=64, rate=0.004, seed=13)


CASES: dict[str, Callable[[], Record]] = {
    case.__name__: case
    for case in (
        lstm,
        gru,
        rnn,
        exploding,
        relu,
        underflow,
        zero,
        all_zero,
        diverged,
        all_diverged,
        infinite,
        single_step,
        single_sequence,
        masked,
        long,
    )
}
