"""The node's socket: ZeroMQ ROUTER with or without keys, its monitor, and the desk behind it.

Each message tells which connection it came over, and the monitor tells when that ends: of a runner that is killed the
kernel ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import zmq

from cryoctl.errors import BadInput, DeviceError
from cryoctl.node.address import is_loopback
from cryoctl.node.audit import Audit
from cryoctl.node.codec import Raw
from cryoctl.node.desk import NodeDesk
from cryoctl.node.frame_push import FRAMES_DOMAIN, PushEnd
from cryoctl.node.keys import KeyFolder
from cryoctl.node.roles import Person, Role
from cryoctl.node.sockets import DOMAIN, HIGH_WATER, Reading, event_of, monitor_of

LARGEST_FRAME = 16_000_000
"""A frame beyond this ends its connection before it is read; smaller messages are refused with an answer."""
KEEPALIVE_S = (10, 5)
"""Of a silent connection: the first question of the system, and the next ones."""
_ZAP = "inproc://zeromq.zap.01"
"""Where libzmq asks about keys (RFC 27)."""


class Router:
    """Serves one desk. Args: `keys` None: everyone on this computer may control, and nobody else can connect.

    Raises:
        BadInput: an address that is taken, not there, or open to others without keys.
    """

    def __init__(self, desk: NodeDesk, host: str, port: int, keys: KeyFolder | None, audit: Audit) -> None:
        if keys is None and not is_loopback(host):
            raise BadInput(
                f"--address {host}: open to other computers only with keys; make them with `cryoctl keys new` and "
                "`cryoctl keys allow`, or serve on 127.0.0.1"
            )
        self._desk = desk
        self._host = host
        self._keys = keys
        self._audit = audit
        self._context: zmq.Context[Any] = zmq.Context(io_threads=1)
        self._watching: asyncio.Task[None] | None = None
        self._readings: list[Reading] = []
        try:
            self._zap = self._authenticator() if keys is not None else None
            self._socket = self._bound(host, port)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        endpoint = cast(bytes, self._socket.last_endpoint).decode().rstrip("\x00")
        self.port = int(endpoint.rpartition(":")[2])
        self.address = f"tcp://{host}:{self.port}"
        desk.send = self._send
        desk.own.connect_frames = self._frames_to

    def _bound(self, host: str, port: int) -> Any:
        socket = self._context.socket(zmq.ROUTER)
        socket.linger, socket.sndhwm, socket.rcvhwm = 0, HIGH_WATER, HIGH_WATER
        socket.maxmsgsize = LARGEST_FRAME
        socket.router_handover = False
        socket.tcp_keepalive, socket.tcp_keepalive_idle, socket.tcp_keepalive_intvl = 1, *KEEPALIVE_S
        socket.tcp_keepalive_cnt = 3  # what a session whose network was cut still holds goes with its connection
        if self._keys is not None:
            pair = self._keys.own_pair()
            if pair is None:
                raise BadInput(f"--keys {self._keys.folder}: there is no pair yet; make one with `cryoctl keys new`")
            socket.curve_server = True
            socket.curve_publickey, socket.curve_secretkey = pair
            socket.zap_domain = DOMAIN
        self._monitor = monitor_of(socket)
        try:
            socket.bind(f"tcp://{host}:{port}")
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise BadInput(
                    f"--port {port}: another process listens there; end it, or choose another port"
                ) from error
            raise BadInput(
                f"--address {host}, --port {port}: can't be listened on ({error.strerror}); choose another"
            ) from error
        return socket

    def _authenticator(self) -> Any:
        zap = self._context.socket(zmq.REP)
        zap.linger = 0
        zap.bind(_ZAP)
        return zap

    def start(self) -> None:
        """Begin to serve, in the running loop."""
        # Ends come before messages: the number of a connection is given again once it has ended.
        ends = Reading(self._monitor, self._hear)
        messages = Reading(self._socket, self._take, copy=False, first=ends.drain)
        self._readings = [ends, messages]
        if self._zap is not None:
            self._readings.append(Reading(self._zap, self._authenticate))
        self._watching = asyncio.create_task(self._desk.securing.watch_heartbeats(self._catch_up))

    def close(self) -> None:
        """May be called twice."""
        if self._watching is not None:
            self._watching.cancel()
        for one in self._readings:
            one.close()
        self._readings = []
        self._desk.send = lambda peer, frames: None
        self._desk.own.connect_frames = None
        self._desk.end_sessions()
        if not self._socket.closed:
            with contextlib.suppress(zmq.ZMQError):
                self._socket.disable_monitor()
            self._context.destroy(linger=200)

    def _frames_to(self, person: Person) -> PushEnd:
        """Raises `DeviceError` where no port is to be had."""
        pair = None if self._keys is None else self._keys.own_pair()
        try:
            return PushEnd(self._context, self._host, pair, person.key)
        except zmq.ZMQError as error:
            raise DeviceError(f"node.frames: no port for frames ({error.strerror})") from error

    def _catch_up(self) -> None:
        for one in self._readings:
            one.drain()

    def _hear(self, frames: Sequence[bytes]) -> None:
        event, value = event_of(frames)
        if event == zmq.EVENT_DISCONNECTED:
            self._desk.gone(value)
        elif event in (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL):
            self._audit.note("refused", "unknown", "a connection that was no handshake of a runner")

    def _take(self, frames: Sequence[Any]) -> None:
        identity, *rest = frames
        person = self._person_of(identity)
        if person is None:
            self._audit.note("refused", "unknown", "a message of a key that was revoked")
        else:
            self._desk.received(identity.bytes, [one.bytes for one in rest], person, int(identity.get(zmq.SRCFD)))

    def _person_of(self, frame: Any) -> Person | None:
        if self._keys is None:
            return Person("local", Role.ADMIN)
        try:
            return self._allowed().get(str(frame.get("User-Id")))
        except zmq.ZMQError:
            return None

    def _allowed(self) -> Mapping[str, Person]:
        assert self._keys is not None
        try:
            return self._keys.allowed()
        except BadInput as error:  # a file of keys that can't be read lets nobody in
            self._audit.note("refused", "node", error.message)
            return {}

    def _send(self, identity: bytes, frames: list[Raw]) -> None:
        with contextlib.suppress(zmq.ZMQError):  # a peer that is gone, or takes nothing any more
            self._socket.send_multipart([identity, *frames], zmq.NOBLOCK)
        for one in self._readings:
            one.nudge()

    def _authenticate(self, asked: Sequence[bytes]) -> None:
        """Answer libzmq's question about a key (RFC 27)."""
        request = asked[1] if len(asked) > 1 else b""
        key = asked[6].hex() if len(asked) == 7 and asked[5] == b"CURVE" else ""
        if key in self._allowed() and asked[2] in (DOMAIN, FRAMES_DOMAIN + key.encode()):
            answer = [b"200", b"OK", key.encode()]
        else:
            where = asked[3].decode("ascii", "replace") if len(asked) > 3 else ""
            self._audit.note("refused", "unknown", "a key that is not allowed", key=key, address=where)
            answer = [b"400", b"this key is not allowed", b""]
        assert self._zap is not None
        self._zap.send_multipart([b"1.0", request, *answer, b""])
        for one in self._readings:
            one.nudge()
