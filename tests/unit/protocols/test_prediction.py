from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryoctl_protocols.prediction import Seen, predict_across, predict_along, predict_defocus


def runout(tilt: float) -> float:
    return 60e-9 * (math.sin(math.radians(tilt) + 0.7) - math.sin(0.7))


@given(st.floats(-300e-9, 300e-9), st.floats(-100e-9, 100e-9))
def test_height_and_offset_are_found_and_the_next_tilt_is_foretold(y0, z0):
    def across(tilt: float) -> float:
        a = math.radians(tilt)
        return y0 * (math.cos(a) - 1) + z0 * math.sin(a) + runout(tilt)

    seen: list[Seen] = []
    worst = 0.0
    for k in range(21):
        for tilt in (3.0 * k, -3.0 * k) if k else (0.0,):
            if k > 2:
                worst = max(worst, abs(predict_across(seen, tilt).value_m - across(tilt)))
            seen.append(Seen(tilt_deg=tilt, value_m=across(tilt)))
    assert worst < 20e-9, "nearest neighbour alone would be off by up to 22 nm a step of 3 degrees"


def test_sides_are_kept_apart():
    """Hysteresis: the negative side lies 80 nm off; seen in turns, that is no drift."""
    seen = [Seen(tilt_deg=0.0, value_m=0.0)]
    for k in range(1, 16):
        seen += [Seen(tilt_deg=3.0 * k, value_m=0.0), Seen(tilt_deg=-3.0 * k, value_m=80e-9)]
    assert predict_along(seen, 48.0).value_m == pytest.approx(0.0, abs=15e-9)
    assert predict_along(seen, -48.0).value_m == pytest.approx(80e-9, abs=15e-9)


def test_nothing_seen_means_no_correction():
    assert predict_across((), 30.0).value_m == 0.0
    assert predict_defocus((), 30.0).value_m == 0.0


def test_a_single_focus_holds_for_all_tilts():
    assert predict_defocus((Seen(tilt_deg=0.0, value_m=80e-9),), 60.0).value_m == pytest.approx(80e-9, rel=0.05)


def test_defocus_of_a_point_beside_the_axis():
    seen = [Seen(tilt_deg=t, value_m=50e-9 + 400e-9 * math.sin(math.radians(t))) for t in (0, 15, -15, 30, -30)]
    assert predict_defocus(seen, 45.0).value_m == pytest.approx(50e-9 + 400e-9 * math.sin(math.radians(45)), abs=40e-9)


def test_drift_met_on_one_side_is_known_on_the_other():
    """Dose-symmetric order, a drift of 30 nm a tilt: the nearest tilt of the same side alone would be 60 nm off."""
    seen: list[Seen] = []
    errors: list[float] = []
    for k in range(1, 21):
        for tilt in (3.0 * k, -3.0 * k):
            drifted = 30e-9 * len(seen)
            if k > 5:
                found = predict_along(seen, tilt)
                errors.append(abs(found.value_m - drifted))
                assert abs(found.value_m - drifted) < 3 * found.sigma_m
            seen.append(Seen(tilt_deg=tilt, value_m=drifted))
    assert max(errors) < 45e-9


def test_the_stated_sigma_is_honest():
    """Random walks with swings: about the share of a normal distribution lies within two sigma."""
    from random import Random

    draw = Random(11)
    inside: list[bool] = []
    for _ in range(40):
        seen, drift, before = [Seen(tilt_deg=0.0, value_m=0.0)], 0.0, 0.0
        for k in range(1, 12):
            for tilt in (3.0 * k, -3.0 * k):
                drift += draw.gauss(0, math.hypot(8e-9, 0.7e-9 * (tilt - before)))
                before = tilt
                value = drift + runout(tilt) + draw.gauss(0, 8e-9)
                found = predict_along(seen, tilt)
                inside.append(abs(value - found.value_m) < 2 * math.hypot(found.sigma_m, 8e-9))
                seen.append(Seen(tilt_deg=tilt, value_m=value))
    assert 0.92 < sum(inside) / len(inside) < 0.995
