"""The time in which a beam may be open: an exposure that nothing interrupts, and the two ways of ending it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from enum import Enum

from cryoctl.clock import now_s
from cryoctl.engine.patience import answered, outlive, within
from cryoctl.errors import DeviceError, DeviceTimeout
from cryoctl.interfaces.beam import Beam, ExposureReport, Scan, ScanFrameDone
from cryoctl.interfaces.permit import Permit

STOP_LIMIT_S = 5.0
"""An exposure that was asked to stop has ended by then, or it hangs."""
READ_BACK_LIMIT_S = 2.0
PROMPT_S = 0.1
"""What is not confirmed by then is no longer waited for alone: the second way of stopping the beam is begun as well."""
BLANK_LIMIT_S = 2.0
VALVE_LIMIT_S = 5.0
FIND_LIMIT_S = 5.0
RETRY_S = 0.5


class BeamFound(Enum):
    """How the beam was found after a fault, and what could be done about it."""

    BLANKED = "read back blanked at once"
    STOPPED = "had to be blanked, or the valves closed"
    UNKNOWN = "neither could be confirmed"


async def irradiate(
    beam: Beam, permit: Permit, scan: Scan, scan_frame_done: ScanFrameDone, stop: asyncio.Event
) -> ExposureReport:
    """Open the beam within a permit and see it blanked again.

    The exposure is a task of its own that is never cancelled: once `stop` is set, or its permit's time is over, it is
    asked to stop and awaited. A cancellation of the caller asks it to stop as well, and is raised when it has ended.

    Raises:
        DeviceError: a fault, an exposure that does not end, or a beam that reads back open. See `stop_beam`.
    """
    exposing = asyncio.create_task(beam.expose(permit, scan, scan_frame_done))
    stopping = asyncio.create_task(_stopped(beam, permit, exposing, stop))
    cancelled = await outlive(stopping, stop.set)
    stopping.result()
    report = exposing.result()
    if cancelled:
        raise asyncio.CancelledError
    if not await answered(beam.is_blanked(), beam.name, READ_BACK_LIMIT_S):
        raise DeviceError(f"{beam.name}: the exposure ended but the beam reads back open")
    return report


async def _stopped(beam: Beam, permit: Permit, exposing: asyncio.Task[ExposureReport], stop: asyncio.Event) -> None:
    """Until the exposure is over."""
    asked = asyncio.create_task(stop.wait())
    left_s = None if permit.expires_s == math.inf else max(0.0, permit.expires_s - now_s())
    try:
        await asyncio.wait((exposing, asked), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
    if exposing.done():
        return
    try:
        await within(beam.stop_exposure(), STOP_LIMIT_S)
        await asyncio.wait((exposing,), timeout=STOP_LIMIT_S)
    finally:
        if not exposing.done():
            exposing.add_done_callback(_noted)
    if not exposing.done():
        raise DeviceTimeout(f"{beam.name}: the exposure did not end within {STOP_LIMIT_S:g} s of being asked to stop")


def _noted(task: asyncio.Task[ExposureReport]) -> None:
    """Nobody awaits an exposure that hung; how it ends at last has no one to tell."""
    if not task.cancelled():
        task.exception()


async def stop_beam(beam: Beam) -> BeamFound:
    """After a fault: read back, blank, and where that can't be confirmed close the column valves. Never raises."""

    async def blank() -> bool:
        await beam.blank()
        return await beam.is_blanked()

    async def valves() -> bool:
        await beam.close_valves()
        return not await beam.valves_open()

    if await _confirmed(beam.is_blanked, PROMPT_S):
        return BeamFound.BLANKED
    deadline_s = now_s() + FIND_LIMIT_S
    while True:
        blanking = asyncio.create_task(_confirmed(blank, BLANK_LIMIT_S))
        await outlive(asyncio.create_task(asyncio.wait((blanking,), timeout=PROMPT_S)))
        if blanking.done() and blanking.result():
            return BeamFound.STOPPED
        closed = await _confirmed(valves, VALVE_LIMIT_S)
        await outlive(blanking)
        if closed or blanking.result():
            return BeamFound.STOPPED
        if now_s() >= deadline_s:
            return BeamFound.UNKNOWN
        await within(asyncio.sleep(RETRY_S), 2 * RETRY_S)  # a link may come back


async def _confirmed(action: Callable[[], Awaitable[bool]], limit_s: float) -> bool:
    async def ask() -> bool:
        return await action()

    try:
        return await within(ask(), limit_s)
    except Exception:  # whatever a driver throws, the next way is tried
        return False
