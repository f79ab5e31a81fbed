"""Column and scan generator of a Thermo Fisher TEM: a beam opened by command, for one acquisition after another.

The interface knows no permit and no end of its own: it opens and blanks when it is told to, and an acquisition can't be
stopped. So around each scan frame this driver opens the beam, asks for an acquisition and blanks, on a connection and a
thread that do nothing else, to a server that does nothing else. When it is stopped, or the permit's time is over, it
blanks at once; the acquisition runs to its end in the dark and its picture is dropped. Opening and blanking go the same
way one after the other, so that an opening that is late can't come after the blanking.

What can't be had: dose between opening and first line is counted over the field (`frame_s`, `idle_probe`), not at the
place where the probe really was; the current is what was measured by hand (`presets`), for the interface only has a
screen current, behind the specimen. Nothing here covers a dead PC or a dead driver: see the how-to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cryoctl.clock import now_s
from cryoctl.errors import ConnectionLost, DeviceError, InstrumentError, ReadBackMismatch, Refused
from cryoctl.interfaces.beam import (
    BeamCapabilities,
    CurrentReading,
    ExposureReport,
    Optics,
    Scan,
    ScanFrameDone,
    ScanTiming,
)
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.permit_check import PermitCheck
from cryoctl.interfaces.scan_cost import scan_cost
from cryoctl_drivers.thermo_fisher import optics as column
from cryoctl_drivers.thermo_fisher.blanker import Blanker
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.deflectors import Deflectors
from cryoctl_drivers.thermo_fisher.identity import identity
from cryoctl_drivers.thermo_fisher.pictures import Pictures
from cryoctl_drivers.thermo_fisher.scan_frame import ScanFrame, scan_frame, sides_px
from cryoctl_drivers.thermo_fisher.settings import BeamSettings

_SAME_REL = 1e-3
_VALVE_POLL_S = 0.05


class ThermoFisherBeam:
    """Construction opens nothing."""

    def __init__(self, name: str, settings: BeamSettings, pictures: Pictures) -> None:
        self._name = name
        self.settings = settings
        self._pictures = pictures
        self._server = ScriptingConnection(name, settings)
        self._blanker = Blanker(name, settings)
        self._deflectors = Deflectors(name, settings, self._server)
        self._permits = PermitCheck(name, self.capabilities)
        self._optics: Optics | None = None
        self._stop = asyncio.Event()
        self._exposing: asyncio.Task[ExposureReport] | None = None
        self._acquiring: asyncio.Task[Any] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> BeamCapabilities:
        """The blanker's latency is the longest that was seen, and before it was tried the limit that was set for it."""
        one = self.settings
        currents = [preset.current_a for preset in one.presets.values()]
        return BeamCapabilities(
            timing=ScanTiming(
                settle_px=one.settle_px,
                flyback_s=one.flyback_s,
                blanks_flyback=False,
                latency_s=0.0,
                frame_s=one.frame_s,
            ),
            image_shift_range_m=one.image_shift_range_m,
            defocus_range_m=one.defocus_range_m,
            min_dwell_s=one.min_dwell_s,
            max_dwell_s=one.max_dwell_s,
            max_scan_px=one.full_frame_px,
            current_range_a=(min(currents), max(currents)),
            blanker_latency_s=self._blanker.slowest_s or one.blanker_latency_limit_s,
            second_stop_s=one.second_stop_s,
            current_drift_rel_per_s=one.current_drift_rel_per_s,
            voltages_v=(one.voltage_v,),
            optics_s=one.optics_s,
            measure_s=0.0,
            square_px=sides_px(one),
            measure_sigma_rel=max(preset.current_sigma_rel for preset in one.presets.values()),
        )

    async def connect(self) -> Identity:
        """Blanks, and tries how long that takes; no acquisition, nothing else is set."""
        self._optics = None
        await self._blanker.open()
        version = await self._server.open()
        who = await identity(self._server, version)
        if not await self._server.call("is_stem_available"):
            raise InstrumentError(f"{self.name}: {who.model} at {self.settings.host} has no STEM; this driver scans")
        detectors: Mapping[str, Any] = await self._server.call("get_stem_detectors")
        if self.settings.scan_detector not in detectors:
            raise InstrumentError(
                f"{self.name}: settings.scan_detector: there is no {self.settings.scan_detector[:40]!r}, the "
                f"microscope has {', '.join(detectors) or 'none'}; name one of them"[:300]
            )
        there = {int(one) for one in detectors[self.settings.scan_detector]["binnings"]}
        if not there.issuperset(self.settings.binnings):
            raise InstrumentError(
                f"{self.name}: settings.binnings: found {list(self.settings.binnings)}, "
                f"{self.settings.scan_detector} has {sorted(there)}; name some of these"[:300]
            )
        await self._blanker.try_out()
        return who

    async def close(self) -> None:
        """Waits for an acquisition under way: nothing can stop it."""
        self._stop.set()
        running = [task for task in (self._exposing, self._acquiring) if task is not None]
        if running:
            await asyncio.wait(running)
        await self._server.close()
        await self._blanker.close()

    async def optics(self) -> Optics:
        self._connected()
        if self._optics is None:
            raise DeviceError(f"{self.name}: no optics are set; apply a preset first")
        return self._optics

    async def apply(self, optics: Optics) -> Optics:
        self._connected()
        column.check(self.name, optics, self.settings)
        await self.blank()
        self._optics = None
        self._permits.forget_current()
        found = await column.apply(self.name, self._server, optics, self.settings)
        await asyncio.sleep(self.settings.optics_s)
        self._optics = found
        return found

    async def shift_image(self, x_m: float, y_m: float) -> tuple[float, float]:
        """By the beam shift, which moves the scan over the specimen."""
        return await self._deflectors.shift(x_m, y_m)

    async def focus(self, defocus_m: float) -> float:
        return await self._deflectors.focus(defocus_m)

    async def measure_current(self) -> CurrentReading:
        """What was measured by hand for the preset in use, with its uncertainty: there is no cup to deflect into."""
        optics = await self.optics()
        preset = self.settings.presets[optics.name]
        if not await self.is_blanked():
            raise ReadBackMismatch(f"{self.name}: reads open although nothing is exposed; close the column valves")
        self._permits.know_current(preset.current_a)
        return CurrentReading(current_a=preset.current_a, sigma_rel=preset.current_sigma_rel, time_s=now_s())

    async def expose(self, permit: Permit, scan: Scan, scan_frame_done: ScanFrameDone | None = None) -> ExposureReport:
        optics = await self.optics()
        if self._exposing is not None:
            raise DeviceError(f"{self.name}: an exposure is under way; one at a time")
        frame = scan_frame(self.name, scan, self.settings)
        self._permits.use(permit, scan, self._deflectors.shift_m, optics.beam_current_a)
        self._stop.clear()
        exposing = self._exposing = asyncio.create_task(self._expose(permit, scan, frame, optics, scan_frame_done))
        exposing.add_done_callback(self._over)
        cancelled = False
        while not exposing.done():
            try:
                await asyncio.wait((exposing,))
            except asyncio.CancelledError:  # it ends in order, however often this is cancelled
                cancelled = True
                self._stop.set()
        if cancelled:
            exposing.cancelled() or exposing.exception()
            raise asyncio.CancelledError
        return exposing.result()

    async def stop_exposure(self) -> None:
        self._stop.set()

    async def blank(self) -> None:
        self._stop.set()
        await self._blanker.blank()

    async def is_blanked(self) -> bool:
        return await self._blanker.is_blanked()

    async def close_valves(self) -> None:
        """By the blanker's server, and by the other one where that does not answer."""
        try:
            await self._blanker.server.call("set_column_valves_open", False)
        except DeviceError:
            await self._server.call("set_column_valves_open", False)
        until_s = now_s() + self.settings.second_stop_s
        while await self.valves_open():
            if now_s() >= until_s:
                raise ReadBackMismatch(
                    f"{self.name}: the column valves do not close, they read back open; close them by hand"
                )
            await asyncio.sleep(_VALVE_POLL_S)

    async def valves_open(self) -> bool:
        try:
            return bool(await self._blanker.server.call("get_column_valves_open"))
        except DeviceError:
            return bool(await self._server.call("get_column_valves_open"))

    async def make_safe(self) -> None:
        await self.blank()

    async def _expose(
        self, permit: Permit, scan: Scan, frame: ScanFrame, optics: Optics, scan_frame_done: ScanFrameDone | None
    ) -> ExposureReport:
        began_s, on_s, done, ended, detail = now_s(), 0.0, 0, "complete", ""
        await self._prepare(scan, frame, optics)
        wanted = self._pictures.wanted(scan) or (self.settings.scan_detector,)
        lines_s = scan_cost(scan, self.capabilities.timing).beam_on_s / scan.scans - self.settings.frame_s
        for index in range(scan.scans):
            if self._stop.is_set():
                ended = "stopped"
                break
            if permit.beam_on_s - on_s < lines_s * (1 - 1e-9):
                ended, detail = "stopped", "what a scan frame took left too little of the permit for the next one"
                break
            began_s = began_s if index else now_s()
            taken, frame_on_s = await self._scan_frame(permit, wanted, permit.beam_on_s - on_s)
            on_s += frame_on_s
            if taken is None:
                ended = "stopped"
                if not self._stop.is_set():
                    detail = (
                        f"the acquisition was not over after {frame_on_s:.3g} s, when the permit was; measure what a "
                        "line and a scan frame take and state it (flyback_s, frame_s)"
                    )
                break
            self._pictures.keep(index, taken)
            done = index + 1
            if scan_frame_done is not None:
                step = await scan_frame_done(index)
                shift_m = self._deflectors.shift_m
                moved = (shift_m[0] + step[0], shift_m[1] + step[1])
                if self._permits.leads_away(permit, moved):
                    ended, detail = "stopped", "the live correction led beyond the permit"
                    break
                if step != (0.0, 0.0) and done < scan.scans:
                    await self._deflectors.shift(*moved)
        return ExposureReport(
            started_s=began_s, ended_s=now_s(), beam_on_s=on_s, scans_done=done, ended=ended, detail=detail
        )

    async def _prepare(self, scan: Scan, frame: ScanFrame, optics: Optics) -> None:
        """Everything that the acquisitions need, set and read back while blanked."""
        if not await self.is_blanked():
            raise ReadBackMismatch(f"{self.name}: reads open before an exposure; close the column valves")
        longest_s = scan_cost(scan, self.capabilities.timing).duration_s / scan.scans + 2 * self._server.deadline_s
        await self._server.be_patient(longest_s)
        await column.set_rotation(self.name, self._server, optics.scan_rotation_deg + scan.rotation_deg)
        await self._server.call("set_stem_magnification", frame.magnification)
        found = float(await self._server.call("get_stem_magnification"))
        if abs(found - frame.magnification) > _SAME_REL * frame.magnification:
            raise Refused(
                f"{self.name}.pixel_size_m: {scan.pixel_size_m:.6g} m is no step of the magnification, the nearest "
                f"gives {scan.pixel_size_m * frame.magnification / found:.6g} m; use that"
            )
        await self._server.call("set_stem_acquisition_param", frame.parameters)
        told: Mapping[str, Any] = await self._server.call("get_stem_acquisition_param")
        same = told["image_size"] == frame.image_size and int(told["binning"]) == frame.binning
        if not same or abs(float(told["dwell_time(s)"]) - frame.dwell_s) > _SAME_REL * frame.dwell_s:
            raise Refused(
                f"{self.name}: a scan of {frame.image_size}, binning {frame.binning}, {frame.dwell_s:g} s a pixel "
                f"reads back as {told['image_size']}, {told['binning']}, {told['dwell_time(s)']:g} s; not opened"
            )

    async def _scan_frame(
        self, permit: Permit, detectors: tuple[str, ...], left_s: float
    ) -> tuple[Mapping[str, Any] | None, float]:
        """One scan frame; blanked and read back whatever happened. Its pictures (None: it did not come to its end) and
        the time that the beam was open (s), from the command that opened it."""
        opened_s = now_s()
        limit_s = left_s + 2 * self._server.deadline_s
        stopping = asyncio.create_task(self._stop.wait())
        try:
            async with self._blanker.lifted(permit):
                acquiring = asyncio.create_task(self._server.call("acquire", *detectors, limit_s=limit_s))
                acquiring.add_done_callback(self._acquired)
                self._acquiring = acquiring
                over_s = opened_s + left_s - self._blanker.slowest_s
                await asyncio.wait((acquiring, stopping), timeout=over_s - now_s(), return_when=asyncio.FIRST_COMPLETED)
                in_time = acquiring.done()
        finally:
            stopping.cancel()
        return (acquiring.result() if in_time else None), now_s() - opened_s

    def _over(self, exposing: asyncio.Task[ExposureReport]) -> None:
        self._exposing = None
        if not exposing.cancelled():
            exposing.exception()

    def _acquired(self, acquiring: asyncio.Task[Any]) -> None:
        """Whether somebody still wants it or it came to its end in the dark."""
        self._acquiring = None
        if not acquiring.cancelled():
            acquiring.exception()

    def _connected(self) -> None:
        if not self._blanker.is_open:
            raise ConnectionLost(f"{self.name}: not connected; call connect first")


def _make(name: str, settings: BeamSettings, context: DeviceContext) -> ThermoFisherBeam:
    return ThermoFisherBeam(name, settings, Pictures.of(context))


FACTORY = SettingsFactory("beam", BeamSettings, _make)
