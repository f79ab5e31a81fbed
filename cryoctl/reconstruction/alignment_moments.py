"""Alignment of an isolated specimen by its moments, slice by slice (Helgason-Ludwig conditions).

Summed across the axis, an image is the specimen's mass along the axis: the same at every tilt, so its displacement is
dx. The centre of mass of slice x runs as Y(x) cos a + Z(x) sin a; what is left is dy of the tilt, the same for all
slices, and (slope error) * x, which is the error of the tilt axis:  c_t(x) = Y(x) cos a_t + Z(x) sin a_t + dy_t + e x.
All of it is linear and solved at once. e can be told from a specimen that lies askew because the latter's slope
shrinks as cos a and the former's does not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cryoctl.reconstruction.alignment import Stack, above_background, moved
from cryoctl.reconstruction.profiles import common_displacements

Array = npt.NDArray[np.float64]


def is_isolated_wire(stack: Stack) -> bool:
    """Whether the specimen (above background) keeps its mass over the tilts, clear of the top and bottom rows, and runs
    through the field along the axis. Grains in loose order move mass from slice to slice as the axis is turned, which
    the linear solution leaves out: they are for `alignment_matching`."""
    mass = stack.sum(axis=(1, 2), dtype=np.float64)
    edge = max(2, stack.shape[1] // 25)
    at_edges = stack[:, :edge].sum(dtype=np.float64) + stack[:, -edge:].sum(dtype=np.float64)
    middle = float(np.median(mass))
    if middle <= 0 or float(np.std(mass)) > 0.1 * middle or float(at_edges) > 0.01 * float(mass.sum()):
        return False
    profile = np.median(stack.sum(axis=1, dtype=np.float64), axis=0)
    inner = profile[profile.size // 8 : -(profile.size // 8) or None]
    return float(inner.min()) > 0.3 * float(np.median(inner))


def align_by_moments(
    stack: Stack, tilt_deg: Array, shift_px: Array, tilt_axis_deg: float, rounds: int = 6
) -> tuple[Array, float]:
    """Improve shifts [tilt, 2] and axis angle of a stack [tilt, y, x] whose specimen is isolated across the axis."""
    shifts, axis = shift_px.copy(), tilt_axis_deg
    angles = np.deg2rad(tilt_deg)
    for _ in range(rounds):
        aligned = above_background(np.stack([moved(i, s, axis) for i, s in zip(stack, shifts, strict=True)]))
        mass = aligned.sum(axis=1, dtype=np.float64)
        turned = np.abs(np.sin(np.deg2rad(axis))) * mass.shape[1] / 2  # columns that the turn and the shifts empty
        edge = min(int(np.ceil(np.abs(shifts).max() + min(turned, 8))) + 2, mass.shape[1] // 4)
        dx = _along(mass[:, edge:-edge])
        dy, slope = _across(aligned, mass, angles, edge)
        c, s = np.cos(np.deg2rad(axis)), np.sin(np.deg2rad(axis))
        shifts += np.stack([dy, dx], axis=1) @ np.array([[c, -s], [s, c]])
        axis += float(np.rad2deg(np.arctan(slope)))
        if max(np.abs(dx).max(), np.abs(dy).max()) < 0.01 and abs(slope) < 1e-4:
            break
    return shifts, axis


def _along(mass: Array) -> Array:
    """Displacement along the axis of each mass profile [tilt, x] against the others."""
    return common_displacements(mass / np.maximum(mass.sum(axis=1, keepdims=True), 1e-20))


def _across(aligned: Stack, mass: Array, angles: Array, edge: int) -> tuple[Array, float]:
    n_y, n_x = aligned.shape[1:]
    rows = np.arange(n_y) - (n_y - 1) / 2.0
    columns = np.arange(n_x) - (n_x - 1) / 2.0
    least = 0.3 * np.median(mass, axis=0)
    usable = (mass > least).all(axis=0) & (least > 0.1 * np.median(least[least > 0]) if (least > 0).any() else False)
    usable &= (np.arange(n_x) >= edge) & (np.arange(n_x) < n_x - edge)
    if usable.sum() < 4:
        return np.zeros(angles.size), 0.0
    centre = np.einsum("tyx,y->tx", aligned[:, :, usable], rows) / mass[:, usable]
    weight = mass[:, usable].mean(axis=0)
    x = columns[usable]
    x = x - float(np.average(x, weights=weight))
    basis = np.linalg.qr(np.stack([np.cos(angles), np.sin(angles)], axis=1))[0]
    free = centre - basis @ (basis.T @ centre)  # what no specimen can explain
    ones = np.ones(angles.size) - basis @ (basis.T @ np.ones(angles.size))
    if float(ones @ ones) < 1e-3 * angles.size:  # too small a range of tilts to tell slope from skew
        slope = 0.0
    else:
        slope = float(ones @ (free @ (weight * x))) / float((ones @ ones) * (weight @ np.square(x)))
    dy = centre @ weight / weight.sum()  # centres the specimen too: the gauge
    return dy, slope
