"""What a needle's current says beside the pictures: a short, an open contact, no reaction, or one as it should be.

Lithiating one particle takes some 15 pC, far below what leaks and what a source is off by (science.md, E4). So the
pictures decide, and a charge is told only with the bounds that offset, leakage and the beam leave.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.charge import noise_sigma_a

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

NORMAL, SHORT, OPEN = "normal", "short", "open"
NO_REACTION, UNDECIDED, NOT_BIASED = "thick-oxide-or-lost-contact", "undecided", "not-biased"

SHORT_S = 1.0
"""So long a source has to be held by its current limit."""
HELD = 0.9
"""Part of the current limit that a sample that is held by it shows."""
LEAST_CHANGE = 0.03
"""Of an area over that before: less is what the beam alone does."""
_STILL = 0.1
"""Part of the fastest change below which a particle counts as still: then nothing but leakage flows."""
_SAME_V = 0.02
"""Relative; voltages that leak alike."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Biased:
    """Samples of a source while it was on. `beam_on` tells those that an exposure overlaps, `offset_bound_a` is what
    the source reads at most with nothing connected, `compliance_a` its current limit."""

    time_s: Float
    voltage_v: Float
    current_a: Float
    in_compliance: Bool
    beam_on: Bool
    offset_bound_a: float
    compliance_a: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watched:
    """The particle in contact: areas [t] over A0 (NaN: not measured) and the expansion's 95 % interval."""

    time_s: Float
    ratio: Float
    expansion_low: float
    expansion_high: float
    gap_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentVerdict:
    """`current_a` is the mean while the bias was on, `detection_a` what a current has to exceed to be told from offset
    and noise. `capacity_c` is what flowed beyond that which flows while the particle is still, where it was both (NaN
    otherwise); its interval holds offset and leakage. `beam_a` is by how much the current differs under the beam."""

    verdict: str
    message: str
    current_a: float
    current_a_low: float
    current_a_high: float
    detection_a: float
    capacity_c: float
    capacity_c_low: float
    capacity_c_high: float
    beam_a: float
    beam_a_low: float
    beam_a_high: float


def current_verdict(biased: Biased | None, watched: Watched | None) -> CurrentVerdict:
    """Args: `watched` is None where the particle in contact was not measured."""
    if biased is None or len(biased.time_s) < 3:
        return _told(NOT_BIASED, "no bias was applied")
    one = biased
    duration_s = float(one.time_s[-1] - one.time_s[0])
    noise_a = noise_sigma_a(one.current_a)
    mean_a = float(one.current_a.mean())
    detection_a = math.hypot(one.offset_bound_a, 2 * noise_a / math.sqrt(len(one.current_a)))
    seen = f"current {mean_a * 1e12:.3g} pA" if abs(mean_a) > detection_a else _below(detection_a)
    verdict, why = _verdict(one, watched)
    capacity = _capacity(one, watched, noise_a, duration_s)
    beam_a, beam_bound_a = _of_the_beam(one, noise_a)
    return CurrentVerdict(
        verdict=verdict,
        message=f"{why}; {seen}; {_charge(capacity)}",
        current_a=mean_a,
        current_a_low=mean_a - detection_a,
        current_a_high=mean_a + detection_a,
        detection_a=detection_a,
        capacity_c=capacity[0],
        capacity_c_low=capacity[1],
        capacity_c_high=capacity[2],
        beam_a=beam_a,
        beam_a_low=beam_a - beam_bound_a,
        beam_a_high=beam_a + beam_bound_a,
    )


def _verdict(one: Biased, watched: Watched | None) -> tuple[str, str]:
    step_s = float(np.median(np.diff(one.time_s)))
    held = one.in_compliance & (np.abs(one.current_a) >= HELD * one.compliance_a)
    held_s = float(held.sum()) * step_s
    if held_s >= SHORT_S:
        return SHORT, f"held by its current limit for {held_s:.3g} s: a short"
    if watched is None:
        return UNDECIDED, "the particle in contact was not measured"
    if watched.gap_open:
        return OPEN, "a gap is seen between needle and particle"
    low, high = watched.expansion_low, watched.expansion_high
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNDECIDED, "the particle in contact was not measured often enough"
    if low > 1 + LEAST_CHANGE or high < 1 - LEAST_CHANGE or np.nanmax(np.abs(watched.ratio - 1)) > 4 * LEAST_CHANGE:
        return NORMAL, "the particle changes as ions pass"
    if low > 1 - LEAST_CHANGE and high < 1 + LEAST_CHANGE:
        return NO_REACTION, "no expansion and no gap: thick LixO, a contact that does not conduct, or too low a voltage"
    return UNDECIDED, "the area's uncertainty hides whether the particle reacts"


def _capacity(one: Biased, watched: Watched | None, noise_a: float, duration_s: float) -> tuple[float, float, float]:
    """Charge beyond that of the times in which the particle is still, with its interval."""
    total_c = float(np.trapezoid(np.abs(one.current_a), one.time_s))
    unknown = (math.nan, 0.0, total_c + one.offset_bound_a * duration_s)
    if watched is None:
        return unknown
    good = np.isfinite(watched.ratio)
    if good.sum() < 5:
        return unknown
    middle_s = (watched.time_s[good][1:] + watched.time_s[good][:-1]) / 2
    speed = np.abs(np.diff(watched.ratio[good]) / np.diff(watched.time_s[good]))
    calm = np.array([float(np.median(speed[max(0, k - 1) : k + 2])) for k in range(speed.size)])
    moves = np.interp(one.time_s, middle_s, calm) > _STILL * float(calm.max())
    usual_v = float(np.median(one.voltage_v[moves])) if moves.any() else math.nan
    alike = np.abs(one.voltage_v - usual_v) <= _SAME_V * abs(usual_v)
    still, flows = ~moves & alike, moves & alike
    if still.sum() < 0.1 * len(moves) or flows.sum() < 3:
        return unknown
    step_s = float(np.median(np.diff(one.time_s)))
    lasts_s = float(flows.sum()) * step_s
    beyond_c = float((one.current_a[flows] - one.current_a[still].mean()).sum()) * step_s
    noise_c = noise_a * lasts_s * math.hypot(1 / math.sqrt(flows.sum()), 1 / math.sqrt(still.sum()))
    bound_c = math.hypot(one.offset_bound_a * lasts_s, 2 * noise_c)
    charge_c = -beyond_c if usual_v < 0 else beyond_c
    return charge_c, charge_c - bound_c, charge_c + bound_c


def _of_the_beam(one: Biased, noise_a: float) -> tuple[float, float]:
    """Neighbouring samples under the beam and blanked, so that what changes slowly cancels."""
    inside, outside = int(one.beam_on.sum()), int((~one.beam_on).sum())
    if inside < 3 or outside < 3:
        return math.nan, math.nan
    blanked = np.interp(one.time_s[one.beam_on], one.time_s[~one.beam_on], _calm(one.current_a[~one.beam_on]))
    difference = float((one.current_a[one.beam_on] - blanked).mean())
    return difference, 2 * noise_a * math.sqrt(1 / inside + 1 / outside)


def _calm(values: Float, width: int = 25) -> Float:
    """Running mean, shorter at both ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - width, 0), np.minimum(at + width + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def _below(detection_a: float) -> str:
    return f"current below detection: {detection_a * 1e12:.2g} pA"


def _charge(capacity: tuple[float, float, float]) -> str:
    charge_c, low_c, high_c = capacity
    if math.isfinite(charge_c) and (low_c > 0 or high_c < 0):
        return f"charge beyond leakage {charge_c * 1e12:.3g} pC ({low_c * 1e12:.3g} to {high_c * 1e12:.3g})"
    return f"no charge is told from leakage and offset, at most {max(abs(low_c), abs(high_c)) * 1e12:.3g} pC"


def _told(verdict: str, message: str) -> CurrentVerdict:
    nothing = math.nan
    return CurrentVerdict(
        verdict=verdict,
        message=message,
        current_a=nothing,
        current_a_low=nothing,
        current_a_high=nothing,
        detection_a=nothing,
        capacity_c=nothing,
        capacity_c_low=nothing,
        capacity_c_high=nothing,
        beam_a=nothing,
        beam_a_low=nothing,
        beam_a_high=nothing,
    )
