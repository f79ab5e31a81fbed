"""Electron column and scan generator of a FIB-SEM: see `CommandedBeam` for how it exposes.

The second way of stopping the beams is to switch both off, which takes the microscope some time to come back from.
Of the detectors that the microscope has, one at a time is scanned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryoctl.errors import DeviceError, ReadBackMismatch, Refused
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl_drivers.by_command.beam import CommandedBeam
from cryoctl_drivers.by_command.pictures import Pictures
from cryoctl_drivers.fibsem import optics as column
from cryoctl_drivers.fibsem.blanker import ColumnsBlanker
from cryoctl_drivers.fibsem.connection import MicroscopeConnection
from cryoctl_drivers.fibsem.deflectors import ElectronDeflectors
from cryoctl_drivers.fibsem.library import Library
from cryoctl_drivers.fibsem.settings import ElectronBeamSettings

_SAME_REL = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    shape: tuple[int, int]
    field_m: float
    """Horizontal width."""
    dwell_s: float


class FibsemBeam(CommandedBeam[Acquisition]):
    def __init__(self, name: str, settings: ElectronBeamSettings, library: Library, pictures: Pictures) -> None:
        self.settings = settings
        self._connection = MicroscopeConnection(name, settings, library)
        self._columns = ColumnsBlanker(name, settings, library)
        deflectors = ElectronDeflectors(name, settings, self._connection)
        super().__init__(name, settings, self._columns, deflectors, pictures, settings.deadline_s)

    @property
    def voltages_v(self) -> tuple[float, ...]:
        return self.settings.voltages_v

    @property
    def sides_px(self) -> tuple[int, ...]:
        return self.settings.square_px

    @property
    def max_scan_px(self) -> int:
        return self.settings.max_scan_px

    async def connect(self) -> Identity:
        self.forget_optics()
        await self._columns.open()
        who = await self._connection.open()
        await self._columns.try_out()
        return who

    async def close_connections(self) -> None:
        await self._connection.close()
        await self._columns.close()

    def check_optics(self, optics: Optics) -> None:
        column.check(self.name, optics, self.settings)

    async def set_optics(self, optics: Optics) -> Optics:
        return await column.apply(self.name, self._connection, optics, self.settings)

    def acquisition(self, scan: Scan) -> Acquisition:
        rows, columns = scan.shape
        sides_px = self.settings.square_px
        if sides_px and (rows != columns or rows not in sides_px):
            raise Refused(
                f"{self.name}: a scan of {rows} x {columns} pixels is not among this generator's, which are squares of "
                f"{', '.join(map(str, sides_px))} pixels a side; not opened"
            )
        wanted = self._pictures.wanted(scan)
        if len(wanted) > 1:
            raise Refused(
                f"{self.name}: {' and '.join(wanted)} are armed, this microscope takes the picture of one detector at "
                "a time; retract the others"
            )
        return Acquisition(shape=scan.shape, field_m=columns * scan.pixel_size_m, dwell_s=scan.dwell_s)

    async def prepare(self, scan: Scan, frame: Acquisition, optics: Optics, longest_s: float) -> None:
        del longest_s
        electrons = self._connection.library.electrons
        await column.set_rotation(self.name, self._connection, optics.scan_rotation_deg + scan.rotation_deg)

        def act(microscope: Any) -> tuple[float, str]:
            microscope.set_full_frame_scanning_mode(electrons)  # what stands on a spot would burn it before the scan
            found_m = microscope.set_field_of_view(frame.field_m, electrons)
            return float(found_m), str(microscope.get_detector_type(electrons))

        found_m, active = await self._connection.call("set the field of view", act)
        if abs(found_m - frame.field_m) > _SAME_REL * frame.field_m:  # fibsem clips it
            raise Refused(
                f"{self.name}.pixel_size_m: a field of {frame.field_m:.6g} m is not to be had, it reads {found_m:.6g} "
                "m; choose another pixel size or shape"
            )
        wanted = self._pictures.wanted(scan)
        if wanted and active != wanted[0]:
            raise ReadBackMismatch(
                f"{self.name}: {wanted[0]} is armed, the microscope would take the picture of {active[:40]}; not opened"
            )

    async def acquire(self, scan: Scan, frame: Acquisition, limit_s: float) -> Mapping[str, Any]:
        settings = self._connection.library.picture(frame.shape, frame.field_m, frame.dwell_s)

        def act(microscope: Any) -> tuple[Any, float]:
            image = microscope.acquire_image(image_settings=settings)
            return np.array(image.data), float(image.metadata.pixel_size.x)

        data, pixel_size_m = await self._connection.call("take a picture", act, limit_s)
        if abs(pixel_size_m - scan.pixel_size_m) > _SAME_REL * scan.pixel_size_m:
            raise ReadBackMismatch(
                f"{self.name}: the picture has pixels of {pixel_size_m:.6g} m, asked were {scan.pixel_size_m:.6g} m; "
                "another place was scanned than was permitted"
            )
        return dict.fromkeys(self._pictures.wanted(scan), data)

    async def stop_source(self) -> None:
        """Both beams off: by the blanker's connection, and by the other one where that does not answer."""

        def act(microscope: Any) -> None:
            for one in self._columns.columns():
                microscope.turn_off(one)

        try:
            await self._columns.connection.call("switch the beams off", act, self.settings.second_stop_s)
        except DeviceError:
            await self._connection.call("switch the beams off", act, self.settings.second_stop_s)

    async def valves_open(self) -> bool:
        """Whether a beam is on."""

        def act(microscope: Any) -> bool:
            return any(microscope.is_on(one) is not False for one in self._columns.columns())

        try:
            return await self._columns.connection.call("read whether a beam is on", act)
        except DeviceError:
            return await self._connection.call("read whether a beam is on", act)


def _make(name: str, settings: ElectronBeamSettings, context: DeviceContext) -> FibsemBeam:
    return FibsemBeam(name, settings, Library.of(context), Pictures.of(context, "fibsem"))


FACTORY = SettingsFactory("beam", ElectronBeamSettings, _make)
