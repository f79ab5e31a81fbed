"""Thickness of spheres and cones along the beam, averaged over each pixel, so that an edge lies between pixels.

A chord is averaged over a pixel's width in the direction in which it falls off (its antiderivative is known), and a
sphere keeps its volume. Spheres smaller than a pixel or so become a Gaussian of the same volume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_SMALL_PX = 1.5
_SUBDIVISION = 8
_PIXEL_VARIANCE = 0.36
"""Of a Gaussian that keeps its sum on pixels wherever it lies, to 2 in 1000."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of a picture around a place: offsets (rows [y, 1], columns [1, x]) of its pixels from there."""

    rows: slice
    columns: slice
    dy_px: FloatArray
    dx_px: FloatArray

    def far_px(self) -> FloatArray:
        """Distance of each pixel [y, x] from the place."""
        return np.hypot(self.dy_px, self.dx_px)


def window(shape: tuple[int, int], place_px: tuple[float, float], reach_px: float) -> Window | None:
    """Pixels within `reach_px` of a place (row, column); None where the picture does not show it."""
    (height, width), (row, column) = shape, place_px
    top, bottom = max(math.floor(row - reach_px), 0), min(math.ceil(row + reach_px) + 1, height)
    left, right = max(math.floor(column - reach_px), 0), min(math.ceil(column + reach_px) + 1, width)
    if top >= bottom or left >= right:
        return None
    dy = (np.arange(top, bottom) - row)[:, None]
    dx = (np.arange(left, right) - column)[None, :]
    return Window(slice(top, bottom), slice(left, right), dy, dx)


def mean_chord(distance: FloatArray, radius: FloatArray | float, width: float) -> FloatArray:
    """Length of the way through a circle at a distance from its middle, averaged over `width` around it.

    All in one unit; for a sphere, a cylinder or a slender cone it is the thickness along the beam.
    """
    r = np.asarray(radius, dtype=np.float64)
    low = np.clip(distance - width / 2, -r, r)
    high = np.clip(distance + width / 2, -r, r)
    return np.maximum(_half_area(high, r) - _half_area(low, r), 0.0) * (2 / width)


def _half_area(x: FloatArray, r: FloatArray) -> FloatArray:
    """Antiderivative of sqrt(r^2 - x^2)."""
    safe = np.maximum(r, 1e-30)
    return 0.5 * (x * np.sqrt(np.maximum(r * r - x * x, 0.0)) + r * r * np.arcsin(np.clip(x / safe, -1.0, 1.0)))


def sphere(far_px: FloatArray, radius_px: float) -> FloatArray:
    """Thickness (pixels) of a sphere at distances [y, x] from its middle."""
    if radius_px < _SMALL_PX:
        spread = radius_px**2 / 5 + _PIXEL_VARIANCE
        volume = 4 / 3 * math.pi * radius_px**3
        return volume / (2 * math.pi * spread) * np.exp(-(far_px**2) / (2 * spread))
    radii = np.arange(0.0, radius_px + 2.0, 1 / _SUBDIVISION)
    profile = mean_chord(radii, radius_px, 1.0)
    profile *= 4 / 3 * math.pi * radius_px**3 / (2 * math.pi * float(np.sum(radii * profile) / _SUBDIVISION))
    return np.interp(far_px, radii, profile, right=0.0)


def reach_px(radius_px: float) -> float:
    """How far from its middle a sphere's thickness has to be looked at."""
    return radius_px + 2.0 if radius_px >= _SMALL_PX else 5.0 * math.sqrt(radius_px**2 / 5 + _PIXEL_VARIANCE) + 1.0


def cone_radius(along: FloatArray, apex: float, half_angle_rad: float, widest: float) -> FloatArray:
    """Radius of a cone with a rounded apex at distances along its axis from the foremost point; 0 before it.

    The rounding is a sphere of radius `apex` that the cone touches; further back than `widest` it is a shaft.
    """
    sin, cos = math.sin(half_angle_rad), math.cos(half_angle_rad)
    touching = apex * (1 - sin)
    round_part = np.sqrt(np.maximum(apex**2 - (apex - along) ** 2, 0.0))
    straight = apex * cos + (along - touching) * (sin / cos)
    return np.where(along <= 0, 0.0, np.minimum(np.where(along < touching, round_part, straight), widest))


def overlap_of_circles(far: float, r1: float, r2: float) -> float:
    """Area common to two circles whose middles lie `far` apart."""
    if far >= r1 + r2:
        return 0.0
    if far <= abs(r1 - r2):
        return math.pi * min(r1, r2) ** 2
    a = math.acos(max(-1.0, min(1.0, (far**2 + r1**2 - r2**2) / (2 * far * r1))))
    b = math.acos(max(-1.0, min(1.0, (far**2 + r2**2 - r1**2) / (2 * far * r2))))
    return r1**2 * (a - math.sin(2 * a) / 2) + r2**2 * (b - math.sin(2 * b) / 2)
