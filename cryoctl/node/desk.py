"""What the node does with a message, however it came: who says it, whether they may, the device's verb, the answer.

It knows no socket: a transport hands it frames and sends what it gives back. Nothing that comes in can end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from cryoctl.clock import now_s
from cryoctl.errors import CryoctlError, DeviceError, Refused
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.node.audit import Audit
from cryoctl.node.calls import DeviceCalls
from cryoctl.node.codec import Malformed, Raw
from cryoctl.node.frames_out import BUDGET
from cryoctl.node.lease import HEARTBEAT_LIMIT_S, Held, Lease, LeaseRefused
from cryoctl.node.messages import LARGEST_REQUEST, pack, unpack
from cryoctl.node.own_verbs import OwnVerbs, Served
from cryoctl.node.peers import MOST_CALLS, Peer, Peers
from cryoctl.node.roles import Person
from cryoctl.node.securing import Secure, Securing

FRAME_ANSWER_S = 120.0
"""A runner that takes longer over a scan frame has its exposure ended."""

Send = Callable[[bytes, list[Raw]], None]
Given = tuple[Any, list[Raw]]
"""What a verb gives: JSON values, and the bytes of its arrays."""


class NodeDesk:
    """One node's devices behind messages.

    Args:
        secure: see `Secure`.
        frame_budget: bytes of frames that may wait to be taken.
        no_beam: why no exposure may begin now, empty where one may; the watchdog is dead, for example.
    """

    def __init__(
        self,
        devices: DeviceSet,
        served: Served,
        secure: Secure,
        audit: Audit,
        *,
        heartbeat_limit_s: float = HEARTBEAT_LIMIT_S,
        no_beam: Callable[[], str] = str,
        frame_budget: int = BUDGET,
    ) -> None:
        self.audit = audit
        self.lease = Lease(heartbeat_limit_s)
        self.send: Send = lambda peer, frames: None
        self._served = served
        self._peers = Peers()
        self.securing = Securing(
            devices, self.lease, secure, audit, stop_calls=self._stop_calls, tell=self._tell_of_lost_lease
        )
        self._calls = DeviceCalls(devices, self.lease, no_beam, self.securing.alarm)
        self.own = OwnVerbs(
            served, self.lease, self.securing, self._peers, audit, lambda: self._calls.exposing.under_way, frame_budget
        )

    # Messages in

    def received(self, identity: bytes, frames: Sequence[bytes], person: Person, link: int) -> None:
        """One message of a peer. Never raises."""
        peer = self._peers.of(identity, person, link)
        number = 0
        try:
            header, arrays = unpack(frames, LARGEST_REQUEST)
            found = header.get("n")
            number = found if type(found) is int else 0
            self._take(peer, header, arrays)
        except (Malformed, LeaseRefused, Refused) as error:
            self.audit.note("refused", person.name, error.message, peer=identity.hex())
            self._fail(peer, number, error)
        except Exception as error:  # a message that no one thought of must not end the node
            self.audit.note("refused", person.name, f"{type(error).__name__}: {error}", peer=identity.hex())
            self._fail(peer, number, Malformed("message: can't be understood"))
        for idle in self._peers.crowd(self.lease.held.peer if self.lease.held else None):
            self._drop(idle)
            self._peers.forget(idle)

    def end_sessions(self) -> None:
        """The node ends: nobody is answered any more, and nothing is kept for anybody."""
        for peer in self._peers:
            self._drop(peer)
            self._peers.forget(peer)

    def gone(self, link: int) -> None:
        """A connection ended; if it was that of the lease, nobody controls any more."""
        for peer in self._peers.on(link):
            self._peers.forget(peer)
            self._drop(peer)
            if self.lease.is_with(peer.identity):
                self.securing.lose(f"the connection of {peer.person.name} ({peer.where}) ended")

    def _take(self, peer: Peer, header: dict[str, Any], arrays: Sequence[Raw]) -> None:
        do, given = header.get("do"), header.get("with", {})
        if not isinstance(do, str) or not isinstance(given, dict):
            raise Malformed("message: it says nothing to do")
        given = cast("dict[str, Any]", given)
        if do == "node.hello":
            self._hello(peer, header, given)
            return
        number = peer.check(header.get("n"), header.get("session"))
        if do == "node.beat":  # at once: it must not wait for its turn behind other work
            self._answer(peer, number, self.own.beat(peer, given))
            return
        if len(peer.calls) >= MOST_CALLS:
            raise Malformed(f"message {number}: {MOST_CALLS} calls are under way, no more are taken")
        target, _, name = do.partition(".")
        if do == "node.frame":
            self._begin(peer, number, do, lambda: self._frame_again(peer, given), told=False)
            return
        if target == "node":
            act = self.own.acts.get(name)
            if act is None:
                raise Malformed(f"{do[:60]!r}: there is no such verb")

            async def acted() -> Given:
                return await act(peer, number, given), []

            self._begin(peer, number, do, acted, told=name in ("lease", "release", "safe"))
            return
        call = self._calls.prepared(do, given, arrays)
        lease = self._calls.check(call, peer.person, peer.identity)

        async def frame_done(index: int) -> tuple[float, float]:
            return await self._ask_frame(peer, number, index)

        callback = frame_done if header.get("frames") is True else None
        room = None if peer.frames_out is None else peer.frames_out.no_room
        self._begin(peer, number, do, lambda: self._calls.carry_out(call, lease, callback, room), told=call.changes)

    def _hello(self, peer: Peer, header: dict[str, Any], given: Mapping[str, Any]) -> None:
        where = given.get("where", "")
        if not isinstance(where, str):
            raise Malformed("node.hello: where is no text")
        number = header.get("n")
        if type(number) is not int:
            raise Malformed("message: its number is none")
        self._drop(peer)
        if self.lease.is_with(peer.identity):
            self.securing.lose(f"{peer.person.name} ({peer.where}) began anew")
        answer = {
            "session": peer.begin(where),
            "name": peer.person.name,
            "role": peer.person.role.value,
            "instrument": self._served.instrument,
            "heartbeat_limit_s": self.lease.limit_s,
        }
        self._answer(peer, number, answer)

    # Calls

    def _begin(self, peer: Peer, number: int, do: str, act: Callable[[], Awaitable[Given]], *, told: bool) -> None:
        """Begin what answers later."""

        async def run() -> None:
            beside: dict[str, Any] = {}
            try:
                value, arrays = await act()
                if arrays and peer.frames_out is not None and do != "node.frame":
                    beside, arrays = await peer.frames_out.send(arrays)
            except asyncio.CancelledError:
                self._fail(peer, number, DeviceError(f"{do}: cancelled"))
                raise
            except CryoctlError as error:
                kind = "refused" if isinstance(error, Malformed | Refused | LeaseRefused) else "failed"
                self.audit.note(kind, peer.person.name, error.message, do=do)
                self._fail(peer, number, error)
            except Exception as error:  # a driver's own bug is a fault of its device
                self.audit.note("failed", peer.person.name, f"{type(error).__name__}: {error}", do=do)
                self._fail(peer, number, DeviceError(f"{do.partition('.')[0]}: {type(error).__name__}: {error}"))
            else:
                if told:
                    self.audit.note("done", peer.person.name, do=do)
                self._answer(peer, number, value, arrays, beside)
            finally:
                peer.calls.pop(number, None)

        peer.calls[number] = asyncio.create_task(run())

    async def _ask_frame(self, peer: Peer, number: int, index: int) -> tuple[float, float]:
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        peer.frames[number, index] = waiting
        self.send(peer.identity, pack({"of": number, "frame": index, "at_s": now_s()}))
        try:
            async with asyncio.timeout(FRAME_ANSWER_S):
                return await waiting
        except TimeoutError:
            raise DeviceError(f"scan frame {index}: no answer within {FRAME_ANSWER_S:g} s; the exposure ends") from None
        finally:
            peer.frames.pop((number, index), None)

    async def _frame_again(self, peer: Peer, given: Mapping[str, Any]) -> Given:
        return None, [self.own.frame(peer, given)]

    async def _stop_calls(self) -> None:
        """The exposure and moves under way; the safe state stops what has begun."""
        ending = asyncio.create_task(self._calls.exposing.stop())
        for peer in self._peers:
            for task in tuple(peer.calls.values()):
                if task in self._calls.controlling:
                    task.cancel()
        await ending

    # Messages out

    def _tell_of_lost_lease(self, held: Held, why: str) -> None:
        peer = self._peers.known(held.peer)
        if peer is not None and peer.frames_out is not None:
            peer.frames_out.lease_lost()
        self.send(held.peer, pack({"notice": "lease-lost", "message": why[:200], "at_s": now_s()}))

    def _drop(self, peer: Peer) -> None:
        """What a peer that is gone had under way is not gone on with; its exposure ends blanked."""
        for task in tuple(peer.calls.values()):
            task.cancel()
        for waiting in peer.frames.values():
            if not waiting.done():
                waiting.set_exception(DeviceError("the runner is gone; the exposure ends"))
        if peer.frames_out is not None:
            peer.frames_out.close()
            peer.frames_out = None

    def _answer(
        self, peer: Peer, number: int, value: Any, arrays: Sequence[Raw] = (), beside: Mapping[str, Any] | None = None
    ) -> None:
        self.send(peer.identity, pack({"n": number, "is": value, "at_s": now_s(), **(beside or {})}, arrays))

    def _fail(self, peer: Peer, number: int, error: CryoctlError) -> None:
        told = {"n": number, "error": type(error).__name__, "message": error.message, "at_s": now_s()}
        self.send(peer.identity, pack(told))
