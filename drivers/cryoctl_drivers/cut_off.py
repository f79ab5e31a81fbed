"""The second way of switching a source off: a relay between source and specimen, on a port of its own.

Relay boards that take a line and answer a line. Wire the relay so that it is open without power, in series with the
source's HI: the interlock of a 2400 or 2450 only bars voltages above 42 V and is no second way.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from cryoctl.errors import DeviceError, ReadBackMismatch
from cryoctl_drivers.link import Exchange, Lines, Link, LinkSettings, Sync

_LINE = re.compile(r"[\x20-\x7e]{1,80}")


class RelaySettings(LinkSettings):
    open_command: Annotated[str, Field(min_length=1, max_length=80)] = "relay off 0"
    close_command: Annotated[str, Field(min_length=1, max_length=80)] = "relay on 0"
    ask_command: Annotated[str, Field(min_length=1, max_length=80)] = "relay read 0"
    """Its answer is `open_answer` where the relay is open."""
    open_answer: Annotated[str, Field(min_length=1, max_length=80)] = "off"


class CutOff:
    """Opened with the source, so that it is known to answer before it is needed.

    Args:
        settings: None where there is no relay.
    """

    def __init__(self, owner: str, settings: RelaySettings | None) -> None:
        self._owner = owner
        self._settings = settings
        self._link: Link | None = None
        if settings is not None:
            sync = Sync(send=settings.ask_command, shape=_LINE)
            self._link = Link(f"{owner}.relay", settings, Lines(), sync)

    async def connect(self) -> None:
        """Open its port and close the relay: without it nothing reaches the specimen.

        Raises:
            ReadBackMismatch: it stays open.
        """
        if self._link is None or self._settings is None:
            return
        await self._link.open()
        await self._link.tell(self._settings.close_command)
        if await self._is_open():
            raise ReadBackMismatch(f"{self._owner}: its relay was told to close and reads back open; check its wiring")

    async def close(self) -> None:
        if self._link is not None:
            await self._link.close()

    async def open_relay(self) -> None:
        """
        Raises:
            DeviceError: there is none, it does not answer, or it reads back closed.
        """
        if self._link is None or self._settings is None:
            raise DeviceError(
                f"{self._owner}: there is no second way to switch it off; switch it off by hand, then state "
                "settings.cut_off, a relay in its HI line"
            )
        await self._link.open()
        await self._link.tell(self._settings.open_command)
        if not await self._is_open():
            raise ReadBackMismatch(
                f"{self._owner}: its relay was told to open and reads back closed; disconnect the source by hand"
            )

    async def _is_open(self) -> bool:
        assert self._link is not None
        assert self._settings is not None
        answer = (await self._link.talk(Exchange(send=self._settings.ask_command, shape=_LINE, again=True)))[0]
        return answer.strip() == self._settings.open_answer
