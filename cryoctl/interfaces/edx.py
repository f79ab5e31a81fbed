"""EDX detector recording events (scan frame, pixel, channel) along with the scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class EdxCapabilities:
    n_channels: int
    energy_offset_ev: float
    energy_scale_ev: float
    solid_angle_sr: float
    tilt_limits_deg: tuple[float, float]
    max_input_rate_per_s: float
    insert_s: float
    max_pixels: int | None = None
    """A scan of more is refused by `arm`; None where it follows whatever the beam scans."""


@dataclass(frozen=True, slots=True, eq=False)
class EdxEvents:
    """Events of one scan frame in pixel order: `pixel` is y * columns + x (uint32), `channel` uint16.

    Times in s; `input_rate_per_s` counts before pile-up rejection.
    """

    pixel: npt.NDArray[np.uint32]
    channel: npt.NDArray[np.uint16]
    live_time_s: float
    real_time_s: float
    input_rate_per_s: float


@runtime_checkable
class EdxDetector(Device, Protocol):
    @property
    def capabilities(self) -> EdxCapabilities: ...

    async def insert(self) -> None: ...

    async def retract(self) -> None: ...

    async def is_inserted(self) -> bool: ...

    async def arm(self, scan: Scan) -> None:
        """Get ready for the next exposure; what was taken before is forgotten.

        Raises:
            OutOfRange: a scan that it can't follow.
            DeviceError: it is retracted.
        """
        ...

    async def read_scan(self, index: int) -> EdxEvents:
        """Events of one finished scan frame of the armed exposure."""
        ...
