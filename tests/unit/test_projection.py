from __future__ import annotations

import numpy as np
import pytest

from cryoctl_simulators.optics.haadf import HaadfDetector
from cryoctl_simulators.optics.projection import ImageGeometry, PlaneMap, Projector
from cryoctl_simulators.specimens.composition import Composition
from cryoctl_simulators.specimens.nanowire import build_nanowire

VOXEL = 10e-9


def point(z: int, y: int, x: int, n: int = 41) -> Composition:
    atoms = np.zeros((1, n, n, n), dtype=np.float32)
    atoms[0, z, y, x] = 5e28
    return Composition(("Si",), atoms, VOXEL, "point", "", 0)


def centroid(image: np.ndarray) -> tuple[float, float]:
    rows, columns = np.indices(image.shape)
    return float((rows * image).sum() / image.sum()), float((columns * image).sum() / image.sum())


@pytest.mark.parametrize("tilt", [-70.0, -31.0, 0.0, 12.5, 60.0, 90.0])
def test_a_point_appears_where_the_geometry_says(tilt: float) -> None:
    z, y, x = 28, 11, 30
    image = ImageGeometry((81, 81), 7e-9, shift_m=(13e-9, -21e-9), tilt_axis_deg=3.0, centre_m=(40e-9, 60e-9))
    got, depth = Projector(point(z, y, x)).project(tilt, image)
    a, r = np.radians(tilt), np.radians(3.0)
    u = (y - 20) * VOXEL * np.cos(a) + (z - 20) * VOXEL * np.sin(a)
    w = -(y - 20) * VOXEL * np.sin(a) + (z - 20) * VOXEL * np.cos(a)
    along = (x - 20) * VOXEL - 60e-9
    u -= 40e-9
    row = (along * np.sin(r) + u * np.cos(r) + 13e-9) / 7e-9 + 40
    column = (along * np.cos(r) - u * np.sin(r) - 21e-9) / 7e-9 + 40
    assert centroid(got[0]) == (pytest.approx(row, abs=0.02), pytest.approx(column, abs=0.02))
    assert depth[got[0] > 0.1 * got[0].max()].mean() == pytest.approx(w, abs=1e-10)


@pytest.mark.parametrize("pixel", [3e-9, 10e-9, 17e-9])
@pytest.mark.parametrize("tilt", [0.0, 45.0, -63.0])
def test_atoms_are_conserved(pixel: float, tilt: float) -> None:
    specimen = point(25, 14, 20)
    n = int(600e-9 / pixel)
    got, _ = Projector(specimen).project(tilt, ImageGeometry((n, n), pixel, (2e-9, 5e-9), 1.0))
    assert got.sum() * pixel**2 == pytest.approx(5e28 * VOXEL**3, rel=1e-4)


def test_zero_degrees_is_the_sum_along_z_up_to_half_a_voxel_of_blur() -> None:
    wire = build_nanowire("core-shell", 2, (72, 72, 64))
    got, _ = Projector(wire).project(0.0, ImageGeometry((72, 64), VOXEL))
    expected = wire.atoms_per_m3.sum(axis=1) * VOXEL
    silicon = wire.elements.index("Si")
    inner = (slice(2, -2), slice(2, -2))
    error = np.abs(got[silicon] - expected[silicon])[inner].sum() / expected[silicon][inner].sum()
    assert error < 0.03


def test_damage_is_looked_up_where_the_beam_crosses_the_plane() -> None:
    atoms = np.zeros((2, 1, 61, 9), dtype=np.float32)
    atoms[:, 0] = 1e28
    film = Composition(("Si", "O"), atoms, VOXEL, "film", "", 0)
    left = np.ones((61, 9))
    left[:30] = 0.25  # everything at y < 0
    damage = PlaneMap({"O": left}, VOXEL)
    for tilt in (0.0, 60.0):
        got, _ = Projector(film).project(tilt, ImageGeometry((61, 9), VOXEL), damage)
        ratio = got[1, :, 4] / np.where(got[0, :, 4] > 0, got[0, :, 4], 1)
        edge = 30 * VOXEL * np.cos(np.radians(tilt)) / VOXEL
        assert ratio[int(30 - edge / 2)] == pytest.approx(0.25, abs=1e-3)
        assert ratio[int(30 + edge / 2)] == pytest.approx(1.0, abs=1e-3)


def test_haadf_shot_noise_is_poisson_and_gold_is_bright() -> None:
    detector = HaadfDetector()
    share = np.full((200, 200), 0.05)
    image = detector.expose(share, 1000.0, np.random.default_rng(1), counts_per_electron=12.0).astype(float)
    assert image.mean() == pytest.approx(detector.expected(share, 1000.0, 12.0).mean(), rel=0.005)
    electrons = 0.05 * 1000 * 0.8
    expected = electrons * 12**2 * (1 + 0.3**2) + 5**2
    assert image.var() == pytest.approx(expected, rel=0.05)
    assert detector.cross_section_m2("Au") / detector.cross_section_m2("Si") == pytest.approx((79 / 14) ** 1.7)


def test_haadf_gain_keeps_bright_places_in_range() -> None:
    detector = HaadfDetector()
    rng = np.random.default_rng(0)
    for electrons in (1e2, 1e4, 1e7):
        image = detector.expose(np.full((50, 50), 0.35), electrons, rng)
        assert 400 < image.mean() < 60000


def test_defocus_blurs_and_dynamic_focus_restores() -> None:
    detector = HaadfDetector()
    y, _ = np.indices((101, 101))
    stripes = (np.abs(y - 50) % 10 < 5).astype(float)
    height = (y - 50) * 10e-9 * np.tan(np.radians(60))
    plain = detector.blurred(stripes, 2e-9, height)
    focused = detector.blurred(stripes, 2e-9, height, height)
    assert plain[:20].std() < 0.6 * focused[:20].std()  # 870 nm of height at 10 mrad
    assert plain[48:53].std() == pytest.approx(focused[48:53].std(), rel=0.15)
    assert plain.mean() == pytest.approx(stripes.mean(), rel=0.05)
