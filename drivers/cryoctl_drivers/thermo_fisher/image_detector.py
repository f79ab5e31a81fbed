"""STEM detector of a Thermo Fisher TEM: read with the acquisition that the beam asks for.

The interface can neither insert nor retract it, nor tell where it is. It is put in by hand before a run and stays there
(`kept_inserted`); `insert` and `retract` only say whether pictures are wanted of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryoctl.errors import InstrumentError
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.image_detector import ImageDetectorCapabilities
from cryoctl_drivers.by_command.image_detector import AcquiredDetector
from cryoctl_drivers.by_command.pictures import Pictures
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.identity import identity
from cryoctl_drivers.thermo_fisher.settings import DetectorSettings


class ThermoFisherDetector(AcquiredDetector):
    def __init__(self, name: str, settings: DetectorSettings, pictures: Pictures) -> None:
        can = ImageDetectorCapabilities(
            kind="stem", max_shape=settings.max_shape, tilt_limits_deg=settings.tilt_limits_deg, insert_s=0.0
        )
        super().__init__(name, settings.detector, pictures, can, settings.offset_counts)
        self.settings = settings
        self._server = ScriptingConnection(name, settings)

    async def connect(self) -> Identity:
        version = await self._server.open()
        there: Mapping[str, Any] = await self._server.call("get_stem_detectors")
        if self.settings.detector not in there:
            raise InstrumentError(
                f"{self.name}: settings.detector: there is no {self.settings.detector[:40]!r}, the microscope has "
                f"{', '.join(there) or 'no STEM detector'}; name one of them"[:300]
            )
        return await identity(self._server, version)

    async def close(self) -> None:
        await super().close()
        await self._server.close()

    async def answers(self) -> None:
        await self._server.call("get_version")

    async def select(self) -> None:
        """An acquisition names its detectors itself."""


def _make(name: str, settings: DetectorSettings, context: DeviceContext) -> ThermoFisherDetector:
    return ThermoFisherDetector(name, settings, Pictures.of(context, "thermo-fisher"))


FACTORY = SettingsFactory("image_detector", DetectorSettings, _make)
