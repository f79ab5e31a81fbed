"""A 2400 as a biasing source."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

from cryoctl.errors import ReadBackMismatch, Refused
from cryoctl.interfaces import waveform as forms
from cryoctl.interfaces.bias import (
    BiasCapabilities,
    BiasLimits,
    BiasReading,
    BiasRest,
    BiasSamples,
    BiasStatus,
    OffMode,
)
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.waveform import Waveform
from cryoctl_drivers.keithley_2400.front import Front
from cryoctl_drivers.keithley_2400.settings import (
    LEAST_A,
    LEAST_V,
    OVERHEAD_S,
    SHORT,
    Keithley2400Settings,
    limit_settings,
    prepare,
)
from cryoctl_drivers.keithley_2400.sweeper import Sweeper, swept
from cryoctl_drivers.link import Lines, Link, Sync
from cryoctl_drivers.link.port import SerialForm
from cryoctl_drivers.scpi import Setting, clear_errors, identity, make
from cryoctl_drivers.source_device import SourceDevice
from cryoctl_drivers.staircase import check_waveform

_PART = r"[ -+\--~]"
_IDENTITY = re.compile(rf"{_PART}{{2,40}},{_PART}{{2,20}},{_PART}{{1,40}},{_PART}{{1,60}}")
_MODEL = re.compile(r"MODEL 24(00|01|10|20|25|30|40)(-[A-Z]{1,2})?")
_LONGEST_INTERVAL_S = 0.5
_OPEN_CIRCUIT_S = 0.3
_PATIENCE_S = 3.0
_FORM = SerialForm(baud=9600)
_VALUE_BITS = 140
"""Of a number with its comma on a serial line."""


class Keithley2400(SourceDevice[Keithley2400Settings]):
    overhead_s = OVERHEAD_S
    longest_interval_s = _LONGEST_INTERVAL_S

    def __init__(self, name: str, settings: Keithley2400Settings, link: Link) -> None:
        super().__init__(name, settings, link)
        value_s = _VALUE_BITS / (settings.baud or _FORM.baud)
        self._front = Front(link, name)
        self._sweeper = Sweeper(link, name, settings.kept_samples, value_s)
        self._restarted = False
        self._limits: BiasLimits | None = None
        self._off_mode = OffMode.ZERO_VOLTS
        self._doing = ""
        self._ended = ""

    @property
    def least_limits(self) -> BiasLimits:
        return BiasLimits(voltage_limit_v=LEAST_V, compliance_a=LEAST_A)

    @property
    def kept_samples(self) -> int:
        return self.settings.kept_samples

    @property
    def capabilities(self) -> BiasCapabilities:
        return replace(super().capabilities, longest_waveform_s=self.settings.longest_play_s)

    async def identify(self) -> Identity:
        told = await identity(self.link, self.name, _IDENTITY)
        maker, model, serial, firmware = (part.strip() for part in told.split(","))
        if "KEITHLEY" not in maker.upper() or not _MODEL.fullmatch(model):
            raise self.not_this(told, "a Keithley 2400, 2401, 2410, 2420, 2425, 2430 or 2440")
        return Identity(maker="Keithley", model=model.removeprefix("MODEL "), serial=serial, firmware=firmware)

    async def connect(self) -> Identity:
        if self.link.is_open:
            async with self._sweeper.quiet():
                return await super().connect()
        return await super().connect()

    async def set_up(self) -> None:
        self._mains_hz = await self._front.mains_hz()
        await self._cut_off.connect()
        on = await self._front.is_on()
        await self._keep_up(on)
        if not on:
            await prepare(self.link, self.name, self.settings)
        elif self._doing == "bias":
            await self._sweeper.stop()
            await self._sweeper.sample(self._sampling_s, self._least_interval_s)

    async def close(self) -> None:
        self._sweeper.leave()
        await super().close()

    # Limits and rest

    async def set_limits(self, limits: BiasLimits) -> BiasLimits:
        async with self._sweeper.quiet():
            await self._only_off("limits change")
            self._check_limits(limits)
            await prepare(self.link, self.name, self.settings)
            await make(self.link, self.name, *limit_settings(limits))
            await self._front.was_switched_on()  # what its register still says is of the past
            self._restarted, self._ended = False, ""
            return await self._read_limits()

    async def set_rest(self, rest: BiasRest) -> OffMode:
        async with self._sweeper.quiet():
            await self._only_off("its off mode changes")
            mode = "HIMP" if rest.off_mode is OffMode.HIGH_IMPEDANCE else "ZERO"
            await make(self.link, self.name, Setting(":OUTP:SMOD", mode))
            self._rest_v = rest.voltage_v
            return await self._read_off_mode()

    async def _only_off(self, what: str) -> None:
        if await self._front.is_on():
            raise Refused(f"{self.name}: {what} with the output off only; switch it off first")

    async def _read_limits(self) -> BiasLimits:
        self._limits = await self._front.limits()
        return self._limits

    async def _read_off_mode(self) -> OffMode:
        self._off_mode = await self._front.off_mode()
        return self._off_mode

    # Bias

    async def set_voltage(self, voltage_v: float) -> float:
        async with self._sweeper.quiet():
            self._check_voltage(voltage_v, await self._read_limits())
            return await self._drive("voltage", voltage_v)

    async def set_current(self, current_a: float) -> float:
        async with self._sweeper.quiet():
            self._check_current(current_a, await self._read_limits())
            return await self._drive("current", current_a)

    async def _drive(self, control: str, value: float) -> float:
        """A set point. Between voltage and current it may switch off, and is then switched on again."""
        on = await self._front.is_on()
        told = (await make(self.link, self.name, Setting(f":SOUR:{SHORT[control]}", float(value))))[0]
        await make(self.link, self.name, Setting(":SOUR:FUNC", SHORT[control]))
        if on and not await self._front.is_on():
            await self.link.tell(":OUTP 1")
        return float(told)

    async def output(self, on: bool) -> bool:
        await self._sweeper.stop()
        async with self._sweeper.quiet():
            return await (self._switch_on() if on else self._switch_off())

    async def _switch_on(self) -> bool:
        await self._sweeper.end_play()
        if not await self._front.is_on():
            await self.link.tell(":OUTP 1")
        is_on = await self._front.is_on()
        self._doing, self._ended = "bias" if is_on else "", ""
        if is_on:
            await self._sweeper.sample(self._sampling_s, self._least_interval_s)
        return is_on

    async def _switch_off(self) -> bool:
        await self.link.tell(":OUTP 0")
        if await self._front.is_on():
            return True
        self._doing, self._ended = "", ""
        await clear_errors(self.link)  # what came before must not keep it from its rest
        await self._sweeper.end_play()
        levels = (Setting(":SOUR:VOLT", 0.0), Setting(":SOUR:CURR", 0.0))
        await make(self.link, self.name, *levels, Setting(":SOUR:FUNC", "VOLT"))
        return False

    # Waveforms and samples

    async def start_waveform(self, waveform: Waveform, sample_interval_s: float | None = None) -> float:
        async with self._sweeper.quiet():
            if await self._front.is_on():
                raise Refused(f"{self.name}: a waveform begins with the output off; bring it to rest first")
            check_waveform(waveform, await self._read_limits(), self.name)
            await self._read_off_mode()
            wanted_s = self._checked(sample_interval_s)
            interval_s = await self._play(waveform, wanted_s)
            self._interval_s = wanted_s
            self._doing, self._ended = "waveform", ""
            return interval_s

    async def _play(self, waveform: Waveform, wanted_s: float) -> float:
        stairs, levels = swept(waveform, wanted_s, self.settings.longest_play_s, self.name)
        await make(self.link, self.name, Setting(":SOUR:FUNC", SHORT[stairs.control]))
        await self._sweeper.play(stairs.control, levels, stairs.interval_s, self._least_interval_s)
        return stairs.interval_s

    async def samples(self, since: int) -> BiasSamples:
        async with self._sweeper.quiet():
            sweeper = self._sweeper
            first = max(since, sweeper.dropped)
            rows = sweeper.rows[first - sweeper.dropped :]
        return BiasSamples(
            first=first,
            total=sweeper.total,
            time_s=rows[:, 0] - self._aperture_s / 2,
            voltage_v=rows[:, 1].copy(),
            current_a=rows[:, 2].copy(),
            in_compliance=rows[:, 3] > 0,
        )

    async def clock_s(self) -> float:
        async with self._sweeper.quiet():
            return await self._read_clock()

    async def _read_clock(self) -> float:
        return self._sweeper.stamp_s(await self._front.clock_s())

    # What it is and does

    async def status(self) -> BiasStatus:
        """While it plays, what it was told: it can't be asked."""
        if self._sweeper.sweeps and self._doing == "waveform" and self._limits is not None:
            return BiasStatus(output_on=True, off_mode=self._off_mode, limits=self._limits, playing=True)
        async with self._sweeper.quiet():
            on = await self._front.is_on()
            await self._keep_up(on)
            return BiasStatus(
                output_on=on,
                off_mode=await self._read_off_mode(),
                limits=await self._read_limits(),
                playing=False,
                ended=self._ended,
                restarted=self._restarted,
            )

    async def _keep_up(self, on: bool) -> None:
        """With what it did by itself."""
        lost = await self._front.was_switched_on()
        if lost and not self._restarted:
            self._sweeper.forget()
        self._restarted = self._restarted or lost
        if self._doing and not on:
            self._ended = "complete" if self._doing == "waveform" and not self._restarted else ""
            if await self._front.tripped():
                self._ended = "compliance"
            self._doing = ""

    async def read(self) -> BiasReading:
        async with self._sweeper.quiet():
            if not await self._front.is_on():
                return await self._read_off()
        row = await self._sweeper.fresh(self._sweeper.total, _PATIENCE_S + self._sampling_s)
        if row is None:
            async with self._sweeper.quiet():
                if not await self._front.is_on():  # it went off meanwhile
                    return await self._read_off()
            raise ReadBackMismatch(f"{self.name}: samples no more though its output is on; bring it to rest")
        return BiasReading(
            voltage_v=float(row[1]),
            current_a=float(row[2]),
            in_compliance=bool(row[3]),
            output_on=True,
            time_s=float(row[0]) - self._aperture_s / 2,
        )

    async def _read_off(self) -> BiasReading:
        """It measures with its output on only; with its relay open nothing flows."""
        await self._keep_up(on=False)
        await asyncio.sleep(self._least_interval_s)
        time_s = await self._read_clock()
        return BiasReading(voltage_v=0.0, current_a=0.0, in_compliance=False, output_on=False, time_s=time_s)

    async def open_circuit_voltage(self) -> float:
        """A current of 0 A is sourced for a moment, by a sweep, which ends by itself."""
        async with self._sweeper.quiet():
            await self._only_off("the open-circuit voltage is measured")
            await self._read_limits()
            await self._play(forms.open_circuit(_OPEN_CIRCUIT_S), self._least_interval_s)
            row = await self._sweeper.take_back()
            if await self._switch_off():
                raise ReadBackMismatch(f"{self.name}: told to switch off, its output reads back on; disconnect it")
            return float(row[1])

    async def make_safe(self) -> None:
        """As any source; a waveform ends at once."""
        if self._sweeper.sweeps:
            await self.output(False)
        await super().make_safe()


def _make(name: str, settings: Keithley2400Settings, context: DeviceContext) -> Keithley2400:
    del context
    sync = Sync(send="*IDN?", shape=_IDENTITY)
    return Keithley2400(name, settings, Link(name, settings, Lines(), sync, _FORM))


FACTORY = SettingsFactory("bias", Keithley2400Settings, _make)
