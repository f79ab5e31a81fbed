"""Image and EDX detectors of recorded data."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from cryoctl.errors import DeviceError, OutOfRange
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.edx import EdxCapabilities, EdxEvents
from cryoctl.interfaces.image_detector import ImageDetectorCapabilities
from cryoctl_simulators.replay.playback import Playback, RecordedExposure
from cryoctl_simulators.replay.replay_device import ReplayDevice, ReplayFactory


class _ReplayDetector(ReplayDevice):
    def __init__(self, name: str, playback: Playback) -> None:
        super().__init__(name, playback)
        self._inserted = False
        self._armed = False

    async def insert(self) -> None:
        self._link()
        await self.playback.carry(self.name, insert=True)
        self._inserted = True

    async def retract(self) -> None:
        self._link()
        await self.playback.carry(self.name, insert=False)
        self._inserted = self._armed = False

    async def is_inserted(self) -> bool:
        self._link()
        return self._inserted

    async def arm(self, scan: Scan) -> None:
        self._link()
        if not (scan.shape[0] > 0 and scan.shape[1] > 0):
            raise OutOfRange(f"{self.name}: a scan of {scan.shape} holds no pixel; not armed")
        if not self._inserted:
            raise DeviceError(f"{self.name}: is retracted; insert it before arming")
        await self.playback.get_ready()
        self._armed = True
        self.playback.exposure = None

    async def make_safe(self) -> None:
        self._link()
        self._armed = False

    def _recorded(self, index: int) -> RecordedExposure:
        self._link()
        found = self.playback.exposure
        if found is None or not self._armed or not 0 <= index < found.scans_done:
            raise DeviceError(f"{self.name}: scan frame {index} never came; nothing was exposed since it was armed")
        if found.problem:
            raise DeviceError(found.problem)
        return found


class ReplayImageDetector(_ReplayDetector):
    kind = "image_detector"

    @property
    def capabilities(self) -> ImageDetectorCapabilities:
        found = self.playback.capabilities(self.name, ImageDetectorCapabilities)
        return cast(ImageDetectorCapabilities, found)

    async def read_scan(self, index: int) -> npt.NDArray[np.uint16]:
        images = self._recorded(index).images
        if images is None or index >= len(images):
            raise DeviceError(f"{self.name}: the data hold no scan frame {index} of this exposure")
        return images[index]


class ReplayEdx(_ReplayDetector):
    kind = "edx"

    @property
    def capabilities(self) -> EdxCapabilities:
        return cast(EdxCapabilities, self.playback.capabilities(self.name, EdxCapabilities))

    async def read_scan(self, index: int) -> EdxEvents:
        events = self._recorded(index).edx
        if index >= len(events):
            raise DeviceError(f"{self.name}: the data hold no EDX events of scan frame {index} of this exposure")
        return events[index]


IMAGE = ReplayFactory("image_detector", ReplayImageDetector)
EDX = ReplayFactory("edx", ReplayEdx)
