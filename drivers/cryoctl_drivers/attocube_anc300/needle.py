"""An ANC300 as a needle: bursts of coarse steps that are waited for, and offsets that are the tube's set points."""

from __future__ import annotations

import asyncio
import math
import os

from cryoctl.clock import now_s
from cryoctl.errors import ConnectionLost, DeviceError, InstrumentError, NoAnswer, OutOfRange, ReadBackMismatch, Refused
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.needle import NeedleCapabilities, NeedleHold, NeedleState
from cryoctl_drivers.attocube_anc300.axes import GROUNDED, OFFSET, SAME_V, STEPS, AttocubeAxes
from cryoctl_drivers.attocube_anc300.console import VERSION, Console, Declined, link_of
from cryoctl_drivers.attocube_anc300.settings import AttocubeSettings
from cryoctl_drivers.link import Link
from cryoctl_drivers.needle_record import NeedleRecord, Remembered, Three
from cryoctl_drivers.port_device import PortDevice

_AXES = "xyz"
_LARGEST = 1000
"""Steps of one call."""
_SERIAL = r"([\w.\-]{4,40})"
_LATE_S = 1e-3
"""Beyond one period an axis that still steps after the time of its burst goes on by itself."""


class AttocubeNeedle(PortDevice[AttocubeSettings]):
    """Open loop: `coarse_steps` are those sent, where the apex is nobody knows.

    A coarse axis is live only while it steps; `high_voltage` is that of the fine axes.
    """

    kind = "needle"

    def __init__(self, name: str, settings: AttocubeSettings, link: Link, record: NeedleRecord) -> None:
        super().__init__(name, settings, link)
        self._console = Console(link, name)
        self._axes = AttocubeAxes(self._console, settings, name)
        self._record = record
        self._moving = asyncio.Lock()
        self._halts = 0

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

    @property
    def remembered(self) -> Remembered:
        """Steps sent, and how many of them may not have been made."""
        return self._record.now

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

    async def note_hold(self, hold: NeedleHold) -> NeedleState:
        await self._record.keep(hold=hold.value)
        return await self.state()

    # Coarse

    async def step(self, axis: str, steps: int) -> NeedleState:
        if axis not in _AXES or len(axis) != 1:
            raise OutOfRange(f"{self.name}.axis: found {axis!r}, allowed are x, y, z; nothing moved")
        if abs(steps) > _LARGEST:
            raise OutOfRange(f"{self.name}.steps: {steps} at once is beyond {_LARGEST}; nothing moved")
        halts, index = self._halts, _AXES.index(axis)
        channel = self.settings.step_axes[index]
        async with self._moving:
            if steps and self._halts == halts:
                await self._axes.check_drive(channel)
                await self._axes.mode(channel, STEPS)
                await self._bursts(index, steps, halts)
                await self._axes.mode(channel, GROUNDED)
        return await self.state()

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
        one, axis = self.settings, _AXES[index]
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
            f"{self.name}: axis {channel} went on after its {burst} steps along {_AXES[index]} and was stopped; up to "
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

    async def fine(self, x_m: float, y_m: float, z_m: float) -> NeedleState:
        low_m, high_m = self.settings.fine_range_m
        wanted = (x_m, y_m, z_m)
        if not all(low_m <= value <= high_m for value in wanted):
            raise OutOfRange(
                f"{self.name}: fine set point {wanted} m is beyond {low_m:g} to {high_m:g} m; nothing moved"
            )
        async with self._moving:
            if not all(mode == OFFSET for mode in await self._axes.modes()):
                limit_pa = self.settings.vacuum_limit_pa
                raise Refused(f"{self.name}: no high voltage; switch it on below {limit_pa:g} Pa")
            await self._place(wanted)
        return await self.state()

    async def _place(self, wanted: Three) -> None:
        """One axis after the other: what leads away from the specimen first, what leads to it last."""
        one = self.settings
        await self._record.keep(fine_m=wanted, parked=False)
        now_m = [one.fine_m(axis, await self._axes.offset_v(channel)) for axis, channel in enumerate(one.fine_axes)]
        along, away = _AXES.index(one.withdraw[1]), 1 if one.withdraw[0] == "+" else -1
        withdraws = (wanted[along] - now_m[along]) * away >= 0
        across = [axis for axis in range(3) if axis != along]
        for axis in (along, *across) if withdraws else (*across, along):
            channel, offset_v = one.fine_axes[axis], one.offset_v(axis, wanted[axis])
            await self._axes.set_offset(channel, offset_v)
            found_v = await self._axes.offset_v(channel)
            if not self._axes.is_at(axis, wanted[axis], found_v):
                raise ReadBackMismatch(
                    f"{self.name}: axis {channel} ({_AXES[axis]}) was set to {offset_v:.3f} V and reads back "
                    f"{found_v:.3f} V; look where the apex is"
                )

    async def high_voltage(self, on: bool) -> NeedleState:
        async with self._moving:
            if on and not all(mode == OFFSET for mode in await self._axes.modes()):
                await self._switch_on()
                await self._place((0.0, 0.0, 0.0))
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

    # Rest

    async def make_safe(self) -> None:
        await self.stop()
        state = await self.state()
        if state.hold.is_fast:
            return
        if state.high_voltage_on or state.hold is NeedleHold.CONTACT or not self._record.now.parked:
            await self._step_clear(state)
            if (await self.high_voltage(False)).high_voltage_on:
                raise ReadBackMismatch(f"{self.name}: the high voltage reads back on; switch it off by hand")
            await self._record.keep(hold=NeedleHold.FREE.value, parked=True)

    async def _step_clear(self, state: NeedleState) -> None:
        """So many steps back that the apex is certainly clear, also when the tube has jumped."""
        one = self.settings
        jump_m = math.dist(state.fine_m, one.grounded_m) * (1.0 + 3.0 * one.fine_sigma_rel)
        count = math.ceil((one.clear_m + jump_m) / one.coarse_step_m[0])
        sign, axis = (1 if one.withdraw[0] == "+" else -1), one.withdraw[1]
        while count:
            burst = min(count, _LARGEST)
            halts = self._halts
            await self.step(axis, sign * burst)
            if self._halts != halts:
                raise DeviceError(f"{self.name}: stopped while it was stepping clear, its tube stays live; try again")
            count -= burst


def _make(name: str, settings: AttocubeSettings, context: DeviceContext) -> AttocubeNeedle:
    del context
    password = settings.password
    if settings.password_variable:
        if settings.password_variable not in os.environ:
            raise InstrumentError(
                f"{name}.password_variable: {settings.password_variable!r} is not set in this environment; set it first"
            )
        password = os.environ[settings.password_variable]
    record = NeedleRecord(name, settings.state_file)
    return AttocubeNeedle(name, settings, link_of(name, settings, password), record)


FACTORY = SettingsFactory("needle", AttocubeSettings, _make)
