"""Shifts and tilt axis of a tilt series, from the images alone.

Coarse: neighbouring tilts are cross-correlated, from the smallest tilt outwards, after stretching across the axis by
the ratio of their cosines. `align_series.align` goes on from there: an isolated specimen is aligned by its moments
(`alignment_moments`), any other by reprojecting a volume made of the other tilts (`alignment_matching`). A rigid shift
of the specimen changes nothing that can be seen: shifts are determined up to a cos + b sin across the axis and a
constant along it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cryoctl.errors import BadInput

Array = npt.NDArray[np.float64]
Stack = npt.NDArray[np.float32]
_affine: Any = ndimage.affine_transform  # their annotations are narrower than what they take


@dataclass(frozen=True)
class Alignment:
    """shift_px [tilt, 2] (dy, dx): displacement of each image's content. tilt_axis_deg: in-plane angle of the tilt axis
    from +x towards +y. residual_px: root mean square of what reprojection of the other tilts still finds."""

    shift_px: Array
    tilt_axis_deg: float
    residual_px: float

    def apply(self, stack: npt.ArrayLike, order: int = 1) -> Stack:
        """The stack [tilt, y, x] with shifts taken out and the axis turned to +x, in one interpolation.

        order 1 (default) keeps counts non-negative and their expectation; outside the field 0 is filled in: give
        `coverage` as weight to the reconstruction. Raises BadInput if the number of tilts differs.
        """
        images = np.asarray(stack, np.float32)
        if images.ndim != 3 or images.shape[0] != self.shift_px.shape[0]:
            raise BadInput(f"stack: shape {images.shape} for an alignment of {self.shift_px.shape[0]} tilts")
        return np.stack([moved(i, s, self.tilt_axis_deg, order) for i, s in zip(images, self.shift_px, strict=True)])

    def coverage(self, shape: tuple[int, int]) -> Stack:
        """1 where `apply` found image, 0 outside the field: [tilt, y, x]."""
        inside = self.apply(np.ones((self.shift_px.shape[0], *shape), np.float32))
        return (inside > 0.99).astype(np.float32)


def moved(image: npt.NDArray[np.float32], shift_px: npt.ArrayLike, tilt_axis_deg: float, order: int = 1) -> Stack:
    """One image [y, x], its displacement taken out and the tilt axis turned to +x about the centre."""
    shift = np.asarray(shift_px, np.float64)
    if tilt_axis_deg == 0.0 and not shift.any():
        return image.astype(np.float32)
    c, s = np.cos(np.deg2rad(tilt_axis_deg)), np.sin(np.deg2rad(tilt_axis_deg))
    turn = np.array([[c, s], [-s, c]])  # (row, column) in the aligned image to (row, column) in the camera's
    middle = (np.array(image.shape) - 1) / 2.0
    offset = middle - turn @ middle + shift
    return np.asarray(_affine(image, turn, offset, order=order, mode="constant"), np.float32)


def above_background(stack: Stack) -> Stack:
    """Each image minus the level of its emptiest tenth, and 0 where nothing stands out of the noise there."""
    out = np.empty_like(stack)
    for i, image in enumerate(stack):
        smooth = ndimage.gaussian_filter(image, 1.5)
        level = float(np.percentile(smooth, 10))
        empty = smooth[smooth <= np.percentile(smooth, 20)]
        noise = float(empty.std()) + 1e-6 * float(np.ptp(smooth))
        solid = ndimage.binary_opening(smooth > level + max(4 * noise, 0.03 * float(smooth.max() - level)))
        out[i] = (image - level) * ndimage.binary_dilation(solid, iterations=2)
    return out


def coarse_shifts(stack: Stack, tilt_deg: Array, tilt_axis_deg: float) -> Array:
    """Shifts [tilt, 2] chained from the smallest tilt outwards by cross-correlation of stretched neighbours."""
    order = np.argsort(tilt_deg, kind="stable")
    start = int(np.argmin(np.abs(tilt_deg[order])))
    turned = np.stack([moved(i, (0.0, 0.0), tilt_axis_deg) for i in stack])
    shifts = np.zeros((len(order), 2))
    for path in (order[start:], order[: start + 1][::-1]):
        for before, after in pairwise(path.tolist()):
            # the later image is widened to what the earlier one would show of a thin specimen
            ratio = float(np.cos(np.deg2rad(tilt_deg[after])) / max(np.cos(np.deg2rad(tilt_deg[before])), 0.05))
            found = displacement(turned[before], _stretched(turned[after], ratio))
            shifts[after] = shifts[before] * (ratio, 1.0) + found * (ratio, 1.0)
    c, s = np.cos(np.deg2rad(tilt_axis_deg)), np.sin(np.deg2rad(tilt_axis_deg))
    return shifts @ np.array([[c, -s], [s, c]])  # back into the camera's rows and columns


def displacement(reference: Stack, image: Stack) -> Array:
    """(dy, dx) by which the image's content lies away from the reference's, by plain cross-correlation.

    A wire along the axis says next to nothing about dx and would drown the marks that do: dx is taken from what varies
    over a few pixels along x, dy from the whole image.
    """
    window = np.outer(*(np.clip(8 * np.hanning(n + 2)[1:-1], 0, 1) for n in reference.shape))
    pair = [ndimage.gaussian_filter(a, 1.0) for a in (reference, image)]
    fine = [(a - ndimage.gaussian_filter1d(a, 4.0, axis=1)) * window for a in pair]
    pair = [(a - float(np.average(a, weights=window))) * window for a in pair]
    return np.array([_peak(pair[0], pair[1])[0], _peak(fine[0], fine[1])[1]])


_NEAR = np.array([-1.0, 0.0, 1.0])
_PARABOLOID = np.linalg.pinv(
    np.array([[1.0, y, x, y * y, x * x, x * y] for y in _NEAR for x in _NEAR])
)  # 3 x 3 values to 1, y, x, yy, xx, xy


def _peak(reference: Array, image: Array) -> Array:
    """Where the cross-correlation is highest: whole pixels by FFT, then its trigonometric interpolation looked up on
    ever finer 3 x 3 points, a paraboloid through each (to about 0.01 pixel)."""
    if not (reference.any() and image.any()):
        return np.zeros(2)
    spectrum = np.conj(np.fft.fft2(reference)) * np.fft.fft2(image)
    shape = spectrum.shape
    correlation = np.real(np.fft.ifft2(spectrum))
    frequencies = [np.fft.fftfreq(n) for n in shape]
    top = np.array(np.unravel_index(int(np.argmax(correlation)), shape), np.float64)
    top = (top + np.array(shape) / 2) % np.array(shape) - np.array(shape) / 2
    for step in (0.7, 0.3, 0.1):
        rows, columns = (
            np.exp(2j * np.pi * np.outer(top[axis] + step * _NEAR, frequencies[axis])) for axis in range(2)
        )
        c = _PARABOLOID @ np.real(rows @ spectrum @ columns.T).ravel()
        determinant = 4 * c[3] * c[4] - c[5] ** 2
        if determinant <= 0 or c[3] >= 0:
            break
        move = np.array([c[5] * c[2] - 2 * c[4] * c[1], c[5] * c[1] - 2 * c[3] * c[2]]) / determinant
        top = top + step * np.clip(move, -1.0, 1.0)
    return top


def _stretched(image: Stack, ratio: float) -> Stack:
    middle = (image.shape[0] - 1) / 2.0
    return np.asarray(_affine(image, [ratio, 1.0], [middle * (1 - ratio), 0.0], order=1, mode="nearest"), np.float32)
