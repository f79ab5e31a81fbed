"""What the detectors give during one exposure: scan frames, EDX events, and the shift of each against the first."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cryoctl.engine.compute import compute
from cryoctl.engine.patience import answered
from cryoctl.errors import BadInput, DeviceError
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.edx import EdxEvents
from cryoctl.steps import Expose


class Taking:
    """Arms the detectors that a step names and reads them after each scan frame.

    Nothing that goes wrong here may interrupt the beam's own way to its end: `problem` tells a detector's fault,
    `error` an error of the software, upon which `stop` is set.

    Args:
        heed: called between two scan frames, blanked; it may set `stop`.
    """

    def __init__(
        self, devices: DeviceSet, step: Expose, stop: asyncio.Event, heed: Callable[[], None] = lambda: None
    ) -> None:
        self._heed = heed
        self._devices = devices
        self._step = step
        self._stop = stop
        self.scans: list[npt.NDArray[np.uint16]] = []
        self.edx: list[EdxEvents] = []
        self.shifts_px: list[tuple[float, float]] = []
        self.corrected_m = (0.0, 0.0)
        self.sigma_px = math.nan
        """Of the last displacement found; NaN where not all were."""
        self.problem = ""
        self.error: Exception | None = None

    async def arm(self, scan: Scan) -> None:
        """Raises `BadInput` for a detector that the instrument has not."""
        name = self._step.detector
        if name:
            if name not in self._devices.image_detectors:
                known = ", ".join(self._devices.image_detectors)
                raise BadInput(f"detector: {name!r} is not in the instrument file; it has {known}")
            await answered(self._devices.image_detectors[name].arm(scan), name)
        if self._step.edx:
            if self._devices.edx is None:
                raise BadInput("edx: the instrument file has no EDX detector; add one or set no edx exposure")
            await answered(self._devices.edx.arm(scan), self._devices.edx.name)

    async def scan_frame_done(self, index: int) -> tuple[float, float]:
        """Read one finished scan frame; the correction (x, y) in m that brings the next ones onto the first."""
        correction = (0.0, 0.0)
        try:
            if not self.problem:  # else nothing is kept any more, and a silent detector must not hold up the beam's end
                correction = await self._take(index)
        except DeviceError as error:
            self.problem = self.problem or str(error)
        except Exception as error:
            self.error = self.error or error
            self._stop.set()
        self._heed()
        if self._stop.is_set():
            with contextlib.suppress(Exception):  # it is asked again in the ordinary way, which has a time limit
                await self._devices.beam.stop_exposure()
        return correction

    async def _take(self, index: int) -> tuple[float, float]:
        step = self._step
        if step.detector:
            reading = self._devices.image_detectors[step.detector].read_scan(index)
            self.scans.append(await answered(reading, step.detector, FRAME_LIMIT_S))
        if step.edx and self._devices.edx is not None:
            self.edx.append(await answered(self._devices.edx.read_scan(index), self._devices.edx.name, FRAME_LIMIT_S))
        dy, dx = (0.0, 0.0)
        if step.register and step.detector and len(self.scans) > 1:
            dy, dx = await self._shift_px()
        self.shifts_px.append((dy, dx))
        correction = (dx * step.pixel_size_m, dy * step.pixel_size_m)
        self.corrected_m = (self.corrected_m[0] + correction[0], self.corrected_m[1] + correction[1])
        return correction

    async def _shift_px(self) -> tuple[float, float]:
        """(dy, dx) of the latest scan frame against the first; none where it can't be told."""
        first, latest = self.scans[0], self.scans[-1]
        if min(first.shape) < SMALLEST_PX:
            return (0.0, 0.0)
        found = await compute("analysis.drift:shift", (first, latest), {})
        dy, dx = float(found["dy"]), float(found["dx"])
        told = bool(found["found"]) and math.isfinite(dy) and math.isfinite(dx)
        known = told and (len(self.scans) == 2 or math.isfinite(self.sigma_px))
        self.sigma_px = float(found["sigma"]) if known else math.nan
        return (dy, dx) if told else (0.0, 0.0)


SMALLEST_PX = 8
"""Smaller pictures have no shift that could be told (analysis.drift)."""
FRAME_LIMIT_S = 40.0
"""A large frame may take its time, blanked; one that takes longer never comes."""
