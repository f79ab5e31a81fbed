"""A device's own clock against the run's: offset and drift from readings that the run's clock brackets, as with NTP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_PRIOR_DRIFT_REL = 1e-3
"""One sigma of how wrong a clock may run before anything is known of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """The device said `device_s` at some moment between two of the run's (s)."""

    device_s: float
    before_s: float
    after_s: float

    @property
    def middle_s(self) -> float:
        return (self.before_s + self.after_s) / 2

    @property
    def sigma_s(self) -> float:
        """Of anything evenly likely within the round trip."""
        return max(self.after_s - self.before_s, 1e-9) / math.sqrt(12.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFit:
    """Device time minus run time is `offset_s` at the run time `reference_s`, and grows by `drift_rel` a second."""

    reference_s: float
    offset_s: float
    drift_rel: float
    offset_sigma_s: float
    drift_sigma: float
    covariance_s: float = 0.0
    """Of offset and drift."""

    def run_s(self, device_s: Any) -> Any:
        """Times of the run for times of the device, numbers or arrays."""
        return self.reference_s + (device_s - self.offset_s - self.reference_s) / (1.0 + self.drift_rel)

    def sigma_s(self, run_s: Any) -> Any:
        """One-sigma uncertainty at these times of the run."""
        away_s = np.asarray(run_s, dtype=np.float64) - self.reference_s
        variance = self.offset_sigma_s**2 + 2 * away_s * self.covariance_s + (away_s * self.drift_sigma) ** 2
        return np.sqrt(np.maximum(variance, 0.0))


def fit_clock(readings: Sequence[ClockReading]) -> ClockFit:
    """Weighted least squares of offset and drift; one reading alone leaves the drift as unsure as any clock's.

    Raises:
        ValueError: no reading.
    """
    if not readings:
        raise ValueError("a clock can't be fitted without a reading of it")
    middle = np.array([one.middle_s for one in readings])
    weight = np.array([one.sigma_s for one in readings]) ** -2.0
    offset = np.array([one.device_s for one in readings]) - middle
    reference_s = float(np.average(middle, weights=weight))
    away = middle - reference_s
    normal = np.array([[weight.sum(), (weight * away).sum()], [(weight * away).sum(), (weight * away**2).sum()]])
    normal[1, 1] += _PRIOR_DRIFT_REL**-2.0
    covariance = np.linalg.inv(normal)
    found = covariance @ np.array([(weight * offset).sum(), (weight * offset * away).sum()])
    return ClockFit(
        reference_s=reference_s,
        offset_s=float(found[0]),
        drift_rel=float(found[1]),
        offset_sigma_s=math.sqrt(covariance[0, 0]),
        drift_sigma=math.sqrt(covariance[1, 1]),
        covariance_s=float(covariance[0, 1]),
    )
