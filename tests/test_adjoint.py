"""Adjoint: every gradient against autograd's own tape over the published equations, and against finite differences."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import plain_routes
import pytest
from autograd.test_util import check_grads
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_routes import ACTIVATIONS, cases, central_differences, chunks_of, make_case, scaled_error
from written_cells import WRITTEN, SelfLoop

import gradscope as gs
from gradscope.adjoint import unroll_on_tape
from gradscope.cells import CELLS
from gradscope.errors import ArgumentError, ShapeError
from gradscope.gradients import gradient_norms
from gradscope.program import reads_parameters

EVERY = pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
KINKED = ("relu", "hard_sigmoid", "hard_tanh")


def weighing(shape, seed=0):
    """Return a loss that listens to every state, the first one too, and is not linear in them."""
    weights = np.random.default_rng(seed).standard_normal(shape)
    return lambda states: anp.sum(weights * states + 0.3 * weights**2 * anp.sin(states))


def assert_same(found, wanted, tolerance):
    """Compare (dict of params, inputs, state)."""
    assert set(found[0]) == set(wanted[0])
    for name in wanted[0]:
        assert scaled_error(found[0][name], wanted[0][name]) < tolerance, name
    assert scaled_error(found[1], wanted[1]) < tolerance
    assert scaled_error(found[2], wanted[2]) < tolerance


def by_scan(case, loss, route=gs.scan):
    """Return dL/dparams, dL/dinputs and dL/dstate through ``route``."""

    def of_all(everything):
        return loss(route(case.cell, *everything))

    return autograd.grad(of_all)((case.params, case.inputs, case.state))


@settings(max_examples=80)
@given(cases(dtypes=("float64", "float32")), st.integers(0, 99))
def test_gradients_through_scan_equal_those_of_the_plain_tape(case, seed):
    loss = weighing((len(case.inputs) + 1, len(case.state), case.cell.state_size), seed)
    with chunks_of(case.chunk):
        found = by_scan(case, loss)
    dtype = case.params["W_h"].dtype
    assert {array.dtype for array in (*found[0].values(), *found[1:])} == {dtype}
    if dtype == np.float32 and case.cell.activation in KINKED:
        return  # a rounded drive may lie on the other side of a kink
    bounded = case.cell.activation in ("tanh", "softsign", "sigmoid", "hard_tanh", "hard_sigmoid")
    assert_same(found, case.plain_gradients(loss), (1 if bounded else 100) * case.tolerance)


@EVERY
def test_the_two_routes_within_gradscope_agree(name):
    case = make_case(name, length=7)
    loss = weighing((8, 2, case.cell.state_size))
    assert_same(by_scan(case, loss), by_scan(case, loss, unroll_on_tape), 1e-12)
    trajectory = gs.unroll(case.cell, case.params, case.inputs, case.state)
    on_tape = unroll_on_tape(case.cell, case.params, case.inputs, case.state)
    np.testing.assert_allclose(on_tape, trajectory.states, rtol=1e-13, atol=1e-15)


@EVERY
def test_gradients_equal_finite_differences(name):
    """The third route: nobody differentiates."""
    case = make_case(name, length=3, batch=1, hidden_size=2, input_size=1)
    loss = weighing((4, 1, case.cell.state_size))
    found = by_scan(case, loss)

    def value(**changed):
        params = {**case.params, **{k: v for k, v in changed.items() if k in case.params}}
        inputs, state = changed.get("inputs", case.inputs), changed.get("state", case.state)
        return np.asarray(loss(gs.unroll(case.cell, params, inputs, state).states))

    for key, array in {**case.params, "inputs": case.inputs, "state": case.state}.items():
        numeric = central_differences(lambda x, key=key: value(**{key: x}), array).reshape(array.shape)
        wanted = found[1] if key == "inputs" else found[2] if key == "state" else found[0][key]
        np.testing.assert_allclose(wanted, numeric, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("cell_class", WRITTEN, ids=lambda c: c.__name__)
@pytest.mark.parametrize("chunk", [1, 2**17])
def test_a_cell_that_a_user_wrote_is_differentiated_like_any(cell_class, chunk):
    cell, rng = cell_class(2, 3), np.random.default_rng(0)
    params = {name: 0.8 * rng.standard_normal(shape) for name, shape in cell.shapes().items()}
    inputs, state = rng.standard_normal((5, 2, 2)), 0.5 * rng.standard_normal((2, cell.state_size))
    loss = weighing((6, 2, cell.state_size))

    def plain(everything):
        p, xs, s = everything
        rows = [s]
        for x in xs:
            rows.append(anp.stack([cell.plain(p, x[b], rows[-1][b]) for b in range(2)]))
        return loss(anp.stack(rows))

    with chunks_of(chunk):
        found = autograd.grad(lambda everything: loss(gs.scan(cell, *everything)))((params, inputs, state))
    assert_same(found, autograd.grad(plain)((params, inputs, state)), 1e-11)


def test_a_cell_that_reads_parameters_goes_over_the_tape():
    """Their way past the drives is not in the partials: scan knows it, backpropagate says so."""
    cell = SelfLoop(1, 2)
    lin = gs.linearize(gs.unroll(cell, cell.init(np.random.default_rng(0)), np.zeros((3, 1, 1))))
    with pytest.raises(ArgumentError, match=r"`backpropagate` needs a cell .* got SelfLoop\. Use `scan`, which takes"):
        gs.backpropagate(lin, np.zeros((4, 1, 2)))


def test_parameters_are_found_where_they_are_read():
    found = {cell_class.__name__: reads_parameters(cell_class(1, 2)) for cell_class in (*CELLS.values(), *WRITTEN)}
    assert [name for name, reads in found.items() if reads] == ["SelfLoop"]


def nudged(case, nudges, before_h=False):
    """Return the states of the plain route with a nudge added to each; of c before h is made, if so asked."""
    rows = [case.state + nudges[0]]
    size = case.cell.hidden_size
    for t, x in enumerate(case.inputs):
        new = anp.stack([plain_routes.step(case.name, case.phi, case.params, x[b], rows[-1][b]) for b in range(len(x))])
        if before_h:  # h = o phi(c): the same o, another c
            o = new[:, :size] / case.phi(new[:, size:])
            c = new[:, size:] + nudges[t + 1]
            new = anp.concatenate([o * case.phi(c), c], axis=1)
        else:
            new = new + nudges[t + 1]
        rows.append(new)
    return anp.stack(rows)


@settings(max_examples=30)
@given(cases(activations=("tanh", "softsign", "sigmoid")), st.integers(0, 99))
def test_total_gradient_is_that_of_a_nudge_to_each_state(case, seed):
    """Total, not direct; in the coordinates of s_t, so that a nudge to c leaves h_t where it is."""
    shape = (len(case.inputs) + 1, len(case.state), case.cell.state_size)
    loss = weighing(shape, seed)
    wanted = autograd.grad(lambda nudges: loss(nudged(case, nudges)))(np.zeros(shape))
    with chunks_of(case.chunk):
        lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
        direct = autograd.grad(loss)(lin.trajectory.states)
        total = gs.backpropagate(lin, direct).total
        norms = gradient_norms(lin, direct)
    assert scaled_error(total, wanted) < 1e-10
    log10 = np.log10(np.linalg.norm(wanted, axis=2))
    np.testing.assert_allclose(norms.total, log10, atol=1e-9)
    np.testing.assert_allclose(norms.direct, np.log10(np.linalg.norm(direct, axis=2)), atol=1e-12)
    for j in range(len(case.cell.blocks)):
        block = slice(j * case.cell.hidden_size, (j + 1) * case.cell.hidden_size)
        np.testing.assert_allclose(
            norms.total_blocks[j], np.log10(np.linalg.norm(wanted[..., block], axis=2)), atol=1e-8
        )
        np.testing.assert_allclose(
            norms.direct_blocks[j], np.log10(np.linalg.norm(direct[..., block], axis=2)), atol=1e-12
        )


@pytest.mark.parametrize("activation", ["tanh", "softsign"])
def test_cell_gradient_hears_the_path_through_the_exposed_hidden_state(activation):
    case = make_case("LSTM", activation, length=6, batch=3)
    loss = weighing((7, 3, 6))
    nudges = np.zeros((7, 3, 3))

    def of_c(nudges):
        wide = [anp.concatenate([np.zeros((3, 3)), nudges[0]], axis=1), *[nudges[t] for t in range(1, 7)]]
        return loss(nudged(case, wide, before_h=True))

    wanted = autograd.grad(of_c)(nudges)
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
    norms = gradient_norms(lin, autograd.grad(loss)(lin.trajectory.states))
    np.testing.assert_allclose(norms.heard[1], np.log10(np.linalg.norm(wanted, axis=2)), atol=1e-9)
    np.testing.assert_array_equal(norms.heard[0], norms.total_blocks[0])
    assert np.abs(norms.heard[1] - norms.total_blocks[1])[1:].min() > 1e-3  # and it is another number


def test_a_loss_on_the_last_step_has_no_direct_gradient_before_it():
    """What loggers call the gradient of an output is this direct part: exactly 0 where the total is not."""
    case = make_case("RNN", length=8)
    lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
    direct = np.zeros(lin.trajectory.states.shape)
    direct[-1] = 1.0
    norms = gradient_norms(lin, direct)
    assert np.isneginf(norms.direct[:-1]).all()
    assert np.isfinite(norms.total).all()
    np.testing.assert_allclose(norms.direct[-1], 0.5 * np.log10(3), rtol=1e-14)


@EVERY
def test_gradient_norms_agree_with_plain_back_propagation_over_many_steps(name):
    case = make_case(name, length=60, hidden_size=5, gain=0.8)
    with chunks_of(100):
        lin = gs.linearize(gs.unroll(case.cell, case.params, case.inputs, case.state))
        direct = np.random.default_rng(0).standard_normal(lin.trajectory.states.shape)
        direct[40:] *= 1e-200
        total = gs.backpropagate(lin, direct).total
        norms = gradient_norms(lin, direct)
    scale = np.abs(total).max(axis=2)
    wanted = np.log10(np.linalg.norm(total / scale[..., None], axis=2)) + np.log10(scale)
    np.testing.assert_allclose(norms.total, wanted, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gradient_norms_keep_what_leaves_the_float_range(dtype):
    """dL/dc_t of an LSTM with forced gates is f^(T-t): 10^-602 over 2000 steps at f = 1/2."""
    cell = gs.LSTM(1, 2, forget_bias=0.0)
    params = {name: np.zeros_like(array) for name, array in cell.init(np.random.default_rng(0)).items()}
    params["b"][[0, 1]] = -40.0
    params = {name: array.astype(dtype) for name, array in params.items()}
    trajectory = gs.unroll(cell, params, np.zeros((2000, 1, 1)), np.array([[0.0, 0.0, 1.0, 1.0]]))
    direct = np.zeros((2001, 1, 4), dtype)
    direct[-1, 0, 2:] = 1.0
    norms = gradient_norms(gs.linearize(trajectory), direct)
    assert norms.total[0, 0] == pytest.approx(0.5 * np.log10(2) - 2000 * np.log10(2), rel=1e-9)
    assert norms.total[1000, 0] == pytest.approx(0.5 * np.log10(2) - 1000 * np.log10(2), rel=1e-9)
    assert gs.backpropagate(gs.linearize(trajectory), direct).total[0, 0, 2] == 0.0  # what a plain product reads


def test_nan_goes_back_from_the_bad_step_and_no_further_forward():
    case = make_case("LSTM", length=9, batch=3)
    inputs = case.inputs.copy()
    inputs[5, 1] = np.nan
    lin = gs.linearize(gs.unroll(case.cell, case.params, inputs, case.state))
    direct = np.zeros(lin.trajectory.states.shape)
    direct[3] = direct[-1] = 1.0
    norms = gradient_norms(lin, direct)
    assert np.isnan(norms.total[:, 1]).tolist() == [True] * 9 + [False]
    assert np.isfinite(norms.total[:, [0, 2]]).all()
    total = gs.backpropagate(lin, direct).total
    np.testing.assert_array_equal(np.isnan(total).any(axis=2), np.isnan(norms.total))


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_second_derivatives_through_scan_equal_those_over_the_tape(name):
    case = make_case(name, length=3, batch=2, hidden_size=2, input_size=1)
    loss = weighing((4, 2, case.cell.state_size))
    rng = np.random.default_rng(3)
    directions = (
        {k: rng.standard_normal(v.shape) for k, v in case.params.items()},
        *(rng.standard_normal(a.shape) for a in (case.inputs, case.state)),
    )

    def slope(route):
        """Return how fast the gradient along the directions changes with everything: a Hessian-vector product."""

        def along(everything):
            gradient = autograd.grad(lambda e: loss(route(e)))(everything)
            params = sum(anp.sum(gradient[0][k] * directions[0][k]) for k in case.params)
            return params + anp.sum(gradient[1] * directions[1]) + anp.sum(gradient[2] * directions[2])

        return autograd.grad(along)((case.params, case.inputs, case.state))

    found = slope(lambda e: gs.scan(case.cell, *e))
    assert_same(found, slope(lambda e: plain_routes.states(case.name, case.phi, *e)), 1e-10)
    assert_same(found, slope(lambda e: unroll_on_tape(case.cell, *e)), 1e-10)
    assert max(np.abs(array).max() for array in found[0].values()) > 1e-3


@EVERY
def test_hessians_of_single_arguments_are_right(name):
    """With respect to one argument alone, and the mixed one: the gradient's own arguments are boxed or not."""
    case = make_case(name, length=2, batch=1, hidden_size=2, input_size=1)
    loss = weighing((3, 1, case.cell.state_size))

    def routes(x, y):
        yield loss(gs.scan(case.cell, {**case.params, "W_h": x}, case.inputs, y))
        yield loss(plain_routes.states(case.name, case.phi, {**case.params, "W_h": x}, case.inputs, y))

    def compare(derivative):
        found, wanted = (derivative(lambda x, y, n=n: list(routes(x, y))[n]) for n in range(2))
        assert scaled_error(found, wanted) < 1e-10
        assert np.abs(wanted).max() > 1e-6

    x, y = case.params["W_h"], case.state
    compare(lambda f: autograd.hessian(lambda x: f(x, y))(x))
    compare(lambda f: autograd.hessian(lambda y: f(x, y))(y))
    compare(lambda f: autograd.jacobian(lambda x: autograd.grad(lambda y: f(x, y))(y))(x))


def test_scan_passes_autograds_own_check_up_to_order_2():
    case = make_case("GRU", length=2, batch=1, hidden_size=2, input_size=1)
    loss = weighing((3, 1, 2))
    check_grads(lambda s, x: loss(gs.scan(case.cell, case.params, x, s)), modes=["rev"], order=2)(
        case.state, case.inputs
    )


def pushed(route, case, tangents):
    """Return the change of the states along a direction, by autograd's forward mode."""
    return autograd.make_jvp(lambda e: route(e))((case.params, case.inputs, case.state))(tangents)[1]


def tangents_of(case, seed=5):
    rng = np.random.default_rng(seed)
    params = {name: rng.standard_normal(array.shape).astype(array.dtype) for name, array in case.params.items()}
    return params, *(rng.standard_normal(a.shape).astype(a.dtype) for a in (case.inputs, case.state))


@settings(max_examples=40)
@given(cases(activations=("tanh", "softsign", "sigmoid")))
def test_forward_mode_equals_that_of_the_published_equations(case):
    tangents = tangents_of(case)
    with chunks_of(case.chunk):
        found = pushed(lambda e: gs.scan(case.cell, *e), case, tangents)
    wanted = pushed(lambda e: plain_routes.states(case.name, case.phi, *e), case, tangents)
    assert scaled_error(found, wanted) < 1e-9


@pytest.mark.parametrize("truncate", [None, 3])
@pytest.mark.parametrize("name", list(CELLS))
def test_forward_mode_is_the_transpose_of_the_way_back(name, truncate):
    """Under padding, resets, dropout and truncation, for every cell, and for single arguments."""
    case = make_case(name, length=8, batch=3, hidden_size=3)
    rng = np.random.default_rng(0)
    masks = {
        "valid": rng.uniform(size=(8, 3)) > 0.2,
        "reset": rng.uniform(size=(8, 3)) < 0.2,
        "dropout": rng.uniform(0.5, 1.5, (8, 3, 3)) if case.cell.factored else None,
    }

    def route(e):
        return gs.scan(case.cell, *e, **masks, truncate=truncate)

    tangents, everything = tangents_of(case), (case.params, case.inputs, case.state)
    found = pushed(route, case, tangents)
    weights = rng.standard_normal(found.shape)
    gradient = autograd.grad(lambda e: anp.sum(weights * route(e)))(everything)
    wanted = sum(np.sum(gradient[0][k] * tangents[0][k]) for k in case.params)
    wanted += sum(np.sum(g * v) for g, v in zip(gradient[1:], tangents[1:], strict=True))
    assert np.sum(weights * found) == pytest.approx(wanted, rel=1e-9)
    alone = autograd.make_jvp(lambda x: route((case.params, x, case.state)))(case.inputs)(tangents[1])[1]
    assert np.sum(weights * alone) == pytest.approx(np.sum(gradient[1] * tangents[1]), rel=1e-9)


@pytest.mark.parametrize("name", ["LSTM", "ResetBeforeGRU"])
def test_forward_mode_and_the_way_back_go_through_one_another(name):
    """A Hessian times a vector: forward over reverse, reverse over forward, reverse over reverse."""
    case = make_case(name, length=3, batch=2, hidden_size=2, input_size=1)
    loss, v = weighing((4, 2, case.cell.state_size)), np.random.default_rng(1).standard_normal(case.state.shape)

    def of_state(state):
        return loss(gs.scan(case.cell, case.params, case.inputs, state))

    wanted = autograd.grad(lambda s: anp.sum(autograd.grad(of_state)(s) * v))(case.state)
    over = autograd.make_jvp(autograd.grad(of_state))(case.state)(v)[1]
    under = autograd.grad(lambda s: autograd.make_jvp(of_state)(s)(v)[1])(case.state)
    np.testing.assert_allclose(over, wanted, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(under, wanted, rtol=1e-9, atol=1e-12)


def test_forward_mode_goes_through_a_cell_whose_update_reads_parameters():
    case = SelfLoop(2, 3)
    params = case.init(np.random.default_rng(0))
    inputs, v = np.random.default_rng(1).standard_normal((2, 4, 2, 2))

    def route(inputs):
        return gs.scan(case, params, inputs)

    found = autograd.make_jvp(route)(inputs)(v)[1]
    gradient = autograd.grad(lambda x: anp.sum(route(x)[-1]))(inputs)
    assert found[-1].sum() == pytest.approx(np.sum(gradient * v), rel=1e-10)


def test_the_way_back_is_itself_differentiable():
    """With respect to the cotangent alone, as autograd's forward mode by two reverse ones needs it."""
    case = make_case("LSTM", length=4, batch=1, hidden_size=2)
    pull, _ = autograd.make_vjp(lambda s: gs.scan(case.cell, case.params, case.inputs, s)[-1, 0])(case.state)
    found = autograd.jacobian(lambda cotangent: pull(cotangent)[0])(np.ones(4))
    wanted = autograd.jacobian(lambda s: gs.scan(case.cell, case.params, case.inputs, s)[-1, 0])(case.state)[:, 0]
    assert scaled_error(found, wanted.T) < 1e-12


@EVERY
def test_a_jacobian_through_scan_uses_the_way_back_many_times(name):
    case = make_case(name, length=4, batch=1, hidden_size=2)
    found = autograd.jacobian(lambda s: gs.scan(case.cell, case.params, case.inputs, s)[-1, 0])(case.state)[:, 0]
    product = np.eye(case.cell.state_size)
    for matrix in case.plain_jacobians()[:, 0]:
        product = matrix @ product
    assert scaled_error(found, product) < 1e-10


def test_scan_may_stand_twice_in_one_loss_and_feed_itself():
    """Two layers: the hidden states of the first are the inputs of the second."""
    lower, upper = make_case("LSTM", hidden_size=3), make_case("GRU", input_size=3, hidden_size=2, seed=1)

    def loss(routes):
        def of_params(packed):
            below = routes[0](packed[0], lower.inputs, lower.state)
            above = routes[1](packed[1], below[1:, :, :3], upper.state)
            return anp.sum(anp.sin(above)) + anp.sum(below**2)

        return of_params

    packed = (lower.params, upper.params)
    found = autograd.grad(
        loss([lambda *a, c=c: gs.scan(c.cell, *a) for c in (lower, upper)]),
    )(packed)
    wanted = autograd.grad(
        loss([lambda *a, c=c: plain_routes.states(c.name, ACTIVATIONS["tanh"], *a) for c in (lower, upper)])
    )(packed)
    for n in range(2):
        for key in packed[n]:
            assert scaled_error(found[n][key], wanted[n][key]) < 1e-11


def test_scan_takes_what_unroll_takes():
    case = make_case("LSTM")
    states = gs.scan(case.cell, case.params, case.inputs.tolist())
    np.testing.assert_array_equal(states, gs.unroll(case.cell, case.params, case.inputs).states)
    assert states.flags.c_contiguous
    gradient = autograd.grad(lambda p: gs.scan(case.cell, p, case.inputs.tolist())[-1].sum())(case.params)
    assert gradient["W_h"].shape == (12, 3)


CELL = gs.LSTM(2, 3)
PARAMS = CELL.init(np.random.default_rng(0))
WRONG = [
    (
        (PARAMS, np.zeros((4, 2))),
        ShapeError,
        r"`inputs` must have shape .* for one sequence use `inputs\[:, None, :\]`",
    ),
    ((PARAMS, np.zeros((4, 3, 5))), ShapeError, r"`inputs` must have shape .* Time comes first, the I features last"),
    ((PARAMS, [[[1.0, 2.0]], [[1.0]]]), ShapeError, r"`inputs` .* ragged lists\. Pad them"),
    ((PARAMS, "text"), ShapeError, r"`inputs` must be an array of real numbers, got text\. Convert it"),
    ((PARAMS, np.zeros((4, 3, 2)), np.zeros(6)), ShapeError, r"`state` must have shape .* Put h, c side by side"),
    (([1, 2], np.zeros((4, 3, 2))), ArgumentError, r"`params` must be a dict .* Use `cell\.init\(rng\)` to draw one"),
    (
        ({"W_x": PARAMS["W_x"]}, np.zeros((4, 3, 2))),
        ArgumentError,
        r"W_h is missing; got W_x\. Use `cell\.init\(rng\)`",
    ),
    (({**PARAMS, "Wh": 1}, np.zeros((4, 3, 2))), ArgumentError, r"`params` must be one of .*Did you mean 'W_h'"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG, ids=range(len(WRONG)))
def test_scan_refuses_what_unroll_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        gs.scan(CELL, *arguments)


@pytest.mark.parametrize("shape", [(4, 2, 6), (5, 2, 3), ()])
def test_a_direct_gradient_of_the_wrong_shape_is_told_what_to_do(shape):
    lin = gs.linearize(gs.unroll(CELL, PARAMS, np.zeros((4, 2, 2))))
    for function in (gs.backpropagate, gradient_norms):
        with pytest.raises(
            ShapeError, match=r"`direct` must have shape \(T\+1, B, S\)=\(5, 2, 6\), got .* initial state"
        ):
            function(lin, np.zeros(shape))


def test_the_inputs_gradient_is_left_out_when_nobody_asks():
    cell = gs.GRU(2, 3)
    params = cell.init(np.random.default_rng(0))
    linearization = gs.linearize(gs.unroll(cell, params, np.ones((4, 2, 2))))
    direct = np.ones((5, 2, 3))
    whole, part = gs.backpropagate(linearization, direct), gs.backpropagate(linearization, direct, inputs=False)
    assert whole.inputs.shape == (4, 2, 2)
    assert part.inputs is None
    for name in params:
        np.testing.assert_array_equal(whole.params[name], part.params[name])
