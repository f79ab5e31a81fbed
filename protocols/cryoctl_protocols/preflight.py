"""What can be known of an EDX tomography before anything moves: refusals, warnings, and the run file's description."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cryoctl.errors import RecipeError
from cryoctl.protocol import InstrumentFacts
from cryoctl_protocols import dose_plan
from cryoctl_protocols.areas import Area, area_title, check_areas
from cryoctl_protocols.dose_plan import UPPER
from cryoctl_protocols.parameters import EdxTomographyParameters

FIRST_FOCUS_WIDER = 2.0
"""Steps of the first through-focus series of a target over `focus.step_m`."""


def check(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> tuple[str, ...]:
    """Everything knowable before the start.

    Returns:
        Warnings, one sentence each.

    Raises:
        RecipeError: one sentence that names the field, what was found and what is allowed.
    """
    _check_optics(parameters, facts)
    _check_tilts(parameters, facts)
    _check_shapes(parameters, facts)
    check_areas(parameters, facts)
    _check_focus(parameters, facts)
    _check_targets_in_reach(parameters, facts)
    if not facts.dose_known:
        return ()
    _check_current(parameters, facts)
    _check_dwell(parameters, facts)
    return _check_dose(parameters)


def _check_optics(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> None:
    for field, name in (("record", parameters.optics.record), ("search", parameters.optics.search)):
        if name not in facts.optics and (field == "record" or parameters.search.enabled):
            known = ", ".join(sorted(facts.optics)) or "none"
            raise RecipeError(f"optics.{field}: found {name!r}, the instrument file's presets are {known}: name one")


def _check_tilts(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> None:
    angles = parameters.tilts.stage_angles_deg()
    extra = parameters.eucentric.tilt_deg if parameters.eucentric.enabled else 0.0
    reached = (min(*angles, -extra), max(*angles, extra))
    for who, (low, high) in (("stage", facts.stage.tilt_deg), *facts.tilt_limits_deg.items()):
        for angle in reached:
            if not low - 1e-9 <= angle <= high + 1e-9:
                with_pretilt = " with pre-tilt" if parameters.tilts.pretilt_deg else ""
                raise RecipeError(
                    f"tilts: the stage would go to {angle:g} deg{with_pretilt}, the {who} allows {low:g} to {high:g} "
                    "deg: narrow the range or change the pre-tilt"
                )


def _check_shapes(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> None:
    for name, shape in (
        ("image", parameters.image.shape),
        ("track", parameters.track.shape),
        ("focus", parameters.focus.shape),
        ("search", parameters.search.shape),
    ):
        if max(shape) > facts.max_scan_px:
            raise RecipeError(
                f"{name}.shape: found {shape[0]} x {shape[1]} pixels, the scan generator takes 8 to "
                f"{facts.max_scan_px} each way: make it smaller"
            )


def _check_focus(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> None:
    reach_m = FIRST_FOCUS_WIDER * parameters.focus.step_m * (parameters.focus.pictures - 1) / 2
    if parameters.focus.every and reach_m > facts.defocus_range_m:
        raise RecipeError(
            f"focus.step_m: found {parameters.focus.step_m * 1e6:.3g} um, with {parameters.focus.pictures} pictures "
            f"the first series reaches {reach_m * 1e6:.3g} um to either side, the lens allows "
            f"{facts.defocus_range_m * 1e6:.3g} um: take a smaller step or fewer pictures"
        )


def _check_current(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> None:
    current = dose_plan.record_current_a(parameters, facts)
    low, high = facts.current_range_a
    if low <= current <= high:
        return
    if parameters.image.dwell_s is None:
        raise RecipeError(
            f"optics.record: the preset {parameters.optics.record!r} has {current:.3g} A, allowed are {low:.3g} to "
            f"{high:.3g} A: change beam_current_a of the preset, or give image.dwell_s"
        )
    shortest, longest = (parameters.image.dwell_s * current / limit for limit in (high, low))
    raise RecipeError(
        f"image.dwell_s: found {parameters.image.dwell_s:.3g} s, for which the planned dose needs {current:.3g} A, "
        f"the beam gives {low:.3g} to {high:.3g} A: allowed are {shortest:.3g} to {longest:.3g} s"
    )


def _check_dwell(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> None:
    shortest, longest = facts.dwell_range_s
    image, scans = parameters.image, parameters.edx.scans
    current = dose_plan.record_current_a(parameters, facts)
    doses = dose_plan.planned_doses_e_per_a2(parameters.dose, parameters.tilts.angles_deg())
    for dose in sorted({min(one for one in doses if one > 0.0), max(doses)}):
        dwell = dose_plan.dwell_s(dose, pixel_size_m=image.pixel_size_m, scans=scans, current_a=current)
        if not shortest <= dwell <= longest:
            raise RecipeError(
                f"dose.per_tilt_e_per_a2: {dose:.4g} e-/A^2 in {scans} scans at {current:.3g} A means a dwell of "
                f"{dwell:.3g} s, allowed are {shortest:.3g} to {longest:.3g} s: change the dose, edx.scans, the pixel "
                "size or the current"
            )


def _check_targets_in_reach(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> None:
    room = parameters.approach.overshoot_m
    for target in parameters.targets:
        for axis, value, (low, high) in (("x_m", target.x_m, facts.stage.x_m), ("y_m", target.y_m, facts.stage.y_m)):
            if not low + room <= value <= high - room:
                raise RecipeError(
                    f"targets.{target.name}.{axis}: found {value * 1e6:.4g} um, the stage reaches "
                    f"{(low + room) * 1e6:.4g} to {(high - room) * 1e6:.4g} um: move the target"
                )


def least_exposure_e_per_a2(parameters: EdxTomographyParameters) -> float:
    """What a specimen receives at the least: the smallest exposure and what goes before it, at the upper current."""
    doses = dose_plan.planned_doses_e_per_a2(parameters.dose, parameters.tilts.angles_deg())
    over = dose_plan.planned_peak_e_per_a2(parameters) - math.fsum(doses)
    return (min(one for one in doses if one > 0.0) + over) * UPPER


def _check_dose(parameters: EdxTomographyParameters) -> tuple[str, ...]:
    limit = parameters.dose.limit_e_per_a2
    doses = dose_plan.planned_doses_e_per_a2(parameters.dose, parameters.tilts.angles_deg())
    over = dose_plan.planned_peak_e_per_a2(parameters) - math.fsum(doses)
    least = least_exposure_e_per_a2(parameters)
    if least > limit:
        raise RecipeError(
            f"dose.limit_e_per_a2: found {limit:.4g} e-/A^2, one exposure of {least / UPPER - over:.4g} and what goes "
            f"before it need {least:.4g}: raise the limit or lower dose.per_tilt_e_per_a2"
        )
    peak = dose_plan.planned_peak_e_per_a2(parameters) * UPPER
    if peak <= limit:
        return ()
    fits = _tilts_that_fit(doses, limit / UPPER - over)
    return (
        f"dose: the plan brings the worst pixel to {peak:.4g} e-/A^2, the limit is {limit:.4g}: the series will end "
        f"after about {fits} of {len(doses)} tilts",
    )


def _tilts_that_fit(doses: tuple[float, ...], room: float) -> int:
    spent, fits = 0.0, 0
    for dose in doses:
        spent += dose
        if spent > room:
            break
        fits += 1
    return fits


def describe(parameters: EdxTomographyParameters, areas: Mapping[str, Area]) -> dict[str, Any]:
    """Plain values for the run file's head; see `Protocol.describe`."""
    names = ["record"]
    names += ["track"] if parameters.track.every else []
    names += ["focus"] if parameters.focus.every else []
    names += ["search"] if parameters.search.enabled else []
    placed = {
        area_title(name, target, parameters): {
            "x_m": target.x_m + areas[name].dx_m,
            "y_m": target.y_m,
            "width_m": areas[name].width_m,
            "height_m": areas[name].height_m,
        }
        for target in parameters.targets
        for name in names
    }
    edx, image = parameters.edx, parameters.image
    return {
        "title": f"EDX tomography of {parameters.specimen.name}",
        "specimen": parameters.specimen.name,
        "areas": placed,
        "targets": [target.name for target in parameters.targets],
        "image": {"shape": list(image.shape), "pixel_size_m": image.pixel_size_m},
        "edx": {
            "elements": list(edx.elements),
            "scans": edx.scans,
            "window_ev": edx.window_ev,
            "dense": edx.dense,
        },
        "planned": dose_plan.doses_by_kind(parameters),
        "planned_peak_e_per_a2": dose_plan.planned_peak_e_per_a2(parameters),
        "least_exposure_e_per_a2": least_exposure_e_per_a2(parameters),
        "live": parameters.live.model_dump(),
        "tilts": len(parameters.tilts.angles_deg()),
    }
