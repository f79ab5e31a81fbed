"""General Command Set 2 on a link: multi-line replies, and the error that a command leaves behind."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence

from cryoctl.errors import DeviceError, NoAnswer
from cryoctl_drivers.link import Exchange, Link, LinkSettings, Sync
from cryoctl_drivers.link.port import SerialForm

_FORM = SerialForm(baud=115200)
IDENTITY = re.compile(r"\(c\)[^,\n]{4,80},[^,\n]{1,40},[^,\n]{1,40},[^,\n]{1,60}")
_NUMBER = r"[+-]?\d{1,9}(?:\.\d{1,12})?(?:[eE][+-]?\d{1,3})?"
_END = re.compile(rb"(?<! )\n")
_CODE = re.compile(r"-?\d{1,5}")
STOPPED = 10
_WORDS = {
    1: "parameter syntax error",
    2: "unknown command",
    5: "not referenced, or its servo is off",
    7: "position out of limits",
    8: "velocity out of limits",
    STOPPED: "stopped by command",
    15: "invalid axis",
    23: "illegal axis",
    54: "unknown parameter",
}


class Declined(DeviceError):
    """ERR? told a number above 0: what was asked for was not done."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Replies:
    """All lines but the last end with a space and LF."""

    send_end = b"\n"

    def split(self, received: bytes) -> tuple[bytes, bytes] | None:
        end = _END.search(received)
        if end is None:
            return None
        lines = [line.strip(b" \r\0") for line in received[: end.start()].split(b"\n")]
        return b"\n".join(lines), received[end.end() :]


def link_of(name: str, settings: LinkSettings) -> Link:
    return Link(name, settings, Replies(), Sync(send="*IDN?", shape=IDENTITY), _FORM)


class Gcs:
    """Questions about some axes, and commands with what ERR? says of them."""

    def __init__(self, link: Link, owner: str) -> None:
        self._link = link
        self._owner = owner

    async def numbers(self, question: str, axes: Sequence[str], *, confirm: bool = True) -> list[float]:
        """One of each axis, in their order. `confirm` only where the answer stays the same.

        Raises:
            NoAnswer: also where the controller does not know the question.
        """
        shape = _axis_values(tuple(axes))
        told = await self._link.ask(f"{question} {' '.join(axes)}", shape, confirm=confirm)
        found = shape.fullmatch(told)
        assert found is not None, "the link gives only what has this shape"
        return [float(one) for one in found.groups()]

    async def flags(self, question: str, axes: Sequence[str], *, confirm: bool = True) -> list[bool]:
        return [value == 1.0 for value in await self.numbers(question, axes, confirm=confirm)]

    async def do(self, command: str) -> None:
        """A command, and what was wrong with it; an error that was latched before is told of it as well.

        Raises:
            Declined: something was.
            NoAnswer, ConnectionLost: nobody knows; what the command is for has to be read back.
        """
        told = await self._link.talk(
            Exchange(send=command, shape=None), Exchange(send="ERR?", shape=_CODE, confirm=False)
        )
        code = int(told[0])
        if code:
            raise Declined(f"{self._owner}: the controller declines {command!r}: {_in_words(code)}", code)

    async def set(self, command: str) -> str:
        """As `do`, for what is read back in any case; what was wrong, as far as it is known, in words."""
        try:
            await self.do(command)
        except NoAnswer:
            return "no answer"
        except Declined as error:
            return _in_words(error.code)
        return "no error"

    async def forget_error(self) -> int:
        """Whatever was latched before; told once."""
        return int(await self._link.ask("ERR?", _CODE, confirm=False))


def _in_words(code: int) -> str:
    return f"error {code} ({_WORDS.get(code, 'see its manual')})"


@functools.cache
def _axis_values(axes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("\n".join(rf"{re.escape(axis)}=({_NUMBER})" for axis in axes))


def same(found: float, wanted: float) -> bool:
    """What was sent, as far as it was written out."""
    return math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-9)
