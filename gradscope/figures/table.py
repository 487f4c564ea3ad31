"""The numbers of a figure: every trace as rows of one long table, and the table as CSV.

A figure is data enough: its traces hold what is drawn, and say in their ``meta`` which part of it they are. So a figure
from a notebook, one that a browser shows and one of one's own are read alike.
"""

from __future__ import annotations

import base64
import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import ArgumentError
from gradscope.figures import palette
from gradscope.figures.frame import BELOW, TAG
from gradscope.figures.iterations import TITLES, iteration_at
from gradscope.record import Status

__all__ = ["table", "to_csv"]

OK = "ok"
WORDS = {Status.OK: OK, Status.UNDERFLOW: BELOW[0]} | {status: word for status, (word, _) in palette.STATUSES.items()}
ZERO, NAN, INF = (WORDS[status] for status in (Status.ZERO, Status.NAN, Status.INF))
APART = WORDS[Status.NOT_APPLICABLE]
#: Numbers for what has none, where the unit is a logarithm.
STANDS = {ZERO: -math.inf, f"{chr(0x2212)}inf": -math.inf, INF: math.inf}
PLACES = {"time t": "time", "step t": "step", "lag l": "lag"} | dict.fromkeys(TITLES.values(), "iteration")
TITLE = re.compile(r"(?P<name>.*?)\s*(?:\[(?P<unit>[^\]]*)\])?$", re.DOTALL)
LOGARITHMIC = ", log scale"
INTEGRAL = 2.0**53
HEAD, TAIL = ("series", "part"), ("value", "quantity", "measured_in", "status", "decimated")

Row = dict[str, Any]


def table(figure: go.Figure | Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the numbers that a figure shows as the columns of one long table, a row for each number drawn.

    What one sees is what one gets: medians and both ends of a band, cells of a heat map, counts of the strips beneath.
    ``pandas.DataFrame(gs.figures.table(figure))`` is a data frame of it.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure or Mapping
        Any figure of gradscope, or its ``data`` and ``layout`` as plain data; of others scatters, bars and heat maps
        are read.

    Returns
    -------
    dict of str to list
        ``series`` and ``part`` (``"median"``, ``"5 %"``, ``"95 %"``, ``"value"``, ``"count"`` ...), then a column for
        each axis of places, such as ``time`` or ``unit``, then ``value``, ``quantity``, ``measured_in`` and ``status``.
        On a log axis values are log10 and ``measured_in`` says so: they go on where floats end, and an exact zero is
        -inf. NaN stands where there is no number, and ``status`` says why in words. Where the figure draws less than
        there is, a column ``decimated`` says what was left out.

    Raises
    ------
    ArgumentError
        When the argument is not a figure.

    Examples
    --------
    >>> import plotly.graph_objects as go
    >>> table(go.Figure(go.Bar(name="runs", x=["LSTM", "GRU"], y=[3, 4])))["value"]
    [3.0, 4.0]
    """
    rows = list(_rows(figure))
    places = dict.fromkeys(name for row in rows for name in row if name not in (*HEAD, *TAIL))
    tail = TAIL if any(row.get("decimated") for row in rows) else TAIL[:-1]
    return {name: [row.get(name, "") for row in rows] for name in (*HEAD, *places, *tail)}


def to_csv(figure: go.Figure | Mapping[str, Any]) -> str:
    """Return the numbers that a figure shows as CSV: the table of :func:`table`, every digit of it.

    Numbers are written so that they read back as the same floats. An exact zero of a log axis is ``-inf``, NaN is
    ``NaN``, what was masked or not computed is empty; the column ``status`` says which.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure or Mapping
        As for :func:`table`.

    Returns
    -------
    str
        With a header line, as in RFC 4180.

    Raises
    ------
    ArgumentError
        When the argument is not a figure.
    """
    columns = table(figure)
    silent = [status not in (OK, WORDS[Status.UNDERFLOW], ZERO, NAN, INF, "") for status in columns["status"]]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    written = {name: [_text(entry) for entry in entries] for name, entries in columns.items()}
    written["value"] = [
        "" if gone and entry == "NaN" else entry for entry, gone in zip(written["value"], silent, strict=True)
    ]
    writer.writerows(zip(*written.values(), strict=True))
    return text.getvalue()


def _text(entry: Any) -> str:
    """Write a number so that it reads back the same, anything else as it is."""
    if isinstance(entry, float):
        if not math.isfinite(entry):
            return "NaN" if math.isnan(entry) else "inf" if entry > 0 else "-inf"
        return str(int(entry)) if entry == int(entry) and 0 < abs(entry) < INTEGRAL else repr(entry).removesuffix(".0")
    return str(entry)


# From a figure to rows -----------------------------------------------------------------------------------------------


def _rows(figure: go.Figure | Mapping[str, Any]) -> Iterator[Row]:
    """Yield every number of a figure."""
    whole = figure.to_plotly_json() if isinstance(figure, go.Figure) else figure
    if not isinstance(whole, Mapping) or not isinstance(whole.get("data"), (list, tuple)):
        raise ArgumentError(
            f"`figure` must be a plotly Figure or its data and layout, got {type(figure).__name__}. "
            "Draw one with `gs.figures.figure(name, record)`."
        )
    layout = whole.get("layout") or {}
    traces = [trace for trace in whole["data"] if isinstance(trace, Mapping)]
    heat = [trace for trace in traces if trace.get("type") == "heatmap" and _role(trace) != "count"]
    yield from _cells(heat, layout)
    for trace in traces:
        if trace in heat:
            continue
        read = READERS.get(_role(trace)) or BY_TYPE.get(trace.get("type", "scatter"))
        if read:
            yield from read(trace, layout)


def _meta(trace: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a trace says of itself."""
    meta = trace.get("meta")
    return meta if isinstance(meta, Mapping) else {}


def _role(trace: Mapping[str, Any]) -> str:
    """Return which part of a figure a trace is, ``""`` for one that does not say."""
    return str(_meta(trace).get("role", ""))


def _array(value: Any) -> np.ndarray:
    """Return numbers or words as an array, those of plotly's base64 too; a missing number is NaN."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value.astype(float)
    if isinstance(value, Mapping) and "bdata" in value:
        flat = np.frombuffer(base64.b64decode(value["bdata"]), np.dtype(str(value["dtype"])).newbyteorder("<"))
        shape = str(value.get("shape", len(flat))).split(",")
        return flat.reshape([int(size) for size in shape]).astype(float)
    found = np.asarray([] if value is None else value, object)
    if found.dtype == object and all(isinstance(one, (int, float, np.number)) or one is None for one in found.flat):
        return np.array([math.nan if one is None else float(one) for one in found.flat]).reshape(found.shape)
    return found


def _axis(trace: Mapping[str, Any], layout: Mapping[str, Any], letter: str) -> Mapping[str, Any]:
    """Return the axis that a trace lies on."""
    return layout.get(f"{letter}axis{str(trace.get(f'{letter}axis', letter))[1:]}") or {}


def _named(title: Any, fallback: str, log: bool = False) -> tuple[str, str]:
    """Return the name and the unit that a title holds; ``log`` says that the axis itself is logarithmic."""
    text = TAG.sub("", str(title.get("text") or "") if isinstance(title, Mapping) else str(title or ""))
    found = TITLE.match(text)
    name, unit = (found["name"], found["unit"] or "") if found else ("", "")
    if unit.endswith(LOGARITHMIC):
        unit = unit.removesuffix(LOGARITHMIC)
        unit = unit if log else f"log10 {unit}".removesuffix(" 1")
    return name or fallback, unit


def _place(trace: Mapping[str, Any], layout: Mapping[str, Any], letter: str, row: bool = False) -> str:
    """Return the name of an axis of places: ``time``, ``unit``; a ``row`` is named before its first comma.

    Of several panels only those at the edge write it beside the axis; the traces know it.
    """
    told = _meta(trace).get("axes")
    title = told.get(letter) if isinstance(told, Mapping) else None
    name, unit = _named(title or _axis(trace, layout, letter).get("title"), letter)
    name = unit if unit == "rank" else PLACES.get(name, name.split(",")[0] if row else name)
    return f"{name} axis" if name in (*HEAD, *TAIL) else name


def _labels(values: np.ndarray, axis: Mapping[str, Any], own: Any) -> list[Any]:
    """Return places as they are called: by the figure's own labels, or where each is a tick with words, by these."""
    places = values.tolist()
    if _named(axis.get("title"), "")[0] == TITLES["log"]:  # the axis is linear in log10(n + 1), and names n
        return [float(number) for number in np.rint(iteration_at(values, "log"))]
    if own is not None and all(isinstance(p, float) and p == int(p) and 0 <= p < len(own) for p in places):
        return [own[int(place)] for place in places]
    words = axis.get("ticktext")
    if words is None or axis.get("tickvals") is None:
        return places
    told = dict(zip(_array(axis["tickvals"]).tolist(), list(words), strict=False))
    return [told[place] for place in places] if all(place in told for place in places) else places


def _decimation(layout: Mapping[str, Any], *names: str) -> str:
    """Return what was left out of a trace, in words, ``""`` where it is whole."""
    meta = layout.get("meta")
    told = meta.get("decimated") or {} if isinstance(meta, Mapping) else {}
    for name in names:
        if name in told:
            one = told[name]
            return f"{one['method']}: {one['to']:,} of {one['from']:,}"
    return ""


def _status(values: np.ndarray, trace: Mapping[str, Any]) -> list[str]:
    """Return the words for the status of each point of a curve."""
    if _role(trace) in ("median", "value") and trace.get("customdata") is not None and "label" not in _meta(trace):
        return [WORDS[Status(int(code))] for code in _array(trace["customdata"]).tolist()]
    return [OK if finite else NAN for finite in np.isfinite(values).tolist()]


# Curves, bars and dots -----------------------------------------------------------------------------------------------


def _points(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the points of a curve, or of dots."""
    x, y = _array(trace.get("x")), _array(trace.get("y"))
    if trace.get("fill") == "toself" or not len(y) or y.dtype == object or all(_missing(one) for one in x.flat):
        return
    meta, below = _meta(trace), WORDS[Status.UNDERFLOW]
    axis = _axis(trace, layout, "y")
    quantity, unit = _named(axis.get("title"), str(meta.get("quantity", "")), axis.get("type") == "log")
    unit = str(meta.get("unit", unit))
    place, label = _place(trace, layout, "x"), meta.get("label")
    own = _array(trace["customdata"]).tolist() if label else [None] * len(y)
    name = str(meta.get("series", trace.get("name") or ""))
    about = {"quantity": quantity, "measured_in": unit, "decimated": _decimation(layout, str(trace.get("name")))}
    places = _labels(x, _axis(trace, layout, "x"), None) if len(x) else list(range(len(y)))
    for at, value, status, told in zip(places, y.tolist(), _status(y, trace), own, strict=True):
        if (status == below) != bool(meta.get("below")):
            continue  # the other stroke of the curve has it
        if isinstance(at, float) and math.isnan(at):
            continue  # a gap that parts two lines of one trace
        row = {"series": name, "part": meta.get("part", "value"), place: at}
        row |= {str(label): told} if label else {}
        yield row | {"value": STANDS.get(status, value) if math.isnan(value) else value, "status": status} | about
    yield from _bars_of_error(trace, {place: places}, {"series": name} | about)


def _bars_of_error(trace: Mapping[str, Any], places: dict[str, list[Any]], about: Row) -> Iterator[Row]:
    """Yield the lengths of the error bars of a trace."""
    bars = trace.get("error_y")
    if not isinstance(bars, Mapping) or bars.get("array") is None:
        return
    ((name, along),) = places.items()
    for at, value in zip(along, _array(bars["array"]).tolist(), strict=False):
        yield {"series": about["series"], "part": "error bar", name: at, "value": value, "status": OK} | about


def _band(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> Iterator[Row]:
    """Yield both ends of a band from its outline."""
    x, y, meta = _array(trace["x"]), _array(trace["y"]), _meta(trace)
    quantity, unit = _named(_axis(trace, layout, "y").get("title"), str(meta.get("quantity", "")))
    unit = str(meta.get("unit", unit))
    name = str(meta.get("series", ""))
    about = {"quantity": quantity, "measured_in": unit, "decimated": _decimation(layout, f"{name}, band")}
    place, (low, high) = _place(trace, layout, "x"), meta["parts"]
    for at, least, most in _unfolded(x, y, float(meta.get("half", math.nan))):
        zero = least == meta.get("floor")
        first = {"value": -math.inf if zero else least, "status": ZERO if zero else OK}
        yield {"series": name, "part": low, place: at} | first | about
        yield {"series": name, "part": high, place: at, "value": most, "status": OK} | about


def _unfolded(x: np.ndarray, y: np.ndarray, wide: float) -> Iterator[tuple[float, float, float]]:
    """Yield place, low and high of each corner of outlines that ``frame.outline`` drew."""
    ends = [*np.flatnonzero(np.isnan(x)).tolist(), len(x)]
    start = 0
    for end in ends:
        half = (end - start - 1) // 2
        at, low, high = x[start : start + half], y[start : start + half], y[start + half : end - 1][::-1]
        if half == 2 and low[0] == low[1] and high[0] == high[1] and math.isclose(at[1] - at[0], 2 * wide):
            at, low, high = (at[:1] + at[1:]) / 2, low[:1], high[:1]  # a place without a neighbour, drawn wider
        yield from zip(at.tolist(), low.tolist(), high.tolist(), strict=True)
        start = end + 1


def _shares(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> Iterator[Row]:
    """Yield what stands above and below the baseline of a strip."""
    x, shares, meta = _array(trace["x"]), _array(trace["customdata"]), _meta(trace)
    quantity, unit = _named(_axis(trace, layout, "y").get("title"), "")
    about = {"quantity": quantity, "measured_in": unit, "decimated": _decimation(layout, f"{trace['name']}, both")}
    place = _place(trace, layout, "x")
    for at, pair in zip(x.tolist(), shares.tolist(), strict=True):
        for part, value in zip(meta["parts"], pair, strict=True):
            status = NAN if math.isnan(value) else OK
            yield {"series": trace["name"], "part": part, place: at, "value": value, "status": status} | about


def _counts(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the counts of a strip beneath a plot, where there are any."""
    meta, counts = _meta(trace), _array(trace["z"])[0]
    about = {"quantity": f"{meta['unit']}s of {meta['size']}", "measured_in": "1"}
    about["decimated"] = _decimation(layout, str(trace["name"]))
    place = _place(trace, layout, "x")
    places = _labels(_array(trace["customdata"]).ravel(), _axis(trace, layout, "x"), None)
    for at, count in zip(places, counts.tolist(), strict=True):
        if count > 0:
            yield {
                "series": meta["series"],
                "part": "count",
                place: at,
                "value": count,
                "status": meta["status"],
            } | about


def _bars(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the bars of a trace."""
    across = trace.get("orientation") == "h"
    long, short = ("x", "y") if across else ("y", "x")
    axis = _axis(trace, layout, long)
    quantity, unit = _named(axis.get("title"), "", axis.get("type") == "log")
    place = _place(trace, layout, short)
    places = _labels(_array(trace.get(short)), _axis(trace, layout, short), None)
    for at, value in zip(places, _array(trace.get(long)).tolist(), strict=True):
        row = {"series": str(trace.get("name") or ""), "part": "value", place: at, "value": value}
        yield row | {"quantity": quantity, "measured_in": unit, "status": NAN if math.isnan(value) else OK}


def _nothing(*_: Any) -> Iterable[Row]:
    """Return no row: the trace helps to read or to look, and holds no number of its own."""
    return ()


def _missing(one: Any) -> bool:
    """Return whether a place is none."""
    return one is None or (isinstance(one, float) and math.isnan(one))


# Heat maps -----------------------------------------------------------------------------------------------------------


def _cells(traces: list[Mapping[str, Any]], layout: Mapping[str, Any]) -> Iterator[Row]:
    """Yield every cell of the heat maps of a figure: its value, or the word for why it has none."""
    panels: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for trace in traces:
        panels.setdefault((str(trace.get("xaxis", "x")), str(trace.get("yaxis", "y"))), []).append(trace)
    for panel in panels.values():
        yield from _panel(panel, layout)


def _panel(traces: list[Mapping[str, Any]], layout: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the cells of heat maps that lie on one another."""
    values = [trace for trace in traces if _role(trace) != "status"]
    first = values[0]
    shape = _array(first["z"]).shape
    words = np.full(shape, "", object)
    for trace in traces:
        if _role(trace) == "status":
            words[_array(trace["z"]) == 1] = _meta(trace)["status"]
    drawn = np.zeros(shape, bool)
    for trace in values:
        z = _array(trace["z"])
        here, drawn = np.isfinite(z), drawn | np.isfinite(z)
        yield from _grid(trace, layout, z, here, words, _about(trace, layout))
    rest = _about(first, layout) | ({} if len(values) == 1 else {"series": ""})
    yield from _grid(first, layout, np.full(shape, math.nan), ~drawn, words, rest)


def _about(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> Row:
    """Return what all cells of a heat map share."""
    bar = trace.get("colorbar") or (layout.get(str(trace.get("coloraxis", ""))) or {}).get("colorbar") or {}
    quantity, unit = _named(bar.get("title"), str(trace.get("name") or ""))
    meta, name = _meta(trace), str(trace.get("name") or "")
    about = {
        "series": str(meta.get("series", name)),
        "quantity": str(meta.get("quantity", quantity)),
        "measured_in": str(meta.get("unit", unit)),
    }
    return about | {"decimated": _decimation(layout, name, "heat map")}


def _grid(
    trace: Mapping[str, Any], layout: Mapping[str, Any], z: np.ndarray, mask: np.ndarray, words: np.ndarray, about: Row
) -> Iterator[Row]:
    """Yield the cells of a heat map where the mask says so, row by row."""
    meta = layout.get("meta")
    own = meta.get("labels") or {} if isinstance(meta, Mapping) else {}
    across, up = (_place(trace, layout, letter, row=letter == "y") for letter in "xy")
    x, y = (_labels(_array(trace[one]), _axis(trace, layout, one), own.get(one)) for one in "xy")
    logarithm = about["measured_in"].startswith("log10")
    for row, column in zip(*(part.tolist() for part in np.nonzero(mask)), strict=True):
        value, word = float(z[row, column]), words[row, column]
        status = word or (OK if math.isfinite(value) else APART)
        if math.isnan(value):
            value = STANDS.get(status, math.nan) if logarithm or status != ZERO else 0.0
        yield {"part": "value", across: x[column], up: y[row], "value": value, "status": status} | about


def _level(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the numbers of a line that says which they are, and where each holds."""
    meta = _meta(trace)
    about = {"quantity": meta["quantity"], "measured_in": "1", "decimated": ""}
    for place, value in meta["levels"]:
        yield {"series": meta["quantity"], "part": "value", **place, "value": value, "status": OK} | about


READERS = {"level": _level, "aid": _nothing, "band": _band, "shares": _shares, "count": _counts}
BY_TYPE = {"scatter": _points, "scattergl": _points, "bar": _bars}
