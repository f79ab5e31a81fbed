"""What can be known of a needle's run before it starts: optics, scans, tilts, the tube's reach, and the dose rate."""

from __future__ import annotations

import math

from cryoctl.errors import RecipeError
from cryoctl.protocol import InstrumentFacts
from cryoctl.units import A2_PER_M2, ELEMENTARY_CHARGE_C
from cryoctl_protocols.dose_plan import UPPER
from cryoctl_protocols.needle_approach import CLOSE_GAP_M, STRIDE, WIDE_M
from cryoctl_protocols.needle_drive import TUBE_GAIN
from cryoctl_protocols.needle_pictures import beam_in_field, series_pixel_m
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters
from cryoctl_protocols.reach import check_dwell, check_place, check_shape, check_tilt

MOST_V, MOST_A = 10.0, 100e-9
"""Limits of a source that is wired to a needle."""
_COARSEST_PIXEL_M = 10e-9
"""Of the series: a tenth of a particle."""
_LEAST_FIELD_M = 200e-9
"""Of the series, and across the needle in the pictures that decide on contact: a particle of 100 nm that grows to
twice its area, and the needle's apex before it."""
_LEAST_CLOSE_FIELD_M = 2 * (CLOSE_GAP_M + 50e-9)
"""Along the needle, in the pictures that decide on contact: the particle in the middle, the gap before it."""
_LEAST_LOOK_PX = 64
"""Of the pictures of the way: fewer don't tell a needle from a grid."""
_LOOK_SHARE = 1.3
"""Of twice the gap, which the widest picture has to show."""
_TUBE_SHARE = 0.9
"""Of the tube's range to either side; the rest is kept for drift and for a needle that has to go back."""


def check_needle(recipe: NeedleBiasingParameters, facts: InstrumentFacts) -> None:
    """Raises `RecipeError`: one sentence that names the field, what was found and what is allowed."""
    looks, pictures, needle = recipe.looks, recipe.pictures, recipe.needle
    for field, name in (("looks.optics", looks.optics), ("pictures.optics", pictures.optics)):
        if name not in facts.optics:
            raise RecipeError(
                f"{field}: found {name!r}, the instrument file has {', '.join(facts.optics)}: name one of them"
            )
    check_place(facts, x_m=recipe.x_m, y_m=recipe.y_m)
    for field, shape, dwell_s in (
        ("looks.{}", looks.shape, looks.dwell_s),
        ("looks.close_{}", looks.close_shape, looks.close_dwell_s),
        ("pictures.{}", pictures.shape, pictures.dwell_s),
    ):
        check_shape(facts, field.format("shape"), shape)
        check_dwell(facts, field.format("dwell_s"), dwell_s)
    check_tilt(facts, "needle.wobble_deg", needle.wobble_deg)
    check_tilt(facts, "needle.fine_wobble_deg", needle.fine_wobble_deg)
    if needle.coarse_stop_m <= needle.clear_distance_m:
        raise RecipeError(
            f"needle.coarse_stop_m: found {needle.coarse_stop_m:g} m, there the stage wobbles, which it may beyond "
            f"needle.clear_distance_m, {needle.clear_distance_m:g} m: choose more"
        )
    _check_looks(recipe)
    _check_tube(recipe, facts)
    _check_pace(recipe)
    bias = recipe.bias
    for name, found, most, unit in (
        ("limit_v", bias.limit_v, MOST_V, "V"),
        ("compliance_a", bias.compliance_a, MOST_A, "A"),
    ):
        if found > most:
            raise RecipeError(
                f"bias.{name}: found {found:g} {unit}, a needle on a particle gets at most {most:g} {unit}: lower it"
            )
    _check_dose_rate(recipe, facts)


def _check_looks(recipe: NeedleBiasingParameters) -> None:
    """Whether needle, gap and particle can be seen in them."""
    looks, needle = recipe.looks, recipe.needle
    if min(looks.shape) < _LEAST_LOOK_PX:
        raise RecipeError(
            f"looks.shape: found {looks.shape[0]} x {looks.shape[1]} pixels, a needle is told from a grid with "
            f"{_LEAST_LOOK_PX} or more each way: make it larger"
        )
    least_m = 2 * _LOOK_SHARE * needle.coarse_stop_m
    if looks.overview_m < least_m:
        raise RecipeError(
            f"looks.overview_m: found {looks.overview_m:.3g} m, with needle.coarse_stop_m of "
            f"{needle.coarse_stop_m:.3g} m needle and grid are both seen from {least_m:.3g} m on: make it wider"
        )
    pixel_m, (rows, columns) = looks.close_pixel_m, looks.close_shape
    along_px, across_px = (columns, rows) if needle.side in ("left", "right") else (rows, columns)
    if along_px * pixel_m < _LEAST_CLOSE_FIELD_M or across_px * pixel_m < _LEAST_FIELD_M:
        raise RecipeError(
            f"looks.close_shape: found {rows} x {columns} pixels of {pixel_m * 1e9:.3g} nm, particle and gap need "
            f"{_LEAST_CLOSE_FIELD_M * 1e9:.3g} nm along the needle and {_LEAST_FIELD_M * 1e9:.3g} nm across: choose "
            "more pixels, or larger ones"
        )
    least_m = needle.tube_step_m + 2 * pixel_m
    if needle.max_indentation_m < least_m:
        raise RecipeError(
            f"needle.max_indentation_m: found {needle.max_indentation_m:.3g} m, a step of the tube and two pixels that "
            f"show it are {least_m:.3g} m: allow more, or choose smaller needle.tube_step_m and looks.close_pixel_m"
        )
    least_m = (WIDE_M + (CLOSE_GAP_M - WIDE_M) / STRIDE) / needle.looks
    if needle.tube_step_m < least_m:
        raise RecipeError(
            f"needle.tube_step_m: found {needle.tube_step_m:.3g} m, in needle.looks pictures, {needle.looks}, the last "
            f"{CLOSE_GAP_M * 1e9:.3g} nm need {least_m:.3g} m: choose more of either"
        )


def _check_tube(recipe: NeedleBiasingParameters, facts: InstrumentFacts) -> None:
    """Whether it reaches back, and from there on over what coarse steps leave of the way."""
    if facts.needle is None:
        return
    needle, (low_m, high_m) = recipe.needle, facts.needle.fine_range_m
    most_m = max(0.0, -_TUBE_SHARE * low_m)
    if needle.tube_back_m > most_m:
        raise RecipeError(
            f"needle.tube_back_m: found {needle.tube_back_m:.3g} m, the tube reaches from {low_m:.3g} to "
            f"{high_m:.3g} m and a part is kept in reserve: allowed are 0 to {most_m:.3g} m"
        )
    most_m = TUBE_GAIN * (needle.tube_back_m + _TUBE_SHARE * high_m)
    if needle.coarse_stop_m > most_m:
        raise RecipeError(
            f"needle.coarse_stop_m: found {needle.coarse_stop_m:.3g} m, what is left of the way is the tube's, which "
            f"surely goes {most_m:.3g} m: choose no more than that, or more needle.tube_back_m"
        )


def _check_pace(recipe: NeedleBiasingParameters) -> None:
    pace, lasts_s = recipe.pace, recipe.bias.played().duration_s
    if pace.events_s and pace.events_s[-1] > lasts_s:
        raise RecipeError(
            f"pace.events_s: found {pace.events_s[-1]:g} s, the bias lasts {lasts_s:g} s: choose times within"
        )
    if pace.longest_s is not None and pace.longest_s < recipe.frame_interval_s:
        raise RecipeError(
            f"pace.longest_s: found {pace.longest_s:g} s, the usual interval is frame_interval_s, "
            f"{recipe.frame_interval_s:g} s: choose as much or more, or null"
        )


def _check_dose_rate(recipe: NeedleBiasingParameters, facts: InstrumentFacts) -> None:
    """By the preset's current; what is measured differs from it by some percent."""
    pictures, rate = recipe.pictures, recipe.dose_rate_e_per_a2_s
    current_a = facts.optics[pictures.optics].beam_current_a
    rows, columns = pictures.shape
    pixel_m = series_pixel_m(recipe, facts, current_a)
    least = rate * (pixel_m / _COARSEST_PIXEL_M) ** 2
    most = rate * (min(rows, columns) * pixel_m / _LEAST_FIELD_M) ** 2
    if least > most:
        raise RecipeError(
            f"pictures.shape: found {rows} x {columns} pixels, at no dose rate they are "
            f"{_COARSEST_PIXEL_M * 1e9:.3g} nm or smaller and the field {_LEAST_FIELD_M * 1e9:.3g} nm each "
            "way: give the shorter side more"
        )
    if not least <= rate <= most:
        raise RecipeError(
            f"dose_rate_e_per_a2_s: found {rate:g}, with {rows} x {columns} pixels and the {current_a:.3g} A of "
            f"{pictures.optics} that means pixels of {pixel_m * 1e9:.3g} nm, allowed are {least:.3g} to {most:.3g}: "
            "choose one of these, or another pictures.shape or preset"
        )
    share, lasts_s = beam_in_field(recipe, facts)
    close_m2 = recipe.looks.close_shape[0] * recipe.looks.close_shape[1] * recipe.looks.close_pixel_m**2
    allowed = min(facts.dose_rate_max_e_per_a2_s, recipe.interlocks.limits().get("dose_rate_max_e_per_a2_s", math.inf))
    for field, found in (
        ("dose_rate_e_per_a2_s", UPPER * rate / share),
        ("looks.close_pixel_m", UPPER * current_a / (ELEMENTARY_CHARGE_C * close_m2 * A2_PER_M2)),
    ):
        if facts.dose_known and found > allowed:
            raise RecipeError(
                f"{field}: while the beam is in the field it gives {found:.4g} e-/A^2/s, instrument file and recipe "
                f"allow {allowed:.4g}: choose a lower dose rate, larger close pixels or a preset with less current"
            )
    one = UPPER * rate * lasts_s
    if one > recipe.dose.limit_e_per_a2:
        raise RecipeError(
            f"dose.limit_e_per_a2: found {recipe.dose.limit_e_per_a2:.4g} e-/A^2, one picture of the series needs "
            f"{one:.4g}: raise the limit, or lower dose_rate_e_per_a2_s or pictures.dwell_s"
        )
