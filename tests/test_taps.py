"""Taps: what they hear against scan's own gradients, and how they behave where programs nest, repeat and fail."""

from __future__ import annotations

import threading

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from plain_routes import cases, make_case, step

import gradscope as gs
from gradscope.errors import ArgumentError
from gradscope.taps import listen, tap


def run(case, params, tapped=True, inputs=None):
    """Return the loss of a hand-written loop with a tap on every state."""
    state, total = case.state, 0.0
    for t, x in enumerate(case.inputs if inputs is None else inputs):
        state = anp.stack([step(case.name, case.phi, params, x[b], state[b]) for b in range(len(state))])
        if tapped:
            state = tap("state", state, t)
        total = total + anp.sum(anp.sin(state)) / (t + 1)
    return total


@settings(max_examples=25)
@given(cases(activations=("tanh", "softsign")))
def test_a_tap_hears_the_states_and_their_total_gradient(case):
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
    scale = 1.0 / np.arange(1, len(case.inputs) + 1)
    direct = np.zeros(lin.trajectory.states.shape)
    direct[1:] = np.cos(lin.trajectory.states[1:]) * scale[:, None, None]
    with listen() as heard:
        autograd.grad(lambda params: run(case, params))(case.params)
    np.testing.assert_allclose(heard.values["state"], lin.trajectory.states[1:], atol=1e-12)
    np.testing.assert_allclose(heard.gradients["state"], gs.backpropagate(lin, direct).total[1:], atol=1e-11)
    assert heard.passes[0].steps == {"state": list(range(len(case.inputs)))}


@settings(max_examples=25)
@given(cases())
def test_the_programs_own_gradients_do_not_change_by_a_bit(case):
    plain = autograd.grad(lambda params: run(case, params, tapped=False))(case.params)
    outside = autograd.grad(lambda params: run(case, params))(case.params)
    with listen():
        inside = autograd.grad(lambda params: run(case, params))(case.params)
    for name in plain:
        np.testing.assert_array_equal(inside[name], plain[name])
        np.testing.assert_array_equal(outside[name], plain[name])


def test_outside_of_listen_a_tap_returns_the_very_value():
    value = np.ones(3)
    assert tap("x", value, 0) is value


def test_every_pass_is_kept_and_the_last_one_is_at_hand():
    def loss(x):
        return tap("y", x**2, 0) + 0.0 * tap("y", x, 1)

    with listen() as heard:
        autograd.grad(loss)(1.0)
        autograd.grad(loss)(3.0)
        loss(5.0)  # forward alone
    assert [one.values["y"].tolist() for one in heard.passes] == [[1, 1], [9, 3], [25, 5]]
    assert heard.values["y"].tolist() == [25, 5]
    assert heard.gradients["y"].tolist() == [1, 0]
    assert list(heard.passes[2].gradients) == []
    assert repr(heard) == "<Heard y; 3 passes>"


def test_several_ways_back_over_one_way_forward_are_passes_of_their_own():
    with listen() as heard:
        pull, _ = autograd.make_vjp(lambda x: tap("y", 2.0 * x) * anp.array([1.0, 10.0]))(1.0)
        pull(np.array([1.0, 0.0]))
        pull(np.array([0.0, 1.0]))
    assert [float(one.gradients["y"]) for one in heard.passes] == [1.0, 10.0]
    assert [float(one.values["y"]) for one in heard.passes] == [2.0, 2.0]


def test_a_jacobian_is_heard_row_by_row():
    with listen() as heard:
        matrix = autograd.jacobian(lambda x: tap("y", x * 1.0) ** 2)(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(matrix, [[2, 0], [0, 4]])
    assert [one.gradients["y"].tolist() for one in heard.passes] == [[2, 0], [0, 4]]


def test_second_derivatives_go_through_a_tap():
    def slope(x):
        return autograd.grad(lambda y: tap("y", y**3) ** 2)(x)

    with listen() as heard:
        assert autograd.grad(slope)(2.0) == pytest.approx(30 * 2.0**4)
    assert float(heard.passes[0].gradients["y"]) == pytest.approx(2 * 2.0**3)
    assert autograd.make_jvp(lambda x: tap("y", x**2))(3.0)(1.0)[1] == 6.0
    with listen():
        assert autograd.make_jvp(lambda x: tap("y", x**2))(3.0)(1.0)[1] == 6.0


def test_nested_listeners_hear_what_happens_while_they_are_open():
    with listen() as outer:
        autograd.grad(lambda x: tap("a", x * 1.0))(1.0)
        with listen() as inner:
            autograd.grad(lambda x: tap("b", x * 2.0))(1.0)
        autograd.grad(lambda x: tap("c", x * 3.0))(1.0)
    assert [list(one.values) for one in outer.passes] == [["a", "b", "c"]]
    assert [list(one.values) for one in inner.passes] == [["b"]]


def test_segments_of_one_sequence_make_up_one_pass():
    """Truncated back-propagation: each segment is differentiated by itself, and t counts on."""
    with listen() as heard:
        for start in (0, 3):
            autograd.grad(lambda x, start=start: sum(tap("h", x * (t + 1.0), t) for t in range(start, start + 3)))(2.0)
    assert len(heard.passes) == 1
    assert heard.values["h"].tolist() == [2, 4, 6, 8, 10, 12]
    assert heard.gradients["h"].tolist() == [1] * 6


def test_what_was_heard_before_an_exception_remains_and_nobody_listens_after_it():
    heard = None

    def fails():
        nonlocal heard
        with listen() as heard:
            tap("x", np.ones(2), 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert heard.values["x"].shape == (1, 2)
    value = np.ones(1)
    assert tap("x", value, 1) is value


def test_threads_do_not_hear_each_other():
    found, ready = {}, threading.Barrier(2)

    def work(number):
        with listen() as heard:
            ready.wait()
            autograd.grad(lambda x: tap("x", number * x))(1.0)
            ready.wait()
        found[number] = [float(one.values["x"]) for one in heard.passes]

    threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    with listen() as mine:
        for thread in threads:
            thread.join()
    assert found == {1: [1.0], 2: [2.0]}
    assert mine.passes == []


def test_a_value_that_is_no_part_of_the_differentiation_has_no_gradient():
    with listen() as heard:
        autograd.grad(lambda x: x * tap("data", np.ones(1))[0] + tap("idle", x * 1.0) * 0.0)(1.0)
    assert list(heard.values) == ["data", "idle"]
    assert float(heard.gradients["idle"]) == 0.0
    with pytest.raises(KeyError, match="depends on what is differentiated"):
        heard.gradients["data"]
    with pytest.raises(KeyError, match="idle"):
        heard.values["idel"]


def test_nan_and_inf_are_heard():
    with listen() as heard:
        autograd.grad(lambda x: anp.sum(tap("x", x * np.array([np.nan, 1.0])) * np.array([1.0, np.inf])))(np.ones(2))
    np.testing.assert_array_equal(heard.values["x"], [np.nan, 1.0])
    np.testing.assert_array_equal(heard.gradients["x"], [1.0, np.inf])


def test_the_total_gradient_is_not_what_retain_grad_says_of_a_stacked_output():
    """A side copy of the outputs hears the direct part alone: exactly 0 before the last step."""
    case = make_case("LSTM", length=6)

    def loss(params):
        rows, state = [], case.state
        for t, x in enumerate(case.inputs):
            state = anp.stack([step("LSTM", case.phi, params, x[b], state[b]) for b in range(len(state))])
            state = tap("state", state, t)
            rows.append(state)
        outputs = tap("outputs", anp.stack(rows))  # the stack that a framework hands out
        return anp.sum(outputs[-1])

    with listen() as heard:
        autograd.grad(loss)(case.params)
    assert (heard.gradients["outputs"][:-1] == 0).all()
    assert (np.abs(heard.gradients["state"]).sum(axis=(1, 2)) > 0).all()


def test_a_bad_tap_is_refused():
    with listen():
        with pytest.raises(ArgumentError, match="tap\\('h', h, t\\)"):
            tap(3, np.ones(1))
        with pytest.raises(ArgumentError, match="Count steps from 0"):
            tap("h", np.ones(1), 1.5)
    with listen() as heard:
        tap("h", np.ones(1), 0)
        tap("h", np.ones(2), 1)
    with pytest.raises(ArgumentError, match="other names"):
        heard.values["h"]


def test_several_arrays_at_once_are_refused():
    with listen():
        for several in ((np.ones(1), np.ones(1)), {"a": np.ones(1)}):
            with pytest.raises(ArgumentError, match="Tap each by a name of its own"):
                tap("state", several, 0)
        with pytest.raises(ArgumentError, match="Tap each"):
            autograd.grad(lambda params: anp.sum(tap("params", params)["a"]))({"a": np.ones(2)})


def test_a_name_with_t_and_without_is_refused_when_it_is_read():
    with listen() as heard:
        tap("h", np.ones(1))
        tap("h", np.ones(1), 0)
    with pytest.raises(ArgumentError, match="Give one of them another name"):
        heard.values["h"]


def test_parameters_that_are_changed_in_place_afterwards_are_heard_as_they_were():
    weights = np.ones(3)
    with listen() as heard:
        slope = autograd.grad(lambda w: anp.sum(tap("w", w) ** 2))(weights)
    weights -= 0.1 * slope
    slope[:] = 0.0
    np.testing.assert_array_equal(heard.values["w"], np.ones(3))
    np.testing.assert_array_equal(heard.gradients["w"], 2.0 * np.ones(3))


# ---- scans ----------------------------------------------------------------------------------------------------------


def squares(cell, params, inputs, **masks):
    """Return a loss that reads every hidden state."""
    states = gs.scan(cell, params, inputs, **masks)
    return anp.sum(states[1:, :, : cell.hidden_size] ** 2)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "ResetBeforeGRU"])
def test_a_scan_is_measured_as_it_was_under_the_loss_that_was_differentiated(name, masked):
    case = make_case(name, length=20, batch=3, hidden_size=4)
    masks = {"valid": np.arange(20)[:, None] < [20, 12, 7]} if masked else {}
    with listen() as heard:
        gradient = autograd.grad(lambda params: squares(case.cell, params, case.inputs, **masks))(case.params)
    plain = autograd.grad(lambda params: squares(case.cell, params, case.inputs, **masks))(case.params)
    assert all(np.array_equal(gradient[key], plain[key]) for key in plain)
    found = heard.record("standard")
    wanted = gs.probe(case.cell, case.params, case.inputs, loss=lambda h: anp.sum(h**2, axis=(0, 2)), **masks)
    assert list(found) == list(wanted)
    for key in wanted:
        np.testing.assert_allclose(found[key], wanted[key], rtol=1e-9, atol=1e-12, err_msg=key)
        np.testing.assert_array_equal(found.status[key], wanted.status[key])
    assert found.summary["verdict_text"] == wanted.summary["verdict_text"]
    assert found.config["loss"] == "that which was differentiated"


def test_each_layer_of_a_stack_is_a_scan_of_its_own_and_blocks_may_be_nested():
    network, rng = gs.Stack([gs.LSTM(2, 3), gs.GRU(3, 2)]), np.random.default_rng(0)
    params, inputs = network.init(rng), rng.standard_normal((6, 2, 2))
    with listen() as outer:
        with listen() as inner:
            autograd.grad(lambda p: anp.sum(gs.scan(network, p, inputs)[-1]))(params)
        autograd.grad(lambda p: anp.sum(gs.scan(gs.RNN(2, 3), p, inputs)[-1]))(gs.RNN(2, 3).init(rng))
    gs.scan(gs.RNN(2, 3), gs.RNN(2, 3).init(rng), inputs)
    assert [type(scan.linearization.trajectory.cell).__name__ for scan in outer.scans] == ["LSTM", "GRU", "RNN"]
    assert inner.scans == outer.scans[:2]
    assert outer.record("cheap", scan=0).config["cell"]["cell"] == "LSTM"
    assert outer.record(["state_gradient"]).config["cell"]["cell"] == "RNN"


def test_a_listener_around_a_long_training_keeps_the_last_scans_alone():
    cell, rng = gs.RNN(1, 2), np.random.default_rng(0)
    params = cell.init(rng)
    with listen() as heard:
        for length in range(1, 31):
            gs.scan(cell, params, np.ones((length, 1, 1)))
    assert [scan.linearization.length for scan in heard.scans] == list(range(15, 31))


def test_what_was_not_scanned_or_not_differentiated_cannot_be_measured():
    cell, rng = gs.RNN(1, 2), np.random.default_rng(0)
    with listen() as heard:
        pass
    with pytest.raises(ArgumentError, match=r"one of the 0 that were heard.*Call `gs.scan` with a cell inside"):
        heard.record()
    with listen() as heard:
        gs.scan(cell, cell.init(rng), np.ones((3, 1, 1)))
    with pytest.raises(ArgumentError, match=r"none did. Differentiate inside of `gs.listen\(\)`"):
        heard.record()
    with pytest.raises(ArgumentError, match="one of the 1 that were heard"):
        heard.record(scan=1)


def test_a_second_derivative_leaves_the_direct_part_as_plain_numbers():
    case = make_case("LSTM", length=4, batch=2, hidden_size=2)
    with listen() as heard:
        autograd.grad(
            lambda s: anp.sum(
                autograd.grad(lambda s: anp.sum(gs.scan(case.cell, case.params, case.inputs, s)[-1] ** 2))(s)
            )
        )(case.state)
    assert all(type(scan.direct) is np.ndarray for scan in heard.scans if scan.direct is not None)
    assert any(scan.direct is not None for scan in heard.scans)
