"""Files: arrays by name from a file of weights, whoever wrote it; nothing in it is ever run.

A file from a stranger is read as data: no pickle, no link to other files, and no array that is larger than the file
could hold.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.errors import ArgumentError, ExtraError, StoreError

__all__ = ["read_arrays"]

Arrays = dict[str, np.ndarray]

DENSEST = 1100
"""How many times the size of a file its arrays together may have: what deflate can do at most."""


def read_arrays(path: str | Path) -> Arrays:
    """Return every array of numbers in a file of weights, by name.

    Parameters
    ----------
    path : str or Path
        ``.safetensors``, ``.npz``, ``.h5`` (also ``.weights.h5``) or ``.keras``.

    Returns
    -------
    dict
        float32 or float64 arrays; half precision becomes float32, and what is no float is left out.

    Raises
    ------
    StoreError
        When the file is missing, damaged, or holds something other than plain arrays.
    ArgumentError
        For another kind of file.
    ExtraError
        When the library that reads this kind is not installed.
    """
    if not isinstance(path, (str, Path)):
        raise ArgumentError(
            f"`path` must be a file of weights, got {type(path).__name__}. For a module in memory use `gs.from_torch`, "
            "`gs.from_keras` or `gs.from_flax`."
        )
    path = Path(path)
    readers: dict[str, Callable[[Path], Iterator[tuple[str, np.ndarray]]]] = {
        ".safetensors": _safetensors,
        ".npz": _npz,
        ".h5": _hdf5,
        ".hdf5": _hdf5,
        ".keras": _keras,
    }
    suffix = path.suffix.lower()
    if suffix in (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt"):
        raise ArgumentError(
            f"`path` must be a file of plain arrays, got {path.name}: loading it would run what is inside. Save the "
            "weights with `safetensors.torch.save_file(module.state_dict(), 'model.safetensors')`."
        )
    if suffix not in readers:
        raise ArgumentError(f"`path` must end in {', '.join(readers)}, got {path.name!r}. Save the weights as one.")
    if not path.is_file():
        raise StoreError(f"{path} must be a file of weights, and there is none. Give the path of one.")
    try:
        return {name: _as_float(array) for name, array in readers[suffix](path) if array.dtype.kind == "f"}
    except (StoreError, ExtraError):
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _damaged(path: Path, reason: str) -> StoreError:
    """Return the error for a file that cannot be read."""
    return StoreError(f"{path} must be a whole {path.suffix} file of plain arrays: {reason}. Save or copy it again.")


def _as_float(array: np.ndarray) -> np.ndarray:
    """Return floats as float32 or float64."""
    if array.dtype in (np.float32, np.float64):
        return array
    with np.errstate(over="ignore"):
        return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)


def _safetensors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the tensors of a safetensors file."""
    try:
        import safetensors
    except ImportError:
        raise ExtraError(
            f"Reading {path.name} needs safetensors. Install it with `pip install 'gradscope[weights]'`."
        ) from None
    try:
        tensors = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise _damaged(path, str(error)) from error
    for name, tensor in tensors:
        kind, shape, data = tensor["dtype"], tensor["shape"], bytes(tensor["data"])
        if kind == "BF16":  # the upper half of a float32
            wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
            yield name, wide.view(np.float32).reshape(shape)
        elif kind in ("F16", "F32", "F64"):
            yield name, np.frombuffer(data, f"<f{int(kind[1:]) // 8}").reshape(shape)


def _npz(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of an .npz file, each checked against the bytes that there are before it is read."""
    left = DENSEST * path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as file:
                shape, dtype = _npy_header(path, file)
                if dtype.hasobject:
                    raise _damaged(path, f"{entry.filename} holds Python objects, which are never loaded")
                size = int(np.prod(shape, dtype=object)) * dtype.itemsize
                left -= size
                if size > entry.file_size or left < 0:
                    raise _damaged(path, f"{entry.filename} says that it has shape {shape}, and holds less")
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            yield from arrays.items()


def _npy_header(path: Path, file: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and dtype that an .npy file says it has."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise _damaged(path, f"it holds an array in version {version} of NumPy's format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _hdf5(path: Path | io.BytesIO, source: Path | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the data sets of an HDF5 file, links to other files refused."""
    source = source or Path(str(path))
    try:
        import h5py
    except ImportError:
        raise ExtraError(
            f"Reading {source.name} needs h5py. Install it with `pip install 'gradscope[weights]'`."
        ) from None
    left = DENSEST * source.stat().st_size
    seen: set[Any] = set()

    def walk(group: Any, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
        nonlocal left
        for name in group:
            if isinstance(group.get(name, getlink=True), (h5py.ExternalLink, h5py.SoftLink)):
                raise _damaged(source, f"{prefix}{name} is a link to elsewhere, which is never followed")
            item = group[name]
            if item.id in seen:
                raise _damaged(source, f"{prefix}{name} stands in it under two names, which may never end")
            seen.add(item.id)
            if isinstance(item, h5py.Group):
                yield from walk(item, f"{prefix}{name}/")
            elif isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
                if item.external or item.is_virtual:
                    raise _damaged(source, f"{prefix}{name} is kept elsewhere, which is never opened")
                left -= item.nbytes if item.size else 0
                if left < 0:
                    raise _damaged(source, f"{prefix}{name} says that it has shape {item.shape}, and holds less")
                yield f"{prefix}{name}", np.asarray(item)

    with h5py.File(path, "r") as file:
        seen.add(file["/"].id)
        yield from walk(file, "")


def _keras(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the weights inside a .keras file; its configuration is not looked at."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("model.weights.h5")
        if entry.file_size > DENSEST * path.stat().st_size:
            raise _damaged(path, "its weights are larger than the file could hold")
        yield from _hdf5(io.BytesIO(archive.read(entry)), path)
