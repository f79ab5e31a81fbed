"""What a 2400 tells when it is asked, while it sweeps nothing."""

from __future__ import annotations

import asyncio
import math
import re

from cryoctl.errors import NoAnswer
from cryoctl.interfaces.bias import BiasLimits, OffMode
from cryoctl_drivers.keithley_2400.settings import MARK, MARKED
from cryoctl_drivers.link import Exchange, Link
from cryoctl_drivers.scpi import NUMBER, WHOLE, WORD

_SWITCH = re.compile("[01]")
_POWER_ON = 128
_TRIES = 4


class Front:
    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._name = name

    async def is_on(self) -> bool:
        return await self._link.ask(":OUTP?", _SWITCH) == "1"

    async def mains_hz(self) -> float:
        return float(await self._link.ask(":SYST:LFR?", NUMBER))

    async def limits(self) -> BiasLimits:
        asked = [Exchange(send=one, shape=NUMBER, again=True) for one in (":SENS:VOLT:PROT?", ":SENS:CURR:PROT?")]
        volts, amperes = (float(one) for one in await self._link.talk(*asked))
        return BiasLimits(voltage_limit_v=volts, compliance_a=amperes)

    async def off_mode(self) -> OffMode:
        told = await self._link.ask(":OUTP:SMOD?", WORD)
        return OffMode.HIGH_IMPEDANCE if told.startswith("HIMP") else OffMode.ZERO_VOLTS

    async def tripped(self) -> bool:
        """Its over-voltage protection acts."""
        return await self._link.ask(":SOUR:VOLT:PROT:TRIP?", _SWITCH) == "1"

    async def was_switched_on(self) -> bool:
        """Since it was last marked: its mark is gone, or its event register says so, which forgets it when read."""
        mark, register = await self._link.talk(
            Exchange(send=f"{MARK}?", shape=NUMBER, again=True),
            Exchange(send="*ESR?", shape=WHOLE, again=True, confirm=False),
        )
        return abs(float(mark) - MARKED) > 1e-6 or bool(int(register) & _POWER_ON)

    async def clock_s(self) -> float:
        """Two answers in a row have to be as far apart as they can be.

        Raises:
            NoAnswer: never two that belong together.
        """
        loop = asyncio.get_running_loop()
        for _ in range(_TRIES):
            began_s = loop.time()
            first_s, second_s = [float(await self._link.ask(":SYST:TIME?", NUMBER, confirm=False)) for _ in range(2)]
            digit_s = max(1e-3, 10.0 ** (math.floor(math.log10(max(second_s, 1.0))) - 6))
            if -digit_s <= second_s - first_s <= loop.time() - began_s + 2 * digit_s:
                return second_s
        raise NoAnswer(f"{self._name}: tells no time of its clock twice; check cable and instrument")
