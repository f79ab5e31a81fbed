"""What a silicon drift detector makes of a line or of bremsstrahlung: width, escape, efficiency.

Templates are counts per channel for one detected count in all, so that a fitted amplitude is a number of counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr

from cryoctl.analysis.lines import Family

Float = npt.NDArray[np.float64]

MN_KA_EV = 5895.0
SIGMA_PER_FWHM = 1 / (2 * np.sqrt(2 * np.log(2)))
SI_KA_EV = 1740.0
SI_K_EDGE_EV = 1839.0
DENSITIES_KG_M3 = {"C": 2000.0, "N": 1250.0, "O": 1140.0, "Al": 2700.0, "Si": 2330.0}


@dataclass(frozen=True)
class Detector:
    """Silicon drift detector: resolution and the layers in front of it.

    `fwhm_mn_ka_ev` and `noise_fwhm_ev` set the width at 5.895 keV and at zero. Photons stopped near the entrance lose
    charge: of a line at 0.3 keV `tail_fraction` lies in an exponential tail below it, at other energies in proportion
    to silicon's absorption, of length 30 eV plus `tail_slope` times the energy.
    `layers` are (element, thickness in m) of window, contact and dead layer; `crystal_m` is the sensitive depth.
    """

    fwhm_mn_ka_ev: float = 130.0
    noise_fwhm_ev: float = 53.0
    tail_fraction: float = 0.02
    tail_slope: float = 0.15
    layers: tuple[tuple[str, float], ...] = (("Al", 30e-9), ("Si", 50e-9))
    crystal_m: float = 450e-6

    def fwhm_ev(self, energy_ev: npt.ArrayLike) -> Float:
        """FWHM in eV at the energies: electronic noise plus Fano statistics, variance linear in energy.

        130 eV at Mn K-alpha (5.895 keV) with 53 eV of noise is a Fano factor of 0.115 at 3.76 eV a pair.
        """
        slope = (self.fwhm_mn_ka_ev**2 - self.noise_fwhm_ev**2) / MN_KA_EV
        energy = np.maximum(np.asarray(energy_ev, dtype=np.float64), 0.0)
        return np.asarray(np.sqrt(self.noise_fwhm_ev**2 + slope * energy), dtype=np.float64)

    def efficiency(self, energy_ev: npt.ArrayLike) -> Float:
        """Share of the photons that come through the layers and are stopped in the crystal, 0 to 1."""
        energy = np.asarray(energy_ev, dtype=np.float64)
        passed = np.ones_like(energy)
        for element, thickness_m in self.layers:
            passed = passed * transmission(element, thickness_m, energy)
        return passed * (1 - transmission("Si", self.crystal_m, energy))


@cache
def _attenuation_table(element: str) -> tuple[Float, Float]:
    """(energy in eV, linear attenuation in 1/m); xraydb's Elam tables, total cross-section."""
    import xraydb

    energy = np.unique(np.concatenate([np.geomspace(100.0, 60_000.0, 2400), np.arange(100.0, 3000.0, 2.5)]))
    mu_cm2_g = np.asarray(xraydb.mu_elam(element, energy, kind="total"), dtype=np.float64)
    return energy, mu_cm2_g * 0.1 * DENSITIES_KG_M3[element]


def attenuation_per_m(element: str, energy_ev: npt.ArrayLike) -> Float:
    """Linear attenuation coefficient in 1/m of a layer's material; constant below 100 eV, where no table reaches."""
    energy, mu = _attenuation_table(element)
    return np.interp(np.asarray(energy_ev, dtype=np.float64), energy, mu)


def transmission(element: str, thickness_m: float, energy_ev: npt.ArrayLike) -> Float:
    """exp(-mu t), 0 to 1."""
    return np.exp(-attenuation_per_m(element, energy_ev) * thickness_m)


def escape_fraction(energy_ev: float) -> float:
    """Share of a line's counts that appear 1.740 keV lower because a Si K photon left the crystal.

    Reed and Ware, J. Phys. E 5 (1972) 582, normal incidence, fluorescence yield 0.047.
    """
    if energy_ev <= SI_K_EDGE_EV:
        return 0.0
    ratio = float(attenuation_per_m("Si", SI_KA_EV) / attenuation_per_m("Si", energy_ev))
    return 0.5 * 0.047 * (1 - 1 / 10.8) * (1 - ratio * np.log1p(1 / ratio))


def line_template(family: Family, detector: Detector, edges_ev: Float) -> Float:
    """Counts per channel of one count of the family, shape [channel]; `edges_ev` [channel + 1] are channel limits."""
    return line_templates((family,), detector, edges_ev)[0]


def line_templates(families: Sequence[Family], detector: Detector, edges_ev: Float) -> Float:
    """As `line_template`, of several families at once, shape [family, channel].

    Each peak is a Gaussian with its low-energy tail (a Gaussian convolved with an exponential), sum one over all
    energies. All peaks are evaluated in one go, each over the channels that it reaches: a fit asks for some hundred
    sets of templates.
    """
    n_channels = len(edges_ev) - 1
    peaks = [_peaks(family, detector.layers, detector.crystal_m) for family in families]
    energy, weight, depth = (np.concatenate([one[k] for one in peaks] or [np.zeros(0)]) for k in range(3))
    family = np.repeat(np.arange(len(peaks)), [len(one[0]) for one in peaks])
    sigma = detector.fwhm_ev(energy) * SIGMA_PER_FWHM
    length = detector.tail_slope * np.maximum(energy, 0.0) + 30.0
    share = np.minimum(detector.tail_fraction * depth, 0.3)
    reach = np.maximum(7 * sigma, np.where(share > 0, 12 * length, 0.0))
    first, last = np.searchsorted(edges_ev, energy - reach), np.searchsorted(edges_ev, energy + 7 * sigma)
    n_edges = last - first
    peak = np.repeat(np.arange(len(energy)), n_edges)
    edge = np.arange(len(peak)) + np.repeat(first - (np.cumsum(n_edges) - n_edges), n_edges)
    z = (edges_ev[edge] - energy[peak]) / sigma[peak]
    ratio = (sigma / length)[peak]
    below = ndtr(z) + share[peak] * np.exp(z * ratio + ratio**2 / 2 + log_ndtr(-z - ratio))
    inside = peak[1:] == peak[:-1]
    channel = (family[peak] * n_channels + edge)[:-1][inside]
    counts = (weight[peak[1:]] * np.diff(below))[inside]
    templates = np.bincount(channel, counts, minlength=len(peaks) * n_channels).astype(np.float64)
    return templates.reshape(len(peaks), n_channels)


@cache
def _peaks(family: Family, layers: tuple[tuple[str, float], ...], crystal_m: float) -> tuple[Float, Float, Float]:
    """Energies (eV) of the family's peaks, escape peaks included; their shares of its counts behind the detector's
    layers; silicon's absorption there in units of that at 0.3 keV, on which the tail depends."""
    energies = np.asarray(family.energies_ev)
    weights = np.asarray(family.weights) * Detector(layers=layers, crystal_m=crystal_m).efficiency(energies)
    weights = weights / weights.sum()
    strong = weights >= 5e-4
    seen = [
        (float(e), float(w), escape_fraction(float(e))) for e, w in zip(energies[strong], weights[strong], strict=True)
    ]
    escaped = [(e - SI_KA_EV, w * escape) for e, w, escape in seen if escape > 0]
    energy, weight = np.array([(e, w * (1 - escape)) for e, w, escape in seen] + escaped).T
    depth = attenuation_per_m("Si", energy) / attenuation_per_m("Si", 300.0)
    return energy, weight, np.asarray(depth, dtype=np.float64)


def bremsstrahlung_templates(detector: Detector, edges_ev: Float, beam_energy_ev: float) -> Float:
    """Smooth backgrounds, shape [template, channel], each with sum one over the channels.

    A thin specimen's bremsstrahlung falls about as (E0 - E)/E (Kramers, Phil. Mag. 46 (1923) 836) behind the detector's
    layers. It is offered whole, behind absorbers of unknown thickness (specimen, contamination, window), and cut by
    cubic B-splines in log E, each far wider than a line, so that no detector model need be exact. A fit mixes them,
    none below zero.
    """
    centres = (edges_ev[1:] + edges_ev[:-1]) / 2
    energy, shapes = _bremsstrahlung_shapes(detector.layers, detector.crystal_m, round(beam_energy_ev))
    templates = np.stack([np.interp(centres, energy, shape) for shape in shapes])
    total = templates.sum(axis=1)
    return templates[total > 0] / total[total > 0, None]


SPLINE_KNOTS_EV = np.array([60.0, 110.0, 200.0, 370.0, 700.0, 1350.0, 2700.0, 5000.0, 9000.0, 16_000.0, 40_000.0])


@cache
def _bremsstrahlung_shapes(
    layers: tuple[tuple[str, float], ...], crystal_m: float, beam_energy_ev: int
) -> tuple[Float, Float]:
    """(energy [n], shapes [template, n]) smeared by a resolution of 130 eV; a background feels no other width."""
    from scipy.interpolate import BSpline

    detector = Detector(layers=layers, crystal_m=crystal_m)
    energy = np.concatenate([np.arange(-200.0, 3000.0, 4.0), np.arange(3000.0, 60_000.0, 40.0)])
    offsets = np.linspace(-3.5, 3.5, 57)
    share = np.exp(-(offsets**2) / 2)[:, None]
    share = share / share.sum()
    sigma = detector.fwhm_ev(energy) * SIGMA_PER_FWHM
    sampled = np.maximum(energy[None, :] + offsets[:, None] * sigma[None, :], 40.0)
    kramers = np.maximum(1 - sampled / beam_energy_ev, 0.0) * 1000.0 / sampled * detector.efficiency(sampled)
    factors = [np.ones_like(sampled)]
    factors += [transmission("C", 0.3e-6, sampled), transmission("O", 0.3e-6, sampled)]
    factors += [transmission("Si", thickness, sampled) for thickness in (0.3e-6, 2e-6)]
    shapes = [(share * kramers * factor).sum(axis=0) for factor in factors]
    knots = np.log(SPLINE_KNOTS_EV)
    knots = np.concatenate([[knots[0]] * 3, knots, [knots[-1]] * 3])
    log_energy = np.clip(np.log(np.maximum(energy, 40.0)), knots[0], knots[-1])
    for k in range(len(knots) - 4):
        coefficients = np.zeros(len(knots) - 4)
        coefficients[k] = 1.0
        shapes.append(shapes[0] * np.maximum(BSpline(knots, coefficients, 3)(log_energy), 0.0))
    return energy, np.stack(shapes)
