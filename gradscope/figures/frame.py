"""What every figure shares: frame, bands, lines, lanes beneath, footnotes, and the sentence in place of a figure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.figures import palette, scales
from gradscope.figures.series import LIMIT, Lane, Series, runs, thin
from gradscope.figures.templates import plain
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Status

__all__ = ["Canvas", "Teller", "axis_title", "bad_step", "blank", "colorbar", "heading", "outline", "place"]

Teller = Callable[[int], str]  # writes what stands under the pointer at a place

DOTTED = "1px,3px"
BELOW = ("below the float range", palette.NEUTRAL)
SPREAD = "5\N{EN DASH}95 %"
LANE = 0.062  # height of a lane, of the plot's
GAP = 0.045
GAPPED = np.full(1, np.nan)  # parts two outlines of one trace
BAND = 480  # places of a band; its outline passes each twice
FOOT = 48  # pixels below the plot for ticks and the axis title
SIDE = 66  # and left of it: Plotly draws parts of a figure twice where its margins turn out too small
STANDOFF = 8  # between the labels of an axis and its title
TAG = re.compile("<[^>]*>")
WORD_PAD, WORDS, CAPITALS = 6, 5, 1  # pixels around a word beside a lane, for each letter, and more for a capital
NOTE = 17  # pixels for each line of a footnote
KEYS = 19  # pixels for each row of the legend
HEIGHT, WIDTH = 220, 370  # pixels of the plot in a card
WORD, LETTER = 17, 6.2  # height of a word beside a line, and width of its letters
SAMPLES = 40  # places at which a curve is looked at
FOOTNOTE, SENTENCE = 64, 44  # letters that fit a line of a card


def heading(name: str) -> str:
    """Return the quantity of a probe, without the part that tells it from its siblings."""
    return CATALOGUE[name].title.split(",")[0].split(":")[0]


def axis_title(name: str, log: bool = False, quantity: str = "") -> str:
    """Return the title of the axis that shows a probe: its quantity, its unit, and whether the axis is logarithmic.

    What is stored as log10 stands on ticks that read as plain numbers, so its unit there is 1.
    """
    unit = CATALOGUE[name].unit
    plain = "1" if unit == "log10" else unit
    return f"{quantity or heading(name)} [{plain}{', log scale' if log or unit == 'log10' else ''}]"


PLACES = {"step": ("step", "step t"), "time": ("time", "time t [step]"), "lag": ("lag", "lag l [step]")}


def place(axis: str) -> str:
    """Return the title of an axis of time."""
    return PLACES[axis][1]


def bad_step(first: dict[str, Any]) -> str:
    """Return the sentence that names the first bad step."""
    words = f"First bad step: t = {first.get('t')} in sequence {first.get('sequence')}"
    details = [str(first[key]) for key in ("array",) if first.get(key)]
    if first.get("pass"):
        details.append(f"{first['pass']} pass")
    return f"{words} ({', '.join(details)})." if details else f"{words}."


def colorbar(title: str, **options: Any) -> dict[str, Any]:
    """Return a thin colour bar with its title along it."""
    bar = {"thickness": 10, "outlinewidth": 0, "ticks": "outside", "ticklen": 3, "tickfont": {"size": 11}}
    bar |= {"x": 1.01, "xpad": 6, "ypad": 0, "len": 1, "title": {"text": title, "side": "right"}}
    return bar | options


class Canvas:
    """Collects the traces and the layout of one figure, then makes it."""

    def __init__(self, name: str | None, template: str, title: bool) -> None:
        self.template = plain(template)
        self.traces: list[dict[str, Any]] = []
        self.layout: dict[str, Any] = {"shapes": [], "annotations": [], "uirevision": name or "gradscope"}
        self.notes: list[str] = []
        self.decimated: dict[str, dict[str, Any]] = {}
        self.meta: dict[str, Any] = {}
        if name is not None:
            probe = CATALOGUE[name]
            self.describe(probe.title, probe.caption, probe.unit, probe.source)
        self.titled = title
        self.floor = 0.0  # where the plot begins above its lanes
        self.named: set[str] = set()

    def describe(self, title: str, caption: str, unit: str, source: str) -> None:
        """Set what the figure says of itself."""
        self.meta |= {"title": title, "caption": caption, "unit": unit, "source": source}

    def add(self, **trace: Any) -> None:
        """Add a trace."""
        self.traces.append(trace)

    def key(self, name: str, colour: str, dotted: bool = False) -> None:
        """Add an entry to the legend that stands for no trace, once: a square, or a dotted line."""
        if name in self.named:
            return
        self.named.add(name)
        look: dict[str, Any] = {"mode": "markers", "marker": {"symbol": "square", "size": 10, "color": colour}}
        if dotted:
            look = {"mode": "lines", "line": {"color": colour, "width": 2, "dash": DOTTED}}
        self.add(type="scatter", x=[None], y=[None], name=name, hoverinfo="skip", legendrank=1100, **look)

    def thinned(self, name: str, y: np.ndarray, limit: int = LIMIT) -> np.ndarray:
        """Return the places to draw, and write down what was left out."""
        places = thin(y, limit)
        if len(places) < len(y):
            self.leave_out(name, len(y), len(places), "least and largest of each bucket")
            self.notes.append(f"Of {len(y):,} points a curve, the least and the largest of each bucket are drawn.")
        return places

    def leave_out(self, name: str, before: int, after: int, method: str) -> None:
        """Write down that a trace was decimated, and how."""
        self.decimated[name] = {"from": before, "to": after, "method": method}

    def band(self, series: Series, floor: float, colour: str, opacity: float, spread: str = SPREAD) -> None:
        """Draw the band, ``spread`` in words, as one closed outline for each stretch that has values."""
        low = np.where(np.isneginf(series.low), floor, series.low)
        xs, lows, highs = _envelope(series.x, low, series.high, BAND)
        half = 0.3 if len(series.x) == 1 else 0.004 * float(np.ptp(series.x))
        x, y = outline(xs, lows, highs, half)
        if len(x):
            if len(xs) < len(series.x):
                self.leave_out(f"{series.name}, band", len(series.x), len(xs), "least and largest of each bucket")
            fill = palette.faded(colour, opacity)
            parts = ["5 %", "95 %"] if spread == SPREAD else [f"{spread}: {end}" for end in ("low", "high")]
            meta = {"role": "band", "parts": parts, "series": series.name, "floor": floor, "half": half}
            name = f"{series.name}, {spread}"
            self.area(x, y, name, fill, {"width": 0}, legendgroup=series.name, meta=meta)

    def area(self, x: np.ndarray, y: np.ndarray, name: str, fill: str, line: dict[str, Any], **style: Any) -> None:
        """Fill an outline; a table reads it as the two ends of a band, unless ``meta`` says something else."""
        style.setdefault("meta", {"role": "band", "parts": ["low", "high"], "series": name})
        quiet = {"hoverinfo": "skip", "showlegend": False}
        self.add(
            type="scatter",
            x=x,
            y=y,
            mode="lines",
            fill="toself",
            fillcolor=fill,
            line=line,
            name=name,
            **quiet,
            **style,
        )

    def line(
        self,
        series: Series,
        label: str,
        text: Teller,
        colour: str,
        opacity: float = 1.0,
        *,
        dots: bool = False,
        dash: str = "",
    ) -> None:
        """Draw the median, what is below the float range dotted; a place without neighbours, or each, gets a dot.

        Without a ``dash`` of its own it has that of its meaning.
        """
        finite = np.isfinite(series.median)
        below = series.under & finite
        above = finite & ~below
        stroke = {"color": colour, "width": 2}
        if above.any() or not below.any():
            whole: dict[str, Any] = {
                "legendgroup": series.name,
                "opacity": opacity,
                "line": stroke | {"dash": dash or palette.dash(series.name)},
            }
            self._stroke(series, above, label, text, dots, **whole)
        if below.any():  # one place further on both sides, so that the two parts meet
            part = f"{label}, below the float range"
            dotted: dict[str, Any] = {
                "opacity": opacity,
                "line": stroke | {"dash": DOTTED},
                "showlegend": not above.any(),
            }
            self._stroke(
                series, _grown(below) & finite, part, text, dots, below=True, legendgroup=series.name, **dotted
            )

    def _stroke(
        self,
        series: Series,
        mask: np.ndarray,
        label: str,
        text: Teller,
        dots: bool,
        below: bool = False,
        **style: Any,
    ) -> None:
        """Draw the median where the mask says so."""
        y = np.where(mask, series.median, np.nan)
        places = self.thinned(label, y)
        part, codes = "median" if series.size > 1 else "value", series.codes()[places]
        meta = {"role": "median", "part": part, "series": series.name} | ({"below": True} if below else {})
        style |= {"customdata": codes} if codes.any() else {}
        alone = _lonely(y[places])
        self.add(
            type="scatter",
            x=series.x[places],
            y=y[places],
            mode="lines+markers" if dots or alone.any() else "lines",
            name=label,
            marker=self._dots(style["line"]["color"], np.where(alone, 7, 5 * dots)),
            text=[text(place) for place in places],
            hovertemplate="%{text}" + f"<extra>{label}</extra>",
            meta=meta,
            **style,
        )

    @staticmethod
    def _dots(colour: str, sizes: np.ndarray) -> dict[str, Any]:
        """Return the markers of a line; the browser makes, and drops, one for each place without a value otherwise."""
        return {"color": colour, "size": sizes, "line": {"width": 0}, "maxdisplayed": max(len(sizes), 1)}

    def lanes(self, rows: Sequence[Lane], unit: str) -> None:
        """Draw the lanes beneath the plot and make room for them; ``unit`` is what a lane counts."""
        if not rows:
            return
        self.floor = LANE * len(rows) + GAP
        for number, row in enumerate(rows):
            word, colour = palette.STATUSES[row.status]
            word = row.word or word
            name = f"{row.label} {word}".strip()
            if row.decimated:
                self.leave_out(name, *row.decimated, "largest count of each bucket")
            self.add(
                type="heatmap",
                x=row.edges,
                y=[number - 0.4, number + 0.4],
                z=np.where(row.counts > 0, row.counts, np.nan).astype(np.float32)[None],
                zmin=0,
                zmax=row.size,
                colorscale=[[0, palette.faded(colour, 0.25)], [1, palette.faded(colour, 1)]],
                showscale=False,
                hoverongaps=False,
                yaxis="y2",
                name=name,
                hoverinfo="skip",
                customdata=row.x[None],
                meta={"role": "count", "series": row.label, "status": word, "unit": unit, "size": row.size},
            )
            self._lane_reading(row, number, unit, name, colour)
            self.key(word, colour)
        self.layout["yaxis2"] = {
            "domain": [0, LANE * len(rows)],
            "range": [len(rows) - 0.5, -0.5],
            "tickvals": list(range(len(rows))),
            "ticktext": [f"{row.label} {row.word or _short(row.status)}".strip() for row in rows],
            "tickfont": {"size": 10},
            "ticklen": 0,
            "showgrid": False,
            "fixedrange": True,
            "anchor": "x",
            "type": "linear",
        }

    def _lane_reading(self, row: Lane, number: int, unit: str, name: str, colour: str) -> None:
        """Add the invisible line that says under the pointer what a lane holds; a heat map says nothing from afar."""
        held = row.counts > 0
        total = scales.count(row.size, unit)
        self.add(
            type="scatter",
            x=row.x[held],
            y=np.full(int(held.sum()), number),
            yaxis="y2",
            mode="lines",
            line={"color": colour, "width": 0},
            text=[f"{number} of {total}" for number in row.counts[held].tolist()],
            hovertemplate="%{text}" + f"<extra>{name}</extra>",
            name=name,
            showlegend=False,
            meta={"role": "aid"},
        )

    def cells(self, x: np.ndarray, y: Sequence[Any] | np.ndarray, marks: np.ndarray, hover: str) -> None:
        """Colour the cells of a heat map that hold no value, each status in its own colour.

        A value below the float range is a value: a grey veil lies on it. What does not apply stays blank.
        """
        for status in sorted(set(np.unique(marks).tolist()) - {Status.OK, Status.NOT_APPLICABLE}):
            veil = status == Status.UNDERFLOW
            word, colour = BELOW if veil else palette.STATUSES[Status(status)]
            self.stamp(
                x, y, marks == status, word, palette.faded(colour, 0.45) if veil else colour, "" if veil else hover
            )

    def stamp(
        self, x: np.ndarray, y: Sequence[Any] | np.ndarray, mask: np.ndarray, word: str, tone: str, hover: str
    ) -> None:
        """Colour the cells of a heat map where the mask says so; ``word`` says what they are."""
        reading = {"hovertemplate": f"{hover}<br>{word}<extra></extra>"} if hover else {"hoverinfo": "skip"}
        self.add(
            type="heatmap",
            x=x,
            y=y,
            z=np.where(mask, 1, np.nan).astype(np.float32),
            colorscale=[[0, tone], [1, tone]],
            showscale=False,
            hoverongaps=False,
            name=word,
            meta={"role": "status", "status": word},
            **reading,
        )
        self.key(word, tone)

    def rule(self, y: float, dash: str = "dash") -> None:
        """Draw a quiet reference line across the plot."""
        line = {"color": palette.faded(palette.NEUTRAL, 0.8), "width": 1, "dash": dash}
        self.layout["shapes"].append(
            {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "yref": "y", "y0": y, "y1": y, "line": line}
        )

    def name_rule(self, y: float, text: str, yaxis: str = "y") -> None:
        """Write what a reference line says at that end, above or below it, where the fewest curves run.

        Curves and the range of the axis must be there.
        """
        axis = self.layout[f"yaxis{yaxis[1:]}"]
        low, high = axis["range"]
        start, stop = axis.get("domain", [self.floor, 1])
        tall = WORD * (high - low) / (HEIGHT * (stop - start))
        wide = LETTER * len(TAG.sub("", text)) / WIDTH
        curves = [c for t in self.traces if t.get("yaxis", "y") == yaxis and (c := _curve(t)) is not None]
        ends = [float(end) for x, _ in curves for end in (x[0], x[-1])] or [0.0]
        first, last = min(ends), max(ends)
        reach = wide * (last - first)

        def met(side: str, edge: str) -> int:
            """Return how much is in the way."""
            left = first if side == "left" else last - reach
            bottom = y if edge == "bottom" else y - tall
            outside = bottom < low or bottom + tall > high
            return sum(_within(*one, left, left + reach, bottom, bottom + tall) for one in curves) + SAMPLES * outside

        places = [(side, edge) for edge in ("bottom", "top") for side in ("right", "left")]
        side, edge = min(places, key=lambda place: met(*place))
        # Left of the end, where a line may mark the last place.
        where: dict[str, Any] = {"x": 1, "xshift": -14} if side == "right" else {"x": 0, "xshift": 4}
        where |= {"xref": "x domain", "xanchor": side, "yref": yaxis, "y": y, "yanchor": edge}
        self.layout["annotations"].append(where | {"text": text, "name": "reference"})

    def mark(self, first: dict[str, Any] | None, on_axis: bool, halo: bool = False) -> None:
        """Name the first bad step, and draw it where the x axis is time; a halo parts it from a heat map."""
        if not first:
            return
        self.notes.insert(0, bad_step(first))
        if on_axis and first.get("t") is not None:
            colour = palette.STATUSES[Status.NAN][1]
            place = {"type": "line", "x0": first["t"], "x1": first["t"], "yref": "paper", "y0": 0, "y1": 1}
            if halo:
                self.layout["shapes"].append(place | {"line": {"color": "rgba(255,255,255,0.85)", "width": 4}})
            line = {"color": colour, "width": 1.5, "dash": "dot"}
            self.layout["shapes"].append(place | {"line": line})

    def say(self, sentence: str) -> None:
        """Write a sentence in the middle of the plot."""
        text = "<br>".join(textwrap.wrap(sentence, SENTENCE))
        centre = {"xref": "x domain", "yref": "y domain", "x": 0.5, "y": 0.5, "text": text, "font": {"size": 13}}
        self.layout["annotations"].append(centre)

    def say_nothing(self) -> None:
        """Say that no value is finite, on an axis that then has no scale."""
        self.say("No finite value: the strip below says why.")
        self.layout["yaxis"] |= {"showticklabels": False, "ticks": "", "showgrid": False}

    def _part_titles(self) -> None:
        """Move the title of the y axis to the left of the words beside the lanes, which a long title would touch."""
        axis, words = self.layout["yaxis"], self.layout.get("yaxis2", {}).get("ticktext", ())
        widest = STANDOFF + max(map(_word_width, words), default=0)
        more = int(widest - _label_width(axis)) - STANDOFF
        if more > 0 and isinstance(axis.get("title"), dict):
            axis["title"] = axis["title"] | {"standoff": STANDOFF + more}
            self.layout["margin"]["l"] = max(SIDE, widest + 30)

    def _legend_rows(self) -> int:
        """Return about how many rows the legend takes in a card."""
        shown = [t for t in self.traces if t["type"] in ("scatter", "bar") and t.get("showlegend", True)]
        if len(shown) < 2 and not self.named:
            return 0
        widths = [_legend_width(str(trace.get("name", ""))) for trace in shown]
        if any("legendgroup" in trace for trace in shown):  # Plotly fills row after row
            return len(_filled(widths, WIDTH))
        return 1 if sum(widths) <= WIDTH else -(-len(shown) // max(1, WIDTH // max(widths)))  # columns

    def figure(self, **layout: Any) -> go.Figure:
        """Return the figure, with its footnotes and what it says of itself."""
        return go.Figure(**self.parts(**layout))

    def parts(self, **layout: Any) -> dict[str, Any]:
        """Return data and layout of the figure as they are, unchecked by plotly."""
        self.notes = list(dict.fromkeys(self.notes))
        lines = [line for note in self.notes for line in textwrap.wrap(note, FOOTNOTE)]
        for number, line in enumerate(lines):
            self.layout["annotations"].append(
                {
                    "xref": "paper",
                    "yref": "paper",
                    "x": 0,
                    "y": 0,
                    "xanchor": "left",
                    "yanchor": "top",
                    "yshift": -(FOOT + NOTE * number),
                    "align": "left",
                    "text": line,
                    "name": "note",
                }
            )
        if self.named:
            self.layout["showlegend"] = True
        beside = layout.get("legend", {}).get("orientation") == "v"
        rows = 0 if beside else self._legend_rows()
        above = (36 + 4 * bool(rows) if self.titled else 25 if rows else 10) + KEYS * rows
        self.layout |= {
            "template": self.template,
            "margin": {"l": SIDE, "r": 16, "t": above, "b": FOOT + NOTE * len(lines) + 4 * bool(lines)},
            "meta": self.meta | {"decimated": self.decimated, "notes": self.notes},
        }
        if self.titled:
            self.layout["title"] = {"text": self.meta["title"], "y": 1, "yanchor": "top", "pad": {"t": 10}}
        self.layout.setdefault("yaxis", {}).setdefault("domain", [self.floor, 1])
        self._part_titles()
        if self.floor or "yaxis3" in self.layout:
            layout.setdefault("xaxis", {}).update(anchor="free", position=0)
        across = layout.setdefault("xaxis", {})
        words = "ticktext" in across or across.get("type") == "category"
        across.setdefault("automargin", words)  # numbers have room enough
        self.layout["meta"] |= _along(across.get("title"))
        whole = self.layout | layout
        for key in [key for key in whole if key[1:5] == "axis" and "type" not in whole[key]]:
            whole[key] = whole[key] | self._kind(key)
        return {"data": self.traces, "layout": whole}

    def _kind(self, key: str) -> dict[str, str]:
        """Return the type of an axis of numbers; or Plotly looks for dates and words among them."""
        letter, name = key[0], key[0] + key[5:]
        places = [
            trace[letter] for trace in self.traces if trace.get(f"{letter}axis", letter) == name and letter in trace
        ]
        kinds = {np.asarray(one).dtype.kind for one in places if len(one) and one[0] is not None}
        return {"type": "linear"} if kinds and kinds <= set("iuf") else {}


def _along(title: Any) -> dict[str, str]:
    """Return what an axis runs along where that is the sequence: pages mark the same step in all such figures."""
    text = title.get("text") if isinstance(title, dict) else title
    found = next((axis for axis in ("step", "time") if text == place(axis)), None)
    return {"along": found} if found else {}


def _word_width(word: str) -> int:
    """Return about how many pixels a word beside a lane takes."""
    return WORD_PAD + WORDS * len(word) + CAPITALS * sum(map(str.isupper, word))


def _label_width(axis: dict[str, Any]) -> float:
    """Return about how many pixels the labels of an axis take, at least."""
    if not axis.get("showticklabels", True):
        return 0
    if "ticktext" in axis:
        return 6 + 6 * max((len(TAG.sub("", text)) for text in axis["ticktext"]), default=0)
    return 22 + 5 * len(f"{axis['range'][0]:.0f}") if "tickprefix" in axis else 22


def _legend_width(name: str) -> int:
    """Return about how many pixels an entry of the legend takes."""
    return 46 + 7 * len(name)


def _filled(widths: Sequence[int], room: int) -> list[int]:
    """Return how much of each row is taken when entries of such widths are put one after the other."""
    rows = [0]
    for width in widths:
        if rows[-1] and rows[-1] + width > room:
            rows.append(0)
        rows[-1] += width
    return rows


def blank(name: str | None, sentence: str, template: str, title: bool) -> go.Figure:
    """Return a figure that holds one sentence instead of data."""
    canvas = Canvas(name, template, title)
    canvas.say(sentence)
    return canvas.figure(xaxis={"visible": False}, yaxis={"visible": False})


def _curve(trace: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the finite points of a curve, or None for anything else."""
    if trace["type"] != "scatter" or trace.get("fill") or trace.get("meta", {}).get("role") == "aid":
        return None
    x, y = np.asarray(trace["x"], float), np.asarray(trace["y"], float)
    finite = np.isfinite(x) & np.isfinite(y)
    return (x[finite], y[finite]) if finite.any() else None


def _within(x: np.ndarray, y: np.ndarray, left: float, right: float, bottom: float, top: float) -> int:
    """Return at how many places a curve runs through a box."""
    at = np.concatenate([np.linspace(left, right, SAMPLES), x[(x >= left) & (x <= right)]])
    height = np.interp(at, x, y, np.nan, np.nan)
    return int(np.sum((height >= bottom) & (height <= top)))


def _short(status: Status) -> str:
    """Return the word of a status that fits beside a lane."""
    return {Status.ZERO: "zero", Status.NOT_APPLICABLE: "n/a", Status.NOT_COMPUTED: "none"}.get(
        status, palette.STATUSES[status][0]
    )


def _grown(mask: np.ndarray) -> np.ndarray:
    """Return a mask with one more place on either side of each stretch."""
    padded = np.concatenate([[False], mask, [False]])
    return padded[:-2] | padded[1:-1] | padded[2:]


def _lonely(y: np.ndarray) -> np.ndarray:
    """Return which values have no neighbour to draw a line to."""
    finite = np.concatenate([[False], np.isfinite(y), [False]])
    return finite[1:-1] & ~finite[:-2] & ~finite[2:]


def outline(x: np.ndarray, below: np.ndarray, above: np.ndarray, half: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the closed outline of what lies between two curves, one for each stretch in which both are finite.

    A place without a neighbour becomes ``half`` as wide on either side.
    """
    xs, ys = [np.zeros(0)], [np.zeros(0)]
    for start, stop in runs(np.isfinite(below) & np.isfinite(above)):
        at, low, high = x[start:stop], below[start:stop], above[start:stop]
        if stop - start == 1:
            at, low, high = at + np.array([-half, half]), low.repeat(2), high.repeat(2)
        xs += [at, at[::-1], at[:1], GAPPED]
        ys += [low, high[::-1], low[:1], GAPPED]
    return np.concatenate(xs)[:-1], np.concatenate(ys)[:-1]


def _envelope(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the band in at most ``limit`` places: the least low and the largest high of each bucket."""
    if len(x) <= limit:
        return x, low, high
    cuts = np.linspace(0, len(x), limit + 1).astype(int)[:-1]
    usable = np.isfinite(low) & np.isfinite(high)
    least = np.minimum.reduceat(np.where(usable, low, np.inf), cuts)
    largest = np.maximum.reduceat(np.where(usable, high, -np.inf), cuts)
    empty = ~np.isfinite(least)
    sizes = np.diff(np.append(cuts, len(x)))
    centres = np.add.reduceat(x, cuts) / sizes
    centres[0], centres[-1] = x[0], x[-1]
    return centres, np.where(empty, np.nan, least), np.where(empty, np.nan, largest)
