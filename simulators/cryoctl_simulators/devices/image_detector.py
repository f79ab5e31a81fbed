"""Simulated image detectors: an annular dark-field detector and a camera, with gain, offset and noise."""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt
from scipy.constants import elementary_charge

from cryoctl.errors import DeviceError, OutOfRange
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.image_detector import ImageDetectorCapabilities
from cryoctl_simulators.devices.simulated_device import SimulatedDevice, SimulatedFactory
from cryoctl_simulators.settings import CameraSettings, ImageDetectorSettings
from cryoctl_simulators.world import World
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.noise import generator


class SimulatedImageDetector(SimulatedDevice[ImageDetectorSettings]):
    kind = "image_detector"

    def __init__(self, name: str, settings: ImageDetectorSettings, world: World) -> None:
        super().__init__(name, settings, world)
        self._inserted = False
        self._armed: Scan | None = None
        self._frames: dict[int, npt.NDArray[np.uint16]] = {}

    @property
    def capabilities(self) -> ImageDetectorCapabilities:
        one = self.settings
        return ImageDetectorCapabilities(
            kind=one.type, max_shape=one.max_shape, tilt_limits_deg=one.tilt_limits_deg, insert_s=one.insert_s
        )

    async def insert(self) -> None:
        self._link()
        if not self._inserted:
            await asyncio.sleep(self.settings.insert_s)
        self._inserted = True

    async def retract(self) -> None:
        self._link()
        if self._inserted:
            await asyncio.sleep(self.settings.insert_s)
        self._inserted = False
        self._armed = None

    async def is_inserted(self) -> bool:
        self._link()
        return self._inserted

    async def arm(self, scan: Scan) -> None:
        self._link()
        rows, columns = scan.shape
        if not (0 < rows <= self.settings.max_shape[0] and 0 < columns <= self.settings.max_shape[1]):
            raise OutOfRange(f"{self.name}: {rows} x {columns} is beyond {self.settings.max_shape}; not armed")
        if not self._inserted:
            raise DeviceError(f"{self.name}: is retracted; insert it before arming")
        self._armed = scan
        self._frames = {}

    async def read_scan(self, index: int) -> npt.NDArray[np.uint16]:
        self._link()
        frame = self._frames.get(index)
        if frame is None:
            raise DeviceError(f"{self.name}: scan frame {index} never came; look at the scan's trigger line")
        return frame

    async def make_safe(self) -> None:
        self._link()
        self._armed = None

    def record_scan(self, frame: ScanFrame) -> None:
        """The beam finished a scan frame; noise is keyed by exposure and scan frame."""
        if self._armed is None or self._armed.shape != frame.shape:
            return
        if self.world.faults.take(self.name, "frame-missing") is not None:
            return
        again = self._frames.get(frame.index - 1)
        if again is not None and self.world.faults.take(self.name, "frame-duplicated") is not None:
            self._frames[frame.index] = again
            return
        self._frames[frame.index] = self._picture(frame)

    def _picture(self, frame: ScanFrame) -> npt.NDArray[np.uint16]:
        electrons = frame.current_a * frame.dwell_s / elementary_charge
        share, detector = self.world.sample.scattered(frame, self.settings)
        if self.settings.type == "camera":
            share = 1.0 - share
        rng = generator(self.world.seed, self.name, frame.exposure, frame.index)
        return detector.expose(share, electrons, rng)


HAADF = SimulatedFactory("image_detector", ImageDetectorSettings, SimulatedImageDetector)
CAMERA = SimulatedFactory("image_detector", CameraSettings, SimulatedImageDetector)
