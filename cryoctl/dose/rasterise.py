"""Lays a rectangle of dose on a map; area-weighted, so that charge is conserved to rounding.

A pixel receives the dose times the part of it that the rectangle covers: exact without rotation; with rotation exact
along x and by `SUB_ROWS` lines a pixel along y, the remainder taken up by the partly covered pixels.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cryoctl.interfaces.truth import MapGrid

SUB_ROWS = 32
FINEST_SUB_ROWS = 256

FloatArray = npt.NDArray[np.float64]


def deposit(
    dose_map: FloatArray,
    grid: MapGrid,
    *,
    x_m: float,
    y_m: float,
    width_m: float,
    height_m: float,
    rotation_deg: float,
    dose_e_per_a2: float,
) -> None:
    """Add `dose_e_per_a2` times the covered fraction to each pixel of `dose_map` [y, x], in place.

    Args:
        dose_map: e-/A^2 on `grid`; what lies outside the grid is dropped.
        grid: pixel (0, 0) is centred at its origin.
        x_m, y_m: centre of the rectangle; `width_m` runs along its own x.
        rotation_deg: of the rectangle's x axis, from +x towards +y.
    """
    if width_m <= 0 or height_m <= 0 or dose_e_per_a2 == 0:
        return
    pixel = grid.pixel_size_m
    x, y = (x_m - grid.origin_x_m) / pixel + 0.5, (y_m - grid.origin_y_m) / pixel + 0.5
    width, height = width_m / pixel, height_m / pixel
    angle = math.radians(rotation_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    if abs(sin) < 1e-12:
        first_x, along_x = _covered(x - width / 2, x + width / 2)
        first_y, along_y = _covered(y - height / 2, y + height / 2)
        fraction = np.multiply.outer(along_y, along_x)
    else:
        first_y, first_x, fraction = _rotated(x, y, width, height, cos, sin)
    rows, columns = dose_map.shape
    top, left = max(0, first_y), max(0, first_x)
    bottom, right = min(rows, first_y + fraction.shape[0]), min(columns, first_x + fraction.shape[1])
    if top >= bottom or left >= right:
        return
    part = fraction[top - first_y : bottom - first_y, left - first_x : right - first_x]
    dose_map[top:bottom, left:right] += dose_e_per_a2 * part


def _covered(low: float, high: float) -> tuple[int, FloatArray]:
    """First pixel touched by the interval (pixel i spans i to i + 1), and the part of each that it covers."""
    first = math.floor(low)
    edges = np.arange(first, max(math.ceil(high), first + 1) + 1, dtype=np.float64)
    return first, np.diff(np.clip(edges, low, high))


def _rotated(x: float, y: float, width: float, height: float, cos: float, sin: float) -> tuple[int, int, FloatArray]:
    """First row and column of the bounding box in pixels, and the covered fraction of each of its pixels."""
    reach_x = (width * abs(cos) + height * abs(sin)) / 2
    reach_y = (width * abs(sin) + height * abs(cos)) / 2
    first_y, last_y = math.floor(y - reach_y), math.ceil(y + reach_y)
    first_x, last_x = math.floor(x - reach_x), math.ceil(x + reach_x)
    sub_rows = max(SUB_ROWS, min(FINEST_SUB_ROWS, math.ceil(4 / min(width, height))))  # a thin one is met everywhere
    lines = first_y + (np.arange((last_y - first_y) * sub_rows) + 0.5) / sub_rows - y
    left = np.full(lines.shape, -np.inf)
    right = np.full(lines.shape, np.inf)
    # The rectangle is |u cos + v sin| <= width/2 and |v cos - u sin| <= height/2 with (u, v) from its centre.
    for along_u, along_v, half in ((cos, sin, width / 2), (-sin, cos, height / 2)):
        if abs(along_u) < 1e-12:
            inside = np.abs(lines * along_v) <= half
            left, right = np.where(inside, left, np.inf), np.where(inside, right, -np.inf)
            continue
        one, other = (-half - lines * along_v) / along_u, (half - lines * along_v) / along_u
        left, right = np.maximum(left, np.minimum(one, other)), np.minimum(right, np.maximum(one, other))
    right = np.maximum(left, right)
    touched = right > left
    low, high = np.where(touched, left + x, 0.0)[:, None], np.where(touched, right + x, 0.0)[:, None]
    edges = np.arange(first_x, last_x + 1, dtype=np.float64)[None, :]
    covered = np.diff(np.clip(edges, low, high), axis=1)
    fraction = covered.reshape(last_y - first_y, sub_rows, -1).mean(axis=1)
    border = (fraction > 0) & (fraction < 1 - 1e-9)
    at_border = fraction[border].sum()
    if at_border > 0:
        fraction[border] *= (width * height - fraction[~border].sum()) / at_border
    return first_y, first_x, fraction
