"""What can be known of a chip's run before it starts: light, places, scans, sampling, and dose."""

from __future__ import annotations

import math
from itertools import combinations

from cryoctl.errors import RecipeError
from cryoctl.protocol import InstrumentFacts
from cryoctl_protocols.chip_electrics import QUIET_S
from cryoctl_protocols.chip_recipe import ChipBiasingParameters, Facet
from cryoctl_protocols.dose_plan import UPPER, dwell_s
from cryoctl_protocols.reach import check_dose, check_place, check_shape

OVERSHOOT_M = 2e-6
"""From so far below the stage comes to its place, free of backlash."""
REACH_M = 1.5e-6
"""Of what is charged around the regions: image shift, search, probe's tails."""
_LEAST_PX = 64
"""Of a lattice picture, each way: in less no facet is told from noise."""
_MOST_PIXELS_A_SPACING = 32.0
"""Coarser fringes are too few in a part of a picture in which they are looked for."""
_ALIKE, _ALIKE_DEG = 0.08, 24.0
"""Spacings (relative) and directions of two facets by which either would be taken for the other."""
_MOST_V_A_ROW = 0.05
"""Of a curve, which bends within the thermal voltage of its diode: 25 mV at room temperature times an ideality of 2."""
_LEAST_ROWS = 4
"""Samples from which a mean and its noise are told."""


def check_chip(parameters: ChipBiasingParameters, facts: InstrumentFacts) -> tuple[str, ...]:
    """Warnings; raises `RecipeError`: one sentence that names the field, what was found and what is allowed."""
    _check_light(parameters, facts)
    pictures = parameters.pictures
    if pictures.optics not in facts.optics:
        raise RecipeError(
            f"pictures.optics: found {pictures.optics!r}, the instrument file has {', '.join(facts.optics)}: "
            "name one of them"
        )
    check_place(facts, x_m=parameters.x_m, y_m=parameters.y_m, from_below_m=OVERSHOOT_M)
    least_a, most_a = facts.current_range_a
    wanted_a = pictures.beam_current_a
    if wanted_a is not None and not least_a <= wanted_a <= most_a:
        raise RecipeError(
            f"pictures.beam_current_a: found {wanted_a:g} A, the beam has {least_a:g} to {most_a:g} A: choose one "
            "of these, or null for the preset's"
        )
    shift_m = math.hypot(parameters.control.dx_m, parameters.control.dy_m) + REACH_M / 3
    if shift_m > facts.image_shift_range_m:
        raise RecipeError(
            f"control: the region lies {shift_m:.3g} m off, the image shift reaches "
            f"{facts.image_shift_range_m:.3g} m: choose one that is nearer"
        )
    _check_facets(parameters)
    _check_scans(parameters, facts)
    _check_sampling(parameters, facts)
    dark = parameters.light_w_per_m2 == 0.0 and parameters.bias.hold == "maximum-power-point"
    told = ("bias.hold: without light (light_w_per_m2: 0) a cell has no maximum power; 0 V is what it comes to",)
    return (*(told if dark else ()), *_check_dose(parameters))


def planned_e_per_a2(recipe: ChipBiasingParameters) -> float:
    """Of the active region, found at once."""
    pictures = recipe.pairs_of_pictures() + 1
    return pictures * recipe.pictures.dose_e_per_a2 + recipe.beam_current.dose_e_per_a2


def _check_light(parameters: ChipBiasingParameters, facts: InstrumentFacts) -> None:
    if facts.light is None:
        raise RecipeError("light_w_per_m2: the instrument file has no light; name an instrument that has one")
    low, high = facts.light.irradiance_w_per_m2
    if parameters.light_w_per_m2 and not low <= parameters.light_w_per_m2 <= high:
        raise RecipeError(
            f"light_w_per_m2: found {parameters.light_w_per_m2:g} W/m^2, the light gives {low:g} to {high:g}: "
            "choose one of these, or 0 for none"
        )


def _check_facets(parameters: ChipBiasingParameters) -> None:
    pictures = parameters.pictures
    for field, shape in (("shape", pictures.shape), ("search_shape", pictures.search_shape)):
        if min(shape) < _LEAST_PX:
            raise RecipeError(
                f"pictures.{field}: found {shape[0]} x {shape[1]} pixels, facets are told from noise with {_LEAST_PX} "
                "or more each way: make it larger"
            )
    most_m = _MOST_PIXELS_A_SPACING * pictures.pixel_size_m
    for one in parameters.facets:
        if one.spacing_m > most_m:
            raise RecipeError(
                f"facets.{one.name}.spacing_m: found {one.spacing_m:.3g} m, with pixels of "
                f"{pictures.pixel_size_m:.3g} m at most {most_m:.3g} m is seen: choose larger pictures.pixel_size_m"
            )
    for one, other in combinations(parameters.facets, 2):
        if _alike(one, other):
            raise RecipeError(
                f"facets.{other.name}: found {other.spacing_m:.4g} m, {one.name} has {one.spacing_m:.4g} m: give both "
                f"an angle_deg, more than {_ALIKE_DEG:g} deg apart, or leave one out"
            )


def _alike(one: Facet, other: Facet) -> bool:
    """Whether either would be taken for the other."""
    if abs(one.spacing_m - other.spacing_m) > _ALIKE * max(one.spacing_m, other.spacing_m):
        return False
    if one.angle_deg is None or other.angle_deg is None:
        return True
    return abs((one.angle_deg - other.angle_deg + 90.0) % 180.0 - 90.0) <= _ALIKE_DEG


def _check_scans(recipe: ChipBiasingParameters, facts: InstrumentFacts) -> None:
    """Pixels, and the dwells that doses mean."""
    pictures, wide = recipe.pictures, recipe.beam_current
    check_shape(facts, "pictures.shape", pictures.shape)
    check_shape(facts, "pictures.search_shape", pictures.search_shape)
    check_shape(facts, "beam_current.shape", wide.shape)
    for name, dose, pixel_m in (
        ("pictures.dose_e_per_a2", pictures.dose_e_per_a2, pictures.pixel_size_m),
        ("beam_current.dose_e_per_a2", wide.dose_e_per_a2, wide.pixel_size_m),
    ):
        if dose:
            check_dose(facts, name, dose, pixel_m=pixel_m, current_a=_current_a(recipe, facts))


def _check_sampling(recipe: ChipBiasingParameters, facts: InstrumentFacts) -> None:
    """Whether the source samples often enough for curves, dwells, and the beam's own current."""
    if facts.bias is None:
        return
    bias, wide = recipe.bias, recipe.beam_current
    interval_s = facts.bias.sample_interval_s[0] if bias.sample_interval_s is None else bias.sample_interval_s
    sampled = f"the source samples every {interval_s:.3g} s"
    most_v_per_s = _MOST_V_A_ROW / interval_s
    if recipe.sweep.rate_v_per_s > most_v_per_s:
        raise RecipeError(
            f"sweep.rate_v_per_s: found {recipe.sweep.rate_v_per_s:g} V/s, {sampled}, and a curve needs a row every "
            f"{_MOST_V_A_ROW * 1e3:g} mV: choose up to {most_v_per_s:.3g} V/s, or a shorter bias.sample_interval_s"
        )
    if bias.dwell_s / 2 < _LEAST_ROWS * interval_s:
        raise RecipeError(
            f"bias.dwell_s: found {bias.dwell_s:g} s, {sampled}, and {_LEAST_ROWS} rows are wanted in the second half "
            f"of a dwell: choose {2 * _LEAST_ROWS * interval_s:.3g} s or more, or a shorter bias.sample_interval_s"
        )
    if not wide.dose_e_per_a2:
        return
    scan_s = (
        wide.shape[0]
        * wide.shape[1]
        * dwell_s(wide.dose_e_per_a2, pixel_size_m=wide.pixel_size_m, scans=1, current_a=_current_a(recipe, facts))
    )
    if min(scan_s, QUIET_S) < _LEAST_ROWS * interval_s:
        raise RecipeError(
            f"beam_current.shape: found {wide.shape[0]} x {wide.shape[1]} pixels, a scan of {scan_s:.3g} s, {sampled}, "
            f"and {_LEAST_ROWS} rows are wanted with the beam open: choose more pixels or dose, or "
            "beam_current.dose_e_per_a2: 0 for none"
        )


def _check_dose(parameters: ChipBiasingParameters) -> tuple[str, ...]:
    limit, each = parameters.dose.limit_e_per_a2, parameters.pictures.dose_e_per_a2
    least = UPPER * (2 * each + parameters.beam_current.dose_e_per_a2)
    if least > limit:
        raise RecipeError(
            f"dose.limit_e_per_a2: found {limit:.4g} e-/A^2, finding a region and one picture of it need "
            f"{least:.4g}: raise the limit or lower pictures.dose_e_per_a2"
        )
    planned = planned_e_per_a2(parameters)
    if planned > limit:
        return (f"dose: {planned:.4g} e-/A^2 are planned, the limit is {limit:.4g}; the series ends before",)
    return ()


def _current_a(recipe: ChipBiasingParameters, facts: InstrumentFacts) -> float:
    pictures = recipe.pictures
    return pictures.beam_current_a or facts.optics[pictures.optics].beam_current_a
