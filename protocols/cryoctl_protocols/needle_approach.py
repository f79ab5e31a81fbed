"""The last micrometre: a needle is aimed at a particle by the tube, then brought on until pictures show contact."""

from __future__ import annotations

from cryoctl.steps import Compute, Conclude, FrameRef, NoteGap, NoteHold
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.needle_drive import NeedleDrive
from cryoctl_protocols.needle_pictures import NeedlePictures
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters

AIM = "analysis.contact:aim"
"""(picture, side) -> where the apex stands before the particle nearest to the picture's middle, in pixels."""
DECIDE = "analysis.contact:decide"
"""(pictures, pixel_size_m, side, deepest_m) -> whether the last ones show contact."""

_CLOSE_GAP_M = 150e-9
_AIMED_M = 10e-9
_AIMS = 40
_SHARE = 0.6
"""Of a way that is clear, which the tube takes at once."""
_LEAST_PICTURES = 5
_WINDOW = 9
"""Pictures that a decision on contact looks back on, beside the first."""
_WIDE_M = 25e-9
"""Gap above which the tube takes three steps at once."""


def aim(recipe: NeedleBiasingParameters, pictures: NeedlePictures, drive: NeedleDrive) -> Block[str]:
    """To a short gap before the particle's middle: aside first, on where nothing is in the way.

    Returns:
        What went wrong, empty where it is aimed.
    """
    looks = recipe.looks
    reach_m = max(pictures.gap_m, abs(drive.along(pictures.apex_m)))
    for _ in range(_AIMS):
        pixel_m = max(looks.close_pixel_m, 1.4 * reach_m / (looks.close_shape[1] / 2))
        frame = yield from pictures.close_look(pixel_m)
        seen = (yield from Compute(function=AIM, frames=(frame,), arguments={"side": recipe.needle.side})).values
        if not seen["found"]:
            return "needle and particle could not be told apart"
        gap_m, clear_m = float(seen["gap_px"]) * pixel_m, float(seen["clear_px"]) * pixel_m
        aside_m = float(seen["aside_px"]) * pixel_m
        reach_m = max(gap_m, abs(aside_m))
        pictures.centre(float(seen["target_x_px"]) * pixel_m, float(seen["target_y_px"]) * pixel_m)
        yield from NoteGap(gap_m=clear_m, sigma_m=pixel_m)
        if gap_m <= 0.0 or clear_m <= 0.0:
            return "the needle lies over the specimen, at another height"
        if abs(aside_m) < _AIMED_M and gap_m < _CLOSE_GAP_M:
            return ""
        if abs(aside_m) < max(_AIMED_M, pixel_m):
            onward_m = max(0.0, _SHARE * (min(gap_m, clear_m) - 0.7 * _CLOSE_GAP_M))
            yield from drive.move_tube(onward_m=onward_m)
        if abs(aside_m) >= _AIMED_M:
            most_m = _SHARE * clear_m
            yield from drive.move_tube(aside_m=-max(-most_m, min(most_m, aside_m)))
    return "the needle could not be aimed at the particle"


def touch(recipe: NeedleBiasingParameters, pictures: NeedlePictures, drive: NeedleDrive) -> Block[str]:
    """On by small steps with a picture after each; a picture that is suspected is taken again as it is.

    Returns:
        What went wrong, empty where contact is made; it is noted and concluded.
    """
    looks = recipe.looks
    arguments = {
        "pixel_size_m": looks.close_pixel_m,
        "side": recipe.needle.side,
        "deepest_m": recipe.needle.max_indentation_m,
    }
    frames: list[FrameRef] = []
    for _ in range(recipe.needle.looks):
        frames.append((yield from pictures.close_look(looks.close_pixel_m)))
        if len(frames) < _LEAST_PICTURES:
            continue
        chosen = (frames[0], *frames[1:][-_WINDOW:])
        told = (yield from Compute(function=DECIDE, frames=chosen, arguments=arguments)).values
        if not told["seen"]:
            return str(told["message"])
        if told["found"]:
            at = yield from NoteHold(hold="contact")
            yield from Conclude(
                name="contact",
                values={
                    "found": 1,
                    "time_s": at.time_s,
                    "contrast_change": float(told["contrast_change"]),
                    "contrast_change_sigma": float(told["contrast_sigma"]),
                    "pushed_m": float(told["pushed_m"]),
                    "pushed_m_sigma": float(told["pushed_sigma_m"]),
                    "fine_m": [float(one) for one in drive.tube],
                    "dose_e_per_a2": pictures.dose_e_per_a2,
                },
            )
            return ""
        if not told["suspected"]:
            wide = float(told["gap_m"]) > _WIDE_M
            yield from drive.move_tube(onward_m=recipe.needle.tube_step_m * (3 if wide else 1))
    return "no contact was seen; look at the needle"
