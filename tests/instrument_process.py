"""An emulated instrument as a process of its own, as a real one is: it outlives whoever drives it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from cryoctl.interfaces.context import DeviceContext
from cryoctl.registry import find


class InstrumentProcess:
    """A context manager; `settings` are what a driver has to be given to reach it."""

    def __init__(self, model: str, settings: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "tests.instrument_process", model, json.dumps(settings)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.settings: dict[str, Any] = json.loads(self._process.stdout.readline())

    def __enter__(self) -> InstrumentProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


async def answer(model: str, settings: dict[str, Any]) -> None:
    emulator = find("cryoctl.emulators", model)("instrument", settings, DeviceContext(seed=1))
    reached = dict(emulator.open())
    emulator.attach()
    print(json.dumps(reached), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(answer(sys.argv[1], json.loads(sys.argv[2])))
