"""The studies: one file each, with its question, what is expected, and the grids that answer it."""

from __future__ import annotations

import importlib
import pkgutil

from gradscope.errors import unknown

from ..spec import Study

__all__ = ["load_study", "study_names"]


def study_names() -> list[str]:
    """Return the names of the studies that come with gradscope."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_study(name: str) -> Study:
    """Return a study by its name.

    Raises
    ------
    ArgumentError
        For a name that is not a study, with the nearest one.

    Examples
    --------
    >>> load_study("quickstart").name
    'quickstart'
    """
    if name not in study_names():
        raise unknown("study", name, study_names(), "Or give a TOML file.")
    return Study(name, importlib.import_module(f"{__name__}.{name}").SWEEPS)
