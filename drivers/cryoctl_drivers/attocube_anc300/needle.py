"""An ANC300 as a needle: bursts of coarse steps that are waited for, and offsets that are the tube's set points."""

from __future__ import annotations

import asyncio
import math
import os

from cryoctl.clock import now_s
from cryoctl.errors import ConnectionLost, DeviceError, InstrumentError, NoAnswer, ReadBackMismatch
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.needle import NeedleCapabilities, NeedleHold, NeedleState
from cryoctl_drivers.attocube_anc300.axes import GROUNDED, OFFSET, SAME_V, STEPS, AttocubeAxes
from cryoctl_drivers.attocube_anc300.console import VERSION, Console, Declined, link_of
from cryoctl_drivers.attocube_anc300.settings import AttocubeSettings
from cryoctl_drivers.link import Link
from cryoctl_drivers.needle_record import Three
from cryoctl_drivers.piezo_needle import AXES, PiezoNeedle

_CENTRE = (0.0, 0.0, 0.0)
_SERIAL = r"([\w.\-]{4,40})"
_LATE_S = 1e-3
"""Beyond one period an axis that still steps after the time of its burst goes on by itself."""


class AttocubeNeedle(PiezoNeedle[AttocubeSettings]):
    """Open loop: `coarse_steps` are those sent, where the apex is nobody knows.

    A coarse axis is live only while it steps; `high_voltage` is that of the fine axes.
    """

    def __init__(self, name: str, settings: AttocubeSettings, link: Link) -> None:
        super().__init__(name, settings, link)
        self._console = Console(link, name)
        self._axes = AttocubeAxes(self._console, settings, name)

    @property
    def capabilities(self) -> NeedleCapabilities:
        one = self.settings
        return NeedleCapabilities(
            coarse_step_m=one.coarse_step_m,
            fine_range_m=one.fine_range_m,
            rides_with_stage=True,
            step_s=1.0 / min(one.step_frequency_hz),
            vacuum_limit_pa=one.vacuum_limit_pa,
            grounded_m=one.grounded_m,
            fine_sigma_rel=one.fine_sigma_rel,
        )

    # Connecting

    async def connect(self) -> Identity:
        """A controller that was restarted echoes again, or wants its password: then it is greeted anew."""
        try:
            return await super().connect()
        except NoAnswer:
            await self.link.close()
            return await super().connect()

    async def identify(self) -> Identity:
        version = await self._console.ask("ver", VERSION)
        if version[1] != "ANC300":
            raise self.not_this(version[0].split("\n")[0], "an ANC300")
        serial = (await self._console.ask("getcser", _SERIAL))[1]
        self._record.of(serial)
        return Identity(maker="attocube", model="ANC300", serial=serial, firmware=version[2])

    async def set_up(self) -> None:
        """Modules, step frequencies and voltages, each read back; no mode is changed, so nothing moves or grounds."""
        one = self.settings
        for axis, channel in zip("xyzxyz", (*one.step_axes, *one.fine_axes), strict=True):
            await self._axes.check_module(axis, channel, steps=channel in one.step_axes)
        await self._axes.set_drives()

    # What it knows

    async def state(self) -> NeedleState:
        now, one = self._record.now, self.settings
        modes = await self._axes.modes()
        live = any(mode != GROUNDED for mode in modes)
        fine_m = one.grounded_m
        if live:
            offsets_v = [await self._axes.offset_v(channel) for channel in one.fine_axes]
            told_m = [
                now.fine_m[axis] if self._axes.is_at(axis, now.fine_m[axis], found_v) else one.fine_m(axis, found_v)
                for axis, found_v in enumerate(offsets_v)
            ]
            x_m, y_m, z_m = (
                m if mode != GROUNDED else at for m, mode, at in zip(told_m, modes, one.grounded_m, strict=True)
            )
            fine_m = (x_m, y_m, z_m)
        return NeedleState(coarse_steps=now.steps, fine_m=fine_m, high_voltage_on=live, hold=NeedleHold(now.hold))

    # Coarse

    async def _make_steps(self, index: int, steps: int, halts: int) -> None:
        """A coarse axis is live while it steps only."""
        channel = self.settings.step_axes[index]
        await self._axes.check_drive(channel)
        await self._axes.mode(channel, STEPS)
        await self._bursts(index, steps, halts)
        await self._axes.mode(channel, GROUNDED)

    async def _bursts(self, index: int, steps: int, halts: int) -> None:
        one, sign = self.settings, int(math.copysign(1, steps))
        frequency_hz = one.step_frequency_hz[index]
        at_once = max(1, int(one.burst_s * frequency_hz))
        left = abs(steps)
        while left and self._halts == halts:
            burst = min(at_once, left)
            left -= burst
            await self._record.count(index, sign * burst, burst)
            if self._halts != halts:
                await self._record.count(index, -sign * burst, -burst)
                return
            began_s = now_s()
            await self._send(index, sign * burst)
            await asyncio.sleep((burst + 1) / frequency_hz + _LATE_S)
            await self._check_over(index, sign, burst, began_s)
            if self._halts == halts:
                self._record.sure_of(index, burst)

    async def _send(self, index: int, steps: int) -> None:
        """Once only: an answer that is lost leaves it open whether they were made, and they count as made."""
        one, axis = self.settings, AXES[index]
        way = "u" if steps * one.step_signs[index] > 0 else "d"
        try:
            await self._console.do(f"step{way} {one.step_axes[index]} {abs(steps)}")
        except Declined:
            await self._record.count(index, -steps, -abs(steps))
            raise
        except (NoAnswer, ConnectionLost) as error:
            raise type(error)(
                f"{self.name}: {steps} steps along {axis} were sent and their answer was lost; they are counted as "
                "made and not sent again, look where the apex is"
            ) from error

    async def _check_over(self, index: int, sign: int, burst: int, began_s: float) -> None:
        """One that goes on is stopped; all that it can have made since is counted."""
        channel = self.settings.step_axes[index]
        if await self._axes.stands(channel):
            return
        await self.stop()
        more = math.ceil((now_s() - began_s) * self.settings.step_frequency_hz[index]) + 1 - burst
        more = max(1, more)
        await self._record.count(index, sign * more, more)
        raise DeviceError(
            f"{self.name}: axis {channel} went on after its {burst} steps along {AXES[index]} and was stopped; up to "
            f"{more} more are counted, look where the apex is"
        )

    async def stop(self) -> None:
        """The tube keeps its place; a burst under way ends, and no further one is sent."""
        self._halts += 1
        for channel in self.settings.step_axes:
            await self._console.do(f"stop {channel}", again=True)
        for channel in self.settings.step_axes:
            if not await self._axes.stands(channel):
                raise ReadBackMismatch(f"{self.name}: axis {channel} was stopped, yet steps; switch the controller off")

    # Fine

    async def _is_live(self) -> bool:
        return all(mode == OFFSET for mode in await self._axes.modes())

    async def _place(self, wanted: Three) -> None:
        one = self.settings
        offsets_v = [await self._axes.offset_v(channel) for channel in one.fine_axes]
        x_m, y_m, z_m = (one.fine_m(axis, offset_v) for axis, offset_v in enumerate(offsets_v))
        for axis in self._order((x_m, y_m, z_m), wanted):
            channel, offset_v = one.fine_axes[axis], one.offset_v(axis, wanted[axis])
            await self._axes.set_offset(channel, offset_v)
            found_v = await self._axes.offset_v(channel)
            if not self._axes.is_at(axis, wanted[axis], found_v):
                raise ReadBackMismatch(
                    f"{self.name}: axis {channel} ({AXES[axis]}) was set to {offset_v:.3f} V and reads back "
                    f"{found_v:.3f} V; look where the apex is"
                )

    async def high_voltage(self, on: bool) -> NeedleState:
        async with self._moving:
            if on and not await self._is_live():
                await self._switch_on()
                await self._record.keep(fine_m=_CENTRE, parked=False)
                await self._place(_CENTRE)
            elif not on:
                await self._ground()
        return await self.state()

    async def _switch_on(self) -> None:
        """At 0 V, where nothing moves."""
        fine = self.settings.fine_axes
        await self._axes.check_capacitances()
        try:
            for channel in fine:
                await self._axes.set_offset(channel, 0.0)
                if await self._axes.offset_v(channel) > SAME_V:
                    raise ReadBackMismatch(
                        f"{self.name}: the offset of axis {channel} does not go to 0 V; see its panel"
                    )
                await self._axes.mode(channel, OFFSET)
        except ReadBackMismatch:
            await self._ground()
            raise

    async def _ground(self) -> None:
        for channel in self.settings.fine_axes:
            await self._axes.mode(channel, GROUNDED)
            await self._axes.set_offset(channel, 0.0)


def _make(name: str, settings: AttocubeSettings, context: DeviceContext) -> AttocubeNeedle:
    del context
    password = settings.password
    if settings.password_variable:
        if settings.password_variable not in os.environ:
            raise InstrumentError(
                f"{name}.password_variable: {settings.password_variable!r} is not set in this environment; set it first"
            )
        password = os.environ[settings.password_variable]
    return AttocubeNeedle(name, settings, link_of(name, settings, password))


FACTORY = SettingsFactory("needle", AttocubeSettings, _make)
