"""Who a temscript server stands for."""

from __future__ import annotations

from cryoctl.interfaces.device import Identity
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection


async def identity(server: ScriptingConnection, version: str) -> Identity:
    """The interface tells no serial number; the name of the microscope's PC stands for it."""
    family = str(await server.call("get_family"))
    computer = str(await server.call("get_microscope_id"))
    return Identity(maker="Thermo Fisher", model=family, serial=computer, firmware=f"temscript {version}")
