"""Losses: from hidden states through a linear readout to one number for each sequence.

The readout is ``y = W_out h + b_out``, after the last step or after each. Classes are named by the softmax of y and
cost its cross-entropy in nat; numbers are y itself and cost the mean squared error. Everything is in
``autograd.numpy``; no derivative is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import autograd.numpy as anp
import numpy as np

from gradscope.errors import ArgumentError
from gradscope.trajectory import unroll

from ..tasks import Batch
from .weights import Weights, network_params

__all__ = [
    "Score",
    "cross_entropy",
    "evaluate",
    "log_softmax",
    "mean_loss",
    "penalty",
    "read_out",
    "sequence_loss",
    "squared_error",
]

Array = Any
TOGETHER = 64  # sequences that are evaluated at a time


def log_softmax(logits: Array) -> Array:
    """Return the log of the softmax along the last axis, by logsumexp.

    Right for logits of any finite size: nothing overflows, and a class without a chance gets its large negative
    number instead of -inf. A non-finite logit makes its whole row NaN.
    """
    shifted = logits - anp.max(logits, axis=-1, keepdims=True)
    return shifted - anp.log(anp.sum(anp.exp(shifted), axis=-1, keepdims=True))


def cross_entropy(logits: Array, targets: np.ndarray) -> Array:
    """Return the surprise at each target, in nat.

    ln(classes) is what a guess costs that does not look.

    Parameters
    ----------
    logits : ndarray, (..., classes)
    targets : ndarray of int, (...)

    Returns
    -------
    ndarray, (...)
    """
    return -log_softmax(logits)[(*np.indices(targets.shape, sparse=True), targets)]


def squared_error(outputs: Array, targets: np.ndarray) -> Array:
    """Return the mean over the outputs (..., O) of the squared difference from the targets, (...)."""
    return anp.mean((outputs - targets) ** 2, axis=-1)


LOSSES: dict[str, Callable[[Array, np.ndarray], Array]] = {
    "cross_entropy": cross_entropy,
    "squared_error": squared_error,
}


def kind_of(batch: Batch) -> str:
    """Return the name of the loss that fits the targets: classes are whole numbers."""
    return "cross_entropy" if batch.targets is not None and batch.targets.dtype.kind in "iu" else "squared_error"


def read_out(weights: Mapping[str, Array], hidden: Array) -> Array:
    """Return the outputs (..., O) for hidden states (..., H)."""
    return anp.dot(hidden, anp.transpose(weights["W_out"])) + weights["b_out"]


def sequence_loss(weights: Mapping[str, Array], batch: Batch) -> Callable[[Array], Array]:
    """Return the loss as a probe takes it: from the hidden states (T, B, H) to one number for each sequence (B,).

    With a target after each step it is the mean over the scored steps of the sequence.

    Raises
    ------
    ArgumentError
        For a batch without targets.
    """
    each, targets = LOSSES[kind_of(batch)], batch.targets
    if targets is None:
        raise ArgumentError("`batch` must have targets to cost anything, got none. Take a task that has some.")

    def loss(hidden: Array) -> Array:
        """Cost of what is read out, for each sequence."""
        if batch.each_step:
            return anp.sum(batch.weights * each(read_out(weights, hidden), targets), axis=0)
        return each(read_out(weights, hidden[-1]), targets)

    return loss


def mean_loss(weights: Mapping[str, Array], batch: Batch, hidden: Array) -> Array:
    """Return the mean of the losses of the sequences."""
    return anp.mean(sequence_loss(weights, batch)(hidden))


def penalty(weights: Mapping[str, Array], l1: float, l2: float) -> Array:
    """Return ``l1 * sum |w| + l2 / 2 * sum w**2`` over all matrices; biases are left alone."""
    matrices = [weights[name] for name in weights.keys() if anp.ndim(weights[name]) == 2]  # noqa: SIM118 (a dict box)
    return sum(l1 * anp.sum(anp.abs(matrix)) + l2 / 2 * anp.sum(matrix**2) for matrix in matrices)


@dataclass(frozen=True)
class Score:
    """How well a network does on some sequences.

    Attributes
    ----------
    loss : float
        Mean over the sequences; NaN when one is not finite.
    accuracy : float or None
        Share of right answers among the questions; an answer from outputs that are not finite is wrong. None for
        numbers.
    """

    loss: float
    accuracy: float | None


def evaluate(network: Any, weights: Weights, batch: Batch) -> Score:
    """Return the loss and the accuracy of a network on a batch.

    Computed for a few sequences at a time, so that memory does not grow with the batch.
    """
    losses, right, asked = [], 0, 0
    params = network_params(network, weights)
    for start in range(0, batch.size, TOGETHER):
        some = batch.select(slice(start, start + TOGETHER))
        hidden = np.ascontiguousarray(unroll(network, params, some.inputs, valid=some.valid).hidden)
        with np.errstate(all="ignore"):
            losses.append(sequence_loss(weights, some)(hidden))
            if kind_of(some) == "cross_entropy":
                outputs = read_out(weights, hidden if some.each_step else hidden[-1])
                hits = np.isfinite(outputs).all(axis=-1) & (outputs.argmax(axis=-1) == some.targets)
                questions = some.questions if some.each_step else np.ones(some.size, bool)
                right, asked = right + int((hits & questions).sum()), asked + int(questions.sum())
    loss = np.concatenate(losses)
    mean = float(np.mean(loss)) if np.isfinite(loss).all() else float("nan")
    return Score(mean, right / asked if asked else None)
