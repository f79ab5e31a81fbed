"""The script in the instrument: loaded once, asked, started, left."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import numpy as np

from cryoctl.errors import DeviceError, NoAnswer, ReadBackMismatch
from cryoctl_drivers.keithley_2600.answers import (
    ERRORS,
    REPORT,
    ROWS,
    SINGLE,
    VALUES,
    Report,
    Table,
    report_of,
    rows_of,
    words_of,
)
from cryoctl_drivers.keithley_2600.settings import PAGE, Keithley2600Settings
from cryoctl_drivers.link import Link
from cryoctl_drivers.tsp import ABORT, TRIGGER, WHO, Caller, Either, Literally, Summed

_TRIES = 4
_REL, _ABS = 1e-4, 1e-15
_NUMBERS_A_LINE = 50
_NONE = "no script"
_LOADED = Summed(r"T,(?P<sum>[a-z0-9]+)")


@dataclass(frozen=True, slots=True)
class Setting:
    """`header = value`, read back by `print`."""

    header: str
    value: int | float

    @property
    def told(self) -> str:
        value = f"{self.value:.9g}" if isinstance(self.value, float) else str(self.value)
        return f"{self.header} = {value}"

    def matches(self, word: str) -> bool:
        try:
            return math.isclose(float(word), self.value, rel_tol=_REL, abs_tol=_ABS)
        except ValueError:
            return False


class Script:
    """
    Attributes:
        runs: as last told: it does, and hears nothing but a trigger and an abort.
    """

    def __init__(self, link: Link, name: str, settings: Keithley2600Settings, caller: Caller) -> None:
        self._link = link
        self._name = name
        self._caller = caller
        text = (files(__package__) / "script.lua").read_text(encoding="ascii")
        for word, value in {"CHANNEL": settings.channel, "MOST": settings.buffer_samples, "PAGE": PAGE}.items():
            text = text.replace(word, str(value))
        self._lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("--")]
        self._smu = settings.channel

    @property
    def runs(self) -> bool:
        return self._caller.belief == "runs"

    def of(self, path: str) -> str:
        """A setting of the channel."""
        return f"{self._smu}.{path}"

    # Loading

    async def load(self) -> bool:
        """Unless it is there, as after the instrument was switched on; whether it was loaded. Nothing runs.

        Raises:
            DeviceError, ReadBackMismatch: it is not what was sent.
        """
        version = f"v{self._checksum()}"
        if await self._version() == version:
            return False
        for _ in range(_TRIES):
            # All that is sent is in the line that compares: a script that was damaged on its way is loaded again.
            await self._link.tell(
                "localnode.prompts = 0",
                "localnode.showerrors = 0",
                "errorqueue.clear()",
                "loadscript cryoctl_script",
                *self._lines,
                "endscript",
                "cryoctl_script()",
            )
            await self._link.tell(
                'local t, s = string.gsub(cryoctl_script.source, "%s", ""), 0 '
                "for k = 1, string.len(t) do s = math.mod(s * 31 + string.byte(t, k), 65521) end "
                'cryoctl.version = "v"..s'
            )
            if await self._version() == version:
                await self.check_errors("its script")
                return True
        raise ReadBackMismatch(
            f"{self._name}: its script does not read back as it was sent; switch the instrument off and on"
        )

    def _checksum(self) -> int:
        found = 0
        for byte in "".join("".join(line.split()) for line in self._lines).encode("ascii"):
            found = (found * 31 + byte) % 65521
        return found

    async def _version(self) -> str:
        ask = f'if cryoctl and cryoctl.say then cryoctl.say("T,"..(cryoctl.version or "v")) else print("{_NONE}") end'
        answer = await self._link.ask(ask, Either((_LOADED, Literally(_NONE))), confirm=False)
        return "" if answer == _NONE else words_of(answer)[0]

    # Asking

    async def report(self) -> Report | None:
        """As it says itself; None where there is no script any more, since it was switched off and on.

        Raises:
            NoAnswer: whether it runs or not.
        """
        for _ in range(_TRIES):
            if self._caller.belief == "unsure":
                await self.look_for()
            if not self.runs:
                ask = f'if cryoctl and cryoctl.report then cryoctl.report() else print("{_NONE}") end'
                shapes = Either((REPORT, Literally(_NONE)))
                answer = await self._link.ask(ask, shapes, confirm=False)
                return None if answer == _NONE else report_of(answer)
            try:
                return report_of(await self._link.ask(TRIGGER, REPORT, again=False, confirm=False))
            except NoAnswer:
                self._caller.belief = "unsure"
        raise NoAnswer(f"{self._name}: neither its script nor itself answers; check cable and instrument")

    async def look_for(self) -> str:
        """Find out whether a script runs; what it says of itself, or who it is."""
        if self._caller.belief == "stranger":
            try:
                return await self._link.ask(WHO, self._caller, again=False, confirm=False)
            except NoAnswer:
                if not self.runs:
                    raise
                return await self._link.ask(TRIGGER, self._caller, confirm=False)
        self._caller.belief = "unsure"
        return await self._link.ask(self._caller.send, self._caller, confirm=False)

    async def page(self, first: int, last: int) -> Table:
        """Samples of numbers from 0 on, `last` not included; nothing runs."""
        found: list[Table] = []
        for at in range(first, last, PAGE):
            end = min(last, at + PAGE)
            rows = rows_of(await self._ask(f"cryoctl.page({at + 1}, {end})", ROWS))
            if len(rows) != end - at:
                raise ReadBackMismatch(f"{self._name}: tells {len(rows)} samples where it was asked for {end - at}")
            found.append(rows)
        return np.vstack(found) if found else np.zeros((0, 4))

    async def single(self) -> Table:
        """A reading, which is no sample."""
        return rows_of(await self._ask("cryoctl.single()", SINGLE))

    async def values(self, *paths: str) -> list[str]:
        """All in one line."""
        return words_of(await self._ask(f'cryoctl.tell("T", {{{", ".join(paths)}}})', VALUES))

    async def _ask(self, send: str, shape: Summed) -> str:
        return await self._link.ask(send, shape, confirm=False)

    # Setting

    async def make(self, *settings: Setting) -> list[str]:
        """Settings in their order, then all of them read back, and the error queue; nothing runs.

        Raises:
            ReadBackMismatch: one reads back otherwise.
            DeviceError: the instrument complained.
        """
        await self._link.tell(*(one.told for one in settings))
        answers = await self.values(*(one.header for one in settings))
        await self.check_errors(settings[-1].told)
        for one, answer in itertools.zip_longest(settings, answers):
            if one is None or answer is None or not one.matches(answer):
                told = "fewer settings" if one is None else one.told
                raise ReadBackMismatch(f"{self._name}: was told {told} and reads back {answer}; see its display")
        return answers

    async def fill(self, name: str, numbers: Sequence[float]) -> None:
        """A list of the script, read back.

        Raises:
            ReadBackMismatch: it holds others.
        """
        await self._link.tell(f"cryoctl.{name} = {{}}")
        for at in range(0, len(numbers), _NUMBERS_A_LINE):
            part = ",".join(f"{one:.9g}" for one in numbers[at : at + _NUMBERS_A_LINE])
            await self._link.tell(f"cryoctl.add(cryoctl.{name}, {{{part}}})")
        found: list[str] = []
        for at in range(0, len(numbers) + 1, PAGE):  # one more than there should be
            last = min(len(numbers) + 1, at + PAGE)
            ask = f'cryoctl.tell("L", cryoctl.{name}, {at + 1}, {last})'
            found += words_of(await self._ask(ask, VALUES))
        extra, found = found[-1], found[:-1]
        good = extra == "nil" and "nil" not in found
        if not good or not np.allclose([float(one) for one in found], numbers, rtol=1e-5, atol=1e-13):
            raise ReadBackMismatch(
                f"{self._name}: was told {len(numbers)} {name} of a waveform and reads back others; nothing was "
                "switched on"
            )

    async def check_errors(self, told: str) -> None:
        """Read the error queue until it is empty.

        Raises:
            DeviceError: it was not; the first error is told.
        """
        count, *first = words_of(await self._ask("cryoctl.errors()", ERRORS))
        if count != "0":
            await self.clear_errors()
            raise DeviceError(f"{self._name}: to {told[:60]!r} it says {','.join(first)[:120]}; see its manual")

    async def clear_errors(self) -> None:
        """What others left in the queue."""
        await self._link.tell("cryoctl.forget()")

    # Running

    async def begin(self, what: Literal["play", "hold"]) -> None:
        self._caller.belief = "unsure"
        await self._link.tell(f"cryoctl.{what}()")
        self._caller.belief = "runs"

    async def leave(self) -> None:
        """End it where it runs, whatever it does; the output stays."""
        if self._caller.belief != "idle":
            await self.stop()

    async def stop(self, *then: str) -> None:
        """End it whether it runs or not, and go on at once with these commands, understood before or not."""
        self._caller.belief = "unsure"
        await self._link.shout(ABORT, *then, 'if cryoctl then cryoctl.doing = "" end')
        self._caller.belief = "idle"

    async def tell(self, *commands: str) -> None:
        """Nothing runs."""
        await self._link.tell(*commands)
