"""Needle, oxide, coating and particle as a source sees them."""

from __future__ import annotations

import math

from scipy.constants import elementary_charge

from cryoctl_simulators.specimens.coated_particles import CellParameters, CoatedParticlesParameters, Particle
from cryoctl_simulators.world.lithiation import Reaction, drive, front_time_s


def resistance_ohm(cell: CellParameters, voltage_v: float, reaction: float) -> float:
    """Of a contact at this voltage: what leaks through oxide and coating, and the ions' current (A) beside it."""
    over_v = voltage_v - cell.open_circuit_v
    ions = reaction / over_v if over_v else 0.0
    return 1 / (1 / (cell.contact_ohm if cell.conducts else cell.leakage_ohm) + ions)


def capacity_c(parameters: CoatedParticlesParameters, particle: Particle) -> float:
    """Charge of all the ions that its core takes up."""
    silicon = parameters.materials.silicon.atoms_per_m3()["Si"]
    core_m3 = 4 / 3 * math.pi * particle.core_radius_m**3
    return elementary_charge * parameters.its_ion.atoms * silicon * core_m3


def reaction_a(reaction: Reaction, voltage_v: float, oxide_m: float, capacity: float) -> float:
    """Current of the ions that pass at this voltage; `capacity` is that of the core (C)."""
    speed = drive(voltage_v, reaction.cell, oxide_m, reaction.begun) / front_time_s(reaction.law)
    q = reaction.state["q"]
    if (speed > 0 and q >= 1) or (speed < 0 and q <= reaction.least_q()):
        return 0.0
    return capacity * 3 * (1 - q) ** 2 * speed
