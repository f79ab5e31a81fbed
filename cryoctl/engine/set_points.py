"""What a run has set on its instrument, folded from its steps: a resume or a reconnect drives it back there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cryoctl.interfaces.stage import StagePosition
from cryoctl.steps import (
    Expose,
    Exposed,
    FrameRef,
    Insert,
    MakeSafe,
    MeasureCurrent,
    MoveStage,
    Retract,
    SetBiasLimits,
    SetLight,
    SetTemperature,
    StageAt,
    Step,
    UseOptics,
)

SAME_PLACE_M = 20e-9
SAME_TILT_DEG = 0.05
"""A stage that reads back as near as this stands where it was sent."""
BESIDE_THE_TARGET = ("track", "focus")
"""Kinds of exposures that may be repeated to see where the specimen went."""
WIDE = ("search", "view", "wobble")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A picture beside the target, taken where the stage still stands."""

    step: Expose
    frame: FrameRef


@dataclass(slots=True, kw_only=True)
class SetPoints:
    """The last of each; None or empty for what the run has not touched."""

    temperature_k: float | None = None
    inserted: dict[str, bool] = field(default_factory=dict[str, bool])
    """Detectors by the name in their step, in the order of their first move."""
    stage: StageAt | None = None
    optics: UseOptics | None = None
    bias_limits: SetBiasLimits | None = None
    """The source comes back with its output off, whatever it did."""
    light: SetLight | None = None
    look: Look | None = None
    targets: tuple[str, ...] = ()
    """Names of what is recorded: no wide picture of these is taken once more."""

    def note(self, step: Step[Any], result: Any) -> None:
        """A step was done."""
        match step:
            case SetTemperature():
                self.temperature_k = step.temperature_k
            case Insert() | Retract():
                self.inserted[step.detector] = isinstance(step, Insert)
            case MoveStage():
                self.stage, self.look = result, None
            case UseOptics():
                self.optics = step
            case SetBiasLimits():
                self.bias_limits = step
            case SetLight():
                self.light = step
            case MakeSafe():
                self.light = None
            case Expose() if self._may_be_repeated(step) and isinstance(result, Exposed) and result.frame:
                self.look = Look(step=step, frame=result.frame)
            case _:
                pass

    def _may_be_repeated(self, step: Expose) -> bool:
        return step.kind in BESIDE_THE_TARGET or (step.kind in WIDE and step.target not in self.targets)

    def way_back(self, at: StagePosition, *, stage: bool = True) -> tuple[Step[Any], ...]:
        """Steps that drive an instrument back, in a safe order and blanked: the source's limits and cold first,
        detectors out of the way before the stage moves, in again after it, then the optics and their current, and
        light at the end.

        Args:
            at: where the stage stands.
            stage: False where a move is about to be made anyhow.
        """
        steps: list[Step[Any]] = []
        if self.bias_limits is not None:
            steps.append(self.bias_limits)
        if self.temperature_k is not None:
            steps.append(SetTemperature(temperature_k=self.temperature_k))
        steps += [Retract(detector=name) for name, inside in self.inserted.items() if not inside]
        if stage and self.stage is not None and (axes := _elsewhere(self.stage, at)):
            steps.append(MoveStage(**axes))
        steps += [Insert(detector=name) for name, inside in self.inserted.items() if inside]
        if self.optics is not None:
            steps += [self.optics, MeasureCurrent()]
        if self.light is not None:
            steps.append(self.light)
        return tuple(steps)


def _elsewhere(wanted: StageAt, at: StagePosition) -> dict[str, float]:
    """The axes on which a stage does not stand where it was sent."""
    near = {"x_m": SAME_PLACE_M, "y_m": SAME_PLACE_M, "z_m": SAME_PLACE_M, "tilt_deg": SAME_TILT_DEG}
    return {
        axis: float(getattr(wanted, axis))
        for axis, slack in near.items()
        if not abs(getattr(wanted, axis) - getattr(at, axis)) <= slack
    }
