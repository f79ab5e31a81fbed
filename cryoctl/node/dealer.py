"""A link over the network: a ZeroMQ socket whose monitor says why a connection ended or was refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from cryoctl.node.codec import Raw
from cryoctl.node.frame_push import PullEnd
from cryoctl.node.keys import KeyFolder
from cryoctl.node.messages import LARGEST_REPLY
from cryoctl.node.sockets import HIGH_WATER, Reading, event_of, monitor_of, refusal


class DealerLink:
    """See `Link`. Args: `keys` where this end's pair and the nodes' keys are."""

    def __init__(self, address: str, keys: KeyFolder) -> None:
        self._address, self._keys = address, keys
        self._pair, self._server = keys.own_pair(), keys.server_key(address)
        self._context: zmq.Context[Any] | None = None
        self._socket: Any = None
        self._readings: list[Reading] = []
        self.receive: Callable[[Sequence[bytes]], None] = lambda frames: None
        self.lost: Callable[[str], None] = lambda why: None

    def open(self) -> None:
        context = self._context = zmq.Context(io_threads=1)
        socket: Any = context.socket(zmq.DEALER)
        self._socket = socket
        monitor = connecting(socket, self._pair, self._server)
        try:
            socket.connect(self._address)
        except zmq.ZMQError as error:
            self.lost(f"no such host ({error.strerror}); check the address")
            return
        self._readings = [Reading(socket, self._arrived), Reading(monitor, self._heard)]

    def send(self, frames: list[Raw]) -> None:
        """Never waits: a queue that is full belongs to a node that is gone."""
        if self._socket is None:
            return
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            self.lost("it takes no more messages; it or the network hangs")
        except zmq.ZMQError as error:
            self.lost(f"can't be spoken to ({error.strerror})")
        for one in self._readings:
            one.nudge()

    def frames_from(self, port: int) -> PullEnd:
        return PullEnd(self._address, port, self._keys)

    def close(self) -> None:
        for one in self._readings:
            one.close()
        self._readings = []
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(zmq.ZMQError):
                socket.disable_monitor()
        context, self._context = self._context, None
        if context is not None:
            context.destroy(linger=0)

    def _arrived(self, frames: Sequence[bytes]) -> None:
        self.receive(frames)

    def _heard(self, frames: Sequence[bytes]) -> None:
        why = refusal(event_of(frames)[0], knows_node=self._server is not None)
        if why:
            self.lost(why)


def connecting(socket: Any, pair: tuple[bytes, bytes] | None, server: bytes | None) -> Any:
    """Prepare a socket that is to connect once, with keys where the node's is known; gives its monitor.

    Without an own pair it takes one that nobody allows, so that the node says so.
    """
    socket.linger, socket.sndhwm, socket.rcvhwm = 0, HIGH_WATER, HIGH_WATER
    socket.maxmsgsize = LARGEST_REPLY
    socket.reconnect_ivl = -1  # a connection that ended is over: the node has made things safe
    if server is not None:
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair() if pair is None else pair
        socket.curve_serverkey = server
    return monitor_of(socket)
