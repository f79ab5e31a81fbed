"""Emulated relay board in a source's HI line: a line in, a line out; open, nothing reaches what is connected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cryoctl_simulators.wire.emulator import Wire
from cryoctl_simulators.wire.line import Line
from cryoctl_simulators.wire.sockets import PtySocket, TcpSocket


class EmulatedRelay:
    """
    Args:
        opens: called with whether it is open whenever it switches; False where it can't.
    """

    def __init__(self, wire: Wire, opens: Callable[[bool], bool]) -> None:
        self._socket = TcpSocket() if wire == "tcp" else PtySocket()
        self._opens = opens
        self.is_open = True

    def settings(self) -> Mapping[str, Any]:
        """What a driver's `cut_off` has to be to reach it."""
        return {"port": self._socket.url}

    def attach(self) -> None:
        self._socket.attach(lambda line: None, self._received)

    def close(self) -> None:
        self._socket.close()

    def _received(self, line: Line) -> None:
        while b"\n" in line.received:
            command, _, line.received = line.received.partition(b"\n")
            match command.decode("latin-1").strip():
                case "relay off 0" | "relay on 0" as told:
                    wanted = told == "relay off 0"
                    self.is_open = wanted if self._opens(wanted) else self.is_open
                case "relay read 0":
                    line.send(b"off\n" if self.is_open else b"on\n")
                case _:
                    pass
