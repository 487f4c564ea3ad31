"""Sketch: an array as a line of a few pixels, in plain SVG, for where a record shows itself.

It takes the colour of the text around it, and says nothing of numbers: those stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["sketch"]

Array = np.ndarray

WIDTH, HEIGHT, MARGIN = 180, 34, 3
POINTS = 90
ALONG = ("time", "step", "lag", "rank", "bin", "unit")


def sketch(values: Array, axes: tuple[str, ...]) -> str:
    """Return an SVG of the median along an array's main axis, with a band from 5 to 95 %.

    Parameters
    ----------
    values : ndarray
        NaN leaves a gap, and so does -inf; complex numbers count by their modulus.
    axes : tuple of str
        The main axis is the first of time, step, lag, rank, bin and unit that is among them.

    Returns
    -------
    str
        Empty where there is nothing finite, or no such axis.
    """
    axis = next((name for name in ALONG if name in axes), None)
    if axis is None or not np.size(values):
        return ""
    plain = np.abs(values) if np.iscomplexobj(values) else np.asarray(values, float)
    largest = np.abs(plain[np.isfinite(plain)]).max(initial=0.0)
    plain = plain / largest if largest > 0 else plain  # differences stay in the float range
    rows = np.moveaxis(plain, axes.index(axis), 0).reshape(plain.shape[axes.index(axis)], -1)
    bands = np.array([_quantiles(part) for part in np.array_split(rows, min(POINTS, len(rows)))]).T
    finite = bands[np.isfinite(bands)]
    if not finite.size:
        return ""
    low, high = finite.min(), finite.max()
    x = np.linspace(MARGIN, WIDTH - MARGIN, max(bands.shape[1], 2))[: bands.shape[1]]
    with np.errstate(invalid="ignore"):
        share = (bands - low) / (high - low) if high > low else np.where(np.isfinite(bands), 0.5, np.nan)
    y = HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)
    body = "".join(_band(x[part], y[:, part]) for part in _runs(np.isfinite(y).all(axis=0)))
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="median along {axis}" style="color:inherit;vertical-align:middle">{body}</svg>'
    )


def _quantiles(part: Array) -> tuple[float, float, float]:
    """Return the 5, 50 and 95 % quantiles of what is finite, NaN where nothing is."""
    finite = part[np.isfinite(part)]
    low, middle, high = np.quantile(finite, (0.05, 0.5, 0.95)) if finite.size else (np.nan,) * 3
    return float(low), float(middle), float(high)


def _runs(mask: Array) -> Iterator[slice]:
    """Yield each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield slice(int(start), int(stop))


def _band(x: Array, y: Array) -> str:
    """Return the marks of one stretch: a band and the median over it, or a dot."""
    if len(x) == 1:
        return f'<circle cx="{x[0]:.1f}" cy="{y[1, 0]:.1f}" r="1.5" fill="currentColor"/>'
    outline = [*zip(x, y[0], strict=True), *zip(x[::-1], y[2, ::-1], strict=True)]
    return (
        f'<polygon points="{_points(outline)}" fill="currentColor" opacity="0.18"/>'
        f'<polyline points="{_points(list(zip(x, y[1], strict=True)))}" fill="none" stroke="currentColor" '
        'stroke-width="1.2"/>'
    )


def _points(pairs: list[tuple[float, float]]) -> str:
    """Return points as SVG writes them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)
