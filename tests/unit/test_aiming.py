"""Where a needle is aimed, on drawn particles that lie on film: by how much they are met first is not overrated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cryoctl.analysis.aiming import Aim, aim

SIZE, MIDDLE, RADIUS, TIP_PX = 256, 128, 28, 11
VACUUM, FILM, PARTICLE, METAL = 400.0, 457.0, 530.0, 900.0
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE].astype(float)
AT = np.arange(-40, 41)
OUTLINE = np.where(np.abs(AT) <= TIP_PX, TIP_PX - np.sqrt(np.maximum(TIP_PX**2 - AT**2, 0.0)), np.abs(AT) * 6.0)
"""How far behind its apex a needle's outline is, row by row: a round tip on a slim shank."""


HALO, ON = 31.0, 4.0


def film(slope: float, start: float) -> np.ndarray:
    """A sheet whose edge goes below the particle from above, `start` pixels before its front at the needle's height,
    and ends a little further on: where it is last seen, and so much hidden."""
    a, b = 1 + slope**2, 2 * slope * (RADIUS - start)
    seen = (b - math.sqrt(b**2 - 4 * a * ((RADIUS - start) ** 2 - HALO**2))) / (2 * a)
    beside = MIDDLE + RADIUS - start - slope * (ROWS - MIDDLE) > COLUMNS
    return np.where(MIDDLE + seen + ON >= ROWS, beside, COLUMNS < MIDDLE - HALO)


def picture(slope: float, start: float, apex: tuple[int, int], *others: tuple[float, float]) -> np.ndarray:
    shown = np.where(film(slope, start), FILM, VACUUM)
    for row, column in ((MIDDLE, MIDDLE), *others):
        shown[np.hypot(ROWS - row, COLUMNS - column) <= RADIUS] = PARTICLE
    within = np.abs(ROWS - apex[0]) <= AT[-1]
    behind = np.interp(np.abs(ROWS - apex[0]), AT[AT >= 0], OUTLINE[AT >= 0])
    shown[within & (apex[1] + behind <= COLUMNS)] = METAL
    return np.random.default_rng(5).normal(shown, 8.0)


def really_ahead(slope: float, start: float, row: int) -> float:
    """With all of the film, also what the particle hides."""
    sheet = film(slope, start)
    disc = np.hypot(ROWS - MIDDLE, COLUMNS - MIDDLE) <= RADIUS
    rows = row + AT
    met = [np.where(mask.any(axis=1), SIZE - 1 - mask[:, ::-1].argmax(axis=1), -1e9)[rows] for mask in (sheet, disc)]
    to_film, to_particle = (float((OUTLINE - front).min()) for front in met)
    return to_film - to_particle


def aimed(slope: float, start: float, **how: float) -> tuple[Aim, int]:
    apex = (MIDDLE, 220)
    found = aim(picture(slope, start, apex), "right", ahead_px=12.0, **how)
    return found, round(apex[0] - found.aside_px)


@pytest.mark.parametrize("slope", [0.6, 1.0, 1.5])
def test_film_that_a_particle_begins_to_hide_is_reckoned_with(slope: float) -> None:
    for start in (2.0, 8.0, 14.0):
        found, row = aimed(slope, start)
        assert found.found
        assert found.ahead_px <= really_ahead(slope, start, row) + 2.0, (start, row)


def test_a_needle_that_may_come_on_aside_is_aimed_further_from_film() -> None:
    strict, loose = aimed(1.0, 4.0), aimed(1.0, 4.0, loose_px=4.0)
    assert loose[1] > strict[1]
    assert loose[0].ahead_px <= min(really_ahead(1.0, 4.0, loose[1] + off) for off in (-4, 0, 4)) + 2.0


def test_a_particle_beyond_the_reach_is_left_for_a_nearer_one() -> None:
    shown = picture(0.0, 40.0, (MIDDLE, 220), (190.0, 150.0))
    assert aim(shown, "right").target_y_px == pytest.approx(0.5, abs=2.0)
    assert aim(shown, "right", reach_px=50.0).target_y_px == pytest.approx(62.5, abs=2.0)
    assert aim(shown, "right", reach_px=10.0).target_y_px == pytest.approx(0.5, abs=2.0), "none is near enough"
    assert math.isfinite(aim(shown, "right").gap_px)
