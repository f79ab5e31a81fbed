"""Simulated vacuum gauge: reads what a simulated holder would."""

from __future__ import annotations

from cryoctl_simulators.devices.simulated_device import SimulatedDevice, SimulatedFactory
from cryoctl_simulators.settings import VacuumSettings


class SimulatedVacuum(SimulatedDevice[VacuumSettings]):
    kind = "vacuum"

    async def pressure(self) -> float:
        await self._link()
        return self.world.pressure_pa()

    async def make_safe(self) -> None:
        await self._link()


FACTORY = SimulatedFactory("vacuum", VacuumSettings, SimulatedVacuum)
