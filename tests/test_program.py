"""Programs: what is replayed must be what autograd would do, digit for digit."""

from __future__ import annotations

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import make_vjp

from gradscope.activations import sigmoid, tanh
from gradscope.cells import CELLS, LSTM, Cell
from gradscope.program import ReadError, per_cell, record, replayed


def arrays(count: int, *shape: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).standard_normal((count, *shape)))


def derivative(a, b):
    """A function with its derivative rules: what autograd's tape would do."""
    pull, value = make_vjp(lambda a: tanh(a * b) * sigmoid(a) + 2.0)(a)
    return value, pull(value)


def test_a_program_gives_the_same_digits_on_arrays_of_another_shape():
    program = record(derivative, arrays(2, 2, 3))
    for shape in ((4,), (5, 1), (2, 3, 4)):
        given = arrays(2, *shape, seed=1)
        for ours, theirs in zip(program(*given), derivative(*given), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_program_leaves_its_arguments_and_itself_alone():
    program = record(derivative, arrays(2, 2, 3))
    given = arrays(2, 4, seed=2)
    before = [array.copy() for array in given]
    first = program(*given)
    second = program(*given)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_no_output_needs_is_not_computed():
    program = record(lambda a: (anp.exp(anp.sin(a)) * 0 + a, anp.cos(a))[1:], arrays(1, 3))
    assert [call[0] for call in program.calls] == [np.cos]


def test_products_with_ones_are_left_out_only_where_the_shape_stays():
    column = np.arange(3.0)[:, None]
    program = record(lambda ones, a: (ones * a, ones * column, a * 2.0), [np.ones((3, 2)), *arrays(1, 3, 2)], ones=0)
    (given,) = arrays(1, 3, 4)
    same, spread, twice = program(np.ones((3, 4)), given)
    assert same is given
    np.testing.assert_array_equal(spread, np.broadcast_to(column, (3, 4)))
    np.testing.assert_array_equal(twice, 2.0 * given)


def test_results_that_are_none_or_constant_stay_so():
    program = record(lambda a: (None, 3.0, a), arrays(1, 2))
    assert program(np.zeros(5))[:2] == [None, 3.0]


@pytest.mark.parametrize(
    "function",
    [
        lambda a: (a + np.ones(2),),  # knows the shape of the sample
        lambda a: (a if float(anp.sum(a)) > 0 else -a,),  # looks at values
        lambda a: ((a * np.random.default_rng(len(a)).standard_normal(len(a))),),
    ],
)
def test_what_cannot_be_replayed_is_called_itself(function):
    sample, trial = np.array([1.0, 2.0]), np.array([-1.0, -2.0, -3.0])
    if function(sample)[0].shape == (2,):
        assert replayed(function, [sample], [trial]) is function


def test_an_update_that_raises_is_left_to_say_so_itself():
    def broken(a):
        raise ZeroDivisionError("mine")

    assert replayed(broken, arrays(1, 2), arrays(1, 3)) is broken


def test_a_cell_that_reads_no_parameter_is_built_once():
    built = []

    @per_cell
    def build(cell, params, dtype):
        built.append(cell)
        return lambda: cell

    for _ in range(3):
        build(LSTM(1, 2), {"b": 1}, np.dtype(float))
    build(LSTM(1, 3), {"b": 1}, np.dtype(float))
    build(LSTM(1, 2), {"b": 1}, np.dtype(np.float32))
    assert len(built) == 3


def test_a_cell_that_reads_a_parameter_is_built_for_each():
    @per_cell
    def build(cell, params, dtype):
        scale = params["scale"]
        return lambda: scale

    assert [build(LSTM(1, 2), {"scale": n}, np.dtype(float))() for n in (1, 2)] == [1, 2]


def test_a_changed_update_is_not_taken_for_the_old_one(monkeypatch):
    @per_cell
    def build(cell, params, dtype):
        return type(cell).update

    cell = LSTM(1, 2)
    build(cell, {}, np.dtype(float))
    monkeypatch.setattr(LSTM, "update", lambda *arguments: None)
    assert build(cell, {}, np.dtype(float)) is LSTM.update


def test_reading_while_recording_for_all_is_an_error_of_its_own():
    @per_cell
    def build(cell, params, dtype):
        with pytest.raises(ReadError):
            len(params)
        with pytest.raises(ReadError):
            list(params)
        return lambda: None

    build(LSTM(1, 2), {"b": 1}, np.dtype(float))


@pytest.mark.parametrize("kind", [kind for kind in CELLS.values() if kind.factored])
def test_every_cell_is_replayed(kind: type[Cell]):
    """The fast way is the one that is taken: no cell of ours falls back to tracing anew."""
    cell = kind(1, 3)
    count, units = len(cell.gate_names), cell.unit_params
    total = 2 * count + len(cell.blocks) + len(units)

    def update(*given):
        drives, rest = given[: 2 * count], given[2 * count :]
        params = dict(zip(units, rest[len(cell.blocks) :], strict=True))
        return cell.update(params, drives[:count], drives[count:], rest[: len(cell.blocks)])

    assert replayed(update, arrays(total, 3, 2), arrays(total, 3, 3)) is not update
