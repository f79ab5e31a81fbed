"""Biasing source: limits are its own settings, read back with the output off; rest is high impedance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cryoctl.interfaces.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasCapabilities:
    voltage_range_v: tuple[float, float]
    current_range_a: tuple[float, float]
    has_high_impedance_off: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasLimits:
    voltage_limit_v: float
    compliance_a: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasReading:
    voltage_v: float
    current_a: float
    in_compliance: bool
    output_on: bool
    time_s: float
    """Time stamp of the source's own clock."""


@runtime_checkable
class BiasSource(Device, Protocol):
    @property
    def capabilities(self) -> BiasCapabilities: ...

    async def set_limits(self, limits: BiasLimits) -> BiasLimits:
        """Only with the output off; read back. Raises `OutOfRange`."""
        ...

    async def set_voltage(self, voltage_v: float) -> float:
        """Set point, read back; beyond the limits raises `OutOfRange` and changes nothing."""
        ...

    async def output(self, on: bool) -> bool:
        """Switch the output; off is high impedance where the source has it. Returns what it reads back."""
        ...

    async def read(self) -> BiasReading: ...

    async def cut_off(self) -> None:
        """The second way of switching off, for a source that does not answer: its interlock line or a relay.

        Raises:
            DeviceError: there is none, or it reads back closed.
        """
        ...
