"""Training: a cell with a many-to-one readout learns to name digits, by gradients that go through ``scan``.

The readout names the digit from the last hidden state, ``logits = W_out h_T + b_out``; the loss is its cross-entropy
in nat. Every gradient is autograd's. A loss or a gradient that is no longer finite ends the training: that is a
result, and :class:`Training` says where it happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import elementwise_grad, value_and_grad

from gradscope.adjoint import backpropagate, scan
from gradscope.cells import Cell
from gradscope.initializers import glorot
from gradscope.linearization import linearize
from gradscope.trajectory import Trajectory, unroll

from .tasks import Task

__all__ = [
    "Training",
    "batch_loss",
    "cell_params",
    "clip_norm",
    "cross_entropy",
    "evaluate",
    "global_norm",
    "init_weights",
    "log_softmax",
    "sequence_loss",
    "train",
]

Array = Any
Weights = Mapping[str, np.ndarray]
READOUT = ("W_out", "b_out")
TOGETHER = 64  # sequences that are evaluated at a time


def init_weights(
    cell: Cell, rng: np.random.Generator, classes: int, recurrent: str, gain: float, dtype: str = "float64"
) -> dict[str, np.ndarray]:
    """Draw the cell's parameters, and a readout ``W_out`` (classes, H), ``b_out`` (classes,) beside them."""
    weights = cell.init(rng, recurrent=recurrent, gain=gain, dtype=dtype)
    W_out = glorot(rng, (classes, cell.hidden_size)).astype(dtype)
    return {**weights, "W_out": W_out, "b_out": np.zeros(classes, dtype)}


def cell_params(weights: Weights) -> dict[str, np.ndarray]:
    """Return the parameters of the cell alone."""
    return {name: weights[name] for name in weights.keys() if name not in READOUT}  # noqa: SIM118 (autograd's dict box)


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
    logits : ndarray, (B, classes)
    targets : ndarray of int, (B,)

    Returns
    -------
    ndarray, (B,)
    """
    return -log_softmax(logits)[np.arange(len(targets)), targets]


def read_out(weights: Weights, hidden: Array) -> Array:
    """Return the logits of the last hidden state, (B, classes)."""
    return anp.dot(hidden, anp.transpose(weights["W_out"])) + weights["b_out"]


def sequence_loss(weights: Weights, targets: np.ndarray) -> Callable[[Array], Array]:
    """Return the loss as a probe takes it: from the hidden states (T, B, H) to one number for each sequence (B,)."""

    def loss(hidden: Array) -> Array:
        """Cross-entropy of the digit that is read out after the last step."""
        return cross_entropy(read_out(weights, hidden[-1]), targets)

    return loss


def batch_loss(weights: Weights, cell: Cell, inputs: np.ndarray, targets: np.ndarray) -> Array:
    """Return the mean loss of a batch, in nat, differentiable by autograd with respect to ``weights``."""
    hidden = scan(cell, cell_params(weights), inputs)[-1][:, : cell.hidden_size]
    return anp.mean(cross_entropy(read_out(weights, hidden), targets))


def global_norm(gradients: Weights) -> float:
    """Return the Euclidean norm of all gradients together.

    Scaled by the largest entry first, so that 1e200 does not become inf and 1e-200 does not become 0. inf or NaN
    where an entry is.
    """
    largest = float(np.max([np.max(np.abs(gradient)) for gradient in gradients.values()]))
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(sum(np.sum(np.square(g / largest, dtype=float)) for g in gradients.values())))


def clip_norm(gradients: Weights, limit: float) -> tuple[dict[str, np.ndarray], float]:
    """Scale all gradients by one factor so that their global norm is at most ``limit``.

    Returns
    -------
    gradients : dict
        In the same direction as before.
    norm : float
        The global norm before: what the network's gradient really was.

    Source: Pascanu, Mikolov & Bengio 2013, algorithm 1.
    """
    norm = global_norm(gradients)
    factor = limit / norm if norm > limit else 1.0
    return {name: (gradient * factor).astype(gradient.dtype) for name, gradient in gradients.items()}, norm


class Adam:
    """The optimizer of Kingma & Ba 2015, algorithm 1, with its usual constants."""

    DECAY, DECAY_SQUARE, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, weights: Weights, learning_rate: float) -> None:
        self.learning_rate, self.updates = learning_rate, 0
        self.mean = {name: np.zeros_like(value) for name, value in weights.items()}
        self.square = {name: np.zeros_like(value) for name, value in weights.items()}

    def update(self, weights: Weights, gradients: Weights) -> dict[str, np.ndarray]:
        """Return the weights after one update."""
        self.updates += 1
        new = {}
        for name, gradient in gradients.items():
            self.mean[name] = self.DECAY * self.mean[name] + (1 - self.DECAY) * gradient
            self.square[name] = self.DECAY_SQUARE * self.square[name] + (1 - self.DECAY_SQUARE) * gradient**2
            mean = self.mean[name] / (1 - self.DECAY**self.updates)
            square = self.square[name] / (1 - self.DECAY_SQUARE**self.updates)
            step = self.learning_rate * mean / (np.sqrt(square) + self.EPSILON)
            new[name] = (weights[name] - step).astype(weights[name].dtype)
        return new


@dataclass(frozen=True)
class Training:
    """What a training did.

    Attributes
    ----------
    weights : dict
        After the last update that was made.
    loss : ndarray, (iteration,)
        Mean loss in nat of each iteration's batch, before its update. Where the training ended early the last
        entry may be NaN or inf.
    gradient_norm, clipped_norm : ndarray, (iteration,)
        Global norm of the gradient, before and after clipping.
    first_bad_step : dict or None
        Where the first number that is not finite arose: ``pass`` (forward or backward), ``iteration``, ``t``,
        ``sequence`` and ``array``. None when all stayed finite.
    """

    weights: dict[str, np.ndarray]
    loss: np.ndarray
    gradient_norm: np.ndarray
    clipped_norm: np.ndarray
    first_bad_step: dict[str, Any] | None = None

    @property
    def updates(self) -> int:
        """How many updates were made."""
        return len(self.loss) - (self.first_bad_step is not None)


def train(
    cell: Cell,
    weights: Weights,
    task: Task,
    rng: np.random.Generator,
    *,
    length: int,
    batch_size: int,
    iterations: int,
    learning_rate: float,
    clip: float,
) -> Training:
    """Train on fresh random batches of the training images, by Adam on clipped gradients.

    The same generator state gives the same weights. A loss or gradient that is not finite ends the training before
    its update.
    """
    optimizer, current = Adam(weights, learning_rate), dict(weights)
    history = []
    bad = None
    with np.errstate(all="ignore"):
        for iteration in range(iterations):
            inputs, targets = task.sample(rng, batch_size, length)
            inputs = inputs.astype(weights["W_h"].dtype)
            loss, gradients = value_and_grad(batch_loss)(current, cell, inputs, targets)
            clipped, norm = clip_norm(gradients, clip)
            history.append((float(loss), norm, global_norm(clipped)))
            if not (np.isfinite(loss) and np.isfinite(norm)):
                bad = {**first_bad_step(cell, current, inputs, targets), "iteration": iteration}
                break
            current = optimizer.update(current, clipped)
    columns = np.array(history, float).reshape(-1, 3).T
    return Training(current, columns[0], columns[1], columns[2], bad)


def first_bad_step(cell: Cell, weights: Weights, inputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Return where the first number of a batch arose that is not finite: the earliest state, else the latest gradient.

    Returns
    -------
    dict
        ``pass``, ``t`` on the axis ``time`` (0..T), ``sequence`` and ``array``: ``states``, ``loss``,
        ``state_gradient``, or the weights whose gradient is a sum that left the range (``t`` and ``sequence`` are
        then None).
    """
    with np.errstate(all="ignore"):
        trajectory = unroll(cell, cell_params(weights), inputs)
        found = np.argwhere(~np.isfinite(trajectory.states).all(axis=2))
        if len(found):
            return {"pass": "forward", "t": int(found[0][0]), "sequence": int(found[0][1]), "array": "states"}
        loss = sequence_loss(weights, targets)
        sequences = np.flatnonzero(~np.isfinite(loss(trajectory.hidden)))
        if len(sequences):
            return {"pass": "forward", "t": trajectory.length, "sequence": int(sequences[0]), "array": "loss"}
        total = _state_gradients(trajectory, loss)
        found = np.argwhere(~np.isfinite(total).all(axis=2))
        if len(found):
            t = int(found[-1][0])
            return {
                "pass": "backward",
                "t": t,
                "sequence": int(found[found[:, 0] == t][0][1]),
                "array": "state_gradient",
            }
        gradients = value_and_grad(batch_loss)(dict(weights), cell, inputs, targets)[1]
        name = next((name for name in gradients if not np.isfinite(gradients[name]).all()), "gradient_norm")
        return {"pass": "backward", "t": None, "sequence": None, "array": name}


def _state_gradients(trajectory: Trajectory, loss: Callable[[Array], Array]) -> np.ndarray:
    """Return the total gradient with respect to each state, (T+1, B, S)."""
    direct = np.zeros(trajectory.states.shape)
    direct[1:, :, : trajectory.cell.hidden_size] = elementwise_grad(loss)(trajectory.hidden)
    return backpropagate(linearize(trajectory), direct).total


def evaluate(cell: Cell, weights: Weights, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return accuracy (fraction) and mean loss (nat) over sequences.

    A sequence whose logits are not finite counts as wrong, and makes the loss NaN.
    """
    right, losses = 0, []
    for start in range(0, len(targets), TOGETHER):
        some = slice(start, start + TOGETHER)
        hidden = unroll(cell, cell_params(weights), inputs[:, some]).hidden[-1]
        with np.errstate(all="ignore"):
            logits = read_out(weights, hidden)
            losses.append(cross_entropy(logits, targets[some]))
        sound = np.isfinite(logits).all(axis=1)
        right += int(np.sum(sound & (logits.argmax(axis=1) == targets[some])))
    loss = np.concatenate(losses)
    return right / len(targets), float(np.mean(loss)) if np.isfinite(loss).all() else float("nan")
