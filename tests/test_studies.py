"""The studies: each says what it asks, runs in full at tiny size, and reads as it says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from gradscope import meanfield
from gradscope.errors import ArgumentError
from gradscope.experiments.measurement import measure
from gradscope.experiments.readings import zero_state_rate
from gradscope.experiments.runner import run_study
from gradscope.experiments.spec import Study, Sweep
from gradscope.experiments.studies import load_study, reading, study_module, study_names
from gradscope.experiments.trials import Grid
from gradscope.record import Field, Record
from gradscope.store import Store

TRAINED = ("iterations", "learning_rate", "clip")  # keys that only training has
SECTIONS = ("Question", "Prediction", "Command", "Runtime", "Reads as")


@pytest.mark.parametrize("name", study_names())
def test_a_study_says_what_it_asks_expects_takes_and_reads_as(name):
    docstring = inspect.getdoc(study_module(name))
    places = [docstring.find(f"\n{section}: ") for section in SECTIONS]
    assert all(place > 0 for place in places), dict(zip(SECTIONS, places, strict=True))
    assert places == sorted(places)
    assert docstring.splitlines()[0].endswith(".")
    assert f"\nCommand: gradscope sweep {name} --store {name}.db\n" in docstring
    assert re.search(r"\nQuestion: [^\n]*(\n(?!\n)[^\n]*)*\?", docstring), "a question ends in a question mark"
    assert re.search(r"\nRuntime: .*(second|minute|hour)", docstring)


def listed(name: str) -> str:
    """Return the row of a study on the page of studies, from its docstring."""
    docstring = inspect.getdoc(study_module(name))
    question = " ".join(re.search(r"\nQuestion: (.*?)\n\n", docstring, re.S)[1].split())
    runtime = " ".join(re.search(r"\nRuntime: (.*?)\n\n", docstring, re.S)[1].split()).removesuffix(".")
    return f"| `{name}` | {question[0].upper()}{question[1:]} | {runtime} |"


def test_the_page_of_studies_lists_each_with_its_question_and_runtime():
    page = (Path(__file__).parents[1] / "docs" / "studies.md").read_text(encoding="utf-8")
    table = page[page.index("## All studies") : page.index("## How a study is made")]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert rows == [listed(name) for name in study_names()]


@pytest.mark.parametrize("name", study_names())
def test_the_runs_of_a_study_are_different_runs(name):
    study = load_study(name)
    runs = [run for grid in study.sweeps for run in grid.runs()]
    assert runs
    assert len({run.id for run in runs}) >= 0.85 * len(runs)


def carried_out(tmp_path, name: str, **tiny) -> Store:
    """Return a store with the trials of a study, its parameters cut down to some values."""
    store = Store(tmp_path / f"{name}.db", "w")
    sweep = store.add_sweep(name, {})
    for grid in study_module(name).SWEEPS:
        small = Grid(grid.study, grid.measurement, version=grid.version, **{**grid.axes, **tiny})
        for trial in small.runs():
            store.start_run(trial.id, sweep, trial.config)
            store.finish_run(trial.id, {0: trial.measure()}, {}, 0.1)
    return store


def cut_down(sweep: Sweep) -> Sweep:
    """Return a sweep with the first and last value of each axis, small networks and hardly any training."""
    asked = sweep.describe()
    small = {key: [value[0], value[-1]] if isinstance(value, list) else value for key, value in asked.items()}
    small |= {
        "seed": [0],
        "batch_size": 8,
        "hidden_size": 4 if not isinstance(asked.get("hidden_size"), list) else [3, 5],
    }
    small |= {"probes": asked.get("probes", "cheap")}
    if asked.get("iterations"):
        small["iterations"] = 3
    if "examples" in asked:
        small["examples"] = [8, 16]
    if "length" in asked:
        longest = asked["length"][-1] if isinstance(asked["length"], list) else asked["length"]
        small["length"] = [20, 24] if isinstance(asked["length"], list) else 24 if longest > 24 else longest
    if "truncate" in asked:
        small["truncate"] = [5, 24]
    if str(asked.get("probe_schedule", "")).startswith("every"):
        small["probe_schedule"] = "every:1"
    if "evaluate_every" in asked:
        small["evaluate_every"] = 1
    return Sweep(**small)


OF_NETWORKS = [name for name in study_names() if all(isinstance(grid, Sweep) for grid in study_module(name).SWEEPS)]


@pytest.mark.parametrize("name", OF_NETWORKS)
def test_a_study_of_networks_runs_at_tiny_size_and_is_read(name, tmp_path):
    small = Study(name, tuple(cut_down(sweep) for sweep in study_module(name).SWEEPS))
    with Store(tmp_path / "r.db", "w") as store:
        tally = run_study(small, store, workers=0)
        assert tally.failed == 0, tally.errors
        assert tally.done == tally.total > 0
        found = reading(name, store)
        if not hasattr(study_module(name), "read"):
            assert found is None
            return
        assert found.lines != ("No run is finished.",)
        assert all(re.search(r"\d", line) for line in found.lines), found.lines
        for draw in found.figures:
            for theme in ("light", "dark"):
                titles = [axis.title.text for axis in draw(theme).select_xaxes()]
                assert all(re.search(r"\[.+\]", title) for title in titles)


def number(line: str, pattern: str) -> float:
    """Return a number of a line of a reading."""
    return float(re.search(pattern, line)[1])


def look(found, panels: int = 1) -> None:
    """Draw the figures of a reading in both themes; each says what it is."""
    assert found.figures
    for draw in found.figures:
        for theme in ("light", "dark"):
            figure = draw(theme)
            assert figure.layout.meta["title"]
            assert figure.layout.meta["caption"]
            titles = [axis.title.text for axis in figure.select_xaxes()]
            assert len(titles) == panels
            assert all(re.search(r"\[.+\]", title) for title in titles)


def test_the_wall_has_the_published_digits(tmp_path):
    with carried_out(tmp_path, "error_wall", points=21) as store:
        found = reading("error_wall", store)
        row = store.table()[0]
    module = study_module("error_wall")
    for w, (b, norm) in module.PEAKS.items():
        assert row[f"peak_b_{w:g}"] == pytest.approx(b, abs=2e-8)
        assert row[f"peak_norm_{w:g}"] == pytest.approx(norm, rel=1e-5)
    assert (row["clipped_w"], row["clipped_b"]) == pytest.approx(module.STEP, abs=1e-7)
    assert np.array(module.gradient(5.0, -2.61234136)) == pytest.approx([-3577.72, -5751.10], rel=1e-5)
    for b, cost, norm in (
        (-2.6130, 0.34157104, 0.2942246),
        (-2.6120, 0.00847633, 9.281034),
        (-2.0, 0.05558549, 0.05549566),
    ):
        assert module.error(5.0, b) == pytest.approx(cost, abs=5e-9)
        assert module.steepness(5.0, b) == pytest.approx(norm, rel=1e-5)
    assert number(found.lines[0], r"at most (\S+) off") < 1e-6
    look(found)


def test_the_wall_by_another_route():
    """The same unit as a network of gradscope: autograd through scan, and finite differences."""
    from autograd import grad

    from gradscope.adjoint import scan
    from gradscope.cells import RNN

    module = study_module("error_wall")
    cell = RNN(1, 1, "sigmoid")
    start = np.full((1, 1), 1 / (1 + np.exp(-module.START)))

    def loss(params):
        return (scan(cell, params, np.zeros((module.LENGTH, 1, 1)), start)[-1, 0, 0] - module.TARGET) ** 2

    # hidden = sigmoid(x): 50 steps of the pre-activation are 50 of the hidden state, which begins at sigmoid(0.5)
    for w, b in ((5.0, -2.612), (5.0, -2.0), (4.6, -2.36427580), (4.8, -2.5)):
        params = {"W_x": np.zeros((1, 1)), "W_h": np.full((1, 1), w), "b": np.full(1, b)}
        found = grad(loss)(params)
        expected = module.gradient(w, b)
        assert [found["W_h"].item(), found["b"].item()] == pytest.approx(expected, rel=1e-7)
        step = 1e-7
        rise = (module.error(w, b + step) - module.error(w, b - step)) / (2 * step)
        assert float(expected[1]) == pytest.approx(rise, rel=2e-3)


def test_the_largest_exponent_meets_theory(tmp_path):
    tiny = {"units": [40, 80], "gain": [0.8, 2.0, 3.0], "steps": 300, "seed": [0, 1]}
    with carried_out(tmp_path, "largest_exponent", **tiny) as store:
        found = reading("largest_exponent", store)
        rows = store.table()
    tanh = [
        row["lyapunov_1"] for row in rows if row["activation"] == "tanh" and row["gain"] == 3.0 and row["units"] == 80
    ]
    assert np.mean(tanh) == pytest.approx(meanfield.largest_exponent(3.0), abs=0.08)
    assert any(line.startswith("tanh, gain 3, extrapolated to infinite N") for line in found.lines)
    look(found, panels=2)


def test_a_line_through_known_points_is_extrapolated():
    extrapolate = study_module("largest_exponent")._extrapolate
    rows = [{"gain": 3.0, "units": n, "lyapunov_1": 0.31 - 3 / n} for n in (50, 100, 200) for _ in range(2)]
    *_, intercept, slope, error = extrapolate(rows)
    assert (intercept, slope, error) == pytest.approx((0.31, -3.0, 0.0), abs=1e-9)
    assert extrapolate(rows[:2]) is None


def test_spectra_meet_the_closed_form(tmp_path):
    tiny = {"units": 60, "gain": [3.0, 5.0], "steps": 250, "seed": 0}
    with carried_out(tmp_path, "lyapunov_spectra", **tiny) as store:
        found = reading("lyapunov_spectra", store)
        rows = store.table(where=["activation=tanh", "gain=3"])
    assert rows[0]["mean_exponent"] == pytest.approx(-2.27, abs=0.2)
    assert rows[0]["dimension_per_unit"] == pytest.approx(0.2877, abs=0.06)
    assert rows[0]["positive_share"] == pytest.approx(0.153, abs=0.05)
    assert len(found.lines) == 8
    look(found, panels=3)


def test_input_moves_the_edge_of_chaos(tmp_path):
    tiny = {"units": 100, "input_variance": [0.1, 1.0], "gain": [1.0, 1.5, 2.0, 3.0], "steps": 150, "burn_in": 50}
    with carried_out(tmp_path, "input_and_chaos", **tiny) as store:
        found = reading("input_and_chaos", store)
        for row in store.table():
            theory = meanfield.largest_exponent(row["gain"], row["input_variance"], row["activation"])
            assert row["lyapunov_1"] == pytest.approx(theory, abs=0.08)
            chi = meanfield.mean_square_slope(row["gain"], row["input_variance"], row["activation"])
            assert row["mean_square_slope"] == pytest.approx(chi, rel=0.08)
    assert number(found.lines[1], r"at most (\S+) in gain") < 0.25
    look(found)


def test_a_cell_that_never_forgets_grows_on_a_stream(tmp_path):
    tiny = {"hidden_size": 5, "length": 20, "iterations": 5, "stream": 400, "seed": 0}
    with carried_out(tmp_path, "continual_stream", **tiny) as store:
        found = reading("continual_stream", store)
        rows = {row["cell"]: row for row in store.table()}
    assert rows["LSTM97"]["cell_norm"] > 2 * rows["LSTM97"]["cell_norm_early"]
    assert rows["LSTM"]["cell_norm"] < 2 * rows["LSTM"]["cell_norm_early"]
    assert len(found.lines) == 4
    look(found, panels=2)


def test_a_sigmoid_flattens_and_softsign_has_its_closed_form(tmp_path):
    with carried_out(tmp_path, "repeated_sigmoid", points=61) as store:
        found = reading("repeated_sigmoid", store)
        rows = {row["activation"]: row for row in store.table()}
    for count in study_module("repeated_sigmoid").TIMES:
        assert rows["softsign"][f"slope_{count}"] == pytest.approx(-2 * np.log10(1 + count * 0.7), rel=1e-12)
        assert rows["sigmoid"][f"slope_{count}"] <= -count * np.log10(4.0)
    assert rows["sigmoid"]["spread_64"] < 1e-12
    closed = next(line for line in found.lines if "closed form" in line)
    assert number(closed, r"at most (\S+) off") < 1e-12
    look(found, panels=2)


def test_clipping_by_norm_keeps_the_direction_and_by_value_turns_it(tmp_path):
    small = Study("clipping", (cut_down(study_module("clipping").SWEEPS[0]),))
    with Store(tmp_path / "r.db", "w") as store:
        run_study(small, store, workers=0)
        lines = reading("clipping", store).lines
    assert number(lines[0], r"at most (\S+) off 1") < 1e-14
    assert number(lines[1], r"at most (\S+) off 1") > 1e-3


def read_of(tmp_path, name: str, number: int = 0, **changed):
    """Return what a study reads from one of its grids, some of whose values are others."""
    asked = study_module(name).SWEEPS[number].describe()
    with Store(tmp_path / f"{name}.db", "w") as store:
        tally = run_study(Study(name, (Sweep(**{**asked, **changed}),)), store, workers=0)
        assert tally.failed == 0, tally.errors
        return reading(name, store)


@pytest.mark.parametrize(("cell", "bias"), [("LSTM", -2.0), ("LSTM", 0.0), ("LSTM", 1.0), ("GRU", 0.0), ("GRU", 3.0)])
def test_the_zero_state_is_that_of_the_cell_itself(cell, bias):
    """Weights of the identity, which is orthogonal: the largest eigenvalue of the Jacobian by autograd."""
    from gradscope.cells import cell_class
    from gradscope.linearization import linearize
    from gradscope.trajectory import unroll

    made = cell_class(cell)(1, 3, forget_bias=bias)
    params = made.init(np.random.default_rng(0), recurrent="identity")
    jacobian = linearize(unroll(made, params, np.zeros((2, 1, 1)))).jacobians()[1, 0]
    largest = np.abs(np.linalg.eigvals(jacobian)).max()
    assert zero_state_rate(cell, bias) == pytest.approx(-np.log(largest), rel=1e-12)


def test_a_zero_state_that_grows_has_no_rate_below_0():
    assert zero_state_rate("LSTM", 3.0) == 0.0
    assert zero_state_rate("GRU", 3.0) > 0.0


def test_the_forget_bias_sets_the_rate_that_the_zero_state_has(tmp_path):
    changed = {"forget_bias": [-2, 0, 3], "length": 50, "seed": 0, "activation": "tanh"}
    found = read_of(tmp_path, "forget_bias", **changed)
    assert [line.split(",")[0] for line in found.lines] == ["GRU", "LSTM"]
    for line in found.lines:
        assert number(line, r"zero state at most (\S+) up to bias 0") < 0.06
    assert number(found.lines[1], r"(-?[\d.]+) at bias 3") == pytest.approx(0.0, abs=0.05)
    look(found, panels=2)


def test_a_rate_belongs_to_the_cell_and_not_to_the_length(tmp_path):
    changed = {"cell": ["LSTM", "GRU"], "forget_bias": 0, "length": [50, 200], "seed": 0}
    found = read_of(tmp_path, "sequence_length", **changed)
    for line in found.lines:
        assert number(line, r"(\S+) between the largest and the least") < 0.02
        assert abs(number(line, r"; (\S+) off the zero state")) < 0.03
    look(found)


def test_the_rate_of_a_plain_network_is_that_of_its_slope(tmp_path):
    found = read_of(tmp_path, "quickstart", 1, cell="RNN", gain=[0.5, 1, 1.5])
    slopes = [line for line in found.lines if line.startswith("RNN")]
    assert [line.split(":")[0] for line in slopes] == ["RNN, relu", "RNN, softsign", "RNN, tanh"]
    for line in slopes:
        assert number(line, r"at most (\S+) off -ln") < (0.15 if "relu" in line else 0.06)  # units that are never on
    look(found)


def test_the_quickstart_tells_rates_of_gated_cells_beside_the_zero_state(tmp_path):
    found = read_of(tmp_path, "quickstart", 0, length=[50, 100], forget_bias=[-1, 0])
    assert [line.split(",")[0] for line in found.lines[:2]] == ["GRU", "LSTM"]
    for line in found.lines[:2]:
        assert number(line, r"at most (\S+) off the zero state") < 0.05
    assert number(found.lines[2], r"varies with the length by at most (\S+) nat/step") < 0.03


def test_a_gap_is_that_between_the_very_examples_and_the_test_split():
    """Eight digits learned by heart: right in all of them, and hardly better than a guess elsewhere."""
    asked = study_module("examples_and_parameters").SWEEPS[0].describe()
    few = Sweep(**asked | {"hidden_size": 16, "examples": 8, "seed": 0, "iterations": 60}).runs()[0]
    metrics = measure(few, few.load_task()).metrics
    assert metrics["accuracy_train"] == 1.0
    assert metrics["accuracy_after"] < 0.6


@pytest.mark.slow
def test_the_lstm_of_1997_learns_temporal_order_and_a_plain_rnn_does_not(tmp_path):
    """The study itself with one seed and a fifth of the updates: 1.000 against chance."""
    asked = [sweep.describe() for sweep in study_module("temporal_order").SWEEPS]
    few = tuple(Sweep(**{**one, "seed": 0, "iterations": 300, "probes": ["transport"]}) for one in asked)
    with Store(tmp_path / "r.db", "w") as store:
        run_study(Study("temporal_order", few), store, workers=0)
        found = {row["cell"]: row["accuracy_after"] for row in store.table(iteration="last")}
        figures = reading("temporal_order", store)
    assert found["LSTM97"] > 0.98
    assert 0.18 < found["RNN"] < 0.32
    look(figures, panels=2)


def test_the_reach_of_first_gradients_is_that_of_an_independent_program():
    """The networks of forget bias and length at 200 steps, tanh, before training: its published column."""
    module = study_module("forget_bias_and_length")
    asked = {key: value for key, value in module.SWEEPS[0].describe().items() if key not in TRAINED}
    for bias, expected in zip(module.BIASES, (-307, -104, -39, 0, 4), strict=True):
        run = Sweep(**{**asked, "activation": "tanh", "length": 200, "seed": 0, "forget_bias": bias}).runs()[0]
        gradient = measure(run, run.load_task()).records[0]["cell_gradient"] * np.log(10.0)
        assert np.median(gradient[1] - gradient[-1]) == pytest.approx(expected, rel=0.12, abs=5)


def test_who_solved_it_at_the_end_and_who_once_stand_beside_the_published_count(tmp_path):
    """Three seeds of bias -2 and 50 steps, all solved elsewhere: here one at the end, one for a while, one not."""
    module = study_module("forget_bias_and_length")
    asked = module.SWEEPS[0].describe() | {"activation": "tanh", "length": 50, "forget_bias": -2.0}
    gradient = Field("cell_gradient", np.linspace(-40.0, 0.0, 51)[:, None], ("time", "batch"), "log10", {})
    with Store(tmp_path / "r.db", "w") as store:
        sweep = store.add_sweep("forget_bias_and_length", {})
        for run, losses in zip(Sweep(**asked).runs(), ((0.1, 0.03), (0.03, 0.05), (0.3, 0.05)), strict=True):
            store.start_run(run.id, sweep, run.config)
            curve = {"validation_loss": dict(zip((1000, 2000), losses, strict=True))}
            store.finish_run(
                run.id, {0: Record({"cell_gradient": gradient}, {})}, {"loss_after": losses[1]}, 1.0, curve
            )
        found = reading("forget_bias_and_length", store)
    told = [
        re.search(r"(at the end|at some evaluation):.*biases -2: (\d); .* at most (\d) off", line)
        for line in found.lines
    ]
    assert [match.groups() for match in told if match] == [("at the end", "1", "2"), ("at some evaluation", "2", "1")]
    (plane,) = found.figures[1]("light").data
    assert plane.text[0][0] == "1 of 3, once 2<br>theirs 3"


def test_the_reach_of_a_first_gradient_is_that_of_the_cell_state():
    """Against plain back-propagation through the cell's equations, on the study's own network."""
    import autograd.numpy as anp
    from autograd import grad

    from gradscope.activations import sigmoid
    from gradscope.experiments.training import build_network, init_weights, network_params, sequence_loss
    from gradscope.probes import probe
    from gradscope.trajectory import unroll

    module = study_module("forget_bias_and_length")
    run = next(run for run in module.SWEEPS[0].runs() if run.forget_bias == -2.0 and run.length == 50)
    task = run.load_task()
    network = build_network("LSTM", task.input_size, 8, forget_bias=-2.0)
    weights = init_weights(network, np.random.default_rng(0), task.output_size, "gaussian", 0.5)
    batch = task.draw(np.random.default_rng(1), 6, 50, "test")
    params = network_params(network, weights)
    record = probe(network, params, batch.inputs, ["cell_gradient"], sequence_loss(weights, batch))
    found = (record["cell_gradient"][1] - record["cell_gradient"][-1]) * np.log(10.0)
    states = unroll(network, params, batch.inputs).states

    def loss(c, t):
        """The loss as a function of the cell state at time t, which h_t follows: h = o tanh(c)."""
        drive = batch.inputs[t - 1] @ params["W_x"].T + params["b"] + states[t - 1, :, :8] @ params["W_h"].T
        h = sigmoid(drive[:, 24:]) * anp.tanh(c)
        for inputs in batch.inputs[t:]:
            drive = inputs @ params["W_x"].T + params["b"] + anp.dot(h, params["W_h"].T)
            i, f, g, o = (drive[:, 8 * k : 8 * k + 8] for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * anp.tanh(g)
            h = sigmoid(o) * anp.tanh(c)
        return anp.sum((anp.dot(h, weights["W_out"].T) + weights["b_out"] - batch.targets) ** 2)

    norms = [np.linalg.norm(grad(loss)(states[t, :, 8:], t), axis=1) for t in (1, 50)]
    assert found == pytest.approx(np.log(norms[0] / norms[1]), rel=1e-9)
    assert np.median(found) / 49 == pytest.approx(module.slope(-2.0), abs=0.3)


@pytest.mark.parametrize("name", [name for name in study_names() if hasattr(study_module(name), "read")])
def test_a_reading_of_an_empty_store_says_so(name, tmp_path):
    with Store(tmp_path / "r.db", "w") as store:
        store.add_sweep(name, {})
        found = reading(name, store)
    assert found.figures == ()
    assert found.lines == ("No run is finished.",)


def test_a_sweep_of_ones_own_has_no_reading(tmp_path):
    with Store(tmp_path / "r.db", "w") as store:
        assert reading("mine", store) is None


def test_a_name_that_is_no_study_gets_the_nearest_one():
    with pytest.raises(ArgumentError, match=r"Did you mean 'error_wall'\? Or give a TOML file"):
        study_module("eror_wall")
