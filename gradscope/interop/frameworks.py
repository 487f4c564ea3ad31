"""Frameworks: modules of torch, Keras and Flax, taken over while they are in memory.

No framework is imported here: what a module is shows in its own attributes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gradscope.activations import ACTIVATIONS
from gradscope.errors import ArgumentError, unknown
from gradscope.interop.layouts import Layer, Levels, find_layers
from gradscope.interop.weights import assemble, choose

__all__ = ["from_flax", "from_keras", "from_torch"]


def from_torch(module: Any, name: str | None = None) -> tuple[Any, Any]:
    """Return a torch module as a cell, or network, with its parameters.

    Parameters
    ----------
    module : torch.nn.Module
        nn.RNN, nn.LSTM, nn.GRU (of any depth, both directions) or their cells, or a model that holds one of them.
    name : str, optional
        Which submodule, where the model holds several: ``"encoder.lstm"``, or a beginning or end of its path that is
        shared with no other.

    Returns
    -------
    tuple
        A cell and its dict of parameters, or a :class:`gradscope.Stack` or :class:`gradscope.Bidirectional` and theirs;
        copies, in the module's dtype. Time comes first in gradscope whatever ``batch_first`` says, and dropout between
        the layers is left out, as in ``module.eval()``. Weights under weight norm, spectral norm or a pruning mask are
        those that the module computes with.

    Raises
    ------
    ArgumentError
        For something that is no torch module, one that holds no recurrent module, or several and no ``name``; for a
        projection.

    Examples
    --------
    >>> import gradscope as gs
    >>> cell, params = gs.from_torch(torch.nn.LSTM(8, 64, num_layers=2))  # doctest: +SKIP
    """
    if isinstance(module, type):
        raise ArgumentError(f"`module` must be a torch module, got the class {module.__name__}. Build one first.")
    if not hasattr(module, "state_dict"):
        raise ArgumentError(
            f"`module` must be a torch module, got {type(module).__name__}. For a file use `gs.load_weights(path)`."
        )
    with_names = dict(module.named_modules())
    arrays = {key: _array(value) for key, value in module.state_dict().items() if value.dtype.is_floating_point}
    for path, part in with_names.items():
        arrays |= {f"{path}.{key}".lstrip("."): _array(value) for key, value in _made_anew(part)}
    modules = find_layers(arrays)
    levels = choose(modules, name, type(module).__name__)
    found = with_names[next(key for key, one in modules.items() if one is levels)]
    return assemble(levels, getattr(found, "nonlinearity", "tanh"))


def _made_anew(module: Any) -> Iterable[tuple[str, Any]]:
    """Yield the weights that a torch module makes from other ones before each use: weight norm, spectral norm, masks.

    Copies work them out, so that no estimate inside of the module moves on.
    """
    for name, made in getattr(module, "parametrizations", {}).items():
        if name.startswith(("weight_", "bias_")):  # of a recurrent module
            yield name, copy.deepcopy(made).eval()()
    for hook in getattr(module, "_forward_pre_hooks", {}).values():  # torch's older way of all three
        if hasattr(hook, "n_power_iterations"):
            yield hook.name, hook.compute_weight(module, do_power_iteration=False)
        elif hasattr(hook, "compute_weight"):
            yield hook.name, hook.compute_weight(module)
        elif hasattr(hook, "apply_mask"):
            yield hook._tensor_name, hook.apply_mask(module)


def _array(value: Any) -> np.ndarray:
    """Return a tensor as a float32 or float64 array of its own."""
    value = value.detach().cpu()
    return (value if str(value.dtype) in ("torch.float32", "torch.float64") else value.float()).numpy().copy()


def from_keras(layer: Any) -> tuple[Any, Any]:
    """Return a built Keras layer, or several above one another, as a cell, or network, with its parameters.

    Parameters
    ----------
    layer : keras.layers.Layer or sequence of them
        SimpleRNN, LSTM, GRU (the reset before or after the product), or Bidirectional around one of them, on any
        backend.

    Returns
    -------
    tuple
        As :func:`gradscope.from_torch`; dropout is left out, as in inference.

    Raises
    ------
    ArgumentError
        For another layer, one that has not been built, one that runs backwards alone, an activation that gradscope
        does not have, or gates that are no sigmoids.
    """
    layers = list(layer) if isinstance(layer, Sequence) else [layer]
    levels: Levels = []
    kinds: list[str] = []
    for one in layers:
        pair = [one.forward_layer, one.backward_layer] if hasattr(one, "backward_layer") else [one]
        if hasattr(one, "backward_layer") and one.merge_mode != "concat":
            raise ArgumentError(f"`layer` must merge its directions with 'concat', got {one.merge_mode!r}. Use that.")
        found = [_keras_level(part, n == 1) for n, part in enumerate(pair)]
        kinds += [kind for kind, _ in found]
        levels.append((found[0][1][0][0], found[1][1][0][0] if len(found) > 1 else None))
    return assemble(levels, _throughout("layer", kinds))


def _keras_level(layer: Any, backwards: bool) -> tuple[str, Levels]:
    """Return the activation and the layer of one Keras layer."""
    name = getattr(layer, "name", type(layer).__name__)
    if not hasattr(layer, "cell") or not hasattr(layer.cell, "recurrent_kernel"):
        built, remedy = (
            "SimpleRNN, LSTM or GRU layer that has been built",
            "Call it on its input once: `layer(inputs)`.",
        )
        if hasattr(layer, "layers"):
            remedy = "Give the recurrent ones of its layers: `[model.get_layer('lstm'), model.get_layer('lstm_1')]`."
        elif getattr(layer, "built", False):
            remedy = "Wrap another one with `gs.StepCell`."
        raise ArgumentError(f"`layer` must be a {built}, got {name}. {remedy}")
    if bool(getattr(layer, "go_backwards", False)) != backwards:
        raise ArgumentError(f"`layer` must run forwards, got {name} with go_backwards. Flip its input in time instead.")
    cell = layer.cell
    config = cell.get_config()
    gates = config.get("recurrent_activation", "sigmoid")
    if gates != "sigmoid":
        raise ArgumentError(f"`layer` must have gates that are sigmoids, got {gates!r} in {name}. Use `gs.StepCell`.")
    after = config.get("reset_after", True)
    parts = {"kernel": cell.kernel, "recurrent_kernel": cell.recurrent_kernel, "bias": getattr(cell, "bias", None)}
    arrays = {f"{name}.cell.{part}": np.array(_numpy(value)) for part, value in parts.items() if value is not None}
    if after and "reset_after" in config and f"{name}.cell.bias" not in arrays:
        rows = arrays[f"{name}.cell.kernel"].shape[1]
        arrays[f"{name}.cell.bias"] = np.zeros((2, rows), arrays[f"{name}.cell.kernel"].dtype)
    return _known(config["activation"], {"linear": "identity"}), choose(find_layers(arrays), None, name)


def _numpy(value: Any) -> np.ndarray:
    """Return a Keras variable as an array, whatever the backend."""
    value = value.value if hasattr(value, "value") else value
    return _array(value) if hasattr(value, "detach") else np.asarray(value)


def _known(name: str, others: Mapping[str, str]) -> str:
    """Return gradscope's name of an activation."""
    name = others.get(name, name)
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS, "Wrap another one with `gs.StepCell`.")
    return name


def from_flax(cell: Any, variables: Any = None) -> tuple[Any, Any]:
    """Return a Flax cell, or several above one another, as a cell, or network, with its parameters.

    Parameters
    ----------
    cell : flax.linen or flax.nnx module, or sequence of them
        SimpleCell, LSTMCell, OptimizedLSTMCell or GRUCell, an ``RNN`` around one of them, or ``Bidirectional`` around
        two.
    variables : dict, or sequence of them, optional
        What ``init`` of a linen module returned, or its entry ``"params"``; an nnx module holds its own.

    Returns
    -------
    tuple
        As :func:`gradscope.from_torch`.

    Raises
    ------
    ArgumentError
        For another module, a linen module without variables, an activation that gradscope does not have, or gates
        that are no sigmoids.
    """
    layers = list(cell) if isinstance(cell, Sequence) else [cell]
    given = list(variables) if isinstance(variables, Sequence) else [variables] * len(layers)
    levels: Levels = []
    kinds: list[str] = []
    for layer, own in zip(layers, given, strict=True):
        params = own.get("params", own) if isinstance(own, Mapping) else own
        names = ("forward_rnn", "backward_rnn") if hasattr(layer, "backward_rnn") else ("",)
        if len(names) > 1 and getattr(layer.merge_fn, "__name__", "") != "_concatenate":
            raise ArgumentError("`cell` must put its directions side by side, got another merge_fn. Leave it out.")
        parts = [(getattr(layer, name), params and params[name]) if name else (layer, params) for name in names]
        found = [_flax_layer(*part) for part in parts]
        kinds += [kind for kind, _ in found]
        levels.append((found[0][1], found[1][1] if len(found) > 1 else None))
    return assemble(levels, _throughout("cell", kinds))


def _throughout(argument: str, kinds: Sequence[str]) -> str:
    """Return the activation that layers share."""
    if not kinds:
        raise ArgumentError(f"`{argument}` must be a layer, or several, got none. Give at least one.")
    if len(set(kinds)) > 1:
        raise ArgumentError(
            f"`{argument}` must have one activation throughout, got {', '.join(dict.fromkeys(kinds))}. Take the layers "
            "over one by one, and put them into a `gs.Stack`."
        )
    return kinds[0]


def _flax_layer(cell: Any, params: Any) -> tuple[str, Layer]:
    """Return the activation and the layer of one Flax cell."""
    inner = getattr(cell, "cell", cell)
    if not hasattr(inner, "activation_fn"):
        raise ArgumentError(
            "`cell` must be a SimpleCell, LSTMCell, OptimizedLSTMCell or GRUCell of Flax, or an `RNN` around one, got "
            f"{type(inner).__name__}. For a file use `gs.load_weights(path)`."
        )
    if params is None:
        if not any(hasattr(value, "kernel") for value in vars(inner).values()):
            raise ArgumentError(
                "`variables` must be what `init` returned, got nothing. Write `gs.from_flax(cell, variables)`."
            )
        params = _nnx_state(inner)
    found = find_layers(dict(_flat(params, ())))
    levels = choose(found, None if len(found) == 1 else "", type(cell).__name__)
    if getattr(inner, "residual", False):
        raise ArgumentError("`cell` must have no residual connection, got residual=True. Use `gs.StepCell`.")
    gates = getattr(inner, "gate_fn", None)
    if gates is not None and _named(gates) != "sigmoid":
        raise ArgumentError("`cell` must have gates that are sigmoids, got another gate_fn. Use `gs.StepCell`.")
    return _named(inner.activation_fn), levels[0][0]


def _nnx_state(module: Any) -> dict[str, Any]:
    """Return the parameters of an nnx module by name."""
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        if hasattr(value, "kernel"):
            bias = getattr(value, "bias", None)
            found[name] = {"kernel": value.kernel} | ({} if bias is None or bias.value is None else {"bias": bias})
    return found


def _flat(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterable[tuple[str, np.ndarray]]:
    """Yield the arrays of nested dicts under dotted names."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, key))
        else:
            yield ".".join((*path, key)), np.array(value.value if hasattr(value, "value") else value)


def _named(function: Callable[[Any], Any]) -> str:
    """Return the name of the activation that does what ``function`` does.

    Raises
    ------
    ArgumentError
        When there is none.
    """
    at = np.linspace(-4.0, 4.0, 33, dtype=np.float32)
    values = np.asarray(function(at))
    for name, kind in ACTIVATIONS.items():
        if np.allclose(kind.function(at), values, atol=1e-5):
            return name
    label = getattr(function, "__name__", repr(function))
    raise unknown("activation", label, ACTIVATIONS, "Wrap another one with `gs.StepCell`.")
