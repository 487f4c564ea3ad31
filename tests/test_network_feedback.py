"""Networks that read their own outputs, and encoder-decoders: against the composed equations and autograd."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_networks import along, check_jacobians, random_params, stack_step, stacks
from plain_routes import chunks_of, scaled_error

import gradscope as gs
from gradscope.errors import ArgumentError, ShapeError
from gradscope.network.walk import scaled_steps, walk

LENGTH, BATCH = 6, 2
FORCED = np.array([[1, 1], [0, 0], [0, 1], [0, 0], [1, 0], [0, 0]], bool)
MIXED = (gs.LSTM(2, 3), gs.GRU(3, 4))
PHI = {"identity": lambda x: x, "tanh": anp.tanh}


def readout_params(rng, outputs, hidden):
    return {"W_y": rng.standard_normal((outputs, hidden)) / np.sqrt(hidden), "b_y": rng.standard_normal(outputs)}


class Case:
    """A free-running stack with everything random."""

    def __init__(self, cells=MIXED, seed=0, activation="tanh", forced=FORCED):
        rng = self.rng = np.random.default_rng(seed)
        self.cells, self.forced, self.activation = cells, forced, activation
        stack = gs.Stack(cells)
        self.network = gs.FreeRunning(stack, gs.Readout(stack.input_size, activation))
        self.params = {
            "network": [random_params(cell, rng) for cell in cells],
            "readout": readout_params(rng, stack.input_size, stack.hidden_size),
        }
        self.inputs = rng.standard_normal((LENGTH, BATCH, stack.input_size))
        self.state = 0.5 * rng.standard_normal((BATCH, stack.state_size))
        self.place = (self.params, self.inputs, self.state)

    def plain_step(self, params, t, b, given, state):
        """The new state (S,): what is read is the input, or the readout of the old state."""
        h = state[self.network.hidden_slices[0]]
        x = PHI[self.activation](anp.dot(params["readout"]["W_y"], h) + params["readout"]["b_y"])
        forced = float(self.forced[t, b])
        return stack_step(self.cells, params["network"], forced * given + (1.0 - forced) * x, state)

    def plain_states(self, params, inputs, state):
        def one(b):
            return along(lambda t, x, s: self.plain_step(params, t, b, x, s), inputs[:, b], state[b])

        return anp.stack([one(b) for b in range(BATCH)], axis=1)

    def unrolled(self, **options):
        return self.network.unroll(*self.place, forced=self.forced, **options)

    def scanned(self, params, inputs, state, **options):
        return self.network.scan(params, inputs, state, forced=self.forced, **options)


def check_gradients(found, wanted):
    """Both are nested alike."""
    ours, _ = autograd.misc.flatten(found)
    theirs, _ = autograd.misc.flatten(wanted)
    assert scaled_error(ours, theirs) < 1e-9


@settings(max_examples=20)
@given(stacks(2), st.integers(0, 2**16), st.sampled_from(sorted(PHI)), st.sampled_from((1, 2**17)))
def test_the_feedback_belongs_to_the_jacobian(cells, seed, activation, chunk):
    case = Case(cells, seed, activation, np.random.default_rng(seed).random((LENGTH, BATCH)) < 0.4)
    with chunks_of(chunk):
        trajectory = case.unrolled()
        lin = gs.linearize(trajectory)
        trail = case.plain_states(*case.place)
        assert scaled_error(trajectory.states, trail) < 1e-11

        def every(which):
            def of(t, b):
                step = lambda x, s: case.plain_step(case.params, t, b, x, s)  # noqa: E731
                return autograd.jacobian(step, which)(case.inputs[t, b], trail[t, b])

            return np.array([[of(t, b) for b in range(BATCH)] for t in range(LENGTH)])

        check_jacobians(lin, every(1), every(0), case.rng)


@settings(max_examples=15)
@given(stacks(2), st.integers(0, 2**16), st.sampled_from(sorted(PHI)))
def test_all_gradients_of_a_free_running_network_are_autograds(cells, seed, activation):
    case = Case(cells, seed, activation)
    trajectory = case.unrolled()
    direct = case.rng.standard_normal(trajectory.states.shape)
    wanted = autograd.grad(lambda args: anp.sum(direct * case.plain_states(*args)))(case.place)
    check_gradients(autograd.grad(lambda args: anp.sum(direct * case.scanned(*args)))(case.place), wanted)
    lin = gs.linearize(trajectory)
    adjoint = gs.backpropagate(lin, direct)
    check_gradients((adjoint.params, adjoint.inputs, adjoint.total[0]), wanted)
    matrices = lin.jacobians()
    for t in range(LENGTH):
        back = direct[t] + np.einsum("bij,bi->bj", matrices[t], adjoint.total[t + 1])
        assert scaled_error(adjoint.total[t], back) < 1e-9
    ways = walk(lin, scaled_steps(direct))
    for name, _, place in case.network.spans:
        own = [direct[t, :, place] for t in range(LENGTH + 1)]
        total = [d + np.ldexp(c.mantissa, c.exponent).T for d, c in zip(own, ways.carried[name], strict=True)]
        assert scaled_error(total, adjoint.total[:, :, place]) < 1e-9
        heard = [
            np.ldexp(d.mantissa, d.exponent).T + np.ldexp(c.mantissa, c.exponent).T
            for d, c in zip(ways.directs[name], walk(lin.layers[name], ways.directs[name]).carried[""], strict=True)
        ]
        assert scaled_error(heard, adjoint.layers[name].total) < 1e-9
    inputs = [np.ldexp(entry.mantissa, entry.exponent).T for entry in ways.inputs]
    assert scaled_error(inputs, wanted[1]) < 1e-9


@pytest.mark.parametrize("cell", [gs.LSTM(2, 3), gs.MGU(2, 3)], ids=["LSTM", "MGU"])
def test_a_single_cell_may_run_free(cell):
    network = gs.FreeRunning(cell, gs.Readout(2))
    rng = np.random.default_rng(0)
    params = network.init(rng)
    params["readout"]["b_y"] += 0.3
    first = rng.standard_normal((LENGTH, BATCH, 2))
    trajectory = gs.unroll(network, params, first)
    assert list(trajectory.layers) == ["layer1"]
    x, state = first[0], np.zeros((BATCH, cell.state_size))
    for t in range(LENGTH):
        state = gs.unroll(cell, params["network"], x[None], state).states[1]
        np.testing.assert_allclose(trajectory.states[t + 1], state, rtol=1e-12)
        np.testing.assert_allclose(trajectory.inputs[t], x, rtol=1e-12)
        x = state[:, :3] @ params["readout"]["W_y"].T + params["readout"]["b_y"]
        np.testing.assert_allclose(trajectory.outputs[t], x, rtol=1e-12)
    lin = gs.linearize(trajectory)
    closed, open_ = lin.jacobians(), lin.layers["layer1"].jacobians()
    np.testing.assert_allclose(closed[0], open_[0], rtol=1e-12)  # the first input is given
    assert np.abs(closed[1:] - open_[1:]).max() > 0.01
    assert lin.blocks[0] == ("layer1.h", slice(0, 3))
    direct = rng.standard_normal(trajectory.states.shape)
    loss = lambda params: anp.sum(direct * gs.scan(network, params, first))  # noqa: E731
    check_gradients(autograd.grad(loss)(params), gs.backpropagate(lin, direct).params)
    assert repr(lin) == f"<Linearization of Trajectory of FreeRunning {type(cell).__name__}: " + (
        f"T=6, B=2, S={cell.state_size}, float64>"
    )
    assert network.describe()["readout"] == {"output_size": 2, "activation": "identity"}


def test_teacher_forcing_is_the_network_without_feedback():
    case = Case(forced=np.ones((LENGTH, BATCH), bool))
    plain = gs.Stack(MIXED).unroll(case.params["network"], case.inputs, case.state)
    trajectory = case.network.unroll(*case.place, forced=True)
    np.testing.assert_allclose(trajectory.states, plain.states, rtol=1e-12)
    np.testing.assert_allclose(
        gs.linearize(trajectory).jacobians(), gs.linearize(plain).jacobians(), rtol=1e-12, atol=1e-15
    )


def test_left_out_the_first_step_alone_is_forced():
    case = Case()
    alone = np.zeros((LENGTH, BATCH), bool)
    alone[0] = True
    expected = case.network.unroll(*case.place, forced=alone)
    np.testing.assert_array_equal(gs.unroll(case.network, *case.place).states, expected.states)
    np.testing.assert_array_equal(case.network.unroll(*case.place, forced=alone[:, 0]).states, expected.states)
    noise = np.where(alone[:, :, None], case.inputs, np.nan)
    np.testing.assert_array_equal(gs.unroll(case.network, case.params, noise, case.state).states, expected.states)


@pytest.mark.parametrize("mask", ["valid", "reset", "dropout"])
def test_masks_act_on_the_feedback_too(mask):
    case = Case()
    marks = {
        "valid": np.array([[1, 1], [1, 1], [1, 0], [1, 1], [1, 0], [1, 0]], bool),
        "reset": np.array([[0, 0], [0, 1], [1, 0], [0, 0], [0, 0], [0, 1]], bool),
        "dropout": [np.random.default_rng(1).uniform(0, 2, (BATCH, 3)), None],
    }[mask]
    options = {mask: marks}
    trajectory = case.unrolled(**options)
    lin = gs.linearize(trajectory)
    matrices = lin.jacobians()
    if mask == "valid":
        np.testing.assert_array_equal(matrices[~marks], np.broadcast_to(np.eye(10), (3, 10, 10)))
        np.testing.assert_array_equal(trajectory.states[6, 1], trajectory.states[4, 1])
    if mask == "reset":
        np.testing.assert_array_equal(matrices[marks], 0.0)
        given_ = case.plain_step(case.params, 1, 1, case.inputs[1, 1], np.zeros(10))
        np.testing.assert_allclose(trajectory.states[2, 1], given_, rtol=1e-12)
    from gradscope.network.feedback import _on_tape

    direct = case.rng.standard_normal(trajectory.states.shape)
    flat, unflatten = autograd.misc.flatten(case.params)
    kwargs = {
        "network": case.network,
        "unflatten": unflatten,
        "options": {"valid": None, "reset": None, "dropout": None} | options,
        "kept": {"linearization": lin},
    }

    def taped(args):
        flat, _ = autograd.misc.flatten(args[0])
        return anp.sum(direct * _on_tape(args[1], args[2], flat, kwargs))

    np.testing.assert_allclose(_on_tape(case.inputs, case.state, flat, kwargs), trajectory.states, rtol=1e-11)
    wanted = autograd.grad(taped)(case.place)
    check_gradients(autograd.grad(lambda args: anp.sum(direct * case.scanned(*args, **options)))(case.place), wanted)
    adjoint = gs.backpropagate(lin, direct)
    check_gradients((adjoint.params, adjoint.inputs, adjoint.total[0]), wanted)
    for t in range(LENGTH):
        back = direct[t] + np.einsum("bij,bi->bj", matrices[t], adjoint.total[t + 1])
        assert scaled_error(adjoint.total[t], back) < 1e-9


def test_dropout_between_layers_acts_in_a_free_running_network_too():
    case = Case()
    factors = case.rng.uniform(0, 2, (LENGTH, BATCH, 3))
    trajectory = case.unrolled(between=[factors])
    np.testing.assert_allclose(
        trajectory.layers["layer2"].inputs, trajectory.layers["layer1"].hidden * factors, rtol=1e-12
    )
    again = gs.Stack(MIXED).unroll(case.params["network"], trajectory.inputs, case.state, between=[factors])
    np.testing.assert_allclose(trajectory.states, again.states, rtol=1e-11)


def test_second_derivatives_go_through_the_feedback():
    case = Case()
    direction = case.rng.standard_normal(case.state.shape)

    def curvature(states_of):
        def loss(state):
            return anp.sum(anp.sin(states_of(case.params, case.inputs, state)))

        return autograd.grad(lambda state: anp.sum(autograd.grad(loss)(state) * direction))(case.state)

    assert scaled_error(curvature(case.scanned), curvature(case.plain_states)) < 1e-9


def test_forward_mode_goes_through_the_feedback():
    case = Case()
    v = case.rng.standard_normal(case.state.shape)

    def pushed(states_of):
        return autograd.make_jvp(lambda state: states_of(case.params, case.inputs, state))(case.state)(v)[1]

    assert scaled_error(pushed(case.scanned), pushed(case.plain_states)) < 1e-9


def chain(free=True, seed=0):
    rng = np.random.default_rng(seed)
    encoder, decoder = gs.Stack([gs.LSTM(3, 3), gs.GRU(3, 2)]), gs.Stack([gs.LSTM(2, 3), gs.GRU(3, 2)])
    network = gs.EncoderDecoder(encoder, gs.FreeRunning(decoder, gs.Readout(2, "tanh")) if free else decoder)
    own = [random_params(cell, rng) for cell in decoder.cells]
    params = {
        "encoder": [random_params(cell, rng) for cell in encoder.cells],
        "decoder": {"network": own, "readout": readout_params(rng, 2, 2)} if free else own,
    }
    inputs = (rng.standard_normal((4, BATCH, 3)), rng.standard_normal((3, BATCH, 2)))
    return network, params, inputs, 0.5 * rng.standard_normal((BATCH, network.state_size)), rng


@pytest.mark.parametrize("free", [True, False])
def test_an_encoder_decoder_is_one_chain(free):
    network, params, inputs, state, rng = chain(free)

    def plain(params, inputs, state):
        def one(b):
            own = params["decoder"]["network"] if free else params["decoder"]

            def decode(t, x, s):
                if free and t > 0:
                    weights = params["decoder"]["readout"]
                    x = anp.tanh(anp.dot(weights["W_y"], s[6:]) + weights["b_y"])
                return stack_step((gs.LSTM(2, 3), gs.GRU(3, 2)), own, x, s)

            cells = (gs.LSTM(3, 3), gs.GRU(3, 2))
            encoded = along(lambda t, x, s: stack_step(cells, params["encoder"], x, s), inputs[0][:, b], state[b])
            return anp.concatenate([encoded, along(decode, inputs[1][:, b], encoded[-1])[1:]])

        return anp.stack([one(b) for b in range(BATCH)], axis=1)

    place = (params, inputs, state)
    trajectory = gs.unroll(network, *place)
    lin = gs.linearize(trajectory)
    trail = plain(*place)
    assert scaled_error(trajectory.states, trail) < 1e-12
    np.testing.assert_allclose(gs.scan(network, *place), trajectory.states, rtol=1e-12)
    direct = rng.standard_normal(trail.shape)
    wanted = autograd.grad(lambda args: anp.sum(direct * plain(*args)))(place)
    check_gradients(autograd.grad(lambda args: anp.sum(direct * gs.scan(network, *args)))(place), wanted)
    adjoint = gs.backpropagate(lin, direct)
    check_gradients((adjoint.params, adjoint.inputs, adjoint.total[0]), wanted)
    matrices = lin.jacobians()
    assert matrices.shape == (7, BATCH, 8, 8)
    product = np.broadcast_to(np.eye(8), (BATCH, 8, 8))
    for t in range(7):
        product = matrices[t] @ product
    by_start = autograd.jacobian(lambda state: plain(params, inputs, state)[-1])(state)
    for b in range(BATCH):
        assert scaled_error(product[b], by_start[b, :, b]) < 1e-9
    rms = np.log10(np.linalg.norm(product, axis=(1, 2)) / np.sqrt(8))
    np.testing.assert_allclose(gs.transport(lin).rms[0], rms, rtol=1e-9)
    v = rng.standard_normal((7, BATCH, 8))
    assert scaled_error(lin.jvp(v), np.einsum("tbij,tbj->tbi", matrices, v)) < 1e-9
    assert scaled_error(lin.vjp(v), np.einsum("tbij,tbi->tbj", matrices, v)) < 1e-9
    np.testing.assert_allclose(lin.norm(), np.linalg.norm(matrices, 2, axis=(2, 3)), rtol=1e-8)
    ways = walk(lin, scaled_steps(direct))
    for name, part in adjoint.layers.items():
        both = zip(ways.directs[name], ways.carried[name], strict=True)
        total = [np.ldexp(d.mantissa, d.exponent).T + np.ldexp(c.mantissa, c.exponent).T for d, c in both]
        if not (free and name == "decoder.layer2"):  # its feedback is carried for the whole, and direct for the cell
            assert scaled_error(total, part.total) < 1e-9
    names = [f"{part}.layer{n}" for part in ("encoder", "decoder") for n in (1, 2)]
    assert list(trajectory.layers) == list(lin.layers) == list(adjoint.layers) == names
    assert repr(trajectory) == "<Trajectory of EncoderDecoder: T=4+3, B=2, S=8, float64>"
    assert trajectory.hidden.shape == (7, BATCH, 2)
    np.testing.assert_array_equal(trajectory.hidden, trajectory.states[1:, :, network.hidden_slices[0]])


def test_an_encoder_decoders_outputs_are_read_from_the_decoder():
    network, params, inputs, state, rng = chain()
    trajectory = gs.unroll(network, params, inputs, state)
    outputs = network.outputs(params, inputs, state=state)
    np.testing.assert_allclose(outputs, trajectory.outputs, rtol=1e-12)
    forced = network.unroll(params, inputs, state, forced=True)
    plain, own, *_ = chain(free=False)
    own = {"encoder": params["encoder"], "decoder": params["decoder"]["network"]}
    np.testing.assert_allclose(forced.states, gs.unroll(plain, own, inputs, state).states, rtol=1e-12)
    found = autograd.grad(lambda p: anp.sum(network.outputs(p, inputs, state=state) ** 2))(params)
    step = 1e-6 * rng.standard_normal((2, 2))
    moved = {**params, "decoder": {**params["decoder"], "readout": {**params["decoder"]["readout"]}}}
    sums = []
    for sign in (1, -1):
        moved["decoder"]["readout"]["W_y"] = params["decoder"]["readout"]["W_y"] + sign * step
        sums.append(np.sum(network.outputs(moved, inputs, state=state) ** 2))
    assert (sums[0] - sums[1]) / 2 == pytest.approx(np.sum(found["decoder"]["readout"]["W_y"] * step), rel=1e-6)


def test_padding_of_the_source_lets_each_decoder_start_from_its_own_last_step():
    network, params, inputs, state, _ = chain()
    valid = np.array([[1, 1], [1, 1], [1, 0], [1, 0]], bool)
    trajectory = gs.unroll(network, params, inputs, state, valid=(valid, None))
    short = gs.unroll(network, params, (inputs[0][:2, 1:], inputs[1][:, 1:]), state[1:])
    np.testing.assert_allclose(trajectory.states[4:, 1:], short.states[2:], rtol=1e-12)
    np.testing.assert_array_equal(trajectory.valid, np.concatenate([valid, np.ones((3, 2), bool)]))
    assert trajectory.reset is None
    states = gs.scan(network, params, inputs, state, valid=(valid, None))
    np.testing.assert_allclose(states, trajectory.states, rtol=1e-12)


def test_the_encoder_hears_each_layer_past_the_float_range():
    """Two layers that forget at very different speeds: what is left of the fast one at the joint is kept."""
    cells = [gs.RNN(1, 1, "identity"), gs.RNN(1, 1, "identity")]
    weights = [{"W_x": np.zeros((1, 1)), "W_h": np.array([[w]]), "b": np.zeros(1)} for w in (1.0, 0.1)]
    network = gs.EncoderDecoder(gs.Stack(cells), gs.Stack(cells))
    params = {"encoder": weights, "decoder": weights}
    lin = gs.linearize(gs.unroll(network, params, (np.zeros((500, 1, 1)), np.zeros((500, 1, 1)))))
    direct = np.zeros((1001, 1, 2))
    direct[-1] = 1.0
    found = walk(lin, scaled_steps(direct)).carried["encoder.layer2"][0]
    assert np.log10(found.mantissa[0, 0]) + found.exponent[0] * np.log10(2) == pytest.approx(-1000.0, rel=1e-12)


BOTH = gs.Stack([gs.Bidirectional(gs.GRU(2, 3))])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gs.FreeRunning(BOTH, gs.Readout(2)), ArgumentError, "What is fed back has no future to read"),
        (lambda: gs.FreeRunning("LSTM", gs.Readout(2)), ArgumentError, "What is fed back has no future to read"),
        (lambda: gs.FreeRunning(gs.GRU(2, 3), gs.Readout(3)), ShapeError, "Build it with output_size=2"),
        (lambda: gs.EncoderDecoder(BOTH, BOTH), ArgumentError, "The decoder goes on where the encoder's last step"),
        (lambda: gs.EncoderDecoder(gs.GRU(2, 3), gs.LSTM(2, 3)), ShapeError, "h of 3, got h of 3, c of 3. Build both"),
    ],
)
def test_parts_that_do_not_fit_are_told_what_to_do(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("call", ["unroll", "scan"])
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"params": {"network": []}}, ArgumentError, r"got a dict of network\. Use `init\(rng\)` to draw both"),
        ({"params": []}, ArgumentError, r"got list\. Use `init\(rng\)` to draw both"),
        ({"inputs": np.zeros((5, 2))}, ShapeError, "T says how long the network runs"),
        ({"forced": np.zeros((3, 2), bool)}, ShapeError, "Leave it out to read the first input alone"),
        ({"forced": np.zeros(LENGTH)}, ShapeError, r"got \(6,\) of float64\. Leave it out"),
        ({"state": np.zeros((2, 2))}, ShapeError, "side by side"),
    ],
)
def test_wrong_arguments_are_told_what_to_do(call, changes, error, message):
    case = Case()
    arguments = {"params": case.params, "inputs": case.inputs, "state": case.state} | changes
    with pytest.raises(error, match=message):
        getattr(case.network, call)(**arguments)


def test_what_feedback_cannot_do_is_refused_with_the_way_out():
    case = Case()
    with pytest.raises(ArgumentError, match=r"does not read its own outputs, got 3\. Leave it out"):
        case.scanned(*case.place, truncate=3)
    with pytest.raises(ArgumentError, match=r"does not read its own outputs, got 3\. Leave it out"):
        gs.backpropagate(gs.linearize(case.unrolled()), np.zeros((7, 2, 10)), truncate=3)
    network, params, inputs, state, _ = chain(free=False)
    with pytest.raises(ArgumentError, match=r"`forced` needs .* Wrap it: `gs\.FreeRunning\(decoder"):
        network.unroll(params, inputs, state, forced=True)
    with pytest.raises(ArgumentError, match=r"`outputs` needs .* Wrap it: `gs\.FreeRunning\(decoder"):
        network.outputs(params, inputs)
    with pytest.raises(ShapeError, match=r"got ndarray. Give `\(inputs_of_encoder, inputs_of_decoder\)`"):
        gs.unroll(network, params, inputs[0])
    with pytest.raises(ShapeError, match=r"got 3 in a tuple. Give `\(valid_of_encoder"):
        gs.unroll(network, params, inputs, valid=(None, None, None))
    with pytest.raises(ArgumentError, match=r"a dict of encoder\. Use `init\(rng\)` to draw both"):
        gs.scan(network, {"encoder": params["encoder"]}, inputs)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"W_y": np.zeros((2, 4))}, ArgumentError, r"got W_y\. Use `readout.init\(rng, hidden_size\)`"),
        ([], ArgumentError, r"got list\. Use `readout.init\(rng, hidden_size\)`"),
        ({"W_y": np.zeros((2, 3)), "b_y": np.zeros(2)}, ShapeError, r"`readout.init\(rng, 4\)`"),
    ],
)
def test_wrong_readouts_are_told_what_to_do(params, error, message):
    case = Case()
    with pytest.raises(error, match=message):
        case.network.unroll(case.params | {"readout": params}, case.inputs)


def test_a_readout_that_makes_no_sense_is_refused():
    with pytest.raises(ArgumentError, match="Count outputs"):
        gs.Readout(0)
    with pytest.raises(ArgumentError, match="tanh"):
        gs.Readout(1, "tan")
    with pytest.raises(ArgumentError, match=r"default_rng\(0\)"):
        gs.Readout(1).init(0, 3)


def test_attention_is_a_weighted_mean_and_hears_every_step_directly():
    rng = np.random.default_rng(0)
    params = {"W_a": rng.standard_normal((3, 4)), "b_a": rng.standard_normal(3), "v_a": rng.standard_normal(3)}
    hidden = rng.standard_normal((5, 2, 4))
    scores = np.tanh(hidden @ params["W_a"].T + params["b_a"]) @ params["v_a"]
    weights = np.exp(scores) / np.exp(scores).sum(axis=0)
    np.testing.assert_allclose(gs.attention(params, hidden), np.einsum("tb,tbh->bh", weights, hidden), rtol=1e-12)
    valid = np.array([[1, 1], [1, 1], [1, 0], [1, 0], [1, 0]], bool)
    np.testing.assert_allclose(
        gs.attention(params, hidden, valid)[1], gs.attention(params, hidden[:2, 1:])[0], rtol=1e-12
    )
    gradient = autograd.grad(lambda hidden: anp.sum(gs.attention(params, hidden, valid)))(hidden)
    assert (np.abs(gradient[:2]).max(axis=(1, 2)) > 1e-3).all()
    np.testing.assert_array_equal(gradient[2:, 1], 0.0)
