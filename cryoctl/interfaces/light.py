"""Light on the specimen: a lamp, a laser or a fibre, set by its irradiance and read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cryoctl.interfaces.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class LightCapabilities:
    irradiance_w_per_m2: tuple[float, float]
    """Least and most that it can shine, at the specimen; off is always possible."""
    accuracy_rel: float
    """Bound of how far true irradiance may be from what it reads, relative."""
    read_back_rel: float
    """How far what it reads may be from what it was set to, relative."""
    settle_s: float
    """Until it is steady after it was set."""


@runtime_checkable
class Light(Device, Protocol):
    """Made safe it is off."""

    @property
    def capabilities(self) -> LightCapabilities: ...

    async def set_irradiance(self, irradiance_w_per_m2: float) -> float:
        """Set, wait until it is steady, and read back; 0 is off. Beyond its range raises `OutOfRange` and changes
        nothing."""
        ...

    async def irradiance(self) -> float:
        """As it reads now, 0 where it is off (W/m2)."""
        ...
