"""A needle before a specimen as a picture shows it: apex and gap.

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

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Side = Literal["left", "right", "top", "bottom"]

CLEAR = 6.0
"""Standard deviations above vacuum that count as matter, after smoothing by a pixel."""
LEAST_PX = 12
"""Smaller spots are noise."""
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


def turned(picture: Float, side: Side) -> Float:
    return {
        "right": picture,
        "left": picture[:, ::-1],
        "bottom": picture.T,
        "top": picture.T[:, ::-1],
    }[side]


def turned_back(y: float, x: float, side: Side) -> tuple[float, float]:
    return {"right": (y, x), "left": (y, -x), "bottom": (x, y), "top": (-x, y)}[side]
