"""Records drawn by hypothesis, and what it means that two records are the same."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradscope.record import Field, Record, to_json

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
NUMBERS = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="=")
    | hnp.unsigned_integer_dtypes(endianness="=")
    | hnp.floating_dtypes(sizes=(16, 32, 64), endianness="?")
    | hnp.complex_number_dtypes(sizes=(64, 128), endianness="?")
)


def same(first: object, second: object) -> bool:
    """Return whether two plain values are equal, NaN equal to NaN and 1 different from True and 1.0."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, float):
        return first == second or (math.isnan(first) and math.isnan(second))
    return first == second


def assert_same(first: Record, second: Record) -> None:
    """Assert that two records hold the same, bit by bit and in the same order."""
    assert list(first) == list(second)
    for name in first:
        one, two = first.field(name), second.field(name)
        assert (one.axes, one.unit, one.reason) == (two.axes, two.unit, two.reason)
        assert same(one.coords, two.coords)
        assert one.values.dtype.newbyteorder("=") == two.values.dtype.newbyteorder("=")
        assert one.values.shape == two.values.shape
        little = one.values.dtype.newbyteorder("<")
        assert one.values.astype(little).tobytes() == two.values.astype(little).tobytes()
        assert (one.status is None) == (two.status is None)
        np.testing.assert_array_equal(one.statuses(), two.statuses())
    assert to_json(first.summary) == to_json(second.summary)
    assert to_json(first.config) == to_json(second.config)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Draw a record of arrays of any number type and shape, empty and 0-d ones included."""
    record = Record(
        summary=draw(st.dictionaries(NAMES, SCALARS, max_size=4)), config=draw(st.dictionaries(NAMES, JSON, max_size=4))
    )
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
        values = draw(hnp.arrays(draw(NUMBERS), shape))
        axes = tuple(draw(st.lists(NAMES, min_size=len(shape), max_size=len(shape), unique=True)))
        labelled = axes[:1] if draw(st.booleans()) else ()
        labels = st.text(max_size=3) | st.floats()
        coords = {axis: draw(st.lists(labels, min_size=shape[0], max_size=shape[0])) for axis in labelled}
        status = draw(st.none() | hnp.arrays(np.uint8, shape, elements=st.integers(0, 7)))
        unit, reason = draw(st.text(max_size=4)), draw(st.text(max_size=4))
        record.fields[name] = Field(name, values, axes, unit, coords, status, reason)
    return record
