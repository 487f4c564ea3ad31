"""Divergence: where the first number arose that is not finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradscope.adjoint import backpropagate
from gradscope.errors import ArgumentError
from gradscope.linearization import linearize
from gradscope.probes import direct_gradient
from gradscope.trajectory import unroll

from ..tasks import Batch
from .losses import sequence_loss
from .weights import Weights, network_params

__all__ = ["first_bad_step"]


def first_bad_step(
    network: Any, weights: Weights, batch: Batch, gradients: Weights, state: np.ndarray | None = None
) -> dict[str, Any]:
    """Return where the first number of a batch arose that is not finite: the earliest state, else the latest gradient.

    Parameters
    ----------
    network : Cell or Stack
    weights : dict
    batch : Batch
    gradients : dict
        Of the weights on that batch.
    state : ndarray, (B, S), optional
        In which the batch begins.

    Returns
    -------
    dict
        ``pass``, ``t`` on the axis ``time`` (0..T), ``sequence`` and ``array``: ``states``, ``loss``,
        ``state_gradient``, or the weights whose gradient is a sum that left the range (``t`` and ``sequence`` are
        then None).
    """
    with np.errstate(all="ignore"):
        trajectory = unroll(network, network_params(network, weights), batch.inputs, state, valid=batch.valid)
        found = np.argwhere(~np.isfinite(trajectory.states).all(axis=2))
        if len(found):
            return {"pass": "forward", "t": int(found[0][0]), "sequence": int(found[0][1]), "array": "states"}
        loss = sequence_loss(weights, batch)
        sequences = np.flatnonzero(~np.isfinite(loss(np.ascontiguousarray(trajectory.hidden))))
        if len(sequences):
            return {"pass": "forward", "t": trajectory.length, "sequence": int(sequences[0]), "array": "loss"}
        found = np.argwhere(~np.isfinite(_state_gradients(trajectory, loss)).all(axis=2))
        if len(found):
            t = int(found[-1][0])
            first = int(found[found[:, 0] == t][0][1])
            return {"pass": "backward", "t": t, "sequence": first, "array": "state_gradient"}
    name = next((name for name in gradients if not np.isfinite(gradients[name]).all()), "gradient_norm")
    return {"pass": "backward", "t": None, "sequence": None, "array": name}


def _state_gradients(trajectory: Any, loss: Callable[[Any], Any]) -> np.ndarray:
    """Return the total gradient with respect to each state, (T+1, B, S); none for a cell that has only the tape."""
    try:
        return backpropagate(linearize(trajectory), direct_gradient(trajectory, loss), False).total
    except ArgumentError:
        return np.zeros((0, 0, 0))
