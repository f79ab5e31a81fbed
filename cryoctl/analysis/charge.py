"""Charge from a sampled current, and how little of it could be told from offset, leakage and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """`bound_c` is two sigma; what is smaller is below detection, and so is a mean current below `bound_a`."""

    charge_c: float
    bound_c: float
    duration_s: float

    @property
    def detected(self) -> bool:
        return abs(self.charge_c) > self.bound_c

    @property
    def bound_a(self) -> float:
        return self.bound_c / self.duration_s if self.duration_s > 0 else math.nan


def charge(time_s: FloatArray, current_a: FloatArray, *, offset_bound_a: float, offset_a: float = 0.0) -> Charge:
    """By trapezia.

    Args:
        time_s: in order (s).
        current_a: at these times, all by the same source in one range (A).
        offset_bound_a: two-sigma bound of what is read with nothing connected, leakage at the applied voltage and the
            beam's own current included; it adds up over the whole time, noise only with its square root.
        offset_a: the best estimate of that, taken off.
    """
    time_s = np.asarray(time_s, dtype=np.float64)
    current_a = np.asarray(current_a, dtype=np.float64)
    if len(time_s) < 2:
        return Charge(charge_c=0.0, bound_c=0.0, duration_s=0.0)
    duration_s = float(time_s[-1] - time_s[0])
    steps_s = np.diff(time_s)
    weight_s = np.concatenate([steps_s, [0.0]]) / 2 + np.concatenate([[0.0], steps_s]) / 2
    found_c = float(weight_s @ (current_a - offset_a))
    noise_c = noise_sigma_a(current_a) * math.sqrt(float(weight_s @ weight_s))
    return Charge(
        charge_c=found_c,
        bound_c=math.hypot(offset_bound_a * duration_s, 2 * noise_c),
        duration_s=duration_s,
    )


def noise_sigma_a(current_a: FloatArray) -> float:
    """One sigma of white noise, by the median of second differences: steps and slopes don't count."""
    if len(current_a) < 3:
        return 0.0
    bends = np.diff(np.asarray(current_a, dtype=np.float64), n=2)
    return float(np.median(np.abs(bends)) / 0.6744897501960817 / math.sqrt(6.0))


def charge_at(
    times_s: FloatArray, time_s: FloatArray, current_a: FloatArray, *, offset_bound_a: float
) -> tuple[FloatArray, FloatArray]:
    """Charge since the first sample and its two-sigma bound at each of `times_s` (s); NaN before the first sample."""
    charges = np.full(len(times_s), np.nan)
    bounds = np.full(len(times_s), np.nan)
    if len(time_s) < 2:
        return charges, bounds
    steps_s = np.diff(time_s)
    sums = np.concatenate([[0.0], np.cumsum(steps_s * (current_a[1:] + current_a[:-1]) / 2)])
    known = times_s >= time_s[0]
    until_s = np.minimum(times_s[known], time_s[-1])
    charges[known] = np.interp(until_s, time_s, sums)
    after_s = until_s - time_s[0]
    noise_c = noise_sigma_a(current_a) * np.sqrt(after_s * float(np.median(steps_s)))
    bounds[known] = np.hypot(offset_bound_a * after_s, 2 * noise_c)
    return charges, bounds
