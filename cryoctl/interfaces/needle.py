"""Piezo needle in the holder: coarse slip-stick steps and a fine tube."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from cryoctl.interfaces.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleCapabilities:
    coarse_step_m: tuple[float, float]
    """Shortest and longest single step that it may make (m)."""
    fine_range_m: tuple[float, float]
    rides_with_stage: bool
    step_s: float
    """Of one coarse step."""
    vacuum_limit_pa: float
    """Highest pressure with which its high voltage may be on."""
    grounded_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where the tube is without voltage, as a fine set point; elsewhere than 0 where its amplifier has one polarity."""
    fine_sigma_rel: float = 0.0
    """Of how far the tube goes, over how far it is told to."""


class NeedleHold(StrEnum):
    """What the apex holds or is held by, which decides what is safe."""

    FREE = "free"
    CONTACT = "contact"
    CARRYING = "carrying"
    BONDED = "bonded"

    @property
    def is_fast(self) -> bool:
        """It must not be withdrawn: something hangs on it, or it hangs on the specimen."""
        return self in (NeedleHold.CARRYING, NeedleHold.BONDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleState:
    """What the drive knows, which is little: steps sent, fine set point, high voltage, and what it was told that the
    apex holds. Never where the apex is."""

    coarse_steps: tuple[int, int, int]
    fine_m: tuple[float, float, float]
    high_voltage_on: bool
    hold: NeedleHold = NeedleHold.FREE


@runtime_checkable
class Needle(Device, Protocol):
    @property
    def capabilities(self) -> NeedleCapabilities: ...

    async def state(self) -> NeedleState: ...

    async def step(self, axis: str, steps: int) -> NeedleState:
        """Open-loop slip-stick pulses along x, y or z; never repeated blindly. Raises `OutOfRange`."""
        ...

    async def fine(self, x_m: float, y_m: float, z_m: float) -> NeedleState: ...

    async def high_voltage(self, on: bool) -> NeedleState:
        """On: the tube goes from `grounded_m` to 0. Off: it jumps there from where it is."""
        ...

    async def note_hold(self, hold: NeedleHold) -> NeedleState:
        """Keep what the apex holds from now on, beyond the life of this process."""
        ...

    async def stop(self) -> None:
        """End a burst of steps at once; the tube keeps its place."""
        ...

    async def make_safe(self) -> None:
        """Free or in contact: step back until it is clear, only then ground the tube (grounding makes the apex jump).
        Where it carries or is bonded: stop, and nothing moves."""
        ...
