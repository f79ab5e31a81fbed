"""A silicon drift detector: efficiency, peak shape, escape and fluorescence, dead time, pile-up.

Resolution: FWHM^2 = noise^2 + 8 ln2 F eps E, the noise set by the stated width at Mn K alpha. Escape of Si K: S. J. B.
Reed and N. G. Ware, J. Phys. E 5 (1972) 582. Window, dead layer: Beer's law with xraydb's coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.special import erfc, ndtr

from cryoctl_simulators.parameters import Parameters, load_parameters

FloatArray = npt.NDArray[np.float64]
MN_KA_EV = 5895.0
SI_K_EDGE_EV = 1839.0
SI_KA_EV = 1740.0
SI_YIELD = 0.05037
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))


class Layer(Parameters):
    thickness_m: float = Field(ge=0)
    density_kg_m3: float = Field(gt=0)


class DetectorParameters(Parameters):
    schema_version: int
    channels: int = Field(gt=15, le=65536)
    energy_offset_ev: float
    energy_scale_ev: float = Field(gt=0)
    fwhm_mn_ka_ev: float = Field(gt=115)
    fano_factor: float = Field(gt=0, lt=1)
    pair_energy_ev: float = Field(gt=0)
    crystal_m: float = Field(gt=0)
    front: dict[str, Layer]
    open_fraction: float = Field(gt=0, le=1)
    tail_fraction: float = Field(ge=0, lt=0.5)
    tail_energy_ev: float = Field(gt=0)
    processing_time_s: float = Field(ge=0)
    pile_up_resolution_s: float = Field(ge=0)


def load_detector(overrides: Mapping[str, Any] | None = None, file: Path | None = None) -> DetectorParameters:
    """The packaged detector_response.yaml, or the user's `file`, with `overrides` merged over it."""
    return load_parameters(DetectorParameters, "cryoctl_simulators.optics", "detector_response", overrides, file)


@lru_cache(maxsize=4096)
def _linear_attenuation_per_m(element: str, density_kg_m3: float, energy_ev: float) -> float:
    import xraydb

    return float(xraydb.mu_elam(element, max(energy_ev, 100.0))) * 0.1 * density_kg_m3


class DetectorResponse:
    """What the detector makes of photons of one energy."""

    def __init__(self, parameters: DetectorParameters | None = None) -> None:
        self.parameters = parameters or load_detector()

    @cached_property
    def edges_ev(self) -> FloatArray:
        """Channel boundaries [channels + 1]; channel c holds energies from edge c up to edge c + 1."""
        p = self.parameters
        return p.energy_offset_ev + p.energy_scale_ev * np.arange(p.channels + 1)

    def sigma_ev(self, energy_ev: float) -> float:
        """Standard deviation of the peak of a line."""
        p = self.parameters
        per_ev = p.fano_factor * p.pair_energy_ev
        noise2 = (p.fwhm_mn_ka_ev / FWHM_PER_SIGMA) ** 2 - per_ev * MN_KA_EV
        return math.sqrt(max(noise2, 0.0) + per_ev * max(energy_ev, 0.0))

    def efficiency(self, energy_ev: float) -> float:
        """Share of the photons towards the stated solid angle that is absorbed in the live crystal."""
        p = self.parameters
        passed = p.open_fraction
        for element, layer in p.front.items():
            passed *= math.exp(-_linear_attenuation_per_m(element, layer.density_kg_m3, energy_ev) * layer.thickness_m)
        stopped = -math.expm1(-_linear_attenuation_per_m("Si", 2329.0, energy_ev) * p.crystal_m)
        return passed * stopped

    def escape_fraction(self, energy_ev: float) -> float:
        """Share of a line's counts found 1.74 keV lower, because Si K left through the entrance."""
        if energy_ev <= SI_K_EDGE_EV:
            return 0.0
        incoming = _linear_attenuation_per_m("Si", 2329.0, energy_ev)
        leaving = _linear_attenuation_per_m("Si", 2329.0, SI_KA_EV)
        k_share = 1.0 - 1.0 / 10.37  # K jump ratio of Si
        return 0.5 * SI_YIELD * k_share * (1.0 - leaving / incoming * math.log1p(incoming / leaving))

    def fluorescence_fraction(self, energy_ev: float) -> float:
        """Si K photons that the dead layer sends into the crystal, per photon counted."""
        layer = self.parameters.front.get("Si")
        if energy_ev <= SI_K_EDGE_EV or layer is None:
            return 0.0
        absorbed = -math.expm1(-_linear_attenuation_per_m("Si", layer.density_kg_m3, energy_ev) * layer.thickness_m)
        return 0.5 * SI_YIELD * (1.0 - 1.0 / 10.37) * absorbed

    def line_shape(self, energy_ev: float) -> FloatArray:
        """Probability by channel [channels] of a counted photon of `energy_ev`; sums to 1 or less at the ends."""
        p = self.parameters
        sigma = self.sigma_ev(energy_ev)
        escape = self.escape_fraction(energy_ev)
        fluorescence = self.fluorescence_fraction(energy_ev)
        shape = np.diff(ndtr((self.edges_ev - energy_ev) / sigma))
        # Photons absorbed near the entrance lose charge: a shelf with an exponential rise towards the peak.
        depth_ratio = _linear_attenuation_per_m("Si", 2329.0, energy_ev) / _linear_attenuation_per_m(
            "Si", 2329.0, p.tail_energy_ev
        )
        tail = min(p.tail_fraction * depth_ratio, 0.3)
        shape = (1.0 - tail) * shape + tail * self._shelf(energy_ev, sigma)
        if escape > 0.0:
            low = energy_ev - SI_KA_EV
            shape = (1.0 - escape) * shape + escape * np.diff(ndtr((self.edges_ev - low) / self.sigma_ev(low)))
        if fluorescence > 0.0:
            peak = np.diff(ndtr((self.edges_ev - SI_KA_EV) / self.sigma_ev(SI_KA_EV)))
            shape = (shape + fluorescence * peak) / (1.0 + fluorescence)
        return shape

    def _shelf(self, energy_ev: float, sigma_ev: float) -> FloatArray:
        centre = 0.5 * (self.edges_ev[1:] + self.edges_ev[:-1])
        length = 0.2 * energy_ev + 30.0
        rise = np.exp(np.clip((centre - energy_ev) / length, -50, 0)) * np.where(centre > 0, 1.0, 0.0)
        step = 0.5 * erfc((centre - energy_ev) / (math.sqrt(2.0) * sigma_ev))
        shelf = rise * step
        return shelf / shelf.sum()

    def live_fraction(self, input_rate_hz: float) -> float:
        """Share of real time in which the detector can count, at a given rate of photons that reach it."""
        return 1.0 / (1.0 + input_rate_hz * self.parameters.processing_time_s)

    def pile_up_probability(self, input_rate_hz: float) -> float:
        """Probability that a counted photon carries the energy of the next one as well."""
        return -math.expm1(-input_rate_hz * self.parameters.pile_up_resolution_s)
