"""Layouts: recurrent layers found among named arrays, by the names and shapes that each framework gives them.

Every framework stores the same few matrices under other names, in another order of the gates, or transposed. Here each
becomes a :class:`Layer` in our order; nothing is computed with them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError, GradscopeError, ShapeError

__all__ = ["Found", "Layer", "Levels", "find_layers"]

Array = np.ndarray

KINDS = {1: "RNN", 3: "GRU", 4: "LSTM"}
"""Kind of a cell by its number of gates."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One cell's parameters in our layout: rows gate by gate, gates in our order.

    Attributes
    ----------
    kind : str
        RNN, LSTM, GRU or ResetBeforeGRU.
    params : dict
        W_x (K*H, I), W_h (K*H, H), b (K*H,) and, where the framework adds a second bias, b_h (K*H,).
    """

    kind: str
    params: dict[str, Array] = field(repr=False)

    @property
    def input_size(self) -> int:
        """I."""
        return self.params["W_x"].shape[1]

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.params["W_h"].shape[1]


Levels = list[tuple[Layer, Layer | None]]
"""Layers from the input up, each forward and, where there is one, backward."""


Found = dict[str, Levels | GradscopeError]
"""Modules by name; one that cannot be had is there as the error that says why, and bars no other."""


def find_layers(arrays: Mapping[str, Array]) -> Found:
    """Return every recurrent module that is recognised among arrays, by name.

    Parameters
    ----------
    arrays : Mapping
        Names with dots or slashes, as in a state dict, a Keras file or flattened Flax parameters.

    Returns
    -------
    dict
        Name of the module, ``""`` when it is the whole, to its layers from the input up; to an ArgumentError where it
        cannot be had (a projection, a layer or a gate that is missing, NaN among the weights), to a ShapeError where
        its arrays do not fit together.
    """
    plain = {name.replace("/", ".").removesuffix(":0"): array for name, array in arrays.items()}
    return _torch(plain) | _keras(plain) | _flax(plain)


def _read(read: Callable[..., Levels | None], modules: Mapping[str, Any]) -> Found:
    """Return every module that is one, read or as the error that says why it cannot be."""
    found: Found = {}
    for name, parts in modules.items():
        try:
            levels = read(name, parts)
        except GradscopeError as error:
            found[name] = error
        else:
            if levels is not None:
                found[name] = levels
    return found


def _layer(kind: str, name: str, W_x: Array, W_h: Array, b: Array | None, b_h: Array | None = None) -> Layer:
    """Return a layer, or say which of its arrays does not fit."""
    gates = next(count for count, one in KINDS.items() if kind.endswith(one))
    size = W_h.shape[-1]
    rows = gates * size
    b = np.zeros(rows, W_h.dtype) if b is None else b
    params = {"W_x": W_x, "W_h": W_h, "b": b} | ({} if b_h is None else {"b_h": b_h})
    wanted = {"W_x": (rows, W_x.shape[-1]), "W_h": (rows, size), "b": (rows,), "b_h": (rows,)}
    for key, array in params.items():
        if array.shape != wanted[key]:
            raise ShapeError(
                f"{name or 'the module'} must have {key} of shape {wanted[key]} for a {kind} of {size} units, got "
                f"{array.shape}. The file does not hold one whole layer."
            )
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise ArgumentError(
                f"{name or 'the module'} must have finite weights, got NaN or inf in {bad} of {array.size} entries of "
                f"{key}. Its training diverged: take an earlier checkpoint."
            )
    return Layer(kind, {key: np.ascontiguousarray(array) for key, array in params.items()})


def _kind(name: str, rows: int, size: int) -> str:
    """Return the kind of a cell from the rows of its recurrent matrix."""
    if size == 0 or rows % size or rows // size not in KINDS:
        raise ShapeError(
            f"{name or 'the module'} must have 1, 3 or 4 gates of {size} units (RNN, GRU, LSTM), got {rows} rows. "
            "Wrap another cell with `gs.StepCell`."
        )
    return KINDS[rows // size]


_TORCH = re.compile(
    r"(?:(.*?)\.)??(parametrizations\.)?(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?:_l(\d+)(_reverse)?)?"
    r"(?(2)\.original\d*)"
)


def _torch(arrays: Mapping[str, Array]) -> Found:
    """Find torch's recurrent modules: ``lstm.weight_ih_l0``, and ``weight_ih`` of a cell."""
    modules: dict[str, dict[tuple[int, bool], dict[str, Array]]] = defaultdict(lambda: defaultdict(dict))
    for name, array in {**_made_of_two(arrays), **arrays}.items():
        match = _TORCH.fullmatch(name)
        if match:
            module, made, part, level, reverse = match.groups()
            modules[module or ""][int(level or 0), bool(reverse)]["parametrized" if made else part] = array
    return _read(_torch_levels, modules)


_HALVES = {".original0": ".original1", "_g": "_v", "_orig": "_mask"}
"""What weight norm makes of a matrix, lengths and directions, in torch's newer and older way; and pruning."""


def _made_of_two(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the weights that are kept as two arrays: g v / |v| under weight norm, w m under a mask."""
    found: dict[str, Array] = {}
    for name, first in arrays.items():
        for end, other in _HALVES.items():
            whole = name.removesuffix(end)
            second = arrays.get(whole + other)
            key = whole.replace("parametrizations.", "")
            if whole == name or second is None or not _TORCH.fullmatch(key):
                continue
            if end == "_orig" and first.shape == second.shape:
                found[key] = first * second
            elif end != "_orig" and _lengths_of(first, second):
                along = tuple(axis for axis in range(second.ndim) if first.ndim == 0 or first.shape[axis] == 1)
                with np.errstate(all="ignore"):
                    norms = np.sqrt(np.square(second, dtype=np.float64).sum(axis=along, keepdims=first.ndim > 0))
                    found[key] = (first * (second / norms)).astype(second.dtype)
    return found


def _lengths_of(lengths: Array, directions: Array) -> bool:
    """Return whether one array may hold the lengths of another's rows, of its columns, or of the whole."""
    fits = all(one in (1, all_) for one, all_ in zip(lengths.shape, directions.shape, strict=False))
    return lengths.ndim == 0 or (lengths.ndim == directions.ndim and fits and 1 in lengths.shape)


def _torch_levels(name: str, parts: dict[tuple[int, bool], dict[str, Array]]) -> Levels:
    """Return the layers of one torch module."""
    depth = 1 + max(level for level, _ in parts)
    both = any(reverse for _, reverse in parts)

    def layer(level: int, reverse: bool) -> Layer:
        found = parts.get((level, reverse), {})
        label = f"{name}{'.' if name else ''}l{level}{'_reverse' if reverse else ''}"
        if "weight_hr" in found:
            raise ArgumentError(
                f"{label} must have no projection, got weight_hr. Measure it step by step: `gs.torch.probe(step, ...)`."
            )
        whole = "weight_ih" in found and "weight_hh" in found
        if "parametrized" in found and not whole:
            raise ArgumentError(
                f"{label} must have its weights as the module computes with them, got what a parametrization makes "
                "them from. Call `torch.nn.utils.parametrize.remove_parametrizations(module, name)` before you save."
            )
        if not whole:
            missing = ", ".join(part for part in ("weight_ih", "weight_hh") if part not in found)
            raise ArgumentError(f"{label} must have weight_ih and weight_hh, and {missing} is missing. Save all of it.")
        W_h = found["weight_hh"]
        if W_h.ndim != 2:
            raise ShapeError(f"{label} must have a matrix weight_hh, got shape {W_h.shape}. Save it unquantized.")
        kind = _kind(label, *W_h.shape)
        return _layer(kind, label, found["weight_ih"], W_h, found.get("bias_ih"), found.get("bias_hh"))

    return [(layer(level, False), layer(level, True) if both else None) for level in range(depth)]


def _keras(arrays: Mapping[str, Array]) -> Found:
    """Find Keras' recurrent layers: ``lstm.lstm_cell.kernel``, or ``lstm.cell.vars.0`` in a .weights.h5 file."""
    cells: dict[str, dict[str, Array]] = defaultdict(dict)
    numbers = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}
    for name, array in arrays.items():
        parent, _, last = name.rpartition(".")
        if parent.endswith("cell.vars") and last in numbers:
            cells[parent.removesuffix(".vars")][numbers[last]] = array
        elif last in ("kernel", "recurrent_kernel", "bias"):
            cells[parent][last] = array
    read = _read(_keras_levels, {name: parts for name, parts in cells.items() if "recurrent_kernel" in parts})
    found = {name.rpartition(".")[0]: levels for name, levels in read.items()}
    for name in [name for name in found if name.rpartition(".")[2].startswith("forward_")]:
        outer, _, last = name.rpartition(".")
        other = f"{outer}.{last.replace('forward_', 'backward_', 1)}".lstrip(".")
        if other in found:
            found[outer] = _both(found.pop(name), found.pop(other))
    return found


def _both(forward: Levels | GradscopeError, backward: Levels | GradscopeError) -> Levels | GradscopeError:
    """Return the two halves of a Bidirectional layer as one, or what is wrong with either."""
    if isinstance(forward, GradscopeError):
        return forward
    return backward if isinstance(backward, GradscopeError) else [(forward[0][0], backward[0][0])]


def _keras_levels(name: str, parts: Mapping[str, Array]) -> Levels:
    """Return one Keras cell as a module of its own."""
    return [(_keras_layer(name, parts), None)]


def _keras_layer(name: str, parts: Mapping[str, Array]) -> Layer:
    """Return one Keras cell: matrices transposed, and the gates of a GRU in the order z, r, h."""
    if "kernel" not in parts:
        raise ArgumentError(
            f"{name} must have a kernel beside its recurrent_kernel, and it is missing. Save all of it."
        )
    W_x, W_h, bias = parts["kernel"].T, parts["recurrent_kernel"].T, parts.get("bias")
    kind = _kind(name, *W_h.shape) if W_h.ndim == 2 else "RNN"
    if kind != "GRU":
        return _layer(kind, name, W_x, W_h, bias)
    z_r_n = np.arange(len(W_h)).reshape(3, -1)[[1, 0, 2]].ravel()
    if bias is not None and bias.ndim == 2:  # an input and a recurrent bias: the reset comes after the product
        return _layer("GRU", name, W_x[z_r_n], W_h[z_r_n], bias[0][z_r_n], bias[1][z_r_n])
    return _layer("ResetBeforeGRU", name, W_x[z_r_n], W_h[z_r_n], None if bias is None else bias[z_r_n])


_FLAX = {"LSTM": ("i", "f", "g", "o"), "GRU": ("r", "z", "n")}


def _flax(arrays: Mapping[str, Array]) -> Found:
    """Find Flax' cells: ``hf.kernel``, ``if.kernel`` ..., or ``dense_h.kernel`` with all gates side by side."""
    cells: dict[str, dict[str, Array]] = defaultdict(dict)
    for name, array in arrays.items():
        match = re.fullmatch(r"(?:(.*)\.)?(i[ifgorzn]?_?|h[ifgorzn]?|dense_[ih])\.(kernel|bias)", name)
        if match:
            cells[match[1] or ""][f"{match[2].rstrip('_')}.{match[3]}"] = array
    return _read(_flax_levels, cells)


def _flax_levels(name: str, parts: Mapping[str, Array]) -> Levels | None:
    """Return one Flax cell as a module of its own, None where the names belong to something else."""
    layer = _flax_layer(name, parts)
    return None if layer is None else [(layer, None)]


def _flax_layer(name: str, parts: Mapping[str, Array]) -> Layer | None:
    """Return one Flax cell, None where the names belong to something else."""
    has = {part.partition(".")[0] for part in parts}
    if has == {"dense_i", "dense_h"} and "dense_h.kernel" in parts and "dense_i.kernel" in parts:
        W_x, W_h = parts["dense_i.kernel"].T, parts["dense_h.kernel"].T
        kind = _kind(name, *W_h.shape)
        return _layer(kind, name, W_x, W_h, parts.get("dense_i.bias"), parts.get("dense_h.bias"))
    if has == {"i", "h"}:
        return _flax_gates("RNN", name, parts, ("",))
    if has == {"if", "in", "hf", "hn"}:
        raise ArgumentError(
            f"{name or 'the module'} must be an LSTM, a GRU or a plain cell, got Flax' MGU. Write its "
            "step and wrap it with `gs.StepCell`."
        )
    for kind, gates in _FLAX.items():
        if has == {f"{side}{gate}" for side in "ih" for gate in gates}:
            return _flax_gates(kind, name, parts, gates)
    return None


def _flax_gates(kind: str, name: str, parts: Mapping[str, Array], gates: Iterable[str]) -> Layer:
    """Return a Flax cell that keeps each gate apart."""

    def stacked(side: str, what: str) -> Array | None:
        pieces = [parts.get(f"{side}{gate}.{what}") for gate in gates]
        if all(piece is None for piece in pieces):
            return None
        size = next(len(piece.T) for piece in pieces if piece is not None)
        dtype = np.result_type(*(piece for piece in pieces if piece is not None))
        return np.concatenate([np.zeros(size, dtype) if piece is None else piece.T for piece in pieces])

    W_x, W_h = stacked("i", "kernel"), stacked("h", "kernel")
    if W_x is None or W_h is None:
        raise ArgumentError(f"{name or 'the module'} must have a kernel for every gate. Save all of it.")
    return _layer(kind, name, W_x, W_h, stacked("i", "bias"), stacked("h", "bias"))
