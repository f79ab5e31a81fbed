"""Questions over UDP, one at a time, each within its deadline.

An answer carries no mark of its question. So each question goes out from a port of its own: what comes there answers it
and nothing else, and what comes too late, or twice, finds nobody. What another address sends is dropped by the system.

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
        self._is_open = False
        self._one = asyncio.Lock()

    def open(self) -> None:
        self._is_open = True

    def close(self) -> None:
        self._is_open = False

    async def ask(self, request: Packet, answers: Set[Identity]) -> Packet:
        """The answer, of one of these kinds.

        Raises:
            ConnectionLost: not open, no such host, or nothing listens there.
            NoAnswer: none within the deadline, four times.
            DeviceError: the unit refuses.
        """
        why = "no answer"
        async with self._one:
            for _ in range(TRIES):
                if not self._is_open:
                    raise ConnectionLost(f"{self._owner}: not connected; call connect first")
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
                        return answer
                    why = self._unwanted(answer)
                    if answer.identity == BUSY:
                        await asyncio.sleep(_BUSY_S)
        raise self._given_up(why)

    async def _exchange(self, request: Packet) -> Packet:
        async with asyncio.timeout(self._deadline_s):
            transport, mailbox = await asyncio.get_running_loop().create_datagram_endpoint(
                _Mailbox, remote_addr=self._at
            )
            try:
                transport.sendto(request.encode())
                raw = await mailbox.datagram()
                whole = whole_bytes(raw)
                while len(raw) < whole:
                    raw += await mailbox.datagram()
            finally:
                transport.abort()
        return decode(raw)

    def _unwanted(self, answer: Packet) -> str:
        """What is wrong with an answer that may be a better one next time.

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
