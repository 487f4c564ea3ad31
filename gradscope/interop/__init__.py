"""Interop: models trained elsewhere, taken over from memory or from a file of weights."""

from __future__ import annotations

from gradscope.interop.frameworks import from_flax, from_keras, from_torch
from gradscope.interop.weights import load_weights

__all__ = ["from_flax", "from_keras", "from_torch", "load_weights"]
