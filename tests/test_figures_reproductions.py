"""Figures of studies: what was measured stands in the axes of theory, and says which is which."""

from __future__ import annotations

import numpy as np
import pytest

from gradscope.errors import ArgumentError
from gradscope.figures import palette
from gradscope.figures.reproductions import Curve, Panel, Plane, draw_panels, draw_plane

MEASURED = Curve("tanh", [1.0, 2.0, 3.0], [0.1, np.nan, 0.3], spread=[0.01, 0.02, 0.03])
THEORY = Curve("tanh, theory", [1.0, 3.0], [0.1, 0.31], theory=True, group="tanh")


@pytest.mark.parametrize("template", ["light", "dark"])
def test_theory_is_dashed_and_has_the_colour_of_what_it_predicts(template):
    panels = [
        Panel([MEASURED, THEORY], "gain [1]", "exponent [nat/step]"),
        Panel([MEASURED], "1/N [1]", "the same [1]"),
    ]
    figure = draw_panels(panels, "Heading", "Caption", template)
    first, second, third = figure.data
    assert (list(first.x), first.y[0], first.error_y.array[2]) == ([1.0, 2.0, 3.0], 0.1, 0.03)
    assert np.isnan(first.y[1])
    assert (first.line.dash, second.line.dash) == (None, palette.DASHED)
    assert second.line.color == first.marker.color
    assert (first.showlegend, third.showlegend) == (True, False), "a curve of two panels has one entry"
    assert (third.xaxis, third.yaxis) == ("x2", "y2")
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]
    assert figure.layout.yaxis.title.text == "exponent [nat/step]"
    assert figure.layout.meta["title"] == "Heading"


def test_curves_beyond_the_colours_are_told_by_their_marks():
    curves = [Curve(f"cell {n}", [n], [n]) for n in range(14)]
    figure = draw_panels([Panel(curves, "x [1]", "y [1]")], "Many", "A caption.")
    looks = {(trace.marker.color, trace.marker.symbol) for trace in figure.data}
    assert len(looks) == 14


def test_axes_can_be_logarithmic():
    figure = draw_panels([Panel([MEASURED], "x [1]", "y [1]", log_x=True, log_y=True)], "", "")
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")


def test_a_figure_without_a_panel_is_refused():
    with pytest.raises(ArgumentError, match="Give a Panel"):
        draw_panels([], "", "")


def test_a_plane_shows_both_signs_and_says_where_its_colours_end():
    values = np.array([[-9.0, -1.0], [0.5, np.nan]])
    plane = Plane([0.01, 1.0], [1.0, 2.0], values, ("x [1]", "y [1]", "z [1]"), (THEORY,), sided=True, log_x=True)
    figure = draw_plane(plane, "Heading", "Caption")
    heat, line = figure.data
    assert (heat.zmin, heat.zmid, heat.zmax) == (-1.5, 0, 1.5)
    assert np.array(heat.z)[0, 0] == -9.0, "the number itself is kept"
    assert any("Colours end at" in note for note in figure.layout.meta["notes"])
    assert line.line.dash == palette.DASHED
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.range) == [-3.0, 1.0]


def test_words_stand_at_equal_distances_even_where_they_read_as_numbers():
    figure = draw_plane(Plane(["50", "100", "200"], ["-2", "0"], np.eye(2, 3), ("x [1]", "y [1]", "z [1]")), "", "")
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("category", "category")
    assert draw_plane(Plane([50, 100], [1, 2], np.eye(2), ("x", "y", "z")), "", "").layout.xaxis.type == "linear"


def test_a_plane_of_one_sign_keeps_all_its_colours():
    plane = Plane(
        ["50", "100"], ["a", "b"], np.array([[1.0, 2.0], [3.0, 4.0]]), ("x", "y", "z"), text=[["1", "2"], ["3", "4"]]
    )
    figure = draw_plane(plane, "Heading", "Caption", "dark")
    assert figure.data[0].zmin is None
    assert figure.data[0].text == (("1", "2"), ("3", "4")) or figure.data[0].text[1][0] == "3"
    assert not figure.layout.meta["notes"]
    assert not figure.layout.showlegend
