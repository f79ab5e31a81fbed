"""The one control lease: who has it, and whether its holder is still alive. No heartbeat, no beam."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError
from cryoctl.node.roles import Person

HEARTBEAT_LIMIT_S = 1.0
"""So long without a heartbeat, and the holder counts as dead."""
BEATS_A_LIMIT = 5
LOOP_LIMIT_S = 15.0
"""A runner whose loop has not beaten itself for so long hangs, though its process lives: an analysis that is loaded, or
a file that is synced, may hold a loop up for seconds, and what it exposes meanwhile is bounded by its permit."""


class LeaseRefused(DeviceError):
    """Another one has the lease, or the role may not have it; one sentence."""


class NodeClosed(LeaseRefused):
    """Nobody gets a lease here any more: the node has died or ends."""


@dataclass(slots=True)
class Held:
    """`number` tells one lease from the next: what was allowed under one is not under another."""

    peer: bytes
    person: Person
    where: str
    number: int
    since_s: float
    beat_s: float
    loop_beat_s: float


class Lease:
    """Of one node. Args: `limit_s`, see `HEARTBEAT_LIMIT_S`."""

    def __init__(self, limit_s: float = HEARTBEAT_LIMIT_S) -> None:
        self.limit_s = limit_s
        self.held: Held | None = None
        self.closed = ""
        """Why nobody may have it now; empty while somebody may."""
        self._numbers = itertools.count(1)

    def take(self, peer: bytes, person: Person, where: str) -> Held:
        """
        Raises:
            LeaseRefused: nothing was changed.
        """
        if not person.role.may_control:
            raise LeaseRefused(
                f"lease: {person.name} is a {person.role}, who may look and stop; an operator may control: ask the "
                "admin of the node for another role"
            )
        if self.closed:
            raise NodeClosed(f"lease: {self.closed}")
        if self.held is not None and self.held.peer != peer:
            raise LeaseRefused(
                f"lease: {self.held.person.name} ({self.held.where}) has controlled this instrument for "
                f"{now_s() - self.held.since_s:.0f} s; wait for the end, or speak to them"
            )
        if self.held is None:
            self.held = Held(peer, person, where, next(self._numbers), now_s(), now_s(), now_s())
        return self.held

    def beat(self, peer: bytes, *, by_loop: bool = True) -> bool:
        """A heartbeat for this peer, by its loop or only by its process; whether it has the lease."""
        if self.held is None or self.held.peer != peer:
            return False
        self.held.beat_s = now_s()
        if by_loop:
            self.held.loop_beat_s = now_s()
        return True

    def is_with(self, peer: bytes) -> bool:
        return self.held is not None and self.held.peer == peer

    @property
    def overdue(self) -> bool:
        if self.held is None:
            return False
        silent = now_s() - self.held.beat_s > self.limit_s
        return silent or now_s() - self.held.loop_beat_s > max(LOOP_LIMIT_S, self.limit_s)

    def end(self) -> Held | None:
        held, self.held = self.held, None
        return held
