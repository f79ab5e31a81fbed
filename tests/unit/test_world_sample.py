"""The specimen in the world: shortcuts agree with the long way, and what lies where."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cryoctl.errors import BadInput
from cryoctl.interfaces.truth import MapGrid, VolumeGrid
from cryoctl_simulators.optics.projection import ImageGeometry, PlaneMap
from cryoctl_simulators.settings import EdxSettings, ImageDetectorSettings
from cryoctl_simulators.specimens.phases import ELEMENTS
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.detector_physics import edx_detector
from cryoctl_simulators.world.pieces import STRETCH_M, Wire, project
from cryoctl_simulators.world.sample import Sample, plane_coordinates
from cryoctl_simulators.world.x_ray_sources import refreshed

GRID = MapGrid(shape=(401, 601), pixel_size_m=20e-9, origin_x_m=-300 * 20e-9, origin_y_m=-200 * 20e-9)


def frame(**changes) -> ScanFrame:
    usual = ScanFrame(
        kind="record", exposure=0, index=0, shape=(64, 80), lines=64.0, pixel_size_m=10e-9, nominal_pixel_m=10e-9,
        dwell_s=1e-4, current_a=2e-10, voltage_v=200e3, convergence_rad=0.01, axis_deg=0.0, centre_m=(0.0, 0.0),
        defocus_m=0.0, dynamic_focus_rad=0.0, tilt_deg=0.0, x_m=0.0, y_m=0.0, height_m=0.0, content_start_m=(0.0, 0.0),
        content_end_m=(0.0, 0.0), time_s=0.0, temperature_k=95.0,
    )  # fmt: skip
    return replace(usual, **changes)


def sample(**fields) -> Sample:
    arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in Sample.specs(GRID.shape).items()}
    return Sample(fields, 3, arrays, GRID, {})


def test_places_on_the_plane_are_those_of_the_frame():
    one = frame(tilt_deg=40.0, axis_deg=3.0, centre_m=(2e-7, -1e-7), height_m=5e-8, content_start_m=(1e-8, 3e-8))
    along, across = plane_coordinates(one)
    for row, column in ((0, 0), (10, 70), (63, 79)):
        dy = (row - 31.5) * one.pixel_size_m
        dx = (column - 39.5) * one.pixel_size_m
        assert (along[row, column], across[row, column]) == pytest.approx(one.plane_point(dx, dy))
        assert one.image_of(along[row, column], across[row, column]) == pytest.approx((dy, dx), abs=1e-15)


def test_the_wire_is_seen_where_it_is():
    one = frame(tilt_deg=25.0, height_m=1e-7)
    atoms, _ = project(Wire({}, 3), one)
    weight = atoms[ELEMENTS.index("Si")].sum(axis=1)
    middle = float(weight @ ((np.arange(64) - 31.5) * 10e-9) / weight.sum())
    wire = Wire({}, 3).stretch(0).composition.of("Si")
    n = wire.shape[2]
    volume = wire[:, :, n // 2 - 40 : n // 2 + 40].sum(axis=2)
    z, y = ((np.arange(size) - (size - 1) / 2) * 10e-9 for size in volume.shape)
    a = math.radians(25.0)
    expected = float(volume.sum(axis=0) @ y) * math.cos(a) + float(volume.sum(axis=1) @ z) * math.sin(a)
    assert middle == pytest.approx(expected / volume.sum() + 1e-7 * math.sin(a), abs=3e-9)


def test_stretches_go_on_where_their_neighbours_end():
    wire = Wire({}, 3)
    for number in (0, 1, -1):
        edge = (number + 0.5) * STRETCH_M
        tops = []
        for x_m in (edge - 0.1e-6, edge + 0.1e-6):
            atoms, _ = project(wire, frame(shape=(96, 8), pixel_size_m=20e-9, centre_m=(x_m, 0.0)))
            weight = atoms[ELEMENTS.index("Si")].sum(axis=1)
            tops.append(float(weight @ ((np.arange(96) - 47.5) * 20e-9) / weight.sum()))
        assert abs(tops[1] - tops[0]) < 25e-9


def test_damage_in_the_picture_is_what_the_projector_makes_of_it():
    one = frame(tilt_deg=30.0)
    damaged = sample(film=False)
    dose = np.zeros(GRID.shape)
    dose[180:221, 280:321] = 5e4
    damaged.irradiate("record", (slice(0, 401), slice(0, 601), dose), 95.0)
    atoms = damaged.view(one).atoms
    left = np.exp(-dose / 8e4)
    expected = np.zeros(one.shape)
    for part in damaged.wire.stretch(0).pieces:
        column = 300 + round(part.x_m / 20e-9)
        window = left[80:321, column - 40 : column + 41]
        image = ImageGeometry(one.shape, one.pixel_size_m, one.image_of(part.x_m, 0.0), 0.0)
        shown, _ = part.projector.project(30.0, image, PlaneMap({"O": window}, 20e-9))
        expected += shown[ELEMENTS.index("O")]
    found = atoms[ELEMENTS.index("O")]
    assert found.sum() == pytest.approx(expected.sum(), rel=0.01)
    assert np.abs(found - expected).max() < 0.1 * expected.max()
    silicon = project(damaged.wire, one)[0][0]
    assert np.allclose(atoms[0], silicon), "silicon is not damaged"
    assert found.sum() < 0.8 * project(damaged.wire, one)[0][ELEMENTS.index("O")].sum()


def test_refreshed_sources_are_those_computed_anew():
    settings = EdxSettings()
    detector = edx_detector(settings, 200e3)
    one = sample(film=False)
    first = one.view(frame(tilt_deg=45.0)).atoms
    drifted = project(one.wire, frame(tilt_deg=45.0, content_start_m=(6e-9, 8e-9), content_end_m=(6e-9, 8e-9)))[0]
    drifted = drifted * np.array([1.0, 0.97, 0.96, 0.97, 1.0, 1.0, 1.0], dtype=np.float32)[:, None, None]
    quick = refreshed(detector.sources(ELEMENTS, first, 45.0), first, drifted, (0.8, 0.6))
    for short, whole in zip(quick, detector.sources(ELEMENTS, drifted, 45.0), strict=True):
        assert (short.name, short.family) == (whole.name, whole.family)
        total = whole.counts_per_electron.sum()
        assert short.counts_per_electron.sum() == pytest.approx(total, rel=0.01)
        if short.name == "O":
            error = np.abs(short.counts_per_electron - whole.counts_per_electron).max()
            assert error < 0.04 * whole.counts_per_electron.max()


def test_contamination_grows_with_dose_and_less_after_a_shower():
    def carbon(*acts: tuple[str, float]) -> float:
        one = sample()
        for kind, dose in acts:
            one.irradiate(kind, (slice(190, 211), slice(290, 311), np.full((21, 21), dose)), 95.0)
        return float(one._carbon.sum())

    assert carbon(("record", 2e4)) == pytest.approx(2 * carbon(("record", 1e4)))
    assert carbon(("shower", 500.0), ("record", 1e4)) < 0.3 * carbon(("record", 1e4))


def test_a_warm_specimen_loses_more():
    def left(temperature_k: float) -> float:
        one = sample()
        one.irradiate("record", (slice(0, 401), slice(0, 601), np.full(GRID.shape, 1e4)), temperature_k)
        told = one.composition(VolumeGrid(shape=(40, 40, 40), voxel_size_m=10e-9, x_m=0.0, y_m=0.0))
        return float(told["composition_final/F"].sum() / told["composition/F"].sum())

    assert left(95.0) == pytest.approx(math.exp(-1e4 / 6e4), rel=1e-4)
    assert left(200.0) < left(120.0) < left(95.0)


def test_volumes_on_another_grid_keep_their_atoms():
    one = sample()
    whole = one.composition(VolumeGrid(shape=(96, 96, 128), voxel_size_m=10e-9, x_m=0.0, y_m=0.0))["composition/Si"]
    coarse = one.composition(VolumeGrid(shape=(48, 48, 64), voxel_size_m=20e-9, x_m=0.0, y_m=0.0))["composition/Si"]
    odd = one.composition(VolumeGrid(shape=(137, 137, 182), voxel_size_m=7e-9, x_m=0.0, y_m=0.0))["composition/Si"]
    assert whole.sum() > 0
    assert np.allclose(coarse, whole.reshape(48, 2, 48, 2, 64, 2).mean(axis=(1, 3, 5)), rtol=1e-4, atol=1e22)
    assert odd.sum() * 7e-9**3 == pytest.approx(whole.sum() * 10e-9**3 * 182 * 7 / 1280, rel=0.02)


def test_focus_sharpens_where_it_is_set():
    one = sample(film=False)
    settings = ImageDetectorSettings()

    def sharpness(defocus_m: float) -> float:
        share, _ = one.scattered(frame(defocus_m=defocus_m, height_m=4e-7, exposure=round(defocus_m * 1e9)), settings)
        return float((np.diff(share, axis=0) ** 2).sum())

    found = {defocus: sharpness(defocus) for defocus in (-4e-6, -1e-6, 4e-7, 2e-6, 5e-6)}
    assert max(found, key=lambda key: found[key]) == 4e-7


@pytest.mark.parametrize("fields", [{"stage": "molten"}, {"core_diametr_m": 1e-7}, {"core_diameter_m": -1.0}])
def test_a_specimen_that_there_is_not_is_refused(fields):
    with pytest.raises(BadInput) as caught:
        sample(**fields).wire.stretch(0)
    assert len(str(caught.value)) <= 300
