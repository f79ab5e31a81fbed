"""Beam shift and working distance of the electron column."""

from __future__ import annotations

from typing import Any

from cryoctl_drivers.by_command.deflectors import Deflectors
from cryoctl_drivers.fibsem.connection import MicroscopeConnection
from cryoctl_drivers.fibsem.settings import ElectronBeamSettings


class ElectronDeflectors(Deflectors):
    def __init__(self, name: str, settings: ElectronBeamSettings, connection: MicroscopeConnection) -> None:
        super().__init__(name, settings)
        self._eucentric_m = settings.working_distance_m
        self._connection = connection

    async def set_shift(self, x_m: float, y_m: float) -> tuple[float, float]:
        library = self._connection.library

        def act(microscope: Any) -> Any:
            return microscope.set_beam_shift(library.point(x_m, y_m), library.electrons)

        found = await self._connection.call("shift the beam", act)
        return (float(found.x), float(found.y))

    async def read_shift(self) -> tuple[float, float]:
        electrons = self._connection.library.electrons
        found = await self._connection.call("read the beam's shift", lambda it: it.get_beam_shift(electrons))
        return (float(found.x), float(found.y))

    async def set_defocus(self, defocus_m: float) -> float:
        """What is higher than the eucentric plane is nearer to the lens."""
        library = self._connection.library

        def act(microscope: Any) -> Any:
            return microscope.set_working_distance(self._eucentric_m - defocus_m, library.electrons)

        return self._eucentric_m - float(await self._connection.call("set the working distance", act))
