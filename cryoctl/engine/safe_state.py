"""The safe state: every action bounded in time and read back, a failure told, and the rest done all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from cryoctl.clock import in_virtual_time, now_s
from cryoctl.engine.patience import within
from cryoctl.errors import DeviceError, ReadBackMismatch
from cryoctl.interfaces.bias import BiasReading
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.needle import Needle

Action = Callable[[], Coroutine[Any, Any, None]]

ACTION_LIMIT_S = 10.0
RETRY_S = 0.5
STILL_S = 0.05
"""A needle that holds something is looked at twice, this far apart."""
WITHDRAW_V, WITHDRAW_A = 10.0, 1e-6
"""A needle is drawn away from a source that does not answer only where no more than this was last read."""

BLANK, VALVES, STAGE, HALT, BIAS, CUT_OFF, NEEDLE, COLD, FLUSH, DARK = (
    "blank the beam",
    "close the column valves",
    "stop the stage",
    "stop the needle",
    "bias to rest",
    "cut the source off",
    "needle to rest",
    "keep cold",
    "flush the data",
    "light off",
)


@dataclass(frozen=True, slots=True)
class SafeAction:
    name: str
    confirmed: bool
    detail: str


async def reach_safe_state(
    devices: DeviceSet,
    *,
    alarm: bool,
    last_bias: BiasReading | None = None,
    flush: Callable[[], None] | None = None,
) -> tuple[SafeAction, ...]:
    """Blank, stop what moves, bring bias and needle to rest, keep cold, flush, light off; on an alarm close the valves
    after blanking.

    A needle that carries or is bonded is held where it is; another one is withdrawn, once the source is at rest. Where
    the source can't be brought to rest it is cut off by its second path, and the needle is withdrawn only if
    `last_bias` was small.

    Goes on to the end whatever a device throws, however long it is silent, and though the caller is cancelled.

    Args:
        last_bias: what the source told last, None where it never did.
        flush: brings journal and frames to the disk.

    Returns:
        One entry an action, in the order done. Where blanking can't be confirmed the valves are closed as well.
    """
    done: list[SafeAction] = []

    async def attempt(name: str, action: Action) -> bool:
        """Again and again until its time is over: a link may come back."""
        deadline_s = now_s() + ACTION_LIMIT_S
        while True:
            problem = await _problem(action, deadline_s - now_s())
            if not problem or now_s() + RETRY_S >= deadline_s:
                break
            await within(asyncio.sleep(RETRY_S), 2 * RETRY_S)
        done.append(SafeAction(name, not problem, problem))
        return not problem

    beam, bias, needle, holder = devices.beam, devices.bias, devices.needle, devices.holder

    async def blank() -> None:
        await beam.blank()
        if not await beam.is_blanked():
            raise ReadBackMismatch(f"{beam.name}: told to blank, reads back open")

    async def close_valves() -> None:
        await beam.close_valves()
        if await beam.valves_open():
            raise ReadBackMismatch(f"{beam.name}: told to close the column valves, reads back open")

    async def stop_stage() -> None:
        await devices.stage.stop()
        if await devices.stage.is_moving():
            raise ReadBackMismatch(f"{devices.stage.name}: told to stop, still moves")

    await _stop_the_beam(blank, close_valves, alarm, done)
    await attempt(STAGE, stop_stage)
    if needle is not None:
        await attempt(HALT, needle.stop)
    at_rest = True
    if bias is not None:
        at_rest = await attempt(BIAS, bias.make_safe)
        if not at_rest:
            await attempt(CUT_OFF, bias.cut_off)
    if needle is not None:
        await attempt(NEEDLE, lambda: _rest_needle(needle, at_rest or _small(last_bias)))
    if holder is not None:

        async def keep_cold() -> None:
            """Nothing is sent, so that nothing warms up; what it reads tells whether it is so."""
            if not (await holder.temperature()).valid:
                raise DeviceError(f"{holder.name}: its temperature can't be read; look at it")

        await attempt(COLD, keep_cold)
    if flush is not None:
        await attempt(FLUSH, lambda: _flushed(flush))
    if devices.light is not None:
        await attempt(DARK, devices.light.make_safe)
    return tuple(done)


def _small(reading: BiasReading | None) -> bool:
    if reading is None:
        return False
    return not reading.output_on or (abs(reading.voltage_v) <= WITHDRAW_V and abs(reading.current_a) <= WITHDRAW_A)


async def _rest_needle(needle: Needle, may_withdraw: bool) -> None:
    before = await needle.state()
    if before.hold.is_fast:
        await asyncio.sleep(STILL_S)
        if await needle.state() != before:
            raise ReadBackMismatch(f"{needle.name}: it is {before.hold} and was stopped, yet it moves; look at it")
        return
    if not may_withdraw:
        raise DeviceError(
            f"{needle.name}: held where it is ({before.hold}): the source does not answer and was last read above "
            f"{WITHDRAW_V:g} V or {WITHDRAW_A:g} A, or never; switch it off by hand, then withdraw"
        )
    await needle.make_safe()


async def _flushed(flush: Callable[[], None]) -> None:
    """In real time in a thread: a disk that hangs must not hang what still has to be told."""
    if in_virtual_time():
        flush()
    else:
        await asyncio.get_running_loop().run_in_executor(None, flush)


async def _stop_the_beam(blank: Action, close_valves: Action, alarm: bool, done: list[SafeAction]) -> None:
    """The two ways in turn, at once and again until one of them is confirmed or the time is over."""
    deadline_s = now_s() + ACTION_LIMIT_S
    while True:
        not_blanked = await _problem(blank, min(ACTION_LIMIT_S / 4, deadline_s - now_s()))
        valves_wanted = alarm or bool(not_blanked)
        not_closed = await _problem(close_valves, deadline_s - now_s()) if valves_wanted else ""
        stopped = not not_blanked or not not_closed
        if stopped or now_s() + RETRY_S >= deadline_s:
            break
        await within(asyncio.sleep(RETRY_S), 2 * RETRY_S)
    done.append(SafeAction(BLANK, not not_blanked, not_blanked))
    if valves_wanted:
        done.append(SafeAction(VALVES, not not_closed, not_closed))


async def _problem(action: Action, limit_s: float) -> str:
    """Try once; empty where it was confirmed. A driver's own bug counts as a problem like any other."""
    try:
        await within(action(), max(RETRY_S, limit_s))
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def unconfirmed(actions: tuple[SafeAction, ...]) -> tuple[SafeAction, ...]:
    return tuple(action for action in actions if not action.confirmed)


def dangers(actions: tuple[SafeAction, ...]) -> tuple[SafeAction, ...]:
    """What is not safe: a beam neither blanked nor behind a closed valve, a bias neither at rest nor cut off, a needle
    not at rest."""
    confirmed = {action.name for action in actions if action.confirmed}
    second = {BLANK: VALVES, BIAS: CUT_OFF}
    return tuple(
        action
        for action in unconfirmed(actions)
        if action.name == NEEDLE or (action.name in second and second[action.name] not in confirmed)
    )


def shortfalls(actions: tuple[SafeAction, ...]) -> tuple[SafeAction, ...]:
    """Safe, but not in the way that it should be: a second way had to help, data may not have reached the disk, or the
    light may be on."""
    return tuple(action for action in unconfirmed(actions) if action.name in (BLANK, BIAS, FLUSH, DARK))
