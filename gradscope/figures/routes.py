"""The figure of routes: what reaches the last cell state along the cell state alone, what along every other path."""

from __future__ import annotations

import plotly.graph_objects as go

from gradscope.figures import palette, scales
from gradscope.figures.curves import Curves, compose, finish, gather
from gradscope.figures.frame import Canvas, blank
from gradscope.figures.series import Series, absence, along, lanes
from gradscope.record import Record, Status

__all__ = ["routes"]

COSINE = "cosine"
SHARE = 0.27  # of the plot: the panel of the cosine
SPACE = 0.09


def routes(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw highway, rest and total over the lag, and beneath them the cosine between highway and rest.

    The highway is the product of what each cell state keeps of itself; the rest is every path that passes a gate or
    the hidden state; as matrices the two sum to the total. Where the rest lies above the highway it is not the highway
    that carries the gradient. A cosine near -1 says that the two cancel. Medians with bands from 5 to 95 % over the
    batch; exact zeros, masked lags, NaN and inf stand in lanes beneath.

    Parameters
    ----------
    record : Record
        With the probe ``routes``; a cell without a cell state gets a sentence instead.
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
        When the record does not hold the probe, or for another template.
    """
    sentence = absence(record, "routes")
    if sentence:
        return blank("routes", sentence, template, title)
    data = gather(record, "routes", split="route", quantity="Transport of c")
    canvas = compose(data, template, title)
    shown = list(data.series)
    cosine = along(record.field("routes.cosine"), COSINE) if "routes.cosine" in record else None
    if cosine:
        cosine.counts.pop(Status.NOT_APPLICABLE, None)  # blank: one of the two has no direction there
    canvas.lanes(lanes([*shown, cosine] if cosine else shown), "sequence" if shown[0].size > 1 else "value")
    if cosine:
        _panel(canvas, data, cosine)
    return finish(canvas, data)


def _panel(canvas: Canvas, data: Curves, cosine: Series) -> None:
    """Draw the cosine in a panel of its own, between the lanes and the routes."""
    edge = canvas.floor + SHARE * (1 - canvas.floor)
    first = len(canvas.traces)
    if cosine.size > 1:
        canvas.band(cosine, -1.0, palette.NEUTRAL, 0.25)
    told = [scales.value(float(number), 4) for number in cosine.median]
    canvas.line(cosine, COSINE, told.__getitem__, palette.NEUTRAL, dots=data.dotted)
    for trace in canvas.traces[first:]:
        trace |= {"yaxis": "y3", "showlegend": False}
        trace["meta"] |= {"quantity": "cosine of highway and rest", "unit": "1"}
    canvas.layout["yaxis3"] = {
        "domain": [canvas.floor, edge],
        "range": [-1.1, 1.1],
        "tickvals": [-1, 0, 1],
        "anchor": "x",
    }
    label = {"xref": "x domain", "yref": "y3 domain", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
    canvas.layout["annotations"].append(label | {"text": "cosine of highway and rest [1]"})
    canvas.layout["yaxis"]["domain"] = [edge + SPACE, 1]
    line = {"color": palette.faded(palette.NEUTRAL, 0.8), "width": 1, "dash": "dash"}
    canvas.layout["shapes"].append(
        {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "yref": "y3", "y0": 0, "y1": 0, "line": line}
    )
