"""Where the rays of a single-axis tilt series run: angles, sizes, shifts, and the matrix that follows from them.

A specimen point (y, z) appears at tilt a in image row u = y cos a + z sin a (pixels from the centre of the array);
x lies along the tilt axis and is untouched, so one 2-D matrix of (tilt, u) by (z, y) serves every slice x. Its
entries are the exact areas that a square voxel covers of each detector row: the footprint of a unit square turned
by a is a box of width |cos a| convolved with a box of width |sin a| (a trapezoid of area 1), and the detector row
integrates it over one pixel. Columns therefore sum to 1 at every tilt: a voxel's counts are conserved wherever the
detector sees it whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from cryoctl.errors import BadInput

MAX_TILT_DEG = 90.0


@dataclass(frozen=True)
class TiltGeometry:
    """Geometry of one slice, hashable, in pixels and degrees.

    tilt_deg: one angle a projection, in the order of the data. n_rows: detector rows (image y). n_z, n_y: height and
    width of the volume's slice. shift_y_px: how far the content of each image is displaced along y (applied inside
    the matrix, so that counts stay Poisson; shifts along x and the axis angle are taken out by resampling before,
    see `alignment.Alignment.apply`).
    """

    tilt_deg: tuple[float, ...]
    n_rows: int
    n_z: int
    n_y: int
    shift_y_px: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.tilt_deg:
            raise BadInput("tilt_deg: no tilt was given, at least one is needed; give one angle a projection")
        if not all(np.isfinite(a) and abs(a) <= MAX_TILT_DEG for a in self.tilt_deg):
            raise BadInput(
                f"tilt_deg: an angle is not finite or beyond {MAX_TILT_DEG:g} degrees; correct the tilt list"
            )
        if min(self.n_rows, self.n_z, self.n_y) < 1:
            raise BadInput(
                f"volume: {self.n_rows} rows, {self.n_z} x {self.n_y} voxels a slice; each must be at least 1"
            )
        if self.shift_y_px and len(self.shift_y_px) != len(self.tilt_deg):
            raise BadInput(
                f"shift_y_px: {len(self.shift_y_px)} shifts for {len(self.tilt_deg)} tilts; give one a tilt or none"
            )

    @property
    def n_tilts(self) -> int:
        return len(self.tilt_deg)

    def of_tilts(self, indices: tuple[int, ...]) -> TiltGeometry:
        """The same slice seen only at these tilts."""
        shifts = tuple(self.shift_y_px[i] for i in indices) if self.shift_y_px else ()
        return TiltGeometry(tuple(self.tilt_deg[i] for i in indices), self.n_rows, self.n_z, self.n_y, shifts)


def _footprint_integral(s: npt.NDArray[np.float64], wide: float, narrow: float) -> npt.NDArray[np.float64]:
    """Area of the voxel's footprint (unit area, centred on 0) that lies below s."""
    ramps = [np.square(np.maximum(s + edge, 0.0)) for edge in _edges(wide, narrow)]
    return (ramps[0] - ramps[1] - ramps[2] + ramps[3]) / (2.0 * wide * narrow)


def _edges(wide: float, narrow: float) -> tuple[float, float, float, float]:
    outer, inner = (wide + narrow) / 2.0, (wide - narrow) / 2.0
    return outer, inner, -inner, -outer


def _one_tilt(tilt_deg: float, shift_px: float, geometry: TiltGeometry) -> sp.csr_matrix:
    angle = np.deg2rad(tilt_deg)
    z = np.arange(geometry.n_z) - (geometry.n_z - 1) / 2.0
    y = np.arange(geometry.n_y) - (geometry.n_y - 1) / 2.0
    row = (y[None, :] * np.cos(angle) + z[:, None] * np.sin(angle)).ravel()
    row += (geometry.n_rows - 1) / 2.0 + shift_px
    wide, narrow = max(abs(np.cos(angle)), 1e-4), max(abs(np.sin(angle)), 1e-4)
    first = np.floor(row - (wide + narrow) / 2.0 + 0.5).astype(np.int64)
    below = _footprint_integral(first - 0.5 - row, wide, narrow)
    voxel = np.arange(row.size)
    rows: list[npt.NDArray[np.int64]] = []
    voxels: list[npt.NDArray[np.int64]] = []
    areas: list[npt.NDArray[np.float32]] = []
    for k in range(3):  # a footprint is at most sqrt(2) wide: it touches three rows at most
        above = _footprint_integral(first + k + 0.5 - row, wide, narrow)
        keep = (above - below > 1e-6) & (first + k >= 0) & (first + k < geometry.n_rows)
        rows.append((first + k)[keep])
        voxels.append(voxel[keep])
        areas.append((above - below)[keep].astype(np.float32))
        below = above
    entries = (np.concatenate(areas), (np.concatenate(rows), np.concatenate(voxels)))
    return sp.csr_matrix(entries, shape=(geometry.n_rows, row.size))


@lru_cache(maxsize=4)
def system_matrix(geometry: TiltGeometry) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """The matrix [(tilt, row), (z, y)] and its transpose, both float32 CSR with int32 indices."""
    shifts = geometry.shift_y_px or (0.0,) * geometry.n_tilts
    tilts = [_one_tilt(a, s, geometry) for a, s in zip(geometry.tilt_deg, shifts, strict=True)]
    forward = sp.csr_matrix(sp.vstack(tilts, format="csr"))
    forward.sort_indices()
    return forward, sp.csr_matrix(forward.T.tocsr())
