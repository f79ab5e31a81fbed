"""What makes a 2450 source something: set points, and what it plays and samples by itself."""

from __future__ import annotations

import asyncio
import re
from typing import Literal

import numpy as np

from cryoctl.errors import ReadBackMismatch
from cryoctl.interfaces.waveform import Waveform
from cryoctl_drivers.keithley_2450 import trigger_model
from cryoctl_drivers.keithley_2450.front import Front
from cryoctl_drivers.link import Link
from cryoctl_drivers.scpi import Setting, check_errors, clear_errors, make
from cryoctl_drivers.staircase import staircase

_BEGINS_S = 1.0
_LOOKS_S = 0.15
"""It looks at the state of its trigger model every 0.1 s."""
_LEVELS = re.compile(r"[-+.,eE0-9 ]+")
Doing = Literal["", "bias", "waveform"]


class Player:
    """
    Attributes:
        doing: with its output on, as last told.
        ended: see `BiasStatus`.
    """

    def __init__(self, link: Link, name: str, front: Front) -> None:
        self._link = link
        self._name = name
        self._front = front
        self.doing: Doing = ""
        self.ended = ""

    async def drive(self, control: str, value: float, interval_s: float) -> float:
        """A set point; what samples meanwhile is stopped for it, and begins anew.

        Between voltage and current it may switch its output off, and is then switched on again.
        """
        on = await self._front.is_on()
        if on:
            await self._link.tell(":ABOR")
        level = Setting(f":SOUR:{trigger_model.SHORT[control]}", float(value))
        told = (await make(self._link, self._name, level))[0]
        await self._control(control)
        if on:
            await self.switch_on(interval_s)
        return float(told)

    async def switch_on(self, interval_s: float) -> None:
        """And sample until further notice."""
        await self._link.tell(":ABOR")
        if not await self._front.is_on():
            await self._link.tell(":OUTP 1")
        await self._run([*trigger_model.timer(interval_s), *trigger_model.sampling()], "bias")

    async def switch_off(self) -> bool:
        """Whether its output reads back on."""
        await self._link.tell(":ABOR", ":OUTP 0")
        on = await self._front.is_on()
        if not on:
            self.doing, self.ended = "", ""
            await clear_errors(self._link)  # what came before must not keep it from its rest
            await make(self._link, self._name, Setting(":SOUR:VOLT", 0.0), Setting(":SOUR:CURR", 0.0))
            await self._control("voltage")
        return on

    async def play(self, waveform: Waveform, wanted_s: float, least_s: float, buffer: str) -> float:
        """Begin; the sampling interval that it has.

        Raises:
            Refused: what it can't play by itself; nothing was changed.
        """
        stairs = staircase(waveform, wanted_s, trigger_model.MOST_LEVELS, self._name)
        blocks = trigger_model.playing(stairs, max(0.0, stairs.interval_s - least_s), self._name, buffer)
        await self._control(stairs.control)
        await self._link.tell(*trigger_model.level_list(stairs.control, stairs.levels))
        await self._check_levels(stairs.control, stairs.levels)
        await self._run([*trigger_model.timer(stairs.interval_s), *blocks], "waveform")
        return stairs.interval_s

    async def why_off(self) -> str:
        """Why its output is off though nobody told it. What it plays goes on where something else switched it off."""
        runs = await self._front.runs()
        if runs:
            await asyncio.sleep(_LOOKS_S)
            runs = await self._front.runs()
        if self.doing == "waveform" and not runs:
            return "complete"
        return "compliance" if await self._front.tripped() else ""

    async def _control(self, control: str) -> None:
        sensed = '"VOLT"' if control == "current" else '"CURR"'
        function = Setting(":SOUR:FUNC", trigger_model.SHORT[control])
        await make(self._link, self._name, function, Setting(":SENS:FUNC", sensed))

    async def _run(self, commands: list[str], doing: Doing) -> None:
        """Load the trigger model, and begin.

        Raises:
            DeviceError: it does not take one of them; it plays nothing.
        """
        await self._link.tell(*commands)
        await check_errors(self._link, self._name, "its trigger model")
        self.doing, self.ended = doing, ""
        await self._link.tell(":INIT")
        await check_errors(self._link, self._name, ":INIT")
        for _ in range(10):
            if await self._front.runs():
                return
            await asyncio.sleep(_BEGINS_S / 10)
        raise ReadBackMismatch(f"{self._name}: was told to sample and does not; see its event log")

    async def _check_levels(self, control: str, levels: tuple[float, ...]) -> None:
        told = await self._link.ask(f":SOUR:LIST:{trigger_model.SHORT[control]}?", _LEVELS)
        try:
            found = np.array([float(one) for one in told.split(",")])
        except ValueError:
            found = np.zeros(0)
        if found.shape != (len(levels),) or not np.allclose(found, levels, rtol=1e-5, atol=1e-13):
            raise ReadBackMismatch(
                f"{self._name}: was told {len(levels)} levels of a waveform and reads back {len(found)} or others; "
                "nothing was switched on"
            )
