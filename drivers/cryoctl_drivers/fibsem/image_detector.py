"""Detector of a FIB-SEM's electron column: read with the acquisition that the beam asks for.

fibsem can neither insert nor retract one, nor tell where it is (`kept_inserted`). Pictures have 8 bits. Brightness and
contrast stay as they stand at the microscope: finding them automatically would scan the specimen.
"""

from __future__ import annotations

from typing import Any

from cryoctl.errors import InstrumentError, ReadBackMismatch
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.image_detector import ImageDetectorCapabilities
from cryoctl_drivers.by_command.image_detector import AcquiredDetector
from cryoctl_drivers.by_command.pictures import Pictures
from cryoctl_drivers.fibsem.connection import MicroscopeConnection
from cryoctl_drivers.fibsem.library import Library
from cryoctl_drivers.fibsem.settings import DetectorSettings


class FibsemDetector(AcquiredDetector):
    def __init__(self, name: str, settings: DetectorSettings, library: Library, pictures: Pictures) -> None:
        can = ImageDetectorCapabilities(
            kind="stem", max_shape=settings.max_shape, tilt_limits_deg=settings.tilt_limits_deg, insert_s=0.0
        )
        super().__init__(name, settings.detector, pictures, can)
        self.settings = settings
        self._connection = MicroscopeConnection(name, settings, library)

    async def connect(self) -> Identity:
        who = await self._connection.open()
        electrons = self._electrons
        for field, key in (("detector", "detector_type"), ("mode", "detector_mode")):
            there = await self._connection.call(
                "list its detectors", lambda one, key=key: [str(v) for v in one.get_available_values(key, electrons)]
            )
            wanted = getattr(self.settings, field)
            if wanted and wanted not in there:
                raise InstrumentError(
                    f"{self.name}: settings.{field}: there is no {wanted!r}, the microscope has "
                    f"{', '.join(there) or 'none'}; name one of them"[:300]
                )
        return who

    @property
    def _electrons(self) -> Any:
        return self._connection.library.electrons

    async def close(self) -> None:
        await super().close()
        await self._connection.close()

    async def answers(self) -> None:
        await self._connection.call("tell its detector", lambda one: one.get_detector_type(self._electrons))

    async def select(self) -> None:
        electrons, one = self._electrons, self.settings

        def act(microscope: Any) -> tuple[str, str]:
            found = microscope.set_detector_type(one.detector, electrons)
            mode = microscope.set_detector_mode(one.mode, electrons) if one.mode else ""
            return str(found), str(mode)

        found, mode = await self._connection.call("choose the detector", act)
        if (found, mode) != (one.detector, one.mode):
            raise ReadBackMismatch(
                f"{self.name}: {one.detector} {one.mode} was chosen, the microscope reads {found[:40]} {mode[:40]}; "
                "not armed"
            )


def _make(name: str, settings: DetectorSettings, context: DeviceContext) -> FibsemDetector:
    return FibsemDetector(name, settings, Library.of(context), Pictures.of(context, "fibsem"))


FACTORY = SettingsFactory("image_detector", DetectorSettings, _make)
