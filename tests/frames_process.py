"""A node in a process of its own whose detector gives pictures of any size, and what a test does with them."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cryoctl.errors import ConnectionLost
from cryoctl.node.client import NodeClient
from cryoctl.node.dealer import DealerLink
from cryoctl.node.keys import KeyFolder
from cryoctl.node.remote import facts_of, remote_device
from cryoctl.node.router import Router
from cryoctl.node.shared_slots import NAMES
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


async def read(address: str) -> None:
    """Read one picture after another and hold each against what it has to be, until the connection ends."""
    keys = KeyFolder(Path("nowhere"))
    client = NodeClient(address, lambda: DealerLink(address, keys), "bench")
    detector = NodeBench().devices.image_detectors["haadf"]
    haadf: Any = remote_device("image_detector", "haadf", client, facts_of("image_detector", detector))
    await haadf.connect()
    print(client.frames.way, flush=True)
    try:
        for number in itertools.count():
            side = (300, 1500, 20, 900)[number % 4]
            assert (await haadf.read_scan(side) == picture(side)).all()
    except ConnectionLost:
        print("lost", flush=True)
    client.frames.close()


class Reader:
    """A process that reads pictures; a context manager."""

    def __init__(self, address: str) -> None:
        command = [sys.executable, "-m", "tests.frames_process", address]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.way = self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def shared_names(process_id: int | None = None) -> list[str]:
    """Names of blocks of shared memory that a process (this one) made, as the system shows them."""
    made_by = os.getpid() if process_id is None else process_id
    return sorted(one.name for one in Path("/dev/shm").glob(f"{NAMES}{made_by}-*"))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        if sys.argv[1:] and sys.argv[1].startswith("tcp:"):
            runner.run(read(sys.argv[1]))
        else:
            runner.run(serve(Path(sys.argv[1]) if sys.argv[1:] else None))
