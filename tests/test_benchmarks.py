"""Benchmarks: they run at tiny sizes, and what they compare is the same number."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks import clock, growth, limits, rows
from benchmarks.__main__ import main
from benchmarks.clock import Missing, Row


def taken(found, work):
    """Return the rows of one kind of work, all with positive times, or say which peer is missing."""
    found = list(found)
    for row in found:
        if isinstance(row, Row):
            assert row.ours > 0
            assert row.theirs > 0
            assert np.isfinite(row.ratio)
        else:
            assert "pip install" in row.reason
    return [row for row in found if row.work == work]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch.func's own
def test_jacobians_and_norms_agree_with_every_peer_that_is_there():
    found = list(rows.jacobian_rows(1, sizes=((5, 3, 2),), few=1))
    assert {row.against for row in taken(found, "step Jacobians")} >= {"autograd.jacobian"}


def test_training_steps_agree_with_every_peer_that_is_there():
    found = taken(rows.training_rows(1, sizes=((6, 2, 3, 4),)), "BPTT with dL/ds_t")
    assert "autograd's tape" in {row.against for row in found}


def test_a_step_is_probed_and_imports_are_timed():
    taken(rows.tap_rows(1, length=6, batch=2, size=4), "backward pass, tapped")
    both = list(rows.probing_rows(1, sizes=((6, 2, 3, 4),)))
    for work in ("training step and its record", "training step, then a probe"):
        (probed,) = taken(both, work)
        assert probed.at_most
    assert taken(rows.import_rows(1), "import gradscope")


def test_memory_is_that_of_a_process_of_its_own():
    peak, written = rows.memory_rows(1, length=20, batch=2, size=4)
    assert 0.02 < peak.ours < 1.5
    assert written.theirs == pytest.approx(20 * 2 * 8 * 8 * 8 / 1e9)


@pytest.mark.slow
def test_a_sweep_is_measured_on_the_real_runner():
    """Two processes are started."""
    (row,) = rows.sweep_rows(1, seeds=3, length=5)
    assert not isinstance(row, Missing)
    assert row.size.startswith("3 runs")


def test_two_routes_that_differ_stop_the_benchmark():
    with pytest.raises(SystemExit, match=r"the two routes differ by 1\.0e-03; nothing was measured"):
        clock.agree("norms", np.array([1.001]), np.array([1.0]))


def test_a_number_is_reached_in_its_own_direction():
    assert Row("", "", "", ours=1.0, theirs=20.0, reach=20).reached
    assert not Row("", "", "", ours=1.0, theirs=19.0, reach=20).reached
    assert Row("", "", "", ours=1.1, theirs=1.0, reach=1.2, at_most=True).reached
    assert not Row("", "", "", ours=1.3, theirs=1.0, reach=1.2, at_most=True).reached
    assert Row("", "", "", ours=1.0, theirs=1.0).reached is None


def test_limits_count_what_each_kernel_writes():
    found = {limit.kernel: limit for limit in limits.limits(1, length=4, batch=2, width=3, size=5)}
    jacobians = found["step Jacobians"]
    assert jacobians.bytes == 4 * 2 * 10 * 10 * 8
    assert jacobians.seconds > 0
    assert found["Frobenius norms"].flops == 0


def test_growth_is_fitted_and_drawn():
    exact = growth.Growth("k", "T", (10, 20, 40), (1.0, 4.0, 16.0))
    assert exact.exponent == pytest.approx(2.0)
    found = growth.growth(1, {"T": (3, 6), "H": (2, 4)}, {"T": 3, "B": 2, "H": 2})
    assert {(row.kernel, row.axis) for row in found} >= {("BPTT", "T"), ("transport", "H")}
    assert growth.exponents(found).row_count == 6
    figure = growth.picture(found)
    assert len(figure.data) == 12
    assert "T<sup>" in figure.data[0].name


def test_the_exponents_stand_under_their_axes():
    found = [growth.Growth("k", axis, (1, 10), (1.0, 10.0**power)) for axis, power in (("T", 1), ("B", 2), ("H", 3))]
    table = growth.exponents(found)
    assert [str(column.header)[0] for column in table.columns[1:]] == ["T", "B", "H"]
    assert [next(iter(column.cells)) for column in table.columns[1:]] == ["1.00", "2.00", "3.00"]


def test_the_command_refuses_a_part_that_it_does_not_know(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "nothing"])
    with pytest.raises(SystemExit):
        main()
    assert "invalid choice: 'nothing'" in capsys.readouterr().err
