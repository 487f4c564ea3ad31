"""Every figure of every probe, from records of all that can go wrong, and of numbers at the edge of floats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
import sample_records

from gradscope import figures
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Record, Status

LOGARITHMS = ("log10", "nat/step")
ALONG = ("time", "step", "lag", "unit", "rank", "bin")
NUMBERS = {Status.ZERO: 0.0, Status.UNDERFLOW: 5e-324, Status.INF: np.inf}
IN_LOGS = {Status.ZERO: -np.inf, Status.UNDERFLOW: -400.0, Status.INF: np.inf}
WORDS = ("masked", "NaN", "inf", "not computed")
#: Figures without a mark for each: they count in their notes what has no place.
COUNTED = {"gate_saturation by unit": "25 units", "jacobian_eigenvalues": "64 NaN", "gate_activation histogram": "bin"}


def mixed() -> Record:
    """Return an LSTM each array of which holds every status along its first axis of places."""
    record = sample_records.lstm()
    for name, entry in record.fields.items():
        values = np.array(entry.values, complex if np.iscomplexobj(entry.values) else float)
        found = np.array(entry.statuses())
        axis = next((entry.axes.index(one) for one in ALONG if one in entry.axes), 0)
        step = max(1, values.shape[axis] // 9)
        for number, status in enumerate(one for one in Status if one != Status.OK):
            at: list = [slice(None)] * values.ndim
            at[axis] = slice(number * step + 1, number * step + 1 + max(1, step // 3))
            values[tuple(at)] = (IN_LOGS if entry.unit in LOGARITHMS else NUMBERS).get(status, np.nan)
            found[tuple(at)] = status
        record.fields[name] = replace(entry, values=values, status=found)
    return record


def at_the_edge(record: Record, top: float) -> Record:
    """Return a record of numbers up to the largest float, of both signs."""
    rng = np.random.default_rng(0)
    for name, entry in record.fields.items():
        values = (rng.uniform(-1, 1, entry.values.shape) * top).astype(np.asarray(entry.values).dtype)
        record.fields[name] = replace(entry, values=values)
    return record


def drawn(record: Record, template: str = "light") -> dict[str, go.Figure]:
    found = {name: figures.figure(name, record, template=template) for name in CATALOGUE if name in record}
    found["gate_saturation by unit"] = figures.gate_saturation(record, over="unit", template=template)
    found["gate_activation histogram"] = figures.gate_activation(record, show="histogram", template=template)
    found["write_survival signs"] = figures.write_survival(record, sequence=0, template=template)
    found["unit_gradient h"] = figures.unit_gradient(record, block="h", template=template)
    return found


def said(figure: go.Figure) -> str:
    legend = [str(trace.name) for trace in figure.data if trace.showlegend is not False]
    return " | ".join([*legend, *figure.layout.meta["notes"]])


@pytest.fixture(scope="module")
def spoiled() -> dict[str, dict[str, go.Figure]]:
    record = mixed()
    return {template: drawn(record, template) for template in ("light", "dark")}


@pytest.mark.parametrize("template", ["light", "dark"])
def test_each_status_has_its_mark_in_every_figure(spoiled, template):
    for name, figure in spoiled[template].items():
        words = (COUNTED[name],) if name in COUNTED else WORDS
        assert all(word in said(figure) for word in words), (name, said(figure))


def test_zeros_and_what_lies_below_the_float_range_have_theirs_in_logarithms(spoiled):
    for name in ("transport", "state_gradient", "unit_gradient", "input_gradient", "jacobian_norm", "routes"):
        for word in ("exactly zero", "below the float range"):
            assert word in said(spoiled["light"][name]), (name, word)
    for name in ("lyapunov_spectrum", "finite_time_exponents"):
        assert "−inf" in said(spoiled["light"][name])


def test_no_drawn_number_is_infinite_and_no_axis_names_a_logarithm_beside_powers_of_ten(spoiled):
    for name, figure in spoiled["light"].items():
        for trace in figure.data:
            for values in (trace.y, getattr(trace, "z", None)):
                numbers = np.asarray(values if values is not None else [])
                if numbers.dtype.kind == "f":
                    assert not np.isinf(numbers).any(), name
        titles = [figure.layout[axis].title.text or "" for axis in ("xaxis", "yaxis")]
        assert not any("log10" in title for title in titles), name


@pytest.mark.parametrize("top", [1e307, 1.7e308])
def test_numbers_near_the_largest_float_draw_without_a_warning(top):
    for case in (sample_records.lstm, sample_records.long):
        for figure in drawn(at_the_edge(case(), top)).values():
            assert figures.table(figure)["value"] is not None
