"""Alignment by reprojection: each half of the tilts is compared with what a volume of the other half predicts.

A volume made of the image itself agrees with it wherever it lies; therefore tilts are taken in two interleaved halves,
and each image is correlated with the reprojection of the volume that has not seen it. The axis angle is the one at
which what remains between image and reprojection is least (a parabola through three angles, twice, ever closer).
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cryoctl.reconstruction.alignment import Alignment, Stack, displacement
from cryoctl.reconstruction.geometry import TiltGeometry
from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import tilt_series
from cryoctl.reconstruction.sirt import sirt

Array = npt.NDArray[np.float64]
SIRT_ITERATIONS = 12
SHARP_ITERATIONS = 40


def predicted(aligned: Stack, tilt_deg: Array, weight: Stack, iterations: int = SIRT_ITERATIONS) -> Stack:
    """Each tilt as the other half of the tilts predicts it, [tilt, y, x]."""
    order = np.argsort(tilt_deg, kind="stable")
    out = np.empty_like(aligned)
    n_rows = aligned.shape[1]
    for own, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        seen = TiltGeometry(tuple(tilt_deg[other]), n_rows, n_rows, n_rows)
        wanted = TiltGeometry(tuple(tilt_deg[own]), n_rows, n_rows, n_rows)
        data = tilt_series(aligned[other], weight=weight[other])
        last = next(islice(sirt(data, Projector(seen)), iterations - 1, None))
        out[own] = Projector(wanted).forward(last.volume)
    return out


def align_by_matching(stack: Stack, tilt_deg: Array, shift_px: Array, tilt_axis_deg: float, rounds: int = 5) -> Array:
    """Improve the shifts [tilt, 2] at a fixed axis angle."""
    shifts = shift_px.copy()
    for _ in range(rounds):
        found = mismatch(stack, tilt_deg, shifts, tilt_axis_deg)
        shifts += to_camera(without_gauge(found, tilt_deg), tilt_axis_deg)
        if np.abs(found).max() < 0.05:
            break
    return shifts


def mismatch(stack: Stack, tilt_deg: Array, shift_px: Array, tilt_axis_deg: float) -> Array:
    """Displacement [tilt, 2] of each aligned image from its prediction, in aligned rows and columns."""
    aligned, weight = _aligned(stack, shift_px, tilt_axis_deg)
    model = predicted(aligned, tilt_deg, weight)
    return np.array([displacement(m * w, a * w) for m, a, w in zip(model, aligned, weight, strict=True)])


def unexplained(stack: Stack, tilt_deg: Array, shift_px: Array, tilt_axis_deg: float) -> float:
    """1 minus the correlation of images and predictions, smoothed against noise, mean over the tilts.

    Needs more iterations than shifts do: an unsharp prediction fits every axis alike.
    """
    aligned, weight = _aligned(stack, shift_px, tilt_axis_deg)
    model = predicted(aligned, tilt_deg, weight, SHARP_ITERATIONS)
    left: list[float] = []
    for pair in zip(model, aligned, weight, strict=True):
        inside = np.asarray(ndimage.binary_erosion(pair[2] > 0, iterations=3), np.bool_)
        a, b = (np.asarray(ndimage.gaussian_filter(image, 1.5), np.float64)[inside] for image in pair[:2])
        spread = float(a.std() * b.std()) if a.size else 0.0
        left.append(1.0 - float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 0 else 1.0)
    return float(np.mean(left))


def refine_axis(
    stack: Stack, tilt_deg: Array, start: Alignment, steps_deg: tuple[float, ...] = (2.0, 1.0)
) -> Alignment:
    """Axis angle (and shifts) at which least is left unexplained near the start."""
    axis, shifts = start.tilt_axis_deg, start.shift_px
    for step in steps_deg:
        trials = [axis - step, axis, axis + step]
        aligned = [align_by_matching(stack, tilt_deg, shifts, a, rounds=2) for a in trials]
        cost = [unexplained(stack, tilt_deg, s, a) for s, a in zip(aligned, trials, strict=True)]
        bend = cost[0] - 2 * cost[1] + cost[2]
        move = 0.5 * (cost[0] - cost[2]) / bend if bend > 0 else float(np.argmin(cost) - 1)
        axis += step * float(np.clip(move, -1.0, 1.0))
        shifts = align_by_matching(stack, tilt_deg, aligned[int(np.argmin(cost))], axis, rounds=2)
    return Alignment(shifts, axis, start.residual_px)


def without_gauge(found: Array, tilt_deg: Array) -> Array:
    """Displacements without the part that a rigid shift of the specimen explains."""
    angles = np.deg2rad(tilt_deg)
    basis = np.linalg.qr(np.stack([np.cos(angles), np.sin(angles)], axis=1))[0]
    dy = found[:, 0] - basis @ (basis.T @ found[:, 0])
    return np.stack([dy, found[:, 1] - float(np.median(found[:, 1]))], axis=1)


def _aligned(stack: Stack, shift_px: Array, tilt_axis_deg: float) -> tuple[Stack, Stack]:
    alignment = Alignment(shift_px, tilt_axis_deg, 0.0)
    return alignment.apply(stack), alignment.coverage(stack.shape[1:])  # type: ignore[arg-type]


def to_camera(aligned_px: Array, tilt_axis_deg: float) -> Array:
    """Displacements [tilt, 2] in aligned rows and columns, as the camera sees them."""
    c, s = np.cos(np.deg2rad(tilt_axis_deg)), np.sin(np.deg2rad(tilt_axis_deg))
    return aligned_px @ np.array([[c, -s], [s, c]])
