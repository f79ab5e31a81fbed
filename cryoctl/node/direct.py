"""A link within one process: the same messages, no socket. For tests of remote devices in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

from cryoctl.node.codec import Raw
from cryoctl.node.desk import NodeDesk
from cryoctl.node.roles import Person

_links = itertools.count(1)


class DirectSwitch:
    """Where direct links of one desk meet; it becomes what the desk sends through."""

    def __init__(self, desk: NodeDesk) -> None:
        self.desk = desk
        self._ends: dict[bytes, DirectLink] = {}
        desk.send = self._send

    def link(self, person: Person) -> DirectLink:
        return DirectLink(self, person)

    def join(self, identity: bytes, end: DirectLink) -> None:
        self._ends[identity] = end

    def leave(self, identity: bytes) -> None:
        self._ends.pop(identity, None)

    def _send(self, identity: bytes, frames: list[Raw]) -> None:
        end = self._ends.get(identity)
        if end is not None:
            asyncio.get_running_loop().call_soon(end.arrive, [bytes(one) for one in frames])


class DirectLink:
    """One end. `cut` makes it silent, as a network does that is gone."""

    def __init__(self, switch: DirectSwitch, person: Person) -> None:
        self._switch = switch
        self._person = person
        self._number = next(_links)
        self._identity = b"direct-%d" % self._number
        self.receive: Callable[[Sequence[bytes]], None] = lambda frames: None
        self.lost: Callable[[str], None] = lambda why: None
        self.cut = False

    def open(self) -> None:
        self._switch.join(self._identity, self)

    def send(self, frames: list[Raw]) -> None:
        if not self.cut:
            loop = asyncio.get_running_loop()
            told = [bytes(one) for one in frames]
            loop.call_soon(self._switch.desk.received, self._identity, told, self._person, self._number)

    def arrive(self, frames: list[bytes]) -> None:
        if not self.cut:
            self.receive(frames)

    def frames_from(self, port: int) -> None:
        """There is no network."""
        del port

    def close(self) -> None:
        self._switch.leave(self._identity)
        if not self.cut:
            self._switch.desk.gone(self._number)
