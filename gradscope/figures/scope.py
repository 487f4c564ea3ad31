"""Figures of the scope: the live curves, what a pinned setting showed behind them, and what is sampled.

They draw a record of :func:`gradscope.scope.measure`. Each says what is exact and what is not; at rest they hold the
curves of the figures of the probes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import unknown
from gradscope.figures import palette, scales
from gradscope.figures.curves import FLOWS, Curves, compose, finished, gather
from gradscope.figures.frame import Canvas, blank, outline
from gradscope.figures.series import Series, along, lanes
from gradscope.record import Record

__all__ = ["SCOPE", "live", "scope"]

SCOPE: dict[str, str] = {
    "transport": "Transport to the last state",
    "norms": "Jacobian norms per step",
    "gates": "Gates",
    "flow": "Cell-state flow",
}
"""The figures, and what each is called."""
CAPTIONS = {
    "norms": "How much one step stretches a change of the state: a random one (Frobenius norm over sqrt(S)), and, at "
    "rest, the one it stretches most (the spectral norm). Below 1 every gradient shrinks over this step.",
    "gates": "What each gate does, the median over the units of their medians over the sequences, with a band over the "
    "units. A forget or update gate near 1 keeps.",
}
"""What to conclude where the figure shows something else than the probe of that name."""
EXACT = "Exact."
PIN = ", pinned"
ROOM = 0.2
"""Share of what the curves span that the y axis holds beyond them on either side while a hand is on a knob."""
NOTHING = "This cell has no gate that keeps and writes: there is no flow to show."


def live(name: str, record: Record, pinned: Record | None = None) -> str:
    """Return the same as :func:`scope` as JSON for a browser, quickly: unchecked, without a template.

    While a knob moves numbers are float32, and what a pointer reads is left out. Parameters and errors as in
    :func:`scope`.
    """
    pack = partial(_packed, "<f4" if _moves(record) else "<f8")
    return json.dumps(_parts(name, record, pinned, "light"), default=pack, allow_nan=False)


def scope(name: str, record: Record, pinned: Record | None = None, *, template: str = "light") -> go.Figure:
    """Draw one figure of the scope.

    Parameters
    ----------
    name : str
        One of ``SCOPE``: transport, norms, gates, flow.
    record : Record
        From :func:`gradscope.scope.measure`, exact or sampled; the figure says which.
    pinned : Record, optional
        Another one, whose medians stand grey and dotted behind.
    template : str
        ``"light"`` or ``"dark"``.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ArgumentError
        For another name, when the record does not hold what it needs, or for another template.
    """
    return go.Figure(**_parts(name, record, pinned, template))


def _parts(name: str, record: Record, pinned: Record | None, template: str) -> dict[str, Any]:
    """Return data and layout of a figure."""
    if name not in SCOPE:
        raise unknown("name", name, SCOPE)
    probe = PROBES[name]
    if probe not in record:
        return blank(probe, NOTHING, template, False).to_plotly_json()
    behind = GATHER[name](pinned).series if pinned is not None and probe in pinned else ()
    made = _draw(GATHER[name](record), [_behind(one) for one in behind], record, SAYS[name](record), template)
    if name in CAPTIONS:
        made["layout"]["meta"] |= {"title": SCOPE[name], "caption": CAPTIONS[name]}
    return made


def _packed(kind: str, value: Any) -> Any:
    """Return an array as plotly.js reads it: in base64, of that kind unless it holds what float32 cannot."""
    if not isinstance(value, np.ndarray):
        return float(value)
    with np.errstate(over="ignore"):
        packed = np.ascontiguousarray(value, kind)
    if (np.isinf(packed) & np.isfinite(value)).any():  # states without limits
        packed = np.ascontiguousarray(value, "<f8")
    found = {"dtype": packed.dtype.str[1:], "bdata": base64.b64encode(packed.tobytes()).decode()}
    return found | ({"shape": ", ".join(map(str, packed.shape))} if packed.ndim > 1 else {})


def _moves(record: Record) -> bool:
    """Return whether a record was measured while a knob moved."""
    return record.config.get("directions") is not None


def _transport(record: Record) -> Curves:
    """Return the transport."""
    return gather(record, "transport")


def _norms(record: Record) -> Curves:
    """Return the norms that the record holds."""
    names = {"jacobian_norm": "largest stretch", "jacobian_rms": "rms stretch"}
    fields = {key: label for key, label in names.items() if key in record}
    colours = {"largest stretch": palette.ORANGE, "rms stretch": palette.BLUE}
    quantity = "Stretch by one step"
    return gather(record, "jacobian_rms", fields=fields, log=True, reference=0.0, colours=colours, quantity=quantity)


def _gates(record: Record) -> Curves:
    """Return what each gate's units do."""
    return gather(record, "gate_activation", split="gate")


def _flow(record: Record) -> Curves:
    """Return the flows."""
    fields = {key: label for key, label in FLOWS.items() if key in record}
    return gather(record, "flow_retained", fields=fields, log=True, quantity="Flow")


PROBES = {"transport": "transport", "norms": "jacobian_rms", "gates": "gate_activation", "flow": "flow_retained"}
GATHER: dict[str, Callable[[Record], Curves]] = {
    "transport": _transport,
    "norms": _norms,
    "gates": _gates,
    "flow": _flow,
}


def _sampled(record: Record) -> str:
    """Say how the transport was found."""
    directions = record.config.get("directions")
    return f"Sampled: {directions} random directions a sequence, 95 % error in orange." if directions else EXACT


def _spectral(record: Record) -> str:
    """Say which norms there are."""
    return EXACT if "jacobian_norm" in record else "While you drag: rms alone, in float32."


def _single(record: Record) -> str:
    """Say in which numbers it was measured."""
    return "While you drag: in float32." if _moves(record) else EXACT


SAYS: dict[str, Callable[[Record], str]] = {
    "transport": _sampled,
    "norms": _spectral,
    "gates": _single,
    "flow": _single,
}


def _behind(series: Series) -> Series:
    """Return the median of a series alone."""
    median = series.median
    return Series(series.name + PIN, series.x, median, median, median, series.under)


def _draw(data: Curves, behind: list[Series], record: Record, says: str, template: str) -> dict[str, Any]:
    """Return the figure of curves with the pinned ones behind them, and the word that says what they are."""
    colours = {one.name: data.colour(replace(one, name=one.name.removesuffix(PIN))) for one in behind}
    every = replace(data, series=(*data.series, *behind), colours=data.colours | _colours(data) | colours)
    moving = _moves(record)
    canvas = compose(every, template, title=False, reading=not moving)
    if moving:
        _make_room(canvas, every)
    ours = [trace for trace in canvas.traces if not trace.get("legendgroup", "").endswith(PIN)]
    pins = [trace for trace in canvas.traces if trace.get("legendgroup", "").endswith(PIN)]
    for trace in pins:
        trace |= {"line": trace["line"] | {"dash": "dot", "width": 1.5}, "opacity": 0.8, "showlegend": False}
    canvas.traces = pins
    if data.name == "transport" and "transport.low" in record:
        _error(canvas, record)
    canvas.traces += ours
    if behind:
        canvas.key("pinned", palette.NEUTRAL, dotted=True)
        canvas.traces[-1]["line"]["dash"] = "dot"
    canvas.notes.insert(0, says)
    canvas.lanes(lanes(data.series), "sequence")
    longest = max(every.series, key=lambda one: len(one.x))
    return finished(canvas, replace(every, series=(longest, *every.series)), showlegend=True)


def _make_room(canvas: Canvas, data: Curves) -> None:
    """Widen the y axis, so that it can stand while the curves move on, and note what it must hold at least."""
    finite = np.concatenate([np.zeros(0), *(one.finite() for one in data.series)])
    if not len(finite):
        return
    if data.reference is not None:
        finite = np.append(finite, data.reference)
    low, high = float(finite.min()), float(finite.max())
    pad = ROOM * max(high - low, 0.1)
    wide = np.array([low - pad, high + pad])
    axis = scales.log_axis(*scales.bounds(wide, 0.75)) if data.log else scales.linear_axis(wide)
    canvas.layout["yaxis"] = {"title": canvas.layout["yaxis"]["title"]} | axis
    canvas.meta["extent"] = [low, high]


def _colours(data: Curves) -> dict[str, str]:
    """Return the colours that the curves have when they are alone."""
    return {one.name: data.colour(one) for one in data.series}


def _error(canvas: Canvas, record: Record) -> None:
    """Draw how far the exact transport of a typical sequence may be from the sampled one."""
    low, high = (along(record.field(f"transport.{end}"), end) for end in ("low", "high"))
    x, y = outline(low.x, low.median, high.median, 0.3)
    fill = palette.faded(palette.ORANGE, 0.4)
    if len(x):
        canvas.area(x, y, "sampling error", fill, {"width": 0})
        canvas.key("95 % sampling error", fill)
