"""A training loop of your own with taps in it: how far back the loss is heard, while the network learns.

The loop is plain autograd, as you would write it without gradscope; two words of it are new. The task: say at the end
of 60 steps what the very first input was. Takes a few seconds.
"""

from __future__ import annotations

import argparse

import autograd.numpy as np
from autograd import grad
from numpy.random import default_rng

import gradscope as gs

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--iterations", type=int, default=200)
iterations = parser.parse_args().iterations

T, B, H = 60, 32, 16
rng = default_rng(0)
params = {
    "W_h": np.linalg.qr(rng.standard_normal((H, H)))[0],
    "W_x": 0.5 * rng.standard_normal((1, H)),
    "W_y": 0.1 * rng.standard_normal(H),
}


def loss(params, inputs):
    """Return the mean squared error of the last output against the first input."""
    h = np.zeros((B, H))
    for t in range(T):
        h = np.tanh(np.dot(h, params["W_h"]) + np.dot(inputs[t], params["W_x"]))
        h = gs.tap("h", h, t)
    return np.mean((np.dot(h, params["W_y"]) - inputs[0, :, 0]) ** 2)


for iteration in range(iterations + 1):
    inputs = 0.1 * rng.standard_normal((T, B, 1))
    inputs[0] = rng.uniform(-1.0, 1.0, (B, 1))
    with gs.listen() as heard:
        gradients = grad(loss)(params, inputs)
    if iteration % max(1, iterations // 4) == 0:
        first, *_, last = np.linalg.norm(heard.gradients["h"], axis=(1, 2))
        print(f"iteration {iteration:3d}: loss {loss(params, inputs):.3f}, |dL/dh_1| / |dL/dh_T| = {first / last:.2g}")
    clipped = gs.clip(gradients, norm=1.0).gradients
    params = {name: params[name] - 0.1 * clipped[name] for name in params}
