"""A row of the exposure table as it is planned, and whether stage and image shift agree with it."""

from __future__ import annotations

import math
from typing import Any

from cryoctl.dose.permits import Plan
from cryoctl.errors import DoseRefused
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.stage import StagePosition
from cryoctl.steps import Expose

_BELIEF_LIMIT_M = 5e-6
"""How far an exposure's place may differ from stage plus image shift: corrections are smaller, a mix-up is larger."""


def scan_of(step: Expose, tilt_deg: float) -> Scan:
    return Scan(
        shape=step.shape,
        pixel_size_m=step.pixel_size_m,
        dwell_s=step.dwell_s,
        scans=step.scans,
        rotation_deg=step.rotation_deg,
        dynamic_focus_rad=math.tan(math.radians(tilt_deg)) if step.dynamic_focus else 0.0,
    )


def check_belief(step: Expose, at: StagePosition) -> None:
    """Raises `DoseRefused` where the protocol would charge the wrong place."""
    x_m = at.x_m + step.shift_x_m
    y_m = at.y_m + step.shift_y_m / math.cos(math.radians(at.tilt_deg))
    off_m = math.hypot(x_m - step.x_m, y_m - step.y_m)
    if not off_m <= _BELIEF_LIMIT_M:
        raise DoseRefused(
            f"{step.kind} exposure of {step.area}: said to lie {off_m * 1e6:.1f} um from where stage and image shift "
            f"point, allowed are {_BELIEF_LIMIT_M * 1e6:.0f} um; the protocol charges the wrong place"
        )


def planned_row(
    step: Expose, at: StagePosition, plan: Plan, current_a: float, state: str, time_s: float
) -> dict[str, Any]:
    """The row as the intent holds it; the report replaces what turned out otherwise."""
    rows, columns = step.shape
    return {
        "time_s": time_s,
        "duration_s": plan.duration_s,
        "kind": step.kind,
        "state": state,
        "target": step.target,
        "area": step.area,
        "stream": "",
        "frame": -1,
        "tilt_deg": at.tilt_deg,
        "x_m": step.x_m,
        "y_m": step.y_m,
        "z_m": at.z_m,
        "width_m": columns * step.pixel_size_m,
        "height_m": rows * step.pixel_size_m,
        "rotation_deg": step.rotation_deg,
        "defocus_m": step.defocus_m,
        "beam_current_a": current_a,
        "upper_current_a": plan.upper_current_a,
        "charge_c": plan.upper_current_a * plan.beam_on_s,
        "dose_e_per_a2": plan.dose_e_per_a2,
        "cumulative_dose_e_per_a2": math.nan,
        "outcome": "charged-in-full",
        "dose_source": "intended",
        "position_sigma_m": step.position_sigma_m + plan.edge_sigma_m,
        "image_shift_x_m": step.shift_x_m,
        "image_shift_y_m": step.shift_y_m,
        "pixel_size_m": step.pixel_size_m,
        "shape": list(step.shape),
        "scans": step.scans,
    }
