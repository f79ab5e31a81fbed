"""The last micrometre: a needle is aimed at a particle by the tube, then brought on until pictures show contact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryoctl.steps import Compute, Conclude, FrameRef, NoteGap, NoteHold, Wait
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.needle_drive import DRIFTING, NeedleDrive
from cryoctl_protocols.needle_hold import MOST_M_PER_S
from cryoctl_protocols.needle_pictures import NeedlePictures
from cryoctl_protocols.needle_probe import ContactProbe
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters

AIM = "analysis.aiming:aim"
"""(picture, side) -> how the apex stands before the particle nearest to the picture's middle, in pixels."""
COMPARE = "analysis.contact:compared"
"""(first, picture; side) -> where needle and particle went, and the particle's contrast."""
DECIDE = "analysis.contact:decided"
"""(pictures, pixel_size_m, deepest_m) -> whether the last ones show contact; what COMPARE told of each."""

CLOSE_GAP_M = 150e-9
"""With which the needle is aimed, and from which on it goes by small steps."""
_AIMED_M = 10e-9
_AIMS = 40
_AHEAD_M = 25e-9
"""So much further out than film a particle should be met: it may lie above or below the needle's height."""
_LOOSE_M = 6e-9
"""So far aside of where it was aimed a needle may meet it."""
_ASIDE_M = 4e-9
"""That the tube goes aside at once where the needle strays."""
_STRAY_GAP_M = 6e-9
"""Nearer than this it is not corrected: what is touched would be dragged along."""
_SHARE = 0.6
"""Of a way that is clear, which the tube takes at once."""
_LEAST_PICTURES = 5
_WINDOW = 9
"""Pictures that a decision on contact looks back on, beside the first."""
WIDE_M, STRIDE = 25e-9, 3
"""Gap above which the tube takes so many steps at once."""
_WATCHED = 40
"""Latest pictures that the needle's drift is told from."""
_SEEN_SIGMA_PX = 0.2
"""Of a needle's place in one of them."""
_DEEPEST = 0.75
"""Of the indentation allowed, at which the approach is given up: it might have met film unseen."""
_STILL, _STILL_S = 3, 0.5
"""Pictures in contact from which the drift is told, and the time between them."""
_MOST_BACK_M = 10e-9


def aim(recipe: NeedleBiasingParameters, pictures: NeedlePictures, drive: NeedleDrive) -> Block[str]:
    """To a short gap before the particle's middle: aside first, on where nothing is in the way.

    Returns:
        What went wrong, empty where it is aimed.
    """
    looks = recipe.looks
    reach_m = max(pictures.gap_m, abs(drive.along(pictures.apex_m)))
    for turn in range(_AIMS):
        pixel_m = max(looks.close_pixel_m, 1.4 * reach_m / (min(looks.close_shape) / 2))
        frame = yield from pictures.close_look(pixel_m)
        arguments = {
            "side": recipe.needle.side,
            "ahead_px": _AHEAD_M / pixel_m,
            "loose_px": _LOOSE_M / pixel_m,
            "reach_px": (math.inf if turn else drive.reach_m) / pixel_m,
        }
        seen = (yield from Compute(function=AIM, frames=(frame,), arguments=arguments)).values
        if not seen["found"]:
            return "needle and particle could not be told apart"
        gap_m, clear_m = float(seen["gap_px"]) * pixel_m, float(seen["clear_px"]) * pixel_m
        aside_m = float(seen["aside_px"]) * pixel_m
        reach_m = max(gap_m, abs(aside_m))
        pictures.centre(float(seen["target_x_px"]) * pixel_m, float(seen["target_y_px"]) * pixel_m)
        yield from NoteGap(gap_m=clear_m, sigma_m=pixel_m)
        if gap_m <= 0.0 or clear_m <= 0.0:
            return "the needle lies over the specimen, at another height"
        if abs(aside_m) < _AIMED_M and gap_m < CLOSE_GAP_M:
            behind = float(seen["ahead_px"]) < 0.0
            return "film lies before the particles; look for one that stands out at the edge" if behind else ""
        if abs(aside_m) < max(_AIMED_M, pixel_m):
            onward_m = _SHARE * min(gap_m - 0.7 * CLOSE_GAP_M, clear_m)
            yield from drive.move_tube(onward_m=max(0.0, onward_m))
        if abs(aside_m) >= _AIMED_M:
            most_m = _SHARE * clear_m
            yield from drive.move_tube(aside_m=-max(-most_m, min(most_m, aside_m)))
    return "the needle could not be aimed at the particle"


def touch(
    recipe: NeedleBiasingParameters, pictures: NeedlePictures, drive: NeedleDrive, probe: ContactProbe
) -> Block[str]:
    """On by small steps with a picture after each; a picture that is suspected is taken again as it is.

    The needle is then held against the drift that was seen, and the contact probed.

    Returns:
        What went wrong, empty where contact is made; it is noted and concluded.
    """
    watch = _Watch(recipe, pictures, drive)
    told: list[Mapping[str, Any]] = []
    for _ in range(recipe.needle.looks):
        told.append((yield from watch.look()))
        if len(told) < _LEAST_PICTURES:
            continue
        arguments = {
            "pictures": [told[0], *told[1:][-_WINDOW:]],
            "pixel_size_m": recipe.looks.close_pixel_m,
            "deepest_m": _DEEPEST * recipe.needle.max_indentation_m,
        }
        verdict = (yield from Compute(function=DECIDE, arguments=arguments, duration_s=0.01)).values
        if not verdict["seen"]:
            return str(verdict["message"])
        if verdict["found"]:
            at = yield from NoteHold(hold="contact")
            made: dict[str, Any] = {
                "found": 1,
                "time_s": at.time_s,
                "exposure": pictures.exposure,
                "contrast_change": float(verdict["contrast_change"]),
                "contrast_change_sigma": float(verdict["contrast_sigma"]),
                "pushed_m": float(verdict["pushed_m"]),
                "pushed_m_sigma": float(verdict["pushed_sigma_m"]),
                "current_a": math.nan,
                "current_a_sigma": math.nan,
                "fine_m": [float(one) for one in drive.tube],
                "dose_e_per_a2": pictures.dose_e_per_a2,
            }
            yield from Conclude(name="contact", values=made)
            yield from watch.hold()
            if told_by_current := (yield from probe.touching()):
                yield from Conclude(name="contact", values={**made, **told_by_current})
            return ""
        if not verdict["suspected"]:
            wide = float(verdict["gap_m"]) > WIDE_M
            aside_m = -watch.strayed_m if float(verdict["gap_m"]) > _STRAY_GAP_M else 0.0
            yield from drive.move_tube(
                onward_m=recipe.needle.tube_step_m * (STRIDE if wide else 1),
                aside_m=max(-_ASIDE_M, min(_ASIDE_M, aside_m)),
            )
    return "no contact was seen; look at the needle"


class _Watch:
    """Pictures before and at the touch, and where the apex went of itself meanwhile."""

    def __init__(self, recipe: NeedleBiasingParameters, pictures: NeedlePictures, drive: NeedleDrive) -> None:
        self._side = recipe.needle.side
        self._pixel_m = recipe.looks.close_pixel_m
        self._deepest_m = recipe.needle.max_indentation_m
        self._pictures = pictures
        self._drive = drive
        self._first: FrameRef | None = None
        self._seen: list[_Apex] = []

    @property
    def strayed_m(self) -> float:
        """How far the apex lies aside of where it stood before the specimen in the first picture."""
        return self._seen[-1].place_m[1] if self._seen else 0.0

    def look(self) -> Block[Mapping[str, Any]]:
        """What COMPARE tells of one more picture."""
        frame = yield from self._pictures.close_look(self._pixel_m)
        self._first = self._first or frame
        told = yield from Compute(
            function=COMPARE, frames=(self._first, frame), arguments={"side": self._side}, duration_s=0.04
        )
        values, drive = told.values, self._drive
        if values["seen"]:
            way_m = float(values["needle_y_px"]) * self._pixel_m, float(values["needle_x_px"]) * self._pixel_m
            seen = _Apex(drive.now_s, (drive.onward(way_m), drive.across(way_m)), drive.tube_ways)
            self._seen = [*self._seen, seen][-_WATCHED:]
        return values

    def hold(self) -> Block[None]:
        """The tube stands still for a moment: what the apex goes then is drift and creep, which it makes up for."""
        for _ in range(_STILL):
            yield from Wait(duration_s=_STILL_S, reason="drift in contact")
            yield from self.look()
        at_rest = [one for one in self._seen if one.tube_m == self._drive.tube_ways]
        if len(at_rest) < 2:
            return
        onward = yield from self._drift(0, at_rest)
        aside = yield from self._drift(1, self._seen)
        self._drive.make_up_for(onward=onward, aside=aside, up=self._drive.drift_m_per_s[2])
        self._drive.most_made_up_m = self._deepest_m
        gone_m = at_rest[-1].place_m[0] - at_rest[0].place_m[0]
        yield from self._drive.move_tube(onward_m=-max(-_MOST_BACK_M, min(_MOST_BACK_M, gone_m)))

    def _drift(self, axis: int, seen: Sequence[_Apex]) -> Block[float]:
        arguments = {
            "time_s": [one.time_s for one in seen],
            "place_m": [one.place_m[axis] for one in seen],
            "tube_m": [one.tube_m[axis] for one in seen],
            "sigma_m": [_SEEN_SIGMA_PX * self._pixel_m] * len(seen),
        }
        found = (yield from Compute(function=DRIFTING, arguments=arguments, duration_s=0.01)).values
        rate = float(found["rate_m_per_s"]) / float(found["gain"])
        return max(-MOST_M_PER_S, min(MOST_M_PER_S, rate))


@dataclass(frozen=True, slots=True)
class _Apex:
    """Of a picture: where the apex went since the first one, and where the tube stood (onward, aside)."""

    time_s: float
    place_m: tuple[float, float]
    tube_m: tuple[float, float]
