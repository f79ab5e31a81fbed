"""Energy that beam electrons lose in matter by collisions: Bethe's formula for electrons.

Berger and Seltzer, ICRU report 37 (1984), without the density effect (some 3 % at 300 kV). Mean excitation energies:
M. J. Berger, S. M. Seltzer (1964): 11.5 eV Z up to Z = 13, then 9.76 Z + 58.8 Z^-0.19; those of a compound by Bragg.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy import constants

from cryoctl_simulators.optics.cross_sections import REST_ENERGY_EV, atomic_number

_RADIUS_M = constants.physical_constants["classical electron radius"][0]
_LIGHT = 13


def excitation_ev(element: str) -> float:
    """Mean excitation energy of an element."""
    z = atomic_number(element)
    return 11.5 * z if z < _LIGHT else 9.76 * z + 58.8 * z**-0.19


def stopping_ev_per_m(atoms_per_m3: Mapping[str, float], beam_energy_ev: float) -> float:
    """Mean energy lost a metre of way through these atoms."""
    tau = beam_energy_ev / REST_ENERGY_EV
    beta2 = tau * (tau + 2) / (tau + 1) ** 2
    shape = 1 - beta2 + (tau**2 / 8 - (2 * tau + 1) * math.log(2)) / (tau + 1) ** 2
    each = 2 * math.pi * _RADIUS_M**2 * REST_ENERGY_EV / beta2
    return sum(
        density
        * atomic_number(element)
        * each
        * (math.log(tau**2 * (tau + 2) / (2 * (excitation_ev(element) / REST_ENERGY_EV) ** 2)) + shape)
        for element, density in atoms_per_m3.items()
    )
