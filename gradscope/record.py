"""Record: what a probe measured, as named arrays that say what they are.

A record knows nothing of how its numbers were made or how they will be drawn. Beside each
array stand its axes, its unit, the coordinates of its axes and a status for each element, so
that an exact zero, an underflow, a NaN and an element that was never computed stay apart all
the way to the picture.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass, field
from enum import IntEnum
from html import escape
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError, ExtraError, ShapeError, StoreError, unknown
from gradscope.sketch import sketch

__all__ = ["Field", "Record", "Status", "from_json", "log10_status", "plain_status", "to_json"]

FORMAT = "gradscope record 2"
READABLE = ("gradscope record 1", FORMAT)


class Status(IntEnum):
    """What an element of an array is; reductions use 0 to 2 and count the rest."""

    OK = 0
    ZERO = 1  #: a factor is exactly 0 (-inf in a log10 array)
    UNDERFLOW = 2  #: nonzero factors; outside the float range, kept by the log scale
    MASKED = 3  #: a padded step
    NAN = 4
    INF = 5
    NOT_APPLICABLE = 6  #: e.g. saturation of an unbounded activation
    NOT_COMPUTED = 7


@dataclass(frozen=True, eq=False)
class Field:
    """Hold one named array of a record.

    Attributes
    ----------
    name : str
        Probe name, or ``probe.part`` for a probe's further arrays.
    values : ndarray
        Real, complex or boolean numbers; one axis for each name in ``axes``.
    axes : tuple of str
        E.g. ``("step", "batch")``. ``step`` counts inputs, gates and Jacobians (0..T-1),
        ``time`` counts states (0..T).
    unit : str
        ``"1"``, ``"fraction"``, ``"step"``, ``"log10"`` or ``"nat/step"``.
    coords : dict
        Axis name to the labels or numbers along it; an axis without an entry counts from 0.
    status : ndarray of uint8 or None
        A :class:`Status` for each element; None means that all are 0.
    reason : str
        Why elements were not computed or do not apply, as a half sentence; empty where none is needed.

    Raises
    ------
    ShapeError
        When axes, coordinates, status and values do not fit together, or the values are not numbers.
    """

    name: str
    values: np.ndarray
    axes: tuple[str, ...]
    unit: str
    coords: dict[str, list] = field(default_factory=dict)
    status: np.ndarray | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        shape = values.shape
        if values.dtype.kind not in "biufc" or values.dtype.char in "gG":
            raise ShapeError(
                f"`{self.name}` must hold numbers of at most 64 bits (128 if complex), got dtype {values.dtype}. "
                "Convert them, e.g. with `.astype(float)`."
            )
        if len(shape) != len(self.axes):
            raise ShapeError(
                f"`{self.name}` must have one axis for each of {', '.join(self.axes)}, got shape {shape}. "
                "Name every axis of the array."
            )
        for axis, size in zip(self.axes, shape, strict=True):
            if axis in self.coords and len(self.coords[axis]) != size:
                raise ShapeError(
                    f"`coords[{axis!r}]` of `{self.name}` must have {size} entries, "
                    f"got {len(self.coords[axis])}. Give one label for each element of the axis."
                )
        status = None if self.status is None else np.asarray(self.status, np.uint8)
        if status is not None and status.shape != shape:
            raise ShapeError(
                f"`status` of `{self.name}` must have shape {shape}, got {status.shape}. "
                "Give one status for each element, or None when all are ok."
            )
        coords = {axis: np.asarray(entries, object).tolist() for axis, entries in self.coords.items()}
        for name, value in (("values", values), ("axes", tuple(self.axes)), ("coords", coords), ("status", status)):
            object.__setattr__(self, name, value)

    def statuses(self) -> np.ndarray:
        """Return the status of every element as an array, zeros when none is stored."""
        return np.zeros(np.shape(self.values), np.uint8) if self.status is None else self.status

    def usable(self) -> np.ndarray:
        """Return the values as floats, NaN where a reduction must leave them out: only status 0 to 2 counts."""
        return np.where(self.statuses() <= Status.UNDERFLOW, self.values, np.nan)

    def coord(self, axis: str) -> list:
        """Return the labels along ``axis``, counting from 0 where none are stored."""
        if axis not in self.axes:
            raise unknown("axis", axis, self.axes)
        if axis in self.coords:
            return self.coords[axis]
        return list(range(self.values.shape[self.axes.index(axis)]))


class _View(Mapping):
    """One thing about every field, by field name."""

    def __init__(self, fields: dict[str, Field], look: Callable[[Field], Any]) -> None:
        self._fields, self._look = fields, look

    def __getitem__(self, name: str) -> Any:
        return self._look(self._fields[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


@dataclass(eq=False)
class Record:
    """Hold the result of :func:`gradscope.probe`.

    ``record["jacobian_norm"]`` is the array; ``record.axes``, ``record.units``,
    ``record.coords`` and ``record.status`` are mappings by the same name;
    ``record.summary`` holds the numbers that stand for the whole run and
    ``record.config`` what was measured. Of a network with several layers ``record.layers["layer1"]`` is the record of
    one.
    """

    fields: dict[str, Field] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    layers: dict[str, Record] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return the array of that name."""
        return self.field(name).values

    def __contains__(self, name: object) -> bool:
        return name in self.fields

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __bool__(self) -> bool:
        return True  # a record of nothing is a record, too

    def keys(self) -> KeysView[str]:
        """Return the names of the arrays."""
        return self.fields.keys()

    def values(self) -> ValuesView[np.ndarray]:
        """Return the arrays."""
        return _View(self.fields, attrgetter("values")).values()

    def items(self) -> ItemsView[str, np.ndarray]:
        """Return names and arrays in pairs."""
        return _View(self.fields, attrgetter("values")).items()

    def field(self, name: str) -> Field:
        """Return the whole field: array, axes, unit, coordinates, status."""
        if name not in self.fields:
            layer = next((layer for layer, record in self.layers.items() if name in record.fields), None)
            remedy = "Ask for it with `probes=[...]` when probing."
            if layer is not None:
                remedy = f"It is measured layer by layer: look at `record.layers[{layer!r}]`."
            raise unknown("name", name, self.fields, remedy)
        return self.fields[name]

    @property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """Axis names of each array."""
        return _View(self.fields, attrgetter("axes"))

    @property
    def units(self) -> Mapping[str, str]:
        """Unit of each array."""
        return _View(self.fields, attrgetter("unit"))

    @property
    def coords(self) -> Mapping[str, dict[str, list]]:
        """Coordinates along the axes of each array."""
        return _View(self.fields, attrgetter("coords"))

    @property
    def status(self) -> Mapping[str, np.ndarray]:
        """Status of every element of each array (uint8, see :class:`Status`)."""
        return _View(self.fields, Field.statuses)

    def __repr__(self) -> str:
        cell = self.config.get("cell", {}).get("cell", "?")
        head = f"Record of {cell}, {len(self.fields)} arrays"
        if self.layers:
            head += f" and {len(self.layers)} layers"
        text = self.summary.get("verdict_text")
        return f"<{head}: {text}>" if text else f"<{head}>"

    def _repr_html_(self) -> str:
        """Return the record as a notebook shows it: the verdict, and every array with a sketch of it."""
        rows = "".join(_row(entry) for entry in self.fields.values())
        words = ("array", "axes", "unit", "", "not usable")
        head = "".join(f'<th style="text-align:left">{word}</th>' for word in words)
        inner = "".join(
            f"<details><summary>{escape(name)}</summary>{layer._repr_html_()}</details>"
            for name, layer in self.layers.items()
        )
        return (
            f"<div><strong>{escape(repr(self)[1:-1])}</strong><details><summary>{len(self.fields)} arrays</summary>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>{inner}</div>"
        )

    def to_dataframe(self, *names: str) -> Any:
        """Return arrays as one long ``pandas.DataFrame``: a row for each element, its place, value and status.

        Parameters
        ----------
        *names : str
            Which arrays; all of them when left out, which may be many rows.

        Returns
        -------
        pandas.DataFrame
            Columns array, one for each axis (missing where an array does not have it), value, status (in words).

        Raises
        ------
        ArgumentError
            For a name that the record does not hold.
        ExtraError
            When pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ExtraError(
                "`to_dataframe` needs pandas. Install it with `pip install 'gradscope[xarray]'`."
            ) from None
        frames = []
        for entry in [self.field(name) for name in (names or self.fields)]:
            places = pandas.MultiIndex.from_product([entry.coord(axis) for axis in entry.axes], names=entry.axes)
            frame = places.to_frame(index=False) if entry.axes else pandas.DataFrame(index=[0])
            frame.insert(0, "array", entry.name)
            frame["value"] = np.asarray(entry.values).ravel()
            words = np.array([status.name.lower().replace("_", " ") for status in Status])
            frame["status"] = words[entry.statuses().ravel()]
            frames.append(frame)
        if not frames:
            return pandas.DataFrame({"array": [], "value": [], "status": []})
        whole = pandas.concat(frames, ignore_index=True)
        return whole[[*(name for name in whole.columns if name not in ("value", "status")), "value", "status"]]

    def save(self, path: str | Path) -> Path:
        """Write the record to one ``.npz`` file, without pickle.

        Parameters
        ----------
        path : str or Path
            Where to write; exactly this name is used. The file appears only when whole.

        Returns
        -------
        Path

        Raises
        ------
        StoreError
            When the file cannot be written.
        """
        path = Path(path)
        arrays: dict[str, np.ndarray] = {}
        header = {"format": FORMAT, **self._header(arrays)}
        text = np.frombuffer(to_json(header).encode(), np.uint8)
        part = path.with_name(path.name + ".part")
        try:
            with open(part, "wb") as file:
                np.savez_compressed(file, header=text, **arrays)  # type: ignore[arg-type]
            part.replace(path)
        except OSError as error:
            raise StoreError(
                f"{path} cannot be written ({error.strerror}). Give a file in a folder that exists and is yours."
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return path

    def _header(self, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        """Return everything but the arrays, and add these by the names that it gives them."""
        fields = []
        for entry in self.fields.values():
            number = len(arrays)
            about = {"name": entry.name, "axes": entry.axes, "unit": entry.unit, "coords": entry.coords}
            fields.append({**about, "reason": entry.reason, "number": number})
            arrays[f"values_{number}"] = entry.values
            if entry.status is not None:
                arrays[f"status_{number}"] = entry.status
        layers = {name: layer._header(arrays) for name, layer in self.layers.items()}
        return {"summary": self.summary, "config": self.config, "fields": fields, "layers": layers}

    @classmethod
    def _from_header(cls, header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Record:
        """Return the record that :meth:`_header` described."""
        fields = {}
        for place, entry in enumerate(header["fields"]):
            number = entry.pop("number", place)
            values, status = arrays[f"values_{number}"], arrays.get(f"status_{number}")
            fields[entry["name"]] = Field(values=values, status=status, **entry)
        layers = {name: cls._from_header(layer, arrays) for name, layer in header.get("layers", {}).items()}
        return cls(fields, header["summary"], header["config"], layers)

    @classmethod
    def load(cls, path: str | Path) -> Record:
        """Read a record that :meth:`save` wrote.

        Raises
        ------
        StoreError
            When the file is missing, damaged, or not a record of gradscope.
        """
        remedy = "Give a file that `Record.save` wrote."
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                header = from_json(bytes(arrays["header"]).decode())
                if header["format"] not in READABLE:
                    raise StoreError(f"{path} must be a {FORMAT!r}, got {header['format']!r}. {remedy}")
                return cls._from_header(header, arrays)
        except FileNotFoundError:
            raise StoreError(f"{path} must exist. {remedy}") from None
        except StoreError:
            raise
        except _UNREADABLE as error:
            raise StoreError(f"{path} must be a saved record, and is none that can be read. {remedy}") from error

    def to_xarray(self) -> Any:
        """Return an ``xarray.Dataset`` with every array, its unit and its status; ``layer1.transport`` is a layer's.

        An axis along which arrays have different labels becomes one dimension for each set of labels, the later ones
        with the probe's name before them, so that no array is padded with NaN.

        Raises
        ------
        ExtraError
            When xarray is not installed.
        """
        try:
            import xarray
        except ImportError:
            raise ExtraError("`to_xarray` needs xarray. Install it with `pip install 'gradscope[xarray]'`.") from None
        data: dict[str, tuple] = {}
        coords: dict[str, list] = {}
        self._add_to(data, coords, "")
        layers = {name: {"summary": layer.summary, "config": layer.config} for name, layer in self.layers.items()}
        about = {"summary": self.summary, "config": self.config, "layers": layers}
        return xarray.Dataset(data, coords, {name: to_json(part) for name, part in about.items()})

    def _add_to(self, data: dict[str, tuple], coords: dict[str, list], prefix: str) -> None:
        """Add every array to what becomes a dataset, those of the layers with the layer's name before them."""
        for name, entry in self.fields.items():
            dimensions = []
            for axis in entry.axes:
                labels, probe = entry.coord(axis), name.partition(".")[0]
                names = dict.fromkeys((axis, f"{prefix}{axis}", f"{prefix}{probe}.{axis}", f"{prefix}{name}.{axis}"))
                dimensions.append(next(d for d in names if coords.setdefault(d, labels) == labels))
            attributes = {"units": entry.unit} | ({"reason": entry.reason} if entry.reason else {})
            data[f"{prefix}{name}"] = (dimensions, entry.values, attributes)
            if entry.status is not None:
                data[f"{prefix}{name}.status"] = (dimensions, entry.status, {})
        for name, layer in self.layers.items():
            layer._add_to(data, coords, f"{prefix}{name}.")


def _row(entry: Field) -> str:
    """Return one array as a row of a table."""
    status, counts = entry.statuses(), []
    for kind in Status:
        count = int(np.count_nonzero(status == kind))
        if kind > Status.UNDERFLOW and count:
            counts.append(f"{count} {kind.name.lower().replace('_', ' ')}")
    shape = ", ".join(f"{axis} {size}" for axis, size in zip(entry.axes, entry.values.shape, strict=True))
    cells = (entry.name, shape, entry.unit, None, ", ".join(counts))
    drawn = sketch(entry.usable() if not np.iscomplexobj(entry.values) else entry.values, entry.axes)
    return "<tr>" + "".join(f"<td>{drawn if cell is None else escape(cell)}</td>" for cell in cells) + "</tr>"


def plain_status(values: np.ndarray, unit: str) -> np.ndarray:
    """Return the status of plain numbers.

    NaN and inf apart; in the unit ``"1"``, where a 0 may be a lost gradient, also zero, and underflow below the
    smallest normal float.
    """
    status = np.zeros(values.shape, np.uint8)
    status[np.isnan(values)] = Status.NAN
    status[np.isinf(values)] = Status.INF
    if unit == "1":
        status[values == 0] = Status.ZERO
        with np.errstate(invalid="ignore"):
            status[(values != 0) & (np.abs(values) < np.finfo(values.dtype).tiny)] = Status.UNDERFLOW
    return status


def log10_status(values: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Return the status of log10 magnitudes of a program in ``dtype``.

    Zero where -inf; underflow where the plain number would lie below the smallest normal float and
    only the log scale keeps it; NaN and inf apart.
    """
    status = np.zeros(values.shape, np.uint8)
    with np.errstate(invalid="ignore"):
        status[values < np.log10(np.finfo(dtype).tiny)] = Status.UNDERFLOW
    status[np.isneginf(values)] = Status.ZERO
    status[np.isposinf(values)] = Status.INF
    status[np.isnan(values)] = Status.NAN
    return status


_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error)
_SPECIAL = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def _plain(value: Any) -> Any:
    """Return ``value`` as strict JSON: NumPy scalars unwrapped, non-finite floats tagged."""
    if isinstance(value, Mapping):
        plain = {str(key): _plain(entry) for key, entry in value.items()}
        return {"float": [plain["float"]]} if set(plain) == {"float"} else plain
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": "nan" if np.isnan(value) else "inf" if value > 0 else "-inf"}
    return value


def _revive(value: dict) -> Any:
    """Turn a tagged float back into a float; a list marks a dict that only looks like one."""
    if len(value) != 1 or "float" not in value:
        return value
    tag = value["float"]
    return {"float": tag[0]} if isinstance(tag, list) else _SPECIAL[tag]


def to_json(value: Any) -> str:
    """Return strict JSON in which NaN and infinities are tagged instead of bare.

    Tuples and arrays become lists, NumPy's scalars plain numbers, keys text; everything else comes back from
    :func:`from_json` as it was.

    Raises
    ------
    ArgumentError
        For a value that JSON has no form for.

    Examples
    --------
    >>> print(to_json({"half_life": float("inf")}))
    {"half_life": {"float": "inf"}}
    """
    try:
        return json.dumps(_plain(value), allow_nan=False)
    except TypeError as error:
        raise ArgumentError(
            f"`value` must hold numbers, text, lists and dicts only ({error}). Convert it before it is stored."
        ) from error


_DECODER = json.JSONDecoder(object_hook=_revive)  # one for all: `json.loads` makes a new one for each text


def from_json(text: str) -> Any:
    """Read what :func:`to_json` wrote."""
    return _DECODER.decode(text)
