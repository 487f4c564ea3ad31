"""The studies: one file each, with its question, what is expected, the grids that answer it, and how to read them.

A study is a module with a docstring of five parts (Question, Prediction, Command, Runtime, Reads as), a tuple
``SWEEPS`` of :class:`~..spec.Sweep` and :class:`~..trials.Grid`, and, where there is a number to say, a function
``read(store)`` that returns a :class:`~..readings.Reading` of the runs that are there. ``docs/studies.md`` tells how
to write one.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from gradscope.errors import unknown
from gradscope.store import Store

from ..readings import Reading
from ..spec import Study

__all__ = ["load_study", "reading", "study_module", "study_names"]


def study_names() -> list[str]:
    """Return the names of the studies that come with gradscope."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def study_module(name: str) -> ModuleType:
    """Return the module of a study.

    Raises
    ------
    ArgumentError
        For a name that is not a study, with the nearest one.
    """
    if name not in study_names():
        raise unknown("study", name, study_names(), "Or give a TOML file.")
    return importlib.import_module(f"{__name__}.{name}")


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
    return Study(name, study_module(name).SWEEPS)


def reading(name: str, store: Store) -> Reading | None:
    """Return what a study reads from its runs in a store; None for a sweep that is no study with a reading.

    Parameters
    ----------
    name : str
        Of the study, which is that of its sweep.
    store : Store
    """
    read = getattr(study_module(name), "read", None) if name in study_names() else None
    return None if read is None else read(store)
