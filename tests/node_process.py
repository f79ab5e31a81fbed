"""A node as a process of its own, a runner that exposes through it, and a network between them that can be cut."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cryoctl_simulators.world.world_file import WorldFile

PYTHON = [sys.executable]
FRAME_S = 6.0
"""One scan frame of the runner: whatever blanks earlier is no end of a frame."""


class NodeProcess:
    """`cryoctl serve` on a world file, in a session of its own, which it raises; a context manager."""

    def __init__(self, folder: Path, *options: str, instrument: str = "needle-holder") -> None:
        self.world = folder / "world"
        self.audit = folder / "audit.jsonl"
        command = ["-m", "cryoctl", "serve", instrument, "--port", "0", "--json", "--quiet"]
        command += ["--world", str(self.world), "--audit", str(self.audit), *options]
        self.process = subprocess.Popen(PYTHON + command, stdout=subprocess.PIPE, start_new_session=True)
        assert self.process.stdout is not None
        self.told: dict[str, Any] = json.loads(self.process.stdout.readline())

    @property
    def address(self) -> str:
        return str(self.told["address"])

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def kill(self) -> float:
        """Returns when (s, the clock of all processes)."""
        at_s = time.monotonic()
        self.process.send_signal(signal.SIGKILL)
        return at_s

    def stop_running(self) -> float:
        """It lives, and does nothing any more."""
        at_s = time.monotonic()
        self.process.send_signal(signal.SIGSTOP)
        return at_s

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.process.poll() is None:
                self.process.terminate()
                self.process.wait(30.0)
        self.end_watchdog()

    def end_watchdog(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(self.told["watchdog"]), signal.SIGKILL)


def blanking(world: Path) -> tuple[bool, list[tuple[float, bool]]]:
    """Whether the beam is blanked, and when it was opened (True) and blanked, by the clock of all processes."""
    file = WorldFile.open(world)
    beam, base_s = file.record["beam"], float(file.record["real_base_s"])
    log = np.array(file.arrays["blanking"][: beam["logged"]])
    return bool(beam["blanked"]), [(float(time_s) - base_s, bool(open_)) for time_s, open_ in log]


def wait_open(world: Path, since_s: float, within_s: float = 60.0) -> None:
    """Until a beam that was opened after `since_s` is open."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        with contextlib.suppress(Exception):
            blanked, log = blanking(world)
            if not blanked and log and log[-1][1] and log[-1][0] > since_s:
                return
        time.sleep(0.02)
    raise AssertionError("the beam was not opened")


def blanked_after(world: Path, at_s: float, within_s: float = 8.0) -> float:
    """Seconds from `at_s` until the beam was blanked; it was open then."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        with contextlib.suppress(KeyError, ValueError):
            blanked, log = blanking(world)
            later = [time_s for time_s, open_ in log if not open_ and time_s > at_s]
            before = [open_ for time_s, open_ in log if time_s <= at_s]
            assert before
            assert before[-1], "the beam was open at that moment"
            if blanked and later:
                return later[0] - at_s
        time.sleep(0.02)
    raise AssertionError(f"still open {within_s:g} s later")


class Load:
    """Busy processes of ordinary priority on every core: half of them in the session of this process, half each in one
    of its own, since Linux shares the cores among sessions first."""

    def __init__(self, a_core: int) -> None:
        count = a_core * (os.cpu_count() or 1)
        busy = [*PYTHON, "-c", f"import os\nwhile os.getppid() == {os.getpid()}: pass"]
        self._processes = [subprocess.Popen(busy, start_new_session=number % 2 == 1) for number in range(count)]

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._processes:
            one.kill()
        for one in self._processes:
            one.wait()


class Runner:
    """A process that exposes again and again through a node."""

    def __init__(self, address: str) -> None:
        self.process = subprocess.Popen([*PYTHON, "-m", "tests.node_runner", address])

    def kill(self) -> float:
        at_s = time.monotonic()
        self.process.send_signal(signal.SIGKILL)
        return at_s

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Network:
    """Forwards connections to a port until it is cut: then it is silent, and closes nothing."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._kept: list[socket.socket] = []
        self._cut = threading.Event()
        self._ended = False
        self.address = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()

    def cut(self) -> float:
        at_s = time.monotonic()
        self._cut.set()
        return at_s

    def close(self) -> None:
        self._ended = True
        self._thread.join()
        for one in (*self._kept, self._listening):
            one.close()

    def _forward(self) -> None:
        while not self._ended:
            if self._cut.is_set():
                time.sleep(0.02)
                continue
            for key, _ in self._selector.select(0.02):
                if self._cut.is_set():
                    break
                if key.fileobj is self._listening:
                    self._accept()
                else:
                    self._pass_on(key.fileobj, key.data)

    def _accept(self) -> None:
        near, _ = self._listening.accept()
        far = socket.create_connection(("127.0.0.1", self._to))
        self._kept += [near, far]
        for one, other in ((near, far), (far, near)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(one, selectors.EVENT_READ, other)

    def _pass_on(self, source: Any, target: socket.socket) -> None:
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        if data:
            with contextlib.suppress(OSError):
                target.sendall(data)
            return
        self._selector.unregister(source)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def p99(times_s: Sequence[float]) -> float:
    return float(np.percentile(times_s, 99))


def told(what: str, times_s: Sequence[float]) -> str:
    """Median and p99 in ms."""
    median, p99 = np.percentile(times_s, [50, 99]) * 1e3
    load = Path("/proc/loadavg")
    return (
        f"{what}: blanked after {median:.1f} ms (median), {p99:.1f} ms (p99), at most {max(times_s) * 1e3:.1f} ms; "
        f"{len(times_s)} times; load average {load.read_text().split()[0] if load.is_file() else 'unknown'}"
    )
