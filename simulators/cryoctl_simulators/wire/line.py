"""One client's connection to an emulated instrument."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

_AT_ONCE = 65536


class Terminal:
    """The instrument's end of a pseudo-terminal, used as a socket is."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        os.set_blocking(handle, False)

    def fileno(self) -> int:
        return self._handle

    def recv(self, most: int) -> bytes:
        return os.read(self._handle, most)

    def send(self, data: bytes) -> int:
        return os.write(self._handle, data)

    def close(self) -> None:
        os.close(self._handle)


class Line:
    """On the running loop; `received` are bytes that no whole command has been made of yet.

    Attributes:
        session: what the instrument keeps for this connection alone (whether it is logged in).
    """

    def __init__(
        self, channel: socket.socket | Terminal, on_bytes: Callable[[Line], None], on_end: Callable[[Line], None]
    ) -> None:
        self.received = b""
        self.session: dict[str, Any] = {}
        self._channel = channel
        self._ended = False
        self._on_bytes = on_bytes
        self._on_end = on_end
        self._unsent = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(channel.fileno(), self._readable)

    @property
    def is_open(self) -> bool:
        return self._handle >= 0

    def send(self, data: bytes) -> None:
        if self._ended:
            return
        waiting = bool(self._unsent)
        self._unsent += data
        if not waiting:
            self._writable()

    def end(self) -> None:
        """Close it from this side; may be called twice."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(RuntimeError):  # its loop may have ended before it
            self._loop.remove_reader(self._channel.fileno())
            self._loop.remove_writer(self._channel.fileno())
        self._channel.close()
        self._on_end(self)

    def _readable(self) -> None:
        try:
            data = self._channel.recv(_AT_ONCE)
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
            sent = self._channel.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.end()
            return
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._loop.add_writer(self._channel.fileno(), self._writable)
        else:
            self._loop.remove_writer(self._channel.fileno())
