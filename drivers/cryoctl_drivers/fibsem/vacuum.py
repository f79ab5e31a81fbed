"""Pressure in the chamber of a FIB-SEM."""

from __future__ import annotations

import math
from typing import Any

from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl_drivers.fibsem.connection import MicroscopeConnection
from cryoctl_drivers.fibsem.library import Library
from cryoctl_drivers.fibsem.settings import VacuumSettings


class FibsemVacuum:
    """Construction opens nothing."""

    def __init__(self, name: str, settings: VacuumSettings, library: Library) -> None:
        self._name = name
        self.settings = settings
        self._connection = MicroscopeConnection(name, settings, library)

    @property
    def name(self) -> str:
        return self._name

    async def connect(self) -> Identity:
        return await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    async def make_safe(self) -> None:
        await self.pressure()

    async def pressure(self) -> float:
        """NaN where the chamber's gauge gives no number."""

        def act(microscope: Any) -> Any:
            return microscope.get("chamber_pressure")

        told = await self._connection.call("tell the pressure", act)
        return float(told) if isinstance(told, (int, float)) and told > 0 else math.nan


def _make(name: str, settings: VacuumSettings, context: DeviceContext) -> FibsemVacuum:
    return FibsemVacuum(name, settings, Library.of(context))


FACTORY = SettingsFactory("vacuum", VacuumSettings, _make)
