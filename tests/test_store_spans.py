"""What a store says of its columns, against the whole table."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradscope.errors import ArgumentError
from gradscope.record import Record
from gradscope.store import Store

VALUES = st.none() | st.integers(-3, 3) | st.sampled_from([0.5, math.nan, math.inf, "a", "b", True, False, (1, 2)])


def is_number(value: object) -> bool:
    """Tell a number from text, truth values and nothing."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=5))
def test_spans_say_of_every_column_what_its_values_are(tmp_path_factory, runs):
    with Store(tmp_path_factory.mktemp("spans") / "results.db", "w") as store:
        sweep = store.add_sweep("one", {})
        for number, (parameter, metric) in enumerate(runs):
            store.start_run(str(number), sweep, {"p": parameter, "n": number})
            store.finish_run(str(number), {0: Record({}, {"m": metric})})
        spans, table = store.spans(), store.table(iteration="last")
        assert list(spans) == ["p", "n", "m"]
        for name, span in spans.items():
            values = [row[name] for row in table]
            there = [value for value in values if value is not None]
            assert span.count == len(there)
            assert span.numbers == sum(map(is_number, there))
            assert span.same == (len({json.dumps(value) for value in values}) == 1)
            if there and all(is_number(value) and math.isfinite(value) for value in there):
                assert (span.least, span.most) == (min(there), max(there))
            if span.same and there:
                assert str(span.least) == str(there[0])


def test_a_page_has_the_columns_that_were_asked_for(tmp_path):
    with Store(tmp_path / "results.db", "w") as store:
        sweep = store.add_sweep("one", {})
        for number in range(5):
            store.start_run(str(number), sweep, {"length": 10 * number, "cell": "LSTM"})
        page = store.page(order="-length", limit=2, offset=1, names=("run", "length"))
        assert page.rows == [{"run": "3", "length": 30}, {"run": "2", "length": 20}]
        assert page.count == 5
        with pytest.raises(ArgumentError, match="must be one of first, last"):
            store.spans(iteration="middle")
