"""Steps for a piezo needle in the holder. Lengths in m along the needle's own axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cryoctl.steps.base import Step

NeedleAxis = Literal["x", "y", "z"]
Held = Literal["free", "contact", "carrying", "bonded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleAt:
    """What the drive knows, never where the apex is.

    `gap_low_m` is the least distance from the specimen that is sure: what was measured last less what the apex may
    have travelled since; NaN where nobody has measured it. `longest_step_m` is what one coarse step may be at most.
    """

    coarse_steps: tuple[int, int, int]
    fine_m: tuple[float, float, float]
    high_voltage_on: bool
    hold: Held
    gap_low_m: float
    longest_step_m: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadNeedle(Step[NeedleAt]):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNeedle(Step[NeedleAt]):
    """Coarse slip-stick steps in open loop; refused where the apex might touch, whatever their direction."""

    on_interrupt: ClassVar[str] = "never"

    axis: NeedleAxis
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceNeedle(Step[NeedleAt]):
    """Set point of the fine tube. Its way there is not known after an interruption: it creeps and has hysteresis."""

    on_interrupt: ClassVar[str] = "never"

    x_m: float
    y_m: float
    z_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SetNeedleVoltage(Step[NeedleAt]):
    """The tube's high voltage. On: only in good vacuum. Off: the apex jumps, so only where it is clear."""

    on_interrupt: ClassVar[str] = "never"

    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteGap(Step[NeedleAt]):
    """The distance of the apex from the specimen as seen in an image, and its one-sigma uncertainty."""

    gap_m: float
    sigma_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteHold(Step[NeedleAt]):
    """What the apex holds or is held by from now on; it decides what is safe."""

    hold: Held


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawNeedle(Step[NeedleAt]):
    """Back until it is certainly clear, then without high voltage; only with the source at rest."""

    on_interrupt: ClassVar[str] = "never"
