"""A bias that changes its sign: how far and how fast each particle went in each half cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.particle_growth import Growth, growth
from cryoctl.analysis.particle_series import Course

Float = npt.NDArray[np.float64]

LEAST_V = 0.05
"""No sign is told of a smaller voltage."""
_BEFORE = 3
"""Last pictures before a half cycle that it is compared with."""
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
    the half cycle's start to half of that; both with their 95 % intervals, below 0 where the particle shrank. NaN
    where too few pictures tell.
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
    before = np.flatnonzero(good & (times <= half.start_s))[-_BEFORE:]
    during = np.flatnonzero(good & (times > half.start_s) & (times <= half.end_s))
    if course.growth is None or not before.size or during.size < _LEAST_PICTURES:
        return nothing
    rows = np.concatenate([before, during])
    areas, sigmas = course.area_px2[rows], course.sigma_px2[rows]
    found: Growth | None = growth(times[rows], areas, sigmas, half.start_s, course.edge_px)
    if found is None:
        return nothing
    unit = found.area0 / course.growth.area0
    lows = (found.expansion_low - 1, found.expansion_high - 1)
    return (
        (found.expansion - 1) * unit,
        lows[0] * unit,
        lows[1] * unit,
        found.rate_per_s * unit,
        found.rate_low * unit,
        found.rate_high * unit,
    )
