"""PI GCS 2 on its emulator: the contract of a needle over both wires, closed loop, and errors that latch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import CryoctlError, InstrumentError, NoAnswer, NotReached, OutOfRange, ReadBackMismatch
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.needle import NeedleHold
from cryoctl.testing.device import begun, refused
from cryoctl.testing.needle import NeedleContract
from tests.wire.emulated import EmulatedInstrument, plugged_in
from tests.wire.needle_bench import listened, on_a_bad_line, on_needle

_NAME = "pi-gcs2"
_STEP_MM = 150e-6


class TestPiOverTcp(EmulatedInstrument, NeedleContract):
    driver, model = _NAME, _NAME
    emulated = {"wire": "tcp"}  # noqa: RUF012


class TestPiOverSerial(EmulatedInstrument, NeedleContract):
    driver, model = _NAME, _NAME
    emulated = {"wire": "pty"}  # noqa: RUF012


def place(emulator: Any, axis: str) -> float:
    return float(emulator.world.file.record["pi_gcs2"][axis]["position"])


@pytest.mark.parametrize("wire", ["tcp", "pty"])
@pytest.mark.parametrize("cases", [2, pytest.param(500, marks=pytest.mark.campaign)])
def test_on_a_bad_line_it_goes_nowhere_else_and_every_step_is_counted(wire: str, cases: int) -> None:
    def begin(needle: Any, emulator: Any) -> tuple[Callable[[], Awaitable[None]], Callable[[], None]]:
        draw = random.Random(3)
        heard = listened(emulator)

        def nothing_is_hidden() -> None:
            assert sum(one.startswith(("MOV 1 ", "MOV 2 ", "MOV 3 ")) for one in heard) <= 1
            counted, unsure = needle.remembered.steps, needle.remembered.unsure
            for index, axis in enumerate("123"):
                assert abs(counted[index] - place(emulator, axis) / _STEP_MM) <= unsure[index] + 0.1

        async def act() -> None:
            heard.clear()
            axis, steps = draw.choice("xyz"), draw.choice((-7, 3, 12))
            wanted_m = tuple(round(draw.uniform(-2e-6, 2e-6), 9) for _ in range(3))
            before = needle.remembered.steps["xyz".index(axis)]
            after = await needle.step(axis, steps)
            assert after.coarse_steps["xyz".index(axis)] == before + steps
            assert (await needle.fine(*wanted_m)).fine_m == wanted_m
            found = [place(emulator, one) * 1e-6 - 2.5e-6 for one in "456"]
            assert found == pytest.approx(wanted_m, abs=5e-9)

        return act, nothing_is_hidden

    on_a_bad_line(_NAME, wire, cases, {"coarse_velocity_m_per_s": 1e-3, "fine_velocity_m_per_s": 1e-2}, begin)


def test_stopped_it_counts_what_its_sensor_says() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        burst = await begun(needle.step("y", -500), 0.1234)
        await needle.stop()
        made = place(emulator, "2") / _STEP_MM
        counted = (await burst).coarse_steps[1]
        assert -500 < made < 0
        assert made - 1.2 < counted <= made
        assert needle.remembered.unsure == (0, 0, 0)
        await asyncio.sleep(0.5)
        assert place(emulator, "2") / _STEP_MM == pytest.approx(made)
        assert (await needle.step("y", -1)).coarse_steps[1] == counted - 1

    on_needle(_NAME, check)


def test_a_tube_that_was_stopped_on_its_way_stands_by_its_own_account() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        await needle.high_voltage(True)
        move = await begun(needle.fine(2e-6, 0.0, 0.0), 0.01)
        await needle.stop()
        state = await move
        assert 0.0 < state.fine_m[0] < 2e-6
        await asyncio.sleep(0.05)
        assert await needle.state() == state

    on_needle(_NAME, check)


def test_an_error_of_long_ago_is_no_fault_of_the_next_move() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        assert emulator.answer("NONSENSE", {}) is None
        assert (await needle.step("x", 2)).coarse_steps == (2, 0, 0)
        await needle.stop()
        assert emulator.answer("ERR?", {}) == "0"

    on_needle(_NAME, check)


def test_a_move_that_is_declined_is_not_counted() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        said = emulator.answer
        emulator.answer = lambda command, session: said(command.replace("MOV 1", "MOV 9"), session)
        error = await refused(CryoctlError, needle.step("x", 2))
        assert "invalid axis" in str(error)
        assert needle.remembered.steps == (0, 0, 0)

    on_needle(_NAME, check)


def test_a_lost_answer_sends_no_second_move() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        said, asked = emulator.answer, []

        def deaf(command: str, session: Any) -> Any:
            asked.append(command)
            moved = len(asked) > 1 and asked[-2].startswith("MOV ")
            return None if command.startswith("MOV ") or (moved and command == "ERR?") else said(command, session)

        emulator.answer = deaf
        error = await refused(NoAnswer, needle.step("x", 4))
        assert "not sent again" in str(error)
        assert sum(command.startswith("MOV ") for command in asked) == 1
        assert (needle.remembered.steps, needle.remembered.unsure) == ((4, 0, 0), (4, 0, 0))

    on_needle(_NAME, check, {"deadline_s": 0.05})


def test_beyond_its_soft_limits_nothing_moves() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        for _ in range(6):
            await needle.step("x", 1000)
        await refused(OutOfRange, needle.step("x", 1000))
        assert needle.remembered.steps == (6000, 0, 0)
        assert place(emulator, "1") == pytest.approx(9.0, abs=1e-5)

    on_needle(_NAME, check, {"coarse_step_m": 1.5e-6, "coarse_velocity_m_per_s": 5e-3, "coarse_tolerance_m": 1e-7})


def test_another_process_knows_steps_and_hold(tmp_path: Path) -> None:
    async def session(first: bool) -> None:
        context = DeviceContext(seed=11, world_file=tmp_path / "world")
        needle, emulator = plugged_in(_NAME, _NAME, None, {"wire": "tcp"}, context)
        await needle.connect()
        if first:
            await needle.step("z", 7)
            await needle.high_voltage(True)
            await needle.fine(1e-6, -2e-7, 0.0)
            await needle.note_hold(NeedleHold.CARRYING)
        state = await needle.state()
        assert (state.coarse_steps, state.hold) == ((0, 0, 7), NeedleHold.CARRYING)
        assert state.fine_m == (1e-6, -2e-7, 0.0)
        assert state.high_voltage_on
        await needle.make_safe()
        assert await needle.state() == state
        emulator.close()

    run_virtual(session(True))
    run_virtual(session(False))


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        ("runs-away", NotReached),
        ("stuck", NotReached),
        ("voltage-refused", ReadBackMismatch),
        ("not-at-place", NotReached),
    ],
)
def test_what_the_drive_does_otherwise_is_a_fault(fault: str, wanted: type[CryoctlError]) -> None:
    async def check(needle: Any, emulator: Any) -> None:
        if fault != "voltage-refused":
            await needle.high_voltage(True)
        await asyncio.sleep(11.0)
        acts = {
            "not-at-place": lambda: needle.fine(1e-7, 0.0, 0.0),
            "voltage-refused": lambda: needle.high_voltage(True),
        }
        await refused(wanted, acts.get(fault, lambda: needle.step("x", -10))())
        if fault == "voltage-refused":
            assert not (await needle.state()).high_voltage_on
        if fault == "not-at-place":
            assert (await needle.state()).fine_m[0] == pytest.approx(5e-8, abs=5e-9)

    on_needle(_NAME, check, faults=({"device": "needle", "fault": fault, "at": {"time_s": 10.0}, "for_s": 100.0},))


def test_it_steps_clear_before_it_relaxes() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        await needle.high_voltage(True)
        await needle.fine(1e-6, 0.0, 0.0)
        asked = listened(emulator)
        contact, world = emulator.world.contact, emulator.world
        before_m = contact.needle.apex_m(world.time_s)[0]
        await needle.make_safe()
        assert contact.needle.apex_m(world.time_s)[0] - before_m > 2e-6
        last_move = max(index for index, one in enumerate(asked) if one.startswith("MOV "))
        assert last_move < min(index for index, one in enumerate(asked) if one.startswith("SVO 4 0"))

    on_needle(_NAME, check)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"fine_range_m": [-4e-6, 4e-6]}, "fine_range_m"),
        ({"fine_axes": ["4", "5", "3"]}, "six different"),
        ({"coarse_velocity_m_per_s": 1e-2, "coarse_unit_m": 1e-4}, "speed"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(settings: Any, told: str) -> None:
    async def whole() -> None:
        with pytest.raises(CryoctlError) as caught:
            needle, emulator = plugged_in(_NAME, _NAME, settings, {"wire": "tcp"})
            try:
                await needle.connect()
            finally:
                await needle.close()
                emulator.close()
        assert told in str(caught.value)
        assert len(str(caught.value)) <= 300

    run_virtual(whole())


def test_axes_without_reference_and_another_instrument_are_told() -> None:
    async def whole(command: str, answer: str, wanted: type[CryoctlError], told: str) -> None:
        needle, emulator = plugged_in(_NAME, _NAME, {"deadline_s": 0.05}, {"wire": "tcp"})
        said = emulator.answer
        emulator.answer = lambda asked, session: answer if asked.startswith(command) else said(asked, session)
        assert told in str(await refused(wanted, needle.connect()))
        await needle.close()
        emulator.close()

    run_virtual(whole("FRF?", "1=1 \n2=0 \n3=1", CryoctlError, "axis 2 is not referenced"))
    run_virtual(whole("*IDN?", "(c)2020 Somebody Else, X-1, 5, 1.0", InstrumentError, "Somebody Else"))
    run_virtual(whole("*IDN?", "KEITHLEY INSTRUMENTS,MODEL 2450,04012345,1.7.0b", NoAnswer, "KEITHLEY"))
