"""What the node does with a message, however it came: who says it, whether they may, the device's verb, the answer.

It knows no socket: a transport hands it frames and sends what it gives back. Nothing that comes in can end it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from cryoctl.clock import now_s
from cryoctl.errors import CryoctlError, DeviceError, Refused
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.node.audit import Audit
from cryoctl.node.calls import DeviceCalls
from cryoctl.node.codec import Malformed, decode
from cryoctl.node.lease import HEARTBEAT_LIMIT_S, Lease, LeaseRefused
from cryoctl.node.messages import LARGEST_REQUEST, pack, unpack
from cryoctl.node.peers import MOST_CALLS, Peer, Peers
from cryoctl.node.roles import Person

FRAME_ANSWER_S = 120.0
"""A runner that takes longer over a scan frame has its exposure ended."""

Send = Callable[[bytes, list[bytes]], None]
Secure = Callable[[str], Awaitable[Sequence[Mapping[str, Any]]]]
"""Brings the safe state; takes why, gives one entry (name, confirmed, detail) an action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What is handed out to whoever asks: name and text (YAML) of the instrument file, what its devices state, and who
    they are, both by device."""

    instrument: str
    text: str
    facts: Mapping[str, Mapping[str, Any]]
    identities: Mapping[str, Mapping[str, str]]
    watched: bool = True


class NodeDesk:
    """One node's devices behind messages.

    Args:
        secure: see `Secure`.
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
    ) -> None:
        self.audit = audit
        self.lease = Lease(heartbeat_limit_s)
        self.send: Send = lambda peer, frames: None
        self.read_first: Callable[[], None] = lambda: None
        """Takes what has come and was not read yet."""
        self._devices = devices
        self._served = served
        self._secure = secure
        self._peers = Peers()
        self._calls = DeviceCalls(devices, self.lease, no_beam, self._alarm)
        self._securing: asyncio.Task[Sequence[Mapping[str, Any]]] | None = None
        self._own: dict[str, Callable[[Peer, int, Mapping[str, Any]], Awaitable[Any]]] = {
            "instrument": self._tell_instrument,
            "state": self._tell_state,
            "lease": self._take_lease,
            "release": self._release,
            "corrected": self._corrected,
            "cancel": self._cancel,
            "safe": self._make_safe,
        }

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
            self._peers.forget(idle)

    def gone(self, link: int) -> None:
        """A connection ended; if it was that of the lease, nobody controls any more."""
        for peer in self._peers.on(link):
            self._peers.forget(peer)
            self._drop(peer)
            if self.lease.is_with(peer.identity):
                self.lose(f"the connection of {peer.person.name} ({peer.where}) ended")

    def _take(self, peer: Peer, header: dict[str, Any], arrays: Sequence[bytes]) -> None:
        do, given = header.get("do"), header.get("with", {})
        if not isinstance(do, str) or not isinstance(given, dict):
            raise Malformed("message: it says nothing to do")
        given = cast("dict[str, Any]", given)
        if do == "node.hello":
            self._hello(peer, header, given)
            return
        number = peer.check(header.get("n"), header.get("session"))
        if do == "node.beat":  # at once: it must not wait for its turn behind other work
            self._answer(peer, number, self._beat(peer, given), [])
            return
        if len(peer.calls) >= MOST_CALLS:
            raise Malformed(f"message {number}: {MOST_CALLS} calls are under way, no more are taken")
        target, _, name = do.partition(".")
        if target == "node":
            act = self._own.get(name)
            if act is None:
                raise Malformed(f"{do[:60]!r}: there is no such verb")
            self._begin(peer, number, do, lambda: act(peer, number, given), told=name in ("lease", "release", "safe"))
            return
        call = self._calls.prepared(do, given, arrays)
        lease = self._calls.check(call, peer.person, peer.identity)

        async def frame_done(index: int) -> tuple[float, float]:
            return await self._ask_frame(peer, number, index)

        callback = frame_done if header.get("frames") is True else None
        self._begin(peer, number, do, lambda: self._calls.carry_out(call, lease, callback), told=call.changes)

    def _hello(self, peer: Peer, header: dict[str, Any], given: Mapping[str, Any]) -> None:
        where = given.get("where", "")
        if not isinstance(where, str):
            raise Malformed("node.hello: where is no text")
        number = header.get("n")
        if type(number) is not int:
            raise Malformed("message: its number is none")
        self._drop(peer)
        if self.lease.is_with(peer.identity):
            self.lose(f"{peer.person.name} ({peer.where}) began anew")
        answer = {
            "session": peer.begin(where),
            "name": peer.person.name,
            "role": peer.person.role.value,
            "instrument": self._served.instrument,
            "heartbeat_limit_s": self.lease.limit_s,
        }
        self._answer(peer, number, answer, [])

    # Calls

    def _begin(self, peer: Peer, number: int, do: str, act: Callable[[], Awaitable[Any]], *, told: bool) -> None:
        """Begin what answers later; a device's verb gives its value and the bytes of its arrays."""

        async def run() -> None:
            arrays: list[bytes] = []
            try:
                value = await act()
                if not do.startswith("node."):
                    value, arrays = value
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
                self._answer(peer, number, value, arrays)
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

    # The node's own verbs

    async def _tell_instrument(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        del peer, number, given
        one = self._served
        return {"name": one.instrument, "text": one.text, "facts": one.facts, "identities": one.identities}

    async def _tell_state(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        del peer, number, given
        held = self.lease.held
        return {
            "lease": None if held is None else {"name": held.person.name, "where": held.where},
            "closed": self.lease.closed,
            "exposing": self._calls.exposing.under_way,
            "refused": self.audit.refused,
        }

    async def _take_lease(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        del number
        if self._securing is not None:
            await asyncio.wait((self._securing,))
        other = self.lease.held
        if given.get("take_over") is True and other is not None and other.peer != peer.identity:
            if not peer.person.role.may_take_over:
                raise LeaseRefused(f"lease: {peer.person.name} is {peer.person.role}; only an admin may take it over")
            self.lose(f"taken over by {peer.person.name} ({peer.where})")
            if self._securing is not None:
                await asyncio.wait((self._securing,))
        held = self.lease.take(peer.identity, peer.person, peer.where)
        self.audit.note("lease", peer.person.name, "taken", number=held.number)
        return {"number": held.number}

    async def _release(self, peer: Peer, number: int, given: Mapping[str, Any]) -> Any:
        """Given back in good order: nothing is done where everything is at rest."""
        del number, given
        if self.lease.is_with(peer.identity):
            if await self._at_rest():
                self.lease.end()
                self.audit.note("lease", peer.person.name, "given back")
            else:
                self.lose(f"given back by {peer.person.name} with a beam, a bias or a move on")
        return None

    def _beat(self, peer: Peer, given: Mapping[str, Any]) -> bool:
        """Of the holder's loop, or of its heart, which knows the secret of its session."""
        secret, held = given.get("secret"), self.lease.held
        if secret is None or held is None:
            return self.lease.beat(peer.identity)
        holder = self._peers.known(held.peer)
        if not isinstance(secret, str) or holder is None or not holder.is_session(secret):
            raise Malformed("node.beat: its secret is not that of the session which has the lease")
        return self.lease.beat(held.peer, by_loop=False)

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
        held = self.lease.held
        told = None if held is None else {"name": held.person.name, "where": held.where}
        self.lose(f"made safe by {peer.person.name} ({peer.where})", always=True)
        assert self._securing is not None
        return {"ended": told, "actions": list(await asyncio.shield(self._securing))}

    # The lease and its end

    def lose(self, why: str, *, always: bool = False) -> None:
        """Nobody controls any more: the beam is stopped at once, and the safe state brought."""
        held = self.lease.end()
        if held is None and not always:
            return
        if held is not None:
            self.audit.note("lease", held.person.name, f"lost: {why}", number=held.number)
            self.send(held.peer, pack({"notice": "lease-lost", "message": why[:200], "at_s": now_s()}))
        if self._securing is None or self._securing.done():
            self._securing = asyncio.create_task(self._bring_safe(why))

    async def _bring_safe(self, why: str) -> Sequence[Mapping[str, Any]]:
        ending = asyncio.create_task(self._calls.exposing.stop())
        for peer in self._peers:  # moves under way; the safe state stops what has begun
            for task in tuple(peer.calls.values()):
                if task in self._calls.controlling:
                    task.cancel()
        actions = await self._secure(why)
        with contextlib.suppress(Exception):
            await ending
        failed = [str(one.get("name")) for one in actions if not one.get("confirmed")]
        self.audit.note(
            "node", "node", f"safe state ({why})" + (f"; NOT confirmed: {', '.join(failed)}" if failed else "")
        )
        return actions

    async def watch_heartbeats(self) -> None:
        """Until cancelled: a lease whose holder is silent is lost."""
        while True:
            await asyncio.sleep(self.lease.limit_s / 100)
            if self.lease.overdue:
                self.read_first()  # this loop may have been busy
                if self.lease.overdue and self.lease.held is not None:
                    held = self.lease.held
                    self.lose(f"no heartbeat of {held.person.name} ({held.where}) for {self.lease.limit_s:g} s")

    async def secured(self, why: str) -> Sequence[Mapping[str, Any]]:
        """End the lease and bring the safe state, now; for the end of the node itself."""
        self.lease.closed = why
        self.lose(why, always=True)
        assert self._securing is not None
        return await self._securing

    def _alarm(self, sentence: str) -> None:
        self.audit.note("node", "node", sentence)
        self.lose(sentence, always=True)

    async def _at_rest(self) -> bool:
        one = self._devices
        try:
            async with asyncio.timeout(2.0):
                moving = await one.stage.is_moving()
                biased = one.bias is not None and (await one.bias.status()).output_on
                return await one.beam.is_blanked() and not moving and not biased
        except Exception:
            return False

    # Messages out

    def _drop(self, peer: Peer) -> None:
        """What a peer that is gone had under way is not gone on with; its exposure ends blanked."""
        for task in tuple(peer.calls.values()):
            task.cancel()
        for waiting in peer.frames.values():
            if not waiting.done():
                waiting.set_exception(DeviceError("the runner is gone; the exposure ends"))

    def _answer(self, peer: Peer, number: int, value: Any, arrays: Sequence[bytes]) -> None:
        self.send(peer.identity, pack({"n": number, "is": value, "at_s": now_s()}, arrays))

    def _fail(self, peer: Peer, number: int, error: CryoctlError) -> None:
        told = {"n": number, "error": type(error).__name__, "message": error.message, "at_s": now_s()}
        self.send(peer.identity, pack(told))
