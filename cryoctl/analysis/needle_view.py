"""A needle before a specimen as a picture shows it: apex, gap, and the height of both from two tilts.

What is brighter than vacuum belongs to the needle where it hangs together with the border that the needle comes from,
else to the specimen. Pictures are [y, x]; places are in pixels from the picture's middle, y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from cryoctl.analysis.outline_movement import Known, Movement, Pair, moved_outlines, not_found

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Side = Literal["left", "right", "top", "bottom"]

CLEAR = 6.0
"""Standard deviations above vacuum that count as matter, after smoothing by a pixel."""
LEAST_PX = 12
"""Smaller spots are noise."""
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
_TIP_PX = 6
"""How far from the foremost point the outline still tells where the apex is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleView:
    """`gap_px` is the shortest way from needle to specimen in the picture, 0 where they overlap in it: the true gap is
    no less, whatever their heights. Its sigma is that of the two outlines. `found` is false where no needle comes from
    that side, `specimen_found` where nothing else is seen: then the gap is at least that to the border."""

    found: bool
    specimen_found: bool
    apex_y_px: float
    apex_x_px: float
    gap_px: float
    gap_sigma_px: float
    overlap: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Heights:
    """Above the tilt axis (m): of the specimen, and of the needle's apex above the specimen."""

    found: bool
    specimen_z_m: float
    specimen_sigma_m: float
    needle_above_m: float
    needle_sigma_m: float


@dataclass(frozen=True, slots=True, eq=False)
class Parted:
    """The picture turned so that the needle comes from the right, and which of its pixels show needle and specimen."""

    picture: Float
    needle: Bool
    specimen: Bool
    vacuum: float
    overlap: bool


def needle_view(picture: npt.ArrayLike, side: Side = "right") -> NeedleView:
    """Apex of a needle that comes from a side of the picture, and its gap."""
    parts = parted(picture, side)
    if parts is None:
        return NeedleView(
            found=False,
            specimen_found=False,
            apex_y_px=math.nan,
            apex_x_px=math.nan,
            gap_px=math.nan,
            gap_sigma_px=math.nan,
            overlap=False,
        )
    row, column = apex_of(parts)
    rows, columns = parts.picture.shape
    y_px, x_px = turned_back(row - (rows - 1) / 2, column - (columns - 1) / 2, side)
    seen = bool(parts.specimen.any())
    if parts.overlap:
        gap = 0.0
    elif seen:
        distance = np.asarray(ndimage.distance_transform_edt(~parts.specimen), dtype=np.float64)
        gap = max(0.0, float(distance[parts.needle].min()) - 1.0)
    else:
        gap = column
    return NeedleView(
        found=True,
        specimen_found=seen,
        apex_y_px=y_px,
        apex_x_px=x_px,
        gap_px=gap,
        gap_sigma_px=0.5,
        overlap=parts.overlap,
    )


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


def parted(picture: npt.ArrayLike, side: Side) -> Parted | None:
    """None where nothing comes from that side."""
    values = turned(np.asarray(picture, dtype=np.float64), side)
    smooth = np.asarray(ndimage.gaussian_filter(values, 1.0), dtype=np.float64)
    vacuum, noise = darkest(smooth)
    matter = np.asarray(smooth > vacuum + CLEAR * noise)
    found = bodies(matter)
    needle = from_the_right(found, smooth)
    overlap = needle is None
    if (
        needle is None and matter[:, -1].any()
    ):  # it hangs together with the specimen, but tungsten is by far the brighter
        bright = matter & (smooth - vacuum > np.exp(threshold_otsu(np.log(smooth[matter] - vacuum))))
        needle = from_the_right(bodies(np.asarray(bright)), smooth)
    if needle is None:
        return None
    specimen = (found > 0) & ~needle
    return Parted(picture=values, needle=needle, specimen=specimen, vacuum=vacuum, overlap=overlap)


def apex_of(parts: Parted) -> tuple[float, float]:
    """(row, column) of the foremost point, by a parabola through the outline around it."""
    columns = np.where(parts.needle.any(axis=1), parts.needle.argmax(axis=1), parts.needle.shape[1])
    foremost = int(columns.min())
    row = float(np.flatnonzero(columns == foremost).mean())
    near = [r for r in range(len(columns)) if abs(r - row) <= _TIP_PX and columns[r] < parts.needle.shape[1]]
    edge = [_edge(parts, r, int(columns[r])) for r in near]
    if len(near) < 5:
        return row, float(foremost)
    curve, slope, height = np.polyfit(np.array(near) - row, np.array(edge), 2)
    if not curve > 0.0 or not abs(slope / (2 * curve)) <= _TIP_PX:
        return row, float(min(edge))
    return row - slope / (2 * curve), height - slope**2 / (4 * curve)


def _edge(parts: Parted, row: int, column: int) -> float:
    """Where the row's brightness passes half of what it is a few pixels further in."""
    line = parts.picture[row]
    inside = float(line[column + 1 : column + 5].mean()) if column + 5 < len(line) else float(line[-1])
    half = (inside + parts.vacuum) / 2
    for x in range(max(1, column - 2), min(len(line), column + 4)):
        if line[x - 1] < half <= line[x]:
            return x - 1 + float((half - line[x - 1]) / (line[x] - line[x - 1]))
    return float(column)


def darkest(smooth: Float) -> tuple[float, float]:
    """Level and noise of vacuum: the lowest values, cut again and again at three deviations above."""
    values = np.sort(smooth, axis=None)[: max(16, smooth.size // 5)]
    level, noise = float(np.median(values)), 0.0
    for _ in range(12):
        below = level - smooth[smooth < level]
        noise = 1.4826 * float(np.median(below)) if below.size else 0.0
        inside = smooth[np.abs(smooth - level) <= 3 * max(noise, 1e-12)]
        fresh = float(inside.mean()) if inside.size else level
        if abs(fresh - level) <= 1e-3 * max(noise, 1e-12):
            break
        level = fresh
    return level, max(noise, 1e-12)


def bodies(mask: Bool) -> npt.NDArray[np.int32]:
    labels = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=labels)
    sizes = np.bincount(labels.ravel())
    labels[sizes[labels] < LEAST_PX] = 0
    return labels


def from_the_right(found: npt.NDArray[np.int32], smooth: Float) -> Bool | None:
    """The brightest body that reaches the right border and not the left one."""
    at_border = np.setdiff1d(found[:, -1], [0, *found[:, 0]])
    if not at_border.size:
        return None
    brightest = max(at_border, key=lambda label: float(smooth[found == label].mean()))
    return np.asarray(found == brightest)


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


def turned(picture: Float, side: Side) -> Float:
    return {
        "right": picture,
        "left": picture[:, ::-1],
        "bottom": picture.T,
        "top": picture.T[:, ::-1],
    }[side]


def turned_back(y: float, x: float, side: Side) -> tuple[float, float]:
    return {"right": (y, x), "left": (y, -x), "bottom": (x, y), "top": (-x, y)}[side]


def _no_heights() -> Heights:
    return Heights(
        found=False, specimen_z_m=math.nan, specimen_sigma_m=math.nan, needle_above_m=math.nan, needle_sigma_m=math.nan
    )
