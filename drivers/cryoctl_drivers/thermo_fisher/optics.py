"""A preset of the column, as far as the scripting interface reaches: what it sets, what it only reads, what it is told.

Set and read back: STEM mode, spot, condenser setting, scan rotation. Read and compared: voltage, and camera length and
convergence where the microscope tells them. Taken as stated: apertures, and the current, which has no read-back that
spares the specimen. There is no dynamic focus.
"""

from __future__ import annotations

import math
from dataclasses import replace

from cryoctl.errors import OutOfRange, ReadBackMismatch
from cryoctl.interfaces.beam import Optics
from cryoctl_drivers.by_command.presets import check_preset, check_turn, turn_rad
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.settings import BeamSettings

_SAME_REL = 0.1
"""What a camera length or a convergence may differ: they are rounded or calibrated by whoever tells them."""
_SAME_INTENSITY = 1e-3


def check(name: str, wanted: Optics, settings: BeamSettings) -> None:
    """
    Raises:
        OutOfRange: it can't be had; nothing was asked of the column.
    """
    check_preset(name, wanted, settings.presets)
    if wanted.voltage_v != settings.voltage_v:
        raise OutOfRange(
            f"{name}.voltage_v: {wanted.voltage_v:g} V is not {settings.voltage_v:g} V, at which the column stands; "
            "the interface can't change it"
        )


async def apply(name: str, server: ScriptingConnection, wanted: Optics, settings: BeamSettings) -> Optics:
    """Set what can be set, the beam being blanked; as read back.

    Raises:
        ReadBackMismatch: it reads otherwise.
    """
    preset = settings.presets[wanted.name]
    if await server.call("get_instrument_mode") != "STEM":
        await server.call("set_instrument_mode", "STEM")
    mode = await server.call("get_instrument_mode")
    if mode != "STEM":
        raise ReadBackMismatch(f"{name}: was told to go to STEM, reads {mode}; see the microscope's own panel")
    await server.call("set_spot_size_index", wanted.spot)
    if preset.intensity is not None:
        await server.call("set_intensity", preset.intensity)
    await set_rotation(name, server, wanted.scan_rotation_deg)
    volts = 1e3 * float(await server.call("get_voltage"))
    if not math.isclose(volts, wanted.voltage_v, rel_tol=1e-3):
        raise ReadBackMismatch(f"{name}.voltage_v: reads {volts:g} V, preset says {wanted.voltage_v:g} V; see the gun")
    spot = int(await server.call("get_spot_size_index"))
    if spot != wanted.spot:
        raise ReadBackMismatch(f"{name}.spot: was set to {wanted.spot}, reads {spot}; choose one that there is")
    intensity = float(await server.call("get_intensity"))
    if preset.intensity is not None and abs(intensity - preset.intensity) > _SAME_INTENSITY:
        raise ReadBackMismatch(f"{name}.intensity: was set to {preset.intensity:g}, reads {intensity:g}")
    _same(name, "camera_length_m", wanted.camera_length_m, await server.call("get_indicated_camera_length"))
    if await server.call("get_family") == "TITAN":
        _same(name, "convergence_rad", wanted.convergence_rad, await server.call("get_convergence_angle"))
    return replace(wanted, dynamic_focus=False)


async def set_rotation(name: str, server: ScriptingConnection, rotation_deg: float) -> None:
    """Of the scan; read back."""
    await server.call("set_stem_rotation", turn_rad(rotation_deg))
    check_turn(name, rotation_deg, float(await server.call("get_stem_rotation")))


def _same(name: str, field: str, stated: float, told: object) -> None:
    """0 stands for: not told in this mode."""
    found = float(str(told))
    if found > 0 and not math.isclose(found, stated, rel_tol=_SAME_REL):
        raise ReadBackMismatch(
            f"{name}.{field}: reads {found:g}, preset says {stated:g}; choose it at the microscope or mend the preset"
        )
