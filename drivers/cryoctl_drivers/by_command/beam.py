"""Column and scan generator that do as they are told: a beam opened by command, for one acquisition after another.

The interface knows no permit and no end of its own: it opens and blanks when it is told to, and an acquisition can't be
stopped. So around each scan frame the beam is opened, an acquisition asked for, and the beam blanked, on a connection
and a thread that do nothing else. When it is stopped, or the permit's time is over, it is blanked at once; the
acquisition runs to its end in the dark and its picture is dropped. Opening and blanking go the same way one after the
other, so that an opening that is late can't come after the blanking.

What can't be had: dose between opening and first line is counted over the field (`frame_s`, `idle_probe`), not at the
place where the probe really was; the current is what was measured by hand (`presets`). Nothing here covers a dead PC or
a dead driver.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from typing import Any, Generic, TypeVar

from cryoctl.clock import now_s
from cryoctl.errors import ConnectionLost, DeviceError, ReadBackMismatch
from cryoctl.interfaces.beam import (
    BeamCapabilities,
    CurrentReading,
    ExposureReport,
    Optics,
    Scan,
    ScanFrameDone,
)
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.permit_check import PermitCheck
from cryoctl.interfaces.scan_cost import scan_cost
from cryoctl_drivers.by_command.blanker import Blanker
from cryoctl_drivers.by_command.capabilities import capabilities
from cryoctl_drivers.by_command.deflectors import Deflectors
from cryoctl_drivers.by_command.own_thread import look_away
from cryoctl_drivers.by_command.pictures import Pictures
from cryoctl_drivers.by_command.settings import CommandedBeamSettings

F = TypeVar("F")
_SECOND_STOP_POLL_S = 0.05


class CommandedBeam(ABC, Generic[F]):
    """Construction opens nothing. A driver says how optics are set, how an acquisition (F) is asked for, and what the
    second way of stopping the beam is.

    Args:
        deadline_s: within which the interface answers anything but an acquisition.
    """

    def __init__(
        self,
        name: str,
        settings: CommandedBeamSettings,
        blanker: Blanker,
        deflectors: Deflectors,
        pictures: Pictures,
        deadline_s: float,
    ) -> None:
        self._name = name
        self._stated = settings
        self._blanker = blanker
        self._deflectors = deflectors
        self._pictures = pictures
        self._deadline_s = deadline_s
        self._permits = PermitCheck(name, self.capabilities)
        self._optics: Optics | None = None
        self._stop = asyncio.Event()
        self._exposing: asyncio.Task[ExposureReport] | None = None
        self._acquiring: asyncio.Task[Any] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    @abstractmethod
    def voltages_v(self) -> tuple[float, ...]: ...

    @property
    @abstractmethod
    def sides_px(self) -> tuple[int, ...]:
        """Of its pictures, where it makes squares only; empty: any shape."""

    @property
    @abstractmethod
    def max_scan_px(self) -> int: ...

    @abstractmethod
    async def connect(self) -> Identity:
        """Blanks, and tries how long that takes (`tried`); no acquisition, nothing else is set."""

    @abstractmethod
    async def close_connections(self) -> None: ...

    @abstractmethod
    def check_optics(self, optics: Optics) -> None:
        """
        Raises:
            OutOfRange: it can't be had; nothing was asked of the column.
        """

    @abstractmethod
    async def set_optics(self, optics: Optics) -> Optics:
        """Set what can be set, the beam being blanked; as read back.

        Raises:
            ReadBackMismatch: it reads otherwise.
        """

    @abstractmethod
    def acquisition(self, scan: Scan) -> F:
        """How a scan frame is asked for; nothing is asked yet.

        Raises:
            Refused: a picture that this scan generator does not make.
        """

    @abstractmethod
    async def prepare(self, scan: Scan, frame: F, optics: Optics, longest_s: float) -> None:
        """All that the acquisitions need, set and read back while blanked; none takes longer than `longest_s`."""

    @abstractmethod
    async def acquire(self, scan: Scan, frame: F, limit_s: float) -> Mapping[str, Any]:
        """Scan once; pictures by their detector's name."""

    @abstractmethod
    async def stop_source(self) -> None:
        """The second way of stopping the beam, which is slower: column valves, or the source itself."""

    @property
    def capabilities(self) -> BeamCapabilities:
        """The blanker's latency is the longest that was seen, and before it was tried the limit that was set for it."""
        latency_s = self._blanker.slowest_s or self._stated.blanker_latency_limit_s
        return capabilities(self._stated, self.voltages_v, self.sides_px, self.max_scan_px, latency_s)

    async def close(self) -> None:
        """Waits for an acquisition under way: nothing can stop it."""
        self._stop.set()
        running = [task for task in (self._exposing, self._acquiring) if task is not None]
        if running:
            await asyncio.wait(running)
        await self.close_connections()

    async def optics(self) -> Optics:
        self._connected()
        if self._optics is None:
            raise DeviceError(f"{self.name}: no optics are set; apply a preset first")
        return self._optics

    async def apply(self, optics: Optics) -> Optics:
        self._connected()
        self.check_optics(optics)
        await self.blank()
        self.forget_optics()
        self._permits.forget_current()
        found = await self.set_optics(optics)
        await asyncio.sleep(self._stated.optics_s)
        self._optics = found
        return found

    def forget_optics(self) -> None:
        """Connected anew nobody knows how the column stands."""
        self._optics = None

    async def shift_image(self, x_m: float, y_m: float) -> tuple[float, float]:
        """By the beam shift, which moves the scan over the specimen."""
        return await self._deflectors.shift(x_m, y_m)

    async def focus(self, defocus_m: float) -> float:
        return await self._deflectors.focus(defocus_m)

    async def measure_current(self) -> CurrentReading:
        """What was measured by hand for the preset in use, with its uncertainty: there is no cup to deflect into."""
        optics = await self.optics()
        preset = self._stated.presets[optics.name]
        if not await self.is_blanked():
            raise ReadBackMismatch(f"{self.name}: reads open although nothing is exposed; {self._blanker.otherwise}")
        self._permits.know_current(preset.current_a)
        return CurrentReading(current_a=preset.current_a, sigma_rel=preset.current_sigma_rel, time_s=now_s())

    async def expose(self, permit: Permit, scan: Scan, scan_frame_done: ScanFrameDone | None = None) -> ExposureReport:
        optics = await self.optics()
        if self._exposing is not None:
            raise DeviceError(f"{self.name}: an exposure is under way; one at a time")
        frame = self.acquisition(scan)
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
        await self.stop_source()
        until_s = now_s() + self._stated.second_stop_s
        while await self.valves_open():
            if now_s() >= until_s:
                raise ReadBackMismatch(
                    f"{self.name}: the second way of stopping the beam reads back open after "
                    f"{self._stated.second_stop_s:g} s; {self._blanker.otherwise} by hand"
                )
            await asyncio.sleep(_SECOND_STOP_POLL_S)

    @abstractmethod
    async def valves_open(self) -> bool: ...

    async def make_safe(self) -> None:
        await self.blank()

    async def _expose(
        self, permit: Permit, scan: Scan, frame: F, optics: Optics, scan_frame_done: ScanFrameDone | None
    ) -> ExposureReport:
        began_s, on_s, done, ended, detail = now_s(), 0.0, 0, "complete", ""
        if not await self.is_blanked():
            raise ReadBackMismatch(f"{self.name}: reads open before an exposure; {self._blanker.otherwise}")
        cost = scan_cost(scan, self.capabilities.timing)
        await self._unless_stopped(self._prepare(scan, frame, optics, cost.duration_s / scan.scans))
        lines_s = cost.beam_on_s / scan.scans - self._stated.frame_s
        for index in range(scan.scans):
            if self._stop.is_set():
                ended = "stopped"
                break
            if permit.beam_on_s - on_s < lines_s * (1 - 1e-9):
                ended, detail = "stopped", "what a scan frame took left too little of the permit for the next one"
                break
            began_s = began_s if index else now_s()
            taken, frame_on_s = await self._scan_frame(permit, scan, frame, permit.beam_on_s - on_s)
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

    async def _prepare(self, scan: Scan, frame: F, optics: Optics, lasts_s: float) -> None:
        await self._deflectors.confirm()
        await self.prepare(scan, frame, optics, lasts_s + 2 * self._deadline_s)

    async def _unless_stopped(self, preparing: Coroutine[Any, Any, None]) -> None:
        """An acquisition that goes on in the dark keeps the microscope busy, but no one who wants to stop. What was
        asked is carried to its end before anything else; no more is."""
        task, stopping = asyncio.create_task(preparing), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()

    async def _scan_frame(
        self, permit: Permit, scan: Scan, frame: F, left_s: float
    ) -> tuple[Mapping[str, Any] | None, float]:
        """One scan frame; blanked and read back whatever happened. Its pictures (None: it did not come to its end) and
        the time that the beam was open (s), from the command that opened it."""
        opened_s = now_s()
        limit_s = left_s + 2 * self._deadline_s
        stopping = asyncio.create_task(self._stop.wait())
        try:
            async with self._blanker.lifted(permit, left_s):
                acquiring = asyncio.create_task(self.acquire(scan, frame, limit_s))
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
        look_away(exposing)

    def _acquired(self, acquiring: asyncio.Task[Any]) -> None:
        """Whether somebody still wants it or it came to its end in the dark."""
        self._acquiring = None
        look_away(acquiring)

    def _connected(self) -> None:
        if not self._blanker.is_open:
            raise ConnectionLost(f"{self.name}: not connected; call connect first")
