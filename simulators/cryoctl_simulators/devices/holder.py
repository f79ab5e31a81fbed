"""Simulated cryo-holder: temperature, nitrogen, pressure; a refill shakes."""

from __future__ import annotations

import math

from cryoctl.errors import OutOfRange
from cryoctl.interfaces.holder import HolderCapabilities, TemperatureReading
from cryoctl_simulators.devices.simulated_device import SimulatedDevice, SimulatedFactory
from cryoctl_simulators.settings import HolderSettings
from cryoctl_simulators.world.noise import cut_normal, generator


class SimulatedHolder(SimulatedDevice[HolderSettings]):
    kind = "holder"

    @property
    def capabilities(self) -> HolderCapabilities:
        one = self.settings
        return HolderCapabilities(
            tilt_limits_deg=one.tilt_limits_deg,
            temperature_range_k=one.temperature_range_k,
            hold_time_s=one.hold_time_s,
        )

    async def temperature(self) -> TemperatureReading:
        await self._link()
        self._shakes()
        time_s = self.world.time_s
        true_k = self.world.specimen_temperature_k()
        rng = generator(self.world.seed, "holder", "temperature", f"{time_s:.3f}")
        invalid = self.world.faults.find(self.name, "sensor-invalid") is not None
        reading = math.nan if invalid else true_k + cut_normal(rng, self.settings.sensor_sigma_k)
        return TemperatureReading(temperature_k=reading, valid=not invalid, time_s=self.clock_s())

    async def set_temperature(self, temperature_k: float) -> None:
        await self._link()
        low, high = self.settings.temperature_range_k
        if not low <= temperature_k <= high:
            raise OutOfRange(f"{self.name}.temperature_k: {temperature_k:g} K is beyond {low:g} to {high:g} K")
        self.world.cold.set_point(temperature_k, self.world.time_s)
        self.world.commit()

    async def nitrogen(self) -> float:
        await self._link()
        level = self.world.cold.nitrogen(self.world.time_s)
        low = self.world.faults.find(self.name, "nitrogen-low")
        return level if low is None else min(level, low["level"])

    async def pressure(self) -> float:
        await self._link()
        return self.world.pressure_pa()

    def forget_settings(self) -> None:
        self.world.cold.set_point(self.settings.temperature_k, self.world.time_s)
        self.world.commit()

    async def make_safe(self) -> None:
        """Rest is cold: the set point stays."""
        await self._link()

    def _shakes(self) -> None:
        shaken = self.world.faults.take(self.name, "refill-shakes")
        if shaken is not None:
            self.world.cold.refill(self.world.time_s)
            self.world.stage.refill(self.world.time_s, shaken["drift_m_per_s"])
            self.world.commit()


FACTORY = SimulatedFactory("holder", HolderSettings, SimulatedHolder)
