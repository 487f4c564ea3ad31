"""Figures of directions: singular values of the transport over the lag, eigenvalues of the step Jacobian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradscope.errors import ArgumentError, unknown
from gradscope.figures import palette, scales
from gradscope.figures.curves import draw, gather
from gradscope.figures.frame import Canvas, blank, colorbar
from gradscope.figures.series import LIMIT, absence, part, statuses, turned
from gradscope.record import Field, Record, Status

__all__ = ["Eigenvalues", "draw_plane", "eigenvalues", "jacobian_eigenvalues", "ranks", "transport_spectrum"]

FAN = 8  # curves of a fan, beside the last rank
POINTS = 4000  # eigenvalues in one picture


def ranks(size: int) -> list[int]:
    """Return the ranks that a fan shows, from 0: all of a few; else the first, then doubling, and the last.

    Examples
    --------
    >>> ranks(5), ranks(64)
    ([0, 1, 2, 3, 4], [0, 1, 3, 7, 15, 31, 63])
    """
    if size <= FAN:
        return list(range(size))
    doubling = [2**power - 1 for power in range(size.bit_length()) if 2**power < size]
    return [*doubling, size - 1]


def transport_spectrum(record: Record, *, template: str = "light", title: bool = False) -> go.Figure:
    """Draw the singular values of ds_T/ds_{T-l} over the lag l, as a fan of ranks.

    In how many directions the past is still heard, and how well in each: the medians over the batch with bands from 5
    to 95 %, of every rank of a small state, else of the ranks 1, 2, 4, 8 ... and the last. The dots are the lags that
    were measured. Exact zeros, NaN and inf stand in lanes beneath.

    Parameters
    ----------
    record : Record
        With the probe ``transport_spectrum``.
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
    sentence = absence(record, "transport_spectrum")
    if sentence:
        return blank("transport_spectrum", sentence, template, title)
    entry = record.field("transport_spectrum")
    chosen = ranks(entry.values.shape[1])
    labels = [f"rank {number + 1}" for number in chosen]
    found = None if entry.status is None else entry.status[:, chosen]
    coords = {**entry.coords, "rank": labels}
    fan = turned(
        Field(entry.name, entry.values[:, chosen], entry.axes, entry.unit, coords, found), "rank", "lag", "batch"
    )
    colours = dict(zip(labels, palette.ramp(len(labels)), strict=True))
    return draw(gather(record, "transport_spectrum", split="rank", entry=fan, colours=colours), template, title)


@dataclass(frozen=True)
class Eigenvalues:
    """What the complex plane shows.

    Attributes
    ----------
    steps : ndarray, (N,)
        The steps that are drawn.
    values : ndarray of complex, (N, S)
        The eigenvalues of one sequence; NaN where there are none.
    sequence : int
    radius : tuple of float or None
        Median, smallest and largest spectral radius over all steps and sequences.
    missing : dict of Status to int
        How many eigenvalues of the sequence, at all steps measured, have no place on the plane.
    grid : tuple of int
        Steps drawn, measured and in all.
    """

    steps: np.ndarray
    values: np.ndarray
    sequence: int
    radius: tuple[float, float, float] | None
    missing: dict[Status, int]
    grid: tuple[int, int, int]
    first_bad_step: dict[str, Any] | None = None


def jacobian_eigenvalues(
    record: Record, *, show: str = "plane", sequence: int = 0, template: str = "light", title: bool = False
) -> go.Figure:
    """Draw the eigenvalues of the step Jacobians in the complex plane with the unit circle, coloured by step.

    Inside the circle a change decays, outside it grows, if the Jacobian stayed as it is; the angle is the rotation of
    a step. The spectral radius over all steps and sequences is written beneath.

    Parameters
    ----------
    record : Record
        With the probe ``jacobian_eigenvalues``.
    show : str
        ``"plane"``, or ``"radius"`` for the largest modulus over the steps, median and band over the batch.
    sequence : int
        Which sequence of the batch stands in the plane.
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
        When the record does not hold the probe, for a sequence that there is not, or another ``show`` or template.
    """
    if show not in ("plane", "radius"):
        raise unknown("show", show, ("plane", "radius"))
    sentence = absence(record, "jacobian_eigenvalues")
    if sentence:
        return blank("jacobian_eigenvalues", sentence, template, title)
    if show == "radius":
        largest = part(record.field("jacobian_eigenvalues"), "rank", 0)
        sizes = Field(largest.name, np.abs(largest.values), largest.axes, "1", largest.coords, largest.status)
        options: dict[str, Any] = {"log": True, "reference": 0.0, "quantity": "Spectral radius"}
        return draw(gather(record, "jacobian_eigenvalues", entry=sizes, **options), template, title)
    return draw_plane(eigenvalues(record, sequence), template, title)


def eigenvalues(record: Record, sequence: int = 0) -> Eigenvalues:
    """Return the data of the complex plane.

    Raises
    ------
    ArgumentError
        For a sequence that there is not.
    """
    entry = record.field("jacobian_eigenvalues")
    batch = entry.values.shape[2]
    if not 0 <= sequence < batch:
        raise ArgumentError(f"`sequence` must be from 0 to {batch - 1}, got {sequence}. Sequences count from 0.")
    found = statuses(entry)
    steps = np.asarray(entry.coord("step"), float)
    largest = np.abs(entry.values[:, 0])[found[:, 0] <= Status.UNDERFLOW]
    radius = (2 * float(np.median(largest / 2)), float(largest.min()), float(largest.max())) if largest.size else None
    marks = found[..., sequence]
    values = np.where(marks <= Status.UNDERFLOW, entry.values[..., sequence], np.nan)
    missing = {status: int((marks == status).sum()) for status in Status if status > Status.UNDERFLOW}
    few = max(1, POINTS // max(1, values.shape[1]))
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(few, len(steps))).round().astype(int))
    return Eigenvalues(
        steps=steps[chosen],
        values=values[chosen],
        sequence=sequence,
        radius=radius,
        missing={status: number for status, number in missing.items() if number},
        grid=(len(chosen), len(steps), record.config.get("length", len(steps))),
        first_bad_step=record.summary.get("first_bad_step"),
    )


def draw_plane(data: Eigenvalues, template: str = "light", title: bool = False) -> go.Figure:
    """Return the complex plane."""
    canvas = Canvas("jacobian_eigenvalues", template, title)
    ends = (float(data.steps.min()), float(data.steps.max()))
    size = 6 if data.values.size <= 600 else 4.5
    for step, values in zip(data.steps, data.values, strict=True):
        kept = _outer(values)
        if len(kept) < len(values):
            canvas.leave_out(f"step {step:g}", len(values), len(kept), "the outer half, and as many of the others")
        canvas.add(
            type="scatter",
            x=kept.real,
            y=kept.imag,
            mode="markers",
            marker={"color": np.full(len(kept), step), "coloraxis": "coloraxis", "size": size, "opacity": 0.8},
            text=[f"|\N{GREEK SMALL LETTER LAMDA}| = {scales.value(float(abs(value)), 5)}" for value in kept],
            hovertemplate=f"step {step:g}<br>%{{x:.5g}} + %{{y:.5g}}i<br>%{{text}}<extra></extra>",
            name=f"step {step:g}",
            showlegend=False,
        )
    circle = {"type": "circle", "x0": -1, "x1": 1, "y0": -1, "y1": 1, "layer": "below"}
    canvas.layout["shapes"].append(circle | {"line": {"color": palette.NEUTRAL, "width": 1, "dash": "dash"}})
    canvas.notes += _plane_notes(data)
    canvas.mark(data.first_bad_step, on_axis=False)
    if not np.isfinite(data.values).any():
        canvas.say("No finite eigenvalue.")
    reach = 1.1 * max(1.0, float(np.abs(data.values[np.isfinite(data.values)]).max(initial=0.0)))
    axis = {"range": [-reach, reach], "showgrid": True, "nticks": 7, "zeroline": True, "constrain": "domain"}
    axis |= {"zerolinecolor": palette.faded(palette.NEUTRAL, 0.5), "zerolinewidth": 1}
    colours = palette.scale(palette.RAMP)
    bar = colorbar("step t", nticks=6)
    return canvas.figure(
        xaxis=axis | {"title": {"text": "real part [1]"}},
        yaxis=axis | {"title": {"text": "imaginary part [1]"}, "scaleanchor": "x", "scaleratio": 1},
        coloraxis={"colorscale": colours, "cmin": ends[0], "cmax": max(ends[1], ends[0] + 1), "colorbar": bar},
        hovermode="closest",
    )


def _outer(values: np.ndarray) -> np.ndarray:
    """Return at most 1,024 eigenvalues: those on the outside all, the others evenly."""
    if len(values) <= LIMIT:
        return values
    half = LIMIT // 2
    inner = np.unique(np.linspace(half, len(values) - 1, LIMIT - half).round().astype(int))
    return np.concatenate([values[:half], values[inner]])


def _plane_notes(data: Eigenvalues) -> list[str]:
    """Return what stands beneath the plane: the spectral radius, which steps are drawn, and what has no place."""
    drawn, measured, every = data.grid
    lines = []
    if data.radius:
        middle, low, high = (scales.value(number, 3) for number in data.radius)
        lines.append(f"Spectral radius {middle} ({low} to {high} over steps and sequences).")
    thinned = f"{drawn} of the {measured} measured" if drawn < measured else f"{drawn}"
    lines.append(f"Sequence {data.sequence}, {thinned} of {every:,} steps; dashed: the unit circle.")
    if data.missing:
        words = [f"{number:,} {palette.STATUSES[status][0]}" for status, number in data.missing.items()]
        lines.append(f"Not on the plane: {', '.join(words)}.")
    return lines
