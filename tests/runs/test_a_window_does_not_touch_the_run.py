"""A window watches a run in real time and dies by SIGKILL: the run's file is that of a run that nobody watched."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cryoctl.events import Event
from cryoctl.launch.control_server import ControlServer
from cryoctl.launch.request import Outlook
from tests.runs.same_file import count, differences
from tests.runs.small_runs import play, run_file

if any(importlib.util.find_spec(name) is None for name in ("PySide6", "pyqtgraph")):
    pytest.skip("the window needs the extra `viewer`", allow_module_level=True)
if os.name == "nt":
    pytest.skip("needs SIGKILL", allow_module_level=True)

PATIENCE_S = 90.0


class Watching(ControlServer):
    """Holds the run up at its beginning and at the first frame until the window asks; kills it at the second frame."""

    def __init__(self, out: Path, window: subprocess.Popen[bytes]) -> None:
        super().__init__(out)
        self.window = window
        self.asked = threading.Event()
        self.frames = 0

    def answer(self, line: bytes) -> dict[str, Any]:
        if b'"source": "view"' in line:
            self.asked.set()
        return super().answer(line)

    def begin(self, head: Mapping[str, Any], outlook: Outlook) -> None:
        super().begin(head, outlook)
        assert self.asked.wait(PATIENCE_S), "the window never asked"

    def event(self, event: Event) -> None:
        super().event(event)
        if event.event != "frame":
            return
        self.frames += 1
        if self.frames == 1:
            self.asked.clear()
            assert self.asked.wait(PATIENCE_S), "the window asked no more"
        elif self.frames == 2:
            self.window.kill()
            self.window.wait()


@pytest.fixture
def window(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """On a folder in which no run has begun yet."""
    (tmp_path / "watched").mkdir()
    one = subprocess.Popen(
        [sys.executable, "-m", "cryoctl", "view", str(tmp_path / "watched"), "--quiet"],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield one
    one.kill()
    one.wait()


def test_the_run_goes_on_and_its_file_is_the_same(tmp_path: Path, window: subprocess.Popen[bytes]) -> None:
    alone = run_file(play(tmp_path / "alone", seed=3))
    server = Watching(tmp_path / "watched", window)
    try:
        result = play(tmp_path / "watched", seed=3, speed=600.0, followers=(server,))
    finally:
        server.close()
    assert result.exit_code == 0
    assert server.frames == 3
    assert window.returncode == -9
    assert count(alone) > 100
    assert differences(alone, run_file(result)) == []
