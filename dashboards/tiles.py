"""Tiles: the heat map of a group of runs, read run by run, reduced, and kept while its runs stay as they are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from gradscope.errors import ArgumentError
from gradscope.figures.parts import parts, ranked
from gradscope.figures.plates import Plate, Tile, plate, tile
from gradscope.record import Record

from . import words
from .groups import Group
from .kept import Kept
from .lines import mark, read
from .reader import Reader

__all__ = ["Tiles"]

KEPT = 96  # tiles of a megabyte at most, as a rule: those of four cards
CELLS = 2**25  # of all runs of a tile: a third of a gigabyte
OWN = (str, bool)  # settings of these kinds say which gates a network has; numbers do not


class Tiles:
    """Reads tiles through a reader; a group whose runs have not changed is read once.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._kept: Kept[Hashable, Tile] = Kept(KEPT)

    def of(self, group: Group, probe: str, part: str = "", *, order: str = "mean", backwards: bool = False) -> Tile:
        """Return the tile of a group.

        Parameters
        ----------
        group : Group
        probe, part, order, backwards
            As :func:`gradscope.figures.plates.plate` and :func:`gradscope.figures.plates.tile` take them.

        Raises
        ------
        ArgumentError
            When the group has more cells than memory should hold.
        """
        key = (group.name, tuple(map(mark, group.rows)), probe, part, order, backwards)
        return self._kept.get(
            key, lambda: tile(group.name, self._plates(group, probe, part, order), backwards=backwards)
        )

    def _plates(self, group: Group, probe: str, part: str, order: str) -> list[Plate]:
        """Return what the runs of a group show."""
        found: list[Plate] = []
        for some, records in read(self._reader, group.rows, probe):
            found += [plate(records.get(row["run"], Record()), probe, part, row["run"], order=order) for row in some]
            largest = max((one.entry.values.size for one in found if one.entry is not None), default=0)
            if largest * len(group.rows) > CELLS:
                raise ArgumentError(
                    f"A map of {words.count(len(group.rows), 'run')} with {largest:,} cells each is too large. "
                    "Add a condition, or group by more parameters."
                )
        return found

    def parts(self, rows: Sequence[dict[str, Any]], probe: str) -> list[str]:
        """Return what can be shown of a probe, the usual first: of one run of each kind, which settings tell apart."""
        kinds = {tuple((name, value) for name, value in row.items() if _tells(name, value)): row for row in rows}
        found: list[str] = []
        for some, records in read(self._reader, kinds.values(), probe):
            for row in some:
                found += parts(records.get(row["run"], Record()), probe, mapped=True)
        return ranked(found)


def _tells(name: str, value: Any) -> bool:
    """Return whether a setting may decide which gates a network has."""
    return isinstance(value, OWN) and name not in ("run", "status", "verdict")
