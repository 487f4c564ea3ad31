"""Figures of directions: the fan of singular values, the complex plane, finite-time exponents and routes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_figures import names, notes, texts, trace

from gradscope import figures
from gradscope.errors import ArgumentError
from gradscope.figures import palette, scales, spectra
from gradscope.record import Field, Record, Status


def test_the_fan_shows_the_medians_of_some_ranks_over_the_lag(records):
    record = records["lstm"]
    figure = figures.transport_spectrum(record)
    values = record["transport_spectrum"]
    assert names(figure)[:7] == [f"rank {rank}" for rank in (1, 2, 4, 8, 16, 32, 64)]
    for rank in (1, 4, 64):
        line = trace(figure, f"rank {rank}")
        np.testing.assert_allclose(line.y, np.median(values[:, rank - 1], axis=1), rtol=1e-12)
        np.testing.assert_array_equal(line.x, record.coords["transport_spectrum"]["lag"])
    low, high = np.quantile(values[5, 63], [0.05, 0.95])
    band = trace(figure, "rank 64, 5–95 %")
    drawn = np.asarray(band.y)[np.asarray(band.x) == line.x[5]]
    np.testing.assert_allclose([drawn.min(), drawn.max()], [low, high], rtol=1e-12)
    assert figure.layout.xaxis.title.text == "lag l [step]"
    assert notes(figure) == ["Measured where the dots are: at 17 of 121 lags."]
    assert not figure.layout.shapes  # the lag is no place of a first bad step


@pytest.mark.parametrize("size", [1, 2, 8, 9, 64, 65, 1000])
def test_ranks_rise_from_the_first_to_the_last(size):
    chosen = spectra.ranks(size)
    assert chosen[0] == 0
    assert chosen[-1] == size - 1
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) <= 11


def test_masked_sequences_and_underflow_of_the_fan_are_told_apart(records):
    assert "masked" in names(figures.transport_spectrum(records["masked"]))
    figure = figures.transport_spectrum(records["underflow"])
    assert trace(figure, "rank 1, below the float range").line.dash == "1px,3px"


def test_the_plane_shows_the_eigenvalues_of_one_sequence_by_step(records):
    record = records["lstm"]
    figure = figures.jacobian_eigenvalues(record, sequence=2)
    steps = record.coords["jacobian_eigenvalues"]["step"]
    values = record["jacobian_eigenvalues"]
    for number, step in enumerate(steps):
        dots = trace(figure, f"step {step}")
        np.testing.assert_array_equal(np.asarray(dots.x) + 1j * np.asarray(dots.y), values[number, :, 2])
        assert set(dots.marker.color) == {step}
    assert figure.layout.coloraxis.colorbar.title.text == "step t"
    circle = next(shape for shape in figure.layout.shapes if shape.type == "circle")
    assert (circle.x0, circle.x1, circle.y0, circle.y1) == (-1, 1, -1, 1)
    assert figure.layout.yaxis.scaleanchor == "x"
    radii = np.abs(values).max(1)
    middle, low, high = (scales.value(float(f(radii)), 3) for f in (np.median, np.min, np.max))
    assert notes(figure)[0] == f"Spectral radius {middle} ({low} to {high} over steps and sequences)."
    assert notes(figure)[1] == "Sequence 2, 16 of 120 steps; dashed: the unit circle."


def test_the_spectral_radius_over_the_steps(records):
    record = records["lstm"]
    figure = figures.jacobian_eigenvalues(record, show="radius")
    wanted = np.median(np.log10(np.abs(record["jacobian_eigenvalues"][:, 0])), axis=1)
    np.testing.assert_allclose(trace(figure, "median").y, wanted, rtol=1e-12)
    assert figure.layout.yaxis.title.text == "Spectral radius [1, log scale]"


def test_eigenvalues_that_are_no_numbers_are_counted(records):
    figure = figures.jacobian_eigenvalues(records["diverged"], sequence=7)
    assert notes(figure)[-1] == "Not on the plane: 64 NaN."  # 32 at each of two steps
    assert "NaN" in names(figures.jacobian_eigenvalues(records["diverged"], show="radius"))
    assert "No finite eigenvalue." in texts(figures.jacobian_eigenvalues(records["all_diverged"]))


def test_many_eigenvalues_are_thinned_from_within_and_the_figure_says_so():
    rng = np.random.default_rng(0)
    values = np.sort(rng.random((16, 1500, 1)), axis=1)[:, ::-1] * np.exp(6j * rng.random((16, 1500, 1)))
    record = Record({"jacobian_eigenvalues": Field("jacobian_eigenvalues", values, ("step", "rank", "batch"), "1")})
    data = spectra.eigenvalues(record)
    assert data.grid == (2, 16, 16)
    figure = figures.jacobian_eigenvalues(record)
    dots = trace(figure, "step 0")
    assert len(dots.x) <= 1024
    assert np.abs(np.asarray(dots.x) + 1j * np.asarray(dots.y)).max() == np.abs(values[0]).max()
    assert figure.layout.meta["decimated"]["step 0"]["from"] == 1500
    assert "2 of the 16 measured of 16 steps" in notes(figure)[1]


@pytest.mark.parametrize(
    ("options", "hint"),
    [({"show": "plain"}, "Did you mean 'plane'"), ({"sequence": 99}, "Sequences count from 0")],
)
def test_a_wrong_option_of_the_plane_is_named(records, options, hint):
    with pytest.raises(ArgumentError, match=hint):
        figures.jacobian_eigenvalues(records["lstm"], **options)


def test_finite_time_exponents_have_a_band_and_the_lyapunov_spectrum_behind(records):
    record = records["lstm"]
    figure = figures.finite_time_exponents(record)
    values = record["finite_time_exponents"]
    line = trace(figure, "finite-time")
    np.testing.assert_allclose(line.y, np.median(values, axis=1), rtol=1e-12)
    np.testing.assert_array_equal(line.x, np.arange(1, 65))
    band = trace(figure, "finite-time, 5–95 %")
    drawn = np.asarray(band.y)[np.asarray(band.x) == 3]
    np.testing.assert_allclose([drawn.min(), drawn.max()], np.quantile(values[2], [0.05, 0.95]), rtol=1e-12)
    np.testing.assert_array_equal(trace(figure, "Lyapunov").y, record["lyapunov_spectrum"])
    alone = Record({"finite_time_exponents": record.field("finite_time_exponents")})
    assert "Lyapunov" not in names(figures.finite_time_exponents(alone))
    assert figure.layout.yaxis.title.text == "Finite-time exponents [nat/step]"


def test_a_lost_direction_stands_in_a_lane_and_an_exponent_of_zero_does_not(records):
    figure = figures.finite_time_exponents(records["zero"])
    lane = trace(figure, "−inf", "heatmap")
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(lane.z[0])), [29, 30, 31])
    neutral = Field("finite_time_exponents", np.zeros((3, 2)), ("rank", "batch"), "nat/step")
    figure = figures.finite_time_exponents(Record({"finite_time_exponents": neutral}))
    assert trace(figure, "finite-time").y.tolist() == [0, 0, 0]
    assert not [t for t in figure.data if t.type == "heatmap"]


def test_routes_show_highway_rest_and_total_and_the_cosine_below(records):
    record = records["lstm"]
    figure = figures.routes(record)
    assert names(figure)[:3] == ["highway", "rest", "total"]
    for number, route in enumerate(("highway", "rest", "total")):
        wanted = np.median(record["routes"][number], axis=1)
        np.testing.assert_allclose(trace(figure, route).y, np.where(np.isfinite(wanted), wanted, np.nan), rtol=1e-12)
    cosine = trace(figure, "cosine")
    np.testing.assert_allclose(cosine.y[1:], np.median(record["routes.cosine"], axis=1)[1:], rtol=1e-12)
    assert cosine.yaxis == "y3"
    assert "cosine of highway and rest [1]" in texts(figure)
    assert figure.layout.yaxis3.domain[1] < figure.layout.yaxis.domain[0]
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis3.domain[0]
    assert trace(figure, "rest exactly zero", "heatmap")  # at lag 0 everything is on the highway
    assert "not applicable" not in names(figure)
    assert "the highway is not what carries" in figure.layout.meta["caption"]


def test_routes_without_a_cosine_are_drawn_alone(records):
    alone = Record({"routes": records["lstm"].field("routes")})
    figure = figures.routes(alone)
    assert "cosine" not in texts(figure)
    assert trace(figure, "highway")


def test_masked_lags_of_the_routes_stand_in_a_lane(records):
    entry = records["lstm"].field("routes")
    values, found = entry.values.copy(), entry.statuses().copy()
    values[:, 30:, :4], found[:, 30:, :4] = np.nan, Status.MASKED
    record = records["lstm"]
    figure = figures.routes(Record(dict(record.fields) | {"routes": replace(entry, values=values, status=found)}))
    assert "masked" in names(figure)


def test_the_ramp_runs_through_colours_of_its_own():
    assert palette.ramp(1) == [palette.BLUE.lower()]
    assert palette.ramp(3) == [colour.lower() for colour in palette.RAMP]
    assert len(set(palette.ramp(9))) == 9
