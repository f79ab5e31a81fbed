"""Steps for the light on the specimen."""

from __future__ import annotations

from dataclasses import dataclass

from cryoctl.steps.base import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class LightSet:
    """As read back."""

    irradiance_w_per_m2: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLight(Step[LightSet]):
    """Steady when it returns; 0 is off."""

    irradiance_w_per_m2: float
