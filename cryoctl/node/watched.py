"""A node keeps its watchdog: beats for it, and starts another where it died or hangs. No beam without one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cryoctl.errors import DeviceError
from cryoctl.node.audit import Audit
from cryoctl.node.watchdog import BEAT_S, Watchdog

AGAIN_S = 2.0
"""One that does not start is tried again so much later."""


class Watched:
    """Of one node.

    Args:
        make_safe: ends the lease for the reason given; over once the safe state has been brought.
    """

    def __init__(self, watchdog: Watchdog, make_safe: Callable[[str], Awaitable[None]], audit: Audit) -> None:
        self._watchdog = watchdog
        self._make_safe = make_safe
        self._audit = audit
        self._lost = asyncio.Event()
        watchdog.ended = self._noticed

    def no_beam(self) -> str:
        """Why none may be opened now, empty where one may."""
        if self._watchdog.alive:
            return ""
        return "the node's watchdog is not there and is being started anew; ask again in some seconds"

    async def start(self) -> None:
        """Raises `DeviceError` where it does not become ready."""
        if not await self._watchdog.start():
            raise DeviceError("watchdog: its process does not start; without it no beam is opened")

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            self._watchdog.beat()
            if not self._watchdog.alive:
                await self._start_another()
            self._lost.clear()
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._lost.wait()
            except TimeoutError:
                pass

    def close(self) -> None:
        """May be called twice."""
        self._watchdog.close()

    def _noticed(self) -> None:
        self._lost.set()

    async def _start_another(self) -> None:
        how = "hangs" if self._watchdog.hangs else "died"
        self._audit.note("watchdog", "node", f"its process {how}; everything is made safe and another is started")
        await self._make_safe(f"the node's watchdog {how}")  # first: to start a process holds up all of this one
        while not await self._watchdog.start():
            self._audit.note("watchdog", "node", "its process does not start; no beam until it does")
            await asyncio.sleep(AGAIN_S)
        said = self._watchdog.report
        self._audit.note("watchdog", "node", f"another one: {said}", process=self._watchdog.process_id)
