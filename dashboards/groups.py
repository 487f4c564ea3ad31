"""Groups: which runs a comparison is about, by what they are told apart, and how each is called and drawn."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gradscope.errors import GradscopeError
from gradscope.figures.parts import COMPARABLE, MAPPED
from gradscope.figures.settings import DASHES, MOMENTS, Look, looks, numbered, ordered, same, titled
from gradscope.figures.spreads import SPREADS, telling
from gradscope.probes.catalogue import CATALOGUE

from . import words
from .address import FIRST, LAST, query, said
from .reader import Reader
from .table import MADE

__all__ = [
    "BOTH",
    "CURVES",
    "DRAWN",
    "FIRST",
    "LAST",
    "MOMENT",
    "PANELS",
    "PATH",
    "SHOWS",
    "TILES",
    "Choice",
    "Compared",
    "Group",
    "compared",
    "link",
    "read",
    "trimmed",
    "views",
]

PATH = "/compare"
BOTH = "both"
WHENS = {FIRST: "Before", LAST: "After", BOTH: "Both"}
SHOWS = {"overlay": "Overlay", "difference": "Difference"}
ALIGNS = {"start": "From the start", "end": "From the end"}
MOMENT = "moment"  # tells before from after training, where both are shown
DRAWN, PANELS, TILES = 40, 12, 24  # groups, panels and maps that are drawn unasked
CURVES = "curves"
RATHER_CURVES = ("input_gradient", "transport_spectrum")  # maps of few rows, mostly
NAMED = 4  # parameters that tell runs apart in their names


@dataclass(frozen=True)
class Choice:
    """What a comparison shows; each attribute is one parameter of its link.

    Attributes
    ----------
    sweep : str
        Id of the one sweep to choose from, or ``""`` for all of them.
    run : tuple of str
        Ids of the runs to compare; ``""`` keeps the place, and so the colours, of one that was taken out.
    by : tuple of str
        The parameters whose values make the groups.
    facet : str
        The parameter whose values make the panels.
    where : tuple of str
        Conditions such as ``"length>=100"``.
    when : str
        ``"first"`` (before training), ``"last"``, ``"both"``, or an iteration.
    show : str
        ``"overlay"`` or ``"difference"``.
    members : str
        ``"1"`` where each run is drawn as a thin line, too.
    band : str
        What a band holds; one of :data:`gradscope.figures.spreads.SPREADS`.
    align : str
        ``"start"``, ``"end"``, or ``""``: at the end where lengths differ.
    probe : tuple of str
        The figures; none leaves the choice to the page.
    part : tuple of str
        What figures with parts show, as ``"probe:part"``.
    view : tuple of str
        How figures that are maps, too, are drawn, as ``"probe:view"``; a view is one of ``VIEWS``.
    most : str
        How many groups and panels are drawn at most, where it is more than usual.
    """

    sweep: str = ""
    run: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    facet: str = ""
    where: tuple[str, ...] = ()
    when: str = FIRST
    show: str = "overlay"
    members: str = ""
    band: str = "10-90"
    align: str = ""
    probe: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    most: str = ""

    def parts(self) -> dict[str, str]:
        """Return the part that each probe shows, of those that were chosen."""
        return {name: part for name, _, part in (entry.partition(":") for entry in self.part) if part}

    def seen_as(self, probe: str) -> str:
        """Return how a probe is drawn: as it was chosen, else a map of what makes a map first of all."""
        chosen = {name: view for name, _, view in (entry.partition(":") for entry in self.view)}
        known = views(probe)
        return chosen[probe] if chosen.get(probe) in known else next(iter(known))

    def limit(self, usual: int) -> int:
        """Return how many groups or panels are drawn at most."""
        return max(usual, int(self.most)) if self.most.isdecimal() and self.most.isascii() else usual


def views(probe: str) -> dict[str, str]:
    """Return how a probe can be drawn, the usual view first, each with its word."""
    if probe not in MAPPED:
        return {CURVES: "Curves"}
    ranked = {"numbered": "Map, units as numbered"} if "unit" in CATALOGUE[probe].axes else {}
    found = {"map": "Map, units by rank" if ranked else "Map"} | ranked
    return {CURVES: "Curves"} | found if probe in RATHER_CURVES else found | {CURVES: "Curves"}


_ALLOWED: dict[str, Container[str]] = {"show": SHOWS, "band": SPREADS, "align": {"", *ALIGNS}, "members": {"", "1"}}


def read(search: str | None) -> Choice:
    """Read a choice from the part of a link after the ``?``; what it does not know falls back to the default."""
    values = said(search, Choice)
    for name, allowed in _ALLOWED.items():
        if values.get(name) not in allowed:
            values.pop(name, None)
    if values.get("when") not in WHENS and not _is_count(values.get("when", "")):
        values.pop("when", None)
    for name in ("by", "where", "probe", "part", "view"):
        values[name] = tuple(filter(None, values.get(name, ())))
    return Choice(**values | {"run": trimmed(values.get("run", ()))})


def trimmed(runs: Sequence[str]) -> tuple[str, ...]:
    """Return the places of runs without free ones at the end."""
    last = max((place for place, run in enumerate(runs) if run), default=-1)
    return tuple(runs[: last + 1])


def link(choice: Choice) -> str:
    """Write a choice as the part of a link from the ``?`` on, defaults left out, or ``""``."""
    return query(choice)


def _is_count(text: str) -> bool:
    """Return whether a text is a whole number."""
    return text.isdecimal() and text.isascii()


# What is compared ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Runs that are drawn as one, with what they are called and how they look."""

    key: tuple[Any, ...]
    name: str
    look: Look
    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Compared:
    """Everything that a comparison is about, for one choice and one state of the store.

    Attributes
    ----------
    choice : Choice
        What the link says, without what this store does not have.
    by : tuple of str
        The parameters that make the groups, chosen by the page where the link leaves them open.
    proposed : bool
        Whether the page chose them.
    panels : dict of str to list of Group
        The groups that are drawn, by panel; a figure without panels has one without a name.
    parameters : tuple of str
        Those that vary, in the order in which they are worth grouping by.
    varying : tuple of str
        Those that vary among the runs on show.
    rows : list of dict
        The runs on show that have a record.
    waiting : int
        Runs on show without a record.
    groups, facets : int
        How many there are, drawn or not.
    troubles : tuple of str
        What of the link could not be followed, and why.
    backwards : bool
        Whether places are counted from the end.
    """

    choice: Choice
    by: tuple[str, ...]
    proposed: bool
    panels: dict[str, list[Group]]
    parameters: tuple[str, ...]
    varying: tuple[str, ...]
    rows: list[dict[str, Any]]
    waiting: int = 0
    groups: int = 0
    facets: int = 0
    troubles: tuple[str, ...] = field(default=())
    backwards: bool = False

    def drawn(self) -> list[Group]:
        """Return the groups that are drawn, each once, with its runs of all panels."""
        found: dict[tuple, Group] = {}
        for group in (one for panel in self.panels.values() for one in panel):
            key = tuple(map(same, group.key))
            before = found.get(key)
            found[key] = replace(group, rows=before.rows + group.rows) if before else group
        return list(found.values())


def compared(reader: Reader, choice: Choice) -> Compared:
    """Find out what a choice is about.

    Raises
    ------
    StoreError
        While the store cannot be read.
    """
    troubles: list[str] = []
    if choice.sweep not in {"", *(str(sweep["id"]) for sweep in reader.sweeps())}:
        troubles.append(f"The store has no sweep {choice.sweep}.")
        choice = replace(choice, sweep="")
    names, every = _population(reader, choice)
    choice, rows = _filtered(reader, choice, every, troubles)
    parameters = _worth(every, names)
    choice = _settled(choice, {*names, MOMENT}, troubles)
    shown = [row for row in rows if row["iteration"] is not None]
    varying = tuple(name for name in parameters if len({same(row.get(name)) for row in shown}) > 1)
    by, proposed = _by(choice, shown, varying)
    found = Compared(choice, by, proposed, {}, parameters, varying, shown, len(rows) - len(shown))
    return _grouped(found, every, troubles)


def _population(reader: Reader, choice: Choice, where: tuple[str, ...] = ()) -> tuple[tuple[str, ...], list[dict]]:
    """Return the runs of a sweep at the moments that are asked for."""
    if choice.when != BOTH:
        return reader.population(choice.when, choice.sweep, where)
    names, first = reader.population(FIRST, choice.sweep, where)
    _, last = reader.population(LAST, choice.sweep, where)
    before = [row | {MOMENT: MOMENTS[0]} for row in first if row["iteration"] is None or row["iteration"] == 0]
    return names, before + [row | {MOMENT: MOMENTS[1]} for row in last if row["iteration"]]


def _filtered(
    reader: Reader, choice: Choice, every: list[dict], troubles: list[str]
) -> tuple[Choice, list[dict[str, Any]]]:
    """Return the runs that are asked for; conditions and runs that the store does not know are said and left out."""
    kept = []
    for text in choice.where:
        try:
            reader.population(FIRST, choice.sweep, (text,))
            kept.append(text)
        except GradscopeError as error:
            troubles.append(str(error))
    choice = replace(choice, where=tuple(kept))
    rows = _population(reader, choice, choice.where)[1] if kept else every
    asked = set(filter(None, choice.run))
    if asked:
        known = {row["run"] for row in every}
        if asked - known:
            listed = ", ".join(run for run in choice.run if run in asked - known)
            troubles.append(f"The store has no run {listed}. The link may belong to another store.")
        choice = replace(choice, run=trimmed([run if run in known else "" for run in choice.run]))
        places = {run: place for place, run in enumerate(choice.run) if run}
        rows = sorted((row for row in rows if row["run"] in asked & set(places)), key=lambda row: places[row["run"]])
    return choice, rows


def _settled(choice: Choice, names: set[str], troubles: list[str]) -> Choice:
    """Return the choice without parameters and probes that there are none of."""
    asked = [name for name in (*choice.by, choice.facet) if name]
    troubles += [f"No run has a parameter {name}." for name in asked if name not in names]
    troubles += [f"There is no probe {name} to compare." for name in choice.probe if name not in COMPARABLE]
    return replace(
        choice,
        by=tuple(name for name in choice.by if name in names),
        facet=choice.facet if choice.facet in names else "",
        probe=tuple(name for name in choice.probe if name in COMPARABLE),
    )


def _worth(rows: Sequence[dict[str, Any]], names: Iterable[str]) -> tuple[str, ...]:
    """Return the parameters that vary, those first that explain most of how fast gradients decay."""
    varying = [name for name in names if len({same(row.get(name)) for row in rows}) > 1]
    usual = telling(rows, [name for name in varying if name not in MADE], "decay_rate")
    return (*usual, *(name for name in varying if name in MADE))


def _by(choice: Choice, rows: Sequence[dict[str, Any]], varying: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the parameters that make the groups, and whether the page chose them."""
    both = (MOMENT,) if choice.when == BOTH and MOMENT not in (*choice.by, choice.facet) else ()
    if choice.by or any(choice.run):
        return (*choice.by, *both), False
    free = [name for name in varying if name != choice.facet and name not in MADE]
    first = [name for name in telling(rows, free, "decay_rate") if _readable(rows, name)][:1]
    return (*first, *both), True


def _readable(rows: Sequence[dict[str, Any]], name: str) -> bool:
    """Return whether a parameter makes a number of groups that one can read."""
    return 1 < len({same(row.get(name)) for row in rows}) <= PANELS


def _grouped(found: Compared, every: Sequence[dict[str, Any]], troubles: list[str]) -> Compared:
    """Put the runs into groups and panels."""
    choice, single = found.choice, any(found.choice.run) and not found.choice.by
    facets = ordered(row.get(choice.facet) for row in found.rows) if choice.facet else [None]
    keys = _keys(found.rows, found.by, single)
    some = keys[: choice.limit(DRAWN)]
    look = _looks(choice, some, every, found.by, single)
    names = _names(found, some, single)
    rows: dict[Any, dict[Any, list[dict[str, Any]]]] = {}
    for row in found.rows:
        place = same(row.get(choice.facet)) if choice.facet else None
        rows.setdefault(place, {}).setdefault(_key(row, found.by, single), []).append(row)
    panels = {}
    for facet in facets[: choice.limit(PANELS)]:
        held = rows.get(same(facet) if choice.facet else None, {})
        name = titled(choice.facet, facet) if choice.facet else ""
        panels[name] = [
            Group(key, names[place], look[place], tuple(held[_same(key)]))
            for place, key in enumerate(some)
            if _same(key) in held
        ]
    lengths = {row.get("length") for row in found.rows}
    backwards = choice.align == "end" or (not choice.align and len(lengths) > 1)
    return replace(
        found,
        panels={name: groups for name, groups in panels.items() if groups},
        groups=len(keys),
        facets=len(facets) if choice.facet else 0,
        troubles=tuple(troubles),
        backwards=backwards,
    )


def _same(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what tells keys apart."""
    return tuple(map(same, key))


def _key(row: dict[str, Any], by: Sequence[str], single: bool) -> tuple[Any, ...]:
    """Return what tells the group of a row from others."""
    return _same(_values(row, by, single))


def _values(row: dict[str, Any], by: Sequence[str], single: bool) -> tuple[Any, ...]:
    """Return the values that make the group of a row: the run itself where runs are compared."""
    return (*((row["run"],) if single else ()), *(row.get(name) for name in by))


def _keys(rows: Sequence[dict[str, Any]], by: Sequence[str], single: bool) -> list[tuple[Any, ...]]:
    """Return the keys of the groups in order: runs as they were chosen, values from the least."""
    found = {_key(row, by, single): _values(row, by, single) for row in rows}
    if single:
        return list(found.values())
    places = [
        {same(value): place for place, value in enumerate(ordered(key[n] for key in found.values()))}
        for n in range(len(by))
    ]
    return sorted(found.values(), key=lambda key: tuple(places[n][same(value)] for n, value in enumerate(key)))


def _looks(
    choice: Choice, keys: Sequence[tuple], every: Sequence[dict[str, Any]], by: Sequence[str], single: bool
) -> list[Look]:
    """Return the look of each group: runs by their place in the link, groups by their values among all there are."""
    if single:
        hues = {run: numbered(place) for place, run in enumerate(choice.run)}
        return [replace(hues[key[0]], dash=_dash(key[1])) if by else hues[key[0]] for key in keys]
    if not by:
        return [numbered(0) for _ in keys]
    if MOMENT in by and len(by) > 1:
        at = by.index(MOMENT)
        others = [name for name in by if name != MOMENT]
        bare = [tuple(value for place, value in enumerate(key) if place != at) for key in keys]
        found = looks(
            bare, [_values(row, others, False) for row in every if row["iteration"] is not None], dashed=False
        )
        return [replace(found[short], dash=_dash(key[at])) for short, key in zip(bare, keys, strict=True)]
    found = looks(keys, [_values(row, by, False) for row in every if row["iteration"] is not None])
    return [found[key] for key in keys]


def _dash(moment: str) -> str:
    """Return the dash that tells after from before training: what was trained is solid."""
    return DASHES[MOMENTS[::-1].index(moment)]


def _names(found: Compared, keys: Sequence[tuple], single: bool) -> list[str]:
    """Return what each group is called: by what makes it, a run by what tells it from the others."""
    if not single:
        return [
            ", ".join(titled(name, value) for name, value in zip(found.by, key, strict=True)) or "all runs"
            for key in keys
        ]
    first = {row["run"]: row for row in found.rows}
    apart = [name for name in found.varying if name not in found.by and (name not in MADE or name == "seed")]
    apart = sorted(apart, key=lambda name: name != "cell")[:NAMED]  # whatever else tells them apart, the cell is said
    apart = sorted(apart, key=lambda name: not isinstance(found.rows[0].get(name), str))  # what it is comes first
    names = [", ".join(titled(name, first[key[0]].get(name)) for name in apart) for key in keys]
    told = [name or words.title(first[key[0]]) for name, key in zip(names, keys, strict=True)]
    if found.by:
        told = [f"{name}, {key[1]}" for name, key in zip(told, keys, strict=True)]
    double = {name for name in told if told.count(name) > 1}
    return [f"{name}, {key[0][:8]}" if name in double else name for name, key in zip(told, keys, strict=True)]
