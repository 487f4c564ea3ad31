"""Sketches: well-formed SVG with gaps where nothing can be drawn, and nothing but what the array says."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradscope.sketch import HEIGHT, MARGIN, POINTS, WIDTH, sketch

values = arrays(
    np.float64,
    st.tuples(st.integers(1, 150), st.integers(1, 3)),
    elements=st.floats(allow_nan=True, allow_infinity=True),
)


@given(values)
def test_whatever_the_array_holds_the_picture_is_whole_and_inside_its_frame(array):
    drawn = sketch(array, ("step", "batch"))
    assert bool(drawn) == bool(np.isfinite(array).any())
    if not drawn:
        return
    root = ElementTree.fromstring(drawn)
    numbers = re.findall(r"(-?[\d.]+),(-?[\d.]+)", drawn)
    for x, y in numbers:
        assert MARGIN - 0.1 <= float(x) <= WIDTH - MARGIN + 0.1
        assert MARGIN - 0.1 <= float(y) <= HEIGHT - MARGIN + 0.1
    assert root.attrib["aria-label"] == "median along step"
    assert "nan" not in drawn
    assert len(drawn) < 60 * POINTS


def polyline(drawn):
    """Return the points of every median line."""
    lines = re.findall(r'<polyline points="([^"]*)"', drawn)
    return [[tuple(map(float, pair.split(","))) for pair in line.split()] for line in lines]


def test_a_straight_line_is_drawn_straight_and_upwards():
    (line,) = polyline(sketch(np.linspace(0.0, 1.0, 50), ("time",)))
    assert line[0] == (MARGIN, HEIGHT - MARGIN)
    assert line[-1] == (WIDTH - MARGIN, MARGIN)


def test_nan_and_minus_infinity_leave_a_gap():
    gap = np.linspace(0.0, 1.0, 40)
    gap[10:15], gap[30] = np.nan, -np.inf
    assert len(polyline(sketch(gap, ("time",)))) == 3


def test_the_main_axis_is_found_wherever_it_stands():
    array = np.arange(24.0).reshape(2, 12)
    assert "along step" in sketch(array, ("gate", "step"))
    assert "along time" in sketch(array.T, ("time", "unit"))
    assert sketch(array, ("gate", "side")) == ""
    assert sketch(np.empty((0, 2)), ("step", "batch")) == ""
    assert "circle" in sketch(np.ones(1), ("rank",))
    assert polyline(sketch(np.array([3 + 4j, 0j]), ("rank",)))[0][0][1] == MARGIN


@pytest.mark.parametrize("level", [0.0, 1e300, -5.0])
def test_a_constant_lies_in_the_middle(level):
    (line,) = polyline(sketch(np.full(10, level), ("step",)))
    assert {y for _, y in line} == {HEIGHT / 2}
