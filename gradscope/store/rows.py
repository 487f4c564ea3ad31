"""Rows: a record as the rows that hold it, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError
from gradscope.record import Field, Record, Status, from_json, to_json

__all__ = ["WHOLE", "Results", "build_field", "flat", "metrics_by_run", "stored"]

WHOLE = 0  #: The layer of what a record says of the network as a whole.
KINDS = 256  # of arrays whose description is kept as read: thousands of runs have the same


def flat(summary: dict[str, Any]) -> dict[str, Any]:
    """Return a summary as scalars and text."""
    flat = {name: to_json(value) if type(value) in (dict, list) else value for name, value in summary.items()}
    for name in [name for name in flat if name.endswith("_interval")]:
        if _is_of_another(summary, name):
            base = name.removesuffix("_interval")
            del flat[name]
            flat[f"{base}_low"], flat[f"{base}_high"] = summary[name] or (None, None)
    return flat


def _is_of_another(summary: Mapping[str, Any], name: str) -> bool:
    """Return whether an entry is the interval of another one, which it joins."""
    base = name.removesuffix("_interval")
    return base != name and base in summary and (summary[name] is None or _is_interval(summary[name]))


def _is_interval(value: Any) -> bool:
    """Return whether a value is a pair of numbers."""
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(v, (int, float)) for v in value)


def metrics_by_run(rows: Iterable[tuple]) -> dict[str, dict[str, Any]]:
    """Return the metrics of whole runs from their rows (run, name, value, text, status)."""
    metrics: dict[str, dict[str, Any]] = {}
    for run, name, value, text, status in rows:
        number = math.nan if status == Status.NAN else value
        metrics.setdefault(run, {})[name] = number if text is None else text
    return metrics


def _metric(value: Any) -> tuple[float | int | None, str | None, int]:
    """Return the columns value, text and status of a scalar."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return None, None, Status.NOT_APPLICABLE
    if isinstance(value, (bool, int, float)):
        if math.isnan(value):
            return None, None, Status.NAN
        if isinstance(value, int) and abs(value) >= 2**63:  # past SQLite's integers
            value = float(value)
        value = int(value) if isinstance(value, bool) else value  # as SQLite will give it back
        return value, None, Status.INF if math.isinf(value) else Status.OK
    return None, value if isinstance(value, str) else to_json(value), Status.OK


class Results:
    """What a run has measured, as the rows that hold it.

    It is made where the run was measured, so that the process that writes the store has little left to do.

    Parameters
    ----------
    records : dict of int to Record
        By iteration; 0 is before training.
    metrics : dict
        Numbers and text of the run as a whole.
    curves : dict of str to dict of int to float
        Scalars of single iterations, such as a validation loss: by name, then by iteration.
    seconds : float
        How long it took.

    Attributes
    ----------
    summaries : list of (int, dict)
        The summary of each record, by iteration.
    whole : dict
        The metrics.
    curves : tuple of str
        The names of the scalars of single iterations.
    rows : dict of str to list of tuple
        Of the tables record, metric and field, all but the run.
    """

    def __init__(
        self,
        records: Mapping[int, Record],
        metrics: Mapping[str, float | str | None] | None = None,
        curves: Mapping[str, Mapping[int, float]] | None = None,
        seconds: float | None = None,
    ) -> None:
        self.seconds, self.whole, self.curves = seconds, dict(metrics or {}), tuple(curves or ())
        self.summaries: list[tuple[int, dict[str, Any]]] = []
        self.rows: dict[str, list[tuple]] = {"record": [], "metric": [], "field": []}
        for iteration, record in sorted(records.items()):
            self.summaries.append((int(iteration), self._add(int(iteration), WHOLE, record)))
            for layer, part in getattr(record, "layers", {}).items():
                self._add(int(iteration), _layer(layer), part)
        for name, course in (curves or {}).items():
            for iteration, number in course.items():
                value, text, status = _metric(number)
                self.rows["metric"].append((int(iteration), WHOLE, name, value, None, None, text, status))
        for name, entry in self.whole.items():
            value, text, status = _metric(entry)
            self.rows["metric"].append((None, WHOLE, name, value, None, None, text, status))

    def whole_as_read(self) -> dict[str, Any]:
        """Return the metrics of the run as :meth:`Store.metrics` will."""
        rows = [("", row[2], row[3], row[6], row[7]) for row in self.rows["metric"] if row[0] is None]
        return metrics_by_run(rows).get("", {})

    def over_iterations(self) -> set[tuple[int | str, str]]:
        """Return layer and name of each array that runs over the iterations of a training."""
        return {(row[1], row[2]) for row in self.rows["field"] if json.loads(row[3])[:1] == ["iteration"]}

    def _add(self, iteration: int, layer: int | str, record: Record) -> dict[str, Any]:
        """Add the rows of one record and return its summary as it will be read."""
        text = to_json(record.summary)
        summary = from_json(text)
        self.rows["record"].append((iteration, layer, text, to_json(record.config)))
        for name, entry in summary.items():
            if not _is_of_another(summary, name):
                value, words, status = _metric(entry)
                ends = summary.get(f"{name}_interval")
                low, high = ends if _is_interval(ends) else (None, None)
                self.rows["metric"].append((iteration, layer, name, value, low, high, words, status))
        self.rows["field"] += [(iteration, layer, *_array(entry)) for entry in record.fields.values()]
        return summary


def _layer(name: str | int) -> str | int:
    """Return how a layer is stored; a number counts from 1, since 0 is the whole."""
    if (isinstance(name, int) and name > 0) or (isinstance(name, str) and name and not name.isdecimal()):
        return name
    raise ArgumentError(f"`layers` must be named, or counted from 1, got {name!r}. Name it e.g. 'layer1'.")


def stored(layer: str | int) -> str | int:
    """Return the layer of a name as the file has it: a number where the name is one."""
    return int(layer) if isinstance(layer, str) and layer.isdecimal() else layer


def _array(entry: Field) -> tuple:
    """Return the columns of an array: its bytes in little-endian C order, and all that it takes to read them."""
    values = np.asarray(entry.values)
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(values.shape)
    status = None if entry.status is None else np.ascontiguousarray(entry.status, np.uint8).tobytes()
    axes, coords, shape = json.dumps(entry.axes), to_json(entry.coords), json.dumps(values.shape)
    return entry.name, axes, coords, entry.unit, values.dtype.str, shape, values.tobytes(), status, entry.reason


def build_field(row: tuple) -> Field:
    """Return the array of a row (name, axes, coords, unit, dtype, shape, blob, status, reason).

    Raises
    ------
    ValueError, TypeError
        When the row is damaged.
    """
    name, *about, unit, dtype, shape, blob, status, reason = row
    axes, coords, shape = _description(*about, shape)
    values = np.frombuffer(bytearray(blob), dtype).reshape(shape)
    marks = None if status is None else np.frombuffer(bytearray(status), np.uint8).reshape(shape)
    return Field(name, values, axes, unit, coords, marks, reason)


@lru_cache(maxsize=KINDS)
def _description(axes: str, coords: str, shape: str) -> tuple[tuple[str, ...], dict[str, list], tuple[int, ...]]:
    """Read what lies along the axes of an array; a field copies the coordinates."""
    return tuple(from_json(axes)), from_json(coords), tuple(from_json(shape))
