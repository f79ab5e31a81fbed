"""The safe state: every action bounded in time and read back, a failure told, and the rest done all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from cryoctl.clock import now_s
from cryoctl.engine.patience import within
from cryoctl.errors import ReadBackMismatch
from cryoctl.interfaces.device_set import DeviceSet

Action = Callable[[], Coroutine[Any, Any, None]]

ACTION_LIMIT_S = 10.0
RETRY_S = 0.5

BLANK, VALVES, STAGE, BIAS, NEEDLE = (
    "blank the beam",
    "close the column valves",
    "stop the stage",
    "bias to rest",
    "needle to rest",
)


@dataclass(frozen=True, slots=True)
class SafeAction:
    name: str
    confirmed: bool
    detail: str


async def reach_safe_state(devices: DeviceSet, *, alarm: bool) -> tuple[SafeAction, ...]:
    """Blank, stop the stage, bring bias and needle to rest, keep cold; on an alarm close the valves after blanking.

    Goes on to the end whatever a device throws, however long it is silent, and though the caller is cancelled.

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

    beam = devices.beam

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
    if devices.bias is not None:
        await attempt(BIAS, devices.bias.make_safe)
    if devices.needle is not None:
        await attempt(NEEDLE, devices.needle.make_safe)
    return tuple(done)


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
    """What is not safe: a beam neither blanked nor behind a closed valve, a bias or a needle not at rest."""
    confirmed = {action.name for action in actions if action.confirmed}
    stopped = BLANK in confirmed or VALVES in confirmed
    return tuple(
        action
        for action in unconfirmed(actions)
        if action.name in (BIAS, NEEDLE) or (action.name == BLANK and not stopped)
    )
