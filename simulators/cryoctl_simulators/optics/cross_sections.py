"""Characteristic X-rays: ionisation by electrons, fluorescence yield, lines.

Ionisation: analytical formulas of Bote, Salvat, Jablonski and Powell, At. Data Nucl. Data Tables 95 (2009) 871,
coefficients in cross_sections.yaml. Line energies and shares within a shell: xraydb (Elam, Ravel and Sieber 2002).
Coster-Kronig transfer between L subshells is left out (L lines are only stray lines and marks here).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from pydantic import Field
from scipy import constants

from cryoctl.errors import BadInput
from cryoctl_simulators.parameters import Parameters, load_parameters

REST_ENERGY_EV = constants.m_e * constants.c**2 / constants.e
BOHR_RADIUS_M = constants.physical_constants["Bohr radius"][0]
INVISIBLE = frozenset({"H", "He", "Li", "Be"})


class ShellParameters(Parameters):
    element: str
    shell: str
    edge_ev: float = Field(gt=0)
    fluorescence_yield: float = Field(alias="yield", ge=0, le=1)
    kbeta: float | None = Field(default=None, ge=0, lt=1)
    high: tuple[float, float, float, float, float, float]
    low: tuple[float, float, float, float, float]


class CrossSectionParameters(Parameters):
    schema_version: int
    shells: tuple[ShellParameters, ...]


@dataclass(frozen=True)
class XRayLine:
    """One line; `cross_section_m2` is its production per atom and electron, over the full sphere."""

    element: str
    name: str
    family: str
    energy_ev: float
    cross_section_m2: float


@lru_cache(maxsize=1)
def bundled_shells() -> dict[tuple[str, str], ShellParameters]:
    parameters = load_parameters(CrossSectionParameters, "cryoctl_simulators.optics", "cross_sections")
    return {(shell.element, shell.shell): shell for shell in parameters.shells}


def beta_squared(beam_energy_ev: float) -> float:
    """Square of the beam electrons' speed over that of light."""
    total = beam_energy_ev + REST_ENERGY_EV
    return beam_energy_ev * (beam_energy_ev + 2 * REST_ENERGY_EV) / total**2


def ionisation_cross_section_m2(element: str, shell: str, beam_energy_ev: float) -> float:
    """Cross-section in m2 of ionising `shell` (IUPAC: K, L3, M5) by an electron of `beam_energy_ev`.

    Raises BadInput for a shell without coefficients in cross_sections.yaml.
    """
    datum = bundled_shells().get((element, shell))
    if datum is None:
        raise BadInput(f"edx element {element}: no {shell} cross-section is bundled; add it to cross_sections.yaml")
    overvoltage = beam_energy_ev / datum.edge_ev
    if overvoltage <= 1.0:
        return 0.0
    scale = 4.0 * math.pi * BOHR_RADIUS_M**2
    if overvoltage <= 16.0:
        a1, a2, a3, a4, a5 = datum.low
        v = 1.0 + overvoltage
        bracket = a1 + a2 * overvoltage + a3 / v + a4 / v**3 + a5 / v**5
        return scale * (overvoltage - 1.0) * (bracket / overvoltage) ** 2
    amplitude, b, g1, g2, g3, g4 = datum.high
    beta2 = beta_squared(beam_energy_ev)
    momentum = math.sqrt(beam_energy_ev * (beam_energy_ev + 2 * REST_ENERGY_EV)) / REST_ENERGY_EV
    bracket = (2.0 * math.log(momentum) - beta2) * (1.0 + g1 / momentum)
    bracket += g2 + g3 * (1.0 - beta2) ** 0.25 + g4 / momentum
    return scale * amplitude / beta2 * bracket * overvoltage / (overvoltage + b)


@lru_cache(maxsize=256)
def lines_of(element: str, beam_energy_ev: float) -> tuple[XRayLine, ...]:
    """Every line of `element` above 0.1 keV that the bundled shells give, weakest (below 0.1 %) left out.

    Empty for H, He, Li, Be, which this kind of detector can't see. Raises BadInput for an element without data.
    """
    if element in INVISIBLE:
        return ()
    shells = [shell for (name, _), shell in bundled_shells().items() if name == element]
    if not shells:
        raise BadInput(f"edx element {element}: no cross-section is bundled; add it to cross_sections.yaml")
    lines: list[XRayLine] = []
    for shell in shells:
        produced = shell.fluorescence_yield * ionisation_cross_section_m2(element, shell.shell, beam_energy_ev)
        for name, energy_ev, share in _shares(element, shell):
            if share >= 1e-3 and energy_ev > 100.0 and produced > 0.0:
                lines.append(XRayLine(element, name, shell.shell[0], energy_ev, produced * share))
    return tuple(lines)


def family_cross_section_m2(element: str, family: str, beam_energy_ev: float) -> float:
    """Photons of all lines of `family` (K, L, M) per atom and electron, over the full sphere, in m2."""
    return sum(line.cross_section_m2 for line in lines_of(element, beam_energy_ev) if line.family == family)


def _shares(element: str, shell: ShellParameters) -> list[tuple[str, float, float]]:
    import xraydb

    found = [
        (name, float(line.energy), float(line.intensity))
        for name, line in xraydb.xray_lines(element).items()
        if line.initial_level == shell.shell
    ]
    if not found:
        raise BadInput(f"edx element {element}: xraydb knows no {shell.shell} line; remove it from cross_sections.yaml")
    if shell.kbeta is not None:
        weights = {"a": 1.0 - shell.kbeta, "b": shell.kbeta}
        for greek, weight in weights.items():
            below = sum(share for name, _, share in found if name[1] == greek)
            found = [(n, e, s * weight / below if n[1] == greek else s) for n, e, s in found]
    total = sum(share for _, _, share in found)
    return [(name, energy, share / total) for name, energy, share in found]


@lru_cache(maxsize=4096)
def mass_attenuation_m2_per_kg(element: str, energy_ev: float) -> float:
    """Total X-ray mass attenuation coefficient (Elam, xraydb) in m2/kg."""
    import xraydb

    return float(xraydb.mu_elam(element, max(energy_ev, 100.0))) * 0.1


@lru_cache(maxsize=128)
def atomic_mass_kg(element: str) -> float:
    import xraydb

    return float(xraydb.atomic_mass(element)) * constants.atomic_mass


@lru_cache(maxsize=128)
def atomic_number(element: str) -> int:
    import xraydb

    return int(xraydb.atomic_number(element))


def attenuation_per_atom_m2(element: str, energy_ev: float) -> float:
    """Photon attenuation cross-section per atom in m2."""
    return mass_attenuation_m2_per_kg(element, energy_ev) * atomic_mass_kg(element)
