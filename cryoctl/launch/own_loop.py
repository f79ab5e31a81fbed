"""A run's own event loop, wherever it is called from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cryoctl.clock.virtual import run_virtual

T = TypeVar("T")


def in_own_loop(main: Callable[[], Coroutine[Any, Any, T]], *, virtual: bool, speed: float | None) -> T:
    """Run to the end in a loop of its own, in a thread of its own where one already runs here (notebooks).

    Interrupted there, the run is told to stop and awaited: a notebook's stop button never leaves a beam open.
    """
    running: list[Callable[[], None]] = []

    async def told() -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is not None:
            running.append(lambda: _from_outside(loop, task))
        return await main()

    def play() -> T:
        if virtual:
            return run_virtual(told(), speed)
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as real:  # as sockets of a node need on Windows
            return real.run(told())

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return play()
    with ThreadPoolExecutor(1) as thread:
        playing = thread.submit(play)
        try:
            return playing.result()
        except BaseException:
            if not playing.done():
                for stop in running:
                    stop()
            raise


def _from_outside(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    try:
        loop.call_soon_threadsafe(task.cancel)
    except RuntimeError:
        return  # it has just ended
