"""Lake Shore driver on its emulator: the contract of a holder, over both wires, and on a bad line."""

from __future__ import annotations

import asyncio

import pytest

from cryoctl.errors import InstrumentError
from cryoctl.testing.device import refused
from cryoctl.testing.holder import HolderContract
from tests.wire.emulated import EmulatedInstrument, holder_on_a_bad_line, plugged_in

_FAST = {"deadline_s": 0.05, "confirm": True}


class TestLakeShoreOverTcp(EmulatedInstrument, HolderContract):
    driver, model = "lake-shore-33x", "lake-shore-335"
    emulated = {"wire": "tcp"}  # noqa: RUF012


class TestLakeShoreOverSerial(EmulatedInstrument, HolderContract):
    driver, model = "lake-shore-33x", "lake-shore-335"
    emulated = {"wire": "pty"}  # noqa: RUF012


class TestLakeShore336(EmulatedInstrument, HolderContract):
    driver, model = "lake-shore-33x", "lake-shore-336"
    settings = {"sensor": "C", "ramp_k_per_min": 10.0}  # noqa: RUF012
    emulated = {"sensor": "C"}  # noqa: RUF012


@pytest.mark.parametrize("wire", ["tcp", "pty"])
@pytest.mark.parametrize("cases", [8, pytest.param(500, marks=pytest.mark.campaign)])
def test_on_a_bad_line_nothing_wrong_is_believed(wire: str, cases: int) -> None:
    line = holder_on_a_bad_line("lake-shore-33x", "lake-shore-335", _FAST, {"wire": wire}, cases)
    assert line.succeeded > 0.4 * cases


def test_another_instrument_is_told_by_name() -> None:
    async def play() -> None:
        holder, emulator = plugged_in("lake-shore-33x", "lake-shore-335", _FAST, {"wire": "tcp"})
        emulator.answer = lambda command, session: "KEITHLEY INSTRUMENTS,MODEL 2450,04012345,1.7.0b"
        error = await refused(InstrumentError, holder.connect())
        assert "2450" in str(error)
        await holder.close()
        emulator.close()

    asyncio.run(play())
