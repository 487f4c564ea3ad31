"""Lines: where in a TOML file each key stands.

``tomllib`` gives values and no places. A statement of TOML ends at the end of a line, and each is a TOML file of its
own: so the lines are given to ``tomllib`` one after another, joined to those before as long as these are incomplete
(an array or a text over several lines), and what comes out is the key that begins there.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

__all__ = ["Place", "places"]


@dataclass(frozen=True)
class Place:
    """Where a key stands.

    Attributes
    ----------
    table : int
        0 above the first header, and then the number of the header, from 1.
    key : str
        Its first part, if it has dots; the first part of the name of a table for a header.
    line : int
        From 1.
    """

    table: int
    key: str
    line: int


def places(text: str) -> list[Place]:
    """Return the place of every key and header of a sound TOML file, in their order."""
    found: list[Place] = []
    table, start, statement = 0, 1, ""
    for number, line in enumerate(text.split("\n"), start=1):
        statement += line + "\n"
        try:
            content = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        for key in content:
            header = statement.lstrip().startswith("[")
            found.append(Place(0 if header else table, key, start))
            table += header
        start, statement = number + 1, ""
    return found
