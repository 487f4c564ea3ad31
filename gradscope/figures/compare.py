"""Comparisons: runs and groups of runs over one another, side by side, and the difference of two.

What a run shows is reduced first, to one :class:`Line` of plain numbers; a group of lines becomes a :class:`Bundle`,
its median with a band; a figure draws bundles. So a page over thousands of runs keeps lines, not records.
"""

from __future__ import annotations

import html
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import ArgumentError, unknown
from gradscope.figures import palette, scales
from gradscope.figures.curves import FLOWS, coarse, float_edge
from gradscope.figures.frame import BELOW, Canvas, axis_title, heading, outline, place
from gradscope.figures.series import Lane, Series, absence, along, lanes, part, quantiles, thin, turned
from gradscope.figures.settings import Look, is_number, numbered, plain, same
from gradscope.figures.tiles import rows_of, tiled
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Field, Record, Status

__all__ = [
    "COMPARABLE",
    "SPREADS",
    "Bundle",
    "Difference",
    "Line",
    "Summary",
    "bundle",
    "choices",
    "compare",
    "difference",
    "divided",
    "draw_bundles",
    "draw_difference",
    "line",
    "parts",
    "ranked",
    "subtract",
    "summarize",
    "telling",
]

PLACES = ("time", "step", "lag", "rank")  # axes that a figure may lie along, the first of them that an array has
POOLED = ("batch", "unit", "input")  # axes over which a run's median is taken
COMPARABLE = tuple(
    name
    for name, probe in CATALOGUE.items()
    if not set(PLACES).isdisjoint(probe.axes) and name not in ("jacobian_eigenvalues", "gate_activation.histogram")
)
"""Probes that can be laid over one another; eigenvalues lie in the plane, and a timescale has no place but its unit."""

LOG = ("jacobian_norm", "jacobian_rms", "jacobian_blocks", "nonnormality", *FLOWS)  # shown as log10, stored as they are
AT_ONE = ("jacobian_norm", "jacobian_rms", "jacobian_blocks", "nonnormality")  # against the line at 1
KEEP = "keeping gate"
KEEPERS = ("forget", "update")
PREFERRED = (KEEP, *KEEPERS, "right", "c-c", "W_h", "highway")  # what is shown of an array with more axes, unasked

SPREADS = {"10-90": (0.1, 0.5, 0.9), "all": (0.0, 0.5, 1.0)}
"""What a band may hold: the shares of its low end, its line and its high end."""
SPREAD_WORDS = {"10-90": "10\N{EN DASH}90 % of runs", "all": "least to largest run"}
SEQUENCES = "5\N{EN DASH}95 % of sequences"
BANDED = 6  # runs up to which each has the band of its own sequences
PAIRS = 10_000  # of runs, whose differences make a band
LISTED = 4  # groups that stand above a figure; more stand beside it
SHORT, MOST_ROWS = 8, 4  # letters of a name that fits beside a row, and rows that are told apart by group
MEMBER_POINTS = 30_000  # of all thin lines together
LARGE = 1e30  # stands for inf while quantiles are interpolated
HOVERED = 10  # groups up to which one box tells of all

Runs = Record | Sequence[Record]


@dataclass(frozen=True)
class Line:
    """What one run shows of a probe, reduced to plain numbers along one axis.

    Attributes
    ----------
    run : str
        Its name.
    series : Series or None
        The median over its sequences (units, inputs) with their 5 to 95 %; None where there is nothing to show.
    axis : str
        ``"time"``, ``"step"``, ``"lag"`` or ``"rank"``.
    unit : str
        Of the numbers; ``"log10"`` where logs are shown.
    last : float
        The last place of the axis, measured or not: where counting back begins.
    edge : float
        log10 of the smallest normal number of the run's dtype.
    coarse : tuple of int or None
        Places that were measured, and places there are, where only a coarse grid was.
    absent : str
        Why there is nothing to show.
    """

    run: str
    series: Series | None = None
    axis: str = ""
    unit: str = ""
    last: float = 0.0
    edge: float = 0.0
    coarse: tuple[int, int] | None = None
    absent: str = ""


@dataclass(frozen=True)
class Bundle:
    """What a group of runs shows.

    Attributes
    ----------
    name : str
        What it is called in the legend.
    series : Series or None
        Median, low and high over the runs, each of which counts with its own median; None where no run has any.
    present : ndarray of int, (N,)
        Runs with a number at each place.
    lines : tuple of Line
        The runs that have something to show.
    absent : dict of str to int
        Why others have not, and how many.
    look : Look
    own : bool
        Whether the band is that of the sequences of the only run.
    """

    name: str
    series: Series | None
    present: np.ndarray
    lines: tuple[Line, ...]
    absent: dict[str, int] = field(default_factory=dict)
    look: Look = field(default_factory=lambda: numbered(0))
    own: bool = False


# What is compared ----------------------------------------------------------------------------------------------------


def choices(records: Iterable[Record], probe: str) -> list[str]:
    """Return what can be shown of a probe whose arrays have more axes than place and sequences, the usual first.

    Parameters
    ----------
    records : iterable of Record
    probe : str
        One of ``COMPARABLE``.

    Returns
    -------
    list of str
        Such as ``"forget, right"``; ``"keeping gate"`` is the forget gate of an LSTM and the update gate of a GRU.
        Empty where there is no choice.
    """
    return ranked(name for record in records for name in parts(record, probe))


def parts(record: Record, probe: str) -> list[str]:
    """Return what can be shown of a probe in one record; empty where there is no choice."""
    return _parts(record.field(probe)) if probe in record else []


def ranked(names: Iterable[str]) -> list[str]:
    """Return what can be shown of several records, the usual first; gates that keep have one name together."""
    found = dict.fromkeys(names)
    words = {one: one.split(", ") for one in found}
    kept = [_renamed(one, gate) for gate in KEEPERS for one, named in words.items() if gate in named]
    both = all(any(gate in named for named in words.values()) for gate in KEEPERS)
    every = [*dict.fromkeys(kept), *found] if both else list(found)
    return sorted(every, key=lambda one: tuple(_preference(word) for word in one.split(", ")))


def _renamed(named: str, gate: str) -> str:
    """Return a part with the gate that keeps under the name that LSTM and GRU share."""
    return ", ".join(KEEP if word == gate else word for word in named.split(", "))


def _preference(word: str) -> int:
    """Return the rank of a label among those that are shown unasked."""
    return PREFERRED.index(word) if word in PREFERRED else len(PREFERRED)


def divided(probe: str) -> bool:
    """Return whether a probe has parts to choose from."""
    return bool(_axes(CATALOGUE[probe].axes)[1])


def _axes(axes: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """Return the axis to lie along, those to choose from, and those that are pooled."""
    along_axis = next((axis for axis in PLACES if axis in axes), axes[0])
    rest = [axis for axis in axes if axis != along_axis]
    return along_axis, [axis for axis in rest if axis not in POOLED], [axis for axis in rest if axis in POOLED]


def _parts(entry: Field) -> list[str]:
    """Return the parts of an array, each named by its labels along the axes to choose from."""
    labels = [[_word(axis, one) for one in entry.coord(axis)] for axis in _axes(entry.axes)[1]]
    return [", ".join(words) for words in itertools.product(*labels)] if labels else []


def _word(axis: str, entry: Any) -> str:
    """Return a label along an axis; a number with the axis's name."""
    return entry if isinstance(entry, str) else f"{axis} {entry:g}"


def line(record: Record, probe: str, part_name: str = "", run: str = "") -> Line:
    """Reduce what a record holds of a probe to one line.

    Parameters
    ----------
    record : Record
        With the probe, or without it: then the line says so.
    probe : str
        One of ``COMPARABLE``.
    part_name : str
        One of :func:`choices`, where there are any; by default the usual one.
    run : str
        The name of the run.

    Returns
    -------
    Line
        NaN, inf, zeros of a log axis and masked elements are counted at each place, as in the figures of one run.

    Raises
    ------
    ArgumentError
        For a probe that cannot be compared.
    """
    if probe not in COMPARABLE:
        raise unknown("probe", probe, COMPARABLE)
    try:
        sentence = absence(record, probe)
    except ArgumentError:
        return Line(run, absent="not measured")
    if sentence:
        return Line(run, absent=sentence.rstrip("."))
    entry = record.field(probe)
    axis, chosen, pooled = _axes(entry.axes)
    if chosen:
        named = part_name or choices([record], probe)[0]
        wanted = _resolved(named, entry)
        if wanted is None:
            return Line(run, absent=f"there is no {named}")
        for name, number in zip(chosen, wanted, strict=True):
            entry = part(entry, name, number)
    log = probe in LOG
    series = along(turned(entry, axis, *pooled), run, log=log)
    last = record.config.get("length", series.x[-1] + (axis == "step")) - (axis == "step")
    if axis in ("lag", "rank"):
        last = series.x[-1]
    unit = "log10" if log else entry.unit
    some = coarse(record, entry, axis) if axis in ("time", "step") else None
    return Line(run, series, axis, unit, float(last), float_edge(record), some)


def _resolved(named: str, entry: Field) -> list[int] | None:
    """Return the places of a part along the axes to choose from, None for one that the array lacks."""
    parts = _parts(entry)
    for gate in KEEPERS:
        wanted = ", ".join(gate if word == KEEP else word for word in named.split(", "))
        if wanted in parts:
            shape = [len(entry.coord(axis)) for axis in _axes(entry.axes)[1]]
            return [int(number) for number in np.unravel_index(parts.index(wanted), shape)]
    return None


def bundle(
    name: str, lines: Sequence[Line], *, spread: str = "10-90", backwards: bool = False, look: Look | None = None
) -> Bundle:
    """Aggregate the lines of a group: the median over its runs, and a band.

    Each run counts with the median over its sequences. Runs may differ in length and in where they were measured: at
    each place the runs count that have a number there.

    Parameters
    ----------
    name : str
        Of the group.
    lines : sequence of Line
    spread : str
        One of ``SPREADS``: what the band holds.
    backwards : bool
        Whether to count places back from each run's last one, which aligns the ends of runs of different lengths.
    look : Look, optional

    Returns
    -------
    Bundle

    Raises
    ------
    ArgumentError
        For another spread, or when lines have different units or axes.
    """
    if spread not in SPREADS:
        raise unknown("spread", spread, SPREADS)
    shown = tuple(one for one in lines if one.series is not None)
    absent = dict(Counter(one.absent for one in lines if one.series is None))
    _check_alike(shown)
    look = look or numbered(0)
    if not shown:
        return Bundle(name, None, np.zeros(0, int), (), absent, look)
    placed = [_turned_back(one) if backwards else one.series for one in shown]
    series, present = _aggregate(name, [one for one in placed if one is not None], SPREADS[spread])
    return Bundle(name, series, present, shown, absent, look)


def _check_alike(lines: Iterable[Line]) -> None:
    """Refuse lines that have no common axis."""
    lines = list(lines)
    for attribute, words in (("unit", "unit"), ("axis", "axis")):
        found = dict.fromkeys(getattr(one, attribute) for one in lines)
        if len(found) > 1:
            raise ArgumentError(
                f"`groups` must have one {words} in a figure, got {' and '.join(found)}. "
                "Compare records of the same kind, or draw a figure of each."
            )


def _turned_back(one: Line) -> Series:
    """Return a line with its places counted back from the last one; lags and ranks have no end to count from."""
    series = one.series
    assert series is not None
    if one.axis in ("lag", "rank"):
        return series
    back = {status: counts[::-1] for status, counts in series.counts.items()}
    arrays = {name: getattr(series, name)[::-1] for name in ("median", "low", "high", "under")}
    return replace(series, x=one.last - series.x[::-1], counts=back, **arrays)


def _aggregate(name: str, lines: Sequence[Series], shares: Sequence[float]) -> tuple[Series, np.ndarray]:
    """Return median and band over the medians of lines, and how many count at each place."""
    x = np.unique(np.concatenate([one.x for one in lines]))
    medians, under = np.full((len(x), len(lines)), np.nan), np.zeros((len(x), len(lines)), bool)
    counts: dict[Status, np.ndarray] = {}
    for number, one in enumerate(lines):
        here = np.searchsorted(x, one.x)
        medians[here, number], under[here, number] = one.median, one.under
        for status, found in one.counts.items():
            counts.setdefault(status, np.zeros(len(x), int))[here] += found
    used = ~np.isnan(medians)
    low, median, high = quantiles(medians, used, shares)
    below = 2 * (under & used).sum(1) > used.sum(1)
    size = sum(one.size for one in lines)
    return Series(name, x, median, low, high, below, counts, size), used.sum(1)


# Numbers -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """A number over the runs of a group: median, low and high, runs that count, and runs where it is NaN."""

    median: float
    low: float
    high: float
    runs: int
    bad: int


def summarize(values: Iterable[Any], spread: str = "10-90") -> Summary | None:
    """Return median and spread of a number over runs, None where no run has it.

    Infinities count as numbers: a decay rate is inf where every gradient is exactly zero. NaN is counted apart.

    Parameters
    ----------
    values : iterable
        What is no number is left out.
    spread : str
        One of ``SPREADS``.

    Raises
    ------
    ArgumentError
        For another spread.
    """
    if spread not in SPREADS:
        raise unknown("spread", spread, SPREADS)
    found = np.array([float(value) for value in values if is_number(value)])
    if not len(found):
        return None
    good = np.sort(found[~np.isnan(found)])
    low, median, high = (_at_share(good, share) for share in SPREADS[spread])
    return Summary(median, low, high, len(good), len(found) - len(good))


def _at_share(ascending: np.ndarray, share: float) -> float:
    """Return a quantile of ascending numbers, infinities among them; NaN of none."""
    if not len(ascending):
        return float("nan")
    below, part = divmod(round(share * (len(ascending) - 1), 9), 1)
    lower, upper = float(ascending[int(below)]), float(ascending[int(below) + (part > 0)])
    return lower if lower == upper else (1 - part) * lower + part * upper


def telling(rows: Sequence[Mapping[str, Any]], names: Iterable[str], metric: str, most: int = 12) -> list[str]:
    """Return the parameters by how much of a metric's variation they explain, the most telling first.

    The share of the variance of the metric's ranks that lies between the groups of a parameter, with the share taken
    off that as many groups would explain by chance (Kelley 1935). Ranks, because a metric may be infinite.

    Parameters
    ----------
    rows : sequence of dict
        One for each run.
    names : iterable of str
        The parameters to choose from.
    metric : str
        Rows in which it is no number are left out.
    most : int
        Values beyond which a parameter makes no readable groups.
    """
    kept = [row for row in rows if is_number(row.get(metric)) and row[metric] == row[metric]]
    if not kept:
        return list(names)
    _, places, counts = np.unique([float(row[metric]) for row in kept], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    total = ((ranks - ranks.mean()) ** 2).sum()

    def explained(name: str) -> float:
        keys = {key: number for number, key in enumerate(dict.fromkeys(same(row.get(name)) for row in kept))}
        groups = np.array([keys[same(row.get(name))] for row in kept])
        sizes = np.bincount(groups)
        if not 1 < len(sizes) <= most or len(sizes) == len(kept) or not total:
            return -1.0
        between = (sizes * (np.bincount(groups, ranks) / sizes - ranks.mean()) ** 2).sum()
        free = len(kept) - len(sizes)
        return float((between - (len(sizes) - 1) * (total - between) / free) / total)

    names = list(names)
    return sorted(names, key=lambda name: (-explained(name), names.index(name)))


# The figures ---------------------------------------------------------------------------------------------------------


def compare(
    groups: Mapping[str, Runs] | Mapping[str, Mapping[str, Runs]],
    probe: str = "transport",
    *,
    part: str = "",
    spread: str = "10-90",
    members: bool = False,
    backwards: bool = False,
    looks: Mapping[str, Look] | None = None,
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw a probe of several runs or groups of runs in the same axes.

    A group of several runs, such as seeds, is drawn as the median over them with a band; each run counts with the
    median over its sequences. Where bands do not meet, the groups differ by more than their seeds do. Exact zeros, NaN
    and inf are counted in lanes beneath, over all sequences of a group. Runs that have not what is shown are said.

    Parameters
    ----------
    groups : dict
        By name, a record or the records of a group. A dict of such dicts draws one panel for each, with common axes.
    probe : str
        One of ``COMPARABLE``.
    part : str
        What to show where an array has more axes, e.g. ``"forget, right"`` of the gates' saturation or
        ``"keeping gate"``; one of :func:`choices`.
    spread : str
        What a band holds: ``"10-90"`` (10 to 90 % of the runs) or ``"all"`` (from the least to the largest).
    members : bool
        Whether to draw each run as a thin line, too.
    backwards : bool
        Whether to count places back from the end, which aligns the ends of runs of different lengths.
    looks : dict, optional
        Colour and dash of each group; by default one hue after the other.
    template : str
        ``"light"`` or ``"dark"``.
    title : bool
        Whether to write the title into the figure.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ArgumentError
        For an unknown probe, part, spread or template, when there is no group, and when records of one figure have
        different units.

    Examples
    --------
    >>> import gradscope as gs
    >>> figure = gs.figures.compare({"bias 0": low_bias, "bias 3": high_bias}, "transport")  # doctest: +SKIP
    """
    panels = _panels(groups)
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    looks = looks or {name: numbered(number) for number, name in enumerate(names)}
    common = part or _usual(panels, probe)
    bundles = {
        facet: [
            bundle(name, _lines(runs, probe, common), spread=spread, backwards=backwards, look=looks.get(name))
            for name, runs in panel.items()
        ]
        for facet, panel in panels.items()
    }
    return draw_bundles(
        bundles,
        probe,
        part=common,
        spread=spread,
        members=members,
        backwards=backwards,
        template=template,
        title=title,
    )


def _panels(groups: Mapping[str, Any]) -> dict[str, Mapping[str, Runs]]:
    """Return the panels of a figure; a plain figure is one without a name."""
    if not groups:
        raise ArgumentError("`groups` must hold a group of records at least, got none. Give e.g. {'a': record}.")
    nested = [isinstance(entry, Mapping) for entry in groups.values()]
    if all(nested):
        return {str(name): entry for name, entry in groups.items()}
    if any(nested):
        raise ArgumentError("`groups` must be all groups or all panels, got both. Put every group into a panel.")
    return {"": groups}


def _records(runs: Runs) -> Sequence[Record]:
    """Return the records of a group."""
    return [runs] if isinstance(runs, Record) else list(runs)


def _lines(runs: Runs, probe: str, part_name: str) -> list[Line]:
    """Return the lines of a group."""
    return [line(one, probe, part_name, str(number)) for number, one in enumerate(_records(runs))]


def _usual(panels: Mapping[str, Mapping[str, Runs]], probe: str) -> str:
    """Return the part that is shown unasked."""
    if probe not in COMPARABLE:
        raise unknown("probe", probe, COMPARABLE)
    every = [record for panel in panels.values() for runs in panel.values() for record in _records(runs)]
    return next(iter(choices(every, probe)), "")


def draw_bundles(
    panels: Mapping[str, Sequence[Bundle]],
    probe: str,
    *,
    part: str = "",
    spread: str = "10-90",
    members: bool = False,
    backwards: bool = False,
    about: str = "",
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Return the figure of bundles, a panel for each name; ``about`` is said first in the caption.

    Further parameters and errors as in :func:`compare`.
    """
    shown = [one for panel in panels.values() for one in panel]
    _check_alike(line for one in shown for line in one.lines)
    single = all(len(one.lines) <= 1 for one in shown)
    if single and len(shown) <= BANDED * len(panels):
        panels = {name: [_with_own_band(one, backwards) for one in panel] for name, panel in panels.items()}
        shown = [one for panel in panels.values() for one in panel]
    page = _Page(probe, part, SPREAD_WORDS[spread], members, backwards, _finite(shown, probe, members), template, title)
    canvases = {name: page.overlay(panel) for name, panel in panels.items()}
    words = _about(shown, spread, single)
    return page.finish(canvases, shown, words if single else f"{about} {words}".strip())


def _with_own_band(one: Bundle, backwards: bool) -> Bundle:
    """Return the bundle of a single run with the band of its sequences."""
    if one.series is None or one.lines[0].series is None or one.lines[0].series.size < 2:
        return one
    own = _turned_back(one.lines[0]) if backwards else one.lines[0].series
    return replace(one, series=replace(one.series, low=own.low, high=own.high), own=True)


def _finite(bundles: Iterable[Bundle], probe: str, members: bool) -> np.ndarray:
    """Return every number that the common axis must span."""
    found = [np.zeros(0)]
    for one in bundles:
        if one.series is not None:
            found.append(one.series.finite())
            if members:
                found += [line.series.median for line in one.lines if line.series is not None]
            if one.series.under.any():
                found.append(np.array([line.edge for line in one.lines]))
    values = np.concatenate(found)
    values = values[np.isfinite(values)]
    return np.append(values, 0.0) if probe in AT_ONE and len(values) else values


def _about(bundles: Sequence[Bundle], spread: str, single: bool) -> str:
    """Say what a line and a band are, with the number of runs."""
    sizes = sorted({len(one.lines) for one in bundles if one.lines})
    if not sizes:
        return ""
    if single:
        own = " and a band from 5 to 95 % of them" if any(one.own for one in bundles) else ""
        return f"One run each: the median over its sequences{own}."
    number = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    holds = "10 to 90 %" if spread == "10-90" else "the least to the largest"
    return (
        f"{number} runs in each group: their median and a band from {holds}; "
        "a run counts with the median of its sequences."
    )


@dataclass(frozen=True)
class _Page:
    """What the panels of one figure share."""

    probe: str
    part: str
    spread: str
    members: bool
    backwards: bool
    finite: np.ndarray
    template: str
    title: bool

    def axis(self, bundles: Sequence[Bundle]) -> str:
        """Return what the figure lies along."""
        found = next((one.lines[0].axis for one in bundles if one.lines), "time")
        return "lag" if self.backwards and found in ("time", "step") else found

    def quantity(self) -> str:
        """Return what the y axis shows: the heading of the probe, and the part of it."""
        title = CATALOGUE[self.probe].title
        return f"{title}, {self.part}" if self.part else title

    def yaxis(self) -> dict[str, Any]:
        """Return the common y axis."""
        log = _logarithmic(self.probe)
        axis = scales.log_axis(*scales.bounds(self.finite, 0.75)) if log else scales.linear_axis(self.finite)
        return axis | {"title": {"text": axis_title(self.probe, log)}}

    def overlay(self, bundles: Sequence[Bundle]) -> Canvas:
        """Return the canvas of one panel."""
        canvas = Canvas(self.probe, self.template, self.title)
        canvas.meta["title"] = self.quantity()
        canvas.layout["yaxis"] = axis = self.yaxis()
        drawn = [one for one in bundles if one.series is not None]
        for one in drawn:
            if len(one.lines) > 1 or one.own:
                opacity = 0.22 if len(drawn) < 4 else 0.14
                words = SEQUENCES if one.own else self.spread
                canvas.band(_escaped(one), axis["range"][0], one.look.colour, opacity, words)
        if self.members:
            self._draw_members(canvas, drawn)
        for one in drawn:
            self._draw_line(canvas, one)
        for one in drawn:
            if one.own or len(one.lines) > 1:
                canvas.key(SEQUENCES if one.own else self.spread, palette.faded(palette.NEUTRAL, 0.35))
        if self.probe in AT_ONE and drawn:
            canvas.rule(0.0)
        self._mark_edge(canvas, drawn)
        if not drawn:
            canvas.add(type="scatter", x=[None], y=[None], showlegend=False, hoverinfo="skip")  # so that there are axes
            canvas.say("None of these runs has it.")
        elif not any(one.series is not None and np.isfinite(one.series.median).any() for one in drawn):
            canvas.say_nothing()
        canvas.lanes(_lanes(_over_one_axis(drawn)), "sequence")
        return canvas

    def _draw_line(self, canvas: Canvas, one: Bundle) -> None:
        """Draw the median of a bundle."""
        series = _escaped(one)
        text = scales.power if _logarithmic(self.probe) else scales.value

        def tell(number: int) -> str:
            lines = text(float(series.median[number]), 4)
            if len(one.lines) < 2 and not one.own:
                return lines
            low, high = text(float(series.low[number]), 3), text(float(series.high[number]), 3)
            runs = "" if one.own else f" \N{MIDDLE DOT} {scales.count(int(one.present[number]), 'run')}"
            return f"{lines} ({low} \N{EN DASH} {high}){runs}"

        dots = any(line.coarse is not None and line.coarse[0] <= 40 for line in one.lines)
        canvas.line(series, series.name, tell, one.look.colour, dots=dots, dash=one.look.dash)

    def _draw_members(self, canvas: Canvas, bundles: Sequence[Bundle]) -> None:
        """Draw each run of the bundles as a thin line, those of a bundle in one trace."""
        count = sum(len(one.lines) for one in bundles if len(one.lines) > 1)
        limit = max(24, MEMBER_POINTS // max(1, count))
        cut = 0
        for one in bundles:
            if len(one.lines) < 2:
                continue
            xs: list[Any] = []
            ys: list[Any] = []
            runs: list[str] = []
            for member in one.lines:
                series = _turned_back(member) if self.backwards else member.series
                assert series is not None
                places = thin(series.median, limit)
                cut = max(cut, len(series.x) if len(places) < len(series.x) else 0)
                here = np.isfinite(series.median[places])
                xs += [np.where(here, series.x[places], np.nan), [np.nan]]
                ys += [np.where(here, series.median[places], np.nan), [np.nan]]
                runs += [member.run] * (len(places) + 1)
            canvas.add(
                type="scatter",
                x=np.concatenate(xs),
                y=np.concatenate(ys),
                mode="lines",
                line={"color": one.look.colour, "width": 0.8},
                opacity=0.45,
                name=f"{plain(one.name)}, each run",
                legendgroup=plain(one.name),
                showlegend=False,
                hoverinfo="skip",
                customdata=runs,
                meta={"role": "member", "series": plain(one.name), "part": "each run", "label": "run"},
            )
        if cut:
            words = "the least and the largest of each bucket"
            canvas.notes.append(f"Of {cut:,} points a thin line, at most {limit:,} are drawn: {words}.")

    def _mark_edge(self, canvas: Canvas, bundles: Sequence[Bundle]) -> None:
        """Draw where the float range ends, when something lies below it."""
        under = [one for one in bundles if one.series is not None and one.series.under.any()]
        for edge in sorted({line.edge for one in under for line in one.lines}):
            canvas.rule(edge, "dot")
            canvas.key(*BELOW, dotted=True)

    def finish(self, canvases: Mapping[str, Canvas], bundles: Sequence[Bundle], about: str) -> go.Figure:
        """Return the figure of panels, with what they have in common."""
        axis = self.axis(bundles)
        xs = [one.series.x for one in bundles if one.series is not None]
        timeline = _places(np.concatenate(xs) if xs else np.zeros(1), axis)
        names = len(dict.fromkeys(one.name for one in bundles))
        first = next(iter(canvases.values()))
        first.notes += self._notes(bundles)
        for canvas in canvases.values():
            for trace in canvas.traces:  # a table of the figure is no page: there names stand as they are
                if "series" in trace.get("meta", {}):
                    trace["meta"] |= {"series": html.unescape(trace["meta"]["series"])}
            said = (about, self._aligned(bundles), CATALOGUE[self.probe].caption)
            canvas.meta["caption"] = " ".join(filter(None, said))
        more: dict[str, Any] = {"showlegend": True, "hoversubplots": "axis"}
        if names > HOVERED:
            more["hovermode"] = "closest"
        if names > LISTED:
            more["legend"] = {"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top", "font": {"size": 11}}
        elif len(canvases) > 1:
            more["legend"] = {"y": 1 + 0.1 / rows_of(len(canvases))}
        return tiled(canvases, timeline, more)

    def _notes(self, bundles: Sequence[Bundle]) -> list[str]:
        """Say what is not drawn, and where places were left out."""
        notes = []
        missing: Counter[str] = Counter()
        for one in bundles:
            missing.update(one.absent)
        total = sum(len(one.lines) for one in bundles) + missing.total()
        for reason, number in missing.items():
            notes.append(f"Left out: {number:,} of {scales.count(total, 'run')} ({reason}).")
        grids = {line.coarse for one in bundles for line in one.lines if line.coarse}
        for here, every in sorted(grids):
            notes.append(f"Measured at {here:,} of {every:,} places.")
        return notes

    def _aligned(self, bundles: Sequence[Bundle]) -> str:
        """Say where runs that do not end at the same place are aligned."""
        ends = sorted({line.last for one in bundles for line in one.lines if line.axis in ("time", "step")})
        if len(ends) < 2:
            return ""
        where = "back from the end" if self.backwards else "from the start"
        return f"Counted {where}: the runs end at {ends[0]:,.0f} to {ends[-1]:,.0f}."


def _logarithmic(probe: str) -> bool:
    """Return whether a probe is shown as log10."""
    return probe in LOG or CATALOGUE[probe].unit == "log10"


def _escaped(one: Bundle) -> Series:
    """Return the series of a bundle, its name as plain text."""
    assert one.series is not None
    return replace(one.series, name=plain(one.name))


def _over_one_axis(bundles: Sequence[Bundle]) -> list[Series]:
    """Return the series with their counts at the places of all of them, as lanes want them."""
    series = [_escaped(one) for one in bundles]
    if not series:
        return []
    x = np.unique(np.concatenate([one.x for one in series]))
    found = []
    for one in series:
        here = np.searchsorted(x, one.x)
        counts = {}
        for status, held in one.counts.items():
            counts[status] = np.zeros(len(x), int)
            counts[status][here] = held
        found.append(replace(one, x=x, counts=counts))
    return found


def _lanes(series: Sequence[Series]) -> list[Lane]:
    """Return the rows for what has no place on the axis: of few groups with short names each, of others together."""
    rows = lanes(series)
    if len(rows) <= MOST_ROWS and all(len(one.name) <= SHORT for one in series):
        return rows
    counts: dict[Status, np.ndarray] = {}
    for one in series:
        for status, held in one.counts.items():
            counts[status] = counts.get(status, np.zeros(len(held), int)) + held
    return lanes([replace(series[0], counts=counts, size=sum(one.size for one in series))])


def _places(x: np.ndarray, axis: str) -> dict[str, Any]:
    """Return the x axis."""
    low, high = float(x.min()), float(x.max())
    pad = 0.5 if low == high else 0.012 * (high - low)
    title = "rank [1]" if axis == "rank" else place(axis)
    return {
        "range": [low - pad, high + pad],
        "title": {"text": title},
        "unifiedhovertitle": {"text": f"{axis} %{{x}}"},
        "nticks": 6,
    }


# The difference ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """What the difference of two bundles shows, at the places where both were measured.

    Attributes
    ----------
    names : tuple of str
        Of the first and of the second.
    series : Series
        The first's median minus the second's; NaN where either has none or both are exactly zero on a log axis, an
        infinity where one of them is.
    banded : bool
        Whether low and high hold the spread of the differences of all pairs of runs.
    zeros : dict of str to ndarray of bool
        Where the first, the second, or both are exactly zero on a log axis, by what is said of it.
    bad : dict of str to ndarray of bool
        Where either has no number, by its name.
    equal : ndarray of bool, (N,)
        Where both are the same to the last digit.
    notes : tuple of str
        What of the axes does not match.
    """

    names: tuple[str, str]
    series: Series
    banded: bool
    zeros: dict[str, np.ndarray]
    bad: dict[str, np.ndarray]
    equal: np.ndarray
    notes: tuple[str, ...]


def difference(
    first: Runs,
    second: Runs,
    probe: str = "transport",
    *,
    names: tuple[str, str] = ("a", "b"),
    part: str = "",
    spread: str = "10-90",
    backwards: bool = False,
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Draw a probe of one run or group minus that of another, where both were measured.

    On a log axis the difference of the logs is the ratio: 10 means that the first is ten times the second. The line is
    the difference of the medians that :func:`compare` draws; the band holds the differences of all pairs of runs. A
    band that lies on one side of the line of no difference is a difference that the seeds do not explain.

    Parameters
    ----------
    first, second : Record or sequence of Record
    probe : str
        One of ``COMPARABLE``.
    names : tuple of str
        What the two are called.
    part, spread, backwards, template, title
        As in :func:`compare`.

    Returns
    -------
    plotly.graph_objects.Figure
        Where one of the two is exactly zero on a log axis, or has no number, lanes beneath say which. Where both are
        equal to the last digit, diamonds stand on the line of no difference. What of the axes does not match is said
        in the footnotes.

    Raises
    ------
    ArgumentError
        As :func:`compare` does.
    """
    common = part or _usual({"": {names[0]: first, names[1]: second}}, probe)
    pair = [
        bundle(name, _lines(runs, probe, common), spread=spread, backwards=backwards)
        for name, runs in zip(names, (first, second), strict=True)
    ]
    return draw_difference(
        {"": (pair[0], pair[1])}, probe, part=common, spread=spread, backwards=backwards, template=template, title=title
    )


def subtract(first: Bundle, second: Bundle, probe: str, spread: str = "10-90", backwards: bool = False) -> Difference:
    """Return the data of a difference; both bundles must have a series.

    Raises
    ------
    ArgumentError
        When their units or axes differ.
    """
    _check_alike([*first.lines, *second.lines])
    one, two = first.series, second.series
    assert one is not None
    assert two is not None
    names, log = (first.name, second.name), _logarithmic(probe)
    x, here, there = np.intersect1d(one.x, two.x, return_indices=True)
    a, b = one.median[here], two.median[there]
    with np.errstate(invalid="ignore"):
        middle = np.where(a == b, 0.0, a - b)
    nothing = np.isneginf(a) & np.isneginf(b)
    middle = np.where(nothing, np.nan, middle)
    zeros = {f"{names[0]} exactly zero": np.isneginf(a) & ~np.isneginf(b) & ~np.isnan(b)}
    zeros |= {f"{names[1]} exactly zero": np.isneginf(b) & ~np.isneginf(a) & ~np.isnan(a)}
    zeros["both exactly zero"] = nothing
    bad = {f"no number in {names[0]}": np.isnan(a), f"no number in {names[1]}": np.isnan(b)}
    banded = 1 < len(first.lines) * len(second.lines) <= PAIRS
    low, high = _pairs(first, second, x, SPREADS[spread], backwards) if banded else (middle, middle)
    under = one.under[here] | two.under[there]
    series = Series(f"{names[0]} {'/' if log else scales.MINUS} {names[1]}", x, middle, low, high, under)
    equal = (a == b) & np.isfinite(a)
    return Difference(names, series, banded, zeros, bad, equal, _mismatch(names, one.x, two.x, x))


def _pairs(
    first: Bundle, second: Bundle, x: np.ndarray, shares: Sequence[float], backwards: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high of the differences of every run of the first from every run of the second."""
    ours, theirs = (_matrix(one, x, backwards) for one in (first, second))
    with np.errstate(invalid="ignore"):
        every = (ours[:, :, None] - theirs[:, None, :]).reshape(len(x), -1)
    low, _, high = quantiles(np.minimum(every, LARGE), ~np.isnan(every), shares)
    return np.where(low > LARGE / 1e6, np.inf, low), np.where(high > LARGE / 1e6, np.inf, high)


def _matrix(one: Bundle, x: np.ndarray, backwards: bool) -> np.ndarray:
    """Return the medians of the runs of a bundle at some places: (N, runs), NaN where one has none."""
    found = np.full((len(x), len(one.lines)), np.nan)
    for number, member in enumerate(one.lines):
        series = _turned_back(member) if backwards else member.series
        assert series is not None
        _, here, there = np.intersect1d(x, series.x, return_indices=True)
        found[here, number] = series.median[there]
    return found


def _mismatch(names: tuple[str, str], one: np.ndarray, two: np.ndarray, both: np.ndarray) -> tuple[str, ...]:
    """Say which places the two do not share."""
    if len(both) == len(one) == len(two):
        return ()
    told = [
        f"{name} was measured at {len(x):,} places from {x[0]:g} to {x[-1]:g}"
        for name, x in zip(names, (one, two), strict=True)
    ]
    return (f"The axes do not match: {told[0]}, {told[1]}; the difference stands at the {len(both):,} that both have.",)


def draw_difference(
    panels: Mapping[str, tuple[Bundle, Bundle]],
    probe: str,
    *,
    part: str = "",
    spread: str = "10-90",
    backwards: bool = False,
    about: str = "",
    template: str = "light",
    title: bool = False,
) -> go.Figure:
    """Return the figure of differences, a panel for each name.

    Further parameters and errors as in :func:`difference`.
    """
    found = {
        name: subtract(one, two, probe, spread, backwards)
        if one.series is not None and two.series is not None
        else None
        for name, (one, two) in panels.items()
    }
    every = [one for one in found.values() if one is not None]
    values = np.concatenate([np.zeros(1), *(one.series.finite() for one in every)])
    page = _Page(probe, part, SPREAD_WORDS[spread], False, backwards, values, template, title)
    canvases = {}
    for name, pair in panels.items():
        canvases[name] = _draw_one(page, found[name], pair)
    log = _logarithmic(probe)
    first, second = next(iter(panels.values()))
    what = "divided by" if log else "minus"
    band = "; the band holds the differences of all pairs of runs" if any(one.banded for one in every) else ""
    words = f"{first.name} {what} {second.name}: the difference of their medians{' as a ratio' if log else ''}{band}."
    bundles = [one for pair in panels.values() for one in pair]
    return page.finish(canvases, bundles, f"{about} {words}".strip())


def _draw_one(page: _Page, data: Difference | None, pair: tuple[Bundle, Bundle]) -> Canvas:
    """Return the canvas of one difference: what is larger in the colour of the one that is."""
    canvas = Canvas(page.probe, page.template, page.title)
    canvas.meta["title"] = f"{page.quantity()}, difference"
    log = _logarithmic(page.probe)
    low, high = scales.bounds(page.finite, 0.3 if log else 0.0)
    pad = 0.0 if high > low else 0.5
    axis: dict[str, Any] = scales.log_axis(low, high) if log else {"range": [low - pad, high + pad], "nticks": 6}
    word = "ratio" if log else "difference"
    canvas.layout["yaxis"] = axis | {"title": {"text": axis_title(page.probe, log, f"{heading(page.probe)}, {word}")}}
    if data is None:
        gone = [plain(one.name) for one in pair if one.series is None]
        canvas.say(f"There is no difference to draw: {' and '.join(gone)} has none of it.")
        return canvas
    canvas.notes += data.notes
    if not len(data.series.x):
        canvas.say("The two share no place along this axis.")
        return canvas
    series = replace(data.series, name=plain(data.series.name))
    if data.banded:
        series = replace(series, high=np.where(np.isposinf(series.high), axis["range"][1], series.high))
        canvas.band(series, axis["range"][0], palette.NEUTRAL, 0.2, page.spread)
        canvas.key(f"{page.spread}, all pairs", palette.faded(palette.NEUTRAL, 0.35))
    for one, sign in zip(pair, (1, -1), strict=True):
        _fill(canvas, series, sign, one)
    canvas.rule(0.0, "solid")
    text = scales.power if log else scales.value
    canvas.line(series, series.name, lambda n: text(float(series.median[n]), 4), palette.NEUTRAL, dash="solid")
    _mark_equal(canvas, data)
    canvas.lanes(_marks(data), "place")
    if not np.isfinite(data.series.median).any():
        canvas.say_nothing()
    return canvas


def _fill(canvas: Canvas, series: Series, sign: int, one: Bundle) -> None:
    """Fill what lies on one side of no difference with the colour of the group that is larger there."""
    height = np.clip(sign * series.median, 0, None) * sign
    x, y = outline(series.x, np.where(np.isfinite(height), 0.0, np.nan), height, 0.3)
    if np.any(height[np.isfinite(height)] != 0):
        tone = palette.faded(one.look.colour, 0.45)
        canvas.area(x, y, f"{plain(one.name)} is larger", tone, {"width": 0}, meta={"role": "aid"})
        canvas.key(f"{plain(one.name)} is larger", tone)


def _mark_equal(canvas: Canvas, data: Difference) -> None:
    """Put a diamond where both are the same to the last digit."""
    if data.equal.any():
        at = thin(np.where(data.equal, 0.0, np.nan))
        at = at[data.equal[at]]
        canvas.add(
            type="scatter",
            x=data.series.x[at],
            y=np.zeros(len(at)),
            mode="markers",
            marker={"symbol": "diamond", "size": 7, "color": palette.OLIVE},
            name="equal to the last digit",
            hoverinfo="skip",
            meta={"role": "aid"},
        )


def _marks(data: Difference) -> list[Lane]:
    """Return the rows that say where there is no difference to draw, and why."""
    x, rows = data.series.x, []
    every = [(Status.ZERO, data.zeros), (Status.NAN, data.bad)]
    for status, found in every:
        for word, mask in found.items():
            if mask.any():
                (row,) = lanes(
                    [Series("", x, *(np.zeros(len(x)),) * 3, np.zeros(len(x), bool), {status: mask.astype(int)})]
                )
                rows.append(replace(row, word=plain(word)))
    return rows
