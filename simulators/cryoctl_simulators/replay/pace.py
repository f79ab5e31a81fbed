"""Waits until a recorded moment."""

from __future__ import annotations

import asyncio

_LAST_HOP_S = 1e-3
"""A jump from so near ends exactly at its deadline: the difference of two floats that are alike is exact."""


async def until(time_s: float, stop: asyncio.Event | None = None) -> bool:
    """Wait for a time of the loop, or for `stop`; True where the time was reached. NaN and the past: at once."""
    loop = asyncio.get_running_loop()
    while loop.time() < time_s:
        near = time_s - _LAST_HOP_S
        goal = near if loop.time() < near else time_s
        reached = loop.create_future()
        timer = loop.call_at(goal, _reach, reached)
        asked = asyncio.ensure_future(stop.wait()) if stop is not None else None
        try:
            await asyncio.wait([reached] if asked is None else [reached, asked], return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            if asked is not None:
                asked.cancel()
        if stop is not None and stop.is_set():
            return False
    return True


def _reach(reached: asyncio.Future[None]) -> None:
    if not reached.done():
        reached.set_result(None)
