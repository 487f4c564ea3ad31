"""Weights: from recognised layers to a cell, or a network, with its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gradscope.cells import Cell, cell_class
from gradscope.errors import ArgumentError, GradscopeError, ShapeError, unknown
from gradscope.interop.files import read_arrays
from gradscope.interop.layouts import Found, Layer, Levels, find_layers
from gradscope.network import Bidirectional, Stack

__all__ = ["assemble", "choose", "load_weights"]


def load_weights(path: str | Path, name: str | None = None, activation: str = "tanh") -> tuple[Any, Any]:
    """Return the cell, or network, and the parameters in a file of weights that torch, Keras or Flax trained.

    The framework itself is neither needed nor loaded, and nothing in the file is run.

    Parameters
    ----------
    path : str or Path
        ``.safetensors``, ``.npz``, ``.h5`` (also ``.weights.h5``) or ``.keras``.
    name : str, optional
        Which recurrent module, where the file holds several: ``"encoder.lstm"``, or a beginning or end of its path
        that is shared with no other.
    activation : str
        A file of weights does not say it: that of the candidate and of phi(c), or of the plain cell.

    Returns
    -------
    tuple
        A cell and its dict of parameters; for several layers or two directions a :class:`gradscope.Stack` or
        :class:`gradscope.Bidirectional` and theirs. The cell's ``forget_bias`` is the mean that was found.

    Raises
    ------
    StoreError
        When the file is missing or damaged, or holds something other than plain arrays.
    ArgumentError
        When it holds no recurrent module, or several and no ``name``; for NaN among the weights.
    ShapeError
        When the arrays do not fit together.

    Examples
    --------
    >>> import gradscope as gs
    >>> cell, params = gs.load_weights("model.safetensors", name="encoder.lstm")  # doctest: +SKIP
    >>> gs.probe(cell, params, inputs).summary["verdict_text"]  # doctest: +SKIP
    """
    return assemble(choose(find_layers(read_arrays(path)), name, str(path)), activation)


def choose(modules: Found, name: str | None, source: str) -> Levels:
    """Return the layers of the module called ``name``, or of the only one.

    Raises
    ------
    ArgumentError
        When there is none, there are several to choose from, or none is called so.
    GradscopeError
        What is wrong with the one that was chosen; what is wrong with another does not matter.
    """
    if not modules:
        raise ArgumentError(
            f"{source} must hold a recurrent layer of torch, Keras or Flax, and none was recognised. Give its matrices "
            "as a dict W_x (K*H, I), W_h (K*H, H), b (K*H,) instead."
        )
    if name is None:
        if len(modules) > 1:
            usable = next((name for name, one in modules.items() if not isinstance(one, GradscopeError)), "")
            raise ArgumentError(
                f"{source} holds {len(modules)} recurrent modules: {', '.join(map(_told, modules.items()))}. "
                f"Choose one: `name={usable!r}`."
            )
        dotted = next(iter(modules))
    else:
        dotted = _meant(modules, name)
    chosen = modules[dotted]
    if isinstance(chosen, GradscopeError):
        raise chosen
    return chosen


def _meant(modules: Found, name: str) -> str:
    """Return the module of that name, or the only one whose path begins or ends with it."""
    dotted = name.replace("/", ".").strip(".")
    if dotted in modules:
        return dotted
    near = [path for path in modules if path.startswith(f"{dotted}.") or path.endswith(f".{dotted}")] if dotted else []
    if not near:
        if list(modules) == [""]:
            raise ArgumentError(f"`name` must be left out, got {name!r}: the only recurrent module has no name.")
        raise unknown("name", name, modules)
    if len(near) > 1:
        listed = ", ".join(_told((path, modules[path])) for path in near)
        raise ArgumentError(
            f"`name` must mean one module, got {name!r}, which fits {listed}. Write `name={near[0]!r}`."
        )
    return near[0]


def _told(item: tuple[str, Levels | GradscopeError]) -> str:
    """Return a module in words: ``'encoder.lstm' (LSTM, 64 units, 2 layers)``."""
    name, levels = item
    if isinstance(levels, GradscopeError):
        return f"{name!r} (cannot be taken over)"
    first = levels[0][0]
    more = f", {len(levels)} layers" if len(levels) > 1 else ""
    both = ", both directions" if levels[0][1] is not None else ""
    return f"{name!r} ({first.kind}, {first.hidden_size} units{more}{both})"


def assemble(levels: Levels, activation: str = "tanh") -> tuple[Any, Any]:
    """Return the cell or network that layers make up, and its parameters.

    Raises
    ------
    ShapeError
        When a layer does not read what the one below gives.
    """
    cells, params = [], []
    for n, (forward, backward) in enumerate(levels):
        cell = _cell(forward, activation)
        below = _width(levels[n - 1]) if n else forward.input_size
        if forward.input_size != below:
            raise ShapeError(
                f"layer {n + 1} must read the {below} hidden units of the layer below, got input size "
                f"{forward.input_size}. The file does not hold one module."
            )
        cells.append(cell if backward is None else Bidirectional(cell))
        own = dict(forward.params)
        params.append(own if backward is None else {"forward": own, "backward": dict(backward.params)})
    return (cells[0], params[0]) if len(cells) == 1 else (Stack(tuple(cells)), params)


def _width(level: tuple[Layer, Layer | None]) -> int:
    """Return how many hidden units a layer shows, those of both directions."""
    return level[0].hidden_size * (1 if level[1] is None else 2)


def _cell(layer: Layer, activation: str) -> Cell:
    """Return the cell of a layer."""
    kind = cell_class(layer.kind)
    options: dict[str, Any] = {"activation": activation}
    if "forget_bias" in kind.__dataclass_fields__:
        options["forget_bias"] = _forget_bias(kind, layer)
    return kind(layer.input_size, layer.hidden_size, **options)


def _forget_bias(kind: type[Cell], layer: Layer) -> float:
    """Return the mean of the whole bias of the gate that keeps the old state."""
    whole = layer.params["b"] + layer.params.get("b_h", 0.0)
    row = kind.gate_names.index(str(kind.keep_gate))
    return float(np.mean(whole.reshape(len(kind.gate_names), -1)[row], dtype=np.float64))
