"""Settings of a PI needle: which axis is which, in which unit it counts, and how far and how fast it may go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cryoctl.units import Metres, MetresPerSecond, Seconds
from cryoctl_drivers.piezo_needle import NeedleDriveSettings

Axis = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,8}$")]
Sign = Literal[-1, 1]


class PiSettings(NeedleDriveSettings):
    coarse_axes: tuple[Axis, Axis, Axis] = ("1", "2", "3")
    coarse_signs: tuple[Sign, Sign, Sign] = (1, 1, 1)
    """1 where a larger position is towards plus."""
    coarse_unit_m: Annotated[Metres, Field(gt=0)] = 1e-3
    """Of a position 1: motors count in mm, piezo stages in um."""
    coarse_step_m: Annotated[Metres, Field(ge=10e-9, le=10e-6)] = 150e-9
    """One coarse step, a move of this length in closed loop."""
    coarse_velocity_m_per_s: Annotated[MetresPerSecond, Field(gt=0, le=1e-2)] = 75e-6
    coarse_tolerance_m: Annotated[Metres, Field(gt=0)] = 50e-9
    """By how much its sensor may read otherwise than the target when it is there."""
    referenced: bool = True
    """Whether they have to be referenced (FRF?); false for sensors that know their place by themselves."""
    fine_axes: tuple[Axis, Axis, Axis] = ("4", "5", "6")
    fine_signs: tuple[Sign, Sign, Sign] = (1, 1, 1)
    fine_unit_m: Annotated[Metres, Field(gt=0)] = 1e-6
    fine_range_m: tuple[Metres, Metres] = (-2.5e-6, 2.5e-6)
    """About `fine_centre_m`; the soft limits of the controller have to be beyond."""
    fine_centre_m: Metres = 2.5e-6
    """Position of the piezo axes that is the fine set point 0."""
    fine_relaxed_m: Metres = 0.0
    """Position that they go to without voltage."""
    fine_velocity_m_per_s: Annotated[MetresPerSecond, Field(gt=0, le=1.0)] = 1e-4
    fine_tolerance_m: Annotated[Metres, Field(gt=0)] = 5e-9
    fine_sigma_rel: Annotated[float, Field(ge=0, le=0.3)] = 0.01
    """Of the length of a move (one sigma)."""
    settle_s: Annotated[Seconds, Field(gt=0, le=10)] = 1.0
    """What a move may take beyond its length over its speed."""

    @model_validator(mode="after")
    def _is_a_needle(self) -> PiSettings:
        axes = (*self.coarse_axes, *self.fine_axes)
        if len(set(axes)) < len(axes):
            raise ValueError(f"coarse_axes and fine_axes: found {axes}, allowed are six different ones")
        low_m, high_m = self.fine_range_m
        if not low_m < 0 < high_m:
            raise ValueError(f"fine_range_m: found {self.fine_range_m}, allowed is from below 0 to above")
        return self

    @property
    def grounded_m(self) -> tuple[float, float, float]:
        x_m, y_m, z_m = (sign * (self.fine_relaxed_m - self.fine_centre_m) for sign in self.fine_signs)
        return (x_m, y_m, z_m)

    def fine_position(self, axis: int, fine_m: float) -> float:
        """Of a fine set point on one axis (0 to 2), in the controller's unit."""
        return (self.fine_centre_m + self.fine_signs[axis] * fine_m) / self.fine_unit_m

    def fine_m(self, axis: int, position: float) -> float:
        return self.fine_signs[axis] * (position * self.fine_unit_m - self.fine_centre_m)
