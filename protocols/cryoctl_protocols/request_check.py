"""What an instrument can't do by its own statement: refused before anything is asked of a device."""

from __future__ import annotations

import math
from collections.abc import Set
from typing import Any

from cryoctl.protocol import InstrumentFacts
from cryoctl.steps import Expose, Insert, MoveStage, NextRequest, Retract, SetLight, Step, UseOptics

AXES = ("x_m", "y_m", "z_m", "tilt_deg")


def impossible(step: Step[Any], facts: InstrumentFacts, inside: Set[str]) -> str:
    """One sentence, empty where nothing speaks against it.

    Args:
        inside: names of the detectors that are in.
    """
    match step:
        case MoveStage():
            return _move(step, facts, inside)
        case Expose():
            return _expose(step, facts)
        case Insert() | Retract() if step.detector not in facts.tilt_limits_deg or step.detector == "holder":
            return f"detector: found {step.detector[:40]!r}; the instrument file has {_detectors(facts)}"
        case UseOptics() if step.name not in facts.optics:
            return f"optics: found {step.name[:40]!r}; the instrument file has {', '.join(facts.optics)}"
        case SetLight():
            return _light(step, facts)
        case NextRequest():
            return "request: asks for a request; ask for what is to be done"
        case _:
            return ""


def _move(step: MoveStage, facts: InstrumentFacts, inside: Set[str]) -> str:
    for axis in AXES:
        value: float | None = getattr(step, axis)
        if value is None:
            continue
        low, high = getattr(facts.stage, axis)
        if axis == "tilt_deg":
            limits = facts.tilt_limits_deg
            held = [limits[name] for name in ("holder", *sorted(inside)) if name in limits]
            low, high = max([low, *(one[0] for one in held)]), min([high, *(one[1] for one in held)])
        if not low <= value <= high:
            return f"stage.{axis}: {value:g} is beyond the {low:g} to {high:g} that are allowed"
    return ""


def _expose(step: Expose, facts: InstrumentFacts) -> str:
    least_s, most_s = facts.dwell_range_s
    shift_m, most_px = math.hypot(step.shift_x_m, step.shift_y_m), facts.max_scan_px
    if step.detector and (step.detector not in facts.tilt_limits_deg or step.detector in ("holder", "edx")):
        return f"detector: found {step.detector[:40]!r}; the instrument file has {_detectors(facts)}"
    if step.edx and "edx" not in facts.kinds:
        return "edx: the instrument file has no EDX detector; expose without"
    if not least_s <= step.dwell_s <= most_s:
        return f"dwell_s: {step.dwell_s:g} s, allowed are {least_s:g} to {most_s:g} s"
    if not all(1 <= size <= most_px for size in step.shape):
        return f"shape: {step.shape[0]} x {step.shape[1]}, allowed are 1 to {most_px} pixels a side"
    if not 1 <= step.scans <= 256:
        return f"scans: {step.scans}, allowed are 1 to 256"
    if not shift_m <= facts.image_shift_range_m:
        return f"image shift: {shift_m:g} m is beyond the {facts.image_shift_range_m:g} m that are allowed"
    if not abs(step.defocus_m) <= facts.defocus_range_m:
        return f"defocus_m: {step.defocus_m:g} m is beyond the {facts.defocus_range_m:g} m that are allowed"
    return ""


def _light(step: SetLight, facts: InstrumentFacts) -> str:
    if facts.light is None:
        return "light: the instrument file has no light that could be set"
    low, high = facts.light.irradiance_w_per_m2
    wanted = step.irradiance_w_per_m2
    if wanted == 0.0 or low <= wanted <= high:
        return ""
    return f"light: {wanted:g} W/m2, allowed are 0 and {low:g} to {high:g} W/m2"


def _detectors(facts: InstrumentFacts) -> str:
    return ", ".join(name for name in facts.tilt_limits_deg if name != "holder") or "none"
