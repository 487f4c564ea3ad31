"""Products: with and without matrices, against ``autograd.jacobian`` of the published equations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_routes import cases, make_case, scaled_error

from gradscope.linearization import linearize, partials_at
from gradscope.products import dense, pull, pull_chain, pull_row, push, push_blocks, resolve
from gradscope.trajectory import unroll

SMOOTH = ("tanh", "softsign", "sigmoid")


def factors(case):
    """Return partials of all steps, and W_h."""
    trajectory = unroll(case.cell, case.params, case.inputs, case.state)
    return partials_at(trajectory, slice(0, trajectory.length)), case.params["W_h"]


def parts(case):
    """Return partials of all steps, W_h, and the plain Jacobians (T, B, S, S)."""
    return *factors(case), case.plain_jacobians()


@given(cases(activations=SMOOTH, dtypes=("float64", "float32")), st.integers(0, 99))
def test_products_agree_with_the_matrices_of_the_plain_route(case, seed):
    partials, W_h, matrices = parts(case)
    rng = np.random.default_rng(seed)
    columns = rng.standard_normal((len(matrices), case.cell.state_size, len(case.state))).astype(W_h.dtype)
    assert scaled_error(dense(partials, W_h), matrices) < case.tolerance
    assert scaled_error(push(partials, W_h, columns), np.einsum("tbij,tjb->tib", matrices, columns)) < case.tolerance
    assert scaled_error(pull(partials, W_h, columns), np.einsum("tbij,tib->tjb", matrices, columns)) < case.tolerance


@given(cases(), st.integers(0, 99))
def test_push_and_pull_are_adjoint_to_one_another(case, seed):
    partials, W_h = factors(case)
    rng = np.random.default_rng(seed)
    v, w = rng.standard_normal((2, len(case.inputs), case.cell.state_size, len(case.state)))
    there, back = (w * push(partials, W_h, v)).sum(axis=1), (v * pull(partials, W_h, w)).sum(axis=1)
    np.testing.assert_allclose(there, back, rtol=1e-9, atol=1e-9 * np.abs(there).max())


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_arguments_are_left_alone(name):
    partials, W_h = factors(make_case(name))
    columns = np.ones((4, partials.value[0].shape[1] * len(partials.value), 2))
    push(partials, W_h, columns)
    pull(partials, W_h, columns)
    np.testing.assert_array_equal(columns, 1.0)


def test_dense_writes_into_what_it_is_given():
    partials, W_h, matrices = parts(make_case("LSTM"))
    out = np.zeros_like(matrices)
    assert dense(partials, W_h, out) is out
    assert scaled_error(out, matrices) < 1e-10


def test_resolve_follows_the_chain_to_its_end():
    """For an LSTM: d h'/d c = o phi'(c') f, and d h'/d drive_f = o phi'(c') d c'/d drive_f."""
    partials, _, _ = parts(make_case("LSTM"))
    link, state = partials.new[0][1], resolve(partials, "state")
    np.testing.assert_array_equal(state[0][1], link * partials.state[1][1])
    assert state[0][0] is None
    drive = resolve(partials, "drive_h")
    np.testing.assert_array_equal(drive[0][1], link * partials.drive_h[1][1])
    np.testing.assert_array_equal(drive[0][3], partials.drive_h[0][3])
    assert partials.state[0][1] is None  # the partials themselves are as they were


def test_blocks_and_rows_are_the_pieces_of_push_and_pull():
    case = make_case("LSTM")
    partials, W_h, matrices = parts(case)
    size = case.cell.hidden_size
    rng = np.random.default_rng(0)
    old = [rng.standard_normal((4, size, 2)) for _ in range(2)]
    drives = list(np.split(W_h @ old[0], 4, axis=-2))
    new = np.concatenate(push_blocks(partials, drives, old), axis=-2)
    assert scaled_error(new, np.einsum("tbij,tjb->tib", matrices, np.concatenate(old, axis=-2))) < 1e-10

    heard = [block.copy() for block in old]
    pull_chain(partials, heard)
    np.testing.assert_array_equal(heard[0], old[0])
    np.testing.assert_array_equal(heard[1], old[1] + partials.new[0][1] * old[0])
    np.testing.assert_allclose(pull_row(partials.state, heard)[1], partials.state[1][1] * heard[1], rtol=1e-15)


def test_a_bundle_of_columns_takes_the_same_road():
    case = make_case("LSTM", length=3, batch=2, hidden_size=3)
    lin = linearize(unroll(case.cell, case.params, case.inputs, case.state))
    matrices = case.plain_jacobians()
    bundle = np.random.default_rng(0).standard_normal((6, 2, 5))
    for t in range(3):
        assert scaled_error(lin.push_at(t, bundle), np.einsum("bij,jbm->ibm", matrices[t], bundle)) < 1e-10
        assert scaled_error(lin.pull_at(t, bundle), np.einsum("bij,ibm->jbm", matrices[t], bundle)) < 1e-10
