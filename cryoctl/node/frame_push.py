"""Frames over a connection of their own, from a node to the one runner that has the lease: ZeroMQ PUSH to PULL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import zmq

from cryoctl.node.keys import KeyFolder
from cryoctl.node.messages import LARGEST_REPLY
from cryoctl.node.sockets import HIGH_WATER, Reading, event_of, monitor_of

FRAMES_DOMAIN = b"cryoctl-frames:"
"""Of authentication, followed by the one public key (hex) that may connect."""
CONNECTED_S = 2.0
LOOK_S = 0.01
TOKEN = 0
"""Number of the message by which the runner sees that this connection reaches it; frames count from 1."""


class PushEnd:
    """The node's. Args: `pair` its keys, `key` the runner's public key (hex); None and empty where there are none."""

    def __init__(self, context: Any, host: str, pair: tuple[bytes, bytes] | None, key: str) -> None:
        socket = self._socket = context.socket(zmq.PUSH)
        socket.linger, socket.sndhwm = 0, HIGH_WATER
        if pair is not None:
            socket.curve_server = True
            socket.curve_publickey, socket.curve_secretkey = pair
            socket.zap_domain = FRAMES_DOMAIN + key.encode()
        try:
            socket.bind(f"tcp://{host}:*")
        except zmq.ZMQError:
            socket.close()
            raise
        endpoint = cast(bytes, socket.last_endpoint).decode().rstrip("\x00")
        self.port = int(endpoint.rpartition(":")[2])

    async def greet(self, token: str) -> None:
        """Send the token once somebody is connected; gives up after `CONNECTED_S`."""
        for _ in range(round(CONNECTED_S / LOOK_S)):
            if self.send(TOKEN, token.encode()):
                return
            await asyncio.sleep(LOOK_S)

    def send(self, number: int, data: bytes) -> bool:
        """False where nobody takes it now."""
        if self._socket.closed:
            return False
        try:
            self._socket.send_multipart([number.to_bytes(8, "little"), data], zmq.NOBLOCK, copy=False)
        except zmq.ZMQError:
            return False
        return True

    def close(self) -> None:
        """May be called twice."""
        self._socket.close()


class PullEnd:
    """The runner's: `arrived` is called with number and data, `lost` when the connection ended.

    Args:
        address: the node's; frames come from the same host, another port.
    """

    def __init__(self, address: str, port: int, keys: KeyFolder) -> None:
        self.arrived: Callable[[int, bytes], None] = lambda number, data: None
        self.lost: Callable[[], None] = lambda: None
        pair, server = keys.own_pair(), keys.server_key(address)
        self._context: zmq.Context[Any] = zmq.Context(io_threads=1)
        socket: Any = self._context.socket(zmq.PULL)
        self._socket = socket
        socket.linger, socket.rcvhwm, socket.maxmsgsize = 0, HIGH_WATER, LARGEST_REPLY
        if server is not None:
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair() if pair is None else pair
            socket.curve_serverkey = server
        monitor = monitor_of(socket)
        socket.connect(f"{address.rpartition(':')[0]}:{port}")
        self._readings = [Reading(socket, self._take), Reading(monitor, self._hear)]

    def close(self) -> None:
        """May be called twice."""
        for one in self._readings:
            one.close()
        if not self._socket.closed:
            with contextlib.suppress(zmq.ZMQError):
                self._socket.disable_monitor()
            self._context.destroy(linger=0)

    def _take(self, frames: Sequence[bytes]) -> None:
        if len(frames) == 2 and len(frames[0]) == 8:
            self.arrived(int.from_bytes(frames[0], "little"), frames[1])

    def _hear(self, frames: Sequence[bytes]) -> None:
        if event_of(frames)[0] == zmq.EVENT_DISCONNECTED:
            self.lost()
