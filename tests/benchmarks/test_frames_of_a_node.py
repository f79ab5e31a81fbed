"""How long a frame takes from a node in another process: in the reply, by shared memory, over a connection of its own,
with keys and without, beside a copy in memory. Prints; asserts that all of them came whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryoctl.node.client import NodeClient
from cryoctl.node.dealer import DealerLink
from cryoctl.node.keys import KeyFolder
from cryoctl.node.remote import facts_of, remote_device
from cryoctl.node.roles import Role
from tests.frames_process import FramesProcess, picture
from tests.node_bench import NodeBench

pytestmark = pytest.mark.benchmark
SIDES = (45, 512, 2048, 5793)
"""4 kB, 0.5 MB, 8.4 MB, 67 MB."""
WAYS: Sequence[tuple[str, Sequence[str]]] = (("reply", ()), ("memory", ("memory",)), ("network", ("network",)))


@pytest.mark.parametrize("with_keys", [False, True], ids=["plain", "keys"])
def test_frames_a_second(tmp_path: Path, with_keys: bool) -> None:
    node, mine = KeyFolder(tmp_path / "node"), KeyFolder(tmp_path / "mine")
    if with_keys:
        node.make_own()
        mine.make_own()
        node.allow(mine.own_public, "anna", Role.OPERATOR)
    with FramesProcess(node.folder if with_keys else None) as process:
        if with_keys:
            mine.know(process.address, node.own_public)
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            times = {name: runner.run(timed(process.address, mine, ways)) for name, ways in WAYS}
    print("\nwith keys" if with_keys else "\nwithout keys")
    for side in SIDES:
        size = side * side * 2
        copied_s = copying(size)
        line = f"{size / 1e6:8.3f} MB: copy in memory {copied_s * 1e3:7.3f} ms"
        for name, _ in WAYS:
            took_s = times[name][side]
            line += f" | {name} {took_s * 1e3:7.2f} ms, {size / took_s / 1e6:6.0f} MB/s, "
            line += f"{times['reply'][side] / took_s:.2f} of the reply's rate, {copied_s / took_s:.3f} of a copy's"
        print(line)


def copying(size: int) -> float:
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    times: list[float] = []
    for _ in range(9):
        since_s = time.perf_counter()
        target[:] = source
        times.append(time.perf_counter() - since_s)
    return float(np.median(times))


async def timed(address: str, keys: KeyFolder, ways: Sequence[str]) -> dict[int, float]:
    """Median seconds a frame, by the picture's side."""
    client = NodeClient(address, lambda: DealerLink(address, keys), "bench", frames=ways)
    detector: Any = NodeBench().devices.image_detectors["haadf"]
    haadf: Any = remote_device("image_detector", "haadf", client, facts_of("image_detector", detector))
    await haadf.connect()
    assert client.frames.way == (ways[0] if ways else "reply")
    found: dict[int, float] = {}
    for side in SIDES:
        times: list[float] = []
        expected = picture(side)
        for count in range(9 if side > 4000 else 30):
            since_s = time.perf_counter()
            got = await haadf.read_scan(side)
            if count:
                times.append(time.perf_counter() - since_s)
            assert (got == expected).all()
        found[side] = float(np.median(times))
    await haadf.close()
    return found
