"""Records of networks: the whole state, and every layer with what the layers above pass down to it."""

from __future__ import annotations

import autograd.numpy as anp
import numpy as np
import pytest

import gradscope as gs
from gradscope.errors import ArgumentError
from gradscope.gradients import gradient_norms

LENGTH, BATCH = 30, 3


def made(network, width=2, seed=0):
    rng = np.random.default_rng(seed)
    return network.init(rng), rng.standard_normal((LENGTH, BATCH, width))


STACK = gs.Stack([gs.LSTM(2, 5), gs.GRU(5, 4)])


def last(hidden):
    """Return the sum of the last hidden state over sqrt(H)."""
    return anp.sum(hidden[-1], axis=-1) / np.sqrt(hidden.shape[-1])


def direct_of(network, trajectory):
    direct = np.zeros(trajectory.states.shape)
    place = network.hidden_slices[0]
    direct[-1, :, place] = 1.0 / np.sqrt(place.stop - place.start)
    return direct


def norms(gradient):
    with np.errstate(divide="ignore"):
        return np.log10(np.linalg.norm(gradient, axis=-1))


def test_the_record_of_a_stack_is_of_its_whole_state():
    params, inputs = made(STACK)
    record = gs.probe(STACK, params, inputs)
    trajectory = gs.unroll(STACK, params, inputs)
    lin = gs.linearize(trajectory)
    np.testing.assert_array_equal(record["jacobian_norm"], lin.norm())
    np.testing.assert_allclose(record["transport"], gs.transport(lin).rms)
    adjoint = gs.backpropagate(lin, direct_of(STACK, trajectory))
    np.testing.assert_allclose(record["state_gradient"], norms(adjoint.total), rtol=1e-9)
    assert record.coords["state_gradient.blocks"]["block"] == ["layer1.h", "layer1.c", "layer2.h"]
    found = record["state_gradient.blocks"]
    for row, place in zip(found, (slice(0, 5), slice(5, 10), slice(10, 14)), strict=True):
        np.testing.assert_allclose(row, norms(adjoint.total[:, :, place]), rtol=1e-9)
    assert (record["direct_gradient"][:-1] == -np.inf).all()
    assert record.config["cell"] == STACK.describe()
    assert record.summary["verdict_text"]
    assert "gate_activation" not in record


def test_each_layer_has_a_record_of_its_own_with_what_the_layers_above_pass_down():
    params, inputs = made(STACK)
    record = gs.probe(STACK, params, inputs)
    assert list(record.layers) == ["layer1", "layer2"]
    trajectory = gs.unroll(STACK, params, inputs)
    adjoint = gs.backpropagate(gs.linearize(trajectory), direct_of(STACK, trajectory))
    for name, layer in record.layers.items():
        np.testing.assert_allclose(layer["state_gradient"], norms(adjoint.layers[name].total), rtol=1e-9)
    below, above = record.layers.values()
    assert np.isfinite(below["direct_gradient"][1:]).all()  # every step of layer 1 is heard by layer 2
    assert (above["direct_gradient"][:-1] == -np.inf).all()
    alone = gs.probe(STACK.cells[1], params[1], trajectory.layers["layer1"].hidden)
    assert list(alone) == list(above)
    for name in alone:
        np.testing.assert_allclose(above[name], alone[name], rtol=1e-9, err_msg=name)
    own = gs.probe(STACK.cells[0], params[0], inputs)
    for name in ("gate_activation", "jacobian_norm", "transport", "retention"):
        np.testing.assert_allclose(below[name], own[name], rtol=1e-12)
    assert np.abs(below["state_gradient"] - own["state_gradient"]).max() > 0.01


def test_a_loss_of_every_step_and_masks_go_through():
    params, inputs = made(STACK)
    valid = np.ones((LENGTH, BATCH), bool)
    valid[20:, 1] = False

    def loss(hidden):
        return anp.sum(hidden**2, axis=(0, 2))

    factors = np.random.default_rng(1).uniform(0, 2, (BATCH, 5))
    record = gs.probe(STACK, params, inputs, ["state_gradient"], loss, valid=valid, between=[factors])
    trajectory = STACK.unroll(params, inputs, valid=valid, between=[factors])
    direct = np.zeros(trajectory.states.shape)
    direct[1:, :, 10:] = 2 * trajectory.hidden
    adjoint = gs.backpropagate(gs.linearize(trajectory), direct)
    for name, part in adjoint.layers.items():
        found, wanted = record.layers[name]["state_gradient"], norms(part.total)
        counts = np.concatenate([np.ones((1, BATCH), bool), valid])
        np.testing.assert_allclose(found[counts], wanted[counts], rtol=1e-9)


@pytest.mark.parametrize("biases", [(-3.0, -3.0), (-3.0, 6.0)])
def test_two_directions_have_a_verdict_that_says_both(biases, tmp_path):
    network, rng = gs.Bidirectional(gs.LSTM(2, 3)), np.random.default_rng(0)
    params = network.init(rng)
    for own, bias in zip(params.values(), biases, strict=True):
        own["b"][3:6] = bias  # of the forget gates
        own["W_h"] *= 0.1
    inputs = rng.standard_normal((100, 8, 2))
    record = gs.probe(network, params, inputs)
    each = {name: layer.summary for name, layer in record.layers.items()}
    said = [each[name]["verdict"] for name in ("forward", "backward")]
    assert said == (["vanishing", "vanishing"] if biases[1] < 0 else ["vanishing", "stable"])
    assert record.summary["verdict"] == ("vanishing" if biases[1] < 0 else "undetermined")
    text = record.summary["verdict_text"]
    assert text.startswith("vanishing: forward e^" if biases[1] < 0 else "undetermined as a whole: forward is van")
    for summary in each.values():
        assert summary["verdict_text"].partition(": ")[2] in text
    assert text in repr(record)
    assert gs.Record.load(record.save(tmp_path / "r.npz")).summary["verdict_text"] == text
    assert "verdict" not in gs.probe(network, params, inputs, probes=["gate_activation"]).summary


def test_two_directions_that_diverge_say_where():
    network, rng = gs.Bidirectional(gs.RNN(1, 3)), np.random.default_rng(0)
    inputs = rng.standard_normal((10, 2, 1))
    inputs[4, 1] = np.nan
    summary = gs.probe(network, network.init(rng), inputs).summary
    assert summary["verdict"] == "diverged"
    assert "sequence 1" in summary["verdict_text"]


def test_a_bidirectional_network_has_records_of_its_directions_alone():
    network = gs.Stack([gs.Bidirectional(gs.LSTM(2, 3)), gs.Bidirectional(gs.GRU(6, 2))])
    params, inputs = made(network)
    record = gs.probe(network, params, inputs)
    assert list(record) == []
    assert list(record.layers) == ["layer1.forward", "layer1.backward", "layer2.forward", "layer2.backward"]
    trajectory = gs.unroll(network, params, inputs)
    direct = np.zeros(trajectory.states.shape)
    for place in network.hidden_slices:
        direct[-1, :, place] = 0.5
    lin = gs.linearize(trajectory)
    adjoint = gs.backpropagate(lin, direct)
    for name, layer in record.layers.items():
        np.testing.assert_allclose(layer["state_gradient"], norms(adjoint.layers[name].total), rtol=1e-9)
        np.testing.assert_array_equal(layer["jacobian_norm"], lin.layers[name].norm())
    assert np.isnan(gradient_norms(lin, direct).total).all()
    alone = gs.Bidirectional(gs.LSTM(2, 3))
    own, _ = made(alone)
    assert list(gs.probe(alone, own, inputs).layers) == ["forward", "backward"]


def test_a_free_running_network_and_an_encoder_decoder_are_probed():
    free = gs.FreeRunning(gs.LSTM(2, 4), gs.Readout(2, "tanh"))
    params, inputs = made(free)
    forced = np.arange(LENGTH) < 5
    record = gs.probe(free, params, inputs, forced=forced)
    lin = gs.linearize(free.unroll(params, inputs, forced=forced))
    np.testing.assert_allclose(record["jacobian_norm"], lin.norm())
    adjoint = gs.backpropagate(lin, direct_of(free, lin.trajectory))
    np.testing.assert_allclose(record["state_gradient"], norms(adjoint.total), rtol=1e-9)
    np.testing.assert_allclose(
        record.layers["layer1"]["state_gradient"], norms(adjoint.layers["layer1"].total), rtol=1e-9
    )
    network = gs.EncoderDecoder(gs.LSTM(2, 4), free)
    params, inputs = made(network)
    record = gs.probe(network, params, (inputs, inputs[:10]))
    lin = gs.linearize(gs.unroll(network, params, (inputs, inputs[:10])))
    adjoint = gs.backpropagate(lin, direct_of(network, lin.trajectory))
    assert record["state_gradient"].shape == (LENGTH + 10 + 1, BATCH)
    np.testing.assert_allclose(record["state_gradient"], norms(adjoint.total), rtol=1e-9)
    for name, part in adjoint.layers.items():
        np.testing.assert_allclose(record.layers[name]["state_gradient"], norms(part.total), rtol=1e-9)


def test_a_gradient_past_the_float_range_is_kept_layer_by_layer():
    """The upper layer loses it by 0.1 a step, the lower one not at all."""
    network = gs.Stack([gs.RNN(1, 1, "identity"), gs.RNN(1, 1, "identity")])
    params = [{"W_x": np.ones((1, 1)), "W_h": np.array([[w]]), "b": np.zeros(1)} for w in (1.0, 0.1)]
    record = gs.probe(network, params, np.zeros((1000, 1, 1)), ["state_gradient"])
    np.testing.assert_allclose(record.layers["layer2"]["state_gradient"][:, 0], np.arange(1001) - 1000.0, atol=1e-9)
    np.testing.assert_allclose(record.layers["layer1"]["state_gradient"][0], np.log10(1 / 0.9), atol=1e-9)
    np.testing.assert_allclose(record["state_gradient.blocks"][1, 0], -1000.0, rtol=1e-12)


def test_probes_that_no_part_has_are_refused_and_those_of_one_part_are_made_there():
    params, inputs = made(STACK)
    record = gs.probe(STACK, params, inputs, ["cell_gradient", "transport"])
    assert "cell_gradient" in record.layers["layer1"]
    assert list(record.layers["layer2"]) == ["transport"]
    small = gs.Stack([gs.RNN(2, 3), gs.RNN(3, 3)])
    with pytest.raises(ArgumentError, match="no layer of this Stack has it"):
        gs.probe(small, made(small)[0], inputs, ["cell_gradient"])
    both = gs.Bidirectional(gs.RNN(2, 3))
    assert "transport" in gs.probe(both, made(both)[0], inputs, ["transport"]).layers["backward"]
    cell = gs.GRU(2, 3)
    with pytest.raises(
        ArgumentError, match=r"`between` needs a network, got GRU\. Leave it out: a cell takes state, valid"
    ):
        gs.probe(cell, made(cell)[0], inputs, between=[])
    with pytest.raises(ArgumentError, match=r"`options` must be one of .*, got 'vaild'\. Did you mean 'valid'"):
        gs.probe(small, made(small)[0], inputs, vaild=np.ones((3, 2)))


def test_a_record_of_a_network_is_saved_with_its_layers(tmp_path):
    params, inputs = made(STACK)
    record = gs.probe(STACK, params, inputs, "cheap")
    again = gs.Record.load(record.save(tmp_path / "stack.npz"))
    assert list(again.layers) == ["layer1", "layer2"]
    np.testing.assert_array_equal(again.layers["layer1"]["gate_activation"], record.layers["layer1"]["gate_activation"])


def test_a_diverging_network_says_where():
    network = gs.Stack([gs.RNN(1, 2, "identity"), gs.RNN(2, 2, "identity")])
    params = [{"W_x": np.ones((2, n)), "W_h": 1e200 * np.eye(2), "b": np.zeros(2)} for n in (1, 2)]
    record = gs.probe(network, params, np.ones((6, 1, 1)))
    assert record.summary["verdict"] == "diverged"
    assert record.summary["first_bad_step"]["pass"] == "forward"
