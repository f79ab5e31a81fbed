"""The ANC300's console: lines that end with OK or ERROR, an echo that may be on, a password over the network."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Sequence

from cryoctl.errors import DeviceError, NoAnswer
from cryoctl_drivers.link import Exchange, Link, LinkSettings, Sync
from cryoctl_drivers.link.port import SerialForm

_FORM = SerialForm(baud=38400)
_END = re.compile(rb"(?:OK|ERROR)[ \t]*\r?\n|Authorization [a-z ]+\r?\n")
_GLUED = re.compile(r"(.*(?:V|Hz|nF)) ?OK")
VERSION = r"attocube (ANC\d+) controller version (\d[\w.\-]*)[^\n]*(?:\n[^\n]+)?"
NUMBER = r"([+-]?\d{1,7}(?:\.\d{1,9})?)"


class Declined(DeviceError):
    """It said ERROR: what was asked for was certainly not done."""


class Replies:
    """A reply is all lines up to OK or ERROR, those without anything left out; some firmware glues OK to the value."""

    send_end = b"\r\n"

    def split(self, received: bytes) -> tuple[bytes, bytes] | None:
        end = _END.search(received)
        if end is None:
            return None
        lines = [line.strip(b"\r\0 ") for line in received[: end.end()].split(b"\n")]
        told = b"\n".join(line for line in lines if line)
        glued = _GLUED.fullmatch(told.decode("latin-1").rpartition("\n")[2])
        if glued is not None:
            told = told[:-2].rstrip() + b"\nOK"
        return told, received[end.end() :]


def link_of(name: str, settings: LinkSettings, password: str) -> Link:
    """Over the network it says who it is and wants a password, which needs no waiting for that; everywhere it echoes
    until it is told not to."""
    login = (
        Exchange(
            send=password,
            secret=True,
            shape=re.compile(r"(?s).*Authorization success"),
            otherwise="the controller refuses the password; change settings.password or the variable that holds it",
        ),
    )
    greet = (Exchange(send="echo off", shape=re.compile(r"(?s).*OK")),)
    return Link(name, settings, Replies(), Sync(send="ver", shape=_shape("ver", VERSION)), _FORM, greet, login)


class Console:
    """Questions and settings; of each answer only what is asked for is told."""

    def __init__(self, link: Link, owner: str) -> None:
        self._link = link
        self._owner = owner

    async def ask(self, command: str, body: str, *, confirm: bool = True) -> re.Match[str]:
        """The match of `body`, a pattern without anchors.

        Raises:
            Declined: it said ERROR.
            NoAnswer, ConnectionLost: see `Link.talk`.
        """
        return (await self.ask_all([(command, body)], confirm=confirm))[0]

    async def ask_all(self, asked: Sequence[tuple[str, str]], *, confirm: bool = True) -> list[re.Match[str]]:
        exchanges = [Exchange(send=one, shape=_shape(one, body), again=True, confirm=confirm) for one, body in asked]
        answers = await self._link.talk(*exchanges)
        return [self._told(*one, answer) for one, answer in zip(asked, answers, strict=True)]

    async def number(self, command: str, name: str, unit: str, *, confirm: bool = True) -> float:
        return float((await self.ask(command, f"{name} = {NUMBER} {unit}", confirm=confirm))[1])

    async def do(self, command: str, *, again: bool = False) -> None:
        """What has no answer but OK; `again` only where twice is no more than once."""
        exchange = Exchange(send=command, shape=_shape(command, ""), again=again, confirm=False)
        self._told(command, "", (await self._link.talk(exchange))[0])

    async def set(self, command: str) -> None:
        """As `do`, for what is read back in any case: an answer that got lost is then of no interest."""
        with contextlib.suppress(NoAnswer):
            await self.do(command)

    def _told(self, command: str, body: str, answer: str) -> re.Match[str]:
        if answer.endswith("ERROR"):
            said = " ".join(line for line in answer.split("\n")[:-1] if not _is_echo(line, command)) or "ERROR"
            raise Declined(f"{self._owner}: the controller declines {command!r} ({said[:80]}); see settings and wiring")
        found = _shape(command, body).fullmatch(answer)
        assert found is not None, "the link gives only what has this shape"
        return found


def _is_echo(line: str, command: str) -> bool:
    return line.removeprefix(">").strip() == command


@functools.cache
def _shape(command: str, body: str) -> re.Pattern[str]:
    """With or without the echo of the command before it, ERROR with what the controller says of it included."""
    echo = rf"(?:(?:> ?)?{re.escape(command)}\n)?"
    good = rf"{body}\nOK" if body else "OK"
    return re.compile(rf"{echo}(?:{good}|(?:[\x20-\x7e]+\n)?ERROR)")
