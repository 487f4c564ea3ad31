"""Linearization: factored against dense, dense against ``autograd.jacobian``, that against finite differences."""

from __future__ import annotations

import autograd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_routes import cases, central_differences, chunks_of, make_case, scaled_error, step
from written_cells import WRITTEN, Centred, SelfLoop

import gradscope as gs
from gradscope.errors import ArgumentError, ShapeError

SMOOTH = ("tanh", "softsign", "sigmoid", "identity")


def linearized(case):
    return gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))


@given(cases(dtypes=("float64", "float32")))
def test_jacobians_equal_those_of_the_published_equations(case):
    with chunks_of(case.chunk):
        lin = linearized(case)
        matrices = lin.jacobians()
    tolerance = case.tolerance if case.cell.activation in ("tanh", "softsign", "sigmoid") else 30 * case.tolerance
    assert matrices.shape == (*case.inputs.shape[:2], case.cell.state_size, case.cell.state_size)
    assert matrices.dtype == case.params["W_h"].dtype
    if case.params["W_h"].dtype == np.float64 or case.cell.activation in SMOOTH:  # float32 may fall on the other side
        assert scaled_error(matrices, case.plain_jacobians()) < tolerance


@settings(max_examples=30)
@given(cases(activations=("tanh", "softsign", "sigmoid")))
def test_jacobians_equal_finite_differences_of_the_unrolled_cell(case):
    """The third route: nothing is differentiated by anybody. It checks rows and columns, too."""
    lin = linearized(case)
    states, matrices = lin.trajectory.states, lin.jacobians()
    t, b = len(case.inputs) - 1, len(case.state) - 1

    def last(state):
        return gs.unroll(case.cell, case.params, case.inputs[t:, b:], state[None]).states[1, 0]

    numeric = central_differences(last, states[t, b])
    np.testing.assert_allclose(matrices[t, b], numeric, atol=1e-8, rtol=1e-6)
    plain = autograd.jacobian(case.plain_step(t, b))(states[t, b])
    np.testing.assert_allclose(plain, numeric, atol=1e-8, rtol=1e-6)


@settings(max_examples=40)
@given(cases(), st.integers(0, 99))
def test_jvp_and_vjp_are_products_with_the_jacobians(case, seed):
    rng = np.random.default_rng(seed)
    v, w = rng.standard_normal((2, *case.inputs.shape[:2], case.cell.state_size))
    with chunks_of(case.chunk):
        lin = linearized(case)
        jvp, vjp = lin.jvp(v), lin.vjp(w)
    matrices = case.plain_jacobians()
    assert scaled_error(jvp, np.einsum("tbij,tbj->tbi", matrices, v)) < 3e-9
    assert scaled_error(vjp, np.einsum("tbij,tbi->tbj", matrices, w)) < 3e-9


@settings(max_examples=40)
@given(cases(activations=SMOOTH))
def test_input_jacobians_equal_those_of_the_published_equations(case):
    with chunks_of(case.chunk):
        found = linearized(case).input_jacobians()
    states = case.plain_states()
    wanted = np.array(
        [
            [
                autograd.jacobian(lambda x, s=states[t, b]: step(case.name, case.phi, case.params, x, s))(
                    case.inputs[t, b]
                )
                for b in range(len(case.state))
            ]
            for t in range(len(case.inputs))
        ]
    )
    assert scaled_error(found, wanted) < 3e-9


@pytest.mark.parametrize("cell_class", WRITTEN, ids=lambda c: c.__name__)
@pytest.mark.parametrize("chunk", [1, 2**17])
def test_a_cell_that_a_user_wrote_goes_the_same_road(cell_class, chunk):
    cell, rng = cell_class(2, 3), np.random.default_rng(0)
    params = {name: 0.8 * rng.standard_normal(shape) for name, shape in cell.shapes().items()}
    inputs, state = rng.standard_normal((6, 2, 2)), 0.5 * rng.standard_normal((2, cell.state_size))
    with chunks_of(chunk):
        lin = gs.linearize(gs.unroll(cell, params, inputs, state))
        matrices, input_matrices = lin.jacobians(), lin.input_jacobians()
        norms = {kind: lin.norm(kind) for kind in ("spectral", "frobenius")}
        v, w = rng.standard_normal((2, 6, 2, cell.state_size))
        jvp, vjp = lin.jvp(v), lin.vjp(w)
    trail = [state]
    for x in inputs:
        trail.append(np.stack([cell.plain(params, x[b], trail[-1][b]) for b in range(2)]))
    np.testing.assert_allclose(lin.trajectory.states, trail, rtol=1e-12, atol=1e-12)

    def over(differentiate):
        return np.array([[differentiate(inputs[t, b], trail[t][b]) for b in range(2)] for t in range(6)])

    wanted = over(lambda x, s: autograd.jacobian(lambda s: cell.plain(params, x, s))(s))
    assert scaled_error(matrices, wanted) < 1e-12
    assert (
        scaled_error(input_matrices, over(lambda x, s: autograd.jacobian(lambda x: cell.plain(params, x, s))(x)))
        < 1e-12
    )
    assert scaled_error(norms["spectral"], np.linalg.norm(wanted, 2, axis=(2, 3))) < 1e-10
    assert scaled_error(norms["frobenius"], np.linalg.norm(wanted, axis=(2, 3))) < 1e-12
    assert scaled_error(jvp, np.einsum("tbij,tbj->tbi", wanted, v)) < 1e-12
    assert scaled_error(vjp, np.einsum("tbij,tbi->tbj", wanted, w)) < 1e-12


def test_a_cell_that_reads_parameters_goes_by_its_own_each_time():
    """Were what is recorded with the first ones kept, the second run would go on with them."""
    cell, rng = SelfLoop(2, 3), np.random.default_rng(0)
    inputs, state = rng.standard_normal((5, 2, 2)), rng.standard_normal((2, 3))
    for _ in range(3):
        params = {name: rng.standard_normal(shape) for name, shape in cell.shapes().items()}
        trajectory = gs.unroll(cell, params, inputs, state)
        first = np.stack([cell.plain(params, inputs[0, b], state[b]) for b in range(2)])
        np.testing.assert_allclose(trajectory.states[1], first, rtol=1e-12, atol=1e-12)
        matrix = autograd.jacobian(lambda s, p=params: cell.plain(p, inputs[0, 0], s))(state[0])
        np.testing.assert_allclose(gs.linearize(trajectory).jacobians()[0, 0], matrix, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell_class", [gs.LSTM, gs.GRU, *WRITTEN], ids=lambda c: c.__name__)
@pytest.mark.parametrize("chunk", [1, 2**17])
def test_products_with_input_jacobians_need_no_matrix(cell_class, chunk):
    cell, rng = cell_class(2, 3), np.random.default_rng(1)
    params = {name: 0.8 * rng.standard_normal(shape) for name, shape in cell.shapes().items()}
    x, w = rng.standard_normal((5, 2, 2)), rng.standard_normal((5, 2, cell.state_size))
    bundle, back = rng.standard_normal((2, 2, 4)), rng.standard_normal((cell.state_size, 2, 4))
    with chunks_of(chunk):
        lin = gs.linearize(gs.unroll(cell, params, rng.standard_normal((5, 2, 2))))
        matrices = lin.input_jacobians()
        assert scaled_error(lin.input_jvp(x), np.einsum("tbij,tbj->tbi", matrices, x)) < 1e-12
        assert scaled_error(lin.input_vjp(w), np.einsum("tbij,tbi->tbj", matrices, w)) < 1e-12
        for t in (0, 3):
            assert scaled_error(lin.push_input_at(t, bundle), np.einsum("bij,jbm->ibm", matrices[t], bundle)) < 1e-12
            assert scaled_error(lin.pull_input_at(t, back), np.einsum("bij,ibm->jbm", matrices[t], back)) < 1e-12
    with pytest.raises(ShapeError, match="Give one vector for each step"):
        lin.input_jvp(x[:-1])


def test_an_update_that_is_not_elementwise_is_refused():
    """Its partials would not be diagonals, and every number made of them wrong."""
    cell = Centred(1, 3)
    lin = gs.linearize(gs.unroll(cell, cell.init(np.random.default_rng(0)), np.zeros((4, 2, 1))))
    with pytest.raises(ArgumentError, match=r"`update` of Centred must be elementwise, .* Let units meet in W_h alone"):
        lin.jacobians()


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("kept", [0, 2**24])
def test_whether_partials_are_kept_changes_nothing(name, kept):
    case = make_case(name, length=9, hidden_size=3, batch=2)
    wanted = case.plain_jacobians()
    bundle = np.random.default_rng(0).standard_normal((case.cell.state_size, 2, 4))
    with chunks_of(40, kept):
        lin = linearized(case)
        order = np.random.default_rng(1).permutation(9)
        for t in order:
            assert scaled_error(lin.push_at(t, bundle), np.einsum("bij,jbm->ibm", wanted[t], bundle)) < 1e-10
            assert scaled_error(lin.pull_at(t, bundle), np.einsum("bij,ibm->jbm", wanted[t], bundle)) < 1e-10
        assert scaled_error(lin.jacobians(), wanted) < 1e-10


@pytest.mark.parametrize("method", ["jvp", "vjp"])
def test_products_have_the_precision_of_the_wider_of_the_two(method):
    """float32 vectors through a float64 linearization: nothing in between is rounded to float32."""
    case = make_case("LSTM", hidden_size=8)
    lin = linearized(case)
    vectors = np.random.default_rng(0).standard_normal((4, 2, 16)).astype(np.float32)
    narrow, wide = getattr(lin, method)(vectors), getattr(lin, method)(vectors.astype(float))
    assert narrow.dtype == np.float64
    np.testing.assert_allclose(narrow, wide, rtol=1e-12)


def test_sizes_are_those_of_the_trajectory():
    lin = linearized(make_case("LSTM", hidden_size=3, batch=2, length=4, dtype="float32"))
    assert (lin.length, lin.batch, lin.state_size, lin.block_size) == (4, 2, 6, 3)
    assert lin.dtype == np.float32


WRONG_VECTORS = [
    (
        np.zeros((2, 4, 6)),
        r"`{}` must have shape \(T, B, S\)=\(4, 2, 6\), got \(2, 4, 6\)\. Give one vector for each step",
    ),
    (
        np.zeros((4, 2, 3)),
        r"`{}` must have shape \(T, B, S\)=\(4, 2, 6\), got \(4, 2, 3\)\. Give one vector for each step",
    ),
    ("text", r"`{}` must be an array of real numbers, got text\. Convert it"),
    (1j * np.zeros((4, 2, 6)), r"`{}` must be an array of real numbers, got dtype complex128\. Convert it"),
]


@pytest.mark.parametrize(("vectors", "message"), WRONG_VECTORS, ids=range(len(WRONG_VECTORS)))
def test_wrong_vectors_are_told_what_to_do(vectors, message):
    lin = linearized(make_case("LSTM"))
    with pytest.raises(ShapeError, match=message.format("tangents")):
        lin.jvp(vectors)
    with pytest.raises(ShapeError, match=message.format("cotangents")):
        lin.vjp(vectors)


def test_plain_matrices_have_the_same_interface():
    matrices = np.random.default_rng(0).standard_normal((5, 3, 4, 4))
    maps = gs.Jacobians(matrices, blocks=2)
    assert (maps.length, maps.batch, maps.state_size, maps.block_size, maps.dtype) == (5, 3, 4, 2, np.float64)
    bundle = np.random.default_rng(1).standard_normal((4, 3, 2))
    for b in range(3):
        np.testing.assert_allclose(maps.push_at(2, bundle)[:, b], matrices[2, b] @ bundle[:, b], rtol=1e-12)
        np.testing.assert_allclose(maps.pull_at(2, bundle)[:, b], matrices[2, b].T @ bundle[:, b], rtol=1e-12)


def test_plain_matrices_may_be_whole_numbers_or_lists():
    maps = gs.Jacobians([[[[2, 1], [1, 1]]]])
    assert maps.dtype == np.float64
    np.testing.assert_array_equal(maps.push_at(0, np.eye(2)[:, None])[:, 0], [[2.0, 1.0], [1.0, 1.0]])


WRONG_MATRICES = [
    (
        np.zeros((5, 4, 4)),
        1,
        r"`matrices` must have shape \(T, B, S, S\).*got \(5, 4, 4\)\. For one sequence use `matrices\[",
    ),
    (np.zeros((5, 2, 4, 3)), 1, r"`matrices` must have shape .* got \(5, 2, 4, 3\)\. For one"),
    (np.zeros((0, 2, 4, 4)), 1, r"`matrices` must have shape .* got \(0, 2, 4, 4\)\. For one"),
    (np.zeros((5, 2, 4, 4)), 3, r"with S divisible by 3, got \(5, 2, 4, 4\)"),
    (np.zeros((5, 2, 4, 4)), 0, r"`blocks` must be a whole number of at least 1, got 0\. "),
    ("text", 1, r"`matrices` must be an array of real numbers, got text\. Convert it"),
]


@pytest.mark.parametrize(("matrices", "blocks", "message"), WRONG_MATRICES, ids=range(len(WRONG_MATRICES)))
def test_wrong_matrices_are_told_what_to_do(matrices, blocks, message):
    with pytest.raises((ShapeError, ArgumentError), match=message):
        gs.Jacobians(matrices, blocks)


def test_only_a_trajectory_is_linearized():
    with pytest.raises(
        ArgumentError, match=r"`trajectory` must be what `gs\.unroll` returns, got LSTM\. Call `gs\.unr"
    ):
        gs.linearize(gs.LSTM(1, 2))
