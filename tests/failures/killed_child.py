"""Run as a process of its own by the kill tests: `python -m tests.failures.killed_child OUT EVENTS FRAMES HOW`.

It plays a small run and ends itself without any goodbye: at the FRAMES-th frame event (HOW `exit`), or in the midst
of the record exposure after it, beam open (HOW `exposing`).
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from cryoctl.events import Event
from cryoctl.launch.request import Follower
from tests.runs.small_runs import play


class Killer(Follower):
    def __init__(self, frames: int, how: str) -> None:
        self.frames, self.how, self.seen = frames, how, 0

    def begin(self, head: Any, outlook: Any) -> None: ...

    def picture(self, picture: Any) -> None: ...

    def end(self, summary: Any) -> None: ...

    def event(self, event: Event) -> None:
        self.seen += event.event == "frame"
        if self.seen < self.frames:
            return
        if self.how == "exit" and event.event == "frame":
            os._exit(9)
        if self.how == "exposing" and event.event == "state" and event.name == "record":
            asyncio.get_running_loop().call_later(2.5, os._exit, 9)  # the current is measured first


if __name__ == "__main__":
    out, events, frames, how = sys.argv[1:]
    play(Path(out), "dose.per_tilt_e_per_a2=400", seed=21, events=Path(events), followers=(Killer(int(frames), how),))
