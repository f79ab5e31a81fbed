from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoctl.errors import BadInput
from cryoctl.reconstruction.geometry import TiltGeometry
from cryoctl.reconstruction.projector import Projector
from tests.nanowire_phantom import at_pixel_size, nanowire, projections

TILTS = tuple(np.linspace(-60, 60, 21))


@settings(max_examples=20, deadline=None)
@given(
    tilts=st.lists(st.floats(-90, 90), min_size=1, max_size=6),
    sizes=st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.integers(1, 70)),
    shift=st.floats(-3, 3),
)
def test_back_is_the_transpose_of_forward(tilts: list[float], sizes: tuple[int, int, int, int], shift: float) -> None:
    rows, n_z, n_y, n_x = sizes
    projector = Projector(TiltGeometry(tuple(tilts), rows, n_z, n_y, (shift,) * len(tilts)))
    rng = np.random.default_rng(0)
    volume = rng.random((n_z, n_y, n_x), np.float32)
    stack = rng.random((len(tilts), rows, n_x), np.float32)
    there = float(np.vdot(projector.forward(volume).astype(float), stack))
    back = float(np.vdot(volume.astype(float), projector.back(stack)))
    assert there == pytest.approx(back, rel=1e-4, abs=1e-4)


def test_agrees_with_an_independent_rotation() -> None:
    wire = nanowire(48, 8)["Si"]
    images = projections(wire, TILTS)
    own = Projector(TiltGeometry(TILTS, 48, 48, 48)).forward(at_pixel_size(wire))
    assert np.linalg.norm(own - images) / np.linalg.norm(images) < 0.02


def test_a_point_moves_as_the_geometry_says() -> None:
    volume = np.zeros((31, 31, 3), np.float32)
    volume[15 + 6, 15 + 4, 1] = 1.0
    for tilt in (-60.0, -20.0, 0.0, 35.0, 90.0):
        image = Projector(TiltGeometry((tilt,), 31, 31, 31)).forward(volume)[0]
        a = np.deg2rad(tilt)
        assert np.average(np.arange(31) - 15, weights=image[:, 1]) == pytest.approx(
            4 * np.cos(a) + 6 * np.sin(a), abs=0.1
        )
        assert image[:, [0, 2]].sum() == 0
        assert image.sum() == pytest.approx(1.0, abs=1e-5)


def test_shift_moves_the_image_towards_higher_rows() -> None:
    volume = np.zeros((9, 9, 1), np.float32)
    volume[4, 4, 0] = 1.0
    image = Projector(TiltGeometry((0.0,), 9, 9, 9, (1.25,))).forward(volume)[0, :, 0]
    assert np.average(np.arange(9) - 4, weights=image) == pytest.approx(1.25, abs=1e-3)


def test_result_is_the_same_for_any_number_of_threads() -> None:
    volume = np.random.default_rng(1).random((64, 64, 100), np.float32)
    geometry = TiltGeometry(TILTS, 64, 64, 64)
    results = [Projector(geometry, threads).forward(volume) for threads in (1, 2, 3, 7)]
    assert all(np.array_equal(results[0], other) for other in results[1:])
    backs = [Projector(geometry, threads).back(results[0]) for threads in (1, 2, 3, 7)]
    assert all(np.array_equal(backs[0], other) for other in backs[1:])


def test_slices_do_not_depend_on_their_neighbours() -> None:
    volume = np.random.default_rng(2).random((32, 32, 128), np.float32)
    projector = Projector(TiltGeometry(TILTS, 32, 32, 32))
    assert np.array_equal(projector.forward(volume)[:, :, 64:], projector.forward(volume[:, :, 64:]))


@pytest.mark.parametrize("tilts", [(), (float("nan"),), (95.0,)])
def test_impossible_tilts_are_refused(tilts: tuple[float, ...]) -> None:
    with pytest.raises(BadInput, match="tilt_deg"):
        TiltGeometry(tilts, 8, 8, 8)


def test_wrong_shapes_are_refused() -> None:
    projector = Projector(TiltGeometry(TILTS, 8, 8, 8))
    with pytest.raises(BadInput, match="volume"):
        projector.forward(np.zeros((8, 9, 2)))
    with pytest.raises(BadInput, match="projections"):
        projector.back(np.zeros((3, 8, 2)))
