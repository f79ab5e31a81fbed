"""The axes of an ANC300, one value at a time: set and read back, never beyond what the settings state."""

from __future__ import annotations

import asyncio

from cryoctl.errors import DeviceError, InstrumentError, ReadBackMismatch
from cryoctl_drivers.attocube_anc300.console import NUMBER, Console, Declined
from cryoctl_drivers.attocube_anc300.settings import AttocubeSettings

SAME_V = 5e-3
"""Set points are sent in mV."""
OFFSET, STEPS, GROUNDED = "off", "stp", "gnd"
"""Modes: the output is the offset; a sawtooth where steps are told; nothing."""
_REST_V = 0.5
"""Less is no step: what the output measures of an axis that stands."""
_MEASURES_S, _LOOKS = 0.1, 30
"""Of a measured capacitance: between two looks whether it is over, and how often at most."""
_MODE = r"mode = (\S{1,6})"


class AttocubeAxes:
    """A channel is the number of a module, an axis 0 to 2 for x, y, z."""

    def __init__(self, console: Console, settings: AttocubeSettings, name: str) -> None:
        self._console = console
        self.settings = settings
        self.name = name

    async def check_module(self, axis: str, channel: int, steps: bool) -> None:
        try:
            serial = (await self._console.ask(f"getser {channel}", r"([\w.\-]{3,40})"))[1]
        except Declined as error:
            serial = f"none ({error.message[-60:]})"
        allowed = ("ANM150", "ANM250", "ANM300") if steps else ("ANM200", "ANM250", "ANM300")
        if not serial.startswith(allowed):
            field = "step_axes" if steps else "fine_axes"
            raise InstrumentError(
                f"{self.name}.{field}: on {channel} ({axis}) there is {serial[:80]!r}, allowed are "
                f"{', '.join(allowed)}; change the setting or the wiring"
            )

    async def set_drives(self) -> None:
        one = self.settings
        for channel, frequency_hz, voltage_v in zip(
            one.step_axes, one.step_frequency_hz, one.step_voltage_v, strict=True
        ):
            if await self._frequency_hz(channel) != frequency_hz:
                await self._console.set(f"setf {channel} {frequency_hz:.0f}")
            if abs(await self._voltage_v(channel) - voltage_v) > SAME_V:
                await self._console.set(f"setv {channel} {voltage_v:.3f}")
            await self.check_drive(channel)

    async def check_drive(self, channel: int) -> None:
        """Steps are as long as their voltage is high: one that somebody turned up must not be used."""
        one = self.settings
        number = one.step_axes.index(channel)
        found = await self._frequency_hz(channel), await self._voltage_v(channel)
        wanted = one.step_frequency_hz[number], one.step_voltage_v[number]
        if found[0] != wanted[0] or abs(found[1] - wanted[1]) > SAME_V:
            raise ReadBackMismatch(
                f"{self.name}: axis {channel} reads {found[0]:g} Hz and {found[1]:g} V, its settings are "
                f"{wanted[0]:g} Hz and {wanted[1]:g} V; see its front panel, then connect again"
            )

    async def check_capacitances(self) -> None:
        """Of the fine axes; measured now where one never was and is grounded, as it is again afterwards."""
        measuring: list[int] = []
        for channel in self.settings.fine_axes:
            if not await self._capacitance_farad(channel) and await self.mode_of(channel) == GROUNDED:
                await self._console.set(f"setm {channel} cap")
                measuring.append(channel)
        for _ in range(_LOOKS):
            measuring = [channel for channel in measuring if await self.mode_of(channel) != GROUNDED]
            if not measuring:
                break
            await asyncio.sleep(_MEASURES_S)
        low_farad, high_farad = self.settings.capacitance_farad
        for channel in self.settings.fine_axes:
            found_farad = await self._capacitance_farad(channel)
            if not low_farad <= found_farad <= high_farad:
                raise DeviceError(
                    f"{self.name}: axis {channel} has a capacitance of {found_farad * 1e9:.3g} nF, allowed are "
                    f"{low_farad * 1e9:.3g} to {high_farad * 1e9:.3g} nF; see its cable, it stays without voltage"
                )

    async def stands(self, channel: int) -> bool:
        """Its output is at rest twice: a sawtooth goes through 0 too."""
        for _ in range(2):
            output_v = await self._console.number(f"geto {channel}", "voltage", "V", confirm=False)
            if abs(output_v) > _REST_V:
                return False
        return True

    def is_at(self, axis: int, fine_m: float, found_v: float) -> bool:
        return abs(found_v - self.settings.offset_v(axis, fine_m)) <= SAME_V

    async def modes(self) -> list[str]:
        asked = [(f"getm {channel}", _MODE) for channel in self.settings.fine_axes]
        return [found[1] for found in await self._console.ask_all(asked)]

    async def mode_of(self, channel: int) -> str:
        return (await self._console.ask(f"getm {channel}", _MODE))[1]

    async def mode(self, channel: int, mode: str) -> None:
        await self._console.set(f"setm {channel} {mode}")
        found = await self.mode_of(channel)
        if found != mode:
            raise ReadBackMismatch(
                f"{self.name}: axis {channel} was set to mode {mode} and reads back {found}; see its module and panel"
            )

    async def offset_v(self, channel: int) -> float:
        return await self._console.number(f"geta {channel}", "voltage", "V")

    async def _voltage_v(self, channel: int) -> float:
        return await self._console.number(f"getv {channel}", "voltage", "V")

    async def _frequency_hz(self, channel: int) -> float:
        return await self._console.number(f"getf {channel}", "frequency", "Hz")

    async def _capacitance_farad(self, channel: int) -> float:
        """0 where it was never measured."""
        told = (await self._console.ask(f"getc {channel}", rf"cap(?:acitance)? = (?:{NUMBER}|\?)(?: nF)?"))[1]
        return 1e-9 * float(told or 0.0)

    async def set_offset(self, channel: int, offset_v: float) -> None:
        await self._console.set(f"seta {channel} {offset_v:.3f}")
