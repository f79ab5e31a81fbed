"""Steps for the goniometer."""

from __future__ import annotations

from dataclasses import dataclass

from cryoctl.steps.base import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class StageAt:
    x_m: float
    y_m: float
    z_m: float
    tilt_deg: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveStage(Step[StageAt]):
    """Absolute move of the named axes, blanked; None leaves an axis where it is."""

    x_m: float | None = None
    y_m: float | None = None
    z_m: float | None = None
    tilt_deg: float | None = None
