"""Probes: every field against the plain route, every status code, and the summary by its definitions."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from plain_routes import cases, chunks_of, make_case
from written_cells import Coupled, Trace

import gradscope as gs
from gradscope.errors import ArgumentError, ShapeError
from gradscope.flow import flow, write_survival
from gradscope.gates import gate_statistics, retention
from gradscope.gradients import gradient_norms
from gradscope.probes import choose
from gradscope.probes.catalogue import CATALOGUE, EVERY, GATED, PRESETS
from gradscope.probes.measures import MEASURES
from gradscope.record import Status
from gradscope.routes import routes
from gradscope.spectra import eigenvalues, jacobian_blocks, lyapunov_spectrum, transport_spectrum
from gradscope.transport import transport, transport_map
from gradscope.verdict import decay, verdict

OK, ZERO, UNDERFLOW, NAN, INF = Status.OK, Status.ZERO, Status.UNDERFLOW, Status.NAN, Status.INF
SHARES = {"1", "fraction", "step", "log10", "nat/step"}


def squares(hidden):
    """Half the sum of squares over all steps."""
    return 0.5 * anp.sum(hidden**2, axis=(0, 2))


def forced(bias, dtype=np.float64, length=5000, batch=2):
    """Return an LSTM with closed input gates and forget gates at sigma(bias), reading zeros from c = 1."""
    cell = gs.LSTM(1, 2, forget_bias=bias)
    params = {name: np.zeros_like(array) for name, array in cell.init(np.random.default_rng(0)).items()}
    params["b"].reshape(4, 2)[0], params["b"].reshape(4, 2)[1] = -np.inf, bias
    state = np.tile([0.0, 0.0, 1.0, 1.0], (batch, 1))
    return cell, {k: v.astype(dtype) for k, v in params.items()}, np.zeros((length, batch, 1)), state


# ---- every field, by a second route ---------------------------------------------------------------------------------


@settings(max_examples=25)
@given(cases(activations=("tanh", "softsign", "sigmoid", "relu")))
def test_every_field_equals_the_plain_route(case):
    with chunks_of(case.chunk):
        record = gs.probe(case.cell, case.params, case.inputs, "standard", squares, case.state)
    matrices, states = case.plain_jacobians(), case.plain_states()
    size, width = case.cell.hidden_size, case.cell.state_size
    np.testing.assert_allclose(record["jacobian_norm"], np.linalg.norm(matrices, 2, axis=(2, 3)), rtol=1e-7, atol=1e-12)
    rms = np.linalg.norm(matrices, axis=(2, 3)) / np.sqrt(width)
    np.testing.assert_allclose(record["jacobian_rms"], rms, rtol=1e-7, atol=1e-12)

    direct = np.zeros_like(states)
    direct[1:, :, :size] = states[1:, :, :size]  # the derivative of half the square
    total = np.empty_like(states)
    total[-1] = direct[-1]
    for t in reversed(range(len(matrices))):
        total[t] = direct[t] + np.einsum("bij,bi->bj", matrices[t], total[t + 1])
    with np.errstate(divide="ignore"):
        for name, gradient in (("direct_gradient", direct), ("state_gradient", total)):
            wanted = np.linalg.norm(gradient, axis=2)
            np.testing.assert_allclose(10 ** record[name], wanted, rtol=1e-6, atol=1e-9 * wanted.max() + 1e-300)
            for j in range(len(case.cell.blocks)):
                block = np.linalg.norm(gradient[..., j * size : (j + 1) * size], axis=2)
                np.testing.assert_allclose(
                    10 ** record[f"{name}.blocks"][j], block, rtol=1e-6, atol=1e-9 * wanted.max() + 1e-300
                )
    product = np.broadcast_to(np.eye(width), matrices.shape[1:])
    for t in reversed(range(len(matrices))):
        product = product @ matrices[t]
        wanted = np.linalg.norm(product, axis=(1, 2)) / np.sqrt(width)
        np.testing.assert_allclose(10 ** record["transport"][t], wanted, rtol=1e-6, atol=1e-12)
    gates = gs.unroll(case.cell, case.params, case.inputs, case.state).gates
    for n, name in enumerate(case.cell.gate_names):
        np.testing.assert_allclose(record["gate_activation"][n], np.median(gates[name], axis=1), rtol=1e-9, atol=1e-12)


def test_fields_are_those_that_the_rooms_measure():
    """Each on its own is tested in its room: here, that none is filed under another's name."""
    case = make_case("LSTM", hidden_size=4, batch=3, length=320, gain=2.0)
    record = gs.probe(case.cell, case.params, case.inputs, "full", state=case.state)
    trajectory = gs.unroll(case.cell, case.params, case.inputs, case.state)
    lin, statistics = gs.linearize(trajectory), gate_statistics(trajectory)
    kept, streams, moved, spectrum = retention(trajectory), flow(trajectory), transport(lin), lyapunov_spectrum(lin)
    stretched, turned, survived, ways = (
        transport_spectrum(lin),
        eigenvalues(lin),
        write_survival(trajectory),
        routes(lin),
    )
    direct = np.zeros((321, 3, 8))
    direct[-1, :, :4] = 0.5
    gradients = gradient_norms(lin, direct)
    wanted = {
        "transport": moved.rms,
        "transport_blocks": moved.blocks.reshape(4, 321, 3),
        "jacobian_norm": lin.norm(),
        "jacobian_rms": lin.norm("frobenius") / np.sqrt(8),
        "slope_saturation": statistics.flat,
        "slope_rms": statistics.slope_rms,
        "gate_saturation": statistics.saturated_steps,
        "gate_saturation.unit": statistics.saturated_units,
        "gate_activation": statistics.quantiles[1],
        "gate_activation.low": statistics.quantiles[0],
        "gate_activation.high": statistics.quantiles[2],
        "gate_activation.histogram": statistics.histogram,
        "retention": kept.retention,
        "timescale": kept.timescale,
        "flow_retained": streams.retained,
        "flow_written": streams.written,
        "flow_exposed": streams.exposed,
        "lyapunov_spectrum": spectrum.exponents,
        "lyapunov_spectrum.error": spectrum.error,
        "transport_map": transport_map(lin).rms,
        "transport_spectrum": stretched.values,
        "finite_time_exponents": stretched.exponents,
        "jacobian_blocks": jacobian_blocks(lin).reshape(4, 320, 3),
        "jacobian_eigenvalues": turned.values,
        "nonnormality": np.median(turned.nonnormality, axis=1),
        "write_survival": survived.log10,
        "write_survival.sign": survived.sign,
        "routes": ways.rms,
        "routes.cosine": ways.cosine,
        "unit_gradient": 0.5 * np.log10(np.sum(100.0**gradients.units, axis=0)),
        "unit_gradient.blocks": gradients.units,
        "input_gradient": gradients.inputs,
        "weight_gradient": gradients.weights,
    }
    for name, array in wanted.items():
        np.testing.assert_allclose(record[name], array, rtol=1e-11, err_msg=name)
    rest = {"state_gradient", "state_gradient.blocks", "direct_gradient", "direct_gradient.blocks", "cell_gradient"}
    assert set(record) == set(wanted) | rest
    blocks = dict(zip(record.coords["transport_blocks"]["block"], record["transport_blocks"], strict=True))
    np.testing.assert_allclose(blocks["c-h"], moved.blocks[1, 0])  # to c from h
    assert record.coords["state_gradient.blocks"]["block"] == ["h", "c"]
    blocks = dict(zip(record.coords["jacobian_blocks"]["block"], record["jacobian_blocks"], strict=True))
    np.testing.assert_allclose(blocks["c-c"], rms_of(trajectory.gates["forget"]))
    assert record.coords["routes"]["route"] == ["highway", "rest", "total"]
    assert record.coords["weight_gradient"] == {
        "parameter": ["W_x", "W_h", "b"],
        "gate": ["input", "forget", "candidate", "output"],
    }
    assert record.coords["transport_spectrum"]["lag"] == stretched.lags.tolist()
    assert record.coords["jacobian_eigenvalues"]["step"] == record.coords["nonnormality"]["step"]
    assert record.coords["gate_saturation"]["side"] == ["left", "right"]
    assert record.coords["gate_saturation"]["gate"] == ["input", "forget", "candidate", "output", "hidden"]
    centres = record.coords["gate_activation.histogram"]["bin"]
    np.testing.assert_allclose(centres, np.linspace(0, 1, 81)[1::2], rtol=1e-12)
    assert record.summary["lyapunov_1"] == spectrum.exponents[0]
    low, high = record.summary["lyapunov_1_interval"]
    assert (high - low) / 2 == pytest.approx(1.96 * spectrum.error[0])
    assert record.summary["kaplan_yorke_dimension"] == spectrum.kaplan_yorke_dimension
    assert record.summary["entropy"] == spectrum.entropy


def rms_of(array):
    """Return the root mean square over units."""
    return np.sqrt(np.square(array).mean(axis=-1))


def test_the_default_loss_has_a_direct_gradient_of_norm_1():
    case = make_case("GRU", hidden_size=5)
    record = gs.probe(case.cell, case.params, case.inputs)
    np.testing.assert_allclose(record["direct_gradient"][-1], 0.0, atol=1e-15)
    assert np.isneginf(record["direct_gradient"][:-1]).all()
    assert (record.status["direct_gradient"][:-1] == ZERO).all()
    assert record.config["loss"].startswith("Return the sum of the last hidden state")


def test_the_state_gradient_is_autograds_gradient_through_the_tape():
    """One more route: dL/ds_0 by autograd through the whole of probe's loss."""
    case = make_case("LSTM", length=6, batch=3)
    record = gs.probe(case.cell, case.params, case.inputs, ["state_gradient"], squares, case.state)
    size = case.cell.hidden_size
    gradient = autograd.grad(lambda s: anp.sum(squares(gs.scan(case.cell, case.params, case.inputs, s)[1:, :, :size])))(
        case.state
    )
    np.testing.assert_allclose(record["state_gradient"][0], np.log10(np.linalg.norm(gradient, axis=1)), rtol=1e-10)


# ---- what a record says of itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("preset", ["cheap", "standard", "full"])
def test_every_preset_has_the_fields_of_its_probes_with_axes_unit_and_status(name, activation, preset):
    case = make_case(name, activation, gain=0.5)
    record = gs.probe(case.cell, case.params, case.inputs, preset)
    probes = [n for n in PRESETS[preset] if not CATALOGUE[n].needs or name in GATED]
    probes = [n for n in probes if CATALOGUE[n].needs not in ("cell_state", "writes", "blocks") or name == "LSTM"]
    assert record.config["probes"] == probes
    assert set(record) == {full for n in probes for full in (n, *(f"{n}.{part}" for part, _ in CATALOGUE[n].parts))}
    length, batch, size = 4, 2, 3
    sizes = {"step": length, "time": length + 1, "batch": batch, "unit": size, "rank": case.cell.state_size}
    for full in record:
        entry, (main, _, part) = record.field(full), full.partition(".")
        assert entry.axes == (dict(CATALOGUE[main].parts)[part] if part else CATALOGUE[main].axes)
        assert entry.unit in SHARES
        others = {"histogram": "fraction", "sign": "1", "cosine": "1"}
        assert record.units[full] == others.get(part, CATALOGUE[main].unit)
        for axis, n in zip(entry.axes, entry.values.shape, strict=True):
            assert n == sizes.get(axis, len(entry.coord(axis)))
        assert entry.statuses().shape == entry.values.shape
        good = entry.statuses() <= UNDERFLOW
        assert np.isfinite(entry.values[good & (entry.statuses() != ZERO)]).all()
        assert not np.isnan(entry.values[good]).any()


def test_the_config_says_what_was_measured():
    case = make_case("LSTM", dtype="float32")
    record = gs.probe(case.cell, case.params, case.inputs, "cheap", squares)
    assert record.config == {
        "cell": {"cell": "LSTM", "input_size": 2, "hidden_size": 3, "activation": "tanh", "forget_bias": 1.0},
        "length": 4,
        "batch": 2,
        "dtype": "float32",
        "loss": "Half the sum of squares over all steps.",
        "probes": list(PRESETS["cheap"]),
    }
    assert (
        gs.probe(case.cell, case.params, case.inputs, [], lambda hidden: hidden[-1, :, 0]).config["loss"] == "<lambda>"
    )


def test_a_real_record_survives_the_file(tmp_path):
    cell = gs.RNN(1, 16, "relu")
    params = cell.init(np.random.default_rng(0), recurrent="gaussian", gain=5.0)
    record = gs.probe(cell, params, np.ones((900, 2, 1)), "full")
    again = gs.Record.load(record.save(tmp_path / "run.npz"))
    assert list(again) == list(record)
    assert repr(again.summary) == repr(record.summary)
    assert again.config == record.config
    for name in record:
        np.testing.assert_array_equal(again[name], record[name])
        np.testing.assert_array_equal(again.status[name], record.status[name])
        assert (again.axes[name], again.units[name], again.coords[name]) == (
            record.axes[name],
            record.units[name],
            record.coords[name],
        )


# ---- the summary ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_the_summary_holds_the_numbers_by_their_definitions(name):
    case = make_case(name, hidden_size=6, batch=7, length=120)
    record = gs.probe(case.cell, case.params, case.inputs)
    summary, rms = record.summary, record["transport"]
    fall = decay(rms)
    assert summary["decay_rate"] == fall.rate
    assert summary["decay_rate_interval"] == list(fall.interval)
    assert summary["growth"] == pytest.approx(-fall.rate * 120)
    assert summary["half_life"] == fall.half_life
    assert (summary["verdict"], summary["verdict_text"]) == (verdict(fall).name, verdict(fall).text)
    assert (summary["zero_share"], summary["bad_share"], summary["first_bad_step"]) == (0.0, 0.0, None)

    lags = [max(lag for lag in range(121) if rms[120 - lag, b] >= -2) for b in range(7)]
    assert summary["horizon"] == np.median(lags)
    assert summary["horizon_censored"] == np.mean([lag == 120 for lag in lags])
    product, best = np.broadcast_to(np.eye(case.cell.state_size), (7, *[case.cell.state_size] * 2)), np.zeros(7)
    free = make_case(name, hidden_size=6, batch=7, length=120)
    lin = gs.linearize(gs.unroll(free.cell, free.params, free.inputs))
    for lag, matrices in enumerate(lin.jacobians()[::-1], start=1):
        product = product @ matrices
        best[np.linalg.norm(product, 2, axis=(1, 2)) >= 0.01] = lag
    assert summary["horizon_best"] == np.median(best)
    assert summary["horizon_best"] >= summary["horizon"]

    for key in ("jacobian_norm", "jacobian_rms"):
        assert summary[key] == np.median(record[key])
    for n, gate in enumerate(record.coords["slope_rms"]["gate"]):
        assert summary[f"{gate}_slope_rms"] == pytest.approx(record["slope_rms"][n].mean())
        assert summary[f"{gate}_slope_saturation"] == pytest.approx(record["slope_saturation"][n].mean())
    for n, gate in enumerate(record.coords["gate_saturation"]["gate"]):
        for side, key in enumerate(("left", "right")):
            assert summary[f"{gate}_saturation_{key}"] == pytest.approx(record["gate_saturation"][n, side].mean())
    gated = name != "RNN"
    for key in ("retention", "timescale", "flow_retained", "flow_written", "flow_exposed"):
        assert (key in summary) == gated
        assert not gated or summary[key] == np.median(record[key])


def test_the_cheap_preset_claims_no_verdict():
    case = make_case("LSTM")
    assert "verdict" not in gs.probe(case.cell, case.params, case.inputs, "cheap").summary


def test_a_short_sequence_has_no_lyapunov_spectrum_and_says_that_it_was_not_computed():
    case = make_case("RNN", length=300)
    record = gs.probe(case.cell, case.params, case.inputs, ["lyapunov_spectrum"])
    assert (record.status["lyapunov_spectrum"] == Status.NOT_COMPUTED).all()
    assert (record.status["lyapunov_spectrum.error"] == Status.NOT_COMPUTED).all()
    assert np.isnan(record["lyapunov_spectrum"]).all()
    assert "lyapunov_1" not in record.summary


# ---- the status codes -----------------------------------------------------------------------------------------------


def test_a_diverging_run_is_a_result_with_its_first_bad_step():
    """A ReLU network of gain 5 in which one sequence starts larger: inf, then NaN, and the verdict says where."""
    cell = gs.RNN(1, 16, "relu")
    params = cell.init(np.random.default_rng(0), recurrent="gaussian", gain=5.0)
    inputs = np.ones((700, 3, 1))
    inputs[0, 2] = 1e100
    record = gs.probe(cell, params, inputs)
    states = gs.unroll(cell, params, inputs).states
    bad = ~np.isfinite(states).all(axis=2)
    t = int(np.argmax(bad.any(axis=1)))
    assert np.isinf(states[t, 2]).any()
    assert record.summary["first_bad_step"] == {
        "pass": "forward",
        "iteration": None,
        "t": t,
        "sequence": 2,
        "array": "states",
    }
    assert record.summary["verdict"] == "diverged"
    assert record.summary["verdict_text"] == f"diverged: states became NaN or inf at t={t} in sequence 2"
    assert record.summary["bad_share"] == 1.0
    norms, status = record["jacobian_norm"], record.status["jacobian_norm"]
    assert (status[: t - 1] == OK).all()
    assert (status[-1] == NAN).all()
    np.testing.assert_array_equal(np.isnan(norms), status == NAN)
    exposed = gs.probe(cell, params, inputs, "cheap")
    assert exposed.summary["verdict"] == "diverged"


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_the_summary_of_a_diverging_run_is_taken_over_what_is_still_a_number(name):
    """Status 0 to 2 counts: the steps before the NaN keep their say, and an inf is no number."""
    case = make_case(name, batch=3, length=10)
    inputs = case.inputs.copy()
    inputs[4, 1] = np.nan
    record = gs.probe(case.cell, case.params, inputs)
    before = gs.probe(case.cell, case.params, inputs[:4])
    same = [key for key in before.summary if key.endswith(("_saturation_left", "_saturation_right", "_slope_rms"))]
    assert same
    for key in same:
        assert record.summary[key] == pytest.approx(before.summary[key])


def test_a_median_leaves_inf_out():
    """Two of three sequences write inf into the cell state."""
    cell = gs.LSTM(1, 2, "relu")
    W_x = np.repeat([0.0, 0.0, 100.0, 0.0], 2)[:, None]
    inputs = np.array([1e308, 1e308, 1.0]).reshape(1, 3, 1)
    record = gs.probe(cell, {"W_x": W_x, "W_h": np.zeros((8, 2)), "b": np.zeros(8)}, inputs, ["flow_written"])
    assert record.status["flow_written"].tolist() == [[INF, INF, OK]]
    assert record.summary["flow_written"] == record["flow_written"][0, 2] == 50.0


def test_a_gate_that_never_forgets_has_a_median_timescale_of_inf():
    cell = gs.LSTM(1, 2, forget_bias=1e4)
    record = gs.probe(cell, cell.init(np.random.default_rng(0)), np.ones((3, 1, 1)), ["timescale"])
    assert record.summary["timescale"] == np.inf


def test_inf_and_nan_are_told_apart():
    cell = gs.RNN(1, 2, "relu")
    params = {"W_x": np.ones((2, 1)), "W_h": np.zeros((2, 2)), "b": np.zeros(2)}
    inputs = np.zeros((4, 2, 1))
    inputs[1, 0], inputs[2, 1] = np.inf, np.nan
    record = gs.probe(cell, params, inputs, ["gate_activation"])
    single = gs.probe(cell, params, inputs[:, :1], ["gate_activation"])
    assert (single.status["gate_activation"][0, 1] == INF).all()
    assert (record.status["gate_activation"][0, 2] == NAN).all()
    assert record.summary["first_bad_step"]["t"] == 2
    assert record.summary["first_bad_step"]["sequence"] == 0
    assert record.summary["first_bad_step"]["array"] == "inputs"
    told = "diverged: states became NaN or inf at t=2 in sequence 0, after inputs that are not finite"
    assert record.summary["verdict_text"] == told
    broken = gs.probe(cell, params | {"W_x": np.full((2, 1), 1e200)}, np.full_like(inputs, 1e200), ["gate_activation"])
    assert broken.summary["first_bad_step"]["array"] == "states"


def test_a_bad_gradient_is_named_from_behind():
    """All states are finite and the loss is not: the largest t counts."""
    case = make_case("GRU", length=6, batch=3)

    def broken(hidden):
        weights = np.ones((6, 3, 1))
        weights[3, 1] = np.inf
        return anp.sum(weights * hidden, axis=(0, 2))

    record = gs.probe(case.cell, case.params, case.inputs, loss=broken)
    assert record.summary["first_bad_step"] == {
        "pass": "backward",
        "iteration": None,
        "t": 4,
        "sequence": 1,
        "array": "state_gradient",
    }
    assert record.summary["verdict"] != "diverged"
    assert not np.isfinite(record["state_gradient"][:5, 1]).any()
    assert (record.status["state_gradient"][:5, 1] >= NAN).all()
    assert (record.status["state_gradient"][:, 0] == OK).all()


@pytest.mark.parametrize(
    ("dtype", "bias", "truth"),
    [
        (np.float64, 0.0, -1505.149978),
        (np.float64, 1.0, -680.239111),
        (np.float64, 2.0, -275.620674),
        (np.float32, 0.0, -1505.149978),
    ],
)
def test_an_underflow_keeps_its_number_and_says_so(dtype, bias, truth):
    """TRUTHS 6: with forced gates dc_T/dc_0 = f^5000 exactly; float64 ends at 1e-308, float32 at 1e-38."""
    cell, params, inputs, state = forced(bias, dtype, batch=1)
    record = gs.probe(cell, params, inputs, ["transport", "transport_blocks"], state=state)
    block = record.coords["transport_blocks"]["block"].index("c-c")
    found, status = record["transport_blocks"][block], record.status["transport_blocks"][block]
    assert found[0, 0] == pytest.approx(truth, rel=1e-9 if dtype == np.float64 else 1e-6)
    f = np.log10(1 / (1 + np.exp(-bias)))
    np.testing.assert_allclose(found[:, 0], f * np.arange(5000, -1, -1), rtol=1e-6, atol=1e-6)
    floor = np.log10(np.finfo(dtype).tiny)
    np.testing.assert_array_equal(status, np.where(found < floor, UNDERFLOW, OK))
    assert (status[0] == UNDERFLOW).all() == (truth < floor)
    whole = record.coords["transport_blocks"]["block"].index("h-h")
    assert (record.status["transport_blocks"][whole, :-1] == ZERO).all()
    assert record.summary["decay_rate"] == pytest.approx(-np.log(10) * f, rel=1e-5)


def test_the_underflow_of_a_float32_program_is_that_of_float32():
    """10^-60 is a plain number in float64 and nothing in float32."""
    for dtype, wanted in ((np.float64, OK), (np.float32, UNDERFLOW)):
        cell, params, inputs, state = forced(0.0, dtype, length=200)
        record = gs.probe(cell, params, inputs, state=state)
        for name in ("transport", "state_gradient", "cell_gradient"):
            assert record[name][0] == pytest.approx(-200 * np.log10(2), abs=1)
            assert (record.status[name][0] == wanted).all()
            assert (record.status[name][-20:] == OK).all()


def test_exactly_zero_is_not_an_underflow():
    """Dead units, and a linear chain with W_h = 0: a factor is 0, and nothing is heard."""
    dead = gs.RNN(1, 3, "relu")
    params = dead.init(np.random.default_rng(0)) | {"b": np.full(3, -100.0)}
    cut = gs.RNN(1, 3, "identity")
    for cell, weights in ((dead, params), (cut, {**cut.init(np.random.default_rng(0)), "W_h": np.zeros((3, 3))})):
        record = gs.probe(cell, weights, np.ones((30, 4, 1)))
        assert (record["jacobian_norm"] == 0).all()
        assert (record.status["jacobian_norm"] == ZERO).all()
        assert np.isneginf(record["transport"][:-1]).all()
        assert (record.status["transport"][:-1] == ZERO).all()
        assert (record.status["transport"][-1] == OK).all()
        assert (record.status["state_gradient"][:-1] == ZERO).all()
        summary = record.summary
        assert (summary["zero_share"], summary["decay_rate"], summary["half_life"]) == (1.0, np.inf, 0.0)
        assert summary["verdict_text"] == "vanishing: exactly zero over 30 steps in 100% of the sequences"
        assert (summary["horizon"], summary["horizon_best"], summary["first_bad_step"]) == (0.0, 0.0, None)


def test_what_is_not_applicable_says_so():
    case = make_case("LSTM", "relu", gain=0.3)
    record = gs.probe(case.cell, case.params, case.inputs, "cheap")
    gates = record.coords["gate_saturation"]["gate"]
    for n, gate in enumerate(gates):
        missing = gate in ("candidate", "hidden")
        for name in ("gate_saturation", "gate_saturation.unit"):
            assert (record.status[name][n] == (Status.NOT_APPLICABLE if missing else OK)).all()
            assert np.isnan(record[name][n]).all() == missing
        if gate != "hidden":
            assert (record.status["gate_activation.histogram"][n] == Status.NOT_APPLICABLE).all() == missing


# ---- cells of one's own ---------------------------------------------------------------------------------------------


def test_a_cell_that_a_user_wrote_is_probed_like_any():
    rng = np.random.default_rng(0)
    for cell_class in (Coupled, Trace):
        cell = cell_class(2, 3)
        params = {name: 0.5 * rng.standard_normal(shape) for name, shape in cell.shapes().items()}
        inputs = rng.standard_normal((30, 4, 2))
        record = gs.probe(cell, params, inputs)
        lin = gs.linearize(gs.unroll(cell, params, inputs))
        np.testing.assert_allclose(record["jacobian_norm"], np.linalg.norm(lin.jacobians(), 2, axis=(2, 3)), rtol=1e-8)
        assert ("retention" in record) == cell.keeps
        assert ("flow_retained" in record) == cell.keeps  # what is written is then what is new less what is kept
        assert record.summary["verdict"] in ("vanishing", "stable", "undetermined")
        assert record.config["cell"]["cell"] == cell_class.__name__


# ---- padding and resets ---------------------------------------------------------------------------------------------


def padded(name, length=30, batch=4, seed=0):
    """Return a case and masks: padding at the end, at the start, within, and none."""
    case = make_case(name, length=length, batch=batch, hidden_size=3, seed=seed)
    valid = np.ones((length, batch), bool)
    valid[20:, 0], valid[:6, 1], valid[10:14, 2] = False, False, False
    return case, valid


def elements(entry, b):
    """Return values and statuses of one sequence, by its steps or times alone; None where there are none."""
    axes = entry.axes
    if "batch" not in axes or not {"step", "time"} & set(axes) or {"step", "time"} & set(entry.coords):
        return None
    values, statuses = (np.take(array, b, axis=axes.index("batch")) for array in (entry.values, entry.statuses()))
    return [np.moveaxis(array, axes.index("step" if "step" in axes else "time"), 0) for array in (values, statuses)]


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_padding_is_masked_and_the_rest_is_that_of_each_sequence_alone(name):
    """Two routes: with the mask, and each sequence by itself without its padding."""
    case, valid = padded(name)
    record = gs.probe(case.cell, case.params, case.inputs, "full", valid=valid)
    looked = 0
    for b in range(4):
        alone = gs.probe(case.cell, case.params, case.inputs[valid[:, b], b][:, None], "full")
        for full in record:
            pair = elements(record.field(full), b)
            if pair is None:
                continue
            looked += 1
            values, statuses = pair
            here = valid[:, b] if "step" in record.axes[full] else np.append(True, valid[:, b])
            assert (statuses[~here] == Status.MASKED).all(), full
            if values.dtype.kind == "f":
                assert np.isnan(values[~here]).all()
            own, own_statuses = elements(alone.field(full), 0)
            np.testing.assert_allclose(values[here], own, rtol=1e-6, atol=1e-9, err_msg=full)
            np.testing.assert_array_equal(statuses[here], own_statuses, err_msg=full)
        lags = int(valid[:, b].sum())
        np.testing.assert_allclose(
            record["finite_time_exponents"][:, b], alone["finite_time_exponents"][:, 0], atol=1e-8
        )
        for place, lag in enumerate(record.coords["transport_spectrum"]["lag"]):
            assert (record.status["transport_spectrum"][place, :, b] == Status.MASKED).all() == (lag > lags)
        if name == "LSTM":
            np.testing.assert_allclose(record["routes"][:, : lags + 1, b], alone["routes"][:, :, 0], atol=1e-9)
            assert (record.status["routes"][:, lags + 1 :, b] == Status.MASKED).all()
    assert looked >= 4 * 8
    assert record.summary["masked_share"] == pytest.approx(1 - valid.mean())
    assert record.summary["first_bad_step"] is None
    rates = [
        gs.probe(case.cell, case.params, case.inputs[valid[:, b], b][:, None]).summary["decay_rate"] for b in range(4)
    ]
    assert record.summary["decay_rate"] == pytest.approx(np.mean(rates), rel=1e-6)
    assert "masked_share" not in gs.probe(case.cell, case.params, case.inputs, "cheap").summary


def test_a_step_that_no_sequence_has_is_masked_in_every_field():
    case = make_case("LSTM", length=12, batch=2)
    valid = np.ones((12, 2), bool)
    valid[9:] = False
    record = gs.probe(case.cell, case.params, case.inputs, "full", valid=valid)
    for full in record:
        entry = record.field(full)
        axis = next((axis for axis in ("step", "time") if axis in entry.axes), None)
        if axis is None or axis in entry.coords:
            continue
        statuses = np.moveaxis(entry.statuses(), entry.axes.index(axis), 0)
        last = 9 if axis == "step" else 10
        assert (statuses[last:] == Status.MASKED).all(), full
        assert (statuses[:last] != Status.MASKED).all(), full
    assert record.summary["verdict_text"].startswith(("vanishing", "stable", "undetermined"))
    alone = gs.probe(case.cell, case.params, case.inputs[:9], "full")
    for key, value in alone.summary.items():
        if isinstance(value, float) and key not in ("nonnormality", "finite_time_1"):
            assert record.summary[key] == pytest.approx(value, rel=1e-9), key


def test_infinities_that_mean_something_count_in_a_median():
    """Most sequences lose all at some step; a shift has eigenvalues of zero and a norm of 1."""
    one = {"W_x": np.ones((1, 1)), "W_h": np.ones((1, 1)), "b": np.zeros(1)}
    inputs = np.ones((40, 3, 1))
    inputs[20, 1:] = -100.0
    record = gs.probe(gs.RNN(1, 1, "relu"), one, inputs, "full")
    assert record["finite_time_exponents"][0].tolist() == [0.0, -np.inf, -np.inf]
    assert record.summary["finite_time_1"] == -np.inf
    shift = {"W_x": np.zeros((3, 1)), "W_h": np.eye(3, k=1), "b": np.zeros(3)}
    record = gs.probe(gs.RNN(1, 3, "identity"), shift, inputs, ["nonnormality"])
    assert record.summary["nonnormality"] == np.inf


def test_bad_numbers_in_padding_are_not_the_first_bad_step():
    case = make_case("RNN", length=8, batch=3)
    state = np.zeros((3, case.cell.state_size))
    state[0] = np.nan
    valid = np.ones((8, 3), bool)
    valid[:, 0] = False
    record = gs.probe(case.cell, case.params, case.inputs, state=state, valid=valid)
    assert record.summary["first_bad_step"] is None
    assert record.summary["bad_share"] == pytest.approx(1 / 3)
    inputs = case.inputs.copy()
    inputs[2, 1], inputs[1, 2] = np.nan, np.nan
    valid[1, 2] = False
    bad = gs.probe(case.cell, case.params, inputs, state=state, valid=valid).summary["first_bad_step"]
    assert (bad["t"], bad["sequence"], bad["pass"]) == (3, 1, "forward")


def test_the_verdict_stops_at_a_reset():
    case = make_case("LSTM", length=60, batch=2)
    reset = np.zeros((60, 2), bool)
    reset[40] = True
    summary = gs.probe(case.cell, case.params, case.inputs, reset=reset).summary
    assert summary["zero_share"] == 0.0
    assert summary["verdict_text"].split(" over ")[1].startswith("19 steps")


def test_what_was_not_computed_says_why():
    case = make_case("RNN", "relu", length=20)
    record = gs.probe(case.cell, case.params, case.inputs, "full")
    assert "more than 300 steps" in record.field("lyapunov_spectrum").reason
    assert "no state past the end" in record.field("transport_map").reason
    assert "without two limits" in record.field("gate_saturation").reason
    assert (record.status["transport_map"] == Status.NOT_APPLICABLE).any()


# ---- the catalogue --------------------------------------------------------------------------------------------------


def test_every_probe_of_the_catalogue_has_a_measure_and_every_measure_an_entry():
    assert set(MEASURES) == set(CATALOGUE)
    assert set(PRESETS["cheap"]) < set(PRESETS["standard"]) < set(PRESETS["full"]) == set(CATALOGUE)
    assert set(GATED) < set(EVERY)


def test_choose_takes_presets_and_lists_and_drops_what_is_named_twice():
    assert choose("cheap") == PRESETS["cheap"]
    assert choose(["transport", "jacobian_norm", "transport"]) == ("transport", "jacobian_norm")
    assert choose(()) == ()


# ---- bad arguments --------------------------------------------------------------------------------------------------

CELL = gs.LSTM(1, 3)
PARAMS = CELL.init(np.random.default_rng(0))
INPUTS = np.zeros((5, 2, 1))
WRONG = [
    (
        {"probes": "standart"},
        ArgumentError,
        r"`probes` must be one of .* Did you mean 'standard'\? Or give a list of probe",
    ),
    ({"probes": "transport"}, ArgumentError, r"`probes` must be a preset .* Put it into a list: `\['transport'\]`"),
    ({"probes": ["transprot"]}, ArgumentError, r"`probes` must be one of transport, .* Did you mean 'transport'\?"),
    ({"probes": ["transport", 3]}, ArgumentError, r"`probes` must be one of transport, .* got 3\."),
    (
        {"loss": "last"},
        ArgumentError,
        r"`loss` must be a function .* got 'last'\. Leave it out for the sum of the last",
    ),
    (
        {"loss": lambda h: anp.sum(h)},
        ShapeError,
        r"`loss` must return .*shape \(B=2,\), got \(\)\. Sum over everything but",
    ),
    (
        {"loss": lambda h: h[-1]},
        ShapeError,
        r"`loss` must return .*, got \(2, 3\)\. Sum over everything but the sequences",
    ),
    ({"inputs": np.zeros((5, 1))}, ShapeError, r"`inputs` must have shape .* Time comes first; for one sequence use"),
    (
        {"inputs": np.zeros((0, 2, 1))},
        ShapeError,
        r"`inputs` must have shape .* give at least one step and one sequence",
    ),
    ({"state": np.zeros((2, 3))}, ShapeError, r"`state` must have shape .* Put h, c side by side"),
    ({"params": {}}, ArgumentError, r"W_x is missing; got nothing\. Use `cell\.init\(rng\)` to draw them all"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_argument_is_told_what_to_do(options, error, message):
    arguments = {"params": PARAMS, "inputs": INPUTS} | options
    with pytest.raises(error, match=message):
        gs.probe(CELL, **arguments)


@pytest.mark.parametrize(
    ("cell", "name", "message"),
    [
        (
            gs.RNN(1, 3),
            "retention",
            r"`retention` needs a cell with a gate that keeps \(LSTM, GRU\), got RNN\. Use `slope_rms` for this cell",
        ),
        (
            gs.RNN(1, 3),
            "flow_written",
            r"`flow_written` needs a cell with a gate that keeps \(LSTM, GRU\), got RNN\. Use `slope_rms`",
        ),
        (
            gs.GRU(1, 3),
            "cell_gradient",
            r"`cell_gradient` needs a cell with a cell state \(LSTM\), got GRU\. Use `state_gradient`",
        ),
        (
            gs.RWA(1, 3),
            "write_survival",
            r"`write_survival` needs a cell with a cell state and a gate that keeps \(LSTM\), got RWA\. Use `state",
        ),
    ],
)
def test_a_probe_that_the_cell_cannot_have_is_refused_by_name_and_left_out_of_presets(cell, name, message):
    params = cell.init(np.random.default_rng(0))
    with pytest.raises(ArgumentError, match=message):
        gs.probe(cell, params, INPUTS, [name])
    assert name not in gs.probe(cell, params, INPUTS, "standard")


def one_array(params, x, state):
    """Return an LSTM's state side by side in one array, and a gate."""
    cell = gs.LSTM(2, 3)
    blocks, gates = gs.StepCell.of(cell).function(params, x, state)
    return anp.concatenate(blocks, axis=1), {"forget": gates["forget"]}


def test_a_step_whose_blocks_are_one_array_has_no_way_from_c_to_h():
    options = {"blocks": ("h", "c"), "gate_kinds": {"forget": "sigmoid"}, "keep_gate": "forget"}
    together = gs.StepCell(2, 3, function=one_array, **options)
    apart = gs.StepCell.of(gs.LSTM(2, 3))
    params = apart.init(np.random.default_rng(0))
    inputs = np.random.default_rng(1).standard_normal((6, 2, 2))
    one, other = (gs.probe(cell, params, inputs, "standard") for cell in (together, apart))
    entry = one.field("cell_gradient")
    assert (entry.statuses() == Status.NOT_APPLICABLE).all()
    assert "side by side in one array" in entry.reason
    assert (other.field("cell_gradient").statuses() == Status.OK).all()
    np.testing.assert_allclose(one["state_gradient"], other["state_gradient"], atol=1e-12)


def test_the_gradient_of_weights_that_have_no_gates_is_not_applicable():
    def leaky(params, x, h):
        kept = 1.0 / (1.0 + anp.exp(-params["a"])) * anp.ones_like(h)
        return kept * h + (1.0 - kept) * anp.tanh(x), {"keep": kept}

    cell = gs.StepCell(2, 2, function=leaky, gate_kinds={"keep": "sigmoid"}, keep_gate="keep")
    record = gs.probe(cell, {"a": np.zeros(2)}, np.ones((6, 2, 2)), "standard")
    entry = record.field("weight_gradient")
    assert (entry.statuses() == Status.NOT_APPLICABLE).all()
    assert "W_x, W_h, b" in entry.reason
    assert record.summary["first_bad_step"] is None


def test_no_probes_at_all_are_refused_and_a_run_of_padding_is_a_run():
    with pytest.raises(ArgumentError, match=r"`probes` must be one of cheap, .* got None\. Or give a list"):
        gs.probe(CELL, PARAMS, INPUTS, None)
    record = gs.probe(CELL, PARAMS, INPUTS, "full", valid=np.zeros(INPUTS.shape[:2], bool))
    assert record.summary["verdict"] == "undetermined"
    assert (record.field("gate_activation").statuses() == Status.MASKED).all()
