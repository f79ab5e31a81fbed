"""The way to a blanker that does as it is told: a connection and a thread that nothing else uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError, InstrumentError, ReadBackMismatch, Refused
from cryoctl.interfaces.permit import Permit

_TRIALS = 10
PROMPT_S = 1.0
"""A call of this way that is not answered by then is asked no longer: there is a second way of stopping the beam."""


class Blanker(ABC):
    """`slowest_s` is the longest that blanking and reading it back has taken, 0 before it was tried.

    Args:
        otherwise: what a person should do where it does not blank ("close the column valves").
    """

    def __init__(self, name: str, latency_limit_s: float, otherwise: str) -> None:
        self._name = name
        self._limit_s = latency_limit_s
        self.otherwise = otherwise
        self.slowest_s = 0.0
        self.is_open = False

    @abstractmethod
    async def command(self, *, blanked: bool, limit_s: float = PROMPT_S) -> None:
        """Blank or open; nothing is read back. An opening that was not answered within its limit does not come about
        later, or not for longer than until it blanks itself again."""

    @abstractmethod
    async def is_blanked(self) -> bool: ...

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
        await self.command(blanked=True)
        if not await self.is_blanked():
            raise ReadBackMismatch(f"{self._name}: told to blank, reads back open; {self.otherwise}")

    @asynccontextmanager
    async def lifted(self, permit: Permit, left_s: float) -> AsyncGenerator[None]:
        """Inside the beam is on, for an exposure with this permit, of whose beam time `left_s` is left; afterwards it
        is blanked and read back, whatever happens. That it is on is not read back, since that would be time with the
        beam on.

        Raises:
            Refused: the permit has expired; it stayed blanked.
        """
        if now_s() > permit.expires_s:
            raise Refused(f"{self._name}: permit {permit.serial} expired while the scan was set; ask for another")
        try:
            # An answer that is late is time with the beam on.
            await self.command(blanked=False, limit_s=min(PROMPT_S, max(self.slowest_s, left_s - self.slowest_s)))
            yield
        finally:
            await self.blank()
