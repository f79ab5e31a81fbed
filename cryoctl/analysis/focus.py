"""Defocus from a through-focus series of noisy STEM images: sharpness against defocus, and where it peaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.optimize import least_squares

SHARED_PIXELS = 3.0  # pixels of a half-image that share their noise after smoothing and differencing

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Focus:
    """`best_defocus_m` is the set value at which the image is sharpest; the correction is to go there.

    `found` is false where no peak stands out of the noise or it lies outside the series by more than half its span.
    """

    best_defocus_m: float
    best_defocus_m_sigma: float
    sharpness: tuple[float, ...]
    sharpness_sigma: tuple[float, ...]
    found: bool


def sharpness(image: npt.ArrayLike, smoothing_px: float = 1.0) -> tuple[float, float]:
    """Normalised variance of the image's slopes, noise removed, and the sigma that shot noise gives it.

    Alternate pixels (a checkerboard of 2 x 2 half-images) see the same picture with independent noise, so that the
    product of their gradients has no noise floor, where the square of one gradient has.
    """
    values = np.asarray(image, dtype=np.float64)
    ny, nx = (n // 2 * 2 for n in values.shape)
    cells = values[:ny, :nx].reshape(ny // 2, 2, nx // 2, 2)
    first = (cells[:, 0, :, 0] + cells[:, 1, :, 1]) / 2
    second = (cells[:, 0, :, 1] + cells[:, 1, :, 0]) / 2
    mean = float(values.mean())
    if mean <= 0:
        return 0.0, float("inf")
    products = np.zeros_like(first)
    for axis in (0, 1):
        slopes = [np.gradient(gaussian_filter(half, smoothing_px / 2), axis=axis) for half in (first, second)]
        products = products + slopes[0] * slopes[1]
    value = float(products.mean()) / mean**2
    # Noise alone: half the difference of the half-images has the noise of each half; neighbours share smoothing.
    noise = gaussian_filter((first - second) / np.sqrt(2), smoothing_px / 2)
    power = sum(float((np.gradient(noise, axis=axis) ** 2).mean()) for axis in (0, 1)) / 2 / mean**2
    independent = first.size / SHARED_PIXELS
    return value, float(np.sqrt((2 * power**2 + 2 * max(value, 0.0) * power) / independent))


def best_focus(images: Sequence[npt.ArrayLike], defocus_m: Sequence[float], smoothing_px: float = 1.0) -> Focus:
    """Fit sharpness = a / (1 + ((d - d0)/w)^2) + b to a series of images [y, x] taken at set `defocus_m`.

    The curve is the image of a probe that widens in proportion to defocus. Sigma comes from the scatter of the
    sharpness about the fit. Raises `ValueError` for fewer than four images or defocus values that do not differ.
    """
    d = np.asarray(defocus_m, dtype=np.float64)
    if len(images) != d.size or d.size < 4 or np.ptp(d) <= 0:
        raise ValueError("a through-focus series needs at least four images at different defocus values")
    pairs = [sharpness(image, smoothing_px) for image in images]
    s = np.array([p[0] for p in pairs])
    noise_sigma = np.array([p[1] for p in pairs])
    span, centre = float(np.ptp(d)) / 2, float(d.mean())
    u = (d - centre) / span
    top, low = float(s.max()), float(s.min())
    if top <= 0 or top - low <= 0:
        return Focus(float("nan"), float("inf"), tuple(s.tolist()), tuple(noise_sigma.tolist()), False)

    def misfit(p: Float) -> Float:
        return (p[0] / (1 + ((u - p[1]) / p[2]) ** 2) + p[3] - s) / top

    best = None
    for width in (0.3, 0.8, 2.0):
        start = np.array([top - low, float(u[int(np.argmax(s))]), width, max(low, 0.0)])
        bounds = ([0.0, -3.0, 0.05, -0.2 * top], [20 * top, 3.0, 10.0, top])
        fit = least_squares(misfit, np.clip(start, np.array(bounds[0]) + 1e-9, bounds[1]), bounds=bounds)
        if best is None or fit.cost < best.cost:
            best = fit
    assert best is not None
    freedom = max(d.size - 4, 1)
    scatter = max(2 * float(best.cost) / freedom, 1e-8)
    covariance = np.linalg.pinv(best.jac.T @ best.jac + np.diag([1e-12] * 4)) * scatter
    sigma = float(np.sqrt(covariance[1, 1]))
    stands_out = best.x[0] / top > 4 * np.sqrt(scatter) and top > 5 * float(noise_sigma[int(np.argmax(s))])
    found = bool(stands_out and abs(best.x[1]) < 1.5 and sigma < 0.5)
    return Focus(centre + span * float(best.x[1]), span * sigma, tuple(s.tolist()), tuple(noise_sigma.tolist()), found)
