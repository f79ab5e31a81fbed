"""The node's own verbs: who it is, the lease, an exposure's scan frames, frames on their way, the safe state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryoctl.errors import DeviceError
from cryoctl.node.audit import Audit
from cryoctl.node.codec import Malformed, decode
from cryoctl.node.frame_push import PushEnd
from cryoctl.node.frames_out import BUDGET, FramesOut
from cryoctl.node.lease import Lease, LeaseRefused
from cryoctl.node.peers import Peer, Peers
from cryoctl.node.roles import Person
from cryoctl.node.securing import Securing

Act = Callable[[Peer, int, Mapping[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What is handed out to whoever asks: name and text (YAML) of the instrument file, what its devices state, and who
    they are, both by device."""

    instrument: str
    text: str
    facts: Mapping[str, Mapping[str, Any]]
    identities: Mapping[str, Mapping[str, str]]
    watched: bool = True


class OwnVerbs:
    """Of one desk; `acts` by name, each of a peer, the number of its message and what it gave with it.

    Args:
        exposing: whether a beam is on.
        frame_budget: see `BUDGET`.
    """

    def __init__(
        self,
        served: Served,
        lease: Lease,
        securing: Securing,
        peers: Peers,
        audit: Audit,
        exposing: Callable[[], bool],
        frame_budget: int = BUDGET,
    ) -> None:
        self._served = served
        self._lease = lease
        self._securing = securing
        self._peers = peers
        self._audit = audit
        self._exposing = exposing
        self._frame_budget = frame_budget
        self.connect_frames: Callable[[Person], PushEnd] | None = None
        """Opens a connection for frames to one person; None where there is no network."""
        self.acts: Mapping[str, Act] = {
            "instrument": self._tell_instrument,
            "state": self._tell_state,
            "lease": self._take_lease,
            "release": self._release,
            "corrected": self._corrected,
            "cancel": self._cancel,
            "frames": self._frames,
            "taken": self._taken,
            "safe": self._make_safe,
        }

    async def _tell_instrument(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        del peer, number, given
        one = self._served
        return {"name": one.instrument, "text": one.text, "facts": one.facts, "identities": one.identities}

    async def _tell_state(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        del peer, number, given
        held = self._lease.held
        return {
            "lease": None if held is None else {"name": held.person.name, "where": held.where},
            "closed": self._lease.closed,
            "exposing": self._exposing(),
            "refused": self._audit.refused,
        }

    async def _take_lease(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        del number
        await self._securing.over()
        other = self._lease.held
        if given.get("take_over") is True and other is not None and other.peer != peer.identity:
            if not peer.person.role.may_take_over:
                raise LeaseRefused(f"lease: {peer.person.name} is {peer.person.role}; only an admin may take it over")
            self._securing.lose(f"taken over by {peer.person.name} ({peer.where})")
            await self._securing.over()
        held = self._lease.take(peer.identity, peer.person, peer.where)
        self._audit.note("lease", peer.person.name, "taken", number=held.number)
        return {"number": held.number}

    async def _release(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        """Given back in good order: nothing is done where everything is at rest."""
        del number, given
        if self._lease.is_with(peer.identity):
            if await self._securing.at_rest():
                self._lease.end()
                self._audit.note("lease", peer.person.name, "given back")
            else:
                self._securing.lose(f"given back by {peer.person.name} with a beam, a bias or a move on")
        return None

    def beat(self, peer: Peer, given: Mapping[str, Any]) -> bool:
        """Of the holder's loop, or of its heart, which knows the secret of its session."""
        secret, held = given.get("secret"), self._lease.held
        if secret is None or held is None:
            return self._lease.beat(peer.identity)
        holder = self._peers.known(held.peer)
        if not isinstance(secret, str) or holder is None or not holder.is_session(secret):
            raise Malformed("node.beat: its secret is not that of the session which has the lease")
        return self._lease.beat(held.peer, by_loop=False)

    async def _corrected(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        of = (decode(int, given.get("of"), where="of"), decode(int, given.get("index"), where="index"))
        waiting = peer.frames.get(of)
        if waiting is None or waiting.done():
            raise Malformed(f"message {number}: no scan frame {of[1]} of call {of[0]} is awaited")
        failed = given.get("failed")
        if failed is not None:
            waiting.set_exception(DeviceError(f"scan frame {of[1]}: the runner failed ({str(failed)[:100]})"))
        else:
            waiting.set_result(decode(tuple[float, float], given.get("by"), where="by"))
        return None

    async def _cancel(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        del number
        task = peer.calls.get(decode(int, given.get("of"), where="of"))
        if task is not None:
            task.cancel()
        return task is not None

    async def _make_safe(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        """Anyone may: whoever controls loses the lease."""
        del number, given
        held = self._lease.held
        told = None if held is None else {"name": held.person.name, "where": held.where}
        self._securing.lose(f"made safe by {peer.person.name} ({peer.where})", always=True)
        return {"ended": told, "actions": list(await self._securing.ended())}

    async def _frames(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        """How frames come beside the reply: for whoever has the lease, and nobody else."""
        del number
        if not self._lease.is_with(peer.identity):
            raise LeaseRefused("node.frames: frames beside the reply are for whoever controls; take the lease first")
        if peer.frames_out is None:
            connect, person = self.connect_frames, peer.person
            peer.frames_out = FramesOut(None if connect is None else lambda: connect(person), self._frame_budget)
        return peer.frames_out.agree(given)

    async def _taken(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        del number
        if peer.frames_out is None:
            raise Malformed("node.taken: no frames are on their way to this session")
        peer.frames_out.taken(given.get("frames"))

    def frame(self, peer: Peer, given: Mapping[str, Any]) -> bytes:
        """One that has not arrived. Raises `Malformed` where none of this number is kept for this session."""
        if peer.frames_out is None:
            raise Malformed("node.frame: no frames are on their way to this session")
        return peer.frames_out.again(given.get("number"))
