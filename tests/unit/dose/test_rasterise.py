from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryoctl.dose.rasterise import deposit
from cryoctl.interfaces.truth import MapGrid

GRID = MapGrid(shape=(120, 140), pixel_size_m=10e-9, origin_x_m=-700e-9, origin_y_m=-600e-9)

size = st.floats(0.5e-9, 500e-9)
offset = st.floats(-100e-9, 100e-9)


def laid(**rectangle: float) -> np.ndarray:
    dose_map = np.zeros(GRID.shape)
    deposit(dose_map, GRID, dose_e_per_a2=100.0, **rectangle)
    return dose_map


@given(offset, offset, size, size, st.floats(-180, 180))
def test_charge_is_conserved_and_lies_at_the_centre(x, y, width, height, rotation):
    dose_map = laid(x_m=x, y_m=y, width_m=width, height_m=height, rotation_deg=rotation)
    charge = dose_map.sum() * GRID.pixel_size_m**2
    assert charge == pytest.approx(100.0 * width * height, rel=1e-9)
    rows, columns = np.indices(GRID.shape)
    tolerance = 5.2e-9  # half a pixel: where within a pixel the dose lies is not kept
    assert np.average(columns, weights=dose_map) * 10e-9 - 700e-9 == pytest.approx(x, abs=tolerance)
    assert np.average(rows, weights=dose_map) * 10e-9 - 600e-9 == pytest.approx(y, abs=tolerance)


@given(offset, offset, st.floats(50e-9, 500e-9), st.floats(50e-9, 500e-9), st.floats(-180, 180))
def test_whole_pixels_get_the_whole_dose_and_far_ones_none(x, y, width, height, rotation):
    dose_map = laid(x_m=x, y_m=y, width_m=width, height_m=height, rotation_deg=rotation)
    rows, columns = np.indices(GRID.shape)
    u, v = columns * 10e-9 - 700e-9 - x, rows * 10e-9 - 600e-9 - y
    angle = math.radians(rotation)
    along, across = u * math.cos(angle) + v * math.sin(angle), v * math.cos(angle) - u * math.sin(angle)
    inside = (np.abs(along) < width / 2 - 7.2e-9) & (np.abs(across) < height / 2 - 7.2e-9)
    outside = (np.abs(along) > width / 2 + 7.2e-9) | (np.abs(across) > height / 2 + 7.2e-9)
    assert np.allclose(dose_map[inside], 100.0, rtol=1e-9)
    assert not dose_map[outside].any()


def test_what_lies_outside_the_grid_is_dropped():
    half = laid(x_m=-705e-9, y_m=0.0, width_m=200e-9, height_m=100e-9, rotation_deg=0.0)
    assert half.sum() * 1e-16 == pytest.approx(100 * 100e-9 * 100e-9)
    assert not laid(x_m=5e-6, y_m=0.0, width_m=200e-9, height_m=100e-9, rotation_deg=30.0).any()
