"""Emulated needle drives under drivers that we did not write: pylablib and PyMeasure (ANC300), PIPython (GCS 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cryoctl import registry
from cryoctl.interfaces.context import DeviceContext

pytestmark = pytest.mark.peers


def beside(model: str, emulated: dict[str, Any], use: Callable[[str, Any], None]) -> None:
    """`use` runs in a thread, given the port's URL and the emulator, which answers in real time."""

    async def whole() -> None:
        emulator = registry.find("cryoctl.emulators", model)("needle", emulated, DeviceContext(seed=11))
        url = str(emulator.open()["port"])
        emulator.attach()
        try:
            await asyncio.to_thread(use, url, emulator)
        finally:
            emulator.close()

    asyncio.run(whole())


def _steps(emulator: Any) -> list[int]:
    return list(emulator.world.contact.needle.record["steps"])


@pytest.mark.parametrize("wire", ["tcp", "pty"])
def test_anc300_under_pylablib(wire: str) -> None:
    def use(url: str, emulator: Any) -> None:
        from pylablib.devices import Attocube

        port: Any = url if wire == "pty" else (url.removeprefix("socket://").split(":")[0], int(url.rpartition(":")[2]))
        stage = Attocube.ANC300(port, backend="serial" if wire == "pty" else "network")
        try:
            assert stage.get_all_axes() == [1, 2, 3, 4, 5, 6]
            assert stage.get_device_info().serial.startswith("ANC300B-C-")
            assert stage.get_axis_serial(4).startswith("ANM200")
            assert stage.set_frequency(1, 800) == 800
            assert stage.set_voltage(1, 30.5) == 30.5
            assert stage.set_mode(1, "stp") == "stp"
            stage.move_by(1, 40)
            assert stage.is_moving(1)
            stage.wait_move(1)
            assert _steps(emulator) == [40, 0, 0]
            stage.move_by(1, -400)
            stage.stop(1)
            assert -400 < _steps(emulator)[0] <= 40
            stage.disable_axis(1)
            with pytest.raises(Attocube.AttocubeError):
                stage.move_by(1, 5)
            assert stage.get_capacitance(5, measure=True) == pytest.approx(2e-7, rel=0.5)
            assert stage.set_mode(4, "off") == "off"
            assert stage.set_offset(4, 60.0) == 60.0
            assert stage.get_output(4) == pytest.approx(60.0, abs=0.1)
            assert emulator.world.contact.needle.record["fine_m"] == [pytest.approx(2e-6), 0.0, 0.0]
            stage.set_mode(4, "gnd")
            assert not emulator.world.contact.needle.record["high_voltage_on"]
        finally:
            stage.close()

    beside("attocube-anc300", {"wire": wire}, use)


def test_anc300_under_pymeasure() -> None:
    def use(url: str, emulator: Any) -> None:
        import serial
        from pymeasure.adapters import SerialAdapter
        from pymeasure.instruments.attocube import ANC300Controller

        port = serial.serial_for_url(url, timeout=1.0)
        stage = ANC300Controller(
            SerialAdapter(port, read_termination="\r\n", write_termination="\r\n"),
            axisnames=["x", "y", "z", "u", "v", "w"],
            passwd="123456",
        )
        assert "ANC300 controller version" in stage.version
        stage.y.frequency = 1000
        stage.y.voltage = 25.0
        assert (stage.y.frequency, stage.y.voltage) == (1000, 25.0)
        stage.y.move(-30)
        assert _steps(emulator) == [0, -30, 0]
        assert stage.y.mode == "gnd"
        stage.w.mode = "off"
        stage.w.offset_voltage = 12.5
        assert stage.w.offset_voltage == 12.5
        assert stage.v.measure_capacity() == pytest.approx(200.0, rel=0.5)
        with pytest.raises(ValueError, match="Wrong axis type"):
            stage.w.frequency = 100
        stage.stop_all()
        stage.ground_all()
        assert not emulator.world.contact.needle.record["high_voltage_on"]
        port.close()

    beside("attocube-anc300", {"wire": "tcp"}, use)


@pytest.mark.parametrize("wire", ["tcp", "pty"])
def test_gcs2_under_pipython(wire: str) -> None:
    def use(url: str, emulator: Any) -> None:
        from pipython import GCSDevice, GCSError, pitools
        from pipython.interfaces.piserial import PISerial
        from pipython.interfaces.pisocket import PISocket

        host, _, number = url.removeprefix("socket://").rpartition(":")
        gateway = PISocket(host, int(number)) if wire == "tcp" else PISerial(url, 115200)
        with GCSDevice(gateway=gateway) as stage:
            assert "Physik Instrumente" in stage.qIDN()
            assert stage.axes == ["1", "2", "3", "4", "5", "6"]
            assert stage.qCSV() == 2.0
            assert stage.qTMN("4")["4"] < 0 < stage.qTMX("4")["4"]
            with pytest.raises(GCSError) as caught:
                stage.MOV("1", 0.01)
            assert caught.value == 5
            stage.SVO({"1": True, "4": True})
            assert stage.qSVO(["1", "4"]) == {"1": True, "4": True}
            with pytest.raises(GCSError) as caught:
                stage.MOV("1", 99.0)
            assert caught.value == 7
            stage.VEL("1", 0.5)
            assert stage.qVEL("1")["1"] == 0.5
            stage.MOV("1", 0.01)
            pitools.waitontarget(stage, "1")
            assert stage.qPOS("1")["1"] == pytest.approx(0.01, abs=1e-5)
            stage.MVR({"4": 2.0})
            pitools.waitontarget(stage, ["4"])
            assert stage.qMOV("4")["4"] == 2.0
            stage.MOV("1", 1.0)
            assert stage.IsMoving("1")["1"]
            with pytest.raises(GCSError) as caught:
                stage.STP()
            assert caught.value == 10
            assert not stage.IsMoving("1")["1"]
            assert 0.01 < stage.qPOS("1")["1"] < 1.0
            stage.SVO("4", False)
            stage.SVA("4", 0.0)
            assert not emulator.world.contact.needle.record["high_voltage_on"]

    beside("pi-gcs2", {"wire": wire}, use)
