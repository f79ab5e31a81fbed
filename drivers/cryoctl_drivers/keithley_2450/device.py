"""A 2450 as a biasing source."""

from __future__ import annotations

import asyncio
import contextlib
import re

import numpy as np

from cryoctl.errors import CryoctlError, InstrumentError, NoAnswer, ReadBackMismatch, Refused
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
from cryoctl_drivers.keithley_2450.front import Front, until_sample
from cryoctl_drivers.keithley_2450.player import Player
from cryoctl_drivers.keithley_2450.preparation import limit_settings, prepare
from cryoctl_drivers.keithley_2450.readings import Rows
from cryoctl_drivers.keithley_2450.settings import (
    BUFFER,
    LEAST_A,
    LEAST_V,
    LONGEST_INTERVAL_S,
    OVERHEAD_S,
    SCRATCH,
    Keithley2450Settings,
)
from cryoctl_drivers.link import Lines, Link, Sync
from cryoctl_drivers.scpi import WORD, Setting, identity, make
from cryoctl_drivers.source_device import SourceDevice
from cryoctl_drivers.staircase import check_waveform

_PART = r"[ -+\--~]"
_IDENTITY = re.compile(rf"{_PART}{{2,40}},{_PART}{{2,20}},{_PART}{{1,40}},{_PART}{{1,20}}")
_MOST_SAMPLES = 20_000
"""That one call gives; the rest by the next."""
_OPEN_CIRCUIT_S = 0.3
_BEGINS_S = 1.0


class Keithley2450(SourceDevice[Keithley2450Settings]):
    overhead_s = OVERHEAD_S
    longest_interval_s = LONGEST_INTERVAL_S

    def __init__(self, name: str, settings: Keithley2450Settings, link: Link) -> None:
        super().__init__(name, settings, link)
        self._front = Front(link, name)
        self._player = Player(link, name, self._front)
        self._changing = asyncio.Lock()
        self._restarted = False

    @property
    def least_limits(self) -> BiasLimits:
        return BiasLimits(voltage_limit_v=LEAST_V, compliance_a=LEAST_A)

    @property
    def kept_samples(self) -> int:
        return self.settings.buffer_samples

    # Connecting

    async def identify(self) -> Identity:
        told = await identity(self.link, self.name, _IDENTITY)
        maker, model, serial, firmware = (part.strip() for part in told.split(","))
        if "KEITHLEY" not in maker.upper() or model != "MODEL 2450":
            raise self.not_this(told, "a Keithley 2450")
        language = await self.link.ask("*LANG?", WORD)
        if language.upper() != "SCPI":
            raise InstrumentError(
                f"{self.name}: speaks {language[:20]}, its driver SCPI; in its menu, System, Settings, set the command "
                "set to SCPI and switch it off and on"
            )
        return Identity(maker="Keithley", model="2450", serial=serial, firmware=firmware)

    async def set_up(self) -> None:
        self._mains_hz = await self._front.mains_hz()
        await self._cut_off.connect()
        if await self._front.is_on():
            return
        await self._prepare()

    async def _prepare(self) -> None:
        await prepare(self.link, self.name, self.settings)
        await self._front.check_clock()

    # Limits and rest

    async def set_limits(self, limits: BiasLimits) -> BiasLimits:
        async with self._changing:
            await self._only_off("limits change")
            self._check_limits(limits)
            await self._prepare()
            await make(self.link, self.name, *limit_settings(limits))
            await self._front.was_switched_on()  # what its register still says is of the past
            self._restarted, self._player.ended = False, ""
            return await self._front.limits()

    async def set_rest(self, rest: BiasRest) -> OffMode:
        async with self._changing:
            await self._only_off("its off mode changes")
            mode = "HIMP" if rest.off_mode is OffMode.HIGH_IMPEDANCE else "ZERO"
            await make(self.link, self.name, *(Setting(f":OUTP:{one}:SMOD", mode) for one in ("VOLT", "CURR")))
            self._rest_v = rest.voltage_v
            return await self._front.off_mode()

    async def _only_off(self, what: str) -> None:
        if await self._front.is_on():
            raise Refused(f"{self.name}: {what} with the output off only; switch it off first")

    # Bias

    async def set_voltage(self, voltage_v: float) -> float:
        async with self._changing:
            self._check_voltage(voltage_v, await self._front.limits())
            return await self._player.drive("voltage", voltage_v, self._sampling_s)

    async def set_current(self, current_a: float) -> float:
        async with self._changing:
            self._check_current(current_a, await self._front.limits())
            return await self._player.drive("current", current_a, self._sampling_s)

    async def output(self, on: bool) -> bool:
        async with self._changing:
            if on:
                await self._player.switch_on(self._sampling_s)
                return await self._front.is_on()
            return await self._player.switch_off()

    # Waveforms and samples

    async def start_waveform(self, waveform: Waveform, sample_interval_s: float | None = None) -> float:
        async with self._changing:
            if await self._front.is_on():
                raise Refused(f"{self.name}: a waveform begins with the output off; bring it to rest first")
            check_waveform(waveform, await self._front.limits(), self.name)
            wanted_s = self._checked(sample_interval_s)
            interval_s = await self._player.play(waveform, wanted_s, self._least_interval_s, BUFFER)
            self._interval_s = wanted_s
            return interval_s

    async def samples(self, since: int) -> BiasSamples:
        oldest, total = await self._front.ends()
        first = max(since, oldest - 1, 0)
        last = min(total, first + _MOST_SAMPLES)
        if last <= first:
            return BiasSamples(first=first, total=total)
        rows = await self._front.rows(first + 1, last)
        return BiasSamples(
            first=first,
            total=total,
            time_s=np.concatenate([one.time_s for one in rows]) - self._aperture_s / 2,
            voltage_v=np.concatenate([one.voltage_v for one in rows]),
            current_a=np.concatenate([one.current_a for one in rows]),
            in_compliance=np.concatenate([one.limited for one in rows]),
        )

    async def clock_s(self) -> float:
        return await self._front.clock_s()

    # What it is and does

    async def status(self) -> BiasStatus:
        on = await self._front.is_on()
        await self._keep_up(on)
        player = self._player
        return BiasStatus(
            output_on=on,
            off_mode=await self._front.off_mode(),
            limits=await self._front.limits(),
            playing=on and player.doing == "waveform",
            ended=player.ended,
            restarted=self._restarted,
        )

    async def _keep_up(self, on: bool) -> None:
        """With what it did by itself."""
        player = self._player
        self._restarted = await self._front.was_switched_on() or self._restarted
        if player.doing and not on:
            player.ended = "" if self._restarted else await player.why_off()
            player.doing = ""
            await self.link.tell(":ABOR")

    async def read(self) -> BiasReading:
        """Its newest sample, and one that was taken after the question; with the output off a reading of its own."""
        if not await self._front.is_on():
            return await self._read_off()
        before = (await self._front.ends())[1]
        interval_s = self._sampling_s
        try:
            index = await until_sample(self._front, before, interval_s / 4, 2 * interval_s + _BEGINS_S, self.name)
        except NoAnswer:
            if await self._front.is_on():
                raise
            return await self._read_off()
        return self._reading((await self._front.rows(index, index))[0], on=await self._front.is_on())

    async def _read_off(self) -> BiasReading:
        await self._keep_up(on=False)
        await asyncio.sleep(self._least_interval_s)
        return self._reading(await self._front.measure(), on=False)

    def _reading(self, rows: Rows, *, on: bool) -> BiasReading:
        return BiasReading(
            voltage_v=float(rows.voltage_v[0]),
            current_a=float(rows.current_a[0]),
            in_compliance=on and bool(rows.limited[0]),
            output_on=on,
            time_s=float(rows.time_s[0]) - self._aperture_s / 2,
        )

    async def open_circuit_voltage(self) -> float:
        """A current of 0 A is sourced for a moment, by a waveform, which ends by itself: with its relay open it sees
        nothing."""
        async with self._changing:
            await self._only_off("the open-circuit voltage is measured")
            waveform = forms.open_circuit(max(_OPEN_CIRCUIT_S, 3 * self._least_interval_s))
            least_s = self._least_interval_s
            try:
                await self._player.play(waveform, least_s, least_s, SCRATCH)
                await asyncio.sleep(waveform.duration_s)
            finally:
                with contextlib.suppress(CryoctlError):
                    await self.link.tell(":ABOR", ":OUTP 0")
            if await self._player.switch_off():
                raise ReadBackMismatch(
                    f"{self.name}: told to switch off, the output reads back on; switch it off by hand"
                )
            return float((await self._front.newest(SCRATCH)).voltage_v[0])


def _make(name: str, settings: Keithley2450Settings, context: DeviceContext) -> Keithley2450:
    del context
    sync = Sync(send="*IDN?", shape=_IDENTITY)
    return Keithley2450(name, settings, Link(name, settings, Lines(), sync))


FACTORY = SettingsFactory("bias", Keithley2450Settings, _make)
