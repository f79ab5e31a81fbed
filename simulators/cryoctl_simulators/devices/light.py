"""Simulated light on the specimen."""

from __future__ import annotations

import asyncio

from cryoctl.errors import OutOfRange, ReadBackMismatch
from cryoctl.interfaces.light import LightCapabilities
from cryoctl_simulators.devices.simulated_device import SimulatedDevice, SimulatedFactory
from cryoctl_simulators.settings import LightSettings


class SimulatedLight(SimulatedDevice[LightSettings]):
    kind = "light"

    @property
    def capabilities(self) -> LightCapabilities:
        one = self.settings
        return LightCapabilities(
            irradiance_w_per_m2=one.irradiance_w_per_m2,
            accuracy_rel=2 * one.calibration_sigma_rel,
            read_back_rel=2 * one.read_sigma_rel,
            settle_s=one.settle_s,
        )

    async def set_irradiance(self, irradiance_w_per_m2: float) -> float:
        await self._link()
        low, high = self.settings.irradiance_w_per_m2
        if irradiance_w_per_m2 != 0.0 and not low <= irradiance_w_per_m2 <= high:
            raise OutOfRange(
                f"{self.name}.irradiance_w_per_m2: {irradiance_w_per_m2:g} W/m2 is beyond {low:g} to {high:g} W/m2; "
                "unchanged"
            )
        self.world.lamp.shine(self._given(irradiance_w_per_m2), self.world.time_s)
        self.world.commit()
        await asyncio.sleep(self.settings.settle_s)
        return await self.irradiance()

    def _given(self, told_w_per_m2: float) -> float:
        """What the lamp makes of it."""
        shines_w_per_m2 = self.world.lamp.set_w_per_m2
        if shines_w_per_m2 > 0.0 and self.fault("stays-on"):
            return shines_w_per_m2
        if told_w_per_m2 > 0.0 and self.fault("refuses"):
            return 0.0
        differs = self.fault("level-differs") if told_w_per_m2 > 0.0 else False
        return told_w_per_m2 * (1 + differs["rel"]) if isinstance(differs, dict) else told_w_per_m2

    async def irradiance(self) -> float:
        await self._link()
        if self.world.lamp.set_w_per_m2 > 0.0 and self.fault("goes-out"):
            self.forget_settings()
        return self.world.lamp.reading_w_per_m2(self.world.seed, self.world.time_s)

    async def make_safe(self) -> None:
        """Off, and read back."""
        await self._link()
        left = 0.0 if await self.irradiance() == 0.0 else await self.set_irradiance(0.0)
        if left != 0.0:
            raise ReadBackMismatch(f"{self.name}: told to go off, reads back {left:g} W/m2; switch it off by hand")
        self.world.made_safe("light off")

    def forget_settings(self) -> None:
        self.world.lamp.shine(0.0, self.world.time_s)
        self.world.commit()


FACTORY = SimulatedFactory("light", LightSettings, SimulatedLight)
