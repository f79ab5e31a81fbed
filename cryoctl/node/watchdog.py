"""The watchdog: a process beside the node that stops the beam when the node dies or hangs.

The node writes a beat into its standard input; the kernel closes that when the node is gone, however it went. All that
takes time is done beforehand: modules are imported, and the beam is connected, over a connection of the watchdog's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import BinaryIO

from cryoctl.clock import now_s

BEAT_S = 0.05
HUNG_S = 1.0
"""A node that lives but has not beaten for so long hangs: it is ended, after the beam was stopped. A watchdog that has
not echoed for so long hangs as well."""
READY_S = 60.0
BEAT, LEAVE = b".", b"Q"
READY = b"ready"


class Watchdog:
    """The node's end; `report` is what the process says once it is ready.

    Args:
        command: starts the process, which says a line that begins with `READY` once it is.
        told: the first line that it is given.
    """

    def __init__(self, command: Sequence[str], told: bytes) -> None:
        self._command = list(command)
        self._told = told + b"\n"
        self._process: subprocess.Popen[bytes] | None = None
        self._owed_s: float | None = None
        self.report = ""
        self.ended: Callable[[], None] = lambda: None
        """Called at once, in the loop, when a process that was ready ends without being told to."""

    @property
    def process_id(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, is ready, and answers beats."""
        running = bool(self.report) and self._process is not None and self._process.poll() is None
        return running and not self.hangs

    @property
    def hangs(self) -> bool:
        """Whether a beat is without an echo for `HUNG_S`."""
        return self._owed_s is not None and now_s() - self._owed_s > HUNG_S

    async def start(self) -> bool:
        """Start it anew and wait until it is ready; False where it does not become so."""
        process = await asyncio.to_thread(self._anew, not self.alive)
        loop = asyncio.get_running_loop()
        said: asyncio.Future[str] = loop.create_future()
        output, given = process.stdout, process.stdin
        assert output is not None
        assert given is not None
        with contextlib.suppress(OSError):  # it has ended already
            given.write(self._told)
            given.flush()

        def listen() -> None:
            line = output.readline()
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(tell, line.decode("utf-8", "replace").strip())
            while output.read(1):
                self._owed_s = None
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(gone)

        def gone() -> None:
            if self._process is process and self.report:
                self.report = ""
                self.ended()

        def tell(line: str) -> None:
            if not said.done():
                said.set_result(line)

        threading.Thread(target=listen, name="watchdog-echo", daemon=True).start()
        try:
            async with asyncio.timeout(READY_S):
                line = await said
        except TimeoutError:
            line = ""
        if not line.startswith(READY.decode()):
            self.close()
            return False
        self.report, self._owed_s = line, None
        return True

    def _anew(self, at_once: bool) -> subprocess.Popen[bytes]:
        self.close(at_once=at_once)
        self._process = self._spawned()
        return self._process

    def _spawned(self) -> subprocess.Popen[bytes]:
        """In a group of its own: Ctrl-C in the node's window is not for it."""
        pipe = subprocess.PIPE
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP
            return subprocess.Popen(self._command, stdin=pipe, stdout=pipe, creationflags=flags)
        return subprocess.Popen(self._command, stdin=pipe, stdout=pipe, start_new_session=True)

    def beat(self) -> None:
        """Say that the node lives; nothing is written to one that does not read."""
        process = self._process
        if process is None or process.stdin is None or self._owed_s is not None:
            return
        self._owed_s = now_s()
        with contextlib.suppress(OSError, ValueError):
            process.stdin.write(BEAT)
            process.stdin.flush()

    def close(self, *, at_once: bool = False) -> None:
        """The node ends in good order: the watchdog leaves without doing anything; `at_once`: it is not waited for."""
        process, self._process = self._process, None
        self.report = ""
        if process is None:
            return
        if at_once:
            process.kill()
            process.wait()
            return
        with contextlib.suppress(OSError, ValueError):
            if process.stdin is not None:
                process.stdin.write(LEAVE)
                process.stdin.close()
        try:
            process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def first_line(beats: BinaryIO) -> bytes:
    """What the node tells its watchdog; not a byte beyond it is read."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(beats.fileno(), 1)
        if not more:
            break
        line += more
    return line


class NodeEnded:
    """The watchdog's end: waits until the node is gone.

    Args:
        beats: where the node's beats come from.
        echoes: where they are answered.
    """

    def __init__(self, beats: BinaryIO, echoes: BinaryIO, hung_s: float = HUNG_S) -> None:
        self._beats = beats.fileno()
        self._echoes = echoes
        self._hung_s = hung_s
        self._ended: asyncio.Future[str] | None = None
        self._beat_s = 0.0

    async def wait(self, on_ready: Callable[[], None]) -> str:
        """Why the node is taken for gone: ``died``, ``hangs``; ``left`` where it ended in good order."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._beat_s = now_s()
        threading.Thread(target=self._read, args=(loop,), name="watchdog-beats", daemon=True).start()
        on_ready()
        late = False
        while True:
            left_s = self._beat_s + self._hung_s - now_s()
            if left_s <= 0.0:
                if late or left_s > -BEAT_S:
                    return "hangs"
                left_s = 2 * BEAT_S  # this process was held up as well: what the node said meanwhile is read first
            late = left_s == 2 * BEAT_S
            await asyncio.wait((self._ended,), timeout=left_s)
            if self._ended.done():
                return self._ended.result()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        why = "died"
        while data := self._read_some():
            if LEAVE in data:
                why = "left"
                break
            with contextlib.suppress(OSError, ValueError):
                self._echoes.write(BEAT)
                self._echoes.flush()
            loop.call_soon_threadsafe(self._note)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._end, why)

    def _read_some(self) -> bytes:
        try:
            return os.read(self._beats, 4096)
        except OSError:
            return b""

    def _note(self) -> None:
        self._beat_s = now_s()

    def _end(self, why: str) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(why)


def end_process(process_id: int) -> None:
    """At once and for good: a node that hangs must not wake up and go on."""
    with contextlib.suppress(OSError):
        os.kill(process_id, 9)  # on Windows any number but those of Ctrl-C and Ctrl-Break ends the process
