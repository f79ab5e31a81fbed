"""One question to a node, without a loop: what `run`, `identify` and `safe` ask before or beside a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

import zmq

from cryoctl.errors import BadInput, CryoctlError, DeviceError
from cryoctl.node.dealer import connecting
from cryoctl.node.keys import KeyFolder, key_folder
from cryoctl.node.link import HELLO_S, error_of
from cryoctl.node.messages import LARGEST_REPLY, pack, unpack
from cryoctl.node.sockets import event_of, refusal


class NodeNotReached(BadInput):
    """Nobody answers at the address, or it refuses this computer; one sentence."""


def ask_node(
    address: str, do: str, where: str, given: Mapping[str, Any] | None = None, *, patience_s: float = HELLO_S
) -> Mapping[str, Any]:
    """Greet, ask one of the node's own verbs, and go.

    Args:
        where: how the node calls this end.
        patience_s: how long the answer may take; the greeting has `HELLO_S`.

    Raises:
        NodeNotReached: before anything was asked.
        CryoctlError: as the node answers.
    """
    keys = KeyFolder(key_folder())
    pair, server = keys.own_pair(), keys.server_key(address)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
    socket = context.socket(zmq.DEALER)
    try:
        monitor = connecting(socket, pair, server)
        try:
            socket.connect(address)
        except zmq.ZMQError as error:
            raise NodeNotReached(f"node {address}: no such host ({error.strerror}); check the address") from error
        asking = _Asking(address, socket, monitor, knows_node=server is not None)
        greeting = asking.ask(1, "", "node.hello", {"where": where}, HELLO_S)
        answer = asking.ask(2, str(greeting.get("session", "")), do, given or {}, patience_s)
        return {**answer, "greeting": greeting}
    finally:
        socket.disable_monitor()
        context.destroy(linger=0)


class _Asking:
    def __init__(self, address: str, socket: Any, monitor: Any, *, knows_node: bool) -> None:
        self._address = address
        self._socket = socket
        self._monitor = monitor
        self._knows_node = knows_node

    def ask(self, number: int, session: str, do: str, given: Mapping[str, Any], patience_s: float) -> dict[str, Any]:
        self._socket.send_multipart(pack({"n": number, "session": session, "do": do, "with": dict(given)}))
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        deadline_s = time.monotonic() + patience_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            ready = dict(poller.poll(int(left_s * 1000) + 1))
            if self._socket in ready:
                header, _ = unpack(self._socket.recv_multipart(), LARGEST_REPLY)
                if header.get("n") == number:
                    return _answer_of(header)
            elif self._monitor in ready:
                self._look(event_of(self._monitor.recv_multipart())[0], number)
        raise self._not_reached(f"nobody answers within {patience_s:g} s; see that `cryoctl serve` runs there", number)

    def _look(self, event: int, number: int) -> None:
        why = refusal(event, knows_node=self._knows_node)
        if why:
            raise self._not_reached(why, number)

    def _not_reached(self, why: str, number: int) -> CryoctlError:
        sentence = f"node {self._address}: {why}"
        return NodeNotReached(sentence) if number == 1 else DeviceError(sentence)


def _answer_of(header: Mapping[str, Any]) -> dict[str, Any]:
    if "error" in header:
        raise error_of(str(header["error"]), str(header.get("message", "")))
    found = header.get("is")
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {"is": found}
