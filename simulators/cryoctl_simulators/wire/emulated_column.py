"""The column of an emulated TEM: a beam opened and blanked by command, and acquisitions that nothing stops.

Between two acquisitions an open beam goes on scanning the field. Nothing here ends an exposure by itself, unlike the
simulated column: who leaves the beam open leaves it open.
"""

from __future__ import annotations

import asyncio
import math
from typing import Annotated, Any

from pydantic import Field

from cryoctl.errors import NoAnswer
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.device_settings import Above0, From0
from cryoctl.units import Amperes, Metres, Radians, Seconds, Volts
from cryoctl_simulators.devices.beam import SimulatedBeam
from cryoctl_simulators.settings import BeamSettings
from cryoctl_simulators.world import World
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.exposing import close_frame, lay_run_on, line_times_s, open_frame

_KIND = "view"
"""An instrument does not know what a picture is for."""
_SMALLER = {"FULL": 1, "HALF": 2, "QUARTER": 4}


class EmulatedBeamSettings(BeamSettings):
    settle_px: Annotated[int, Field(ge=0)] = 0
    blanks_flyback: bool = False
    blanker_latency_s: Annotated[Seconds, From0] = 0.005
    full_frame_px: Annotated[int, Field(ge=16)] = 2048
    binnings: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    field_at_unit_magnification_m: Annotated[Metres, Above0] = 0.1
    voltage_v: Annotated[Volts, Above0] = 200e3
    camera_length_m: Annotated[Metres, Above0] = 0.1
    convergence_rad: Annotated[Radians, Above0] = 0.01
    spot_1_a: Annotated[Amperes, Above0] = 6.4e-9
    """Current at spot 1 and intensity 0.5: half as much with each further spot, proportional to the intensity."""
    acquisition_s: Annotated[Seconds, From0] = 0.03
    """From the command of an acquisition to its first line."""
    call_s: Annotated[Seconds, From0] = 0.004
    """What any call takes."""


class EmulatedColumn(SimulatedBeam):
    """What the scripting interface of such a column sets and reads."""

    wired = True
    settings: EmulatedBeamSettings

    def __init__(self, name: str, settings: EmulatedBeamSettings, world: World) -> None:
        super().__init__(name, settings, world)
        self.mode = "STEM"
        self.spot = 6
        self.intensity = 0.5
        self.rotation_rad = 0.0
        self.magnification = 1e5
        self.acquisition: dict[str, Any] = {"image_size": "FULL", "binning": 1, "dwell_time(s)": 1e-6}
        self._frame: ScanFrame | None = None
        self._seen: ScanFrame | None = None
        self._idle_since_s: float | None = None
        self._stays_open = False

    def set_current(self) -> None:
        """By spot and condenser."""
        self.world.column.record["nominal_a"] = self.settings.spot_1_a * 2.0 ** (1 - self.spot) * self.intensity / 0.5
        self.world.commit()

    @property
    def blanked(self) -> bool:
        return bool(self.world.column.record["blanked"])

    async def set_blanked(self, blanked: bool) -> None:
        """
        Raises:
            NoAnswer: it closed, and does not say so.
        """
        self._events()
        self.set_current()
        if not blanked:
            if self.blanked:
                self.world.faults.note_exposure(self.world.frames.logged)
                self.world.column.set_blanked(False, self.world.time_s)
                self._idle_since_s = self.world.time_s
                self.world.commit()
            return
        await asyncio.sleep(self.settings.blanker_latency_s)
        if not self.blanked and self.world.faults.take(self.name, "reads-open") is not None:
            self._stays_open = True
        if self._stays_open:
            return
        self._beam_goes()
        self.world.column.set_blanked(True, self.world.time_s)
        self.world.made_safe("beam blanked")
        if self.world.faults.take(self.name, "blank-not-acknowledged") is not None:
            raise NoAnswer(f"{self.name}: the blanker does not acknowledge")
        late = self.fault("blank-late")
        if isinstance(late, dict):
            await asyncio.sleep(late["late_s"])

    async def set_valves(self, is_open: bool) -> None:
        if is_open:
            self.world.column.record["valves_open"] = True
            self.world.commit()
            return
        await asyncio.sleep(self.settings.second_stop_s / 2)
        if self.world.faults.find(self.name, "valve-stuck") is None:
            self._beam_goes()
            self._stays_open = False
            self.world.column.record["valves_open"] = False
            self.world.made_safe("valves closed")

    async def acquire(self) -> tuple[Scan, ScanFrame | None]:
        """One scan frame, the beam open or not; what it was, with the lines that saw the beam, None in the dark."""
        self._events()
        await asyncio.sleep(self.settings.acquisition_s)
        scan = self.scan()
        line_s, _, _ = line_times_s(scan, self.settings)
        lit = not self.blanked and self.world.column.record["valves_open"]
        if lit:
            self._lay_idle()
            self._frame = self._open(scan)
        began_s = self.world.time_s
        await asyncio.sleep(scan.shape[0] * line_s)
        if not lit:
            return scan, None
        if self._frame is not None:
            self._close_frame(float(scan.shape[0]))
            self._idle_since_s = began_s + scan.shape[0] * line_s
            if self._seen is not None:
                self.world.seen(self._seen)  # an EDX detector that follows the scan
        return scan, self._seen

    def scan(self) -> Scan:
        """As it is set."""
        smaller = _SMALLER[self.acquisition["image_size"]]
        size_px = self.settings.full_frame_px // (smaller * int(self.acquisition["binning"]))
        field_m = self.settings.field_at_unit_magnification_m / self.magnification / smaller
        dwell_s = float(self.acquisition["dwell_time(s)"])
        return Scan(shape=(size_px, size_px), pixel_size_m=field_m / size_px, dwell_s=dwell_s)

    def _open(self, scan: Scan) -> ScanFrame:
        optics = Optics(
            name="emulated",
            voltage_v=self.settings.voltage_v,
            convergence_rad=self.settings.convergence_rad,
            scan_rotation_deg=math.degrees(self.rotation_rad),
            dynamic_focus=False,
        )
        record = self.world.column.record
        shift_m = (record["shift_x_m"], record["shift_y_m"])
        frame = open_frame(self.world, _KIND, self.world.frames.logged, 0, scan, optics, shift_m)
        record["pending"] = None  # what is left open by whoever opened it is not ended by a scan generator
        return frame

    def _close_frame(self, lines: float) -> None:
        """So many lines saw the beam; it may go on being open."""
        frame, self._frame = self._frame, None
        assert frame is not None
        current_a = (frame.current_a + self.world.column.emission_a(self.world.time_s)) / 2
        self._seen = close_frame(self.world, frame, lines, current_a, blank=False)

    def _lay_idle(self) -> None:
        """The open beam has scanned the field since it was opened, or since the last acquisition."""
        since_s, self._idle_since_s = self._idle_since_s, None
        if since_s is not None and self.world.time_s > since_s:
            lay_run_on(self.world, self._open(self.scan()), self.world.time_s - since_s)

    def _beam_goes(self) -> None:
        """From now on nothing reaches the specimen."""
        if self._frame is not None:
            rows, dwell_s = self._frame.shape[0], self._frame.dwell_s
            line_s, _, _ = line_times_s(Scan(shape=self._frame.shape, pixel_size_m=1.0, dwell_s=dwell_s), self.settings)
            self._close_frame(min(float(rows), (self.world.time_s - self._frame.time_s) / line_s))
        self._lay_idle()
