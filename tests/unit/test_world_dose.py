"""The world's own dose maps: charge is conserved, rectangles lie where they were aimed, and resampling averages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.constants import elementary_charge

from cryoctl.interfaces.truth import MapGrid
from cryoctl_simulators.world.dose_truth import KINDS, DoseTruth, coverage, resample

PIXEL_M = 20e-9


def dose_map(**changes: float) -> DoseTruth:
    return DoseTruth(np.zeros((len(KINDS), 201, 301), dtype=np.float32), PIXEL_M, **changes)


def turned(width_m: float, height_m: float, angle_deg: float, x_m: float = 0.0, y_m: float = 0.0):
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array([width_m, height_m]) / 2
    a = math.radians(angle_deg)
    return corners @ np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) + np.array([x_m, y_m])


@pytest.mark.parametrize("angle_deg", [0.0, 0.3, 5.0, 30.0, 45.0, 90.0])
def test_coverage_has_the_area_of_the_quadrilateral(angle_deg):
    corners = turned(37.3, 21.9, angle_deg, 60.2, 50.7)
    found = coverage(corners, 2, (100, 120))
    assert found is not None
    share = found[2]
    assert share.sum() == pytest.approx(37.3 * 21.9, rel=2e-4)
    assert share.max() <= 1 + 1e-9
    assert share.min() >= 0
    row, column = 50 - found[0].start, 60 - found[1].start
    assert share[row, column] == pytest.approx(1.0)


def test_coverage_against_a_brute_force_count():
    corners = turned(9.4, 6.3, 23.0, 12.1, 11.8)
    rows, columns, share = coverage(corners, 1, (24, 24))
    n = 40
    at = (np.arange(24 * n) + 0.5) / n
    x, y = np.meshgrid(at, at)
    inside = np.ones_like(x, dtype=bool)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        inside &= (end[0] - start[0]) * (y - start[1]) - (end[1] - start[1]) * (x - start[0]) >= 0
    brute = inside.reshape(24, n, 24, n).mean(axis=(1, 3))[rows, columns]
    assert np.abs(share - brute).max() < 0.02


def test_charge_is_conserved_and_the_interior_has_the_fluence():
    truth = dose_map()
    width, height, charge = 800e-9, 600e-9, 3e-13
    truth.lay("record", turned(width, height, 0.0, 1e-7, -2e-7), charge, width * height)
    total = truth.total()
    fluence = charge / (elementary_charge * width * height * 1e20)
    assert total.sum() * (PIXEL_M * 1e10) ** 2 == pytest.approx(charge / elementary_charge, rel=1e-5)
    row = round((-2e-7 - truth.grid.origin_y_m) / PIXEL_M)
    column = round((1e-7 - truth.grid.origin_x_m) / PIXEL_M)
    assert total[row, column] == pytest.approx(fluence, rel=1e-6)
    assert total.max() <= fluence * (1 + 1e-6)


def test_tails_reach_beyond_the_scan_but_not_far():
    with_tails, without = dose_map(), dose_map(tail_fraction=0.0)
    for one in (with_tails, without):
        one.lay("record", turned(400e-9, 400e-9, 0.0), 1e-13, 1.6e-13)
    beyond = (with_tails.total() > 0) & (without.total() == 0)
    assert beyond.any()
    y, x = np.nonzero(beyond)
    far = np.maximum(np.abs(x - 150), np.abs(y - 100)) * PIXEL_M
    assert far.max() <= 200e-9 + 3 * 30e-9


def test_outside_of_the_map_nothing_is_laid():
    truth = dose_map()
    assert truth.lay("record", turned(1e-7, 1e-7, 0.0, 1e-3, 0.0), 1e-13, 1e-14) is None
    assert not truth.total().any()


def test_resampling_averages_and_aligned_grids_copy():
    rng = np.random.default_rng(0)
    values = rng.random((40, 60))
    source = MapGrid(shape=(40, 60), pixel_size_m=PIXEL_M, origin_x_m=-30 * PIXEL_M, origin_y_m=-20 * PIXEL_M)
    window = MapGrid(shape=(10, 12), pixel_size_m=PIXEL_M, origin_x_m=-5 * PIXEL_M, origin_y_m=-3 * PIXEL_M)
    assert np.allclose(resample(values, source, window), values[17:27, 25:37])
    coarse = MapGrid(shape=(20, 30), pixel_size_m=2 * PIXEL_M, origin_x_m=-29.5 * PIXEL_M, origin_y_m=-19.5 * PIXEL_M)
    assert np.allclose(resample(values, source, coarse), values.reshape(20, 2, 30, 2).mean(axis=(1, 3)))
    beyond = MapGrid(shape=(2, 2), pixel_size_m=PIXEL_M, origin_x_m=1.0, origin_y_m=1.0)
    assert not resample(values, source, beyond).any()
