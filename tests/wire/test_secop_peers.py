"""frappy, the reference implementation of SECoP and none of ours: its client on our node, our client on its node.

It is GPL and so nothing but a test needs it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cryoctl import registry
from cryoctl.errors import DeviceError, InstrumentError, OutOfRange
from cryoctl.interfaces.context import DeviceContext
from cryoctl.testing.device import refused

pytestmark = pytest.mark.peers

_NODE = """
Node("cryoctl.test", "a simulated cryostat", cls="frappy.protocol.dispatcher.Dispatcher")
Mod("cryo", "frappy_demo.cryo.Cryostat", "a simulated cryostat", jitter=0.0, T_start=95.0, target=95.0, looptime=0.1,
    ramp=6.0, maxpower=200.0, heater=5.0, mode="ramp", pollinterval=Param(0.2, export=False))
Mod("level", "frappy.simulation.SimReadable", "filling of the dewar", value=Param(62.0, unit="%"))
Mod("gauge", "frappy.simulation.SimReadable", "pressure", value=Param(2e-7, unit="mbar"))
"""
_START = """
import sys
import frappy.server
from frappy.lib import generalConfig
from frappy.logging import logger
from frappy.protocol.interface import tcp

class Silent:
    def __init__(self, *arguments): pass
    def run(self): pass
    def shutdown(self): pass

bind = tcp.DualStackTCPServer.__init__

def on_loopback(self, address, handler, **options):
    bind(self, ("127.0.0.1", address[1]), handler, bind_and_activate=True, enable_ipv6=False)

tcp.DualStackTCPServer.__init__ = on_loopback
frappy.server.UDPListener = Silent
generalConfig.init()
logger.init("error")
frappy.server.Server("cryo", logger.log, cfgfiles=[sys.argv[1]], interface=sys.argv[2]).run()
"""


def test_its_client_on_our_node() -> None:
    from frappy.client import SecopClient

    def play(port: str) -> None:
        client = SecopClient(port.removeprefix("socket://"), log=None)
        client.connect()
        assert set(client.modules) == {"T", "N2", "P"}
        assert client.modules["T"]["properties"]["interface_classes"] == ["Drivable"]
        assert client.getParameter("T", "value").value == pytest.approx(95.0, abs=1e-3)
        assert client.cache["T", "status"].value[0] == 100, "told on activation"
        assert client.setParameter("T", "ramp", 60.0).value == 60.0
        assert client.setParameter("T", "target", 97.0).value == 97.0
        assert client.cache["T", "status"].value[0] == 370, "told before the reply"
        time.sleep(0.5)
        seen = client.cache["T", "setpoint"].value
        assert 95.0 < seen < 97.0, "told by itself"
        client.execCommand("T", "stop")
        assert client.getParameter("T", "target").value < 97.0
        for act, error in (
            (lambda: client.setParameter("T", "target", 1e4), "RangeError"),
            (lambda: client.request("change", "T:value", 3), "ReadOnly"),
            (lambda: client.request("read", "X:value"), "NoSuchModule"),
            (lambda: client.request("read", "T:speed"), "NoSuchParameter"),
            (lambda: client.request("do", "T:go"), "NoSuchCommand"),
            (lambda: client.request("change", "T:target", "warm"), "WrongType"),
        ):
            with pytest.raises(Exception) as caught:
                act()
            assert getattr(caught.value, "name", "") == error
        client.disconnect()

    async def whole() -> None:
        settings = {"sensor_sigma_k": 0.0, "updates_s": 0.1}
        emulator = registry.find("cryoctl.emulators", "secop-node")("device", settings, DeviceContext(seed=11))
        port = emulator.open()["port"]
        emulator.attach()
        try:
            await asyncio.to_thread(play, port)
        finally:
            emulator.close()

    asyncio.run(whole())


@pytest.fixture(scope="module")
def its_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("frappy")
    (folder / "cryo_cfg.py").write_text(_NODE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    places = {f"FRAPPY_{name}DIR": str(folder) for name in ("CONF", "LOG", "PID")}
    command = [sys.executable, "-c", _START, str(folder / "cryo_cfg.py"), str(number)]
    process = subprocess.Popen(command, env=os.environ | places, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        _wait(number, process)
        yield f"socket://127.0.0.1:{number}"
    finally:
        process.kill()
        process.wait()


def _wait(number: int, process: subprocess.Popen[str]) -> None:
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        if process.poll() is not None:
            raise AssertionError(f"its node ended: {process.stderr.read() if process.stderr else ''}")
        with socket.socket() as there:
            if there.connect_ex(("127.0.0.1", number)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("its node does not listen")


def _holder(port: str, **settings: Any) -> Any:
    named = {"temperature": "cryo", "nitrogen": "level", "pressure": "gauge", "port": port} | settings
    return registry.find("cryoctl.devices", "secop-holder")("holder", named, DeviceContext(seed=11))


def _by_its_client(port: str, after_s: float) -> dict[str, float]:
    from frappy.client import SecopClient

    client = SecopClient(port.removeprefix("socket://"), log=None)
    client.connect()
    time.sleep(after_s)
    told = {name: client.getParameter("cryo", name).value for name in ("target", "ramp", "setpoint", "value")}
    client.disconnect()
    return told


def test_our_client_on_its_node(its_node: str) -> None:
    async def play() -> None:
        holder = _holder(its_node, ramp_k_per_min=60.0)
        identity = await holder.connect()
        assert identity.serial == "cryoctl.test"
        assert identity == await holder.connect()
        reading = await holder.temperature()
        assert reading.valid
        assert reading.temperature_k == pytest.approx(95.0, abs=1.0)
        assert await holder.nitrogen() == pytest.approx(0.62, abs=0.05)
        assert await holder.pressure() == pytest.approx(2e-5, rel=0.2)
        await holder.set_temperature(97.0)
        told = await asyncio.to_thread(_by_its_client, its_node, 2.5)
        assert (told["target"], told["ramp"], told["setpoint"]) == (97.0, 60.0, 97.0)
        assert (await holder.temperature()).temperature_k == pytest.approx(told["value"], abs=0.5)
        await holder.make_safe()
        await refused(OutOfRange, holder.set_temperature(500.0))
        await holder.close()

    asyncio.run(play())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": "cry"}, "cryo, level, gauge"),
        ({"temperature": "level"}, "target"),
        ({"temperature": "cryo:_heater"}, "allowed is K"),
        ({"ramp_k_per_min": 2e3}, "1000"),
    ],
)
def test_what_does_not_fit_its_node(its_node: str, settings: dict[str, Any], said: str) -> None:
    async def play() -> None:
        holder = _holder(its_node, **settings)
        assert said in str(await refused((InstrumentError, DeviceError), holder.connect()))
        await holder.close()

    asyncio.run(play())
