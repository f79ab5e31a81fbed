"""A node behind a link: what it is asked, and what it says of itself."""

from __future__ import annotations

import itertools
import re
from typing import Any

from cryoctl.errors import InstrumentError
from cryoctl_drivers.link import Link, Sync
from cryoctl_drivers.secop.messages import Asked, Refusal, Report

_IDENTIFICATION = re.compile(r"[^,]*ISSE[^,]*,SECoP,[^,]*,\s*[vV]?(?P<version>\d+(\.\d+)*)[^,]*")
SYNC = Sync(send="*IDN?", shape=_IDENTIFICATION)


class Node:
    """
    Args:
        owner: name of the device, with which every message begins.
    """

    def __init__(self, owner: str, link: Link) -> None:
        self._owner = owner
        self._link = link
        self._nonces = itertools.count(1)

    async def version(self) -> str:
        """
        Raises:
            InstrumentError: it speaks another version than 1.
        """
        told = await self._link.ask("*IDN?", _IDENTIFICATION)
        found = _IDENTIFICATION.fullmatch(told)
        assert found is not None
        if found["version"].split(".")[0] != "1":
            raise InstrumentError(
                f"{self._owner}: the node speaks SECoP {found['version']}, this driver knows 1.0 and 1.1"
            )
        return found["version"]

    async def describe(self) -> dict[str, Any]:
        """The structure report: properties of the node, `modules`, their `accessibles`.

        Raises:
            InstrumentError: it describes nothing.
        """
        (told,) = await self._ask(Asked("describe", "describing"), again=True)
        if (
            isinstance(told, Refusal)
            or not isinstance(told.value, dict)
            or not isinstance(told.value.get("modules"), dict)
        ):
            found = str(told) if isinstance(told, Refusal) else "a description without modules"
            raise InstrumentError(f"{self._owner}: the node does not describe itself ({found}); see its log")
        return told.value

    async def read(self, accessible: str, *, confirm: bool = True) -> Report | Refusal:
        """`MODULE:PARAMETER`."""
        return (await self._ask(Asked("read", "reply", accessible), again=True, confirm=confirm))[0]

    async def read_and_clock(self, *accessibles: str) -> list[Report | Refusal]:
        """The last is the answer to a ping, whose time stamp is the node's clock."""
        asked = [Asked("read", "reply", one) for one in accessibles]
        ping = Asked("ping", "pong", f"{next(self._nonces)}")
        return [*await self._ask(*asked, again=True), *await self._ask(ping, again=True, confirm=False)]

    async def change(self, accessible: str, value: float) -> Report | Refusal:
        """Said once; where its reply got lost it is for the asker to read what became of it."""
        return (await self._ask(Asked("change", "changed", accessible, value), again=False))[0]

    async def _ask(self, *asked: Asked, again: bool, confirm: bool = True) -> list[Report | Refusal]:
        answers = await self._link.talk(*(one.exchange(again=again, confirm=confirm) for one in asked))
        return [_whole(one, answer) for one, answer in zip(asked, answers, strict=True)]


def _whole(asked: Asked, answer: str) -> Report | Refusal:
    told = asked.fullmatch(answer)
    assert told is not None, "the link hands out no other answer"
    return told
