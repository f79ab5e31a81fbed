"""Attocube ANC300 on its emulator: the contract of a needle over both wires, and what no open-loop drive may do."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import ConnectionLost, CryoctlError, DeviceError, InstrumentError, NoAnswer, ReadBackMismatch
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.needle import NeedleHold
from cryoctl.testing.device import begun, refused
from cryoctl.testing.needle import NeedleContract
from tests.wire.emulated import EmulatedInstrument, plugged_in
from tests.wire.needle_bench import listened, on_a_bad_line, on_needle

_NAME = "attocube-anc300"


class TestAttocubeOverTcp(EmulatedInstrument, NeedleContract):
    driver, model = _NAME, _NAME
    emulated = {"wire": "tcp"}  # noqa: RUF012


class TestAttocubeOverSerial(EmulatedInstrument, NeedleContract):
    driver, model = _NAME, _NAME
    emulated = {"wire": "pty"}  # noqa: RUF012


def truth(emulator: Any) -> dict[str, Any]:
    return emulator.world.contact.needle.record


@pytest.mark.parametrize("wire", ["tcp", "pty"])
@pytest.mark.parametrize("cases", [2, pytest.param(500, marks=pytest.mark.campaign)])
def test_on_a_bad_line_no_step_is_sent_twice_and_none_goes_uncounted(wire: str, cases: int) -> None:
    def begin(needle: Any, emulator: Any) -> tuple[Callable[[], Awaitable[None]], Callable[[], None]]:
        draw = random.Random(3)
        told = 0

        def nothing_is_hidden() -> None:
            record = truth(emulator)
            assert record["pulses"] <= told
            counted, unsure = needle.remembered.steps, needle.remembered.unsure
            for axis in range(3):
                assert abs(counted[axis] - record["steps"][axis]) <= unsure[axis]

        async def act() -> None:
            nonlocal told
            axis, steps = draw.choice("xyz"), draw.choice((-7, 3, 12))
            wanted_m = tuple(round(draw.uniform(-2e-6, 2e-6), 9) for _ in range(3))
            told += abs(steps)
            before = needle.remembered.steps["xyz".index(axis)]
            after = await needle.step(axis, steps)
            assert after.coarse_steps["xyz".index(axis)] == before + steps
            assert (await needle.fine(*wanted_m)).fine_m == wanted_m
            volts = [found / (5e-6 / 150) for found in truth(emulator)["fine_m"]]
            assert [(one - 75) * 3.3e-8 for one in volts] == pytest.approx(wanted_m, abs=1e-10)

        return act, nothing_is_hidden

    on_a_bad_line(_NAME, wire, cases, {"step_frequency_hz": [2000.0, 2000.0, 2000.0]}, begin)


def test_a_burst_whose_answer_is_lost_is_counted_and_never_sent_again() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        said = emulator.answer
        emulator.answer = lambda command, session: (
            None if said(command, session) and "stepu" in command else said(command, session)
        )
        error = await refused(NoAnswer, needle.step("x", 60))
        assert "25 steps along x" in str(error)
        assert needle.remembered.steps == (25, 0, 0)
        assert needle.remembered.unsure == (25, 0, 0)
        await asyncio.sleep(0.2)
        assert truth(emulator)["pulses"] == 25

    on_needle(_NAME, check, {"deadline_s": 0.05})


def test_a_burst_is_counted_on_the_disk_before_it_is_sent() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        kept = Path(emulator.open()["state_file"])
        said, on_disk = emulator.answer, []

        def watched(command: str, session: Any) -> Any:
            if command.startswith("step"):
                on_disk.append((json.loads(kept.read_text())["steps"][1], truth(emulator)["steps"][1]))
            return said(command, session)

        emulator.answer = watched
        await needle.step("y", -60)
        assert on_disk == [(-25, 0), (-50, -25), (-60, -50)]

    on_needle(_NAME, check)


def test_another_process_knows_steps_and_hold(tmp_path: Path) -> None:
    async def session(first: bool) -> None:
        context = DeviceContext(seed=11, world_file=tmp_path / "world")
        needle, emulator = plugged_in(_NAME, _NAME, None, {"wire": "tcp"}, context)
        await needle.connect()
        if first:
            await needle.step("z", 7)
            await needle.high_voltage(True)
            await needle.fine(1e-6, -2e-7, 0.0)
            await needle.note_hold(NeedleHold.BONDED)
        state = await needle.state()
        assert (state.coarse_steps, state.hold) == ((0, 0, 7), NeedleHold.BONDED)
        assert state.fine_m == (1e-6, -2e-7, 0.0)
        assert state.high_voltage_on
        await needle.make_safe()
        assert await needle.state() == state
        emulator.close()  # the process is gone, its connection with it

    run_virtual(session(True))
    run_virtual(session(False))


def test_stop_acts_within_a_burst_and_what_it_cut_off_is_unsure() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        burst = await begun(needle.step("y", 500), 0.12)
        await needle.stop()
        made = truth(emulator)["pulses"]
        state = await burst
        await asyncio.sleep(0.2)
        assert truth(emulator)["pulses"] == made
        assert state.coarse_steps[1] - 25 < made <= state.coarse_steps[1] < 100
        assert needle.remembered.unsure[1] == 25

    on_needle(_NAME, check)


def test_it_steps_clear_before_it_grounds() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        await needle.high_voltage(True)
        await needle.fine(-1e-6, 0.0, 0.0)
        asked = listened(emulator)
        away = emulator.world.contact.needle.apex_m(emulator.world.time_s)[0]
        await needle.make_safe()
        moves = [one for one in asked if one.startswith(("step", "setm 4", "seta"))]
        assert moves.index("setm 4 gnd") > max(i for i, one in enumerate(moves) if one.startswith("stepu 1"))
        assert not any(one.startswith("stepd") for one in moves)
        assert emulator.world.contact.needle.apex_m(emulator.world.time_s)[0] - away > 2e-6

    on_needle(_NAME, check)


def _at_once(fault: str, **parameters: float) -> tuple[dict[str, Any], ...]:
    return ({"device": "needle", "fault": fault, "at": {"time_s": 10.0}, **parameters},)


@pytest.mark.parametrize(
    ("fault", "wanted", "told"),
    [
        ("runs-away", DeviceError, "went on"),
        ("voltage-refused", ReadBackMismatch, "reads back gnd"),
        ("not-at-place", ReadBackMismatch, "reads back"),
    ],
)
def test_what_the_drive_does_otherwise_is_a_fault(fault: str, wanted: type[CryoctlError], told: str) -> None:
    async def check(needle: Any, emulator: Any) -> None:
        if fault != "voltage-refused":
            await needle.high_voltage(True)
        await asyncio.sleep(11.0)
        act = {"runs-away": lambda: needle.step("x", 10), "voltage-refused": lambda: needle.high_voltage(True)}
        error = await refused(wanted, act.get(fault, lambda: needle.fine(1e-7, 0.0, 0.0))())
        assert told in str(error)
        counted, made = needle.remembered.steps[0], truth(emulator)["steps"][0]
        assert counted - needle.remembered.unsure[0] <= made <= counted
        if fault == "voltage-refused":
            assert not (await needle.state()).high_voltage_on

    on_needle(_NAME, check, faults=_at_once(fault))


def test_a_tube_that_lost_its_voltage_is_told_where_it_is() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        await needle.high_voltage(True)
        await asyncio.sleep(11.0)
        state = await needle.state()
        assert not state.high_voltage_on
        assert state.fine_m == needle.capabilities.grounded_m

    on_needle(_NAME, check, faults=_at_once("voltage-trip"))


def test_a_controller_that_was_restarted_is_greeted_anew() -> None:
    async def check(needle: Any, emulator: Any) -> None:
        await needle.step("x", 5)
        await asyncio.sleep(11.0)
        await refused((ConnectionLost, NoAnswer), needle.state())
        await needle.connect()
        assert (await needle.step("x", 5)).coarse_steps == (10, 0, 0)

    on_needle(_NAME, check, {"deadline_s": 0.05}, "pty", _at_once("lost-link", forgets=1.0))


@pytest.mark.parametrize(
    ("settings", "emulated", "told"),
    [
        ({"password": "wrong"}, {}, "password"),
        ({"password_variable": "CRYOCTL_NO_SUCH"}, {}, "CRYOCTL_NO_SUCH"),
        ({"fine_axes": [4, 5, 7]}, {}, "fine_axes"),
        ({"step_axes": [1, 2, 4]}, {}, "six different"),
        ({"capacitance_farad": [5e-7, 1e-6]}, {}, "capacitance"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(settings: Any, emulated: Any, told: str) -> None:
    async def whole() -> None:
        with pytest.raises(CryoctlError) as caught:
            needle, emulator = plugged_in(_NAME, _NAME, settings, {"wire": "tcp", **emulated})
            try:
                await needle.connect()
                await needle.high_voltage(True)
            finally:
                await needle.close()
                emulator.close()
        assert told in str(caught.value)
        assert len(str(caught.value)) <= 300
        assert "wrong" not in str(caught.value)

    run_virtual(whole())


def test_another_instrument_is_told_by_name() -> None:
    async def whole(answer: str, told: str) -> None:
        needle, emulator = plugged_in(_NAME, _NAME, {"deadline_s": 0.05}, {"wire": "pty"})
        emulator.answer = lambda command, session: "OK" if command == "echo off" and "ANC" in answer else answer
        error = await refused((InstrumentError, NoAnswer), needle.connect())
        assert told in str(error)
        await needle.close()
        emulator.close()

    run_virtual(whole("attocube ANC350 controller version 1.0\r\nOK", "ANC350"))
    run_virtual(whole("KEITHLEY INSTRUMENTS,MODEL 2450,04012345,1.7.0b", "KEITHLEY"))


def test_counts_of_another_controller_are_not_taken(tmp_path: Path) -> None:
    async def whole() -> None:
        kept = tmp_path / "world.device.json"
        context = DeviceContext(seed=11, world_file=tmp_path / "world")
        needle, emulator = plugged_in(_NAME, _NAME, None, {"wire": "tcp"}, context)
        kept.write_text(json.dumps({**_REMEMBERED, "serial": "ANC300B-C-1514-1"}))
        assert "ANC300B-C-1514-1" in str(await refused(InstrumentError, needle.connect()))
        kept.write_text("[]")
        assert "no record" in str(await refused(CryoctlError, needle.connect()))
        await needle.close()
        emulator.close()

    run_virtual(whole())


_REMEMBERED = {"steps": [0, 0, 0], "unsure": [0, 0, 0], "fine_m": [0.0, 0.0, 0.0], "hold": "free", "parked": True}
