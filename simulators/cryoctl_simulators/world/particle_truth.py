"""What became of the particles, under the names of the run file's /simulation/results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.world.lithiation import HALF, area_ratio, reacted

if TYPE_CHECKING:
    from cryoctl_simulators.world.coated_particles import CoatedParticles

FloatArray = npt.NDArray[np.float64]


def tell(
    specimen: CoatedParticles, areas_m2: npt.NDArray[np.float32], times_s: FloatArray, time_s: float
) -> Mapping[str, Any]:
    """`particles/...` with `area_m2` [particle, frame], and the voltage-time course that led there.

    Args:
        areas_m2: [frame, particle] as the frames at `times_s` saw them.
        times_s: of this run, of the frames' middles.
        time_s: of the world, now.

    `expansion` is final over initial area, beam damage included. `rate_per_s` is that of the reaction alone, from its
    onset to half of what it came to; 0 where there was none. `broken_s` counts from the onset. `onset_s` is world time.
    """
    initial = np.array([math.pi * one.radius_m**2 for one in specimen.particles])
    reactions = specimen.reactions
    rates = [_rate(specimen, number, time_s) for number in range(len(reactions))]
    broken = [
        math.nan if one.state["broken_s"] is None else one.state["broken_s"] - one.state["onset_s"] for one in reactions
    ]
    return {
        "particles/name": [one.name for one in specimen.particles],
        "particles/control": np.array([not one.begun for one in reactions]),
        "particles/touched": np.array([number in specimen.record["touched"] for number in range(len(reactions))]),
        "particles/time_s": times_s,
        "particles/area_m2": areas_m2.T.astype(np.float64),
        "particles/initial_area_m2": initial,
        "particles/expansion": specimen.areas_m2(time_s) / initial,
        "particles/rate_per_s": np.array(rates),
        "particles/broken_s": np.array(broken),
        "particles/place_m": specimen.places_m(time_s),
        "particles/dose_e_per_a2": np.array([state["dose"] for state in specimen.record["particles"]]),
        "contact/contrast_change": _contrast_change(specimen),
        "current/capacity_c": np.array([specimen.capacity_c(number) for number in range(len(reactions))]),
    }


def _contrast_change(specimen: CoatedParticles) -> float:
    """Of the core of the particle that was touched first, fully pushed; NaN where none was."""
    touched = specimen.record["touched"]
    if not touched:
        return math.nan
    return specimen.particles[touched[0]].turn * specimen.parameters.contact.contrast


def _rate(specimen: CoatedParticles, number: int, time_s: float) -> float:
    reaction = specimen.reactions[number]
    if not reaction.begun:
        return 0.0
    q = float(specimen.log.q(number, time_s))
    half = 1 - (1 - 0.5 * float(reacted(q))) ** (1 / 3) if q < 1 else HALF
    lasted_s = specimen.log.first_reached_s(number, half) - reaction.state["onset_s"]
    return 0.5 * (float(area_ratio(q, specimen.law)) - 1) / lasted_s if lasted_s > 0 else 0.0
