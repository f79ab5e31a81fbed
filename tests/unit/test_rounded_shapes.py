"""Thickness of spheres and cones on pixels, and the blur of layers, against closed formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from cryoctl_simulators.optics.layered_picture import Layer, scattered_share, two_gaussians
from cryoctl_simulators.optics.rounded_shapes import (
    cone_radius,
    mean_chord,
    overlap_of_circles,
    reach_px,
    sphere,
    window,
)
from cryoctl_simulators.settings import ImageDetectorSettings
from cryoctl_simulators.world.detector_physics import haadf_detector


@pytest.mark.parametrize("radius_px", [0.05, 0.7, 1.4, 1.6, 3.0, 8.0, 27.3])
@pytest.mark.parametrize("place_px", [(40.0, 40.0), (40.37, 39.71)])
def test_a_sphere_keeps_its_volume_wherever_it_lies(radius_px: float, place_px: tuple[float, float]) -> None:
    around = window((80, 80), place_px, reach_px(radius_px))
    assert around is not None
    volume = sphere(around.far_px(), radius_px).sum()
    allowed = 0.03 if radius_px < 3 else 0.004
    assert volume == pytest.approx(4 / 3 * math.pi * radius_px**3, rel=allowed)


def test_a_sphere_outside_is_not_looked_at() -> None:
    assert window((80, 80), (-20.0, 40.0), 10.0) is None
    assert window((80, 80), (40.0, 95.0), 10.0) is None


def test_a_mean_chord_is_the_area_of_a_strip() -> None:
    edges = np.arange(-6.5, 7.0)
    chords = mean_chord((edges[1:] + edges[:-1]) / 2, 5.3, 1.0)
    assert chords.sum() == pytest.approx(math.pi * 5.3**2)


def test_a_cone_is_round_in_front_and_opens_behind() -> None:
    angle = math.radians(8)
    radius = cone_radius(np.array([-1.0, 0.0, 1.0, 10.0, 100.0, 1e6]), 10.0, angle, 500.0)
    assert radius[:3] == pytest.approx([0.0, 0.0, math.sqrt(19.0)])
    assert radius[4] - radius[3] == pytest.approx(90 * math.tan(angle), rel=0.02)
    assert radius[5] == 500.0
    along = np.linspace(0, 60, 2001)
    assert np.abs(np.diff(cone_radius(along, 10.0, angle, 500.0))[10:]).max() < 0.3, "no step where they meet"


def test_the_overlap_of_circles() -> None:
    assert overlap_of_circles(3.0, 1.0, 1.5) == 0.0
    assert overlap_of_circles(0.2, 1.0, 0.5) == pytest.approx(math.pi * 0.25)
    assert overlap_of_circles(1.0, 1.0, 1.0) == pytest.approx(2 * math.pi / 3 - math.sqrt(3) / 2)


def test_two_gaussians_are_those_of_scipy() -> None:
    image = np.random.default_rng(1).uniform(size=(60, 75))
    expected = 0.9 * ndimage.gaussian_filter(image, 1.7, mode="nearest") + 0.1 * ndimage.gaussian_filter(
        image, 6.0, mode="nearest", truncate=6
    )
    assert two_gaussians(image, 1.7, 6.0, 0.1) == pytest.approx(expected, abs=2e-4)


def test_layers_shadow_each_other_and_each_is_blurred_by_its_own_height() -> None:
    detector = haadf_detector(ImageDetectorSettings(), 200e3, 0.01, (15e-9, 0.0))
    spot = np.zeros((64, 64))
    spot[32, 32] = 0.02
    thick = np.full((64, 64), 3.0)
    sharp, blurred = np.zeros((64, 1)), np.full((64, 1), 2e-6)
    through = scattered_share([Layer(thick, sharp), Layer(spot, sharp)], detector, 2e-9)
    assert through[0, 0] == pytest.approx(1 - math.exp(-3.0), rel=1e-5)
    assert (through - through[0, 0]).sum() == pytest.approx(0.02 * math.exp(-3.0), rel=0.02), (
        "what comes through the other"
    )
    far = scattered_share([Layer(spot, blurred)], detector, 2e-9)
    spread = np.sqrt((far.sum(axis=0) @ (np.arange(64) - 32.0) ** 2) / far.sum())
    assert spread == pytest.approx(2e-6 * 0.01 / 2 / 2e-9, rel=0.05)
