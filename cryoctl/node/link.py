"""What carries a runner's messages to a node and back, and one session over it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from cryoctl import errors
from cryoctl.clock import now_s
from cryoctl.errors import ConnectionLost, CryoctlError, DeviceError
from cryoctl.node.codec import Malformed, Raw
from cryoctl.node.frame_push import PullEnd
from cryoctl.node.lease import LeaseRefused, NodeClosed
from cryoctl.node.messages import LARGEST_REPLY, pack, unpack

HELLO_S = 3.0
"""A node that does not answer a greeting by then is not there."""


class Link(Protocol):
    """One connection to a node. `receive` and `lost` are set before `open`."""

    receive: Callable[[Sequence[bytes]], None]
    lost: Callable[[str], None]
    """Called with a sentence when the connection has ended, or was refused."""

    def open(self) -> None:
        """Begin to connect; returns at once."""
        ...

    def send(self, frames: list[Raw]) -> None: ...

    def frames_from(self, port: int) -> PullEnd | None:
        """A connection for frames, to a port of the node; None where there is no network."""
        ...

    def close(self) -> None:
        """May be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """`beside` tells of each array where it is, None for those in `arrays`; empty where all are. `gone` names slots."""

    value: Any
    arrays: Sequence[Raw]
    at_s: float
    """The node's clock when it answered."""
    beside: Sequence[Mapping[str, Any] | None] = ()
    gone: Sequence[str] = ()


class Session:
    """Calls over one link: numbered, each answered once.

    Args:
        make: makes a link anew; a session that was lost is opened again over another.
        where: how the node calls this end in a sentence.
    """

    def __init__(self, address: str, make: Callable[[], Link], where: str) -> None:
        self._address = address
        self._make = make
        self._where = where
        self._link: Link | None = None
        self._key = ""
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._opening = asyncio.Lock()
        self.frame_done: Callable[[int, int], None] = lambda number, index: None
        self.notice: Callable[[str, str], None] = lambda kind, message: None
        self.ended: Callable[[str], None] = lambda why: None
        self.unclaimed: Callable[[Reply], None] = lambda reply: None
        """Called with a reply that nobody awaits any more."""
        self.told: Mapping[str, Any] = {}
        """What the node answered to the greeting."""
        self.offset_s = 0.0
        """Node's clock less this loop's, as the quickest answer showed it."""
        self._quickest_s = float("inf")

    @property
    def is_open(self) -> bool:
        return bool(self._key)

    @property
    def secret(self) -> str:
        """What the node gave at the greeting, empty while it is not open."""
        return self._key

    async def open(self) -> None:
        """Connect and greet, unless it is open.

        Raises:
            ConnectionLost: nobody answers, or the node refuses this key; one sentence.
        """
        async with self._opening:
            if self.is_open:
                return
            self.close()
            link = self._link = self._make()
            link.receive, link.lost = self._received, lambda why: self._lost(link, why)
            self._numbers = itertools.count(1)
            self._quickest_s = float("inf")
            link.open()
            try:
                async with asyncio.timeout(HELLO_S):
                    greeting = await self._ask(link, "node.hello", {"where": self._where})
            except TimeoutError:
                self.close()
                raise ConnectionLost(
                    f"node {self._address}: nobody answers within {HELLO_S:g} s; see that `cryoctl serve` runs there"
                ) from None
            self.told = cast("Mapping[str, Any]", greeting.value)
            self._key = str(self.told.get("session", ""))

    def frames_from(self, port: int) -> PullEnd | None:
        """See `Link`."""
        return None if self._link is None else self._link.frames_from(port)

    def close(self) -> None:
        """May be called twice."""
        link, self._link = self._link, None
        self._key = ""
        if link is not None:
            link.close()
        self._fail_all(f"node {self._address}: the connection was closed")

    async def call(
        self, do: str, given: Mapping[str, Any], arrays: Sequence[Raw] = (), *, frames: bool = False
    ) -> Reply:
        """
        Raises:
            ConnectionLost: the connection ended before it was answered; whether it was done is not known.
            CryoctlError: as the node answers.
        """
        link = self._link
        if link is None or not self.is_open:
            raise ConnectionLost(f"node {self._address}: not connected; connect first")
        return await self._ask(link, do, given, arrays, frames=frames)

    def tell(self, do: str, given: Mapping[str, Any]) -> int:
        """Say something whose answer nobody awaits."""
        link, number = self._link, next(self._numbers)
        if link is not None:
            link.send(pack({"n": number, "session": self._key, "do": do, "with": dict(given)}))
        return number

    async def _ask(
        self, link: Link, do: str, given: Mapping[str, Any], arrays: Sequence[Raw] = (), *, frames: bool = False
    ) -> Reply:
        number = next(self._numbers)
        header: dict[str, Any] = {"n": number, "session": self._key, "do": do, "with": dict(given)}
        if frames:
            header["frames"] = True
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        asked_s = now_s()
        try:
            link.send(pack(header, arrays))
            reply = await answer
        except asyncio.CancelledError:
            if not do.startswith("node.") and self.is_open:
                self.tell("node.cancel", {"of": number})
            raise
        finally:
            self._waiting.pop(number, None)
        took_s = now_s() - asked_s
        if took_s < self._quickest_s:
            self._quickest_s, self.offset_s = took_s, reply.at_s - (asked_s + took_s / 2)
        return reply

    @property
    def latest(self) -> int:
        """Number of a call that waits, the latest; 0 where none does."""
        return max(self._waiting, default=0)

    def _received(self, frames: Sequence[bytes]) -> None:
        try:
            header, arrays = unpack(frames, LARGEST_REPLY)
        except Malformed:
            return
        if "notice" in header:
            self.notice(str(header["notice"]), str(header.get("message", "")))
            return
        if "of" in header:
            self.frame_done(int(header["of"]), int(header["frame"]))
            return
        answer = self._waiting.get(header.get("n", 0))
        if "error" in header:
            if answer is not None and not answer.done():
                answer.set_exception(error_of(str(header["error"]), str(header.get("message", ""))))
            return
        at_s = float(header.get("at_s", 0.0))
        reply = Reply(header.get("is"), arrays, at_s, header.get("beside") or (), header.get("gone") or ())
        if answer is not None and not answer.done():
            answer.set_result(reply)
        else:
            self.unclaimed(reply)

    def _lost(self, link: Link, why: str) -> None:
        if self._link is not link:
            return
        self._link, self._key = None, ""
        link.close()
        sentence = f"node {self._address}: {why}"
        self._fail_all(sentence)
        self.ended(sentence)

    def lose(self, why: str) -> None:
        """Give the connection up: it is silent."""
        if self._link is not None:
            self._lost(self._link, why)

    def _fail_all(self, sentence: str) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionLost(sentence))


def error_of(name: str, message: str) -> CryoctlError:
    """The error of our tree that has this name; a fault of the device for any other."""
    kind = {"LeaseRefused": LeaseRefused, "NodeClosed": NodeClosed}.get(name) or getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, CryoctlError):
        return kind(message)
    return DeviceError(message)
