"""Steps for what surrounds the specimen."""

from __future__ import annotations

from dataclasses import dataclass

from cryoctl.steps.base import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """NaN where the instrument has no such sensor or it is invalid."""

    temperature_k: float
    nitrogen: float
    pressure_pa: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSensors(Step[Sensors]):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTemperature(Step[None]):
    """Set point of the holder; the approach is watched with `ReadSensors`."""

    temperature_k: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LightSet:
    """As read back."""

    irradiance_w_per_m2: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLight(Step[LightSet]):
    """Steady when it returns; 0 is off."""

    irradiance_w_per_m2: float
