"""Where an emulated instrument is plugged in: a TCP port on loopback, or a pseudo-terminal as a serial port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cryoctl.errors import InstrumentError
from cryoctl_simulators.wire.line import Line, Terminal

Opened = Callable[[Line], None]


class Socket(Protocol):
    """Bound when it is made; answers from `attach` on, which is called in the running loop."""

    @property
    def url(self) -> str: ...

    def attach(self, opened: Opened, on_bytes: Callable[[Line], None]) -> None: ...

    def reset(self) -> None:
        """Every connection is cut; new ones can be made."""
        ...

    def close(self) -> None: ...


class TcpSocket:
    def __init__(self, port: int = 0) -> None:
        self._server = socket.create_server(("127.0.0.1", port))
        self._server.setblocking(False)
        self._lines: list[Line] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"socket://127.0.0.1:{self._server.getsockname()[1]}"

    def attach(self, opened: Opened, on_bytes: Callable[[Line], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._server, self._accept, opened, on_bytes)

    def _accept(self, opened: Opened, on_bytes: Callable[[Line], None]) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._server.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setblocking(False)
            line = Line(client, on_bytes, self._lines.remove)
            self._lines.append(line)
            opened(line)

    def reset(self) -> None:
        for line in tuple(self._lines):
            line.end()

    def close(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._server)
        self.reset()
        self._server.close()


class PtySocket:
    """Its name stays when it is plugged in anew, as a name that udev gives does."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="cryoctl-")
        self._name = Path(self._folder.name) / "tty"
        self._line: Line | None = None
        self._slave = -1
        self._opened: Opened = lambda line: None
        self._on_bytes: Callable[[Line], None] = lambda line: None
        self._master = self._plug_in()

    @property
    def url(self) -> str:
        return str(self._name)

    def _plug_in(self) -> int:
        if sys.platform == "win32":
            raise InstrumentError("emulator.settings.wire: Windows has no pseudo-terminals; use tcp")
        else:  # noqa: RET506 - what a type checker for Windows never sees
            import pty
            import tty

            master, self._slave = pty.openpty()
            tty.setraw(self._slave)
        self._name.unlink(missing_ok=True)
        self._name.symlink_to(os.ttyname(self._slave))
        return master

    def attach(self, opened: Opened, on_bytes: Callable[[Line], None]) -> None:
        self._opened, self._on_bytes = opened, on_bytes
        if self._line is not None:  # of a loop that has ended
            self._unplug()
            self._master = self._plug_in()
        self._line = Line(Terminal(self._master), on_bytes, lambda line: None)
        opened(self._line)

    def reset(self) -> None:
        self._unplug()
        self._master = self._plug_in()
        self.attach(self._opened, self._on_bytes)

    def close(self) -> None:
        self._unplug()
        self._folder.cleanup()

    def _unplug(self) -> None:
        if self._line is not None:
            self._line.end()
        elif self._master >= 0:
            os.close(self._master)
        self._line, self._master = None, -1
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1
