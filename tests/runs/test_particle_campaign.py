"""Drawn series with known courses, many seeds: intervals counted against truth, breaks, identities.

Run: `python -m pytest -m campaign -s tests/runs/test_particle_campaign.py`, about 4 s of CPU a series.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest

from cryoctl.analysis.particle_follow import Followed, follow
from cryoctl.analysis.particle_series import Course, courses, followed
from tests.particle_pictures import Grain, counted, drawn

pytestmark = pytest.mark.campaign

SEEDS = int(os.environ.get("CRYOCTL_PARTICLE_SEEDS", "20"))
ONSET_S, INTERVAL_S, PICTURES = 40.0, 8.0, 36


@dataclass(frozen=True, kw_only=True)
class Case:
    """A coated particle whose area follows 1 + (end - 1) (1 - exp(-t / tau)) after the onset."""

    end: float
    tau_s: float
    coating_px: float
    break_s: float | None
    ball: bool = False
    gap_width_deg: float = 20.0

    def ratio(self, time_s: float) -> float:
        return 1 + (self.end - 1) * (1 - float(np.exp(-max(time_s - ONSET_S, 0.0) / self.tau_s)))

    @property
    def expansion(self) -> float:
        return self.ratio(INTERVAL_S * (PICTURES - 1))

    @property
    def rate_per_s(self) -> float:
        half = (self.expansion - 1) / 2
        return half / (-self.tau_s * float(np.log(1 - half / (self.end - 1))))


def measured(case: Case, seed: int) -> Course:
    random = np.random.default_rng(seed)
    dy, dx, angle = random.uniform(-1, 1), random.uniform(-1, 1), random.uniform(-180, 180)
    pictures: list[npt.NDArray[np.float64]] = []
    for k in range(PICTURES):
        time_s = INTERVAL_S * k
        place = {"y": 56 + dy + 0.2 * k, "x": 58 + dx - 0.15 * k}
        grain = Grain(core_px=25, coating_px=case.coating_px, ball=case.ball, **place).grown(case.ratio(time_s))
        if case.break_s is not None and time_s - ONSET_S >= case.break_s:
            grain = replace(grain, gap_deg=angle, gap_width_deg=case.gap_width_deg)
        means = drawn([grain], (120, 112), background=12, blur_px=0.8, finer=4)
        pictures.append(counted(means, 1000 * seed + k))
    found = courses([state for state, _ in followed(pictures)], [INTERVAL_S * k for k in range(PICTURES)], ONSET_S)
    assert len(found) == 1, (case, seed)
    return found[0]


@pytest.mark.parametrize(
    "case",
    [
        Case(end=2.0, tau_s=35.0, coating_px=2.5, break_s=None),
        Case(end=1.2, tau_s=45.0, coating_px=5.0, break_s=120.0),
        Case(end=2.0, tau_s=35.0, coating_px=2.5, break_s=None, ball=True),
        Case(end=1.2, tau_s=45.0, coating_px=5.0, break_s=120.0, ball=True),
    ],
)
def test_intervals_hold_the_truth_and_breaks_are_found(case: Case) -> None:
    within = {"expansion": 0, "rate": 0}
    expansions: list[float] = []
    rates: list[float] = []
    wrong: list[int] = []
    for seed in range(SEEDS):
        course = measured(case, seed)
        assert course.growth is not None
        grown = course.growth
        within["expansion"] += grown.expansion_low <= case.expansion <= grown.expansion_high
        within["rate"] += grown.rate_low <= case.rate_per_s <= grown.rate_high
        expansions.append(grown.expansion - case.expansion)
        rates.append(grown.rate_per_s / case.rate_per_s - 1)
        broken_s = course.break_.time_s if course.break_ is not None else float("nan")
        right = np.isnan(broken_s) if case.break_s is None else abs(broken_s - case.break_s) <= INTERVAL_S
        if not right:
            wrong.append(seed)
    print(
        f"{case}: of {SEEDS} seeds {within}, expansion off {np.mean(expansions):+.4f} +- {np.std(expansions):.4f}, "
        f"rate off {100 * np.mean(rates):+.1f} +- {100 * np.std(rates):.1f} %, break wrong in {wrong}"
    )
    assert not wrong
    assert np.abs(expansions).max() <= (0.05 if case.end > 1.5 else 0.015)
    assert min(within.values()) >= round(0.9 * SEEDS)


def test_no_identity_is_switched() -> None:
    switches: list[tuple[int, int]] = []
    for seed in range(2 * SEEDS):
        random = np.random.default_rng(seed)
        way = random.normal(0.0, 1.2, 2)
        gap = random.uniform(1.0, 6.0)
        start = [(45.0, 45.0, 12.0), (45.0, 69.0 + gap, 12.0), (69.0 + gap, 45.0, 12.0), (85.0, 85.0, 9.0)]
        speed = random.uniform(0.0, 0.09, 4)
        state: Followed | None = None
        previous: npt.ArrayLike | None = None
        names: dict[int, set[int]] = {}
        for k in range(12):
            grains = [
                Grain(y=y + way[0] * k, x=x + way[1] * k, core_px=r).grown(1 + speed[i] * k)
                for i, (y, x, r) in enumerate(start)
            ]
            picture = counted(drawn(grains, (120, 120), finer=2), 100 * seed + k)
            state, labels = follow(state, picture, previous)
            previous = picture
            for i, grain in enumerate(grains):
                y, x = round(grain.y), round(grain.x)
                if 0 <= y < 120 and 0 <= x < 120 and labels[y, x]:
                    names.setdefault(i, set()).add(int(labels[y, x]))
        switches += [(seed, i) for i, own in names.items() if len(own) > 1]
        own = [number for each in names.values() for number in each]
        switches += [(seed, -1)] if len(set(own)) < len(own) else []
    print(f"identity switches in {2 * SEEDS} series of 12 pictures: {switches}")
    assert not switches
