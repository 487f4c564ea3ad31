"""Figures: one function for each probe, from a record to a plotly Figure.

>>> import gradscope as gs
>>> figure = gs.figures.transport(record)            # doctest: +SKIP
>>> figure = gs.figures.figure("transport", record)  # the same by name  # doctest: +SKIP

Every function takes ``template="light" | "dark"`` and ``title=True``; ``figure.layout.meta`` holds title, caption, unit
and source, and what was decimated. Zeros of a log axis, values below the float range, NaN, inf and missing elements
each have a mark of their own.
"""

from plotly.graph_objects import Figure as Figure

from gradscope.figures.curves import (
    cell_gradient,
    direct_gradient,
    flow,
    flow_exposed,
    flow_retained,
    flow_written,
    jacobian_norm,
    jacobian_rms,
    retention,
    slope_rms,
    slope_saturation,
    state_gradient,
    transport,
    transport_blocks,
)
from gradscope.figures.gallery import caption, figure
from gradscope.figures.gates import gate_activation, gate_saturation
from gradscope.figures.sweeps import phase_map, verdict_counts
from gradscope.figures.templates import theme
from gradscope.figures.units import lyapunov_spectrum, timescale

__all__ = [
    "caption",
    "cell_gradient",
    "direct_gradient",
    "figure",
    "flow",
    "flow_exposed",
    "flow_retained",
    "flow_written",
    "gate_activation",
    "gate_saturation",
    "jacobian_norm",
    "jacobian_rms",
    "lyapunov_spectrum",
    "phase_map",
    "retention",
    "slope_rms",
    "slope_saturation",
    "state_gradient",
    "theme",
    "timescale",
    "transport",
    "transport_blocks",
    "verdict_counts",
]
