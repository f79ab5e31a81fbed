"""How a needle drifts, from places that were measured with noise and from pictures, and how it is held."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from cryoctl.analysis.needle_drift import drifting, held
from cryoctl.steps import PlaceNeedle
from cryoctl_protocols.needle_drive import NeedleDrive
from cryoctl_protocols.needle_hold import NeedleHold

Float = npt.NDArray[np.float64]


def test_drift_and_lag_of_the_tube_are_told_apart() -> None:
    """Hidden rates and lags, places with 4 nm of noise: each within three of its own sigma, and these not wide."""
    rng = np.random.default_rng(3)
    off: list[tuple[float, float]] = []
    for _ in range(200):
        rate, gain = rng.normal(0.0, 1e-9), rng.normal(0.9, 0.05)
        times = np.arange(4) * 60.0
        tube = np.array([0.0, 3e-7, 3.5e-7, 3.3e-7])
        true = -3e-7 + rate * times + gain * tube
        seen = drifting(times.tolist(), (true + rng.normal(0.0, 4e-9, 4)).tolist(), [4e-9] * 4, tube.tolist())
        off.append(
            ((seen.place_m - true[-1]) / seen.place_sigma_m, (seen.rate_m_per_s - rate) / seen.rate_sigma_m_per_s)
        )
        assert seen.rate_sigma_m_per_s < 0.3e-9
    spread = np.std(np.array(off), axis=0)
    assert np.all((spread > 0.7) & (spread < 1.3))


def test_one_measurement_says_nothing_of_drift() -> None:
    seen = drifting([5.0], [1e-8], [4e-9], [0.0])
    assert (seen.place_m, seen.rate_m_per_s, seen.gain) == pytest.approx((1e-8, 0.0, 0.9))
    with pytest.raises(ValueError, match="at least one"):
        drifting([], [], [], [])


def picture(
    needle: tuple[float, float], specimen: tuple[float, float], radius_px: float = 14.0, seed: int = 0
) -> Float:
    """A needle from the right on a particle that lies on a film with others; both went by (y, x)."""
    rows, columns = np.indices((256, 256), dtype=np.float64)
    y, x = rows - specimen[0], columns - specimen[1]
    values = np.where(x < 100, 60.0, 0.0)
    for row, column, radius in ((30, 85, 9.0), (210, 92, 10.0), (60, 40, 8.0), (128, 114, radius_px)):
        values += 14.0 * np.sqrt(np.maximum(radius**2 - (y - row) ** 2 - (x - column) ** 2, 0.0))
    y, x = rows - needle[0] - 128, columns - needle[1] - 128
    half = np.where(x > 0, 3.0 + 0.12 * x, 0.0)
    values += 150.0 * np.sqrt(np.maximum(half**2 - y**2, 0.0))
    noise = np.random.default_rng(seed).normal(0.0, 5.0, values.shape)
    return np.asarray(ndimage.gaussian_filter(values, 0.8) + 100.0 + noise, dtype=np.float64)


@pytest.mark.parametrize("side", ["right", "left", "bottom", "top"])
def test_needle_and_specimen_are_followed_each_by_itself_while_the_particle_grows(side: str) -> None:
    turn = {
        "right": lambda one: one,
        "left": lambda one: one[:, ::-1],
        "bottom": lambda one: one.T,
        "top": lambda one: one[:, ::-1].T,
    }[side]
    first = picture((0.0, 0.0), (0.0, 0.0))
    later = picture((2.3, -1.6), (1.0, 0.5), radius_px=17.0, seed=1)
    seen = held(turn(first), turn(later), side)  # type: ignore[arg-type]
    assert seen.found
    ways = {"right": (1.3, -2.1), "left": (1.3, 2.1), "bottom": (-2.1, 1.3), "top": (2.1, 1.3)}[side]
    assert (seen.needle_y_px, seen.needle_x_px) == pytest.approx(ways, abs=0.25)


def test_without_a_needle_nothing_is_told() -> None:
    noise = np.random.default_rng(1).normal(100.0, 5.0, (64, 64))
    assert not held(noise, noise).found


@pytest.mark.parametrize("side", ["right", "left", "bottom", "top"])
def test_a_needle_that_drifts_is_held_where_it_touched(side: str) -> None:
    """The tube lags by 12 %, the apex drifts by 2 nm/s; a picture every 5 s has 0.3 nm of noise."""
    rng = np.random.default_rng(5)
    drive = NeedleDrive(side)
    hold = NeedleHold(drive)
    drift = 2e-9 * np.array([math.sin(0.7), math.cos(0.7)])
    worst: list[float] = []
    for k in range(1, 41):
        drive.now_s = 5.0 * k
        place = np.array([drive.tube[1], drive.tube[0]]) * 0.88 + drift * drive.now_s
        for step in hold.keep(tuple(place + rng.normal(0.0, 0.3e-9, 2)), 0.3e-9):
            assert isinstance(step, PlaceNeedle)
        worst.append(float(np.abs(place).max()))
    assert max(worst) < 25e-9, "what drifts until it is learned"
    assert max(worst[15:]) < 3e-9


def test_without_a_picture_the_tube_makes_up_for_little() -> None:
    drive = NeedleDrive("right")
    drive.make_up_for(onward=2e-9, aside=-1e-10)
    drive.most_made_up_m = 20e-9
    drive.now_s = 60.0
    (step,) = drive.move_tube()
    assert isinstance(step, PlaceNeedle)
    assert (step.x_m, step.y_m, step.z_m) == pytest.approx((20e-9, 6e-9, 0.0)), "+x withdraws"
