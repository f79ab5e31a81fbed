"""Cryo-holder: temperature, nitrogen, and the tilts that it allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cryoctl.interfaces.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderCapabilities:
    tilt_limits_deg: tuple[float, float]
    temperature_range_k: tuple[float, float]
    hold_time_s: float
    """How long a full dewar lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureReading:
    temperature_k: float
    valid: bool
    time_s: float


@runtime_checkable
class Holder(Device, Protocol):
    @property
    def capabilities(self) -> HolderCapabilities: ...

    async def temperature(self) -> TemperatureReading: ...

    async def set_temperature(self, temperature_k: float) -> None:
        """Set point; returns at once, the approach is watched by reading."""
        ...

    async def nitrogen(self) -> float:
        """Filling of the dewar, 0 to 1; NaN where it has no level sensor."""
        ...

    async def pressure(self) -> float:
        """Pressure of the column at the specimen in Pa; NaN where it has no gauge."""
        ...
