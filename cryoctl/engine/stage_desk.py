"""Moves of the stage, which a pause may stop on their way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from cryoctl.engine.allowed import Allowed
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.patience import STEP_LIMIT_S, STOP_LIMIT_S, abandon, within
from cryoctl.engine.recorder import Recorder
from cryoctl.errors import DeviceError, DeviceTimeout, NotReached, StepLost
from cryoctl.interfaces.stage import Stage, StagePosition
from cryoctl.steps import MoveStage, StageAt


class StageDesk:
    """
    Args:
        check_needle: raises where a needle is too near for the stage to move.
        between: awaited before a move that was stopped is sent again.
    """

    def __init__(
        self,
        stage: Stage,
        allowed: Allowed,
        operator: OperatorDesk,
        recorder: Recorder,
        check_needle: Callable[[], Awaitable[None]],
        between: Callable[[], Awaitable[None]],
    ) -> None:
        self._stage = stage
        self._allowed = allowed
        self._operator = operator
        self._recorder = recorder
        self._check_needle = check_needle
        self._between = between

    async def move(self, step: MoveStage) -> StageAt:
        """Absolute, so that a pause may stop it on its way: it is sent again when the run goes on."""
        self._allowed.check_move(step)
        await self._check_needle()
        while (at := await self._moved(step)) is None:
            if self._operator.requests.withdrawn:
                raise StepLost(f"MoveStage: {self._stage.name} was stopped on its way; move it again")
            await self._between()
        return StageAt(x_m=at.x_m, y_m=at.y_m, z_m=at.z_m, tilt_deg=at.tilt_deg, time_s=self._recorder.time_s)

    async def _moved(self, step: MoveStage) -> StagePosition | None:
        """None where it was not wanted and the stage was stopped; one that can't be stopped goes to its end."""
        stage = self._stage
        moving = asyncio.create_task(stage.move(x_m=step.x_m, y_m=step.y_m, z_m=step.z_m, tilt_deg=step.tilt_deg))
        pausing = asyncio.create_task(self._operator.until_not_wanted())
        try:
            await asyncio.wait((moving, pausing), timeout=STEP_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            if pausing.done() and not moving.done():
                with contextlib.suppress(DeviceError, TimeoutError):
                    await within(stage.stop(), STOP_LIMIT_S)
                await asyncio.wait((moving,), timeout=STEP_LIMIT_S)
                if moving.done() and isinstance(moving.exception(), NotReached):
                    return None
            if not moving.done():
                raise DeviceTimeout(f"MoveStage: {stage.name} did not answer within {STEP_LIMIT_S:g} s; look at it")
            return moving.result()
        finally:
            pausing.cancel()
            if not moving.done():
                abandon(moving)
                await asyncio.wait((moving,), timeout=STOP_LIMIT_S)
