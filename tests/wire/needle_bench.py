"""What the tests of needle drivers share: one on its emulator in virtual time, and acts on a bad line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cryoctl.clock.virtual import run_virtual
from cryoctl.interfaces.context import DeviceContext
from cryoctl_simulators.wire.line_faults import KINDS, RESET
from tests.wire.emulated import BadLine, plugged_in

DEADLINE_S = 0.25
"""Of links on a bad line: a busy computer does not answer at once."""

Fault = dict[str, Any]


def on_needle(
    name: str,
    check: Callable[[Any, Any], Awaitable[None]],
    settings: dict[str, Any] | None = None,
    wire: str = "tcp",
    faults: tuple[Fault, ...] = (),
    context: DeviceContext | None = None,
) -> None:
    """A connected driver and its emulator."""

    async def whole() -> None:
        shared = context or DeviceContext(seed=11, faults=faults)
        needle, emulator = plugged_in(name, name, settings, {"wire": wire}, shared)
        try:
            await needle.connect()
            await check(needle, emulator)
        finally:
            await needle.close()
            emulator.close()

    run_virtual(whole())


def listened(emulator: Any) -> list[str]:
    """From now on all that it is told, in order."""
    heard: list[str] = []
    said = emulator.answer
    emulator.answer = lambda command, session: (heard.append(command), said(command, session))[1]
    return heard


def on_a_bad_line(
    name: str,
    wire: str,
    cases: int,
    settings: dict[str, Any],
    begin: Callable[[Any, Any], tuple[Callable[[], Awaitable[None]], Callable[[], None]]],
) -> None:
    """Replies bent, and then the connection cut now and then.

    Args:
        begin: given a live needle and its emulator; an act, and what has to hold at any time.
    """

    async def play() -> BadLine:
        given = {"deadline_s": DEADLINE_S, "confirm": True, **settings}
        needle, emulator = plugged_in(name, name, given, {"wire": wire})
        await needle.connect()
        await needle.high_voltage(True)
        act, holds = begin(needle, emulator)

        async def judged() -> None:
            try:
                await act()
            finally:
                holds()

        line = BadLine(needle, emulator, judged, patience_s=12 * needle.link.longest_s)
        kinds = tuple(kind for kind in KINDS if kind != RESET)
        await line.play(cases, seed=cases, share=0.1, among=kinds, late_s=DEADLINE_S)
        assert line.succeeded >= 0.5 * cases
        await line.play(cases // 4, seed=cases, share=0.02, among=(RESET,))
        await asyncio.sleep(0.02)
        holds()
        await needle.close()
        emulator.close()
        return line

    line = asyncio.run(play())
    print(f"{wire}: {cases} cases, {line.succeeded} succeeded, slowest {line.slowest_s:.2f} s, {line.kinds}")
