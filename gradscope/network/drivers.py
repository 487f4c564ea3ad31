"""Drivers: a network with a readout, in the ways in which sequences go in and out.

Each is a function of its parameters for use in a loss, ``outputs = model(params, inputs)``, differentiable by
autograd; and each says what its loss is of the hidden states, so that :func:`gradscope.probe` can measure the network
inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import autograd.numpy as anp
import numpy as np

from gradscope.adjoint import scan
from gradscope.errors import ArgumentError, ShapeError
from gradscope.network.feedback import FreeRunning, check_names
from gradscope.network.layers import hidden_slices, read_hidden
from gradscope.network.readout import Readout

__all__ = ["Driver", "ManyToMany", "ManyToOne", "OneToMany", "OneToOne"]


@dataclass(frozen=True)
class Driver:
    """What the drivers have in common; use :class:`ManyToOne` and the others.

    Parameters
    ----------
    network : Cell, Stack or Bidirectional
    readout : Readout
    """

    network: Any
    readout: Readout

    def __post_init__(self) -> None:
        if not hasattr(self.network, "hidden_size") or not isinstance(self.readout, Readout):
            raise ArgumentError(
                f"`{type(self).__name__}` must be made of a network and a readout, got {self.network!r} and "
                f"{self.readout!r}. E.g. `gs.{type(self).__name__}(gs.LSTM(1, 8), gs.Readout(1))`."
            )

    def init(self, rng: np.random.Generator, **options: Any) -> dict[str, Any]:
        """Draw parameters.

        Parameters
        ----------
        rng : numpy.random.Generator
        **options
            As for the ``init`` of a cell.

        Returns
        -------
        dict
            ``{"network": ..., "readout": ...}``.
        """
        network = self.network.init(rng, **options)
        dtype = options.get("dtype", np.float64)
        return {"network": network, "readout": self.readout.init(rng, self.network.hidden_size, dtype=dtype)}

    def read(self, params: Any, hidden: Any) -> Any:
        """Return the outputs from the hidden states (T, B, H)."""
        return self.readout(params["readout"], hidden)

    def on_hidden(self, params: Any, loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a loss of the outputs as one of the hidden states, for :func:`gradscope.probe`.

        Parameters
        ----------
        params : dict
        loss : callable
            From outputs to one number for each sequence (B,).

        Returns
        -------
        callable
            From hidden states (T, B, H) to one number for each sequence.
        """

        def of_hidden(hidden: Any) -> Any:
            return loss(self.read(params, hidden))

        of_hidden.__doc__ = loss.__doc__
        of_hidden.__name__ = getattr(loss, "__name__", type(loss).__name__)
        return of_hidden

    def _hidden(self, params: Any, inputs: Any, state: Any, masks: dict[str, Any]) -> Any:
        """Return the hidden states (T, B, H), differentiable."""
        check_names(params)
        return read_hidden(self.network, scan(self.network, params["network"], inputs, state, **masks))


@dataclass(frozen=True)
class ManyToMany(Driver):
    """Read a sequence, and give an output after every step (tagging, language models, teacher forcing).

    Parameters
    ----------
    network : Cell, Stack or Bidirectional
    readout : Readout

    Examples
    --------
    >>> from gradscope.cells import LSTM
    >>> model = ManyToMany(LSTM(2, 8), Readout(3))
    >>> params = model.init(np.random.default_rng(0))
    >>> model(params, np.ones((20, 4, 2))).shape
    (20, 4, 3)
    """

    def __call__(self, params: Any, inputs: Any, state: Any = None, **masks: Any) -> Any:
        """Return the outputs (T, B, O) for inputs (T, B, I); masks as for :func:`gradscope.scan`."""
        return self.read(params, self._hidden(params, inputs, state, masks))


@dataclass(frozen=True)
class ManyToOne(Driver):
    """Read a sequence, and give one output at its end (classification, the adding problem).

    A layer with both directions on top is read at both ends: the backward direction's end is the first step.

    Parameters
    ----------
    network : Cell, Stack or Bidirectional
    readout : Readout

    Examples
    --------
    >>> from gradscope.cells import LSTM
    >>> model = ManyToOne(LSTM(2, 8), Readout(3))
    >>> params = model.init(np.random.default_rng(0))
    >>> model(params, np.ones((20, 4, 2))).shape
    (4, 3)
    """

    def __call__(self, params: Any, inputs: Any, state: Any = None, **masks: Any) -> Any:
        """Return the outputs (B, O) for inputs (T, B, I); masks as for :func:`gradscope.scan`."""
        return self.read(params, self._hidden(params, inputs, state, masks))

    def read(self, params: Any, hidden: Any) -> Any:
        """Return the outputs (B, O) from the hidden states (T, B, H)."""
        if len(hidden_slices(self.network)) == 1:
            return self.readout(params["readout"], hidden[-1])
        half = hidden.shape[2] // 2
        return self.readout(params["readout"], anp.concatenate([hidden[-1, :, :half], hidden[0, :, half:]], axis=1))


@dataclass(frozen=True)
class OneToOne(Driver):
    """Read one input, and give one output: a single step.

    Parameters
    ----------
    network : Cell, Stack or Bidirectional
    readout : Readout

    Examples
    --------
    >>> from gradscope.cells import RNN
    >>> model = OneToOne(RNN(2, 8), Readout(3))
    >>> params = model.init(np.random.default_rng(0))
    >>> model(params, np.ones((4, 2))).shape
    (4, 3)
    """

    def __call__(self, params: Any, inputs: Any, state: Any = None) -> Any:
        """Return the outputs (B, O) for inputs (B, I)."""
        if np.ndim(inputs) != 2:
            raise ShapeError(
                f"`inputs` must have shape (B, I={self.network.input_size}), got {np.shape(inputs)}. "
                "For a sequence use `ManyToOne` or `ManyToMany`."
            )
        return self.read(params, self._hidden(params, inputs[None], state, {}))

    def read(self, params: Any, hidden: Any) -> Any:
        """Return the outputs (B, O) from the hidden states (1, B, H)."""
        return self.readout(params["readout"], hidden[0])


@dataclass(frozen=True)
class OneToMany(Driver):
    """Read one input, and go on from the network's own outputs: free-running generation.

    What is to be probed is ``model.running``, a :class:`gradscope.FreeRunning` network with the same parameters: its
    Jacobians include the way through the readout.

    Parameters
    ----------
    network : Cell or Stack
    readout : Readout
        With as many outputs as the network has inputs.

    Examples
    --------
    >>> from gradscope.cells import LSTM
    >>> model = OneToMany(LSTM(2, 8), Readout(2, "tanh"))
    >>> params = model.init(np.random.default_rng(0))
    >>> model(params, np.ones((4, 2)), length=20).shape
    (20, 4, 2)
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        FreeRunning(self.network, self.readout)

    @property
    def running(self) -> FreeRunning:
        """The network that reads its own outputs."""
        return FreeRunning(self.network, self.readout)

    def __call__(self, params: Any, first: Any, length: int, state: Any = None) -> Any:
        """Return the outputs (length, B, O) that follow from the first input (B, I)."""
        return self.read(
            params, read_hidden(self.running, self.running.scan(params, self.inputs(first, length), state))
        )

    def inputs(self, first: Any, length: int) -> Any:
        """Return the inputs (length, B, I) of :attr:`running`: the first one, and zeros that are not read.

        Raises
        ------
        ArgumentError
            When ``length`` is no count of steps.
        ShapeError
            When ``first`` has another shape.
        """
        if isinstance(length, bool) or not isinstance(length, (int, np.integer)) or length < 1:
            raise ArgumentError(f"`length` must be a whole number of at least 1, got {length!r}. Count outputs.")
        if np.ndim(first) != 2:
            raise ShapeError(
                f"`first` must have shape (B, I={self.network.input_size}), got {np.shape(first)}. "
                "Give one input for each sequence."
            )
        return anp.concatenate([first[None], np.zeros((length - 1, *np.shape(first)))])
