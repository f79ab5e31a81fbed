"""A thread of its own for calls that block: one after another, each within its limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class NotInTime(Exception):
    """A call was not over within its limit; what it asked for may still be done."""


class OwnThread:
    """A call whose asker was cancelled is still carried to its end, and the next one waits for it. Nothing is asked
    twice.

    Args:
        left: called when the thread is given up, closed or left to a call that was not over in time; what it worked
            with is not to be used by the next one.
    """

    def __init__(self, name: str, left: Callable[[], None]) -> None:
        self._name = name
        self._left = left
        self._turn = asyncio.Lock()
        self._thread: ThreadPoolExecutor | None = None

    async def call(self, act: Callable[[], T], limit_s: float) -> T:
        """
        Raises:
            NotInTime: see there.
        """
        calling = asyncio.create_task(self._in_turn(act, limit_s))
        calling.add_done_callback(look_away)  # its asker may have been cancelled
        return await asyncio.shield(calling)

    async def close(self) -> None:
        """After the call under way; may be called twice."""
        async with self._turn:
            self._give_up()

    async def _in_turn(self, act: Callable[[], T], limit_s: float) -> T:
        async with self._turn:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
            calling = asyncio.get_running_loop().run_in_executor(self._thread, act)
            try:
                await asyncio.wait((calling,), timeout=limit_s)
            finally:
                if not calling.done():
                    calling.add_done_callback(look_away)
                    self._give_up()
            if not calling.done():
                raise NotInTime
            return calling.result()

    def _give_up(self) -> None:
        thread, self._thread = self._thread, None
        self._left()
        if thread is not None:
            thread.shutdown(wait=False)


def look_away(done: asyncio.Future[Any]) -> None:
    """What became of it was told to whoever waited for it, or nobody did."""
    if not done.cancelled():
        done.exception()
