"""A preset of the electron column, as far as fibsem reaches.

Set and read back: voltage, current from the microscope's own list, scan rotation. Taken as stated: the current that
counts, which nobody can measure through fibsem, and what a scanning column of this kind does not have (camera length,
convergence, spot, apertures).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from cryoctl.errors import OutOfRange, ReadBackMismatch
from cryoctl.interfaces.beam import Optics
from cryoctl_drivers.by_command.presets import check_preset, check_turn, turn_rad
from cryoctl_drivers.fibsem.connection import MicroscopeConnection
from cryoctl_drivers.fibsem.settings import ElectronBeamSettings

_SAME_CURRENT_REL = 0.01
_SAME_REL = 1e-3
_VOLTAGE_S = 60.0
"""A change of the high voltage."""


def check(name: str, wanted: Optics, settings: ElectronBeamSettings) -> None:
    """
    Raises:
        OutOfRange: it can't be had; nothing was asked of the column.
    """
    check_preset(name, wanted, settings.presets)
    if wanted.voltage_v not in settings.voltages_v:
        there = ", ".join(f"{one:g}" for one in settings.voltages_v)
        raise OutOfRange(f"{name}.voltage_v: {wanted.voltage_v:g} V is not among settings.voltages_v: {there}"[:300])


async def apply(name: str, connection: MicroscopeConnection, wanted: Optics, settings: ElectronBeamSettings) -> Optics:
    """Set what can be set, the beam being blanked; as read back. A voltage that is right already is left alone.

    Raises:
        ReadBackMismatch: it reads otherwise.
    """
    electrons = connection.library.electrons
    nominal_a = settings.presets[wanted.name].nominal_a

    def set_voltage(microscope: Any) -> Any:
        found_v = microscope.get_beam_voltage(electrons)
        if math.isclose(found_v, wanted.voltage_v, rel_tol=_SAME_REL):
            return found_v
        return microscope.set_beam_voltage(wanted.voltage_v, electrons)

    found_v = float(await connection.call("set its voltage", set_voltage, _VOLTAGE_S))
    if not math.isclose(found_v, wanted.voltage_v, rel_tol=_SAME_REL):
        raise ReadBackMismatch(f"{name}.voltage_v: was set to {wanted.voltage_v:g} V, reads {found_v:g} V; see the gun")
    found_a = float(
        await connection.call("set its current", lambda one: one.set_beam_current(nominal_a, electrons), _VOLTAGE_S)
    )
    if not math.isclose(found_a, nominal_a, rel_tol=_SAME_CURRENT_REL):
        raise ReadBackMismatch(
            f"{name}: its current was set to {nominal_a:g} A, reads {found_a:g} A; choose one of the microscope's own "
            "and measure what it gives"
        )
    await set_rotation(name, connection, wanted.scan_rotation_deg)
    return replace(wanted, dynamic_focus=False)


async def set_rotation(name: str, connection: MicroscopeConnection, rotation_deg: float) -> None:
    """Of the scan; read back."""
    electrons, wanted_rad = connection.library.electrons, turn_rad(rotation_deg)
    found = await connection.call("turn the scan", lambda one: one.set_scan_rotation(wanted_rad, electrons))
    check_turn(name, rotation_deg, float(found))
