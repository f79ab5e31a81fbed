from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as move

from cryoctl.analysis.drift import shift
from cryoctl.analysis.focus import best_focus, sharpness

N, MARGIN = 96, 24


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[: N + 2 * MARGIN, : N + 2 * MARGIN]
    image = 0.05 + (np.abs(y - 70) < 16).astype(float)
    for _ in range(22):
        cy, cx = rng.uniform(0, N + 2 * MARGIN, 2)
        image += 2 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 2.5**2))
    return image


def seen(scene: np.ndarray, dy: float, dx: float) -> np.ndarray:
    return move(scene, (dy, dx), order=3, mode="nearest")[MARGIN:-MARGIN, MARGIN:-MARGIN].clip(0)


@pytest.mark.parametrize(("dose", "allowed_px"), [(1.0, 1.2), (10.0, 0.25), (100.0, 0.15)])
def test_the_shift_is_the_content_s_displacement_within_its_sigma(
    scene: np.ndarray, dose: float, allowed_px: float
) -> None:
    rng = np.random.default_rng(4)
    errors, sigmas = [], []
    for _ in range(15):
        truth = rng.uniform(-10, 10, 2)
        found = shift(rng.poisson(dose * seen(scene, 0, 0)), rng.poisson(dose * seen(scene, *truth)))
        assert found.found
        errors += [found.dy - truth[0], found.dx - truth[1]]
        sigmas.append(found.sigma)
    rms = float(np.sqrt(np.mean(np.square(errors))))
    assert rms < allowed_px
    assert abs(np.mean(errors)) < 0.1 + 0.5 * rms
    assert 0.5 * np.median(sigmas) - 0.1 < rms < 2 * np.median(sigmas) + 0.1


def test_noise_and_another_scene_are_lost() -> None:
    rng = np.random.default_rng(8)
    lost = []
    for _ in range(40):
        lost.append(shift(*rng.poisson(5, (2, N, N))).found)
        a, b = (1 + 4 * gaussian_filter(rng.normal(size=(N, N)), 4) for _ in range(2))
        lost.append(shift(rng.poisson(20 * a.clip(0)), rng.poisson(20 * b.clip(0))).found)
    assert np.mean(lost) < 0.05


def test_images_must_be_alike() -> None:
    with pytest.raises(ValueError, match="alike"):
        shift(np.ones((16, 16)), np.ones((16, 17)))


def test_sharpness_has_no_noise_floor() -> None:
    rng = np.random.default_rng(1)
    pairs = np.array([sharpness(rng.poisson(2.0, (N, N))) for _ in range(60)])
    assert abs(pairs[:, 0].mean()) < 3 * pairs[:, 0].std() / np.sqrt(60)
    assert pairs[:, 0].std() == pytest.approx(pairs[:, 1].mean(), rel=0.3)


@pytest.mark.parametrize("dose", [3.0, 30.0])
def test_focus_is_found_within_its_sigma(scene: np.ndarray, dose: float) -> None:
    rng = np.random.default_rng(3)
    defocus_m = np.linspace(-1e-6, 1e-6, 9)
    pulls = []
    for _ in range(15):
        best_m = rng.uniform(-0.6e-6, 0.6e-6)
        images = [
            rng.poisson(dose * gaussian_filter(seen(scene, 0, 0), np.hypot(0.8, 4e6 * abs(d - best_m))))
            for d in defocus_m
        ]
        found = best_focus(images, defocus_m.tolist())
        assert found.found
        assert abs(found.best_defocus_m - best_m) < 150e-9
        pulls.append((found.best_defocus_m - best_m) / found.best_defocus_m_sigma)
    assert 0.3 < np.std(pulls) < 2.5


def test_a_series_of_noise_has_no_focus() -> None:
    rng = np.random.default_rng(3)
    found = [best_focus(list(rng.poisson(5, (9, N, N))), np.linspace(-1e-6, 1e-6, 9).tolist()).found for _ in range(20)]
    assert np.mean(found) <= 0.1
