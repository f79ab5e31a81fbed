"""Keithley 2400 driver on its emulator: the contract of a source, over both wires, and on a bad line."""

from __future__ import annotations

from cryoctl.testing.bias import BiasContract
from tests.wire.emulated import EmulatedInstrument


class _Contract(EmulatedInstrument, BiasContract):
    driver, model = "keithley-2400", "keithley-2400"
    long_s = 5.0
    stamp_tolerance_rel = 5e-3  # stamps of seven digits


class TestKeithley2400OverSerial(_Contract):
    emulated = {"wire": "pty"}  # noqa: RUF012


class TestKeithley2400OverTcp(_Contract):
    emulated = {"wire": "tcp"}  # noqa: RUF012
