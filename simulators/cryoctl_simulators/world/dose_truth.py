"""What the specimen truly received: fine maps a kind, laid down from true currents, times and places.

Own code on purpose: it shares nothing with the ledger that is checked against it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.constants import elementary_charge
from scipy.ndimage import gaussian_filter

from cryoctl.interfaces.truth import MapGrid

KINDS = ("search", "view", "focus", "track", "wobble", "shower", "record", "spectrum")
Patch = tuple[slice, slice, npt.NDArray[np.float64]]
"""Rows, columns of the map, and the dose that an act added there (e-/A^2)."""


class DoseTruth:
    """Maps [kind, y, x] in e-/A^2 on a fixed grid with pixel centres at whole multiples of the pixel size.

    Args:
        maps: storage, of the world file.
        pixel_size_m: of the grid; index (ny/2, nx/2) is the specimen's origin.
        tail_m, tail_fraction: range (1/e^2 of a Gaussian, cut at twice that) and share of the probe's tails.
    """

    def __init__(
        self, maps: npt.NDArray[np.float32], pixel_size_m: float, tail_m: float = 15e-9, tail_fraction: float = 0.02
    ) -> None:
        self.maps = maps
        self.pixel_size_m = pixel_size_m
        _, rows, columns = maps.shape
        self.grid = MapGrid(
            shape=(rows, columns),
            pixel_size_m=pixel_size_m,
            origin_x_m=-(columns // 2) * pixel_size_m,
            origin_y_m=-(rows // 2) * pixel_size_m,
        )
        self._tail_px = tail_m / pixel_size_m
        self._tail_fraction = tail_fraction

    def lay(
        self, kind: str, corners_m: npt.NDArray[np.float64], charge_c: float, normal_area_m2: float
    ) -> Patch | None:
        """`patch` and `add`; what was added."""
        patch = self.patch(corners_m, charge_c, normal_area_m2)
        if patch is not None:
            self.add(kind, patch)
        return patch

    def add(self, kind: str, patch: Patch) -> None:
        rows, columns, added = patch
        self.maps[KINDS.index(kind), rows, columns] += added.astype(np.float32)

    def patch(self, corners_m: npt.NDArray[np.float64], charge_c: float, normal_area_m2: float) -> Patch | None:
        """A charge spread evenly over a convex quadrilateral of the specimen plane.

        Args:
            corners_m: [4, 2] (x, y) on the specimen plane, in order around.
            charge_c: that reached the specimen.
            normal_area_m2: beam-normal area over which it was spread; the fluence is charge/(e area).

        Returns:
            What it adds, None where it lies outside the map altogether.
        """
        if charge_c <= 0 or normal_area_m2 <= 0:
            return None
        fluence = charge_c / (elementary_charge * normal_area_m2 * 1e20)
        origin = np.array([self.grid.origin_x_m, self.grid.origin_y_m])
        corners_px = (np.asarray(corners_m, dtype=np.float64) - origin) / self.pixel_size_m + 0.5
        margin = int(np.ceil(2 * self._tail_px)) + 1
        covered = coverage(corners_px, margin, self.grid.shape)
        if covered is None:
            return None
        rows, columns, share = covered
        if self._tail_fraction > 0 and self._tail_px > 0:
            blurred = gaussian_filter(share, self._tail_px / 2, mode="constant", truncate=4.0)
            share = (1 - self._tail_fraction) * share + self._tail_fraction * blurred
        return rows, columns, fluence * share

    def total(self) -> npt.NDArray[np.float64]:
        """[y, x], all kinds."""
        return np.asarray(self.maps.sum(axis=0, dtype=np.float64))

    def on(self, grid: MapGrid) -> tuple[npt.NDArray[np.float64], Mapping[str, npt.NDArray[np.float64]]]:
        """Total and by kind (those that got any) on another grid, by area averaging; zero outside this map."""
        by_kind = {
            kind: resample(np.asarray(self.maps[index], dtype=np.float64), self.grid, grid)
            for index, kind in enumerate(KINDS)
            if self.maps[index].any()
        }
        total = np.zeros(grid.shape)
        for one in by_kind.values():
            total = total + one
        return total, by_kind


def coverage(
    corners_px: npt.NDArray[np.float64], margin: int, shape: tuple[int, int]
) -> tuple[slice, slice, npt.NDArray[np.float64]] | None:
    """Share of each pixel that a convex quadrilateral covers, around it and `margin` pixels more.

    Pixel i spans i to i+1. Rows are cut into strips at the corners and so finely that an edge moves little within
    one; across a strip the covered length is exact at its middle, hence the area is to second order.
    """
    low = np.floor(corners_px.min(axis=0)).astype(int) - margin
    high = np.ceil(corners_px.max(axis=0)).astype(int) + margin
    x0, x1 = max(int(low[0]), 0), min(int(high[0]), shape[1])
    y0, y1 = max(int(low[1]), 0), min(int(high[1]), shape[0])
    if x0 >= x1 or y0 >= y1:
        return None
    edges = np.roll(corners_px, -1, axis=0) - corners_px
    steep = np.abs(edges[:, 1]) > 1e-12
    slope = np.abs(edges[steep, 0] / edges[steep, 1])
    # Of near-vertical edges one strip a pixel does; horizontal ones end in a corner and need none.
    parts = 1 if not steep.any() or (float(slope.min()) < 0.02 and _near_aligned(edges)) else 8
    cuts = np.union1d(np.linspace(y0, y1, (y1 - y0) * parts + 1), np.clip(corners_px[:, 1], y0, y1))
    middle, thick = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    left, right = np.full(middle.size, np.inf), np.full(middle.size, -np.inf)
    for corner, edge in zip(corners_px[steep], edges[steep], strict=True):
        along = (middle - corner[1]) / edge[1]
        inside = (along >= 0) & (along <= 1)
        crossing = corner[0] + along * edge[0]
        left = np.where(inside, np.minimum(left, crossing), left)
        right = np.where(inside, np.maximum(right, crossing), right)
    met = right > left
    pixel = np.arange(x0, x1, dtype=np.float64)
    lengths = np.minimum(right[met, None], pixel + 1) - np.maximum(left[met, None], pixel)
    areas = np.clip(lengths, 0.0, 1.0) * thick[met, None]
    share = np.zeros((y1 - y0, x1 - x0))
    np.add.at(share, np.floor(middle[met]).astype(int) - y0, areas)
    return slice(y0, y1), slice(x0, x1), share


def _near_aligned(edges: npt.NDArray[np.float64]) -> bool:
    """Every edge within 2 % of a grid direction."""
    return bool(np.all(np.minimum(np.abs(edges[:, 0]), np.abs(edges[:, 1])) <= 0.02 * np.abs(edges).max(axis=1)))


def resample(values: npt.NDArray[np.float64], source: MapGrid, target: MapGrid) -> npt.NDArray[np.float64]:
    """Mean of `values` over each pixel of `target`; zero counts where there is no source."""
    rows = _overlap(source.shape[0], source.origin_y_m, source.pixel_size_m, target.shape[0], target.origin_y_m, target)
    columns = _overlap(
        source.shape[1], source.origin_x_m, source.pixel_size_m, target.shape[1], target.origin_x_m, target
    )
    filled_rows, filled_columns = np.flatnonzero(values.any(axis=1)), np.flatnonzero(values.any(axis=0))
    if not filled_rows.size:
        return np.zeros(target.shape)
    y, x = slice(filled_rows[0], filled_rows[-1] + 1), slice(filled_columns[0], filled_columns[-1] + 1)
    return np.asarray(rows[:, y] @ values[y, x] @ columns[:, x].T)


def _overlap(
    n_source: int, origin_m: float, pixel_m: float, n_target: int, target_origin_m: float, target: MapGrid
) -> npt.NDArray[np.float64]:
    """[target, source] share of each target pixel that a source pixel fills."""
    edges = origin_m + (np.arange(n_source + 1) - 0.5) * pixel_m
    lows = target_origin_m + (np.arange(n_target) - 0.5) * target.pixel_size_m
    highs = lows + target.pixel_size_m
    lengths = np.minimum(highs[:, None], edges[None, 1:]) - np.maximum(lows[:, None], edges[None, :-1])
    shares = np.clip(lengths, 0.0, None) / target.pixel_size_m
    shares[shares < 1e-9] = 0.0
    return shares
