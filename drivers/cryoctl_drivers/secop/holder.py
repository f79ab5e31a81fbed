"""A cryostat behind a SECoP node as a cryo-holder.

From the specification 1.1: messages, error classes, `datainfo`, status codes (0 disabled, 100 idle, 200 warning, 300
busy, 400 error, each with variants), time stamps by the node's clock, which a ping tells. A node may answer with what
it obtained earlier: the stamp says so, and what is older than `oldest_s` is not valid. One without stamps is believed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from cryoctl.clock import now_s
from cryoctl.errors import ConnectionLost, DeviceError, InstrumentError, NoAnswer, OutOfRange, ReadBackMismatch
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.holder import HolderCapabilities, TemperatureReading
from cryoctl.units import Seconds
from cryoctl_drivers.link import Link
from cryoctl_drivers.port_device import PortDevice
from cryoctl_drivers.secop.description import (
    FILLING,
    KELVIN,
    KELVIN_PER_MINUTE,
    PASCAL,
    Parameter,
    has,
    parameter,
)
from cryoctl_drivers.secop.messages import Messages, Refusal, Report, unasked
from cryoctl_drivers.secop.node import SYNC, Node
from cryoctl_drivers.wired_holder import WiredHolderSettings

_NAME = r"[A-Za-z_]\w{0,62}"
Accessible = Annotated[str, Field(pattern=rf"^{_NAME}(:{_NAME})?$")]
_OURS = ("NoSuchModule", "NoSuchParameter", "NoSuchCommand", "ReadOnly", "WrongType", "BadJSON", "ProtocolError")
"""Errors that no waiting mends: the node is another than it described."""


class SecopHolderSettings(WiredHolderSettings):
    temperature: Accessible
    """Module at the specimen: MODULE, or MODULE:PARAMETER where it is not `value`."""
    regulation: Accessible | None = None
    """Module whose `target` is set, where it is not the same one."""
    nitrogen: Accessible | None = None
    """Module of the dewar's filling, in % or 0 to 1."""
    pressure: Accessible | None = None
    """Module of the pressure at the specimen."""
    ramp_k_per_min: Annotated[float, Field(gt=0)] | None = None
    """How fast the node moves its set point; null leaves that to the node."""
    oldest_s: Annotated[Seconds, Field(gt=0)] = 30.0
    """A reading that the node obtained longer ago is not valid."""
    deadline_s: Annotated[Seconds, Field(gt=0, le=10)] = 3.0
    """Within which an answer has to be there; the specification allows a node 10 s."""


@dataclass(frozen=True, slots=True)
class _Used:
    """Parameters of the node that were found fit."""

    temperature: Parameter
    target: Parameter
    ramp: Parameter | None
    nitrogen: Parameter | None
    pressure: Parameter | None


class SecopHolder(PortDevice[SecopHolderSettings]):
    kind = "holder"

    def __init__(self, name: str, settings: SecopHolderSettings, link: Link) -> None:
        super().__init__(name, settings, link)
        self._node = Node(name, link)
        self._described: dict[str, Any] = {}
        self._found: _Used | None = None

    @property
    def capabilities(self) -> HolderCapabilities:
        return self.settings.as_capabilities()

    async def identify(self) -> Identity:
        version = await self._node.version()
        self._described = node = await self._node.describe()
        return Identity(
            maker=str(node.get("implementor") or "SECoP"),
            model=f"SECoP {version} node",
            serial=str(node.get("equipment_id") or "?"),
            firmware=str(node.get("firmware") or ""),
        )

    async def set_up(self) -> None:
        """Nothing is set; each parameter that the settings name is held against the node's description.

        Raises:
            InstrumentError: one that is not there, or does not fit.
        """
        one, node = self.settings, self._described
        regulation = one.regulation or one.temperature.partition(":")[0]
        field = "temperature" if one.regulation is None else "regulation"
        found = parameter(self.name, node, field, regulation, KELVIN, "target", settable=True)
        low, high = one.temperature_range_k
        if low < found.low or high > found.high:
            raise InstrumentError(
                f"{self.name}: settings.temperature_range_k is {low:g} to {high:g} K, {found.accessible} of the node "
                f"takes {found.low:g} to {found.high:g} K; narrow it to that"
            )
        ramp = f"{regulation.partition(':')[0]}:ramp"
        self._found = _Used(
            temperature=parameter(self.name, node, "temperature", one.temperature, KELVIN),
            target=found,
            ramp=None if one.ramp_k_per_min is None else self._ramp(node, ramp, one.ramp_k_per_min),
            nitrogen=one.nitrogen and parameter(self.name, node, "nitrogen", one.nitrogen, FILLING),
            pressure=one.pressure and parameter(self.name, node, "pressure", one.pressure, PASCAL),
        )

    def _ramp(self, node: dict[str, Any], accessible: str, wanted: float) -> Parameter:
        if not has(node, accessible):
            raise InstrumentError(
                f"{self.name}: settings.ramp_k_per_min is {wanted:g}, the node has no {accessible}; leave it out"
            )
        ramp = parameter(self.name, node, "ramp_k_per_min", accessible, KELVIN_PER_MINUTE, settable=True)
        if not ramp.low <= wanted <= ramp.high:
            raise InstrumentError(
                f"{self.name}: settings.ramp_k_per_min is {wanted:g}, {accessible} of the node takes {ramp.low:g} to "
                f"{ramp.high:g} K/min"
            )
        return ramp

    async def temperature(self) -> TemperatureReading:
        return (await self._reading())[0]

    async def set_temperature(self, temperature_k: float) -> None:
        self.settings.check_set_point(self.name, temperature_k)
        used = self._used
        if used.ramp is not None and self.settings.ramp_k_per_min is not None:
            await self._change(used.ramp, self.settings.ramp_k_per_min, "K/min")
        await self._change(used.target, temperature_k, "K")
        if used.target.status is not None:
            problem = _problem(await self._node.read(used.target.status, confirm=False))
            if problem:
                problem = _problem(await self._node.read(used.target.status))
            if problem:
                was = f"was set to {temperature_k:g} K, and {used.target.status} of the node is {problem}"
                raise DeviceError(f"{self.name}: {was}"[:300])

    async def nitrogen(self) -> float:
        """
        Raises:
            DeviceError: there is a level sensor, and it does not read.
        """
        used = self._used.nitrogen
        if used is None:
            return math.nan
        level = await self._number(used)
        if not -0.02 <= level <= 1.02:
            raise DeviceError(f"{self.name}: {used.accessible} of the node reads {level:g}, a filling is 0 to 1")
        return min(1.0, max(0.0, level))

    async def pressure(self) -> float:
        """
        Raises:
            DeviceError: there is a gauge, and it does not read.
        """
        used = self._used.pressure
        if used is None:
            return math.nan
        pressure_pa = await self._number(used)
        if not pressure_pa > 0:
            raise DeviceError(f"{self.name}: {used.accessible} of the node reads {pressure_pa:g} Pa, no gauge can")
        return pressure_pa

    async def make_safe(self) -> None:
        """Rest is cold: the target stays; that the temperature can be trusted is confirmed."""
        reading, problem = await self._reading()
        if not reading.valid:
            raise DeviceError(f"{self.name}: {problem}; watch the holder's temperature by hand"[:300])

    @property
    def _used(self) -> _Used:
        if self._found is None:
            raise ConnectionLost(f"{self.name}: not connected; call connect first")
        return self._found

    async def _reading(self) -> tuple[TemperatureReading, str]:
        """And why it is not valid."""
        used = self._used.temperature
        number, age_s, problem = await self._read(used)
        time_s = now_s() - age_s
        if problem:
            return TemperatureReading(temperature_k=math.nan, valid=False, time_s=time_s), problem
        return TemperatureReading(temperature_k=number, valid=True, time_s=time_s), ""

    async def _number(self, used: Parameter) -> float:
        number, _, problem = await self._read(used)
        if problem:
            raise DeviceError(f"{self.name}: {problem}"[:300])
        return number

    async def _read(self, used: Parameter) -> tuple[float, float, str]:
        """In our unit, its age in seconds, and what makes it one that can't be trusted."""
        asked = [used.accessible] if used.status is None else [used.accessible, used.status]
        told, *status, pong = await self._node.read_and_clock(*asked)
        of = f"{used.accessible} of the node"
        if isinstance(told, Refusal):
            if told.kind in _OURS:
                raise DeviceError(f"{self.name}: {of} can't be read ({told}); was the node changed? Connect anew"[:300])
            return math.nan, 0.0, f"{of} can't be read ({told})"
        age_s = pong.node_s - told.node_s if isinstance(pong, Report) else math.nan
        age_s = 0.0 if math.isnan(age_s) else max(0.0, age_s)
        number = used.number(told.value)
        problem = next((word for word in map(_problem, status) if word), "")
        if problem:
            return number, age_s, f"{used.status} of the node is {problem}"
        if math.isnan(number):
            return number, age_s, f"{of} is {str(told.value)[:40]!r}, no number"
        if age_s > self.settings.oldest_s:
            return number, age_s, f"{of} was obtained {age_s:.0f} s ago, allowed are {self.settings.oldest_s:g} s"
        return number, age_s, ""

    async def _change(self, used: Parameter, wanted: float, unit: str) -> None:
        """Said once, then read back: that decides, whether or not the reply arrived."""
        try:
            told: Report | Refusal | None = await self._node.change(used.accessible, used.to_send(wanted))
        except NoAnswer:
            told = None
        if isinstance(told, Refusal):
            error = OutOfRange if told.kind == "RangeError" else DeviceError
            raise error(f"{self.name}: the node refuses {used.accessible} {wanted:g} {unit} ({told})"[:300])
        if self._is(used, await self._node.read(used.accessible, confirm=False), wanted):
            return
        back = await self._node.read(used.accessible)
        if not self._is(used, back, wanted):
            reads = str(back) if isinstance(back, Refusal) else f"{used.number(back.value):g} {unit}"
            was = f"{used.accessible} of the node was set to {wanted:g} {unit}, reads back {reads}"
            raise ReadBackMismatch(f"{self.name}: {was[:200]}; see the node")

    @staticmethod
    def _is(used: Parameter, told: Report | Refusal, wanted: float) -> bool:
        return isinstance(told, Report) and used.is_near(used.number(told.value), wanted)


def _problem(status: Report | Refusal) -> str:
    """Empty where the module works: idle, warning or busy."""
    if isinstance(status, Refusal):
        return str(status)
    match status.value:
        case [int() as code, str() as text, *_] if 100 <= code < 400:
            return ""
        case [int() as code, str() as text, *_]:
            return f"{code} ({' '.join(text.split())[:80] or ('disabled' if code < 100 else 'error')})"
    return f"{str(status.value)[:40]!r}, no status"


def _make(name: str, settings: SecopHolderSettings, context: DeviceContext) -> SecopHolder:
    del context
    return SecopHolder(name, settings, Link(name, settings, Messages(), SYNC, unasked=unasked))


FACTORY = SettingsFactory("holder", SecopHolderSettings, _make, emulated_by="secop-node")
