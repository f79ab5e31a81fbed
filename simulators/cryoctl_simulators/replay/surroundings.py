"""Cryo-holder and biasing source of recorded data: they read what the monitors recorded, and set nothing."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from cryoctl.clock import now_s
from cryoctl.interfaces.bias import BiasCapabilities, BiasLimits, BiasReading, BiasStatus, OffMode, RecordedBias
from cryoctl.interfaces.holder import HolderCapabilities, TemperatureReading
from cryoctl.interfaces.light import LightCapabilities
from cryoctl_simulators.replay.replay_device import ReplayDevice, ReplayFactory

_NONE = BiasLimits(voltage_limit_v=math.nan, compliance_a=math.nan)


class ReplayHolder(ReplayDevice):
    kind = "holder"

    @property
    def capabilities(self) -> HolderCapabilities:
        return cast(HolderCapabilities, self.playback.capabilities(self.name, HolderCapabilities))

    async def temperature(self) -> TemperatureReading:
        self._link()
        valid = not self.playback.met("temperature-sensor")
        reading = self.playback.value("temperature") if valid else math.nan
        return TemperatureReading(temperature_k=reading, valid=valid, time_s=now_s())

    async def set_temperature(self, temperature_k: float) -> None:
        """What was recorded stays as it is."""
        del temperature_k
        self._link()

    async def nitrogen(self) -> float:
        self._link()
        return self.playback.value("nitrogen")

    async def pressure(self) -> float:
        self._link()
        return self.playback.value("pressure")


class ReplayBias(ReplayDevice):
    """Answers the steps of the source as they were answered (`interfaces.bias.RecordedSource`)."""

    kind = "bias"

    @property
    def capabilities(self) -> BiasCapabilities:
        return cast(BiasCapabilities, self.playback.capabilities(self.name, BiasCapabilities))

    async def answer(self, kind: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        self._link()
        return await self.playback.answer(self.name, kind, asked)

    def met(self, interlock: str) -> str:
        return self.playback.met(interlock)

    def told(self) -> Sequence[RecordedBias]:
        return self.playback.told_of_bias()

    def asked_alike(self, kind: str, asked: Mapping[str, Any]) -> bool:
        return self.playback.asked_alike(kind, asked)

    async def status(self) -> BiasStatus:
        """Nothing real is there that could be on."""
        self._link()
        return BiasStatus(output_on=False, off_mode=OffMode.HIGH_IMPEDANCE, limits=_NONE)

    async def read(self) -> BiasReading:
        self._link()
        await asyncio.sleep(self.playback.sampling_s)
        return BiasReading(
            voltage_v=self.playback.value("bias_voltage"),
            current_a=self.playback.value("bias_current"),
            in_compliance=False,
            output_on=False,
            time_s=now_s(),
        )

    async def cut_off(self) -> None:
        """Nothing real is there to be cut off."""


class ReplayLight(ReplayDevice):
    kind = "light"

    @property
    def capabilities(self) -> LightCapabilities:
        return cast(LightCapabilities, self.playback.capabilities(self.name, LightCapabilities))

    async def set_irradiance(self, irradiance_w_per_m2: float) -> float:
        """What was recorded stays as it is; it reads as it was recorded."""
        self._link()
        await asyncio.sleep(self.capabilities.settle_s)
        return await self.irradiance() if irradiance_w_per_m2 else 0.0

    async def irradiance(self) -> float:
        self._link()
        return self.playback.value("light")


HOLDER = ReplayFactory("holder", ReplayHolder)
BIAS = ReplayFactory("bias", ReplayBias)
LIGHT = ReplayFactory("light", ReplayLight)
