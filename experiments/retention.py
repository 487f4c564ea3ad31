"""Retention: what a store keeps of a run, and how large that is.

The choices are those of :data:`.spec.KEPT`. Numbers are always kept; arrays are what a store grows by.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping

import numpy as np

from gradscope.cells import cell_class
from gradscope.gates import BINS
from gradscope.probes import CATALOGUE, choose
from gradscope.probes.measures import applies
from gradscope.record import Record
from gradscope.trajectory import unroll

from .spec import Run
from .training import build_network, schedule
from .trials import Trial

__all__ = ["kept", "sizes"]

MOST_AXES = {"summary": 0, "curves": 1, "everything": math.inf}
"""Axes that an array may have to be kept; with 0 none is, not even one without axes."""

# Bytes in the file: measured on real stores, and tested on others.
OF_RUN = 2_500  # the run itself and its place in the overviews, beside what its numbers take there
OF_NUMBER = 160  # a number of a summary or a metric: in the record, in `metric`, in the overviews
OF_VALUE = 8  # a float64; few arrays need a status beside it
OF_ARRAY = 240  # its name, axes, coordinates and place in the indexes
METRICS = 14  # of the run as a whole, with training
TRAINING = 5  # arrays over the iterations that training leaves


def kept(records: Mapping[int, Record], run: Run | Trial) -> dict[int, Record]:
    """Return the records of a run without the arrays that it does not keep."""
    return {iteration: _slimmed(record, MOST_AXES[run.keep]) for iteration, record in records.items()}


def _slimmed(record: Record, most: float) -> Record:
    """Return a record without arrays of more axes than that."""
    fields = {name: entry for name, entry in record.fields.items() if most and len(entry.axes) <= most}
    slim = dataclasses.replace(record, fields=fields)
    layers = getattr(record, "layers", None)
    if layers:
        slim.layers = {name: _slimmed(part, most) for name, part in layers.items()}
    return slim


def sizes(run: Run | Trial) -> dict[str, int]:
    """Return how many bytes a run takes in a store, about, for each choice of what is kept."""
    if isinstance(run, Trial):
        return dict.fromkeys(MOST_AXES, run.size)
    records = _records(run)
    numbers = records * _numbers(run) + (METRICS if run.iterations else 0)
    base = OF_RUN + OF_NUMBER * numbers
    arrays = list(_shapes(run))
    return {
        keep: base
        + sum(
            (OF_ARRAY + OF_VALUE * math.prod(shape)) * count for shape, count in arrays if most and len(shape) <= most
        )
        for keep, most in MOST_AXES.items()
    }


def _records(run: Run) -> int:
    """Return how often a run is probed."""
    if not run.iterations:
        return 1
    due = schedule(run.config["probe_schedule"])
    return 2 + sum(due(iteration) for iteration in range(1, run.iterations))


def _numbers(run: Run) -> int:
    """Return how many numbers stand in the summaries of a record and of its layers, about."""
    cell = cell_class(run.cell)
    gates, sides = len(cell.gate_names), 2 * len({*cell.gate_names, "hidden"})
    each = {"transport": 11, "lyapunov_spectrum": 3, "slope_saturation": gates, "slope_rms": gates}
    each |= {"gate_saturation": sides} | dict.fromkeys(("jacobian_norm", "jacobian_rms", "retention", "timescale"), 1)
    each |= dict.fromkeys(("flow_retained", "flow_written", "flow_exposed"), 1)
    return sum(1 + sum(each.get(name, 0) for name in part.probes) for part in _parts(run))


@dataclasses.dataclass(frozen=True)
class _Part:
    """What is measured together: a whole network, or one cell of it."""

    probes: tuple[str, ...]
    blocks: int  # of its state, a unit of each layer in each
    inputs: int


def _parts(run: Run) -> Iterator[_Part]:
    """Yield a cell; of a stack, the whole of it and then each of its cells."""
    cell, inputs = cell_class(run.cell), run.load_task().input_size
    chosen, of_cell = choose(run.probe_choice), _had(run.cell, 1)
    if run.layers > 1:
        whole = _had(run.cell, run.layers)
        yield _Part(tuple(name for name in chosen if name in whole), len(cell.blocks) * run.layers, inputs)
    for layer in range(run.layers):
        found = tuple(name for name in chosen if name in of_cell)
        yield _Part(found, len(cell.blocks), inputs if layer == 0 else run.hidden_size)


@functools.cache
def _had(cell: str, layers: int) -> frozenset[str]:
    """Return the probes that a network as a whole can have."""
    network = build_network(cell, 1, 1, layers)
    trajectory = unroll(network, network.init(np.random.default_rng(0)), np.zeros((1, 1, 1)))
    return frozenset(name for name in CATALOGUE if applies(name, trajectory))


def _shapes(run: Run) -> Iterator[tuple[list[int], int]]:
    """Yield the shape of each array and how many records have it."""
    config, cell, records = run.config, cell_class(run.cell), _records(run)
    length, units = config["length"], run.hidden_size
    axes = {"step": length, "time": length + 1, "lag": length + 1, "batch": run.batch_size, "unit": units}
    axes |= {"gate": len(cell.gate_names), "side": 2, "bin": BINS, "parameter": 3, "route": 3}
    for part in _parts(run):
        pairs = part.blocks**2 if part.blocks == len(cell.blocks) else part.blocks
        sizes_of_part = axes | {"rank": units * part.blocks, "block": pairs, "input": part.inputs}
        for name in part.probes:
            probe = CATALOGUE[name]
            grids = dict(probe.grids)
            for named in (probe.axes, *(entry for _, entry in probe.parts)):
                yield [min(sizes_of_part[axis], grids.get(axis, sizes_of_part[axis])) for axis in named], records
    if run.iterations:
        yield [run.iterations], TRAINING
        if config["keep_weights"]:
            inputs, outputs = run.load_task().input_size, run.load_task().output_size
            for layer in range(run.layers):
                yield [len(cell.gate_names) * units, (units if layer else inputs) + units + 1], records
            yield [outputs, units + 1], records
