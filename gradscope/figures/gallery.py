"""A figure by the name of its probe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from gradscope.errors import unknown
from gradscope.figures import curves, gates, maps, routes, spectra, units
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Record

__all__ = ["caption", "figure"]

_FIGURES: dict[str, Callable[..., go.Figure]] = {
    name: getattr(room, name)
    for name in CATALOGUE
    for room in (curves, gates, maps, routes, spectra, units)
    if name in room.__all__
}


def figure(name: str, record: Record, **options: Any) -> go.Figure:
    """Draw the figure of a probe by its name.

    Parameters
    ----------
    name : str
        A probe of the catalogue.
    record : Record
    **options
        What the figure's own function takes, e.g. ``template="dark"``.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ArgumentError
        For a name that is not in the catalogue, or when the record does not hold the probe.
    """
    if name not in _FIGURES:
        raise unknown("name", name, _FIGURES)
    return _FIGURES[name](record, **options)


def caption(name: str) -> str:
    """Return what to conclude from the figure of a probe.

    Raises
    ------
    ArgumentError
        For a name that is not in the catalogue.
    """
    if name not in CATALOGUE:
        raise unknown("name", name, CATALOGUE)
    return CATALOGUE[name].caption
