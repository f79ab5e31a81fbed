"""The link of a driver: what it may never take for an answer, and how it comes back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cryoctl.errors import ConnectionLost, InstrumentError, NoAnswer
from cryoctl.testing.device import refused
from cryoctl_drivers.link import Exchange, Link
from cryoctl_simulators.wire.line_faults import Bent
from tests.wire.emulated import plugged_in

KELVIN = re.compile(r"[+-]\d+\.\d+")
AT_K, SET_K = "+095.000", "+120.000"


class Scripted:
    """Bends the next replies as told, then none."""

    def __init__(self, *ways: Callable[[bytes], Bent]) -> None:
        self.ways = list(ways)

    def bend(self, reply: bytes) -> Bent:
        return self.ways.pop(0)(reply) if self.ways else Bent(pieces=(reply,))


def late(reply: bytes) -> Bent:
    return Bent(pieces=(reply,), late_s=0.12)


def lost(reply: bytes) -> Bent:
    del reply
    return Bent()


def with_link(
    play: Callable[[Link, Any], Awaitable[None]], wire: str = "tcp", deadline_s: float = 0.05, **settings: Any
) -> None:
    """A link to a thermometer that reads `AT_K` while its set point is `SET_K`; every command is noted in `heard`."""

    async def whole() -> None:
        emulated = {"wire": wire, "sensor_sigma_k": 0.0, "approach_s": 1e9}
        given = {"deadline_s": deadline_s, "confirm": False, **settings}
        device, emulator = plugged_in("lake-shore-33x", "lake-shore-335", given, emulated)
        emulator.heard = []
        answer = emulator.answer

        def noted(command: str, session: dict[str, Any]) -> str | None:
            emulator.heard.append(command)
            return answer(command, session)

        emulator.answer = noted
        await device.connect()
        await device.link.tell("SETP 1,120")
        emulator.heard.clear()
        try:
            await play(device.link, emulator)
        finally:
            await device.close()
            emulator.close()

    asyncio.run(whole())


@pytest.mark.parametrize("wire", ["tcp", "pty"])
def test_a_reply_that_comes_too_late_is_never_the_answer_to_another_question(wire: str) -> None:
    async def play(link: Link, emulator: Any) -> None:
        emulator.line_faults = Scripted(late)
        await refused(NoAnswer, link.ask("KRDG? A", KELVIN, again=False))
        assert await link.ask("SETP? 1", KELVIN) == SET_K
        await asyncio.sleep(0.15)
        assert await link.ask("SETP? 1", KELVIN) == SET_K
        assert await link.ask("KRDG? A", KELVIN) == AT_K

    with_link(play, wire)


def test_a_question_that_may_be_repeated_is() -> None:
    async def play(link: Link, emulator: Any) -> None:
        emulator.line_faults = Scripted(lost, lambda reply: Bent(pieces=(b"\xff\x00" + reply[2:],)))
        assert await link.ask("KRDG? A", KELVIN) == AT_K

    with_link(play)


def test_what_moves_is_sent_once_whatever_comes_of_it() -> None:
    async def play(link: Link, emulator: Any) -> None:
        emulator.line_faults = Scripted(lost)
        await refused(NoAnswer, link.talk(Exchange(send="KRDG? A", shape=KELVIN)))
        assert emulator.heard == ["KRDG? A"]

    with_link(play)


def test_bytes_that_nobody_asked_for_bring_nothing_out_of_step() -> None:
    async def play(link: Link, emulator: Any) -> None:
        emulator.line_faults = Scripted(lambda reply: Bent(pieces=(reply, b"+001.000\r\n")))
        assert await link.ask("KRDG? A", KELVIN) == AT_K
        await asyncio.sleep(0.01)
        assert await link.ask("SETP? 1", KELVIN) == SET_K

    with_link(play)


def test_a_cancelled_question_is_carried_to_its_end() -> None:
    async def play(link: Link, emulator: Any) -> None:
        emulator.line_faults = Scripted(lambda reply: Bent(pieces=(reply,), late_s=0.03))
        asking = asyncio.create_task(link.ask("KRDG? A", KELVIN))
        await asyncio.sleep(0.01)
        asking.cancel()
        assert await link.ask("SETP? 1", KELVIN) == SET_K

    with_link(play, deadline_s=0.2)


@pytest.mark.parametrize("wire", ["tcp", "pty"])
def test_a_link_that_was_cut_says_so_and_can_be_made_again(wire: str) -> None:
    async def play(link: Link, emulator: Any) -> None:
        emulator.line_faults = Scripted(lambda reply: Bent(reset=True))
        await refused((ConnectionLost, NoAnswer), link.ask("KRDG? A", KELVIN, again=False))
        assert not link.is_open or wire == "pty"
        await link.open()
        assert await link.ask("KRDG? A", KELVIN) == AT_K

    with_link(play, wire, deadline_s=1.0)


@pytest.mark.parametrize("wire", ["tcp", "pty"])
def test_a_port_has_one_owner(wire: str) -> None:
    async def play(link: Link, emulator: Any) -> None:
        del link
        told = emulator.open()
        second, other = plugged_in("lake-shore-33x", "lake-shore-335", told)
        second.link.at(told["port"])
        second._name = second.link._owner = "second"
        error = await refused(InstrumentError, second.connect())
        assert "device" in str(error)
        other.close()

    with_link(play, wire)


def test_on_a_wire_without_checksums_two_answers_have_to_agree() -> None:
    async def play(link: Link, emulator: Any) -> None:
        emulator.line_faults = Scripted(lambda reply: Bent(pieces=(reply.replace(b"9", b"1"),)))
        assert await link.ask("KRDG? A", KELVIN) == AT_K
        assert emulator.heard.count("KRDG? A") > 2

    with_link(play, confirm=True)


def test_what_was_said_can_be_played_again(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"

    async def record(link: Link, emulator: Any) -> None:
        del emulator
        assert await link.ask("KRDG? A", KELVIN) == AT_K

    with_link(record, transcript=str(path))

    async def again() -> None:
        device, emulator = plugged_in("lake-shore-33x", "lake-shore-335", {"confirm": False})
        emulator.close()
        device.link.at(f"transcript:{path}")
        assert (await device.connect()).model == "335"
        await device.link.tell("SETP 1,120")
        assert await device.link.ask("KRDG? A", KELVIN) == AT_K
        assert device.link._port.left_over == 0
        error = await refused(ConnectionLost, device.link.ask("KRDG? A", KELVIN))
        assert "the transcript has the end" in str(error)
        await device.close()

    asyncio.run(again())


@pytest.mark.parametrize("wire", ["tcp", "pty"])
def test_a_command_that_is_repeated_on_the_line_is_no_answer(wire: str) -> None:
    async def play(link: Link, emulator: Any) -> None:
        answer = emulator.answer
        emulator.answer = lambda command, session: answer(command, session) or command
        assert await link.ask("SETP? 1", KELVIN) == SET_K
        emulator.heard.clear()
        exchanges = (Exchange(send="SETP 1,120", shape=None), Exchange(send="SETP? 1", shape=KELVIN, again=True))
        for _ in range(3):
            assert await link.talk(*exchanges) == [SET_K]
        assert emulator.heard.count("SETP 1,120") == 3
        assert emulator.heard.count("SETP? 1") == 3

    with_link(play, wire)


def test_a_command_before_which_something_came_unasked_is_sent_once() -> None:
    async def play(link: Link, emulator: Any) -> None:
        emulator.line_faults = Scripted(lambda reply: Bent(pieces=(reply, b"+001.000\r\n")))
        assert await link.ask("KRDG? A", KELVIN) == AT_K
        await asyncio.sleep(0.01)
        await link.tell("SETP 1,120")
        assert await link.ask("SETP? 1", KELVIN) == SET_K
        assert emulator.heard.count("SETP 1,120") == 1

    with_link(play)
