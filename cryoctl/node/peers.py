"""Whoever is connected: a session with a secret of its own, in which no message counts twice."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from cryoctl.node.codec import Malformed
from cryoctl.node.frames_out import FramesOut
from cryoctl.node.roles import Person

MOST_PEERS = 200
MOST_CALLS = 64
"""That one peer may have under way."""


@dataclass(slots=True)
class Peer:
    """`link` tells one connection of the transport from another; `last` is the number of its latest message."""

    identity: bytes
    person: Person
    link: int
    where: str = ""
    session: str = ""
    last: int = 0
    calls: dict[int, asyncio.Task[None]] = field(default_factory=dict[int, asyncio.Task[None]])
    frames: dict[tuple[int, int], asyncio.Future[Any]] = field(
        default_factory=dict[tuple[int, int], "asyncio.Future[Any]"]
    )
    """Scan frames that it was told of and has not answered, by call and index."""
    frames_out: FramesOut | None = None

    def begin(self, where: str) -> str:
        self.session, self.where, self.last = secrets.token_hex(16), where[:80], 0
        return self.session

    def is_session(self, secret: str) -> bool:
        mine = self.session.encode()
        return bool(mine) and secrets.compare_digest(secret.encode("utf-8", "replace"), mine)

    def check(self, number: Any, session: Any) -> int:
        """
        Raises:
            Malformed: no number, not of this session, or one that was there before.
        """
        if type(number) is not int or not 0 < number < 1 << 53:
            raise Malformed(f"message: its number is {str(number)[:20]!r}, allowed are whole numbers above 0")
        if not isinstance(session, str) or not self.is_session(session):
            raise Malformed("message: it belongs to no session that is open; say hello first")
        if number <= self.last:
            raise Malformed(f"message {number}: it was here before; the latest was {self.last}")
        self.last = number
        return number


class Peers:
    """All that are known, the least recent forgotten where there are too many."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Peer] = OrderedDict()

    def of(self, identity: bytes, person: Person, link: int) -> Peer:
        peer = self._known.get(identity)
        if peer is None or peer.link != link or peer.person.key != person.key:
            peer = self._known[identity] = Peer(identity, person, link)
        peer.person = person
        self._known.move_to_end(identity)
        return peer

    def crowd(self, kept: bytes | None) -> list[Peer]:
        """Those that are too many; the holder of the lease is none of them."""
        idle = [one for one in self._known.values() if not one.calls and one.identity != kept]
        return idle[: max(0, len(self._known) - MOST_PEERS)]

    def known(self, identity: bytes) -> Peer | None:
        return self._known.get(identity)

    def on(self, link: int) -> list[Peer]:
        return [one for one in self._known.values() if one.link == link]

    def forget(self, peer: Peer) -> None:
        if self._known.get(peer.identity) is peer:
            del self._known[peer.identity]

    def __iter__(self) -> Any:
        return iter(tuple(self._known.values()))
