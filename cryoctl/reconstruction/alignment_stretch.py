"""The tilt axis from how neighbouring images are deformed into each other.

Between two tilts every point moves across the axis and none moves along it: a point (x, y, z) is seen at
u = y cos a + z sin a, so the content is stretched across the axis, and sheared where the specimen is inclined, but
whatever the specimen's heights are the displacements, less their mean, all point across the axis. A dense optical flow
(iterative Lucas-Kanade, Le Besnerais and Champagnat, ICIP 2005) between neighbours, fitted by an affine map, gives
them; the axis is the direction m that minimises sum |m^T D|^2 over the pairs' deformations D. No reconstruction and no
assumption on what the image's grey values mean is needed, only that neighbouring tilts look alike.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.registration import optical_flow_ilk

from cryoctl.reconstruction.alignment import Array, Stack, displacement

MOST_STEP_DEG = 10.0
"""Neighbours further apart look too different for a flow."""
_LARGEST_REACH_PX = 10
_WARPS = 10
_FITS = 8
_EXPLAINED = 0.9


def axis_from_stretch(images: Stack, angles: Array) -> tuple[float, float]:
    """Axis angle from +x towards +y, -90 to 90 degrees, and its one-sigma uncertainty (jackknife over the pairs).

    The uncertainty is infinite where too few neighbours are near enough, or where the deformations do not point in one
    direction.
    """
    order = np.argsort(angles, kind="stable")
    pairs = [(int(a), int(b)) for a, b in pairwise(order) if 0.1 < abs(float(angles[b] - angles[a])) <= MOST_STEP_DEG]
    if len(pairs) < 4:
        return 0.0, float("inf")
    smooth = [np.asarray(ndimage.gaussian_filter(_levelled(image), 1.0), np.float32) for image in images]
    found = [_deformation(smooth[a], smooth[b], np.rint(displacement(smooth[a], smooth[b]))) for a, b in pairs]
    products = np.stack([deformation @ deformation.T for deformation in found])
    axis = _direction(products.sum(axis=0))
    values = np.linalg.eigvalsh(products.sum(axis=0))
    if not values[1] > 0 or values[1] < _EXPLAINED * float(values.sum()):
        return axis, float("inf")
    left_out = [_direction(products.sum(axis=0) - product) for product in products]
    spread = np.array([(one - axis + 90.0) % 180.0 - 90.0 for one in left_out])
    n = len(pairs)
    return axis, float(np.sqrt((n - 1) / n * np.square(spread - spread.mean()).sum()))


def _levelled(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Grey values from 0 to 1, the brightest and darkest hundredth cut."""
    low, high = np.percentile(image, (1, 99))
    return np.clip((image - low) / max(float(high - low), 1e-12), 0, 1).astype(np.float32)


def _direction(product: Array) -> float:
    """Angle of the direction along which nothing moves: the lesser eigenvector (rows are y, x)."""
    _, vectors = np.linalg.eigh(product)
    y, x = vectors[:, 0]
    return float((np.rad2deg(np.arctan2(y, x)) + 90.0) % 180.0 - 90.0)


def _deformation(first: Stack, second: Stack, shift_px: Array) -> Array:
    """D (2, 2) of displacement (dy, dx) = shift + D (y, x) from the first image to the second.

    Fitted where there is something to follow, the worst three tenths left out again and again.
    """
    dy, dx = (int(one) for one in shift_px)
    brought = np.roll(second, (-dy, -dx), axis=(0, 1))
    rows, columns = first.shape
    reach = min(_LARGEST_REACH_PX, max(4, min(rows, columns) // 14))
    margin = reach + 2
    top, bottom = margin + max(0, -dy), rows - margin - max(0, dy)
    left, right = margin + max(0, -dx), columns - margin - max(0, dx)
    if bottom - top < 4 * reach or right - left < 4 * reach:
        return np.zeros((2, 2))
    flow = np.asarray(optical_flow_ilk(first, brought, radius=reach, num_warp=_WARPS, dtype=np.float32))
    inside = np.s_[top:bottom, left:right]
    slope_y, slope_x = (np.asarray(one, dtype=np.float64) for one in np.gradient(first))
    gradient = np.hypot(slope_y, slope_x)[inside].ravel()
    grid_y, grid_x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    y, x = grid_y[inside].ravel(), grid_x[inside].ravel()
    kept = np.asarray(gradient > np.percentile(gradient, 60), dtype=bool)
    place = np.stack([np.ones(int(kept.sum())), y[kept] - (rows - 1) / 2, x[kept] - (columns - 1) / 2], axis=1)
    moved = np.stack([flow[0][inside].ravel()[kept], flow[1][inside].ravel()[kept]], axis=1)
    good = np.ones(len(moved), dtype=bool)
    fit = np.zeros((3, 2))
    for _ in range(_FITS):
        fit = np.asarray(np.linalg.lstsq(place[good], moved[good], rcond=None)[0], dtype=np.float64)
        rest = moved - place @ fit
        off = np.hypot(rest[:, 0], rest[:, 1])
        good = off <= max(0.5, float(np.percentile(off, 70)))
    return np.asarray(fit[1:].T, dtype=np.float64)
