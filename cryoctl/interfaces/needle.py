"""Piezo needle in the holder: coarse slip-stick steps and a fine tube."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cryoctl.interfaces.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleCapabilities:
    coarse_step_m: tuple[float, float]
    fine_range_m: tuple[float, float]
    rides_with_stage: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleState:
    """What the drive knows, which is little: steps sent, fine set point, high voltage. Never where the apex is."""

    coarse_steps: tuple[int, int, int]
    fine_m: tuple[float, float, float]
    high_voltage_on: bool


@runtime_checkable
class Needle(Device, Protocol):
    @property
    def capabilities(self) -> NeedleCapabilities: ...

    async def state(self) -> NeedleState: ...

    async def step(self, axis: str, steps: int) -> NeedleState:
        """Open-loop slip-stick pulses along x, y or z; never repeated blindly. Raises `OutOfRange`."""
        ...

    async def fine(self, x_m: float, y_m: float, z_m: float) -> NeedleState: ...

    async def high_voltage(self, on: bool) -> NeedleState: ...

    async def stop(self) -> None: ...
