"""Lake Shore's own Python driver and pymeasure's, neither written by us, against the emulated controllers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cryoctl import registry
from cryoctl.interfaces.context import DeviceContext

pytestmark = pytest.mark.peers
_EXACT = {"sensor_sigma_k": 0.0, "approach_s": 0.2}


def _played(model: str, emulated: dict[str, Any], play: Callable[[str, Any], None]) -> None:
    """`play` blocks, so it has a thread; the emulator answers on the loop. It is given the emulator's port."""

    async def whole() -> None:
        emulator = registry.find("cryoctl.emulators", model)("device", {**_EXACT, **emulated}, DeviceContext(seed=11))
        port = emulator.open()["port"]
        emulator.attach()
        try:
            await asyncio.to_thread(play, port, emulator)
        finally:
            emulator.close()

    asyncio.run(whole())


def _by_lake_shore(monkeypatch: pytest.MonkeyPatch, name: str, port: str) -> Any:
    """Its serial driver only opens ports whose USB identity is the instrument's own."""
    import lakeshore

    kind = getattr(lakeshore, f"Model{name}")
    if port.startswith("socket://"):
        host, _, number = port.removeprefix("socket://").rpartition(":")
        return kind(ip_address=host, tcp_port=int(number))
    vid, pid = kind.vid_pid[0]
    there = SimpleNamespace(vid=vid, pid=pid, device=port, serial_number=None)
    monkeypatch.setattr("lakeshore.generic_instrument.comports", lambda: [there])
    return kind(57600, com_port=port) if name == "335" else kind(com_port=port)


@pytest.mark.parametrize(("name", "wire"), [("335", "pty"), ("336", "tcp"), ("336", "pty")])
def test_lake_shores_own_driver(monkeypatch: pytest.MonkeyPatch, name: str, wire: str) -> None:
    def play(port: str, emulator: Any) -> None:
        with _by_lake_shore(monkeypatch, name, port) as peer:
            assert peer.model_number == f"MODEL{name}"
            assert peer.get_kelvin_reading("A") == 95.0
            all_k = peer.get_all_kelvin_reading()
            assert all_k == [95.0] + [0.0] * (len(all_k) - 1)
            assert len(all_k) == (2 if name == "335" else 4)
            assert not any(vars(peer.get_input_reading_status("A")).values())
            assert any(vars(peer.get_input_reading_status("B")).values())
            peer.set_temperature_limit("A", 320.0)
            assert peer.get_temperature_limit("A") == 320.0
            peer.set_setpoint_ramp_parameter(1, True, 60.0)
            assert peer.get_setpoint_ramp_parameter(1) == {"ramp_enable": True, "rate_value": 60.0}
            peer.set_control_setpoint(1, 96.5)
            assert peer.get_setpoint_ramp_status(1)
            assert 95.0 <= peer.get_control_setpoint(1) < 96.5
            peer.set_heater_range(1, peer.HeaterRange.MEDIUM)
            assert peer.get_heater_range(1) == peer.HeaterRange.MEDIUM
            assert peer.get_heater_status(1) == peer.HeaterError.NO_ERROR
            time.sleep(1.6)
            assert not peer.get_setpoint_ramp_status(1)
            assert peer.get_control_setpoint(1) == 96.5
            assert 0 < peer.get_heater_output(1) < 5
            time.sleep(1.0)
            assert peer.get_kelvin_reading("A") == pytest.approx(96.5, abs=0.1)
            emulator.heater = "open"
            assert peer.get_heater_status(1) == peer.HeaterError.HEATER_OPEN_LOAD
            peer.all_heaters_off()
            assert peer.get_heater_range(1) == peer.HeaterRange.OFF
            with pytest.raises(Exception, match="Invalid Command"):
                peer.command("NOSUCH 1")

    _played(f"lake-shore-{name}", {"wire": wire}, play)


@pytest.mark.parametrize("model", ["335", "336"])
def test_pymeasures_driver(model: str) -> None:
    from pymeasure.adapters import SerialAdapter
    from pymeasure.instruments.lakeshore.lakeshore3xx import LakeShore3xx

    def play(port: str, emulator: Any) -> None:
        adapter = SerialAdapter(port, baudrate=57600, timeout=1, read_termination="\r\n", write_termination="\n")
        peer = LakeShore3xx(adapter)
        assert peer.id.startswith(f"LSCI,MODEL{model},")
        assert peer.input_A.kelvin == 95.0
        peer.output_1.setpoint = 101.5
        peer.output_1.range = "medium"
        assert peer.output_1.setpoint == 101.5
        assert peer.output_1.range == "medium"
        peer.input_A.wait_for_temperature(target=101.5, accuracy=0.2, interval=0.1, timeout=10)
        assert 0 < peer.output_1.output < 5
        adapter.close()

    _played(f"lake-shore-{model}", {"wire": "pty"}, play)
