"""The runner's heartbeat from a thread with a connection of its own: it goes on while the runner's loop is busy.

It tells the node that the process and the network live. That the loop lives as well is told by the loop's own beats,
for which the node has more patience: an exposure that nobody looks after ends by its permit.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import zmq

from cryoctl.node.dealer import connecting
from cryoctl.node.keys import KeyFolder
from cryoctl.node.link import HELLO_S
from cryoctl.node.messages import LARGEST_REPLY, pack, unpack


class Heart:
    """Beats from `start` to `close`; once its connection has ended it is silent. `secret` proves whose heart it is."""

    def __init__(self, address: str, keys: KeyFolder, where: str, secret: str, every_s: float) -> None:
        self._address = address
        self._pair, self._server = keys.own_pair(), keys.server_key(address)
        self._where = where
        self._secret = secret
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node-heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """May be called twice; does not wait."""
        self._stop.set()

    def _run(self) -> None:
        context: zmq.Context[Any] = zmq.Context(io_threads=1)
        socket: Any = context.socket(zmq.DEALER)
        try:
            connecting(socket, self._pair, self._server)
            socket.connect(self._address)
            socket.send_multipart(pack({"n": 1, "do": "node.hello", "with": {"where": self._where}}))
            if not socket.poll(HELLO_S * 1000):
                return
            greeting, _ = unpack(socket.recv_multipart(), LARGEST_REPLY)
            told: Any = greeting.get("is")
            session = str(told["session"])
            number = 1
            while not self._stop.is_set():
                number += 1
                beat = {"n": number, "session": session, "do": "node.beat", "with": {"secret": self._secret}}
                socket.send_multipart(pack(beat), zmq.NOBLOCK)
                while socket.poll(0):
                    socket.recv_multipart()
                self._stop.wait(self._every_s)
        except (zmq.ZMQError, KeyError, TypeError, ValueError):
            return  # the node takes the silence for what it is
        finally:
            with contextlib.suppress(zmq.ZMQError):
                socket.disable_monitor()
            context.destroy(linger=0)
