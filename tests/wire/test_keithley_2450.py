"""Keithley 2450 driver on its emulator: the contract of a source, over both wires, and on a bad line."""

from __future__ import annotations

from cryoctl.testing.bias import BiasContract
from tests.wire.emulated import EmulatedInstrument


class _Contract(EmulatedInstrument, BiasContract):
    driver, model = "keithley-2450", "keithley-2450"
    least_compliance_a = 1e-9


class TestKeithley2450OverTcp(_Contract):
    emulated = {"wire": "tcp"}  # noqa: RUF012


class TestKeithley2450OverSerial(_Contract):
    emulated = {"wire": "pty"}  # noqa: RUF012
