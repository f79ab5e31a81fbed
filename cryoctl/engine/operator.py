"""The operator's wishes, from whatever thread or signal, delivered at the boundaries where they may act."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cryoctl.clock import hold_time, in_virtual_time
from cryoctl.engine.requests import Requests

COMMANDS = ("pause", "blank", "go", "skip", "stop-after", "abort", "ack", "note")
"""What `cryoctl tell` accepts."""
TELL_AFTER_S = 0.05
"""A wish that blanks is written down this much later, in real time: a disk that is busy must not hold it up."""


@dataclass(frozen=True, slots=True)
class Wish:
    """`source` is how it came (tell, Ctrl-C, SIGTERM, ...), `who` the person and computer as far as they are known."""

    command: str
    source: str
    text: str = ""
    who: str = ""


class OperatorDesk:
    """Lives in the run's loop; `ask` may be called from any thread or signal handler, at any time.

    What is asked before `open` acts when the loop begins, what is asked after its end acts no more.

    Pause acts at the next boundary, blanked, and stops a stage on its way. Blank pauses as well, and asks an exposure
    under way to stop. Skip and stop-after wait for the protocol's next checkpoint. Abort acts at once: whatever runs is
    asked to stop. Ack and go end the wait for an interlock that stands until it is answered.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: deque[Wish] = deque()
        self._untold: list[Wish] = []
        self._told: Callable[[Wish], None] | None = None
        self._go = asyncio.Event()
        self._go.set()
        self._pause = asyncio.Event()
        self._blank = asyncio.Event()
        self._abort = asyncio.Event()
        self._answer = asyncio.Event()
        self._for_checkpoint = ""
        self.abort_source = ""
        self.requests = Requests()
        """What is asked for from outside, where the run's steps come from there."""

    def open(self) -> None:
        """From now on wishes act; in the run's loop, may be called twice."""
        self._loop = asyncio.get_running_loop()
        self.requests.open()
        self._take_asked()

    def tell(self, told: Callable[[Wish], None]) -> None:
        """Each wish is told to this, in the loop, those that came before as well."""
        self._told = told
        self.tell_waiting()

    def ask(self, command: str, source: str, text: str = "", who: str = "") -> None:
        """From another thread or a signal handler."""
        self._asked.append(Wish(command, source, text, who))
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the run
                self._loop.call_soon_threadsafe(self._take_asked)

    def heed(self) -> None:
        """Take what was asked while the loop was busy: before a beam opens nobody has to wait for his turn."""
        self._take_asked()

    def _take_asked(self) -> None:
        while self._asked:
            wish = self._asked.popleft()
            self.take(wish.command, wish.source, wish.text, wish.who)

    def take(self, command: str, source: str, text: str = "", who: str = "") -> None:
        """In the loop's own thread. The wish acts before it is told: a full disk must not swallow an abort."""
        if command in ("pause", "blank"):
            self._go.clear()
            self._pause.set()
            if command == "blank":
                self._blank.set()
        elif command in ("go", "abort"):
            if command == "abort":
                self.abort_source = self.abort_source or source
                self._abort.set()
            self._go.set()
            self._pause.clear()
            self._blank.clear()
            self._answer.set()
        elif command in ("skip", "stop-after"):
            self._for_checkpoint = command
        elif command == "ack":
            self._answer.set()
        self._untold.append(Wish(command, source, text, who))
        if command in ("abort", "blank") and not in_virtual_time():
            asyncio.get_running_loop().call_later(TELL_AFTER_S, self.tell_waiting)
        else:
            self.tell_waiting()

    def tell_waiting(self) -> None:
        """Nothing that was taken is left untold when this returns."""
        while self._told is not None and self._untold:
            self._told(self._untold.pop(0))

    @property
    def paused(self) -> bool:
        return not self._go.is_set()

    @property
    def aborted(self) -> bool:
        return self._abort.is_set()

    @property
    def wants_no_beam(self) -> bool:
        """An exposure under way is to end."""
        return self._abort.is_set() or self._blank.is_set() or self.requests.withdrawn

    async def until_abort(self) -> None:
        await self._abort.wait()

    async def until_pause(self) -> None:
        await self._pause.wait()

    async def until_not_wanted(self) -> None:
        """Until a pause, or until whoever asked for the move under way does not want it any more."""
        waits = [asyncio.create_task(wait()) for wait in (self._pause.wait, self.requests.until_withdrawn)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def until_blank(self) -> None:
        await self._blank.wait()

    async def until_gone_on(self) -> None:
        """Until go or abort, while something else still happens: virtual time passes."""
        await self._go.wait()

    async def until_go(self) -> None:
        """Stand still until the operator says go or abort; in virtual time for as long as it takes."""
        with hold_time(patient=True):
            await self._go.wait()

    def latch(self) -> None:
        """Something wants an answer: one that was given before does not count."""
        self._answer.clear()
        if self.aborted:
            self._answer.set()

    @property
    def spoken(self) -> bool:
        """The operator acknowledged, said go, or aborted since `latch`."""
        return self._answer.is_set()

    async def until_spoken(self) -> None:
        """While something else still happens: virtual time passes."""
        await self._answer.wait()

    def collect(self) -> str:
        """The command waiting for a checkpoint, taken once."""
        command, self._for_checkpoint = self._for_checkpoint, ""
        return command
