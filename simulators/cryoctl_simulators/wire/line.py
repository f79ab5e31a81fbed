"""One client's connection to an emulated instrument."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any

_AT_ONCE = 65536


class Line:
    """On the running loop; `received` are bytes that no whole command has been made of yet.

    Attributes:
        session: what the instrument keeps for this connection alone (whether it is logged in).
    """

    def __init__(self, handle: int, on_bytes: Callable[[Line], None], on_end: Callable[[Line], None]) -> None:
        self.received = b""
        self.session: dict[str, Any] = {}
        self._handle = handle
        self._on_bytes = on_bytes
        self._on_end = on_end
        self._unsent = b""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(handle, False)
        self._loop.add_reader(handle, self._readable)

    @property
    def is_open(self) -> bool:
        return self._handle >= 0

    def send(self, data: bytes) -> None:
        if self._handle < 0:
            return
        waiting = bool(self._unsent)
        self._unsent += data
        if not waiting:
            self._writable()

    def end(self) -> None:
        """Close it from this side; may be called twice."""
        handle, self._handle = self._handle, -1
        if handle < 0:
            return
        with contextlib.suppress(RuntimeError):  # its loop may have ended before it
            self._loop.remove_reader(handle)
            self._loop.remove_writer(handle)
        os.close(handle)
        self._on_end(self)

    def _readable(self) -> None:
        try:
            data = os.read(self._handle, _AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end()
            return
        self.received += data
        self._on_bytes(self)

    def _writable(self) -> None:
        try:
            sent = os.write(self._handle, self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.end()
            return
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._loop.add_writer(self._handle, self._writable)
        else:
            self._loop.remove_writer(self._handle)
