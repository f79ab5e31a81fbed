"""Pictures of matter in a few layers, each a plane at its own height: out of focus as a whole where its plane is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from cryoctl_simulators.optics.haadf import FWHM_PER_SIGMA, HaadfDetector

FloatArray = npt.NDArray[np.float64]
_EVEN = 0.1
"""Blurs that differ by less than this share, or so many pixels, are taken as one."""
_MOST_MARGIN_PX = 96
_SHARP_PX = 0.15
"""A narrower Gaussian is none: on pixels it would ring."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Scattering strength [y, x] (mean number of scattering events a beam electron) and the height above focus of its
    plane (m): a number for each row [y, 1]."""

    strength: FloatArray
    defocus_m: FloatArray


def scattered_share(layers: Sequence[Layer], detector: HaadfDetector, pixel_size_m: float) -> FloatArray:
    """Share of the beam's electrons [y, x] that reach the detector through all layers, each blurred by the probe at
    its height: what one layer scatters is lost to the others."""
    left: FloatArray | None = None
    for layer in layers:
        passed = 1.0 - _blurred(-np.expm1(-layer.strength), layer.defocus_m, detector, pixel_size_m)
        left = passed if left is None else left * passed
    return np.zeros(()) if left is None else np.clip(1.0 - left, 0.0, 1.0)


def _blurred(share: FloatArray, defocus_m: FloatArray, detector: HaadfDetector, pixel_size_m: float) -> FloatArray:
    p = detector.parameters
    disc_m = np.abs(defocus_m) * p.convergence_mrad * 1e-3 / 2
    sigma_px = np.hypot(disc_m, p.probe_fwhm_m / FWHM_PER_SIGMA) / pixel_size_m
    low, high = float(sigma_px.min()), float(sigma_px.max())
    if high - low > max(_EVEN, _EVEN * high):
        return detector.blurred(share, pixel_size_m, np.broadcast_to(defocus_m, share.shape), 0.0)
    tail_px = p.tail_fwhm_m / FWHM_PER_SIGMA / pixel_size_m
    return two_gaussians(share, 0.5 * (low + high), tail_px, p.tail_share)


def two_gaussians(image: FloatArray, sigma_px: float, tail_px: float, tail_share: float) -> FloatArray:
    """Blurred by a Gaussian and by a share of another one; the picture goes on beyond its edges as it ends there."""
    widest = max(sigma_px, tail_px if tail_share > 0 else 0.0)
    if widest < _SHARP_PX:
        return image
    margin = min(_MOST_MARGIN_PX, math.ceil(3 * widest) + 1)
    shape = tuple(fft.next_fast_len(n + 2 * margin, real=True) for n in image.shape)
    around = [(margin, n - m - margin) for n, m in zip(shape, image.shape, strict=True)]
    padded = np.pad(image.astype(np.float32), around, mode="edge")
    sharp, tail = (_gaussian(shape, sigma) for sigma in (sigma_px, tail_px))
    transfer = (1 - tail_share) * np.multiply.outer(*sharp) + tail_share * np.multiply.outer(*tail)
    blurred = fft.irfft2(fft.rfft2(padded) * transfer, s=shape, overwrite_x=True)
    return np.asarray(blurred[margin : margin + image.shape[0], margin : margin + image.shape[1]], dtype=np.float64)


def _gaussian(shape: tuple[int, ...], sigma_px: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What it leaves of each frequency of the rows and of the columns."""
    frequencies = fft.fftfreq(shape[0]), fft.rfftfreq(shape[1])
    sigma_px = sigma_px if sigma_px >= _SHARP_PX else 0.0
    down, along = (np.exp(-2 * (math.pi * sigma_px * one) ** 2).astype(np.float32) for one in frequencies)
    return down, along
