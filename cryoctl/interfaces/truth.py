"""What a simulated world can tell afterwards; nothing that runs an experiment ever reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class MapGrid:
    """A grid in the specimen's frame: [y, x] pixels of `pixel_size_m`, the first pixel's centre at the origin."""

    shape: tuple[int, int]
    pixel_size_m: float
    origin_x_m: float
    origin_y_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeGrid:
    """A box in the specimen's frame around (x_m, y_m): shape [z, y, x], cubic voxels."""

    shape: tuple[int, int, int]
    voxel_size_m: float
    x_m: float
    y_m: float


@runtime_checkable
class TruthSource(Protocol):
    def check(self) -> None:
        """Look at what was asked of the world before anything starts or is written. Raises `BadInput`."""
        ...

    def truth(self, dose_grid: MapGrid, volume_grid: VolumeGrid | None) -> Mapping[str, Any]:
        """Paths below /simulation (contract.md) to arrays, numbers or texts."""
        ...
