"""Memory that node and runner share on one computer: slots that the node fills and the runner reads.

Whoever makes a block of shared memory has it removed: the node takes its name away as soon as the runner has it open,
and the system keeps it until both are gone, however they went. For the moment before, Python's resource tracker, a
process that outlives a killed node, removes what it left. On Windows a block is gone with the last that has it open.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import threading
from collections.abc import Generator, Iterable
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from typing import Any, cast

from cryoctl.node.checksum import checksum
from cryoctl.node.codec import Raw

NAMES = "cryoctl-"
"""Names of blocks begin so, with the process that made it after; some systems allow 30 characters."""
GRAIN = 65536
"""Slots have a multiple of it, in bytes."""
_attaching = threading.Lock()


class Slot:
    """One block. Raises `OSError` where the system has no room: it is reserved, not only promised."""

    def __init__(self, size: int) -> None:
        self._block = SharedMemory(f"{NAMES}{os.getpid()}-{secrets.token_hex(5)}", create=True, size=size)
        self._named = True
        self.size = size
        self.busy = False
        reserve: Any = getattr(os, "posix_fallocate", None)
        if reserve is not None:
            try:
                reserve(cast(Any, self._block)._fd, 0, size)
            except OSError:
                self.close()
                raise

    @property
    def name(self) -> str:
        return self._block.name

    def fill(self, data: Raw) -> int:
        """Put data in; the checksum of what is there then."""
        view = self._block.buf
        assert view is not None
        view[: len(data)] = data
        return checksum(view[: len(data)])

    def content(self, size: int) -> bytes:
        view = self._block.buf
        assert view is not None
        return bytes(view[:size])

    def hide(self) -> None:
        """Take its name away: nobody else opens it, and nothing is left behind. May be called twice."""
        if self._named:
            self._named = False
            with contextlib.suppress(OSError):
                self._block.unlink()

    def close(self) -> None:
        """May be called twice."""
        self.hide()
        self._block.close()


class Slots:
    """The node's end: at most `limit` bytes in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._slots: list[Slot] = []
        self.gone: list[str] = []
        """Names of slots that were given up since this list was emptied: the runner is to let go of them."""

    def take(self, size: int) -> Slot | None:
        """The smallest that is free and large enough, else a new one; None where there is no room."""
        fits = [one for one in self._slots if not one.busy and one.size >= size]
        slot = min(fits, key=lambda one: one.size) if fits else self._made(size)
        if slot is not None:
            slot.busy = True
        return slot

    def _made(self, size: int) -> Slot | None:
        whole = -(-size // GRAIN) * GRAIN
        for free in [one for one in self._slots if not one.busy]:
            if sum(one.size for one in self._slots) + whole <= self._limit:
                break
            self._slots.remove(free)
            self.gone.append(free.name)
            free.close()
        if sum(one.size for one in self._slots) + whole > self._limit:
            return None
        try:
            slot = Slot(whole)
        except OSError:
            return None
        self._slots.append(slot)
        return slot

    def hide(self) -> None:
        """All that are there now."""
        for one in self._slots:
            one.hide()

    def close(self) -> None:
        """May be called twice."""
        for one in self._slots:
            one.close()
        self._slots = []


class SlotReader:
    """The runner's end."""

    def __init__(self) -> None:
        self._open: dict[str, SharedMemory] = {}

    def open(self, name: str) -> SharedMemory:
        """Raises `OSError` where there is no such block here."""
        block = self._open.get(name)
        if block is None:
            block = self._open[name] = _attached(name)
        return block

    def read(self, name: str, size: int) -> bytearray:
        """A copy. Raises `OSError` where there is no such block here, or a smaller one."""
        view = self.open(name).buf
        if view is None or len(view) < size:
            raise OSError(f"shared memory {name}: smaller than {size} bytes")
        return bytearray(view[:size])

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            block = self._open.pop(name, None)
            if block is not None:
                block.close()

    def close(self) -> None:
        """May be called twice."""
        self.forget(tuple(self._open))


def _attached(name: str) -> SharedMemory:
    """Opened by one who did not make it. Before Python 3.13 its resource tracker would remove it when this ends."""
    try:
        if sys.version_info >= (3, 13):
            return SharedMemory(name, track=False)
        with _untracked():
            return SharedMemory(name)
    except ValueError as error:  # an empty block, or a name that is none
        raise OSError(f"shared memory {name[:40]}: {error}") from error


@contextlib.contextmanager
def _untracked() -> Generator[None]:
    tracker = cast(Any, resource_tracker)
    with _attaching:
        register = tracker.register

        def pass_over(name: str, kind: str) -> None:
            if kind != "shared_memory":
                register(name, kind)

        tracker.register = pass_over
        try:
            yield
        finally:
            tracker.register = register
