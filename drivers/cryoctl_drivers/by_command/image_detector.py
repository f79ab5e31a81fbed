"""A detector that is read with the acquisition that the beam asks for. `insert` and `retract` move nothing: they say
whether pictures are wanted of it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from cryoctl.errors import DeviceError, OutOfRange
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.image_detector import ImageDetectorCapabilities
from cryoctl_drivers.by_command.pictures import Pictures

_LARGEST = np.iinfo(np.uint16).max


class AcquiredDetector(ABC):
    """Construction opens nothing.

    Args:
        detector: its name at the microscope.
        offset_counts: added to each value, where the detector gives signed numbers.
    """

    def __init__(
        self,
        name: str,
        detector: str,
        pictures: Pictures,
        capabilities: ImageDetectorCapabilities,
        offset_counts: int = 0,
    ) -> None:
        self._name = name
        self._detector = detector
        self._pictures = pictures
        self._capabilities = capabilities
        self._offset_counts = offset_counts
        self._in_use = False
        self._armed: Scan | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> ImageDetectorCapabilities:
        return self._capabilities

    @abstractmethod
    async def connect(self) -> Identity: ...

    @abstractmethod
    async def answers(self) -> None:
        """Raises `DeviceError` where the microscope does not."""

    @abstractmethod
    async def select(self) -> None:
        """Make it the one that acquisitions are of, where the microscope has to be told; read back."""

    async def close(self) -> None:
        self._disarm()

    async def make_safe(self) -> None:
        await self.answers()
        self._disarm()

    async def insert(self) -> None:
        await self.answers()
        self._in_use = True

    async def retract(self) -> None:
        await self.answers()
        self._in_use = False
        self._disarm()

    async def is_inserted(self) -> bool:
        """Whether pictures are wanted of it."""
        return self._in_use

    async def arm(self, scan: Scan) -> None:
        rows, columns = scan.shape
        most = self.capabilities.max_shape
        if not (0 < rows <= most[0] and 0 < columns <= most[1]):
            raise OutOfRange(f"{self.name}: {rows} x {columns} is beyond {most[0]} x {most[1]}; not armed")
        if not self._in_use:
            raise DeviceError(f"{self.name}: is retracted; insert it before arming")
        await self.select()
        self._armed = scan
        self._pictures.arm(self._detector, scan)

    async def read_scan(self, index: int) -> npt.NDArray[np.uint16]:
        taken = self._pictures.take(self._detector, index)
        if taken is None or self._armed is None:
            raise DeviceError(f"{self.name}: scan frame {index} never came; see that the microscope lists the detector")
        if taken.shape != self._armed.shape:
            raise DeviceError(
                f"{self.name}: scan frame {index} came with {taken.shape} pixels, armed was {self._armed.shape}; "
                "see full_frame_px"
            )
        counts = taken.astype(np.int64) + self._offset_counts
        if counts.min() < 0 or counts.max() > _LARGEST:
            raise DeviceError(
                f"{self.name}: scan frame {index} holds {counts.min()} to {counts.max()}, allowed are 0 to {_LARGEST}; "
                "set offset_counts"
            )
        return counts.astype(np.uint16)

    def _disarm(self) -> None:
        self._armed = None
        self._pictures.disarm(self._detector)
