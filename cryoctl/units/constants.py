"""Physical constants (CODATA 2018; the first four exact by the 2019 SI) and the one dose formula."""

from __future__ import annotations

ELEMENTARY_CHARGE_C = 1.602176634e-19
PLANCK_J_S = 6.62607015e-34
SPEED_OF_LIGHT_M_PER_S = 299_792_458.0
AVOGADRO_PER_MOL = 6.02214076e23
BOLTZMANN_J_PER_K = 1.380649e-23
ELECTRON_REST_ENERGY_EV = 510_998.95
CELSIUS_ZERO_K = 273.15
ANGSTROM_M = 1e-10
A2_PER_M2 = 1e20
"""Square angstroms in a square metre."""


def electrons(current_a: float, time_s: float) -> float:
    """Electrons that a current carries in a time; 1 nA for 1 s is 6.2415e9."""
    return current_a * time_s / ELEMENTARY_CHARGE_C


def dose_e_per_a2(current_a: float, time_s: float, area_m2: float) -> float:
    """Beam-normal fluence I*t/(e*A) in e-/A^2; never multiplied by the cosine of the tilt.

    `area_m2` is the area swept in the plane normal to the beam; ValueError where it is not above zero.
    """
    if not area_m2 > 0.0:
        raise ValueError(f"area_m2 is {area_m2}; an area above zero is wanted")
    return electrons(current_a, time_s) / (area_m2 * A2_PER_M2)


def electron_wavelength_m(voltage_v: float) -> float:
    """Relativistic de Broglie wavelength (Reimer and Kohl, eq. 2.12); 2.508 pm at 200 kV."""
    energy_ev = voltage_v
    momentum_ev = (energy_ev * (energy_ev + 2.0 * ELECTRON_REST_ENERGY_EV)) ** 0.5
    return PLANCK_J_S * SPEED_OF_LIGHT_M_PER_S / (momentum_ev * ELEMENTARY_CHARGE_C)
