"""The address bar: what a page shows, written as a link that opens the same view again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

__all__ = [
    "CHIPS",
    "FIRST",
    "LAST",
    "MOMENTS",
    "View",
    "asked_iteration",
    "iteration_of",
    "overview_link",
    "parse",
    "query",
    "run_link",
    "run_of",
    "said",
]

FIRST, LAST = "first", "last"
CHIPS = ("cell", "activation", "verdict")  # what is told by chips rather than by a condition
MOMENTS = {FIRST: "Before training", LAST: "After training"}


@dataclass(frozen=True)
class View:
    """What the overview shows; each attribute is one parameter of its link.

    Attributes
    ----------
    sweep : str
        Id of the one sweep to show, or ``""`` for all of them.
    when : str
        ``"first"`` for the numbers before training, ``"last"`` for those after it.
    cell, activation, verdict : tuple of str
        The chips that are on; none means all.
    where : tuple of str
        Conditions such as ``"length>=100"``, in the words of ``gradscope runs --where``.
    x, y, value : str
        Axes and colour of the phase map; ``""`` leaves the choice to the page.
    column : tuple of str
        Columns of the table beyond the usual ones.
    sort : str
        Column by which the table is sorted, with ``-`` in front for falling order.
    group : tuple of str
        Parameters whose values make the groups of the table; none lists every run.
    open : tuple of str
        The groups whose runs are listed, each by its conditions.
    """

    sweep: str = ""
    when: str = FIRST
    cell: tuple[str, ...] = ()
    activation: tuple[str, ...] = ()
    verdict: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    x: str = ""
    y: str = ""
    value: str = ""
    column: tuple[str, ...] = ()
    sort: str = ""
    group: tuple[str, ...] = ()
    open: tuple[str, ...] = ()

    def filtered(self) -> bool:
        """Say whether any filter is on."""
        return any((self.sweep, self.cell, self.activation, self.verdict, self.where))

    def unfiltered(self) -> View:
        """Return the view with every filter off; axes, columns and order stay."""
        return replace(self, sweep="", cell=(), activation=(), verdict=(), where=())

    def conditions(self) -> tuple[str, ...]:
        """Return everything that a run must fulfil, chips and conditions, in the words of the store."""
        chips = (f"{name}={','.join(getattr(self, name))}" for name in CHIPS if getattr(self, name))
        return (*self.where, *chips)

    def narrowed(self, conditions: Iterable[str]) -> View:
        """Return the view of those runs only that fulfil some more conditions of the form ``name=value``."""
        view = self
        for text in conditions:
            name, _, value = text.partition("=")
            if name in CHIPS and value != "none" and value[:1] not in ('"', "'"):
                chip: dict[str, Any] = {name: (value,)}
                view = replace(view, **chip)
            else:
                kept = (known for known in view.where if not known.startswith(f"{name}="))
                view = replace(view, where=(*kept, text))
        return view

    def settle(self, choices: dict[str, Iterable[str]]) -> View:
        """Return the view with every value dropped that is not among its ``choices``.

        A link from another store, an old one or one with a slip of the pen opens the page with what still fits.
        """
        kept: dict[str, Any] = {}
        for name, allowed in choices.items():
            value, allowed = getattr(self, name), set(allowed)
            many = isinstance(value, tuple)
            kept[name] = tuple(v for v in value if v in allowed) if many else value if value in allowed else ""
        return replace(self, **kept)


def said(search: str | None, kind: type[Any]) -> dict[str, Any]:
    """Return what the part of a link after the ``?`` says of the attributes of a page's dataclass.

    Each is a text or, where the default is one, a tuple of texts. A text stands in a tuple once, an empty one as often
    as it is said.
    """
    defaults = {entry.name: entry.default for entry in fields(kind)}
    values: dict[str, Any] = {}
    for name, value in parse_qsl((search or "").lstrip("?"), keep_blank_values=True):
        if isinstance(defaults.get(name), tuple):
            kept = values.get(name, ())
            values[name] = kept if value and value in kept else (*kept, value)
        elif name in defaults:
            values[name] = value
    return values


def query(view: Any, **extra: Any) -> str:
    """Write the dataclass of a page as the part of a link from the ``?`` on, defaults left out, or ``""``."""
    pairs: list[tuple[str, Any]] = [(name, value) for name, value in extra.items() if value is not None]
    for entry in fields(view):
        value = getattr(view, entry.name)
        if value != entry.default:
            pairs += [(entry.name, v) for v in (value if isinstance(value, tuple) else (value,))]
    return "?" + urlencode(pairs, safe="><=,:", quote_via=quote) if pairs else ""


def parse(search: str | None) -> View:
    """Read a view from the part of a link after the ``?``; what it does not know falls back to the default."""
    values = said(search, View)
    if values.get("when") not in MOMENTS:
        values.pop("when", None)
    kept: dict[str, Any] = {n: tuple(filter(None, v)) if isinstance(v, tuple) else v for n, v in values.items()}
    return View(**kept)


def overview_link(view: View) -> str:
    """Return the address of the overview in that view."""
    return "/" + query(view)


def run_link(run: str, view: View, iteration: int | None = None) -> str:
    """Return the address of a run; it carries the overview's view, so that the way back leads there."""
    return f"/run/{quote(str(run), safe='')}" + query(view, iteration=iteration)


def run_of(pathname: str | None) -> str | None:
    """Return the run that a path names, or None when it names none."""
    head, _, name = (pathname or "").strip("/").partition("/")
    return unquote(name) if head == "run" and name and "/" not in name else None


def asked_iteration(search: str | None) -> int | None:
    """Return the iteration that a link names, or None."""
    text = dict(parse_qsl((search or "").lstrip("?"))).get("iteration", "")
    return int(text) if text.isdecimal() and text.isascii() else None


def iteration_of(search: str | None, allowed: Sequence[int], latest: bool = False) -> int | None:
    """Return the iteration that a link asks for, else the first or the latest; None when there is none at all."""
    asked = asked_iteration(search)
    if asked in allowed:
        return asked
    return allowed[-1 if latest else 0] if allowed else None
