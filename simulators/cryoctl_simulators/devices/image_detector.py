"""Simulated image detectors: an annular dark-field detector and a camera, with gain, offset and noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.constants import elementary_charge

from cryoctl.interfaces.image_detector import ImageDetectorCapabilities
from cryoctl_simulators.devices.scan_detector import SimulatedScanDetector
from cryoctl_simulators.devices.simulated_device import SimulatedFactory
from cryoctl_simulators.settings import CameraSettings, ImageDetectorSettings
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.noise import generator


class SimulatedImageDetector(SimulatedScanDetector[ImageDetectorSettings, npt.NDArray[np.uint16]]):
    kind = "image_detector"

    @property
    def capabilities(self) -> ImageDetectorCapabilities:
        one = self.settings
        return ImageDetectorCapabilities(
            kind=one.type, max_shape=one.max_shape, tilt_limits_deg=one.tilt_limits_deg, insert_s=one.insert_s
        )

    def record(self, index: int, frame: ScanFrame) -> None:
        if self.world.faults.take(self.name, "frame-missing") is not None:
            return
        again = self._taken.get(index - 1)
        if again is not None and self.world.faults.take(self.name, "frame-duplicated") is not None:
            self._taken[index] = again
            return
        self._taken[index] = self._picture(frame)

    def _picture(self, frame: ScanFrame) -> npt.NDArray[np.uint16]:
        electrons = frame.current_a * frame.dwell_s / elementary_charge
        share, detector = self.world.sample.scattered(frame, self.settings)
        if self.settings.type == "camera":
            share = 1.0 - share
        rng = generator(self.world.seed, self.name, frame.exposure, frame.index)
        return detector.expose(share, electrons, rng)


HAADF = SimulatedFactory("image_detector", ImageDetectorSettings, SimulatedImageDetector)
CAMERA = SimulatedFactory("image_detector", CameraSettings, SimulatedImageDetector)
