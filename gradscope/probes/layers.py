"""Layers: what is measured of a network, the whole state and every cell by itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gradscope.gradients import GradientNorms, gradient_norms
from gradscope.probes.measures import Measurement, applies, require

__all__ = ["LayerMeasurement", "chosen", "measurements"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class LayerMeasurement(Measurement):
    """One cell of a network; its gradients are those that reach it from the loss and from the layers above.

    Attributes
    ----------
    whole : Measurement
        Of the network.
    name : str
        The cell's.
    """

    whole: Measurement
    name: str

    @cached_property
    def gradients(self) -> GradientNorms:
        """The backward pass, from what the whole network's leaves to this cell."""
        gradients: Any = self.whole.gradients
        return gradient_norms(self.linearization, *gradients.layers[self.name])


def measurements(linearization: Any, direct: Array) -> dict[str, Measurement]:
    """Return what is to be measured, by name: of a cell itself, under an empty name, or also of each layer.

    Parameters
    ----------
    linearization : Linearization, or that of a network
    direct : ndarray, (T+1, B, S)
        The loss's immediate part.

    Returns
    -------
    dict of Measurement
        The empty name stands for the whole. Each layer's direct part includes what the layers above pass down to it.
    """
    whole = Measurement(linearization.trajectory, linearization, direct)
    layers = getattr(linearization, "layers", {})
    return {"": whole} | {
        name: LayerMeasurement(part.trajectory, part, direct, whole, name) for name, part in layers.items()
    }


def chosen(parts: dict[str, Measurement], names: tuple[str, ...], preset: bool) -> dict[str, tuple[str, ...]]:
    """Return which of the probes ``names`` are made of which part.

    Raises
    ------
    ArgumentError
        When one was asked for by name and no part can have it.
    """
    whole = parts[""]
    found = {part: tuple(name for name in names if applies(name, m.trajectory)) for part, m in parts.items()}
    if not getattr(whole.linearization, "forward", True):
        found[""] = ()
    if not preset:
        for name in names:
            if not any(name in has for has in found.values()):
                require(name, whole.trajectory)
    return found
