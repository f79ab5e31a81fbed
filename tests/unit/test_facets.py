"""Lattice fringes found and measured in pictures drawn here, with drift, film and counting noise."""

from __future__ import annotations

import numpy as np
import pytest

from cryoctl.analysis.facets import facet_series
from tests.facet_pictures import Patch, picture

PIXEL_M = 1.5e-10
SHAPE = (288, 320)
PATCHES = (
    Patch(name="100", spacing_px=4.19, angle_deg=20, y_px=90, x_px=80, radius_px=45),
    Patch(name="110", spacing_px=2.96, angle_deg=75, y_px=200, x_px=160, radius_px=45),
    Patch(name="111", spacing_px=2.42, angle_deg=135, y_px=90, x_px=240, radius_px=45),
)
WANTED = [{"name": one.name, "spacing_m": one.spacing_px * PIXEL_M} for one in PATCHES]


def test_facets_are_found_by_their_spacing_and_fade_as_they_do() -> None:
    """Losses are those put in, within the sigmas, while everything drifts by several pixels."""
    course = np.array([[np.exp(-rate * k) for k in range(7)] for rate in (0.15, 0.08, 0.0)])
    pictures = [picture(PATCHES, course[:, k].tolist(), SHAPE, 20.0, k, drift_px=(0.8 * k, -0.6 * k)) for k in range(7)]
    found = facet_series(*pictures, facets=WANTED, pixel_size_m=PIXEL_M)
    assert found["name"] == ["100", "110", "111"]
    assert found["missing"] == []
    for row, patch in enumerate(PATCHES):
        x_px = found["x_m"][row] / PIXEL_M + SHAPE[1] / 2
        y_px = found["y_m"][row] / PIXEL_M + SHAPE[0] / 2
        assert abs(x_px - patch.x_px) < 12
        assert abs(y_px - patch.y_px) < 12
        assert found["spacing_m"][row] == pytest.approx(patch.spacing_px * PIXEL_M, rel=0.003)
        assert (found["angle_deg"][row] - patch.angle_deg + 90) % 180 - 90 == pytest.approx(0, abs=0.5)
    measured, sigma = np.array(found["intensity"]), np.array(found["intensity_sigma"])
    scale = (measured * course / sigma**2).sum(axis=1) / (course**2 / sigma**2).sum(axis=1)
    off = (measured - scale[:, None] * course) / sigma
    assert 0.6 < off.std() < 1.4
    assert np.abs(off).max() < 4
    assert found["drift_y_m"][6] == pytest.approx(4.8 * PIXEL_M, abs=1.5 * PIXEL_M)
    assert found["drift_x_m"][6] == pytest.approx(-3.6 * PIXEL_M, abs=1.5 * PIXEL_M)


def test_a_facet_that_is_not_there_is_missing_and_one_that_is_gone_has_no_intensity() -> None:
    wanted = [*WANTED, {"name": "210", "spacing_m": 3.5 * PIXEL_M}]
    shares = [[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    pictures = [picture(PATCHES, share, SHAPE, 15.0, 30 + k) for k, share in enumerate(shares)]
    found = facet_series(*pictures, facets=wanted, pixel_size_m=PIXEL_M, looked=1)
    assert found["name"] == ["100", "110", "111"]
    assert found["missing"] == ["210"]
    gone, sigma = np.array(found["intensity"][2][1:]), np.array(found["intensity_sigma"][2][1:])
    assert (np.abs(gone) < 3 * sigma).all()


def test_noise_alone_is_no_facet() -> None:
    claimed = 0
    for seed in range(3):
        pictures = [picture((), (), SHAPE, 15.0, 100 * seed + k, film_seed=seed) for k in range(3)]
        claimed += len(facet_series(*pictures, facets=WANTED, pixel_size_m=PIXEL_M)["name"])
    assert claimed == 0


def test_a_direction_that_is_wanted_keeps_another_of_the_same_spacing_out() -> None:
    patches = (PATCHES[0], Patch(name="other", spacing_px=4.19, angle_deg=110, y_px=200, x_px=240, radius_px=45))
    pictures = [picture(patches, (0.6, 1.0), SHAPE, 20.0, 50 + k) for k in range(2)]
    spacing_m = 4.19 * PIXEL_M
    any_ = facet_series(*pictures, facets=[{"name": "a", "spacing_m": spacing_m}], pixel_size_m=PIXEL_M)
    one = facet_series(
        *pictures, facets=[{"name": "a", "spacing_m": spacing_m, "angle_deg": 200.0}], pixel_size_m=PIXEL_M
    )
    assert any_["x_m"][0] > 0
    assert one["x_m"][0] < 0
