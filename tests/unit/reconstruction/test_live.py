from __future__ import annotations

import os
import signal

import numpy as np
import numpy.typing as npt
import pytest

from cryoctl.errors import BadInput
from cryoctl.reconstruction.live import LiveReconstruction
from cryoctl.reconstruction.live_process import LiveProcess
from tests.nanowire_phantom import at_pixel_size, nanowire, projections

N, N_X = 48, 8
TILTS = np.linspace(-60.0, 60.0, 41)[np.argsort(np.abs(np.linspace(-60.0, 60.0, 41)), kind="stable")]


@pytest.fixture(scope="module")
def data() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Truth in counts a voxel and counts [tilt, y, x] over a background of 0.5, in order of acquisition."""
    fine = nanowire(N, N_X)["Si"]
    images = projections(fine, TILTS)
    scale = 5 / images.max()
    counts = np.random.default_rng(0).poisson(images * scale + 0.5)
    return at_pixel_size(fine) * scale, counts


def feed(live: LiveReconstruction | LiveProcess, counts: npt.NDArray[np.int64], number: int = 41) -> None:
    for tilt, image in zip(TILTS[:number], counts, strict=False):
        live.add_tilt(float(tilt), {"Si": image, "O": image // 2}, {"Si": np.full(image.shape, 0.5)})


def test_it_gets_better_tilt_by_tilt(data: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]) -> None:
    truth, counts = data
    errors: list[float] = []
    live = LiveReconstruction(["Si"], (N, N_X))
    for tilt, image in zip(TILTS, counts, strict=True):
        live.add_tilt(float(tilt), {"Si": image}, {"Si": np.full(image.shape, 0.5)})
        errors.append(float(np.linalg.norm(live.volumes()["Si"] - truth) / np.linalg.norm(truth)))
    assert errors[-1] < 0.4
    assert errors[40] < errors[20] < errors[5]


def test_the_same_tilts_give_the_same_volumes(data: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]) -> None:
    volumes = []
    for threads in (1, 2):
        live = LiveReconstruction(["Si", "O"], (N, N_X), threads=threads)
        feed(live, data[1], 10)
        volumes.append(live.volumes())
    assert all(np.array_equal(volumes[0][e], volumes[1][e]) for e in ("Si", "O"))


def test_the_process_gives_what_the_function_gives(data: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]) -> None:
    here = LiveReconstruction(["Si", "O"], (N, N_X), thickness_px=40)
    feed(here, data[1], 9)
    with LiveProcess(["Si", "O"], (N, N_X), thickness_px=40) as there:
        feed(there, data[1], 9)
        answer = there.volumes(timeout_s=120)
    assert there.failure is None
    assert all(np.array_equal(answer[e], here.volumes()[e]) for e in ("Si", "O"))


def test_a_killed_process_is_reported_and_harmless(data: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]) -> None:
    live = LiveProcess(["Si", "O"], (N, N_X))
    try:
        feed(live, data[1], 2)
        assert live.process_id is not None
        os.kill(live.process_id, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        feed(live, data[1], 20)
        assert live.volumes(timeout_s=20) == {}
        assert "process ended" in (live.failure or "")
    finally:
        live.close()
        live.close()


def test_what_it_can_not_digest_ends_it_with_a_sentence(
    data: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]],
) -> None:
    with LiveProcess(["Si", "O"], (N, N_X)) as live:
        live.add_tilt(0.0, {"Si": data[1][0]})
        assert live.volumes(timeout_s=60) == {}
        assert "element O" in (live.failure or "")


def test_a_missing_element_or_another_shape_is_refused() -> None:
    live = LiveReconstruction(["Si"], (4, 4))
    with pytest.raises(BadInput, match="element Si"):
        live.add_tilt(0.0, {"O": np.zeros((4, 4))})
    with pytest.raises(BadInput, match="element Si"):
        live.add_tilt(0.0, {"Si": np.zeros((4, 5))})
    assert live.tilt_deg == ()
    assert live.volumes() == {}
    live.add_tilt(0.0, {"Si": np.zeros((4, 4))})
    assert not live.volumes()["Si"].any()
