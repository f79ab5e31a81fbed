"""What protocols ask of stored pictures while a series runs: displacement, middle of a wire, best focus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from cryoctl.analysis.drift import shift
from cryoctl.analysis.focus import best_focus

Float = npt.NDArray[np.float64]

SEARCHED_SHARE = 0.45
"""Largest displacement looked for, as part of the shorter side: after a large tilt a stage comes to rest far off."""


@dataclass(frozen=True)
class Displacement:
    """How far the second picture's content lies from the first's (pixels); see `drift.shift` for sigma and quality."""

    dy_px: float
    dx_px: float
    sigma_px: float
    quality: float
    found: bool


@dataclass(frozen=True)
class Middle:
    """How far a wire along the rows' direction lies from the picture's centre (pixels); `dx_px` is 0 by definition.

    `quality` is the wire's brightness over the noise of its profile; `found` is false where no wire stands out.
    """

    dy_px: float
    dx_px: float
    quality: float
    found: bool


@dataclass(frozen=True)
class Focused:
    defocus_m: float
    sigma_m: float
    found: bool


def stretched(image: npt.ArrayLike, stretch_y: float) -> Float:
    """The picture [y, x] with its rows drawn apart by `stretch_y` about the centre, same shape (a tilted flat
    specimen appears compressed by the cosine); beyond the edges the edge is repeated."""
    values = np.asarray(image, dtype=np.float64)
    if not stretch_y > 0.0:
        raise ValueError(f"stretch_y is {stretch_y}, it must be above 0")
    middle = (values.shape[0] - 1) / 2
    rows = np.clip(middle + (np.arange(values.shape[0]) - middle) / stretch_y, 0, values.shape[0] - 1)
    below = np.minimum(rows.astype(np.intp), values.shape[0] - 2)
    share = (rows - below)[:, None]
    return (1 - share) * values[below] + share * values[below + 1]


def displacement(first: npt.ArrayLike, second: npt.ArrayLike, stretch_y: float = 1.0) -> Displacement:
    """Displacement of `second` against `first` (both [y, x]) whose rows are stretched before, by cross-correlation.

    A wire along x looks the same wherever it is moved along itself, and its correlation pulls large displacements
    towards zero. So detail alone (what varies along the rows) is compared first; where it says something else than
    the whole pictures, these are compared again over what both show.
    """
    a = np.asarray(first, dtype=np.float64) if stretch_y == 1.0 else stretched(first, stretch_y)
    b = np.asarray(second, dtype=np.float64)
    whole = shift(a, b)
    detail = shift(_detail(a), _detail(b))
    if detail.found and np.hypot(detail.dy - whole.dy, detail.dx - whole.dx) > 2.0:
        sy, sx = round(detail.dy), round(detail.dx)
        ny, nx = a.shape
        seen_a = a[max(0, -sy) : ny - max(0, sy), max(0, -sx) : nx - max(0, sx)]
        seen_b = b[max(0, sy) : ny - max(0, -sy), max(0, sx) : nx - max(0, -sx)]
        rest = shift(seen_a, seen_b)
        if rest.found and np.hypot(rest.dy, rest.dx) < 3.0:
            return Displacement(sy + rest.dy, sx + rest.dx, rest.sigma, rest.quality, True)
    return Displacement(whole.dy, whole.dx, whole.sigma, whole.quality, whole.found)


def _detail(image: Float) -> Float:
    return image - gaussian_filter1d(image, 6.0, axis=1)


def wire_middle(picture: npt.ArrayLike) -> Middle:
    """Middle across the rows of the brightest band in a picture [y, x] of a wire that lies along x.

    The profile over y, smoothed by a pixel, less its floor; centroid of the connected part above half its height.
    """
    values = np.asarray(picture, dtype=np.float64)
    profile = gaussian_filter1d(np.median(values, axis=1), 1.0)
    floor = float(np.percentile(profile, 20))
    dark = profile[profile <= np.percentile(profile, 40)]
    noise = max(float(dark.std()), float(values.std()) / np.sqrt(values.size), 1e-12)
    top = int(np.argmax(profile))
    height = float(profile[top]) - floor
    low = high = top
    while low > 0 and profile[low - 1] - floor > height / 2:
        low -= 1
    while high < len(profile) - 1 and profile[high + 1] - floor > height / 2:
        high += 1
    weights = profile[low : high + 1] - floor - height / 2 + 1e-12
    centre = float((weights * np.arange(low, high + 1)).sum() / weights.sum())
    inside = low > 0 and high < len(profile) - 1
    quality = height / noise
    return Middle(centre - (len(profile) - 1) / 2, 0.0, quality, bool(inside and quality > 8.0))


def through_focus(*pictures: npt.ArrayLike, defocus_m: Sequence[float]) -> Focused:
    """The set defocus at which pictures of a through-focus series are sharpest; see `focus.best_focus`.

    Found where the sharpest picture has detail above noise (three sigma over its area), loses it towards the ends of
    the series, and the curve's top is known to a tenth of the series and lies within it.
    """
    fit = best_focus(pictures, defocus_m)
    span_m = max(defocus_m) - min(defocus_m)
    top = int(np.argmax(fit.sharpness))
    detail = fit.sharpness[top] > 3 * fit.sharpness_sigma[top] and fit.sharpness[top] > 1.1 * min(fit.sharpness)
    inside = min(defocus_m) <= fit.best_defocus_m <= max(defocus_m)
    known = fit.best_defocus_m_sigma < 0.1 * span_m
    return Focused(fit.best_defocus_m, fit.best_defocus_m_sigma, bool(detail and inside and known))
