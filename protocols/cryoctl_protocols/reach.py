"""What stage, scan generator and column can do of what a recipe asks for; refused before anything starts."""

from __future__ import annotations

from cryoctl.errors import RecipeError
from cryoctl.protocol import InstrumentFacts
from cryoctl_protocols.dose_plan import dwell_s

_SLACK = 1e-9


def check_place(facts: InstrumentFacts, *, x_m: float, y_m: float, from_below_m: float = 0.0) -> None:
    """Raises `RecipeError` for a place that the stage does not reach; not from so far below, where that is its way."""
    for name, value, (least, high) in (("x_m", x_m, facts.stage.x_m), ("y_m", y_m, facts.stage.y_m)):
        low = least + from_below_m
        if not low <= value <= high:
            raise RecipeError(
                f"{name}: found {value:g} m, the stage reaches {low:g} to {high:g} m: choose a place within"
            )


def check_tilt(facts: InstrumentFacts, field: str, tilt_deg: float) -> None:
    """Raises `RecipeError` for a tilt to either side that the stage, the holder or a detector does not allow."""
    for who, (low, high) in (("stage", facts.stage.tilt_deg), *facts.tilt_limits_deg.items()):
        if not (low <= -tilt_deg and tilt_deg <= high):
            raise RecipeError(f"{field}: found {tilt_deg:g}, the {who} allows {low:g} to {high:g} deg: lower it")


def check_shape(facts: InstrumentFacts, field: str, shape: tuple[int, int]) -> None:
    """Raises `RecipeError` for more pixels than a scan has."""
    if max(shape) > facts.max_scan_px:
        raise RecipeError(
            f"{field}: found {shape[0]} x {shape[1]} pixels, the scan generator takes 8 to {facts.max_scan_px} each "
            "way: make it smaller"
        )


def check_dwell(facts: InstrumentFacts, field: str, found_s: float) -> None:
    """Raises `RecipeError` for a dwell that the scan generator can't make."""
    shortest_s, longest_s = facts.dwell_range_s
    if not shortest_s * (1 - _SLACK) <= found_s <= longest_s * (1 + _SLACK):
        raise RecipeError(
            f"{field}: found {found_s:.3g} s, the scan generator takes {shortest_s:.3g} to {longest_s:.3g} s: choose "
            "one of these"
        )


def check_dose(facts: InstrumentFacts, field: str, dose_e_per_a2: float, *, pixel_m: float, current_a: float) -> None:
    """Raises `RecipeError` for a dose that means a dwell which the scan generator can't make."""
    shortest_s, longest_s = facts.dwell_range_s
    each_s = dwell_s(1.0, pixel_size_m=pixel_m, scans=1, current_a=current_a)
    if facts.dose_known and not shortest_s <= dose_e_per_a2 * each_s <= longest_s:
        raise RecipeError(
            f"{field}: found {dose_e_per_a2:g} e-/A^2, with {current_a:.3g} A and dwells of {shortest_s:g} to "
            f"{longest_s:g} s allowed are {shortest_s / each_s:.3g} to {longest_s / each_s:.3g}: choose one of these, "
            "or another beam current or pixel size"
        )
