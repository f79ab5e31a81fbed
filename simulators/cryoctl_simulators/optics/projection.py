"""Projection of a composition at a tilt: atoms per m2 of each element in image coordinates.

Geometry: at tilt a the point (x, y, z) appears at u = y cos a + z sin a across the tilt axis and at x along it.
First every row of voxels (fixed z, y) is spread over bins of u by the exact footprint of a square seen at an
angle (a trapezoid), then the plane (u, x) is resampled into the image by splitting its cells. Both steps
conserve atoms. This projector is the simulators' own; reconstructions must not share it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from cryoctl_simulators.specimens.composition import Composition

FloatArray = npt.NDArray[np.float32]
Survival = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class ImageGeometry:
    """Where the image's pixels lie: the array's centre on `centre_m` (u, x) of the tilted plane, plus a shift.

    `shift_m` is (dy, dx): how far the content is displaced in the image; `tilt_axis_deg` the in-plane angle of the
    tilt axis from image +x towards +y.
    """

    shape: tuple[int, int]
    pixel_size_m: float
    shift_m: tuple[float, float] = (0.0, 0.0)
    tilt_axis_deg: float = 0.0
    centre_m: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class PlaneMap:
    """A map per element [y, x] in the specimen's plane z = 0, its centre at the specimen's origin."""

    values: Survival
    pixel_size_m: float


class Projector:
    """Projects one composition; keeps the occupied rows of voxels, so that empty space costs nothing."""

    def __init__(self, composition: Composition) -> None:
        self.composition = composition
        atoms = composition.atoms_per_m3
        occupied = atoms.any(axis=(0, 3))
        rows_z, rows_y = np.nonzero(occupied)
        self.pitch_m = composition.voxel_size_m
        _, self.ny, self.nx = composition.shape
        self.nz = composition.shape[0]
        self._rows = np.ascontiguousarray(atoms[:, rows_z, rows_y, :].transpose(1, 0, 2))
        self._z = (rows_z - (self.nz - 1) / 2) * self.pitch_m
        self._y = (rows_y - (self.ny - 1) / 2) * self.pitch_m
        reach = np.hypot(self._z, self._y).max(initial=0.0) + self.pitch_m
        self.bin_m = 0.5 * self.pitch_m
        self.n_bins = 2 * int(np.ceil(reach / self.bin_m)) + 4

    @property
    def elements(self) -> tuple[str, ...]:
        return self.composition.elements

    def plane(self, tilt_deg: float, survival: PlaneMap | None = None) -> tuple[FloatArray, npt.NDArray[np.float64]]:
        """Atoms per m2 [element, u, x] on bins half a voxel wide, and the mean depth w [u, x] in metres.

        Depth is weighted by atoms, 0 where there are none. Damage is looked up in the specimen's plane z = 0
        where the beam crosses it, at y = u / cos a: exact for matter in that plane, approximate by z tan a else.
        """
        angle = np.radians(tilt_deg)
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        out = np.zeros((self.n_bins, len(self.elements), self.nx), dtype=np.float32)
        moment = np.zeros((self.n_bins, self.nx), dtype=np.float32)
        u = (self._y * cos + self._z * sin) / self.bin_m + (self.n_bins - 1) / 2
        w = (-self._y * sin + self._z * cos).astype(np.float32)
        half_long = 0.5 * (abs(cos) + abs(sin)) * self.pitch_m / self.bin_m
        half_short = 0.5 * abs(abs(cos) - abs(sin)) * self.pitch_m / self.bin_m
        weight = self.pitch_m**2 / self.bin_m  # a row's atoms per m2 if all fell into one bin
        _spread_rows(self._rows, u, w, half_long, half_short, weight, out, moment)
        total = out.sum(axis=1)
        depth = np.divide(moment, total, out=np.zeros_like(moment), where=total > 0)
        plane = np.ascontiguousarray(out.transpose(1, 0, 2))
        if survival is not None:
            self._damage(plane, survival, cos)
        return plane, depth.astype(np.float64)

    def _damage(self, plane: FloatArray, survival: PlaneMap, cos: float) -> None:
        bins = (np.arange(self.n_bins) - (self.n_bins - 1) / 2) * self.bin_m
        x = (np.arange(self.nx) - (self.nx - 1) / 2) * self.pitch_m
        for index, element in enumerate(self.elements):
            values = survival.values.get(element)
            if values is None:
                continue
            rows = bins / max(cos, 1e-3) / survival.pixel_size_m + (values.shape[0] - 1) / 2
            columns = x / survival.pixel_size_m + (values.shape[1] - 1) / 2
            plane[index] *= _bilinear(values, rows, columns)

    def project(
        self, tilt_deg: float, image: ImageGeometry, survival: PlaneMap | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Atoms per m2 [element, y, x] in the image, and the mean depth w [y, x] in metres (0 in vacuum)."""
        plane, depth = self.plane(tilt_deg, survival)
        weighted = (plane.sum(axis=0) * depth).astype(np.float32)
        stack = np.concatenate([plane, weighted[None]])
        placed = resample_plane(stack, (self.bin_m, self.pitch_m), image)
        total = placed[:-1].sum(axis=0)
        mean = np.divide(placed[-1], total, out=np.zeros_like(total), where=total > 0)
        return placed[:-1], mean


def resample_plane(stack: FloatArray, pitch_m: tuple[float, float], image: ImageGeometry) -> FloatArray:
    """Resample densities [k, u, x] (per m2, pitch (du, dx)) into the image's pixels, conserving their integral."""
    du, dx = pitch_m
    pixel = image.pixel_size_m
    split_u = max(1, int(np.ceil(2.0 * du / pixel)))
    split_x = max(1, int(np.ceil(2.0 * dx / pixel)))
    angle = np.radians(image.tilt_axis_deg)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    centre_u, centre_x = image.centre_m
    shift_y = (image.shift_m[0] - centre_x * sin - centre_u * cos) / pixel
    shift_x = (image.shift_m[1] - centre_x * cos + centre_u * sin) / pixel
    out = np.zeros((stack.shape[0], *image.shape), dtype=np.float32)
    _splat(np.ascontiguousarray(stack), du / pixel, dx / pixel, split_u, split_x, cos, sin, shift_y, shift_x, out)
    return out


def _bilinear(
    values: npt.NDArray[np.float64], rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]
) -> FloatArray:
    """Separable bilinear look-up on a grid of rows and columns, held at the edges."""
    r = np.clip(rows, 0, values.shape[0] - 1)
    c = np.clip(columns, 0, values.shape[1] - 1)
    r0, c0 = np.minimum(r.astype(int), values.shape[0] - 2), np.minimum(c.astype(int), values.shape[1] - 2)
    r0, c0 = np.maximum(r0, 0), np.maximum(c0, 0)
    r1, c1 = np.minimum(r0 + 1, values.shape[0] - 1), np.minimum(c0 + 1, values.shape[1] - 1)
    fr, fc = (r - r0)[:, None], (c - c0)[None, :]
    top = values[r0[:, None], c0] * (1 - fc) + values[r0[:, None], c1] * fc
    bottom = values[r1[:, None], c0] * (1 - fc) + values[r1[:, None], c1] * fc
    return (top * (1 - fr) + bottom * fr).astype(np.float32)


@numba.njit(cache=True, fastmath=True)
def _trapezoid_integral(t: float, half_long: float, half_short: float) -> float:
    """Integral from the left to t of a trapezoid of unit area, flat within half_short, zero beyond half_long."""
    if t <= -half_long:
        return 0.0
    if t >= half_long:
        return 1.0
    height = 1.0 / (half_long + half_short)
    slope = half_long - half_short
    if t < -half_short:
        return 0.5 * height * (t + half_long) ** 2 / slope
    if t <= half_short:
        return height * (0.5 * slope + t + half_short)
    return 1.0 - 0.5 * height * (half_long - t) ** 2 / slope


@numba.njit(cache=True, fastmath=True)
def _spread_rows(rows, u, w, half_long, half_short, weight, out, moment):  # type: ignore[no-untyped-def]
    n_rows, n_elements, nx = rows.shape
    for i in range(n_rows):
        first = int(np.floor(u[i] - half_long + 0.5))
        last = int(np.floor(u[i] + half_long + 0.5))
        for b in range(first, last + 1):
            below = _trapezoid_integral(b - 0.5 - u[i], half_long, half_short)
            above = _trapezoid_integral(b + 0.5 - u[i], half_long, half_short)
            share = np.float32((above - below) * weight)
            if share <= 0.0 or b < 0 or b >= out.shape[0]:
                continue
            for e in range(n_elements):
                for x in range(nx):
                    part = share * rows[i, e, x]
                    out[b, e, x] += part
                    moment[b, x] += part * w[i]


@numba.njit(cache=True, fastmath=True)
def _splat(stack, du, dx, split_u, split_x, cos, sin, shift_y, shift_x, out):  # type: ignore[no-untyped-def]
    n, nu, nx = stack.shape
    height, width = out.shape[1], out.shape[2]
    area = np.float32(du * dx / (split_u * split_x))
    for i in range(nu):
        for j in range(nx):
            empty = True
            for k in range(n):
                if stack[k, i, j] != 0.0:
                    empty = False
                    break
            if empty:
                continue
            for p in range(split_u):
                u = (i + (p + 0.5) / split_u - 0.5 * nu) * du
                for q in range(split_x):
                    x = (j + (q + 0.5) / split_x - 0.5 * nx) * dx
                    row = x * sin + u * cos + shift_y + 0.5 * (height - 1)
                    column = x * cos - u * sin + shift_x + 0.5 * (width - 1)
                    r0, c0 = int(np.floor(row)), int(np.floor(column))
                    fr, fc = np.float32(row - r0), np.float32(column - c0)
                    for a in range(2):
                        r = r0 + a
                        if r < 0 or r >= height:
                            continue
                        wr = fr if a == 1 else np.float32(1.0) - fr
                        for b in range(2):
                            c = c0 + b
                            if c < 0 or c >= width:
                                continue
                            wc = fc if b == 1 else np.float32(1.0) - fc
                            share = wr * wc * area
                            for k in range(n):
                                out[k, r, c] += share * stack[k, i, j]
