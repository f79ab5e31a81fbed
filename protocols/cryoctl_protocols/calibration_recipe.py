"""Recipe and chart of the calibration."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from cryoctl.errors import RecipeError
from cryoctl.protocol import Chart, InstrumentFacts, Transition
from cryoctl.units import Degrees, DosePerA2, Kelvin, Metres, Seconds, StrictModel
from cryoctl_protocols.dose_plan import UPPER, dwell_s
from cryoctl_protocols.parameters import Approach, Interlocks, Name, Shape, Specimen

RUNGS = 3
"""Tilts on each side of 0 by which the height is measured, in steps of `tilt_deg`."""


class Pictures(StrictModel):
    shape: Shape = (192, 256)
    """Rows (across the tilt axis) and columns (along it)."""
    pixel_size_m: Metres = Field(default=20e-9, gt=1e-12, le=1e-5)
    dose_e_per_a2: DosePerA2 = Field(default=0.5, gt=0.0)
    """A picture."""
    detector: Name = "haadf"


class CalibrateParameters(StrictModel):
    """Calibration on a specimen with detail in both directions."""

    specimen: Specimen = Specimen()
    x_m: Metres = 0.0
    """Where to look, in the specimen's frame."""
    y_m: Metres = 0.0
    dose_limit_e_per_a2: DosePerA2 = Field(default=1000.0, gt=0.0)
    pictures: Pictures = Pictures()
    optics: Name = "record"
    repeats: int = Field(default=6, ge=3, le=50, strict=True)
    """Of each measurement; the spread is part of the uncertainty."""
    tilt_deg: Degrees = Field(default=10.0, gt=1.0, le=20.0)
    """The tilt axis is measured between plus and minus this, the height up to three times as far."""
    height_m: Metres = Field(default=2.4e-6, gt=1e-7, le=1e-4)
    """Moved up and down by this for the tilt axis."""
    move_m: Metres = Field(default=0.8e-6, gt=1e-8, le=1e-4)
    """Stage move of known length, for the pixel size."""
    image_shift_m: Metres = Field(default=0.8e-6, gt=1e-8, le=1e-4)
    approach: Approach = Approach(overshoot_m=2e-6)
    settle_s: Annotated[Seconds, Field(ge=0.0)] = 20.0
    """Waited after each move: it makes the stage drift for a while."""
    temperature_limit_k: Kelvin = Field(default=400.0, gt=0.0)
    interlocks: Interlocks = Interlocks()


_STATES = ("prepare", "height", "tilt_axis", "backlash", "pixel_size", "image_shift", "leave", "give_up", "finish")
_MEASURING = _STATES[:-3]


def calibration_chart() -> Chart:
    ways = [
        Transition(trigger="measured", source=here, dest=there)
        for here, there in zip(_MEASURING, (*_MEASURING[1:], "finish"), strict=True)
    ]
    for state in _MEASURING:
        ways.append(Transition(trigger="lost", source=state, dest="give_up"))
        ways.append(Transition(trigger="dose_spent", source=state, dest="dose_limited"))
        ways.append(Transition(trigger="interlocked", source=state, dest="held"))
    ways += [Transition(trigger="left", source=state, dest="leave") for state in _MEASURING[1:]]
    ways.append(Transition(trigger="skipped", source="leave", dest="targets_lost"))
    ways.append(Transition(trigger="stopped", source="leave", dest="ended_by_operator"))
    ways.append(Transition(trigger="lost", source="leave", dest="targets_lost"))
    ways.append(Transition(trigger="interlocked", source="leave", dest="held"))
    ways.append(Transition(trigger="given_up", source="give_up", dest="targets_lost"))
    ways.append(Transition(trigger="all_measured", source="finish", dest="completed"))
    ways.append(Transition(trigger="lost", source="finish", dest="targets_lost"))
    ways.append(Transition(trigger="interlocked", source="finish", dest="held"))
    return Chart(
        initial="prepare",
        states=_STATES,
        finals={
            "completed": "completed",
            "targets_lost": "target-lost",
            "dose_limited": "dose",
            "held": "interlock",
            "ended_by_operator": "operator",
        },
        transitions=tuple(ways),
        labels={
            "prepare": "Detector in, optics set, beam current measured",
            "height": "Measuring the height above the tilt axis",
            "tilt_axis": "Measuring the direction of the tilt axis",
            "backlash": "Measuring the backlash of the stage",
            "pixel_size": "Measuring the pixel size by stage moves",
            "image_shift": "Measuring the image shift",
            "leave": "Left by the operator: back to 0 degrees, detector out",
            "give_up": "The specimen was lost from sight",
            "finish": "Back to 0 degrees, detector out",
            "completed": "all calibrations were measured",
            "targets_lost": "ended because the pictures could not be compared",
            "dose_limited": "ended by the dose limit",
            "held": "ended by an interlock",
            "ended_by_operator": "ended by the operator",
        },
    )


def check(parameters: CalibrateParameters, facts: InstrumentFacts) -> tuple[str, ...]:
    """Raises `RecipeError` where a picture would be moved out of its field, or beyond stage, shift or presets."""
    if parameters.optics not in facts.optics:
        known = ", ".join(sorted(facts.optics)) or "none"
        raise RecipeError(f"optics: found {parameters.optics!r}, the instrument file has {known}: name one of them")
    _check_picture(parameters, facts)
    size = min(parameters.pictures.shape) * parameters.pictures.pixel_size_m
    rise = 2 * parameters.height_m * math.sin(math.radians(parameters.tilt_deg))
    moves = (("move_m", parameters.move_m), ("image_shift_m", parameters.image_shift_m), ("height_m", rise))
    for name, length in moves:
        if 4 * length > size:
            raise RecipeError(
                f"{name}: it moves the picture by {length * 1e6:.3g} um, allowed are {size * 2.5e5:.3g} um, a "
                "quarter of its smaller side: take a smaller value or a larger field"
            )
    if parameters.image_shift_m > facts.image_shift_range_m:
        raise RecipeError(
            f"image_shift_m: found {parameters.image_shift_m * 1e6:.3g} um, the image shift reaches "
            f"{facts.image_shift_range_m * 1e6:.3g} um: take less"
        )
    if max(parameters.pictures.shape) > facts.max_scan_px:
        raise RecipeError(
            f"pictures.shape: found {max(parameters.pictures.shape)} pixels, the scan generator takes up to "
            f"{facts.max_scan_px} each way: make it smaller"
        )
    for who, (low, high) in (("stage", facts.stage.tilt_deg), *facts.tilt_limits_deg.items()):
        if not low <= -RUNGS * parameters.tilt_deg <= RUNGS * parameters.tilt_deg <= high:
            raise RecipeError(
                f"tilt_deg: found {parameters.tilt_deg:g}, for the height the stage goes {RUNGS} times as far "
                f"to either side, the {who} allows {low:g} to {high:g} deg: take a smaller one"
            )
    return ()


def _check_picture(parameters: CalibrateParameters, facts: InstrumentFacts) -> None:
    """A picture fits below the limit, the column can give its dose, and the stage reaches the place."""
    pictures, limit = parameters.pictures, parameters.dose_limit_e_per_a2
    if pictures.dose_e_per_a2 * UPPER > limit:
        raise RecipeError(
            f"dose_limit_e_per_a2: found {limit:.4g} e-/A^2, one picture needs {pictures.dose_e_per_a2 * UPPER:.4g}: "
            "raise the limit or lower pictures.dose_e_per_a2"
        )
    shortest, longest = facts.dwell_range_s
    current = facts.optics[parameters.optics].beam_current_a
    dwell = dwell_s(pictures.dose_e_per_a2, pixel_size_m=pictures.pixel_size_m, scans=1, current_a=current)
    if not shortest <= dwell <= longest:
        raise RecipeError(
            f"pictures.dose_e_per_a2: found {pictures.dose_e_per_a2:.4g} e-/A^2, at {current:.3g} A that is a dwell of "
            f"{dwell:.3g} s, allowed are {shortest:.3g} to {longest:.3g} s: change the dose, the pixel size or "
            "the optics"
        )
    room = parameters.approach.overshoot_m + parameters.move_m
    for axis, value, (low, high) in (
        ("x_m", parameters.x_m, facts.stage.x_m),
        ("y_m", parameters.y_m, facts.stage.y_m),
    ):
        if not low + room <= value <= high - room:
            raise RecipeError(
                f"{axis}: found {value * 1e6:.4g} um, the stage reaches {(low + room) * 1e6:.4g} to "
                f"{(high - room) * 1e6:.4g} um: take a place within"
            )
    low, high = facts.stage.z_m
    if not low <= -parameters.height_m <= parameters.height_m <= high:
        raise RecipeError(
            f"height_m: found {parameters.height_m * 1e6:.4g} um to either side, the stage allows {low * 1e6:.4g} to "
            f"{high * 1e6:.4g} um: take less"
        )
