"""A window of the specimen's volume on somebody else's grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cryoctl.interfaces.truth import VolumeGrid
from cryoctl_simulators.world.pieces import Stretch


def on_grid(stretch: Stretch, element: str, grid: VolumeGrid) -> npt.NDArray[np.float32]:
    """Atoms per m3 [z, y, x] of an element averaged over the voxels of a grid; zero outside the specimen."""
    composition = stretch.composition
    volume = composition.of(element)
    centres = (-stretch.z_m, grid.y_m - stretch.y_m, grid.x_m - stretch.x_m)
    if abs(grid.voxel_size_m / composition.voxel_size_m - 1) < 1e-9:
        aligned = _aligned(volume, [c / grid.voxel_size_m for c in centres], grid.shape)
        if aligned is not None:
            return aligned
    for axis, centre_m in enumerate(centres):
        weights = _weights(volume.shape[axis], composition.voxel_size_m, grid.shape[axis], grid.voxel_size_m, centre_m)
        used = np.flatnonzero(weights.any(axis=0))
        if not used.size:
            return np.zeros(grid.shape, dtype=np.float32)
        inside = slice(used[0], used[-1] + 1)
        moved = np.moveaxis(volume, axis, 0)[inside]
        volume = np.moveaxis(np.tensordot(weights[:, inside], moved, axes=1), 0, axis)
    return np.ascontiguousarray(volume, dtype=np.float32)


def _aligned(
    volume: npt.NDArray[np.float32], centres: list[float], shape: tuple[int, int, int]
) -> npt.NDArray[np.float32] | None:
    """The same voxels on another window, None where the two grids do not coincide."""
    firsts = [n / 2 + centre - m / 2 for n, centre, m in zip(volume.shape, centres, shape, strict=True)]
    if any(abs(first - round(first)) > 1e-4 for first in firsts):
        return None
    moved = np.zeros(shape, dtype=np.float32)
    source: list[slice] = []
    target: list[slice] = []
    for first, n, m in zip(map(round, firsts), volume.shape, shape, strict=True):
        low, high = max(first, 0), min(first + m, n)
        source.append(slice(low, max(high, low)))
        target.append(slice(low - first, max(high, low) - first))
    moved[tuple(target)] = volume[tuple(source)]
    return moved


def _weights(n: int, voxel_m: float, m: int, target_m: float, centre_m: float) -> npt.NDArray[np.float32]:
    """[target, source] share of each target voxel that a source voxel fills."""
    edges = (np.arange(n + 1) - n / 2) * voxel_m
    lows = centre_m + (np.arange(m) - m / 2) * target_m
    lengths = np.minimum(lows[:, None] + target_m, edges[None, 1:]) - np.maximum(lows[:, None], edges[None, :-1])
    shares = np.clip(lengths, 0.0, None) / target_m
    shares[shares < 1e-6] = 0.0
    return shares.astype(np.float32)
