"""The way to the blanker: a connection, a thread and a server that nothing else uses."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError, InstrumentError, ReadBackMismatch, Refused
from cryoctl.interfaces.permit import Permit
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.settings import BeamSettings

_TRIALS = 10
_PROMPT_S = 1.0
"""A call of this way that is not answered by then is asked no longer: there is a second way of stopping the beam."""


class Blanker:
    """`slowest_s` is the longest that blanking and reading it back has taken, 0 before it was tried."""

    def __init__(self, name: str, settings: BeamSettings) -> None:
        self._name = name
        self._limit_s = settings.blanker_latency_limit_s
        prompt = settings.model_copy(update={"deadline_s": min(settings.deadline_s, _PROMPT_S)})
        self.server = ScriptingConnection(name, prompt, settings.blanker_port)
        self.slowest_s = 0.0
        self.is_open = False

    async def open(self) -> None:
        await self.server.open()
        self.is_open = True

    async def try_out(self) -> None:
        """Blank again and again, and see how long it takes to know it.

        Raises:
            InstrumentError: longer than was allowed.
        """
        self.slowest_s = 0.0
        for _ in range(_TRIALS):
            await self.blank()
        if self.slowest_s > self._limit_s:
            raise InstrumentError(
                f"{self._name}: blanking took up to {self.slowest_s:.3g} s in {_TRIALS} trials, "
                f"settings.blanker_latency_limit_s allows {self._limit_s:g} s; see network and PC, or allow more"
            )

    async def blank(self) -> None:
        """Tried twice: a link may have broken that can be made again.

        Raises:
            ReadBackMismatch: it reads back open.
            DeviceError: whether it closed is not known.
        """
        began_s = now_s()
        try:
            await self._blank()
        except ReadBackMismatch:
            raise
        except DeviceError:
            began_s = now_s()  # a silence is no latency; what it took is told as time with the beam on
            await self._blank()
        self.slowest_s = max(self.slowest_s, now_s() - began_s)

    async def _blank(self) -> None:
        await self.server.call("set_beam_blanked", True)
        if not await self.is_blanked():
            raise ReadBackMismatch(f"{self._name}: told to blank, reads back open; close the column valves")

    @asynccontextmanager
    async def lifted(self, permit: Permit) -> AsyncGenerator[None]:
        """Inside the beam is on, for an exposure with this permit; afterwards it is blanked and read back, whatever
        happens. That it is on is not read back, since that would be time with the beam on.

        Raises:
            Refused: the permit has expired; it stayed blanked.
        """
        if now_s() > permit.expires_s:
            raise Refused(f"{self._name}: permit {permit.serial} expired while the scan was set; ask for another")
        try:
            await self.server.call("set_beam_blanked", False)
            yield
        finally:
            await self.blank()

    async def is_blanked(self) -> bool:
        return bool(await self.server.call("get_beam_blanked"))

    async def close(self) -> None:
        self.is_open = False
        await self.server.close()
