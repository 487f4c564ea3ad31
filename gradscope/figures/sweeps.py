"""Figures over many runs: a metric over two parameters, and how many runs came to which verdict."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import unknown
from gradscope.figures import given, palette, scales, theory
from gradscope.figures.frame import Canvas, colorbar
from gradscope.figures.settings import is_number, label, ordered, same, standing
from gradscope.figures.spreads import spread
from gradscope.probes.catalogue import unit, words
from gradscope.record import Status, to_json

__all__ = [
    "STATES",
    "VERDICTS",
    "PhaseMap",
    "VerdictCounts",
    "condition",
    "count_verdicts",
    "draw_counts",
    "draw_map",
    "group_runs",
    "map_runs",
    "phase_map",
    "verdict_counts",
]

Rows = Sequence[Mapping[str, Any]]

STATES = ("failed", "interrupted", "running")  # of a run that has no verdict
VERDICTS = ("vanishing", "stable", "exploding", "undetermined", "diverged", *STATES)
GROWING = ("growth", "lyapunov_1")  # positive means that gradients grow, unlike a decay rate
IN_WORDS = 60  # cells up to which each one is written out
LETTER, LEAST_LETTER = 12.0, 9.0  # pixels of the letters in a cell
WIDTH, HEIGHT = 380, 180  # pixels of all cells of a row, and of a column, in a narrow card
ASPECT, PADDING = 0.62, 4  # width of a letter to its height; pixels of a cell that stay free
MARKUP = re.compile("<[^>]*>")
CRITICAL = "critical gain in theory"


def group_runs(rows: Rows, by: Sequence[str]) -> list[tuple[tuple, list[Mapping[str, Any]]]]:
    """Return the runs that share their values of some parameters, by these values, in order.

    Parameters
    ----------
    rows : sequence of dict
        As :func:`phase_map` takes them.
    by : sequence of str
        Parameters; a run without a value of one is in a group of its own kind, under None.

    Returns
    -------
    list of (tuple, list of dict)
        Only combinations that occur: none before numbers before words, the first parameter before the next.
    """
    groups: dict[tuple, tuple[tuple, list[Mapping[str, Any]]]] = {}
    for row in rows:
        values = tuple(row.get(name) for name in by)
        groups.setdefault(tuple(map(same, values)), (values, []))[1].append(row)
    return sorted(groups.values(), key=lambda group: [standing(value) for value in group[0]])


def condition(name: str, value: Any) -> str:
    """Return the condition that keeps the runs with this value, in the words of :meth:`gradscope.store.Store.table`.

    Text that would be read as something else, such as ``"none"``, ``"1"`` or what holds a comma, stands in quotes.
    """
    if isinstance(value, (list, tuple, dict)):
        return f"{name}={to_json(value)}"
    if isinstance(value, str) and _reads_as_another(value):
        mark = "'" if '"' in value else '"'
        return f"{name}={mark}{value}{mark}"
    return f"{name}={'none' if value is None else value}"


def _reads_as_another(text: str) -> bool:
    """Return whether a text would be taken for a value, a list of several, or a quotation."""
    try:
        float(text)
    except ValueError:
        return text.casefold() in ("none", "true", "false") or "," in text or text.strip() != text or text[:1] in "\"'"
    return True


@dataclass(frozen=True)
class PhaseMap:
    """What a phase map shows.

    Attributes
    ----------
    x, y, value : str
        Names of the two parameters and of the metric.
    columns, rows : list
        The values of the parameters, in order.
    median, low, high : ndarray, (rows, columns)
        Median, least and largest of the metric over the runs of a cell; NaN where no run has a number. inf counts as
        a number: a decay rate is inf where every gradient is exactly zero.
    runs : ndarray of int, (rows, columns)
        Runs with a number.
    bad : ndarray of int, (rows, columns)
        Runs whose metric is NaN.
    critical : ndarray
        Where one axis is the gain: the critical gain of theory for each value of the other, NaN where there is none.
    """

    x: str
    y: str
    value: str
    columns: list[Any]
    rows: list[Any]
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: np.ndarray
    bad: np.ndarray
    critical: np.ndarray


@dataclass(frozen=True)
class VerdictCounts:
    """How many runs came to each verdict, for each value of a parameter: counts (groups, verdicts).

    ``conditions`` say which runs a group is made of.
    """

    by: str | None
    groups: list[str]
    verdicts: list[str]
    counts: np.ndarray
    conditions: list[list[str]]


def phase_map(
    rows: Rows, x: str, y: str, value: str = "decay_rate", *, template: str = "light", title: bool = False
) -> go.Figure:
    """Draw a metric over two parameters: the median over all other parameters and seeds in each cell.

    A decay rate is blue where gradients shrink and orange where they grow, with the middle at 0. A cell without a run
    stays open; one whose runs are all NaN, or whose median is not finite, has a colour and a mark of its own.

    Parameters
    ----------
    rows : sequence of dict
        As :meth:`gradscope.store.Store.table` returns them: one flat dict for each run. Of a table with several
        iterations, choose one first.
    x, y : str
        Two parameters, numbers or words. Numbers stand in order, at equal distances.
    value : str
        The metric, e.g. ``"decay_rate"``, ``"horizon"``, ``"accuracy_after"``.
    template : str
        ``"light"`` or ``"dark"``.
    title : bool
        Whether to write the title into the figure.

    Returns
    -------
    plotly.graph_objects.Figure
        Cells are at equal distances whatever the values. Hover tells the number of runs, the median and its range.
        Where one axis is the gain and the runs of a column or line have a mean-field theory (cell "RNN" with an odd,
        bounded activation, before training), a line is their critical gain without input.
        ``layout.meta["conditions"]`` says by which conditions of :meth:`gradscope.store.Store.table` the runs of a
        cell are found.

    Raises
    ------
    ArgumentError
        When no row has a parameter or metric of that name, for another template, and for what is no table.
    """
    rows = given.rows(rows)
    if not rows:
        return _nothing(template, title)
    return draw_map(map_runs(rows, x, y, value), template, title)


def _nothing(template: str, title: bool) -> go.Figure:
    """Return the figure that says that there is no run."""
    canvas = Canvas(None, template, title)
    canvas.describe("No runs", "", "", "")
    canvas.say("No run to show.")
    return canvas.figure(xaxis={"visible": False}, yaxis={"visible": False})


def map_runs(rows: Rows, x: str, y: str, value: str = "decay_rate") -> PhaseMap:
    """Return the data of a phase map."""
    known = dict.fromkeys(name for row in rows for name in row)
    for argument, name in (("x", x), ("y", y), ("value", value)):
        if name not in known:
            raise unknown(argument, name, known)
    columns, lines = ordered(row.get(x) for row in rows), ordered(row.get(y) for row in rows)
    place_x = {same(entry): number for number, entry in enumerate(columns)}
    place_y = {same(entry): number for number, entry in enumerate(lines)}
    shape = (len(lines), len(columns))
    low, median, high = (np.full(shape, np.nan) for _ in range(3))
    runs, bad = np.zeros(shape, int), np.zeros(shape, int)
    for (line, column), members in group_runs(rows, (y, x)):
        cell, found = (place_y[same(line)], place_x[same(column)]), spread(row.get(value) for row in members)
        low[cell], median[cell], high[cell] = found.low, found.median, found.high
        runs[cell], bad[cell] = found.runs, found.bad
    return PhaseMap(x, y, value, columns, lines, median, low, high, runs, bad, _critical(rows, x, y, columns, lines))


def _critical(rows: Rows, x: str, y: str, columns: list[Any], lines: list[Any]) -> np.ndarray:
    """Return the critical gain for each value of the axis that is not the gain, none where both or neither are."""
    if (x == theory.AXIS) == (y == theory.AXIS):
        return np.zeros(0)
    return theory.critical_gains(rows, y, lines) if x == theory.AXIS else theory.critical_gains(rows, x, columns)


def draw_map(data: PhaseMap, template: str = "light", title: bool = False) -> go.Figure:
    """Return the phase map."""
    canvas = Canvas(None, template, title)
    name = words(data.value)
    caption = (
        f"The median of {name} over all runs of a cell, whatever their other parameters and seeds. "
        "Where the colour turns, the network changes from one regime to another."
    )
    across = data.x == theory.AXIS
    line = theory.places(data.critical, data.columns if across else data.rows)
    if np.isfinite(line).any():
        caption += (
            " The green line is the critical gain of a wide random network without input, by mean-field theory: "
            "below it gradients vanish whatever the input, and input moves it up."
        )
    canvas.describe(
        f"{name[:1].upper()}{name[1:]} by {words(data.x)} and {words(data.y)}", caption, unit(data.value), ""
    )
    canvas.meta["conditions"] = {
        "x": [[condition(data.x, value)] for value in data.columns],
        "y": [[condition(data.y, value)] for value in data.rows],
    }
    canvas.meta["labels"] = {"x": list(map(_exact, data.columns)), "y": list(map(_exact, data.rows))}
    x, y = np.arange(len(data.columns)), np.arange(len(data.rows))
    finite = np.isfinite(data.median)
    log = _spans_decades(data.median[finite])
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.where(finite, np.log10(data.median) if log else data.median, np.nan)
    size = _letters(data, finite)
    canvas.add(
        type="heatmap",
        x=x,
        y=y,
        z=shown,
        **_colours(shown[finite], data.value, log),
        colorbar=colorbar(name + _in_brackets(unit(data.value), log), **_ticks(shown[finite], log)),
        customdata=_tell(data),
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        text=_texts(data, finite) if size else None,
        texttemplate="%{text}" if size else None,
        textfont={"size": size or LETTER},
        xgap=2,
        ygap=2,
        name=name,
    )
    _marks(canvas, data, size)
    _draw_critical(canvas, data, line, size)
    return canvas.figure(
        xaxis=_categories(data.x, data.columns),
        yaxis=_categories(data.y, data.rows),
        hovermode="closest",
    )


def _exact(entry: Any) -> Any:
    """Return a value of a parameter for the table of the figure: a number with every digit, anything else in words."""
    return entry if is_number(entry) and math.isfinite(entry) else label(entry)


def _in_brackets(unit: str, log: bool) -> str:
    """Return a unit behind a name, and whether the colours are log10."""
    told = [*([unit] if unit else []), *(["log scale"] if log else [])]
    return f" [{', '.join(told)}]" if told else ""


def _spans_decades(finite: np.ndarray) -> bool:
    """Return whether values are positive and so far apart that only a log scale shows them."""
    return bool(finite.size and finite.min() > 0 and finite.max() > 100 * finite.min())


def _colours(finite: np.ndarray, name: str, log: bool) -> dict[str, Any]:
    """Return the colour scale: the theme's diverging one around 0 where the sign means something."""
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    sided = name == "decay_rate" or name in GROWING
    if not log and (sided or low < 0 < high):
        largest = max(abs(low), abs(high)) or 1.0
        return {"zmin": -largest, "zmid": 0, "zmax": largest, "autocolorscale": True, "reversescale": name in GROWING}
    if low == high:
        low, high = low - 0.5, high + 0.5
    return {"zmin": low, "zmax": high, "colorscale": palette.scale(palette.SEQUENTIAL)}


def _ticks(finite: np.ndarray, log: bool) -> dict[str, Any]:
    """Return the ticks of the colour bar, powers of ten where the colours are log10."""
    if not log:
        return {"nticks": 6}
    axis = scales.log_axis(float(finite.min()), float(finite.max()))
    return {key: entry for key, entry in axis.items() if key != "range"}


def _tell(data: PhaseMap) -> list[list[str]]:
    """Return what each cell says under the pointer."""
    return [
        [
            f"{words(data.y)} {label(line)}, {words(data.x)} {label(column)}<br>{_numbers(data, (j, i))}"
            for i, column in enumerate(data.columns)
        ]
        for j, line in enumerate(data.rows)
    ]


def _numbers(data: PhaseMap, cell: tuple[int, int]) -> str:
    """Return the numbers of a cell in words."""
    if not data.runs[cell] + data.bad[cell]:
        return "no run"
    lines = []
    if data.runs[cell]:
        lines.append(f"median {scales.value(float(data.median[cell]))} {unit(data.value)}".rstrip())
        low, high = scales.value(float(data.low[cell]), 4), scales.value(float(data.high[cell]), 4)
        spread = f", from {low} to {high}" if data.runs[cell] > 1 else ""
        lines.append(f"{scales.count(int(data.runs[cell]), 'run')}{spread}")
    if data.bad[cell]:
        lines.append(f"{scales.count(int(data.bad[cell]), 'run')} with NaN")
    return "<br>".join(lines)


def _texts(data: PhaseMap, finite: np.ndarray) -> list[list[str]]:
    """Return the number that stands in each cell."""
    return [
        [scales.value(float(data.median[j, i]), 2) if finite[j, i] else "" for i in range(len(data.columns))]
        for j in range(len(data.rows))
    ]


def _letters(data: PhaseMap, finite: np.ndarray) -> float:
    """Return the size of the letters in the cells of a narrow card, 0 where the numbers would touch."""
    texts = [MARKUP.sub("", text) for row in _texts(data, finite) for text in row]
    longest = max(map(len, texts), default=0)
    if data.median.size > IN_WORDS or not longest:
        return LETTER if data.median.size <= IN_WORDS else 0
    room = (WIDTH / len(data.columns) - PADDING) / (ASPECT * longest)
    return min(LETTER, math.floor(2 * room) / 2) if room >= LEAST_LETTER else 0


def _marks(canvas: Canvas, data: PhaseMap, size: float) -> None:
    """Colour the cells that hold no finite number, and name them in the legend."""
    none, written = (data.runs + data.bad) == 0, size > 0
    for word, sign, mask, colour in (
        ("inf", "∞", np.isposinf(data.median), palette.BLUE if data.value == "decay_rate" else palette.ORANGE),
        (f"{scales.MINUS}inf", f"{scales.MINUS}∞", np.isneginf(data.median), palette.OLIVE),
        ("NaN", "NaN", (data.runs == 0) & (data.bad > 0), palette.STATUSES[Status.NAN][1]),
        ("no run", "\N{MIDDLE DOT}", none, palette.NEUTRAL),
    ):
        if not mask.any():
            continue
        tone = palette.faded(colour, 0.14) if word == "no run" else colour
        canvas.add(
            type="heatmap",
            x=np.arange(len(data.columns)),
            y=np.arange(len(data.rows)),
            z=np.where(mask, 1, np.nan).astype(np.float32),
            colorscale=[[0, tone], [1, tone]],
            showscale=False,
            hoverongaps=False,
            customdata=_tell(data),
            hovertemplate="%{customdata}<extra></extra>",
            text=np.where(mask, sign, "").tolist() if written else None,
            texttemplate="%{text}" if written else None,
            textfont={"size": size or LETTER, "color": palette.NEUTRAL if word == "no run" else "#ffffff"},
            xgap=2,
            ygap=2,
            name=word,
            meta={"role": "status", "status": word},
        )
        canvas.key(word, tone)


def _draw_critical(canvas: Canvas, data: PhaseMap, line: np.ndarray, size: float) -> None:
    """Draw the critical gain over each value of the other axis, with a break where a number stands."""
    drawn = np.flatnonzero(np.isfinite(line))
    if not len(drawn):
        return
    across = data.x == theory.AXIS
    other, entries = (data.y, data.rows) if across else (data.x, data.columns)
    free = _clearing(data, size, across)
    at, over = [], []
    for number in drawn.tolist():
        half = free if abs(line[number] - np.round(line[number])) < 0.5 - free * across else 0.0
        over += [number - 0.5, number - half, None, number + half, number + 0.5, None]
        at += [line[number], line[number], None] * 2
    places = {"x": at, "y": over} if across else {"x": over, "y": at}
    told = [({words(other): _exact(entries[number])}, float(data.critical[number])) for number in drawn.tolist()]
    levels = {"role": "level", "quantity": CRITICAL, "levels": told}
    for colour, width, meta in (("rgba(255, 255, 255, 0.8)", 6, {"role": "aid"}), (palette.GREEN, 3, levels)):
        look = {"mode": "lines", "line": {"color": colour, "width": width}, "hoverinfo": "skip", "showlegend": False}
        canvas.add(type="scatter", **places, **look, name=CRITICAL, meta=meta)
    canvas.add(
        type="scatter",
        mode="lines",
        x=[None],
        y=[None],
        line={"color": palette.GREEN, "width": 3},
        name=CRITICAL,
        hoverinfo="skip",
        legendrank=1100,
    )


def _clearing(data: PhaseMap, size: float, across: bool) -> float:
    """Return how much of a cell, from its middle, the numbers of a narrow card take across or along the line."""
    longest = max(len(MARKUP.sub("", text)) for row in _texts(data, np.isfinite(data.median)) for text in row)
    taken = size * len(data.rows) / HEIGHT if across else ASPECT * size * longest * len(data.columns) / WIDTH
    return min(0.75 * taken, 0.4)


def _categories(name: str, entries: list[Any]) -> dict[str, Any]:
    """Return the axis of a parameter: its values at equal distances."""
    every = -(-len(entries) // 24)
    places = list(range(0, len(entries), every))
    return {
        "title": {"text": words(name) + (" [step]" if name == "length" else "")},
        "tickmode": "array",
        "tickvals": places,
        "ticktext": [label(entries[number]) for number in places],
        "range": [-0.5, len(entries) - 0.5],
        "showgrid": False,
        "ticks": "",
        "ticklabelstandoff": 4,
    }


def verdict_counts(rows: Rows, by: str | None = "cell", *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw how many runs came to each verdict, as stacked bars.

    Parameters
    ----------
    rows : sequence of dict
        As :meth:`gradscope.store.Store.table` returns them. A run without a verdict counts under its status (failed,
        interrupted, running).
    by : str, optional
        A parameter: one bar for each of its values. None, or a parameter that no row has, gives a single bar.
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
        For another template, and for what is no table.
    """
    rows = given.rows(rows)
    if not rows:
        return _nothing(template, title)
    return draw_counts(count_verdicts(rows, by), template, title)


def count_verdicts(rows: Rows, by: str | None = "cell") -> VerdictCounts:
    """Return the data of the bars; a run that appears in several iterations counts in each."""
    if by is not None and not any(by in row for row in rows):
        by = None
    groups = ordered(row.get(by) for row in rows) if by else [None]
    names = [str(row.get("verdict") or row.get("status") or "undetermined") for row in rows]
    verdicts = [name for name in VERDICTS if name in names] + sorted(set(names) - set(VERDICTS))
    places = {same(group): number for number, group in enumerate(groups)}
    counts = np.zeros((len(groups), len(verdicts)), int)
    for row, name in zip(rows, names, strict=True):
        counts[places[same(row.get(by) if by else None)], verdicts.index(name)] += 1
    conditions = [[condition(by, group)] if by else [] for group in groups]
    return VerdictCounts(by, [label(group) if by else "" for group in groups], verdicts, counts, conditions)


def draw_counts(data: VerdictCounts, template: str = "light", title: bool = False) -> go.Figure:
    """Return the bars of verdicts."""
    canvas = Canvas(None, template, title)
    caption = "How many runs came to each verdict on the growth of the gradient over the whole sequence."
    canvas.describe("Verdicts", caption, "run", "")
    canvas.meta["conditions"] = {
        "y": data.conditions,
        "trace": [
            ["verdict=none", f"status={verdict}"] if verdict in STATES else [f"verdict={verdict}"]
            for verdict in data.verdicts
        ],
    }
    for number, verdict in enumerate(data.verdicts):
        counts = data.counts[:, number]
        hatch = {"shape": "/", "size": 5, "solidity": 0.25, "fillmode": "overlay", "fgcolor": "#ffffff"}
        canvas.add(
            type="bar",
            orientation="h",
            x=counts,
            y=list(range(len(data.groups))),
            name=f"{verdict} {counts.sum():,}",
            marker={"color": palette.colour(verdict), "pattern": hatch if verdict in STATES else {}},
            text=[f"{count:,}" if count else "" for count in counts],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": "#ffffff", "size": 12},
            customdata=data.groups,
            hovertemplate=f"%{{customdata}} {verdict}: %{{x:,}}<extra></extra>",
        )
    few = data.counts.sum(axis=1).max(initial=0) <= 8  # or ticks stand between whole numbers
    return canvas.figure(
        barmode="stack",
        bargap=0.35 if len(data.groups) > 1 else 0.6,
        showlegend=True,
        hovermode="closest",
        legend={"traceorder": "normal"},
        uniformtext={"minsize": 11, "mode": "hide"},
        xaxis={"title": {"text": "number of runs [1]"}, "showgrid": True, "rangemode": "tozero", "tickformat": ",d"}
        | ({"dtick": 1} if few else {}),
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(data.groups))),
            "ticktext": data.groups,
            "title": {"text": words(data.by) if data.by else ""},
            "autorange": "reversed",
            "showgrid": False,
            "ticks": "",
            "ticklabelstandoff": 4,
        },
    )
