"""The ear of a running run: JSON lines over loopback, so that an operator can speak to it from another shell.

The port and a random token stand in `RUN.parts/control.json`, readable by the owner only: who can't read that file
can't command the run. Each answer takes one round trip of a thread and never waits for the run itself.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryoctl.engine.operator import COMMANDS
from cryoctl.events import Event
from cryoctl.launch.control_client import CONTROL_FILE
from cryoctl.launch.request import Follower, Outlook
from cryoctl.launch.snapshot import Snapshot
from cryoctl.streaming.sink import Picture

Ask = Callable[..., None]

LONGEST_LINE = 65_536
LONGEST_NOTE = 2000
LONGEST_NAME = 100
_SAYS = {
    "pause": "the run pauses at the next boundary, with the beam blanked; a bias that is on goes off for good",
    "blank": "the beam is blanked now, and the run stands paused",
    "go": "the run goes on",
    "skip": "the target under way is skipped at the next checkpoint",
    "stop-after": "the run ends in good order after what is under way",
    "abort": "the beam is blanked now and the run ends in its safe state",
    "ack": "the alarm is acknowledged",
    "note": "the note stands in the run's events",
}
_OVER = "the run has ended and is safe; its file is being written"


class ControlServer(Follower):
    """A follower of the run that answers `tell` and `status`.

    Args:
        out: the folder of the run file; the head of the run tells its name.
        on_parts: told the run's `.parts` folder as soon as it is known.
    """

    def __init__(self, out: Path, on_parts: Callable[[Path], None] = lambda folder: None) -> None:
        self._out = out
        self._on_parts = on_parts
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._ask: Ask | None = None
        self._file: Path | None = None
        self._token = secrets.token_hex(16)
        self._server: socketserver.ThreadingTCPServer | None = None

    def listen(self, ask: Ask) -> None:
        """Give commands to this; before it they are refused."""
        self._ask = ask

    def named(self, run_file: Path) -> None:
        parts = run_file.with_suffix(".parts")
        with self._lock:
            self._snapshot.run, self._snapshot.run_file = run_file.stem, str(run_file)
            self._snapshot.step = "connecting"
        self._on_parts(parts)
        if parts.is_dir():
            self._open(parts)

    def begin(self, head: Mapping[str, Any], outlook: Outlook) -> None:
        run_file = Path(str(head.get("run_file") or self._out / f"{head.get('run', 'run')}.nxs"))
        if self._server is None:
            self.named(run_file)
        with self._lock:
            self._snapshot.begin(head, outlook)
            self._snapshot.run_file = str(run_file)

    def event(self, event: Event) -> None:
        with self._lock:
            self._snapshot.event(event)

    def picture(self, picture: Picture) -> None:
        """Nothing: a frame is told as an event as well."""

    def end(self, summary: Mapping[str, Any]) -> None:
        with self._lock:
            self._snapshot.end(summary)
        self.close()

    def close(self) -> None:
        """Stop listening and remove the file; may be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.unlink()

    def answer(self, line: bytes) -> dict[str, Any]:
        """The answer to one line of the protocol."""
        try:
            asked: Any = json.loads(line)
        except ValueError:
            return _no("not a line of JSON")
        if not isinstance(asked, dict) or not hmac.compare_digest(str(asked.get("token", "")).encode(), self._key):
            return _no("the token is not that of this run")
        command, text = str(asked.get("command", "")), str(asked.get("text", ""))[:LONGEST_NOTE]
        if command == "status":
            with self._lock:
                return {"ok": True, **self._snapshot.plain()}
        if command not in COMMANDS:
            return _no(f"command: {command[:40]!r} is not one of {', '.join(COMMANDS)}")
        if self._ask is None:
            return _no("the run does not listen yet; ask again in a moment")
        with self._lock:
            now = self._snapshot
            over, alarm, connecting = now.over, now.alarm, not now.state and now.status == "preparing"
        if over:
            return {"ok": True, "command": command, "message": _OVER} if command == "abort" else _no(_OVER)
        if command == "ack" and not alarm:
            return _no("there is no alarm to acknowledge")
        source, who = (str(asked.get(key, ""))[:LONGEST_NAME] for key in ("source", "who"))
        self._ask(command, source or "tell", text, who)
        says = "the run pauses before its first step" if connecting and command == "pause" else _SAYS[command]
        return {"ok": True, "command": command, "message": says}

    @property
    def _key(self) -> bytes:
        return self._token.encode()

    def _open(self, parts: Path) -> None:
        answer = self.answer

        class Talk(socketserver.StreamRequestHandler):
            timeout = 10.0

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    while line := self.rfile.readline(LONGEST_LINE):
                        self.wfile.write((json.dumps(answer(line)) + "\n").encode())

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 64
            allow_reuse_address = os.name != "nt"

        try:
            server = Server(("127.0.0.1", 0), Talk)
        except OSError:
            return  # no loopback (a locked-down sandbox): the run does not need it
        self._server = server
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="cryoctl-control", daemon=True
        ).start()
        said = {
            "port": server.server_address[1],
            "token": self._token,
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }
        file = parts / CONTROL_FILE
        try:
            _write_private(file, json.dumps(said))
            self._file = file
        except OSError:
            self.close()


def _write_private(file: Path, text: str) -> None:
    """Whole or not at all, and nobody else's to read at any moment."""
    fresh = file.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)
    os.replace(fresh, file)


def _no(message: str) -> dict[str, Any]:
    return {"ok": False, "message": message}
