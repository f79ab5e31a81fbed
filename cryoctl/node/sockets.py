"""What both ends do with ZeroMQ: sockets that an event loop reads, monitors, and what a failed handshake means."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import zmq
from zmq.utils.monitor import parse_monitor_message

DOMAIN = b"cryoctl"
"""Of authentication; one that is named at one end and `*` at the other does not match."""
HIGH_WATER = 1000
MOST_AT_ONCE = 100

_WATCHED = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_CONNECTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
)


def monitor_of(socket: Any) -> Any:
    """A socket that tells the connections of another."""
    return socket.get_monitor_socket(_WATCHED)


def event_of(frames: Any) -> tuple[int, int]:
    """Event and value of a monitor's message."""
    told = cast("dict[str, Any]", parse_monitor_message(frames))
    return int(told["event"]), int(told["value"])


class Reading:
    """Hands the messages of a socket to `take` as they come, in the running loop, which has to be a selector's.

    libzmq's descriptor tells only that something changed, and sending takes that notice away as well: so all that is
    there is read each time, and once more after each `nudge`.

    Args:
        first: called before each batch.
    """

    def __init__(
        self,
        socket: Any,
        take: Callable[[Sequence[Any]], None],
        *,
        copy: bool = True,
        first: Callable[[], None] = lambda: None,
    ) -> None:
        self._socket = socket
        self._take = take
        self._copy = copy
        self._first = first
        self._loop = asyncio.get_running_loop()
        self._descriptor = cast(int, socket.getsockopt(zmq.FD))
        self._nudged = False
        self._loop.add_reader(self._descriptor, self.drain)
        self.nudge()

    def nudge(self) -> None:
        """After something was sent."""
        if not self._nudged and self._socket is not None:
            self._nudged = True
            self._loop.call_soon(self.drain)

    def drain(self) -> None:
        """Take what has come, at most `MOST_AT_ONCE` messages, the rest in the next turn of the loop."""
        self._nudged = False
        if self._socket is None:
            return
        self._first()
        for _ in range(MOST_AT_ONCE):
            if self._socket is None:  # closed by what it was told
                return
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=self._copy)
            except zmq.ZMQError:
                return
            self._take(frames)
        self.nudge()

    def close(self) -> None:
        """May be called twice; the socket itself is left to whoever made it."""
        if self._socket is not None:
            self._socket = None
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                self._loop.remove_reader(self._descriptor)


def refusal(event: int, *, knows_node: bool) -> str:
    """Why a connection failed, as far as the runner's end can tell; empty for an event that is no failure.

    Args:
        knows_node: whether the node's public key is known, so that the connection was made with keys.
    """
    if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        return (
            "this computer's key is not allowed there; `cryoctl keys list` shows it, and who keeps the node allows it "
            "with `cryoctl keys allow`"
        )
    if event in (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL):  # either, by who is first
        if knows_node:
            return "it has another key than is known here, or none; compare `cryoctl keys list` there, then `keys know`"
        return "it wants keys and its own is not known here, or is no node; `cryoctl keys know` takes its public key"
    if event == zmq.EVENT_CLOSED:
        return "nobody listens there; see that `cryoctl serve` runs, and on which port"
    if event == zmq.EVENT_DISCONNECTED:
        return "the connection ended; see if the node still runs"
    return ""
