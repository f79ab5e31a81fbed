"""Waiting for what may never answer, and for what must not be interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from cryoctl.clock import now_s
from cryoctl.errors import NoAnswer

T = TypeVar("T")

ANSWER_LIMIT_S = 10.0
"""What a device may take for a setting or a frame; moves and detectors on their way in have longer limits."""
STEP_LIMIT_S = 900.0
"""No device takes longer for one step; exposures are bounded by their permits, waits and analyses by themselves."""
STOP_LIMIT_S = 10.0
"""A step that was told to end has ended by then, or is left behind."""


async def answered(action: Awaitable[T], who: str, limit_s: float = ANSWER_LIMIT_S) -> T:
    """A device's answer.

    Raises:
        NoAnswer: none within the limit.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await action
    except TimeoutError:
        raise NoAnswer(f"{who}: no answer within {limit_s:g} s; see if it hangs") from None


async def within(action: Coroutine[Any, Any, T], limit_s: float) -> T:
    """Await `action` for at most `limit_s`, however often this task is cancelled meanwhile.

    An action that is late is cancelled but not waited for: a device that hangs can't hang who asks it.

    Raises:
        TimeoutError: no answer within the limit.
    """
    task = asyncio.create_task(action)
    deadline_s = now_s() + limit_s
    while not task.done() and (left_s := deadline_s - now_s()) > 0:
        try:
            await asyncio.wait((task,), timeout=left_s)
        except asyncio.CancelledError:
            continue
    if not task.done():
        abandon(task)
        raise TimeoutError(f"no answer within {limit_s:g} s")
    if task.cancelled():
        raise TimeoutError("it was cancelled before it answered")
    return task.result()


async def outlive(task: asyncio.Task[Any], on_cancel: Callable[[], None] = lambda: None) -> bool:
    """Wait for a task to its end, however often this one is cancelled meanwhile; returns whether it was."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
            on_cancel()
    return cancelled


def abandon(task: asyncio.Task[Any]) -> None:
    """Cancel a task that nobody awaits any more, and don't complain about how it ends."""
    task.add_done_callback(_look_away)
    task.cancel()


def _look_away(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
