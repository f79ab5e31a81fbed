"""Image detector, a STEM detector or a camera: armed before an exposure, read after it (or after a scan frame)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDetectorCapabilities:
    kind: str
    """stem or camera."""
    max_shape: tuple[int, int]
    tilt_limits_deg: tuple[float, float]
    """Tilts allowed while inserted."""
    insert_s: float


@runtime_checkable
class ImageDetector(Device, Protocol):
    @property
    def capabilities(self) -> ImageDetectorCapabilities: ...

    async def insert(self) -> None: ...

    async def retract(self) -> None: ...

    async def is_inserted(self) -> bool: ...

    async def arm(self, scan: Scan) -> None:
        """Get ready to record the next exposure; what was recorded before is forgotten.

        Raises:
            OutOfRange: a shape it can't take.
            DeviceError: it is retracted.
        """
        ...

    async def read_scan(self, index: int) -> npt.NDArray[np.uint16]:
        """One finished scan frame [y, x] of the armed exposure. Raises `DeviceError` where it never came."""
        ...
