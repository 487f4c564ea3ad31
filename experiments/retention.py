"""Retention: what a store keeps of a run, and how large that is."""

from __future__ import annotations

from collections.abc import Mapping

from gradscope.record import Record

from .spec import Run

__all__ = ["kept"]


def kept(records: Mapping[int, Record], run: Run) -> dict[int, Record]:
    """Return the records of a run without the arrays that it does not keep."""
    return dict(records)
