"""Truths: numbers that mathematics fixes in advance, through the public functions, with the set-up written out.

The pitfalls at the end are tests that fail for the wrong implementation: the wrong one is written out, too, and
shown to give another number.
"""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import polygamma, psi

import gradscope as gs
from gradscope.activations import activation


def rnn(W, kind, inputs=None, steps=None, h0=None, weights=None):
    """Return the linearization of h' = phi(W h + V x) from h0, zeros when left out."""
    size = len(W)
    cell = gs.RNN(1 if weights is None else weights.shape[1], size, kind)
    params = {"W_x": np.zeros((size, 1)) if weights is None else weights, "W_h": W, "b": np.zeros(size)}
    inputs = np.zeros((steps, 1, 1)) if inputs is None else inputs
    return gs.linearize(gs.unroll(cell, params, inputs, None if h0 is None else np.atleast_2d(h0)))


def zeros(cell):
    return {name: np.zeros_like(array) for name, array in cell.init(np.random.default_rng(0)).items()}


def gate_rows(cell, params, gate, name="b"):
    """Return the rows of one gate, to be written to."""
    k = cell.gate_names.index(gate)
    return params[name][k * cell.hidden_size : (k + 1) * cell.hidden_size]


def largest_by_power(matrix):
    return np.log(np.abs(np.linalg.eigvals(matrix)).max())


# ---- 1. Linear network: exponents are the logarithms of |eigenvalues| -----------------------------------------------

W20 = np.random.default_rng(1).standard_normal((20, 20)) / np.sqrt(20)


@pytest.mark.parametrize(("steps", "skipped", "tolerance"), [(1000, 100, 1e-3), (20000, 500, 1e-4)])
def test_linear_exponents_are_the_logarithms_of_the_eigenvalues(steps, skipped, tolerance):
    lin = rnn(W20, "identity", steps=steps)
    found = gs.lyapunov_spectrum(lin, burn_in=0, tangent_burn_in=skipped)
    wanted = np.sort(np.log(np.abs(np.linalg.eigvals(W20))))[::-1]
    np.testing.assert_allclose(found.exponents, wanted, atol=tolerance)
    assert found.exponents.sum() == pytest.approx(np.linalg.slogdet(W20)[1], abs=1e-9)


def test_the_sum_of_linear_exponents_is_log_det_at_any_length():
    for steps in (1, 2, 17):
        found = gs.lyapunov_spectrum(rnn(W20, "identity", steps=steps), burn_in=0, tangent_burn_in=0)
        assert found.exponents.sum() == pytest.approx(np.linalg.slogdet(W20)[1], abs=1e-9)


def test_a_symmetric_network_has_no_slow_pairs():
    W = (W20 + W20.T) / 2
    found = gs.lyapunov_spectrum(rnn(W, "identity", steps=2000), burn_in=0, tangent_burn_in=500)
    np.testing.assert_allclose(found.exponents, np.sort(np.log(np.abs(np.linalg.eigvalsh(W))))[::-1], atol=1e-9)


# ---- 2. Determinant identity on a chaotic trajectory ----------------------------------------------------------------


def test_the_sum_of_exponents_is_the_mean_log_determinant_in_chaos():
    rng = np.random.default_rng(0)
    W = 3.0 * rng.standard_normal((50, 50)) / np.sqrt(50)
    lin = rnn(W, "tanh", steps=500, h0=rng.standard_normal(50))
    found = gs.lyapunov_spectrum(lin, burn_in=0, tangent_burn_in=0)
    states = lin.trajectory.states[1:, 0]
    slope = activation("tanh").slope(np.arctanh(states), states)  # a route without gradscope's Jacobians
    wanted = np.log(slope).sum() + 500 * np.linalg.slogdet(W)[1]
    assert found.exponents.sum() * 500 == pytest.approx(wanted, rel=1e-6)
    matrices = lin.jacobians()[:, 0]
    assert found.exponents.sum() * 500 == pytest.approx(np.linalg.slogdet(matrices)[1].sum(), rel=1e-9)
    assert found.exponents[0] > 0


# ---- 3. Orthogonal W ------------------------------------------------------------------------------------------------

W64 = gs.RNN(1, 64).init(np.random.default_rng(0), recurrent="orthogonal")["W_h"]


@pytest.mark.parametrize(("kind", "steps"), [("identity", 1000), ("tanh", 200), ("softsign", 200)])
def test_an_orthogonal_network_at_rest_is_an_isometry(kind, steps):
    """With h_0 = 0 and no input J_t = W exactly: every transport and every norm is 1, every exponent 0."""
    lin = rnn(W64, kind, steps=steps)
    np.testing.assert_allclose(lin.norm(), 1.0, atol=1e-10)
    moved = gs.transport(lin)
    np.testing.assert_allclose(moved.rms, 0.0, atol=1e-10)
    product = np.linalg.multi_dot([lin.jacobians()[t, 0] for t in range(50)])
    np.testing.assert_allclose(np.linalg.svd(product, compute_uv=False), 1.0, atol=1e-10)
    found = gs.lyapunov_spectrum(lin, burn_in=0, tangent_burn_in=0)
    np.testing.assert_allclose(found.exponents, 0.0, atol=1e-10)


@pytest.mark.parametrize(("s", "rms"), [(0.01, 0.712), (0.1, 2.2e-3), (0.5, 2.5e-12)])
def test_any_input_makes_it_contract(s, rms):
    size = 100
    W = gs.RNN(1, size).init(np.random.default_rng(0), recurrent="orthogonal")["W_h"]
    inputs = s * np.random.default_rng(1).standard_normal((100, 1, size))
    moved = gs.transport(rnn(W, "tanh", inputs, weights=np.eye(size)))
    assert rms / 3 < 10 ** moved.rms[0, 0] < rms * 3


def test_gaussian_of_gain_1_has_eigenvalues_at_1_and_is_no_isometry():
    W = gs.RNN(1, 100).init(np.random.default_rng(0), recurrent="gaussian")["W_h"]
    lin = rnn(W, "identity", steps=100)
    values = np.linalg.svd(np.linalg.matrix_power(W, 100), compute_uv=False)
    rms = 10 ** gs.transport(lin).rms[0, 0]
    assert rms == pytest.approx(np.sqrt((values**2).mean()), rel=1e-8)
    assert np.median(values) < 1e-10 * values[0]


# ---- 6. LSTM with forced gates --------------------------------------------------------------------------------------

FORCED = [
    (-2.0, 0.1192029, 4.2529e-93, 0.326),
    (0.0, 0.5, 7.8886e-31, 1.0),
    (1.0, 0.7310586, 2.4844e-14, 2.213),
    (2.0, 0.8807971, 3.0732e-06, 5.461),
    (3.0, 0.9525741, 7.7603e-03, 14.27),
    (5.0, 0.9933071, 0.51092, 103.2),
]


def forced(bias, steps):
    """Return the trajectory of one LSTM unit whose forget gate is sigma(bias) and whose input gate is shut."""
    cell = gs.LSTM(1, 1)
    params = zeros(cell)
    gate_rows(cell, params, "input")[:], gate_rows(cell, params, "forget")[:] = -40.0, bias
    return gs.unroll(cell, params, np.zeros((steps, 1, 1)), np.array([[0.0, 5.0]]))


@pytest.mark.parametrize(("bias", "f", "hundred", "half_life"), FORCED)
def test_forced_gates_make_the_cell_state_a_power_of_f(bias, f, hundred, half_life):
    trajectory = forced(bias, 100)
    assert trajectory.gates["forget"][0, 0, 0] == pytest.approx(f, rel=1e-6)
    moved = gs.transport(gs.linearize(trajectory))
    assert 10 ** moved.blocks[1, 1, 0, 0] == pytest.approx(hundred, rel=1e-4)
    record = gs.probe(trajectory.cell, trajectory.params, trajectory.inputs, ["transport", "timescale"])
    assert record.summary["half_life"] == pytest.approx(half_life, rel=2e-3)
    assert np.log(2) * record["timescale"][0] == pytest.approx(half_life, rel=2e-3)  # tau = -1 / ln f


@pytest.mark.parametrize(("bias", "truth"), [(0.0, -1505.149978), (1.0, -680.239111), (2.0, -275.620674)])
def test_five_thousand_forced_steps_are_right_past_the_float_range(bias, truth):
    moved = gs.transport(gs.linearize(forced(bias, 5000)))
    assert moved.blocks[1, 1, 0, 0] == pytest.approx(truth, rel=1e-9)
    assert moved.blocks[1, 1, 0, 0] == pytest.approx(5000 * np.log10(1 / (1 + np.exp(-bias))), rel=1e-13)


# ---- 7. Softsign scalar network in closed form ----------------------------------------------------------------------


def scalar(w, h0, steps, kind="softsign"):
    lin = rnn(np.array([[w]]), kind, steps=steps, h0=[h0])
    moved = gs.transport(lin)
    return lin.trajectory.states[-1, 0, 0], 10 ** moved.rms[0, 0], moved.rms[:, 0] * np.log(10)


@pytest.mark.parametrize(
    ("w", "h", "slope"),
    [
        (1.0, 0.0194444444, 7.71604938e-4),
        (3.0, 0.6666666667, 1.26345176e-24),
        (0.5, 3.65720526e-16, 3.07328173e-16),
    ],
)
def test_the_softsign_scalar_network_has_the_numbers_of_its_closed_form(w, h, slope):
    found, derivative, _ = scalar(w, 0.7, 50)
    assert found == pytest.approx(h, rel=1e-8)
    assert derivative == pytest.approx(slope, rel=1e-8)


@given(st.floats(0.2, 4.0), st.floats(0.05, 2.0), st.integers(1, 60))
def test_the_softsign_scalar_network_follows_its_closed_form(w, h0, steps):
    total = sum(w**-k for k in range(steps))
    h = 1 / (w**-steps / h0 + total)
    found, derivative, _ = scalar(w, h0, steps)
    assert found == pytest.approx(h, rel=1e-10)
    assert derivative == pytest.approx(w**-steps * (h / h0) ** 2, rel=1e-10)


def test_at_the_fixed_point_of_tanh_the_slope_is_known():
    h, _, logs = scalar(2.0, 0.3, 400, "tanh")
    assert h == pytest.approx(0.9575040241, rel=1e-9)
    assert logs[300] - logs[301] == pytest.approx(-1.7935285065, rel=1e-8)
    _, _, logs = scalar(2.0, 0.3, 400)
    assert logs[300] - logs[301] == pytest.approx(-np.log(2.0), rel=1e-8)


def test_at_the_critical_weight_the_fall_is_polynomial():
    for kind, power in (("softsign", -2.0), ("tanh", -1.5)):
        slopes = [scalar(1.0, 0.5, steps, kind)[2][0] for steps in (1000, 4000)]
        assert (slopes[1] - slopes[0]) / np.log(4) == pytest.approx(power, abs=0.02)
        if kind == "tanh":
            assert np.exp(slopes[1]) * 4000**1.5 == pytest.approx(14.32, rel=0.02)


# ---- 8. Gated cells at the zero state -------------------------------------------------------------------------------

TABLE_8 = {
    "LSTM": {0.0: -0.43953, 1.0: -0.13308, 2.0: 0.02482, 3.0: 0.09250, 5.0: 0.12896},
    "GRU": {0.0: -0.4395, 1.0: -0.2123, 2.0: -0.0886, 3.0: -0.0343},
}


def at_zero(name, size, bias, seed=0):
    """Return the Jacobian of a gated cell at the zero state and the eigenvalues that theory wants."""
    cell = {"LSTM": gs.LSTM, "GRU": gs.GRU}[name](1, size, forget_bias=bias)
    params = cell.init(np.random.default_rng(seed), recurrent="uniform")
    lin = gs.linearize(gs.unroll(cell, params, np.zeros((1, 1, 1))))
    candidate = np.linalg.eigvals(gate_rows(cell, params, "candidate", "W_h"))
    keep = 1 / (1 + np.exp(-bias))
    if name == "LSTM":
        return lin.jacobians()[0, 0], np.concatenate([np.zeros(size), keep + 0.25 * candidate]), params
    return lin.jacobians()[0, 0], keep + (1 - keep) * 0.5 * candidate, params


@settings(max_examples=30)
@given(st.sampled_from(["LSTM", "GRU"]), st.integers(1, 24), st.floats(-3, 5), st.integers(0, 99))
def test_the_spectrum_of_a_gated_cell_at_the_zero_state_is_in_closed_form(name, size, bias, seed):
    """The characteristic polynomial at points of the plane: it does not mind the order of the eigenvalues."""
    matrix, wanted, _ = at_zero(name, size, bias, seed)
    for point in (2.0, -1.7 + 0.4j, 0.3 + 1.9j):
        found = np.linalg.slogdet(point * np.eye(len(matrix)) - matrix)
        exact = np.prod((point - wanted) / np.abs(point - wanted)), np.log(np.abs(point - wanted)).sum()
        np.testing.assert_allclose(found[0], exact[0], atol=1e-10)
        np.testing.assert_allclose(found[1], exact[1], atol=1e-9)


@pytest.mark.parametrize(("name", "bias"), [(name, bias) for name in TABLE_8 for bias in TABLE_8[name]])
def test_the_first_exponent_at_the_zero_state_tends_to_the_table(name, bias):
    """The radius of U(-1, 1)/sqrt(H) tends to 1/sqrt(3) as H grows: at H = 300 it is within 5 %."""
    matrix, wanted, _ = at_zero(name, 300, bias)
    assert largest_by_power(matrix) == pytest.approx(np.log(np.abs(wanted).max()), abs=1e-10)
    assert largest_by_power(matrix) == pytest.approx(TABLE_8[name][bias], abs=0.03)


def test_the_lyapunov_exponent_of_an_lstm_at_rest_is_that_of_its_whole_state():
    """H = 16, b_f = 1, seed 0: QR over 2500 steps against the formula."""
    cell = gs.LSTM(1, 16, forget_bias=1.0)
    params = cell.init(np.random.default_rng(0), recurrent="uniform")
    lin = gs.linearize(gs.unroll(cell, params, np.zeros((2500, 1, 1))))
    first, pair = (gs.lyapunov_spectrum(lin, count=count).exponents for count in (1, 2))
    values = np.linalg.eigvals(gate_rows(cell, params, "candidate", "W_h"))
    wanted = np.sort(np.log(np.abs(1 / (1 + np.exp(-1.0)) + 0.25 * values)))[::-1]
    assert wanted[0] == pytest.approx(-0.156419, abs=1e-6)
    assert first[0] == pytest.approx(-0.156419, abs=1e-4)
    assert pair.sum() == pytest.approx(wanted[:2].sum(), abs=5e-4)  # a complex pair converges like 1/T


# ---- 10. GRU copy gate ----------------------------------------------------------------------------------------------


def copying(bias):
    cell = gs.GRU(1, 8, forget_bias=bias)
    params = cell.init(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    return cell, params, rng.standard_normal((60, 2, 1)), 0.5 * rng.standard_normal((2, 8))


def test_an_update_gate_of_1_keeps_the_old_state():
    cell, params, inputs, state = copying(40.0)
    lin = gs.linearize(gs.unroll(cell, params, inputs, state))
    np.testing.assert_allclose(lin.jacobians(), np.broadcast_to(np.eye(8), (60, 2, 8, 8)), atol=1e-14)
    np.testing.assert_allclose(lin.trajectory.states, np.broadcast_to(state, (61, 2, 8)), atol=1e-14)
    found = gs.lyapunov_spectrum(lin, burn_in=0, tangent_burn_in=0)
    np.testing.assert_allclose(found.exponents, 0.0, atol=1e-14)
    record = gs.probe(cell, params, inputs, state=state)
    n = record.coords["gate_saturation"]["gate"].index("update")
    np.testing.assert_array_equal(record["gate_saturation"][n, 1], 1.0)
    assert record.summary["verdict"] == "stable"


def test_an_update_gate_of_0_leaves_a_plain_network_behind_its_reset_gate():
    cell, params, inputs, state = copying(-40.0)
    states = gs.unroll(cell, params, inputs, state).states
    W_r, _, W_n = params["W_h"].reshape(3, 8, 8)
    V_r, _, V_n = params["W_x"].reshape(3, 8, 1)
    h = state
    for t, x in enumerate(inputs):
        r = 1 / (1 + np.exp(-(x @ V_r.T + h @ W_r.T)))
        h = np.tanh(x @ V_n.T + r * (h @ W_n.T))
        np.testing.assert_allclose(states[t + 1], h, atol=1e-12)


# ---- 11. Newman's exponents for a product of Gaussian matrices ------------------------------------------------------


@pytest.mark.parametrize("size", [5, 20])
def test_a_product_of_gaussian_matrices_has_newmans_exponents(size):
    steps = 4000
    matrices = np.random.default_rng(0).standard_normal((steps, 1, size, size)) / np.sqrt(size)
    found = gs.lyapunov_spectrum(gs.Jacobians(matrices), burn_in=0, tangent_burn_in=100)
    k = size - np.arange(size)  # N - i + 1
    wanted = 0.5 * (np.log(2 / size) + psi(k / 2))
    spread = np.sqrt(polygamma(1, k / 2) / 4 / (steps - 100))
    assert np.abs((found.exponents - wanted) / spread).max() < 4.5
    assert np.abs((found.exponents - wanted) / found.error).max() < 15  # 8 blocks make a rough error
    np.testing.assert_allclose(np.median(found.error / spread), 1.0, atol=0.5)
    if size == 20:
        assert wanted[[0, -1]] == pytest.approx([-0.025416, -2.13305], abs=1e-5)


# ---- 13. Generic maps -----------------------------------------------------------------------------------------------


def test_the_cat_map_has_the_golden_exponents():
    found = gs.lyapunov_spectrum(gs.Jacobians(np.tile([[2, 1], [1, 1]], (400, 1, 1, 1))))
    np.testing.assert_allclose(found.exponents, [0.96242365, -0.96242365], atol=1e-8)


def test_the_henon_map_has_its_published_exponents():
    x, y, matrices = 0.1, 0.1, []
    for _ in range(6000):
        matrices.append([[-2.8 * x, 1.0], [0.3, 0.0]])
        x, y = 1.0 - 1.4 * x * x + y, 0.3 * x
    found = gs.lyapunov_spectrum(gs.Jacobians(np.array(matrices)[:, None]))
    assert found.exponents.sum() == pytest.approx(np.log(0.3), abs=1e-12)
    assert found.exponents[0] == pytest.approx(0.4192, abs=0.02)
    assert found.exponents[0] == pytest.approx(0.4192, abs=5 * found.error[0])


# ---- 22. Softsign and tanh, point by point --------------------------------------------------------------------------


def test_softsign_and_tanh_cross_where_they_should():
    def tanh(x):
        return activation("tanh").slope(x, np.tanh(x))

    def softsign(x):
        return activation("softsign").slope(x, x / (1 + np.abs(x)))

    x = np.linspace(0.001, 1.616, 400)
    assert (softsign(x) < tanh(x)).all()
    x = np.linspace(1.6163, 40, 400)
    assert (softsign(x) > tanh(x)).all()
    np.testing.assert_allclose(tanh(np.array([3.0, 5.0, 10.0])), [0.00987, 1.8e-4, 8.2e-9], rtol=0.02)
    np.testing.assert_allclose(softsign(np.array([3.0, 5.0, 10.0])), [0.0625, 0.0278, 0.00826], rtol=0.01)
    for name, places in {"tanh": (1.472, 1.832, 2.647), "softsign": (9.0, 19.0, 99.0)}.items():
        np.testing.assert_allclose(activation(name)(np.array(places)), [0.9, 0.95, 0.99], atol=1e-3)


# ---- P1. The order of multiplication --------------------------------------------------------------------------------


def exponents_by_hand(matrices, transpose):
    """Return the exponents with Q <- J_t Q, or with the transpose in a forward loop, which is wrong."""
    size = matrices.shape[1]
    Q, total = np.linalg.qr(np.random.default_rng(0).standard_normal((size, size)))[0], np.zeros(size)
    for J in matrices:
        Q, R = np.linalg.qr((J.T if transpose else J) @ Q)
        total += np.log(np.abs(np.diag(R)))
    return np.sort(total / len(matrices))[::-1]


def test_p1_exponents_are_multiplied_forward():
    """N = 10, g = 3: the wrong order moves the first exponent by 0.1 and more, and leaves the sum as it was."""
    apart = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        W = 3.0 * rng.standard_normal((10, 10)) / np.sqrt(10)
        lin = rnn(W, "tanh", steps=1500, h0=rng.standard_normal(10))
        found = gs.lyapunov_spectrum(lin, burn_in=0, tangent_burn_in=0)
        matrices = lin.jacobians()[:, 0]
        right, wrong = (exponents_by_hand(matrices, transpose) for transpose in (False, True))
        np.testing.assert_allclose(found.exponents, right, atol=1e-2)
        assert found.exponents[0] == pytest.approx(right[0], abs=3e-3)
        np.testing.assert_allclose(right.sum(), wrong.sum(), rtol=1e-9)
        apart.append(abs(right[0] - wrong[0]))
        product = np.eye(10)  # and over a short stretch, the singular values of the product itself
        for J in matrices[:5]:
            product = J @ product
        short = gs.transport(gs.Jacobians(matrices[:5, None])).rms[0, 0]
        assert short == pytest.approx(np.log10(np.linalg.norm(product) / np.sqrt(10)), abs=1e-9)
    assert max(apart) > 0.1


# ---- P2. The whole state of an LSTM ---------------------------------------------------------------------------------


def test_p2_an_lstm_is_measured_by_its_whole_state():
    """The h-only block has 0.25 eig(W_g) whatever the forget bias; the whole state knows the bias."""
    only, whole = [], []
    for bias in (-1.0, 3.0):
        matrix, _, params = at_zero("LSTM", 24, bias)
        only.append(largest_by_power(matrix[:24, :24]))
        whole.append(largest_by_power(matrix))
        wrong = 0.25 * np.abs(np.linalg.eigvals(params["W_h"][48:72])).max()
        assert only[-1] == pytest.approx(np.log(wrong), abs=1e-10)
    assert only[0] == pytest.approx(only[1], abs=1e-10)
    assert whole[1] - whole[0] > 0.5
    for bias, wanted in zip((-1.0, 3.0), whole, strict=True):
        cell = gs.LSTM(1, 24, forget_bias=bias)
        params = cell.init(np.random.default_rng(0), recurrent="uniform")
        lin = gs.linearize(gs.unroll(cell, params, np.zeros((1500, 1, 1))))
        assert gs.lyapunov_spectrum(lin, count=1).exponents[0] == pytest.approx(wanted, abs=0.01)


# ---- P4. The float range --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bias", "plateau"), [(1.0, 4.94e-324), (0.0, 0.0)])
def test_p4_a_plain_product_sticks_where_the_log_scale_goes_on(bias, plateau):
    trajectory = forced(bias, 3000)
    f, plain = trajectory.gates["forget"][:, 0, 0], 1.0
    for value in f:
        plain *= value
    assert plain == pytest.approx(plateau, rel=1e-2, abs=0.0)  # a subnormal that looks like a surviving gradient
    logs = gs.transport(gs.linearize(trajectory)).blocks[1, 1, :, 0]
    np.testing.assert_allclose(np.diff(logs), -np.log10(f), rtol=1e-9)


def test_p4_a_vanishing_lstm_of_64_units_reads_e_minus_300():
    """H = 64, b_f = -2: about e^-307 over 200 steps, on inputs of the adding kind."""
    cell = gs.LSTM(2, 64, forget_bias=-2.0)
    params = cell.init(np.random.default_rng(0), recurrent="uniform")
    inputs = np.random.default_rng(1).standard_normal((200, 1, 2))
    record = gs.probe(cell, params, inputs, ["transport"])
    assert -340 < np.log(10) * record["transport"][0, 0] < -240
    assert record.summary["verdict"] == "vanishing"


# ---- 25. Chrono initialization --------------------------------------------------------------------------------------


def test_chrono_biases_have_the_numbers_of_the_paper():
    """T_max = 784: f between 1/2 and 0.99872, 0.99236 on average, a median timescale 1/(1 - f) of 393 steps."""
    cell = gs.LSTM(1, 20000, forget_bias="chrono:784")
    bias = cell._bias(np.random.default_rng(0)).reshape(4, -1)
    forget = 1 / (1 + np.exp(-bias[1]))
    assert forget.min() >= 0.5
    assert forget.max() <= 783 / 784
    assert forget.max() == pytest.approx(0.99872, abs=2e-5)
    assert forget.mean() == pytest.approx(0.99236, abs=5e-4)
    assert np.median(1 / (1 - forget)) == pytest.approx(393, rel=0.03)
    np.testing.assert_array_equal(bias[0], -bias[1])
    np.testing.assert_array_equal(bias[2:], 0.0)


@pytest.mark.parametrize(("steps", "kept"), [(100, 0.3660), (784, 0.3676)])
def test_a_unit_of_the_longest_timescale_keeps_a_third_over_its_range(steps, kept):
    """(1 - 1/T)^T, about 1/e."""
    cell = gs.LSTM(1, 1)
    params = {name: np.zeros_like(array) for name, array in cell.init(np.random.default_rng(0)).items()}
    params["b"][:] = [-40.0, np.log(steps - 1), 0.0, 0.0]
    lin = gs.linearize(gs.unroll(cell, params, np.zeros((steps, 1, 1))))
    assert 10 ** gs.transport(lin).blocks[1, 1, 0, 0] == pytest.approx(kept, abs=5e-5)


# ---- P11. The kink of softsign --------------------------------------------------------------------------------------


def test_p11_the_slope_of_softsign_at_its_kink_is_1_where_finite_differences_are_off():
    """Differences across 0 miss by their width, not by its square; the rule is exact, and so is a Jacobian at rest."""
    kind = activation("softsign")
    assert autograd.grad(kind.function)(0.0) == 1.0
    assert autograd.grad(lambda x: x / (1.0 + anp.abs(x)))(0.0) == 1.0  # autograd's own rule for |x|, likewise
    for width in (1e-2, 1e-4, 1e-6):
        numeric = (kind(width) - kind(-width)) / (2 * width)
        assert 1.0 - numeric == pytest.approx(width, rel=0.02)
        smooth = (np.tanh(width) - np.tanh(-width)) / (2 * width)
        assert 1.0 - smooth < width**2
    W = np.random.default_rng(0).standard_normal((6, 6))
    np.testing.assert_array_equal(rnn(W, "softsign", steps=3).jacobians()[:, 0], [W, W, W])
    around = np.array([-1e-300, -0.0, 0.0, 1e-300])
    np.testing.assert_array_equal(kind.slope(around, kind(around)), 1.0)


# ---- P12. Conventions of the GRU ------------------------------------------------------------------------------------


class ChungGRU(gs.GRU):
    """The other convention: an update gate of 1 forgets (Chung et al. 2014)."""

    def update(self, params, drive_x, drive_h, state):
        gate = self.gates(params, drive_x, drive_h, state)
        return ((1.0 - gate["update"].value) * state[0] + gate["update"].value * gate["candidate"].value,)


def is_copying(kind, bias):
    """Return whether the Jacobians of a GRU with that bias of its update gate are the identity."""
    cell = kind(1, 6)
    params = cell.init(np.random.default_rng(0))
    gate_rows(cell, params, "update", "b")[...] = bias
    inputs, state = np.random.default_rng(1).standard_normal((5, 2, 1)), np.full((2, 6), 0.3)
    return np.abs(gs.linearize(gs.unroll(cell, params, inputs, state)).jacobians() - np.eye(6)).max() < 1e-12


def test_p12_an_update_gate_of_1_keeps_and_the_other_convention_is_told_from_it():
    for kind in (gs.GRU, gs.ResetBeforeGRU):
        assert (is_copying(kind, 40.0), is_copying(kind, -40.0)) == (True, False)
    assert (is_copying(ChungGRU, 40.0), is_copying(ChungGRU, -40.0)) == (False, True)


def test_p12_the_forget_bias_says_what_is_kept_in_every_convention():
    """At the zero state the Jacobian is z + (1 - z) W_n / 2: a bias of 2 keeps 0.88, whatever the gate is called."""
    for kind in (gs.GRU, gs.ResetBeforeGRU):
        cell = kind(1, 6, forget_bias=2.0)
        params = cell.init(np.random.default_rng(0))
        keep = 1 / (1 + np.exp(-2.0))
        wanted = keep * np.eye(6) + (1 - keep) * 0.5 * params["W_h"][12:]
        found = gs.linearize(gs.unroll(cell, params, np.zeros((1, 1, 1)))).jacobians()[0, 0]
        np.testing.assert_allclose(found, wanted, atol=1e-14)
    cell = gs.MGU(1, 6, forget_bias=2.0)  # its gate forgets, so that the bias is -2; it resets, too
    params = cell.init(np.random.default_rng(0))
    np.testing.assert_array_equal(params["b"], [-2.0] * 6 + [0.0] * 6)
    found = gs.linearize(gs.unroll(cell, params, np.zeros((1, 1, 1)))).jacobians()[0, 0]
    np.testing.assert_allclose(found, keep * np.eye(6) + (1 - keep) ** 2 * params["W_h"][6:], atol=1e-14)


def test_p12_where_the_reset_gate_stands_shows_away_from_the_zero_state_only():
    after, before = gs.GRU(2, 5), gs.ResetBeforeGRU(2, 5)
    params = after.init(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    inputs, state = rng.standard_normal((1, 1, 2)), rng.standard_normal((1, 5))
    one, other = (gs.linearize(gs.unroll(cell, params, np.zeros((1, 1, 2)))).jacobians() for cell in (after, before))
    np.testing.assert_allclose(one, other, atol=1e-15)
    one, other = (gs.linearize(gs.unroll(cell, params, inputs, state)).jacobians() for cell in (after, before))
    assert np.abs(one - other).max() > 1e-2
