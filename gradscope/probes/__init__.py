"""Probes: the catalogue, its presets, and :func:`probe`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import make_vjp

from gradscope.cells import Cell, check_kind
from gradscope.errors import ArgumentError, ShapeError, unknown
from gradscope.linearization import linearize
from gradscope.probes.catalogue import CATALOGUE, PRESETS, Probe, choose
from gradscope.probes.layers import chosen, measurements
from gradscope.probes.measures import Measurement, measured, summarize
from gradscope.record import Field, Record
from gradscope.trajectory import Trajectory, unroll
from gradscope.verdict import Verdict, together

__all__ = ["CATALOGUE", "PRESETS", "REVISION", "Probe", "choose", "probe", "recorded"]

REVISION = 3
"""Goes up when a probe's numbers change, so that stored runs are measured again.

2: padding counts nowhere; what a singular map annihilates has the exponent -inf instead of that of rounding; the
error of an exponent comes from blocks of equal length; the rest of the catalogue.
3: the total of routes is right where highway and rest cancel.
"""

Loss = Callable[[Any], Any]


def last_hidden(hidden: Any) -> Any:
    """Return the sum of the last hidden state over sqrt(H), (B,): a loss whose direct gradient has norm 1."""
    return anp.sum(hidden[-1], axis=-1) / np.sqrt(hidden.shape[-1])


def probe(
    cell: Cell,
    params: Mapping[str, Any],
    inputs: Any,
    probes: str | Sequence[str] = "standard",
    loss: Loss | None = None,
    state: Any = None,
    *,
    valid: Any = None,
    reset: Any = None,
    dropout: Any = None,
    **options: Any,
) -> Record:
    """Run a cell or a network over inputs and measure where gradients go.

    Parameters
    ----------
    cell : Cell, or a network such as a Stack
    params : dict, or a network's list
        As from ``cell.init``.
    inputs : array, (T, B, I)
    probes : str or list of str
        A preset ("cheap", "standard", "full") or names from the catalogue.
    loss : callable, optional
        ``loss(hidden) -> (B,)`` from the hidden states (T, B, H), one number for each sequence, in
        ``autograd.numpy``. Left out: the sum of the last hidden state over sqrt(H).
    state : array (B, S), optional
        Initial state; zeros when left out.
    valid, reset, dropout : array, optional
        Padding, boundaries of documents and factors on h, as for :func:`gradscope.unroll`. Padded steps are marked
        in ``record.status`` and count in no summary.
    **options
        What only a network's ``unroll`` knows, such as ``between`` or ``forced``.

    Returns
    -------
    Record
        ``record["jacobian_norm"]`` and so on; ``record.summary["verdict_text"]`` says it in words. A
        diverging run is a result: NaN and inf stay in the arrays, marked in ``record.status``. Of a network it is the
        record of the whole state, and ``record.layers["layer1"]`` that of a cell with its own gates and with all that
        the layers above pass down to it. Two directions have no Jacobian in common: the verdict is then the one that
        all layers share, else "undetermined", and its text that of each.

    Raises
    ------
    ArgumentError
        For an unknown probe, one that the cell cannot have, a missing parameter, or a loss that is no function.
    ShapeError
        For arrays of the wrong shape, also that of the loss.

    Examples
    --------
    >>> from gradscope.cells import LSTM
    >>> cell = LSTM(input_size=1, hidden_size=8, forget_bias=-2.0)
    >>> rng = np.random.default_rng(0)
    >>> record = probe(cell, cell.init(rng), rng.standard_normal((100, 4, 1)))
    >>> record.summary["verdict"]
    'vanishing'
    """
    if loss is not None and not callable(loss):
        raise ArgumentError(
            f"`loss` must be a function from hidden states (T, B, H) to one number for each sequence, got {loss!r}. "
            "Leave it out for the sum of the last hidden state."
        )
    choose(probes)  # type: ignore[arg-type]  # before any work
    masks = {"valid": valid, "reset": reset, "dropout": dropout}
    trajectory: Any = unroll_with(cell, params, inputs, state, masks, options)
    direct = direct_gradient(trajectory, loss or last_hidden)
    return recorded(linearize(trajectory), direct, probes, _describe(loss or last_hidden))


def recorded(linearization: Any, direct: np.ndarray, probes: str | Sequence[str], loss: str) -> Record:
    """Return what probes find along a linearization, under the loss whose direct part this is.

    Parameters
    ----------
    linearization : Linearization, or that of a network
    direct : ndarray, (T+1, B, S)
        As in :func:`gradscope.backpropagate`.
    probes : str or list of str
        As for :func:`probe`.
    loss : str
        What it is, in words.

    Returns
    -------
    Record
    """
    names = choose(probes)  # type: ignore[arg-type]
    trajectory = linearization.trajectory
    if isinstance(trajectory.cell, Cell) and trajectory.valid is not None:
        direct = _folded(direct, trajectory.valid)
    parts = measurements(linearization, direct)
    has = chosen(parts, names, isinstance(probes, str))
    records = {name: _record(part, has[name], loss) for name, part in parts.items()}
    whole = records.pop("")
    return Record(whole.fields, _shared(records) | whole.summary, whole.config, records)


def _shared(layers: Mapping[str, Record]) -> dict[str, Any]:
    """Return the verdict that stands where a network has none as a whole, from those of its layers."""
    if not layers or not all("verdict" in layer.summary for layer in layers.values()):
        return {}
    found = {name: Verdict(part.summary["verdict"], part.summary["verdict_text"]) for name, part in layers.items()}
    joint = together(found)
    return {"verdict": joint.name, "verdict_text": joint.text}


def unroll_with(
    cell: Any, params: Any, inputs: Any, state: Any, masks: Mapping[str, Any], options: Mapping[str, Any]
) -> Any:
    """Return the trajectory of a cell or a network, the latter with its own options.

    Raises
    ------
    ArgumentError
        When a cell is given options, or a network one that it does not know.
    """
    check_kind(cell)
    if not isinstance(cell, Cell):
        known = signature(cell.unroll).parameters
        strange = [name for name in options if name not in known]
        if strange and not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in known.values()):
            raise unknown("options", strange[0], [name for name in known if name not in ("params", "inputs")])
        return cell.unroll(params, inputs, state, **masks, **options)
    if options:
        raise ArgumentError(
            f"`{next(iter(options))}` needs a network, got {type(cell).__name__}. Leave it out: a cell takes state, "
            "valid, reset and dropout."
        )
    return unroll(cell, params, inputs, state, **masks)


def _record(part: Measurement, names: Sequence[str], loss: str) -> Record:
    """Return the record of one part."""
    fields: dict[str, Field] = {}
    for name in names:
        fields.update({field.name: field for field in measured(name, part)})
    config = {
        "cell": part.trajectory.cell.describe(),
        "length": part.trajectory.length,
        "batch": part.trajectory.batch,
        "dtype": str(part.trajectory.rows.dtype),
        "loss": loss,
        "probes": list(names),
    }
    return Record(fields, summarize(part, fields), config)


def direct_gradient(trajectory: Trajectory, loss: Loss) -> np.ndarray:
    """Return the loss's immediate part dL/ds_t, all other states held fixed, (T+1, B, S).

    Raises
    ------
    ShapeError
        When the loss does not return one number for each sequence.
    """
    hidden = np.ascontiguousarray(trajectory.hidden)
    with np.errstate(all="ignore"):
        pull, value = make_vjp(loss)(hidden)
        if np.shape(value) != (trajectory.batch,):
            raise ShapeError(
                f"`loss` must return one number for each sequence, shape (B={trajectory.batch},), got "
                f"{np.shape(value)}. Sum over everything but the sequences."
            )
        gradient = pull(np.ones(np.shape(value), hidden.dtype))
    direct = np.zeros(trajectory.states.shape, hidden.dtype)
    start = 0
    for place in getattr(trajectory.cell, "hidden_slices", [slice(0, trajectory.cell.hidden_size)]):
        width = place.stop - place.start
        direct[1:, :, place] = gradient[:, :, start : start + width]
        start += width
    return direct


def _folded(direct: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the direct part with a state heard where the loss hears its copies over padded steps."""
    direct = np.array(direct)
    for t in reversed(range(len(valid))):
        padded = ~valid[t]
        direct[t, padded] += direct[t + 1, padded]
        direct[t + 1, padded] = 0.0
    return direct


def _describe(loss: Loss) -> str:
    """Return the first line of the loss's docstring, or its name."""
    lines = (loss.__doc__ or "").strip().splitlines()
    return lines[0] if lines else getattr(loss, "__name__", type(loss).__name__)
