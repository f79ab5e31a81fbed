"""The recipe's `simulation.` fields: which there are, and what is wrong with one that there is not."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

from cryoctl.errors import RecipeError

FIELDS: Mapping[str, str] = {
    "beam.current_error": "hidden relative error of the nominal beam current",
    "beam.current_drift_rel_per_s": "relative drift of the beam current (1/s)",
    "stage.backlash_m": "hysteresis of x and y by the direction of the last approach (m)",
    "stage.drift_m_per_s": "steady thermal drift (m/s)",
    "stage.eucentric_error_m": "height of the specimen above the tilt axis at stage z = 0 (m)",
    "specimen.*": "any parameter of the specimen, such as specimen.stage",
    "needle.*": "any parameter of the simulated needle",
    "clocks.DEVICE.offset_s": "offset of a device's own clock (s)",
}
_OPEN = ("specimen", "needle", "clocks")


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


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names to values.

    Raises:
        RecipeError: a name that the world does not know, or a number that is none.
    """
    flat = flatten(fields)
    for name, value in flat.items():
        if name not in FIELDS and name.split(".")[0] not in _OPEN:
            near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.3)
            hint = f"nearest is simulation.{near[0]}" if near else "known are " + ", ".join(FIELDS)
            raise RecipeError(f"simulation.{name}: the simulated world has no such field; {hint}")
        if name in FIELDS and not _is_number(value):
            raise RecipeError(f"simulation.{name}: found {value!r}, allowed is a finite number: {FIELDS[name]}")
    return flat


def part(flat: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Fields below `prefix`, without it."""
    return {name[len(prefix) + 1 :]: value for name, value in flat.items() if name.startswith(f"{prefix}.")}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
