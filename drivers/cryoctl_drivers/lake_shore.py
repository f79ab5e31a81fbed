"""Lake Shore 335 and 336 temperature controllers as a cryo-holder: serial over USB, or TCP port 7777 (336).

From the manuals: commands and the formats of their answers; setters are silent; queries may be chained by `;` and are
answered on one line; a ramp takes 0.1 to 100 K/min and moves the set point from where it is, not from the temperature.
From what Lake Shore's own Python driver says: a limit of 0 (`TLIMIT`) is none, above any other all outputs are switched
off; asking `HTRST?` clears the fault that it tells.
Not to be found: what `SETP?` says while it ramps. It is taken for the moving set point, and a target that is said at
once is accepted as well. Nor whether an open heater is switched off: both its fault and its range are read.

There is no nitrogen level and no pressure behind these wires: both read NaN, and interlocks on them need a device of
their own.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError, OutOfRange, ReadBackMismatch
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.holder import HolderCapabilities, TemperatureReading
from cryoctl_drivers.link import Exchange, Lines, Link, Sync
from cryoctl_drivers.link.port import SerialForm
from cryoctl_drivers.port_device import PortDevice
from cryoctl_drivers.wired_holder import WiredHolderSettings

_WORD = r"[\x20-\x2b\x2d-\x7e]"  # all of ASCII that is printed, but a comma
_IDENTITY = re.compile(rf"{_WORD}{{2,30}},{_WORD}{{2,30}},{_WORD}{{1,40}},{_WORD}{{1,20}}")
_PERCENT = re.compile(r"[+-]?\d{1,3}\.\d{1,3}")
_DIGIT = re.compile(r"\d")
_RAMP = re.compile(r"([01]),([+-]?\d{1,3}(?:\.\d{1,4})?)")
_INPUTS = {"335": "AB", "336": "ABCD"}
_WORDS = {1: "reading invalid", 16: "below its curve", 32: "above its curve", 64: "sensor at zero", 128: "sensor open"}
_HEATER_FAULTS = {1: "is open", 2: "is shorted"}
_FORM = SerialForm(baud=57600, data_bits=7, parity="O")
_SLACK_K = 1e-3
_RATE_SLACK_K_PER_MIN = 0.051
_MOVED_MEANWHILE_K = 0.2
"""A set point that ramps at 100 K/min moves no farther between two answers on one line."""


class LakeShoreSettings(WiredHolderSettings):
    sensor: Annotated[str, Field(pattern="^[A-D]$")] = "A"
    """Input at the specimen; the loop of `output` has to be set to it at the front panel."""
    output: Annotated[int, Field(ge=1, le=2)] = 1
    """Heater output that its set point belongs to."""
    heater_range: Annotated[int, Field(ge=1, le=3)] = 2
    """1 low, 2 medium, 3 high; switched on with the first set point."""
    ramp_k_per_min: Annotated[float, Field(ge=0.1, le=100)] | None = None
    """How fast the controller moves its set point; null lets it jump."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heater:
    """What a heater output does; `fault` is empty where there is none."""

    percent: float
    range: int
    fault: str


@dataclass(frozen=True, slots=True)
class _Loop:
    range: int
    ramping: bool
    set_k: float


class _Mirrored:
    """Queries asked there and back on one line: a number that was damaged on the way has no twin.

    Cheaper than asking twice, and the only way for a set point that a ramp moves meanwhile.
    """

    _patterns: ClassVar = {
        "KRDG?": r"[+-]?\d{1,5}\.\d{1,5}",
        "RDGST?": r"\d{1,3}",
        "TLIMIT?": r"[+-]?\d{1,5}(\.\d{1,5})?",
        "SETP?": r"[+-]?\d{1,5}\.\d{1,5}",
        "RANGE?": r"\d",
        "RAMPST?": r"[01]",
    }

    def __init__(self, of: str | int, *queries: str) -> None:
        self._names = queries
        there = [f"{name} {of}" for name in queries]
        self.exchange = Exchange(send=";".join([*there, *reversed(there)]), shape=self, again=True, confirm=False)

    def fullmatch(self, answer: str, /) -> tuple[str, ...] | None:
        parts = answer.split(";")
        there, back = parts[: len(self._names)], parts[len(self._names) :]
        back.reverse()
        if len(there) != len(back) or not all(map(self._is_one, self._names, there)):
            return None
        ramping = any(name == "RAMPST?" and told == "1" for name, told in zip(self._names, there, strict=True))
        for name, one, twin in zip(self._names, there, back, strict=True):
            near = name == "SETP?" and ramping and self._is_one(name, twin)
            if one != twin and not (near and abs(float(one) - float(twin)) <= _MOVED_MEANWHILE_K):
                return None
        return tuple(there)

    def _is_one(self, name: str, told: str) -> bool:
        return re.fullmatch(self._patterns[name], told) is not None


class LakeShore(PortDevice[LakeShoreSettings]):
    kind = "holder"
    _wanted_k: float | None = None
    """Set point that its loop is held against; None before one was given, and after its loss was told."""

    @property
    def capabilities(self) -> HolderCapabilities:
        return self.settings.as_capabilities()

    async def identify(self) -> Identity:
        told = await self.link.ask("*IDN?", _IDENTITY)
        maker, model, serial, firmware = (part.strip() for part in told.split(","))
        model = model.removeprefix("MODEL")
        if maker != "LSCI" or model not in _INPUTS:
            raise self.not_this(told, "a Lake Shore 335 or 336")
        if self.settings.sensor not in _INPUTS[model]:
            raise self.not_this(told, f"input {self.settings.sensor}, and a {model} has {', '.join(_INPUTS[model])}")
        return Identity(maker="Lake Shore", model=model, serial=serial, firmware=firmware)

    async def set_up(self) -> None:
        """Nothing is set; a set point from before the link was lost has to be given anew."""
        self._wanted_k = None

    async def temperature(self) -> TemperatureReading:
        """
        Raises:
            DeviceError: a set point was given and its loop no longer holds it; told once, from then on it only reads.
        """
        kelvin, status = await self._read()
        time_s = now_s()
        if self._wanted_k is not None:
            await self._check_loop(self._wanted_k)
        valid = status == 0
        return TemperatureReading(temperature_k=kelvin if valid else math.nan, valid=valid, time_s=time_s)

    async def set_temperature(self, temperature_k: float) -> None:
        """The set point is read back before the heater is switched on; a ramp with the heater off begins where the
        specimen is, since a set point from another day may lie far above."""
        one = self.settings
        one.check_set_point(self.name, temperature_k)
        limit_k = float((await self._mirrored(one.sensor, "TLIMIT?"))[0])
        if 0 < limit_k <= temperature_k:
            raise OutOfRange(
                f"{self.name}.temperature_k: {temperature_k:g} K, the controller itself switches its heaters off above "
                f"{limit_k:g} K; change its limit of input {one.sensor} at the front panel, or ask for less"
            )
        self._wanted_k = None
        if one.ramp_k_per_min is None:
            await self._jump(temperature_k)
        else:
            await self._ramp(temperature_k, one.ramp_k_per_min)
        await self.link.tell(f"RANGE {one.output},{one.heater_range}")
        await self._check_loop(temperature_k)
        self._wanted_k = temperature_k

    async def heater(self) -> Heater:
        """Asking for its fault clears it in the controller."""
        output = self.settings.output
        percent, heater_range, fault = await self.link.talk(
            Exchange(send=f"HTR? {output}", shape=_PERCENT, again=True, confirm=False),
            Exchange(send=f"RANGE? {output}", shape=_DIGIT, again=True),
            self._ask_fault(),
        )
        told = _HEATER_FAULTS.get(int(fault), f"has fault {fault}") if int(fault) else ""
        return Heater(percent=float(percent), range=int(heater_range), fault=told)

    async def nitrogen(self) -> float:
        return math.nan

    async def pressure(self) -> float:
        return math.nan

    async def make_safe(self) -> None:
        """Rest is cold: the set point stays; that the sensor can be trusted is confirmed."""
        await self._trusted_k("watch the holder's temperature by hand")

    async def _jump(self, temperature_k: float) -> None:
        output = self.settings.output
        await self.link.tell(f"RAMP {output},0,0", f"SETP {output},{temperature_k:.3f}")
        loop = await self._loop()
        if abs(loop.set_k - temperature_k) > _SLACK_K:
            raise ReadBackMismatch(
                f"{self.name}: was set to {temperature_k:g} K, reads back {loop.set_k:g} K; see its front panel"
            )

    async def _ramp(self, temperature_k: float, rate_k_per_min: float) -> None:
        output = self.settings.output
        if (await self._loop()).range == 0:
            await self._jump(round(await self._trusted_k("a ramp has to begin at the temperature"), 3))
        begins_k = (await self._loop()).set_k
        await self.link.tell(f"RAMP {output},1,{rate_k_per_min:.1f}")
        ramp = _RAMP.fullmatch(await self.link.ask(f"RAMP? {output}", _RAMP))
        if ramp is None or ramp[1] != "1" or abs(float(ramp[2]) - rate_k_per_min) > _RATE_SLACK_K_PER_MIN:
            raise ReadBackMismatch(
                f"{self.name}: was told to ramp at {rate_k_per_min:g} K/min, reads back "
                f"{'off' if ramp is None or ramp[1] == '0' else ramp[2] + ' K/min'}; see its front panel"
            )
        await self.link.tell(f"SETP {output},{temperature_k:.3f}")
        loop = await self._loop()
        low, high = sorted((begins_k, temperature_k))
        on_its_way = loop.ramping and low - _MOVED_MEANWHILE_K <= loop.set_k <= high + _MOVED_MEANWHILE_K
        if not on_its_way and abs(loop.set_k - temperature_k) > _SLACK_K:
            raise ReadBackMismatch(
                f"{self.name}: was told to ramp from {begins_k:g} to {temperature_k:g} K, stands at {loop.set_k:g} K "
                f"and {'ramps' if loop.ramping else 'does not ramp'}; see its front panel"
            )

    async def _check_loop(self, wanted_k: float) -> None:
        """Whether it holds its set point, or is on its way there."""
        fault = int((await self.link.talk(self._ask_fault()))[0])
        loop = await self._loop()
        off = self.settings.heater_range != loop.range
        elsewhere = not loop.ramping and abs(loop.set_k - wanted_k) > _SLACK_K
        if fault or off or elsewhere:
            self._wanted_k = None
        if fault:
            told = _HEATER_FAULTS.get(fault, f"has fault {fault}")
            raise DeviceError(
                f"{self.name}: the heater of output {self.settings.output} {told}, {wanted_k:g} K can't be held; check "
                "its cable and connector"
            )
        if off or elsewhere:
            raise ReadBackMismatch(
                f"{self.name}: was set to {wanted_k:g} K with heater range {self.settings.heater_range}, reads back "
                f"{loop.set_k:g} K and range {loop.range}; see its front panel"
            )

    def _ask_fault(self) -> Exchange:
        """Not asked twice for confirmation: the second answer would be no fault."""
        return Exchange(send=f"HTRST? {self.settings.output}", shape=_DIGIT, again=True, confirm=False)

    async def _loop(self) -> _Loop:
        heater_range, ramping, set_k = await self._mirrored(self.settings.output, "RANGE?", "RAMPST?", "SETP?")
        return _Loop(int(heater_range), ramping == "1", float(set_k))

    async def _read(self) -> tuple[float, int]:
        """Kelvin, and its status: 0 where it can be trusted."""
        kelvin, status = await self._mirrored(self.settings.sensor, "KRDG?", "RDGST?")
        return float(kelvin), int(status)

    async def _mirrored(self, of: str | int, *queries: str) -> tuple[str, ...]:
        asked = _Mirrored(of, *queries)
        told = asked.fullmatch((await self.link.talk(asked.exchange))[0])
        assert told is not None
        return told

    async def _trusted_k(self, otherwise: str) -> float:
        """
        Raises:
            DeviceError: the sensor does not read; `otherwise` says what follows.
        """
        kelvin, status = await self._read()
        if status:
            words = ", ".join(word for bit, word in _WORDS.items() if status & bit) or f"status {status}"
            raise DeviceError(f"{self.name}: sensor {self.settings.sensor} reads {words}; {otherwise}")
        return kelvin


def _make(name: str, settings: LakeShoreSettings, context: DeviceContext) -> LakeShore:
    del context
    sync = Sync(send="*IDN?", shape=_IDENTITY)
    return LakeShore(name, settings, Link(name, settings, Lines(reply_end=b"\n"), sync, _FORM))


FACTORY = SettingsFactory("holder", LakeShoreSettings, _make, emulated_by="lake-shore-336")
