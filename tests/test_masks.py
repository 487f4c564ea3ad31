"""Masks: padding, resets and dropout against plain steps, and against sequences that were run by themselves."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_routes import Case, cases, chunks_of, make_case, scaled_error, step

import gradscope as gs
from gradscope.errors import ArgumentError, ShapeError
from gradscope.masks import NO_MASKS, Masks
from gradscope.trajectory import unroll

EVERY = pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])


def draw_masks(case: Case, seed: int, kinds: tuple[str, ...] = ("valid", "reset", "dropout")) -> dict[str, np.ndarray]:
    """Return random masks for a case."""
    rng = np.random.default_rng(seed)
    length, batch = case.inputs.shape[:2]
    masks = {
        "valid": rng.random((length, batch)) < 0.7,
        "reset": rng.random((length, batch)) < 0.3,
        "dropout": (rng.random((length, batch, case.cell.hidden_size)) < 0.6) / 0.6,
    }
    return {kind: masks[kind] for kind in kinds}


def plain_step(case: Case, masks: dict[str, np.ndarray], t: int, b: int):
    """Return step t of sequence b as a function of (params, x, state), masks written out."""

    def masked(params, x, state):
        if not masks.get("valid", np.ones(case.inputs.shape[:2]))[t, b]:
            return 1.0 * state + 0.0 * anp.sum(x)  # autograd warns of what does not depend
        seen = 0.0 * state if masks.get("reset", np.zeros(case.inputs.shape[:2]))[t, b] else state
        if "dropout" not in masks:
            return step(case.name, case.phi, params, x, seen)
        # the recurrent product hears the dropped h, and everything else the whole one
        scaled = {**params, "W_h": params["W_h"] * masks["dropout"][t, b]}
        return step(case.name, case.phi, scaled, x, seen)

    return masked


def plain_states(case: Case, masks, params, inputs, state):
    rows = [state]
    for t in range(len(inputs)):
        rows.append(
            anp.stack([plain_step(case, masks, t, b)(params, inputs[t, b], rows[-1][b]) for b in range(len(state))])
        )
    return anp.stack(rows)


def everything(case: Case, masks):
    return unroll(case.cell, case.params, case.inputs, case.state, **masks)


kinds = st.sets(st.sampled_from(["valid", "reset", "dropout"])).map(lambda names: tuple(sorted(names)))


@given(cases(activations=("tanh", "softsign")), st.integers(0, 99), kinds)
def test_states_and_jacobians_are_those_of_masked_plain_steps(case, seed, chosen):
    masks = draw_masks(case, seed, chosen)
    with chunks_of(case.chunk):
        trajectory = everything(case, masks)
        linearization = gs.linearize(trajectory)
        matrices = linearization.jacobians()
        frobenius, spectral = linearization.norm("frobenius"), linearization.norm("spectral")
        inputs = linearization.input_jacobians()
    trail = plain_states(case, masks, case.params, case.inputs, case.state)
    assert scaled_error(trajectory.states, trail) < 1e-12
    for t, b in np.ndindex(*case.inputs.shape[:2]):
        plain = plain_step(case, masks, t, b)
        wanted = autograd.jacobian(lambda s, t=t, b=b, plain=plain: plain(case.params, case.inputs[t, b], s))(
            trail[t, b]
        )
        assert scaled_error(matrices[t, b], wanted) < 1e-11
        by_input = autograd.jacobian(lambda x, t=t, b=b, plain=plain: plain(case.params, x, trail[t, b]))(
            case.inputs[t, b]
        )
        assert scaled_error(inputs[t, b], by_input) < 1e-11
    np.testing.assert_allclose(frobenius, np.linalg.norm(matrices, axis=(2, 3)), rtol=1e-11)
    np.testing.assert_allclose(spectral, np.linalg.norm(matrices, 2, axis=(2, 3)), rtol=1e-8, atol=1e-14)


@given(cases(activations=("tanh", "softsign")), st.integers(0, 99), kinds)
def test_gradients_are_those_of_the_tape_over_masked_plain_steps(case, seed, chosen):
    masks = draw_masks(case, seed, chosen)
    weights = np.random.default_rng(seed).standard_normal((len(case.inputs) + 1, *case.state.shape))

    def plain(everything):
        return anp.sum(weights * plain_states(case, masks, *everything))

    def ours(everything):
        return anp.sum(weights * gs.scan(case.cell, *everything, **masks))

    at = (case.params, case.inputs, case.state)
    with chunks_of(case.chunk):
        found = autograd.grad(ours)(at)
    wanted = autograd.grad(plain)(at)
    for name in case.params:
        assert scaled_error(found[0][name], wanted[0][name]) < 1e-11, name
    assert scaled_error(found[1], wanted[1]) < 1e-11
    assert scaled_error(found[2], wanted[2]) < 1e-11


@EVERY
def test_second_derivatives_go_through_masks(name):
    case = make_case(name, length=3)
    masks = draw_masks(case, 5)
    direction = np.random.default_rng(1).standard_normal(case.params["W_h"].shape)

    def slope(route):
        def loss(W_h):
            states = route({**case.params, "W_h": W_h})
            return anp.sum(states[-1] ** 2)

        return autograd.grad(lambda W_h: anp.sum(autograd.grad(loss)(W_h) * direction))(case.params["W_h"])

    ours = slope(lambda params: gs.scan(case.cell, params, case.inputs, case.state, **masks))
    plain = slope(lambda params: plain_states(case, masks, params, case.inputs, case.state))
    assert scaled_error(ours, plain) < 1e-10


@EVERY
def test_padded_sequences_end_where_shorter_ones_do(name):
    case = make_case(name, length=9, batch=3)
    lengths = [9, 4, 6]
    valid = np.arange(9)[:, None] < lengths
    inputs = np.where(valid[:, :, None], case.inputs, np.nan)  # what stands in the padding is not read
    trajectory = unroll(case.cell, case.params, inputs, case.state, valid=valid)
    for b, length in enumerate(lengths):
        alone = unroll(case.cell, case.params, case.inputs[:length, b : b + 1], case.state[b : b + 1])
        np.testing.assert_allclose(trajectory.states[: length + 1, b], alone.states[:, 0], rtol=1e-12)
        assert (trajectory.states[length:, b] == trajectory.states[length, b]).all()
    np.testing.assert_array_equal(trajectory.valid, valid)
    assert np.isfinite(gs.linearize(trajectory).jacobians()).all()


@EVERY
def test_a_reset_begins_a_document_of_its_own(name):
    case = make_case(name, length=8, batch=2)
    reset = np.zeros((8, 2), bool)
    reset[5, 1] = True
    trajectory = unroll(case.cell, case.params, case.inputs, case.state, reset=reset)
    alone = unroll(case.cell, case.params, case.inputs[5:, 1:])
    np.testing.assert_allclose(trajectory.states[6:, 1], alone.states[1:, 0], rtol=1e-12)
    reach = gs.transport(gs.linearize(trajectory)).rms
    assert np.isneginf(reach[:6, 1]).all()
    assert np.isfinite(reach[:, 0]).all()
    np.testing.assert_array_equal(trajectory.reset, reset)


def test_masks_that_change_nothing_are_no_masks():
    masks = Masks.of(np.ones((3, 2)), np.zeros((3, 2), bool), None, (3, 2, 4))
    assert not masks
    assert not NO_MASKS
    assert masks.valid is masks.reset is None


def test_one_dropout_mask_holds_for_every_step():
    case = make_case("LSTM", length=5)
    once = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]])
    whole = np.broadcast_to(once, (5, 2, 3))
    np.testing.assert_array_equal(
        everything(case, {"dropout": once}).states, everything(case, {"dropout": whole}).states
    )


@pytest.mark.parametrize("kind", ["frobenius", "spectral"])
def test_norms_with_dropout_are_those_of_the_matrices_in_any_chunk(kind, monkeypatch):
    case = make_case("LSTM", length=7, hidden_size=4)
    linearization = gs.linearize(everything(case, draw_masks(case, 3)))
    whole = linearization.norm(kind)
    monkeypatch.setattr("gradscope.norms._MATRICES", 1)
    np.testing.assert_allclose(gs.linearize(linearization.trajectory).norm(kind), whole, rtol=1e-12)


@pytest.mark.parametrize(
    ("masks", "remedy"),
    [
        ({"valid": np.ones((3, 2))}, "truth for each step and sequence"),
        ({"valid": np.ones(3)}, r"of lengths \(B,\) it is `np.arange\(T\)\[:, None\] < lengths`"),
        ({"reset": np.ones(4)}, "truth for each step and sequence"),
        ({"dropout": np.ones((4, 3))}, "one factor for each unit"),
    ],
)
def test_a_mask_of_another_shape_is_refused(masks, remedy):
    with pytest.raises(ShapeError, match=remedy):
        everything(make_case("LSTM"), masks)


@pytest.mark.parametrize(
    ("masks", "remedy"),
    [
        ({"valid": np.full((4, 2), 0.5)}, "Use a bool array"),
        ({"reset": np.full((4, 2), "yes")}, "Use a bool array"),
        ({"dropout": np.full((2, 3), np.nan)}, "finite factors"),
    ],
)
def test_a_mask_of_other_values_is_refused(masks, remedy):
    with pytest.raises(ArgumentError, match=remedy):
        everything(make_case("LSTM"), masks)
