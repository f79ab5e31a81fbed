"""SCPI as the drivers of sources speak it: settings that are read back, and an error queue that is read empty."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from cryoctl.errors import DeviceError, NoAnswer, ReadBackMismatch
from cryoctl_drivers.link import Exchange, Link

NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
WHOLE = re.compile(r"\d+")
WORD = re.compile(r'"?[A-Za-z][A-Za-z0-9:]*"?')
_ERROR = re.compile(r'[+-]?\d+,"[^"]*"')
_VALUE = re.compile(r'"?[A-Za-z0-9+.:-]+"?')
_MOST_ERRORS = 20
_REL, _ABS = 1e-4, 1e-15


@dataclass(frozen=True, slots=True)
class Setting:
    """`header value[, of]`, read back by `header? [of]`."""

    header: str
    value: str | int | float
    of: str = ""

    @property
    def told(self) -> str:
        value = f"{self.value:.9g}" if isinstance(self.value, float) else str(self.value)
        return f"{self.header} {value}" + (f",{self.of}" if self.of else "")

    @property
    def asked(self) -> str:
        return f"{self.header}?" + (f" {self.of}" if self.of else "")

    def matches(self, answer: str) -> bool:
        if isinstance(self.value, str):
            return answer.strip('"').upper().startswith(self.value.strip('"').upper())
        return NUMBER.fullmatch(answer) is not None and math.isclose(
            float(answer), self.value, rel_tol=_REL, abs_tol=_ABS
        )


async def identity(link: Link, owner: str, shape: re.Pattern[str]) -> str:
    """Who answers, told alike twice on any wire: whoever is taken for another instrument ends a run.

    Raises:
        NoAnswer: no two answers are alike.
    """
    told = await link.ask("*IDN?", shape)
    for _ in range(4):
        again = await link.ask("*IDN?", shape)
        if again == told:
            return told
        told = again
    raise NoAnswer(f"{owner}: never says twice alike who it is, last {told[:60]!r}; check cable and port settings")


async def make(link: Link, owner: str, *settings: Setting) -> list[str]:
    """Make settings in their order, read each back, and read the error queue; the answers.

    Raises:
        ReadBackMismatch: one reads back otherwise.
        DeviceError: the instrument complained.
    """
    answers: list[str] = []
    for one in settings:
        tell = Exchange(send=one.told, shape=None)
        answers += await link.talk(tell, Exchange(send=one.asked, shape=_VALUE, again=True))
        if not one.matches(answers[-1]):
            await check_errors(link, owner, one.told)
            raise ReadBackMismatch(
                f"{owner}: was told {one.told[:60]} and reads back {answers[-1][:40]}; see its display"
            )
    await check_errors(link, owner, settings[-1].told if settings else "")
    return answers


async def check_errors(link: Link, owner: str, told: str) -> None:
    """Read the error queue until it is empty.

    Raises:
        DeviceError: it was not; the first error is told.
    """
    count = int(await link.ask(":SYST:ERR:COUN?", WHOLE))
    if count:
        first = (await _read_errors(link) or ["something that got lost on the way"])[0]
        raise DeviceError(f"{owner}: to {told[:60]!r} it says {first[:120]}; see its manual")


async def clear_errors(link: Link) -> None:
    """What others left in the queue."""
    await _read_errors(link)


async def _read_errors(link: Link) -> list[str]:
    """Reading removes an error, so none is asked for twice."""
    found: list[str] = []
    for _ in range(_MOST_ERRORS):
        error = await link.ask(":SYST:ERR?", _ERROR, confirm=False)
        if re.match(r"[+-]?0,", error):
            break
        found.append(error)
    return found
