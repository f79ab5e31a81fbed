"""Cryo-holder and biasing source of recorded data: they read what the monitors recorded, and set nothing."""

from __future__ import annotations

import asyncio
import math
from typing import cast

from cryoctl.clock import now_s
from cryoctl.errors import Refused
from cryoctl.interfaces.bias import BiasCapabilities, BiasLimits, BiasReading
from cryoctl.interfaces.holder import HolderCapabilities, TemperatureReading
from cryoctl_simulators.replay.replay_device import ReplayDevice, ReplayFactory


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
    kind = "bias"

    @property
    def capabilities(self) -> BiasCapabilities:
        return cast(BiasCapabilities, self.playback.capabilities(self.name, BiasCapabilities))

    async def set_limits(self, limits: BiasLimits) -> BiasLimits:
        self._link()
        return limits

    async def set_voltage(self, voltage_v: float) -> float:
        self._link()
        return voltage_v

    async def output(self, on: bool) -> bool:
        self._link()
        if on:
            raise Refused(f"{self.name}: recorded data can't switch an output on")
        return False

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


HOLDER = ReplayFactory("holder", ReplayHolder)
BIAS = ReplayFactory("bias", ReplayBias)
