"""An HTTP server that speaks as temscript's does, on the run's own loop: one request after another, each a connection.

From temscript 2.1: GET and PUT below /v1/, JSON bodies, pictures packed as base64, gzip above 256 bytes where the
client takes it, 204 where a call gives nothing, 404 for a name that there is not, 500 with the reason for all else.
Whoever asks waits for the answer, in virtual time as well, which passes meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import numpy as np

from cryoctl.clock import let_time_pass
from cryoctl.errors import ConnectionLost, NoAnswer
from cryoctl_simulators.wire.line_faults import Bent

Answer = Callable[[str, str, Mapping[str, list[str]], Any], Awaitable[Any]]
"""Method, end point, query and decoded body to what is sent back, None for nothing. `ConnectionLost` cuts the
connection, `NoAnswer` leaves whoever asked without an answer."""

Bend = Callable[[str, bytes], Bent]
"""End point and reply to what the line makes of it."""

_GZIP_ABOVE = 256
_LARGEST_BODY = 4096
_WORDS = {200: "OK", 204: "No Content", 404: "Not Found", 500: "Internal Server Error"}


class TemscriptServer:
    """Made, it is bound to a port of loopback and answers nothing; `attach`, in the running loop, begins."""

    def __init__(self, answer: Answer, bend: Bend) -> None:
        self._answer = answer
        self._bend = bend
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._turn = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Task[asyncio.Server] | None = None
        self._serving: set[asyncio.Task[Any]] = set()

    def attach(self) -> None:
        """May be called again, on another loop as well when the one before has ended."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._turn = loop, asyncio.Lock()
            self._server = asyncio.create_task(asyncio.start_server(self._connected, sock=self._socket.dup()))

    def close(self) -> None:
        """May be called when its loop has ended."""
        with contextlib.suppress(RuntimeError):
            for task in self._serving:
                task.cancel()
            if self._server is not None and self._server.done() and not self._server.cancelled():
                self._server.result().close()
            elif self._server is not None:
                self._server.cancel()
        self._socket.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # unplugged, by either side
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:])}
        length = int(headers.get("content-length", "0"))
        body = await reader.readexactly(min(length, _LARGEST_BODY))
        answering = asyncio.create_task(self._answered(method, target, body))
        self._serving.add(answering)
        answering.add_done_callback(self._done)
        gone = asyncio.create_task(reader.read(1))
        try:
            with let_time_pass():
                await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
                if answering.done() and isinstance(answering.exception(), NoAnswer):
                    await gone
            if not answering.done() or isinstance(answering.exception(), NoAnswer):
                return  # nobody waits any more; what was asked is carried to its end
            code, value = answering.result()
        except ConnectionLost:
            _cut(writer)
            return
        finally:
            gone.cancel()
        reply = _response(code, value, "gzip" in headers.get("accept-encoding", ""))
        await self._send(self._bend(urlparse(target).path, reply), reader, writer)

    async def _send(self, way: Bent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if way.reset:
            _cut(writer)
            return
        if way.late_s or not way.pieces:
            gone = asyncio.create_task(reader.read(1))
            try:
                with let_time_pass():
                    await asyncio.wait((gone,), timeout=way.late_s if way.pieces else None)
            finally:
                gone.cancel()
        for piece in way.pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    def _done(self, answering: asyncio.Task[tuple[int, Any]]) -> None:
        self._serving.discard(answering)
        if not answering.cancelled():
            answering.exception()

    async def _answered(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        async with self._turn:
            try:
                url = urlparse(target)
                if not url.path.startswith("/v1/"):
                    raise KeyError(f"Unknown API version: {target}")
                decoded = json.loads(body.decode("utf-8")) if method == "PUT" else None
                value = await self._answer(method, unquote(url.path[4:]), parse_qs(url.query), decoded)
            except (ConnectionLost, NoAnswer):
                raise
            except KeyError as error:
                return 404, str(error)
            except Exception as error:
                return 500, f"Error handling request '{target}': {error}"
            return (204 if value is None else 200), value


def _cut(writer: asyncio.StreamWriter) -> None:
    """The connection is reset."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _response(code: int, value: Any, zipped: bool) -> bytes:
    reason = _WORDS[code] if code < 400 else " ".join(str(value).split())
    head, body = [f"HTTP/1.0 {code} {reason}", "Server: BaseHTTP/0.6 Python/3.11"], b""
    if code == 200:
        body = json.dumps(value).encode("utf-8")
        if zipped and len(body) > _GZIP_ABOVE:
            body = gzip.compress(body, compresslevel=5)
            head.append("Content-Encoding: gzip")
        head += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    elif code >= 400:
        body = f"<p>Error code: {code}</p>".encode()
        head += ["Connection: close", "Content-Type: text/html;charset=utf-8", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + body


def packed(picture: np.ndarray[Any, Any]) -> dict[str, Any]:
    """A picture [y, x] as temscript sends it."""
    little = np.ascontiguousarray(picture, dtype=picture.dtype.newbyteorder("<"))
    return {
        "width": picture.shape[1],
        "height": picture.shape[0],
        "type": picture.dtype.name.upper(),
        "endianness": "LITTLE",
        "encoding": "BASE64",
        "data": base64.b64encode(little.tobytes()).decode("ascii"),
    }
