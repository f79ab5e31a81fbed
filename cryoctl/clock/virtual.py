"""An event loop whose time jumps to the next deadline instead of waiting for it.

While an executor call or a `hold` is pending, virtual time holds and the selector really waits, for at most
`HOLD_LIMIT_S` at a stretch without any event, then fails loudly: a hang in a worker must not look like a long night.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from asyncio import Future
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from cryoctl.errors import CryoctlError

HOLD_LIMIT_S = 30.0

T = TypeVar("T")


class VirtualTimeStalled(CryoctlError):
    """Nothing is scheduled, nothing arrives, and something is still awaited: a deadlock, told instead of waited for."""


class _JumpingSelector(selectors.BaseSelector):
    def __init__(self, loop_time: VirtualTimeLoop) -> None:
        self._inner = selectors.DefaultSelector()
        self._loop = loop_time

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def close(self) -> None:
        self._inner.close()

    def get_map(self) -> Any:
        return self._inner.get_map()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.holding or timeout is None:
            ready = self._inner.select(None if self._loop.patient else HOLD_LIMIT_S)
            if not ready:
                what = "a worker did not answer" if self._loop.holding else "nothing is scheduled"
                raise VirtualTimeStalled(f"virtual time stood still for {HOLD_LIMIT_S:g} s: {what}")
            return ready
        self._loop.jump(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`SelectorEventLoop` with virtual `time()` that starts at 0.

    Args:
        speed: None jumps from deadline to deadline; a number lets that many virtual seconds pass a real second.
    """

    def __init__(self, speed: float | None = None) -> None:
        self._now_s = 0.0
        self._holds = 0
        self._patience = 0
        self._speed = speed
        super().__init__(_JumpingSelector(self))

    @property
    def holding(self) -> bool:
        return self._holds > 0

    @property
    def patient(self) -> bool:
        """A person is awaited: stand still for as long as it takes."""
        return self._patience > 0

    def time(self) -> float:
        return self._now_s

    def jump(self, timeout: float) -> None:
        """Move time on by `timeout`, at least by one ulp, or a deadline that rounds down would spin for ever."""
        target = max(self._now_s + timeout, math.nextafter(self._now_s, math.inf))
        if self._speed is not None:
            time.sleep(min(timeout / self._speed, 0.05))
            target = min(target, math.nextafter(self._now_s, math.inf) + 0.05 * self._speed)
        self._now_s = target
        # asyncio runs what is due before now + resolution: late in a long run that sum must not round down to now.
        self._clock_resolution = max(1e-9, 2 * math.ulp(target))

    @contextmanager
    def hold(self, patient: bool = False) -> Generator[None]:
        self._holds += 1
        self._patience += patient
        try:
            yield
        finally:
            self._holds -= 1
            self._patience -= patient

    @contextmanager
    def let_pass(self) -> Generator[None]:
        """Lifts one hold: whoever is awaited waits for virtual time to pass."""
        self._holds -= 1
        try:
            yield
        finally:
            self._holds += 1

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> Future[T]:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self._holds += 1

        def release(_: Future[T]) -> None:
            self._holds -= 1

        future.add_done_callback(release)
        return future


def run_virtual(main: Coroutine[Any, Any, T], speed: float | None = None) -> T:
    """Run a coroutine to its end in virtual time, in the calling thread."""
    runner = asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(speed))
    try:
        result = runner.run(main)
    except VirtualTimeStalled:
        # What hangs would hang an orderly shutdown too, and its second complaint would hide the first.
        runner.get_loop().close()
        raise
    except BaseException:
        runner.close()
        raise
    runner.close()
    return result
