"""The beam is blanked in time when the runner is killed, the node is killed or hangs, its watchdog is killed, or the
network between node and runner is cut.

Times are those of the simulated world's own log, against the moment of the kill or cut. Beside them run
CRYOCTL_NODE_LOAD busy processes a core.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import cryoctl_simulators
from cryoctl.instrument import load_instrument
from cryoctl.interfaces.bias import BiasLimits
from cryoctl.interfaces.context import DeviceContext
from cryoctl.launch.prepare import build_devices
from tests.instrument_process import InstrumentProcess
from tests.node_process import Load, Network, NodeProcess, Runner, blanked_after, p99, told, wait_open

pytestmark = pytest.mark.campaign
TIMES = int(os.environ.get("CRYOCTL_NODE_KILLS", "50"))
LOAD = int(os.environ.get("CRYOCTL_NODE_LOAD", "2"))
UNDER = f"under {LOAD} busy processes a core"
KILL_S, CUT_SPARE_S, HEARTBEAT_S = 0.1, 0.05, 1.0
WATCHDOG_KILL_S = 0.2
"""The node lives, and the exposure is within its permit."""


@pytest.fixture(autouse=True)
def load() -> Iterator[None]:
    with Load(LOAD):
        yield


def settled(number: int) -> None:
    """Another moment of the exposure each time."""
    time.sleep(0.05 + number % 10 * 0.3)


def test_runner_killed(tmp_path: Path) -> None:
    times: list[float] = []
    with NodeProcess(tmp_path) as node:
        for number in range(TIMES):
            since_s = time.monotonic()
            with Runner(node.address) as runner:
                wait_open(node.world, since_s)
                settled(number)
                times.append(blanked_after(node.world, runner.kill()))
    print(told(f"runner killed {UNDER}", times))
    assert p99(times) <= KILL_S


def test_node_killed(tmp_path: Path) -> None:
    times: list[float] = []
    for number in range(TIMES):
        (folder := tmp_path / str(number)).mkdir()
        with NodeProcess(folder) as node, Runner(node.address):
            wait_open(node.world, 0.0)
            settled(number)
            times.append(blanked_after(node.world, node.kill()))
    print(told(f"node killed {UNDER}", times))
    assert p99(times) <= KILL_S


def test_node_hangs(tmp_path: Path) -> None:
    """It is stopped, so that nothing of it runs; the watchdog ends it before it can wake up."""
    times: list[float] = []
    for number in range(max(1, TIMES // 5)):
        (folder := tmp_path / str(number)).mkdir()
        with NodeProcess(folder) as node, Runner(node.address):
            wait_open(node.world, 0.0)
            settled(number)
            times.append(blanked_after(node.world, node.stop_running()))
            assert node.process.wait(5.0) == -signal.SIGKILL
    print(told(f"node hung {UNDER}", times))
    assert p99(times) <= HEARTBEAT_S + CUT_SPARE_S


def test_watchdog_killed(tmp_path: Path) -> None:
    """The node blanks, and beams are opened again only once another watchdog is there."""
    times: list[float] = []
    with NodeProcess(tmp_path) as node:
        watchdog = int(node.told["watchdog"])
        for number in range(max(1, TIMES // 5)):
            since_s = time.monotonic()
            with Runner(node.address):
                wait_open(node.world, since_s)
                settled(number)
                at_s = time.monotonic()
                os.kill(watchdog, signal.SIGKILL)
                times.append(blanked_after(node.world, at_s))
            watchdog = another_watchdog(node, watchdog)
    print(told(f"watchdog killed {UNDER}", times))
    assert p99(times) <= WATCHDOG_KILL_S


def another_watchdog(node: NodeProcess, dead: int) -> int:
    """Its process, as soon as the node has said that it is ready."""
    deadline_s = time.monotonic() + 60.0
    while time.monotonic() < deadline_s:
        lines = [json.loads(one) for one in node.audit.read_text().splitlines()]
        told_of = [one["process"] for one in lines if one["what"] == "watchdog" and "process" in one]
        if told_of and told_of[-1] != dead:
            return int(told_of[-1])
        time.sleep(0.1)
    raise AssertionError("no other watchdog")


def test_network_cut(tmp_path: Path) -> None:
    times: list[float] = []
    with NodeProcess(tmp_path) as node:
        for number in range(TIMES):
            network, since_s = Network(node.port), time.monotonic()
            with Runner(network.address):
                wait_open(node.world, since_s)
                settled(number)
                times.append(blanked_after(node.world, network.cut()))
            network.close()
    print(told(f"network cut {UNDER}", times))
    assert p99(times) <= HEARTBEAT_S + CUT_SPARE_S


@pytest.mark.parametrize("wire", ["tcp", "pty"])
def test_a_source_behind_a_killed_node_is_brought_to_rest_over_a_new_connection(tmp_path: Path, wire: str) -> None:
    """Its emulator is a process of its own, and held by the node alone until then."""
    with InstrumentProcess("keithley-2450", SOURCE | {"wire": wire}) as source:
        file = tmp_path / "holder.yaml"
        data: dict[str, Any] = yaml.safe_load(HOLDER.read_text())
        del data["devices"]["bias"]["emulator"]
        data["devices"]["bias"]["settings"] |= source.settings
        file.write_text(yaml.safe_dump(data))
        with NodeProcess(tmp_path, instrument=str(file)) as node:
            took_s = asyncio.run(biased_and_killed(node))
    print(f"node killed {UNDER}: its source over {wire} at rest, verified, {took_s:.2f} s later")


HOLDER = Path(cryoctl_simulators.__file__).parent / "instruments" / "emulated_needle_holder.yaml"
SOURCE = {"voltage_range_v": [-20, 20], "cell_voltage_v": 0.0, "cell_resistance_ohm": 1e9}


async def biased_and_killed(node: NodeProcess) -> float:
    """Seconds from the kill, with the source at 2 V and its output on, until it is at rest."""
    bias: Any = build_devices(load_instrument(node.address), DeviceContext(seed=0), (), "bench").bias
    await bias.connect()
    await bias.set_limits(BiasLimits(voltage_limit_v=5.0, compliance_a=1e-7))
    await bias.set_voltage(2.0)
    await bias.output(on=True)
    assert (await bias.status()).output_on
    took_s = await asyncio.to_thread(at_rest_after, node, node.kill())
    await bias.close()
    return took_s


def at_rest_after(node: NodeProcess, at_s: float) -> float:
    """Seconds until the watchdog's line says that all is confirmed."""
    while time.monotonic() < at_s + 30.0:
        for line in map(json.loads, node.audit.read_text().splitlines()):
            if line["message"].startswith("safe state, since the node died"):
                assert "NOT" not in line["message"], line
                return time.monotonic() - at_s
        time.sleep(0.05)
    raise AssertionError("no safe state")
