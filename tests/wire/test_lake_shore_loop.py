"""Lake Shore driver on its emulator: ramps, heater, limits, and what becomes of a set point afterwards."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import DeviceError, InstrumentError, OutOfRange, ReadBackMismatch
from cryoctl.testing.device import refused
from tests.wire.emulated import on_a_wire, plugged_in

_RAMP = {"ramp_k_per_min": 6.0}
_EXACT = {"wire": "tcp", "sensor_sigma_k": 0.0}


def _checked(
    check: Callable[[Any, Any], Awaitable[None]], settings: dict[str, Any] | None = None, **emulated: Any
) -> None:
    on_a_wire("lake-shore-33x", "lake-shore-335", settings or {}, {**_EXACT, **emulated}, check)


def _panel(emulator: Any, *commands: str) -> None:
    """Somebody at the front panel."""
    for command in commands:
        emulator.answer(command, {})


def _deaf_to(emulator: Any, name: str) -> None:
    """A command that never arrives: setters have no answer that would tell."""
    heard = emulator.answer
    emulator.answer = lambda command, session: None if command.startswith(name) else heard(command, session)


def test_a_ramp_takes_its_time_and_ends_at_its_target() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        await holder.set_temperature(125.0)
        await asyncio.sleep(60.0)
        assert emulator.answer("SETP? 1;RAMPST? 1", {}) == "+101.000;1"
        at_60_s = (await holder.temperature()).temperature_k
        assert at_60_s == pytest.approx(95 + 6 - 6 * (1 - math.exp(-1)), abs=0.01), "lags by rate times tau in the end"
        await holder.set_temperature(120.0)
        assert emulator.answer("SETP? 1;RAMPST? 1", {}) == "+101.000;1", "goes on from where it was"
        await asyncio.sleep(190.0)
        assert emulator.answer("SETP? 1;RAMPST? 1", {}) == "+120.000;0"
        await asyncio.sleep(600.0)
        assert (await holder.temperature()).temperature_k == pytest.approx(120.0, abs=0.01)

    _checked(check, _RAMP)


def test_a_ramp_from_a_cold_heater_never_goes_by_an_old_set_point() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        _panel(emulator, "SETP 1,300")
        await holder.set_temperature(120.0)
        for _ in range(30):
            await asyncio.sleep(20.0)
            assert (await holder.temperature()).temperature_k <= 120.01

    _checked(check, _RAMP)


def test_a_target_changed_during_its_ramp_is_told_once() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        await holder.set_temperature(125.0)
        await asyncio.sleep(60.0)
        _panel(emulator, "SETP 1,110")
        await holder.temperature()
        await asyncio.sleep(120.0)
        error = await refused(ReadBackMismatch, holder.temperature())
        assert "125" in str(error)
        assert "110" in str(error)
        assert (await holder.temperature()).valid

    _checked(check, _RAMP)


@pytest.mark.parametrize(
    ("settings", "lost"), [({}, "SETP"), ({}, "RANGE"), (_RAMP, "SETP"), (_RAMP, "RANGE"), (_RAMP, "RAMP")]
)
def test_a_command_that_was_lost_is_noticed(settings: dict[str, Any], lost: str) -> None:
    async def check(holder: Any, emulator: Any) -> None:
        _panel(emulator, "RAMP 1,0,3.3")
        _deaf_to(emulator, f"{lost} ")
        await refused(ReadBackMismatch, holder.set_temperature(120.0))
        assert emulator.answer("RANGE? 1", {}) == "0", "no heater before its set point was read back"

    _checked(check, settings)


@pytest.mark.parametrize(("heater", "told"), [("open", "open"), ("short", "shorted")])
def test_a_broken_heater_is_told(heater: str, told: str) -> None:
    async def check(holder: Any, emulator: Any) -> None:
        error = await refused(DeviceError, holder.set_temperature(120.0))
        assert told in str(error)
        await asyncio.sleep(600.0)
        assert (await holder.temperature()).temperature_k == pytest.approx(95.0, abs=0.01)
        found = await holder.heater()
        assert (found.percent, found.fault) == (0.0, f"is {told}")

    _checked(check, heater=heater)


def test_a_heater_that_breaks_later_is_told_by_the_next_reading_and_only_there() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        await holder.set_temperature(120.0)
        await asyncio.sleep(600.0)
        found = await holder.heater()
        assert found.range == 2
        assert found.fault == ""
        assert found.percent == pytest.approx(100 * 25 / 305, abs=0.06)
        emulator.heater = "open"
        error = await refused(DeviceError, holder.temperature())
        assert "open" in str(error)
        assert (await holder.temperature()).valid, "the safe state has to be able to read"

    _checked(check)


def test_no_set_point_above_the_controllers_own_limit() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        for wrong in (150.0, 200.0):
            error = await refused(OutOfRange, holder.set_temperature(wrong))
            assert "150" in str(error)
        await holder.set_temperature(149.0)
        await asyncio.sleep(600.0)
        _panel(emulator, "TLIMIT A,140")
        assert "range 0" in str(await refused(ReadBackMismatch, holder.temperature()))

    _checked(check, temperature_limit_k=150.0)


def test_after_a_restart_the_set_point_has_to_be_given_anew() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        await holder.set_temperature(120.0)
        await asyncio.sleep(600.0)
        emulator.forget_settings()
        await refused(ReadBackMismatch, holder.temperature())
        await asyncio.sleep(600.0)
        assert (await holder.temperature()).temperature_k == pytest.approx(95.0, abs=0.1)
        await holder.connect()
        await holder.set_temperature(120.0)
        await asyncio.sleep(600.0)
        assert (await holder.temperature()).temperature_k == pytest.approx(120.0, abs=0.1)

    _checked(check)


def test_a_sensor_that_is_not_there_reads_invalid_and_no_ramp_begins() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        reading = await holder.temperature()
        assert not reading.valid
        assert math.isnan(reading.temperature_k)
        assert "sensor open" in str(await refused(DeviceError, holder.make_safe()))
        assert "sensor open" in str(await refused(DeviceError, holder.set_temperature(120.0)))
        assert emulator.answer("RANGE? 1", {}) == "0"

    _checked(check, {**_RAMP, "sensor": "B"})


def test_an_input_that_the_model_lacks_is_refused() -> None:
    async def play() -> None:
        holder, emulator = plugged_in("lake-shore-33x", "lake-shore-335", {"sensor": "C"}, _EXACT)
        error = await refused(InstrumentError, holder.connect())
        assert "input C" in str(error)
        await holder.close()
        emulator.close()

    run_virtual(play())


def test_an_identity_with_bytes_that_no_name_has_is_asked_again() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        own, garbled = emulator.answer, ["LSCI,MODEL335,LSA\xea\x17\x9e0011,1.6"]

        def answer(command: str, session: dict[str, Any]) -> str | None:
            return garbled.pop() if command == "*IDN?" and garbled else own(command, session)

        emulator.answer = answer
        assert (await holder.connect()).serial == "LSA0011"
        assert not garbled

    _checked(check)
