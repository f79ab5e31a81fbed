"""The time in which one step is carried out: what may stop it, and what a pause means meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from cryoctl.engine.actions import Actions
from cryoctl.engine.boundary import Aborted, Boundary, Secured
from cryoctl.engine.exposures import ExposureDesk
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.patience import STEP_LIMIT_S, STOP_LIMIT_S, abandon
from cryoctl.errors import DeviceError, DeviceTimeout
from cryoctl.steps import Compute, ComputeTrace, Expose, MakeSafe, MoveStage, NextRequest, Step, Wait

_BOUNDED_BY_THEMSELVES = Expose | Wait | Compute | ComputeTrace | MakeSafe | MoveStage | NextRequest
"""A wait and a move may hold a pause of any length; nobody knows when somebody asks for something."""


class StepTime:
    """Carries out one step at a time, stoppable.

    An exposure is ended by an abort, by `blank` and by an urgent interlock. During any other step the beam is blanked:
    there a pause counts at once, whatever still moves to its end. Any other step is ended by an abort, and by its time.

    Args:
        fault: told of a fault that a stopped step met on its way: its kind and what it was.
    """

    def __init__(
        self,
        actions: Actions,
        desk: ExposureDesk,
        operator: OperatorDesk,
        boundary: Boundary,
        fault: Callable[[str, str], None],
    ) -> None:
        self._actions = actions
        self._desk = desk
        self._operator = operator
        self._boundary = boundary
        self._fault = fault
        desk.held_up, desk.heed = self._held_up, self._heed

    async def carry_out(self, step: Step[Any]) -> Any:
        """
        Raises:
            Aborted, Secured: the step was stopped.
            DeviceTimeout: no device answered.
        """
        exposes = isinstance(step, Expose)
        doing = asyncio.create_task(self._actions.carry_out(step))
        aborting = asyncio.create_task(self._operator.until_abort())
        pausing = asyncio.create_task(self._end_at_blank() if exposes else self._pause_at_once())
        watching = asyncio.create_task(self._boundary.alarm()) if exposes else None
        limit_s = None if isinstance(step, _BOUNDED_BY_THEMSELVES) else STEP_LIMIT_S
        try:
            await asyncio.wait(
                (doing, aborting) if watching is None else (doing, aborting, watching),
                timeout=limit_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            late = not doing.done() and not aborting.done() and watching is None
            if not doing.done():
                await self._stop(doing)
        finally:
            aborting.cancel()
            pausing.cancel()
            if watching is not None:
                watching.cancel()
        alarmed = watching is not None and watching.done() and not watching.cancelled()
        if self._operator.aborted or alarmed or late:
            self._look_at(doing, step)
        if self._operator.aborted:
            raise Aborted
        if watching is not None and alarmed:
            raise self._boundary.end_by(*watching.result())
        if late:
            raise DeviceTimeout(f"{type(step).__name__}: no device answered within {STEP_LIMIT_S:g} s")
        return doing.result()

    async def _pause_at_once(self) -> None:
        while True:
            await self._operator.until_pause()
            self._boundary.stand("operator")
            with contextlib.suppress(DeviceError):  # the boundary asks for it again, and tells
                await self._boundary.rest_bias("pause")
            await self._operator.until_gone_on()
            self._boundary.leave("operator")

    async def _end_at_blank(self) -> None:
        while True:
            await self._operator.until_blank()
            self._desk.stop()
            await self._operator.until_gone_on()

    def _heed(self) -> None:
        """At the last moments before a beam opens."""
        self._operator.heed()
        if self._operator.wants_no_beam:
            self._desk.stop()

    async def _held_up(self) -> bool:
        """Before a beam opens: the operator may have spoken while it was made ready. True where that took time."""
        self._operator.heed()
        if not self._operator.paused:
            return False
        await self._boundary.cross(exposes=True)
        return True

    async def _stop(self, doing: asyncio.Task[Any]) -> None:
        """Exposures are asked and end by themselves, within their own limits; anything else is cancelled."""
        if self._desk.beam_time:
            self._desk.stop()
            await asyncio.wait((doing,))
            return
        doing.cancel()
        await asyncio.wait((doing,), timeout=STOP_LIMIT_S)
        if not doing.done():
            abandon(doing)

    def _look_at(self, doing: asyncio.Task[Any], step: Step[Any]) -> None:
        """A step was stopped: a fault on the way is told, and the run ends all the same."""
        error = doing.exception() if doing.done() and not doing.cancelled() else None
        if error is not None and not isinstance(error, Aborted | Secured):
            self._fault(type(step).__name__, str(error)[:300])
