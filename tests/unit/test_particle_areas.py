"""Particles in drawn pictures with shot noise: what is found, its area, identity, growth and breaking coating."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cryoctl.analysis.particle_coating import broken
from cryoctl.analysis.particle_contour import own_contours
from cryoctl.analysis.particle_follow import Followed, follow
from cryoctl.analysis.particle_growth import growth
from cryoctl.analysis.particle_measure import measured
from cryoctl.analysis.particle_segments import segment
from cryoctl.analysis.particle_series import courses, followed, is_sequence
from tests.particle_pictures import Grain, counted, drawn


def test_one_set_of_parameters_finds_bright_and_dark_particles_on_an_uneven_background() -> None:
    grains = [Grain(y=30, x=30, core_px=12), Grain(y=70, x=75, core_px=16)]
    for dark, background in ((False, 30.0), (True, 120.0)):
        picture = counted(drawn(grains, (110, 110), background=background, slope=(0.3, 0.1), dark=dark, finer=2), 1)
        found = segment(picture)
        assert found.count == 2
        assert found.bright is not dark


def test_touching_particles_are_kept_apart() -> None:
    grains = [Grain(y=50, x=35, core_px=17), Grain(y=50, x=68, core_px=17)]
    assert segment(counted(drawn(grains, (100, 104), finer=2), 2)).count == 2


def test_noise_alone_holds_no_particle() -> None:
    assert [segment(counted(np.full((96, 96), 20.0), seed)).count for seed in range(3)] == [0, 0, 0]


def test_a_needle_far_brighter_does_not_hide_the_particles() -> None:
    picture = drawn([Grain(y=50, x=40, core_px=14, core_grey=40)], (100, 140), finer=2)
    picture[40:60, 100:] += 2000.0
    found = segment(counted(picture, 3))
    assert found.count == 2


@pytest.mark.parametrize(
    ("model", "grain"),
    [
        ("disc", Grain(y=45.3, x=44.6, core_px=24)),
        ("sphere", Grain(y=45.3, x=44.6, core_px=24, ball=True)),
        ("coated-disc", Grain(y=45.3, x=44.6, core_px=20, coating_px=4)),
        ("coated-sphere", Grain(y=45.3, x=44.6, core_px=20, coating_px=4, ball=True)),
    ],
)
def test_the_right_edge_model_gives_the_area_to_parts_of_a_pixel(model: str, grain: Grain) -> None:
    segments = own_contours(segment(counted(drawn([grain], (90, 90), blur_px=1.0), 4)))
    seen = measured(segments, 1, 1)
    edges = sorted((one for one in seen.fits if np.isfinite(one.badness)), key=lambda one: one.badness)
    assert edges[0].model == model
    assert edges[0].area_px == pytest.approx(grain.area_px, abs=4 * edges[0].sigma_px)
    assert edges[0].sigma_px < 0.015 * grain.area_px
    if grain.coating_px:
        assert edges[0].core_px == pytest.approx(np.pi * grain.core_px**2, rel=0.04)


def pair(k: int) -> list[Grain]:
    """Two that grow until they touch, while everything drifts, and one that leaves the field."""
    dy, dx = 1.5 * k, -1.0 * k
    ratio = 1.0 + 0.15 * k
    return [
        Grain(y=40 + dy, x=40 + dx, core_px=13).grown(ratio),
        Grain(y=40 + dy, x=74 + dx, core_px=13).grown(ratio),
        Grain(y=84 + dy, x=30 + dx, core_px=9),
    ]


def test_identity_is_kept_with_drift_growth_touching_neighbours_and_one_that_leaves() -> None:
    state: Followed | None = None
    previous: npt.ArrayLike | None = None
    numbers: list[dict[int, int]] = []
    for k in range(7):
        picture = counted(drawn(pair(k), (100, 110), finer=2), 10 + k)
        state, labels = follow(state, picture, previous)
        previous = picture
        assert set(np.unique(labels)) - {0} == {one.number for one in state.particles}
        grains = pair(k)
        numbers.append(
            {
                min(range(3), key=lambda i: np.hypot(grains[i].y - one.y_px, grains[i].x - one.x_px)): one.number
                for one in state.particles
            }
        )
    assert state is not None
    for who in (0, 1):
        assert len({each[who] for each in numbers}) == 1
    assert len({each[2] for each in numbers if 2 in each}) == 1
    assert not any(one.whole for one in state.particles if one.number == numbers[0][2])
    # The centroids of grown, touching discs are known to half a pixel.
    assert (state.drift_y_px, state.drift_x_px) == pytest.approx((9.0, -6.0), abs=1.0)


def test_pictures_of_other_particles_are_no_sequence() -> None:
    places = [[(25, 25), (70, 60)], [(70, 25), (30, 75)], [(25, 70), (75, 75)]]
    pictures = [
        counted(drawn([Grain(y=y, x=x, core_px=r) for (y, x), r in zip(each, (8, 14), strict=True)], (100, 100)), k)
        for k, each in enumerate(places)
    ]
    assert not is_sequence([state for state, _ in followed(pictures)])


def exponential(seed: int, end: float, interval_s: float, sigma: float) -> tuple[npt.NDArray[np.float64], ...]:
    times = interval_s * np.arange(40)
    areas = 1000.0 * (1 + (end - 1) * (1 - np.exp(-np.maximum(times - 40.0, 0.0) / 35.0)))
    noise = sigma * areas * np.random.default_rng(seed).standard_normal(40)
    return times, areas + noise, np.full(40, sigma * 1000.0)


def test_expansion_and_rate_are_those_of_the_course() -> None:
    found = growth(*exponential(1, 2.0, 8.0, 0.004), 40.0)
    assert found is not None
    assert found.expansion_low < 2.0 < found.expansion_high
    assert found.expansion == pytest.approx(2.0, abs=0.02)
    # Mean slope until half: 0.5 over 35 s times ln 2.
    assert found.rate_per_s == pytest.approx(0.5 / (35.0 * np.log(2)), rel=0.05)
    assert found.rate_low < 0.5 / (35.0 * np.log(2)) < found.rate_high


def test_what_does_not_grow_has_expansion_one_and_no_rate() -> None:
    found = growth(*exponential(2, 1.0, 8.0, 0.004), 40.0)
    assert found is not None
    assert found.expansion_low < 1.0 < found.expansion_high
    assert found.rate_low < 0.0 < found.rate_high


def test_areas_that_scatter_more_than_they_say_widen_the_interval() -> None:
    times, areas, sigma = exponential(3, 2.0, 8.0, 0.01)
    honest, bold = growth(times, areas, sigma, 40.0), growth(times, areas, sigma / 10, 40.0)
    assert honest is not None
    assert bold is not None
    assert bold.expansion_high - bold.expansion_low > 0.5 * (honest.expansion_high - honest.expansion_low)


def ring(seed: int, gap: float, thins: float = 0.0) -> tuple[npt.NDArray[np.float64], ...]:
    """64 sectors over 40 pictures; from picture 20 on three sectors lose the part `gap`, all thin evenly by `thins`."""
    values = 90.0 * (1.0 - thins * np.arange(40) / 40)[:, None] * np.ones((40, 64))
    values[20:, 30:33] *= 1.0 - gap
    sigma = np.full((40, 64), 6.0)
    return 5.0 * np.arange(40), values + sigma * np.random.default_rng(seed).standard_normal((40, 64)), sigma


def test_a_gap_that_opens_in_the_ring_is_found_where_and_when_it_opens() -> None:
    found = broken(*ring(1, 0.6, 0.5))
    assert found is not None
    assert (found.low_s, found.high_s) == (95.0, 100.0)
    assert found.angle_deg == pytest.approx(31.5 * 360 / 64, abs=12.0)
    assert found.missing > 0.25


def test_a_ring_that_thins_evenly_or_only_fluctuates_is_not_broken() -> None:
    for seed in range(4):
        found = broken(*ring(seed, 0.0, 0.6))
        assert found is not None
        assert np.isnan(found.time_s)


def test_a_ring_hidden_by_neighbours_tells_nothing() -> None:
    times, values, sigma = ring(1, 0.6)
    values[:, 10:] = np.nan
    assert broken(times, values, sigma) is None


def test_a_coated_particle_that_grows_and_breaks_is_measured_from_its_pictures() -> None:
    whole = Grain(y=45, x=45, core_px=20, coating_px=5)
    pictures, truth = [], []
    for k in range(14):
        ratio = 1.0 + 0.2 * (1 - np.exp(-max(k - 2, 0) / 2.0))
        grain = whole.grown(ratio)
        if k >= 9:
            grain = Grain(y=45, x=45, core_px=grain.core_px, coating_px=grain.coating_px, gap_deg=70.0)
        pictures.append(counted(drawn([grain], (90, 90), blur_px=0.8, finer=4), 100 + k))
        truth.append(grain.area_px)
    states = [state for state, _ in followed(pictures)]
    (course,) = courses(states, [10.0 * k for k in range(14)], 20.0)
    assert course.resolved
    assert course.model == "coated-disc"
    assert course.area_px2 == pytest.approx(np.array(truth), rel=0.02)
    assert course.growth is not None
    assert course.growth.expansion == pytest.approx(truth[-1] / truth[0], abs=0.015)
    assert course.break_ is not None
    assert (course.break_.low_s, course.break_.high_s) == (60.0, 70.0)
