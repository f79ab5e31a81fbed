"""The recipe's `simulation.` fields: which there are, and what is wrong with one that there is not."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

from cryoctl.errors import RecipeError
from cryoctl.units import QuantityError, dimension_of, parse_quantity, quoted

FIELDS: Mapping[str, str] = {
    "beam.current_error": "hidden relative error of the nominal beam current",
    "beam.current_drift_rel_per_s": "relative drift of the beam current (1/s)",
    "stage.backlash_m": "hysteresis of x and y by the direction of the last approach (m)",
    "stage.drift_m_per_s": "steady thermal drift (m/s)",
    "stage.eucentric_error_m": "height of the specimen above the tilt axis at stage z = 0 (m)",
    "specimen.*": "any parameter of the specimen, such as specimen.stage, and specimen.kind",
    "needle.gap_m": "distance of the needle from the specimen's edge at the start (m)",
    "needle.offset_m": "how far aside of the foremost particle it stands at the start, along the edge (m)",
    "needle.height_m": "how far above the specimen it stands at the start (m)",
    "needle.step_m": "mean coarse step towards plus at room temperature (m)",
    "needle.direction_ratio": "coarse step towards minus over one towards plus",
    "needle.scatter_rel": "scatter of a coarse step, relative, one sigma",
    "needle.kick_rel": "by how much a coarse step goes too far before it slips back, relative",
    "needle.crosstalk_rel": "what a coarse step does to the other axes, relative, one sigma",
    "needle.hysteresis_rel": "share of a tube movement that is missing after it has turned round",
    "needle.creep_rel": "share of a tube movement that comes late",
    "needle.drift_m_per_s": "drift of the needle against the specimen (m/s)",
    "needle.tip_radius_m": "radius of the tungsten apex (m)",
    "needle.lixo_m": "thickness of the LixO on it (m); none: no ions",
    "clocks.DEVICE.offset_s": "offset of a device's own clock (s)",
    "clocks.DEVICE.drift_rel": "how much faster than true a device's own clock runs (1e-6 is 1 ppm)",
}
_RANGES: Mapping[str, tuple[float, float]] = {
    "beam.current_error": (-0.9, 9.0),
    "beam.current_drift_rel_per_s": (-0.01, 0.01),
    "stage.backlash_m": (0.0, 1e-4),
    "stage.drift_m_per_s": (0.0, 1e-6),
    "stage.eucentric_error_m": (-3e-4, 3e-4),
    "needle.gap_m": (0.0, 1e-2),
    "needle.offset_m": (-1e-3, 1e-3),
    "needle.height_m": (-1e-3, 1e-3),
    "needle.step_m": (20e-9, 500e-9),
    "needle.direction_ratio": (0.4, 2.5),
    "needle.scatter_rel": (0.0, 0.3),
    "needle.kick_rel": (0.0, 0.5),
    "needle.crosstalk_rel": (0.0, 0.2),
    "needle.hysteresis_rel": (0.0, 0.49),
    "needle.creep_rel": (0.0, 0.49),
    "needle.drift_m_per_s": (0.0, 1e-8),
    "needle.tip_radius_m": (2e-9, 1e-6),
    "needle.lixo_m": (0.0, 5e-6),
}
"""A number beyond is a slip of the pen: no such microscope could be simulated."""
_LARGEST_DRIFT = 1e-3


def flatten(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested or dotted mappings to dotted names."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names to nested mappings."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        *above, last = name.split(".")
        level = result
        for part in above:
            level = level.setdefault(part, {})
        level[last] = value
    return result


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names to values; quantities with a unit as numbers.

    Raises:
        RecipeError: a name that the world does not know, or a number that is none or out of its range.
    """
    flat = flatten(fields)
    for name, value in flat.items():
        section, *below = name.split(".")
        if section == "specimen" and below:
            flat[name] = _plain(name, value)
            continue
        if section == "clocks" and len(below) == 2 and below[1] in ("offset_s", "drift_rel"):
            flat[name] = _number(name, value, FIELDS[f"clocks.DEVICE.{below[1]}"])
            _check_drift(name, flat[name])
        elif name in _RANGES:
            flat[name] = _number(name, value, FIELDS[name])
        else:
            near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.3)
            hint = f"nearest is simulation.{near[0]}" if near else "known are " + ", ".join(FIELDS)
            raise RecipeError(f"simulation.{name[:60]}: the simulated world has no such field; {hint}")
    return flat


def _check_drift(name: str, value: float) -> None:
    if name.endswith(".drift_rel") and not abs(value) <= _LARGEST_DRIFT:
        raise RecipeError(
            f"simulation.{name}: found {value:g}, allowed are {-_LARGEST_DRIFT:g} to {_LARGEST_DRIFT:g}: no clock "
            "runs so wrong"
        )


def check_clocks(flat: Mapping[str, Any], own_clocks: Mapping[str, bool]) -> None:
    """Raises `RecipeError` for a clock of a device that there is not, or that has none of its own (`own_clocks`)."""
    for name in part(flat, "clocks"):
        device = name.split(".")[0]
        if not own_clocks.get(device, False):
            known = ", ".join(one for one, own in own_clocks.items() if own) or "none"
            raise RecipeError(
                f"simulation.clocks.{device[:40]}: no device of this name tells times by a clock of its own, those "
                f"that do are {known}: name one of them"
            )


def part(flat: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Fields below `prefix`, without it."""
    return {name[len(prefix) + 1 :]: value for name, value in flat.items() if name.startswith(f"{prefix}.")}


def _plain(name: str, value: Any) -> Any:
    """A quantity with a unit as a number, anything else as it is."""
    dimension = dimension_of(name)
    if not isinstance(value, str) or dimension is None:
        return value
    try:
        return parse_quantity(value, dimension)
    except QuantityError as problem:
        raise RecipeError(f"simulation.{name}: {problem}") from None


def _number(name: str, value: Any, meaning: str) -> float:
    value = _plain(name, value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        found = quoted(value) if isinstance(value, str) else quoted(str(value))[1:-1]
        raise RecipeError(f"simulation.{name}: found {found}, allowed is a finite number: {meaning}")
    low, high = _RANGES.get(name, (-1e9, 1e9))
    if not low <= value <= high:
        raise RecipeError(f"simulation.{name}: found {value:g}, allowed are {low:g} to {high:g}: {meaning}")
    return float(value)
