"""Emulated Keithleys asked by pymeasure's drivers (MIT), so that ours and the emulators can't share one mistake."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.foreign import Recorded, asked_by

pytestmark = pytest.mark.peers
_CELL = {"cell_resistance_ohm": 1e6, "lead_ohm": 1e-3, "relay": False}


def _port(port: str) -> Any:
    import serial
    from pymeasure.adapters import SerialAdapter

    return SerialAdapter(serial.serial_for_url(port, timeout=2.0), read_termination="\n", write_termination="\n")


@pytest.mark.parametrize("wire", ["tcp", "pty"])
def test_2450(wire: str) -> None:
    def ask(port: str) -> list[str]:
        from pymeasure.instruments.keithley import Keithley2450

        smu = Recorded(Keithley2450(_port(port)))
        assert "MODEL 2450" in smu.id
        smu.reset()
        smu.use_front_terminals()
        smu.apply_voltage(compliance_current=1e-4)
        assert smu.source_mode == "voltage"
        assert smu.compliance_current == pytest.approx(1e-4)
        smu.measure_current(nplc=1)
        smu.voltage_output_off_state = "HIMP"
        assert smu.voltage_output_off_state == "HIMP"
        smu.source_voltage = 2.0
        assert smu.source_voltage == 2.0
        smu.enable_source()
        assert smu.source_enabled
        assert smu.current == pytest.approx(2e-6, rel=1e-3)
        assert [smu.current for _ in range(4)]
        assert smu.means == pytest.approx(2e-6, rel=1e-3)
        assert smu.standard_devs < 1e-8
        smu.compliance_current = 1e-6
        assert smu.current == pytest.approx(1e-6, rel=1e-2)  # held by its limit
        smu.compliance_current = 1e-4
        smu.ramp_to_voltage(1.0, steps=3, pause=0.0)
        assert smu.current == pytest.approx(1e-6, rel=1e-3)
        smu.disable_source()
        assert not smu.source_enabled
        smu.apply_current(compliance_voltage=5.0)
        smu.measure_voltage()
        assert smu.compliance_voltage == 5.0
        smu.source_current = 3e-6
        smu.enable_source()
        assert smu.voltage == pytest.approx(3.0, rel=1e-3)
        smu.write(":SOUR:BOGUS 1")
        assert any("-113" in str(error) for error in smu.check_errors())
        smu.shutdown()
        assert not smu.source_enabled  # answered: what was written before it was carried out
        return smu.used

    used, emulator = asked_by("keithley-2450", ask, {**_CELL, "wire": wire})
    print(f"2450 over {wire}, pymeasure's members that ran: {', '.join(used)}")
    assert not emulator.world.source.record["output_on"]


@pytest.mark.parametrize("wire", ["pty", "tcp"])
def test_2400(wire: str) -> None:
    def ask(port: str) -> list[str]:
        from pymeasure.instruments.keithley import Keithley2400

        smu = Recorded(Keithley2400(_port(port)))
        assert "MODEL 2400" in smu.id
        smu.reset()
        smu.source_mode = "voltage"
        assert smu.source_mode == "voltage"
        smu.compliance_current = 1e-4
        assert smu.compliance_current == pytest.approx(1e-4)
        smu.source_voltage_range_auto_enabled = True
        smu.current_nplc = 1
        smu.output_off_state = "HIMP"
        assert smu.output_off_state in ("HIMP", "disconnected")
        smu.source_voltage = 2.0
        smu.enable_source()
        assert smu.source_enabled
        found = smu.measure_all()
        assert found["voltage"] == pytest.approx(2.0, abs=1e-3)
        assert found["current"] == pytest.approx(2e-6, rel=1e-3)
        assert not found["status"] & 8
        smu.compliance_current = 1e-6
        found = smu.measure_all()
        assert found["current"] == pytest.approx(1e-6, rel=1e-2)
        assert found["status"] & 8  # held by its limit
        smu.compliance_current = 1e-4
        smu.ramp_to_voltage(1.0, steps=3, pause=0.0)
        assert smu.current == pytest.approx(1e-6, rel=1e-3)
        smu.disable_source()
        assert not smu.source_enabled
        smu.source_mode = "current"
        smu.compliance_voltage = 5.0
        smu.source_current = 3e-6
        smu.enable_source()
        assert smu.voltage == pytest.approx(3.0, rel=1e-3)
        smu.write(":SOUR:BOGUS 1")
        assert smu.check_errors()
        smu.disable_source()
        assert not smu.source_enabled  # answered: what was written before it was carried out
        return smu.used

    used, emulator = asked_by("keithley-2400", ask, {**_CELL, "wire": wire})
    print(f"2400 over {wire}, pymeasure's members that ran: {', '.join(used)}")
    assert not emulator.world.source.record["output_on"]
