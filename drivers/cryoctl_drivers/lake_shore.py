"""Lake Shore 335 and 336 temperature controllers as a cryo-holder: serial over USB, or TCP (336).

Setters are silent, so each is read back. There is no nitrogen level and no pressure behind these wires: both read NaN,
and interlocks on them need a device of their own.
"""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import Field

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError, OutOfRange, ReadBackMismatch
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.holder import HolderCapabilities, TemperatureReading
from cryoctl.units import Degrees, Kelvin, Seconds
from cryoctl_drivers.link import Exchange, Lines, Link, LinkSettings, Sync
from cryoctl_drivers.link.port import SerialForm
from cryoctl_drivers.port_device import PortDevice

_IDENTITY = re.compile(r"[^,]{2,20},[^,]{2,20},[^,]{1,40},[^,]{1,20}")
_KELVIN = re.compile(r"[+-]?\d{1,5}\.\d{1,5}")
_STATUS = re.compile(r"\d{1,3}")
_WORDS = {1: "reading invalid", 16: "below its curve", 32: "above its curve", 64: "sensor at zero", 128: "sensor open"}
_FORM = SerialForm(baud=57600, data_bits=7, parity="O")
_SLACK_K = 1e-3


class LakeShoreSettings(LinkSettings):
    sensor: Annotated[str, Field(pattern="^[A-D]$")] = "A"
    """Input at the specimen."""
    output: Annotated[int, Field(ge=1, le=2)] = 1
    """Heater output that its set point belongs to."""
    heater_range: Annotated[int, Field(ge=1, le=3)] = 2
    """1 low, 2 medium, 3 high; switched on with the first set point."""
    temperature_range_k: tuple[Kelvin, Kelvin] = (80.0, 350.0)
    tilt_limits_deg: tuple[Degrees, Degrees] = (-70.0, 70.0)
    hold_time_s: Annotated[Seconds, Field(gt=0)] = 4 * 3600.0
    """How long the holder's dewar lasts; it can't be measured."""


class LakeShore(PortDevice[LakeShoreSettings]):
    kind = "holder"

    @property
    def capabilities(self) -> HolderCapabilities:
        one = self.settings
        return HolderCapabilities(
            tilt_limits_deg=one.tilt_limits_deg,
            temperature_range_k=one.temperature_range_k,
            hold_time_s=one.hold_time_s,
        )

    async def identify(self) -> Identity:
        told = await self.link.ask("*IDN?", _IDENTITY)
        maker, model, serial, firmware = (part.strip() for part in told.split(","))
        if maker != "LSCI" or model not in ("MODEL335", "MODEL336"):
            raise self.not_this(told, "a Lake Shore 335 or 336")
        return Identity(maker="Lake Shore", model=model.removeprefix("MODEL"), serial=serial, firmware=firmware)

    async def temperature(self) -> TemperatureReading:
        sensor = self.settings.sensor
        kelvin, status = await self.link.talk(
            Exchange(send=f"KRDG? {sensor}", shape=_KELVIN, again=True),
            Exchange(send=f"RDGST? {sensor}", shape=_STATUS, again=True),
        )
        valid = int(status) == 0
        return TemperatureReading(temperature_k=float(kelvin) if valid else math.nan, valid=valid, time_s=now_s())

    async def set_temperature(self, temperature_k: float) -> None:
        low, high = self.settings.temperature_range_k
        if not low <= temperature_k <= high:
            raise OutOfRange(f"{self.name}.temperature_k: {temperature_k:g} K is beyond {low:g} to {high:g} K")
        output, heater = self.settings.output, self.settings.heater_range
        await self.link.tell(f"SETP {output},{temperature_k:.3f}", f"RANGE {output},{heater}")
        set_k, on = await self.link.talk(
            Exchange(send=f"SETP? {output}", shape=_KELVIN, again=True),
            Exchange(send=f"RANGE? {output}", shape=re.compile(r"\d"), again=True),
        )
        if abs(float(set_k) - temperature_k) > _SLACK_K or int(on) != heater:
            raise ReadBackMismatch(
                f"{self.name}: was set to {temperature_k:g} K with heater range {heater}, reads back {float(set_k):g} "
                f"K and range {on}; see its front panel"
            )

    async def nitrogen(self) -> float:
        return math.nan

    async def pressure(self) -> float:
        return math.nan

    async def make_safe(self) -> None:
        """Rest is cold: the set point stays; that the sensor can be trusted is confirmed."""
        sensor = self.settings.sensor
        status = int(await self.link.ask(f"RDGST? {sensor}", _STATUS))
        if status:
            told = ", ".join(word for bit, word in _WORDS.items() if status & bit) or f"status {status}"
            raise DeviceError(f"{self.name}: sensor {sensor} reads {told}; watch the holder's temperature by hand")


def _make(name: str, settings: LakeShoreSettings, context: DeviceContext) -> LakeShore:
    del context
    sync = Sync(send="*IDN?", shape=_IDENTITY)
    return LakeShore(name, settings, Link(name, settings, Lines(reply_end=b"\n"), sync, _FORM))


FACTORY = SettingsFactory("holder", LakeShoreSettings, _make)
