"""Random networks, untrained: what the studies of mean-field theory measure."""

from __future__ import annotations

import numpy as np

from gradscope.cells import RNN
from gradscope.linearization import linearize
from gradscope.record import Field, Record
from gradscope.spectra import lyapunov_spectrum
from gradscope.trajectory import unroll

__all__ = ["exponents", "random_network"]


def random_network(
    rng: np.random.Generator, activation: str, units: int, gain: float, input_variance: float, steps: int
) -> tuple[RNN, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return a network of W_ij ~ N(0, g^2/N) with white input on each pre-activation, and a state to begin from.

    Returns
    -------
    cell, params, inputs, state
        As :func:`gradscope.unroll` takes them, one sequence of so many steps.
    """
    driven = input_variance > 0
    cell = RNN(units if driven else 1, units, activation)
    params = {
        "W_x": np.sqrt(input_variance) * np.eye(units) if driven else np.zeros((units, 1)),
        "W_h": rng.standard_normal((units, units)) * gain / np.sqrt(units),
        "b": np.zeros(units),
    }
    state = rng.standard_normal((1, units))
    inputs = rng.standard_normal((steps, 1, units)) if driven else np.zeros((steps, 1, 1))
    return cell, params, inputs, state


def exponents(
    rng: np.random.Generator,
    activation: str,
    units: int,
    gain: float,
    input_variance: float = 0.0,
    steps: int = 1000,
    burn_in: int = 200,
    count: int | None = 1,
) -> Record:
    """Measure Lyapunov exponents of one random network.

    Parameters
    ----------
    rng : numpy.random.Generator
    activation : str
    units : int
        N.
    gain, input_variance : float
        g and s2.
    steps : int
        Counted after both burn-ins.
    burn_in : int
        Steps of the state alone, and half as many of the tangent vectors.
    count : int, optional
        How many exponents; all when left out.

    Returns
    -------
    Record
        ``lyapunov_1`` and its error; ``mean_square_slope``, the mean of ||J_t||_F^2 / N; with all exponents the
        dimension and the entropy for each unit, and ``lyapunov_spectrum`` as an array.
    """
    cell, params, inputs, state = random_network(rng, activation, units, gain, input_variance, steps + 3 * burn_in // 2)
    maps = linearize(unroll(cell, params, inputs, state))
    found = lyapunov_spectrum(maps, count, burn_in, burn_in // 2)
    summary = {
        "lyapunov_1": float(found.exponents[0]),
        "lyapunov_1_error": float(found.error[0]),
        "mean_square_slope": float(np.mean(maps.norm("frobenius")[burn_in:] ** 2) / units),
    }
    if count is not None:
        return Record({}, summary)
    summary |= {
        "dimension_per_unit": found.kaplan_yorke_dimension / units,
        "entropy_per_unit": found.entropy / units,
        "positive_share": float(np.mean(found.exponents > 0)),
        "mean_exponent": float(found.exponents.mean()),
    }
    spectrum = Field("lyapunov_spectrum", found.exponents, ("rank",), "nat/step")
    return Record({"lyapunov_spectrum": spectrum}, summary)
