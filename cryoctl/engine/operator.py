"""The operator's wishes, from whatever thread or signal, delivered at the boundaries where they may act."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from cryoctl.clock import hold_time

COMMANDS = ("pause", "go", "skip", "stop-after", "abort", "ack", "note")
"""What `cryoctl tell` accepts."""


class OperatorDesk:
    """Lives in the run's loop; `ask` may be called from any thread once `open` was called.

    Pause acts at the next boundary, blanked, and stops a stage on its way. Skip and stop-after wait for the protocol's
    next checkpoint. Abort acts at once: whatever runs is asked to stop.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._go = asyncio.Event()
        self._go.set()
        self._pause = asyncio.Event()
        self._abort = asyncio.Event()
        self._answer = asyncio.Event()
        self._for_checkpoint = ""
        self.abort_source = ""
        self.on_command: Callable[[str, str, str], None] = lambda command, source, text: None
        """Told each command, its source and its text, in the loop."""

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    def ask(self, command: str, source: str, text: str = "") -> None:
        """From another thread or a signal handler."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the run
                self._loop.call_soon_threadsafe(self.take, command, source, text)

    def take(self, command: str, source: str, text: str = "") -> None:
        """In the loop's own thread. The wish acts before it is told: a full disk must not swallow an abort."""
        if command == "pause":
            self._go.clear()
            self._pause.set()
        elif command == "go":
            self._go.set()
            self._pause.clear()
            self._answer.set()
        elif command == "ack":
            self._answer.set()
        elif command in ("skip", "stop-after"):
            self._for_checkpoint = command
        elif command == "abort":
            self.abort_source = self.abort_source or source
            self._abort.set()
            self._go.set()
            self._pause.clear()
            self._answer.set()
        self.on_command(command, source, text)

    @property
    def paused(self) -> bool:
        return not self._go.is_set()

    @property
    def aborted(self) -> bool:
        return self._abort.is_set()

    async def until_abort(self) -> None:
        await self._abort.wait()

    async def until_pause(self) -> None:
        await self._pause.wait()

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
