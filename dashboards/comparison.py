"""The figures of a comparison: which cards there are, how large, and what each of them draws."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import html

from gradscope.errors import ArgumentError
from gradscope.figures import Figure
from gradscope.figures.atlas import draw_atlas
from gradscope.figures.compare import draw_pools
from gradscope.figures.differences import draw_difference
from gradscope.figures.lines import Pool, pool
from gradscope.figures.map_differences import draw_apart
from gradscope.figures.parts import divided
from gradscope.figures.plates import Tile
from gradscope.figures.settings import same
from gradscope.figures.tiles import MOST_ACROSS, rows_of
from gradscope.probes.catalogue import CATALOGUE

from . import cards, words
from .groups import CURVES, TILES, Compared, Group, views
from .lines import Lines, mark
from .reader import Reader
from .tiles import Tiles

__all__ = ["Desk", "figure_cards", "is_single", "reading"]

TALL = 12  # groups whose names fit beside a figure of the usual height
LEGEND, LONG = 8, 26  # groups, and letters of their names, that fit a figure of half the width
MANY = 500  # runs that take a moment to read
HIGHEST = 12  # rows of panels that a card has a height for


def figure_cards(now: Compared, probes: Iterable[str]) -> list[Any]:
    """Return a card for each figure; many groups, panels or maps need its whole width."""
    chosen = now.choice.parts()
    return [_card(name, now.choice.seen_as(name), chosen.get(name), _size(now, name)) for name in probes]


def _size(now: Compared, probe: str) -> str:
    """Return the classes that give a card its size."""
    groups, panels = len(now.drawn()), len(now.panels)
    if now.choice.seen_as(probe) != CURVES:
        tiles, columns = _tiles(now)
        rows = rows_of(tiles, columns) if tiles else 1
        return " ".join(["compare-card", *(["wide"] if tiles > 1 else []), f"rows-{min(rows, HIGHEST)}"])
    rows = rows_of(panels) if panels > 1 else 1
    longest = max((len(group.name) for group in now.drawn()), default=0)
    broad = groups > LEGEND or panels > 1 or (groups > 2 and longest > LONG)
    size = ["compare-card", *(["wide"] if broad else []), f"rows-{min(rows, HIGHEST)}"]
    return " ".join([*size, *(["high"] if groups > TALL and panels < 2 else [])])


def _tiles(now: Compared) -> tuple[int, int | None]:
    """Return how many maps a card shows, and how many of them side by side where that is given."""
    if now.choice.show == "difference":
        return len([panel for panel in now.panels.values() if len(panel) == 2]), None
    groups, panels = len(now.drawn()), len(now.panels)
    if 1 < groups <= MOST_ACROSS and panels > 1:
        return min(groups * panels, now.choice.limit(TILES)), groups
    return min(sum(map(len, now.panels.values())), now.choice.limit(TILES)), None


def _card(probe: str, view: str, chosen: str | None, size: str) -> html.Section:
    """Return the card of a probe, with the choice of its view and of its part where it has any."""
    name, title = f"compare-{probe}", CATALOGUE[probe].title
    known = views(probe)
    drawn_as = dmc.Select(
        id=cards.part("compare-view", name),
        data=[{"value": value, "label": word} for value, word in known.items()],
        value=view,
        size="xs",
        w=176,
        allowDeselect=False,
        display="block" if len(known) > 1 else "none",
        comboboxProps={"width": "max-content", "position": "bottom-end"},
        **words.aria(label=f"How the card {title} is drawn"),
    )
    select = dmc.Select(
        id=cards.part("compare-part", name),
        data=[chosen] if chosen else [],
        value=chosen,
        size="xs",
        w=186,
        clearable=False,
        searchable=True,
        display="block" if divided(probe, view != CURVES) else "none",
        comboboxProps={"width": "max-content", "position": "bottom-end"},
        **words.aria(label=f"Part that the card {title} shows"),
    )
    return cards.figure_card(name, title, [drawn_as, select], size, store=False)


def reading(now: Compared) -> dict[str, str]:
    """Return the style by which cards say, while they wait, of how many runs they read; of few it takes no time."""
    return {"--reading": f'"Reading {words.count(len(now.rows), "run")}"'} if len(now.rows) >= MANY else {}


def is_single(now: Compared) -> bool:
    """Return whether each group is a single run."""
    return bool(now.rows) and all(len(group.rows) == 1 for panel in now.panels.values() for group in panel)


class Desk:
    """Draws the figures of comparisons, and keeps what it read for the next one.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self.lines, self.tiles = Lines(reader), Tiles(reader)
        self._turn = threading.Lock()

    def answer(self, now: Compared, probe: str) -> str:
        """Return the figure of a card as JSON, with the ``parts`` there are and the ``part`` that is shown."""
        wanted = now.choice.parts().get(probe, "")
        with self._turn:  # what several pages ask for is read one after the other
            curves = now.choice.seen_as(probe) == CURVES
            figure, parts, part = (self._curves if curves else self._maps)(now, probe, wanted)
        return f"{figure[:-1]},{json.dumps({'parts': parts, 'part': part})[1:]}"

    def _curves(self, now: Compared, probe: str, wanted: str) -> tuple[str, list[str], str]:
        """Return the figure of lines and bands."""
        choice, shown = now.choice, [row for group in now.drawn() for row in group.rows]
        held, found, chosen = self.lines.of(shown, probe, wanted)

        def pools(groups: Sequence[Group]) -> list[Pool]:
            return [
                pool(
                    group.name,
                    [held[mark(row)] for row in group.rows],
                    spread=choice.band,
                    backwards=now.backwards,
                    look=group.look,
                )
                for group in groups
            ]

        options: dict[str, Any] = {
            "part": chosen,
            "spread": choice.band,
            "backwards": now.backwards,
            "about": _pooled(now),
        }

        def overlay() -> Figure:
            panels = {name: pools(groups) for name, groups in now.panels.items()}
            return draw_pools(panels, probe, members=choice.members == "1", **options)

        def difference() -> Figure:
            panels = {name: pools(groups) for name, groups in _pairs(now).items()}
            return draw_difference({name: (one, two) for name, (one, two) in panels.items()}, probe, **options)

        return cards.answer(difference if choice.show == "difference" else overlay), found, chosen

    def _maps(self, now: Compared, probe: str, wanted: str) -> tuple[str, list[str], str]:
        """Return the figure of heat maps."""
        shown = [row for group in now.drawn() for row in group.rows]
        found = self.tiles.parts(shown, probe) if divided(probe, mapped=True) else []
        chosen = wanted if wanted in found else next(iter(found), "")
        order = "unit" if now.choice.seen_as(probe) == "numbered" else "mean"

        def tiles(groups: Sequence[Group]) -> list[Tile]:
            return [self.tiles.of(one, probe, chosen, order=order, backwards=now.backwards) for one in groups]

        options: dict[str, Any] = {"part": chosen, "order": order, "backwards": now.backwards}

        def atlas() -> Figure:
            panels, left = _some(now.panels, now.choice.limit(TILES))
            told = f"{words.count(left, 'map')} more are not drawn: add a condition or group by fewer parameters."
            about = " ".join(filter(None, (told if left else "", _pooled(now))))
            return draw_atlas({name: tiles(groups) for name, groups in panels.items()}, probe, about=about, **options)

        def apart() -> Figure:
            panels = {name: tiles(groups) for name, groups in _pairs(now).items()}
            pairs = {name: (one, two) for name, (one, two) in panels.items()}
            return draw_apart(pairs, probe, about=_pooled(now), **options)

        return cards.answer(apart if now.choice.show == "difference" else atlas), found, chosen


def _some(panels: Mapping[str, Sequence[Group]], most: int) -> tuple[dict[str, Sequence[Group]], int]:
    """Return the first groups of panels, and how many are left out."""
    found: dict[str, Sequence[Group]] = {}
    left = 0
    for name, groups in panels.items():
        kept = groups[: max(0, most - sum(map(len, found.values())))]
        left += len(groups) - len(kept)
        if kept:
            found[name] = kept
    return found, left


def _pairs(now: Compared) -> dict[str, list[Group]]:
    """Return the panels that have both groups of a difference."""
    if len(now.drawn()) != 2:
        raise ArgumentError("A difference needs exactly two runs or groups. Choose two.")
    panels = {name: groups for name, groups in now.panels.items() if len(groups) == 2}
    if not panels:
        raise ArgumentError("No panel has both groups. Choose one panel, or another parameter for the panels.")
    return panels


def _pooled(now: Compared) -> str:
    """Say in what the runs of a group differ."""
    names = [
        words.label(name).lower()
        for name in now.varying
        if name not in (*now.by, now.choice.facet)
        and any(
            len({same(row.get(name)) for row in group.rows}) > 1 for panel in now.panels.values() for group in panel
        )
    ]
    if not names:
        return ""
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"Pooled over {listed}."
