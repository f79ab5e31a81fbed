"""Samples what surrounds the specimen, by itself: on change, at exposures, at least once a minute of run time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from cryoctl.engine.recorder import Recorder
from cryoctl.engine.source_watch import SourceWatch
from cryoctl.errors import DeviceError
from cryoctl.interfaces.bias import BiasReading, RecordedSource
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.light import Light

UNITS = {
    "temperature": "K",
    "nitrogen": "1",
    "pressure": "Pa",
    "beam_current": "A",
    "bias_voltage": "V",
    "bias_current": "A",
    "light": "W/m2",
}
ANSWER_LIMIT_S = 5.0
"""A device that is silent for longer counts as lost."""
_SILENT = (DeviceError, TimeoutError)
_LONGEST_SILENCE_S = 60.0
_CHANGE_REL = {"temperature": 2e-4, "nitrogen": 5e-3, "pressure": 0.05, "beam_current": 1e-4}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRoom:
    """Of the disk that a run is kept on. `frame_bytes` is what a record frame takes there and in the packed file."""

    free_bytes: Callable[[], int]
    frame_bytes: float
    recorded: Callable[[], int]
    """Frames so far."""

    def needed_bytes(self) -> float:
        """For the next frame, and to pack those so far."""
        return self.frame_bytes * (self.recorded() + 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """The latest of everything; NaN where there is no such sensor."""

    time_s: float
    temperature_k: float = math.nan
    temperature_valid: bool = True
    nitrogen: float = math.nan
    pressure_pa: float = math.nan
    valves_open: bool = True
    bias_v: float = math.nan
    bias_a: float = math.nan
    lost: tuple[str, ...] = ()
    """Devices that did not answer."""
    current_ratio: float = math.nan
    """Beam current as last measured over that of the preset."""
    disk_free_bytes: float = math.nan
    disk_needed_bytes: float = math.nan
    needle_limit_pa: float = math.inf
    """Pressure up to which the needle's high voltage, if it is on, may stay on."""
    compliance_s: float = 0.0
    """For how long the biasing source has been held by one of its limits."""
    compliance_problem: str = ""
    """What was found of it when these data were recorded, where they are."""
    source_problem: str = ""
    """What is wrong with the biasing source, empty where all is well."""
    needle_problem: str = ""
    """The same of the needle."""
    light_problem: str = ""
    """The same of the light."""


@dataclass(slots=True)
class _Kept:
    value: float = math.nan
    time_s: float = -math.inf


@dataclass(slots=True)
class Monitors:
    """Reads holder, source and valves; a sample is journaled where it changed or has been silent for a minute."""

    devices: DeviceSet
    recorder: Recorder
    disk: DiskRoom | None = None
    latest: Readings = field(default_factory=lambda: Readings(time_s=0.0))
    last_bias: BiasReading | None = None
    """What the source told when it last answered."""
    current_ratio: float = math.nan
    """Beam current as last measured over that of the preset, entered by whoever measures it."""
    needle_limit_pa: float = math.inf
    """See `Readings`; entered by whoever switches the high voltage."""
    needle_live: bool = False
    """The needle's high voltage was switched on and is to stay on; entered by the same."""
    light_w_per_m2: float = math.nan
    """What the light was set to and read back, NaN where it was not; entered by whoever sets it."""
    _kept: dict[str, _Kept] = field(default_factory=dict[str, _Kept])
    source: SourceWatch = field(init=False)
    """Keeps up with the biasing source."""

    def __post_init__(self) -> None:
        self.source = SourceWatch(self.devices.bias, self.recorder, self.devices.beam.blank)

    async def sample(self, *, force: bool = False) -> Readings:
        """Read everything now; `force` journals each value (at exposures)."""
        lost: list[str] = []
        temperature, valid, nitrogen, pressure = math.nan, True, math.nan, math.nan
        holder = self.devices.holder
        if holder is not None:
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    reading = await holder.temperature()
                    temperature, valid = reading.temperature_k, reading.valid
                    nitrogen = await holder.nitrogen()
                    pressure = await holder.pressure()
            except _SILENT:
                lost.append(holder.name)
        if self.devices.vacuum is not None:
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    pressure = await self.devices.vacuum.pressure()
            except _SILENT:
                pressure = math.nan
                lost.append(self.devices.vacuum.name)
        voltage, current = math.nan, math.nan
        if self.devices.bias is not None:
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    bias = self.last_bias = await self.devices.bias.read()
                voltage, current = bias.voltage_v, bias.current_a
                await self.source.look(bias)
                self.source.follow_recorded()
            except _SILENT:
                lost.append(self.devices.bias.name)
        needle_problem = ""
        if self.devices.needle is not None and self.needle_live:
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    live = (await self.devices.needle.state()).high_voltage_on
                needle_problem = "" if live else f"{self.devices.needle.name}: its high voltage went off by itself"
            except _SILENT:
                lost.append(self.devices.needle.name)
        valves = True
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                valves = await self.devices.beam.valves_open()
        except _SILENT:
            lost.append(self.devices.beam.name)
        irradiance, light_problem = math.nan, ""
        if self.devices.light is not None:
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    irradiance = await self.devices.light.irradiance()
            except _SILENT:
                lost.append(self.devices.light.name)
            else:
                light_problem = self._light_problem(self.devices.light, irradiance)
        recorded = self.devices.bias if isinstance(self.devices.bias, RecordedSource) else None
        self.latest = Readings(
            time_s=self.recorder.time_s,
            temperature_k=temperature,
            temperature_valid=valid,
            nitrogen=nitrogen,
            pressure_pa=pressure,
            valves_open=valves,
            bias_v=voltage,
            bias_a=current,
            lost=tuple(lost),
            current_ratio=self.current_ratio,
            disk_free_bytes=math.nan if self.disk is None else float(self.disk.free_bytes()),
            disk_needed_bytes=math.nan if self.disk is None else self.disk.needed_bytes(),
            needle_limit_pa=self.needle_limit_pa,
            compliance_s=self.source.compliance_s,
            source_problem=self.source.problem if recorded is None else recorded.met("source"),
            compliance_problem="" if recorded is None else recorded.met("compliance"),
            needle_problem=needle_problem,
            light_problem=light_problem,
        )
        self.keep("temperature", temperature if valid else math.nan, force)
        self.keep("nitrogen", nitrogen, force)
        self.keep("pressure", pressure, force)
        self.keep("bias_voltage", voltage, force)
        self.keep("bias_current", current, force)
        self.keep("light", irradiance, force)
        return self.latest

    def _light_problem(self, light: Light, found_w_per_m2: float) -> str:
        """It reads no more what it read when it was set; each reading may be off by as much as it states."""
        wanted_w_per_m2 = self.light_w_per_m2
        slack_w_per_m2 = 2 * light.capabilities.read_back_rel * wanted_w_per_m2
        if math.isnan(wanted_w_per_m2) or abs(found_w_per_m2 - wanted_w_per_m2) <= slack_w_per_m2:
            return ""
        return f"{light.name} was set to {wanted_w_per_m2:g} W/m2 and reads {found_w_per_m2:g} W/m2"

    def keep(self, name: str, value: float, force: bool = False) -> None:
        """Journal one value if it is worth it."""
        if math.isnan(value):
            return
        kept = self._kept.setdefault(name, _Kept())
        now = self.recorder.time_s
        change = abs(value - kept.value)
        changed = not change <= _CHANGE_REL.get(name, 1e-3) * abs(kept.value)
        silent = now - kept.time_s >= _LONGEST_SILENCE_S
        if (force or changed or silent) and now > kept.time_s:
            kept.value, kept.time_s = value, now
            self.recorder.record("monitor", {"name": name, "unit": UNITS[name], "value": value})
