"""Figures: one function for each probe, from a record to a plotly Figure.

>>> import gradscope as gs
>>> figure = gs.figures.transport(record)            # doctest: +SKIP
>>> figure = gs.figures.figure("transport", record)  # the same by name  # doctest: +SKIP

Every function takes ``template="light" | "dark"`` and ``title=True``; ``figure.layout.meta`` holds title, caption, unit
and source, and what was decimated. Zeros of a log axis, values below the float range, NaN, inf and missing elements
each have a mark of their own.
"""

from plotly.graph_objects import Figure as Figure

from gradscope.figures.atlas import compare_maps
from gradscope.figures.compare import compare
from gradscope.figures.curves import (
    cell_gradient,
    direct_gradient,
    flow,
    flow_exposed,
    flow_retained,
    flow_written,
    jacobian_blocks,
    jacobian_norm,
    jacobian_rms,
    nonnormality,
    retention,
    slope_rms,
    slope_saturation,
    state_gradient,
    transport,
    transport_blocks,
    weight_gradient,
)
from gradscope.figures.differences import difference
from gradscope.figures.gallery import caption, figure
from gradscope.figures.gates import gate_activation, gate_saturation
from gradscope.figures.learning import LEARNING, training_gradient, training_loss, training_numbers
from gradscope.figures.map_differences import difference_map
from gradscope.figures.maps import input_gradient, transport_map, unit_gradient, write_survival
from gradscope.figures.routes import routes
from gradscope.figures.spectra import jacobian_eigenvalues, transport_spectrum
from gradscope.figures.sweeps import phase_map, verdict_counts
from gradscope.figures.table import table, to_csv
from gradscope.figures.templates import theme
from gradscope.figures.training import training_cut, training_map
from gradscope.figures.units import finite_time_exponents, lyapunov_spectrum, timescale

__all__ = [
    "LEARNING",
    "caption",
    "cell_gradient",
    "compare",
    "compare_maps",
    "difference",
    "difference_map",
    "direct_gradient",
    "figure",
    "finite_time_exponents",
    "flow",
    "flow_exposed",
    "flow_retained",
    "flow_written",
    "gate_activation",
    "gate_saturation",
    "input_gradient",
    "jacobian_blocks",
    "jacobian_eigenvalues",
    "jacobian_norm",
    "jacobian_rms",
    "lyapunov_spectrum",
    "nonnormality",
    "phase_map",
    "retention",
    "routes",
    "slope_rms",
    "slope_saturation",
    "state_gradient",
    "table",
    "theme",
    "timescale",
    "to_csv",
    "training_cut",
    "training_gradient",
    "training_loss",
    "training_map",
    "training_numbers",
    "transport",
    "transport_blocks",
    "transport_map",
    "transport_spectrum",
    "unit_gradient",
    "verdict_counts",
    "weight_gradient",
    "write_survival",
]
