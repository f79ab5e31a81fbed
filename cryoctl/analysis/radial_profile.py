"""Concentration against the distance from the wire's axis, the axis found from the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.elongation import core_centre
from cryoctl.errors import BadInput

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """Straight axis of the wire: (y, z) = centre + slope * x, in voxels; x counts from the array's centre."""

    y: float
    z: float
    y_slope: float
    z_slope: float
    residual_px: float
    segments: int


@dataclass(frozen=True)
class RadialProfile:
    """Mean value in rings around the axis; sigma is the standard error over blocks along the wire."""

    radius_m: tuple[float, ...]
    value: tuple[float, ...]
    value_sigma: tuple[float, ...]
    axis_y_m: float
    axis_y_m_sigma: float
    axis_z_m: float
    axis_z_m_sigma: float


def wire_axis(volume: npt.ArrayLike, segments: int = 8) -> Axis:
    """Axis of the brightest wire along x in `volume` [z, y, x]: a robust line through the segments' core centres."""
    values = np.nan_to_num(np.asarray(volume, dtype=np.float64))
    if values.ndim != 3 or float(np.ptp(values)) == 0:
        raise BadInput(f"radial profile: volume of shape {values.shape} has no content; give [z, y, x] with counts.")
    n = values.shape[2]
    pieces = np.array_split(np.arange(n), min(segments, n))
    x = np.array([float(piece.mean()) for piece in pieces]) - (n - 1) / 2
    centres = np.array([core_centre(values[:, :, piece[0] : piece[-1] + 1].mean(axis=2)) for piece in pieces])
    line_z, line_y = (_robust_line(x, centres[:, k]) for k in (0, 1))
    residual = np.hypot(centres[:, 0] - line_z[0] - line_z[1] * x, centres[:, 1] - line_y[0] - line_y[1] * x)
    return Axis(line_y[0], line_z[0], line_y[1], line_z[1], float(np.median(residual)), len(pieces))


def _robust_line(x: Float, values: Float) -> tuple[float, float]:
    weights = np.ones(len(x))
    middle, slope = float(np.median(values)), 0.0
    for _ in range(10):
        if len(x) > 2 and float(np.ptp(x)) > 0:
            slope, middle = (float(c) for c in np.polyfit(x, values, 1, w=np.sqrt(weights)))
        rest = np.abs(values - middle - slope * x)
        scale = max(1.4826 * float(np.median(rest)), 0.05)
        weights = 1 / (1 + (rest / (2 * scale)) ** 2)
    return middle, slope


def radius_map(shape: tuple[int, int, int], axis: Axis) -> Float:
    """Distance from the axis in voxels, [z, y, x]."""
    z, y, x = (np.arange(n, dtype=np.float64) for n in shape)
    x = x - (shape[2] - 1) / 2
    dz = z[:, None, None] - (axis.z + axis.z_slope * x)[None, None, :]
    dy = y[None, :, None] - (axis.y + axis.y_slope * x)[None, None, :]
    return np.sqrt(dz**2 + dy**2)


def radial_profile(
    volume: npt.ArrayLike,
    voxel_size_m: float,
    axis_from: npt.ArrayLike | None = None,
    bin_px: float = 1.0,
    blocks: int = 10,
) -> RadialProfile:
    """Mean of `volume` [z, y, x] in rings of `bin_px` voxels around the wire.

    The axis is found in `axis_from` (a volume of the same shape; by default the volume itself; take Si or the sum of
    all elements for a shell). Rings reach to the nearer face. Raises `BadInput` for shapes that differ.
    """
    values = np.asarray(volume, dtype=np.float64)
    guide = values if axis_from is None else np.asarray(axis_from, dtype=np.float64)
    if guide.shape != values.shape:
        raise BadInput(f"radial profile: axis_from has shape {guide.shape}, the volume {values.shape}; give one grid.")
    axis = wire_axis(guide)
    radius = radius_map((values.shape[0], values.shape[1], values.shape[2]), axis)
    reach = min(axis.y, values.shape[1] - 1 - axis.y, axis.z, values.shape[0] - 1 - axis.z)
    n_bins = max(int(reach / bin_px), 1)
    ring = np.minimum((radius / bin_px).astype(int), n_bins)
    parts = np.array_split(np.arange(values.shape[2]), min(blocks, values.shape[2]))
    means = np.full((len(parts), n_bins), np.nan)
    for i, part in enumerate(parts):
        piece = slice(part[0], part[-1] + 1)
        flat = ring[:, :, piece].ravel()
        counts = np.bincount(flat, minlength=n_bins + 1)[:n_bins]
        sums = np.bincount(flat, values[:, :, piece].ravel(), n_bins + 1)[:n_bins]
        means[i] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    counts = np.bincount(ring.ravel(), minlength=n_bins + 1)[:n_bins]
    radii = np.bincount(ring.ravel(), radius.ravel(), n_bins + 1)[:n_bins] / np.maximum(counts, 1)
    kept = counts > 0
    seen = np.isfinite(means[:, kept])
    number = seen.sum(axis=0)
    value = np.where(seen, means[:, kept], 0).sum(axis=0) / np.maximum(number, 1)
    spread = np.where(seen, (means[:, kept] - value) ** 2, 0).sum(axis=0)
    sigma = np.sqrt(spread / np.maximum(number - 1, 1) / np.maximum(number, 1))
    sigma = np.where(number > 1, sigma, np.nan)
    half = (np.array(values.shape) - 1) / 2
    axis_sigma_m = axis.residual_px / np.sqrt(axis.segments) * voxel_size_m
    return RadialProfile(
        radius_m=tuple((radii[kept] * voxel_size_m).tolist()),
        value=tuple(value.tolist()),
        value_sigma=tuple(sigma.tolist()),
        axis_y_m=(axis.y - float(half[1])) * voxel_size_m,
        axis_y_m_sigma=axis_sigma_m,
        axis_z_m=(axis.z - float(half[0])) * voxel_size_m,
        axis_z_m_sigma=axis_sigma_m,
    )
