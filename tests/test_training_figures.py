"""Figures over the iterations of a training: every number drawn has a second route to it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawn_figures import names, notes, texts, trace
from sample_records import sample

import gradscope as gs
from gradscope import figures
from gradscope.errors import ArgumentError
from gradscope.figures import iterations, learning, series, training
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Field, Record, Status

EVEN, UNEVEN = (0, 20, 40, 60), (0, 1, 3, 10, 32, 100, 316)


def course(when: tuple[int, ...] = EVEN, cell: str = "LSTM", length: int = 30, batch: int = 6) -> dict[int, Record]:
    """Return records of a training that makes the gradient survive, with what a training leaves in the last one."""
    found = {
        n: sample(cell, length, batch, 8, rate=0.3 / (1 + place), keep_bias=float(place), seed=place)
        for place, n in enumerate(when)
    }
    rng, updates = np.random.default_rng(0), when[-1]
    norm = np.exp(rng.normal(size=updates))
    arrays = {
        "training_loss": (np.linspace(2.3, 0.1, updates), "nat"),
        "training_gradient_norm": (norm, "1"),
        "training_gradient_norm.clipped": (np.minimum(norm, 1.0), "1"),
        "training_gradient_norm.cosine": (np.ones(updates), "1"),
        "training_learning_rate": (np.linspace(0.01, 0.001, updates), "1"),
    }
    for name, (values, unit) in arrays.items():
        found[updates].fields[name] = Field(name, values, ("iteration",), unit)
    return found


CURVES = {
    "validation_loss": (np.array([0, 30, 60]), np.array([2.4, 1.0, 0.2])),
    "validation_accuracy": (np.array([0, 30, 60]), np.array([0.1, 0.5, 0.9])),
}
METRICS = {
    "loss_baseline": 2.302585,
    "loss_before": 2.35,
    "loss_after": 0.25,
    "accuracy_baseline": 0.1,
    "accuracy_before": 0.12,
    "accuracy_after": 0.88,
    "updates_kept": 60.0,
}


def heat(figure) -> np.ndarray:
    """Return the values of a map, a row for each iteration."""
    return np.asarray(figure.data[0].z, float).T


# Map and cut ----------------------------------------------------------------------------------------------------------


def test_a_column_of_the_map_is_the_median_of_its_iteration():
    records = course()
    for name in ("transport", "state_gradient"):
        drawn = heat(figures.training_map(records, name))
        np.testing.assert_array_equal(drawn, [np.median(one[name], axis=1) for one in records.values()])
    drawn = heat(figures.training_map(records, "jacobian_rms"))
    expected = [np.median(np.log10(one["jacobian_rms"]), axis=1) for one in records.values()]
    np.testing.assert_allclose(drawn, expected, rtol=1e-12)


def test_the_cut_is_the_column_of_the_map_and_the_curve_of_the_probes_own_figure():
    records = course()
    for name in ("transport", "retention", "jacobian_norm"):
        whole = figures.training_map(records, name)
        for place, (n, record) in enumerate(records.items()):
            cut = trace(figures.training_cut(records, name, n), training.moment(n))
            np.testing.assert_array_equal(cut.y, heat(whole)[place])
            np.testing.assert_array_equal(cut.y, trace(figures.figure(name, record), "median").y)


def test_every_probe_has_a_map_and_a_cut_in_each_of_its_views():
    records = course((0, 5, 50))
    for name in CATALOGUE:
        for view in training.views(records[0], name):
            for figure in (
                figures.training_map(records, name, view=view, template="dark"),
                figures.training_cut(records, name, 5, view=view),
            ):
                json.loads(figure.to_json())
                assert figure.layout.meta["title"]
                assert figure.layout.meta["source"] == CATALOGUE[name].source
                assert figure.layout.xaxis.title.text
                assert {one.type for one in figure.data} <= {"scatter", "heatmap"}


def test_the_views_look_at_one_gate_and_take_the_median_over_units():
    records = course()
    found = training.views(records[0], "gate_activation")
    assert list(found)[:2] == ["forget, by step", "input, by step"]
    gate = records[0].field("gate_activation").coord("gate").index("output")
    drawn = heat(figures.training_map(records, "gate_activation", view="output, by step"))
    np.testing.assert_allclose(drawn, [np.median(r["gate_activation"][gate], axis=1) for r in records.values()])
    drawn = heat(figures.training_map(records, "gate_activation", view="output, by unit"))
    np.testing.assert_allclose(drawn, [np.median(r["gate_activation"][gate], axis=0) for r in records.values()])
    assert next(iter(training.views(records[0], "weight_gradient"))).startswith("W_h, forget")
    assert "Medians over the units" in notes(figures.training_map(records, "gate_activation"))[0]


def test_spectra_are_seen_by_rank_and_at_the_longest_lag():
    records = course()
    drawn = heat(figures.training_map(records, "transport_spectrum", view="by rank"))
    np.testing.assert_allclose(drawn, [np.median(r["transport_spectrum"][-1], axis=1) for r in records.values()])
    drawn = heat(figures.training_map(records, "transport_spectrum", view="by lag"))
    np.testing.assert_allclose(drawn, [np.median(r["transport_spectrum"][:, 0], axis=1) for r in records.values()])
    drawn = heat(figures.training_map(records, "jacobian_eigenvalues"))
    radius = [np.abs(r["jacobian_eigenvalues"]).max(1) for r in records.values()]
    np.testing.assert_allclose(drawn, [np.median(np.log10(one), axis=1) for one in radius])
    drawn = heat(figures.training_map(records, "timescale"))
    np.testing.assert_allclose(drawn, [np.log10(np.sort(r["timescale"])[::-1]) for r in records.values()])


def test_exponents_have_colours_around_zero():
    records = course()
    first = figures.training_map(records, "lyapunov_spectrum").data[0]
    np.testing.assert_array_equal(np.asarray(first.z).T, [r["lyapunov_spectrum"] for r in records.values()])
    assert (first.zmid, first.zmin) == (0, -first.zmax)


def test_cells_stand_at_their_true_place_on_the_axis_that_suits():
    even, uneven = course(), course(UNEVEN)
    assert iterations.chosen_scale(even) == "linear"
    assert iterations.chosen_scale(uneven) == "log"
    whole = figures.training_map(even, "transport")
    np.testing.assert_array_equal(whole.data[0].x, EVEN)
    assert whole.layout.xaxis.title.text == "iteration n"
    whole = figures.training_map(uneven, "transport")
    np.testing.assert_allclose(whole.data[0].x, np.log10(np.array(UNEVEN) + 1))
    assert whole.layout.xaxis.title.text == "iteration n, log scale"
    ticks = dict(zip(whole.layout.xaxis.ticktext, whole.layout.xaxis.tickvals, strict=True))
    assert ticks["0"] == 0
    assert ticks["100"] == pytest.approx(np.log10(101))
    np.testing.assert_array_equal(np.asarray(whole.data[0].customdata)[0], UNEVEN)
    other = figures.training_map(uneven, "transport", scale="linear")
    np.testing.assert_array_equal(other.data[0].x, UNEVEN)


def test_few_columns_are_named_and_no_tick_stands_before_the_first():
    axis = figures.training_map(course((0, 1500)), "transport").layout.xaxis
    assert dict(zip(axis.ticktext, axis.tickvals, strict=True)) == {"0": 0, "1,500": 1500}
    assert figures.training_map(course(UNEVEN), "transport", scale="linear").layout.xaxis.tickvals is None


def test_the_table_of_a_map_says_iterations_whatever_the_axis():
    records = course(UNEVEN)
    rows = figures.table(figures.training_map(records, "transport"))
    assert sorted(set(rows["iteration"])) == list(UNEVEN)
    at = [v for n, t, v in zip(rows["iteration"], rows["time"], rows["value"], strict=True) if (n, t) == (32, 7)]
    assert at == [float(np.median(records[32]["transport"][7]))]


def test_zero_underflow_nan_inf_and_masked_have_marks_of_their_own():
    kinds = {
        "exactly zero": (Status.ZERO, -np.inf),
        "below the float range": (Status.UNDERFLOW, -400.0),
        "masked": (Status.MASKED, np.nan),
        "NaN": (Status.NAN, np.nan),
        "inf": (Status.INF, np.inf),
    }
    records = {}
    for n, (status, value) in enumerate(kinds.values()):
        values, found = np.full((6, 4), -1.0), np.zeros((6, 4), np.uint8)
        values[n], found[n] = value, status  # of all sequences at time n
        values[5, 0], found[5, 0] = value, status  # of one of four at time 5
        records[n] = Record({"transport": Field("transport", values, ("time", "batch"), "log10", {}, found)})
    whole = figures.training_map(records, "transport")
    for n, word in enumerate(kinds):
        marks = next(np.asarray(one.z, float).T == 1 for one in whole.data if one.name == word and len(one.z) == 6)
        assert np.argwhere(marks).tolist() == [[n, n]]
    drawn = heat(whole)
    assert drawn[1, 1] == -400
    assert np.isnan(drawn[[0, 2, 3, 4], [0, 2, 3, 4]]).all()
    assert (drawn[:, 5] == -1).all()  # the median of the other sequences
    strips = {one.name: np.asarray(one.z, float)[0] for one in whole.data if one.type == "heatmap" and len(one.z) == 1}
    assert {word: np.nansum(counts) for word, counts in strips.items()} == {"masked": 4, "NaN": 4, "inf": 4}
    for n, word in enumerate(kinds):
        cut = figures.training_cut(records, "transport", n)
        if word == "below the float range":
            assert trace(cut, f"iteration {n}, below the float range").line.dash == "1px,3px"
        else:
            counts = next(np.asarray(one.z, float)[0] for one in cut.data if one.type == "heatmap" and one.name == word)
            np.testing.assert_array_equal(
                counts, np.where(np.arange(6) == n, 4, np.where(np.arange(6) == 5, 1, np.nan))
            )


def test_an_iteration_that_lacks_the_probe_or_has_another_grid_is_marked():
    records = course()
    del records[20].fields["transport"]
    records[40] = sample("LSTM", 12, 6, 8)
    whole = figures.training_map(records, "transport")
    marks = next(one for one in whole.data if one.name == "not computed")
    np.testing.assert_array_equal((np.asarray(marks.z, float) == 1).all(0), [False, True, True, False])
    assert "No finite value at this iteration." in texts(figures.training_cut(records, "transport", 20))


def test_a_diverged_training_names_its_iteration():
    records = course()
    records[60].summary["first_bad_step"] = {
        "pass": "forward",
        "iteration": 57,
        "t": 3,
        "sequence": 1,
        "array": "states",
    }
    whole = figures.training_map(records, "transport")
    assert notes(whole)[0] == "First bad step: t = 3 in sequence 1 (states, forward pass), iteration 57."
    assert {shape.x0 for shape in whole.layout.shapes} == {57}
    for figure in (
        figures.training_loss(records),
        figures.training_gradient(records),
        figures.training_numbers(records),
    ):
        assert "iteration 57: the training ended." in notes(figure)[0]


def test_the_axes_of_the_cuts_are_the_same_and_span_every_iteration():
    records = course()
    ranges = {figures.training_cut(records, "transport", n).layout.yaxis.range for n in EVEN}
    assert len(ranges) == 1
    low, high = ranges.pop()
    every = np.concatenate([np.quantile(one["transport"], [0.05, 0.95], axis=1).ravel() for one in records.values()])
    assert low <= every.min() < every.max() <= high


def test_the_ghost_is_the_first_iteration():
    records = course()
    cut = figures.training_cut(records, "transport", 40)
    ghost = trace(cut, "before training")
    np.testing.assert_array_equal(ghost.y, np.median(records[0]["transport"], axis=1))
    assert ghost.line.dash == "dot"
    assert "before training" not in names(figures.training_cut(records, "transport", 40, ghost=False))
    assert names(figures.training_cut(records, "transport", 0)).count("before training") == 1


def test_many_places_become_blocks_that_hold_their_largest():
    values = np.random.default_rng(0).normal(size=(1201, 3))
    records = {n: Record({"transport": Field("transport", values + n, ("time", "batch"), "log10")}) for n in (0, 5)}
    whole = figures.training_map(records, "transport")
    medians = np.median(values, axis=1)
    blocks = [medians[i : i + 4].max() for i in range(0, 1201, 4)]
    np.testing.assert_allclose(heat(whole)[0], blocks)
    assert "Each row shows the largest of 4 times." in notes(whole)
    assert len(trace(figures.training_cut(records, "transport", 5), "iteration 5").x) <= series.LIMIT


def test_pairs_are_taken_one_by_one():
    whole = figures.training_map(((n, record) for n, record in course().items()), "transport")
    np.testing.assert_array_equal(heat(whole), heat(figures.training_map(course(), "transport")))


def test_what_does_not_apply_gets_a_sentence():
    records = course(cell="RNN")
    assert "needs a cell with a gate that keeps" in texts(figures.training_map(records, "retention"))
    assert "needs a cell with a gate that keeps" in texts(figures.training_cut(records, "retention", 0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: figures.training_map({}, "transport"), r"at least one iteration, got none\. Read them with"),
        (lambda r: figures.training_map([(3, r[0]), (3, r[20])], "transport"), r"got 3 after 3\. Give a dict, or sort"),
        (lambda r: figures.training_map(r, "transport", view="by unit"), "`view` must be one of"),
        (lambda r: figures.training_map(r, "transport", scale="square"), "`scale` must be .*Or give none"),
        (lambda r: figures.training_map(r, "transprot"), "Did you mean 'transport'"),
        (lambda r: figures.training_cut(r, "transport", 7), r"one of 0, 20, 40, 60, got 7.*denser `probe_schedule`"),
        (lambda r: figures.training_map({0: Record()}, "transport"), "Ask for it with `probes="),
        (lambda r: figures.training_map(r, "transport", template="sepia"), "`template` must be one of light, dark"),
        (lambda r: training.views(r[0], "transprot"), "Did you mean 'transport'"),
    ],
)
def test_mistakes_are_told_with_the_way_out(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(course())


# Loss, gradient, numbers ----------------------------------------------------------------------------------------------


def test_the_loss_is_drawn_with_its_baseline_and_what_was_held_out():
    records = course()
    figure = figures.training_loss(records, CURVES, METRICS)
    batch = trace(figure, "batch")
    assert batch.x.tolist() == list(range(60))
    logarithms = np.log10(records[60]["training_loss"])  # over a factor of 20
    np.testing.assert_allclose(batch.y, logarithms)
    held = [one for one in figure.data if one.name == "validation"]
    assert [one.yaxis for one in held] == ["y", "y3"]
    np.testing.assert_allclose(held[0].y, np.log10(CURVES["validation_loss"][1]))
    np.testing.assert_array_equal(held[1].y, CURVES["validation_accuracy"][1])
    tested = [one for one in figure.data if one.name == "test"]
    np.testing.assert_allclose(tested[0].y, np.log10([2.35, 0.25]))
    assert (list(tested[1].x), list(tested[1].y)) == ([0, 60], [0.12, 0.88])
    lines = {shape.yref: shape.y0 for shape in figure.layout.shapes}
    assert lines == {"y": pytest.approx(np.log10(2.302585)), "y3": 0.1}
    assert "Loss [nat, log scale]" in texts(figure)
    assert "Accuracy [fraction]" in texts(figure)


def test_a_loss_without_accuracy_has_one_panel_and_nan_ends_in_a_strip():
    records = course()
    entry = records[60].fields["training_loss"]
    values = np.append(entry.values[:-1], np.nan)
    records[60].fields["training_loss"] = Field("training_loss", values, ("iteration",), "nat")
    figure = figures.training_loss(records)
    assert {one.yaxis for one in figure.data if one.type == "scatter" and one.name == "batch"} == {"y"}
    assert "yaxis3" not in figure.layout.to_plotly_json()
    strip = trace(figure, "NaN", "heatmap")
    np.testing.assert_array_equal(np.flatnonzero(np.asarray(strip.z, float)[0] == 1), [59])


def test_gradients_before_and_after_share_their_axis_and_the_clipped_are_counted():
    records = course()
    figure = figures.training_gradient(records, limit=1.0)
    before, after = trace(figure, "before clipping"), trace(figure, "after clipping")
    np.testing.assert_allclose(before.y, np.log10(records[60]["training_gradient_norm"]))
    np.testing.assert_allclose(after.y, np.log10(records[60]["training_gradient_norm.clipped"]))
    assert before.yaxis == after.yaxis == "y"
    assert 3 > before.line.width > after.line.width  # where they are one, an edge of the first shows
    clipped = records[60]["training_gradient_norm"] > 1
    assert f"Clipped: {100 * clipped.mean():.3g} % of 60 gradients." in notes(figure)
    shares = trace(figure, "share of clipped updates", "heatmap")
    np.testing.assert_array_equal(np.asarray(shares.z)[0], clipped)  # one cell for each of so few
    assert "limit 1" in texts(figure)
    rate = trace(figure, "learning rate")
    np.testing.assert_array_equal(rate.y, records[60]["training_learning_rate"])
    assert "cosine" not in [one.name for one in figure.data]  # 1 throughout says nothing


def test_a_gradient_that_is_not_a_number_was_not_clipped():
    records = course()
    for name in ("training_gradient_norm", "training_gradient_norm.clipped"):
        values = np.append(np.full(59, 0.5), np.nan)
        records[60].fields[name] = Field(name, values, ("iteration",), "1")
    figure = figures.training_gradient(records)
    assert "Clipped: 0 % of 60 gradients." in notes(figure)
    assert "share of clipped updates" not in [one.name for one in figure.data]


def test_the_cosine_is_drawn_where_clipping_turned_the_gradient():
    records = course()
    cosine = np.linspace(1.0, 0.6, 60)
    records[60].fields["training_gradient_norm.cosine"] = Field("c", cosine, ("iteration",), "1")
    records[60].fields["training_learning_rate"] = Field("r", np.full(60, 0.003), ("iteration",), "1")
    figure = figures.training_gradient(records)
    np.testing.assert_array_equal(trace(figure, "cosine").y, cosine)
    assert "Learning rate 0.003 throughout." in notes(figure)


def test_the_strip_of_clipped_updates_holds_every_update_on_a_log_axis():
    records = course(UNEVEN)
    figure = figures.training_gradient(records)
    strip = trace(figure, "share of clipped updates", "heatmap")
    clipped = records[316]["training_gradient_norm"] > 1
    assert len(strip.x) == len(np.asarray(strip.z)[0]) + 1
    for edge, share, told in zip(strip.x, np.asarray(strip.z)[0], np.asarray(strip.customdata)[0], strict=False):
        first, _, last = told.partition(" to ")
        assert int(first) <= 10**edge - 1 + 1e-9 < int(last or first) + 1
        assert share == clipped[int(first) : int(last or first) + 1].mean()


def test_means_stand_in_where_no_arrays_were_kept():
    records = {n: Record({}, {"decay_rate": 0.1 / (1 + n), "verdict": "stable"}) for n in EVEN}
    means = {name: (np.array([20, 40]), np.array([2.0, 1.0])) for name in ("training_loss", "training_gradient_norm")}
    means["training_gradient_norm_clipped"] = (np.array([20, 40]), np.array([1.0, 1.0]))
    figure = figures.training_loss(records, means)
    assert trace(figure, "batch, mean since the last evaluation").y.tolist() == [2.0, 1.0]
    figure = figures.training_gradient(records, means)
    assert "Single updates were not kept: means since the last evaluation." in notes(figure)


def test_a_network_that_was_not_trained_gets_a_sentence():
    for draw in (figures.training_loss, figures.training_gradient):
        assert "was not trained" in texts(draw({0: sample()}))


def test_numbers_follow_the_records_with_their_intervals_and_verdicts():
    records = course()
    records[60].summary |= {"verdict": "exploding", "horizon_censored": 1.0}
    for record in records.values():
        record.summary["decay_rate_interval"] = [factor * record.summary["decay_rate"] for factor in (0.9, 1.4)]
    figure = figures.training_numbers(records)
    rate = trace(figure, "decay rate")
    assert rate.x.tolist() == list(EVEN)
    np.testing.assert_array_equal(rate.y, [one.summary["decay_rate"] for one in records.values()])
    low, high = np.array([one.summary["decay_rate_interval"] for one in records.values()]).T
    np.testing.assert_allclose(rate.y - rate.error_y.arrayminus, low)
    np.testing.assert_allclose(rate.y + rate.error_y.array, high)
    verdicts = [one.summary["verdict"] for one in records.values()]
    assert list(rate.marker.color) == [figures.palette.colour(one) for one in verdicts]
    horizon = trace(figure, "horizon")
    assert horizon.yaxis == "y3"
    assert horizon.marker.symbol[-1] == "circle-open"
    assert set(verdicts) <= set(names(figure))
    assert "Decay rate [nat/step]" in texts(figure)
    assert learning.numbers_of(records)[:2] == ["decay_rate", "horizon"]


def test_a_number_that_no_record_has_is_left_out():
    records = course()
    assert "y3" not in [one.yaxis for one in figures.training_numbers(records, ("decay_rate", "nonsense")).data]
    assert "No record has nonsense." in texts(figures.training_numbers(records, ("nonsense",)))


def test_they_are_public():
    assert gs.figures.training_map is training.training_map
    assert gs.figures.training_loss is learning.training_loss
