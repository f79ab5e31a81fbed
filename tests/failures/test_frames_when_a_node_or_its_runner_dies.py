"""Frames on their way when node or runner is killed: what arrived is right, and no shared memory is left behind."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.frames_process import FramesProcess, Reader, shared_names

pytestmark = pytest.mark.campaign
TIMES = int(os.environ.get("CRYOCTL_NODE_KILLS", "50"))


def left_behind(node: FramesProcess, within_s: float = 5.0) -> list[str]:
    """Names of the node's shared memory that there still are `within_s` later."""
    deadline_s = time.monotonic() + within_s
    while shared_names(node.process.pid) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return shared_names(node.process.pid)


def test_node_killed() -> None:
    rng = random.Random(1)
    for _ in range(TIMES):
        with FramesProcess() as node, Reader(node.address) as reader:
            assert reader.way == "memory"
            time.sleep(rng.uniform(0.0, 0.3))
            node.process.send_signal(signal.SIGKILL)
            assert reader.line() == "lost"
            assert reader.process.wait(10.0) == 0
            assert left_behind(node) == []
    print(f"node killed while frames were on their way: {TIMES} times, no shared memory left")


def test_runner_killed() -> None:
    rng = random.Random(2)
    with FramesProcess() as node:
        for _ in range(TIMES):
            with Reader(node.address) as reader:
                assert reader.way == "memory"
                time.sleep(rng.uniform(0.0, 0.3))
                reader.process.send_signal(signal.SIGKILL)
            assert left_behind(node) == []
    print(f"runner killed while frames were on their way: {TIMES} times, no shared memory left, the next one goes on")
