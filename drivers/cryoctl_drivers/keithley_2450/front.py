"""What a 2450 tells when it is asked; nothing here changes what it does."""

from __future__ import annotations

import asyncio
import itertools
import re

from cryoctl.clock import now_s
from cryoctl.errors import InstrumentError, NoAnswer
from cryoctl.interfaces.bias import BiasLimits, OffMode
from cryoctl_drivers.keithley_2450.readings import ELEMENTS, EVENT, Rows, event_time_s, rows_of, rows_shape
from cryoctl_drivers.keithley_2450.settings import BUFFER, SCRATCH
from cryoctl_drivers.link import Exchange, Link
from cryoctl_drivers.scpi import NUMBER, WHOLE, WORD

_SWITCH = re.compile("[01]")
_STATE = re.compile(r"[A-Z]+;[A-Z]+;\d+")
_AT_ONCE = 250
_TRIES = 4
_MORE = 3
"""Samples that may come between two questions right after each other."""
_POWER_ON = 128
MARK = ":SENS:CURR:DEL:USER5"
"""A delay that nothing uses: 0 after the instrument was switched on, and set with the limits."""


class Front:
    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._name = name
        self._posts = itertools.count(1)
        self._seen = 0

    async def is_on(self) -> bool:
        return await self._link.ask(":OUTP?", _SWITCH) == "1"

    async def runs(self) -> bool:
        """Whether its trigger model does; it looks at that every 0.1 s only."""
        return (await self._link.ask(":TRIG:STAT?", _STATE)).split(";")[0] in ("RUNNING", "WAITING")

    async def limits(self) -> BiasLimits:
        volts, amperes = await self._numbers(":SOUR:CURR:VLIM?", ":SOUR:VOLT:ILIM?")
        return BiasLimits(voltage_limit_v=volts, compliance_a=amperes)

    async def off_mode(self) -> OffMode:
        """Each function has its own: high impedance where both do."""
        told = [await self._link.ask(f":OUTP:{function}:SMOD?", WORD) for function in ("VOLT", "CURR")]
        return OffMode.HIGH_IMPEDANCE if all(one.startswith("HIMP") for one in told) else OffMode.ZERO_VOLTS

    async def by_current(self) -> bool:
        return (await self._link.ask(":SOUR:FUNC?", WORD)).startswith("CURR")

    async def tripped(self) -> bool:
        """Its over-voltage protection acts."""
        return await self._link.ask(":SOUR:VOLT:PROT:TRIP?", _SWITCH) == "1"

    async def was_switched_on(self) -> bool:
        """Since it was last marked: its mark is gone, or its event register says so, which forgets it when read."""
        mark, register = await self._link.talk(
            Exchange(send=f"{MARK}?", shape=NUMBER, again=True),
            Exchange(send="*ESR?", shape=WHOLE, again=True, confirm=False),
        )
        return float(mark) == 0.0 or bool(int(register) & _POWER_ON)

    async def mains_hz(self) -> float:
        return float(await self._link.ask(":SYST:LFR?", NUMBER))

    async def ends(self) -> tuple[int, int]:
        """Indices of the oldest and the newest sample in the buffer, 0 where there is none.

        Fewer than there were before, as after a power cycle, is believed when it is told twice.

        Raises:
            NoAnswer: two questions in a row are never answered alike.
        """
        first = int(float(await self._link.ask(f":TRAC:ACT:STAR? {BUFFER}", NUMBER, confirm=False)))
        newest = await self._newest_index()
        if newest < self._seen or first > newest + 1:
            first = int(float(await self._link.ask(f":TRAC:ACT:STAR? {BUFFER}", NUMBER, confirm=False)))
            newest = await self._newest_index()
        self._seen = newest
        return min(first, newest), newest

    async def _newest_index(self) -> int:
        """Two questions right after each other: samples may have come between them, but few."""
        ask = Exchange(send=f":TRAC:ACT:END? {BUFFER}", shape=NUMBER, again=True, confirm=False)
        for _ in range(2 * _TRIES):
            before, after = (int(float(answer)) for answer in await self._link.talk(ask, ask))
            if 0 <= after - before <= _MORE:
                return before
        raise NoAnswer(f"{self._name}: tells no number of samples twice; check cable and instrument")

    async def rows(self, first: int, last: int) -> list[Rows]:
        """Samples by their index in the buffer, both included."""
        found: list[Rows] = []
        for at in range(first, last + 1, _AT_ONCE):
            end = min(last, at + _AT_ONCE - 1)
            send = f":TRAC:DATA? {at},{end},{BUFFER},{ELEMENTS}"
            found.append(rows_of(await self._link.ask(send, rows_shape(end - at + 1))))
        return found

    async def measure(self, again: bool = True) -> Rows:
        """A single reading, which is no sample; the trigger model must not run."""
        shape = rows_shape(1)
        read = f":READ? {SCRATCH},{ELEMENTS}"
        return rows_of(
            (
                await self._link.talk(
                    Exchange(send=read, shape=shape, again=again, confirm_by=f":FETC? {SCRATCH},{ELEMENTS}")
                )
            )[0]
        )

    async def newest(self, buffer: str) -> Rows:
        return rows_of(await self._link.ask(f":FETC? {buffer},{ELEMENTS}", rows_shape(1)))

    async def clock_s(self) -> float:
        """An event of our own is posted, and read back with its time. Two in a row have to be as far apart as they can
        be: a digit that was damaged on the way is no time.

        Raises:
            InstrumentError: its event log takes no such events.
            NoAnswer: never two that belong together.
        """
        loop = asyncio.get_running_loop()
        for _ in range(_TRIES):
            began_s = loop.time()
            first_s = await self._event_s()
            second_s = await self._event_s()
            took_s = loop.time() - began_s
            if first_s is not None and second_s is not None and -1e-3 <= second_s - first_s <= took_s + 2e-3:
                return second_s
        raise NoAnswer(f"{self._name}: tells no time of its clock twice; check cable and instrument")

    async def _event_s(self) -> float | None:
        text = f"cryoctl {next(self._posts)}"
        told = await self._link.talk(
            Exchange(send=f':SYST:EVEN:POST "{text}",INF', shape=None),
            Exchange(send=":SYST:EVEN:NEXT? INF", shape=EVENT, again=True, confirm=False),
        )
        return event_time_s(told[0], text)

    async def check_clock(self) -> None:
        """
        Raises:
            InstrumentError: what is posted is not kept.
        """
        for _ in range(_TRIES):
            if await self._event_s() is not None:
                return
        raise InstrumentError(
            f"{self._name}: its event log keeps no information, which its clock is read by; in its menu, System, Event "
            "Log, set Log Information to on"
        )

    async def _numbers(self, *questions: str) -> list[float]:
        asked = [Exchange(send=one, shape=NUMBER, again=True) for one in questions]
        return [float(answer) for answer in await self._link.talk(*asked)]


async def until_sample(front: Front, after: int, step_s: float, patience_s: float, name: str) -> int:
    """Wait for a sample later than the one of this index; its index.

    Raises:
        NoAnswer: none comes.
    """
    until_s = now_s() + patience_s
    while (newest := (await front.ends())[1]) <= after:
        if now_s() > until_s:
            raise NoAnswer(f"{name}: takes no samples though its output is on; see its display")
        await asyncio.sleep(step_s)
    return newest
