"""Figures along the sequence: gradients, transport, norms, slopes, retention and flow.

Each is a function from the record to plain data, :class:`Curves`, and one from the data to the figure, :func:`draw`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import unknown
from gradscope.figures import given, palette, scales
from gradscope.figures.frame import BELOW, Canvas, Teller, axis_title, blank, heading, place
from gradscope.figures.series import Series, absence, along, lanes, part
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Field, Record, Status

__all__ = [
    "Curves",
    "cell_gradient",
    "compose",
    "direct_gradient",
    "draw",
    "finish",
    "finished",
    "float_edge",
    "flow",
    "flow_exposed",
    "flow_retained",
    "flow_written",
    "gather",
    "jacobian_blocks",
    "jacobian_norm",
    "jacobian_rms",
    "nonnormality",
    "retention",
    "slope_rms",
    "slope_saturation",
    "state_gradient",
    "timeline",
    "transport",
    "transport_blocks",
    "weight_gradient",
]

DOTS = 40  # places beyond which a dot at each would hide the line
GRADIENTS = {"state_gradient": "total", "direct_gradient": "direct", "cell_gradient": "cell state"}
FLOWS = {"flow_retained": "retained", "flow_written": "written", "flow_exposed": "exposed"}


@dataclass(frozen=True)
class Curves:
    """What a figure along the sequence shows, as plain data.

    Attributes
    ----------
    name : str
        The probe that it belongs to.
    axis : str
        ``"step"`` or ``"time"``.
    log : bool
        Whether the values are log10.
    series : tuple of Series
    focus : str or None
        The series to stress; the others step back.
    reference : float or None
        A value to compare with, in the unit of the series.
    limit : float or None
        The largest possible value.
    float_edge : float or None
        log10 of the smallest normal number of the record's dtype, where a value lies below it.
    first_bad_step : dict or None
        As in the record's summary.
    colours : dict
        The colours of series that have no meaning of their own.
    coarse : tuple of int or None
        Places that were measured, and places there are, where only a coarse grid was.
    quantity : str
        What the axis shows, where it is not what the probe is called.
    notes : tuple of str
        What stands beneath the figure.
    """

    name: str
    axis: str
    log: bool
    series: tuple[Series, ...]
    focus: str | None = None
    reference: float | None = None
    limit: float | None = None
    float_edge: float | None = None
    first_bad_step: dict[str, Any] | None = None
    colours: dict[str, str] = field(default_factory=dict)
    coarse: tuple[int, int] | None = None
    quantity: str = ""
    notes: tuple[str, ...] = ()

    @property
    def dotted(self) -> bool:
        """Whether a dot stands at each place that was measured."""
        return self.coarse is not None and self.coarse[0] <= DOTS

    def colour(self, series: Series) -> str:
        """Return the colour of a series: its own, or that of its meaning."""
        return self.colours.get(series.name) or palette.colour(_hue(self, series))


def gather(
    record: Record,
    name: str,
    fields: dict[str, str] | None = None,
    split: str | None = None,
    log: bool = False,
    entry: Field | None = None,
    **options: Any,
) -> Curves:
    """Return the data of a figure along the sequence.

    Parameters
    ----------
    record : Record
    name : str
        The probe; it must be in the record.
    fields : dict, optional
        Several fields to show together: name in the record to name of the series.
    split : str, optional
        A leading axis, such as ``"gate"`` or ``"block"``: one series for each of its labels.
    log : bool
        Whether to show log10 of a field that is stored as it is.
    entry : Field, optional
        What to show instead of the whole field of that name.
    **options
        Passed to :class:`Curves`.
    """
    whole = entry is None
    entry = record.field(name) if entry is None else entry
    if split:
        series = [along(entry, str(label), number, log) for number, label in enumerate(entry.coord(split))]
        series = [one for one in series if not _inapplicable(one)]
    elif not whole:
        series = [along(entry, "median", log=log)]
    else:
        series = [along(record.field(key), label, log=log) for key, label in (fields or {name: "median"}).items()]
    axis = entry.axes[1] if split else entry.axes[0]
    logarithmic = log or entry.unit == "log10"
    edge = float_edge(record) if any(one.under.any() for one in series) else None
    options = {"coarse": coarse(record, entry, axis), "float_edge": edge} | options
    bad = record.summary.get("first_bad_step")
    return Curves(name, axis, logarithmic, tuple(series), first_bad_step=bad, **options)


def coarse(record: Record, entry: Field, axis: str) -> tuple[int, int] | None:
    """Return how many places of an axis were measured and how many there are, where it is fewer."""
    here, length = len(entry.coord(axis)), record.config.get("length", 0)
    every = length + (axis != "step")
    return (here, every) if here < every else None


def _inapplicable(series: Series) -> bool:
    """Return whether a whole series does not apply."""
    found = series.counts.get(Status.NOT_APPLICABLE)
    return found is not None and bool((found == series.size).all())


def float_edge(record: Record) -> float:
    """Return log10 of the smallest normal number of the record's dtype."""
    return float(np.log10(np.finfo(record.config.get("dtype", "float64")).tiny))


def draw(data: Curves, template: str = "light", title: bool = False) -> go.Figure:
    """Return the figure of curves: medians, bands, and lanes for what has no place on the axis."""
    canvas = compose(data, template, title)
    canvas.lanes(lanes(data.series), "sequence" if data.series and data.series[0].size > 1 else "value")
    return finish(canvas, data)


def compose(data: Curves, template: str, title: bool, reading: bool = True) -> Canvas:
    """Return a canvas with the curves on it, the lanes still to come; ``reading`` writes what the pointer reads."""
    canvas = Canvas(data.name, template, title)
    finite = _finite(data)
    axis = scales.log_axis(*scales.bounds(finite, 0.75)) if data.log else scales.linear_axis(finite, data.limit)
    canvas.layout["yaxis"] = axis | {"title": {"text": axis_title(data.name, data.log, data.quantity)}}
    for one in data.series:
        away = data.focus is not None and one.name != data.focus
        if one.size > 1 and not away:
            canvas.band(one, axis["range"][0], data.colour(one), 0.2 if len(data.series) < 3 else 0.13)
    for one in data.series:
        away = data.focus is not None and one.name != data.focus
        canvas.line(
            one,
            one.name,
            _teller(data, one) if reading else _silent,
            data.colour(one),
            0.4 if away else 1.0,
            dots=data.dotted,
        )
    _explain(canvas, data)
    if len(data.series) > 1 and data.focus is None:
        canvas.meta["title"] = heading(data.name)
    return canvas


def _finite(data: Curves) -> np.ndarray:
    """Return every number that the axis must span."""
    finite = np.concatenate([one.finite() for one in data.series]) if data.series else np.zeros(0)
    extra = [number for number in (data.reference, data.float_edge) if number is not None]
    return np.append(finite, extra) if len(finite) else finite


def finish(canvas: Canvas, data: Curves, **layout: Any) -> go.Figure:
    """Return the figure of a canvas of curves, with the first bad step and the axis of time."""
    return go.Figure(**finished(canvas, data, **layout))


def finished(canvas: Canvas, data: Curves, **layout: Any) -> dict[str, Any]:
    """Return the same as data and layout, unchecked by plotly."""
    canvas.mark(data.first_bad_step, on_axis=data.axis != "lag")
    if data.series and not len(_finite(data)):
        canvas.say_nothing()
    x = data.series[0].x if data.series else np.zeros(1)
    return canvas.parts(xaxis=timeline(x, data.axis), hoversubplots="axis", **layout)


def _hue(data: Curves, series: Series) -> str:
    """Return the meaning that gives a series its colour."""
    return "total" if len(data.series) == 1 and series.name == "median" else series.name


def _explain(canvas: Canvas, data: Curves) -> None:
    """Add what the legend says beside the series, the reference lines, and the notes."""
    canvas.notes.extend(data.notes)
    if data.coarse:
        here, every = data.coarse
        where = "where the dots are: at" if data.dotted else "at"
        canvas.notes.append(f"Measured {where} {here:,} of {every:,} {data.axis}s.")
    sizes = {one.size for one in data.series if one.size > 1}
    for size in sizes:
        hue = data.colour(data.series[0]) if len(data.series) == 1 else palette.NEUTRAL
        canvas.key(f"5\N{EN DASH}95 %, n = {size}", palette.faded(hue, 0.35))
    if data.reference is not None:
        canvas.rule(data.reference)
    if data.float_edge is not None:
        canvas.rule(data.float_edge, "dot")
        canvas.key(*BELOW, dotted=True)
        text = f"10<sup>{data.float_edge:.0f}</sup>: the float range ends".replace("-", scales.MINUS)
        canvas.name_rule(data.float_edge, text)


def _teller(data: Curves, series: Series) -> Teller:
    """Return the function that writes the hover text of a place."""
    text = scales.power if data.log else scales.value
    median, low, high = (np.asarray(part, float).tolist() for part in (series.median, series.low, series.high))

    def tell(place: int) -> str:
        middle = text(median[place])
        if series.size == 1:
            return middle
        band = f"5\N{EN DASH}95 %: {text(low[place], 4)} \N{EN DASH} {text(high[place], 4)}"
        wide = _seen(middle) + _seen(band) > 45
        return f"{middle}<br>{band}" if wide else f"{middle} \N{MIDDLE DOT} {band}"

    return tell


def _seen(text: str) -> int:
    """Return how many letters of a number, or of several, are seen."""
    return len(text) - len("<sup></sup>") * text.count("<sup>")


def _silent(place: int) -> str:
    """Return nothing."""
    return ""


def timeline(x: np.ndarray, axis: str) -> dict[str, Any]:
    """Return the axis of steps or times."""
    low, high = float(x.min()), float(x.max())
    pad = 0.5 if low == high else 0.012 * (high - low)
    ticks = {"tickmode": "linear", "dtick": 1, "tick0": low} if len(x) <= 12 else {}
    return ticks | {
        "range": [low - pad, high + pad],
        "title": {"text": place(axis)},
        "unifiedhovertitle": {"text": f"{axis} %{{x}}"},
    }


def _show(record: Record, name: str, template: str, title: bool, **options: Any) -> go.Figure:
    """Return the figure of a probe, or the sentence that says why there is none."""
    sentence = absence(record, name)
    if sentence:
        return blank(name, sentence, template, title)
    return draw(gather(record, name, **options), template, title)


def transport(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw how much of a small change of the state at each time reaches the last state.

    The median over the batch with a band from 5 to 95 %. A straight fall is exponential vanishing; a curve that stays
    near 1 lets a loss at the end teach the beginning. Exact zeros, NaN and inf stand in lanes beneath.

    Parameters
    ----------
    record : Record
        With the probe ``transport``.
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
        When it is no record or does not hold the probe, or for another template.
    """
    return _show(record, "transport", template, title)


def transport_blocks(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the transport of each block apart: ``c-h`` is the last cell state's answer to the hidden state at t.

    In an LSTM the block c-c outlives the others when the cell state carries the gradient. Medians over the batch with
    bands from 5 to 95 %. At the last time the transport is the identity: that h-c and c-h are exactly zero there stands
    in a note, and takes no lane. Parameters and errors as in :func:`transport`.
    """
    name = "transport_blocks"
    sentence = absence(record, name)
    if sentence:
        return blank(name, sentence, template, title)
    data = gather(record, name, split="block")
    series = tuple(map(_not_last, data.series))
    still = [new.name for new, old in zip(series, data.series, strict=True) if len(new.counts) < len(old.counts)]
    notes = (f"Exactly zero at the last time: {', '.join(still)}.",) if still else ()
    return draw(replace(data, series=series, notes=notes), template, title)


def _not_last(series: Series) -> Series:
    """Return a series without its count of zeros, where they are at the last time alone."""
    counts = series.counts.items()
    return replace(series, counts={s: n for s, n in counts if s is not Status.ZERO or n[:-1].any()})


def state_gradient(record: Record, *, blocks: bool = False, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the norm of dL/ds_t, in total against its direct part, and dL/dc_t where it was measured.

    Where the total stays at the height of the last steps, learning hears the whole sequence. The direct part of a loss
    on the last step is exactly zero before it, and stands in the lane beneath.

    Parameters
    ----------
    record : Record
        With the probe ``state_gradient``.
    blocks : bool
        Whether to show the blocks h and c of the total instead.
    template, title
        As in :func:`transport`.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ArgumentError
        When it is no record or does not hold the probe, or for another template.
    """
    if not blocks:
        return _gradients(record, "state_gradient", None, template, title)
    sentence = absence(record, "state_gradient")
    if sentence:
        return blank("state_gradient", sentence, template, title)
    data = gather(record, "state_gradient.blocks", split="block")
    return draw(replace(data, name="state_gradient"), template, title)


def direct_gradient(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the loss's immediate part of dL/ds_t, with the total behind it.

    What most tools show as the gradient of an output is this part. Parameters and errors as in :func:`transport`.
    """
    return _gradients(record, "direct_gradient", "direct", template, title)


def cell_gradient(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the norm of dL/dc_t including its path through h_t, with the state gradient behind it.

    Flat over time means that the constant error carousel works. A cell without a cell state gets a sentence instead.
    Parameters and errors as in :func:`transport`.
    """
    return _gradients(record, "cell_gradient", "cell state", template, title)


def _gradients(record: Record, name: str, focus: str | None, template: str, title: bool) -> go.Figure:
    """Draw the gradients that the record holds, one of them stressed."""
    held = given.record(record).keys()
    fields = {key: label for key, label in GRADIENTS.items() if key in held and absence(record, key) is None}
    return _show(record, name, template, title, fields=fields, focus=focus)


def jacobian_norm(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the largest singular value of each step's Jacobian, against the line at 1.

    Below 1 a gradient must shrink over this step; above 1 it may grow, in one direction. Log axis; median and band
    from 5 to 95 % over the batch. Parameters and errors as in :func:`transport`.
    """
    return _show(record, "jacobian_norm", template, title, log=True, reference=0.0)


def jacobian_rms(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw how each step stretches a change in a random direction, against the line at 1.

    A typical gradient shrinks where it is below 1. Log axis; median and band from 5 to 95 % over the batch.
    Parameters and errors as in :func:`transport`.
    """
    return _show(record, "jacobian_rms", template, title, log=True, reference=0.0)


def jacobian_blocks(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw how each step stretches a change within each block of the state, and from one to another.

    ``c-h`` is the new cell state's answer to the old hidden state. Log axis, against the line at 1; medians and bands
    from 5 to 95 % over the batch. A cell whose state is one block gets a sentence instead. Parameters and errors as in
    :func:`transport`.
    """
    return _show(record, "jacobian_blocks", template, title, split="block", log=True, reference=0.0)


def nonnormality(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the largest singular value of a step's Jacobian over its spectral radius, against the line at 1.

    At 1 the eigenvalues tell what a step can do; far above it a change can grow for some steps although every
    eigenvalue says that it decays. Log axis; inf, where the Jacobian is nilpotent, stands in a lane beneath.
    Parameters and errors as in :func:`transport`.
    """
    return _show(record, "nonnormality", template, title, log=True, reference=0.0)


def weight_gradient(
    record: Record, *, parameter: str | None = None, template: str = "light", title: bool = False
) -> go.Figure:
    """Draw the norm of each step's share of the gradient of one parameter, gate by gate.

    Where only the last steps have a share, the weights learn from them alone, however long the sequence.

    Parameters
    ----------
    record : Record
        With the probe ``weight_gradient``.
    parameter : str, optional
        Which one, such as ``"W_x"`` or ``"b"``; the recurrent weights ``"W_h"`` by default.
    template, title
        As in :func:`transport`.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ArgumentError
        When the record does not hold the probe, or for another parameter or template.
    """
    sentence = absence(record, "weight_gradient")
    if sentence:
        return blank("weight_gradient", sentence, template, title)
    entry = record.field("weight_gradient")
    parameters = [str(label) for label in entry.coord("parameter")]
    chosen = parameter or ("W_h" if "W_h" in parameters else parameters[0])
    if chosen not in parameters:
        raise unknown("parameter", chosen, parameters)
    one = part(entry, "parameter", parameters.index(chosen))
    quantity = f"Step's share of dL/d{chosen}"
    return draw(gather(record, "weight_gradient", split="gate", entry=one, quantity=quantity), template, title)


def slope_saturation(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the share of units whose activation is nearly flat, gate by gate.

    Through these units no gradient passes. Parameters and errors as in :func:`transport`.
    """
    return _show(record, "slope_saturation", template, title, split="gate", limit=1.0)


def slope_rms(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the root mean square slope of each gate's activation.

    The factor by which a typical gradient is scaled in passing it. Parameters and errors as in :func:`transport`.
    """
    return _show(record, "slope_rms", template, title, split="gate")


def retention(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the mean share of the old state that the gate keeps at each step.

    A cell without gates gets a sentence instead. Parameters and errors as in :func:`transport`.
    """
    return _show(record, "retention", template, title, limit=1.0)


def flow(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw what each step retains, writes and exposes, together.

    Where more is retained than written, the memory is made of the past; what is kept and not exposed cannot be heard
    by the loss at that step. Parameters and errors as in :func:`transport`.
    """
    figure = _flow(record, "flow_retained", None, template, title)
    captions = " ".join(CATALOGUE[name].caption for name in FLOWS)
    return figure.update_layout(meta=figure.layout.meta | {"caption": captions})


def flow_retained(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw what each step keeps of the old state, with the other flows behind it.

    Parameters and errors as in :func:`transport`.
    """
    return _flow(record, "flow_retained", "retained", template, title)


def flow_written(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw what each step writes, with the other flows behind it.

    Peaks are the inputs that the network finds worth keeping. Parameters and errors as in :func:`transport`.
    """
    return _flow(record, "flow_written", "written", template, title)


def flow_exposed(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw what is shown to the rest of the network, with the other flows behind it.

    Parameters and errors as in :func:`transport`.
    """
    return _flow(record, "flow_exposed", "exposed", template, title)


def _flow(record: Record, name: str, focus: str | None, template: str, title: bool) -> go.Figure:
    """Draw the flows that the record holds, one of them stressed; log axis when they span over three decades."""
    held = given.record(record).keys()
    fields = {key: label for key, label in FLOWS.items() if key in held}
    log = any(_wide(record, key) for key in fields)
    return _show(record, name, template, title, fields=fields, focus=focus, log=log)


def _wide(record: Record, name: str) -> bool:
    """Return whether the typical values of a field span more than three decades."""
    values = np.asarray(record[name], float)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = np.quantile(values, [0.05, 1.0]) if values.size else (1.0, 1.0)
    return bool(high / 1000 > low)
