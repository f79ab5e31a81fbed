"""A small nanowire of the tests' own, rendered by an interpolating rotation at twice the resolution.

Independent of the reconstruction's system matrix on purpose: data made by the matrix that inverts them would flatter
every algorithm (the inverse crime).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

Array = npt.NDArray[np.float64]


def nanowire(
    n: int = 96,
    n_x: int = 32,
    seed: int = 0,
    core_radius: float | None = None,
    tilt: tuple[float, float] = (0.02, 0.015),
) -> dict[str, Array]:
    """Si core, O and F in a shell, at twice the resolution: each [2n, 2n, 2n_x] (z, y, x), 0 to 1."""
    rng = np.random.default_rng([seed, 7])
    radius = 0.17 * n if core_radius is None else core_radius
    z, y, x = np.meshgrid(
        *((np.arange(2 * m) - (2 * m - 1) / 2.0) / 2.0 for m in (n, n, n_x)), indexing="ij", sparse=True
    )
    phase = rng.uniform(0, 2 * np.pi, 4)
    bend_y = tilt[0] * x + 0.02 * n * np.sin(2 * np.pi * x / (1.7 * n) + phase[0])
    bend_z = tilt[1] * x + 0.02 * n * np.sin(2 * np.pi * x / (1.9 * n) + phase[1])
    around = np.arctan2(z - bend_z, y - bend_y)
    distance = np.hypot(z - bend_z, y - bend_y)
    core = radius * (1 + 0.06 * np.sin(3 * around + phase[2]) + 0.04 * np.sin(2 * np.pi * x / (0.8 * n)))
    outer = core + radius * (0.45 + 0.12 * np.sin(2 * around + phase[3] + 0.05 * x))
    inside_core = np.clip(2.0 * (core - distance) + 0.5, 0, 1)
    inside = np.clip(2.0 * (outer - distance) + 0.5, 0, 1)
    shell = inside - inside_core
    depth = np.clip((distance - core) / (outer - core), 0, 1)
    return {"Si": inside_core, "O": shell * (0.6 + 0.4 * depth), "F": shell * (1.0 - 0.5 * depth)}


def with_marks(volume: Array, number: int = 14, seed: int = 0, brightness: float = 6.0) -> Array:
    """The volume (twice the resolution) with bright particles of 2 to 3 pixels on the wire's surface."""
    rng = np.random.default_rng([seed, 11])
    n_z, n_y, n_x = volume.shape
    out = volume.copy()
    for k in range(number):
        x = int((k + 0.5 + rng.uniform(-0.3, 0.3)) * n_x / number)
        angle = rng.uniform(0, 2 * np.pi)
        # walk outwards from the wire's centre in this slice until the wire ends
        mass = volume[:, :, x]
        centre = ndi.center_of_mass(mass)
        reach = 0
        while True:
            z, y = (round(c + reach * f) for c, f in zip(centre, (np.sin(angle), np.cos(angle)), strict=True))
            if not (0 <= z < n_z and 0 <= y < n_y) or mass[z, y] < 0.3:
                break
            reach += 1
        r = rng.uniform(2.0, 3.0)  # half pixels of the image
        zz, yy, xx = np.ogrid[:n_z, :n_y, :n_x]
        out[(zz - z) ** 2 + (yy - y) ** 2 + (xx - x) ** 2 <= r * r] = brightness
    return out


def at_pixel_size(volume: Array) -> Array:
    """Means over 2 x 2 x 2 cells."""
    z, y, x = (m // 2 for m in volume.shape)
    return volume.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5))


def projections(
    volume: Array,
    tilt_deg: npt.ArrayLike,
    shift_px: npt.ArrayLike | None = None,
    tilt_axis_deg: float = 0.0,
) -> Array:
    """Images [tilt, y, x] of a volume at twice the resolution, in sums over pixels of the image's size.

    shift_px [tilt, 2]: displacement (dy, dx) of each image's content; tilt_axis_deg: in-plane angle of the tilt axis
    from +x towards +y.
    """
    angles = np.deg2rad(np.asarray(tilt_deg, float))
    shifts = np.zeros((angles.size, 2)) if shift_px is None else np.asarray(shift_px, float)
    n_z, n_y, n_x = volume.shape
    images = np.empty((angles.size, n_y // 2, n_x // 2))
    middle = np.array([(n_z - 1) / 2, (n_y - 1) / 2])
    source = np.asarray(volume, np.float32)
    for i, a in enumerate(angles):
        turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])  # (z, y) of the (depth, row) asked for
        matrix = np.eye(3)
        matrix[:2, :2] = turn
        offset = np.append(middle - turn @ middle, 0.0)
        fine = ndi.affine_transform(source, matrix, offset, order=1).sum(axis=0)
        if tilt_axis_deg or shifts[i].any():
            # where in the unrotated image does the pixel (row, column) of the camera come from
            c, s = np.cos(np.deg2rad(tilt_axis_deg)), np.sin(np.deg2rad(tilt_axis_deg))
            back = np.array([[c, -s], [s, c]])  # (row, column): content turned from +x towards +y
            mid = (np.array(fine.shape) - 1) / 2
            fine = ndi.affine_transform(fine, back, mid - back @ (mid + 2 * shifts[i]), order=3)
        images[i] = fine.reshape(n_y // 2, 2, n_x // 2, 2).sum(axis=(1, 3)) / 8.0
    return np.maximum(images, 0.0)
