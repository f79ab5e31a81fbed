"""One link a port: one thread of its own, one question after the other, each within its deadline.

The thread is all that touches the port, so a question whose asker was cancelled is still carried to its end and its
answer is never taken for another's. In virtual time a question holds time while it is under way.

After anything odd (no answer, an answer of another shape, bytes nobody asked for) the link is out of step: before the
next question it lets the line fall silent and asks who is there until that is answered; whatever comes before is of the
past and is discarded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from cryoctl.errors import ConnectionLost, CryoctlError, InstrumentError, NoAnswer
from cryoctl_drivers.link.exchange import ANYTHING, Exchange, Shape
from cryoctl_drivers.link.framing import Framing
from cryoctl_drivers.link.port import Port, SerialForm, let_go, open_port
from cryoctl_drivers.link.settings import SOCKET, VISA, LinkSettings
from cryoctl_drivers.link.transcript import Transcript

TRIES = 4
"""How often what may be repeated is asked before it is given up."""
QUIET_S = 0.02
"""A line on which nothing came for so long is silent."""
_LONGEST_NOISE_S = 0.5
T = TypeVar("T")


class Call(Protocol):
    """A question that changes nothing and whose answer is like no other: who are you. It may differ each time."""

    @property
    def send(self) -> str: ...

    @property
    def shape(self) -> Shape: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """The same at any time."""

    send: str
    shape: Shape


class _OutOfStep(Exception):
    """What came is not the answer; the argument says what was found."""


class Link:
    """Construction opens nothing.

    Args:
        owner: name of the device, with which every message begins.
        greet: exchanges right after the port was opened; none of them is repeated, and what came before is of no
            interest (a banner, a prompt).
        login: those that come before, where the port is one of a network.
        unasked: of bytes that nobody asked for, those that may not be there, and the rest, which is kept; null where
            the instrument never speaks by itself.
    """

    def __init__(
        self,
        owner: str,
        settings: LinkSettings,
        framing: Framing,
        sync: Call,
        form: SerialForm | None = None,
        greet: Sequence[Exchange] = (),
        login: Sequence[Exchange] = (),
        unasked: Callable[[bytes], tuple[bytes, bytes]] | None = None,
    ) -> None:
        form = form or SerialForm()
        self._owner = owner
        self._settings = settings
        self._framing = framing
        self._sync = sync
        self._form = form if settings.baud is None else replace(form, baud=settings.baud)
        self._greet = tuple(greet)
        self._login = tuple(login)
        self._unasked = unasked or (lambda received: (received, b""))
        self._port: Port | None = None
        self._received = b""
        self._in_step = False
        self._unanswered = b""
        """The latest command that has no answer: some instruments repeat it."""
        self._thread: ThreadPoolExecutor | None = None
        self._transcript = Transcript(settings.transcript) if settings.transcript else None
        networked = settings.port.startswith((SOCKET, VISA))
        self._confirm = (not networked) if settings.confirm is None else settings.confirm

    @property
    def is_open(self) -> bool:
        return self._port is not None

    @property
    def longest_s(self) -> float:
        """What one exchange takes at most, all its repetitions included."""
        return TRIES * (2 * self._settings.deadline_s + _LONGEST_NOISE_S + 2 * QUIET_S)

    def at(self, port: str) -> None:
        """Another port, before it is opened: an emulator tells its own only then."""
        networked = port.startswith((SOCKET, VISA))
        self._confirm = (not networked) if self._settings.confirm is None else self._settings.confirm
        self._settings = self._settings.model_copy(update={"port": port})

    async def open(self) -> None:
        """Open the port and greet; of one that is open nothing is changed.

        Raises:
            InstrumentError, ConnectionLost: see `open_port`; a login that is refused.
            NoAnswer: it does not greet back.
        """
        await self._in_thread(self._open)

    async def ask(self, send: str, shape: Shape = ANYTHING, *, again: bool = True, confirm: bool = True) -> str:
        """The answer to a question that changes nothing (else say `again=False`)."""
        return (await self.talk(Exchange(send=send, shape=shape, again=again, confirm=confirm)))[0]

    async def tell(self, *sends: str) -> None:
        """Commands without an answer; what they did is read back by whoever sends them."""
        await self.talk(*(Exchange(send=send, shape=None) for send in sends))

    async def shout(self, *sends: str) -> None:
        """Commands without an answer, sent at once whatever is on the line: what has to be heard though nothing else is
        understood any more.

        Raises:
            ConnectionLost: the link is gone, or was never opened.
        """
        await self._in_thread(lambda: self._shout(sends))

    async def talk(self, *exchanges: Exchange) -> list[str]:
        """One after the other with nothing of anybody else's between; the answers of those that have one.

        Raises:
            ConnectionLost: the link is gone, or was never opened.
            NoAnswer: none within the deadline, or none that could be understood.
        """
        return await self._in_thread(lambda: self._talk(exchanges))

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._drop)
            thread.shutdown(wait=False)

    # What follows runs in the link's thread

    async def _in_thread(self, act: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"link {self._owner}")
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def _open(self) -> None:
        if self._port is not None:
            return
        self._port = open_port(self._settings.port, self._form, self._owner)
        self._received, self._in_step = b"", False
        try:
            networked = self._settings.port.startswith((SOCKET, VISA))
            for exchange in (*(self._login if networked else ()), *self._greet):
                self._once(exchange, greeting=True)
        except _OutOfStep as odd:
            self._drop()
            raise NoAnswer(f"{self._owner}: does not greet as it should ({odd}); is it this instrument?") from None
        except CryoctlError:
            self._drop()
            raise

    def _drop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            port.close()
            let_go(self._settings.port)

    def _talk(self, exchanges: Sequence[Exchange]) -> list[str]:
        if self._port is None:
            raise ConnectionLost(f"{self._owner}: not connected; call connect first")
        try:
            answers = [self._answered(exchange) for exchange in exchanges]
        except ConnectionLost:
            self._drop()
            raise
        return [answer for answer in answers if answer is not None]

    def _shout(self, sends: Sequence[str]) -> None:
        if self._port is None:
            raise ConnectionLost(f"{self._owner}: not connected; call connect first")
        try:
            for send in sends:
                self._once(Exchange(send=send, shape=None))
        except ConnectionLost:
            self._drop()
            raise

    def _answered(self, exchange: Exchange) -> str | None:
        odd = ""
        for _ in range(TRIES):
            try:
                if not self._in_step:
                    self._resynchronise()
                self._nothing_unasked()
            except _OutOfStep as found:  # nothing of it was sent yet, so what is said once may wait for the line
                self._in_step = False
                odd = str(found)
                continue
            try:
                answer = self._once(exchange)
                if answer is None or not (exchange.again and exchange.confirm and self._confirm):
                    return answer
                self._nothing_unasked()
                same = self._once(replace(exchange, send=exchange.confirm_by or exchange.send))
                if same is not None and exchange.alike(same, answer):
                    return answer
                odd = f"answered {answer[:40]!r}, then {(same or '')[:40]!r}"
            except _OutOfStep as found:
                self._in_step = False
                odd = str(found)
            if not exchange.again:
                break
        raise NoAnswer(f"{self._owner}: to {exchange.told} {odd}; check cable, port settings and instrument"[:300])

    def _once(self, exchange: Exchange, greeting: bool = False) -> str | None:
        if greeting:
            self._read(0.0)
            self._received = b""
        self._write(exchange)
        if exchange.shape is None:
            self._unanswered = exchange.send.encode("latin-1")
            return None
        deadline_s = time.monotonic() + (exchange.deadline_s or self._settings.deadline_s)
        answer = self._reply(deadline_s)
        if self._unanswered and answer.encode("latin-1") == self._unanswered:
            answer = self._reply(deadline_s)
        if exchange.shape.fullmatch(answer) is None:
            if exchange.otherwise:
                raise InstrumentError(f"{self._owner}: {exchange.otherwise}")
            raise _OutOfStep(f"answered {answer[:60]!r}")
        return answer

    def _nothing_unasked(self) -> None:
        stray, self._received = self._unasked(self._received + self._read(0.0))
        if stray and (not self._unanswered or stray.strip() != self._unanswered):
            self._received = b""
            raise _OutOfStep(f"unasked for {stray[:40]!r}")

    def _reply(self, deadline_s: float) -> str:
        while (found := self._framing.split(self._received)) is None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                cut_off = f" but {self._received[:40]!r}" if self._received else ""
                raise _OutOfStep(f"did not answer within {self._settings.deadline_s:g} s{cut_off}")
            self._received += self._read(left_s)
        reply, self._received = found
        return reply.decode("latin-1")

    def _resynchronise(self) -> None:
        """Let the line fall silent, then ask who is there; whatever comes before that answer is of the past."""
        self._received = b""
        quiet_by_s = time.monotonic() + _LONGEST_NOISE_S
        while self._read(QUIET_S):
            if time.monotonic() > quiet_by_s:
                raise _OutOfStep("talks without being asked")
        self._write(Exchange(send=self._sync.send))
        deadline_s = time.monotonic() + self._settings.deadline_s
        odd = ""
        while True:
            try:
                answer = self._reply(deadline_s)
            except _OutOfStep as late:
                raise _OutOfStep(f"asked who is there answered {odd[:60]!r}" if odd else str(late)) from None
            if self._sync.shape.fullmatch(answer):
                break
            odd = odd or answer
        stray, self._received = self._unasked(self._received + self._read(QUIET_S))
        if stray:
            self._received = b""
            raise _OutOfStep("goes on talking after it said who it is")
        self._in_step = True

    def _write(self, exchange: Exchange) -> None:
        assert self._port is not None
        self._note("sent", exchange.told.encode("latin-1") if exchange.secret else exchange.send.encode("latin-1"))
        self._port.write(exchange.send.encode("latin-1") + self._framing.send_end)

    def _read(self, within_s: float) -> bytes:
        assert self._port is not None
        data = self._port.read(within_s)
        if data:
            self._note("got", data)
        return data

    def _note(self, what: str, data: bytes) -> None:
        if self._transcript is not None:
            self._transcript.note(what, data)
