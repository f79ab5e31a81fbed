"""X-ray counts per atom and electron: ionisation cross-section, fluorescence yield, detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryoctl.analysis.detector_response import Detector
from cryoctl.analysis.lines import SUBSHELLS, family_of
from cryoctl.errors import BadInput

BOHR_RADIUS_M = 5.29177e-11
RYDBERG_EV = 13.6057
ELECTRON_REST_EV = 510_999.0


@dataclass(frozen=True)
class CrossSection:
    """Counts in the detector per atom per unit area and electron, m2; `relative_sigma` covers formula and yield."""

    element: str
    m2: float
    relative_sigma: float
    ionisation_m2: float
    fluorescence_yield: float
    efficiency: float


def casnati_m2(edge_ev: float, beam_energy_ev: float, electrons: int) -> float:
    """Ionisation cross-section in m2 of a shell with `electrons` electrons by electron impact.

    Casnati, Tartari and Baraldi, J. Phys. B 15 (1982) 155, with Gryzinski's relativistic factor. Made for K shells
    (about 10 %); on L and M subshells good to 30 % or so. Zero below the edge.
    """
    u = beam_energy_ev / edge_ev
    if u <= 1:
        return 0.0
    phi = 10.57 * np.exp(-1.736 / u + 0.317 / u**2)
    psi = (edge_ev / RYDBERG_EV) ** (-0.0318 + 0.3160 / u - 0.1135 / u**2)
    i, t = edge_ev / ELECTRON_REST_EV, beam_energy_ev / ELECTRON_REST_EV
    relativistic = (2 + i) / (2 + t) * ((1 + t) / (1 + i)) ** 2
    relativistic *= ((i + t) * (2 + t) * (1 + i) ** 2 / (t * (2 + t) * (1 + i) ** 2 + i * (2 + i))) ** 1.5
    area = (BOHR_RADIUS_M * RYDBERG_EV / edge_ev) ** 2
    return float(electrons * area * relativistic * psi * phi * np.log(u) / u)


def cross_section(
    element: str, beam_energy_ev: float, solid_angle_sr: float, detector: Detector | None = None
) -> CrossSection:
    """Partial cross-section of an element's family into the detector: sum over subshells of ionisation times yield
    (xraydb, Coster-Kronig neglected), times efficiency at the lines, times solid angle over 4 pi.

    The whole family counts (K-alpha and K-beta), as in `spectrum_fit`. Raises `BadInput` for a line that the beam can't
    excite or a solid angle outside 0 to 4 pi.
    """
    import xraydb

    if not 0 < solid_angle_sr <= 4 * np.pi:
        raise BadInput(f"edx solid_angle_sr: found {solid_angle_sr:g}; it must lie above 0 and at most 4 pi.")
    family = family_of(element)
    if family.edge_ev >= beam_energy_ev:
        raise BadInput(
            f"edx.elements: {element} needs more than {family.edge_ev / 1e3:.3f} keV and the beam has "
            f"{beam_energy_ev / 1e3:g} keV; name a softer line."
        )
    edges = xraydb.xray_edges(family.element)
    ionised, emitted = 0.0, 0.0
    for shell, electrons in SUBSHELLS[family.family]:
        if shell not in edges:
            continue
        one = casnati_m2(float(edges[shell].energy), beam_energy_ev, electrons)
        ionised += one
        emitted += one * float(edges[shell].fyield)
    efficiency = float(np.dot(family.weights, (detector or Detector()).efficiency(np.asarray(family.energies_ev))))
    # Tables of K yields differ by this much: Elam's for C is half of Krause's (J. Phys. Chem. Ref. Data 8 (1979) 307).
    spread = float(np.interp(family.energy_ev, [277, 525, 677, 1254, 1740, 4000], [0.45, 0.3, 0.25, 0.12, 0.1, 0.05]))
    relative = float(np.hypot(0.1, spread)) if family.family == "K" else 0.4
    return CrossSection(
        element=family.name,
        m2=emitted * efficiency * solid_angle_sr / (4 * np.pi),
        relative_sigma=relative,
        ionisation_m2=ionised,
        fluorescence_yield=emitted / ionised,
        efficiency=efficiency,
    )


def counts_per_electron(section: CrossSection, atoms_per_m3: float, thickness_m: float) -> float:
    """Counts that one electron gives through a uniform film, no absorption in the specimen."""
    return section.m2 * atoms_per_m3 * thickness_m
