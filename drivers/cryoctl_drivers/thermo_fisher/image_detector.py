"""STEM detector of a Thermo Fisher TEM: read with the acquisition that the beam asks for.

The interface can neither insert nor retract it, nor tell where it is. It is put in by hand before a run and stays there
(`kept_inserted`); `insert` and `retract` only say whether pictures are wanted of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.errors import DeviceError, InstrumentError, OutOfRange
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.image_detector import ImageDetectorCapabilities
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.identity import identity
from cryoctl_drivers.thermo_fisher.pictures import Pictures
from cryoctl_drivers.thermo_fisher.settings import DetectorSettings

_LARGEST = np.iinfo(np.uint16).max


class ThermoFisherDetector:
    """Construction opens nothing."""

    def __init__(self, name: str, settings: DetectorSettings, pictures: Pictures) -> None:
        self._name = name
        self.settings = settings
        self._pictures = pictures
        self._server = ScriptingConnection(name, settings)
        self._in_use = False
        self._armed: Scan | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> ImageDetectorCapabilities:
        one = self.settings
        return ImageDetectorCapabilities(
            kind="stem", max_shape=one.max_shape, tilt_limits_deg=one.tilt_limits_deg, insert_s=0.0
        )

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
        self._disarm()
        await self._server.close()

    async def make_safe(self) -> None:
        await self._server.call("get_version")
        self._disarm()

    async def insert(self) -> None:
        await self._server.call("get_version")
        self._in_use = True

    async def retract(self) -> None:
        await self._server.call("get_version")
        self._in_use = False
        self._disarm()

    async def is_inserted(self) -> bool:
        """Whether pictures are wanted of it."""
        return self._in_use

    async def arm(self, scan: Scan) -> None:
        rows, columns = scan.shape
        most = self.settings.max_shape
        if not (0 < rows <= most[0] and 0 < columns <= most[1]):
            raise OutOfRange(f"{self.name}: {rows} x {columns} is beyond {most[0]} x {most[1]}; not armed")
        if not self._in_use:
            raise DeviceError(f"{self.name}: is retracted; insert it before arming")
        self._armed = scan
        self._pictures.arm(self.settings.detector, scan)

    async def read_scan(self, index: int) -> npt.NDArray[np.uint16]:
        taken = self._pictures.take(self.settings.detector, index)
        if taken is None or self._armed is None:
            raise DeviceError(f"{self.name}: scan frame {index} never came; see that the microscope lists the detector")
        if taken.shape != self._armed.shape:
            raise DeviceError(
                f"{self.name}: scan frame {index} came with {taken.shape} pixels, armed was {self._armed.shape}; "
                "see full_frame_px"
            )
        counts = taken.astype(np.int64) + self.settings.offset_counts
        if counts.min() < 0 or counts.max() > _LARGEST:
            raise DeviceError(
                f"{self.name}: scan frame {index} holds {counts.min()} to {counts.max()}, allowed are 0 to {_LARGEST}; "
                "set offset_counts"
            )
        return counts.astype(np.uint16)

    def _disarm(self) -> None:
        self._armed = None
        self._pictures.disarm(self.settings.detector)


def _make(name: str, settings: DetectorSettings, context: DeviceContext) -> ThermoFisherDetector:
    return ThermoFisherDetector(name, settings, Pictures.of(context))


FACTORY = SettingsFactory("image_detector", DetectorSettings, _make)
