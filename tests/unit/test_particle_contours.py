"""A particle's own contour, what swells out of it, and its break, in drawn pictures with shot noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cryoctl.analysis.particle_coating import swollen
from cryoctl.analysis.particle_contour import own_contours
from cryoctl.analysis.particle_measure import measured
from cryoctl.analysis.particle_segments import segment
from tests.particle_pictures import Grain, counted, drawn

SHAPE = (110, 130)


def sizes(labels: npt.NDArray[np.int32]) -> list[int]:
    return sorted(int(n) for n in np.bincount(labels.ravel())[1:])


def test_a_faint_particle_beside_bright_ones_has_its_whole_area() -> None:
    faint = Grain(y=40, x=40, core_px=22, core_grey=60, ball=True)
    bright = [Grain(y=40, x=95, core_px=18, core_grey=240, ball=True), Grain(y=88, x=90, core_px=16, core_grey=240)]
    common = segment(counted(drawn([faint, *bright], SHAPE, blur_px=0.8), 1))
    own = own_contours(common)
    number = int(common.labels[40, 40])
    assert number
    true_px = faint.area_px
    assert float((common.labels == number).sum()) < 0.85 * true_px, "the common threshold lies inside it"
    assert float((own.labels == number).sum()) == pytest.approx(true_px, rel=0.05)


def test_touching_neighbours_take_nothing_of_each_other() -> None:
    grains = [Grain(y=50, x=40, core_px=17, core_grey=80), Grain(y=50, x=74, core_px=17, core_grey=200)]
    own = own_contours(segment(counted(drawn(grains, SHAPE, finer=2), 2)))
    assert own.count == 2
    small, large = sizes(own.labels)
    assert large < 1.03 * small
    assert grains[0].area_px < small < np.pi * 18.0**2, "the foot of a smoothed edge lies within a pixel outside"


def test_counts_are_measured_as_they_are_although_metal_is_cut_off() -> None:
    grain = Grain(y=45, x=45, core_px=20, coating_px=5, ball=True, core_grey=40, coating_grey=90)
    alone = drawn([grain], SHAPE, blur_px=0.8)
    beside = alone.copy()
    beside[30:60, 110:] += 20_000.0
    areas: list[float] = []
    for means in (alone, beside):
        segments = own_contours(segment(counted(means, 3)))
        fit = measured(segments, int(segments.labels[45, 45]), 1).fit("coated-sphere")
        assert fit is not None
        areas.append(fit.area_px)
    assert areas == pytest.approx([grain.area_px] * 2, rel=0.02)


def test_what_swells_out_of_a_gap_counts_and_a_gap_is_no_notch() -> None:
    whole = Grain(y=55, x=60, core_px=24, coating_px=5, core_grey=60, coating_grey=120)
    gaping = Grain(y=55, x=60, core_px=24, coating_px=5, core_grey=60, coating_grey=120, gap_deg=0, gap_width_deg=30)
    bulge = Grain(y=55, x=60 + 24, core_px=11, core_grey=60)
    y, x = np.indices((SHAPE[0] * 5, SHAPE[1] * 5)) / 5 - 0.4
    there = np.hypot(y - 55, x - 60) < 29
    swells = float((~there & (np.hypot(y - 55, x - bulge.x) < 11)).sum()) / 25
    assert swells > 0.02 * whole.area_px
    for grains, true_px in (
        ([whole], whole.area_px),
        ([gaping], whole.area_px),
        ([gaping, bulge], whole.area_px + swells),
    ):
        segments = own_contours(segment(counted(drawn(grains, SHAPE, blur_px=0.8), 4)))
        seen = measured(segments, int(segments.labels[55, 60]), 1, ("coated-disc",))
        assert seen.fits[-1].model == "coated-disc"
        assert seen.fits[-1].area_px == pytest.approx(true_px, rel=0.012)


def outlines(seed: int, step: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """64 sectors over 40 pictures of a particle that grows; from picture 20 on eight of them come out by the part
    `step`, and four are hidden."""
    radius = np.linspace(30.0, 36.0, 40)[:, None] * np.ones((40, 64))
    radius[20:, 10:18] *= 1 + step
    radius[:, 40:44] = np.nan
    return 5.0 * np.arange(40), radius + 0.4 * np.random.default_rng(seed).standard_normal((40, 64))


def test_an_outline_that_comes_out_and_stays_is_a_break() -> None:
    found = swollen(*outlines(1, 0.12))
    assert found is not None
    assert (found.low_s, found.high_s) == (95.0, 100.0)
    assert 10 * 5.625 - 12 < found.angle_deg < 18 * 5.625 + 12
    assert found.swollen == pytest.approx(0.12, abs=0.03)


def test_growth_and_noise_alone_are_none() -> None:
    for seed in range(5):
        found = swollen(*outlines(seed, 0.0))
        assert found is not None
        assert np.isnan(found.time_s)


def test_pictures_of_a_series_are_cut_as_the_first_one_was() -> None:
    means = drawn([Grain(y=40, x=40, core_px=15), Grain(y=70, x=90, core_px=12)], SHAPE, slope=(0.3, 0.1), finer=2)
    first = segment(counted(means, 5))
    again = segment(counted(means, 5), None, first.way)
    assert again.way == first.way
    assert np.mean(again.labels != first.labels) < 1e-3
