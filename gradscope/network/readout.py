"""Readouts: from hidden states to outputs, in ``autograd.numpy``, for use inside a loss or a free-running network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import elementwise_grad

from gradscope.activations import ACTIVATIONS, activation
from gradscope.cells import as_floats
from gradscope.errors import ArgumentError, ShapeError, unknown
from gradscope.initializers import initializer

__all__ = ["Readout", "attention"]

Array = Any


@dataclass(frozen=True)
class Readout:
    """A linear map of the hidden state with an elementwise activation: ``y = phi(W_y h + b_y)``.

    Leave the activation out and put the softmax into your loss; where outputs are fed back, as in
    :class:`gradscope.FreeRunning`, the activation is part of the Jacobian.

    Parameters
    ----------
    output_size : int
        O, the width of y_t.
    activation : str
        A name in ``gradscope.activations.ACTIVATIONS``.

    Raises
    ------
    ArgumentError
        For a size that is no whole number, or an unknown activation.

    Examples
    --------
    >>> readout = Readout(output_size=3)
    >>> params = readout.init(np.random.default_rng(0), hidden_size=8)
    >>> readout(params, np.ones((5, 2, 8))).shape
    (5, 2, 3)
    """

    output_size: int
    activation: str = "identity"

    def __post_init__(self) -> None:
        size = self.output_size
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ArgumentError(f"`output_size` must be a whole number of at least 1, got {size!r}. Count outputs.")
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)

    def __call__(self, params: Mapping[str, Array], hidden: Array) -> Array:
        """Return the outputs (..., O) for hidden states (..., H)."""
        return activation(self.activation).function(self.drive(params, hidden))

    def drive(self, params: Mapping[str, Array], hidden: Array) -> Array:
        """Return what goes into the activation (..., O)."""
        return anp.dot(hidden, anp.transpose(params["W_y"])) + params["b_y"]

    def slope(self, drive: np.ndarray) -> np.ndarray:
        """Return the activation's derivative at each drive, by autograd."""
        with np.errstate(all="ignore"):
            return elementwise_grad(activation(self.activation).function)(drive)

    def init(
        self, rng: np.random.Generator, hidden_size: int, outputs: str = "glorot", dtype: Any = np.float64
    ) -> dict[str, np.ndarray]:
        """Draw parameters.

        Parameters
        ----------
        rng : numpy.random.Generator
        hidden_size : int
            H of the network that is read.
        outputs : str
            Initializer of W_y.
        dtype : dtype

        Returns
        -------
        dict
            W_y (O, H), and b_y (O,) of zeros.

        Raises
        ------
        ArgumentError
            For no generator or an unknown initializer.
        """
        if not isinstance(rng, np.random.Generator):
            raise ArgumentError(
                f"`rng` must be a numpy.random.Generator, got {type(rng).__name__}. Use `np.random.default_rng(0)`."
            )
        draw = initializer("outputs", outputs)
        W_y = draw(rng, (self.output_size, hidden_size))
        return {"W_y": W_y.astype(dtype), "b_y": np.zeros(self.output_size, dtype)}

    def check(self, params: Mapping[str, Array], hidden_size: int) -> dict[str, np.ndarray]:
        """Return the parameters as float arrays, or say what is wrong with them.

        Raises
        ------
        ArgumentError
            When they are not W_y and b_y.
        ShapeError
            When one has the wrong shape.
        """
        names = {"W_y": (self.output_size, hidden_size), "b_y": (self.output_size,)}
        if not isinstance(params, Mapping) or set(params) != set(names):
            got = ", ".join(map(str, params)) if isinstance(params, Mapping) else type(params).__name__
            raise ArgumentError(
                f"`params` of a readout must be a dict of W_y (O, H) and b_y (O,), got {got or 'nothing'}. "
                "Use `readout.init(rng, hidden_size)` to draw one."
            )
        arrays = {name: as_floats(name, params[name]) for name in names}
        for name, shape in names.items():
            if arrays[name].shape != shape:
                raise ShapeError(
                    f"`{name}` must have shape {'(O, H)' if name == 'W_y' else '(O,)'}={shape}, got "
                    f"{arrays[name].shape}. Draw it for this network: `readout.init(rng, {hidden_size})`."
                )
        return arrays

    def describe(self) -> dict[str, Any]:
        """Return the readout as plain data."""
        return asdict(self)


def attention(params: Mapping[str, Array], hidden: Array, valid: Any = None) -> Array:
    """Return the mean of the hidden states, weighed by how well each answers one question.

    A shortcut for gradients: dL/dh_t has a direct part at *every* step, of the size of its weight, however many
    steps lie behind it. Compare ``state_gradient`` with ``direct_gradient`` of a loss that uses it.

    Parameters
    ----------
    params : dict
        ``"W_a"`` (A, H), ``"b_a"`` (A,) and the question ``"v_a"`` (A,):
        the score of step t is ``v_a . tanh(W_a h_t + b_a)``.
    hidden : array, (T, B, H)
    valid : array of bool (T, B), optional
        Which steps are no padding; the others get no weight.

    Returns
    -------
    array, (B, H)
        The weights are a softmax over the steps. Source: the additive score of Bahdanau, Cho & Bengio 2015, with a
        learned question in place of the decoder's state.
    """
    scores = anp.dot(anp.tanh(anp.dot(hidden, anp.transpose(params["W_a"])) + params["b_a"]), params["v_a"])
    if valid is not None:
        scores = anp.where(valid, scores, -anp.inf)
    weights = anp.exp(scores - anp.max(scores, axis=0))
    weights = weights / anp.sum(weights, axis=0)
    return anp.sum(weights[:, :, None] * hidden, axis=0)
