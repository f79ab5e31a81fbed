"""The beam is blanked in time when the runner is killed, the node is killed, or the network between them is cut.

Times are those of the simulated world's own log, against the moment of the kill or cut.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.node_process import Network, NodeProcess, Runner, blanked_after, p99, told, wait_open

pytestmark = pytest.mark.campaign
TIMES = int(os.environ.get("CRYOCTL_NODE_KILLS", "50"))
KILL_S, CUT_SPARE_S, HEARTBEAT_S = 0.1, 0.05, 1.0


def test_runner_killed(tmp_path: Path) -> None:
    times: list[float] = []
    with NodeProcess(tmp_path) as node:
        for number in range(TIMES):
            since_s = time.monotonic()
            with Runner(node.address) as runner:
                wait_open(node.world, since_s)
                time.sleep(0.05 + number % 10 * 0.3)
                times.append(blanked_after(node.world, runner.kill()))
    print(told("runner killed", times))
    assert p99(times) <= KILL_S


def test_node_killed(tmp_path: Path) -> None:
    times: list[float] = []
    for number in range(TIMES):
        (folder := tmp_path / str(number)).mkdir()
        with NodeProcess(folder) as node, Runner(node.address):
            wait_open(node.world, 0.0)
            time.sleep(0.05 + number % 10 * 0.3)
            times.append(blanked_after(node.world, node.kill()))
    print(told("node killed", times))
    assert p99(times) <= KILL_S


def test_network_cut(tmp_path: Path) -> None:
    times: list[float] = []
    with NodeProcess(tmp_path) as node:
        for number in range(TIMES):
            network, since_s = Network(node.port), time.monotonic()
            with Runner(network.address):
                wait_open(node.world, since_s)
                time.sleep(0.05 + number % 10 * 0.3)
                times.append(blanked_after(node.world, network.cut()))
            network.close()
    print(told("network cut", times))
    assert p99(times) <= HEARTBEAT_S + CUT_SPARE_S
