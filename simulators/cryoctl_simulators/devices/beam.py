"""Simulated column and scan generator: opens only within a permit, ends by itself, blanks in `finally`."""

from __future__ import annotations

import asyncio
import math

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError, DeviceTimeout, OutOfRange, ReadBackMismatch
from cryoctl.interfaces.beam import (
    BeamCapabilities,
    CurrentReading,
    ExposureReport,
    Optics,
    Scan,
    ScanFrameDone,
)
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.permit_check import PermitCheck
from cryoctl_simulators.devices.beam_capabilities import capabilities_of
from cryoctl_simulators.devices.simulated_device import SimulatedDevice, SimulatedFactory
from cryoctl_simulators.settings import BeamSettings
from cryoctl_simulators.world import World
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.exposing import close_frame, cut_pending, lay_run_on, line_times_s, open_frame

_SLICE_S = 1.0
_ACKNOWLEDGE_S = 0.02


class SimulatedBeam(SimulatedDevice[BeamSettings]):
    kind = "beam"

    def __init__(self, name: str, settings: BeamSettings, world: World) -> None:
        super().__init__(name, settings, world)
        self._optics: Optics | None = None
        self._stop = asyncio.Event()
        self._between = asyncio.Event()
        self._permits = PermitCheck(name, capabilities_of(settings))
        self._exposing = False
        self._run_on: tuple[ScanFrame, float] | None = None

    @property
    def capabilities(self) -> BeamCapabilities:
        return capabilities_of(self.settings)

    async def optics(self) -> Optics:
        await self._link()
        if self._optics is None:
            raise DeviceError(f"{self.name}: no optics are set; apply a preset first")
        return self._optics

    async def apply(self, optics: Optics) -> Optics:
        await self._link()
        low, high = self.settings.current_range_a
        if not low <= optics.beam_current_a <= high:
            raise OutOfRange(
                f"{self.name}.beam_current_a: {optics.beam_current_a:g} A is beyond {low:g} to {high:g} A; unchanged"
            )
        if optics.voltage_v not in self.settings.voltages_v:
            allowed = ", ".join(f"{value:g}" for value in self.settings.voltages_v)
            raise OutOfRange(f"{self.name}.voltage_v: {optics.voltage_v:g} V is not aligned; there are {allowed} V")
        await self.blank()
        self.world.column.record["nominal_a"] = optics.beam_current_a
        self.world.column.record["optics"] = optics.name
        self._optics = optics
        self._permits.forget_current()
        self.world.commit()
        await asyncio.sleep(self.settings.optics_s)
        return optics

    async def shift_image(self, x_m: float, y_m: float) -> tuple[float, float]:
        await self._link()
        reach = self.settings.image_shift_range_m
        if not math.hypot(x_m, y_m) <= reach:
            raise OutOfRange(f"{self.name}: image shift ({x_m:g}, {y_m:g}) m is beyond {reach:g} m; unchanged")
        self.world.column.record |= {"shift_x_m": x_m, "shift_y_m": y_m}
        return (x_m, y_m)

    async def focus(self, defocus_m: float) -> float:
        await self._link()
        reach = self.settings.defocus_range_m
        if not abs(defocus_m) <= reach:
            raise OutOfRange(f"{self.name}: defocus {defocus_m:g} m is beyond +-{reach:g} m; unchanged")
        self.world.column.record["defocus_m"] = defocus_m
        return defocus_m

    async def measure_current(self) -> CurrentReading:
        await self._link()
        self._events()
        await asyncio.sleep(self.settings.measure_s)
        reading = self.world.column.faraday_reading_a(self.world.time_s)
        self.world.commit()
        self._permits.know_current(reading)
        return CurrentReading(current_a=reading, sigma_rel=self.settings.measure_sigma_rel, time_s=now_s())

    async def expose(self, permit: Permit, scan: Scan, scan_frame_done: ScanFrameDone | None = None) -> ExposureReport:
        await self._link()
        optics = await self.optics()
        if self._exposing:
            raise DeviceError(f"{self.name}: an exposure is under way; one at a time")
        record = self.world.column.record
        shift = (record["shift_x_m"], record["shift_y_m"])
        self._permits.use(permit, scan, shift, optics.beam_current_a)
        self.world.faults.note_exposure(permit.exposure)
        self._events()
        self._exposing = True
        self._stop.clear()
        began_s, on_s, done, ended, detail = now_s(), 0.0, 0, "complete", ""
        try:
            for index in range(scan.scans):
                frame_on_s, whole = await self._scan_frame(permit, scan, optics, index, shift)
                on_s += frame_on_s
                if not whole:
                    ended = "stopped"
                    break
                done = index + 1
                if scan_frame_done is not None:
                    step = await scan_frame_done(index)
                    moved = (shift[0] + step[0], shift[1] + step[1])
                    if self._permits.leads_away(permit, moved):
                        ended, detail = "stopped", "the live correction led beyond the permit"
                        break
                    shift = moved
                if self._stop.is_set() and done < scan.scans:
                    ended = "stopped"
                    break
        finally:
            self._exposing = False
        return ExposureReport(
            started_s=began_s, ended_s=now_s(), beam_on_s=on_s, scans_done=done, ended=ended, detail=detail
        )

    async def stop_exposure(self) -> None:
        self._stop.set()

    async def blank(self) -> None:
        await self._link()
        if self._exposing:
            self._stop.set()
            await self._between.wait()
            return
        await self._close_blanker()

    async def is_blanked(self) -> bool:
        await self._link()
        if self.world.second:
            cut_pending(self.world, blank=False)
        return bool(self.world.column.record["blanked"])

    async def close_valves(self) -> None:
        await self._link()
        await asyncio.sleep(self.settings.second_stop_s / 2)
        if self.world.faults.find(self.name, "valve-stuck") is not None:
            raise ReadBackMismatch(f"{self.name}: the column valves do not close, they read back open; go and see")
        self._valves_fell()
        self.world.made_safe("valves closed")

    async def valves_open(self) -> bool:
        await self._link()
        self._events()
        return bool(self.world.column.record["valves_open"])

    def forget_settings(self) -> None:
        self._optics = None
        self.world.column.record |= {"optics": None, "shift_x_m": 0.0, "shift_y_m": 0.0, "defocus_m": 0.0}
        self._permits.forget_current()
        self.world.commit()

    async def make_safe(self) -> None:
        await self.blank()
        if not await self.is_blanked():
            raise ReadBackMismatch(f"{self.name}: told to blank, reads back open; close the column valves")

    async def close(self) -> None:
        self._stop.set()
        if self._connected:
            self._lay_run_on()
        await super().close()

    async def _scan_frame(
        self, permit: Permit, scan: Scan, optics: Optics, index: int, shift: tuple[float, float]
    ) -> tuple[float, bool]:
        """One scan frame; blanked afterwards whatever happened. Returns the time with the beam on, and if whole."""
        line_s, field_s, strip_s = line_times_s(scan, self.settings)
        rows = scan.shape[0]
        self._between.clear()
        frame = open_frame(self.world, permit.kind, permit.exposure, index, scan, optics, shift)
        began_s = now_s()
        lines = 0.0
        currents = [frame.current_a]
        try:
            await self._until(began_s + rows * line_s, currents)
            if self._stop.is_set() and now_s() < began_s + rows * line_s:
                await asyncio.sleep(self.settings.blanker_latency_s)
        finally:
            # The generator's own end of scan; also when this task was cancelled, before anything else is awaited.
            currents.append(self.world.column.emission_a(self.world.time_s))
            lines = min(float(rows), (now_s() - began_s) / line_s * (1 + 1e-12))
            stuck = self.world.faults.take(self.name, "reads-open") is not None
            self._between.set()
            done = close_frame(self.world, frame, lines, sum(currents) / len(currents), blank=not stuck)
            if stuck:
                self._run_on = (done, now_s())
        if self._run_on is not None:
            raise ReadBackMismatch(f"{self.name}: the scan ended but the blanker reads back open; close the valves")
        if self.world.faults.take(self.name, "blank-not-acknowledged") is not None:
            await asyncio.sleep(_ACKNOWLEDGE_S)
            raise DeviceTimeout(
                f"{self.name}: the blanker did not acknowledge in {_ACKNOWLEDGE_S:g} s; see if it closed"
            )
        late = self.fault("blank-late")
        if isinstance(late, dict):
            await asyncio.sleep(late["late_s"])
        await self._link()
        whole = lines >= rows * (1 - 1e-9)
        if whole:
            self.world.seen(done)
        return (lines * (field_s + strip_s), whole)

    async def _until(self, deadline_s: float, currents: list[float]) -> None:
        """Scan until then, or until asked to stop; what happens meanwhile (emission, valves) happens in slices."""
        while not self._stop.is_set() and now_s() < deadline_s:
            try:
                async with asyncio.timeout_at(min(now_s() + _SLICE_S, deadline_s)):
                    await self._stop.wait()
            except TimeoutError:
                self._events()
                if now_s() < deadline_s:
                    currents.append(self.world.column.emission_a(self.world.time_s))

    async def _close_blanker(self) -> None:
        await asyncio.sleep(self.settings.blanker_latency_s)
        if self._run_on is not None:
            raise ReadBackMismatch(f"{self.name}: the blanker does not close, it reads back open; close the valves")
        if self.world.second:
            self.world.look()
            cut_pending(self.world, blank=True)
        self.world.column.set_blanked(True, self.world.time_s)
        self.world.made_safe("beam blanked")
        if self.world.faults.take(self.name, "blank-not-acknowledged") is not None:
            raise DeviceTimeout(f"{self.name}: the blanker did not acknowledge; read back whether it closed")
        late = self.fault("blank-late")
        if isinstance(late, dict):
            await asyncio.sleep(late["late_s"])

    def _events(self) -> None:
        """Faults of the gun and the valves that are due."""
        faults, record = self.world.faults, self.world.column.record
        jump = faults.take(self.name, "current-jump")
        if jump is not None:
            record["jump_rel"] = (1 + record["jump_rel"]) * (1 + jump["rel"]) - 1
        drift = faults.find(self.name, "current-drift")
        if drift is not None:
            since = record.setdefault("drifting_s", self.world.time_s)
            record["drift_rel"] = drift["rel_per_s"] * (self.world.time_s - since)
        record["emitting"] = faults.find(self.name, "beam-lost") is None
        if faults.take(self.name, "valve-closed") is not None:
            self._valves_fell()

    def _valves_fell(self) -> None:
        self._lay_run_on()
        self._run_on = None
        self.world.column.record["valves_open"] = False
        self.world.commit()

    def _lay_run_on(self) -> None:
        """What a beam that did not blank has done to the field up to now."""
        if self.world.column.record["valves_open"] and self._run_on is not None:
            frame, since_s = self._run_on
            lay_run_on(self.world, frame, now_s() - since_s)
            self._run_on = (frame, now_s())


FACTORY = SimulatedFactory("beam", BeamSettings, SimulatedBeam)
