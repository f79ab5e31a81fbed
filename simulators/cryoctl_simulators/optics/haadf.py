"""High-angle annular dark field image of one scan frame.

Signal: share of electrons scattered into the ring, 1 - exp(-sum N sigma). sigma of Si is Rutherford's with
relativistic gamma, 4 pi gamma^2 Z^2 / (a0^2 k^4) (1/inner^2 - 1/outer^2); other elements go as Z^1.7.
Blur: the probe is a disc of radius |height - focus| * convergence away from focus. Noise: Poisson electrons, spread
of their pulses, read noise; uint16 counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import constants, ndimage

from cryoctl_simulators.optics.cross_sections import BOHR_RADIUS_M, REST_ENERGY_EV, atomic_number
from cryoctl_simulators.parameters import Parameters, load_parameters

FloatArray = npt.NDArray[np.float64]
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))


class HaadfParameters(Parameters):
    schema_version: int
    beam_energy_ev: float = Field(gt=1e4, lt=1e6)
    inner_mrad: float = Field(gt=5)
    outer_mrad: float = Field(gt=10)
    exponent: float = Field(ge=1, le=2)
    detective_efficiency: float = Field(gt=0, le=1)
    counts_per_electron: float = Field(gt=0)
    full_scale_share: float = Field(gt=0, le=1)
    gain_spread: float = Field(ge=0)
    offset_counts: float = Field(ge=0)
    read_noise_counts: float = Field(ge=0)
    convergence_mrad: float = Field(gt=0)
    probe_fwhm_m: float = Field(gt=0)
    tail_share: float = Field(ge=0, lt=1)
    tail_fwhm_m: float = Field(gt=0)


def load_haadf(overrides: Mapping[str, Any] | None = None, file: Path | None = None) -> HaadfParameters:
    """The packaged haadf.yaml, or the user's `file`, with `overrides` merged over it."""
    return load_parameters(HaadfParameters, "cryoctl_simulators.optics", "haadf", overrides, file)


class HaadfDetector:
    """From columns of atoms to the image that the detector writes."""

    def __init__(self, parameters: HaadfParameters | None = None) -> None:
        self.parameters = parameters or load_haadf()
        p = self.parameters
        momentum = math.sqrt(p.beam_energy_ev * (p.beam_energy_ev + 2 * REST_ENERGY_EV)) * constants.e / constants.c
        wave_number = momentum / constants.hbar
        gamma = 1.0 + p.beam_energy_ev / REST_ENERGY_EV
        ring = (1e3 / p.inner_mrad) ** 2 - (1e3 / p.outer_mrad) ** 2
        self.cross_section_si_m2 = 4 * math.pi * (gamma * 14 / BOHR_RADIUS_M) ** 2 / wave_number**4 * ring

    def cross_section_m2(self, element: str) -> float:
        """Cross-section per atom for scattering into the detector."""
        return self.cross_section_si_m2 * (atomic_number(element) / 14.0) ** self.parameters.exponent

    def scattered_share(self, elements: tuple[str, ...], atoms_per_m2: npt.NDArray[np.floating]) -> FloatArray:
        """Share of the beam's electrons that reach the detector [y, x], before any blur."""
        sigma = [self.cross_section_m2(element) for element in elements]
        return -np.expm1(-np.tensordot(sigma, np.asarray(atoms_per_m2, dtype=np.float64), axes=1))

    def blurred(
        self,
        share: FloatArray,
        pixel_size_m: float,
        height_m: npt.ArrayLike = 0.0,
        focus_height_m: npt.ArrayLike = 0.0,
    ) -> FloatArray:
        """Blur a map [y, x] by the probe, its tails and the defocus of each pixel.

        `height_m` and `focus_height_m` are numbers or maps [y, x] along the beam; with dynamic focus the latter
        follows the tilted plane. The disc of confusion is taken as a Gaussian of the same variance (radius / 2).
        """
        p = self.parameters
        radius = np.abs(np.asarray(height_m, dtype=np.float64) - focus_height_m) * p.convergence_mrad * 1e-3
        sigma_px = np.hypot(0.5 * radius, p.probe_fwhm_m / FWHM_PER_SIGMA) / pixel_size_m
        sharp = _varying_gaussian(share, np.broadcast_to(sigma_px, share.shape))
        tail = ndimage.gaussian_filter(share, p.tail_fwhm_m / FWHM_PER_SIGMA / pixel_size_m, mode="nearest")
        return (1.0 - p.tail_share) * sharp + p.tail_share * tail

    def gain_for(self, electrons: float) -> float:
        """Counts per electron with which `full_scale_share` of `electrons` a pixel fills the range; 12 at most.

        An operator sets it once for a series, by the dose of its exposures.
        """
        p = self.parameters
        full = (65535.0 - p.offset_counts) / max(p.full_scale_share * electrons * p.detective_efficiency, 1.0)
        return min(p.counts_per_electron, full)

    def expose(
        self,
        share: FloatArray,
        electrons: npt.ArrayLike,
        rng: np.random.Generator,
        counts_per_electron: float | None = None,
    ) -> npt.NDArray[np.uint16]:
        """The image [y, x] for a (blurred) share of scattered electrons and `electrons` a pixel.

        The gain is `counts_per_electron`, or that of `gain_for` the mean of `electrons`. Saturates at 65535.
        """
        p = self.parameters
        gain = self.gain_for(float(np.mean(electrons))) if counts_per_electron is None else counts_per_electron
        counted = rng.poisson(np.maximum(share, 0.0) * np.asarray(electrons) * p.detective_efficiency)
        spread = np.sqrt(counted * (p.gain_spread * gain) ** 2 + p.read_noise_counts**2)
        image = p.offset_counts + gain * counted + spread * rng.standard_normal(counted.shape)
        return np.clip(np.rint(image), 0, 65535).astype(np.uint16)

    def expected(
        self, share: FloatArray, electrons: npt.ArrayLike, counts_per_electron: float | None = None
    ) -> FloatArray:
        """Mean of `expose` [y, x] at the same gain, saturation left out."""
        p = self.parameters
        gain = self.gain_for(float(np.mean(electrons))) if counts_per_electron is None else counts_per_electron
        return p.offset_counts + share * np.asarray(electrons) * p.detective_efficiency * gain


def _varying_gaussian(image: FloatArray, sigma_px: FloatArray) -> FloatArray:
    """Gaussian blur of a width that varies slowly: interpolated between a few uniform blurs."""
    low, high = float(sigma_px.min()), float(sigma_px.max())
    if high < 0.15:
        return image
    if high - low < 0.1:
        return ndimage.gaussian_filter(image, 0.5 * (low + high), mode="nearest")
    levels = np.linspace(low, high, max(3, min(9, math.ceil((high - low) / 0.5) + 1)))
    stack = np.stack([image if s < 0.15 else ndimage.gaussian_filter(image, s, mode="nearest") for s in levels])
    place = (sigma_px - low) / (high - low) * (len(levels) - 1)
    below = np.clip(place.astype(int), 0, len(levels) - 2)
    weight = place - below
    rows, columns = np.indices(image.shape)
    return stack[below, rows, columns] * (1 - weight) + stack[below + 1, rows, columns] * weight
