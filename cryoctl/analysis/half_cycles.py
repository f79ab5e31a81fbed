"""A bias that changes its sign: how far and how fast each particle went in each half cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.particle_growth import HALF
from cryoctl.analysis.particle_series import Course

Float = npt.NDArray[np.float64]

LEAST_V = 0.05
"""No sign is told of a smaller voltage."""
_AROUND = 4
"""Pictures before a half cycle, and last ones in it, between which it is measured."""
_LEAST_PICTURES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfCycle:
    """`voltage_v` is the mean over it."""

    start_s: float
    end_s: float
    voltage_v: float


def half_cycles(time_s: Float, voltage_v: Float) -> list[HalfCycle]:
    """Stretches of one sign in a sampled voltage; shorter ones than a hundredth of all are noise about zero."""
    signs = np.where(np.abs(voltage_v) > LEAST_V, np.sign(voltage_v), 0.0)
    told = np.flatnonzero(signs != 0)
    if not told.size:
        return []
    parts = np.split(told, np.flatnonzero(np.diff(signs[told]) != 0) + 1)
    least_s = 0.01 * float(time_s[told[-1]] - time_s[told[0]])
    long = [part for part in parts if float(time_s[part[-1]] - time_s[part[0]]) > least_s]
    merged: list[npt.NDArray[np.intp]] = []
    for part in long:
        if merged and signs[merged[-1][0]] == signs[part[0]]:
            merged[-1] = np.concatenate([merged[-1], part])
        else:
            merged.append(part)
    return [
        HalfCycle(
            start_s=float(time_s[part[0]]), end_s=float(time_s[part[-1]]), voltage_v=float(voltage_v[part].mean())
        )
        for part in merged
    ]


def half_cycle_table(found: Sequence[Course], halves: Sequence[HalfCycle], time_s: Float) -> dict[str, Any]:
    """By the names of /results/half_cycles, arrays [particle, half cycle].

    `change` is the area gained over A0, the one before the first half cycle, `rate_per_s` the mean slope of A/A0 from
    the half cycle's start to half of that (NaN where nothing changed beyond its noise); both with their 95 %
    intervals, below 0 where the particle shrank. NaN where too few pictures tell.
    """
    parts = [[_of(one, half, time_s) for half in halves] for one in found]
    names = ("change", "change_low", "change_high", "rate_per_s", "rate_per_s_low", "rate_per_s_high")
    table = {name: np.array([[one[k] for one in row] for row in parts]) for k, name in enumerate(names)}
    return {
        "start_s": np.array([one.start_s for one in halves]),
        "end_s": np.array([one.end_s for one in halves]),
        "voltage_v": np.array([one.voltage_v for one in halves]),
        **table,
    }


def _of(course: Course, half: HalfCycle, times: Float) -> tuple[float, ...]:
    nothing = (math.nan,) * 6
    good = np.isfinite(course.area_px2)
    before = np.flatnonzero(good & (times <= half.start_s))[-_AROUND:]
    during = np.flatnonzero(good & (times > half.start_s) & (times <= half.end_s))
    if course.growth is None or not before.size or during.size < _LEAST_PICTURES:
        return nothing
    area0 = course.growth.area0
    ratio, sigma = course.area_px2 / area0, course.sigma_px2 / area0
    first, first_sigma = _at(half.start_s, times[before], ratio[before], sigma[before])
    ends = during[-_AROUND:]
    last, last_sigma = _at(half.end_s, times[ends], ratio[ends], sigma[ends])
    change = last - first
    unit_sigma = abs(change) * course.growth.area0_sigma / area0
    edge = _by_the_edge(last, course, area0) - _by_the_edge(first, course, area0)
    wide = HALF * math.hypot(last_sigma, first_sigma + unit_sigma, edge)
    rate, wide_rate = math.nan, math.nan
    if abs(change) > wide:
        risen = (ratio[during] - first) / change
        half_s, sigma_s = _crossing(times[during] - half.start_s, risen, sigma[during] / abs(change))
        rate = change / 2 / half_s
        wide_rate = abs(rate) * math.hypot(wide / abs(change), HALF * sigma_s / half_s)
    return change, change - wide, change + wide, rate, rate - wide_rate, rate + wide_rate


def _by_the_edge(ratio: float, course: Course, area0: float) -> float:
    """What A/A0 would be off by, were the edge of all pictures alike further out by `edge_px`."""
    radius0 = math.sqrt(area0 / math.pi)
    return 2 * ratio * course.edge_px / radius0 * (1 / math.sqrt(max(ratio, 1e-6)) - 1)


def _at(time_s: float, times: Float, ratio: Float, sigma: Float) -> tuple[float, float]:
    """Value and sigma at a time: of a line through the pictures where its slope is clear, else their mean."""
    weight = 1 / sigma**2
    mean, spread = float((ratio * weight).sum() / weight.sum()), float(1 / np.sqrt(weight.sum()))
    middle = float((times * weight).sum() / weight.sum())
    lever = float((weight * (times - middle) ** 2).sum())
    slope = float((weight * (times - middle) * ratio).sum()) / lever if lever > 0 else 0.0
    if times.size < 3 or abs(slope) < 2 / math.sqrt(lever):
        return mean, spread
    return mean + slope * (time_s - middle), math.hypot(spread, (time_s - middle) / math.sqrt(lever))


def _crossing(since_s: Float, risen: Float, sigma: Float) -> tuple[float, float]:
    """When half of the change was reached, and its sigma."""
    t, y = np.append(0.0, since_s), np.append(0.0, risen)
    calm = np.array([float(np.median(y[max(0, k - 1) : k + 2])) for k in range(y.size)])
    over = np.flatnonzero(calm >= 0.5)
    at = max(int(over[0]) if over.size else y.size - 1, 1)
    low, high = float(calm[at - 1]), float(calm[at])
    slope = max(high - low, 1e-9) / float(t[at] - t[at - 1])
    found_s = float(t[at - 1]) + min(max((0.5 - low) / slope, 0.0), float(t[at] - t[at - 1]))
    return max(found_s, 1e-9), float(sigma[at - 1]) / slope
