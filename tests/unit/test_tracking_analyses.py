from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from cryoctl.analysis.tracking import displacement, stretched, through_focus, wire_middle

Array = npt.NDArray[np.float64]


def scene(rng: np.random.Generator, shape: tuple[int, int], dy: float, dx: float, factor: float = 1.0) -> Array:
    """A wire with marks, expected electrons a pixel; marks drawn apart by `factor` across the wire."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    y, x = y - (shape[0] - 1) / 2 - dy, x - (shape[1] - 1) / 2 - dx
    image = np.where(np.abs(y) < 17 * factor, 60.0, 3.0)
    places = np.random.default_rng(5).uniform((-15, -70), (15, 70), (14, 2))
    for mark_y, mark_x in places:
        image = image + 200 * np.exp(-((y - mark_y * factor) ** 2 + (x - mark_x) ** 2) / (2 * 1.3**2))
    return rng.poisson(gaussian_filter(image, 0.7)).astype(float)


@pytest.mark.parametrize("seed", range(4))
def test_displacement_at_another_tilt(seed):
    rng = np.random.default_rng(seed)
    wanted = rng.uniform(-6, 6, 2)
    first, second = scene(rng, (96, 128), 0, 0), scene(rng, (96, 128), *wanted, factor=0.92)
    found = displacement(first, second, stretch_y=0.92)
    assert found.found
    assert found.dy_px == pytest.approx(wanted[0], abs=0.4)
    assert found.dx_px == pytest.approx(wanted[1], abs=0.4)


@pytest.mark.parametrize(("dy", "dx"), [(0.0, 20.0), (3.0, -21.4), (-18.0, 0.0)])
def test_a_wire_moved_far_along_itself(dy, dx):
    rng = np.random.default_rng(7)
    found = displacement(scene(rng, (96, 128), 0, 0), scene(rng, (96, 128), dy, dx))
    assert found.found
    assert (found.dy_px, found.dx_px) == (pytest.approx(dy, abs=0.3), pytest.approx(dx, abs=0.3))


def test_displacement_of_nothing_is_not_found():
    rng = np.random.default_rng(1)
    assert not displacement(rng.poisson(30, (96, 128)), rng.poisson(30, (96, 128))).found


def test_stretching_is_about_the_centre():
    rows = np.repeat(np.arange(33.0)[:, None], 8, axis=1)
    assert np.allclose(stretched(rows, 2.0)[:, 0], 16 + (np.arange(33) - 16) / 2)
    with pytest.raises(ValueError, match="above 0"):
        stretched(rows, 0.0)


@pytest.mark.parametrize("dy", [-11.3, 0.0, 7.8])
def test_middle_of_a_wire(dy):
    found = wire_middle(scene(np.random.default_rng(2), (96, 128), dy, 0.0))
    assert found.found
    assert found.dy_px == pytest.approx(dy, abs=0.5)


def test_no_wire_has_no_middle():
    assert not wire_middle(np.random.default_rng(3).poisson(20, (96, 128))).found


def pictures(best: float, defoci: list[float], signal: bool = True) -> list[Array]:
    rng = np.random.default_rng(4)
    sharp = scene(rng, (96, 128), 0, 0) if signal else np.full((96, 128), 40.0)
    return [rng.poisson(gaussian_filter(sharp, 0.5 + 2.0 * abs(d - best) / 1e-6)).astype(float) for d in defoci]


def test_focus_is_found_between_the_pictures():
    defoci = [-2e-6, -1e-6, 0.0, 1e-6, 2e-6]
    found = through_focus(*pictures(0.3e-6, defoci), defocus_m=defoci)
    assert found.found
    assert found.defocus_m == pytest.approx(0.3e-6, abs=0.15e-6)


def test_focus_of_an_empty_field_is_not_found():
    defoci = [-2e-6, -1e-6, 0.0, 1e-6, 2e-6]
    assert not through_focus(*pictures(0.0, defoci, signal=False), defocus_m=defoci).found


def test_focus_beyond_the_series_is_not_found():
    defoci = [1e-6, 2e-6, 3e-6, 4e-6, 5e-6]
    assert not through_focus(*pictures(-1e-6, defoci), defocus_m=defoci).found
