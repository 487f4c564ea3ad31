"""Export: the runs of a store as CSV, Parquet or netCDF, and as an xarray Dataset over the swept parameters.

A table has a row for each run and iteration, as :meth:`gradscope.store.Store.table` returns it. A Dataset has a
dimension for each parameter that takes several values; what the grid has no number for is NaN, and a status beside it
says why.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import itertools
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import click
import numpy as np

from gradscope.errors import ArgumentError, ExtraError, StoreError, unknown
from gradscope.probes.catalogue import unit
from gradscope.record import Field, Status, to_json
from gradscope.store import FIXED, Store

__all__ = ["FORMATS", "MOST_POINTS", "command", "export", "to_dataset", "write_csv"]

Row = Mapping[str, Any]

FORMATS = {".csv": "CSV", ".parquet": "Parquet", ".nc": "netCDF"}
"""What a file is written as, by how its name ends."""

MOST_POINTS = 20_000_000
"""Points that a grid may have; more is a union of sweeps that have nothing in common."""

PARTS = {"xarray": "xarray", "pyarrow": "parquet"}  # what brings a package
MEANINGS = " ".join(f"{status.value}={status.name.lower()}" for status in Status)


def export(
    store: Store,
    path: str | Path,
    *,
    sweep: int | str | None = None,
    where: Sequence[str] = (),
    iteration: str | int | None = None,
    arrays: Sequence[str] = (),
) -> int:
    """Write runs of a store to a file, whole or not at all; the end of its name says as what.

    Parameters
    ----------
    store : Store
    path : str or Path
        Ending in ``.csv``, ``.parquet`` or ``.nc``. A file that is there is replaced.
    sweep, where, iteration
        Which runs and iterations, as for :meth:`gradscope.store.Store.table`.
    arrays : sequence of str
        Probes whose arrays are written too, netCDF only.

    Returns
    -------
    int
        Rows of the table that was written.

    Raises
    ------
    ArgumentError
        For another ending, arrays in a table, the store itself as the file, or runs that make no grid.
    ExtraError
        When a package is missing that the format needs.
    StoreError
        When the file cannot be written.
    """
    path = Path(path)
    form = path.suffix.lower()
    if form not in FORMATS:
        raise unknown("suffix", path.suffix, FORMATS, "Name the file e.g. runs.csv.")
    if arrays and form != ".nc":
        raise ArgumentError(
            f"`arrays` must be left out for {FORMATS[form]}, which is a table, got {', '.join(arrays)}. "
            "Name a file that ends in .nc."
        )
    if path.exists() and os.path.samefile(path, store.path):
        raise ArgumentError(f"`path` must not be the store itself, got {path}. Give another file.")
    if form == ".nc":
        data = to_dataset(store, sweep=sweep, where=where, iteration=iteration, arrays=arrays)
        with _replaced(path) as place:
            data.to_netcdf(place, engine="scipy", format="NETCDF3_64BIT")
        return int(data.attrs["rows"])
    rows = store.table(sweep, where, iteration)
    if form == ".csv":
        with _replaced(path) as place, open(place, "w", newline="", encoding="utf-8") as file:
            write_csv(rows, file)
    else:
        table = _arrow(rows)
        with _replaced(path) as place:
            _package("pyarrow.parquet").write_table(table, place)
    return len(rows)


def write_csv(rows: Sequence[Row], file: IO[str]) -> None:
    """Write rows as CSV: NaN as nan, infinities as inf, what is missing as nothing."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows[0] if rows else ())
    writer.writerows(row.values() for row in rows)


def _package(name: str) -> Any:
    """Return a module of a package that an extra brings."""
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.split(".")[0]
        raise ExtraError(
            f"This export needs {package}, which is not installed. "
            f"Install it with `pip install 'gradscope[{PARTS[package]}]'`."
        ) from None


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Yield the place of a file that takes the name when it is whole."""
    try:
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=".gradscope-")
        os.close(handle)
        try:
            yield Path(name)
            with contextlib.suppress(OSError):  # as a new file would have been, not the private one of mkstemp
                mask = os.umask(0)
                os.umask(mask)
                os.chmod(name, 0o666 & ~mask)
            os.replace(name, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
    except OSError as error:
        if isinstance(error, (ExtraError, StoreError)):
            raise
        raise StoreError(f"{path} cannot be written: {error.strerror}. Give a file in a folder of your own.") from error


# Tables ------------------------------------------------------------------------------------------------------------


def _arrow(rows: Sequence[Row]) -> Any:
    """Return rows as a table of Arrow; a column that holds numbers and words is text."""
    pyarrow = _package("pyarrow")
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    return pyarrow.table({name: pyarrow.array(*_typed(pyarrow, values)) for name, values in columns.items()})


def _typed(pyarrow: Any, values: list[Any]) -> tuple[list[Any], Any]:
    """Return the values of a column and their type in Arrow."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return values, pyarrow.bool_() if kinds else pyarrow.null()
    if kinds <= {int} and all(value is None or abs(value) < 2**63 for value in values):
        return values, pyarrow.int64()
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values], pyarrow.float64()
    return [None if value is None else _text(value) for value in values], pyarrow.string()


def _text(value: Any) -> str:
    """Return a value as text."""
    return value if isinstance(value, str) else to_json(value)


# Grids -------------------------------------------------------------------------------------------------------------


def to_dataset(
    store: Store,
    *,
    sweep: int | str | None = None,
    where: Sequence[str] = (),
    iteration: str | int | None = "last",
    arrays: Sequence[str] = (),
) -> Any:
    """Return runs of a store as an xarray Dataset with the swept parameters as dimensions.

    Parameters
    ----------
    store : Store
    sweep, where, iteration
        Which runs and iterations, as for :meth:`gradscope.store.Store.table`; with ``iteration=None`` the iteration
        is a dimension, too.
    arrays : sequence of str
        Probes whose arrays become variables, over the parameters and their own axes.

    Returns
    -------
    xarray.Dataset
        A variable for each metric, and its status beside it as ``<name>_status``: 0 ok, 4 NaN, 5 inf, 6 not
        applicable, 7 not computed because the grid has no such run or it did not finish. Only 0 and 5 are numbers.
        ``run`` and ``run_status`` are text, "" where there is no run. A parameter without a value (the forget bias of
        an RNN) is NaN on its dimension, one with numbers and words is text. Parameters that all runs share, as far as
        they have them, are attributes.

    Raises
    ------
    ArgumentError
        When several runs share a point, or the grid would have too many.
    ExtraError
        When xarray is not installed.
    """
    xarray = _package("xarray")
    rows = store.table(sweep, where, iteration)
    configs = {run["id"]: run["config"] for run in store.runs()}
    names = list(dict.fromkeys(key for row in rows for key in configs[row["run"]]))
    values = {name: _ordered(row.get(name) for row in rows) for name in names}
    if iteration is None:
        values["iteration"] = _ordered(row["iteration"] for row in rows)
    axes = _varying(values, rows)
    grid = _Grid(axes, rows, arrays)
    data, coords = {}, {name: _labels(found) for name, found in axes.items()}
    for name in rows[0] if rows else ():
        if name not in FIXED and name not in names:
            for part, (dims, array) in _metric(grid, rows, name).items():
                data[part] = (dims, array, {"unit": unit(name)} if part == name and unit(name) else {})
    data["run"] = (grid.dims, grid.filled([row["run"] for row in rows], ""), {})
    data["run_status"] = (grid.dims, grid.filled([row["status"] for row in rows], ""), {})
    data |= _arrays(store, grid, rows, arrays)
    coords |= grid.labels
    said = {name: [value for value in found if value is not None] or [None] for name, found in values.items()}
    shared = {name: _plain(found[0]) for name, found in said.items() if len(found) == 1 and name not in axes}
    attributes = {"store": store.path.name, "rows": len(rows), "status_meanings": MEANINGS, **shared}
    return xarray.Dataset(data, coords, attributes)


def _varying(values: Mapping[str, list[Any]], rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return the parameters that span the grid, without those that follow from others, as an RNN has no input bias."""
    axes = {name: found for name, found in values.items() if len(found) > 1}
    for lonely in [name for name, found in axes.items() if sum(value is not None for value in found) == 1]:
        others = [name for name in axes if name != lonely]
        if len({to_json([row.get(name) for name in others]) for row in rows}) == len(rows):
            del axes[lonely]
    return axes


class _Grid:
    """The points of a grid, and where on it each row lies."""

    def __init__(self, axes: Mapping[str, list[Any]], rows: Sequence[Row], taken: Iterable[str]) -> None:
        self.dims, self._names = tuple(axes), {*axes, *taken}
        self.shape = tuple(len(found) for found in axes.values())
        self.labels: dict[str, np.ndarray] = {}  # of further axes
        if math.prod(self.shape) > MOST_POINTS:
            raise ArgumentError(
                f"`sweep` must choose runs that make a grid of at most {MOST_POINTS:,} points, "
                f"got {' x '.join(map(str, self.shape))}. Choose one with --sweep or --where, or write a .csv."
            )
        places = {name: {to_json(value): i for i, value in enumerate(found)} for name, found in axes.items()}
        self.places = [tuple(places[name][to_json(row.get(name))] for name in axes) for row in rows]
        met: dict[tuple[int, ...], str] = {}
        for place, row in zip(self.places, rows, strict=True):
            if place in met:
                raise ArgumentError(
                    f"`sweep` must choose runs that differ in a parameter, got {met[place]} and {row['run']}, which "
                    "do not: their data or probes are of different versions. Choose one with --sweep or --where."
                )
            met[place] = row["run"]

    def axis(self, name: str) -> str:
        """Return the name of an array's axis, which must not be that of a parameter or an array."""
        return f"{name}_" if name in self._names else name

    def filled(self, entries: Sequence[Any], empty: str) -> np.ndarray:
        """Return text on the grid."""
        array = np.full(self.shape, empty, object)
        for place, entry in zip(self.places, entries, strict=True):
            array[place] = empty if entry is None else _text(entry)
        return array


def _metric(grid: _Grid, rows: Sequence[Row], name: str) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return a metric on the grid and its status; a metric in words is text alone."""
    entries = [row[name] for row in rows]
    if any(isinstance(entry, str) for entry in entries):
        return {name: (grid.dims, grid.filled(entries, ""))}
    array, status = np.full(grid.shape, np.nan), np.full(grid.shape, Status.NOT_COMPUTED, np.uint8)
    for place, entry, row in zip(grid.places, entries, rows, strict=True):
        if entry is None:
            status[place] = Status.NOT_APPLICABLE if row["status"] == "done" else Status.NOT_COMPUTED
        else:
            array[place] = entry
            status[place] = Status.NAN if math.isnan(entry) else Status.INF if math.isinf(entry) else Status.OK
    return {name: (grid.dims, array), f"{name}_status": (grid.dims, status)}


def _arrays(store: Store, grid: _Grid, rows: Sequence[Row], names: Sequence[str]) -> dict[str, tuple]:
    """Return arrays of the probes on the grid, each over its own axes after the parameters."""
    if not names:
        return {}
    found: dict[str, list[tuple[tuple[int, ...], Field]]] = {name: [] for name in names}
    for place, row in zip(grid.places, rows, strict=True):
        if row["iteration"] is not None:
            record = store.record(row["run"], row["iteration"], names)
            for name, field in record.fields.items():
                found[name].append((place, field))
    missing = [name for name, fields in found.items() if not fields]
    if missing:
        raise ArgumentError(
            f"`arrays` must name arrays that the runs hold, got {', '.join(missing)}. "
            "List them with `gradscope show STORE RUN`."
        )
    for axis in dict.fromkeys(axis for fields in found.values() for _, field in fields for axis in field.axes):
        labels = [field.coord(axis) for fields in found.values() for _, field in fields if axis in field.axes]
        grid.labels[grid.axis(axis)] = _labels(_ordered(itertools.chain.from_iterable(labels)))
    return dict(itertools.chain.from_iterable(_array(grid, name, fields) for name, fields in found.items()))


def _array(grid: _Grid, name: str, fields: Sequence[tuple[tuple[int, ...], Field]]) -> Iterator[tuple[str, tuple]]:
    """Yield an array and its status on the grid, each with its name; a complex one in its two parts."""
    first = fields[0][1]
    axes = tuple(grid.axis(axis) for axis in first.axes)
    places = [{_text(label): i for i, label in enumerate(grid.labels[axis].tolist())} for axis in axes]
    shape = (*grid.shape, *map(len, places))
    if math.prod(shape) > MOST_POINTS:
        raise ArgumentError(
            f"`arrays` must have at most {MOST_POINTS:,} numbers on the grid, got {math.prod(shape):,} for {name}. "
            "Choose fewer runs with --where."
        )
    complex_ = any(np.iscomplexobj(field.values) for _, field in fields)
    values, status = (
        np.full(shape, np.nan, complex if complex_ else float),
        np.full(shape, Status.NOT_COMPUTED, np.uint8),
    )
    for place, field in fields:
        at = np.ix_(
            *[[i[_text(label)] for label in field.coord(axis)] for i, axis in zip(places, field.axes, strict=True)]
        )
        values[place][at], status[place][at] = field.values, field.statuses()
    dims, told = (*grid.dims, *axes), {"unit": first.unit}
    if complex_:
        yield f"{name}_real", (dims, values.real, told)
        yield f"{name}_imag", (dims, values.imag, told)
    else:
        yield name, (dims, values, told)
    yield f"{name}_status", (dims, status, {})


def _ordered(values: Iterable[Any]) -> list[Any]:
    """Return each value once: none first, then numbers in order, then words as they come."""
    distinct = {to_json(value): value for value in values}.values()
    numbers = [value for value in distinct if isinstance(value, (int, float))]
    words = [value for value in distinct if value is not None and not isinstance(value, (int, float))]
    return [None] * any(value is None for value in distinct) + sorted(numbers) + words


def _labels(values: Sequence[Any]) -> np.ndarray:
    """Return the values of a parameter or an axis as a coordinate."""
    if all(isinstance(value, int) for value in values) and all(abs(value) < 2**31 for value in values):
        return np.array(values, np.int64)
    if all(value is None or isinstance(value, (int, float)) for value in values):
        return np.array([np.nan if value is None else value for value in values], float)
    return np.array(["none" if value is None else _text(value) for value in values], object)


def _plain(value: Any) -> Any:
    """Return a value as an attribute of a netCDF file."""
    return value if isinstance(value, (str, float)) else "none" if value is None else _text(value)


# The command -------------------------------------------------------------------------------------------------------


@click.command("export")
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", "path", required=True, type=click.Path(path_type=Path), help="FILE.csv, .parquet or .nc."
)
@click.option("--where", multiple=True, metavar="CONDITION", help="E.g. cell=LSTM, 'length>=100'. May be repeated.")
@click.option("--sweep", metavar="NAME", help="Only runs of this sweep.")
@click.option("--all", "every", is_flag=True, help="Every iteration of each run instead of its last.")
@click.option("--array", "arrays", multiple=True, metavar="PROBE", help="Write its arrays too (.nc). May be repeated.")
def command(
    store: Path, path: Path, where: tuple[str, ...], sweep: str | None, every: bool, arrays: tuple[str, ...]
) -> None:
    """Write the runs of a STORE to a file: CSV, Parquet or netCDF.

    CSV and Parquet hold a row for each run, netCDF a grid with the swept parameters as dimensions, to be opened with
    xarray; what the grid lacks is NaN, with a status that says why.
    """
    with Store(store) as opened:
        chosen = int(sweep) if sweep is not None and sweep.isdecimal() else sweep
        rows = export(opened, path, sweep=chosen, where=where, iteration=None if every else "last", arrays=arrays)
    click.echo(f"{rows:,} row{'' if rows == 1 else 's'} in {path}.")
