"""Beam shift and focus through the scripting interface."""

from __future__ import annotations

from cryoctl_drivers.by_command.deflectors import Deflectors
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.settings import BeamSettings


class ServerDeflectors(Deflectors):
    def __init__(self, name: str, settings: BeamSettings, server: ScriptingConnection) -> None:
        super().__init__(name, settings)
        self._unit_m = settings.focus_m_per_unit
        self._server = server

    async def set_shift(self, x_m: float, y_m: float) -> tuple[float, float]:
        await self._server.call("set_beam_shift", (x_m, y_m))
        return await self.read_shift()

    async def read_shift(self) -> tuple[float, float]:
        x, y = await self._server.call("get_beam_shift")
        return (float(x), float(y))

    async def set_defocus(self, defocus_m: float) -> float:
        await self._server.call("set_defocus", defocus_m / self._unit_m)
        return self._unit_m * float(await self._server.call("get_defocus"))
