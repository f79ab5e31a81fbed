"""Courses of particles as the run file's /results/particles has them: arrays [particle, time], numbers a particle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.particle_coating import Break
from cryoctl.analysis.particle_growth import Growth
from cryoctl.analysis.particle_segments import Labels
from cryoctl.analysis.particle_series import Course

Float = npt.NDArray[np.float64]


def name_of(number: int) -> str:
    """Of a particle in results and labels."""
    return f"p{number}"


def particle_table(
    found: Sequence[Course],
    *,
    time_s: Float,
    frame: Sequence[int],
    dose_e_per_a2: Float,
    pixel_size_m: float,
    touched: int,
) -> dict[str, Any]:
    """By the names of /results/particles; NaN where a particle was not measured.

    Args:
        found: at least one course, over the pictures at `time_s`.
        touched: number of the particle that is in contact and biased, all others are controls; 0: none is.
    """
    unit = pixel_size_m**2
    growths, breaks = [one.growth for one in found], [one.break_ for one in found]
    return {
        "name": [name_of(one.number) for one in found],
        "control": np.array([one.number != touched for one in found]),
        "time_s": time_s,
        "frame": np.asarray(frame, dtype=np.int64),
        "dose_e_per_a2": dose_e_per_a2,
        "y_px": np.stack([one.y_px for one in found]),
        "x_px": np.stack([one.x_px for one in found]),
        "area_m2": np.stack([one.area_px2 for one in found]) * unit,
        "area_m2_sigma": np.stack([one.total_sigma_px2() for one in found]) * unit,
        "core_area_m2": np.stack([one.core_px2 for one in found]) * unit,
        "core_area_m2_sigma": np.stack([one.core_sigma_px2 for one in found]) * unit,
        "edge": [one.model for one in found],
        "coating": [_coating(one) for one in found],
        "expansion": _numbers(growths, "expansion"),
        "expansion_low": _numbers(growths, "expansion_low"),
        "expansion_high": _numbers(growths, "expansion_high"),
        "rate_per_s": _numbers(growths, "rate_per_s"),
        "rate_per_s_low": _numbers(growths, "rate_low"),
        "rate_per_s_high": _numbers(growths, "rate_high"),
        "broken_s": _numbers(breaks, "time_s"),
        "broken_s_low": _numbers(breaks, "low_s"),
        "broken_s_high": _numbers(breaks, "high_s"),
    }


def of_particles(labels: Labels, found: Sequence[Course]) -> Labels:
    """Labels [..., y, x] of these particles only; what is no particle (a needle, a film) is background."""
    kept = np.zeros(max(int(labels.max(initial=0)), *(one.number for one in found), 0) + 1, dtype=np.int32)
    for one in found:
        kept[one.number] = one.number
    return kept[labels]


def _coating(one: Course) -> str:
    if not one.resolved:
        return "not resolved"
    if one.break_ is None:
        return "not judged"
    return "broken" if math.isfinite(one.break_.time_s) else "intact"


def _numbers(parts: Sequence[Growth | None] | Sequence[Break | None], field: str) -> Float:
    return np.array([math.nan if one is None else float(getattr(one, field)) for one in parts])
