"""Comparisons: runs and groups of runs laid over one another, in one panel or side by side in several."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import ArgumentError, unknown
from gradscope.figures import given, palette, scales
from gradscope.figures.frame import BELOW, Canvas, axis_title, place
from gradscope.figures.lines import Line, Pool, check_alike, line, logarithmic, places, pool, turned_back
from gradscope.figures.parts import COMPARABLE, MAPPED, choices
from gradscope.figures.series import Lane, Series, lanes, thin
from gradscope.figures.settings import Look, numbered, plain
from gradscope.figures.tiles import Reach, common_places, rows_of, tiled
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Record, Status

__all__ = ["SPREAD_WORDS", "Panels", "Runs", "compare", "draw_pools", "lines_of", "panels_of", "usual"]

AT_ONE = ("jacobian_norm", "jacobian_rms", "jacobian_blocks", "nonnormality")  # against the line at 1
SPREAD_WORDS = {"10-90": "10\N{EN DASH}90 % of runs", "all": "least to largest run"}
SEQUENCES = "5\N{EN DASH}95 % of sequences"
BANDED = 6  # runs up to which each has the band of its own sequences
LISTED = 4  # groups that stand above a figure; more stand beside it
SHORT, MOST_ROWS = 8, 4  # letters of a name that fits beside a row, and rows that are told apart by group
MEMBER_POINTS = 30_000  # of all thin lines together
BROKEN = {Status.NAN, Status.INF}  # what a run that diverged has somewhere
HOVERED = 10  # groups up to which one box tells of all

Runs = Record | Sequence[Record]


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
        For an unknown probe, part, spread or template, when there is no group or something else than records, and when
        records of one figure have different units.

    Examples
    --------
    >>> import gradscope as gs
    >>> figure = gs.figures.compare({"bias 0": low_bias, "bias 3": high_bias}, "transport")  # doctest: +SKIP
    """
    panels = panels_of(groups)
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    looks = looks or {name: numbered(number) for number, name in enumerate(names)}
    common = part or usual(panels, probe)
    pools = {
        facet: [
            pool(name, lines_of(runs, probe, common), spread=spread, backwards=backwards, look=looks.get(name))
            for name, runs in panel.items()
        ]
        for facet, panel in panels.items()
    }
    return draw_pools(
        pools,
        probe,
        part=common,
        spread=spread,
        members=members,
        backwards=backwards,
        template=template,
        title=title,
    )


def panels_of(groups: Mapping[str, Any]) -> dict[str, Mapping[str, Runs]]:
    """Return the panels of a figure; a plain figure is one without a name."""
    if not isinstance(groups, Mapping):
        raise ArgumentError(
            f"`groups` must be a dict from names to records, got {type(groups).__name__}. Give e.g. {{'a': record}}."
        )
    if not groups:
        raise ArgumentError("`groups` must hold a group of records at least, got none. Give e.g. {'a': record}.")
    nested = [isinstance(entry, Mapping) for entry in groups.values()]
    if all(nested):
        return {str(name): entry for name, entry in groups.items()}
    if any(nested):
        raise ArgumentError("`groups` must be all groups or all panels, got both. Put every group into a panel.")
    return {"": groups}


def lines_of(runs: Runs, probe: str, part_name: str) -> list[Line]:
    """Return the lines of a group."""
    return [line(one, probe, part_name, str(number)) for number, one in enumerate(given.group(runs))]


def usual(panels: Mapping[str, Mapping[str, Runs]], probe: str, mapped: bool = False) -> str:
    """Return the part that is shown unasked."""
    known = MAPPED if mapped else COMPARABLE
    if probe not in known:
        raise unknown("probe", probe, known)
    every = [record for panel in panels.values() for runs in panel.values() for record in given.group(runs)]
    return next(iter(choices(every, probe, mapped)), "")


def draw_pools(
    panels: Mapping[str, Sequence[Pool]],
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
    """Return the figure of pools, a panel for each name; ``about`` is said first in the caption.

    Further parameters and errors as in :func:`compare`.
    """
    shown = [one for panel in panels.values() for one in panel]
    check_alike(line for one in shown for line in one.lines)
    single = all(len(one.lines) <= 1 for one in shown)
    if single and len(shown) <= BANDED * len(panels):
        panels = {name: [_with_own_band(one, backwards) for one in panel] for name, panel in panels.items()}
        shown = [one for panel in panels.values() for one in panel]
    page = Panels(
        probe, part, SPREAD_WORDS[spread], members, backwards, _finite(shown, probe, members), template, title
    )
    canvases = {name: page.overlay(panel) for name, panel in panels.items()}
    words = _about(shown, spread, single)
    return page.finish(canvases, shown, words if single else f"{about} {words}".strip())


def _with_own_band(one: Pool, backwards: bool) -> Pool:
    """Return the pool of a single run with the band of its sequences."""
    if one.series is None or one.lines[0].series is None or one.lines[0].series.size < 2:
        return one
    own = turned_back(one.lines[0]) if backwards else one.lines[0].series
    return replace(one, series=replace(one.series, low=own.low, high=own.high), own=True)


def _finite(pools: Iterable[Pool], probe: str, members: bool) -> np.ndarray:
    """Return every number that the common axis must span."""
    found = [np.zeros(0)]
    for one in pools:
        if one.series is not None:
            found.append(one.series.finite())
            if members:
                found += [line.series.median for line in one.lines if line.series is not None]
            if one.series.under.any():
                found.append(np.array([line.edge for line in one.lines]))
    values = np.concatenate(found)
    values = values[np.isfinite(values)]
    return np.append(values, 0.0) if probe in AT_ONE and len(values) else values


def _about(pools: Sequence[Pool], spread: str, single: bool) -> str:
    """Say what a line and a band are, with the number of runs."""
    sizes = sorted({len(one.lines) for one in pools if one.lines})
    if not sizes:
        return ""
    if single:
        own = " and a band from 5 to 95 % of them" if any(one.own for one in pools) else ""
        return f"One run each: the median over its sequences{own}."
    number = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    holds = "10 to 90 %" if spread == "10-90" else "the least to the largest"
    return (
        f"{number} runs in each group: their median and a band from {holds}; "
        "a run counts with the median of its sequences."
    )


@dataclass(frozen=True)
class Panels:
    """What the panels of one figure share."""

    probe: str
    part: str
    spread: str
    members: bool
    backwards: bool
    finite: np.ndarray
    template: str
    title: bool

    def axis(self, pools: Sequence[Pool]) -> str:
        """Return what the figure lies along."""
        found = next((one.lines[0].axis for one in pools if one.lines), "time")
        return "lag" if self.backwards and found in ("time", "step") else found

    def quantity(self) -> str:
        """Return what the y axis shows: the heading of the probe, and the part of it."""
        title = CATALOGUE[self.probe].title
        return f"{title}, {self.part}" if self.part else title

    def yaxis(self) -> dict[str, Any]:
        """Return the common y axis."""
        log = logarithmic(self.probe)
        axis = scales.log_axis(*scales.bounds(self.finite, 0.75)) if log else scales.linear_axis(self.finite)
        return axis | {"title": {"text": axis_title(self.probe, log)}}

    def overlay(self, pools: Sequence[Pool]) -> Canvas:
        """Return the canvas of one panel."""
        canvas = Canvas(self.probe, self.template, self.title)
        canvas.meta["title"] = self.quantity()
        canvas.layout["yaxis"] = axis = self.yaxis()
        drawn = [one for one in pools if one.series is not None]
        for one in drawn:
            if len(one.lines) > 1 or one.own:
                opacity = 0.22 if len(drawn) < 4 else max(0.03, min(0.14, 1.1 / len(drawn)))
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

    def _draw_line(self, canvas: Canvas, one: Pool) -> None:
        """Draw the median of a pool."""
        series = _escaped(one)
        text = scales.power if logarithmic(self.probe) else scales.value

        def tell(number: int) -> str:
            lines = text(float(series.median[number]), 4)
            if len(one.lines) < 2 and not one.own:
                return lines
            low, high = text(float(series.low[number]), 3), text(float(series.high[number]), 3)
            runs = "" if one.own else f" \N{MIDDLE DOT} {scales.count(int(one.present[number]), 'run')}"
            return f"{lines} ({low} \N{EN DASH} {high}){runs}"

        dots = any(line.coarse is not None and line.coarse[0] <= 40 for line in one.lines)
        canvas.line(series, series.name, tell, one.look.colour, dots=dots, dash=one.look.dash)

    def _draw_members(self, canvas: Canvas, pools: Sequence[Pool]) -> None:
        """Draw each run of the pools as a thin line, those of a pool in one trace."""
        count = sum(len(one.lines) for one in pools if len(one.lines) > 1)
        limit = max(24, MEMBER_POINTS // max(1, count))
        cut = 0
        for one in pools:
            if len(one.lines) < 2:
                continue
            xs: list[Any] = []
            ys: list[Any] = []
            runs: list[str] = []
            for member in one.lines:
                series = turned_back(member) if self.backwards else member.series
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

    def _mark_edge(self, canvas: Canvas, pools: Sequence[Pool]) -> None:
        """Draw where the float range ends, when something lies below it."""
        under = [one for one in pools if one.series is not None and one.series.under.any()]
        for edge in sorted({member.edge for one in under for member in one.lines}):
            canvas.rule(edge, "dot")
            canvas.key(*BELOW, dotted=True)

    def finish(
        self,
        canvases: Mapping[str, Canvas],
        pools: Sequence[Pool],
        about: str,
        reaches: Sequence[Reach] | None = None,
    ) -> go.Figure:
        """Return the figure of panels, with what they have in common."""
        axis = self.axis(pools)
        low, high, beyond = common_places(reaches or self._reaches(pools), axis)
        timeline = _places(low, high, axis)
        names = len(dict.fromkeys(one.name for one in pools))
        first = next(iter(canvases.values()))
        first.notes += [*self._notes(pools), *filter(None, (beyond,))]
        for canvas in canvases.values():
            for trace in canvas.traces:  # a table of the figure is no page: there names stand as they are
                if "series" in trace.get("meta", {}):
                    trace["meta"] |= {"series": html.unescape(trace["meta"]["series"])}
            said = (about, self._aligned(pools), CATALOGUE[self.probe].caption)
            canvas.meta["caption"] = " ".join(filter(None, said))
        more: dict[str, Any] = {"showlegend": True, "hoversubplots": "axis"}
        if names > HOVERED:
            more["hovermode"] = "closest"
        if names > LISTED:
            more["legend"] = {"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top", "font": {"size": 11}}
        elif len(canvases) > 1:
            more["legend"] = {"y": 1 + 0.1 / rows_of(len(canvases))}
        return tiled(canvases, timeline, more)

    def _reaches(self, pools: Sequence[Pool]) -> list[Reach]:
        """Return the places of each run, and whether it diverged."""
        placed = [places(line, self.backwards) for one in pools for line in one.lines]
        broken = [not BROKEN.isdisjoint(line.series.counts) for one in pools for line in one.lines if line.series]
        return list(zip(placed, broken, strict=True))

    def _notes(self, pools: Sequence[Pool]) -> list[str]:
        """Say what is not drawn, and where places were left out."""
        notes = []
        missing: Counter[str] = Counter()
        for one in pools:
            missing.update(one.absent)
        total = sum(len(one.lines) for one in pools) + missing.total()
        for reason, number in missing.items():
            notes.append(f"Left out: {number:,} of {scales.count(total, 'run')} ({reason}).")
        grids = {line.coarse for one in pools for line in one.lines if line.coarse}
        for here, every in sorted(grids):
            notes.append(f"Measured at {here:,} of {every:,} places.")
        return notes

    def _aligned(self, pools: Sequence[Pool]) -> str:
        """Say where runs that do not end at the same place are aligned."""
        ends = sorted({line.last for one in pools for line in one.lines if line.axis in ("time", "step")})
        if len(ends) < 2:
            return ""
        where = "back from the end" if self.backwards else "from the start"
        return f"Counted {where}: the runs end at {ends[0]:,.0f} to {ends[-1]:,.0f}."


def _escaped(one: Pool) -> Series:
    """Return the series of a pool, its name as plain text."""
    assert one.series is not None
    return replace(one.series, name=plain(one.name))


def _over_one_axis(pools: Sequence[Pool]) -> list[Series]:
    """Return the series with their counts at the places of all of them, as lanes want them."""
    series = [_escaped(one) for one in pools]
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


def _places(low: float, high: float, axis: str) -> dict[str, Any]:
    """Return the x axis."""
    pad = 0.5 if low == high else 0.012 * (high - low)
    title = "rank [1]" if axis == "rank" else place(axis)
    return {
        "range": [low - pad, high + pad],
        "title": {"text": title},
        "unifiedhovertitle": {"text": f"{axis} %{{x}}"},
        "nticks": 6,
    }
