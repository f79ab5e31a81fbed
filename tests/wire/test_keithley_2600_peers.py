"""Emulated 2600 asked by drivers that we did not write (pymeasure and keithley2600, both MIT)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.wire.foreign import Recorded, asked_by

pytestmark = pytest.mark.peers
_CELL = {"cell_resistance_ohm": 1e6, "lead_ohm": 1e-3, "relay": False}


@pytest.mark.parametrize("wire", ["tcp", "pty"])
def test_pymeasure(wire: str) -> None:
    def ask(port: str) -> list[str]:
        import serial
        from pymeasure.adapters import SerialAdapter
        from pymeasure.instruments.keithley import Keithley2600

        adapter = SerialAdapter(serial.serial_for_url(port, timeout=2.0), read_termination="\n", write_termination="\n")
        instrument = Keithley2600(adapter)
        assert "Model 2636B" in instrument.ask("*IDN?")
        smu = Recorded(instrument.ChA)
        smu.apply_voltage(compliance_current=1e-4)
        assert smu.source_mode == "voltage"
        assert smu.compliance_current == pytest.approx(1e-4)
        smu.measure_current(nplc=1)
        assert instrument.ask("print(smua.measure.nplc)").strip() == "1.00000e+00"  # its own measure_nplc reads 25
        smu.source_voltage = 2.0
        assert smu.source_voltage == 2.0
        assert smu.source_output == "OFF"
        smu.source_output = "ON"
        assert smu.source_output == "ON"
        assert smu.current == pytest.approx(2e-6, rel=1e-3)
        assert smu.voltage == pytest.approx(2.0, abs=1e-3)
        assert smu.resistance == pytest.approx(1e6, rel=1e-3)
        smu.compliance_current = 1e-6
        assert smu.current == pytest.approx(1e-6, rel=1e-2)  # held by its limit
        assert instrument.ask("print(smua.source.compliance)").strip() == "true"
        smu.compliance_current = 1e-4
        smu.ramp_to_voltage(1.0, steps=3, pause=0.0)
        assert smu.current == pytest.approx(1e-6, rel=1e-3)
        smu.wires_mode = "4"
        assert smu.wires_mode == "4"
        smu.source_output = "OFF"
        smu.apply_current(compliance_voltage=5.0)
        assert smu.compliance_voltage == 5.0
        smu.source_current = 3e-6
        smu.source_output = "ON"
        assert smu.voltage == pytest.approx(3.0, rel=1e-3)
        instrument.write("smua.source.bogus = 1")
        assert instrument.next_error[0] == -286
        instrument.write("smua.source.levelv = = 1")
        assert instrument.next_error[0] == -285
        instrument.write("smua.source.limiti = 0")
        assert instrument.next_error[0] == 1101
        assert instrument.next_error == (0, "Queue Is Empty")
        smu.source_output = "OFF"
        assert smu.source_output == "OFF"  # answered: what was written before it was carried out
        return smu.used

    used, emulator = asked_by("keithley-2600", ask, {**_CELL, "wire": wire})
    print(f"2600 over {wire}, pymeasure's members that ran: {', '.join(used)}")
    assert not emulator.world.source.record["output_on"]


def test_keithley2600() -> None:
    def ask(port: str) -> list[str]:
        from keithley2600 import Keithley2600

        host, _, number = port.removeprefix("socket://").partition(":")
        instrument = Keithley2600(f"TCPIP0::{host}::{number}::SOCKET", write_termination="\n")
        k = Recorded(instrument)
        assert k.connected
        assert k.localnode.model == "2636B" or k.localnode.model == 2636
        k.smua.source.limiti = 1e-4
        assert k.smua.source.limiti == pytest.approx(1e-4)
        k.apply_voltage(k.smua, 2.0)
        assert k.measure_voltage(k.smua) == pytest.approx(2.0, abs=1e-3)
        assert k.measure_current(k.smua) == pytest.approx(2e-6, rel=1e-3)
        k.ramp_to_voltage(k.smua, 1.0, delay=0.0, step_size=0.5)
        assert k.smua.source.levelv == 1.0
        k.smua.measure.count = 3
        k.smua.measure.iv(k.smua.nvbuffer1, k.smua.nvbuffer2)
        assert k.smua.nvbuffer1.n == 3
        assert k.read_buffer(k.smua.nvbuffer2) == pytest.approx([1.0] * 3, abs=1e-3)
        k.smua.measure.count = 1
        levels = np.linspace(-1.0, 1.0, 9)
        volts, amperes = k.voltage_sweep_single_smu(k.smua, levels, t_int=0.02, delay=0.0, pulsed=False)
        assert volts == pytest.approx(list(levels), abs=1e-3)
        assert amperes == pytest.approx(list(levels * 1e-6), abs=2e-9)
        k.apply_current(k.smua, 3e-6)
        assert k.measure_voltage(k.smua) == pytest.approx(3.0, rel=1e-3)
        assert k.smub.source.output == 0
        assert k.read_error_queue() == []
        k.smua.source.output = k.smua.OUTPUT_OFF
        assert k.smua.source.output == 0  # answered: what was written before it was carried out
        instrument.disconnect()
        return k.used

    used, emulator = asked_by("keithley-2600", ask, {**_CELL, "wire": "tcp"})
    print(f"2600 over tcp, keithley2600's members that ran: {', '.join(used)}")
    assert not emulator.world.source.record["output_on"]
