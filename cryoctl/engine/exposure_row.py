"""A row of the exposure table as it is planned, whether stage and image shift agree with it, and a result from it."""

from __future__ import annotations

import math
from typing import Any

from cryoctl.dose.permits import Plan
from cryoctl.errors import DoseRefused
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.stage import StagePosition
from cryoctl.runfile.exposure_table import number
from cryoctl.runfile.fold import FoldedExposure, RunFold
from cryoctl.steps import Expose, Exposed, FrameRef

STREAMS = {
    "record": "image",
    "search": "search",
    "view": "search",
    "focus": "focus",
    "wobble": "focus",
    "track": "track",
}
"""Where the picture of an exposure of each kind is kept; shower and spectrum keep none."""
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


def exposed_again(index: int, exposure: FoldedExposure, step: Expose, fold: RunFold) -> Exposed | None:
    """The result of an exposure of which the journal has the done record but no result; None where it is lost.

    Lost are those whose report never came, those charged in full after a fault, and those without the picture that
    they were made for.
    """
    row = exposure.row
    pictured = bool(step.detector) and step.kind in STREAMS
    if not exposure.done or row.get("outcome") not in ("settled", "partial"):
        return None
    complete = row.get("outcome") == "settled"
    stream = str(row.get("stream") or "")
    found = [one for one in fold.frames.get(stream, {}).values() if int(one["exposure"]) == index]
    if not found and (pictured or not complete):
        return None
    frame = found[0] if found else None
    pixel_m = number(row.get("pixel_size_m"))
    shifts = [] if frame is None else [(number(dy), number(dx)) for dy, dx in frame["shifts_px"]]
    edx = {} if frame is None else frame.get("edx") or {}
    return Exposed(
        exposure=index,
        outcome="done" if complete else "partial",
        frame=None if frame is None else FrameRef(stream=stream, index=int(frame["index"])),
        dose_e_per_a2=number(row.get("dose_e_per_a2")),
        started_s=number(row.get("time_s")),
        duration_s=number(row.get("duration_s")),
        scans_done=int(row.get("scans", 1)) if frame is None else int(frame["scans"]),
        drift_x_m=sum(dx for _, dx in shifts) * pixel_m,
        drift_y_m=sum(dy for dy, _ in shifts) * pixel_m,
        edx_counts=sum(int(count) for count in edx.get("counts", ())),
    )
