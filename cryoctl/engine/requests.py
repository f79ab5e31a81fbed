"""What is asked for from outside, from any thread, taken up in the run's loop one thing after another."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any

import cryoctl.errors
from cryoctl.clock import hold_time, in_virtual_time
from cryoctl.errors import BadInput, CryoctlError, Refused, StepLost
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.holder import TemperatureReading
from cryoctl.interfaces.stage import StagePosition
from cryoctl.steps import Expose, MoveStage, NextRequest, Step
from cryoctl.steps.codec import decode

SLICE_S = 1.0
"""While nobody asks for anything, monitors and interlocks are looked at this often; in virtual time no time passes."""


class Views:
    """All that may be seen between two steps without a step: there is no verb here that changes anything."""

    def __init__(self, devices: DeviceSet) -> None:
        self.__devices = devices

    async def position(self) -> StagePosition:
        return await self.__devices.stage.position()

    async def is_blanked(self) -> bool:
        return await self.__devices.beam.is_blanked()

    async def temperature(self) -> TemperatureReading:
        """Raises `BadInput` where there is no holder."""
        holder = self.__devices.holder
        if holder is None:
            raise BadInput("temperature: the instrument file has no holder")
        return await holder.temperature()

    async def irradiance(self) -> float:
        """In W/m2; raises `BadInput` where there is no light."""
        light = self.__devices.light
        if light is None:
            raise BadInput("light: the instrument file has no light")
        return await light.irradiance()


Look = Callable[[Views], Awaitable[Any]]


@dataclass(slots=True, kw_only=True)
class _Asked:
    future: Future[Any]
    step: Step[Any] | None = None
    look: Look | None = None


class Requests:
    """The desk between whoever asks and the run. `expected` is False where nobody will: then no request is waited for.

    `ask`, `look`, `withdraw`, `end` and `close` may be called from any thread.
    """

    def __init__(self) -> None:
        self.expected = False
        self.stop_exposure: Callable[[], None] = lambda: None
        """Asks the exposure under way to end."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._came = asyncio.Event()
        self._withdrawn = asyncio.Event()
        self._lock = Lock()
        self._waiting: deque[_Asked] = deque()
        self._underway: _Asked | None = None
        self._over = False
        self._closed = ""

    @property
    def withdrawn(self) -> bool:
        """Nobody wants the exposure or the move under way any more."""
        return self._withdrawn.is_set()

    async def until_withdrawn(self) -> None:
        await self._withdrawn.wait()

    def open(self) -> None:
        """In the run's loop, may be called twice."""
        self._loop = asyncio.get_running_loop()

    def ask(self, step: Step[Any]) -> Future[Any]:
        """Have a step carried out; the future gives its result, or raises what the run threw."""
        return self._put(_Asked(future=Future(), step=step))

    def look(self, look: Look) -> Future[Any]:
        """Have devices read between two steps; not journaled."""
        return self._put(_Asked(future=Future(), look=look))

    def withdraw(self) -> None:
        """An exposure under way ends, one about to begin does not, a stage stops; steps that wait are dropped."""
        with self._lock:
            underway, dropped = self._underway, [one for one in self._waiting if one.step is not None]
            for one in dropped:
                self._waiting.remove(one)
        for one in dropped:
            one.future.set_exception(StepLost(f"{type(one.step).__name__}: withdrawn before it was begun"))
        if underway is not None:
            self._in_loop(lambda: self._withdraw(underway))

    def end(self) -> None:
        """What waits is still carried out, then the run ends in good order."""
        self._over = True
        self._wake()

    def close(self, why: str) -> None:
        """The run is over: whoever still waits is told `why`, and so is who asks from now on."""
        with self._lock:
            self._closed = why
            left = [*([self._underway] if self._underway else []), *self._waiting]
            self._waiting.clear()
            self._underway = None
        for one in left:
            if not one.future.done():
                one.future.set_exception(Refused(why))

    async def next(self, between: Callable[[], Awaitable[None]], devices: DeviceSet) -> Step[Any] | None:
        """The next step that somebody wants, None at the end.

        Args:
            between: awaited while nobody wants anything (pause, interlocks).
        """
        while True:
            self._came.clear()
            one = self._take()
            if one is not None and one.look is not None:
                await _look(one, one.look, Views(devices))
            elif one is not None:
                return one.step
            elif self._over or not self.expected:
                return None
            elif in_virtual_time():
                with hold_time(patient=True):
                    await self._came.wait()
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SLICE_S):
                        await self._came.wait()
                await between()

    def answer(self, told: NextRequest) -> None:
        """Give what came of the request under way to whoever asked; nobody may be waiting, after a resume."""
        with self._lock:
            one, self._underway = self._underway, None
        self._withdrawn.clear()
        if one is None or one.future.done():
            return
        if told.refused:
            one.future.set_exception(_error(told.refused, told.why))
        else:
            one.future.set_result(decode(told.answer))

    def _put(self, one: _Asked) -> Future[Any]:
        with self._lock:
            if self._closed or self._over:
                one.future.set_exception(Refused(self._closed or "the session is ending: nothing more is begun"))
                return one.future
            self._waiting.append(one)
        self._wake()
        return one.future

    def _take(self) -> _Asked | None:
        with self._lock:
            one = self._waiting.popleft() if self._waiting else None
            if one is not None and one.step is not None:
                self._underway = one
            return one

    def _withdraw(self, underway: _Asked) -> None:
        """Another one may be under way by now, which is wanted."""
        if self._underway is underway and isinstance(underway.step, Expose | MoveStage):
            self._withdrawn.set()
            self.stop_exposure()

    def _wake(self) -> None:
        self._in_loop(self._came.set)

    def _in_loop(self, call: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the run
                self._loop.call_soon_threadsafe(call)


async def _look(one: _Asked, look: Look, views: Views) -> None:
    """What a device says is for who asked, a fault as well: the run's own monitors have their own eyes."""
    try:
        found = await look(views)
    except Exception as error:
        one.future.set_exception(error)
    else:
        one.future.set_result(found)


def _error(name: str, why: str) -> CryoctlError:
    kind: Any = getattr(cryoctl.errors, name, StepLost)
    return kind(why)
