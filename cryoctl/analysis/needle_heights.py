"""How high a needle and a specimen lie, from what their pictures at two tilts show of their way across the tilt axis.

Pictures are [y, x], turned so that the needle comes from the right; places are in pixels, y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cryoctl.analysis.needle_view import Parted, Side, apex_of, parted, turned_back
from cryoctl.analysis.outline_movement import Known, Movement, Pair, moved_outlines, not_found

Float = npt.NDArray[np.float64]

LEAST_SIGMA_PX = 0.1
"""Of a displacement between two tilts: outlines that are coarser than a pixel are seen with its steps."""
_SHANK_PX = 60
"""So much of a needle, at most, tells where its apex went."""
_BEHIND_PX = 6
"""The rounded end itself is left out."""
_ALIKE = 4.0
"""So many columns that follow each other err alike: an outline is a staircase of pixels."""
_LEAST_SHANK_PX = 12
_SLOPE = 0.05
"""So steeply, one sigma, a needle rises or falls along its axis."""
_FAINT_PX = 3.0
"""So far behind its apex a needle may begin to be seen, one time here and one time there."""
_BESIDE_PX = 5
"""So far about a needle its light and its blur reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heights:
    """Above the tilt axis (m): of the specimen, and of the needle's apex above the specimen."""

    found: bool
    specimen_z_m: float
    specimen_sigma_m: float
    needle_above_m: float
    needle_sigma_m: float


def heights(
    *pictures: npt.ArrayLike, pixel_size_m: float, tilt_deg: float, side: Side = "right", drift_m: float = 0.0
) -> Heights:
    """From pictures at -tilt and +tilt, rows across the tilt axis: what is at height z moves by 2 z sin(tilt).

    A third one, again at -tilt and as long after the second as that is after the first, takes out what drifts evenly.
    Equal tilts to either side foreshorten a plane specimen alike, so that its outlines keep their slopes. Where they
    tell nothing of the movement, the sigma is as large as what was searched.

    Args:
        drift_m: between two pictures, one sigma: of needle and specimen, each by itself.

    Raises:
        ValueError: neither two nor three pictures, or the tilt is 0 or not below 90 degrees.
    """
    if len(pictures) not in (2, 3):
        raise ValueError(f"{len(pictures)} pictures; two are needed, at -tilt and +tilt, or three")
    if not 0.0 < tilt_deg < 90.0:
        raise ValueError(f"tilt_deg is {tilt_deg}, it must be above 0 and below 90")
    lever_m = pixel_size_m / (2 * math.sin(math.radians(tilt_deg)))
    found = [parted(picture, side) for picture in pictures]
    parts = [one for one in found if one is not None and not one.overlap]
    if len(parts) < len(pictures):
        return _no_heights()
    middle, outer = parts[1], [parts[k] for k in range(len(parts)) if k != 1]
    needle = [_apex_way(one, middle, tilt_deg) for one in outer]
    grid = [
        _specimen_way(one, middle, way, drift_m / pixel_size_m, side) for one, way in zip(outer, needle, strict=True)
    ]
    if not all(one.found for one in (*needle, *grid)):
        return _no_heights()
    needle_ways, grid_ways = ([_down(one, side) for one in ways] for ways in (needle, grid))
    needle_px, grid_px = (sum(way for way, _ in ways) / len(ways) for ways in (needle_ways, grid_ways))
    needle_sigma = math.hypot(*(sigma for _, sigma in needle_ways)) / len(needle)
    # An outline that is blind misleads each pair of pictures alike.
    uneven_px = drift_m / pixel_size_m if len(pictures) == 2 else 0.0
    grid_sigma = math.hypot(max(sigma for _, sigma in grid_ways), uneven_px)
    return Heights(
        found=True,
        specimen_z_m=grid_px * lever_m,
        specimen_sigma_m=math.hypot(grid_sigma, LEAST_SIGMA_PX) * lever_m,
        needle_above_m=(needle_px - grid_px) * lever_m,
        needle_sigma_m=math.hypot(grid_sigma, needle_sigma, LEAST_SIGMA_PX) * lever_m,
    )


def _apex_way(first: Parted, second: Parted, tilt_deg: float) -> Movement:
    """How far the apex went in the turned pictures; not found where too little of it is seen.

    Across the needle: a line through what the shank's middle did at each distance behind the apex, since it may rise or
    fall there. Along it: by the flanks, since the apex itself may be too thin to be seen from afar.
    """
    aside = _aside(first, second, tilt_deg)
    if aside is None:
        return not_found()
    onward = apex_of(second)[1] - apex_of(first)[1]
    known = ((aside[0], 1.0), (onward, _FAINT_PX))
    flanks = _of_body(first, second, "needle", known, (3.0, 3 * _FAINT_PX))
    return Movement(
        found=True,
        down_px=aside[0],
        down_sigma_px=aside[1],
        right_px=flanks.right_px if flanks.found else onward,
        right_sigma_px=flanks.right_sigma_px if flanks.found else _FAINT_PX,
    )


def _aside(first: Parted, second: Parted, tilt_deg: float) -> tuple[float, float] | None:
    """Across the needle, with its sigma."""
    middles = [_middles(one) for one in (first, second)]
    count = min(len(one) for one in middles)
    if count < _LEAST_SHANK_PX:
        return None
    behind = np.arange(count) + _BEHIND_PX
    way = middles[1][:count] - middles[0][:count]
    left = way - np.polyval(np.polyfit(behind, way, 1), behind)
    noise = math.sqrt(_ALIKE) * float(np.std(left)) + 1e-6
    slopes = 2 * math.sin(math.radians(tilt_deg)) * _SLOPE
    design = np.vstack([np.column_stack([np.ones(count), behind]) / noise, [0.0, 1 / slopes]])
    covariance = np.linalg.inv(design.T @ design)
    at_apex, _ = covariance @ design.T @ np.append(way / noise, 0.0)
    return float(at_apex), math.sqrt(float(covariance[0, 0]))


def _middles(parts: Parted) -> Float:
    """Rows of the needle's middle in the columns behind its apex."""
    _, column = apex_of(parts)
    start = math.floor(column) + _BEHIND_PX
    near = np.asarray(ndimage.binary_dilation(parts.needle, iterations=2), dtype=bool)
    weight = np.where(near, np.maximum(parts.picture - parts.vacuum, 0.0), 0.0)[:, start : start + _SHANK_PX]
    rows = np.arange(weight.shape[0])[:, None]
    return np.asarray((weight * rows).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-12), dtype=np.float64)


def _specimen_way(first: Parted, second: Parted, needle: Movement, drift_px: float, side: Side) -> Movement:
    """In the turned pictures. How far both went along the tilt axis the needle tells, which rides with the specimen."""
    if not needle.found:
        return needle
    across = side in ("left", "right")
    furthest = first.picture.shape[0 if across else 1] / 3
    free, sigmas = (0.0, furthest), (needle.right_sigma_px, needle.down_sigma_px)
    sigma = math.hypot(sigmas[0 if across else 1], drift_px)
    if across:
        return _of_body(first, second, "specimen", (free, (needle.right_px, sigma)), (furthest, 3 * sigma))
    return _of_body(first, second, "specimen", ((needle.down_px, sigma), free), (3 * sigma, furthest))


def _of_body(
    first: Parted, second: Parted, body: Literal["needle", "specimen"], known: Known, furthest_px: Pair
) -> Movement:
    """Of needle or specimen: the other one is left out, and so far as its light and blur reach."""
    both = (first, second)
    own = [one.needle if body == "needle" else one.specimen for one in both]
    others = [one.specimen if body == "needle" else one.needle for one in both]
    if not all(one.any() for one in own):
        return not_found()
    clear = [~np.asarray(ndimage.binary_dilation(one, iterations=_BESIDE_PX), dtype=bool) for one in others]
    lines = np.flatnonzero(own[0].any(axis=0) | own[1].any(axis=0))
    box = slice(max(0, int(lines[0]) - 2 * _BESIDE_PX), int(lines[-1]) + 2 * _BESIDE_PX)
    return moved_outlines(
        first.picture[:, box],
        second.picture[:, box],
        clear=(clear[0][:, box], clear[1][:, box]),
        known=known,
        furthest_px=furthest_px,
    )


def _down(way: Movement, side: Side) -> Pair:
    """Of a movement in the turned picture what lies across the tilt axis, and its sigma."""
    down_px, _ = turned_back(way.down_px, way.right_px, side)
    return down_px, way.down_sigma_px if side in ("left", "right") else way.right_sigma_px


def _no_heights() -> Heights:
    return Heights(
        found=False, specimen_z_m=math.nan, specimen_sigma_m=math.nan, needle_above_m=math.nan, needle_sigma_m=math.nan
    )
