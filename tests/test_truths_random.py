"""Truths about random networks and random inputs: statistical, each with the tolerance that its scatter asks for."""

from __future__ import annotations

import numpy as np
import pytest

import gradscope as gs
from gradscope.activations import ACTIVATIONS
from gradscope.spectra import lyapunov_spectrum


def network(size, gain, activation="tanh", seed=0):
    """Return a plain network with W_ij ~ N(0, g^2/N) whose inputs go to one unit each."""
    rng = np.random.default_rng(seed)
    cell = gs.RNN(size, size, activation)
    W_h = gain * rng.standard_normal((size, size)) / np.sqrt(size)
    return cell, {"W_x": np.eye(size), "W_h": W_h, "b": np.zeros(size)}, rng


def left_alone(size, gain, steps, activation="tanh", seed=0):
    """Return the linearization of a network without input from a random state."""
    cell, params, rng = network(size, gain, activation, seed)
    start = rng.standard_normal((1, size))
    return gs.linearize(gs.unroll(cell, params, np.zeros((steps, 1, size)), start))


def driven(size, gain, steps, variance=1.0, activation="tanh", seed=0, batch=1):
    """Return the linearization of a network with white input on every unit."""
    cell, params, rng = network(size, gain, activation, seed)
    inputs = np.sqrt(variance) * rng.standard_normal((steps, batch, size))
    return gs.linearize(gs.unroll(cell, params, inputs))


# 13. Generic maps ----------------------------------------------------------------------------------------------------


def test_the_logistic_map_at_4_has_the_exponent_ln_2():
    steps = 20_000
    x = np.empty(steps)
    x[0] = 0.3123456789
    for t in range(1, steps):
        x[t] = 4.0 * x[t - 1] * (1.0 - x[t - 1])
    matrices = (4.0 - 8.0 * x)[:, None, None, None]
    found = lyapunov_spectrum(gs.Jacobians(matrices))
    assert found.exponents[0] == pytest.approx(np.log(2.0), abs=1e-2)


# 14. A linear unit: parameters explode where states do not (Zucchet & Orvieto 2024) ----------------------------------


@pytest.mark.parametrize(("factor", "wanted"), [(0.5, 2.963), (0.9, 263.9)])
def test_the_gradient_of_a_linear_unit_with_respect_to_its_factor_explodes_as_it_nears_1(factor, wanted):
    """E (dh/dlambda)^2 = (1+l^2)/(1-l^2)^3 with white input, while every |dh_T/dh_t| is below 1."""
    steps, batch = 400, 6000
    cell = gs.RNN(1, 1, "identity")
    params = {"W_x": np.ones((1, 1)), "W_h": np.full((1, 1), factor), "b": np.zeros(1)}
    inputs = np.random.default_rng(0).standard_normal((steps, batch, 1))
    trajectory = gs.unroll(cell, params, inputs)
    lin = gs.linearize(trajectory)
    assert wanted == pytest.approx((1 + factor**2) / (1 - factor**2) ** 3, rel=1e-3)
    assert np.mean(trajectory.states[-1] ** 2) == pytest.approx(1 / (1 - factor**2), rel=0.06)
    assert (gs.transport(lin).rms[:-1] < 0).all()
    # dh_T/dlambda of every sequence: the forward recursion s' = l s + h, by jvp-like products of this very map
    slope = np.zeros((batch, 1))
    for t in range(steps):
        slope = lin.push_at(t, slope.T[:, :, None])[:, :, 0].T + trajectory.states[t]
    assert np.mean(slope**2) == pytest.approx(wanted, rel=0.1)
    # and by the ordinary gradient: the mean over sequences of dh_T/dlambda
    direct = np.zeros(trajectory.states.shape)
    direct[-1] = 1.0
    assert gs.backpropagate(lin, direct).params["W_h"][0, 0] == pytest.approx(slope.sum(), rel=1e-9)


# 17. Mean-field theory of driven networks (Poole 2016; Chen, Pennington & Schoenholz 2018; Molgedey 1992) ------------

CHI = {  # gain: chi and lambda_1, tanh then softsign, white input of variance 1
    0.5: (0.111766, -1.095676, 0.055879, -1.442282),
    1.0: (0.398879, -0.459549, 0.211469, -0.776839),
    1.5: (0.753030, -0.141825, 0.434173, -0.417156),
    2.0: (1.096310, +0.045975, 0.682641, -0.190893),
    3.0: (1.710920, +0.268516, 1.143231, +0.066929),
}


@pytest.mark.parametrize("gain", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("activation", ["tanh", "softsign"])
def test_one_step_of_a_driven_network_has_the_mean_square_of_theory(gain, activation):
    chi = CHI[gain][0 if activation == "tanh" else 2]
    found = [
        np.mean(driven(200, gain, 60, activation=activation, seed=seed).norm("frobenius")[20:] ** 2) / 200
        for seed in range(3)
    ]
    assert np.mean(found) == pytest.approx(chi, rel=0.03)


@pytest.mark.parametrize("gain", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("activation", ["tanh", "softsign"])
def test_the_first_exponent_of_a_driven_network_is_that_of_theory(gain, activation):
    wanted = CHI[gain][1 if activation == "tanh" else 3]
    found = lyapunov_spectrum(driven(200, gain, 800, activation=activation), 1).exponents[0]
    assert found == pytest.approx(wanted, abs=0.025)


def test_transport_falls_as_powers_of_chi():
    """The slope of ln of the mean square over lags 10 to 50 is ln chi: -0.919 at g = 1, +0.092 at g = 2."""
    for gain, wanted, scatter in ((1.0, -0.919, 0.04), (2.0, 0.092, 0.06)):
        slopes = []
        for seed in range(4):
            rms = gs.transport(driven(200, gain, 80, seed=seed)).rms[::-1, 0] * np.log(10)
            slopes.append(2 * np.polyfit(np.arange(10, 51), rms[10:51], 1)[0])
        assert np.mean(slopes) == pytest.approx(wanted, abs=scatter)


# 18 and 19. Networks left alone (Sompolinsky, Crisanti & Sommers 1988) -----------------------------------------------


@pytest.mark.parametrize(
    ("activation", "gain", "low", "high"),
    [("tanh", 3.0, 0.24, 0.31), ("tanh", 5.0, 0.46, 0.53), ("softsign", 5.0, 0.24, 0.33)],
)
def test_a_chaotic_network_of_100_units_has_the_exponent_of_its_size(activation, gain, low, high):
    """Biased down by about 3/N at g = 3 against the limit (0.310; 0.532; softsign 0.334)."""
    found = [lyapunov_spectrum(left_alone(100, gain, 1300, activation, seed), 1).exponents[0] for seed in range(2)]
    assert low < np.mean(found) < high


def test_the_exponents_of_one_run_sum_to_its_mean_log_determinant():
    lin = left_alone(100, 3.0, 1300)
    found = lyapunov_spectrum(lin)
    logs = [np.linalg.slogdet(lin.push_at(t, np.eye(100)[:, None, :])[:, 0])[1] for t in range(300, 1300)]
    assert found.exponents.sum() == pytest.approx(np.mean(logs), rel=1e-9)
    assert 0.24 < found.exponents[0] < 0.31


@pytest.mark.parametrize(("activation", "gain", "few", "many"), [("tanh", 3.0, 50, 200)])
def test_the_bias_shrinks_with_the_size(activation, gain, few, many):
    small = np.mean([lyapunov_spectrum(left_alone(few, gain, 1300, activation, s), 1).exponents[0] for s in range(3)])
    large = lyapunov_spectrum(left_alone(many, gain, 1000, activation), 1).exponents[0]
    assert small < large < 0.315


@pytest.mark.parametrize("seed", range(2))
def test_below_the_transition_the_exponent_is_that_of_the_matrix_at_hand(seed):
    """Not log g: the largest eigenvalue of a finite matrix lies beyond the circle."""
    lin = left_alone(100, 0.9, 2500, seed=seed)
    eigenvalues = np.abs(np.linalg.eigvals(lin.trajectory.params["W_h"]))
    found = lyapunov_spectrum(lin, 2, burn_in=400).exponents[0]
    assert found == pytest.approx(np.log(eigenvalues.max()), abs=2e-3)


def test_softsign_at_gain_5_is_hardly_ever_saturated_by_value_and_tanh_mostly_is():
    """P(|h| > 0.9): 0.746 for tanh, 0.007 for softsign."""
    for activation, wanted, scatter in (("tanh", 0.746, 0.03), ("softsign", 0.007, 0.006)):
        hidden = left_alone(300, 5.0, 400, activation).trajectory.hidden[100:]
        assert np.mean(np.abs(hidden) > 0.9) == pytest.approx(wanted, abs=scatter)


# 20. The whole spectrum (Newman 1986; Engelken, Wolf & Abbott 2023) --------------------------------------------------


@pytest.mark.slow
def test_the_whole_spectrum_of_200_chaotic_units_is_that_of_the_closed_form():
    """g = 3, tanh, 3 seeds of T = 1500: share above 0 .1450, entropy .0235 N, dimension .2779 N."""
    found = lyapunov_spectrum(left_alone(200, 3.0, 900))
    assert np.mean(found.exponents > 0) == pytest.approx(0.145, abs=0.016)
    assert found.entropy / 200 == pytest.approx(0.0235, abs=0.003)
    assert found.kaplan_yorke_dimension / 200 == pytest.approx(0.2779, abs=0.02)
    from gradscope.meanfield import spectrum

    quantiles = (np.arange(200) + 0.5) / 200
    theory = spectrum(quantiles, 3.0)
    middle = slice(10, 180)
    assert np.abs(found.exponents - theory)[middle].max() < 0.12
    assert found.exponents.mean() == pytest.approx(-2.27281, abs=0.06)


# 21. Input suppresses chaos (Molgedey, Schuchhardt & Schuster 1992) --------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "variance", "critical"), [("tanh", 0.1, 1.4093), ("tanh", 1.0, 1.8556), ("softsign", 1.0, 2.6674)]
)
def test_the_exponent_changes_sign_at_the_critical_gain(activation, variance, critical):
    below, above = (
        lyapunov_spectrum(driven(200, factor * critical, 700, variance, activation), 1).exponents[0]
        for factor in (0.9, 1.15)
    )
    assert below < 0 < above
    # softsign takes a quarter more gain and beyond to explode
    assert ACTIVATIONS[activation].largest_slope == 1.0


# 23. LSTM: the forget bias and the first exponent --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bias", "tanh", "softsign", "log_gate"),
    [
        (-2, -1.376, -1.540, -2.127),
        (0, -0.462, -0.525, -0.693),
        (1, -0.153, -0.203, -0.313),
        (2, -0.011, -0.041, -0.127),
        (3, 0.000, -0.001, -0.049),
        (5, 0.003, 0.002, -0.007),
    ],
)
def test_the_first_exponent_of_an_lstm_rises_with_its_forget_bias_and_stops_at_0(bias, tanh, softsign, log_gate):
    """H = 64, white input of 8 features, all weights U(+-1/sqrt H), the other biases 0."""
    for activation, wanted in (("tanh", tanh), ("softsign", softsign)):
        found = []
        for seed in range(2):
            rng = np.random.default_rng(seed)
            cell = gs.LSTM(8, 64, activation, forget_bias=float(bias))
            params = cell.init(rng, recurrent="uniform", inputs="uniform")
            params["W_x"] = rng.uniform(-1, 1, params["W_x"].shape) / np.sqrt(64)
            lin = gs.linearize(gs.unroll(cell, params, rng.standard_normal((700, 1, 8))))
            found.append(lyapunov_spectrum(lin, 2).exponents[0])
        assert np.mean(found) == pytest.approx(wanted, abs=0.05)
        assert np.mean(found) > log_gate - 0.01  # the recurrent loop adds to the gate
