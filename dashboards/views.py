"""What a record has to show: its cards by the question that they answer, the ways to draw each, and its layers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from urllib.parse import parse_qsl

from gradscope import figures
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Record

__all__ = ["WHOLE", "Draw", "choices", "layer_of", "layers", "length", "questions", "title", "views"]

Draw = Callable[[Record], figures.Figure]

#: The record of a whole network, beside those of its layers.
WHOLE = "whole"

#: Probes that are drawn together, under the first one's heading.
TOGETHER = {
    "state_gradient": ("direct_gradient", "cell_gradient"),
    "flow_retained": ("flow_written", "flow_exposed"),
}


def views(name: str, record: Record) -> dict[str, Draw]:
    """Return the ways to draw a card, by the words that choose one; the first is drawn unasked.

    Parameters
    ----------
    name : str
        The probe that gives the card its name.
    record : Record
        Any record of the run: it says which gates and which related probes there are.
    """
    draw = functools.partial(figures.figure, name)
    if name == "state_gradient":
        found: dict[str, Draw] = {"total and direct": draw}
        found |= {"direct": functools.partial(figures.figure, "direct_gradient")} if "direct_gradient" in record else {}
        found |= {"cell state": functools.partial(figures.figure, "cell_gradient")} if "cell_gradient" in record else {}
        blocks = "state_gradient.blocks" in record and len(record["state_gradient.blocks"]) > 1
        return found | ({"blocks h and c": functools.partial(figures.state_gradient, blocks=True)} if blocks else {})
    if name == "flow_retained":
        single = [flow for flow in ("flow_retained", *TOGETHER["flow_retained"]) if flow in record]
        return {"all flows": figures.flow} | {
            flow.removeprefix("flow_"): functools.partial(figures.figure, flow) for flow in single
        }
    if name == "gate_saturation":
        return {f"by {over}": functools.partial(figures.gate_saturation, over=over) for over in ("step", "unit")}
    if name == "gate_activation":
        return _gate_views(record)
    if name in MORE:
        return MORE[name](draw, record)
    return {CATALOGUE[name].title: draw}


def choices(name: str, record: Record) -> list[str]:
    """Return what a card can show, in words; nothing where that is one thing."""
    found = list(views(name, record)) if name in record else []
    return found if len(found) > 1 else []


def _unit_views(draw: Draw, record: Record) -> dict[str, Draw]:
    """Return the gradient of every unit over all blocks, and over each where the state has several."""
    blocks = record.field("unit_gradient.blocks").coord("block") if "unit_gradient.blocks" in record else []
    single = {f"block {one}": functools.partial(figures.unit_gradient, block=str(one)) for one in blocks}
    return {"all blocks": draw} | (single if len(single) > 1 else {})


def _weight_views(_: Draw, record: Record) -> dict[str, Draw]:
    """Return one view for each parameter, the recurrent weights first."""
    names = [str(name) for name in record.field("weight_gradient").coord("parameter")]
    names.sort(key=lambda name: name != "W_h")
    return {name: functools.partial(figures.weight_gradient, parameter=name) for name in names}


def _write_views(draw: Draw, record: Record) -> dict[str, Draw]:
    """Return the median over the sequences, and one sequence with its signs."""
    signed = {"sequence 0, signs": functools.partial(figures.write_survival, sequence=0)}
    return {"all sequences": draw} | (signed if "write_survival.sign" in record else {})


def _eigenvalue_views(draw: Draw, _: Record) -> dict[str, Draw]:
    """Return the complex plane, and the spectral radius over the steps."""
    return {"complex plane": draw, "spectral radius": functools.partial(figures.jacobian_eigenvalues, show="radius")}


#: The choices of further cards: from the plain figure and a record to the ways to draw it.
MORE: dict[str, Callable[[Draw, Record], dict[str, Draw]]] = {
    "unit_gradient": _unit_views,
    "weight_gradient": _weight_views,
    "write_survival": _write_views,
    "jacobian_eigenvalues": _eigenvalue_views,
}


def _gate_views(record: Record) -> dict[str, Draw]:
    """Return one heat map for each gate, the one that keeps the state first, and the distribution of all."""
    gates = [str(gate) for gate in record.field("gate_activation").coord("gate")]
    gates.sort(key=lambda gate: gate not in ("forget", "update"))
    found: dict[str, Draw] = {f"{gate}": functools.partial(figures.gate_activation, gate=gate) for gate in gates}
    if "gate_activation.histogram" in record:
        found["distribution"] = functools.partial(figures.gate_activation, show="histogram")
    return found


def _says_more(name: str, record: Record) -> bool:
    """Say whether a record holds a probe that tells more than its neighbour: the only block of a state is the state."""
    return name in record and not (name == "transport_blocks" and len(record[name]) < 2)


def questions(records: Iterable[Record]) -> dict[str, list[str]]:
    """Return the cards of records by the question that they answer, in the order of the catalogue."""
    names = {name for record in records for name in CATALOGUE if _says_more(name, record)}
    members = {member: first for first, rest in TOGETHER.items() for member in rest if first in names}
    found: dict[str, list[str]] = {}
    for name, probe in CATALOGUE.items():
        if name in names and name not in members:
            found.setdefault(probe.question, []).append(name)
    return found


def title(name: str) -> str:
    """Return the heading of a card; of probes drawn together, the part that they share."""
    whole = CATALOGUE[name].title
    return whole.split(",")[0].split(":")[0] if name in TOGETHER else whole


# Layers --------------------------------------------------------------------------------------------------------------


def layers(record: Record) -> dict[str, Record]:
    """Return the parts of a record that have figures, by name: the whole network, where it has any, then each layer."""
    whole = {WHOLE: record} if len(record) or not record.layers else {}
    return whole | record.layers


def layer_of(search: str | None, allowed: Iterable[str]) -> str:
    """Return the layer that a link asks for, else the first."""
    allowed = list(allowed)
    asked = dict(parse_qsl((search or "").lstrip("?"))).get("layer", "")
    return asked if asked in allowed else allowed[0]


def length(record: Record) -> int:
    """Return the last time of a record's sequences; 0 when no array is along them."""
    last = [
        int(max(entry.coord(axis), default=0)) + (axis == "step")
        for entry in record.fields.values()
        for axis in ("step", "time")
        if axis in entry.axes
    ]
    return max(last, default=0)
