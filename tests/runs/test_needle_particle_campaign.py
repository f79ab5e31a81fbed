"""Particles of the simulated half-cut grid under a needle: the published cases, drawn ones, identities, against truth.

Run: `python -m pytest -m campaign -s tests/runs/test_needle_particle_campaign.py`, about 12 s of CPU a series, 70 of
them; `CRYOCTL_PARTICLE_SEEDS` sets how many of each published case.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cryoctl.analysis.particle_series import Course, courses, followed
from tests.needle_series import SCAN, NeedleSeries, taken

pytestmark = pytest.mark.campaign

SEEDS = int(os.environ.get("CRYOCTL_PARTICLE_SEEDS", "20"))
DRAWN = int(os.environ.get("CRYOCTL_DRAWN_SPECIMENS", "30"))
INTERVAL_S = 4.45
"""Of the recipe: 4 s and the time of a picture."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """The touched particle's course, the others', and how many numbers any of them bore (-1: two shared one)."""

    series: NeedleSeries
    course: Course
    others: list[Course]
    switches: int

    @property
    def broken_s(self) -> float:
        found = self.course.break_
        return found.time_s if found is not None else float("nan")

    def break_is_right(self, interval_s: float) -> bool:
        true_s = self.series.broken_s
        if np.isnan(true_s):
            return bool(np.isnan(self.broken_s))
        return abs(self.broken_s - true_s) <= max(5.0, interval_s)

    def told(self) -> str:
        grown, true, pixel = self.course.growth, self.series, SCAN.pixel_size_m**2
        assert grown is not None
        off = self.course.area_px2 * pixel / true.area_m2 - 1
        return (
            f"A/A0 {grown.expansion:.3f} [{grown.expansion_low:.3f}, {grown.expansion_high:.3f}] "
            f"({true.expansion:.3f})  "
            f"rate {grown.rate_per_s:.5f} [{grown.rate_low:.5f}, {grown.rate_high:.5f}] ({true.rate_per_s:.5f})  "
            f"broken {self.broken_s:.1f} ({true.broken_s:.1f})  area off by {100 * np.nanmean(off):+.2f} %, at most "
            f"{100 * np.nanmax(np.abs(off)):.2f} %"
        )


def measured(seed: int, given: dict[str, Any], duration_s: float, interval_s: float) -> Outcome:
    series = taken(seed, given, duration_s, interval_s)
    states = [state for state, _ in followed(list(series.pictures.astype(np.float32)))]
    found = courses(states, series.time_s.tolist(), series.onset_s)
    by_particle: dict[int, list[Course]] = {}
    for one in found:
        last = int(np.flatnonzero(np.isfinite(one.x_px))[-1])
        middle = (SCAN.shape[0] - 1) / 2
        x_m, y_m = (float(place[last] - middle) * SCAN.pixel_size_m for place in (one.x_px, one.y_px))
        away = np.hypot(series.place_m[:, 0] - x_m, series.place_m[:, 1] - y_m)
        by_particle.setdefault(int(away.argmin()), []).append(one)
    own = by_particle.get(series.touched, [])
    assert own, (seed, given, "the touched particle was not found")
    whole = max(own, key=lambda one: int(np.isfinite(one.area_px2).sum()))
    others = [one for number, each in by_particle.items() if number != series.touched for one in each]
    return Outcome(
        series=series, course=whole, others=others, switches=sum(len(each) - 1 for each in by_particle.values())
    )


def test_the_published_cases_are_measured_from_noisy_pictures() -> None:
    cases = {"5 nm": ({"specimen.coating_m": 5e-9}, 130.0), "10 nm": ({"specimen.coating_m": 10e-9}, 200.0)}
    bounds = {"5 nm": 0.05, "10 nm": 0.015}
    rates: dict[str, list[float]] = {name: [] for name in cases}
    failures: list[str] = []
    for name, (given, duration_s) in cases.items():
        within = {"A/A0": 0, "rate": 0}
        off: list[float] = []
        for seed in range(1, SEEDS + 1):
            one = measured(seed, given, duration_s, INTERVAL_S)
            grown, true = one.course.growth, one.series
            assert grown is not None
            print(f"{name}, seed {seed}: {one.told()}", flush=True)
            off.append(grown.expansion - true.expansion)
            rates[name].append(grown.rate_per_s)
            within["A/A0"] += grown.expansion_low <= true.expansion <= grown.expansion_high
            within["rate"] += grown.rate_low <= true.rate_per_s <= grown.rate_high
            false = sum(bool(two.break_ and np.isfinite(two.break_.time_s)) for two in one.others)
            if abs(off[-1]) > bounds[name] or not one.break_is_right(INTERVAL_S) or one.switches or false:
                failures.append(f"{name}, seed {seed}: {one.switches} switches, {false} false breaks; {one.told()}")
        print(
            f"{name}: of {SEEDS} seeds the interval holds the truth in {within}; A/A0 off by {np.mean(off):+.4f} +- "
            f"{np.std(off):.4f}, at most {np.abs(off).max():.4f}",
            flush=True,
        )
        if min(within.values()) < round(0.9 * SEEDS):
            failures.append(f"{name}: intervals hold the truth in {within} of {SEEDS}")
    ratio = np.array(rates["5 nm"]) / np.array(rates["10 nm"])
    print(f"ratio of rates {ratio.mean():.2f} +- {ratio.std():.2f}, {ratio.min():.2f} to {ratio.max():.2f}")
    assert not failures, failures
    assert np.abs(ratio.mean() - 6.0) <= 0.5


def drawn_specimen(seed: int) -> tuple[dict[str, Any], float]:
    """Fields, and for how long it is watched: until the front has arrived, and a minute beyond the break."""
    random = np.random.default_rng([seed, 77])
    ratio, rate = float(random.uniform(1.05, 2.5)), float(10 ** random.uniform(-2.7, -1.7))
    coating_m = float(random.uniform(3e-9, 12e-9))
    break_s = None if random.random() < 1 / 3 else float(random.uniform(30.0, 600.0))
    given = {"coating_m": coating_m, "area_ratio": ratio, "rate_per_s": rate, "break_s": break_s}
    arrived_s = 0.5 * (ratio - 1) / rate / 0.2063
    return {f"specimen.{name}": value for name, value in given.items()}, max(
        1.15 * arrived_s, 60.0, (break_s or 0.0) + 60.0
    )


def test_drawn_specimens_are_measured_as_well() -> None:
    failures: list[str] = []
    for seed in range(DRAWN):
        given, duration_s = drawn_specimen(seed)
        interval_s = max(INTERVAL_S, duration_s / 55)
        one = measured(seed, given, duration_s, interval_s)
        grown, true = one.course.growth, one.series
        assert grown is not None
        coating_nm = 1e9 * given["specimen.coating_m"]
        print(f"seed {seed}, {coating_nm:.1f} nm, each {interval_s:.1f} s: {one.told()}", flush=True)
        false = sum(bool(two.break_ and np.isfinite(two.break_.time_s)) for two in one.others)
        area = abs(grown.expansion / true.expansion - 1)
        if area > 0.03 or not one.break_is_right(interval_s) or one.switches or false:
            failures.append(f"seed {seed}: {one.switches} switches, {false} false breaks; {one.told()}")
    print(f"{len(failures)} of {DRAWN} drawn specimens out of bounds")
    assert not failures, failures
