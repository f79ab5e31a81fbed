"""Questions over UDP, one at a time, each within its deadline.

An answer carries no mark of its question, so after anything odd (none, a garbled one, one of another kind, a question
whose asker was cancelled) the socket is given up and the next question goes out from a new port: what still comes to
the old one is of the past, and nobody receives it. What comes from another address is dropped by the system.

A long answer comes in several datagrams without numbers; see `packets.checksum` for why it is worth asking twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set

from cryoctl.errors import ConnectionLost, DeviceError, NoAnswer
from cryoctl_drivers.amptek.packets import (
    ACKNOWLEDGEMENT,
    BUSY,
    GARBLED,
    REFUSALS,
    Identity,
    Malformed,
    Packet,
    decode,
    whole_bytes,
)

TRIES = 4
_BUSY_S = 0.25
_MOST_WAITING = 256


class _Mailbox(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.waiting: asyncio.Queue[bytes | OSError] = asyncio.Queue(_MOST_WAITING)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.waiting.full():
            self.waiting.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError) and not self.waiting.full():
            self.waiting.put_nowait(exc)

    def drain(self) -> None:
        while not self.waiting.empty():
            self.waiting.get_nowait()

    async def datagram(self) -> bytes:
        found = await self.waiting.get()
        if isinstance(found, OSError):
            raise found
        return found


class UdpLink:
    """Construction opens nothing. All that is asked may be asked again; whoever sets something reads it back."""

    def __init__(self, owner: str, host: str, port: int, deadline_s: float) -> None:
        self._owner = owner
        self._at = (host, port)
        self._deadline_s = deadline_s
        self._transport: asyncio.DatagramTransport | None = None
        self._mailbox = _Mailbox()
        self._in_step = False
        self._is_open = False
        self._one = asyncio.Lock()

    async def open(self) -> None:
        """
        Raises:
            ConnectionLost: no such host.
        """
        self._is_open = True
        if self._transport is None:
            await self._renew()

    def close(self) -> None:
        self._is_open = self._in_step = False
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    async def ask(self, request: Packet, answers: Set[Identity]) -> Packet:
        """The answer, of one of these kinds.

        Raises:
            ConnectionLost: not open, or nothing listens there.
            NoAnswer: none within the deadline, four times.
            DeviceError: the unit refuses.
        """
        async with self._one:
            why = "no answer"
            for _ in range(TRIES):
                if not self._is_open:
                    raise ConnectionLost(f"{self._owner}: not connected; call connect first")
                if not self._in_step or self._transport is None:
                    await self._renew()
                try:
                    answer = await self._exchange(request)
                except TimeoutError:
                    why = "no answer"
                except OSError as problem:
                    why = f"nothing listens there ({problem.strerror or type(problem).__name__})"
                    await asyncio.sleep(self._deadline_s)
                except Malformed as problem:
                    why = str(problem)
                else:
                    if answer.identity in answers:
                        self._in_step = True
                        return answer
                    why = self._unwanted(answer)
                    if answer.identity == BUSY:
                        await asyncio.sleep(_BUSY_S)
            self._in_step = False
            raise self._given_up(why)

    async def _exchange(self, request: Packet) -> Packet:
        assert self._transport is not None
        self._in_step = False
        self._mailbox.drain()
        self._transport.sendto(request.encode())
        async with asyncio.timeout(self._deadline_s):
            raw = await self._mailbox.datagram()
            whole = whole_bytes(raw)
            while len(raw) < whole:
                raw += await self._mailbox.datagram()
        return decode(raw)

    def _unwanted(self, answer: Packet) -> str:
        """What is wrong with an answer that may be another one's next time.

        Raises:
            DeviceError: the unit refuses, and would again.
        """
        code = answer.identity[1]
        if answer.identity[0] != ACKNOWLEDGEMENT:
            return f"an answer of kind {answer.identity[0]:02X}/{code:02X} to something else"
        if answer.identity == BUSY or answer.identity in GARBLED:
            return f"it {REFUSALS.get(code, 'received a garbled request')}"
        if code in REFUSALS:
            said = answer.data.decode("ascii", "replace").strip()[:40]
            raise DeviceError(f"{self._owner}: the unit {REFUSALS[code]} {said}".rstrip() + "; see its manual")
        return f"an acknowledgement of kind {code:02X}"

    def _given_up(self, why: str) -> DeviceError:
        host, port = self._at
        text = f"{self._owner}: asked {TRIES} times at {host} UDP {port}: {why}; check its power, cable and address"
        return ConnectionLost(text) if why.startswith("nothing listens") else NoAnswer(text)

    async def _renew(self) -> None:
        """Another local port: late answers to the former find nobody."""
        former, self._transport = self._transport, None
        if former is not None:
            former.abort()
        host, port = self._at
        try:
            transport, mailbox = await asyncio.get_running_loop().create_datagram_endpoint(
                _Mailbox, remote_addr=(host, port)
            )
        except OSError as problem:
            why = problem.strerror or type(problem).__name__
            raise ConnectionLost(f"{self._owner}: {host} can't be reached ({why}); check host and network") from problem
        if not self._is_open:
            transport.abort()
            raise ConnectionLost(f"{self._owner}: closed meanwhile; connect again")
        self._transport, self._mailbox = transport, mailbox
