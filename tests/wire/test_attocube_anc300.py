"""Attocube ANC300 on its emulator: the contract of a needle over both wires, and what an open-loop drive must not do."""

from __future__ import annotations

from cryoctl.testing.needle import NeedleContract
from tests.wire.emulated import EmulatedInstrument


class TestAttocubeOverTcp(EmulatedInstrument, NeedleContract):
    driver, model = "attocube-anc300", "attocube-anc300"
    emulated = {"wire": "tcp"}  # noqa: RUF012


class TestAttocubeOverSerial(EmulatedInstrument, NeedleContract):
    driver, model = "attocube-anc300", "attocube-anc300"
    emulated = {"wire": "pty"}  # noqa: RUF012
