"""Frames on their way from a node to the runner that has its lease: beside the reply, kept until they were taken.

A large array goes through shared memory where the runner has shown that it reads it, else over a connection of its own,
and the reply tells its number, size and checksum. What did not arrive is asked for again by its number and comes in a
reply. So does whatever has no other way. Nothing is dropped: where frames may not fit, no exposure begins.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from cryoctl.node.checksum import checksum
from cryoctl.node.codec import Malformed, Raw
from cryoctl.node.frame_push import PushEnd
from cryoctl.node.messages import LARGEST_REPLY
from cryoctl.node.shared_slots import Slot, Slots

SMALLEST = 65536
"""Bytes; smaller arrays are in the reply."""
BUDGET = LARGEST_REPLY
"""Bytes that may wait to be taken."""
IN_A_THREAD = 1 << 22
TOKEN_SIZE = 32
MEMORY, NETWORK, REPLY = "memory", "network", "reply"


@dataclass(slots=True)
class _Kept:
    size: int
    check: int
    data: bytes | None
    slot: Slot | None


class FramesOut:
    """To one session.

    Args:
        connect: opens a connection for frames; None where there is no network.
        budget: see `BUDGET`.
    """

    def __init__(self, connect: Callable[[], PushEnd] | None, budget: int = BUDGET) -> None:
        self._connect = connect
        self._budget = budget
        self._slots = Slots(budget)
        self._push: PushEnd | None = None
        self._greeting: asyncio.Task[None] | None = None
        self._offered: tuple[str, str] | None = None
        self._kept: dict[int, _Kept] = {}
        self._numbers = itertools.count(1)
        self.way = REPLY

    # How they go

    def agree(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Offer a way with a token on it, or take the token as a sign that it leads there.

        Raises:
            Malformed: no such way, or another token than the one on it.
        """
        by, token = given.get("by"), given.get("token")
        if by not in (MEMORY, NETWORK, REPLY) or not isinstance(token, str | None) or given.keys() - {"by", "token"}:
            raise Malformed("node.frames: by is memory, network or reply, token a text")
        if by == REPLY:
            self._withdraw()
            return {"by": REPLY}
        if token is None:
            return self._offer(by)
        if self._offered is None or self._offered[0] != by or not secrets.compare_digest(self._offered[1], token):
            self._withdraw()
            raise Malformed(f"node.frames: this is not the token that came by {by}")
        self._offered = None
        self._hide_token()
        self.way = by
        return {"by": by}

    def _offer(self, by: str) -> dict[str, Any]:
        self._withdraw()
        token = secrets.token_hex(TOKEN_SIZE // 2)
        self._offered = (by, token)
        if by == MEMORY:
            slot = self._slots.take(TOKEN_SIZE)
            if slot is None:
                return {"slot": None}
            slot.fill(token.encode())
            self._token_slot = slot
            return {"slot": slot.name}
        if self._connect is None:
            return {"port": None}
        self._push = self._connect()
        self._greeting = asyncio.create_task(self._push.greet(token))
        return {"port": self._push.port}

    _token_slot: Slot | None = None

    def _hide_token(self) -> None:
        slot, self._token_slot = self._token_slot, None
        if slot is not None:
            slot.hide()
            slot.busy = False

    def _withdraw(self) -> None:
        """No other way than the reply; what waits is kept."""
        self.way, self._offered = REPLY, None
        self._hide_token()
        if self._greeting is not None:
            self._greeting.cancel()
        push, self._push, self._greeting = self._push, None, None
        if push is not None:
            push.close()

    def lease_lost(self) -> None:
        """Only the reply from now on; what waits is still to be had there, by its number."""
        self._withdraw()
        self._slots.hide()

    # What is on its way

    @property
    def waiting(self) -> int:
        """Bytes that were sent and not taken."""
        return sum(one.size for one in self._kept.values())

    def no_room(self, needed: int) -> str:
        """Why frames of so many bytes can't be kept now, empty where they can."""
        if needed + self.waiting <= self._budget:
            return ""
        return (
            f"its frames take {needed / 1e6:.4g} MB, {self.waiting / 1e6:.4g} MB wait to be taken, and the node keeps "
            f"at most {self._budget / 1e6:.4g} MB; expose fewer pixels, or read what waits"
        )

    async def send(self, arrays: Sequence[Raw]) -> tuple[dict[str, Any], list[Raw]]:
        """What the reply's header has to tell of these arrays, and those that the reply itself takes."""
        if self.way == REPLY or all(len(one) < SMALLEST for one in arrays):
            return {}, list(arrays)
        beside: list[dict[str, Any] | None] = []
        inside: list[Raw] = []
        for data in arrays:
            told = await self._beside(data) if len(data) >= SMALLEST else None
            beside.append(told)
            if told is None:
                inside.append(data)
        header: dict[str, Any] = {"beside": beside}
        if self._slots.gone:
            header["gone"], self._slots.gone = self._slots.gone, []
        return header, inside

    async def _beside(self, data: Raw) -> dict[str, Any] | None:
        if self.no_room(len(data)):
            return None
        number = next(self._numbers)
        told: dict[str, Any] = {"number": number, "size": len(data)}
        if self.way == MEMORY:
            slot = self._slots.take(len(data))
            if slot is None:
                return None
            checked = await _worked(lambda: slot.fill(data), len(data))
            self._kept[number] = _Kept(len(data), checked, None, slot)
            return told | {"check": checked, "slot": slot.name}
        own = bytes(data)
        checked = await _worked(lambda: checksum(own), len(own))
        if self._push is None or not self._push.send(number, own):
            return None
        self._kept[number] = _Kept(len(own), checked, own, None)
        return told | {"check": checked}

    def taken(self, numbers: Any) -> None:
        """The runner has them. Raises `Malformed` for what is no list of numbers; unknown ones were taken before."""
        if not isinstance(numbers, list) or any(type(one) is not int for one in cast("list[Any]", numbers)):
            raise Malformed("node.taken: frames is a list of their numbers")
        for number in cast("list[int]", numbers):
            kept = self._kept.pop(number, None)
            if kept is not None and kept.slot is not None:
                kept.slot.hide()
                kept.slot.busy = False

    def again(self, number: Any) -> bytes:
        """One that has not arrived. Raises `Malformed` where none of this number is kept."""
        kept = self._kept.get(number) if type(number) is int else None
        if kept is None:
            raise Malformed(f"node.frame: none of the number {str(number)[:20]!r} is kept here")
        if kept.data is not None:
            return kept.data
        assert kept.slot is not None
        return kept.slot.content(kept.size)

    def close(self) -> None:
        """The session is over. May be called twice."""
        self._withdraw()
        self._kept.clear()
        self._slots.close()


async def _worked(work: Callable[[], int], size: int) -> int:
    """Beside the loop where it takes long: nothing may hold up blanking."""
    return await asyncio.to_thread(work) if size >= IN_A_THREAD else work()
