"""What the operator allows, held at the door: a move, shift or current beyond it reaches no device."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from cryoctl.errors import OutOfRange
from cryoctl.interfaces.beam import Optics
from cryoctl.interfaces.stage import StageLimits
from cryoctl.steps import Expose, MoveStage, SetBiasLimits

_ANYWHERE = (-math.inf, math.inf)
_SLACK = 1e-9
"""Relative; what a limit and a value lose on the way through text."""


def _everywhere() -> StageLimits:
    return StageLimits(x_m=_ANYWHERE, y_m=_ANYWHERE, z_m=_ANYWHERE, tilt_deg=_ANYWHERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Of the devices and of `limits` in the instrument file the narrower; infinite where nobody limits."""

    stage: StageLimits = field(default_factory=_everywhere)
    image_shift_m: float = math.inf
    beam_current_a: float = math.inf
    dose_rate_e_per_a2_s: float = math.inf
    bias_v: float = math.inf
    bias_a: float = math.inf
    current_ratio: float = 1.0
    """Beam current over the nominal one of a preset, as calibrated."""

    def check_move(self, step: MoveStage) -> None:
        """Raises `OutOfRange`, as the stage itself would."""
        for axis in ("x_m", "y_m", "z_m", "tilt_deg"):
            wanted: float | None = getattr(step, axis)
            low, high = getattr(self.stage, axis)
            if wanted is not None and not low - _SLACK * abs(low) <= wanted <= high + _SLACK * abs(high):
                raise OutOfRange(f"stage.{axis}: {wanted:g} is beyond the {low:g} to {high:g} that are allowed")

    def check_shift(self, step: Expose) -> None:
        """Raises `OutOfRange`, as the beam itself would."""
        shift_m = math.hypot(step.shift_x_m, step.shift_y_m)
        if shift_m > self.image_shift_m * (1 + _SLACK):  # what is no number the gate refuses
            raise OutOfRange(f"image shift: {shift_m:g} m is beyond the {self.image_shift_m:g} m that are allowed")

    def check_optics(self, optics: Optics) -> None:
        """Raises `OutOfRange`, as the beam itself would."""
        if optics.beam_current_a > self.beam_current_a * (1 + _SLACK):  # recorded data may not say: NaN
            raise OutOfRange(
                f"optics.{optics.name}: {optics.beam_current_a:g} A are beyond the {self.beam_current_a:g} A that are "
                "allowed"
            )

    def check_bias(self, step: SetBiasLimits) -> None:
        """Raises `OutOfRange`, as the source itself would."""
        for name, wanted, most in (
            ("voltage_limit_v", step.voltage_limit_v, self.bias_v),
            ("compliance_a", step.compliance_a, self.bias_a),
        ):
            if not 0 < wanted <= most * (1 + _SLACK):
                raise OutOfRange(f"bias.{name}: {wanted:g} is beyond the {most:g} that are allowed, or not above 0")
