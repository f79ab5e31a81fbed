"""A 2600 as a biasing source."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import numpy.typing as npt

from cryoctl.clock import now_s
from cryoctl.errors import InstrumentError, NoAnswer, ReadBackMismatch, Refused
from cryoctl.interfaces import waveform as forms
from cryoctl.interfaces.bias import (
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
from cryoctl_drivers.keithley_2600.answers import REPORT, Report, report_of
from cryoctl_drivers.keithley_2600.player import Player
from cryoctl_drivers.keithley_2600.preparation import limit_settings, prepare
from cryoctl_drivers.keithley_2600.samples import Samples
from cryoctl_drivers.keithley_2600.script import Script, Setting
from cryoctl_drivers.keithley_2600.settings import (
    LONGEST_INTERVAL_S,
    MODELS,
    OVERHEAD_S,
    Keithley2600Settings,
    has_channel,
    least_limits,
)
from cryoctl_drivers.link import Link
from cryoctl_drivers.scpi import identity
from cryoctl_drivers.source_device import SourceDevice
from cryoctl_drivers.staircase import check_waveform
from cryoctl_drivers.tsp import Caller, PromptedLines, unprompted

_PART = r"[ -+\--~]"
_IDENTITY = re.compile(rf"{_PART}{{2,40}},{_PART}{{2,20}},{_PART}{{1,40}},{_PART}{{1,40}}")
_HIGH_IMPEDANCE, _ZERO = 2, 1
_COMPLETE, _TRIPPED = "complete", "compliance"
_ENDED = {"complete": _COMPLETE, "tripped": _TRIPPED}
_MOST_PAGES = 30
"""Fetched in a row while its script runs; the rest by the next call."""
_OPEN_CIRCUIT_S = 0.3
_BEGINS_S = 1.0


class Keithley2600(SourceDevice[Keithley2600Settings]):
    overhead_s = OVERHEAD_S
    longest_interval_s = LONGEST_INTERVAL_S

    def __init__(self, name: str, settings: Keithley2600Settings, link: Link, caller: Caller) -> None:
        super().__init__(name, settings, link)
        self._caller = caller
        self._script = Script(link, name, settings, caller)
        self._samples = Samples(settings.buffer_samples)
        self._player = Player(self._script, self._samples, name, settings.buffer_samples)
        self._asking = asyncio.Lock()
        self._model = ""
        self._ended = ""

    @property
    def least_limits(self) -> BiasLimits:
        return least_limits(self._model)

    @property
    def kept_samples(self) -> int:
        return self.settings.buffer_samples

    @property
    def _need_s(self) -> float:
        return 2 * self._aperture_s

    # Connecting

    async def identify(self) -> Identity:
        """Of one whose script runs: who it was when it was loaded, since only that answers.

        Raises:
            InstrumentError: another instrument, or a channel that it has not.
        """
        told = await self._script.look_for()
        if self._script.runs:
            report = report_of(told)
            model, serial, firmware = report.model, report.serial, report.firmware
        else:
            told = await identity(self.link, self.name, _IDENTITY)
            maker, model, serial, firmware = (part.strip() for part in told.split(","))
            model = model.removeprefix("Model ")
            if "KEITHLEY" not in maker.upper() or model not in MODELS:
                raise self.not_this(told, "a Keithley 2601B, 2602B, 2604B, 2611B, 2612B, 2614B, 2634B, 2635B or 2636B")
        if not has_channel(model, self.settings.channel):
            raise InstrumentError(f"{self.name}: a {model} has smua only; change settings.channel to smua")
        self._model = model
        return Identity(maker="Keithley", model=model, serial=serial, firmware=firmware)

    async def set_up(self) -> None:
        await self._cut_off.connect()
        if not self._script.runs:
            await self._script.load()
        report = await self._look()
        self._mains_hz = report.mains_hz
        if not (report.on or self._script.runs):
            await prepare(self._script, self.settings)

    async def close(self) -> None:
        await super().close()
        self._caller.belief = "stranger"

    # What it is and does

    async def _look(self) -> Report:
        """As it is now; what it did by itself is noted, and a script that only lingers is left."""
        report = await self._script.report()
        if report is None:  # it was switched off and on
            self._samples.forget()
            await self._script.load()
            report = await self._script.report()
        if report is None:
            raise NoAnswer(f"{self.name}: does not keep its script; see its display")
        if not report.marked:
            self._ended = ""
        elif report.doing == "over":
            self._ended = _ENDED.get(report.ended, "")
        elif report.doing and not report.on:  # its script did not see it yet
            self._ended = _TRIPPED
        if not (report.doing and report.on):
            await self._script.leave()
            await self._player.catch_up(report)
        elif not self._samples.take(report) and report.doing == "bias":
            await self._player.switch_on(self._sampling_s, self._need_s)  # fetches them
        return report

    async def status(self) -> BiasStatus:
        async with self._asking:
            report = await self._look()
        return BiasStatus(
            output_on=report.on,
            off_mode=report.off_mode,
            limits=report.limits,
            playing=report.doing == "waveform",
            ended="" if report.on else self._ended,
            restarted=not report.marked,
        )

    async def clock_s(self) -> float:
        async with self._asking:
            return (await self._look()).clock_s

    async def read(self) -> BiasReading:
        """Its newest sample, and one that was taken after the question; with the output off a reading of its own."""
        async with self._asking:
            report = await self._look()
        before, until_s = report.total, now_s() + 2 * self._sampling_s + _BEGINS_S
        while report.on:
            if self._samples.end > before:
                return _reading(self._samples.rows[-1], on=True)
            if now_s() > until_s:
                raise NoAnswer(f"{self.name}: takes no samples though its output is on; see its display")
            await asyncio.sleep(self._sampling_s / 4)
            async with self._asking:
                report = await self._look()
        async with self._asking:
            return await self._read_off()

    async def _read_off(self) -> BiasReading:
        await asyncio.sleep(self._least_interval_s)
        return _reading((await self._script.single())[0], on=False)

    # Limits and rest

    async def set_limits(self, limits: BiasLimits) -> BiasLimits:
        async with self._asking:
            await self._only_off("limits change")
            self._check_limits(limits)
            await prepare(self._script, self.settings)
            await self._script.make(*limit_settings(self._script, limits))
            self._ended = ""
            return (await self._look()).limits

    async def set_rest(self, rest: BiasRest) -> OffMode:
        async with self._asking:
            await self._only_off("its off mode changes")
            mode = _HIGH_IMPEDANCE if rest.off_mode is OffMode.HIGH_IMPEDANCE else _ZERO
            await self._script.make(Setting(self._script.of("source.offmode"), mode))
            self._rest_v = rest.voltage_v
            return (await self._look()).off_mode

    async def _only_off(self, what: str) -> Report:
        report = await self._look()
        if report.on:
            raise Refused(f"{self.name}: {what} with the output off only; switch it off first")
        return report

    # Bias

    async def set_voltage(self, voltage_v: float) -> float:
        async with self._asking:
            self._check_voltage(voltage_v, (await self._look()).limits)
            return await self._player.drive("voltage", voltage_v, self._sampling_s, self._need_s)

    async def set_current(self, current_a: float) -> float:
        async with self._asking:
            self._check_current(current_a, (await self._look()).limits)
            return await self._player.drive("current", current_a, self._sampling_s, self._need_s)

    async def output(self, on: bool) -> bool:
        async with self._asking:
            self._ended = ""
            if on:
                return await self._player.switch_on(self._sampling_s, self._need_s)
            return await self._player.switch_off()

    # Waveforms and samples

    async def start_waveform(self, waveform: Waveform, sample_interval_s: float | None = None) -> float:
        async with self._asking:
            report = await self._look()
            if report.on:
                raise Refused(f"{self.name}: a waveform begins with the output off; bring it to rest first")
            check_waveform(waveform, report.limits, self.name)
            wanted_s = self._checked(sample_interval_s)
            self._ended = ""
            interval_s = await self._player.play(waveform, wanted_s, self._need_s, scratch=False)
            self._interval_s = wanted_s
            return interval_s

    async def samples(self, since: int) -> BiasSamples:
        async with self._asking:
            known = self._samples
            report = await self._look()
            for _ in range(_MOST_PAGES):
                if known.end >= report.total - 1:
                    break
                report = await self._look()
            first = min(max(since, known.first), known.end)
            rows = known.rows[first - known.first :]
            return BiasSamples(
                first=first,
                total=report.total,
                time_s=rows[:, 0].copy(),
                voltage_v=rows[:, 1].copy(),
                current_a=rows[:, 2].copy(),
                in_compliance=rows[:, 3] > 0,
            )

    async def open_circuit_voltage(self) -> float:
        """A current of 0 A is sourced for a moment, by a waveform, which ends by itself: with its relay open it sees
        nothing."""
        async with self._asking:
            await self._only_off("the open-circuit voltage is measured")
            waveform = forms.open_circuit(max(_OPEN_CIRCUIT_S, 3 * self._least_interval_s))
            try:
                await self._player.play(waveform, self._least_interval_s, self._need_s, scratch=True)
                await asyncio.sleep(waveform.duration_s)
            finally:
                on = await self._player.switch_off()
            if on:
                raise ReadBackMismatch(
                    f"{self.name}: told to switch off, the output reads back on; switch it off by hand"
                )
            return float((await self._script.values("cryoctl.newest"))[0])


def _reading(row: npt.NDArray[np.float64], *, on: bool) -> BiasReading:
    return BiasReading(
        voltage_v=float(row[1]),
        current_a=float(row[2]),
        in_compliance=on and bool(row[3]),
        output_on=on,
        time_s=float(row[0]),
    )


def _make(name: str, settings: Keithley2600Settings, context: DeviceContext) -> Keithley2600:
    del context
    caller = Caller(_IDENTITY, REPORT)
    link = Link(name, settings, PromptedLines(), caller, unasked=unprompted)
    return Keithley2600(name, settings, link, caller)


FACTORY = SettingsFactory("bias", Keithley2600Settings, _make)
