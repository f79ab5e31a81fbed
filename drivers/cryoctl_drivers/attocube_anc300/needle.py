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
from cryoctl_drivers.attocube_anc300.console import NUMBER, VERSION, Console, Declined, link_of
from cryoctl_drivers.attocube_anc300.settings import AttocubeSettings
from cryoctl_drivers.link import Link
from cryoctl_drivers.needle_record import NeedleRecord, Three
from cryoctl_drivers.port_device import PortDevice

_AXES = "xyz"
_LARGEST = 1000
"""Steps of one call."""
_SAME_V = 5e-3
"""Set points are sent in mV."""
_REST_V = 0.5
"""Less is no step: what the output measures of an axis that stands."""
_LATE_S = 1e-3
"""Beyond one period an axis that still steps after the time of its burst goes on by itself."""
_MEASURES_S, _PATIENCE_S = 0.1, 3.0
"""Of a measured capacitance: between two looks whether it is over, and until it has to be."""
_MODE = r"mode = (\S{1,6})"
_OFFSET = "off"
"""Mode of an axis whose output is its offset."""


class AttocubeNeedle(PortDevice[AttocubeSettings]):
    """Open loop: `coarse_steps` are those sent, where the apex is nobody knows.

    A coarse axis is live only while it steps; `high_voltage` is that of the fine axes.
    """

    kind = "needle"

    def __init__(self, name: str, settings: AttocubeSettings, link: Link, record: NeedleRecord) -> None:
        super().__init__(name, settings, link)
        self._console = Console(link, name)
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
    def unsure_steps(self) -> tuple[int, int, int]:
        """How many of the steps counted along x, y and z may not have been made."""
        return self._record.now.unsure

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
        serial = (await self._console.ask("getcser", r"([\w.\-]{4,40})"))[1]
        return Identity(maker="attocube", model="ANC300", serial=serial, firmware=version[2])

    async def set_up(self) -> None:
        """Modules, step frequencies and voltages, each read back; no mode is changed, so nothing moves or grounds."""
        one = self.settings
        self._record.of((await self._console.ask("getcser", r"([\w.\-]{4,40})"))[1])
        for axis, channel in zip("xyzxyz", (*one.step_axes, *one.fine_axes), strict=True):
            await self._check_module(axis, channel, steps=channel in one.step_axes)
        for channel, frequency_hz, voltage_v in zip(
            one.step_axes, one.step_frequency_hz, one.step_voltage_v, strict=True
        ):
            if await self._frequency_hz(channel) != frequency_hz:
                await self._console.set(f"setf {channel} {frequency_hz:.0f}")
            if abs(await self._voltage_v(channel) - voltage_v) > _SAME_V:
                await self._console.set(f"setv {channel} {voltage_v:.3f}")
            await self._check_drive(channel)

    async def _check_module(self, axis: str, channel: int, steps: bool) -> None:
        try:
            serial = (await self._console.ask(f"getser {channel}", r"([\w.\-]{3,40})"))[1]
        except Declined as error:
            serial = f"none ({error.message[-60:]})"
        allowed = ("ANM150", "ANM250", "ANM300") if steps else ("ANM200", "ANM250", "ANM300")
        if not serial.startswith(allowed):
            field = "step_axes" if steps else "fine_axes"
            raise InstrumentError(
                f"{self.name}.{field}: on {channel} ({axis}) there is {serial[:80]!r}, allowed are {', '.join(allowed)}; "
                "change the setting or the wiring"
            )

    async def _check_drive(self, channel: int) -> None:
        """Steps are as long as their voltage is high: one that somebody turned up must not be used."""
        one = self.settings
        number = one.step_axes.index(channel)
        found = await self._frequency_hz(channel), await self._voltage_v(channel)
        wanted = one.step_frequency_hz[number], one.step_voltage_v[number]
        if found[0] != wanted[0] or abs(found[1] - wanted[1]) > _SAME_V:
            raise ReadBackMismatch(
                f"{self.name}: axis {channel} reads {found[0]:g} Hz and {found[1]:g} V, its settings are {wanted[0]:g} Hz "
                f"and {wanted[1]:g} V; see its front panel, then connect again"
            )

    # What it knows

    async def state(self) -> NeedleState:
        now, one = self._record.now, self.settings
        modes = await self._modes()
        live = any(mode != "gnd" for mode in modes)
        fine_m = one.grounded_m
        if live:
            offsets_v = [await self._offset_v(channel) for channel in one.fine_axes]
            told_m = [
                now.fine_m[axis] if self._is_at(axis, now.fine_m[axis], found_v) else one.fine_m(axis, found_v)
                for axis, found_v in enumerate(offsets_v)
            ]
            x_m, y_m, z_m = (
                m if mode != "gnd" else at for m, mode, at in zip(told_m, modes, one.grounded_m, strict=True)
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
                await self._check_drive(channel)
                await self._mode(channel, "stp")
                await self._bursts(index, steps, halts)
                await self._mode(channel, "gnd")
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
                f"{self.name}: {steps} steps along {axis} were sent and their answer was lost; they are counted as made "
                "and not sent again, look where the apex is"
            ) from error

    async def _check_over(self, index: int, sign: int, burst: int, began_s: float) -> None:
        """One that goes on is stopped; all that it can have made since is counted."""
        channel = self.settings.step_axes[index]
        if await self._stands(channel):
            return
        await self.stop()
        more = math.ceil((now_s() - began_s) * self.settings.step_frequency_hz[index]) + 1 - burst
        more = max(1, more)
        await self._record.count(index, sign * more, more)
        raise DeviceError(
            f"{self.name}: axis {channel} went on after its {burst} steps along {_AXES[index]} and was stopped; up to "
            f"{more} more are counted, look where the apex is"
        )

    async def _stands(self, channel: int) -> bool:
        """Its output is at rest twice: a sawtooth goes through 0 too."""
        for _ in range(2):
            output_v = await self._console.number(f"geto {channel}", "voltage", "V", confirm=False)
            if abs(output_v) > _REST_V:
                return False
        return True

    async def stop(self) -> None:
        """The tube keeps its place; a burst under way ends, and no further one is sent."""
        self._halts += 1
        for channel in self.settings.step_axes:
            await self._console.do(f"stop {channel}", again=True)
        for channel in self.settings.step_axes:
            if not await self._stands(channel):
                raise ReadBackMismatch(f"{self.name}: axis {channel} was stopped, yet steps; switch the controller off")

    # Fine

    async def fine(self, x_m: float, y_m: float, z_m: float) -> NeedleState:
        low_m, high_m = self.settings.fine_range_m
        wanted = (x_m, y_m, z_m)
        if not all(low_m <= value <= high_m for value in wanted):
            raise OutOfRange(f"{self.name}: fine set point {wanted} m is beyond {low_m:g} to {high_m:g} m; nothing moved")
        async with self._moving:
            if not all(mode == _OFFSET for mode in await self._modes()):
                limit_pa = self.settings.vacuum_limit_pa
                raise Refused(f"{self.name}: no high voltage; switch it on below {limit_pa:g} Pa")
            await self._place(wanted)
        return await self.state()

    async def _place(self, wanted: Three) -> None:
        """One axis after the other: what leads away from the specimen first, what leads to it last."""
        one = self.settings
        await self._record.keep(fine_m=wanted, parked=False)
        now_m = [one.fine_m(axis, await self._offset_v(channel)) for axis, channel in enumerate(one.fine_axes)]
        along, away = _AXES.index(one.withdraw[1]), 1 if one.withdraw[0] == "+" else -1
        withdraws = (wanted[along] - now_m[along]) * away >= 0
        across = [axis for axis in range(3) if axis != along]
        for axis in (along, *across) if withdraws else (*across, along):
            channel, offset_v = one.fine_axes[axis], one.offset_v(axis, wanted[axis])
            await self._console.set(f"seta {channel} {offset_v:.3f}")
            found_v = await self._offset_v(channel)
            if not self._is_at(axis, wanted[axis], found_v):
                raise ReadBackMismatch(
                    f"{self.name}: axis {channel} ({_AXES[axis]}) was set to {offset_v:.3f} V and reads back "
                    f"{found_v:.3f} V; look where the apex is"
                )

    async def high_voltage(self, on: bool) -> NeedleState:
        async with self._moving:
            if on and not all(mode == _OFFSET for mode in await self._modes()):
                await self._switch_on()
                await self._place((0.0, 0.0, 0.0))
            elif not on:
                await self._ground()
        return await self.state()

    async def _switch_on(self) -> None:
        """At 0 V, where nothing moves."""
        fine = self.settings.fine_axes
        for channel in fine:
            await self._check_capacitance(channel)
        try:
            for channel in fine:
                await self._console.set(f"seta {channel} 0.000")
                if await self._offset_v(channel) > _SAME_V:
                    raise ReadBackMismatch(f"{self.name}: the offset of axis {channel} does not go to 0 V; see its panel")
                await self._mode(channel, _OFFSET)
        except ReadBackMismatch:
            await self._ground()
            raise

    async def _ground(self) -> None:
        for channel in self.settings.fine_axes:
            await self._mode(channel, "gnd")
            await self._console.set(f"seta {channel} 0.000")

    async def _check_capacitance(self, channel: int) -> None:
        """Measured now where it never was; it ends grounded, and is asked for only while it is."""
        low_farad, high_farad = self.settings.capacitance_farad
        found_farad = await self._capacitance_farad(channel)
        if not found_farad and await self._mode_of(channel) == "gnd":
            await self._console.set(f"setm {channel} cap")
            began_s = now_s()
            while await self._mode_of(channel) == "cap" and now_s() - began_s < _PATIENCE_S:
                await asyncio.sleep(_MEASURES_S)
            found_farad = await self._capacitance_farad(channel)
        if not low_farad <= found_farad <= high_farad:
            raise DeviceError(
                f"{self.name}: axis {channel} has a capacitance of {found_farad * 1e9:.3g} nF, allowed are {low_farad * 1e9:.3g} "
                f"to {high_farad * 1e9:.3g} nF; see its cable, it stays without voltage"
            )

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

    # Single values

    def _is_at(self, axis: int, fine_m: float, found_v: float) -> bool:
        return abs(found_v - self.settings.offset_v(axis, fine_m)) <= _SAME_V

    async def _modes(self) -> list[str]:
        asked = [(f"getm {channel}", _MODE) for channel in self.settings.fine_axes]
        return [found[1] for found in await self._console.ask_all(asked)]

    async def _mode_of(self, channel: int) -> str:
        return (await self._console.ask(f"getm {channel}", _MODE))[1]

    async def _mode(self, channel: int, mode: str) -> None:
        await self._console.set(f"setm {channel} {mode}")
        found = await self._mode_of(channel)
        if found != mode:
            raise ReadBackMismatch(
                f"{self.name}: axis {channel} was set to mode {mode} and reads back {found}; see its module and panel"
            )

    async def _offset_v(self, channel: int) -> float:
        return await self._console.number(f"geta {channel}", "voltage", "V")

    async def _voltage_v(self, channel: int) -> float:
        return await self._console.number(f"getv {channel}", "voltage", "V")

    async def _frequency_hz(self, channel: int) -> float:
        return await self._console.number(f"getf {channel}", "frequency", "Hz")

    async def _capacitance_farad(self, channel: int) -> float:
        """0 where it was never measured."""
        told = (await self._console.ask(f"getc {channel}", rf"cap(?:acitance)? = (?:{NUMBER}|\?)(?: nF)?"))[1]
        return 1e-9 * float(told or 0.0)


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
