"""The end of a lease, for whatever reason: the beam is stopped at once, and the safe state brought."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.node.audit import Audit
from cryoctl.node.lease import Held, Lease

Actions = Sequence[Mapping[str, Any]]
Secure = Callable[[str], Awaitable[Actions]]
"""Brings the safe state; takes why, gives one entry (name, confirmed, detail) an action."""


class Securing:
    """Of one desk.

    Args:
        stop_calls: stops the exposure under way and other calls that control; ends once the exposure has.
        tell: tells the holder of a lease why it was lost.
    """

    def __init__(
        self,
        devices: DeviceSet,
        lease: Lease,
        secure: Secure,
        audit: Audit,
        *,
        stop_calls: Callable[[], Awaitable[None]],
        tell: Callable[[Held, str], None],
    ) -> None:
        self._devices = devices
        self._lease = lease
        self._secure = secure
        self._audit = audit
        self._stop_calls = stop_calls
        self._tell = tell
        self._under_way: asyncio.Task[Actions] | None = None

    def lose(self, why: str, *, always: bool = False) -> None:
        """Nobody controls any more. Without a lease nothing is done, unless `always`."""
        held = self._lease.end()
        if held is None and not always:
            return
        if held is not None:
            self._audit.note("lease", held.person.name, f"lost: {why}", number=held.number)
            self._tell(held, why)
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._bring_safe(why))

    def alarm(self, sentence: str) -> None:
        """A device does not obey."""
        self._audit.note("node", "node", sentence)
        self.lose(sentence, always=True)

    async def ended(self) -> Actions:
        """What the latest safe state came to, once it is over; nothing where there was none."""
        return () if self._under_way is None else await asyncio.shield(self._under_way)

    async def over(self) -> None:
        """Once no safe state is being brought any more, however that went."""
        if self._under_way is not None:
            await asyncio.wait((self._under_way,))

    async def lose_and_wait(self, why: str) -> None:
        """As `lose`; over once the safe state has been brought."""
        self.lose(why)
        await self.over()

    async def secured(self, why: str) -> Actions:
        """End the lease for good and bring the safe state, now; for the end of the node itself."""
        self._lease.closed = why
        self.lose(why, always=True)
        return await self.ended()

    async def _bring_safe(self, why: str) -> Actions:
        ending = asyncio.ensure_future(self._stop_calls())
        actions = await self._secure(why)
        with contextlib.suppress(Exception):
            await ending
        failed = [str(one.get("name")) for one in actions if not one.get("confirmed")]
        said = f"; NOT confirmed: {', '.join(failed)}" if failed else ""
        self._audit.note("node", "node", f"safe state ({why}){said}")
        return actions

    async def watch_heartbeats(self, read_first: Callable[[], None]) -> None:
        """Until cancelled: a lease whose holder is silent is lost."""
        while True:
            await asyncio.sleep(self._lease.limit_s / 100)
            if self._lease.overdue:
                read_first()  # this loop may have been busy
                held = self._lease.held
                if self._lease.overdue and held is not None:
                    self.lose(f"no heartbeat of {held.person.name} ({held.where}) for {self._lease.limit_s:g} s")

    async def at_rest(self) -> bool:
        """Blanked, still, without bias, as the devices tell; False where one does not."""
        one = self._devices
        try:
            async with asyncio.timeout(2.0):
                moving = await one.stage.is_moving()
                biased = one.bias is not None and (await one.bias.status()).output_on
                return await one.beam.is_blanked() and not moving and not biased
        except Exception:
            return False
