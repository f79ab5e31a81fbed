"""True motion: backlash, drift, height and runout as science.md has them, and hidden draws within their bounds."""

from __future__ import annotations

import itertools
import math

import pytest

from cryoctl_simulators.settings import BeamSettings, StageSettings
from cryoctl_simulators.world import column, goniometer
from cryoctl_simulators.world.goniometer import Goniometer, TruePosition
from cryoctl_simulators.world.noise import cut_normal, generator

STILL = StageSettings(
    repeatability_m=0, drift_m_per_s=0, drift_sigma_m_per_s=0, tilt_kick_m_per_s_per_deg=0, tilt_backlash_deg=0
)


def stage(settings: StageSettings = STILL, *, seed: int = 1, hidden: bool = False, **given: float) -> Goniometer:
    return Goniometer(settings, goniometer.draw(settings, seed, hidden, given), {}, seed)


def test_backlash_is_hysteresis_by_the_direction_of_the_last_approach():
    one = stage(backlash_m=0.4e-6)
    one.advance({"x_m": 5e-6}, 0.0)
    up = one.true_position(0.0).x_m
    one.advance({"x_m": 9e-6}, 0.0)
    one.advance({"x_m": 5e-6}, 0.0)
    down = one.true_position(0.0).x_m
    assert down - up == pytest.approx(0.4e-6)
    assert up == pytest.approx(5e-6 - 0.2e-6)
    one.advance({"x_m": 4.9e-6}, 0.0)
    one.advance({"x_m": 5e-6}, 0.0)
    assert one.true_position(0.0).x_m == pytest.approx(5e-6 + 0.1e-6), "a small move takes up part of the slack"


def test_repeatability_scatters_from_visit_to_visit_within_its_bound():
    one = stage(STILL.model_copy(update={"repeatability_m": 10e-9}), backlash_m=0.0)
    seen = set()
    for _ in range(20):
        one.advance({"x_m": 1e-6}, 0.0)
        one.arrive()
        seen.add(one.true_position(0.0).x_m)
    assert len(seen) == 20
    assert max(abs(value - 1e-6) for value in seen) <= 20e-9


def test_height_error_moves_the_image_by_z_sin_a():
    one = stage(eucentric_error_m=2e-7)
    for tilt in (-60.0, 0.0, 30.0, 60.0):
        one.advance({"tilt_deg": tilt}, 0.0)
        at = one.true_position(0.0)
        assert at.seen_at(0.0, 0.0)[1] == pytest.approx(2e-7 * math.sin(math.radians(tilt)))
    one.advance({"z_m": 2e-7}, 0.0)
    assert one.true_position(0.0).seen_at(0.0, 0.0)[1] == pytest.approx(0.0, abs=1e-15)


def test_a_beam_hits_what_is_seen_there():
    at = TruePosition(x_m=1e-6, y_m=-3e-7, tilt_deg=52.0, content_m=(4e-8, -9e-8), height_m=1.3e-7)
    x, y = at.hit_by(2.2e-6, -5e-7)
    assert at.seen_at(x, y) == pytest.approx((2.2e-6, -5e-7))


def test_drift_rises_after_a_large_tilt_and_a_refill_and_decays():
    one = stage(StageSettings(drift_m_per_s=0, drift_sigma_m_per_s=0))

    def speed(time_s: float) -> float:
        (x0, y0), (x1, y1) = one.drift_m(time_s), one.drift_m(time_s + 1.0)
        return math.hypot(x1 - x0, y1 - y0)

    assert speed(10.0) == 0.0
    one.advance({"tilt_deg": 60.0}, 100.0)
    assert 1e-10 < speed(100.0) < 5e-9
    assert speed(100.0 + 5 * 60.0) < 0.02 * speed(100.0)
    before = one.drift_m(1000.0)
    one.refill(1000.0)
    assert one.drift_m(1000.0) == pytest.approx(before)
    assert speed(1000.0) > speed(999.0)
    assert speed(1000.0 + 1800.0) < 0.2 * speed(1000.0)


def test_runout_is_smooth_reproducible_and_within_what_goniometers_do():
    widest = []
    for seed in range(20):
        one = stage(StageSettings(), seed=seed, hidden=True)
        path = []
        for tilt in range(-60, 61):
            one.record["tilt_deg"] = float(tilt)
            path.append(one._runout_m(float(tilt)))
        steps = [abs(b[1] - a[1]) for a, b in itertools.pairwise(path)]
        widest.append(max(y for _, y in path) - min(y for _, y in path))
        assert max(steps) < 10e-9, "a degree moves it by nanometres"
    assert 50e-9 < sorted(widest)[10] < 400e-9


def test_hidden_errors_are_cut_at_two_sigma_and_none_in_a_rehearsal():
    settings, seeds = BeamSettings(), range(300)
    drawn = [column.draw(settings, seed, True, {}) for seed in seeds]
    for name, sigma in (
        ("current_error", settings.current_error_sigma_rel),
        ("measure_error", settings.measure_sigma_rel),
        ("pixel_error", settings.pixel_size_sigma_rel),
        ("defocus_error_m", settings.defocus_sigma_m),
    ):
        values = [getattr(one, name) for one in drawn]
        assert max(map(abs, values)) <= 2 * sigma
        assert max(map(abs, values)) > sigma
        assert getattr(column.draw(settings, 5, False, {}), name) == 0.0
    still = goniometer.draw(StageSettings(), 5, False, {})
    assert still.eucentric_error_m == 0.0
    assert still.tilt_axis_deg == 0.0
    assert stage(StageSettings())._runout_m(40.0) == (0.0, 0.0)


def test_given_values_replace_the_draws():
    assert column.draw(BeamSettings(), 1, True, {"current_error": 0.07}).current_error == 0.07
    assert goniometer.draw(StageSettings(), 1, True, {"backlash_m": 1e-6}).backlash_m == 1e-6
    drift = goniometer.draw(StageSettings(), 1, True, {"drift_m_per_s": 3e-11}).drift_m_per_s
    assert math.hypot(*drift) == pytest.approx(3e-11)


def test_noise_is_keyed_by_identity_not_by_order():
    first = generator(3, "haadf", 7, 2).random(4)
    generator(3, "haadf", 7, 1).random(9)
    assert list(generator(3, "haadf", 7, 2).random(4)) == list(first)
    assert list(generator(4, "haadf", 7, 2).random(4)) != list(first)
    assert list(generator(3, "haadf", 72).random(4)) != list(first)
    assert cut_normal(generator(1), 0.0) == 0.0
