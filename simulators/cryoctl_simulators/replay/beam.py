"""Column of recorded data: an exposure lasts as long as it did, and nothing is irradiated."""

from __future__ import annotations

import asyncio
import math

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError, OutOfRange, Refused
from cryoctl.interfaces.beam import (
    BeamCapabilities,
    CurrentReading,
    ExposureReport,
    Optics,
    Scan,
    ScanFrameDone,
)
from cryoctl.interfaces.permit import Permit
from cryoctl_simulators.replay.pace import until
from cryoctl_simulators.replay.playback import Playback, beam_capabilities
from cryoctl_simulators.replay.replay_device import ReplayDevice, ReplayFactory


class ReplayBeam(ReplayDevice):
    kind = "beam"

    def __init__(self, name: str, playback: Playback) -> None:
        super().__init__(name, playback)
        self._optics: Optics | None = None
        self._permits: set[int] = set()
        self._stop = asyncio.Event()
        self._blanked = True
        self._valves_open = True

    @property
    def capabilities(self) -> BeamCapabilities:
        return beam_capabilities(self.playback, self.name)

    async def optics(self) -> Optics:
        self._link()
        if self._optics is None:
            raise DeviceError(f"{self.name}: no optics are set; apply a preset first")
        return self._optics

    async def apply(self, optics: Optics) -> Optics:
        self._link()
        await self.playback.apply(self.name, optics)
        self._optics = optics
        return optics

    async def shift_image(self, x_m: float, y_m: float) -> tuple[float, float]:
        self._link()
        reach = self.capabilities.image_shift_range_m
        if not math.hypot(x_m, y_m) <= reach:
            raise OutOfRange(f"{self.name}: image shift ({x_m:g}, {y_m:g}) m is beyond {reach:g} m; unchanged")
        return (x_m, y_m)

    async def focus(self, defocus_m: float) -> float:
        self._link()
        reach = self.capabilities.defocus_range_m
        if not abs(defocus_m) <= reach:
            raise OutOfRange(f"{self.name}: defocus {defocus_m:g} m is beyond +-{reach:g} m; unchanged")
        return defocus_m

    async def measure_current(self) -> CurrentReading:
        self._link()
        return await self.playback.measure_current(self.name)

    async def expose(self, permit: Permit, scan: Scan, scan_frame_done: ScanFrameDone | None = None) -> ExposureReport:
        self._link()
        if permit.serial in self._permits:
            raise Refused(f"{self.name}: permit {permit.serial} was used before; a permit is for one exposure")
        self._permits.add(permit.serial)
        began_s = now_s()
        if began_s > permit.expires_s:
            raise Refused(f"{self.name}: permit {permit.serial} expired; ask for another")
        recorded = await self.playback.expose(self.name, permit, scan)
        self.playback.exposure = recorded
        self._stop.clear()
        self._blanked = False
        # One that was cut short when it was recorded runs to its recorded end; any other can be stopped.
        stop = self._stop if recorded.complete else None
        lasts_s, done, stopped = recorded.done_s - began_s, 0, False
        try:
            for index in range(recorded.scans_done):
                if not await until(began_s + lasts_s * (index + 1) / recorded.scans_done, stop):
                    stopped = True
                    break
                done = index + 1
                if scan_frame_done is not None:
                    await scan_frame_done(index)
            if not stopped:
                await until(recorded.done_s)
        finally:
            self._blanked = True
        on_s = _beam_on_s(recorded.charge_c, permit.max_current_a)
        return ExposureReport(
            started_s=began_s,
            ended_s=now_s(),
            beam_on_s=on_s * done / recorded.scans_done if stopped else on_s,
            scans_done=done,
            ended="complete" if recorded.complete and not stopped else "stopped",
        )

    async def stop_exposure(self) -> None:
        self._stop.set()

    async def blank(self) -> None:
        self._link()
        self._stop.set()
        if self._blanked:
            await self.playback.rest()

    async def is_blanked(self) -> bool:
        self._link()
        return self._blanked

    async def close_valves(self) -> None:
        self._link()
        self._valves_open = False

    async def valves_open(self) -> bool:
        self._link()
        return self._valves_open and not self.playback.met("valves")

    async def close(self) -> None:
        self._stop.set()
        await super().close()


def _beam_on_s(charge_c: float, current_a: float) -> float:
    """Time of beam that gives back the recorded charge to the last bit where there is one; NaN where unknown."""
    if not (math.isfinite(charge_c) and math.isfinite(current_a) and current_a > 0):
        return math.nan
    near = charge_c / current_a
    for candidate in (near, math.nextafter(near, math.inf), math.nextafter(near, 0.0)):
        if candidate * current_a == charge_c:
            return candidate
    return near


FACTORY = ReplayFactory("beam", ReplayBeam)
