"""The closed form of a ramped set point against a plain integration of the same equation."""

from __future__ import annotations

from typing import Any

import pytest

from cryoctl_simulators.settings import HolderSettings
from cryoctl_simulators.world.cold import ColdHolder

_STEP_S = 0.01


def _integrated(start_k: float, set_points: list[tuple[float, float, float]], until_s: float, tau_s: float) -> float:
    """Each set point: when, where to, K/s (0: at once)."""
    temperature_k, at_k, goal_k, rate = start_k, start_k, start_k, 0.0
    left = list(set_points)
    for step in range(round(until_s / _STEP_S)):
        if left and step * _STEP_S >= left[0][0] - 1e-9:
            _, goal_k, rate = left.pop(0)
        way = goal_k - at_k
        at_k = goal_k if not rate or abs(way) <= rate * _STEP_S else at_k + (rate if way > 0 else -rate) * _STEP_S
        temperature_k += (at_k - temperature_k) / tau_s * _STEP_S
    return temperature_k


@pytest.mark.parametrize(
    "set_points",
    [
        [(0.0, 125.0, 0.1)],
        [(0.0, 125.0, 0.1), (100.0, 98.0, 0.05)],
        [(0.0, 125.0, 0.1), (100.0, 200.0, 0.0), (150.0, 100.0, 1.0)],
        [(0.0, 120.0, 0.0), (200.0, 110.0, 0.02)],
    ],
)
def test_ramps_agree_with_an_integration(set_points: list[tuple[float, float, float]]) -> None:
    record: dict[str, Any] = {}
    cold = ColdHolder(HolderSettings(temperature_k=95.0, approach_s=60.0), record)
    for time_s, goal_k, rate in set_points:
        cold.set_point(goal_k, time_s, ramp_k_per_s=rate)
    for until_s in (250.0, 400.0, 1500.0):
        assert cold.temperature_k(until_s) == pytest.approx(_integrated(95.0, set_points, until_s, 60.0), abs=0.02)


def test_a_refill_changes_nothing_of_a_ramp_and_an_empty_dewar_warms_in_spite_of_it() -> None:
    settings = HolderSettings(temperature_k=95.0, approach_s=60.0, hold_time_s=1000.0)
    plain, refilled = ColdHolder(settings, {}), ColdHolder(settings, {})
    for cold in (plain, refilled):
        cold.set_point(145.0, 0.0, ramp_k_per_s=0.1)
    refilled.refill(200.0)
    for time_s in (200.0, 300.0, 600.0, 900.0):
        assert refilled.temperature_k(time_s) == pytest.approx(plain.temperature_k(time_s), abs=1e-9)
        assert refilled.set_point_k(time_s) == pytest.approx(plain.set_point_k(time_s), abs=1e-9)
    assert plain.temperature_k(1100.0) > refilled.temperature_k(1100.0) + 5.0
