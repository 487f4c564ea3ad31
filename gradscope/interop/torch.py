"""Torch: any step written in torch, measured as it is.

A step of torch becomes one primitive of autograd whose pull-back is torch's own. From there on it is a
:class:`gradscope.StepCell` like any other: the same linearization, the same catalogue, the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from autograd.extend import defjvp_argnums, defvjp_argnums, primitive

from gradscope.cells import StepCell
from gradscope.errors import ArgumentError, ExtraError, ShapeError
from gradscope.probes import probe as probe_cell
from gradscope.record import Record

__all__ = ["probe", "step_cell"]

Array = np.ndarray


def probe(
    step: Callable[..., Any],
    inputs: Any,
    state: Any,
    *,
    module: Any = None,
    blocks: Sequence[str] | None = None,
    probes: str | Sequence[str] = "standard",
    loss: Callable[[Any], Any] | None = None,
    **masks: Any,
) -> Record:
    """Run a step of torch over inputs and measure where gradients go.

    Parameters
    ----------
    step : callable
        ``step(x, h)`` returns the new state, or ``step(x, h, c)`` the new blocks, from x (N, I) and the old ones
        (N, H): any torch, for any number N of rows that do not hear each other, e.g.
        ``lambda x, h, c: cell(x, (h, c))``.
    inputs : tensor or array, (T, B, I)
    state : tensor or array (B, H), or a tuple of them
        The initial state, one for each block.
    module : torch.nn.Module, optional
        The one that ``step`` calls, put into its evaluation mode meanwhile; its parameters' gradients are
        measured, too.
    blocks : sequence of str, optional
        Names of the blocks, the hidden state "h" first; ``("h",)`` or ``("h", "c")`` when left out.
    probes : str or list of str
        As for :func:`gradscope.probe`.
    loss : callable, optional
        ``loss(hidden) -> (B,)`` from the hidden states, a tensor (T, B, H), in torch.
    **masks
        ``valid``, ``reset`` and ``dropout``, as for :func:`gradscope.unroll`.

    Returns
    -------
    Record
        As of :func:`gradscope.probe`. What needs gates is not there: torch does not show them.

    Raises
    ------
    ExtraError
        When torch is not installed.
    ArgumentError, ShapeError
        As :func:`gradscope.probe`; for a module in half precision.

    Examples
    --------
    >>> cell = torch.nn.LSTMCell(3, 16)  # doctest: +SKIP
    >>> start = torch.zeros(8, 16), torch.zeros(8, 16)  # doctest: +SKIP
    >>> record = gs.torch.probe(lambda x, h, c: cell(x, (h, c)), inputs, start, module=cell)  # doctest: +SKIP
    """
    torch = _torch()
    parts = list(state) if isinstance(state, (tuple, list)) else [state]
    names = tuple(blocks) if blocks is not None else ("h", "c")[: len(parts)]
    if len(names) != len(parts):
        raise ArgumentError(f"`blocks` must name {len(parts)} blocks of the state, got {names!r}. Name each of them.")
    arrays = [_array(part) for part in parts]
    if any(part.ndim != 2 or part.shape != arrays[0].shape for part in arrays):
        raise ShapeError(
            f"`state` must hold blocks of one shape (B, H), got {', '.join(str(part.shape) for part in arrays)}. "
            "Put blocks of different sizes side by side in one (B, S), and take them apart in `step`."
        )
    given = _array(inputs)
    if given.ndim != 3:
        raise ShapeError(f"`inputs` must have shape (T, B, I), got {given.shape}. Time comes first.")
    training = getattr(module, "training", False)
    if training:
        module.eval()
    try:
        cell, params = step_cell(step, given.shape[2], arrays[0].shape[1], names, module, given.dtype)
        judged = None if loss is None else _by_torch(torch, loss)
        return probe_cell(
            cell, params, given, probes=probes, loss=judged, state=np.concatenate(arrays, axis=1), **masks
        )
    finally:
        if training:
            module.train()


def step_cell(
    step: Callable[..., Any],
    input_size: int,
    hidden_size: int,
    blocks: Sequence[str] = ("h",),
    module: Any = None,
    dtype: Any = np.float32,
) -> tuple[StepCell, dict[str, Array]]:
    """Return a step of torch as a cell, with its parameters.

    Parameters
    ----------
    step : callable
        As for :func:`probe`.
    input_size, hidden_size : int
    blocks, module
        As for :func:`probe`.
    dtype : dtype
        Of the states, where there is no module whose parameters say it.

    Returns
    -------
    tuple
        A :class:`gradscope.StepCell` and the dict of parameters that goes with it. The parameters stand for the
        module's own: changing the arrays changes nothing.

    Raises
    ------
    ExtraError
        When torch is not installed.
    """
    torch = _torch()
    for name, parameter in [] if module is None else module.named_parameters():
        if parameter.dtype not in (torch.float32, torch.float64):
            raise ArgumentError(
                f"`module` must be in float32 or float64, got {parameter.dtype} in {name}. Take a copy: "
                "`copy.deepcopy(module).float()`."
            )
    named = {} if module is None else {k: v for k, v in module.named_parameters() if v.requires_grad}
    params = {name: _array(value) for name, value in named.items()} or {"none": np.zeros(1, dtype)}

    def whole(x: Any, state: Any) -> Any:
        return torch.cat(_blocks(step(x, *state.split(hidden_size, dim=1)), len(blocks)), dim=1)

    call = _by_torch(torch, whole, list(named.values()))

    def function(params: Any, x: Any, state: Any) -> Any:
        return call(x, state, *(params[name] for name in named))

    function.__qualname__ = getattr(step, "__qualname__", type(step).__name__)
    return StepCell(input_size, hidden_size, function=function, blocks=tuple(blocks)), params


def _blocks(new: Any, count: int) -> list[Any]:
    """Return the blocks of the new state that a step returned."""
    found = list(new) if isinstance(new, (tuple, list)) else [new]
    if len(found) != count:
        raise ArgumentError(
            f"`step` must return {count} block{'' if count == 1 else 's'} of the new state, got {len(found)}. "
            "Return them as a tuple, in the order of `state`."
        )
    return found


def _by_torch(torch: Any, function: Callable[..., Any], extra: Sequence[Any] = ()) -> Callable[..., Array]:
    """Return a function of arrays that runs in torch, as a primitive of autograd that torch pulls back.

    ``extra`` are tensors that the function reads by itself; arrays that stand for them come last.
    """

    def run(arrays: Sequence[Array], track: bool) -> tuple[list[Any], Any]:
        own = arrays[: len(arrays) - len(extra)]
        with torch.inference_mode(False), torch.set_grad_enabled(track):
            leaves = [torch.tensor(np.ascontiguousarray(array), requires_grad=track) for array in own]
            return leaves, function(*leaves)

    @primitive
    def call(*arrays: Array) -> Array:
        return _array(run(arrays, track=False)[1])

    def pull(argnums: Sequence[int], _: Array, arrays: Sequence[Array], __: dict) -> Callable[[Array], Any]:
        leaves, output = run(arrays, track=True)
        chosen = [[*leaves, *extra][n] for n in argnums]

        def pulled(cotangent: Array) -> tuple[Array, ...]:
            if not output.requires_grad:
                return tuple(np.zeros(at.shape, cotangent.dtype) for at in chosen)
            with torch.inference_mode(False):
                heard = torch.tensor(np.ascontiguousarray(cotangent)).to(output.dtype)
                found = torch.autograd.grad(output, chosen, heard, retain_graph=True, allow_unused=True)
            return tuple(_array(torch.zeros_like(at) if g is None else g) for g, at in zip(found, chosen, strict=True))

        return pulled

    defvjp_argnums(call, pull)
    defjvp_argnums(call, _no_forward_mode)
    return call


def _no_forward_mode(*_: Any) -> Any:
    """Refuse autograd's forward mode."""
    raise ArgumentError(
        "A step of torch must be differentiated backwards, got autograd's forward mode. Use `autograd.grad` or "
        "`autograd.make_vjp`, or write the step in `autograd.numpy`."
    )


def _array(value: Any) -> Array:
    """Return a tensor or array-like as an array of its own."""
    if not hasattr(value, "detach"):
        return np.array(value)
    value = value.detach().cpu()
    return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy().copy()


def _torch() -> Any:
    """Return torch."""
    try:
        import torch
    except ImportError:
        raise ExtraError("`gs.torch` needs torch. Install it with `pip install 'gradscope[torch]'`.") from None
    return torch
