"""Where the low-dose areas lie: record on the target, track and focus beside it along the tilt axis.

All lengths in the specimen's frame (m); x lies along the tilt axis and is the fast scan direction, so the overscan
strip of a scan lies beside it along x. Both sides are kept free of strips, whichever the generator uses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cryoctl.errors import RecipeError
from cryoctl.protocol import CalibratedValue, InstrumentFacts
from cryoctl_protocols.parameters import EdxTomographyParameters, Target

UNKNOWN_BACKLASH_M = 1e-6
"""Taken for the goniometer's backlash where it was never measured (science.md: 0.1 to 1 um)."""

UNKNOWN_HEIGHT_M = 1e-6
"""Taken for the bound of the specimen's height above the tilt axis where there is no calibration of it."""

_OVERLAP_SEEN_M = 60e-9
"""An overlap of three pixels of the ledger stands in it as such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A scanned rectangle; `dx_m` is the distance of its centre from the target along the tilt axis."""

    name: str
    kind: str
    dx_m: float
    shape: tuple[int, int]
    pixel_size_m: float

    @property
    def width_m(self) -> float:
        return self.shape[1] * self.pixel_size_m

    @property
    def height_m(self) -> float:
        return self.shape[0] * self.pixel_size_m


def backlash(facts: InstrumentFacts) -> CalibratedValue | None:
    """The goniometer's backlash as the instrument file has it, None where it was never measured."""
    return facts.calibrations.get("backlash")


def position_sigma_m(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> float:
    """One sigma of where a tracked exposure lies: the recipe's figure and the backlash as well as it is known."""
    known = backlash(facts)
    unsure_m = UNKNOWN_BACKLASH_M / 6 if known is None else known.sigma / 2
    return math.hypot(parameters.areas.position_sigma_m, unsure_m)


def predicted_sigma_m(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> float:
    """The same for an exposure made before the tilt was looked at.

    Without tracking no tilt ever is: at the highest one the runout is stretched by 1/cos and a height above the tilt
    axis moves the content by its tangent, in the specimen's plane.
    """
    known, foreseen = position_sigma_m(parameters, facts), parameters.track.prediction_sigma_m
    if parameters.track.every:
        return math.hypot(known, foreseen)
    stretch = largest_stretch(parameters)
    return math.hypot(known, foreseen * stretch, height_sigma_m(parameters, facts) * math.sqrt(stretch**2 - 1))


def height_sigma_m(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> float:
    """One sigma of the specimen's height above the tilt axis: as it is levelled, or as the instrument file has it."""
    if parameters.eucentric.enabled and (parameters.search.enabled or parameters.track.every):
        return parameters.eucentric.tolerance_m
    calibration = facts.calibrations.get("eucentric_offset")
    return UNKNOWN_HEIGHT_M / 3 if calibration is None else calibration.sigma


def layout(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> dict[str, Area]:
    """Areas by name (record, track, focus, search); track lies on the side of +x, focus on that of -x."""
    record = Area(
        name="record", kind="record", dx_m=0.0, shape=parameters.image.shape, pixel_size_m=parameters.image.pixel_size_m
    )
    track, focus, search = parameters.track, parameters.focus, parameters.search
    found = {"record": record}
    for name, wanted, side in (("track", track, 1.0), ("focus", focus, -1.0)):
        plain = Area(name=name, kind=name, dx_m=0.0, shape=wanted.shape, pixel_size_m=wanted.pixel_size_m)
        offset = parameters.areas.offset_m or _clear_of_edges_m(
            _nearest_m(record, plain, parameters, facts), plain, parameters, facts
        )
        found[name] = Area(
            name=name, kind=name, dx_m=side * offset, shape=wanted.shape, pixel_size_m=wanted.pixel_size_m
        )
    found["search"] = Area(name="search", kind="search", dx_m=0.0, shape=search.shape, pixel_size_m=search.pixel_size_m)
    return found


def _nearest_m(one: Area, other: Area, parameters: EdxTomographyParameters, facts: InstrumentFacts) -> float:
    """Distance of two centres along x at which neither area nor strip can touch the other area."""
    strip = facts.timing.settle_px * max(one.pixel_size_m, other.pixel_size_m)
    known = 3 * (position_sigma_m(parameters, facts) + predicted_sigma_m(parameters, facts))
    return one.width_m / 2 + other.width_m / 2 + strip + known + parameters.areas.gap_m


def _clear_of_edges_m(
    offset_m: float, area: Area, parameters: EdxTomographyParameters, facts: InstrumentFacts
) -> float:
    """Moved outwards where the area or its strip would lie just outside the search field or the shower: within the
    position errors they may overlap in truth, where the map of what is believed shows no overlap."""
    margin = 3 * (position_sigma_m(parameters, facts) + predicted_sigma_m(parameters, facts))
    strip = facts.timing.settle_px * area.pixel_size_m
    edges: list[float] = []
    if parameters.search.enabled:
        half = parameters.search.shape[1] * parameters.search.pixel_size_m / 2
        edges += [half, half + facts.timing.settle_px * parameters.search.pixel_size_m]
    if parameters.shower.enabled:
        half = parameters.shower.width_m / 2
        edges += [half, half * (1 + facts.timing.settle_px / 32)]
    for edge in sorted(edges):
        for inner in (area.width_m / 2 + strip, area.width_m / 2):
            if edge - _OVERLAP_SEEN_M < offset_m - inner < edge + margin:
                offset_m = edge + margin + inner
    return offset_m


def used(parameters: EdxTomographyParameters) -> tuple[str, ...]:
    """Names of the areas that this recipe exposes beside the record area."""
    names: list[str] = []
    if parameters.track.every:
        names.append("track")
    if parameters.focus.every:
        names.append("focus")
    return tuple(names)


def check_areas(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> None:
    """Refuse overlapping areas and those beyond the image shift.

    Raises:
        RecipeError: names the areas and says what would do.
    """
    areas = layout(parameters, facts)
    record = areas["record"]
    for name in used(parameters):
        area = areas[name]
        least = _nearest_m(record, area, parameters, facts)
        if abs(area.dx_m) < least - 1e-12:
            raise RecipeError(
                f"areas.offset_m: found {abs(area.dx_m) * 1e6:.3g} um, at which the {name} area reaches the record "
                f"area; allowed are {least * 1e6:.3g} um or more: leave it null or make the areas smaller"
            )
        reach = abs(area.dx_m) + parameters.areas.shift_reserve_m
        if reach > facts.image_shift_range_m:
            raise RecipeError(
                f"areas: the {name} area lies {abs(area.dx_m) * 1e6:.3g} um from the target and tracking needs "
                f"{parameters.areas.shift_reserve_m * 1e6:.3g} um more, the image shift reaches "
                f"{facts.image_shift_range_m * 1e6:.3g} um: make the areas smaller"
            )
    _check_targets(parameters, facts, areas)


def _check_targets(parameters: EdxTomographyParameters, facts: InstrumentFacts, areas: Mapping[str, Area]) -> None:
    """No area of one target may reach the record area of another, at the highest tilt."""
    record = areas["record"]
    stretch = largest_stretch(parameters)
    margin_y = 3 * (position_sigma_m(parameters, facts) + predicted_sigma_m(parameters, facts))
    for here in parameters.targets:
        for name in ("record", *used(parameters)):
            area = areas[name]
            apart_x = _nearest_m(record, area, parameters, facts)
            apart_y = (record.height_m + area.height_m) / 2 * stretch + margin_y
            for there in parameters.targets:
                if there is here:
                    continue
                dx, dy = here.x_m + area.dx_m - there.x_m, here.y_m - there.y_m
                if abs(dx) < apart_x and abs(dy) < apart_y:
                    raise RecipeError(
                        f"targets: the {name} area of {here.name!r} reaches the record area of {there.name!r}; they "
                        f"must be {apart_x * 1e6:.3g} um apart along the tilt axis or {apart_y * 1e6:.3g} um across: "
                        f"move a target or make the areas smaller"
                    )


def largest_stretch(parameters: EdxTomographyParameters) -> float:
    """How far a field is stretched across the tilt axis at the highest stage tilt, 1/cos (tilts below 85 degrees)."""
    highest = max(abs(angle) for angle in parameters.tilts.stage_angles_deg())
    return 1.0 / math.cos(math.radians(min(highest, 85.0)))


def covered_m(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> tuple[float, float, float, float]:
    """Box (x_min, x_max, y_min, y_max) that exposures can reach, strips and position errors included."""
    areas = layout(parameters, facts)
    stretch = largest_stretch(parameters)
    margin = 3 * predicted_sigma_m(parameters, facts) + parameters.areas.shift_reserve_m
    half_x = max(
        abs(area.dx_m) + area.width_m / 2 + facts.timing.settle_px * area.pixel_size_m for area in areas.values()
    )
    half_y = max(area.height_m for area in areas.values()) / 2 * stretch
    if parameters.shower.enabled:
        half_x = max(half_x, parameters.shower.width_m * 0.75)
        half_y = max(half_y, parameters.shower.height_m / 2)
    xs = [target.x_m for target in parameters.targets]
    ys = [target.y_m for target in parameters.targets]
    return (min(xs) - half_x - margin, max(xs) + half_x + margin, min(ys) - half_y - margin, max(ys) + half_y + margin)


def area_title(name: str, target: Target, parameters: EdxTomographyParameters) -> str:
    """How an area is called in the run file: plain with one target, with the target's name where there are several."""
    return name if len(parameters.targets) == 1 else f"{name}-{target.name}"
