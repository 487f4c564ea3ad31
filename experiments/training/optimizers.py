"""Optimizers: how far each weight moves, and which way, given its gradients so far.

Each knows the direction in which one array moves; the learning rate comes from outside, since a schedule may change it.
Their constants are those of torch's optimizers of the same name, which the tests follow step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from gradscope.errors import unknown

__all__ = ["OPTIMIZERS", "SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "Optimizer", "RMSProp", "optimizer"]

Weights = Mapping[str, np.ndarray]
Memory = dict[str, np.ndarray]


@dataclass
class Optimizer:
    """Subtract the learning rate times a direction; subclass it and give :meth:`direction`.

    Attributes
    ----------
    updates : int
        How many were made.
    memory : dict
        What is remembered of the gradients of each array, by its name.
    """

    updates: int = 0
    memory: dict[str, Memory] = field(default_factory=dict)

    usual_rate: ClassVar[float] = 0.01
    """The learning rate to begin with where none is given."""

    def update(self, weights: Weights, gradients: Weights, rate: float) -> dict[str, np.ndarray]:
        """Return the weights after one update; those without a gradient stay, and each keeps its dtype."""
        self.updates += 1
        new = dict(weights)
        for name, gradient in gradients.items():
            moved = weights[name] - rate * self.direction(gradient, self.memory.setdefault(name, {}))
            new[name] = moved.astype(weights[name].dtype, copy=False)
        return new

    def direction(self, gradient: np.ndarray, memory: Memory) -> np.ndarray:
        """Return the direction in which to go down, and keep in ``memory`` what the next one needs."""
        raise NotImplementedError


@dataclass
class SGD(Optimizer):
    """Gradient descent on random batches (Robbins & Monro 1951): the gradient itself."""

    def direction(self, gradient: np.ndarray, memory: Memory) -> np.ndarray:
        """Return the gradient."""
        return gradient


@dataclass
class Momentum(Optimizer):
    """Momentum (Polyak 1964): ``v <- m v + g``, the direction is v."""

    momentum: float = 0.9

    def direction(self, gradient: np.ndarray, memory: Memory) -> np.ndarray:
        """Return the velocity."""
        memory["velocity"] = self.momentum * memory.get("velocity", 0.0) + gradient
        return memory["velocity"]


@dataclass
class Nesterov(Momentum):
    """Momentum that looks ahead (Nesterov 1983, in the form of Sutskever et al. 2013): the direction is g + m v."""

    def direction(self, gradient: np.ndarray, memory: Memory) -> np.ndarray:
        """Return the gradient and the momentum of the velocity that it made."""
        return gradient + self.momentum * super().direction(gradient, memory)


@dataclass
class AdaGrad(Optimizer):
    """Steps that shrink with all squared gradients so far (Duchi, Hazan & Singer 2011)."""

    EPSILON: ClassVar[float] = 1e-10

    def direction(self, gradient: np.ndarray, memory: Memory) -> np.ndarray:
        """Return the gradient over the root of the sum of squares."""
        memory["square"] = memory.get("square", 0.0) + gradient**2
        return gradient / (np.sqrt(memory["square"]) + self.EPSILON)


@dataclass
class RMSProp(Optimizer):
    """Steps scaled by the recent size of the gradient (Tieleman & Hinton 2012)."""

    DECAY: ClassVar[float] = 0.99
    EPSILON: ClassVar[float] = 1e-8
    usual_rate: ClassVar[float] = 1e-3

    def direction(self, gradient: np.ndarray, memory: Memory) -> np.ndarray:
        """Return the gradient over the root of the running mean of squares."""
        memory["square"] = self.DECAY * memory.get("square", 0.0) + (1 - self.DECAY) * gradient**2
        return gradient / (np.sqrt(memory["square"]) + self.EPSILON)


@dataclass
class Adam(Optimizer):
    """Running means of the gradient and of its square, both freed from their start (Kingma & Ba 2015, algorithm 1)."""

    DECAY: ClassVar[float] = 0.9
    DECAY_SQUARE: ClassVar[float] = 0.999
    EPSILON: ClassVar[float] = 1e-8
    usual_rate: ClassVar[float] = 3e-3

    def direction(self, gradient: np.ndarray, memory: Memory) -> np.ndarray:
        """Return the mean over the root of the mean square."""
        memory["mean"] = self.DECAY * memory.get("mean", 0.0) + (1 - self.DECAY) * gradient
        memory["square"] = self.DECAY_SQUARE * memory.get("square", 0.0) + (1 - self.DECAY_SQUARE) * gradient**2
        mean = memory["mean"] / (1 - self.DECAY**self.updates)
        square = memory["square"] / (1 - self.DECAY_SQUARE**self.updates)
        return mean / (np.sqrt(square) + self.EPSILON)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adam": Adam,
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
}
"""Every optimizer by its name."""


def optimizer(name: str, momentum: float | None = None) -> Optimizer:
    """Return a new optimizer by its name.

    Raises
    ------
    ArgumentError
        For a name that is not in ``OPTIMIZERS``.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    kind = OPTIMIZERS[name]
    return kind(momentum=momentum) if issubclass(kind, Momentum) and momentum is not None else kind()
