"""How far an image is displaced from a reference, at shot noise, with an honest verdict when it can't be told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Float = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

LOST_BELOW = 8.0


@dataclass(frozen=True)
class Shift:
    """Displacement of the image's content in pixels: correct by moving the image by (-dy, -dx).

    `sigma` is the standard deviation of each component in pixels. `quality` is the correlation peak's height over the
    spread of the rest of the correlation; noise alone gives 3.5 to 7.5. `found` is false below 8 or at
    the search limit.
    """

    dy: float
    dx: float
    sigma: float
    quality: float
    found: bool


def _prepared(image: Float, smoothing_px: float) -> Float:
    values = np.where(np.isfinite(image), image, 0.0)
    # A square root makes shot noise even over bright and dark; Anscombe's 3/8 keeps zeros harmless.
    values = np.sqrt(np.maximum(values - min(float(values.min()), 0.0), 0.0) + 0.375)
    if smoothing_px > 0:
        values = np.asarray(gaussian_filter(values, smoothing_px), dtype=np.float64)
    ny, nx = image.shape
    window = np.outer(np.hanning(ny + 2)[1:-1], np.hanning(nx + 2)[1:-1])
    values = values - float((values * window).sum() / window.sum())
    return values * window


def shift(
    reference: npt.ArrayLike,
    image: npt.ArrayLike,
    max_shift_px: float | None = None,
    smoothing_px: float = 1.0,
) -> Shift:
    """Displacement of `image` against `reference`, both [y, x] of one shape, by windowed cross-correlation.

    Hann window, sub-pixel peak by a paraboloid through the 3 x 3 neighbourhood of the correlation, then a second pass
    with the image's window moved along so that the Hann window does not pull the answer towards zero. `max_shift_px`
    limits the search (default a quarter of the shorter side). Sigma follows from the residual image against the
    reference's gradient (Cramer-Rao with the measured noise). Raises `ValueError` for unlike or tiny images.
    """
    a, b = np.asarray(reference, dtype=np.float64), np.asarray(image, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or min(a.shape) < 8:
        raise ValueError(f"images must be alike, 2-D and at least 8 pixels, found {a.shape} and {b.shape}")
    limit = max_shift_px if max_shift_px is not None else min(a.shape) / 4
    spectrum = _cross_spectrum(_prepared(a, smoothing_px), _prepared(b, smoothing_px))
    dy, dx, peak, edge = _highest(spectrum, a.shape, limit)
    quality = _quality(spectrum, a.shape, peak)
    for _ in range(2):
        whole = (round(dy), round(dx))
        first, second = _overlap(a, b, whole)
        if min(first.shape) < 8:
            break
        again = _cross_spectrum(_prepared(first, smoothing_px), _prepared(second, smoothing_px))
        fy, fx, _, _ = _highest(again, first.shape, 2.0)
        moved = (whole[0] + fy, whole[1] + fx)
        settled = abs(moved[0] - dy) + abs(moved[1] - dx) < 0.5
        dy, dx = moved
        if settled:
            break
    first, second = _overlap(a, b, (round(dy), round(dx)))
    sigma = _sigma(first, second, smoothing_px) if min(first.shape) >= 8 else float("inf")
    found = bool(quality >= LOST_BELOW and not edge and np.isfinite(sigma) and sigma < 3.0)
    return Shift(float(dy), float(dx), float(sigma), float(quality), found)


def _overlap(a: Float, b: Float, whole: tuple[int, int]) -> tuple[Float, Float]:
    """The parts of reference and image that show the same, for a whole-pixel displacement of the image."""
    ny, nx = a.shape
    sy, sx = whole
    part_a = a[max(0, -sy) : ny - max(0, sy), max(0, -sx) : nx - max(0, sx)]
    part_b = b[max(0, sy) : ny - max(0, -sy), max(0, sx) : nx - max(0, -sx)]
    return part_a, part_b


def _cross_spectrum(a: Float, b: Float) -> Complex:
    return np.conj(np.fft.rfft2(a)) * np.fft.rfft2(b)


def _highest(spectrum: Complex, shape: tuple[int, ...], limit: float) -> tuple[float, float, tuple[int, int], bool]:
    """(dy, dx, whole pixel, at the limit) of the highest correlation within `limit`."""
    ny, nx = shape
    correlation = np.fft.irfft2(spectrum, s=(ny, nx))
    ys = np.fft.fftfreq(ny, 1 / ny)
    xs = np.fft.fftfreq(nx, 1 / nx)
    allowed = (ys[:, None] ** 2 + xs[None, :] ** 2) <= max(limit, 1.5) ** 2
    masked = np.where(allowed, correlation, -np.inf)
    iy, ix = (int(i) for i in np.unravel_index(int(np.argmax(masked)), masked.shape))
    near = correlation[np.ix_([(iy - 1) % ny, iy, (iy + 1) % ny], [(ix - 1) % nx, ix, (ix + 1) % nx])]
    oy, ox = _paraboloid_top(near)
    dy, dx = float(ys[iy]) + oy, float(xs[ix]) + ox
    edge = bool(np.hypot(ys[iy], xs[ix]) > max(limit, 1.5) - 1.0)
    return dy, dx, (iy, ix), edge


def _paraboloid_design() -> Float:
    y, x = np.mgrid[-1:2, -1:2].astype(float)
    design = [np.ones(9), y.ravel(), x.ravel(), y.ravel() ** 2, x.ravel() ** 2, (x * y).ravel()]
    return np.asarray(np.linalg.pinv(np.column_stack(design)), dtype=np.float64)


_PARABOLOID = _paraboloid_design()


def _paraboloid_top(near: Float) -> tuple[float, float]:
    """Least-squares paraboloid through 3 x 3 values; offset of its top from the centre, within one pixel."""
    c = _PARABOLOID @ near.ravel()
    determinant = 4 * c[3] * c[4] - c[5] ** 2
    if determinant <= 0 or c[3] >= 0:
        return 0.0, 0.0
    top_y = (c[5] * c[2] - 2 * c[4] * c[1]) / determinant
    top_x = (c[5] * c[1] - 2 * c[3] * c[2]) / determinant
    return float(np.clip(top_y, -1, 1)), float(np.clip(top_x, -1, 1))


def _quality(spectrum: Complex, shape: tuple[int, ...], peak: tuple[int, int]) -> float:
    """Height of the whitened correlation near the peak over its spread elsewhere (phase correlation, band-limited)."""
    ny, nx = shape
    fy, fx = np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None, :]
    power = np.abs(spectrum)
    # The half spectrum of a real image holds every frequency but those of the first (and last) column once.
    twice = np.full(fx.shape, 2.0)
    twice[0, 0] = 1.0
    if nx % 2 == 0:
        twice[0, -1] = 1.0
    mean = float((power * twice).sum()) / (ny * nx)
    band = np.exp(-(fy**2 + fx**2) / (2 * 0.08**2))
    whitened = np.fft.irfft2(spectrum / np.sqrt(power * (power + mean) + 1e-30) * band, s=(ny, nx))
    iy, ix = peak
    top = max(float(whitened[(iy + i) % ny, (ix + j) % nx]) for i in (-2, -1, 0, 1, 2) for j in (-2, -1, 0, 1, 2))
    middle = float(np.median(whitened))
    spread = 1.4826 * float(np.median(np.abs(whitened - middle)))
    return (top - middle) / spread if spread > 0 else 0.0


def _sigma(a: Float, b: Float, smoothing_px: float) -> float:
    """Standard deviation of one shift component, from the noise left between the aligned images."""
    window = np.outer(np.hanning(a.shape[0] + 2)[1:-1], np.hanning(a.shape[1] + 2)[1:-1]) ** 2
    first, second = (np.sqrt(np.maximum(v - min(float(v.min()), 0.0), 0.0) + 0.375) for v in (a, b))
    mean = (gaussian_filter(first, 2.0) + gaussian_filter(second, 2.0)) / 2
    difference = first - second
    high = difference - gaussian_filter(difference, 3.0)
    noise2 = float((window * high**2).sum() / window.sum())
    gy, gx = np.gradient(mean)
    noise_gradient = noise2 / 2 / (32 * np.pi * 2.0**4)  # what smoothed noise alone gives for a squared gradient
    slopes = [float((window * (g**2 - noise_gradient)).sum()) for g in (gy, gx)]
    if min(slopes) <= 0:
        return float("inf")
    return float(np.sqrt(noise2 / min(slopes)) * np.sqrt(1 + smoothing_px**2 / 4))
