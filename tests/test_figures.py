"""Figures: what all of them promise, their look, and that a real browser draws them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from drawn_figures import names, notes, rows, texts, trace
from sample_records import CASES

import gradscope as gs
from gradscope import figures
from gradscope.errors import ArgumentError
from gradscope.figures import gallery, palette, series, templates
from gradscope.figures.page import plotly_script
from gradscope.probes.catalogue import CATALOGUE
from gradscope.record import Record, Status

LANE_STATUSES = {Status.ZERO, Status.NAN, Status.INF, Status.MASKED}


# Every probe, every case ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("template", ["light", "dark"])
def test_every_figure_of_every_case_holds_what_all_figures_promise(records, case, template):
    record = records[case]
    for name, probe in CATALOGUE.items():
        figure = figures.figure(name, record, template=template)
        json.loads(figure.to_json())
        assert figure.layout.meta["title"]
        assert figure.layout.meta["unit"] == probe.unit
        assert figure.layout.meta["source"] == probe.source
        assert probe.caption in figure.layout.meta["caption"]
        assert figure.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.title.text is None
        assert {t.type for t in figure.data} <= {"scatter", "heatmap"}  # never scattergl
        assert all(len(t.x) <= series.LIMIT for t in figure.data if t.type == "scatter" and t.x is not None)
        assert all(np.shape(t.z)[1] <= 2048 for t in figure.data if t.type == "heatmap")
        if figure.data:
            unit = "1" if probe.unit == "log10" else probe.unit  # its ticks are powers of ten already
            titles = [figure.layout.yaxis.title.text, *(t.colorbar.title.text for t in figure.data if "colorbar" in t)]
            assert any(f"[{unit}" in title for title in titles if title)
            assert not any("[log10" in title for title in titles if title)
            assert figure.layout.xaxis.title.text
        if record.summary["first_bad_step"] and figure.data:
            assert any("First bad step: t = " in note for note in notes(figure))


@pytest.mark.parametrize("case", CASES)
def test_every_axis_of_numbers_says_that_it_is_one(records, case):
    """Or Plotly looks for dates and words in all of a trace."""
    for name in CATALOGUE:
        figure = figures.figure(name, records[case])
        for axis in [key for key in figure.to_plotly_json()["layout"] if key[1:5] == "axis"]:
            letter, mark = axis[0], axis[0] + axis[5:]
            places = [one[letter] for one in figure.data if (one[f"{letter}axis"] or letter) == mark]
            if any(np.asarray(one).dtype.kind in "iuf" for one in places):
                assert figure.layout[axis].type in ("linear", "log"), (name, axis)


@pytest.mark.parametrize("case", CASES)
def test_lanes_hold_every_element_that_the_curves_cannot_show(records, case):
    record = records[case]
    for name in ("transport", "state_gradient", "jacobian_norm", "jacobian_rms"):
        entry = record.field(name)
        rows = series.lanes([series.along(entry, name, log=True)])
        found = series.statuses(entry)
        present = {Status(s) for s in np.unique(found)} & LANE_STATUSES
        assert {row.status for row in rows} == present
        for row in rows:
            wanted = (found == row.status).sum(1)
            assert row.counts.max() == wanted.max()
            if not row.decimated:
                np.testing.assert_array_equal(row.counts, wanted)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_probe_that_was_not_taken_is_an_error_with_the_way_out(name):
    record = Record(config={"cell": {"cell": "LSTM"}})
    with pytest.raises(ArgumentError, match="Ask for it with `probes="):
        figures.figure(name, record)


@pytest.mark.parametrize(
    ("cell", "name", "sentence"),
    [
        ("RNN", "retention", "Retention needs a cell with a gate that keeps; a plain RNN has none."),
        ("RNN", "timescale", "needs a cell with a gate that keeps"),
        ("RNN", "flow_written", "needs a cell with a gate that keeps"),
        ("RNN", "cell_gradient", "needs a cell with a cell state; a plain RNN has none."),
        ("GRU", "cell_gradient", "needs a cell with a cell state; a GRU has none."),
        ("GRU", "write_survival", "needs a cell with a cell state and a gate that keeps; a GRU has none."),
        ("RNN", "routes", "needs a cell with a cell state; a plain RNN has none."),
        ("RNN", "jacobian_blocks", "needs a cell whose state has more than one block; a plain RNN has none."),
        ("relu", "gate_saturation", "not applicable to this cell: its activation is unbounded."),
    ],
)
def test_a_probe_that_does_not_apply_says_why_in_place_of_data(records, cell, name, sentence):
    figure = figures.figure(name, records[cell.lower()])
    assert not figure.data
    assert sentence in texts(figure)
    assert figure.layout.xaxis.visible is False


@pytest.mark.parametrize(
    ("cell", "name", "sentence"),
    [
        ({"cell": "MGU"}, "cell_gradient", "needs a cell with a cell state; MGU has none."),
        ({"cell": "RWA"}, "retention", "needs a cell with a gate that keeps; RWA has none."),
        ({"cell": "RWA"}, "write_survival", "needs a cell with a cell state and a gate that keeps; RWA has none."),
        ({"cell": "IRNN"}, "timescale", "needs a cell with a gate that keeps; IRNN has none."),
        (
            {"cell": "StepCell", "blocks": ["h"], "keep_gate": None},
            "jacobian_blocks",
            "needs a cell whose state has more than one block; StepCell has none.",
        ),
    ],
)
def test_what_a_rarer_cell_lacks_is_said_too(cell, name, sentence):
    assert sentence in texts(figures.figure(name, Record(config={"cell": cell})))


def test_a_step_without_gates_has_no_gates_to_show():
    cell = gs.StepCell(2, 2, function=lambda params, x, h: params["w"] * h + x)
    record = gs.probe(cell, {"w": np.ones(2)}, np.ones((5, 2, 2)), "full")
    for name in CATALOGUE:
        figures.figure(name, record)
    for name in ("gate_activation", "weight_gradient", "slope_rms"):
        assert "is not applicable to this cell" in texts(figures.figure(name, record))


def test_a_figure_of_a_network_says_which_layer_has_it():
    cell = gs.Stack([gs.RNN(1, 2), gs.GRU(2, 2)])
    record = gs.probe(cell, cell.init(np.random.default_rng(0)), np.ones((5, 2, 1)), "cheap")
    with pytest.raises(ArgumentError, match=r"layer by layer: look at `record\.layers\['layer2'\]`"):
        figures.figure("retention", record)


def test_what_was_not_computed_says_why(records):
    record = records["lstm"]
    entry = record.field("lyapunov_spectrum")
    reason = "the sequence is no longer than the burn-in"
    gone = replace(
        entry,
        values=np.full(entry.values.shape, np.nan),
        status=np.full(entry.values.shape, 7, np.uint8),
        reason=reason,
    )
    figure = figures.lyapunov_spectrum(Record({"lyapunov_spectrum": gone}))
    assert not figure.data
    assert "was not computed: the sequence is no longer than the burn-in." in texts(figure)


def test_the_package_lists_a_function_for_every_probe():
    assert set(CATALOGUE) <= set(figures.__all__)
    assert set(CATALOGUE) == set(gallery._FIGURES)
    assert {"figure", "caption", "theme", "flow", "phase_map", "verdict_counts"} <= set(figures.__all__)
    assert all(getattr(figures, name).__doc__ for name in figures.__all__ if name != "Figure")  # plotly's own


def test_figure_dispatches_by_name_and_passes_options(records):
    record = records["lstm"]
    assert figures.figure("transport", record, title=True) == figures.transport(record, title=True)
    with pytest.raises(ArgumentError, match="Did you mean 'transport'"):
        figures.figure("transprot", record)
    assert figures.caption("timescale") == CATALOGUE["timescale"].caption
    with pytest.raises(ArgumentError, match="Did you mean 'timescale'"):
        figures.caption("time_scale")


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda r: figures.transport(r, template="drak"), "Did you mean 'dark'"),
        (lambda r: figures.theme("ligth"), "Did you mean 'light'"),
        (lambda r: figures.gate_saturation(r, over="units"), "Did you mean 'unit'"),
        (lambda r: figures.gate_activation(r, gate="forgt"), "Did you mean 'forget'"),
        (lambda r: figures.gate_activation(r, order="means"), "Did you mean 'mean'"),
        (lambda r: figures.gate_activation(r, show="hist"), "Did you mean 'histogram'"),
    ],
)
def test_a_wrong_option_is_named_with_the_nearest_right_one(records, call, hint):
    with pytest.raises(ArgumentError, match=hint):
        call(records["lstm"])


def test_a_title_is_written_only_on_request(records):
    figure = figures.flow(records["lstm"], title=True)
    assert figure.layout.title.text == "Cell-state flow"
    assert figure.layout.margin.t > figures.flow(records["lstm"]).layout.margin.t


# Look -----------------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("meaning", palette.COLOURS)
@pytest.mark.parametrize("page", ["#ffffff", "#242424", "#2e2e2e"])
def test_every_colour_stands_out_on_both_pages(meaning, page):
    light, dark = sorted([luminance(palette.colour(meaning)), luminance(page)], reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 2.6


def test_colours_are_tied_to_their_meaning():
    assert palette.colour("forget") == palette.colour("update") == palette.colour("retained")
    assert palette.colour("nonsense") == palette.NEUTRAL
    for group in (
        ("input", "forget", "candidate", "output", "hidden"),
        ("reset", "update", "candidate", "hidden"),
        ("RNN", "LSTM", "GRU"),
        ("h-h", "h-c", "c-h", "c-c"),
        ("vanishing", "stable", "exploding", "diverged", "undetermined"),
        ("total", "direct", "cell state"),
    ):
        assert len({palette.colour(name) for name in group}) == len(group)
    assert palette.faded("#ff0010", 0.5) == "rgba(255,0,16,0.5)"


def shape(entry):
    """Return a nest of keys without its values."""
    if isinstance(entry, dict):
        return {key: shape(value) for key, value in entry.items()}
    return [shape(value) for value in entry] if isinstance(entry, list) else None


def test_both_templates_share_one_layout():
    light, dark = (figures.theme(name).to_plotly_json() for name in ("light", "dark"))
    assert shape(json.loads(json.dumps(light, default=list))) == shape(json.loads(json.dumps(dark, default=list)))
    assert light["layout"]["font"]["color"] != dark["layout"]["font"]["color"]
    assert figures.theme("light") is not figures.theme("light")
    assert templates.plain("light") is templates.plain("light")


def test_a_theme_changes_nothing_but_the_template(records):
    for name in CATALOGUE:
        light, dark = (
            json.loads(figures.figure(name, records["zero"], template=t).to_json()) for t in ("light", "dark")
        )
        light["layout"].pop("template")
        dark["layout"].pop("template")
        assert light == dark, name


# The whole way --------------------------------------------------------------------------------------------------------


def measured(cell, length: int = 30, **options) -> Record:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((length, 4, cell.input_size))
    with np.errstate(over="ignore", invalid="ignore"):
        return gs.probe(cell, cell.init(rng, **options), inputs, probes="full")


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_records_of_real_probes_are_drawn(cell):
    record = measured(getattr(gs, cell)(input_size=2, hidden_size=5))
    assert len(record.config["probes"]) > 8
    for name in record.config["probes"]:
        figure = figures.figure(name, record)
        assert figure.data or texts(figure)
    line = trace(figures.jacobian_norm(record), "median")
    np.testing.assert_allclose(line.y, np.median(np.log10(record["jacobian_norm"]), axis=1))


def test_zeros_underflow_and_nan_of_real_probes_reach_the_picture():
    dead = measured(gs.RNN(input_size=1, hidden_size=4, activation="relu"), 60, recurrent="gaussian", gain=0.01)
    if (dead.status["transport"] == Status.ZERO).any():
        assert "exactly zero" in names(figures.transport(dead))
    small = measured(gs.RNN(input_size=1, hidden_size=4), 300, recurrent="orthogonal", gain=0.01)
    assert (small.status["transport"] == Status.UNDERFLOW).any()
    figure = figures.transport(small)
    assert "below the float range" in names(figure)
    boom = measured(gs.RNN(input_size=1, hidden_size=4, activation="relu"), 800, recurrent="orthogonal", gain=8.0)
    assert boom.summary["verdict"] == "diverged"
    figure = figures.jacobian_norm(boom)
    assert f"t = {boom.summary['first_bad_step']['t']} " in notes(figure)[0]
    assert "NaN" in names(figure)


PAGE = """<html><body><script>{library}</script>{places}<script>
const figures = {figures};
window.ready = Promise.all(figures.map((f, i) => Plotly.newPlot("f" + i, f.data, f.layout)));
</script></body></html>"""


@pytest.mark.browser
def test_a_browser_draws_every_figure_and_changes_its_theme(page, records, tmp_path):
    drawn = [
        figures.figure(name, records[case])
        for case in ("lstm", "diverged", "all_diverged", "underflow", "single_step")
        for name in CATALOGUE
    ]
    drawn += [figures.gate_saturation(records["lstm"], over="unit"), figures.verdict_counts(rows())]
    drawn += [figures.phase_map(rows(), "length", "forget_bias")]
    places = "".join(f'<div id="f{i}" style="width:560px;height:320px"></div>' for i in range(len(drawn)))
    bodies = ",".join(figure.to_json() for figure in drawn).replace("</", "<\\/")
    file = tmp_path / "figures.html"
    file.write_text(PAGE.format(library=plotly_script(), places=places, figures=f"[{bodies}]"), encoding="utf-8")
    wrong = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(file.as_uri())
    page.evaluate("window.ready")
    assert not wrong
    number = len(drawn) - 1
    ticks = page.evaluate("document.querySelector('#f0 .ytick text').textContent")
    assert ticks
    before = page.evaluate(f"document.getElementById('f{number}')._fullData[0].colorscale[3][1]")
    page.evaluate(f"Plotly.relayout('f{number}', {{template: {json.dumps(figures.theme('dark').to_plotly_json())}}})")
    after = page.evaluate(f"document.getElementById('f{number}')._fullData[0].colorscale[3][1]")
    assert (before, after) == (palette.DIVERGING["light"][3], palette.DIVERGING["dark"][3])
    powers = page.evaluate(
        "Array.from(document.querySelectorAll('.ytick text')).filter(t => t.querySelector('tspan')).length"
    )
    assert powers > 0
    assert not wrong
