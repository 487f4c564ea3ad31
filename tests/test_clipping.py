"""Clipping: by norm the direction stays, by value it turns; torch does the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import gradscope as gs
from gradscope.clipping import clip
from gradscope.errors import ArgumentError, ShapeError

vectors = arrays(np.float64, st.integers(1, 6), elements=st.floats(-1e3, 1e3, allow_subnormal=False))


@given(vectors, st.floats(1e-3, 1e3))
def test_by_norm_the_direction_stays_and_the_norm_is_at_most_the_limit(vector, limit):
    found = clip({"a": vector, "b": [vector]}, norm=limit)
    before = np.sqrt(2.0) * np.linalg.norm(vector)
    assert found.before == pytest.approx(before, rel=1e-12)
    assert found.after == pytest.approx(min(before, limit), rel=1e-12)
    assert found.after <= limit * (1 + 1e-12) or not found.clipped
    np.testing.assert_array_equal(found.gradients["a"], found.gradients["b"][0])
    if before:
        assert found.cosine == pytest.approx(1.0)
        np.testing.assert_allclose(found.gradients["a"], vector * min(1.0, limit / before), rtol=1e-10, atol=1e-300)


@given(vectors, st.floats(1e-3, 1e3))
def test_by_value_every_entry_is_at_most_the_limit_and_the_cosine_says_how_far_it_turned(vector, limit):
    found = clip(vector, value=limit)
    np.testing.assert_array_equal(found.gradients, np.clip(vector, -limit, limit))
    if np.linalg.norm(vector):
        lengths = np.linalg.norm(vector) * np.linalg.norm(found.gradients)
        assert found.cosine == pytest.approx(vector @ found.gradients / lengths, abs=1e-9)


def test_torch_clips_alike():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    gradients = {"W": rng.standard_normal((3, 4)), "b": rng.standard_normal(4)}
    for kind in ("norm", "value"):
        theirs = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in gradients.values()]
        for parameter, gradient in zip(theirs, gradients.values(), strict=True):
            parameter.grad = torch.tensor(gradient)
        getattr(torch.nn.utils, f"clip_grad_{kind}_")(theirs, 0.5)
        ours = clip(gradients, **{kind: 0.5}).gradients
        for parameter, gradient in zip(theirs, ours.values(), strict=True):
            np.testing.assert_allclose(gradient, parameter.grad.numpy(), rtol=1e-5)  # torch adds 1e-6 to the norm


def test_a_gradient_too_long_for_a_float_keeps_its_direction():
    found = clip(np.array([1e308, -1e308, 1e308, 1e308]), norm=2.0)
    assert found.before == np.inf
    np.testing.assert_allclose(found.gradients, [1.0, -1.0, 1.0, 1.0], rtol=1e-12)
    assert found.cosine == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_shown_as_it_is(bad):
    found = clip(np.array([bad, 1.0]), norm=1.0)
    np.testing.assert_array_equal(found.gradients, [bad, 1.0])
    np.testing.assert_equal(found.before, bad)
    assert np.isnan(found.cosine)
    np.testing.assert_array_equal(clip(np.array([bad, 3.0]), value=2.0).gradients, [np.nan if np.isnan(bad) else 2, 2])


def test_a_zero_gradient_stays_zero():
    found = clip(np.zeros(3), norm=1.0)
    assert found.before == found.after == 0.0
    assert not found.clipped
    assert np.isnan(found.cosine)


def test_a_gradient_that_cannot_be_scaled_is_not_called_clipped():
    assert not gs.clip(np.array([np.nan, 3.0]), norm=1.0).clipped
    assert not gs.clip(np.array([np.inf, 3.0]), norm=1.0).clipped
    assert not gs.clip(np.array([np.nan, 0.5]), value=1.0).clipped
    assert gs.clip(np.array([np.nan, 3.0]), value=1.0).clipped
    long = gs.clip(np.full(4, 1.6e308), value=1.5e308)
    assert long.before == long.after == np.inf
    assert long.clipped


@pytest.mark.parametrize(
    ("limits", "remedy"),
    [
        ({}, "norm=1.0"),
        ({"norm": 1.0, "value": 1.0}, "norm=1.0"),
        ({"norm": 0.0}, "inf never"),
        ({"norm": "1"}, "above 0, got '1'. 1.0 is"),
        ({"value": np.nan}, "inf"),
    ],
)
def test_there_is_one_limit_above_zero(limits, remedy):
    with pytest.raises(ArgumentError, match=remedy):
        gs.clip(np.ones(2), **limits)


def test_any_nest_comes_back_in_its_form_and_types_with_whole_numbers_as_floats():
    wide, narrow, whole = np.array([3.0]), np.float32([[0.0, 4.0]]), [np.array([12, 0])]
    given_nest = {"a": (wide, narrow), "b": whole, "c": {}, "d": 0.0}
    for limit, factor in ((1.0, 1 / 13), (100.0, 1.0)):
        made = clip(given_nest, norm=limit).gradients
        assert list(made) == ["a", "b", "c", "d"]
        assert isinstance(made["a"], tuple)
        assert [array.dtype for array in (*made["a"], *made["b"])] == [np.float64, np.float32, np.float64]
        np.testing.assert_allclose(made["a"][1], [[0.0, 4 * factor]], rtol=1e-6)
        np.testing.assert_allclose(made["b"][0], [12 * factor, 0.0], rtol=1e-15)
        assert made["c"] == {}
        assert made["d"] == 0.0
    nothing = clip({}, norm=1.0)
    assert (nothing.gradients, nothing.before, nothing.clipped) == ({}, 0.0, False)


def test_what_holds_no_real_numbers_is_refused():
    with pytest.raises(ShapeError, match="Convert it to float64"):
        clip({"a": np.array([1j])}, norm=1.0)
