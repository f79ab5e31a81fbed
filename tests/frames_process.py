"""A node in a process of its own whose detector gives pictures of any size, and what a test does with them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cryoctl.node.keys import KeyFolder
from cryoctl.node.router import Router
from tests.node_bench import NodeBench


def picture(index: int, side: int | None = None) -> Any:
    """Square, of `index` pixels a side; other numbers in each place and for each side."""
    side = index if side is None else side
    return (np.arange(side * side, dtype=np.uint32) * 2654435761 % 65521 + index).astype(np.uint16).reshape(side, side)


def give_pictures(bench: NodeBench) -> None:
    """`read_scan(side)` of the detector gives the picture of that side."""
    made: dict[int, Any] = {}

    async def read_scan(index: int) -> Any:
        if index not in made:
            made[index] = picture(index)
        return made[index]

    detector: Any = bench.devices.image_detectors["haadf"]
    detector.read_scan = read_scan


class FramesProcess:
    """A context manager. Args: `keys` folder of the node's keys, None without."""

    def __init__(self, keys: Path | None = None) -> None:
        command = [sys.executable, "-m", "tests.frames_process", *([] if keys is None else [str(keys)])]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().decode().strip()

    def __enter__(self) -> FramesProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


async def serve(keys: Path | None) -> None:
    bench = NodeBench()
    for device in bench.devices:
        await device.connect()
    give_pictures(bench)
    router = Router(bench.desk, "127.0.0.1", 0, None if keys is None else KeyFolder(keys), bench.audit)
    router.start()
    print(router.address, flush=True)
    await asyncio.Event().wait()


def shared_names() -> Mapping[str, int]:
    """Blocks of shared memory by name, as the system shows them."""
    folder = Path("/dev/shm")
    return {one.name: one.stat().st_size for one in folder.glob("psm_*")}


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(serve(Path(sys.argv[1]) if sys.argv[1:] else None))
