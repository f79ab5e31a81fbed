"""Vacuum gauge of a Thermo Fisher TEM, one of those that its interface lists."""

from __future__ import annotations

import math

from cryoctl.errors import InstrumentError
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.identity import identity
from cryoctl_drivers.thermo_fisher.settings import VacuumSettings


class ThermoFisherVacuum:
    """Construction opens nothing."""

    def __init__(self, name: str, settings: VacuumSettings) -> None:
        self._name = name
        self.settings = settings
        self._server = ScriptingConnection(name, settings)

    @property
    def name(self) -> str:
        return self._name

    async def connect(self) -> Identity:
        version = await self._server.open()
        there = (await self._server.call("get_vacuum"))["gauges(Pa)"]
        if self.settings.gauge not in there:
            raise InstrumentError(
                f"{self.name}: settings.gauge: there is no {self.settings.gauge!r} that reads anything, the microscope "
                f"has {', '.join(there) or 'none'}; name one of them"[:300]
            )
        return await identity(self._server, version)

    async def close(self) -> None:
        await self._server.close()

    async def make_safe(self) -> None:
        await self._server.call("get_version")

    async def pressure(self) -> float:
        """NaN where it reads below or above its range, or nothing valid: the interface gives no number then."""
        told = (await self._server.call("get_vacuum"))["gauges(Pa)"].get(self.settings.gauge)
        return float(told) if isinstance(told, int | float) and told > 0 else math.nan


def _make(name: str, settings: VacuumSettings, context: DeviceContext) -> ThermoFisherVacuum:
    del context
    return ThermoFisherVacuum(name, settings)


FACTORY = SettingsFactory("vacuum", VacuumSettings, _make)
