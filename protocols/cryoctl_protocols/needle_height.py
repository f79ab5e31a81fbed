"""Needle and specimen brought to one height by differential wobbling, the needle's drift included."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cryoctl.steps import Compute, Conclude, MoveStage
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.needle_drive import DRIFTING, NeedleDrive
from cryoctl_protocols.needle_pictures import UNTOLD, NeedlePictures
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters

_WOBBLES = 12
_TUBE_HEIGHT_M = 0.4e-6
"""Difference of heights that is left to the tube."""
_AHEAD_S = 30.0
"""From the last wobble to the touch."""
_ROOM_M = 0.3e-6
"""More than the clear distance that is kept before a wobble, which takes a minute."""


def level(recipe: NeedleBiasingParameters, pictures: NeedlePictures, drive: NeedleDrive) -> Block[str]:
    """The apex to the grid's height: coarse steps first, the tube for the rest, which goes on making up for the drift.

    Returns:
        What went wrong, empty where the heights are equal; they are concluded.
    """
    needle = recipe.needle
    measured: dict[str, list[float]] = {"time_s": [], "place_m": [], "sigma_m": [], "tube_m": []}
    for _ in range(_WOBBLES):
        pixel_m = pictures.fitting_pixel_m()
        if pictures.gap_m < needle.clear_distance_m + _ROOM_M:
            yield from drive.move_tube(onward_m=pictures.gap_m - needle.clear_distance_m - 2 * _ROOM_M)
            yield from pictures.look(pixel_m)
        found = yield from pictures.wobble(pixel_m, back=True)
        if found is None:
            return "needle and grid could not be told apart while wobbling"
        at = yield from MoveStage(tilt_deg=0.0)
        above_m = float(found["needle_above_m"])
        if float(found["needle_sigma_m"]) > _TUBE_HEIGHT_M:
            return UNTOLD
        if not measured["time_s"] and abs(above_m) > _TUBE_HEIGHT_M:
            yield from drive.coarse("z", -above_m)
            yield from pictures.look(pixel_m)
            continue
        for name, value in (
            ("time_s", found["time_s"]),
            ("place_m", above_m),
            ("sigma_m", found["needle_sigma_m"]),
            ("tube_m", drive.tube[2]),
        ):
            measured[name].append(float(value))
        rise = (yield from Compute(function=DRIFTING, arguments=measured)).values
        gain, rate = float(rise["gain"]), float(rise["rate_m_per_s"])
        since_s = at.time_s - measured["time_s"][-1]
        drive.now_s = at.time_s
        drive.make_up_for()
        yield from drive.move_tube(up_m=-(float(rise["place_m"]) + rate * since_s) / gain)
        sigma_m = _foretold_sigma_m(rise, since_s + _AHEAD_S)
        if sigma_m < needle.height_m / 3:
            drive.make_up_for(up=rate / gain)
            grid_z_m = at.z_m + float(found["specimen_z_m"])
            yield from Conclude(
                name="eucentric",
                values={
                    "grid_z_m": grid_z_m,
                    "grid_z_m_sigma": float(found["specimen_sigma_m"]),
                    "needle_z_m": grid_z_m,
                    "needle_z_m_sigma": sigma_m,
                    "needle_drift_m_per_s": rate,
                    "needle_drift_m_per_s_sigma": float(rise["rate_sigma_m_per_s"]),
                },
            )
            return ""
        yield from pictures.look(pixel_m)
    return "needle and specimen could not be brought to one height"


def _foretold_sigma_m(rise: Mapping[str, Any], ahead_s: float) -> float:
    """Of the height so long after it was measured."""
    height, rate = float(rise["place_sigma_m"]), float(rise["rate_sigma_m_per_s"])
    return math.sqrt(max(0.0, height**2 + 2 * ahead_s * float(rise["cross"]) + (ahead_s * rate) ** 2))
