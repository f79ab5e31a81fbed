"""An exposure as the node makes it: within its permit, and ended by the node where the device does not end it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError
from cryoctl.interfaces.beam import Beam, ExposureReport, Scan
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.scan_cost import scan_cost

FRAME_GRACE_S = 0.25
"""A scan frame that takes longer than it should by more than this is ended by the node."""
STOP_GRACE_S = 0.5
"""So long after it was asked to stop, the beam is blanked; after as long again, everything is made safe."""
SHORTEST_LOOK_S = 0.02
AGAIN_S = 0.05


class Exposing:
    """The one exposure of a beam that may be under way.

    Args:
        alarm: called with a sentence where the beam had to be stopped by the node and did not obey.
    """

    def __init__(self, beam: Beam, alarm: Callable[[str], None]) -> None:
        self._beam = beam
        self._alarm = alarm
        self._deadline_s: float | None = None
        self.task: asyncio.Task[ExposureReport] | None = None

    @property
    def under_way(self) -> bool:
        return self.task is not None and not self.task.done()

    async def expose(
        self, permit: Permit, scan: Scan, frame_done: Callable[[int], Awaitable[tuple[float, float]]] | None
    ) -> ExposureReport:
        """As `Beam.expose`; `permit` is one that the node's book has admitted.

        Cancelled, it asks the beam to stop and ends when the beam has.
        """
        if self.under_way:
            raise DeviceError(f"{self._beam.name}: an exposure is under way; one at a time")
        once = scan_cost(scan, self._beam.capabilities.timing).duration_s / max(1, scan.scans)

        async def done(index: int) -> tuple[float, float]:
            self._deadline_s = None  # blanked until it is answered
            try:
                return (0.0, 0.0) if frame_done is None else await frame_done(index)
            finally:
                self._deadline_s = now_s() + once + FRAME_GRACE_S

        self._deadline_s = now_s() + once + FRAME_GRACE_S
        self.task = asyncio.create_task(self._beam.expose(permit, scan, done))
        watching = asyncio.create_task(self._watch(self.task, permit))
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            if self.task.cancelled():
                raise DeviceError(f"{self._beam.name}: the exposure was cancelled at the node") from None
            await self._beam.stop_exposure()
            await asyncio.wait((self.task,), timeout=2 * STOP_GRACE_S)
            if self.task.done() and not self.task.cancelled():
                self.task.exception()
            raise
        finally:
            watching.cancel()

    async def stop(self) -> None:
        """Ask the exposure under way to end, and see it ended, by blanking if need be."""
        task = self.task
        if task is None or task.done():
            return
        deadline_s = now_s() + STOP_GRACE_S
        try:
            while not task.done() and now_s() < deadline_s:  # one that is only about to open is asked again
                await self._beam.stop_exposure()
                await asyncio.wait((task,), timeout=AGAIN_S)
        finally:
            if not task.done():
                task.add_done_callback(_noted)
                await self._beam.blank()

    async def _watch(self, task: asyncio.Task[ExposureReport], permit: Permit) -> None:
        while not task.done():
            end_s = permit.expires_s if self._deadline_s is None else min(self._deadline_s, permit.expires_s)
            await asyncio.wait((task,), timeout=max(SHORTEST_LOOK_S, end_s - now_s()))
            late = self._deadline_s is not None and now_s() >= self._deadline_s
            if task.done() or not (late or now_s() >= permit.expires_s):
                continue
            if now_s() < permit.expires_s and await self._blanked():
                self._deadline_s = now_s() + FRAME_GRACE_S  # the frame is over, the detectors take their time
                continue
            why = "its permit's time is over" if now_s() >= permit.expires_s else "its scan frame should be over"
            await self._end(task, why)
            return

    async def _end(self, task: asyncio.Task[ExposureReport], why: str) -> None:
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                await self._beam.stop_exposure()
                await asyncio.wait((task,))
        except Exception:  # whatever it says or does not say, the next way follows
            self._alarm(f"{self._beam.name}: the exposure goes on although {why}, and does not stop")

    async def _blanked(self) -> bool:
        try:
            async with asyncio.timeout(FRAME_GRACE_S):
                return await self._beam.is_blanked()
        except Exception:
            return False


def _noted(task: asyncio.Task[ExposureReport]) -> None:
    if not task.cancelled():
        task.exception()
