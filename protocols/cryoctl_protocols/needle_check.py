"""What can be known of a needle's run before it starts: optics, scans, tilts, and the dose rate that is asked for."""

from __future__ import annotations

import math

from cryoctl.errors import RecipeError
from cryoctl.protocol import InstrumentFacts
from cryoctl.units import A2_PER_M2, ELEMENTARY_CHARGE_C
from cryoctl_protocols.dose_plan import UPPER
from cryoctl_protocols.needle_pictures import beam_in_field, series_pixel_m
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters
from cryoctl_protocols.reach import check_dwell, check_place, check_shape, check_tilt

MOST_V, MOST_A = 10.0, 100e-9
"""Limits of a source that is wired to a needle."""
_COARSEST_PIXEL_M = 10e-9
"""Of the series: a tenth of a particle."""
_LEAST_FIELD_M = 200e-9
"""Of the series, each way: a particle of 100 nm that grows to twice its area, and the needle's apex before it."""


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


def _check_dose_rate(recipe: NeedleBiasingParameters, facts: InstrumentFacts) -> None:
    """By the preset's current; what is measured differs from it by some percent."""
    pictures, rate = recipe.pictures, recipe.dose_rate_e_per_a2_s
    current_a = facts.optics[pictures.optics].beam_current_a
    rows, columns = pictures.shape
    pixel_m = series_pixel_m(recipe, facts, current_a)
    least = rate * (pixel_m / _COARSEST_PIXEL_M) ** 2
    most = rate * (min(rows, columns) * pixel_m / _LEAST_FIELD_M) ** 2
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
