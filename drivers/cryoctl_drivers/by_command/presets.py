"""A preset of a column whose current is stated, and the turn of its scan."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cryoctl.errors import OutOfRange, ReadBackMismatch
from cryoctl.interfaces.beam import Optics
from cryoctl.units import quoted
from cryoctl_drivers.by_command.settings import CommandedPreset

_SAME_CURRENT_REL = 0.01
_SAME_RAD = 1e-3


def check_preset(name: str, wanted: Optics, presets: Mapping[str, CommandedPreset]) -> None:
    """
    Raises:
        OutOfRange: no such preset, another current than was measured for it, or no scan.
    """
    preset = presets.get(wanted.name)
    if preset is None:
        raise OutOfRange(
            f"{name}: settings.presets has no {quoted(wanted.name)}, it has {', '.join(presets)}: measure its current "
            "and add it"[:300]
        )
    if not abs(wanted.beam_current_a - preset.current_a) <= _SAME_CURRENT_REL * preset.current_a:
        raise OutOfRange(
            f"{name}.beam_current_a: {wanted.beam_current_a:g} A, measured for preset {wanted.name} is "
            f"{preset.current_a:g} A; write the measured one in both"
        )
    if wanted.mode != "stem":
        raise OutOfRange(f"{name}.mode: {wanted.mode[:40]!r}, this driver scans: allowed is stem")


def turn_rad(rotation_deg: float) -> float:
    """Within +-pi."""
    return math.remainder(math.radians(rotation_deg), 2 * math.pi)


def check_turn(name: str, rotation_deg: float, found_rad: float) -> None:
    """
    Raises:
        ReadBackMismatch: the scan reads turned otherwise.
    """
    if abs(math.remainder(found_rad - turn_rad(rotation_deg), 2 * math.pi)) > _SAME_RAD:
        raise ReadBackMismatch(
            f"{name}: the scan was turned to {rotation_deg:g} deg, reads {math.degrees(found_rad):g} deg; not opened"
        )
