"""A runner's end of a node: two sessions, one of them for blanking and stopping alone, the lease and its heartbeat."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

from cryoctl.clock import now_s
from cryoctl.errors import ConnectionLost, CryoctlError
from cryoctl.node.frames_in import FramesIn
from cryoctl.node.frames_out import MEMORY, NETWORK
from cryoctl.node.lease import BEATS_A_LIMIT, HEARTBEAT_LIMIT_S
from cryoctl.node.link import Link, Session

SPARE_S = 0.5
"""The runner waits so much longer than the node for a heartbeat's answer: the node is to notice first."""


class Heart(Protocol):
    """See `cryoctl.node.heart`."""

    def start(self) -> None: ...

    def close(self) -> None: ...


class NodeClient:
    """Shared by the remote devices of one run.

    Args:
        make: makes a link; called once for each session, and again after one was lost.
        control: whether the lease is taken; without it one may look and stop.
        heart: makes what beats beside the loop, of the session's secret and the interval; None: the loop alone beats.
        frames: see `FramesIn`.
    """

    def __init__(
        self,
        address: str,
        make: Callable[[], Link],
        where: str,
        *,
        control: bool = True,
        heart: Callable[[str, float], Heart] | None = None,
        frames: Sequence[str] = (MEMORY, NETWORK),
    ) -> None:
        self.address = address
        self.main = Session(address, make, where)
        self.frames = FramesIn(self.main, frames)
        self.urgent = Session(address, make, where)
        self._control = control
        self._users: set[str] = set()
        self._beating: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._lost_lease = ""
        self._make_heart = heart
        self._heart: Heart | None = None
        self.main.notice = self._noticed

    @property
    def lost_lease(self) -> str:
        """Why the node took the lease away, empty while all is well."""
        return self._lost_lease

    async def open(self, user: str) -> None:
        """Connect both sessions and take the lease, unless that is done.

        Raises:
            ConnectionLost: nobody answers.
            CryoctlError: another one controls.
        """
        async with self._opening:
            if not (self.main.is_open and self._has_lease):
                await self.main.open()
                await self.urgent.open()
                if self._control:
                    await self._take_lease()
            elif not self.urgent.is_open:
                await self.urgent.open()
        self._users.add(user)

    async def close(self, user: str) -> None:
        """The last of its users gives the lease back and closes the sessions. Never raises."""
        if user not in self._users:
            return
        self._users.discard(user)
        if self._users:
            return
        beating, self._beating = self._beating, None
        with contextlib.suppress(CryoctlError, TimeoutError):
            if self._control and self.main.is_open:
                async with asyncio.timeout(HEARTBEAT_LIMIT_S * 3):
                    await self.main.call("node.release", {})
        if beating is not None:
            beating.cancel()
        self._end_heart()
        self.frames.close()
        self.main.close()
        self.urgent.close()

    async def stopping(self) -> Session:
        """The session for stopping, opened again where it was lost.

        Raises:
            ConnectionLost: nobody answers.
        """
        if not self.urgent.is_open:
            await self.urgent.open()
        return self.urgent

    @property
    def _has_lease(self) -> bool:
        return not self._control or (self._beating is not None and not self._beating.done() and not self._lost_lease)

    async def _take_lease(self) -> None:
        try:
            await self.main.call("node.lease", {})
        except CryoctlError:
            self.main.close()
            self.urgent.close()
            raise
        self._lost_lease = ""
        if self._beating is not None:
            self._beating.cancel()
        limit_s = float(self.main.told.get("heartbeat_limit_s", HEARTBEAT_LIMIT_S))
        self._beating = asyncio.create_task(self._beat(limit_s))
        self._end_heart()
        if self._make_heart is not None:
            self._heart = self._make_heart(self.main.secret, limit_s / BEATS_A_LIMIT)
            self._heart.start()
        await self.frames.begin()

    def _end_heart(self) -> None:
        if self._heart is not None:
            self._heart.close()
        self._heart = None

    async def _beat(self, limit_s: float) -> None:
        answered_s = looked_s = now_s()
        pending: asyncio.Task[bool] | None = None

        async def one() -> bool:
            return bool((await self.main.call("node.beat", {})).value)

        try:
            while self.main.is_open:
                if now_s() - looked_s > limit_s:
                    answered_s = now_s()  # this loop was busy; what came meanwhile is not read yet
                looked_s = now_s()
                if pending is not None and pending.done():
                    if pending.cancelled() or pending.exception() is not None or not pending.result():
                        return
                    answered_s, pending = now_s(), None
                if pending is None:
                    pending = asyncio.create_task(one())
                else:
                    self.main.tell("node.beat", {})
                if now_s() - answered_s > limit_s + SPARE_S:
                    self.main.lose(f"silent for {limit_s + SPARE_S:g} s; it or the network is gone")
                    return
                await asyncio.sleep(limit_s / BEATS_A_LIMIT)
        finally:
            if pending is not None:
                if pending.done() and not pending.cancelled():
                    pending.exception()
                pending.cancel()

    def _noticed(self, kind: str, message: str) -> None:
        if kind == "lease-lost":
            self._lost_lease = message


def not_connected(device: str, address: str) -> ConnectionLost:
    return ConnectionLost(f"{device}: not connected to the node {address}; call connect first")
