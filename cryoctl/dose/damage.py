"""Damage of signals by dose: exp(-D / Dc), with Dc by feature and temperature.

Used by the simulators, which apply it, and by the planner, which weighs counts against it. Dose is the beam-normal
fluence in e-/A^2. Nothing here knows an instrument.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput

FloatArray = npt.NDArray[np.float64]

OPTIMUM_DOSE_OVER_CRITICAL = 1.2564312086261697
"""x that maximises (1 - exp(-x)) / sqrt(x): the solution of exp(x) = 1 + 2 x."""


@dataclass(frozen=True)
class CriticalDose:
    """Critical dose of one feature (a line of an element, a reflection) at one or more temperatures.

    Between temperatures ln(Dc) is linear in 1/T (Arrhenius), beyond them it is held at the end value.
    An infinite dose means that the feature is not damaged. A feature has it at all temperatures or at none.
    """

    temperature_k: tuple[float, ...]
    dose_e_per_a2: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.temperature_k or len(self.temperature_k) != len(self.dose_e_per_a2):
            raise BadInput(
                f"critical dose: found {len(self.temperature_k)} temperatures and {len(self.dose_e_per_a2)} doses, "
                "as many of both are allowed, at least one; add what is missing"
            )
        if any(not (math.isfinite(t) and t > 0) for t in self.temperature_k):
            raise BadInput(
                f"critical dose: temperatures {self.temperature_k} must be finite and above 0 K; correct them"
            )
        if any(b <= a for a, b in zip(self.temperature_k, self.temperature_k[1:], strict=False)):
            raise BadInput(f"critical dose: temperatures {self.temperature_k} must rise; sort them")
        if any(not d > 0 for d in self.dose_e_per_a2):
            raise BadInput(f"critical dose: found {self.dose_e_per_a2}, above 0 is allowed, .inf for none; correct it")
        infinite = [math.isinf(d) for d in self.dose_e_per_a2]
        if any(infinite) and not all(infinite):
            raise BadInput("critical dose: infinite at one temperature only; make it finite, or .inf at all of them")

    def at(self, temperature_k: float) -> float:
        """Critical dose in e-/A^2 at `temperature_k`. Raises BadInput unless that is finite and above 0."""
        if not (math.isfinite(temperature_k) and temperature_k > 0):
            raise BadInput(f"temperature: found {temperature_k} K, above 0 K is allowed; correct it")
        if math.isinf(self.dose_e_per_a2[0]):
            return math.inf
        inverse = [1.0 / t for t in reversed(self.temperature_k)]
        logs = [math.log(d) for d in reversed(self.dose_e_per_a2)]
        return math.exp(float(np.interp(1.0 / temperature_k, inverse, logs)))


def survival(dose_e_per_a2: npt.ArrayLike, critical_e_per_a2: float) -> FloatArray:
    """exp(-D / Dc): the share of a signal that is left, of the shape of `dose_e_per_a2`."""
    return np.exp(-np.asarray(dose_e_per_a2, dtype=np.float64) / critical_e_per_a2)


@dataclass
class DamageMap:
    """Accumulated damage exponent, the sum of dD / Dc(T), of each feature on a map [y, x].

    The exponent, not the dose, is what adds up when the temperature changes on the way.
    """

    shape: tuple[int, int]
    critical: Mapping[str, CriticalDose]
    exponent: dict[str, FloatArray] = field(default_factory=dict[str, FloatArray])

    def __post_init__(self) -> None:
        for feature in self.critical:
            if feature not in self.exponent:
                self.exponent[feature] = np.zeros(self.shape)

    def expose(self, dose_e_per_a2: npt.ArrayLike, temperature_k: float, at: tuple[slice, slice] | None = None) -> None:
        """Add a dose (a number, or an array of the shape of the window `at`) received at `temperature_k`."""
        dose = np.asarray(dose_e_per_a2, dtype=np.float64)
        if not np.all(np.isfinite(dose)) or np.any(dose < 0):
            raise BadInput("dose: found a negative or undefined value, 0 or more is allowed; correct it")
        window = at or (slice(None), slice(None))
        for feature, critical in self.critical.items():
            self.exponent[feature][window] += dose / critical.at(temperature_k)

    def survival(self, feature: str) -> FloatArray:
        """Share of the feature's signal left [y, x]; all ones for a feature without a critical dose."""
        found = self.exponent.get(feature)
        return np.ones(self.shape) if found is None else np.exp(-found)


def background_limited_optimum_e_per_a2(critical_e_per_a2: float) -> float:
    """Dose of the best signal-to-noise ratio of a damaged signal over a background that is not: 1.2564 Dc.

    The signal collected is Dc (1 - exp(-D/Dc)), the noise goes with sqrt(D). Without background there is no
    optimum: more dose never lowers the ratio, it only stops raising it.
    """
    return OPTIMUM_DOSE_OVER_CRITICAL * critical_e_per_a2


def relative_snr(dose_over_critical: npt.ArrayLike) -> FloatArray:
    """Background-limited signal-to-noise ratio relative to its best, at a dose in units of Dc."""
    x = np.asarray(dose_over_critical, dtype=np.float64)
    best = -math.expm1(-OPTIMUM_DOSE_OVER_CRITICAL) / math.sqrt(OPTIMUM_DOSE_OVER_CRITICAL)
    safe = np.maximum(x, np.finfo(np.float64).tiny)
    return -np.expm1(-safe) / np.sqrt(safe) / best


def mean_survival(dose_e_per_a2: npt.ArrayLike, critical_e_per_a2: float) -> FloatArray:
    """Mean of exp(-D / Dc) over an exposure from 0 to D: (1 - exp(-x)) / x with x = D / Dc; 1 at no dose."""
    x = np.asarray(dose_e_per_a2, dtype=np.float64) / critical_e_per_a2
    return np.where(x > 1e-12, -np.expm1(-x) / np.maximum(x, 1e-12), 1.0)


def critical_doses(
    table: Mapping[str, Mapping[float, float] | float], features: Sequence[str]
) -> dict[str, CriticalDose]:
    """Critical doses from a table feature: {temperature_k: dose} or feature: dose (any temperature).

    Features missing from the table are not damaged and left out.
    """
    result: dict[str, CriticalDose] = {}
    for feature in features:
        entry = table.get(feature)
        if entry is None:
            continue
        by_temperature = entry if isinstance(entry, Mapping) else {300.0: float(entry)}
        temperatures = tuple(sorted(float(t) for t in by_temperature))
        result[feature] = CriticalDose(temperatures, tuple(float(by_temperature[t]) for t in temperatures))
    return result
