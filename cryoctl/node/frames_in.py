"""Frames as a runner gets them: how they are to come is tried once, and each is whole and checked before it counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from cryoctl.errors import ConnectionLost, DeviceError
from cryoctl.node.checksum import checksum
from cryoctl.node.codec import Raw
from cryoctl.node.frame_push import CONNECTED_S, TOKEN, PullEnd
from cryoctl.node.frames_out import MEMORY, NETWORK, REPLY, TOKEN_SIZE
from cryoctl.node.link import Reply, Session
from cryoctl.node.shared_slots import SlotReader

PATIENCE_S = 2.0
"""A frame over a connection that is silent for so long is asked for in the ordinary way, as all after it."""
ANSWER_S = 5.0


class FramesIn:
    """Of one session, from `begin` to `close`.

    Args:
        ways: which are tried, in this order; none: frames come in the reply.
    """

    def __init__(self, session: Session, ways: Sequence[str] = (MEMORY, NETWORK)) -> None:
        self._session = session
        self._ways = tuple(ways)
        self._reader = SlotReader()
        self._pull: PullEnd | None = None
        self._arrived: dict[int, bytes] = {}
        self._change = asyncio.Event()
        self._cut = False
        self.way = REPLY
        session.unclaimed = self._let_go

    async def begin(self) -> None:
        """Find the way; what does not lead here is left. Raises nothing but `ConnectionLost`."""
        self._leave()
        self.way = REPLY
        for way in self._ways:
            try:
                token = await (self._memory() if way == MEMORY else self._network())
                if token:
                    await self._asked({"by": way, "token": token})
                    self.way = way
                    return
            except ConnectionLost:
                raise
            except (OSError, DeviceError):  # it leads elsewhere, or the node knows no such way
                pass
            self._leave()

    async def _asked(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        async with asyncio.timeout(ANSWER_S):
            return cast("Mapping[str, Any]", (await self._session.call("node.frames", given)).value)

    async def _memory(self) -> str:
        name = (await self._asked({"by": MEMORY})).get("slot")
        return self._reader.read(name, TOKEN_SIZE).decode("ascii", "replace") if isinstance(name, str) else ""

    async def _network(self) -> str:
        port = (await self._asked({"by": NETWORK})).get("port")
        if type(port) is not int or (pull := self._session.frames_from(port)) is None:
            return ""
        self._pull = pull
        pull.arrived, pull.lost = self._came, self._lost
        return (await self._awaited(TOKEN, CONNECTED_S)).decode("ascii", "replace")

    def close(self) -> None:
        """May be called twice."""
        self._leave()
        self._reader.close()

    def _leave(self) -> None:
        pull, self._pull, self._cut = self._pull, None, False
        self._arrived.clear()
        if pull is not None:
            pull.close()

    # Frames

    async def whole(self, reply: Reply) -> Reply:
        """The reply with all of its arrays.

        Raises:
            DeviceError: a frame is damaged, or not kept any more.
            ConnectionLost: the connection ended meanwhile.
        """
        if not reply.beside:
            return reply
        inside = iter(reply.arrays)
        try:
            arrays = [next(inside) if told is None else await self._one(told) for told in reply.beside]
        except StopIteration:
            raise DeviceError("node: its reply lacks an array") from None
        finally:
            self._let_go(reply)
        return replace(reply, arrays=arrays, beside=())

    async def _one(self, told: Mapping[str, Any]) -> Raw:
        number, size, check = told.get("number"), told.get("size"), told.get("check")
        if type(number) is not int or type(size) is not int or size < 0:
            raise DeviceError("node: its reply tells of a frame without number or size")
        try:
            data = await self._by_its_way(number, size, told.get("slot"))
            if len(data) == size and checksum(data) == check:
                return data
        except OSError:  # also that its time is over
            pass
        data = (*(await self._session.call("node.frame", {"number": number})).arrays, b"")[0]
        if len(data) != size or checksum(data) != check:
            raise DeviceError(f"node: frame {number} came damaged twice; see to the network and the node's memory")
        if self.way == NETWORK:
            await self._give_up()
        return data

    async def _by_its_way(self, number: int, size: int, slot: Any) -> Raw:
        if isinstance(slot, str):
            return self._reader.read(slot, size)
        return await self._awaited(number, PATIENCE_S)

    async def _awaited(self, number: int, within_s: float) -> bytes:
        async with asyncio.timeout(within_s):
            while number not in self._arrived:
                if self._cut:
                    raise TimeoutError
                self._change.clear()
                await self._change.wait()
        return self._arrived.pop(number)

    async def _give_up(self) -> None:
        """A connection that does not bring its frames is left for the ordinary way."""
        self.way = REPLY
        self._leave()
        await self._asked({"by": REPLY})

    def _let_go(self, reply: Reply) -> None:
        """The node need not keep them any longer, taken or not wanted any more. It hides the names of their slots then,
        so that these are opened before, for what comes in them later."""
        here = [told for told in reply.beside if told is not None and type(told.get("number")) is int]
        numbers = [told["number"] for told in here]
        for told in here:
            self._arrived.pop(told["number"], None)
            if isinstance(told.get("slot"), str):
                with contextlib.suppress(OSError):
                    self._reader.open(told["slot"])
        if numbers:
            self._session.tell("node.taken", {"frames": numbers})
        self._reader.forget(reply.gone)

    def _came(self, number: int, data: bytes) -> None:
        self._arrived[number] = data
        self._change.set()

    def _lost(self) -> None:
        self._cut = True
        self._change.set()
